//! Fds that are not sockets, and directories (state engine 7.1 and 7.2).

use super::bind::{Cx, Handler, NA, signed, text, u32_of, unsigned};
use super::fd::o;
use super::table::cl;
use super::{Engine, Fd, FdKind, Socket, Text, paths};
use scapkit_format::Event;
use scapkit_format::schema::id;
use std::io::Write;

/// `AT_FDCWD` as captures store it.
const AT_FDCWD: i64 = -100;
const CLOSE_RANGE_CLOEXEC: u32 = 4;
const F_DUPFD: u64 = 1;
const F_SETFD: u64 = 3;
const F_DUPFD_CLOEXEC: u64 = 26;
const EPOLL_CLOEXEC: u32 = 1;

pub(super) const HANDLERS: &[(u16, Handler)] = &[
    (id::SYSCALL_OPEN_X, open),
    (id::SYSCALL_CREAT_X, open),
    (id::SYSCALL_OPENAT_2_X, open),
    (id::SYSCALL_OPENAT2_X, open),
    (id::SYSCALL_OPEN_BY_HANDLE_AT_X, open),
    (id::SYSCALL_CLOSE_X, close),
    (id::SYSCALL_CLOSE_RANGE_X, close_range),
    (id::SYSCALL_DUP_1_X, dup),
    (id::SYSCALL_DUP2_X, dup),
    (id::SYSCALL_DUP3_X, dup),
    (id::SYSCALL_FCNTL_X, fcntl),
    (id::SYSCALL_PIPE_X, pipe),
    (id::SYSCALL_PIPE2_X, pipe),
    (id::SOCKET_SOCKETPAIR_X, socketpair),
    (id::SYSCALL_EVENTFD_X, make),
    (id::SYSCALL_EVENTFD2_X, make),
    (id::SYSCALL_SIGNALFD_X, make),
    (id::SYSCALL_SIGNALFD4_X, make),
    (id::SYSCALL_TIMERFD_CREATE_X, make),
    (id::SYSCALL_INOTIFY_INIT_X, make),
    (id::SYSCALL_INOTIFY_INIT1_X, make),
    (id::SYSCALL_BPF_2_X, make),
    (id::SYSCALL_USERFAULTFD_X, make),
    (id::SYSCALL_IO_URING_SETUP_X, make),
    (id::SYSCALL_EPOLL_CREATE_X, make),
    (id::SYSCALL_EPOLL_CREATE1_X, make),
    (id::SYSCALL_MEMFD_CREATE_X, memfd),
    (id::SYSCALL_PIDFD_OPEN_X, pidfd_open),
    (id::SYSCALL_PIDFD_GETFD_X, pidfd_getfd),
    (id::SYSCALL_CHDIR_X, chdir),
    (id::SYSCALL_GETCWD_X, chdir),
    (id::SYSCALL_FCHDIR_X, fchdir),
    (id::SYSCALL_CHROOT_X, chroot),
];

/// Where an open call's exit and enter events have their parameters.
struct OpenParams {
    dirfd: Option<usize>,
    name: usize,
    flags: Option<usize>,
    dev: usize,
    enter_dirfd: Option<usize>,
    enter_name: usize,
    enter_flags: Option<usize>,
    /// The exit's name is seen from the working directory.
    from_cwd: bool,
}

fn open_params(event_type: u16) -> OpenParams {
    let open = OpenParams {
        dirfd: None,
        name: 1,
        flags: Some(2),
        dev: 4,
        enter_dirfd: None,
        enter_name: 0,
        enter_flags: Some(1),
        from_cwd: true,
    };
    let openat = OpenParams {
        dirfd: Some(1),
        name: 2,
        flags: Some(3),
        dev: 5,
        enter_dirfd: Some(0),
        enter_name: 1,
        enter_flags: Some(2),
        from_cwd: false,
    };
    match event_type {
        id::SYSCALL_CREAT_X => OpenParams { flags: None, dev: 3, enter_flags: None, ..open },
        id::SYSCALL_OPENAT_2_X => openat,
        id::SYSCALL_OPENAT2_X => OpenParams { dev: 6, ..openat },
        id::SYSCALL_OPEN_BY_HANDLE_AT_X => OpenParams { name: 3, from_cwd: false, ..open },
        _ => open,
    }
}

