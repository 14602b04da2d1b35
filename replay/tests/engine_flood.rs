//! Captures made to be slow or large: memory stays below its bound, what is not kept is counted, and the time
//! grows with the number of events. Bounds on time are generous: quadratic work would take minutes or hours.
#![allow(
    clippy::duration_suboptimal_units,
    clippy::large_stack_arrays,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing
)]

mod world;

use scapkit_format::lists::threads::Thread as ListedThread;
use scapkit_format::schema::{self, ParamType, id};
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Content, Event, EventHead, Item, Limits};
use scapkit_replay::engine::{Engine, EngineLimits};
use scapkit_replay::{Dialect, Format, Played, Replay, ReplayOptions, TextOptions, View};
use std::time::{Duration, Instant};
use world::{World, parts};

/// Far more than any of these takes, far less than the slow way would.
const PATIENCE: Duration = Duration::from_secs(60);

const CLONE_THREAD: u32 = 1 << 13;
const MAIN_THREAD: u32 = 1 << 30;

#[track_caller]
fn in_time(started: Instant) {
    let took = started.elapsed();
    println!("{took:?}");
    assert!(took < PATIENCE, "{took:?}");
}

/// Parameters of an event type prepared once, so that events cost little to make.
struct Made {
    event_type: u16,
    lens: Vec<u8>,
    data: Vec<u8>,
    wide: bool,
}

impl Made {
    fn new(event_type: u16, params: &Params) -> Made {
        let (lens, data, wide) = parts(event_type, params);
        Made { event_type, lens, data, wide }
    }

    fn apply(&self, w: &mut World, tid: i64) {
        w.ts += 1;
        let head = EventHead { ts: w.ts, tid, event_type: self.event_type, ..EventHead::default() };
        w.engine.apply(&Event::from_parts(head, self.wide, &self.lens, &self.data));
    }
}

/// Exit of a clone in the child.
fn born(pid: i64, ptid: i64, tid: i64, flags: u32) -> Params {
    let start = Params::new().i64(0).str("x").bytes(b"").i64(tid).i64(pid).i64(ptid).str("").i64(0);
    let start = start.u64(0).u64(0).u32(0).u32(0).u32(0).str("x").bytes(b"").u32(flags).u32(0).u32(0);
    start.i64(tid).i64(pid).u64(0)
}

fn gone(reaper: i64) -> Params {
    Params::new().i64(0).i64(0).u8(0).u8(0).i64(reaper)
}

#[test]
fn a_million_unknown_threads() {
    let started = Instant::now();
    let mut w = World::new();
    let read = Made::new(id::SYSCALL_READ_X, &Params::new().i64(1).bytes(b"x").i64(3).u32(1));
    for tid in 2..1_000_002 {
        read.apply(&mut w, tid);
    }
    let (counters, kept) = (w.engine.counters(), w.engine.threads().count() as u64);
    let limits = EngineLimits::default();
    assert!((50_000..=limits.max_threads as u64).contains(&kept), "{kept}");
    assert_eq!(counters.threads_refused, 1_000_000 - (kept - 1));
    assert!(counters.state_bytes <= limits.max_state_bytes as u64);
    in_time(started);
}

#[test]
fn a_million_fds_in_one_thread() {
    let started = Instant::now();
    let mut w = World::new();
    for fd in 0..1_000_000 {
        let open = Params::new().i64(fd).str("/a").u32(0).u32(0).u32(0).u64(0);
        w.event(1, id::SYSCALL_OPEN_X, &open);
    }
    assert_eq!(w.engine.fds(1).count(), 4096);
    assert_eq!(w.engine.counters().fds_refused, 1_000_000 - 4096);
    in_time(started);
}

/// A family that only grows: what costs time is done once for each.
#[test]
fn exits_in_a_normal_tree_are_all_handled() {
    let mut w = World::new();
    for round in 0..100i64 {
        let shell = 1000 + round * 1000;
        w.event(shell, id::SYSCALL_CLONE_20_X, &born(shell, 1, shell, 0));
        for child in shell + 1..shell + 500 {
            w.event(child, id::SYSCALL_CLONE_20_X, &born(child, shell, child, 0));
        }
        w.event(shell, id::PROCEXIT_1_E, &gone(0));
        w.tick();
        assert!((shell + 1..shell + 500).all(|tid| w.thread(tid).ptid == 1), "round {round}");
    }
    assert_eq!(w.engine.counters().family_refused, 0);
}

