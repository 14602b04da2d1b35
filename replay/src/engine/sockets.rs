//! Sockets: their tuples, roles and names (state engine 7.3 and 7.4).

use super::bind::{Cx, Handler, signed, u32_of};
use super::fd::o;
use super::tuples::{Ends, ends_v4, ends_v6, is_known, set_v4, set_v6_or_mapped, swap, take_tuple};
use super::{Engine, Fd, FdKind, Socket, names};
use scapkit_format::Event;
use scapkit_format::schema::id;
use scapkit_format::value::{SockAddr, SockTuple};

const AF_UNIX: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const AF_NETLINK: u32 = 16;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const SOCK_RAW: u32 = 3;
const EINPROGRESS: i64 = 115;

pub(super) const L4_UNKNOWN: u8 = 0;
pub(super) const L4_TCP: u8 = 2;
pub(super) const L4_UDP: u8 = 3;
pub(super) const L4_ICMP: u8 = 4;
pub(super) const L4_RAW: u8 = 5;

pub(super) const HANDLERS: &[(u16, Handler)] = &[
    (id::SOCKET_SOCKET_X, socket),
    (id::SOCKET_BIND_X, bind),
    (id::SOCKET_CONNECT_X, connect),
    (id::SOCKET_ACCEPT_5_X, accept),
    (id::SOCKET_ACCEPT4_6_X, accept),
    (id::SYSCALL_READ_X, read),
    (id::SYSCALL_READV_X, read),
    (id::SYSCALL_PREAD_X, read),
    (id::SYSCALL_PREADV_X, read),
    (id::SOCKET_RECV_X, read),
    (id::SOCKET_RECVFROM_X, read),
    (id::SOCKET_RECVMSG_X, read),
    (id::SOCKET_RECVMMSG_X, read),
    (id::SYSCALL_WRITE_X, write),
    (id::SYSCALL_WRITEV_X, write),
    (id::SYSCALL_PWRITE_X, write),
    (id::SYSCALL_PWRITEV_X, write),
    (id::SOCKET_SEND_X, write),
    (id::SOCKET_SENDTO_X, write),
    (id::SOCKET_SENDMSG_X, write),
    (id::SOCKET_SENDMMSG_X, write),
];

/// Calls that move data and are not told from where to where. They only show that a socket is connected.
pub(super) const UNADDRESSED_DATA: [u16; 8] = [
    id::SYSCALL_READ_X,
    id::SYSCALL_READV_X,
    id::SYSCALL_PREAD_X,
    id::SYSCALL_PREADV_X,
    id::SYSCALL_WRITE_X,
    id::SYSCALL_WRITEV_X,
    id::SYSCALL_PWRITE_X,
    id::SYSCALL_PWRITEV_X,
];

/// Parameter with the tuple of events that have one.
fn tuple_param(event_type: u16) -> Option<usize> {
    match event_type {
        id::SOCKET_RECVFROM_X => Some(2),
        id::SOCKET_RECVMSG_X => Some(3),
        id::SOCKET_RECV_X
        | id::SOCKET_RECVMMSG_X
        | id::SOCKET_SEND_X
        | id::SOCKET_SENDTO_X
        | id::SOCKET_SENDMSG_X
        | id::SOCKET_SENDMMSG_X => Some(4),
        _ => None,
    }
}

/// An address that is complete.
fn address<'a>(event: &Event<'a>, param: usize) -> Option<SockAddr<'a>> {
    let bytes = event.param(param)?;
    match SockAddr::parse(bytes)? {
        SockAddr::Other { family: AF_UNIX | AF_INET | AF_INET6, .. } => None,
        SockAddr::Unix { .. } if bytes.last() != Some(&0) => None,
        address => Some(address),
    }
}

/// A tuple that is complete.
fn tuple<'a>(event: &Event<'a>, param: usize) -> Option<SockTuple<'a>> {
    let bytes = event.param(param)?;
    match SockTuple::parse(bytes)? {
        SockTuple::Other { family: AF_UNIX | AF_INET | AF_INET6, .. } => None,
        SockTuple::Unix { .. } if bytes.len() < 18 || bytes.last() != Some(&0) => None,
        tuple => Some(tuple),
    }
}

