//! Messages of sandboxes to events: threads, programs, calls that come twice, losses, connections, ids, and whatever a
//! sandbox may think of.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::needless_update
)]

mod gvisor;
#[path = "gvisor/property.rs"]
mod property;

use bytes::Bytes;
use gvisor::*;
use scapkit_capture::gvisor::map::{Events, Mapper};
use scapkit_capture::gvisor::stream::{Sent, What};
use scapkit_format::schema::id;
use scapkit_format::value::{SockAddr, SockTuple, Value};
use scapkit_proto::common::{ContextData, Timespec};
use scapkit_proto::{Header, Message, packet};

#[test]
fn messages_of_2026() {
    let mut feed = Feed::started();
    feed.fork(1, 2);
    let c = || ContextData { credentials: ids(1000, 1000), parent_thread_group_id: 1, ..ctx(2) };
    assert_eq!(
        shown(&feed.send(call!(Execve, c(), sysno: 59, pathname: text("/bin/x"), argv: texts(&["x"])))),
        ["execve>"]
    );
    let made = feed.send(told!(ExecveInfo, c(),
        binary_path: text("/usr/bin/x"), argv: texts(&["x"]), binary_mode: 0o755, binary_uid: 1000, binary_ino: 77,
        binary_ctime: Some(Timespec { sec: 5, nsec: 6 }), binary_overlayfs_upper: true, binary_in_memfd: true,
        binary_overlayfs_lower: true, execfn: text("/bin/x"), binary_size: 9, binary_nlink: 1));
    assert_eq!(made, []);
    // The program is mapped before the call ends.
    assert_eq!(
        feed.send(told!(MmapInfo, c(), mapped_path: text("/usr/bin/x"), mapped_ino: 77, is_initial_mmap: true)),
        []
    );
    let event = feed.one(call!(Execve, c(), sysno: 59, exit: ok(0), pathname: text("/bin/x"), argv: texts(&["x"])));
    assert_eq!((event.num("exe_ino"), event.num("exe_ino_ctime")), (77, 5_000_000_006));
    // Its owner may write it, it is in the upper layer, in a memfd, in the lower layer.
    assert_eq!((event.num("flags"), event.text("trusted_exepath")), (1 | 2 | 4 | 8, "/usr/bin/x".into()));
    let thread = feed.thread(tid(1, 2));
    assert!(thread.exe_writable && thread.exe_upper_layer && thread.exe_from_memfd && thread.exe_lower_layer);
    assert_eq!((thread.exe_ino, &*thread.comm), (77, &b"x"[..]));
    assert_eq!(feed.send(told!(MmapInfo, c(), mapped_path: text("/lib/a.so"))), []);

    // A session of `runsc exec` says so, and another process who its parent is.
    let context = ContextData { is_exec_session: true, process_name: text("sh"), ..ctx(20) };
    feed.send(call!(Close, context, sysno: 3, exit: ok(0), fd: 9));
    let context = ContextData { parent_thread_group_id: 20, process_name: text("ls"), ..ctx(21) };
    let event = feed.one(call!(Ptrace, context, sysno: 101, exit: ok(0), request: 0, pid: 3));
    assert_eq!((event.name(), event.num("request"), event.num("pid")), ("ptrace", 1, 3));
    assert_eq!((feed.thread(tid(1, 20)).ptid, feed.thread(tid(1, 21)).ptid), (0, tid(1, 20)));

    // listen says where: then accept knows both ends.
    let server = inet([10, 0, 0, 2], 80);
    let event = feed.one(call!(Listen, ctx(2), sysno: 50, exit: ok(0), fd: 3, backlog: 128, address: server));
    assert_eq!((event.num("fd"), event.num("backlog")), (3, 128));
    let event = feed.one(call!(Accept, ctx(2), sysno: 43, exit: ok(4), fd: 3, address: inet([10, 0, 0, 9], 999)));
    let tuple = SockTuple::Ipv4 { sip: [10, 0, 0, 9], sport: 999, dip: [10, 0, 0, 2], dport: 80 };
    assert_eq!(event.value("tuple"), Value::Tuple(tuple));
    let event = feed.one(
        call!(Mmap, ctx(2), sysno: 9, exit: ok(0x7000), addr: 1, length: 2, prot: 1, flags: 2, fd: 3, offset: 4096),
    );
    assert_eq!(["addr", "length", "prot", "flags", "fd", "offset"].map(|n| event.num(n)), [1, 2, 1, 2, 3, 4096]);
}

#[test]
fn clone3_is_told_by_the_parent_and_by_a_raw_call() {
    let mut feed = Feed::started();
    assert_eq!(feed.send(call!(Syscall, ctx(1), sysno: 435)), []);
    let child = feed.one(told!(CloneInfo, ctx(1), created_thread_id: 9, created_thread_group_id: 9));
    let parent = feed.one(call!(Syscall, ctx(1), sysno: 435, exit: ok(2)));
    assert_eq!((child.event_type, parent.event_type), (id::SYSCALL_CLONE3_X, id::SYSCALL_CLONE3_X));
    assert_eq!((child.num("res"), parent.num("res"), child.tid), (0, tid(1, 9), tid(1, 9)));
    assert_eq!(feed.thread(tid(1, 9)).ptid, tid(1, 1));
}

