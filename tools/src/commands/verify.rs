//! `scapkit verify FILE...`: judges bytes. Status 1 when a file is damaged, a truncated tail
//! included; 2 when one cannot be read at all.

use crate::cli::{Common, Verify};
use crate::progress::Progress;
use crate::{Outcome, open, printable, time};
use anyhow::Result;
use scapkit_format::verify::{self, Verified};
use serde_json::json;
use std::io::Write;

pub fn run(args: &Verify, common: &Common) -> Result<Outcome> {
    let mut outcome = Outcome::Yes;
    let mut failed = None;
    let mut out = std::io::stdout().lock();
    for file in &args.files {
        let name = file.display().to_string();
        let result = open::capture(file, common).and_then(|(mut capture, stream)| {
            let mut progress = Progress::new(false);
            let verified = verify::verify(&mut capture, |c| progress.update(c))?;
            progress.finish();
            Ok((verified, stream.report().map(|r| r.damages()).unwrap_or_default()))
        });
        match result {
            Ok((v, stream)) => {
                if v.damage_count > 0 || !stream.is_empty() {
                    outcome = Outcome::No;
                }
                if args.json { json(&mut out, &name, &v, &stream)? } else { text(&mut out, &name, &v, &stream)? }
            }
            // The other files are still looked at.
            Err(e) => {
                if let Some(previous) = failed.replace(e) {
                    crate::say(&previous);
                }
            }
        }
    }
    failed.map_or(Ok(outcome), Err)
}

fn text(out: &mut impl Write, name: &str, v: &Verified, stream: &[String]) -> std::io::Result<()> {
    let name = printable(name);
    for text in stream {
        writeln!(out, "{name}: {}", printable(text))?;
    }
    for d in &v.damages {
        writeln!(out, "{name}: {}", printable(&d.to_string()))?;
    }
    let hidden = v.damage_count.saturating_sub(v.damages.len() as u64);
    if hidden > 0 {
        writeln!(out, "{name}: {hidden} more damages")?;
    }
    let verdict = match v.damage_count.saturating_add(stream.len() as u64) {
        0 => "ok".to_owned(),
        1 => "1 damage".to_owned(),
        n => format!("{n} damages"),
    };
    write!(out, "{name}: {verdict}, {} blocks, {} events", time::grouped(v.blocks), time::grouped(v.events))?;
    if v.unknown_types > 0 {
        write!(out, ", {} of types newer than this program", v.unknown_types)?;
    }
    writeln!(out)
}

fn json(out: &mut impl Write, name: &str, v: &Verified, stream: &[String]) -> Result<()> {
    let damages: Vec<_> = v
        .damages
        .iter()
        .map(|d| {
            json!({
                "offset": d.offset, "stored": d.in_stored_bytes(), "block": d.block, "code": d.code(),
                "skipped": d.skipped, "resumed": d.resumed, "text": d.to_string(),
            })
        })
        .collect();
    let mut object = json!({
        "file": name, "ok": v.damage_count == 0 && stream.is_empty(), "blocks": v.blocks, "events": v.events,
        "unknown_types": v.unknown_types, "plain_bytes": v.plain_bytes, "damage_count": v.damage_count,
        "damages": damages,
    });
    if !stream.is_empty() {
        object["stream_damages"] = json!(stream);
    }
    writeln!(out, "{}", open::json_safe(&object.to_string()))?;
    Ok(())
}
