//! Memory with a hole behind it.

use super::sys;

/// Two pages that may be used, and one after them that nobody can read.
pub struct Scratch {
    start: i64,
}

const PAGE: i64 = 4096;

impl Scratch {
    /// Maps it. It is never unmapped: calls may still refer to it.
    pub fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let start = raw!(SYS_mmap, 0, 3 * PAGE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert!(start > 0, "mmap: {start}");
        assert_eq!(raw!(SYS_mprotect, start + 2 * PAGE, PAGE, libc::PROT_NONE), 0);
        sys::store(start, &[0; 2 * PAGE as usize]);
        Scratch { start }
    }

    /// The address of bytes that are stored so that the first byte after them cannot be read.
    pub fn at_end(&self, bytes: &[u8]) -> i64 {
        let at = self.hole() - bytes.len() as i64;
        sys::store(at, bytes);
        at
    }

    /// An address where nothing can be read or written.
    pub fn hole(&self) -> i64 {
        self.start + 2 * PAGE
    }
}

/// `len` bytes that are all different as far as that goes.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 256 * 3 + 33) as u8).collect()
}
