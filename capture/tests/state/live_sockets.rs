//! Sockets, against what is known of them.

use super::helper::{is_root, process, role, snapshot};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
use scapkit_capture::state::{Process, SocketInfo, tables::l4};
use scapkit_format::lists::fds::FdType;
use scapkit_format::lists::interfaces::Address;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

fn find(p: &Process, number: i32) -> (FdType, Option<SocketInfo>, u64) {
    let fd = p.fds.iter().find(|fd| i64::from(fd.fd) == i64::from(number)).expect("the fd was found");
    (fd.kind, fd.socket.clone(), fd.ino)
}

fn of(p: &Process, socket: &impl AsRawFd) -> (FdType, Option<SocketInfo>, u64) {
    find(p, socket.as_raw_fd())
}

fn me() -> Process {
    process(std::process::id())
}

fn ends(sip: SocketAddr, dip: SocketAddr, l4: u8) -> Option<SocketInfo> {
    let (sport, dport) = (sip.port(), dip.port());
    Some(match (sip.ip(), dip.ip()) {
        (IpAddr::V4(sip), IpAddr::V4(dip)) => SocketInfo::V4 { sip, sport, dip, dport, l4 },
        (IpAddr::V6(sip), IpAddr::V6(dip)) => SocketInfo::V6 { sip, sport, dip, dport, l4 },
        _ => return None,
    })
}

#[test]
fn tcp_and_udp() {
    let mut loopbacks = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
        loopbacks.push(Ipv6Addr::LOCALHOST.into());
    } else {
        super::helper::skip("no IPv6 here");
    }
    for ip in loopbacks {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let (server, from) = listener.accept().unwrap();
        let bound = UdpSocket::bind((ip, 0)).unwrap();
        let connected = UdpSocket::bind((ip, 0)).unwrap();
        connected.connect(bound.local_addr().unwrap()).unwrap();
        let any =
            SocketAddr::new(if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }, 0);
        let (sock, serv) = if ip.is_ipv4() {
            (FdType::IPV4_SOCK, FdType::IPV4_SERVSOCK)
        } else {
            (FdType::IPV6_SOCK, FdType::IPV6_SERVSOCK)
        };

        let p = me();
        let expect = |one: &dyn AsRawFd, kind, info| {
            let (found, socket, ino) = find(&p, one.as_raw_fd());
            assert_eq!((found, socket), (kind, info));
            let link = std::fs::read_link(format!("/proc/self/fd/{}", one.as_raw_fd())).unwrap();
            assert_eq!(link.to_string_lossy(), format!("socket:[{ino}]"));
        };
        expect(&listener, serv, ends(address, any, l4::TCP));
        expect(&client, sock, ends(from, address, l4::TCP));
        expect(&server, sock, ends(address, from, l4::TCP));
        expect(&bound, serv, ends(bound.local_addr().unwrap(), any, l4::UDP));
        expect(&connected, sock, ends(connected.local_addr().unwrap(), bound.local_addr().unwrap(), l4::UDP));
    }
}

#[test]
fn unix_sockets_and_their_peers() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a socket");
    let (one, other) = UnixStream::pair().unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let (server, _) = listener.accept().unwrap();
    let name = format!("state test {}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let hidden = UnixListener::bind_addr(&address).unwrap();

    let p = me();
    let unix = |s: &dyn AsRawFd| match find(&p, s.as_raw_fd()) {
        (FdType::UNIX_SOCK, Some(SocketInfo::Unix { name, peer, listening }), ino) => {
            (String::from_utf8(name.into()).unwrap(), peer, listening, ino)
        }
        other => panic!("{other:?}"),
    };
    let (one, other) = (unix(&one), unix(&other));
    assert_eq!((one.0.as_str(), one.2, other.2), ("", false, false));
    let path = path.to_str().unwrap();
    let (listener, client, server, hidden) = (unix(&listener), unix(&client), unix(&server), unix(&hidden));
    assert_eq!((listener.0.as_str(), listener.1, listener.2), (path, 0, true));
    assert_eq!((client.0.as_str(), server.0.as_str()), ("", path));
    assert_eq!((hidden.0, hidden.2), (name, true));
    if one.1 == 0 {
        super::helper::skip("no unix_diag in this kernel: peers are not known");
        return;
    }
    assert_eq!((one.1, other.1), (other.3, one.3));
    assert_eq!((client.1, server.1), (server.3, client.3));
}

#[test]
fn other_sockets() {
    let make =
        |family, kind, protocol| -> OwnedFd { socket_with(family, kind, SocketFlags::CLOEXEC, protocol).unwrap() };
    let netlink = make(AddressFamily::NETLINK, SocketType::RAW, Some(netlink::SOCK_DIAG));
    // Until it has a number it is in no table.
    rustix::net::bind(&netlink, &netlink::SocketAddrNetlink::new(0, 0)).unwrap();
    let unbound = make(AddressFamily::INET, SocketType::STREAM, None);
    let p = me();
    let (kind, socket, _) = of(&p, &netlink);
    assert_eq!(kind, FdType::NETLINK);
    // NETLINK_SOCK_DIAG is 4.
    assert!(matches!(socket, Some(SocketInfo::Netlink { protocol: 4, .. })), "{socket:?}");
    // It is in no table; that it is a socket is told all the same.
    let (kind, socket, ino) = of(&p, &unbound);
    assert_eq!((kind, socket), (FdType::UNSUPPORTED, None));
    let fd = p.fds.iter().find(|fd| fd.ino == ino).unwrap();
    assert_eq!(p.fd_name(fd), format!("socket:[{ino}]").as_bytes());
}

#[test]
fn another_network_namespace() {
    if !is_root() {
        return;
    }
    let (child, words) = role("listens", |command: &mut Command| {
        use std::os::unix::process::CommandExt as _;
        // SAFETY: a system call between fork and exec, and no memory is allocated.
        unsafe {
            command.pre_exec(|| Ok(rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET)?));
        }
    });
    let words: Vec<&str> = words.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<i32>().unwrap();
    let p = process(child.pid());
    assert_ne!(p.namespaces.net, me().namespaces.net);
    let (kind, socket, _) = find(&p, number(0));
    assert_eq!(kind, FdType::IPV4_SERVSOCK);
    let (any, sport) = (Ipv4Addr::UNSPECIFIED, u16::try_from(number(1)).unwrap());
    assert_eq!(socket, Some(SocketInfo::V4 { sip: any, sport, dip: any, dport: 0, l4: l4::TCP }));
    let (kind, socket, _) = find(&p, number(2));
    assert_eq!(kind, FdType::UNIX_SOCK);
    assert_eq!(socket, Some(SocketInfo::Unix { name: Box::default(), peer: 0, listening: false }));
}

#[test]
fn interfaces() {
    let s = snapshot(&[std::process::id()]);
    let lo = s.interfaces.iter().find(|i| &*i.name == b"lo").expect("loopback");
    let Address::V4 { address, netmask, .. } = lo.address else {
        panic!("{lo:?}");
    };
    assert_eq!((address, netmask), ([127, 0, 0, 1], [255, 0, 0, 0]));
    let v6 = |i: &scapkit_capture::state::InterfaceAddress| matches!(i.address, Address::V6 { .. });
    assert!(s.interfaces.is_sorted_by_key(v6));
    if let Ok(known) = std::fs::read_to_string("/proc/net/if_inet6") {
        assert_eq!(s.interfaces.iter().filter(|i| v6(i)).count(), known.lines().count());
    }
}
