//! What the program makes of recorded streams of real sandboxes. Skipped, loudly, where `../shared` is not there.
//!
//! The snapshots were compared with the programs that ran (`wl.c` beside the streams): each failed call has its
//! error, no file or process is there that was not, and programs have the names that they had.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Ran, SCAPKIT, convert, have, run, run_with, scapkit, shared, sound, stem};
use scapkit_format::{Capture, Content, Item, Limits};
use scapkit_replay::{Played, Replay, ReplayOptions};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Streams whose lines are compared one by one.
const SMALL: [&str; 13] = [
    "02-files",
    "03-sockets",
    "04-forks-execs",
    "05-creds-prlimit",
    "06-evfds",
    "09-signals-exits",
    "11-bare-no-context",
    "14-pod-multi-container",
    "15-attach-running",
    "15-attach-running-2",
    "16-minimal-fields",
    "17-two-sandboxes",
    "17-two-sandboxes-1",
];
/// Those of which types are counted, and the text is compared as a whole.
const LARGE: [&str; 7] = [
    "01-shell-pipeline",
    "07-big-io",
    "08-long-args-nonutf8",
    "10-exec-storm-sh",
    "12-slow-consumer-drops",
    "13-dynamic-bash",
    "18-mixed-load",
];
/// Nothing was sent on this connection.
const EMPTY: &str = "15-attach-running-1";

/// What a person needs to see whether an event is right.
const FIELDS: &str =
    "*%evt.num %thread.vtid/%proc.vpid %proc.name [%container.id] %evt.dir%evt.type %evt.res %evt.args";

fn stream(name: &str) -> Option<PathBuf> {
    let file = shared()?.join("gvisor").join(format!("{name}.gvstream"));
    assert!(file.is_file(), "{}", file.display());
    Some(file)
}

fn all_streams() -> Vec<PathBuf> {
    SMALL.iter().chain(&LARGE).filter_map(|name| stream(name)).collect()
}

fn read(file: &Path, more: &[&str]) -> Ran {
    let mut command = Command::new(SCAPKIT);
    command.arg("read").arg(file).args(more);
    run(&mut command).expect(0)
}

/// Long programs' parameters without those that gVisor never tells.
fn short(lines: &str) -> String {
    let mut out = String::new();
    for line in lines.lines() {
        let kept = line.split(' ').filter(|w| !w.ends_with("=<NA>"));
        out.push_str(kept.collect::<Vec<_>>().join(" ").trim_end());
        out.push('\n');
    }
    out
}

#[test]
fn lines_of_small_streams() {
    for name in SMALL {
        let Some(file) = stream(name) else { return };
        let ran = read(&file, &["-p", FIELDS]);
        insta::assert_snapshot!(format!("gvisor-{name}"), short(&ran.out()));
    }
}

#[test]
fn counts_of_large_streams() {
    for name in LARGE {
        let Some(file) = stream(name) else { return };
        let ran = read(&file, &["-p", FIELDS]);
        let types = read(&file, &["-p", "*%evt.dir%evt.type"]);
        let mut counts = BTreeMap::new();
        for line in types.out().lines() {
            *counts.entry(line.to_owned()).or_insert(0_u64) += 1;
        }
        let mut text = String::new();
        for (what, n) in counts {
            writeln!(text, "{what} {n}").unwrap();
        }
        writeln!(text, "{}", blake3::hash(&ran.stdout)).unwrap();
        insta::assert_snapshot!(format!("gvisor-{name}"), text);
    }
}

/// A process or thread, as the last event about it had it.
#[derive(Default)]
struct Node {
    parent: i64,
    line: String,
}

