//! Where the stored bytes come from, and the one buffer they pass through.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};

/// Bytes already used that the buffer keeps, so that a search for the next member or frame can
/// begin before the place where a decompressor noticed that it was led astray. A zstd block, or the
/// extra field of a gzip header, that was given a wrong length swallows no more than this.
pub(super) const HISTORY: usize = 128 << 10;
/// Least and most that one refill asks the source for: `REFILL` to `2 * REFILL` bytes.
const REFILL: usize = 64 << 10;

/// A source of stored bytes.
pub(super) enum Source {
    /// A regular file, read by `pread` at our own offset: no shared file position, and a file that
    /// shrinks is an ordinary short read.
    File { file: File, offset: u64 },
    /// A pipe, terminal or the like: a read may wait for its writer.
    Stream(Box<dyn Read + Send>),
    /// Bytes in memory; the number of those already read.
    Memory { bytes: Arc<[u8]>, offset: usize },
}

impl Source {
    /// Opens what `path` names. Anything but a regular file is read as a stream.
    pub(super) fn open(path: &Path) -> io::Result<Source> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        Ok(if meta.is_file() { Source::File { file, offset: 0 } } else { Source::Stream(Box::new(file)) })
    }

    /// Bytes there are at present, where that can be known.
    pub(super) fn len(&self) -> Option<u64> {
        match self {
            Source::File { file, .. } => file.metadata().ok().map(|m| m.len()),
            Source::Stream(_) => None,
            Source::Memory { bytes, .. } => Some(bytes.len() as u64),
        }
    }

    /// One read; 0 = nothing there at present.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let result = match self {
                Source::File { file, offset } => {
                    file.read_at(buf, *offset).inspect(|&n| *offset = offset.saturating_add(n as u64))
                }
                Source::Stream(reader) => reader.read(buf),
                Source::Memory { bytes, offset } => {
                    let mut rest = bytes.get(*offset..).unwrap_or_default();
                    rest.read(buf).inspect(|&n| *offset = offset.saturating_add(n))
                }
            };
            match result {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // A hand-written Read may claim more than it was given room for.
                other => return other.map(|n| n.min(buf.len())),
            }
        }
    }
}

/// A window on the stored bytes: some that were used, and those that come next.
///
/// ```text
/// buf:  | used, kept for rewind | unread | free |
///       0                     start     end   buf.len()
/// ```
pub(super) struct Stored {
    source: Source,
    name: String,
    buf: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset in the stored bytes of `buf[end]`.
    end_offset: u64,
    /// An error met when bytes had been delivered already; the next refill gives it.
    failed: Option<io::Error>,
}

impl Stored {
    pub(super) fn new(source: Source, name: &str) -> Stored {
        Stored { source, name: name.to_owned(), buf: Vec::new(), start: 0, end: 0, end_offset: 0, failed: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn len(&self) -> Option<u64> {
        self.source.len()
    }

    /// The bytes that come next, as far as they were read.
    pub(super) fn unread(&self) -> &[u8] {
        self.buf.get(self.start..self.end).unwrap_or_default()
    }

    /// Offset of the first unread byte.
    pub(super) fn position(&self) -> u64 {
        self.end_offset.saturating_sub(self.unread().len() as u64)
    }

    /// Offset just after the last byte read from the source.
    pub(super) fn end_offset(&self) -> u64 {
        self.end_offset
    }

    /// Marks the first `n` unread bytes as used.
    pub(super) fn consume(&mut self, n: usize) {
        self.start = self.start.saturating_add(n).min(self.end);
    }

    /// Makes bytes from `offset` on unread again, or from the oldest byte still held.
    pub(super) fn rewind_to(&mut self, offset: u64) {
        let back = self.position().saturating_sub(offset);
        self.start = self.start.saturating_sub(usize::try_from(back).unwrap_or(usize::MAX));
    }

    /// Reads more stored bytes after the unread ones. `false`: nothing more is there now.
    ///
    /// `delivered` says that the caller has plain bytes to give already: then a stream is not
    /// asked, since that may wait for its writer, and an error is kept for the next call.
    pub(super) fn more(&mut self, delivered: bool) -> Result<bool> {
        if let Some(e) = self.failed.take_if(|_| !delivered) {
            return Err(self.error("read", e));
        }
        if self.failed.is_some() || (delivered && matches!(self.source, Source::Stream(_))) {
            return Ok(false);
        }
        if self.buf.is_empty() {
            self.buf = vec![0; HISTORY.saturating_add(REFILL).saturating_add(REFILL)];
        }
        if self.buf.len().saturating_sub(self.end) < REFILL {
            let from = self.start.saturating_sub(HISTORY);
            self.buf.copy_within(from..self.end, 0);
            self.start = self.start.saturating_sub(from);
            self.end = self.end.saturating_sub(from);
        }
        let free = self.buf.get_mut(self.end..).unwrap_or_default();
        match self.source.read(free) {
            Ok(n) => {
                self.end = self.end.saturating_add(n);
                self.end_offset = self.end_offset.saturating_add(n as u64);
                Ok(n != 0)
            }
            Err(e) if delivered => {
                self.failed = Some(e);
                Ok(false)
            }
            Err(e) => Err(self.error("read", e)),
        }
    }

    /// Gives stored bytes as they are, past the buffer once that is empty.
    pub(super) fn read_plain(&mut self, out: &mut [u8]) -> Result<usize> {
        let mut unread = self.unread();
        let mut done = unread.read(out).unwrap_or(0);
        self.consume(done);
        while done < out.len() {
            if let Some(e) = self.failed.take_if(|_| done == 0) {
                return Err(self.error("read", e));
            }
            if self.failed.is_some() || (done > 0 && matches!(self.source, Source::Stream(_))) {
                break;
            }
            match self.source.read(out.get_mut(done..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(n) => {
                    done = done.saturating_add(n);
                    self.end_offset = self.end_offset.saturating_add(n as u64);
                }
                Err(e) if done == 0 => return Err(self.error("read", e)),
                Err(e) => self.failed = Some(e),
            }
        }
        Ok(done)
    }

    /// An error of the operating system at the current end.
    pub(super) fn error(&self, what: &'static str, source: io::Error) -> Error {
        Error::Input { name: self.name.clone(), what, offset: self.end_offset, source }
    }
}
