//! `evt.*` and `syscall.*`: what the event itself says.
#![allow(clippy::unnecessary_wraps)] // the table's functions have one signature

use super::{Arg, Field, Kind, Takes, Traits, Value, field};
use crate::engine::FdKind;
use crate::text::time::TimeStyle;
use crate::text::{Dialect, Sink, argument, buffers, info, resolved_argument, shown, time};
use crate::{Context, TimeMode};
use scapkit_format::schema::{EventFlags, id, native_x86_64, syscall_name};
use scapkit_format::value;

const NS: u64 = 1_000_000_000;

pub(super) const FIELDS: &[Field] = &[
    field("evt.num", Kind::Uint64, |cx, _, _| Some(Value::Unsigned(cx.number))).colour("90"),
    field("evt.time", Kind::Text, |cx, _, _| Some(Value::Time(cx.event.ts, TimeStyle::Clock))).colour("90"),
    field("evt.time.s", Kind::Text, |cx, _, _| Some(Value::Time(cx.event.ts, TimeStyle::ClockSeconds))).colour("90"),
    field("evt.time.iso8601", Kind::Text, |cx, _, _| Some(Value::Time(cx.event.ts, TimeStyle::Iso8601))).colour("90"),
    field("evt.datetime", Kind::Text, |cx, _, _| Some(Value::Time(cx.event.ts, TimeStyle::Date))).colour("90"),
    field("evt.datetime.s", Kind::Text, |cx, _, _| Some(Value::Time(cx.event.ts, TimeStyle::DateSeconds))).colour("90"),
    field("evt.rawtime", Kind::AbsTime, |cx, _, _| Some(Value::Unsigned(cx.event.ts))),
    field("evt.rawtime.s", Kind::AbsTime, |cx, _, _| Some(Value::Unsigned(cx.event.ts / NS))),
    field("evt.rawtime.ns", Kind::AbsTime, |cx, _, _| Some(Value::Padded(cx.event.ts % NS))),
    field("evt.reltime", Kind::RelTime, |cx, _, _| Some(Value::Padded(cx.since_first()))),
    field("evt.reltime.s", Kind::RelTime, |cx, _, _| Some(Value::Unsigned(cx.since_first() / NS))),
    field("evt.reltime.ns", Kind::RelTime, |cx, _, _| Some(Value::Padded(cx.since_first() % NS))),
    field("evt.latency", Kind::RelTime, |cx, _, _| Some(Value::Unsigned(latency(cx)))).traits(Traits::DEPRECATED),
    field("evt.latency.s", Kind::RelTime, |cx, _, _| Some(Value::Unsigned(latency(cx) / NS)))
        .traits(Traits::DEPRECATED),
    field("evt.latency.ns", Kind::RelTime, |cx, _, _| Some(Value::Padded(latency(cx) % NS))).traits(Traits::DEPRECATED),
    field("evt.latency.human", Kind::Text, |cx, _, sink| {
        time::rounded(sink.out, latency(cx));
        Some(Value::Written)
    })
    .traits(Traits::DEPRECATED),
    field("evt.deltatime", Kind::RelTime, |cx, _, _| Some(Value::Unsigned(cx.delta()))),
    field("evt.deltatime.s", Kind::RelTime, |cx, _, _| Some(Value::Unsigned(cx.delta() / NS))),
    field("evt.deltatime.ns", Kind::RelTime, |cx, _, _| Some(Value::Padded(cx.delta() % NS))),
    field("evt.outputtime", Kind::Text, output_time).traits(Traits::PRINT_ONLY).colour("90"),
    field("evt.dir", Kind::Text, |cx, _, _| Some(Value::Text(if cx.info.is_enter() { b">" } else { b"<" })))
        .traits(Traits::DEPRECATED),
    field("evt.type", Kind::Text, |cx, _, _| Some(Value::Text(type_name(cx)))).colour("01;34"),
    field("syscall.type", Kind::Text, |cx, _, _| cx.info.category.is_syscall().then(|| Value::Text(type_name(cx))))
        .colour("01;34"),
    field("evt.category", Kind::Text, |cx, _, _| Some(Value::Text(category(cx).as_bytes()))),
    field("evt.cpu", Kind::Int16, |cx, _, _| Some(Value::Signed(i64::from(cx.event.cpu.cast_signed())))),
    field("evt.args", Kind::Text, all_arguments),
    field("evt.info", Kind::Text, all_arguments),
    field("evt.arg", Kind::Text, one_argument).takes(Takes::Argument),
    field("evt.rawarg", Kind::Argument, raw_argument)
        .takes(Takes::ArgumentName)
        .traits(Traits::NO_RHS.and(Traits::NO_TRANSFORMER)),
    field("evt.buffer", Kind::Bytes, buffer),
    field("evt.buflen", Kind::Uint64, |cx, _, _| buffer_length(cx, |_| true)),
    field("evt.buflen.in", Kind::Uint64, |cx, _, _| buffer_length(cx, |cx| cx.info.category.low() == 32)),
    field("evt.buflen.out", Kind::Uint64, |cx, _, _| buffer_length(cx, |cx| cx.info.category.low() == 33)),
    field("evt.buflen.file", Kind::Uint64, |cx, _, _| buffer_length(cx, moves_file)),
    field("evt.buflen.file.in", Kind::Uint64, |cx, _, _| {
        buffer_length(cx, |cx| moves_file(cx) && cx.info.category.low() == 32)
    }),
    field("evt.buflen.file.out", Kind::Uint64, |cx, _, _| {
        buffer_length(cx, |cx| moves_file(cx) && cx.info.category.low() == 33)
    }),
    field("evt.buflen.net", Kind::Uint64, |cx, _, _| buffer_length(cx, moves_net)),
    field("evt.buflen.net.in", Kind::Uint64, |cx, _, _| {
        buffer_length(cx, |cx| moves_net(cx) && cx.info.category.low() == 32)
    }),
    field("evt.buflen.net.out", Kind::Uint64, |cx, _, _| {
        buffer_length(cx, |cx| moves_net(cx) && cx.info.category.low() == 33)
    }),
    field("evt.res", Kind::Text, result),
    field("evt.rawres", Kind::Int64, |cx, _, _| cx.bound.res.map(Value::Signed)),
    field("evt.failed", Kind::Bool, |cx, _, _| cx.bound.res.map(|r| Value::Bool(r < 0))),
    field("evt.is_io", Kind::Bool, |cx, _, _| Some(Value::Bool(cx.info.flags.0 & (READS | WRITES) != 0))),
    field("evt.is_io_read", Kind::Bool, |cx, _, _| Some(Value::Bool(cx.info.flags.reads_from_fd()))),
    field("evt.is_io_write", Kind::Bool, |cx, _, _| Some(Value::Bool(cx.info.flags.writes_to_fd()))),
    field("evt.io_dir", Kind::Text, |cx, _, _| match cx.info.flags {
        f if f.writes_to_fd() => Some(Value::Text(b"write")),
        f if f.reads_from_fd() => Some(Value::Text(b"read")),
        _ => None,
    }),
    field("evt.is_wait", Kind::Bool, |cx, _, _| Some(Value::Bool(cx.info.flags.waits()))),
    field("evt.is_syslog", Kind::Bool, |cx, _, _| {
        let to_log = || cx.fd().is_some_and(|fd| contains(&fd.name, b"/dev/log"));
        Some(Value::Bool(cx.info.flags.writes_to_fd() && to_log()))
    }),
    field("evt.source", Kind::Text, |_, _, _| Some(Value::Text(b"syscall"))),
    field("evt.is_async", Kind::Bool, |cx, _, _| Some(Value::Bool(cx.info.category.is_meta()))),
    field("evt.asynctype", Kind::Text, |cx, _, _| cx.info.category.is_meta().then(|| Value::Text(type_name(cx)))),
    field("evt.hostname", Kind::Text, |cx, _, _| {
        let name = cx.engine.machine()?.host();
        (!name.is_empty()).then_some(Value::Text(name))
    }),
    field("evt.count", Kind::Uint32, |_, _, _| Some(Value::Unsigned(1))),
    field("evt.count.exit", Kind::Uint32, |cx, _, _| (!cx.info.is_enter()).then_some(Value::Unsigned(1))),
    field("evt.count.error", Kind::Uint32, |cx, _, _| errors(cx)),
    field("evt.count.error.file", Kind::Uint32, |cx, _, _| errors(cx).filter(|_| about_files(cx))),
    field("evt.count.error.net", Kind::Uint32, |cx, _, _| errors(cx).filter(|_| about_net(cx))),
    field("evt.count.error.memory", Kind::Uint32, |cx, _, _| errors(cx).filter(|_| about_memory(cx))),
    field("evt.count.error.other", Kind::Uint32, |cx, _, _| {
        // A call on an fd is told by the fd alone, even one of the memory category.
        let told = about_files(cx) || about_net(cx) || (cx.fd().is_none() && about_memory(cx));
        errors(cx).filter(|_| !told)
    }),
    field("evt.is_open_read", Kind::Bool, |cx, _, _| Some(Value::Bool(open_flags(cx) & O_RDONLY != 0))),
    field("evt.is_open_exec", Kind::Bool, |cx, _, _| Some(Value::Bool(opens_executable(cx)))),
    field("evt.is_open_create", Kind::Bool, |cx, _, _| {
        let flags = open_flags(cx);
        let unnamed = flags & O_TMPFILE == O_TMPFILE && cx.bound.res.is_some_and(|res| res >= 0);
        Some(Value::Bool(flags & O_F_CREATED != 0 || unnamed))
    }),
    field("evt.is_open_write", Kind::Bool, |cx, _, _| Some(Value::Bool(open_flags(cx) & O_WRONLY != 0))),
];

