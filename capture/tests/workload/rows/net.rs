//! Sockets: addresses, connections and options.

use super::{BAD_FD, CString, Check, Ctx, EBADF, EINVAL, EMPTY, Scratch, close, id, sys};
use crate::workload::check::Part;
use std::net::Ipv6Addr;

pub fn rows(c: &mut Ctx) {
    sockets(c);
    addresses(c);
    tcp4(c);
    tcp6(c);
    unix(c);
    refused(c);
    options(c);
}

/// A `sockaddr_in`: what is passed, and what a parameter has of it.
pub fn v4(ip: [u8; 4], port: u16) -> (Vec<u8>, Vec<u8>) {
    let mut user = vec![2, 0];
    user.extend_from_slice(&port.to_be_bytes());
    user.extend_from_slice(&ip);
    user.extend_from_slice(&[0; 8]);
    (user, [&[2], &ip[..], &port.to_le_bytes()].concat())
}

/// A `sockaddr_in6` likewise.
pub fn v6(ip: Ipv6Addr, port: u16) -> (Vec<u8>, Vec<u8>) {
    let mut user = vec![10, 0];
    user.extend_from_slice(&port.to_be_bytes());
    user.extend_from_slice(&[0; 4]);
    user.extend_from_slice(&ip.octets());
    user.extend_from_slice(&[0; 4]);
    (user, [&[10], &ip.octets()[..], &port.to_le_bytes()].concat())
}

/// A `sockaddr_un` of exactly these bytes of path.
pub fn un(path: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let user = [&[1, 0], path].concat();
    let text = path.strip_prefix(b"\0").unwrap_or(path);
    let text = text.split(|b| *b == 0).next().unwrap_or(&[]);
    (user, [&[1], text, &[0]].concat())
}

/// A tuple of internet addresses: source, then destination.
pub fn tuple(from: &[u8], to: &[u8]) -> Vec<u8> {
    [from, &to[1..]].concat()
}

/// A tuple of unix sockets: the receiving end's address, the sending end's, a name.
pub fn unix_tuple(to: &str, from: &str, path: &[u8]) -> Check {
    let name = [path, &[0]].concat();
    Check::Parts(vec![Part::Raw(vec![1]), Part::Address(to.into()), Part::Address(from.into()), Part::Raw(name)])
}

/// A tuple of a unix socket without a peer.
pub fn unix_alone(to: Option<&str>, from: Option<&str>, path: &[u8]) -> Check {
    let end = |label: Option<&str>| label.map_or(Part::Raw(vec![0; 8]), |l| Part::Address(l.into()));
    Check::Parts(vec![Part::Raw(vec![1]), end(to), end(from), Part::Raw([path, &[0]].concat())])
}

/// The socket's own address (or its peer's), as a parameter has it.
pub fn own(fd: i64, peer: bool) -> Vec<u8> {
    let mut buf = [0_u8; 128];
    let mut len = 128_u32;
    let (b, l) = (buf.as_mut_ptr(), &raw mut len);
    let r = if peer { raw!(SYS_getpeername, fd, b, l) } else { raw!(SYS_getsockname, fd, b, l) };
    assert_eq!(r, 0, "name of {fd}");
    let port = u16::from_be_bytes([buf[2], buf[3]]);
    match buf[0] {
        2 => v4([buf[4], buf[5], buf[6], buf[7]], port).1,
        10 => v6(Ipv6Addr::from(<[u8; 16]>::try_from(&buf[8..24]).unwrap()), port).1,
        other => panic!("family {other}"),
    }
}

/// The port of such an address.
pub fn port(address: &[u8]) -> u16 {
    u16::from_le_bytes([address[address.len() - 2], address[address.len() - 1]])
}

