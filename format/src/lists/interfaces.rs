//! Interface addresses, versions 1 and 2 (scap-format section 2.4).

use super::{Entries, put_declared};
use crate::cursor::Cursor;
use crate::{DamageKind, Error, Limits, Result};

/// An interface's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface<'a> {
    /// Address, netmask and broadcast address, in network order.
    pub address: Address,
    /// Link speed where stored (0 in practice); old files lack it.
    pub linkspeed: Option<u64>,
    /// Interface name.
    pub name: &'a [u8],
    /// Bytes after the name, up to the declared length (version 2).
    pub extra: &'a [u8],
}

/// Address, netmask, broadcast address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Address {
    V4 { address: [u8; 4], netmask: [u8; 4], broadcast: [u8; 4] },
    V6 { address: [u8; 16], netmask: [u8; 16], broadcast: [u8; 16] },
}

impl<'a> Interface<'a> {
    fn parse(c: &mut Cursor<'a>) -> Option<Result<Self, u16>> {
        let (kind, name_len) = (c.u16()?, c.u16()?);
        let (v6, speed) = match kind {
            1 => (false, true),
            2 => (true, true),
            3 => (false, false),
            4 => (true, false),
            other => return Some(Err(other)),
        };
        let address = if v6 {
            Address::V6 { address: c.array()?, netmask: c.array()?, broadcast: c.array()? }
        } else {
            Address::V4 { address: c.array()?, netmask: c.array()?, broadcast: c.array()? }
        };
        let linkspeed = if speed { Some(c.u64()?) } else { None };
        let name = c.take(usize::from(name_len))?;
        Some(Ok(Interface { address, linkspeed, name, extra: &[] }))
    }

    /// Appends the entry as a list of `version` stores it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when the name is longer than 65,535 bytes.
    pub fn encode(&self, version: u8, out: &mut Vec<u8>) -> Result<()> {
        let name_len = u16::try_from(self.name.len()).map_err(|_| Error::TooLarge {
            what: "interface name",
            wanted: u64::from(u16::MAX),
            found: self.name.len() as u64,
        })?;
        let kind: u16 = match (&self.address, self.linkspeed) {
            (Address::V4 { .. }, Some(_)) => 1,
            (Address::V6 { .. }, Some(_)) => 2,
            (Address::V4 { .. }, None) => 3,
            (Address::V6 { .. }, None) => 4,
        };
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(&kind.to_le_bytes());
            out.extend_from_slice(&name_len.to_le_bytes());
            match &self.address {
                Address::V4 { address, netmask, broadcast } => {
                    out.extend_from_slice(&[*address, *netmask, *broadcast].concat());
                }
                Address::V6 { address, netmask, broadcast } => {
                    out.extend_from_slice(&[*address, *netmask, *broadcast].concat());
                }
            }
            if let Some(speed) = self.linkspeed {
                out.extend_from_slice(&speed.to_le_bytes());
            }
            out.extend_from_slice(self.name);
            if version >= 2 {
                out.extend_from_slice(self.extra);
            }
            Ok(())
        };
        if version < 2 { fill(out) } else { put_declared(out, false, fill) }
    }
}

/// The addresses of an interface list block.
#[derive(Debug, Clone)]
pub struct Interfaces<'a> {
    entries: Entries<'a>,
    version: u8,
}

impl<'a> Interfaces<'a> {
    /// The list in `body` (padding included), laid out as `version` says.
    pub fn new(body: &'a [u8], version: u8, limits: &Limits) -> Self {
        Interfaces { entries: Entries::new("interface list", body, limits), version }
    }

    /// Layout version, 1 or 2.
    pub fn version(&self) -> u8 {
        self.version
    }

    fn entry(&mut self) -> Result<Interface<'a>, DamageKind> {
        let mut c = if self.version >= 2 { self.entries.declared(false)? } else { self.entries.body };
        let mut interface = match Interface::parse(&mut c) {
            Some(Ok(interface)) => interface,
            Some(Err(kind)) => return Err(self.entries.bad("interface type", 4, u64::from(kind))),
            None => return Err(self.entries.bad("size", 16, c.remaining() as u64)),
        };
        if self.version >= 2 {
            interface.extra = c.rest();
        } else {
            self.entries.body = c;
        }
        Ok(interface)
    }
}

impl<'a> Iterator for Interfaces<'a> {
    type Item = Result<Interface<'a>, DamageKind>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.more()?.and_then(|()| self.entry());
        self.entries.entry = self.entries.entry.saturating_add(1);
        Some(entry)
    }
}

/// What a look at an `IL_V2` block with a wrong trailer came to, see [`real_length`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RealLength {
    /// The block has this many bytes.
    Is(usize),
    /// This many bytes are needed to tell.
    Need(usize),
    /// Something else is wrong with it.
    Unknown,
}

/// Most entries of a list that is mended. A machine has a few addresses; without a bound a file of
/// false lists, each in the entries of the one before, takes the square of its size to read.
const MAX_MENDED: usize = 1024;

/// The real length of an `IL_V2` block whose header and trailer are 4 bytes per entry too small: a
/// writer bug of sysdig 0.29.3 and of libs, which re-write old captures that way and then cannot
/// read the file back (section 2.4).
///
/// Entries are walked by their declared lengths until the announced end falls inside one; the bytes
/// after the real last entry and its padding must repeat the announced total.
pub(crate) fn real_length(bytes: &[u8], announced: u32) -> RealLength {
    let (mut end, announced) = (8usize, announced as usize);
    for entries in 1..=MAX_MENDED {
        let head = end.saturating_add(6);
        let Some(mut c) = bytes.get(end..head).map(Cursor::new) else {
            return RealLength::Need(head);
        };
        let (Some(len), Some(1..=4)) = (c.u32(), c.u16()) else {
            return RealLength::Unknown;
        };
        if len < 16 {
            return RealLength::Unknown;
        }
        end = end.saturating_add(4).saturating_add(len as usize);
        let real = end.saturating_add(4).next_multiple_of(4);
        let wanted = announced.saturating_add(entries.saturating_mul(4));
        if real > wanted {
            return RealLength::Unknown;
        }
        if real == wanted {
            let trailer = bytes.get(real.saturating_sub(4)..real).and_then(|t| t.first_chunk());
            return match trailer {
                Some(t) if u32::from_le_bytes(*t) as usize == announced => RealLength::Is(real),
                Some(_) => RealLength::Unknown,
                None => RealLength::Need(real),
            };
        }
    }
    RealLength::Unknown
}
