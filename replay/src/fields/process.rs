//! `proc.*` and `thread.*`: the event's thread and its process.
#![allow(clippy::unnecessary_wraps)] // the table's functions have one signature

use super::fd::type_name;
use super::lineage::{command_line, shown_id, spaced};
use super::{Arg, Field, Kind, Takes, Value, field};
use crate::Context;
use crate::engine::{Fd, Thread};
use crate::text::{Dialect, Sink, numbers};
use scapkit_format::schema::id;

pub(super) const FIELDS: &[Field] = &[
    field("thread.tid", Kind::Int64, |cx, _, _| shown_id(cx.event.tid)).colour("36"),
    field("thread.vtid", Kind::Int64, |cx, _, _| thread(cx, |t| Value::Signed(t.vtid)).filter(known)),
    field("thread.ismain", Kind::Bool, |cx, _, _| thread(cx, |t| Value::Bool(t.is_main()))),
    field("thread.pfmajor", Kind::Uint64, |cx, _, _| thread(cx, |t| Value::Unsigned(t.pfmajor))),
    field("thread.pfminor", Kind::Uint64, |cx, _, _| thread(cx, |t| Value::Unsigned(t.pfminor))),
    field("thread.nametid", Kind::Text, |cx, _, sink| {
        let t = cx.thread()?;
        sink.out.extend_from_slice(&t.comm);
        numbers::signed(sink.out, t.tid);
        Some(Value::Written)
    }),
    field("thread.cgroups", Kind::Text, |cx, _, sink| {
        let t = cx.thread()?;
        spaced(&t.cgroups, sink.out);
        (!t.cgroups.is_empty()).then_some(Value::Written)
    }),
    field("thread.cgroup", Kind::Text, |cx, arg, _| {
        let Arg::Key(subsystem) = arg else { return None };
        let mut paths = cx
            .thread()?
            .cgroups
            .split(|b| *b == 0)
            .filter_map(|entry| entry.strip_prefix(subsystem.as_bytes())?.strip_prefix(b"="));
        paths.next().map(Value::Text)
    })
    .takes(Takes::Word),
    // Today's libs says 0 in JSON: it asks twice, and the second answer counts.
    field("thread.exectime", Kind::RelTime, |cx, _, _| {
        Some(Value::Unsigned(if is_libs(cx) { 0 } else { cx.bound.since_switch }))
    }),
    field("thread.totexectime", Kind::RelTime, |cx, _, _| {
        let t = cx.thread()?;
        Some(Value::Unsigned(if is_libs(cx) { 0 } else { t.exec_ns }))
    }),
    field("thread.cpu", Kind::Double, |cx, _, _| spent(cx, u64::wrapping_add)),
    field("thread.cpu.user", Kind::Double, |cx, _, _| spent(cx, |user, _| user)),
    field("thread.cpu.system", Kind::Double, |cx, _, _| spent(cx, |_, system| system)),
    field("proc.name", Kind::Text, |cx, _, _| thread(cx, |t| Value::Text(&t.comm))).colour("01;32"),
    field("proc.exe", Kind::Text, |cx, _, _| thread(cx, |t| Value::Text(&t.exe))),
    field("proc.exepath", Kind::Text, |cx, _, _| thread(cx, |t| Value::Text(&t.exepath))),
    field("proc.args", Kind::Text, arguments).takes(Takes::Index),
    field("proc.cmdline", Kind::Text, |cx, _, sink| {
        command_line(cx.thread()?, sink.out);
        Some(Value::Written)
    }),
    field("proc.exeline", Kind::Text, |cx, _, sink| {
        let t = cx.thread()?;
        sink.out.extend_from_slice(&t.exe);
        sink.out.push(b' ');
        spaced(&t.args, sink.out);
        Some(Value::Written)
    }),
    field("proc.cmdnargs", Kind::Uint64, |cx, _, _| thread(cx, |t| Value::Unsigned(items(&t.args).count() as u64))),
    field("proc.cmdlenargs", Kind::Uint64, |cx, _, _| {
        thread(cx, |t| Value::Unsigned(items(&t.args).map(|a| a.len() as u64).sum()))
    }),
    field("proc.cwd", Kind::Text, |cx, _, _| {
        cx.thread()?;
        cx.engine.cwd(cx.bound.tid).map(Value::Text)
    }),
    field("proc.tty", Kind::Uint32, |cx, _, _| thread(cx, |t| Value::Unsigned(u64::from(t.tty)))),
    field("proc.pid", Kind::Int64, |cx, _, _| shown_id(cx.thread()?.pid)).colour("01;36"),
    field("proc.vpid", Kind::Int64, |cx, _, _| thread(cx, |t| Value::Signed(t.vpid)).filter(known)),
    field("proc.sid", Kind::Int64, |cx, _, _| thread(cx, |t| Value::Signed(t.sid))),
    field("proc.vpgid", Kind::Int64, |cx, _, _| thread(cx, |t| Value::Signed(t.vpgid))),
    field("proc.pgid", Kind::Int64, |cx, _, _| thread(cx, |t| Value::Signed(t.pgid))),
    field("proc.duration", Kind::RelTime, |cx, _, _| {
        let t = cx.thread().filter(|t| t.clone_ts != 0)?;
        Some(Value::Unsigned(cx.event.ts.wrapping_sub(t.clone_ts)))
    }),
    field("proc.pid.ts", Kind::RelTime, |cx, _, _| {
        cx.thread().filter(|t| t.clone_ts != 0).map(|t| Value::Unsigned(t.clone_ts))
    }),
    field("proc.is_exe_writable", Kind::Bool, |cx, _, _| thread(cx, |t| Value::Bool(t.exe_writable))),
    field("proc.is_exe_upper_layer", Kind::Bool, |cx, _, _| thread(cx, |t| Value::Bool(t.exe_upper_layer))),
    field("proc.is_exe_lower_layer", Kind::Bool, |cx, _, _| thread(cx, |t| Value::Bool(t.exe_lower_layer))),
    field("proc.is_exe_from_memfd", Kind::Bool, |cx, _, _| thread(cx, |t| Value::Bool(t.exe_from_memfd))),
    field("proc.is_sid_leader", Kind::Bool, |cx, _, _| thread(cx, |t| Value::Bool(t.sid == t.vpid))),
    field("proc.is_vpgid_leader", Kind::Bool, |cx, _, _| thread(cx, |t| Value::Bool(t.vpgid == t.vpid))),
    field("proc.is_pgid_leader", Kind::Bool, |cx, _, _| thread(cx, |t| Value::Bool(t.pgid == t.pid))),
    field("proc.fdlimit", Kind::Int64, |cx, _, _| fd_limit(cx).map(Value::Signed)),
    field("proc.fdopencount", Kind::Uint64, |cx, _, _| open_fds(cx).map(Value::Unsigned)),
    field("proc.fdusage", Kind::Double, |cx, _, _| {
        let (open, limit) = (open_fds(cx)?, fd_limit(cx)?);
        Some(Value::Double(if limit > 0 { (open as f64 * 100.0 / limit as f64).min(100.0) } else { 0.0 }))
    }),
    field("proc.stdin.type", Kind::Text, |cx, _, _| standard(cx, 0).map(kind)),
    field("proc.stdin.name", Kind::Text, |cx, _, _| standard(cx, 0).map(|fd| Value::Text(&fd.name))),
    field("proc.stdout.type", Kind::Text, |cx, _, _| standard(cx, 1).map(kind)),
    field("proc.stdout.name", Kind::Text, |cx, _, _| standard(cx, 1).map(|fd| Value::Text(&fd.name))),
    field("proc.stderr.type", Kind::Text, |cx, _, _| standard(cx, 2).map(kind)),
    field("proc.stderr.name", Kind::Text, |cx, _, _| standard(cx, 2).map(|fd| Value::Text(&fd.name))),
    field("proc.exe_ino", Kind::Int64, |cx, _, _| nonzero(cx, |t| t.exe_ino)),
    field("proc.exe_ino.ctime", Kind::AbsTime, |cx, _, _| nonzero(cx, |t| t.exe_ino_ctime)),
    field("proc.exe_ino.mtime", Kind::AbsTime, |cx, _, _| nonzero(cx, |t| t.exe_ino_mtime)),
    field("proc.exe_ino.ctime_duration_proc_start", Kind::AbsTime, |cx, _, _| nonzero(cx, |t| t.ctime_to_clone_ns)),
    field("proc.exe_ino.ctime_duration_pidns_start", Kind::AbsTime, |cx, _, _| nonzero(cx, |t| t.pidns_to_ctime_ns)),
    field("proc.pidns_init_start_ts", Kind::Uint64, |cx, _, _| nonzero(cx, |t| t.pidns_init_start_ts)),
    field("proc.nthreads", Kind::Uint64, |cx, _, _| {
        cx.thread().map(|t| Value::Unsigned(u64::from(cx.engine.alive_threads(t.pid))))
    }),
    field("proc.nchilds", Kind::Uint64, |cx, _, _| {
        let t = cx.thread()?;
        let alive = cx.engine.alive_threads(t.pid);
        let leads = cx.engine.main_thread(t.tid).is_some_and(|main| main.flags & CLOSED == 0);
        Some(Value::Unsigned(u64::from(alive.saturating_sub(u32::from(leads)))))
    }),
    field("thread.vmsize", Kind::Uint64, |cx, _, _| of_main(cx, |t| t.vmsize_kb, 1)),
    field("thread.vmsize.b", Kind::Uint64, |cx, _, _| of_main(cx, |t| t.vmsize_kb, 1024)),
    field("thread.vmrss", Kind::Uint64, |cx, _, _| of_main(cx, |t| t.vmrss_kb, 1)),
    field("thread.vmrss.b", Kind::Uint64, |cx, _, _| of_main(cx, |t| t.vmrss_kb, 1024)),
    field("thread.cap_permitted", Kind::Text, |cx, _, sink| capabilities(sink, cx.thread()?.cap_permitted)),
    field("thread.cap_inheritable", Kind::Text, |cx, _, sink| capabilities(sink, cx.thread()?.cap_inheritable)),
    field("thread.cap_effective", Kind::Text, |cx, _, sink| capabilities(sink, cx.thread()?.cap_effective)),
    field("proc.vmsize", Kind::Uint64, |cx, _, _| thread(cx, |t| Value::Unsigned(u64::from(t.vmsize_kb)))),
    field("proc.vmrss", Kind::Uint64, |cx, _, _| thread(cx, |t| Value::Unsigned(u64::from(t.vmrss_kb)))),
    field("proc.vmswap", Kind::Uint64, |cx, _, _| thread(cx, |t| Value::Unsigned(u64::from(t.vmswap_kb)))),
];

