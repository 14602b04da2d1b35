//! Reading of one process (os-state section 1.7).
//!
//! Its directory is opened once and all else through it: once the process has ended, such reads fail, even when
//! its number is used again. So nothing of two processes can be mixed.

use super::exe;
use super::fds::{self, Around, put};
use super::file;
use super::host::since_boot;
use super::limits;
use super::mounts::{Mount, Mounts};
use super::parse::{self, Stat, Status};
use super::scan::Shared;
use super::snapshot::{ExeFile, Namespaces, Notes, Process, RootId, Span, Thread};
use super::users;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use scapkit_format::lists::fds::FdType;
use std::io::Write as _;
use std::sync::{Arc, PoisonError};

/// `CLONE_THREAD | CLONE_FILES`: what lists say of every thread but the main one.
const SHARES: u32 = 0x2000 | 1;
/// Longest command line and environment that lists hold.
const LONG: usize = 4096;
const SHORT: usize = 1023;

/// A reader of processes; its buffers are used for all.
pub(super) struct Reader<'a> {
    shared: &'a Shared<'a>,
    buffer: Box<[u8]>,
    second: Box<[u8]>,
    text: Vec<u8>,
    numbers: Vec<u32>,
    pub notes: Notes,
}

/// Why a process is not in the snapshot: it ended.
pub(super) struct Gone;

impl<'a> Reader<'a> {
    pub fn new(shared: &'a Shared<'a>) -> Self {
        Reader {
            shared,
            buffer: vec![0; 64 << 10].into(),
            second: vec![0; 4096].into(),
            text: Vec::new(),
            numbers: Vec::new(),
            notes: Notes::default(),
        }
    }

    fn unreadable(&mut self, what: &'static str) {
        let count = self.notes.unreadable.entry(what).or_default();
        *count = count.saturating_add(1);
    }

    fn clock(&self) -> u64 {
        self.shared.boot.saturating_add(since_boot())
    }

    /// Reads a process; `None` when it is one that is not wanted.
    pub fn read(&mut self, tgid: u32) -> Result<Option<Process>, Gone> {
        let from = self.clock();
        let mut name = [0; 16];
        let dir = file::directory(&self.shared.proc, decimal(tgid, &mut name)).map_err(|_| Gone)?;
        let stat_file = file::open(&dir, "stat").map_err(|_| Gone)?;
        let mut stat_text = [0; 1024];
        let stat = file::read_once(&stat_file, &mut stat_text).ok().and_then(parse::stat).ok_or(Gone)?;
        if stat.kthread && !self.shared.kernel_threads {
            return Ok(None);
        }
        // A main thread that has ended has no files of its own any more; those of another are the process's.
        let alive = if stat.state == b'Z' && stat.threads > 1 { self.live_thread(&dir) } else { None };
        let files = alive.as_ref().unwrap_or(&dir);

        self.text.clear();
        let mut p = self.shared_by_threads(tgid, &stat, files);
        p.from = from;
        self.main_thread(&mut p, &dir, files, &stat)?;
        if stat.threads != 1 {
            self.other_threads(&mut p, &dir, tgid);
        }
        // Reads through the handle fail once the process is gone; it must still have been there at the end.
        let mut again = [0; 1024];
        let end = rustix::io::pread(&stat_file, &mut again, 0).map_err(|_| Gone)?;
        let end = again.get(..end).and_then(parse::stat).ok_or(Gone)?;
        if end.start_ticks != stat.start_ticks {
            return Err(Gone);
        }
        p.text = self.text.as_slice().into();
        p.to = self.clock();
        Ok(Some(p))
    }

    fn live_thread(&mut self, dir: &OwnedFd) -> Option<OwnedFd> {
        let task = file::directory(dir, "task").ok()?;
        file::numbers(&task, &mut self.numbers).ok()?;
        self.numbers.iter().find_map(|tid| {
            let mut name = [0; 16];
            let thread = file::directory(&task, decimal(*tid, &mut name)).ok()?;
            let mut text = [0; 1024];
            let stat = file::read_at(&thread, "stat", &mut text).ok().and_then(parse::stat)?;
            (!matches!(stat.state, b'Z' | b'X')).then_some(thread)
        })
    }

