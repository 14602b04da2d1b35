//! How fast a stream of gVisor becomes a capture, on one thread:
//!
//!     cargo bench -p scapkit-capture --bench gvisor_convert [-- STREAM [MIB]]
//!
//! The packets of STREAM (a `.gvstream` of one connection; without one, `corpus/sandbox.gvstream`) are repeated until
//! there are MIB of them (256). Prints messages a second, the median of five; `scapkit convert` writes what is made here
//! to a file besides.

use scapkit_capture::gvisor::reader::AsCapture;
use scapkit_capture::gvisor::stream::{Reader, StreamLimits, What, Writer};
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Bytes that a writer and its user share.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn main() {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus/sandbox.gvstream");
    let file = args.next().map_or_else(default, PathBuf::from);
    let mib: usize = args.next().map_or(256, |arg| arg.parse().expect("MIB"));
    let mut all = Vec::new();
    let mut reader = Reader::new(std::fs::File::open(&file).expect("STREAM"), StreamLimits::default()).unwrap();
    while let Some(sent) = reader.next().unwrap() {
        all.push(sent);
    }
    let out = Shared::default();
    let mut writer = Writer::new(out.clone());
    let packets: Vec<_> = all.iter().filter(|s| matches!(s.what, What::Packet(_))).collect();
    assert!(!packets.is_empty(), "{}: no packets", file.display());
    all.iter().filter(|s| s.what == What::Opened).try_for_each(|sent| writer.sent(sent)).unwrap();
    let mut messages = 0usize;
    while writer.written() < (mib as u64) << 20 {
        packets.iter().try_for_each(|sent| writer.sent(sent)).unwrap();
        messages += packets.len();
    }
    writer.flush().unwrap();
    drop(writer);
    let stream = std::mem::take(&mut *out.0.lock().unwrap());
    let mut rates: Vec<f64> = (0..5)
        .map(|_| {
            let reader = Reader::new(Cursor::new(stream.clone()), StreamLimits::default()).unwrap();
            let mut capture = AsCapture::new(reader, None);
            let (mut bytes, start) = (0, Instant::now());
            while capture
                .blocks(|block, _| {
                    bytes += block.len();
                    Ok::<(), scapkit_capture::Error>(())
                })
                .unwrap()
            {}
            let seconds = start.elapsed().as_secs_f64();
            println!("{messages} messages, {bytes} bytes of a capture in {seconds:.3} s");
            messages as f64 / seconds
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!("median {:.2} M messages/s", rates[2] / 1e6);
}
