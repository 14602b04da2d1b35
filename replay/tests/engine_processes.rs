//! Threads: the process tree of golden-tests.yaml and state engine section 6.
#![allow(clippy::unwrap_used)]

mod world;

use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Event, EventHead};
use world::{SECOND, World, parts};

const THREAD: u32 = 1 << 13;
const PARENT: u32 = 1 << 8;
const NEWPID: u32 = 1 << 6;
const VFORK: u32 = 1 << 27;
const IN_PIDNS: u32 = 1 << 29;

/// tid, pid, ptid, vtid, vpid of a clone exit, and its flags.
struct Ids(i64, i64, i64, i64, i64, u32);

fn clone(w: &mut World, res: i64, ids: &Ids) {
    let Ids(tid, pid, ptid, vtid, vpid, flags) = *ids;
    let params = Params::new().i64(res).str("/bin/exe").bytes(b"a\0b\0").i64(tid).i64(pid).i64(ptid).str("");
    let params = params.i64(1024).u64(1).u64(2).u32(3).u32(4).u32(5).str("comm").bytes(b"cpu_cgroup=/x\0io=/y\0");
    let params = params.u32(flags).u32(1000).u32(1001).i64(vtid).i64(vpid).u64(77);
    w.event(tid, id::SYSCALL_CLONE_20_X, &params);
}

fn caller(w: &mut World, child: i64, tid: i64, flags: u32) {
    let (pid, ptid) = w.engine.thread(tid).map_or((tid, 1), |t| (t.pid, t.ptid));
    clone(w, child, &Ids(tid, pid, ptid, tid, pid, flags));
}

fn exit(w: &mut World, tid: i64, reaper: i64) {
    w.event(tid, id::PROCEXIT_1_E, &Params::new().i64(0).i64(0).u8(0).u8(0).i64(reaper));
}

fn exec(w: &mut World, tid: i64, pid: i64, ptid: i64, trusted: &[u8]) {
    let p = Params::new().i64(0).str("/bin/new").bytes(b"x\0").i64(tid).i64(pid).i64(ptid).str("").i64(99);
    let p = p.u64(1).u64(2).u32(3).u32(4).u32(5).str("new").bytes(b"mem=/m\0").bytes(b"A=1\0").u32(34816).i64(6);
    let p = p.u32(0).u32(1 | 8).u64(1).u64(2).u64(3).u64(11).u64(500).u64(600).u32(7).bytes(trusted).i64(8).u32(9);
    w.event(tid, id::SYSCALL_EXECVE_19_X, &p.str("new"));
}

fn alive(w: &World, pid: i64) -> u32 {
    w.engine.alive_threads(pid)
}

fn ptids(w: &World) -> Vec<(i64, i64)> {
    w.engine.threads().map(|t| (t.tid, t.ptid)).collect()
}

/// The tree of golden-tests.yaml.
fn tree() -> World {
    let mut w = World::new();
    caller(&mut w, 2, 1, 0);
    caller(&mut w, 6, 2, THREAD);
    caller(&mut w, 25, 6, PARENT);
    clone(&mut w, 0, &Ids(25, 25, 1, 25, 25, PARENT));
    caller(&mut w, 23, 25, THREAD);
    caller(&mut w, 24, 23, THREAD);
    caller(&mut w, 72, 25, 0);
    caller(&mut w, 76, 72, NEWPID);
    clone(&mut w, 0, &Ids(76, 76, 72, 1, 1, IN_PIDNS));
    clone(&mut w, 0, &Ids(79, 76, 72, 2, 1, THREAD | IN_PIDNS));
    clone(&mut w, 0, &Ids(82, 82, 79, 10, 10, IN_PIDNS));
    clone(&mut w, 0, &Ids(84, 82, 79, 12, 10, THREAD | IN_PIDNS));
    clone(&mut w, 0, &Ids(87, 87, 84, 17, 17, IN_PIDNS));
    w
}

