//! The same calls as `strace -f` saw at the same time: same calls, same results, same order in every thread.
//!
//! Rules, where the two look at different moments:
//! * The probe sees the end of calls. A call that does not come back (`exit`, `exit_group`, one in which the thread is
//!   killed) has no event, or one more than strace's line says that it began: a thread's last call may be missing in
//!   either. `rt_sigreturn` ends with the registers of what it returns to, and has no event.
//! * A call that a signal broke off ends with -512 (ERESTARTSYS), -513 (ERESTARTNOINTR), -514 (ERESTARTNOHAND) or -516
//!   (ERESTART_RESTARTBLOCK): strace prints `? ERESTARTSYS` and the like, the event has the number.
//! * An execve or execveat that succeeds comes from the program's start, which is before the end of the call: its
//!   result is 0, and it is an execve. In a
//!   thread that is not the first it takes the first one's number; strace says so, and the workload does not do it here.
//! * The child's side of a clone is an event of the child and no line of strace's.
//! * Calls without an event of their own have no result in their event: only their name is compared.
//! * sendmmsg and recvmmsg give an event for each message: together they are one call, its result their number.
//! * Numbers that are no calls (strace: `syscall_0x...`) have no event. strace prints calls that it is too old to know
//!   the same way.

use super::record::{Recorded, record};
use scapkit_format::schema::{self, id};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;

/// A call: its name (or the names that its event may mean) and its result, if it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Call {
    names: Vec<String>,
    result: Option<i64>,
}

/// Compares shells and pipes, Python with threads and sockets, and the workload itself.
pub fn same_calls() -> Result<(), String> {
    if let Some(why) = super::harness::why_not() {
        return Err(format!("SKIPPED: {why}"));
    }
    if Command::new("strace").arg("-V").output().is_err() {
        return Err("SKIPPED: strace is not installed".into());
    }
    let mut faults = Vec::new();
    let pipeline = "for i in 1 2 3; do ls / | sort -r | head -n 2 > /dev/null; done; cat /no/such/file 2>/dev/null; kill -USR1 $$ & trap : USR1; wait; sleep 0.01";
    faults.extend(compare("sh", &[OsStr::new("sh"), OsStr::new("-c"), OsStr::new(pipeline)])?);
    let script = "import threading, socket, subprocess, time\n\
        s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n\
        def serve():\n    c, _ = s.accept(); c.sendall(c.recv(100)); c.close()\n\
        ts = [threading.Thread(target=serve)] + [threading.Thread(target=time.sleep, args=(0.02,)) for _ in range(10)]\n\
        [t.start() for t in ts]\n\
        c = socket.create_connection(s.getsockname()); c.sendall(b'x' * 50); c.recv(100)\n\
        [t.join() for t in ts]\n\
        [subprocess.run(['true']) for _ in range(5)]\n";
    if Command::new("python3").arg("-V").output().is_ok() {
        faults.extend(compare("python3", &[OsStr::new("python3"), OsStr::new("-c"), OsStr::new(script)])?);
    } else if std::env::var_os("SCAPKIT_CI").is_some_and(|v| v == "1") {
        faults.push("python3 is not installed".into());
    } else {
        super::harness::say("SKIPPED: python3 is not installed: strace is compared with less");
    }
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    faults.extend(compare("workload", &[exe.as_os_str()])?);
    super::harness::outcome(&faults)
}

fn compare(what: &str, program: &[&OsStr]) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let log = dir.path().join("strace");
    // The shell waits until it is recorded, then becomes strace.
    let mut command = Command::new("sh");
    command.args(["-c", "cat; exec strace -f -qq -o \"$@\" < /dev/null", "sh"]).arg(&log).args(program);
    command
        .env("SCAPKIT_WORKLOAD", "plain")
        .env("SCAPKIT_WORKLOAD_DIR", dir.path())
        .env("SCAPKIT_WORKLOAD_SNAPLEN", "80");
    command.env_remove("SCAPKIT_WORKLOAD_DUMP");
    let options = scapkit_capture::ebpf::ProbeOptions { signals: false, ..Default::default() };
    let recording = record(&options, &mut command, Duration::from_secs(200))?;
    let text = std::fs::read(&log).map_err(|e| format!("strace wrote nothing: {e}"))?;
    let (lines, first) = parse(&String::from_utf8_lossy(&text));
    let mut faults = Vec::new();
    if recording.counters.drops() != 0 {
        faults.push(format!("{what}: {} events were lost", recording.counters.drops()));
    }
    let (mut calls, threads) = (0, recording.threads());
    for (tid, theirs) in &lines {
        let none = Vec::new();
        let events = threads.get(tid).unwrap_or(&none);
        let ours = ours(events, Some(*tid) == first);
        calls += theirs.len();
        if let Err(e) = same(theirs, &ours) {
            faults.push(format!("{what}: thread {tid}: {e}"));
        }
    }
    println!("strace {what}: {calls} calls of {} threads compared", lines.len());
    if calls < 100 {
        faults.push(format!("{what}: only {calls} calls in strace's log"));
    }
    Ok(faults)
}

