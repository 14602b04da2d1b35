//! The state as the blocks that start a capture.
//!
//! Order: section header, machine, interfaces, users, threads, fds, checkpoint, events about what
//! lists do not hold (containers, and users inside them). Other readers know the state from the lists
//! and events, as well as these can say it; this one from the checkpoint.

use super::checkpoint::{self, Out};
use super::table::{Slot, cl};
use super::users::{Group, Listed, User};
use super::{Engine, Fd, FdKind, Socket, Thread};
use scapkit_format::lists::fds::{Fd as ListedFd, FdInfo, FdType};
use scapkit_format::lists::interfaces::Interface;
use scapkit_format::lists::threads::{Tail, Thread as ListedThread};
use scapkit_format::lists::users::Account;
use scapkit_format::schema::id;
use scapkit_format::{BlockType, EventHead, Result, encode};

/// Longest strings that other readers take (scap-format section 1.6).
const SHORT: usize = 1024;
const LONG: usize = 4096;
const FD_NAME: usize = 1023;
const ACCOUNT: usize = 255;
/// Bytes after which a list goes on in another block.
const LIST: usize = 8 << 20;

/// The number by which lists and checkpoints call a kind.
pub(super) fn fd_type(kind: FdKind) -> FdType {
    match kind {
        FdKind::Unknown => FdType::UNKNOWN,
        FdKind::File => FdType::FILE,
        FdKind::FileV2 => FdType::FILE_V2,
        FdKind::Directory => FdType::DIRECTORY,
        FdKind::Ipv4 => FdType::IPV4_SOCK,
        FdKind::Ipv6 => FdType::IPV6_SOCK,
        FdKind::Ipv4Server => FdType::IPV4_SERVSOCK,
        FdKind::Ipv6Server => FdType::IPV6_SERVSOCK,
        FdKind::Fifo => FdType::FIFO,
        FdKind::Unix => FdType::UNIX_SOCK,
        FdKind::Event => FdType::EVENT,
        FdKind::Unsupported => FdType::UNSUPPORTED,
        FdKind::SignalFd => FdType::SIGNALFD,
        FdKind::EventPoll => FdType::EVENTPOLL,
        FdKind::Inotify => FdType::INOTIFY,
        FdKind::TimerFd => FdType::TIMERFD,
        FdKind::Netlink => FdType::NETLINK,
        FdKind::Bpf => FdType::BPF,
        FdKind::UserFaultFd => FdType::USERFAULTFD,
        FdKind::IoUring => FdType::IOURING,
        FdKind::MemFd => FdType::MEMFD,
        FdKind::PidFd => FdType::PIDFD,
    }
}

fn cut(text: &[u8], max: usize) -> &[u8] {
    text.get(..max).unwrap_or(text)
}

/// A list of strings with the NUL that ends it, cut to what lists may hold.
fn with_nul(list: &[u8]) -> Vec<u8> {
    let mut out = cut(list, LONG.saturating_sub(1)).to_vec();
    if !out.is_empty() {
        out.push(0);
    }
    out
}

