use super::*;
use scapkit_format::synth::Synth;
use scapkit_format::{Capture, Content, Item, Limits as ReadLimits};
use scapkit_replay::{Player, ReplayOptions};

/// A line of a process with these ids.
fn line(pid: i32, ppid: i32, more: &str) -> String {
    format!("{{\"status\":{{\"comm\":\"p{pid}\",\"pid\":{pid},\"ppid\":{ppid}}}{more}}}\n")
}

fn parsed(lines: &[String]) -> Vec<Process> {
    let (processes, notes) = parse(format!("PROCFS DUMP\n\n{}", lines.concat()).as_bytes());
    assert_eq!(notes, Notes::default());
    processes
}

fn containers(of: &[(i64, &str)]) -> BTreeMap<i64, String> {
    of.iter().map(|(init, id)| (*init, (*id).to_owned())).collect()
}

/// Reads the lists back: no damage is allowed. Gives the player that took them.
fn played(processes: &[Process], serial: u32, containers: &BTreeMap<i64, String>) -> Player {
    let mut blocks = Synth::new().section().finish();
    lists(processes, serial, containers, &mut blocks).unwrap();
    let mut capture = Capture::from_bytes(blocks, "lists", ReadLimits::default());
    let mut player = Player::new(ReplayOptions::default());
    let (mut threads, mut fds) = (0, 0);
    while let Some(item) = capture.next().unwrap() {
        let Item::Block(_, content) = item else { panic!("damage: {item:?}") };
        match &content {
            Content::Threads(list) => threads += list.clone().collect::<Result<Vec<_>, _>>().unwrap().len(),
            Content::Fds(list) => fds += list.clone().collect::<Result<Vec<_>, _>>().unwrap().len(),
            _ => {}
        }
        player.play(&content);
    }
    assert_eq!(threads, processes.len());
    assert_eq!(fds, processes.iter().map(|p| p.fds.len()).sum::<usize>());
    player
}

#[test]
fn every_key_may_be_absent() {
    let (processes, notes) = parse(b"PROCFS DUMP\n\n{\"status\":{\"pid\":4}}\n");
    assert_eq!(processes, [Process { pid: 4, ..Process::default() }]);
    assert_eq!(notes, Notes::default());
    let player = played(&processes, 1, &BTreeMap::new());
    let thread = player.engine().thread((1 << 32) | 4).unwrap();
    assert_eq!((thread.ptid, thread.sid, thread.pgid, thread.vpgid), (0, -1, -1, -1));
    assert_eq!((thread.fdlimit, thread.uid, &thread.exe[..], &thread.exepath[..]), (-1, 0, &b""[..], &b""[..]));
    assert_eq!((&thread.container_id[..], &thread.cgroups[..]), (&b""[..], &b""[..]));
    assert_eq!(parse(b""), (Vec::new(), Notes::default()));
    assert_eq!(parse(b"PROCFS DUMP\n"), (Vec::new(), Notes::default()));
    // Lists may be null; what is new is passed over.
    let more =
        ",\"args\":null,\"fdlist\":null,\"maps\":[{\"address\":{\"Start\":18446744073699065856}}],\"new\":[[{}]]";
    assert_eq!(parsed(&[line(4, 0, more)]).len(), 1);
}

#[test]
fn a_bad_line_costs_itself_only() {
    let mut dump = b"PROCFS DUMP\n\n".to_vec();
    let deep = "[".repeat(100_000);
    let lines = [
        line(9, 1, ""),
        "no json\n".into(),
        "{\"status\":{\"pid\":\"7\"}}\n".into(),
        "{\"exe\":\"/bin/x\"}\n".into(),
        line(-3, 1, ""),
        line(3, -1, ""),
        format!("{{\"new\":{deep}\n"),
        "{\"status\":{\"pid\":99999999999}}\n".into(),
        "[]\n".into(),
        line(1, 0, ""),
        "{\"status\":{\"pid\":5".into(),
    ];
    dump.extend(lines.concat().into_bytes());
    let (processes, notes) = parse(&dump);
    assert_eq!(processes.iter().map(|p| p.pid).collect::<Vec<_>>(), [1, 9]);
    assert_eq!((notes.bad, notes.lines.len()), (9, 9));
    assert!(notes.lines[0].starts_with("line 4: "), "{:?}", notes.lines);
    assert_eq!(notes.lines[2], "line 6: a process with pid 0 and parent 0");
    // Notes are bounded, their count is not.
    let (none, notes) = parse("x\n".repeat(1000).as_bytes());
    assert_eq!((none.len(), notes.bad, notes.lines.len()), (0, 1000, MAX_NOTES));
}

