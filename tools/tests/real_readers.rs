//! Programs that are not ours read what `convert` writes, and `verify` reads what they write.
//!
//! sysdig 0.29.3 prints internal events only with `-D`; it then prints as many lines as a capture
//! has events of types that it knows.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ran, captures, convert, have, info, is_modern, run, scapkit, shared, sound, stem};
use scapkit_format::schema::EVENTS_2022;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

const FIELDS: &str = "*%evt.num\u{1f}%evt.rawtime\u{1f}%thread.tid\u{1f}%evt.dir\u{1f}%evt.cpu\u{1f}%evt.type\u{1f}\
                      %evt.res\u{1f}%evt.rawres\u{1f}%proc.name\u{1f}%proc.cmdline\u{1f}%proc.cwd\u{1f}%fd.name\u{1f}\
                      %user.name\u{1f}%evt.args";
/// What stands before each record: arguments may hold line feeds.
const START: &str = "\u{1e}";

fn sysdig(file: &Path, fields: &str) -> Vec<Vec<String>> {
    let format = fields.replacen('*', &format!("*{START}"), 1);
    let ran = run(Command::new("sysdig").arg("-D").arg("-r").arg(file).arg("-p").arg(format)).expect(0);
    let text = ran.out();
    let mut records = text.split(START);
    assert_eq!(records.next(), Some(""));
    records.map(|r| r.trim_end_matches('\n').split('\u{1f}').map(str::to_owned).collect()).collect()
}

/// Frames that tshark lists.
fn frames(file: &Path) -> u64 {
    let ran = run(Command::new("tshark").arg("-r").arg(file).args(["-T", "fields", "-e", "frame.number"])).expect(0);
    let count = ran.out().lines().count() as u64;
    assert!(!ran.err().contains("cut short"), "{}: {}", file.display(), ran.err());
    count
}

const NEWER: &[&str] = &["useradded", "groupadded", "userdeleted", "groupdeleted", "async"];

/// Events of other types than these.
fn without(facts: &Value, types: &[&str]) -> u64 {
    let left_out: u64 = facts["events"]["by_type"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|t| types.contains(&t["name"].as_str().unwrap()))
        .map(|t| t["count"].as_u64().unwrap())
        .sum();
    facts["events"]["count"].as_u64().unwrap() - left_out
}

/// The shared captures of the 2022 schema or older.
fn old() -> Vec<PathBuf> {
    captures().into_iter().filter(|f| !is_modern(f)).collect()
}

fn modern() -> Vec<PathBuf> {
    captures().into_iter().filter(|f| is_modern(f)).collect()
}

/// The lines are those of the original; arguments that the 2022 layout has in addition follow.
#[test]
fn sysdig_shows_the_same_of_an_old_capture_in_the_universal_profile() {
    if !have("sysdig") {
        return;
    }
    let mut total = 0;
    for file in old() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = sysdig(&file, FIELDS);
        for name in ["u.scap", "u.scap.gz"] {
            let to = dir.path().join(name);
            let compress = if name == "u.scap" { "none" } else { "gzip" };
            convert(&file, &to, &["--profile", "universal", "--compress", compress]);
            assert_eq!(sound(&to), without(&info(&file), NEWER), "{}: {name}", stem(&file));
            let ours = sysdig(&to, FIELDS);
            assert_eq!(ours.len(), theirs.len(), "{}: {name}", stem(&file));
            for (ours, theirs) in ours.iter().zip(&theirs) {
                let at = theirs.len() - 1;
                // `open` of before 2018 had no enter arguments: the text of a missing name is new.
                // Without any argument there was no result either; the 2022 layout always has one.
                let empty = theirs[at].is_empty();
                let result = 6..8;
                let same = (0..at)
                    .all(|i| ours[i] == theirs[i] || (empty && result.contains(&i) && theirs[i] == "<NA>"))
                    && ours[at].trim_end().starts_with(theirs[at].trim_end());
                assert!(same, "{}: {name}\nours   {ours:?}\ntheirs {theirs:?}", stem(&file));
            }
        }
        println!("{}: {} events as the original shows them", stem(&file), theirs.len());
        total += theirs.len();
    }
    println!("{total} events in all");
}

#[test]
fn sysdig_shows_the_same_of_our_gzip_and_plain() {
    if !have("sysdig") {
        return;
    }
    for file in old() {
        let dir = tempfile::tempdir().unwrap();
        let default = |f: &Path| run(Command::new("sysdig").arg("-r").arg(f)).expect(0).stdout;
        for name in ["x.scap.gz", "x.scap"] {
            let to = dir.path().join(name);
            let compress = if name == "x.scap" { "none" } else { "gzip" };
            convert(&file, &to, &["--compress", compress]);
            assert!(default(&to) == default(&file), "{}: {name}", stem(&file));
            assert_eq!(sysdig(&to, FIELDS), sysdig(&file, FIELDS), "{}: {name}", stem(&file));
        }
    }
}

