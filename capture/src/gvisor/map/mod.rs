//! From messages to events.
//!
//! A message becomes the event that a driver of today writes for the same thing: the end of a call with its result,
//! and its beginning where drivers tell of that too (open, connect, exec). Of a call that comes as a raw message and
//! as one with strings, one event is made. Ids are those of the sandbox's root PID namespace; above 32 bits stands
//! a number of the sandbox, so that several sandboxes have their place in one capture, and `vtid`/`vpid` hold the
//! sandbox's own. The mapper knows no clock: times are those of messages.
//!
//! * this file: connections, and which sandbox a packet is of;
//! * `sandbox`: what is known of a sandbox;
//! * `process`: how threads come, what is known of them, how they end;
//! * `exec`: the programs that they run;
//! * `containers`: containers, and what was there before the session;
//! * `calls`: system calls;
//! * `address`: addresses of sockets;
//! * `events`: what comes out.
//!
//! Source: gvisor spec sections 4, 6 and 10.

mod address;
mod calls;
mod containers;
mod events;
mod exec;
mod process;
mod sandbox;

pub use events::Events;

use super::params::Params;
use super::procfs::{self, Process};
use super::raw;
use super::stream::{Sent, What};
use bytes::Bytes;
use sandbox::{Room, Sandbox, Twin};
use scapkit_format::schema::id;
use scapkit_proto::{Call, Header, Message, Who};
use std::collections::BTreeMap;

/// Largest number of a sandbox: ids stay below 2^53, which JSON can hold.
const MAX_SERIAL: u32 = (1 << 20) - 1;
/// How long the end of a raw call is held for the message with strings, ns of the stream.
const HOLD: u64 = 100_000_000;
/// Most raw calls that are held, and were held a short time ago, in a sandbox.
const MAX_HOLDING: usize = 1 << 14;
/// Containers whose sandbox is remembered beyond its connection.
const MAX_KNOWN: usize = 1 << 16;
/// Longest id of a container that is remembered: they are names of files.
const MAX_ID: usize = 255;
/// Calls of which it is known whether they come with strings: processors have fewer.
const MAX_TWINS: usize = 1024;
/// Kinds of messages that are counted one by one.
const KINDS: usize = 64;

/// What was seen, and what could not be made into events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Connections.
    pub connections: u64,
    /// Sandboxes told apart.
    pub sandboxes: u64,
    /// Packets.
    pub packets: u64,
    /// Messages by kind.
    pub by_kind: [u64; KINDS],
    /// Messages of kinds that are not known here.
    pub unknown: u64,
    /// Packets that hold no message.
    pub malformed: u64,
    /// Messages that sandboxes could not send, as they told, and those that could not be kept here.
    pub lost: u64,
    /// Processes of a running sandbox that were listed and could not be read.
    pub unlisted: u64,
    /// Messages about processes without ids: the session does not ask for them.
    pub nameless: u64,
}

impl Default for Counts {
    fn default() -> Self {
        Counts {
            connections: 0,
            sandboxes: 0,
            packets: 0,
            by_kind: [0; KINDS],
            unknown: 0,
            malformed: 0,
            lost: 0,
            unlisted: 0,
            nameless: 0,
        }
    }
}

impl Counts {
    /// What could not be made into events, in words.
    pub fn sentences(&self) -> Vec<String> {
        let all = [
            (self.malformed, "packets hold no message"),
            (self.lost, "messages were lost, by sandboxes before they could be sent or here"),
            (self.unknown, "messages of kinds newer than this program"),
            (self.nameless, "messages about processes without ids: the session did not ask for thread_id"),
            (self.unlisted, "processes that `runsc trace procfs` listed could not be read"),
        ];
        all.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect()
    }

    /// Messages by the names of their kinds.
    pub fn by_name(&self) -> BTreeMap<&'static str, u64> {
        let named = |(kind, n): (u16, &u64)| Some((Message::name_of(kind)?, *n)).filter(|(_, n)| *n > 0);
        (0..).zip(&self.by_kind).filter_map(named).collect()
    }
}

/// A connection.
#[derive(Debug, Default)]
struct Connection {
    /// Number of its sandbox, once a message has come.
    serial: Option<u32>,
    /// What the last header said of lost messages.
    dropped: u32,
}

