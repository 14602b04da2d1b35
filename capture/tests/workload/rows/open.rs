//! open, creat, openat, openat2, open_by_handle_at, and the enter events of those that have one.

use super::{
    CString, Check, Ctx, EBADF, EFAULT, EINVAL, EMPTY, ENOENT, Scratch, close, dev_ino, dev_ino_fd, id, sys, text,
};

const CREATED: u32 = 16384;

pub fn rows(c: &mut Ctx) {
    open(c);
    names(c);
    creat(c);
    openat(c);
    openat2(c);
    by_handle(c);
}

/// A call of open, with what both events have.
fn one(c: &mut Ctx, name: &str, path: &CString, flags: i32, mode: u32, mapped: u32, mapped_mode: u32) -> i64 {
    let fd = call!(c, name, SYS_open, path.as_ptr(), flags, mode);
    ev!(c, SYSCALL_OPEN_E, path, mapped, mapped_mode);
    fd
}

fn open(c: &mut Ctx) {
    use libc::{
        O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_DSYNC, O_EXCL, O_NOATIME, O_NOFOLLOW, O_NONBLOCK, O_PATH,
        O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY,
    };
    let new = c.path("opened");
    let fd = one(c, "open: creates", &new, O_RDWR | O_CREAT | O_EXCL, 0o4751, 3 | 4 | 32, 0o4751);
    let (dev, ino) = dev_ino(&new);
    assert!(fd > 0);
    ev!(c, SYSCALL_OPEN_X, fd, &new, 3 | 4 | 32 | CREATED, 0o4751, dev, ino);
    close(fd);

    let flags = O_WRONLY | O_APPEND | O_CLOEXEC | O_CREAT | O_TRUNC | O_NONBLOCK | O_DSYNC;
    let mapped = 2 | 8 | 4096 | 4 | 256 | 64 | 16 | 128;
    let fd = one(c, "open: is there already, many flags", &new, flags, 0o644, mapped, 0o644);
    ev!(c, SYSCALL_OPEN_X, fd, &new, mapped, 0o644, dev, ino);
    close(fd);

    let here = text(".");
    let mapped = 1 | 1024 | 8192;
    let fd = one(c, "open: O_DIRECTORY counts as O_TMPFILE too", &here, O_DIRECTORY, 0o700, mapped, 0o700);
    let (dev, ino) = dev_ino_fd(fd);
    ev!(c, SYSCALL_OPEN_X, fd, &here, mapped, 0o700, dev, ino);
    close(fd);

    let mapped = 3 | 1024 | 8192;
    let fd = one(c, "open: O_TMPFILE", &here, O_RDWR | O_TMPFILE, 0, mapped, 0);
    if fd < 0 {
        ev!(c, SYSCALL_OPEN_X, fd, &here, mapped, 0, 0, 0);
    } else {
        let (dev, ino) = dev_ino_fd(fd);
        ev!(c, SYSCALL_OPEN_X, fd, &here, mapped, 0, dev, ino);
        close(fd);
    }

    let gone = c.path("no such file");
    let r = one(c, "open: ENOENT; mode without O_CREAT is 0", &gone, O_RDONLY, 0o777, 1, 0);
    assert_eq!(r, ENOENT);
    ev!(c, SYSCALL_OPEN_X, r, &gone, 1, 0, 0, 0);

    let r = one(
        c,
        "open: access mode 3 is read; O_PATH, O_NOFOLLOW, O_NOATIME are lost",
        &gone,
        3 | O_PATH | O_NOFOLLOW | O_NOATIME,
        0,
        1,
        0,
    );
    ev!(c, SYSCALL_OPEN_X, r, &gone, 1, 0, 0, 0);

    // Descriptor 0 has a device and an inode too (upstream leaves them out).
    let stdin = raw!(SYS_fcntl, 0, libc::F_DUPFD, 800);
    close(0);
    let fd = one(c, "open: descriptor 0", &new, O_RDONLY, 0, 1, 0);
    let (dev, ino) = dev_ino(&new);
    assert_eq!(fd, 0);
    ev!(c, SYSCALL_OPEN_X, fd, &new, 1, 0, dev, ino);
    close(0);
    if stdin >= 0 {
        raw!(SYS_dup2, stdin, 0);
        close(stdin);
    }

    // The registers' upper halves are no part of an int: -100 for the directory is, whatever is above it.
    let r =
        call!(c, "openat: garbage above the int", SYS_openat, 0x1234_5678_FFFF_FF9C_u64 as i64, gone.as_ptr(), 0, 0);
    ev!(c, SYSCALL_OPENAT_2_E, -100, &gone, 1, 0);
    ev!(c, SYSCALL_OPENAT_2_X, r, -100, &gone, 1, 0, 0, 0);
}

