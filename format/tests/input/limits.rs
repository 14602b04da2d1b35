//! Hostile input costs bounded time and memory.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::{Compress, Compression, FlushCompress};
use scapkit_format::{ContainerDamage, Damage, Limits, input::Input};

use crate::make::*;

/// Reads all; gives plain bytes, damage and time.
fn drain(stored: &[u8], limits: &Limits) -> (u64, Vec<Damage>, Duration) {
    let start = Instant::now();
    let mut input = Input::from_bytes(stored, "bomb", limits);
    let (mut plain, mut buf) = (0, vec![0; 1 << 20]);
    loop {
        let n = input.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        plain += n as u64;
    }
    assert_eq!(input.read(&mut buf).unwrap(), 0, "the end is the end");
    input.finish();
    let damage = std::iter::from_fn(|| input.take_damage()).collect();
    (plain, damage, start.elapsed())
}

/// 10 MB of one gzip member that holds nothing but zeros, about 10 GB of them.
fn gzip_bomb() -> Vec<u8> {
    // One piece that ends with a full flush can be repeated.
    let mut deflate = Compress::new(Compression::new(9), false);
    let mut piece = Vec::with_capacity(1 << 20);
    deflate.compress_vec(&vec![0; 16 << 20], &mut piece, FlushCompress::Full).unwrap();
    assert_eq!(deflate.total_in(), 16 << 20);
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    while out.len() < 10_000_000 {
        out.extend(&piece);
    }
    out
}

/// 10 MB of one zstd frame of RLE blocks of 128 KiB, 327 GB.
fn zstd_bomb() -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
    let block = (131_072_u32 << 3 | 1 << 1).to_le_bytes();
    out.extend(block.repeat(2_500_000)); // the fourth byte, 0, is the one repeated
    out
}

#[test]
fn bombs() {
    let limits = Limits::default();
    for bomb in [gzip_bomb(), zstd_bomb()] {
        assert!(bomb.len() >= 10_000_000);
        let (plain, damage, time) = drain(&bomb, &limits);
        assert!(plain > limits.expansion_grace && plain < limits.expansion_grace + (2 << 20), "{plain}");
        let [d] = &damage[..] else { panic!("{damage:?}") };
        assert_eq!((d.code(), d.offset, d.resumed), ("container-expansion", 0, None));
        assert!(d.skipped > 9_000_000, "{d}");
        assert!(d.to_string().contains("300 times its size (max-expansion)"), "{d}");
        assert!(time < Duration::from_secs(10), "{time:?}");
    }
}

#[test]
fn many_small_bombs() {
    let zeros = vec![0; 4 << 20];
    let limits = Limits::default();
    for one in [member(&zeros, 9), frame(&zeros, 3)] {
        assert!(one.len() < 5000);
        let (plain, damage, _) = drain(&one.repeat(400), &limits);
        assert!(plain > limits.expansion_grace && plain < limits.expansion_grace + (2 << 20), "{plain}");
        let [d] = &damage[..] else { panic!("{damage:?}") };
        assert!(matches!(container(d), ContainerDamage::Expansion { unit: "stream", .. }), "{d}");
    }
}

#[test]
fn most_plain_bytes_of_a_unit_are_exact() {
    let data = text(1, 100_000);
    for one in [member(&data, 6), frame(&data, 3)] {
        for (max, wanted) in [(99_999, 99_999), (1, 1), (0, 0)] {
            let limits = Limits { max_frame_plain: max, ..Limits::default() };
            let (plain, damage, _) = drain(&one.repeat(3), &limits);
            assert_eq!(plain, wanted);
            let [d] = &damage[..] else { panic!("{damage:?}") };
            assert!(d.to_string().contains("plain bytes (max-frame-plain)"), "{d}");
        }
        let limits = Limits { max_frame_plain: 100_000, ..Limits::default() };
        let (plain, damage, _) = drain(&one.repeat(3), &limits);
        assert_eq!((plain, damage), (300_000, vec![]));
    }
}

