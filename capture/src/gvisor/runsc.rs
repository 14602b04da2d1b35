//! gVisor's own program.
