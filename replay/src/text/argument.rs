//! One argument, and all of them: `evt.arg` and `evt.args`.

use super::{
    Dialect, Sink, buffers, errno, flags, numbers, sockets,
    time::{self, TimeStyle},
};
use crate::Context;
use crate::engine::{Fd, FdKind, paths};
use scapkit_format::schema::{self, FlagTable, ParamInfo, ParamType, PrintFormat, id};
use scapkit_format::value::{self, Value};
use std::cell::Cell;

/// What stands for a value that is not available.
const MISSING: &[u8] = b"<NA>";

/// Fd number that stands for the working directory.
const AT_FDCWD: i64 = -100;

/// Most bytes of one value that are shown. Values are below 64 KiB but for some events of plugins,
/// whose data may be as large as a block; shown as text several of them would fill the memory.
const MAX_SHOWN: usize = 1 << 20;

/// As much of a value as is shown.
pub(crate) fn shown(bytes: &[u8]) -> &[u8] {
    bytes.get(..MAX_SHOWN).unwrap_or(bytes)
}

/// A parameter on its way to text.
#[derive(Clone, Copy)]
struct Param<'a> {
    info: &'static ParamInfo,
    /// Type and format: the parameter's, or those of its sub type.
    kind: ParamType,
    format: PrintFormat,
    value: Value<'a>,
    /// There is more than is shown.
    cut: bool,
}

impl<'a> Param<'a> {
    #[inline]
    fn new(info: &'static ParamInfo, bytes: &'a [u8]) -> Self {
        let cut = bytes.len() > MAX_SHOWN;
        let bytes = shown(bytes);
        let (kind, format, value) = match value::decode_param(info, bytes) {
            Value::Dyn(sub, bytes) => (sub.kind, sub.format, value::decode(sub.kind, bytes)),
            value => (info.kind, info.format, value),
        };
        Param { info, kind, format, value, cut }
    }
}

/// Appends `name=value(resolved)` of every stored argument: the field `evt.args`.
pub fn info(sink: &mut Sink<'_>, cx: &Context<'_>) {
    if matches!(cx.info.id, id::GENERIC_E | id::GENERIC_X) {
        // Which call it is stands in the type already.
        return;
    }
    let sysdig = cx.options.dialect == Dialect::Sysdig;
    let mut first = true;
    for (info, bytes) in cx.info.params.iter().zip(cx.event.params()) {
        if !first && !sysdig {
            sink.out.push(b' ');
        }
        first = false;
        sink.plain(info.name);
        sink.out.push(b'=');
        let param = Param::new(info, bytes);
        raw(sink, cx, &param);
        let open = sink.out.len();
        sink.out.push(b'(');
        let start = sink.out.len();
        resolved(sink, cx, &param);
        if sink.out.len() == start {
            sink.out.truncate(open);
        } else {
            sink.out.push(b')');
        }
        if sysdig {
            // 2022 ended every argument with a space, the last one too.
            sink.out.push(b' ');
        }
    }
}

/// Appends argument `index`, in its resolved form where there is one: the field `evt.arg`. False
/// when the event has no such argument.
pub fn argument(sink: &mut Sink<'_>, cx: &Context<'_>, index: usize) -> bool {
    let Some((info, bytes)) = cx.info.params.get(index).zip(cx.event.param(index)) else {
        return false;
    };
    let param = Param::new(info, bytes);
    let start = sink.out.len();
    resolved(sink, cx, &param);
    if sink.out.len() == start {
        raw(sink, cx, &param);
    }
    true
}

/// Appends the resolved form of argument `index`. False when there is none.
pub fn resolved_argument(sink: &mut Sink<'_>, cx: &Context<'_>, index: usize) -> bool {
    let Some((info, bytes)) = cx.info.params.get(index).zip(cx.event.param(index)) else {
        return false;
    };
    let start = sink.out.len();
    resolved(sink, cx, &Param::new(info, bytes));
    sink.out.len() > start
}

/// What is printed for a value of length 0.
fn absent(kind: ParamType, dialect: Dialect) -> &'static [u8] {
    use ParamType as P;
    match kind {
        // 2022 printed nothing for data of length 0.
        P::ByteBuf | P::CharBufArray | P::CharBufPairArray if dialect == Dialect::Sysdig => b"",
        P::ByteBuf | P::SockTuple | P::FdList | P::CharBufArray | P::CharBufPairArray | P::Dyn => b"NULL",
        _ => MISSING,
    }
}

