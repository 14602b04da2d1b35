//! Maps of regular files, for random access. The only module with unsafe code.
//!
//! Sequential reading does not come through here: it uses `pread`, so that a file that is truncated
//! while it is read is an ordinary error.
#![allow(unsafe_code)]

use crate::{Error, Result};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::path::Path;

/// A regular file as bytes.
#[derive(Debug)]
pub struct Map(memmap2::Mmap);

impl Map {
    /// Maps a regular file whole.
    ///
    /// # Errors
    /// [`Error::Input`] when it cannot be opened or mapped, or is no regular file.
    pub fn open(path: &Path) -> Result<Map> {
        let failed = |what, source| Error::Input { name: path.display().to_string(), what, offset: 0, source };
        let file = File::open(path).map_err(|e| failed("open", e))?;
        let kind = file.metadata().map_err(|e| failed("open", e))?.file_type();
        if !kind.is_file() {
            return Err(failed("map", io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")));
        }
        // SAFETY: the map is private to this process and only read. What cannot be ruled out is
        // another process changing the file meanwhile. Changed bytes are harmless: they are
        // untrusted anyway and every access is checked. Truncation is not: touching a page that
        // lies wholly beyond the new end raises SIGBUS and ends the process. Callers therefore use
        // maps only where a file is at rest (random access into a finished capture, benchmarks)
        // and read sequentially, with `pread`, everywhere else.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| failed("map", e))?;
        Ok(Map(map))
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}
