//! Containers: which one a thread is in, and what its engine says of it, as events that a capture keeps, so that
//! replay needs neither engine nor machine (os-state 6).
//!
//! ```text
//! a thread's cgroups ─> ContainerId ─> Worker::want ─> Known {id, type}            at once
//!                                          └─> engine's socket ─> Known {all}      Worker::next, later
//! Known::event ─> ASYNCEVENT "container", JSON ─> capture ─> container.name, container.image, ...
//! ```
//!
//! Docker and Podman are asked, by the API that both have, over their local socket. containerd and CRI-O speak
//! gRPC, which is not spoken here: of their containers id and type are recorded. LXC, libvirt, BPM and
//! systemd-nspawn have nothing to ask; the id is the name.
//!
//! Those sockets are as good as root: nothing but `GET` is sent, answers are limited to 8 MiB and one second each,
//! and [`Options::engines`] switches asking off. Environment variables, which can hold secrets, are recorded only on
//! demand.

mod docker;
mod engines;
mod http;
mod ids;
mod record;
mod watch;

pub use ids::{ContainerId, Runtime};
pub use record::Known;
pub use watch::Watched;

use crate::{Error, Result};
use engines::Outcome;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Most containers that wait to be asked about, and most answers that wait to be taken.
const QUEUE: usize = 1024;
/// Most containers that are remembered.
const MAX_SEEN: usize = 65_536;
/// How often an engine that does not know a container is asked again: one may start before its engine says so.
const AGAIN: u32 = 5;
const PAUSE: Duration = Duration::from_millis(30);

/// What is asked and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Ask engines at all. Without, id and type are recorded.
    pub engines: bool,
    /// Put before the paths of sockets; empty for this machine's own. `HOST_ROOT` upstream.
    pub host_root: PathBuf,
    /// Labels with a value of more bytes are left out.
    pub label_max_len: usize,
    /// Record the containers' environment variables.
    pub environment: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { engines: true, host_root: PathBuf::new(), label_max_len: 100, environment: false }
    }
}

/// What became of the containers that were wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Given to the worker's thread.
    pub asked: u64,
    /// An engine told of them.
    pub told: u64,
    /// No engine knows them.
    pub unknown: u64,
    /// No engine could be asked, or its answer was of no use.
    pub failed: u64,
    /// Not asked about, because too many are waiting; or not remembered, because there are too many.
    pub refused: u64,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    told: AtomicU64,
    unknown: AtomicU64,
    failed: AtomicU64,
}

/// Asks engines about containers, on a thread of its own. None of its functions waits for an engine.
#[derive(Debug)]
pub struct Worker {
    /// `None` when engines are not to be asked.
    requests: Option<SyncSender<ContainerId>>,
    answers: Receiver<Known>,
    shared: Arc<Shared>,
    /// Those that were recorded, by short id; `true` once they need not be asked about any more.
    seen: BTreeMap<String, (ContainerId, bool)>,
    asked: u64,
    refused: u64,
}

impl Worker {
    /// Begins.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(options: Options) -> Result<Worker> {
        let (to_caller, answers) = sync_channel(QUEUE);
        let shared = Arc::new(Shared::default());
        let mut requests = None;
        if options.engines {
            let (sender, receiver) = sync_channel(QUEUE);
            let shared = shared.clone();
            let work = move || work(&receiver, &to_caller, &shared, &options);
            let thread = std::thread::Builder::new().name("containers".into()).spawn(work);
            thread.map_err(|e| Error::system("starting a thread for containers", e))?;
            requests = Some(sender);
        }
        Ok(Worker { requests, answers, shared, seen: BTreeMap::new(), asked: 0, refused: 0 })
    }

    /// A thread is in this container. What to record at once, the first time; an engine's answer comes by
    /// [`Worker::next`]. `None` when it is known already.
    pub fn want(&mut self, wanted: &ContainerId) -> Option<Known> {
        let is_new = match self.seen.get(&wanted.id) {
            Some((_, true)) => return None,
            // Was refused last time.
            Some((_, false)) => false,
            None if self.seen.len() >= MAX_SEEN => {
                self.refused += 1;
                return None;
            }
            None => true,
        };
        let done = self.ask(wanted);
        self.seen.insert(wanted.id.clone(), (wanted.clone(), done));
        is_new.then(|| Known::bare(wanted, true))
    }

    /// Whether nothing is left to be done about it.
    fn ask(&mut self, wanted: &ContainerId) -> bool {
        let Some(requests) = self.requests.as_ref().filter(|_| !wanted.is_engineless()) else { return true };
        if requests.try_send(wanted.clone()).is_err() {
            self.refused += 1;
            return false;
        }
        self.asked += 1;
        true
    }

    /// The container is gone: its first process ended. What to record of it; `None` when nothing was recorded of it
    /// before. A later one of the same id is a new one.
    pub fn removed(&mut self, id: &str) -> Option<Known> {
        self.seen.remove(id).map(|(container, _)| Known::bare(&container, false))
    }

    /// The next answer of an engine, if there is one. Those about containers that were removed meanwhile are dropped.
    // Not an iterator: there may be more after none.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Known> {
        loop {
            let known = self.answers.try_recv().ok()?;
            if self.seen.contains_key(&known.id) {
                return Some(known);
            }
        }
    }

    /// Whether engines have said what they will about everything that was asked so far. Their answers may
    /// still have to be taken.
    pub fn is_idle(&self) -> bool {
        let c = self.counters();
        c.told + c.unknown + c.failed == c.asked
    }

    /// What was asked and answered so far.
    pub fn counters(&self) -> Counters {
        Counters {
            asked: self.asked,
            told: self.shared.told.load(Relaxed),
            unknown: self.shared.unknown.load(Relaxed),
            failed: self.shared.failed.load(Relaxed),
            refused: self.refused,
        }
    }
}

impl Drop for Worker {
    /// The thread ends by itself, after at most the requests that it is at: nobody waits for it.
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
    }
}

/// The worker's thread.
fn work(requests: &Receiver<ContainerId>, answers: &SyncSender<Known>, shared: &Shared, options: &Options) {
    let mut hung = engines::Hung::new();
    while let Ok(wanted) = requests.recv() {
        let mut outcome = Outcome::Unknown;
        for attempt in 0..AGAIN {
            if shared.stop.load(Relaxed) {
                return;
            }
            if attempt > 0 {
                std::thread::sleep(PAUSE);
            }
            outcome = engines::ask(&wanted, options, &mut hung);
            if !matches!(outcome, Outcome::Unknown) {
                break;
            }
        }
        let counter = match outcome {
            Outcome::Told(known) => {
                // Waits while the caller takes no answers, and ends when there is no caller.
                if answers.send(known).is_err() {
                    return;
                }
                &shared.told
            }
            Outcome::Unknown => &shared.unknown,
            Outcome::Failed => &shared.failed,
        };
        // After the answer was sent, for `is_idle`.
        counter.fetch_add(1, Relaxed);
    }
}