fn listed_thread(t: &Thread, fill: impl FnOnce(&ListedThread<'_>) -> Result<()>) -> Result<()> {
    let (args, env, cgroups) = (with_nul(&t.args), with_nul(&t.env), with_nul(&t.cgroups));
    fill(&ListedThread {
        tid: t.tid,
        pid: t.pid,
        ptid: t.ptid,
        sid: t.sid,
        vpgid: t.vpgid,
        comm: cut(&t.comm, SHORT),
        exe: cut(&t.exe, SHORT),
        exepath: cut(&t.exepath, SHORT),
        args: &args,
        cwd: if t.cwd.is_empty() { b"/" } else { cut(&t.cwd, SHORT) },
        fdlimit: t.fdlimit,
        flags: t.flags,
        uid: t.uid,
        gid: t.gid,
        vmsize_kb: t.vmsize_kb,
        vmrss_kb: t.vmrss_kb,
        vmswap_kb: t.vmswap_kb,
        pfmajor: t.pfmajor,
        pfminor: t.pfminor,
        env: &env,
        vtid: t.vtid,
        vpid: t.vpid,
        cgroups: &cgroups,
        root: cut(&t.root, SHORT),
        pidns_init_start_ts: t.pidns_init_start_ts,
        tty: t.tty,
        loginuid: t.loginuid,
        exe_writable: t.exe_writable.into(),
        cap_inheritable: t.cap_inheritable,
        cap_permitted: t.cap_permitted,
        cap_effective: t.cap_effective,
        exe_upper_layer: t.exe_upper_layer.into(),
        exe_ino: t.exe_ino,
        exe_ino_ctime: t.exe_ino_ctime,
        exe_ino_mtime: t.exe_ino_mtime,
        exe_from_memfd: t.exe_from_memfd.into(),
        exe_lower_layer: t.exe_lower_layer.into(),
        pgid: t.pgid,
        tail: Tail::NEW,
        extra: &[],
    })
}

/// Lists have the machine's own end of a connection first, as `/proc` has; we have the client's.
fn swapped(fd: &Fd) -> bool {
    fd.flags & Fd::ROLE_SERVER != 0
}

fn listed_fd(number: i64, fd: &Fd) -> ListedFd<'_> {
    let name = cut(&fd.name, FD_NAME);
    let mut kind = fd_type(fd.kind);
    let info = match (fd.kind, fd.socket) {
        (FdKind::FileV2, _) => FdInfo::File { open_flags: fd.open_flags, name, dev: Some(fd.dev) },
        (FdKind::Ipv4, Socket::Ipv4 { sip, sport, dip, dport, l4 }) if swapped(fd) => {
            FdInfo::Ipv4 { sip: dip, dip: sip, sport: dport, dport: sport, l4 }
        }
        (FdKind::Ipv4, Socket::Ipv4 { sip, sport, dip, dport, l4 }) => FdInfo::Ipv4 { sip, dip, sport, dport, l4 },
        (FdKind::Ipv6, Socket::Ipv6 { sip, sport, dip, dport, l4 }) if swapped(fd) => {
            FdInfo::Ipv6 { sip: dip, dip: sip, sport: dport, dport: sport, l4 }
        }
        (FdKind::Ipv6, Socket::Ipv6 { sip, sport, dip, dport, l4 }) => FdInfo::Ipv6 { sip, dip, sport, dport, l4 },
        (FdKind::Ipv4Server, Socket::Ipv4Server { ip, port, l4 }) => FdInfo::Ipv4Server { ip, port, l4 },
        (FdKind::Ipv6Server, Socket::Ipv6Server { ip, port, l4 }) => FdInfo::Ipv6Server { ip, port, l4 },
        (FdKind::Unix, Socket::Unix { source, destination }) => FdInfo::Unix { source, destination, name },
        // Type 0 is never written, and a socket of which something else is known is not one for lists.
        (FdKind::Unknown | FdKind::Ipv4 | FdKind::Ipv6 | FdKind::Ipv4Server | FdKind::Ipv6Server | FdKind::Unix, _) => {
            kind = FdType::UNSUPPORTED;
            FdInfo::Name(name)
        }
        _ => FdInfo::Name(name),
    };
    ListedFd { fd: number, ino: fd.ino, kind, info, extra: &[] }
}

impl Engine {
    /// The state as the start of a capture, which begins with the section header and to which events
    /// that come later can be appended. `ts`: a time for events about containers, best that of the last
    /// event; ns since the epoch.
    ///
    /// Read again, every field of later events is the same, except those that look back at enter events
    /// of old captures: [`crate::Player::export`] keeps these too.
    ///
    /// # Errors
    /// [`scapkit_format::Error::TooLarge`] when a text is over what the format can say.
    pub fn export(&self, ts: u64) -> Result<Vec<u8>> {
        self.export_with(ts, &crate::replay::nothing_around(ts))
    }

    /// As [`Engine::export`]; `around` is what a player writes in front of the engine's state.
    pub(crate) fn export_with(&self, ts: u64, around: &dyn Fn(&mut Out, u32)) -> Result<Vec<u8>> {
        let mut events = Vec::new();
        let count = self.put_events(ts, &mut events)?;
        let mut out = Vec::new();
        self.put_lists(&mut out)?;
        let mut state = Out::default();
        around(&mut state, count);
        self.encode(&mut state);
        checkpoint::put_blocks(&mut out, &state.bytes)?;
        out.append(&mut events);
        Ok(out)
    }

    /// Whether a thread is in the table only because the exit that was the last event can show it.
    fn is_leaving(&self, slot: &Slot) -> bool {
        self.dying == Some(slot.thread.tid)
            && !(slot.thread.is_main() && self.table.groups.get(&slot.group).is_some_and(|g| g.alive > 0))
    }

