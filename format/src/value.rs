//! Typed decoding of parameters (scap-format section 4).

use crate::cursor::Cursor;
use crate::schema::{DynType, ParamInfo, ParamType};

/// A parameter's value. Byte order and encoding are dealt with; nothing is copied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Stored with length 0: not available. Not the same as 0.
    Absent,
    /// The stored length does not fit the type.
    Malformed {
        /// Bytes that the type needs at least.
        wanted: usize,
        /// Bytes stored.
        found: usize,
    },
    /// A signed number: `INT*`, `ERRNO`, `FD*`, `PID*`.
    Signed(i64),
    /// An unsigned number: everything else of fixed size.
    Unsigned(u64),
    /// A floating point number.
    Double(f64),
    /// A string without its terminating NUL, or `None` for the null pointer, which old files store
    /// as `(NULL)`.
    Text(Option<&'a [u8]>),
    /// Bytes: I/O data, argument and environment lists.
    Bytes(&'a [u8]),
    /// A socket address.
    Address(SockAddr<'a>),
    /// Both ends of a socket.
    Tuple(SockTuple<'a>),
    /// Poll fds.
    Fds(PollFds<'a>),
    /// An IPv4 address, network order.
    Ipv4([u8; 4]),
    /// An IPv6 address, network order.
    Ipv6([u8; 16]),
    /// A value whose type is chosen by its first byte; decode the bytes with [`decode`].
    Dyn(&'static DynType, &'a [u8]),
}

/// A socket address. Ports are in host order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SockAddr<'a> {
    Unix {
        path: &'a [u8],
    },
    Ipv4 {
        ip: [u8; 4],
        port: u16,
    },
    Ipv6 {
        ip: [u8; 16],
        port: u16,
    },
    /// A family that is not decoded, or too few bytes for its family.
    Other {
        family: u8,
        rest: &'a [u8],
    },
}

/// Both ends of a socket: source first. Ports are in host order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SockTuple<'a> {
    /// Kernel addresses of both ends, and path.
    Unix {
        source: u64,
        destination: u64,
        path: &'a [u8],
    },
    Ipv4 {
        sip: [u8; 4],
        sport: u16,
        dip: [u8; 4],
        dport: u16,
    },
    Ipv6 {
        sip: [u8; 16],
        sport: u16,
        dip: [u8; 16],
        dport: u16,
    },
    /// A family that is not decoded, or too few bytes for its family.
    Other {
        family: u8,
        rest: &'a [u8],
    },
}

const AF_UNIX: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

impl<'a> SockAddr<'a> {
    /// Decodes a `SOCKADDR`; `None` when there is no byte.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (family, rest) = bytes.split_first()?;
        let mut c = Cursor::new(rest);
        let parsed = match *family {
            AF_UNIX if !rest.is_empty() => Some(SockAddr::Unix { path: until_nul(rest) }),
            AF_INET => c.array().zip(c.u16()).map(|(ip, port)| SockAddr::Ipv4 { ip, port }),
            AF_INET6 => c.array().zip(c.u16()).map(|(ip, port)| SockAddr::Ipv6 { ip, port }),
            _ => None,
        };
        Some(parsed.unwrap_or(SockAddr::Other { family: *family, rest }))
    }
}

impl<'a> SockTuple<'a> {
    /// Decodes a `SOCKTUPLE`; `None` when there is no byte.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (family, rest) = bytes.split_first()?;
        let mut c = Cursor::new(rest);
        let parsed = match *family {
            AF_UNIX => {
                (|| Some(SockTuple::Unix { source: c.u64()?, destination: c.u64()?, path: until_nul(c.rest()) }))()
            }
            AF_INET => {
                (|| Some(SockTuple::Ipv4 { sip: c.array()?, sport: c.u16()?, dip: c.array()?, dport: c.u16()? }))()
            }
            AF_INET6 => {
                (|| Some(SockTuple::Ipv6 { sip: c.array()?, sport: c.u16()?, dip: c.array()?, dport: c.u16()? }))()
            }
            _ => None,
        };
        Some(parsed.unwrap_or(SockTuple::Other { family: *family, rest }))
    }
}

/// The items of an `FDLIST`: fd and poll flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollFds<'a>(&'a [u8]);

impl PollFds<'_> {
    /// Number of items.
    pub fn len(&self) -> usize {
        self.0.len() / 10
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> PollFds<'a> {
    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, u16)> + use<'a> {
        let mut c = Cursor::new(self.0);
        std::iter::from_fn(move || Some((c.i64()?, c.u16()?)))
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// The value of a parameter as the table describes it.
pub fn decode_param<'a>(info: &ParamInfo, bytes: &'a [u8]) -> Value<'a> {
    if info.kind != ParamType::Dyn || bytes.is_empty() {
        return decode(info.kind, bytes);
    }
    let found = bytes.first().copied().unwrap_or_default();
    match info.dynamic.iter().find(|d| d.index == found) {
        Some(sub) => Value::Dyn(sub, bytes.get(1..).unwrap_or_default()),
        None => Value::Bytes(bytes),
    }
}

