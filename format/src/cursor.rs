//! A reader over bytes that cannot run past their end.

/// Bytes not yet read. Every getter returns `None` when too few are left and then leaves the
/// cursor where it was.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    start: usize,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {
        $($(#[$doc])* #[inline] pub fn $name(&mut self) -> Option<$type> {
            let (head, rest) = self.rest.split_first_chunk()?;
            self.rest = rest;
            Some(<$type>::from_le_bytes(*head))
        })*
    };
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes, start: bytes.len() }
    }

    /// Bytes read so far.
    #[inline]
    pub fn consumed(&self) -> usize {
        self.start.saturating_sub(self.rest.len())
    }

    /// Bytes left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes left, without moving.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `n` bytes.
    #[inline]
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(head)
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*head)
    }

    /// A list string: `u16` length, then that many bytes (scap-format section 2).
    #[inline]
    pub fn string(&mut self) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let len = ahead.u16()?;
        let bytes = ahead.take(usize::from(len))?;
        *self = ahead;
        Some(bytes)
    }

    getters! {
        /// Next byte.
        u8: u8;
        /// Little-endian 16 bits.
        u16: u16;
        /// Little-endian 32 bits.
        u32: u32;
        /// Little-endian 64 bits.
        u64: u64;
        /// Little-endian 64 bits, signed.
        i64: i64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_reads_leave_the_cursor_where_it_was() {
        let mut c = Cursor::new(&[3, 0, b'a', b'b', 9]);
        assert_eq!(c.string(), Some(&b"ab\x09"[..]));
        let mut c = Cursor::new(&[4, 0, b'a', b'b', 9]);
        assert_eq!(c.string(), None);
        assert_eq!(c.consumed(), 0);
        assert_eq!(c.u64(), None);
        assert_eq!(c.u16(), Some(4));
        assert_eq!(c.consumed(), 2);
        assert_eq!(c.take(4), None);
        assert_eq!(c.rest(), b"ab\x09");
    }
}
