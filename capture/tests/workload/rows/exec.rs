//! execve and execveat that succeed, as the new program sees itself.

use super::mem::{around, sizes, swap};
use super::misc::caps;
use super::tasks::{Task, area, faults, this_task};
use super::{CString, Check, Ctx, EMPTY, close, id, raw_dir, sys, text, wait};
use crate::workload::report::Place;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub const WRITABLE: u32 = 1;
pub const UPPER: u32 = 2;
pub const MEMFD: u32 = 4;
pub const LOWER: u32 = 8;

pub fn rows(c: &mut Ctx) {
    copy_of_this(c);
    paths(c);
    descriptors(c);
    arguments(c);
    circumstances(c);
}

/// Where [`copy_of_this`] put it.
pub fn program(c: &Ctx) -> CString {
    c.path("program")
}

/// A copy of this test in the test's folder, which everybody may run.
fn copy_of_this(c: &Ctx) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::copy("/proc/self/exe", c.dir.join("program")).unwrap();
    std::fs::set_permissions(c.dir.join("program"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&c.dir, PermissionsExt::from_mode(0o755)).unwrap();
}

/// What a new program needs to report: given to it in its environment.
pub struct Target<'a> {
    /// What the event's `filename` must be.
    pub filename: &'a [u8],
    /// What its `trusted_exepath` must be.
    pub path: &'a [u8],
    /// What its `flags` must be.
    pub flags: u32,
}

const VARIABLE: &str = "SCAPKIT_WORKLOAD_TARGET";

impl Target<'_> {
    /// The environment: how the program knows what it is, and what else it is given.
    pub fn environment(&self, c: &Ctx, mark: u64, name: &str, more: &[&[u8]]) -> Vec<CString> {
        let hex = |b: &[u8]| b.iter().fold(String::from("-"), |s, b| s + &format!("{b:02x}"));
        let own = format!(
            "{VARIABLE}={} {} {} {} {} {}",
            c.report_fd(),
            mark,
            self.flags,
            hex(self.filename),
            hex(self.path),
            hex(name.as_bytes())
        );
        let mut all: Vec<CString> = more.iter().map(|m| text(*m)).collect();
        all.push(text(own));
        all
    }
}

/// NULL-terminated pointers.
pub fn pointers(strings: &[CString]) -> Vec<i64> {
    strings.iter().map(|s| s.as_ptr() as i64).chain([0]).collect()
}

/// In a child: executes, after `before`; the new program says what its event must be.
fn execute(
    c: &mut Ctx,
    name: &str,
    target: &Target<'_>,
    argv: &[&[u8]],
    env: &[&[u8]],
    before: impl FnOnce(&mut Ctx),
    call: impl FnOnce(i64, i64) -> i64,
) {
    let argv: Vec<CString> = argv.iter().map(|a| text(*a)).collect();
    c.flush();
    let child = sys::call(libc::SYS_fork, &[]);
    if child == 0 {
        c.become_child();
        before(c);
        let mark = c.next_mark();
        let env = target.environment(c, mark, name, env);
        let (argv, env) = (pointers(&argv), pointers(&env));
        // Nothing between the mark and the call makes calls: the vectors are made before.
        c.open(name, Place::After);
        c.forget();
        let r = call(argv.as_ptr() as i64, env.as_ptr() as i64);
        eprintln!("{name}: {r}");
        sys::call(libc::SYS_exit_group, &[99]);
    }
    assert_eq!(wait(child), 0, "{name}: the new program");
}

/// If this process is such a new program: reports, and ends. Called before anything else.
pub fn target() {
    let Some(told) = std::env::var_os(VARIABLE) else { return };
    let told = told.into_string().unwrap();
    let fields: Vec<&str> = told.split(' ').collect();
    let unhex = |s: &str| -> Vec<u8> {
        s.as_bytes()[1..].chunks(2).map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap()).collect()
    };
    let mut c = Ctx::attached(fields[0].parse().unwrap());
    let mark: u64 = fields[1].parse().unwrap();
    let (filename, path) = (unhex(fields[3]), unhex(fields[4]));
    let tid = initial_tid();
    c.elsewhere(&String::from_utf8_lossy(&unhex(fields[5])), tid, Place::After(mark));
    let t = this_task();
    let mut params = image(&t, tid, tid, fields[2].parse().unwrap(), &path);
    params[0] = 0.into();
    let (size, rss) = sizes();
    // At that moment only the program, its loader and the stack are there; and what is resident may not have been
    // added up yet.
    params[10] = (100..=size).into();
    params[11] = (0..=rss + 1024).into();
    let (major, minor) = faults();
    params[8] = (0..=major).into();
    params[9] = (0..=minor).into();
    params[15] = area(&std::fs::read("/proc/self/environ").unwrap(), 4096).into();
    params.push(with_nul(&filename).into());
    c.event(id::SYSCALL_EXECVE_19_X, params);
    c.flush();
    std::process::exit(0);
}

