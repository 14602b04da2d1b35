//! Processes whose state is known, against what the scan says of them.

use super::helper::{Running, process, role, sleep, snapshot, start};
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{MemfdFlags, inotify, memfd_create};
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
use scapkit_capture::state::{Fd, Process, parse};
use scapkit_format::lists::fds::FdType;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

fn me() -> Process {
    process(std::process::id())
}

fn fd(p: &Process, number: RawFd) -> &Fd {
    let number = u32::try_from(number).expect("a number");
    p.fds.iter().find(|fd| fd.fd == number).expect("the fd was found")
}

/// Type and name of an fd of ours.
fn of(p: &Process, one: &impl AsRawFd) -> (FdType, Vec<u8>) {
    let fd = fd(p, one.as_raw_fd());
    (fd.kind, p.fd_name(fd).to_vec())
}

fn dev(file: &File) -> u32 {
    let (major, minor) = (libc::major(file.metadata().unwrap().dev()), libc::minor(file.metadata().unwrap().dev()));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

#[test]
fn fds_without_a_path() {
    let (read, write) = std::io::pipe().unwrap();
    let event = eventfd(0, EventfdFlags::empty()).unwrap();
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC).unwrap();
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
    let memory = memfd_create("a name (deleted)", MemfdFlags::CLOEXEC).unwrap();
    let signals = signalfd();
    let child = start(&mut sleep());
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.pid()).unwrap()).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();

    let p = me();
    let link = std::fs::read_link(format!("/proc/self/fd/{}", read.as_raw_fd())).unwrap();
    let pipe = link.as_os_str().as_bytes().to_vec();
    assert_eq!(of(&p, &read), (FdType::FIFO, pipe.clone()));
    assert_eq!(of(&p, &write), (FdType::FIFO, pipe.clone()));
    let ino = format!("pipe:[{}]", fd(&p, read.as_raw_fd()).ino);
    assert_eq!(pipe, ino.as_bytes());
    assert_eq!(of(&p, &event), (FdType::EVENT, Vec::new()));
    assert_eq!(of(&p, &poll), (FdType::EVENTPOLL, Vec::new()));
    assert_eq!(of(&p, &timer), (FdType::TIMERFD, Vec::new()));
    assert_eq!(of(&p, &watch), (FdType::INOTIFY, Vec::new()));
    assert_eq!(of(&p, &signals), (FdType::SIGNALFD, Vec::new()));
    assert_eq!(of(&p, &memory), (FdType::MEMFD, b"a name (deleted)".to_vec()));
    assert_eq!(of(&p, &pidfd), (FdType::PIDFD, format!("/proc/{}", child.pid()).into_bytes()));
    let ino = |f: &dyn AsRawFd| std::fs::metadata(format!("/proc/self/fd/{}", f.as_raw_fd())).unwrap().ino();
    assert_eq!(fd(&p, event.as_raw_fd()).ino, ino(&event));
    assert_eq!(fd(&p, memory.as_raw_fd()).ino, ino(&memory));
    let cloexec = |f: &dyn AsRawFd| fd(&p, f.as_raw_fd()).flags & u64::try_from(libc::O_CLOEXEC).unwrap() != 0;
    assert!(cloexec(&poll) && !cloexec(&event) && cloexec(&read));
    assert!(p.fds.is_sorted_by(|a, b| a.fd < b.fd));
}

fn signalfd() -> std::os::fd::OwnedFd {
    use std::os::fd::FromRawFd as _;
    // SAFETY: the set is valid for the call, and the new fd is nobody else's.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        std::os::fd::OwnedFd::from_raw_fd(libc::signalfd(-1, &raw const set, 0))
    }
}

