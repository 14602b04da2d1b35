//! Many zstd frames as one stream of plain bytes (RFC 8878).
//!
//! Frame starts and skippable frames are read here; frames are decoded by the library, a block at
//! a time.

use std::io;

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::source::Stored;
use super::track::{Flow, Track};
use crate::error::Result;
use crate::limits::Limits;

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes 1 to 3 of a skippable frame; byte 0 is 0x50 to 0x5f.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// What the library says for a wrong frame checksum and for a window over the limit.
const SAYS_CHECKSUM: &str = "Restored data doesn't match checksum";
const SAYS_WINDOW: &str = "Frame requires too much memory for decoding";
/// The library's own bounds for the window limit.
const WINDOW_LOG: (u32, u32) = (10, 31);
/// Stored bytes that the library wants first.
const FIRST_HINT: usize = 5;
/// Length of a block header.
const BLOCK_HEADER: usize = 3;

/// What `bytes` (up to four) can be the start of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// A frame.
    Frame,
    /// A skippable frame.
    Skippable,
    /// Either; more bytes will tell.
    Open,
    /// Neither.
    No,
}

/// Judges the first four of `bytes`, or fewer if that is all there are.
pub(super) fn start(bytes: &[u8]) -> Start {
    let bytes = bytes.get(..4).unwrap_or(bytes);
    let skippable = match bytes.split_first() {
        None => true,
        Some((first, rest)) => first & 0xf0 == 0x50 && SKIPPABLE.starts_with(rest),
    };
    match (MAGIC.starts_with(bytes), skippable, bytes.len()) {
        (true, _, 4) => Start::Frame,
        (_, true, 4) => Start::Skippable,
        (false, false, _) => Start::No,
        _ => Start::Open,
    }
}

#[derive(Clone, Copy)]
enum State {
    /// Where a frame may start.
    Between,
    /// In a skippable frame, this many bytes before its end.
    Skip(u64),
    /// In a frame. `hint`: stored bytes that the library wants next; `owed`: the last call filled
    /// the output, so more may be there without input.
    Frame {
        hint: usize,
        owed: bool,
    },
    Search,
    Stopped,
}

/// Decoder of zstd frames.
pub(super) struct Zstd {
    state: State,
    decoder: Decoder<'static>,
    window_log: u32,
    /// Where to search from if no frame follows one whose checksum was wrong.
    suspect: Option<u64>,
}

