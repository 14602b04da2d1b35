//! A thread as the engine knows it.

use std::sync::Arc;

/// A string of a capture: any bytes. Shared, because children inherit most of them unchanged.
pub type Text = Arc<[u8]>;

/// A thread. Ids are -1 where unknown, times are ns since the epoch and 0 where unknown.
#[derive(Debug, Clone)]
#[allow(missing_docs, clippy::struct_excessive_bools)] // the format's own names
pub struct Thread {
    pub tid: i64,
    pub pid: i64,
    /// The parent's tid (or pid, as recorded).
    pub ptid: i64,
    pub sid: i64,
    pub vpgid: i64,
    pub pgid: i64,
    pub vtid: i64,
    pub vpid: i64,
    pub comm: Text,
    /// argv\[0\].
    pub exe: Text,
    pub exepath: Text,
    /// argv\[1..\], NUL separated.
    pub args: Text,
    /// `KEY=VALUE`, NUL separated. Belongs to the main thread.
    pub env: Text,
    /// `subsystem=path`, NUL separated.
    pub cgroups: Text,
    /// The container that the cgroups are of, as events name it: usually 12 characters; empty for the
    /// machine itself.
    pub container_id: Text,
    pub root: Text,
    /// Ends with `/`. Belongs to the main thread.
    pub cwd: Text,
    /// `PPM_CL_*`.
    pub flags: u32,
    pub fdlimit: i64,
    pub uid: u32,
    pub gid: u32,
    pub loginuid: u32,
    pub tty: u32,
    pub vmsize_kb: u32,
    pub vmrss_kb: u32,
    pub vmswap_kb: u32,
    pub pfmajor: u64,
    pub pfminor: u64,
    pub cap_inheritable: u64,
    pub cap_permitted: u64,
    pub cap_effective: u64,
    pub exe_writable: bool,
    pub exe_upper_layer: bool,
    pub exe_lower_layer: bool,
    pub exe_from_memfd: bool,
    pub exe_ino: u64,
    pub exe_ino_ctime: u64,
    pub exe_ino_mtime: u64,
    /// From the last change of the executable's inode to the clone event; 0 unknown. Wraps around when the
    /// inode is younger.
    pub ctime_to_clone_ns: u64,
    /// From the start of the pid namespace to the last change of the executable's inode; 0 unknown.
    pub pidns_to_ctime_ns: u64,
    pub pidns_init_start_ts: u64,
    pub clone_ts: u64,
    pub lastexec_ts: u64,
    /// ns for which a processor was busy with it, as far as events of the scheduler tell.
    pub exec_ns: u64,
    /// Time of processors spent in its program, as the last event told that did.
    pub cpu_user: u64,
    /// As `cpu_user`, in the kernel.
    pub cpu_system: u64,
}
