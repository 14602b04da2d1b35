//! What a sandbox that already runs says of its processes: the output of `runsc trace procfs`, and the lists of a
//! capture made from it (gvisor spec section 7).
//!
//! The dump has one line of JSON for each process, in no order. Threads, offsets of files and addresses of sockets
//! are not told, nor is any container: a process belongs to the one whose first process is its nearest ancestor.
//! All of it comes from a sandbox, so each line stands for itself and everything has a limit.

use crate::state::fds::{self, Link};
use crate::state::parse::number_of;
use scapkit_format::lists::fds::{Fd as ListedFd, FdInfo, FdType};
use scapkit_format::lists::threads::Thread;
use scapkit_format::{BlockType, Result, encode};
use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// Most processes of a sandbox: gVisor's own limit of tasks.
const MAX_PROCESSES: usize = 1 << 16;
/// Most fds that are kept of a dump.
const MAX_FDS: usize = 1 << 20;
/// Most fds of a process, and most of its cgroups.
const MAX_FDS_OF_ONE: usize = 1 << 16;
const MAX_CGROUPS: usize = 64;
/// Most bytes of a list of texts, with a NUL after each: the length that a capture's lists can say.
const MAX_TEXTS: usize = u16::MAX as usize;
/// Longest single texts that readers take (scap-format section 1.6), and longest name of an fd.
const SHORT: usize = 1024;
const MAX_NAME: usize = 1023;
/// Bytes after which a list goes on in another block.
const LIST: usize = 8 << 20;
/// Most lines that are told of one by one.
const MAX_NOTES: usize = 16;

/// A process of a sandbox. What a dump leaves out is empty or 0: gVisor does not write empty values. Ids are those
/// of the sandbox's first PID namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Process id, over 0.
    pub pid: i32,
    /// Parent; 0 for the first process of a container, and for those that `runsc exec` started.
    pub ppid: i32,
    /// Name.
    pub comm: String,
    /// Executable, seen from [`Process::root`].
    pub exe: String,
    /// Arguments, `argv[0]` first; as many as a capture's list can hold.
    pub args: Vec<String>,
    /// Environment, `KEY=VALUE`; as many as a capture's list can hold.
    pub env: Vec<String>,
    /// Working directory, seen from [`Process::root`].
    pub cwd: String,
    /// Root directory.
    pub root: String,
    /// Start, ns since the epoch.
    pub clone_ts: i64,
    /// Open files, in ascending order.
    pub fds: Vec<Fd>,
    /// Soft limit of open files.
    pub fdlimit: Option<u64>,
    /// User.
    pub uid: Ids,
    /// Group.
    pub gid: Ids,
    /// Virtual memory, KiB.
    pub vm_size: u64,
    /// Resident memory, KiB.
    pub vm_rss: u64,
    /// Process group; 0 unknown.
    pub pgid: i32,
    /// Session; 0 unknown.
    pub sid: i32,
    /// Cgroups that the sandbox itself has, where a cgroup file system is mounted in it.
    pub cgroup: Vec<Cgroup>,
}

/// An open file of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(default)]
pub struct Fd {
    /// Number.
    pub number: i32,
    /// Path, or what stands for it: `pipe:[1]`, `host:[1]`, `anon_inode:[eventfd]`.
    pub path: String,
    /// Type and permissions, as in `st_mode`; no type for what has no inode.
    pub mode: u32,
}

/// Ids of a user or group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // their own names
pub struct Ids {
    pub real: u32,
    pub effective: u32,
    pub saved: u32,
}

/// A cgroup of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(default)]
pub struct Cgroup {
    /// Controllers, separated by commas.
    pub controllers: String,
    /// Path below the mount.
    pub path: String,
}

/// What of a dump could not be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Lines that are no process, and processes beyond the limit.
    pub bad: u64,
    /// Why, with the number of the line: of the first ones.
    pub lines: Vec<String>,
}

impl Notes {
    fn add(&mut self, line: usize, why: &dyn fmt::Display) {
        self.bad = self.bad.saturating_add(1);
        if self.lines.len() < MAX_NOTES {
            self.lines.push(format!("line {}: {why}", line.saturating_add(1)));
        }
    }
}

