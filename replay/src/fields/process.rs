//! `proc.*` and `thread.*`: the event's thread, its process, its parents.

use super::fd::type_name;
use super::{Arg, Field, Takes, Value, field};
use crate::Context;
use crate::engine::{Fd, Thread};
use crate::text::{Sink, numbers};

pub(super) const FIELDS: &[Field] = &[
    field("thread.tid", |cx, _, _| (cx.event.tid >= -1).then_some(Value::Signed(cx.event.tid))).colour("36"),
    field("thread.vtid", |cx, _, _| thread(cx, |t| Value::Signed(t.vtid)).filter(known)),
    field("thread.ismain", |cx, _, _| thread(cx, |t| Value::Bool(t.tid == t.pid))),
    field("thread.pfmajor", |cx, _, _| thread(cx, |t| Value::Unsigned(t.pfmajor))),
    field("thread.pfminor", |cx, _, _| thread(cx, |t| Value::Unsigned(t.pfminor))),
    field("thread.nametid", |cx, _, sink| {
        let t = cx.thread()?;
        sink.out.extend_from_slice(&t.comm);
        numbers::signed(sink.out, t.tid);
        Some(Value::Written)
    }),
    field("thread.cgroups", |cx, _, sink| {
        let t = cx.thread()?;
        list(sink, &t.cgroups, b' ');
        (!t.cgroups.is_empty()).then_some(Value::Written)
    }),
    field("proc.name", |cx, _, _| thread(cx, |t| Value::Text(&t.comm))).colour("01;32"),
    field("proc.exe", |cx, _, _| thread(cx, |t| Value::Text(&t.exe))),
    field("proc.exepath", |cx, _, _| thread(cx, |t| Value::Text(&t.exepath))),
    field("proc.args", arguments).takes(Takes::Index),
    field("proc.cmdline", |cx, _, sink| cmdline(cx.thread(), sink)),
    field("proc.exeline", |cx, _, sink| {
        let t = cx.thread()?;
        sink.out.extend_from_slice(&t.exe);
        sink.out.push(b' ');
        list(sink, &t.args, b' ');
        Some(Value::Written)
    }),
    field("proc.cmdnargs", |cx, _, _| thread(cx, |t| Value::Unsigned(items(&t.args).count() as u64))),
    field("proc.cmdlenargs", |cx, _, _| thread(cx, |t| Value::Unsigned(items(&t.args).map(|a| a.len() as u64).sum()))),
    field("proc.cwd", |cx, _, _| {
        cx.thread()?;
        cx.engine.cwd(cx.bound.tid).map(Value::Text)
    }),
    field("proc.tty", |cx, _, _| thread(cx, |t| Value::Unsigned(u64::from(t.tty)))),
    field("proc.pid", |cx, _, _| thread(cx, |t| Value::Signed(t.pid))).colour("01;36"),
    field("proc.vpid", |cx, _, _| thread(cx, |t| Value::Signed(t.vpid)).filter(known)),
    field("proc.sid", |cx, _, _| thread(cx, |t| Value::Signed(t.sid))),
    field("proc.vpgid", |cx, _, _| thread(cx, |t| Value::Signed(t.vpgid))),
    field("proc.pgid", |cx, _, _| thread(cx, |t| Value::Signed(t.pgid))),
    field("proc.ppid", |cx, _, _| parent(cx).map(|p| Value::Signed(p.pid))),
    field("proc.pname", |cx, _, _| parent(cx).map(|p| Value::Text(&p.comm))),
    field("proc.pexe", |cx, _, _| parent(cx).map(|p| Value::Text(&p.exe))),
    field("proc.pexepath", |cx, _, _| parent(cx).map(|p| Value::Text(&p.exepath))),
    field("proc.pcmdline", |cx, _, sink| cmdline(parent(cx), sink)),
    field("proc.duration", |cx, _, _| {
        let t = cx.thread().filter(|t| t.clone_ts != 0)?;
        Some(Value::Unsigned(cx.event.ts.wrapping_sub(t.clone_ts)))
    }),
    field("proc.pid.ts", |cx, _, _| cx.thread().filter(|t| t.clone_ts != 0).map(|t| Value::Unsigned(t.clone_ts))),
    field("proc.is_exe_writable", |cx, _, _| thread(cx, |t| Value::Bool(t.exe_writable))),
    field("proc.is_exe_upper_layer", |cx, _, _| thread(cx, |t| Value::Bool(t.exe_upper_layer))),
    field("proc.is_exe_lower_layer", |cx, _, _| thread(cx, |t| Value::Bool(t.exe_lower_layer))),
    field("proc.is_exe_from_memfd", |cx, _, _| thread(cx, |t| Value::Bool(t.exe_from_memfd))),
    field("proc.is_sid_leader", |cx, _, _| thread(cx, |t| Value::Bool(t.sid == t.vpid))),
    field("proc.is_vpgid_leader", |cx, _, _| thread(cx, |t| Value::Bool(t.vpgid == t.vpid))),
    field("proc.is_pgid_leader", |cx, _, _| thread(cx, |t| Value::Bool(t.pgid == t.pid))),
    field("proc.fdlimit", |cx, _, _| thread(cx, |t| Value::Signed(t.fdlimit))),
    field("proc.fdopencount", |cx, _, _| open_fds(cx).map(Value::Unsigned)),
    field("proc.fdusage", |cx, _, _| {
        let (open, limit) = (open_fds(cx)?, cx.thread()?.fdlimit);
        Some(Value::Double(if limit > 0 { (open as f64 * 100.0 / limit as f64).min(100.0) } else { 0.0 }))
    }),
    field("proc.stdin.type", |cx, _, _| standard(cx, 0).map(kind)),
    field("proc.stdin.name", |cx, _, _| standard(cx, 0).map(|fd| Value::Text(&fd.name))),
    field("proc.stdout.type", |cx, _, _| standard(cx, 1).map(kind)),
    field("proc.stdout.name", |cx, _, _| standard(cx, 1).map(|fd| Value::Text(&fd.name))),
    field("proc.stderr.type", |cx, _, _| standard(cx, 2).map(kind)),
    field("proc.stderr.name", |cx, _, _| standard(cx, 2).map(|fd| Value::Text(&fd.name))),
    field("proc.vmsize", |cx, _, _| thread(cx, |t| Value::Unsigned(u64::from(t.vmsize_kb)))),
    field("proc.vmrss", |cx, _, _| thread(cx, |t| Value::Unsigned(u64::from(t.vmrss_kb)))),
    field("proc.vmswap", |cx, _, _| thread(cx, |t| Value::Unsigned(u64::from(t.vmswap_kb)))),
];

