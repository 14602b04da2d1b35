//! Any bytes as the state of a checkpoint: no panic, bounded memory; a state that is taken is written again as
//! one that is taken, with the same bytes, and events can be played on it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Item, Limits};
use scapkit_replay::engine::EngineLimits;
use scapkit_replay::{Checkpoint, Player, ReplayOptions};

fn options() -> ReplayOptions {
    let limits = EngineLimits { max_threads: 1000, max_fds_per_thread: 100, max_state_bytes: 4 << 20 };
    ReplayOptions { limits, latency: true, ..ReplayOptions::default() }
}

fn events() -> Vec<u8> {
    let mut synth = Synth::new();
    for tid in [1, 2, 7, 4035] {
        synth.event(9, tid, id::SYSCALL_OPEN_X, &Params::new().i64(3).str("a").u32(0).u32(0).u32(0).u64(0));
        synth.event(9, tid, id::SYSCALL_EXECVE_19_X, &Params::new().i64(0).str("b"));
        synth.event(9, tid, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
        synth.event(9, tid, id::PROCEXIT_1_E, &Params::new().i64(0).i64(0).u8(0).u8(0).i64(1));
    }
    synth.finish()
}

fuzz_target!(|state: &[u8]| {
    let Ok(mut player) = Player::resume(options(), &Checkpoint { number: 1, first_ts: 1, state: state.to_vec() }) else {
        return;
    };
    let first = player.checkpoint();
    let again = Player::resume(options(), &first).expect("what was written is read");
    assert_eq!(again.checkpoint(), first);
    assert_eq!(again.engine().counters(), player.engine().counters());
    player.export().expect("it can be written");
    let mut capture = Capture::from_bytes(events(), "events", Limits::default());
    while let Ok(Some(item)) = capture.next() {
        if let Item::Block(_, content) = item {
            let _ = player.play(&content);
        }
    }
    let _ = player.checkpoint();
});
