//! Replays real captures and compares the state with what falcosecurity/libs says at the same events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

use scapkit_format::{Capture, Content, Item, Limits};
use scapkit_replay::engine::{Bound, Engine, EngineLimits, Fd, FdKind, Socket, Thread};
use scapkit_replay::{Upgraded, Upgrader};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

const NAMES: [&str; 12] = [
    "cat_write",
    "connect_localhost",
    "curl_google",
    "empty",
    "files_2026",
    "fork_2026",
    "incident_2026",
    "open-multiple-files",
    "sample",
    "single_ipv6_conn",
    "syscall",
    "test_ipv6_client",
];

fn shared() -> Option<PathBuf> {
    let path = match std::env::var_os("SCAPKIT_SHARED") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    path.join("goldens").is_dir().then_some(path)
}

/// What is known at an event.
struct At<'a> {
    engine: &'a Engine,
    tid: i64,
    bound: Bound,
    thread: Option<&'a Thread>,
    fd: Option<&'a Fd>,
}

fn text(bytes: &[u8]) -> Value {
    Value::from(String::from_utf8_lossy(bytes).into_owned())
}

fn words(list: &[u8]) -> Value {
    text(&list.iter().map(|b| if *b == 0 { b' ' } else { *b }).collect::<Vec<_>>())
}

/// The field takes doubled slashes out; the state keeps what the program gave.
fn single_slashes(path: &[u8]) -> Value {
    let mut out = path.to_vec();
    out.dedup_by(|a, b| *a == b'/' && *b == b'/');
    text(&out)
}

fn type_name(kind: FdKind) -> Option<&'static str> {
    Some(match kind {
        FdKind::File | FdKind::FileV2 => "file",
        FdKind::Directory => "directory",
        FdKind::Ipv4 | FdKind::Ipv4Server => "ipv4",
        FdKind::Ipv6 | FdKind::Ipv6Server => "ipv6",
        FdKind::Unix => "unix",
        FdKind::Fifo => "pipe",
        FdKind::Event => "event",
        FdKind::SignalFd => "signalfd",
        FdKind::EventPoll => "eventpoll",
        FdKind::Inotify => "inotify",
        FdKind::TimerFd => "timerfd",
        FdKind::Netlink => "netlink",
        FdKind::Bpf => "bpf",
        FdKind::UserFaultFd => "userfaultfd",
        FdKind::IoUring => "io_uring",
        FdKind::MemFd => "memfd",
        FdKind::PidFd => "pidfd",
        FdKind::Unknown | FdKind::Unsupported => return None,
    })
}

impl<'a> At<'a> {
    fn main(&self) -> Option<&'a Thread> {
        self.engine.main_thread(self.tid)
    }

    fn parent(&self) -> Option<&'a Thread> {
        let parent = self.engine.thread(self.main()?.ptid)?;
        self.engine.main_thread(parent.tid)
    }

    fn thread(&self, value: impl Fn(&Thread) -> Value) -> Option<Value> {
        self.thread.map(value)
    }

    fn fd(&self, value: impl Fn(&Fd) -> Value) -> Option<Value> {
        self.fd.map(value)
    }

    /// What libs gives for events of fd calls whose fd it does not know.
    fn fd_or(&self, unknown: &str, value: impl Fn(&Fd) -> Value) -> Option<Value> {
        self.bound.fd?;
        Some(self.fd.map_or(Value::from(unknown), value))
    }

    fn standard(&self, fd: i64) -> Option<Value> {
        self.engine.fd(self.tid, fd).map(|fd| text(&fd.name))
    }
}

type Field = (&'static str, f64, fn(&At<'_>) -> Option<Value>);