#[test]
fn threads_and_the_parents_that_flags_choose() {
    let mut feed = Feed::started();
    feed.fork(1, 10);
    feed.spawn(10, 11);
    let thread = feed.thread(tid(1, 11));
    assert_eq!((thread.pid, thread.ptid, thread.vtid, thread.vpid), (tid(1, 10), tid(1, 1), 11, 10));
    // A child of a thread is one of its process; with CLONE_PARENT it is a sibling.
    feed.send(told!(CloneInfo, member(11, 10), created_thread_id: 12, created_thread_group_id: 12));
    feed.send(told!(CloneInfo, member(11, 10), created_thread_id: 13, created_thread_group_id: 13, flags: 0x8000));
    assert_eq!(feed.thread(tid(1, 13)).ptid, tid(1, 1));
    assert!([tid(1, 10), tid(1, 11)].contains(&feed.thread(tid(1, 12)).ptid));
    assert_eq!(feed.engine().alive_threads(tid(1, 10)), 2);
    // Two children of two threads that are in the call at the same time.
    feed.send(call!(Clone, ctx(10), sysno: 56, flags: 17));
    feed.send(call!(Clone, member(11, 10), sysno: 56, flags: 17));
    feed.send(told!(CloneInfo, ctx(10), created_thread_id: 14, created_thread_group_id: 14));
    feed.send(told!(CloneInfo, member(11, 10), created_thread_id: 15, created_thread_group_id: 15));
    let second = feed.one(call!(Clone, member(11, 10), sysno: 56, flags: 17, exit: ok(5)));
    let first = feed.one(call!(Clone, ctx(10), sysno: 56, flags: 17, exit: ok(4)));
    assert_eq!((first.res(), second.res()), (tid(1, 14), tid(1, 15)));
}

#[test]
fn an_exec_ends_the_siblings_once() {
    let mut feed = Feed::started();
    feed.fork(1, 10);
    for thread in [11, 12, 13] {
        feed.spawn(10, thread);
    }
    assert_eq!(feed.engine().alive_threads(tid(1, 10)), 4);
    // A thread that execs; gVisor ends the others, and says so before and after.
    let made = feed.send(told!(TaskExit, member(11, 10)));
    assert_eq!(shown(&made), ["procexit>"]);
    let event =
        feed.one(call!(Execve, member(12, 10), sysno: 59, exit: ok(0), pathname: text("/bin/n"), argv: texts(&["n"])));
    assert_eq!(event.tid, tid(1, 10));
    assert_eq!(feed.engine().alive_threads(tid(1, 10)), 1);
    assert_eq!(feed.send(told!(TaskExit, ctx(10))), []);
    assert_eq!(feed.comm(tid(1, 10)), "n");
    // A second exec, of the leader itself: no end of a leader follows.
    feed.one(call!(Execve, ctx(10), sysno: 59, exit: ok(0), pathname: text("/bin/m"), argv: texts(&["m"])));
    assert_eq!(feed.comm(tid(1, 10)), "m");
    assert_eq!(shown(&feed.send(told!(TaskExit, ctx(10), exit_status: 256))), ["procexit>"]);
    // All at the end of a sandbox: only the first process is left.
    assert_eq!(shown(&feed.close(0)), ["procexit>"]);
}

#[test]
fn an_exec_whose_end_is_lost_is_known_from_the_image() {
    let mut feed = Feed::started();
    feed.send(told!(ExecveInfo, ctx(1), binary_path: text("/bin/x"), argv: texts(&["x", "y"]), env: texts(&["A=1"])));
    let made = feed.send(call!(Close, ctx(1), sysno: 3, exit: ok(0), fd: 3));
    assert_eq!(shown(&made), ["execve<", "close<"]);
    assert_eq!((made[0].text("exe"), made[0].text("args")), ("x".into(), "y\0".into()));
    assert_eq!((made[0].text("env"), made[0].text("trusted_exepath")), ("A=1\0".into(), "/bin/x".into()));
    assert!(made[0].ts < made[1].ts);
    // Or from the raw call.
    feed.send(told!(ExecveInfo, ctx(1), binary_path: text("/bin/z"), argv: texts(&["z"])));
    feed.send(call!(Syscall, ctx(1), sysno: 59, exit: ok(0)));
    let made = feed.send(call!(Close, ctx(1), sysno: 3, exit: ok(0), fd: 3));
    assert_eq!(shown(&made), ["execve<", "close<"]);
    assert_eq!(feed.comm(tid(1, 1)), "z");
    // Or as what it was when the process ends.
    feed.send(told!(ExecveInfo, ctx(1), binary_path: text("/bin/w"), argv: texts(&["w"])));
    assert_eq!(shown(&feed.send(told!(TaskExit, ctx(1)))), ["execve<", "procexit>"]);
}

/// The four messages of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Points {
    raw_enter: bool,
    enter: bool,
    raw_exit: bool,
    exit: bool,
}

fn close_call(feed: &mut Feed, thread: i32, points: Points, fd: i64) -> Vec<Made> {
    let mut made = Vec::new();
    if points.raw_enter {
        made.extend(feed.send(call!(Syscall, ctx(thread), sysno: 3, arg1: fd as u64)));
    }
    if points.enter {
        made.extend(feed.send(call!(Close, ctx(thread), sysno: 3, fd: fd)));
    }
    if points.raw_exit {
        made.extend(feed.send(call!(Syscall, ctx(thread), sysno: 3, exit: failed(9), arg1: fd as u64)));
    }
    if points.exit {
        made.extend(feed.send(call!(Close, ctx(thread), sysno: 3, exit: failed(9), fd: fd)));
    }
    made
}

