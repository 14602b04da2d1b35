//! Protobuf by hand, for tests and seeds: fields, and which of them the messages have.

use bytes::Bytes;
use scapkit_proto::Message;

/// A number in base 128, lowest part first.
pub fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// A field that is a number.
pub fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A field that is text, bytes or a message.
pub fn text(field: u64, value: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

/// What a field holds, found out by trying: a message keeps what is its own and drops the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Number,
    Bytes,
    /// A message, whose first field is a number.
    Message,
    /// A message, whose first field is such a message.
    Nested,
}

impl Shape {
    const ALL: [Shape; 4] = [Shape::Number, Shape::Bytes, Shape::Message, Shape::Nested];

    /// A field of this shape, with one of the values.
    pub fn field(self, field: u64, value: u64, bytes: &[u8]) -> Vec<u8> {
        match self {
            Shape::Number => number(field, value),
            Shape::Bytes => text(field, bytes),
            Shape::Message => text(field, &number(1, value)),
            Shape::Nested => text(field, &text(1, &number(1, value))),
        }
    }
}

/// Number and shape of the fields of a kind, in order.
pub fn shapes(kind: u16) -> Vec<(u64, Shape)> {
    let shape = |field| {
        let keeps = |s: &Shape| {
            let sent = s.field(field, 1, b"\xff\xff no message");
            matches!(Message::decode(kind, sent.clone().into()), Some(Ok(m)) if m.encode() == sent)
        };
        Shape::ALL.into_iter().find(keeps).map(|s| (field, s))
    };
    (1..=40).filter_map(shape).collect()
}

/// The payload of a message with every field set.
pub fn full(kind: u16) -> Bytes {
    shapes(kind).into_iter().flat_map(|(field, s)| s.field(field, 1, &[b'a' + field as u8, 0xe9])).collect()
}
