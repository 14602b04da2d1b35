//! The start of a recording: what was found on the machine, and what happened while it was looked for.
//!
//! Processes are looked at one after another while they go on. The events of that time were kept, so the state
//! is brought to one moment, the end of the search (OS state section 5):
//!
//! ```text
//!            t1      t2                end
//! ───────────┤process├───────────────── ┤──────> recorded
//!  contained │  both │ only in events   │
//! ```
//! * Before `t1` an event is contained in what was found; only ends of threads and new threads that were not
//!   found count.
//! * Between `t1` and `t2` it may be or not. It is applied: what it sets is set again, what it closes is closed.
//!   A file that was found open with the inode that the event tells of keeps the name that was found: that one
//!   does not depend on a working directory of later.
//! * After `t2`, and in threads that were not found, events are applied as always.
//!
//! A thread id can be that of one thread in the events and of another in what was found. The end of a thread
//! before `t1` is that of an earlier one, if the one found was started later; else that of a zombie.

use super::block::{self, Head};
use super::select::play_blocks;
use crate::Result;
use scapkit_format::schema::{self, id};
use scapkit_format::value::{Value, decode_param};
use scapkit_format::{Content, Event};
use scapkit_replay::{Player, ReplayOptions};
use std::collections::{BTreeMap, BTreeSet};

/// When a process was looked at. Times are ns since the epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    /// Before the first of it was read.
    pub from: u64,
    /// After the last of it was read.
    pub to: u64,
    /// When it was started, as far as that is known; 0 when not.
    pub born: u64,
}

/// An event that came while the machine was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffered {
    /// Processor.
    pub cpu: u16,
    /// The event in V2 form.
    pub bytes: Vec<u8>,
}

/// The start of the recording.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Blocks that it begins with: the state at the end of the search.
    pub lists: Vec<u8>,
    /// Index of the first buffered event that is to be recorded: those from there on came after the end.
    pub later: usize,
    /// Threads that had events but were neither found nor seen to be started, in ascending order. They are in
    /// the state as far as their events tell. To know more, look at them, add what is found to the lists and
    /// scans, and reconcile again.
    pub unseen: Vec<i64>,
}

/// Brings what was found to the moment `end`, ns since the epoch. `lists`: section header, machine, interfaces,
/// users, threads, fds, and events about containers, as blocks. `scans`: by id of the process (its leader's) or
/// of a thread. `buffered`: in time order, as a source gives them.
///
/// # Errors
/// When the state cannot be written.
pub fn reconcile(lists: &[u8], scans: &BTreeMap<i64, Scan>, buffered: &[Buffered], end: u64) -> Result<Reconciled> {
    let mut player = Player::new(ReplayOptions::default());
    play_blocks(&mut player, lists);
    let events: Vec<Option<(Head, Event<'_>)>> = buffered.iter().map(parse).collect();
    let is_later = |event: &Option<(Head, Event<'_>)>| event.is_some_and(|(head, _)| head.ts > end);
    let later = events.iter().position(is_later).unwrap_or(events.len());
    let births = births(&events);
    let mut known: BTreeSet<i64> = BTreeSet::new();
    let mut unseen = BTreeSet::new();
    for (_, event) in events.iter().take(later).flatten() {
        let tid = event.tid;
        if let Some((child, _)) = child_of(event) {
            known.insert(child);
        }
        if tid > 0 && !known.contains(&tid) && player.engine().thread(tid).is_none() {
            unseen.insert(tid);
        }
        known.insert(tid);
        if applies(event, &player, scans, &births) {
            player.play(&Content::Event(*event));
        }
    }
    // Threads that are gone need not be looked for.
    unseen.retain(|tid| player.engine().thread(*tid).is_some());
    Ok(Reconciled { lists: player.export()?, later, unseen: unseen.into_iter().collect() })
}

fn parse(buffered: &Buffered) -> Option<(Head, Event<'_>)> {
    let head = block::head(&buffered.bytes)?;
    Some((head, Event::parse_v2(&buffered.bytes, buffered.cpu, 0).ok()?))
}

/// Times at which threads were started, by thread, ascending.
fn births(events: &[Option<(Head, Event<'_>)>]) -> BTreeMap<i64, Vec<u64>> {
    let mut births: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for (_, event) in events.iter().flatten() {
        if let Some((child, _)) = child_of(event) {
            births.entry(child).or_default().push(event.ts);
        }
    }
    births
}

/// The thread that the event says was started, and whether it is the one that tells.
fn child_of(event: &Event<'_>) -> Option<(i64, bool)> {
    let clones = [id::SYSCALL_CLONE_20_X, id::SYSCALL_CLONE3_X, id::SYSCALL_FORK_20_X, id::SYSCALL_VFORK_20_X];
    if !clones.contains(&event.event_type) {
        return None;
    }
    match i64::from_le_bytes(*event.param(0)?.first_chunk()?) {
        0 => Some((event.tid, true)),
        child if child > 0 => Some((child, false)),
        _ => None,
    }
}

/// When a thread was looked at: by itself, or with its process.
fn scan_of(tid: i64, player: &Player, scans: &BTreeMap<i64, Scan>) -> Option<Scan> {
    let of_process = || scans.get(&player.engine().thread(tid)?.pid);
    scans.get(&tid).or_else(of_process).copied()
}

/// Whether an event says something that the state does not contain yet.
fn applies(event: &Event<'_>, player: &Player, scans: &BTreeMap<i64, Scan>, births: &BTreeMap<i64, Vec<u64>>) -> bool {
    let ts = event.ts;
    if let Some((child, itself)) = child_of(event) {
        let Some(scan) = scan_of(child, player, scans) else {
            // It was not found: nothing else tells of it. Its own event needs no creator that is known.
            return true;
        };
        // Found before it was started: that was another of the same id.
        if itself || scan.to < ts {
            return scan.to < ts;
        }
        return false;
    }
    let Some(scan) = scan_of(event.tid, player, scans) else { return true };
    if event.event_type == id::PROCEXIT_1_E {
        // The one that was found is a later one.
        let reborn = |b: &Vec<u64>| b.iter().any(|t| *t > ts && *t <= scan.to);
        let of_earlier = scan.born > ts || births.get(&event.tid).is_some_and(reborn);
        return !(of_earlier && ts < scan.to);
    }
    if ts < scan.from {
        return false;
    }
    ts > scan.to || !was_found_open(event, player)
}

/// Whether the fd that the event says was opened was found with the same inode.
fn was_found_open(event: &Event<'_>, player: &Player) -> bool {
    let Some(info) = schema::event_info(event.event_type).filter(|i| i.flags.creates_fd()) else { return false };
    let number = |name: &str| {
        let index = info.param_index(name)?;
        let bytes = event.param(index).filter(|b| !b.is_empty())?;
        match decode_param(info.params.get(index)?, bytes) {
            Value::Unsigned(n) => Some(n),
            Value::Signed(n) => u64::try_from(n).ok(),
            _ => None,
        }
    };
    let Some((ino, dev)) = number("ino").zip(number("dev")) else { return false };
    let fd = number("fd").or_else(|| number("res")).and_then(|n| i64::try_from(n).ok());
    let found = fd.and_then(|fd| player.engine().fd(event.tid, fd));
    found.is_some_and(|fd| fd.ino == ino && u64::from(fd.dev) == dev && !fd.name.is_empty())
}
