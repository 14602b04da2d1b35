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
//! `state-hash` is over the state after the last event: every thread in the order of its id, with all that
//! the engine knows of it and its fds, then users, groups and containers.

use crate::TextOptions;
use crate::engine::{Container, Engine, Fd, Group, Mount, Socket, Thread, User};
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
        let mut state = State::default();
        state.all(engine);
        let counters = engine.counters();
        for (name, value) in [
            ("threads", state.threads),
            ("processes", state.processes),
            ("fds", state.fds),
            ("users", state.users),
            ("groups", state.groups),
            ("containers", state.containers),
            ("threads-refused", counters.threads_refused),
            ("fds-refused", counters.fds_refused),
            ("memory-refused", counters.memory_refused),
            ("damages", damages),
        ] {
            rows.push((name.to_owned(), value.to_string()));
        }
        rows.push(("state-hash".to_owned(), shown(&state.hash)));
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
    hash.finalize().to_hex().chars().take(DIGITS).collect()
}

/// Hashes and counts the state. Every string is preceded by its length, so that no two states look the same.
#[derive(Default)]
struct State {
    hash: blake3::Hasher,
    threads: u64,
    processes: u64,
    fds: u64,
    users: u64,
    groups: u64,
    containers: u64,
}

fn more(count: &mut u64) {
    *count = count.saturating_add(1);
}

