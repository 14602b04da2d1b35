//! The rows `tree`, `tree_cases` and `captures` of golden-tests.yaml, whose expectations are prose: each is
//! code here. `path_join` is in `engine::paths`.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)]

mod world;

use scapkit_format::lists::threads::Thread as ListedThread;
use scapkit_format::schema::{self, id};
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Event, EventHead, Limits};
use scapkit_replay::{Context, Dialect, Format, Played, Replay, ReplayOptions, TextOptions, View};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use world::{SECOND, World, init, parts};

const THREAD: u32 = 1 << 13;
const PARENT: u32 = 1 << 8;
const NEWPID: u32 = 1 << 6;
const VFORK: u32 = 1 << 27;
const IN_PIDNS: u32 = 1 << 29;
const SET_CHILD_SUBREAPER: u32 = 36;
const GET_CHILD_SUBREAPER: u32 = 37;

/// Expectations that are not tested as they stand, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("nonexistent_reaper", "the field `reaper` of a thread is not public; what it leads to is tested"),
    (
        "close_range_cached_fd",
        "fd 31 has an entry in upstream's test because it was open before; dup2 of an fd that is not \
        known leaves it, and makes none (state engine 7.2)",
    ),
    ("aname_excludes_self", "the rows `match` and `nomatch` are about filters; the list that they compare is tested"),
    (
        "single_ipv6_conn.scap",
        "proc.pid=25888 selects nothing in libs today, whose thread has no pid (the golden says -1): \
        selected by thread.tid",
    ),
    ("kexec_x86.scap", "not here: the file is not in the libs repository"),
    ("kexec_arm64.scap", "not here: the file is not in the libs repository"),
];

/// tid, pid, ptid, vtid, vpid of a clone exit, and its flags.
struct Ids(i64, i64, i64, i64, i64, u32);

fn clone(w: &mut World, event_type: u16, res: i64, ids: &Ids) {
    let Ids(tid, pid, ptid, vtid, vpid, flags) = *ids;
    let (exe, comm, args) =
        w.engine.thread(tid).map_or((&b"exe"[..], &b"comm"[..], &b""[..]), |t| (&t.exe, &t.comm, &t.args));
    let params = Params::new().i64(res).bytes(&[exe, b"\0"].concat()).bytes(args).i64(tid).i64(pid).i64(ptid).str("");
    let params = params.i64(1024).u64(0).u64(0).u32(0).u32(0).u32(0).bytes(&[comm, b"\0"].concat()).bytes(b"");
    w.event(tid, event_type, &params.u32(flags).u32(0).u32(0).i64(vtid).i64(vpid).u64(0));
}

fn caller_of(w: &mut World, event_type: u16, child: i64, tid: i64, flags: u32) {
    let (pid, ptid) = w.engine.thread(tid).map_or((tid, 1), |t| (t.pid, t.ptid));
    clone(w, event_type, child, &Ids(tid, pid, ptid, tid, pid, flags));
}

fn caller(w: &mut World, child: i64, tid: i64, flags: u32) {
    caller_of(w, id::SYSCALL_CLONE_20_X, child, tid, flags);
}

fn child(w: &mut World, ids: &Ids) {
    clone(w, id::SYSCALL_CLONE_20_X, 0, ids);
}

fn exit(w: &mut World, tid: i64, reaper: i64) {
    w.event(tid, id::PROCEXIT_1_E, &Params::new().i64(0).i64(0).u8(0).u8(0).i64(reaper));
}

fn exec(w: &mut World, tid: i64, pid: i64, ptid: i64, comm: &str, args: &[u8]) {
    let p = Params::new().i64(0).str(comm).bytes(args).i64(tid).i64(pid).i64(ptid).str("").i64(99).u64(0).u64(0);
    w.event(tid, id::SYSCALL_EXECVE_19_X, &p.u32(0).u32(0).u32(0).str(comm).bytes(b"").bytes(b"A=1\0").u32(0));
}

fn prctl(w: &mut World, tid: i64, res: i64, option: u32, value: i64) {
    w.event(tid, id::SYSCALL_PRCTL_X, &Params::new().i64(res).u32(option).empty().i64(value));
}

