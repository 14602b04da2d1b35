//! The way of an event from the file to the printer, in one place.
//!
//! ```text
//! Capture -> Upgrader -> Engine -> Step (event, number, state)
//! ```

use crate::context::{Context, TextOptions};
use crate::engine::{Bound, Engine, EngineLimits};
use crate::interest::Interest;
use crate::suppress::Suppression;
use crate::upgrade::{self, UpgradeNotes, Upgraded, Upgrader};
use scapkit_format::schema::{EventInfo, id};
use scapkit_format::{Capture, Content, Event, Item, Result};
use std::collections::BTreeMap;

/// Which events are shown, and how they are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum View {
    /// Events as the file has them, enter and exit, numbered as sysdig does.
    #[default]
    Recorded,
    /// Events upgraded to today's schema, numbered as libs does: enters folded into their exits.
    Current,
}

/// Who should see an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Everyone.
    Shown,
    /// Those who ask for internal events: drops, processor statistics, containers, users.
    Internal,
    /// Nobody: it is there for the state (initial state, STATE_ONLY) or for its exit event.
    Hidden,
}

/// How to replay.
#[derive(Debug, Clone, Default)]
pub struct ReplayOptions {
    /// See [`View`].
    pub view: View,
    /// Bounds on what the engine remembers.
    pub limits: EngineLimits,
    /// Remember when each thread's call began, for [`Step::enter_ts`].
    pub latency: bool,
    /// Names of programs (`proc.name`). The events of their threads, and of all that these start, are neither
    /// shown nor numbered, and change no state.
    pub suppress: Vec<String>,
    /// Events that are wanted; the others give [`Played::Nothing`]. State and numbers are the same.
    pub interest: Interest,
}

/// A capture being replayed.
///
/// ```no_run
/// use scapkit_format::{Capture, Limits};
/// use scapkit_replay::{Played, Replay, ReplayOptions};
/// let capture = Capture::open("incident.scap".as_ref(), Limits::default())?;
/// let mut replay = Replay::new(capture, ReplayOptions::default());
/// while let Some(played) = replay.next()? {
///     if let Played::Event(step) = played {
///         let comm = step.engine.thread(step.event.tid).map_or(&b"?"[..], |t| &t.comm);
///         println!("{} {}", step.number, String::from_utf8_lossy(comm));
///     }
/// }
/// # Ok::<(), scapkit_format::Error>(())
/// ```
pub struct Replay {
    capture: Capture,
    player: Player,
}

/// What the next block of a capture was.
pub enum Played<'a> {
    /// An event of the view.
    Event(Step<'a>),
    /// A list, damaged bytes, or events that the view does not have or that are of no interest; the state is
    /// up to date.
    Nothing,
}

/// An event with the state after it.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// The event, as the view has it.
    pub event: Event<'a>,
    /// The event's description, as the view has it.
    pub info: &'static EventInfo,
    /// Its number in the view, from 1; that of the event before for the initial state as recorded.
    pub number: u64,
    /// What the engine bound to it.
    pub bound: Bound,
    /// Who should see it.
    pub visibility: Visibility,
    /// When the call began, for exits, when [`ReplayOptions::latency`] is set; ns since the epoch.
    pub enter_ts: Option<u64>,
    /// Time of the first event that is not about the capture itself; ns since the epoch, 0 before it, as
    /// upstream has it.
    pub first_ts: u64,
    /// The state.
    pub engine: &'a Engine,
}

impl<'a> Step<'a> {
    /// What fields and formats need to know. `previous_ts`: time of the event printed before, the
    /// event's own for the first.
    pub fn context(&self, previous_ts: u64, options: &'a TextOptions) -> Context<'a> {
        Context {
            event: self.event,
            info: self.info,
            number: self.number,
            engine: self.engine,
            bound: self.bound,
            first_ts: self.first_ts,
            previous_ts,
            enter_ts: self.enter_ts,
            options,
        }
    }
}

impl Replay {
    /// Replays `capture` from where it stands.
    pub fn new(capture: Capture, options: ReplayOptions) -> Self {
        Replay { capture, player: Player::new(options) }
    }

    /// The capture, for its damages and position.
    pub fn capture(&self) -> &Capture {
        &self.capture
    }

    /// See [`scapkit_format::Blocks::set_follow`].
    pub fn set_follow(&mut self, follow: bool) {
        self.capture.set_follow(follow);
    }

    /// The state after the last event.
    pub fn engine(&self) -> &Engine {
        &self.player.engine
    }

    /// Events held back for [`ReplayOptions::suppress`].
    pub fn suppressed(&self) -> u64 {
        self.player.suppressed()
    }

    /// Checkpoints that could not be used.
    pub fn checkpoint_notes(&self) -> &CheckpointNotes {
        self.player.checkpoint_notes()
    }

    /// What plays the blocks.
    pub fn player(&self) -> &Player {
        &self.player
    }

    /// See [`Player::export`].
    ///
    /// # Errors
    /// As [`Player::export`].
    pub fn export(&self) -> Result<Vec<u8>> {
        self.player.export()
    }

