//! The thread that receives.

use super::super::stream::MAX_HANDSHAKE;
use super::merge::{BATCH, Batch, ITEM, Item, Kind};
use super::socket::peer_of;
use super::{Peer, Shared, SinkCounters, SinkOptions, nanoseconds};
use crate::{Error, Result};
use bytes::Bytes;
use rustix::event::{Timespec, epoll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use rustix::time::ClockId;
use scapkit_proto::Header;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Packets received of one connection before it is another's turn.
const BUDGET: usize = 256;
/// Packets of one connection that are still received after the sink was stopped: more than a socket holds usually.
const LAST: usize = 4096;
/// Connections accepted before it is the turn of those that are there.
const ACCEPTS: usize = 16;
/// Bytes of a batch after which it is handed over.
const FULL: usize = 256 << 10;
/// What may wait beyond the limit for packets, bytes: beginnings and ends of connections.
const SLACK: usize = 16 << 20;
/// How long a connection may be without its handshake. `runsc` sends it at once.
const GREETING: Duration = Duration::from_secs(5);
/// How long nobody is accepted when the system has no more files for us.
const EXHAUSTED: Duration = Duration::from_millis(100);
/// The reply: version 1 (gvisor spec section 1).
const REPLY: [u8; 2] = [8, 1];

/// What epoll says of the listener and of the eventfd; connections count up from there.
const LISTENER: u64 = 0;
const WAKE: u64 = 1;

/// A connection that was accepted.
struct Connection {
    fd: OwnedFd,
    pid: Option<u32>,
    uid: u32,
    since: Instant,
    /// Since the handshake.
    peer: Option<Peer>,
    /// A reset was reported: what came before it can still be received.
    reset: bool,
    /// Packets that could not be kept, and of which the one who polls does not know yet.
    untold: u32,
}

/// What becomes of a connection after it was looked at.
enum Next {
    Stays,
    Ends,
    /// It ends, for a reason that is worth a sentence.
    EndedBy(String),
}

/// Receives.
pub(super) struct Reader {
    options: SinkOptions,
    shared: Arc<Shared>,
    listener: Option<OwnedFd>,
    epoll: OwnedFd,
    connections: BTreeMap<u64, Connection>,
    next_token: u64,
    /// Connections that have not greeted.
    silent: usize,
    /// When accepting is tried again.
    accept_again: Option<Instant>,
    /// Where packets are received.
    scratch: Box<[u8]>,
    /// The batch that is being gathered.
    bytes: Vec<u8>,
    items: Vec<Item>,
    cost: usize,
    counters: SinkCounters,
}

impl Reader {
    pub fn new(options: SinkOptions, listener: OwnedFd, wake: &OwnedFd, shared: Arc<Shared>) -> Result<Reader> {
        let failed = |e: Errno| Error::system(format!("epoll for {}", options.path.display()), e.into());
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
        for (fd, token) in [(&listener, LISTENER), (wake, WAKE)] {
            epoll::add(&epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN).map_err(failed)?;
        }
        let scratch = vec![0; options.max_packet.max(MAX_HANDSHAKE as usize)].into();
        Ok(Reader {
            options,
            shared,
            listener: Some(listener),
            epoll,
            connections: BTreeMap::new(),
            next_token: WAKE + 1,
            silent: 0,
            accept_again: None,
            scratch,
            bytes: Vec::new(),
            items: Vec::new(),
            cost: 0,
            counters: SinkCounters::default(),
        })
    }

    /// Receives until it is told to stop, then closes everything.
    pub fn run(mut self) {
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }; 64];
        while !self.shared.stop.load(Ordering::Acquire) {
            let n = match epoll::wait(&self.epoll, &mut events[..], self.timeout().as_ref()) {
                Ok(n) => n,
                Err(Errno::INTR) => continue,
                Err(e) => {
                    self.shared.status().failed = Some(Error::system("wait for packets of sandboxes", e.into()));
                    break;
                }
            };
            for event in events.iter().take(n) {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    WAKE => {}
                    token => self.look_at(token, BUDGET),
                }
            }
            self.hand_over();
            self.look_at_time();
        }
        self.listener = None;
        for token in self.connections.keys().copied().collect::<Vec<_>>() {
            self.look_at(token, LAST);
        }
        // In the order of their numbers, which is not always the one they connected in.
        let open = std::mem::take(&mut self.connections).into_values();
        let mut left: Vec<_> = open.filter_map(|c| Some((c.peer?, c.untold))).collect();
        left.sort_by_key(|(peer, _)| peer.connection);
        for (peer, untold) in left {
            self.closed(peer, untold);
        }
        self.hand_over();
        self.shared.over.store(true, Ordering::Release);
    }

    /// How long to wait for packets.
    fn timeout(&self) -> Option<Timespec> {
        let greeting = (self.silent > 0).then_some(Duration::from_secs(1));
        let again = self.accept_again.map(|at| at.saturating_duration_since(Instant::now()) + Duration::from_millis(1));
        let timeout = greeting.into_iter().chain(again).min()?;
        Timespec::try_from(timeout).ok()
    }

    /// What is due by the time.
    fn look_at_time(&mut self) {
        if self.accept_again.is_some_and(|at| at <= Instant::now()) {
            self.accept_again = None;
            self.listen(true);
        }
        if self.silent == 0 {
            return;
        }
        let late: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, c)| c.peer.is_none() && c.since.elapsed() > GREETING)
            .map(|(token, _)| *token)
            .collect();
        for token in late {
            self.counters.refused_handshake += 1;
            self.end(token, Some("no handshake within 5 s".into()));
        }
    }

    /// Whether to be told of new connections.
    fn listen(&self, on: bool) {
        let Some(listener) = &self.listener else { return };
        let flags = if on { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        // If this failed we would be asked too often or not at all: both are survived, and neither can be mended.
        let _ = epoll::modify(&self.epoll, listener, epoll::EventData::new_u64(LISTENER), flags);
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS {
            let Some(listener) = &self.listener else { return };
            let fd = match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(fd) => fd,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                Err(e) => {
                    // Those who wait would be reported again at once, and nothing would have changed.
                    self.shared.status().note(format!("cannot accept a connection, trying again: {e}"));
                    self.listen(false);
                    self.accept_again = Some(Instant::now() + EXHAUSTED);
                    return;
                }
            };
            self.accepted(fd);
        }
    }

    fn accepted(&mut self, fd: OwnedFd) {
        let (pid, uid) = match peer_of(fd.as_fd()) {
            Ok(who) => who,
            Err(e) => return self.shared.status().note(format!("a connection whose peer is not known: {e}")),
        };
        let who = described(pid, uid);
        if !self.options.uids.contains(&uid) {
            self.counters.refused_uid += 1;
            return self.refused(format!("refused {who}: only users {:?} may connect", self.options.uids));
        }
        let full = self.shared.waiting.load(Ordering::Relaxed) > self.options.max_waiting.saturating_add(SLACK);
        if full || self.connections.len() >= self.options.max_connections {
            self.counters.refused_full += 1;
            return self.refused(format!("refused {who}: there are {} connections already", self.connections.len()));
        }
        let token = self.next_token;
        if let Err(e) = epoll::add(&self.epoll, &fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN) {
            self.counters.refused_full += 1;
            return self.refused(format!("refused {who}: {e}"));
        }
        self.next_token += 1;
        self.silent += 1;
        let connection = Connection { fd, pid, uid, since: Instant::now(), peer: None, reset: false, untold: 0 };
        self.connections.insert(token, connection);
        // The handshake is often there, and `runsc` waits for the reply.
        self.look_at(token, BUDGET);
    }

    fn refused(&self, text: String) {
        let mut status = self.shared.status();
        status.counters = self.counters;
        status.note(text);
    }

    /// Receives up to `budget` packets of a connection.
    fn look_at(&mut self, token: u64, budget: usize) {
        let Some(mut connection) = self.connections.remove(&token) else { return };
        let next = self.receive(&mut connection, budget);
        if let Some(peer) = connection.peer {
            let mut status = self.shared.status();
            status.counters = self.counters;
            status.peers.insert(peer.connection, peer);
        }
        self.connections.insert(token, connection);
        match next {
            Next::Stays => {}
            Next::Ends => self.end(token, None),
            Next::EndedBy(why) => self.end(token, Some(why)),
        }
    }

    fn receive(&mut self, connection: &mut Connection, budget: usize) -> Next {
        for _ in 0..budget {
            // With this flag the length is the one of the packet, even if there was no room for all of it.
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let length = match recv(&connection.fd, &mut *self.scratch, flags) {
                Ok((_, 0)) => return Next::Ends,
                Ok((_, length)) => length,
                Err(Errno::AGAIN) => return Next::Stays,
                Err(Errno::INTR) => continue,
                // The other side is gone and had not read all of ours. What it sent before is still there.
                Err(Errno::CONNRESET) if !connection.reset => {
                    connection.reset = true;
                    continue;
                }
                Err(Errno::CONNRESET) => return Next::Ends,
                Err(e) => return Next::EndedBy(format!("cannot be received from: {e}")),
            };
            let Some(peer) = &mut connection.peer else {
                match self.greet(connection, length) {
                    Ok(peer) => connection.peer = Some(peer),
                    Err(why) => {
                        self.counters.refused_handshake += 1;
                        return Next::EndedBy(why);
                    }
                }
                continue;
            };
            if length > self.options.max_packet {
                (self.counters.oversized, peer.oversized) = (self.counters.oversized + 1, peer.oversized + 1);
                continue;
            }
            let packet = self.scratch.get(..length).unwrap_or(&[]);
            if Header::parse(packet).is_none() {
                (self.counters.malformed, peer.malformed) = (self.counters.malformed + 1, peer.malformed + 1);
                if peer.malformed >= self.options.max_malformed {
                    return Next::EndedBy(format!("sent {} packets without a proper header", peer.malformed));
                }
                continue;
            }
            self.counters.packets += 1;
            self.counters.bytes += length as u64;
            peer.packets += 1;
            let cost = length + ITEM;
            let waiting = self.shared.waiting.load(Ordering::Relaxed) + self.cost + BATCH;
            if waiting + cost > self.options.max_waiting {
                (self.counters.dropped_here, peer.dropped_here) =
                    (self.counters.dropped_here + 1, peer.dropped_here + 1);
                connection.untold = connection.untold.saturating_add(1);
                continue;
            }
            if connection.untold > 0 {
                let (connection, length) = (peer.connection, std::mem::take(&mut connection.untold));
                self.items.push(Item { connection, kind: Kind::Dropped, start: 0, length });
                self.cost += ITEM;
            }
            // Batches are handed over long before these numbers could overflow.
            let start = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            self.bytes.extend_from_slice(packet);
            self.items.push(Item { connection: peer.connection, kind: Kind::Packet, start, length });
            self.cost += cost;
            if self.bytes.len() >= FULL {
                self.hand_over();
            }
        }
        Next::Stays
    }

    /// Answers the handshake of `length` bytes that was received. The error says what is wrong with it.
    fn greet(&mut self, connection: &Connection, length: usize) -> Result<Peer, String> {
        let packet = self.scratch.get(..length).filter(|packet| packet.len() <= MAX_HANDSHAKE as usize);
        let packet =
            packet.ok_or_else(|| format!("handshake: wanted {MAX_HANDSHAKE} bytes at most, found {length}"))?;
        match scapkit_proto::handshake(packet) {
            Ok(0) => return Err("handshake: wanted version 1 or later, found 0".into()),
            Ok(_) => {}
            Err(e) => return Err(format!("handshake: {e}")),
        }
        let number = u32::try_from(self.counters.connections_ever).map_err(|_| "too many connections".to_owned())?;
        self.silent = self.silent.saturating_sub(1);
        self.counters.connections_ever += 1;
        self.counters.connections += 1;
        let peer = Peer {
            connection: number,
            pid: connection.pid,
            uid: connection.uid,
            open: true,
            packets: 0,
            dropped_here: 0,
            malformed: 0,
            oversized: 0,
        };
        // All before the reply: it is opened earlier than anything that it can send, and who waits for `runsc` finds it.
        self.item(number, Kind::Opened);
        self.hand_over();
        let mut status = self.shared.status();
        status.counters = self.counters;
        status.peers.insert(number, peer);
        drop(status);
        // Nobody is there to read it if this fails; then what was sent is taken all the same, and the end comes next.
        let _ = send(&connection.fd, &REPLY, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
        Ok(peer)
    }

    /// Closes a connection.
    fn end(&mut self, token: u64, why: Option<String>) {
        let Some(connection) = self.connections.remove(&token) else { return };
        if let Some(why) = why {
            let who = described(connection.pid, connection.uid);
            let number = connection.peer.map_or(String::new(), |peer| format!(" (connection {})", peer.connection));
            self.refused(format!("{who}{number}: {why}"));
        }
        match connection.peer {
            Some(peer) => self.closed(peer, connection.untold),
            None => self.silent = self.silent.saturating_sub(1),
        }
    }

    fn closed(&mut self, peer: Peer, untold: u32) {
        self.counters.connections = self.counters.connections.saturating_sub(1);
        if untold > 0 {
            self.items.push(Item { connection: peer.connection, kind: Kind::Dropped, start: 0, length: untold });
            self.cost += ITEM;
        }
        self.item(peer.connection, Kind::Closed);
        let mut status = self.shared.status();
        status.counters = self.counters;
        status.peers.insert(peer.connection, Peer { open: false, ..peer });
        status.forget();
    }

    fn item(&mut self, connection: u32, kind: Kind) {
        self.items.push(Item { connection, kind, start: 0, length: 0 });
        self.cost += ITEM;
    }

    /// Hands the batch to the one who polls.
    fn hand_over(&mut self) {
        if self.items.is_empty() {
            return;
        }
        let cost = std::mem::take(&mut self.cost) + BATCH;
        // Copies, of just the size that is needed: what is counted is what is there.
        let batch = Batch {
            arrival: nanoseconds(ClockId::Monotonic),
            clock: nanoseconds(ClockId::Realtime),
            bytes: Bytes::copy_from_slice(&self.bytes),
            items: self.items.as_slice().into(),
            cost,
        };
        self.bytes.clear();
        self.items.clear();
        self.shared.waiting.fetch_add(cost, Ordering::Relaxed);
        self.shared.queue().push(batch);
    }
}

/// The other side, for a sentence.
fn described(pid: Option<u32>, uid: u32) -> String {
    pid.map_or_else(|| format!("a process of user {uid}"), |pid| format!("process {pid} of user {uid}"))
}
