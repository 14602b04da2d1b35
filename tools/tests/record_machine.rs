//! `record`, `live` and `open` on this machine, through the probe. They need root and a kernel with BTF.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ran, SCAPKIT, have, root, run, scapkit, skipped, sound};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Whether the probe can be loaded here; skips loudly where not.
fn probe() -> bool {
    if !root() {
        return false;
    }
    let has_types = Path::new("/sys/kernel/btf/vmlinux").exists();
    if !has_types {
        skipped("this kernel does not describe its types (BTF)");
    }
    has_types
}

fn begin(args: &[&str]) -> Child {
    Command::new(SCAPKIT).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    run(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()])).expect(0);
}

fn read(file: &Path, args: &[&str]) -> String {
    scapkit(["read".as_ref(), file.as_os_str()].into_iter().chain(args.iter().map(AsRef::as_ref))).expect(0).out()
}

/// A recording of a command in a folder of its own.
fn record(args: &[&str], command: &[&str]) -> (TempDir, PathBuf, Ran) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.scap");
    let ran = run(Command::new(SCAPKIT)
        .arg("record")
        .arg("-o")
        .arg(&out)
        .args(["--compress", "none"])
        .args(args)
        .arg("--")
        .args(command)
        .current_dir(folder.path()));
    (folder, out, ran)
}

const SCRIPT: &str = "echo hello > made-here; cat made-here; mkdir d; mv made-here d/moved; ls d; exit 7";

#[test]
fn a_command_is_recorded_with_all_that_it_starts() {
    if !probe() {
        return;
    }
    let (folder, out, ran) = record(&[], &["sh", "-c", SCRIPT]);
    let ran = ran.expect(7);
    assert!(ran.err().contains(" events, "), "{}", ran.err());
    sound(&out);

    let programs = read(&out, &["evt.type=execve", "and", "evt.rawres=0", "-p", "%proc.name %proc.args"]);
    let programs: Vec<&str> = programs.lines().collect();
    assert_eq!(programs, [&format!("sh -c {SCRIPT}"), "cat made-here", "mkdir d", "mv made-here d/moved", "ls d"]);

    // Every event is of a thread that is known, and so is every descriptor that it names.
    let unknown = read(&out, &["not", "proc.name", "exists"]);
    assert_eq!(unknown, "");
    let unnamed = read(
        &out,
        &[
            "-p",
            "%evt.type %evt.args",
            "evt.type",
            "in",
            "(read, write, close)",
            "and",
            "evt.rawres>=0",
            "and",
            "not",
            "fd.type",
            "exists",
        ],
    );
    assert_eq!(unnamed, "");
    let path = folder.path().join("made-here");
    let told =
        read(&out, &["-p", "%fd.name %evt.arg.data", "proc.name=cat", "and", "evt.type=read", "and", "evt.rawres=6"]);
    assert_eq!(told, format!("{} hello.\n", path.display()));

    // Each has its end, the shell the status that was passed on.
    let ends = read(&out, &["evt.type=procexit", "-p", "%proc.name %evt.arg.ret"]);
    assert_eq!(ends.lines().filter(|l| *l == "sh 7").count(), 1, "{ends}");
    assert_eq!(ends.lines().count(), 5, "{ends}");

    // Nothing of other processes is in it.
    let info = scapkit(["info".as_ref(), "--full".as_ref(), "--json".as_ref(), out.as_os_str()]).expect(0).out();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    assert_eq!(info["threads"]["listed"], 1, "{}", info["threads"]);
}