/// Makes events of what sandboxes send.
#[derive(Debug, Default)]
pub struct Mapper {
    connections: BTreeMap<u32, Connection>,
    /// Processes of sandboxes that were there before the capture, by their connections, until it begins.
    listed: Vec<(u32, Vec<Process>)>,
    /// The capture has begun.
    begun: bool,
    sandboxes: BTreeMap<u32, Sandbox>,
    /// Numbers of sandboxes by their containers.
    known: BTreeMap<Box<[u8]>, u32>,
    next: u32,
    room: Room,
    params: Params,
    counts: Counts,
}

/// A message being made into events.
struct Turn<'a> {
    sandbox: &'a mut Sandbox,
    room: &'a mut Room,
    params: &'a mut Params,
    counts: &'a mut Counts,
    out: &'a mut Events,
    /// Time of the message, ns since the epoch.
    ts: u64,
    context: Who<'a>,
}

impl Mapper {
    /// Adds the events of `sent` to `out`.
    pub fn take(&mut self, sent: &Sent, out: &mut Events) {
        match &sent.what {
            What::Opened => {
                self.counts.connections += 1;
                self.connections.insert(sent.connection, Connection::default());
            }
            What::Packet(packet) => self.packet(sent.connection, packet, out),
            What::Procfs(dump) => self.procfs(sent.connection, dump, out),
            What::Dropped(count) => self.dropped(sent.connection, *count, out),
            What::Closed => self.closed(sent.connection, out),
        }
    }

    /// Appends what a capture begins with for sandboxes that were there before it: process lists, as blocks. To be
    /// asked before any packet is taken.
    ///
    /// # Errors
    /// When a list does not fit a block.
    pub fn lists(&mut self, out: &mut Vec<u8>) -> crate::Result<()> {
        self.begun = true;
        for (connection, processes) in std::mem::take(&mut self.listed) {
            let serial = self.connections.get(&connection).and_then(|c| c.serial);
            let Some(sandbox) = serial.and_then(|serial| self.sandboxes.get(&serial)) else { continue };
            let containers =
                sandbox.containers.values().map(|c| (c.init.into(), String::from_utf8_lossy(&c.id).into_owned()));
            procfs::lists(&processes, sandbox.serial, &containers.collect(), out)?;
        }
        Ok(())
    }

    /// The processes of a sandbox that runs already: part of what the capture begins with, or, if it has begun,
    /// made known by events.
    fn procfs(&mut self, connection: u32, dump: &Bytes, out: &mut Events) {
        let (container, dump) = named(dump);
        let (processes, notes) = procfs::parse(dump);
        self.counts.unlisted += notes.bad;
        let context = Who { container_id: container, ..Who::default() };
        let serial = self.serial(connection, &context);
        let Some(sandbox) = self.sandboxes.get_mut(&serial) else { return };
        let begun = self.begun;
        let Mapper { room, params, counts, .. } = self;
        let ts = sandbox.last;
        Turn { sandbox, room, params, counts, out, ts, context }.listed(&processes, begun);
        if !begun {
            self.listed.push((connection, processes));
        }
    }

