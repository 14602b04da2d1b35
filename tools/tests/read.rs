//! `scapkit read` on the corpus: lines, JSON, selection, what may reach a terminal, growing files.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ran, SCAPKIT, run};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A shell's command in the repository's folder, `$0` being the program.
fn shell(command: &str) -> Ran {
    run(Command::new("sh").args(["-c", command, SCAPKIT]).current_dir(root()))
}

/// `scapkit read` with these words, in the repository's folder.
fn read(words: &str) -> Ran {
    run(Command::new(SCAPKIT).arg("read").args(words.split_whitespace()).current_dir(root()))
}

/// Output and messages of a run, in one text.
fn shown(words: &str) -> String {
    let ran = read(words);
    format!("{}\n{}", ran.out(), ran.err())
}

#[test]
fn lines() {
    insta::assert_snapshot!("read-break-in", shown("corpus/break-in.scap"));
    insta::assert_snapshot!("read-old-2016", shown("corpus/old-2016.scap"));
    insta::assert_snapshot!("read-old-2016-current", shown("corpus/old-2016.scap --view current"));
    insta::assert_snapshot!("read-strange-names", shown("corpus/strange-names.scap --all"));
    insta::assert_snapshot!("read-damaged", shown("corpus/damaged.scap --from +14s"));
}

#[test]
fn json() {
    let ran = read("corpus/break-in.scap --json").expect(0);
    for line in ran.out().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["evt.num"].is_u64() && event["proc.name"].is_string(), "{line}");
    }
    assert_eq!(ran.out().lines().count(), read("corpus/break-in.scap").out().lines().count());
    insta::assert_snapshot!("read-json", shown("corpus/break-in.scap --json --from +6.5s --to +6.51s -n 12"));
    insta::assert_snapshot!("read-json-strange", shown("corpus/strange-names.scap --json -p %proc.name"));
    // What is missing is null, and the line is there.
    let some = read("corpus/break-in.scap -n 1 --json -p %fd.name.%evt.rawtime").expect(0);
    assert_eq!(some.out(), "{\"evt.rawtime\":1773454625000024272,\"fd.name\":null}\n");
}

#[test]
fn filters() {
    let count = |filter: &str| {
        let command = format!("\"$0\" read corpus/break-in.scap {filter} | wc -l");
        shell(&command).out().trim().parse::<usize>().unwrap()
    };
    let all = count("");
    let opens = count("evt.type in '(open, openat)'");
    assert!(opens > 0 && opens < all, "{opens} of {all}");
    assert_eq!(count("not evt.type in '(open, openat)'"), all - opens);
    assert_eq!(count("'evt.type=open or evt.type = openat'"), opens);
    assert_eq!(count("'evt.type in (open, openat)' -n 1"), 1);
    assert_eq!(count("fd.num '<' -100"), 0);
    assert_eq!(count("corpus/old-2016.scap 'evt.num > 0'"), all + shown("corpus/old-2016.scap").trim().lines().count());
    insta::assert_snapshot!(
        "read-filter",
        shell("\"$0\" read corpus/break-in.scap fd.name startswith /etc/ and evt.dir='<'").out()
    );
    let wrong = read("corpus/break-in.scap proc.nmae=cat").expect(2);
    insta::assert_snapshot!("read-filter-wrong", wrong.err());
    insta::assert_snapshot!("read-filter-or-file", read("corpus/break-in.scap corpus/nosuch.scap").expect(2).err());
}

#[test]
fn what_passes_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("some.scap.zst");
    let written = |view: &str| {
        let words = format!("corpus/break-in.scap {view} -w {} evt.type=openat", out.display());
        assert_eq!(read(&words).expect(0).out(), "");
        let shown = |words: &str| read(words).expect(0).out();
        let again = shown(&format!("{} {view} -p %evt.rawtime.%evt.type.%fd.name.%proc.name", out.display()));
        let wanted = shown(&format!(
            "corpus/break-in.scap {view} -p %evt.rawtime.%evt.type.%fd.name.%proc.name evt.type=openat"
        ));
        let names =
            |text: &str| text.lines().map(|l| l.split('.').take(2).collect::<Vec<_>>().join(".")).collect::<Vec<_>>();
        assert_eq!(names(&again), names(&wanted), "{view}");
        assert!(!wanted.is_empty());
        run(Command::new(SCAPKIT).arg("verify").arg(&out)).expect(0);
    };
    written("--view recorded");
    written("--view current");
    let same = read("corpus/break-in.scap -w corpus/break-in.scap").expect(2);
    assert!(same.err().contains("the same file"), "{}", same.err());
}

#[test]
fn containers_say_the_same() {
    let plain = read("corpus/break-in.scap").expect(0).out();
    for other in ["corpus/break-in.scap.gz", "corpus/break-in.scap.zst"] {
        assert_eq!(read(other).expect(0).out(), plain, "{other}");
    }
    let piped = shell("cat corpus/break-in.scap.gz | \"$0\" read -").expect(0);
    assert_eq!(piped.out(), plain);
}

