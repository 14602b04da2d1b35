//! The lowest layer of the writer: whole blocks in, independent compressed chunks out.
//!
//! Blocks are opaque bytes here; what is in them is the business of the layer above. They are
//! gathered in chunks of about [`WriteOptions::chunk_size`] plain bytes, each chunk is compressed
//! by itself and written with one call. So a reader can start at any chunk, chunks can be
//! compressed in parallel, and a writer that is killed leaves a file that is valid up to its last
//! whole chunk.
//!
//! ```text
//! gzip:  member  member  member ... [empty members with the index in FEXTRA "SK"]
//! zstd:  frame   frame   frame  ... [skippable frame with the index]  seek table
//! none:  blocks as they are
//! ```
//! `gzip -dc` and `zstd -dc` give the plain capture in all cases.
//!
//! The bytes do not depend on [`WriteOptions::threads`]; with a [`WriteOptions::flush_interval`]
//! they depend on when the blocks came.
//!
//! Nothing here calls `fsync`: what is written survives the end of the process, not that of the
//! machine.
//!
//! ```
//! use scapkit_format::Compression;
//! use scapkit_format::write::{BlockMeta, ChunkWriter, Trailer, WriteOptions};
//!
//! let options = WriteOptions { compression: Compression::Gzip, ..WriteOptions::default() };
//! let mut writer = ChunkWriter::from_writer(Box::new(std::io::sink()), "sink", &options)?;
//! writer.block(&[0; 12], BlockMeta::Event { number: 1, ts: 1_700_000_000_000_000_000 })?;
//! let written = writer.finish(Trailer::None)?;
//! assert_eq!(written.plain_bytes, 12);
//! assert_eq!(written.chunks[0].first_event, Some(1));
//! # Ok::<(), scapkit_format::Error>(())
//! ```

mod compress;
mod file;
mod seekable;
mod writer;

use std::thread;
use std::time::Duration;

use crate::Compression;

pub use self::compress::level_range;
pub use self::writer::ChunkWriter;

/// [`WriteOptions::chunk_size`] unless told otherwise: 4 MiB.
pub const DEFAULT_CHUNK_SIZE: usize = 4 << 20;

/// How a [`ChunkWriter`] stores what it is given.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    /// Container.
    pub compression: Compression,
    /// Compression level within [`level_range`]; `None` is 6 for gzip, 3 for zstd.
    pub level: Option<i32>,
    /// Plain bytes per chunk, at most 1 GiB. A block is never split, so one that is larger makes
    /// a chunk of its own.
    pub chunk_size: usize,
    /// Age at which a chunk is closed though it is not full. Looked at when a block comes in: an
    /// idle caller that wants its bytes in the file calls [`ChunkWriter::flush`].
    pub flush_interval: Option<Duration>,
    /// Compression workers; 0 compresses in the calling thread. Each has its own compressor and
    /// up to a chunk in hand; two chunks more may be waiting.
    pub threads: usize,
}

impl Default for WriteOptions {
    /// Plain, 4 MiB chunks, no interval, as many workers as cores but at most 8.
    fn default() -> Self {
        WriteOptions {
            compression: Compression::None,
            level: None,
            chunk_size: DEFAULT_CHUNK_SIZE,
            flush_interval: None,
            threads: thread::available_parallelism().map_or(1, |n| n.get().min(8)),
        }
    }
}

/// What the chunk table needs to know of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockMeta {
    /// An event block.
    Event {
        /// The event's number, as the caller counts.
        number: u64,
        /// Its time, ns since the epoch.
        ts: u64,
    },
    /// Any other block.
    Other,
}

/// One chunk of the file: a gzip member, a zstd frame, or a stretch of a plain file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Where it starts in the file as stored, in bytes.
    pub offset: u64,
    /// Its stored length in bytes.
    pub len: u64,
    /// Where it starts in the plain capture, in bytes.
    pub plain_offset: u64,
    /// Its plain length in bytes.
    pub plain_len: u64,
    /// Event blocks in it.
    pub events: u64,
    /// Number of its first event; `None` without events.
    pub first_event: Option<u64>,
    /// Smallest time of an event in it (ns since the epoch), not necessarily that of the first:
    /// captures are not strictly ordered.
    pub first_ts: Option<u64>,
    /// Largest time of an event in it.
    pub last_ts: Option<u64>,
}

/// What [`ChunkWriter::finish`] puts after the last chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trailer {
    /// Nothing (but a zstd file still ends with its seek table).
    None,
    /// Index bytes, put where decompressors skip them: for gzip the FEXTRA fields of empty
    /// members, for zstd a skippable frame before the seek table. See [`trailer_stored_len`].
    /// A plain file has no such place: [`Written::unstored`] gives them back for a sidecar.
    Index(Vec<u8>),
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// All chunks in order, without gaps from offset 0.
    pub chunks: Vec<Chunk>,
    /// Length of the file, index and seek table included.
    pub stored_bytes: u64,
    /// Length of the plain capture.
    pub plain_bytes: u64,
    /// Event blocks written.
    pub events: u64,
    /// The index bytes of [`Trailer::Index`] if the file is plain.
    pub unstored: Option<Vec<u8>>,
}

/// Stored length of a [`Trailer::Index`] of `len` bytes; `None` where it is not stored.
///
/// With gzip it is the end of the file: members of 65,531 index bytes, the last one shorter, each
/// with a header of 16 bytes before them and 10 bytes after them. An index that ends with its own
/// length can thus be found from the end. With zstd the seek table, of known length, follows, and
/// the frame has a header of 8 bytes.
pub fn trailer_stored_len(compression: Compression, len: u64) -> Option<u64> {
    match compression {
        Compression::None => None,
        Compression::Gzip => {
            let members = len.div_ceil(compress::INDEX_PART as u64);
            Some(members.saturating_mul(compress::INDEX_OVERHEAD).saturating_add(len))
        }
        Compression::Zstd => Some(len.saturating_add(seekable::SKIPPABLE_OVERHEAD)),
    }
}