#[test]
fn the_order_of_the_dump_does_not_matter() {
    let lines = [
        line(
            1,
            0,
            ",\"fdlist\":[{\"number\":3,\"path\":\"/b\",\"mode\":33188},{\"number\":1,\"path\":\"/a\",\"mode\":33188}]",
        ),
        line(1, 0, ",\"exe\":\"/other\""),
        line(7, 1, ""),
    ];
    let all = |order: [usize; 3]| parse(order.map(|i| lines[i].as_str()).concat().as_bytes());
    let first = all([0, 1, 2]);
    assert_eq!(first.0.iter().map(|p| p.pid).collect::<Vec<_>>(), [1, 7]);
    assert_eq!(first.1.bad, 1, "one id twice");
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(all(order), first);
    }
}

#[test]
fn texts_that_are_no_utf8_are_kept_as_far_as_they_are() {
    let mut dump = b"{\"exe\":\"/bin/\xff\",\"status\":{\"pid\":1}}\n".to_vec();
    dump.extend(line(2, 1, ",\"cwd\":\"/\\ufffd\"").bytes());
    let (processes, notes) = parse(&dump);
    assert_eq!((processes[0].exe.as_str(), processes[1].cwd.as_str()), ("/bin/\u{fffd}", "/\u{fffd}"));
    assert_eq!(notes.bad, 0);
}

#[test]
fn containers_are_found_by_their_first_process() {
    let processes = parsed(&[
        line(1, 0, ",\"clone_ts\":11"),
        line(2, 0, ",\"clone_ts\":22"),
        line(3, 2, ""),
        line(4, 3, ""),
        // An exec session, and what it started.
        line(5, 0, ""),
        line(6, 5, ""),
        // A ring, which no sandbox has.
        line(7, 8, ""),
        line(8, 7, ""),
        line(9, 9, ""),
        // The first process of this one is not in the dump.
        line(10, 77, ""),
        line(11, 66, ""),
    ]);
    let known = containers(&[(1, "one"), (2, "two"), (77, "gone")]);
    let (one, two, gone) = (Some(1), Some(2), Some(77));
    let wanted = [one, two, two, two, None, None, None, None, None, gone, None];
    assert_eq!(inits(&processes, &known), wanted);
    let player = played(&processes, 3, &known);
    let thread = |pid: i64| player.engine().thread((3 << 32) | pid).unwrap();
    assert_eq!(&thread(4).cgroups[..], b"gvisor_container_id=/two");
    assert_eq!(
        (thread(4).pidns_init_start_ts, thread(1).pidns_init_start_ts, thread(10).pidns_init_start_ts),
        (22, 11, 0)
    );
    assert_eq!(&thread(6).cgroups[..], b"");
}

/// A chain of as many processes as there can be costs no more than its length.
#[test]
fn a_long_line_of_ancestors() {
    let count = 1i32 << 16;
    let lines: Vec<String> = (1..=count).rev().map(|pid| line(pid, pid - 1, "")).collect();
    let processes = parsed(&lines);
    let began = std::time::Instant::now();
    let found = inits(&processes, &containers(&[(1, "one")]));
    assert!(found.iter().all(|init| *init == Some(1)));
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
    let (some, notes) = parse(format!("{}{}", lines.concat(), line(count + 1, 1, "")).as_bytes());
    assert_eq!((some.len(), notes.bad), (MAX_PROCESSES, 1));
}

