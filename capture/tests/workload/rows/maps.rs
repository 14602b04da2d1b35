//! Every row of the value maps that a call with no effect can reach: one number in, the stored one out
//! (driver-events section 3). Numbers that are in no map are tried as well.

use super::{BAD_FD, Check, Ctx, EMPTY, id, text};

pub fn rows(c: &mut Ctx) {
    open_flags(c);
    clone_flags(c);
    numbers(c);
    socket_options(c);
    requests(c);
    bits(c);
}

fn open_flags(c: &mut Ctx) {
    let gone = text("none");
    let bits: [(u32, u32); 22] = [
        (0o1, 2),
        (0o2, 3),
        (0o3, 1),
        (0o100, 1 | 4),
        (0o200, 1 | 32),
        (0o400, 1),
        (0o1000, 1 | 256),
        (0o2000, 1 | 8),
        (0o4000, 1 | 64),
        (0o10000, 1 | 16 | 128),
        (0o20000, 1),
        (0o40000, 1 | 512),
        (0o100_000, 1 | 2048),
        (0o200_000, 1 | 1024 | 8192),
        (0o400_000, 1),
        (0o1_000_000, 1),
        (0o2_000_000, 1 | 4096),
        (0o4_000_000, 1 | 128),
        (0o10_000_000, 1),
        (0o20_000_000, 1 | 8192),
        (0o40_000_000, 1),
        (0x8000_0000, 1),
    ];
    for (bit, mapped) in bits {
        let mode = if bit & 0o20_200_100 == 0 { 0 } else { 0o4321 };
        // A folder that is not open: nothing is made, whatever the flags are.
        let r = call!(c, format!("openat: flag {bit:#o}"), SYS_openat, BAD_FD, gone.as_ptr(), bit, 0o4321);
        ev!(c, SYSCALL_OPENAT_2_E, BAD_FD, &gone, mapped, mode);
        ev!(c, SYSCALL_OPENAT_2_X, r, BAD_FD, &gone, mapped, mode, 0, 0);
    }
}

fn clone_flags(c: &mut Ctx) {
    let bits: [(u32, u32); 32] = [
        (0x1, 0),
        (0x2, 0),
        (0x4, 0),
        (0x8, 0),
        (0x10, 0),
        (0x20, 0),
        (0x40, 0),
        (0x80, 0),
        (0x100, 32768),
        (0x200, 2),
        (0x400, 1),
        (0x800, 2048),
        (0x1000, 0),
        (0x2000, 1024),
        (0x4000, 134_217_728),
        (0x8000, 256),
        (0x10000, 8192),
        (0x20000, 32),
        (0x40000, 4096),
        (0x80000, 33_554_432),
        (0x10_0000, 512),
        (0x20_0000, 8_388_608),
        (0x40_0000, 0),
        (0x80_0000, 16384),
        (0x100_0000, 16_777_216),
        (0x200_0000, 268_435_456),
        (0x400_0000, 128),
        (0x800_0000, 8),
        (0x1000_0000, 1_048_576),
        (0x2000_0000, 64),
        (0x4000_0000, 16),
        (0x8000_0000, 4),
    ];
    for (bit, mapped) in bits {
        let r = call!(c, format!("setns: {bit:#x}"), SYS_setns, BAD_FD, bit);
        ev!(c, SYSCALL_SETNS_X, r, BAD_FD, mapped);
    }
}

