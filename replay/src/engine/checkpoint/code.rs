//! Numbers and strings of a checkpoint.
//!
//! Numbers are LEB128: seven bits a byte, the lowest first; signed ones zigzag (0, -1, 1, -2, ...).
//! A string is a number: 0 is the empty one, 1 says that a new one follows (length and bytes), n is
//! the one that was new as the (n - 1)th. Strings that are one object in memory are one here: the
//! account of memory depends on it.

use super::super::Text;
use super::super::pool::Pool;
use super::super::table::FdTable;
use super::CheckpointError;
use std::collections::HashMap;
use std::sync::Arc;

/// Where a checkpoint is written to.
#[derive(Debug, Default)]
pub(crate) struct Out {
    pub bytes: Vec<u8>,
    /// Numbers of strings and fd tables by their address. Never iterated: bytes do not depend on it.
    texts: HashMap<usize, u64>,
    tables: HashMap<usize, u64>,
    /// Strings and tables are written each time, so that bytes depend on what is there only, not on
    /// who shares it.
    by_value: bool,
}

impl Out {
    /// Writes what is there, not who shares it: to be hashed, not to be read.
    pub fn by_value() -> Self {
        Out { by_value: true, ..Out::default() }
    }

    pub fn u64(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.bytes.push(n.to_le_bytes()[0] | 0x80);
            n >>= 7;
        }
        self.bytes.push(n.to_le_bytes()[0]);
    }

    pub fn u32(&mut self, n: u32) {
        self.u64(u64::from(n));
    }

    /// A number that is all ones where unknown.
    pub fn id32(&mut self, n: u32) {
        self.u32(n.wrapping_add(1));
    }

    pub fn u16(&mut self, n: u16) {
        self.u64(u64::from(n));
    }

    pub fn usize(&mut self, n: usize) {
        self.u64(n as u64);
    }

    pub fn i64(&mut self, n: i64) {
        self.u64(((n << 1) ^ (n >> 63)).cast_unsigned());
    }

    pub fn bool(&mut self, b: bool) {
        self.bytes.push(u8::from(b));
    }

    pub fn slice(&mut self, bytes: &[u8]) {
        self.usize(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// The next key of an ascending row. `previous` is `None` before the first.
    pub fn key(&mut self, key: i64, previous: Option<i64>) {
        match previous {
            None => self.i64(key),
            // Keys ascend, so that the difference fits 64 bits.
            Some(previous) => self.u64(key.wrapping_sub(previous).cast_unsigned()),
        }
    }

    pub fn text(&mut self, text: &Text) {
        if self.by_value {
            self.slice(text);
        } else if text.is_empty() {
            self.u64(0);
        } else {
            let known = self.texts.len() as u64;
            let address = Arc::as_ptr(text).cast::<u8>().addr();
            if let Some(n) = self.texts.get(&address) {
                self.u64(*n);
            } else {
                self.texts.insert(address, known.saturating_add(2));
                self.u64(1);
                self.slice(text);
            }
        }
    }

    /// Says which fd table it is; `true` when its contents are to follow.
    pub fn table(&mut self, table: &Arc<FdTable>) -> bool {
        if table.is_empty() {
            self.u64(0);
            return false;
        }
        if self.by_value {
            return true;
        }
        let known = self.tables.len() as u64;
        if let Some(n) = self.tables.get(&Arc::as_ptr(table).addr()) {
            self.u64(*n);
            return false;
        }
        self.tables.insert(Arc::as_ptr(table).addr(), known.saturating_add(2));
        self.u64(1);
        true
    }
}

type Result<T> = std::result::Result<T, CheckpointError>;

/// A checkpoint being read.
#[derive(Debug)]
pub(crate) struct In<'a> {
    rest: &'a [u8],
    texts: Vec<Text>,
    tables: Vec<Arc<FdTable>>,
}

