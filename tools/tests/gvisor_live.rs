//! Sandboxes that are recorded as they run: what the capture tells, and what happens when a sandbox or a recorder is
//! killed, stalls, or is sent nonsense. The tests with sandboxes need root, runsc and a static busybox.

#![allow(clippy::unwrap_used)]

mod common;

use common::recorder::{ENDS, PATIENCE, Recorder, Recording, end, lines, listens, signal, wait_until};
use common::sandboxes::{Container, Sandboxes};
use common::{SCAPKIT, convert, have, info, run, scapkit, shared, skipped, sound, stem};
use rustix::fd::OwnedFd;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use scapkit_capture::gvisor::stream::{Reader, Sent, StreamLimits, What, Writer};
use scapkit_proto::{Header, Message};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What runsc is told, as a file.
#[track_caller]
fn config(sandboxes: &Sandboxes, points: &str, more: &[&str]) -> PathBuf {
    let file = sandboxes.path(&format!("{points}.json"));
    let mut command = Command::new(SCAPKIT);
    command.args(["gvisor", "config", "--fail-closed", "--points", points, "--socket"]).arg(sandboxes.path("s"));
    run(command.arg("-o").arg(&file).args(more)).expect(0);
    file
}

/// In a test nothing may be lost because the machine is busy.
const PATIENT: [&str; 2] = ["--retries", "20"];

/// Records the tour of our workload, as the command that the recorder runs.
#[track_caller]
fn tour(points: &str) -> Option<(Sandboxes, Recording)> {
    let mut sandboxes = Sandboxes::with_workload()?;
    let file = config(&sandboxes, points, &PATIENT);
    let args = ["/bin/workload", "tour"];
    let id = sandboxes.id("tour");
    let container = Container { id: &id, args: &args, config: Some(&file), ..Container::default() };
    let runsc = sandboxes.command(&container);
    let folder = sandboxes.path("");
    let mut command = Recorder::command(&folder, points, &["--"]);
    command.arg(runsc.get_program()).args(runsc.get_args()).current_dir(runsc.get_current_dir().unwrap());
    let child = command.spawn().unwrap();
    let mut recorder = Recorder { child, folder, name: points.to_owned() };
    let status = end(&mut recorder.child);
    assert!(status.success(), "{status}: {}{}", recorder.said(), sandboxes.said(&id));
    let recording = Recording { out: recorder.out(), raw: recorder.raw(), said: recorder.said() };
    recording.check();
    assert!(!recording.said.contains("lost"), "{}", recording.said);
    drop(recorder);
    Some((sandboxes, recording))
}

/// What the tour does, in events: a filter, and how many.
const TOUR: &[(&str, usize)] = &[
    ("evt.type=execve and evt.rawres=0 and proc.args='tour' and proc.exe=/bin/workload", 1),
    ("evt.type=execve and evt.rawres=0 and proc.exe=true and proc.args='an argument' and proc.exepath=/bin/busybox", 1),
    ("evt.type=execve and evt.rawres=-2", 1),
    ("evt.type=openat and evt.rawres=-2 and evt.arg.name startswith /tmp/missing", 5),
    ("evt.type=openat and evt.rawres=-2 and evt.arg.name startswith /tmp/thread", 2),
    ("evt.type=openat and evt.rawres>=0 and evt.arg.name startswith /tmp/made", 3),
    ("evt.type=connect and evt.rawres=0 and evt.arg.addr=127.0.0.1:4242", 1),
    ("evt.type=connect and evt.rawres=-111 and evt.arg.addr=127.0.0.1:4243", 1),
    ("evt.type=connect and evt.rawres=-2 and evt.arg.addr=/tmp/nobody", 1),
    ("evt.type=clone and evt.rawres=0 and proc.pname=workload", 4),
    ("evt.type=clone and evt.rawres=0 and thread.ismain=false", 2),
    ("evt.type=clone and evt.rawres>0", 6),
    ("evt.type=procexit", 7),
    ("evt.type=chdir and evt.rawres=0", 2),
    ("evt.type=chdir and evt.rawres=-2 and evt.arg.path=/tmp/nowhere", 1),
];

