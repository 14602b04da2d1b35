//! Where the reference material is, for tests that need it.
#![allow(dead_code)]

use std::path::PathBuf;

/// The folder, or `None` after saying loudly that the test is skipped.
pub fn folder() -> Option<PathBuf> {
    let path = match std::env::var_os("SCAPKIT_SHARED") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    if path.join("goldens").is_dir() {
        return Some(path);
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not by `eprintln!`, which the test runner hides.
    std::io::Write::write_fmt(
        &mut std::io::stderr(),
        format_args!("SKIPPED {test}: no reference material; set SCAPKIT_SHARED to the folder that holds `goldens`\n"),
    )
    .ok();
    None
}
