//! From the file's rows to events and checks.

use crate::checks::Check;
use crate::events::{Machine, Step, words};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The sections of the file that are tested here.
#[derive(Deserialize)]
pub struct Facts {
    events: Vec<EventRow>,
    fspath: Vec<(String, Vec<Value>, BTreeMap<String, String>)>,
    fdkinds: Vec<(String, Vec<Value>, String, String, String)>,
    fd_sequences: Vec<SequenceRow>,
    net: Vec<SequenceRow>,
    name_modifiers: Says,
}

/// What is said of the last event of a row.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Says {
    fields: BTreeMap<String, String>,
    absent: Vec<String>,
    r#match: Vec<String>,
    nomatch: Vec<String>,
    compile_error: Vec<String>,
}

#[derive(Deserialize)]
struct EventRow {
    id: String,
    evt: Vec<Value>,
    #[serde(default)]
    state: Machine,
    #[serde(flatten)]
    says: Says,
}

#[derive(Deserialize)]
struct SequenceRow {
    id: String,
    seq: Vec<Value>,
    #[serde(flatten)]
    says: Says,
}

/// A row as it is tested.
pub struct Row {
    pub section: &'static str,
    pub id: String,
    pub machine: Machine,
    pub steps: Vec<Step>,
    pub checks: Vec<Check>,
}

/// The long directory of the `fspath` rows, open as fd 2.
const D: &str = "/tmp/dirfd1/dirfd2/dirfd3/dirfd4/dirfd5/dirfd6/dirfd7/dirfd8";

const PATH_FIELDS: [&str; 6] = ["name", "nameraw", "source", "sourceraw", "target", "targetraw"];

/// What the comment above the rows `fdkinds` says of all of them.
const OF_ALL_KINDS: [(&str, &str); 8] = [
    ("fd.name", ""),
    ("fd.nameraw", ""),
    ("fd.l4proto", "<NA>"),
    ("fd.is_server", "false"),
    ("fd.containername", ":"),
    ("fd.connected", "false"),
    ("fd.name_changed", "false"),
    ("fd.dev", "0"),
];

/// What the comments behind single rows say beside or instead of it. An fd that gets a name by the event counts as
/// renamed: the goldens say so of memfd_create.
const OF_KINDS: [(&str, &[(&str, &str)]); 3] = [
    ("PPME_SYSCALL_PIPE_X", &[("fd.uid", "14"), ("fd.ino", "81976")]),
    (
        "PPME_SYSCALL_MEMFD_CREATE_X",
        &[("fd.name", "memory-file"), ("fd.containername", ":memory-file"), ("fd.name_changed", "true")],
    ),
    (
        "PPME_SYSCALL_PIDFD_OPEN_X",
        &[("fd.name", "/proc/1"), ("fd.containername", ":/proc/1"), ("fd.name_changed", "true")],
    ),
];

impl Says {
    fn checks(self) -> Vec<Check> {
        let fields = self.fields.into_iter().map(|(name, value)| Check::Field(name, value));
        fields
            .chain(self.absent.into_iter().map(Check::Absent))
            .chain(self.r#match.into_iter().map(|filter| Check::Filter(filter, true)))
            .chain(self.nomatch.into_iter().map(|filter| Check::Filter(filter, false)))
            .chain(self.compile_error.into_iter().map(Check::Refused))
            .collect()
    }
}

impl Facts {
    pub fn rows(self) -> Vec<Row> {
        let mut rows = Vec::new();
        for row in self.events {
            let steps = vec![Step::of(&row.evt)];
            rows.push(Row { section: "events", id: row.id, machine: row.state, steps, checks: row.says.checks() });
        }
        for (at, (name, params, paths)) in self.fspath.into_iter().enumerate() {
            let checks = paths.into_iter().map(|(field, value)| {
                let value = value.strip_prefix("D/").map_or(value.clone(), |rest| format!("{D}/{rest}"));
                Check::Field(format!("fs.path.{field}"), value)
            });
            let (id, absent) =
                (format!("fspath {at} {name}"), PATH_FIELDS.map(|f| Check::Absent(format!("fs.path.{f}"))));
            let mut failed = params.clone();
            failed[0] = Value::from(-1);
            let steps = |params: &[Value]| {
                let opened = if name.ends_with("_FCHMOD_X") { "opened" } else { "directory" };
                vec![words("directory", 0, D), words(opened, 0, D), Step::named(&name, params)]
            };
            rows.push(Row::plain("fspath", id.clone(), steps(&params), checks.collect()));
            rows.push(Row::plain("fspath, failed", format!("{id} failed"), steps(&failed), absent.into()));
        }
        for (name, params, kind, letter, fd) in self.fdkinds {
            let own = OF_KINDS.iter().find(|(n, _)| *n == name).map_or(&[][..], |(_, facts)| facts);
            let mut facts = BTreeMap::from(OF_ALL_KINDS);
            facts.extend([("fd.type", kind.as_str()), ("fd.typechar", &letter), ("fd.num", &fd)]);
            facts.extend(own.iter().copied());
            let checks = facts.into_iter().map(|(field, value)| Check::Field(field.to_owned(), value.to_owned()));
            let steps = vec![Step::named(&name, &params)];
            rows.push(Row::plain("fdkinds", name, steps, checks.collect()));
        }
        for (section, sequences) in [("fd_sequences", self.fd_sequences), ("net", self.net)] {
            for row in sequences {
                let accepts = row.seq.iter().any(|s| s[0].as_str().is_some_and(|n| n.contains("ACCEPT")));
                let fd = if accepts { 5 } else { 9 };
                let steps = row.seq.iter().map(|step| match step {
                    Value::String(word) => words(word, fd, ""),
                    step => Step::of(step.as_array().unwrap()),
                });
                rows.push(Row::plain(section, row.id, steps.collect(), row.says.checks()));
            }
        }
        let machine = Machine::of_program("myexe");
        let open = vec![words("opened", 0, "")];
        for check in self.name_modifiers.checks() {
            let id = format!("name_modifiers {check}");
            let (machine, steps) = (machine.clone(), open.clone());
            rows.push(Row { section: "name_modifiers", id, machine, steps, checks: vec![check] });
        }
        rows
    }
}

impl Row {
    fn plain(section: &'static str, id: String, steps: Vec<Step>, checks: Vec<Check>) -> Row {
        Row { section, id, machine: Machine::default(), steps, checks }
    }
}
