//! Damaged input: events before and after survive, the damage is described, nothing panics.

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

use scapkit_format::synth::{Params, Synth};
use scapkit_format::{BlockType, Capture, Content, Error, Item, Limits, schema::id};

fn events(n: u64) -> Synth {
    let mut s = Synth::new();
    s.section();
    for i in 0..n {
        s.event(1000 + i, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(i as i64));
    }
    s
}

struct Seen {
    times: Vec<u64>,
    skipped: u64,
    damages: Vec<String>,
    codes: Vec<&'static str>,
}

fn read(bytes: Vec<u8>) -> Result<Seen, Error> {
    let total = bytes.len() as u64;
    let mut capture = Capture::from_bytes(bytes, "test", Limits::default());
    let (mut times, mut skipped, mut seen) = (Vec::new(), 0, 0);
    while let Some(item) = capture.next()? {
        match item {
            Item::Block(block, content) => {
                seen += block.bytes().len() as u64;
                if let Content::Event(e) = content {
                    times.push(e.ts);
                }
            }
            Item::Skipped { bytes, .. } => skipped += bytes.len() as u64,
        }
    }
    assert_eq!(seen + skipped, total, "the pieces are all of the input");
    let damages = capture.damages();
    assert_eq!(damages.list.iter().map(|d| d.skipped).sum::<u64>(), skipped);
    Ok(Seen {
        times,
        skipped,
        damages: damages.list.iter().map(ToString::to_string).collect(),
        codes: damages.list.iter().map(scapkit_format::Damage::code).collect(),
    })
}

#[test]
fn cut_at_every_byte_gives_all_complete_events_and_one_note() {
    let whole = events(20).finish();
    let block = (whole.len() - 28) / 20;
    for cut in 0..=whole.len() {
        let result = read(whole[..cut].to_vec());
        match cut {
            0 => assert!(matches!(result, Err(Error::Empty { .. }))),
            1..28 => assert!(matches!(result, Err(Error::NotACapture { .. })), "{cut}"),
            _ => {
                let seen = result.unwrap();
                assert_eq!(seen.times.len(), (cut - 28) / block, "{cut}");
                let clean = (cut - 28) % block == 0;
                let no_events = cut < 28 + block;
                let mut wanted = Vec::new();
                wanted.extend((!clean).then_some("truncated"));
                wanted.extend(no_events.then_some("no-events"));
                assert_eq!(seen.codes, wanted, "{cut}: {:?}", seen.damages);
            }
        }
    }
}

#[test]
fn every_length_field_set_to_an_extreme() {
    let whole = events(5).finish();
    let block = (whole.len() - 28) / 5;
    // Header length, trailer, event length, parameter count, parameter lengths of the third event.
    let third = 28 + 2 * block;
    for (field, size) in [(4, 4), (block - 4, 4), (8 + 2 + 16, 4), (8 + 2 + 22, 4), (8 + 2 + 26, 2), (8 + 2 + 28, 2)] {
        for value in [0u32, 1, 0xFFFF_FFFF, 0xFFFF, 0x7FFF_FFFC, 40] {
            let mut bytes = whole.clone();
            bytes[third + field..third + field + size].copy_from_slice(&value.to_le_bytes()[..size]);
            if bytes == whole {
                continue;
            }
            let seen = read(bytes).unwrap();
            assert!(seen.times.starts_with(&[1000, 1001]), "{field} {value:#x}");
            assert!(seen.times.ends_with(&[1003, 1004]), "{field} {value:#x}: {:?} {:?}", seen.times, seen.damages);
        }
    }
}

