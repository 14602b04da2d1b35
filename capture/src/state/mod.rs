//! The state of the running system with which a capture begins (os-state sections 1 to 3): processes, their
//! threads and fds, users, interfaces, the machine.
//!
//! ```text
//! /proc/PID (by several threads) ─┐
//! sock_diag, /proc/PID/net ───────┼─> Snapshot ─> lists (blocks), user_events
//! passwd, group, rtnetlink ───────┘
//! ```
//!
//! What cannot be read leaves its default and a note; only a `/proc` that cannot be opened is an error. Parsers are
//! plain functions on bytes: [`parse`], [`cgroup`], [`mounts`], [`tables`], [`users`].

pub mod cgroup;
mod diag;
pub mod exe;
pub mod fds;
mod file;
pub mod host;
mod limits;
mod lists;
pub mod mounts;
mod netlink;
pub mod parse;
mod process;
mod scan;
mod snapshot;
mod sockets;
pub mod tables;
pub mod users;

pub use cgroup::Cgroups;
pub use host::{InterfaceAddress, boot_offset};
pub use snapshot::{ExeFile, Fd, Namespaces, Notes, Process, RootId, Snapshot, Thread};
pub use tables::SocketInfo;

use std::path::PathBuf;
use std::time::Duration;

/// What to scan, and how.
#[derive(Debug, Clone)]
pub struct ScanOptions {
    /// Where the machine's file systems are: what `HOST_ROOT` says. Empty for `/`.
    pub host_root: PathBuf,
    /// Time of boot from which events' times are built, ns since the epoch; `None` to find it out here
    /// ([`boot_offset`]).
    pub boot_offset: Option<u64>,
    /// Whether kernel threads are kept.
    pub kernel_threads: bool,
    /// Threads that read; 0 for as many as there are processors.
    pub threads: usize,
    /// Processes to leave out.
    pub exclude: Vec<u32>,
    /// Only these processes; `None` for all.
    pub only_pids: Option<Vec<u32>>,
    /// After this no further process is begun; see [`Notes::partial`].
    pub time_limit: Option<Duration>,
}

impl Default for ScanOptions {
    fn default() -> Self {
        ScanOptions {
            host_root: PathBuf::new(),
            boot_offset: None,
            kernel_threads: true,
            threads: 0,
            exclude: Vec::new(),
            only_pids: None,
            time_limit: None,
        }
    }
}

/// Reads the state of the running system.
///
/// # Errors
/// [`crate::Error::System`] when `/proc` cannot be opened or listed.
pub fn scan(options: &ScanOptions) -> crate::Result<Snapshot> {
    scan::scan(options)
}
