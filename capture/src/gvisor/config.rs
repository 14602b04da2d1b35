//! What gVisor must be told: which points to trace with which fields, and where to send the messages (gvisor spec
//! sections 2 and 10).
//!
//! # What is lost in silence
//! A sandbox throws a message away when a text in it is not UTF-8, and counts it nowhere. A workload chooses most
//! texts: paths and arguments of its calls, and, as fields that a session may ask for, its working directory
//! (`cwd`), its name (`process_name`), its environment (`envv`), paths of fds (`fd_path`). With `cwd` on every point,
//! a process in a directory of such a name is not seen at all. So
//!
//! * texts are asked for only where they are needed: at the beginning of a container, at the ends of clone and exec;
//! * each call whose message holds a text is traced twice by [`PointSet::Recommended`]: as such, and raw, that is by
//!   its number with six registers and numbers as context ([`RAW_TWIN`] has no text at all). When the first is lost,
//!   the second still tells that the call was made, by whom and with what result.
//!
//! `container/start` has texts and no twin: they are those of the container's configuration, before its first
//! instruction, and no workload's.

use super::raw::Arch;
use crate::{Error, Result};
use scapkit_format::schema;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of a session: gVisor has one, of this name.
pub const SESSION: &str = "Default";
/// Where scapkit listens if nothing else is said.
pub const SOCKET: &str = "/run/scapkit/gvisor.sock";
/// The kind of sink that sends messages to a monitor.
const REMOTE: &str = "remote";
/// Longest path of a socket.
const MAX_SOCKET: usize = 107;
/// Most points of a program: there are 991 in 2022.
const MAX_POINTS: usize = 1 << 16;

/// Numbers, and the container's id, which runsc was given: on every point. The last two are of 2026.
const BASE: &[&str] = &["time", "thread_id", "group_id", "container_id", "parent_thread_group_id", "is_exec_session"];
/// Fields that [`PointSet::Recommended`] asks for on raw points beside the calls they are twins of: numbers.
pub const RAW_TWIN: &[&str] = BASE;
const STARTS: &[&str] = &["task_start_time", "thread_group_start_time"];
const CREDENTIALS: &[&str] = &["credentials"];
/// Texts that the workload chooses.
const TEXTS: &[&str] = &["cwd", "process_name"];

/// Optional fields without a text of the workload's; what is not here is taken for one.
const PLAIN_OPTIONAL: &[&str] = &["binary_info", "binary_sha256", "binary_sha1"];

/// Calls whose messages have no text unless a field asks for one; what is not here is taken to have one.
const PLAIN: &[&str] = &[
    "accept",
    "accept4",
    "bind",
    "clone",
    "close",
    "connect",
    "dup",
    "dup2",
    "dup3",
    "eventfd",
    "eventfd2",
    "fchdir",
    "fcntl",
    "fork",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "listen",
    "mmap",
    "pipe",
    "pipe2",
    "pread64",
    "preadv",
    "preadv2",
    "prlimit64",
    "ptrace",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readv",
    "setgid",
    "setresgid",
    "setresuid",
    "setsid",
    "setuid",
    "signalfd",
    "signalfd4",
    "socket",
    "socketpair",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_settime",
    "vfork",
    "write",
    "writev",
];

/// Calls that make processes. With texts at their exit, so with a twin each.
const CLONES: &[&str] = &["clone", "fork", "vfork"];
const EXECS: &[&str] = &["execve", "execveat"];
/// Calls after which credentials are others.
const SET_IDS: &[&str] = &["setuid", "setgid", "setresuid", "setresgid", "setsid"];

