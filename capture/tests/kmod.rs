//! The recorder by the kernel module, on simulated devices: all of it but opening and `ioctl`.

mod kmod_simulated;

use kmod_simulated::{API, HEADER, Producer, SCHEMA, check, control, event, recorder, refusing};
use scapkit_capture::kmod::{Command, Device, Kmod, KmodOptions, Tracepoint, Version};
use scapkit_capture::{Error, Source};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

fn size() -> usize {
    4 * rustix::param::page_size()
}

fn options() -> KmodOptions {
    KmodOptions { ring_bytes: size(), ..KmodOptions::default() }
}

fn started(producers: &[Producer]) -> Kmod {
    let devices = (0..).zip(producers).map(|(cpu, p)| p.device(cpu, control()).unwrap()).collect();
    let mut kmod = Kmod::new(devices, &options()).unwrap();
    kmod.start().unwrap();
    kmod
}

/// All that is due: processor, time and number of each event.
fn take(kmod: &mut Kmod) -> scapkit_capture::Result<Vec<(u16, u64, u64)>> {
    let mut taken = Vec::new();
    kmod.drain(&mut |origin, bytes| {
        let (ts, number) = check(bytes);
        taken.push((origin.cpu, ts, number));
        ControlFlow::Continue(())
    })?;
    Ok(taken)
}

#[test]
fn a_ring_wraps_many_times_beside_its_producer() {
    const EVENTS: u64 = 60_000;
    let mut producers = vec![Producer::new(size())];
    let mut kmod = started(&producers);
    let mut producer = producers.remove(0);
    let writer = thread::spawn(move || {
        let mut bytes = 0;
        for number in 0..EVENTS {
            // Lengths without a common divisor, so that every split at the end comes up.
            let event = event(now(), number, usize::try_from(number * 7 % 301).unwrap());
            bytes += event.len();
            while !producer.push(&event, 0) {
                thread::yield_now();
            }
        }
        (producer, bytes)
    });
    let mut numbers = Vec::new();
    while numbers.len() < usize::try_from(EVENTS).unwrap() {
        numbers.extend(take(&mut kmod).unwrap().into_iter().map(|(_, _, number)| number));
        thread::yield_now();
    }
    let (producer, bytes) = writer.join().unwrap();
    assert!(bytes / size() > 500, "wrapped only {} times", bytes / size());
    assert!(numbers.iter().copied().eq(0..EVENTS), "order or number of events");
    let counters = kmod.counters().unwrap();
    assert_eq!((counters.given, counters.late), (EVENTS, 0));
    // Every attempt that did not fit was counted by the producer, and is counted here.
    assert_eq!(counters.drops_buffer, producer.count(1).load(Ordering::Relaxed));
    assert_eq!(counters.seen, EVENTS + counters.drops());
}

#[test]
fn processors_are_merged_by_time() {
    const CPUS: usize = 4;
    const EVENTS: u64 = 5_000;
    let producers: Vec<_> = (0..CPUS).map(|_| Producer::new(size())).collect();
    let mut kmod = started(&producers);
    let done = AtomicU64::new(0);
    let mut all = Vec::new();
    thread::scope(|scope| {
        for mut producer in producers {
            let done = &done;
            scope.spawn(move || {
                for number in 0..EVENTS {
                    while !producer.push(&event(now(), number, 40), 0) {
                        thread::yield_now();
                    }
                }
                done.fetch_add(1, Ordering::Release);
            });
        }
        while done.load(Ordering::Acquire) < CPUS as u64 {
            all.extend(take(&mut kmod).unwrap());
        }
    });
    kmod.stop().unwrap();
    while !kmod.is_over() {
        all.extend(take(&mut kmod).unwrap());
    }
    assert_eq!(all.len(), CPUS * usize::try_from(EVENTS).unwrap());
    for cpu in 0..4_u16 {
        assert!(all.iter().filter(|(c, _, _)| *c == cpu).map(|(_, _, n)| *n).eq(0..EVENTS), "processor {cpu}");
    }
    // A producer may be stopped between taking the time and writing. All others are in order, and these are counted.
    let mut latest = 0;
    let mut late = 0;
    for (_, ts, _) in &all {
        late += u64::from(*ts < latest);
        latest = latest.max(*ts);
    }
    assert_eq!(kmod.counters().unwrap().late, late);
}

