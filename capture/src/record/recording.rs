//! A recording into files: what is written, and where one file ends and the next begins.

use super::block::Head;
use super::names::{Kept, Names};
use super::piece::{Finished, Form, Piece};
use super::select::{Tracker, Verdict, head_or_count};
use crate::{Error, Origin, Result};
use scapkit_format::schema::id;
use scapkit_format::{EventHead, STATE_ONLY, encode};
use scapkit_replay::Filter;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// Smallest chunk of a file that is limited in size.
const MIN_CHUNK: usize = 64 << 10;

/// When a file ends and another begins. Each stands alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// When that many bytes are in the file. It ends up larger by what was being compressed.
    pub bytes: Option<u64>,
    /// When its events cover that much time, ns.
    pub every: Option<u64>,
    /// After that many events, those that are only there for the state not counted.
    pub events: Option<u64>,
    /// How many files are kept; the oldest is deleted.
    pub keep: Option<usize>,
}

impl Rotation {
    /// Whether there is more than one file.
    pub fn is_on(&self) -> bool {
        self.bytes.is_some() || self.every.is_some() || self.events.is_some()
    }
}

/// What is recorded, and where to.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The file, `-` for standard output; with rotation, what the files are called like.
    pub output: PathBuf,
    /// How files are written.
    pub form: Form,
    /// When another file begins.
    pub rotation: Rotation,
    /// Only these events. Others that change state are recorded as STATE_ONLY.
    pub filter: Option<Filter>,
    /// End after that many events, those that are only there for the state not counted.
    pub number: Option<u64>,
}

/// What was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events recorded.
    pub events: u64,
    /// Events recorded for the state only.
    pub state_only: u64,
    /// Events that the filter did not want.
    pub left: u64,
    /// Bytes from the source that were no event.
    pub broken: u64,
    /// The files, oldest first; with [`Rotation::keep`] the deleted ones too.
    pub files: Vec<Finished>,
}

/// A file that is being completed. It is waited for whatever else goes wrong.
struct Closing(Option<JoinHandle<Result<Finished>>>);

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(closing) = self.0.take() {
            let _ = closing.join();
        }
    }
}

/// Writes events to files. Feed it with what a source gives, in that order.
///
/// ```
/// use scapkit_capture::record::{Form, Options, Recording};
/// use scapkit_format::{Compression, encode};
/// # let folder = tempfile::tempdir()?;
/// let output = folder.path().join("empty.scap");
/// let form = Form { compression: Compression::None, ..Form::default() };
/// let mut lists = Vec::new();
/// encode::section_header(&mut lists);
/// let recording = Recording::new(Options { output, form, ..Options::default() }, &lists)?;
/// // Readers need an event, so there is one.
/// assert_eq!(recording.finish()?.files[0].events, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Recording {
    options: Options,
    /// The state, where something needs it.
    tracker: Option<Tracker>,
    names: Option<Names>,
    kept: Kept,
    piece: Piece,
    /// Of the file being written: its first event's time, and events that count.
    piece_ts: Option<u64>,
    piece_events: u64,
    /// The file before, being completed by a thread of its own.
    closing: Closing,
    summary: Summary,
}

impl Recording {
    /// Creates the (first) file and writes `lists` to it: section header, lists, events about the initial
    /// state, as blocks.
    ///
    /// # Errors
    /// When the file cannot be created or written.
    pub fn new(mut options: Options, lists: &[u8]) -> Result<Recording> {
        let rotates = options.rotation.is_on();
        if rotates && options.output.as_os_str() == "-" {
            return Err(Error::Option("standard output cannot be rotated".into()));
        }
        if let Some(bytes) = options.rotation.bytes {
            let most = usize::try_from(bytes / 8).unwrap_or(usize::MAX).max(MIN_CHUNK);
            options.form.chunk_size = options.form.chunk_size.min(most);
        }
        let tracker = (rotates || options.filter.is_some()).then(|| {
            let mut tracker = Tracker::new(options.filter.clone(), None);
            tracker.start(lists);
            tracker
        });
        let mut names = None;
        let path = if rotates {
            let series =
                Names::new(&options.output).map_err(|e| Error::system(options.output.display().to_string(), e))?;
            names.insert(series).next(now())
        } else {
            options.output.clone()
        };
        let mut piece = Piece::create(&path, rotates, &options.form)?;
        piece.blocks(lists)?;
        Ok(Recording {
            options,
            tracker,
            names,
            kept: Kept::default(),
            piece,
            piece_ts: None,
            piece_events: 0,
            closing: Closing(None),
            summary: Summary::default(),
        })
    }