/// Calls that only have raw points and are worth them: what changes files, processes, credentials and the sandbox.
const RAW: &[&str] = &[
    "bpf",
    "capset",
    "chmod",
    "chown",
    "clone3",
    "close_range",
    "delete_module",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "finit_module",
    "init_module",
    "io_uring_setup",
    "kill",
    "lchown",
    "link",
    "linkat",
    "listen",
    "memfd_create",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "mount",
    "openat2",
    "pidfd_getfd",
    "pidfd_open",
    "pidfd_send_signal",
    "pivot_root",
    "prctl",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setgroups",
    "setns",
    "setregid",
    "setreuid",
    "setrlimit",
    "symlink",
    "symlinkat",
    "tgkill",
    "tkill",
    "truncate",
    "umount2",
    "unlink",
    "unlinkat",
    "unshare",
    "userfaultfd",
];
/// Those of them after which credentials are others.
const RAW_SET_IDS: &[&str] = &["capset", "setgroups", "setregid", "setreuid"];

/// Calls of [`PointSet::Minimal`].
const MINIMAL: &[&str] = &[
    "accept",
    "accept4",
    "bind",
    "chdir",
    "chroot",
    "clone",
    "connect",
    "creat",
    "execve",
    "execveat",
    "fchdir",
    "fork",
    "listen",
    "open",
    "openat",
    "ptrace",
    "setgid",
    "setresgid",
    "setresuid",
    "setsid",
    "setuid",
    "socket",
    "socketpair",
    "vfork",
];

/// A point of a session, or one that runsc offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Point {
    /// Its name: `container/start`, `sentry/...`, `syscall/NAME/enter`, `syscall/sysno/N/exit`.
    pub name: String,
    /// Fields of its own message.
    pub optional: Vec<String>,
    /// Fields about who did it.
    pub context: Vec<String>,
}

/// What a runsc can trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Points with all their fields, in the order of their names.
    pub points: Vec<Point>,
}

/// Which points a session has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PointSet {
    /// Processes, programs, opened files and connections: exits only, numbers only beside what a call is about. A
    /// call whose own path or arguments are not UTF-8 is lost; nothing that a process is or has can hide others.
    Minimal,
    /// All calls with messages of their own and useful raw ones; no call can be hidden by what is not UTF-8.
    #[default]
    Recommended,
    /// All points with all fields. A process that calls itself by what is not UTF-8 is not seen.
    All,
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// The socket on which the monitor listens: an absolute path.
    pub socket: PathBuf,
    /// How often a message is tried again when the monitor is slow. The call that it tells of waits meanwhile.
    pub retries: u32,
    /// First pause between tries; each later one is twice as long.
    pub backoff: Duration,
    /// Longest pause.
    pub backoff_max: Duration,
    /// Without a monitor a container does not start, and a running sandbox gets no session.
    pub fail_closed: bool,
}

impl Default for Sink {
    fn default() -> Self {
        let (backoff, backoff_max) = (Duration::from_micros(25), Duration::from_millis(10));
        Sink { socket: SOCKET.into(), retries: 3, backoff, backoff_max, fail_closed: false }
    }
}

impl Metadata {
    /// Reads the output of `runsc trace metadata`.
    ///
    /// # Errors
    /// Says in words what is missing: lists that are not there or cut short, or a sink for monitors.
    pub fn parse(text: &str) -> Result<Metadata, String> {
        let (mut points, mut sinks) = (Vec::new(), Vec::new());
        let (mut section, mut count) = ("", None);
        for (number, line) in text.lines().enumerate() {
            let bad = |what: &str| format!("line {}: wanted {what}, found {:.80?}", number + 1, line);
            let Some(rest) = line.trim().strip_prefix("Name: ") else {
                if let Some((name, rest)) = line.split_once(" (") {
                    section = name;
                    if section == "POINTS" {
                        let n = rest.strip_suffix(')').and_then(|n| n.parse::<usize>().ok());
                        count = Some(n.filter(|n| *n <= MAX_POINTS).ok_or_else(|| bad("POINTS (N)"))?);
                    }
                }
                continue;
            };
            match section {
                "POINTS" if points.len() <= MAX_POINTS => points.push(point(rest).ok_or_else(|| bad("a point"))?),
                "SINKS" => sinks.push(rest),
                _ => {}
            }
        }
        let count = count.ok_or("it has no list of points")?;
        if points.len() != count {
            return Err(format!("wanted {count} points, found {}", points.len()));
        }
        if !sinks.contains(&REMOTE) {
            return Err(format!("wanted a sink {REMOTE}, found {sinks:?}: it cannot send messages to a monitor"));
        }
        points.sort_by(|a, b| a.name.cmp(&b.name));
        points.dedup_by(|a, b| a.name == b.name);
        Ok(Metadata { points })
    }

