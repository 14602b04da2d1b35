//! Several connections, one order: by the times of their messages.

use super::super::stream::{Sent, What};
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::ops::ControlFlow;

/// What was received in one go.
pub(super) struct Batch {
    /// When, ns of the monotonic clock.
    pub arrival: u64,
    /// When, ns since 1970.
    pub clock: u64,
    /// The packets, one after another.
    pub bytes: Bytes,
    /// What came, in order.
    pub items: Box<[Item]>,
    /// Memory that it takes.
    pub cost: usize,
}

/// A part of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    pub connection: u32,
    pub kind: Kind,
    /// Where its packet begins in the bytes of the batch, and its length.
    pub start: u32,
    pub length: u32,
}

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Opened,
    Packet,
    /// `length` is how many packets could not be kept.
    Dropped,
    Closed,
}

/// Memory of an item and of what the merge keeps of it, bytes.
pub(super) const ITEM: usize = size_of::<Item>() + size_of::<Held>();
/// Memory of a batch besides.
pub(super) const BATCH: usize = 256;

/// An item that waits.
struct Held {
    time: u64,
    /// Number of its batch.
    batch: u64,
    item: Item,
}

/// A batch of which something waits.
struct Rest {
    arrival: u64,
    bytes: Bytes,
    left: usize,
    cost: usize,
}

/// All that waits.
#[derive(Default)]
pub(super) struct Merge {
    /// Number of the first of `batches`.
    first: u64,
    batches: VecDeque<Rest>,
    /// What waits of each connection that is open.
    lanes: BTreeMap<u32, VecDeque<Held>>,
    /// Time and connection of the first of each lane that is not empty.
    heads: BinaryHeap<Reverse<(u64, u32)>>,
    /// The latest time of arrival by the clock.
    clock: u64,
    /// Packets given.
    pub packets: u64,
}

impl Merge {
    /// Connections that are open, as far as is known here.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Adds what was received.
    pub fn add(&mut self, batch: Batch) {
        // A clock that is set back must not change the order of what has no time of its own.
        self.clock = self.clock.max(batch.clock);
        let number = self.first + self.batches.len() as u64;
        for item in &batch.items {
            let time = match item.kind {
                Kind::Packet => time_of(part(&batch.bytes, item)).unwrap_or(self.clock),
                Kind::Opened | Kind::Dropped | Kind::Closed => self.clock,
            };
            let lane = self.lanes.entry(item.connection).or_default();
            if lane.is_empty() {
                self.heads.push(Reverse((time, item.connection)));
            }
            lane.push_back(Held { time, batch: number, item: *item });
        }
        let Batch { arrival, bytes, items, cost, .. } = batch;
        self.batches.push_back(Rest { arrival, bytes, left: items.len(), cost });
    }

    /// Gives all that arrived up to `horizon`, and before each what is older by its own time. Returns how much was
    /// given, and the memory freed.
    pub fn give(&mut self, horizon: u64, each: &mut dyn FnMut(Sent) -> ControlFlow<()>) -> (u64, usize) {
        let (mut given, mut freed) = (0, 0);
        let mut due: usize = self.batches.iter().take_while(|b| b.arrival <= horizon).map(|b| b.left).sum();
        let mut flow = ControlFlow::Continue(());
        while due > 0
            && flow.is_continue()
            && let Some(Reverse((_, connection))) = self.heads.pop()
        {
            let until = self.heads.peek().map_or((u64::MAX, u32::MAX), |Reverse(next)| *next);
            let Some(lane) = self.lanes.get_mut(&connection) else { continue };
            let mut closed = false;
            // A sandbox's messages come in runs: no need to compare all after each.
            while due > 0
                && flow.is_continue()
                && lane.front().is_some_and(|held| (held.time, connection) <= until)
                && let Some(Held { batch, item, .. }) = lane.pop_front()
            {
                let index = usize::try_from(batch.wrapping_sub(self.first)).unwrap_or(usize::MAX);
                let Some(rest) = self.batches.get_mut(index) else { continue };
                let what = match item.kind {
                    Kind::Opened => What::Opened,
                    Kind::Closed => What::Closed,
                    Kind::Dropped => What::Dropped(item.length),
                    Kind::Packet => What::Packet(rest.bytes.slice_ref(part(&rest.bytes, &item))),
                };
                due -= usize::from(rest.arrival <= horizon);
                rest.left = rest.left.saturating_sub(1);
                if rest.left == 0 {
                    freed += std::mem::take(&mut rest.cost);
                    rest.bytes = Bytes::new();
                }
                given += 1;
                self.packets += u64::from(item.kind == Kind::Packet);
                flow = each(Sent { connection, what });
                closed = item.kind == Kind::Closed;
            }
            if let Some(held) = lane.front() {
                self.heads.push(Reverse((held.time, connection)));
            } else if closed {
                self.lanes.remove(&connection);
            }
            while self.batches.front().is_some_and(|rest| rest.left == 0) {
                self.batches.pop_front();
                self.first += 1;
            }
        }
        (given, freed)
    }
}

/// The bytes of an item.
fn part<'a>(bytes: &'a [u8], item: &Item) -> &'a [u8] {
    let start = item.start as usize;
    bytes.get(start..start.saturating_add(item.length as usize)).unwrap_or(&[])
}

/// The time of a packet's message, ns since 1970: field 1 of field 1, both first (gvisor spec section 5). `None` when
/// the session did not ask for it.
fn time_of(packet: &[u8]) -> Option<u64> {
    const CONTEXT: u8 = 1 << 3 | 2;
    const TIME: u8 = 1 << 3;
    let size = packet.first_chunk().map(|s| u16::from_le_bytes(*s))?;
    let (&CONTEXT, rest) = packet.get(usize::from(size)..)?.split_first()? else { return None };
    let (length, rest) = varint(rest)?;
    let (&TIME, rest) = rest.split_first()? else { return None };
    let (time, _) = varint(rest)?;
    // Nothing is older than 1970: a negative time is nonsense, and so is one outside of its message.
    (length >= 2 && i64::try_from(time).is_ok()).then_some(time)
}

/// A number of up to ten bytes, and what follows.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests;
