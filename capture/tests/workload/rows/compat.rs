//! 32-bit calls (`int 0x80`) of this process, and a 32-bit program.

use super::net::{dynamic, v4};
use super::{BAD_FD, Check, Ctx, EBADF, EMPTY, ENOENT, close, dev_ino_fd, id, pattern, sys, text, wait};
use crate::workload::report::Place;
use scapkit_format::schema;

pub fn rows(c: &mut Ctx) {
    if !there_are(c) {
        c.skip("the kernel has no 32-bit calls");
        return;
    }
    let low = Low::new();
    files(c, &low);
    data(c, &low);
    sockets(c, &low);
    structures(c, &low);
    numbers(c);
    program(c);
}

/// Whether the kernel has them: a child tries.
fn there_are(c: &mut Ctx) -> bool {
    c.flush();
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        let r = i64::from(sys::call32(20, &[]));
        let code = i64::from(r != raw!(SYS_getpid));
        raw!(SYS_exit_group, code);
    }
    wait(child) == 0
}

/// Memory below 4 GiB, given out piece by piece.
struct Low {
    start: i64,
    used: std::cell::Cell<i64>,
}

impl Low {
    fn new() -> Self {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT;
        let start = raw!(SYS_mmap, 0, 1 << 20, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert!(start > 0, "{start}");
        Low { start, used: std::cell::Cell::new(0) }
    }

    fn put(&self, bytes: &[u8]) -> u32 {
        let at = self.start + self.used.get();
        self.used.set(self.used.get() + (bytes.len() as i64 + 16) / 16 * 16);
        sys::store(at, bytes);
        at as u32
    }

    fn words(&self, words: &[u32]) -> u32 {
        self.put(&words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>())
    }
}

fn call(c: &mut Ctx, name: &str, nr: i32, args: &[u32]) -> i64 {
    let args = args.to_vec();
    c.bracket(&format!("32-bit: {name}"), || i64::from(sys::call32(nr, &args)))
}

const FDCWD: u32 = -100_i32 as u32;

fn files(c: &mut Ctx, low: &Low) {
    let path = text("by 32 bits");
    let p = low.put(path.as_bytes_with_nul());
    let fd = call(c, "open", 5, &[p, 0o102, 0o640]);
    assert!(fd > 0, "{fd}");
    let (dev, ino) = dev_ino_fd(fd);
    ev!(c, SYSCALL_OPEN_E, &path, 3 | 4, 0o640);
    ev!(c, SYSCALL_OPEN_X, fd, &path, 3 | 4 | 16384, 0o640, dev, ino);
    let r = call(c, "close", 6, &[fd as u32]);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_CLOSE_X, 0, fd);
    let fd = call(c, "creat", 8, &[p, 0o600]);
    ev!(c, SYSCALL_CREAT_E, &path, 0o600);
    ev!(c, SYSCALL_CREAT_X, fd, &path, 0o600, dev, ino, 0);
    close(fd);
    let r = call(c, "openat", 295, &[BAD_FD as u32, p, 0, 0]);
    assert_eq!(r, EBADF);
    ev!(c, SYSCALL_OPENAT_2_E, BAD_FD, &path, 1, 0);
    ev!(c, SYSCALL_OPENAT_2_X, r, BAD_FD, &path, 1, 0, 0, 0);
    let how: Vec<u8> = [2_u64, 0, 8].iter().flat_map(|w| w.to_le_bytes()).collect();
    let how = low.put(&how);
    let fd = call(c, "openat2", 437, &[FDCWD, p, how, 24]);
    assert!(fd > 0);
    ev!(c, SYSCALL_OPENAT2_E, -100, &path, 3, 0, 1);
    ev!(c, SYSCALL_OPENAT2_X, fd, -100, &path, 3, 0, 1, dev, ino);
    close(fd);
    let gone = text("/none");
    let g = low.put(gone.as_bytes_with_nul());
    let r = call(c, "unlink", 10, &[g]);
    assert_eq!(r, ENOENT);
    ev!(c, SYSCALL_UNLINK_2_X, r, &gone);
    // umount has no flags: what lies in the next register is none.
    let r = call(c, "umount2", 52, &[g, 2]);
    ev!(c, SYSCALL_UMOUNT2_X, r, &gone, 2);
    let r = call(c, "dup", 41, &[0xFFFF_FFFF]);
    ev!(c, SYSCALL_DUP_1_X, r, -1);
}

