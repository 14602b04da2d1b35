//! How fast captures are replayed on one thread, stage by stage: reading, the state, one field of
//! every event, text, JSON. Each line is the whole way from the file.
//!
//! `cargo bench -p scapkit-replay --bench replay [CAPTURE] [-- WORD]`; without a capture the project's
//! shared benchmark capture is used where it is present, unpacked to memory first. `WORD`: only stages
//! whose name has it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

use scapkit_format::input::Input;
use scapkit_format::{Capture, Content, Item, Limits};
use scapkit_replay::{
    DEFAULT_JSON, DEFAULT_LINE, Dialect, Filter, Format, Interest, Played, Replay, ReplayOptions, Step, TextOptions,
    View, Visibility,
};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const RUNS: usize = 5;

/// A capture that can be read again and again.
enum Source {
    Plain(PathBuf),
    Memory(Arc<[u8]>),
}

impl Source {
    fn new(path: PathBuf) -> Source {
        let limits = Limits::default();
        let mut capture = Capture::open(&path, limits).expect("capture opens");
        if capture.detect().expect("capture reads") == scapkit_format::Compression::None {
            return Source::Plain(path);
        }
        Source::Memory(unpacked(&path).into())
    }

    fn open(&self) -> Capture {
        let limits = Limits::default();
        match self {
            Source::Plain(path) => Capture::open(path, limits).expect("capture opens"),
            Source::Memory(bytes) => Capture::new(Input::from_bytes(bytes.clone(), "memory", &limits), limits),
        }
    }
}

fn unpacked(path: &Path) -> Vec<u8> {
    let mut input = Input::open(path, &Limits::default()).expect("capture opens");
    let (mut bytes, mut at) = (Vec::new(), 0);
    loop {
        bytes.resize(at + (8 << 20), 0);
        let n = input.read(&mut bytes[at..]).expect("capture reads");
        at += n;
        if n == 0 {
            bytes.truncate(at);
            return bytes;
        }
    }
}

/// Reads only; the events that there are.
fn read(source: &Source) -> (u64, u64) {
    let (mut capture, mut events, mut sum) = (source.open(), 0, 0u64);
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(_, Content::Event(event)) = item {
            events += 1;
            sum = sum.wrapping_add(event.ts);
        }
    }
    (events, sum)
}

/// Replays and does something with each event that is shown; events, and how often it said yes.
fn replay(source: &Source, view: View, mut each: impl FnMut(&Step<'_>) -> bool) -> (u64, u64) {
    replay_some(source, view, Interest::default(), &mut each)
}

fn replay_some(
    source: &Source,
    view: View,
    interest: Interest,
    each: &mut impl FnMut(&Step<'_>) -> bool,
) -> (u64, u64) {
    let mut replay = Replay::new(source.open(), ReplayOptions { view, interest, ..ReplayOptions::default() });
    let (mut events, mut hits) = (0, 0);
    while let Some(played) = replay.next().unwrap() {
        if let Played::Event(step) = played {
            events += 1;
            hits += u64::from(step.visibility == Visibility::Shown && each(&step));
        }
    }
    (replay.engine().counters().events.max(events), hits)
}

fn print(source: &Source, view: View, json: bool) -> (u64, u64) {
    let format = Format::compile(if json { DEFAULT_JSON } else { DEFAULT_LINE }).unwrap();
    let options = TextOptions::new(if view == View::Recorded { Dialect::Sysdig } else { Dialect::Libs });
    let mut out = Vec::with_capacity(128 << 10);
    replay(source, view, |step| {
        let context = step.context(step.event.ts, &options);
        if json {
            format.json(&context, &mut out);
        } else {
            format.line(&context, &mut out);
        }
        if out.len() > 64 << 10 {
            black_box(&out);
            out.clear();
        }
        true
    })
}

/// A filter as `read` uses it.
fn filter(source: &Source, view: View, text: &str) -> (u64, u64) {
    let mut filter = Filter::compile(text).unwrap();
    let options = TextOptions::new(if view == View::Recorded { Dialect::Sysdig } else { Dialect::Libs });
    replay_some(source, view, filter.interest(), &mut |step| filter.matches(&step.context(step.event.ts, &options)))
}

/// A stage: its name and what it does with a capture.
type Stage = (&'static str, fn(&Source) -> (u64, u64));

const STAGES: &[Stage] = &[
    ("read", read),
    ("state recorded", |s| replay(s, View::Recorded, |_| true)),
    ("state current", |s| replay(s, View::Current, |_| true)),
    ("filter fd.name contains zzzz, recorded", |s| filter(s, View::Recorded, "fd.name contains zzzz")),
    ("filter fd.name contains zzzz, current", |s| filter(s, View::Current, "fd.name contains zzzz")),
    ("filter evt.type=execve, recorded", |s| filter(s, View::Recorded, "evt.type=execve")),
    ("filter evt.type=execve, current", |s| filter(s, View::Current, "evt.type=execve")),
    ("filter thread.tid=1, current", |s| filter(s, View::Current, "thread.tid=1")),
    ("filter lineage and path, current", |s| {
        filter(s, View::Current, "proc.aname in (sshd, login) and fd.name startswith /etc")
    }),
    ("text recorded", |s| print(s, View::Recorded, false)),
    ("text current", |s| print(s, View::Current, false)),
    ("json recorded", |s| print(s, View::Recorded, true)),
    ("json current", |s| print(s, View::Current, true)),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let (files, words): (Vec<_>, Vec<_>) = words.into_iter().partition(|w| Path::new(w).is_file());
    let shared = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from)
        .join("captures/heavy_2026.scap.zst");
    let Some(path) = files.first().map(PathBuf::from).or_else(|| shared.is_file().then_some(shared)) else {
        eprintln!("no capture given, and the shared one is not there");
        return;
    };
    let source = Source::new(path);
    for (name, stage) in STAGES {
        if !words.is_empty() && !words.iter().any(|w| name.contains(w.as_str())) {
            continue;
        }
        let mut runs = Vec::new();
        let mut found = (0, 0);
        for _ in 0..RUNS {
            let start = Instant::now();
            found = black_box(stage(&source));
            runs.push(start.elapsed().as_secs_f64());
        }
        runs.sort_by(f64::total_cmp);
        let (events, median) = (found.0, runs[RUNS / 2]);
        let rate = events as f64 / median / 1e6;
        println!("{name:18} {rate:6.2} M events/s  {median:.3} s (best {:.3}) for {events} events", runs[0]);
    }
}