/// The processes and threads of a stream, children behind their parents.
fn tree(file: &Path) -> String {
    // Fields may be read of every event of a thread; the last programs of those that ended are known so.
    let format = "*%thread.tid\u{1f}%proc.ppid\u{1f}%proc.pid\u{1f}%thread.vtid\u{1f}%proc.name\u{1f}%proc.exepath\u{1f}%container.id";
    let ran = read(file, &["-p", format]);
    let mut nodes: BTreeMap<i64, Node> = BTreeMap::new();
    for line in ran.out().lines() {
        let fields: Vec<&str> = line.split('\u{1f}').collect();
        let [tid, ppid, pid, vtid, name, exe, container] = fields[..] else { panic!("{line:?}") };
        let Ok(tid) = tid.parse::<i64>() else { continue };
        if name == "<NA>" || tid.trailing_zeros() >= 32 {
            continue;
        }
        let number = |text: &str| text.parse::<i64>().unwrap_or(0);
        let (parent, kind) = if number(pid) == tid { (number(ppid), "") } else { (number(pid), "thread ") };
        let node = nodes.entry(tid).or_default();
        node.line = format!("{}:{kind}{vtid} {name} {exe} [{container}]", tid >> 32);
        // The one that made it: whoever adopts it later is another matter.
        if node.parent == 0 {
            node.parent = parent;
        }
    }
    let mut out = String::new();
    let roots: Vec<i64> = nodes.iter().filter(|(_, n)| !nodes.contains_key(&n.parent)).map(|(tid, _)| *tid).collect();
    for root in roots {
        grow(&nodes, root, 0, &mut out);
    }
    assert_eq!(out.lines().count(), nodes.len(), "a ring of parents");
    out
}

fn grow(nodes: &BTreeMap<i64, Node>, tid: i64, depth: usize, out: &mut String) {
    writeln!(out, "{:depth$}{}", "", nodes[&tid].line, depth = depth * 2).unwrap();
    for (child, _) in nodes.iter().filter(|(_, n)| n.parent == tid) {
        grow(nodes, *child, depth + 1, out);
    }
}

#[test]
fn process_trees() {
    for name in SMALL.iter().filter(|name| !name.starts_with("11")) {
        let Some(file) = stream(name) else { return };
        insta::assert_snapshot!(format!("gvisor-tree-{name}"), tree(&file));
    }
}

/// At the end of a stream nobody is left.
#[test]
fn all_processes_have_ended_at_the_end() {
    for file in all_streams() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("x.scap");
        convert(&file, &to, &["--compress", "none"]);
        let mut replay = Replay::new(Capture::open(&to, Limits::default()).unwrap(), ReplayOptions::default());
        while let Some(played) = replay.next().unwrap() {
            if let Played::Event(step) = played {
                assert!((-1..1 << 53).contains(&step.event.tid));
            }
        }
        let alive: Vec<i64> = replay.engine().threads().filter(|t| !t.is_dead()).map(|t| t.tid).collect();
        // Without ids there is one that stands for all.
        let wanted: &[i64] = if stem(&file).starts_with("11") { &[1 << 32] } else { &[] };
        assert_eq!(alive, wanted, "{}", stem(&file));
    }
}

#[test]
fn converted_streams_are_sound_and_replay_to_their_end() {
    for file in all_streams() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("x.scap.zst");
        convert(&file, &to, &[]);
        let events = sound(&to);
        assert!(events > 10, "{}", stem(&file));
        assert_eq!(sound(&file), events, "{}", stem(&file));
        scapkit([OsStr::new("replay"), to.as_os_str()]).expect(0);
        scapkit([OsStr::new("replay"), file.as_os_str()]).expect(0);
        assert!(read(&to, &["-p", FIELDS]).stdout == read(&file, &["-p", FIELDS]).stdout, "{}", stem(&file));
        // The same again and again.
        let again = dir.path().join("y.scap.zst");
        convert(&file, &again, &[]);
        assert!(std::fs::read(&to).unwrap() == std::fs::read(&again).unwrap());
    }
}

#[test]
fn a_connection_without_messages_is_a_capture_without_events() {
    let Some(file) = stream(EMPTY) else { return };
    let ran = read(&file, &[]);
    assert_eq!(ran.out(), "");
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("x.scap");
    convert(&file, &to, &["--compress", "none"]);
    assert_eq!(read(&to, &[]).out(), "");
}

/// How many events are for the state only.
fn for_the_state(file: &Path) -> u64 {
    let mut capture = Capture::open(file, Limits::default()).unwrap();
    let mut n = 0;
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(_, Content::Event(event)) = item {
            n += u64::from(event.is_state_only());
        }
    }
    n
}

