//! Starts a process and records it and all its descendants.

use scapkit_capture::ebpf::{Ebpf, ProbeOptions};
use scapkit_capture::{Counters, Source};
use scapkit_format::Event;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// An event, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its time.
    pub ts: u64,
    /// The thread's number.
    pub tid: i64,
    /// Its type.
    pub id: u16,
    /// Its parameters.
    pub params: Vec<Vec<u8>>,
    /// Its bytes, as the probe gave them.
    pub bytes: Vec<u8>,
}

/// What a recording gave.
pub struct Recording {
    /// The events, in the order they were given in.
    pub events: Vec<Recorded>,
    /// The counters at the end.
    pub counters: Counters,
    /// How the process ended.
    pub status: ExitStatus,
    /// Its number.
    pub pid: i64,
}

/// Runs `command` (its standard input is a pipe that ends when it may begin) and records it and its descendants until
/// it has ended.
///
/// # Errors
/// What the probe says, or what is wrong with an event.
pub fn record(options: &ProbeOptions, command: &mut Command, longest: Duration) -> Result<Recording, String> {
    let mut child = command.stdin(Stdio::piped()).spawn().map_err(|e| format!("the program does not start: {e}"))?;
    let pid = i32::try_from(child.id()).map_err(|e| e.to_string())?;
    let options = ProbeOptions { tree_of: Some(pid), ..options.clone() };
    let text = |e: scapkit_capture::Error| e.to_string();
    let begun = Ebpf::load(&options).and_then(|mut probe| probe.start().map(|()| probe));
    let mut probe = match begun {
        Ok(probe) => probe,
        Err(e) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(e.to_string());
        }
    };
    for note in probe.notes() {
        super::harness::say(&format!("probe: {note}"));
    }
    drop(child.stdin.take());
    let mut events = Vec::new();
    let mut problem = None;
    let mut keep = |origin: scapkit_capture::Origin, bytes: &[u8]| {
        match Event::parse_v2(bytes, origin.cpu, origin.flags) {
            Ok(e) => {
                let params: Vec<Vec<u8>> =
                    (0..e.nparams as usize).map(|i| e.param(i).unwrap_or(&[]).to_vec()).collect();
                let sum: usize = params.iter().map(Vec::len).sum();
                if sum + params.len() * 2 + 26 != bytes.len() {
                    problem.get_or_insert(format!(
                        "type {}: {} bytes in all, of which {sum} are parameters",
                        e.event_type,
                        bytes.len()
                    ));
                }
                events.push(Recorded { ts: e.ts, tid: e.tid, id: e.event_type, params, bytes: bytes.to_vec() });
            }
            Err(e) => {
                problem.get_or_insert(format!("an event that does not hold together: {e:?}"));
            }
        }
        ControlFlow::Continue(())
    };
    let start = Instant::now();
    let status = loop {
        let n = probe.drain(&mut keep).map_err(text)?;
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            break status;
        }
        if start.elapsed() > longest {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("the workload takes longer than {longest:?}"));
        }
        if n == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    // Orphans may end a little later.
    let end = Instant::now();
    while end.elapsed() < Duration::from_millis(300) {
        probe.drain(&mut keep).map_err(text)?;
        std::thread::sleep(Duration::from_millis(10));
    }
    probe.stop().map_err(text)?;
    while !probe.is_over() {
        probe.drain(&mut keep).map_err(text)?;
    }
    let counters = probe.counters().map_err(text)?;
    problem.map_or(Ok(Recording { events, counters, status, pid: pid.into() }), Err)
}

impl Recording {
    /// Each thread's events, by time.
    pub fn threads(&self) -> BTreeMap<i64, Vec<&Recorded>> {
        let mut threads: BTreeMap<i64, Vec<&Recorded>> = BTreeMap::new();
        for e in &self.events {
            threads.entry(e.tid).or_default().push(e);
        }
        for events in threads.values_mut() {
            events.sort_by_key(|e| e.ts);
        }
        threads
    }
}
