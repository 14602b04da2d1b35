//! Fds and directories: facts of golden-tests.yaml and state engine 7.1, 7.2.
#![allow(clippy::unwrap_used)]

mod world;

use scapkit_format::schema::id;
use scapkit_format::synth::Params;
use scapkit_replay::engine::{Fd, FdKind};
use world::World;

const CLOEXEC: u32 = 4096;

fn open(w: &mut World, fd: i64, name: &str, flags: u32) -> scapkit_replay::engine::Bound {
    w.event(1, id::SYSCALL_OPEN_X, &Params::new().i64(fd).str(name).u32(flags).u32(0).u32(5).u64(123))
}

#[test]
fn opened_files() {
    let mut w = World::new();
    let bound = open(&mut w, 3, "/tmp//dir/../file", 1 | 16384 | 32768);
    assert_eq!((bound.tid, bound.fd, bound.res, bound.renamed), (1, Some(3), Some(3), true));
    let fd = w.fd(3);
    assert_eq!((&*fd.name, &*fd.name_raw), (&b"/tmp/file"[..], &b"/tmp//dir/../file"[..]));
    assert_eq!((fd.kind, fd.dev, fd.ino), (FdKind::FileV2, 5, 123));
    assert_eq!(fd.flags, Fd::UPPER_LAYER);
    open(&mut w, 4, "dir", 1024);
    assert_eq!((w.name(4).as_str(), w.fd(4).kind), ("/root/dir", FdKind::Directory));
    let bound = open(&mut w, -13, "/none", 0);
    assert_eq!((bound.fd, bound.res), (Some(-1), Some(-13)));
}

#[test]
fn paths_from_directories() {
    let mut w = World::new();
    open(&mut w, 4, "/data", 1024);
    for (dirfd, path, wanted) in
        [(4, "a/./b", "/data/a/b"), (4, "/abs", "/abs"), (-100, "x", "/root/x"), (77, "a/b", "<UNKNOWN>a/b")]
    {
        let params = Params::new().i64(9).i64(dirfd).str(path).u32(0).u32(0).u32(0).u64(0);
        w.event(1, id::SYSCALL_OPENAT_2_X, &params);
        assert_eq!(w.name(9), wanted);
    }
    w.event(1, id::SYSCALL_OPENAT2_X, &Params::new().i64(9).i64(4).empty().u32(0).u32(0).u32(0).u32(7).u64(8));
    assert_eq!((w.name(9).as_str(), w.fd(9).dev, w.fd(9).ino), ("/data/<NA>", 7, 8));
    w.event(1, id::SYSCALL_CREAT_X, &Params::new().i64(9).str("new").u32(0).u32(7).u64(8).u16(2));
    assert_eq!((w.name(9).as_str(), w.fd(9).flags), ("/root/new", Fd::LOWER_LAYER));
    w.event(1, id::SYSCALL_OPEN_BY_HANDLE_AT_X, &Params::new().i64(9).i64(5).u32(2).str("/h").u32(0).u64(0));
    assert_eq!(w.name(9), "/h");
}

#[test]
fn the_enter_event_has_the_word() {
    let mut w = World::new();
    w.event(1, id::SYSCALL_OPEN_E, &Params::new().str("/tmp/asked").u32(3).u32(0));
    open(&mut w, 3, "/tmp/other", 1 | 16384);
    assert_eq!((w.name(3).as_str(), w.fd(3).open_flags), ("/tmp/asked", 3 | 16384));
    // It is used once only, and never for another call.
    open(&mut w, 4, "/tmp/other", 1);
    assert_eq!(w.name(4), "/tmp/other");
    w.event(1, id::SYSCALL_OPEN_E, &Params::new().str("/tmp/asked").u32(3).u32(0));
    w.event(1, id::SYSCALL_CREAT_X, &Params::new().i64(5).str("/tmp/c").u32(0).u32(0).u64(0).u16(0));
    assert_eq!(w.name(5), "/tmp/c");
    w.event(1, id::SYSCALL_OPENAT_2_E, &Params::new().i64(-100).str("rel").u32(0).u32(0));
    w.event(1, id::SYSCALL_OPENAT_2_X, &Params::new().i64(6).i64(3).str("/x").u32(0).u32(0).u32(0).u64(0));
    assert_eq!(w.name(6), "/root/rel");
    w.event(1, id::SYSCALL_OPEN_E, &Params::new().str("<NA>").u32(3).u32(0));
    open(&mut w, 7, "/tmp/seen", 1);
    assert_eq!(w.name(7), "/tmp/seen");
}

