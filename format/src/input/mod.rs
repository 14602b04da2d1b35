//! One stream of plain bytes from a file, pipe or memory, whatever its compression
//! (`spec/scap-format.md` 1.1 and 1.5).
//!
//! ```
//! use scapkit_format::{Compression, Limits, input::Input};
//!
//! let mut input = Input::from_bytes(b"plain bytes".to_vec(), "memory", &Limits::default());
//! let mut buf = [0; 64];
//! assert_eq!(input.read(&mut buf)?, 11);
//! assert_eq!(input.compression(), Compression::None);
//! assert_eq!(input.read(&mut buf)?, 0); // nothing more at present
//! input.finish(); // and we will not wait
//! assert_eq!(input.take_damage(), None);
//! # Ok::<(), scapkit_format::Error>(())
//! ```

mod gzip;
mod source;
mod track;
mod zstd;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::Compression;
use crate::error::{Damage, Error, Result};
use crate::limits::Limits;
use gzip::Gzip;
use source::{Source, Stored};
use track::Track;
use zstd::{Start, Zstd};

/// A stream of plain bytes.
///
/// Damage of the compressed container never ends the work: what can be decompressed is delivered,
/// the next usable member or frame is searched for, and [`Input::take_damage`] tells.
pub struct Input {
    stored: Stored,
    decoder: Decoder,
    limits: Limits,
    track: Track,
}

enum Decoder {
    /// Too few bytes were seen to tell.
    Unknown,
    Plain,
    Gzip(Box<Gzip>),
    Zstd(Box<Zstd>),
}

impl Input {
    /// Opens a file. A regular file is read with `pread` and may grow or shrink meanwhile;
    /// anything else (a fifo, a terminal) is read as a stream.
    ///
    /// Errors: [`Error::Input`] if it cannot be opened or is a directory.
    pub fn open(path: &Path, limits: &Limits) -> Result<Input> {
        let name = path.display().to_string();
        match Source::open(path) {
            Ok(source) => Ok(Input::new(source, &name, limits)),
            Err(source) => Err(Error::Input { name, what: "open", offset: 0, source }),
        }
    }

    /// Reads from a stream: standard input, a pipe, a socket. `name` is for messages.
    pub fn from_reader(reader: Box<dyn Read + Send>, name: &str, limits: &Limits) -> Result<Input> {
        Ok(Input::new(Source::Stream(reader), name, limits))
    }

    /// Reads bytes in memory. `name` is for messages.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>, name: &str, limits: &Limits) -> Input {
        Input::new(Source::Memory { bytes: bytes.into(), offset: 0 }, name, limits)
    }

    fn new(source: Source, name: &str, limits: &Limits) -> Input {
        Input {
            stored: Stored::new(source, name),
            decoder: Decoder::Unknown,
            limits: *limits,
            track: Track::new("", "", limits),
        }
    }

    /// The name for messages: the path as given, or the `name` given.
    pub fn name(&self) -> &str {
        self.stored.name()
    }

    /// The compression, found by content: `1f 8b` is gzip, a zstd frame or skippable frame is zstd.
    ///
    /// [`Compression::None`] until the first [`Input::read`] that gave bytes: opening reads nothing,
    /// since a pipe's first byte may be long in coming.
    pub fn compression(&self) -> Compression {
        match self.decoder {
            Decoder::Unknown | Decoder::Plain => Compression::None,
            Decoder::Gzip(_) => Compression::Gzip,
            Decoder::Zstd(_) => Compression::Zstd,
        }
    }

    /// Reads plain bytes into `buf` and gives their number.
    ///
    /// 0 means that nothing more is there at present: when a file has grown or a stream has more to
    /// give, a later call goes on, also in the middle of a member or frame. It means the end for
    /// good after a decompression limit was reached ([`crate::ContainerDamage::Expansion`]).
    ///
    /// Fewer bytes than `buf` holds, but not 0, says nothing: from a stream what has come is given
    /// without waiting for more, and the bytes of one call lie all before or all after a gap that
    /// container damage left. The damage that describes such a gap is there for
    /// [`Input::take_damage`] after the call that gives the first bytes after it.
    ///
    /// Errors: [`Error::Input`] if the system refuses to read. Interrupted calls are repeated.
    pub fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if matches!(self.decoder, Decoder::Unknown) && !self.detect()? {
            return Ok(0);
        }
        match &mut self.decoder {
            Decoder::Unknown => Ok(0),
            Decoder::Plain => self.stored.read_plain(buf),
            Decoder::Gzip(gzip) => gzip.read(&mut self.stored, &mut self.track, buf),
            Decoder::Zstd(zstd) => zstd.read(&mut self.stored, &mut self.track, buf),
        }
    }

    /// Bytes of the stored (compressed) input used so far; less than were read from the source.
    /// Damage can set it back by up to 128 KiB, to where the search for the next unit begins.
    pub fn stored_position(&self) -> u64 {
        self.stored.position()
    }

    /// Size of the stored input at present; `None` for a stream.
    pub fn stored_len(&self) -> Option<u64> {
        self.stored.len()
    }

    /// The next container damage found, in the order of the file. Its offsets count stored bytes.
    ///
    /// At most 4096 records wait here; damage found beyond that is added to the last one.
    pub fn take_damage(&mut self) -> Option<Damage> {
        self.track.take_damage()
    }

    /// Says that no more bytes will come: to be called when [`Input::read`] gave 0 and the caller
    /// will not wait. Half a member or frame becomes [`crate::ContainerDamage::Truncated`], bytes
    /// that start none become [`crate::ContainerDamage::Trailing`].
    ///
    /// An input of one to three bytes that might have become a compressed one is plain after this:
    /// one more [`Input::read`] gives them.
    pub fn finish(&mut self) {
        match &mut self.decoder {
            Decoder::Unknown => self.decoder = Decoder::Plain,
            Decoder::Plain => {}
            Decoder::Gzip(gzip) => gzip.finish(&self.stored, &mut self.track),
            Decoder::Zstd(zstd) => zstd.finish(&self.stored, &mut self.track),
        }
    }

    /// Finds the compression, with as few bytes as tell. `false`: too few are there now.
    fn detect(&mut self) -> Result<bool> {
        loop {
            let bytes = self.stored.unread();
            match (bytes, zstd::start(bytes)) {
                ([0x1f, 0x8b, ..], _) => {
                    self.track = Track::new("gzip", "member", &self.limits);
                    self.decoder = Decoder::Gzip(Box::new(Gzip::new()));
                    return Ok(true);
                }
                (_, Start::Frame | Start::Skippable) => {
                    let zstd = Zstd::new(&self.limits).map_err(|e| self.stored.error("decompress", e))?;
                    self.track = Track::new("zstd", "frame", &self.limits);
                    self.decoder = Decoder::Zstd(Box::new(zstd));
                    return Ok(true);
                }
                ([0x1f], _) | (_, Start::Open) => {}
                _ => {
                    self.decoder = Decoder::Plain;
                    return Ok(true);
                }
            }
            if !self.stored.more(false)? {
                return Ok(false);
            }
        }
    }
}
