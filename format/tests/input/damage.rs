//! Damaged input: what can be had is delivered, the rest is reported.

use std::io::Read;

use scapkit_format::{Compression, ContainerDamage, input::Input};

use crate::make::*;

/// Reads byte by byte until the reader ends or complains.
fn reference(mut reader: impl Read) -> Vec<u8> {
    let mut out = Vec::new();
    let mut byte = [0];
    while let Ok(1) = reader.read(&mut byte) {
        out.push(byte[0]);
    }
    out
}

/// Cuts `parts` (units of `container`) after every byte.
fn truncate(parts: &[Vec<u8>], tell: usize, container: &str, decode: impl Fn(&[u8]) -> Vec<u8>) {
    let stored = parts.concat();
    let mut ends = vec![0];
    for p in parts {
        ends.push(ends[ends.len() - 1] + p.len());
    }
    for cut in tell..=stored.len() {
        let part = &stored[..cut];
        let start = *ends.iter().rfind(|e| **e <= cut).unwrap();
        let plain = decode(part);
        for (mut input, step) in [(memory(part), 1 << 16), (memory(part), 1), (drip(part), 64)] {
            let (out, damage) = read_all(&mut input, step);
            assert!(out == plain, "cut at {cut}: {} bytes, wanted {}", out.len(), plain.len());
            if ends.contains(&cut) {
                assert_eq!(damage, [], "cut at {cut}");
                continue;
            }
            let [d] = &damage[..] else { panic!("cut at {cut}: {damage:?}") };
            assert_eq!((d.offset, d.skipped, d.resumed), (start as u64, 0, None), "cut at {cut}");
            let before = decode(&stored[..start]).len() as u64;
            match self::container(d) {
                ContainerDamage::Truncated { container: c, plain: p, .. } => {
                    assert_eq!((*c, *p), (container, plain.len() as u64 - before), "cut at {cut}");
                }
                other => panic!("cut at {cut}: {other:?}"),
            }
        }
    }
}

#[test]
fn gzip_cut_anywhere() {
    let fields = Fields { extra: Some(noise(1, 40)), name: Some("a.scap"), comment: Some("c"), sum: true };
    let parts =
        [member(&text(1, 900), 6), member_with(&text(2, 300), &fields), member(b"", 6), member(&noise(3, 100), 0)];
    truncate(&parts, 2, "gzip", |b| reference(flate2::read::MultiGzDecoder::new(b)));
}

#[test]
fn zstd_cut_anywhere() {
    let s = skippable(2, &noise(1, 30));
    let parts = [s.clone(), frame(&text(1, 900), 3), s.clone(), frame(&noise(3, 100), 1), s];
    truncate(&parts, 4, "zstd", |b| reference(zstd::Decoder::new(b).unwrap()));
    // Frames of several blocks: whole blocks are delivered.
    let several = frame(&text(7, 400_000), 3);
    for cut in (4..several.len()).step_by(1009) {
        let (out, damage) = decode(&several[..cut]);
        assert!(out == reference(zstd::Decoder::new(&several[..cut]).unwrap()), "cut at {cut}");
        assert_eq!(kinds(&damage), ["container-truncated"]);
    }
}

#[test]
fn trailing_bytes() {
    let plain = text(1, 500);
    let zeros = vec![0; 700_000];
    for good in [member(&plain, 6), frame(&plain, 3)] {
        for tail in [&b"\0"[..], &[0; 1000], b"hello, world", b"\x1e\x1f\x8b", &zeros] {
            for mut input in [memory(&[&good[..], tail].concat()), drip(&[&good[..], tail].concat())] {
                let (out, damage) = read_all(&mut input, 100);
                assert!(out == plain);
                let [d] = &damage[..] else { panic!("{damage:?}") };
                let n = tail.len() as u64;
                assert_eq!((d.offset, d.skipped, d.resumed), (good.len() as u64, n, None));
                assert!(matches!(container(d), ContainerDamage::Trailing { found, .. } if *found == n));
            }
        }
        // A member or frame after the garbage is not lost.
        let (out, damage) = decode(&[&good[..], b"garbage", &good].concat());
        assert!(out == plain.repeat(2));
        let [d] = &damage[..] else { panic!("{damage:?}") };
        assert_eq!((d.offset, d.skipped), (good.len() as u64, 7));
        assert_eq!(d.resumed, Some(good.len() as u64 + 7));
        assert_eq!(d.code(), "container-corrupt");
    }
}

#[test]
fn half_a_start_after_the_last_unit_is_truncated() {
    for (good, n) in [(member(b"abc", 6), 4), (frame(b"abc", 3), 4), (skippable(0, b"abc"), 7)] {
        for cut in 1..n {
            let (_, damage) = decode(&[&good[..], &good[..cut]].concat());
            assert_eq!(kinds(&damage), ["container-truncated"], "{cut}");
        }
    }
}

