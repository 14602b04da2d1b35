//! A snapshot as blocks of a capture (scap-format section 2), and as events (os-state section 4.1).

use super::fds::by_socket;
use super::host::InterfaceAddress;
use super::parse;
use super::snapshot::{Fd, Process, RootId, Snapshot, Thread};
use super::tables::SocketInfo;
use scapkit_format::lists::fds::{Fd as ListedFd, FdInfo, FdType};
use scapkit_format::lists::interfaces::Interface;
use scapkit_format::lists::threads::{Tail, Thread as ListedThread};
use scapkit_format::lists::users::Account;
use scapkit_format::schema::id;
use scapkit_format::{BlockType, EventHead, Result, encode};
use std::collections::BTreeSet;

/// Longest strings that readers take (scap-format section 1.6).
const SHORT: usize = 1024;
const ACCOUNT: usize = 255;
/// Bytes after which a list goes on in another block.
const LIST: usize = 8 << 20;

fn cut(text: &[u8], max: usize) -> &[u8] {
    text.get(..max).unwrap_or(text)
}

fn listed<'a>(p: &'a Process, t: &'a Thread) -> ListedThread<'a> {
    let main = t.tid == p.tgid;
    ListedThread {
        tid: t.tid,
        pid: p.tgid,
        ptid: t.ptid,
        sid: t.sid,
        vpgid: t.vpgid,
        comm: cut(&t.comm, SHORT),
        exe: p.exe(),
        exepath: cut(p.exepath(), SHORT),
        args: p.args(),
        cwd: if p.cwd().is_empty() { b"/" } else { cut(p.cwd(), SHORT) },
        fdlimit: p.fdlimit,
        flags: t.flags,
        uid: t.uid,
        gid: t.gid,
        vmsize_kb: t.vmsize_kb,
        vmrss_kb: t.vmrss_kb,
        vmswap_kb: t.vmswap_kb,
        pfmajor: t.pfmajor,
        pfminor: t.pfminor,
        // The environment is the process's: as libs writes it, only the main thread has it.
        env: if main { p.env() } else { &[] },
        vtid: t.vtid,
        vpid: t.vpid,
        cgroups: &t.cgroups.list,
        root: cut(p.root(), SHORT),
        pidns_init_start_ts: p.pidns_init_start_ts,
        tty: t.tty,
        loginuid: p.loginuid,
        exe_writable: p.exe_file.writable.into(),
        cap_inheritable: t.cap_inheritable,
        cap_permitted: t.cap_permitted,
        cap_effective: t.cap_effective,
        exe_upper_layer: p.exe_file.upper_layer.into(),
        exe_ino: p.exe_file.ino,
        exe_ino_ctime: p.exe_file.ctime,
        exe_ino_mtime: p.exe_file.mtime,
        exe_from_memfd: p.exe_file.from_memfd.into(),
        exe_lower_layer: p.exe_file.lower_layer.into(),
        pgid: t.pgid,
        tail: Tail::NEW,
        extra: &[],
    }
}

fn listed_fd<'a>(p: &'a Process, fd: &'a Fd) -> ListedFd<'a> {
    let name = p.fd_name(fd);
    let info = match &fd.socket {
        Some(socket) => socket_info(socket, fd.ino),
        None if fd.kind == FdType::FILE_V2 => {
            FdInfo::File { open_flags: parse::open_flags(fd.flags), name, dev: Some(fd.dev) }
        }
        None => FdInfo::Name(name),
    };
    ListedFd { fd: fd.fd.into(), ino: fd.ino, kind: fd.kind, info, extra: &[] }
}

/// A unix socket's two ends are told by inode, 0 where unknown: what user space can see of kernel addresses is
/// hashed, so it would never match an event's, nor even the other end's. Inodes do match each other.
fn socket_info(socket: &SocketInfo, ino: u64) -> FdInfo<'_> {
    let server = by_socket(socket);
    match socket {
        SocketInfo::V4 { sip, sport, l4, .. } if server == FdType::IPV4_SERVSOCK => {
            FdInfo::Ipv4Server { ip: sip.octets(), port: *sport, l4: *l4 }
        }
        SocketInfo::V4 { sip, sport, dip, dport, l4 } => {
            FdInfo::Ipv4 { sip: sip.octets(), dip: dip.octets(), sport: *sport, dport: *dport, l4: *l4 }
        }
        SocketInfo::V6 { sip, sport, l4, .. } if server == FdType::IPV6_SERVSOCK => {
            FdInfo::Ipv6Server { ip: sip.octets(), port: *sport, l4: *l4 }
        }
        SocketInfo::V6 { sip, sport, dip, dport, l4 } => {
            FdInfo::Ipv6 { sip: sip.octets(), dip: dip.octets(), sport: *sport, dport: *dport, l4: *l4 }
        }
        SocketInfo::Unix { name, peer, .. } => FdInfo::Unix { source: ino, destination: *peer, name: cut(name, 1023) },
        SocketInfo::Netlink { .. } => FdInfo::Name(&[]),
    }
}

