//! The whole way: every check over any bytes, then written in each profile and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_format::profile::{Profile, ProfileWriter};
use scapkit_format::verify::verify;
use scapkit_format::write::{ChunkWriter, Trailer, WriteOptions};
use scapkit_format::{Capture, Compression, DamageKind, Item, Limits};
use std::io::Write;
use std::sync::{Arc, Mutex};

const LIMITS: Limits = Limits {
    max_block: 1 << 20,
    max_list_entries: 4096,
    max_string: u16::MAX,
    max_frame_plain: 1 << 20,
    max_expansion: 50,
    expansion_grace: 64 << 10,
    max_zstd_window_log: 20,
};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What `scapkit convert` does. Gives the bytes and whether the input was plain.
fn convert(data: &[u8], profile: Profile, compression: Compression) -> (Vec<u8>, bool) {
    let mut capture = Capture::from_bytes(data.to_vec(), "fuzz", LIMITS);
    let memory = Memory::default();
    let options = WriteOptions { compression, threads: 0, chunk_size: 4096, level: Some(1), ..WriteOptions::default() };
    let options =
        WriteOptions { level: if compression == Compression::None { None } else { options.level }, ..options };
    let writer = ChunkWriter::from_writer(Box::new(memory.clone()), "memory", &options).expect("options");
    let mut writer = ProfileWriter::new(writer, profile);
    while let Ok(Some(item)) = capture.next() {
        match item {
            Item::Block(block, content) => writer.block(&block, &content).expect("whatever was read can be written"),
            Item::Skipped { bytes, .. } => writer.skipped(bytes).expect("bytes can be written"),
        }
    }
    let (writer, report) = writer.finish().expect("finish");
    let _ = report.sentences();
    writer.finish(Trailer::None).expect("finish");
    let plain = capture.compression() == Compression::None;
    let bytes = std::mem::take(&mut *memory.0.lock().unwrap());
    (bytes, plain)
}

fuzz_target!(|data: &[u8]| {
    let mut capture = Capture::from_bytes(data.to_vec(), "fuzz", LIMITS);
    let Ok(found) = verify(&mut capture, |_| ()) else { return };
    for damage in &found.damages {
        let _ = (damage.to_string(), damage.code());
    }
    let (same, plain) = convert(data, Profile::AsIs, Compression::None);
    assert!(!plain || same == data, "as it is means as it is");

    for profile in [Profile::Modern, Profile::Universal] {
        let (bytes, _) = convert(data, profile, Compression::None);
        let mut second = Capture::from_bytes(bytes.clone(), "second", LIMITS);
        match verify(&mut second, |_| ()) {
            Ok(v) => {
                // Our own framing is right whatever the input was. What a block of a type that nobody
                // knows, or a parameter, holds is not ours.
                let ours = |k: &DamageKind| !matches!(k, DamageKind::Param { .. } | DamageKind::NoEvents);
                let wrong: Vec<String> = v.damages.iter().filter(|d| ours(&d.kind)).map(ToString::to_string).collect();
                assert!(wrong.is_empty(), "{profile:?}: {wrong:?}");
                assert!(profile == Profile::Universal || v.events <= found.events);
            }
            Err(e) => assert!(bytes.is_empty(), "{profile:?}: {e}"),
        }
        // Written once more nothing changes.
        let (third, _) = convert(&bytes, profile, Compression::None);
        assert!(profile == Profile::Universal || third == bytes, "modern is a fixed point");
    }
    // One input in eight: compressing takes longer than all else.
    if data.iter().fold(0u8, |sum, b| sum.wrapping_add(*b)) % 8 == 0 {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let (stored, _) = convert(data, Profile::AsIs, compression);
            let (back, _) = convert(&stored, Profile::AsIs, Compression::None);
            assert!(!plain || back == data, "{compression:?}");
        }
    }
});
