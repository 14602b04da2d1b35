//! Memory: brk, mmap and what goes with them, with the sizes of the address space.

use super::{BAD_FD, Check, Ctx, EMPTY, Scratch, close, id, io::iov, pattern, sys};
use libc::{MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE};

pub fn rows(c: &mut Ctx) {
    maps(c);
    locks(c);
    others(c);
    futex(c);
}

/// Address space and resident memory in KiB. Reading does not change either.
pub fn sizes() -> (u64, u64) {
    let mut buf = [0_u8; 128];
    let fd = raw!(SYS_open, c"/proc/self/statm".as_ptr(), 0, 0);
    let n = raw!(SYS_read, fd, buf.as_mut_ptr(), buf.len());
    close(fd);
    let mut numbers = buf[..n as usize]
        .split(|b| *b == b' ')
        .map(|w| w.iter().filter(|b| b.is_ascii_digit()).fold(0_u64, |n, b| n * 10 + u64::from(b - b'0')));
    (numbers.next().unwrap() * 4, numbers.next().unwrap() * 4)
}

/// What may be recorded as resident when that much (KiB) is: the kernel keeps three counters, each with what every
/// processor has not yet added (at most 32 pages, or twice as many as there are processors), and pages come and go
/// between the call and the reading of the size.
pub fn around(kib: u64) -> std::ops::RangeInclusive<u64> {
    let cpus = std::thread::available_parallelism().map_or(8, |n| n.get() as u64).max(8);
    let slack = 3 * cpus * 32.max(2 * cpus) * 4 + 1024;
    kib.saturating_sub(slack)..=kib + slack
}

/// Swapped memory: none where there is no swap, else anything.
pub fn swap() -> Check {
    let any = std::fs::read_to_string("/proc/swaps").is_ok_and(|s| s.lines().count() > 1);
    if any { Check::Range(0, u64::from(u32::MAX)) } else { 0.into() }
}

fn maps(c: &mut Ctx) {
    // The size is read after each call, and checked against what the call must have changed.
    let now = raw!(SYS_brk, 0);
    let r = call!(c, "brk: asks", SYS_brk, 0);
    let (size, rss) = sizes();
    ev!(c, SYSCALL_BRK_4_X, r, size, around(rss), swap(), 0);
    // A heap of the C library's own may lie there: it is made larger, and made smaller at once.
    let top = (now + 0xFFF) & !0xFFF;
    let r = call!(c, "brk: 16 pages more", SYS_brk, top + 0x10000);
    let (grown, rss) = sizes();
    assert!(r != top + 0x10000 || grown >= size + 64, "{size} {grown}");
    ev!(c, SYSCALL_BRK_4_X, r, grown, around(rss), swap(), top + 0x10000);
    let r = call!(c, "brk: back", SYS_brk, now);
    let (size, rss) = sizes();
    ev!(c, SYSCALL_BRK_4_X, r, size, around(rss), swap(), now);

    let len = 64 << 20;
    let at = call!(
        c,
        "mmap: 64 MiB",
        SYS_mmap,
        0,
        len,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        -1,
        0
    );
    assert!(at > 0);
    let (more, rss) = sizes();
    assert!(more >= size + 65_536);
    ev!(c, SYSCALL_MMAP_X, at, more, around(rss), swap(), 0, len, 3, 2 | 8 | 64, -1, 0);
    let fill = 40 << 20;
    let r = call!(
        c,
        "mmap: over it, filled",
        SYS_mmap,
        at,
        fill,
        PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_POPULATE,
        -1,
        0
    );
    assert_eq!(r, at);
    let (more, full) = sizes();
    assert!(full >= rss + 40_000, "{rss} {full}");
    ev!(c, SYSCALL_MMAP_X, at, more, around(full), swap(), at, fill, 2, 2 | 8 | 4 | 128, -1, 0);
    let r = call!(c, "munmap", SYS_munmap, at, len);
    assert_eq!(r, 0);
    let (size, rss) = sizes();
    ev!(c, SYSCALL_MUNMAP_X, 0, size, around(rss), swap(), at, len);
    let r = call!(c, "munmap: fails", SYS_munmap, 5, -1);
    let (size, rss) = sizes();
    ev!(c, SYSCALL_MUNMAP_X, r, size, around(rss), swap(), 5, -1);

    std::fs::write(c.dir.join("mapped"), pattern(9000)).unwrap();
    let path = c.path("mapped");
    let fd = raw!(SYS_open, path.as_ptr(), libc::O_RDWR, 0);
    let at = call!(c, "mmap: a file", SYS_mmap, 0, 5000, PROT_READ, MAP_SHARED, fd, 4096);
    assert!(at > 0);
    let (size, rss) = sizes();
    ev!(c, SYSCALL_MMAP_X, at, size, around(rss), swap(), 0, 5000, 1, 1, fd, 4096);
    let r = call!(c, "mprotect", SYS_mprotect, at, 4096, PROT_READ | PROT_WRITE);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_MPROTECT_X, 0, at, 4096, 3);
    raw!(SYS_munmap, at, 8192);
    close(fd);
    let r = call!(c, "mprotect: fails", SYS_mprotect, -1, i64::MAX, 0x0300_001F);
    ev!(c, SYSCALL_MPROTECT_X, r, -1, i64::MAX, 16 | 32 | 64 | 15);
    let r = call!(c, "mmap: fails", SYS_mmap, -1, 0, 0x1F, 0x7F_FFFC, BAD_FD, 0x1_2345_6000_i64);
    assert!(r < 0);
    let (size, rss) = sizes();
    let flags = 4 | 8 | 16 | 64 | 128 | 256 | 512 | 1024 | 2048 | 4096 | 16384;
    ev!(c, SYSCALL_MMAP_X, r, size, around(rss), swap(), -1, 0, 15 | 64, flags, BAD_FD, 0x1_2345_6000_i64);
}

