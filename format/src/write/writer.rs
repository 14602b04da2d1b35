//! [`ChunkWriter`]: gathers blocks in chunks and sends each chunk its way.

use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::time::{Duration, Instant};

use super::compress::{self, Codec, Compressor, Pool};
use super::file::Sink;
use super::{BlockMeta, Chunk, DEFAULT_CHUNK_SIZE, Trailer, WriteOptions, Written, seekable};
use crate::{Compression, Error, Result};

/// A chunk while it is gathered and compressed. The buffers are reused.
#[derive(Default)]
pub(super) struct Gathered {
    plain: Vec<u8>,
    stored: Vec<u8>,
    /// Offsets and lengths are filled in when it is written.
    facts: Chunk,
    /// When the first byte came; only kept if there is a flush interval.
    opened: Option<Instant>,
}

impl Gathered {
    /// Fills `stored` from `plain`.
    pub(super) fn compress(&mut self, codec: Codec, compressor: &mut Option<Compressor>) -> io::Result<()> {
        compress_with(codec, compressor, &self.plain, &mut self.stored)
    }
}

/// Replaces `stored` by `plain` compressed, with a compressor that is made at first use.
fn compress_with(
    codec: Codec,
    compressor: &mut Option<Compressor>,
    plain: &[u8],
    stored: &mut Vec<u8>,
) -> io::Result<()> {
    if compressor.is_none() {
        *compressor = Some(Compressor::new(codec)?);
    }
    match compressor {
        Some(compressor) => compressor.compress(plain, stored),
        None => Ok(()),
    }
}

/// Adds a block to what is known of its chunk.
fn add(facts: &mut Chunk, meta: BlockMeta) {
    let BlockMeta::Event { number, ts } = meta else {
        return;
    };
    facts.events = facts.events.saturating_add(1);
    facts.first_event = facts.first_event.or(Some(number));
    facts.first_ts = Some(facts.first_ts.map_or(ts, |first| first.min(ts)));
    facts.last_ts = Some(facts.last_ts.map_or(ts, |last| last.max(ts)));
}

/// A block of this size, when it is a chunk by itself, is compressed from where it stands: a copy of
/// it would be the largest thing in memory.
const HUGE: usize = 8 << 20;

type Hook = Box<dyn FnMut(&Chunk) + Send>;

/// Writes blocks in chunks. See the [module](super) for what the file looks like.
///
/// Errors: [`Error::Output`] for anything the system refuses (the `source` keeps its kind, a
/// closed pipe is [`io::ErrorKind::BrokenPipe`]). It says how many bytes and events of whole
/// chunks are safe; a regular file opened by [`ChunkWriter::create`] is cut back to them. From
/// then on every call fails with the same error and nothing more is written.
/// [`Error::TooLarge`] refuses one block or index and changes nothing.
///
/// Dropping it without [`ChunkWriter::finish`] leaves the chunks that reached the file and loses
/// the others.
pub struct ChunkWriter {
    sink: Sink,
    codec: Codec,
    chunk_size: usize,
    flush_interval: Option<Duration>,
    threads: usize,
    on_chunk: Option<Hook>,
    /// The chunk being gathered.
    open: Gathered,
    /// Buffers of chunks that were written.
    spare: Vec<Gathered>,
    /// Started when the first chunk is full, so that short captures need no threads.
    pool: Option<Pool>,
    /// The calling thread's own.
    compressor: Option<Compressor>,
    /// Chunks that reached the file.
    chunks: Vec<Chunk>,
    /// Chunks that were closed, written or not.
    closed: u64,
    /// Number of the chunk that took the last bytes.
    last_chunk: Option<u64>,
    plain_bytes: u64,
}

impl ChunkWriter {
    /// Opens `path`: a new file gets mode 0600; an existing one is emptied, keeps its mode, and
    /// must be a regular file, a device or a pipe.
    pub fn create(path: &Path, options: &WriteOptions) -> Result<ChunkWriter> {
        // Options first: wrong ones must not empty the file.
        let codec = check(options, &path.display().to_string())?;
        Ok(ChunkWriter::new(Sink::create(path)?, codec, options))
    }

    /// Writes to `writer`, called `name` in errors, and flushes it after each chunk.
    pub fn from_writer(writer: Box<dyn Write + Send>, name: &str, options: &WriteOptions) -> Result<ChunkWriter> {
        let codec = check(options, name)?;
        Ok(ChunkWriter::new(Sink::from_writer(writer, name), codec, options))
    }