#[test]
fn what_is_there_is_given_in_exact_order() {
    let mut producers = vec![Producer::new(size()), Producer::new(size()), Producer::new(size())];
    let mut kmod = started(&producers);
    let start = now() - 1_000_000_000;
    for number in 0..300 {
        // Runs on one processor, and turns.
        let cpu = usize::try_from(if number < 100 { number % 3 } else { number / 50 % 3 }).unwrap();
        assert!(producers[cpu].push(&event(start + number * 10, number, 5), 0));
    }
    let numbers: Vec<u64> = take(&mut kmod).unwrap().into_iter().map(|(_, _, number)| number).collect();
    assert!(numbers.into_iter().eq(0..300));
    assert_eq!(kmod.counters().unwrap().late, 0);
}

#[test]
fn a_full_ring_counts_what_it_loses() {
    let mut producers = vec![Producer::new(size()), Producer::new(size())];
    let mut kmod = started(&producers);
    let ts = now() - 1_000_000_000;
    let mut fitted = 0;
    for number in 0..1_000 {
        // open_exit is the seventh of the names, class 6.
        fitted += u64::from(producers[1].push(&event(ts + number, number, 100), 6));
    }
    producers[0].count(12).store(5, Ordering::Relaxed);
    producers[0].count(13).store(2, Ordering::Relaxed);
    producers[0].count(1).store(3, Ordering::Relaxed);
    producers[0].count(0).store(8, Ordering::Relaxed);
    let taken = take(&mut kmod).unwrap();
    assert!(taken.iter().map(|(_, _, number)| *number).eq(0..fitted));
    let counters = kmod.counters().unwrap();
    let lost = 1_000 - fitted;
    assert!(fitted > 100 && lost > 100, "{fitted} of 1000");
    assert_eq!((counters.seen, counters.drops_buffer, counters.drops_other), (1_010, lost + 3, 7));
    assert_eq!(counters.drops_by_class.into_iter().collect::<Vec<_>>(), [("open_exit", lost), ("other", 3)]);
    // There is room again, to the last byte.
    assert!(producers[1].push(&event(ts, 7, size() - 1 - HEADER), 0));
    assert_eq!(take(&mut kmod).unwrap().len(), 1);
}

