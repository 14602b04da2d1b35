//! Paths and metadata: each call once with success, once with failure, once with a path that cannot be read.

use super::{BAD_FD, CString, Check, Ctx, EBADF, EFAULT, EMPTY, ENOENT, close, id, pattern, raw_dir, sys, text};

pub fn rows(c: &mut Ctx) {
    stat(c);
    one_path(c);
    links(c);
    renames(c);
    modes(c);
    owners(c);
    nodes(c);
    listings(c);
    copies(c);
}

fn stat(c: &mut Ctx) {
    let file = make(c, "statted");
    let gone = c.path("none");
    let mut buf = [0_u64; 40];
    let b = buf.as_mut_ptr();
    for (path, want) in [(&file, 0), (&gone, ENOENT)] {
        let r = call!(c, "stat", SYS_stat, path.as_ptr(), b);
        assert_eq!(r, want);
        ev!(c, SYSCALL_STAT_X, r, path);
        let r = call!(c, "lstat", SYS_lstat, path.as_ptr(), b);
        ev!(c, SYSCALL_LSTAT_X, r, path);
        let r = call!(c, "access", SYS_access, path.as_ptr(), 4 | 2);
        ev!(c, SYSCALL_ACCESS_X, r, path, 6);
        let r = call!(c, "newfstatat", SYS_newfstatat, -100, path.as_ptr(), b, 0x100 | 0x800);
        ev!(c, SYSCALL_NEWFSTATAT_X, r, -100, path, 0x900);
    }
    let r = call!(c, "stat: NULL", SYS_stat, 0, b);
    ev!(c, SYSCALL_STAT_X, r, EMPTY);
    let r = call!(c, "lstat: NULL", SYS_lstat, 0, b);
    ev!(c, SYSCALL_LSTAT_X, r, EMPTY);
    let r = call!(c, "access: NULL, unknown bits", SYS_access, 0, 0x71);
    ev!(c, SYSCALL_ACCESS_X, r, EMPTY, 1);
    let fd = raw!(SYS_open, file.as_ptr(), 0, 0);
    let r = call!(c, "fstat", SYS_fstat, fd, b);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_FSTAT_X, r, fd);
    let empty = text("");
    let r = call!(c, "newfstatat: AT_EMPTY_PATH", SYS_newfstatat, fd, empty.as_ptr(), b, 0x1000);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_NEWFSTATAT_X, r, fd, &empty, 0x1000);
    let r = call!(c, "newfstatat: bad flags", SYS_newfstatat, BAD_FD, 0, b, 0x8000_0000_u32);
    ev!(c, SYSCALL_NEWFSTATAT_X, r, BAD_FD, EMPTY, 0);
    close(fd);
    let r = call!(c, "fstat: fails", SYS_fstat, -1, b);
    assert_eq!(r, EBADF);
    ev!(c, SYSCALL_FSTAT_X, r, -1);
}