#[test]
fn universal_is_read_by_sysdig_and_wireshark() {
    if !probe() || !have("sysdig") || !have("tshark") {
        return;
    }
    let script = "sort /etc/passwd > made-here; exit";
    let (folder, out, ran) = record(&["--profile", "universal"], &["sh", "-c", script]);
    ran.expect(0);
    let sysdig = run(Command::new("sysdig").arg("-r").arg(&out).args([
        "-p",
        "%proc.name %evt.dir %evt.type %fd.name",
        "proc.name=sort and evt.type in (read,write)",
    ]))
    .expect(0)
    .out();
    // The second is the shell's redirection: what it opened, and copied with dup2.
    let made = folder.path().join("made-here");
    for (call, file) in [("read", Path::new("/etc/passwd")), ("write", &made)] {
        let line = format!("sort < {call} {}", file.display());
        assert!(sysdig.lines().any(|l| l == line), "{line} in {sysdig}");
    }
    let events = read(&out, &["-p", "%evt.num"]).lines().count();
    let tshark = run(Command::new("tshark").arg("-r").arg(&out)).expect(0).out();
    assert!(tshark.lines().count() >= events, "{} of {events}", tshark.lines().count());
}

#[test]
fn the_machine_is_recorded_through_a_filter_with_its_context() {
    if !probe() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("machine.scap.zst");
    // Started before the recording: it is in the lists, with what it has open.
    let mut before = Command::new("sh")
        .args(["-c", "exec 7</etc/hostname; while :; do cat <&7 >/dev/null; sleep 0.05; done"])
        .spawn()
        .unwrap();
    let filter = format!("proc.ppid={} and proc.name=cat", before.id());
    let ran = scapkit(["record", "--duration", "2s", "-o", out.to_str().unwrap(), &filter]);
    before.kill().unwrap();
    before.wait().unwrap();
    ran.expect(0);
    sound(&out);
    let names = read(&out, &["-p", "%proc.name %proc.pname %fd.name", "evt.type=read", "and", "fd.num=0"]);
    assert!(names.lines().count() > 3, "{names}");
    assert!(names.lines().all(|l| l == "cat sh /etc/hostname"), "{names}");
    // What did not pass is there for the state only.
    let others = read(&out, &["proc.name", "!=", "cat"]);
    assert_eq!(others, "");
}

#[test]
fn live_shows_what_happens() {
    if !probe() {
        return;
    }
    let marker = format!("live-marker-{}", std::process::id());
    let args =
        ["live", "-n", "1", "-p", "%proc.name %proc.args", "evt.type=execve", "and", "proc.args", "contains", &marker];
    let mut live = begin(&[&args[..], &["--duration", "30s"]].concat());
    let started = Instant::now();
    while live.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(30));
        run(Command::new("true").arg(&marker));
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = live.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("true {marker}\n"));
    assert!(output.status.success());
}

#[test]
fn open_counts() {
    if !probe() {
        return;
    }
    let out = scapkit(["open", "--json", "--duration", "1500ms"]).expect(0).out();
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(last["last"], true);
    assert!(last["seen"].as_u64().unwrap() >= last["captured"].as_u64().unwrap(), "{last}");
    assert!(last["captured"].as_u64().unwrap() > 0, "{last}");
}

#[test]
fn the_flight_recorder_writes_what_was_before_the_trigger() {
    if !probe() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (out, marker) = (folder.path().join("flight.scap.gz"), folder.path().join("the-trigger"));
    let trigger = format!("evt.type=openat and fd.name={}", marker.display());
    let mut recorder =
        begin(&["record", "-o", out.to_str().unwrap(), "--ring", "1m,64M", "--after", "1s", "--trigger", &trigger]);
    // It is ready when what it sees is kept; before that nothing would be written.
    std::thread::sleep(Duration::from_secs(3));
    let before = folder.path().join("before");
    run(Command::new("touch").arg(&before)).expect(0);
    std::thread::sleep(Duration::from_millis(300));
    run(Command::new("touch").arg(&marker)).expect(0);
    let started = Instant::now();
    let written = loop {
        let found = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path());
        let done = found.into_iter().find(|p| p.to_str().unwrap().ends_with(".scap.gz"));
        if let Some(path) = done {
            break path;
        }
        assert!(started.elapsed() < Duration::from_secs(30), "no file");
        assert!(recorder.try_wait().unwrap().is_none(), "the recorder ended");
        std::thread::sleep(Duration::from_millis(50));
    };
    signal(&recorder, "INT");
    let ended = recorder.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    sound(&written);
    let told = read(
        &written,
        &[
            "-p",
            "%proc.name %fd.name",
            "proc.name=touch",
            "and",
            "evt.type=close",
            "and",
            "fd.directory",
            "=",
            folder.path().to_str().unwrap(),
        ],
    );
    for path in [&before, &marker] {
        assert!(told.lines().any(|l| l == format!("touch {}", path.display())), "{} in {told}", path.display());
    }
}