fn same(theirs: &[Call], ours: &[Call]) -> Result<(), String> {
    for (n, (a, b)) in theirs.iter().zip(ours).enumerate() {
        let known = a.result.is_none() || b.result.is_none() || a.result == b.result;
        if !a.names.iter().any(|name| b.names.contains(name)) || !known {
            let around = |calls: &[Call]| calls[n.saturating_sub(2)..calls.len().min(n + 3)].to_vec();
            return Err(format!("call {n}: strace has {:?}, the probe {:?}", around(theirs), around(ours)));
        }
    }
    // Only a last call that does not come back may be missing, in either.
    if theirs.len().abs_diff(ours.len()) > 1 {
        return Err(format!("strace has {} calls, the probe {}", theirs.len(), ours.len()));
    }
    Ok(())
}

/// A thread's events as calls.
fn ours(events: &[&Recorded], is_first: bool) -> Vec<Call> {
    let number = |e: &Recorded| {
        let bytes: [u8; 8] = e.params.first()?.as_slice().try_into().ok()?;
        Some(i64::from_le_bytes(bytes))
    };
    // strace's child makes calls of its own before it becomes the program.
    let skip = if is_first {
        events.iter().position(|e| e.id == id::SYSCALL_EXECVE_19_X && number(e) == Some(0)).unwrap_or(0)
    } else {
        0
    };
    let mut out: Vec<Call> = Vec::new();
    for (at, e) in events.iter().enumerate().skip(skip) {
        let Some(info) = schema::event_info(e.id) else { continue };
        if info.is_enter() {
            continue; // enter events, switches, exits
        }
        let born = matches!(
            e.id,
            id::SYSCALL_CLONE_20_X | id::SYSCALL_CLONE3_X | id::SYSCALL_FORK_20_X | id::SYSCALL_VFORK_20_X
        );
        if born && at == 0 && number(e) == Some(0) {
            continue;
        }
        if e.id == id::GENERIC_X {
            let code = e.params.first().and_then(|p| p.as_slice().try_into().ok()).map_or(0, u16::from_le_bytes);
            out.push(Call { names: vec![schema::syscall_name(code).unwrap_or("?").to_owned()], result: None });
            continue;
        }
        if e.id == id::SYSCALL_EXECVE_19_X && number(e) == Some(0) {
            out.push(Call { names: vec!["execve".into(), "execveat".into()], result: Some(0) });
            continue;
        }
        let names: Vec<String> =
            info.syscalls.iter().filter_map(|c| schema::syscall_name(*c)).map(ToOwned::to_owned).collect();
        let several = matches!(e.id, id::SOCKET_SENDMMSG_X | id::SOCKET_RECVMMSG_X);
        if several && out.last().is_some_and(|c| c.names == names && c.result.is_none()) {
            continue;
        }
        let wide = info.params.first().is_some_and(|p| p.kind.fixed_size() == Some(8));
        let small = info.params.first().filter(|p| p.name.ends_with("id") && p.kind.fixed_size() == Some(4));
        let result = match (several, wide, small) {
            (true, ..) => None,
            (_, true, _) => number(e),
            (.., Some(_)) => {
                e.params.first().and_then(|p| p.as_slice().try_into().ok()).map(|b| u32::from_le_bytes(b).into())
            }
            _ => None,
        };
        out.push(Call { names, result });
    }
    out
}

