//! `damaged.scap`: what a bad disk and a killed recorder leave of `break-in.scap`.

use scapkit_format::{Limits, block};

/// Offsets of all blocks.
fn blocks(bytes: &[u8]) -> Vec<usize> {
    let (limits, mut at, mut all) = (Limits::default(), 0, Vec::new());
    while let block::Scan::Block(len) = block::scan(&bytes[at..], &limits, true) {
        all.push(at);
        at += len;
    }
    all
}

pub fn capture(whole: &[u8]) -> Vec<u8> {
    let at = blocks(whole);
    let mut bytes = whole.to_vec();
    let block = |share: usize| at[at.len() * share / 100];
    // One bit of a block's length.
    bytes[block(40) + 5] ^= 0x20;
    // 700 bytes of something else, from the middle of a block on.
    let from = block(60) + 13;
    for (i, byte) in bytes[from..from + 700].iter_mut().enumerate() {
        *byte = (i as u8).wrapping_mul(29) ^ 0x5A;
    }
    // A trailer, and a parameter's length.
    let trailer = block(75) - 4;
    bytes[trailer] ^= 0xFF;
    bytes[block(85) + 36] ^= 0x40;
    // Cut in the middle of the last block but two.
    bytes.truncate(at[at.len() - 3] + 21);
    bytes
}