/// The same for calls that the smallest set of points leaves out.
const TOUR_MORE: &[(&str, usize)] = &[
    ("evt.type=mkdir and evt.rawres=0", 3),
    ("evt.type=mkdir and evt.rawres=-17", 1),
    ("evt.type=rename and evt.rawres=0", 3),
    ("evt.type=unlink and evt.rawres=0", 3),
    ("evt.type=dup and evt.rawres>=0", 4),
    ("evt.type=dup and evt.rawres=-9", 1),
    ("evt.type=connect and evt.rawres=0 and fd.sip=127.0.0.1 and fd.sport=4242", 1),
    ("evt.type=bind and evt.rawres=0 and fd.name=127.0.0.1:4242", 1),
    ("evt.type=listen and evt.rawres=0", 1),
    ("evt.type in (accept, accept4) and evt.rawres>=0", 1),
    ("evt.type in (pipe, pipe2) and evt.rawres=0", 1),
    ("evt.type=write and evt.rawres=5", 4),
];

#[track_caller]
fn tells_the_tour(recording: &Recording, wanted: &[(&str, usize)]) {
    let format = "%evt.rawtime %evt.dir %evt.type %thread.tid %proc.pid %proc.name %evt.args";
    let wrong: Vec<_> = wanted
        .iter()
        .map(|(filter, count)| {
            let filter = format!("{ENDS} and container.id startswith tour- and {filter}");
            (recording.lines("%evt.type", &filter).len(), *count, filter)
        })
        .filter(|(found, wanted, _)| found != wanted)
        .collect();
    let all = recording.lines(format, "not evt.type in (read, close, mmap, brk)").join("\n");
    assert!(wrong.is_empty(), "found, wanted, of: {wrong:#?}\n{all}");
}

#[test]
fn a_sandbox_is_told_as_it_was() {
    let Some((_sandboxes, recording)) = tour("recommended") else { return };
    tells_the_tour(&recording, TOUR);
    tells_the_tour(&recording, TOUR_MORE);
    let exits = recording.lines("%evt.arg.status", "evt.type=procexit and proc.name=workload");
    let codes: BTreeSet<_> = exits.iter().map(|status| status.parse::<u32>().unwrap() >> 8).collect();
    assert_eq!(codes, BTreeSet::from([0, 10, 11, 12]));
    let text = info(&recording.out);
    assert_eq!(text["events"]["lost"], 0, "{text}");
}

#[test]
fn all_points_tell_no_call_twice() {
    let Some((_sandboxes, all)) = tour("all") else { return };
    tells_the_tour(&all, TOUR);
    tells_the_tour(&all, TOUR_MORE);
    let Some((_sandboxes, recommended)) = tour("recommended") else { return };
    let (all, recommended) = (all.counts(), recommended.counts());
    for (name, count) in &recommended {
        assert_eq!(all.get(name), Some(count), "{name}: all {all:?}, recommended {recommended:?}");
    }
}

#[test]
fn the_smallest_set_tells_what_matters_most() {
    let Some((_sandboxes, recording)) = tour("minimal") else { return };
    tells_the_tour(&recording, TOUR);
    let counts = recording.counts();
    assert!(!counts.contains_key("close") && !counts.contains_key("mkdir"), "{counts:?}");
}

/// A container that goes on until it is killed, starting a program from time to time.
const BEAT: [&str; 3] = ["/bin/sh", "-c", "while :; do /bin/sleep 0.05; /bin/cat /no/such/file; done"];

