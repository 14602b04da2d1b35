//! Typed level: the lists that start a section, as zero-copy iterators and their encoders.
//!
//! Decoding and encoding are exact inverses: what was parsed encodes to the same bytes, including
//! fields that this program does not know (section 2: entries are read by their declared length).

pub mod fds;
pub mod interfaces;
pub mod machine;
pub mod threads;
pub mod users;

use crate::cursor::Cursor;
use crate::{DamageKind, Error, Result};

/// Where a list iterator stands; shared by all lists.
#[derive(Debug, Clone)]
struct Entries<'a> {
    list: &'static str,
    body: Cursor<'a>,
    entry: u64,
    limit: u64,
    failed: bool,
}

impl<'a> Entries<'a> {
    fn new(list: &'static str, body: &'a [u8], limits: &crate::Limits) -> Self {
        Entries { list, body: Cursor::new(body), entry: 0, limit: limits.max_list_entries, failed: false }
    }

    /// Whether another entry starts here: fewer than 4 bytes are padding.
    fn more(&mut self) -> Option<Result<(), DamageKind>> {
        if self.failed || self.body.remaining() < 4 {
            return None;
        }
        if self.entry >= self.limit {
            let found = self.entry.saturating_add(1);
            return Some(Err(self.bad("number (max-list-entries)", self.limit, found)));
        }
        Some(Ok(()))
    }

    fn bad(&mut self, what: &'static str, wanted: u64, found: u64) -> DamageKind {
        self.failed = true;
        DamageKind::List { list: self.list, what, entry: self.entry, wanted, found }
    }

    /// The bytes of an entry that declares its length. `counts_itself`: the declared length includes
    /// its own four bytes (section 2: it differs between the lists).
    fn declared(&mut self, counts_itself: bool) -> Result<Cursor<'a>, DamageKind> {
        let mut ahead = self.body;
        let len = ahead.u32().unwrap_or(0);
        let own = if counts_itself { 4 } else { 0 };
        let Some(rest) = (len as usize).checked_sub(own).and_then(|n| ahead.take(n)) else {
            let left = self.body.remaining() as u64;
            return Err(self.bad("declared length", left, u64::from(len)));
        };
        self.body = ahead;
        Ok(Cursor::new(rest))
    }
}

/// Appends a list string: `u16` length and the bytes.
pub(crate) fn put_string(out: &mut Vec<u8>, what: &'static str, bytes: &[u8]) -> Result<()> {
    let len = u16::try_from(bytes.len()).map_err(|_| Error::TooLarge {
        what,
        wanted: u64::from(u16::MAX),
        found: bytes.len() as u64,
    })?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends an entry behind its length. See [`Entries::declared`] for `counts_itself`.
pub(crate) fn put_declared(
    out: &mut Vec<u8>,
    counts_itself: bool,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(out)?;
    let own = if counts_itself { 0 } else { 4 };
    let found = out.len().saturating_sub(at).saturating_sub(own);
    let len = u32::try_from(found).map_err(|_| Error::TooLarge {
        what: "list entry",
        wanted: u64::from(u32::MAX),
        found: found as u64,
    })?;
    if let Some(slot) = out.get_mut(at..).and_then(|o| o.first_chunk_mut()) {
        *slot = len.to_le_bytes();
    }
    Ok(())
}
