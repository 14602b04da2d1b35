//! What a checkpoint of a large state takes: 10,000 processes with 50 fds each. Prints the figures with
//! `--nocapture`.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]

use scapkit_format::lists::fds::{Fd, FdInfo, FdType};
use scapkit_format::lists::threads::Thread;
use scapkit_format::synth::Synth;
use scapkit_format::{Capture, Item, Limits};
use scapkit_replay::engine::EngineLimits;
use scapkit_replay::{Player, ReplayOptions};
use std::time::Instant;

/// A state of this size is over what captures are allowed.
fn options() -> ReplayOptions {
    let limits = EngineLimits { max_state_bytes: 512 << 20, ..EngineLimits::default() };
    ReplayOptions { limits, ..ReplayOptions::default() }
}

fn play(bytes: Vec<u8>) -> Player {
    let mut capture = Capture::from_bytes(bytes, "large", Limits::default());
    let mut player = Player::new(options());
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(_, content) = item {
            let _ = player.play(&content);
        }
    }
    player
}

#[test]
fn ten_thousand_processes() {
    let mut synth = Synth::new();
    synth.section();
    let text = |what: &str, tid: i64| format!("/usr/lib/{what}/{tid}/bin/program");
    let texts: Vec<[String; 3]> = (1..=10_000).map(|tid| ["exe", "args", "cwd"].map(|what| text(what, tid))).collect();
    let threads: Vec<Thread<'_>> = (1..)
        .zip(&texts)
        .map(|(tid, [exe, args, cwd])| Thread {
            tid,
            pid: tid,
            ptid: tid / 2,
            comm: b"program",
            exe: exe.as_bytes(),
            exepath: exe.as_bytes(),
            args: args.as_bytes(),
            cwd: cwd.as_bytes(),
            env: b"PATH=/usr/sbin:/usr/bin:/sbin:/bin\0HOME=/root\0",
            cgroups: b"cpu=/system.slice/program.service\0memory=/system.slice/program.service\0",
            exe_ino: 262_302,
            exe_ino_ctime: 1_700_000_000_000_000_000,
            exe_ino_mtime: 1_700_000_000_000_000_000,
            ..Thread::default()
        })
        .collect();
    synth.threads(9, &threads);
    for tid in 1..=10_000i64 {
        let names: Vec<String> = (0..50).map(|fd| format!("/var/lib/program/{}/data-{fd}.db", tid % 1000)).collect();
        let fds: Vec<Fd<'_>> = (0..)
            .zip(&names)
            .map(|(fd, name)| Fd {
                fd,
                ino: 1_000_000 + fd.cast_unsigned(),
                kind: FdType::FILE_V2,
                info: FdInfo::File { open_flags: 1, name: name.as_bytes(), dev: Some(0x801) },
                extra: &[],
            })
            .collect();
        synth.fds(2, tid, &fds);
    }
    synth.event(1, 1, 5, &scapkit_format::synth::Params::new().i64(0).i64(70));
    let player = play(synth.finish());
    assert_eq!(player.engine().threads().count(), 10_000);
    assert_eq!(player.engine().fds(10_000).count(), 50);

    let start = Instant::now();
    let checkpoint = player.checkpoint();
    let taken = start.elapsed();
    let start = Instant::now();
    let again = Player::resume(options(), &checkpoint).unwrap();
    let read = start.elapsed();
    let start = Instant::now();
    let export = player.export().unwrap();
    let exported = start.elapsed();
    assert!(again.checkpoint() == checkpoint);
    println!(
        "state {} MB, checkpoint {} KB taken in {taken:?} and read in {read:?}; export {} KB in {exported:?}",
        player.engine().counters().state_bytes >> 20,
        checkpoint.state.len() >> 10,
        export.len() >> 10,
    );
    assert!(checkpoint.state.len() < 60 << 20, "{}", checkpoint.state.len());
    // Several parts, if it is that large, are one again.
    assert!(play(export.clone()).export().unwrap() == export);
}
