//! The digest of a capture: a small readable text that is the same as long as replaying gives the same.
//!
//! ```text
//! scapkit digest 1
//! view      current
//! events    298
//! hidden    0
//! damages   0
//! not-upgraded 0
//! event     close <        41 6d0f3cfe0c2a7f9e
//! ...
//! fields    0f4b... (blake3 of all events' fields)
//! threads   12
//! fds       61
//! users     3
//! groups    3
//! containers 0
//! state     77aa... (blake3 of the state at the end)
//! ```
//!
//! An `event` line has a type, its direction, the number of such events that are shown to somebody, and the
//! first 64 bits of the hash of their fields. So a difference says which types it is in. The fields are
//! [`DEFAULT_FIELDS`] unless told otherwise, as JSON, one line per event. Of the state everything is hashed
//! that can be seen of it, not how the engine keeps it ([`crate::Engine::hash`]).

use crate::context::TextOptions;
use crate::format::{Format, FormatError};
use crate::replay::{Played, Replay, View, Visibility};
use crate::text::Dialect;
use scapkit_format::Result;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// The fields that are hashed: what events are, whose they are, and what they are about. None depends on how
/// something is printed elsewhere but `evt.args`, which is the text of all arguments.
pub const DEFAULT_FIELDS: &[&str] = &[
    "evt.num",
    "evt.rawtime",
    "evt.cpu",
    "evt.dir",
    "evt.type",
    "evt.res",
    "evt.rawres",
    "evt.args",
    "thread.tid",
    "thread.vtid",
    "proc.pid",
    "proc.ppid",
    "proc.vpid",
    "proc.sid",
    "proc.name",
    "proc.exe",
    "proc.exepath",
    "proc.cmdline",
    "proc.cwd",
    "proc.pname",
    "user.uid",
    "user.name",
    "group.gid",
    "group.name",
    "container.id",
    "fd.num",
    "fd.type",
    "fd.name",
    "fd.l4proto",
];

/// What a capture gives when it is replayed. Its text is what is kept in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    view: View,
    events: u64,
    hidden: u64,
    damages: u64,
    not_upgraded: u64,
    /// By name and direction: number, hash of the fields.
    types: BTreeMap<(&'static str, char), (u64, [u8; 32])>,
    fields: [u8; 32],
    threads: u64,
    fds: u64,
    users: u64,
    groups: u64,
    containers: u64,
    state: [u8; 32],
}

/// The format for some fields, whose JSON is hashed.
///
/// # Errors
/// [`FormatError`] when one is no field.
pub fn format(fields: &[&str]) -> std::result::Result<Format, FormatError> {
    let text: Vec<String> = fields.iter().map(|field| format!("%{field}")).collect();
    Format::compile(&text.join(" "))
}

impl Digest {
    /// Replays a capture from where it stands to its end. `view` is what it is replayed in.
    ///
    /// # Errors
    /// As [`Replay::next`].
    pub fn of(replay: &mut Replay, view: View, format: &Format) -> Result<Digest> {
        let text = TextOptions::new(match view {
            View::Recorded => Dialect::Sysdig,
            View::Current => Dialect::Libs,
        });
        let (mut events, mut hidden) = (0u64, 0u64);
        let mut types: BTreeMap<_, (u64, blake3::Hasher)> = BTreeMap::new();
        let mut fields = blake3::Hasher::new();
        let (mut line, mut previous) = (Vec::new(), None);
        while let Some(played) = replay.next()? {
            let Played::Event(step) = played else { continue };
            if step.visibility == Visibility::Hidden {
                hidden = hidden.saturating_add(1);
                continue;
            }
            events = events.saturating_add(1);
            line.clear();
            format.json(&step.context(previous.unwrap_or(step.event.ts), &text), &mut line);
            line.push(b'\n');
            previous = Some(step.event.ts);
            let direction = if step.info.is_enter() { '>' } else { '<' };
            let (count, hash) = types.entry((step.info.name, direction)).or_default();
            *count = count.saturating_add(1);
            hash.update(&line);
            fields.update(&line);
        }
        let notes = replay.upgrade_notes();
        let not_upgraded = [notes.no_rule, notes.too_many_params, notes.unknown_type, notes.not_stored];
        let engine = replay.engine();
        let fds = |tid: i64| engine.fds(tid).count() as u64;
        let owners = engine.threads().filter(|t| t.is_main());
        Ok(Digest {
            view,
            events,
            hidden,
            damages: replay.capture().damages().count,
            not_upgraded: not_upgraded.into_iter().fold(0, u64::saturating_add),
            types: types.into_iter().map(|(key, (n, hash))| (key, (n, *hash.finalize().as_bytes()))).collect(),
            fields: *fields.finalize().as_bytes(),
            threads: engine.threads().count() as u64,
            fds: owners.fold(0, |sum: u64, t| sum.saturating_add(fds(t.tid))),
            users: engine.users().count() as u64,
            groups: engine.groups().count() as u64,
            containers: engine.containers().count() as u64,
            state: engine.hash(),
        })
    }
}

