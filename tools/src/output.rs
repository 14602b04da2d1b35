//! Captures that are written, as the command line names them.

use crate::cli::{Common, Compress};
use anyhow::Result;
use scapkit_format::Compression;
use scapkit_format::write::{ChunkWriter, WriteOptions};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Creates a capture, `-` meaning standard output. What is asked for decides the compression, else the
/// name's suffix, else `input`'s.
pub fn create(
    path: &Path,
    asked: Option<Compress>,
    level: Option<i32>,
    common: &Common,
    input: Compression,
) -> Result<ChunkWriter> {
    let compression = compression(path, asked, input);
    let mut options = WriteOptions { compression, level, ..WriteOptions::default() };
    if let Some(threads) = common.threads {
        options.threads = threads;
    }
    Ok(if path == Path::new("-") {
        ChunkWriter::from_writer(Box::new(std::io::stdout()), "standard output", &options)?
    } else {
        ChunkWriter::create(path, &options)?
    })
}

/// The compression of an output: what is asked for, else what the name's suffix says, else `otherwise`.
pub fn compression(path: &Path, asked: Option<Compress>, otherwise: Compression) -> Compression {
    let suffix = path.extension().and_then(|e| e.to_str());
    match (asked, suffix) {
        (Some(Compress::None), _) => Compression::None,
        (Some(Compress::Gzip), _) | (None, Some("gz")) => Compression::Gzip,
        (Some(Compress::Zstd), _) | (None, Some("zst")) => Compression::Zstd,
        (None, _) => otherwise,
    }
}

/// Whether two names mean one file, links included: creating the output would destroy the input.
pub fn same_file(a: &Path, b: &Path) -> bool {
    let id = |p: &Path| std::fs::metadata(p).ok().filter(std::fs::Metadata::is_file).map(|m| (m.dev(), m.ino()));
    let stdin = Path::new("-");
    a != stdin && b != stdin && id(a).is_some_and(|x| Some(x) == id(b))
}