#[test]
fn two_sandboxes_on_one_socket() {
    let Some(mut sandboxes) = Sandboxes::with_workload() else { return };
    let file = config(&sandboxes, "recommended", &PATIENT);
    let recorder = Recorder::start(&sandboxes.path(""), "two", &[]);
    let args = ["/bin/workload", "tour"];
    let ids = ["one", "two"].map(|name| sandboxes.id(name));
    for id in &ids {
        sandboxes.spawn(&Container { id, args: &args, config: Some(&file), ..Container::default() });
    }
    sandboxes.wait();
    let recording = recorder.end();
    recording.check();
    let mut halves = BTreeMap::<String, BTreeSet<u64>>::new();
    let mut counts = BTreeMap::<String, usize>::new();
    for line in recording.lines("%container.id %thread.tid", ENDS) {
        let (container, tid) = line.split_once(' ').unwrap();
        halves.entry(container.to_owned()).or_default().insert(tid.parse::<u64>().unwrap() >> 32);
        *counts.entry(container.to_owned()).or_default() += 1;
    }
    assert!(halves.keys().eq(&ids), "{halves:?}");
    assert!(halves.values().all(|of| of.len() == 1) && halves[&ids[0]] != halves[&ids[1]], "{halves:?}");
    // The same was done in both.
    for filter in TOUR.iter().chain(TOUR_MORE) {
        for id in &ids {
            let of = format!("{ENDS} and container.id={id} and {}", filter.0);
            assert_eq!(recording.lines("%evt.type", &of).len(), filter.1, "{of}");
        }
    }
    let times: Vec<u64> = recording.lines("%evt.rawtime", "").iter().map(|t| t.parse().unwrap()).collect();
    assert!(times.first() > Some(&0));
}

/// The same beside a program that goes on: the arguments of the shell.
const BEAT_AND_SLEEP: &str = "-c /bin/sleep 100 & while :; do /bin/cat /no/such/file; /bin/sleep 0.05; done";

/// The time of the last message of a container in a file of packets, ns.
fn last_time(raw: &Path, container: &str) -> i64 {
    let mut times = packets(raw).into_iter().filter_map(|packet| {
        let header = Header::parse(&packet).unwrap();
        let message =
            Message::decode(header.kind, packet[usize::from(header.size)..].to_vec().into()).unwrap().unwrap();
        let context = message.context().unwrap();
        (context.container_id == container).then_some(context.time_ns)
    });
    times.next_back().unwrap()
}

#[test]
fn a_sandbox_that_is_killed() {
    let Some(mut sandboxes) = Sandboxes::new() else { return };
    let file = config(&sandboxes, "recommended", &PATIENT);
    let recorder = Recorder::start(&sandboxes.path(""), "killed", &[]);
    let script = ["/bin/sh", "-c", BEAT_AND_SLEEP.trim_start_matches("-c ")];
    let (id, later) = (sandboxes.id("victim"), sandboxes.id("later"));
    let victim = Container { id: &id, args: &script, config: Some(&file), detached: true, ..Container::default() };
    sandboxes.start(&victim);
    wait_until("messages", || recorder.raw().metadata().unwrap().len() > 50_000);
    signal(u32::try_from(sandboxes.find(&id).pid).unwrap(), "KILL");
    let args = ["/bin/true"];
    sandboxes.start(&Container { id: &later, args: &args, config: Some(&file), ..Container::default() });
    let recording = recorder.end();
    recording.check();
    // Every thread that was made has ended, and those that were alive at the time of the last message.
    let tids = |filter: &str| recording.lines("%thread.tid", filter).into_iter().collect::<BTreeSet<_>>();
    let all = tids("container.id startswith victim-");
    assert!(all.len() > 5, "{all:?}");
    assert_eq!(all, tids("container.id startswith victim- and evt.type=procexit"));
    let last = last_time(&recording.raw, &id).to_string();
    let ends = recording.lines("%evt.rawtime %proc.args", "container.id startswith victim- and evt.type=procexit");
    for alive in ["100", BEAT_AND_SLEEP] {
        assert!(ends.iter().any(|line| *line == format!("{last} {alive}")), "{last} {alive}: {ends:?}");
    }
    // And the recorder went on.
    let execs = recording.lines("%proc.name", "container.id startswith later- and evt.type=execve and evt.dir=<");
    assert_eq!(execs, ["true"]);
}

