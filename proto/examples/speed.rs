//! How fast messages are decoded: `cargo run --release -p scapkit-proto --example speed -- STREAM [SECONDS [WHAT]]`.
//!
//! STREAM is a recorded `.gvstream`; WHAT is `decode` (slices of one buffer, the default), `copy` (the packet copied
//! to a buffer of its own first, as a reader of a socket without a pool would), or `encode`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use bytes::{Buf, Bytes};
use scapkit_proto::{Header, Message};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// The packets of a stream, each a slice of one buffer; handshakes (words with a flag) left out.
fn packets(mut file: Bytes) -> Vec<Bytes> {
    let mut out = Vec::new();
    while file.remaining() >= 4 {
        let word = file.get_u32_le();
        let packet = file.split_to((word & 0x0fff_ffff) as usize);
        if word >> 28 == 0 {
            out.push(packet);
        }
    }
    out
}

fn decode(packet: &Bytes) -> Option<Message> {
    let header = Header::parse(packet)?;
    Message::decode(header.kind, packet.slice(usize::from(header.size)..))?.ok()
}

fn main() {
    let mut args = std::env::args().skip(1);
    let stream = args.next().expect("usage: speed STREAM [SECONDS [decode|copy|encode]]");
    let seconds: u64 = args.next().map_or(2, |s| s.parse().expect("seconds"));
    let what = args.next().unwrap_or_else(|| "decode".to_owned());
    let packets = packets(std::fs::read(stream).expect("the stream").into());
    let messages: Vec<Message> = packets.iter().filter_map(decode).collect();
    let bytes: usize = packets.iter().map(Bytes::len).sum();
    let round: Box<dyn Fn()> = match what.as_str() {
        "decode" => Box::new(|| packets.iter().for_each(|p| drop(black_box(decode(p))))),
        "copy" => Box::new(|| packets.iter().for_each(|p| drop(black_box(decode(&Bytes::copy_from_slice(p)))))),
        "encode" => Box::new(|| messages.iter().for_each(|m| drop(black_box(m.encode())))),
        other => panic!("{other}: not decode, copy or encode"),
    };
    // The fastest round: the others share the machine with something else.
    let (start, mut best) = (Instant::now(), Duration::MAX);
    while start.elapsed() < Duration::from_secs(seconds) {
        let one = Instant::now();
        round();
        best = best.min(one.elapsed());
    }
    let each = best.as_secs_f64() / packets.len() as f64;
    println!(
        "{what}: {:.2} M messages/s, {:.0} ns and {:.0} bytes each",
        1e-6 / each,
        each * 1e9,
        bytes as f64 / packets.len() as f64,
    );
}