#[test]
fn a_call_is_one_event_whichever_points_are_on() {
    for bits in 0..16u8 {
        let points =
            Points { raw_enter: bits & 1 != 0, enter: bits & 2 != 0, raw_exit: bits & 4 != 0, exit: bits & 8 != 0 };
        let mut feed = Feed::started();
        feed.fork(1, 2);
        let before = feed.all.len();
        for n in 0..10 {
            // Two threads in turn, each of which waits for its own.
            close_call(&mut feed, 1 + n % 2, points, i64::from(n));
        }
        feed.close(0);
        let closes: Vec<&Made> = feed.all[before..].iter().filter(|e| e.name() == "close").collect();
        let wanted = if points.raw_exit || points.exit { 10 } else { 0 };
        assert_eq!(closes.len(), wanted, "{points:?}");
        let mut fds: Vec<i64> = closes.iter().map(|e| e.num("fd")).collect();
        fds.sort_unstable();
        assert!(fds.iter().copied().eq(0..wanted as i64), "{points:?}: {fds:?}");
        assert!(closes.iter().all(|e| e.res() == -9));
        in_order(&feed.all);
    }
}

/// Events may be given late, by the time that one is held for the other message.
#[track_caller]
fn in_order(made: &[Made]) {
    let mut latest = 0;
    for event in made {
        assert!(event.ts + 100_000_000 >= latest, "{} is {} ns late", event.what(), latest - event.ts);
        latest = latest.max(event.ts);
    }
}

#[test]
fn a_call_whose_message_with_strings_was_lost_is_known_from_the_raw_one() {
    let all = Points { raw_enter: true, enter: true, raw_exit: true, exit: true };
    let mut feed = Feed::started();
    assert_eq!(shown(&close_call(&mut feed, 1, all, 1)), ["close<"]);
    let lost = close_call(&mut feed, 1, Points { exit: false, ..all }, 2);
    assert_eq!(lost, []);
    let raw = feed.all.last().unwrap().clone();
    // At the next message of the thread at the latest, with its own time.
    let made = close_call(&mut feed, 1, all, 3);
    assert_eq!(made.iter().map(|e| e.num("fd")).collect::<Vec<_>>(), [2, 3]);
    assert!(raw.ts < made[0].ts && made[0].ts < made[1].ts);
    // Nor is it waited for long when the thread is silent.
    close_call(&mut feed, 1, Points { exit: false, ..all }, 4);
    feed.fork(1, 2);
    close_call(&mut feed, 2, Points { exit: false, ..all }, 5);
    wait(150);
    let context = ctx(3);
    let at = context.time_ns as u64;
    let made = feed.send(call!(Read, context, sysno: 0, exit: ok(0), fd: 0));
    assert_eq!(shown(&made), ["close<", "read<"]);
    assert_eq!((made[0].num("fd"), made[0].tid), (5, tid(1, 2)));
    assert!(made[0].ts < at - 100_000_000);
    // Also one that differs: another call of the same thread.
    close_call(&mut feed, 1, Points { exit: false, ..all }, 6);
    let made = feed.send(call!(Read, ctx(1), sysno: 0, exit: ok(0), fd: 0));
    assert_eq!(shown(&made), ["close<", "read<"]);
}

#[test]
fn raw_and_other_opens_are_told_once_with_the_name() {
    let mut feed = Feed::started();
    feed.send(call!(Syscall, ctx(1), sysno: 257));
    feed.send(call!(Open, ctx(1), sysno: 257, fd: -100, pathname: text("/x")));
    feed.send(call!(Syscall, ctx(1), sysno: 257, exit: ok(3)));
    let event = feed.one(call!(Open, ctx(1), sysno: 257, exit: ok(3), fd: -100, pathname: text("/x")));
    assert_eq!((event.text("name"), event.res()), ("/x".into(), 3));
    // The name is no UTF-8: its messages never come.
    feed.send(call!(Syscall, ctx(1), sysno: 257, arg1: (-100i64) as u64));
    feed.send(call!(Syscall, ctx(1), sysno: 257, exit: ok(4), arg1: (-100i64) as u64));
    let made = feed.send(call!(Syscall, ctx(1), sysno: 39));
    assert_eq!(shown(&made), ["openat<"]);
    assert_eq!((made[0].res(), made[0].num("dirfd"), made[0].absent("name")), (4, -100, true));
}

#[test]
fn losses_are_told_where_they_happened() {
    let mut feed = Feed::started();
    let close = || call!(Close, ctx(1), sysno: 3, exit: ok(0), fd: 3);
    let made = feed.send_to(0, &close(), 5);
    assert_eq!(shown(&made), ["drop>", "close<"]);
    assert_eq!((made[0].num("ratio"), made[0].ts), (5, made[1].ts));
    assert_eq!(shown(&feed.send_to(0, &close(), 5)), ["close<"]);
    // The count of a session wraps.
    let made = feed.send_to(0, &close(), u32::MAX - 1);
    assert_eq!(made[0].num("ratio"), i64::from(u32::MAX - 1 - 5));
    let made = feed.send_to(0, &close(), 3);
    assert_eq!(made[0].num("ratio"), 5);
    assert_eq!(feed.counts().lost, u64::from(u32::MAX - 1) + 5);
    // Another session counts anew; messages that say nothing count too.
    feed.open(1);
    let unknown = Header { size: 8, kind: 999, dropped: 2 }.to_bytes();
    assert_eq!(shown(&feed.raw(1, &unknown)), ["drop>"]);
    assert_eq!(feed.counts().lost, u64::from(u32::MAX - 1) + 7);
}