/// Strings: empty, unreadable, at the limit, over it, not UTF-8.
fn names(c: &mut Ctx) {
    let hole = Scratch::new();
    for (name, pointer) in [
        ("NULL", 0),
        ("unreadable", hole.hole()),
        ("in the kernel", 0xFFFF_8880_0000_0000_u64 as i64),
        ("not canonical", 0x0100_0000_0000_0000),
    ] {
        let r = call!(c, format!("open: the path's pointer is {name}"), SYS_open, pointer, 0, 0);
        assert_eq!(r, EFAULT);
        ev!(c, SYSCALL_OPEN_E, EMPTY, 1, 0);
        ev!(c, SYSCALL_OPEN_X, r, EMPTY, 1, 0, 0, 0);
    }
    let empty = text("");
    let r = one(c, "open: an empty path is one byte", &empty, 0, 0, 1, 0);
    ev!(c, SYSCALL_OPEN_X, r, &empty, 1, 0, 0, 0);

    let edge = hole.at_end(b"at the edge\0");
    let r = call!(c, "open: a path up to the end of its page", SYS_open, edge, 0, 0);
    ev!(c, SYSCALL_OPEN_E, c"at the edge", 1, 0);
    ev!(c, SYSCALL_OPEN_X, r, c"at the edge", 1, 0, 0, 0);

    // The NUL lies where nothing can be read: there is no string.
    let edge = hole.at_end(b"no end");
    let r = call!(c, "open: a path without an end", SYS_open, edge, 0, 0);
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_OPEN_E, EMPTY, 1, 0);
    ev!(c, SYSCALL_OPEN_X, r, EMPTY, 1, 0, 0, 0);

    for len in [4094, 4095, 4096, 5000, 9000] {
        let long = text(vec![b'x'; len]);
        let mut cut = vec![b'x'; len.min(4095)];
        cut.push(0);
        let r = call!(c, format!("open: a path of {len} bytes"), SYS_open, long.as_ptr(), 0, 0);
        ev!(c, SYSCALL_OPEN_E, cut.clone(), 1, 0);
        ev!(c, SYSCALL_OPEN_X, r, cut, 1, 0, 0, 0);
    }

    let odd = c.path(b"\xFF\xFE \n\x1B\xC3\x28");
    let fd = one(c, "open: a name that is not UTF-8", &odd, libc::O_CREAT | libc::O_WRONLY, 0o600, 2 | 4, 0o600);
    let (dev, ino) = dev_ino(&odd);
    ev!(c, SYSCALL_OPEN_X, fd, &odd, 2 | 4 | CREATED, 0o600, dev, ino);
    close(fd);
}

fn creat(c: &mut Ctx) {
    let new = c.path("created");
    let fd = call!(c, "creat", SYS_creat, new.as_ptr(), 0o700);
    let (dev, ino) = dev_ino(&new);
    ev!(c, SYSCALL_CREAT_E, &new, 0o700);
    ev!(c, SYSCALL_CREAT_X, fd, &new, 0o700, dev, ino, 0);
    close(fd);
    let gone = c.path("none/created");
    let r = call!(c, "creat: fails; bits beyond the permissions are lost", SYS_creat, gone.as_ptr(), 0o173_705);
    assert_eq!(r, ENOENT);
    ev!(c, SYSCALL_CREAT_E, &gone, 0o3705);
    ev!(c, SYSCALL_CREAT_X, r, &gone, 0o3705, 0, 0, 0);
    let r = call!(c, "creat: NULL", SYS_creat, 0, 0o1);
    ev!(c, SYSCALL_CREAT_E, EMPTY, 1);
    ev!(c, SYSCALL_CREAT_X, r, EMPTY, 1, 0, 0, 0);
}

fn openat(c: &mut Ctx) {
    let dir = raw!(SYS_open, c.path("").as_ptr(), libc::O_PATH, 0);
    let name = text("by openat");
    let fd =
        call!(c, "openat: relative to a folder", SYS_openat, dir, name.as_ptr(), libc::O_CREAT | libc::O_SYNC, 0o640);
    let (dev, ino) = dev_ino_fd(fd);
    ev!(c, SYSCALL_OPENAT_2_E, dir, &name, 1 | 4 | 16 | 128, 0o640);
    ev!(c, SYSCALL_OPENAT_2_X, fd, dir, &name, 1 | 4 | 16 | 128 | CREATED, 0o640, dev, ino);
    close(fd);
    let full = c.path("by openat");
    let fd = call!(
        c,
        "openat: an absolute path, from a folder that is not there",
        SYS_openat,
        -5,
        full.as_ptr(),
        libc::O_RDWR | libc::O_LARGEFILE,
        0
    );
    // x86_64: the C library's O_LARGEFILE is 0; the kernel's is 0o100000.
    ev!(c, SYSCALL_OPENAT_2_E, -5, &full, 3, 0);
    ev!(c, SYSCALL_OPENAT_2_X, fd, -5, &full, 3, 0, dev, ino);
    close(fd);
    let r = call!(c, "openat: a bad folder; O_LARGEFILE", SYS_openat, 999, name.as_ptr(), 0o100_000, 0);
    assert_eq!(r, EBADF);
    ev!(c, SYSCALL_OPENAT_2_E, 999, &name, 1 | 2048, 0);
    ev!(c, SYSCALL_OPENAT_2_X, r, 999, &name, 1 | 2048, 0, 0, 0);
    let r = call!(c, "openat: NULL", SYS_openat, libc::AT_FDCWD, 0, libc::O_DIRECT, 0);
    ev!(c, SYSCALL_OPENAT_2_E, -100, EMPTY, 1 | 512, 0);
    ev!(c, SYSCALL_OPENAT_2_X, r, -100, EMPTY, 1 | 512, 0, 0, 0);
    close(dir);
}