#[test]
fn times_and_selection() {
    let first = |words: &str| read(&format!("corpus/break-in.scap {words}")).expect(0).out();
    let times = |words: &str| {
        let text = first(words);
        text.lines().map(|l| l.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(times("-n 2"), ["02:17:05.000024272", "02:17:05.000031744"]);
    assert_eq!(times("-n 2 -t r"), ["0.000000000", "0.000007472"]);
    assert_eq!(times("-n 2 -t D"), ["0.000000000", "0.000007472"]);
    assert_eq!(times("-n 1 -t a"), ["1773454625.24272"]);
    assert_eq!(times("-n 1 --tz Europe/Berlin"), ["03:17:05.000024272"]);
    let old = read("corpus/old-2016.scap -n 2 -t d").expect(0).out();
    assert_eq!(old.lines().nth(1).unwrap().split(' ').nth(1).unwrap(), "0.000010432");

    // The same instant in four ways; both ends are inclusive.
    for range in [
        "--from 02:17:05.000031744 --to 02:17:05.000088208",
        "--from 2026-03-14T02:17:05.000031744Z --to 2026-03-14T02:17:05.000088208Z",
        "--from +7472ns --to +63936ns",
        "--from 1773454625000031744 --to 1773454625000088208",
    ] {
        assert_eq!(times(range), ["02:17:05.000031744", "02:17:05.000088208"], "{range}");
    }
    assert_eq!(first("--to 2020-01-01T00:00:00Z"), "");
    assert_eq!(first("-n 0"), "");
    // Each file has its own range, and one that ends early does not end the others.
    let two = read("corpus/break-in.scap corpus/break-in.scap --to +0s").expect(0).out();
    assert_eq!(two.lines().count(), 2);
    // -n counts over all files.
    assert_eq!(first("corpus/old-2016.scap -n 300").lines().count(), 300);
    // A format of one's own: columns, a field that an event does not have, escapes.
    assert_eq!(first("-n 1 -p %evt.num|%10evt.type|%proc.pid"), "1|epoll_wait|641\n");
    assert_eq!(first("-n 1 -p %fd.name"), "198.51.100.7:40112->192.0.2.10:80\n");
    assert_eq!(first("-n 1 -p *%fd.name\\t%evt.num"), "<NA>\t1\n");
}

#[test]
fn buffers() {
    let words = "corpus/break-in.scap --from +179us --to +180us";
    insta::assert_snapshot!("read-ascii", shown(&format!("{words} -A")));
    insta::assert_snapshot!("read-hex", shown(&format!("{words} -X")));
}

#[test]
fn errors() {
    for (words, status, says) in [
        ("corpus/nope.scap", 2, "scapkit: corpus/nope.scap: cannot open: No such file or directory (os error 2)\n"),
        ("Cargo.toml", 2, "not a capture: text"),
        ("-", 2, "empty input"),
        (
            "corpus/break-in.scap -p %proc.nam",
            2,
            "column 2: 'proc.nam' is not the name of a field; did you mean proc.name?",
        ),
        ("corpus/break-in.scap --from noon", 2, "--from: time \"noon\": wanted "),
        ("corpus/break-in.scap --tz Mars/Base", 2, "no such time zone"),
        ("corpus/break-in.scap -A -X", 2, "cannot be used with"),
        ("corpus/damaged.scap --strict", 1, "scapkit: corpus/damaged.scap: byte "),
        ("corpus/damaged.scap", 0, "truncated tail"),
    ] {
        let ran = read(words).expect(status);
        assert!(ran.err().contains(says), "{words}: {}", ran.err());
    }
    // One that cannot be read does not hide the others.
    let ran = read("corpus/nope.scap corpus/break-in.scap -n 1").expect(2);
    assert_eq!(ran.out().lines().count(), 1);
    // A reader of ours that goes away is no error.
    let ran = shell("{ \"$0\" read corpus/break-in.scap; echo $? >&2; } | true");
    assert_eq!(ran.err().trim(), "0");
}

#[test]
fn nothing_steers_a_terminal() {
    for flags in [
        "",
        "--all",
        "--json",
        "-A",
        "-X",
        "--color always",
        "--view current --all",
        "-p %proc.name|%fd.name|%proc.args",
    ] {
        let ran = read(&format!("corpus/strange-names.scap corpus/damaged.scap {flags}"));
        let mut out = ran.out();
        if flags.contains("always") {
            // The colours that we put there ourselves.
            for code in ["\x1b[90m", "\x1b[01;32m", "\x1b[36m", "\x1b[01;34m", "\x1b[00m"] {
                assert!(out.contains(code), "{code:?}");
                out = out.replace(code, "");
            }
        }
        for text in [out, ran.err()] {
            let bad = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
            assert_eq!(bad, None, "{flags}");
        }
    }
}

#[test]
fn a_growing_file() {
    let bytes = std::fs::read(root().join("corpus/break-in.scap")).unwrap();
    let (first, rest) = bytes.split_at(bytes.len() / 2 + 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("growing.scap");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(first).unwrap();
    let mut child = Command::new(SCAPKIT)
        .args(["read", "--follow", "-n", "298"])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // What is there is printed before more comes.
    let before = lines.next().unwrap().unwrap();
    file.write_all(rest).unwrap();
    let after: Vec<String> = lines.map(Result::unwrap).collect();
    let all = read("corpus/break-in.scap").out();
    let all: Vec<&str> = all.lines().collect();
    assert_eq!((before.as_str(), after.len()), (all[0], 297));
    assert!(after.iter().zip(&all[1..]).all(|(a, b)| a == b));
    let deadline = Instant::now() + Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("read --follow -n did not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
