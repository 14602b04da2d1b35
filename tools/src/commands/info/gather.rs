//! Collects what `info` shows, in one pass.

use super::writer::Traits;
use crate::open;
use crate::progress::Progress;
use anyhow::Result;
use scapkit_capture::gvisor::reader::Report;
use scapkit_format::lists::users::Account;
use scapkit_format::schema::id;
use scapkit_format::{Capture, Compression, Content, Event, Item};
use scapkit_replay::{Engine, Player, ReplayOptions};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The facts of a file: the object of `info --json`.
#[derive(Debug, Default, Serialize)]
pub struct Facts {
    pub file: String,
    /// Length of the file; null for pipes.
    pub stored_bytes: Option<u64>,
    /// Length of the plain capture.
    pub plain_bytes: u64,
    /// `none`, `gzip` or `zstd`.
    pub compression: &'static str,
    /// Format versions of the sections.
    pub versions: Vec<String>,
    pub sections: u64,
    pub blocks: u64,
    pub writer: String,
    pub machines: Vec<Machine>,
    /// First and last time of an event, ns since the epoch.
    pub time: Option<(u64, u64)>,
    pub events: Events,
    pub threads: Threads,
    pub lists: Lists,
    /// Hash of the plain capture.
    pub blake3_plain: String,
    pub damage_count: u64,
    pub damages: Vec<Finding>,
    /// Of streams of gVisor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<Stream>,
    /// With `--full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
}