/// This thread's number in the initial namespace: the last of those that its status has is its own innermost one.
fn initial_tid() -> i64 {
    let status = super::read_lossy("/proc/self/status");
    let line = status.lines().find_map(|l| l.strip_prefix("NSpid:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn with_nul(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0]].concat()
}

/// The first 29 parameters of an exec event, of the program that runs; `env` is empty.
pub fn image(t: &Task, tid: i64, pid: i64, flags: u32, path: &[u8]) -> Vec<Check> {
    let meta = std::fs::metadata("/proc/self/exe").unwrap();
    let stamp = |s: i64, n: i64| s * 1_000_000_000 + n;
    let stat = super::read_lossy("/proc/self/stat");
    let words: Vec<i64> =
        stat.rsplit_once(')').unwrap().1.split_whitespace().skip(1).map(|w| w.parse().unwrap_or(0)).collect();
    let (group, tty) = (words[1], words[3]); // after state: parent, group, session, terminal
    let login: u32 = std::fs::read_to_string("/proc/self/loginuid").map_or(u32::MAX, |s| s.trim().parse().unwrap());
    let [inheritable, permitted, effective] = caps();
    let (size, rss) = sizes();
    vec![
        0.into(),
        t.exe.clone().into(),
        t.args.clone().into(),
        tid.into(),
        pid.into(),
        t.ptid.into(),
        EMPTY.into(),
        t.fdlimit.into(),
        0.into(),
        0.into(),
        size.into(),
        around(rss).into(),
        swap(),
        t.comm.clone().into(),
        t.cgroups.clone().into(),
        EMPTY.into(),
        tty.into(),
        group.into(),
        login.into(),
        flags.into(),
        inheritable.into(),
        permitted.into(),
        effective.into(),
        meta.ino().into(),
        stamp(meta.ctime(), meta.ctime_nsec()).into(),
        stamp(meta.mtime(), meta.mtime_nsec()).into(),
        raw!(SYS_geteuid).into(),
        with_nul(path).into(),
        group.into(),
        raw!(SYS_getegid).into(),
    ]
}

/// Root may write everything that is not on a file system mounted read-only.
pub fn writable() -> u32 {
    if raw!(SYS_geteuid) == 0 { WRITABLE } else { 0 }
}

/// The real path of a file in the test's folder.
pub fn real(c: &Ctx, name: &str) -> Vec<u8> {
    c.dir.canonicalize().unwrap().join(name).into_os_string().into_vec()
}

fn paths(c: &mut Ctx) {
    let path = program(c);
    let trusted = real(c, "program");
    let p = path.as_ptr() as i64;
    let target = Target { filename: path.as_bytes(), path: &trusted, flags: writable() };
    execute(
        c,
        "execve",
        &target,
        &[b"argv zero", b"one", b"", b"three"],
        &[b"A=b", b"EMPTY="],
        |_| {},
        |a, e| raw!(SYS_execve, p, a, e),
    );
    let link = c.path("link to the program");
    std::os::unix::fs::symlink("program", c.dir.join("link to the program")).unwrap();
    let p = link.as_ptr() as i64;
    let target = Target { filename: link.as_bytes(), path: &trusted, flags: writable() };
    execute(c, "execve: a symbolic link", &target, &[link.as_bytes()], &[], |_| {}, |a, e| raw!(SYS_execve, p, a, e));
    let crooked = text("./../".to_owned() + c.dir.file_name().unwrap().to_str().unwrap() + "//program");
    let p = crooked.as_ptr() as i64;
    let target = Target { filename: crooked.as_bytes(), path: &trusted, flags: writable() };
    execute(c, "execve: not the shortest path", &target, &[b"x"], &[], |_| {}, |a, e| raw!(SYS_execve, p, a, e));
    std::fs::write(c.dir.join("script"), [b"#!", trusted.as_slice(), b" option\n"].concat()).unwrap();
    std::fs::set_permissions(c.dir.join("script"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = c.path("script");
    let p = script.as_ptr() as i64;
    let target = Target { filename: script.as_bytes(), path: &trusted, flags: writable() };
    execute(c, "execve: a script", &target, &[b"replaced", b"after"], &[], |_| {}, |a, e| raw!(SYS_execve, p, a, e));
    let odd = c.path(b"prog\xFF\xE9ram \n");
    std::fs::hard_link(c.dir.join("program"), Path::new(std::ffi::OsStr::from_bytes(odd.as_bytes()))).unwrap();
    let odd_real = [c.dir.canonicalize().unwrap().as_os_str().as_bytes(), b"/prog\xFF\xE9ram \n"].concat();
    let p = odd.as_ptr() as i64;
    let target = Target { filename: odd.as_bytes(), path: &odd_real, flags: writable() };
    execute(
        c,
        "execve: names that are not UTF-8",
        &target,
        &[b"\xFE", b"\x80\x81"],
        &[b"\xC0=\xFF"],
        |_| {},
        |a, e| raw!(SYS_execve, p, a, e),
    );
}

fn descriptors(c: &mut Ctx) {
    let trusted = real(c, "program");
    let dir = raw_dir(c);
    let (name, none) = (text("program"), text(""));
    let (n, e0) = (name.as_ptr() as i64, none.as_ptr() as i64);
    let as_path = format!("/dev/fd/{dir}/program");
    let target = Target { filename: as_path.as_bytes(), path: &trusted, flags: writable() };
    execute(
        c,
        "execveat: relative to a folder",
        &target,
        &[b"a"],
        &[],
        |_| {},
        |a, e| raw!(SYS_execveat, dir, n, a, e, 0),
    );
    close(dir);
    let fd = raw!(SYS_open, program(c).as_ptr(), 0, 0);
    let as_path = format!("/dev/fd/{fd}");
    let target = Target { filename: as_path.as_bytes(), path: &trusted, flags: writable() };
    execute(
        c,
        "execveat: AT_EMPTY_PATH",
        &target,
        &[b"a"],
        &[],
        |_| {},
        |a, e| raw!(SYS_execveat, fd, e0, a, e, 0x1000),
    );
    close(fd);
    let mem = text("malware");
    let fd = raw!(SYS_memfd_create, mem.as_ptr(), 0);
    let image = std::fs::read("/proc/self/exe").unwrap();
    assert_eq!(raw!(SYS_write, fd, image.as_ptr(), image.len()), image.len() as i64);
    drop(image);
    let as_path = format!("/dev/fd/{fd}");
    let target = Target { filename: as_path.as_bytes(), path: b"memfd:malware", flags: writable() | MEMFD };
    execute(c, "execveat: a memfd", &target, &[b"m"], &[], |_| {}, |a, e| raw!(SYS_execveat, fd, e0, a, e, 0x1000));
    let as_path = text(format!("/proc/self/fd/{fd}"));
    let p = as_path.as_ptr() as i64;
    let target = Target { filename: as_path.as_bytes(), path: b"memfd:malware", flags: writable() | MEMFD };
    execute(c, "execve: a memfd", &target, &[b"m"], &[], |_| {}, |a, e| raw!(SYS_execve, p, a, e));
    close(fd);
}

fn arguments(c: &mut Ctx) {
    let path = program(c);
    let trusted = real(c, "program");
    let p = path.as_ptr() as i64;
    let target = Target { filename: path.as_bytes(), path: &trusted, flags: writable() };
    let long = vec![b'l'; 3000];
    let other = vec![b'o'; 70_000];
    execute(
        c,
        "execve: more than 4096 bytes of arguments and environment",
        &target,
        &[b"x", &long, &long, b"tail"],
        &[&long, &long],
        |_| {},
        |a, e| raw!(SYS_execve, p, a, e),
    );
    // Upstream takes the size of the area modulo 65536.
    execute(
        c,
        "execve: more than 64 KiB of arguments",
        &target,
        &[b"x", &other],
        &[&other],
        |_| {},
        |a, e| raw!(SYS_execve, p, a, e),
    );
    execute(
        c,
        "execve: a long name of its own",
        &target,
        &[&vec![b'n'; 5000], b"y"],
        &[],
        |_| {},
        |a, e| raw!(SYS_execve, p, a, e),
    );
    let many: Vec<&[u8]> = (0..100).map(|_| b"mm".as_slice()).collect();
    execute(c, "execve: 100 arguments", &target, &many, &many, |_| {}, |a, e| raw!(SYS_execve, p, a, e));
    // The kernel puts in an empty argument where there are none.
    execute(c, "execve: no arguments", &target, &[], &[], |_| {}, |a, e| raw!(SYS_execve, p, a, e));
    execute(c, "execve: NULL arguments", &target, &[], &[], |_| {}, |_, e| raw!(SYS_execve, p, 0, e));
}

fn circumstances(c: &mut Ctx) {
    let path = program(c);
    let trusted = real(c, "program");
    let p = path.as_ptr() as i64;
    if raw!(SYS_geteuid) == 0 {
        let target = Target { filename: path.as_bytes(), path: &trusted, flags: 0 };
        execute(
            c,
            "execve: by nobody, who may not write the program",
            &target,
            &[b"n"],
            &[],
            |_| {
                raw!(SYS_setgroups, 0, 0);
                raw!(SYS_setresgid, 65_534, 65_534, 65_534);
                raw!(SYS_setresuid, 65_534, 65_534, 65_534);
            },
            |a, e| raw!(SYS_execve, p, a, e),
        );
    }
    let target = Target { filename: path.as_bytes(), path: &trusted, flags: writable() };
    execute(
        c,
        "execve: with a terminal, in a group of its own",
        &target,
        &[b"t"],
        &[],
        |_| {
            raw!(SYS_setsid);
            let master = raw!(SYS_open, c"/dev/ptmx".as_ptr(), libc::O_RDWR | libc::O_NOCTTY, 0);
            let mut number = 0_i32;
            let unlock = 0_i32;
            raw!(SYS_ioctl, master, 0x4004_5431, (&raw const unlock)); // TIOCSPTLCK
            raw!(SYS_ioctl, master, 0x8004_5430_u32, (&raw mut number)); // TIOCGPTN
            let name = text(format!("/dev/pts/{number}"));
            let slave = raw!(SYS_open, name.as_ptr(), libc::O_RDWR, 0);
            if slave >= 0 {
                raw!(SYS_ioctl, slave, 0x540E, 0); // TIOCSCTTY
            }
        },
        |a, e| raw!(SYS_execve, p, a, e),
    );
    execute(
        c,
        "execve: in a pid namespace",
        &target,
        &[b"p"],
        &[],
        |c| {
            if raw!(SYS_unshare, 0x2000_0000) == 0 {
                let inner = sys::call(libc::SYS_fork, &[]);
                if inner != 0 {
                    sys::call(libc::SYS_exit_group, &[i64::from(wait(inner))]);
                }
                c.become_child();
            }
        },
        |a, e| {
            // /proc shows the outer numbers: the new program finds its own in there.
            raw!(SYS_execve, p, a, e)
        },
    );
}

/// The parameters of a program that a child executed and that cannot say them itself: what it has of the caller's, and
/// the file's; not its arguments and environment.
pub fn of_child(c: &Ctx, child: i64, path: &CString, real: &CString) -> Vec<Check> {
    let mut params = image(&this_task(), child, child, writable(), real.as_bytes());
    let meta = std::fs::metadata(std::ffi::OsStr::from_bytes(path.as_bytes())).unwrap();
    let name = path.as_bytes().rsplit(|b| *b == b'/').next().unwrap();
    params[0] = 0.into();
    params[5] = c.tid().into();
    params[8] = (0..=10).into();
    params[9] = (0..=2000).into();
    params[10] = (4..=4096).into();
    params[11] = (0..=8192).into();
    params[13] = with_nul(&name[..name.len().min(15)]).into();
    params[23] = meta.ino().into();
    params[24] = (meta.ctime() * 1_000_000_000 + meta.ctime_nsec()).into();
    params[25] = (meta.mtime() * 1_000_000_000 + meta.mtime_nsec()).into();
    params.push(path.into());
    params
}
