//! What every recorder gives: events in time order, and counters of what it could not give.

use crate::Result;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// What comes with an event beside its bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// Processor.
    pub cpu: u16,
    /// Flags of its block: 0, or [`scapkit_format::STATE_ONLY`] for what is no event of its own but what later
    /// ones are understood by.
    pub flags: u32,
}

impl From<u16> for Origin {
    fn from(cpu: u16) -> Self {
        Origin { cpu, flags: 0 }
    }
}

/// Where events come from: the probe's rings, the kernel module's, or a capture played as if it were live.
pub trait Source {
    /// Gives every event that is due, oldest first, to `each`: its origin and its bytes in V2 form
    /// (header, lengths, parameters; scap-format section 3) of the current schema. Never waits. Returns how many
    /// it gave; `each` stops it early with `Break`, and the event it was given then counts as taken.
    ///
    /// # Errors
    /// When the source cannot go on.
    fn drain(&mut self, each: &mut dyn FnMut(Origin, &[u8]) -> ControlFlow<()>) -> Result<u64>;

    /// How long a caller that was given nothing may sleep before it asks again without risking drops.
    fn pause(&self) -> Duration;

    /// Begins to record. Sources may be asked for events before; they give none then.
    ///
    /// # Errors
    /// When it cannot be begun.
    fn start(&mut self) -> Result<()>;

    /// Ends recording. What was recorded is still given by [`Source::drain`], held back no longer.
    ///
    /// # Errors
    /// When it cannot be ended.
    fn stop(&mut self) -> Result<()>;

    /// Whether no more events will come, ever: it was stopped, or its end was reached, and all were given.
    fn is_over(&self) -> bool;

    /// What was seen and what was lost so far.
    ///
    /// # Errors
    /// When the counters cannot be read.
    fn counters(&self) -> Result<Counters>;

    /// Sentences for people about what went wrong, at the end.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a source saw and lost, since it was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events that the source tried to give, those it lost included (upstream: `n_evts`).
    pub seen: u64,
    /// Lost because a ring was full.
    pub drops_buffer: u64,
    /// Lost because the event was larger than 64 KiB.
    pub drops_size: u64,
    /// Lost for other reasons.
    pub drops_other: u64,
    /// Events given to the caller.
    pub given: u64,
    /// Given although an event with a later time had been given already.
    pub late: u64,
    /// Events that the kernel held back for a filter of threads, programs or groups.
    pub suppressed: u64,
    /// Lost because a ring was full, by upstream's classes of events (`open_exit`, `execve_exit`).
    pub drops_by_class: BTreeMap<&'static str, u64>,
    /// Events given by event type. Counted by the caller of the source, not by the source.
    pub by_type: BTreeMap<u16, u64>,
}

impl Counters {
    /// All that was lost.
    pub fn drops(&self) -> u64 {
        self.drops_buffer.saturating_add(self.drops_size).saturating_add(self.drops_other)
    }
}
