//! Programs that are not to be seen.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod world;

use scapkit_format::lists::threads::Thread;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Limits};
use scapkit_replay::{Played, Replay, ReplayOptions, View};
use world::init;

fn listed(tid: i64, ptid: i64, comm: &'static [u8]) -> Thread<'static> {
    Thread { tid, pid: tid, ptid, comm, ..init() }
}

/// A list with a suppressed process (20) and its children, one of them in a loop.
fn machine() -> Synth {
    let mut s = Synth::new();
    s.section();
    s.threads(
        9,
        &[
            init(),
            listed(20, 1, b"cron"),
            listed(21, 20, b"sh"),
            listed(22, 21, b"ls"),
            listed(30, 1, b"sh"),
            listed(40, 41, b"sh"),
            listed(41, 40, b"sh"),
            listed(42, 42, b"cron"),
        ],
    );
    s
}

fn close(s: &mut Synth, tid: i64) {
    s.event(1_000, tid, id::SYSCALL_CLOSE_E, &Params::new().i64(9));
    s.event(1_000, tid, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(9));
}

fn start(s: &mut Synth, event_type: u16, res: i64, tid: i64, ptid: i64, comm: &str) {
    let p = Params::new().i64(res).str("exe").bytes(b"").i64(tid).i64(tid).i64(ptid).str("").i64(9).u64(0).u64(0);
    let p = p.u32(0).u32(0).u32(0).str(comm).bytes(b"").u32(0).u32(0).u32(0).i64(tid).i64(tid).u64(0);
    s.event(1_000, tid, event_type, &p);
}

/// Number, thread and type of what is seen, and how many events were held back.
fn seen(s: &Synth, view: View, names: &[&str]) -> (Vec<(u64, i64, &'static str)>, u64, Replay) {
    let capture = Capture::from_bytes(s.finish(), "synthetic", Limits::default());
    let suppress = names.iter().map(|&n| n.to_owned()).collect();
    let mut replay = Replay::new(capture, ReplayOptions { view, suppress, ..ReplayOptions::default() });
    let mut out = Vec::new();
    while let Some(played) = replay.next().unwrap() {
        if let Played::Event(step) = played {
            out.push((step.number, step.event.tid, step.info.name));
        }
    }
    let held = replay.suppressed();
    (out, held, replay)
}

#[test]
fn of_the_list() {
    let mut s = machine();
    for tid in [1, 20, 21, 22, 30, 40, 41, 42, 99, 0] {
        close(&mut s, tid);
    }
    let (events, held, _) = seen(&s, View::Current, &["cron", "nothing"]);
    assert_eq!(
        events.iter().map(|(n, tid, _)| (*n, *tid)).collect::<Vec<_>>(),
        [(1, 1), (2, 30), (3, 40), (4, 41), (5, 99), (6, 0)]
    );
    assert_eq!(held, 8, "enter events too");
    // Both halves of what is seen are numbered in the recorded view.
    let (events, held, _) = seen(&s, View::Recorded, &["cron"]);
    assert_eq!((events.len(), events.last().unwrap().0, held), (12, 12, 8));
    let (events, held, _) = seen(&s, View::Current, &[]);
    assert_eq!((events.len(), held), (10, 0));
}

#[test]
fn of_programs_that_start() {
    let mut s = machine();
    start(&mut s, id::SYSCALL_EXECVE_19_X, 0, 30, 1, "cron"); // becomes one
    close(&mut s, 30);
    start(&mut s, id::SYSCALL_CLONE_20_X, 0, 31, 30, "other"); // its child
    close(&mut s, 31);
    start(&mut s, id::SYSCALL_EXECVE_19_X, 0, 30, 1, "sh"); // its new name is seen, what it does is not
    close(&mut s, 30);
    s.event(1_000, 31, id::PROCEXIT_1_E, &Params::new().i64(0)); // seen, and the number is free again
    close(&mut s, 31);
    let (events, held, replay) = seen(&s, View::Current, &["cron"]);
    assert_eq!(events, [(1, 30, "execve"), (2, 31, "procexit"), (3, 31, "close")]);
    assert_eq!(held, 8);
    assert_eq!(&*replay.engine().thread(30).unwrap().comm, b"sh");
    // A section has its own threads.
    let mut two = machine();
    close(&mut two, 20);
    let mut other = Synth::new();
    other.section().threads(9, &[init(), listed(20, 1, b"sh")]);
    close(&mut other, 20);
    two.raw(&other.finish());
    assert_eq!(seen(&two, View::Current, &["cron"]).0, [(1, 20, "close")]);
}

#[test]
fn a_long_chain_of_parents() {
    let mut s = Synth::new();
    let chain: Vec<Thread<'_>> =
        (0..100_000).map(|n| listed(10 + n, 9 + n, if n == 0 { b"cron" } else { b"sh" })).collect();
    s.section().threads(9, &chain);
    close(&mut s, 100_009);
    close(&mut s, 7);
    assert_eq!(seen(&s, View::Current, &["cron"]).0, [(1, 7, "close")]);
}
