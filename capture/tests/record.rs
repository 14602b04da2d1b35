//! Recordings of captures that are played as if they were live: every file stands alone and tells the same.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Line, corpus, lines, play, sound, whole};
use scapkit_capture::record::{Finished, Form, Options, Recording, Rotation};
use scapkit_capture::simulated::{Pace, Simulated};
use scapkit_format::profile::Profile;
use scapkit_format::{Capture, Compression, Limits};
use scapkit_replay::Filter;
use std::path::{Path, PathBuf};

/// Records a capture and gives what was recorded.
fn record(file: &Path, options: Options) -> scapkit_capture::record::Summary {
    let mut source = common::source(file);
    let lists = source.lists().to_vec();
    let mut recording = Recording::new(options, &lists).unwrap();
    play(&mut source, &mut |cpu, bytes| recording.event(cpu, bytes).unwrap());
    recording.idle().unwrap();
    recording.finish().unwrap()
}

fn plain() -> Form {
    Form { compression: Compression::None, ..Form::default() }
}

fn paths(files: &[Finished]) -> Vec<PathBuf> {
    files.iter().map(|f| f.path.clone()).collect()
}

#[test]
fn a_recording_is_the_capture_upgraded() {
    for file in corpus() {
        let folder = tempfile::tempdir().unwrap();
        for (name, compression) in
            [("a.scap", Compression::None), ("b.scap", Compression::Gzip), ("c.scap", Compression::Zstd)]
        {
            let output = folder.path().join(name);
            let options =
                Options { output: output.clone(), form: Form { compression, ..plain() }, ..Options::default() };
            let summary = record(&file, options);
            let wanted = whole(&file);
            assert_eq!(sound(&output), summary.files[0].events, "{}", file.display());
            assert_eq!(lines(&[output], None), wanted, "{} {name}", file.display());
            assert_eq!((summary.left, summary.broken, summary.state_only), (0, 0, 0));
            assert!(summary.events >= wanted.len() as u64);
        }
    }
}

#[test]
fn pieces_stand_alone_and_tell_together_what_the_whole_tells() {
    for file in corpus() {
        for rotation in [
            Rotation { events: Some(1), ..Rotation::default() },
            Rotation { events: Some(37), ..Rotation::default() },
            Rotation { every: Some(300_000_000), ..Rotation::default() },
            Rotation { bytes: Some(8_000), ..Rotation::default() },
        ] {
            let folder = tempfile::tempdir().unwrap();
            let output = folder.path().join("piece.scap");
            let form = Form { chunk_size: 4096, ..plain() };
            let summary = record(&file, Options { output, form, rotation: rotation.clone(), ..Options::default() });
            let pieces = paths(&summary.files);
            // The others are shorter than that.
            let short = rotation.events.is_none() && !file.ends_with("break-in.scap");
            assert!(pieces.len() > 1 || short, "{} {rotation:?}: {}", file.display(), pieces.len());
            let events: u64 = pieces.iter().map(|p| sound(p)).sum();
            assert_eq!(events, summary.files.iter().map(|f| f.events).sum::<u64>());
            assert_eq!(lines(&pieces, None), whole(&file), "{} {rotation:?}", file.display());
            if rotation.events == Some(37) {
                assert!(summary.files.iter().rev().skip(1).all(|f| f.events >= 37));
            }
            // Nothing is left under another name.
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), pieces.len());
            assert_eq!(pieces[0].file_name().unwrap(), "piece.0001.scap");
        }
    }
}

#[test]
fn only_the_newest_pieces_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("piece.scap.zst");
    let rotation = Rotation { events: Some(50), keep: Some(2), ..Rotation::default() };
    let file = corpus().remove(0);
    let summary = record(&file, Options { output, rotation, ..Options::default() });
    assert!(summary.files.len() > 3);
    let mut left: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    left.sort();
    assert_eq!(left, paths(&summary.files)[summary.files.len() - 2..]);
}

