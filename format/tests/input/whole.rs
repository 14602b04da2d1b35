//! Undamaged input comes back byte for byte.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use proptest::prelude::*;
use scapkit_format::{Compression, Error, Limits, input::Input};

use crate::make::*;

/// The same bytes from memory, a file and a slow pipe, in small and large reads.
fn from_everywhere(stored: &[u8], plain: &[u8], compression: Compression) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(stored).unwrap();
    for step in [1, 7, 4096, 1 << 20] {
        let file = Input::open(file.path(), &Limits::default()).unwrap();
        for (mut input, len) in [(memory(stored), Some(stored.len())), (file, Some(stored.len())), (drip(stored), None)]
        {
            assert_eq!(input.stored_len(), len.map(|n| n as u64));
            assert_eq!(input.compression(), Compression::None, "nothing read yet");
            let (out, damage) = read_all(&mut input, step);
            assert!(out == plain, "{}: {} bytes, wanted {}", input.name(), out.len(), plain.len());
            assert_eq!(damage, []);
            assert_eq!(input.compression(), compression);
            assert_eq!(input.stored_position(), stored.len() as u64);
        }
    }
}

#[test]
fn plain() {
    let data = text(1, 5000);
    from_everywhere(&data, &data, Compression::None);
    from_everywhere(b"", b"", Compression::None);
    // First bytes that nearly are those of a compressed file.
    for start in [&b"\x1f\x8c"[..], b"\x28\xb5\x2f\xfe", b"\x5f\x2a\x4d\x19", b"\x60\x2a\x4d\x18", b"\x0a"] {
        from_everywhere(start, start, Compression::None);
    }
}

#[test]
fn too_short_to_tell_is_plain_after_finish() {
    for start in [&b"\x1f"[..], b"\x28", b"\x28\xb5\x2f", b"P", b"P\x2a\x4d"] {
        let mut input = memory(start);
        assert_eq!(read_all(&mut input, 10), (vec![], vec![]));
        assert_eq!(read_all(&mut input, 10), (start.to_vec(), vec![]));
    }
}

#[test]
fn gzip_members() {
    let (a, b) = (text(1, 3000), noise(2, 700));
    let one = member(&a, 6);
    from_everywhere(&one, &a, Compression::Gzip);
    from_everywhere(&member(b"", 6), b"", Compression::Gzip);
    let many = [&one[..], &member(b"", 9), &member(&b, 1), &member(b"", 0), &member(b"x", 0)].concat();
    from_everywhere(&many, &[&a[..], &b, b"x"].concat(), Compression::Gzip);
}

#[test]
fn gzip_header_fields() {
    let plain = text(3, 500);
    for bits in 0..16 {
        for extra in [0, 1, 300, 65535] {
            let fields = Fields {
                extra: (bits & 1 != 0).then(|| noise(4, extra)),
                name: (bits & 2 != 0).then_some("trace.scap"),
                comment: (bits & 4 != 0).then_some(""),
                sum: bits & 8 != 0,
            };
            let empty = Fields { extra: Some(noise(5, extra)), ..Fields::default() };
            let stored = [member_with(&plain, &fields), member_with(b"", &empty)].concat();
            for mut input in [memory(&stored), drip(&stored)] {
                assert_eq!(read_all(&mut input, 999), (plain.clone(), vec![]), "{fields:?}");
            }
            // The hand-made members are what others take for gzip, too.
            let mut check = Vec::new();
            flate2::read::MultiGzDecoder::new(&stored[..]).read_to_end(&mut check).unwrap();
            assert!(check == plain);
        }
    }
}

#[test]
fn zstd_frames_and_skippable_frames() {
    let (a, b) = (text(1, 300_000), noise(2, 700));
    from_everywhere(&frame(b"", 3), b"", Compression::Zstd);
    let s = skippable(14, &noise(9, 1000));
    let (fa, fb) = (frame(&a, 3), frame(&b, 1));
    let both = [&a[..], &b].concat();
    from_everywhere(&[&fa[..], &fb].concat(), &both, Compression::Zstd);
    from_everywhere(&[&s[..], &fa, &fb].concat(), &both, Compression::Zstd);
    from_everywhere(&[&fa[..], &s, &skippable(0, b""), &fb].concat(), &both, Compression::Zstd);
    from_everywhere(&[&fa[..], &frame(b"", 1), &fb, &s].concat(), &both, Compression::Zstd);
    from_everywhere(&s, b"", Compression::Zstd);
    // A skippable frame larger than the buffer, full of frame magics.
    let large = skippable(1, &[0x28, 0xb5, 0x2f, 0xfd].repeat(300_000));
    assert_eq!(decode(&[&large[..], &fb, &large].concat()), (b, vec![]));
}

