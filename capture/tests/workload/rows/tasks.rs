//! clone, clone3, fork, vfork: both sides.

use super::mem::{around, sizes, swap};
use super::{Check, Ctx, EINVAL, EMPTY, id, sys, text, wait};
use crate::workload::report::Place;

pub fn rows(c: &mut Ctx) {
    name(c);
    simple(c);
    threads(c);
    namespaces(c);
    clone3(c);
    failures(c);
    from_a_thread(c);
}

/// What a task is, as /proc has it.
pub struct Task {
    pub exe: Vec<u8>,
    pub args: Vec<u8>,
    pub comm: Vec<u8>,
    pub cgroups: Vec<u8>,
    pub fdlimit: i64,
    pub ptid: i64,
}

/// The task that calls.
pub fn this_task() -> Task {
    let cmdline = std::fs::read("/proc/self/cmdline").unwrap();
    let exe_len = cmdline.iter().position(|b| *b == 0).map_or(cmdline.len(), |n| n + 1).min(4096);
    let (exe, args) = cmdline.split_at(exe_len);
    let mut limit = [0_i64; 2];
    raw!(SYS_prlimit64, 0, 7, 0, limit.as_mut_ptr());
    Task {
        exe: area(exe, 4096),
        args: area(args, 4096 - exe.len()),
        comm: comm("/proc/thread-self/comm"),
        cgroups: cgroups(),
        fdlimit: limit[0],
        ptid: parent(),
    }
}

/// The parent's number in the initial namespace (of which /proc is), wherever this process is.
fn parent() -> i64 {
    let status = super::read_lossy("/proc/self/status");
    status.lines().find_map(|l| l.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
}

/// Bytes of the argument or environment area: at most `limit`, and the last of them is a NUL.
pub fn area(bytes: &[u8], limit: usize) -> Vec<u8> {
    let mut cut = bytes[..bytes.len().min(limit)].to_vec();
    if let Some(last) = cut.last_mut() {
        *last = 0;
    }
    cut
}

/// A name from a `comm` file, as events have it.
pub fn comm(path: &str) -> Vec<u8> {
    let mut name = std::fs::read(path).unwrap();
    *name.last_mut().unwrap() = 0;
    name
}

/// The five controllers that events have, in their order: the group of each, the unified one where it has no
/// hierarchy of its own.
pub fn cgroups() -> Vec<u8> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let known = std::fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let mut out = Vec::new();
    for name in ["cpuset", "cpu", "cpuacct", "io", "memory"] {
        let proc_name = if name == "io" { "blkio" } else { name };
        let there = known.lines().any(|l| l.split_whitespace().next() == Some(proc_name));
        if !there {
            continue;
        }
        let path_of = |wanted: &str| {
            own.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':');
                let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
                controllers.split(',').any(|c| c == wanted).then(|| path.to_owned())
            })
        };
        let path = path_of(proc_name).or_else(|| path_of("")).unwrap_or_else(|| "/".into());
        let levels: Vec<&str> = path.split('/').filter(|l| !l.is_empty()).collect();
        let inner = &levels[levels.len().saturating_sub(6)..];
        out.extend_from_slice(format!("{name}=/{}\0", inner.join("/")).as_bytes());
    }
    out
}

/// Page faults of this thread so far: major and minor.
pub fn faults() -> (u64, u64) {
    let mut usage = [0_u64; 18];
    raw!(SYS_getrusage, 1, usage.as_mut_ptr());
    (usage[9], usage[8])
}

const NEWPID: u32 = 64;
const IN_PIDNS: u32 = 536_870_912;

/// The caller's side: its own values. To be called right after the call, with what [`faults`] gave before it.
fn caller(c: &mut Ctx, event: u16, r: i64, t: &Task, before: (u64, u64), flags: u32) {
    let (size, rss) = sizes();
    let after = faults();
    let (tid, pid) = (c.tid(), raw!(SYS_getpid));
    let (uid, gid) = (raw!(SYS_geteuid), raw!(SYS_getegid));
    let done = r > 0;
    c.event(
        event,
        vec![
            r.into(),
            if done { t.exe.clone() } else { vec![] }.into(),
            if done { t.args.clone() } else { vec![] }.into(),
            tid.into(),
            pid.into(),
            t.ptid.into(),
            EMPTY.into(),
            t.fdlimit.into(),
            (before.0..=after.0).into(),
            (before.1..=after.1).into(),
            size.into(),
            around(rss).into(),
            swap(),
            t.comm.clone().into(),
            t.cgroups.clone().into(),
            flags.into(),
            uid.into(),
            gid.into(),
            tid.into(),
            pid.into(),
            0.into(),
        ],
    );
}