/// A line, as gVisor writes it.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Line {
    exe: String,
    args: Bounded<String>,
    env: Bounded<String>,
    cwd: String,
    root: String,
    clone_ts: i64,
    fdlist: Bounded<Fd>,
    limits: Limits,
    cgroup: Bounded<Cgroup>,
    status: Status,
    stat: Stat,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Limits {
    #[serde(rename = "RLIMIT_NOFILE")]
    files: Option<Limit>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Limit {
    cur: u64,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Status {
    comm: String,
    pid: i32,
    ppid: i32,
    uid: Ids,
    gid: Ids,
    vm_size: u64,
    vm_rss: u64,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Stat {
    pgid: i32,
    sid: i32,
}

/// Elements of a list of which only a beginning is kept.
trait Element {
    /// What one counts.
    fn cost(&self) -> usize;
    /// What those that are kept may count together.
    const MAX: usize;
}

impl Element for String {
    fn cost(&self) -> usize {
        self.len().saturating_add(1)
    }
    const MAX: usize = MAX_TEXTS;
}

impl Element for Fd {
    fn cost(&self) -> usize {
        1
    }
    const MAX: usize = MAX_FDS_OF_ONE;
}

impl Element for Cgroup {
    fn cost(&self) -> usize {
        1
    }
    const MAX: usize = MAX_CGROUPS;
}

/// The beginning of a list: as much as [`Element::MAX`] allows. `null` is an empty list.
struct Bounded<T>(Vec<T>);

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Bounded(Vec::new())
    }
}

impl<'de, T: Element + Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);
        impl<'de, T: Element + Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Bounded<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Bounded::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let (mut kept, mut left) = (Vec::new(), T::MAX);
                while let Some(element) = list.next_element::<T>()? {
                    let Some(rest) = left.checked_sub(element.cost()) else {
                        while list.next_element::<IgnoredAny>()?.is_some() {}
                        break;
                    };
                    left = rest;
                    kept.push(element);
                }
                Ok(Bounded(kept))
            }
        }
        from.deserialize_any(Elements(PhantomData))
    }
}

impl Line {
    fn process(self) -> Process {
        let mut fds = self.fdlist.0;
        fds.sort_unstable();
        fds.dedup_by_key(|fd| fd.number);
        Process {
            pid: self.status.pid,
            ppid: self.status.ppid,
            comm: self.status.comm,
            exe: self.exe,
            args: self.args.0,
            env: self.env.0,
            cwd: self.cwd,
            root: self.root,
            clone_ts: self.clone_ts,
            fds,
            fdlimit: self.limits.files.map(|limit| limit.cur),
            uid: self.status.uid,
            gid: self.status.gid,
            vm_size: self.status.vm_size,
            vm_rss: self.status.vm_rss,
            pgid: self.stat.pgid,
            sid: self.stat.sid,
            cgroup: self.cgroup.0,
        }
    }
}

/// Reads a dump: the processes in ascending order, and what could not be used. A line that is bad costs only that
/// line. Memory is bounded by a small multiple of the dump.
pub fn parse(dump: &[u8]) -> (Vec<Process>, Notes) {
    let (mut processes, mut notes) = (Vec::new(), Notes::default());
    let (mut begun, mut fds_left) = (false, MAX_FDS);
    for (number, line) in dump.split(|b| *b == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if !std::mem::replace(&mut begun, true) && line == b"PROCFS DUMP" {
            continue;
        }
        // gVisor replaces what is no UTF-8; should one not, the names with it are still worth having.
        let text = String::from_utf8_lossy(line);
        let process = match serde_json::from_str::<Line>(&text) {
            Ok(line) => line.process(),
            Err(e) => {
                notes.add(number, &e);
                continue;
            }
        };
        if process.pid <= 0 || process.ppid < 0 {
            notes.add(number, &format_args!("a process with pid {} and parent {}", process.pid, process.ppid));
        } else if processes.len() >= MAX_PROCESSES {
            notes.add(number, &format_args!("more than {MAX_PROCESSES} processes"));
        } else if process.fds.len() > fds_left {
            notes.add(number, &format_args!("more than {MAX_FDS} open files"));
        } else {
            fds_left -= process.fds.len();
            processes.push(process);
        }
    }
    // Whole processes are compared, so that of two with one id it is not the order that decides.
    processes.sort_unstable();
    processes.dedup_by(|later, first| {
        let twice = later.pid == first.pid;
        if twice {
            notes.bad = notes.bad.saturating_add(1);
        }
        twice
    });
    (processes, notes)
}