impl State {
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.hash.update(bytes);
    }

    fn number(&mut self, n: u64) {
        self.hash.update(&n.to_le_bytes());
    }

    fn signed(&mut self, n: i64) {
        self.number(n.cast_unsigned());
    }

    fn all(&mut self, engine: &Engine) {
        let mut tables: BTreeMap<usize, blake3::Hash> = BTreeMap::new();
        for thread in engine.threads() {
            more(&mut self.threads);
            self.thread(thread);
            let open = engine.fd_count(thread.tid) as u64;
            self.number(open);
            // Forks share their table as long as nobody changes it: each table is hashed once.
            if let Some(id) = engine.fd_table_id(thread.tid) {
                let hash = tables.entry(id).or_insert_with(|| {
                    let mut table = State::default();
                    for (number, fd) in engine.fds(thread.tid) {
                        table.signed(number);
                        table.fd(fd);
                    }
                    table.hash.finalize()
                });
                self.hash.update(hash.as_bytes());
            }
            // Threads of a process share one table; it is counted where the process is.
            if thread.tid == thread.pid {
                more(&mut self.processes);
                self.fds = self.fds.saturating_add(open);
            }
        }
        for (container, user) in engine.users() {
            more(&mut self.users);
            let User { uid, gid, name, home, shell, .. } = user;
            self.number(u64::from(*uid));
            self.number(u64::from(*gid));
            for text in [container, name, home, shell] {
                self.bytes(text);
            }
        }
        for (container, group) in engine.groups() {
            more(&mut self.groups);
            let Group { gid, name, .. } = group;
            self.number(u64::from(*gid));
            self.bytes(container);
            self.bytes(name);
        }
        for container in engine.containers() {
            more(&mut self.containers);
            self.container(container);
        }
    }

    // All fields are named below, so that the compiler asks about a new one.

    fn thread(&mut self, thread: &Thread) {
        let Thread {
            tid,
            pid,
            ptid,
            sid,
            vpgid,
            pgid,
            vtid,
            vpid,
            comm,
            exe,
            exepath,
            args,
            env,
            cgroups,
            container_id,
            root,
            cwd,
            flags,
            fdlimit,
            uid,
            gid,
            loginuid,
            tty,
            vmsize_kb,
            vmrss_kb,
            vmswap_kb,
            pfmajor,
            pfminor,
            cap_inheritable,
            cap_permitted,
            cap_effective,
            exe_writable,
            exe_upper_layer,
            exe_lower_layer,
            exe_from_memfd,
            exe_ino,
            exe_ino_ctime,
            exe_ino_mtime,
            ctime_to_clone_ns,
            pidns_to_ctime_ns,
            pidns_init_start_ts,
            clone_ts,
            lastexec_ts,
            exec_ns,
            cpu_user,
            cpu_system,
        } = thread;
        for n in [tid, pid, ptid, sid, vpgid, pgid, vtid, vpid, fdlimit] {
            self.signed(*n);
        }
        for text in [comm, exe, exepath, args, env, cgroups, container_id, root, cwd] {
            self.bytes(text);
        }
        for n in [flags, uid, gid, loginuid, tty, vmsize_kb, vmrss_kb, vmswap_kb] {
            self.number(u64::from(*n));
        }
        for flag in [exe_writable, exe_upper_layer, exe_lower_layer, exe_from_memfd] {
            self.number(u64::from(*flag));
        }
        for n in [pfmajor, pfminor, cap_inheritable, cap_permitted, cap_effective, exe_ino, exe_ino_ctime] {
            self.number(*n);
        }
        for n in [
            exe_ino_mtime,
            ctime_to_clone_ns,
            pidns_to_ctime_ns,
            pidns_init_start_ts,
            clone_ts,
            lastexec_ts,
            exec_ns,
            cpu_user,
            cpu_system,
        ] {
            self.number(*n);
        }
    }

    fn fd(&mut self, fd: &Fd) {
        let Fd { kind, name, name_raw, open_flags, dev, ino, socket, flags, pid } = fd;
        self.number(u64::from(u32::from(kind.type_char())));
        self.number(*kind as u64);
        self.bytes(name);
        self.bytes(name_raw);
        for n in [u64::from(*open_flags), u64::from(*dev), *ino, u64::from(*flags)] {
            self.number(n);
        }
        self.signed(*pid);
        let (which, addresses, numbers): (u64, [&[u8]; 2], [u64; 3]) = match socket {
            Socket::None => (0, [&[], &[]], [0; 3]),
            Socket::Ipv4 { sip, sport, dip, dport, l4 } => {
                (1, [sip, dip], [u64::from(*sport), u64::from(*dport), u64::from(*l4)])
            }
            Socket::Ipv6 { sip, sport, dip, dport, l4 } => {
                (2, [sip, dip], [u64::from(*sport), u64::from(*dport), u64::from(*l4)])
            }
            Socket::Ipv4Server { ip, port, l4 } => (3, [ip, &[]], [u64::from(*port), u64::from(*l4), 0]),
            Socket::Ipv6Server { ip, port, l4 } => (4, [ip, &[]], [u64::from(*port), u64::from(*l4), 0]),
            Socket::Unix { source, destination } => (5, [&[], &[]], [*source, *destination, 0]),
        };
        self.number(which);
        for address in addresses {
            self.bytes(address);
        }
        for n in numbers {
            self.number(n);
        }
    }

    fn container(&mut self, container: &Container) {
        let Container {
            id,
            full_id,
            kind,
            name,
            image,
            image_id,
            image_repository,
            image_tag,
            image_digest,
            user,
            ip,
            cni_json,
            privileged,
            host_pid,
            host_network,
            host_ipc,
            mounts,
            labels,
            pod_sandbox_id,
            pod_sandbox_labels,
            json,
        } = container;
        self.number(kind.map_or(u64::MAX, u64::from));
        for text in [id, full_id, name, image, image_id, image_repository, image_tag, image_digest] {
            self.bytes(text.as_bytes());
        }
        for text in [user, ip, cni_json, pod_sandbox_id] {
            self.bytes(text.as_bytes());
        }
        for flag in [privileged, host_pid, host_network, host_ipc] {
            self.number(u64::from(*flag));
        }
        self.number(mounts.len() as u64);
        for Mount { source, destination, mode, writable, propagation } in mounts {
            for text in [source, destination, mode, propagation] {
                self.bytes(text.as_bytes());
            }
            self.number(u64::from(*writable));
        }
        for labels in [labels, pod_sandbox_labels] {
            self.number(labels.iter().count() as u64);
            for (name, value) in labels.iter() {
                self.bytes(name.as_bytes());
                self.bytes(value.as_bytes());
            }
        }
        self.bytes(json);
    }
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
