//! Replays that start in the middle: what a player knows, written and read.

use super::{MAX_ENTERS, Played, Player, ReplayOptions, Step, View, Visibility, is_initial_state};
use crate::engine::checkpoint::{CheckpointError, In, Out, Parts, option, read_option};
use crate::engine::{Bound, Engine};
use crate::suppress::Suppression;
use crate::upgrade::Upgrader;
use scapkit_format::{Event, Result};
use std::collections::BTreeMap;

/// Bytes that a checkpoint may have beside those that the limit of the state allows: enter events that wait,
/// times of calls, ids.
const BESIDE: u64 = 64 << 20;

/// Checkpoints of a capture that could not be used: the state is that of the lists, and fields of later
/// events know less.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointNotes {
    /// How many.
    pub refused: u64,
    /// Why the first one was not.
    pub first: Option<CheckpointError>,
}

impl CheckpointNotes {
    fn add(&mut self, error: CheckpointError) {
        self.refused = self.refused.saturating_add(1);
        self.first.get_or_insert(error);
    }
}

/// Where a replay stands: what another one needs to go on from here with the same results, event numbers
/// included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of the last event.
    pub number: u64,
    /// Time of the first event, as [`Step::first_ts`].
    pub first_ts: u64,
    /// The state: what a checkpoint block of a capture holds.
    pub state: Vec<u8>,
}

/// What a player knows of the checkpoint of its section.
#[derive(Debug)]
pub(super) struct Resuming {
    /// No event has come in this section, but those that a restored state knows of.
    pub at_start: bool,
    parts: Parts,
    /// Events to come that say what the restored state knows.
    told: u32,
    /// What `Player::initial` becomes after them.
    initial: bool,
    notes: CheckpointNotes,
}

impl Default for Resuming {
    fn default() -> Self {
        Resuming { at_start: true, parts: Parts::default(), told: 0, initial: true, notes: CheckpointNotes::default() }
    }
}

/// What a player writes that knows nothing but the time.
pub(crate) fn nothing_around(ts: u64) -> impl Fn(&mut Out, u32) {
    move |out, told| {
        let (upgrader, enters) = (Upgrader::default(), BTreeMap::new());
        put_around(out, told, true, ts, &upgrader, &enters, None);
    }
}

fn put_around(
    out: &mut Out,
    told: u32,
    initial: bool,
    last_ts: u64,
    upgrader: &Upgrader,
    enters: &BTreeMap<i64, (u16, u64)>,
    suppression: Option<&Suppression>,
) {
    out.u32(told);
    out.bool(initial);
    out.u64(last_ts);
    upgrader.encode(out);
    out.usize(enters.len());
    let mut last = None;
    for (tid, (event_type, ts)) in enters {
        out.key(*tid, last);
        last = Some(*tid);
        out.u16(*event_type);
        out.u64(*ts);
    }
    option(out, suppression, |out, suppression| suppression.encode(out));
}

type Read<T> = std::result::Result<T, CheckpointError>;

fn read_enters(input: &mut In<'_>) -> Read<BTreeMap<i64, (u16, u64)>> {
    let (count, mut last) = (input.usize()?, None);
    if count > MAX_ENTERS {
        return Err(CheckpointError::Memory);
    }
    let mut enters = BTreeMap::new();
    for _ in 0..count {
        let tid = input.key(last)?;
        last = Some(tid);
        enters.insert(tid, (input.u16()?, input.u64()?));
    }
    Ok(enters)
}

impl Player {
    /// The state as the start of a capture: lists for everyone, and a checkpoint from which a player goes on as
    /// if it had seen the events before. Events that come later can be appended. A player that does not
    /// remember when calls began ([`ReplayOptions::latency`]) cannot write it either.
    ///
    /// # Errors
    /// [`scapkit_format::Error::TooLarge`] when a text is over what the format can say.
    pub fn export(&self) -> Result<Vec<u8>> {
        self.engine.export_with(self.last_ts, &|out, told| self.put_around(out, told))
    }

    fn put_around(&self, out: &mut Out, told: u32) {
        let suppression = self.suppression.as_deref();
        put_around(out, told, self.shown.initial, self.last_ts, &self.upgrader, &self.shown.enters, suppression);
    }

