//! Framing: whatever the bytes, the pieces of a plain input are all of it, in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_format::input::Input;
use scapkit_format::{Blocks, Compression, Limits, Piece};

fuzz_target!(|data: &[u8]| {
    let limits = Limits { max_block: 1 << 20, ..Limits::default() };
    let mut blocks = Blocks::new(Input::from_bytes(data, "fuzz", &limits), limits);
    let (mut all, mut skipped, mut number) = (Vec::new(), 0, 0);
    loop {
        match blocks.next() {
            Ok(Some(Piece::Block(block))) => {
                assert_eq!(block.offset, all.len() as u64);
                assert_eq!(block.number, number + 1);
                assert!(block.bytes().len() >= 12 && block.bytes().len() % 4 == 0);
                number += 1;
                all.extend_from_slice(block.bytes());
            }
            Ok(Some(Piece::Skipped { offset, bytes })) => {
                assert!(!bytes.is_empty());
                assert_eq!(offset, all.len() as u64);
                skipped += bytes.len() as u64;
                all.extend_from_slice(bytes);
            }
            Ok(None) => break,
            // No capture at all.
            Err(_) => return,
        }
    }
    assert!(matches!(blocks.next(), Ok(None)), "the end stays the end");
    let plain = blocks.compression() == Compression::None;
    assert!(!plain || all == data);
    let damages = blocks.damages();
    if damages.list.len() as u64 == damages.count {
        assert!(!plain || damages.list.iter().map(|d| d.skipped).sum::<u64>() == skipped);
    }
    for damage in &damages.list {
        let _ = damage.to_string();
    }
});