/// The first process of the container that each process is in, by place: the nearest ancestor, or the process
/// itself, that `containers` knows. `None` where there is none: sessions of `runsc exec`, and what they started.
fn inits(processes: &[Process], containers: &BTreeMap<i64, String>) -> Vec<Option<i64>> {
    let place = |pid: i32| processes.binary_search_by_key(&pid, |p| p.pid).ok();
    let mut found: Vec<Option<Option<i64>>> = vec![None; processes.len()];
    let mut way = Vec::new();
    for start in 0..processes.len() {
        let mut at = Some(start);
        let mut init = None;
        way.clear();
        // Each place is passed once, also where parents form a ring.
        while let Some((i, process)) = at.and_then(|i| Some((i, processes.get(i)?))) {
            if let Some(known) = found.get(i).copied().flatten() {
                init = known;
                break;
            }
            if containers.contains_key(&i64::from(process.pid)) {
                init = Some(i64::from(process.pid));
            }
            way.push(i);
            if let Some(slot) = found.get_mut(i) {
                *slot = Some(init);
            }
            if init.is_some() {
                break;
            }
            at = place(process.ppid);
            if at.is_none() && containers.contains_key(&i64::from(process.ppid)) {
                // Known, but no more there or not in the dump.
                init = Some(i64::from(process.ppid));
            }
        }
        for i in &way {
            if let Some(slot) = found.get_mut(*i) {
                *slot = Some(init);
            }
        }
    }
    found.into_iter().map(Option::flatten).collect()
}

/// A text as far as readers take it. What comes behind a NUL cannot be told.
fn cut(text: &str, max: usize) -> &[u8] {
    let text = text.as_bytes().split(|b| *b == 0).next().unwrap_or_default();
    text.get(..max).unwrap_or(text)
}

/// Texts, each with its NUL, as many as fit.
fn joined(texts: &[String]) -> Vec<u8> {
    let mut out = Vec::new();
    for text in texts {
        let text = cut(text, MAX_TEXTS);
        if out.len() + text.len() >= MAX_TEXTS {
            break;
        }
        out.extend_from_slice(text);
        out.push(0);
    }
    out
}

/// Where an executable is, seen from the sandbox's root.
fn below(root: &str, path: &str) -> String {
    match root.trim_end_matches('/') {
        _ if path.is_empty() => String::new(),
        "" => path.to_owned(),
        root => format!("{root}/{}", path.trim_start_matches('/')),
    }
}

/// Type and inode of an fd: by what stands for its path, else by its mode.
fn kind(fd: &Fd) -> (FdType, u64) {
    let class = fd.path.strip_prefix("anon_inode:").unwrap_or_default();
    if let Some(number) = class.strip_prefix("[inotifyfd:").and_then(|n| n.strip_suffix(']')) {
        return (FdType::INOTIFY, number.parse().unwrap_or(0));
    }
    match fds::link(fd.path.as_bytes()) {
        Link::Pipe(ino) => (FdType::FIFO, ino),
        // Which family it is of, nothing says.
        Link::Socket(ino) => (FdType::UNSUPPORTED, ino),
        Link::Anonymous(kind) => (kind, 0),
        // A file in the root directory may have the name of a memfd.
        Link::Memfd | Link::Path => (fds::by_mode(fd.mode), number_of(fd.path.as_bytes(), b"host").unwrap_or(0)),
    }
}

