//! `scapkit read FILE...`: events, one per line.

use crate::cli::{self, Color, Common, Read, Time};
use crate::progress::Progress;
use crate::time::{self, Point};
use crate::{Outcome, open};
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use scapkit_replay::format::unescape;
use scapkit_replay::{
    BufferMode, DEFAULT_JSON, DEFAULT_LINE, Dialect, Format, Played, Replay, ReplayOptions, Step, TextOptions,
    TimeMode, View, Visibility,
};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// Text collected before it is written out.
const WRITE_SIZE: usize = 64 << 10;
/// How often a file that may grow is looked at again.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
/// Recorders merge the buffers of processors within a short window, so an event may be a little
/// older than the one before it. After an event that much later than `--to` none is looked for.
const ORDER_SLACK: u64 = 10_000_000_000;

pub fn run(args: &Read, common: &Common) -> Result<Outcome> {
    let mut printer = Printer::new(args, common)?;
    let mut failed = None;
    for file in &args.files {
        if printer.left == 0 {
            break;
        }
        // The other files are still shown.
        if let Err(e) = one(file, args, common, &mut printer) {
            printer.flush()?;
            if crate::is_broken_pipe(&e) {
                return Err(e);
            }
            if let Some(previous) = failed.replace(e) {
                crate::say(&previous);
            }
        }
    }
    printer.flush()?;
    failed.map_or(Ok(Outcome::Yes), Err)
}

fn one(file: &Path, args: &Read, common: &Common, printer: &mut Printer) -> Result<()> {
    let view = match args.view {
        cli::View::Recorded => View::Recorded,
        cli::View::Current => View::Current,
    };
    let latency = args.time == Time::D || printer.format.fields().any(|f| f.starts_with("evt.latency"));
    let options = ReplayOptions { view, latency, ..ReplayOptions::default() };
    let mut replay = Replay::new(open::capture(file, common)?, options);
    replay.set_follow(args.follow);
    let mut progress = Progress::new(printer.terminal || args.follow);
    let mut blocks = 0u64;
    printer.start();
    while !printer.done() {
        if blocks.is_multiple_of(4096) {
            progress.update(replay.capture());
        }
        blocks += 1;
        match replay.next()? {
            Some(Played::Event(step)) => printer.step(&step)?,
            Some(Played::Nothing) => {}
            None if args.follow => {
                printer.flush()?;
                std::thread::sleep(FOLLOW_PAUSE);
            }
            None => break,
        }
    }
    progress.finish();
    printer.flush()?;
    open::report_damage(replay.capture());
    open::report_checkpoints(replay.capture().name(), replay.checkpoint_notes());
    open::report_upgrade(replay.capture().name(), replay.upgrade_notes());
    open::report_state(replay.capture().name(), &replay.engine().counters());
    Ok(())
}

struct Printer {
    format: Format,
    text: TextOptions,
    json: bool,
    terminal: bool,
    all: bool,
    zone: TimeZone,
    from: Option<Point>,
    to: Option<Point>,
    /// `from` and `to` in this file, ns since the epoch; known at its first event.
    range: Option<(u64, u64)>,
    left: u64,
    /// An event well after `to` was seen.
    past: bool,
    previous_ts: Option<u64>,
    out: Vec<u8>,
}

impl Printer {
    fn new(args: &Read, common: &Common) -> Result<Self> {
        let terminal = std::io::stdout().is_terminal();
        let colour = match common.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        let source = match &args.print {
            Some(text) => unescape(text),
            None if args.json => DEFAULT_JSON.to_owned(),
            None => DEFAULT_LINE.to_owned(),
        };
        let mut format = Format::compile(&source)?;
        // A format of one's own is printed as it is.
        if colour && args.print.is_none() {
            format = format.coloured();
        }
        let zone = time::zone(&args.tz)?;
        let parse = |t: &Option<String>, flag: &str| {
            t.as_deref().map(Point::parse).transpose().with_context(|| flag.to_owned())
        };
        Ok(Printer {
            format,
            text: TextOptions {
                time: match args.time {
                    Time::H => TimeMode::Clock,
                    Time::A => TimeMode::Absolute,
                    Time::R => TimeMode::Relative,
                    Time::D => TimeMode::Latency,
                    Time::Delta => TimeMode::Delta,
                },
                buffers: match (args.ascii, args.hex) {
                    (true, _) => BufferMode::Ascii,
                    (_, true) => BufferMode::HexAscii,
                    _ => BufferMode::Normal,
                },
                zone: offsets(&zone),
                ..TextOptions::new(match args.view {
                    cli::View::Recorded => Dialect::Sysdig,
                    cli::View::Current => Dialect::Libs,
                })
            },
            json: args.json,
            terminal,
            all: args.all,
            from: parse(&args.from, "--from")?,
            to: parse(&args.to, "--to")?,
            zone,
            range: None,
            left: args.number.unwrap_or(u64::MAX),
            past: false,
            previous_ts: None,
            out: Vec::with_capacity(WRITE_SIZE * 2),
        })
    }

    /// A new file begins.
    fn start(&mut self) {
        self.range = None;
        self.past = false;
        self.previous_ts = None;
    }

    /// Whether nothing more is wanted, of this file or at all.
    fn done(&self) -> bool {
        self.left == 0 || self.past
    }

    fn step(&mut self, step: &Step<'_>) -> Result<()> {
        let wanted = match step.visibility {
            Visibility::Shown => true,
            Visibility::Internal => self.all,
            Visibility::Hidden => false,
        };
        if self.from.is_some() || self.to.is_some() {
            let ts = step.event.ts;
            let (from, to) = match self.range {
                Some(range) => range,
                // Points are counted from the first event that is not about the capture itself.
                None if step.first_ts == 0 => self.resolve(ts)?,
                None => *self.range.insert(self.resolve(step.first_ts)?),
            };
            self.past = ts > to.saturating_add(ORDER_SLACK);
            if ts < from || ts > to {
                return Ok(());
            }
        }
        if !wanted {
            return Ok(());
        }
        let context = step.context(self.previous_ts.unwrap_or(step.event.ts), &self.text);
        if self.json {
            self.format.json(&context, &mut self.out);
        } else if !self.format.line(&context, &mut self.out) {
            return Ok(());
        }
        self.out.push(b'\n');
        self.previous_ts = Some(step.event.ts);
        self.left -= 1;
        if self.out.len() >= WRITE_SIZE { self.flush() } else { Ok(()) }
    }

    /// The range in a capture that begins at `first_ts`.
    fn resolve(&self, first_ts: u64) -> Result<(u64, u64)> {
        let at = |point: &Option<Point>, otherwise: u64| {
            point.as_ref().map_or(Ok(otherwise), |p| p.resolve(first_ts, &self.zone))
        };
        Ok((at(&self.from, 0)?, at(&self.to, u64::MAX)?))
    }

    fn flush(&mut self) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&self.out).and_then(|()| stdout.flush()).context("standard output")?;
        self.out.clear();
        Ok(())
    }
}

/// The zone as seconds from UTC at a time in ns; none for UTC.
fn offsets(zone: &TimeZone) -> Option<scapkit_replay::text::Zone> {
    if *zone == TimeZone::UTC {
        return None;
    }
    let zone = zone.clone();
    Some(Box::new(move |ns| Timestamp::from_nanosecond(i128::from(ns)).map_or(0, |t| zone.to_offset(t).seconds())))
}
