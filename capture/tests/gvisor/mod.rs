//! What the tests of gVisor's messages share: messages as a sandbox sends them, the events that are made of them, and
//! what replay knows after each.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)] // each test binary uses its own part

use bytes::Bytes;
use scapkit_capture::gvisor::map::{Counts, Events, Mapper};
use scapkit_capture::gvisor::stream::{Sent, What};
use scapkit_format::schema::{self, EventInfo};
use scapkit_format::value::{Value, decode_param};
use scapkit_format::{Content, Event, STATE_ONLY};
use scapkit_proto::common::{ContextData, Credentials};
use scapkit_proto::syscall::Exit;
use scapkit_proto::{Message, packet};
use scapkit_replay::{Engine, Format, Played, Player, ReplayOptions, TextOptions, Thread};
use std::cell::Cell;

/// When the first message of a test is sent, ns since the epoch.
pub const START: i64 = 1_700_000_000_000_000_000;
pub const MS: i64 = 1_000_000;
/// Container of [`ctx`].
pub const CONTAINER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(START) };
}

/// Every message is a microsecond later than the one before.
pub fn now() -> i64 {
    NOW.set(NOW.get() + 1000);
    NOW.get()
}

/// Lets time pass.
pub fn wait(ms: i64) {
    NOW.set(NOW.get() + ms * MS);
}

/// What every message of a thread says.
pub fn member(thread: i32, group: i32) -> ContextData {
    ContextData {
        time_ns: now(),
        thread_id: thread,
        thread_group_id: group,
        container_id: Bytes::from_static(CONTAINER.as_bytes()),
        ..ContextData::default()
    }
}

/// The same of a process with one thread.
pub fn ctx(thread: i32) -> ContextData {
    member(thread, thread)
}

/// The same of another container.
pub fn ctx_in(container: &str, thread: i32) -> ContextData {
    ContextData { container_id: text(container), ..ctx(thread) }
}

pub fn ids(uid: u32, gid: u32) -> Option<Credentials> {
    Some(Credentials {
        real_uid: uid,
        effective_uid: uid,
        saved_uid: uid,
        real_gid: gid,
        effective_gid: gid,
        saved_gid: gid,
    })
}

pub fn text(s: &str) -> Bytes {
    Bytes::copy_from_slice(s.as_bytes())
}

pub fn texts(list: &[&str]) -> Vec<Bytes> {
    list.iter().map(|s| text(s)).collect()
}

/// The call succeeded.
#[allow(clippy::unnecessary_wraps)] // as the field wants it
pub fn ok(result: i64) -> Option<Exit> {
    Some(Exit { result, errorno: 0 })
}

/// The call failed.
#[allow(clippy::unnecessary_wraps)]
pub fn failed(errorno: i64) -> Option<Exit> {
    Some(Exit { result: 0, errorno })
}

/// A message about a call: `call!(Open, ctx(1), exit: ok(3), pathname: text("/x"))`.
#[macro_export]
macro_rules! call {
    ($kind:ident, $context:expr $(, $field:ident : $value:expr)* $(,)?) => {
        scapkit_proto::Message::$kind(scapkit_proto::syscall::$kind {
            context_data: Some($context),
            $($field: $value,)*
            ..Default::default()
        })
    };
}

/// A message that is about no call.
#[macro_export]
macro_rules! told {
    ($kind:ident, $context:expr $(, $field:ident : $value:expr)* $(,)?) => {
        scapkit_proto::Message::$kind(scapkit_proto::sentry::$kind {
            context_data: Some($context),
            $($field: $value,)*
            ..Default::default()
        })
    };
}

/// A container's start, of `args`.
pub fn start(context: ContextData, args: &[&str]) -> Message {
    Message::Start(scapkit_proto::container::Start {
        id: context.container_id.clone(),
        cwd: text("/"),
        args: texts(args),
        context_data: Some(context),
        ..Default::default()
    })
}

pub fn inet(ip: [u8; 4], port: u16) -> Bytes {
    Bytes::from([&[2, 0][..], &port.to_be_bytes(), &ip, &[0; 8]].concat())
}

pub fn inet6(last: u8, port: u16) -> Bytes {
    Bytes::from([&[10, 0][..], &port.to_be_bytes(), &[0; 4], &[0; 15], &[last], &[0; 4]].concat())
}

pub fn unix(rest: &[u8]) -> Bytes {
    Bytes::from([&[1, 0][..], rest].concat())
}

/// The id that a thread of a sandbox has in a capture.
pub fn tid(serial: i64, thread: i32) -> i64 {
    serial << 32 | i64::from(thread)
}

/// An event that was made, and what replay says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    pub ts: u64,
    pub tid: i64,
    pub event_type: u16,
    pub state_only: bool,
    params: Vec<Vec<u8>>,
    /// The fields that the test looks at.
    pub line: String,
}

