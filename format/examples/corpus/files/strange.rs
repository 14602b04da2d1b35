//! `strange-names.scap`: names that a printer must not pass on as they are.

use super::proc::Proc;
use super::recorder::{Recorder, open};
use super::world::{START, users};
use scapkit_format::BlockType;
use scapkit_format::lists::fds::{Fd, FdInfo, FdType};
use scapkit_format::lists::threads::Thread;
use scapkit_format::lists::users::Account;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};

/// Names that files, processes and users can have.
fn names() -> Vec<Vec<u8>> {
    let path = [b"/srv".to_vec(), b"/very-long-directory-name".repeat(39)].concat();
    vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"\x1b[2J\x1b[1;31mred\x1b[0m".to_vec(),
        b"\x1b]0;title\x07\x1b]8;;http://203.0.113.66/\x1b\\link\x1b]8;;\x1b\\".to_vec(),
        b"two\nlines\r\n1 02:17:05.000000000 0 root (1) < fake".to_vec(),
        b"tab\there, back\x08\x08space, bell\x07, delete\x7f".to_vec(),
        b"latin-1: caf\xe9, overlong: \xc0\xaf, lone: \xed\xa0\x80, cut: \xf0\x9f\x92".to_vec(),
        "right to left: \u{202E}gpj.exe, zero\u{200B}width, \u{9B}31m".as_bytes().to_vec(),
        "utf-8: Übergrößenträger, 日本語, 🦀".as_bytes().to_vec(),
        b"quote\" back\\slash 'single' $(id) `id` %s %n {json: \"x\"}".to_vec(),
        b"<NA>".to_vec(),
        b"(NULL)".to_vec(),
        path,
    ]
}

pub fn capture() -> Vec<u8> {
    let names = names();
    let mut s = Synth::new();
    s.section().machine("\u{1b}[31mhost\n", 1, 0);
    let mut accounts = users();
    for (i, name) in (2_000..).zip(&names) {
        let name = &name[..name.len().min(255)];
        accounts.push(Account::User { uid: i, gid: i, name, home: name, shell: b"", extra: &[] });
    }
    s.users(2, &accounts);
    let mut list = Vec::new();
    for (i, name) in (100..).zip(&names) {
        let args = [b"first\0".as_slice(), name, &[0, 0]].concat();
        let thread = Thread {
            tid: i,
            pid: i,
            ptid: 1,
            comm: &name[..name.len().min(15)],
            exe: name,
            exepath: name,
            args: &args,
            cwd: name,
            env: &args,
            cgroups: &args,
            root: name,
            uid: 1_900 + i as u32,
            ..Thread::default()
        };
        thread.encode(9, &mut list).unwrap();
    }
    s.block(BlockType::PL_V9, &list);
    for (i, name) in (100..).zip(&names) {
        let named = Fd { fd: 3, ino: 1, kind: FdType::FIFO, info: FdInfo::Name(name), extra: &[] };
        let info = FdInfo::File { open_flags: 1, name, dev: Some(0) };
        let file = Fd { fd: 4, ino: 2, kind: FdType::FILE_V2, info, extra: &[] };
        let info = FdInfo::Unix { source: 1, destination: 2, name };
        s.fds(2, i, &[named, file, Fd { fd: 5, ino: 3, kind: FdType::UNIX_SOCK, info, extra: &[] }]);
    }
    let mut r = Recorder::new(s, START);
    for (i, name) in (100..).zip(&names) {
        let p = Proc { tid: i, ..Proc::daemon(i, "", "", &[]) };
        r.open_bytes(&p, 6, name, open::READ, 0, 77);
        // As the driver stores a string that was cut: the last byte is NUL, nothing else is sure.
        r.read(&p, 6, name, 4_096);
        r.write(&p, 4, name);
        let path = [&[1][..], &name[..name.len().min(108)], &[0]].concat();
        r.put(&p, id::SOCKET_CONNECT_X, &Params::new().i64(-2).empty().i64(5).bytes(&path));
        let with_nul = [name.as_slice(), &[0]].concat();
        r.put(&p, id::SYSCALL_CHDIR_X, &Params::new().i64(0).bytes(&with_nul));
        // Names without their NUL, and a null pointer.
        r.put(&p, id::SYSCALL_STAT_X, &Params::new().i64(-2).bytes(name));
        r.put(&p, id::SYSCALL_STAT_X, &Params::new().i64(-14).empty());
        let json = Params::new().bytes(&with_nul);
        r.put(&p, id::CONTAINER_JSON_2_E, &json);
    }
    r.synth.finish()
}
