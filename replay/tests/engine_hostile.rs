//! Whatever the events say: no panic, and no more memory than allowed.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

mod world;

use proptest::prelude::*;
use scapkit_format::schema::id;
use scapkit_format::synth::Params;
use scapkit_replay::engine::{Engine, EngineLimits};
use world::World;
use world::draws::{draws, run};

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