/// The value of bytes of a type.
pub fn decode(kind: ParamType, bytes: &[u8]) -> Value<'_> {
    use ParamType as P;
    if bytes.is_empty() {
        return Value::Absent;
    }
    if let Some(wanted) = kind.fixed_size()
        && bytes.len() != wanted
    {
        return Value::Malformed { wanted, found: bytes.len() };
    }
    match kind {
        P::Int8 | P::Int16 | P::Int32 | P::Int64 | P::Errno | P::Fd | P::Pid | P::Fd32 | P::Pid32 => {
            Value::Signed(signed(bytes))
        }
        P::Double => Value::Double(f64::from_bits(unsigned(bytes))),
        P::CharBuf | P::FsPath | P::FsRelPath => {
            let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
            Value::Text(Some(text).filter(|t| *t != b"(NULL)"))
        }
        P::ByteBuf | P::CharBufArray | P::CharBufPairArray | P::Dyn => Value::Bytes(bytes),
        P::SockAddr => SockAddr::parse(bytes).map_or(Value::Absent, Value::Address),
        P::SockTuple => SockTuple::parse(bytes).map_or(Value::Absent, Value::Tuple),
        P::FdList => match bytes.split_first_chunk() {
            Some((count, items)) => {
                let wanted = usize::from(u16::from_le_bytes(*count)).saturating_mul(10);
                match items.get(..wanted) {
                    Some(items) => Value::Fds(PollFds(items)),
                    None => Value::Malformed { wanted: wanted.saturating_add(2), found: bytes.len() },
                }
            }
            None => Value::Malformed { wanted: 2, found: bytes.len() },
        },
        P::Ipv4Addr => bytes.first_chunk().map_or(Value::Absent, |a| Value::Ipv4(*a)),
        P::Ipv6Addr => bytes.first_chunk().map_or(Value::Absent, |a| Value::Ipv6(*a)),
        _ => Value::Unsigned(unsigned(bytes)),
    }
}

/// Little-endian number of 1 to 8 bytes.
pub fn unsigned(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    for (to, from) in all.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(all)
}

/// Little-endian number of 1 to 8 bytes, sign extended.
pub fn signed(bytes: &[u8]) -> i64 {
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xFF } else { 0 };
    let mut all = [fill; 8];
    for (to, from) in all.iter_mut().zip(bytes) {
        *to = *from;
    }
    i64::from_le_bytes(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ParamType as P;

    #[test]
    fn numbers() {
        assert_eq!(decode(P::Int32, &(-2i32).to_le_bytes()), Value::Signed(-2));
        assert_eq!(decode(P::Uint32, &[0xFF; 4]), Value::Unsigned(0xFFFF_FFFF));
        assert_eq!(decode(P::Fd, &(-100i64).to_le_bytes()), Value::Signed(-100));
        assert_eq!(decode(P::Errno, &[0; 4]), Value::Malformed { wanted: 8, found: 4 });
        assert_eq!(decode(P::Uid, &[]), Value::Absent);
    }

    #[test]
    fn strings() {
        assert_eq!(decode(P::CharBuf, b"a\0"), Value::Text(Some(b"a")));
        assert_eq!(decode(P::CharBuf, b"\0"), Value::Text(Some(b"")));
        assert_eq!(decode(P::CharBuf, b"(NULL)\0"), Value::Text(None));
        assert_eq!(decode(P::FsPath, b"cut"), Value::Text(Some(b"cut")));
    }

    #[test]
    fn sockets() {
        let tuple = [2, 1, 2, 3, 4, 0x39, 0x30, 5, 6, 7, 8, 80, 0];
        assert_eq!(
            decode(P::SockTuple, &tuple),
            Value::Tuple(SockTuple::Ipv4 { sip: [1, 2, 3, 4], sport: 12345, dip: [5, 6, 7, 8], dport: 80 })
        );
        assert_eq!(
            decode(P::SockTuple, &tuple[..12]),
            Value::Tuple(SockTuple::Other { family: 2, rest: &tuple[1..12] })
        );
        assert_eq!(decode(P::SockAddr, b"\x01/run/s\0"), Value::Address(SockAddr::Unix { path: b"/run/s" }));
        assert_eq!(decode(P::SockAddr, &[0]), Value::Address(SockAddr::Other { family: 0, rest: &[] }));
    }

    #[test]
    fn poll_lists() {
        let mut bytes = vec![2, 0];
        for (fd, flags) in [(3i64, 1u16), (-1, 4)] {
            bytes.extend(fd.to_le_bytes());
            bytes.extend(flags.to_le_bytes());
        }
        let Value::Fds(fds) = decode(P::FdList, &bytes) else { panic!() };
        assert_eq!(fds.iter().collect::<Vec<_>>(), [(3, 1), (-1, 4)]);
        assert_eq!(decode(P::FdList, &bytes[..21]), Value::Malformed { wanted: 22, found: 21 });
    }

    #[test]
    fn every_type_takes_any_bytes() {
        for e in &crate::schema::EVENTS {
            for p in e.params {
                for n in 0..70 {
                    let bytes = vec![0x81; n];
                    let value = decode_param(p, &bytes);
                    assert_eq!(value == Value::Absent, n == 0, "{e} {} {n}", p.name);
                }
            }
        }
    }
}
