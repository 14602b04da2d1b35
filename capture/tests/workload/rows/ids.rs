//! Users and groups. The calls that change them are made in children.

use super::{Check, Ctx, EFAULT, Scratch, id, sys};

pub fn rows(c: &mut Ctx) {
    let r = call!(c, "getuid", SYS_getuid);
    ev!(c, SYSCALL_GETUID_X, r);
    let r = call!(c, "geteuid", SYS_geteuid);
    ev!(c, SYSCALL_GETEUID_X, r);
    let r = call!(c, "getgid", SYS_getgid);
    ev!(c, SYSCALL_GETGID_X, r);
    let r = call!(c, "getegid", SYS_getegid);
    ev!(c, SYSCALL_GETEGID_X, r);
    all_of_them(c);
    for step in [set, set_res, set_re] {
        c.in_child(step);
    }
}

fn all_of_them(c: &mut Ctx) {
    let hole = Scratch::new();
    let mut ids = [11_u32, 22, 33];
    let p = ids.as_mut_ptr() as i64;
    let r = call!(c, "getresuid", SYS_getresuid, p, p + 4, p + 8);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_GETRESUID_X, 0, ids[0], ids[1], ids[2]);
    let r = call!(c, "getresgid", SYS_getresgid, p, p + 4, p + 8);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_GETRESGID_X, 0, ids[0], ids[1], ids[2]);
    sys::store(p, &[11, 22, 0xFFFF_FFF0_u32].map(u32::to_le_bytes).concat());
    // What cannot be read is 0 (upstream: what was left on its stack).
    let r = call!(c, "getresuid: fails", SYS_getresuid, hole.hole(), 0, p + 8);
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_GETRESUID_X, r, 0, 0, 0xFFFF_FFF0_u32);
    let r = call!(c, "getresgid: fails", SYS_getresgid, hole.hole(), p + 4, 0);
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_GETRESGID_X, r, 0, 22, 0);
}

fn set(c: &mut Ctx) -> i32 {
    let r = call!(c, "setgid", SYS_setgid, 3_000_000_001_u32);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SETGID_X, 0, 3_000_000_001_u32);
    let r = call!(c, "setuid", SYS_setuid, 4_000_000_002_u32);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SETUID_X, 0, 4_000_000_002_u32);
    let r = call!(c, "setuid: fails", SYS_setuid, 0);
    assert_eq!(r, -1);
    ev!(c, SYSCALL_SETUID_X, r, 0);
    let r = call!(c, "setgid: fails", SYS_setgid, -1);
    ev!(c, SYSCALL_SETGID_X, r, u32::MAX);
    for (name, nr, event, want) in [
        ("getuid: large", libc::SYS_getuid, id::SYSCALL_GETUID_X, 4_000_000_002_u32),
        ("geteuid: large", libc::SYS_geteuid, id::SYSCALL_GETEUID_X, 4_000_000_002),
        ("getgid: large", libc::SYS_getgid, id::SYSCALL_GETGID_X, 3_000_000_001),
        ("getegid: large", libc::SYS_getegid, id::SYSCALL_GETEGID_X, 3_000_000_001),
    ] {
        c.call(name, nr, &[]);
        c.event(event, vec![want.into()]);
    }
    0
}

fn set_res(c: &mut Ctx) -> i32 {
    let r = call!(c, "setresgid", SYS_setresgid, 5, 6, 7);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SETRESGID_X, 0, 5, 6, 7);
    let r = call!(c, "setresuid", SYS_setresuid, 5, -1, 7);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SETRESUID_X, 0, 5, u32::MAX, 7);
    raw!(SYS_setresuid, 5, 6, 7);
    let r = call!(c, "setresuid: fails", SYS_setresuid, 8, 9, 10);
    assert_eq!(r, -1);
    ev!(c, SYSCALL_SETRESUID_X, r, 8, 9, 10);
    let r = call!(c, "setresgid: fails", SYS_setresgid, 8, -1, 10);
    ev!(c, SYSCALL_SETRESGID_X, r, 8, u32::MAX, 10);
    0
}

fn set_re(c: &mut Ctx) -> i32 {
    let r = call!(c, "setregid", SYS_setregid, 12, 13);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SETREGID_X, 0, 12, 13);
    let r = call!(c, "setreuid", SYS_setreuid, 14, 15);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SETREUID_X, 0, 14, 15);
    let r = call!(c, "setreuid: fails", SYS_setreuid, -1, 16);
    assert_eq!(r, -1);
    ev!(c, SYSCALL_SETREUID_X, r, u32::MAX, 16);
    let r = call!(c, "setregid: fails", SYS_setregid, 17, -1);
    ev!(c, SYSCALL_SETREGID_X, r, 17, u32::MAX);
    0
}