fn creat_flags(event: &Event<'_>) -> u32 {
    match unsigned(event, 5, 2).unwrap_or(0) & 3 {
        0 => 0,
        2 => o::LOWER_LAYER,
        _ => o::UPPER_LAYER,
    }
}

fn open(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some(slot) = cx.slot else {
        return;
    };
    let at = open_params(event.event_type);
    let mut name = text(event, at.name);
    let mut flags = match at.flags {
        Some(param) => u32_of(event, param).unwrap_or(0),
        None => creat_flags(event),
    };
    let mut dirfd = at.dirfd.and_then(|param| signed(event, param, 8));
    let by_handle = event.event_type == id::SYSCALL_OPEN_BY_HANDLE_AT_X;
    let enter = if by_handle { None } else { engine.take_enter(event, cx) };
    let Some(number) = cx.res.filter(|r| *r >= 0) else {
        return;
    };
    // What the program asked for may have been changed between the check of it and the kernel's use:
    // the enter event's word counts, and from the exit only what the driver knows better.
    let enter = enter.as_ref().map(|e| e.view());
    if let Some(enter) = enter
        && text(&enter, at.enter_name) != NA
    {
        name = text(&enter, at.enter_name);
        if let Some(param) = at.enter_flags {
            let added = flags & !o::CREATED.wrapping_sub(1);
            flags = u32_of(&enter, param).unwrap_or(0) | added;
        }
        if let Some(param) = at.enter_dirfd {
            dirfd = signed(&enter, param, 8);
        }
    }
    let mut dir = std::mem::take(&mut engine.scratch2);
    let mut path = std::mem::take(&mut engine.scratch);
    dir.clear();
    if let Some(dirfd) = dirfd {
        engine.dir_of(&mut dir, slot, dirfd, name);
    } else if at.from_cwd {
        dir.extend_from_slice(&engine.cwd_text(slot));
    }
    paths::join(&mut path, &dir, name);
    let mut fd = Fd::new(if flags & o::DIRECTORY != 0 { FdKind::Directory } else { FdKind::FileV2 });
    fd.open_flags = flags;
    fd.dev = u32_of(event, at.dev).unwrap_or(0);
    fd.ino = unsigned(event, at.dev.wrapping_add(1), 8).unwrap_or(0);
    fd.name = engine.table.pool.text(&path);
    fd.name_raw = engine.table.pool.text(name);
    if flags & o::UPPER_LAYER != 0 {
        fd.flags |= Fd::UPPER_LAYER;
    }
    if flags & o::LOWER_LAYER != 0 {
        fd.flags |= Fd::LOWER_LAYER;
    }
    engine.table.add_fd(slot, number, fd);
    engine.scratch = path;
    engine.scratch2 = dir;
}

fn close(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if let (Some(_), Some(fd)) = (cx.ok(), cx.fd) {
        // Shown with this event, gone for the next one.
        engine.closing = Some((event.tid, fd));
    }
}

fn close_range(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some((slot, _)) = cx.ok() else {
        return;
    };
    let bound = |param| i64::from(u32_of(event, param).unwrap_or(0));
    let range = bound(1)..=bound(2);
    if u32_of(event, 3).unwrap_or(0) & CLOSE_RANGE_CLOEXEC != 0 {
        engine.table.change_fds(slot, |n, fd| {
            if range.contains(&n) {
                fd.open_flags |= o::CLOEXEC;
            }
        });
    } else {
        engine.table.retain_fds(slot, |n, _| !range.contains(&n));
    }
}

fn dup(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let (Some((slot, number)), Some(source)) = (cx.ok(), cx.fd) else {
        return;
    };
    if let Some(s) = engine.table.get_mut(slot) {
        s.thread.flags |= match number {
            0 => cl::PIPE_DST,
            1 => cl::PIPE_SRC,
            _ => 0,
        };
    }
    let cloexec = event.event_type == id::SYSCALL_DUP3_X && u32_of(event, 3).unwrap_or(0) & o::CLOEXEC != 0;
    engine.copy_fd(slot, source, number, cloexec);
}

