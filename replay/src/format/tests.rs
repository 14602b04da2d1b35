use super::*;
use crate::engine::{Bound, Engine};
use crate::{Dialect, TextOptions, TimeMode};
use scapkit_format::schema::id;
use scapkit_format::{Block, Event, EventHead, encode};
use std::fmt::Write as _;

const TS: u64 = 1_690_557_262_053_887_343;

/// Runs `f` on a getcwd that failed but gives a path, 1.5 s after the first event and 2 ms after
/// the one before.
fn with<T>(options: &TextOptions, f: impl FnOnce(&Context<'_>) -> T) -> T {
    let mut bytes = Vec::new();
    let head = EventHead { ts: TS, tid: 1, cpu: 3, event_type: id::SYSCALL_GETCWD_X, flags: 0 };
    encode::event(&mut bytes, head, &[&(-1i64).to_le_bytes(), b"/test/d\xc3\xafr\0"]).unwrap();
    let event = Event::parse(&Block::new(&bytes, 0, 1)).unwrap();
    let engine = Engine::default();
    f(&Context {
        event,
        info: event.info().unwrap(),
        number: 184,
        engine: &engine,
        bound: Bound { tid: 1, thread: false, fd: None, res: Some(-1), ..Bound::default() },
        first_ts: TS - 1_500_000_000,
        previous_ts: TS - 2_000_000,
        enter_ts: Some(TS - 7),
        options,
    })
}

fn line_of(format: &Format, options: &TextOptions) -> Option<String> {
    let mut out = b"before".to_vec();
    let printed = with(options, |cx| format.line(cx, &mut out));
    let text = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
    assert!(printed || text.is_empty(), "{text}");
    printed.then_some(text)
}

fn line(format: &str) -> Option<String> {
    line_of(&Format::compile(format).unwrap(), &TextOptions::default())
}

fn json(format: &str) -> String {
    let mut out = Vec::new();
    with(&TextOptions::default(), |cx| Format::compile(format).unwrap().json(cx, &mut out));
    String::from_utf8(out).unwrap()
}

#[test]
fn lines() {
    for (format, wanted) in [
        ("start %evt.type end", "start getcwd end"),
        ("start %2evt.type end", "start ge end"),
        ("start %10evt.type end", "start getcwd     end"),
        ("start%evt.typeand%thread.tidend", "startgetcwdand1end"),
        ("start %evt.arg[1] %evt.arg.path end", "start /test/dïr /test/dïr end"),
        // Not half a character.
        ("%8evt.arg.path|", "/test/d |"),
        ("%9evt.arg.path|", "/test/dï|"),
        ("start end", "start end"),
        ("*start %evt.type %evt.asynctype end", "start getcwd <NA> end"),
        ("*%6evt.asynctype|", "<NA>  |"),
        ("%evt.res %evt.rawres %evt.failed %evt.dir %evt.cpu", "EPERM -1 true < 3"),
        ("%evt.args[1]", "res=-1(EPERM) path=/test/dïr [1]"),
        ("%evt.rawtime.ns %evt.reltime %evt.deltatime", "053887343 1500000000 2000000"),
    ] {
        assert_eq!(line(format).as_deref(), Some(wanted), "{format}");
    }
    assert_eq!(line("start %evt.type %evt.asynctype end"), None);
}

#[test]
fn the_default_line() {
    let wanted = "184 15:14:22.053887343 3 <NA> (1) < getcwd res=-1(EPERM) path=/test/dïr ";
    assert_eq!(line(DEFAULT_LINE).unwrap(), wanted);
    let coloured = Format::compile(DEFAULT_LINE).unwrap().coloured();
    insta::assert_snapshot!(line_of(&coloured, &TextOptions::default()).unwrap().replace('\x1b', "ESC"),
        @"ESC[90m184ESC[00m ESC[90m15:14:22.053887343ESC[00m 3 ESC[01;32m<NA>ESC[00m (ESC[36m1ESC[00m) < ESC[01;34mgetcwdESC[00m res=-1(EPERM) path=/test/dïr ");
}

#[test]
fn time_modes() {
    let shown = |time, dialect| {
        let options = TextOptions { time, ..TextOptions::new(dialect) };
        line_of(&Format::compile("%evt.outputtime").unwrap(), &options).unwrap()
    };
    assert_eq!(shown(TimeMode::Clock, Dialect::Sysdig), "15:14:22.053887343");
    // sysdig does not pad the ns here.
    assert_eq!(shown(TimeMode::Absolute, Dialect::Sysdig), "1690557262.53887343");
    assert_eq!(shown(TimeMode::Relative, Dialect::Sysdig), "1.500000000");
    assert_eq!(shown(TimeMode::Delta, Dialect::Sysdig), "0.002000000");
    assert_eq!(shown(TimeMode::Latency, Dialect::Sysdig), "0.000000007");
    assert_eq!(shown(TimeMode::Latency, Dialect::Libs), "0.000000000");
    let options = TextOptions { zone: Some(Box::new(|_| 5400)), ..TextOptions::default() };
    let format = Format::compile("%evt.outputtime %evt.datetime.s %evt.time.iso8601").unwrap();
    assert_eq!(
        line_of(&format, &options).unwrap(),
        "16:44:22.053887343 2023-07-28 16:44:22 2023-07-28T15:14:22.053887343+0000"
    );
    assert_eq!(TimeMode::from_letter('D'), Some(TimeMode::Delta));
    assert_eq!(TimeMode::from_letter('x'), None);
}

#[test]
fn objects() {
    for (format, wanted) in [
        ("start %10evt.type end", r#"{"evt.type":"getcwd"}"#),
        ("%thread.tid %evt.type %thread.tid", r#"{"evt.type":"getcwd","thread.tid":1}"#),
        // Always printed, with or without `*`.
        ("%evt.type %evt.asynctype", r#"{"evt.asynctype":null,"evt.type":"getcwd"}"#),
        ("%evt.arg[1] %evt.failed", r#"{"evt.arg[1]":"/test/dïr","evt.failed":true}"#),
        ("%evt.time %evt.outputtime", r#"{"evt.outputtime":1690557262053887343,"evt.time":1690557262053887343}"#),
        ("%evt.rawtime.ns %evt.rawres", r#"{"evt.rawres":-1,"evt.rawtime.ns":53887343}"#),
        ("text", "{}"),
    ] {
        assert_eq!(json(format), wanted, "{format}");
    }
    insta::assert_snapshot!(json(DEFAULT_JSON), @r#"{"evt.cpu":3,"evt.dir":"<","evt.info":"res=-1(EPERM) path=/test/dïr ","evt.num":184,"evt.outputtime":1690557262053887343,"evt.type":"getcwd","proc.name":null,"thread.tid":1}"#);
}

#[test]
fn errors() {
    let mut all = String::new();
    for format in [
        "",
        "*",
        "start %some.field end",
        "start %a end",
        "start % end",
        "start %evt.type %",
        "é %12",
        "%99999evt.type",
        "%evt.num %proc.nam",
        "%evt.tpye.",
        "%%",
        "%fd.ip",
        "%container.label",
        "%proc.env[HOME",
        "%evt.type.is.zzz",
        "%evt.arg",
        "%evt.arg.",
        "%evt.arg[x]",
        "%evt.arg.nosuchthing",
        "%evt.rawarg[1]",
        "%proc.args[x]",
        "%toupper(proc.name)",
        "%some_transformer(proc.name)",
        "%(proc.name)",
    ] {
        let error = Format::compile(format).unwrap_err();
        writeln!(all, "{format:?}\n  {}: {error}", error.code()).unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn escapes_of_the_command_line() {
    assert_eq!(unescape(r"a\n\t\e\\n\x\"), "a\n\t\x1b\\n\\x\\");
}