#[test]
fn a_recorder_that_is_killed_and_its_successor() {
    let Some(mut sandboxes) = Sandboxes::new() else { return };
    let file = config(&sandboxes, "recommended", &PATIENT);
    let folder = sandboxes.path("");
    let mut first = Recorder::start(&folder, "first", &[]);
    let id = sandboxes.id("beat");
    let beat = Container { id: &id, args: &BEAT, config: Some(&file), detached: true, ..Container::default() };
    sandboxes.start(&beat);
    // What is older than a second is in the file.
    wait_until("messages", || first.raw().metadata().unwrap().len() > 20_000);
    std::thread::sleep(Duration::from_millis(1500));
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let execs = lines(&first.out(), "%proc.name", "evt.type=execve and evt.dir=< and container.id startswith beat-");
    assert!(execs.len() > 3 && execs[0] == "sh" && execs.contains(&"sleep".to_owned()), "{execs:?}");
    let verdict = scapkit([OsStr::new("verify"), first.out().as_os_str()]);
    let truncated = verdict.err() + &verdict.out();
    assert!(verdict.code() == 0 || truncated.contains("truncated"), "{truncated}");
    assert!(sandboxes.path("s").exists());

    let root = sandboxes.path("root");
    let second = Recorder::start(&folder, "second", &["--attach", "all", "--root", root.to_str().unwrap()]);
    wait_until("messages", || second.raw().metadata().unwrap().len() > 20_000);
    let recording = second.end();
    recording.check();
    assert!(!folder.join("s").exists());
    // Its first process is known before anything is heard of it, and so it is the parent of all others.
    let format = "%container.id %proc.vpid %proc.name %proc.args";
    let told = recording.lines(format, "evt.dir=< and proc.name=sh and proc.vpid=1");
    assert!(!told.is_empty() && told.iter().all(|line| *line == format!("{id} 1 sh -c {}", BEAT[2])), "{told:?}");
    let parents = recording.lines("%proc.pname", "evt.type=execve and evt.dir=< and proc.name=sleep");
    is_parent(&parents, "sh");
    let text = info(&recording.out);
    assert!(text["threads"]["listed"].as_u64().unwrap() >= 1, "{text}");
}

/// Fails unless all but one have this parent: one may have been made before the session and have ended before its list.
#[track_caller]
fn is_parent(parents: &[String], name: &str) {
    let known = parents.iter().filter(|parent| *parent == name).count();
    assert!(known > 0 && known + 1 >= parents.len(), "{parents:?}");
}

/// What the headers of a recording's packets say of losses, connection by connection, in all.
fn lost_by_headers(raw: &Path) -> u64 {
    let mut reader = Reader::new(File::open(raw).unwrap(), StreamLimits::default()).unwrap();
    let mut last = BTreeMap::new();
    while let Some(sent) = reader.next().unwrap() {
        if let What::Packet(packet) = sent.what {
            last.insert(sent.connection, Header::parse(&packet).unwrap().dropped);
        }
    }
    last.into_values().map(u64::from).sum()
}

#[test]
fn what_a_sandbox_could_not_send_is_counted() {
    let Some(mut sandboxes) = Sandboxes::with_workload() else { return };
    let file = config(&sandboxes, "recommended", &["--retries", "0"]);
    let recorder = Recorder::start(&sandboxes.path(""), "stalled", &[]);
    let args = ["/bin/workload", "storm", "4000"];
    let id = sandboxes.id("storm");
    sandboxes.spawn(&Container { id: &id, args: &args, config: Some(&file), ..Container::default() });
    wait_until("messages", || recorder.raw().metadata().unwrap().len() > 50_000);
    signal(recorder.child.id(), "STOP");
    std::thread::sleep(Duration::from_millis(1500));
    signal(recorder.child.id(), "CONT");
    sandboxes.wait();
    let recording = recorder.end();
    recording.check();
    let lost = lost_by_headers(&recording.raw);
    assert!(lost > 500, "{lost}");
    let drops = recording.lines("%evt.arg.ratio", "evt.type=drop");
    assert_eq!(drops.iter().map(|n| n.parse::<u64>().unwrap()).sum::<u64>(), lost, "{drops:?}");
    assert_eq!(info(&recording.out)["events"]["lost"], lost);
    assert!(
        recording.said.contains("messages were lost, by sandboxes before they could be sent"),
        "{}",
        recording.said
    );
}

