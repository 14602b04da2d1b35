//! An event together with everything that is known at it: what fields and text are computed from.

use crate::engine::{Bound, Container, Engine, Fd, Group, Thread, User};
use crate::text::{BufferMode, CUT, Dialect, Zone};
use scapkit_format::Event;
use scapkit_format::schema::{EventInfo, id};
use std::fmt;

/// An event, its state, and how it is to be shown. Cheap to make and to copy: it borrows all.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The event in the view that is shown: as recorded, or of the current schema.
    pub event: Event<'a>,
    /// Its table entry in that view ([`Event::recorded_info`] or [`Event::info`]).
    pub info: &'static EventInfo,
    /// Its number.
    pub number: u64,
    /// The state after the event.
    pub engine: &'a Engine,
    /// Thread, fd and return value of the event.
    pub bound: Bound,
    /// Time of the first event, ns since the epoch.
    pub first_ts: u64,
    /// Time of the previous event shown; the event's own when there is none.
    pub previous_ts: u64,
    /// Time of the enter event that belongs to this exit, where known.
    pub enter_ts: Option<u64>,
    /// How to show it.
    pub options: &'a TextOptions,
}

impl<'a> Context<'a> {
    /// The event's thread.
    #[inline]
    pub fn thread(&self) -> Option<&'a Thread> {
        if self.bound.thread { self.engine.thread(self.bound.tid) } else { None }
    }

    /// The entry of the event's fd.
    #[inline]
    pub fn fd(&self) -> Option<&'a Fd> {
        self.engine.fd(self.bound.tid, self.bound.fd?)
    }

    /// Whether the event tells of a container, rather than something that a thread did.
    pub fn tells_of_container(&self) -> bool {
        let about = [id::CONTAINER_E, id::CONTAINER_JSON_E, id::CONTAINER_JSON_2_E, id::ASYNCEVENT_E];
        about.contains(&self.event.event_type) && self.engine.told_container().is_some()
    }

    /// The container that the event tells of, else the one of its thread, if any event told of that.
    /// Threads outside of containers have one with the name `host`.
    pub fn container(&self) -> Option<&'a Container> {
        if self.tells_of_container() {
            return self.engine.told_container();
        }
        self.engine.container(&self.thread()?.container_id)
    }

    /// The user of that number where the event's thread is: in its container or on the machine.
    pub fn user(&self, uid: u32) -> Option<&'a User> {
        match self.thread() {
            Some(thread) => self.engine.user_of(thread, uid),
            None => self.engine.user(uid),
        }
    }

    /// As [`Context::user`], of a group.
    pub fn group(&self, gid: u32) -> Option<&'a Group> {
        match self.thread() {
            Some(thread) => self.engine.group_of(thread, gid),
            None => self.engine.group(gid),
        }
    }

    /// ns between the enter event and this exit.
    pub fn latency(&self) -> Option<u64> {
        self.enter_ts.map(|enter| self.event.ts.saturating_sub(enter))
    }

    /// ns since the previous event shown.
    pub fn delta(&self) -> u64 {
        self.event.ts.saturating_sub(self.previous_ts)
    }

    /// ns since the first event. Wraps around for events before it, as upstream has it.
    pub fn since_first(&self) -> u64 {
        self.event.ts.wrapping_sub(self.first_ts)
    }
}

/// What `evt.outputtime` shows (output-format section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeMode {
    /// `h`: time of the day.
    #[default]
    Clock,
    /// `a`: seconds since the epoch.
    Absolute,
    /// `r`: seconds since the first event.
    Relative,
    /// `d`: seconds between enter and exit.
    Latency,
    /// `D`: seconds since the previous event shown.
    Delta,
}

impl TimeMode {
    /// Letters and modes, in the order of sysdig's help.
    pub const ALL: [(char, TimeMode); 5] = [
        ('h', TimeMode::Clock),
        ('a', TimeMode::Absolute),
        ('r', TimeMode::Relative),
        ('d', TimeMode::Latency),
        ('D', TimeMode::Delta),
    ];

    /// The mode of sysdig's letter.
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::ALL.into_iter().find(|(l, _)| *l == letter).map(|(_, mode)| mode)
    }
}

/// How events are shown.
pub struct TextOptions {
    /// Whose text is written.
    pub dialect: Dialect,
    /// What `evt.outputtime` shows.
    pub time: TimeMode,
    /// How I/O data is shown.
    pub buffers: BufferMode,
    /// Longest I/O data in normal mode; longer data is cut and ends in `...`.
    pub cut: Option<usize>,
    /// Offset of local time; `None` is UTC.
    pub zone: Option<Zone>,
}

impl TextOptions {
    /// The dialect's defaults: sysdig cuts data at 80 bytes, libs does not.
    pub fn new(dialect: Dialect) -> Self {
        TextOptions {
            dialect,
            time: TimeMode::default(),
            buffers: BufferMode::default(),
            cut: match dialect {
                Dialect::Sysdig => Some(CUT),
                Dialect::Libs => None,
            },
            zone: None,
        }
    }
}

impl Default for TextOptions {
    fn default() -> Self {
        Self::new(Dialect::default())
    }
}

impl fmt::Debug for TextOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextOptions")
            .field("dialect", &self.dialect)
            .field("time", &self.time)
            .field("buffers", &self.buffers)
            .field("cut", &self.cut)
            .field("zone", &self.zone.as_ref().map(|_| "local"))
            .finish()
    }
}
