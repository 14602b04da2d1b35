//! `scapkit replay FILE...`: the digest of captures, printed, compared with what was expected, or kept.

use crate::cli::{Common, Replay as Args};
use crate::progress::Progress;
use crate::{Outcome, open, printable};
use anyhow::{Context, Result, bail};
use scapkit_replay::digest::{DEFAULT_FIELDS, Digest, Digester};
use scapkit_replay::{Played, Replay};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Most differences that are shown of a file.
const SHOWN: usize = 20;

pub fn run(args: &Args, common: &Common) -> Result<Outcome> {
    let mut outcome = Outcome::Yes;
    let mut failed = None;
    let mut out = std::io::stdout().lock();
    for file in &args.files {
        match one(file, args, common, &mut out) {
            Ok(true) => {}
            Ok(false) => outcome = Outcome::No,
            Err(e) if crate::is_broken_pipe(&e) => return Err(e),
            // The other files are still looked at.
            Err(e) => {
                if let Some(previous) = failed.replace(e) {
                    crate::say(&previous);
                }
            }
        }
    }
    out.flush()?;
    failed.map_or(Ok(outcome), Err)
}

/// Whether the file's digest is the expected one, or none was expected.
fn one(file: &Path, args: &Args, common: &Common, out: &mut impl Write) -> Result<bool> {
    let kept = if args.update || args.check.is_some() { Some(expectation(file, args)?) } else { None };
    let digest = digest(file, args, common)?;
    let name = printable(&file.display().to_string());
    let Some(kept) = kept else {
        write!(out, "{}# {name}\n{digest}", if file == args.files[0] { "" } else { "\n" })?;
        return Ok(true);
    };
    let shown = kept.display();
    let previous = match std::fs::read(&kept) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
        Err(e) => return Err(e).with_context(|| format!("{shown}: cannot read")),
    };
    if args.update {
        let text = digest.to_string();
        if previous.as_ref() == Some(&text) {
            writeln!(out, "{name}: as it was")?;
        } else {
            std::fs::write(&kept, text).with_context(|| format!("{shown}: cannot write"))?;
            writeln!(out, "{name}: {} written", printable(&shown.to_string()))?;
        }
        return Ok(true);
    }
    let Some(previous) = previous else {
        bail!("{shown}: there is no such digest to compare with; --update writes it");
    };
    let differences = digest.differences(&Digest::parse(&previous));
    if differences.is_empty() {
        writeln!(out, "{name}: ok")?;
        return Ok(true);
    }
    for difference in differences.iter().take(SHOWN) {
        writeln!(out, "{name}: {}", printable(&difference.to_string()))?;
    }
    if differences.len() > SHOWN {
        writeln!(out, "{name}: {} more differences", differences.len() - SHOWN)?;
    }
    Ok(false)
}

/// Where a file's digest is kept.
fn expectation(file: &Path, args: &Args) -> Result<PathBuf> {
    let told = args.check.as_ref().and_then(Option::as_ref);
    if let Some(path) = told.filter(|path| !path.is_dir()) {
        if args.files.len() > 1 {
            bail!("{}: is no folder, but there are several captures", path.display());
        }
        return Ok(path.clone());
    }
    let Some(name) = file.file_name().filter(|_| file != Path::new("-")) else {
        bail!("{}: has no name; --check=EXPECTED says where its digest is", file.display());
    };
    let mut with = OsString::from(name);
    with.push(".digest");
    Ok(told.map_or_else(|| file.with_file_name(&with), |folder| folder.join(&with)))
}

fn digest(file: &Path, args: &Args, common: &Common) -> Result<Digest> {
    let mut digester =
        if args.fields.is_empty() { Digester::new(DEFAULT_FIELDS)? } else { Digester::new(&args.fields)? };
    let (capture, stream) = open::capture(file, common)?;
    let mut replay = Replay::new(capture, Digester::replay_options());
    let mut progress = Progress::new(false);
    let mut blocks = 0u64;
    loop {
        if blocks.is_multiple_of(4096) {
            progress.update(replay.capture());
        }
        blocks += 1;
        match replay.next()? {
            Some(Played::Event(step)) => digester.step(&step),
            Some(Played::Nothing) => {}
            None => break,
        }
    }
    progress.finish();
    open::report_damage(replay.capture());
    stream.say(replay.capture().name());
    open::report_checkpoints(replay.capture().name(), replay.checkpoint_notes());
    open::report_upgrade(replay.capture().name(), replay.upgrade_notes());
    open::report_state(replay.capture().name(), &replay.engine().counters());
    Ok(digester.finish(replay.engine(), replay.capture().damages().count))
}
