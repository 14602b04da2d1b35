//! The tests of this program, and how they are run.

use super::coverage;
use super::judge::{Verdict, judge};
use super::record::record;
use scapkit_capture::ebpf::ProbeOptions;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

type Test = fn() -> Result<(), String>;

const TESTS: [(&str, Test); 7] = [
    ("emitted_is_the_drivers_table", coverage::against_shared),
    ("the_judge_finds_every_difference", judge_finds),
    ("every_parameter_of_every_event", every_parameter),
    ("large_snaplen", large),
    ("too_large_is_dropped_and_counted", too_large),
    ("same_calls_as_strace", super::strace::same_calls),
    ("storm", super::storm::storm),
];

/// Runs the tests that the arguments name, or all. Ends the process with 1 if one fails.
pub fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let mut failed = 0;
    for (name, test) in TESTS {
        if arguments.iter().any(|a| a == "--list") {
            println!("{name}: test");
            continue;
        }
        if !filters.is_empty() && !filters.iter().any(|f| name.contains(f.as_str())) {
            continue;
        }
        let result = test();
        match result {
            Ok(()) => println!("test {name} ... ok"),
            Err(e) if e.starts_with("SKIPPED") && std::env::var_os("SCAPKIT_CI").is_none_or(|v| v != "1") => {
                say(&e);
                println!("test {name} ... ignored");
            }
            Err(e) => {
                println!("test {name} ... FAILED\n{e}");
                failed += 1;
            }
        }
    }
    if failed > 0 {
        std::process::exit(1);
    }
}

/// Says something that must be seen.
pub fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Changes, in a recording made up from the workload's own report, every parameter in turn, and leaves events out and
/// adds some: the judge must find each.
fn judge_finds() -> Result<(), String> {
    super::judge::finds_differences()
}

/// Records one of the workloads and judges it.
fn run(mode: &str, options: &ProbeOptions, too_large: u64) -> Result<Verdict, String> {
    if let Some(why) = why_not() {
        return Err(format!("SKIPPED: {why}"));
    }
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(exe);
    command.args(["workload", "with", "arguments \u{e4}"]);
    command.env("SCAPKIT_WORKLOAD", mode).env("SCAPKIT_WORKLOAD_DIR", dir.path());
    command.env("SCAPKIT_WORKLOAD_SNAPLEN", options.snaplen.to_string());
    let recording = record(options, &mut command, Duration::from_mins(2))?;
    let report = std::fs::read_to_string(dir.path().join("report")).map_err(|e| format!("no report: {e}"))?;
    if std::env::var_os("SCAPKIT_WORKLOAD_DUMP").is_some() {
        for e in &recording.events {
            let _ = writeln!(std::io::stderr(), "{} {} {}", e.ts, e.tid, super::judge::describe(e));
        }
    }
    let verdict = judge(&report, &recording, too_large);
    println!(
        "{mode}: {} cases with {} parameters are right; {} events recorded, {} types confirmed",
        verdict.cases,
        verdict.params,
        recording.events.len(),
        verdict.confirmed.len()
    );
    for what in &verdict.skipped {
        say(&format!("SKIPPED: {what}"));
    }
    Ok(verdict)
}

/// Why nothing can be recorded here, if nothing can.
pub fn why_not() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root".into());
    }
    let ns = std::fs::read_link("/proc/self/ns/pid").ok()?;
    if ns.as_os_str() != "pid:[4026531836]" {
        return Some("not in the initial pid namespace: thread numbers differ from the probe's".into());
    }
    if !std::path::Path::new("/sys/kernel/btf/vmlinux").exists() {
        return Some("the kernel has no BTF".into());
    }
    None
}

/// The faults as a test's result.
pub fn outcome(faults: &[String]) -> Result<(), String> {
    if faults.is_empty() {
        return Ok(());
    }
    let mut text = format!("{} faults:", faults.len());
    for fault in faults.iter().take(300) {
        text.push_str("\n  ");
        text.push_str(fault);
    }
    Err(text)
}

/// All rows with the default options, and those of signals, switches and faults: together they are every type.
fn every_parameter() -> Result<(), String> {
    let mut faults = Vec::new();
    let mut confirmed = BTreeSet::new();
    let plain = ProbeOptions { signals: false, ..ProbeOptions::default() };
    let traced = ProbeOptions { switches: true, faults: true, signals: true, ..ProbeOptions::default() };
    for (mode, options) in [("all", plain), ("traced", traced)] {
        let verdict = run(mode, &options, 0)?;
        faults.extend(verdict.faults);
        confirmed.extend(verdict.confirmed);
    }
    faults.extend(coverage::faults(&confirmed));
    outcome(&faults)
}

/// The rows that a large snaplen changes.
fn large() -> Result<(), String> {
    let options = ProbeOptions { snaplen: 60_000, signals: false, ..ProbeOptions::default() };
    outcome(&run("wide", &options, 0)?.faults)
}

/// An event of more than 64 KiB is not given, but counted; what comes before and after it is.
fn too_large() -> Result<(), String> {
    let options = ProbeOptions { snaplen: 65_000, signals: false, ..ProbeOptions::default() };
    outcome(&run("too large", &options, 3)?.faults)
}
