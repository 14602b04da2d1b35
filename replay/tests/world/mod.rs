//! An engine that knows one process, and events for it: the fixture of the facts in golden-tests.yaml.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

pub mod draws;

use scapkit_format::lists::fds::{Fd as ListedFd, FdInfo, FdType};
use scapkit_format::lists::threads::Thread as ListedThread;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Content, Event, EventHead, Item, Limits, schema};
use scapkit_replay::engine::{Bound, Engine, Fd, Thread};

pub const SECOND: u64 = 1_000_000_000;

pub struct World {
    pub engine: Engine,
    pub ts: u64,
}

pub fn init() -> ListedThread<'static> {
    ListedThread {
        tid: 1,
        pid: 1,
        comm: b"init",
        exe: b"/sbin/init",
        exepath: b"/sbin/init",
        args: b"context\0ls\0",
        env: b"HOME=/home/user/parent\0",
        cwd: b"/root/",
        vtid: 1,
        vpid: 1,
        ..ListedThread::default()
    }
}

/// Feeds a synthetic capture's lists to an engine.
pub fn load(engine: &mut Engine, synth: &Synth) {
    let mut capture = Capture::from_bytes(synth.finish(), "lists", Limits::default());
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(_, content) = item
            && !matches!(content, Content::Event(_))
        {
            engine.content(&content);
        }
    }
}

impl World {
    pub fn new() -> Self {
        let null = ListedFd { fd: 0, ino: 0, kind: FdType::FILE, info: FdInfo::Name(b"/dev/null"), extra: &[] };
        let mut synth = Synth::new();
        synth.section().threads(9, &[init()]).fds(2, 1, &[null]);
        Self::of(&synth)
    }

    pub fn of(synth: &Synth) -> Self {
        let mut engine = Engine::default();
        load(&mut engine, synth);
        engine.finish_lists();
        World { engine, ts: 1_000 * SECOND }
    }

    /// Applies an event one nanosecond after the last one.
    pub fn event(&mut self, tid: i64, event_type: u16, params: &Params) -> Bound {
        self.ts += 1;
        let (lens, data, wide) = parts(event_type, params);
        let head = EventHead { ts: self.ts, tid, event_type, ..EventHead::default() };
        self.engine.apply(&Event::from_parts(head, wide, &lens, &data))
    }

    /// An event without effect: what waits for the next event happens.
    pub fn tick(&mut self) {
        self.event(1, schema::id::SYSCALL_GETCWD_X, &Params::new().i64(-1).empty());
    }

    pub fn fd(&self, fd: i64) -> &Fd {
        self.engine.fd(1, fd).unwrap()
    }

    pub fn name(&self, fd: i64) -> String {
        String::from_utf8_lossy(&self.fd(fd).name).into_owned()
    }

    pub fn thread(&self, tid: i64) -> &Thread {
        self.engine.thread(tid).unwrap()
    }

    pub fn tids(&self) -> Vec<i64> {
        self.engine.threads().map(|t| t.tid).collect()
    }
}

pub fn parts(event_type: u16, params: &Params) -> (Vec<u8>, Vec<u8>, bool) {
    let wide = schema::event_info(event_type).is_some_and(|i| i.flags.is_large());
    let (mut lens, mut data) = (Vec::new(), Vec::new());
    for p in params.slices() {
        let len = u32::try_from(p.len()).unwrap().to_le_bytes();
        lens.extend_from_slice(if wide { &len } else { &len[..2] });
        data.extend_from_slice(p);
    }
    (lens, data, wide)
}
