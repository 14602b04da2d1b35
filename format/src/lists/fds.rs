//! The fd list of one thread, versions 1 and 2 (scap-format section 2.3).

use super::{Entries, put_declared, put_string};
use crate::cursor::Cursor;
use crate::{DamageKind, Limits, Result};

/// Type numbers of fds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FdType(pub u8);

#[allow(missing_docs)] // the format's own names
impl FdType {
    pub const UNKNOWN: FdType = FdType(0);
    pub const FILE: FdType = FdType(1);
    pub const DIRECTORY: FdType = FdType(2);
    pub const IPV4_SOCK: FdType = FdType(3);
    pub const IPV6_SOCK: FdType = FdType(4);
    pub const IPV4_SERVSOCK: FdType = FdType(5);
    pub const IPV6_SERVSOCK: FdType = FdType(6);
    pub const FIFO: FdType = FdType(7);
    pub const UNIX_SOCK: FdType = FdType(8);
    pub const EVENT: FdType = FdType(9);
    pub const UNSUPPORTED: FdType = FdType(10);
    pub const SIGNALFD: FdType = FdType(11);
    pub const EVENTPOLL: FdType = FdType(12);
    pub const INOTIFY: FdType = FdType(13);
    pub const TIMERFD: FdType = FdType(14);
    pub const NETLINK: FdType = FdType(15);
    pub const FILE_V2: FdType = FdType(16);
    pub const BPF: FdType = FdType(17);
    pub const USERFAULTFD: FdType = FdType(18);
    pub const IOURING: FdType = FdType(19);
    pub const MEMFD: FdType = FdType(20);
    pub const PIDFD: FdType = FdType(21);
}

/// An fd as a list has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fd<'a> {
    /// Number.
    pub fd: i64,
    /// Inode.
    pub ino: u64,
    /// Type.
    pub kind: FdType,
    /// What the type stores.
    pub info: FdInfo<'a>,
    /// Bytes after the last field that this program knows (version 2).
    pub extra: &'a [u8],
}

