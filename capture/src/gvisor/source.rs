//! Sandboxes as a source of events.

use super::map::{Counts, Events, Mapper};
use super::runsc::{Done, Runsc};
use super::sink::{Sink, SinkCounters};
use super::start_of;
use super::stream::{Sent, What, Writer};
use crate::source::{Counters, Origin, Source};
use crate::{Error, Result};
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Events that are made before they are given away.
const AT_ONCE: usize = 4096;
/// How long a session that was begun may take to connect.
const CONNECTING: Duration = Duration::from_secs(5);

/// Gives the events of the sandboxes that connect to a sink.
pub struct Gvisor {
    sink: Sink,
    mapper: Mapper,
    /// The raw stream, kept beside the events.
    raw: Option<Writer>,
    /// What came before the recording began.
    early: Vec<Sent>,
    /// What `runsc trace procfs` said of sandboxes, by their connections.
    dumps: BTreeMap<u32, Bytes>,
    /// The same of the first to connect, which is yet to come.
    first: Option<Bytes>,
    /// That was told, and so was the connection.
    expected: bool,
    /// Made; those before `next` were given.
    events: Events,
    next: usize,
    given: u64,
    /// Time of the last event given, and events that were older than one before.
    last: u64,
    late: u64,
    started: bool,
}

impl Gvisor {
    /// Of what comes to `sink`; `raw` gets the packets. `dump`: what `runsc trace procfs` said of the sandbox that
    /// will be the first to connect.
    pub fn new(sink: Sink, raw: Option<Writer>, dump: Option<Vec<u8>>) -> Gvisor {
        Gvisor {
            sink,
            mapper: Mapper::default(),
            raw,
            early: Vec::new(),
            dumps: BTreeMap::new(),
            first: dump.map(Bytes::from),
            expected: false,
            events: Events::default(),
            next: 0,
            given: 0,
            last: 0,
            late: 0,
            started: false,
        }
    }

