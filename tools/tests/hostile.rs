//! Captures that no machine records: more threads, fds and changes of parents than there can be. Every command
//! ends, within an address space of 2 GiB, and says what was not kept.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ran, SCAPKIT, run};
use scapkit_format::lists::threads::Thread;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const EVENTS: i64 = 300_000;

const COMMANDS: [&str; 6] = [
    "verify FILE",
    "info --full FILE",
    "read --all FILE > /dev/null",
    "read --view current --json FILE -p '*%proc.aname %proc.acmdline[5] %fd.name %evt.args %proc.nthreads' > /dev/null",
    "convert FILE - --profile universal > /dev/null",
    "replay FILE",
];

#[track_caller]
fn ask(command: &str, file: &Path) -> Ran {
    let script = format!("ulimit -v 2097152; exec \"$0\" {}", command.replace("FILE", "\"$1\""));
    let ran = run(Command::new("sh").args(["-c", &script, SCAPKIT]).arg(file)).expect(0);
    println!("{command}: {:?}", ran.took);
    assert!(ran.took < Duration::from_mins(2), "{command}: {:?}", ran.took);
    assert!(!ran.err().contains("panicked"), "{}", ran.err());
    ran
}

/// Asks everything; gives what `info --full` says of what was not kept.
#[track_caller]
fn ask_all(name: &str, s: &Synth) -> serde_json::Value {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, s.finish()).unwrap();
    for command in COMMANDS {
        ask(command, &file);
    }
    let ran = ask("info --full --json FILE", &file);
    let facts: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let not_kept = facts["state"]["not_kept"].clone();
    let said = ask("info --full FILE", &file).out();
    assert_eq!(said.contains("not kept"), not_kept.as_object().unwrap().values().any(|n| *n != 0), "{said}");
    not_kept
}

fn start() -> Synth {
    let mut s = Synth::new();
    s.section().threads(9, &[Thread { tid: 1, pid: 1, comm: b"init", cwd: b"/", ..Thread::default() }]);
    s
}

fn ts(n: i64) -> u64 {
    n.unsigned_abs() * 1000 + 1_000_000_000
}

fn born(pid: i64, ptid: i64, tid: i64) -> Params {
    let p = Params::new().i64(0).str("x").bytes(b"").i64(tid).i64(pid).i64(ptid).str("").i64(0).u64(0).u64(0);
    p.u32(0).u32(0).u32(0).str("x").bytes(b"").u32(0).u32(0).u32(0).i64(tid).i64(pid).u64(0)
}

#[test]
fn threads_without_number() {
    let mut s = start();
    for n in 0..EVENTS {
        s.event(ts(n), 2 + n, id::SYSCALL_READ_X, &Params::new().i64(1).bytes(b"x").i64(3).u32(1));
    }
    let not_kept = ask_all("threads.scap", &s);
    assert!(not_kept["threads"].as_u64().unwrap() > 10_000, "{not_kept}");
}

#[test]
fn files_without_number() {
    let mut s = start();
    for n in 0..EVENTS {
        let open = Params::new().i64(n).str(&format!("/{n}")).u32(0).u32(0).u32(0).u64(0);
        s.event(ts(n), 1, id::SYSCALL_OPEN_X, &open);
    }
    let not_kept = ask_all("fds.scap", &s);
    assert_eq!(not_kept["fds"], EVENTS - 4096, "{not_kept}");
}

/// A process with all fds that there can be has as many children as there can be.
#[test]
fn files_of_many_forks() {
    let mut s = start();
    s.event(ts(0), 2, id::SYSCALL_CLONE_20_X, &born(2, 1, 2));
    for n in 0..4096 {
        s.event(ts(n + 1), 2, id::SYSCALL_OPEN_X, &Params::new().i64(n).str("/x").u32(0).u32(0).u32(0).u64(0));
    }
    for n in 0..100_000 {
        s.event(ts(n + 5000), 3 + n, id::SYSCALL_CLONE_20_X, &born(3 + n, 2, 3 + n));
    }
    ask_all("forks.scap", &s);
}

#[test]
fn orphans_handed_on_and_on() {
    let mut s = start();
    s.event(ts(0), 2, id::SYSCALL_CLONE_20_X, &born(2, 1, 2));
    let mut n = 1;
    for tid in 1_000_000..1_020_000 {
        s.event(ts(n), tid, id::SYSCALL_CLONE_20_X, &born(tid, 2, tid));
        n += 1;
    }
    for tid in 2..20_000 {
        s.event(ts(n), tid + 1, id::SYSCALL_CLONE_20_X, &born(tid + 1, 1, tid + 1));
        let gone = Params::new().i64(0).i64(0).u8(0).u8(0).i64(tid + 1);
        s.event(ts(n + 1), tid, id::PROCEXIT_1_E, &gone);
        n += 2;
    }
    let not_kept = ask_all("orphans.scap", &s);
    assert!(not_kept["family"].as_u64().unwrap() > 0, "{not_kept}");
}

#[test]
fn what_a_machine_has_is_kept() {
    let mut s = start();
    for n in 0..2000 {
        s.event(ts(2 * n), 2 + n, id::SYSCALL_CLONE_20_X, &born(2 + n, 1, 2 + n));
        let open = Params::new().i64(n).str("/x").u32(0).u32(0).u32(0).u64(0);
        s.event(ts(2 * n + 1), 2 + n, id::SYSCALL_OPEN_X, &open);
    }
    let not_kept = ask_all("normal.scap", &s);
    assert!(not_kept.as_object().unwrap().values().all(|n| *n == 0), "{not_kept}");
}
