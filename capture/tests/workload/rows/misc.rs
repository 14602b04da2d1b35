//! Limits, capabilities, modules, quotas, prctl, seccomp, bpf, and calls without an event of their own.

use super::{BAD_FD, Check, Ctx, EFAULT, EINVAL, EMPTY, Scratch, close, id, pattern, sys, text};
use scapkit_format::schema;

pub fn rows(c: &mut Ctx) {
    limits(c);
    prctl(c);
    seccomp(c);
    bpf(c);
    modules(c);
    quotas(c);
    c.in_child(capabilities);
    generic(c);
}

fn limits(c: &mut Ctx) {
    let hole = Scratch::new();
    let mut now = [5_i64, 6];
    let p = now.as_mut_ptr();
    let r = call!(c, "getrlimit", SYS_getrlimit, 7, p);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_GETRLIMIT_X, 0, now[0], now[1], 7);
    let r = call!(c, "getrlimit: fails", SYS_getrlimit, 99, p);
    assert_eq!(r, EINVAL);
    ev!(c, SYSCALL_GETRLIMIT_X, r, -1, -1, 255);
    let r = call!(c, "setrlimit", SYS_setrlimit, 7, p);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SETRLIMIT_X, 0, now[0], now[1], 7);
    let odd = [9_i64, -1];
    let r = call!(c, "setrlimit: fails, the limits all the same", SYS_setrlimit, 16, odd.as_ptr());
    ev!(c, SYSCALL_SETRLIMIT_X, r, 9, -1, 255);
    for p in [0, hole.hole()] {
        let r = call!(c, "setrlimit: unreadable", SYS_setrlimit, 4, p);
        assert_eq!(r, EFAULT);
        ev!(c, SYSCALL_SETRLIMIT_X, r, 0, 0, 4);
    }
    let mut old = [1_i64, 2];
    let r = call!(c, "prlimit", SYS_prlimit64, 0, 7, p, old.as_mut_ptr());
    assert_eq!((r, old), (0, now));
    ev!(c, SYSCALL_PRLIMIT_X, 0, now[0], now[1], now[0], now[1], 0, 7);
    let me = c.tid();
    let r = call!(c, "prlimit: only asks", SYS_prlimit64, me, 7, 0, old.as_mut_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_PRLIMIT_X, 0, 0, 0, now[0], now[1], me, 7);
    let r = call!(c, "prlimit: nothing", SYS_prlimit64, 0, 7, 0, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_PRLIMIT_X, 0, 0, 0, 0, 0, 0, 7);
    let r = call!(c, "prlimit: fails", SYS_prlimit64, -2, 1, odd.as_ptr(), old.as_mut_ptr());
    ev!(c, SYSCALL_PRLIMIT_X, r, 9, -1, -1, -1, -2, 1);
}

fn prctl(c: &mut Ctx) {
    let name = text("w\u{f6}rkload");
    let p = name.as_ptr() as i64;
    let r = call!(c, "prctl: SET_NAME", SYS_prctl, 15, p);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_PRCTL_X, 0, 15, &name, 0);
    let mut buf = [1_u8; 20];
    let r = call!(c, "prctl: GET_NAME", SYS_prctl, 16, buf.as_mut_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_PRCTL_X, 0, 16, &name, 0);
    let r = call!(c, "prctl: SET_NAME, NULL", SYS_prctl, 15, 0);
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_PRCTL_X, r, 15, EMPTY, 0);
    let mut reaper = -1_i32;
    let r = call!(c, "prctl: GET_CHILD_SUBREAPER", SYS_prctl, 37, &raw mut reaper);
    assert_eq!((r, reaper), (0, 0));
    ev!(c, SYSCALL_PRCTL_X, 0, 37, EMPTY, 0);
    let r = call!(c, "prctl: GET_CHILD_SUBREAPER, unreadable", SYS_prctl, 37, 1);
    ev!(c, SYSCALL_PRCTL_X, r, 37, EMPTY, 0);
    c.in_child(|c| {
        let r = call!(c, "prctl: SET_CHILD_SUBREAPER", SYS_prctl, 36, 0x1_0000_0001_i64);
        assert_eq!(r, 0);
        ev!(c, SYSCALL_PRCTL_X, 0, 36, EMPTY, 0x1_0000_0001_i64);
        let mut reaper = -1_i32;
        let r = call!(c, "prctl: GET_CHILD_SUBREAPER is 1", SYS_prctl, 37, &raw mut reaper);
        assert_eq!((r, reaper), (0, 1));
        ev!(c, SYSCALL_PRCTL_X, 0, 37, EMPTY, 1);
        0
    });
    for (option, value) in [(1, 9), (2, p), (3, 0), (-7, -1), (0x5961_6D61, 77), (12_345, i64::MIN)] {
        let r = call!(c, format!("prctl: {option}"), SYS_prctl, option, value, 3, 4, 5);
        ev!(c, SYSCALL_PRCTL_X, r, option, EMPTY, value);
    }
    raw!(SYS_prctl, 1, 0, 0, 0, 0);
}