fn numbers(c: &mut Ctx) {
    let commands: [(i32, u8); 36] = [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (4, 5),
        (5, 6),
        (6, 8),
        (7, 9),
        (8, 10),
        (9, 12),
        (10, 13),
        (11, 15),
        (12, 17),
        (13, 18),
        (14, 19),
        (15, 21),
        (16, 22),
        (17, 0),
        (35, 0),
        (36, 30),
        (37, 31),
        (38, 32),
        (39, 0),
        (1023, 0),
        (1024, 23),
        (1025, 24),
        (1026, 27),
        (1027, 0),
        (1028, 0),
        (1029, 25),
        (1030, 26),
        (1031, 28),
        (1032, 29),
        (1033, 0),
        (1040, 0),
        (-1, 0),
    ];
    for (cmd, mapped) in commands {
        let r = call!(c, format!("fcntl: command {cmd}"), SYS_fcntl, -1, cmd, 0x1_0000_0007_i64);
        ev!(c, SYSCALL_FCNTL_X, r, -1, mapped, 0x1_0000_0007_i64);
    }
    let commands: [(i32, u16); 23] = [
        (0, 4),
        (1, 2),
        (2, 1),
        (3, 8),
        (4, 0),
        (10, 0),
        (11, 256),
        (12, 512),
        (13, 64),
        (14, 128),
        (15, 1024),
        (16, 4096),
        (17, 2048),
        (18, 32),
        (19, 16),
        (20, 0),
        (0x100 | 2, 0),
        (0x1_0002, 1),
        (99, 0),
        (5, 0),
        (6, 0),
        (7, 0),
        (8, 0),
    ];
    for (cmd, mapped) in commands {
        if matches!(cmd, 3 | 19) {
            continue; // these ask for no set, and would write to NULL
        }
        let r = call!(c, format!("semctl: command {cmd}"), SYS_semctl, -1, 0, cmd, 0);
        ev!(c, SYSCALL_SEMCTL_X, r, -1, 0, mapped, 0);
    }
    for resource in 0..20_u8 {
        let mapped = if resource < 16 { resource } else { 255 };
        let r = call!(c, format!("prlimit: {resource}"), SYS_prlimit64, -1, resource, 0, 0);
        ev!(c, SYSCALL_PRLIMIT_X, r, 0, 0, -1, -1, -1, mapped);
    }
    for op in 0..20_u32 {
        let mapped = if op <= 13 { op } else { 0 };
        if mapped == 13 {
            // LOCK_PI2 (13) is newer than the table of some versions; it is passed elsewhere if it is known.
            continue;
        }
        // A word that is not aligned: EINVAL, or ENOSYS for unknown operations.
        let r = call!(c, format!("futex: operation {op}"), SYS_futex, 3, op | 0x180, 0, 0, 0, 0);
        ev!(c, SYSCALL_FUTEX_X, r, 3, mapped | 0x180, 0);
    }
    for family in 0..64_i32 {
        let mapped = if matches!(family, 27 | 28 | 40..) { 0 } else { family };
        let r = call!(c, format!("socketpair: family {family}"), SYS_socketpair, family, 0xFF, 0, 0);
        assert!(r < 0);
        ev!(c, SOCKET_SOCKETPAIR_X, r, -1, -1, 0, 0, mapped, 0xFF, 0);
    }
}