fn sockets(c: &mut Ctx) {
    let kinds: [(i64, i64, i64, u32); 7] = [
        (2, 1, 0, 2),
        (10, 2 | 0x800, 17, 10),
        (1, 5 | 0x8_0000, 0, 1),
        (16, 3, 0, 16),
        (45, 1, 0, 0),
        (0x102, 1, 6, 2),
        (39, 77, -1, 39),
    ];
    for (domain, kind, proto, mapped) in kinds {
        let r = call!(c, format!("socket {domain} {kind}"), SYS_socket, domain, kind, proto);
        let flags = (i32::from(kind & 0x800 != 0) * 64) | (i32::from(kind & 0x8_0000 != 0) * 4096);
        ev!(c, SOCKET_SOCKET_X, r, mapped, kind, proto, flags);
        if r >= 0 {
            close(r);
        }
    }
    let mut pair = [-8_i32, -9];
    let p = pair.as_mut_ptr();
    let r = call!(c, "socketpair", SYS_socketpair, 1, 2 | 0x8_0000, 0, p);
    assert_eq!(r, 0);
    let end = |l: &str| Check::Parts(vec![Part::Address(l.into())]);
    ev!(c, SOCKET_SOCKETPAIR_X, 0, pair[0], pair[1], end("pair a"), end("pair b"), 1, 2 | 0x8_0000, 0);
    close(pair[0].into());
    close(pair[1].into());
    for (domain, mapped, p) in [(2, 2, p as i64), (1, 1, 0), (28, 0, 3)] {
        let r = call!(c, "socketpair: fails", SYS_socketpair, domain, 1, 0, p);
        assert!(r < 0);
        ev!(c, SOCKET_SOCKETPAIR_X, r, -1, -1, 0, 0, mapped, 1, 0);
    }
    for (how, mapped) in [(0, 0), (1, 1), (2, 2), (3, 255), (-1, 255)] {
        let r = call!(c, "shutdown: fails", SYS_shutdown, BAD_FD, how);
        ev!(c, SOCKET_SHUTDOWN_X, r, BAD_FD, mapped);
    }
    let r = call!(c, "listen: fails", SYS_listen, -1, -7);
    ev!(c, SOCKET_LISTEN_X, r, -1, -7);
    let r = call!(c, "getsockname: fails", SYS_getsockname, -1, 0, 0);
    assert_eq!(r, EBADF);
    ev!(c, SOCKET_GETSOCKNAME_X);
    let r = call!(c, "getpeername: fails", SYS_getpeername, -1, 0, 0);
    assert_eq!(r, EBADF);
    ev!(c, SOCKET_GETPEERNAME_X);
    let r = call!(c, "accept: fails", SYS_accept, BAD_FD, 0, 0);
    assert_eq!(r, EBADF);
    ev!(c, SOCKET_ACCEPT_5_X, r, EMPTY, 0, 0, 0);
    let r = call!(c, "accept4: bad flags", SYS_accept4, -1, 0, 0, 0x8_0801);
    ev!(c, SOCKET_ACCEPT4_6_X, r, EMPTY, 0, 0, 0, 4096 | 64);
}