/// Appends the value itself.
fn raw(sink: &mut Sink<'_>, cx: &Context<'_>, param: &Param<'_>) {
    whole(sink, cx, param);
    if param.cut {
        sink.plain("...");
    }
}

fn whole(sink: &mut Sink<'_>, cx: &Context<'_>, param: &Param<'_>) {
    let out = &mut *sink.out;
    match param.value {
        Value::Absent => out.extend_from_slice(absent(param.kind, cx.options.dialect)),
        // The null pointer. And a number of another width cannot be told: no value is better than a wrong one.
        Value::Malformed { .. } | Value::Text(None) => out.extend_from_slice(MISSING),
        Value::Signed(n) => {
            let width = param.kind.fixed_size().unwrap_or(8);
            numbers::formatted(out, n, width, number_format(param));
        }
        Value::Unsigned(n) => unsigned(sink, cx, param, n),
        Value::Double(d) => double(out, d),
        Value::Text(Some(text)) => sink.string(text),
        // A sub type that has sub types is data: no table has it.
        Value::Bytes(bytes) | Value::Dyn(_, bytes) => {
            buffers::buffer(out, bytes, cx.options.buffers, cx.options.cut);
        }
        Value::Address(address) => {
            let start = out.len();
            sockets::address(out, &address);
            sink.finish(start);
        }
        Value::Tuple(tuple) => {
            let start = out.len();
            sockets::tuple(out, &tuple);
            sink.finish(start);
        }
        Value::Fds(fds) => {
            for (i, (number, events)) in fds.iter().enumerate() {
                if i > 0 {
                    out.push(b' ');
                }
                numbers::unsigned(out, number.cast_unsigned());
                out.push(b':');
                let fd = cx.engine.fd(cx.bound.tid, number);
                out.push(fd.map_or(b'?', |fd| type_char(fd.kind)));
                numbers::hex(out, u64::from(events), false);
            }
        }
        Value::Ipv4(ip) => sockets::ipv4(out, ip),
        Value::Ipv6(ip) => sockets::ipv6(out, ip),
    }
}

/// Fds, pids, errors, flags and enumerations are decimal whatever the table says.
fn number_format(param: &Param<'_>) -> PrintFormat {
    use ParamType as P;
    match param.kind {
        P::Flags8
        | P::Flags16
        | P::Flags32
        | P::EnumFlags8
        | P::EnumFlags16
        | P::EnumFlags32
        | P::Errno
        | P::Fd
        | P::Fd32
        | P::Pid
        | P::Pid32
        | P::SigType
        | P::SyscallId
        | P::Uid
        | P::Gid => PrintFormat::Decimal,
        _ => param.format,
    }
}

fn unsigned(sink: &mut Sink<'_>, cx: &Context<'_>, param: &Param<'_>, n: u64) {
    use ParamType as P;
    match param.kind {
        P::SigSet => flags::signals(sink.out, n),
        P::Bool => sink.plain(if n == 0 { "false" } else { "true" }),
        P::RelTime if n == u64::MAX => sink.plain("none"),
        P::AbsTime => time::time(sink.out, n, TimeStyle::Date, cx.options.zone.as_ref()),
        kind => {
            let width = kind.fixed_size().unwrap_or(8);
            numbers::formatted(sink.out, numbers::as_signed(n, width), width, number_format(param));
        }
    }
}

/// One digit after the point.
pub(crate) fn double(out: &mut Vec<u8>, value: f64) {
    use std::io::Write;
    // Rare; writing to a vector cannot fail.
    let _ = write!(out, "{value:.1}");
}

/// Appends what the value means, if it means more than it says.
fn resolved(sink: &mut Sink<'_>, cx: &Context<'_>, param: &Param<'_>) {
    use ParamType as P;
    match param.value {
        Value::Signed(n) => match param.kind {
            P::Fd | P::Fd32 => fd(sink, n, cx.engine.fd(cx.bound.tid, n)),
            P::Pid | P::Pid32 => {
                if let Some(thread) = cx.engine.thread(n) {
                    sink.string(&thread.comm);
                }
            }
            P::Errno => sink.plain(errno::error_name(n).unwrap_or_default()),
            _ => {}
        },
        Value::Unsigned(n) => meaning(sink, cx, param, n),
        Value::Text(Some(text)) => path(sink, cx, param, text),
        _ => {}
    }
}