#[test]
fn unknown_kinds_and_packets_that_hold_no_message_are_counted() {
    let mut feed = Feed::started();
    for kind in [0, 39, 63, 64, 1000, u16::MAX] {
        assert_eq!(feed.raw(0, &[&Header { size: 8, kind, dropped: 0 }.to_bytes()[..], b"anything"].concat()), []);
    }
    assert_eq!((feed.counts().unknown, feed.counts().malformed), (6, 0));
    for bytes in [&[][..], &[1], &[8, 0, 7, 0, 0, 0, 0], &[7, 0, 7, 0, 0, 0, 0, 0], &[9, 0, 7, 0, 0, 0, 0, 0]] {
        feed.raw(0, bytes);
    }
    // A text whose length goes beyond the message.
    feed.raw(0, &[8, 0, 7, 0, 0, 0, 0, 0, 0x32, 0x7f, b'x']);
    assert_eq!((feed.counts().unknown, feed.counts().malformed), (6, 6));
    // A header may be longer than today's.
    let message = call!(Close, ctx(1), sysno: 3, exit: ok(0), fd: 3);
    let longer = [&Header { size: 12, kind: 8, dropped: 0 }.to_bytes()[..], b"newX", &message.encode()].concat();
    assert_eq!(shown(&feed.raw(0, &longer)), ["close<"]);
    assert_eq!(feed.counts().by_name()["Close"], 1);
}

#[test]
fn another_session_of_a_sandbox_is_the_same_sandbox() {
    let mut feed = Feed::default();
    feed.open(0);
    feed.init();
    feed.fork(1, 2);
    // `--force`: the new connection opens before the old one ends.
    feed.open(1);
    let close = |context| call!(Close, context, sysno: 3, exit: ok(0), fd: 3);
    assert_eq!(feed.send_to(1, &close(ctx(2)), 0).last().unwrap().tid, tid(1, 2));
    assert_eq!(feed.close(0), []);
    assert_eq!(feed.engine().alive_threads(tid(1, 2)), 1);
    assert_eq!(feed.send_to(1, &close(ctx(2)), 0).last().unwrap().tid, tid(1, 2));
    assert_eq!(shown(&feed.close(1)), ["procexit>"; 2]);
    // Later again: its ids are the same, what was known is gone.
    feed.open(2);
    let made = feed.send_to(2, &close(ctx(2)), 0);
    assert_eq!(made.last().unwrap().tid, tid(1, 2));
    assert!(made.iter().any(|e| e.state_only && e.name() == "clone"));
    // Another container is another sandbox, and a connection that says nothing is none.
    feed.open(3);
    assert_eq!(feed.send_to(3, &close(ctx_in("else", 2)), 0).last().unwrap().tid, tid(2, 2));
    feed.open(4);
    assert_eq!(feed.close(4), []);
    assert_eq!((feed.counts().sandboxes, feed.counts().connections), (2, 5));
}

#[test]
fn two_sandboxes_with_the_same_ids() {
    let mut feed = Feed::showing("*%thread.tid %proc.name %container.id %container.name");
    for connection in 0..2 {
        feed.open(connection);
        let name = format!("box-{connection}");
        let context = ContextData { process_name: text(&format!("p{connection}")), ..ctx_in(&name, 1) };
        feed.send_to(connection, &start(context, &["/bin/p"]), 0);
    }
    for connection in [0, 1, 1, 0] {
        let name = format!("box-{connection}");
        let made = feed.send_to(connection, &call!(Close, ctx_in(&name, 1), sysno: 3, exit: ok(0), fd: 3), 0);
        let wanted = format!("{} p{connection} {name} {name}", tid(i64::from(connection) + 1, 1));
        assert_eq!(made.last().unwrap().line, wanted);
    }
    let ended = feed.close(0);
    assert!(ended.iter().all(|e| e.tid == tid(1, 1)));
    assert_eq!(feed.engine().alive_threads(tid(2, 1)), 1);
}

#[test]
fn numbers_of_sandboxes_are_below_two_to_the_twentieth_and_never_of_two_at_once() {
    let mut mapper = Mapper::default();
    let mut events = Events::default();
    // Number 1 stays.
    let stays = packet(&start(ctx_in("stays", 1), &["/bin/x"]), 0);
    mapper.take(&Sent { connection: 0, what: What::Packet(Bytes::from(stays)) }, &mut events);
    // Each lost a message, which is an event of the sandbox.
    let lost = Bytes::from(Header { size: 8, kind: 0, dropped: 1 }.to_bytes().to_vec());
    let rounds = 1 << 20;
    let (mut highest, mut last) = (0, 0);
    for connection in 1..=rounds {
        events.clear();
        mapper.take(&Sent { connection, what: What::Packet(lost.clone()) }, &mut events);
        mapper.take(&Sent { connection, what: What::Closed }, &mut events);
        let (_, event) = events.iter().next().unwrap();
        last = i64::from_le_bytes(event[8..16].try_into().unwrap());
        assert_ne!(last >> 32, 1);
        highest = highest.max(last);
    }
    assert_eq!(highest >> 32, (1 << 20) - 1);
    assert!(highest < 1 << 52);
    // It began again, behind the one that is in use.
    assert_eq!(last >> 32, 3);
}

