//! `read` against what Debian's sysdig 0.29.3 prints for the same captures: the share of equal lines
//! and of equal columns, per file. Run with `--nocapture` to see the table.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Columns of the default line before `evt.info`.
const COLUMNS: [&str; 6] = ["time", "cpu", "name", "tid", "dir", "type"];
/// Share of equal values that each column must reach in each file.
const COLUMN_SHARE: f64 = 0.99;
/// Share of lines over all files that must be equal in whole.
const LINE_SHARE: f64 = 0.998;

/// Number, columns and the rest of a line `NUM TIME CPU NAME (TID) DIR TYPE INFO`.
fn parse(line: &str) -> Option<(u64, [&str; 6], &str)> {
    let mut words = line.splitn(4, ' ');
    let (num, time, cpu, rest) = (words.next()?.parse().ok()?, words.next()?, words.next()?, words.next()?);
    // A name may hold spaces and brackets: the thread id is what stands before a direction.
    let at = [") > ", ") < "].into_iter().filter_map(|mark| rest.find(mark)).min()?;
    let (name, tid) = rest[..at].rsplit_once(" (")?;
    let mut words = rest[at + 2..].splitn(3, ' ');
    let (dir, kind) = (words.next()?, words.next()?);
    Some((num, [time, cpu, name, tid, dir, kind], words.next().unwrap_or("")))
}

#[test]
fn lines_are_those_of_sysdig() {
    let shared = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let Ok(goldens) = std::fs::read_dir(shared.join("goldens")) else {
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: the shared goldens are not here ({})\n", shared.display()),
        )
        .unwrap();
        return;
    };
    let mut files: Vec<_> = goldens.map(|e| e.unwrap().path()).collect();
    files.sort();
    let (mut all, mut all_equal) = (0, 0);
    for file in files {
        let file_name = file.file_name().unwrap().to_string_lossy().into_owned();
        let Some(name) = file_name.strip_suffix(".sysdig-0.29.3.txt.zst") else { continue };
        let wanted = zstd::decode_all(std::fs::File::open(&file).unwrap()).unwrap();
        let wanted = String::from_utf8_lossy(&wanted);
        let capture = shared.join(format!("captures/{name}.scap"));
        let out = Command::new(env!("CARGO_BIN_EXE_scapkit")).arg("read").arg(&capture).output().unwrap();
        assert!(out.status.success(), "{name}: {}", String::from_utf8_lossy(&out.stderr));
        let found = String::from_utf8_lossy(&out.stdout);
        let found: BTreeMap<u64, &str> =
            found.lines().filter_map(|line| Some((line.split(' ').next()?.parse().ok()?, line))).collect();

        let (mut lines, mut equal, mut columns, mut printed) = (0u32, 0u32, [0u32; 6], 0u32);
        let mut examples = Vec::new();
        for line in wanted.lines().filter(|l| !l.trim().is_empty()) {
            let (num, cells, _) = parse(line).unwrap_or_else(|| panic!("{name}: golden line {line:?}"));
            lines += 1;
            let Some(ours) = found.get(&num) else {
                examples.push(format!("  wanted {line}\n  found  nothing"));
                continue;
            };
            printed += 1;
            if ours.trim_end() == line.trim_end() {
                equal += 1;
            } else {
                examples.push(format!("  wanted {line}\n  found  {ours}"));
            }
            if let Some((_, our_cells, _)) = parse(ours) {
                for (count, (a, b)) in columns.iter_mut().zip(cells.iter().zip(our_cells)) {
                    *count += u32::from(*a == b);
                }
            }
        }
        let share = |n: u32| f64::from(n) / f64::from(lines.max(1));
        println!("{name}: {lines} lines, {:.2} % equal", 100.0 * share(equal));
        for example in examples.iter().take(5) {
            println!("{example}");
        }
        assert_eq!(found.len(), printed as usize, "{name}: lines that sysdig does not print");
        for (column, count) in COLUMNS.iter().zip(columns) {
            assert!(share(count) >= COLUMN_SHARE, "{name}: {column}: {:.2} % equal", 100.0 * share(count));
        }
        all += lines;
        all_equal += equal;
    }
    assert!(all > 0);
    let share = f64::from(all_equal) / f64::from(all);
    println!("all: {all} lines, {:.3} % equal", 100.0 * share);
    assert!(share >= LINE_SHARE, "{:.3} % of lines are equal", 100.0 * share);
}