/// Every exit hands all children on to the next process, which then exits.
#[test]
fn orphans_that_are_moved_again_and_again() {
    let started = Instant::now();
    let mut w = World::new();
    let (children, rounds) = (60_000, 60_000);
    w.event(2, id::SYSCALL_CLONE_20_X, &born(2, 1, 2, 0));
    for tid in 1_000_000..1_000_000 + children {
        w.event(tid, id::SYSCALL_CLONE_20_X, &born(tid, 2, tid, 0));
    }
    for n in 2..2 + rounds {
        w.event(n + 1, id::SYSCALL_CLONE_20_X, &born(n + 1, 1, n + 1, 0));
        w.event(n, id::PROCEXIT_1_E, &gone(n + 1));
    }
    w.tick();
    let counters = w.engine.counters();
    assert!(counters.family_refused > 0);
    // Those that found no parent have none; no more are handed on than the events allow.
    let handed_on = w.engine.threads().filter(|t| t.tid >= 1_000_000 && t.ptid != 0).count();
    assert!(handed_on < 1000, "{handed_on}");
    in_time(started);
}

/// A process of many dead threads that all look like leaders; the one that exits has a child each time.
#[test]
fn many_dead_leaders_of_one_process() {
    let started = Instant::now();
    let mut w = World::new();
    w.event(2, id::SYSCALL_CLONE_20_X, &born(2, 1, 2, 0));
    for tid in 10_000..60_000 {
        w.event(tid, id::SYSCALL_CLONE_20_X, &born(2, 1, tid, CLONE_THREAD | MAIN_THREAD));
        w.event(tid, id::PROCEXIT_1_E, &gone(0));
    }
    for n in 0..60_000 {
        let (tid, child) = (200_000 + n, 300_000 + n);
        w.event(tid, id::SYSCALL_CLONE_20_X, &born(2, 1, tid, CLONE_THREAD));
        w.event(child, id::SYSCALL_CLONE_20_X, &born(child, tid, child, 0));
        w.event(tid, id::PROCEXIT_1_E, &gone(0));
    }
    in_time(started);
}

/// A chain of processes far longer than any real one, without anybody who takes orphans.
#[test]
fn a_long_line_of_ancestors() {
    let started = Instant::now();
    let mut w = World::new();
    let flags = 1 << 29; // in a pid namespace: init of the machine does not take them
    for tid in 2..60_000 {
        w.event(tid, id::SYSCALL_CLONE_20_X, &born(tid, tid - 1, tid, flags));
    }
    for n in 0..50_000 {
        let (tid, child) = (100_000 + 2 * n, 100_001 + 2 * n);
        w.event(tid, id::SYSCALL_CLONE_20_X, &born(tid, 59_999, tid, flags));
        w.event(child, id::SYSCALL_CLONE_20_X, &born(child, tid, child, flags));
        w.event(tid, id::PROCEXIT_1_E, &gone(0));
        w.event(child, id::PROCEXIT_1_E, &gone(0));
    }
    in_time(started);
}