    /// Where this player stands.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut out = Out::default();
        self.put_around(&mut out, 0);
        self.engine.encode(&mut out);
        Checkpoint { number: self.shown.number, first_ts: self.shown.first_ts, state: out.bytes }
    }

    /// A player that goes on from `checkpoint`.
    ///
    /// # Errors
    /// [`CheckpointError`] when its state is not one, or does not fit the limits.
    pub fn resume(options: ReplayOptions, checkpoint: &Checkpoint) -> Read<Player> {
        let mut player = Player::new(options);
        player.restore(&checkpoint.state)?;
        player.shown.number = checkpoint.number;
        player.shown.first_ts = checkpoint.first_ts;
        player.shown.initial = player.resuming.initial;
        player.resuming.at_start = false;
        Ok(player)
    }

    /// Checkpoints that could not be used.
    pub fn checkpoint_notes(&self) -> &CheckpointNotes {
        &self.resuming.notes
    }

    pub(super) fn start_section(&mut self) {
        self.missing_parts();
        let notes = std::mem::take(&mut self.resuming.notes);
        self.resuming = Resuming { notes, ..Resuming::default() };
    }

    fn missing_parts(&mut self) {
        if self.resuming.parts.waits() {
            self.resuming.parts = Parts::default();
            self.resuming.notes.add(CheckpointError::Parts);
        }
    }

    #[cold]
    pub(super) fn checkpoint_block(&mut self, body: &[u8]) {
        let max = (self.limits.max_state_bytes as u64).saturating_add(BESIDE);
        let mut parts = std::mem::take(&mut self.resuming.parts);
        let done = if self.resuming.at_start {
            parts.add(body, max, |bytes| self.restore(bytes)).map(|_| ())
        } else {
            Err(CheckpointError::Late)
        };
        self.resuming.parts = parts;
        if let Err(error) = done {
            self.resuming.notes.add(error);
        }
    }

    /// Takes over the state that was written, all of it or nothing.
    fn restore(&mut self, bytes: &[u8]) -> Read<()> {
        let mut input = In::new(bytes);
        let (told, initial, last_ts) = (input.u32()?, input.bool()?, input.u64()?);
        let upgrader = Upgrader::decode(&mut input)?;
        let enters = read_enters(&mut input)?;
        let suppressed = read_option(&mut input, Suppression::decode)?;
        let engine = self.engine.decode(&mut input)?;
        input.finish()?;
        if let Some(suppression) = &mut self.suppression {
            suppression.restore(suppressed, &engine);
        }
        self.upgrader.take_stored(upgrader);
        self.shown.enters = if self.shown.latency { enters } else { BTreeMap::new() };
        self.engine = engine;
        self.last_ts = last_ts;
        self.resuming.told = told;
        self.resuming.initial = initial;
        if told == 0 {
            self.shown.initial = initial;
        }
        Ok(())
    }

    /// Whether an event at the start of a section is there for readers that do not know the checkpoint.
    #[cold]
    pub(super) fn is_told_already(&mut self, event: &Event<'_>) -> bool {
        self.missing_parts();
        if self.resuming.told > 0 && is_initial_state(event.event_type) {
            return true;
        }
        if self.resuming.told > 0 {
            self.resuming.told = 0;
            self.shown.initial = self.resuming.initial;
        }
        self.resuming.at_start = false;
        false
    }

    /// Counts such an event, as readers do that do not know the checkpoint.
    #[cold]
    pub(super) fn told_already<'a>(&'a mut self, recorded: &Event<'a>) -> Played<'a> {
        self.resuming.told = self.resuming.told.saturating_sub(1);
        if self.resuming.told == 0 {
            self.resuming.at_start = false;
            self.shown.initial = self.resuming.initial;
        }
        let Some(info) = recorded.info() else {
            return Played::Nothing;
        };
        if self.shown.view == View::Current {
            self.shown.number = self.shown.number.saturating_add(1);
        }
        Played::Event(Step {
            event: *recorded,
            info,
            number: self.shown.number,
            bound: Bound { tid: recorded.tid, ..Bound::default() },
            visibility: Visibility::Hidden,
            enter_ts: None,
            first_ts: self.shown.first_ts,
            engine: &self.engine,
        })
    }
}

impl Suppression {
    /// Takes over the threads of a checkpoint, or, of one that was made for other programs, those of the state.
    fn restore(&mut self, suppressed: Option<Suppression>, engine: &Engine) {
        if suppressed.is_some_and(|s| self.take_threads(s)) {
            return;
        }
        self.clear();
        for thread in engine.threads() {
            self.list_one(&thread.comm, thread.tid, thread.ptid);
        }
    }
}
