//! Captures of the shared collection, against other decoders.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use scapkit_format::{Compression, Limits, input::Input};

use crate::make::read_all;

/// The folder of shared captures: `$SCAPKIT_SHARED/captures`, or beside the workspace.
fn captures() -> Option<PathBuf> {
    let base = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let dir = base.join("captures");
    if !dir.is_dir() {
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: {} is not there: the shared captures are not here\n", dir.display()),
        )
        .unwrap();
        return None;
    }
    Some(dir)
}

#[test]
fn shared_captures() {
    let Some(dir) = captures() else { return };
    let mut seen = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stored = fs::read(&path).unwrap();
        let mut input = Input::open(&path, &Limits::default()).unwrap();
        let (plain, damage) = read_all(&mut input, 1 << 20);
        let wanted = match input.compression() {
            Compression::None => stored,
            Compression::Zstd => zstd::decode_all(&stored[..]).unwrap(),
            Compression::Gzip => {
                let mut out = Vec::new();
                flate2::read::MultiGzDecoder::new(&stored[..]).read_to_end(&mut out).unwrap();
                out
            }
        };
        assert!(plain == wanted, "{}", path.display());
        assert!(plain.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]), "{}", path.display());
        assert_eq!(damage, [], "{}", path.display());
        seen += 1;
    }
    assert!(seen > 0);
}