#[test]
fn killed_it_leaves_a_capture() {
    if !probe() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("killed.scap");
    let mut recorder = begin(&["record", "--compress", "none", "-o", out.to_str().unwrap()]);
    let started = Instant::now();
    // Until something was flushed after the lists.
    while std::fs::metadata(&out).map_or(0, |m| m.len()) < 300_000 {
        assert!(started.elapsed() < Duration::from_secs(30), "nothing was written");
        run(Command::new("ls").arg("/"));
    }
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    let events = read(&out, &["-p", "%evt.num"]).lines().count();
    assert!(events > 100, "{events}");
}

#[test]
fn one_process_and_what_it_started_before() {
    if !probe() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("tree.scap");
    let mut tree = Command::new("sh")
        .args(["-c", "sh -c 'while :; do echo grandchild > /dev/null; sleep 0.02; done'; :"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let pid = tree.id().to_string();
    let ran = scapkit(["record", "--pid", &pid, "--duration", "1s", "--compress", "none", "-o", out.to_str().unwrap()]);
    run(Command::new("pkill").args(["-P", &pid]));
    tree.kill().unwrap();
    tree.wait().unwrap();
    ran.expect(0);
    sound(&out);
    let written = read(&out, &["-p", "%proc.name %proc.ppid %fd.name", "evt.type=write"]);
    assert!(written.lines().count() > 5, "{written}");
    assert!(written.lines().all(|l| l == format!("sh {pid} /dev/null")), "{written}");
    let programs = read(&out, &["-p", "%proc.name"]);
    assert!(programs.lines().all(|l| ["sh", "sleep"].contains(&l)), "others are in it");
}

/// The program with some capabilities only.
fn with_capabilities(caps: &str, args: &[&str]) -> Ran {
    let sets = [format!("--bounding-set={caps}"), format!("--inh-caps={caps}")];
    run(Command::new("setpriv").args(sets).arg(SCAPKIT).args(args))
}

#[test]
fn four_capabilities_are_enough_and_each_is_missed_by_name() {
    if !probe() || !have("setpriv") {
        return;
    }
    let needed = ["bpf", "perfmon", "sys_ptrace", "dac_read_search"];
    let all = |without: &str| {
        let kept = needed.iter().filter(|c| **c != without).map(|c| format!(",+{c}"));
        format!("-all{}", kept.collect::<String>())
    };
    let args = ["open", "--duration", "500ms", "--exits-only"];
    with_capabilities(&all(""), &args).expect(0);
    for one in needed {
        let ran = with_capabilities(&all(one), &args).expect(2);
        let wanted = format!("needs CAP_{}", one.to_uppercase());
        assert!(ran.err().contains(&wanted), "{wanted} in {}", ran.err());
    }
}

#[test]
fn a_filter_for_a_name_is_decided_in_the_kernel() {
    if !probe() {
        return;
    }
    let mut open = begin(&["open", "--json", "--comm", "true", "--duration", "2s"]);
    let mut lines = BufReader::new(open.stdout.take().unwrap()).lines();
    // Until it ends by itself: how long the probe takes to load depends on what else goes on.
    let started = Instant::now();
    while open.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_mins(1), "it does not end");
        run(&mut Command::new("true"));
        run(&mut Command::new("false"));
        std::thread::sleep(Duration::from_millis(20));
    }
    let last: serde_json::Value = serde_json::from_str(&lines.by_ref().last().unwrap().unwrap()).unwrap();
    assert!(last["suppressed"].as_u64().unwrap() > last["captured"].as_u64().unwrap(), "{last}");
    assert!(last["by_type"]["> procexit"].as_u64().unwrap() > 5, "{last}");
}
