//! Recorded streams of real sandboxes, against another decoder and against what is known of each stream. Skipped,
//! loudly, where `../shared` is not there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use bytes::{Buf, Bytes};
use scapkit_proto::{Header, Message, VERSION, handshake};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn recordings() -> Option<PathBuf> {
    let dir = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from)
        .join("gvisor");
    if dir.join("expected").is_dir() {
        return Some(dir);
    }
    std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("SKIPPED: {} is absent (set SCAPKIT_SHARED)\n", dir.display()),
    )
    .unwrap();
    None
}

/// Files of a folder with that ending, in order.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == ending)).collect();
    files.sort();
    assert!(!files.is_empty(), "{}", dir.display());
    files
}

/// One record of a stream.
enum Record {
    Handshake { to_sentry: bool, bytes: Bytes },
    Packet(Bytes),
}

/// A word holds the length of what follows, in its low 28 bits, and says what it is.
fn records(path: &Path) -> Vec<Record> {
    let mut file = Bytes::from(std::fs::read(path).unwrap());
    let mut out = Vec::new();
    while !file.is_empty() {
        let word = file.get_u32_le();
        let bytes = file.split_to((word & 0x0fff_ffff) as usize);
        out.push(match word >> 28 {
            0 => Record::Packet(bytes),
            flags => {
                assert_eq!(flags & 0b1011, 0b1000, "{}", path.display());
                Record::Handshake { to_sentry: flags & 4 != 0, bytes }
            }
        });
    }
    out
}

/// Header, message and its bytes.
fn read(packet: &Bytes) -> (Header, Message, Bytes) {
    let header = Header::parse(packet).unwrap();
    let payload = packet.slice(usize::from(header.size)..);
    let message = Message::decode(header.kind, payload.clone()).expect("a known kind").unwrap();
    (header, message, payload)
}

/// Names and types of fields by number, of every message.
#[derive(Default)]
struct Schema(BTreeMap<String, BTreeMap<u64, Field>>);

struct Field {
    name: String,
    kind: String,
    repeated: bool,
}

impl Schema {
    /// The schema of `proto/`, of which only `message X {` and `[repeated] type name = number;` matter.
    fn new() -> Schema {
        let (mut schema, mut message) = (Schema::default(), String::new());
        for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("proto"), "proto") {
            for line in std::fs::read_to_string(path).unwrap().lines() {
                let words: Vec<&str> = line.trim_end_matches(';').split_whitespace().collect();
                match words[..] {
                    ["message", name, "{"] => name.clone_into(&mut message),
                    [ref repeated @ .., kind, name, "=", number] if line.starts_with("  ") => {
                        let kind = kind.rsplit('.').next().unwrap().to_owned();
                        let field = Field { name: name.to_owned(), kind, repeated: !repeated.is_empty() };
                        schema.0.entry(message.clone()).or_default().insert(number.parse().unwrap(), field);
                    }
                    _ => {}
                }
            }
        }
        schema
    }

    /// What was encoded, by name. Bytes are text, those that gVisor itself calls bytes are `hex:...`.
    fn view(&self, message: &str, mut wire: Bytes) -> Value {
        let mut out = Map::new();
        while !wire.is_empty() {
            let key = varint(&mut wire);
            let field = &self.0[message][&(key >> 3)];
            let value = match (key & 7, field.kind.as_str()) {
                (0, "bool") => json!(varint(&mut wire) != 0),
                (0, "int32" | "int64") => json!(varint(&mut wire).cast_signed()),
                (0, "uint32" | "uint64") => json!(varint(&mut wire)),
                (2, kind) => {
                    let len = varint(&mut wire) as usize;
                    let bytes = wire.split_to(len);
                    match (kind, field.name.as_str()) {
                        ("bytes", "address" | "binary_sha256" | "binary_sha1" | "ip") => json!(hex(&bytes)),
                        ("bytes", _) => json!(std::str::from_utf8(&bytes).unwrap()),
                        _ => self.view(kind, bytes),
                    }
                }
                other => panic!("{message}.{}: {other:?}", field.name),
            };
            if field.repeated {
                let list = out.entry(&field.name).or_insert_with(|| json!([]));
                list.as_array_mut().unwrap().push(value);
            } else {
                assert_eq!(out.insert(field.name.clone(), value), None, "{message}.{} twice", field.name);
            }
        }
        Value::Object(out)
    }
}

