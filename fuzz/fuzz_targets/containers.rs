//! Compressed containers with small limits: they end, and give no more than the limits allow.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_format::Limits;
use scapkit_format::input::Input;

const LIMITS: Limits = Limits {
    max_block: 1 << 20,
    max_list_entries: 4096,
    max_string: u16::MAX,
    max_frame_plain: 1 << 20,
    max_expansion: 50,
    expansion_grace: 64 << 10,
    max_zstd_window_log: 20,
};

/// Plain bytes that one member or frame of `len` stored bytes may give: what the limits say and one
/// read's worth, since they are looked at after each read.
fn bound(len: u64) -> u64 {
    // The smallest member that gives anything has more than 8 bytes.
    (len / 8 + 1) * (LIMITS.expansion_grace + (128 << 10)) + len * LIMITS.max_expansion
}

fuzz_target!(|data: &[u8]| {
    let (mut sizes, mut whole) = (Vec::new(), true);
    for buffer in [4096usize, 65_536, 7] {
        let mut input = Input::from_bytes(data, "fuzz", &LIMITS);
        let mut buf = vec![0; buffer];
        let (mut total, mut damages, mut hash) = (0u64, 0, 0u64);
        for finished in [false, true] {
            if finished {
                input.finish();
            }
            loop {
                let n = input.read(&mut buf).expect("memory can be read");
                if n == 0 {
                    break;
                }
                total += n as u64;
                hash = buf[..n].iter().fold(hash, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(*b) + 1));
                assert!(total <= bound(data.len() as u64), "{total} bytes of {}", data.len());
                if buffer < 16 && total > 4096 {
                    return;
                }
            }
        }
        while let Some(damage) = input.take_damage() {
            let _ = damage.to_string();
            damages += 1;
            assert!(damages <= 4096);
        }
        assert!(input.stored_position() <= data.len() as u64);
        sizes.push((total, hash));
        whole &= damages == 0;
    }
    // The size of the caller's buffer makes no difference to what comes out of an undamaged input.
    // (What a damaged one gives depends on how much a false start gave in one go.)
    if whole {
        assert!(sizes.windows(2).all(|w| w[0] == w[1]), "{sizes:?}");
    }
});