fn openat2(c: &mut Ctx) {
    let name = text("by openat2");
    let how: [u64; 3] = [(libc::O_RDWR | libc::O_CREAT) as u64, 0o606, 8 | 2];
    let fd = call!(c, "openat2: creates", SYS_openat2, libc::AT_FDCWD, name.as_ptr(), how.as_ptr(), 24);
    let (dev, ino) = dev_ino_fd(fd);
    ev!(c, SYSCALL_OPENAT2_E, -100, &name, 3 | 4, 0o606, 1 | 4);
    ev!(c, SYSCALL_OPENAT2_X, fd, -100, &name, 3 | 4 | CREATED, 0o606, 1 | 4, dev, ino);
    close(fd);
    for (bit, mapped) in [(1, 16), (2, 4), (4, 8), (8, 1), (16, 2), (32, 32), (64, 0)] {
        let how: [u64; 3] = [0, 0, bit];
        let r = call!(
            c,
            format!("openat2: resolve {bit}, the structure's size is wrong"),
            SYS_openat2,
            -7,
            name.as_ptr(),
            how.as_ptr(),
            5
        );
        assert_eq!(r, EINVAL);
        ev!(c, SYSCALL_OPENAT2_E, -7, &name, 1, 0, mapped);
        ev!(c, SYSCALL_OPENAT2_X, r, -7, &name, 1, 0, mapped, 0, 0);
    }
    let hole = Scratch::new();
    for pointer in [0, hole.hole()] {
        let r = call!(c, "openat2: an unreadable structure", SYS_openat2, -100, name.as_ptr(), pointer, 24);
        assert_eq!(r, EFAULT);
        ev!(c, SYSCALL_OPENAT2_E, -100, &name, 1, 0, 0);
        ev!(c, SYSCALL_OPENAT2_X, r, -100, &name, 1, 0, 0, 0, 0);
    }
    let r = call!(c, "openat2: NULL", SYS_openat2, -100, 0, how.as_ptr(), 24);
    ev!(c, SYSCALL_OPENAT2_E, -100, EMPTY, 3 | 4, 0o606, 1 | 4);
    ev!(c, SYSCALL_OPENAT2_X, r, -100, EMPTY, 3 | 4, 0o606, 1 | 4, 0, 0);
}

/// A handle as `name_to_handle_at` gives it: its size, type and bytes.
#[repr(C)]
pub struct Handle {
    pub bytes: u32,
    pub kind: i32,
    pub data: [u8; 128],
}

fn by_handle(c: &mut Ctx) {
    let path = c.path("opened");
    let mut handle = Handle { bytes: 128, kind: 0, data: [0; 128] };
    let mut mount = 0_i32;
    let r = raw!(SYS_name_to_handle_at, -100, path.as_ptr(), &raw mut handle, &raw mut mount, 0);
    if r == 0 {
        let real = std::fs::canonicalize(&c.dir).unwrap().join("opened");
        let real = text(std::os::unix::ffi::OsStrExt::as_bytes(real.as_os_str()));
        let (dev, ino) = dev_ino(&path);
        let fd = call!(
            c,
            "open_by_handle_at",
            SYS_open_by_handle_at,
            -100,
            &raw const handle,
            libc::O_RDWR | libc::O_CLOEXEC
        );
        if fd > 0 {
            ev!(c, SYSCALL_OPEN_BY_HANDLE_AT_X, fd, -100, 3 | 4096, &real, dev, ino);
            close(fd);
        } else {
            ev!(c, SYSCALL_OPEN_BY_HANDLE_AT_X, fd, -100, 3 | 4096, EMPTY, 0, 0);
            c.skip("open_by_handle_at cannot succeed here");
        }
    } else {
        c.skip("the test's folder gives no handles (name_to_handle_at): open_by_handle_at only fails");
    }
    let r = call!(c, "open_by_handle_at: fails", SYS_open_by_handle_at, 999, &raw const handle, libc::O_WRONLY);
    assert!(r < 0);
    ev!(c, SYSCALL_OPEN_BY_HANDLE_AT_X, r, 999, 2, EMPTY, 0, 0);
    let r = call!(c, "open_by_handle_at: NULL", SYS_open_by_handle_at, -100, 0, libc::O_APPEND);
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_OPEN_BY_HANDLE_AT_X, r, -100, 1 | 8, EMPTY, 0, 0);
}
