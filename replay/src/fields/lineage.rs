//! `proc.a*`, `proc.p*` and the leaders of groups and sessions: threads that are reached from the
//! event's thread.

use super::process::open_fds;
use super::{Arg, Field, Kind, Takes, Traits, Value, field};
use crate::Context;
use crate::engine::{Engine, Thread};
use crate::text::Sink;

/// Without an index a comparison asks every ancestor.
pub(super) const COMPARED_EACH: Traits = Traits::NO_RHS.and(Traits::NO_TRANSFORMER);

pub(super) const FIELDS: &[Field] = &[
    field("proc.aname", Kind::Text, |cx, arg, sink| each(cx, arg, sink, |t, out| out.extend_from_slice(&t.comm)))
        .takes(Takes::Index)
        .traits(COMPARED_EACH),
    field("proc.aexe", Kind::Text, |cx, arg, sink| each(cx, arg, sink, |t, out| out.extend_from_slice(&t.exe)))
        .takes(Takes::Index)
        .traits(COMPARED_EACH),
    field("proc.aexepath", Kind::Text, |cx, arg, sink| each(cx, arg, sink, |t, out| out.extend_from_slice(&t.exepath)))
        .takes(Takes::Index)
        .traits(COMPARED_EACH),
    field("proc.aargs", Kind::Text, |cx, arg, sink| each(cx, arg, sink, arguments)).takes(Takes::Index),
    field("proc.acmdline", Kind::Text, |cx, arg, sink| each(cx, arg, sink, command_line))
        .takes(Takes::Index)
        .traits(COMPARED_EACH),
    field("proc.apid", Kind::Int64, |cx, arg, _| {
        let t = match *arg {
            Arg::Index(n) => ancestor(cx, n)?,
            _ => ancestor(cx, 0)?,
        };
        shown_id(t.pid)
    })
    .takes(Takes::Index)
    .traits(COMPARED_EACH),
    field("proc.ppid", Kind::Int64, |cx, _, _| ancestor(cx, 1).and_then(|p| shown_id(p.pid))),
    field("proc.pname", Kind::Text, |cx, _, _| ancestor(cx, 1).map(|p| Value::Text(&p.comm))),
    field("proc.pexe", Kind::Text, |cx, _, _| ancestor(cx, 1).map(|p| Value::Text(&p.exe))),
    field("proc.pexepath", Kind::Text, |cx, _, _| ancestor(cx, 1).map(|p| Value::Text(&p.exepath))),
    field("proc.pcmdline", Kind::Text, |cx, _, sink| {
        command_line(ancestor(cx, 1)?, sink.out);
        Some(Value::Written)
    }),
    field("proc.pvpid", Kind::Int64, |cx, _, _| parent(cx).map(|p| Value::Signed(p.vpid))),
    field("proc.ppid.ts", Kind::RelTime, |cx, _, _| parent(cx).map(|p| Value::Unsigned(p.clone_ts))),
    field("proc.ppid.duration", Kind::RelTime, |cx, _, _| {
        let parent = ancestor(cx, 1)?;
        Some(Value::Unsigned(match parent.clone_ts {
            // As upstream has it.
            0 => open_fds(cx)?,
            since => cx.event.ts.wrapping_sub(since),
        }))
    }),
    field("proc.loginshellid", Kind::Int64, |cx, _, _| {
        let main = cx.engine.main_thread(cx.thread()?.tid)?;
        let line = std::iter::once(main).chain(Ancestors::of(cx.engine, main));
        line.filter(|t| t.comm.ends_with(b"sh")).last().map(|t| Value::Signed(t.pid))
    }),
    field("proc.sname", Kind::Text, |cx, _, _| leader(cx, &SESSION, |t| &t.comm)),
    field("proc.sid.exe", Kind::Text, |cx, _, _| leader(cx, &SESSION, |t| &t.exe)),
    field("proc.sid.exepath", Kind::Text, |cx, _, _| leader(cx, &SESSION, |t| &t.exepath)),
    field("proc.vpgid.name", Kind::Text, |cx, _, _| leader(cx, &GROUP, |t| &t.comm)),
    field("proc.vpgid.exe", Kind::Text, |cx, _, _| leader(cx, &GROUP, |t| &t.exe)),
    field("proc.vpgid.exepath", Kind::Text, |cx, _, _| leader(cx, &GROUP, |t| &t.exepath)),
    field("proc.pgid.name", Kind::Text, |cx, _, _| leader(cx, &HOST_GROUP, |t| &t.comm)),
    field("proc.pgid.exe", Kind::Text, |cx, _, _| leader(cx, &HOST_GROUP, |t| &t.exe)),
    field("proc.pgid.exepath", Kind::Text, |cx, _, _| leader(cx, &HOST_GROUP, |t| &t.exepath)),
];

/// Largest id: those of gVisor's sandboxes are made unique above 32 bits, and JSON's numbers end there.
pub(super) const MAX_ID: i64 = 1 << 53;

