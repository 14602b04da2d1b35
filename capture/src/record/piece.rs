//! One file of a recording.

use super::block;
use super::names::unfinished;
use crate::{Error, Result};
use scapkit_format::profile::{Profile, ProfileWriter, Report};
use scapkit_format::write::{BlockMeta, ChunkWriter, Trailer, WriteOptions};
use scapkit_format::{Block, Compression, Content, Event, Limits};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How files are written.
#[derive(Debug, Clone)]
pub struct Form {
    /// Container.
    pub compression: Compression,
    /// Level of the compression; `None` for its default.
    pub level: Option<i32>,
    /// Threads that compress; 0 for none beside the one that records.
    pub threads: usize,
    /// [`Profile::Universal`], or what libs writes today.
    pub profile: Profile,
    /// Plain bytes after which a chunk is compressed and written.
    pub chunk_size: usize,
    /// Age after which it is. What is older is safe when the recorder is killed.
    pub flush: Duration,
}

impl Default for Form {
    /// Gzip, today's profile, flushed every second.
    fn default() -> Self {
        let defaults = WriteOptions::default();
        Form {
            compression: Compression::Gzip,
            level: None,
            threads: defaults.threads,
            profile: Profile::Modern,
            chunk_size: defaults.chunk_size,
            flush: Duration::from_secs(1),
        }
    }
}

/// A file that was completed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Finished {
    /// Its name, `-` for standard output.
    pub path: PathBuf,
    /// Bytes of it.
    pub bytes: u64,
    /// Events in it, those that are only there for the state included.
    pub events: u64,
    /// What the profile had to change or leave out.
    pub report: Report,
}

enum Writer {
    /// Blocks as they are.
    Direct(Box<ChunkWriter>),
    Profile(Box<ProfileWriter>),
}

/// A file being written.
pub(super) struct Piece {
    writer: Writer,
    path: PathBuf,
    /// It has another name until it is complete.
    renamed: bool,
    events: u64,
    /// Something was written since the last flush, which was then.
    dirty: bool,
    flushed: Instant,
    flush: Duration,
    scratch: Vec<u8>,
}

impl Piece {
    /// Creates `path`, `-` meaning standard output. `renamed`: it gets that name when it is complete.
    pub fn create(path: &Path, renamed: bool, form: &Form) -> Result<Piece> {
        let options = WriteOptions {
            compression: form.compression,
            level: form.level,
            chunk_size: form.chunk_size,
            flush_interval: Some(form.flush),
            threads: form.threads,
        };
        let chunks = if path == Path::new("-") {
            ChunkWriter::from_writer(Box::new(std::io::stdout()), "standard output", &options)?
        } else if renamed {
            ChunkWriter::create(&unfinished(path), &options)?
        } else {
            ChunkWriter::create(path, &options)?
        };
        let writer = match form.profile {
            Profile::Universal => Writer::Profile(Box::new(ProfileWriter::new(chunks, Profile::Universal))),
            Profile::AsIs | Profile::Modern => Writer::Direct(Box::new(chunks)),
        };
        Ok(Piece {
            writer,
            path: path.to_owned(),
            renamed,
            events: 0,
            dirty: false,
            flushed: Instant::now(),
            flush: form.flush,
            scratch: Vec::new(),
        })
    }

    /// Events written, those of [`Piece::blocks`] included.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// Bytes that reached the file.
    pub fn stored_bytes(&mut self) -> u64 {
        match &mut self.writer {
            Writer::Direct(chunks) => chunks.stored_bytes(),
            Writer::Profile(writer) => writer.writer().stored_bytes(),
        }
    }

    /// Writes an event in V2 form.
    #[inline]
    pub fn event(&mut self, cpu: u16, flags: u32, head: block::Head, bytes: &[u8]) -> Result<()> {
        self.events += 1;
        self.dirty = true;
        match &mut self.writer {
            Writer::Direct(chunks) => {
                self.scratch.clear();
                block::put(&mut self.scratch, cpu, flags, head.event_type, bytes);
                chunks.block(&self.scratch, BlockMeta::Event { number: self.events, ts: head.ts })?;
            }
            // An event that is none could not be read again.
            Writer::Profile(writer) => {
                if let Ok(event) = Event::parse_v2(bytes, cpu, flags) {
                    writer.event(&event, None)?;
                }
            }
        }
        Ok(())
    }

    /// Writes whole blocks: lists, checkpoints, events.
    pub fn blocks(&mut self, blocks: &[u8]) -> Result<()> {
        let limits = Limits { max_block: u32::MAX, ..Limits::default() };
        self.dirty = true;
        for block in each_block(blocks) {
            let is_event = block.block_type.is_event();
            self.events += u64::from(is_event);
            match &mut self.writer {
                Writer::Direct(chunks) => {
                    let meta = match Event::parse(&block) {
                        Ok(event) if is_event => BlockMeta::Event { number: self.events, ts: event.ts },
                        _ => BlockMeta::Other,
                    };
                    chunks.block(block.bytes(), meta)?;
                }
                Writer::Profile(writer) => writer.block(&block, &Content::of(&block, &limits))?,
            }
        }
        Ok(())
    }

    /// Writes out what waits for more, when it has waited long enough: to be called when there are no events.
    pub fn idle(&mut self) -> Result<()> {
        if !self.dirty || self.flushed.elapsed() < self.flush {
            return Ok(());
        }
        match &mut self.writer {
            Writer::Direct(chunks) => chunks.flush()?,
            Writer::Profile(writer) => writer.writer().flush()?,
        }
        self.dirty = false;
        self.flushed = Instant::now();
        Ok(())
    }

    /// Completes the file and gives it its name.
    pub fn finish(self) -> Result<Finished> {
        let (chunks, report) = match self.writer {
            Writer::Direct(chunks) => (*chunks, Report::default()),
            Writer::Profile(writer) => writer.finish()?,
        };
        let written = chunks.finish(Trailer::None)?;
        if self.renamed {
            std::fs::rename(unfinished(&self.path), &self.path)
                .map_err(|e| Error::system(format!("rename to {}", self.path.display()), e))?;
        }
        Ok(Finished { path: self.path, bytes: written.stored_bytes, events: written.events, report })
    }
}

/// The blocks in `bytes`, which this program made: a length that does not fit ends them.
pub(crate) fn each_block(mut bytes: &[u8]) -> impl Iterator<Item = Block<'_>> {
    std::iter::from_fn(move || {
        let len = u32::from_le_bytes(*bytes.get(4..8)?.first_chunk()?) as usize;
        let (one, rest) = bytes.split_at_checked(len.max(12))?;
        bytes = rest;
        Some(Block::new(one, 0, 0))
    })
}
