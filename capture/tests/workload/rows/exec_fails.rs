//! execve and execveat that fail: the program that calls, and what was asked for.

use super::exec::{image, pointers, writable};
use super::mem::{around, sizes};
use super::tasks::{faults, this_task};
use super::{CString, Check, Ctx, EMPTY, ENOENT, Scratch, id, sys, text};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

pub fn rows(c: &mut Ctx) {
    failures(c);
    at_failures(c);
}

/// A failing call's parameters, of the calling program.
fn failed(c: &Ctx, r: i64, exe: Vec<u8>, args: Vec<u8>, env: Vec<u8>, before: (u64, u64)) -> Vec<Check> {
    let t = this_task();
    let me = PathBuf::from("/proc/self/exe").canonicalize().unwrap();
    let mut params = image(&t, c.tid(), raw!(SYS_getpid), writable(), me.as_os_str().as_bytes());
    let after = faults();
    params[0] = r.into();
    (params[1], params[2], params[15]) = (exe.into(), args.into(), env.into());
    params[8] = (before.0..=after.0).into();
    params[9] = (before.1..=after.1).into();
    // The call itself may have put memory to use, and the test does between it and the reading of the size.
    let (size, rss) = sizes();
    params[10] = (size.saturating_sub(1024)..=size).into();
    params[11] = around(rss).into();
    params
}

struct Failing {
    name: &'static str,
    argv: i64,
    env: i64,
    exe: Vec<u8>,
    args: Vec<u8>,
    environment: Vec<u8>,
}

/// Vectors of every kind, and what must be kept of them.
fn vectors(keep: &mut Vec<Vec<CString>>, arrays: &mut Vec<Vec<i64>>, hole: &Scratch) -> Vec<Failing> {
    let mut make = |strings: &[&[u8]]| -> i64 {
        let strings: Vec<CString> = strings.iter().map(|s| text(*s)).collect();
        let array = pointers(&strings);
        let at = array.as_ptr() as i64;
        keep.push(strings);
        arrays.push(array);
        at
    };
    let long = vec![b'a'; 3000];
    let full = vec![b'f'; 4096];
    let usual = make(&[b"zero", b"one", b"", b"three"]);
    let env = make(&[b"A=1", b"", b"B=\xFF"]);
    let only = make(&[b"only"]);
    let none = make(&[]);
    let twenty: Vec<&[u8]> = (0..20).map(|_| b"ab".as_slice()).collect();
    let twenty = make(&twenty);
    let over = make(&[b"x", &long, &long, b"never"]);
    let whole = make(&[&full, b"never"]);
    let nul = |s: &[u8]| [s, &[0]].concat();
    // exe + args are 4096 together at most: "x\0", the first long one with its NUL, and what is left of the second.
    let mut over_args = [nul(&long), vec![b'a'; 4096 - 2 - 3001]].concat();
    *over_args.last_mut().unwrap() = 0;
    let mut over_env = [nul(b"x"), nul(&long), vec![b'a'; 4096 - 2 - 3001]].concat();
    *over_env.last_mut().unwrap() = 0;
    let mut cut = vec![b'f'; 4095];
    cut.push(0);
    let both = b"A=1\0\0B=\xFF\0".to_vec();
    let f = |name, argv, env, exe: &[u8], args: Vec<u8>, environment: Vec<u8>| Failing {
        name,
        argv,
        env,
        exe: exe.to_vec(),
        args,
        environment,
    };
    vec![
        f("usual", usual, env, b"zero\0", b"one\0\0three\0".to_vec(), both.clone()),
        f("one argument", only, none, b"only\0", vec![], vec![]),
        f("NULL", 0, 0, b"\0", vec![], vec![]),
        // Upstream goes on behind the end here.
        f("an empty vector", none, env, b"", vec![], both),
        f("20, of which 16 are kept", twenty, twenty, b"ab\0", b"ab\0".repeat(15), b"ab\0".repeat(16)),
        f("over 4096 bytes", over, over, b"x\0", over_args, over_env),
        f("a first argument of 4096 bytes", whole, 0, &cut, vec![], vec![]),
        f("a vector that cannot be read", hole.hole(), hole.hole(), b"", vec![], vec![]),
    ]
}

fn failures(c: &mut Ctx) {
    let hole = Scratch::new();
    let (mut keep, mut arrays) = (Vec::new(), Vec::new());
    let gone = text("/non/existent/../path");
    for v in vectors(&mut keep, &mut arrays, &hole) {
        let before = faults();
        let r = call!(c, format!("execve fails: {}", v.name), SYS_execve, gone.as_ptr(), v.argv, v.env);
        assert_eq!(r, ENOENT);
        let mut params = failed(c, r, v.exe, v.args, v.environment, before);
        params.push((&gone).into());
        c.event(id::SYSCALL_EXECVE_19_X, params);
    }
    let file = c.path("not a program");
    std::fs::write(c.dir.join("not a program"), "x").unwrap();
    for (path, want) in [(file.as_ptr() as i64, -13), (0, -14), (hole.hole(), -14)] {
        let before = faults();
        let r = call!(c, "execve fails: paths", SYS_execve, path, 0, 0);
        assert_eq!(r, want);
        let mut params = failed(c, r, vec![0], vec![], vec![], before);
        params.push(if want == -13 { (&file).into() } else { EMPTY.into() });
        c.event(id::SYSCALL_EXECVE_19_X, params);
    }
}

fn at_failures(c: &mut Ctx) {
    let hole = Scratch::new();
    let (mut keep, mut arrays) = (Vec::new(), Vec::new());
    let gone = text("none");
    for v in vectors(&mut keep, &mut arrays, &hole) {
        let before = faults();
        let r = call!(c, format!("execveat fails: {}", v.name), SYS_execveat, -100, gone.as_ptr(), v.argv, v.env, 0);
        assert_eq!(r, ENOENT);
        let params = failed(c, r, v.exe, v.args, v.environment, before);
        c.event(id::SYSCALL_EXECVEAT_X, params);
    }
}
