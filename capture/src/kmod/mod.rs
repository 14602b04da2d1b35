//! The recorder by falcosecurity's kernel module: its devices, one per processor, and the merge of their rings.
//!
//! Written to the module's documented interface (API 10, schema 4; falcosecurity/libs of 2026-07-22) and tested with
//! simulated devices: files in place of a device's memory, and a closure in place of its `ioctl`. It has **not** run
//! with a loaded module. What of it only a loaded module can show is opening, `ioctl`, and that the module maps what
//! it says it maps.
//!
//! What differs from the probe of [`crate::ebpf`]: the module cannot leave out processes, the recorder's own among
//! them, and has one snaplen for all events. Processors that come online later have no ring; the module tells of them
//! once, by an event.
//!
//! Order of what whoever fills a ring does: the event is written from `head` on, then `head` is set past it, modulo
//! the size; never so far that it would reach `tail`.

mod control;
mod device;
mod ioctl;
mod ring;

pub use control::{Command, Control, Tracepoint, Version};
pub use device::Device;

use crate::ebpf::{MAX_SNAPLEN, processors};
use crate::merge::Merge;
use crate::source::{Counters, Origin, Source};
use crate::{Error, Result, clock};
use ring::Ring;
use scapkit_bpf::DROP_CLASSES;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// How long to sleep when little came.
const PAUSE: Duration = Duration::from_millis(5);
/// Events of later than this after now, in ns, are of a time before the clock was set back.
const AHEAD: u64 = 1_000_000_000;
/// Where the module's devices are, by the names it is built with.
const DEVICES: [&str; 2] = ["/dev/scap", "/dev/falco"];

/// What the module is to record.
#[derive(Debug, Clone)]
pub struct KmodOptions {
    /// Where the devices are, without the processor's number; `/dev/scap` or `/dev/falco` if `None`.
    pub devices: Option<String>,
    /// Bytes of the ring of each processor: a power of two, at least four pages.
    pub ring_bytes: usize,
    /// Bytes of I/O data kept per event, up to 65,000.
    pub snaplen: u16,
    /// Event types of calls wanted; all if `None`. Processes that start, become another program and end are always
    /// told of.
    pub types: Option<Vec<u16>>,
    /// Tell of every switch between threads.
    pub switches: bool,
    /// Tell of every page fault.
    pub faults: bool,
    /// Tell of signals that are delivered.
    pub signals: bool,
    /// Leave out calls that fail.
    pub drop_failed: bool,
}

impl Default for KmodOptions {
    fn default() -> Self {
        KmodOptions {
            devices: None,
            ring_bytes: 8 << 20,
            snaplen: 80,
            types: None,
            switches: false,
            faults: false,
            signals: true,
            drop_failed: false,
        }
    }
}

/// The open devices of the module.
///
/// ```no_run
/// use scapkit_capture::{Source, kmod::{Kmod, KmodOptions}};
/// use std::ops::ControlFlow;
/// let mut module = Kmod::open(&KmodOptions::default())?;
/// module.start()?;
/// std::thread::sleep(module.pause());
/// module.drain(&mut |from, event| {
///     println!("{} bytes from processor {}", event.len(), from.cpu);
///     ControlFlow::Continue(())
/// })?;
/// module.stop()?;
/// # Ok::<(), scapkit_capture::Error>(())
/// ```
pub struct Kmod {
    merge: Merge<Ring>,
    /// One for each device: the files behind them stay open with them. The first one is used.
    controls: Vec<Control>,
    begin: Vec<Command>,
    versions: (Version, Version),
    ring_bytes: usize,
    notes: Vec<String>,
    state: State,
    /// Time of the last look.
    looked: u64,
    /// Whether the last look found as much as a ring can hold in the time of a few.
    busy: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Running,
    Stopped,
    Over,
}

impl Kmod {
    /// Opens the devices of all processors that are online. Nothing is recorded before [`Source::start`].
    ///
    /// # Errors
    /// [`Error::Kernel`] when the module is not loaded or of another version, [`Error::Privilege`] when its devices
    /// may not be opened, [`Error::System`] when they are taken or cannot be mapped.
    pub fn open(options: &KmodOptions) -> Result<Kmod> {
        check(options)?;
        let cpus = processors("online")?;
        let first = cpus.first().copied().unwrap_or(0);
        let prefix = match &options.devices {
            Some(prefix) => device::find(&[prefix.as_str()], first)?,
            None => device::find(&DEVICES, first)?,
        };
        let module = Path::new(prefix).file_name().unwrap_or_default();
        device::set_ring_bytes(&Path::new("/sys/module").join(module).join("parameters"), options.ring_bytes)?;
        let mut devices = Vec::new();
        let mut notes = Vec::new();
        for cpu in cpus {
            match Device::open(&format!("{prefix}{cpu}"), cpu, options.ring_bytes)? {
                Some(device) => devices.push(device),
                None => notes.push(format!("processor {cpu} is not recorded: the module has it as offline")),
            }
        }
        let mut kmod = Kmod::new(devices, options)?;
        kmod.notes = notes;
        Ok(kmod)
    }