fn fcntl(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let (Some((slot, number)), Some(source)) = (cx.ok(), cx.fd) else {
        return;
    };
    match unsigned(event, 2, 1) {
        Some(F_SETFD) => {
            let cloexec = unsigned(event, 3, 8).unwrap_or(0) & 1 != 0;
            engine.table.change_fd(slot, source, |fd, _| fd.set_cloexec(cloexec));
        }
        Some(cmd @ (F_DUPFD | F_DUPFD_CLOEXEC)) => {
            engine.copy_fd(slot, source, number, cmd == F_DUPFD_CLOEXEC);
        }
        _ => {}
    }
}

fn pipe(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some((slot, _)) = cx.ok() else {
        return;
    };
    for end in [1, 2] {
        let mut fd = Fd::new(FdKind::Fifo);
        fd.ino = unsigned(event, 3, 8).unwrap_or(0);
        fd.open_flags = u32_of(event, 4).unwrap_or(0);
        engine.table.add_fd(slot, signed(event, end, 8).unwrap_or(0), fd);
    }
}

fn socketpair(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some((slot, _)) = cx.ok() else {
        return;
    };
    let (first, second) = (signed(event, 1, 8).unwrap_or(0), signed(event, 2, 8).unwrap_or(0));
    if first == second {
        return;
    }
    for number in [first, second] {
        let mut fd = Fd::new(FdKind::Unix);
        let (source, destination) = (unsigned(event, 3, 8).unwrap_or(0), unsigned(event, 4, 8).unwrap_or(0));
        fd.socket = Socket::Unix { source, destination };
        engine.table.add_fd(slot, number, fd);
    }
}

/// Calls whose new fd has a type, flags and no name.
fn make(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some((slot, number)) = cx.ok() else {
        return;
    };
    let flags = |param, size| {
        let flags = unsigned(event, param, size).unwrap_or(0);
        u32::try_from(flags).unwrap_or(0)
    };
    let (kind, open_flags) = match event.event_type {
        id::SYSCALL_EVENTFD_X => (FdKind::Event, 0),
        id::SYSCALL_EVENTFD2_X => (FdKind::Event, flags(1, 2)),
        id::SYSCALL_SIGNALFD_X => (FdKind::SignalFd, 0),
        id::SYSCALL_SIGNALFD4_X => (FdKind::SignalFd, flags(1, 2)),
        id::SYSCALL_TIMERFD_CREATE_X => (FdKind::TimerFd, flags(2, 1)),
        id::SYSCALL_INOTIFY_INIT_X => (FdKind::Inotify, 0),
        id::SYSCALL_INOTIFY_INIT1_X => (FdKind::Inotify, flags(1, 2)),
        id::SYSCALL_BPF_2_X => (FdKind::Bpf, 0),
        id::SYSCALL_USERFAULTFD_X => (FdKind::UserFaultFd, 0),
        id::SYSCALL_IO_URING_SETUP_X => (FdKind::IoUring, 0),
        id::SYSCALL_EPOLL_CREATE1_X if flags(1, 4) & EPOLL_CLOEXEC != 0 => (FdKind::EventPoll, o::CLOEXEC),
        _ => (FdKind::EventPoll, 0),
    };
    let mut fd = Fd::new(kind);
    fd.open_flags = open_flags;
    engine.table.add_fd(slot, number, fd);
}

fn memfd(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let (Some(slot), Some(number)) = (cx.slot, cx.res) else {
        return;
    };
    if number < 0 {
        engine.set_last_fd(slot, number);
        return;
    }
    let mut fd = Fd::new(FdKind::MemFd);
    fd.name = engine.table.pool.text(text(event, 1));
    fd.open_flags = u32_of(event, 2).unwrap_or(0);
    engine.table.add_fd(slot, number, fd);
}

fn pidfd_open(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some((slot, number)) = cx.ok() else {
        return;
    };
    let mut fd = Fd::new(FdKind::PidFd);
    fd.pid = signed(event, 1, 8).unwrap_or(0);
    let mut path = std::mem::take(&mut engine.scratch);
    path.clear();
    // Writing to a vector cannot fail.
    let _ = write!(path, "/proc/{}", fd.pid);
    fd.name = engine.table.pool.text(&path);
    engine.scratch = path;
    fd.open_flags = u32_of(event, 2).unwrap_or(0);
    engine.table.add_fd(slot, number, fd);
}

