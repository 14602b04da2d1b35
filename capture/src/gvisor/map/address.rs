//! Socket addresses: from the bytes that a program passed to those that events hold.
//!
//! A program passes a `struct sockaddr` of any length; nothing is read beyond it. Source: gvisor spec section 6,
//! driver events section on tuples.

const UNIX: u16 = 1;
const INET: u16 = 2;
const INET6: u16 = 10;
/// Longest path of a unix socket.
const MAX_PATH: usize = 108;

/// An address as far as events know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    Ipv4 {
        ip: [u8; 4],
        port: u16,
    },
    Ipv6 {
        ip: [u8; 16],
        port: u16,
    },
    /// The name without its end; abstract names without the NUL that they begin with.
    Unix(Box<[u8]>),
}

impl Address {
    /// Reads a `struct sockaddr`; `None` for families that events do not hold, and when it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Address> {
        let (family, rest) = bytes.split_first_chunk::<2>()?;
        let port = |rest: &[u8]| rest.first_chunk().map(|p| u16::from_be_bytes(*p));
        match u16::from_le_bytes(*family) {
            INET => Some(Address::Ipv4 { port: port(rest)?, ip: *rest.get(2..)?.first_chunk()? }),
            // Flow information stands before the address.
            INET6 => Some(Address::Ipv6 { port: port(rest)?, ip: *rest.get(6..)?.first_chunk()? }),
            UNIX => Some(Address::Unix(unix_name(rest).into())),
            _ => None,
        }
    }

    /// Appends the address as parameters of type SOCKADDR hold it.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Address::Ipv4 { ip, port } => {
                out.push(2);
                out.extend_from_slice(ip);
                out.extend_from_slice(&port.to_le_bytes());
            }
            Address::Ipv6 { ip, port } => {
                out.push(10);
                out.extend_from_slice(ip);
                out.extend_from_slice(&port.to_le_bytes());
            }
            Address::Unix(name) => {
                out.push(1);
                out.extend_from_slice(name);
                out.push(0);
            }
        }
    }
}

/// What stands after the family: a path that may lack its end and have anything after it, an abstract name, or
/// nothing.
fn unix_name(rest: &[u8]) -> &[u8] {
    let rest = rest.get(..MAX_PATH).unwrap_or(rest);
    let name = rest.strip_prefix(&[0]).unwrap_or(rest);
    name.split(|b| *b == 0).next().unwrap_or_default()
}

/// Appends both ends of a connection as parameters of type SOCKTUPLE hold them: who began it first. What is not
/// known is zero. Nothing if neither is known, or the two do not fit.
pub(super) fn put_tuple(client: Option<&Address>, server: Option<&Address>, out: &mut Vec<u8>) {
    match (client, server) {
        (None, None) => {}
        (Some(Address::Unix(_)), None) | (None | Some(Address::Unix(_)), Some(Address::Unix(_))) => {
            // The path is that of the one that listens; addresses in the kernel are not told.
            let name: &[u8] = if let Some(Address::Unix(name)) = server { name } else { &[] };
            out.push(1);
            out.extend_from_slice(&[0; 16]);
            out.extend_from_slice(name);
            out.push(0);
        }
        (client, server) => {
            let (Some(from), Some(to)) = (ip_bytes(client, server), ip_bytes(server, client)) else { return };
            if from.len() != to.len() {
                return;
            }
            out.push(if from.len() == 6 { 2 } else { 10 });
            out.extend_from_slice(&from);
            out.extend_from_slice(&to);
        }
    }
}

/// Address and port of one end, zeros of the other's size if it is not known.
fn ip_bytes(end: Option<&Address>, other: Option<&Address>) -> Option<Vec<u8>> {
    match (end, other) {
        (Some(Address::Ipv4 { ip, port }), _) => Some([&ip[..], &port.to_le_bytes()].concat()),
        (Some(Address::Ipv6 { ip, port }), _) => Some([&ip[..], &port.to_le_bytes()].concat()),
        (None, Some(Address::Ipv4 { .. })) => Some(vec![0; 6]),
        (None, Some(Address::Ipv6 { .. })) => Some(vec![0; 18]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scapkit_format::value::{SockAddr, SockTuple};

    fn inet(port: u16) -> Vec<u8> {
        [&[2, 0][..], &port.to_be_bytes(), &[127, 0, 0, 1], &[0; 8]].concat()
    }

    fn encoded(bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        Address::parse(bytes)?.put(&mut out);
        Some(out)
    }

    #[test]
    fn addresses_of_any_length() {
        let full = encoded(&inet(4242)).unwrap();
        assert_eq!(SockAddr::parse(&full), Some(SockAddr::Ipv4 { ip: [127, 0, 0, 1], port: 4242 }));
        let v6 = [&[10, 0][..], &4243u16.to_be_bytes(), &[0; 4], &[0; 15], &[1], &[0; 4]].concat();
        let ip = std::array::from_fn(|i| u8::from(i == 15));
        assert_eq!(SockAddr::parse(&encoded(&v6).unwrap()), Some(SockAddr::Ipv6 { ip, port: 4243 }));
        // Bug 13 of upstream: each of these was read beyond its end.
        for n in 0..8 {
            assert_eq!(Address::parse(&inet(1)[..n]), None, "{n} bytes");
        }
        for n in 0..24 {
            assert_eq!(Address::parse(&v6[..n]), None, "{n} bytes");
        }
        assert_eq!(Address::parse(&[0, 0, 1, 2, 3, 4, 5, 6]), None);
    }

    #[test]
    fn names_of_unix_sockets() {
        let name = |rest: &[u8]| match Address::parse(&[&[1, 0], rest].concat()) {
            Some(Address::Unix(name)) => name.into_vec(),
            other => panic!("{other:?}"),
        };
        assert_eq!(name(b"/run/a\0garbage"), b"/run/a");
        assert_eq!(name(b""), b"");
        assert_eq!(name(b"\0abstract"), b"abstract");
        assert_eq!(name(&[b'p'; 108]), [b'p'; 108]);
        assert_eq!(name(&[b'p'; 500]), [b'p'; 108]);
    }

    #[test]
    fn tuples_with_one_end_or_both() {
        let (a, b) = (Address::parse(&inet(1)).unwrap(), Address::parse(&inet(2)).unwrap());
        let tuple = |from: Option<&Address>, to: Option<&Address>| {
            let mut out = Vec::new();
            put_tuple(from, to, &mut out);
            out
        };
        let ip = [127, 0, 0, 1];
        let both = SockTuple::Ipv4 { sip: ip, sport: 1, dip: ip, dport: 2 };
        assert_eq!(SockTuple::parse(&tuple(Some(&a), Some(&b))), Some(both));
        let one = SockTuple::Ipv4 { sip: [0; 4], sport: 0, dip: ip, dport: 2 };
        assert_eq!(SockTuple::parse(&tuple(None, Some(&b))), Some(one));
        let unix = Address::Unix(b"/s"[..].into());
        let path = SockTuple::Unix { source: 0, destination: 0, path: b"/s" };
        assert_eq!(SockTuple::parse(&tuple(None, Some(&unix))), Some(path));
        assert_eq!(SockTuple::parse(&tuple(Some(&Address::Unix(Box::default())), Some(&unix))), Some(path));
        assert!(tuple(None, None).is_empty());
        assert!(tuple(Some(&a), Some(&unix)).is_empty());
    }
}
