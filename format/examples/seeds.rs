//! Cuts captures in pieces for the fuzz targets: one file per type of event, one per kind of list,
//! and the first part of each capture. `cargo run -p scapkit-format --example seeds -- OUTDIR CAPTURE...`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

use scapkit_format::{Capture, Content, Item, Limits};
use std::path::Path;

/// Bytes of the whole captures given to the targets that take one.
const WHOLE: usize = 12 << 10;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let Some(out) = args.next() else {
        eprintln!("usage: seeds OUTDIR CAPTURE...");
        std::process::exit(2);
    };
    let out = Path::new(&out);
    for target in ["blocks", "events", "lists", "containers", "verify", "checkpoint"] {
        std::fs::create_dir_all(out.join(target)).unwrap();
    }
    for file in args.map(std::path::PathBuf::from) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let stored = std::fs::read(&file).unwrap();
        std::fs::write(out.join("containers").join(&name), &stored).unwrap();
        for target in ["blocks", "verify"] {
            std::fs::write(out.join(target).join(&name), &stored[..stored.len().min(WHOLE)]).unwrap();
        }
        // Lists can fill all of that: the section header and the last blocks.
        let tail = [&stored[..28.min(stored.len())], &stored[stored.len().saturating_sub(WHOLE / 4)..]].concat();
        std::fs::write(out.join("verify").join(format!("{name}.tail")), tail).unwrap();
        cut(&file, &name, out);
    }
}

fn cut(file: &Path, name: &str, out: &Path) {
    let mut capture = Capture::open(file, Limits::default()).unwrap();
    while let Ok(Some(item)) = capture.next() {
        let Item::Block(block, content) = item else { continue };
        let (target, kind) = match content {
            Content::Event(e) => ("events", format!("{}-{}", block.block_type.name(), e.event_type)),
            Content::Section(_) | Content::Machine(_) | Content::Checkpoint(_) | Content::Unknown | Content::Broken(_) => continue,
            _ => ("lists", format!("{}-{name}", block.block_type.name())),
        };
        let path = out.join(target).join(kind);
        if block.bytes().len() <= WHOLE && !path.exists() {
            std::fs::write(path, block.bytes()).unwrap();
        }
    }
}
