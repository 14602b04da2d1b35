//! The calls, by subject. Every function makes calls with known arguments and says what they must give.

use super::check::{Check, EMPTY};
use super::ctx::{Ctx, wait};
use super::sys;
use scapkit_format::schema::id;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

/// A call between marks: `call!(c, "what", SYS_open, path, flags, mode)`.
macro_rules! call {
    ($c:expr, $name:expr, $nr:ident $(, $a:expr)* $(,)?) => { $c.call(&$name, libc::$nr, &[$(($a) as i64),*]) };
}

/// A call without marks: nothing is claimed about it.
macro_rules! raw {
    ($nr:ident $(, $a:expr)* $(,)?) => { sys::call(libc::$nr, &[$(($a) as i64),*]) };
}

/// An event that the last call must give, with all its parameters.
macro_rules! ev {
    ($c:expr, $id:ident $(, $p:expr)* $(,)?) => { $c.event(id::$id, vec![$(Check::from($p)),*]) };
}

mod compat;
mod ends;
mod exec;
mod exec_fails;
mod fds;
mod files;
mod ids;
mod io;
mod ipc;
mod maps;
mod mem;
mod misc;
mod mounts;
mod net;
mod netmsg;
mod open;
mod procs;
mod scratch;
mod tasks;
mod traced;
mod wide;

pub use exec::target;

use scratch::{Scratch, pattern};

const EBADF: i64 = -9;
const EFAULT: i64 = -14;
const EINVAL: i64 = -22;
const ENOENT: i64 = -2;
/// A descriptor that is never open.
const BAD_FD: i64 = 777;

/// Everything, with the default snaplen of 80 bytes.
pub fn all(c: &mut Ctx) {
    native(c);
    compat::rows(c);
    c.finish();
}

/// Everything but the 32-bit calls.
pub fn plain(c: &mut Ctx) {
    native(c);
    c.finish();
}

fn native(c: &mut Ctx) {
    open::rows(c);
    files::rows(c);
    io::rows(c);
    fds::rows(c);
    mem::rows(c);
    net::rows(c);
    netmsg::rows(c);
    ipc::rows(c);
    maps::rows(c);
    misc::rows(c);
    ids::rows(c);
    procs::rows(c);
    tasks::rows(c);
    ends::rows(c);
    exec::rows(c);
    exec_fails::rows(c);
    mounts::rows(c);
}

/// The calls that depend on the snaplen, with a large one.
pub fn wide(c: &mut Ctx) {
    wide::rows(c);
    c.finish();
}

/// Events that are larger than an event can be.
pub fn too_large(c: &mut Ctx) {
    wide::too_large(c);
    c.finish();
}

/// Signals, switches and page faults.
pub fn traced(c: &mut Ctx) {
    traced::rows(c);
    c.finish();
}

/// Device and inode of a path (symbolic links not followed), as events have them.
fn dev_ino(path: &CString) -> (u32, u64) {
    let meta = std::fs::symlink_metadata(std::ffi::OsStr::from_bytes(path.as_bytes())).expect("metadata");
    // The C library splits numbers beyond 20 bits of minor or 12 of major; below, the low half is the kernel's form.
    (meta.dev() as u32, meta.ino())
}

/// Device and inode of an open file.
fn dev_ino_fd(fd: i64) -> (u32, u64) {
    let link = CString::new(format!("/proc/self/fd/{fd}")).unwrap();
    let meta = std::fs::metadata(std::ffi::OsStr::from_bytes(link.as_bytes())).expect("metadata");
    (meta.dev() as u32, meta.ino())
}

/// A C string on the heap: its page is there even if no call has read it yet.
fn text(s: impl Into<Vec<u8>>) -> CString {
    CString::new(s).unwrap()
}

fn close(fd: i64) {
    raw!(SYS_close, fd);
}

/// The test's folder, open.
fn raw_dir(c: &Ctx) -> i64 {
    let fd = raw!(SYS_open, c.path("").as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY, 0);
    assert!(fd >= 0);
    fd
}

/// A file of /proc with a name in it, which may be any bytes.
fn read_lossy(path: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned()
}