/// Name, least share of equal values, value.
const FIELDS: &[Field] = &[
    ("thread.tid", 1.0, |at| Some(json!(at.tid))),
    ("thread.vtid", 1.0, |at| at.thread.filter(|t| t.vtid >= 0).map(|t| json!(t.vtid))),
    ("thread.ismain", 1.0, |at| at.thread(|t| json!(t.is_main()))),
    ("thread.pfmajor", 1.0, |at| at.thread(|t| json!(t.pfmajor))),
    ("thread.pfminor", 1.0, |at| at.thread(|t| json!(t.pfminor))),
    ("thread.cgroups", 1.0, |at| at.thread.filter(|t| !t.cgroups.is_empty()).map(|t| words(&t.cgroups))),
    ("proc.pid", 1.0, |at| at.thread(|t| json!(t.pid))),
    ("proc.vpid", 1.0, |at| at.thread.filter(|t| t.vpid >= 0).map(|t| json!(t.vpid))),
    ("proc.name", 1.0, |at| at.thread(|t| text(&t.comm))),
    ("proc.exe", 1.0, |at| at.thread(|t| text(&t.exe))),
    ("proc.exepath", 1.0, |at| at.thread(|t| text(&t.exepath))),
    ("proc.args", 1.0, |at| at.thread(|t| words(&t.args))),
    ("proc.cwd", 1.0, |at| at.engine.cwd(at.tid).map(text)),
    ("proc.ppid", 1.0, |at| at.parent().map(|t| json!(t.pid))),
    ("proc.pname", 1.0, |at| at.parent().map(|t| text(&t.comm))),
    ("proc.pexepath", 1.0, |at| at.parent().map(|t| text(&t.exepath))),
    ("proc.pvpid", 1.0, |at| {
        let parent = at.engine.thread(at.thread?.ptid)?;
        Some(json!(parent.vpid))
    }),
    ("proc.sid", 1.0, |at| at.thread(|t| json!(t.sid))),
    ("proc.pgid", 1.0, |at| at.thread(|t| json!(t.pgid))),
    ("proc.vpgid", 1.0, |at| at.thread(|t| json!(t.vpgid))),
    ("proc.tty", 1.0, |at| at.thread(|t| json!(t.tty))),
    ("proc.fdlimit", 1.0, |at| at.thread(|_| json!(at.main().map_or(0, |t| t.fdlimit)))),
    ("proc.fdopencount", 1.0, |at| at.thread(|_| json!(at.main().map_or(0, |t| at.engine.fds(t.tid).count())))),
    ("proc.nthreads", 1.0, |at| at.thread(|t| json!(at.engine.alive_threads(t.pid)))),
    ("proc.vmsize", 1.0, |at| at.thread(|t| json!(t.vmsize_kb))),
    ("proc.vmrss", 1.0, |at| at.thread(|t| json!(t.vmrss_kb))),
    ("proc.vmswap", 1.0, |at| at.thread(|t| json!(t.vmswap_kb))),
    ("proc.is_exe_writable", 1.0, |at| at.thread(|t| json!(t.exe_writable))),
    ("proc.is_exe_upper_layer", 1.0, |at| at.thread(|t| json!(t.exe_upper_layer))),
    ("proc.exe_ino", 1.0, |at| at.thread.filter(|t| t.exe_ino != 0).map(|t| json!(t.exe_ino))),
    ("proc.exe_ino.ctime", 1.0, |at| at.thread.filter(|t| t.exe_ino_ctime != 0).map(|t| json!(t.exe_ino_ctime))),
    ("proc.stdin.name", 1.0, |at| at.standard(0)),
    ("proc.stdout.name", 1.0, |at| at.standard(1)),
    ("proc.stderr.name", 1.0, |at| at.standard(2)),
    ("user.uid", 1.0, |at| at.thread(|t| json!(t.uid))),
    ("user.loginuid", 1.0, |at| at.thread(|t| json!(t.loginuid.cast_signed()))),
    ("user.name", 1.0, |at| at.thread.and_then(|t| at.engine.user_name(t.uid).map(text))),
    ("group.gid", 1.0, |at| at.thread(|t| json!(t.gid))),
    ("group.name", 1.0, |at| at.thread.and_then(|t| at.engine.group_name(t.gid).map(text))),
    ("fd.num", 1.0, |at| at.bound.fd.map(|fd| json!(fd))),
    ("fd.name", 1.0, |at| at.fd_or("", |fd| text(&fd.name))),
    ("fd.nameraw", 1.0, |at| at.fd_or("", |fd| single_slashes(&fd.name_raw))),
    ("fd.type", 1.0, |at| at.fd.and_then(|fd| type_name(fd.kind)).map(Value::from)),
    ("fd.typechar", 1.0, |at| at.fd_or("o", |fd| json!(fd.kind.type_char()))),
    ("fd.dev", 1.0, |at| at.fd(|fd| json!(format!("{:X}", fd.dev)))),
    ("fd.ino", 1.0, |at| at.fd(|fd| json!(fd.ino))),
    ("fd.connected", 1.0, |at| at.fd(|fd| json!(fd.flags & Fd::CONNECTED != 0))),
    ("fd.name_changed", 1.0, |at| at.fd(|_| json!(at.bound.renamed))),
    ("fd.cport", 1.0, |at| match at.fd?.socket {
        Socket::Ipv4 { sport, dport, .. } | Socket::Ipv6 { sport, dport, .. } if dport != 0 => Some(json!(sport)),
        _ => None,
    }),
    ("fd.sport", 1.0, |at| match at.fd?.socket {
        Socket::Ipv4 { dport: port, .. }
        | Socket::Ipv6 { dport: port, .. }
        | Socket::Ipv4Server { port, .. }
        | Socket::Ipv6Server { port, .. }
            if port != 0 =>
        {
            Some(json!(port))
        }
        _ => None,
    }),
    ("proc.exe_ino.ctime_duration_proc_start", 1.0, |at| {
        at.thread.filter(|t| t.ctime_to_clone_ns != 0).map(|t| json!(t.ctime_to_clone_ns))
    }),
    ("proc.pidns_init_start_ts", 1.0, |at| {
        at.thread.filter(|t| t.pidns_init_start_ts != 0).map(|t| json!(t.pidns_init_start_ts))
    }),
    ("proc.nchilds", 1.0, |at| {
        let alive = at.engine.alive_threads(at.thread?.pid);
        let leader = at.main().is_some_and(|t| !t.is_dead());
        Some(json!(alive.saturating_sub(u32::from(leader))))
    }),
];

