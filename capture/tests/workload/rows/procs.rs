//! Signals, sessions, namespaces, tracing.

use super::net::dynamic;
use super::{BAD_FD, Check, Ctx, EMPTY, close, id, sys, text, wait};

pub fn rows(c: &mut Ctx) {
    signals(c);
    sessions(c);
    namespaces(c);
    tracing(c);
    configuration(c);
}

fn signals(c: &mut Ctx) {
    let me = c.tid();
    let r = call!(c, "kill: asks", SYS_kill, me, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_KILL_X, 0, me, 0);
    let r = call!(c, "kill: fails", SYS_kill, i32::MIN, 300);
    ev!(c, SYSCALL_KILL_X, r, i32::MIN, 300 - 256);
    let r = call!(c, "tkill", SYS_tkill, me, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_TKILL_X, 0, me, 0);
    let r = call!(c, "tkill: fails", SYS_tkill, -7, 64);
    ev!(c, SYSCALL_TKILL_X, r, -7, 64);
    let r = call!(c, "tgkill", SYS_tgkill, me, me, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_TGKILL_X, 0, me, me, 0);
    let r = call!(c, "tgkill: fails", SYS_tgkill, -1, -2, 9);
    ev!(c, SYSCALL_TGKILL_X, r, -1, -2, 9);
}

fn sessions(c: &mut Ctx) {
    c.in_child(|c| {
        let me = c.tid();
        let r = call!(c, "setpgid", SYS_setpgid, 0, me);
        assert_eq!(r, 0);
        ev!(c, SYSCALL_SETPGID_X, 0, 0, me);
        let r = call!(c, "setsid: fails, leads a group", SYS_setsid);
        assert_eq!(r, -1);
        ev!(c, SYSCALL_SETSID_X, r);
        let r = call!(c, "setpgid: fails", SYS_setpgid, -1, i32::MIN);
        ev!(c, SYSCALL_SETPGID_X, r, -1, i32::MIN);
        0
    });
    c.in_child(|c| {
        let r = call!(c, "setsid", SYS_setsid);
        assert_eq!(r, c.tid());
        ev!(c, SYSCALL_SETSID_X, r);
        0
    });
}

fn namespaces(c: &mut Ctx) {
    let r = call!(c, "unshare: nothing", SYS_unshare, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_UNSHARE_X, 0, 0);
    let r = call!(c, "unshare: fails", SYS_unshare, 0x8000_2000_u32);
    assert!(r < 0);
    ev!(c, SYSCALL_UNSHARE_X, r, 4 | 1024);
    c.in_child(|c| {
        let path = text("/proc/self/ns/uts");
        let ns = raw!(SYS_open, path.as_ptr(), 0, 0);
        let r = call!(c, "unshare: UTS, IPC and the files", SYS_unshare, 0x400_0000 | 0x800_0000 | 0x400);
        ev!(c, SYSCALL_UNSHARE_X, r, 128 | 8 | 1);
        let r = call!(c, "setns", SYS_setns, ns, 0x400_0000);
        ev!(c, SYSCALL_SETNS_X, r, ns, 128);
        let r = call!(c, "unshare: a network", SYS_unshare, 0x4000_0000);
        ev!(c, SYSCALL_UNSHARE_X, r, 16);
        let r = call!(c, "unshare: a user namespace", SYS_unshare, 0x1000_0000);
        ev!(c, SYSCALL_UNSHARE_X, r, 1_048_576);
        // Inside, it is nobody; to the recorder it is who it was.
        let r = call!(c, "geteuid: in a user namespace that maps nobody", SYS_geteuid);
        ev!(c, SYSCALL_GETEUID_X, r);
        0
    });
    let r = call!(c, "setns: no namespace", SYS_setns, 1, 0);
    ev!(c, SYSCALL_SETNS_X, r, 1, 0);
}