#[test]
fn the_tree() {
    let w = tree();
    let wanted =
        [(1, 0), (2, 1), (6, 1), (23, 1), (24, 1), (25, 1), (72, 25), (76, 72), (79, 72), (82, 79), (84, 79), (87, 84)];
    assert_eq!(ptids(&w), wanted);
    for (pid, count) in [(1, 1), (2, 2), (25, 3), (72, 1), (76, 2), (82, 2), (87, 1)] {
        assert_eq!(alive(&w, pid), count, "{pid}");
    }
    assert_eq!(w.engine.main_thread(84).unwrap().tid, 82);
}

#[test]
fn leader_first() {
    let mut w = tree();
    exit(&mut w, 82, -1);
    w.tick();
    assert!(w.thread(82).is_dead());
    assert_eq!(alive(&w, 82), 1);
    exit(&mut w, 84, -1);
    assert!(w.engine.thread(84).is_some(), "for its own event it is there");
    w.tick();
    assert!(w.engine.thread(82).is_none() && w.engine.thread(84).is_none());
    assert_eq!(alive(&w, 82), 0);
}

#[test]
fn who_gets_the_children() {
    let mut w = tree();
    exit(&mut w, 84, 82);
    w.tick();
    assert_eq!((alive(&w, 82), w.thread(87).ptid), (1, 82));
    exit(&mut w, 79, 76);
    exit(&mut w, 76, 25);
    w.tick();
    assert_eq!((w.thread(82).ptid, w.thread(72).ptid), (25, 25));
    exit(&mut w, 25, 9999);
    w.tick();
    assert_eq!((w.thread(72).ptid, w.thread(82).ptid), (23, 23), "the reaper is not known");
    assert!(w.thread(9999).is_invalid(), "a placeholder of it");
}

#[test]
fn reaper_in_the_tree() {
    let mut w = tree();
    // Without the kernel's word: another thread of the process, else an ancestor that takes orphans.
    exit(&mut w, 84, -1);
    w.tick();
    assert_eq!(w.thread(87).ptid, 82);
    exit(&mut w, 82, -1);
    w.tick();
    assert_eq!(w.thread(87).ptid, 76, "the init of the pid namespace");
    exit(&mut w, 72, 0);
    w.tick();
    assert_eq!((w.thread(76).ptid, w.thread(79).ptid), (1, 1));
}

#[test]
fn subreaper() {
    let mut w = tree();
    w.event(23, id::SYSCALL_PRCTL_X, &Params::new().i64(0).u32(36).empty().i64(1));
    exit(&mut w, 72, -1);
    w.tick();
    assert_eq!(w.thread(76).ptid, 25);
}