#[test]
fn large_ids_in_fields_filters_and_json() {
    let mut feed = Feed::showing("*%thread.tid %proc.pid %proc.ppid %thread.vtid %proc.vpid");
    feed.init();
    feed.fork(1, 7);
    let event = feed.one(call!(Close, ctx(7), sysno: 3, exit: ok(0), fd: 3));
    assert_eq!(event.line, format!("{0} {0} {1} 7 7", tid(1, 7), tid(1, 1)));
    assert_eq!(tid(1, 1), 4_294_967_297);
    let messages = [
        start(ctx(1), &["/sbin/init"]),
        told!(CloneInfo, ctx(1), created_thread_id: i32::MAX, created_thread_group_id: i32::MAX),
        call!(Close, ctx(1), sysno: 3, exit: ok(0), fd: 3),
        call!(Close, ctx(i32::MAX), sysno: 3, exit: ok(0), fd: 3),
    ];
    let largest = tid(1, i32::MAX);
    let lines = |filter: &str| json_lines(&messages, filter, "*%thread.tid %proc.pid %proc.ppid %thread.vtid");
    let close_of_first = lines("evt.type=close and thread.tid = 4294967297");
    assert_eq!(close_of_first.len(), 1);
    assert_eq!(close_of_first[0]["proc.pid"], 4_294_967_297_i64);
    let of_child = lines(&format!("evt.type=close and proc.ppid=4294967297 and thread.tid={largest}"));
    assert_eq!(of_child.len(), 1);
    assert_eq!((&of_child[0]["thread.tid"], &of_child[0]["thread.vtid"]), (&largest.into(), &i32::MAX.into()));
    assert!(largest < 1 << 53);
}

/// What a stream of these messages shows, as objects.
fn json_lines(messages: &[Message], filter: &str, fields: &str) -> Vec<serde_json::Value> {
    use scapkit_capture::gvisor::reader::AsCapture;
    use scapkit_capture::gvisor::stream::{Reader, StreamLimits};
    use scapkit_format::{Capture, Limits};
    use scapkit_replay::{Filter, Format, Played, Replay, ReplayOptions, TextOptions};
    let reader = Reader::new(std::io::Cursor::new(stream_of(messages)), StreamLimits::default()).unwrap();
    let capture = Capture::from_reader(Box::new(AsCapture::new(reader, None)), "stream", Limits::default()).unwrap();
    let mut replay = Replay::new(capture, ReplayOptions::default());
    let (mut filter, format) = (Filter::compile(filter).unwrap(), Format::compile(fields).unwrap());
    let (text, mut found) = (TextOptions::default(), Vec::new());
    while let Some(played) = replay.next().unwrap() {
        let Played::Event(step) = played else { continue };
        let context = step.context(step.event.ts, &text);
        if filter.matches(&context) {
            let mut out = Vec::new();
            format.json(&context, &mut out);
            found.push(serde_json::from_slice(&out).unwrap());
        }
    }
    found
}

#[test]
fn containers_and_lineage() {
    let mut feed = Feed::showing("*%container.id %container.name %proc.pname %proc.aname[2] %proc.name");
    feed.init();
    let record = feed.all.iter().find(|e| e.name() == "asyncevent").unwrap().container();
    assert_eq!(record["container"]["full_id"], CONTAINER);
    assert_eq!(record["container"]["id"], CONTAINER[..12]);
    feed.fork(1, 2);
    feed.send(call!(Execve, ctx(2), sysno: 59, exit: ok(0), pathname: text("/bin/sh"), argv: texts(&["sh"])));
    feed.fork(2, 3);
    let event =
        feed.one(call!(Execve, ctx(3), sysno: 59, exit: ok(0), pathname: text("/bin/cat"), argv: texts(&["cat"])));
    assert_eq!(event.line, format!("{} {CONTAINER} sh init cat", &CONTAINER[..12]));
    // An orphan is the first process's.
    feed.send(told!(TaskExit, ctx(2)));
    let event = feed.one(call!(Close, ctx(3), sysno: 3, exit: ok(0), fd: 3));
    assert_eq!(event.line, format!("{} {CONTAINER} init <NA> cat", &CONTAINER[..12]));
    // A container is told once.
    assert_eq!(feed.all.iter().filter(|e| e.name() == "asyncevent").count(), 1);
}

#[test]
fn users_follow_calls_and_what_messages_say() {
    let mut feed = Feed::started();
    let c = |uid, gid| ContextData { credentials: ids(uid, gid), ..ctx(1) };
    let event = feed.one(call!(Setid, c(1000, 0), sysno: 105, exit: ok(0), id: 1000));
    assert_eq!((event.name(), event.num("uid"), feed.thread(tid(1, 1)).uid), ("setuid", 1000, 1000));
    let event = feed.one(call!(Setresid, c(1000, 50), sysno: 119, exit: ok(0), rid: u32::MAX, eid: 50, sid: u32::MAX));
    assert_eq!((event.name(), event.num("rgid"), feed.thread(tid(1, 1)).gid), ("setresgid", u32::MAX.into(), 50));
    assert_eq!(feed.thread(tid(1, 1)).uid, 1000);
    // A change that no call told of.
    let made = feed.send(call!(Close, c(33, 44), sysno: 3, exit: ok(0), fd: 3));
    assert_eq!(shown(&made), ["close<"]);
    assert_eq!((feed.thread(tid(1, 1)).uid, feed.thread(tid(1, 1)).gid), (33, 44));
    // A failed call changes nothing.
    feed.one(call!(Setid, c(33, 44), sysno: 105, exit: failed(1), id: 0));
    assert_eq!((feed.thread(tid(1, 1)).uid, feed.thread(tid(1, 1)).gid), (33, 44));
    // A child has its parent's.
    feed.fork(1, 2);
    assert_eq!((feed.thread(tid(1, 2)).uid, feed.thread(tid(1, 2)).gid), (33, 44));
    // A session leader.
    feed.one(call!(Setid, ctx(2), sysno: 112, exit: ok(2)));
    feed.fork(2, 3);
    let event = feed.one(call!(Execve, ctx(3), sysno: 59, exit: ok(0), pathname: text("/bin/x"), argv: texts(&["x"])));
    assert_eq!((event.num("pgid"), event.num("vpgid")), (tid(1, 2), 2));
}

