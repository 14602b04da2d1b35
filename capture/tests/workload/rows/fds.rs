//! Calls that make or change descriptors.

use super::{BAD_FD, Check, Ctx, EBADF, EFAULT, EINVAL, EMPTY, Scratch, close, dev_ino_fd, id, raw_dir, sys, text};

pub fn rows(c: &mut Ctx) {
    dups(c);
    controls(c);
    pipes(c);
    events(c);
    timers(c);
    waits(c);
    polls(c);
    pidfds(c);
    rings(c);
    ranges(c);
}

fn dups(c: &mut Ctx) {
    let fd = raw_dir(c);
    let r = call!(c, "dup", SYS_dup, fd);
    assert!(r > 0);
    ev!(c, SYSCALL_DUP_1_X, r, fd);
    close(r);
    let r = call!(c, "dup: fails", SYS_dup, -1);
    assert_eq!(r, EBADF);
    ev!(c, SYSCALL_DUP_1_X, r, -1);
    let r = call!(c, "dup2", SYS_dup2, fd, 300);
    assert_eq!(r, 300);
    ev!(c, SYSCALL_DUP2_X, r, fd, 300);
    let r = call!(c, "dup2: to itself", SYS_dup2, 300, 300);
    ev!(c, SYSCALL_DUP2_X, r, 300, 300);
    let r = call!(c, "dup2: fails", SYS_dup2, BAD_FD, -4);
    ev!(c, SYSCALL_DUP2_X, r, BAD_FD, -4);
    let r = call!(c, "dup3", SYS_dup3, fd, 301, libc::O_CLOEXEC);
    assert_eq!(r, 301);
    ev!(c, SYSCALL_DUP3_X, r, fd, 301, 4096);
    let r = call!(c, "dup3: bad flags", SYS_dup3, fd, 301, libc::O_NONBLOCK);
    assert_eq!(r, EINVAL);
    ev!(c, SYSCALL_DUP3_X, r, fd, 301, 0);
    for fd in [fd, 300, 301] {
        let r = call!(c, "close", SYS_close, fd);
        assert_eq!(r, 0);
        ev!(c, SYSCALL_CLOSE_X, 0, fd);
    }
    for fd in [-1, BAD_FD, i64::from(i32::MIN)] {
        let r = call!(c, "close: fails", SYS_close, fd);
        ev!(c, SYSCALL_CLOSE_X, r, fd);
    }
}

fn controls(c: &mut Ctx) {
    let fd = raw_dir(c);
    for (cmd, arg, mapped) in [(0, 350, 1), (1, 0, 2), (2, 1, 3), (3, 0, 4), (4, 0, 5), (1030, 351, 26)] {
        let r = call!(c, format!("fcntl {cmd}"), SYS_fcntl, fd, cmd, arg);
        assert!(r >= 0);
        ev!(c, SYSCALL_FCNTL_X, r, fd, mapped, arg);
    }
    let mut lock = [0_u64; 4];
    let p = lock.as_mut_ptr();
    let r = call!(c, "fcntl: F_GETLK", SYS_fcntl, fd, 5, p);
    ev!(c, SYSCALL_FCNTL_X, r, fd, 6, p as i64);
    close(350);
    close(351);
    let mut n = 0_i32;
    let p = &raw mut n;
    let r = call!(c, "ioctl: FIONBIO", SYS_ioctl, fd, 0x5421, p);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_IOCTL_3_X, r, fd, 0x5421, p as i64);
    let r = call!(c, "ioctl: fails, 64 bits", SYS_ioctl, -1, 0x1234_5678_9ABC_DEF0_i64, -1);
    assert_eq!(r, EBADF);
    ev!(c, SYSCALL_IOCTL_3_X, r, -1, 0x1234_5678_9ABC_DEF0_i64, -1);
    close(fd);
}