    /// Reads these devices.
    ///
    /// # Errors
    /// When there is none, they are not of one version, or an option is wrong.
    pub fn new(devices: Vec<Device>, options: &KmodOptions) -> Result<Kmod> {
        check(options)?;
        let begin = control::begin(options)?;
        let Some(versions) = devices.first().map(|device| device.versions) else {
            return Err(Error::Kernel("the module has no device of a processor that is online".to_owned()));
        };
        let mut merge = Merge::new();
        let mut controls = Vec::new();
        for device in devices {
            if device.versions != versions {
                return Err(Error::Kernel(format!(
                    "{} has API {} and schema {}, the first device {} and {}",
                    device.name, device.versions.0, device.versions.1, versions.0, versions.1
                )));
            }
            if merge.has(device.cpu) {
                return Err(Error::Option(format!("{}: processor {} has a device already", device.name, device.cpu)));
            }
            merge.add(device.cpu, device.ring);
            controls.push(device.control);
        }
        Ok(Kmod {
            merge,
            controls,
            begin,
            versions,
            ring_bytes: options.ring_bytes,
            notes: Vec::new(),
            state: State::Open,
            looked: 0,
            busy: false,
        })
    }

    /// The module's versions: of commands and rings, and of events.
    pub fn versions(&self) -> (Version, Version) {
        self.versions
    }

    /// What is not recorded, and why.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn command(&mut self, command: Command) -> Result<()> {
        if let Some(control) = self.controls.first_mut() {
            control(command).map_err(|e| Error::system(format!("telling the kernel module {command:?}"), e))?;
        }
        Ok(())
    }

    /// Whether the clock was set back: what was recorded before is then later than what comes, and would wait.
    fn was_set_back(&mut self, now: u64) -> bool {
        let back = now < self.looked || self.merge.has_later_than(now.saturating_add(AHEAD));
        self.looked = now;
        back
    }
}

impl Source for Kmod {
    fn drain(&mut self, each: &mut dyn FnMut(Origin, &[u8]) -> ControlFlow<()>) -> Result<u64> {
        let stopped = matches!(self.state, State::Stopped | State::Over);
        let now = clock::real_now();
        let all = self.was_set_back(now) || stopped;
        let given = self.merge.drain(now, all, &mut |cpu, event| each(cpu.into(), event));
        self.busy = self.merge.fullest() > self.ring_bytes / 16;
        if stopped && given == 0 {
            self.state = State::Over;
        }
        // What is due in the other rings was given first.
        self.merge.rings().find_map(Ring::damage).map_or(Ok(given), Err)
    }

    fn pause(&self) -> Duration {
        if self.busy { PAUSE / 5 } else { PAUSE }
    }

    fn start(&mut self) -> Result<()> {
        for command in self.begin.clone() {
            self.command(command)?;
        }
        self.state = State::Running;
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        // Everything is tried, so that as little as possible goes on if something fails.
        let results: Vec<_> = control::end().into_iter().map(|command| self.command(command)).collect();
        self.state = State::Stopped;
        results.into_iter().collect()
    }

    fn is_over(&self) -> bool {
        self.state == State::Over
    }

    fn counters(&self) -> Result<Counters> {
        let mut counters = Counters { given: self.merge.given, late: self.merge.late, ..Counters::default() };
        let mut by_class = [0_u64; DROP_CLASSES.len()];
        for counts in self.merge.rings().map(Ring::counts) {
            let add = |sum: &mut u64, n: u64| *sum = sum.saturating_add(n);
            add(&mut counters.seen, counts.events);
            add(&mut counters.seen, counts.preempted);
            add(&mut counters.drops_buffer, counts.full);
            add(&mut counters.drops_other, counts.faults);
            add(&mut counters.drops_other, counts.preempted);
            let classed = counts.full_of.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
            let full = [counts.full.saturating_sub(classed)].into_iter().chain(counts.full_of);
            by_class.iter_mut().zip(full).for_each(|(sum, n)| add(sum, n));
        }
        counters.drops_by_class = DROP_CLASSES.into_iter().zip(by_class).filter(|(_, n)| *n > 0).collect();
        Ok(counters)
    }
}

fn check(options: &KmodOptions) -> Result<()> {
    device::check_ring_bytes(options.ring_bytes)?;
    if options.snaplen > MAX_SNAPLEN {
        return Err(Error::Option(format!("a snaplen of {}: the largest is {MAX_SNAPLEN}", options.snaplen)));
    }
    Ok(())
}
