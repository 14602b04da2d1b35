//! The last minutes, in memory: stretches of events, each with the state before it.
//!
//! ```text
//! oldest                                                     newest
//! [state | events] [state | events] ... [state | events] [state | events being added]
//!   packed           packed               being packed      plain
//! ```
//! A stretch ends when it is large or old enough, so the oldest can go as a whole. Packing (zstd) is done by a
//! thread of its own; where that cannot keep up, stretches stay as they are and the ring holds less.

use super::clock::Age;
use super::select::Tracker;
use scapkit_replay::Checkpoint;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Smallest and largest size at which a stretch ends, as long as the state is small, bytes.
const SIZES: (usize, usize) = (256 << 10, 16 << 20);
/// Stretches of a ring that is limited in bytes.
const PARTS: usize = 16;
/// Room for the event that makes a stretch full.
const LAST: usize = (64 << 10) + 4096;
/// How much larger than the state before it a stretch is, at least, where the limit allows it: what it costs to
/// take the state is then a small part of what the events cost.
const STATE_FACTOR: usize = 4;
/// Level of zstd: the fastest that packs at all.
const LEVEL: i32 = 1;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Events older than that go, ns; `None`: as many as there is room for.
    pub age: Option<u64>,
    /// Bytes of memory for them.
    pub bytes: usize,
}

/// The bytes of a stretch: its state, then its event blocks.
enum Data {
    Plain(Vec<u8>),
    Packed { bytes: Vec<u8>, plain: usize },
}

/// A stretch that is complete.
pub(super) struct Stretch {
    data: Mutex<Data>,
    /// Bytes that `data` takes.
    held: AtomicUsize,
    state_len: usize,
    number: u64,
    first_ts: u64,
    /// Clock before the first event, and the time at the last one.
    pub age: Age,
    pub last: u64,
}

impl Stretch {
    /// The state before it, and its event blocks.
    pub fn unpack(&self) -> std::io::Result<(Checkpoint, Vec<u8>)> {
        let data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = match &*data {
            Data::Plain(bytes) => bytes.clone(),
            Data::Packed { bytes, plain } => zstd::bulk::decompress(bytes, *plain)?,
        };
        drop(data);
        let blocks = bytes.split_off(self.state_len.min(bytes.len()));
        Ok((Checkpoint { number: self.number, first_ts: self.first_ts, state: bytes }, blocks))
    }

    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Packs it, if that makes it smaller.
    fn pack(&self) {
        let mut data = self.data.lock().unwrap_or_else(PoisonError::into_inner);
        if let Data::Plain(plain) = &*data
            && let Ok(mut bytes) = zstd::bulk::compress(plain, LEVEL)
            && bytes.len() < plain.len()
        {
            bytes.shrink_to_fit();
            self.held.store(bytes.len(), Ordering::Relaxed);
            *data = Data::Packed { bytes, plain: plain.len() };
        }
    }
}

/// The stretch that events are added to.
struct Open {
    state: Checkpoint,
    blocks: Vec<u8>,
    events: u64,
    age: Age,
}

/// See the module.
pub(super) struct Ring {
    limit: Limit,
    stretches: VecDeque<Arc<Stretch>>,
    open: Option<Open>,
    age: Age,
    packer: Option<SyncSender<Arc<Stretch>>>,
}

impl Ring {
    /// An empty one. `threads`: 0 packs in the calling thread.
    pub fn new(limit: Limit, threads: usize) -> Ring {
        let packer = (threads > 0).then(start_packer).flatten();
        Ring { limit, stretches: VecDeque::new(), open: None, age: Age::default(), packer }
    }

    /// The time at the last event.
    pub fn now(&self) -> u64 {
        self.age.now()
    }

    /// Bytes that it takes.
    pub fn held(&self) -> usize {
        let open = self.open.as_ref().map_or(0, |open| open.state.state.len() + open.blocks.capacity());
        self.stretches.iter().map(|s| s.held()).sum::<usize>() + open
    }

    /// Makes room for an event, of which the state does not know yet. Gives the stretch that ended for it.
    pub fn before(&mut self, tracker: &Tracker) -> Option<Arc<Stretch>> {
        if self.open.as_ref().is_some_and(|open| !self.is_full(open)) {
            return None;
        }
        let ended = self.seal();
        self.begin(tracker);
        ended
    }

