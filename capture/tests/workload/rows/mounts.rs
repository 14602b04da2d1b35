//! Mounts, in a mount namespace of their own; chroot; files on an overlay.

use super::exec::{LOWER, Target, UPPER, WRITABLE, pointers};
use super::open::Handle;
use super::{BAD_FD, CString, Check, Ctx, EFAULT, EMPTY, ENOENT, close, dev_ino_fd, id, sys, text, wait};
use crate::workload::report::Place;
use std::os::unix::ffi::OsStrExt;

pub fn rows(c: &mut Ctx) {
    failures(c);
    c.in_child(|c| {
        if raw!(SYS_unshare, 0x2_0000) != 0 {
            c.skip("no mount namespaces here");
            return 0;
        }
        mounts(c);
        overlay(c);
        0
    });
    c.in_child(chroot);
}

fn failures(c: &mut Ctx) {
    let (dev, dir, kind) = (text("device"), text("/none"), text("nofs"));
    // The magic number that old programs put into the upper half is taken off; nothing else is.
    for (flags, mapped) in [(0xC0ED_0025_u32, 0x25_u32), (0xC0EE_0001, 0xC0EE_0001), (0x8000_0000, 0x8000_0000)] {
        let r = call!(
            c,
            format!("mount: fails, {flags:#x}"),
            SYS_mount,
            dev.as_ptr(),
            dir.as_ptr(),
            kind.as_ptr(),
            flags,
            0
        );
        assert!(r < 0);
        ev!(c, SYSCALL_MOUNT_X, r, &dev, &dir, &kind, mapped);
    }
    let r = call!(c, "mount: NULL", SYS_mount, 0, 0, 0, 0, 0);
    ev!(c, SYSCALL_MOUNT_X, r, EMPTY, EMPTY, EMPTY, 0);
    let r = call!(c, "umount2: fails", SYS_umount2, dir.as_ptr(), 0xFF);
    assert!(r < 0);
    ev!(c, SYSCALL_UMOUNT2_X, r, &dir, 15);
    let r = call!(c, "chroot: fails", SYS_chroot, dir.as_ptr());
    assert_eq!(r, ENOENT);
    ev!(c, SYSCALL_CHROOT_X, r, &dir);
    let r = call!(c, "chroot: NULL", SYS_chroot, 0);
    assert_eq!(r, EFAULT);
    ev!(c, SYSCALL_CHROOT_X, r, EMPTY);
}

fn mounts(c: &mut Ctx) {
    let (none, root, kind) = (text("none"), text("/"), text("tmpfs"));
    let r = call!(c, "mount: private", SYS_mount, none.as_ptr(), root.as_ptr(), 0, 0x4_4000, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_MOUNT_X, 0, &none, &root, EMPTY, 0x4_4000);
    std::fs::create_dir(c.dir.join("mounted")).unwrap();
    let dir = c.path("mounted");
    let r = call!(c, "mount: tmpfs", SYS_mount, none.as_ptr(), dir.as_ptr(), kind.as_ptr(), 0xC0ED_0006_u32, 0);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_MOUNT_X, 0, &none, &dir, &kind, 6);
    by_handle(c);
    let r = call!(c, "umount2: busy", SYS_umount2, dir.as_ptr(), 4 | 8);
    ev!(c, SYSCALL_UMOUNT2_X, r, &dir, 12);
    let r = call!(c, "umount2", SYS_umount2, dir.as_ptr(), 2);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_UMOUNT2_X, 0, &dir, 2);
}

/// A path across a mount point.
fn by_handle(c: &mut Ctx) {
    std::fs::create_dir(c.dir.join("mounted/sub")).unwrap();
    std::fs::write(c.dir.join("mounted/sub/file"), "x").unwrap();
    let path = c.path("mounted/sub/file");
    let keep = raw!(SYS_open, path.as_ptr(), 0, 0);
    let mut handle = Handle { bytes: 128, kind: 0, data: [0; 128] };
    let mut mount = 0_i32;
    if raw!(SYS_name_to_handle_at, -100, path.as_ptr(), &raw mut handle, &raw mut mount, 0) != 0 {
        c.skip("tmpfs gives no handles");
        return;
    }
    let top = raw!(SYS_open, c.path("mounted").as_ptr(), libc::O_DIRECTORY, 0);
    let real = c.dir.canonicalize().unwrap().join("mounted/sub/file");
    let fd = call!(c, "open_by_handle_at: across a mount point", SYS_open_by_handle_at, top, &raw const handle, 0);
    assert!(fd > 0, "{fd}");
    let (dev, ino) = dev_ino_fd(fd);
    let real = CString::new(real.as_os_str().as_bytes()).unwrap();
    ev!(c, SYSCALL_OPEN_BY_HANDLE_AT_X, fd, top, 1, &real, dev, ino);
    close(fd);
    close(top);
    let link = text("mounted/gone");
    raw!(SYS_open, link.as_ptr(), libc::O_CREAT | libc::O_CLOEXEC, 0o600);
    close(keep);
}

