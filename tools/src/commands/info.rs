//! `scapkit info FILE...`: what a capture is.

mod gather;
mod writer;

use crate::cli::{Common, Info};
use crate::{Outcome, open, printable, time};
use anyhow::Result;
use gather::Facts;
use std::io::Write;

pub fn run(args: &Info, common: &Common) -> Result<Outcome> {
    let mut failed = None;
    let mut out = std::io::stdout().lock();
    for (i, file) in args.files.iter().enumerate() {
        let facts = open::capture(file, common).and_then(|(c, stream)| gather::gather(c, &stream, file, args.full));
        match facts {
            Ok(facts) if args.json => writeln!(out, "{}", open::json_safe(&serde_json::to_string(&facts)?))?,
            Ok(facts) => {
                if i > 0 {
                    writeln!(out)?;
                }
                text(&mut out, &facts)?;
            }
            // The other files are still shown.
            Err(e) => {
                if let Some(previous) = failed.replace(e) {
                    crate::say(&previous);
                }
            }
        }
    }
    failed.map_or(Ok(Outcome::Yes), Err)
}

#[allow(clippy::many_single_char_names)] // a row each
fn text(out: &mut impl Write, f: &Facts) -> std::io::Result<()> {
    let mut row = |name: &str, value: String| writeln!(out, "  {name:<12} {}", printable(&value));
    let n = time::grouped;
    row("file", f.file.clone())?;
    let size = match f.stored_bytes {
        Some(stored) if stored != f.plain_bytes => {
            format!("{} bytes ({}), {} plain", n(stored), f.compression, n(f.plain_bytes))
        }
        _ => format!("{} bytes ({})", n(f.plain_bytes), f.compression),
    };
    row("size", size)?;
    let sections = if f.sections == 1 { "1 section".to_owned() } else { format!("{} sections", f.sections) };
    row("format", format!("{}, {sections}, {} blocks", f.versions.join(" and "), n(f.blocks)))?;
    row("written by", f.writer.clone())?;
    for m in &f.machines {
        let boot = if m.boot_ts == 0 { String::new() } else { format!(", booted {}", time::iso(m.boot_ts)) };
        row("machine", format!("{}, {} cpus, {} MiB{boot}", m.host, m.cpus, n(m.memory_bytes >> 20)))?;
    }
    match f.time {
        Some((from, to)) => {
            row("from", time::iso(from))?;
            row("to", format!("{} ({})", time::iso(to), time::span(to.saturating_sub(from))))?;
        }
        None => row("time", "no events".to_owned())?,
    }
    let e = &f.events;
    row("events", format!("{} ({} enter, {} exit) of {} types", n(e.count), n(e.enters), n(e.exits), e.by_type.len()))?;
    for (label, count) in [
        ("state only", e.state_only),
        ("large", e.large),
        ("unknown", e.unknown_types),
        ("drop marks", e.drop_marks),
        ("lost", e.lost),
    ] {
        if count > 0 {
            row(&format!("  {label}"), n(count))?;
        }
    }
    if e.drop_marks == 0 {
        row("drops", "no drop events".to_owned())?;
    }
    row("threads", format!("{} with events, {} in lists", n(f.threads.with_events), n(f.threads.listed)))?;
    let l = &f.lists;
    row(
        "lists",
        format!("{} fds, {} interfaces, {} users, {} groups", n(l.fds), n(l.interfaces), n(l.users), n(l.groups)),
    )?;
    row("categories", top(&e.by_category, e.count, 8))?;
    row("top types", top(&e.by_type, e.count, 8))?;
    if let Some(s) = &f.state {
        row("at the end", format!("{} processes, {} threads, {} open fds", n(s.processes), n(s.threads), n(s.fds)))?;
        let k = &s.not_kept;
        if k.threads + k.fds + k.memory + k.family > 0 {
            let text = format!("{} threads, {} fds, {} requests for memory", n(k.threads), n(k.fds), n(k.memory));
            row("not kept", format!("{text}, {} steps among families", n(k.family)))?;
        }
        row("programs", top(&s.by_name, s.processes, 8))?;
    }
    if let Some(s) = &f.stream {
        let kinds = top(&s.by_kind, s.messages, 8);
        row("stream", format!("gVisor, {} connections, {} sandboxes", n(s.connections), n(s.sandboxes)))?;
        row("messages", format!("{}, {} lost: {kinds}", n(s.messages), n(s.lost)))?;
        for text in &s.notes {
            row("stream", text.clone())?;
        }
    }
    row("blake3", f.blake3_plain.clone())?;
    if f.damage_count == 0 {
        row("damage", "none".to_owned())?;
    }
    for d in f.damages.iter().take(5) {
        row("damage", d.text.clone())?;
    }
    if f.damage_count > 5 {
        row("damage", format!("{} more; `scapkit verify` lists them", n(f.damage_count - 5)))?;
    }
    Ok(())
}

/// The largest entries, with their share.
fn top(counts: &[gather::Count], total: u64, shown: usize) -> String {
    let mut text: Vec<String> = counts
        .iter()
        .take(shown)
        .map(|c| format!("{} {:.1}%", c.name, 100.0 * c.count as f64 / total.max(1) as f64))
        .collect();
    if counts.len() > shown {
        text.push(format!("and {} more", counts.len() - shown));
    }
    text.join(", ")
}
