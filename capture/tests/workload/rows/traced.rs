//! Events that no call gives: signals, switches, page faults.

use super::mem::{around, sizes, swap};
use super::tasks::faults;
use super::{Check, Ctx, id, sys, wait};
use crate::workload::report::Place;

pub fn rows(c: &mut Ctx) {
    signals(c);
    switches(c);
    page_faults(c);
}

/// Blocks and ignores nothing, so that every signal is delivered: to a handler that the kernel itself returns from.
fn signals(c: &mut Ctx) {
    // A handler for every signal that is sent here: SIG_DFL would end the process, and SIG_IGN would deliver nothing.
    let me = c.tid();
    let cases = [
        (libc::SIGTERM, me),
        (libc::SIGHUP, me),
        (libc::SIGINT, me),
        (libc::SIGQUIT, me),
        (libc::SIGUSR1, 0),
        (libc::SIGALRM, 0),
        (40, me),
    ];
    for (signal, from) in cases {
        handle(signal);
        let r = call!(c, format!("signal {signal} to itself"), SYS_kill, me, signal);
        assert_eq!(r, 0);
        ev!(c, SYSCALL_KILL_X, 0, me, signal);
        ev!(c, SIGNALDELIVER_E, from, me, signal);
    }
    // A child's end: the child's number.
    handle(libc::SIGCHLD);
    let mut child = 0;
    c.bracket("signal: a child ends", || {
        child = sys::spawn_exit(libc::SYS_fork, &[]);
        wait(child);
        child
    });
    ev!(c, SIGNALDELIVER_E, child, me, libc::SIGCHLD);
    // Killed: by nobody, as the kernel tells. (A SIGKILL ends the whole group at once, and is then delivered to each of
    // its threads without what is known of the sender.)
    c.flush();
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        loop {
            raw!(SYS_pause);
        }
    }
    raw!(SYS_kill, child, 9);
    wait(child);
    c.elsewhere("signal: killed", child, Place::Last);
    ev!(c, SIGNALDELIVER_E, 0, child, 9);
    ev!(c, PROCEXIT_1_E, 9, 0, 9, 0, 0);
    // A fault of its own comes from nobody.
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        let none = [0_i64, 0];
        raw!(SYS_prlimit64, 0, 4, none.as_ptr(), 0);
        sys::touch(16);
    }
    let status = wait(child);
    assert_eq!(status & 0x7F, libc::SIGSEGV);
    c.elsewhere("signal: a fault", child, Place::Last);
    ev!(c, SIGNALDELIVER_E, 0, child, libc::SIGSEGV);
    ev!(c, PROCEXIT_1_E, status, 0, libc::SIGSEGV, i32::from(status & 0x80 != 0), 0);
}

fn handle(signal: i32) {
    sys::handle(signal);
}

/// Two threads that can only run one after the other: each waits for the other's byte.
fn switches(c: &mut Ctx) {
    let time = [0_i64, 3_000_000];
    let before = faults();
    let r = call!(c, "switch: it sleeps", SYS_nanosleep, time.as_ptr(), 0);
    let (size, rss) = sizes();
    let after = faults();
    assert_eq!(r, 0);
    // Who runs next is the scheduler's choice: any thread, or the idle one (0).
    let anybody = Check::Range(0, 1 << 22);
    ev!(c, SCHEDSWITCH_6_E, anybody, before.0..=after.0, before.1..=after.1, size, around(rss), swap());
    ev!(c, SYSCALL_NANOSLEEP_X, 0, 3_000_000);
}

/// Reading and writing pages that are not there yet. Error codes: 2 not present, or 1; 4 write, or 8 read; 16 user,
/// or 32 kernel.
fn page_faults(c: &mut Ctx) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let page = |n: i64| {
        let at = raw!(SYS_mmap, 0, 4096 * n, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert!(at > 0);
        at
    };
    let code = code();
    let at = page(1);
    c.bracket("page fault: a read", || i64::from(sys::touch(at + 5)));
    ev!(c, PAGE_FAULT_E, at + 5, code.clone(), 2 | 8 | 16);
    let at = page(1);
    c.bracket("page fault: a write", || {
        sys::poke(at + 7, 1);
        0
    });
    ev!(c, PAGE_FAULT_E, at + 7, code, 2 | 4 | 16);
    // The kernel writes for a call.
    let at = page(1);
    let r = call!(c, "page fault: by the kernel", SYS_uname, at);
    assert_eq!(r, 0);
    let kernel = Check::Range(0xFFFF_8000_0000_0000, u64::MAX);
    ev!(c, PAGE_FAULT_E, at, kernel, 2 | 4 | 32);
}

/// Where this program's code lies.
fn code() -> Check {
    let at = sys::code_address();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let ranges = maps.lines().filter_map(|l| l.split_once(' ')?.0.split_once('-'));
    let number = |s| u64::from_str_radix(s, 16).unwrap();
    let (low, high) = ranges.map(|(a, b)| (number(a), number(b))).find(|(a, b)| (*a..*b).contains(&at)).unwrap();
    Check::Range(low, high)
}