fn tracing(c: &mut Ctx) {
    let value = 0x1122_3344_5566_7788_u64;
    let at = (&raw const value) as i64;
    c.flush();
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        c.become_child();
        let r = call!(c, "ptrace: TRACEME", SYS_ptrace, 0, 0, 5, 6);
        let ok = r >= 0;
        let zero = dynamic(0, &0_u64.to_le_bytes());
        let six = dynamic(0, &6_u64.to_le_bytes());
        let five = dynamic(0, &5_u64.to_le_bytes());
        ev!(c, SYSCALL_PTRACE_X, r, if ok { five } else { zero.clone() }, if ok { six } else { zero }, 1, 0);
        c.flush();
        if ok {
            raw!(SYS_kill, c.tid(), 19);
        }
        sys::call(libc::SYS_exit_group, &[i64::from(!ok)]);
    }
    let status = wait(child);
    if status & 0xFF != 0x7F {
        c.skip("this process is traced: ptrace only fails");
        return;
    }
    let number = |n: u64| dynamic(0, &n.to_le_bytes());
    let mut out = 0_u64;
    let into = (&raw mut out) as i64;
    for (name, request, mapped) in [("PEEKTEXT", 1, 2), ("PEEKDATA", 2, 3)] {
        let r = call!(c, format!("ptrace: {name}"), SYS_ptrace, request, child, at, into);
        assert_eq!((r, out), (0, value));
        ev!(c, SYSCALL_PTRACE_X, 0, number(at as u64), number(value), mapped, child);
    }
    let r = call!(c, "ptrace: PEEKUSR", SYS_ptrace, 3, child, 8, into);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_PTRACE_X, 0, number(8), number(out), 4, child);
    let r = call!(c, "ptrace: POKEDATA", SYS_ptrace, 5, child, at, 0x99);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_PTRACE_X, 0, number(at as u64), number(0x99), 6, child);
    let r = call!(c, "ptrace: SETOPTIONS", SYS_ptrace, 0x4200, child, 0, 0x1);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_PTRACE_X, 0, number(0), number(1), 14, child);
    let r = call!(c, "ptrace: PEEKDATA, fails", SYS_ptrace, 2, child, 1, into);
    assert!(r < 0);
    ev!(c, SYSCALL_PTRACE_X, r, number(0), number(0), 3, child);
    let r = call!(c, "ptrace: SYSCALL", SYS_ptrace, 24, child, 0, 0x1_0000);
    assert_eq!(r, -5);
    ev!(c, SYSCALL_PTRACE_X, r, number(0), number(0), 13, child);
    let r = call!(c, "ptrace: CONT with a signal", SYS_ptrace, 7, child, 77, 9);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_PTRACE_X, 0, number(77), dynamic(1, &[9]), 8, child);
    assert_eq!(wait(child) & 0x7F, 9);
}

/// A file system that is configured and never mounted.
fn configuration(c: &mut Ctx) {
    let kind = text("tmpfs");
    let fd = raw!(SYS_fsopen, kind.as_ptr(), 0);
    let (size, value, ro) = (text("size"), text("1m"), text("ro"));
    if fd < 0 {
        c.skip("fsopen fails: fsconfig only fails");
    } else {
        let r = call!(c, "fsconfig: SET_STRING", SYS_fsconfig, fd, 1, size.as_ptr(), value.as_ptr(), 0);
        assert_eq!(r, 0);
        ev!(c, SYSCALL_FSCONFIG_X, 0, fd, 1, &size, EMPTY, &value, 0);
        let r = call!(c, "fsconfig: SET_FLAG", SYS_fsconfig, fd, 0, ro.as_ptr(), 0, 0);
        assert_eq!(r, 0);
        ev!(c, SYSCALL_FSCONFIG_X, 0, fd, 0, &ro, EMPTY, EMPTY, 0);
        let r = call!(c, "fsconfig: SET_BINARY, fails", SYS_fsconfig, fd, 2, size.as_ptr(), value.as_ptr(), 3);
        assert!(r < 0);
        ev!(c, SYSCALL_FSCONFIG_X, r, fd, 2, &size, EMPTY, EMPTY, 3);
        let r = call!(c, "fsconfig: CREATE", SYS_fsconfig, fd, 6, 0, 0, 0);
        ev!(c, SYSCALL_FSCONFIG_X, r, fd, 6, EMPTY, EMPTY, EMPTY, 0);
        close(fd);
    }
    let r = call!(c, "fsconfig: fails", SYS_fsconfig, BAD_FD, 0xFFFF_FFFE_u32, size.as_ptr(), value.as_ptr(), -9);
    assert!(r < 0);
    ev!(c, SYSCALL_FSCONFIG_X, r, BAD_FD, 0xFFFF_FFFE_u32, &size, EMPTY, EMPTY, -9);
}
