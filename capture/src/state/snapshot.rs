//! What a scan found, as compact owned data.

use super::cgroup::Cgroups;
use super::host::InterfaceAddress;
use super::tables::SocketInfo;
use super::users::Accounts;
use scapkit_format::MachineInfo;
use scapkit_format::lists::fds::FdType;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The state of a machine at the start of a capture. Times are ns since the epoch, on the clock of events: boot
/// time plus `CLOCK_BOOTTIME`.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Machine information; its boot time is the one that times here and in events are built from.
    pub machine: MachineInfo,
    /// Addresses of the recorder's network namespace.
    pub interfaces: Vec<InterfaceAddress>,
    /// Users and groups of the machine.
    pub accounts: Accounts,
    /// Users and groups below roots other than the machine's, by [`Process::root_id`].
    pub container_accounts: BTreeMap<RootId, Accounts>,
    /// In ascending order of their ids.
    pub processes: Vec<Process>,
    /// What could not be read.
    pub notes: Notes,
    /// When the scan began.
    pub from: u64,
    /// When it ended.
    pub to: u64,
}

/// What a scan could not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Processes and threads that ended while they were read. They are not in the snapshot.
    pub vanished: u64,
    /// Whether the time limit ended the scan before all processes were read.
    pub partial: bool,
    /// Files below `/proc/PID` that could not be read although the process was there, by name, with the number of
    /// processes.
    pub unreadable: BTreeMap<&'static str, u64>,
    /// Other things, as sentences.
    pub other: Vec<String>,
}

/// Device and inode of a root directory.
pub type RootId = (u32, u64);

/// A piece of [`Process`]'s text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub from: u32,
    pub len: u32,
}

/// A process: what its threads share, and the threads.
#[derive(Debug, Clone)]
pub struct Process {
    /// Process id.
    pub tgid: i64,
    /// Start in clock ticks since boot. With the id it names the process for as long as the machine runs.
    pub start_ticks: u64,
    /// When reading of it began: all that is said of it was so then or later.
    pub from: u64,
    /// When reading of it ended.
    pub to: u64,
    /// Whether it is a kernel thread.
    pub kernel: bool,
    /// Soft limit of open files; -1 unknown or none.
    pub fdlimit: i64,
    /// User that logged in; all ones when none did.
    pub loginuid: u32,
    /// Start of its pid namespace.
    pub pidns_init_start_ts: u64,
    /// Its executable.
    pub exe_file: ExeFile,
    /// Its namespaces.
    pub namespaces: Namespaces,
    /// Its root directory where that is not the machine's.
    pub root_id: Option<RootId>,
    /// Main thread first, then in ascending order.
    pub threads: Vec<Thread>,
    /// Fds of the main thread, in ascending order.
    pub fds: Vec<Fd>,
    pub(super) text: Box<[u8]>,
    pub(super) exe: Span,
    pub(super) exepath: Span,
    pub(super) args: Span,
    pub(super) cwd: Span,
    pub(super) env: Span,
    pub(super) root: Span,
}

impl Process {
    pub(super) fn piece(&self, span: Span) -> &[u8] {
        let from = span.from as usize;
        self.text.get(from..from.saturating_add(span.len as usize)).unwrap_or_default()
    }

    /// `argv[0]`.
    pub fn exe(&self) -> &[u8] {
        self.piece(self.exe)
    }

    /// Path of the executable as the kernel gives it: with ` (deleted)` where it is.
    pub fn exepath(&self) -> &[u8] {
        self.piece(self.exepath)
    }

    /// `argv[1..]`, each followed by NUL.
    pub fn args(&self) -> &[u8] {
        self.piece(self.args)
    }

    /// Working directory; empty when it could not be read.
    pub fn cwd(&self) -> &[u8] {
        self.piece(self.cwd)
    }

    /// Environment, `KEY=VALUE`, each followed by NUL.
    pub fn env(&self) -> &[u8] {
        self.piece(self.env)
    }

    /// Root directory; empty when it could not be read.
    pub fn root(&self) -> &[u8] {
        self.piece(self.root)
    }

    /// Name of an fd: path, or what its type has for one.
    pub fn fd_name<'a>(&'a self, fd: &'a Fd) -> &'a [u8] {
        match &fd.socket {
            Some(SocketInfo::Unix { name, .. }) => name,
            Some(_) => &[],
            None => self.piece(fd.name),
        }
    }
}

/// The executable of a process. Times are ns since the epoch; 0 where it could not be looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, clippy::struct_excessive_bools)] // the format's own names
pub struct ExeFile {
    pub writable: bool,
    pub upper_layer: bool,
    pub lower_layer: bool,
    pub from_memfd: bool,
    pub ino: u64,
    pub ctime: u64,
    pub mtime: u64,
}

/// Inodes of a process's namespaces; 0 where they could not be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Namespaces {
    pub pid: u64,
    pub net: u64,
    pub mnt: u64,
    pub user: u64,
}

/// A thread.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the format's own names
pub struct Thread {
    pub tid: i64,
    /// Parent of its process.
    pub ptid: i64,
    pub sid: i64,
    pub pgid: i64,
    pub vpgid: i64,
    pub vtid: i64,
    pub vpid: i64,
    /// Start in clock ticks since boot. With the id it names the thread for as long as the machine runs.
    pub start_ticks: u64,
    /// Start, ns since the epoch; as fine as a clock tick.
    pub start: u64,
    /// `R`, `S`, `Z` and so on.
    pub state: u8,
    pub comm: Box<[u8]>,
    /// `PPM_CL_*`.
    pub flags: u32,
    pub uid: u32,
    pub gid: u32,
    pub tty: u32,
    pub vmsize_kb: u32,
    pub vmrss_kb: u32,
    pub vmswap_kb: u32,
    pub pfmajor: u64,
    pub pfminor: u64,
    pub cap_inheritable: u64,
    pub cap_permitted: u64,
    pub cap_effective: u64,
    pub cgroups: Arc<Cgroups>,
}

/// An fd.
#[derive(Debug, Clone)]
pub struct Fd {
    /// Number.
    pub fd: u32,
    /// Type.
    pub kind: FdType,
    /// Inode.
    pub ino: u64,
    /// Device of a file, encoded as captures have it; 0 for others.
    pub dev: u32,
    /// Mount of a file.
    pub mount_id: u64,
    /// Flags of the kernel, `O_CLOEXEC` as the fd has it now. Lists have room for them only with files.
    pub flags: u64,
    /// What is known of a socket.
    pub socket: Option<SocketInfo>,
    pub(super) name: Span,
}