#[test]
fn a_fifo_is_read_as_a_stream() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let stored = member(&text(1, 10_000), 6);
    let writer = std::thread::spawn({
        let path = path.clone();
        move || std::fs::write(path, stored).unwrap()
    });
    let mut input = Input::open(&path, &Limits::default()).unwrap();
    assert_eq!(input.stored_len(), None);
    assert_eq!(read_all(&mut input, 777), (text(1, 10_000), vec![]));
    writer.join().unwrap();
}

#[test]
fn errors_name_the_input() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("missing")] {
        let Err(Error::Input { name, what: "open", offset: 0, .. }) = Input::open(&path, &Limits::default()) else {
            panic!("{path:?} opened");
        };
        assert_eq!(name, path.display().to_string());
    }
}

/// Gives its pieces one by one, counting how often it was asked; then fails.
struct Pieces(std::vec::IntoIter<Vec<u8>>, Arc<AtomicUsize>);

impl Read for Pieces {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.1.fetch_add(1, Relaxed);
        let piece = self.0.next().ok_or_else(|| io::Error::other("gone"))?;
        buf[..piece.len()].copy_from_slice(&piece);
        Ok(piece.len())
    }
}

#[test]
fn a_stream_gives_what_has_come() {
    let (a, b) = (text(1, 4000), text(2, 4000));
    let plain = [&a[..], &b].concat();
    for (first, second) in [(a.clone(), b.clone()), (member(&a, 6), member(&b, 6)), (frame(&a, 3), frame(&b, 3))] {
        let stored = [&first[..], &second].concat();
        let (now, later) = stored.split_at(first.len() + 5);
        let asked = Arc::new(AtomicUsize::new(0));
        let pieces = Pieces(vec![now.to_vec(), later.to_vec()].into_iter(), asked.clone());
        let mut input = Input::from_reader(Box::new(pieces), "pipe", &Limits::default()).unwrap();
        let (mut out, mut buf) = (Vec::<u8>::new(), vec![0; 100_000]);
        for round in 1.. {
            match input.read(&mut buf) {
                Ok(n) => out.extend(&buf[..n]),
                Err(e) => {
                    assert_eq!(e.to_string(), format!("pipe: cannot read at byte {}: gone", stored.len()));
                    break;
                }
            }
            // A second question could wait for ever with bytes in hand.
            assert_eq!(asked.load(Relaxed), round);
        }
        assert_eq!(out, plain);
    }
}

#[test]
fn is_send() {
    fn check<T: Send>() {}
    check::<Input>();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_bytes_any_split_any_read_size(
        parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..3000), 0u32..10, 0usize..400), 1..6),
        steps in prop::collection::vec(1usize..5000, 1..8),
        slow: bool,
    ) {
        let plain: Vec<u8> = parts.iter().flat_map(|p| p.0.clone()).collect();
        let gz: Vec<u8> = parts.iter().flat_map(|(data, level, extra)| {
            let extra = Fields { extra: Some(noise(1, *extra)), ..Fields::default() };
            [member(data, *level), member_with(b"", &extra)].concat()
        }).collect();
        let zst: Vec<u8> = parts.iter().flat_map(|(data, level, extra)| {
            [frame(data, level.cast_signed()), skippable(3, &noise(2, *extra))].concat()
        }).collect();
        for stored in [gz, zst] {
            let mut input = if slow { drip(&stored) } else { memory(&stored) };
            let mut out: Vec<u8> = Vec::new();
            for step in steps.iter().cycle() {
                let mut buf = vec![0; *step];
                let n = input.read(&mut buf).unwrap();
                if n == 0 { break; }
                out.extend(&buf[..n]);
            }
            input.finish();
            prop_assert_eq!(input.take_damage(), None);
            prop_assert!(out == plain);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        magic in prop::sample::select(vec![&b"\x1f\x8b\x08\x00"[..], b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x50\x2a\x4d\x18", b""]),
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        step in 1usize..3000,
    ) {
        read_all(&mut memory(&[magic, &bytes].concat()), step);
    }
}
