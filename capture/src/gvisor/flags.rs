//! Linux's flags as events have them.
