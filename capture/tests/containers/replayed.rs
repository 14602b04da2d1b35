//! What replay says of a capture with a container's events and a thread in it.

use scapkit_capture::containers::{ContainerId, Known, Worker};
use scapkit_format::lists::threads::Thread;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Event, Limits};
use scapkit_replay::{Format, Played, Replay, ReplayOptions, TextOptions, View};
use std::time::{Duration, Instant};

/// What is recorded of a container, the bare record first, until its engine has said all it will.
pub fn known_of(worker: &mut Worker, cgroups: &str) -> (ContainerId, Vec<Known>) {
    let wanted = ContainerId::of_cgroups(cgroups.as_bytes()).expect(cgroups);
    let begun = Instant::now();
    let mut known: Vec<Known> = worker.want(&wanted).into_iter().collect();
    assert!(begun.elapsed() < Duration::from_millis(100), "the caller waited {:?}", begun.elapsed());
    while !worker.is_idle() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", worker.counters());
        std::thread::sleep(Duration::from_millis(2));
    }
    known.extend(std::iter::from_fn(|| worker.next()));
    (wanted, known)
}

/// One line per event of a thread in the container: first the bare record's, then those after each later one.
pub fn lines(format: &str, cgroups: &str, known: &[Known]) -> Vec<String> {
    let format = Format::compile(format).unwrap();
    let mut synth = Synth::new();
    let thread = Thread { tid: 42, pid: 42, comm: b"box", cgroups: cgroups.as_bytes(), ..Thread::default() };
    synth.section().machine("m", 1, 0).threads(9, &[thread]);
    for (known, ts) in known.iter().zip((1_000..).step_by(10)) {
        let bytes = known.event(ts);
        let event = Event::parse_v2(&bytes, 0, 0).unwrap();
        assert_eq!((event.ts, event.tid, event.event_type), (ts, -1, 402));
        assert_eq!(bytes[16..20], u32::try_from(bytes.len()).unwrap().to_le_bytes());
        let mut block = Vec::new();
        scapkit_format::encode::event_of(&mut block, &event).unwrap();
        synth.raw(&block);
        synth.event(ts + 1, 42, id::SYSCALL_CHDIR_X, &Params::new().i64(0).str("/"));
    }
    let capture = Capture::from_bytes(synth.finish(), "test", Limits::default());
    let mut replay = Replay::new(capture, ReplayOptions { view: View::Current, ..ReplayOptions::default() });
    let options = TextOptions::default();
    let mut found = Vec::new();
    while let Some(played) = replay.next().unwrap() {
        let Played::Event(step) = played else { continue };
        if step.event.event_type == id::SYSCALL_CHDIR_X {
            let mut line = Vec::new();
            format.line(&step.context(step.event.ts, &options), &mut line);
            found.push(String::from_utf8(line).unwrap());
        }
    }
    found
}
