//! What the benches read: a capture given, the project's shared one, or one made on the spot.

use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Limits, input::Input};
use std::path::{Path, PathBuf};

/// Size of the capture that is made.
const SYNTHETIC: u64 = 200 << 20;

/// A capture's name and plain bytes: the first argument, else the shared benchmark capture
/// (`SCAPKIT_SHARED`, or `shared` beside the project), else a synthetic one.
pub fn capture() -> (String, Vec<u8>) {
    let given = std::env::args().skip(1).find(|a| !a.starts_with('-')).map(PathBuf::from);
    let shared = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from)
        .join("captures/heavy_2026.scap.zst");
    match given.or_else(|| shared.exists().then_some(shared)) {
        Some(path) => (path.display().to_string(), plain(&path)),
        None => ("synthetic".to_owned(), synthetic()),
    }
}

fn plain(path: &Path) -> Vec<u8> {
    let mut input = Input::open(path, &Limits::default()).expect("capture opens");
    let (mut bytes, mut at) = (Vec::new(), 0);
    loop {
        bytes.resize(at + (8 << 20), 0);
        let n = input.read(&mut bytes[at..]).expect("capture reads");
        at += n;
        if n == 0 {
            bytes.truncate(at);
            return bytes;
        }
    }
}

/// A busy server: threads that open, read, write and close files, with data that compress about as
/// well as text does.
fn synthetic() -> Vec<u8> {
    let mut s = Synth::new();
    s.section().machine("bench", 8, 0);
    let mut seed = 1u64;
    let mut next = move |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let words: Vec<String> = (0..512).map(|i| format!("{:x}-", i * i * 7 + next(90_000))).collect();
    let mut ts = 1_700_000_000_000_000_000;
    while s.offset() < SYNTHETIC {
        let tid = 1_000 + next(64) as i64;
        let fd = 3 + next(40) as i64;
        let text: String = (0..2 + next(14)).map(|_| words[next(512) as usize].as_str()).collect();
        let path = format!("/srv/data/{}/{}", words[next(16) as usize], words[next(512) as usize]);
        let io = Params::new().i64(text.len() as i64).bytes(text.as_bytes()).i64(fd).u32(4_096);
        let opened = Params::new().i64(fd).i64(-100).str(&path).u32(4_097).u32(0).u32(0x801).u64(next(1 << 20));
        let memory = Params::new().i64(tid + 1).u64(0).u64(next(9_000)).u32(90_112).u32(20_000).u32(0);
        for (event_type, params) in [
            (id::SYSCALL_OPENAT_2_X, &opened),
            (id::SYSCALL_READ_X, &io),
            (id::SCHEDSWITCH_6_E, &memory),
            (id::SYSCALL_WRITE_X, &io),
            (id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(fd)),
        ] {
            ts += 300 + next(20_000);
            s.event(ts, tid, event_type, params);
        }
    }
    s.finish()
}

/// The median of some runs.
pub fn median(mut runs: Vec<f64>) -> f64 {
    runs.sort_by(f64::total_cmp);
    runs[runs.len() / 2]
}