#[test]
fn files() {
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"not \xFF utf-8 (deleted)"));
    std::fs::write(&odd, "x").unwrap();
    let plain = File::open(&odd).unwrap();
    let append = OpenOptions::new().append(true).create(true).open(dir.path().join("log")).unwrap();
    let synced = OpenOptions::new().write(true).custom_flags(libc::O_DSYNC).open(&odd).unwrap();
    let folder = File::open(dir.path()).unwrap();
    let gone = File::create_new(dir.path().join("gone")).unwrap();
    std::fs::remove_file(dir.path().join("gone")).unwrap();
    let device = File::open("/dev/null").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let fifo = OpenOptions::new().read(true).write(true).open(dir.path().join("fifo")).unwrap();
    let namespace = File::open("/proc/self/ns/net").unwrap();

    let p = me();
    assert_eq!(of(&p, &plain), (FdType::FILE_V2, odd.as_os_str().as_bytes().to_vec()));
    assert_eq!(of(&p, &folder), (FdType::DIRECTORY, dir.path().as_os_str().as_bytes().to_vec()));
    let deleted = [dir.path().join("gone").as_os_str().as_bytes(), b" (deleted)"].concat();
    assert_eq!(of(&p, &gone), (FdType::FILE_V2, deleted));
    assert_eq!(of(&p, &device), (FdType::FILE_V2, b"/dev/null".to_vec()));
    assert_eq!(of(&p, &fifo), (FdType::FIFO, dir.path().join("fifo").as_os_str().as_bytes().to_vec()));
    assert_eq!(fd(&p, fifo.as_raw_fd()).ino, fifo.metadata().unwrap().ino());
    let link = std::fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(of(&p, &namespace), (FdType::FILE_V2, link.as_os_str().as_bytes().to_vec()));
    for file in [&plain, &append, &gone, &device] {
        let found = fd(&p, file.as_raw_fd());
        assert_eq!((found.ino, found.dev), (file.metadata().unwrap().ino(), dev(file)));
    }
    let flags = |file: &File| parse::open_flags(fd(&p, file.as_raw_fd()).flags);
    assert_eq!(flags(&plain), 1 | 1 << 12);
    assert_eq!(flags(&append), 2 | 1 << 3 | 1 << 12);
    // Upstream would say O_SYNC too.
    assert_eq!(flags(&synced), 2 | 1 << 4 | 1 << 12);
}

#[test]
fn our_own_process() {
    let p = me();
    let t = &p.threads[0];
    let pid = i64::from(std::process::id());
    assert_eq!((p.tgid, t.tid, t.vpid, t.vtid), (pid, pid, pid, pid));
    assert_eq!(t.ptid, i64::from(std::os::unix::process::parent_id()));
    let exe = std::env::current_exe().unwrap();
    assert_eq!(p.exepath(), exe.as_os_str().as_bytes());
    let of_file = exe.metadata().unwrap();
    assert_eq!(p.exe_file.ino, of_file.ino());
    let mtime = u64::try_from(of_file.mtime() * 1_000_000_000 + of_file.mtime_nsec()).unwrap();
    assert_eq!(p.exe_file.mtime, mtime);
    assert!(!p.exe_file.from_memfd);
    let owned = rustix::process::geteuid().as_raw();
    assert!(p.exe_file.writable || (owned != 0 && owned != of_file.uid()));
    let mut words = std::env::args_os();
    assert_eq!(p.exe(), words.next().unwrap().as_bytes());
    let args: Vec<u8> = words.flat_map(|a| [a.as_bytes(), &[0]].concat()).collect();
    assert_eq!(p.args(), args);
    assert_eq!(p.cwd(), std::env::current_dir().unwrap().as_os_str().as_bytes());
    assert_eq!(p.root(), b"/");
    assert_eq!(p.root_id, None);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    assert_eq!(p.fdlimit, limit.map_or(-1, |n| i64::try_from(n).unwrap()));
    assert_eq!(t.uid, rustix::process::geteuid().as_raw());
    assert_eq!(t.gid, rustix::process::getegid().as_raw());
    // Both are 0 for what the kernel's first process starts without a session of its own, or where the
    // leader is outside our namespace. (rustix takes neither for possible.)
    // SAFETY: two calls without pointers that cannot fail for the calling process.
    let (group, session) = unsafe { (libc::getpgrp(), libc::getsid(0)) };
    assert_eq!((t.pgid, t.vpgid), (i64::from(group), i64::from(group)));
    assert_eq!(t.sid, i64::from(session));
    assert!(t.vmsize_kb > t.vmrss_kb && t.vmrss_kb > 0 && t.pfminor > 0);
    assert!(p.from < p.to && t.start < p.from);
    // The test's own thread is one of the others, with less to say.
    let own = i64::from(rustix::thread::gettid().as_raw_nonzero().get());
    let own = p.threads.iter().find(|t| t.tid == own).expect("our thread");
    assert_eq!(own.flags, 0x2001);
    assert_eq!((own.uid, own.pgid, own.cgroups.clone()), (t.uid, t.pgid, t.cgroups.clone()));
}