/// Addresses of every length and family: bind and connect on a descriptor that is not open.
fn addresses(c: &mut Ctx) {
    let hole = Scratch::new();
    let (u4, p4) = v4([10, 1, 2, 3], 0x1234);
    let (u6, p6) = v6("2001:db8::7".parse().unwrap(), 0xABCD);
    let long = [b"/x".as_slice(), &[b'y'; 106]].concat();
    let none = Vec::new();
    let cases: Vec<(&str, Vec<u8>, usize, Vec<u8>)> = vec![
        ("v4", u4.clone(), 16, p4.clone()),
        ("v4, as long as it takes", u4.clone(), 8, p4),
        ("v4, too short", u4, 7, none.clone()),
        ("v6", u6.clone(), 28, p6.clone()),
        ("v6, as long as it takes", u6.clone(), 24, p6),
        ("v6, too short", u6, 23, none.clone()),
        ("unix", un(b"/run/s\0").0, 9, un(b"/run/s").1),
        ("unix, a path without an end", un(b"/run/socket").0, 8, un(b"/run/s").1),
        ("unix, bytes after the end", un(b"/a\0bcd").0, 8, un(b"/a").1),
        ("unix, abstract", un(b"\0abs\0tract").0, 12, un(b"abs").1),
        ("unix, full", un(&long).0, 110, un(&long).1),
        ("unix, not UTF-8", un(b"\xFF\x01\xFE").0, 5, un(b"\xFF\x01\xFE").1),
        ("unix, no path", un(b"").0, 2, none.clone()),
        ("netlink", vec![16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0], 12, none.clone()),
        ("no length", vec![2, 0], 0, none.clone()),
        ("one byte", vec![2, 0], 1, none.clone()),
    ];
    for (name, user, len, want) in cases {
        // The address ends where nothing can be read: no byte beyond the length is touched.
        let at = hole.at_end(&user[..len]);
        let r = call!(c, format!("bind: {name}"), SYS_bind, BAD_FD, at, len);
        assert_eq!(r, EBADF);
        ev!(c, SOCKET_BIND_X, r, want.clone(), BAD_FD);
        let r = call!(c, format!("connect: {name}"), SYS_connect, -1, at, len);
        ev!(c, SOCKET_CONNECT_E, -1, want.clone());
        ev!(c, SOCKET_CONNECT_X, r, EMPTY, -1, want);
    }
    let (u4, _) = v4([1, 2, 3, 4], 5);
    let half = hole.at_end(&u4[..10]);
    for (name, at, len) in [("NULL", 0, 16), ("unreadable", hole.hole(), 16), ("half of it unreadable", half, 16)] {
        let r = call!(c, format!("bind: {name}"), SYS_bind, -1, at, len);
        ev!(c, SOCKET_BIND_X, r, EMPTY, -1);
        let r = call!(c, format!("connect: {name}"), SYS_connect, -1, at, len);
        ev!(c, SOCKET_CONNECT_E, -1, EMPTY);
        ev!(c, SOCKET_CONNECT_X, r, EMPTY, -1, EMPTY);
    }
}

/// A listening socket: what bind is given, and the descriptor.
fn server(c: &mut Ctx, domain: i64, user: &[u8], recorded: &[u8]) -> i64 {
    let s = raw!(SYS_socket, domain, 1, 0);
    let r = call!(c, "bind", SYS_bind, s, user.as_ptr(), user.len());
    assert_eq!(r, 0, "bind in family {domain}");
    // What was asked for, not what was given: the port is 0 still.
    ev!(c, SOCKET_BIND_X, 0, recorded, s);
    let r = call!(c, "listen", SYS_listen, s, 2);
    assert_eq!(r, 0);
    ev!(c, SOCKET_LISTEN_X, 0, s, 2);
    s
}

fn tcp4(c: &mut Ctx) {
    let (user, recorded) = v4([127, 0, 0, 1], 0);
    let s = server(c, 2, &user, &recorded);
    let server_addr = own(s, false);
    let (user, recorded) = v4([127, 0, 0, 1], port(&server_addr));
    assert_eq!(recorded, server_addr);
    let a = raw!(SYS_socket, 2, 1, 0);
    let r = call!(c, "connect: TCP", SYS_connect, a, user.as_ptr(), 16);
    assert_eq!(r, 0);
    let a_addr = own(a, false);
    ev!(c, SOCKET_CONNECT_E, a, &recorded[..]);
    ev!(c, SOCKET_CONNECT_X, 0, tuple(&a_addr, &server_addr), a, &recorded[..]);
    let b = raw!(SYS_socket, 2, 1 | 0x800, 0);
    let r = call!(c, "connect: TCP, does not wait", SYS_connect, b, user.as_ptr(), 16);
    assert_eq!(r, -115);
    let b_addr = own(b, false);
    ev!(c, SOCKET_CONNECT_E, b, &recorded[..]);
    ev!(c, SOCKET_CONNECT_X, r, tuple(&b_addr, &server_addr), b, &recorded[..]);
    let r = call!(c, "connect: again", SYS_connect, a, user.as_ptr(), 16);
    assert_eq!(r, -106);
    ev!(c, SOCKET_CONNECT_E, a, &recorded[..]);
    ev!(c, SOCKET_CONNECT_X, r, EMPTY, a, &recorded[..]);

    let one = call!(c, "accept: one more waits", SYS_accept, s, 0, 0);
    assert!(one > 0);
    ev!(c, SOCKET_ACCEPT_5_X, one, tuple(&a_addr, &server_addr), 50, 1, 2);
    let mut peer = [0_u8; 28];
    let mut len = 28_u32;
    let two = call!(c, "accept4", SYS_accept4, s, peer.as_mut_ptr(), &raw mut len, 0x800);
    assert!(two > 0);
    ev!(c, SOCKET_ACCEPT4_6_X, two, tuple(&b_addr, &server_addr), 0, 0, 2, 64);
    raw!(SYS_fcntl, s, 4, 0x800);
    let r = call!(c, "accept: nobody there", SYS_accept, s, 0, 0);
    assert_eq!(r, -11);
    ev!(c, SOCKET_ACCEPT_5_X, r, EMPTY, 0, 0, 0);
    let r = call!(c, "accept4: nobody there", SYS_accept4, s, 0, 0, 0);
    ev!(c, SOCKET_ACCEPT4_6_X, r, EMPTY, 0, 0, 0, 0);
    let r = call!(c, "getsockname", SYS_getsockname, a, peer.as_mut_ptr(), &raw mut len);
    assert_eq!(r, 0);
    ev!(c, SOCKET_GETSOCKNAME_X);
    let r = call!(c, "getpeername", SYS_getpeername, a, peer.as_mut_ptr(), &raw mut len);
    assert_eq!(r, 0);
    ev!(c, SOCKET_GETPEERNAME_X);
    for how in [0, 1, 2] {
        let r = call!(c, "shutdown", SYS_shutdown, a, how);
        assert_eq!(r, 0);
        ev!(c, SOCKET_SHUTDOWN_X, 0, a, how);
    }
    for fd in [s, a, b, one, two] {
        close(fd);
    }
}

