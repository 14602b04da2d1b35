//! The state engine: threads, fd tables, users, interfaces, kept up to date event by event.
//!
//! Source: the state engine specification; section numbers in comments are its.

mod fd;
pub mod paths;
mod thread;

pub use fd::{Fd, FdKind, Socket};
pub use thread::{Text, Thread};

use scapkit_format::lists::fds::{FdInfo, FdType};
use scapkit_format::{Content, MachineInfo};
use std::collections::BTreeMap;

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

/// Everything that is known at an event. A stand-in that only reads lists.
#[derive(Debug, Default)]
pub struct Engine {
    threads: BTreeMap<i64, Thread>,
    fds: BTreeMap<(i64, i64), Fd>,
    users: BTreeMap<u32, Text>,
    groups: BTreeMap<u32, Text>,
    machine: Option<MachineInfo>,
}

impl Engine {
    /// Takes in a block that is not an event.
    pub fn content(&mut self, content: &Content<'_>) {
        use scapkit_format::lists::users::Account;
        match content {
            Content::Machine(machine) => self.machine = Some(**machine),
            Content::Threads(list) => {
                for t in list.clone().flatten() {
                    self.threads.insert(t.tid, listed_thread(&t));
                }
            }
            Content::Fds(list) => {
                let tid = list.tid;
                for fd in list.clone().flatten() {
                    self.fds.insert((tid, fd.fd), listed_fd(&fd));
                }
            }
            Content::Users(list) => {
                for account in list.clone().flatten() {
                    match account {
                        Account::User { uid, name, .. } => self.users.insert(uid, name.into()),
                        Account::Group { gid, name, .. } => self.groups.insert(gid, name.into()),
                    };
                }
            }
            _ => {}
        }
    }

    /// Ends the lists of a section.
    pub fn finish_lists(&mut self) {}

    /// The thread of that id, if it is known.
    pub fn thread(&self, tid: i64) -> Option<&Thread> {
        self.threads.get(&tid)
    }

    /// The leader of a thread's process: itself, or `None` when it is not known.
    pub fn main_thread(&self, tid: i64) -> Option<&Thread> {
        self.threads.get(&self.threads.get(&tid)?.pid)
    }

    /// Working directory of a thread's process: `./` when its leader is not known (section 5.1).
    pub fn cwd(&self, tid: i64) -> Option<&[u8]> {
        self.thread(tid)?;
        Some(self.main_thread(tid).map_or(b"./", |t| &t.cwd))
    }

    /// The fd of that number in the table that thread `tid` uses (its own, or its leader's when it
    /// shares it).
    pub fn fd(&self, tid: i64, fd: i64) -> Option<&Fd> {
        self.fds.get(&(self.main_thread(tid)?.tid, fd))
    }

    /// The fds that a thread uses, by number.
    pub fn fds(&self, tid: i64) -> impl Iterator<Item = (i64, &Fd)> {
        self.fds.range((tid, i64::MIN)..=(tid, i64::MAX)).map(|((_, n), fd)| (*n, fd))
    }

    /// Living threads of a process.
    pub fn alive_threads(&self, pid: i64) -> u32 {
        u32::try_from(self.threads.values().filter(|t| t.pid == pid).count()).unwrap_or(u32::MAX)
    }

    /// Name of a user.
    pub fn user_name(&self, uid: u32) -> Option<&[u8]> {
        self.users.get(&uid).map(|n| &**n).or((uid == 0).then_some(b"root"))
    }

    /// Name of a group.
    pub fn group_name(&self, gid: u32) -> Option<&[u8]> {
        self.groups.get(&gid).map(|n| &**n).or((gid == 0).then_some(b"root"))
    }

    /// The capture's machine.
    pub fn machine(&self) -> Option<&MachineInfo> {
        self.machine.as_ref()
    }
}

fn listed_thread(t: &scapkit_format::lists::threads::Thread<'_>) -> Thread {
    let mut cwd = t.cwd.to_vec();
    paths::end_with_slash(&mut cwd);
    Thread {
        tid: t.tid,
        pid: t.pid,
        ptid: t.ptid,
        sid: t.sid,
        vpgid: t.vpgid,
        pgid: t.pgid,
        vtid: t.vtid,
        vpid: t.vpid,
        comm: t.comm.into(),
        exe: t.exe.into(),
        exepath: t.exepath.into(),
        args: t.args.strip_suffix(&[0]).unwrap_or(t.args).into(),
        env: t.env.into(),
        cgroups: t.cgroups.strip_suffix(&[0]).unwrap_or(t.cgroups).into(),
        root: t.root.into(),
        cwd: cwd.into(),
        flags: t.flags,
        fdlimit: t.fdlimit,
        uid: t.uid,
        gid: t.gid,
        loginuid: t.loginuid,
        tty: t.tty,
        vmsize_kb: t.vmsize_kb,
        vmrss_kb: t.vmrss_kb,
        vmswap_kb: t.vmswap_kb,
        pfmajor: t.pfmajor,
        pfminor: t.pfminor,
        cap_inheritable: t.cap_inheritable,
        cap_permitted: t.cap_permitted,
        cap_effective: t.cap_effective,
        exe_writable: t.exe_writable != 0,
        exe_upper_layer: t.exe_upper_layer != 0,
        exe_lower_layer: t.exe_lower_layer != 0,
        exe_from_memfd: t.exe_from_memfd != 0,
        exe_ino: t.exe_ino,
        exe_ino_ctime: t.exe_ino_ctime,
        exe_ino_mtime: t.exe_ino_mtime,
        pidns_init_start_ts: t.pidns_init_start_ts,
        clone_ts: 0,
        lastexec_ts: 0,
        last_fd: -1,
    }
}

fn listed_fd(from: &scapkit_format::lists::fds::Fd<'_>) -> Fd {
    let kind = match from.kind {
        FdType::FILE | FdType::FILE_V2 => FdKind::File,
        FdType::DIRECTORY => FdKind::Directory,
        FdType::IPV4_SOCK => FdKind::Ipv4,
        FdType::IPV4_SERVSOCK => FdKind::Ipv4Server,
        FdType::FIFO => FdKind::Fifo,
        _ => FdKind::Unsupported,
    };
    let mut fd = Fd::new(kind);
    fd.ino = from.ino;
    match from.info {
        FdInfo::File { name, dev, .. } => {
            fd.name = name.into();
            fd.dev = dev.unwrap_or(0);
        }
        FdInfo::Name(name) => fd.name = name.into(),
        FdInfo::Ipv4 { sip, dip, sport, dport, l4 } => {
            fd.socket = Socket::Ipv4 { sip, sport, dip, dport, l4 };
            fd.flags |= Fd::ROLE_CLIENT;
            let mut name = Vec::new();
            crate::text::sockets::ipv4(&mut name, sip);
            name.extend_from_slice(format!(":{sport}->").as_bytes());
            crate::text::sockets::ipv4(&mut name, dip);
            name.extend_from_slice(format!(":{dport}").as_bytes());
            fd.name = name.into();
        }
        _ => {}
    }
    fd
}