/// What a filtered recording shows is what the filter shows of the whole, all fields included.
#[test]
fn a_filter_loses_no_context() {
    for file in corpus() {
        for text in
            ["proc.name=bash", "evt.type=read", "evt.type in (openat, open, connect, sendto)", "fd.name contains /etc"]
        {
            let folder = tempfile::tempdir().unwrap();
            let output = folder.path().join("some.scap");
            let filter = Filter::compile(text).unwrap();
            let options = Options { output: output.clone(), filter: Some(filter), ..Options::default() };
            let pieces = Options {
                output: folder.path().join("pieces.scap"),
                rotation: Rotation { events: Some(5), ..Rotation::default() },
                ..options.clone()
            };
            let summary = record(&file, options);
            sound(&output);
            let strip = |lines: Vec<Line>| -> Vec<Line> { lines.into_iter().map(Line::without_number).collect() };
            let wanted = strip(lines(&[common::converted(&file, folder.path())], Some(text)));
            // Without the filter too: what did not match is hidden.
            assert_eq!(strip(lines(std::slice::from_ref(&output), Some(text))), wanted, "{} {text}", file.display());
            assert_eq!(strip(lines(&[output], None)), wanted, "{} {text}", file.display());
            let pieces = paths(&record(&file, pieces).files);
            assert_eq!(strip(lines(&pieces, None)), wanted, "{} {text}", file.display());
            assert!(summary.left > 0 && summary.state_only > 0, "{summary:?}");
        }
    }
}

#[test]
fn it_ends_after_as_many_events_as_were_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("ten.scap");
    let summary = record(&corpus()[0], Options { output: output.clone(), number: Some(10), ..Options::default() });
    assert_eq!(summary.events, 10);
    assert_eq!(sound(&output), summary.files[0].events);
    assert_eq!(lines(&[output], None).len(), 10);
}

#[test]
fn the_universal_profile_is_what_convert_makes() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("for-all.scap");
    let form = Form { profile: Profile::Universal, ..plain() };
    let summary = record(&corpus()[0], Options { output: output.clone(), form, ..Options::default() });
    let report = &summary.files[0].report;
    assert!(report.enters > 0 && report.events_written > report.events_read, "{report:?}");
    assert_eq!(sound(&output), report.events_written);
}

#[test]
fn a_recording_without_events_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("empty.scap");
    let source = Simulated::new(Capture::open(&corpus()[0], Limits::default()).unwrap(), Pace::default()).unwrap();
    let options = Options { output: output.clone(), form: plain(), ..Options::default() };
    let summary = Recording::new(options, source.lists()).unwrap().finish().unwrap();
    assert_eq!(summary.events, 0);
    assert!(sound(&output) >= 1);
}

#[test]
fn what_is_no_event_is_counted_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("x.scap");
    let mut lists = Vec::new();
    scapkit_format::encode::section_header(&mut lists);
    let mut recording = Recording::new(Options { output: output.clone(), ..Options::default() }, &lists).unwrap();
    assert!(recording.event(0.into(), b"short").unwrap().is_continue());
    assert!(recording.event(0.into(), &[0; 40]).unwrap().is_continue());
    let summary = recording.finish().unwrap();
    assert_eq!((summary.broken, summary.events), (2, 0));
    assert_eq!(sound(&output), 1);
}

#[test]
fn a_full_disk_is_an_error_that_says_what_is_safe() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        common::skipped("/dev/full is not here");
        return;
    }
    let mut source = common::source(&corpus()[0]);
    let lists = source.lists().to_vec();
    let options = Options { output: full.to_owned(), form: Form { chunk_size: 4096, ..plain() }, ..Options::default() };
    let made = Recording::new(options, &lists);
    let mut failure = None;
    match made {
        Err(e) => failure = Some(e),
        Ok(mut recording) => play(&mut source, &mut |cpu, bytes| match recording.event(cpu, bytes) {
            Ok(flow) => flow,
            Err(e) => {
                failure = Some(e);
                std::ops::ControlFlow::Break(())
            }
        }),
    }
    let text = failure.unwrap().to_string();
    assert!(text.contains("/dev/full") && text.contains("No space left"), "{text}");
}