#[test]
fn what_a_child_has() {
    let mut w = World::new();
    w.event(1, id::SYSCALL_OPEN_X, &Params::new().i64(3).str("/f").u32(4096).u32(0).u32(0).u64(0));
    caller(&mut w, 2, 1, 0);
    let t = w.thread(2);
    assert_eq!((&*t.exe, &*t.comm, &*t.args), (&b"/bin/exe"[..], &b"comm"[..], &b"a\0b"[..]));
    assert_eq!((&*t.exepath, &*t.env), (&b"/sbin/init"[..], &b"HOME=/home/user/parent"[..]));
    assert_eq!(&*t.cgroups, b"cpu=/x\0blkio=/y");
    assert_eq!((t.pid, t.ptid, t.vtid, t.vpid, t.uid, t.gid, t.fdlimit), (2, 1, 2, 2, 1000, 1001, 1024));
    assert_eq!((t.pfmajor, t.pfminor, t.vmsize_kb, t.vmrss_kb, t.vmswap_kb), (1, 2, 3, 4, 5));
    assert_eq!((t.clone_ts, w.engine.cwd(2)), (w.ts, Some(&b"/root/"[..])));
    // The tables are two from now on.
    w.event(2, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    w.tick();
    assert!(w.engine.fd(2, 3).is_none() && w.engine.fd(1, 3).is_some());
    // Threads share table and directory.
    caller(&mut w, 7, 1, THREAD);
    w.event(7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    w.tick();
    assert!(w.engine.fd(1, 3).is_none());
    w.event(7, id::SYSCALL_CHDIR_X, &Params::new().i64(0).str("/srv"));
    assert_eq!(w.engine.cwd(1), Some(&b"/srv/"[..]));
    assert_eq!((w.thread(7).pid, w.thread(7).ptid), (1, 0));
}

#[test]
fn who_makes_the_child() {
    let mut w = World::new();
    for flags in [NEWPID, IN_PIDNS, PARENT, VFORK] {
        caller(&mut w, 50, 1, flags);
        assert!(w.engine.thread(50).is_none(), "{flags:x}");
    }
    clone(&mut w, -12, &Ids(1, 1, 0, 1, 1, 0));
    assert_eq!(w.tids(), [1]);
    // The child's own exit first: the caller's changes nothing.
    clone(&mut w, 0, &Ids(51, 51, 1, 51, 51, 0));
    let ts = w.thread(51).clone_ts;
    caller(&mut w, 51, 1, 0);
    assert_eq!(w.thread(51).clone_ts, ts);
    // The caller's first: the child's changes nothing, unless it is about a later thread of that id.
    caller(&mut w, 52, 1, 0);
    let ts = w.thread(52).clone_ts;
    clone(&mut w, 0, &Ids(52, 52, 1, 52, 52, 0));
    assert_eq!(w.thread(52).clone_ts, ts);
    w.ts += 2 * SECOND;
    clone(&mut w, 0, &Ids(52, 52, 1, 52, 52, 0));
    assert_eq!(w.thread(52).clone_ts, w.ts);
    assert_eq!(alive(&w, 52), 1);
}

#[test]
fn a_child_that_was_faster_is_not_made_again() {
    let mut w = World::new();
    for (wait, again) in [(0, false), (2 * SECOND, true)] {
        clone(&mut w, 0, &Ids(60, 60, 1, 60, 60, 0));
        exit(&mut w, 60, -1);
        w.tick();
        w.ts += wait;
        caller(&mut w, 60, 1, 0);
        assert_eq!(w.engine.thread(60).is_some(), again);
    }
}

#[test]
fn threads_that_were_only_mentioned() {
    let mut w = World::new();
    w.event(70, id::SYSCALL_GETCWD_X, &Params::new().i64(-1).empty());
    let t = w.thread(70);
    assert_eq!((&*t.comm, &*t.exe, t.pid, t.uid), (&b"<NA>"[..], &b"<NA>"[..], -1, u32::MAX));
    assert_eq!(alive(&w, -1), 0);
    // A clone tells who it is.
    clone(&mut w, 71, &Ids(70, 70, 1, 70, 70, 0));
    let t = w.thread(70);
    assert_eq!((t.pid, t.ptid, &*t.comm), (70, 1, &b"comm"[..]));
    assert_eq!((w.thread(71).ptid, &*w.thread(71).exepath, alive(&w, 70)), (70, &b""[..], 1));
    // So does an exec.
    exec(&mut w, 80, 80, 1, b"");
    assert_eq!((w.thread(80).pid, w.thread(80).ptid, alive(&w, 80)), (80, 1, 1));
    // These make none.
    exit(&mut w, 90, -1);
    w.event(91, id::SCHEDSWITCH_6_E, &Params::new().i64(1).u64(0).u64(0).u32(0).u32(0).u32(0));
    let bound = w.event(92, id::PAGE_FAULT_E, &Params::new().u64(0).u64(0).u32(0));
    assert_eq!((bound.thread, w.tids()), (false, vec![1, 70, 71, 80]));
}

#[test]
fn executables() {
    let mut w = World::new();
    for (fd, flags) in [(3, 4096), (4, 0)] {
        w.event(1, id::SYSCALL_OPEN_X, &Params::new().i64(fd).str("/f").u32(flags).u32(0).u32(0).u64(0));
    }
    exec(&mut w, 1, 1, 0, b"/usr/bin/bad-exe (deleted)\0");
    let t = w.thread(1);
    assert_eq!((&*t.exepath, &*t.comm, &*t.exe), (&b"/usr/bin/bad-exe"[..], &b"new"[..], &b"/bin/new"[..]));
    assert_eq!((&*t.args, &*t.env, &*t.cgroups), (&b"x"[..], &b"A=1"[..], &b"memory=/m"[..]));
    assert_eq!((t.tty, t.vpgid, t.pgid, t.uid, t.gid, t.loginuid), (34816, 6, 8, 7, 9, 0));
    assert!(t.exe_writable && t.exe_lower_layer && !t.exe_upper_layer && !t.exe_from_memfd);
    assert_eq!((t.cap_inheritable, t.cap_permitted, t.cap_effective), (1, 2, 3));
    assert_eq!((t.exe_ino, t.exe_ino_ctime, t.exe_ino_mtime, t.lastexec_ts), (11, 500, 600, w.ts));
    assert!(w.engine.fd(1, 3).is_none() && w.engine.fd(1, 4).is_some());
}

#[test]
fn executables_of_old_captures() {
    let mut w = World::new();
    w.event(1, id::SYSCALL_OPEN_X, &Params::new().i64(3).str("/tmp/dir").u32(0).u32(0).u32(0).u64(0));
    let exepath = |w: &World| String::from_utf8_lossy(&w.thread(1).exepath).into_owned();
    for (dirfd, path, flags, wanted) in [
        (3, "file", 0, "/tmp/dir/file"),
        (3, "<NA>", 1, "/tmp/dir"),
        (-100, "/tmp/file", 0, "/tmp/file"),
        (3, "<NA>", 0, "<NA>"),
        (88, "file", 0, "<NA>"),
        (-100, "file", 0, "/root/file"),
    ] {
        w.event(1, id::SYSCALL_EXECVEAT_E, &Params::new().i64(dirfd).str(path).u32(flags));
        exec(&mut w, 1, 1, 0, b"");
        assert_eq!(exepath(&w), wanted);
    }
    w.event(1, id::SYSCALL_EXECVE_19_E, &Params::new().str("./prog"));
    exec(&mut w, 1, 1, 0, b"");
    assert_eq!(exepath(&w), "/root/prog");
    exec(&mut w, 1, 1, 0, b"");
    assert_eq!(exepath(&w), "/root/prog", "no enter event: as before");
}

#[test]
fn exec_ends_the_other_threads() {
    let mut w = tree();
    exec(&mut w, 25, 25, 1, b"/new\0");
    assert!(w.engine.thread(23).is_none() && w.engine.thread(24).is_none());
    assert_eq!((alive(&w, 25), w.thread(72).ptid), (1, 25));
    let mut w = tree();
    exit(&mut w, 25, -1);
    w.tick();
    assert_eq!(alive(&w, 25), 2);
    exec(&mut w, 25, 25, 1, b"/new\0");
    assert!(!w.thread(25).is_dead());
    assert_eq!(alive(&w, 25), 1);
}

#[test]
fn identity() {
    let mut w = World::new();
    let p = Params::new;
    w.event(1, id::SYSCALL_SETRESUID_X, &p().i64(0).u32(1).u32(2).u32(3));
    w.event(1, id::SYSCALL_SETREGID_X, &p().i64(0).u32(4).u32(5));
    assert_eq!((w.thread(1).uid, w.thread(1).gid), (2, 5));
    w.event(1, id::SYSCALL_SETUID_X, &p().i64(-1).u32(9));
    w.event(1, id::SYSCALL_SETGID_X, &p().i64(0).u32(9));
    assert_eq!((w.thread(1).uid, w.thread(1).gid), (2, 9));
    w.event(1, id::SYSCALL_SETSID_X, &p().i64(33));
    w.event(1, id::SYSCALL_SETPGID_X, &p().i64(0).i64(0).i64(44));
    assert_eq!((w.thread(1).sid, w.thread(1).pgid), (33, -1), "setpgid changes nothing");
    w.event(1, id::SYSCALL_PRCTL_X, &p().i64(0).u32(15).str("name").i64(0));
    assert_eq!(&*w.thread(1).comm, b"init", "nor does a new name");
    w.event(1, id::SYSCALL_CAPSET_X, &p().i64(0).u64(1).u64(2).u64(3));
    assert_eq!(w.thread(1).cap_effective, 3);
    w.event(1, id::SYSCALL_UNSHARE_X, &p().i64(0).u32(1 << 20));
    assert_eq!(w.thread(1).cap_effective, (1 << 41) - 1);
    w.event(1, id::SYSCALL_SETRLIMIT_X, &p().i64(0).i64(100).i64(200).u8(7));
    assert_eq!(w.thread(1).fdlimit, 100);
    w.event(1, id::SYSCALL_PRLIMIT_X, &p().i64(0).i64(300).i64(0).i64(0).i64(0).i64(0).u8(7));
    assert_eq!(w.thread(1).fdlimit, 300);
    w.event(1, id::SYSCALL_BRK_4_X, &p().u64(0).u32(8).u32(7).u32(6).u64(0));
    assert_eq!((w.thread(1).vmsize_kb, w.thread(1).vmrss_kb, w.thread(1).vmswap_kb), (8, 7, 6));
    w.event(1, id::SCHEDSWITCH_6_E, &p().i64(2).u64(10).u64(11).u32(12).u32(13).u32(14));
    assert_eq!((w.thread(1).pfmajor, w.thread(1).pfminor, w.thread(1).vmsize_kb), (10, 11, 12));
}

#[test]
fn users() {
    let mut w = World::new();
    assert_eq!((w.engine.user_name(0), w.engine.user_name(5)), (Some(&b"root"[..]), None));
    assert_eq!(&*w.engine.user(0).unwrap().home, b"/root");
    let user = |name: &str| Params::new().u32(5).u32(6).str(name).str("/test").str("/bin/test").str("");
    w.event(-1, id::USER_ADDED_E, &user("test"));
    w.event(-1, id::USER_ADDED_E, &user("+nis"));
    assert_eq!(w.engine.user_name(5), Some(&b"test"[..]));
    w.event(-1, id::GROUP_ADDED_E, &Params::new().u32(6).str("people").str("box"));
    assert_eq!(w.engine.group_name(6), None, "of a container");
    w.event(-1, id::USER_DELETED_E, &user(""));
    assert_eq!((w.engine.user_name(5), w.tids()), (None, vec![1]));
}

#[test]
fn a_new_section_starts_anew() {
    let mut w = World::new();
    caller(&mut w, 2, 1, 0);
    exit(&mut w, 2, -1);
    let mut synth = Synth::new();
    synth.section();
    world::load(&mut w.engine, &synth);
    assert_eq!((w.tids(), w.engine.counters().events), (vec![], 2));
}

#[test]
fn looking_changes_nothing() {
    let (mut w, mut watched) = (tree(), tree());
    let look = |w: &mut World, event_type, params: &Params| {
        let (lens, data, wide) = parts(event_type, params);
        let head = EventHead { ts: w.ts, tid: 72, event_type, ..EventHead::default() };
        w.engine.observe(&Event::from_parts(head, wide, &lens, &data))
    };
    for step in 0..3 {
        for w in [&mut w, &mut watched] {
            exit(w, [82, 84, 87][step], -1);
        }
        let bound = look(&mut watched, id::SYSCALL_READ_E, &Params::new().i64(0).u32(9));
        assert_eq!((bound.thread, bound.fd), (true, Some(0)));
        for w in [&mut w, &mut watched] {
            caller(w, [82, 84, 87][step], 79, 0);
        }
    }
    let all = |w: &World| w.engine.threads().map(|t| format!("{t:?}")).collect::<Vec<_>>();
    assert_eq!(all(&w), all(&watched));
}