    /// The processor that this runsc is for. It shows in the calls that only x86_64 has.
    pub fn arch(&self) -> Arch {
        let has = |name: &str| self.points.iter().any(|p| p.name == name);
        match (has("syscall/open/exit"), has("syscall/openat/exit")) {
            (false, true) => Arch::Aarch64,
            _ => Arch::X86_64,
        }
    }
}

/// `NAME, optional fields: [a|b], context fields: [c|d]`.
fn point(text: &str) -> Option<Point> {
    let (name, rest) = text.split_once(", optional fields: [")?;
    let (optional, rest) = rest.split_once("], context fields: [")?;
    let (context, _) = rest.split_once(']')?;
    let fields = |list: &str| list.split('|').filter(|f| !f.is_empty()).map(str::to_owned).collect();
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    is_name.then(|| Point { name: name.to_owned(), optional: fields(optional), context: fields(context) })
}

/// What a point is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About<'a> {
    /// A call with a message of its own.
    Call {
        name: &'a str,
        exit: bool,
    },
    /// A call by its number.
    Raw(u16),
    Other,
}

fn about(name: &str) -> About<'_> {
    let parts = name.strip_prefix("syscall/").and_then(|rest| rest.rsplit_once('/'));
    let Some((call, side)) = parts.filter(|(_, side)| ["enter", "exit"].contains(side)) else { return About::Other };
    match call.strip_prefix("sysno/") {
        Some(number) => number.parse().map_or(About::Other, About::Raw),
        None => About::Call { name: call, exit: side == "exit" },
    }
}

/// The number of a call; `None` where the processor has none of that name.
fn number(arch: Arch, name: &str) -> Option<u16> {
    let table = match arch {
        Arch::X86_64 => &schema::SYSCALLS_X86_64[..],
        Arch::Aarch64 => &schema::SYSCALLS_AARCH64[..],
    };
    table.iter().find(|call| schema::syscall_name(call.code) == Some(name)).map(|call| call.number)
}

