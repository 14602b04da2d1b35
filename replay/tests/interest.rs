//! Events of no interest are not shown, and nothing else is different.
#![allow(
    clippy::format_push_string,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use scapkit_format::schema::id;
use scapkit_format::{Capture, Limits};
use scapkit_replay::{Interest, Played, Replay, ReplayOptions, View};
use std::path::{Path, PathBuf};

/// The project's captures and, where they are, the shared ones. The largest is left out: debug output of
/// states is compared.
fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let shared = std::env::var_os("SCAPKIT_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    let mut found = Vec::new();
    for folder in [root.join("corpus"), shared.join("captures")] {
        match std::fs::read_dir(&folder) {
            Ok(entries) => found.extend(entries.map(|e| e.unwrap().path())),
            Err(_) => eprintln!("SKIPPED: captures of {} are not there", folder.display()),
        }
    }
    found.retain(|p| {
        let name = p.file_name().unwrap().to_string_lossy().into_owned();
        name.contains(".scap") && !name.contains("heavy") && !name.ends_with(".digest")
    });
    found.sort();
    found
}

/// What is played of a capture: number, the event and what is known at it; and the state at the end.
fn play(path: &Path, view: View, interest: &Interest, wanted: &Interest) -> (Vec<(u64, String)>, String, String) {
    let capture = Capture::open(path, Limits::default()).unwrap();
    let options = ReplayOptions { view, interest: interest.clone(), ..ReplayOptions::default() };
    let mut replay = Replay::new(capture, options);
    let mut steps = Vec::new();
    while let Some(played) = replay.next().unwrap() {
        let Played::Event(step) = played else { continue };
        assert!(interest.has(&step.event));
        if !wanted.has(&step.event) {
            continue;
        }
        let engine = step.engine;
        let thread = engine.thread(step.event.tid);
        let fd = step.bound.fd.and_then(|fd| engine.fd(step.bound.tid, fd));
        let mut text = format!(
            "{:?} {:?} {:?} {} {} {thread:?} {fd:?} {:?}",
            step.event,
            step.bound,
            step.visibility,
            step.first_ts,
            step.info.name,
            engine.counters()
        );
        if steps.len() % 500 == 0 {
            text += &format!("{engine:?}");
        }
        steps.push((step.number, text));
    }
    let end = format!("{:?}", replay.engine());
    let rest = format!("{:?} {:?}", replay.upgrade_notes(), replay.capture().damages().list);
    (steps, end, rest)
}

#[test]
fn the_rest_is_the_same_without_events_of_no_interest() {
    let captures = captures();
    assert!(captures.len() > 3);
    let mut played = 0;
    for path in &captures {
        // A thread and a time in the middle of the capture.
        let mut capture = Capture::open(path, Limits::default()).unwrap();
        let mut some = Vec::new();
        while let Some(item) = capture.next().unwrap() {
            if let scapkit_format::Item::Block(_, scapkit_format::Content::Event(event)) = item {
                some.push((event.ts, event.tid, event.cpu));
            }
        }
        let middle = some.get(some.len() / 2).copied().unwrap_or_default();
        let interests = [
            Interest::default().types([]),
            Interest::default().types([
                id::SYSCALL_OPENAT_2_X,
                id::SYSCALL_OPEN_X,
                id::SYSCALL_EXECVE_19_X,
                id::PROCEXIT_1_E,
            ]),
            Interest::default().types((0..=453).filter(|t| t % 3 == 0)),
            Interest::default().threads([middle.1]),
            Interest::default().between(middle.0, middle.0 + 5_000_000).processors([middle.2]),
        ];
        for view in [View::Recorded, View::Current] {
            for interest in &interests {
                let all = play(path, view, &Interest::default(), interest);
                let some = play(path, view, interest, interest);
                assert_eq!(some.0.len(), all.0.len(), "{} {view:?} {interest:?}", path.display());
                for (some, all) in some.0.iter().zip(&all.0) {
                    assert_eq!(some, all, "{} {view:?} {interest:?}", path.display());
                }
                assert!(some.1 == all.1, "state of {} {view:?} {interest:?}", path.display());
                assert_eq!(some.2, all.2);
                played += some.0.len();
            }
        }
    }
    assert!(played > 100, "{played}");
}
