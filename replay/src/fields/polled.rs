//! `fdlist.*`: the fds that a poll reports.

use super::ends::listens_on;
use super::fd::{End, ends};
use super::{Field, Kind, Value, field};
use crate::Context;
use crate::engine::Fd;
use crate::text::{Sink, numbers, sockets};
use scapkit_format::Value as Stored;
use scapkit_format::value;

pub(super) const FIELDS: &[Field] = &[
    field("fdlist.nums", Kind::Text, |cx, _, sink| {
        each(cx, sink, |number, _, out| {
            numbers::signed(out, number);
            true
        })
    }),
    field("fdlist.names", Kind::Text, |cx, _, sink| {
        each(cx, sink, |_, fd, out| {
            let name = fd.map(|fd| &*fd.name).filter(|name| !name.is_empty());
            out.extend_from_slice(name.unwrap_or(b"<NA>"));
            true
        })
    }),
    field("fdlist.cips", Kind::Text, |cx, _, sink| each(cx, sink, |_, fd, out| address(out, source(fd)))),
    field("fdlist.sips", Kind::Text, |cx, _, sink| {
        each(cx, sink, |_, fd, out| address(out, destination(fd).or_else(|| listens_on(fd?))))
    }),
    field("fdlist.cports", Kind::Text, |cx, _, sink| each(cx, sink, |_, fd, out| port(out, source(fd)))),
    field("fdlist.sports", Kind::Text, |cx, _, sink| each(cx, sink, |_, fd, out| port(out, destination(fd)))),
];

/// Appends something of every fd of the list, with commas between. What says false appends nothing.
fn each<'v>(
    cx: &Context<'v>,
    sink: &mut Sink<'_>,
    write: fn(i64, Option<&Fd>, &mut Vec<u8>) -> bool,
) -> Option<Value<'v>> {
    if !matches!(cx.info.name, "poll" | "ppoll") {
        return None;
    }
    let index = cx.info.param_index("fds")?;
    let stored = value::decode_param(cx.info.params.get(index)?, cx.event.param(index)?);
    let Stored::Fds(list) = stored else { return None };
    let tid = cx.thread()?.tid;
    let start = sink.out.len();
    for (number, _) in list.iter() {
        if write(number, cx.engine.fd(tid, number), sink.out) {
            sink.out.push(b',');
        }
    }
    if sink.out.len() == start {
        return None;
    }
    sink.out.pop();
    Some(Value::Written)
}

fn source(fd: Option<&Fd>) -> Option<End> {
    ends(fd?).map(|(source, _)| source)
}

fn destination(fd: Option<&Fd>) -> Option<End> {
    ends(fd?).map(|(_, destination)| destination)
}

fn address(out: &mut Vec<u8>, end: Option<End>) -> bool {
    match end {
        Some(End::V4(ip, _)) => sockets::ipv4(out, ip),
        Some(End::V6(ip, _)) => sockets::ipv6(out, ip),
        None => return false,
    }
    true
}

fn port(out: &mut Vec<u8>, end: Option<End>) -> bool {
    let Some(End::V4(_, port) | End::V6(_, port)) = end else { return false };
    numbers::unsigned(out, u64::from(port));
    true
}