fn data(c: &mut Ctx, low: &Low) {
    let bytes = pattern(200);
    let at = low.put(&bytes);
    let snap = c.snaplen;
    let path = c.path("by 32 bits");
    let fd = raw!(SYS_open, path.as_ptr(), libc::O_RDWR, 0);
    let f = fd as u32;
    let r = call(c, "write", 4, &[f, at, 200]);
    assert_eq!(r, 200);
    ev!(c, SYSCALL_WRITE_X, r, &bytes[..snap], fd, 200);
    let vector = low.words(&[at, 10, at + 20, 30]);
    let joined = [&bytes[..10], &bytes[20..50]].concat();
    let r = call(c, "writev", 146, &[f, vector, 2]);
    assert_eq!(r, 40);
    ev!(c, SYSCALL_WRITEV_X, r, &joined[..], fd, 40);
    raw!(SYS_lseek, fd, 0, 0);
    let into = low.put(&[0; 200]);
    let r = call(c, "read", 3, &[f, into, 50]);
    assert_eq!(r, 50);
    ev!(c, SYSCALL_READ_X, r, &bytes[..50], fd, 50);
    close(fd);
}

fn sockets(c: &mut Ctx, low: &Low) {
    let (user, recorded) = v4([127, 0, 0, 1], 9);
    let address = low.put(&user);
    let r = call(c, "connect", 362, &[0xFFFF_FFFF, address, 16]);
    assert_eq!(r, EBADF);
    ev!(c, SOCKET_CONNECT_E, -1, &recorded[..]);
    ev!(c, SOCKET_CONNECT_X, r, EMPTY, -1, &recorded[..]);
    // socketcall: socket 1, bind 2, connect 3, accept 5, send 9, sendto 11, shutdown 13, setsockopt 14, nothing 77
    let args = low.words(&[2, 2 | 0x800, 17]);
    let fd = call(c, "socketcall: socket", 102, &[1, args]);
    assert!(fd > 0, "{fd}");
    ev!(c, SOCKET_SOCKET_X, fd, 2, 2 | 0x800, 17, 64);
    let args = low.words(&[fd as u32, address, 7]);
    let r = call(c, "socketcall: bind", 102, &[2, args]);
    ev!(c, SOCKET_BIND_X, r, EMPTY, fd);
    // The enter event does not know this way.
    let args = low.words(&[0xFFFF_FFFE, address, 16]);
    let r = call(c, "socketcall: connect", 102, &[3, args]);
    ev!(c, SOCKET_CONNECT_X, r, EMPTY, -2, &recorded[..]);
    let args = low.words(&[fd as u32, 0, 0]);
    let r = call(c, "socketcall: accept", 102, &[5, args]);
    assert!(r < 0);
    ev!(c, SOCKET_ACCEPT_5_X, r, EMPTY, 0, 0, 0);
    let bytes = pattern(30);
    let data = low.put(&bytes);
    let args = low.words(&[BAD_FD as u32, data, 30, 0, address, 16]);
    let r = call(c, "socketcall: sendto", 102, &[11, args]);
    ev!(c, SOCKET_SENDTO_X, r, &bytes[..], BAD_FD, 30, EMPTY);
    let args = low.words(&[fd as u32, 9]);
    let r = call(c, "socketcall: shutdown", 102, &[13, args]);
    ev!(c, SOCKET_SHUTDOWN_X, r, fd, 255);
    let one = low.words(&[1]);
    let args = low.words(&[fd as u32, 1, 2, one, 4]);
    let r = call(c, "socketcall: setsockopt", 102, &[14, args]);
    assert_eq!(r, 0);
    ev!(c, SOCKET_SETSOCKOPT_X, 0, fd, 1, 2, dynamic(2, &[1, 0, 0, 0]), 4);
    // No native call, or no call at all: no event.
    let args = low.words(&[BAD_FD as u32, data, 30, 0]);
    call(c, "socketcall: send gives nothing", 102, &[9, args]);
    call(c, "socketcall: a code that is none gives nothing", 102, &[77, args]);
    call(c, "socketcall: code 0 gives nothing", 102, &[0, args]);
    close(fd);
}