fn listed(fd: &Fd) -> ListedFd<'_> {
    let (kind, ino) = kind(fd);
    let name = cut(&fd.path, MAX_NAME);
    let info = match kind {
        FdType::FILE_V2 => FdInfo::File { open_flags: 0, name, dev: Some(0) },
        _ => FdInfo::Name(name),
    };
    ListedFd { fd: fd.number.into(), ino, kind, info, extra: &[] }
}

/// Appends the lists of a capture, PL and FDL, of the processes of one sandbox. `serial` is its number, which makes
/// ids unique: `serial << 32 | id`. `containers` are the ids of the sandbox's containers, by the thread id of their
/// first process.
///
/// Cgroups are only `gvisor_container_id=/ID`, by which readers know the container: those of the dump come from the
/// sandbox, which could name another container in them.
///
/// # Errors
/// [`scapkit_format::Error::TooLarge`] when something is over what the format can say, which the limits of
/// [`parse`] do not allow.
pub fn lists(processes: &[Process], serial: u32, containers: &BTreeMap<i64, String>, out: &mut Vec<u8>) -> Result<()> {
    let mark = i64::from(serial) << 32;
    // -1 is the format's word for unknown.
    let id = |n: i32| if n > 0 { mark | i64::from(n) } else { -1 };
    let plain = |n: i32| if n > 0 { i64::from(n) } else { -1 };
    let inits = inits(processes, containers);
    let mut threads = processes.iter().zip(&inits).peekable();
    while threads.peek().is_some() {
        encode::block_with(out, BlockType::PL_V9, |out| {
            let start = out.len();
            while let Some((p, init)) = threads.next_if(|_| out.len().saturating_sub(start) < LIST) {
                let container = init.and_then(|init| containers.get(&init));
                let mut cgroups =
                    container.map_or(Vec::new(), |id| [b"gvisor_container_id=/", cut(id, SHORT)].concat());
                if !cgroups.is_empty() {
                    cgroups.push(0);
                }
                let first = init.and_then(|init| i32::try_from(init).ok()).and_then(|init| {
                    let at = processes.binary_search_by_key(&init, |p| p.pid).ok()?;
                    processes.get(at)
                });
                let exepath = below(&p.root, &p.exe);
                let (exe, args) = p.args.split_first().map_or((&p.exe, &[][..]), |(exe, args)| (exe, args));
                Thread {
                    tid: id(p.pid),
                    pid: id(p.pid),
                    ptid: if p.ppid > 0 { id(p.ppid) } else { 0 },
                    sid: id(p.sid),
                    pgid: id(p.pgid),
                    vpgid: plain(p.pgid),
                    vtid: plain(p.pid),
                    vpid: plain(p.pid),
                    comm: cut(&p.comm, SHORT),
                    exe: cut(exe, MAX_TEXTS),
                    exepath: cut(&exepath, SHORT),
                    args: &joined(args),
                    cwd: if p.cwd.is_empty() { b"/" } else { cut(&p.cwd, SHORT) },
                    fdlimit: p.fdlimit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(-1)),
                    uid: p.uid.effective,
                    gid: p.gid.effective,
                    vmsize_kb: u32::try_from(p.vm_size).unwrap_or(u32::MAX),
                    vmrss_kb: u32::try_from(p.vm_rss).unwrap_or(u32::MAX),
                    env: &joined(&p.env),
                    cgroups: &cgroups,
                    root: cut(&p.root, SHORT),
                    // The container's PID namespace is as old as its first process.
                    pidns_init_start_ts: first.map_or(0, |first| u64::try_from(first.clone_ts).unwrap_or(0)),
                    ..Thread::default()
                }
                .encode(9, out)?;
            }
            Ok(())
        })?;
    }
    processes.iter().filter(|p| !p.fds.is_empty()).try_for_each(|p| {
        encode::block_with(out, BlockType::FDL_V2, |out| {
            out.extend_from_slice(&id(p.pid).to_le_bytes());
            p.fds.iter().try_for_each(|fd| listed(fd).encode(2, out))
        })
    })
}

#[cfg(test)]
mod tests;
