//! gVisor's monitoring messages.
//!
//! Reserved: the wire schema and its decoder come with the gVisor recorder. Nothing here yet, and
//! nothing in the workspace calls it.
