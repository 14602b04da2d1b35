//! A progress bar on standard error, when that is a terminal and the work takes over a second.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use scapkit_format::Capture;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Follows the stored bytes consumed.
pub struct Progress {
    started: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// `quiet`: never show one (the output goes to the same terminal).
    pub fn new(quiet: bool) -> Self {
        let wanted = !quiet && std::io::stderr().is_terminal();
        Progress { started: wanted.then(Instant::now), bar: None }
    }

    /// Call now and then.
    pub fn update(&mut self, capture: &Capture) {
        let Some(started) = self.started else { return };
        if started.elapsed() < Duration::from_secs(1) {
            return;
        }
        let (done, total) = capture.progress();
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
            if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {eta}") {
                bar.set_style(style);
            }
            bar
        });
        bar.set_position(done);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
