//! What happens all the time costs no allocation: reading, writing, looking at files, changing threads.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]

mod counting;

use counting::so_far;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Limits};
use scapkit_replay::{
    DEFAULT_JSON, DEFAULT_LINE, Dialect, Filter, Format, Interest, Played, Replay, ReplayOptions, TextOptions, View,
};

const ROUNDS: i64 = 2000;
/// Events of a round.
const CALLS: usize = 6;

/// Threads that open a file and a socket each, and then do the same over and over.
fn busy() -> Vec<u8> {
    let mut s = Synth::new();
    s.section().machine("m", 2, 0);
    let mut ts = 1_700_000_000_000_000_000;
    let mut event = |s: &mut Synth, tid: i64, event_type: u16, params: &Params| {
        ts += 1_000;
        s.event(ts, tid, event_type, params);
    };
    let tids = 100..104;
    for tid in tids.clone() {
        let opened = Params::new().i64(3).i64(-100).str("/srv/data").u32(1).u32(0).u32(0x801).u64(7);
        event(&mut s, tid, id::SYSCALL_OPENAT_2_X, &opened);
        event(&mut s, tid, id::SOCKET_SOCKET_X, &Params::new().i64(4).u32(2).u32(1).u32(0));
    }
    for round in 0..ROUNDS {
        let tid = 100 + round % 4;
        let data = Params::new().i64(5).bytes(b"a\x00b\"\xff").i64(3 + round % 2).u32(4096);
        let memory = Params::new().i64(tid).u64(1).u64(round.cast_unsigned()).u32(90_112).u32(20_000).u32(0);
        let status = Params::new().i64(0).i64(-100).str("/etc/passwd").u32(0);
        event(&mut s, tid, id::SYSCALL_READ_X, &data);
        event(&mut s, tid, id::SYSCALL_WRITE_X, &data);
        event(&mut s, tid, id::SYSCALL_NEWFSTATAT_X, &status);
        event(&mut s, tid, id::SCHEDSWITCH_6_E, &memory);
        event(&mut s, tid, id::PAGE_FAULT_E, &Params::new().u64(1).u64(2).u32(3));
        event(&mut s, tid, id::SYSCALL_LSEEK_X, &Params::new().i64(0).i64(3).u64(1).u8(1));
    }
    s.finish()
}

/// Allocations while the second half of the capture is replayed.
fn count(options: ReplayOptions, formats: &[(Format, bool)], skips: bool) -> u64 {
    count_filtered(options, formats, skips, None)
}

fn count_filtered(
    options: ReplayOptions,
    formats: &[(Format, bool)],
    skips: bool,
    mut filter: Option<(Filter, bool)>,
) -> u64 {
    let text = TextOptions::new(if options.view == View::Current { Dialect::Libs } else { Dialect::Sysdig });
    let mut replay = Replay::new(Capture::from_bytes(busy(), "busy", Limits::default()), options);
    let mut out = Vec::with_capacity(1 << 20);
    let (mut blocks, mut before) = (0usize, 0);
    while let Some(played) = replay.next().unwrap() {
        blocks += 1;
        if blocks == if skips { 1 } else { 100 } {
            before = so_far();
        }
        if let Played::Event(step) = played {
            out.clear();
            let context = step.context(step.event.ts, &text);
            for (format, json) in formats {
                if *json {
                    format.json(&context, &mut out);
                } else {
                    format.line(&context, &mut out);
                }
            }
            assert!(formats.is_empty() || out.len() > 20);
            if let Some((filter, matches)) = &mut filter {
                *matches |= filter.matches(&context);
            }
        }
        if !skips && blocks == 100 + CALLS * 1000 {
            return so_far() - before;
        }
    }
    assert!(skips);
    assert!(replay.engine().counters().events > 10_000);
    so_far() - before
}

/// Conditions of every kind.
const FILTERS: [&str; 12] = [
    "fd.name contains zzzz",
    "fd.name glob *.log or fd.name regex '/srv/[a-z]*x'",
    "evt.type in (read, write) and proc.name != cat",
    "proc.aname = sshd or proc.acmdline contains bash",
    "evt.arg.data contains zzzz or evt.buffer bcontains ff00ff",
    "toupper(fd.name) = /SRV/X or basename(fd.name) in (a, b, c, d, e, f, g, h)",
    "join(':', (proc.name, fd.num)) = x:1 or concat(fd.name, fd.directory) startswith zz",
    "len(fd.name) > 100 or b64(fd.name) = x",
    "fd.types intersects (unix, pipe)",
    "fd.ip = 1.2.3.4 or fd.port in (80, 443) or fd.net = 10.0.0.0/8",
    "proc.cmdline icontains ZZZ or fd.name pmatch (/etc, /usr/*/x)",
    "fd.name contains anyof (aaa, bbb, ccc) or fd.directory = val(fd.name)",
];

#[test]
fn steady_state_allocates_nothing() {
    let line = Format::compile(DEFAULT_LINE).unwrap();
    let object = Format::compile(DEFAULT_JSON).unwrap();
    for view in [View::Recorded, View::Current] {
        let options = |interest| ReplayOptions { view, interest, ..ReplayOptions::default() };
        assert_eq!(count(options(Interest::default()), &[], false), 0, "{view:?}: state");
        assert_eq!(count(options(Interest::default()), &[(line.clone(), false)], false), 0, "{view:?}: text");
        assert_eq!(count(options(Interest::default()), &[(object.clone(), true)], false), 0, "{view:?}: JSON");
        for filter in FILTERS {
            let compiled = Some((Filter::compile(filter).unwrap(), false));
            assert_eq!(count_filtered(options(Interest::default()), &[], false, compiled), 0, "{view:?}: {filter}");
        }
        // The beginning is in it here: threads, fds, the first strings.
        let beginning = count(options(Interest::default().types([])), &[], true);
        assert!(beginning < 100, "{view:?}: {beginning}");
    }
}
