//! `scapkit replay`: digests, and what differs.

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

fn scapkit(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(SCAPKIT);
    command.current_dir(folder).args(args);
    command
}

/// The captures of the corpus give what they gave when their digests were written. When a change is meant:
/// `scapkit replay corpus/*.scap* --check corpus/digests --update`.
#[test]
fn the_corpus_gives_what_it_gave() {
    let mut captures: Vec<String> = std::fs::read_dir(corpus())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".scap"))
        .collect();
    captures.sort();
    assert!(captures.len() >= 7);
    assert_eq!(std::fs::read_dir(corpus().join("digests")).unwrap().count(), captures.len());
    let mut args = vec!["replay", "--check", "digests"];
    args.extend(captures.iter().map(String::as_str));
    let ran = run(&mut scapkit(&corpus(), &args)).expect(0);
    let wanted: Vec<String> = captures.iter().map(|name| format!("{name}: as expected\n")).collect();
    assert_eq!(ran.out(), wanted.concat());
    // Compression is not part of what a capture gives.
    let digest = |name: &str| std::fs::read_to_string(corpus().join(format!("digests/{name}.digest"))).unwrap();
    assert_eq!(digest("break-in.scap"), digest("break-in.scap.gz"));
    assert_eq!(digest("break-in.scap"), digest("break-in.scap.zst"));
}

#[test]
fn check_and_update() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::copy(corpus().join("old-2016.scap"), at.join("a.scap")).unwrap();
    std::fs::copy(corpus().join("strange-names.scap"), at.join("b.scap")).unwrap();
    let printed = run(&mut scapkit(at, &["replay", "a.scap"])).expect(0).out();
    assert!(printed.starts_with("scapkit digest 1\nview         current\nevents "), "{printed}");

    // Not there yet.
    assert!(run(&mut scapkit(at, &["replay", "a.scap", "--check", "a.digest"])).expect(2).err().contains("a.digest"));
    let ran = run(&mut scapkit(at, &["replay", "a.scap", "--check", "a.digest", "--update"])).expect(0);
    assert_eq!(ran.out(), "a.scap: a.digest written\n");
    assert_eq!(std::fs::read_to_string(at.join("a.digest")).unwrap(), printed);
    assert_eq!(run(&mut scapkit(at, &["replay", "a.scap", "--check", "a.digest"])).expect(0).out(), "a.scap: as expected\n");

    // Another capture, view or set of fields is another digest.
    let ran = run(&mut scapkit(at, &["replay", "b.scap", "--check", "a.digest"])).expect(1);
    assert!(ran.out().starts_with("b.scap: not as expected in a.digest\n  -events "), "{}", ran.out());
    for other in [&["--view", "recorded"][..], &["--fields", "evt.num,proc.name"]] {
        let mut args = vec!["replay", "a.scap", "--check", "a.digest"];
        args.extend(other);
        let out = run(&mut scapkit(at, &args)).expect(1).out();
        assert!(out.contains("\n  -fields ") && out.contains("\n  +fields "), "{out}");
    }
    // One event less: the types that differ are named, the others are not.
    let whole = std::fs::read(at.join("a.scap")).unwrap();
    let last = u32::from_le_bytes(whole[whole.len() - 4..].try_into().unwrap()) as usize;
    std::fs::write(at.join("a.scap"), &whole[..whole.len() - last]).unwrap();
    let out = run(&mut scapkit(at, &["replay", "a.scap", "--check", "a.digest"])).expect(1).out();
    assert!((3..12).contains(&out.lines().count()), "{out}");
    let ran = run(&mut scapkit(at, &["replay", "a.scap", "--check", "a.digest", "--update"])).expect(0);
    assert_eq!(ran.out(), "a.scap: a.digest updated\n");
    run(&mut scapkit(at, &["replay", "a.scap", "--check", "a.digest"])).expect(0);

    // Several captures want a folder.
    assert!(run(&mut scapkit(at, &["replay", "a.scap", "b.scap", "--check", "a.digest"])).expect(2).err().contains("folder"));
    std::fs::create_dir(at.join("d")).unwrap();
    run(&mut scapkit(at, &["replay", "a.scap", "b.scap", "--check", "d", "--update"])).expect(0);
    assert!(at.join("d/a.scap.digest").exists() && at.join("d/b.scap.digest").exists());
    let out = run(&mut scapkit(at, &["replay", "a.scap", "b.scap"])).expect(0).out();
    assert_eq!(out.lines().filter(|line| line.ends_with(".scap:")).count(), 2);
    run(&mut scapkit(at, &["replay", "a.scap", "--update"])).expect(2);
    assert!(run(&mut scapkit(at, &["replay", "a.scap", "--fields", "evt.nonsense"])).expect(2).err().contains("nonsense"));
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
    let convert = |from: &Path, to: &Path| run(Command::new(SCAPKIT).arg("convert").args([from, to]).args(["--compress", "none"])).expect(0);
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let whole = at.join(&name);
        convert(&file, &whole);
        let bytes = std::fs::read(&whole).unwrap();
        let blocks = run(Command::new(SCAPKIT).args(["verify", "--json"]).arg(&whole)).expect(0).out();
        let blocks: serde_json::Value = serde_json::from_str(&blocks).unwrap();
        let (all, events) = (blocks["blocks"].as_u64().unwrap() as usize, blocks["events"].as_u64().unwrap() as usize);
        let rest = events / 3;
        let half = at.join(format!("half-{name}"));
        std::fs::write(&half, cut_capture(&bytes, all - rest)).unwrap();
        run(Command::new(SCAPKIT).arg("verify").arg(&half)).expect(0);
        if have("tshark") {
            let ran = run(Command::new("tshark").arg("-r").arg(&half).args(["-T", "fields", "-e", "frame.number"])).expect(0);
            assert_eq!(ran.out().lines().count(), rest, "{name}: {}", ran.err());
            assert!(!ran.err().contains("cut short"), "{name}: {}", ran.err());
        }
        if have("sysdig") {
            // A number after which lines begin: names may hold line feeds.
            let lines = |file: &Path| {
                let format = "*\u{1e}%evt.rawtime %evt.cpu %thread.tid %proc.pid %proc.name %proc.exe %proc.cwd %evt.dir %evt.type %evt.args %fd.name";
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
