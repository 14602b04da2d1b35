//! `record`, `live` and `open` with an engine that plays a capture: ends, signals, files, exit statuses.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ran, SCAPKIT, run, scapkit, sh, sound};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A recorded intrusion of 20 seconds.
fn capture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/break-in.scap")
}

fn engine(how: &str) -> String {
    format!("--engine=simulated:{how}{}", capture().display())
}

/// All events at once, then nothing until stopped.
const HOLD: &str = "[hold]";

/// A folder and the program in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, command: &str, how: &str, args: &[&str]) -> Command {
        let mut program = Command::new(SCAPKIT);
        program.current_dir(self.0.path()).arg(command).arg(engine(how)).args(args);
        program
    }

    /// `scapkit record` to its end.
    fn record(&self, how: &str, args: &[&str]) -> Ran {
        run(&mut self.command("record", how, args))
    }

    /// `scapkit record` that goes on.
    fn begin(&self, how: &str, args: &[&str]) -> Child {
        self.command("record", how, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(self.0.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn read(file: &Path, filter: &str) -> String {
    scapkit(
        ["read".as_ref(), file.as_os_str(), "-p".as_ref(), "*%evt.rawtime %evt.type %proc.cmdline %fd.name".as_ref()]
            .into_iter()
            .chain(filter.split_whitespace().map(AsRef::as_ref)),
    )
    .expect(0)
    .out()
}

#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(30), "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    run(Command::new("kill").args([format!("-{name}"), child.id().to_string()])).expect(0);
}

/// How a program ended.
fn end(child: Child) -> Ran {
    let started = Instant::now();
    let output = child.wait_with_output().unwrap();
    Ran { status: output.status, stdout: output.stdout, stderr: output.stderr, took: started.elapsed() }
}

#[test]
fn a_recording_tells_what_the_capture_tells() {
    let folder = Folder::new();
    let ran = folder.record("", &["-o", "all.scap"]).expect(0);
    assert!(ran.err().starts_with("scapkit: all.scap: 298 events, "), "{}", ran.err());
    assert_eq!(sound(&folder.path("all.scap")), 298);
    assert_eq!(read(&folder.path("all.scap"), ""), read(&capture(), ""));
    // Gzip, which sysdig reads, unless told otherwise.
    let start = |name: &str| std::fs::read(folder.path(name)).unwrap()[..4].to_vec();
    assert_eq!(start("all.scap")[..2], [0x1f, 0x8b]);
    folder.record("", &["-o", "all.scap.zst"]).expect(0);
    assert_eq!(start("all.scap.zst"), [0x28, 0xb5, 0x2f, 0xfd]);
    folder.record("", &["-o", "plain.scap", "--compress", "none"]).expect(0);
    assert_eq!(start("plain.scap"), [0x0a, 0x0d, 0x0d, 0x0a]);
    let piped = folder.record("", &["-o", "-", "--compress", "none"]).expect(0);
    assert_eq!(piped.stdout, std::fs::read(folder.path("plain.scap")).unwrap());
    folder.record("", &["-o", "universal.scap", "--profile", "universal", "--level", "9"]).expect(0);
    sound(&folder.path("universal.scap"));
}

#[test]
fn a_filter_keeps_what_is_asked_for_and_its_context() {
    let folder = Folder::new();
    for filter in ["proc.name=cat", "evt.type=read", "evt.type in (write, futex) and proc.name!=bash"] {
        let ran = folder.record("", &["-o", "some.scap", filter]).expect(0);
        assert!(ran.err().contains("for the state only"), "{}", ran.err());
        assert_eq!(read(&folder.path("some.scap"), ""), read(&capture(), filter), "{filter}");
        assert!(sound(&folder.path("some.scap")) < 298);
    }
    let ran = folder.record("", &["-o", "x.scap", "evt.tpye=read"]).expect(2);
    assert!(ran.err().contains("did you mean evt.type?"), "{}", ran.err());
    assert!(!folder.path("x.scap").exists());
}

#[test]
fn it_ends_when_it_is_told_to() {
    let folder = Folder::new();
    folder.record(HOLD, &["-o", "ten.scap", "-n", "10"]).expect(0);
    assert_eq!(read(&folder.path("ten.scap"), "").lines().count(), 10);
    let ran = folder.record(HOLD, &["-o", "short.scap", "--duration", "300ms"]).expect(0);
    assert!(ran.took >= Duration::from_millis(300) && ran.took < Duration::from_secs(20), "{:?}", ran.took);
    assert_eq!(sound(&folder.path("short.scap")), 298);
}

#[test]
fn signals_end_it_with_a_valid_file() {
    for name in ["INT", "TERM", "HUP"] {
        let folder = Folder::new();
        let child = folder.begin(HOLD, &["-o", "x.scap"]);
        // Written within about a second although nothing more comes.
        wait_until("the file", || folder.path("x.scap").metadata().is_ok_and(|m| m.len() > 0));
        signal(&child, name);
        let ran = end(child).expect(0);
        assert!(ran.err().contains("298 events"), "{name}: {}", ran.err());
        assert_eq!(sound(&folder.path("x.scap")), 298);
    }
}

/// Killed, a recorder leaves what it had written, which is what is older than a second.
#[test]
fn a_kill_leaves_what_is_older_than_a_second() {
    for name in ["x.scap", "x.scap.zst"] {
        let folder = Folder::new();
        let mut child = folder.begin(HOLD, &["-o", name]);
        wait_until("the file", || folder.path(name).metadata().is_ok_and(|m| m.len() > 0));
        std::thread::sleep(Duration::from_millis(1500));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(read(&folder.path(name), ""), read(&capture(), ""), "{name}");
    }
}

#[test]
fn a_terminal_that_is_gone_does_no_harm() {
    let folder = Folder::new();
    let mut child = folder.begin(HOLD, &["-o", "x.scap"]);
    wait_until("the file", || folder.path("x.scap").metadata().is_ok_and(|m| m.len() > 0));
    drop((child.stdout.take(), child.stderr.take()));
    signal(&child, "HUP");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(sound(&folder.path("x.scap")), 298);
}

#[test]
fn a_full_disk_is_status_2() {
    let folder = Folder::new();
    let ran = folder.record("", &["-o", "/dev/full"]).expect(2);
    assert!(ran.err().contains("/dev/full: cannot write: No space left on device"), "{}", ran.err());
    // A limit on the size of files is another.
    let script = format!("ulimit -f 16; \"$0\" record {} -o x.scap --compress none", engine("[rounds=200]"));
    let ran = run(Command::new("sh").current_dir(folder.0.path()).args(["-c", &script, SCAPKIT])).expect(2);
    assert!(ran.err().contains("File too large"), "{}", ran.err());
    sound_or_empty(&folder.path("x.scap"));
}

fn sound_or_empty(file: &Path) {
    if file.metadata().unwrap().len() > 0 {
        sound(file);
    }
}

#[test]
fn pieces_are_named_and_kept() {
    let folder = Folder::new();
    folder.record("", &["-o", "p.scap", "--rotate-events", "50", "--keep", "3"]).expect(0);
    assert_eq!(folder.names(), ["p.0004.scap", "p.0005.scap", "p.0006.scap"]);
    let tail: Vec<String> = folder.names().iter().map(|n| read(&folder.path(n), "")).collect();
    assert!(read(&capture(), "").ends_with(&tail.concat()));
    let folder = Folder::new();
    folder.record("", &["-o", "t-%Y%m%d.scap.zst", "--rotate-every", "5s"]).expect(0);
    let names = folder.names();
    assert!(names.len() > 2, "{names:?}");
    assert!(names.iter().all(|n| n.starts_with("t-20") && n.ends_with(".scap.zst")), "{names:?}");
    let all: String = scapkit(
        ["read".into()]
            .into_iter()
            .chain(["-p", "*%evt.rawtime %evt.type %proc.cmdline %fd.name"].map(Into::into))
            .chain(
                // The first piece has the time of the machine in its name, the others those of their events.
                {
                    let mut files: Vec<PathBuf> = names.iter().map(|n| folder.path(n)).collect();
                    files.sort_by_key(|f| common::info(f)["events"]["first_ns"].as_u64());
                    files.into_iter().map(std::ffi::OsString::from).collect::<Vec<_>>()
                },
            ),
    )
    .expect(0)
    .out();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&all), sorted(&read(&capture(), "")));
    let folder = Folder::new();
    folder.record("[rounds=20]", &["-o", "s.scap", "--rotate-size", "64K", "--compress", "none"]).expect(0);
    assert!(folder.names().len() > 2, "{:?}", folder.names());
    folder.names().iter().for_each(|n| assert!(sound(&folder.path(n)) > 0));
}