/// The points of a session with their fields, in the order of their names, out of what runsc offers.
pub fn points(metadata: &Metadata, set: PointSet, arch: Arch) -> Vec<Point> {
    let offered = &metadata.points;
    let with = |point: &Point, optional: &[&str], context: &[&[&str]]| {
        let have = |list: &[String], wanted: &str| list.iter().any(|f| f == wanted).then(|| wanted.to_owned());
        Point {
            name: point.name.clone(),
            optional: optional.iter().filter_map(|f| have(&point.optional, f)).collect(),
            context: context.iter().copied().flatten().filter_map(|f| have(&point.context, f)).collect(),
        }
    };
    let minimal = |point: &Point| match about(&point.name) {
        About::Call { name, exit: true } if EXECS.contains(&name) || CLONES.contains(&name) => {
            Some(with(point, &[], &[BASE, STARTS, CREDENTIALS]))
        }
        About::Call { name, exit: true } if SET_IDS.contains(&name) => Some(with(point, &[], &[BASE, CREDENTIALS])),
        About::Call { name, exit: true } if MINIMAL.contains(&name) => Some(with(point, &[], &[BASE])),
        About::Call { .. } | About::Raw(_) => None,
        About::Other => match point.name.as_str() {
            "container/start" | "sentry/clone" => Some(with(point, &[], &[BASE, STARTS, CREDENTIALS])),
            "sentry/execve" => Some(with(point, &["binary_info"], &[BASE])),
            "sentry/exit_notify_parent" | "sentry/task_exit" => Some(with(point, &[], &[BASE])),
            _ => None,
        },
    };
    let schematized = offered.iter().filter_map(|point| match about(&point.name) {
        About::Call { name, .. } => Some(name),
        _ => None,
    });
    let twins = schematized.filter(|name| !PLAIN.contains(name) || CLONES.contains(name));
    let numbers = |names: &[&str]| names.iter().filter_map(|name| number(arch, name)).collect::<BTreeSet<u16>>();
    // Calls that only later versions have messages for need no raw point there.
    let has = |name: &str| offered.iter().any(|p| about(&p.name) == About::Call { name, exit: true });
    let mut raw: BTreeSet<u16> = RAW.iter().filter(|name| !has(name)).filter_map(|name| number(arch, name)).collect();
    raw.extend(twins.filter_map(|name| number(arch, name)));
    let raw_set_ids = numbers(RAW_SET_IDS);
    let recommended = |point: &Point| match about(&point.name) {
        About::Call { name, exit: true } if EXECS.contains(&name) => {
            Some(with(point, &["envv"], &[BASE, STARTS, CREDENTIALS, TEXTS]))
        }
        About::Call { name, exit: true } if CLONES.contains(&name) => {
            Some(with(point, &[], &[BASE, STARTS, CREDENTIALS, TEXTS]))
        }
        About::Call { name, exit: true } if SET_IDS.contains(&name) => Some(with(point, &[], &[BASE, CREDENTIALS])),
        About::Call { .. } => Some(with(point, &[], &[BASE])),
        // gVisor takes the fields of a raw exit from the enter: both sides are alike.
        About::Raw(n) if raw_set_ids.contains(&n) => Some(with(point, &[], &[RAW_TWIN, CREDENTIALS])),
        About::Raw(n) => raw.contains(&n).then(|| with(point, &[], &[RAW_TWIN])),
        About::Other => Some(match point.name.as_str() {
            "container/start" => with(point, &["env"], &[BASE, STARTS, CREDENTIALS, TEXTS]),
            // A child whose message is lost has no parent: name and directory are those of the parent anyway.
            "sentry/clone" => with(point, &[], &[BASE, STARTS, CREDENTIALS]),
            "sentry/execve" => with(point, &["binary_info"], &[BASE, STARTS, CREDENTIALS]),
            _ => with(point, &[], &[BASE]),
        }),
    };
    match set {
        PointSet::Minimal => offered.iter().filter_map(minimal).collect(),
        PointSet::Recommended => offered.iter().filter_map(recommended).collect(),
        PointSet::All => offered.clone(),
    }
}

/// The texts of a point that the workload chooses, by what they are called in warnings.
fn texts(point: &Point) -> Vec<&str> {
    if point.name == "container/start" {
        return Vec::new();
    }
    let own = match about(&point.name) {
        About::Call { name, .. } => !PLAIN.contains(&name),
        About::Raw(_) => false,
        About::Other => ["sentry/execve", "sentry/mmap"].contains(&point.name.as_str()),
    };
    let is_text = |field: &&str| ![BASE, STARTS, CREDENTIALS, PLAIN_OPTIONAL].iter().any(|list| list.contains(field));
    let fields = point.context.iter().chain(&point.optional).map(String::as_str).filter(is_text);
    own.then_some(OWN).into_iter().chain(fields).collect()
}

/// What texts of a call's own are called.
const OWN: &str = "paths and arguments";