#[test]
fn execs_are_shown_as_they_happen() {
    let Some(mut sandboxes) = Sandboxes::new() else { return };
    let file = config(&sandboxes, "recommended", &PATIENT);
    let socket = sandboxes.path("s");
    let (shown, counted) = (sandboxes.id("shown"), sandboxes.id("counted"));
    let begin = |command: &str, more: &[&str]| {
        let mut begun = Command::new(SCAPKIT);
        begun.args([command, "--engine", "gvisor", "--socket"]).arg(&socket).args(more);
        let child = begun.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("the socket", || listens(&socket));
        child
    };
    let beat = |id| Container { id, args: &BEAT, config: Some(&file), detached: true, ..Container::default() };
    // The recorder ends while the sandbox goes on: it has shown what was asked for.
    let mut live = begin("live", &["--json", "-p", "%evt.type %proc.name %container.id", "-n", "3", "evt.type=execve"]);
    sandboxes.start(&beat(&shown));
    let status = end(&mut live);
    let output = live.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(status.success(), "{status}: {err}");
    let execs: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(execs.len(), 3, "{out}");
    assert!(execs.iter().all(|exec| exec["evt.type"] == "execve" && exec["container.id"] == *shown), "{out}");
    assert_eq!(execs[0]["proc.name"], "sh", "{out}");

    let mut open = begin("open", &["--duration", "4s", "--json"]);
    sandboxes.start(&beat(&counted));
    let status = end(&mut open);
    let output = open.wait_with_output().unwrap();
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(last["last"], true, "{last}");
    let by_type = last["by_type"].as_object().unwrap();
    assert_eq!(
        by_type.values().map(|n| n.as_u64().unwrap()).sum::<u64>(),
        last["captured"].as_u64().unwrap(),
        "{last}"
    );
    assert!(by_type["< execve"].as_u64().unwrap() >= 1 && last["captured"].as_u64().unwrap() > 10, "{last}");
    assert_eq!(last["drops"]["buffer"], 0, "{last}");
}

#[test]
fn processes_that_a_file_tells() {
    let Some(mut sandboxes) = Sandboxes::new() else { return };
    let id = sandboxes.id("beat");
    let beat = Container { id: &id, args: &BEAT, detached: true, ..Container::default() };
    sandboxes.start(&beat);
    let listed = run(sandboxes.runsc().args(["trace", "procfs", &id])).expect(0);
    let file = sandboxes.path("procfs.txt");
    std::fs::write(&file, &listed.stdout).unwrap();
    let folder = sandboxes.path("");
    let recorder = Recorder::start(&folder, "known", &["--procfs", file.to_str().unwrap()]);
    sandboxes.gvisor(&format!("attach --socket {} {id}", folder.join("s").display())).expect(0);
    wait_until("messages", || recorder.raw().metadata().unwrap().len() > 20_000);
    let recording = recorder.end();
    recording.check();
    let names = recording.lines("%proc.name %proc.args", "evt.dir=< and proc.vpid=1 and not evt.type=container");
    assert!(!names.is_empty() && names.iter().all(|line| *line == format!("sh -c {}", BEAT[2])), "{names:?}");
    let parents = recording.lines("%proc.pname", "evt.type=execve and evt.dir=< and proc.name=sleep");
    is_parent(&parents, "sh");

    // The same when the packets alone are converted, and the file is told then.
    let alone = folder.join("alone.gvstream");
    without_processes(&recording.raw, &alone);
    let moved = Recording { raw: alone, ..recording };
    moved.is_what_converts(&["--procfs", file.to_str().unwrap()]);
}

