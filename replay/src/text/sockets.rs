//! Socket addresses and tuples (output-format section 4).

use super::numbers::{hex, signed, unsigned};
use scapkit_format::value::{SockAddr, SockTuple};

/// `a.b.c.d`.
pub fn ipv4(out: &mut Vec<u8>, ip: [u8; 4]) {
    for (i, b) in ip.into_iter().enumerate() {
        if i > 0 {
            out.push(b'.');
        }
        unsigned(out, u64::from(b));
    }
}

/// An IPv6 address as C's `inet_ntop` writes it: the longest run of two or more zero groups is
/// `::`; v4-mapped and v4-compatible addresses end dotted.
pub fn ipv6(out: &mut Vec<u8>, ip: [u8; 16]) {
    let mut groups = [0u16; 8];
    let (pairs, _) = ip.as_chunks::<2>();
    for (to, pair) in groups.iter_mut().zip(pairs) {
        *to = u16::from_be_bytes(*pair);
    }
    let (mut best, mut best_len) = (8usize, 1usize);
    let (mut start, mut len) = (0usize, 0usize);
    for (i, group) in groups.iter().enumerate() {
        if *group == 0 {
            if len == 0 {
                start = i;
            }
            len = len.saturating_add(1);
            if len > best_len {
                (best, best_len) = (start, len);
            }
        } else {
            len = 0;
        }
    }
    let dotted = best == 0 && (best_len == 6 || (best_len == 5 && groups[5] == 0xFFFF));
    let end = best.saturating_add(best_len);
    for (i, group) in groups.into_iter().enumerate() {
        if (best..end).contains(&i) {
            if i == best {
                out.push(b':');
            }
            continue;
        }
        if i > 0 {
            out.push(b':');
        }
        if dotted && i == 6 {
            let [.., a, b, c, d] = ip;
            ipv4(out, [a, b, c, d]);
            return;
        }
        hex(out, u64::from(group), false);
    }
    if end == 8 && best < 8 {
        out.push(b':');
    }
}

/// The IPv4 address that an IPv6 address maps. The address of zeros counts as one of both, as
/// upstream has it.
pub fn mapped(ip: [u8; 16]) -> Option<[u8; 4]> {
    match ip {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d] => Some([a, b, c, d]),
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] => Some([0; 4]),
        _ => None,
    }
}

fn port(out: &mut Vec<u8>, port: u16) {
    out.push(b':');
    unsigned(out, u64::from(port));
}

/// What is printed for bytes that do not hold an address of their family.
fn broken(out: &mut Vec<u8>, family: u8) {
    match family {
        1 => out.extend_from_slice(b"INVALID PATH"),
        2 => out.extend_from_slice(b"INVALID IPv4"),
        10 => out.extend_from_slice(b"INVALID IPv6"),
        _ => {
            out.extend_from_slice(b"family ");
            signed(out, i64::from(family));
        }
    }
}

/// A socket address.
pub fn address(out: &mut Vec<u8>, address: &SockAddr<'_>) {
    match *address {
        SockAddr::Unix { path } => out.extend_from_slice(path),
        SockAddr::Ipv4 { ip, port: p } => {
            ipv4(out, ip);
            port(out, p);
        }
        SockAddr::Ipv6 { ip, port: p } => {
            ipv6(out, ip);
            port(out, p);
        }
        SockAddr::Other { family, .. } => broken(out, family),
    }
}

/// Both ends of a socket.
pub fn tuple(out: &mut Vec<u8>, tuple: &SockTuple<'_>) {
    match *tuple {
        SockTuple::Unix { source, destination, path } => {
            hex(out, source, false);
            out.extend_from_slice(b"->");
            hex(out, destination, false);
            out.push(b' ');
            out.extend_from_slice(path);
        }
        SockTuple::Ipv4 { sip, sport, dip, dport } => ipv4_pair(out, (sip, sport), (dip, dport)),
        SockTuple::Ipv6 { sip, sport, dip, dport } => {
            if let (Some(s), Some(d)) = (mapped(sip), mapped(dip)) {
                ipv4_pair(out, (s, sport), (d, dport));
                return;
            }
            ipv6(out, sip);
            port(out, sport);
            out.extend_from_slice(b"->");
            ipv6(out, dip);
            port(out, dport);
        }
        SockTuple::Other { family, .. } => broken(out, family),
    }
}

fn ipv4_pair(out: &mut Vec<u8>, from: ([u8; 4], u16), to: ([u8; 4], u16)) {
    ipv4(out, from.0);
    port(out, from.1);
    out.extend_from_slice(b"->");
    ipv4(out, to.0);
    port(out, to.1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn text(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn ipv6_addresses() {
        for s in [
            "::",
            "::1",
            "1::",
            "2001:db8::3",
            "::ffff:1.2.3.4",
            "1:0:0:2::3",
            "1:2:3:4:5:6:7:8",
            "1:0:2:3:4:5:6:7",
            "fe80::1:0:0:1",
            "0:1::",
            "1::2:0:0:3:0",
        ] {
            let ip: Ipv6Addr = s.parse().unwrap();
            assert_eq!(text(|o| ipv6(o, ip.octets())), ip.to_string(), "{s}");
        }
        // Where C and Rust differ.
        let ip: Ipv6Addr = "::1.2.3.4".parse().unwrap();
        assert_eq!(text(|o| ipv6(o, ip.octets())), "::1.2.3.4");
    }

    #[test]
    fn tuples() {
        let t = |b: &[u8]| text(|o| tuple(o, &SockTuple::parse(b).unwrap()));
        let a = |b: &[u8]| text(|o| address(o, &SockAddr::parse(b).unwrap()));
        assert_eq!(t(&[2, 127, 0, 0, 1, 0x58, 0xB8, 127, 0, 0, 1, 80, 0]), "127.0.0.1:47192->127.0.0.1:80");
        let mut unix = vec![1];
        unix.extend(0u64.to_le_bytes());
        unix.extend(0xffff_8800_3c42_0800u64.to_le_bytes());
        unix.extend(b"/run/s\0");
        assert_eq!(t(&unix), "0->ffff88003c420800 /run/s");
        let mut mapped = vec![10u8];
        for (last, port) in [(1u8, 1u16), (2, 2)] {
            mapped.extend([0; 10]);
            mapped.extend([0xFF, 0xFF, 10, 0, 0, last]);
            mapped.extend(port.to_le_bytes());
        }
        assert_eq!(t(&mapped), "10.0.0.1:1->10.0.0.2:2");
        let (mut none, mut half) = (vec![10; 37], vec![10]);
        none[1..].fill(0);
        assert_eq!(t(&none), "0.0.0.0:0->0.0.0.0:0");
        half.extend([0; 18]);
        half.extend("::1".parse::<Ipv6Addr>().unwrap().octets());
        half.extend([0x29, 9]);
        assert_eq!(t(&half), ":::0->::1:2345");
        assert_eq!(t(&mapped[..30]), "INVALID IPv6");
        assert_eq!(t(&[16, 1]), "family 16");
        assert_eq!(a(b"\x01/run/s\0"), "/run/s");
        assert_eq!(a(&[2, 1, 2, 3, 4, 80, 0]), "1.2.3.4:80");
        assert_eq!(a(&[2, 1, 2]), "INVALID IPv4");
        assert_eq!(a(&[0]), "family 0");
        let mut six = vec![10];
        six.extend("::1".parse::<Ipv6Addr>().unwrap().octets());
        six.extend(2345u16.to_le_bytes());
        assert_eq!(a(&six), "::1:2345");
    }
}
