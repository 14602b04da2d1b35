//! Scans while processes come and go: none fails, and none mixes two processes.

use scapkit_capture::state::{ScanOptions, scan};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Every process of the storm says the same number in its name, its argument, its environment, and, where root can
/// set it, its user: two that were mixed would differ.
fn one(mark: u64, root: bool) -> std::io::Result<std::process::Child> {
    let mut command = Command::new("sleep");
    command.arg0(format!("storm-{mark}")).arg(format!("0.{}", mark % 4)).arg(format!("0.00{mark}1"));
    command.env_clear().env("MARK", mark.to_string());
    if root {
        command.uid(u32::try_from(100_000 + mark % 1_000_000).unwrap_or(0)).gid(100);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

#[test]
fn fork_storm() {
    let root = rustix::process::geteuid().is_root();
    let (over, next) = (AtomicBool::new(false), AtomicU64::new(10_000));
    let (mut seen, mut vanished, mut scans) = (0u64, 0u64, 0u32);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut running = std::collections::VecDeque::new();
                while !over.load(Ordering::Relaxed) {
                    running.extend(one(next.fetch_add(1, Ordering::Relaxed), root));
                    // Some are left as zombies for a while.
                    if running.len() > 60 {
                        let _ = running.pop_front().map(|mut c: std::process::Child| c.wait());
                    }
                }
                for mut child in running {
                    let _ = child.wait();
                }
            });
        }
        let began = Instant::now();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while began.elapsed() < Duration::from_secs(4) {
                let s = scan(&ScanOptions { threads: 2, ..ScanOptions::default() }).expect("a scan never fails");
                scans += 1;
                vanished += s.notes.vanished;
                assert!(s.processes.is_sorted_by(|a, b| a.tgid < b.tgid), "no process twice");
                for p in &s.processes {
                    assert_eq!(p.threads[0].tid, p.tgid);
                    let Some(mark) = p.exe().strip_prefix(b"storm-") else {
                        continue;
                    };
                    seen += 1;
                    let mark = String::from_utf8(mark.to_vec()).expect("a number");
                    let number: u64 = mark.parse().expect("a number");
                    assert_eq!(p.args(), format!("0.{}\x000.00{mark}1\0", number % 4).as_bytes());
                    // What ended after its command line was read has no more than that.
                    if !p.env().is_empty() {
                        assert_eq!(p.env(), format!("MARK={mark}\0").as_bytes());
                    }
                    if root {
                        assert_eq!(u64::from(p.threads[0].uid), 100_000 + number % 1_000_000);
                    }
                    assert!(p.threads[0].start <= p.from && p.from <= p.to && s.from <= p.from && p.to <= s.to);
                }
            }
        }));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    });
    let started = next.load(Ordering::Relaxed) - 10_000;
    assert!(seen > 100 && started > 200, "no storm: {started} started, {seen} seen");
    let _ = std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("storm: {started} processes, {scans} scans, {seen} seen, {vanished} vanished\n"),
    );
}
