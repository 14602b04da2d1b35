//! The filter language against the facts of golden-tests.yaml: what parses, what compiles, what holds.

#![allow(clippy::unwrap_used, clippy::panic, clippy::format_collect)]

mod shared;

use scapkit_format::lists::threads::Thread;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Limits};
use scapkit_replay::filter::{ast, parse};
use scapkit_replay::{Context, Dialect, Filter, Format, Played, Replay, ReplayOptions, TextOptions, View};
use serde_json::Value;

/// One process, and a getcwd of it that fails and gives `/test/dir`.
struct World(Vec<u8>);

impl World {
    fn new(comm: &str, exe: &str, exepath: &str, arg: &str) -> Self {
        let thread = Thread {
            tid: 1,
            pid: 1,
            vtid: 1,
            vpid: 1,
            comm: comm.as_bytes(),
            exe: exe.as_bytes(),
            exepath: exepath.as_bytes(),
            args: arg.as_bytes(),
            ..Thread::default()
        };
        let mut synth = Synth::new();
        let params = Params::new().i64(-1).str("/test/dir");
        synth.section().threads(9, &[thread]).event(1_000, 1, id::SYSCALL_GETCWD_X, &params);
        World(synth.finish())
    }

    fn at_event<T>(&self, mut ask: impl FnMut(&Context<'_>) -> T) -> T {
        let options = TextOptions::new(Dialect::Libs);
        let capture = Capture::from_bytes(self.0.clone(), "synthetic", Limits::default());
        let mut replay = Replay::new(capture, ReplayOptions { view: View::Current, ..ReplayOptions::default() });
        while let Some(played) = replay.next().unwrap() {
            if let Played::Event(step) = played {
                return ask(&step.context(step.event.ts, &options));
            }
        }
        panic!("no event");
    }
}

fn facts() -> Option<Value> {
    let text = std::fs::read_to_string(shared::folder()?.join("spec/golden-tests.yaml")).unwrap();
    Some(serde_saphyr::from_str(&text).unwrap())
}

fn rows<'f>(facts: &'f Value, name: &str) -> &'f [Value] {
    let rows = facts[name].as_array().unwrap();
    assert!(!rows.is_empty(), "{name}");
    rows
}

#[test]
fn what_parses() {
    let Some(facts) = facts() else { return };
    for text in rows(&facts, "parse_accept") {
        let text = text.as_str().unwrap();
        if let Err(error) = parse::parse(text, parse::MAX_DEPTH) {
            panic!("{}", error.shown(text));
        }
    }
    for text in rows(&facts, "parse_reject") {
        let text = text.as_str().unwrap();
        assert!(parse::parse(text, parse::MAX_DEPTH).is_err(), "{text} was taken");
    }
    for row in rows(&facts, "parse_error_message") {
        let (text, part) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
        let text = if text.starts_with("100000 x") { "(".repeat(100_000) } else { text.to_owned() };
        let error = parse::parse(&text, parse::MAX_DEPTH).unwrap_err();
        assert!(error.message.contains(part), "{text}: {error}");
    }
    for row in rows(&facts, "unescape_string") {
        let text = format!("a.b = \"{}\"", row[0].as_str().unwrap());
        let Ok(ast::Expr::Check(check)) = parse::parse(&text, parse::MAX_DEPTH) else { panic!("{text}") };
        let ast::Right::Value(value) = check.right else { panic!("{text}") };
        let hex: String = value.bytes.iter().map(|b| format!("{b:02x}")).collect();
        // A number in the file where the digits are decimal ones.
        let wanted = row[1].as_str().map_or_else(|| row[1].to_string(), ToOwned::to_owned);
        assert_eq!(hex, wanted, "{text}");
    }
}

#[test]
fn what_compiles() {
    let Some(facts) = facts() else { return };
    for text in rows(&facts, "compile_ok") {
        let text = text.as_str().unwrap();
        if let Err(error) = Filter::compile(text) {
            panic!("{}", error.shown(text));
        }
    }
    for text in rows(&facts, "compile_error") {
        let text = text.as_str().unwrap();
        assert!(Filter::compile(text).is_err(), "{text} was taken");
    }
}