#[test]
fn garbage_between_blocks_is_reported_with_place_size_and_resumption() {
    let mut s = events(2);
    let at = s.offset();
    s.raw(b"this is not a block, whatever it says");
    s.event(2000, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    let seen = read(s.finish()).unwrap();
    assert_eq!(seen.times, [1000, 1001, 2000]);
    assert_eq!(seen.skipped, 37);
    let wanted = format!(
        "byte {at} (block 4): block type 0x73696874: length 544434464 is over the limit of 104857600 (max-block); \
         37 bytes skipped, resumed at byte {}",
        at + 37
    );
    assert_eq!(seen.damages, [wanted]);
}

#[test]
fn a_length_that_runs_past_the_end_does_not_hide_what_follows() {
    let mut s = events(1);
    s.wrong_block(BlockType::UL_V2, 0x00FF_FFFC, &[0; 20], 32);
    s.event(2000, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    let seen = read(s.finish()).unwrap();
    assert_eq!(seen.times, [1000, 2000]);
    assert_eq!(seen.codes, ["truncated"]);
}

#[test]
fn eight_zero_bytes_at_the_end() {
    let mut s = events(1);
    s.raw(&[0; 8]);
    let seen = read(s.finish()).unwrap();
    assert_eq!((seen.times.len(), seen.skipped, seen.codes), (1, 8, vec!["block-length"]));
}

#[test]
fn event_types_beyond_the_table_pass_and_nparams_extremes_do_not() {
    let mut s = events(1);
    s.event(2000, 7, 454, &Params::new()).event(2001, 7, 65535, &Params::new());
    let seen = read(s.finish()).unwrap();
    assert_eq!((seen.times.len(), seen.damages.len()), (3, 0));
    for nparams in [0u32, 65535] {
        let mut bytes = events(3).finish();
        let at = 28 + 60 + 8 + 2 + 22;
        bytes[at..at + 4].copy_from_slice(&nparams.to_le_bytes());
        let seen = read(bytes).unwrap();
        let broken = nparams > 0;
        assert_eq!((seen.times.len(), seen.damages.len()), (if broken { 2 } else { 3 }, usize::from(broken)));
    }
}

#[test]
fn blocks_after_the_first_event() {
    let mut s = events(1);
    s.block(BlockType(0x777), &[1; 8]);
    s.event(2000, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    let seen = read(s.finish()).unwrap();
    assert_eq!((seen.times.len(), seen.codes), (2, vec!["unknown-block"]));
    // Before the first event any block may stand: that is how new kinds of data are added.
    let mut s = Synth::new();
    s.section().block(BlockType(0x777), &[1; 8]);
    s.event(2000, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    assert_eq!(read(s.finish()).unwrap().codes, [""; 0]);
}

#[test]
fn inputs_that_are_no_captures() {
    let message = |bytes: &[u8]| read(bytes.to_vec()).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(message(b"").contains("empty input"));
    assert!(message(b"hello world, this is text\n").contains("text (\"hello world, this is text\")"));
    assert!(message(&[0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0]).contains("pcap file of network packets"));
    let mut packets = Synth::new();
    packets.section_of(0x1A2B_3C4D, 1, 0, &[]).block(BlockType(1), &[1, 0, 0, 0, 0, 0, 4, 0]);
    assert!(message(&packets.finish()).contains("pcapng file of network packets"));
    let mut swapped = Synth::new();
    swapped.section_of(0x4D3C_2B1A, 1, 2, &[]);
    assert!(message(&swapped.finish()).contains("byte-swapped"));
    let mut future = Synth::new();
    future.section_of(0x1A2B_3C4D, 2, 0, &[]);
    assert!(message(&future.finish()).contains("format version 2.0"));
}

#[test]
fn section_options_and_later_sections() {
    let mut s = Synth::new();
    s.section_of(0x1A2B_3C4D, 1, 9, &[1, 0, 2, 0, b'h', b'i', 0, 0]);
    s.event(1, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    s.section().event(2, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    s.section();
    let seen = read(s.finish()).unwrap();
    assert_eq!(seen.times, [1, 2]);
    assert_eq!(seen.codes, ["no-events"]);
}

#[test]
fn a_killed_recorders_last_write_is_not_searched_for_blocks() {
    // The last event is a write whose data are a capture themselves.
    let inner = events(3).finish();
    let mut s = events(1);
    s.event(5000, 7, id::SYSCALL_WRITE_X, &Params::new().i64(9).bytes(&inner).i64(1).u32(9));
    let mut bytes = s.finish();
    bytes.truncate(bytes.len() - 30);
    let seen = read(bytes).unwrap();
    assert_eq!(seen.times, [1000]);
    assert_eq!(seen.codes, ["truncated"]);
}

#[test]
fn strict_stops_at_the_first_damage() {
    let mut s = events(1);
    s.raw(&[0; 8]).event(2000, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    let mut capture = Capture::from_bytes(s.finish(), "x.scap", Limits::default());
    capture.set_strict(true);
    let error = loop {
        match capture.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no error"),
            Err(e) => break e,
        }
    };
    assert!(matches!(error, Error::Strict { .. }));
    assert!(error.to_string().starts_with("x.scap: byte 88 (block 3): "), "{error}");
}

/// sysdig writes interface lists that are 4 bytes per entry too short when it re-writes a capture
/// that holds an old one, and cannot read them back (scap-format 2.4).
#[test]
fn short_interface_lists_of_sysdig_are_mended() {
    use scapkit_format::lists::interfaces::{Address, Interface};
    let v4 = Address::V4 { address: [127, 0, 0, 1], netmask: [255, 0, 0, 0], broadcast: [0; 4] };
    let one = Interface { address: v4, linkspeed: Some(0), name: b"lo", extra: &[] };
    let two = Interface { name: b"eth0", ..one.clone() };
    let mut list = Synth::new();
    list.interfaces(2, &[one, two]);
    let mut list = list.finish();
    let wrong = (list.len() as u32 - 8).to_le_bytes();
    let end = list.len();
    list[4..8].copy_from_slice(&wrong);
    list[end - 4..].copy_from_slice(&wrong);
    let mut s = Synth::new();
    s.section().raw(&list).event(1, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
    let mut capture = Capture::from_bytes(s.finish(), "test", Limits::default());
    let mut names = Vec::new();
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(_, Content::Interfaces(l)) = item {
            names.extend(l.map(|i| i.unwrap().name.to_vec()));
        }
    }
    assert_eq!(names, [b"lo".to_vec(), b"eth0".to_vec()]);
    assert_eq!(capture.damage_count(), 1);
}