#[test]
fn what_is_too_long_is_cut() {
    let many = vec!["\"0123456789abcde\""; 8192].join(",");
    let long = "x".repeat(100_000);
    let fds: Vec<String> =
        (0..70_000).map(|n| format!("{{\"number\":{n},\"path\":\"/{n}\",\"mode\":33188}}")).collect();
    let more = format!(
        ",\"args\":[{many}],\"env\":[{many}],\"exe\":\"/{long}\",\"cwd\":\"/{long}\",\"root\":\"/{long}\",\
         \"clone_ts\":-1,\"limits\":{{\"RLIMIT_NOFILE\":{{\"cur\":18446744073709551615}}}},\"fdlist\":[{}]",
        fds.join(",")
    );
    let huge =
        line(2, 1, &format!(",\"args\":[\"{long}\",\"after\"],\"fdlist\":[{{\"path\":\"/{long}\",\"mode\":16877}}]"));
    let processes = parsed(&[line(1, 0, &more), huge]);
    assert_eq!((processes[0].args.len(), processes[0].fds.len()), (4095, 1 << 16));
    assert_eq!(processes[1].args.len(), 0, "an argument that no list can hold");
    let player = played(&processes, (1 << 20) - 1, &containers(&[(1, &long)]));
    let tid = |pid| i64::from((1 << 20) - 1) << 32 | pid;
    let thread = player.engine().thread(tid(1)).unwrap();
    assert_eq!((thread.exepath.len(), thread.args.len(), thread.fdlimit), (1024, 4094 * 16 - 1, -1));
    assert_eq!(player.engine().fd(tid(2), 0).unwrap().name.len(), 1023);
}

#[test]
fn a_nul_ends_a_text() {
    let processes = parsed(&[line(1, 0, ",\"args\":[\"a\",\"b\\u0000c\",\"d\"],\"cwd\":\"/x\\u0000y\"")]);
    let player = played(&processes, 1, &BTreeMap::new());
    let thread = player.engine().thread((1 << 32) | 1).unwrap();
    assert_eq!((&thread.args[..], &thread.cwd[..]), (&b"b\0d"[..], &b"/x/"[..]));
}

#[test]
fn types_of_fds() {
    let of = |path: &str, mode| kind(&Fd { number: 0, path: path.into(), mode });
    let rows = [
        ("pipe:[7]", 0o10600, FdType::FIFO, 7),
        ("socket:[8]", 0o140_777, FdType::UNSUPPORTED, 8),
        ("anon_inode:[eventfd]", 0o600, FdType::EVENT, 0),
        ("anon_inode:[signalfd]", 0o600, FdType::SIGNALFD, 0),
        ("anon_inode:[inotifyfd:12]", 0o600, FdType::INOTIFY, 12),
        ("anon_inode:[timerfd]", 0o600, FdType::TIMERFD, 0),
        ("anon_inode:[eventpoll]", 0o600, FdType::EVENTPOLL, 0),
        ("anon_inode:[what]", 0o600, FdType::UNSUPPORTED, 0),
        ("host:[1]", 0o20666, FdType::FILE_V2, 1),
        ("host:[2]", 0o100_644, FdType::FILE_V2, 2),
        ("host:[3]", 0o10600, FdType::FIFO, 3),
        ("host:[4]", 0o140_777, FdType::UNSUPPORTED, 4),
        ("/etc", 0o40755, FdType::DIRECTORY, 0),
        ("/etc/passwd", 0o100_644, FdType::FILE_V2, 0),
        ("/memfd:m (deleted)", 0o100_777, FdType::FILE_V2, 0),
        ("/fifo", 0o10600, FdType::FIFO, 0),
        ("[err: FD not found]", 0, FdType::UNSUPPORTED, 0),
        ("/pipe:[7]", 0o100_644, FdType::FILE_V2, 0),
        ("", 0, FdType::UNSUPPORTED, 0),
    ];
    for (path, mode, wanted, ino) in rows {
        assert_eq!(of(path, mode), (wanted, ino), "{path}");
    }
}

#[test]
fn executables_below_other_roots() {
    let rows = [
        ("/", "/bin/x", "/bin/x"),
        ("", "/bin/x", "/bin/x"),
        ("/jail", "/bin/x", "/jail/bin/x"),
        ("/jail/", "bin/x", "/jail/bin/x"),
        ("/jail", "", ""),
    ];
    for (root, exe, wanted) in rows {
        assert_eq!(below(root, exe), wanted);
    }
}