/// Appends bytes as hexadecimal digits.
fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let view = match self.view {
            View::Recorded => "recorded",
            View::Current => "current",
        };
        writeln!(f, "scapkit digest 1")?;
        writeln!(f, "view         {view}")?;
        for (what, n) in [
            ("events", self.events),
            ("hidden", self.hidden),
            ("damages", self.damages),
            ("not-upgraded", self.not_upgraded),
        ] {
            writeln!(f, "{what:<12} {n}")?;
        }
        for ((name, direction), (count, hash)) in &self.types {
            write!(f, "event        {direction} {name:<24} {count:>8} ")?;
            hex(f, hash.get(..8).unwrap_or_default())?;
            f.write_char('\n')?;
        }
        write!(f, "fields       ")?;
        hex(f, &self.fields)?;
        f.write_char('\n')?;
        for (what, n) in [
            ("threads", self.threads),
            ("fds", self.fds),
            ("users", self.users),
            ("groups", self.groups),
            ("containers", self.containers),
        ] {
            writeln!(f, "{what:<12} {n}")?;
        }
        write!(f, "state        ")?;
        hex(f, &self.state)?;
        f.write_char('\n')
    }
}

/// What differs between two digests' texts: lines of the wanted one with `-`, of the found one with `+`, in the
/// order of the texts. Empty when they are the same.
pub fn difference(wanted: &str, found: &str) -> Vec<String> {
    // Lines are known by what they speak of: all up to the first number.
    let key = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"event") { words.get(..3).unwrap_or(&words).join(" ") } else { words.first().copied().unwrap_or_default().to_owned() }
    };
    let old: BTreeMap<String, &str> = wanted.lines().map(|l| (key(l), l)).collect();
    let new: BTreeMap<String, &str> = found.lines().map(|l| (key(l), l)).collect();
    let mut out = Vec::new();
    for line in wanted.lines() {
        match new.get(&key(line)) {
            Some(other) if *other == line => {}
            other => {
                out.push(format!("-{line}"));
                out.extend(other.map(|other| format!("+{other}")));
            }
        }
    }
    out.extend(found.lines().filter(|line| !old.contains_key(&key(line))).map(|line| format!("+{line}")));
    if out.is_empty() && wanted != found {
        out.push("-(other order, or lines that are there twice)".to_owned());
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_lines() {
        let wanted = "scapkit digest 1\nevents 3\nevent < close 2 aa\nevent < open 1 bb\nstate 01\n";
        assert!(difference(wanted, wanted).is_empty());
        let found = "scapkit digest 1\nevents 3\nevent < close 2 ac\nevent < read 1 cc\nstate 01\n";
        assert_eq!(
            difference(wanted, found),
            ["-event < close 2 aa", "+event < close 2 ac", "-event < open 1 bb", "+event < read 1 cc"]
        );
        assert!(!difference(wanted, "").is_empty() && !difference("", wanted).is_empty());
        assert!(!difference(wanted, &format!("{wanted}state 01\n")).is_empty());
    }

    #[test]
    fn the_fields_exist() {
        assert!(format(DEFAULT_FIELDS).is_ok());
        assert!(format(&["evt.nonsense"]).is_err());
    }
}
