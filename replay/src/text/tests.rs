use super::*;
use crate::engine::{Bound, Engine, Fd, FdKind, Socket};
use crate::{Context, Format, TextOptions};
use proptest::prelude::*;
use scapkit_format::schema::{self, EventInfo, ParamInfo, ParamType as P, id};
use scapkit_format::{Block, Event, EventHead, encode};
use std::fmt::Write as _;

/// An event as bytes. Arguments are those of the type, in order.
fn bytes(event_type: u16, params: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    let head = EventHead { ts: 1_690_557_262_753_887_343, tid: 42, cpu: 1, event_type, flags: 0 };
    encode::event(&mut out, head, params).unwrap();
    out
}

fn show<T>(
    bytes: &[u8],
    info: fn(&Event<'_>) -> &'static EventInfo,
    options: &TextOptions,
    f: impl FnOnce(&Context<'_>) -> T,
) -> T {
    let event = Event::parse(&Block::new(bytes, 0, 1)).unwrap();
    let engine = Engine::default();
    f(&Context {
        event,
        info: info(&event),
        number: 7,
        engine: &engine,
        bound: Bound { tid: 42, ..Bound::default() },
        first_ts: event.ts,
        previous_ts: event.ts,
        enter_ts: None,
        options,
    })
}

fn current(event: &Event<'_>) -> &'static EventInfo {
    event.info().unwrap()
}

fn recorded(event: &Event<'_>) -> &'static EventInfo {
    event.recorded_info().unwrap()
}

fn line(bytes: &[u8], dialect: Dialect, format: &str) -> Option<String> {
    let table = if dialect == Dialect::Libs { current } else { recorded };
    let format = Format::compile(format).unwrap();
    let mut out = Vec::new();
    let printed = show(bytes, table, &TextOptions::new(dialect), |cx| format.line(cx, &mut out));
    let text = String::from_utf8(out).unwrap();
    assert!(printed || text.is_empty());
    printed.then_some(text)
}

fn libs(event_type: u16, params: &[&[u8]]) -> String {
    line(&bytes(event_type, params), Dialect::Libs, "%evt.args").unwrap()
}

fn sysdig(event_type: u16, params: &[&[u8]]) -> String {
    line(&bytes(event_type, params), Dialect::Sysdig, "%evt.info").unwrap()
}

fn le(n: i64) -> [u8; 8] {
    n.to_le_bytes()
}

/// A present value of every kind.
fn sample(param: &ParamInfo) -> Vec<u8> {
    let entries = param.flags.map_or(&[][..], |t| t.entries);
    let entry = |n: usize| entries.get(n).map_or(1, |e| e.1);
    let number: u64 = match param.kind {
        P::Flags8 | P::Flags16 | P::Flags32 => entry(0) | entry(2),
        P::EnumFlags8 | P::EnumFlags16 | P::EnumFlags32 => entry(entries.len() / 2),
        P::Mode => 0o4755,
        P::SigType => 11,
        P::SigSet => 0b101,
        P::RelTime => 1_500_000_000,
        P::AbsTime => 951_782_400_000_000_001,
        P::Errno | P::Fd | P::Fd32 => (-2i64).cast_unsigned(),
        P::Uid | P::Gid => 0,
        P::SyscallId => 3,
        _ => 300,
    };
    let text: &[u8] = match param.kind {
        P::CharBuf => b"text\0",
        P::FsPath => b"/a/path\0",
        P::FsRelPath => b"relative/path\0",
        P::ByteBuf => b"data\n\xff",
        P::CharBufArray => b"one\0two\0",
        P::CharBufPairArray => b"cpu=/\0memory=/user\0",
        P::SockAddr => &[2, 127, 0, 0, 1, 80, 0],
        P::SockTuple => &[2, 127, 0, 0, 1, 57, 48, 10, 0, 0, 1, 187, 1],
        P::FdList => &[1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0x61, 0],
        P::Dyn => {
            let sub = &param.dynamic[0];
            let inner =
                ParamInfo { kind: sub.kind, dynamic: &[], name: "", format: sub.format, flags: None, dirfd: None };
            return [vec![sub.index], sample(&inner)].concat();
        }
        P::Ipv6Addr => &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        kind => return number.to_le_bytes()[..kind.fixed_size().unwrap()].to_vec(),
    };
    text.to_vec()
}

fn every_event(table: &'static [EventInfo], dialect: Dialect) -> String {
    let mut all = String::new();
    for info in table.iter().filter(|i| !i.params.is_empty() && !i.flags.is_unused()) {
        let params: Vec<Vec<u8>> = info.params.iter().map(sample).collect();
        let params: Vec<&[u8]> = params.iter().map(Vec::as_slice).collect();
        let text = line(&bytes(info.id, &params), dialect, "%evt.dir %evt.type %evt.info").unwrap();
        writeln!(all, "{text}|").unwrap();
    }
    all
}

#[test]
fn every_event_of_today() {
    insta::assert_snapshot!(every_event(&schema::EVENTS, Dialect::Libs));
}

#[test]
fn every_event_of_2022() {
    insta::assert_snapshot!(every_event(&schema::EVENTS_2022, Dialect::Sysdig));
}

#[test]
fn what_is_absent() {
    // recvmsg has data, tuple and control data; statx-like paths and numbers say <NA>.
    let empty: &[&[u8]] = &[&[], &[], &[], &[], &[]];
    assert_eq!(libs(id::SOCKET_RECVMSG_X, empty), "res=<NA> size=<NA> data=NULL tuple=NULL msgcontrol=NULL");
    assert_eq!(sysdig(id::SOCKET_RECVMSG_X, &empty[..4]), "res=<NA> size=<NA> data= tuple=NULL ");
    assert_eq!(libs(id::SYSCALL_POLL_X, &[&le(0), &[], &[]]), "res=0 fds=NULL timeout=<NA>");
    assert_eq!(libs(id::SYSCALL_CHDIR_X, &[&le(-1), &[]]), "res=-1(EPERM) path=<NA>");
    assert_eq!(libs(id::SYSCALL_CHDIR_X, &[&le(-1), b"\0"]), "res=-1(EPERM) path=");
    assert_eq!(libs(id::SYSCALL_CHDIR_X, &[&le(-1), b"(NULL)\0"]), "res=-1(EPERM) path=<NA>");
    // Not stored is not printed; a number of the wrong width is not guessed.
    assert_eq!(libs(id::SYSCALL_CHDIR_X, &[&le(0)]), "res=0");
    assert_eq!(libs(id::SYSCALL_CHDIR_X, &[&[1, 2]]), "res=<NA>");
}

#[test]
fn numbers_are_printed_as_signed() {
    let limits = [&le(0)[..], &u64::MAX.to_le_bytes(), &le(5), &[7]];
    assert_eq!(libs(id::SYSCALL_GETRLIMIT_X, &limits), "res=0 cur=-1 max=5 resource=7(RLIMIT_NOFILE)");
}

#[test]
fn errors_and_fds() {
    assert_eq!(libs(id::SYSCALL_CLOSE_X, &[&le(-9), &le(-1)]), "res=-9(EBADF) fd=-1(EPERM)");
    assert_eq!(libs(id::SYSCALL_CLOSE_X, &[&le(-600), &le(5)]), "res=-600 fd=5");
    let bound = |entry: &Fd| {
        let mut out = Vec::new();
        argument::fd(&mut Sink { out: &mut out, style: Style::Line }, 3, Some(entry));
        String::from_utf8(out).unwrap()
    };
    let named = |kind, name: &[u8], socket| Fd { name: name.into(), socket, ..Fd::new(kind) };
    assert_eq!(bound(&named(FdKind::File, b"/etc/passwd", Socket::None)), "<f>/etc/passwd");
    assert_eq!(bound(&named(FdKind::Fifo, b"", Socket::None)), "<p>");
    for (l4, letter) in [(0, ""), (1, ""), (2, "t"), (3, "u"), (4, "i"), (5, "r")] {
        let socket = Socket::Ipv4Server { ip: [0; 4], port: 80, l4 };
        assert_eq!(bound(&named(FdKind::Ipv4Server, b"0.0.0.0:80", socket)), format!("<4{letter}>0.0.0.0:80"));
    }
    assert_eq!(bound(&named(FdKind::File, b"a\x1b[2J", Socket::None)), "<f>a\\x1b[2J");
}

#[test]
fn accounts() {
    assert_eq!(libs(id::SYSCALL_SETUID_X, &[&le(0), &[5, 0, 0, 0]]), "res=0 uid=5(<NA>)");
    assert_eq!(libs(id::SYSCALL_SETUID_X, &[&le(0), &[0xFF; 4]]), "res=0 uid=-1(<NONE>)");
    assert_eq!(libs(id::SYSCALL_SETUID_X, &[&le(0), &[0; 4]]), "res=0 uid=0(root)");
}

#[test]
fn times() {
    let interval = |ns: u64| sysdig(id::SYSCALL_NANOSLEEP_E, &[&ns.to_le_bytes()]);
    assert_eq!(interval(0), "interval=0(0s) ");
    assert_eq!(interval(1_500_000_000), "interval=1500000000(1.5s) ");
    assert_eq!(interval(u64::MAX), "interval=none ");
}

#[test]
fn paths_are_joined_with_their_directory() {
    let of = |base: &[u8], directory, path: &[u8]| {
        let mut out = Vec::new();
        joined(&mut out, base, directory, path);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(of(b"/root/", false, b"../a"), "/a");
    assert_eq!(of(b"/usr/share", true, b"./doc"), "/usr/share/doc");
    // A directory that is not known adds nothing.
    assert_eq!(of(b"", true, b"doc"), "doc");
    // An absolute path says it all.
    let unlinkat = |dirfd: i64, path: &[u8]| libs(id::SYSCALL_UNLINKAT_2_X, &[&le(0), &le(dirfd), path, &[0; 4]]);
    assert_eq!(unlinkat(-100, b"/a\0"), "res=0 dirfd=-100(AT_FDCWD) name=/a flags=0");
}

#[test]
fn one_argument() {
    let event = bytes(id::SYSCALL_OPEN_X, &[&le(-2), b"/a\0", &[1, 16, 0, 0], &[0o244, 1, 0, 0], &[], &[]]);
    let text = |format| line(&event, Dialect::Libs, format);
    assert_eq!(text("%evt.arg.fd").unwrap(), "ENOENT");
    assert_eq!(text("%evt.arg[1] %evt.arg.name").unwrap(), "/a /a");
    assert_eq!(text("%evt.arg.flags").unwrap(), "O_RDONLY|O_CLOEXEC");
    assert_eq!(text("%evt.rawarg.flags %evt.rawarg.fd").unwrap(), "1001 -2");
    assert_eq!(text("%evt.arg.mode").unwrap(), "0644");
    assert_eq!(text("%evt.arg.dev").unwrap(), "<NA>");
    // No such argument: not printed, or <NA>.
    assert_eq!(text("%evt.arg.data"), None);
    assert_eq!(text("%evt.arg[9]"), None);
    assert_eq!(text("*%evt.arg.data|%evt.rawarg.dev").unwrap(), "<NA>|<NA>");
}

#[test]
fn generic_calls_are_named_by_their_code() {
    let text = |dialect, code: u8, native: u8| {
        line(&bytes(id::GENERIC_E, &[&[code, 0], &[native, 0]]), dialect, "%evt.type|%evt.info").unwrap()
    };
    assert_eq!(text(Dialect::Sysdig, 75, 10), "mprotect|");
    assert_eq!(text(Dialect::Sysdig, 0, 221), "<unknown>|");
    assert_eq!(text(Dialect::Libs, 0, 221), "fadvise64|");
    assert_eq!(text(Dialect::Libs, 0, 255), "inotify_rm_watch|");
}

#[test]
fn data_in_every_mode() {
    let event = bytes(id::SYSCALL_READ_X, &[&le(3), b"a\x1bb\n", &le(3), &[3, 0, 0, 0]]);
    let mut all = String::new();
    for buffers in [BufferMode::Normal, BufferMode::Ascii, BufferMode::Hex, BufferMode::HexAscii, BufferMode::Base64] {
        let options = TextOptions { buffers, ..TextOptions::new(Dialect::Libs) };
        let mut out = Vec::new();
        let format = Format::compile("%evt.buffer|%evt.arg.data").unwrap();
        assert!(show(&event, current, &options, |cx| format.line(cx, &mut out)));
        writeln!(all, "{buffers:?}: {}", String::from_utf8(out).unwrap()).unwrap();
    }
    insta::assert_snapshot!(all.replace('\t', "<TAB>"));
}

/// Formats with everything that prints what programs wrote.
const HOSTILE: &str = "*%evt.info|%evt.args|%evt.arg[0]|%evt.arg[1]|%evt.arg.name|%evt.rawarg.name|%fd.name|%fd.directory\
    |%evt.type|%evt.asynctype|%evt.buffer|%5evt.arg.name|%evt.res|%proc.name|%user.name|%evt.hostname";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever programs wrote: one line without control characters, and valid JSON with all bytes.
    #[test]
    fn no_input_reaches_a_terminal_raw(
        which in 0..schema::EVENTS.len(),
        params in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        sysdig: bool,
    ) {
        let info = &schema::EVENTS[which];
        let params: Vec<&[u8]> = params.iter().map(Vec::as_slice).take(info.params.len()).collect();
        let event = bytes(info.id, &params);
        let dialect = if sysdig { Dialect::Sysdig } else { Dialect::Libs };
        let text = line(&event, dialect, HOSTILE).unwrap();
        prop_assert!(!text.contains(char::is_control), "{:?}", text);
        let mut json = Vec::new();
        let format = Format::compile(HOSTILE).unwrap();
        show(&event, current, &TextOptions::new(dialect), |cx| format.json(cx, &mut json));
        let json = String::from_utf8(json).unwrap();
        prop_assert!(!json.contains(char::is_control));
        // serde_json refuses lone surrogates, which stand for bytes that are no UTF-8.
        let paired = json.replace("\\udc", "\\u00");
        prop_assert!(serde_json::from_str::<serde_json::Value>(&paired).is_ok(), "{}", json);
    }

    /// The path of an open, byte for byte.
    #[test]
    fn json_keeps_every_byte(name in prop::collection::vec(1u8.., 1..40)) {
        let stored = [&name[..], &[0]].concat();
        let event = bytes(id::SYSCALL_OPEN_X, &[&le(3), &stored, &[0; 4], &[0; 4], &[0; 4], &[0; 8]]);
        let mut json = Vec::new();
        let format = Format::compile("%evt.rawarg.name").unwrap();
        show(&event, current, &TextOptions::new(Dialect::Libs), |cx| format.json(cx, &mut json));
        let json = String::from_utf8(json).unwrap();
        let inside = json.strip_prefix("{\"evt.rawarg.name\":\"").and_then(|j| j.strip_suffix("\"}")).unwrap();
        prop_assert_eq!(unescaped(inside), name);
    }
}

/// Undoes JSON's escapes as Python's `surrogateescape` does.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut out, mut chars) = (Vec::new(), text.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let unit = u16::from_str_radix(&digits, 16).unwrap();
                    if let [0xDC, byte] = unit.to_be_bytes() {
                        out.push(byte);
                    } else {
                        let c = char::from_u32(u32::from(unit)).unwrap();
                        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
                Some(c) => out.push(u8::try_from(c).unwrap()),
                None => panic!("cut escape"),
            },
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out
}