#[derive(Debug, Serialize)]
pub struct Machine {
    pub host: String,
    pub cpus: u32,
    pub memory_bytes: u64,
    /// ns since the epoch, 0 unknown.
    pub boot_ts: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct Events {
    pub count: u64,
    pub enters: u64,
    pub exits: u64,
    pub state_only: u64,
    pub large: u64,
    /// Events of types newer than this program.
    pub unknown_types: u64,
    /// Drop events: the driver was sampling.
    pub drop_marks: u64,
    /// Messages that sandboxes of gVisor could not send.
    pub lost: u64,
    pub by_type: Vec<Count>,
    pub by_category: Vec<Count>,
}

#[derive(Debug, Default, Serialize)]
pub struct Threads {
    pub with_events: u64,
    pub listed: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct Lists {
    pub fds: u64,
    pub interfaces: u64,
    pub users: u64,
    pub groups: u64,
}

#[derive(Debug, Serialize)]
pub struct Count {
    pub name: String,
    pub count: u64,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    pub offset: u64,
    /// Whether the offset counts stored (compressed) bytes.
    pub stored: bool,
    pub code: &'static str,
    pub text: String,
}

/// The state after the last event.
#[derive(Debug, Default, Serialize)]
pub struct State {
    pub processes: u64,
    pub threads: u64,
    pub fds: u64,
    /// What the engine's limits kept out.
    pub not_kept: NotKept,
    /// Processes by name.
    pub by_name: Vec<Count>,
}

/// A stream of gVisor that the capture is made of.
#[derive(Debug, Default, Serialize)]
pub struct Stream {
    pub connections: u64,
    pub sandboxes: u64,
    pub messages: u64,
    /// Messages that sandboxes could not send.
    pub lost: u64,
    pub by_kind: Vec<Count>,
    /// What is wrong with it, and what could not be made into events.
    pub notes: Vec<String>,
}

impl Stream {
    fn of(report: &Report) -> Stream {
        let c = &report.counts;
        Stream {
            connections: c.connections,
            sandboxes: c.sandboxes,
            messages: c.packets,
            lost: c.lost,
            by_kind: sorted(c.by_name()),
            notes: report.sentences(),
        }
    }
}

/// What the state engine saw and did not keep, because no machine has so much.
#[derive(Debug, Default, Serialize)]
pub struct NotKept {
    pub threads: u64,
    pub fds: u64,
    /// Requests for memory of all kinds, those for threads and fds included.
    pub memory: u64,
    /// Steps not made to find new parents for orphans.
    pub family: u64,
}

/// Most threads told apart; a hostile capture may name billions.
const MAX_TIDS: usize = 1 << 20;

struct Gather {
    facts: Facts,
    by_type: Vec<u64>,
    tids: BTreeSet<i64>,
    last_tid: Option<i64>,
    traits: Traits,
    hash: blake3::Hasher,
    /// With `--full`.
    player: Option<Player>,
}

pub fn gather(mut capture: Capture, stream: &open::Stream, file: &Path, full: bool) -> Result<Facts> {
    let mut g = Gather {
        facts: Facts { file: file.display().to_string(), ..Facts::default() },
        by_type: vec![0; scapkit_format::schema::EVENTS.len()],
        tids: BTreeSet::new(),
        last_tid: None,
        traits: Traits::default(),
        hash: blake3::Hasher::new(),
        player: full.then(|| Player::new(ReplayOptions::default())),
    };
    let mut progress = Progress::new(false);
    loop {
        if g.facts.blocks.is_multiple_of(4096) {
            progress.update(&capture);
        }
        let Some(item) = capture.next()? else { break };
        g.item(&item);
    }
    progress.finish();
    g.finish(&capture);
    g.facts.stream = stream.report().as_ref().map(Stream::of);
    Ok(g.facts)
}

impl Gather {
    fn item(&mut self, item: &Item<'_>) {
        let (block, content) = match item {
            Item::Skipped { bytes, .. } => {
                self.hash.update(bytes);
                return;
            }
            Item::Block(block, content) => (block, content),
        };
        self.hash.update(block.bytes());
        self.traits.block(block, content);
        if let Some(player) = &mut self.player {
            player.play(content);
        }
        let f = &mut self.facts;
        f.blocks += 1;
        match content {
            Content::Section(header) => {
                f.sections += 1;
                let version = format!("{}.{}", header.major.get(), header.minor.get());
                if !f.versions.contains(&version) && f.versions.len() < 16 {
                    f.versions.push(version);
                }
            }
            Content::Machine(m) if f.machines.len() < 16 => f.machines.push(Machine {
                host: String::from_utf8_lossy(m.host()).into_owned(),
                cpus: m.num_cpus.get(),
                memory_bytes: m.memory_size_bytes.get(),
                boot_ts: m.boot_ts_epoch.get(),
            }),
            Content::Threads(list) => f.threads.listed += list.clone().flatten().count() as u64,
            Content::Fds(list) => f.lists.fds += list.clone().flatten().count() as u64,
            Content::Interfaces(list) => f.lists.interfaces += list.clone().flatten().count() as u64,
            Content::Users(list) => {
                for account in list.clone().flatten() {
                    match account {
                        Account::User { .. } => f.lists.users += 1,
                        Account::Group { .. } => f.lists.groups += 1,
                    }
                }
            }
            Content::Event(event) => self.event(event),
            _ => {}
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        let f = &mut self.facts;
        f.events.count += 1;
        if event.is_enter() {
            f.events.enters += 1;
        } else {
            f.events.exits += 1;
        }
        f.events.state_only += u64::from(event.is_state_only());
        f.events.large += u64::from(event.is_wide());
        if matches!(event.event_type, id::DROP_E | id::DROP_X) {
            f.events.drop_marks += 1;
            // A sandbox says how many messages were lost, drivers how much they leave out.
            if event.tid >= 1 << 32 {
                let lost = event.param(0).map_or(0, scapkit_format::value::unsigned);
                f.events.lost = f.events.lost.saturating_add(lost);
            }
        }
        match self.by_type.get_mut(usize::from(event.event_type)) {
            Some(n) => *n += 1,
            None => f.events.unknown_types += 1,
        }
        f.time = Some(f.time.map_or((event.ts, event.ts), |(a, b)| (a.min(event.ts), b.max(event.ts))));
        // An event without a thread of its own: of a sandbox.
        let is_thread = event.tid >= 0 && (event.tid == 0 || event.tid & 0xFFFF_FFFF != 0);
        if self.last_tid != Some(event.tid) && is_thread && self.tids.len() < MAX_TIDS {
            self.tids.insert(event.tid);
            self.last_tid = Some(event.tid);
        }
    }

    fn finish(&mut self, capture: &Capture) {
        let (mut types, mut categories) = (BTreeMap::new(), BTreeMap::new());
        for (info, n) in scapkit_format::schema::EVENTS.iter().zip(&self.by_type) {
            if *n > 0 {
                *types.entry(info.name).or_insert(0) += n;
                *categories.entry(info.category.name()).or_insert(0) += n;
            }
        }
        let f = &mut self.facts;
        f.events.by_type = sorted(types);
        f.events.by_category = sorted(categories);
        f.threads.with_events = self.tids.len() as u64;
        f.plain_bytes = capture.offset();
        f.stored_bytes = capture.progress().1;
        f.compression = match capture.compression() {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        };
        f.writer = self.traits.guess();
        f.blake3_plain = self.hash.finalize().to_hex().to_string();
        f.state = self.player.as_ref().map(|p| state(p.engine()));
        let damages = capture.damages();
        f.damage_count = damages.count;
        f.damages = damages
            .list
            .iter()
            .take(100)
            .map(|d| Finding { offset: d.offset, stored: d.in_stored_bytes(), code: d.code(), text: d.to_string() })
            .collect();
    }
}

/// The state as numbers.
fn state(engine: &Engine) -> State {
    let (mut state, mut names) = (State::default(), BTreeMap::new());
    for thread in engine.threads() {
        state.threads += 1;
        // Threads of a process share one table; a table is counted where its process is.
        if thread.tid == thread.pid {
            state.processes += 1;
            state.fds += engine.fd_count(thread.tid) as u64;
            *names.entry(String::from_utf8_lossy(&thread.comm).into_owned()).or_insert(0) += 1;
        }
    }
    let c = engine.counters();
    state.not_kept =
        NotKept { threads: c.threads_refused, fds: c.fds_refused, memory: c.memory_refused, family: c.family_refused };
    state.by_name = sorted(names);
    state
}

/// Counts, largest first, equal ones by name.
fn sorted<S: AsRef<str>>(counts: BTreeMap<S, u64>) -> Vec<Count> {
    let mut list: Vec<Count> =
        counts.into_iter().map(|(name, count)| Count { name: name.as_ref().to_owned(), count }).collect();
    list.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    list
}