#[test]
fn closed_fds_are_there_for_their_event() {
    let mut w = World::new();
    open(&mut w, 3, "/a", 0);
    let bound = w.event(1, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    assert_eq!((bound.fd, w.name(3).as_str()), (Some(3), "/a"));
    w.tick();
    assert!(w.engine.fd(1, 3).is_none());
    open(&mut w, 3, "/a", 0);
    w.event(1, id::SYSCALL_CLOSE_X, &Params::new().i64(-9).i64(3));
    w.tick();
    assert!(w.engine.fd(1, 3).is_some(), "a close that failed");
}

#[test]
fn close_range() {
    let mut w = World::new();
    for fd in 3..7 {
        open(&mut w, fd, "/a", 0);
    }
    w.event(1, id::SYSCALL_CLOSE_RANGE_X, &Params::new().i64(0).u32(6).u32(u32::MAX).u32(4));
    assert_eq!((w.fd(5).open_flags, w.fd(6).open_flags), (0, CLOEXEC));
    w.event(1, id::SYSCALL_CLOSE_RANGE_X, &Params::new().i64(0).u32(4).u32(5).u32(0));
    assert_eq!(w.engine.fds(1).map(|(n, _)| n).collect::<Vec<_>>(), [0, 3, 6]);
}

#[test]
fn copies() {
    let mut w = World::new();
    open(&mut w, 3, "/tmp/test", CLOEXEC);
    let bound = w.event(1, id::SYSCALL_DUP_1_X, &Params::new().i64(123).i64(3));
    assert_eq!((bound.fd, bound.renamed), (Some(123), false));
    assert_eq!((w.name(123).as_str(), w.fd(123).open_flags), ("/tmp/test", 0));
    w.event(1, id::SYSCALL_DUP3_X, &Params::new().i64(7).i64(3).i64(7).u32(CLOEXEC));
    assert_eq!(w.fd(7).open_flags, CLOEXEC);
    w.event(1, id::SYSCALL_FCNTL_X, &Params::new().i64(8).i64(3).u8(26).u64(0));
    assert_eq!(w.fd(8).open_flags, CLOEXEC);
    w.event(1, id::SYSCALL_FCNTL_X, &Params::new().i64(0).i64(8).u8(3).u64(0));
    assert_eq!(w.fd(8).open_flags, 0);
    w.event(1, id::SYSCALL_DUP2_X, &Params::new().i64(0).i64(3).i64(0));
    w.event(1, id::SYSCALL_DUP2_X, &Params::new().i64(1).i64(3).i64(1));
    assert_eq!(w.name(0), "/tmp/test");
    assert_eq!(w.thread(1).flags >> 21 & 3, 3, "source and destination of a pipe");
}

#[test]
fn kinds() {
    let mut w = World::new();
    let p = Params::new;
    for (event_type, params, kind, fd, flags) in [
        (id::SYSCALL_SIGNALFD_X, p().i64(5).i64(-1).u32(0).u8(0), FdKind::SignalFd, 5, 0),
        (id::SYSCALL_SIGNALFD4_X, p().i64(5).u16(4096).i64(-1).u32(0), FdKind::SignalFd, 5, 4096),
        (id::SYSCALL_TIMERFD_CREATE_X, p().i64(6).u8(0).u8(0), FdKind::TimerFd, 6, 0),
        (id::SYSCALL_INOTIFY_INIT_X, p().i64(7).u8(0), FdKind::Inotify, 7, 0),
        (id::SYSCALL_INOTIFY_INIT1_X, p().i64(7).u16(4096), FdKind::Inotify, 7, 4096),
        (id::SYSCALL_BPF_2_X, p().i64(8).u32(5), FdKind::Bpf, 8, 0),
        (id::SYSCALL_USERFAULTFD_X, p().i64(9).u32(0), FdKind::UserFaultFd, 9, 0),
        (id::SYSCALL_IO_URING_SETUP_X, p().i64(10).u32(0), FdKind::IoUring, 10, 0),
        (id::SYSCALL_EPOLL_CREATE_X, p().i64(11).u32(0), FdKind::EventPoll, 11, 0),
        (id::SYSCALL_EPOLL_CREATE1_X, p().i64(12).u32(1), FdKind::EventPoll, 12, 4096),
        (id::SYSCALL_PIPE_X, p().i64(0).i64(3).i64(4).u64(81976), FdKind::Fifo, 4, 0),
        (id::SYSCALL_PIPE2_X, p().i64(0).i64(6).i64(7).u64(81976).u32(64), FdKind::Fifo, 7, 64),
        (id::SYSCALL_EVENTFD_X, p().i64(34).u64(3).u32(5), FdKind::Event, 34, 0),
        (id::SYSCALL_EVENTFD2_X, p().i64(31).u16(4096).u64(0), FdKind::Event, 31, 4096),
        (id::SYSCALL_MEMFD_CREATE_X, p().i64(6).str("memory-file").u32(1), FdKind::MemFd, 6, 1),
        (id::SYSCALL_PIDFD_OPEN_X, p().i64(13).i64(1).u32(0), FdKind::PidFd, 13, 0),
        (id::SOCKET_SOCKETPAIR_X, p().i64(0).i64(20).i64(21).u64(1).u64(2), FdKind::Unix, 21, 0),
    ] {
        let bound = w.event(1, event_type, &params);
        assert_eq!((bound.fd, w.fd(fd).kind, w.fd(fd).open_flags), (Some(fd), kind, flags), "{kind:?}");
    }
    assert_eq!((w.name(6).as_str(), w.name(13).as_str(), w.fd(4).ino), ("memory-file", "/proc/1", 81976));
    let bound = w.event(1, id::SYSCALL_MEMFD_CREATE_X, &p().i64(-22).str("m").u32(0));
    assert_eq!((bound.fd, w.engine.fd(1, -22).is_none()), (Some(-22), true));
}

#[test]
fn fd_of_another_process() {
    let mut w = World::new();
    open(&mut w, 3, "/tmp/the_file", 0);
    w.event(1, id::SYSCALL_PIDFD_OPEN_X, &Params::new().i64(13).i64(1).u32(0));
    let bound = w.event(1, id::SYSCALL_PIDFD_GETFD_X, &Params::new().i64(9).i64(13).i64(3).u32(0));
    assert_eq!((bound.fd, w.name(9).as_str(), w.fd(9).open_flags), (Some(9), "/tmp/the_file", CLOEXEC));
}

#[test]
fn directories() {
    let mut w = World::new();
    let cwd = |w: &World, tid| String::from_utf8_lossy(w.engine.cwd(tid).unwrap()).into_owned();
    assert_eq!(cwd(&w, 1), "/root/");
    w.event(1, id::SYSCALL_CHDIR_X, &Params::new().i64(0).str("../srv/x"));
    assert_eq!(cwd(&w, 1), "/srv/x/");
    w.event(1, id::SYSCALL_CHDIR_X, &Params::new().i64(-2).str("/none"));
    assert_eq!(cwd(&w, 1), "/srv/x/");
    open(&mut w, 3, "/opt", 1024);
    w.event(1, id::SYSCALL_FCHDIR_X, &Params::new().i64(0).i64(3));
    assert_eq!(cwd(&w, 1), "/opt/");
    w.event(1, id::SYSCALL_GETCWD_X, &Params::new().i64(5).str("/home"));
    assert_eq!(cwd(&w, 1), "/home/");
    w.event(1, id::SYSCALL_CHROOT_X, &Params::new().i64(0).str("jail/"));
    assert_eq!(&*w.thread(1).root, b"/home/jail");
    w.event(99, id::SYSCALL_CHDIR_X, &Params::new().i64(0).str("/x"));
    assert_eq!(cwd(&w, 99), "./", "the process of a thread that was only mentioned is not known");
}