/// What a child has that differs from its creator.
struct Child {
    tid: i64,
    pid: i64,
    ptid: i64,
    flags: u32,
    vtid: i64,
    vpid: i64,
    /// When its pid namespace's first process began.
    began: Check,
}

/// The child's side, and that it ends by `exit(7)`: all that there is of the child.
fn child(c: &mut Ctx, name: &str, event: u16, t: &Task, child: Child, size: u64, rss: u64) {
    let (uid, gid) = (raw!(SYS_geteuid), raw!(SYS_getegid));
    c.elsewhere(&format!("{name}: the child"), child.tid, Place::All);
    c.event(
        event,
        vec![
            0.into(),
            t.exe.clone().into(),
            t.args.clone().into(),
            child.tid.into(),
            child.pid.into(),
            child.ptid.into(),
            EMPTY.into(),
            t.fdlimit.into(),
            (0..=1).into(),
            (0..=100).into(),
            size.into(),
            (1..=rss + 4096).into(),
            swap(),
            t.comm.clone().into(),
            t.cgroups.clone().into(),
            child.flags.into(),
            uid.into(),
            gid.into(),
            child.vtid.into(),
            child.vpid.into(),
            child.began,
        ],
    );
    ev!(c, PROCEXIT_1_E, 0x700, 7, 0, 0, 0);
}

/// When the initial namespace's first process began, to the resolution of /proc (10 ms).
pub fn init_began() -> Check {
    let stat = std::fs::read_to_string("/proc/1/stat").unwrap();
    let after = stat.rsplit_once(')').unwrap().1;
    let ticks: u64 = after.split_whitespace().nth(19).unwrap().parse().unwrap();
    // /proc has the time since boot, events have that without sleep.
    let asleep = clock(7).saturating_sub(clock(1)) + 1_000_000;
    Check::Range((ticks * 10_000_000).saturating_sub(asleep), ticks * 10_000_000 + 10_000_000)
}

fn clock(which: i64) -> u64 {
    let mut time = [0_i64; 2];
    raw!(SYS_clock_gettime, which, time.as_mut_ptr());
    time[0] as u64 * 1_000_000_000 + time[1] as u64
}

/// A name of 15 bytes, the longest.
fn name(c: &mut Ctx) {
    let _ = c;
    let name = text("fifteen bytes\u{fc}");
    raw!(SYS_prctl, 15, name.as_ptr());
}

fn simple(c: &mut Ctx) {
    let t = this_task();
    let me = c.tid();
    // fork and vfork have no flags, whatever stands in the registers.
    let cases: [(&str, i64, i64, u16, u32, u32); 4] = [
        ("fork", libc::SYS_fork, 0x1_0000, id::SYSCALL_FORK_20_X, 0, 0),
        ("vfork", libc::SYS_vfork, 0x200, id::SYSCALL_VFORK_20_X, 0, 0),
        ("clone", libc::SYS_clone, 17, id::SYSCALL_CLONE_20_X, 0, 0),
        (
            "clone: VM, FS, FILES, VFORK",
            libc::SYS_clone,
            0x4711,
            id::SYSCALL_CLONE_20_X,
            32768 | 2 | 1 | 134_217_728,
            0,
        ),
    ];
    for (name, nr, arg, event, flags, _) in cases {
        let before = faults();
        let r = c.bracket(name, || sys::spawn_exit(nr, &[arg, 0, 0, 0]));
        assert!(r > 0, "{name}: {r}");
        caller(c, event, r, &t, before, flags);
        let (size, rss) = sizes();
        assert_eq!(wait(r), 0x700);
        child(
            c,
            name,
            event,
            &t,
            Child { tid: r, pid: r, ptid: me, flags, vtid: r, vpid: r, began: init_began() },
            size,
            rss,
        );
    }
    // A child of the caller's parent; the test waits for it.
    let before = faults();
    let r = c.bracket("clone: PARENT", || sys::spawn_exit(libc::SYS_clone, &[0x8000, 0, 0, 0]));
    assert!(r > 0);
    caller(c, id::SYSCALL_CLONE_20_X, r, &t, before, 256);
    let (size, rss) = sizes();
    child(
        c,
        "clone: PARENT",
        id::SYSCALL_CLONE_20_X,
        &t,
        Child { tid: r, pid: r, ptid: t.ptid, flags: 256, vtid: r, vpid: r, began: init_began() },
        size,
        rss,
    );
}

