//! Writes the captures of `corpus/`: `cargo run -p scapkit-format --example corpus -- OUTDIR`.
//!
//! The bytes are the same on every machine and every day.

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

mod files;

fn main() -> std::io::Result<()> {
    let Some(dir) = std::env::args_os().nth(1).map(std::path::PathBuf::from) else {
        eprintln!("usage: corpus OUTDIR");
        std::process::exit(2);
    };
    for (name, bytes) in files::all() {
        std::fs::write(dir.join(name), &bytes)?;
        println!("{:>7}  {name}", bytes.len());
    }
    Ok(())
}
