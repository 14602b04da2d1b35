//! From events of any schema version to events of the current one.
//!
//! Everything is decided by tables: [`schema::conversion`] and the flags of the event types. Where
//! upstream ends the whole file (no rule, too many parameters, a stored enter event of another
//! call) this reader goes on and counts it in [`UpgradeNotes`]. Source: scap-format appendix A.

use crate::engine::checkpoint::{CheckpointError, In, Out};
use scapkit_format::schema::{self, Action, Conversion, EventInfo, Instruction, ParamType};
use scapkit_format::{Event, EventHead};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Most rule applications per event (appendix A.1; the longest real chain is 17).
const MAX_ROUNDS: u32 = 50;
/// Most bytes that stored enter events take together.
const MAX_STORED_BYTES: usize = 16 << 20;
/// Most threads with a stored enter event.
const MAX_STORED: usize = 1 << 16;
/// Most threads whose buffers are kept after use for their next enter event.
const MAX_USED: usize = 8192;
/// Largest buffer that is kept so.
const KEEP_CAPACITY: usize = 512;
/// Notes kept in full; further ones are only counted.
const MAX_EXAMPLES: usize = 16;

/// Converts events to the current schema, one capture section at a time.
///
/// Holds the enter event of each thread that waits for its exit, and buffers that are used again.
/// Memory is bounded: 16 MiB of stored enters (in buffers of at most twice their size), at most
/// 65,536 threads.
#[derive(Debug, Default)]
pub struct Upgrader {
    stored: BTreeMap<i64, Stored>,
    /// Size of those that wait for their exits. It depends on nothing else, so that a replay that starts
    /// at a checkpoint has the same.
    stored_bytes: usize,
    /// Entries that only keep buffers.
    used: usize,
    draft: Draft,
    other: Draft,
    notes: UpgradeNotes,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgraded<'a> {
    /// An event of the current schema. It borrows the recorded event when that was current already.
    Event(Event<'a>),
    /// Nothing to deliver: an enter event that was stored for its exit, or a type that is unused,
    /// obsolete or newer than the table. It takes no number.
    Dropped,
}

/// Where an event did not fit the conversion table. None of these loses an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpgradeNotes {
    /// No rule for the type with that many parameters: missing parameters were left empty.
    pub no_rule: u64,
    /// More parameters than the current table has: the surplus was ignored.
    pub too_many_params: u64,
    /// The stored enter event was of another call: treated as if there was none.
    pub mismatched_enter: u64,
    /// Enter events that were not stored because too much was stored already.
    pub not_stored: u64,
    /// Events of a type that the table does not know: not delivered.
    pub unknown_type: u64,
    /// The first few.
    pub examples: Vec<UpgradeNote>,
}

/// One of the [`UpgradeNotes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpgradeNote {
    /// What was wrong.
    pub kind: UpgradeNoteKind,
    /// ns since the epoch.
    pub ts: u64,
    /// Thread.
    pub tid: i64,
    /// Type as recorded.
    pub event_type: u16,
    /// Parameters as recorded.
    pub nparams: u32,
}

/// Kinds of [`UpgradeNote`], one for each counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // see UpgradeNotes
pub enum UpgradeNoteKind {
    NoRule,
    TooManyParams,
    MismatchedEnter,
    NotStored,
    UnknownType,
}

impl UpgradeNotes {
    #[cold]
    fn add(&mut self, kind: UpgradeNoteKind, event: &Event<'_>) {
        let counter = match kind {
            UpgradeNoteKind::NoRule => &mut self.no_rule,
            UpgradeNoteKind::TooManyParams => &mut self.too_many_params,
            UpgradeNoteKind::MismatchedEnter => &mut self.mismatched_enter,
            UpgradeNoteKind::NotStored => &mut self.not_stored,
            UpgradeNoteKind::UnknownType => &mut self.unknown_type,
        };
        *counter = counter.saturating_add(1);
        if self.examples.len() < MAX_EXAMPLES {
            self.examples.push(UpgradeNote {
                kind,
                ts: event.ts,
                tid: event.tid,
                event_type: event.event_type,
                nparams: event.nparams,
            });
        }
    }
}

