//! The committed captures of `corpus/` are what the example writes, and read as they should.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

#[path = "../examples/corpus/files/mod.rs"]
mod files;

use scapkit_format::input::Input;
use scapkit_format::schema::id;
use scapkit_format::value::{Value, decode_param};
use scapkit_format::verify::verify;
use scapkit_format::{Capture, Compression, Content, Item, Limits};
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus"))
}

fn made(name: &str) -> Vec<u8> {
    files::all().into_iter().find(|f| f.0 == name).unwrap().1
}

#[test]
fn committed_files_are_what_the_example_writes() {
    let mut total = 0;
    for (name, bytes) in files::all() {
        let found = std::fs::read(folder().join(name)).unwrap_or_default();
        assert!(
            found == bytes,
            "corpus/{name} is not what the generator makes ({} and {} bytes). If that is meant, run \
             `cargo run -p scapkit-format --example corpus -- corpus` in the project's root and say why in the commit",
            found.len(),
            bytes.len()
        );
        total += bytes.len();
    }
    assert!(total < 300_000, "{total} bytes");
}

/// What is in the folder was written by the example or recorded by the scripts, and the README tells of it.
#[test]
fn every_capture_of_the_folder_is_described_and_comes_from_somewhere() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    let scripts = std::fs::read_to_string(folder().join("record/inside.sh")).unwrap();
    let known: Vec<&str> = files::all().iter().map(|f| f.0).collect();
    let found: Vec<String> =
        std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    let captures: Vec<&String> = found.iter().filter(|f| f.contains(".scap") && !f.ends_with(".digest")).collect();
    assert!(captures.len() > known.len(), "{captures:?}");
    for name in captures {
        assert!(readme.contains(&format!("`{name}`")), "{name} is not in corpus/README.md");
        let recorded = scripts.contains(&format!("record {name} "));
        assert!(recorded != known.contains(&name.as_str()), "{name} is neither made nor recorded, or both");
        assert!(found.contains(&format!("{name}.digest")), "{name} has no digest");
    }
}

#[test]
fn undamaged_captures_verify_and_the_damaged_one_does_not() {
    for (name, bytes) in files::all() {
        let mut capture = Capture::from_bytes(bytes, name, Limits::default());
        let v = verify(&mut capture, |_| ()).unwrap();
        let lists: Vec<String> = v.damages.iter().map(ToString::to_string).collect();
        if name.contains("damaged") {
            assert!(v.damage_count >= 5, "{lists:#?}");
            assert!(v.events > 200, "{}", v.events);
        } else {
            assert_eq!(lists, [""; 0], "{name}");
        }
        assert_eq!(v.unknown_types, 0, "{name}");
    }
}

#[test]
fn compressed_forms_hold_the_plain_capture() {
    let plain = made("break-in.scap");
    for (name, compression) in [("break-in.scap.gz", Compression::Gzip), ("break-in.scap.zst", Compression::Zstd)] {
        let bytes = made(name);
        let mut input = Input::from_bytes(bytes, name, &Limits::default());
        let (mut all, mut buf) = (Vec::new(), vec![0; 1 << 16]);
        loop {
            match input.read(&mut buf).unwrap() {
                0 => break,
                n => all.extend_from_slice(&buf[..n]),
            }
        }
        input.finish();
        assert_eq!(input.compression(), compression);
        assert_eq!(input.take_damage(), None);
        assert!(all == plain, "{name}");
    }
}

/// Every parameter that the modern driver fills is there, and of its type.
#[test]
fn the_break_in_has_all_parameters_of_the_current_schema() {
    let mut capture = Capture::from_bytes(made("break-in.scap"), "break-in.scap", Limits::default());
    let (mut events, mut last, mut seen) = (0, 0, Vec::new());
    while let Some(item) = capture.next().unwrap() {
        let Item::Block(_, Content::Event(e)) = item else { continue };
        let info = e.info().unwrap();
        assert_eq!(e.nparams as usize, info.params.len(), "{info}");
        assert!(e.ts > last);
        (events, last) = (events + 1, e.ts);
        if e.event_type == id::SYSCALL_EXECVE_19_X {
            let Value::Text(Some(name)) = decode_param(&info.params[30], e.param(30).unwrap()) else { panic!() };
            seen.push(String::from_utf8(name.to_vec()).unwrap());
        }
    }
    assert!((150..=300).contains(&events), "{events} events");
    let wanted = [
        "/usr/sbin/sshd",
        "/bin/bash",
        "/usr/bin/id",
        "/usr/bin/curl",
        "/usr/bin/chmod",
        "/tmp/.x.sh",
        "/usr/bin/cat",
        "/usr/bin/curl",
        "/usr/bin/rm",
    ];
    assert_eq!(seen, wanted);
}
