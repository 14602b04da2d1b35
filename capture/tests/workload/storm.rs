//! Many processes and threads at once: every one has its beginning, its programs and its end, and a replay knows every
//! thread.

use super::record::{Recorded, Recording, record};
use super::{harness, sys};
use scapkit_capture::ebpf::ProbeOptions;
use scapkit_format::lists::threads::Thread;
use scapkit_format::schema::id;
use scapkit_format::synth::Synth;
use scapkit_format::{BlockType, Capture, Limits};
use scapkit_replay::{Played, Replay, ReplayOptions, View};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// How many programs are started.
const PROCESSES: usize = 3000;
/// How many threads live at once.
const THREADS: usize = 200;

/// The child's side: starts everything, and writes the numbers down.
pub fn child(dir: &std::path::Path) {
    let mut told = String::new();
    let program = std::ffi::CString::new("/bin/true").unwrap();
    let odd = std::ffi::CString::new(b"\xFFodd\xFE \n".to_vec()).unwrap();
    let argv = [odd.as_ptr() as i64, 0];
    let env = [0_i64];
    let start = Instant::now();
    for n in 0..PROCESSES {
        let nr = if n % 3 == 0 { libc::SYS_vfork } else { libc::SYS_fork };
        let pid = if nr == libc::SYS_vfork {
            sys::vfork_exec(&program, &argv, &env)
        } else {
            fork_exec(&program, &argv, &env, n)
        };
        assert!(pid > 0, "{pid}");
        let _ = writeln!(told, "process {pid}");
        if n % 16 == 15 {
            while sys::call(libc::SYS_wait4, &[-1, 0, 1, 0]) > 0 {}
        }
    }
    while sys::call(libc::SYS_wait4, &[-1, 0, 0, 0]) > 0 {}
    let _ = writeln!(told, "seconds {}", start.elapsed().as_secs_f64());
    let barrier = std::sync::Barrier::new(THREADS);
    let tids: Vec<i64> = std::thread::scope(|s| {
        let all: Vec<_> = (0..THREADS)
            .map(|n| {
                let barrier = &barrier;
                s.spawn(move || {
                    barrier.wait();
                    let _ = std::fs::read_to_string(format!("/no such file {n}"));
                    sys::call(libc::SYS_gettid, &[])
                })
            })
            .collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for tid in tids {
        let _ = writeln!(told, "thread {tid}");
    }
    // Namespaces of every kind, another root, other users.
    for (n, flags) in
        [0x2000_0000_i64, 0x2_0000, 0x4000_0000, 0x1000_0000, 0x6002_0000, 0x7002_0000].into_iter().enumerate()
    {
        let pid = sys::call(libc::SYS_clone, &[flags | 0x11, 0, 0, 0, 0]);
        if pid == 0 {
            sys::call(libc::SYS_chroot, &[c"/".as_ptr() as i64]);
            sys::call(libc::SYS_setuid, &[1000 + n as i64]);
            sys::call(libc::SYS_execve, &[program.as_ptr() as i64, argv.as_ptr() as i64, env.as_ptr() as i64]);
            sys::call(libc::SYS_exit_group, &[99]);
        }
        if pid > 0 {
            let _ = writeln!(told, "process {pid}");
            super::ctx::wait(pid);
        }
    }
    std::fs::write(dir.join("storm"), told).expect("the numbers");
}

fn fork_exec(program: &std::ffi::CString, argv: &[i64], env: &[i64], n: usize) -> i64 {
    let pid = sys::call(libc::SYS_fork, &[]);
    if pid == 0 {
        if n.is_multiple_of(7) {
            sys::call(libc::SYS_setsid, &[]);
        }
        sys::call(libc::SYS_execve, &[program.as_ptr() as i64, argv.as_ptr() as i64, env.as_ptr() as i64]);
        sys::call(libc::SYS_exit_group, &[99]);
    }
    pid
}

/// Records it.
pub fn storm() -> Result<(), String> {
    if let Some(why) = harness::why_not() {
        return Err(format!("SKIPPED: {why}"));
    }
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
    command
        .env("SCAPKIT_WORKLOAD", "storm")
        .env("SCAPKIT_WORKLOAD_DIR", dir.path())
        .env("SCAPKIT_WORKLOAD_SNAPLEN", "80");
    let options = ProbeOptions { signals: false, ..ProbeOptions::default() };
    let recording = record(&options, &mut command, Duration::from_mins(2))?;
    let told = std::fs::read_to_string(dir.path().join("storm"))
        .map_err(|e| format!("the storm did not come to its end: {e}"))?;
    let mut faults = Vec::new();
    if recording.counters.drops() != 0 {
        faults.push(format!("{:?} lost", recording.counters));
    }
    let threads = recording.threads();
    let (mut processes, mut others) = (0, 0);
    for line in told.lines() {
        let Some((kind, number)) = line.split_once(' ') else { continue };
        if kind == "seconds" {
            println!("storm: {PROCESSES} programs in {number} s");
            continue;
        }
        let tid: i64 = number.parse().map_err(|_| line.to_owned())?;
        let mut wanted = vec!["born", "end"];
        if kind == "process" {
            wanted.insert(1, "exec");
            processes += 1;
        } else {
            others += 1;
        }
        let got = life(threads.get(&tid).map_or(&[], Vec::as_slice));
        if got != wanted {
            faults.push(format!("{line}: {got:?} instead of {wanted:?}"));
        }
    }
    println!("storm: {processes} processes and {others} threads, {} events", recording.events.len());
    let out_of_order = recording.events.windows(2).filter(|w| w[0].ts > w[1].ts).count() as u64;
    if out_of_order > recording.counters.late {
        faults.push(format!("{out_of_order} events go back in time, {} are counted as late", recording.counters.late));
    }
    faults.extend(replayed(&recording)?);
    harness::outcome(&faults)
}

/// What there is of a thread's life, in order.
fn life(events: &[&Recorded]) -> Vec<&'static str> {
    let zero = |e: &Recorded| e.params.first().is_some_and(|p| p.iter().all(|b| *b == 0));
    let name = |e: &&Recorded| match e.id {
        id::SYSCALL_CLONE_20_X | id::SYSCALL_CLONE3_X | id::SYSCALL_FORK_20_X | id::SYSCALL_VFORK_20_X if zero(e) => {
            Some("born")
        }
        id::SYSCALL_EXECVE_19_X if zero(e) => Some("exec"),
        id::PROCEXIT_1_E => Some("end"),
        _ => None,
    };
    events.iter().filter_map(name).collect()
}

/// Plays the recording after a list of the first process alone: nobody may be unknown.
fn replayed(recording: &Recording) -> Result<Vec<String>, String> {
    let mut capture = Synth::new();
    let first = Thread {
        tid: recording.pid,
        pid: recording.pid,
        ptid: 1,
        vtid: recording.pid,
        vpid: recording.pid,
        comm: b"workload",
        exe: b"workload",
        ..Thread::default()
    };
    capture.section().threads(9, &[first]);
    for e in &recording.events {
        capture.block(BlockType::EV_V2, &[&[0, 0], e.bytes.as_slice()].concat());
    }
    let capture = Capture::from_bytes(capture.finish(), "storm", Limits::default());
    let mut replay = Replay::new(capture, ReplayOptions { view: View::Current, ..ReplayOptions::default() });
    let mut unknown: BTreeSet<i64> = BTreeSet::new();
    let mut played = 0;
    while let Some(next) = replay.next().map_err(|e| e.to_string())? {
        let Played::Event(step) = next else { continue };
        played += 1;
        // A thread that the engine had to make up has no name and no program.
        let known = step.engine.thread(step.event.tid).is_some_and(|t| !t.comm.is_empty());
        if !known {
            unknown.insert(step.event.tid);
        }
    }
    println!("storm: {played} events replayed");
    let mut faults: Vec<String> = unknown.iter().map(|tid| format!("replay: thread {tid} is unknown")).collect();
    if played + 10 < recording.events.len() {
        faults.push(format!("replay: {played} of {} events", recording.events.len()));
    }
    Ok(faults)
}
