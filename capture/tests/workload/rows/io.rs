//! read, write and their kin: what of the data is kept.

use super::{BAD_FD, Check, Ctx, EBADF, EFAULT, EMPTY, Scratch, close, id, pattern, sys, text};

pub fn rows(c: &mut Ctx) {
    reads(c);
    writes(c);
    vectors(c);
    positions(c);
}

fn reads(c: &mut Ctx) {
    let data = pattern(5000);
    std::fs::write(c.dir.join("data"), &data).unwrap();
    let path = c.path("data");
    let fd = raw!(SYS_open, path.as_ptr(), libc::O_RDWR, 0);
    let mut buf = vec![0_u8; 6000];
    let b = buf.as_mut_ptr();
    let snap = c.snaplen;
    for (want, size) in [(10, 10), (snap, snap), (snap + 1, snap + 1), (4000, 4000), (5000 - 4011 - 2 * snap, 6000)] {
        let at = raw!(SYS_lseek, fd, 0, 1) as usize;
        let r = call!(c, format!("read: {size} bytes"), SYS_read, fd, b, size);
        assert_eq!(r, want as i64);
        ev!(c, SYSCALL_READ_X, r, &data[at..at + want.min(snap)], fd, size);
    }
    let r = call!(c, "read: the end of the file", SYS_read, fd, b, 100);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_READ_X, 0, EMPTY, fd, 100);
    let r = call!(c, "read: EBADF; the size is cut to 32 bits", SYS_read, BAD_FD, b, 0x5_0000_0010_i64);
    assert_eq!(r, EBADF);
    ev!(c, SYSCALL_READ_X, r, EMPTY, BAD_FD, 16);
    let r = call!(c, "read: a descriptor of garbage bits", SYS_read, 0x7FFF_0000_8000_0001_i64, b, 5);
    ev!(c, SYSCALL_READ_X, r, EMPTY, 0xFFFF_FFFF_8000_0001_u64, 5);
    raw!(SYS_lseek, fd, 0, 0);
    let hole = Scratch::new();
    let r = call!(c, "read: EFAULT", SYS_read, fd, hole.hole(), 5);
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_READ_X, r, EMPTY, fd, 5);
    let edge = hole.at_end(&[0; 30]);
    raw!(SYS_lseek, fd, 0, 0);
    let r = call!(c, "read: into the last bytes of a page", SYS_read, fd, edge, 30);
    assert_eq!(r, 30);
    ev!(c, SYSCALL_READ_X, r, &data[..30], fd, 30);
    close(fd);
    for (pos, at, want) in [(7, 7_usize, 20), (4999, 4999, 1), (6000, 0, 0)] {
        let fd = raw!(SYS_open, path.as_ptr(), 0, 0);
        let r = call!(c, "pread64", SYS_pread64, fd, b, 20, pos);
        assert_eq!(r, want as i64);
        ev!(c, SYSCALL_PREAD_X, r, &data[at..at + want], fd, 20, pos);
        close(fd);
    }
    let r = call!(c, "pread64: a negative place", SYS_pread64, fd, b, 20, -1);
    ev!(c, SYSCALL_PREAD_X, r, EMPTY, fd, 20, -1);
}