fn seccomp(c: &mut Ctx) {
    let allow = 0x7FFF_0000_u32;
    let r = call!(c, "seccomp: GET_ACTION_AVAIL", SYS_seccomp, 2, 0, &raw const allow);
    ev!(c, SYSCALL_SECCOMP_X, r, 2, 0);
    let r = call!(c, "seccomp: fails", SYS_seccomp, 0x1_0000_0063_i64, 0xFEDC_BA98_7654_3210_u64, 0);
    assert_eq!(r, EINVAL);
    ev!(c, SYSCALL_SECCOMP_X, r, 0x1_0000_0063_i64, 0x7654_3210);
}

fn bpf(c: &mut Ctx) {
    let attr: [u32; 18] = [2, 4, 8, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]; // an array of one element
    let fd = call!(c, "bpf: MAP_CREATE", SYS_bpf, 0, attr.as_ptr(), 72);
    ev!(c, SYSCALL_BPF_2_X, fd, 0);
    if fd >= 0 {
        close(fd);
    }
    for cmd in [-1_i32, 1234, i32::MIN] {
        let r = call!(c, "bpf: fails", SYS_bpf, cmd, attr.as_ptr(), 72);
        assert_eq!(r, EINVAL);
        ev!(c, SYSCALL_BPF_2_X, r, cmd);
    }
}

fn modules(c: &mut Ctx) {
    let hole = Scratch::new();
    let image = pattern(300);
    let options = text("a=1 b=\"x\"");
    let snap = c.snaplen;
    for len in [20, 300] {
        let r = call!(c, format!("init_module: {len} bytes"), SYS_init_module, image.as_ptr(), len, options.as_ptr());
        assert!(r < 0);
        // The image is cut like other data (upstream keeps all of it).
        ev!(c, SYSCALL_INIT_MODULE_X, r, &image[..len.min(snap)], len, &options);
    }
    let r = call!(c, "init_module: unreadable", SYS_init_module, hole.hole(), 10, 0);
    ev!(c, SYSCALL_INIT_MODULE_X, r, EMPTY, 10, EMPTY);
    let r = call!(c, "init_module: no length", SYS_init_module, image.as_ptr(), 0, hole.hole());
    ev!(c, SYSCALL_INIT_MODULE_X, r, EMPTY, 0, EMPTY);
    for fd in [-1, BAD_FD] {
        let r = call!(c, "finit_module", SYS_finit_module, fd, options.as_ptr(), 0xF);
        assert!(r < 0);
        ev!(c, SYSCALL_FINIT_MODULE_X, r, fd, &options, 7);
    }
    let name = text("no_such_module");
    let r = call!(c, "delete_module", SYS_delete_module, name.as_ptr(), 0o4000 | 0o1000 | 0o2_000_000);
    assert!(r < 0);
    ev!(c, SYSCALL_DELETE_MODULE_X, r, &name, 3);
}

/// `struct if_dqblk`: block limits hard and soft, space, inode limits hard and soft, inodes, times of blocks and
/// inodes, and which of them count.
fn quota(valid: u32) -> [u64; 9] {
    [101, 102, 103, 104, 105, 106, 107, 108, u64::from(valid)]
}