    /// What the upgrade to the current schema had to let pass.
    pub fn upgrade_notes(&self) -> &UpgradeNotes {
        self.player.upgrader.notes()
    }

    /// Plays one block, or some that are of no interest; `None` at the end.
    ///
    /// # Errors
    /// As [`Capture::next`].
    #[allow(clippy::should_implement_trait)] // steps borrow the reader's buffer
    #[inline]
    pub fn next(&mut self) -> Result<Option<Played<'_>>> {
        if self.player.passes && self.pass_some() == PASS_AT_ONCE {
            return Ok(Some(Played::Nothing));
        }
        if let Some(found) = self.capture.common_event_ahead() {
            return Ok(Some(match self.capture.common_event(&found)? {
                Some(event) => self.player.event(&event),
                None => Played::Nothing,
            }));
        }
        Ok(match self.capture.next()? {
            None => None,
            Some(Item::Skipped { .. }) => Some(Played::Nothing),
            Some(Item::Block(_, content)) => Some(self.player.play(&content)),
        })
    }
}

impl Replay {
    /// Plays events of no interest, as long as they come and the short way will do; says how many.
    fn pass_some(&mut self) -> u32 {
        let mut passed = 0;
        while passed < PASS_AT_ONCE {
            match self.capture.event_ahead() {
                Some((event, len)) if self.player.pass(&event) => self.capture.pass_event(len),
                _ => break,
            }
            passed = passed.saturating_add(1);
        }
        passed
    }
}

/// Events of no interest played at once: the caller wants to show how far it has come.
const PASS_AT_ONCE: u32 = 4096;
/// Most threads whose call is remembered to have begun.
const MAX_ENTERS: usize = 1 << 18;

mod resume;

pub(crate) use resume::nothing_around;
pub use resume::{Checkpoint, CheckpointNotes};

/// Turns blocks into steps; [`Replay`] without the reading, for those who need the blocks too.
pub struct Player {
    upgrader: Upgrader,
    engine: Engine,
    suppression: Option<Box<Suppression>>,
    shown: Shown,
    /// Not all events are of interest, and those that are not can be played the short way.
    passes: bool,
    limits: EngineLimits,
    /// Time of the last event.
    last_ts: u64,
    resuming: resume::Resuming,
}

/// Which events are shown, and how they are numbered.
struct Shown {
    view: View,
    interest: Interest,
    latency: bool,
    number: u64,
    first_ts: u64,
    /// Only initial-state events came so far in this section.
    initial: bool,
    /// Enter type and time by thread.
    enters: BTreeMap<i64, (u16, u64)>,
}

impl Player {
    /// A player at the start of a capture.
    pub fn new(options: ReplayOptions) -> Self {
        let ReplayOptions { view, limits, latency, suppress, interest } = options;
        Player {
            upgrader: Upgrader::default(),
            engine: Engine::new(&limits),
            suppression: Suppression::new(&suppress),
            passes: !interest.is_all() && suppress.is_empty() && !latency,
            shown: Shown { view, interest, latency, number: 0, first_ts: 0, initial: true, enters: BTreeMap::new() },
            limits,
            last_ts: 0,
            resuming: resume::Resuming::default(),
        }
    }

    /// What the upgrade to the current schema had to let pass.
    pub fn upgrade_notes(&self) -> &UpgradeNotes {
        self.upgrader.notes()
    }

    /// The state after the last block.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Events held back for [`ReplayOptions::suppress`].
    pub fn suppressed(&self) -> u64 {
        self.suppression.as_ref().map_or(0, |s| s.events)
    }

    /// Plays one block.
    #[inline]
    pub fn play<'a>(&'a mut self, content: &Content<'a>) -> Played<'a> {
        match content {
            Content::Event(event) => self.event(event),
            Content::Checkpoint(body) => {
                self.checkpoint_block(body);
                Played::Nothing
            }
            other => {
                if let Content::Section(_) = other {
                    self.upgrader.clear();
                    self.shown.enters.clear();
                    self.shown.initial = true;
                    self.start_section();
                }
                match (&mut self.suppression, other) {
                    (Some(suppression), Content::Section(_)) => suppression.clear(),
                    (Some(suppression), Content::Threads(list)) => suppression.list(list.clone()),
                    _ => {}
                }
                self.engine.content(other);
                Played::Nothing
            }
        }
    }

    /// Plays an event if it is of no interest and needs no upgrade; says whether it did.
    #[inline]
    fn pass(&mut self, event: &Event<'_>) -> bool {
        if self.shown.interest.has(event) || self.resuming.at_start || !upgrade::is_current(event) {
            return false;
        }
        self.last_ts = event.ts;
        self.engine.apply(event);
        self.shown.count(event);
        if self.shown.first_ts == 0
            && let Some(info) = self.shown.info(event)
        {
            self.shown.begin(event, info);
        }
        true
    }