/// Structures with a 32-bit layout of their own, which upstream reads as if they had none.
fn structures(c: &mut Ctx, low: &Low) {
    let bytes = pattern(25);
    let data = low.put(&bytes);
    let vector = low.words(&[data, 25]);
    // name, its length, vector, its length, control, its length, flags
    let message = low.words(&[0, 0, vector, 1, 0, 0, 0]);
    let r = call(c, "sendmsg", 370, &[BAD_FD as u32, message, 0]);
    assert_eq!(r, EBADF);
    ev!(c, SOCKET_SENDMSG_X, r, &bytes[..], BAD_FD, 25, EMPTY);
    let time = low.words(&[0, 1_500_000]);
    let r = call(c, "nanosleep", 162, &[time, 0]);
    assert_eq!(r, 0);
    ev!(c, SYSCALL_NANOSLEEP_X, 0, 1_500_000);
    let limits = low.words(&[11, 22]);
    let r = call(c, "setrlimit: fails", 75, &[99, limits]);
    ev!(c, SYSCALL_SETRLIMIT_X, r, 11, 22, 255);
}

/// Numbers are those of the 64-bit calls; numbers that have none give no event.
fn numbers(c: &mut Ctx) {
    // getpid of the x32 interface: whether or not the kernel has it, it is none of the 64-bit calls.
    c.call("x32: getpid gives nothing", 0x4000_0027, &[]);
    for (nr, native) in [(20, 39_u16), (199, 102), (224, 186), (43, 100)] {
        let low = u32::from(nr != 43);
        let r = call(c, &format!("number {nr}"), nr, &[low]);
        let entry = schema::native_x86_64(native).unwrap();
        if native == 102 {
            ev!(c, SYSCALL_GETUID_X, r);
        } else {
            ev!(c, GENERIC_X, entry.code, native);
        }
    }
    for nr in [17, 31, 32, 35, 44, 53, 56, 58, 98, 127, 130, 137, 167, 188, 189, 222, 223, 251, 273, 285] {
        let r = call(c, &format!("number {nr} is no call"), nr, &[0xFFFF_FFFF, 0, 0]);
        assert!(r < 0, "{nr}: {r}");
    }
}

/// The smallest 32-bit program: it exits with 7. Its exec is an ordinary one, and the number of execve is the
/// 64-bit one although the process is a 32-bit one by then.
fn program(c: &mut Ctx) {
    let code: [u8; 12] = [0xB8, 1, 0, 0, 0, 0xBB, 7, 0, 0, 0, 0xCD, 0x80]; // mov eax, 1; mov ebx, 7; int 0x80
    let mut elf = vec![0x7F, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for half in [2_u16, 3] {
        elf.extend_from_slice(&half.to_le_bytes()); // an executable, for the 386
    }
    let base = 0x0804_8000_u32;
    for word in [1, base + 84, 52, 0, 0] {
        elf.extend_from_slice(&word.to_le_bytes()); // version, entry, program headers, section headers, flags
    }
    for half in [52_u16, 32, 1, 40, 0, 0] {
        elf.extend_from_slice(&half.to_le_bytes());
    }
    for word in [1, 0, base, base, 96, 96, 5, 4096] {
        elf.extend_from_slice(&word.to_le_bytes()); // load: offset, addresses, sizes, read and execute, alignment
    }
    elf.extend_from_slice(&code);
    std::fs::write(c.dir.join("program 32"), elf).unwrap();
    std::fs::set_permissions(c.dir.join("program 32"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = c.path("program 32");
    let real = text(super::exec::real(c, "program 32"));
    let (argv, env) = ([text("thirty-two"), text("bits")], [text("E=1")]);
    let (a, e) = (super::exec::pointers(&argv), super::exec::pointers(&env));
    c.flush();
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        c.become_child();
        c.open("32-bit: a program", Place::After);
        c.forget();
        raw!(SYS_execve, path.as_ptr(), a.as_ptr(), e.as_ptr());
        sys::call(libc::SYS_exit_group, &[99]);
    }
    let mark = c.next_mark();
    assert_eq!(wait(child), 0x700);
    c.elsewhere("32-bit: a program", child, Place::After(mark));
    let mut params = super::exec::of_child(c, child, &path, &real);
    params[1] = c"thirty-two".into();
    params[2] = b"bits\0".to_vec().into();
    params[15] = b"E=1\0".to_vec().into();
    c.event(id::SYSCALL_EXECVE_19_X, params);
    ev!(c, PROCEXIT_1_E, 0x700, 7, 0, 0, 0);
}
