//! `scapkit read`: what sysdig printed for the shared captures, and the contract of the command.
//! Each test skips, loudly, while the command is not there.

#![allow(clippy::unwrap_used)]

mod common;

use common::{SCAPKIT, captures, have, run, scapkit, sh, shared, stem};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::process::Command;

fn there() -> bool {
    let is = scapkit(["read", "--help"]).code() == 0;
    if !is {
        eprintln!("SKIPPED: there is no command `read` yet");
    }
    is
}

/// Lines of the default output that are those of sysdig 0.29.3. The bound is what must never be lost
/// again; raise it when more is right.
#[test]
fn lines_are_those_of_sysdig() {
    if !there() || !have("zstd") {
        return;
    }
    for file in captures() {
        let golden = shared().unwrap().join(format!("goldens/{}.sysdig-0.29.3.txt.zst", stem(&file)));
        if !golden.is_file() {
            continue; // sysdig crashes on it, or prints nothing
        }
        let theirs = run(Command::new("zstd").arg("-dc").arg(golden)).expect(0).out();
        let ours = scapkit([OsStr::new("read"), file.as_os_str()]).expect(0).out();
        let have: HashSet<&str> = ours.lines().map(str::trim_end).collect();
        let (mut same, mut all) = (0, 0);
        for line in theirs.lines() {
            all += 1;
            same += usize::from(have.contains(line.trim_end()));
        }
        println!("{}: {same} of {all} lines", stem(&file));
        assert!(same * 100 >= all * 90, "{}: {same} of {all} lines", stem(&file));
    }
}

#[test]
fn number_json_and_closed_pipe() {
    if !there() {
        return;
    }
    for file in captures() {
        let file = file.as_os_str();
        let some = sh("\"$0\" read --all -n 5 --json -p '%evt.num %evt.type' \"$1\"", [file]).expect(0);
        for line in some.out().lines() {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(event["evt.num"].is_u64() && event["evt.type"].is_string(), "{line}");
        }
        assert!(some.out().lines().count() <= 5);
        let ran = sh("{ \"$0\" read --all \"$1\"; echo $? >&2; } | true", [file]);
        assert_eq!(ran.err().trim(), "0");
    }
}

#[test]
fn what_is_no_capture_is_status_2() {
    if there() {
        let ran = run(Command::new(SCAPKIT).args(["read", "-"])).expect(2);
        assert!(ran.err().contains("empty input"), "{}", ran.err());
    }
}
