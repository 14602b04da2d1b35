//! Captures cut in the middle, with the state at the cut in front: other programs read them.

#![allow(clippy::unwrap_used)]

mod common;

use common::{SCAPKIT, have, run};
use scapkit_format::{Capture, Item, Limits};
use scapkit_replay::{Player, ReplayOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// The state at block `cut` of a capture, and the blocks from there on.
fn cut_capture(bytes: &[u8], cut: usize) -> Vec<u8> {
    let mut capture = Capture::from_bytes(bytes.to_vec(), "whole", Limits::default());
    let mut player = Player::new(ReplayOptions { latency: true, ..ReplayOptions::default() });
    let (mut blocks, mut out) = (0, Vec::new());
    while let Some(item) = capture.next().unwrap() {
        let Item::Block(block, content) = item else { continue };
        if blocks == cut {
            out = player.export().unwrap();
        }
        if blocks >= cut {
            out.extend_from_slice(block.bytes());
        }
        let _ = player.play(&content);
        blocks += 1;
    }
    out
}

/// sysdig and tshark skip the checkpoint, and sysdig knows the state from the lists beside it.
#[test]
fn others_read_what_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut files: Vec<PathBuf> = vec![corpus().join("old-2016.scap")];
    if let Some(shared) = common::shared() {
        files.extend(["sample", "curl_google", "connect_localhost"].map(|n| shared.join(format!("captures/{n}.scap"))));
    }
    let convert = |from: &Path, to: &Path| {
        run(Command::new(SCAPKIT).arg("convert").args([from, to]).args(["--compress", "none"])).expect(0)
    };
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let whole = at.join(&name);
        convert(&file, &whole);
        let bytes = std::fs::read(&whole).unwrap();
        let blocks = run(Command::new(SCAPKIT).args(["verify", "--json"]).arg(&whole)).expect(0).out();
        let blocks: serde_json::Value = serde_json::from_str(&blocks).unwrap();
        let number = |name: &str| usize::try_from(blocks[name].as_u64().unwrap()).unwrap();
        let (all, events) = (number("blocks"), number("events"));
        let rest = events / 3;
        let half = at.join(format!("half-{name}"));
        std::fs::write(&half, cut_capture(&bytes, all - rest)).unwrap();
        run(Command::new(SCAPKIT).arg("verify").arg(&half)).expect(0);
        if have("tshark") {
            let ran =
                run(Command::new("tshark").arg("-r").arg(&half).args(["-T", "fields", "-e", "frame.number"])).expect(0);
            assert_eq!(ran.out().lines().count(), rest, "{name}: {}", ran.err());
            assert!(!ran.err().contains("cut short"), "{name}: {}", ran.err());
        }
        if have("sysdig") {
            // A number after which lines begin: names may hold line feeds.
            let lines = |file: &Path| {
                let format = "*\u{1e}%evt.rawtime %evt.cpu %thread.tid %proc.pid %proc.name %proc.exe %evt.dir %evt.type %evt.args %fd.name";
                let ran = run(Command::new("sysdig").arg("-D").arg("-r").arg(file).args(["-p", format])).expect(0);
                ran.out().split('\u{1e}').skip(1).map(str::to_owned).collect::<Vec<_>>()
            };
            let (theirs, ours) = (lines(&whole), lines(&half));
            assert_eq!(ours.len(), rest, "{name}");
            let wanted = &theirs[theirs.len() - rest..];
            let other: Vec<_> = ours.iter().zip(wanted).filter(|(a, b)| a != b).collect();
            for (a, b) in other.iter().take(5) {
                println!("{name}:\n  cut   {a}  whole {b}");
            }
            assert!(other.len() * 100 <= rest, "{name}: {} of {rest} lines differ", other.len());
        }
    }
}
