//! Recorders: what turns a running machine or sandbox into events.
//!
//! Reserved: the recorders come with the probe (`scapkit-bpf`) and gVisor's messages
//! (`scapkit-proto`). Nothing here yet, and nothing in the workspace calls it.
