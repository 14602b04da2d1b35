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
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

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

/// Gives one byte per read, as a slow pipe may.
struct Slow(std::vec::IntoIter<u8>);

impl Read for Slow {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        match (buf.first_mut(), self.0.next()) {
            (Some(to), Some(byte)) => {
                *to = byte;
                Ok(1)
            }
            _ => Ok(0),
        }
    }
}

/// An interface list whose announced length is four bytes per entry too short, as sysdig writes it.
fn short_interface_list() -> Vec<u8> {
    use scapkit_format::lists::interfaces::{Address, Interface};
    let address = Address::V4 { address: [127, 0, 0, 1], netmask: [255, 0, 0, 0], broadcast: [0; 4] };
    let one = Interface { address, linkspeed: Some(0), name: b"lo0", extra: &[] };
    let mut list = Synth::new();
    list.interfaces(2, &[one.clone(), one.clone(), one]);
    let mut list = list.finish();
    let wrong = (list.len() as u32 - 12).to_le_bytes();
    let end = list.len();
    list[4..8].copy_from_slice(&wrong);
    list[end - 4..].copy_from_slice(&wrong);
    list
}

/// The list's real end may not have been read yet when its announced end has.
#[test]
fn short_interface_lists_are_mended_however_the_bytes_come() {
    let list = short_interface_list();
    let mut s = Synth::new();
    s.section().raw(&list).event(1, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    let reader = Box::new(Slow(s.finish().into_iter()));
    let mut capture = Capture::from_reader(reader, "slow", Limits::default()).unwrap();
    let mut names = 0;
    while let Some(item) = capture.next().unwrap() {
        match item {
            Item::Block(_, Content::Interfaces(l)) => names += l.map(|i| assert_eq!(i.unwrap().name, b"lo0")).count(),
            Item::Block(..) => {}
            Item::Skipped { bytes, .. } => panic!("{} bytes skipped", bytes.len()),
        }
    }
    assert_eq!((names, capture.damage_count()), (3, 1));
}

/// A file of nothing but false interface lists, each of whose entries is the next false list: walked
/// to its end from each of them it takes seconds per megabyte.
#[test]
fn false_interface_lists_cost_linear_time() {
    let mut s = Synth::new();
    s.section();
    while s.offset() < 12 << 20 {
        // Header of a list of 1 MB, and an entry that reaches over the next header.
        s.raw(&0x219u32.to_le_bytes()).raw(&0x000F_0000u32.to_le_bytes());
        s.raw(&20u32.to_le_bytes()).raw(&[1, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7]);
    }
    let begin = Instant::now();
    assert_eq!(check(s.finish()).damage_count, 2);
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
}

/// What is held back until it is known whether enters were recorded is bounded in bytes, not only in
/// events.
#[test]
fn the_universal_profile_does_not_hold_back_everything() {
    let memory = Memory::default();
    let options = WriteOptions { chunk_size: 1, ..WriteOptions::default() };
    let writer = ChunkWriter::from_writer(Box::new(memory.clone()), "memory", &options).unwrap();
    let mut writer = ProfileWriter::new(writer, Profile::Universal);
    let mut s = Synth::new();
    s.section();
    for ts in 0..100 {
        s.event(ts, -1, id::PLUGINEVENT_E, &Params::new().u32(3).bytes(&vec![1; 1 << 20]));
    }
    let mut capture = Capture::from_bytes(s.finish(), "test", Limits::default());
    while let Some(item) = capture.next().unwrap() {
        let Item::Block(block, content) = item else { panic!() };
        writer.block(&block, &content).unwrap();
    }
    assert!(memory.0.lock().unwrap().len() > 60 << 20);
}

/// A parameter of the largest size that gets a byte more does not fit: the event is left out and
/// counted, the conversion goes on.
#[test]
fn an_event_that_the_universal_profile_makes_too_large_is_left_out() {
    let mut s = Synth::new();
    s.section();
    for event_type in 0..454u16 {
        let Some(info) = scapkit_format::schema::event_info(event_type) else { continue };
        for large in 0..info.params.len() {
            let params = (0..info.params.len())
                .fold(Params::new(), |p, n| p.bytes(&vec![1; if n == large { 65_535 } else { 8 }]));
            s.event(1, 7, event_type, &params);
        }
    }
    for profile in [Profile::Modern, Profile::Universal] {
        let (out, report) = convert(s.finish(), profile);
        assert!(report.events_read > 1_000);
        check(out);
    }
}
