//! `syslog.*`: messages that are written to the system's log. Today's libs has no such fields.

use super::{Field, Kind, Traits, Value, field};
use crate::Context;
use crate::text::shown;

const LEGACY: Traits = Traits::DEPRECATED.and(Traits::NO_RHS).and(Traits::NO_TRANSFORMER);

pub(super) const FIELDS: &[Field] = &[
    field("syslog.facility.str", Kind::Text, |cx, _, _| {
        let facility = usize::try_from(message(cx)?.priority >> 3).ok();
        Some(Value::Text(facility.and_then(|n| FACILITIES.get(n)).unwrap_or(&"<NA>").as_bytes()))
    })
    .traits(LEGACY),
    field("syslog.facility", Kind::Uint32, |cx, _, _| Some(Value::Unsigned(u64::from(message(cx)?.priority >> 3))))
        .traits(LEGACY),
    field("syslog.severity.str", Kind::Text, |cx, _, _| {
        let severity = usize::try_from(message(cx)?.priority & 7).ok();
        Some(Value::Text(severity.and_then(|n| SEVERITIES.get(n))?.as_bytes()))
    })
    .traits(LEGACY),
    field("syslog.severity", Kind::Uint32, |cx, _, _| Some(Value::Unsigned(u64::from(message(cx)?.priority & 7))))
        .traits(LEGACY),
    field("syslog.message", Kind::Text, |cx, _, _| Some(Value::Text(message(cx)?.text))).traits(LEGACY),
];

const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock", "authpriv", "ftp", "ntp",
    "logaudit", "logalert", "cron", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// Most digits of a priority.
const MAX_DIGITS: usize = 15;

struct Message<'v> {
    /// Eight times the facility, and the severity.
    priority: u32,
    text: &'v [u8],
}

/// The message that the event writes: `<PRIORITY>TEXT`.
fn message<'v>(cx: &Context<'v>) -> Option<Message<'v>> {
    let log = cx.info.flags.writes_to_fd() && cx.fd().is_some_and(|fd| super::event::contains(&fd.name, b"/dev/log"));
    if !log || cx.info.is_enter() || cx.bound.res.is_none_or(|res| res < 0) {
        return None;
    }
    let data = shown(cx.event.param(cx.info.param_index("data")?)?);
    let rest = data.get(1..)?;
    let digits =
        rest.iter().take(MAX_DIGITS).position(|b| matches!(*b, b'>' | 0)).unwrap_or(rest.len().min(MAX_DIGITS));
    let (digits, rest) = rest.split_at_checked(digits)?;
    let priority = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
    let priority: i32 = priority.parse().ok()?;
    Some(Message { priority: u32::try_from(priority).ok()?, text: rest.get(1..)? })
}
