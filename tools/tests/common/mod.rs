//! What the tests of the command line share: running the program and others, finding inputs.

#![allow(dead_code, missing_docs)] // each test binary uses its own part

pub mod recorder;
pub mod sandboxes;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub const SCAPKIT: &str = env!("CARGO_BIN_EXE_scapkit");

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub took: Duration,
}

impl Ran {
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or(-1)
    }

    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Fails with all that was said unless the status is this one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Ran {
        assert!(
            self.status.code() == Some(code),
            "wanted status {code}, got {:?}\nstdout: {}\nstderr: {}",
            self.status,
            self.out(),
            self.err()
        );
        self
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Ran {
    run_with(command, &[])
}

/// Runs a command with these bytes as its standard input.
pub fn run_with(command: &mut Command, stdin: &[u8]) -> Ran {
    let started = Instant::now();
    let mut child = command
        .env("TZ", "UTC")
        .env("LC_ALL", "C.UTF-8")
        .stdin(if stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let feeder = child.stdin.take().map(|mut pipe| {
        let bytes = stdin.to_vec();
        // A program that needs no more closes its end.
        std::thread::spawn(move || _ = pipe.write_all(&bytes))
    });
    let output = child.wait_with_output().unwrap();
    if let Some(feeder) = feeder {
        feeder.join().unwrap();
    }
    Ran { status: output.status, stdout: output.stdout, stderr: output.stderr, took: started.elapsed() }
}

/// The program under test with these arguments.
pub fn scapkit<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    run(Command::new(SCAPKIT).args(args))
}

/// A line of `sh` with `$1`, `$2`, ... set; `$0` is the program under test.
pub fn sh<S: AsRef<OsStr>>(script: &str, args: impl IntoIterator<Item = S>) -> Ran {
    run(Command::new("sh").arg("-c").arg(script).arg(SCAPKIT).args(args))
}

/// Whether the tests run where everything must be there.
pub fn is_ci() -> bool {
    std::env::var_os("SCAPKIT_CI").is_some_and(|v| !v.is_empty() && v != "0")
}

/// Says that something could not be tested; a failure where everything must be there.
#[track_caller]
pub fn skipped(why: &str) {
    assert!(!is_ci(), "SCAPKIT_CI is set, but {why}");
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED: {why}\n")).unwrap();
}

/// Whether a program can be run; skips loudly where not.
#[track_caller]
pub fn have(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).any(|dir| dir.join(program).is_file());
    if !found {
        skipped(&format!("the program {program} is not here"));
    }
    found
}

/// Whether we are root; skips loudly where not.
#[track_caller]
pub fn root() -> bool {
    let is = run(Command::new("id").arg("-u")).out().trim() == "0";
    if !is {
        skipped("this needs root");
    }
    is
}

/// The folder of reference material.
pub fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    if root.join("captures").is_dir() {
        return Some(root);
    }
    std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("SKIPPED: the shared captures are not here ({})\n", root.display()),
    )
    .unwrap();
    None
}

/// The shared captures but the heavy one, in order of name.
pub fn captures() -> Vec<PathBuf> {
    let Some(root) = shared() else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root.join("captures")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "scap"));
    files.sort();
    assert!(files.len() >= 12, "only {} captures", files.len());
    files
}

/// The capture of two million events.
pub fn heavy() -> Option<PathBuf> {
    let file = shared()?.join("captures/heavy_2026.scap.zst");
    if file.is_file() {
        return Some(file);
    }
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED: {} is not here\n", file.display()))
        .unwrap();
    None
}

/// File name without its last suffix.
pub fn stem(file: &Path) -> String {
    file.file_stem().unwrap().to_string_lossy().into_owned()
}

/// Whether a shared capture holds exits only, as drivers record since 2025-10.
pub fn is_modern(file: &Path) -> bool {
    stem(file).contains("2026")
}

/// The object of `info --json`.
#[track_caller]
pub fn info(file: &Path) -> serde_json::Value {
    let ran = scapkit([OsStr::new("info"), OsStr::new("--json"), file.as_os_str()]).expect(0);
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// Fails unless a capture has nothing wrong; gives its events.
#[track_caller]
pub fn sound(file: &Path) -> u64 {
    let ran = scapkit([OsStr::new("verify"), OsStr::new("--json"), file.as_os_str()]).expect(0);
    let verdict: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(verdict["ok"], true, "{verdict}");
    verdict["events"].as_u64().unwrap()
}

/// Converts with extra arguments and gives what was said.
#[track_caller]
pub fn convert(from: &Path, to: &Path, more: &[&str]) -> Ran {
    let mut command = Command::new(SCAPKIT);
    command.arg("convert").arg(from).arg(to).args(more);
    run(&mut command).expect(0)
}
