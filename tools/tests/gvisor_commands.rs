//! `scapkit gvisor`: configurations that gVisor takes, and sessions of sandboxes that run. The tests with sandboxes
//! need root, runsc and a static busybox.

#![allow(clippy::unwrap_used)]

mod common;

use common::sandboxes::{Container, Sandboxes};
use common::{SCAPKIT, run, scapkit, shared};
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use scapkit_capture::gvisor::{procfs, runsc::Runsc};
use scapkit_proto::{Header, Message};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A connection of a sandbox: its packets, and whether it has ended.
#[derive(Debug, Default, Clone)]
struct Connection {
    packets: Vec<Vec<u8>>,
    ended: bool,
}

/// What sandboxes send to a socket.
struct Monitor {
    connections: Arc<Mutex<Vec<Connection>>>,
}

impl Monitor {
    /// Listens until the test ends.
    fn at(path: &Path) -> Monitor {
        let socket = net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        net::bind(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        net::listen(&socket, 8).unwrap();
        let connections = Arc::new(Mutex::new(Vec::new()));
        let of_thread = connections.clone();
        std::thread::spawn(move || {
            while let Ok(connection) = net::accept_with(&socket, SocketFlags::CLOEXEC) {
                let connections = of_thread.clone();
                std::thread::spawn(move || serve(&connection, &connections));
            }
        });
        Monitor { connections }
    }

    /// The connections, once this many were opened and have ended.
    #[track_caller]
    fn ended(&self, count: usize) -> Vec<Connection> {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.connections.lock().unwrap().clone();
            if found.len() >= count && found.iter().all(|c| c.ended) {
                return found;
            }
            let state: Vec<_> = found.iter().map(|c| (c.packets.len(), c.ended)).collect();
            assert!(Instant::now() < until, "wanted {count} connections that have ended, found {state:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn packets(&self) -> usize {
        self.connections.lock().unwrap().iter().map(|c| c.packets.len()).sum()
    }
}

fn serve(socket: &rustix::fd::OwnedFd, connections: &Mutex<Vec<Connection>>) {
    let mut buffer = vec![0; 1 << 20];
    let length = net::recv(socket, &mut buffer[..], RecvFlags::empty()).unwrap().0;
    assert!(scapkit_proto::handshake(&buffer[..length]).unwrap() >= 1);
    net::send(socket, &[8, 1], SendFlags::NOSIGNAL).unwrap();
    let place = {
        let mut all = connections.lock().unwrap();
        all.push(Connection::default());
        all.len() - 1
    };
    while let Ok((length @ 1.., _)) = net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
        connections.lock().unwrap()[place].packets.push(buffer[..length].to_vec());
    }
    connections.lock().unwrap()[place].ended = true;
}

fn messages(connection: &Connection) -> Vec<Message> {
    let decoded = connection.packets.iter().map(|packet| {
        let header = Header::parse(packet).unwrap();
        let payload = packet[usize::from(header.size)..].to_vec();
        Message::decode(header.kind, payload.into()).unwrap().unwrap()
    });
    decoded.collect()
}

/// How many messages of each kind there are.
fn kinds(messages: &[Message]) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for message in messages {
        *kinds.entry(Message::name_of(message.kind()).unwrap()).or_default() += 1;
    }
    kinds
}

/// A container whose configuration is ours from the start.
#[track_caller]
fn traced(points: &str, script: &str) -> Option<(String, Vec<Message>)> {
    let mut sandboxes = Sandboxes::new()?;
    let (socket, file) = (sandboxes.path("s"), sandboxes.path("pod-init.json"));
    let monitor = Monitor::at(&socket);
    let ran = run(Command::new(SCAPKIT)
        // In a test nothing may be lost because the machine is busy.
        .args(["gvisor", "config", "--points", points, "--fail-closed", "--retries", "20", "--socket"])
        .arg(&socket)
        .arg("-o")
        .arg(&file))
    .expect(0);
    assert_eq!(ran.err().is_empty(), points == "recommended", "{}", ran.err());
    let args = ["/bin/sh", "-c", script];
    let id = sandboxes.id(points);
    sandboxes.start(&Container { id: &id, args: &args, config: Some(&file), ..Container::default() });
    let connections = monitor.ended(1);
    assert_eq!(connections.len(), 1);
    let dropped = Header::parse(connections[0].packets.last().unwrap()).unwrap().dropped;
    assert_eq!(dropped, 0);
    Some((id, messages(&connections[0])))
}