    /// A link of the process, as a piece of its text.
    fn link(&mut self, files: &OwnedFd, what: &'static str, dead: bool) -> Span {
        let from = self.text.len();
        match file::link_at(files, what, &mut self.text) {
            Ok(()) => {
                self.text.truncate(self.text.len().min(from.saturating_add(SHORT)));
                let len = u32::try_from(self.text.len().saturating_sub(from)).unwrap_or(0);
                return Span { from: u32::try_from(from).unwrap_or(0), len };
            }
            Err(_) if dead => {}
            Err(_) => self.unreadable(what),
        }
        Span::default()
    }

    /// A list of strings from a file, with a NUL after the last; `max` bytes with it.
    fn strings(&mut self, bytes: (usize, usize), max: usize) -> Span {
        let bytes = self.buffer.get(bytes.0..bytes.1).unwrap_or_default();
        let whole = bytes.len() <= max && bytes.last().is_none_or(|b| *b == 0);
        if whole {
            return put(&mut self.text, bytes, max);
        }
        let mut span = put(&mut self.text, bytes, max.saturating_sub(1));
        self.text.push(0);
        span.len = span.len.saturating_add(1);
        span
    }

    fn namespace(&mut self, files: &OwnedFd, path: &'static str, kind: &'static [u8]) -> u64 {
        let from = self.text.len();
        let read = file::link_at(files, path, &mut self.text);
        let ino = self.text.get(from..).and_then(|link| parse::number_of(link, kind)).unwrap_or(0);
        self.text.truncate(from);
        if read.is_err() {
            self.unreadable(path);
        }
        ino
    }

    /// What all threads of a process have in common, but for the executable's properties and fds.
    fn shared_by_threads(&mut self, tgid: u32, stat: &Stat<'_>, files: &OwnedFd) -> Process {
        let dead = stat.state == b'Z' && stat.threads <= 1;
        let mut p = Process {
            tgid: tgid.into(),
            start_ticks: stat.start_ticks,
            from: 0,
            to: 0,
            kernel: stat.kthread,
            fdlimit: -1,
            loginuid: u32::MAX,
            pidns_init_start_ts: 0,
            exe_file: ExeFile::default(),
            namespaces: Namespaces::default(),
            root_id: None,
            threads: Vec::new(),
            fds: Vec::new(),
            text: Box::default(),
            exe: Span::default(),
            exepath: Span::default(),
            args: Span::default(),
            cwd: Span::default(),
            env: Span::default(),
            root: Span::default(),
        };
        if !stat.kthread && !dead {
            let limit = self.buffer.get_mut(..LONG).unwrap_or_default();
            match file::read_at(files, "cmdline", limit).map(|text| (parse::cmdline(text).0.len(), text.len())) {
                Ok((exe, len)) => {
                    let text = self.buffer.get(..exe).unwrap_or_default();
                    p.exe = put(&mut self.text, text, SHORT);
                    p.args = self.strings((exe.saturating_add(1).min(len), len), LONG);
                }
                Err(_) => self.unreadable("cmdline"),
            }
            let limit = self.buffer.get_mut(..LONG).unwrap_or_default();
            match file::read_at(files, "environ", limit).map(<[u8]>::len) {
                Ok(len) => p.env = self.strings((0, len), LONG),
                Err(_) => self.unreadable("environ"),
            }
        }
        if !stat.kthread {
            p.exepath = self.link(files, "exe", dead);
        }
        p.cwd = self.link(files, "cwd", dead);
        p.root = self.link(files, "root", dead);
        let asked = if self.shared.own_pids { limits::open_files(tgid) } else { None };
        match asked.ok_or(()).or_else(|()| file::read_at(files, "limits", &mut self.second).map(parse::fdlimit)) {
            Ok(limit) => p.fdlimit = limit,
            Err(_) => self.unreadable("limits"),
        }
        // Kernels without audit lack it.
        p.loginuid = file::read_at(files, "loginuid", &mut self.second).map_or(u32::MAX, parse::loginuid);
        if !dead {
            p.namespaces = Namespaces {
                // That of a thread which the reader sees in one namespace only needs no question; see `main_thread`.
                pid: 0,
                net: self.namespace(files, "ns/net", b"net"),
                mnt: self.namespace(files, "ns/mnt", b"mnt"),
                user: self.namespace(files, "ns/user", b"user"),
            };
        }
        p
    }