/// An id as a field shows it: those that cannot be one are missing.
pub(super) fn shown_id<'v>(id: i64) -> Option<Value<'v>> {
    (-1..=MAX_ID).contains(&id).then_some(Value::Signed(id))
}
/// How far up is looked. Real trees are a few dozen deep; a hostile one has as many levels as threads.
const MAX_ANCESTORS: usize = 4096;
/// Longest text of all ancestors together.
const MAX_TEXT: usize = 1 << 20;

/// The n-th ancestor process: from a main thread to its parent's main thread. 0 is the event's own.
fn ancestor<'v>(cx: &Context<'v>, n: usize) -> Option<&'v Thread> {
    if n > MAX_ANCESTORS {
        return None;
    }
    let mut main = cx.engine.main_thread(cx.thread()?.tid)?;
    for _ in 0..n {
        cx.engine.thread(main.ptid)?;
        let above = cx.engine.main_thread(main.ptid)?;
        if above.tid == main.tid {
            return None;
        }
        main = above;
    }
    Some(main)
}

/// The thread that the event's thread names as its parent.
fn parent<'v>(cx: &Context<'v>) -> Option<&'v Thread> {
    cx.engine.thread(cx.thread()?.ptid)
}

/// The threads above a main thread, by parent ids. Ends in a loop, which hostile captures may have.
pub(crate) struct Ancestors<'v> {
    engine: &'v Engine,
    at: &'v Thread,
    /// Brent's loop detection: the thread that was met `steps` ago, and when to take another.
    mark: i64,
    steps: u32,
    turn: u32,
    left: usize,
}

impl<'v> Ancestors<'v> {
    pub(crate) fn of(engine: &'v Engine, main: &'v Thread) -> Self {
        Ancestors { engine, at: main, mark: main.tid, steps: 0, turn: 2, left: MAX_ANCESTORS }
    }
}

impl<'v> Iterator for Ancestors<'v> {
    type Item = &'v Thread;

    fn next(&mut self) -> Option<&'v Thread> {
        self.left = self.left.checked_sub(1)?;
        let next = self.engine.thread(self.at.ptid).filter(|t| t.tid != self.mark)?;
        self.steps = self.steps.saturating_add(1);
        if self.steps == self.turn {
            (self.mark, self.steps, self.turn) = (next.tid, 0, self.turn.saturating_mul(2));
        }
        self.at = next;
        Some(next)
    }
}

/// One ancestor's text, or that of all from the parent upwards, separated by spaces.
fn each<'v>(cx: &Context<'v>, arg: &Arg, sink: &mut Sink<'_>, write: fn(&Thread, &mut Vec<u8>)) -> Option<Value<'v>> {
    if let Arg::Index(n) = *arg {
        write(ancestor(cx, n)?, sink.out);
        return Some(Value::Written);
    }
    let main = cx.engine.main_thread(cx.thread()?.tid)?;
    let start = sink.out.len();
    for above in Ancestors::of(cx.engine, main) {
        if sink.out.len() > start {
            sink.out.push(b' ');
        }
        write(above, sink.out);
        if sink.out.len().saturating_sub(start) > MAX_TEXT {
            break;
        }
    }
    (sink.out.len() > start).then_some(Value::Written)
}

/// Appends the arguments, separated by spaces.
pub(super) fn arguments(t: &Thread, out: &mut Vec<u8>) {
    spaced(&t.args, out);
}

/// Appends a NUL-separated list with spaces instead.
pub(crate) fn spaced(list: &[u8], out: &mut Vec<u8>) {
    out.extend(list.iter().map(|b| if *b == 0 { b' ' } else { *b }));
}

/// Appends name and arguments.
pub(crate) fn command_line(t: &Thread, out: &mut Vec<u8>) {
    out.extend_from_slice(&t.comm);
    if !t.args.is_empty() {
        out.push(b' ');
        arguments(t, out);
    }
}

/// Something that threads share with a leader whose id it is.
struct Shared {
    id: fn(&Thread) -> i64,
    /// The id is of the machine's own namespace, whatever the thread's is.
    of_host: bool,
}

const SESSION: Shared = Shared { id: |t| t.sid, of_host: false };
const GROUP: Shared = Shared { id: |t| t.vpgid, of_host: false };
const HOST_GROUP: Shared = Shared { id: |t| t.pgid, of_host: true };

/// Text of the leader; empty when it is not known.
fn leader<'v>(cx: &Context<'v>, shared: &Shared, text: fn(&'v Thread) -> &'v [u8]) -> Option<Value<'v>> {
    let t = cx.thread()?;
    let id = (shared.id)(t);
    if id == -1 {
        return Some(Value::Text(b""));
    }
    let by_id = if shared.of_host || !t.in_pid_namespace() { cx.engine.thread(id) } else { None };
    // The leader has exited, or the id is of another namespace: the topmost ancestor that has it too.
    let found = by_id.or_else(|| {
        let main = cx.engine.main_thread(t.tid)?;
        Ancestors::of(cx.engine, main).take_while(|a| (shared.id)(a) == id).last()
    });
    Some(Value::Text(found.map_or(b"", text)))
}