/// What an event of a thread shows.
fn shown(w: &mut World, tid: i64, event_type: u16, params: &Params, format: &str) -> String {
    let bound = w.event(tid, event_type, params);
    let (lens, data, wide) = parts(event_type, params);
    let head = EventHead { ts: w.ts, tid, event_type, ..EventHead::default() };
    let event = Event::from_parts(head, wide, &lens, &data);
    let options = TextOptions::new(Dialect::Libs);
    let cx = Context {
        event,
        info: schema::event_info(event_type).unwrap(),
        number: 1,
        engine: &w.engine,
        bound,
        first_ts: 0,
        previous_ts: 0,
        enter_ts: None,
        options: &options,
    };
    let mut out = Vec::new();
    assert!(Format::compile(format).unwrap().line(&cx, &mut out));
    String::from_utf8(out).unwrap()
}

fn read(w: &mut World, tid: i64, format: &str) -> String {
    shown(w, tid, id::SYSCALL_READ_X, &Params::new().i64(0).bytes(b"").i64(5).u32(1), format)
}

fn children(w: &World, tid: i64) -> Vec<i64> {
    w.engine.threads().filter(|t| t.ptid == tid).map(|t| t.tid).collect()
}

/// Threads of a process, and how many of them live.
fn group(w: &World, pid: i64) -> (Vec<i64>, u32) {
    (w.engine.threads().filter(|t| t.pid == pid).map(|t| t.tid).collect(), w.engine.alive_threads(pid))
}

/// Who gets the children of 72, which is not in the namespace: the nearest ancestor that takes orphans.
fn heir_of_72(w: &mut World) -> i64 {
    caller(w, 500, 72, 0);
    exit(w, 72, -1);
    w.tick();
    w.thread(500).ptid
}

fn tree() -> World {
    let mut w = World::new();
    caller(&mut w, 2, 1, 0);
    caller(&mut w, 6, 2, THREAD);
    caller(&mut w, 25, 6, PARENT);
    child(&mut w, &Ids(25, 25, 1, 25, 25, PARENT));
    caller(&mut w, 23, 25, THREAD);
    caller(&mut w, 24, 23, THREAD);
    caller(&mut w, 72, 25, 0);
    caller(&mut w, 76, 72, NEWPID);
    child(&mut w, &Ids(76, 76, 72, 1, 1, IN_PIDNS));
    child(&mut w, &Ids(79, 76, 72, 2, 1, THREAD | IN_PIDNS));
    child(&mut w, &Ids(82, 82, 79, 10, 10, IN_PIDNS));
    child(&mut w, &Ids(84, 82, 79, 12, 10, THREAD | IN_PIDNS));
    child(&mut w, &Ids(87, 87, 84, 17, 17, IN_PIDNS));
    w
}

#[test]
fn the_tree_itself() {
    let mut w = tree();
    let ptids = [(2, 1), (6, 1), (25, 1), (23, 1), (24, 1), (72, 25), (76, 72), (79, 72), (82, 79), (84, 79), (87, 84)];
    for (tid, ptid) in ptids {
        assert_eq!(w.thread(tid).ptid, ptid, "{tid}");
    }
    for (pid, threads) in
        [(1, &[1][..]), (2, &[2, 6]), (25, &[23, 24, 25]), (72, &[72]), (76, &[76, 79]), (82, &[82, 84]), (87, &[87])]
    {
        assert_eq!(group(&w, pid), (threads.to_vec(), u32::try_from(threads.len()).unwrap()));
    }
    for (tid, wanted) in [(1, &[2, 6, 23, 24, 25][..]), (25, &[72]), (72, &[76, 79]), (79, &[82, 84]), (84, &[87])] {
        assert_eq!(children(&w, tid), wanted);
    }
    assert_eq!(w.tids().len(), 12);
    // Of the processes, 1 and 76 take orphans: each gets those of its own namespace.
    exit(&mut w, 84, -1);
    exit(&mut w, 82, -1);
    w.tick();
    assert_eq!((w.thread(87).ptid, heir_of_72(&mut w)), (76, 1));
}