    /// What was seen so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    fn packet(&mut self, connection: u32, packet: &Bytes, out: &mut Events) {
        self.counts.packets += 1;
        let Some(header) = Header::parse(packet) else {
            self.counts.malformed += 1;
            return;
        };
        if let Some(count) = self.counts.by_kind.get_mut(usize::from(header.kind)) {
            *count += 1;
        }
        let start = usize::from(header.size);
        // Most messages are of a few kinds, or tell of beginnings of which the end tells more: no need for all of them.
        if let Some(ends_tell_all) = calls::is_plain(header.kind)
            && let Some(call) = packet.get(start..).and_then(Call::read)
            && (calls::is_common(header.kind) || (ends_tell_all && call.exit.is_none()))
        {
            self.turn(connection, header, &call.who, out, |turn| turn.common(header.kind, &call, ends_tell_all));
            return;
        }
        match Message::decode(header.kind, packet.slice(start..)) {
            Some(Ok(message)) => {
                let who = message.context().map(Who::from).unwrap_or_default();
                self.turn(connection, header, &who, out, |turn| turn.message(&message));
            }
            Some(Err(_)) => {
                self.counts.malformed += 1;
                self.turn(connection, header, &Who::default(), out, |_| {});
            }
            None => {
                self.counts.unknown += 1;
                self.turn(connection, header, &Who::default(), out, |_| {});
            }
        }
    }

    /// Makes events of one message, after those of what was lost before it.
    fn turn(
        &mut self,
        connection: u32,
        header: Header,
        context: &Who<'_>,
        out: &mut Events,
        each: impl FnOnce(&mut Turn<'_>),
    ) {
        let serial = self.serial(connection, context);
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let lost = header.dropped.wrapping_sub(state.dropped);
        state.dropped = header.dropped;
        let Some(sandbox) = self.sandboxes.get_mut(&serial) else { return };
        let ts = match u64::try_from(context.time_ns) {
            Ok(ts) if ts > 0 => ts,
            _ => sandbox.last,
        };
        sandbox.last = ts;
        let Mapper { room, params, counts, .. } = self;
        let mut turn = Turn { sandbox, room, params, counts, out, ts, context: *context };
        turn.tell_untold();
        if lost > 0 {
            turn.lost(lost);
        }
        each(&mut turn);
    }

    /// The number of the sandbox that a connection is of. A connection whose container is known already is a new
    /// session of the same sandbox.
    fn serial(&mut self, connection: u32, context: &Who<'_>) -> u32 {
        let known = self.connections.entry(connection).or_default().serial;
        let container = context.container_id;
        if let Some(serial) = known {
            if !container.is_empty() && !self.known.contains_key(container) {
                self.remember(container, serial);
            }
            return serial;
        }
        let again = self.known.get(container).copied().filter(|_| !container.is_empty());
        let serial = again.unwrap_or_else(|| self.number());
        if again.is_none() {
            self.counts.sandboxes += 1;
        }
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.serial = Some(serial);
        }
        self.sandboxes.entry(serial).or_insert_with(|| Sandbox::new(serial)).connections += 1;
        if !container.is_empty() {
            self.remember(container, serial);
        }
        serial
    }

    fn remember(&mut self, container: &[u8], serial: u32) {
        if container.len() > MAX_ID {
            return;
        }
        if self.known.len() >= MAX_KNOWN {
            let sandboxes = &self.sandboxes;
            self.known.retain(|_, serial| sandboxes.contains_key(serial));
        }
        if self.known.len() < MAX_KNOWN {
            self.known.insert(container.into(), serial);
        }
    }

    /// A number that no sandbox has.
    fn number(&mut self) -> u32 {
        loop {
            self.next = if self.next >= MAX_SERIAL { 1 } else { self.next + 1 };
            if !self.sandboxes.contains_key(&self.next) {
                return self.next;
            }
        }
    }

    /// Packets that came and could not be kept.
    fn dropped(&mut self, connection: u32, count: u32, out: &mut Events) {
        let serial = self.connections.get(&connection).and_then(|c| c.serial);
        let Some(sandbox) = serial.and_then(|serial| self.sandboxes.get_mut(&serial)) else {
            self.counts.lost += u64::from(count);
            return;
        };
        let Mapper { room, params, counts, .. } = self;
        let (ts, context) = (sandbox.last, Who::default());
        Turn { sandbox, room, params, counts, out, ts, context }.lost(count);
    }

    /// A connection has ended, and with the last one of a sandbox all its threads.
    fn closed(&mut self, connection: u32, out: &mut Events) {
        let Some(serial) = self.connections.remove(&connection).and_then(|c| c.serial) else { return };
        let Some(sandbox) = self.sandboxes.get_mut(&serial) else { return };
        sandbox.connections = sandbox.connections.saturating_sub(1);
        if sandbox.connections > 0 {
            return;
        }
        let Mapper { room, params, counts, .. } = self;
        let (ts, context) = (sandbox.last, Who::default());
        // One that never said anything has no time at which it could end.
        if ts > 0 {
            Turn { sandbox, room, params, counts, out, ts, context }.end();
        }
        if let Some(mut ended) = self.sandboxes.remove(&serial) {
            ended.end(&mut self.room);
        }
    }
}

/// A list of processes may begin with a line that names the sandbox's first container, `CONTAINER ID`.
fn named(dump: &[u8]) -> (&[u8], &[u8]) {
    let line = dump.strip_prefix(b"CONTAINER ").and_then(|rest| {
        let end = rest.iter().position(|b| *b == b'\n')?;
        rest.split_at_checked(end)
    });
    line.unwrap_or((b"", dump))
}

