//! The lists that start a section (state engine section 3).

use super::exec::without_deleted;
use super::process::modern_cgroups;
use super::table::cl;
use super::{Engine, Fd, FdKind, Socket, Thread, names, paths};
use scapkit_format::lists::fds::{self, FdInfo, FdType};
use scapkit_format::lists::threads;
use std::collections::BTreeSet;

/// Kinds by the number that a list stores, from 1.
const KINDS: [FdKind; 21] = [
    FdKind::File,
    FdKind::Directory,
    FdKind::Ipv4,
    FdKind::Ipv6,
    FdKind::Ipv4Server,
    FdKind::Ipv6Server,
    FdKind::Fifo,
    FdKind::Unix,
    FdKind::Event,
    FdKind::Unsupported,
    FdKind::SignalFd,
    FdKind::EventPoll,
    FdKind::Inotify,
    FdKind::TimerFd,
    FdKind::Netlink,
    FdKind::FileV2,
    FdKind::Bpf,
    FdKind::UserFaultFd,
    FdKind::IoUring,
    FdKind::MemFd,
    FdKind::PidFd,
];

const L4_TCP: u8 = 2;

/// Time from the change of the executable's inode to the clone event of a thread of the list, whose clone
/// event nobody saw. Upstream never sets it; what was in its memory is this in all of its answers that are known.
const LISTED_CTIME_TO_CLONE: u64 = 1;

/// What came with lists since threads were linked last, so that a list in the middle of a section costs no more
/// than what is in it.
#[derive(Debug, Default)]
pub(super) struct Listed {
    /// Threads, and those that fds are of.
    pub tids: Vec<i64>,
    /// Ports that servers of this section's lists are bound to.
    pub ports: BTreeSet<u16>,
}

impl Listed {
    /// More are not remembered before duplicates are taken out; a table has fewer threads unless told otherwise.
    pub const MAX: usize = 1 << 20;

    fn add(&mut self, tid: i64) {
        if self.tids.len() >= Self::MAX {
            self.sort();
        }
        if self.tids.last() != Some(&tid) {
            self.tids.push(tid);
        }
    }

    fn sort(&mut self) {
        self.tids.sort_unstable();
        self.tids.dedup();
    }

    /// The threads in the order of their ids.
    pub fn take(&mut self) -> Vec<i64> {
        self.sort();
        std::mem::take(&mut self.tids)
    }
}

pub(super) fn kind_of(kind: FdType) -> Option<FdKind> {
    KINDS.get(usize::from(kind.0).checked_sub(1)?).copied()
}

fn without_nul(list: &[u8]) -> &[u8] {
    list.strip_suffix(&[0]).unwrap_or(list)
}

impl Engine {
    pub(super) fn load_threads(&mut self, list: threads::Threads<'_>) {
        self.lists_open = true;
        for entry in list.map_while(Result::ok) {
            let thread = self.thread_of(&entry);
            if self.table.insert(thread).is_some() {
                self.listed.add(entry.tid);
            }
        }
    }

    fn thread_of(&mut self, e: &threads::Thread<'_>) -> Thread {
        let mut t = Thread::unknown(e.tid);
        let pool = &mut self.table.pool;
        t.pid = e.pid;
        t.ptid = e.ptid;
        t.sid = e.sid;
        t.vpgid = e.vpgid;
        t.pgid = e.pgid;
        t.vtid = e.vtid;
        t.vpid = e.vpid;
        t.comm = pool.text(e.comm);
        t.exe = pool.text(e.exe);
        t.exepath = pool.text(without_deleted(e.exepath));
        t.args = pool.text(without_nul(e.args));
        if e.tid == e.pid {
            t.env = pool.text(without_nul(e.env));
            paths::join(&mut self.scratch, b"", e.cwd);
            if self.scratch.last() != Some(&b'/') {
                self.scratch.push(b'/');
            }
            t.cwd = pool.text(&self.scratch);
        }
        if modern_cgroups(&mut self.scratch, without_nul(e.cgroups)) {
            t.cgroups = pool.text(&self.scratch);
            t.container_id = self.containers.resolve(&t.cgroups, pool);
        }
        t.root = pool.text(e.root);
        t.flags |= e.flags | cl::ACTIVE;
        t.fdlimit = e.fdlimit;
        t.uid = e.uid;
        t.gid = e.gid;
        t.loginuid = e.loginuid;
        t.tty = e.tty;
        t.vmsize_kb = e.vmsize_kb;
        t.vmrss_kb = e.vmrss_kb;
        t.vmswap_kb = e.vmswap_kb;
        t.pfmajor = e.pfmajor;
        t.pfminor = e.pfminor;
        t.cap_inheritable = e.cap_inheritable;
        t.cap_permitted = e.cap_permitted;
        t.cap_effective = e.cap_effective;
        t.exe_writable = e.exe_writable != 0;
        t.exe_upper_layer = e.exe_upper_layer != 0;
        t.exe_lower_layer = e.exe_lower_layer != 0;
        t.exe_from_memfd = e.exe_from_memfd != 0;
        t.exe_ino = e.exe_ino;
        t.exe_ino_ctime = e.exe_ino_ctime;
        t.exe_ino_mtime = e.exe_ino_mtime;
        t.ctime_to_clone_ns = LISTED_CTIME_TO_CLONE;
        t.pidns_init_start_ts = e.pidns_init_start_ts;
        t
    }

