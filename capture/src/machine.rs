//! The start of a recording of a running machine, without a gap and without doubles.
//!
//! The probe comes first. While the machine's state is looked for, what the probe tells is kept; afterwards both
//! are brought to one moment ([`crate::record::reconcile()`]), with which the recording begins.
//! Source: OS state section 5.

use crate::containers::{self, ContainerId, Watched};
use crate::ebpf::{Ebpf, ProbeOptions, descendants};
use crate::kmod::{Kmod, KmodOptions};
use crate::record::reconcile::Scan;
use crate::record::{Buffered, reconcile};
use crate::state::{self, ScanOptions, Snapshot};
use crate::{Error, Result, Source, clock};
use scapkit_format::{Event, encode};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// Most bytes of events kept while the state is looked for. What comes beyond waits in the rings, and is counted as
/// lost when they are full.
const MAX_BUFFERED: usize = 512 << 20;

/// A recording that has begun.
pub struct Started {
    /// Running.
    pub source: Box<dyn Source>,
    /// What a capture begins with: section header, lists, events about users, as blocks.
    pub lists: Vec<u8>,
    /// Events that came since the moment of the lists.
    pub buffered: Vec<Buffered>,
    /// What could not be had, in words.
    pub notes: Vec<String>,
}

/// Loads and starts the probe, and finds the state of the machine.
///
/// # Errors
/// When the probe cannot be loaded or started, or `/proc` cannot be read.
pub fn start(probe: &ProbeOptions, scan: &ScanOptions, containers: &containers::Options) -> Result<Started> {
    let source = Ebpf::load(probe)?;
    let notes = source.notes().to_vec();
    let offset = source.clock_offset();
    begin(Box::new(source), offset, notes, probe.tree_of, scan, containers)
}

/// Opens and starts the kernel module's devices, and finds the state of the machine.
///
/// # Errors
/// When the module cannot be used, or `/proc` cannot be read.
pub fn start_module(module: &KmodOptions, scan: &ScanOptions, containers: &containers::Options) -> Result<Started> {
    let source = Kmod::open(module)?;
    let notes = source.notes().to_vec();
    begin(Box::new(source), clock::offset(), notes, None, scan, containers)
}

/// `offset`: what makes the boot clock into the time of the source's events.
fn begin(
    mut source: Box<dyn Source>,
    offset: u64,
    mut notes: Vec<String>,
    tree_of: Option<i32>,
    scan: &ScanOptions,
    containers: &containers::Options,
) -> Result<Started> {
    source.start()?;
    let mut scan = ScanOptions { boot_offset: Some(offset), ..scan.clone() };
    if let Some(root) = tree_of {
        // What is not recorded has no place in the lists either: they hold environments and names of files.
        let tree = descendants(root)?.into_iter().chain([root]);
        scan.only_pids = Some(tree.filter_map(|pid| u32::try_from(pid).ok()).collect());
    }
    let source_ref: &mut dyn Source = &mut *source;
    let (mut buffered, mut bytes) = (Vec::new(), 0);
    let snapshot = find(&scan, source_ref, &mut buffered, &mut bytes)?;
    // What happened until then must have come through the rings.
    std::thread::sleep(SETTLE);
    keep(source_ref, &mut buffered, &mut bytes)?;

    let mut lists = Vec::new();
    encode::section_header(&mut lists);
    snapshot.lists(&mut lists)?;
    let mut watched = Watched::new(source, offset, containers.clone())?;
    for event in watched.at_start(&snapshot.processes, snapshot.to) {
        if let Ok(event) = Event::parse_v2(&event, 0, 0) {
            encode::event_of(&mut lists, &event)?;
        }
    }
    let of_process = |p: &state::Process| {
        let thread = p.threads.iter().find(|t| t.tid == p.tgid)?;
        ContainerId::of_cgroups(&thread.cgroups.list).map(|c| c.id.into_bytes())
    };
    snapshot.user_events(snapshot.to, &mut |p| of_process(p), &mut lists)?;
    let source_ref: &mut dyn Source = &mut watched;
    let mut scans = scans(&snapshot);
    let mut end = snapshot.to;
    let mut reconciled = reconcile(&lists, &scans, &buffered, end)?;
    if !reconciled.unseen.is_empty() {
        // Started before the probe and after /proc was listed, or by a thread that was not told of.
        let pids = reconciled.unseen.iter().filter_map(|tid| u32::try_from(*tid).ok()).collect();
        let again = ScanOptions { only_pids: Some(pids), ..scan.clone() };
        let more = find(&again, source_ref, &mut buffered, &mut bytes)?;
        std::thread::sleep(SETTLE);
        keep(source_ref, &mut buffered, &mut bytes)?;
        more.process_lists(&mut lists)?;
        scans.extend(self::scans(&more));
        end = more.to;
        reconciled = reconcile(&lists, &scans, &buffered, end)?;
    }
    describe(&snapshot, bytes, &mut notes);
    buffered.drain(..reconciled.later.min(buffered.len()));
    Ok(Started { source: Box::new(watched), lists: reconciled.lists, buffered, notes })
}

/// Longer than events wait for older ones from other processors.
const SETTLE: Duration = Duration::from_millis(5);

/// Looks for the state, keeping what happens meanwhile.
fn find(
    scan: &ScanOptions,
    source: &mut dyn Source,
    buffered: &mut Vec<Buffered>,
    bytes: &mut usize,
) -> Result<Snapshot> {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| state::scan(scan));
        while !worker.is_finished() {
            keep(source, buffered, bytes)?;
            std::thread::sleep(Duration::from_millis(1));
        }
        worker.join().unwrap_or_else(|_| Err(Error::Kernel("the look for its state failed".into())))
    })
}

/// Keeps what came.
fn keep(source: &mut dyn Source, buffered: &mut Vec<Buffered>, bytes: &mut usize) -> Result<()> {
    if *bytes < MAX_BUFFERED {
        source.drain(&mut |origin, event| {
            *bytes += event.len();
            buffered.push(Buffered { cpu: origin.cpu, bytes: event.to_vec() });
            if *bytes < MAX_BUFFERED { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    Ok(())
}

/// When each process was looked at.
fn scans(snapshot: &Snapshot) -> BTreeMap<i64, Scan> {
    let scan = |p: &state::Process| (p.tgid, Scan { from: p.from, to: p.to, born: born(p) });
    snapshot.processes.iter().map(scan).collect()
}

/// When a process was started.
fn born(process: &state::Process) -> u64 {
    process.threads.iter().find(|t| t.tid == process.tgid).map_or(0, |t| t.start)
}

fn describe(snapshot: &Snapshot, bytes: usize, notes: &mut Vec<String>) {
    if snapshot.notes.partial {
        notes.push("the state is incomplete: looking for it took too long".into());
    }
    if bytes >= MAX_BUFFERED {
        notes.push(format!("more than {} MiB of events came while the state was looked for", MAX_BUFFERED >> 20));
    }
    if let Some(most) = snapshot.notes.unreadable.values().max() {
        let what: Vec<&str> = snapshot.notes.unreadable.keys().copied().collect();
        notes.push(format!("up to {most} processes could not be read in full: {}", what.join(", ")));
    }
    notes.extend(snapshot.notes.other.iter().cloned());
}