const READS: u16 = EventFlags::READS_FROM_FD;
const WRITES: u16 = EventFlags::WRITES_TO_FD;
/// Open flags as captures store them.
const O_RDONLY: u64 = 1;
const O_WRONLY: u64 = 2;
const O_CREAT: u64 = 4;
const O_TMPFILE: u64 = 8192;
const O_F_CREATED: u64 = 16_384;
/// Any of the three execute bits of a mode.
const EXECUTE: u64 = 0o111;
/// Most characters of a buffer that is shown as a field.
const MAX_RENDERED: usize = 1023;

/// ns between enter and exit. libs HEAD gives 0 always: it has no enter events any more.
fn latency(cx: &Context<'_>) -> u64 {
    match cx.options.dialect {
        Dialect::Sysdig => cx.latency().unwrap_or(0),
        Dialect::Libs => 0,
    }
}

fn output_time<'v>(cx: &Context<'v>, _: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    let ts = cx.event.ts;
    match cx.options.time {
        TimeMode::Clock => time::time(sink.out, ts, TimeStyle::Clock, cx.options.zone.as_ref()),
        TimeMode::Absolute => time::interval_unpadded(sink.out, ts),
        TimeMode::Relative => time::interval(sink.out, cx.since_first()),
        TimeMode::Latency => time::interval(sink.out, latency(cx)),
        TimeMode::Delta => time::interval(sink.out, cx.delta()),
    }
    Some(Value::TimeWritten(ts))
}