    /// Adds an event at `ts`: `put` appends its block.
    #[inline]
    pub fn add(&mut self, ts: u64, put: impl FnOnce(&mut Vec<u8>)) {
        self.age.at(ts);
        if let Some(open) = &mut self.open {
            put(&mut open.blocks);
            open.events += 1;
        }
    }

    /// As [`Ring::add`], of an event that is not kept.
    #[inline]
    pub fn pass(&mut self, ts: u64) {
        self.age.at(ts);
    }

    /// Ends the stretch that events are added to, so that all are in [`Ring::stretches`]; gives it. Without
    /// any event there is one for the state.
    pub fn seal(&mut self) -> Option<Arc<Stretch>> {
        if self.open.as_ref().is_none_or(|open| open.events == 0 && !self.stretches.is_empty()) {
            return None;
        }
        let Open { state, mut blocks, age, .. } = self.open.take()?;
        let state_len = state.state.len();
        let mut bytes = state.state;
        bytes.append(&mut blocks);
        bytes.shrink_to_fit();
        let stretch = Arc::new(Stretch {
            held: AtomicUsize::new(bytes.len()),
            data: Mutex::new(Data::Plain(bytes)),
            state_len,
            number: state.number,
            first_ts: state.first_ts,
            age,
            last: self.age.now(),
        });
        match &self.packer {
            // When it has enough to do, the stretch stays as it is.
            Some(packer) => _ = packer.try_send(Arc::clone(&stretch)),
            None => stretch.pack(),
        }
        self.stretches.push_back(Arc::clone(&stretch));
        self.let_go();
        Some(stretch)
    }

    /// Begins a stretch, unless one is begun.
    pub fn begin(&mut self, tracker: &Tracker) {
        if self.open.is_none() {
            let state = tracker.player().checkpoint();
            let room = self.size(state.state.len());
            // Untouched pages cost nothing; growing by doubling would go over the limit.
            self.open = Some(Open { blocks: Vec::with_capacity(room + LAST), state, events: 0, age: self.age });
            self.let_go();
        }
    }

    /// The complete stretches, oldest first.
    pub fn stretches(&self) -> Vec<Arc<Stretch>> {
        self.stretches.iter().cloned().collect()
    }

    /// Size at which a stretch ends, after a state of that size.
    fn size(&self, state: usize) -> usize {
        let (least, most) = SIZES;
        let usual = (self.limit.bytes / PARTS).clamp(least, most);
        let large = state.saturating_mul(STATE_FACTOR).max(usual);
        large.min((self.limit.bytes / 4).max(least))
    }

    fn is_full(&self, open: &Open) -> bool {
        let (state, events) = (open.state.state.len(), open.blocks.len());
        if events >= self.size(state) {
            return true;
        }
        // The part of the time that may be kept too long; longer where the state is large and little happens.
        let old = |part: u64| self.limit.age.is_some_and(|age| self.age.now() - open.age.now() >= age / part);
        open.events > 0 && ((old(8) && events >= state / 16) || old(2))
    }

    /// Lets the oldest stretches go that are too old or too many.
    fn let_go(&mut self) {
        let now = self.age.now();
        while let Some(oldest) = self.stretches.front() {
            let old = self.limit.age.is_some_and(|age| now - oldest.last > age);
            let open = self.open.as_ref().map_or(0, |open| open.state.state.len());
            let room = self.size(open) + LAST + open;
            let all: usize = self.stretches.iter().map(|s| s.held()).sum();
            if !old && all + room <= self.limit.bytes {
                break;
            }
            self.stretches.pop_front();
        }
    }
}

/// The thread that packs stretches; `None` where there is no thread to be had. It ends with the ring.
fn start_packer() -> Option<SyncSender<Arc<Stretch>>> {
    let (sender, stretches) = sync_channel::<Arc<Stretch>>(2);
    let work = move || stretches.iter().for_each(|stretch| stretch.pack());
    std::thread::Builder::new().name("pack".into()).spawn(work).ok()?;
    Some(sender)
}
