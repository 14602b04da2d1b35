//! The engine that read these messages before had bugs and gaps (gvisor spec section 9): one test, or more, for each,
//! of what is right.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::needless_update)]

mod gvisor;

use bytes::Bytes;
use gvisor::*;
use scapkit_capture::gvisor::procfs;
use scapkit_capture::gvisor::reader::AsCapture;
use scapkit_capture::gvisor::stream::{Reader, StreamLimits, What};
use scapkit_format::schema::id;
use scapkit_format::value::{SockAddr, SockTuple, Value};
use scapkit_format::{Capture, Limits};
use scapkit_proto::Message;
use scapkit_proto::common::ContextData;
use scapkit_proto::syscall::StructRlimit;
use scapkit_replay::{Format, Played, Replay, ReplayOptions, TextOptions};
use std::io::Cursor;

const ENOENT: i64 = 2;
const EPERM: i64 = 1;

#[test]
fn bug_01_a_failed_call_has_its_errno() {
    let mut feed = Feed::started();
    let c = || ctx(1);
    let all: Vec<Message> = vec![
        call!(Open, c(), sysno: 2, exit: failed(EPERM), pathname: text("/x")),
        call!(Open, c(), sysno: 257, exit: failed(EPERM), fd: -100, pathname: text("/x")),
        call!(Open, c(), sysno: 85, exit: failed(EPERM), pathname: text("/x")),
        call!(Close, c(), sysno: 3, exit: failed(EPERM), fd: 9),
        call!(Read, c(), sysno: 0, exit: failed(EPERM), fd: 9, count: 1),
        call!(Read, c(), sysno: 17, exit: failed(EPERM), fd: 9, count: 1, has_offset: true, offset: 5),
        call!(Read, c(), sysno: 19, exit: failed(EPERM), fd: 9, count: 1),
        call!(Read, c(), sysno: 295, exit: failed(EPERM), fd: 9, count: 1, has_offset: true),
        call!(Write, c(), sysno: 1, exit: failed(EPERM), fd: 9, count: 1),
        call!(Write, c(), sysno: 18, exit: failed(EPERM), fd: 9, count: 1, has_offset: true),
        call!(Write, c(), sysno: 20, exit: failed(EPERM), fd: 9, count: 1),
        call!(Write, c(), sysno: 296, exit: failed(EPERM), fd: 9, count: 1, has_offset: true),
        call!(Connect, c(), sysno: 42, exit: failed(EPERM), fd: 9, address: inet([1, 2, 3, 4], 80)),
        call!(Execve, c(), sysno: 59, exit: failed(EPERM), pathname: text("/x"), argv: texts(&["x"])),
        call!(Execve, c(), sysno: 322, exit: failed(EPERM), fd: -100, pathname: text("/x"), argv: texts(&["x"])),
        call!(Socket, c(), sysno: 41, exit: failed(EPERM), domain: 2, r#type: 1),
        call!(Chdir, c(), sysno: 80, exit: failed(EPERM), pathname: text("/x")),
        call!(Chdir, c(), sysno: 81, exit: failed(EPERM), fd: 9),
        call!(Setid, c(), sysno: 105, exit: failed(EPERM), id: 7),
        call!(Setid, c(), sysno: 106, exit: failed(EPERM), id: 7),
        call!(Setid, c(), sysno: 112, exit: failed(EPERM)),
        call!(Setresid, c(), sysno: 117, exit: failed(EPERM), rid: 7, eid: 7, sid: 7),
        call!(Setresid, c(), sysno: 119, exit: failed(EPERM), rid: 7, eid: 7, sid: 7),
        call!(Prlimit, c(), sysno: 302, exit: failed(EPERM), resource: 7),
        call!(Pipe, c(), sysno: 22, exit: failed(EPERM), reader: 5, writer: 6),
        call!(Pipe, c(), sysno: 293, exit: failed(EPERM), reader: 5, writer: 6),
        call!(Fcntl, c(), sysno: 72, exit: failed(EPERM), fd: 9, cmd: 0),
        call!(Dup, c(), sysno: 32, exit: failed(EPERM), old_fd: 9),
        call!(Dup, c(), sysno: 33, exit: failed(EPERM), old_fd: 9, new_fd: 3),
        call!(Dup, c(), sysno: 292, exit: failed(EPERM), old_fd: 9, new_fd: 3),
        call!(Signalfd, c(), sysno: 282, exit: failed(EPERM), fd: -1),
        call!(Signalfd, c(), sysno: 289, exit: failed(EPERM), fd: -1),
        call!(Chroot, c(), sysno: 161, exit: failed(EPERM), pathname: text("/x")),
        call!(Eventfd, c(), sysno: 284, exit: failed(EPERM)),
        call!(Eventfd, c(), sysno: 290, exit: failed(EPERM)),
        call!(Clone, c(), sysno: 56, exit: failed(EPERM), flags: 17),
        call!(Bind, c(), sysno: 49, exit: failed(EPERM), fd: 9, address: inet([1, 2, 3, 4], 80)),
        call!(Accept, c(), sysno: 43, exit: failed(EPERM), fd: 9, address: inet([1, 2, 3, 4], 80)),
        call!(Accept, c(), sysno: 288, exit: failed(EPERM), fd: 9, address: inet([1, 2, 3, 4], 80)),
        call!(TimerfdCreate, c(), sysno: 283, exit: failed(EPERM)),
        call!(Fork, c(), sysno: 57, exit: failed(EPERM)),
        call!(Fork, c(), sysno: 58, exit: failed(EPERM)),
        call!(InotifyInit, c(), sysno: 253, exit: failed(EPERM)),
        call!(InotifyInit, c(), sysno: 294, exit: failed(EPERM)),
        call!(SocketPair, c(), sysno: 53, exit: failed(EPERM), domain: 1, socket1: 5, socket2: 6),
        call!(Mmap, c(), sysno: 9, exit: failed(EPERM)),
        call!(Listen, c(), sysno: 50, exit: failed(EPERM), fd: 9),
        call!(Ptrace, c(), sysno: 101, exit: failed(EPERM)),
    ];
    let before = feed.thread(tid(1, 1)).clone();
    for message in all {
        let said = format!("{message:?}");
        let event = feed.one(message);
        assert_eq!(event.res(), -EPERM, "{said}");
        assert_eq!(event.tid, tid(1, 1), "{said}");
    }
    // None of them has changed anything.
    assert_eq!(feed.engine().fds(tid(1, 1)).count(), 0, "{:?}", feed.engine().fds(tid(1, 1)).collect::<Vec<_>>());
    let after = feed.thread(tid(1, 1));
    assert_eq!(
        (&after.comm, &after.exepath, after.uid, after.gid, &after.cwd, &after.root, after.sid),
        (&before.comm, &before.exepath, before.uid, before.gid, &before.cwd, &before.root, before.sid)
    );
    assert_eq!(feed.engine().threads().count(), 1);
}

#[test]
fn bug_01_a_failed_exec_keeps_the_program() {
    let mut feed = Feed::started();
    feed.send(call!(Execve, ctx(1), sysno: 59, pathname: text("/nope"), argv: texts(&["nope"])));
    let event = feed.one(
        call!(Execve, ctx(1), sysno: 59, exit: failed(ENOENT), pathname: text("/nope"), argv: texts(&["nope", "a"])),
    );
    assert_eq!((event.res(), event.text("comm")), (-ENOENT, "init".into()));
    assert_eq!(feed.comm(tid(1, 1)), "init");
    assert_eq!(&*feed.thread(tid(1, 1)).exepath, b"/sbin/init");
    assert_eq!(feed.thread(tid(1, 1)).uid, 0);
}

#[test]
fn bug_02_accept_gives_the_new_fd_and_any_address() {
    let mut feed = Feed::started();
    let cases: [(u64, Bytes, Value<'_>); 4] = [
        (43, Bytes::new(), Value::Absent),
        (288, Bytes::new(), Value::Absent),
        (43, unix(b""), Value::Tuple(SockTuple::Unix { source: 0, destination: 0, path: b"" })),
        (
            288,
            inet([10, 0, 0, 1], 5555),
            Value::Tuple(SockTuple::Ipv4 { sip: [10, 0, 0, 1], sport: 5555, dip: [0; 4], dport: 0 }),
        ),
    ];
    for (new, (sysno, address, tuple)) in (10..).zip(cases) {
        let event = feed.one(call!(Accept, ctx(1), sysno: sysno, exit: ok(new), fd: 3, address: address));
        assert_eq!(event.num("fd"), new);
        assert_eq!(event.value("tuple"), tuple, "{new}");
        assert_eq!(event.name(), if sysno == 43 { "accept" } else { "accept4" });
        // A socket of which nothing is known is none that replay shows.
        assert_eq!(feed.engine().fd(tid(1, 1), new).is_some(), tuple != Value::Absent, "{new}");
    }
    assert!(feed.engine().fd(tid(1, 1), 3).is_none(), "the one that listens is no new one");
}

#[test]
fn bug_03_fork_is_fork_and_vfork_is_vfork() {
    for (sysno, flags, wanted) in [(57, 0, id::SYSCALL_FORK_20_X), (58, 0x4100, id::SYSCALL_VFORK_20_X)] {
        let mut feed = Feed::started();
        assert_eq!(feed.send(call!(Fork, ctx(1), sysno: sysno)), []);
        let child = feed.one(told!(CloneInfo, ctx(1), created_thread_id: 2, created_thread_group_id: 2, flags: flags));
        let parent = feed.one(call!(Fork, ctx(1), sysno: sysno, exit: ok(2)));
        assert_eq!((child.event_type, parent.event_type), (wanted, wanted));
        assert_eq!((child.num("res"), parent.num("res")), (0, tid(1, 2)));
        assert_eq!((child.tid, parent.tid), (tid(1, 2), tid(1, 1)));
        assert_eq!(feed.thread(tid(1, 2)).ptid, tid(1, 1));
        // Also when only the raw message comes.
        let mut feed = Feed::started();
        feed.send(call!(Syscall, ctx(1), sysno: sysno));
        feed.send(told!(CloneInfo, ctx(1), created_thread_id: 2, created_thread_group_id: 2, flags: flags));
        feed.send(call!(Syscall, ctx(1), sysno: sysno, exit: ok(2)));
        let parent = feed.one(call!(Syscall, ctx(1), sysno: 39));
        assert_eq!((parent.event_type, parent.num("res")), (wanted, tid(1, 2)));
    }
}

#[test]
fn bug_04_the_mode_of_openat_is_that_of_the_call() {
    let mut feed = Feed::started();
    let creates = 0x241;
    let enter = feed.one(call!(Open, ctx(1), sysno: 257, fd: -100, pathname: text("/a"), flags: creates, mode: 0o4754));
    let exit = feed.one(
        call!(Open, ctx(1), sysno: 257, exit: ok(3), fd: -100, pathname: text("/a"), flags: creates, mode: 0o4754),
    );
    assert_eq!((enter.num("mode"), exit.num("mode")), (0o4754, 0o4754));
    // O_CREAT|O_TRUNC|O_WRONLY of libs: 4, 256, 2.
    assert_eq!((enter.num("flags"), exit.num("flags")), (262, 262));
    // Without O_CREAT there is none.
    let exit = feed.one(call!(Open, ctx(1), sysno: 257, exit: ok(3), fd: -100, pathname: text("/a"), mode: 0o600));
    assert_eq!((exit.num("mode"), exit.num("flags")), (0, 1));
    let exit = feed.one(call!(Open, ctx(1), sysno: 2, exit: ok(3), pathname: text("/a"), flags: 0x40, mode: 0o600));
    assert_eq!(exit.num("mode"), 0o600);
    let exit = feed.one(call!(Open, ctx(1), sysno: 85, exit: ok(3), pathname: text("/a"), flags: creates, mode: 0o711));
    assert_eq!((exit.name(), exit.num("mode")), ("creat", 0o711));
}

#[test]
fn bug_05_the_address_of_connect_is_an_address() {
    let mut feed = Feed::started();
    let address = inet([192, 0, 2, 1], 443);
    let enter = feed.one(call!(Connect, ctx(1), sysno: 42, fd: 4, address: address.clone()));
    let exit = feed.one(call!(Connect, ctx(1), sysno: 42, exit: ok(0), fd: 4, address: address));
    let wanted = Value::Address(SockAddr::Ipv4 { ip: [192, 0, 2, 1], port: 443 });
    assert_eq!((enter.value("addr"), exit.value("addr")), (wanted, wanted));
    let tuple = SockTuple::Ipv4 { sip: [0; 4], sport: 0, dip: [192, 0, 2, 1], dport: 443 };
    assert_eq!(exit.value("tuple"), Value::Tuple(tuple));
    assert_eq!((exit.num("fd"), exit.num("res")), (4, 0));
}

#[test]
fn bug_06_inotify_init_has_its_flags() {
    let mut feed = Feed::started();
    // IN_CLOEXEC | IN_NONBLOCK.
    let event = feed.one(call!(InotifyInit, ctx(1), sysno: 294, exit: ok(5), flags: 0o2_004_000));
    assert_eq!(event.event_type, id::SYSCALL_INOTIFY_INIT1_X);
    assert_eq!((event.num("res"), event.num("flags")), (5, 4096 | 64));
    let event = feed.one(call!(InotifyInit, ctx(1), sysno: 253, exit: ok(6)));
    assert_eq!((event.event_type, event.num("res")), (id::SYSCALL_INOTIFY_INIT_X, 6));
}

#[test]
fn bug_07_every_parameter_of_the_table_is_there() {
    // That none is missing is looked at for every event (`wrong`); here that they say something.
    let mut feed = Feed::started();
    let event = feed.one(call!(Eventfd, ctx(1), sysno: 284, exit: ok(3), val: 17));
    assert_eq!((event.num("res"), event.num("initval"), event.num("flags")), (3, 17, 0));
    let event = feed.one(call!(Prlimit, ctx(1), sysno: 302, exit: ok(0), pid: 9, resource: 3,
        new_limit: Some(StructRlimit { cur: 5, max: u64::MAX }), old_limit: Some(StructRlimit { cur: 1, max: 2 })));
    let limits = ["newcur", "newmax", "oldcur", "oldmax", "pid", "resource"].map(|n| event.num(n));
    assert_eq!(limits, [5, -1, 1, 2, 9, 3]);
    // F_SETFD of fd 4.
    let event = feed.one(call!(Fcntl, ctx(1), sysno: 72, exit: ok(0), fd: 4, cmd: 2, args: 1));
    assert_eq!(["res", "fd", "cmd", "arg"].map(|n| event.num(n)), [0, 4, 3, 1]);
    let event = feed.one(
        call!(SocketPair, ctx(1), sysno: 53, exit: ok(0), domain: 1, r#type: 0o2_000_001, protocol: 3, socket1: 6, socket2: 7),
    );
    assert_eq!(["fd1", "fd2", "domain", "proto"].map(|n| event.num(n)), [6, 7, 1, 3]);
    feed.fork(1, 2);
    feed.fork(2, 3);
    feed.send(told!(TaskExit, ctx(2), exit_status: 0));
    let event = feed.one(told!(TaskExit, ctx(3), exit_status: 3 << 8));
    assert_eq!(["status", "ret", "sig", "core"].map(|n| event.num(n)), [3 << 8, 3, 0, 0]);
    assert_eq!(event.num("reaper_tid"), tid(1, 1));
    feed.fork(1, 4);
    let event = feed.one(told!(TaskExit, ctx(4), exit_status: 0x8b));
    assert_eq!(["ret", "sig", "core"].map(|n| event.num(n)), [0, 11, 1]);
}

#[test]
fn bug_08_newer_calls_have_their_own_events_and_flags() {
    let mut feed = Feed::started();
    // O_CLOEXEC | O_NONBLOCK.
    let event = feed.one(call!(Pipe, ctx(1), sysno: 293, exit: ok(0), flags: 0o2_004_000, reader: 3, writer: 4));
    assert_eq!(event.event_type, id::SYSCALL_PIPE2_X);
    assert_eq!(["fd1", "fd2", "flags"].map(|n| event.num(n)), [3, 4, 4096 | 64]);
    let event = feed.one(call!(Eventfd, ctx(1), sysno: 290, exit: ok(5), val: 7, flags: 0o2_004_000));
    assert_eq!(event.event_type, id::SYSCALL_EVENTFD2_X);
    assert_eq!(["res", "initval", "flags"].map(|n| event.num(n)), [5, 7, 4096 | 64]);
    let event =
        feed.one(call!(Signalfd, ctx(1), sysno: 289, exit: ok(6), fd: -1, sigset: 0x1_0001, flags: 0o2_004_000));
    assert_eq!(event.event_type, id::SYSCALL_SIGNALFD4_X);
    assert_eq!(["res", "flags", "fd", "mask"].map(|n| event.num(n)), [6, 4096 | 64, -1, 0x1_0001]);
    let event = feed.one(call!(Signalfd, ctx(1), sysno: 282, exit: ok(7), fd: -1, sigset: 1));
    assert_eq!(event.event_type, id::SYSCALL_SIGNALFD_X);
    let event = feed.one(call!(Pipe, ctx(1), sysno: 22, exit: ok(0), reader: 8, writer: 9));
    assert_eq!(event.event_type, id::SYSCALL_PIPE_X);
    for fd in [3, 4, 5, 6, 7, 8, 9] {
        assert!(feed.engine().fd(tid(1, 1), fd).is_some(), "{fd}");
    }
}

#[test]
fn bug_09_no_call_is_left_out() {
    let mut feed = Feed::started();
    let read = |sysno| call!(Read, ctx(1), sysno: sysno, exit: ok(9), fd: 3, count: 10, has_offset: true, offset: 77);
    let write = |sysno| call!(Write, ctx(1), sysno: sysno, exit: ok(9), fd: 3, count: 10, has_offset: true, offset: 77);
    let code = |event: &Made| format!("{} {}", event.name(), event.num("nativeID"));
    assert_eq!(feed.one(read(295)).num("pos"), 77);
    assert_eq!(feed.one(write(296)).num("pos"), 77);
    // Calls without an event of their own say their number.
    assert_eq!(code(&feed.one(read(327))), "syscall 327");
    assert_eq!(code(&feed.one(write(328))), "syscall 328");
    assert_eq!(code(&feed.one(call!(TimerfdSetTime, ctx(1), sysno: 286, exit: ok(0), fd: 3))), "syscall 286");
    assert_eq!(code(&feed.one(call!(TimerfdGetTime, ctx(1), sysno: 287, exit: ok(0), fd: 3))), "syscall 287");
    assert_eq!(code(&feed.one(call!(InotifyAddWatch, ctx(1), sysno: 254, exit: ok(1), fd: 3))), "syscall 254");
    assert_eq!(code(&feed.one(call!(InotifyRmWatch, ctx(1), sysno: 255, exit: ok(0), fd: 3))), "syscall 255");
    let event = feed.one(call!(Listen, ctx(1), sysno: 50, exit: ok(0), fd: 3, backlog: 5));
    assert_eq!((event.name(), event.num("fd"), event.num("backlog")), ("listen", 3, 5));
    let event = feed.one(call!(Ptrace, ctx(1), sysno: 101, exit: failed(EPERM), request: 16, pid: 5));
    assert_eq!((event.name(), event.num("pid")), ("ptrace", 5));
    let event = feed.one(call!(Mmap, ctx(1), sysno: 9, exit: ok(0x7f00_0000), length: 4096, fd: -1));
    assert_eq!((event.name(), event.num("length")), ("mmap", 4096));
}

#[test]
fn bug_10_every_container_starts_with_its_own_process() {
    let mut feed = Feed::default();
    let inits = [("pause", 1), ("web", 2), ("side", 6)];
    for (name, thread) in inits {
        let context = ContextData { process_name: text(name), ..ctx_in(name, thread) };
        let made = feed.send(start(context, &[&format!("/bin/{name}"), "arg"]));
        let exec = made.last().unwrap();
        assert_eq!((exec.what().as_str(), exec.state_only), ("execve<", false));
        assert_eq!((exec.tid, exec.num("tid"), exec.num("pid")), (tid(1, thread), tid(1, thread), tid(1, thread)));
    }
    for (name, thread) in inits {
        let t = feed.thread(tid(1, thread));
        assert_eq!((t.vtid, t.vpid, t.ptid), (thread.into(), thread.into(), 0));
        assert_eq!((&*t.comm, &*t.container_id), (name.as_bytes(), name.as_bytes()));
    }
}

#[test]
fn bug_10_a_container_without_arguments() {
    for args in [&[][..], &[""]] {
        let mut feed = Feed::default();
        let made = feed.send(start(ContextData { process_name: text("sh"), ..ctx(1) }, args));
        assert_eq!(shown(&made), ["execve<"]);
        assert_eq!(feed.comm(tid(1, 1)), "sh");
        // Restored, and nothing said of the program.
        let made = feed.send(start(ctx(7), args));
        assert_eq!(shown(&made), ["execve<"]);
    }
}

#[test]
fn bug_11_listed_processes_are_those_of_later_messages() {
    // The first message is of another container of the sandbox than the one that was listed.
    let lines = [listed(1, 0, "pause", &["pause"]), listed(5, 1, "web", &["web"])];
    let mut feed = Feed::default();
    feed.open(0);
    let mut out = Vec::new();
    feed.mapper.lists(&mut out).unwrap();
    feed.take(0, What::Procfs(Bytes::from(format!("CONTAINER first\n{}", dump(&lines)))));
    assert_eq!(feed.comm(tid(1, 5)), "web");
    let event = feed.one(call!(Open, ctx_in("second", 5), sysno: 257, exit: ok(3), fd: -100, pathname: text("/x")));
    assert_eq!(event.tid, tid(1, 5));
    assert_eq!(feed.counts().sandboxes, 1);
    assert_eq!(feed.engine().threads().count(), 2);
}

#[test]
fn bug_12_the_first_message_may_be_anything() {
    for first in [
        &[8, 0, 99, 0, 0, 0, 0, 0][..],
        &[8, 0, 35, 0, 0, 0, 0, 0],
        &[8, 0, 7, 0, 0, 0, 0, 0],
        &[8, 0, 7, 0, 0, 0, 0, 0, 0xff],
        &[1, 2, 3],
        &[],
    ] {
        let mut feed = Feed::default();
        feed.open(0);
        feed.raw(0, first);
        feed.init();
        let event = feed.one(call!(Close, ctx(1), sysno: 3, exit: ok(0), fd: 3));
        assert_eq!((event.name(), event.tid), ("close", tid(1, 1)));
        assert_eq!(feed.comm(tid(1, 1)), "init");
    }
    // A sandbox that goes takes nothing else with it.
    let mut feed = Feed::started();
    feed.open(1);
    feed.send_to(1, &start(ctx_in("other", 1), &["/bin/other"]), 0);
    feed.close(0);
    assert_eq!(feed.comm(tid(2, 1)), "other");
    assert_eq!(shown(&feed.send_to(1, &call!(Close, ctx_in("other", 1), sysno: 3, exit: ok(0)), 0)), ["close<"]);
}

#[test]
fn bug_13_nothing_is_read_beyond_its_end() {
    let mut feed = Feed::started();
    let whole = scapkit_proto::packet(&call!(Close, ctx(1), sysno: 3, exit: ok(0), fd: 3), 0);
    for n in 0..whole.len() {
        feed.raw(0, &whole[..n]);
    }
    // A header that says more, or less, than there is.
    for size in [0u16, 7, 9, u16::MAX] {
        let mut bytes = whole.clone();
        bytes[..2].copy_from_slice(&size.to_le_bytes());
        feed.raw(0, &bytes);
    }
    assert!(feed.counts().malformed >= 8 + 3, "{:?}", feed.counts());
    for full in [inet([1, 2, 3, 4], 5), inet6(1, 5), unix(&[b'p'; 108]), unix(b"\0abc"), unix(b"/s\0junk")] {
        for n in 0..=full.len() {
            let address = full.slice(..n);
            feed.send(call!(Connect, ctx(1), sysno: 42, fd: 4, address: address.clone()));
            feed.send(call!(Connect, ctx(1), sysno: 42, exit: ok(0), fd: 4, address: address.clone()));
            feed.send(call!(Bind, ctx(1), sysno: 49, exit: ok(0), fd: 4, address: address.clone()));
            let event = feed.one(call!(Accept, ctx(1), sysno: 43, exit: ok(5), fd: 4, address: address));
            assert_eq!(event.num("fd"), 5);
        }
    }
    let event = feed.one(call!(Bind, ctx(1), sysno: 49, exit: ok(0), fd: 4, address: unix(&[b'p'; 108])));
    assert_eq!(event.value("addr"), Value::Address(SockAddr::Unix { path: &[b'p'; 108] }));
}

#[test]
fn bug_14_clone_gives_the_thread_by_its_id_here() {
    let mut feed = Feed::started();
    // In the caller's namespace the child is 28, in the sandbox 31.
    feed.send(call!(Clone, ctx(1), sysno: 56, flags: 17));
    let child = feed.one(told!(CloneInfo, ctx(1), created_thread_id: 31, created_thread_group_id: 31));
    let parent = feed.one(call!(Clone, ctx(1), sysno: 56, exit: ok(28), flags: 17));
    assert_eq!((child.num("res"), child.num("tid"), child.num("ptid")), (0, tid(1, 31), tid(1, 1)));
    assert_eq!((child.num("vtid"), child.num("vpid")), (31, 31));
    assert_eq!((parent.num("res"), parent.num("tid")), (tid(1, 31), tid(1, 1)));
    assert_eq!(feed.engine().threads().count(), 2);
}

#[test]
fn bug_15_an_exec_of_another_thread_than_the_leader() {
    let mut feed = Feed::started();
    feed.fork(1, 60);
    feed.spawn(60, 61);
    feed.spawn(60, 62);
    let c = || member(61, 60);
    feed.send(call!(Execve, c(), sysno: 59, pathname: text("/bin/echo"), argv: texts(&["echo"])));
    feed.send(told!(ExecveInfo, c(), binary_path: text("/bin/busybox"), argv: texts(&["echo"])));
    let event =
        feed.one(call!(Execve, c(), sysno: 59, exit: ok(0), pathname: text("/bin/echo"), argv: texts(&["echo", "hi"])));
    assert_eq!((event.tid, event.num("tid"), event.num("pid")), (tid(1, 60), tid(1, 60), tid(1, 60)));
    assert_eq!(feed.comm(tid(1, 60)), "echo");
    // The old leader's end is none of the process.
    assert_eq!(feed.send(told!(TaskExit, ctx(60))), []);
    assert_eq!(feed.engine().alive_threads(tid(1, 60)), 1);
    let event = feed.one(call!(Write, ctx(60), sysno: 1, exit: ok(3), fd: 1, count: 3));
    assert_eq!(event.tid, tid(1, 60));
    assert_eq!(feed.comm(tid(1, 60)), "echo");
    // The next one is.
    assert_eq!(feed.one(told!(TaskExit, ctx(60), exit_status: 256)).num("ret"), 1);
    assert_eq!(feed.send(told!(ExitNotifyParentInfo, ctx(60), exit_status: 256)), []);
    assert_eq!(feed.engine().alive_threads(tid(1, 60)), 0);
}

#[test]
fn bug_16_a_session_of_runsc_exec_is_known_from_its_first_message() {
    let mut feed = Feed::started();
    let context = ContextData { process_name: text("sh"), cwd: text("/root"), credentials: ids(5, 6), ..ctx(40) };
    let made = feed.send(call!(Open, context, sysno: 257, exit: ok(3), fd: -100, pathname: text("x")));
    assert_eq!(shown(&made), ["openat<"]);
    assert_eq!((made[0].what().as_str(), made[0].state_only), ("clone<", true));
    let thread = feed.thread(tid(1, 40));
    assert_eq!((&*thread.comm, thread.uid, thread.gid, thread.vtid), (&b"sh"[..], 5, 6, 40));
    assert_eq!(&*thread.container_id, &CONTAINER.as_bytes()[..12]);
    let fd = feed.engine().fd(tid(1, 40), 3).unwrap();
    assert_eq!(&*fd.name, b"/root/x");
    // It and its first thread are known at once.
    let made = feed.send(call!(Close, member(51, 50), sysno: 3, exit: ok(0), fd: 3));
    assert_eq!(shown(&made), ["close<"]);
    assert_eq!(feed.thread(tid(1, 51)).pid, tid(1, 50));
    assert!(feed.engine().thread(tid(1, 50)).is_some());
}

#[test]
fn bug_17_clone_and_exec_have_ids_and_the_path_that_was_found() {
    let mut feed = Feed::started();
    let c = || ContextData { credentials: ids(1000, 100), ..ctx(1) };
    let child = feed.one(told!(CloneInfo, c(), created_thread_id: 2, created_thread_group_id: 2));
    assert_eq!((child.num("uid"), child.num("gid")), (1000, 100));
    let c = || ContextData { credentials: ids(1000, 100), cwd: text("/srv"), ..ctx(2) };
    feed.send(told!(ExecveInfo, c(), binary_path: text("/bin/busybox"), argv: texts(&["true"]), binary_mode: 0o755));
    let event = feed.one(call!(Execve, c(), sysno: 59, exit: ok(0), pathname: text("true"),
        argv: texts(&["true", "-v"]), envv: texts(&["A=1", "B=2"])));
    assert_eq!((event.num("uid"), event.num("gid")), (1000, 100));
    assert_eq!((event.text("trusted_exepath"), event.text("filename")), ("/bin/busybox".into(), "true".into()));
    assert_eq!(
        (event.text("exe"), event.text("args"), event.text("comm")),
        ("true".into(), "-v\0".into(), "true".into())
    );
    assert_eq!((event.text("env"), event.text("cwd")), ("A=1\0B=2\0".into(), "/srv".into()));
    let thread = feed.thread(tid(1, 2));
    assert_eq!((thread.uid, thread.gid, &*thread.exepath), (1000, 100, &b"/bin/busybox"[..]));
    // Without the other message, the path as far as it can be told.
    let event = feed.one(call!(Execve, c(), sysno: 59, exit: ok(0), pathname: text("bin/x"), argv: texts(&["x"])));
    assert_eq!(event.text("trusted_exepath"), "/srv/bin/x");
}

#[test]
fn bug_18_listed_processes() {
    let lines =
        [listed(1, 0, "sh", &["sh", "-c", "x"]), "{\"status\": 5}".to_owned(), listed(7, 1, "sleep", &["sleep", "9"])];
    let (processes, notes) = procfs::parse(dump(&lines).as_bytes());
    assert_eq!((processes.len(), notes.bad), (2, 1));
    let messages = [call!(Close, ctx(7), sysno: 3, exit: ok(0), fd: 99)];
    let reader = Reader::new(Cursor::new(stream_of(&messages)), StreamLimits::default()).unwrap();
    let dump = format!("CONTAINER {CONTAINER}\n{}", dump(&lines));
    let stream = AsCapture::new(reader, Some(dump.into_bytes()));
    let report = stream.report();
    let capture = Capture::from_reader(Box::new(stream), "stream", Limits::default()).unwrap();
    let mut replay = Replay::new(capture, ReplayOptions::default());
    let format = Format::compile(
        "*%evt.type %thread.tid %proc.pid %proc.vpid %proc.ppid %proc.sid %proc.cmdline %proc.pname %container.id %proc.cwd",
    )
    .unwrap();
    let mut lines = Vec::new();
    while let Some(played) = replay.next().unwrap() {
        let Played::Event(step) = played else { continue };
        if step.info.name == "close" {
            let mut line = Vec::new();
            let text = TextOptions::default();
            format.line(&step.context(step.event.ts, &text), &mut line);
            lines.push(String::from_utf8(line).unwrap());
        }
    }
    let (one, seven) = (tid(1, 1), tid(1, 7));
    assert_eq!(lines, [format!("close {seven} {seven} 7 {one} {one} sleep 9 sh {} /srv/", &CONTAINER[..12])]);
    assert_eq!(&*replay.engine().fd(seven, 3).unwrap().name, b"/etc/passwd");
    // A pipe too.
    assert_eq!(replay.engine().fds(seven).count(), 2);
    assert_eq!(report.get().counts.unlisted, 1);
}

#[test]
fn bug_19_the_end_of_a_connection_ends_its_threads() {
    let mut feed = Feed::started();
    feed.fork(1, 2);
    feed.spawn(2, 3);
    feed.send(call!(Close, ctx(2), sysno: 3, exit: ok(0), fd: 3));
    let last = feed.all.last().unwrap().ts;
    let made = feed.close(0);
    assert_eq!(shown(&made), ["procexit>"; 3]);
    assert!(made.iter().all(|e| e.ts == last && e.num("status") == 0), "{made:#?}");
    for thread in [1, 2, 3] {
        assert!(made.iter().any(|e| e.tid == tid(1, thread)));
        assert_eq!(feed.engine().alive_threads(tid(1, thread)), 0);
    }
    assert_eq!(feed.close(0), []);
}

/// What runsc prints is read while it runs: a list of processes fills a pipe many times over, and so may what it says
/// of errors.
#[test]
fn bug_20_a_child_is_not_waited_for_before_its_output_is_read() {
    use scapkit_capture::gvisor::runsc::Runsc;
    use std::os::unix::fs::PermissionsExt;
    const LENGTH: usize = 3_000_000;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("runsc");
    let script = format!("#!/bin/sh\nhead -c {LENGTH} /dev/zero >&2\nhead -c {LENGTH} /dev/zero\n");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let runsc = Runsc { program, ..Runsc::default() };
    assert_eq!(runsc.procfs("some").unwrap().len(), LENGTH);
}

#[test]
fn bug_21_prot_and_flags_of_mmap_are_those_of_events() {
    // PROT_READ|PROT_WRITE|PROT_EXEC, MAP_PRIVATE|MAP_ANONYMOUS; events have other bits for the last.
    let (prot, flags) = (7, 0x22);
    let mut feed = Feed::started();
    let known =
        feed.one(call!(Mmap, ctx(1), sysno: 9, exit: ok(0x7000_0000), length: 8192, prot: prot, flags: flags, fd: -1));
    assert_eq!((known.num("prot"), known.num("flags"), known.num("fd")), (7, 2 | 8, -1));
    let mut feed = Feed::started();
    feed.send(
        call!(Syscall, ctx(1), sysno: 9, exit: ok(0x7000_0000), arg2: 8192, arg3: prot.into(), arg4: flags.into(),
        arg5: u64::MAX),
    );
    let raw = feed.one(call!(Syscall, ctx(1), sysno: 39));
    assert_eq!(
        ["prot", "flags", "fd", "length"].map(|n| raw.num(n)),
        ["prot", "flags", "fd", "length"].map(|n| known.num(n))
    );
}

#[test]
fn bug_22_any_name_of_a_container_gives_ids_that_are_positive() {
    let long = "x".repeat(5000);
    let names = ["my-pod", "ffffffffffff", "80000000", "é\u{fffd}", "-1", "\u{1}", "a", &long];
    let mut feed = Feed::default();
    for (n, name) in (0..).zip(names) {
        feed.open(n);
        let made = feed.send_to(n, &start(ctx_in(name, 1), &["/bin/sh"]), 0);
        let exec = made.last().unwrap();
        assert_eq!(exec.tid, tid(i64::from(n) + 1, 1), "{name}");
    }
    // A thread id that is negative, which no sandbox has.
    let made = feed.send_to(0, &call!(Close, ctx_in("my-pod", -5), sysno: 3, exit: ok(0), fd: 1), 0);
    assert!(made.iter().all(|e| e.tid > 0 && e.tid < 1 << 53), "{made:#?}");
    assert_eq!(feed.counts().sandboxes, names.len() as u64);
}
