//! Makes a large capture of a small one: its header and lists once, then its events again and again,
//! with times that go on. `cargo run --release -p scapkit-format --example enlarge -- CAPTURE BYTES > OUT`
//!
//! Processes that the events end are not there any more when they come again, so what is replayed of
//! the repetitions is poorer than a real capture; sizes and kinds of events are those of a real one.

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

use scapkit_format::{BlockClass, Capture, Content, Item, Limits};
use std::io::Write;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, size] = args.as_slice() else {
        eprintln!("usage: enlarge CAPTURE BYTES > OUT");
        std::process::exit(2);
    };
    let size: u64 = size.parse().expect("a number of bytes");
    let mut capture = Capture::open(path.as_ref(), Limits::default()).expect("capture opens");
    let (mut times, mut events) = (Vec::new(), Vec::new());
    let (mut first, mut last) = (u64::MAX, 0);
    while let Some(item) = capture.next().expect("capture reads") {
        let Item::Block(block, content) = item else { continue };
        match content {
            Content::Event(e) => {
                (first, last) = (first.min(e.ts), last.max(e.ts));
                // Where the time stands: after type, length, cpu and, in some forms, flags.
                let flagged = matches!(block.block_type.class(), BlockClass::Event { flagged: true, .. });
                let at = events.len() + if flagged { 14 } else { 10 };
                events.extend_from_slice(block.bytes());
                times.push((at, e.ts));
            }
            _ if times.is_empty() => std::io::stdout().write_all(block.bytes()).expect("output"),
            // A second section: enough.
            _ => break,
        }
    }
    let step = last.saturating_sub(first) + 1_000;
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout());
    for round in 0..size.div_ceil((events.len() as u64).max(1)) {
        for (at, ts) in &times {
            events[*at..*at + 8].copy_from_slice(&(ts + round * step).to_le_bytes());
        }
        out.write_all(&events).expect("output");
    }
    out.flush().expect("output");
}