fn pipes(c: &mut Ctx) {
    let hole = Scratch::new();
    let mut ends = [7_i32, 8];
    let p = ends.as_mut_ptr();
    let r = call!(c, "pipe", SYS_pipe, p);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_PIPE_X, 0, ends[0], ends[1], dev_ino_fd(ends[0].into()).1);
    close(ends[0].into());
    close(ends[1].into());
    for (flags, mapped) in [(0, 0), (libc::O_CLOEXEC | libc::O_NONBLOCK, 4096 | 64), (libc::O_DIRECT, 512)] {
        let r = call!(c, "pipe2", SYS_pipe2, p, flags);
        assert_eq!(r, 0);
        ev!(c, SYSCALL_PIPE2_X, 0, ends[0], ends[1], dev_ino_fd(ends[0].into()).1, mapped);
        close(ends[0].into());
        close(ends[1].into());
    }
    let r = call!(c, "pipe: unreadable", SYS_pipe, hole.hole());
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_PIPE_X, r, -1, -1, 0);
    // The numbers are read even of a call that failed.
    sys::store(p as i64, &[-5_i32, 1234].map(i32::to_le_bytes).concat());
    let r = call!(c, "pipe2: bad flags", SYS_pipe2, p, -1);
    assert_eq!(r, EINVAL);
    ev!(c, SYSCALL_PIPE2_X, r, -5, 1234, 0, 0);
    let r = call!(c, "pipe2: more bad flags", SYS_pipe2, p, 2 | libc::O_CLOEXEC);
    ev!(c, SYSCALL_PIPE2_X, r, -5, 1234, 0, 4096);
}

fn events(c: &mut Ctx) {
    let r = call!(c, "eventfd", SYS_eventfd, 0x1_8000_0001_i64);
    assert!(r > 0);
    ev!(c, SYSCALL_EVENTFD_X, r, 0x1_8000_0001_i64, 0);
    close(r);
    let r = call!(c, "eventfd2", SYS_eventfd2, 0xFFFF_FFFF_u32, libc::O_NONBLOCK | libc::O_CLOEXEC);
    assert!(r > 0);
    ev!(c, SYSCALL_EVENTFD2_X, r, 64 | 4096, 0xFFFF_FFFF_u32);
    close(r);
    let r = call!(c, "eventfd2: negative flags", SYS_eventfd2, 3, -1);
    ev!(c, SYSCALL_EVENTFD2_X, r, 0, 3);
    let mask = 1_u64 << 9;
    let r = call!(c, "signalfd", SYS_signalfd, -1, &raw const mask, 8);
    assert!(r > 0);
    ev!(c, SYSCALL_SIGNALFD_X, r, -1, 0, 0);
    let r2 = call!(c, "signalfd4: of a descriptor", SYS_signalfd4, r, &raw const mask, 8, 0);
    assert_eq!(r, r2);
    ev!(c, SYSCALL_SIGNALFD4_X, r, 0, r, 0);
    close(r);
    let r = call!(c, "signalfd4: flags", SYS_signalfd4, -1, &raw const mask, 8, libc::O_NONBLOCK | libc::O_CLOEXEC);
    assert!(r > 0);
    ev!(c, SYSCALL_SIGNALFD4_X, r, 64 | 4096, -1, 0);
    close(r);
    let r = call!(c, "signalfd4: fails", SYS_signalfd4, BAD_FD, 0, 3, -1);
    ev!(c, SYSCALL_SIGNALFD4_X, r, 0, BAD_FD, 0);
    let r = call!(c, "signalfd: fails", SYS_signalfd, BAD_FD, 0, 3);
    ev!(c, SYSCALL_SIGNALFD_X, r, BAD_FD, 0, 0);
    let r = call!(c, "inotify_init", SYS_inotify_init);
    ev!(c, SYSCALL_INOTIFY_INIT_X, r, 0);
    close(r);
    for (flags, mapped) in [(0, 0), (0x8_0000, 4096), (0x8_0800, 4160), (-1, 0), (1, 0)] {
        let r = call!(c, format!("inotify_init1 {flags:#x}"), SYS_inotify_init1, flags);
        ev!(c, SYSCALL_INOTIFY_INIT1_X, r, mapped);
        if r >= 0 {
            close(r);
        }
    }
}