impl Zstd {
    /// Errors: the library has no memory for its state.
    pub(super) fn new(limits: &Limits) -> io::Result<Zstd> {
        let window_log = limits.max_zstd_window_log.clamp(WINDOW_LOG.0, WINDOW_LOG.1);
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(window_log))?;
        Ok(Zstd { state: State::Between, decoder, window_log, suspect: None })
    }

    /// Fills `out` as far as the stored bytes allow. See [`super::Input::read`].
    pub(super) fn read(&mut self, stored: &mut Stored, track: &mut Track, out: &mut [u8]) -> Result<usize> {
        let mut done: usize = 0;
        loop {
            let some = done > 0;
            let flow = match self.state {
                State::Stopped => Flow::Wait,
                State::Between => self.between(stored, track, some)?,
                State::Skip(left) => self.skip(stored, some, left)?,
                State::Search => self.search(stored, some)?,
                State::Frame { hint, owed } => {
                    let rest = out.get_mut(done..).unwrap_or_default();
                    if rest.is_empty() {
                        return Ok(done);
                    }
                    let (made, flow) = self.frame(stored, track, rest, some, hint, owed)?;
                    done = done.saturating_add(made);
                    flow
                }
            };
            if flow == Flow::Wait || (flow == Flow::Gap && done > 0) {
                return Ok(done);
            }
        }
    }

    /// No more bytes will come.
    pub(super) fn finish(&mut self, stored: &Stored, track: &mut Track) {
        let (half, rest) = match self.state {
            State::Stopped => return,
            State::Between => {
                track.begin(stored.position());
                let unread = stored.unread();
                (!unread.is_empty(), start(unread) == Start::No)
            }
            State::Skip(_) | State::Frame { .. } => (true, false),
            State::Search => (false, false),
        };
        track.finish(half, rest, stored);
        self.state = State::Stopped;
    }

    fn between(&mut self, stored: &mut Stored, track: &mut Track, some: bool) -> Result<Flow> {
        let unread = stored.unread();
        let at = stored.position();
        match start(unread) {
            Start::Frame => {
                track.begin(at);
                self.suspect = None;
                self.state = State::Frame { hint: FIRST_HINT, owed: false };
                return Ok(Flow::Go);
            }
            Start::Skippable => {
                if let Some(&[_, _, _, _, a, b, c, d]) = unread.first_chunk() {
                    track.begin(at);
                    self.suspect = None;
                    stored.consume(8);
                    self.state = State::Skip(u32::from_le_bytes([a, b, c, d]).into());
                    return Ok(Flow::Go);
                }
            }
            Start::No => {
                track.begin(at);
                let from = self.suspect.take().unwrap_or(at.saturating_add(1));
                track.fail(at, None, from, stored);
                if stored.position() == at {
                    stored.consume(1);
                }
                self.state = State::Search;
                return Ok(Flow::Gap);
            }
            Start::Open => {}
        }
        Ok(if stored.more(some)? { Flow::Go } else { Flow::Wait })
    }

    fn skip(&mut self, stored: &mut Stored, some: bool, left: u64) -> Result<Flow> {
        let take = stored.unread().len().min(usize::try_from(left).unwrap_or(usize::MAX));
        stored.consume(take);
        let left = left.saturating_sub(take as u64);
        self.state = if left == 0 { State::Between } else { State::Skip(left) };
        Ok(if left == 0 || stored.more(some)? { Flow::Go } else { Flow::Wait })
    }

    fn frame(
        &mut self,
        stored: &mut Stored,
        track: &mut Track,
        out: &mut [u8],
        some: bool,
        hint: usize,
        owed: bool,
    ) -> Result<(usize, Flow)> {
        // When the library finds an error it does not say what the same call put out before it.
        // So a call does one thing: give what is owed, or take one block without the header of the
        // next (which the hint includes, except for the last block: then this is two calls).
        let wish = match hint {
            _ if owed => 0,
            n if n > BLOCK_HEADER => n.saturating_sub(BLOCK_HEADER),
            n => n,
        };
        let unread = stored.unread();
        if wish > 0 && unread.is_empty() {
            return Ok((0, if stored.more(some)? { Flow::Go } else { Flow::Wait }));
        }
        let input = unread.get(..wish).unwrap_or(unread);
        let given = input.len();
        let room = out.len();
        let mut from = InBuffer::around(input);
        let mut to = OutBuffer::around(out);
        let result = self.decoder.run(&mut from, &mut to);
        let (used, made) = (from.pos(), to.pos());
        match result {
            Ok(hint) => {
                stored.consume(used);
                if made > 0 || hint == 0 {
                    track.believe();
                }
                let (keep, on) = track.deliver(made, stored);
                self.state = match (on, hint) {
                    (false, _) => State::Stopped,
                    (true, 0) => State::Between,
                    (true, _) => State::Frame { hint, owed: made == room },
                };
                Ok((keep, if on { Flow::Go } else { Flow::Wait }))
            }
            Err(e) => {
                let text = e.to_string();
                // Resetting a session cannot fail; if it did, the next frame would say so.
                let _ = self.decoder.reinit();
                if text == SAYS_CHECKSUM && !track.in_gap() {
                    // The frame is whole and what was given is its last byte: go on after it.
                    let at = stored.position();
                    stored.consume(given);
                    track.corrupt(text, at, stored.position());
                    self.suspect = Some(track.unit_start.saturating_add(MAGIC.len() as u64));
                    self.state = State::Between;
                    return Ok((0, Flow::Gap));
                }
                let detail = if text == SAYS_WINDOW {
                    format!("{text} (a window over 2^{} bytes: max-zstd-window-log)", self.window_log)
                } else {
                    text
                };
                // As for gzip: search what is still held of the frame; a start is tried once.
                let (offset, from) = if track.in_gap() {
                    (track.unit_start, track.unit_start.saturating_add(1))
                } else {
                    (stored.position(), track.unit_start.saturating_add(MAGIC.len() as u64))
                };
                track.fail(offset, Some(detail), from, stored);
                if stored.position() <= track.unit_start {
                    stored.consume(1);
                }
                self.state = State::Search;
                Ok((0, Flow::Gap))
            }
        }
    }

    /// Looks for the next frame. Skippable frames do not count here: a false one would pass over
    /// up to 4 GiB of good frames.
    fn search(&mut self, stored: &mut Stored, some: bool) -> Result<Flow> {
        let unread = stored.unread();
        if let Some(at) = unread.windows(4).position(|w| w == MAGIC) {
            stored.consume(at);
            self.state = State::Between;
            return Ok(Flow::Go);
        }
        stored.consume(unread.len().saturating_sub(3));
        Ok(if stored.more(some)? { Flow::Go } else { Flow::Wait })
    }
}