fn one_path(c: &mut Ctx) {
    let dir = c.path("folder");
    let gone = c.path("none/folder");
    let r = call!(c, "mkdir", SYS_mkdir, dir.as_ptr(), 0o1755);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_MKDIR_2_X, r, &dir, 0o1755);
    let r = call!(c, "mkdir: fails, raw mode", SYS_mkdir, gone.as_ptr(), 0x7654_3210);
    ev!(c, SYSCALL_MKDIR_2_X, r, &gone, 0x7654_3210);
    let r = call!(c, "mkdir: NULL", SYS_mkdir, 0, 0);
    ev!(c, SYSCALL_MKDIR_2_X, r, EMPTY, 0);

    let r = call!(c, "chdir", SYS_chdir, dir.as_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_CHDIR_X, r, &dir);
    let mut buf = vec![0_u8; 5000];
    let r = call!(c, "getcwd", SYS_getcwd, buf.as_mut_ptr(), buf.len());
    assert!(r > 0);
    ev!(c, SYSCALL_GETCWD_X, r, &buf[..r as usize]);
    let r = call!(c, "getcwd: too small", SYS_getcwd, buf.as_mut_ptr(), 2);
    assert_eq!(r, -34);
    ev!(c, SYSCALL_GETCWD_X, r, EMPTY);
    let r = call!(c, "chdir: fails", SYS_chdir, gone.as_ptr());
    ev!(c, SYSCALL_CHDIR_X, r, &gone);
    let r = call!(c, "chdir: NULL", SYS_chdir, 0);
    ev!(c, SYSCALL_CHDIR_X, r, EMPTY);
    let top = raw_dir(c);
    let r = call!(c, "fchdir", SYS_fchdir, top);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_FCHDIR_X, r, top);
    let r = call!(c, "fchdir: fails", SYS_fchdir, BAD_FD);
    ev!(c, SYSCALL_FCHDIR_X, r, BAD_FD);

    let sub = text("folder/sub");
    let r = call!(c, "mkdirat", SYS_mkdirat, top, sub.as_ptr(), 0o700);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_MKDIRAT_X, r, top, &sub, 0o700);
    let r = call!(c, "mkdirat: is there", SYS_mkdirat, -100, sub.as_ptr(), 0o77777);
    assert_eq!(r, -17);
    ev!(c, SYSCALL_MKDIRAT_X, r, -100, &sub, 0o77777);
    let r = call!(c, "mkdirat: NULL", SYS_mkdirat, BAD_FD, 0, 1);
    ev!(c, SYSCALL_MKDIRAT_X, r, BAD_FD, EMPTY, 1);

    let r = call!(c, "unlinkat: a folder", SYS_unlinkat, top, sub.as_ptr(), 0x200);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_UNLINKAT_2_X, r, top, &sub, 0x200);
    let r = call!(c, "unlinkat: bad flags", SYS_unlinkat, -100, sub.as_ptr(), 0x1000);
    ev!(c, SYSCALL_UNLINKAT_2_X, r, -100, &sub, 0);
    let r = call!(c, "unlinkat: NULL", SYS_unlinkat, BAD_FD, 0, 0);
    ev!(c, SYSCALL_UNLINKAT_2_X, r, BAD_FD, EMPTY, 0);
    let r = call!(c, "rmdir", SYS_rmdir, dir.as_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_RMDIR_2_X, r, &dir);
    let r = call!(c, "rmdir: fails", SYS_rmdir, dir.as_ptr());
    assert_eq!(r, ENOENT);
    ev!(c, SYSCALL_RMDIR_2_X, r, &dir);
    let r = call!(c, "rmdir: NULL", SYS_rmdir, 0);
    ev!(c, SYSCALL_RMDIR_2_X, r, EMPTY);
    let file = make(c, "unlinked");
    for want in [0, ENOENT] {
        let r = call!(c, "unlink", SYS_unlink, file.as_ptr());
        assert_eq!(r, want);
        ev!(c, SYSCALL_UNLINK_2_X, r, &file);
    }
    let r = call!(c, "unlink: NULL", SYS_unlink, 0);
    ev!(c, SYSCALL_UNLINK_2_X, r, EMPTY);
    close(top);
}