fn writes(c: &mut Ctx) {
    let data = pattern(3000);
    let path = c.path("written");
    let fd = raw!(SYS_open, path.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600);
    let snap = c.snaplen;
    for size in [1, 10, snap, snap + 1, 3000] {
        let r = call!(c, format!("write: {size} bytes"), SYS_write, fd, data.as_ptr(), size);
        assert_eq!(r, size as i64);
        ev!(c, SYSCALL_WRITE_X, r, &data[..size.min(snap)], fd, size);
        let r = call!(c, format!("write: {size} bytes, EBADF"), SYS_write, BAD_FD, data.as_ptr(), size);
        assert_eq!(r, EBADF);
        ev!(c, SYSCALL_WRITE_X, r, &data[..size.min(snap)], BAD_FD, size);
        let r = call!(c, "pwrite64", SYS_pwrite64, fd, data.as_ptr(), size, 5);
        ev!(c, SYSCALL_PWRITE_X, r, &data[..size.min(snap)], fd, size, 5);
    }
    let r = call!(c, "pwrite64: a negative place", SYS_pwrite64, fd, data.as_ptr(), 4, -9);
    ev!(c, SYSCALL_PWRITE_X, r, &data[..4], fd, 4, -9);
    let r = call!(c, "write: nothing", SYS_write, fd, data.as_ptr(), 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_WRITE_X, 0, EMPTY, fd, 0);
    let r = call!(c, "write: NULL", SYS_write, fd, 0, 9);
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_WRITE_X, r, EMPTY, fd, 9);
    let hole = Scratch::new();
    // All or nothing: 50 of the bytes could be read, but not all that are wanted.
    let edge = hole.at_end(&data[..50]);
    let r = call!(c, "write: partly unreadable, fails", SYS_write, -1, edge, 70);
    ev!(c, SYSCALL_WRITE_X, r, EMPTY, -1, 70);
    // The kernel writes what it can read, and the bytes that it wrote are kept.
    let r = call!(c, "write: partly unreadable, short", SYS_write, fd, edge, 70);
    if r == 50 {
        ev!(c, SYSCALL_WRITE_X, r, &data[..50], fd, 70);
    } else {
        ev!(c, SYSCALL_WRITE_X, r, EMPTY, fd, 70);
    }
    close(fd);
}

/// An `iovec`.
pub fn iov(address: i64, len: usize) -> [i64; 2] {
    [address, len as i64]
}

fn vectors(c: &mut Ctx) {
    let data = pattern(70_000);
    let d = data.as_ptr() as i64;
    let snap = c.snaplen;
    let path = c.path("vectors");
    let fd = raw!(SYS_open, path.as_ptr(), libc::O_RDWR | libc::O_CREAT, 0o600);
    let hole = Scratch::new();

    let two = [iov(d, 20), iov(d + 100, 30)];
    let joined = [&data[..20], &data[100..130]].concat();
    let r = call!(c, "writev", SYS_writev, fd, two.as_ptr(), 2);
    assert_eq!(r, 50);
    ev!(c, SYSCALL_WRITEV_X, r, &joined[..], fd, 50);
    let r = call!(c, "writev: EBADF, data all the same", SYS_writev, BAD_FD, two.as_ptr(), 2);
    ev!(c, SYSCALL_WRITEV_X, r, &joined[..], BAD_FD, 50);
    let r = call!(c, "pwritev", SYS_pwritev, fd, two.as_ptr(), 2, 11, 0);
    ev!(c, SYSCALL_PWRITEV_X, r, &joined[..], fd, 50, 11);
    let r = call!(c, "pwritev: EBADF", SYS_pwritev, -1, two.as_ptr(), 2, -2, -1);
    ev!(c, SYSCALL_PWRITEV_X, r, &joined[..], -1, 50, -2);

    let long = [iov(d, 50), iov(d + 200, 60_000)];
    let cut = [&data[..50], &data[200..200 + snap.saturating_sub(50)]].concat();
    let r = call!(c, "writev: cut", SYS_writev, fd, long.as_ptr(), 2);
    assert_eq!(r, 60_050);
    ev!(c, SYSCALL_WRITEV_X, r, &cut[..snap], fd, 60_050);
    // Over 16 bits: upstream takes lengths modulo 65536.
    for len in [65_536, 65_546, 70_000] {
        let one = [iov(d, len)];
        let r = call!(c, format!("writev: an entry of {len}"), SYS_writev, fd, one.as_ptr(), 1);
        ev!(c, SYSCALL_WRITEV_X, r, &data[..snap], fd, len);
    }
    // An entry that cannot be read ends the data, not the size. One of length 0 does not (upstream: it does;
    // bpf/DEVIATIONS.md).
    let gap = [iov(d, 5), iov(d, 0), iov(d, 5)];
    let r = call!(c, "writev: an empty entry", SYS_writev, fd, gap.as_ptr(), 3);
    ev!(c, SYSCALL_WRITEV_X, r, [&data[..5], &data[..5]].concat(), fd, 10);
    let bad = [iov(d, 5), iov(hole.hole(), 5), iov(d, 5)];
    let r = call!(c, "writev: an entry that cannot be read", SYS_writev, -1, bad.as_ptr(), 3);
    ev!(c, SYSCALL_WRITEV_X, r, &data[..5], -1, 15);
    let many: Vec<[i64; 2]> = (0..40).map(|i| iov(d + i, 1)).collect();
    let r = call!(c, "writev: 40 entries, of which 32 count", SYS_writev, fd, many.as_ptr(), 40);
    assert_eq!(r, 40);
    ev!(c, SYSCALL_WRITEV_X, r, &data[..32], fd, 32);
    for (pointer, count, name) in [(0, 2, "NULL"), (hole.hole(), 1, "unreadable")] {
        let r = call!(c, format!("writev: the array is {name}"), SYS_writev, fd, pointer, count);
        assert_eq!(r, EFAULT);
        ev!(c, SYSCALL_WRITEV_X, r, EMPTY, fd, 0);
        let r = call!(c, format!("pwritev: the array is {name}"), SYS_pwritev, fd, pointer, count, 0, 0);
        ev!(c, SYSCALL_PWRITEV_X, r, EMPTY, fd, 0, 0);
        let r = call!(c, format!("readv: the array is {name}"), SYS_readv, fd, pointer, count);
        ev!(c, SYSCALL_READV_X, r, 0, EMPTY, fd);
    }
    let r = call!(c, "writev: no entries", SYS_writev, fd, two.as_ptr(), 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_WRITEV_X, r, EMPTY, fd, 0);
    // More entries than the kernel takes (1024). The array itself is there to be read only up to the count.
    let r = call!(c, "writev: too many entries", SYS_writev, fd, two.as_ptr(), 1 << 20);
    ev!(c, SYSCALL_WRITEV_X, r, Check::Bytes(vec![]), fd, 0);
    c.forget(); // what is read of an array of which only the first entries are there is the probe's own affair
    close(fd);
}

