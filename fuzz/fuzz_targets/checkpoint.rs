//! Checkpoints that are not what was written: refused, or a state like any other, which plays on, is written
//! and is read again.
//!
//! The input says what to change in a checkpoint of one of the project's captures: a byte for the
//! checkpoint, then changes of four bytes (place, length that is replaced, a byte) each. Starting from bytes
//! alone nothing would ever be right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_format::{Capture, Content, Item, Limits};
use scapkit_replay::{Checkpoint, Player, ReplayOptions};
use std::sync::LazyLock;

const CAPTURES: [&[u8]; 3] = [
    include_bytes!("../../corpus/break-in.scap"),
    include_bytes!("../../corpus/strange-names.scap"),
    include_bytes!("../../corpus/old-2016.scap"),
];
/// Blocks that are played after a checkpoint was read.
const AFTER: usize = 64;

fn options() -> ReplayOptions {
    ReplayOptions { latency: true, ..ReplayOptions::default() }
}

/// Calls `f` for each block but the first, which is a section's.
fn blocks(bytes: &[u8], mut f: impl FnMut(usize, &[u8], &Content<'_>)) {
    let mut capture = Capture::from_bytes(bytes.to_vec(), "capture", Limits::default());
    let mut n = 0;
    while let Ok(Some(item)) = capture.next() {
        if let Item::Block(block, content) = item {
            f(n, block.bytes(), &content);
            n += 1;
        }
    }
}

/// Checkpoints, and the blocks that follow each behind a section header.
static BASES: LazyLock<Vec<(Checkpoint, Vec<u8>)>> = LazyLock::new(|| {
    let mut bases = Vec::new();
    for capture in CAPTURES {
        let mut raw = Vec::new();
        blocks(capture, |_, bytes, _| raw.push(bytes.to_vec()));
        let mut player = Player::new(options());
        blocks(capture, |n, _, content| {
            let _ = player.play(content);
            if (n + 1) % (raw.len() / 6) == 0 {
                let rest: Vec<u8> = raw.iter().skip(n + 1).take(AFTER).flatten().copied().collect();
                bases.push((player.checkpoint(), [&raw[0][..], &rest].concat()));
            }
        });
    }
    bases
});

fn changed(state: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut state = state.to_vec();
    for change in changes.chunks_exact(4).take(64) {
        let [low, high, length, byte] = [change[0], change[1], change[2], change[3]];
        let at = (usize::from(u16::from_le_bytes([low, high])) % (state.len() + 1)).min(state.len());
        let end = (at + usize::from(length % 8)).min(state.len());
        // Two of three replace as many bytes as they take out.
        let new: &[u8] = if length < 170 { &[byte; 8][..end - at] } else { &[byte] };
        state.splice(at..end, new.iter().copied());
    }
    state
}

fuzz_target!(|data: &[u8]| {
    let Some((which, changes)) = data.split_first() else { return };
    let (base, rest) = &BASES[usize::from(*which) % BASES.len()];
    let state = changed(&base.state, changes);
    let Ok(mut player) = Player::resume(options(), &Checkpoint { state, ..base.clone() }) else { return };
    blocks(rest, |n, _, content| {
        if n > 0 {
            let _ = player.play(content);
        }
    });
    let written = player.checkpoint();
    let again = Player::resume(options(), &written).expect("a state that was written is read");
    assert!(again.checkpoint() == written);
    let export = player.export().expect("a state fits a capture");
    let mut read = Player::new(options());
    blocks(&export, |_, _, content| _ = read.play(content));
    assert_eq!(read.checkpoint_notes().first, None);
    assert!(read.export().expect("a state fits a capture") == export);
});