impl Made {
    pub fn info(&self) -> &'static EventInfo {
        schema::event_info(self.event_type).unwrap()
    }

    pub fn name(&self) -> &'static str {
        self.info().name
    }

    /// Name and direction.
    pub fn what(&self) -> String {
        format!("{}{}", self.name(), if self.info().is_enter() { ">" } else { "<" })
    }

    #[track_caller]
    pub fn value(&self, name: &str) -> Value<'_> {
        let info = self.info();
        let at = info.params.iter().position(|p| p.name == name);
        let at = at.unwrap_or_else(|| panic!("{info} has no {name}"));
        let value = decode_param(&info.params[at], &self.params[at]);
        assert!(!matches!(value, Value::Malformed { .. }), "{info} {name}: {value:?}");
        value
    }

    /// A number, whatever its sign.
    #[track_caller]
    pub fn num(&self, name: &str) -> i64 {
        match self.value(name) {
            Value::Signed(n) => n,
            Value::Unsigned(n) => n as i64,
            other => panic!("{} {name}: {other:?}", self.name()),
        }
    }

    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        match self.value(name) {
            Value::Text(Some(s)) | Value::Bytes(s) => String::from_utf8_lossy(s).into_owned(),
            Value::Absent => "<absent>".into(),
            other => panic!("{} {name}: {other:?}", self.name()),
        }
    }

    /// Whether nothing is known of a parameter.
    #[track_caller]
    pub fn absent(&self, name: &str) -> bool {
        self.value(name) == Value::Absent
    }

    /// What the call returned: the first parameter.
    #[track_caller]
    pub fn res(&self) -> i64 {
        self.num(self.info().params[0].name)
    }

    /// The JSON of an event about a container.
    #[track_caller]
    pub fn container(&self) -> serde_json::Value {
        serde_json::from_str(self.text("data").trim_end_matches('\0')).unwrap()
    }
}

/// What is wrong with an event; `None` when consumers can read all of it.
pub fn wrong(event: &[u8]) -> Option<String> {
    let Ok(parsed) = Event::parse_v2(event, 0, 0) else { return Some("it cannot be parsed".into()) };
    let Some(info) = schema::event_info(parsed.event_type) else { return Some("its type is not known".into()) };
    if info.flags.is_unused() {
        return Some(format!("{info}: no event is of this type"));
    }
    if parsed.params().count() != info.params.len() {
        return Some(format!("{info}: {} parameters", parsed.params().count()));
    }
    // Of no thread: what is known of a container.
    let nobody = parsed.tid == -1 && info.name == "asyncevent";
    if !nobody && !(0..1 << 53).contains(&parsed.tid) {
        return Some(format!("{info}: thread {}", parsed.tid));
    }
    for (bytes, param) in parsed.params().zip(info.params) {
        let width = param.kind.fixed_size();
        if width.is_some_and(|width| !bytes.is_empty() && bytes.len() != width) {
            return Some(format!("{info} {}: {} bytes", param.name, bytes.len()));
        }
        if let Value::Malformed { wanted, found } = decode_param(param, bytes) {
            return Some(format!("{info} {}: wanted {wanted} bytes, found {found}", param.name));
        }
        if let Value::Dyn(sub, bytes) = decode_param(param, bytes)
            && sub.kind.fixed_size().is_some_and(|width| width != bytes.len())
        {
            return Some(format!("{info} {}: {} bytes", param.name, bytes.len()));
        }
    }
    None
}

/// A mapper, and a replay of what it makes.
pub struct Feed {
    pub mapper: Mapper,
    player: Player,
    fields: Format,
    /// All that was made, in order.
    pub all: Vec<Made>,
}

impl Default for Feed {
    fn default() -> Self {
        Feed::showing("*%thread.tid")
    }
}

impl Feed {
    pub fn showing(fields: &str) -> Feed {
        Feed {
            mapper: Mapper::default(),
            player: Player::new(ReplayOptions::default()),
            fields: Format::compile(fields).unwrap(),
            all: Vec::new(),
        }
    }

    /// A sandbox whose container started: its first process is 1.
    pub fn started() -> Feed {
        let mut feed = Feed::default();
        feed.init();
        feed
    }

    /// Starts the container.
    pub fn init(&mut self) {
        let context = ContextData { credentials: ids(0, 0), process_name: text("init"), cwd: text("/"), ..ctx(1) };
        self.send(start(context, &["/sbin/init", "-x"]));
    }

    pub fn engine(&self) -> &Engine {
        self.player.engine()
    }

    #[track_caller]
    pub fn thread(&self, tid: i64) -> &Thread {
        self.engine().thread(tid).unwrap_or_else(|| panic!("no thread {tid}"))
    }

    pub fn comm(&self, tid: i64) -> String {
        String::from_utf8_lossy(&self.thread(tid).comm).into_owned()
    }