fn timers(c: &mut Ctx) {
    for (clock, flags, mapped) in [(1, 0, 0), (0, 0x8_0800, 64), (7, 0x8_0000, 0), (99, 0x800, 64), (0x1FF, -1, 0)] {
        let r = call!(c, format!("timerfd_create {clock} {flags:#x}"), SYS_timerfd_create, clock, flags);
        ev!(c, SYSCALL_TIMERFD_CREATE_X, r, clock & 0xFF, mapped);
        if r >= 0 {
            close(r);
        }
    }
    let hole = Scratch::new();
    let time = [0_i64, 2_000_000];
    let r = call!(c, "nanosleep", SYS_nanosleep, time.as_ptr(), 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_NANOSLEEP_X, 0, 2_000_000);
    let time = [3_i64, -1];
    let r = call!(c, "nanosleep: fails", SYS_nanosleep, time.as_ptr(), 0);
    assert_eq!(r, EINVAL);
    ev!(c, SYSCALL_NANOSLEEP_X, r, 2_999_999_999_i64);
    for p in [0, hole.hole()] {
        let r = call!(c, "nanosleep: unreadable", SYS_nanosleep, p, 0);
        ev!(c, SYSCALL_NANOSLEEP_X, r, 0);
    }
}

fn waits(c: &mut Ctx) {
    for size in [1, 0, -8] {
        let r = call!(c, "epoll_create", SYS_epoll_create, size);
        ev!(c, SYSCALL_EPOLL_CREATE_X, r, size);
        if r >= 0 {
            close(r);
        }
    }
    let r = call!(c, "epoll_create1: fails", SYS_epoll_create1, 0x8_0001);
    assert_eq!(r, EINVAL);
    ev!(c, SYSCALL_EPOLL_CREATE1_X, r, 1);
    let fd = call!(c, "epoll_create1", SYS_epoll_create1, 0x8_0000);
    ev!(c, SYSCALL_EPOLL_CREATE1_X, fd, 1);
    let mut got = [0_u64; 6];
    let r = call!(c, "epoll_wait", SYS_epoll_wait, fd, got.as_mut_ptr(), 4, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_EPOLLWAIT_X, 0, 4);
    let r = call!(c, "epoll_wait: fails", SYS_epoll_wait, fd, got.as_mut_ptr(), -3, 0);
    ev!(c, SYSCALL_EPOLLWAIT_X, r, -3);
    close(fd);
    let mut zero = [0_i64, 0];
    let r = call!(c, "select", SYS_select, 0, 0, 0, 0, zero.as_mut_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SELECT_X, 0);
    let r = call!(c, "select: fails", SYS_select, -1, 0, 0, 0, 0);
    ev!(c, SYSCALL_SELECT_X, r);
}

#[repr(C)]
#[derive(Clone, Copy)]
struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

/// The parameter: how many, then descriptor and event bits of each.
fn list(entries: &[(i64, i16)]) -> Vec<u8> {
    let mut out = (entries.len() as u16).to_le_bytes().to_vec();
    for (fd, bits) in entries {
        out.extend_from_slice(&fd.to_le_bytes());
        out.extend_from_slice(&bits.to_le_bytes());
    }
    out
}

