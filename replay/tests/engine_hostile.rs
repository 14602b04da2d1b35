//! Whatever the events say: no panic, and no more memory than allowed.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod draws;
mod world;

use draws::{Draw, draws, event};
use proptest::prelude::*;
use scapkit_format::schema::id;
use scapkit_format::synth::Params;
use scapkit_format::{Event, EventHead};
use scapkit_replay::engine::{Engine, EngineLimits};
use world::{World, parts};

fn run(engine: &mut Engine, draws: &[Draw]) {
    let mut ts = 0u64;
    for draw in draws {
        let (_, tid, step, ..) = draw;
        ts = ts.wrapping_add(*step);
        let (info, params) = event(draw);
        let (lens, data, wide) = parts(info.id, &params);
        let head = EventHead { ts, tid: *tid, event_type: info.id, ..EventHead::default() };
        let event = Event::from_parts(head, wide, &lens, &data);
        let bound = if step % 7 == 0 { engine.observe(&event) } else { engine.apply(&event) };
        let _ = (engine.cwd(bound.tid), engine.main_thread(bound.tid), bound.fd.and_then(|fd| engine.fd(*tid, fd)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_events(draws in draws()) {
        let mut w = World::new();
        run(&mut w.engine, &draws);
        // The groups' counts are those of the threads.
        for t in w.engine.threads().filter(|t| t.is_main() && !t.is_dead() && !t.is_invalid()) {
            prop_assert!(w.engine.main_thread(t.tid).is_some());
        }
    }

    #[test]
    fn the_same_twice(draws in draws()) {
        let (mut a, mut b) = (World::new(), World::new());
        run(&mut a.engine, &draws);
        run(&mut b.engine, &draws);
        let all = |w: &World| w.engine.threads().map(|t| format!("{t:?} {:?}", w.engine.fds(t.tid).collect::<Vec<_>>())).collect::<Vec<_>>();
        prop_assert_eq!(all(&a), all(&b));
        prop_assert_eq!(a.engine.counters(), b.engine.counters());
    }

    #[test]
    fn small_budgets(draws in draws(), max_threads in 0usize..4, max_fds in 0usize..3, bytes in 0usize..20_000) {
        let limits = EngineLimits { max_threads, max_fds_per_thread: max_fds, max_state_bytes: bytes };
        let mut engine = Engine::new(&limits);
        run(&mut engine, &draws);
        prop_assert!(engine.counters().state_bytes <= bytes as u64);
        prop_assert!(engine.threads().count() <= max_threads);
        for t in engine.threads() {
            prop_assert!(engine.fds(t.tid).count() <= max_fds);
        }
    }
}

#[test]
fn floods_are_refused_and_counted() {
    let limits = EngineLimits { max_threads: 2000, max_fds_per_thread: 10, max_state_bytes: 1 << 20 };
    let mut w = World::new();
    w.engine = Engine::new(&limits);
    for (n, uid) in (0..5000i64).zip(0u32..) {
        let open = Params::new().i64(n % 50).str(&format!("/{}", "x".repeat(900))).u32(0).u32(0).u32(0).u64(0);
        w.event(n, id::SYSCALL_OPEN_X, &open);
        w.event(-1, id::USER_ADDED_E, &Params::new().u32(uid).u32(0).str("u").str("/h").str("/s").str("c"));
    }
    let counters = w.engine.counters();
    let threads = w.engine.threads().count();
    assert!((100..2000).contains(&threads), "{threads}");
    assert_eq!(counters.threads_refused, 5000 - threads as u64);
    assert!(counters.state_bytes <= 1 << 20);
    assert!(counters.memory_refused >= counters.threads_refused);
}

/// Threads, files, directories and names come and go: the account of memory does not grow.
#[test]
fn memory_is_given_back() {
    let mut w = World::new();
    let fill = "x".repeat(200);
    let mut used = Vec::new();
    for round in 0..60 {
        for tid in 100..400i64 {
            let path = |what: &str| format!("/{what}{fill}/{round}/{tid}");
            let p = Params::new().i64(tid).str(&path("exe")).bytes(b"").i64(1).i64(1).i64(0).str("").i64(0);
            let cgroups = format!("cpu=/docker/{:064x}\0", round * 1000 + tid);
            let p = p
                .u64(0)
                .u64(0)
                .u32(0)
                .u32(0)
                .u32(0)
                .empty()
                .bytes(cgroups.as_bytes())
                .u32(0)
                .u32(0)
                .u32(0)
                .i64(1)
                .i64(1);
            w.event(1, id::SYSCALL_CLONE_20_X, &p.u64(0));
        }
        for tid in 100..400i64 {
            let path = |what: &str| format!("/{what}{fill}/{round}/{tid}");
            for fd in 3..6 {
                let open = Params::new().i64(fd).str(&path("file")).u32(0).u32(0).u32(0).u64(0);
                w.event(tid, id::SYSCALL_OPEN_X, &open);
            }
            w.event(tid, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(4));
            w.event(tid, id::SYSCALL_CLOSE_RANGE_X, &Params::new().i64(0).u32(5).u32(5).u32(0));
            w.event(tid, id::SYSCALL_CHDIR_X, &Params::new().i64(0).str(&path("dir")));
            w.event(1, id::SYSCALL_CHDIR_X, &Params::new().i64(0).str(&path("dir")));
            w.event(1, id::SOCKET_SOCKET_X, &Params::new().i64(9).u32(1).u32(1).u32(0).u32(0));
            let tuple = [&[1][..], &[0; 16], path("socket").as_bytes(), &[0]].concat();
            w.event(1, id::SOCKET_CONNECT_X, &Params::new().i64(0).bytes(&tuple).i64(9).empty());
        }
        for tid in 100..400i64 {
            w.event(tid, id::PROCEXIT_1_E, &Params::new().i64(0).i64(0).u8(0).u8(0).i64(0));
        }
        w.tick();
        w.ts += 10 * world::SECOND;
        assert_eq!(w.engine.threads().count(), 1, "round {round}");
        used.push(w.engine.counters().state_bytes);
    }
    // What stays are the recently used strings, at most 4096 of up to 250 bytes.
    assert!(used[59] < used[29] + 100_000, "{} {}", used[29], used[59]);
    assert!(used[59] < 2_000_000, "{}", used[59]);
}

fn exit_params() -> Params {
    Params::new().i64(0).i64(0).u8(0).u8(0).i64(0)
}

/// Far more than any of these tests takes, also on a busy machine; what takes the square of the input takes
/// hours.
const LONG: std::time::Duration = std::time::Duration::from_secs(100);

#[test]
fn a_million_threads_in_lists() {
    let start = std::time::Instant::now();
    let mut synth = scapkit_format::synth::Synth::new();
    synth.section();
    let thread = |tid| scapkit_format::lists::threads::Thread { tid, pid: tid, ptid: tid - 1, ..world::init() };
    let threads: Vec<_> = (1..=1_000_000).map(thread).collect();
    for some in threads.chunks(50_000) {
        synth.threads(9, some);
    }
    let mut w = World::of(&synth);
    w.tick();
    let counters = w.engine.counters();
    let threads = w.engine.threads().count() as u64;
    assert!((50_000..=262_144).contains(&threads), "{threads}");
    assert_eq!(counters.threads_refused, 1_000_000 - threads);
    assert!(start.elapsed() < LONG);
}

/// Numbers at the limits, in every event that makes or takes an fd.
#[test]
fn fd_numbers_at_the_limits() {
    let mut w = World::new();
    let limits = [i64::MIN, i64::MIN + 1, -101, -100, -1, 0, i64::from(i32::MAX), i64::from(u32::MAX), i64::MAX];
    for number in limits {
        for info in &scapkit_format::schema::EVENTS {
            let params = info.params.iter().fold(Params::new(), |all, p| match p.kind.fixed_size() {
                Some(8) => all.i64(number),
                Some(size) => all.bytes(&number.to_le_bytes()[..size.min(8)]),
                None => all.bytes(b"/x\0"),
            });
            w.event(1, info.id, &params);
            w.event(2, info.id, &params);
        }
        for event_type in [id::SYSCALL_OPEN_X, id::SYSCALL_DUP2_X, id::SYSCALL_PIPE_X, id::SOCKET_SOCKET_X] {
            w.event(1, event_type, &Params::new().i64(number).i64(number).i64(number).u64(1).u32(1));
        }
    }
    for tid in [1, 2] {
        assert!(w.engine.fds(tid).all(|(number, _)| number >= 0));
    }
    let listed = |fd| scapkit_format::lists::fds::Fd {
        fd,
        ino: 0,
        kind: scapkit_format::lists::fds::FdType::FILE,
        info: scapkit_format::lists::fds::FdInfo::Name(b"/x"),
        extra: &[],
    };
    let mut synth = scapkit_format::synth::Synth::new();
    synth.section().threads(9, &[world::init()]).fds(2, 1, &limits.map(listed));
    let w = World::of(&synth);
    assert_eq!(
        w.engine.fds(1).map(|(n, _)| n).collect::<Vec<_>>(),
        [0, i64::from(i32::MAX), i64::from(u32::MAX), i64::MAX]
    );
}

/// Each is the parent of the other, or of itself.
#[test]
fn families_in_circles() {
    let thread = |tid, ptid| scapkit_format::lists::threads::Thread { tid, pid: tid, ptid, ..world::init() };
    let ring: Vec<_> = (10..5010).map(|tid| thread(tid, if tid == 10 { 5009 } else { tid - 1 })).collect();
    let mut synth = scapkit_format::synth::Synth::new();
    synth.section().threads(9, &[thread(2, 3), thread(3, 2), thread(4, 4)]).threads(9, &ring);
    let mut w = World::of(&synth);
    for tid in [2, 4, 10, 3, 11, 12] {
        w.event(tid, id::PROCEXIT_1_E, &exit_params());
        w.tick();
    }
    for tid in 13..5010 {
        w.event(tid, id::PROCEXIT_1_E, &exit_params());
    }
    w.tick();
    assert_eq!(w.tids(), [1]);
}

#[test]
fn exits_without_enters() {
    let mut w = World::new();
    for info in scapkit_format::schema::EVENTS.iter().filter(|i| !i.is_enter()) {
        for fill in [0u8, 1, 0x7F, 0xFF] {
            let params = info
                .params
                .iter()
                .fold(Params::new(), |all, p| all.bytes(&vec![fill; p.kind.fixed_size().unwrap_or(9)]));
            w.event(1, info.id, &params);
            w.event(1, info.id, &Params::new());
        }
    }
    assert!(w.engine.export(0).unwrap().len() > 100);
}