    pub fn counts(&self) -> &Counts {
        self.mapper.counts()
    }

    pub fn take(&mut self, connection: u32, what: What) -> Vec<Made> {
        let mut events = Events::default();
        self.mapper.take(&Sent { connection, what }, &mut events);
        let text = TextOptions::default();
        let mut made = Vec::new();
        for (origin, bytes) in events.iter() {
            assert_eq!(wrong(bytes), None);
            let event = Event::parse_v2(bytes, origin.cpu, origin.flags).unwrap();
            let mut line = Vec::new();
            if let Played::Event(step) = self.player.play(&Content::Event(event)) {
                self.fields.line(&step.context(event.ts, &text), &mut line);
            }
            made.push(Made {
                ts: event.ts,
                tid: event.tid,
                event_type: event.event_type,
                state_only: origin.flags & STATE_ONLY != 0,
                params: event.params().map(<[u8]>::to_vec).collect(),
                line: String::from_utf8_lossy(&line).into_owned(),
            });
        }
        self.all.extend(made.iter().cloned());
        made
    }

    pub fn open(&mut self, connection: u32) {
        assert_eq!(self.take(connection, What::Opened), []);
    }

    pub fn close(&mut self, connection: u32) -> Vec<Made> {
        self.take(connection, What::Closed)
    }

    /// A packet, whatever it is.
    pub fn raw(&mut self, connection: u32, bytes: &[u8]) -> Vec<Made> {
        self.take(connection, What::Packet(Bytes::copy_from_slice(bytes)))
    }

    pub fn send_to(&mut self, connection: u32, message: &Message, dropped: u32) -> Vec<Made> {
        self.raw(connection, &packet(message, dropped))
    }

    /// A message of the first connection; what is made of it.
    #[allow(clippy::needless_pass_by_value)] // it was made for this
    pub fn send(&mut self, message: Message) -> Vec<Made> {
        self.send_to(0, &message, 0)
    }

    /// The event of a message of which exactly one is made that is shown.
    #[track_caller]
    pub fn one(&mut self, message: Message) -> Made {
        let made = self.send(message);
        let mut shown = made.iter().filter(|e| !e.state_only && e.name() != "asyncevent");
        match (shown.next(), shown.next()) {
            (Some(event), None) => event.clone(),
            _ => panic!("wanted one event: {made:#?}"),
        }
    }

    /// A process made by a fork of `parent`, which has returned.
    pub fn fork(&mut self, parent: i32, child: i32) {
        self.send(told!(CloneInfo, ctx(parent), created_thread_id: child, created_thread_group_id: child));
        self.send(call!(Fork, ctx(parent), sysno: 57, exit: ok(i64::from(child))));
    }

    /// A thread of `group`, made by its leader.
    pub fn spawn(&mut self, group: i32, child: i32) {
        let flags = 0x003d_0f00;
        self.send(told!(CloneInfo, ctx(group), created_thread_id: child, created_thread_group_id: group, flags: flags));
        self.send(call!(Clone, ctx(group), sysno: 56, exit: ok(i64::from(child)), flags: flags));
    }
}

/// Names and directions of those that are shown.
pub fn shown(made: &[Made]) -> Vec<String> {
    made.iter().filter(|e| !e.state_only && e.name() != "asyncevent").map(Made::what).collect()
}

/// A file of packets of one connection.
pub fn stream_of(messages: &[Message]) -> Vec<u8> {
    let mut out = b"\x02\0\0\x80\x08\x01\x02\0\0\xc0\x08\x01".to_vec();
    for message in messages {
        let packet = packet(message, 0);
        out.extend_from_slice(&(packet.len() as u32).to_le_bytes());
        out.extend_from_slice(&packet);
    }
    out
}

/// A line of what `runsc trace procfs` says, after the first.
pub fn listed(pid: i32, ppid: i32, comm: &str, args: &[&str]) -> String {
    let id = serde_json::json!({"real": 5, "effective": 5, "saved": 5});
    serde_json::json!({
        "exe": format!("/bin/{comm}"), "args": args, "env": ["A=1"], "cwd": "/srv", "root": "/",
        "clone_ts": START - MS,
        "fdlist": [{"number": 3, "path": "/etc/passwd", "mode": 0o100_644}, {"number": 4, "path": "pipe:[9]", "mode": 0o010_600}],
        "limits": {"RLIMIT_NOFILE": {"cur": 1024, "max": 4096}},
        "status": {"comm": comm, "pid": pid, "ppid": ppid, "uid": id, "gid": id, "vm_size": 100, "vm_rss": 10},
        "stat": {"pgid": 1, "sid": 1},
    })
    .to_string()
}

/// What `runsc trace procfs` says.
pub fn dump(lines: &[String]) -> String {
    format!("PROCFS DUMP\n\n{}\n", lines.join("\n\n"))
}
