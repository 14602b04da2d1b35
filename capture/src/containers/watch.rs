//! A source whose events are watched for containers: what engines say of them comes among the events.

use super::{ContainerId, Known, Options, Worker};
use crate::source::{Counters, Origin, Source};
use crate::state::Process;
use crate::{Result, clock};
use scapkit_format::Event;
use scapkit_format::schema::id;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How long the start of a recording waits for what engines say of the containers that are there.
const AT_START: Duration = Duration::from_millis(500);

/// A source with events about containers.
pub struct Watched {
    source: Box<dyn Source>,
    worker: Worker,
    /// What makes the boot clock into the time of events.
    offset: u64,
    given: u64,
}

impl Watched {
    /// Watches `source`. `offset`: what makes the boot clock into the time of its events, in ns.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn new(source: Box<dyn Source>, offset: u64, options: Options) -> Result<Watched> {
        Ok(Watched { source, worker: Worker::start(options)?, offset, given: 0 })
    }

    /// Events about the containers of these processes, stamped `ts`. Waits a moment for engines; what they say later
    /// comes among the events.
    pub fn at_start(&mut self, processes: &[Process], ts: u64) -> Vec<Vec<u8>> {
        let mut events = Vec::new();
        for thread in processes.iter().flat_map(|p| &p.threads) {
            if let Some(known) = ContainerId::of_cgroups(&thread.cgroups.list).and_then(|c| self.worker.want(&c)) {
                events.push(known.event(ts));
            }
        }
        let begun = Instant::now();
        while !self.worker.is_idle() && begun.elapsed() < AT_START {
            std::thread::sleep(Duration::from_millis(2));
        }
        while let Some(known) = self.worker.next() {
            events.push(known.event(ts));
        }
        events
    }
}

/// The container that an event says its thread is in: those of threads that begin or become another program.
fn container_of(bytes: &[u8]) -> Option<ContainerId> {
    /// Where these events have the control groups.
    const CGROUPS: usize = 14;
    let event_type = u16::from_le_bytes(*bytes.get(20..22)?.first_chunk()?);
    let tells = [
        id::SYSCALL_EXECVE_19_X,
        id::SYSCALL_CLONE_20_X,
        id::SYSCALL_CLONE3_X,
        id::SYSCALL_FORK_20_X,
        id::SYSCALL_VFORK_20_X,
    ];
    if !tells.contains(&event_type) {
        return None;
    }
    let event = Event::parse_v2(bytes, 0, 0).ok()?;
    ContainerId::of_cgroups(event.param(CGROUPS)?)
}

impl Source for Watched {
    fn drain(&mut self, each: &mut dyn FnMut(Origin, &[u8]) -> ControlFlow<()>) -> Result<u64> {
        let Watched { source, worker, offset, given } = self;
        let mut added = 0;
        let mut ended = false;
        let drained = source.drain(&mut |origin, bytes| {
            let flow = each(origin, bytes);
            ended = flow.is_break();
            if !ended && let Some(known) = container_of(bytes).and_then(|container| worker.want(&container)) {
                let ts = bytes.first_chunk().map_or(0, |ts| u64::from_le_bytes(*ts));
                added += 1;
                ended = each(origin.cpu.into(), &known.event(ts)).is_break();
            }
            if ended { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        // What engines said meanwhile, as of now: a little later than the events that were given.
        while !ended && let Some(known) = worker.next() {
            let now = clock::boot_now().saturating_add(*offset);
            added += 1;
            ended = each(Origin::default(), &Known::event(&known, now)).is_break();
        }
        *given = given.saturating_add(added);
        Ok(drained.saturating_add(added))
    }

    fn pause(&self) -> Duration {
        self.source.pause()
    }

    fn start(&mut self) -> Result<()> {
        self.source.start()
    }

    fn stop(&mut self) -> Result<()> {
        self.source.stop()
    }

    fn is_over(&self) -> bool {
        self.source.is_over()
    }

    fn counters(&self) -> Result<Counters> {
        let mut counters = self.source.counters()?;
        counters.seen = counters.seen.saturating_add(self.given);
        counters.given = counters.given.saturating_add(self.given);
        Ok(counters)
    }
}