    /// Takes an event in V2 form. `Break`: no more are wanted.
    ///
    /// # Errors
    /// When it cannot be written. The files are valid up to what the error says.
    #[inline]
    pub fn event(&mut self, origin: Origin, bytes: &[u8]) -> Result<ControlFlow<()>> {
        let Some(head) = head_or_count(bytes, &mut self.summary.broken) else {
            return Ok(ControlFlow::Continue(()));
        };
        let mut verdict = if origin.flags & STATE_ONLY == 0 { Verdict::Take } else { Verdict::StateOnly };
        if self.tracker.is_some() {
            if self.is_full(head) {
                self.rotate(head.ts)?;
            }
            let seen = self.tracker.as_mut().and_then(|tracker| tracker.event(origin, head, bytes));
            let Some(seen) = seen else {
                self.summary.broken += 1;
                return Ok(ControlFlow::Continue(()));
            };
            verdict = seen.verdict;
        }
        if self.piece_ts.is_none_or(|first| head.ts < first) {
            // A clock that was set back starts the time anew; an event out of order does no harm.
            self.piece_ts = Some(head.ts);
        }
        match verdict {
            Verdict::Take => {
                self.piece.event(origin.cpu, 0, head, bytes)?;
                self.piece_events += 1;
                self.summary.events += 1;
            }
            Verdict::StateOnly => {
                self.piece.event(origin.cpu, STATE_ONLY, head, bytes)?;
                self.summary.state_only += 1;
            }
            Verdict::Leave => self.summary.left += 1,
        }
        Ok(if self.options.number.is_some_and(|n| self.summary.events >= n) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    /// To be called when there are no events: writes out what has waited long enough.
    ///
    /// # Errors
    /// As [`Recording::event`].
    pub fn idle(&mut self) -> Result<()> {
        if self.closing.0.as_ref().is_some_and(JoinHandle::is_finished) {
            self.close()?;
        }
        self.piece.idle()
    }

    /// What was recorded so far; of the files, those that are complete.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Completes the files.
    ///
    /// # Errors
    /// As [`Recording::event`].
    pub fn finish(mut self) -> Result<Summary> {
        self.close()?;
        if self.piece.events() == 0 {
            let mut block = Vec::new();
            let head = EventHead { ts: now(), tid: -1, event_type: id::SCAPEVENT_E, ..EventHead::default() };
            encode::event(&mut block, head, &[&0u32.to_le_bytes(), &0u64.to_le_bytes()])?;
            self.piece.blocks(&block)?;
        }
        let finished = self.piece.finish()?;
        keep(&mut self.kept, &self.options.rotation, &finished)?;
        self.summary.files.push(finished);
        Ok(self.summary)
    }

    /// Whether the file is complete before an event.
    #[inline]
    fn is_full(&mut self, head: Head) -> bool {
        let Rotation { bytes, every, events, .. } = self.options.rotation;
        // A file has at least one event.
        self.piece_events > 0
            && (every.is_some_and(|ns| self.piece_ts.is_some_and(|first| head.ts.saturating_sub(first) >= ns))
                || events.is_some_and(|n| self.piece_events >= n)
                || bytes.is_some_and(|n| self.piece.stored_bytes() >= n))
    }

    /// Begins another file with the state as it is before the event at `ts`.
    fn rotate(&mut self, ts: u64) -> Result<()> {
        let (Some(tracker), Some(names)) = (&self.tracker, &mut self.names) else { return Ok(()) };
        let start = tracker.player().export()?;
        let mut next = Piece::create(&names.next(ts), true, &self.options.form)?;
        next.blocks(&start)?;
        let full = std::mem::replace(&mut self.piece, next);
        self.piece_ts = None;
        self.piece_events = 0;
        self.close()?;
        // What is still being compressed does not hold up the events that come.
        let closing = std::thread::Builder::new().name("close".into()).spawn(move || full.finish());
        self.closing.0 = Some(closing.map_err(|e| Error::system("start a thread", e))?);
        Ok(())
    }

    /// Waits for the file before to be complete.
    fn close(&mut self) -> Result<()> {
        let Some(closing) = self.closing.0.take() else { return Ok(()) };
        let finished = closing.join().unwrap_or_else(|_| Err(Error::Option("a file could not be completed".into())))?;
        keep(&mut self.kept, &self.options.rotation, &finished)?;
        self.summary.files.push(finished);
        Ok(())
    }
}

fn keep(kept: &mut Kept, rotation: &Rotation, finished: &Finished) -> Result<()> {
    if !rotation.is_on() {
        return Ok(());
    }
    let name = finished.path.display();
    kept.add(finished.path.clone(), rotation.keep).map_err(|e| Error::system(format!("delete files before {name}"), e))
}

/// The machine's time, ns since the epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