/// Copies a recording's packets without the lists of processes.
fn without_processes(from: &Path, to: &Path) {
    let mut reader = Reader::new(File::open(from).unwrap(), StreamLimits::default()).unwrap();
    let mut writer = Writer::create(to).unwrap();
    let mut left_out = 0;
    while let Some(sent) = reader.next().unwrap() {
        if matches!(sent.what, What::Procfs(_)) {
            left_out += 1;
        } else {
            writer.sent(&sent).unwrap();
        }
    }
    writer.flush().unwrap();
    assert_eq!(left_out, 1);
}

/// What an attached sandbox leaves in the file of packets converts, whether anything was heard of it or not.
#[test]
fn lists_of_processes_come_before_events() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw.gvstream");
    let out = folder.path().join("out.scap");
    let dump = concat!(
        "CONTAINER of-list\nPROCFS DUMP\n\n",
        r#"{"exe":"/bin/busybox","args":["sh","-i"],"cwd":"/","status":{"comm":"sh","pid":1}}"#,
        "\n"
    );
    // `sentry/task_exit` at one second, by thread 1 of process 1.
    let message = [8, 0, 5, 0, 0, 0, 0, 0, 0x0a, 10, 8, 0x80, 0x94, 0xeb, 0xdc, 3, 0x10, 1, 0x20, 1];
    for is_heard_of in [true, false] {
        let mut writer = Writer::create(&raw).unwrap();
        let mut sent = |what| writer.sent(&Sent { connection: 0, what }).unwrap();
        sent(What::Opened);
        sent(What::Procfs(dump.into()));
        if is_heard_of {
            sent(What::Packet(message.to_vec().into()));
        }
        writer.flush().unwrap();
        convert(&raw, &out, &[]);
        if is_heard_of {
            sound(&out);
        }
        let text = info(&out);
        assert_eq!(text["threads"]["listed"], 1, "{text}");
        let format = "%evt.rawtime %evt.type %proc.cmdline %container.id %container.name";
        let told = lines(&out, format, "");
        if is_heard_of {
            assert_eq!(told.last().map(String::as_str), Some("1000000000 procexit sh -i of-list of-list"), "{told:?}");
            assert!(told.iter().all(|line| line.starts_with("1000000000 ")), "{told:?}");
        } else {
            // Readers need an event.
            assert_eq!(told, ["0 sysdigevent <NA> <NA> <NA>"]);
        }
    }
}

/// Something that connects as a sandbox does.
fn dial(socket: &Path) -> OwnedFd {
    let fd = net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    net::connect(&fd, &SocketAddrUnix::new(socket).unwrap()).unwrap();
    fd
}

fn tell(to: &OwnedFd, packet: &[u8]) -> rustix::io::Result<usize> {
    net::send(to, packet, SendFlags::NOSIGNAL)
}

/// What comes back; empty at the end.
fn answer(from: &OwnedFd) -> Vec<u8> {
    let mut reply = [0; 16];
    let length = net::recv(from, &mut reply[..], RecvFlags::empty()).map_or(0, |(length, _)| length);
    reply[..length].to_vec()
}

const VERSION_1: [u8; 2] = [8, 1];

#[track_caller]
fn connected(socket: &Path) -> OwnedFd {
    let fd = dial(socket);
    tell(&fd, &VERSION_1).unwrap();
    assert_eq!(answer(&fd), VERSION_1);
    fd
}

/// The packets of a file, of all its connections.
fn packets(file: &Path) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(File::open(file).unwrap(), StreamLimits::default()).unwrap();
    let mut packets = Vec::new();
    while let Some(sent) = reader.next().unwrap() {
        if let What::Packet(packet) = sent.what {
            packets.push(packet.to_vec());
        }
    }
    packets
}

