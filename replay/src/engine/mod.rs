//! The state engine: threads, fd tables, users, interfaces, kept up to date event by event.
//!
//! Source: the state engine specification; section numbers in comments are its.

mod fd;
pub mod paths;
mod thread;

pub use fd::{Fd, FdKind, Socket};
pub use thread::{Text, Thread};

use scapkit_format::MachineInfo;

/// What an event is about, after it was applied. Look up thread and fd in the engine by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// The event's thread id.
    pub tid: i64,
    /// Whether the event is bound to a thread, and that is in the table.
    pub thread: bool,
    /// The fd of an event that makes, uses or closes one; -1 when it is not known. There may be no
    /// entry of that number.
    pub fd: Option<i64>,
    /// Return value of a system call's exit.
    pub res: Option<i64>,
}

/// Everything that is known at an event.
#[derive(Debug, Default)]
pub struct Engine {}

impl Engine {
    /// The thread of that id, if it is known.
    pub fn thread(&self, tid: i64) -> Option<&Thread> {
        let _ = tid;
        None
    }

    /// The leader of a thread's process: itself, or `None` when it is not known.
    pub fn main_thread(&self, tid: i64) -> Option<&Thread> {
        let _ = tid;
        None
    }

    /// Working directory of a thread's process: `./` when its leader is not known (section 5.1).
    pub fn cwd(&self, tid: i64) -> Option<&[u8]> {
        let _ = tid;
        None
    }

    /// The fd of that number in the table that thread `tid` uses (its own, or its leader's when it
    /// shares it).
    pub fn fd(&self, tid: i64, fd: i64) -> Option<&Fd> {
        let _ = (tid, fd);
        None
    }

    /// The fds that a thread uses, by number.
    pub fn fds(&self, tid: i64) -> impl Iterator<Item = (i64, &Fd)> {
        let _ = tid;
        std::iter::empty()
    }

    /// Name of a user.
    pub fn user_name(&self, uid: u32) -> Option<&[u8]> {
        (uid == 0).then_some(b"root")
    }

    /// Name of a group.
    pub fn group_name(&self, gid: u32) -> Option<&[u8]> {
        (gid == 0).then_some(b"root")
    }

    /// The capture's machine.
    pub fn machine(&self) -> Option<&MachineInfo> {
        None
    }
}
