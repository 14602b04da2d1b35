//! `proc.env` and `proc.aenv`: environments of processes.
#![allow(clippy::unnecessary_wraps)] // the table's functions have one signature

use super::lineage::{Ancestors, COMPARED_EACH, spaced};
use super::{Arg, Field, Kind, Takes, Value, field};
use crate::Context;
use crate::engine::{Engine, Thread};
use crate::text::Sink;

pub(super) const FIELDS: &[Field] = &[
    field("proc.env", Kind::Text, |cx, arg, sink| {
        let t = cx.thread()?;
        match arg {
            Arg::Key(name) => Some(Value::Text(variable(cx.engine, t, name))),
            // A number is accepted and means nothing, as upstream has it.
            _ => all(cx.engine, t, sink),
        }
    })
    .takes(Takes::IndexOrName),
    field("proc.aenv", Kind::Text, of_ancestor).takes(Takes::IndexOrName).traits(COMPARED_EACH),
];

/// How many ancestors are asked for a variable.
const GENERATIONS: usize = 20;

/// A thread's environment is that of its process.
fn environment<'v>(engine: &'v Engine, t: &'v Thread) -> &'v [u8] {
    &engine.main_thread(t.tid).unwrap_or(t).env
}

/// Appends a whole environment.
pub(crate) fn all<'v>(engine: &Engine, t: &Thread, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    spaced(environment(engine, t), sink.out);
    Some(Value::Written)
}

/// Value of a variable, without the spaces around it; empty when there is none.
fn variable<'v>(engine: &'v Engine, t: &'v Thread, name: &str) -> &'v [u8] {
    let value = |entry: &'v [u8]| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=").filter(|v| !v.is_empty());
    let found = environment(engine, t).split(|b| *b == 0).find_map(value).unwrap_or_default();
    let start = found.iter().position(|b| *b != b' ').unwrap_or(found.len());
    let end = found.iter().rposition(|b| *b != b' ').map_or(start, |last| last.saturating_add(1));
    found.get(start..end).unwrap_or_default()
}

/// Without an argument the thread's own, with a number that of an ancestor, with a name the first value
/// that is not empty among the ancestors.
fn of_ancestor<'v>(cx: &Context<'v>, arg: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    let t = cx.thread()?;
    let hops = match arg {
        Arg::Index(n) => *n,
        Arg::Key(_) => GENERATIONS,
        _ => 0,
    };
    if hops == 0 {
        return all(cx.engine, t, sink);
    }
    let Some(main) = cx.engine.main_thread(t.tid) else {
        return Some(Value::Text(b""));
    };
    let mut above = Ancestors::of(cx.engine, main);
    match arg {
        Arg::Key(name) => {
            let mut values = above.take(hops).map(|t| variable(cx.engine, t, name));
            Some(Value::Text(values.find(|value| !value.is_empty()).unwrap_or_default()))
        }
        _ => all(cx.engine, above.nth(hops.saturating_sub(1))?, sink),
    }
}
