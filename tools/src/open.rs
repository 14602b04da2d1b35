//! Opening captures as the command line names them.

use crate::cli::Common;
use crate::printable;
use anyhow::{Context, Result, bail};
use scapkit_format::{Capture, Limits};
use scapkit_replay::engine::EngineCounters;
use scapkit_replay::replay::CheckpointNotes;
use scapkit_replay::upgrade::UpgradeNotes;
use std::fmt::Write;
use std::path::Path;

/// Opens FILE, `-` meaning standard input.
pub fn capture(file: &Path, common: &Common) -> Result<Capture> {
    let limits = limits(&common.limits)?;
    let mut capture = if file == Path::new("-") {
        Capture::from_reader(Box::new(std::io::stdin()), "standard input", limits)?
    } else {
        Capture::open(file, limits)?
    };
    capture.set_strict(common.strict);
    Ok(capture)
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
