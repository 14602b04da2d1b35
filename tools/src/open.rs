//! Opening captures as the command line names them.

use crate::cli::Common;
use crate::printable;
use anyhow::{Context, Result, bail};
use scapkit_capture::gvisor::reader::{AsCapture, Report, Shared};
use scapkit_capture::gvisor::stream::{Reader, StreamLimits, sniff};
use scapkit_format::input::Input;
use scapkit_format::{Capture, Limits};
use scapkit_replay::engine::EngineCounters;
use scapkit_replay::replay::CheckpointNotes;
use scapkit_replay::upgrade::UpgradeNotes;
use std::fmt::Write;
use std::io::Read;
use std::path::Path;

/// Opens FILE, `-` meaning standard input. A stream of gVisor is a capture too: what a recorder would have written.
pub fn capture(file: &Path, common: &Common) -> Result<(Capture, Stream)> {
    match input(file, common, None)? {
        Opened::Capture(capture) => Ok((*capture, Stream(None))),
        Opened::Stream(stream, name) => of_stream(stream, &name, common),
    }
}

/// A stream as a capture.
pub fn of_stream(stream: Box<AsCapture>, name: &str, common: &Common) -> Result<(Capture, Stream)> {
    let report = stream.report();
    let mut capture = Capture::from_reader(stream, name, limits(&common.limits)?)?;
    capture.set_strict(common.strict);
    Ok((capture, Stream(Some(report))))
}

/// What FILE is.
pub enum Opened {
    Capture(Box<Capture>),
    /// With its name.
    Stream(Box<AsCapture>, String),
}

/// Opens FILE. `procfs` is what `runsc trace procfs` said of the sandbox before the stream began.
pub fn input(file: &Path, common: &Common, procfs: Option<Vec<u8>>) -> Result<Opened> {
    let limits = limits(&common.limits)?;
    let stdin = file == Path::new("-");
    let name = if stdin { "standard input".to_owned() } else { file.display().to_string() };
    let mut rest: Box<dyn Read + Send> = if stdin {
        Box::new(std::io::stdin())
    } else {
        match std::fs::File::open(file) {
            Ok(file) => Box::new(file),
            // Said as of every capture that cannot be opened.
            Err(_) => Box::new(std::io::empty()),
        }
    };
    let start = beginning(&mut rest).unwrap_or_default();
    let (plain, compressed) = (sniff(&start).is_some(), is_compressed_stream(&start, &limits));
    let whole = Box::new(std::io::Cursor::new(start).chain(rest));
    if plain || compressed {
        let input: Box<dyn Read + Send> =
            if plain { whole } else { Box::new(Plain(Input::from_reader(whole, &name, &limits)?)) };
        let reader = Reader::new(input, StreamLimits::default()).with_context(|| name.clone())?;
        return Ok(Opened::Stream(Box::new(AsCapture::new(reader, procfs)), name));
    }
    if procfs.is_some() {
        bail!("{name}: --procfs: this is no stream of gVisor");
    }
    // What can be read once only goes on from where it is.
    let once = stdin || file.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir());
    let mut capture = if once { Capture::from_reader(whole, &name, limits)? } else { Capture::open(file, limits)? };
    capture.set_strict(common.strict);
    Ok(Opened::Capture(Box::new(capture)))
}