    /// Begins a session of the sandbox whose first container is `id`, in place of one that it has, and asks for its
    /// processes, with which the recording begins. Before [`Gvisor::lists`].
    ///
    /// # Errors
    /// When runsc cannot begin the session, or the sandbox does not connect.
    pub fn attach(&mut self, runsc: &Runsc, id: &str, config: &Value) -> Result<Done> {
        let next = self.sink.peers().last().map_or(0, |peer| peer.connection.saturating_add(1));
        let done = runsc.create(id, config, true)?;
        if done != Done::Yes {
            return Ok(done);
        }
        let began = Instant::now();
        let connection = loop {
            if let Some(peer) = self.sink.peers().iter().find(|peer| peer.connection >= next) {
                break peer.connection;
            }
            if began.elapsed() > CONNECTING {
                return Err(Error::Option(format!("sandbox {id}: its session did not connect")));
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let dump = runsc.procfs(id)?;
        self.dumps.insert(connection, [b"CONTAINER ", id.as_bytes(), b"\n", &dump].concat().into());
        let opened = |sent: &Sent| sent.connection == connection && sent.what == What::Opened;
        while !self.early.iter().any(opened) && began.elapsed() < CONNECTING.saturating_mul(2) {
            let early = &mut self.early;
            self.sink.poll(&mut |sent| {
                early.push(sent);
                ControlFlow::Continue(())
            })?;
        }
        Ok(done)
    }

    /// What a recording begins with, as blocks: section header, and the processes of sandboxes that were attached.
    /// Before anything was given.
    ///
    /// # Errors
    /// When the raw stream cannot be written.
    pub fn lists(&mut self) -> Result<Vec<u8>> {
        // Connections and lists of processes first: a capture has its lists before its events.
        let (first, packets): (Vec<Sent>, Vec<Sent>) =
            std::mem::take(&mut self.early).into_iter().partition(|s| matches!(s.what, What::Opened | What::Procfs(_)));
        if let Some(dump) = self.first.take() {
            // The list is of the time before the connection, and so is what the recording begins with.
            self.take(&Sent { connection: 0, what: What::Opened })?;
            self.take(&Sent { connection: 0, what: What::Procfs(dump) })?;
            self.expected = true;
        }
        for sent in first {
            self.take(&sent)?;
        }
        let mut lists = Vec::new();
        start_of(&mut self.mapper, &mut lists)?;
        for sent in packets {
            self.take(&sent)?;
        }
        Ok(lists)
    }

    /// What was seen of messages, and what could not be made into events.
    pub fn counts(&self) -> &Counts {
        self.mapper.counts()
    }

    /// What was seen of packets, and what was lost here.
    pub fn sink(&self) -> SinkCounters {
        self.sink.counters()
    }

    fn take(&mut self, sent: &Sent) -> Result<()> {
        let Gvisor { mapper, raw, dumps, expected, events, .. } = self;
        let mut to = To { mapper, raw: raw.as_mut(), dumps, expected, events };
        to.take(sent)
    }

    /// Gives the events that were made.
    fn give(&mut self, each: &mut dyn FnMut(Origin, &[u8]) -> ControlFlow<()>) -> (u64, ControlFlow<()>) {
        let mut count = 0;
        for (origin, event) in self.events.iter().skip(self.next) {
            let ts = event.first_chunk().map_or(0, |ts| u64::from_le_bytes(*ts));
            self.late += u64::from(ts < self.last);
            self.last = self.last.max(ts);
            count += 1;
            if each(origin, event).is_break() {
                self.next = self.next.saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
                self.given += count;
                return (count, ControlFlow::Break(()));
            }
        }
        self.events.clear();
        self.next = 0;
        self.given += count;
        (count, ControlFlow::Continue(()))
    }
}

/// Where goes what sandboxes send.
struct To<'a> {
    mapper: &'a mut Mapper,
    raw: Option<&'a mut Writer>,
    dumps: &'a mut BTreeMap<u32, Bytes>,
    expected: &'a mut bool,
    events: &'a mut Events,
}

impl To<'_> {
    fn take(&mut self, sent: &Sent) -> Result<()> {
        if sent.what == What::Opened && sent.connection == 0 && std::mem::take(self.expected) {
            return Ok(());
        }
        let dump = if sent.what == What::Opened { self.dumps.remove(&sent.connection) } else { None };
        let dump = dump.map(|dump| Sent { connection: sent.connection, what: What::Procfs(dump) });
        for sent in [Some(sent), dump.as_ref()].into_iter().flatten() {
            if let Some(raw) = &mut self.raw {
                raw.sent(sent)?;
            }
            self.mapper.take(sent, self.events);
        }
        Ok(())
    }
}

impl Source for Gvisor {
    fn drain(&mut self, each: &mut dyn FnMut(Origin, &[u8]) -> ControlFlow<()>) -> Result<u64> {
        if !self.started {
            return Ok(0);
        }
        let mut count = 0;
        loop {
            let (given, flow) = self.give(each);
            count += given;
            if flow.is_break() {
                return Ok(count);
            }
            let Gvisor { sink, mapper, raw, dumps, expected, events, .. } = self;
            let mut to = To { mapper, raw: raw.as_mut(), dumps, expected, events };
            let mut failed = None;
            let polled = sink.poll(&mut |sent| {
                if let Err(e) = to.take(&sent) {
                    failed = Some(e);
                }
                let enough = failed.is_some() || to.events.len() >= AT_ONCE;
                if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if let Some(e) = failed {
                return Err(e);
            }
            if polled == 0 && self.events.is_empty() {
                if let Some(raw) = &mut self.raw {
                    raw.flush()?;
                }
                return Ok(count);
            }
        }
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(2)
    }

    fn start(&mut self) -> Result<()> {
        self.started = true;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.sink.stop();
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.sink.is_over() && self.events.is_empty()
    }

    fn counters(&self) -> Result<Counters> {
        let (sink, counts) = (self.sink.counters(), self.mapper.counts());
        Ok(Counters {
            // What sandboxes told of; what was dropped here is among it as soon as its turn comes.
            seen: counts.packets.saturating_add(counts.lost),
            drops_buffer: counts.lost,
            drops_size: sink.oversized,
            drops_other: sink.malformed.saturating_add(counts.malformed),
            given: self.given,
            late: self.late,
            ..Counters::default()
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.sink.notes();
        notes.extend(self.mapper.counts().sentences());
        notes
    }
}
