//! The socket that sandboxes connect to.
//!
//! ```text
//! sandboxes ─> reader thread ─> batches (bounded) ─> merge by time ─> Sink::poll
//! ```
//!
//! A sandbox that cannot send stalls its programs and then drops, and its socket holds some 280 messages only. So one
//! thread does nothing but receive, and never waits for whoever polls: what there is no more room for is dropped here,
//! the newest first, and counted.
//!
//! Who may connect is a question of the socket's mode (0700) and of the peer's user. What comes is from strangers all the
//! same: a connection that misbehaves is ended, and touches no other. Source: gvisor spec section 1.

mod merge;
mod reader;
mod socket;

use super::stream::Sent;
use crate::{Error, Result};
use merge::{Batch, Merge};
use reader::Reader;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;
use rustix::process::geteuid;
use rustix::time::{ClockId, clock_gettime};
use socket::Socket;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// How long a packet waits for older ones of other sandboxes, ns.
const WINDOW: u64 = 5_000_000;
/// Sentences kept.
const MAX_NOTES: usize = 64;
/// Connections that ended and are still known to [`Sink::peers`].
const MAX_ENDED: usize = 1024;

/// What a sink is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkOptions {
    /// Where the socket is to be.
    pub path: PathBuf,
    /// Users whose processes may connect.
    pub uids: Vec<u32>,
    /// Largest packet, bytes. Larger ones are skipped and counted.
    pub max_packet: usize,
    /// Bytes of memory for what waits to be polled, over all connections.
    pub max_waiting: usize,
    /// Packets without a proper header after which a connection is ended.
    pub max_malformed: u64,
    /// Most connections at the same time.
    pub max_connections: usize,
}

impl SinkOptions {
    /// A socket at `path`, for root and the user that this process acts as.
    pub fn new(path: impl Into<PathBuf>) -> SinkOptions {
        SinkOptions {
            path: path.into(),
            uids: vec![0, geteuid().as_raw()],
            max_packet: 1 << 20,
            max_waiting: 256 << 20,
            max_malformed: 16,
            max_connections: 1024,
        }
    }
}

/// What a sink saw and lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkCounters {
    /// Connections now open, after their handshake.
    pub connections: u64,
    /// Connections opened ever.
    pub connections_ever: u64,
    /// Packets received, those dropped here included, malformed and oversized ones not.
    pub packets: u64,
    /// Bytes of these packets.
    pub bytes: u64,
    /// Packets given to the caller.
    pub given: u64,
    /// Packets dropped because too many waited to be polled.
    pub dropped_here: u64,
    /// Packets without a proper header.
    pub malformed: u64,
    /// Packets that were larger than [`SinkOptions::max_packet`].
    pub oversized: u64,
    /// Connections refused because of the peer's user.
    pub refused_uid: u64,
    /// Connections refused because of their handshake: none in time, a version of 0, or something else.
    pub refused_handshake: u64,
    /// Connections refused because there were too many.
    pub refused_full: u64,
}

/// A connection, and the process that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Number of the connection.
    pub connection: u32,
    /// The process that connected, a `runsc`; `None` if it is not in our PID namespace.
    pub pid: Option<u32>,
    /// Its user.
    pub uid: u32,
    /// Whether the connection is open.
    pub open: bool,
    /// Packets received, those dropped here included.
    pub packets: u64,
    /// Packets dropped because too many waited to be polled.
    pub dropped_here: u64,
    /// Packets without a proper header.
    pub malformed: u64,
    /// Packets that were too large.
    pub oversized: u64,
}

/// What the reader says of itself.
#[derive(Default)]
struct Status {
    counters: SinkCounters,
    peers: BTreeMap<u32, Peer>,
    notes: Vec<String>,
    left_out: u64,
    /// Why the reader cannot go on.
    failed: Option<Error>,
}

impl Status {
    fn note(&mut self, text: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(text);
        } else {
            self.left_out += 1;
        }
    }

    /// Forgets the connections that ended longest ago, if there are too many.
    fn forget(&mut self) {
        let ended = self.peers.values().filter(|peer| !peer.open).map(|peer| peer.connection);
        let ended: Vec<u32> = ended.collect();
        for connection in ended.iter().take(ended.len().saturating_sub(MAX_ENDED)) {
            self.peers.remove(connection);
        }
    }
}