fn links(c: &mut Ctx) {
    let (file, a, b) = (make(c, "linked"), c.path("link a"), text("link b"));
    let top = raw_dir(c);
    let r = call!(c, "link", SYS_link, file.as_ptr(), a.as_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_LINK_2_X, r, &file, &a);
    let r = call!(c, "link: fails", SYS_link, 0, a.as_ptr());
    ev!(c, SYSCALL_LINK_2_X, r, EMPTY, &a);
    let r = call!(c, "link: NULL", SYS_link, file.as_ptr(), 0);
    ev!(c, SYSCALL_LINK_2_X, r, &file, EMPTY);
    let r = call!(c, "linkat", SYS_linkat, -100, file.as_ptr(), top, b.as_ptr(), 0x400);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_LINKAT_2_X, r, -100, &file, top, &b, 0x400);
    let r = call!(c, "linkat: bad folder, all flags", SYS_linkat, BAD_FD, b.as_ptr(), -1, 0, 0xFFFF_FFFF_u32);
    ev!(c, SYSCALL_LINKAT_2_X, r, BAD_FD, &b, -1, EMPTY, 0x1400);
    let (s, t) = (c.path("symlink"), text("target \u{e4} that is not there"));
    let r = call!(c, "symlink", SYS_symlink, t.as_ptr(), s.as_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SYMLINK_X, r, &t, &s);
    let r = call!(c, "symlink: is there", SYS_symlink, t.as_ptr(), s.as_ptr());
    ev!(c, SYSCALL_SYMLINK_X, r, &t, &s);
    let r = call!(c, "symlink: NULL", SYS_symlink, 0, 0);
    ev!(c, SYSCALL_SYMLINK_X, r, EMPTY, EMPTY);
    let s2 = text("symlink 2");
    let r = call!(c, "symlinkat", SYS_symlinkat, t.as_ptr(), top, s2.as_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_SYMLINKAT_X, r, &t, top, &s2);
    let empty = text("");
    let r = call!(c, "symlinkat: fails", SYS_symlinkat, empty.as_ptr(), BAD_FD, s2.as_ptr());
    ev!(c, SYSCALL_SYMLINKAT_X, r, &empty, BAD_FD, &s2);
    close(top);
}

fn renames(c: &mut Ctx) {
    let (a, b) = (make(c, "old name"), c.path("new name"));
    let (la, lb) = (text("old name"), text("new name"));
    let top = raw_dir(c);
    let r = call!(c, "rename", SYS_rename, a.as_ptr(), b.as_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_RENAME_X, r, &a, &b);
    let r = call!(c, "rename: fails", SYS_rename, a.as_ptr(), b.as_ptr());
    assert_eq!(r, ENOENT);
    ev!(c, SYSCALL_RENAME_X, r, &a, &b);
    let r = call!(c, "rename: NULL", SYS_rename, 0, b.as_ptr());
    ev!(c, SYSCALL_RENAME_X, r, EMPTY, &b);
    let r = call!(c, "renameat", SYS_renameat, top, lb.as_ptr(), -100, a.as_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_RENAMEAT_X, r, top, &lb, -100, &a);
    let r = call!(c, "renameat: fails", SYS_renameat, BAD_FD, lb.as_ptr(), -3, 0);
    ev!(c, SYSCALL_RENAMEAT_X, r, BAD_FD, &lb, -3, EMPTY);
    let r = call!(c, "renameat2", SYS_renameat2, -100, a.as_ptr(), top, lb.as_ptr(), 1);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_RENAMEAT2_X, r, -100, &a, top, &lb, 1);
    let r = call!(c, "renameat2: raw flags", SYS_renameat2, -1, la.as_ptr(), -2, la.as_ptr(), 0x8765_4321_u32);
    ev!(c, SYSCALL_RENAMEAT2_X, r, -1, &la, -2, &la, 0x8765_4321_u32);
    close(top);
}

fn modes(c: &mut Ctx) {
    let file = make(c, "modes");
    let fd = raw!(SYS_open, file.as_ptr(), 0, 0);
    let r = call!(c, "chmod", SYS_chmod, file.as_ptr(), 0o6754);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_CHMOD_X, r, &file, 0o6754);
    let r = call!(c, "chmod: NULL, bits beyond", SYS_chmod, 0, 0xFFFF_F001_u32);
    ev!(c, SYSCALL_CHMOD_X, r, EMPTY, 1);
    let r = call!(c, "fchmod", SYS_fchmod, fd, 0o1644);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_FCHMOD_X, r, fd, 0o1644);
    let r = call!(c, "fchmod: fails", SYS_fchmod, -1, 0xFFFF);
    ev!(c, SYSCALL_FCHMOD_X, r, -1, 0o7777);
    let r = call!(c, "fchmodat", SYS_fchmodat, -100, file.as_ptr(), 0o600);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_FCHMODAT_X, r, -100, &file, 0o600);
    let gone = text("none");
    let r = call!(c, "fchmodat: fails", SYS_fchmodat, BAD_FD, gone.as_ptr(), 0o100_755);
    ev!(c, SYSCALL_FCHMODAT_X, r, BAD_FD, &gone, 0o755);
    let r = call!(c, "flock", SYS_flock, fd, 2 | 4);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_FLOCK_X, r, fd, 6);
    let r = call!(c, "flock: fails", SYS_flock, -1, 0xFF);
    ev!(c, SYSCALL_FLOCK_X, r, -1, 15);
    close(fd);
}

