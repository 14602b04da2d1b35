//! `fd.*`: the fd that an event makes, uses or closes.

use super::{Arg, Field, Kind, Takes, Traits, Value, field};
use crate::Context;
use crate::engine::paths::UNKNOWN;
use crate::engine::{Fd, FdKind, Socket};
use crate::text::{self, Dialect, Sink, numbers};
use scapkit_format::value;

pub(super) const FIELDS: &[Field] = &[
    field("fd.num", Kind::Int64, |cx, _, _| cx.bound.fd.map(Value::Signed)),
    field("fd.name", Kind::Text, name).colour("35"),
    field("fd.nameraw", Kind::Text, raw_name),
    field("fd.containername", Kind::Text, |cx, arg, sink| {
        cx.bound.fd?;
        in_container(cx, arg, sink, name)
    }),
    field("fd.containerdirectory", Kind::Text, |cx, arg, sink| in_container(cx, arg, sink, directory)),
    field("fd.name_changed", Kind::Bool, |cx, _, _| cx.fd().map(|_| Value::Bool(cx.bound.renamed))),
    field("fd.types", Kind::Text, |cx, arg, _| {
        cx.bound.fd?;
        let tid = cx.thread()?.tid;
        let bit = |fd: &Fd| TYPES.iter().position(|t| *t == type_name(fd.kind)).map_or(0, |at| 1 << at);
        let set = match *arg {
            Arg::Index(n) => bit(cx.engine.fd(tid, i64::try_from(n).ok()?)?),
            _ => cx.engine.fds(tid).fold(0, |set, (_, fd)| set | bit(fd)),
        };
        (set != 0).then_some(Value::Names(TYPES, set))
    })
    .takes(Takes::Index)
    .traits(Traits::LIST.and(Traits::NO_RHS)),
    field("fd.type", Kind::Text, |cx, _, _| fd(cx, |fd| Value::Text(type_name(fd.kind).as_bytes()))),
    field("fd.typechar", Kind::Text, |cx, _, _| {
        cx.bound.fd?;
        Some(Value::Text(char_text(cx.fd().map_or_else(|| guessed_char(cx), |fd| text::type_char(fd.kind)))))
    }),
    field("fd.directory", Kind::Text, directory),
    field("fd.filename", Kind::Text, |cx, _, _| {
        let fd = cx.fd().filter(|fd| matches!(fd.kind, FdKind::File | FdKind::FileV2))?;
        Some(Value::Text(match fd.name.iter().rposition(|b| *b == b'/').map(|slash| slash.saturating_add(1)) {
            Some(start) if start == fd.name.len() => &fd.name,
            Some(start) => fd.name.get(start..).unwrap_or_default(),
            None => b"/",
        }))
    }),
    field("fd.cip", Kind::Ip, |cx, _, _| with_role(cx).and_then(|fd| ends(fd).map(|(source, _)| ip(source)))),
    field("fd.cport", Kind::Port, |cx, _, _| with_role(cx).and_then(|fd| ends(fd).map(|(source, _)| port(source)))),
    field("fd.sip", Kind::Ip, |cx, _, _| with_role(cx).and_then(server).map(ip)),
    field("fd.sport", Kind::Port, |cx, _, _| {
        let fd = cx.fd()?;
        let server = server(fd)?;
        (ends(fd).is_none() || !fd.has_no_role()).then(|| port(server))
    }),
    field("fd.l4proto", Kind::Text, |cx, _, _| {
        fd(cx, |fd| {
            Value::Text(match fd.protocol() {
                2 => b"tcp",
                3 => b"udp",
                4 => b"icmp",
                5 => b"raw",
                _ => b"<NA>",
            })
        })
    }),
    field("fd.sockfamily", Kind::Text, |cx, _, _| match cx.fd()?.kind {
        kind if is_ip(kind) => Some(Value::Text(b"ip")),
        FdKind::Unix => Some(Value::Text(b"unix")),
        _ => None,
    }),
    field("fd.connected", Kind::Bool, |cx, _, _| fd(cx, |fd| Value::Bool(fd.flags & Fd::CONNECTED != 0))),
    field("fd.is_upper_layer", Kind::Bool, |cx, _, _| fd(cx, |fd| Value::Bool(fd.flags & Fd::UPPER_LAYER != 0))),
    field("fd.is_lower_layer", Kind::Bool, |cx, _, _| fd(cx, |fd| Value::Bool(fd.flags & Fd::LOWER_LAYER != 0))),
    field("fd.uid", Kind::Text, |cx, _, sink| {
        let fd = cx.bound.fd?;
        numbers::signed(sink.out, cx.event.tid);
        numbers::signed(sink.out, fd);
        Some(Value::Written)
    }),
    field("fd.dev", Kind::Int32, |cx, _, _| fd(cx, |fd| Value::Hex(u64::from(fd.dev)))),
    field("fd.dev.major", Kind::Int32, |cx, _, _| fd(cx, |fd| Value::Unsigned(u64::from((fd.dev & 0xFFF00) >> 8)))),
    field("fd.dev.minor", Kind::Int32, |cx, _, _| {
        fd(cx, |fd| Value::Unsigned(u64::from((fd.dev & 0xFF) | ((fd.dev >> 12) & 0xFFF00))))
    }),
    field("fd.ino", Kind::Int64, |cx, _, _| fd(cx, |fd| Value::Signed(fd.ino.cast_signed()))),
];