fn new_socket(domain: u32, kind: u32, protocol: u32, flags: u32) -> Fd {
    let raw = |l4| if kind == SOCK_RAW { L4_RAW } else { l4 };
    let l4 = match (protocol, kind & 0xFF) {
        (0, SOCK_STREAM) => L4_TCP,
        (0, SOCK_DGRAM) => L4_UDP,
        (1, _) => raw(L4_ICMP),
        (6, _) => raw(L4_TCP),
        (17, _) => raw(L4_UDP),
        (255, _) => L4_RAW,
        _ => L4_UNKNOWN,
    };
    let v4 = Socket::Ipv4 { sip: [0; 4], sport: 0, dip: [0; 4], dport: 0, l4 };
    let v6 = Socket::Ipv6 { sip: [0; 16], sport: 0, dip: [0; 16], dport: 0, l4 };
    let (kind, socket) = match domain {
        1 => (FdKind::Unix, Socket::Unix { source: 0, destination: 0 }),
        2 => (FdKind::Ipv4, v4),
        10 => (FdKind::Ipv6, v6),
        AF_NETLINK => (FdKind::Netlink, Socket::None),
        _ => (FdKind::Unknown, Socket::None),
    };
    let mut fd = Fd::new(kind);
    fd.socket = socket;
    fd.open_flags = flags;
    fd
}

fn socket(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if let Some((slot, number)) = cx.ok() {
        let [domain, kind, protocol, flags] = [1, 2, 3, 4].map(|param| u32_of(event, param).unwrap_or(0));
        engine.table.add_fd(slot, number, new_socket(domain, kind, protocol, flags));
    }
}

fn bind(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let (Some((slot, _)), Some(number), Some(address)) = (cx.ok(), cx.fd, address(event, 1)) else {
        return;
    };
    names::address(&mut engine.scratch, &address);
    let name = &engine.scratch;
    engine.table.change_fd(slot, number, |fd, pool| {
        let l4 = fd.socket.l4();
        let server = match address {
            SockAddr::Ipv4 { ip, port } if port > 0 => Some((FdKind::Ipv4Server, Socket::Ipv4Server { ip, port, l4 })),
            SockAddr::Ipv6 { ip, port } if port > 0 => Some(match names::mapped(&ip) {
                Some(ip) => (FdKind::Ipv4Server, Socket::Ipv4Server { ip, port, l4 }),
                None => (FdKind::Ipv6Server, Socket::Ipv6Server { ip, port, l4 }),
            }),
            _ => None,
        };
        if let Some((kind, socket)) = server {
            fd.kind = kind;
            fd.socket = socket;
            fd.flags |= Fd::ROLE_SERVER;
        }
        pool.set(&mut fd.name, name);
    });
}

/// The destination that a program asked for, when the kernel saw the same address at enter and exit as the
/// tuple says: it cannot have been changed in between then.
fn asked_for<A: PartialEq>(tuple: (A, u16), exit: Option<(A, u16)>, enter: Option<(A, u16)>) -> (A, u16) {
    match (exit, enter) {
        (Some(exit), Some(enter)) if exit == tuple => enter,
        _ => tuple,
    }
}

fn v4_of(address: Option<SockAddr<'_>>) -> Option<([u8; 4], u16)> {
    match address {
        Some(SockAddr::Ipv4 { ip, port }) => Some((ip, port)),
        _ => None,
    }
}

fn v6_of(address: Option<SockAddr<'_>>) -> Option<([u8; 16], u16)> {
    match address {
        Some(SockAddr::Ipv6 { ip, port }) => Some((ip, port)),
        _ => None,
    }
}

fn path_of(address: Option<SockAddr<'_>>) -> Option<&[u8]> {
    match address {
        Some(SockAddr::Unix { path }) => Some(path),
        _ => None,
    }
}