#[test]
fn every_single_byte_of_three_gzip_members() {
    let plain = [text(1, 150), text(2, 150), text(3, 150)];
    let parts = plain.each_ref().map(|p| member(p, 6));
    let stored = parts.concat();
    let (mut silent, mut lost) = (0, Vec::new());
    for at in 0..stored.len() {
        let (hit, start) = match at {
            _ if at < parts[0].len() => (0, 0),
            _ if at < parts[0].len() + parts[1].len() => (1, parts[0].len()),
            _ => (2, parts[0].len() + parts[1].len()),
        };
        for flip in (0..8).map(|b| 1 << b).chain([0xff, 0x18, 0x06]) {
            let mut bad = stored.clone();
            bad[at] ^= flip;
            // An extra field is skipped by its length: past the end of this little file.
            let extra = at == start + 3 && flip & 4 != 0;
            for (mut input, step) in [(memory(&bad), 1 << 16), (memory(&bad), 1), (drip(&bad), 64)] {
                let (out, damage) = read_all(&mut input, step);
                if at < 2 {
                    assert_eq!(input.compression(), Compression::None);
                    continue;
                }
                if damage.is_empty() {
                    assert!(out == plain.concat(), "byte {at} ^ {flip:#x}: wrong and not reported");
                    silent += 1;
                }
                for (i, p) in plain.iter().enumerate() {
                    if i != hit && !(extra && i > hit) && !holds(&out, p) {
                        lost.push(format!("byte {at} ^ {flip:#x}: member {i}: {damage:?}"));
                    }
                }
            }
        }
    }
    // Six header bytes per member (time, extra flags, system) say nothing that is checked, nor do
    // the text flag and the unused bits of the last deflate byte.
    let free = 3 * 3 * 6 * 11;
    assert!((free..free + free / 10).contains(&silent), "{silent}");
    assert!(lost.is_empty(), "{} lost\n{}", lost.len(), lost.join("\n"));
}