/// Number that stands for the working directory.
pub(super) const AT_FDCWD: i64 = -100;

fn fd<'v>(cx: &Context<'v>, get: fn(&'v Fd) -> Value<'v>) -> Option<Value<'v>> {
    cx.fd().map(get)
}

/// The types in the order in which a list has them.
const TYPES: &[&str] = &[
    "<NA>",
    "bpf",
    "directory",
    "event",
    "eventpoll",
    "file",
    "inotify",
    "io_uring",
    "ipv4",
    "ipv6",
    "memfd",
    "netlink",
    "pidfd",
    "pipe",
    "signalfd",
    "timerfd",
    "unix",
    "userfaultfd",
];

fn is_ip(kind: FdKind) -> bool {
    matches!(kind, FdKind::Ipv4 | FdKind::Ipv6 | FdKind::Ipv4Server | FdKind::Ipv6Server)
}

/// Name of an fd's type.
pub(super) fn type_name(kind: FdKind) -> &'static str {
    use FdKind as K;
    match kind {
        K::File | K::FileV2 => "file",
        K::Directory => "directory",
        K::Ipv4 | K::Ipv4Server => "ipv4",
        K::Ipv6 | K::Ipv6Server => "ipv6",
        K::Unix => "unix",
        K::Fifo => "pipe",
        K::Event => "event",
        K::SignalFd => "signalfd",
        K::EventPoll => "eventpoll",
        K::Inotify => "inotify",
        K::TimerFd => "timerfd",
        K::Netlink => "netlink",
        K::Bpf => "bpf",
        K::UserFaultFd => "userfaultfd",
        K::IoUring => "io_uring",
        K::MemFd => "memfd",
        K::PidFd => "pidfd",
        K::Unknown | K::Unsupported => "<NA>",
    }
}

/// A letter as text.
fn char_text(letter: u8) -> &'static [u8] {
    const LETTERS: &[u8] = b"?fd46upesliitnbrmPoX";
    let at = LETTERS.iter().position(|l| *l == letter).unwrap_or(0);
    LETTERS.get(at..=at).unwrap_or_default()
}

/// The letter of an fd that has no entry, guessed from the call.
fn guessed_char(cx: &Context<'_>) -> u8 {
    match cx.info.name {
        // Today's libs leaves plain open out.
        "open" if cx.options.dialect == Dialect::Libs => b'o',
        "open" | "openat" | "openat2" | "creat" => b'f',
        "socket" | "accept" | "accept4" => b'4',
        "pipe" | "pipe2" => b'p',
        "eventfd" | "eventfd2" => b'e',
        "signalfd" | "signalfd4" => b's',
        "timerfd_create" => b't',
        "inotify_init" | "inotify_init1" => b'i',
        _ => b'o',
    }
}

/// The entry's name; without an entry (a failed open) the name that the call itself gives.
fn name<'v>(cx: &Context<'v>, _: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    cx.bound.fd?;
    match cx.fd() {
        Some(fd) => Some(Value::Text(&fd.name)),
        None => named_by_event(cx, sink),
    }
}

/// The name as the program gave it, without doubled slashes.
fn raw_name<'v>(cx: &Context<'v>, _: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    cx.bound.fd?;
    let text: &[u8] = match cx.fd() {
        Some(fd) => &fd.name_raw,
        None if !cx.info.is_enter() && matches!(cx.info.name, "openat" | "openat2") => stored_name(cx)?,
        None => return named_by_event(cx, sink),
    };
    let mut before = 0;
    for b in text {
        if *b != b'/' || before != b'/' {
            sink.out.push(*b);
        }
        before = *b;
    }
    Some(Value::Written)
}

/// Text after the id of the thread's container, which is empty on the machine itself. An id that comes from a
/// path alone may be a wrong guess: today's libs shows it only when a plugin knows of the container.
fn in_container<'v>(
    cx: &Context<'v>,
    arg: &Arg,
    sink: &mut Sink<'_>,
    text: fn(&Context<'v>, &Arg, &mut Sink<'_>) -> Option<Value<'v>>,
) -> Option<Value<'v>> {
    let id = &cx.thread()?.container_id;
    if cx.options.dialect == Dialect::Sysdig || cx.engine.container(id).is_some() {
        sink.string(id);
    }
    sink.plain(":");
    let start = sink.out.len();
    match text(cx, arg, sink)? {
        Value::Text(text) => sink.string(text),
        Value::Written => sink.finish(start),
        Value::Styled => {}
        _ => return None,
    }
    Some(Value::Styled)
}

