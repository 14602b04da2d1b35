//! `scapkit replay FILE...`: prints the digest of what a capture gives, or compares it with an expected one.
//! Status 1 when it differs.

use crate::cli::{self, Common, Replay as Args};
use crate::progress::Progress;
use crate::{Outcome, open, printable};
use anyhow::{Context as _, Result, bail};
use scapkit_replay::digest::{self, DEFAULT_FIELDS, Digest};
use scapkit_replay::{Format, Replay, ReplayOptions, View};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

pub fn run(args: &Args, common: &Common) -> Result<Outcome> {
    let fields: Vec<&str> = args.fields.iter().map(String::as_str).collect();
    let format = digest::format(if fields.is_empty() { DEFAULT_FIELDS } else { &fields })?;
    let folder = args.check.as_deref().is_some_and(Path::is_dir);
    if args.check.is_some() && !folder && args.files.len() > 1 {
        bail!("--check: with several captures, a folder with a NAME.digest for each is wanted");
    }
    let mut outcome = Outcome::Yes;
    let mut failed = None;
    for file in &args.files {
        let expected = args.check.as_ref().map(|check| if folder { beside(check, file) } else { check.clone() });
        match one(file, args, common, &format, expected.as_deref()) {
            Ok(Outcome::Yes) => {}
            Ok(Outcome::No) => outcome = Outcome::No,
            // The other files are still looked at.
            Err(e) if crate::is_broken_pipe(&e) => return Err(e),
            Err(e) => {
                if let Some(previous) = failed.replace(e) {
                    crate::say(&previous);
                }
            }
        }
    }
    failed.map_or(Ok(outcome), Err)
}

/// The expectation of a capture in a folder of them.
fn beside(folder: &Path, file: &Path) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".digest");
    folder.join(name)
}

fn one(file: &Path, args: &Args, common: &Common, format: &Format, expected: Option<&Path>) -> Result<Outcome> {
    let view = match args.view {
        cli::View::Recorded => View::Recorded,
        cli::View::Current => View::Current,
    };
    let wanted = match expected {
        None => None,
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(e) if args.update && e.kind() == ErrorKind::NotFound => None,
            Err(e) => return Err(e).with_context(|| path.display().to_string()),
        },
    };
    let mut replay = Replay::new(open::capture(file, common)?, ReplayOptions { view, ..ReplayOptions::default() });
    let progress = Progress::new(false);
    let found = Digest::of(&mut replay, view, format)?.to_string();
    progress.finish();
    open::report_checkpoints(replay.capture().name(), replay.checkpoint_notes());
    let mut out = std::io::stdout().lock();
    let name = printable(&file.display().to_string());
    let Some(path) = expected else {
        if args.files.len() > 1 {
            writeln!(out, "{name}:")?;
        }
        out.write_all(found.as_bytes())?;
        return Ok(Outcome::Yes);
    };
    let differences = digest::difference(wanted.as_deref().unwrap_or_default(), &found);
    if differences.is_empty() {
        writeln!(out, "{name}: as expected")?;
        return Ok(Outcome::Yes);
    }
    if args.update {
        std::fs::write(path, &found).with_context(|| path.display().to_string())?;
        let what = if wanted.is_some() { "updated" } else { "written" };
        writeln!(out, "{name}: {} {what}", printable(&path.display().to_string()))?;
        return Ok(Outcome::Yes);
    }
    writeln!(out, "{name}: not as expected in {}", printable(&path.display().to_string()))?;
    for line in &differences {
        writeln!(out, "  {}", printable(line))?;
    }
    Ok(Outcome::No)
}