fn tcp6(c: &mut Ctx) {
    let (user, recorded) = v6(Ipv6Addr::LOCALHOST, 0);
    let probe = raw!(SYS_socket, 10, 1, 0);
    if probe < 0 || raw!(SYS_bind, probe, user.as_ptr(), user.len()) != 0 {
        c.skip("no IPv6 here");
        return;
    }
    close(probe);
    let s = server(c, 10, &user, &recorded);
    let to = own(s, false);
    let (user, recorded) = v6(Ipv6Addr::LOCALHOST, port(&to));
    let a = raw!(SYS_socket, 10, 1, 0);
    let r = call!(c, "connect: v6, a short address", SYS_connect, a, user.as_ptr(), 24);
    assert_eq!(r, 0);
    let from = own(a, false);
    ev!(c, SOCKET_CONNECT_E, a, &recorded[..]);
    ev!(c, SOCKET_CONNECT_X, 0, tuple(&from, &to), a, &recorded[..]);
    let x = call!(c, "accept: v6", SYS_accept, s, 0, 0);
    ev!(c, SOCKET_ACCEPT_5_X, x, tuple(&from, &to), 0, 0, 2);
    for fd in [s, a, x] {
        close(fd);
    }
    // A v4 peer of a v6 socket keeps its mapped address.
    let (any, recorded) = v6(Ipv6Addr::UNSPECIFIED, 0);
    let s = server(c, 10, &any, &recorded);
    let (user, to4) = v4([127, 0, 0, 1], port(&own(s, false)));
    let a = raw!(SYS_socket, 2, 1, 0);
    let r = call!(c, "connect: v4 to a v6 server", SYS_connect, a, user.as_ptr(), 16);
    assert_eq!(r, 0);
    let from = own(a, false);
    ev!(c, SOCKET_CONNECT_E, a, &to4[..]);
    ev!(c, SOCKET_CONNECT_X, 0, tuple(&from, &to4), a, &to4[..]);
    let x = call!(c, "accept: a mapped address", SYS_accept, s, 0, 0);
    assert!(x > 0);
    ev!(c, SOCKET_ACCEPT_5_X, x, tuple(&own(x, true), &own(x, false)), 0, 0, 2);
    for fd in [s, a, x] {
        close(fd);
    }
}

