//! How threads end, and who gets their children.

use super::{Check, Ctx, close, id, sys, wait};
use crate::workload::report::Place;

pub fn rows(c: &mut Ctx) {
    ends(c);
    reapers(c);
}

fn ends(c: &mut Ctx) {
    for (code, mapped) in [(0, 0), (1, 1), (255, 255), (256 + 3, 3)] {
        let tid = c.in_child(|_| code);
        c.elsewhere(&format!("exit_group({code})"), tid, Place::Last);
        ev!(c, PROCEXIT_1_E, mapped << 8, mapped, 0, 0, 0);
    }
    for signal in [9, 15, 34] {
        let (tid, status) = die(c, signal);
        assert_eq!(status, signal);
        c.elsewhere(&format!("killed by {signal}"), tid, Place::Last);
        ev!(c, PROCEXIT_1_E, signal, 0, signal, 0, 0);
    }
    // Whether it leaves a core is said by its status too.
    for limit in [0_i64, 1 << 20] {
        let (tid, status) = die_of_abort(c, limit);
        assert_eq!(status & 0x7F, 6);
        c.elsewhere("killed by SIGABRT", tid, Place::Last);
        ev!(c, PROCEXIT_1_E, status, 0, 6, i32::from(status & 0x80 != 0), 0);
    }
}

fn die(c: &mut Ctx, signal: i32) -> (i64, i32) {
    c.flush();
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        raw!(SYS_kill, raw!(SYS_getpid), signal);
        raw!(SYS_exit_group, 1);
    }
    (child, wait(child))
}

fn die_of_abort(c: &mut Ctx, limit: i64) -> (i64, i32) {
    c.flush();
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        let limits = [limit, limit];
        raw!(SYS_prlimit64, 0, 4, limits.as_ptr(), 0);
        raw!(SYS_kill, raw!(SYS_getpid), 6);
        raw!(SYS_exit_group, 1);
    }
    (child, wait(child))
}

/// A child that waits until it is killed.
fn sleeper() -> i64 {
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        raw!(SYS_prctl, 1, 0, 0, 0, 0);
        loop {
            raw!(SYS_pause);
        }
    }
    child
}

/// Forks a child that starts a sleeper of its own and ends; gives both numbers, after the child ended.
fn orphan(c: &mut Ctx) -> (i64, i64) {
    c.flush();
    let mut pipe = [0_i32; 2];
    assert_eq!(raw!(SYS_pipe2, pipe.as_mut_ptr(), 0), 0);
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        let grandchild = sleeper();
        raw!(SYS_write, pipe[1], (&raw const grandchild), 8);
        raw!(SYS_exit_group, 7);
    }
    let mut grandchild = 0_i64;
    assert_eq!(raw!(SYS_read, pipe[0], (&raw mut grandchild), 8), 8);
    wait(child);
    close(pipe[0].into());
    close(pipe[1].into());
    (child, grandchild)
}