fn positions(c: &mut Ctx) {
    let data = pattern(500);
    std::fs::write(c.dir.join("positions"), &data).unwrap();
    let path = text("positions");
    let fd = raw!(SYS_open, path.as_ptr(), 0, 0);
    let (mut a, mut b) = (vec![0_u8; 30], vec![0_u8; 200]);
    let (pa, pb) = (a.as_mut_ptr() as i64, b.as_mut_ptr() as i64);
    let snap = c.snaplen;
    let two = [iov(pa, 30), iov(pb, 200)];
    let r = call!(c, "readv", SYS_readv, fd, two.as_ptr(), 2);
    assert_eq!(r, 230);
    ev!(c, SYSCALL_READV_X, r, 230, &data[..snap], fd);
    let r = call!(c, "preadv", SYS_preadv, fd, two.as_ptr(), 2, 450, 0);
    assert_eq!(r, 50);
    ev!(c, SYSCALL_PREADV_X, r, 50, &data[450..], fd, 450);
    let r = call!(c, "preadv: a negative place", SYS_preadv, fd, two.as_ptr(), 2, -1, -1);
    ev!(c, SYSCALL_PREADV_X, r, 0, EMPTY, fd, -1);
    let r = call!(c, "readv: fails", SYS_readv, -1, two.as_ptr(), 2);
    ev!(c, SYSCALL_READV_X, r, 0, EMPTY, -1);
    raw!(SYS_lseek, fd, 0, 2);
    let r = call!(c, "readv: the end", SYS_readv, fd, two.as_ptr(), 2);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_READV_X, 0, 0, EMPTY, fd);
    for (offset, whence, mapped) in [(5, 0, 0), (-1, 1, 1), (3, 2, 2), (0, 3, 0), (0, 4, 0), (1, 9, 0)] {
        let r = call!(c, format!("lseek: whence {whence}"), SYS_lseek, fd, offset, whence);
        ev!(c, SYSCALL_LSEEK_X, r, fd, offset, mapped);
    }
    let r = call!(c, "lseek: fails", SYS_lseek, BAD_FD, i64::MIN, 2);
    ev!(c, SYSCALL_LSEEK_X, r, BAD_FD, i64::MIN, 2);
    close(fd);
}
