//! No state is shared: captures replayed at the same time on several threads say what each says alone.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use scapkit_format::{Capture, Limits};
use scapkit_replay::digest::Digest;
use scapkit_replay::{DEFAULT_LINE, Dialect, Format, Played, Replay, ReplayOptions, TextOptions, View};
use std::path::{Path, PathBuf};

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.to_str().unwrap().contains(".scap") && f.extension().is_none_or(|e| e != "digest"));
    files.sort();
    assert!(files.len() >= 7);
    files
}

fn open(file: &Path) -> Capture {
    Capture::open(file, Limits::default()).unwrap()
}

/// Lines, JSON and digest of a capture, in both views.
fn all(file: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    for (view, dialect) in [(View::Recorded, Dialect::Sysdig), (View::Current, Dialect::Libs)] {
        let format = Format::compile(DEFAULT_LINE).unwrap();
        let options = TextOptions::new(dialect);
        let mut replay = Replay::new(open(file), ReplayOptions { view, ..ReplayOptions::default() });
        while let Some(played) = replay.next().unwrap() {
            if let Played::Event(step) = played {
                format.line(&step.context(step.event.ts, &options), &mut out);
                out.push(b'\n');
                format.json(&step.context(step.event.ts, &options), &mut out);
                out.push(b'\n');
            }
        }
    }
    out.extend_from_slice(Digest::of(open(file)).unwrap().to_string().as_bytes());
    out
}

#[test]
fn many_captures_at_once() {
    let files = corpus();
    let alone: Vec<Vec<u8>> = files.iter().map(|f| all(f)).collect();
    for threads in [1, 2, 7] {
        let together: Vec<Vec<Vec<u8>>> = std::thread::scope(|scope| {
            let one = |n: usize| {
                let files = &files;
                // Each begins with another capture.
                scope.spawn(move || {
                    (0..files.len()).map(|i| all(&files[(i + n) % files.len()])).collect::<Vec<Vec<u8>>>()
                })
            };
            let handles: Vec<_> = (0..threads).map(one).collect();
            handles.into_iter().map(|h| h.join().unwrap()).collect()
        });
        for (n, results) in together.iter().enumerate() {
            for (i, result) in results.iter().enumerate() {
                let at = (i + n) % files.len();
                assert!(*result == alone[at], "{}: thread {n} of {threads}", files[at].display());
            }
        }
    }
}
