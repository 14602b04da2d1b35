//! The rows `events`, `fspath`, `fdkinds`, `fd_sequences`, `net` and `name_modifiers` of golden-tests.yaml: a machine
//! with one process, a few events, and what the fields say of the last one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)]

#[path = "golden_facts/checks.rs"]
mod checks;
#[path = "golden_facts/events.rs"]
mod events;
#[path = "golden_facts/rows.rs"]
mod rows;
mod shared;

use checks::Outcome;
use rows::Facts;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Checks that cannot hold, and why: row, check, reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

fn say(text: &str) {
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{text}\n")).unwrap();
}

#[test]
fn facts() {
    let Some(shared) = shared::folder() else { return };
    let yaml = std::fs::read_to_string(shared.join("spec/golden-tests.yaml")).unwrap();
    let facts: Facts = serde_saphyr::from_str(&yaml).unwrap();
    let (mut wrong, mut unused) = (String::new(), EXCEPTIONS.to_vec());
    let mut tally: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for row in facts.rows() {
        let mut failed = false;
        for check in &row.checks {
            let outcome = row.run(check);
            let excepted = unused.iter().position(|(id, what, _)| *id == row.id && *what == check.to_string());
            match (outcome, excepted) {
                (Outcome::Holds, None) => {}
                (Outcome::Holds, Some(at)) => {
                    let (id, what, _) = unused.remove(at);
                    writeln!(wrong, "{id}: {what}: holds now: take it off the list of exceptions").unwrap();
                }
                (Outcome::Fails(_), Some(at)) => {
                    unused.remove(at);
                    failed = true;
                }
                (Outcome::Fails(how), None) => {
                    writeln!(wrong, "{}: {check}: {how}", row.id).unwrap();
                    failed = true;
                }
            }
        }
        let [passed, rest] = tally.entry(row.section).or_default();
        *(if failed { rest } else { passed }) += 1;
    }
    for (section, [passed, rest]) in tally {
        say(&format!("{section}: {passed} rows pass, {rest} do not"));
    }
    for (id, what, _) in unused {
        writeln!(wrong, "{id}: {what}: no such check").unwrap();
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