#[test]
fn a_command_gives_its_exit_status() {
    let folder = Folder::new();
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        folder.record(HOLD, &["-o", "c.scap", "--", "sh", "-c", script]).expect(status);
        assert_eq!(sound(&folder.path("c.scap")), 298, "{script}");
    }
    let ran = folder.record(HOLD, &["-o", "c.scap", "--", "/nonexistent/program"]).expect(127);
    assert!(ran.err().contains("the command cannot be run: No such file or directory"), "{}", ran.err());
    folder.record(HOLD, &["-o", "c.scap", "--", "/"]).expect(126);
    // Its output and its rights are its own.
    let ran = folder.record(HOLD, &["-o", "c.scap", "--", "grep", "NoNewPrivs", "/proc/self/status"]).expect(0);
    assert_eq!(ran.out().split_whitespace().last(), Some("0"));
}

#[test]
fn the_tree_of_a_command_can_be_waited_for() {
    let folder = Folder::new();
    let script = "(sleep 1; echo late > late) >/dev/null 2>&1 & exit 3";
    let ran = folder.record(HOLD, &["-o", "c.scap", "--wait-tree", "--", "sh", "-c", script]).expect(3);
    assert!(folder.path("late").exists() && ran.took >= Duration::from_secs(1));
    std::fs::remove_file(folder.path("late")).unwrap();
    folder.record(HOLD, &["-o", "c.scap", "--", "sh", "-c", script]).expect(3);
    assert!(!folder.path("late").exists());
}