fn connect(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let (Some(slot), Some(number), Some(res)) = (cx.slot, cx.fd, cx.res) else {
        return;
    };
    let enter = engine.take_enter(event, cx);
    if res < 0 && res != EINPROGRESS.wrapping_neg() {
        return;
    }
    let enter = enter.as_ref().map(|e| e.view());
    let wanted = enter.as_ref().and_then(|e| address(e, 1));
    let seen = address(event, 3);
    let ends = tuple(event, 1);
    let no_tuple = event.param(1).is_none_or(<[u8]>::is_empty);
    let mut name = std::mem::take(&mut engine.scratch);
    engine.table.change_fd(slot, number, |fd, pool| {
        fd.flags |= Fd::CONNECTED;
        if no_tuple {
            match wanted {
                None => {}
                Some(SockAddr::Ipv4 { ip, port }) => aim_v4(fd, ip, port),
                Some(SockAddr::Ipv6 { ip, port }) => match names::mapped(&ip) {
                    Some(ip) => aim_v4(fd, ip, port),
                    None => aim_v6(fd, ip, port),
                },
                // How upstream writes a tuple that is not there.
                Some(_) => pool.set(&mut fd.name, b"NULL"),
            }
            return;
        }
        let changed = match ends {
            Some(SockTuple::Ipv4 { sip, sport, dip, dport }) => {
                let (dip, dport) = asked_for((dip, dport), v4_of(seen), v4_of(wanted));
                set_v4(fd, Ends { sip, sport, dip, dport })
            }
            Some(SockTuple::Ipv6 { sip, sport, dip, dport }) => {
                let (dip, dport) = asked_for((dip, dport), v6_of(seen), v6_of(wanted));
                set_v6_or_mapped(fd, Ends { sip, sport, dip, dport })
            }
            Some(SockTuple::Unix { source, destination, path }) if fd.kind == FdKind::Unix => {
                let path = match (path_of(seen), path_of(wanted)) {
                    (Some(seen), Some(wanted)) if seen == path => wanted,
                    _ => path,
                };
                fd.socket = Socket::Unix { source, destination };
                names::tuple(&mut name, &SockTuple::Unix { source, destination, path });
                pool.set(&mut fd.name, &name);
                if fd.has_no_role() {
                    fd.flags |= Fd::ROLE_CLIENT;
                }
                return;
            }
            _ => return,
        };
        if changed && fd.flags & Fd::ROLE_SERVER != 0 && fd.is_ipv4_of(L4_UDP) {
            swap(fd);
        }
        names::name_by_socket(fd, pool, &mut name);
        if fd.has_no_role() {
            fd.flags |= Fd::ROLE_CLIENT;
        }
    });
    engine.scratch = name;
}

/// Only the destination of a connection is known.
fn aim_v4(fd: &mut Fd, dip: [u8; 4], dport: u16) {
    let (Ends { sip, sport, .. }, l4) = (ends_v4(&fd.socket), fd.socket.l4());
    fd.kind = FdKind::Ipv4;
    fd.socket = Socket::Ipv4 { sip, sport, dip, dport, l4 };
}

fn aim_v6(fd: &mut Fd, dip: [u8; 16], dport: u16) {
    let (Ends { sip, sport, .. }, l4) = (ends_v6(&fd.socket), fd.socket.l4());
    fd.kind = FdKind::Ipv6;
    fd.socket = Socket::Ipv6 { sip, sport, dip, dport, l4 };
}

fn accept(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some((slot, number)) = cx.ok() else {
        return;
    };
    if let Some(s) = engine.table.get_mut(slot) {
        s.last_fd = number;
    }
    let mut fd = Fd::new(FdKind::Unix);
    let tuple = match tuple(event, 1) {
        None | Some(SockTuple::Other { .. }) => return,
        Some(tuple) => tuple,
    };
    match tuple {
        SockTuple::Ipv4 { sip, sport, dip, dport } => {
            fd.socket = Socket::Ipv4 { sip: [0; 4], sport: 0, dip: [0; 4], dport: 0, l4: L4_TCP };
            set_v4(&mut fd, Ends { sip, sport, dip, dport });
        }
        SockTuple::Ipv6 { sip, sport, dip, dport } => {
            fd.socket = Socket::Ipv6 { sip: [0; 16], sport: 0, dip: [0; 16], dport: 0, l4: L4_TCP };
            set_v6_or_mapped(&mut fd, Ends { sip, sport, dip, dport });
        }
        SockTuple::Unix { source, destination, .. } => fd.socket = Socket::Unix { source, destination },
        SockTuple::Other { .. } => return,
    }
    names::tuple(&mut engine.scratch, &tuple);
    fd.name = engine.table.pool.text(&engine.scratch);
    if event.event_type == id::SOCKET_ACCEPT4_6_X {
        fd.open_flags = u32_of(event, 5).unwrap_or(0) & o::CLOEXEC;
    }
    fd.flags |= Fd::ROLE_SERVER | Fd::CONNECTED;
    engine.table.add_fd(slot, number, fd);
}