fn owners(c: &mut Ctx) {
    let file = make(c, "owned");
    let gone = c.path("none");
    let fd = raw!(SYS_open, file.as_ptr(), 0, 0);
    let (u, g, max) = (12_345_u32, 54_321_u32, u32::MAX);
    for (path, want) in [(&file, 0), (&gone, ENOENT)] {
        let r = call!(c, "chown", SYS_chown, path.as_ptr(), u, max);
        assert_eq!(r, want);
        ev!(c, SYSCALL_CHOWN_X, r, path, u, max);
        let r = call!(c, "lchown", SYS_lchown, path.as_ptr(), max, g);
        ev!(c, SYSCALL_LCHOWN_X, r, path, max, g);
        let r = call!(c, "fchownat", SYS_fchownat, -100, path.as_ptr(), u, g, 0x100);
        ev!(c, SYSCALL_FCHOWNAT_X, r, -100, path, u, g, 0);
    }
    let r = call!(c, "chown: NULL", SYS_chown, 0, 0, 0);
    ev!(c, SYSCALL_CHOWN_X, r, EMPTY, 0, 0);
    let r = call!(c, "lchown: NULL", SYS_lchown, 0, 0, 0);
    ev!(c, SYSCALL_LCHOWN_X, r, EMPTY, 0, 0);
    let empty = text("");
    let r = call!(c, "fchownat: AT_EMPTY_PATH", SYS_fchownat, fd, empty.as_ptr(), 0, 0, 0x1000);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_FCHOWNAT_X, r, fd, &empty, 0, 0, 0x1000);
    let r = call!(c, "fchownat: all flags", SYS_fchownat, BAD_FD, 0, max, max, max);
    ev!(c, SYSCALL_FCHOWNAT_X, r, BAD_FD, EMPTY, max, max, 0x1400);
    let r = call!(c, "fchown", SYS_fchown, fd, u, g);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_FCHOWN_X, r, fd, u, g);
    let r = call!(c, "fchown: fails", SYS_fchown, -1, max, 0);
    assert_eq!(r, EBADF);
    ev!(c, SYSCALL_FCHOWN_X, r, -1, max, 0);
    close(fd);
}

fn nodes(c: &mut Ctx) {
    let fifo = c.path("fifo");
    let r = call!(c, "mknod: a fifo", SYS_mknod, fifo.as_ptr(), 0o010_640, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_MKNOD_X, r, &fifo, 0o010_640, 0);
    // The user's number, encoded once more as if it were the kernel's (minor 61440 of it lands at the top).
    let r = call!(c, "mknod: fails, a device", SYS_mknod, fifo.as_ptr(), 0o060_600, 61_440);
    assert_eq!(r, -17);
    ev!(c, SYSCALL_MKNOD_X, r, &fifo, 0o060_600, 251_658_240);
    let r =
        call!(c, "mknod: NULL; no type is a regular file; major and minor", SYS_mknod, 0, 0o4001, (3 << 20) | 0x1_2345);
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_MKNOD_X, r, EMPTY, 0o104_001, 0x45 | 3 << 8 | 0x1_2300 << 12);
    let sock = text("socket node");
    let top = raw_dir(c);
    let r = call!(c, "mknodat: a socket", SYS_mknodat, top, sock.as_ptr(), 0o140_777, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_MKNODAT_X, r, top, &sock, 0o140_777, 0);
    for (mode, mapped) in [(0o020_001, 0o020_001), (0o100_002, 0o100_002), (0o040_004, 0o4), (0o120_004, 0o4)] {
        let r = call!(c, "mknodat: types", SYS_mknodat, BAD_FD, sock.as_ptr(), mode, 5);
        assert!(r < 0);
        ev!(c, SYSCALL_MKNODAT_X, r, BAD_FD, &sock, mapped, 5);
    }
    close(top);
}