/// An event under construction.
#[derive(Debug, Default)]
struct Draft {
    event_type: u16,
    wide: bool,
    lens: Vec<u8>,
    data: Vec<u8>,
}

impl Draft {
    fn start(&mut self, event_type: u16) {
        self.event_type = event_type;
        self.wide = schema::event_info(event_type).is_some_and(|i| i.flags.is_large());
        self.lens.clear();
        self.data.clear();
    }

    fn copy(&mut self, event: &Event<'_>) {
        self.event_type = event.event_type;
        self.wide = event.is_wide();
        self.lens.clear();
        self.lens.extend_from_slice(event.raw_lengths());
        self.data.clear();
        self.data.extend_from_slice(event.raw_data());
    }

    fn view(&self, head: EventHead) -> Event<'_> {
        let head = EventHead { event_type: self.event_type, ..head };
        Event::from_parts(head, self.wide, &self.lens, &self.data)
    }

    fn nparams(&self) -> usize {
        self.lens.len() >> if self.wide { 2 } else { 1 }
    }

    /// Appends a parameter, cut to what its length field can say.
    fn push(&mut self, bytes: &[u8]) {
        let most = if self.wide { u32::MAX } else { u32::from(u16::MAX) };
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).min(most);
        let bytes = bytes.get(..len as usize).unwrap_or(bytes);
        let width = if self.wide { 4 } else { 2 };
        self.lens.extend_from_slice(len.to_le_bytes().get(..width).unwrap_or_default());
        self.data.extend_from_slice(bytes);
    }
}

/// A stored enter event; `used` ones only keep their buffers.
#[derive(Debug, Default)]
struct Stored {
    used: bool,
    draft: Draft,
}

impl Stored {
    /// Rough bytes, by what is in it.
    fn size(&self) -> usize {
        128usize.saturating_add(self.draft.lens.len()).saturating_add(self.draft.data.len())
    }

    /// Lets go of buffers that are much larger than what is in them.
    fn shrink(&mut self) {
        for buffer in [&mut self.draft.lens, &mut self.draft.data] {
            let most = buffer.len().max(64).saturating_mul(2);
            if buffer.capacity() > most {
                buffer.shrink_to(most);
            }
        }
    }
}

/// What the gate decides (appendix A.1).
enum Gate {
    Deliver,
    Drop,
    Convert,
    TooMany,
}

/// What one rule did.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    More,
    Drop,
    Deliver,
    NoRule,
}

/// With how many parameters an event of a type is of the current schema.
#[derive(Debug, Clone, Copy)]
enum Current {
    Never,
    Always,
    With(u32),
}

/// Whether [`Upgrader::apply`] delivers an event as it is. Most are, in captures of today.
#[inline]
pub(crate) fn is_current(event: &Event<'_>) -> bool {
    static TYPES: LazyLock<Vec<Current>> = LazyLock::new(|| schema::EVENTS.iter().map(current).collect());
    match TYPES.get(usize::from(event.event_type)) {
        Some(Current::With(nparams)) => *nparams == event.nparams,
        Some(Current::Always) => true,
        Some(Current::Never) | None => false,
    }
}

fn current(info: &EventInfo) -> Current {
    let delivers = |n| matches!(gate(info, n), Gate::Deliver);
    let known = info.params.len();
    match (delivers(known), delivers(usize::MAX)) {
        (true, true) => Current::Always,
        (true, false) => u32::try_from(known).map_or(Current::Never, Current::With),
        (false, _) => Current::Never,
    }
}

fn gate(info: &EventInfo, nparams: usize) -> Gate {
    let (flags, known) = (info.flags, info.params.len());
    if flags.is_unused() {
        Gate::Drop
    } else if !flags.is_converter_managed() {
        if flags.is_old_version() { Gate::Drop } else { Gate::Deliver }
    } else if info.is_enter() {
        Gate::Convert
    } else if nparams > known {
        Gate::TooMany
    } else if flags.is_old_version() || nparams != known {
        Gate::Convert
    } else {
        Gate::Deliver
    }
}

