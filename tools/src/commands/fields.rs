//! `scapkit fields [PATTERN]`: what formats and filters can ask for.

use crate::cli::Fields;
use crate::{Outcome, pattern, printable};
use anyhow::Result;
use scapkit_replay::fields::{CLASSES, Class, Entry, Field, Traits};
use serde_json::json;
use std::io::Write;

pub fn run(args: &Fields) -> Result<Outcome> {
    let wanted = args.pattern.as_deref().unwrap_or_default();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut any = false;
    for class in CLASSES {
        let rows: Vec<Entry> = class.fields().filter(|e| pattern::fits(wanted, e.field.name)).collect();
        if rows.is_empty() {
            continue;
        }
        if args.json {
            rows.iter().try_for_each(|row| writeln!(out, "{}", object(class, row)))?;
        } else {
            writeln!(out, "{}{}: {}", if any { "\n" } else { "" }, class.name, class.about)?;
            rows.iter().try_for_each(|row| line(&mut out, row))?;
        }
        any = true;
    }
    out.flush()?;
    if !any {
        eprintln!("scapkit: no field has a name like {}", printable(wanted));
    }
    Ok(if any { Outcome::Yes } else { Outcome::No })
}

/// Name, type, what it is; then its argument and what else is particular about it.
fn line(out: &mut impl Write, row: &Entry) -> std::io::Result<()> {
    let field = row.field;
    write!(out, "  {:<32} {:<8} {}", field.name, type_name(field), row.about)?;
    let mut notes = Vec::new();
    if let Some(form) = field.takes.form() {
        notes.push(format!("{}{form}", if field.takes.is_required() { "needs " } else { "may have " }));
    }
    notes.extend(field.traits.words().map(str::to_owned));
    if !notes.is_empty() {
        write!(out, " ({})", notes.join("; "))?;
    }
    writeln!(out)
}

fn object(class: &Class, row: &Entry) -> serde_json::Value {
    let field = row.field;
    let has = |traits| field.traits.has(traits);
    json!({
        "name": field.name, "class": class.name, "about": row.about, "type": type_name(field),
        "argument": field.takes.form(), "argument_required": field.takes.is_required(), "list": has(Traits::LIST),
        "filter_only": has(Traits::FILTER_ONLY), "print_only": has(Traits::PRINT_ONLY),
        "deprecated": has(Traits::DEPRECATED), "transformers": !has(Traits::NO_TRANSFORMER),
        "right_of_operator": !has(Traits::NO_RHS),
    })
}

fn type_name(field: &Field) -> &'static str {
    let name = field.kind.upstream_name();
    name.strip_prefix("PT_").unwrap_or(name)
}