/// What a workload can hide from a session with these points, by a text that is not UTF-8, as sentences. Nothing for
/// points that all have a twin without texts: see the head of this module.
pub fn warnings(points: &[Point], arch: Arch) -> Vec<String> {
    let of = |name: &str| points.iter().find(|p| p.name == name);
    let is_safe = |name: String| of(&name).is_some_and(|p| texts(p).is_empty());
    let pair = |what: String| ["enter", "exit"].iter().all(|side| is_safe(format!("syscall/{what}/{side}")));
    let seen = |call: &str| pair(call.to_owned()) || number(arch, call).is_some_and(|n| pair(format!("sysno/{n}")));
    // Which calls a message that is no call's comes with, as far as the processor has them.
    let all = |calls: &[&str]| calls.iter().all(|call| number(arch, call).is_none() || seen(call));
    let has_twin = |point: &Point| match about(&point.name) {
        About::Call { name, .. } => seen(name),
        About::Raw(_) => false,
        About::Other => match point.name.as_str() {
            "sentry/clone" => all(CLONES),
            "sentry/execve" => all(EXECS),
            "sentry/mmap" => seen("mmap"),
            _ => false,
        },
    };
    let mut hidden: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for point in points {
        let found = texts(point);
        if !found.is_empty() && !has_twin(point) {
            for text in found {
                hidden.entry(text).or_default().push(&point.name);
            }
        }
    }
    let sentence = |(text, points): (&str, Vec<&str>)| {
        let some = points.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        let more = if points.len() > 3 { ", ..." } else { "" };
        let why = match text {
            "cwd" => "a process in a directory whose name is not UTF-8 sends none of these messages",
            "process_name" => "a process that gives itself a name that is not UTF-8 sends none of these messages",
            OWN => "a call with a path or an argument that is not UTF-8 sends no such message",
            "fd_path" => "a call on a file whose path is not UTF-8 sends no such message",
            "envv" => "a program that is started with an environment that is not UTF-8 sends no such message",
            _ => "where it is not UTF-8 the message is not sent",
        };
        format!("{text} on {} points ({some}{more}): {why}, and gVisor does not count it as lost", points.len())
    };
    hidden.into_iter().map(sentence).collect()
}

/// A path of a socket as a configuration can name it.
fn endpoint(socket: &Path) -> Result<&str> {
    let wrong = |why: &str| Error::Option(format!("socket {}: {why}", socket.display()));
    let text =
        socket.to_str().ok_or_else(|| wrong("its path is not UTF-8, which gVisor's configuration cannot name"))?;
    if !socket.is_absolute() {
        return Err(wrong("wanted an absolute path: runsc runs in another directory"));
    }
    if text.len() > MAX_SOCKET || text.contains('\0') {
        return Err(wrong(&format!("wanted at most {MAX_SOCKET} bytes, found {}", text.len())));
    }
    Ok(text)
}

/// A duration as Go reads it.
fn go(duration: Duration) -> String {
    match duration.as_nanos() {
        ns if ns % 1000 == 0 => format!("{}us", ns / 1000),
        ns => format!("{ns}ns"),
    }
}

/// The configuration of a session, for `runsc trace create`. Points and fields that runsc does not know it skips.
///
/// # Errors
/// [`Error::Option`] when the socket cannot be named, or the pauses are in the wrong order.
pub fn session(points: &[Point], sink: &Sink) -> Result<Value> {
    if sink.backoff > sink.backoff_max {
        let (first, most) = (go(sink.backoff), go(sink.backoff_max));
        return Err(Error::Option(format!("the first pause ({first}) is longer than the longest ({most})")));
    }
    let points: Vec<Value> = points
        .iter()
        .map(|p| json!({"name": p.name, "optional_fields": p.optional, "context_fields": p.context}))
        .collect();
    let config = json!({
        "endpoint": endpoint(&sink.socket)?, "retries": sink.retries,
        "backoff": go(sink.backoff), "backoff_max": go(sink.backoff_max),
    });
    let sink = json!({"name": REMOTE, "config": config, "ignore_setup_error": !sink.fail_closed});
    Ok(json!({"name": SESSION, "ignore_missing": true, "points": points, "sinks": [sink]}))
}

/// The same for `runsc --pod-init-config`, which gives the session to every sandbox that starts.
pub fn pod_init(session: &Value) -> Value {
    json!({ "trace_session": session })
}

#[cfg(test)]
mod tests;