/// Between the reader and the one who polls.
struct Shared {
    queue: Mutex<Vec<Batch>>,
    /// Memory of what waits, in the queue and in the merge.
    waiting: AtomicUsize,
    stop: AtomicBool,
    /// The reader has ended: nothing is added to the queue.
    over: AtomicBool,
    status: Mutex<Status>,
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Vec<Batch>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens for sandboxes and receives what they send.
pub struct Sink {
    socket: Socket,
    shared: Arc<Shared>,
    wake: OwnedFd,
    thread: Option<JoinHandle<()>>,
    merge: Merge,
    given: u64,
}

impl Sink {
    /// Listens at the path of `options`. The folder is made, for its owner only, if it is missing; a socket that nobody
    /// listens to is replaced.
    ///
    /// # Errors
    /// When somebody listens there, when something else is there, or when the system refuses.
    pub fn listen(options: SinkOptions) -> Result<Sink> {
        let (socket, listener) = Socket::listen(&options.path)?;
        let failed = |what: &str, e| Error::system(format!("{what} for {}", options.path.display()), e);
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let wake = wake.map_err(|e| failed("make an eventfd", e.into()))?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            over: AtomicBool::new(false),
            status: Mutex::default(),
        });
        let path = options.path.clone();
        let reader = Reader::new(options, listener, &wake, shared.clone())?;
        let thread = std::thread::Builder::new().name("sandboxes".into()).spawn(move || reader.run());
        let thread = thread.map_err(|e| Error::system(format!("start a thread for {}", path.display()), e))?;
        Ok(Sink { socket, shared, wake, thread: Some(thread), merge: Merge::default(), given: 0 })
    }

    /// Where the socket is.
    pub fn path(&self) -> &Path {
        self.socket.path()
    }

    /// Gives what is due to `each`, which stops it early with `Break`; what it was given then counts as taken. Never
    /// waits. Returns how much it gave.
    ///
    /// Connections are numbered from 0 in the order of their handshakes. Within one the order is that of arrival;
    /// among several it is that of the messages' times, as far as they arrived within 5 ms.
    ///
    /// # Errors
    /// When the receiver had to end, after all it had received was given.
    pub fn poll(&mut self, each: &mut dyn FnMut(Sent) -> ControlFlow<()>) -> Result<u64> {
        // Before the queue: what the reader did last is in there then.
        let over = self.shared.over.load(Ordering::Acquire);
        let batches = std::mem::take(&mut *self.shared.queue());
        for batch in batches {
            self.merge.add(batch);
        }
        let alone = self.merge.lanes() <= 1;
        let horizon = if over || alone { u64::MAX } else { nanoseconds(ClockId::Monotonic).saturating_sub(WINDOW) };
        let packets = self.merge.packets;
        let (given, freed) = self.merge.give(horizon, each);
        self.given += self.merge.packets - packets;
        self.shared.waiting.fetch_sub(freed, Ordering::Relaxed);
        if self.is_over()
            && let Some(error) = self.shared.status().failed.take()
        {
            return Err(error);
        }
        Ok(given)
    }

    /// Ends it: nobody can connect any more, and all connections are closed. What was received is still given by
    /// [`Sink::poll`], and the ends of the connections too.
    pub fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // It fails only when it is full of wakes.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            self.shared.over.store(true, Ordering::Release);
        }
        self.socket.remove();
    }

    /// Whether nothing more will come: it was stopped, and all was given.
    pub fn is_over(&self) -> bool {
        self.shared.over.load(Ordering::Acquire) && self.merge.is_empty() && self.shared.queue().is_empty()
    }

    /// What was seen and lost so far.
    pub fn counters(&self) -> SinkCounters {
        SinkCounters { given: self.given, ..self.shared.status().counters }
    }

    /// Bytes of memory of what waits to be polled.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// The connections, by number: all that are open, and the last 1024 or so that ended.
    pub fn peers(&self) -> Vec<Peer> {
        self.shared.status().peers.values().copied().collect()
    }

    /// The process that made a connection, a `runsc`.
    pub fn peer_pid(&self, connection: u32) -> Option<u32> {
        self.shared.status().peers.get(&connection).and_then(|peer| peer.pid)
    }

    /// Sentences about what was refused or ended, and why; the first 64.
    pub fn notes(&self) -> Vec<String> {
        self.shared.status().notes.clone()
    }

    /// How many sentences were not kept.
    pub fn notes_left_out(&self) -> u64 {
        self.shared.status().left_out
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A clock in nanoseconds.
fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec.unsigned_abs().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.unsigned_abs())
}