/// Name of the event: of the call behind a generic one, or of what an asynchronous one says.
pub(crate) fn type_name<'v>(cx: &Context<'v>) -> &'v [u8] {
    match cx.info.id {
        id::GENERIC_E | id::GENERIC_X => call_name(cx).as_bytes(),
        id::ASYNCEVENT_E => {
            let name = cx.info.param_index("name").and_then(|n| cx.event.param(n)).unwrap_or_default();
            name.split(|b| *b == 0).next().filter(|n| !n.is_empty()).unwrap_or(cx.info.name.as_bytes())
        }
        _ => cx.info.name.as_bytes(),
    }
}

/// Name of the call behind a generic event: by its code; libs HEAD also tries the number that the
/// call has on x86_64 (captures do not say which architecture they are of).
fn call_name(cx: &Context<'_>) -> &'static str {
    let number = |n: usize| cx.event.param(n).and_then(|b| b.first_chunk()).map(|b| u16::from_le_bytes(*b));
    match (number(0).filter(|code| *code != 0).and_then(syscall_name), cx.options.dialect) {
        (Some(name), _) => name,
        (None, Dialect::Sysdig) => "<unknown>",
        (None, Dialect::Libs) => {
            let native = number(1).and_then(native_x86_64);
            native.and_then(|call| syscall_name(call.code)).unwrap_or("unknown")
        }
    }
}

fn category(cx: &Context<'_>) -> &'static str {
    use FdKind as K;
    if !matches!(cx.info.category.low(), 32..=34) {
        return cx.info.category.name();
    }
    match cx.fd().map(|fd| fd.kind) {
        Some(K::File | K::FileV2 | K::Directory) => "file",
        Some(K::Ipv4 | K::Ipv6 | K::Ipv4Server | K::Ipv6Server) => "net",
        Some(K::Fifo | K::Unix | K::Event) => "ipc",
        _ => "unknown",
    }
}

fn all_arguments<'v>(cx: &Context<'v>, _: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    info(sink, cx);
    Some(Value::Styled)
}

/// Number of the argument in this event.
fn position(cx: &Context<'_>, arg: &Arg) -> Option<usize> {
    match *arg {
        Arg::Index(n) => Some(n),
        Arg::Name(name) => cx.info.param_index(name),
        Arg::None | Arg::Key(_) | Arg::Types(..) => None,
    }
}

fn one_argument<'v>(cx: &Context<'v>, arg: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    argument(sink, cx, position(cx, arg)?).then_some(Value::Styled)
}

