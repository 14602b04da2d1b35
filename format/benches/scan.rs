//! How fast blocks are scanned: type, time and thread of every event are touched, all bounds
//! checked, from memory on one core; beside it a hop over the same blocks that trusts every length.
//!
//! `cargo bench -p scapkit-format --bench scan [CAPTURE]`; without an argument the project's shared
//! benchmark capture is used where it is present, else a synthetic one.

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

mod common;

use common::{capture, median};
use scapkit_format::{Block, Event, Limits, block};
use std::hint::black_box;
use std::time::Instant;

/// Raw level: every length and trailer checked.
fn scan(bytes: &[u8]) -> (u64, u64) {
    let limits = Limits::default();
    let (mut rest, mut events, mut sum) = (bytes, 0u64, 0u64);
    while let block::Scan::Block(len) = block::scan(rest, &limits, true) {
        let (head, tail) = rest.split_at(len);
        let b = Block::new(head, 0, 0);
        if let Ok(e) = Event::parse(&b) {
            events += 1;
            sum = sum.wrapping_add(e.ts ^ e.tid.cast_unsigned() ^ u64::from(e.event_type));
        }
        rest = tail;
    }
    (events, sum)
}

/// The same walk believing every length: a bound for what a reader can reach.
fn hop(bytes: &[u8]) -> (u64, u64) {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (mut at, mut events, mut sum) = (0, 0u64, 0u64);
    while at + 12 <= bytes.len() {
        if word(at) == 0x216 {
            events += 1;
            sum = sum.wrapping_add(long(at + 10) ^ long(at + 18) ^ u64::from(word(at + 30) & 0xFFFF));
        }
        at += word(at + 4) as usize;
    }
    (events, sum)
}

fn main() {
    let (name, bytes) = capture();
    println!("{name}: {} bytes plain", bytes.len());
    let (mut checked, mut trusting) = (Vec::new(), Vec::new());
    let (events, sum) = scan(&bytes);
    for _ in 0..7 {
        let start = Instant::now();
        black_box(scan(black_box(&bytes)));
        checked.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        black_box(hop(black_box(&bytes)));
        trusting.push(start.elapsed().as_secs_f64());
    }
    let (checked, trusting) = (median(checked), median(trusting));
    println!("{events} events, checksum {sum:016x}");
    println!(
        "checked scan   {:6.1} M events/s, {:5.2} GB/s",
        events as f64 / checked / 1e6,
        bytes.len() as f64 / checked / 1e9
    );
    println!(
        "trusting hop   {:6.1} M events/s, {:5.2} GB/s",
        events as f64 / trusting / 1e6,
        bytes.len() as f64 / trusting / 1e9
    );
    println!("checked / trusting time: {:.2}", checked / trusting);
}