fn unix(c: &mut Ctx) {
    let path = c.path("listening");
    let symlink = c.path("symlink to it");
    let (user, recorded) = un(path.as_bytes_with_nul());
    let s = server(c, 1, &user, &recorded);
    raw!(SYS_symlink, path.as_ptr(), symlink.as_ptr());
    let (user, passed) = un(symlink.as_bytes_with_nul());
    let a = raw!(SYS_socket, 1, 1, 0);
    let r = call!(c, "connect: unix, by a symbolic link", SYS_connect, a, user.as_ptr(), user.len());
    assert_eq!(r, 0);
    ev!(c, SOCKET_CONNECT_E, a, &passed[..]);
    ev!(c, SOCKET_CONNECT_X, 0, unix_tuple("accepted", "client", path.as_bytes()), a, &passed[..]);
    let x = call!(c, "accept: unix", SYS_accept4, s, 0, 0, 0x8_0000);
    assert!(x > 0);
    ev!(c, SOCKET_ACCEPT4_6_X, x, unix_tuple("accepted", "client", path.as_bytes()), 0, 0, 2, 4096);
    let gone = CString::new("gone").unwrap();
    let (user, passed) = un(gone.as_bytes_with_nul());
    let r = call!(c, "connect: unix, fails", SYS_connect, raw!(SYS_dup, 0), user.as_ptr(), user.len());
    c.forget();
    assert!(r < 0);
    let b = raw!(SYS_socket, 1, 1, 0);
    let r = call!(c, "connect: unix, fails", SYS_connect, b, user.as_ptr(), user.len());
    assert_eq!(r, -2);
    ev!(c, SOCKET_CONNECT_E, b, &passed[..]);
    ev!(c, SOCKET_CONNECT_X, r, EMPTY, b, &passed[..]);
    for fd in [s, a, b, x] {
        close(fd);
    }
}

fn refused(c: &mut Ctx) {
    // A port that was free a moment ago and is bound, but not listened on.
    let s = raw!(SYS_socket, 2, 1, 0);
    let (user, _) = v4([127, 0, 0, 1], 0);
    raw!(SYS_bind, s, user.as_ptr(), 16);
    let (user, recorded) = v4([127, 0, 0, 1], port(&own(s, false)));
    let a = raw!(SYS_socket, 2, 1, 0);
    let r = call!(c, "connect: refused", SYS_connect, a, user.as_ptr(), 16);
    assert_eq!(r, -111);
    ev!(c, SOCKET_CONNECT_E, a, &recorded[..]);
    ev!(c, SOCKET_CONNECT_X, r, EMPTY, a, &recorded[..]);
    let b = raw!(SYS_socket, 2, 1 | 0x800, 0);
    raw!(SYS_connect, b, user.as_ptr(), 16);
    let (mut value, mut len) = (0_i32, 4_u32);
    let r = call!(c, "getsockopt: SO_ERROR", SYS_getsockopt, b, 1, 4, &raw mut value, &raw mut len);
    assert_eq!((r, value), (0, 111));
    ev!(c, SOCKET_GETSOCKOPT_X, 0, b, 1, 4, dynamic(1, &(-111_i64).to_le_bytes()), 4);
    let r = call!(c, "bind: taken", SYS_bind, a, user.as_ptr(), 16);
    assert!(r == -98 || r == EINVAL, "{r}");
    ev!(c, SOCKET_BIND_X, r, &recorded[..], a);
    for fd in [s, a, b] {
        close(fd);
    }
}

/// A parameter of changing type: the index and the value.
pub fn dynamic(index: u8, value: &[u8]) -> Vec<u8> {
    [&[index], value].concat()
}