fn pidfd_getfd(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let (Some(slot), Some(number)) = (cx.slot, cx.res) else {
        return;
    };
    let table = &engine.table;
    let pidfd = table.fd(slot, signed(event, 1, 8).unwrap_or(-1)).filter(|fd| fd.kind == FdKind::PidFd);
    let owner = pidfd.and_then(|fd| table.find(fd.pid));
    let target = owner.and_then(|owner| table.fd(owner, signed(event, 2, 8).unwrap_or(-1)));
    let Some(copy) = target.map(|fd| fd.duplicate(true)) else {
        return;
    };
    if number < 0 {
        engine.set_last_fd(slot, number);
    } else {
        engine.table.add_fd(slot, number, copy);
    }
}

/// chdir and getcwd, whose path is absolute.
fn chdir(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if let Some((slot, _)) = cx.ok() {
        engine.change_dir(slot, text(event, 1));
    }
}

fn fchdir(engine: &mut Engine, _: &Event<'_>, cx: &mut Cx) {
    if let (Some((slot, _)), Some(fd)) = (cx.ok(), cx.fd)
        && let Some(path) = engine.table.fd(slot, fd).map(|fd| fd.name.clone())
    {
        engine.change_dir(slot, &path);
    }
}

fn chroot(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some((slot, 0)) = cx.ok() else {
        return;
    };
    let path = text(event, 1);
    let mut root = std::mem::take(&mut engine.scratch);
    if path == NA {
        root.clear();
        root.extend_from_slice(NA);
    } else {
        paths::join(&mut root, &engine.cwd_text(slot), path);
    }
    if let Some((s, pool)) = engine.table.with_pool(slot) {
        pool.set(&mut s.thread.root, &root);
    }
    engine.scratch = root;
}

impl Engine {
    fn set_last_fd(&mut self, slot: u32, number: i64) {
        if let Some(s) = self.table.get_mut(slot) {
            s.last_fd = number;
        }
    }

    fn copy_fd(&mut self, slot: u32, from: i64, to: i64, cloexec: bool) {
        if let Some(copy) = self.table.fd(slot, from).map(|fd| fd.duplicate(cloexec)) {
            self.table.add_fd(slot, to, copy);
        }
    }

    /// Working directory of a thread's process, `./` when its leader is not known.
    pub(super) fn cwd_text(&mut self, slot: u32) -> Text {
        match self.table.main_of(slot).and_then(|main| self.table.get(main)) {
            Some(main) => main.thread.cwd.clone(),
            None => self.table.pool.text(b"./"),
        }
    }

    /// Replaces `out` by the directory that `path` is seen from. For absolute paths it does not matter.
    pub(super) fn dir_of(&mut self, out: &mut Vec<u8>, slot: u32, dirfd: i64, path: &[u8]) {
        out.clear();
        if path.starts_with(b"/") {
            out.push(b'.');
        } else if dirfd == AT_FDCWD {
            out.extend_from_slice(&self.cwd_text(slot));
        } else if let Some(fd) = self.table.fd(slot, dirfd) {
            out.extend_from_slice(&fd.name);
            paths::end_with_slash(out);
        } else {
            out.extend_from_slice(paths::UNKNOWN);
        }
    }

    /// Sets the working directory of a thread's process.
    pub(super) fn change_dir(&mut self, slot: u32, path: &[u8]) {
        let Some(main) = self.table.main_of(slot) else {
            return;
        };
        // A relative path of a thread that is not the leader loses its base: the directory is the
        // leader's, but upstream joins with the thread's own, which is empty.
        let Some(base) = self.table.get(slot).map(|s| s.thread.cwd.clone()) else {
            return;
        };
        let mut cwd = std::mem::take(&mut self.scratch);
        paths::join(&mut cwd, &base, path);
        if cwd.last() != Some(&b'/') {
            cwd.push(b'/');
        }
        self.table.pool.release(base);
        if let Some((s, pool)) = self.table.with_pool(main) {
            pool.set(&mut s.thread.cwd, &cwd);
        }
        self.scratch = cwd;
    }
}
