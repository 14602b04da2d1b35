//! The digest of a capture: a small text that changes when what scapkit says of the capture changes.
//!
//! ```text
//! digest            1
//! view              current
//! fields            evt.num,evt.rawtime,...
//! events            298
//! events-hash       4f0c...
//! event clone<      9
//! ...
//! threads           12
//! state-hash        77ab...
//! ```
//!
//! One value per line, so that a comparison says what differs. Hashes are BLAKE3, the first 32 hex digits.
//!
//! `events-hash` is over the events of the current view, internal ones included: for each, the JSON object of
//! the fields and a line feed. It is what `scapkit read --all --json --view current -p FIELDS` prints.
//! `state-hash` is over the state after the last event: [`Engine::hash`].

use crate::TextOptions;
use crate::engine::Engine;
use crate::format::{Format, FormatError};
use crate::replay::{Played, Replay, ReplayOptions, Step, View, Visibility};
use crate::text::Dialect;
use scapkit_format::{Capture, Result};
use std::collections::BTreeMap;
use std::fmt;

/// Version of the digest's own rules.
const VERSION: u32 = 1;
/// Text collected before it is hashed.
const CHUNK: usize = 64 << 10;
/// Hex digits shown of a hash.
const DIGITS: usize = 32;

/// The fields that are hashed unless told otherwise: what an event is, who did it to what, and how it ended.
/// Only fields whose values are compared with libs, and none that is computed of another one here.
pub const DEFAULT_FIELDS: &[&str] = &[
    "evt.num",
    "evt.rawtime",
    "evt.cpu",
    "evt.type",
    "evt.category",
    "evt.rawres",
    "evt.failed",
    "evt.args",
    "evt.is_io_read",
    "evt.is_io_write",
    "evt.buflen",
    "thread.tid",
    "thread.vtid",
    "thread.cgroups",
    "proc.pid",
    "proc.vpid",
    "proc.ppid",
    "proc.sid",
    "proc.vpgid",
    "proc.name",
    "proc.pname",
    "proc.exe",
    "proc.exepath",
    "proc.args",
    "proc.cwd",
    "proc.tty",
    "proc.nthreads",
    "proc.nchilds",
    "proc.is_exe_writable",
    "user.uid",
    "user.name",
    "user.loginuid",
    "group.gid",
    "group.name",
    "container.id",
    "fd.num",
    "fd.type",
    "fd.name",
    "fd.ino",
    "fd.cip",
    "fd.cport",
    "fd.sip",
    "fd.sport",
];

/// Computes the digest of one capture from its steps.
pub struct Digester {
    format: Format,
    options: TextOptions,
    hash: blake3::Hasher,
    text: Vec<u8>,
    /// By name; enters end with `>`, exits with `<`.
    types: BTreeMap<(&'static str, bool), u64>,
    events: u64,
    previous_ts: Option<u64>,
}

impl Digester {
    /// A digester that hashes these fields of every event, written as in formats without their `%`.
    ///
    /// # Errors
    /// When a text is no field.
    pub fn new<S: AsRef<str>>(fields: &[S]) -> std::result::Result<Digester, FormatError> {
        let format = fields.iter().fold("*".to_owned(), |all, f| format!("{all} %{}", f.as_ref()));
        Ok(Digester {
            format: Format::compile(&format)?,
            options: TextOptions::new(Dialect::Libs),
            hash: blake3::Hasher::new(),
            text: Vec::with_capacity(CHUNK.saturating_mul(2)),
            types: BTreeMap::new(),
            events: 0,
            previous_ts: None,
        })
    }

    /// How a capture must be replayed for its digest.
    pub fn replay_options() -> ReplayOptions {
        ReplayOptions { view: View::Current, latency: false, ..ReplayOptions::default() }
    }

    /// Takes in an event.
    pub fn step(&mut self, step: &Step<'_>) {
        if step.visibility == Visibility::Hidden {
            return;
        }
        self.events = self.events.saturating_add(1);
        let count = self.types.entry((step.info.name, !step.info.is_enter())).or_default();
        *count = count.saturating_add(1);
        let context = step.context(self.previous_ts.unwrap_or(step.event.ts), &self.options);
        self.format.json(&context, &mut self.text);
        self.text.push(b'\n');
        self.previous_ts = Some(step.event.ts);
        if self.text.len() >= CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.hash.update(&self.text);
        self.text.clear();
    }

