//! Sockets: facts of golden-tests.yaml and state engine 7.3, 7.4.
#![allow(clippy::unwrap_used)]

mod world;

use scapkit_format::lists::fds::{Fd as ListedFd, FdInfo, FdType};
use scapkit_format::lists::interfaces::{Address, Interface};
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_replay::engine::{Bound, Fd, FdKind, Socket};
use world::World;

const CLIENT: ([u8; 4], u16) = ([172, 40, 111, 222], 54321);
const SERVER: ([u8; 4], u16) = ([142, 251, 111, 147], 443);
const NAME: &str = "172.40.111.222:54321->142.251.111.147:443";

fn v4(a: ([u8; 4], u16), b: ([u8; 4], u16)) -> Vec<u8> {
    [&[2], &a.0[..], &a.1.to_le_bytes(), &b.0, &b.1.to_le_bytes()].concat()
}

fn v6(a: ([u8; 16], u16), b: ([u8; 16], u16)) -> Vec<u8> {
    [&[10], &a.0[..], &a.1.to_le_bytes(), &b.0, &b.1.to_le_bytes()].concat()
}

fn unix(source: u64, destination: u64, path: &str) -> Vec<u8> {
    [&[1], &source.to_le_bytes()[..], &destination.to_le_bytes(), path.as_bytes(), &[0]].concat()
}

fn addr(a: ([u8; 4], u16)) -> Vec<u8> {
    [&[2], &a.0[..], &a.1.to_le_bytes()].concat()
}

fn mapped(ip: [u8; 4]) -> [u8; 16] {
    std::net::Ipv4Addr::from(ip).to_ipv6_mapped().octets()
}

fn socket(w: &mut World, domain: u32, kind: u32) {
    w.event(1, id::SOCKET_SOCKET_X, &Params::new().i64(9).u32(domain).u32(kind).u32(0).u32(0));
}

fn connect(w: &mut World, res: i64, tuple: &[u8], addr: &[u8]) -> Bound {
    w.event(1, id::SOCKET_CONNECT_X, &Params::new().i64(res).bytes(tuple).i64(9).bytes(addr))
}

fn send(w: &mut World, fd: i64, tuple: &[u8]) {
    w.event(1, id::SOCKET_SENDTO_X, &Params::new().i64(4).bytes(b"data").i64(fd).u32(4).bytes(tuple));
}

fn receive(w: &mut World, fd: i64, tuple: &[u8]) {
    w.event(1, id::SOCKET_RECVFROM_X, &Params::new().i64(4).bytes(b"data").bytes(tuple).i64(fd).u32(4));
}

#[test]
fn new_sockets() {
    let mut w = World::new();
    for (domain, kind, wanted, l4) in [
        (2, 1, FdKind::Ipv4, 2),
        (2, 2 | 0x800, FdKind::Ipv4, 3),
        (10, 1, FdKind::Ipv6, 2),
        (1, 1, FdKind::Unix, 0),
        (16, 3, FdKind::Netlink, 0),
        (17, 3, FdKind::Unknown, 0),
    ] {
        socket(&mut w, domain, kind);
        let fd = w.fd(9);
        assert_eq!((fd.kind, fd.socket.l4(), fd.flags, fd.name.len()), (wanted, l4, 0, 0));
    }
    w.event(1, id::SOCKET_SOCKET_X, &Params::new().i64(9).u32(2).u32(3).u32(1).u32(0));
    assert_eq!(w.fd(9).socket.l4(), 5, "ICMP on a raw socket");
}

#[test]
fn connections() {
    let mut w = World::new();
    socket(&mut w, 2, 1);
    connect(&mut w, -111, &v4(CLIENT, SERVER), &addr(SERVER));
    assert_eq!(w.name(9), "");
    let bound = connect(&mut w, -115, &v4(CLIENT, SERVER), &addr(SERVER));
    assert!(bound.renamed);
    assert_eq!((w.name(9).as_str(), w.fd(9).flags), (NAME, Fd::ROLE_CLIENT | Fd::CONNECTED));
    assert!(!connect(&mut w, 0, &v4(CLIENT, SERVER), &addr(SERVER)).renamed);
    // A TCP socket keeps what it has.
    receive(&mut w, 9, &v4(([1; 4], 1), ([2; 4], 2)));
    assert_eq!(w.name(9), NAME);
}