fn socket_options(c: &mut Ctx) {
    for option in 0..80_i32 {
        let mapped = match option {
            1..=50 => option,
            55 => 52,
            57 => 53,
            59 => 51,
            66 => 20,
            67 => 21,
            _ => 0,
        };
        let value: &[u8] = match option {
            4 => &[1, 5, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            20 | 21 | 66 | 67 => &[4, 0x40, 0xBF, 0xB4, 0x92, 0x1B, 0, 0, 0],
            57 => &[3, 30, 0, 0, 0, 0, 0, 0, 0],
            1..=3 | 5..=12 | 14..=16 | 18 | 19 | 22..=25 | 27 | 29..=49 => &[2, 30, 0, 0, 0],
            _ => &[0, 30, 0, 0, 0, 0, 0],
        };
        // 30 s and 300 ms or so, or 30, or -251 as an error: read as the option wants it.
        let time = [30_i64, 300_000];
        let mut wrong = [0_i64; 2];
        wrong[0] = 251;
        let source = if option == 4 { wrong.as_ptr() } else { time.as_ptr() };
        let times = 30_300_000_000_u64;
        let want = if value[0] == 4 { [&[4], &times.to_le_bytes()[..]].concat() } else { value.to_vec() };
        let r = call!(c, format!("setsockopt: option {option}"), SYS_setsockopt, -1, 1, option, source, 6);
        ev!(c, SOCKET_SETSOCKOPT_X, r, -1, 1, mapped, want, 6);
    }
    for (level, mapped) in [(0, 0), (6, 2), (17, 0), (41, 0), (255, 0), (-1, 0)] {
        let r = call!(c, format!("setsockopt: level {level}"), SYS_setsockopt, -1, level, 2, c"abc".as_ptr(), 4);
        c.forget(); // the string's page may not be there
        let _ = r;
        let value = text("abc");
        let r = call!(c, format!("setsockopt: level {level}"), SYS_setsockopt, -1, level, 2, value.as_ptr(), 4);
        ev!(c, SOCKET_SETSOCKOPT_X, r, -1, mapped, 0, b"\0abc\0".to_vec(), 4);
    }
}

fn requests(c: &mut Ctx) {
    let mut table: Vec<(i64, u16)> = (1..=6).map(|n| (n, n as u16 + 1)).collect();
    table.extend([
        (7, 8),
        (8, 9),
        (9, 10),
        (10, 0),
        (11, 0),
        (12, 26),
        (13, 27),
        (14, 28),
        (15, 29),
        (16, 11),
        (17, 12),
    ]);
    table.extend([(18, 30), (19, 31), (20, 0), (21, 32), (22, 0), (23, 0), (24, 13), (25, 33), (26, 34), (27, 0)]);
    table.extend([(30, 35), (31, 36), (32, 37), (33, 38), (34, 0), (0x4212, 0), (-1, 0)]);
    table.extend((0x4200..=0x420B).map(|n| (n, (n - 0x4200) as u16 + 14)));
    let zero = [0_u8; 9].to_vec();
    for (request, mapped) in table {
        // A process that cannot be: every request fails, and of a failure neither pointer is kept.
        let r = call!(c, format!("ptrace: request {request:#x}"), SYS_ptrace, request, -5, 0x1234, 0x5678);
        assert!(r < 0);
        ev!(c, SYSCALL_PTRACE_X, r, zero.clone(), zero.clone(), mapped, -5);
    }
}

fn bits(c: &mut Ctx) {
    for (bit, mapped) in (0..32).map(|b| 1_u32 << b).map(|b| (b, b)) {
        let prot = match bit {
            1 | 2 | 4 | 8 => mapped,
            0x10 => 64,
            0x100_0000 => 16,
            0x200_0000 => 32,
            _ => 0,
        };
        let r = call!(c, format!("mprotect: {bit:#x}"), SYS_mprotect, 1, 4096, bit);
        ev!(c, SYSCALL_MPROTECT_X, r, 1, 4096, prot);
        let keep = |mask: u32| bit & mask;
        let r = call!(c, format!("umount2: {bit:#x}"), SYS_umount2, 0, bit);
        ev!(c, SYSCALL_UMOUNT2_X, r, EMPTY, keep(15));
        let r = call!(c, format!("flock: {bit:#x}"), SYS_flock, -1, bit);
        ev!(c, SYSCALL_FLOCK_X, r, -1, keep(15));
        let r = call!(c, format!("fchmod: {bit:#x}"), SYS_fchmod, -1, bit);
        ev!(c, SYSCALL_FCHMOD_X, r, -1, keep(0o7777));
        let r = call!(c, format!("close_range: {bit:#x}"), SYS_close_range, 9, 3, bit);
        ev!(c, SYSCALL_CLOSE_RANGE_X, r, 9, 3, keep(6));
        let r = call!(c, format!("semget: {bit:#x}"), SYS_semget, 1, -1, bit);
        let sem = if bit == 0o1000 {
            8192
        } else if bit == 0o2000 {
            16384
        } else {
            0
        };
        ev!(c, SYSCALL_SEMGET_X, r, 1, -1, sem);
        let r = call!(c, format!("delete_module: {bit:#x}"), SYS_delete_module, 0, bit);
        let module = if bit == 0o4000 { 2 } else { u32::from(bit == 0o1000) };
        ev!(c, SYSCALL_DELETE_MODULE_X, r, EMPTY, module);
        let r = call!(c, format!("finit_module: {bit:#x}"), SYS_finit_module, -1, 0, bit);
        ev!(c, SYSCALL_FINIT_MODULE_X, r, -1, EMPTY, keep(7));
        let r = call!(c, format!("splice: {bit:#x}"), SYS_splice, -1, 0, -1, 0, 1, bit);
        ev!(c, SYSCALL_SPLICE_X, r, -1, -1, 1, keep(15));
        let r = call!(c, format!("memfd_create: {bit:#x}"), SYS_memfd_create, 0, bit);
        ev!(c, SYSCALL_MEMFD_CREATE_X, r, EMPTY, keep(7));
        let r = call!(c, format!("access: {bit:#x}"), SYS_access, 0, bit);
        ev!(c, SYSCALL_ACCESS_X, r, EMPTY, keep(7));
        let mmap = match bit {
            1 | 2 => mapped,
            0x10 => 4,
            0x20 => 8,
            0x40 => 16,
            0x80 => 4096,
            0x100 => 512,
            0x800 => 1024,
            0x1000 => 2048,
            0x2000 => 16384,
            0x4000 => 64,
            0x8000 => 128,
            0x10000 => 256,
            _ => 0,
        };
        let r = call!(c, format!("mmap: {bit:#x}"), SYS_mmap, 1, 0, 0, bit, -1, 1);
        let (size, rss) = super::mem::sizes();
        ev!(c, SYSCALL_MMAP_X, r, size, super::mem::around(rss), super::mem::swap(), 1, 0, 0, mmap, -1, 1);
    }
}
