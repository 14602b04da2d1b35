//! Packets of sandboxes: whatever comes decodes or is refused; what decodes is written and read again as it was.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use scapkit_proto::{HEADER, Header, Message, handshake, packet};

/// Decodes `payload` as that kind, and what comes of it again.
fn again(kind: u16, payload: Bytes, dropped: u32) {
    let Some(decoded) = Message::decode(kind, payload) else {
        assert_eq!(Message::name_of(kind), None);
        return;
    };
    assert!(Message::name_of(kind).is_some());
    let Ok(message) = decoded else { return };
    assert_eq!(message.kind(), kind);
    let sent = Bytes::from(packet(&message, dropped));
    let header = Header::parse(&sent).expect("a packet has a header");
    assert_eq!((header.kind, header.dropped, usize::from(header.size)), (kind, dropped, HEADER));
    let second = Message::decode(kind, sent.slice(HEADER..)).expect("known").expect("what was written decodes");
    assert!(second == message, "{message:?}\n{second:?}");
    assert_eq!(second.encode(), sent[HEADER..]);
}

fuzz_target!(|data: &[u8]| {
    let _ = handshake(data);
    // A packet as it is received.
    if let Some(header) = Header::parse(data) {
        assert_eq!(header.to_bytes(), data[..HEADER]);
        again(header.kind, Bytes::copy_from_slice(&data[usize::from(header.size)..]), header.dropped);
    }
    // And its message under the kind that the first byte picks, whatever the header says.
    if let Some((first, rest)) = data.split_first() {
        let known = Message::KINDS.len();
        let kind = Message::KINDS[usize::from(*first) % known].0;
        again(kind, Bytes::copy_from_slice(rest), u32::from(*first));
    }
});