    /// Fds of threads that are not in the list are of no use.
    pub(super) fn load_fds(&mut self, list: fds::Fds<'_>) {
        let Some(slot) = self.table.find(list.tid) else {
            return;
        };
        self.lists_open = true;
        self.listed.add(list.tid);
        for entry in list.map_while(Result::ok) {
            if let Some(fd) = self.fd_of(&entry) {
                if let Socket::Ipv4Server { port, .. } | Socket::Ipv6Server { port, .. } = fd.socket {
                    self.listed.ports.insert(port);
                }
                self.table.add_own_fd(slot, entry.fd, fd);
            }
        }
    }

    fn fd_of(&mut self, e: &fds::Fd<'_>) -> Option<Fd> {
        let mut fd = Fd::new(kind_of(e.kind)?);
        fd.flags = Fd::FROM_LIST;
        fd.ino = e.ino;
        let pool = &mut self.table.pool;
        match &e.info {
            FdInfo::None => return None,
            FdInfo::Name(name) => fd.name = pool.text(name),
            FdInfo::File { open_flags, name, dev } => {
                fd.open_flags = *open_flags;
                fd.name = pool.text(name);
                fd.dev = dev.unwrap_or(0);
            }
            FdInfo::Unix { source, destination, name } => {
                fd.socket = Socket::Unix { source: *source, destination: *destination };
                fd.name = pool.text(name);
                fd.flags |= if name.is_empty() { Fd::ROLE_CLIENT } else { Fd::ROLE_SERVER };
            }
            FdInfo::Ipv4 { sip, dip, sport, dport, l4 } => {
                fd.socket = Socket::Ipv4 { sip: *sip, sport: *sport, dip: *dip, dport: *dport, l4: *l4 };
            }
            FdInfo::Ipv6 { sip, dip, sport, dport, l4 } => {
                let (sport, dport, l4) = (*sport, *dport, *l4);
                if let (Some(sip), Some(dip)) = (names::mapped(sip), names::mapped(dip)) {
                    fd.kind = FdKind::Ipv4;
                    fd.socket = Socket::Ipv4 { sip, sport, dip, dport, l4 };
                } else {
                    fd.socket = Socket::Ipv6 { sip: *sip, sport, dip: *dip, dport, l4 };
                }
            }
            FdInfo::Ipv4Server { ip, port, l4 } => {
                fd.socket = Socket::Ipv4Server { ip: *ip, port: *port, l4: *l4 };
            }
            FdInfo::Ipv6Server { ip, port, l4 } => {
                fd.socket = Socket::Ipv6Server { ip: *ip, port: *port, l4: *l4 };
            }
        }
        if matches!(fd.kind, FdKind::Ipv4 | FdKind::Ipv6) && fd.socket.l4() == L4_TCP {
            fd.flags |= Fd::CONNECTED;
        }
        if !matches!(fd.socket, Socket::None | Socket::Unix { .. }) {
            names::listed(&mut self.scratch, &fd.socket);
            fd.name = pool.text(&self.scratch);
        }
        Some(fd)
    }

    /// Tells servers from clients among the IPv4 sockets of the lists: a server's port is bound by some
    /// thread. IPv6 sockets are left as they are, as upstream does.
    pub(super) fn fix_sockets(&mut self, tids: &[i64]) {
        let mut name = std::mem::take(&mut self.scratch);
        let ports = &self.listed.ports;
        for tid in tids {
            let Some(slot) = self.table.find(*tid) else {
                continue;
            };
            self.table.change_own_fds(slot, FdKind::Ipv4, |fd, pool| {
                let Socket::Ipv4 { sip, sport, dip, dport, l4 } = fd.socket else {
                    return;
                };
                if fd.flags & Fd::FROM_LIST == 0 || !fd.has_no_role() {
                    // Of an event, or of a list before: another list in the middle of a section.
                    return;
                }
                if !ports.contains(&sport) {
                    fd.flags |= Fd::ROLE_CLIENT;
                    return;
                }
                fd.socket = Socket::Ipv4 { sip: dip, sport: dport, dip: sip, dport: sport, l4 };
                fd.flags |= Fd::ROLE_SERVER;
                names::listed(&mut name, &fd.socket);
                pool.set(&mut fd.name, &name);
            });
        }
        self.scratch = name;
    }
}