#[test]
fn working_directories() {
    let mut feed = Feed::started();
    let c = |cwd: &str| ContextData { cwd: text(cwd), ..ctx(1) };
    let made = feed.send(call!(Chdir, c("/work/d1"), sysno: 80, exit: ok(0), pathname: text("../work/d1")));
    assert_eq!(shown(&made), ["chdir<"]);
    assert_eq!(feed.engine().cwd(tid(1, 1)).unwrap(), b"/work/d1/");
    feed.send(call!(Open, c("/work/d1"), sysno: 257, exit: ok(3), fd: -100, pathname: text("a")));
    assert_eq!(&*feed.engine().fd(tid(1, 1), 3).unwrap().name, b"/work/d1/a");
    feed.send(call!(Chdir, c("/srv"), sysno: 81, exit: ok(0), fd: 3));
    assert_eq!(feed.engine().cwd(tid(1, 1)).unwrap(), b"/srv/");
    feed.send(call!(Chdir, c("/srv"), sysno: 80, exit: failed(2), pathname: text("/nope")));
    assert_eq!(feed.engine().cwd(tid(1, 1)).unwrap(), b"/srv/");
    // Who asks is where it was: the path is told if it is known.
    let getcwd = |res| call!(Syscall, ctx(1), sysno: 79, exit: ok(res), arg2: 256);
    let event = feed.one(getcwd(5));
    assert_eq!((event.name(), event.text("path")), ("getcwd", "/srv".into()));
    assert_eq!(feed.one(getcwd(9)).num("nativeID"), 79);
    assert_eq!(feed.one(call!(Syscall, ctx(1), sysno: 79, exit: failed(34))).res(), -34);
    assert_eq!(feed.engine().cwd(tid(1, 1)).unwrap(), b"/srv/");
    // A child begins where its parent is.
    feed.fork(1, 2);
    assert_eq!(feed.engine().cwd(tid(1, 2)).unwrap(), b"/srv/");
}

#[test]
fn both_ends_of_connections() {
    let mut feed = Feed::started();
    let (local, peer) = ([10, 0, 0, 1], [10, 0, 0, 9]);
    let bind =
        |context, fd, address: &Bytes| call!(Bind, context, sysno: 49, exit: ok(0), fd: fd, address: address.clone());
    let event = feed.one(bind(ctx(1), 3, &inet(local, 80)));
    assert_eq!(event.value("addr"), Value::Address(SockAddr::Ipv4 { ip: local, port: 80 }));
    let accept = |context, fd| call!(Accept, context, sysno: 43, exit: ok(9), fd: fd, address: inet(peer, 999));
    let both = Value::Tuple(SockTuple::Ipv4 { sip: peer, sport: 999, dip: local, dport: 80 });
    let unknown = Value::Tuple(SockTuple::Ipv4 { sip: peer, sport: 999, dip: [0; 4], dport: 0 });
    assert_eq!(feed.one(accept(ctx(1), 3)).value("tuple"), both);
    // Another thread of the process, a duplicate, and a child have it too.
    feed.spawn(1, 2);
    assert_eq!(feed.one(accept(member(2, 1), 3)).value("tuple"), both);
    feed.send(call!(Dup, ctx(1), sysno: 33, exit: ok(20), old_fd: 3, new_fd: 20));
    assert_eq!(feed.one(accept(ctx(1), 20)).value("tuple"), both);
    feed.fork(1, 5);
    assert_eq!(feed.one(accept(ctx(5), 3)).value("tuple"), both);
    // A closed one has it no more; a failed bind has none.
    feed.send(call!(Close, ctx(1), sysno: 3, exit: ok(0), fd: 3));
    assert_eq!(feed.one(accept(ctx(1), 3)).value("tuple"), unknown);
    feed.send(call!(Bind, ctx(1), sysno: 49, exit: failed(98), fd: 3, address: inet(local, 80)));
    assert_eq!(feed.one(accept(ctx(1), 3)).value("tuple"), unknown);
    // A client that was bound.
    feed.send(bind(ctx(1), 6, &inet6(1, 1000)));
    let event = feed.one(call!(Connect, ctx(1), sysno: 42, exit: ok(0), fd: 6, address: inet6(2, 53)));
    let ip = |last| std::array::from_fn(|i| if i == 15 { last } else { 0 });
    assert_eq!(event.value("tuple"), Value::Tuple(SockTuple::Ipv6 { sip: ip(1), sport: 1000, dip: ip(2), dport: 53 }));
    // One that is being made has its ends; one that failed has none.
    let event = feed.one(call!(Connect, ctx(1), sysno: 42, exit: failed(115), fd: 7, address: inet(local, 1)));
    assert_eq!((event.res(), event.absent("tuple")), (-115, false));
    let event = feed.one(call!(Connect, ctx(1), sysno: 42, exit: failed(111), fd: 8, address: inet(local, 1)));
    assert_eq!((event.res(), event.absent("tuple")), (-111, true));
    // Sockets with names.
    feed.send(bind(ctx(1), 11, &unix(b"/run/s\0")));
    let event = feed.one(call!(Accept, ctx(1), sysno: 288, exit: ok(12), fd: 11, address: unix(b"")));
    assert_eq!(event.value("tuple"), Value::Tuple(SockTuple::Unix { source: 0, destination: 0, path: b"/run/s" }));
    // Who disconnects has no address.
    let event = feed.one(call!(Connect, ctx(1), sysno: 42, exit: ok(0), fd: 6, address: Bytes::from_static(&[0; 16])));
    assert!(event.absent("addr"));
}