impl<'a> In<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        In { rest: bytes, texts: Vec::new(), tables: Vec::new() }
    }

    /// Ends the reading.
    pub fn finish(&self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(CheckpointError::Invalid("length")) }
    }

    pub fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().ok_or(CheckpointError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    pub fn u64(&mut self) -> Result<u64> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                break;
            }
            n |= bits << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(CheckpointError::Invalid("number"))
    }

    pub fn u32(&mut self) -> Result<u32> {
        u32::try_from(self.u64()?).map_err(|_| CheckpointError::Invalid("number of 32 bits"))
    }

    pub fn id32(&mut self) -> Result<u32> {
        Ok(self.u32()?.wrapping_sub(1))
    }

    pub fn u16(&mut self) -> Result<u16> {
        u16::try_from(self.u64()?).map_err(|_| CheckpointError::Invalid("number of 16 bits"))
    }

    pub fn usize(&mut self) -> Result<usize> {
        usize::try_from(self.u64()?).map_err(|_| CheckpointError::Invalid("count"))
    }

    pub fn i64(&mut self) -> Result<i64> {
        let n = self.u64()?;
        Ok((n >> 1).cast_signed() ^ (n & 1).cast_signed().wrapping_neg())
    }

    pub fn bool(&mut self) -> Result<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CheckpointError::Invalid("yes or no")),
        }
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or(CheckpointError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(CheckpointError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    pub fn slice(&mut self) -> Result<&'a [u8]> {
        let n = self.usize()?;
        self.take(n)
    }

    pub fn key(&mut self, previous: Option<i64>) -> Result<i64> {
        match previous {
            None => self.i64(),
            Some(previous) => match self.u64()? {
                0 => Err(CheckpointError::Invalid("order of keys")),
                step => previous.checked_add_unsigned(step).ok_or(CheckpointError::Invalid("order of keys")),
            },
        }
    }

    pub(in crate::engine) fn text(&mut self, pool: &mut Pool) -> Result<Text> {
        match self.u64()? {
            0 => Ok(Text::default()),
            1 => {
                let bytes = self.slice()?;
                if bytes.is_empty() {
                    return Err(CheckpointError::Invalid("empty string"));
                }
                let text = pool.own(bytes).ok_or(CheckpointError::Memory)?;
                self.texts.push(text.clone());
                Ok(text)
            }
            n => known(&self.texts, n).ok_or(CheckpointError::Invalid("number of a string")),
        }
    }

    /// An fd table; `read` reads the contents of a new one.
    pub fn table(&mut self, read: impl FnOnce(&mut Self) -> Result<FdTable>) -> Result<Arc<FdTable>> {
        match self.u64()? {
            0 => Ok(Arc::default()),
            1 => {
                let table = Arc::new(read(self)?);
                self.tables.push(table.clone());
                Ok(table)
            }
            n => known(&self.tables, n).ok_or(CheckpointError::Invalid("number of an fd table")),
        }
    }
}

fn known<T: Clone>(list: &[T], n: u64) -> Option<T> {
    list.get(usize::try_from(n).ok()?.checked_sub(2)?).cloned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let mut out = Out::default();
        let unsigned = [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        let signed = [0, -1, 1, 63, -64, 64, i64::MIN, i64::MAX];
        for n in unsigned {
            out.u64(n);
        }
        for n in signed {
            out.i64(n);
        }
        out.key(i64::MIN, None);
        out.key(i64::MAX, Some(i64::MIN));
        out.id32(u32::MAX);
        let mut input = In::new(&out.bytes);
        assert_eq!(unsigned.map(|_| input.u64().unwrap()), unsigned);
        assert_eq!(signed.map(|_| input.i64().unwrap()), signed);
        assert_eq!(input.key(None).unwrap(), i64::MIN);
        assert_eq!(input.key(Some(i64::MIN)).unwrap(), i64::MAX);
        assert_eq!(input.id32().unwrap(), u32::MAX);
        input.finish().unwrap();
        assert_eq!(input.u64(), Err(CheckpointError::Truncated));
    }

    #[test]
    fn what_is_no_number() {
        assert!(In::new(&[0xFF; 9]).u64().is_err());
        assert!(In::new(&[0xFF; 20]).u64().is_err());
        assert!(In::new(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2]).u64().is_err());
        assert!(In::new(&[0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).u32().is_err());
        assert!(In::new(&[2]).bool().is_err());
        assert!(In::new(&[0]).key(Some(3)).is_err());
        assert!(In::new(&[1]).key(Some(i64::MAX)).is_err());
    }
}