    fn new(sink: Sink, codec: Codec, options: &WriteOptions) -> ChunkWriter {
        ChunkWriter {
            sink,
            codec,
            chunk_size: options.chunk_size.max(1),
            flush_interval: options.flush_interval,
            threads: if codec.compression() == Compression::None { 0 } else { options.threads },
            on_chunk: None,
            open: Gathered::default(),
            spare: Vec::new(),
            pool: None,
            compressor: None,
            chunks: Vec::new(),
            closed: 0,
            last_chunk: None,
            plain_bytes: 0,
        }
    }

    /// Has `f` called for each chunk that reached the file from now on, in order, by the thread
    /// that calls this writer.
    pub fn on_chunk(&mut self, f: Box<dyn FnMut(&Chunk) + Send>) {
        self.on_chunk = Some(f);
    }

    /// Takes one whole block. It is never split across chunks.
    ///
    /// A block over 2^32 - 1 bytes (with zstd over 1 GiB) is [`Error::TooLarge`].
    pub fn block(&mut self, bytes: &[u8], meta: BlockMeta) -> Result<()> {
        self.collect_ready()?;
        let limit = match self.codec.compression() {
            Compression::Zstd => seekable::MAX_FRAME_PLAIN,
            Compression::None | Compression::Gzip => u64::from(u32::MAX),
        };
        let found = bytes.len() as u64;
        if found > limit {
            return Err(Error::TooLarge { what: "block", wanted: limit, found });
        }
        self.append(bytes, meta)
    }

