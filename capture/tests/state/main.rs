//! The snapshot of the system's state.

mod cases;
mod helper;
mod lists;
mod live;
mod live_root;
mod live_sockets;
mod storm;
mod texts;