fn options(c: &mut Ctx) {
    let hole = Scratch::new();
    let s = raw!(SYS_socket, 2, 1, 0);
    let one = 1_u32.to_le_bytes();
    let time = [7_i64.to_le_bytes(), 250_000_i64.to_le_bytes()].concat();
    let linger = [1_u32.to_le_bytes(), 3_u32.to_le_bytes()].concat();
    let seconds = 7_250_000_000_u64.to_le_bytes();
    // level, option, value, level and option as recorded, value as recorded
    let sets: [(i32, i32, &[u8], i32, i32, Vec<u8>); 9] = [
        (1, 2, &one, 1, 2, dynamic(2, &one)),
        (1, 20, &time, 1, 20, dynamic(4, &seconds)),
        (1, 67, &time, 1, 21, dynamic(4, &seconds)),
        (1, 4, &one, 1, 4, dynamic(1, &(-1_i64).to_le_bytes())),
        (1, 57, &time[..8], 1, 53, dynamic(3, &time[..8])),
        (1, 13, &linger, 1, 13, dynamic(0, &linger)),
        (1, 200, &one[..3], 1, 0, dynamic(0, &one[..3])),
        (6, 1, &one, 2, 0, dynamic(0, &one)),
        (41, 26, &one, 0, 0, dynamic(0, &one)),
    ];
    for (level, option, value, level_out, option_out, want) in &sets {
        let value = value.to_vec();
        let r = call!(
            c,
            format!("setsockopt {level} {option}"),
            SYS_setsockopt,
            s,
            *level,
            *option,
            value.as_ptr(),
            value.len()
        );
        ev!(c, SOCKET_SETSOCKOPT_X, r, s, *level_out, *option_out, want.clone(), value.len());
    }
    for option in [13, 26] {
        let r = call!(c, "setsockopt: no length", SYS_setsockopt, s, 1, option, one.as_ptr(), 0);
        ev!(c, SOCKET_SETSOCKOPT_X, r, s, 1, option, vec![0], 0);
        let r = call!(c, "setsockopt: unreadable", SYS_setsockopt, BAD_FD, 1, option, hole.hole(), 8);
        ev!(c, SOCKET_SETSOCKOPT_X, r, BAD_FD, 1, option, vec![0], 8);
    }
    for (option, index, width) in [(9, 2, 4), (20, 4, 8), (57, 3, 8), (4, 1, 8)] {
        let out = if option == 57 { 53 } else { option };
        let r = call!(c, "setsockopt: NULL, a value of fixed width", SYS_setsockopt, -1, 1, option, 0, 4);
        ev!(c, SOCKET_SETSOCKOPT_X, r, -1, 1, out, dynamic(index, &[0; 8][..width]), 4);
    }

    // option, its length, as recorded
    for (option, len, out, index) in
        [(3, 4, 3, 2), (2, 4, 2, 2), (20, 16, 20, 4), (57, 8, 53, 3), (13, 8, 13, 0), (17, 12, 17, 0), (38, 4, 38, 2)]
    {
        let mut value = [0_u8; 64];
        let mut n = len;
        let r = call!(c, format!("getsockopt {option}"), SYS_getsockopt, s, 1, option, value.as_mut_ptr(), &raw mut n);
        assert_eq!((r, n), (0, len), "option {option}");
        let want = match index {
            // The kernel has rounded it to its clock's ticks.
            4 => {
                let half = |at: usize| u64::from_le_bytes(value[at..at + 8].try_into().unwrap());
                (half(0) * 1_000_000_000 + half(8) * 1000).to_le_bytes().to_vec()
            }
            _ => value[..len as usize].to_vec(),
        };
        ev!(c, SOCKET_GETSOCKOPT_X, 0, s, 1, out, dynamic(index, &want), len);
    }
    let mut value = [9_u8; 8];
    let mut n = 6_u32;
    let r = call!(c, "getsockopt: TCP_NODELAY", SYS_getsockopt, s, 6, 1, value.as_mut_ptr(), &raw mut n);
    assert_eq!((r, n), (0, 4));
    ev!(c, SOCKET_GETSOCKOPT_X, 0, s, 2, 0, dynamic(0, &value[..4]), 4);
    value = [9; 8];
    n = 6;
    let r = call!(c, "getsockopt: fails, what the user had", SYS_getsockopt, -1, 6, 1, value.as_mut_ptr(), &raw mut n);
    assert_eq!(r, EBADF);
    ev!(c, SOCKET_GETSOCKOPT_X, r, -1, 2, 0, dynamic(0, &[9; 6]), 6);
    let r = call!(c, "getsockopt: fails, a number", SYS_getsockopt, -1, 1, 7, value.as_mut_ptr(), &raw mut n);
    ev!(c, SOCKET_GETSOCKOPT_X, r, -1, 1, 7, dynamic(2, &[9; 4]), 6);
    let r = call!(c, "getsockopt: NULL", SYS_getsockopt, -1, 1, 13, 0, 0);
    ev!(c, SOCKET_GETSOCKOPT_X, r, -1, 1, 13, vec![0], 0);
    close(s);
}