const SCRIPT: &str = "/bin/ls / | /bin/cat; /bin/cat /nope; true";

#[test]
fn gvisor_takes_all_sets_of_points() {
    for points in ["minimal", "recommended", "all"] {
        let Some((id, messages)) = traced(points, SCRIPT) else { return };
        let kinds = kinds(&messages);
        let has = |kind| kinds.get(kind).copied().unwrap_or(0);
        assert_eq!(has("Start"), 1, "{points}: {kinds:?}");
        assert!(has("CloneInfo") >= 3 && has("ExecveInfo") >= 3 && has("Execve") >= 3, "{points}: {kinds:?}");
        assert!(has("TaskExit") > 3 && has("Open") >= 1, "{points}: {kinds:?}");
        let noise = ["Syscall", "Read", "Write", "Close"].map(|kind| has(kind) > 0);
        assert_eq!(noise, [points != "minimal"; 4], "{points}: {kinds:?}");
        for message in &messages {
            let context = message.context().unwrap_or_else(|| panic!("{points}: {message:?}"));
            assert!(context.time_ns > 0 && context.thread_id > 0 && context.thread_group_id > 0, "{message:?}");
            assert_eq!(context.container_id, id, "{message:?}");
        }
    }
}

/// What the default is for: a directory, a path and an argument that are no UTF-8 hide no call.
#[test]
fn nothing_is_hidden_from_the_default() {
    let script = "/bin/mkdir /tmp/$(printf 'a\\377'); /bin/cat /tmp/$(printf 'b\\377'); cd /tmp/a*; true; /bin/true; /bin/true; /bin/true";
    let Some((_, messages)) = traced("recommended", script) else { return };
    let raw = |number: u64| {
        let is = |m: &&Message| matches!(m, Message::Syscall(s) if s.sysno == number && s.exit.is_some());
        messages.iter().filter(is).count()
    };
    let (execs, opens, chdirs) = if cfg!(target_arch = "x86_64") { (59, 257, 80) } else { (221, 56, 49) };
    let execve = messages.iter().filter(|m| matches!(m, Message::Execve(e) if e.exit.is_some())).count();
    // All of its programs were started with such an argument or in such a directory.
    assert_eq!((execve, raw(execs)), (0, 5), "{:?}", kinds(&messages));
    let chdir = messages.iter().filter(|m| matches!(m, Message::Chdir(_))).count();
    assert_eq!((chdir, raw(chdirs)), (0, 1));
    let open = messages.iter().filter(|m| matches!(m, Message::Open(o) if o.exit.is_some())).count();
    let opened = raw(opens) + if cfg!(target_arch = "x86_64") { raw(2) } else { 0 };
    assert!(opened > open, "{opened} opens by number, {open} by name");
}