#[derive(Default)]
struct Share {
    equal: u64,
    all: u64,
    example: Option<String>,
}

/// `<NA>` is how libs writes what it does not know.
fn known(value: Option<Value>) -> Option<Value> {
    value.filter(|v| !v.is_null() && v != "<NA>")
}

fn compare(name: &str, shared: &std::path::Path, shares: &mut BTreeMap<&'static str, Share>) -> (u64, u64) {
    let golden = std::fs::File::open(shared.join(format!("goldens/{name}.libs-head.jsonl.zst"))).unwrap();
    let lines = BufReader::new(zstd::Decoder::new(golden).unwrap()).split(b'\n');
    let mut golden =
        lines.map(|line| serde_json::from_str::<Value>(&String::from_utf8_lossy(&line.unwrap())).unwrap()).peekable();
    let path = shared.join(format!("captures/{name}.scap"));
    let mut capture = Capture::open(&path, Limits::default()).unwrap();
    let mut engine = Engine::new(&EngineLimits::default());
    let mut upgrader = Upgrader::new();
    let (mut number, mut paired) = (0u64, 0);
    while let Some(item) = capture.next().unwrap() {
        let Item::Block(_, content) = item else { continue };
        let Content::Event(recorded) = content else {
            engine.content(&content);
            continue;
        };
        let Upgraded::Event(event) = upgrader.apply(&recorded) else { continue };
        number += 1;
        let bound = engine.apply(&event);
        let Some(wanted) = golden.next_if(|g| g["evt.num"] == number) else { continue };
        let same = wanted["evt.rawtime"] == event.ts && wanted["thread.tid"] == event.tid;
        assert!(same, "{name}: event {number} is another one than libs has");
        paired += 1;
        let thread = engine.thread(bound.tid);
        let fd = bound.fd.and_then(|fd| engine.fd(bound.tid, fd));
        let at = At { engine: &engine, tid: bound.tid, bound, thread, fd };
        // Names of files that could not be opened are fields' work, not state.
        let no_fd = at.fd.is_none() && wanted.get("fd.type").is_none_or(|t| t == "<NA>");
        for (field, _, value) in FIELDS {
            if no_fd && matches!(*field, "fd.name" | "fd.nameraw" | "fd.typechar") {
                continue;
            }
            if *field == "proc.pidns_init_start_ts" && name.ends_with("_2026") {
                // The goldens of these captures lack the field altogether: the machine's boot time was
                // replaced in them.
                continue;
            }
            let theirs = known(wanted.get(field).cloned());
            let ours = known(value(&at));
            if ours.is_none() && theirs.is_none() {
                continue;
            }
            let share = shares.entry(field).or_default();
            share.all += 1;
            if ours == theirs {
                share.equal += 1;
            } else if share.example.is_none() {
                let shown = |v: Option<Value>| v.map_or("nothing".to_owned(), |v| v.to_string());
                let kind = event.info().unwrap().name;
                let (ours, theirs) = (shown(ours), shown(theirs));
                share.example = Some(format!("{name} event {number} ({kind}): libs {theirs}, ours {ours}"));
            }
        }
    }
    (paired, golden.count() as u64)
}

#[test]
fn state_is_that_of_libs() {
    let Some(shared) = shared() else {
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: no reference captures; set SCAPKIT_SHARED to the folder that holds `goldens`\n"),
        )
        .unwrap();
        return;
    };
    let mut shares = BTreeMap::new();
    for name in NAMES {
        let (paired, left) = compare(name, &shared, &mut shares);
        println!("{name}: {paired} events compared");
        assert_eq!(left, 0, "{name}: events that libs shows and we do not have");
    }
    let mut short = Vec::new();
    for (field, least, _) in FIELDS {
        let share = shares.remove(field).unwrap_or_default();
        let found = if share.all == 0 { 1.0 } else { share.equal as f64 / share.all as f64 };
        let line = format!("{field}: {}/{} = {:.3} %", share.equal, share.all, found * 100.0);
        println!("{line} {}", share.example.as_deref().unwrap_or_default());
        if found < *least {
            short.push(format!("{line}, wanted {:.3} %; {}", least * 100.0, share.example.unwrap_or_default()));
        }
    }
    assert!(short.is_empty(), "shares of equal values:\n{}", short.join("\n"));
}