impl Upgrader {
    /// An upgrader at the start of a section.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets stored enter events: a new section starts. Notes go on.
    pub fn clear(&mut self) {
        self.stored.clear();
        self.stored_bytes = 0;
        self.used = 0;
    }

    /// What did not fit so far.
    pub fn notes(&self) -> &UpgradeNotes {
        &self.notes
    }

    /// The event in the current schema. Current events pass without being copied.
    #[inline]
    pub fn apply<'a>(&'a mut self, event: &Event<'a>) -> Upgraded<'a> {
        if is_current(event) {
            return Upgraded::Event(*event);
        }
        let Some(info) = event.info() else {
            self.notes.add(UpgradeNoteKind::UnknownType, event);
            return Upgraded::Dropped;
        };
        match gate(info, event.nparams as usize) {
            Gate::Deliver => Upgraded::Event(*event),
            Gate::Drop => Upgraded::Dropped,
            Gate::TooMany if info.flags.is_old_version() => self.convert(event, info.params.len()),
            Gate::TooMany => {
                self.notes.add(UpgradeNoteKind::TooManyParams, event);
                Upgraded::Event(prefix(event, info.params.len()))
            }
            Gate::Convert => self.convert(event, usize::MAX),
        }
    }

    /// Applies rules until the event is current. `most`: parameters to keep of an event that has
    /// more than its type ever had.
    fn convert<'a>(&'a mut self, event: &Event<'a>, most: usize) -> Upgraded<'a> {
        let mut event = *event;
        if event.nparams as usize > most {
            self.notes.add(UpgradeNoteKind::TooManyParams, &event);
            event = prefix(&event, most);
        }
        // Most enter events need no draft.
        if event.is_enter()
            && let Some(rule) = schema::conversion(event.event_type, event.nparams as usize)
        {
            match rule.action {
                Action::Store => {
                    self.store(&event);
                    return Upgraded::Dropped;
                }
                Action::StoreAndPass => {
                    self.store(&event);
                    return Upgraded::Event(event);
                }
                Action::Pass => return Upgraded::Event(event),
                Action::Add | Action::Become(_) => {}
            }
        }
        self.draft.copy(&event);
        for _ in 0..MAX_ROUNDS {
            match self.round(&event) {
                Round::More => {}
                Round::Drop => return Upgraded::Dropped,
                Round::Deliver => return Upgraded::Event(self.draft.view(event.head())),
                Round::NoRule => {
                    self.notes.add(UpgradeNoteKind::NoRule, &event);
                    return self.pad(&event);
                }
            }
        }
        self.notes.add(UpgradeNoteKind::NoRule, &event);
        Upgraded::Event(self.draft.view(event.head()))
    }

    /// Applies one rule to the draft of `event`.
    fn round(&mut self, event: &Event<'_>) -> Round {
        let Some(rule) = schema::conversion(self.draft.event_type, self.draft.nparams()) else {
            return Round::NoRule;
        };
        match rule.action {
            Action::Store => {
                self.store_draft(event);
                return Round::Drop;
            }
            Action::StoreAndPass => {
                self.store_draft(event);
                return Round::Deliver;
            }
            Action::Pass => return Round::Deliver,
            Action::Add | Action::Become(_) => self.build(event, rule),
        }
        match schema::event_info(self.draft.event_type) {
            None => Round::Drop,
            Some(info) => match gate(info, self.draft.nparams()) {
                Gate::Drop => Round::Drop,
                Gate::Deliver | Gate::TooMany => Round::Deliver,
                Gate::Convert => Round::More,
            },
        }
    }