fn varint(wire: &mut Bytes) -> u64 {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let byte = wire.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number without end");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("hex:"), |mut out, b| {
        write!(out, "{b:02x}").unwrap();
        out
    })
}

#[test]
fn every_field_is_that_of_the_other_decoder() {
    let Some(dir) = recordings() else { return };
    let schema = Schema::new();
    let mut seen = 0;
    for oracle in files(&dir.join("expected"), "jsonl") {
        let stream = dir.join(oracle.file_name().unwrap()).with_extension("gvstream");
        let text = std::fs::read_to_string(&oracle).unwrap();
        let (records, mut lines) = (records(&stream), text.lines());
        for (at, record) in records.iter().enumerate() {
            let wanted: Value = serde_json::from_str(lines.next().expect("a line per record")).unwrap();
            let found = match record {
                Record::Handshake { to_sentry, bytes } => {
                    assert_eq!(handshake(bytes), Ok(VERSION));
                    let dir = if *to_sentry { "to_sentry" } else { "from_sentry" };
                    json!({"handshake": &hex(bytes)[4..], "dir": dir})
                }
                Record::Packet(packet) => {
                    let (header, message, _) = read(packet);
                    // What we decoded, not what was sent.
                    let name = Message::name_of(message.kind()).unwrap();
                    let body = schema.view(name, message.encode().into());
                    json!({"type": header.kind, "msg": name, "hdr": header.size, "dropped": header.dropped, "body": body})
                }
            };
            assert_eq!(found, wanted, "{}, record {at}", stream.display());
            seen += 1;
        }
        assert_eq!(lines.next(), None, "{}", oracle.display());
    }
    assert!(seen > 0);
}

/// What the collection's own description says of a stream.
#[derive(Debug, Default, PartialEq)]
struct Facts {
    messages: usize,
    largest: usize,
    dropped: u32,
    /// Messages by kind, and beginning or end.
    counts: BTreeMap<String, usize>,
}

/// The number before or after some words.
fn number(line: &str, before: &str, after: &str) -> usize {
    let rest = line.split_once(before).expect(line).1;
    rest.split(after).next().and_then(|n| n.trim().parse().ok()).expect(line)
}

/// `### NAME.gvstream`, a line of numbers, and `Counts: KIND:NAME=N, ...` (`-` for none).
fn described(readme: &str) -> BTreeMap<String, Facts> {
    let (mut all, mut name) = (BTreeMap::<String, Facts>::new(), "");
    for line in readme.lines() {
        if let Some(stream) = line.strip_prefix("### ") {
            name = stream;
        } else if line.contains(" messages, largest packet ") {
            let facts = all.entry(name.to_owned()).or_default();
            facts.messages = number(line, " bytes, ", " messages");
            facts.largest = number(line, "largest packet ", ",");
            facts.dropped = number(line, "last dropped_count ", ".") as u32;
        } else if let Some(counts) = line.strip_prefix("Counts: ").filter(|c| c.contains('=')) {
            let pairs = counts.split(", ").map(|c| c.split_once('=').unwrap());
            all.get_mut(name).unwrap().counts = pairs.map(|(k, n)| (k.to_owned(), n.parse().unwrap())).collect();
        }
    }
    all
}

#[test]
fn every_stream_holds_what_is_said_of_it() {
    let Some(dir) = recordings() else { return };
    let schema = Schema::new();
    let said = described(&std::fs::read_to_string(dir.join("README.md")).unwrap());
    let mut found = BTreeMap::new();
    for stream in files(&dir, "gvstream") {
        let mut facts = Facts::default();
        for record in records(&stream) {
            let Record::Packet(packet) = record else { continue };
            let (header, message, payload) = read(&packet);
            let name = Message::name_of(header.kind).unwrap();
            // gVisor writes fields as we do: in the order of their numbers, and none that is 0.
            assert_eq!(message.encode(), payload, "{}: {message:?}", stream.display());
            let calls = schema.0[name].get(&2).is_some_and(|f| f.name == "exit");
            let ended = || schema.view(name, message.encode().into()).get("exit").is_some();
            let side = match calls {
                false => "",
                true if ended() => "/X",
                true => "/E",
            };
            *facts.counts.entry(format!("{}:{name}{side}", header.kind)).or_default() += 1;
            facts.messages += 1;
            facts.largest = facts.largest.max(packet.len());
            facts.dropped = header.dropped;
        }
        found.insert(stream.file_name().unwrap().to_str().unwrap().to_owned(), facts);
    }
    assert_eq!(found, said);
}