    /// Takes bytes that are no whole block: a damaged stretch that is kept as it is. They are
    /// split where a chunk is full.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        self.collect_ready()?;
        let mut rest = bytes;
        while !rest.is_empty() {
            // An open chunk is never full.
            let room = self.chunk_size.saturating_sub(self.open.plain.len()).max(1);
            let (now, later) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.append(now, BlockMeta::Other)?;
            rest = later;
        }
        Ok(())
    }

    /// Closes the open chunk and writes everything: the file is valid up to here afterwards.
    pub fn flush(&mut self) -> Result<()> {
        self.sink.check()?;
        self.close(true)?;
        while let Some(result) = self.pool.as_mut().and_then(Pool::wait) {
            self.store_result(result)?;
        }
        Ok(())
    }

    /// Flushes, writes `trailer` and, for zstd, the seek table.
    ///
    /// An index made from [`ChunkWriter::chunks`] wants a [`ChunkWriter::flush`] first. An index
    /// over 2^32 - 1 bytes is [`Error::TooLarge`] with zstd; the capture is complete then, but
    /// has no seek table. A capture without any block is an empty file in gzip and plain.
    pub fn finish(mut self, trailer: Trailer) -> Result<Written> {
        self.flush()?;
        let mut tail = Vec::new();
        let mut unstored = None;
        if let Trailer::Index(index) = trailer {
            match self.codec.compression() {
                Compression::None => unstored = Some(index),
                Compression::Gzip => compress::gzip_index(&index, &mut tail),
                Compression::Zstd => {
                    if !seekable::skippable(seekable::INDEX_MAGIC, &index, &mut tail) {
                        let (wanted, found) = (u64::from(u32::MAX), index.len() as u64);
                        return Err(Error::TooLarge { what: "index", wanted, found });
                    }
                }
            }
        }
        if self.codec.compression() == Compression::Zstd {
            seekable::table(&self.chunks, &mut tail);
        }
        self.sink.tail(&tail)?;
        Ok(Written {
            stored_bytes: self.sink.safe_bytes().saturating_add(tail.len() as u64),
            plain_bytes: self.plain_bytes,
            events: self.sink.safe_events(),
            chunks: mem::take(&mut self.chunks),
            unstored,
        })
    }

    /// The chunks that reached the file so far.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Bytes that reached the file so far.
    pub fn stored_bytes(&self) -> u64 {
        self.sink.safe_bytes()
    }

    /// Number, from 0, of the chunk that holds the last bytes given to [`ChunkWriter::block`] or
    /// [`ChunkWriter::raw`], written or not; `None` before the first. Lets a caller keep its own
    /// facts per chunk.
    pub fn last_chunk(&self) -> Option<u64> {
        self.last_chunk
    }

    /// Adds bytes to the open chunk, closing chunks before and after as size and age want it.
    fn append(&mut self, bytes: &[u8], meta: BlockMeta) -> Result<()> {
        if bytes.len() >= self.chunk_size.max(HUGE) {
            return self.append_huge(bytes, meta);
        }
        let size = self.open.plain.len().saturating_add(bytes.len());
        if size > self.chunk_size && !self.open.plain.is_empty() {
            self.close(false)?;
        }
        if self.open.plain.is_empty() {
            // In one step, not by doubling; untouched pages cost nothing.
            self.open.plain.reserve(bytes.len().max(self.chunk_size.min(DEFAULT_CHUNK_SIZE)));
            self.open.opened = self.flush_interval.map(|_| Instant::now());
        }
        self.open.plain.extend_from_slice(bytes);
        add(&mut self.open.facts, meta);
        self.last_chunk = Some(self.closed);
        if self.open.plain.len() >= self.chunk_size || self.is_old() {
            self.close(false)?;
        }
        Ok(())
    }

    /// Writes a chunk that is one huge block, after all that waits, without a copy of it.
    fn append_huge(&mut self, bytes: &[u8], meta: BlockMeta) -> Result<()> {
        self.flush()?;
        let mut facts = Chunk::default();
        add(&mut facts, meta);
        self.last_chunk = Some(self.closed);
        self.closed = self.closed.saturating_add(1);
        if self.codec.compression() == Compression::None {
            return self.write(facts, bytes.len(), bytes);
        }
        let mut stored = Vec::new();
        compress_with(self.codec, &mut self.compressor, bytes, &mut stored)
            .map_err(|e| self.sink.fail("compress", e))?;
        self.write(facts, bytes.len(), &stored)
    }

    fn is_old(&self) -> bool {
        match (self.flush_interval, self.open.opened) {
            (Some(interval), Some(opened)) => opened.elapsed() >= interval,
            _ => false,
        }
    }

    /// Closes the open chunk and writes it or hands it to a worker. `last`: the caller is about
    /// to wait for it.
    fn close(&mut self, last: bool) -> Result<()> {
        if self.open.plain.is_empty() {
            return Ok(());
        }
        let next = self.spare.pop().unwrap_or_default();
        let mut chunk = mem::replace(&mut self.open, next);
        self.closed = self.closed.saturating_add(1);
        if self.codec.compression() == Compression::None {
            return self.store(chunk);
        }
        // A worker would gain nothing if there is nothing else to do meanwhile.
        let alone = last && self.pool.as_ref().is_none_or(Pool::is_idle);
        if self.threads > 0 && self.pool.is_none() && !alone {
            self.pool = Pool::start(self.codec, self.threads);
            if self.pool.is_none() {
                // No thread to be had: the same bytes, only slower.
                self.threads = 0;
            }
        }
        match &mut self.pool {
            Some(pool) if !alone => {
                let oldest = if pool.is_full() { pool.wait() } else { None };
                let submitted = pool.submit(chunk);
                if let Some(result) = oldest {
                    self.store_result(result)?;
                }
                submitted.map_err(|e| self.sink.fail("compress", e))
            }
            _ => {
                let result = chunk.compress(self.codec, &mut self.compressor);
                self.store_result(result.map(|()| chunk))
            }
        }
    }

    /// Writes the chunks that workers have finished, without waiting.
    fn collect_ready(&mut self) -> Result<()> {
        self.sink.check()?;
        while let Some(result) = self.pool.as_mut().and_then(Pool::ready) {
            self.store_result(result)?;
        }
        Ok(())
    }

    fn store_result(&mut self, result: io::Result<Gathered>) -> Result<()> {
        match result {
            Ok(chunk) => self.store(chunk),
            Err(e) => Err(self.sink.fail("compress", e)),
        }
    }

    /// Writes a chunk and keeps its buffers for another.
    fn store(&mut self, mut chunk: Gathered) -> Result<()> {
        let facts = mem::take(&mut chunk.facts);
        let stored = match self.codec.compression() {
            Compression::None => &chunk.plain,
            Compression::Gzip | Compression::Zstd => &chunk.stored,
        };
        self.write(facts, chunk.plain.len(), stored)?;
        // The memory of an oversized block is given back.
        if chunk.plain.capacity() <= self.chunk_size.max(DEFAULT_CHUNK_SIZE).saturating_mul(2) {
            chunk.plain.clear();
            chunk.stored.clear();
            self.spare.push(chunk);
        }
        Ok(())
    }

    /// Writes the stored bytes of a chunk and enters it in the table.
    fn write(&mut self, mut facts: Chunk, plain_len: usize, stored: &[u8]) -> Result<()> {
        facts.offset = self.sink.safe_bytes();
        self.sink.chunk(stored, facts.events)?;
        facts.len = stored.len() as u64;
        facts.plain_offset = self.plain_bytes;
        facts.plain_len = plain_len as u64;
        self.plain_bytes = self.plain_bytes.saturating_add(facts.plain_len);
        if let Some(f) = &mut self.on_chunk {
            f(&facts);
        }
        self.chunks.push(facts);
        Ok(())
    }
}

/// Checks the options and gives the compressor's settings.
fn check(options: &WriteOptions, name: &str) -> Result<Codec> {
    let found = options.chunk_size as u64;
    if found > seekable::MAX_FRAME_PLAIN {
        return Err(Error::TooLarge { what: "chunk", wanted: seekable::MAX_FRAME_PLAIN, found });
    }
    Codec::new(options.compression, options.level, name)
}
