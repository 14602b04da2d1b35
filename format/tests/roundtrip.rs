//! What is written is what is read, whatever the container, the chunk size and the number of threads;
//! what is read encodes to itself.

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

#[path = "roundtrip/arbitrary.rs"]
mod arbitrary;

use arbitrary::{Part, Wanted, build, parts};
use proptest::prelude::*;
use scapkit_format::input::Input;
use scapkit_format::profile::{Profile, ProfileWriter};
use scapkit_format::verify::verify;
use scapkit_format::write::{ChunkWriter, Trailer, WriteOptions};
use scapkit_format::{BlockClass, Capture, Compression, Content, DamageKind, Item, Limits, encode};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What `convert` does, in memory.
fn convert(bytes: Vec<u8>, profile: Profile, options: &WriteOptions) -> Vec<u8> {
    let memory = Memory::default();
    let writer = ChunkWriter::from_writer(Box::new(memory.clone()), "memory", options).unwrap();
    let mut writer = ProfileWriter::new(writer, profile);
    let mut capture = Capture::from_bytes(bytes, "input", Limits::default());
    while let Some(item) = capture.next().unwrap() {
        match item {
            Item::Block(block, content) => writer.block(&block, &content).unwrap(),
            Item::Skipped { bytes, .. } => writer.skipped(bytes).unwrap(),
        }
    }
    writer.finish().unwrap().0.finish(Trailer::None).unwrap();
    let mut bytes = memory.0.lock().unwrap();
    std::mem::take(&mut *bytes)
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

/// Reads `stored` and compares every block with what was made.
fn check(stored: Vec<u8>, plain: &[u8], wanted: &[Wanted]) {
    let mut capture = Capture::from_bytes(stored, "round trip", Limits::default());
    let mut wanted = wanted.iter();
    while let Some(item) = capture.next().unwrap() {
        let Item::Block(block, content) = item else { panic!("skipped bytes") };
        let from = block.offset as usize;
        assert_eq!(block.bytes(), &plain[from..from + block.bytes().len()]);
        let want = wanted.next().expect("no more blocks than were made");
        if let Some(body) = reencode(&content) {
            let mut again = Vec::new();
            encode::block(&mut again, block.block_type, &body).unwrap();
            assert_eq!(again, block.bytes());
        }
        match (&content, want) {
            (Content::Event(e), Wanted::Event(head, params)) => {
                assert_eq!(e.head(), *head);
                if e.info().is_some() {
                    assert!(e.params().eq(params.iter().map(Vec::as_slice)));
                    let mut again = Vec::new();
                    encode::event_of(&mut again, e).unwrap();
                    if let BlockClass::Event { v2: true, .. } = block.block_type.class() {
                        assert_eq!(again, block.bytes());
                    }
                }
            }
            (Content::Section(_), Wanted::Section) | (Content::Machine(_), Wanted::Machine) => {}
            (Content::Threads(l), Wanted::List(n)) => assert_eq!(l.clone().count(), *n),
            (Content::Fds(l), Wanted::List(n)) => assert_eq!(l.clone().count(), *n),
            (Content::Interfaces(l), Wanted::List(n)) => assert_eq!(l.clone().count(), *n),
            (Content::Users(l), Wanted::List(n)) => assert_eq!(l.clone().count(), *n),
            other => panic!("{other:?}"),
        }
    }
    assert!(wanted.next().is_none());
    let damages = capture.damages().list;
    assert!(damages.iter().all(|d| matches!(d.kind, DamageKind::NoEvents)), "{damages:?}");
}

/// The plain bytes as other programs decompress them.
fn decompressed_by_others(stored: &[u8], compression: Compression) -> Vec<u8> {
    let mut out = Vec::new();
    match compression {
        Compression::None => out.extend_from_slice(stored),
        Compression::Gzip => _ = flate2::read::MultiGzDecoder::new(stored).read_to_end(&mut out).unwrap(),
        Compression::Zstd => out = zstd::decode_all(stored).unwrap(),
    }
    out
}

fn options() -> impl Strategy<Value = WriteOptions> {
    let compression = prop_oneof![Just(Compression::None), Just(Compression::Gzip), Just(Compression::Zstd)];
    let chunk_size = prop_oneof![1usize..200, 200usize..100_000];
    (compression, chunk_size, 0usize..4).prop_map(|(compression, chunk_size, threads)| WriteOptions {
        compression,
        level: (compression != Compression::None).then_some(1),
        chunk_size,
        flush_interval: None,
        threads,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_what_is_read(
        made in prop::collection::vec(any::<Part>(), 1..60),
        first in options(),
        second in options(),
    ) {
        let (plain, wanted) = build(&made);
        check(plain.clone(), &plain, &wanted);
        let stored = convert(plain.clone(), Profile::AsIs, &first);
        prop_assert_eq!(&decompressed_by_others(&stored, first.compression), &plain);
        check(stored.clone(), &plain, &wanted);
        let stored = convert(stored, Profile::AsIs, &second);
        prop_assert_eq!(&decompressed_by_others(&stored, second.compression), &plain);
        // The bytes do not depend on the number of threads.
        let alone = convert(plain, Profile::AsIs, &WriteOptions { threads: 0, ..second.clone() });
        prop_assert_eq!(stored, alone);
    }

    #[test]
    fn the_modern_profile_keeps_every_event_and_is_a_fixed_point(made in parts(40)) {
        let (plain, wanted) = build(&made);
        let modern = convert(plain, Profile::Modern, &WriteOptions::default());
        let mut events = wanted.iter().filter_map(|w| match w {
            Wanted::Event(head, params) => Some((head, params)),
            _ => None,
        });
        let mut capture = Capture::from_bytes(modern.clone(), "modern", Limits::default());
        while let Some(item) = capture.next().unwrap() {
            let Item::Block(block, content) = item else { panic!("skipped bytes") };
            if let Content::Event(e) = &content {
                let (head, params) = events.next().unwrap();
                prop_assert_eq!(e.head(), *head);
                if e.info().is_some() {
                    let v2 = matches!(block.block_type.class(), BlockClass::Event { v2: true, .. });
                    prop_assert!(v2);
                    prop_assert!(e.params().eq(params.iter().map(Vec::as_slice)));
                }
            }
        }
        prop_assert!(events.next().is_none());
        prop_assert_eq!(convert(modern.clone(), Profile::Modern, &WriteOptions::default()), modern);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// What the profile writes has sizes that its readers, which do not check, rely on.
    #[test]
    fn the_universal_profile_writes_nothing_malformed(made in parts(40)) {
        let (plain, wanted) = build(&made);
        let universal = convert(plain, Profile::Universal, &WriteOptions::default());
        let mut capture = Capture::from_bytes(universal, "universal", Limits::default());
        let v = verify(&mut capture, |_| ()).unwrap();
        let wrong = v.damages.iter().find(|d| !matches!(d.kind, DamageKind::NoEvents));
        prop_assert!(wrong.is_none(), "{}", wrong.map(ToString::to_string).unwrap_or_default());
        prop_assert_eq!(v.unknown_types, 0);
        let events = wanted.iter().filter(|w| matches!(w, Wanted::Event(..))).count() as u64;
        prop_assert!(v.events <= 2 * events);
    }
}

fn plain_bytes(path: &Path) -> Vec<u8> {
    let mut input = Input::open(path, &Limits::default()).unwrap();
    let (mut bytes, mut at) = (Vec::new(), 0);
    loop {
        bytes.resize(at + (1 << 20), 0);
        match input.read(&mut bytes[at..]).unwrap() {
            0 => break,
            n => at += n,
        }
    }
    bytes.truncate(at);
    bytes
}

/// Captures that this project did not write, and those of the corpus, the damaged one included.
fn captures() -> Vec<PathBuf> {
    let root = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let corpus = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus"));
    let mut files: Vec<PathBuf> = Vec::new();
    match std::fs::read_dir(root.join("captures")) {
        Ok(dir) => files.extend(dir.map(|e| e.unwrap().path())),
        Err(_) => std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: the shared captures are not here ({})\n", root.display()),
        )
        .unwrap(),
    }
    files.extend(std::fs::read_dir(corpus).unwrap().map(|e| e.unwrap().path()));
    files.retain(|f| f.to_string_lossy().contains(".scap") && f.extension().is_none_or(|e| e != "digest"));
    files.sort();
    files
}

#[test]
fn from_container_to_container_and_back_nothing_changes() {
    for file in captures() {
        let plain = plain_bytes(&file);
        let options = |compression| WriteOptions { compression, ..WriteOptions::default() };
        let gzip = convert(std::fs::read(&file).unwrap(), Profile::AsIs, &options(Compression::Gzip));
        let zstd = convert(gzip.clone(), Profile::AsIs, &options(Compression::Zstd));
        let back = convert(zstd.clone(), Profile::AsIs, &options(Compression::None));
        assert!(gzip.starts_with(&[0x1F, 0x8B]) && zstd.starts_with(&[0x28, 0xB5]));
        assert!(back == plain, "{}", file.display());
    }
}