#[test]
fn recorded_packets_sent_again() {
    let Some(shared) = shared() else { return };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(shared.join("gvisor")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "gvstream"));
    files.sort();
    assert!(files.len() >= 18, "{}", files.len());
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    for file in &files {
        let name = stem(file);
        let recorder = Recorder::start(folder.path(), &name, &[]);
        let to = connected(&socket);
        let packets = packets(file);
        for packet in &packets {
            assert_eq!(tell(&to, packet), Ok(packet.len()), "{name}");
        }
        drop(to);
        let recording = recorder.end();
        if packets.is_empty() {
            // A file of a recorder has one event at least, as some readers want it: a mark that means nothing.
            assert_eq!(recording.lines("%evt.type", ""), ["sysdigevent"], "{name}");
            continue;
        }
        recording.is_what_converts(&[]);
        let of_shared = Recording { raw: folder.path().join("shared"), ..recording };
        std::fs::copy(file, &of_shared.raw).unwrap();
        of_shared.is_what_converts(&[]);
    }
    // Two at the same time: packets of both are merged by their times, and each tells what it tells alone.
    let pair = ["17-two-sandboxes", "17-two-sandboxes-1"].map(|name| shared.join(format!("gvisor/{name}.gvstream")));
    let recorder = Recorder::start(folder.path(), "both", &[]);
    let to = [(); 2].map(|()| connected(&socket));
    let [first, second] = pair.each_ref().map(|file| packets(file));
    assert_eq!(first.len(), second.len());
    for (one, other) in first.iter().zip(&second) {
        tell(&to[0], one).unwrap();
        tell(&to[1], other).unwrap();
    }
    drop(to);
    let recording = recorder.end();
    recording.check();
    for (file, id) in pair.iter().zip(["sandbox-1", "sandbox-2"]) {
        let alone = folder.path().join("alone.scap");
        convert(file, &alone, &["--compress", "none"]);
        let format = "%evt.rawtime %evt.type %thread.vtid %proc.name %evt.failed";
        let filter = format!("{ENDS} and container.id={id}");
        let told = recording.lines(format, &filter);
        assert!(told.len() > 50, "{}", told.len());
        assert_eq!(told, lines(&alone, format, &filter));
    }
}

#[test]
fn who_does_not_keep_to_the_protocol_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s");
    let recorder = Recorder::start(folder.path(), "refused", &[]);
    // No version, a version of 0, and nonsense instead of one.
    for handshake in [vec![8, 0], b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 64], vec![8; 20_000]] {
        let fd = dial(&socket);
        tell(&fd, &handshake).unwrap();
        assert_eq!(answer(&fd), b"", "{handshake:?}");
    }
    // Packets that are none, until the recorder has enough of it.
    let fd = connected(&socket);
    wait_until("the end of a connection", || tell(&fd, b"\x01").is_err());
    // One that is larger than any message is passed over, as the rest of the connection shows.
    let good = connected(&socket);
    let root = rustix::process::geteuid().is_root();
    if root {
        net::sockopt::set_socket_send_buffer_size_force(&good, 4 << 20).unwrap();
        tell(&good, &vec![8; (1 << 20) + 1]).unwrap();
        // Anybody may connect now, by the mode of the socket.
        for path in [folder.path(), &socket] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
        }
        let of_thread = socket.clone();
        let stranger = std::thread::spawn(move || {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            let fd = dial(&of_thread);
            let _ = tell(&fd, &VERSION_1);
            answer(&fd)
        });
        assert_eq!(stranger.join().unwrap(), b"");
    } else {
        skipped("a client of another user, and a large packet, need root");
    }
    // A message of `sentry/task_exit` at one second, by thread 7.
    let message = [8, 0, 5, 0, 0, 0, 0, 0, 0x0a, 8, 8, 0x80, 0x94, 0xeb, 0xdc, 3, 0x10, 7];
    tell(&good, &message).unwrap();
    drop(good);
    let recording = recorder.end();
    recording.check();
    assert_eq!(recording.lines("%evt.rawtime %thread.tid", "evt.type=procexit"), ["1000000000 4294967303"]);
    for (says, times) in [
        ("handshake: wanted version 1 or later, found 0", 1),
        ("handshake: ", 4),
        ("packets without a proper header", 1),
        ("only users", usize::from(root)),
    ] {
        assert_eq!(recording.said.matches(says).count(), times, "{says}: {}", recording.said);
    }
    assert_eq!(recording.said.contains("1 for their size"), root, "{}", recording.said);
}