/// Flag of threads that have exited.
const CLOSED: u32 = 1 << 18;

/// Whether values are to be those of today's libs.
fn is_libs(cx: &Context<'_>) -> bool {
    cx.options.dialect == Dialect::Libs
}

fn thread<'v>(cx: &Context<'v>, get: fn(&'v Thread) -> Value<'v>) -> Option<Value<'v>> {
    cx.thread().map(get)
}

/// Fds of the event's process; none when its leader is not known.
pub(super) fn open_fds(cx: &Context<'_>) -> Option<u64> {
    let main = cx.engine.main_thread(cx.thread()?.tid);
    Some(main.map_or(0, |main| cx.engine.own_fd_count(main.tid) as u64))
}

/// How many fds the event's process may have; 0 when its leader is not known.
fn fd_limit(cx: &Context<'_>) -> Option<i64> {
    Some(cx.engine.main_thread(cx.thread()?.tid).map_or(0, |main| main.fdlimit))
}

/// How much of a processor's time a thread took since the event before that told it, 100 at most.
fn spent<'v>(cx: &Context<'v>, of: fn(u64, u64) -> u64) -> Option<Value<'v>> {
    if cx.event.event_type != id::PROCINFO_E {
        return None;
    }
    let (t, (user, system)) = (cx.thread()?, cx.bound.cpu_before);
    Some(Value::Double(match of(user, system) {
        0 => 0.0,
        _ if is_libs(cx) => 0.0,
        before => (of(t.cpu_user, t.cpu_system).wrapping_sub(before) as f64).min(100.0),
    }))
}

