//! The eBPF recorder of Linux: the probe in the kernel, its rings, and their merge.
//!
//! Source: driver-events (what the probe writes).

mod load;
mod options;
mod ring;

pub use load::descendants;
pub(crate) use load::processors;
pub use options::{MAX_SNAPLEN, ProbeOptions};

use crate::merge::Merge;
use crate::source::{Counters, Origin, Source};
use crate::{Result, clock};
use load::Loaded;
use ring::Ring;
use scapkit_bpf::DROP_CLASSES;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// How often processors that came online are looked for.
const LOOK_FOR_PROCESSORS: Duration = Duration::from_millis(250);
/// How long to sleep when nothing came, and when little did.
const PAUSE: Duration = Duration::from_millis(5);

/// A running probe.
///
/// ```no_run
/// use scapkit_capture::{Source, ebpf::{Ebpf, ProbeOptions}};
/// use std::ops::ControlFlow;
/// let mut probe = Ebpf::load(&ProbeOptions::default())?;
/// probe.start()?;
/// for _ in 0..10 {
///     std::thread::sleep(probe.pause());
///     probe.drain(&mut |from, event| {
///         println!("{} bytes from processor {}", event.len(), from.cpu);
///         ControlFlow::Continue(())
///     })?;
/// }
/// probe.stop()?;
/// # Ok::<(), scapkit_capture::Error>(())
/// ```
pub struct Ebpf {
    loaded: Loaded,
    merge: Merge<Ring>,
    ring_bytes: usize,
    /// Processors that could not be given a ring.
    ringless: Vec<u16>,
    looked: Instant,
    state: State,
    /// Whether the last look found as much as a ring can hold in the time of a few.
    busy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Loaded,
    Running,
    Stopped,
    Over,
}

impl Ebpf {
    /// Loads the probe. Nothing is recorded before [`Source::start`].
    ///
    /// # Errors
    /// [`crate::Error::Kernel`] when the kernel lacks something, [`crate::Error::Privilege`] when it may not be done.
    pub fn load(options: &ProbeOptions) -> Result<Ebpf> {
        let mut loaded = load::load(options)?;
        let mut merge = Merge::new();
        // Those that are there but off as well: later the right to make rings may be gone.
        for cpu in load::processors("present")? {
            merge.add(cpu, loaded.add_ring(cpu, options.ring_bytes)?);
        }
        Ok(Ebpf {
            loaded,
            merge,
            ring_bytes: options.ring_bytes,
            ringless: Vec::new(),
            looked: Instant::now(),
            state: State::Loaded,
            busy: false,
        })
    }

    /// What added to the boot clock gives the time of events, in ns.
    pub fn clock_offset(&self) -> u64 {
        self.loaded.offset
    }

    /// What this kernel cannot do, and what that costs.
    pub fn notes(&self) -> &[String] {
        &self.loaded.notes
    }

    /// The programs that [`Source::start`] attaches, by name.
    pub fn programs(&self) -> &[String] {
        &self.loaded.attach
    }

    /// Gives processors that were plugged in a ring. What they recorded before is counted as lost; all of it, where
    /// there is no right any more to make a ring: that is no reason to end the recording.
    fn look_for_processors(&mut self) -> Result<()> {
        if self.looked.elapsed() < LOOK_FOR_PROCESSORS {
            return Ok(());
        }
        self.looked = Instant::now();
        for cpu in load::processors("online")? {
            if !self.merge.has(cpu) && !self.ringless.contains(&cpu) {
                match self.loaded.add_ring(cpu, self.ring_bytes) {
                    Ok(ring) => self.merge.add(cpu, ring),
                    Err(_) => self.ringless.push(cpu),
                }
            }
        }
        Ok(())
    }
}

impl Source for Ebpf {
    fn drain(&mut self, each: &mut dyn FnMut(Origin, &[u8]) -> ControlFlow<()>) -> Result<u64> {
        if self.state == State::Running {
            self.look_for_processors()?;
        }
        let stopped = matches!(self.state, State::Stopped | State::Over);
        let given =
            self.merge.drain(clock::boot_now().saturating_add(self.loaded.offset), stopped, &mut |cpu, event| {
                each(cpu.into(), event)
            });
        self.busy = self.merge.fullest() > self.ring_bytes / 16;
        if stopped && given == 0 {
            self.state = State::Over;
        }
        Ok(given)
    }

    fn pause(&self) -> Duration {
        if self.busy { PAUSE / 5 } else { PAUSE }
    }

    fn start(&mut self) -> Result<()> {
        if self.state == State::Loaded {
            self.loaded.attach()?;
            self.loaded.follow()?;
            self.state = State::Running;
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        self.loaded.detach();
        self.state = State::Stopped;
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.state == State::Over
    }

    fn counters(&self) -> Result<Counters> {
        let counts = self.loaded.counts()?;
        let drops_buffer = counts.full.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
        let mut counters = Counters {
            drops_buffer,
            drops_size: counts.large,
            drops_other: counts.no_ring,
            given: self.merge.given,
            late: self.merge.late,
            suppressed: counts.suppressed,
            drops_by_class: DROP_CLASSES.into_iter().zip(counts.full).filter(|(_, n)| *n > 0).collect(),
            ..Counters::default()
        };
        counters.seen = counters.given.saturating_add(counters.drops());
        Ok(counters)
    }
}
