//! `convert --profile asis` loses nothing: any compression, and back, byte for byte.

#![allow(clippy::unwrap_used)]

mod common;

use common::{captures, convert, have, heavy, is_modern, run, stem};
use scapkit_format::Limits;
use scapkit_format::input::Input;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use std::path::Path;
use std::process::Command;

/// The plain bytes of a capture, by the library's lowest layer.
fn plain(file: &Path) -> Vec<u8> {
    let mut input = Input::open(file, &Limits::default()).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match input.read(&mut buffer).unwrap() {
            0 => break,
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
    input.finish();
    assert_eq!(input.take_damage(), None, "{}", file.display());
    bytes
}

fn round_trip(file: &Path) -> usize {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let wanted = plain(file);
    convert(file, &at("1.scap"), &["--profile", "asis", "--compress", "none"]);
    assert!(std::fs::read(at("1.scap")).unwrap() == wanted, "{}: plain", file.display());
    convert(&at("1.scap"), &at("2.scap.gz"), &[]);
    convert(&at("2.scap.gz"), &at("3.scap.zst"), &[]);
    convert(&at("3.scap.zst"), &at("4.scap"), &["--compress", "none"]);
    assert!(std::fs::read(at("4.scap")).unwrap() == wanted, "{}: through gzip and zstd", file.display());
    for (program, name) in [("gzip", "2.scap.gz"), ("zstd", "3.scap.zst")] {
        if have(program) {
            let theirs = run(Command::new(program).arg("-dc").arg(at(name))).expect(0);
            assert!(theirs.stdout == wanted, "{}: {program} -dc", file.display());
        }
    }
    // The same bytes on every run and with any number of threads.
    convert(&at("1.scap"), &at("5.scap.gz"), &["--threads", "1"]);
    assert!(std::fs::read(at("5.scap.gz")).unwrap() == std::fs::read(at("2.scap.gz")).unwrap());
    wanted.len()
}

#[test]
fn every_capture_comes_back_byte_for_byte() {
    for file in captures() {
        let size = round_trip(&file);
        println!("{}: {size} bytes{}", stem(&file), if is_modern(&file) { " (2026)" } else { "" });
    }
}

#[test]
fn the_heavy_capture_comes_back_byte_for_byte() {
    if let Some(file) = heavy() {
        println!("{}: {} bytes", stem(&file), round_trip(&file));
    }
}

/// An event of a type that is newer than the tables is not understood, but it is not lost.
#[test]
fn modern_keeps_events_newer_than_the_tables() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("in.scap"), dir.path().join("out.scap"));
    let mut s = Synth::new();
    s.section();
    s.event(1, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    s.event(2, 7, 4001, &Params::new().u64(0x1122_3344_5566_7788));
    let bytes = s.finish();
    std::fs::write(&from, &bytes).unwrap();
    convert(&from, &to, &["--profile", "modern"]);
    let out = std::fs::read(&to).unwrap();
    assert!(out.ends_with(&bytes[bytes.len() - 56..]), "the last block is kept");
}
