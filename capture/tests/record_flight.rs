//! The flight recorder: what it writes stands alone and tells what the whole tells of the same events.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{corpus, lines, play, sound, whole};
use scapkit_capture::record::{Dumped, Flight, FlightOptions, Form, Limit};
use scapkit_capture::simulated::Simulated;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Compression, Limits};
use scapkit_replay::Filter;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const S: u64 = 1_000_000_000;

fn options(output: PathBuf, age: Option<u64>, bytes: usize) -> FlightOptions {
    FlightOptions {
        output,
        form: Form { compression: Compression::None, threads: 0, ..Form::default() },
        limit: Limit { age, bytes },
        after: Duration::from_mins(10),
        filter: None,
        trigger: None,
    }
}

fn flight(file: &Path, options: FlightOptions) -> (Simulated, Flight) {
    let source = common::source(file);
    let flight = Flight::new(options, source.lists()).unwrap();
    (source, flight)
}

fn only(mut done: Vec<Dumped>) -> PathBuf {
    assert_eq!(done.len(), 1, "{done:?}");
    done.remove(0).result.unwrap().path
}

/// Dumps wherever asked for: all that is kept, then all that follows.
#[test]
fn a_dump_at_any_event_tells_what_the_whole_tells() {
    for file in corpus() {
        let wanted = whole(&file);
        for at in [0usize, 1, 40, 1_000_000] {
            let folder = tempfile::tempdir().unwrap();
            let (mut source, mut flight) = flight(&file, options(folder.path().join("f.scap"), None, 64 << 20));
            let mut n = 0;
            play(&mut source, &mut |cpu, bytes| {
                if n == at {
                    flight.dump(7).unwrap();
                }
                n += 1;
                flight.event(cpu, bytes);
                ControlFlow::Continue(())
            });
            if n <= at {
                flight.dump(7).unwrap();
            }
            let (summary, done) = flight.finish();
            let file = only(done);
            sound(&file);
            assert_eq!(lines(&[file], None), wanted, "at {at}");
            assert_eq!((summary.triggers, summary.events), (1, n as u64));
        }
    }
}

/// The last seconds: exactly the events that are not older.
#[test]
fn a_dump_holds_the_last_seconds() {
    let file = &corpus()[0];
    let converted = tempfile::tempdir().unwrap();
    let all = common::converted(file, converted.path());
    for age in [1, S / 10, S, 5 * S, 3600 * S] {
        let folder = tempfile::tempdir().unwrap();
        let (mut source, mut flight) = flight(file, options(folder.path().join("f.scap"), Some(age), 64 << 20));
        let mut last = 0u64;
        play(&mut source, &mut |cpu, bytes| {
            last = last.max(u64::from_le_bytes(*bytes.first_chunk().unwrap()));
            flight.event(cpu, bytes);
            ControlFlow::Continue(())
        });
        flight.dump(last).unwrap();
        let dump = only(flight.finish().1);
        sound(&dump);
        let filter = format!("evt.rawtime >= {}", last.saturating_sub(age));
        let strip = |l: Vec<common::Line>| l.into_iter().map(|l| l.1).collect::<Vec<_>>();
        let wanted = strip(lines(std::slice::from_ref(&all), Some(&filter)));
        assert_eq!(strip(lines(&[dump], None)), wanted, "{age}");
        assert!(!wanted.is_empty());
    }
}

#[test]
fn a_match_makes_a_file_and_more_matches_make_it_longer() {
    let file = &corpus()[0];
    let folder = tempfile::tempdir().unwrap();
    let trigger = Some(Filter::compile("evt.type=execve and proc.name=cat").unwrap());
    let options = FlightOptions {
        trigger,
        after: Duration::from_millis(100),
        ..options(folder.path().join("cat-%Y.scap"), Some(2 * S), 64 << 20)
    };
    let (mut source, mut flight) = flight(file, options);
    let mut done = Vec::new();
    play(&mut source, &mut |cpu, bytes| {
        flight.event(cpu, bytes);
        done.extend(flight.tick());
        ControlFlow::Continue(())
    });
    let (summary, rest) = flight.finish();
    done.extend(rest);
    assert_eq!(summary.triggers, 1);
    let dump = only(done);
    assert_eq!(dump.file_name().unwrap(), "cat-2026.scap");
    sound(&dump);
    let text: Vec<String> = lines(&[dump], None).into_iter().map(|l| l.1).collect();
    let at = text.iter().position(|l| l.contains(" execve ") && l.contains("cat /etc/shadow")).unwrap();
    // Before it and after it, and not to the end of the capture.
    assert!(at > 10 && text.len() > at + 4, "{at} of {}", text.len());
    assert!(text.len() < whole(file).len());
}

