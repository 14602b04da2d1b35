//! Every type of event that the driver gives has a row, or a reason for having none.

use std::collections::{BTreeMap, BTreeSet};

/// Types of events that a driver of 2026 gives on x86_64: number, and `exit`, `enter` or `tracepoint`. Not there: what
/// is never in a capture (the iterators' 10), what x86_64 has no call for (SEND, RECV, LLSEEK, MMAP2, UMOUNT_1), and
/// what this probe has no use for (DROP_E, DROP_X: it does not sample; CPU_HOTPLUG_E: it follows by itself).
pub const EMITTED: &str = include_str!("emitted.tsv");

/// Types that cannot be tested: number and the reason.
pub const UNTESTABLE: &str = include_str!("untestable.tsv");

/// Rows of one of the tables: number, and the other columns.
pub fn rows(table: &str) -> BTreeMap<u16, Vec<&str>> {
    let lines = table.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    lines
        .map(|line| {
            let mut columns = line.split('\t');
            let id = columns.next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("no number: {line}"));
            (id, columns.collect())
        })
        .collect()
}

/// What is wrong with the coverage, given the types that were confirmed.
pub fn faults(confirmed: &BTreeSet<u16>) -> Vec<String> {
    let (emitted, untestable) = (rows(EMITTED), rows(UNTESTABLE));
    let mut out = Vec::new();
    for (id, columns) in &emitted {
        match (confirmed.contains(id), untestable.contains_key(id)) {
            (false, false) => {
                out.push(format!("{id} {}: no row is right, and it is not in untestable.tsv", columns[0]));
            }
            (true, true) => out.push(format!("{id} {}: is tested, and yet in untestable.tsv", columns[0])),
            _ => {}
        }
    }
    for id in untestable.keys().chain(confirmed) {
        if !emitted.contains_key(id) {
            out.push(format!("{id}: is not in emitted.tsv"));
        }
    }
    out
}

/// The table against the one it was made from: only where ../shared is there.
pub fn against_shared() -> Result<(), String> {
    let root = std::env::var_os("SCAPKIT_SHARED").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        std::path::PathBuf::from,
    );
    let path = root.join("spec/driver-events.json");
    let Ok(text) = std::fs::read(&path) else {
        return Err(format!("SKIPPED: {} is absent (set SCAPKIT_SHARED)", path.display()));
    };
    let json: serde_json::Value = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    let emitted = rows(EMITTED);
    let mut theirs = BTreeMap::new();
    for event in json["events"].as_array().ok_or("no events")? {
        let id = event["id"].as_u64().and_then(|n| u16::try_from(n).ok()).ok_or("no id")?;
        let kind = event["kind"].as_str().ok_or("no kind")?;
        let name = event["const"].as_str().and_then(|c| c.strip_prefix("PPME_")).ok_or("no const")?;
        let unreachable =
            kind == "exit" && id != 1 && event["syscalls"]["x86_64"].as_array().is_some_and(Vec::is_empty);
        if !matches!(kind, "iterator" | "internal") && !unreachable {
            theirs.insert(id, vec![name.to_owned(), kind.to_owned()]);
        }
        let params = event["params"].as_array().ok_or("no params")?.len();
        let ours = scapkit_format::schema::event_info(id).ok_or_else(|| format!("{id}: not in the table"))?;
        if ours.params.len() != params || ours.constant != name {
            return Err(format!(
                "{id} {name}: {params} parameters, the tree has {} of {}",
                ours.params.len(),
                ours.constant
            ));
        }
    }
    let ours: BTreeMap<u16, Vec<String>> =
        emitted.iter().map(|(k, v)| (*k, v.iter().map(ToString::to_string).collect())).collect();
    if ours == theirs {
        Ok(())
    } else {
        Err(format!("emitted.tsv differs from driver-events.json: {ours:?} {theirs:?}"))
    }
}