#[test]
fn sandboxes_that_run() {
    let Some(mut sandboxes) = Sandboxes::new() else { return };
    let socket = sandboxes.path("s");
    let script = ["/bin/sh", "-c", "while :; do true; /bin/sleep 0.1; done"];
    let annotations = json!({"io.kubernetes.cri.container-type": "sandbox"});
    let (pod, side) = (sandboxes.id("pod"), sandboxes.id("side"));
    let first = Container { id: &pod, args: &script, annotations, detached: true, ..Container::default() };
    sandboxes.start(&first);
    let script = ["/bin/sh", "-c", "sleep 300"];
    let annotations = json!({"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": pod});
    sandboxes.start(&Container { id: &side, args: &script, annotations, ..first });
    let listed = |sandboxes: &Sandboxes| -> Vec<(String, Value)> {
        let ran = sandboxes.gvisor("list --json").expect(0);
        let lines = ran.out();
        let objects = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        objects.map(|o| (o["id"].as_str().unwrap().to_owned(), o["sessions"].clone())).collect()
    };
    let pair = |sessions: Value| vec![(pod.clone(), sessions), (side.clone(), Value::Null)];
    assert_eq!(listed(&sandboxes), pair(json!([])));

    // Nobody listens: said, and the sandbox has no session.
    let attach = format!("attach --socket {}", socket.display());
    let ran = sandboxes.gvisor(&format!("{attach} {pod}")).expect(2);
    assert!(
        ran.err().contains(&format!("scapkit: {pod}: ")) && ran.err().contains("no such file or directory"),
        "{}",
        ran.err()
    );
    assert_eq!(listed(&sandboxes), pair(json!([])));

    let monitor = Monitor::at(&socket);
    let ran = sandboxes.gvisor(&format!("{attach} --all")).expect(0);
    assert_eq!(ran.out(), format!("{pod}: attached\n"));
    assert!(
        ran.err().contains(&format!("{side}: skipped, it is in the sandbox of another container")),
        "{}",
        ran.err()
    );
    let remote = json!([{"name": "Default", "sinks": [{"name": "remote", "dropped": 0}]}]);
    assert_eq!(listed(&sandboxes), pair(remote));
    let table = sandboxes.gvisor("list").expect(0).out();
    assert!(
        table.lines().any(|l| l.starts_with(&format!("{pod} ")) && l.ends_with(" Default    remote: 0 lost")),
        "{table}"
    );
    let until = Instant::now() + Duration::from_secs(20);
    while monitor.packets() < 20 {
        assert!(Instant::now() < until, "{} packets", monitor.packets());
        std::thread::sleep(Duration::from_millis(20));
    }

    let ran = sandboxes.gvisor(&format!("{attach} {pod}")).expect(1);
    assert_eq!(
        (ran.out().as_str(), ran.err().contains(&format!("{pod}: it has a session already"))),
        ("", true),
        "{}",
        ran.err()
    );
    let ran = sandboxes.gvisor(&format!("{attach} {side} nope")).expect(2);
    assert!(ran.err().contains("nope: there is no such container"), "{}", ran.err());
    sandboxes.gvisor(&format!("{attach} --force --points minimal {pod}")).expect(0);

    // Its processes, as they are.
    let runsc = Runsc { root: Some(sandboxes.path("root")), ..Runsc::default() };
    let (processes, notes) = procfs::parse(&runsc.procfs(&pod).unwrap());
    assert_eq!(notes.bad, 0);
    let init = processes.first().unwrap();
    assert_eq!((init.pid, init.ppid, init.comm.as_str(), init.args[0].as_str()), (1, 0, "sh", "/bin/sh"));
    assert!(processes.iter().any(|p| p.args == ["sleep", "300"] || p.args == ["/bin/sh", "-c", "sleep 300"]));
    let e = runsc.procfs(&side).unwrap_err().to_string();
    assert!(
        e.contains(&format!("trace procfs {side}: exit status: 128: ")) && e.contains("doesn't belong to a sandbox"),
        "{e}"
    );

    assert_eq!(sandboxes.gvisor("detach --all").expect(0).out(), format!("{pod}: detached\n"));
    assert_eq!(listed(&sandboxes), pair(json!([])));
    sandboxes.gvisor("detach --all").expect(1);
    let connections = monitor.ended(2);
    assert!(connections.iter().filter(|c| !c.packets.is_empty()).count() >= 1);
}

/// The points of the default for the runsc of 2022, of which facts the test has no other source.
#[test]
fn the_default_for_a_known_runsc() {
    let Some(shared) = shared() else { return };
    let metadata = shared.join("gvisor/config/runsc-20221219-trace-metadata.txt");
    let config = |points: &str| {
        let ran = run(Command::new(SCAPKIT)
            .args(["gvisor", "config", "--session", "--points", points, "--metadata"])
            .arg(&metadata))
        .expect(0);
        let again = run(Command::new(SCAPKIT)
            .args(["gvisor", "config", "--session", "--points", points, "--metadata"])
            .arg(&metadata))
        .expect(0);
        assert_eq!(ran.stdout, again.stdout);
        (serde_json::from_slice::<Value>(&ran.stdout).unwrap(), ran.err())
    };
    let (session, said) = config("recommended");
    assert_eq!(said, "");
    let mut text = String::new();
    let mut raw = Vec::new();
    for point in session["points"].as_array().unwrap() {
        let name = point["name"].as_str().unwrap();
        let fields = |key: &str| {
            let fields = point[key].as_array().unwrap().iter().map(|f| f.as_str().unwrap());
            fields.collect::<Vec<_>>().join(" ")
        };
        match name.strip_prefix("syscall/sysno/").and_then(|rest| rest.strip_suffix("/exit")) {
            Some(number) => raw.push(number.parse::<u16>().unwrap()),
            None if name.starts_with("syscall/sysno/") => {}
            None => writeln!(text, "{name}: {} | {}", fields("context_fields"), fields("optional_fields")).unwrap(),
        }
    }
    raw.sort_unstable();
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!("gvisor-recommended", format!("{text}raw: {raw:?}\n"));
    });
    assert_eq!(config("all").0["points"].as_array().unwrap().len(), 991);
    let (minimal, said) = config("minimal");
    assert!(minimal["points"].as_array().unwrap().len() < 30);
    assert!(said.contains("warning: paths and arguments on "), "{said}");
}