/// As many bytes from the front as one read gives, but enough to tell a stream.
fn beginning(input: &mut dyn Read) -> std::io::Result<Vec<u8>> {
    /// Bytes that tell it, and most that are read.
    const ENOUGH: usize = 16;
    const MOST: usize = 64 << 10;
    let (mut start, mut length) = (vec![0; MOST], 0);
    while length < ENOUGH {
        match input.read(&mut start[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    start.truncate(length);
    Ok(start)
}

/// Whether what begins so is a stream behind gzip or zstd.
fn is_compressed_stream(start: &[u8], limits: &Limits) -> bool {
    let mut plain = Vec::new();
    let is_compressed = start.starts_with(&[0x1f, 0x8b]) || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    // The end is missing, but it is the beginning that tells.
    is_compressed
        && Plain(Input::from_bytes(start.to_vec(), "", limits)).take(16).read_to_end(&mut plain).is_ok()
        && sniff(&plain).is_some()
}

/// A file without its compression.
struct Plain(Input);

impl Read for Plain {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buf).map_err(std::io::Error::other)
    }
}

/// The stream of gVisor that a capture is made of, where it is.
pub struct Stream(Option<Shared>);

impl Stream {
    /// Of what is a capture by itself.
    pub fn none() -> Stream {
        Stream(None)
    }

    /// That of a stream which is not read as a capture.
    pub fn of(report: Shared) -> Stream {
        Stream(Some(report))
    }

    /// What was found in it so far; `None` when the capture is one by itself.
    pub fn report(&self) -> Option<Report> {
        self.0.as_ref().map(Shared::get)
    }

    /// Says on standard error what could not be made into events.
    pub fn say(&self, name: &str) {
        for sentence in self.report().iter().flat_map(Report::sentences) {
            eprintln!("scapkit: {}: note: {}", printable(name), printable(&sentence));
        }
    }
}

/// The limits with what `--limit NAME=N` changes.
pub fn limits(changes: &[String]) -> Result<Limits> {
    let mut limits = Limits::default();
    for change in changes {
        let Some((name, value)) = change.split_once('=') else {
            bail!("--limit {change}: wanted NAME=N");
        };
        let n = number(value).with_context(|| format!("--limit {change}: {value:?} is not a number"))?;
        let small = |what: &str| u32::try_from(n).with_context(|| format!("--limit {change}: too large for {what}"));
        match name {
            "max-block" => limits.max_block = small("a block")?,
            "max-list-entries" => limits.max_list_entries = n,
            "max-string" => {
                limits.max_string = u16::try_from(n).with_context(|| format!("--limit {change}: at most 65535"))?;
            }
            "max-frame-plain" => limits.max_frame_plain = n,
            "max-expansion" => limits.max_expansion = n,
            "max-zstd-window-log" => limits.max_zstd_window_log = small("a window")?.min(31),
            _ => bail!(
                "--limit {change}: no such limit; there are max-block, max-list-entries, max-string, \
                 max-frame-plain, max-expansion, max-zstd-window-log"
            ),
        }
    }
    Ok(limits)
}

/// `200M` and the like: K, M, G are powers of 1024.
pub fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Says on standard error what was found wrong; outside `verify` damage is a note.
pub fn report_damage(capture: &Capture) {
    const SHOWN: usize = 5;
    let damages = capture.damages();
    for d in damages.list.iter().take(SHOWN) {
        eprintln!("scapkit: {}: note: {}", printable(capture.name()), printable(&d.to_string()));
    }
    let more = damages.count.saturating_sub(SHOWN as u64);
    if more > 0 {
        eprintln!("scapkit: {}: note: {more} more; `scapkit verify` lists them", printable(capture.name()));
    }
}

/// Says on standard error where events did not fit the tables of old schemas.
pub fn report_upgrade(name: &str, notes: &UpgradeNotes) {
    let name = printable(name);
    for (count, what) in [
        (notes.unknown_type, "events of types newer than this program, not shown"),
        (notes.no_rule, "events with a number of parameters that their type never had"),
        (notes.too_many_params, "events with more parameters than their type has; the surplus is not shown"),
    ] {
        if count > 0 {
            eprintln!("scapkit: {name}: note: {count} {what}");
        }
    }
}

/// Says on standard error which checkpoints were not used.
pub fn report_checkpoints(name: &str, notes: &CheckpointNotes) {
    if let Some(first) = &notes.first {
        let name = printable(name);
        eprintln!("scapkit: {name}: note: checkpoint not used, {first}; the state is that of the lists");
    }
}

/// Says on standard error what the state engine could not keep.
pub fn report_state(name: &str, counters: &EngineCounters) {
    let name = printable(name);
    for (count, what) in [
        (counters.threads_refused, "threads"),
        (counters.fds_refused, "open files"),
        (counters.memory_refused, "strings"),
    ] {
        if count > 0 {
            eprintln!("scapkit: {name}: note: {count} {what} not kept: more than a machine has");
        }
    }
    if counters.family_refused > 0 {
        eprintln!(
            "scapkit: {name}: note: processes change their parents more often than a machine's do; some have none"
        );
    }
    if counters.containers_unreadable > 0 {
        let count = counters.containers_unreadable;
        eprintln!("scapkit: {name}: note: {count} events about containers could not be read");
    }
}

/// JSON text for a terminal: serde_json escapes control characters below 0x20 only, but DEL and those
/// from 0x80 to 0x9f steer some terminals too. They can only stand inside strings.
pub fn json_safe(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut out, c| {
        if c.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_no_control_characters() {
        assert_eq!(json_safe("{\"a\":\"\u{9b}2J\u{7f}é\"}"), "{\"a\":\"\\u009b2J\\u007fé\"}");
    }

    #[test]
    fn limits_are_named() {
        let l = limits(&["max-block=2M".into(), "max-expansion=5".into()]).unwrap();
        assert_eq!((l.max_block, l.max_expansion), (2 << 20, 5));
        for wrong in ["max-block", "max-block=x", "nonsense=1", "max-block=99G", "max-string=70000"] {
            assert!(limits(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