#[test]
fn what_connect_was_asked_for() {
    let mut w = World::new();
    let (asked, tuple) = (addr(([8, 8, 8, 8], 53)), v4(CLIENT, SERVER));
    for (seen, wanted) in [(SERVER, "172.40.111.222:54321->8.8.8.8:53"), (([9; 4], 9), NAME)] {
        socket(&mut w, 2, 1);
        w.event(1, id::SOCKET_CONNECT_E, &Params::new().i64(9).bytes(&asked));
        connect(&mut w, 0, &tuple, &addr(seen));
        assert_eq!(w.name(9), wanted);
    }
    socket(&mut w, 2, 1);
    w.event(1, id::SOCKET_CONNECT_E, &Params::new().i64(9).bytes(&asked));
    connect(&mut w, 0, &[], &[]);
    let fd = w.fd(9);
    assert!(matches!(fd.socket, Socket::Ipv4 { dip: [8, 8, 8, 8], dport: 53, sport: 0, .. }));
    assert_eq!((fd.name.len(), fd.flags), (0, Fd::CONNECTED));
}

#[test]
fn ipv6() {
    let mut w = World::new();
    let local = std::net::Ipv6Addr::LOCALHOST.octets();
    socket(&mut w, 10, 1);
    connect(
        &mut w,
        0,
        &v6((local, 54321), ("2001:4860:4860::8888".parse::<std::net::Ipv6Addr>().unwrap().octets(), 443)),
        &[],
    );
    assert_eq!((w.name(9).as_str(), w.fd(9).kind), ("::1:54321->2001:4860:4860::8888:443", FdKind::Ipv6));
    send(&mut w, 9, &[]);
    assert_eq!(w.name(9), "::1:54321->2001:4860:4860::8888:443", "no tuple");
    socket(&mut w, 10, 1);
    connect(&mut w, 0, &v6((mapped(CLIENT.0), CLIENT.1), (mapped(SERVER.0), SERVER.1)), &[]);
    assert_eq!((w.name(9).as_str(), w.fd(9).kind), (NAME, FdKind::Ipv4));
}

#[test]
fn unix_sockets() {
    let mut w = World::new();
    socket(&mut w, 1, 1);
    connect(&mut w, 0, &unix(0xab, 0xcd, "/run/s"), &[]);
    assert_eq!((w.name(9).as_str(), w.fd(9).flags), ("ab->cd /run/s", Fd::ROLE_CLIENT | Fd::CONNECTED));
    assert_eq!(w.fd(9).socket, Socket::Unix { source: 0xab, destination: 0xcd });
    socket(&mut w, 1, 1);
    connect(&mut w, 0, &unix(0xab, 0xcd, "/run/s")[..20], &[]);
    assert_eq!(w.name(9), "", "a path without end");
}

#[test]
fn servers() {
    let mut w = World::new();
    socket(&mut w, 2, 1);
    w.event(1, id::SOCKET_BIND_X, &Params::new().i64(0).bytes(&addr(SERVER)).i64(9));
    let fd = w.fd(9);
    assert_eq!(fd.socket, Socket::Ipv4Server { ip: SERVER.0, port: 443, l4: 2 });
    assert_eq!((w.name(9).as_str(), fd.flags), ("142.251.111.147:443", Fd::ROLE_SERVER));
    w.event(1, id::SOCKET_ACCEPT4_6_X, &Params::new().i64(6).bytes(&v4(CLIENT, SERVER)).u8(0).u32(0).u32(5).u32(4096));
    assert_eq!((w.name(6).as_str(), w.fd(6).socket.l4(), w.fd(6).open_flags), (NAME, 2, 4096));
    assert_eq!(w.fd(6).flags, Fd::ROLE_SERVER | Fd::CONNECTED);
    let bound = w.event(1, id::SOCKET_ACCEPT_5_X, &Params::new().i64(7).bytes(&[]).u8(0).u32(0).u32(5));
    assert_eq!((bound.fd, w.engine.fd(1, 7).is_none()), (Some(7), true), "no tuple: the number only");
    socket(&mut w, 2, 1);
    w.event(1, id::SOCKET_BIND_X, &Params::new().i64(0).bytes(&addr((SERVER.0, 0))).i64(9));
    assert_eq!((w.name(9).as_str(), w.fd(9).kind), ("142.251.111.147:0", FdKind::Ipv4));
    socket(&mut w, 10, 2);
    let any = [&[10u8][..], &[0; 16], &53u16.to_le_bytes()].concat();
    w.event(1, id::SOCKET_BIND_X, &Params::new().i64(0).bytes(&any).i64(9));
    assert_eq!(w.fd(9).socket, Socket::Ipv4Server { ip: [0; 4], port: 53, l4: 3 }, "zero counts as mapped");
}

