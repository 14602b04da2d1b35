//! `evt.*` fields that only few kinds of events have, and `util.cnt`.
#![allow(clippy::unnecessary_wraps)] // the table's functions have one signature

use super::{Arg, Field, Kind, Takes, Traits, Value, field};
use crate::Context;
use crate::engine::Thread;
use crate::text::{Dialect, shown};
use scapkit_format::schema::id;

pub(super) const FIELDS: &[Field] = &[
    // Only a loaded plugin could tell.
    field("evt.pluginname", Kind::Text, |_, _, _| None),
    field("evt.plugininfo", Kind::Text, |_, _, _| None),
    field("evt.type.is", Kind::Uint32, |cx, arg, _| match *arg {
        Arg::Types(first, last) => {
            let fits = (first..=last).contains(&u32::from(cx.event.event_type));
            Some(Value::Unsigned(u64::from(fits)))
        }
        _ => None,
    })
    .takes(Takes::EventType),
    field("evt.latency.quantized", Kind::Uint64, |cx, _, _| match cx.options.dialect {
        Dialect::Libs => Some(Value::Unsigned(0)),
        // Upstream scales the power of ten to the width of a terminal.
        Dialect::Sysdig => {
            let power = cx.latency()?.checked_ilog10()?.min(MAX_POWER);
            Some(Value::Unsigned(u64::from(power).saturating_add(1)))
        }
    })
    .traits(Traits::DEPRECATED),
    field("evt.wait_latency", Kind::RelTime, |cx, _, _| match cx.options.dialect {
        Dialect::Libs => Some(Value::Unsigned(0)),
        Dialect::Sysdig if cx.info.flags.waits() && !cx.info.is_enter() => {
            Some(Value::Unsigned(cx.latency().unwrap_or(0)))
        }
        Dialect::Sysdig => None,
    })
    .traits(Traits::DEPRECATED),
    field("evt.count.procinfo", Kind::Uint32, |cx, _, _| {
        let main = cx.thread().is_some_and(Thread::is_main);
        Some(Value::Unsigned(u64::from(cx.event.event_type == id::PROCINFO_E && main)))
    }),
    field("evt.count.threadinfo", Kind::Uint32, |cx, _, _| {
        Some(Value::Unsigned(u64::from(cx.event.event_type == id::PROCINFO_E)))
    }),
    field("evt.infra.docker.name", Kind::Text, |cx, _, _| Some(Value::Text(value_of(docker(cx, b"Event")?)))),
    field("evt.infra.docker.container.id", Kind::Text, |cx, _, _| {
        let id = value_of(docker(cx, b"ID")?);
        Some(Value::Text(id.get(..SHORT_ID).unwrap_or(id)))
    }),
    field("evt.infra.docker.container.name", Kind::Text, |cx, _, _| Some(Value::Text(value_of(docker(cx, b"name")?)))),
    field("evt.infra.docker.container.image", Kind::Text, |cx, _, _| {
        let item = docker(cx, b"Image")?;
        let image = value_of(item);
        Some(Value::Text(match image.iter().position(|b| *b == b'@') {
            Some(at) => image.get(..at).unwrap_or_default().trim_ascii(),
            // The only part of such a name is its digest, which has a colon in it.
            None if image.windows(6).any(|w| w == b"sha256") => {
                item.splitn(2, |b| *b == b':').nth(1).unwrap_or_default().trim_ascii()
            }
            None => image,
        }))
    }),
    // Upstream counts how often the field was asked for.
    field("util.cnt", Kind::Uint64, |cx, _, _| Some(Value::Unsigned(cx.number))),
];

/// Longer calls are counted with those of 100 seconds.
const MAX_POWER: u32 = 11;
/// Characters of a container's id that are shown.
const SHORT_ID: usize = 12;

/// The item `KEY:VALUE` of an event about docker whose text starts like that.
fn docker<'v>(cx: &Context<'v>, key: &[u8]) -> Option<&'v [u8]> {
    if cx.event.event_type != id::INFRASTRUCTURE_EVENT_E {
        return None;
    }
    let text = shown(cx.event.param(cx.info.param_index("description")?)?);
    let text = text.split(|b| *b == 0).next()?;
    text.split(|b| *b == b';').map(<[u8]>::trim_ascii).find(|item| item.starts_with(key))
}

/// What stands between the first colon and the next.
fn value_of(item: &[u8]) -> &[u8] {
    item.split(|b| *b == b':').nth(1).unwrap_or_default().trim_ascii()
}
