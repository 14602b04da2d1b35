//! Chunks as gzip members or zstd frames, made in the calling thread or by workers.
//!
//! Each chunk is compressed by itself with the same settings, so the bytes do not depend on which
//! thread did it, nor on how many there are.

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use flate2::{Compress, Crc, FlushCompress, Status};
use zstd::zstd_safe::{self, CParameter};

use super::writer::Gathered;
use crate::{Compression, Error, Result};

/// A compressor's settings, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Codec {
    compression: Compression,
    level: i32,
}

/// The levels that a compression takes; `None` takes none, and ignores what it is given.
pub fn level_range(compression: Compression) -> RangeInclusive<i32> {
    match compression {
        Compression::None => 0..=0,
        Compression::Gzip => 0..=9,
        Compression::Zstd => zstd::compression_level_range(),
    }
}

impl Codec {
    /// Settings for `level`, or for the default level: gzip 6, zstd 3. A level out of range is
    /// [`Error::Output`].
    pub(super) fn new(compression: Compression, level: Option<i32>, name: &str) -> Result<Codec> {
        let (what, default) = match compression {
            Compression::None => {
                return Ok(Codec { compression, level: 0 });
            }
            Compression::Gzip => ("gzip", 6),
            Compression::Zstd => ("zstd", 3),
        };
        let level = level.unwrap_or(default);
        let range = level_range(compression);
        if !range.contains(&level) {
            let text = format!("{what} level {level}, wanted {} to {}", range.start(), range.end());
            return Err(Error::Output {
                name: name.to_owned(),
                what: "compress",
                safe_bytes: 0,
                safe_events: 0,
                source: io::Error::new(io::ErrorKind::InvalidInput, text),
            });
        }
        Ok(Codec { compression, level })
    }

    pub(super) fn compression(self) -> Compression {
        self.compression
    }
}

/// A compressor with its working memory, reused from chunk to chunk.
pub(super) enum Compressor {
    Gzip { deflate: Compress, level: i32 },
    Zstd(zstd::bulk::Compressor<'static>),
}

impl Compressor {
    pub(super) fn new(codec: Codec) -> io::Result<Compressor> {
        if codec.compression == Compression::Zstd {
            let mut zstd = zstd::bulk::Compressor::new(codec.level)?;
            zstd.set_parameter(CParameter::ChecksumFlag(true))?;
            zstd.set_parameter(CParameter::ContentSizeFlag(true))?;
            Ok(Compressor::Zstd(zstd))
        } else {
            let level = flate2::Compression::new(codec.level.unsigned_abs());
            Ok(Compressor::Gzip { deflate: Compress::new(level, false), level: codec.level })
        }
    }

    /// Replaces `stored` by one complete member or frame that holds `plain`.
    pub(super) fn compress(&mut self, plain: &[u8], stored: &mut Vec<u8>) -> io::Result<()> {
        stored.clear();
        match self {
            Compressor::Zstd(zstd) => {
                stored.reserve(zstd_safe::compress_bound(plain.len()));
                zstd.compress_to_buffer(plain, stored)?;
                Ok(())
            }
            Compressor::Gzip { deflate, level } => gzip_member(deflate, *level, plain, stored),
        }
    }
}

/// The fixed part of a member's header (RFC 1952 section 2.3): deflate, no time, system unknown.
/// Nothing in it depends on when or where the file was made.
fn gzip_header(flags: u8, extra_flags: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, extra_flags, 255]);
}

fn gzip_member(deflate: &mut Compress, level: i32, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    // XFL says "slowest" or "fastest", as gzip itself has it.
    let extra_flags = match level {
        9 => 2,
        1 => 4,
        _ => 0,
    };
    gzip_header(0, extra_flags, out);
    deflate.reset();
    let mut crc = Crc::new();
    crc.update(plain);
    // Captures shrink to a quarter or less; worse data takes another round.
    out.reserve((plain.len() / 2).saturating_add(64));
    loop {
        let done = usize::try_from(deflate.total_in()).map_err(io::Error::other)?;
        let rest = plain.get(done..).unwrap_or_default();
        let status = deflate.compress_vec(rest, out, FlushCompress::Finish)?;
        match status {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError => out.reserve((plain.len() / 4).saturating_add(4096)),
        }
    }
    out.extend_from_slice(&crc.sum().to_le_bytes());
    // ISIZE is the length modulo 2^32, which is what `Crc` counts.
    out.extend_from_slice(&crc.amount().to_le_bytes());
    Ok(())
}

/// Subfield id of the index in a member's FEXTRA field.
const INDEX_ID: [u8; 2] = *b"SK";

/// Most bytes of one subfield: FEXTRA has 65,535, its own id and length take 4.
pub(super) const INDEX_PART: usize = 65_531;

