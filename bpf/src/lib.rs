//! The kernel probe and the object code that is loaded from it.
//!
//! Reserved: the probe comes with the Linux recorder. Nothing here yet, and nothing in the
//! workspace calls it.
