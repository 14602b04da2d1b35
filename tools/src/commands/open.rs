//! `scapkit open`: whether recording works, by its counters.

use super::session::{Signals, deadline, is_past};
use super::source::{self, Wanted};
use crate::Outcome;
use crate::cli::Open;
use crate::time::grouped;
use anyhow::{Context, Result};
use scapkit_capture::privileges::{Stage, reduce};
use scapkit_capture::record::{Turn, pump};
use scapkit_capture::{Counters, Error};
use scapkit_format::schema;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Where the type stands in an event.
const TYPE_AT: std::ops::Range<usize> = 20..22;

pub fn run(args: &Open) -> Result<Outcome> {
    let signals = Signals::catch()?;
    reduce(Stage::Start, false)?;
    let wanted = Wanted { engine: &args.engine, types: None, tree_of: None };
    let mut opened = source::open(&wanted)?;
    opened.source.start()?;
    reduce(Stage::Attached, false)?;
    let deadline = deadline(args.duration.as_deref())?;
    let started = Instant::now();
    let mut counted = Counted::default();
    let mut next = started + Duration::from_secs(1);
    let mut ending = false;
    for event in &opened.buffered {
        counted.event(&event.bytes);
    }
    let mut failed = None;
    pump(&mut *opened.source, &mut |turn| {
        let source = match turn {
            Turn::Event(_, bytes) => {
                counted.event(bytes);
                return Ok(ControlFlow::Continue(()));
            }
            Turn::Pause(source) => source,
        };
        if signals.end().is_some() || (!ending && is_past(deadline)) {
            ending = true;
            return Ok(ControlFlow::Break(()));
        }
        if !ending && Instant::now() >= next {
            next += Duration::from_secs(1);
            let counters = counted.with(source.counters()?);
            if let Err(e) = counted.print(&counters, started.elapsed(), args.json, false) {
                failed = Some(e);
                return Err(Error::Option("standard output".into()));
            }
        }
        Ok(ControlFlow::Continue(()))
    })
    .or_else(|e| failed.take().map_or_else(|| Err(e.into()), Err))?;
    let counters = counted.with(opened.source.counters()?);
    counted.print(&counters, started.elapsed(), args.json, true)?;
    Ok(Outcome::Yes)
}

/// Events by type, and how many there were a second ago.
#[derive(Default)]
struct Counted {
    by_type: BTreeMap<u16, u64>,
    captured: u64,
    before: (u64, Duration),
}

impl Counted {
    fn event(&mut self, bytes: &[u8]) {
        let Some(of) = bytes.get(TYPE_AT).and_then(|b| b.first_chunk()).map(|b| u16::from_le_bytes(*b)) else { return };
        *self.by_type.entry(of).or_default() += 1;
        self.captured += 1;
    }

    fn with(&self, counters: Counters) -> Counters {
        Counters { by_type: self.by_type.clone(), ..counters }
    }

    fn print(&mut self, counters: &Counters, passed: Duration, json: bool, last: bool) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let text = if json { self.json(counters, passed, last) } else { self.text(counters, passed, last) };
        self.before = (self.captured, passed);
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")
    }

    /// Events per second since `(captured, passed)`.
    fn rate(&self, since: (u64, Duration), passed: Duration) -> u64 {
        let ms = passed.saturating_sub(since.1).as_millis().max(1);
        u64::try_from(u128::from(self.captured - since.0) * 1000 / ms).unwrap_or(u64::MAX)
    }

    fn text(&self, c: &Counters, passed: Duration, last: bool) -> String {
        let since = if last { (0, Duration::ZERO) } else { self.before };
        let mut text = format!(
            "{:8.1} s  {} events/s, captured {}, seen by the driver {}, dropped {}, suppressed {}\n",
            passed.as_secs_f64(),
            grouped(self.rate(since, passed)),
            grouped(self.captured),
            grouped(c.seen),
            grouped(c.drops()),
            grouped(c.suppressed),
        );
        if !last {
            return text;
        }
        // Writing to a string cannot fail.
        for (n, what) in [
            (c.drops_buffer, "dropped: buffer full"),
            (c.drops_size, "dropped: too large"),
            (c.drops_other, "dropped: other reasons"),
            (c.late, "out of order"),
        ] {
            _ = writeln!(text, "{:>14}  {what}", grouped(n));
        }
        for (class, n) in &c.drops_by_class {
            _ = writeln!(text, "{:>14}  dropped: {class}", grouped(*n));
        }
        let mut types: Vec<(u16, u64)> = c.by_type.iter().map(|(t, n)| (*t, *n)).collect();
        types.sort_by_key(|(t, n)| (std::cmp::Reverse(*n), *t));
        for (event_type, n) in types {
            let per_second = n as f64 / passed.as_secs_f64().max(0.001);
            _ = writeln!(text, "{:>14}  {per_second:10.1}/s  {}", grouped(n), name(event_type));
        }
        text
    }

    fn json(&self, c: &Counters, passed: Duration, last: bool) -> String {
        let by_type: BTreeMap<String, u64> = c.by_type.iter().map(|(t, n)| (name(*t), *n)).collect();
        let since = if last { (0, Duration::ZERO) } else { self.before };
        let object = serde_json::json!({
            "seconds": passed.as_secs_f64(),
            "last": last,
            "captured": self.captured,
            "rate": self.rate(since, passed),
            "seen": c.seen,
            "drops": {"buffer": c.drops_buffer, "size": c.drops_size, "other": c.drops_other, "by_class": c.drops_by_class},
            "suppressed": c.suppressed,
            "late": c.late,
            "by_type": by_type,
        });
        format!("{object}\n")
    }
}

/// `< openat`, or the number of a type that this program does not know.
fn name(event_type: u16) -> String {
    schema::event_info(event_type).map_or_else(|| event_type.to_string(), ToString::to_string)
}
