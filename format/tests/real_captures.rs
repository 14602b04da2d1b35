//! Captures that this project did not write: every block parses, every list encodes to the bytes it
//! was parsed from. Skipped, loudly, where `../shared` is not there.

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

use scapkit_format::{BlockClass, Capture, Content, Item, Limits, encode};
use std::path::PathBuf;

fn captures() -> Vec<PathBuf> {
    let root = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let mut files: Vec<PathBuf> = Vec::new();
    match std::fs::read_dir(root.join("captures")) {
        Ok(dir) => files.extend(dir.map(|e| e.unwrap().path())),
        Err(_) => std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: the shared captures are not here ({})\n", root.display()),
        )
        .unwrap(),
    }
    let corpus = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus"));
    files.extend(std::fs::read_dir(corpus).into_iter().flatten().map(|e| e.unwrap().path()));
    files.retain(|f| {
        f.to_string_lossy().contains(".scap")
            && !f.to_string_lossy().contains("damaged")
            && f.extension().is_none_or(|e| e != "digest")
    });
    files.sort();
    files
}

/// The body of a list block, encoded anew from its typed entries.
fn reencode(content: &Content<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match content {
        Content::Threads(l) => l.clone().for_each(|t| t.unwrap().encode(l.version(), &mut out).unwrap()),
        Content::Fds(l) => {
            out.extend_from_slice(&l.tid.to_le_bytes());
            l.clone().for_each(|f| f.unwrap().encode(l.version(), &mut out).unwrap());
        }
        Content::Interfaces(l) => l.clone().for_each(|i| i.unwrap().encode(l.version(), &mut out).unwrap()),
        Content::Users(l) => l.clone().for_each(|a| a.unwrap().encode(l.version(), &mut out).unwrap()),
        _ => return None,
    }
    Some(out)
}

#[test]
fn every_block_is_understood_and_encodes_to_itself() {
    for file in captures() {
        let mut capture = Capture::open(&file, Limits::default()).unwrap();
        let (mut events, mut params) = (0u64, 0u64);
        while let Some(item) = capture.next().unwrap() {
            let Item::Block(block, content) = item else { panic!("{}: skipped bytes", file.display()) };
            let mut whole = Vec::new();
            encode::block(&mut whole, block.block_type, block.body()).unwrap();
            assert_eq!(whole, block.bytes());
            if let Some(body) = reencode(&content) {
                let mut again = Vec::new();
                encode::block(&mut again, block.block_type, &body).unwrap();
                assert_eq!(again, block.bytes(), "{}: block {}", file.display(), block.number);
            }
            if let Content::Event(event) = &content {
                events += 1;
                params += event.params().count() as u64;
                assert_eq!(event.params().count(), event.nparams as usize);
                if let BlockClass::Event { v2: true, .. } = block.block_type.class() {
                    let mut again = Vec::new();
                    encode::event_of(&mut again, event).unwrap();
                    assert_eq!(again, block.bytes(), "{}: block {}", file.display(), block.number);
                }
            }
        }
        assert_eq!(capture.damage_count(), 0, "{}: {:?}", file.display(), capture.damages().list.first());
        assert!(events > 0);
        // Counts of scap-format appendix B.
        let known = [("curl_google", 1536, 3436), ("single_ipv6_conn", 1728, 3451), ("test_ipv6_client", 326, 700)];
        if let Some((_, e, p)) = known.iter().find(|k| file.file_stem().unwrap().to_string_lossy() == k.0) {
            assert_eq!((events, params), (*e, *p), "{}", file.display());
        }
        println!("{}: {events} events, {params} parameters", file.display());
    }
}