fn quotas(c: &mut Ctx) {
    let device = text("/dev/no such device");
    let file = text("aquota.user");
    let d = device.as_ptr();
    // res, special, file, seven block fields, two graces, flags, format out, command, type, id, format
    let r = call!(c, "quotactl: SYNC", SYS_quotactl, 0x8000_0100_u32, 0, 5, 0);
    ev!(c, SYSCALL_QUOTACTL_X, r, EMPTY, EMPTY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 128, 1, 0, 1);
    for (format, mapped) in [(1, 2), (2, 4), (4, 8), (3, 1)] {
        let r = call!(c, "quotactl: QUOTAON", SYS_quotactl, 0x8000_0201_u32, d, format, file.as_ptr());
        assert!(r < 0);
        ev!(c, SYSCALL_QUOTACTL_X, r, &device, &file, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, mapped);
        let out = format as u32;
        let r = call!(c, "quotactl: GETFMT", SYS_quotactl, 0x8000_0400_u32, d, 9, &raw const out);
        ev!(c, SYSCALL_QUOTACTL_X, r, &device, EMPTY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, mapped, 4, 1, 0, 1);
    }
    let all = quota(63);
    let p = all.as_ptr();
    let r = call!(c, "quotactl: GETQUOTA", SYS_quotactl, 0x8000_0700_u32, d, 1001, p);
    ev!(c, SYSCALL_QUOTACTL_X, r, &device, EMPTY, 101, 102, 103, 104, 105, 107, 108, 0, 0, 0, 1, 32, 1, 1001, 1);
    for (valid, want) in [
        (0, [0_u64; 7]),
        (1, [101, 102, 0, 0, 0, 0, 0]),
        (2, [0, 0, 103, 0, 0, 0, 0]),
        (4, [0, 0, 0, 104, 105, 0, 0]),
        (8, [0; 7]),
        (16, [0, 0, 0, 0, 0, 107, 0]),
        (32, [0, 0, 0, 0, 0, 0, 108]),
    ] {
        let block = quota(valid);
        let [a, b, e, f, g, h, i] = want;
        let r = call!(c, format!("quotactl: SETQUOTA {valid}"), SYS_quotactl, 0x8000_0802_u32, d, -1, block.as_ptr());
        ev!(c, SYSCALL_QUOTACTL_X, r, &device, EMPTY, a, b, e, f, g, h, i, 0, 0, 0, 1, 64, 0, u32::MAX, 1);
    }
    // struct if_dqinfo: two graces, flags and which of them count
    for (valid, want) in [(7_u64, [21_u64, 22, 5]), (1, [21, 0, 0]), (2, [0, 22, 0]), (4, [0, 0, 5]), (0, [0, 0, 0])] {
        let info = [21_u64, 22, 0x105 | valid << 32];
        let [b, i, f] = want;
        let r = call!(c, format!("quotactl: SETINFO {valid}"), SYS_quotactl, 0x8000_0601_u32, d, 3, info.as_ptr());
        ev!(c, SYSCALL_QUOTACTL_X, r, &device, EMPTY, 0, 0, 0, 0, 0, 0, 0, b, i, f, 1, 16, 2, 0, 1);
        let r = call!(c, format!("quotactl: GETINFO {valid}"), SYS_quotactl, 0x8000_0500_u32, d, 3, info.as_ptr());
        ev!(c, SYSCALL_QUOTACTL_X, r, &device, EMPTY, 0, 0, 0, 0, 0, 0, 0, b, i, f, 1, 8, 1, 0, 1);
    }
    let r = call!(c, "quotactl: no block", SYS_quotactl, 0x8000_0700_u32, 0, 7, 0);
    ev!(c, SYSCALL_QUOTACTL_X, r, EMPTY, EMPTY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 32, 1, 7, 1);
    for (cmd, mapped, with_id) in [
        (0x80_0003_u32, 2, false),
        (0x5801, 256, false),
        (0x5802, 512, false),
        (0x5803, 1024, true),
        (0x5804, 2048, true),
        (0x5805, 4096, false),
        (0x5806, 8192, false),
        (0x5807, 16384, false),
        (0x5808, 0, false),
        (0x12, 0, false),
    ] {
        let r = call!(c, format!("quotactl: {cmd:#x}"), SYS_quotactl, cmd << 8, d, 44, 0);
        let id = if with_id { 44 } else { 0 };
        ev!(c, SYSCALL_QUOTACTL_X, r, &device, EMPTY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, mapped, 1, id, 1);
    }
}

/// What a process may do, as its status has it: inheritable, permitted, effective.
pub fn caps() -> [u64; 3] {
    let status = super::read_lossy("/proc/self/status");
    ["CapInh:", "CapPrm:", "CapEff:"].map(|key| {
        let line = status.lines().find_map(|l| l.strip_prefix(key)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap() & ((1 << 41) - 1)
    })
}

fn capabilities(c: &mut Ctx) -> i32 {
    let header = [0x2008_0522_u32, 0];
    let mut data = [0_u32; 6];
    assert_eq!(raw!(SYS_capget, header.as_ptr(), data.as_mut_ptr()), 0);
    // Effective loses one, inheritable gains one of those permitted (low word: effective, permitted, inheritable).
    data[0] &= !(1 << 5);
    data[2] = 1 << 3;
    let r = call!(c, "capset", SYS_capset, header.as_ptr(), data.as_ptr());
    let [i, p, e] = caps();
    assert!(r < 0 || (i == 8 && e & 32 == 0), "{r}");
    ev!(c, SYSCALL_CAPSET_X, r, i, p, e);
    let r = call!(c, "capset: fails, those it has", SYS_capset, 0, data.as_ptr());
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_CAPSET_X, r, i, p, e);
    raw!(SYS_setresuid, 65_534, 65_534, 65_534);
    let r = call!(c, "capset: fails without any", SYS_capset, header.as_ptr(), data.as_ptr());
    let [i, p, e] = caps();
    ev!(c, SYSCALL_CAPSET_X, r, i, p, e);
    0
}

