//! What the tests of recordings share.

#![allow(dead_code, missing_docs, clippy::unwrap_used)] // each test binary uses its own part

use scapkit_capture::Source;
use scapkit_capture::simulated::{Pace, Simulated};
use scapkit_format::{Capture, Limits, verify};
use scapkit_replay::{Filter, Format, Played, Replay, ReplayOptions, TextOptions, Visibility};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Fields that are compared: the event, its process and their ancestors, its file.
const FIELDS: &str = "*%evt.num %evt.rawtime %evt.cpu %thread.tid %evt.type %evt.dir %evt.args | %proc.name %proc.exepath \
    %proc.cmdline %proc.pname %proc.aname[2] %proc.cwd %proc.pid %proc.ppid %proc.sid %proc.tty %proc.env %user.uid \
    %user.name %group.name %container.id | %fd.num %fd.name %fd.typechar %fd.ino %fd.l4proto %fd.is_server %fd.cip %fd.sport";

/// A line of an event, and its number, which begins anew in each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line(pub u64, pub String);

impl Line {
    pub fn without_number(self) -> Line {
        Line(0, self.1)
    }
}

/// The captures of the corpus that have one section and are whole.
pub fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let files: Vec<PathBuf> =
        ["break-in.scap", "old-2016.scap", "strange-names.scap"].iter().map(|n| folder.join(n)).collect();
    assert!(files.iter().all(|f| f.is_file()));
    files
}

pub fn source(file: &Path) -> Simulated {
    Simulated::new(Capture::open(file, Limits::default()).unwrap(), Pace::default()).unwrap()
}

/// Gives all events of a source.
pub fn play(source: &mut Simulated, each: &mut dyn FnMut(scapkit_capture::Origin, &[u8]) -> ControlFlow<()>) {
    source.start().unwrap();
    source.drain(each).unwrap();
}

/// Fails unless a capture has nothing wrong; gives its events.
#[track_caller]
pub fn sound(file: &Path) -> u64 {
    let mut capture = Capture::open(file, Limits::default()).unwrap();
    let verified = verify::verify(&mut capture, |_| ()).unwrap();
    assert_eq!(verified.damage_count, 0, "{}: {:?}", file.display(), verified.damages);
    verified.events
}

/// The fields of every event that is shown, or that passes a filter. Numbers go on from file to file.
pub fn lines(files: &[PathBuf], filter: Option<&str>) -> Vec<Line> {
    let format = Format::compile(FIELDS).unwrap();
    let text = TextOptions::default();
    let mut filter = filter.map(|f| Filter::compile(f).unwrap());
    let mut lines = Vec::new();
    for file in files {
        let capture = Capture::open(file, Limits::default()).unwrap();
        let mut replay = Replay::new(capture, ReplayOptions::default());
        while let Some(played) = replay.next().unwrap() {
            let Played::Event(step) = played else { continue };
            if step.visibility != Visibility::Shown {
                continue;
            }
            let context = step.context(step.event.ts, &text);
            if filter.as_mut().is_some_and(|f| !f.matches(&context)) {
                continue;
            }
            let mut out = Vec::new();
            assert!(format.line(&context, &mut out));
            let line = String::from_utf8_lossy(&out).into_owned();
            let (_, rest) = line.split_once(' ').unwrap();
            lines.push(Line(lines.len() as u64 + 1, rest.to_owned()));
        }
        assert_eq!(replay.checkpoint_notes().refused, 0, "{:?}", replay.checkpoint_notes());
    }
    lines
}

/// A capture as a recorder of today would have made it: upgraded, as a file in `folder`.
pub fn converted(file: &Path, folder: &Path) -> PathBuf {
    use scapkit_format::{Item, encode};
    use scapkit_replay::upgrade::{Upgraded, Upgrader};
    let mut capture = Capture::open(file, Limits::default()).unwrap();
    let (mut upgrader, mut out) = (Upgrader::default(), Vec::new());
    while let Some(item) = capture.next().unwrap() {
        let Item::Block(block, content) = item else { continue };
        match content {
            scapkit_format::Content::Event(event) => {
                if let Upgraded::Event(event) = upgrader.apply(&event) {
                    encode::event_of(&mut out, &event).unwrap();
                }
            }
            _ => out.extend_from_slice(block.bytes()),
        }
    }
    let path = folder.join("converted.scap");
    std::fs::write(&path, out).unwrap();
    path
}

/// The lines of a capture as a recorder of today would have made it.
pub fn whole(file: &Path) -> Vec<Line> {
    let folder = tempfile::tempdir().unwrap();
    lines(&[converted(file, folder.path())], None)
}

/// Says that something could not be tested; a failure where everything must be there.
#[track_caller]
pub fn skipped(why: &str) {
    let ci = std::env::var_os("SCAPKIT_CI").is_some_and(|v| !v.is_empty() && v != "0");
    assert!(!ci, "SCAPKIT_CI is set, but {why}");
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED: {why}\n")).unwrap();
}