    /// The digest, with the state after the last event and how many damages there were.
    pub fn finish(mut self, engine: &Engine, damages: u64) -> Digest {
        self.flush();
        let mut rows = vec![
            ("digest".to_owned(), VERSION.to_string()),
            ("view".to_owned(), "current".to_owned()),
            ("fields".to_owned(), self.format.fields().collect::<Vec<_>>().join(",")),
            ("events".to_owned(), self.events.to_string()),
            ("events-hash".to_owned(), shown(&self.hash)),
        ];
        for ((name, exit), count) in &self.types {
            let direction = if *exit { '<' } else { '>' };
            rows.push((format!("event {name}{direction}"), count.to_string()));
        }
        let counters = engine.counters();
        let processes = || engine.threads().filter(|t| t.tid == t.pid);
        for (name, value) in [
            ("threads", engine.threads().count() as u64),
            ("processes", processes().count() as u64),
            // Threads of a process share one table; it is counted where the process is.
            ("fds", processes().map(|t| engine.fd_count(t.tid) as u64).fold(0, u64::saturating_add)),
            ("users", engine.users().count() as u64),
            ("groups", engine.groups().count() as u64),
            ("containers", engine.containers().count() as u64),
            ("threads-refused", counters.threads_refused),
            ("fds-refused", counters.fds_refused),
            ("memory-refused", counters.memory_refused),
            ("damages", damages),
        ] {
            rows.push((name.to_owned(), value.to_string()));
        }
        rows.push(("state-hash".to_owned(), first_digits(&engine.hash().into())));
        Digest { rows }
    }
}

/// The digest of a capture, as rows of a name and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    rows: Vec<(String, String)>,
}

/// A row in which a digest differs from what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The row's name.
    pub name: String,
    /// What was expected; `None` when the row was not.
    pub expected: Option<String>,
    /// What was found; `None` when there is no such row.
    pub found: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_nothing = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{}: {} expected, {} found", self.name, or_nothing(&self.expected), or_nothing(&self.found))
    }
}

impl Digest {
    /// The digest of a capture that was not read from yet, with [`DEFAULT_FIELDS`].
    ///
    /// ```no_run
    /// use scapkit_format::{Capture, Limits};
    /// use scapkit_replay::digest::Digest;
    /// let digest = Digest::of(Capture::open("incident.scap".as_ref(), Limits::default())?)?;
    /// println!("{digest}");
    /// # Ok::<(), scapkit_format::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Capture::next`].
    pub fn of(capture: Capture) -> Result<Digest> {
        let mut replay = Replay::new(capture, Digester::replay_options());
        // These are fields; a test says so.
        let Ok(mut digester) = Digester::new(DEFAULT_FIELDS) else {
            return Ok(Digest { rows: Vec::new() });
        };
        while let Some(played) = replay.next()? {
            if let Played::Event(step) = played {
                digester.step(&step);
            }
        }
        Ok(digester.finish(replay.engine(), replay.capture().damages().count))
    }

    /// Reads what [`Digest`]'s text says: a name, spaces and a value on each line. Empty lines and those that
    /// begin with `#` say nothing. A line without a value has an empty one.
    pub fn parse(text: &str) -> Digest {
        let lines = text.lines().map(str::trim_end).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let row = |line: &str| match line.rsplit_once(' ') {
            Some((name, value)) => (name.trim_end().to_owned(), value.to_owned()),
            None => (line.to_owned(), String::new()),
        };
        Digest { rows: lines.map(row).collect() }
    }

    /// The value of a row.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.rows.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// Where it differs from what was expected: rows of `self` first, in their order.
    pub fn differences(&self, expected: &Digest) -> Vec<Difference> {
        let index = |digest: &Digest| -> BTreeMap<String, String> { digest.rows.iter().cloned().collect() };
        let (found, wanted) = (index(self), index(expected));
        let names = self.rows.iter().chain(expected.rows.iter().filter(|(name, _)| !found.contains_key(name)));
        let mut list: Vec<Difference> = names
            .map(|(name, _)| Difference {
                name: name.clone(),
                expected: wanted.get(name).cloned(),
                found: found.get(name).cloned(),
            })
            .filter(|d| d.expected != d.found)
            .collect();
        list.dedup();
        list
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.rows.iter().try_for_each(|(name, value)| writeln!(f, "{name:<width$}  {value}"))
    }
}

fn shown(hash: &blake3::Hasher) -> String {
    first_digits(&hash.finalize())
}

fn first_digits(hash: &blake3::Hash) -> String {
    hash.to_hex().chars().take(DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_fields_are_fields() {
        let digester = Digester::new(DEFAULT_FIELDS).ok();
        let named = digester.map(|d| d.format.fields().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(named, Some(DEFAULT_FIELDS.iter().map(|f| (*f).to_owned()).collect()));
    }

    #[test]
    fn text_and_back() {
        let rows = [("digest", "1"), ("event open<", "3"), ("state-hash", "ab")];
        let digest = Digest { rows: rows.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec() };
        let text = digest.to_string();
        assert_eq!(text, "digest       1\nevent open<  3\nstate-hash   ab\n");
        assert_eq!(Digest::parse(&format!("# NAME\n\n{text}")), digest);
        let other = Digest::parse("digest 1\nevent open< 4\nevent read< 1\nstate-hash ab\n");
        let said: Vec<String> = digest.differences(&other).iter().map(ToString::to_string).collect();
        assert_eq!(said, ["event open<: 4 expected, 3 found", "event read<: 1 expected, nothing found"]);
        assert_eq!(digest.differences(&digest), []);
    }
}