    /// The main thread, and what needs its ids: whether it could write its executable. Then the fds.
    fn main_thread(&mut self, p: &mut Process, dir: &OwnedFd, files: &OwnedFd, stat: &Stat<'_>) -> Result<(), Gone> {
        let dead = stat.state == b'Z' && stat.threads <= 1;
        // Through a local, as the parsed text must outlive other reads.
        let mut buffer = std::mem::take(&mut self.buffer);
        let read = file::read_at(dir, "status", &mut buffer).map(parse::status);
        if let Ok(status) = &read {
            let thread = self.thread(dir, p.tgid, p.tgid, stat, status);
            p.threads.push(thread);
            p.namespaces.pid = match (status.depth, self.shared.host_pids) {
                (1, known @ 1..) => known,
                _ if dead => 0,
                _ => self.namespace(files, "ns/pid", b"pid"),
            };
            if !p.kernel && !dead {
                let mounts = self.shared.mounts(p.namespaces.mnt, files);
                self.exe_file(p, files, status, &mounts);
                self.root(p, files);
                self.fds(p, files, &mounts);
            }
        }
        let gone = read.is_err();
        self.buffer = buffer;
        if gone { Err(Gone) } else { Ok(()) }
    }

    fn exe_file(&mut self, p: &mut Process, files: &OwnedFd, status: &Status<'_>, mounts: &Mounts) {
        let Ok(stat) = exe::stat(files, "exe") else {
            return;
        };
        let mount: Option<&Mount> = mounts.get(stat.stx_mnt_id);
        let own_users = p.namespaces.user == self.shared.own_users;
        let exepath = span(&self.text, p.exepath);
        let (upper_layer, lower_layer) = match mount.and_then(|m| m.overlay.as_ref()) {
            Some(overlay) => self.shared.layers((stat.stx_mnt_id, stat.stx_ino), overlay, exepath),
            None => (false, false),
        };
        p.exe_file = ExeFile {
            writable: exe::is_writable(&stat, mount, status, files, own_users),
            upper_layer,
            lower_layer,
            from_memfd: parse::is_memfd(exepath) && mount.is_none(),
            ino: stat.stx_ino,
            ctime: exe::nanoseconds(stat.stx_ctime),
            mtime: exe::nanoseconds(stat.stx_mtime),
        };
    }