type Case = (&'static str, fn());

const CASES: &[Case] = &[
    ("exit_leader_first", || {
        let mut w = tree();
        exit(&mut w, 82, -1);
        w.tick();
        assert!(w.thread(82).is_dead());
        assert_eq!(group(&w, 82), (vec![82, 84], 1));
        exit(&mut w, 84, -1);
        w.tick();
        assert_eq!(group(&w, 82), (vec![], 0));
    }),
    ("exit_secondary_first", || {
        let mut w = tree();
        exit(&mut w, 84, 82);
        w.tick();
        assert_eq!((group(&w, 82), w.thread(87).ptid), ((vec![82], 1), 82));
    }),
    ("lost_procexit", || {
        // A later thread of the same number shows that 84 has gone.
        let mut w = tree();
        w.ts += 3 * SECOND;
        child(&mut w, &Ids(84, 84, 1, 84, 84, 0));
        assert_eq!((group(&w, 82), w.thread(87).ptid), ((vec![82], 1), 82));
    }),
    ("reaper_chain", || {
        let mut w = tree();
        exit(&mut w, 84, 82);
        exit(&mut w, 79, 76);
        assert_eq!(children(&w, 82), [87]);
        exit(&mut w, 76, 25);
        assert_eq!(children(&w, 76), [82]);
        w.tick();
        assert_eq!((children(&w, 25), heir_of_72(&mut w)), (vec![72, 82], 25));
    }),
    ("nonexistent_reaper", || {
        let mut w = tree();
        exit(&mut w, 25, 9999);
        w.tick();
        assert_eq!(w.thread(72).ptid, 23);
        assert!(w.thread(9999).is_invalid());
    }),
    ("exit_reaper_minus1", || {
        let mut w = tree();
        exit(&mut w, 84, -1);
        assert_eq!(w.thread(87).ptid, 84);
        w.tick();
        assert_eq!((w.thread(87).ptid, w.engine.thread(84).is_none()), (82, true));
    }),
    ("execve_from_secondary", || {
        let mut w = tree();
        caller(&mut w, 500, 24, 0);
        assert_eq!(w.thread(500).ptid, 24);
        exec(&mut w, 25, 25, 1, "new", b"");
        assert_eq!((group(&w, 25), w.thread(500).ptid), ((vec![25], 1), 25));
    }),
    ("execve_resurrects_leader", || {
        let mut w = tree();
        exit(&mut w, 25, -1);
        w.tick();
        assert!(w.thread(25).is_dead());
        exec(&mut w, 25, 25, 1, "new", b"");
        assert!(!w.thread(25).is_dead());
        assert_eq!(group(&w, 25), (vec![25], 1));
    }),
    ("execve_unknown_tid", || {
        let mut w = World::new();
        exec(&mut w, 24, 24, 1, "new", b"");
        assert_eq!((w.thread(24).pid, w.thread(24).ptid), (24, 1));
        assert_eq!((group(&w, 24), children(&w, 1)), ((vec![24], 1), vec![24]));
    }),
    ("nthreads", || {
        let mut w = tree();
        assert_eq!(read(&mut w, 23, "%proc.nthreads"), "3");
        exit(&mut w, 25, -1);
        assert_eq!(read(&mut w, 23, "%proc.nthreads"), "2");
    }),
    ("subreaper", || {
        let by = |calls: &[(i64, i64, u32, i64)]| {
            let mut w = tree();
            for (tid, res, option, value) in calls {
                prctl(&mut w, *tid, *res, *option, *value);
            }
            heir_of_72(&mut w)
        };
        assert_eq!(by(&[(23, 0, SET_CHILD_SUBREAPER, 1)]), 25);
        assert_eq!(by(&[(23, 0, SET_CHILD_SUBREAPER, 1), (24, 0, SET_CHILD_SUBREAPER, 0)]), 1);
        assert_eq!(by(&[(23, 0, GET_CHILD_SUBREAPER, 1)]), 25);
        assert_eq!(by(&[(23, 0, SET_CHILD_SUBREAPER, 1), (23, 0, GET_CHILD_SUBREAPER, 0)]), 1);
        assert_eq!(by(&[(23, -22, SET_CHILD_SUBREAPER, 1)]), 1);
        assert_eq!(by(&[(999, 0, SET_CHILD_SUBREAPER, 1)]), 1, "a thread that is not known");
    }),
    ("clone_failed", || {
        let mut w = World::new();
        caller(&mut w, -1, 1, 0);
        assert_eq!(w.tids(), [1]);
    }),
    ("clone_caller_newpid", || {
        let mut w = World::new();
        caller(&mut w, 50, 1, NEWPID);
        assert_eq!(w.tids(), [1]);
    }),
    ("clone_vfork_caller", || {
        let mut w = World::new();
        caller_of(&mut w, id::SYSCALL_VFORK_20_X, 50, 1, 0);
        caller(&mut w, 51, 1, VFORK);
        assert_eq!(w.tids(), [1]);
        child(&mut w, &Ids(50, 50, 1, 50, 50, VFORK));
        assert_eq!(w.tids(), [1, 50]);
    }),
    ("no_readd_after_exit", || {
        let mut w = World::new();
        child(&mut w, &Ids(60, 60, 1, 60, 60, 0));
        exit(&mut w, 60, -1);
        w.tick();
        w.ts += SECOND;
        caller(&mut w, 60, 1, 0);
        assert_eq!(w.tids(), [1]);
        w.ts += 2 * SECOND;
        caller(&mut w, 60, 1, 0);
        assert_eq!(w.tids(), [1, 60]);
    }),
    ("aname_excludes_self", || {
        let mut w = shells();
        exec(&mut w, 3, 3, 2, "good-exe", b"");
        assert_eq!(read(&mut w, 3, "%proc.name|%proc.aname"), "good-exe|bash init");
    }),
    ("aname_output", || assert_eq!(read(&mut shells(), 3, "*start %proc.aname end"), "start bash init end")),
    ("acmdline_output", || {
        assert_eq!(read(&mut shells(), 3, "*%proc.acmdline"), "bash init context ls --format {{json .}}");
    }),
    ("brk_updates_memory", || {
        let params = Params::new().u64(0).u32(294).u32(295).u32(296).u64(0);
        let sizes =
            shown(&mut World::new(), 1, id::SYSCALL_BRK_4_X, &params, "%thread.vmsize %thread.vmrss %proc.vmswap");
        assert_eq!(sizes, "294 295 296");
    }),
    ("close_range_cached_fd", || {
        let mut w = World::new();
        for fd in [30, 40] {
            w.event(1, id::SYSCALL_OPEN_X, &Params::new().i64(fd).str("/tmp/old").u32(0).u32(0).u32(0).u64(0));
        }
        w.event(1, id::SYSCALL_FSTAT_X, &Params::new().i64(0).i64(30));
        w.event(1, id::SYSCALL_CLOSE_RANGE_X, &Params::new().i64(0).u32(30).u32(30).u32(0));
        assert!(w.engine.fd(1, 30).is_none());
        for fd in [31, 40] {
            w.event(1, id::SYSCALL_DUP2_X, &Params::new().i64(fd).i64(30).i64(fd));
        }
        assert!(w.engine.fd(1, 31).is_none() && w.engine.fd(1, 40).is_some());
    }),
];

/// init, its child bash, and a child of that.
fn shells() -> World {
    let mut synth = Synth::new();
    let args = b"context\0ls\0--format\0{{json .}}\0";
    synth.section().threads(9, &[ListedThread { args, ..init() }]);
    let mut w = World::of(&synth);
    caller(&mut w, 2, 1, 0);
    exec(&mut w, 2, 2, 1, "bash", b"");
    caller(&mut w, 3, 2, 0);
    w
}

#[test]
fn cases() {
    for (name, case) in CASES {
        assert!(std::panic::catch_unwind(case).is_ok(), "{name}");
    }
}

/// Where the shared folder is, and a word when it is not.
fn shared() -> Option<PathBuf> {
    let path = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let here = path.join("spec").is_dir();
    if !here {
        say(&format!("SKIPPED: the shared folder is not here ({})", path.display()));
    }
    here.then_some(path)
}

fn say(text: &str) {
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{text}\n")).unwrap();
}

#[test]
fn every_row_has_a_test() {
    let Some(shared) = shared() else { return };
    let yaml = std::fs::read_to_string(shared.join("spec/golden-tests.yaml")).unwrap();
    let section = |name: &str| {
        let lines = yaml.lines().skip_while(move |l| !l.starts_with(&format!("{name}:")));
        lines.skip(1).take_while(|l| l.starts_with("  ") || l.is_empty()).collect::<Vec<_>>()
    };
    let value = |line: &str, key: &str| {
        let (_, rest) = line.split_once(&format!("{{{key}: "))?;
        rest.split(',').next().map(str::to_owned)
    };
    let ids: Vec<String> = section("tree_cases").iter().filter_map(|l| value(l, "id")).collect();
    assert_eq!(ids, CASES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>());
    let files: Vec<String> = section("captures").iter().filter_map(|l| value(l, "file")).collect();
    let known: Vec<&str> = FILES.iter().map(|(file, _, _)| *file).collect();
    assert_eq!(files, known);
    for (name, _) in EXCEPTIONS {
        assert!(ids.iter().chain(&files).any(|row| row == name), "{name}");
    }
}

/// What a file's row is about.
enum Facts {
    /// Field and value at the last `connect` of a thread to an IP address.
    Connect(&'static [(&'static str, &'static str)]),
    /// Names of an fd at the sends, in order.
    Sends(&'static [&'static str]),
    /// Events as in another file.
    SameAs(&'static str),
    /// The file is not to be had.
    Absent,
}

const FILES: &[(&str, i64, Facts)] = &[
    (
        "curl_google.scap",
        17_498,
        Facts::Connect(&[
            ("fd.type", "ipv6"),
            ("fd.typechar", "6"),
            ("fd.sockfamily", "ip"),
            ("fd.cip", "2600:1f18:262c:6542:9aa6:df7a:9a47:d29e"),
            ("fd.sip", "2001:4860:4860::8888"),
            ("fd.cport", "40251"),
            ("fd.sport", "53"),
            ("fd.l4proto", "udp"),
        ]),
    ),
    (
        "curl_google.scap",
        17_497,
        Facts::Connect(&[
            ("fd.cip", "2600:1f18:262c:6542:9aa6:df7a:9a47:d29e"),
            ("fd.sip", "2607:f8b0:4004:802::2004"),
            ("fd.cport", "37140"),
            ("fd.sport", "80"),
            ("fd.l4proto", "tcp"),
        ]),
    ),
    (
        "single_ipv6_conn.scap",
        25_888,
        Facts::Connect(&[
            ("fd.cip", "2001:db8::4"),
            ("fd.sip", "2001:db8::3"),
            ("fd.cport", "54405"),
            ("fd.sport", "1234"),
            ("fd.l4proto", "tcp"),
        ]),
    ),
    (
        "test_ipv6_client.scap",
        19_747,
        Facts::Sends(&[
            "::1:0->::1:2345",
            "::1:38255->::1:2345",
            "::1:38255->2001:4860:4860::8888:53",
            "::1:38255->::1:2345",
        ]),
    ),
    ("curl_google_comments.scap", -1, Facts::SameAs("curl_google.scap")),
    ("kexec_x86.scap", -1, Facts::Absent),
    ("kexec_x86.scap", -1, Facts::Absent),
    ("kexec_arm64.scap", -1, Facts::Absent),
];

/// The lines of a file's events; of one thread, and of some types of events, when asked for.
fn lines(path: &Path, tid: Option<i64>, types: &[&str], format: &str) -> Vec<String> {
    let capture = Capture::open(path, Limits::default()).unwrap();
    let mut replay = Replay::new(capture, ReplayOptions { view: View::Current, ..ReplayOptions::default() });
    let format = Format::compile(format).unwrap();
    let options = TextOptions::new(Dialect::Libs);
    let mut out = Vec::new();
    while let Some(played) = replay.next().unwrap() {
        let Played::Event(step) = played else { continue };
        let asked = types.is_empty() || types.contains(&step.info.name);
        if asked && tid.is_none_or(|tid| tid == step.event.tid) {
            let mut line = Vec::new();
            assert!(format.line(&step.context(step.event.ts, &options), &mut line));
            out.push(String::from_utf8(line).unwrap());
        }
    }
    out
}

#[test]
fn captures() {
    let Some(shared) = shared() else { return };
    let mut wrong = String::new();
    for (file, tid, facts) in FILES {
        let path = shared.join("captures").join(file);
        if !path.is_file() {
            say(&format!("SKIPPED: {file} is not in the shared folder"));
            continue;
        }
        match facts {
            Facts::Connect(fields) => {
                for (field, wanted) in *fields {
                    let all = lines(&path, Some(*tid), &["connect"], &format!("*%fd.sockfamily %{field}"));
                    let last = all.iter().rfind(|l| l.starts_with("ip ")).and_then(|l| l.split_once(' '));
                    if last.map(|(_, value)| value) != Some(wanted) {
                        writeln!(wrong, "{file} {tid} {field}: {all:?}, wanted {wanted}").unwrap();
                    }
                }
            }
            Facts::Sends(names) => {
                let all = lines(&path, Some(*tid), &["send", "sendto"], "*%fd.name");
                if all != *names {
                    writeln!(wrong, "{file}: {all:?}").unwrap();
                }
            }
            Facts::SameAs(other) => {
                let format = "*%evt.num %evt.time %proc.name %thread.tid %evt.type %evt.info";
                if lines(&path, None, &[], format) != lines(&shared.join("captures").join(other), None, &[], format) {
                    writeln!(wrong, "{file}: not as {other}").unwrap();
                }
            }
            Facts::Absent => writeln!(wrong, "{file} is here now: test it").unwrap(),
        }
    }
    assert_eq!(wrong, "");
}