/// The calls without an event of their own that can be made with no effect: the code and the native number.
fn generic(c: &mut Ctx) {
    let mut buf = [0_u64; 64];
    let b = buf.as_mut_ptr() as i64;
    let gone = text("none");
    let g = gone.as_ptr() as i64;
    // name, arguments and the code where the number is also known from elsewhere
    let calls: Vec<(i64, Vec<i64>)> = vec![
        (libc::SYS_time, vec![b]),
        (libc::SYS_getcpu, vec![b, b, 0]),
        (libc::SYS_gettimeofday, vec![b, 0]),
        (libc::SYS_clock_gettime, vec![1, b]),
        (libc::SYS_getpid, vec![]),
        (libc::SYS_gettid, vec![]),
        (libc::SYS_getppid, vec![]),
        (libc::SYS_getpgrp, vec![]),
        (libc::SYS_getpgid, vec![0]),
        (libc::SYS_getsid, vec![0]),
        (libc::SYS_uname, vec![b]),
        (libc::SYS_sysinfo, vec![b]),
        (libc::SYS_times, vec![b]),
        (libc::SYS_getrusage, vec![0, b]),
        (libc::SYS_getrandom, vec![b, 8, 0]),
        (libc::SYS_sched_yield, vec![]),
        (libc::SYS_umask, vec![0o22]),
        (libc::SYS_alarm, vec![0]),
        (libc::SYS_readlink, vec![g, b, 50]),
        (libc::SYS_readlinkat, vec![-1, g, b, 50]),
        (libc::SYS_statx, vec![-1, g, 0, 0, b]),
        (libc::SYS_faccessat, vec![-1, g, 0]),
        (libc::SYS_faccessat2, vec![-1, g, 0, 0]),
        (libc::SYS_truncate, vec![g, 0]),
        (libc::SYS_ftruncate, vec![-1, 0]),
        (libc::SYS_getxattr, vec![g, g, b, 5]),
        (libc::SYS_setxattr, vec![g, g, b, 5, 0]),
        (libc::SYS_epoll_ctl, vec![-1, 1, -1, b]),
        (libc::SYS_epoll_pwait, vec![-1, b, 1, 0, 0, 0]),
        (libc::SYS_pselect6, vec![-1, 0, 0, 0, 0, 0]),
        (libc::SYS_preadv2, vec![-1, b, 0, 0, 0, 0]),
        (libc::SYS_wait4, vec![-1, 0, 1, 0]),
        (libc::SYS_mincore, vec![1, 1, b]),
        (libc::SYS_madvise, vec![1, 1, 0]),
        (libc::SYS_fsync, vec![-1]),
        (libc::SYS_rt_sigprocmask, vec![0, 0, b, 8]),
        (libc::SYS_sigaltstack, vec![0, b]),
        (libc::SYS_capget, vec![0, 0]),
        (libc::SYS_rseq, vec![1, 2, 3, 4]),
        (libc::SYS_membarrier, vec![-1, 0, 0]),
        (libc::SYS_personality, vec![0xFFFF_FFFF]),
        (libc::SYS_name_to_handle_at, vec![-1, g, b, b, 0]),
        (libc::SYS_fchmodat2, vec![-1, g, 0, 0]),
        (libc::SYS_fsmount, vec![-1, 0, 0]),
    ];
    for (nr, args) in calls {
        let native = schema::native_x86_64(nr as u16).expect("a call of the table");
        assert!(native.exit == id::GENERIC_X || native.exit == 0, "{nr} has an event of its own");
        buf[0] = 0;
        c.call(&format!("generic: {}", schema::syscall_name(native.code).unwrap_or("?")), nr, &args);
        ev!(c, GENERIC_X, native.code, nr);
    }
    // Codes that are known without the tree's table.
    for (nr, code) in [(39_i64, 16_u16), (201, 11)] {
        let native = schema::native_x86_64(nr as u16).unwrap();
        assert_eq!(native.code, code, "number {nr}");
    }
    // Numbers that are no calls give nothing at all: beyond the table, minus one.
    for nr in [600, 100_000, -1] {
        let r = c.call(&format!("no call: {nr}"), nr, &[1, 2, 3]);
        assert!(r < 0);
    }
}