/// Exits of a golden file by time and thread.
fn golden(name: &str) -> Option<HashMap<(u64, i64), Vec<Value>>> {
    let file = shared()?.join(format!("goldens/{name}.libs-head.jsonl.zst"));
    let text = run(Command::new("zstd").arg("-dc").arg(file)).expect(0);
    let mut exits: HashMap<(u64, i64), Vec<Value>> = HashMap::new();
    for line in text.out().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        if event["evt.dir"] == "<" {
            let key = (event["evt.rawtime"].as_u64().unwrap(), event["thread.tid"].as_i64().unwrap());
            exits.entry(key).or_default().push(event);
        }
    }
    Some(exits)
}

/// sysdig 0.29.3 cannot read these captures themselves: it reads past the end of enter events that
/// are not there, and crashes. In the universal profile it sees every exit, with the program and the
/// result that libs shows for the original.
#[test]
fn sysdig_shows_programs_and_results_of_todays_captures_in_the_universal_profile() {
    if !have("sysdig") || !have("zstd") {
        return;
    }
    // `evt.res` is not among them: sysdig 0.29.3 crashes on it for a bpf call that failed, in
    // captures of its own as well.
    let fields = "*%evt.num\u{1f}%evt.rawtime\u{1f}%thread.tid\u{1f}%evt.dir\u{1f}%evt.type\u{1f}%evt.rawres\u{1f}\
                  %proc.name";
    for file in modern() {
        let name = stem(&file);
        let dir = tempfile::tempdir().unwrap();
        let Some(mut wanted) = golden(&name) else { return };
        let (plain, gzip) = (dir.path().join("u.scap"), dir.path().join("u.scap.gz"));
        convert(&file, &plain, &["--profile", "universal", "--compress", "none"]);
        convert(&file, &gzip, &["--profile", "universal"]);
        let shown = sysdig(&plain, fields);
        assert!(shown == sysdig(&gzip, fields), "{name}: gzip");
        assert_eq!(shown.len() as u64, sound(&plain), "{name}");
        let (mut exits, mut results, mut unnamed) = (0, 0, BTreeMap::<String, u64>::new());
        for event in shown.iter().filter(|e| e[3] == "<") {
            let key = (event[1].parse().unwrap(), event[2].parse().unwrap());
            let libs = wanted.get_mut(&key).filter(|l| !l.is_empty()).map(|l| l.remove(0));
            let libs = libs.unwrap_or_else(|| panic!("{name}: libs has no {event:?}"));
            exits += 1;
            let kind = libs["evt.type"].as_str().unwrap();
            match event[4].as_str() {
                "<unknown>" => {
                    let known = EVENTS_2022.iter().any(|e| e.name == kind);
                    assert!(!known, "{name}: {kind}");
                    *unnamed.entry(kind.to_owned()).or_default() += 1;
                }
                // Their names in 2022.
                "accept" if kind == "accept4" => {}
                "dup" if ["dup2", "dup3"].contains(&kind) => {}
                "pipe" if kind == "pipe2" => {}
                "eventfd" if kind == "eventfd2" => {}
                "signalfd" if kind == "signalfd4" => {}
                "inotify_init" if kind == "inotify_init1" => {}
                shown => assert_eq!(shown, kind, "{name}: {event:?}"),
            }
            assert_eq!(event[6], libs["proc.name"].as_str().unwrap_or("<NA>"), "{name}: {event:?}");
            // Generic events of 2022 have no result.
            if event[5] != "<NA>" {
                results += 1;
                assert_eq!(event[5], libs["evt.rawres"].to_string(), "{name}: {event:?}");
            }
        }
        let missing: usize = wanted.values().map(Vec::len).sum();
        assert_eq!(missing, 0, "{name}: exits that sysdig does not show");
        assert!(exits > 1000 && results * 10 > exits * 4, "{name}: {exits} exits, {results} results");
        println!("{name}: {exits} exits, {results} results compared; without a name: {unnamed:?}");
    }
}

#[test]
fn the_default_output_of_sysdig_ends_well_on_todays_captures() {
    if !have("sysdig") {
        return;
    }
    for file in modern() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("u.scap.gz");
        convert(&file, &to, &["--profile", "universal"]);
        let ran = run(Command::new("sysdig").arg("-r").arg(&to)).expect(0);
        assert!(ran.out().lines().count() > 1000, "{}", stem(&file));
    }
}