impl Snapshot {
    /// Appends the blocks MI, IL, UL, PL and FDL: what follows the section header of a capture. One FDL for each
    /// process.
    ///
    /// # Errors
    /// [`scapkit_format::Error::TooLarge`] when something is over what the format can say.
    pub fn lists(&self, out: &mut Vec<u8>) -> Result<()> {
        self.machine.encode(out);
        self.put_interfaces(out)?;
        self.put_accounts(out)?;
        self.process_lists(out)
    }

    /// Appends the blocks PL and FDL alone.
    ///
    /// # Errors
    /// As [`Snapshot::lists`].
    pub fn process_lists(&self, out: &mut Vec<u8>) -> Result<()> {
        let mut threads = self.processes.iter().flat_map(|p| p.threads.iter().map(move |t| (p, t))).peekable();
        while threads.peek().is_some() {
            encode::block_with(out, BlockType::PL_V9, |out| {
                let start = out.len();
                while let Some((p, t)) = threads.next_if(|_| out.len().saturating_sub(start) < LIST) {
                    listed(p, t).encode(9, out)?;
                }
                Ok(())
            })?;
        }
        self.processes.iter().try_for_each(|p| {
            encode::block_with(out, BlockType::FDL_V2, |out| {
                out.extend_from_slice(&p.tgid.to_le_bytes());
                p.fds.iter().try_for_each(|fd| listed_fd(p, fd).encode(2, out))
            })
        })
    }

    fn put_interfaces(&self, out: &mut Vec<u8>) -> Result<()> {
        if self.interfaces.is_empty() {
            return Ok(());
        }
        encode::block_with(out, BlockType::IL_V2, |out| {
            self.interfaces.iter().try_for_each(|InterfaceAddress { name, address }| {
                Interface { address: *address, linkspeed: Some(0), name, extra: &[] }.encode(2, out)
            })
        })
    }

    fn put_accounts(&self, out: &mut Vec<u8>) -> Result<()> {
        let (users, groups) = (&self.accounts.users, &self.accounts.groups);
        if users.is_empty() && groups.is_empty() {
            return Ok(());
        }
        encode::block_with(out, BlockType::UL_V2, |out| {
            for u in users {
                let [name, home, shell] = [&u.name, &u.home, &u.shell].map(|t| cut(t, ACCOUNT));
                Account::User { uid: u.uid, gid: u.gid, name, home, shell, extra: &[] }.encode(2, out)?;
            }
            groups.iter().try_for_each(|g| {
                Account::Group { kind: 1, gid: g.gid, name: cut(&g.name, ACCOUNT), extra: &[] }.encode(2, out)
            })
        })
    }

    /// Appends events about the users of containers, then about their groups; the number of events. `ts` is their
    /// time, ns since the epoch; `container` gives the id of the container that a process is in. Ids are the
    /// container's own view of its users.
    ///
    /// # Errors
    /// [`scapkit_format::Error::TooLarge`] when a text is over what the format can say.
    pub fn user_events<'a>(
        &'a self,
        ts: u64,
        container: &mut dyn FnMut(&'a Process) -> Option<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> Result<u64> {
        let rooted = self.processes.iter().filter_map(|p| Some((container(p)?, p.root_id?)));
        // Processes of a container may have several roots; each is told once.
        let rooted: BTreeSet<(Vec<u8>, RootId)> = rooted.filter(|(id, _)| !id.is_empty()).collect();
        let mut count = 0u64;
        let mut put = |event_type, params: &[&[u8]]| {
            count = count.saturating_add(1);
            encode::event(out, EventHead { ts, tid: -1, event_type, ..EventHead::default() }, params)
        };
        let nul = |text: &[u8]| [cut(text, ACCOUNT), &[0]].concat();
        for (id, root) in &rooted {
            for u in self.container_accounts.get(root).iter().flat_map(|a| &a.users) {
                let [name, home, shell, id] = [&u.name[..], &u.home, &u.shell, id].map(nul);
                put(id::USER_ADDED_E, &[&u.uid.to_le_bytes(), &u.gid.to_le_bytes(), &name, &home, &shell, &id])?;
            }
        }
        for (id, root) in &rooted {
            for g in self.container_accounts.get(root).iter().flat_map(|a| &a.groups) {
                put(id::GROUP_ADDED_E, &[&g.gid.to_le_bytes(), &nul(&g.name), &nul(id)])?;
            }
        }
        Ok(count)
    }
}
