//! Names of sockets: addresses and tuples as text (state engine sections 3 and 7.3).

use super::sockets::{L4_ICMP, L4_RAW, L4_TCP, L4_UDP};
use super::{Fd, Socket};
use scapkit_format::value::{SockAddr, SockTuple};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Appends a dotted address.
pub fn write_ipv4(out: &mut Vec<u8>, ip: [u8; 4]) {
    // Writing to a vector cannot fail.
    let _ = write!(out, "{}", Ipv4Addr::from(ip));
}

/// Appends an address as the C library's `inet_ntop` writes it.
pub fn write_ipv6(out: &mut Vec<u8>, ip: [u8; 16]) {
    if let [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d] = ip
        && (a, b) != (0, 0)
    {
        out.extend_from_slice(b"::");
        return write_ipv4(out, [a, b, c, d]);
    }
    let _ = write!(out, "{}", Ipv6Addr::from(ip));
}

/// Four numbers of an IPv4 tuple or 16 of an IPv6 one.
trait Ip: Copy {
    fn write(self, out: &mut Vec<u8>);
}

impl Ip for [u8; 4] {
    fn write(self, out: &mut Vec<u8>) {
        write_ipv4(out, self);
    }
}

impl Ip for [u8; 16] {
    fn write(self, out: &mut Vec<u8>) {
        write_ipv6(out, self);
    }
}

fn endpoint(out: &mut Vec<u8>, ip: impl Ip, port: u16) {
    ip.write(out);
    let _ = write!(out, ":{port}");
}

fn pair<A: Ip>(out: &mut Vec<u8>, sip: A, sport: u16, dip: A, dport: u16) {
    endpoint(out, sip, sport);
    out.extend_from_slice(b"->");
    endpoint(out, dip, dport);
}

fn pair_of<A: Ip>(out: &mut Vec<u8>, l4: u8, sip: A, sport: u16, dip: A, dport: u16) {
    match l4 {
        L4_TCP | L4_UDP => pair(out, sip, sport, dip, dport),
        L4_ICMP | L4_RAW => {
            sip.write(out);
            out.extend_from_slice(b"->");
            dip.write(out);
        }
        _ => out.extend_from_slice(b"<unknown>"),
    }
}

/// Replaces `out` by the name of an IP socket.
pub(crate) fn socket(out: &mut Vec<u8>, socket: &Socket) {
    out.clear();
    match *socket {
        Socket::Ipv4 { sip, sport, dip, dport, l4 } => pair_of(out, l4, sip, sport, dip, dport),
        // Upstream has no text for these.
        Socket::Ipv6 { l4: L4_RAW, .. } => out.extend_from_slice(b"<unknown>"),
        Socket::Ipv6 { sip, sport, dip, dport, l4 } => match (mapped(&sip), mapped(&dip)) {
            (Some(sip), Some(dip)) => pair_of(out, l4, sip, sport, dip, dport),
            _ => pair_of(out, l4, sip, sport, dip, dport),
        },
        Socket::Ipv4Server { ip, port, .. } => endpoint(out, ip, port),
        Socket::Ipv6Server { ip, port, .. } => endpoint(out, ip, port),
        Socket::None | Socket::Unix { .. } => {}
    }
}

/// Replaces `out` by the name of an IP socket of an fd list, whose transport does not matter.
pub(crate) fn listed(out: &mut Vec<u8>, listed: &Socket) {
    match *listed {
        Socket::Ipv4 { sip, sport, dip, dport, .. } => {
            out.clear();
            pair(out, sip, sport, dip, dport);
        }
        Socket::Ipv6 { sip, sport, dip, dport, .. } => {
            out.clear();
            pair(out, sip, sport, dip, dport);
        }
        _ => socket(out, listed),
    }
}

/// Replaces `out` by a tuple as text.
pub(crate) fn tuple(out: &mut Vec<u8>, tuple: &SockTuple<'_>) {
    out.clear();
    match *tuple {
        SockTuple::Unix { source, destination, path } => {
            let _ = write!(out, "{source:x}->{destination:x}");
            out.push(b' ');
            out.extend_from_slice(path);
        }
        SockTuple::Ipv4 { sip, sport, dip, dport } => pair(out, sip, sport, dip, dport),
        SockTuple::Ipv6 { sip, sport, dip, dport } => match (mapped(&sip), mapped(&dip)) {
            (Some(s), Some(d)) => pair(out, s, sport, d, dport),
            _ => pair(out, sip, sport, dip, dport),
        },
        SockTuple::Other { family, .. } => {
            let _ = write!(out, "family {family}");
        }
    }
}

/// Replaces `out` by an address as text.
pub(crate) fn address(out: &mut Vec<u8>, address: &SockAddr<'_>) {
    out.clear();
    match *address {
        SockAddr::Unix { path } => out.extend_from_slice(path),
        SockAddr::Ipv4 { ip, port } => endpoint(out, ip, port),
        SockAddr::Ipv6 { ip, port } => match mapped(&ip) {
            Some(ip) => endpoint(out, ip, port),
            None => endpoint(out, ip, port),
        },
        SockAddr::Other { family, .. } => {
            let _ = write!(out, "family {family}");
        }
    }
}

/// The IPv4 address in a mapped IPv6 address. The all-zero address counts as mapped, as upstream
/// has it.
pub(crate) fn mapped(ip: &[u8; 16]) -> Option<[u8; 4]> {
    match *ip {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d] => Some([a, b, c, d]),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Some([0; 4]),
        _ => None,
    }
}

/// Sets an fd's name to that of its IP socket.
pub(super) fn name_by_socket(fd: &mut Fd, pool: &mut super::pool::Pool, scratch: &mut Vec<u8>) {
    socket(scratch, &fd.socket);
    pool.set(&mut fd.name, scratch);
}