fn standard<'v>(cx: &Context<'v>, number: i64) -> Option<&'v Fd> {
    cx.engine.fd(cx.thread()?.tid, number)
}

fn kind<'v>(fd: &Fd) -> Value<'v> {
    Value::Text(type_name(fd.kind).as_bytes())
}

/// A number that is not known when it is 0.
fn nonzero<'v>(cx: &Context<'v>, get: fn(&Thread) -> u64) -> Option<Value<'v>> {
    cx.thread().map(get).filter(|n| *n != 0).map(Value::Unsigned)
}

/// Memory of the process: that of the main thread only, so that sums over threads are right.
fn of_main<'v>(cx: &Context<'v>, get: fn(&Thread) -> u32, unit: u64) -> Option<Value<'v>> {
    let t = cx.thread()?;
    let kb = if t.tid == t.pid { u64::from(get(t)) } else { 0 };
    Some(Value::Unsigned(kb.saturating_mul(unit)))
}

/// Capabilities by bit.
const CAPABILITIES: &str = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP \
    LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO \
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE \
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON \
    BPF CHECKPOINT_RESTORE";

fn capabilities<'v>(sink: &mut Sink<'_>, set: u64) -> Option<Value<'v>> {
    let start = sink.out.len();
    for (bit, name) in CAPABILITIES.split(' ').enumerate() {
        if set >> bit & 1 == 1 {
            sink.plain(if sink.out.len() > start { " CAP_" } else { "CAP_" });
            sink.plain(name);
        }
    }
    Some(Value::Written)
}

fn known(value: &Value<'_>) -> bool {
    *value != Value::Signed(-1)
}

/// The strings of a NUL-separated list.
fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let list = Some(list).filter(|l| !l.is_empty());
    list.into_iter().flat_map(|l| l.split(|b| *b == 0))
}

fn arguments<'v>(cx: &Context<'v>, arg: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    let t = cx.thread()?;
    if let Arg::Index(n) = *arg {
        return Some(Value::Text(items(&t.args).nth(n).unwrap_or_default()));
    }
    spaced(&t.args, sink.out);
    Some(Value::Written)
}