#[test]
fn failed_calls_leave_no_fds() {
    let mut feed = Feed::started();
    let event = feed.one(call!(Pipe, ctx(1), sysno: 293, exit: failed(22), flags: 7, reader: 5, writer: 6));
    assert_eq!(["res", "fd1", "fd2"].map(|n| event.num(n)), [-22, -1, -1]);
    let event = feed.one(call!(SocketPair, ctx(1), sysno: 53, exit: failed(95), domain: 2, socket1: 5, socket2: 6));
    assert_eq!(["res", "fd1", "fd2"].map(|n| event.num(n)), [-95, -1, -1]);
    let event = feed.one(call!(Accept, ctx(1), sysno: 43, exit: failed(11), fd: 3, address: unix(b"stale")));
    assert_eq!((event.res(), event.absent("tuple")), (-11, true));
    let limit = Some(scapkit_proto::syscall::StructRlimit { cur: 99, max: 99 });
    let event = feed.one(call!(Prlimit, ctx(1), sysno: 302, exit: failed(22), resource: 7, old_limit: limit));
    assert_eq!((event.res(), event.num("oldcur")), (-22, -1));
    assert_eq!(feed.engine().fds(tid(1, 1)).count(), 0);
}

#[test]
fn a_changed_signalfd_is_the_one_that_it_was() {
    let mut feed = Feed::started();
    feed.send(call!(Open, ctx(1), sysno: 257, exit: ok(0), fd: -100, pathname: text("/dev/null")));
    feed.send(call!(Signalfd, ctx(1), sysno: 289, exit: ok(10), fd: -1, sigset: 1));
    // gVisor returns 0 here.
    let event = feed.one(call!(Signalfd, ctx(1), sysno: 289, exit: ok(0), fd: 10, sigset: 3));
    assert_eq!((event.res(), event.num("fd"), event.num("mask")), (10, 10, 3));
    assert_eq!(&*feed.engine().fd(tid(1, 1), 0).unwrap().name, b"/dev/null");
    assert_eq!(feed.one(call!(Signalfd, ctx(1), sysno: 282, exit: failed(22), fd: 10)).res(), -22);
}

#[test]
fn the_processor_is_known_from_the_first_call_that_tells() {
    let mut feed = Feed::started();
    // 56 is openat there and clone here; O_DIRECTORY has another bit.
    let open = |exit| call!(Open, ctx(1), sysno: 56, exit: exit, fd: -100, pathname: text("/"), flags: 0o40_000);
    let event = feed.one(open(ok(3)));
    assert_eq!((event.name(), event.num("flags") & 1024), ("openat", 1024));
    let made = feed.send(call!(Syscall, ctx(1), sysno: 57, exit: ok(0), arg1: 3));
    assert_eq!(made, []);
    let made = feed.send(call!(Syscall, ctx(1), sysno: 172));
    assert_eq!(shown(&made), ["close<"]);
    feed.send(told!(ExecveInfo, ctx(1), binary_path: text("/bin/x"), argv: texts(&["x"])));
    let event = feed.one(call!(Execve, ctx(1), sysno: 221, exit: ok(0), pathname: text("/bin/x"), argv: texts(&["x"])));
    assert_eq!((event.name(), event.text("comm")), ("execve", "x".into()));
    feed.send(told!(CloneInfo, ctx(1), created_thread_id: 2, created_thread_group_id: 2));
    assert_eq!(feed.one(call!(Clone, ctx(1), sysno: 220, exit: ok(2), flags: 17)).res(), tid(1, 2));
    let event = feed.one(call!(Mmap, ctx(1), sysno: 222, exit: ok(0x1000), length: 1));
    assert_eq!(event.name(), "mmap");
}

#[test]
fn processes_listed_while_the_capture_runs() {
    let mut feed = Feed::started();
    let lines =
        [listed(1, 0, "init", &["init"]), listed(70, 1, "late", &["late", "x"]), listed(71, 0, "sess", &["sess"])];
    let made = feed.take(0, What::Procfs(Bytes::from(format!("CONTAINER {CONTAINER}\n{}", dump(&lines)))));
    // Before the first list was asked for nothing has begun: nothing is told.
    assert_eq!(shown(&made), [""; 0]);
    let mut out = Vec::new();
    feed.mapper.lists(&mut out).unwrap();
    assert!(!out.is_empty());
    let made = feed.take(0, What::Procfs(Bytes::from(format!("CONTAINER {CONTAINER}\n{}", dump(&lines)))));
    assert!(made.iter().all(|e| e.state_only || e.name() == "asyncevent"), "{made:#?}");
    assert_eq!(feed.comm(tid(1, 70)), "late");
    assert_eq!(feed.thread(tid(1, 70)).ptid, tid(1, 1));
    assert_eq!(&*feed.thread(tid(1, 70)).container_id, &CONTAINER.as_bytes()[..12]);
    // Whose the session is, a message tells later.
    assert_eq!(&*feed.thread(tid(1, 71)).container_id, b"");
    let event = feed.one(call!(Close, ctx(71), sysno: 3, exit: ok(0), fd: 3));
    assert_eq!(event.tid, tid(1, 71));
    assert_eq!(&*feed.thread(tid(1, 71)).container_id, &CONTAINER.as_bytes()[..12]);
    assert_eq!((feed.comm(tid(1, 71)), feed.thread(tid(1, 71)).uid), ("sess".into(), 5));
}

