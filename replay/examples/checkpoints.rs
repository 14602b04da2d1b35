//! Seeds for the fuzz target `checkpoint`: states of captures at some of their events.
//!
//!     cargo run -p scapkit-replay --example checkpoints -- OUT CAPTURE...
#![allow(clippy::unwrap_used)]

use scapkit_format::{Capture, Item, Limits};
use scapkit_replay::{Player, ReplayOptions};
use std::path::PathBuf;

fn main() {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let out = args.next().unwrap_or_else(|| "seeds/checkpoint".into());
    std::fs::create_dir_all(&out).unwrap();
    for file in args {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let mut capture = Capture::open(&file, Limits::default()).unwrap();
        let mut player = Player::new(ReplayOptions { latency: true, ..ReplayOptions::default() });
        let mut blocks = 0u32;
        while let Ok(Some(item)) = capture.next() {
            let Item::Block(_, content) = item else { continue };
            let _ = player.play(&content);
            blocks = blocks.saturating_add(1);
            if blocks.is_power_of_two() {
                std::fs::write(out.join(format!("{name}-{blocks}")), player.checkpoint().state).unwrap();
            }
        }
    }
}
