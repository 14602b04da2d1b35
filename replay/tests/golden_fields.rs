//! `--view current --all --json` against what falcosecurity/libs says: every field that is computed, of
//! every event, through the whole way from file to JSON. Run with `--nocapture` to see what differs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

use scapkit_format::{Capture, Limits};
use scapkit_replay::{Dialect, Format, Played, Replay, ReplayOptions, TextOptions, View, Visibility};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// Values that may differ, with the most that do, over all goldens; anything else must be equal.
const KNOWN: &[(&str, u32, &str)] = &[
    ("fd.types", 2_660, "upstream lists them in the order of a hash table"),
    ("evt.buffer", 360, "of an empty buffer upstream shows what it showed last"),
    ("user.shell", 39, "the goldens were made without the plugin that knows of containers"),
];

/// Least share of equal values in each capture.
const BAR: f64 = 99.9;

/// The golden as objects; null and `<NA>` are the same as nothing.
fn present(object: &Map<String, Value>, field: &str) -> Option<Value> {
    object.get(field).filter(|v| !v.is_null() && v.as_str() != Some("<NA>")).cloned()
}

/// JSON with lone surrogates, which stand for bytes that are no UTF-8, as the golden has such bytes.
fn lossy(json: &[u8]) -> String {
    let text = std::str::from_utf8(json).unwrap();
    let mut parts = text.split("\\udc");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.push('\u{FFFD}');
        out.push_str(&part[2..]);
    }
    out
}

#[test]
fn every_field_of_every_event() {
    let shared = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let Ok(folder) = std::fs::read_dir(shared.join("goldens")) else {
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: the shared goldens are not here ({})\n", shared.display()),
        )
        .unwrap();
        return;
    };
    let mut files: Vec<PathBuf> = folder.map(|e| e.unwrap().path()).collect();
    files.sort();
    let (mut cells, mut events) = (0u64, 0u64);
    let mut wrong: BTreeMap<String, (u32, String)> = BTreeMap::new();
    let (mut asked, mut below) = (BTreeSet::new(), Vec::new());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".libs-head.jsonl.zst") else { continue };
        let golden = zstd::decode_all(std::fs::File::open(&file).unwrap()).unwrap();
        let golden = String::from_utf8_lossy(&golden);
        let golden: BTreeMap<u64, Map<String, Value>> = golden
            .lines()
            .map(|line| {
                let object: Map<String, Value> = serde_json::from_str(line).unwrap();
                (object["evt.num"].as_u64().unwrap(), object)
            })
            .collect();
        let wanted: BTreeSet<&str> = golden.values().flat_map(|o| o.keys().map(String::as_str)).collect();
        let wanted: Vec<&str> = wanted.into_iter().collect();
        let format = Format::compile(&wanted.iter().map(|f| format!("%{f}")).collect::<Vec<_>>().join(" ")).unwrap();

        let options = TextOptions::new(Dialect::Libs);
        let capture = Capture::open(&shared.join(format!("captures/{name}.scap")), Limits::default()).unwrap();
        let mut replay = Replay::new(capture, ReplayOptions { view: View::Current, ..ReplayOptions::default() });
        let (mut previous, mut seen, mut out) = (None, 0, Vec::new());
        let (mut values, mut unequal) = (0u64, 0u64);
        while let Some(played) = replay.next().unwrap() {
            let Played::Event(step) = played else { continue };
            if step.visibility == Visibility::Hidden {
                continue;
            }
            out.clear();
            let context = step.context(previous.unwrap_or(step.event.ts), &options);
            format.json(&context, &mut out);
            previous = Some(step.event.ts);
            let ours: Map<String, Value> = serde_json::from_str(&lossy(&out)).unwrap();
            let theirs =
                golden.get(&step.number).unwrap_or_else(|| panic!("{name}: libs has no event {}", step.number));
            seen += 1;
            for field in &wanted {
                let (a, b) = (present(theirs, field), present(&ours, field));
                values += u64::from(a.is_some() || b.is_some());
                if a != b {
                    unequal += 1;
                    let example = || format!("{name} event {}: golden {a:?}, ours {b:?}", step.number);
                    wrong.entry((*field).to_owned()).or_insert_with(|| (0, example())).0 += 1;
                }
            }
        }
        assert_eq!(seen, golden.len(), "{name}: events");
        events += seen as u64;
        cells += values;
        let equal = 100.0 * (1.0 - unequal as f64 / values.max(1) as f64);
        println!("{name:24} {seen:6} events {:4} fields {values:8} values {equal:8.3} % equal", wanted.len());
        asked.extend(wanted.iter().map(|f| (*f).to_owned()));
        if equal < BAR {
            below.push(name.to_owned());
        }
    }
    let all_wrong: u32 = wrong.values().map(|(n, _)| n).sum();
    let share = 100.0 * (1.0 - f64::from(all_wrong) / cells as f64);
    println!("{events} events, {} fields, {cells} values, {share:.3} % equal", asked.len());
    for (field, (count, example)) in &wrong {
        println!("  {count:6} {field}: {example}");
        let most = KNOWN.iter().find(|(known, ..)| known == field).map_or(0, |(_, most, _)| *most);
        assert!(*count <= most, "{field}: {count} values differ, {most} are known: {example}");
    }
    assert!(below.is_empty(), "below {BAR} %: {below:?}");
    assert!(events > 0);
    assert!(asked.len() >= 194, "{} fields", asked.len());
}
