//! What was found on the machine, and what happened while it was looked for.

#![allow(clippy::unwrap_used, missing_docs)]

use scapkit_capture::record::{Buffered, Reconciled, Scan, reconcile};
use scapkit_format::lists::fds::{Fd, FdInfo, FdType};
use scapkit_format::lists::threads::Thread;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{BlockType, Capture, Content, Event, Item, Limits};
use scapkit_replay::{Engine, Replay, ReplayOptions};
use std::collections::BTreeMap;

/// The machine is looked at from T + 100 to T + 300: process 10 at 100 to 110, 20 at 200 to 210, 30 at 290 to 300.
const T: u64 = 1_795_428_000_000_000_000;

fn thread(tid: i64, comm: &'static str) -> Thread<'static> {
    Thread {
        tid,
        pid: tid,
        ptid: 1,
        vtid: tid,
        vpid: tid,
        comm: comm.as_bytes(),
        exe: comm.as_bytes(),
        exepath: b"/bin/found",
        cwd: b"/found",
        ..Thread::default()
    }
}

fn file(fd: i64, ino: u64, name: &'static str) -> Fd<'static> {
    let info = FdInfo::File { open_flags: 1, name: name.as_bytes(), dev: Some(2) };
    Fd { fd, ino, kind: FdType::FILE_V2, info, extra: &[] }
}

fn lists() -> Synth {
    let mut s = Synth::new();
    s.section().machine("m", 1, T - 1_000);
    s.threads(9, &[thread(10, "ten"), thread(20, "twenty"), thread(30, "thirty")]);
    s.fds(2, 20, &[file(3, 33, "/found/three"), file(4, 44, "/found/four")]);
    s
}

fn scans() -> BTreeMap<i64, Scan> {
    let scan = |from: u64, to: u64| Scan { from: T + from, to: T + to, born: T - 500 };
    BTreeMap::from([(10, scan(100, 110)), (20, scan(200, 210)), (30, scan(290, 300))])
}

fn event(at: u64, tid: i64, event_type: u16, params: &Params) -> Buffered {
    let mut s = Synth::new();
    s.event(T + at, tid, event_type, params);
    let block = s.finish();
    let len = u32::from_le_bytes(*block[26..].first_chunk().unwrap()) as usize;
    Buffered { cpu: 0, bytes: block[10..10 + len].to_vec() }
}

fn exit(at: u64, tid: i64) -> Buffered {
    event(at, tid, id::PROCEXIT_1_E, &Params::new().i64(0).i64(0).u8(0).u8(0).i64(1))
}

fn close(at: u64, tid: i64, fd: i64) -> Buffered {
    event(at, tid, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(fd))
}

fn open(at: u64, tid: i64, fd: i64, name: &str, ino: u64) -> Buffered {
    let params = Params::new().i64(fd).i64(-100).str(name).u32(1).u32(0).u32(2).u64(ino);
    event(at, tid, id::SYSCALL_OPENAT_2_X, &params)
}

fn chdir(at: u64, tid: i64, path: &str) -> Buffered {
    event(at, tid, id::SYSCALL_CHDIR_X, &Params::new().i64(0).str(path))
}

/// Both ends of a fork.
fn fork(at: u64, tid: i64, child: i64, comm: &str) -> [Buffered; 2] {
    let params = |res: i64, of: i64, parent: i64| {
        Params::new()
            .i64(res)
            .str(comm)
            .str("")
            .i64(of)
            .i64(of)
            .i64(parent)
            .str("")
            .i64(1024)
            .u64(0)
            .u64(0)
            .u32(0)
            .u32(0)
            .u32(0)
            .str(comm)
            .str("")
            .u32(0)
            .u32(0)
            .u32(0)
            .i64(of)
            .i64(of)
            .u64(0)
    };
    [
        event(at, tid, id::SYSCALL_CLONE_20_X, &params(child, tid, 1)),
        event(at + 1, child, id::SYSCALL_CLONE_20_X, &params(0, child, tid)),
    ]
}

fn run(buffered: &[Buffered]) -> Reconciled {
    reconcile(&lists().finish(), &scans(), buffered, T + 300).unwrap()
}

/// The state that readers of the start have: with our checkpoint, and by the lists alone, as others read them.
#[track_caller]
fn state(start: &Reconciled, look: impl Fn(&Engine)) {
    for ours in [true, false] {
        let mut bytes = Vec::new();
        let mut capture = Capture::from_bytes(start.lists.clone(), "start", Limits::default());
        while let Some(item) = capture.next().unwrap() {
            if let Item::Block(block, content) = item
                && (ours || !matches!(content, Content::Checkpoint(_)))
            {
                bytes.extend_from_slice(block.bytes());
            }
        }
        // Readers want an event.
        bytes.extend(Synth::new().event(T + 1_000, 30, id::SYSCALL_FUTEX_X, &Params::new().i64(0)).finish());
        let mut replay = Replay::new(Capture::from_bytes(bytes, "start", Limits::default()), ReplayOptions::default());
        while replay.next().unwrap().is_some() {}
        assert_eq!(replay.capture().damage_count(), 0, "{:?}", replay.capture().damages());
        assert_eq!(replay.checkpoint_notes().refused, 0);
        look(replay.engine());
    }
}

fn comm(engine: &Engine, tid: i64) -> Option<String> {
    engine.thread(tid).map(|t| String::from_utf8_lossy(&t.comm).into_owned())
}

fn name(engine: &Engine, tid: i64, fd: i64) -> Option<String> {
    engine.fd(tid, fd).map(|fd| String::from_utf8_lossy(&fd.name).into_owned())
}

fn cwd(engine: &Engine, tid: i64) -> String {
    String::from_utf8_lossy(engine.cwd(tid).unwrap()).into_owned()
}

#[test]
fn without_events_the_start_is_what_was_found() {
    let start = run(&[]);
    assert_eq!((start.later, start.unseen.len()), (0, 0));
    state(&start, |engine| {
        assert_eq!(engine.threads().count(), 3);
        assert_eq!(name(engine, 20, 3).unwrap(), "/found/three");
        assert_eq!(engine.machine().unwrap().boot_ts_epoch.get(), T - 1_000);
    });
}

#[test]
fn a_thread_that_ended_is_gone_whenever_it_was_looked_at() {
    // Before it was looked at (a zombie was found), while, and after.
    for at in [150, 205, 250] {
        state(&run(&[exit(at, 20), chdir(260, 10, "/")]), |engine| {
            assert_eq!(comm(engine, 20), None, "{at}");
            assert_eq!(comm(engine, 10).unwrap(), "ten");
        });
    }
}

#[test]
fn the_end_of_an_earlier_thread_is_not_that_of_the_one_found() {
    // Its end, then another of the same id is started, which is the one that was found.
    let [caller, child] = fork(160, 10, 20, "reborn");
    state(&run(&[exit(150, 20), caller, child]), |engine| {
        assert_eq!(comm(engine, 20).unwrap(), "twenty");
        assert_eq!(name(engine, 20, 3).unwrap(), "/found/three");
    });
    // The same by its time of birth.
    let mut scans = scans();
    scans.get_mut(&20).unwrap().born = T + 170;
    let start = reconcile(&lists().finish(), &scans, &[exit(150, 20)], T + 300).unwrap();
    state(&start, |engine| assert_eq!(comm(engine, 20).unwrap(), "twenty"));
}

#[test]
fn an_id_that_is_used_again_after_the_search_is_the_new_thread() {
    let [caller, child] = fork(250, 10, 20, "reborn");
    state(&run(&[exit(240, 20), caller, child]), |engine| {
        assert_eq!(comm(engine, 20).unwrap(), "reborn");
        assert_eq!(engine.thread(20).unwrap().ptid, 10);
        assert_eq!(name(engine, 20, 3), None);
    });
}

#[test]
fn a_child_that_was_found_stays_as_it_was_found() {
    // The parent was looked at before the fork or after it.
    for parent in [10, 30] {
        let [caller, child] = fork(120, parent, 20, "from-event");
        state(&run(&[caller, child]), |engine| {
            assert_eq!(comm(engine, 20).unwrap(), "twenty");
            assert_eq!(name(engine, 20, 4).unwrap(), "/found/four");
        });
    }
}

#[test]
fn a_child_that_was_not_found_is_there_all_the_same() {
    for (at, parent) in [(50, 10), (105, 10), (150, 10), (50, 30), (150, 30)] {
        let [caller, child] = fork(at, parent, 77, "missed");
        // Both events, or only one of them.
        for events in [vec![caller.clone(), child.clone()], vec![caller.clone()], vec![child.clone()]] {
            let start = run(&events);
            assert_eq!(start.unseen, [0i64; 0]);
            state(&start, |engine| assert_eq!(comm(engine, 77).unwrap(), "missed", "{at} {parent}"));
        }
        state(&run(&[caller, child, exit(280, 77)]), |engine| {
            assert_eq!(comm(engine, 77), None);
        });
    }
}

#[test]
fn a_thread_that_only_events_tell_of_is_not_lost() {
    let start = run(&[open(150, 88, 5, "/etc/only", 5), chdir(160, 88, "/srv")]);
    assert_eq!(start.unseen, [88]);
    state(&start, |engine| assert!(engine.thread(88).is_some()));
    // It is looked at, and everything is done again.
    let mut lists = lists();
    lists.threads(9, &[thread(88, "late")]);
    let mut scans = scans();
    scans.insert(88, Scan { from: T + 310, to: T + 320, born: T - 500 });
    let start = reconcile(&lists.finish(), &scans, &[chdir(160, 88, "/srv")], T + 300).unwrap();
    assert_eq!(start.unseen, [0i64; 0]);
    state(&start, |engine| assert_eq!((comm(engine, 88).unwrap().as_str(), &*cwd(engine, 88)), ("late", "/found/")));
    // Gone again: nobody needs to look.
    assert_eq!(run(&[chdir(150, 88, "/srv"), exit(160, 88), chdir(170, 10, "/")]).unseen, [0i64; 0]);
}

#[test]
fn events_before_the_search_of_their_process_are_contained_in_what_was_found() {
    // Opened, closed and changed before: the same numbers mean something else by now.
    let start = run(&[open(120, 20, 3, "/old", 9), close(130, 20, 4), chdir(140, 20, "/old"), close(50, 20, 3)]);
    state(&start, |engine| {
        assert_eq!(name(engine, 20, 3).unwrap(), "/found/three");
        assert_eq!(name(engine, 20, 4).unwrap(), "/found/four");
        assert_eq!(cwd(engine, 20), "/found/");
    });
}

#[test]
fn events_during_and_after_the_search_of_their_process_count() {
    for at in [202, 220] {
        let start = run(&[
            chdir(at, 20, "/new"),
            open(at + 1, 20, 7, "seven", 77),
            open(at + 2, 20, 8, "/short", 88),
            close(at + 3, 20, 8),
            close(at + 4, 20, 3),
            chdir(290, 10, "/"),
        ]);
        state(&start, |engine| {
            assert_eq!(cwd(engine, 20), "/new/");
            assert_eq!(name(engine, 20, 7).unwrap(), "/new/seven");
            assert_eq!((name(engine, 20, 8), name(engine, 20, 3)), (None, None));
            assert_eq!(name(engine, 20, 4).unwrap(), "/found/four");
        });
    }
}

#[test]
fn a_file_that_was_found_open_keeps_the_name_that_was_found() {
    // Opened by a relative name, then the directory was changed, then both were found.
    let start = run(&[open(202, 20, 3, "three", 33), open(203, 20, 4, "other", 55)]);
    state(&start, |engine| {
        assert_eq!(name(engine, 20, 3).unwrap(), "/found/three");
        // Another inode: the number was used again.
        assert_eq!(name(engine, 20, 4).unwrap(), "/found/other");
    });
}

#[test]
fn events_after_the_end_are_recorded_and_not_in_the_start() {
    let buffered = [chdir(250, 10, "/before"), chdir(301, 10, "/after"), exit(302, 20)];
    let start = run(&buffered);
    assert_eq!(start.later, 1);
    state(&start, |engine| {
        assert_eq!(cwd(engine, 10), "/before/");
        assert_eq!(comm(engine, 20).unwrap(), "twenty");
    });
    let first = Event::parse_v2(&buffered[start.later].bytes, 0, 0).unwrap();
    assert_eq!(first.ts, T + 301);
}

#[test]
fn broken_events_are_passed_over() {
    let start = run(&[Buffered { cpu: 0, bytes: vec![1, 2, 3] }, exit(250, 20), chdir(260, 10, "/")]);
    state(&start, |engine| assert_eq!(comm(engine, 20), None));
    assert_eq!(BlockType::SHB.0.to_le_bytes(), start.lists[..4]);
}