    fn put_lists(&self, out: &mut Vec<u8>) -> Result<()> {
        encode::section_header(out);
        if let Some(machine) = &self.machine {
            machine.encode(out);
        }
        self.put_interfaces(out)?;
        self.put_users(out)?;
        let slots: Vec<&Slot> = self.table.slots_by_tid().filter_map(|(_, slot)| self.table.get(slot)).collect();
        let mut rest = slots.iter().filter(|s| !self.is_leaving(s)).peekable();
        while rest.peek().is_some() {
            encode::block_with(out, BlockType::PL_V9, |out| {
                let start = out.len();
                while let Some(slot) = rest.next_if(|_| out.len().saturating_sub(start) < LIST) {
                    listed_thread(&slot.thread, |t| t.encode(9, out))?;
                }
                Ok(())
            })?;
        }
        for slot in slots.iter().filter(|s| !self.is_leaving(s)) {
            self.put_fds(slot, out)?;
        }
        Ok(())
    }

    fn put_fds(&self, slot: &Slot, out: &mut Vec<u8>) -> Result<()> {
        let tid = slot.thread.tid;
        let closing = self.closing.filter(|(of, _)| {
            let owner = self.table.find(*of).and_then(|s| self.table.fd_owner(s)).and_then(|s| self.table.get(s));
            owner.is_some_and(|owner| owner.thread.tid == tid)
        });
        encode::block_with(out, BlockType::FDL_V2, |out| {
            out.extend_from_slice(&tid.to_le_bytes());
            // A thread that shares its leader's table has none of its own that counts.
            if slot.thread.flags & cl::FILES != 0 && !slot.thread.is_main() {
                return Ok(());
            }
            let fds = slot.fds.iter().filter(|(number, _)| closing.is_none_or(|(_, closed)| closed != **number));
            for (number, fd) in fds {
                listed_fd(*number, fd).encode(2, out)?;
            }
            Ok(())
        })
    }

    fn put_interfaces(&self, out: &mut Vec<u8>) -> Result<()> {
        if self.interfaces.listed.is_empty() {
            return Ok(());
        }
        encode::block_with(out, BlockType::IL_V2, |out| {
            self.interfaces.listed.iter().try_for_each(|Listed { address, linkspeed, name }| {
                let linkspeed = Some(linkspeed.unwrap_or(0));
                Interface { address: *address, linkspeed, name, extra: &[] }.encode(2, out)
            })
        })
    }

    fn put_users(&self, out: &mut Vec<u8>) -> Result<()> {
        let (people, groups) = (&self.users.people, &self.users.groups);
        let mut people = people.iter().filter(|((container, _), _)| container.is_empty()).map(|(_, user)| user);
        let mut groups = groups.iter().filter(|((container, _), _)| container.is_empty()).map(|(_, group)| group);
        let (mut person, mut group) = (people.next(), groups.next());
        if person.is_none() && group.is_none() {
            return Ok(());
        }
        encode::block_with(out, BlockType::UL_V2, |out| {
            while let Some(User { uid, gid, name, home, shell, .. }) = person {
                let [name, home, shell] = [name, home, shell].map(|t| cut(t, ACCOUNT));
                Account::User { uid: *uid, gid: *gid, name, home, shell, extra: &[] }.encode(2, out)?;
                person = people.next();
            }
            while let Some(Group { gid, name, .. }) = group {
                Account::Group { kind: 1, gid: *gid, name: cut(name, ACCOUNT), extra: &[] }.encode(2, out)?;
                group = groups.next();
            }
            Ok(())
        })
    }

    /// Appends events about what lists do not hold; their number.
    fn put_events(&self, ts: u64, out: &mut Vec<u8>) -> Result<u32> {
        let mut count = 0u32;
        let mut put = |event_type, params: &[&[u8]]| {
            count = count.saturating_add(1);
            encode::event(out, EventHead { ts, tid: -1, event_type, ..EventHead::default() }, params)
        };
        let nul = |text: &[u8]| [text, &[0]].concat();
        for container in self.containers().filter(|c| !c.json.is_empty()) {
            put(id::CONTAINER_JSON_2_E, &[&nul(&container.json)])?;
        }
        for ((container, uid), user) in self.users.people.iter().filter(|((c, _), _)| !c.is_empty()) {
            let texts = [&user.name, &user.home, &user.shell, container].map(|t| nul(cut(t, SHORT)));
            let [name, home, shell, container] = &texts;
            put(id::USER_ADDED_E, &[&uid.to_le_bytes(), &user.gid.to_le_bytes(), name, home, shell, container])?;
        }
        for ((container, gid), group) in self.users.groups.iter().filter(|((c, _), _)| !c.is_empty()) {
            let (name, container) = (nul(cut(&group.name, SHORT)), nul(cut(container, SHORT)));
            put(id::GROUP_ADDED_E, &[&gid.to_le_bytes(), &name, &container])?;
        }
        Ok(count)
    }
}
