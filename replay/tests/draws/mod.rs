//! Random events, most of which could be real, of few threads and values, so that things meet.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::world;
use proptest::prelude::*;
use scapkit_format::lists::interfaces::{Address, Interface};
use scapkit_format::lists::threads::Thread;
use scapkit_format::schema::{self, EventInfo, ParamType, id};
use scapkit_format::synth::{Params, Synth};

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

/// Which type, thread, time since the last event, flags of a clone, parameters.
pub type Draw = (usize, i64, u64, u32, Vec<(u8, i64, Vec<u8>)>);

/// Type and parameters of a drawn event.
pub fn event((which, _, _, clone_flags, draws): &Draw) -> (&'static EventInfo, Params) {
    let info = &schema::EVENTS[which % schema::EVENTS.len()];
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
    (info, params)
}

/// A capture of drawn events, behind lists of a few threads.
pub fn capture(draws: &[Draw]) -> Vec<u8> {
    let mut synth = Synth::new();
    let child = Thread { tid: 4, pid: 4, ptid: 1, comm: b"child", args: b"a\0b\0", ..world::init() };
    let v4 = Address::V4 { address: [1; 4], netmask: [255, 0, 0, 0], broadcast: [1, 255, 255, 255] };
    let interface = Interface { address: v4, linkspeed: None, name: b"eth0", extra: &[] };
    synth.section().machine("host", 2, 5).interfaces(2, &[interface]).threads(9, &[world::init(), child]);
    let mut ts = 1_700_000_000_000_000_000u64;
    for draw in draws {
        let (info, params) = event(draw);
        ts += draw.2;
        // Old events have fewer parameters.
        let keep = if draw.2 % 5 == 0 { params.slices().len() / 2 } else { usize::MAX };
        let params = params.slices().iter().take(keep).fold(Params::new(), |all, p| all.bytes(p));
        synth.event(ts, draw.1, info.id, &params);
    }
    synth.finish()
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
