//! Makes compressed input and reads it back.

use std::io::{self, Read, Write};

use flate2::write::{DeflateEncoder, GzEncoder};
use scapkit_format::{ContainerDamage, Damage, DamageKind, Limits, input::Input};

/// Bytes that compress, but not to nothing, and differ for each seed.
pub fn text(seed: u32, len: usize) -> Vec<u8> {
    let mut x = seed.wrapping_mul(2_654_435_761) | 1;
    let mut out = Vec::with_capacity(len + 16);
    while out.len() < len {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        write!(out, "{seed}:{:x} ", x % 5000).unwrap();
    }
    out.truncate(len);
    out
}

/// Bytes that do not compress.
pub fn noise(seed: u32, len: usize) -> Vec<u8> {
    let mut x = seed | 1;
    let next = |_| {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        (x >> 11) as u8
    };
    (0..len).map(next).collect()
}

/// One ordinary gzip member.
pub fn member(plain: &[u8], level: u32) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    gz.write_all(plain).unwrap();
    gz.finish().unwrap()
}

/// Optional header fields of a gzip member.
#[derive(Default, Clone, Debug)]
pub struct Fields {
    pub extra: Option<Vec<u8>>,
    pub name: Option<&'static str>,
    pub comment: Option<&'static str>,
    pub sum: bool,
}

/// A gzip member written by hand.
pub fn member_with(plain: &[u8], fields: &Fields) -> Vec<u8> {
    let flags = u8::from(fields.sum) << 1
        | u8::from(fields.extra.is_some()) << 2
        | u8::from(fields.name.is_some()) << 3
        | u8::from(fields.comment.is_some()) << 4;
    let mut out = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 0, 3];
    if let Some(extra) = &fields.extra {
        out.extend((extra.len() as u16).to_le_bytes());
        out.extend(extra);
    }
    for s in [fields.name, fields.comment].into_iter().flatten() {
        out.extend(s.bytes());
        out.push(0);
    }
    if fields.sum {
        out.extend((crc(&out) as u16).to_le_bytes());
    }
    let mut deflate = DeflateEncoder::new(out, flate2::Compression::default());
    deflate.write_all(plain).unwrap();
    let mut out = deflate.finish().unwrap();
    out.extend(crc(plain).to_le_bytes());
    out.extend((plain.len() as u32).to_le_bytes());
    out
}

pub fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// One zstd frame with a checksum.
pub fn frame(plain: &[u8], level: i32) -> Vec<u8> {
    let mut z = zstd::Encoder::new(Vec::new(), level).unwrap();
    z.include_checksum(true).unwrap();
    z.write_all(plain).unwrap();
    z.finish().unwrap()
}

/// A skippable zstd frame.
pub fn skippable(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0x50 | kind, 0x2a, 0x4d, 0x18];
    out.extend((content.len() as u32).to_le_bytes());
    out.extend(content);
    out
}

/// Reads in pieces of `step` bytes to the end.
pub fn read_all(input: &mut Input, step: usize) -> (Vec<u8>, Vec<Damage>) {
    let mut out = Vec::new();
    let mut buf = vec![0; step];
    loop {
        let n = input.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        out.extend(&buf[..n]);
    }
    input.finish();
    let damage: Vec<_> = std::iter::from_fn(|| input.take_damage()).collect();
    for d in &damage {
        assert!(d.in_stored_bytes() && d.block == 0, "{d}");
        let end = d.offset + d.skipped;
        assert!(d.resumed.is_none_or(|at| at >= d.offset && (d.skipped == 0 || at == end)), "{d:?}");
    }
    (out, damage)
}

pub fn memory(bytes: &[u8]) -> Input {
    Input::from_bytes(bytes, "memory", &Limits::default())
}

/// All of `bytes`, in big reads.
pub fn decode(bytes: &[u8]) -> (Vec<u8>, Vec<Damage>) {
    read_all(&mut memory(bytes), 1 << 16)
}

pub fn kinds(damage: &[Damage]) -> Vec<&'static str> {
    damage.iter().map(Damage::code).collect()
}

pub fn container(damage: &Damage) -> &ContainerDamage {
    match &damage.kind {
        DamageKind::Container(c) => c,
        other => panic!("{other:?}"),
    }
}

/// A pipe that gives one byte at a time and is interrupted now and then.
pub struct Drip(pub Vec<u8>, pub usize);

impl Read for Drip {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1 += 1;
        if self.1 % 7 == 3 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        match self.0.get(self.1 - 1 - (self.1 + 4) / 7) {
            Some(b) => {
                buf[0] = *b;
                Ok(1)
            }
            None => Ok(0),
        }
    }
}

pub fn drip(bytes: &[u8]) -> Input {
    Input::from_reader(Box::new(Drip(bytes.to_vec(), 0)), "pipe", &Limits::default()).unwrap()
}

/// Whether `part` occurs in `all`.
pub fn holds(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|w| w == part)
}
