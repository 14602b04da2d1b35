//! The sockets of our own network namespace, as the kernel's diagnosis of sockets tells (os-state section 2.5).
//! Over the text tables it has exact names of unix sockets and which two belong together.

use super::netlink::{attributes, diag, dump, word};
use super::tables::{SocketInfo, Table, l4};
use rustix::fd::OwnedFd;
use std::io;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const UNIX_SHOW_NAME: u32 = 1;
const UNIX_SHOW_PEER: u32 = 4;
const UNIX_DIAG_NAME: u16 = 0;
const UNIX_DIAG_PEER: u16 = 2;
const UNIX_LISTEN: u8 = 10;
const ALL_PROTOCOLS: u8 = 0xff;

/// Adds what the kernel says about the sockets that the text table `file` is about. `false` when it says
/// nothing, for lack of a module or of a way to ask; the text table is then to be read.
pub fn add(table: &mut Table, file: &str) -> bool {
    let ask = |table: &mut Table| -> io::Result<()> {
        let socket = diag()?;
        match file {
            "tcp" => inet(&socket, table, libc::AF_INET, libc::IPPROTO_TCP, l4::TCP),
            "tcp6" => inet(&socket, table, libc::AF_INET6, libc::IPPROTO_TCP, l4::TCP),
            "udp" => inet(&socket, table, libc::AF_INET, libc::IPPROTO_UDP, l4::UDP),
            "udp6" => inet(&socket, table, libc::AF_INET6, libc::IPPROTO_UDP, l4::UDP),
            "raw" => inet(&socket, table, libc::AF_INET, libc::IPPROTO_RAW, l4::RAW),
            "raw6" => inet(&socket, table, libc::AF_INET6, libc::IPPROTO_RAW, l4::RAW),
            "unix" => unix(&socket, table),
            "netlink" => netlink(&socket, table),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    };
    ask(table).is_ok()
}

fn inet(socket: &OwnedFd, table: &mut Table, family: i32, protocol: i32, l4: u8) -> io::Result<()> {
    // struct inet_diag_req_v2: family, protocol, two bytes, states, and an id that a dump does not look at.
    let mut request = vec![small(family), small(protocol), 0, 0];
    request.extend_from_slice(&u32::MAX.to_ne_bytes());
    request.resize(56, 0);
    dump(socket, SOCK_DIAG_BY_FAMILY, &request, |_, body| {
        table.extend(inet_message(body, l4));
    })
}

/// Parses `struct inet_diag_msg`.
fn inet_message(body: &[u8], l4: u8) -> Option<(u64, SocketInfo)> {
    let port = |at: usize| Some(u16::from_be_bytes(*body.get(at..)?.first_chunk()?));
    let (sport, dport) = (port(4)?, port(6)?);
    let ino = word(body, 68).filter(|ino| *ino != 0)?;
    let socket = if i32::from(*body.first()?) == libc::AF_INET6 {
        let ip = |at: usize| Some((*body.get(at..)?.first_chunk::<16>()?).into());
        SocketInfo::V6 { sip: ip(8)?, sport, dip: ip(24)?, dport, l4 }
    } else {
        let ip = |at: usize| Some((*body.get(at..)?.first_chunk::<4>()?).into());
        SocketInfo::V4 { sip: ip(8)?, sport, dip: ip(24)?, dport, l4 }
    };
    Some((ino.into(), socket))
}

fn unix(socket: &OwnedFd, table: &mut Table) -> io::Result<()> {
    // struct unix_diag_req: family, protocol, two bytes, states, inode, what to show, cookie.
    let mut request = vec![small(libc::AF_UNIX), 0, 0, 0];
    for n in [u32::MAX, 0, UNIX_SHOW_NAME | UNIX_SHOW_PEER, 0, 0] {
        request.extend_from_slice(&n.to_ne_bytes());
    }
    dump(socket, SOCK_DIAG_BY_FAMILY, &request, |_, body| {
        table.extend(unix_message(body));
    })
}

/// Parses `struct unix_diag_msg`.
fn unix_message(body: &[u8]) -> Option<(u64, SocketInfo)> {
    let ino = word(body, 4).filter(|ino| *ino != 0)?;
    let (mut name, mut peer) = (&[][..], 0);
    for (kind, value) in attributes(body, 16) {
        match kind {
            UNIX_DIAG_NAME => name = value,
            UNIX_DIAG_PEER => peer = word(value, 0).unwrap_or(0),
            _ => {}
        }
    }
    // A path may end with a NUL of the kernel's; an abstract name begins with one and may hold more.
    let name = match name.strip_prefix(&[0]) {
        Some(abstract_name) => abstract_name,
        None => name.split(|b| *b == 0).next().unwrap_or_default(),
    };
    let listening = body.get(2) == Some(&UNIX_LISTEN);
    Some((ino.into(), SocketInfo::Unix { name: name.into(), peer: peer.into(), listening }))
}

fn netlink(socket: &OwnedFd, table: &mut Table) -> io::Result<()> {
    let mut request = vec![small(libc::AF_NETLINK), ALL_PROTOCOLS, 0, 0];
    request.extend_from_slice(&[0; 16]);
    dump(socket, SOCK_DIAG_BY_FAMILY, &request, |_, body| {
        // struct netlink_diag_msg: family, type, protocol, state, port, three more numbers, inode.
        let entry = (|| Some((*body.get(2)?, word(body, 4)?, word(body, 16)?)))();
        if let Some((protocol, port, ino)) = entry.filter(|(_, _, ino)| *ino != 0) {
            table.insert(ino.into(), SocketInfo::Netlink { protocol, port });
        }
    })
}

fn small(n: i32) -> u8 {
    u8::try_from(n).unwrap_or(0)
}