#[test]
fn messages_without_ids_are_counted_and_make_what_events_they_can() {
    let mut feed = Feed::default();
    let nobody = ContextData::default;
    assert_eq!(shown(&feed.send(call!(Close, nobody(), sysno: 3, exit: ok(0), fd: 3))), ["close<"]);
    assert_eq!(feed.send(told!(CloneInfo, nobody(), created_thread_id: 5)), []);
    assert_eq!(feed.send(told!(TaskExit, nobody())), []);
    assert_eq!(feed.send(told!(ExitNotifyParentInfo, nobody())), []);
    assert_eq!(shown(&feed.send(start(nobody(), &["/bin/x"]))), [""; 0]);
    assert_eq!(feed.counts().nameless, 3);
    assert_eq!(
        shown(&feed.send(call!(Execve, nobody(), sysno: 59, exit: ok(0), pathname: text("/x"), argv: texts(&["x"])))),
        ["execve<"]
    );
}

/// Most memory that this process has had, KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Gives packets to a mapper, and the number of bytes of events that it made.
fn feed_packets(mapper: &mut Mapper, packets: impl Iterator<Item = Message>) -> u64 {
    let (mut events, mut bytes) = (Events::default(), 0);
    for message in packets {
        events.clear();
        mapper.take(&Sent { connection: 0, what: What::Packet(Bytes::from(packet(&message, 0))) }, &mut events);
        bytes += events.iter().map(|(_, event)| event.len() as u64).sum::<u64>();
    }
    bytes
}

/// How many threads a sandbox is thought to have: so many end with it.
fn kept_threads(mapper: &mut Mapper) -> usize {
    let mut events = Events::default();
    mapper.take(&Sent { connection: 0, what: What::Closed }, &mut events);
    events.iter().count()
}

#[test]
fn a_sandbox_that_invents_threads_and_names_has_its_bounds() {
    let before = peak();
    let mut mapper = Mapper::default();
    let close = |thread| call!(Close, ctx(thread), sysno: 3, exit: ok(0), fd: 3);
    feed_packets(&mut mapper, (1..=1_000_000).map(close));
    // Programs that run in some of the many.
    let started = std::time::Instant::now();
    let exec = |thread| call!(Execve, ctx(thread), sysno: 59, exit: ok(0), pathname: text("/x"), argv: texts(&["x"]));
    feed_packets(&mut mapper, (1..=20_000).map(exec));
    assert!(started.elapsed().as_secs() < 20, "20000 programs among many threads: {:?}", started.elapsed());
    let threads = kept_threads(&mut mapper);
    assert!((100_000..800_000).contains(&threads), "{threads} threads");
    // What one has taken is there for the next.
    feed_packets(&mut mapper, (1..=50_000).map(close));
    assert_eq!(kept_threads(&mut mapper), 50_000);

    let mut mapper = Mapper::default();
    // Containers with long names, numbers of calls, sockets.
    let name = |n: u64| format!("{n}{}", "n".repeat(2000));
    let odd = |n: u64| match n % 3 {
        0 => call!(Close, ctx_in(&name(n), (n + 1) as i32), sysno: n, exit: ok(0), fd: n as i64),
        1 => call!(Bind, ctx(3), sysno: 49, exit: ok(0), fd: n as i32, address: inet([1, 2, 3, 4], 5)),
        _ => call!(Read, ctx(4), sysno: n << 20, exit: ok(0), fd: n as i64),
    };
    feed_packets(&mut mapper, (0..300_000).map(odd));
    let grown = peak().saturating_sub(before);
    assert!(grown < 900 << 10, "{grown} KiB");
}

#[test]
fn ends_of_calls_do_not_wait_for_ever() {
    let mut feed = Feed::started();
    let close = |thread| call!(Close, ctx(thread), sysno: 3, exit: ok(0), fd: 3);
    let held = |thread, time_ns| call!(Syscall, ContextData { time_ns, ..ctx(thread) }, sysno: 3, exit: ok(0), arg1: 9);
    // Such calls come with strings.
    feed.send(close(1));
    // A time that never comes.
    assert_eq!(shown(&feed.send(held(2, i64::MAX))), [""; 0]);
    assert_eq!(shown(&feed.send(close(1))), ["close<"; 2]);
    // More threads wait than there are processors for, all at one time.
    let many = 20_000;
    let given: usize = (10..10 + many).map(|thread| shown(&feed.send(held(thread, START))).len()).sum();
    assert!(given > 1000, "{given}");
    // Each is given once.
    wait(200);
    let rest = shown(&feed.send(close(1))).len() - 1;
    assert_eq!(given + rest, many as usize);
}

#[test]
fn a_long_name_of_a_container_is_told_once() {
    let mut feed = Feed::default();
    let long = "x".repeat(5000);
    for thread in 1..50 {
        feed.send(call!(Close, ctx_in(&long, thread), sysno: 3, exit: ok(0), fd: 3));
    }
    assert_eq!(feed.all.iter().filter(|e| e.name() == "asyncevent").count(), 1);
}