fn named_by_event<'v>(cx: &Context<'v>, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    if cx.info.is_enter() {
        return None;
    }
    match cx.info.name {
        "open" | "creat" | "accept" | "accept4" | "connect" => text::argument(sink, cx, 1).then_some(Value::Styled),
        "openat" | "openat2" => {
            let dirfd = stored_fd(cx, "dirfd")?;
            let name = stored_name(cx)?;
            joined_with(sink.out, cx, dirfd, name);
            Some(Value::Written)
        }
        "open_by_handle_at" => stored_text(cx, "path").map(Value::Text),
        _ => Some(Value::Text(b"")),
    }
}

/// Appends a path as seen from an fd's directory, which may be unknown.
pub(super) fn joined_with(out: &mut Vec<u8>, cx: &Context<'_>, dirfd: i64, path: &[u8]) {
    let (base, directory): (&[u8], bool) = match dirfd {
        AT_FDCWD => (cx.engine.cwd(cx.bound.tid).unwrap_or(UNKNOWN), false),
        dirfd => cx.engine.fd(cx.bound.tid, dirfd).map_or((UNKNOWN, false), |fd| (&fd.name, true)),
    };
    text::joined(out, base, directory, path);
}

/// An fd among the event's arguments.
pub(super) fn stored_fd(cx: &Context<'_>, name: &str) -> Option<i64> {
    cx.event.param(cx.info.param_index(name)?).filter(|b| b.len() == 8).map(value::signed)
}

/// The argument `name` of openat, if there is any.
fn stored_name<'v>(cx: &Context<'v>) -> Option<&'v [u8]> {
    cx.event.param(cx.info.param_index("name")?).filter(|b| !b.is_empty())?;
    stored_text(cx, "name")
}

/// A string among the event's arguments; `<NA>` for one that is empty or the null pointer.
pub(super) fn stored_text<'v>(cx: &Context<'v>, name: &str) -> Option<&'v [u8]> {
    match text::shown(cx.event.param(cx.info.param_index(name)?)?) {
        b"" | b"(NULL)\0" => Some(b"<NA>"),
        bytes => bytes.split(|b| *b == 0).next(),
    }
}

/// The part before the last slash of a file's name; all of a directory's.
fn directory<'v>(cx: &Context<'v>, arg: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    let fd = cx.fd();
    if fd.is_some_and(|fd| fd.kind == FdKind::Directory) {
        return name(cx, arg, sink);
    }
    if fd.is_some_and(|fd| !matches!(fd.kind, FdKind::File | FdKind::FileV2)) {
        return None;
    }
    let start = sink.out.len();
    match name(cx, arg, sink)? {
        Value::Text(text) => sink.out.extend_from_slice(text),
        Value::Written | Value::Styled => {}
        _ => return None,
    }
    let text = sink.out.get(start..).unwrap_or_default();
    match text.iter().rposition(|b| *b == b'/') {
        None | Some(0) => {
            sink.out.truncate(start);
            sink.out.push(b'/');
        }
        // A name that ends with a slash stays as it is.
        Some(slash) if slash.saturating_add(1) == text.len() => {}
        Some(slash) => sink.out.truncate(start.saturating_add(slash)),
    }
    Some(Value::Written)
}

/// An address and a port.
#[derive(Clone, Copy)]
pub(crate) enum End {
    V4([u8; 4], u16),
    V6([u8; 16], u16),
}

pub(super) fn ip<'v>(end: End) -> Value<'v> {
    match end {
        End::V4(ip, _) => Value::Ipv4(ip),
        End::V6(ip, _) => Value::Ipv6(ip),
    }
}

pub(super) fn port<'v>(end: End) -> Value<'v> {
    let (End::V4(_, port) | End::V6(_, port)) = end;
    Value::Unsigned(u64::from(port))
}

/// Source and destination of a connection.
pub(crate) fn ends(fd: &Fd) -> Option<(End, End)> {
    match fd.socket {
        Socket::Ipv4 { sip, sport, dip, dport, .. } if fd.kind == FdKind::Ipv4 => {
            Some((End::V4(sip, sport), End::V4(dip, dport)))
        }
        Socket::Ipv6 { sip, sport, dip, dport, .. } if fd.kind == FdKind::Ipv6 => {
            Some((End::V6(sip, sport), End::V6(dip, dport)))
        }
        _ => None,
    }
}

/// The server's end of a connection, or the address that a server listens on.
pub(crate) fn server(fd: &Fd) -> Option<End> {
    match fd.socket {
        Socket::Ipv4Server { ip, port, .. } if fd.kind == FdKind::Ipv4Server => Some(End::V4(ip, port)),
        Socket::Ipv6Server { ip, port, .. } if fd.kind == FdKind::Ipv6Server => Some(End::V6(ip, port)),
        _ => ends(fd).map(|(_, destination)| destination),
    }
}

/// The fd, if it is known who is client and who is server.
pub(super) fn with_role<'v>(cx: &Context<'v>) -> Option<&'v Fd> {
    cx.fd().filter(|fd| !fd.has_no_role())
}