fn table(param: &Param<'_>) -> &'static FlagTable {
    const NONE: FlagTable = FlagTable { name: "", entries: &[] };
    param.info.flags.unwrap_or(&NONE)
}

fn meaning(sink: &mut Sink<'_>, cx: &Context<'_>, param: &Param<'_>, n: u64) {
    use ParamType as P;
    match param.kind {
        P::Flags8 | P::Flags16 | P::Flags32 => flags::bits(sink.out, table(param), n),
        P::EnumFlags8 | P::EnumFlags16 | P::EnumFlags32 => flags::enumeration(sink.out, table(param), n),
        P::Mode => flags::mode(sink.out, table(param), n),
        P::SigType => sink.plain(errno::signal_name(n).unwrap_or_default()),
        P::SyscallId => {
            let name = u16::try_from(n).ok().and_then(schema::syscall_name);
            sink.plain(name.unwrap_or_default());
        }
        P::RelTime if n != u64::MAX => {
            numbers::seconds_general(sink.out, n);
            sink.out.push(b's');
        }
        P::Uid => account(sink, n, |id| cx.user(id).map(|user| &*user.name)),
        P::Gid => account(sink, n, |id| cx.group(id).map(|group| &*group.name)),
        _ => {}
    }
}

fn account<'a>(sink: &mut Sink<'_>, n: u64, name: impl Fn(u32) -> Option<&'a [u8]>) {
    match u32::try_from(n) {
        Ok(u32::MAX) | Err(_) => sink.plain("<NONE>"),
        Ok(id) => sink.string(name(id).unwrap_or(MISSING)),
    }
}

/// The letter of an fd's type.
pub(crate) fn type_char(kind: FdKind) -> u8 {
    u8::try_from(kind.type_char()).unwrap_or(b'?')
}

/// The letter of an IP socket's protocol.
fn protocol_char(fd: &Fd) -> Option<u8> {
    match fd.protocol() {
        2 => Some(b't'),
        3 => Some(b'u'),
        4 => Some(b'i'),
        5 => Some(b'r'),
        _ => None,
    }
}

/// Appends what an fd number means: type and name, or an error.
pub(super) fn fd(sink: &mut Sink<'_>, number: i64, entry: Option<&Fd>) {
    if number == AT_FDCWD {
        sink.plain("AT_FDCWD");
    } else if number < 0 {
        sink.plain(errno::error_name(number).unwrap_or_default());
    } else if let Some(entry) = entry {
        sink.out.push(b'<');
        sink.out.push(type_char(entry.kind));
        sink.out.extend(protocol_char(entry));
        sink.out.push(b'>');
        sink.string(&entry.name);
    }
}

/// Appends a relative path joined with its directory.
fn path(sink: &mut Sink<'_>, cx: &Context<'_>, param: &Param<'_>, text: &[u8]) {
    if !matches!(param.kind, ParamType::FsPath | ParamType::FsRelPath)
        || text.is_empty()
        || text.starts_with(b"/")
        || text == MISSING
    {
        return;
    }
    let start = sink.out.len();
    match directory(cx, param) {
        Directory::Working => joined(sink.out, cx.engine.cwd(cx.bound.tid).unwrap_or_default(), false, text),
        Directory::Fd(fd) => joined(sink.out, fd.map_or(&[], |fd| &*fd.name), true, text),
    }
    sink.finish(start);
}

enum Directory<'a> {
    Working,
    Fd(Option<&'a Fd>),
}

fn directory<'a>(cx: &Context<'a>, param: &Param<'_>) -> Directory<'a> {
    let Some(dirfd) = param.info.dirfd else {
        return Directory::Working;
    };
    let stored = cx.event.param(usize::from(dirfd)).filter(|b| matches!(b.len(), 4 | 8));
    match stored.map(value::signed) {
        Some(AT_FDCWD) => Directory::Working,
        Some(number) => Directory::Fd(cx.engine.fd(cx.bound.tid, number)),
        None => Directory::Fd(None),
    }
}

thread_local! {
    /// Joining needs buffers of its own; they are used again.
    static SCRATCH: Cell<(Vec<u8>, Vec<u8>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// Appends `base` joined with `path`. `directory`: the base is a name that does not end with `/`.
pub(crate) fn joined(out: &mut Vec<u8>, base: &[u8], directory: bool, path: &[u8]) {
    let (mut to, mut from) = SCRATCH.take();
    from.clear();
    from.extend_from_slice(base);
    if directory {
        paths::end_with_slash(&mut from);
    }
    paths::join(&mut to, &from, path);
    out.extend_from_slice(&to);
    SCRATCH.set((to, from));
}