    #[inline]
    fn event<'a>(&'a mut self, recorded: &Event<'a>) -> Played<'a> {
        if self.resuming.at_start && self.is_told_already(recorded) {
            return self.told_already(recorded);
        }
        self.last_ts = recorded.ts;
        if !upgrade::is_current(recorded) || self.suppression.is_some() {
            return self.any_event(recorded);
        }
        let bound = self.engine.apply(recorded);
        match self.shown.info(recorded) {
            Some(info) => self.shown.step(*recorded, recorded, info, bound, &self.engine),
            None => Played::Nothing,
        }
    }

    /// An event that may have to be upgraded or held back.
    fn any_event<'a>(&'a mut self, recorded: &Event<'a>) -> Played<'a> {
        let Some(current) = recorded.info() else {
            // Newer than this program. Counted among the upgrade notes.
            let _ = self.upgrader.apply(recorded);
            return Played::Nothing;
        };
        let upgraded = self.upgrader.apply(recorded);
        if let Some(suppression) = &mut self.suppression {
            let event = match &upgraded {
                Upgraded::Event(event) => event,
                Upgraded::Dropped => recorded,
            };
            if suppression.hides(event) {
                self.shown.initial = false;
                return Played::Nothing;
            }
        }
        let bound = match &upgraded {
            Upgraded::Event(event) => self.engine.apply(event),
            Upgraded::Dropped => self.engine.observe(recorded),
        };
        let (event, info) = match (self.shown.view, upgraded) {
            (View::Recorded, _) => (*recorded, recorded.recorded_info().unwrap_or(current)),
            (View::Current, Upgraded::Event(event)) => (event, event.info().unwrap_or(current)),
            (View::Current, Upgraded::Dropped) => {
                // The phase of the initial state ends at the first event that is none.
                self.shown.initial = false;
                return Played::Nothing;
            }
        };
        self.shown.step(event, recorded, info, bound, &self.engine)
    }
}

impl Shown {
    /// How the view describes an event of the current schema.
    #[inline]
    fn info(&self, event: &Event<'_>) -> Option<&'static EventInfo> {
        match self.view {
            View::Recorded => event.recorded_info(),
            View::Current => event.info(),
        }
    }

    /// Gives an event of the view its number.
    #[inline]
    fn count(&mut self, event: &Event<'_>) {
        self.initial = self.initial && is_initial_state(event.event_type);
        // libs counts the initial state, sysdig 0.29.3 did not.
        if !(self.initial && self.view == View::Recorded) {
            self.number = self.number.saturating_add(1);
        }
    }

    /// Time starts at the first event that is not about the capture itself.
    #[inline]
    fn begin(&mut self, event: &Event<'_>, info: &EventInfo) {
        if self.first_ts == 0 && !is_about_capture(info) {
            self.first_ts = event.ts;
        }
    }

    /// Shows an event of the view, if it is of interest.
    #[inline]
    fn step<'a>(
        &mut self,
        event: Event<'a>,
        recorded: &Event<'_>,
        info: &'static EventInfo,
        bound: Bound,
        engine: &'a Engine,
    ) -> Played<'a> {
        self.count(&event);
        self.begin(&event, info);
        let enter_ts = if self.latency { latency(&mut self.enters, recorded) } else { None };
        if !self.interest.has(&event) {
            return Played::Nothing;
        }
        let folded = self.view == View::Current && is_read_at_enter(event.event_type);
        let visibility = match () {
            () if self.initial || event.is_state_only() || folded => Visibility::Hidden,
            () if is_about_capture(info) => Visibility::Internal,
            () => Visibility::Shown,
        };
        Played::Event(Step {
            event,
            info,
            number: self.number,
            bound,
            visibility,
            enter_ts,
            first_ts: self.first_ts,
            engine,
        })
    }
}

fn is_about_capture(info: &EventInfo) -> bool {
    info.category.is_meta() || info.category.is_internal()
}

/// When the call that `event` ends began, remembering the calls that begin.
fn latency(enters: &mut BTreeMap<i64, (u16, u64)>, event: &Event<'_>) -> Option<u64> {
    if event.is_enter() {
        if enters.len() < MAX_ENTERS || enters.contains_key(&event.tid) {
            enters.insert(event.tid, (event.event_type, event.ts));
        }
        return None;
    }
    let (event_type, ts) = enters.remove(&event.tid)?;
    (event_type | 1 == event.event_type).then_some(ts)
}

/// Events that a recorder writes before the first real one (state engine 3.2).
fn is_initial_state(event_type: u16) -> bool {
    matches!(
        event_type,
        id::CONTAINER_JSON_2_E
            | id::USER_ADDED_E
            | id::USER_DELETED_E
            | id::GROUP_ADDED_E
            | id::GROUP_DELETED_E
            | id::ASYNCEVENT_E
    )
}

/// Enter events that are recorded beside their exits because their paths are read at both ends. The
/// current view numbers them and shows only the exits.
fn is_read_at_enter(event_type: u16) -> bool {
    matches!(
        event_type,
        id::SYSCALL_OPEN_E
            | id::SYSCALL_CREAT_E
            | id::SYSCALL_OPENAT_2_E
            | id::SYSCALL_OPENAT2_E
            | id::SOCKET_CONNECT_E
            | id::SYSCALL_EXECVE_19_E
            | id::SYSCALL_EXECVEAT_E
    )
}
