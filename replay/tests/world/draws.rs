//! Events at random, of few threads and values, so that things meet.
#![allow(dead_code, clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use super::parts;
use proptest::prelude::*;
use scapkit_format::schema::{ParamType, id};
use scapkit_format::synth::Params;
use scapkit_format::{Event, EventHead, schema};
use scapkit_replay::engine::Engine;

/// A parameter that fits its type more often than not, of few values, so that things meet.
fn param(kind: ParamType, choice: u8, small: i64, junk: &[u8]) -> Vec<u8> {
    let tuple: [u8; 13] = [2, 1, 1, 1, small.to_le_bytes()[0] & 3, 80, 0, 2, 2, 2, 2, 53, 0];
    match (choice, kind.fixed_size()) {
        (0, _) => Vec::new(),
        (1, _) => junk.to_vec(),
        (_, Some(size)) => (0..size).map(|i| small.to_le_bytes()[i % 8]).collect(),
        (_, None) => match kind {
            ParamType::SockTuple => tuple.to_vec(),
            ParamType::SockAddr => tuple[..7].to_vec(),
            _ => format!("/p{small}/../q\0").into_bytes(),
        },
    }
}

pub type Draw = (usize, i64, u64, u32, Vec<(u8, i64, Vec<u8>)>);

/// Calls `f` with each event and the number that says how it came.
pub fn each(draws: &[Draw], mut f: impl FnMut(&Event<'_>, u64)) {
    let mut ts = 0u64;
    for (which, tid, step, clone_flags, draws) in draws {
        let info = &schema::EVENTS[which % schema::EVENTS.len()];
        ts = ts.wrapping_add(*step);
        let mut params = Params::new();
        for (i, p) in info.params.iter().enumerate() {
            let (choice, small, junk) = &draws[i % draws.len()];
            let bytes = if p.name == "flags" && *choice > 1 && p.kind == ParamType::Flags32 {
                clone_flags.to_le_bytes().to_vec()
            } else {
                param(p.kind, *choice, *small, junk)
            };
            params = params.bytes(&bytes);
        }
        let (lens, data, wide) = parts(info.id, &params);
        let head = EventHead { ts, tid: *tid, event_type: info.id, ..EventHead::default() };
        let event = Event::from_parts(head, wide, &lens, &data);
        f(&event, *step);
    }
}

pub fn run(engine: &mut Engine, draws: &[Draw]) {
    each(draws, |event, step| {
        let bound = if step % 7 == 0 { engine.observe(event) } else { engine.apply(event) };
        let fd = bound.fd.and_then(|fd| engine.fd(event.tid, fd));
        let _ = (engine.cwd(bound.tid), engine.main_thread(bound.tid), fd);
    });
}

pub fn draws() -> impl Strategy<Value = Vec<Draw>> {
    let states = [
        id::SYSCALL_CLONE_20_X,
        id::SYSCALL_CLONE_20_X,
        id::SYSCALL_EXECVE_19_X,
        id::PROCEXIT_1_E,
        id::PROCEXIT_1_E,
        id::SYSCALL_CLOSE_X,
        id::SYSCALL_OPEN_X,
        id::SOCKET_SENDTO_X,
    ];
    let which =
        prop_oneof![0usize..schema::EVENTS.len(), proptest::sample::select(states.to_vec()).prop_map(usize::from),];
    let flags = prop_oneof![Just(0u32), Just(1 << 13), Just(1 << 29), Just(1 << 8), any::<u32>()];
    let small = prop_oneof![0i64..9, -3i64..3, any::<i64>()];
    let one = (0u8..6, small, proptest::collection::vec(any::<u8>(), 0..12));
    let event = (which, 0i64..9, 0u64..100, flags, proptest::collection::vec(one, 1..32));
    proptest::collection::vec(event, 1..120)
}
