//! Several rings, one order: by time.
//!
//! An event takes its time before it takes its place in a ring, so the rings are looked at first, and only what is
//! older than that by [`HOLD`] is given: what could still come is younger.

use std::ops::ControlFlow;

/// How long an event waits for older ones from other processors, ns. A program of the probe runs some microseconds,
/// and nothing but an interrupt comes between the time of its event and the event.
const HOLD: u64 = 2_000_000;

/// A ring of one processor: records that begin with an event, oldest first.
pub trait Ring {
    /// Looks how far the kernel has written. What is there from now on can be read.
    fn look(&mut self);
    /// Bytes written and not yet read, when last looked.
    fn waiting(&self) -> usize;
    /// The record to be read next; `None` when there is none that can be read.
    fn head(&mut self) -> Option<&[u8]>;
    /// Goes past the record that [`Ring::head`] gave, of `bytes` bytes.
    fn pass(&mut self, bytes: usize);
    /// Gives what was read back to the kernel.
    fn release(&mut self);
}

/// The rings of all processors, read as one.
pub struct Merge<R> {
    /// Rings with the processor of each.
    rings: Vec<(u16, R)>,
    /// Time of the last event given.
    last: u64,
    /// Events given.
    pub given: u64,
    /// Events that were older than one given before.
    pub late: u64,
}

impl<R: Ring> Merge<R> {
    /// Nothing yet.
    pub fn new() -> Merge<R> {
        Merge { rings: Vec::new(), last: 0, given: 0, late: 0 }
    }

    /// Adds the ring of processor `cpu`.
    pub fn add(&mut self, cpu: u16, ring: R) {
        self.rings.push((cpu, ring));
    }

    /// Whether processor `cpu` has a ring here.
    pub fn has(&self, cpu: u16) -> bool {
        self.rings.iter().any(|(c, _)| *c == cpu)
    }

    /// The fullest ring, in bytes that wait, when last looked.
    pub fn fullest(&self) -> usize {
        self.rings.iter().map(|(_, r)| r.waiting()).max().unwrap_or(0)
    }

    /// The rings.
    pub fn rings(&self) -> impl Iterator<Item = &R> {
        self.rings.iter().map(|(_, ring)| ring)
    }

    /// Whether an event that was there when last looked is of later than `time`.
    pub fn has_later_than(&mut self, time: u64) -> bool {
        self.rings.iter_mut().any(|(_, ring)| ring.head().is_some_and(|record| time_of(record) > time))
    }

    /// Gives what is due, oldest first; all there is if `all`. `now`: the time before this call, by the clock of
    /// events.
    pub fn drain(&mut self, now: u64, all: bool, each: &mut dyn FnMut(u16, &[u8]) -> ControlFlow<()>) -> u64 {
        for (_, ring) in &mut self.rings {
            ring.look();
        }
        let horizon = if all { u64::MAX } else { now.saturating_sub(HOLD) };
        let before = self.given;
        while let Some((index, until)) = self.oldest(horizon) {
            // A processor's events come in runs: no need to compare after each.
            let Some((cpu, ring)) = self.rings.get_mut(index) else { break };
            while let Some(record) = ring.head() {
                let ts = time_of(record);
                if ts > until {
                    break;
                }
                if ts < self.last {
                    self.late += 1;
                } else {
                    self.last = ts;
                }
                self.given += 1;
                let len = record.len();
                let flow = each(*cpu, event_of(record));
                ring.pass(len);
                if flow.is_break() {
                    self.release();
                    return self.given - before;
                }
            }
        }
        self.release();
        self.given - before
    }

    /// The ring with the oldest event up to `horizon`, and up to when its events come before those of the others.
    fn oldest(&mut self, horizon: u64) -> Option<(usize, u64)> {
        let (mut first, mut second) = ((u64::MAX, None), horizon);
        for (index, (_, ring)) in self.rings.iter_mut().enumerate() {
            let Some(record) = ring.head() else { continue };
            let ts = time_of(record);
            if ts > horizon {
                continue;
            }
            if first.1.is_none() || ts < first.0 {
                second = if first.1.is_some() { first.0 } else { second };
                first = (ts, Some(index));
            } else {
                second = second.min(ts);
            }
        }
        first.1.map(|index| (index, second))
    }

    fn release(&mut self) {
        for (_, ring) in &mut self.rings {
            ring.release();
        }
    }
}

/// Time of an event, its first eight bytes.
#[inline]
fn time_of(record: &[u8]) -> u64 {
    record.first_chunk().map_or(0, |ts| u64::from_le_bytes(*ts))
}

/// A record without what is behind its event: space for short data is reserved before its length is known.
#[inline]
fn event_of(record: &[u8]) -> &[u8] {
    let len = record.get(16..20).and_then(|l| l.first_chunk()).map_or(0, |l| u32::from_le_bytes(*l) as usize);
    record.get(..len).unwrap_or(record)
}