/// Who gets the children of a process that ends.
fn reapers(c: &mut Ctx) {
    let subreaper = has_subreaper();
    if subreaper {
        c.skip("an ancestor reaps its descendants: children do not go to init here");
    } else {
        let (tid, orphaned) = orphan(c);
        c.elsewhere("reaper: init", tid, Place::Last);
        ev!(c, PROCEXIT_1_E, 0x700, 7, 0, 0, 1);
        raw!(SYS_kill, orphaned, 9);
    }
    c.in_child(|c| {
        raw!(SYS_prctl, 36, 1, 0, 0, 0);
        let me = c.tid();
        let (tid, orphaned) = orphan(c);
        assert_eq!(
            std::fs::read_to_string(format!("/proc/{orphaned}/stat"))
                .unwrap()
                .rsplit_once(')')
                .unwrap()
                .1
                .split_whitespace()
                .nth(1),
            Some(me.to_string().as_str())
        );
        c.elsewhere("reaper: a subreaper", tid, Place::Last);
        ev!(c, PROCEXIT_1_E, 0x700, 7, 0, 0, me);
        raw!(SYS_kill, orphaned, 9);
        wait(orphaned);
        0
    });
    a_thread_reaps(c);
    // In a pid namespace: the first process gets them; and when it ends itself, nobody does.
    c.in_child(|c| {
        if raw!(SYS_unshare, 0x2000_0000) != 0 {
            c.skip("no pid namespaces here (reapers)");
            return 0;
        }
        let mut pipe = [0_i32; 2];
        raw!(SYS_pipe2, pipe.as_mut_ptr(), 0);
        c.flush();
        let init = sys::call(libc::SYS_fork, &[]);
        if init == 0 {
            // Its child (2 inside) leaves a sleeper (3 inside), and ends.
            let (_, _) = orphan(c);
            raw!(SYS_write, pipe[1], c"x".as_ptr(), 1);
            raw!(SYS_exit_group, 7);
        }
        let mut byte = 0_u8;
        raw!(SYS_read, pipe[0], (&raw mut byte), 1);
        wait(init);
        c.elsewhere("reaper: the namespace's first process ends", init, Place::Last);
        ev!(c, PROCEXIT_1_E, 0x700, 7, 0, 0, 0);
        c.elsewhere("reaper: the namespace's first process", init, Place::ChildsLast);
        ev!(c, PROCEXIT_1_E, 0x700, 7, 0, 0, init);
        0
    });
}

/// Whether this process has an ancestor that reaps: what an orphan's parent becomes.
fn has_subreaper() -> bool {
    let mut pipe = [0_i32; 2];
    raw!(SYS_pipe2, pipe.as_mut_ptr(), 0);
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        let me = raw!(SYS_getpid);
        if sys::call(libc::SYS_fork, &[]) == 0 {
            while raw!(SYS_getppid) == me {
                raw!(SYS_sched_yield);
            }
            let parent = raw!(SYS_getppid);
            raw!(SYS_write, pipe[1], (&raw const parent), 8);
        }
        raw!(SYS_exit_group, 0);
    }
    let mut parent = 0_i64;
    raw!(SYS_read, pipe[0], (&raw mut parent), 8);
    wait(child);
    close(pipe[0].into());
    close(pipe[1].into());
    parent != 1
}

/// A thread that ends while another of its process lives leaves its children to that one.
fn a_thread_reaps(c: &mut Ctx) {
    let mut told = [0_i64; 2];
    let mut pipe = [0_i32; 2];
    raw!(SYS_pipe2, pipe.as_mut_ptr(), 0);
    c.flush();
    let process = sys::call(libc::SYS_fork, &[]);
    if process == 0 {
        let [_, out] = pipe;
        std::thread::scope(|s| {
            let leader = raw!(SYS_gettid);
            s.spawn(move || {
                let orphaned = sleeper();
                let told = [raw!(SYS_gettid), orphaned];
                raw!(SYS_write, out, told.as_ptr(), 16);
                assert_ne!(told[0], leader);
                // Only this thread ends, by the call itself: the library's way would run other code after it.
                raw!(SYS_exit, 7);
            });
            // The other one lives until it is killed.
            loop {
                raw!(SYS_pause);
            }
        });
    }
    assert_eq!(raw!(SYS_read, pipe[0], told.as_mut_ptr(), 16), 16);
    let [thread, orphaned] = told;
    while std::path::Path::new(&format!("/proc/{process}/task/{thread}")).exists() {
        raw!(SYS_sched_yield);
    }
    raw!(SYS_kill, process, 9);
    raw!(SYS_kill, orphaned, 9);
    wait(process);
    c.elsewhere("reaper: a thread of the process", thread, Place::Last);
    ev!(c, PROCEXIT_1_E, 0x700, 7, 0, 0, process);
    close(pipe[0].into());
    close(pipe[1].into());
}
