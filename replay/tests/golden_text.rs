//! Compares the text of arguments with that of two other programs, as far as it does not depend on
//! state: names of fds, threads, accounts and directories are skipped.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic, missing_docs)]

use scapkit_format::input::Input;
use scapkit_format::schema::{EventInfo, ParamType, id};
use scapkit_format::{Capture, Content, Event, Item, Limits, value};
use scapkit_replay::engine::{Bound, Engine};
use scapkit_replay::{Context, Dialect, Format, TextOptions, Upgraded, Upgrader};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

fn shared() -> Option<PathBuf> {
    let dir = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    if dir.join("goldens").is_dir() {
        return Some(dir);
    }
    std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("SKIPPED: {} is absent (set SCAPKIT_SHARED)\n", dir.display()),
    )
    .unwrap();
    None
}

fn contents(path: &Path) -> Vec<u8> {
    let mut input = Input::open(path, &Limits::default()).unwrap();
    let (mut all, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        match input.read(&mut buffer).unwrap() {
            0 => return all,
            n => all.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Whether what stands in parentheses after the value comes from the state.
fn by_state(kind: ParamType) -> bool {
    use ParamType as P;
    matches!(kind, P::Fd | P::Fd32 | P::Pid | P::Pid32 | P::Uid | P::Gid | P::FsPath | P::FsRelPath)
}

/// Takes the parentheses of state out of `name=value(state) …`.
fn without_state(text: &str, info: &EventInfo) -> String {
    let mut out = String::new();
    let mut rest = text;
    for (i, p) in info.params.iter().enumerate() {
        let next = info.params[i + 1..].iter().find_map(|n| rest.find(&format!(" {}=", n.name)));
        let (this, after) = rest.split_at(next.map_or(rest.len(), |n| n + 1));
        rest = after;
        let cut = this.find('(').filter(|_| by_state(p.kind) && !this.contains("=-"));
        if p.kind == ParamType::FdList {
            // The letters of fd types.
            let mut before = ' ';
            for c in this.chars() {
                out.push(if before == ':' { '?' } else { c });
                before = c;
            }
            continue;
        }
        out.push_str(&this[..cut.unwrap_or(this.len())]);
        if cut.is_some() && this.ends_with(' ') {
            out.push(' ');
        }
    }
    out
}

struct Compared {
    equal: usize,
    /// Per event type: how many differ, and one of them.
    worst: BTreeMap<String, (usize, String)>,
}

impl Compared {
    fn new() -> Self {
        Compared { equal: 0, worst: BTreeMap::new() }
    }

    fn compare(&mut self, info: &EventInfo, wanted: &str, found: &str) {
        let (wanted, found) = (without_state(wanted, info), without_state(found, info));
        if wanted == found {
            self.equal += 1;
        } else {
            let example = || (0, format!("wanted {wanted:?}\n  found  {found:?}"));
            self.worst.entry(info.to_string()).or_insert_with(example).0 += 1;
        }
    }

    fn finish(self, at_least: usize) {
        let shown: String =
            self.worst.iter().flat_map(|(event, (n, s))| [n.to_string(), format!(" {event}\n  {s}\n")]).collect();
        assert!(shown.is_empty(), "{} equal, but\n{shown}", self.equal);
        assert!(self.equal >= at_least, "{}", self.equal);
    }
}

fn with<T>(
    event: Event<'_>,
    info: &'static EventInfo,
    options: &TextOptions,
    show: impl FnOnce(&Context<'_>, &mut Vec<u8>) -> T,
) -> String {
    let engine = Engine::default();
    let returns = !info.is_enter() && info.category.is_syscall() && info.id != id::GENERIC_X;
    let res = event.param(0).filter(|b| returns && matches!(b.len(), 4 | 8)).map(value::signed);
    let bound = Bound { tid: event.tid, thread: false, fd: None, res, ..Bound::default() };
    let cx = Context {
        event,
        info,
        number: 0,
        engine: &engine,
        bound,
        first_ts: event.ts,
        previous_ts: event.ts,
        enter_ts: None,
        options,
    };
    let mut out = Vec::new();
    show(&cx, &mut out);
    String::from_utf8(out).unwrap()
}

fn text(format: &Format, event: Event<'_>, info: &'static EventInfo, options: &TextOptions) -> String {
    with(event, info, options, |cx, out| assert!(format.line(cx, out)))
}

#[test]
fn sysdig() {
    let Some(shared) = shared() else { return };
    let options = TextOptions::new(Dialect::Sysdig);
    let head = Format::compile("%evt.outputtime %evt.cpu").unwrap();
    let tail = Format::compile("%evt.dir %evt.type").unwrap();
    let info_only = Format::compile("%evt.info").unwrap();
    let mut compared = Compared::new();
    for name in [
        "cat_write",
        "connect_localhost",
        "curl_google",
        "open-multiple-files",
        "sample",
        "single_ipv6_conn",
        "syscall",
        "test_ipv6_client",
    ] {
        let golden = contents(&shared.join(format!("goldens/{name}.sysdig-0.29.3.txt.zst")));
        // time, cpu, thread, direction and type say which event it is.
        let mut lines: HashMap<(String, String), String> = HashMap::new();
        for line in String::from_utf8(golden).unwrap().lines() {
            let (_, line) = line.split_once(' ').unwrap();
            let time_cpu: String = line.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ");
            let tid_at = line.find(") < ").or_else(|| line.find(") > ")).unwrap();
            let mut parts = line[tid_at + 2..].splitn(3, ' ');
            let what = format!("{} {}", parts.next().unwrap(), parts.next().unwrap());
            lines.insert((time_cpu, what), parts.next().unwrap_or_default().to_owned());
        }
        let mut capture = Capture::open(&shared.join(format!("captures/{name}.scap")), Limits::default()).unwrap();
        while let Some(item) = capture.next().unwrap() {
            let Item::Block(_, Content::Event(event)) = item else { continue };
            let Some(info) = event.recorded_info() else { continue };
            let key = (text(&head, event, info, &options), text(&tail, event, info, &options));
            if let Some(wanted) = lines.remove(&key) {
                compared.compare(info, &wanted, &text(&info_only, event, info, &options));
            }
        }
        assert!(lines.is_empty(), "{name}: not found: {lines:?}");
    }
    compared.finish(1_800);
}

/// Fields that need no state but the return value.
const STATELESS: [&str; 29] = [
    "evt.time",
    "evt.time.s",
    "evt.time.iso8601",
    "evt.datetime",
    "evt.datetime.s",
    "evt.rawtime",
    "evt.rawtime.s",
    "evt.rawtime.ns",
    "evt.dir",
    "evt.type",
    "syscall.type",
    "evt.cpu",
    "evt.count",
    "evt.count.exit",
    "evt.latency",
    "evt.latency.s",
    "evt.latency.ns",
    "evt.res",
    "evt.rawres",
    "evt.failed",
    "evt.count.error",
    "evt.is_io",
    "evt.is_io_read",
    "evt.is_io_write",
    "evt.is_open_read",
    "evt.is_open_write",
    "evt.is_async",
    "evt.is_open_exec",
    "evt.is_open_create",
];

#[test]
fn libs() {
    let Some(shared) = shared() else { return };
    let options = TextOptions::new(Dialect::Libs);
    let format = Format::compile("%evt.info").unwrap();
    let kind = Format::compile("%evt.dir %evt.type").unwrap();
    let fields = Format::compile(&STATELESS.map(|f| format!("%{f} ")).concat()).unwrap();
    let mut compared = Compared::new();
    let mut wrong = BTreeMap::new();
    for name in [
        "cat_write",
        "connect_localhost",
        "curl_google",
        "empty",
        "files_2026",
        "fork_2026",
        "incident_2026",
        "open-multiple-files",
        "sample",
        "single_ipv6_conn",
        "syscall",
        "test_ipv6_client",
    ] {
        let golden = contents(&shared.join(format!("goldens/{name}.libs-head.jsonl.zst")));
        let mut lines: HashMap<(u64, i64, String), serde_json::Value> = HashMap::new();
        for line in golden.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            // Lines with what is no UTF-8 have strings that upstream prints raw and we do not.
            let v: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
            let Some(ts) = v["evt.rawtime"].as_u64() else { continue };
            let tid = v["thread.tid"].as_i64().unwrap_or(-1);
            let name = format!("{} {}", v["evt.dir"].as_str().unwrap(), v["evt.type"].as_str().unwrap());
            lines.insert((ts, tid, name), v);
        }
        let mut upgrader = Upgrader::new();
        let mut capture = Capture::open(&shared.join(format!("captures/{name}.scap")), Limits::default()).unwrap();
        while let Some(item) = capture.next().unwrap() {
            let Item::Block(_, Content::Event(event)) = item else { continue };
            let Upgraded::Event(event) = upgrader.apply(&event) else { continue };
            let info = event.info().unwrap();
            let key = (event.ts, event.tid, text(&kind, event, info, &options));
            let Some(wanted) = lines.remove(&key) else { continue };
            let wanted_info = wanted["evt.info"].as_str().unwrap();
            if !wanted_info.contains(|c: char| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
                compared.compare(info, wanted_info, &text(&format, event, info, &options));
            }
            let json = with(event, info, &options, |cx, out| fields.json(cx, out));
            let found: serde_json::Value = serde_json::from_str(&json).unwrap();
            for field in STATELESS {
                if wanted[field] != found[field] {
                    wrong.insert(field, format!("{info}: wanted {}, found {}", wanted[field], found[field]));
                }
            }
        }
        assert!(lines.is_empty(), "{name}: not found: {:?}", lines.keys().take(5).collect::<Vec<_>>());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    compared.finish(50_000);
}