#[test]
fn environment_and_arguments() {
    let long = "v".repeat(6000);
    let child =
        start(sleep().env_clear().env("A", "1 2").env("B", "\u{e9}").arg("0").current_dir("/dev").env("LC_ALL", "C"));
    let p = process(child.pid());
    assert_eq!((p.exe(), p.args()), (&b"sleep"[..], &b"1000\x000\0"[..]));
    assert_eq!(p.env(), "A=1 2\0B=\u{e9}\0LC_ALL=C\0".as_bytes());
    assert_eq!(p.cwd(), b"/dev");
    assert_eq!(&*p.threads[0].comm, b"sleep");
    // Others are those of tests beside this one that are open across exec.
    assert!((0..3).all(|n| p.fd_name(fd(&p, n)) == b"/dev/null"));
    let cut = start(sleep().env_clear().env("L", &long));
    let p = process(cut.pid());
    assert_eq!(p.env().len(), 4096);
    assert!(p.env().starts_with(b"L=vvv") && p.env().ends_with(b"v\0"));
}

/// Start times are within a clock tick of the clock that events have.
#[test]
fn start_times() {
    let offset = scapkit_capture::state::boot_offset();
    let now = || offset + u64::try_from(since_boot()).unwrap();
    let before = now();
    let child = start(&mut sleep());
    let after = now();
    let start = process(child.pid()).threads[0].start;
    assert!(start + 10_000_000 >= before && start <= after + 10_000_000, "{before} {start} {after}");
    let first = snapshot(&[1]);
    assert_eq!(first.processes[0].pidns_init_start_ts, first.machine.boot_ts_epoch.get());
    let given = scapkit_capture::state::scan(&scapkit_capture::state::ScanOptions {
        boot_offset: Some(7_000_000_000),
        only_pids: Some(vec![child.pid()]),
        ..Default::default()
    })
    .unwrap();
    assert_eq!(given.machine.boot_ts_epoch.get(), 7_000_000_000);
    assert_eq!(given.processes[0].pidns_init_start_ts, 7_000_000_000);
    assert!(given.notes.other.iter().any(|n| n.contains("boot time")), "{:?}", given.notes);
}

fn since_boot() -> i128 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    i128::from(t.tv_sec) * 1_000_000_000 + i128::from(t.tv_nsec)
}

#[test]
fn zombie() {
    let child = Running(std::process::Command::new("true").arg("x").spawn().unwrap());
    let state = || process(child.pid()).threads[0].state;
    while state() != b'Z' {
        std::thread::yield_now();
    }
    let p = process(child.pid());
    assert_eq!((&*p.threads[0].comm, p.exe(), p.args(), p.cwd()), (&b"true"[..], &b""[..], &b""[..], &b""[..]));
    assert_eq!((p.threads.len(), p.fds.len()), (1, 0));
    assert_eq!(p.threads[0].ptid, i64::from(std::process::id()));
    let s = snapshot(&[child.pid()]);
    assert!(s.notes.unreadable.is_empty(), "{:?}", s.notes);
}