fn thread<'v>(cx: &Context<'v>, get: fn(&'v Thread) -> Value<'v>) -> Option<Value<'v>> {
    cx.thread().map(get)
}

/// Fds of the event's process.
fn open_fds(cx: &Context<'_>) -> Option<u64> {
    let main = cx.engine.main_thread(cx.thread()?.tid)?;
    Some(cx.engine.fds(main.tid).count() as u64)
}

fn standard<'v>(cx: &Context<'v>, number: i64) -> Option<&'v Fd> {
    cx.engine.fd(cx.thread()?.tid, number)
}

fn kind<'v>(fd: &Fd) -> Value<'v> {
    Value::Text(type_name(fd.kind).as_bytes())
}

fn known(value: &Value<'_>) -> bool {
    *value != Value::Signed(-1)
}

/// The main thread of the parent of the event's process.
fn parent<'v>(cx: &Context<'v>) -> Option<&'v Thread> {
    let main = cx.engine.main_thread(cx.thread()?.tid)?;
    cx.engine.thread(main.ptid)?;
    cx.engine.main_thread(main.ptid)
}

/// The strings of a NUL-separated list.
fn items(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let list = Some(list).filter(|l| !l.is_empty());
    list.into_iter().flat_map(|l| l.split(|b| *b == 0))
}

/// Appends a NUL-separated list with another separator.
fn list(sink: &mut Sink<'_>, list: &[u8], separator: u8) {
    sink.out.extend(list.iter().map(|b| if *b == 0 { separator } else { *b }));
}

fn arguments<'v>(cx: &Context<'v>, arg: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    let t = cx.thread()?;
    if let Arg::Index(n) = *arg {
        return Some(Value::Text(items(&t.args).nth(n).unwrap_or_default()));
    }
    list(sink, &t.args, b' ');
    Some(Value::Written)
}

fn cmdline<'v>(thread: Option<&Thread>, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    let t = thread?;
    sink.out.extend_from_slice(&t.comm);
    if !t.args.is_empty() {
        sink.out.push(b' ');
        list(sink, &t.args, b' ');
    }
    Some(Value::Written)
}