impl Turn<'_> {
    /// Messages that are not there: the sandbox could not send them, or they could not be kept.
    fn lost(&mut self, count: u32) {
        self.counts.lost += u64::from(count);
        self.params.clear().u32(count);
        self.out.add(self.ts, self.sandbox.tid(0), id::DROP_E, self.params);
    }

    fn message(&mut self, message: &Message) {
        let number = calls::number(message);
        let told = number.filter(|_| !matches!(message, Message::Syscall(_)));
        self.learn(told, message.kind());
        self.settle(told, calls::exit(message).is_some(), process::may_end_exec(message, self.sandbox.arch()));
        match message {
            Message::Start(m) => return self.container_start(m),
            Message::TaskExit(m) => return self.task_exit(m.exit_status),
            Message::ExitNotifyParentInfo(m) => return self.process_exit(m.exit_status),
            _ => {}
        }
        self.meet();
        match message {
            Message::CloneInfo(m) => self.cloned(m),
            Message::ExecveInfo(m) => self.loaded(m),
            Message::Syscall(m) => self.raw_call(m),
            _ => self.call(message),
        }
        self.follow(message);
    }

    /// A call that was read in place: one of a common kind, or a beginning. `ends_tell_all`: of beginnings no event
    /// tells.
    fn common(&mut self, kind: u16, call: &Call<'_>, ends_tell_all: bool) {
        self.learn(Some(call.sysno), kind);
        self.settle(Some(call.sysno), call.exit.is_some(), false);
        self.meet();
        if let Some((result, error)) = call.exit {
            self.common_ended(kind, call, calls::result(result, error));
        } else {
            if let Some(state) = self.sandbox.threads.get_mut(&self.context.thread_id) {
                state.call = call.sysno;
            }
            if !ends_tell_all {
                self.common_begun(call);
            }
        }
        self.follow_context(false, true);
    }

    /// What a message of a call tells of the sandbox: its processor, and that such calls come with strings.
    fn learn(&mut self, number: Option<u64>, kind: u16) {
        self.release_old();
        let Some(number) = number else { return };
        if self.sandbox.arch.is_none() {
            self.sandbox.arch = raw::arch_of(kind, number);
        }
        if self.sandbox.twins.get(&number) != Some(&Twin::Follows) && self.sandbox.twins.len() < MAX_TWINS {
            self.sandbox.twins.insert(number, Twin::Follows);
        }
    }

    /// Gives the raw calls that were held for longer than their other message takes.
    fn release_old(&mut self) {
        while let Some((ts, thread)) = self.sandbox.holding.front().copied() {
            let held = self.sandbox.threads.get(&thread).and_then(|t| t.held).filter(|held| held.ts == ts);
            // Times are the sandbox's: one of the far future would wait for ever.
            let waits = ts.abs_diff(self.ts) < HOLD && self.sandbox.holding.len() <= MAX_HOLDING;
            if held.is_some() && waits {
                break;
            }
            self.sandbox.holding.pop_front();
            if held.is_some() {
                self.give_held(thread);
            }
        }
    }

    /// Before a thread's next message: what waited for it is given, unless the message is what it waited for.
    /// `number`: of a call that comes with strings; `ended`: the message tells of its end; `may_exec`: it may be of the
    /// same call as a `sentry/execve` before it.
    fn settle(&mut self, number: Option<u64>, ended: bool, may_exec: bool) {
        let thread = self.context.thread_id;
        let Some(state) = self.sandbox.threads.get_mut(&thread) else { return };
        let loaded = state.loaded.is_some();
        if let Some(held) = state.held {
            if self.sandbox.holding.back() == Some(&(held.ts, thread)) {
                self.sandbox.holding.pop_back();
            }
            if ended && number == Some(held.number) {
                state.held = None;
            } else {
                self.sandbox.twins.entry(held.number).or_insert(Twin::Alone);
                self.give_held(thread);
            }
        }
        if loaded && !may_exec {
            self.exec_alone(thread);
        }
    }

    /// Gives the raw call that is held for a thread.
    fn give_held(&mut self, thread: i32) {
        let Some(held) = self.sandbox.threads.get_mut(&thread).and_then(|t| t.held.take()) else { return };
        let now = std::mem::replace(&mut self.ts, held.ts);
        self.raw_event(thread, &held);
        self.ts = now;
    }
}