#[test]
fn a_command_that_is_told_to_end_ends_the_recording() {
    let folder = Folder::new();
    let child = folder
        .begin(HOLD, &["-o", "c.scap", "--", "sh", "-c", "trap 'exit 9' TERM; touch up; while :; do sleep 0.05; done"]);
    wait_until("the command", || folder.path("up").exists());
    signal(&child, "TERM");
    end(child).expect(9);
    assert_eq!(sound(&folder.path("c.scap")), 298);
    // One that does not care is left behind by the second signal.
    let child = folder.begin(HOLD, &["-o", "d.scap", "--", "sh", "-c", "trap '' TERM; touch on; sleep 3"]);
    wait_until("the command", || folder.path("on").exists());
    signal(&child, "TERM");
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "TERM");
    end(child).expect(143);
    assert_eq!(sound(&folder.path("d.scap")), 298);
}

#[test]
fn a_flight_recorder_writes_on_sigusr1_and_goes_on() {
    let folder = Folder::new();
    let child = folder.begin(HOLD, &["-o", "f.scap", "--ring", "1h", "--after", "200ms"]);
    std::thread::sleep(Duration::from_millis(300));
    for name in ["f.0001.scap", "f.0002.scap"] {
        assert!(!folder.path(name).exists());
        signal(&child, "USR1");
        wait_until(name, || folder.path(name).exists());
        assert_eq!(sound(&folder.path(name)), 298);
        assert_eq!(read(&folder.path(name), ""), read(&capture(), ""));
    }
    signal(&child, "TERM");
    let ran = end(child).expect(0);
    assert!(ran.err().contains("2 times asked for"), "{}", ran.err());
    assert_eq!(folder.names(), ["f.0001.scap", "f.0002.scap"]);
}

#[test]
fn a_flight_recorder_is_told_by_its_socket() {
    let folder = Folder::new();
    let mut args = vec!["-o", "f.scap.zst", "--ring", "5m,64M", "--after", "100ms", "--control", "s"];
    let child = folder.begin(HOLD, &args);
    wait_until("the socket", || folder.path("s").exists());
    let ask = || run(Command::new(SCAPKIT).current_dir(folder.0.path()).args(["record", "--dump", "s"]));
    let ran = ask().expect(0);
    let written = PathBuf::from(ran.out().trim_end());
    assert!(written.is_absolute() && written.ends_with("f.0001.scap.zst"), "{}", ran.out());
    assert_eq!(sound(&written), 298);
    // Another recorder cannot take the socket.
    args[1] = "g.scap";
    assert!(folder.record(HOLD, &args).expect(2).err().contains("another recorder listens there"));
    signal(&child, "INT");
    end(child).expect(0);
    assert!(!folder.path("s").exists());
    assert!(ask().expect(2).err().contains("connect to s"));
}

#[test]
fn a_match_makes_the_flight_recorder_write() {
    let folder = Folder::new();
    let trigger = "evt.type=execve and proc.name=cat";
    let ran = folder.record("", &["-o", "f.scap", "--ring", "2s", "--trigger", trigger, "--after", "100ms"]).expect(0);
    assert!(ran.err().contains("1 times asked for"), "{}", ran.err());
    let text = read(&folder.path("f.0001.scap"), "");
    assert!(text.contains("execve cat /etc/shadow") && read(&capture(), "").contains(&text));
    assert!(text.lines().count() < 298);
    sound(&folder.path("f.0001.scap"));
    let none = folder.record("", &["-o", "n.scap", "--ring", "2s", "--trigger", "proc.name=nobody"]).expect(0);
    assert!(none.err().contains("0 times asked for"), "{}", none.err());
    assert_eq!(folder.names(), ["f.0001.scap"]);
}