fn listings(c: &mut Ctx) {
    let top = raw_dir(c);
    let mut buf = vec![0_u8; 512];
    let r = call!(c, "getdents", SYS_getdents, top, buf.as_mut_ptr(), buf.len());
    assert!(r > 0);
    ev!(c, SYSCALL_GETDENTS_X, r, top);
    let r = call!(c, "getdents: fails", SYS_getdents, -1, buf.as_mut_ptr(), buf.len());
    ev!(c, SYSCALL_GETDENTS_X, r, -1);
    let r = call!(c, "getdents64", SYS_getdents64, top, buf.as_mut_ptr(), buf.len());
    assert!(r > 0);
    ev!(c, SYSCALL_GETDENTS64_X, r, top);
    let r = call!(c, "getdents64: fails", SYS_getdents64, BAD_FD, buf.as_mut_ptr(), buf.len());
    ev!(c, SYSCALL_GETDENTS64_X, r, BAD_FD);
    close(top);
}

fn copies(c: &mut Ctx) {
    let (a, b) = (make(c, "copied from"), make(c, "copied to"));
    std::fs::write(c.dir.join("copied from"), pattern(1000)).unwrap();
    let (from, to) = (raw!(SYS_open, a.as_ptr(), 0, 0), raw!(SYS_open, b.as_ptr(), libc::O_WRONLY, 0));
    let (mut in_at, mut out_at) = (100_i64, 7_i64);
    let (pi, po) = (&raw mut in_at, &raw mut out_at);
    // The two pointers are stored, not what they point to.
    let r = call!(c, "copy_file_range", SYS_copy_file_range, from, pi, to, po, 300, 0);
    assert_eq!(r, 300);
    ev!(c, SYSCALL_COPY_FILE_RANGE_X, r, to, po as i64, from, pi as i64, 300);
    let r = call!(c, "copy_file_range: fails", SYS_copy_file_range, -1, 0, BAD_FD, 1, -1, 0);
    ev!(c, SYSCALL_COPY_FILE_RANGE_X, r, BAD_FD, 1, -1, 0, -1);
    let mut offset = 200_i64;
    let p = &raw mut offset;
    let r = call!(c, "sendfile: the offset after it", SYS_sendfile, to, from, p, 50);
    assert_eq!(r, 50);
    ev!(c, SYSCALL_SENDFILE_X, r, 250, to, from, 50);
    let r = call!(c, "sendfile: no offset", SYS_sendfile, to, from, 0, 10);
    assert_eq!(r, 10);
    ev!(c, SYSCALL_SENDFILE_X, r, 0, to, from, 10);
    let r = call!(c, "sendfile: fails", SYS_sendfile, -1, BAD_FD, p, 0x1_2345_6789_i64);
    ev!(c, SYSCALL_SENDFILE_X, r, 250, -1, BAD_FD, 0x1_2345_6789_i64);
    let mut pipe = [0_i32; 2];
    raw!(SYS_pipe2, pipe.as_mut_ptr(), 0);
    let r = call!(c, "splice", SYS_splice, from, 0, pipe[1], 0, 20, 1 | 4);
    assert_eq!(r, 20);
    ev!(c, SYSCALL_SPLICE_X, r, from, pipe[1], 20, 5);
    let r = call!(c, "splice: fails", SYS_splice, -1, 0, BAD_FD, 0, -1, 0xFFFA_u32);
    ev!(c, SYSCALL_SPLICE_X, r, -1, BAD_FD, -1, 10);
    for fd in [from, to, pipe[0].into(), pipe[1].into()] {
        close(fd);
    }
}

/// Makes an empty file.
fn make(c: &Ctx, name: &str) -> CString {
    std::fs::write(c.dir.join(name), "").unwrap();
    c.path(name)
}
