//! What commands that record have in common: signals, deadlines, counters.

use crate::time;
use anyhow::{Context, Result};
use scapkit_capture::{Counters, Source};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Signals that came.
pub struct Signals {
    /// Number of the last one that asks to end, 0 for none.
    end: Arc<AtomicUsize>,
    dump: Arc<AtomicBool>,
}

impl Signals {
    /// From now on signals are noted instead of ending the program.
    pub fn catch() -> Result<Signals> {
        let signals = Signals { end: Arc::default(), dump: Arc::default() };
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let number = usize::try_from(signal).unwrap_or(1);
            signal_hook::flag::register_usize(signal, Arc::clone(&signals.end), number).context("signals")?;
        }
        signal_hook::flag::register(SIGUSR1, Arc::clone(&signals.dump)).context("signals")?;
        Ok(signals)
    }

    /// The signal that asked to end since this was asked last.
    pub fn end(&self) -> Option<i32> {
        match self.end.swap(0, Ordering::Relaxed) {
            0 => None,
            n => i32::try_from(n).ok(),
        }
    }

    /// Whether SIGUSR1 came since this was asked last.
    pub fn dump(&self) -> bool {
        self.dump.swap(false, Ordering::Relaxed)
    }
}

/// `--duration` and the like.
pub fn duration(flag: &str, text: &str) -> Result<Duration> {
    time::duration(text).map(Duration::from_nanos).with_context(|| flag.to_owned())
}

/// When `--duration` is over. By the clock that nobody sets.
pub fn deadline(text: Option<&str>) -> Result<Option<Instant>> {
    let Some(text) = text else { return Ok(None) };
    let duration = duration("--duration", text)?;
    Ok(Instant::now().checked_add(duration))
}

/// Whether a deadline has come.
pub fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|at| Instant::now() >= at)
}

/// Says on standard error what was lost.
pub fn report_losses(source: &dyn Source) -> Result<()> {
    let counters = source.counters()?;
    if counters.drops() > 0 {
        crate::note(&format!("note: {}", losses(&counters)));
    }
    if counters.late > 0 {
        crate::note(&format!("note: {} events came out of order", time::grouped(counters.late)));
    }
    for text in source.notes() {
        crate::note(&format!("note: {}", crate::printable(&text)));
    }
    Ok(())
}

/// What was lost, and why.
pub fn losses(counters: &Counters) -> String {
    let Counters { drops_buffer, drops_size, drops_other, .. } = counters;
    let [all, buffer, size, other] = [counters.drops(), *drops_buffer, *drops_size, *drops_other].map(time::grouped);
    format!("{all} events lost: {buffer} for full buffers, {size} for their size, {other} for other reasons")
}