fn polls(c: &mut Ctx) {
    let hole = Scratch::new();
    let mut ends = [0_i32; 2];
    raw!(SYS_pipe2, ends.as_mut_ptr(), 0);
    let both = |fd: i32| PollFd { fd, events: 1 | 4 | 0x40 | 0x100, revents: 0 };
    let mut fds = [both(ends[0]), both(ends[1]), both(-1), both(777)];
    let [a, b] = ends.map(i64::from);
    let r = call!(c, "poll: the writing end and a closed one", SYS_poll, fds.as_mut_ptr(), 4, 0);
    assert_eq!(r, 2);
    // POLLOUT 4 and POLLWRNORM 0x100 -> 512; POLLNVAL -> 64.
    let want = list(&[(a, 0), (b, 4 | 512), (-1, 0), (777, 64)]);
    ev!(c, SYSCALL_POLL_X, r, want.clone(), 0);
    let time = [0_i64, 1000];
    let mask = [0x1_F000_0200_u64];
    let r = call!(c, "ppoll", SYS_ppoll, fds.as_mut_ptr(), 4, time.as_ptr(), mask.as_ptr(), 8);
    ev!(c, SYSCALL_PPOLL_X, r, want, Check::Range(0, 1000), 0xF000_0200_u32);
    close(b);
    let r = call!(c, "poll: hung up, for ever", SYS_poll, fds.as_mut_ptr(), 1, -1);
    assert_eq!(r, 1);
    ev!(c, SYSCALL_POLL_X, r, list(&[(a, 32)]), 0xFFFF_FFFF_u32);
    close(a);
    let r = call!(c, "poll: nothing", SYS_poll, fds.as_mut_ptr(), 0, 1);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_POLL_X, 0, list(&[]), 1);
    let r = call!(c, "poll: unreadable", SYS_poll, hole.hole(), 2, 0);
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_POLL_X, r, list(&[]), 0);
    let mut many = [PollFd { fd: -1, events: 0, revents: 0 }; 20];
    for (i, f) in many.iter_mut().enumerate() {
        f.fd = -1 - i as i32;
    }
    let first: Vec<_> = many[..16].iter().map(|f| (i64::from(f.fd), 0)).collect();
    let r = call!(c, "poll: 20, of which 16 are kept", SYS_poll, many.as_mut_ptr(), 20, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_POLL_X, 0, list(&first), 0);
    let bad_time = [-1_i64, 5];
    let r = call!(c, "ppoll: fails", SYS_ppoll, many.as_mut_ptr(), 1, bad_time.as_ptr(), 0, 8);
    assert_eq!(r, EINVAL);
    ev!(c, SYSCALL_PPOLL_X, r, list(&first[..1]), -999_999_995, 0);
    // Nothing at all would wait for ever: a signal mask of the wrong size makes it fail.
    let r = call!(c, "ppoll: NULL", SYS_ppoll, 0, 0, 0, mask.as_ptr(), 3);
    assert_eq!(r, EINVAL);
    ev!(c, SYSCALL_PPOLL_X, r, list(&[]), 0, 0xF000_0200_u32);
    let r = call!(c, "ppoll: unreadable", SYS_ppoll, hole.hole(), 1, hole.hole(), hole.hole(), 8);
    ev!(c, SYSCALL_PPOLL_X, r, list(&[]), 0, 0);
}

fn pidfds(c: &mut Ctx) {
    let me = c.tid();
    for flags in [0, 0x800] {
        let fd = call!(c, "pidfd_open", SYS_pidfd_open, me, flags);
        assert!(fd > 0);
        ev!(c, SYSCALL_PIDFD_OPEN_X, fd, me, i32::from(flags != 0));
        close(fd);
    }
    let r = call!(c, "pidfd_open: fails", SYS_pidfd_open, -3, 1);
    ev!(c, SYSCALL_PIDFD_OPEN_X, r, -3, 0);
    let dir = raw_dir(c);
    let fd = raw!(SYS_pidfd_open, me, 0);
    let r = call!(c, "pidfd_getfd", SYS_pidfd_getfd, fd, dir, 0);
    assert!(r > 0);
    ev!(c, SYSCALL_PIDFD_GETFD_X, r, fd, dir, 0);
    close(r);
    let r = call!(c, "pidfd_getfd: fails", SYS_pidfd_getfd, -1, -2, 0x1234);
    ev!(c, SYSCALL_PIDFD_GETFD_X, r, -1, -2, 0x1234);
    close(fd);
    close(dir);
    let name = text("memory \u{fc}");
    let fd = call!(c, "memfd_create", SYS_memfd_create, name.as_ptr(), 1 | 2);
    assert!(fd > 0);
    ev!(c, SYSCALL_MEMFD_CREATE_X, fd, &name, 3);
    close(fd);
    let r = call!(c, "memfd_create: NULL", SYS_memfd_create, 0, 4 | 0x1000);
    ev!(c, SYSCALL_MEMFD_CREATE_X, r, EMPTY, 4);
    let r = call!(c, "userfaultfd", SYS_userfaultfd, 0x8_0001);
    ev!(c, SYSCALL_USERFAULTFD_X, r, 0x8_0001);
    if r >= 0 {
        close(r);
    }
    let r = call!(c, "userfaultfd: raw flags", SYS_userfaultfd, 0x7000_0040);
    ev!(c, SYSCALL_USERFAULTFD_X, r, 0x7000_0040);
}

