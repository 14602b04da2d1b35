//! What is in `corpus/`, made from nothing. `format/tests/corpus.rs` includes this module and
//! compares it with the committed files.

mod break_in;
mod damaged;
mod login;
mod old;
mod proc;
mod recorder;
mod store;
mod strange;
mod world;

use scapkit_format::Compression;

/// Every capture: file name and bytes.
pub fn all() -> Vec<(&'static str, Vec<u8>)> {
    let break_in = break_in::capture();
    let old = old::capture();
    let sections = [old.as_slice(), break_in.as_slice()].concat();
    vec![
        ("break-in.scap.gz", store::stored(&break_in, Compression::Gzip)),
        ("break-in.scap.zst", store::stored(&break_in, Compression::Zstd)),
        ("damaged.scap", damaged::capture(&break_in)),
        ("strange-names.scap", strange::capture()),
        ("sections.scap", sections),
        ("old-2016.scap", old),
        ("break-in.scap", break_in),
    ]
}