/// Strings of a synthetic process in place of the fields that upstream's tests make up.
fn with_real_fields(text: &str) -> String {
    text.replace("c.true", "proc.name")
        .replace("c.false", "proc.exe")
        .replace("c.singlequote", "proc.exepath")
        .replace("c.doublequote", "proc.args[0]")
}

#[test]
fn what_holds() {
    let Some(facts) = facts() else { return };
    let world = World::new("1", "0", "hello 'quoted'", "hello \"quoted\"");
    for row in rows(&facts, "bool_eval") {
        let (text, wanted) = (with_real_fields(row[0].as_str().unwrap()), row[1].as_bool().unwrap());
        let mut filter = Filter::compile(&text).unwrap_or_else(|e| panic!("{}", e.shown(&text)));
        assert_eq!(world.at_event(|cx| filter.matches(cx)), wanted, "{text}");
    }
    for row in rows(&facts, "transformer") {
        let quoted = |v: &Value| format!("\"{}\"", v.as_str().map_or_else(|| v.to_string(), ToOwned::to_owned));
        let (name, input, output) = (row[0].as_str().unwrap(), &row[1], &row[2]);
        let list = |all: &[Value]| format!("({})", all.iter().map(quoted).collect::<Vec<_>>().join(", "));
        let left = match input.as_array() {
            Some(all) => format!("{name}({})", list(all)),
            None => format!("{name}({})", quoted(input)),
        };
        let text = match output.as_array() {
            Some(all) => format!("{left} in {}", list(all)),
            None => format!("{left} = {}", quoted(output)),
        };
        let mut filter = Filter::compile(&text).unwrap_or_else(|e| panic!("{}", e.shown(&text)));
        assert!(world.at_event(|cx| filter.matches(cx)), "{text}");
    }
    for row in rows(&facts, "pmatch") {
        let patterns: Vec<String> =
            row[0].as_array().unwrap().iter().map(|p| format!("'{}'", p.as_str().unwrap())).collect();
        let world = World::new(row[1].as_str().unwrap(), "", "", "");
        let text = format!("proc.name pmatch ({})", patterns.join(","));
        assert_eq!(
            world.at_event(|cx| Filter::compile(&text).unwrap().matches(cx)),
            row[2].as_bool().unwrap(),
            "{text}"
        );
    }
}

#[test]
fn formats() {
    let Some(facts) = facts() else { return };
    let world = World::new("init", "/sbin/init", "/sbin/init", "x");
    for row in rows(&facts, "formatter") {
        let (text, mode, complete) = (row[0].as_str().unwrap(), row[1].as_str().unwrap(), row[2].as_bool().unwrap());
        let wanted = row[3].as_str().unwrap();
        let format = Format::compile(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut out = Vec::new();
        match mode {
            "text" | "text_plain" => {
                let printed = world.at_event(|cx| format.line(cx, &mut out));
                assert_eq!(printed, complete, "{text}");
                // What upstream made before a field was missing is not printed by it either.
                let wanted = if complete { wanted } else { "" };
                assert_eq!(String::from_utf8_lossy(&out), wanted, "{text}");
            }
            // Ours is always complete, `{}` without fields, and shows what was asked for.
            "json" if complete && wanted != "null" => {
                world.at_event(|cx| format.json(cx, &mut out));
                assert_eq!(String::from_utf8_lossy(&out), wanted, "{text}");
            }
            _ => {}
        }
    }
    for text in rows(&facts, "formatter_error") {
        let text = text.as_str().unwrap();
        assert!(Format::compile(text).is_err(), "{text} was taken");
    }
    for text in rows(&facts, "formatter_ok") {
        let text = text.as_str().unwrap();
        if let Err(error) = Format::compile(text) {
            panic!("{text}: {error}");
        }
    }
}
