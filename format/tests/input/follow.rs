//! Files that grow and shrink while they are read.

use std::fs::OpenOptions;
use std::io::Write;

use scapkit_format::{Limits, input::Input};

use crate::make::*;

/// Appends `stored` in pieces; after each, reads all there is.
fn grow(stored: &[u8], plain: &[u8], piece: usize) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let mut input = Input::open(file.path(), &Limits::default()).unwrap();
    let (mut out, mut buf) = (Vec::new(), vec![0; 1000]);
    let mut arrived = 0;
    for part in stored.chunks(piece) {
        file.write_all(part).unwrap();
        arrived += part.len();
        loop {
            let n = input.read(&mut buf).unwrap();
            out.extend(&buf[..n]);
            if n == 0 {
                break;
            }
        }
        assert!(plain.starts_with(&out));
        assert_eq!(input.stored_len(), Some(arrived as u64));
    }
    input.finish();
    assert_eq!(input.take_damage(), None);
    assert!(out == plain, "{} bytes, wanted {}", out.len(), plain.len());
}

#[test]
fn a_growing_file() {
    let (a, b) = (text(1, 6000), noise(2, 500));
    let plain = [&a[..], &b].concat();
    let fields = Fields { extra: Some(noise(3, 100)), name: Some("x"), comment: None, sum: true };
    let gz = [member(&a, 6), member_with(b"", &fields), member(&b, 6), member_with(b"", &fields)].concat();
    let s = skippable(5, &noise(4, 100));
    let zst = [&s[..], &frame(&a, 3), &s, &frame(&b, 3), &s].concat();
    for piece in [1, 2, 3, 50, 997] {
        grow(&plain, &plain, piece);
        grow(&gz, &plain, piece);
        grow(&zst, &plain, piece);
    }
}

#[test]
fn a_flushed_part_of_a_member_is_there_at_once() {
    // What upstream's recorder does: full flushes in one member.
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let mut input = None;
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut written = 0;
    for i in 0..20 {
        let part = text(i, 700);
        gz.write_all(&part).unwrap();
        gz.flush().unwrap();
        file.as_file().write_all(&gz.get_ref()[written..]).unwrap();
        written = gz.get_ref().len();
        let input = input.get_or_insert_with(|| Input::open(file.path(), &Limits::default()).unwrap());
        let mut buf = vec![0; 5000];
        let n = input.read(&mut buf).unwrap();
        assert!(buf[..n] == part, "part {i}");
        assert_eq!(input.read(&mut buf).unwrap(), 0);
    }
}

#[test]
fn a_shrinking_file_is_a_short_read() {
    let plain = noise(1, 2_000_000);
    for stored in [plain.clone(), member(&plain, 1), frame(&plain, 1)] {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().write_all(&stored).unwrap();
        let mut input = Input::open(file.path(), &Limits::default()).unwrap();
        let mut first = vec![0; 1000];
        let n = input.read(&mut first).unwrap();
        OpenOptions::new().write(true).open(file.path()).unwrap().set_len(500).unwrap();
        let (rest, damage) = read_all(&mut input, 4096);
        let out = [&first[..n], &rest].concat();
        assert!(out.len() < 1_000_000 && plain.starts_with(&out));
        assert!(damage.len() <= 1 && damage.iter().all(|d| d.code() == "container-truncated"));
    }
}