fn read(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if let (Some((slot, _)), Some(number)) = (cx.ok(), cx.fd) {
        engine.data_moved(event, slot, number, true);
    }
}

fn write(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some((slot, _)) = cx.ok() else {
        return;
    };
    let sends = matches!(event.event_type, id::SOCKET_SEND_X | id::SOCKET_SENDTO_X | id::SOCKET_SENDMSG_X);
    if cx.fd.is_none()
        && sends
        && let Some(number) = signed(event, 2, 8).filter(|fd| *fd >= 0)
        && let Some(family @ (AF_INET | AF_INET6)) = event.param(4).and_then(|t| t.first().copied())
    {
        // The call that made the socket was missed: data sent this way is mostly UDP.
        engine.table.add_fd(slot, number, new_socket(u32::from(family), SOCK_DGRAM, 17, 0));
        cx.fd = Some(number);
    }
    if let Some(number) = cx.fd {
        engine.data_moved(event, slot, number, false);
    }
}

impl Engine {
    /// Data came in or went out: the socket is connected, and the tuple may tell more of it.
    fn data_moved(&mut self, event: &Event<'_>, slot: u32, number: i64, incoming: bool) {
        let Some(fd) = self.table.fd(slot, number) else {
            return;
        };
        let is_ip = matches!(fd.kind, FdKind::Ipv4 | FdKind::Ipv6);
        let connects = is_ip && fd.flags & Fd::CONNECTED == 0;
        let wants_tuple = fd.name.is_empty() || !fd.is_ipv4_of(L4_TCP);
        let tuple = tuple_param(event.event_type).filter(|_| wants_tuple).and_then(|param| tuple(event, param));
        // Nothing to write: a table that is shared since a fork must not be copied for it.
        if !connects && tuple.is_none_or(|t| is_known(fd, &t)) {
            return;
        }
        let interfaces = &self.interfaces;
        let mut changed = false;
        self.table.change_fd(slot, number, |fd, _| {
            if is_ip {
                fd.flags |= Fd::CONNECTED;
            }
            changed = tuple.is_some_and(|t| take_tuple(fd, &t, interfaces));
        });
        let (true, Some(tuple)) = (changed, tuple) else {
            return;
        };
        let Some(fd) = self.table.fd(slot, number) else {
            return;
        };
        let is_ip = matches!(fd.kind, FdKind::Ipv4 | FdKind::Ipv6);
        let mut role = fd.flags & (Fd::ROLE_CLIENT | Fd::ROLE_SERVER);
        if is_ip && role == 0 {
            role = self.guess_role(slot, &fd.socket, incoming);
        }
        let mut name = std::mem::take(&mut self.scratch);
        self.table.change_fd(slot, number, |fd, pool| {
            if !is_ip {
                names::tuple(&mut name, &tuple);
                pool.set(&mut fd.name, &name);
                return;
            }
            fd.flags |= role;
            let turned = if incoming { Fd::ROLE_CLIENT } else { Fd::ROLE_SERVER };
            if role & turned != 0 {
                swap(fd);
            }
            names::name_by_socket(fd, pool, &mut name);
        });
        self.scratch = name;
    }

    /// Which end a socket is at, by the ports of the thread's other sockets. The ports are upstream's: of an
    /// IPv6 socket it reads those where an IPv4 one has them, which is in the middle of the source address.
    fn guess_role(&self, slot: u32, socket: &Socket, incoming: bool) -> u16 {
        let (own_sport, own_dport) = match socket {
            Socket::Ipv4 { sport, dport, .. } => (*sport, *dport),
            Socket::Ipv6 { sip: [.., a, b, c, d, _, _, _, _], .. } => {
                (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d]))
            }
            _ => (0, 0),
        };
        let (mut bound, mut client) = (false, false);
        for (_, fd) in self.table.fds(slot).into_iter().flatten() {
            match fd.socket {
                Socket::Ipv4 { sport, dport, .. } if fd.kind == FdKind::Ipv4 => {
                    bound |= dport == own_dport;
                    client |= sport == own_sport;
                }
                Socket::Ipv4Server { port, .. } => bound |= port == own_dport,
                _ => {}
            }
        }
        match (bound, client) {
            (true, false) => Fd::ROLE_SERVER,
            (true, true) if incoming => Fd::ROLE_SERVER,
            _ => Fd::ROLE_CLIENT,
        }
    }
}