#[test]
fn live_prints_what_read_prints() {
    let folder = Folder::new();
    let live = |args: &[&str]| run(&mut folder.command("live", "", args)).expect(0).out();
    let same = |args: &[&str]| {
        let read = scapkit(["read".into(), capture().into_os_string()].into_iter().chain(args.iter().map(Into::into)));
        assert_eq!(live(args), read.expect(0).out(), "{args:?}");
    };
    same(&[]);
    same(&["proc.name=cat"]);
    same(&["--json", "-n", "7", "proc.name=bash"]);
    // What the kernel is not asked for has no number.
    same(&["-p", "%evt.time %proc.name %fd.name %evt.args", "evt.type=openat"]);
    same(&["-p", "%evt.num %proc.name", "--view", "current", "--all"]);
    same(&["-t", "D", "-X", "fd.num=3"]);
    same(&["-U", "bash"]);
    same(&["-t", "h", "--tz", "Europe/Berlin", "-n", "1"]);
}

#[test]
fn live_shows_events_as_they_happen_and_ends_quietly() {
    let folder = Folder::new();
    let mut child = folder.command("live", HOLD, &["evt.type=execve"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("execve"), "{line}");
    signal(&child, "INT");
    end(child).expect(0);
    // A closed pipe is success.
    sh(&format!("\"$0\" live {} | head -1; exit ${{PIPESTATUS:-0}}", engine("[rounds=500]")), [""; 0]).expect(0);
}

#[test]
fn open_counts() {
    let folder = Folder::new();
    let ran = run(&mut folder.command("open", "", &["--json"])).expect(0);
    let last: serde_json::Value = serde_json::from_str(ran.out().lines().last().unwrap()).unwrap();
    assert_eq!(
        (last["last"].as_bool(), last["captured"].as_u64(), last["seen"].as_u64()),
        (Some(true), Some(298), Some(298))
    );
    assert_eq!(last["drops"]["buffer"], 0);
    let reads = read(&capture(), "evt.type=read and evt.dir=<").lines().count() as u64;
    assert_eq!(last["by_type"]["< read"].as_u64(), Some(reads));
    let by_type = last["by_type"].as_object().unwrap();
    assert_eq!(by_type.values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 298);
    let ran = run(&mut folder.command("open", HOLD, &["--duration", "2200ms"])).expect(0);
    let text = ran.out();
    assert_eq!(text.lines().filter(|l| l.contains("events/s")).count(), 3, "{text}");
    assert!(text.contains("captured 298, seen by the driver 298, dropped 0, suppressed 0"), "{text}");
    assert!(text.contains(&format!("{reads:>14}  ")) && text.contains("/s  < read"), "{text}");
}

#[test]
fn wrong_usage_is_status_2_and_says_what_is_wrong() {
    let folder = Folder::new();
    for (args, says) in [
        (&["-o", "x.scap", "--ring", "5x"][..], "--ring"),
        (&["-o", "x.scap", "--ring", "5m,6m"], "one of each"),
        (&["-o", "x.scap", "--ring", "10K"], "1M or more"),
        (&["-o", "-", "--ring", "5m"], "name of a file"),
        (&["-o", "-", "--rotate-events", "5"], "cannot be rotated"),
        (&["-o", "x.scap", "--keep", "5"], "only one file"),
        (&["-o", "x.scap", "--rotate-size", "0"], "wanted a size"),
        (&["-o", "x.scap", "--rotate-every", "0s"], "more than no time"),
        (&["-o", "x.scap", "--duration", "soon"], "--duration"),
        (&["-o", "x.scap", "--level", "99"], "level 99"),
        (&["-o", "no/such/folder/x.scap"], "No such file"),
        (&["-o", "x.scap", "--trigger", "proc.name=x"], "--ring"),
        (&[], "--output"),
    ] {
        let ran = folder.record("", args).expect(2);
        assert!(ran.err().contains(says), "{args:?}: {}", ran.err());
    }
    for engine in ["gvisor", "kmod", "magic"] {
        // Sandboxes cannot leave out processes.
        let ran = scapkit(["record", "-o", "/dev/null", "--engine", engine, "--pid", "1"]).expect(2);
        assert!(ran.err().contains(engine), "{}", ran.err());
    }
}
