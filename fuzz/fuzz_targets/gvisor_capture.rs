//! A file of packets of gVisor as the capture that it is: what is made is a sound capture, whose every event fits the
//! schema and plays, and the same each time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_capture::gvisor::reader::AsCapture;
use scapkit_capture::gvisor::stream::{Reader, StreamLimits, sniff};
use scapkit_format::schema::event_info;
use scapkit_format::value::{Value, decode_param};
use scapkit_format::{Capture, Content, Damage, DamageKind, Event, Item, Limits};
use scapkit_proto::{HEADER, Header};
use scapkit_replay::{Player, ReplayOptions};
use std::io::Read;

const LIMITS: StreamLimits = StreamLimits { max_packet: 1 << 14, max_control: 1 << 14, max_connections: 16 };
const HANDSHAKE: [u8; 6] = [2, 0, 0, 0x80, 8, 1];

/// The input as a file: it may be one, or what follows a handshake, or one packet.
fn file(data: &[u8]) -> Vec<u8> {
    if sniff(data).is_some() {
        return data.to_vec();
    }
    if Header::parse(data).is_some_and(|h| usize::from(h.size) == HEADER && h.kind < 64) {
        let word = (data.len() as u32).to_le_bytes();
        // Twice: the second time everything is known.
        return [&HANDSHAKE[..], &word, data, &word, data].concat();
    }
    [&HANDSHAKE[..], data].concat()
}

fn made(file: &[u8], dump: Option<Vec<u8>>) -> Option<Vec<u8>> {
    let reader = Reader::new(std::io::Cursor::new(file.to_vec()), LIMITS).ok()?;
    let mut bytes = Vec::new();
    AsCapture::new(reader, dump).read_to_end(&mut bytes).expect("memory can be read");
    Some(bytes)
}

fn check(event: &Event<'_>) {
    let info = event_info(event.event_type).expect("a type that is known");
    let of_container = event.tid == -1 && ["asyncevent", "scapevent"].contains(&info.name);
    assert!(of_container || (0..1 << 53).contains(&event.tid), "{info}: thread {}", event.tid);
    assert_eq!(event.params().count(), info.params.len(), "{info}");
    for (bytes, param) in event.params().zip(info.params) {
        let width = param.kind.fixed_size();
        assert!(width.is_none_or(|w| bytes.is_empty() || bytes.len() == w), "{info} {}: {bytes:?}", param.name);
        let value = decode_param(param, bytes);
        assert!(!matches!(value, Value::Malformed { .. }), "{info} {}: {bytes:?}", param.name);
    }
}

fuzz_target!(|data: &[u8]| {
    let file = file(data);
    let dump = data.ends_with(b"}").then(|| data.to_vec());
    let Some(bytes) = made(&file, dump.clone()) else { return };
    assert!(made(&file, dump) == Some(bytes.clone()));
    // A few bytes cannot ask for many: a message makes some events, each with what is known of its thread.
    assert!(bytes.len() < (1 << 20) + file.len() * 4096, "{} bytes of {}", bytes.len(), file.len());
    let mut capture = Capture::from_bytes(bytes, "made", Limits::default());
    let mut player = Player::new(ReplayOptions::default());
    while let Some(item) = capture.next().expect("memory can be read") {
        let Item::Block(_, content) = item else { continue };
        if let Content::Event(event) = &content {
            check(event);
        }
        player.play(&content);
    }
    let harmless = |d: &Damage| matches!(d.kind, DamageKind::NoEvents);
    assert!(capture.damages().list.iter().all(harmless), "{:?}", capture.damages().list);
});