fn threads(c: &mut Ctx) {
    let t = this_task();
    let me = c.tid();
    // VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS not (its register is nothing), PARENT_SETTID, CHILD_CLEARTID
    let flags = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x10_0000 | 0x20_0000;
    let mapped = 32768 | 2 | 1 | 2048 | 8192 | 4096 | 512 | 8_388_608;
    let (mut parent_word, mut child_word) = (0_u32, 1_u32);
    let (p, w) = (&raw mut parent_word, &raw mut child_word);
    let before = faults();
    let r = c.bracket("clone: a thread", || sys::spawn_exit(libc::SYS_clone, &[flags, 0, p as i64, w as i64]));
    assert!(r > 0, "{r}");
    caller(c, id::SYSCALL_CLONE_20_X, r, &t, before, mapped);
    let (size, rss) = sizes();
    // The kernel clears the word when the thread is gone.
    while sys::bytes_at(w as i64, 4) != [0; 4] {
        raw!(SYS_sched_yield);
    }
    assert_eq!(sys::bytes_at(p as i64, 4), (r as u32).to_le_bytes());
    child(
        c,
        "clone: a thread",
        id::SYSCALL_CLONE_20_X,
        &t,
        Child { tid: r, pid: me, ptid: t.ptid, flags: mapped, vtid: r, vpid: me, began: init_began() },
        size,
        rss,
    );
}

fn namespaces(c: &mut Ctx) {
    let t = this_task();
    let me = c.tid();
    let (start, before) = (clock(1), faults());
    let r = c.bracket("clone: a pid namespace", || sys::spawn_exit(libc::SYS_clone, &[0x2000_0011, 0, 0, 0]));
    if r < 0 {
        caller(c, id::SYSCALL_CLONE_20_X, r, &t, before, NEWPID);
        c.skip("no pid namespaces here");
        return;
    }
    caller(c, id::SYSCALL_CLONE_20_X, r, &t, before, NEWPID);
    let (size, rss) = sizes();
    wait(r);
    let began = Check::Range(start, clock(1));
    child(
        c,
        "clone: a pid namespace",
        id::SYSCALL_CLONE_20_X,
        &t,
        Child { tid: r, pid: r, ptid: me, flags: NEWPID | IN_PIDNS, vtid: 1, vpid: 1, began },
        size,
        rss,
    );
    // After unshare the caller stays where it is; only its children are inside.
    c.in_child(|c| {
        let t = this_task();
        let me = c.tid();
        assert_eq!(raw!(SYS_unshare, 0x2000_0000), 0);
        let (start, before) = (clock(1), faults());
        let r = c.bracket("fork: after unshare of the pid namespace", || sys::spawn_exit(libc::SYS_fork, &[]));
        assert!(r > 0);
        caller(c, id::SYSCALL_FORK_20_X, r, &t, before, IN_PIDNS);
        let (size, rss) = sizes();
        wait(r);
        let began = Check::Range(start, clock(1));
        child(
            c,
            "fork: after unshare of the pid namespace",
            id::SYSCALL_FORK_20_X,
            &t,
            Child { tid: r, pid: r, ptid: me, flags: IN_PIDNS, vtid: 1, vpid: 1, began },
            size,
            rss,
        );
        0
    });
    // In a user namespace that maps nobody the ids are those of the initial one.
    c.in_child(|c| {
        let (uid, gid) = (raw!(SYS_geteuid), raw!(SYS_getegid));
        if raw!(SYS_unshare, 0x1000_0000) != 0 {
            c.skip("no user namespaces here");
            return 0;
        }
        let t = this_task();
        let before = faults();
        let r = c.bracket("fork: in a user namespace", || sys::spawn_exit(libc::SYS_fork, &[]));
        caller(c, id::SYSCALL_FORK_20_X, r, &t, before, 0);
        c.replace(16, uid.into());
        c.replace(17, gid.into());
        wait(r);
        0
    });
}