#[test]
fn the_grace_and_the_ratio() {
    let zeros = vec![0; 1 << 20];
    for one in [member(&zeros, 9), frame(&zeros, 3)] {
        let inside = Limits { expansion_grace: 1 << 20, max_expansion: 2, ..Limits::default() };
        assert_eq!(drain(&one, &inside).0, 1 << 20);
        let over = Limits { expansion_grace: (1 << 20) - 1, ..inside };
        assert_eq!(kinds(&drain(&one, &over).1), ["container-expansion"]);
        let wide = Limits { expansion_grace: 0, max_expansion: 1 << 20, ..inside };
        assert_eq!(drain(&one, &wide).1, []);
    }
}

#[test]
fn window_over_the_limit() {
    let good = frame(&text(1, 1000), 3);
    // Window 2^28, one raw block of 3 bytes.
    let wide = [&[0x28, 0xb5, 0x2f, 0xfd, 0, 18 << 3][..], &[3 << 3 | 1, 0, 0], b"abc"].concat();
    let (out, damage) = decode(&[&good[..], &wide, &good].concat());
    assert!(out == text(1, 1000).repeat(2));
    let [d] = &damage[..] else { panic!("{damage:?}") };
    assert_eq!(d.code(), "container-corrupt");
    assert!(d.to_string().contains("too much memory") && d.to_string().contains("max-zstd-window-log"), "{d}");
    let limits = Limits { max_zstd_window_log: 28, ..Limits::default() };
    assert_eq!(read_all(&mut Input::from_bytes(wide.clone(), "w", &limits), 9), (b"abc".to_vec(), vec![]));
    // Limits beyond the library's own bounds are brought to them.
    for max_zstd_window_log in [0, 99] {
        let limits = Limits { max_zstd_window_log, ..Limits::default() };
        read_all(&mut Input::from_bytes(wide.clone(), "w", &limits), 9);
    }
}

/// A file of nothing but false starts must not be read again and again.
#[test]
fn false_starts() {
    let limits = Limits::default();
    let floods: [(&[u8], Vec<u8>); 6] = [
        (b"\x1f\x8b\x08\x08", member(b"x", 6)), // names that do not end
        (b"\x1f\x8b\x08\x04", member(b"x", 6)), // extra fields
        (b"\x1f\x8b\x08\0", member(b"x", 6)),
        // Stored blocks of 16 KiB, each with the next start in it.
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0\0\0\x40\xff\xbf", member(b"x", 6)),
        (b"\x28\xb5\x2f\xfd", frame(b"x", 3)),
        (b"\x28\xb5\x2f\xfd\0\x38\0\0\x08", frame(b"x", 3)), // raw blocks of 64 KiB
    ];
    for (i, (flood, good)) in floods.iter().enumerate() {
        let mut stored = good.clone();
        stored.extend(flood.repeat((8 << 20) / flood.len()));
        let (plain, damage, time) = drain(&stored, &limits);
        eprintln!("flood {i}: {plain} plain bytes, {} damage, {time:?}", damage.len());
        assert!(!damage.is_empty());
        assert!(plain < 10 * stored.len() as u64 + (64 << 20), "flood {i}: {plain}");
        assert!(time < Duration::from_secs(20), "flood {i}: {time:?}");
    }
}

#[test]
fn damage_does_not_pile_up() {
    let mut one = member(b"", 6);
    let n = one.len();
    one[n - 1] ^= 1;
    let (_, damage, _) = drain(&one.repeat(50_000), &Limits::default());
    assert_eq!(damage.len(), 4096);
    assert_eq!(damage[4095].resumed, Some(50_000 * n as u64));
}

#[test]
fn a_large_buffer_is_filled_in_one_read() {
    let data = text(1, 3_000_000);
    for stored in [member(&data, 6), frame(&data, 3)] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&stored).unwrap();
        let mut input = Input::open(file.path(), &Limits::default()).unwrap();
        let mut buf = vec![0; 4_000_000];
        assert_eq!(input.read(&mut buf).unwrap(), data.len());
    }
}
