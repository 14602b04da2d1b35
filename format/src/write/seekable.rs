//! zstd skippable frames, and the seek table of the published seekable format.
//!
//! Source: RFC 8878 section 3.1.2 (skippable frames) and `zstd_seekable_compression_format.md`
//! version 0.1.0 in the zstd sources. The table is the last thing in the file:
//!
//! ```text
//! u32 0x184D2A5E   u32 length of the rest
//! per frame:  u32 compressed size   u32 decompressed size
//! u32 number of frames   u8 descriptor = 0 (no checksums)   u32 0x8F92EAB1
//! ```
//! All little-endian. Decompressors skip it.

use super::Chunk;

/// Largest plain size of a frame, in bytes (the format's `MAX_FRAME_DECOMPRESSED_SIZE`): keeps
/// both sizes of a frame inside 32 bits whatever the data.
pub(super) const MAX_FRAME_PLAIN: u64 = 1 << 30;

/// Magic of the skippable frame that holds the index.
pub(super) const INDEX_MAGIC: u32 = 0x184D_2A50;

/// Bytes that a skippable frame takes besides its content.
pub(super) const SKIPPABLE_OVERHEAD: u64 = 8;

const TABLE_MAGIC: u32 = 0x184D_2A5E;
const FOOTER_MAGIC: u32 = 0x8F92_EAB1;

/// Most frames that the reference decoder takes (`ZSTD_SEEKABLE_MAXFRAMES`).
const MAX_FRAMES: usize = 0x0800_0000;

/// Appends a skippable frame; false, and nothing appended, if `content` is longer than
/// 2^32 - 1 bytes.
#[must_use]
pub(super) fn skippable(magic: u32, content: &[u8], out: &mut Vec<u8>) -> bool {
    let Ok(len) = u32::try_from(content.len()) else {
        return false;
    };
    out.extend_from_slice(&magic.to_le_bytes());
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(content);
    true
}

/// Appends the seek table for `chunks`. Nothing is appended for more frames than the format
/// takes: the file is good without.
pub(super) fn table(chunks: &[Chunk], out: &mut Vec<u8>) {
    if chunks.len() > MAX_FRAMES {
        return;
    }
    let Ok(frames) = u32::try_from(chunks.len()) else {
        return;
    };
    let mut content = Vec::with_capacity(chunks.len().saturating_mul(8).saturating_add(9));
    for chunk in chunks {
        // Cannot fail: chunks are capped at MAX_FRAME_PLAIN. A wrong table would be worse than
        // none.
        let (Ok(stored), Ok(plain)) = (u32::try_from(chunk.len), u32::try_from(chunk.plain_len)) else {
            return;
        };
        content.extend_from_slice(&stored.to_le_bytes());
        content.extend_from_slice(&plain.to_le_bytes());
    }
    content.extend_from_slice(&frames.to_le_bytes());
    content.push(0);
    content.extend_from_slice(&FOOTER_MAGIC.to_le_bytes());
    let _ = skippable(TABLE_MAGIC, &content, out);
}