/// `struct clone_args`: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup.
fn clone3(c: &mut Ctx) {
    let t = this_task();
    let me = c.tid();
    // CLEAR_SIGHAND is bit 32: lost.
    for (name, flags, mapped) in [
        ("clone3", 0_u64, 0_u32),
        ("clone3: FS, CLEAR_SIGHAND", 0x1_0000_0200, 2),
        ("clone3: VM, VFORK", 0x4100, 32768 | 134_217_728),
    ] {
        let mut args = [0_u64; 11];
        (args[0], args[4]) = (flags, 17);
        let before = faults();
        let r = c.bracket(name, || sys::spawn_exit(libc::SYS_clone3, &[args.as_ptr() as i64, 88, 0, 0]));
        assert!(r > 0, "{name}: {r}");
        caller(c, id::SYSCALL_CLONE3_X, r, &t, before, mapped);
        let (size, rss) = sizes();
        wait(r);
        child(
            c,
            name,
            id::SYSCALL_CLONE3_X,
            &t,
            Child { tid: r, pid: r, ptid: me, flags: mapped, vtid: r, vpid: r, began: init_began() },
            size,
            rss,
        );
    }
    // A number of one's own choosing: one that nobody has.
    let max: i64 = std::fs::read_to_string("/proc/sys/kernel/pid_max").unwrap().trim().parse().unwrap();
    let free = (2..max).rev().find(|n| !std::path::Path::new(&format!("/proc/{n}")).exists()).unwrap();
    let chosen = [free as i32];
    let mut args = [0_u64; 11];
    (args[4], args[8], args[9]) = (17, chosen.as_ptr() as u64, 1);
    let before = faults();
    let r = c.bracket("clone3: set_tid", || sys::spawn_exit(libc::SYS_clone3, &[args.as_ptr() as i64, 88, 0, 0]));
    caller(c, id::SYSCALL_CLONE3_X, r, &t, before, 0);
    if r < 0 {
        c.skip("numbers cannot be chosen here");
        return;
    }
    assert_eq!(r, free);
    let (size, rss) = sizes();
    wait(r);
    child(
        c,
        "clone3: set_tid",
        id::SYSCALL_CLONE3_X,
        &t,
        Child { tid: free, pid: free, ptid: me, flags: 0, vtid: free, vpid: free, began: init_began() },
        size,
        rss,
    );
}

fn failures(c: &mut Ctx) {
    let t = this_task();
    let before = faults();
    let r = call!(c, "clone: a thread without SIGHAND", SYS_clone, 0x1_0000 | 0x100, 0, 0, 0, 0);
    assert_eq!(r, EINVAL);
    caller(c, id::SYSCALL_CLONE_20_X, r, &t, before, 8192 | 32768);
    let mut args = [0_u64; 11];
    args[0] = 0x4000_0000;
    for (name, pointer, size, flags) in [("its size is wrong", args.as_ptr() as i64, 3, 16), ("NULL", 0, 88, 0)] {
        let before = faults();
        let r = call!(c, format!("clone3: {name}"), SYS_clone3, pointer, size);
        assert!(r < 0);
        caller(c, id::SYSCALL_CLONE3_X, r, &t, before, flags);
    }
}

/// The parent of what a thread starts is the thread, not its process.
fn from_a_thread(c: &mut Ctx) {
    c.in_child(|c| {
        let leader = c.tid();
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut t = this_task();
                let me = raw!(SYS_gettid);
                assert_ne!(me, leader);
                c.set_tid(me);
                let before = faults();
                let r = c.bracket("fork: by a thread", || sys::spawn_exit(libc::SYS_fork, &[]));
                assert!(r > 0);
                caller(c, id::SYSCALL_FORK_20_X, r, &t, before, 0);
                // The caller's virtual process is its group.
                let (size, rss) = sizes();
                wait(r);
                t.ptid = me;
                child(
                    c,
                    "fork: by a thread",
                    id::SYSCALL_FORK_20_X,
                    &t,
                    Child { tid: r, pid: r, ptid: me, flags: 0, vtid: r, vpid: r, began: init_began() },
                    size,
                    rss,
                );
                c.flush();
            });
        });
        c.set_tid(leader);
        0
    });
}
