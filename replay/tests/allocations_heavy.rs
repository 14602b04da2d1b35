//! Real events that change no table of the state cost no allocation, whatever came before them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

mod counting;

use counting::allocations;
use scapkit_format::schema::EventInfo;
use scapkit_format::{Capture, Item, Limits};
use scapkit_replay::{
    DEFAULT_JSON, DEFAULT_LINE, Dialect, Format, Played, Player, ReplayOptions, Step, TextOptions, View,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Calls that change no table of the state: what most of a capture is.
fn is_common(info: &EventInfo) -> bool {
    let name = info.name;
    ["read", "write", "pread", "pwrite", "readv", "writev", "lseek", "stat", "lstat", "fstat", "newfstatat", "statx"]
        .contains(&name)
        || ["access", "faccessat", "readlink", "readlinkat", "getdents64", "futex", "poll", "ppoll"].contains(&name)
        || ["mmap", "munmap", "mprotect", "brk", "switch", "ioctl", "epoll_wait", "getcwd"].contains(&name)
}

/// Events that come first, in which buffers find their size.
const WARM: u64 = 200_000;

/// What may be done with each event beside replaying it.
type Work<'w> = &'w mut dyn FnMut(&Step<'_>);

/// Plays a capture and gives the allocations of each common call after the first `warm` events:
/// events, events that allocated, allocations.
fn play(mut capture: Capture, view: View, warm: u64, work: Work<'_>) -> BTreeMap<&'static str, [u64; 3]> {
    let mut player = Player::new(ReplayOptions { view, ..ReplayOptions::default() });
    let (mut seen, mut totals, mut deferred) = (0, BTreeMap::new(), false);
    while let Some(item) = capture.next().unwrap() {
        let Item::Block(_, content) = item else { continue };
        let mut info = None;
        // The reader's own buffers are not what is looked at: a compressed capture takes new ones.
        let made = allocations(|| {
            if let Played::Event(step) = player.play(&content) {
                info = Some(step.info);
                work(&step);
            }
        });
        let Some(info) = info else { continue };
        seen += 1;
        // Exited threads and closed fds go when the next event comes, whatever that is. An exit is noted
        // then; a table that is shared since a fork is copied.
        let after = std::mem::replace(&mut deferred, matches!(info.name, "procexit" | "close"));
        if seen > warm && is_common(info) && !after {
            let [events, allocating, all] = totals.entry(info.name).or_insert([0; 3]);
            *events += 1;
            *allocating += u64::from(made > 0);
            *all += made;
        }
    }
    totals
}

/// Asserts that no common call allocated, and that there were such.
fn assert_none(what: &str, totals: &BTreeMap<&'static str, [u64; 3]>) {
    let events: u64 = totals.values().map(|t| t[0]).sum();
    assert!(events > 1000, "{what}: only {events} common events");
    let bad: Vec<_> = totals.iter().filter(|(_, t)| t[2] > 0).collect();
    assert!(bad.is_empty(), "{what}: allocations (name, [events, events that allocated, allocations]): {bad:?}");
}

/// The capture of a busy machine, if the shared folder is there.
fn heavy() -> Option<Capture> {
    let shared = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let path = shared.join("captures/heavy_2026.scap.zst");
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return None;
    }
    Some(Capture::open(&path, Limits::default()).unwrap())
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(9)))), 1);
    assert_eq!(allocations(|| ()), 0);
}

#[test]
fn common_events_of_a_busy_machine_allocate_nothing() {
    for (view, dialect) in [(View::Recorded, Dialect::Sysdig), (View::Current, Dialect::Libs)] {
        let Some(opened) = heavy() else { return };
        assert_none(&format!("state, {view:?}"), &play(opened, view, WARM, &mut |_| {}));

        let options = TextOptions::new(dialect);
        let line = Format::compile(DEFAULT_LINE).unwrap();
        let json = Format::compile(DEFAULT_JSON).unwrap();
        let mut out = Vec::with_capacity(4 << 20);
        let mut print = |step: &Step<'_>| {
            let context = step.context(step.event.ts, &options);
            out.clear();
            line.line(&context, &mut out);
            json.json(&context, &mut out);
        };
        assert_none(&format!("text and JSON, {view:?}"), &play(heavy().unwrap(), view, WARM, &mut print));
    }
}