/// Layers: 32768 for a file of the upper one, 65536 for one of the lower.
fn overlay(c: &mut Ctx) {
    let base = c.path("layers");
    std::fs::create_dir(c.dir.join("layers")).unwrap();
    let tmpfs = text("tmpfs");
    assert_eq!(raw!(SYS_mount, tmpfs.as_ptr(), base.as_ptr(), tmpfs.as_ptr(), 0, 0), 0);
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(c.dir.join("layers").join(name)).unwrap();
    }
    std::fs::write(c.dir.join("layers/lower/file"), "x").unwrap();
    std::fs::copy(c.dir.join("program"), c.dir.join("layers/lower/program")).unwrap();
    let dir = c.dir.join("layers").display().to_string();
    let options = text(format!("lowerdir={dir}/lower,upperdir={dir}/upper,workdir={dir}/work"));
    let (kind, merged) = (text("overlay"), c.path("layers/merged"));
    let r =
        call!(c, "mount: an overlay", SYS_mount, kind.as_ptr(), merged.as_ptr(), kind.as_ptr(), 0, options.as_ptr());
    ev!(c, SYSCALL_MOUNT_X, r, &kind, &merged, &kind, 0);
    if r != 0 {
        c.skip("no overlays here: layers are not tested");
        return;
    }
    let file = c.path("layers/merged/file");
    let fd = call!(c, "open: of the lower layer", SYS_open, file.as_ptr(), 0, 0);
    let (dev, ino) = dev_ino_fd(fd);
    ev!(c, SYSCALL_OPEN_E, &file, 1, 0);
    ev!(c, SYSCALL_OPEN_X, fd, &file, 1 | 65536, 0, dev, ino);
    close(fd);
    let fd = call!(c, "openat: copied up by writing", SYS_openat, BAD_FD, file.as_ptr(), 1, 0);
    let (dev, ino) = dev_ino_fd(fd);
    ev!(c, SYSCALL_OPENAT_2_E, BAD_FD, &file, 2, 0);
    ev!(c, SYSCALL_OPENAT_2_X, fd, BAD_FD, &file, 2 | 32768, 0, dev, ino);
    close(fd);
    let new = c.path("layers/merged/new");
    let fd = call!(c, "creat: on the upper layer", SYS_creat, new.as_ptr(), 0o600);
    let (dev, ino) = dev_ino_fd(fd);
    ev!(c, SYSCALL_CREAT_E, &new, 0o600);
    ev!(c, SYSCALL_CREAT_X, fd, &new, 0o600, dev, ino, 1);
    close(fd);
    let how = [0_u64, 0, 0];
    let fd = call!(c, "openat2: of the upper layer", SYS_openat2, -100, new.as_ptr(), how.as_ptr(), 24);
    let (dev, ino) = dev_ino_fd(fd);
    ev!(c, SYSCALL_OPENAT2_E, -100, &new, 1, 0, 0);
    ev!(c, SYSCALL_OPENAT2_X, fd, -100, &new, 1 | 32768, 0, 0, dev, ino);
    close(fd);
    // Programs of both layers.
    run(c, "execve: of the lower layer", LOWER | WRITABLE);
    let program = c.path("layers/merged/program");
    let fd = raw!(SYS_open, program.as_ptr(), libc::O_WRONLY | libc::O_APPEND, 0);
    raw!(SYS_write, fd, c"x".as_ptr(), 1);
    close(fd);
    run(c, "execve: of the upper layer", UPPER | WRITABLE);
}

fn run(c: &mut Ctx, name: &str, flags: u32) {
    let program = c.path("layers/merged/program");
    let real = c.dir.canonicalize().unwrap().join("layers/merged/program");
    c.flush();
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        c.become_child();
        let target = Target { filename: program.as_bytes(), path: real.as_os_str().as_bytes(), flags };
        let argv = [text("layer")];
        let env = target.environment(c, c.next_mark(), name, &[]);
        let (argv, env) = (pointers(&argv), pointers(&env));
        c.open(name, Place::After);
        c.forget();
        raw!(SYS_execve, program.as_ptr(), argv.as_ptr(), env.as_ptr());
        sys::call(libc::SYS_exit_group, &[99]);
    }
    assert_eq!(wait(child), 0, "{name}");
}

fn chroot(c: &mut Ctx) -> i32 {
    std::fs::create_dir_all(c.dir.join("root/inner")).unwrap();
    std::fs::write(c.dir.join("root/inner/file"), "x").unwrap();
    let root = c.path("root");
    let path = c.path("root/inner/file");
    let mut handle = Handle { bytes: 128, kind: 0, data: [0; 128] };
    let mut mount = 0_i32;
    let handles = raw!(SYS_name_to_handle_at, -100, path.as_ptr(), &raw mut handle, &raw mut mount, 0) == 0;
    let real = c.dir.canonicalize().unwrap().join("root/inner/file");
    let real = CString::new(real.as_os_str().as_bytes()).unwrap();
    let (dev, ino) = super::dev_ino(&path);
    let r = call!(c, "chroot", SYS_chroot, root.as_ptr());
    assert_eq!(r, 0);
    ev!(c, SYSCALL_CHROOT_X, 0, &root);
    let inside = text("/inner/file");
    let fd = call!(c, "open: in a changed root, the path as it was passed", SYS_open, inside.as_ptr(), 0, 0);
    assert!(fd > 0);
    ev!(c, SYSCALL_OPEN_E, &inside, 1, 0);
    ev!(c, SYSCALL_OPEN_X, fd, &inside, 1, 0, dev, ino);
    if handles {
        // The rebuilt path does not begin at the process's root.
        let by = call!(c, "open_by_handle_at: in a changed root", SYS_open_by_handle_at, fd, &raw const handle, 0);
        if by > 0 {
            ev!(c, SYSCALL_OPEN_BY_HANDLE_AT_X, by, fd, 1, &real, dev, ino);
        } else {
            ev!(c, SYSCALL_OPEN_BY_HANDLE_AT_X, by, fd, 1, EMPTY, 0, 0);
        }
    }
    0
}
