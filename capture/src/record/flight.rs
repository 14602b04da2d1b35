//! The flight recorder: the last minutes are kept in memory, and written to a file when something happens,
//! with what follows.
//!
//! Files are written by a thread of their own from what the ring holds; the recorder goes on meanwhile. A ring
//! on disk is a [`super::Recording`] with [`super::Rotation::keep`].

use super::block;
use super::names::Names;
use super::piece::{Finished, Form, Piece, each_block};
use super::ring::{Limit, Ring, Stretch};
use super::select::{Tracker, Verdict, head_or_count, play_blocks};
use crate::{Error, Origin, Result};
use scapkit_format::{Event, STATE_ONLY};
use scapkit_replay::{Filter, Player, ReplayOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Complete stretches that may wait to be written. When the disk is slower than that, the recorder waits, and
/// the source's counters tell of what is lost.
const WAITING: usize = 8;

/// What a flight recorder keeps and writes.
#[derive(Debug, Clone)]
pub struct FlightOptions {
    /// What files are called like.
    pub output: PathBuf,
    /// How they are written.
    pub form: Form,
    /// How much is kept.
    pub limit: Limit,
    /// What is written of what follows; more when something happens again meanwhile.
    pub after: Duration,
    /// Only these events are kept, and, as STATE_ONLY, those that change state.
    pub filter: Option<Filter>,
    /// An event that matches makes a file.
    pub trigger: Option<Filter>,
}

/// A file being written.
struct Dump {
    stretches: SyncSender<Arc<Stretch>>,
    writer: JoinHandle<Result<Finished>>,
    path: PathBuf,
    /// It ends when events or the clock say so.
    until: u64,
    deadline: Instant,
}

/// A file that was asked for.
#[derive(Debug)]
pub struct Dumped {
    /// The name that it was to have.
    pub path: PathBuf,
    /// What became of it.
    pub result: Result<Finished>,
}

/// What a flight recorder saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlightSummary {
    /// Events kept, if only for a while.
    pub events: u64,
    /// Kept for the state only.
    pub state_only: u64,
    /// Events that the filter did not want.
    pub left: u64,
    /// Bytes from the source that were no event.
    pub broken: u64,
    /// Times that a file was asked for: by the trigger or by [`Flight::dump`].
    pub triggers: u64,
}

/// See the module. Feed it with what a source gives, in that order.
pub struct Flight {
    options: FlightOptions,
    tracker: Tracker,
    ring: Ring,
    names: Names,
    dump: Option<Dump>,
    /// Files whose stretches are all there.
    ending: Vec<(PathBuf, JoinHandle<Result<Finished>>)>,
    /// The last file that a match asked for and that could not be begun.
    failed: Option<Dumped>,
    summary: FlightSummary,
}

impl Flight {
    /// Begins with the state that `lists` tell of: section header, lists, events about the initial state.
    ///
    /// # Errors
    /// When the output cannot be the name of several files.
    pub fn new(options: FlightOptions, lists: &[u8]) -> Result<Flight> {
        if options.output.as_os_str() == "-" {
            return Err(Error::Option("a flight recorder needs the name of a file".into()));
        }
        let mut tracker = Tracker::new(options.filter.clone(), options.trigger.clone());
        tracker.start(lists);
        let names = Names::new(&options.output).map_err(|e| Error::system(options.output.display().to_string(), e))?;
        let ring = Ring::new(options.limit, options.form.threads);
        let (ending, summary) = (Vec::new(), FlightSummary::default());
        let mut flight = Flight { options, tracker, ring, names, dump: None, ending, failed: None, summary };
        flight.ring.begin(&flight.tracker);
        Ok(flight)
    }

    /// Takes an event in V2 form. What goes wrong with files is told by [`Flight::tick`].
    pub fn event(&mut self, origin: Origin, bytes: &[u8]) {
        let Some(head) = head_or_count(bytes, &mut self.summary.broken) else { return };
        if let Some(ended) = self.ring.before(&self.tracker) {
            self.hand_on(ended);
        }
        let Some(seen) = self.tracker.event(origin, head, bytes) else {
            self.summary.broken += 1;
            return;
        };
        match seen.verdict {
            Verdict::Take => {
                self.ring.add(head.ts, |out| block::put(out, origin.cpu, 0, head.event_type, bytes));
                self.summary.events += 1;
            }
            Verdict::StateOnly => {
                self.ring.add(head.ts, |out| block::put(out, origin.cpu, STATE_ONLY, head.event_type, bytes));
                self.summary.state_only += 1;
            }
            Verdict::Leave => {
                self.ring.pass(head.ts);
                self.summary.left += 1;
            }
        }
        if seen.triggered
            && let Err(e) = self.dump(head.ts)
        {
            self.failed = Some(Dumped { path: self.options.output.clone(), result: Err(e) });
        }
        if self.dump.as_ref().is_some_and(|dump| self.ring.now() >= dump.until) {
            self.end_dump();
        }
    }