/// What an fd entry stores, by type. Addresses are in network order, ports in host order;
/// `l4`: 0 unknown, 1 not applicable, 2 TCP, 3 UDP, 4 ICMP, 5 RAW.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FdInfo<'a> {
    /// A type without payload, or one that this program does not know (see [`Fd::extra`]).
    None,
    /// A name.
    Name(&'a [u8]),
    /// Open flags (`PPM_O_*`), name, device number where stored.
    File { open_flags: u32, name: &'a [u8], dev: Option<u32> },
    /// A connected IPv4 socket.
    Ipv4 { sip: [u8; 4], dip: [u8; 4], sport: u16, dport: u16, l4: u8 },
    /// A connected IPv6 socket.
    Ipv6 { sip: [u8; 16], dip: [u8; 16], sport: u16, dport: u16, l4: u8 },
    /// A bound IPv4 socket.
    Ipv4Server { ip: [u8; 4], port: u16, l4: u8 },
    /// A bound IPv6 socket.
    Ipv6Server { ip: [u8; 16], port: u16, l4: u8 },
    /// A unix socket: kernel addresses of both ends, and path.
    Unix { source: u64, destination: u64, name: &'a [u8] },
}

impl<'a> FdInfo<'a> {
    fn parse(kind: FdType, v2: bool, c: &mut Cursor<'a>) -> Option<Self> {
        Some(match kind {
            FdType::IPV4_SOCK => {
                FdInfo::Ipv4 { sip: c.array()?, dip: c.array()?, sport: c.u16()?, dport: c.u16()?, l4: c.u8()? }
            }
            FdType::IPV6_SOCK => {
                FdInfo::Ipv6 { sip: c.array()?, dip: c.array()?, sport: c.u16()?, dport: c.u16()?, l4: c.u8()? }
            }
            FdType::IPV4_SERVSOCK => FdInfo::Ipv4Server { ip: c.array()?, port: c.u16()?, l4: c.u8()? },
            FdType::IPV6_SERVSOCK => FdInfo::Ipv6Server { ip: c.array()?, port: c.u16()?, l4: c.u8()? },
            FdType::UNIX_SOCK => FdInfo::Unix { source: c.u64()?, destination: c.u64()?, name: c.string()? },
            FdType::FILE_V2 => FdInfo::File {
                open_flags: c.u32()?,
                name: c.string()?,
                // Only in version 2 lists, and only if it fits in the entry.
                dev: if v2 { c.u32() } else { None },
            },
            FdType(1..=21) => FdInfo::Name(c.string()?),
            // UNKNOWN, and types of a newer version: the entry's bytes stay in `Fd::extra`.
            FdType(_) => FdInfo::None,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            FdInfo::None => {}
            FdInfo::Name(name) => put_string(out, "fd name", name)?,
            FdInfo::File { open_flags, name, dev } => {
                out.extend_from_slice(&open_flags.to_le_bytes());
                put_string(out, "fd name", name)?;
                if let Some(dev) = dev {
                    out.extend_from_slice(&dev.to_le_bytes());
                }
            }
            FdInfo::Ipv4 { sip, dip, sport, dport, l4 } => put_socket(out, sip, dip, *sport, *dport, *l4),
            FdInfo::Ipv6 { sip, dip, sport, dport, l4 } => put_socket(out, sip, dip, *sport, *dport, *l4),
            FdInfo::Ipv4Server { ip, port, l4 } => put_server(out, ip, *port, *l4),
            FdInfo::Ipv6Server { ip, port, l4 } => put_server(out, ip, *port, *l4),
            FdInfo::Unix { source, destination, name } => {
                out.extend_from_slice(&source.to_le_bytes());
                out.extend_from_slice(&destination.to_le_bytes());
                put_string(out, "fd name", name)?;
            }
        }
        Ok(())
    }
}

fn put_socket(out: &mut Vec<u8>, sip: &[u8], dip: &[u8], sport: u16, dport: u16, l4: u8) {
    out.extend_from_slice(sip);
    out.extend_from_slice(dip);
    out.extend_from_slice(&sport.to_le_bytes());
    out.extend_from_slice(&dport.to_le_bytes());
    out.push(l4);
}

fn put_server(out: &mut Vec<u8>, ip: &[u8], port: u16, l4: u8) {
    out.extend_from_slice(ip);
    out.extend_from_slice(&port.to_le_bytes());
    out.push(l4);
}

impl Fd<'_> {
    /// Appends the entry as a list of `version` stores it. Version 1 has no place for
    /// [`Fd::extra`] and for a device number.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] when the name is longer than 65,535 bytes.
    pub fn encode(&self, version: u8, out: &mut Vec<u8>) -> Result<()> {
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(&self.fd.to_le_bytes());
            out.extend_from_slice(&self.ino.to_le_bytes());
            out.push(self.kind.0);
            self.info.encode(out)
        };
        if version < 2 {
            return fill(out);
        }
        put_declared(out, true, |out| {
            fill(out)?;
            out.extend_from_slice(self.extra);
            Ok(())
        })
    }
}

/// The fds of one thread.
#[derive(Debug, Clone)]
pub struct Fds<'a> {
    /// The thread. It should have appeared in a process list before.
    pub tid: i64,
    entries: Entries<'a>,
    version: u8,
}

impl<'a> Fds<'a> {
    /// The list in `body` (padding included), laid out as `version` says.
    ///
    /// # Errors
    /// [`DamageKind::List`] when there is no thread id.
    pub fn new(body: &'a [u8], version: u8, limits: &Limits) -> Result<Self, DamageKind> {
        let mut entries = Entries::new("fd list", body, limits);
        match entries.body.i64() {
            Some(tid) => Ok(Fds { tid, entries, version }),
            None => Err(entries.bad("tid", 8, body.len() as u64)),
        }
    }

    /// Layout version, 1 or 2.
    pub fn version(&self) -> u8 {
        self.version
    }

    fn entry(&mut self) -> Result<Fd<'a>, DamageKind> {
        let v2 = self.version >= 2;
        let mut c = if v2 { self.entries.declared(true)? } else { self.entries.body };
        let head = (|| Some((c.i64()?, c.u64()?, FdType(c.u8()?))))();
        let Some((fd, ino, kind)) = head else {
            return Err(self.entries.bad("size", 17, c.remaining() as u64));
        };
        if !v2 && kind.0 > FdType::PIDFD.0 {
            // Without a declared length an unknown type cannot be stepped over.
            return Err(self.entries.bad("fd type", u64::from(FdType::PIDFD.0), u64::from(kind.0)));
        }
        let Some(info) = FdInfo::parse(kind, v2, &mut c) else {
            return Err(self.entries.bad("size of the fd's payload", 1, c.remaining() as u64));
        };
        if v2 {
            return Ok(Fd { fd, ino, kind, info, extra: c.rest() });
        }
        self.entries.body = c;
        Ok(Fd { fd, ino, kind, info, extra: &[] })
    }
}

impl<'a> Iterator for Fds<'a> {
    type Item = Result<Fd<'a>, DamageKind>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.more()?.and_then(|()| self.entry());
        self.entries.entry = self.entries.entry.saturating_add(1);
        Some(entry)
    }
}