/// What an index member takes besides its part: header 10, XLEN 2, subfield 4, deflate 2, CRC and
/// length 8.
pub(super) const INDEX_OVERHEAD: u64 = 26;

/// Appends `index` as empty members (RFC 1952 section 2.3.1.1), each holding up to
/// [`INDEX_PART`] bytes. Readers of gzip take them for nothing; bytes that are no member would
/// make gzip and Python complain.
pub(super) fn gzip_index(index: &[u8], out: &mut Vec<u8>) {
    for part in index.chunks(INDEX_PART) {
        // Both fit: a part is at most 65,531 bytes.
        let len = u16::try_from(part.len()).unwrap_or(u16::MAX);
        gzip_header(4, 0, out);
        out.extend_from_slice(&len.saturating_add(4).to_le_bytes());
        out.extend_from_slice(&INDEX_ID);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(part);
        // An empty last deflate block, CRC 0, length 0.
        out.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}

/// A chunk on its way, and where its result goes.
struct Job {
    chunk: Gathered,
    reply: SyncSender<io::Result<Gathered>>,
}

/// Worker threads. Chunks come back in the order they went in.
///
/// ```text
/// submit ── jobs (one queue, any worker takes the next) ── workers
///    └───── pending (one reply channel per chunk, oldest first) ── ready / wait
/// ```
pub(super) struct Pool {
    /// `None` once dropped; the workers end when it is.
    jobs: Option<SyncSender<Job>>,
    workers: Vec<JoinHandle<()>>,
    pending: VecDeque<Receiver<io::Result<Gathered>>>,
    /// Set on drop: what still waits in the queue need not be compressed.
    abandoned: Arc<AtomicBool>,
}

impl Pool {
    /// Starts `threads` workers, or as many as the system gives; `None` if that is none.
    pub(super) fn start(codec: Codec, threads: usize) -> Option<Pool> {
        // One place more than chunks can be pending, so that sending never waits.
        let (jobs, queue) = sync_channel(threads.saturating_add(2));
        let queue = Arc::new(Mutex::new(queue));
        let abandoned = Arc::new(AtomicBool::new(false));
        let mut workers = Vec::with_capacity(threads);
        for number in 0..threads {
            let (queue, abandoned) = (Arc::clone(&queue), Arc::clone(&abandoned));
            let worker = thread::Builder::new()
                .name(format!("compress-{number}"))
                .spawn(move || work(codec, &queue, &abandoned));
            match worker {
                Ok(handle) => workers.push(handle),
                Err(_) => break,
            }
        }
        // Only the workers own the queue now: if all were to die, what waits in it is dropped and
        // `wait` reports that instead of waiting for ever.
        drop(queue);
        if workers.is_empty() {
            return None;
        }
        Some(Pool { jobs: Some(jobs), workers, pending: VecDeque::new(), abandoned })
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether one chunk has to be taken back before the next is submitted: every worker has one
    /// and one more waits.
    pub(super) fn is_full(&self) -> bool {
        self.pending.len() > self.workers.len()
    }

    /// Hands a chunk to the workers. Not to be called while [`Pool::is_full`].
    pub(super) fn submit(&mut self, chunk: Gathered) -> io::Result<()> {
        let (reply, result) = sync_channel(1);
        let Some(jobs) = &self.jobs else {
            return Err(workers_died());
        };
        jobs.send(Job { chunk, reply }).map_err(|_| workers_died())?;
        self.pending.push_back(result);
        Ok(())
    }

    /// The oldest chunk if it is compressed by now.
    pub(super) fn ready(&mut self) -> Option<io::Result<Gathered>> {
        let result = match self.pending.front()?.try_recv() {
            Ok(result) => result,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => Err(workers_died()),
        };
        self.pending.pop_front();
        Some(result)
    }

    /// The oldest chunk, waiting for it; `None` if none is under way.
    pub(super) fn wait(&mut self) -> Option<io::Result<Gathered>> {
        let result = self.pending.pop_front()?;
        Some(result.recv().unwrap_or_else(|_| Err(workers_died())))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so on stderr.
            let _ = worker.join();
        }
    }
}

fn workers_died() -> io::Error {
    io::Error::other("a compression worker ended unexpectedly")
}

fn work(codec: Codec, queue: &Mutex<Receiver<Job>>, abandoned: &AtomicBool) {
    let mut compressor = None;
    loop {
        // The lock is held while waiting: the others wait for the lock instead of the queue.
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { mut chunk, reply }) = job else {
            return;
        };
        if abandoned.load(Ordering::Relaxed) {
            return;
        }
        let result = chunk.compress(codec, &mut compressor);
        // Nobody waits any more after an error.
        let _ = reply.send(result.map(|()| chunk));
    }
}
