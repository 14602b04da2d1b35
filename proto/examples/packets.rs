//! Writes packets as seeds for the fuzz target that reads them: one of each kind with every field, and one of each
//! kind and length (to 16 bytes) of recorded streams. `cargo run -p scapkit-proto --example packets -- OUTDIR STREAM...`

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use bytes::Buf;
use scapkit_proto::{HEADER, Header, Message};
use std::path::Path;

#[path = "../tests/wire/mod.rs"]
mod wire;

/// Longer packets are left out: they are the same with more arguments.
const LONGEST: usize = 8 << 10;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let Some(out) = args.next() else {
        eprintln!("usage: packets OUTDIR STREAM...");
        std::process::exit(2);
    };
    let out = Path::new(&out);
    std::fs::create_dir_all(out).unwrap();
    for &(kind, name) in Message::KINDS {
        let header = Header { size: HEADER as u16, kind, dropped: u32::from(kind) };
        let payload = wire::full(kind);
        std::fs::write(out.join(format!("{kind}-{name}")), [&header.to_bytes()[..], &payload].concat()).unwrap();
        // The target also takes the kind from the first byte.
        let negative: Vec<u8> =
            wire::shapes(kind).into_iter().flat_map(|(field, s)| s.field(field, u64::MAX, b"")).collect();
        std::fs::write(out.join(format!("{kind}-negative")), [&[kind as u8 - 1], &negative[..]].concat()).unwrap();
    }
    for stream in args {
        let stored = std::fs::read(stream).unwrap();
        let mut rest = &stored[..];
        // A word with the length, and with a flag for a handshake, before each.
        while rest.remaining() >= 4 {
            let word = rest.get_u32_le();
            let Some((packet, after)) = rest.split_at_checked((word & 0x0fff_ffff) as usize) else { break };
            rest = after;
            if let Some(header) = Header::parse(packet).filter(|_| word >> 28 == 0 && packet.len() <= LONGEST) {
                std::fs::write(out.join(format!("{}-{}", header.kind, packet.len() / 16)), packet).unwrap();
            }
        }
    }
}
