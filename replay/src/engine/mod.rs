//! The state engine: threads, fd tables, users, interfaces, kept up to date event by event.
//!
//! Source: the state engine specification; section numbers in comments are its.

mod fd;
mod thread;

pub use fd::{Fd, FdKind, Socket};
pub use thread::{Text, Thread};

/// Everything that is known at an event.
#[derive(Debug, Default)]
pub struct Engine {}

impl Engine {
    /// The thread of that id, if it is known.
    pub fn thread(&self, tid: i64) -> Option<&Thread> {
        let _ = tid;
        None
    }

    /// The fd of that number in the table that thread `tid` uses (its own, or its leader's when it
    /// shares it).
    pub fn fd(&self, tid: i64, fd: i64) -> Option<&Fd> {
        let _ = (tid, fd);
        None
    }

    /// Name of a user.
    pub fn user_name(&self, uid: u32) -> Option<&[u8]> {
        let _ = uid;
        None
    }

    /// Name of a group.
    pub fn group_name(&self, gid: u32) -> Option<&[u8]> {
        let _ = gid;
        None
    }
}