/// Recorded dumps; `None`, said aloud, where they are not.
fn recorded(name: &str) -> Option<Vec<u8>> {
    let shared = std::env::var_os("SCAPKIT_SHARED").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        std::path::PathBuf::from,
    );
    let found = std::fs::read(shared.join("gvisor").join(name)).ok();
    if found.is_none() {
        let skipped = format_args!("SKIPPED: {name} is absent (set SCAPKIT_SHARED)\n");
        std::io::Write::write_fmt(&mut std::io::stderr(), skipped).unwrap();
    }
    found
}

#[test]
fn a_recorded_sandbox() {
    let Some(dump) = recorded("procfs-single.txt") else { return };
    let (processes, notes) = parse(&dump);
    assert_eq!((notes.bad, processes.iter().map(|p| p.pid).collect::<Vec<_>>()), (0, vec![1, 35]));
    let id = "b90f6a66f503";
    let player = played(&processes, 5, &containers(&[(1, id)]));
    let tid = |pid: i64| (5 << 32) | pid;
    let thread = |pid| player.engine().thread(tid(pid)).unwrap();
    let sleep = thread(35);
    assert_eq!((sleep.pid, sleep.ptid, sleep.vtid, sleep.vpid), (tid(35), tid(1), 35, 35));
    assert_eq!((sleep.sid, sleep.pgid, sleep.vpgid), (tid(1), tid(1), 1));
    assert_eq!((&sleep.comm[..], &sleep.exe[..], &sleep.args[..]), (&b"sleep"[..], &b"sleep"[..], &b"0.1"[..]));
    assert_eq!(
        (&sleep.exepath[..], &sleep.cwd[..], &sleep.root[..]),
        (&b"/bin/busybox"[..], &b"/work/"[..], &b"/"[..])
    );
    assert_eq!((sleep.fdlimit, sleep.vmsize_kb, sleep.vmrss_kb), (20_000, 10_308, 2_648));
    assert!(sleep.env.starts_with(b"SHLVL=1\0HOME=/root\0"));
    assert_eq!(&sleep.cgroups[..], format!("gvisor_container_id=/{id}").as_bytes());
    assert_eq!(sleep.pidns_init_start_ts, 1_795_474_476_996_913_045);
    assert_eq!((thread(1).ptid, &thread(1).exe[..]), (0, &b"/bin/sh"[..]));
    assert_eq!(&player.engine().fd(tid(1), 6).unwrap().name[..], b"/tmp/held");
}

#[test]
fn a_recorded_pod() {
    let Some(dump) = recorded("procfs-pod.txt") else { return };
    let (processes, notes) = parse(&dump);
    assert_eq!((notes.bad, processes.iter().map(|p| p.pid).collect::<Vec<_>>()), (0, vec![1, 2, 6, 12]));
    let player = played(&processes, 1, &containers(&[(1, "sandbox"), (2, "second"), (6, "my-short-name")]));
    let thread = |pid: i64| player.engine().thread((1 << 32) | pid).unwrap();
    for (pid, id) in [(1, "sandbox"), (2, "second"), (12, "second"), (6, "my-short-name")] {
        assert_eq!(&thread(pid).cgroups[..], format!("gvisor_container_id=/{id}").as_bytes(), "{pid}");
    }
    assert_eq!((thread(2).uid, thread(2).gid, thread(6).uid), (1000, 1000, 0));
    use scapkit_replay::engine::FdKind as K;
    let fds: Vec<K> = player.engine().fds((1 << 32) | 6).map(|(_, fd)| fd.kind).collect();
    let wanted = [
        K::FileV2,
        K::FileV2,
        K::FileV2,
        K::Fifo,
        K::Fifo,
        K::Fifo,
        K::Fifo,
        K::Event,
        K::Event,
        K::Event,
        K::SignalFd,
        K::SignalFd,
        K::Inotify,
        K::TimerFd,
        K::Inotify,
        K::EventPoll,
        K::FileV2,
    ];
    assert_eq!(fds, wanted);
    // Both ends of a pipe have its inode; what is deleted says so.
    let fd = |n| player.engine().fd((1 << 32) | 6, n).unwrap();
    assert_eq!((fd(3).ino, fd(4).ino, fd(5).ino), (1, 1, 2));
    assert_eq!(&fd(16).name[..], b"/memfd:mfd (deleted)");
}