#[test]
fn datagrams() {
    let mut w = World::new();
    // The first datagram of an unbound socket: its own ports tell nothing, the direction decides.
    socket(&mut w, 2, 2);
    send(&mut w, 9, &v4(CLIENT, SERVER));
    assert_eq!((w.name(9).as_str(), w.fd(9).flags), (NAME, Fd::ROLE_CLIENT | Fd::CONNECTED));
    receive(&mut w, 9, &v4(SERVER, CLIENT));
    assert_eq!(w.name(9), NAME, "the same ends, the other way");
    receive(&mut w, 9, &v4(([9; 4], 53), CLIENT));
    assert_eq!(w.name(9), "172.40.111.222:54321->9.9.9.9:53", "a client is on the left");
    // A server keeps its side too.
    socket(&mut w, 2, 2);
    w.event(1, id::SOCKET_BIND_X, &Params::new().i64(0).bytes(&addr(SERVER)).i64(9));
    receive(&mut w, 9, &v4(CLIENT, SERVER));
    assert_eq!((w.name(9).as_str(), w.fd(9).socket.l4()), (NAME, 3));
    send(&mut w, 9, &v4(SERVER, ([7; 4], 7)));
    assert_eq!(w.name(9), "7.7.7.7:7->142.251.111.147:443");
    // The call that made it was not seen.
    send(&mut w, 30, &v4(CLIENT, SERVER));
    assert_eq!((w.name(30).as_str(), w.fd(30).socket.l4()), (NAME, 3));
    receive(&mut w, 31, &v4(CLIENT, SERVER));
    assert!(w.engine.fd(1, 31).is_none());
}

fn interface(address: [u8; 4]) -> Interface<'static> {
    let address = Address::V4 { address, netmask: [255, 255, 255, 0], broadcast: [0; 4] };
    Interface { address, linkspeed: None, name: b"eth0", extra: &[] }
}

#[test]
fn own_address() {
    let mut synth = Synth::new();
    synth.section().threads(9, &[world::init()]);
    synth.interfaces(2, &[interface([127, 0, 0, 1]), interface([10, 0, 0, 5]), interface([192, 168, 1, 7])]);
    let mut w = World::of(&synth);
    for (peer, own) in [([192, 168, 1, 99], "192.168.1.7"), ([8, 8, 8, 8], "10.0.0.5"), ([10, 0, 0, 5], "10.0.0.5")] {
        socket(&mut w, 2, 2);
        send(&mut w, 9, &v4(([0; 4], 5000), (peer, 53)));
        assert_eq!(w.name(9), format!("{own}:5000->{}:53", std::net::Ipv4Addr::from(peer)));
    }
    assert_eq!(w.engine.interfaces().len(), 3);
}

#[test]
fn roles_of_listed_sockets() {
    let fd = |fd, kind, info| ListedFd { fd, ino: 0, kind, info, extra: &[] };
    let pair = |sport, dport| FdInfo::Ipv4 { sip: [1; 4], dip: [2; 4], sport, dport, l4: 2 };
    let mut synth = Synth::new();
    synth.section().threads(9, &[world::init()]);
    synth.fds(
        2,
        1,
        &[
            fd(3, FdType::IPV4_SERVSOCK, FdInfo::Ipv4Server { ip: [0; 4], port: 80, l4: 2 }),
            fd(4, FdType::IPV4_SOCK, pair(80, 5000)),
            fd(5, FdType::IPV4_SOCK, pair(5001, 80)),
            fd(6, FdType::UNIX_SOCK, FdInfo::Unix { source: 1, destination: 2, name: b"/s" }),
        ],
    );
    let w = World::of(&synth);
    assert_eq!((w.name(3).as_str(), w.name(6).as_str()), ("0.0.0.0:80", "/s"));
    assert_eq!(w.name(4), "2.2.2.2:5000->1.1.1.1:80");
    assert_eq!(w.fd(4).flags, Fd::FROM_LIST | Fd::ROLE_SERVER | Fd::CONNECTED);
    assert_eq!(w.name(5), "1.1.1.1:5001->2.2.2.2:80");
    assert_eq!(w.fd(5).flags, Fd::FROM_LIST | Fd::ROLE_CLIENT | Fd::CONNECTED);
}
