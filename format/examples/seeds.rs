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

/// Texts for the target that compiles filters and formats.
const FILTERS: [&str; 14] = [
    "evt.type in (open, openat) and not fd.name startswith /etc/",
    "proc.aname[2] = sshd or (proc.pname in (sh, 'my shell') and evt.dir = <)",
    "fd.ip = 10.0.0.0/8 or fd.net in (192.0.2.0/24, ::1) or fd.port >= 0x50",
    "fd.name glob \"/*/[a-c]?\" or fd.name iglob *X* or proc.name regex '^[a-z]+(ab|c)*$'",
    "fd.directory pmatch (/etc, /var/log) or fd.name endswith .sh",
    "evt.buffer bcontains 726f6f74 and evt.buffer bstartswith 00ff",
    "tolower(proc.name) = toupper(proc.exe) or len(fd.name) > 3 or basename(proc.exepath) exists",
    "proc.name = val(proc.pname) and b64(evt.buffer) icontains a",
    "proc.args intersects (a, b) or proc.aname oneof (x) or proc.aname allof (y, z)",
    "evt.rawres < -1 and evt.arg.flags contains O_CREAT and evt.rawarg.res != 0",
    "not not ((evt.num exists))",
    "evt.latency > 1000 or evt.reltime.s <= 1.5 or evt.is_open_write = true",
    "*%evt.num %20proc.name %evt.arg.name %proc.aname[1] text %thread.cgroup[cpu]",
    "concat(proc.name, \"x\", fd.name) = join(\"-\", proc.name, proc.exe)",
];

fn main() {
    let mut args = std::env::args_os().skip(1);
    let Some(out) = args.next() else {
        eprintln!("usage: seeds OUTDIR CAPTURE...");
        std::process::exit(2);
    };
    let out = Path::new(&out);
    for target in ["blocks", "events", "lists", "containers", "verify", "pipeline", "filter", "checkpoint"] {
        std::fs::create_dir_all(out.join(target)).unwrap();
    }
    for (n, text) in FILTERS.iter().enumerate() {
        std::fs::write(out.join("filter").join(n.to_string()), text).unwrap();
    }
    for file in args.map(std::path::PathBuf::from) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let stored = std::fs::read(&file).unwrap();
        std::fs::write(out.join("containers").join(&name), &stored).unwrap();
        for target in ["blocks", "verify"] {
            std::fs::write(out.join(target).join(&name), &stored[..stored.len().min(WHOLE)]).unwrap();
        }
        // Three bytes choose limits, forms and a filter.
        for (choice, first) in [[0, 3, 1], [0b1011, 0, 5], [64, 2, 8]].iter().enumerate() {
            let seed = [first, &stored[..stored.len().min(WHOLE)]].concat();
            std::fs::write(out.join("pipeline").join(format!("{name}.{choice}")), seed).unwrap();
        }
        // Lists can fill all of that: the section header and the last blocks.
        let tail = [&stored[..28.min(stored.len())], &stored[stored.len().saturating_sub(WHOLE / 4)..]].concat();
        std::fs::write(out.join("verify").join(format!("{name}.tail")), &tail).unwrap();
        std::fs::write(out.join("pipeline").join(format!("{name}.tail")), [&[0, 3, 9][..], &tail].concat()).unwrap();
        cut(&file, &name, out);
    }
}

fn cut(file: &Path, name: &str, out: &Path) {
    let mut capture = Capture::open(file, Limits::default()).unwrap();
    while let Ok(Some(item)) = capture.next() {
        let Item::Block(block, content) = item else { continue };
        let (target, kind) = match content {
            Content::Event(e) => ("events", format!("{}-{}", block.block_type.name(), e.event_type)),
            Content::Section(_)
            | Content::Machine(_)
            | Content::Checkpoint(_)
            | Content::Unknown
            | Content::Broken(_) => continue,
            _ => ("lists", format!("{}-{name}", block.block_type.name())),
        };
        let path = out.join(target).join(kind);
        if block.bytes().len() <= WHOLE && !path.exists() {
            std::fs::write(path, block.bytes()).unwrap();
        }
    }
}