#[test]
fn help() {
    for command in ["config", "list", "attach", "detach"] {
        let ran = scapkit(["gvisor", command, "--help"]).expect(0);
        assert!(ran.out().contains("Example"), "{command} has no example");
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(format!("help-gvisor-{command}"), ran.out());
        });
    }
}

/// A program in place of runsc. Another process writes it: a child of another test would keep it open, and what is
/// open for writing cannot be run.
fn stand_in(folder: &Path, script: &str) -> String {
    let path = folder.join("runsc").to_str().unwrap().to_owned();
    let script = format!("#!/bin/sh\n{script}\n");
    let write = r#"printf %s "$1" > "$2" && chmod 700 "$2""#;
    run(Command::new("sh").args(["-c", write, "sh", &script, &path])).expect(0);
    path
}

#[test]
fn what_cannot_be_done_is_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("metadata");
    std::fs::write(&file, "POINTS (3)\n").unwrap();
    let path = file.to_str().unwrap();
    let point = "Name: syscall/open/exit, optional fields: [], context fields: [time]";
    std::fs::write(folder.path().join("good"), format!("POINTS (1)\n{point}\n\nSINKS (1)\nName: remote\n")).unwrap();
    let good = folder.path().join("good");
    let good = good.to_str().unwrap();
    for (args, why) in [
        (vec!["config", "--metadata", "/no/such/file"], "/no/such/file: No such file"),
        (vec!["config", "--metadata", path], "wanted 3 points, found 0"),
        (vec!["config", "--metadata", good, "--socket", "here.sock"], "wanted an absolute path"),
        (vec!["config", "--metadata", good, "--backoff", "1s"], "longer than the longest"),
        (vec!["config", "--metadata", good, "--backoff", "5"], "wanted a number with ns, us, ms or s"),
        (vec!["config", "--metadata", good, "-o", "/no/such/folder/f"], "writing /no/such/folder/f"),
        (vec!["config", "--runsc", "/no/such/runsc"], "/no/such/runsc trace metadata: No such file"),
        (vec!["list", "--runsc", "/no/such/runsc", "--root", "/r"], "/no/such/runsc --root /r list --format json: No"),
        (vec!["attach"], "<ID|--all>"),
        (vec!["attach", "--all", "x"], "cannot be used with"),
        (vec!["detach"], "<ID|--all>"),
    ] {
        let ran = scapkit([&["gvisor"][..], &args].concat()).expect(2);
        assert_eq!(ran.out(), "", "{args:?}");
        assert!(ran.err().contains(why), "{args:?}: {}", ran.err());
    }
}

#[test]
fn what_runsc_says_is_not_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let runsc = stand_in(folder.path(), "echo null");
    let ran = scapkit(["gvisor", "list", "--root", "/r", "--runsc", &runsc]).expect(0);
    assert!(ran.err().contains("runsc knows of no container"), "{}", ran.err());
    let script = r#"case $* in *list\ --format*) echo '[{"id":"a\u001b[31m","pid":1,"status":"running"}]';;
        *) printf 'SESSIONS (1)\n"D\033[2J"\n\tSink: "remote", dropped: 7\n';; esac"#;
    let runsc = stand_in(folder.path(), script);
    let ran = scapkit(["gvisor", "list", "--root", "/r", "--runsc", &runsc]).expect(0);
    assert!(ran.out().contains("a\\u{1b}[31m") && ran.out().contains("D\\u{1b}[2J"), "{}", ran.out());
    assert!(ran.out().contains("remote: 7 lost") && !ran.stdout.contains(&0x1b), "{}", ran.out());
    // One that hangs.
    let runsc = stand_in(folder.path(), "exec sleep 60");
    let ran = scapkit(["gvisor", "list", "--root", "/r", "--runsc", &runsc, "--timeout", "1"]).expect(2);
    assert!(ran.err().contains("no answer in 1s") && ran.took < Duration::from_secs(20), "{}", ran.err());
}