/// The universal profile for programs that are not ours.
#[test]
fn sysdig_and_tshark_read_converted_streams() {
    let (sysdig, tshark) = (have("sysdig"), have("tshark"));
    for file in all_streams() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("u.scap");
        convert(&file, &to, &["--profile", "universal", "--compress", "none"]);
        let events = sound(&to);
        if sysdig {
            // With -D internal events too; those that are for the state only never.
            let theirs = run(Command::new("sysdig").arg("-D").arg("-r").arg(&to).args(["-p", "*%evt.num"])).expect(0);
            let lines = theirs.out().lines().count() as u64;
            assert_eq!(lines, events - for_the_state(&to), "{}: sysdig -D", stem(&file));
            let theirs = run(Command::new("sysdig").arg("-r").arg(&to).args(["-p", "*%evt.num %evt.type"])).expect(0);
            let ours = read(&to, &["--view", "recorded", "-p", "*%evt.num %evt.type"]);
            assert_eq!(theirs.out().lines().count(), ours.out().lines().count(), "{}: sysdig", stem(&file));
        }
        if tshark {
            let frames = run(Command::new("tshark").arg("-r").arg(&to).args(["-T", "fields", "-e", "frame.number"]));
            let frames = frames.expect(0);
            assert!(!frames.err().contains("cut short"), "{}: {}", stem(&file), frames.err());
            // Events with flags stand in blocks that it does not know.
            let frames = frames.out().lines().count() as u64;
            assert_eq!(frames, events - for_the_state(&to), "{}: tshark", stem(&file));
        }
    }
}

#[test]
fn every_way_to_give_a_stream_gives_the_same() {
    let Some(file) = stream("06-evfds") else { return };
    let bytes = std::fs::read(&file).unwrap();
    let wanted = read(&file, &["-p", FIELDS]).stdout;
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    // Compressed.
    std::fs::write(at("x.gvstream.zst"), zstd::encode_all(&bytes[..], 3).unwrap()).unwrap();
    assert!(read(&at("x.gvstream.zst"), &["-p", FIELDS]).stdout == wanted);
    if have("gzip") {
        let zipped = run(Command::new("gzip").arg("-c").arg(&file)).expect(0).stdout;
        std::fs::write(at("x.gvstream.gz"), zipped).unwrap();
        assert!(read(&at("x.gvstream.gz"), &["-p", FIELDS]).stdout == wanted);
    }
    // Piped.
    let piped = run_with(Command::new(SCAPKIT).args(["read", "-", "-p", FIELDS]), &bytes).expect(0);
    assert!(piped.stdout == wanted);
    let zipped = std::fs::read(at("x.gvstream.zst")).unwrap();
    let piped = run_with(Command::new(SCAPKIT).args(["read", "-", "-p", FIELDS]), &zipped).expect(0);
    assert!(piped.stdout == wanted);
    // As gVisor saves it.
    let mut saved = b"tracereplay file".to_vec();
    let settings = br#"{"version":1}"#;
    let mut put = |packet: &[u8]| {
        saved.extend_from_slice(&(packet.len() as u64).to_le_bytes());
        saved.extend_from_slice(packet);
    };
    put(settings);
    let (mut rest, mut packets) = (&bytes[..], 0);
    while let Some((word, after)) = rest.split_first_chunk::<4>() {
        let word = u32::from_le_bytes(*word);
        let (record, after) = after.split_at((word & 0x0fff_ffff) as usize);
        if word >> 28 == 0 {
            put(record);
            packets += 1;
        }
        rest = after;
    }
    assert_eq!(packets, 350);
    std::fs::write(at("saved"), &saved).unwrap();
    assert!(read(&at("saved"), &["-p", FIELDS]).stdout == wanted);
    // Cut off: what is there, and a note.
    for cut in [bytes.len() - 1, bytes.len() / 2, 14] {
        std::fs::write(at("cut"), &bytes[..cut]).unwrap();
        let ran = read(&at("cut"), &["-p", FIELDS]);
        assert!(ran.err().contains("truncated tail"), "{cut}: {}", ran.err());
        let lines = ran.out();
        let events = lines.lines().filter(|l| !l.contains(">procexit")).count();
        // Threads end with the stream, which the whole one tells otherwise.
        let same = lines.lines().zip(String::from_utf8_lossy(&wanted).lines()).take_while(|(a, b)| a == b).count();
        assert!(same + 1 >= events, "{cut}: {same} of {events}");
    }
}
