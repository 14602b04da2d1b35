//! Sockets by inode, and the text tables of `/proc/PID/net` (os-state section 2.3).

use super::parse::{digits, lines, number, words};
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Transport protocols as fd lists number them.
#[allow(missing_docs)]
pub mod l4 {
    pub const UNKNOWN: u8 = 0;
    pub const TCP: u8 = 2;
    pub const UDP: u8 = 3;
    pub const ICMP: u8 = 4;
    pub const RAW: u8 = 5;
}

/// A socket as its table has it. Ports in host order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the format's own names
pub enum SocketInfo {
    V4 {
        sip: Ipv4Addr,
        sport: u16,
        dip: Ipv4Addr,
        dport: u16,
        l4: u8,
    },
    V6 {
        sip: Ipv6Addr,
        sport: u16,
        dip: Ipv6Addr,
        dport: u16,
        l4: u8,
    },
    /// Name without the `@` of abstract ones, as events have it; inode of the other end, 0 where unknown.
    Unix {
        name: Box<[u8]>,
        peer: u64,
        listening: bool,
    },
    Netlink {
        protocol: u8,
        port: u32,
    },
}

impl SocketInfo {
    /// Whether it has no remote address: fd lists call such a socket a server's, whatever its state.
    pub fn is_server(&self) -> bool {
        match self {
            SocketInfo::V4 { dip, .. } => dip.is_unspecified(),
            SocketInfo::V6 { dip, .. } => dip.is_unspecified(),
            SocketInfo::Unix { listening, .. } => *listening,
            SocketInfo::Netlink { .. } => false,
        }
    }
}

/// The sockets of a network namespace by inode.
pub type Table = HashMap<u64, SocketInfo>;

/// Parses a line of `tcp`, `udp`, `raw` or, with `v6`, of their siblings: inode, socket, state. `None` for the
/// heading, and for connections that no process has any more (inode 0).
pub fn inet_line(line: &[u8], v6: bool, l4: u8) -> Option<(u64, SocketInfo, u8)> {
    let colon = line.iter().position(|b| *b == b':')?;
    let mut fields = words(line.get(colon.checked_add(1)?..)?);
    let (local, remote) = (fields.next()?, fields.next()?);
    let state = u8::try_from(digits(fields.next()?, 16)?).ok()?;
    let ino = number(fields.nth(5)?).filter(|ino| *ino != 0)?;
    let socket = if v6 {
        let ((sip, sport), (dip, dport)) = (end_v6(local)?, end_v6(remote)?);
        SocketInfo::V6 { sip, sport, dip, dport, l4 }
    } else {
        let ((sip, sport), (dip, dport)) = (end_v4(local)?, end_v4(remote)?);
        SocketInfo::V4 { sip, sport, dip, dport, l4 }
    };
    Some((ino, socket, state))
}

/// 8 digits are a number in the machine's own order that holds the address's bytes.
fn address_word(text: &[u8]) -> Option<[u8; 4]> {
    Some(u32::try_from(digits(text, 16)?).ok()?.to_ne_bytes()).filter(|_| text.len() == 8)
}

fn port(text: &[u8]) -> Option<u16> {
    digits(text.strip_prefix(b":")?, 16).and_then(|p| u16::try_from(p).ok())
}

fn end_v4(text: &[u8]) -> Option<(Ipv4Addr, u16)> {
    let (ip, rest) = text.split_at_checked(8)?;
    Some((Ipv4Addr::from(address_word(ip)?), port(rest)?))
}

fn end_v6(text: &[u8]) -> Option<(Ipv6Addr, u16)> {
    let (ip, rest) = text.split_at_checked(32)?;
    let mut bytes = [0; 16];
    for (to, from) in bytes.chunks_exact_mut(4).zip(ip.chunks_exact(8)) {
        to.copy_from_slice(&address_word(from)?);
    }
    Some((Ipv6Addr::from(bytes), port(rest)?))
}

/// Whether the kernel's flags of a unix socket say that it listens (`__SO_ACCEPTCON`).
const ACCEPTS: u64 = 1 << 16;

/// Parses a line of `unix`. The first column is a hashed pointer, of no use.
pub fn unix_line(line: &[u8]) -> Option<(u64, SocketInfo)> {
    let colon = line.iter().position(|b| *b == b':')?;
    let mut rest = line.get(colon.checked_add(1)?..)?;
    let mut next = || {
        let start = rest.iter().position(|b| *b != b' ')?;
        let word = rest.get(start..)?;
        let end = word.iter().position(|b| *b == b' ').unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        rest = after;
        Some(word)
    };
    let (_, _, flags, _, _, ino) = (next()?, next()?, next()?, next()?, next()?, next()?);
    let listening = digits(flags, 16)? & ACCEPTS != 0;
    let ino = number(ino).filter(|ino| *ino != 0)?;
    // The rest of the line after one blank: names hold blanks.
    let name = rest.get(1..).unwrap_or_default();
    let name = name.strip_prefix(b"@").unwrap_or(name);
    Some((ino, SocketInfo::Unix { name: name.into(), peer: 0, listening }))
}

/// Parses a line of `netlink`.
pub fn netlink_line(line: &[u8]) -> Option<(u64, SocketInfo)> {
    let mut fields = words(line).skip(1);
    let protocol = u8::try_from(number(fields.next()?)?).ok()?;
    let port = u32::try_from(number(fields.next()?)?).ok()?;
    let ino = number(fields.nth(6)?).filter(|ino| *ino != 0)?;
    Some((ino, SocketInfo::Netlink { protocol, port }))
}

/// The tables that are read, as named below `net`. ICMP ones are those of ping sockets.
pub const FILES: &[&str] = &["tcp", "udp", "raw", "icmp", "unix", "netlink", "tcp6", "udp6", "raw6", "icmp6"];

/// Adds what a table's text says. `file` is one of [`FILES`].
pub fn add(table: &mut Table, file: &str, text: &[u8]) {
    let l4 = match file.trim_end_matches('6') {
        "tcp" => l4::TCP,
        "udp" => l4::UDP,
        "icmp" => l4::ICMP,
        _ => l4::RAW,
    };
    table.extend(lines(text).filter_map(|line| match file {
        "unix" => unix_line(line),
        "netlink" => netlink_line(line),
        _ => inet_line(line, file.ends_with('6'), l4).map(|(ino, socket, _)| (ino, socket)),
    }));
}