#[test]
fn events_wait_for_older_ones_and_not_for_a_clock_that_was_set_back() {
    let mut producers = vec![Producer::new(size())];
    let mut kmod = started(&producers);
    // Younger than what may still come from elsewhere: half a second ahead.
    producers[0].push(&event(now() + 500_000_000, 1, 0), 0);
    assert!(take(&mut kmod).unwrap().is_empty());
    thread::sleep(Duration::from_millis(510));
    assert_eq!(take(&mut kmod).unwrap().len(), 1);
    // An hour ahead: the clock was set back since. Known from the look after that which finds it.
    producers[0].push(&event(now() + 3_600_000_000_000, 2, 0), 0);
    producers[0].push(&event(now(), 3, 0), 0);
    let mut numbers: Vec<_> = take(&mut kmod).unwrap();
    numbers.extend(take(&mut kmod).unwrap());
    assert_eq!(numbers.iter().map(|(_, _, n)| *n).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(kmod.counters().unwrap().late, 1);
}

#[test]
fn what_is_not_behind_the_head_is_not_read() {
    let mut producers = vec![Producer::new(size())];
    let mut kmod = started(&producers);
    let ts = now() - 1_000_000_000;
    producers[0].push(&event(ts, 1, 10), 0);
    // An event that is whole, but not told of yet.
    let next = event(ts, 2, 10);
    producers[0].put(producers[0].head(), &next);
    assert_eq!(take(&mut kmod).unwrap().len(), 1);
    assert!(take(&mut kmod).unwrap().is_empty());
    // Written over with garbage, and then with another.
    producers[0].put(producers[0].head(), &[0xff; 30]);
    assert!(take(&mut kmod).unwrap().is_empty());
    producers[0].push(&event(ts, 3, 10), 0);
    assert_eq!(take(&mut kmod).unwrap()[0].2, 3);
}

#[test]
fn a_break_takes_the_event_it_was_given() {
    let mut producers = vec![Producer::new(size())];
    let mut kmod = started(&producers);
    for number in 0..3 {
        producers[0].push(&event(now() - 1_000_000_000, number, 0), 0);
    }
    assert_eq!(kmod.drain(&mut |_, _| ControlFlow::Break(())).unwrap(), 1);
    assert_eq!(producers[0].word(4).load(Ordering::Acquire) as usize, HEADER, "it was given back");
    assert_eq!(take(&mut kmod).unwrap().iter().map(|e| e.2).collect::<Vec<_>>(), [1, 2]);
}

/// Drains until it fails; the message.
fn failure(kmod: &mut Kmod) -> String {
    for _ in 0..3 {
        match take(kmod) {
            Ok(taken) => assert!(taken.is_empty()),
            Err(e) => return e.to_string(),
        }
    }
    panic!("nothing was wrong");
}

#[test]
fn a_hostile_ring_is_an_error() {
    let ts = now() - 1_000_000_000;
    let with_length = |length: u32| {
        let mut event = event(ts, 1, 10);
        event[16..20].copy_from_slice(&length.to_ne_bytes());
        event
    };
    for length in [0, 1, 25, 37, 1 << 20, u32::MAX] {
        let mut producers = vec![Producer::new(size()), Producer::new(size())];
        let mut kmod = started(&producers);
        producers[0].push(&with_length(length), 0);
        producers[1].push(&event(ts, 8, 0), 0);
        // The other processor's event is given, and then it says what is wrong, every time.
        let mut given = 0;
        let error = kmod
            .drain(&mut |_, _| {
                given += 1;
                ControlFlow::Continue(())
            })
            .unwrap_err();
        assert_eq!(given, 1, "length {length}");
        let text = error.to_string();
        assert!(text.contains("simulated device 0") && text.contains(&format!("event of {length} bytes")), "{text}");
        assert_eq!(failure(&mut kmod), text);
        assert_eq!(producers[0].word(4).load(Ordering::Acquire), 0, "the tail stays where it was");
        kmod.stop().unwrap();
        assert!(kmod.drain(&mut |_, _| ControlFlow::Continue(())).is_err());
        assert!(kmod.is_over());
    }
    for (head, wanted) in [(u32::try_from(size()).unwrap(), "writes at"), (u32::MAX, "writes at"), (25, "too few")] {
        let producers = vec![Producer::new(size())];
        let mut kmod = started(&producers);
        producers[0].word(0).store(head, Ordering::Release);
        let text = failure(&mut kmod);
        assert!(text.contains(wanted), "{text}");
    }
}

#[test]
fn a_head_that_goes_back_is_an_error() {
    let mut producers = vec![Producer::new(size())];
    let mut kmod = started(&producers);
    // Not due yet, so that they wait in the ring.
    for number in 0..4 {
        producers[0].push(&event(now() + 900_000_000, number, 10), 0);
    }
    assert!(take(&mut kmod).unwrap().is_empty());
    producers[0].word(0).store(36, Ordering::Release);
    let text = failure(&mut kmod);
    assert!(text.contains("went back to 36"), "{text}");
}

#[test]
fn garbage_of_every_kind_ends() {
    // A generator of its own, so that a failure can be repeated.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut failed = 0;
    for _ in 0..300 {
        let producers = vec![Producer::new(size())];
        let mut kmod = started(&producers);
        for chunk in 0..size() / 8 {
            // Mostly small numbers, so that some lengths are possible.
            let word = random() & if random() % 2 == 0 { 0xff } else { u64::MAX };
            producers[0].put(chunk * 8, &word.to_ne_bytes());
        }
        for _ in 0..8 {
            let head = random() % (size() as u64 + 64);
            producers[0].word(0).store(u32::try_from(head).unwrap(), Ordering::Release);
            // What the reader thinks of its tail cannot be changed from outside.
            producers[0].word(4).store(u32::try_from(random() >> 32).unwrap(), Ordering::Release);
            let mut bytes = 0;
            let result = kmod.drain(&mut |_, event| {
                bytes += event.len();
                ControlFlow::Continue(())
            });
            assert!(bytes < size());
            failed += usize::from(result.is_err());
        }
        kmod.stop().unwrap();
        for _ in 0..2 {
            let _ = kmod.drain(&mut |_, _| ControlFlow::Continue(()));
        }
        assert!(kmod.is_over());
    }
    assert!(failed > 300, "{failed} of 2400 drains failed");
}

#[test]
fn a_tail_outside_or_a_short_file_is_refused() {
    let producer = Producer::new(size());
    producer.word(4).store(u32::try_from(size()).unwrap(), Ordering::Release);
    let error = producer.device(0, control()).err().unwrap().to_string();
    assert!(error.contains("reading begins at"), "{error}");

    let short = tempfile::tempfile().unwrap();
    short.set_len(size() as u64).unwrap();
    let error = Device::new("short", 0, &short, &short, size(), control()).err().unwrap().to_string();
    assert!(error.contains("are to be mapped"), "{error}");
}

#[test]
fn commands_come_in_order() {
    let producers = [Producer::new(size()), Producer::new(size())];
    let (control, commands) = recorder(API, SCHEMA);
    let (other, others) = recorder(API, SCHEMA);
    let devices = vec![producers[0].device(0, control).unwrap(), producers[1].device(1, other).unwrap()];
    let options = KmodOptions { snaplen: 200, drop_failed: true, switches: true, signals: false, ..options() };
    let mut kmod = Kmod::new(devices, &options).unwrap();
    assert_eq!(kmod.versions(), (API, SCHEMA));
    assert_eq!(*commands.lock().unwrap(), [Command::ApiVersion, Command::SchemaVersion]);
    kmod.start().unwrap();
    let begin = std::mem::take(&mut *commands.lock().unwrap());
    assert_eq!(begin[2..5], [Command::NoSampling, Command::Snaplen(200), Command::DropFailed(true)]);
    // All 512 calls are told of, what is not wanted too; then the tracepoints.
    assert_eq!(begin.len(), 5 + 512 + 9);
    assert!(begin[5..517].iter().enumerate().all(|(i, c)| matches!(c, Command::Call(n, _) if usize::from(*n) == i)));
    assert!(begin.contains(&Command::Call(59, true)));
    let tracepoints = &begin[517..];
    assert_eq!(tracepoints[..2], [(Tracepoint::Enter), (Tracepoint::Exit)].map(|t| Command::Tracepoint(t, true)));
    assert!(tracepoints.contains(&Command::Tracepoint(Tracepoint::Switch, true)));
    assert!(tracepoints.contains(&Command::Tracepoint(Tracepoint::Signal, false)));
    assert!(tracepoints.contains(&Command::Tracepoint(Tracepoint::FaultUser, false)));
    kmod.stop().unwrap();
    let end = commands.lock().unwrap();
    assert_eq!(end.len(), 512 + 9);
    assert!(end.iter().all(|c| matches!(c, Command::Call(_, false) | Command::Tracepoint(_, false))));
    // Orders count for all devices: the others are asked for their version only.
    assert_eq!(*others.lock().unwrap(), [Command::ApiVersion, Command::SchemaVersion]);
}

#[test]
fn versions_that_are_not_understood_are_refused() {
    let producer = Producer::new(size());
    let version = |major, minor| Version { major, minor, patch: 0 };
    for (api, schema, wanted) in [
        (version(9, 5), SCHEMA, "API version 9.5.0; wanted is 10.0.0"),
        (version(11, 0), SCHEMA, "API version 11.0.0"),
        (API, version(3, 9), "schema version 3.9.0"),
        (API, version(4, 2), "schema version 4.2.0; wanted is 4.3.0 or a later 4"),
    ] {
        let error = producer.device(0, recorder(api, schema).0).err().unwrap();
        assert!(matches!(error, Error::Kernel(_)), "{error}");
        assert!(error.to_string().contains(wanted), "{error}");
    }
    producer.device(0, recorder(version(10, 0), version(4, 99)).0).unwrap();
    // Two devices of two versions.
    let other = Producer::new(size());
    let devices =
        vec![producer.device(0, control()).unwrap(), other.device(1, recorder(API, version(4, 4)).0).unwrap()];
    let error = Kmod::new(devices, &options()).err().unwrap().to_string();
    assert!(error.contains("simulated device 1 has API 10.1.0 and schema 4.4.0"), "{error}");
}

#[test]
fn a_refused_command_is_named() {
    let producer = Producer::new(size());
    let device = producer.device(0, refusing(Command::Tracepoint(Tracepoint::Exit, true), libc::EINVAL)).unwrap();
    let mut kmod = Kmod::new(vec![device], &options()).unwrap();
    let error = kmod.start().unwrap_err().to_string();
    assert!(error.contains("Tracepoint(Exit, true)"), "{error}");
    // Not the module's: a file of another kind does not know the question.
    let error = producer.device(0, refusing(Command::ApiVersion, libc::ENOTTY)).err().unwrap().to_string();
    assert!(error.contains("is it a device of falcosecurity's module?"), "{error}");
}

#[test]
fn stopping_gives_what_is_there_without_waiting() {
    let mut producers = vec![Producer::new(size()), Producer::new(size())];
    let mut kmod = started(&producers);
    let ahead = now() + 900_000_000;
    producers[0].push(&event(ahead + 1, 2, 0), 0);
    producers[1].push(&event(ahead, 1, 0), 0);
    assert!(take(&mut kmod).unwrap().is_empty());
    assert!(!kmod.is_over());
    kmod.stop().unwrap();
    assert_eq!(take(&mut kmod).unwrap().iter().map(|e| e.2).collect::<Vec<_>>(), [1, 2]);
    assert!(!kmod.is_over());
    assert!(take(&mut kmod).unwrap().is_empty());
    assert!(kmod.is_over());
    assert_eq!(kmod.counters().unwrap().given, 2);
}

#[test]
fn stopping_beside_a_producer_loses_nothing_that_was_written() {
    let mut producers = vec![Producer::new(size())];
    let mut kmod = started(&producers);
    let mut producer = producers.remove(0);
    let stop = AtomicBool::new(false);
    let mut taken = 0;
    let written = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                written += u64::from(producer.push(&event(now(), written, 20), 0));
            }
            written
        });
        while taken < 1_000 {
            taken += take(&mut kmod).unwrap().len();
        }
        stop.store(true, Ordering::Relaxed);
        let written = writer.join().unwrap();
        kmod.stop().unwrap();
        written
    });
    while !kmod.is_over() {
        taken += take(&mut kmod).unwrap().len();
    }
    assert_eq!(taken as u64, written);
}

#[test]
fn without_the_module_it_says_how_to_check() {
    let directory = tempfile::tempdir().unwrap();
    let prefix = directory.path().join("scap").to_str().unwrap().to_owned();
    let options = KmodOptions { devices: Some(prefix.clone()), ..KmodOptions::default() };
    let error = Kmod::open(&options).err().unwrap();
    assert!(matches!(error, Error::Kernel(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains(&prefix) && text.contains("lsmod"), "{text}");

    // A plain file is no device: it is opened by the same code, and does not know the first command.
    let path = directory.path().join("scap0");
    std::fs::write(&path, "").unwrap();
    let error = Device::open(path.to_str().unwrap(), 0, size()).err().unwrap().to_string();
    assert!(error.contains("is it a device of falcosecurity's module?"), "{error}");
}

#[test]
fn wrong_options_are_refused() {
    for options in [KmodOptions { ring_bytes: 3 << 20, ..options() }, KmodOptions { snaplen: 65_001, ..options() }] {
        assert!(matches!(Kmod::open(&options), Err(Error::Option(_))));
    }
    assert!(matches!(Kmod::new(Vec::new(), &options()), Err(Error::Kernel(_))));
}