#[test]
fn every_single_byte_of_three_zstd_frames() {
    let plain = [text(1, 150), text(2, 150), text(3, 150)];
    let parts = plain.each_ref().map(|p| frame(p, 3));
    let stored = parts.concat();
    for at in 4..stored.len() {
        let hit = usize::from(at >= parts[0].len()) + usize::from(at >= parts[0].len() + parts[1].len());
        for flip in (0..8).map(|b| 1 << b).chain([0xff]) {
            let mut bad = stored.clone();
            bad[at] ^= flip;
            for (mut input, step) in [(memory(&bad), 1 << 16), (memory(&bad), 1), (drip(&bad), 64)] {
                let (out, damage) = read_all(&mut input, step);
                assert!(!damage.is_empty() || out == plain.concat(), "byte {at} ^ {flip:#x}");
                // A block whose length grew takes in all that follows in this little file.
                let swallowed = kinds(&damage) == ["container-truncated"];
                for (i, p) in plain.iter().enumerate() {
                    assert!(
                        i == hit || holds(&out, p) || (swallowed && i > hit),
                        "byte {at} ^ {flip:#x}: frame {i}: {damage:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn large_members_after_a_bad_one() {
    // Larger than the buffer, so that the bad one's start is gone when the fault is met.
    let plain = [1, 2, 3].map(|i| text(i, 3_000_000));
    let gz = plain.each_ref().map(|p| member(p, 6));
    let zst = plain.each_ref().map(|p| frame(p, 3));
    for (parts, c) in [(gz, "gzip"), (zst, "zstd")] {
        let mut stored = parts.concat();
        let at = parts[0].len() + parts[1].len() / 2;
        stored[at..at + 8192].copy_from_slice(&noise(7, 8192));
        for step in [1000, 1 << 20] {
            let (out, damage) = read_all(&mut memory(&stored), step);
            assert!(out.starts_with(&plain[0]) && out.ends_with(&plain[2]), "{c}");
            let good = out.iter().zip(plain.iter().flatten()).take_while(|(a, b)| a == b).count();
            // All but what the library was at when it noticed.
            assert!(good > 4_200_000, "{c}: only {good} bytes before the fault");
            let [d] = &damage[..] else { panic!("{c}: {damage:?}") };
            assert_eq!(d.code(), "container-corrupt");
            let third = (parts[0].len() + parts[1].len()) as u64;
            assert_eq!((d.resumed, d.offset + d.skipped), (Some(third), third), "{c}");
            assert!(d.offset.abs_diff(at as u64) < 150_000, "{c}: {d}");
        }
    }
}

#[test]
fn checksum_and_length_of_a_member() {
    let (a, b) = (text(1, 500), text(2, 400));
    let mut stored = [member(&a, 6), member(&b, 6)].concat();
    let end = member(&a, 6).len();
    stored[end - 8] ^= 1;
    let (out, damage) = decode(&stored);
    assert!(out == [&a[..], &b].concat());
    let [d] = &damage[..] else { panic!("{damage:?}") };
    assert_eq!(d.offset, end as u64 - 8);
    let (wanted, found) = (u64::from(crc(&a) ^ 1), u64::from(crc(&a)));
    assert_eq!(
        *container(d),
        ContainerDamage::Checksum { container: "gzip", unit: "member", what: "checksum", wanted, found }
    );
    stored[end - 8] ^= 1;
    stored[end - 4] ^= 2;
    let (_, damage) = decode(&stored);
    assert_eq!(damage[0].offset, end as u64 - 4);
    assert!(damage[0].to_string().contains("length is 0x1f4, wanted 0x1f6"), "{}", damage[0]);
}

#[test]
fn checksum_of_a_frame() {
    let (a, b) = (text(1, 500_000), text(2, 400));
    let mut stored = [frame(&a, 3), frame(&b, 3)].concat();
    let end = frame(&a, 3).len();
    stored[end - 1] ^= 1;
    for mut input in [memory(&stored), drip(&stored)] {
        let (out, damage) = read_all(&mut input, 70_000);
        assert!(out == [&a[..], &b].concat());
        let [d] = &damage[..] else { panic!("{damage:?}") };
        assert_eq!((d.skipped, d.resumed), (0, Some(end as u64)));
        assert!(d.to_string().contains("checksum"), "{d}");
    }
}

#[test]
fn one_read_does_not_span_a_gap() {
    let (a, b) = (text(1, 5000), text(2, 5000));
    for (good, mut bad) in [(member(&b, 6), member(&a, 6)), (frame(&b, 3), frame(&a, 3))] {
        let n = bad.len();
        bad.truncate(n - 20);
        let mut input: Input = memory(&[&bad[..], &[0xff; 30], &good].concat());
        let mut buf = vec![0; 1 << 20];
        let mut reads = Vec::new();
        loop {
            let n = input.read(&mut buf).unwrap();
            let damage = std::iter::from_fn(|| input.take_damage()).count();
            if n == 0 {
                break;
            }
            reads.push((buf[..n].to_vec(), damage));
        }
        let (last, before) = reads.split_last().unwrap();
        assert!(last.0 == b && last.1 == 1, "{} bytes, {} damage", last.0.len(), last.1);
        assert!(before.iter().all(|r| r.1 == 0));
    }
}

#[test]
fn the_search_goes_back_over_a_refill() {
    // The length of an extra field takes in the next member, wherever in the buffer that happens.
    let (c, d) = (text(3, 1000), noise(4, 150_000));
    for before in (0..400_000).step_by(9973) {
        let a = noise(1, before);
        let long = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 3, 0x60, 0xea]; // 60,000 bytes of extra field
        let (out, damage) = decode(&[&member(&a, 0)[..], &long, &member(&c, 6), &member(&d, 0)].concat());
        // In between may be what the bytes after the false field inflate to.
        let whole = out.starts_with(&a) && out.ends_with(&[&c[..], &d].concat());
        assert!(whole, "{before}: {damage:?}");
        assert_eq!(kinds(&damage), ["container-corrupt"]);
    }
}

#[test]
fn blocks_before_a_bad_one_are_delivered() {
    let raw = |n: u32, byte| [&(n << 3).to_le_bytes()[..3], &vec![byte; n as usize]].concat();
    let stored = [b"\x28\xb5\x2f\xfd\0\x38", &raw(1000, b'a')[..], &raw(900, b'b'), b"\x07\0\0"].concat();
    for mut input in [memory(&stored), drip(&stored)] {
        let (out, damage) = read_all(&mut input, 4096);
        assert_eq!(out.len(), 1900);
        assert_eq!(kinds(&damage), ["container-corrupt"]);
    }
}

#[test]
fn a_false_start_gives_nothing() {
    let good = member(&text(1, 500), 6);
    // Looks like a member, gives three bytes, then has a block of a type that does not exist.
    let mut deflate = flate2::Compress::new(flate2::Compression::default(), false);
    let mut bytes = Vec::with_capacity(100);
    deflate.compress_vec(b"abc", &mut bytes, flate2::FlushCompress::Sync).unwrap();
    let false_start = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03", &bytes[..], b"\x07"].concat();
    let (out, damage) = decode(&[&good[..], b"...", &false_start, b"...", &good].concat());
    assert!(out == text(1, 500).repeat(2));
    let [d] = &damage[..] else { panic!("{damage:?}") };
    assert_eq!((d.offset, d.skipped), (good.len() as u64, 6 + false_start.len() as u64));
}