/// strace's log: calls by thread, and the thread that comes first.
fn parse(log: &str) -> (BTreeMap<i64, Vec<Call>>, Option<i64>) {
    let mut calls: BTreeMap<i64, Vec<Call>> = BTreeMap::new();
    let mut first = None;
    for line in log.lines() {
        let Some((tid, rest)) = line.split_once(' ') else { continue };
        let Ok(tid) = tid.parse::<i64>() else { continue };
        let rest = rest.trim_start();
        first = first.or(Some(tid));
        if rest.starts_with("+++")
            || rest.starts_with("---")
            || rest.ends_with("<unfinished ...>")
            || rest.ends_with("<detached ...>")
        {
            calls.entry(tid).or_default();
            continue;
        }
        let name = rest.strip_prefix("<... ").map_or_else(|| rest.split('(').next(), |r| r.split(' ').next());
        let name = name.unwrap_or_default();
        if matches!(name, "exit" | "exit_group" | "rt_sigreturn") {
            continue;
        }
        // A call that this strace is too old to know, or that nobody does.
        let name = match name.strip_prefix("syscall_0x").and_then(|n| u16::from_str_radix(n, 16).ok()) {
            Some(number) => match schema::native_x86_64(number).and_then(|n| schema::syscall_name(n.code)) {
                Some(known) => known,
                None => continue,
            },
            None if name.starts_with("syscall_") => continue,
            None => name,
        };
        // "name(arguments)   = result ..."; what is in quotes may look the same, and comes before.
        let Some(text) = result_text(rest) else { continue };
        let result = result(text);
        calls.entry(tid).or_default().push(Call { names: vec![name.to_owned()], result });
    }
    (calls, first)
}

/// What follows the last " = " that a closing bracket stands before.
fn result_text(line: &str) -> Option<&str> {
    let at = line.match_indices(" = ").filter(|(at, _)| line[..*at].trim_end().ends_with(')')).last()?.0;
    line.get(at + 3..)
}

/// The number that is meant; `None` if it cannot be told.
fn result(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let word = words.next()?;
    match word {
        "?" => words.next().and_then(errno),
        "-1" => words.next().and_then(errno).or(Some(-1)),
        _ => {
            let hex = word.strip_prefix("0x").and_then(|h| u64::from_str_radix(h, 16).ok()).map(u64::cast_signed);
            hex.or_else(|| word.parse().ok())
        }
    }
}

fn errno(name: &str) -> Option<i64> {
    use libc::{
        E2BIG, EACCES, EADDRINUSE, EAFNOSUPPORT, EAGAIN, EBADF, EBADFD, EBUSY, ECHILD, ECONNREFUSED, EEXIST, EFAULT,
        EFBIG, EINPROGRESS, EINTR, EINVAL, EIO, EISCONN, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENODATA, ENODEV, ENOENT,
        ENOEXEC, ENOKEY, ENOMEM, ENOPROTOOPT, ENOSYS, ENOTCONN, ENOTDIR, ENOTEMPTY, ENOTSOCK, ENOTTY, ENXIO,
        EOPNOTSUPP, EPERM, ERANGE, ESPIPE, ESRCH, ETIMEDOUT, EXDEV,
    };
    macro_rules! table {
        ($($e:ident)*) => { match name { $(stringify!($e) => Some(-i64::from($e)),)* _ => None } };
    }
    match name {
        "ERESTARTSYS" => Some(-512),
        "ERESTARTNOINTR" => Some(-513),
        "ERESTARTNOHAND" => Some(-514),
        "ERESTART_RESTARTBLOCK" => Some(-516),
        _ => table!(
            E2BIG EACCES EADDRINUSE EAFNOSUPPORT EAGAIN EBADF EBADFD EBUSY ECHILD ECONNREFUSED EEXIST EFAULT EFBIG EINPROGRESS
            EINTR EINVAL EIO EISCONN EISDIR ELOOP EMFILE ENAMETOOLONG ENODATA ENODEV ENOENT ENOEXEC ENOKEY ENOMEM
            ENOPROTOOPT ENOSYS ENOTCONN ENOTDIR ENOTEMPTY ENOTSOCK ENOTTY ENXIO EOPNOTSUPP EPERM ERANGE ESPIPE ESRCH
            ETIMEDOUT EXDEV
        ),
    }
}