/// Docker's daemon in a folder of its own, ended with all that it has made.
struct Docker {
    daemon: Child,
    folder: PathBuf,
}

impl Docker {
    /// Starts one that has runsc as a runtime, with `config` for all its sandboxes.
    #[track_caller]
    fn start(folder: PathBuf, config: &Path) -> Docker {
        let at = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        let runsc = run(Command::new("sh").args(["-c", "command -v runsc"])).expect(0).out();
        let config = format!("--pod-init-config={}", config.display());
        let runsc_args = ["--platform=ptrace", "--ignore-cgroups", "--network=none", "--overlay2=all:memory", &config];
        let settings = json!({"runtimes": {"runsc": {"path": runsc.trim(), "runtimeArgs": runsc_args}}});
        std::fs::write(at("daemon.json"), settings.to_string()).unwrap();
        std::fs::create_dir(at("run")).unwrap();
        let mut command = Command::new("dockerd");
        command.args(["--config-file", &at("daemon.json"), "--data-root", &at("data"), "--exec-root", &at("exec")]);
        command.args(["--pidfile", &at("pid"), "--host", &format!("unix://{}", at("run/docker.sock"))]);
        command.args(["--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip6tables=false"]);
        let said = File::create(at("dockerd.err")).unwrap();
        command.stdin(Stdio::null()).stdout(said.try_clone().unwrap()).stderr(said);
        let mut docker = Docker { daemon: command.spawn().unwrap(), folder };
        wait_until("dockerd", || {
            if let Some(status) = docker.daemon.try_wait().unwrap() {
                panic!("dockerd: {status}: {}", std::fs::read_to_string(docker.folder.join("dockerd.err")).unwrap());
            }
            run(&mut docker.command(&["version"])).code() == 0
        });
        docker
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "60", "docker", "--host"]);
        command.arg(format!("unix://{}", self.folder.join("run/docker.sock").display())).args(args);
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = run(&mut self.command(&["rm", "--force", "web"]));
        let _ = run(Command::new("kill").arg(self.daemon.id().to_string()));
        let until = Instant::now() + PATIENCE;
        while self.daemon.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = (self.daemon.kill(), self.daemon.wait());
        // Left mounted by the daemon.
        let _ = rustix::mount::unmount(self.folder.join("exec/netns/default"), rustix::mount::UnmountFlags::DETACH);
    }
}

#[test]
fn a_container_of_docker() {
    if !(have("dockerd") && have("docker")) {
        return;
    }
    let Some(sandboxes) = Sandboxes::new() else { return };
    let file = config(&sandboxes, "recommended", &PATIENT);
    let folder = sandboxes.path("docker");
    std::fs::create_dir(&folder).unwrap();
    let docker = Docker::start(folder, &file);
    let archive = sandboxes.path("box.tar");
    run(Command::new("tar").arg("-C").arg(sandboxes.path("rootfs")).arg("-cf").arg(&archive).arg(".")).expect(0);
    run(&mut docker.command(&["import", archive.to_str().unwrap(), "box:1"])).expect(0);
    let recorder = Recorder::start(&sandboxes.path(""), "docker", &[]);
    let args = ["run", "--name", "web", "--runtime=runsc", "--network=none", "box:1"];
    let script = ["/bin/sh", "-c", "/bin/cat /no/such/file; exit 7"];
    run(&mut docker.command(&[&args[..], &script].concat())).expect(7);
    let id = run(&mut docker.command(&["inspect", "--format", "{{.Id}}", "web"])).expect(0).out();
    let recording = recorder.end();
    recording.check();
    let execs = recording.lines("%container.id %proc.args", "evt.type=execve and evt.dir=<");
    let short = &id[..12];
    assert_eq!(execs, [format!("{short} -c {}", script[2]), format!("{short} /no/such/file")]);
    let failed = recording.lines("%evt.rawres", "evt.type=openat and evt.dir=< and evt.arg.name=/no/such/file");
    assert_eq!(failed, ["-2"]);
}
