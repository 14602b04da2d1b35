//! `scapkit events [PATTERN]`: types of events and their parameters, as sysdig lists them.

use crate::cli::Events;
use crate::{Outcome, pattern, printable};
use anyhow::Result;
use scapkit_format::schema::{EVENTS, EventInfo};
use serde_json::json;
use std::io::Write;

pub fn run(args: &Events) -> Result<Outcome> {
    let wanted = args.pattern.as_deref().unwrap_or_default();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut any = false;
    for event in EVENTS.iter().filter(|e| pattern::fits(wanted, e.name) && (args.all || is_listed(e))) {
        if args.json {
            writeln!(out, "{}", object(event))?;
        } else {
            line(&mut out, event)?;
        }
        any = true;
    }
    out.flush()?;
    if !any {
        eprintln!("scapkit: no event has a name like {}", printable(wanted));
    }
    Ok(if any { Outcome::Yes } else { Outcome::No })
}

/// Whether a recorder of today writes it, and not about the capture.
fn is_listed(event: &EventInfo) -> bool {
    !(event.flags.is_old_version() || event.flags.is_unused() || event.category.is_internal())
}

fn line(out: &mut impl Write, event: &EventInfo) -> std::io::Result<()> {
    let params: Vec<String> = event.params.iter().map(|p| format!("{} {}", p.kind.name(), p.name)).collect();
    writeln!(out, "{} {:<10} {}({})", event.direction(), event.category.name(), event.name, params.join(", "))
}

fn object(event: &EventInfo) -> serde_json::Value {
    let params: Vec<_> = event.params.iter().map(|p| json!({ "name": p.name, "type": p.kind.name() })).collect();
    json!({
        "id": event.id, "constant": format!("PPME_{}", event.constant), "name": event.name,
        "direction": event.direction().to_string(), "category": event.category.name(),
        "syscall": event.category.is_syscall(), "internal": event.category.is_internal(),
        "old": event.flags.is_old_version(), "unused": event.flags.is_unused(), "parameters": params,
    })
}