    /// Whether the root directory is the machine's, and the accounts below it if it is another that is new.
    fn root(&mut self, p: &mut Process, files: &OwnedFd) {
        let same = p.namespaces.mnt != 0 && p.namespaces.mnt == self.shared.host_mounts;
        if same && span(&self.text, p.root) == b"/" {
            return;
        }
        let Some(id) = root_id(files, "root").filter(|id| Some(*id) != self.shared.host_root) else {
            return;
        };
        p.root_id = Some(id);
        let accounts = || self.shared.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts().contains_key(&id) {
            return;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(root) = rustix::fs::openat(files, "root", flags, Mode::empty()) {
            let found = users::of_root(&root);
            accounts().insert(id, found);
        } else {
            self.unreadable("root");
        }
    }

    fn fds(&mut self, p: &mut Process, files: &OwnedFd, mounts: &Mounts) {
        let (shared, net) = (self.shared, p.namespaces.net);
        let mut around = Around {
            dir: files,
            mounts,
            sockets: &|| (net != 0).then(|| shared.sockets.table(net, files)),
            buffer: &mut self.second,
            numbers: &mut self.numbers,
        };
        if !fds::read(&mut around, &mut self.text, &mut p.fds) {
            self.unreadable("fd");
        }
        if p.fds.iter().any(|fd| fd.kind == FdType::UNSUPPORTED) {
            shared.unresolved(p.tgid, net);
        }
    }

    fn other_threads(&mut self, p: &mut Process, dir: &OwnedFd, tgid: u32) {
        let Ok(task) = file::directory(dir, "task") else {
            return;
        };
        let mut numbers = std::mem::take(&mut self.numbers);
        if file::numbers(&task, &mut numbers).is_err() {
            self.unreadable("task");
        }
        p.threads.reserve_exact(numbers.len().saturating_sub(1));
        for tid in numbers.iter().filter(|tid| **tid != tgid) {
            match self.other_thread(&task, *tid, p.tgid) {
                Some(thread) => p.threads.push(thread),
                None => self.notes.vanished = self.notes.vanished.saturating_add(1),
            }
        }
        self.numbers = numbers;
    }

    fn other_thread(&mut self, task: &OwnedFd, tid: u32, tgid: i64) -> Option<Thread> {
        let mut name = [0; 16];
        let dir = file::directory(task, decimal(tid, &mut name)).ok()?;
        let mut stat_text = [0; 1024];
        let stat = file::read_at(&dir, "stat", &mut stat_text).ok().and_then(parse::stat)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        let status = file::read_at(&dir, "status", &mut buffer).map(parse::status);
        let thread = status.ok().map(|status| self.thread(&dir, tid.into(), tgid, &stat, &status));
        self.buffer = buffer;
        thread.map(|thread| Thread { flags: SHARES, ..thread })
    }

    fn thread(&mut self, dir: &OwnedFd, tid: i64, tgid: i64, stat: &Stat<'_>, s: &Status<'_>) -> Thread {
        let cgroups = if let Ok(text) = file::read_at(dir, "cgroup", &mut self.second) {
            self.shared.cgroups.groups(text)
        } else {
            self.unreadable("cgroup");
            Arc::default()
        };
        let or = |known: i64, other: i64| if known < 0 { other } else { known };
        let pgid = or(s.pgid, stat.pgid);
        Thread {
            tid,
            ptid: or(s.ptid, stat.ptid),
            sid: stat.sid,
            pgid,
            vpgid: or(s.vpgid, pgid),
            vtid: or(s.vtid, tid),
            vpid: or(s.vpid, tgid),
            start_ticks: stat.start_ticks,
            start: self.shared.start(stat.start_ticks),
            state: stat.state,
            comm: stat.comm.into(),
            flags: 0,
            uid: s.uid,
            gid: s.gid,
            tty: stat.tty,
            vmsize_kb: s.vmsize_kb,
            vmrss_kb: s.vmrss_kb,
            vmswap_kb: s.vmswap_kb,
            pfmajor: stat.pfmajor,
            pfminor: stat.pfminor,
            cap_inheritable: s.cap_inheritable,
            cap_permitted: s.cap_permitted,
            cap_effective: s.cap_effective,
            cgroups,
        }
    }
}

/// Device and inode of a directory.
pub(super) fn root_id(at: impl rustix::fd::AsFd, path: impl rustix::path::Arg) -> Option<RootId> {
    let stat = exe::stat(at, path).ok()?;
    Some((super::mounts::device(stat.stx_dev_major, stat.stx_dev_minor), stat.stx_ino))
}

fn span(text: &[u8], span: Span) -> &[u8] {
    let from = span.from as usize;
    text.get(from..from.saturating_add(span.len as usize)).unwrap_or_default()
}

/// A number's digits as a file name.
fn decimal(number: u32, buffer: &mut [u8; 16]) -> &[u8] {
    let mut rest = buffer.as_mut_slice();
    // Ten digits fit.
    let _ = write!(rest, "{number}");
    let left = rest.len();
    buffer.get(..16usize.saturating_sub(left)).unwrap_or_default()
}
