//! The socket that sandboxes connect to.