/// The binary value. Text is as of a field with the argument's type.
fn raw_argument<'v>(cx: &Context<'v>, arg: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    use scapkit_format::Value as V;
    use scapkit_format::schema::{ParamType, PrintFormat};
    let index = position(cx, arg)?;
    let info = cx.info.params.get(index)?;
    Some(match value::decode_param(info, shown(cx.event.param(index)?)) {
        V::Signed(n) if info.format == PrintFormat::Hexadecimal => Value::Hex(match info.kind.fixed_size() {
            Some(8) => n.cast_unsigned(),
            _ => n.cast_unsigned() & 0xFFFF_FFFF,
        }),
        V::Unsigned(n) if info.format == PrintFormat::Hexadecimal => Value::Hex(n),
        V::Signed(n) => Value::Signed(n),
        V::Unsigned(n) if info.format != PrintFormat::Octal => Value::Unsigned(n),
        V::Text(text) => Value::Text(text.unwrap_or(b"<NA>")),
        V::Ipv4(ip) => Value::Ipv4(ip),
        V::Ipv6(ip) => Value::Ipv6(ip),
        V::Absent if matches!(info.kind, ParamType::CharBuf | ParamType::FsPath | ParamType::FsRelPath) => {
            Value::Text(b"<NA>")
        }
        V::Absent | V::Malformed { .. } => return None,
        // The others have no form but that of the text.
        _ => return argument(sink, cx, index).then_some(Value::Styled),
    })
}

fn buffer<'v>(cx: &Context<'v>, _: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    let index = cx.info.param_index("data")?;
    let data = cx.event.param(index).filter(|d| !d.is_empty())?;
    let start = sink.out.len();
    buffers::buffer(sink.out, shown(data), cx.options.buffers, cx.options.cut);
    sink.out.truncate(start.saturating_add(MAX_RENDERED));
    Some(Value::Styled)
}

fn buffer_length<'v>(cx: &Context<'v>, of: fn(&Context<'_>) -> bool) -> Option<Value<'v>> {
    let moved = u64::try_from(cx.bound.res?).ok()?;
    let io = matches!(cx.info.category.low(), 32..=34) && !cx.info.is_enter();
    (io && cx.fd().is_some() && of(cx)).then_some(Value::Unsigned(moved))
}

fn moves_file(cx: &Context<'_>) -> bool {
    cx.fd().is_some_and(|fd| matches!(fd.kind, FdKind::File | FdKind::FileV2))
}

fn moves_net(cx: &Context<'_>) -> bool {
    use FdKind as K;
    cx.fd().is_some_and(|fd| matches!(fd.kind, K::Ipv4 | K::Ipv6 | K::Ipv4Server | K::Ipv6Server))
}

fn result<'v>(cx: &Context<'v>, _: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    let res = cx.bound.res?;
    if res >= 0 {
        return Some(Value::Text(b"SUCCESS"));
    }
    if resolved_argument(sink, cx, 0) {
        return Some(Value::Styled);
    }
    crate::text::numbers::signed(sink.out, res);
    Some(Value::Written)
}

fn errors<'v>(cx: &Context<'v>) -> Option<Value<'v>> {
    cx.bound.res.map(|r| Value::Unsigned(u64::from(r < 0)))
}

fn about_files(cx: &Context<'_>) -> bool {
    use FdKind as K;
    match cx.fd() {
        Some(fd) => matches!(fd.kind, K::File | K::FileV2 | K::Directory),
        None => !cx.info.is_enter() && (is_open(cx) || cx.info.name == "creat"),
    }
}

fn about_net(cx: &Context<'_>) -> bool {
    use FdKind as K;
    match cx.fd() {
        Some(fd) => matches!(fd.kind, K::Ipv4 | K::Ipv6 | K::Ipv4Server | K::Ipv6Server | K::Unix),
        None => matches!(cx.info.name, "accept" | "accept4" | "connect"),
    }
}

fn about_memory(cx: &Context<'_>) -> bool {
    cx.info.category.low() == 5
}

fn is_open(cx: &Context<'_>) -> bool {
    matches!(cx.info.name, "open" | "openat" | "openat2" | "open_by_handle_at")
}

/// Whether a file is made that may be executed.
fn opens_executable(cx: &Context<'_>) -> bool {
    let makes = match cx.info.name {
        "creat" => !cx.info.is_enter(),
        "open" | "openat" | "openat2" => open_flags(cx) & (O_CREAT | O_TMPFILE) != 0,
        _ => false,
    };
    makes && number(cx, "mode") & EXECUTE != 0
}

/// A number of 32 bits among the arguments; 0 when there is none.
fn number(cx: &Context<'_>, name: &str) -> u64 {
    let stored = cx.info.param_index(name).and_then(|n| cx.event.param(n)).filter(|b| b.len() == 4);
    stored.map_or(0, value::unsigned)
}

/// Flags of an exit of the open family; 0 for other events.
fn open_flags(cx: &Context<'_>) -> u64 {
    if is_open(cx) && !cx.info.is_enter() { number(cx, "flags") } else { 0 }
}

pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}