#[test]
fn threads_outlive_the_main_one() {
    let (_parent, words) = role("outlived", |_| {});
    let (pid, number) = words.trim().split_once(' ').expect("pid and fd");
    let pid = pid.parse().unwrap();
    let mut p = process(pid);
    while p.threads[0].state != b'Z' {
        p = process(pid);
    }
    assert_eq!(p.exepath(), std::env::current_exe().unwrap().as_os_str().as_bytes());
    assert!(p.args().starts_with(b"helper::as_told\0--exact\0"));
    assert_eq!(p.cwd(), std::env::current_dir().unwrap().as_os_str().as_bytes());
    assert!(p.env().split(|b| *b == 0).any(|v| v == b"STATE_ROLE=outlived") || p.env().len() == 4096);
    assert_eq!((p.threads.len(), &*p.threads[1].comm), (2, &b"survivor"[..]));
    assert_eq!(p.threads[1].flags, 0x2001);
    let file = fd(&p, number.parse().unwrap());
    assert_eq!(p.fd_name(file), b"/dev/null");
}

#[test]
fn other_threads() {
    let (child, _) = role("threads", |_| {});
    let p = process(child.pid());
    let mut names: Vec<_> = p.threads.iter().map(|t| t.comm.to_vec()).filter(|c| c.starts_with(b"worker")).collect();
    names.sort();
    assert_eq!(names, [b"worker ) 0", b"worker ) 1", b"worker ) 2"]);
    assert_eq!((p.threads[0].tid, p.threads[0].flags), (p.tgid, 0));
    assert!(p.threads[1..].iter().all(|t| t.flags == 0x2001 && t.tid != p.tgid && t.ptid == p.threads[0].ptid));
    assert!(p.threads[1..].is_sorted_by(|a, b| a.tid < b.tid));
}

#[test]
fn kernel_threads_by_choice() {
    let kernel = snapshot(&[2]);
    let Some(p) = kernel.processes.first().filter(|p| p.kernel) else {
        super::helper::skip("no kernel thread in sight");
        return;
    };
    assert_eq!((&*p.threads[0].comm, p.exe(), p.exepath(), p.fds.len()), (&b"kthreadd"[..], &b""[..], &b""[..], 0));
    let without = scapkit_capture::state::scan(&scapkit_capture::state::ScanOptions {
        kernel_threads: false,
        exclude: vec![std::process::id()],
        ..Default::default()
    })
    .unwrap();
    assert!(without.processes.iter().all(|p| !p.kernel && p.tgid != i64::from(std::process::id())));
    assert!(without.processes.iter().any(|p| p.tgid == 1));
}

#[test]
fn machine() {
    let s = snapshot(&[std::process::id()]);
    let number = |file: &str| std::fs::read_to_string(file).unwrap().trim().parse::<u64>().unwrap();
    assert_eq!(s.machine.max_pid.get(), number("/proc/sys/kernel/pid_max"));
    assert!(s.machine.num_cpus.get() >= 1 && s.machine.memory_size_bytes.get() > 1 << 20);
    let boot = std::fs::read("/proc/stat").ok().and_then(|t| parse::btime(&t)).unwrap();
    assert!(s.machine.boot_ts_epoch.get().abs_diff(boot) < 2_000_000_000);
    if std::env::var_os("SCAP_HOSTNAME").is_none() {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(s.machine.host(), name.trim().as_bytes());
    }
    assert!(s.accounts.users.iter().any(|u| u.uid == 0 && &*u.name == b"root"));
    assert!(s.accounts.groups.iter().any(|g| g.gid == 0 && &*g.name == b"root"));
    assert!(s.from < s.to);
}

#[test]
fn time_limit_is_told() {
    let s = scapkit_capture::state::scan(&scapkit_capture::state::ScanOptions {
        time_limit: Some(std::time::Duration::ZERO),
        ..Default::default()
    })
    .unwrap();
    assert!(s.notes.partial && s.processes.is_empty());
    assert!(
        scapkit_capture::state::scan(&scapkit_capture::state::ScanOptions {
            host_root: "/nowhere".into(),
            ..Default::default()
        })
        .is_err()
    );
}