/// A capture of a thread that reads the same file again and again, once in `every` ns.
fn steady(events: u64, every: u64) -> Synth {
    let mut s = Synth::new();
    s.section().machine("m", 1, 5);
    let thread = scapkit_format::lists::threads::Thread {
        tid: 9,
        pid: 9,
        comm: b"steady",
        exe: b"steady",
        cwd: b"/",
        ..Default::default()
    };
    s.threads(9, &[thread]);
    let mut noise = 1u64;
    for i in 0..events {
        let mut data = format!("{i:08} ");
        // What cannot be packed well.
        while data.len() < 100 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            data.push(char::from(b'!' + u8::try_from(noise >> 33 & 63).unwrap()));
        }
        let params = Params::new().i64(100).bytes(data.as_bytes()).i64(3).u32(100);
        s.event(1_000_000 * S + i * every, 9, id::SYSCALL_READ_X, &params);
    }
    s
}

#[test]
fn memory_stays_below_its_limit_and_what_is_kept_is_the_newest() {
    for threads in [0, 1] {
        let folder = tempfile::tempdir().unwrap();
        let limit = 4 << 20;
        let mut options = options(folder.path().join("f.scap"), None, limit);
        options.form.threads = threads;
        let capture = Capture::from_bytes(steady(400_000, 1000).finish(), "steady", Limits::default());
        let mut source = Simulated::new(capture, scapkit_capture::simulated::Pace::default()).unwrap();
        let mut flight = Flight::new(options, source.lists()).unwrap();
        let (mut most, mut n) = (0, 0u32);
        play(&mut source, &mut |cpu, bytes| {
            flight.event(cpu, bytes);
            n += 1;
            if n % 64 == 0 {
                most = most.max(flight.held());
            }
            ControlFlow::Continue(())
        });
        assert!(most <= limit, "{most}");
        flight.dump(7).unwrap();
        let dump = only(flight.finish().1);
        sound(&dump);
        let text = lines(&[dump], None);
        // 400,000 events of 170 bytes are 68 MB; the last ones are there, without a gap.
        assert!(text.len() > 10_000 && text.len() < 400_000, "{}", text.len());
        for (line, i) in text.iter().rev().zip((0..400_000).rev()) {
            assert!(line.1.contains(&format!("{i:08} ")) && line.1.contains("steady"), "{i}: {}", line.1);
        }
    }
}

#[test]
fn what_is_too_old_goes_though_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path().join("f.scap"), Some(10 * S), 64 << 20);
    let capture = Capture::from_bytes(steady(100_000, S / 100).finish(), "steady", Limits::default());
    let mut source = Simulated::new(capture, scapkit_capture::simulated::Pace::default()).unwrap();
    let mut flight = Flight::new(options, source.lists()).unwrap();
    let mut most = 0;
    play(&mut source, &mut |cpu, bytes| {
        flight.event(cpu, bytes);
        most = most.max(flight.held());
        ControlFlow::Continue(())
    });
    // Ten seconds are 1,000 events of about 170 bytes; the buffer of the newest has room for a stretch.
    assert!(most < 5 << 20, "{most}");
    flight.dump(7).unwrap();
    assert_eq!(lines(&[only(flight.finish().1)], None).len(), 1_001);
}

#[test]
fn a_file_ends_by_the_clock_when_nothing_happens() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        FlightOptions { after: Duration::from_millis(50), ..options(folder.path().join("f.scap"), None, 1 << 20) };
    let mut lists = Vec::new();
    scapkit_format::encode::section_header(&mut lists);
    let mut flight = Flight::new(options, &lists).unwrap();
    let first = flight.dump(7).unwrap();
    assert_eq!(flight.dump(8).unwrap(), first);
    let started = Instant::now();
    let mut done = Vec::new();
    while done.is_empty() && started.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(2));
        done.extend(flight.tick());
    }
    assert!(started.elapsed() >= Duration::from_millis(45));
    assert_eq!(only(done), first);
    assert_ne!(flight.dump(9).unwrap(), first);
}

#[test]
fn a_file_that_cannot_be_written_does_not_end_the_recorder() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let trigger = Some(Filter::compile("evt.type=execve").unwrap());
    let options = FlightOptions { trigger, ..options(gone.join("f.scap"), None, 1 << 20) };
    let (mut source, mut flight) = flight(&corpus()[0], options);
    std::fs::remove_dir(&gone).unwrap();
    assert!(flight.dump(7).is_err());
    play(&mut source, &mut |cpu, bytes| {
        flight.event(cpu, bytes);
        ControlFlow::Continue(())
    });
    let failed = flight.tick();
    assert!(failed.len() == 1 && failed[0].result.is_err(), "{failed:?}");
    std::fs::create_dir(&gone).unwrap();
    flight.dump(7).unwrap();
    sound(&only(flight.finish().1));
}