#[test]
fn tshark_lists_as_many_frames_as_there_are_events() {
    if !have("tshark") {
        return;
    }
    for file in captures() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (name, compress) in [("u.scap", "none"), ("u.scap.gz", "gzip")] {
            convert(&file, &at(name), &["--profile", "universal", "--compress", compress]);
            assert_eq!(frames(&at(name)), sound(&at(name)), "{}: {name}", stem(&file));
        }
        let facts = info(&file);
        // Wireshark reads versions 1.0 and 1.2 only.
        if facts["versions"][0] == "1.1" {
            continue;
        }
        let events = facts["events"]["count"].as_u64().unwrap();
        assert_eq!(frames(&file), events, "{}", stem(&file));
        for (name, compress) in [("x.scap", "none"), ("x.scap.gz", "gzip")] {
            convert(&file, &at(name), &["--compress", compress]);
            assert_eq!(frames(&at(name)), events, "{}: {name}", stem(&file));
        }
        println!("{}: {events} frames", stem(&file));
    }
}

fn verify(file: &Path) -> (Ran, Value) {
    let ran = scapkit([OsStr::new("verify"), OsStr::new("--json"), file.as_os_str()]);
    let verdict = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.err()));
    (ran, verdict)
}

/// What sysdig writes anew is read without loss, also where sysdig itself cannot read it: an old
/// interface list comes out with a wrong length (scap-format 2.4).
#[test]
fn what_sysdig_rewrites_is_read_whole() {
    if !have("sysdig") {
        return;
    }
    // Container events are made anew by sysdig from what it knows of containers.
    let (mut broken_by_sysdig, skip) = (0, [NEWER, &["container"]].concat());
    let numbers = |file: &Path| {
        let events = sysdig(file, "*%evt.num\u{1f}%evt.type");
        events.iter().filter(|e| e[1] != "container").count() as u64
    };
    for file in old() {
        let dir = tempfile::tempdir().unwrap();
        let shown = numbers(&file);
        for (name, zip) in [("w.scap", None), ("w.scap.gz", Some("-z"))] {
            let to = dir.path().join(name);
            let ran = run(Command::new("sysdig").arg("-r").arg(&file).args(zip).arg("-w").arg(&to));
            assert_eq!(ran.code(), 0, "{}: {}", stem(&file), ran.err());
            let (ran, verdict) = verify(&to);
            let facts = info(&to);
            let events = without(&facts, &skip);
            assert!(verdict["events"].as_u64().unwrap() >= events);
            let shown_by_default = run(Command::new("sysdig").arg("-r").arg(&to).args(["-p", "*%evt.num"]));
            if shown_by_default.code() == 0 {
                ran.expect(0);
                assert_eq!(events, numbers(&to), "{}: {name}", stem(&file));
            } else {
                broken_by_sysdig += 1;
                let ran = ran.expect(1);
                assert_eq!(verdict["damage_count"], 1, "{}", ran.out());
                assert_eq!(verdict["damages"][0]["code"], "trailer", "{}", ran.out());
                assert_eq!(verdict["damages"][0]["skipped"], 0, "{}", ran.out());
                // Mended by us, it can be read by sysdig again.
                let mended = dir.path().join("mended.scap");
                convert(&to, &mended, &["--profile", "universal", "--compress", "none"]);
                assert_eq!(numbers(&mended), without(&info(&mended), &skip), "{}", stem(&file));
            }
            assert_eq!(events, shown, "{}: {name}", stem(&file));
            println!("{}: {name}: {events} events, status of sysdig {}", stem(&file), shown_by_default.code());
        }
    }
    if !old().is_empty() {
        assert!(broken_by_sysdig > 0, "sysdig's own rewrite was always well");
    }
}

#[test]
fn gzip_and_zstd_accept_our_files() {
    for file in captures() {
        let dir = tempfile::tempdir().unwrap();
        let plain = info(&file)["plain_bytes"].as_u64().unwrap();
        if have("gzip") {
            let to = dir.path().join("x.scap.gz");
            convert(&file, &to, &[]);
            run(Command::new("gzip").arg("-t").arg(&to)).expect(0);
        }
        if have("zstd") {
            let to = dir.path().join("x.scap.zst");
            convert(&file, &to, &[]);
            run(Command::new("zstd").args(["-t", "-q"]).arg(&to)).expect(0);
            let listed = run(Command::new("zstd").args(["-l", "-v"]).arg(&to)).expect(0);
            assert!(listed.out().contains(&format!("({plain} B)")), "{}: {}", stem(&file), listed.out());
        }
    }
}
