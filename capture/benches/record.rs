//! What recording costs, event by event: `cargo bench -p scapkit-capture --bench record -- heavy.scap`.
//!
//! The capture is read into memory first; then its events are given as fast as they are taken. Times are wall
//! time, and processor time of the thread that records: what is left of a core for the rings. Output goes to a
//! file in the temporary folder.

#![allow(clippy::unwrap_used, missing_docs)]

use rustix::time::{ClockId, clock_gettime};
use scapkit_capture::record::{Flight, FlightOptions, Form, Limit, Options, Recording, Rotation};
use scapkit_capture::simulated::{Pace, Simulated};
use scapkit_capture::{Origin, Source};
use scapkit_format::{Capture, Compression, Limits};
use scapkit_replay::Filter;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

fn thread_time() -> Duration {
    let t = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Gives all events to `each` and says what that cost; `end` is in the wall time only.
fn measure<T>(
    name: &str,
    file: &Path,
    sink: impl FnOnce(&[u8]) -> T,
    each: impl Fn(&mut T, Origin, &[u8]),
    end: impl FnOnce(T),
) {
    let mut source = Simulated::new(Capture::open(file, Limits::default()).unwrap(), Pace::default()).unwrap();
    let lists = source.lists().to_vec();
    let mut sink = sink(&lists);
    source.start().unwrap();
    let (wall, cpu) = (Instant::now(), thread_time());
    let mut bytes = 0usize;
    let n = source
        .drain(&mut |origin, event| {
            bytes += event.len();
            each(&mut sink, origin, event);
            ControlFlow::Continue(())
        })
        .unwrap();
    let cpu = thread_time().saturating_sub(cpu);
    end(sink);
    let wall = wall.elapsed();
    println!(
        "{name:36} {n} events, {:4} MB: {:6.2} M events/s by the clock, {:5.0} ns of the recording thread each",
        bytes >> 20,
        n as f64 / wall.as_secs_f64() / 1e6,
        cpu.as_nanos() as f64 / n as f64,
    );
}

fn files(name: &str, file: &Path, output: &Path, compression: Compression, rotation: Rotation, filter: Option<&str>) {
    let form = Form { compression, ..Form::default() };
    let filter = filter.map(|f| Filter::compile(f).unwrap());
    let options = Options { output: output.to_owned(), form, rotation, filter, number: None };
    let each = |recording: &mut Recording, origin: Origin, event: &[u8]| _ = recording.event(origin, event).unwrap();
    measure(name, file, |lists| Recording::new(options, lists).unwrap(), each, |r| _ = r.finish().unwrap());
}

fn main() {
    let Some(file) = std::env::args().skip(1).find(|a| !a.starts_with("--")) else {
        println!("no capture given");
        return;
    };
    let file = Path::new(&file);
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.scap");
    let none = Rotation::default();
    measure("nothing", file, |_| (), |(), _, _| (), |()| ());
    files("plain file", file, &output, Compression::None, none.clone(), None);
    files("zstd file", file, &output, Compression::Zstd, none.clone(), None);
    files("gzip file", file, &output, Compression::Gzip, none.clone(), None);
    let pieces = Rotation { events: Some(100_000), keep: Some(2), ..none.clone() };
    files("zstd, a file per 100,000 events", file, &output, Compression::Zstd, pieces, None);
    files("zstd, evt.type=execve", file, &output, Compression::Zstd, none.clone(), Some("evt.type=execve"));
    files("zstd, proc.name=bash", file, &output, Compression::Zstd, none, Some("proc.name=bash"));
    for (name, limit) in [
        ("ring of 5 minutes, 256 MB", Limit { age: Some(300_000_000_000), bytes: 256 << 20 }),
        ("ring of 16 MB", Limit { age: None, bytes: 16 << 20 }),
    ] {
        let options = FlightOptions {
            output: output.clone(),
            form: Form::default(),
            limit,
            after: Duration::ZERO,
            filter: None,
            trigger: None,
        };
        let each = |flight: &mut Flight, origin: Origin, event: &[u8]| flight.event(origin, event);
        let end = |flight: Flight| println!("  holds {} MB at the end", flight.held() >> 20);
        measure(name, file, |lists| Flight::new(options, lists).unwrap(), each, end);
    }
}
