//! `scapkit read FILE...`: events, one per line.

use crate::cli::{self, Color, Common, Read, Time};
use crate::progress::Progress;
use crate::time::{self, Point};
use crate::{Outcome, open, output, selection};
use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use scapkit_format::profile::{Profile, ProfileWriter};
use scapkit_format::write::Trailer;
use scapkit_format::{Block, Capture, Compression, Content, Item};
use scapkit_replay::format::unescape;
use scapkit_replay::{
    BufferMode, DEFAULT_JSON, DEFAULT_LINE, Dialect, Filter, Format, Played, Player, Replay, ReplayOptions, Step,
    TextOptions, TimeMode, View, Visibility,
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
    let selection = selection::split(&args.words)?;
    if let Some(out) = &args.write
        && let Some(same) = selection.files.iter().find(|file| output::same_file(file, out))
    {
        bail!("{}: input and output are the same file", same.display());
    }
    let mut printer = Printer::new(args, selection.filter, common)?;
    let mut failed = None;
    for file in &selection.files {
        if printer.left == 0 {
            break;
        }
        // The other files are still shown.
        if let Err(e) = one(file, args, common, &mut printer) {
            printer.flush()?;
            if crate::is_broken_pipe(&e) || args.write.is_some() {
                return Err(e);
            }
            if let Some(previous) = failed.replace(e) {
                crate::say(&previous);
            }
        }
    }
    printer.finish()?;
    failed.map_or(Ok(Outcome::Yes), Err)
}

fn one(file: &Path, args: &Read, common: &Common, printer: &mut Printer) -> Result<()> {
    let view = match args.view {
        cli::View::Recorded => View::Recorded,
        cli::View::Current => View::Current,
    };
    let latency = args.time == Time::D || printer.format.fields().any(|f| f.starts_with("evt.latency"));
    let mut options = ReplayOptions { view, latency, suppress: args.suppress.clone(), ..ReplayOptions::default() };
    let mut capture = open::capture(file, common)?;
    capture.set_follow(args.follow);
    printer.start();
    if let Some(out) = &args.write {
        printer.open(out, capture.detect()?, view, common)?;
        let mut player = Player::new(options);
        let mut progress = Progress::new(printer.terminal);
        let mut blocks = 0u64;
        while !printer.done()
            && let Some(item) = capture.next()?
        {
            if let Item::Block(block, content) = item {
                match player.play(&content) {
                    Played::Event(step) => printer.step(&step, Some(&block))?,
                    Played::Nothing => printer.other(&block, &content)?,
                }
            }
            if blocks.is_multiple_of(4096) {
                progress.update(&capture);
            }
            blocks += 1;
        }
        progress.finish();
        report(&capture, &player);
        return Ok(());
    }
    // The end of the range is found by an event after it, whatever it is.
    if let Some(filter) = &printer.filter
        && args.to.is_none()
    {
        options.interest = filter.interest();
    }
    let mut replay = Replay::new(capture, options);
    let mut progress = Progress::new(printer.terminal || args.follow);
    let mut blocks = 0u64;
    while !printer.done() {
        if blocks.is_multiple_of(4096) {
            progress.update(replay.capture());
        }
        blocks += 1;
        match replay.next()? {
            Some(Played::Event(step)) => printer.step(&step, None)?,
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
    report(replay.capture(), replay.player());
    Ok(())
}

/// Says on standard error what was not as it should be.
fn report(capture: &Capture, player: &Player) {
    open::report_damage(capture);
    open::report_checkpoints(capture.name(), player.checkpoint_notes());
    open::report_upgrade(capture.name(), player.upgrade_notes());
    open::report_state(capture.name(), &player.engine().counters());
}

struct Printer {
    filter: Option<Filter>,
    format: Format,
    text: TextOptions,
    /// Where events go instead of being printed.
    writer: Option<Box<ProfileWriter>>,
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
    fn new(args: &Read, filter: Option<Filter>, common: &Common) -> Result<Self> {
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
            filter,
            writer: None,
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

    /// Opens the capture that events are written to, unless it is open: several files become one
    /// capture of several sections.
    fn open(&mut self, out: &Path, input: Compression, view: View, common: &Common) -> Result<()> {
        if self.writer.is_none() {
            let profile = if view == View::Current { Profile::Modern } else { Profile::AsIs };
            let chunks = output::create(out, None, None, common, input)?;
            self.writer = Some(Box::new(ProfileWriter::new(chunks, profile)));
        }
        Ok(())
    }

    /// A block that is no event of the view. Lists are written; of events only what is asked for.
    fn other(&mut self, block: &Block<'_>, content: &Content<'_>) -> Result<()> {
        if let Some(writer) = &mut self.writer
            && !matches!(content, Content::Event(_))
        {
            writer.block(block, content)?;
        }
        Ok(())
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

    fn step(&mut self, step: &Step<'_>, block: Option<&Block<'_>>) -> Result<()> {
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
        if let Some(filter) = &mut self.filter
            && !filter.matches(&context)
        {
            return Ok(());
        }
        if let Some(writer) = &mut self.writer {
            match block.filter(|_| self.text.dialect == Dialect::Sysdig) {
                Some(block) => writer.block(block, &Content::Event(step.event))?,
                // The upgrade gives events of today's schema, which have no block of their own.
                None => writer.event(&step.event, None)?,
            }
        } else if self.json {
            self.format.json(&context, &mut self.out);
        } else if !self.format.line(&context, &mut self.out) {
            return Ok(());
        }
        if self.writer.is_none() {
            self.out.push(b'\n');
        }
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

    /// Ends what is written or printed.
    fn finish(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            let (chunks, _) = writer.finish()?;
            chunks.finish(Trailer::None)?;
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        if self.out.is_empty() && self.writer.is_some() {
            return Ok(());
        }
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