/// Lists that come one thread at a time between events.
#[test]
fn lists_between_events() {
    let started = Instant::now();
    let mut s = Synth::new();
    s.section();
    for tid in 1..100_000 {
        s.threads(9, &[ListedThread { tid, pid: tid, ptid: tid - 1, comm: b"x", ..ListedThread::default() }]);
        s.event(u64::try_from(tid).unwrap(), tid, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    }
    let mut engine = Engine::default();
    let mut capture = Capture::from_bytes(s.finish(), "lists", Limits::default());
    while let Some(item) = capture.next().unwrap() {
        match item {
            Item::Block(_, Content::Event(event)) => drop(engine.apply(&event)),
            Item::Block(_, content) => engine.content(&content),
            Item::Skipped { .. } => {}
        }
    }
    assert_eq!(engine.threads().count(), 99_999);
    assert!(engine.threads().skip(1).all(|t| t.ptid == t.tid - 1));
    in_time(started);
}

/// Threads that are each other's parents, in the list and by events: all ancestors are asked for.
#[test]
fn parents_in_a_circle() {
    let started = Instant::now();
    let mut s = Synth::new();
    s.section();
    let mut threads = Vec::new();
    for (first, n) in [(10, 1i64), (20, 2), (100, 100), (10_000, 2_000)] {
        for i in 0..n {
            let (tid, ptid) = (first + i, first + (i + 1) % n);
            threads.push(ListedThread {
                tid,
                pid: tid,
                ptid,
                sid: tid,
                comm: b"x",
                exe: b"x",
                ..ListedThread::default()
            });
        }
    }
    for chunk in threads.chunks(10_000) {
        s.threads(9, chunk);
    }
    for (ts, t) in (1..).zip(&threads) {
        s.event(ts * 10, t.tid, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
        s.event(ts * 10 + 1, t.ptid, id::PROCEXIT_1_E, &gone(t.tid));
    }
    let bytes = s.finish();
    let format =
        Format::compile("*%proc.pname %proc.aname[7] %proc.aname %proc.acmdline[3] %proc.loginshellid %proc.sname")
            .unwrap();
    for view in [View::Recorded, View::Current] {
        let capture = Capture::from_bytes(bytes.clone(), "circle", Limits::default());
        let mut replay = Replay::new(capture, ReplayOptions { view, ..ReplayOptions::default() });
        let options = TextOptions::new(Dialect::Libs);
        let mut out = Vec::new();
        while let Some(played) = replay.next().unwrap() {
            if let Played::Event(step) = played {
                out.clear();
                format.line(&step.context(0, &options), &mut out);
                format.json(&step.context(0, &options), &mut out);
                assert!(out.len() < 3 << 20);
            }
        }
    }
    in_time(started);
}

/// Hundreds of ancestors, each with long arguments: text of all of them stays short of what the memory holds.
#[test]
fn ancestors_with_long_arguments() {
    let started = Instant::now();
    let mut s = Synth::new();
    s.section();
    let args = [b'x'; 60_000];
    for tid in 1..500 {
        let t = ListedThread { tid, pid: tid, ptid: tid - 1, comm: b"x", args: &args, ..ListedThread::default() };
        s.threads(9, &[t]);
    }
    for n in 0..20 {
        s.event(n, 499, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    }
    let format =
        Format::compile("*%proc.aargs %proc.acmdline %proc.aname[18446744073709551615] %proc.aname[5]").unwrap();
    let capture = Capture::from_bytes(s.finish(), "long", Limits::default());
    let mut replay = Replay::new(capture, ReplayOptions::default());
    let options = TextOptions::new(Dialect::Libs);
    let mut events = 0;
    while let Some(played) = replay.next().unwrap() {
        if let Played::Event(step) = played {
            let mut out = Vec::new();
            format.json(&step.context(0, &options), &mut out);
            assert!((1 << 20..3 << 20).contains(&out.len()), "{}", out.len());
            events += 1;
        }
    }
    assert_eq!(events, 20);
    in_time(started);
}

/// Every event with numbers at the limits wherever a number may stand, and exits whose enters never came.
#[test]
fn numbers_at_the_limits() {
    let numbers = [i64::MIN, i64::MIN + 1, -100, -1, 0, 1, 4095, i64::from(i32::MAX), i64::from(u32::MAX), i64::MAX];
    let mut w = World::new();
    for tid in [1, i64::MIN, -1, 0, i64::MAX] {
        for info in &schema::EVENTS {
            for (at, n) in numbers.iter().enumerate() {
                let mut params = Params::new();
                for (i, p) in info.params.iter().enumerate() {
                    // The result is sometimes a success, so that what follows it counts.
                    let n = if i == 0 && at % 2 == 0 { 0 } else { *n };
                    let bytes = match (p.kind.fixed_size(), p.kind) {
                        (Some(size), _) => n.to_le_bytes().iter().cycle().take(size).copied().collect(),
                        (None, ParamType::FdList) => [&2u16.to_le_bytes()[..], &n.to_le_bytes(), &[1, 0]].concat(),
                        (None, _) => b"/a\0".to_vec(),
                    };
                    params = params.bytes(&bytes);
                }
                w.event(tid, info.id, &params);
            }
        }
    }
    assert!(w.engine.threads().all(|t| w.engine.fds(t.tid).all(|(n, _)| n >= 0)));
    assert!(w.engine.counters().state_bytes < 10 << 20);
}

/// Events were lost: fds and threads appear from nowhere, and some go without a word.
#[test]
fn after_drops() {
    let mut w = World::new();
    for n in 0..10_000i64 {
        w.event(1, id::DROP_E, &Params::new().u32(1));
        let tid = 2 + n % 50;
        match n % 4 {
            0 => w.event(tid, id::SYSCALL_READ_X, &Params::new().i64(1).bytes(b"x").i64(n).u32(1)),
            1 => w.event(tid, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(n)),
            2 => w.event(tid, id::PROCEXIT_1_E, &gone(n)),
            _ => w.event(tid, id::SYSCALL_DUP_1_X, &Params::new().i64(n + 1).i64(n)),
        };
        w.event(1, id::DROP_X, &Params::new().u32(1));
    }
    assert!(w.engine.threads().count() <= 51);
    assert_eq!(w.engine.threads().map(|t| w.engine.fds(t.tid).count()).max(), Some(1));
}
