//! `scapkit replay`: digests, and what they are compared with.

#![allow(clippy::format_collect, clippy::naive_bytecount, clippy::unwrap_used)]

mod common;

use common::{SCAPKIT, run, scapkit, sh};
use std::path::{Path, PathBuf};
use std::process::Command;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").canonicalize().unwrap()
}

/// What scapkit says of the corpus is what it said. After a change that was meant:
/// `scapkit replay --update corpus/*.scap corpus/*.gz corpus/*.zst corpus/*.gvstream`.
#[test]
fn the_corpus_says_what_it_said() {
    let ran = sh("cd \"$1\" && \"$0\" replay --check *.scap *.gz *.zst *.gvstream", [corpus()]).expect(0);
    // Seven that the example writes, and the recorded ones.
    assert_eq!(ran.out().lines().filter(|l| l.ends_with(": ok")).count(), 14, "{}", ran.out());
}

/// The same capture in another container has the same digest.
#[test]
fn compression_changes_nothing() {
    let read = |name: &str| std::fs::read_to_string(corpus().join(name)).unwrap();
    let plain = read("break-in.scap.digest");
    assert_eq!(read("break-in.scap.gz.digest"), plain);
    assert_eq!(read("break-in.scap.zst.digest"), plain);
}

/// The hash is the one of what `read` prints.
#[test]
fn the_hash_of_the_events_can_be_had_otherwise() {
    let file = corpus().join("break-in.scap");
    let file = file.to_str().unwrap();
    let value = |digest: &str, name: &str| {
        let line = digest.lines().find(|l| l.split_whitespace().next() == Some(name)).unwrap();
        line.split_whitespace().next_back().unwrap().to_owned()
    };
    for fields in [None, Some("--fields=evt.num,fd.name,evt.arg[0]")] {
        let digest = run(Command::new(SCAPKIT).args(["replay", file]).args(fields)).expect(0).out();
        let format = value(&digest, "fields").split(',').map(|f| format!("%{f} ")).collect::<String>();
        let read =
            scapkit(["read", "--all", "--json", "--view", "current", "-p", &format!("*{format}"), file]).expect(0);
        assert_eq!(read.stdout.iter().filter(|b| **b == b'\n').count().to_string(), value(&digest, "events"));
        let hash = blake3::hash(&read.stdout).to_hex();
        assert_eq!(hash[..32], value(&digest, "events-hash"));
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for name in ["old-2016.scap", "break-in.scap"] {
            std::fs::copy(corpus().join(name), folder.path(name)).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, line: &str) -> common::Ran {
        run(Command::new(SCAPKIT).current_dir(self.0.path()).args(line.split(' ')))
    }
}

#[test]
fn update_check_and_differ() {
    let folder = Folder::new();
    let none = folder.run("replay --check old-2016.scap").expect(2);
    assert!(none.err().contains("old-2016.scap.digest: there is no such digest"), "{}", none.err());
    let said = folder.run("replay --update old-2016.scap break-in.scap").expect(0).out();
    assert_eq!(said, "old-2016.scap: old-2016.scap.digest written\nbreak-in.scap: break-in.scap.digest written\n");
    assert_eq!(folder.run("replay --update old-2016.scap").expect(0).out(), "old-2016.scap: as it was\n");
    let said = folder.run("replay --check old-2016.scap break-in.scap").expect(0).out();
    assert_eq!(said, "old-2016.scap: ok\nbreak-in.scap: ok\n");
    // Printed text is what is kept, but for the name.
    let printed = folder.run("replay old-2016.scap").expect(0).out();
    let kept = std::fs::read_to_string(folder.path("old-2016.scap.digest")).unwrap();
    assert_eq!(printed, format!("# old-2016.scap\n{kept}"));

    std::fs::copy(folder.path("old-2016.scap"), folder.path("break-in.scap")).unwrap();
    let ran = folder.run("replay --check old-2016.scap break-in.scap").expect(1);
    let said = ran.out();
    assert!(said.starts_with("old-2016.scap: ok\nbreak-in.scap: events: "), "{said}");
    assert!(said.contains(" expected, ") && said.contains("break-in.scap: event close<: "), "{said}");
    assert!(said.contains(" more differences"), "{said}");
    folder.run("replay --update break-in.scap").expect(0);
    folder.run("replay --check break-in.scap").expect(0);
}

#[test]
fn expectations_elsewhere() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("kept")).unwrap();
    folder.run("replay --update --check=kept old-2016.scap break-in.scap").expect(0);
    assert!(folder.path("kept/old-2016.scap.digest").is_file());
    assert!(!folder.path("old-2016.scap.digest").exists());
    folder.run("replay --check=kept old-2016.scap break-in.scap").expect(0);
    folder.run("replay --check=kept/old-2016.scap.digest old-2016.scap").expect(0);
    folder.run("replay --check=kept/old-2016.scap.digest break-in.scap").expect(1);
    let several = folder.run("replay --check=kept/old-2016.scap.digest old-2016.scap break-in.scap").expect(2);
    assert!(several.err().contains("is no folder, but there are several captures"), "{}", several.err());
    let bytes = std::fs::read(folder.path("old-2016.scap")).unwrap();
    let mut stdin = Command::new(SCAPKIT);
    stdin.current_dir(folder.0.path()).args(["replay", "--check=kept/old-2016.scap.digest", "-"]);
    common::run_with(&mut stdin, &bytes).expect(0);
    let nameless = folder.run("replay --check -").expect(2);
    assert!(nameless.err().contains("has no name"), "{}", nameless.err());
    let wrong = folder.run("replay --fields=evt.num,proc.nam old-2016.scap").expect(2);
    assert!(wrong.err().contains("proc.name"), "{}", wrong.err());
}
