//! One test for each bug that a fuzz target or a look with hostile eyes found; it fails without the mend.

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

use scapkit_format::profile::{Profile, ProfileWriter, Report};
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::verify::{Verified, verify};
use scapkit_format::write::{ChunkWriter, Trailer, WriteOptions};
use scapkit_format::{Capture, Content, EventHead, Item, Limits};
use std::io::Write;
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

fn convert(bytes: Vec<u8>, profile: Profile) -> (Vec<u8>, Report) {
    let memory = Memory::default();
    let writer = ChunkWriter::from_writer(Box::new(memory.clone()), "memory", &WriteOptions::default()).unwrap();
    let mut writer = ProfileWriter::new(writer, profile);
    let mut capture = Capture::from_bytes(bytes, "test", Limits::default());
    while let Some(item) = capture.next().unwrap() {
        match item {
            Item::Block(block, content) => writer.block(&block, &content).unwrap(),
            Item::Skipped { bytes, .. } => writer.skipped(bytes).unwrap(),
        }
    }
    let (writer, report) = writer.finish().unwrap();
    writer.finish(Trailer::None).unwrap();
    let bytes = memory.0.lock().unwrap().clone();
    (bytes, report)
}

fn check(bytes: Vec<u8>) -> Verified {
    verify(&mut Capture::from_bytes(bytes, "test", Limits::default()), |_| ()).unwrap()
}

/// Version 1 has 16-bit lengths also for types that have 32-bit lengths in version 2.
#[test]
fn a_large_type_in_a_version_1_block_gets_wide_lengths_in_version_2() {
    let mut s = Synth::new();
    let head = EventHead { ts: 7, tid: 1, event_type: id::ASYNCEVENT_E, ..EventHead::default() };
    s.section().event_v1(head, false, &Params::new().u32(3).str("name").bytes(b"data"));
    let (out, _) = convert(s.finish(), Profile::Modern);
    assert_eq!(check(out.clone()).damages, []);
    let mut capture = Capture::from_bytes(out, "out", Limits::default());
    capture.next().unwrap();
    let Some(Item::Block(_, Content::Event(e))) = capture.next().unwrap() else { panic!() };
    let params: Vec<&[u8]> = e.params().collect();
    assert_eq!(params, [&[3, 0, 0, 0][..], b"name\0", b"data"]);
}

/// A block that is kept although its type is unknown is framed anew.
#[test]
fn the_wrong_trailer_of_an_event_of_unknown_type_is_not_passed_on() {
    let mut s = Synth::new();
    s.section().event(1, 7, 9999, &Params::new().u32(5));
    let mut bytes = s.finish();
    let end = bytes.len();
    bytes[end - 1] = 0x40;
    let mut s = Synth::new();
    s.raw(&bytes).event(2, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    assert_eq!(check(s.finish()).damage_count, 1);
    let v = check(convert(s.finish(), Profile::Modern).0);
    assert_eq!((v.events, v.unknown_types, v.damages), (2, 1, vec![]));
}