/// Offsets in `struct io_uring_params` (in u32): sq_entries 0, cq_entries 1, flags 2, sq_thread_cpu 3,
/// sq_thread_idle 4, features 5.
fn rings(c: &mut Ctx) {
    const FEATURES: u32 = 0xFF | 0x600; // the bits that are mapped
    for (name, flags, mapped) in [
        ("plain", 0, 0_u32),
        ("CQSIZE and CLAMP", 8 | 16, 16 | 32),
        ("IOPOLL is NEED_WAKEUP too; R_DISABLED", 1 | 64, 1 | 4 | 128),
        ("a bad flag", 0x8000_0020_u32, 64),
    ] {
        let mut params = [0_u32; 30];
        (params[1], params[2], params[3], params[4]) = (32, flags, 5, 77);
        let r = call!(c, format!("io_uring_setup: {name}"), SYS_io_uring_setup, 8, params.as_mut_ptr());
        let [sq, cq, now, cpu, idle, features, ..] = params;
        assert_eq!(now, flags);
        ev!(c, SYSCALL_IO_URING_SETUP_X, r, 8, sq, cq, mapped, cpu, idle, features & FEATURES);
        if r >= 0 {
            assert_ne!(features, 0);
            let n = call!(c, "io_uring_enter", SYS_io_uring_enter, r, 0, 0, 1, 0, 0);
            ev!(c, SYSCALL_IO_URING_ENTER_X, n, r, 0, 0, 1, 0);
            let p = params.as_mut_ptr();
            let n = call!(c, "io_uring_register: fails", SYS_io_uring_register, r, 0x1_0002, p, 3);
            assert!(n < 0);
            ev!(c, SYSCALL_IO_URING_REGISTER_X, n, r, 2, p as i64, 3);
            close(r);
        } else if name == "plain" {
            c.skip("io_uring is switched off: setup only fails");
        }
    }
    let r = call!(c, "io_uring_setup: NULL", SYS_io_uring_setup, 0xFFFF_0001_u32, 0);
    ev!(c, SYSCALL_IO_URING_SETUP_X, r, 0xFFFF_0001_u32, 0, 0, 0, 0, 0, 0);
    let r = call!(c, "io_uring_enter: fails", SYS_io_uring_enter, -1, 1, 2, 0xFFFF_FFFF_u32, 0x1_2345_6789_i64, 8);
    ev!(c, SYSCALL_IO_URING_ENTER_X, r, -1, 1, 2, 15, 0x2345_6789);
    let r = call!(c, "io_uring_register: EBADF", SYS_io_uring_register, -1, 0xFFFF, -1, -2);
    ev!(c, SYSCALL_IO_URING_REGISTER_X, r, -1, 0xFFFF, -1, -2);
}

fn ranges(c: &mut Ctx) {
    raw!(SYS_dup2, raw_dir(c), 400);
    let r = call!(c, "close_range", SYS_close_range, 390, 410, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_CLOSE_RANGE_X, 0, 390, 410, 0);
    let r = call!(c, "close_range: to the end, CLOEXEC", SYS_close_range, 5000, u32::MAX, 4);
    ev!(c, SYSCALL_CLOSE_RANGE_X, r, 5000, u32::MAX, 4);
    let r = call!(c, "close_range: fails", SYS_close_range, 9, 3, 0xFF);
    assert_eq!(r, EINVAL);
    ev!(c, SYSCALL_CLOSE_RANGE_X, r, 9, 3, 6);
}