    /// Adds a rule's parameters to the draft, or makes a new draft of them.
    fn build(&mut self, event: &Event<'_>, rule: &Conversion) {
        let head = event.head();
        let uses_enter = rule.instructions.iter().any(|i| matches!(i, Instruction::Enter { .. }));
        let mut enter = None;
        if uses_enter
            && let Some(stored) = self.stored.get_mut(&event.tid)
            && !stored.used
        {
            // Used now, or of another call: in both cases that call is over.
            stored.used = true;
            self.used = self.used.saturating_add(1);
            self.stored_bytes = self.stored_bytes.saturating_sub(stored.size());
            // What is in them is read below.
            stored.draft.lens.shrink_to(KEEP_CAPACITY);
            stored.draft.data.shrink_to(KEEP_CAPACITY);
            if stored.draft.event_type.checked_add(1) == Some(self.draft.event_type) {
                enter = Some(stored.draft.view(head));
            } else {
                self.notes.add(UpgradeNoteKind::MismatchedEnter, event);
            }
        }
        let (to, first, out, old) = if let Action::Become(to) = rule.action {
            self.other.start(to);
            (to, 0, &mut self.other, Some(self.draft.view(head)))
        } else {
            let (to, first) = (self.draft.event_type, self.draft.nparams());
            (to, first, &mut self.draft, None)
        };
        let params = schema::event_info(to).map_or(&[][..], |i| i.params);
        for (i, instruction) in rule.instructions.iter().enumerate() {
            let kind = params.get(first.saturating_add(i)).map_or(ParamType::ByteBuf, |p| p.kind);
            match *instruction {
                Instruction::Old(n) => {
                    let bytes = old.as_ref().and_then(|e| e.param(usize::from(n)));
                    out.push(fit(kind, bytes.unwrap_or_default()));
                }
                Instruction::Enter { param, or_empty } => {
                    match enter.as_ref().and_then(|e| e.param(usize::from(param))) {
                        Some(bytes) => out.push(fit(kind, bytes)),
                        None if or_empty => out.push(&[]),
                        None => out.push(default(kind)),
                    }
                }
                Instruction::Default => out.push(default(kind)),
                Instruction::Empty => out.push(&[]),
                Instruction::ContainerJson => {
                    let json = old.as_ref().and_then(container_json).unwrap_or_default();
                    out.push(&json);
                }
            }
        }
        if matches!(rule.action, Action::Become(_)) {
            std::mem::swap(&mut self.draft, &mut self.other);
        }
    }

    /// Fills up a draft for which there is no rule: with empty parameters when its type is current,
    /// else it cannot be delivered as what it is.
    fn pad<'a>(&'a mut self, event: &Event<'a>) -> Upgraded<'a> {
        let Some(info) = schema::event_info(self.draft.event_type) else {
            return Upgraded::Dropped;
        };
        if self.draft.nparams() > info.params.len() {
            let view = self.draft.view(event.head());
            return Upgraded::Event(prefix(&view, info.params.len()));
        }
        while self.draft.nparams() < info.params.len() {
            self.draft.push(&[]);
        }
        if info.is_enter() && info.flags.is_old_version() {
            self.store_draft(event);
            return Upgraded::Dropped;
        }
        Upgraded::Event(self.draft.view(event.head()))
    }

    fn store(&mut self, event: &Event<'_>) {
        self.store_with(event, |draft| draft.copy(event));
    }

    fn store_draft(&mut self, event: &Event<'_>) {
        let draft = std::mem::take(&mut self.draft);
        self.store_with(event, |to| {
            to.event_type = draft.event_type;
            to.wide = draft.wide;
            to.lens.clone_from(&draft.lens);
            to.data.clone_from(&draft.data);
        });
        self.draft = draft;
    }

    fn store_with(&mut self, event: &Event<'_>, fill: impl FnOnce(&mut Draft)) {
        if self.used > MAX_USED {
            self.stored.retain(|_, s| !s.used);
            self.used = 0;
        }
        let known = self.stored.get(&event.tid).is_some_and(|s| !s.used);
        if self.stored.len().saturating_sub(self.used) >= MAX_STORED && !known {
            self.notes.add(UpgradeNoteKind::NotStored, event);
            return;
        }
        let slot = self.stored.entry(event.tid).or_insert_with(|| {
            self.used = self.used.saturating_add(1);
            Stored { used: true, ..Stored::default() }
        });
        if slot.used {
            self.used = self.used.saturating_sub(1);
        } else {
            self.stored_bytes = self.stored_bytes.saturating_sub(slot.size());
        }
        slot.used = false;
        fill(&mut slot.draft);
        slot.shrink();
        let bytes = self.stored_bytes.saturating_add(slot.size());
        if bytes > MAX_STORED_BYTES {
            self.stored.remove(&event.tid);
            self.notes.add(UpgradeNoteKind::NotStored, event);
            return;
        }
        self.stored_bytes = bytes;
    }