fn locks(c: &mut Ctx) {
    let memory = Scratch::new();
    let at = memory.hole() - 4096;
    let r = call!(c, "mlock", SYS_mlock, at, 4096);
    ev!(c, SYSCALL_MLOCK_X, r, at, 4096);
    let r = call!(c, "munlock", SYS_munlock, at, 4096);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_MUNLOCK_X, 0, at, 4096);
    let r = call!(c, "mlock2", SYS_mlock2, at, 100, 1);
    ev!(c, SYSCALL_MLOCK2_X, r, at, 100, 1);
    let r = call!(c, "mlock2: fails", SYS_mlock2, at, 100, 0xFE);
    ev!(c, SYSCALL_MLOCK2_X, r, at, 100, 0);
    for (a, b) in [(8192, 4096), (i64::MAX, 1)] {
        let r = call!(c, "mlock: fails", SYS_mlock, a, b);
        assert!(r < 0);
        ev!(c, SYSCALL_MLOCK_X, r, a, b);
        let r = call!(c, "munlock: fails", SYS_munlock, a, b);
        ev!(c, SYSCALL_MUNLOCK_X, r, a, b);
    }
    for (flags, mapped) in [(2, 2), (4 | 2, 6), (0, 0), (0x78, 0)] {
        let r = call!(c, format!("mlockall {flags}"), SYS_mlockall, flags);
        ev!(c, SYSCALL_MLOCKALL_X, r, mapped);
    }
    let r = call!(c, "munlockall", SYS_munlockall);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_MUNLOCKALL_X, 0);
}

/// Reading and writing the memory of (this) process: only the own side's data is kept, and only of success.
fn others(c: &mut Ctx) {
    let me = c.tid();
    let snap = c.snaplen;
    let far = pattern(300);
    let mut near = vec![1_u8; 300];
    let remote = [iov(far.as_ptr() as i64, 300)];
    let local = [iov(near.as_mut_ptr() as i64, 40), iov(near.as_mut_ptr() as i64 + 40, 260)];
    let r = call!(c, "process_vm_readv", SYS_process_vm_readv, me, local.as_ptr(), 2, remote.as_ptr(), 1, 0);
    assert_eq!(r, 300);
    ev!(c, SYSCALL_PROCESS_VM_READV_X, r, me, &far[..snap]);
    let mut target = vec![0_u8; 60];
    let into = [iov(target.as_mut_ptr() as i64, 60)];
    let r = call!(c, "process_vm_writev", SYS_process_vm_writev, me, local.as_ptr(), 2, into.as_ptr(), 1, 0);
    assert_eq!(r, 60);
    ev!(c, SYSCALL_PROCESS_VM_WRITEV_X, r, me, &far[..60]);
    // Upstream stores the whole register as the pid; here it is the int that it is.
    let r = call!(c, "process_vm_readv: fails", SYS_process_vm_readv, -1, local.as_ptr(), 2, remote.as_ptr(), 1, 0);
    ev!(c, SYSCALL_PROCESS_VM_READV_X, r, -1, EMPTY);
    let r = call!(
        c,
        "process_vm_writev: fails",
        SYS_process_vm_writev,
        0xFFFF_FFF0_u32,
        local.as_ptr(),
        2,
        remote.as_ptr(),
        1,
        0
    );
    ev!(c, SYSCALL_PROCESS_VM_WRITEV_X, r, -16, EMPTY);
    let r = call!(c, "process_vm_readv: nothing", SYS_process_vm_readv, me, local.as_ptr(), 0, remote.as_ptr(), 1, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_PROCESS_VM_READV_X, 0, me, EMPTY);
}

fn futex(c: &mut Ctx) {
    let word = 5_u32;
    let p = &raw const word;
    for (op, val, mapped) in [
        (1, 1, 1),
        (0x81, 0x7FFF_FFFF, 0x81),
        (0, 6, 0),
        (0x180, 6, 0x180),
        (10, 0, 10),
        (3, 0, 3),
        (0x7F, 1, 0),
        (0x1FF, 2, 0x180),
    ] {
        let r = call!(c, format!("futex {op:#x}"), SYS_futex, p, op, val, 0, 0, 0);
        ev!(c, SYSCALL_FUTEX_X, r, p as i64, mapped, val);
    }
    let r = call!(c, "futex: fails", SYS_futex, 3, 0x89, -1, 0, 0, 0);
    ev!(c, SYSCALL_FUTEX_X, r, 3, 0x89, Check::Int(-1));
}