    /// Writes what is kept, and what follows, to a file; one that is being written goes on for longer
    /// instead. `ts`: the time for its name, ns since the epoch. Gives the name that it will have.
    ///
    /// # Errors
    /// When the file cannot be created, or there is no thread to be had.
    pub fn dump(&mut self, ts: u64) -> Result<PathBuf> {
        self.summary.triggers += 1;
        let after = u64::try_from(self.options.after.as_nanos()).unwrap_or(u64::MAX);
        let until = self.ring.now().saturating_add(after);
        let deadline = Instant::now() + self.options.after;
        if let Some(dump) = &mut self.dump {
            dump.until = until;
            dump.deadline = deadline;
            return Ok(dump.path.clone());
        }
        self.ring.seal();
        let kept = self.ring.stretches();
        self.ring.begin(&self.tracker);
        let from = self.options.limit.age.map_or(0, |age| self.ring.now().saturating_sub(age));
        let path = self.names.next(ts);
        let form = self.options.form.clone();
        let (sender, more) = sync_channel(WAITING);
        // The name is taken before another could be given.
        let piece = Piece::create(&path, true, &form)?;
        let writer = std::thread::Builder::new().name("dump".into()).spawn(move || write(piece, kept, from, &more));
        let writer = writer.map_err(|e| Error::system("start a thread", e))?;
        self.dump = Some(Dump { stretches: sender, writer, path: path.clone(), until, deadline });
        Ok(path)
    }

    /// To be called now and then, with or without events. Gives the files that were completed since, or that
    /// could not be; the recorder goes on in either case.
    pub fn tick(&mut self) -> Vec<Dumped> {
        if self.dump.as_ref().is_some_and(|dump| Instant::now() >= dump.deadline || dump.writer.is_finished()) {
            self.end_dump();
        }
        let mut done: Vec<Dumped> = self.failed.take().into_iter().collect();
        let mut waiting = Vec::new();
        for (path, writer) in self.ending.drain(..) {
            if writer.is_finished() {
                done.push(joined(path, writer));
            } else {
                waiting.push((path, writer));
            }
        }
        self.ending = waiting;
        done
    }

    /// What was seen so far.
    pub fn summary(&self) -> FlightSummary {
        self.summary
    }

    /// Bytes of memory for what is kept.
    pub fn held(&self) -> usize {
        self.ring.held()
    }

    /// Ends: files being written get what there is.
    pub fn finish(mut self) -> (FlightSummary, Vec<Dumped>) {
        self.end_dump();
        let ended = self.ending.drain(..).map(|(path, writer)| joined(path, writer));
        let done = self.failed.take().into_iter().chain(ended).collect();
        (self.summary, done)
    }

    fn end_dump(&mut self) {
        if self.dump.is_none() {
            return;
        }
        if let Some(ended) = self.ring.seal() {
            self.hand_on(ended);
        }
        self.ring.begin(&self.tracker);
        if let Some(Dump { writer, path, .. }) = self.dump.take() {
            self.ending.push((path, writer));
        }
    }

    /// Gives a stretch to the file being written. One that failed is found by [`Flight::tick`].
    fn hand_on(&mut self, stretch: Arc<Stretch>) {
        if let Some(dump) = &self.dump {
            let _ = dump.stretches.send(stretch);
        }
    }
}

fn joined(path: PathBuf, writer: JoinHandle<Result<Finished>>) -> Dumped {
    let result = writer.join().unwrap_or_else(|_| Err(Error::Option("the file could not be completed".into())));
    Dumped { path, result }
}

/// Writes stretches: the state before the first event at the age `from`, then all events from there on.
fn write(mut piece: Piece, kept: Vec<Arc<Stretch>>, from: u64, more: &Receiver<Arc<Stretch>>) -> Result<Finished> {
    let mut started = false;
    for stretch in kept.into_iter().chain(more.iter()) {
        let unpacked = stretch.unpack().map_err(|e| Error::system("unpack events", e))?;
        let age = stretch.age;
        drop(stretch);
        let (state, blocks) = unpacked;
        if started {
            piece.blocks(&blocks)?;
            continue;
        }
        started = true;
        let mut player = Player::resume(ReplayOptions::default(), &state)
            .map_err(|e| Error::Option(format!("the state kept in memory: {e}")))?;
        drop(state);
        let (old, new) = split(&blocks, age, from);
        play_blocks(&mut player, old);
        piece.blocks(&player.export()?)?;
        drop(player);
        piece.blocks(new)?;
    }
    piece.finish()
}

/// Blocks before the first event at the age `from`, and the others.
fn split(blocks: &[u8], mut age: super::clock::Age, from: u64) -> (&[u8], &[u8]) {
    let mut at = 0;
    for block in each_block(blocks) {
        if Event::parse(&block).is_ok_and(|event| age.at(event.ts) >= from) {
            break;
        }
        at += block.bytes().len();
    }
    blocks.split_at(at)
}