    /// Appends what later events depend on: the enter events that wait.
    pub(crate) fn encode(&self, out: &mut Out) {
        let Upgrader { stored, stored_bytes: _, used, draft: _, other: _, notes: _ } = self;
        out.usize(stored.len().saturating_sub(*used));
        let mut last = None;
        for (tid, Stored { used: _, draft }) in stored.iter().filter(|(_, s)| !s.used) {
            let Draft { event_type, wide, lens, data } = draft;
            out.key(*tid, last);
            last = Some(*tid);
            out.u16(*event_type);
            out.bool(*wide);
            out.slice(lens);
            out.slice(data);
        }
    }

    /// Takes over the enter events of another upgrader. Notes go on.
    pub(crate) fn take_stored(&mut self, other: Upgrader) {
        let notes = std::mem::take(&mut self.notes);
        *self = Upgrader { notes, ..other };
    }

    /// Reads what [`Upgrader::encode`] wrote.
    pub(crate) fn decode(input: &mut In<'_>) -> Result<Upgrader, CheckpointError> {
        let mut upgrader = Upgrader::default();
        let (count, mut last) = (input.usize()?, None);
        if count > MAX_STORED {
            return Err(CheckpointError::Memory);
        }
        for _ in 0..count {
            let tid = input.key(last)?;
            last = Some(tid);
            let (event_type, wide) = (input.u16()?, input.bool()?);
            let (lens, data) = (input.slice()?.to_vec(), input.slice()?.to_vec());
            let stored = Stored { used: false, draft: Draft { event_type, wide, lens, data } };
            upgrader.stored_bytes = upgrader.stored_bytes.saturating_add(stored.size());
            if upgrader.stored_bytes > MAX_STORED_BYTES {
                return Err(CheckpointError::Memory);
            }
            upgrader.stored.insert(tid, stored);
        }
        Ok(upgrader)
    }
}

/// The first `most` parameters of an event.
fn prefix<'a>(event: &Event<'a>, most: usize) -> Event<'a> {
    let width = if event.is_wide() { 4 } else { 2 };
    let lens = event.raw_lengths();
    let lens = lens.get(..most.saturating_mul(width)).unwrap_or(lens);
    Event::from_parts(event.head(), event.is_wide(), lens, event.raw_data())
}

/// Cut to the size of the new parameter's type, as BPF's command (8 bytes, now 4).
fn fit(kind: ParamType, bytes: &[u8]) -> &[u8] {
    kind.fixed_size().and_then(|n| bytes.get(..n)).unwrap_or(bytes)
}

/// The value that a parameter has without an enter event.
fn default(kind: ParamType) -> &'static [u8] {
    match kind {
        ParamType::Uid | ParamType::Gid => &[0xFF; 4],
        _ => match kind.fixed_size() {
            Some(1) => &[0; 1],
            Some(2) => &[0; 2],
            Some(4) => &[0; 4],
            Some(8) => &[0; 8],
            Some(16) => &[0; 16],
            _ => &[],
        },
    }
}

/// `{"id":"..","type":N,"name":"..","image":".."}` of the old container event's four parameters.
fn container_json(event: &Event<'_>) -> Option<Vec<u8>> {
    let mut params = event.params();
    let (id, kind, name, image) = (params.next()?, params.next()?, params.next()?, params.next()?);
    let kind = u32::from_le_bytes(*kind.first_chunk()?);
    let mut out = Vec::new();
    let mut text = |key: &str, value: &[u8]| {
        out.extend_from_slice(key.as_bytes());
        for b in value.split(|b| *b == 0).next().unwrap_or_default() {
            match *b {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', *b]),
                0..=0x1F => out.extend_from_slice(format!("\\u{b:04x}").as_bytes()),
                _ => out.push(*b),
            }
        }
    };
    text("{\"id\":\"", id);
    text("\",\"type\":", kind.to_string().as_bytes());
    text(",\"name\":\"", name);
    text("\",\"image\":\"", image);
    out.extend_from_slice(b"\"}\0");
    Some(out)
}

#[cfg(test)]
mod tests;
