//! Prints events as `read` and `live` show them, or writes them to a capture.

use crate::cli::{self, Color, Common, Time};
use crate::output;
use crate::time::{self, Point};
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use scapkit_format::profile::{Profile, ProfileWriter};
use scapkit_format::write::Trailer;
use scapkit_format::{Block, Compression, Content};
use scapkit_replay::format::unescape;
use scapkit_replay::{
    BufferMode, DEFAULT_JSON, DEFAULT_LINE, Dialect, Filter, Format, Step, TextOptions, TimeMode, View, Visibility,
};
use std::io::{IsTerminal, Write};
use std::path::Path;

/// Text collected before it is written out.
const WRITE_SIZE: usize = 64 << 10;
/// Recorders merge the buffers of processors within a short window, so an event may be a little
/// older than the one before it. After an event that much later than `--to` none is looked for.
const ORDER_SLACK: u64 = 10_000_000_000;

/// How events are printed, as the command line has it.
pub struct Style<'a> {
    pub print: Option<&'a str>,
    pub json: bool,
    pub number: Option<u64>,
    pub from: Option<&'a str>,
    pub to: Option<&'a str>,
    pub view: cli::View,
    pub time: Time,
    pub ascii: bool,
    pub hex: bool,
    pub all: bool,
    pub tz: &'a str,
}

pub struct Printer {
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
    /// For events that pass `filter`.
    pub fn new(args: &Style<'_>, filter: Option<Filter>, common: &Common) -> Result<Self> {
        let terminal = std::io::stdout().is_terminal();
        let colour = match common.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        let source = match args.print {
            Some(text) => unescape(text),
            None if args.json => DEFAULT_JSON.to_owned(),
            None => DEFAULT_LINE.to_owned(),
        };
        let mut format = Format::compile(&source)?;
        // A format of one's own is printed as it is.
        if colour && args.print.is_none() {
            format = format.coloured();
        }
        let zone = time::zone(args.tz)?;
        let parse = |t: Option<&str>, flag: &str| t.map(Point::parse).transpose().with_context(|| flag.to_owned());
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
            from: parse(args.from, "--from")?,
            to: parse(args.to, "--to")?,
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
    pub fn open(&mut self, out: &Path, input: Compression, view: View, common: &Common) -> Result<()> {
        if self.writer.is_none() {
            let profile = if view == View::Current { Profile::Modern } else { Profile::AsIs };
            let chunks = output::create(out, None, None, common, input)?;
            self.writer = Some(Box::new(ProfileWriter::new(chunks, profile)));
        }
        Ok(())
    }

    /// A block that is no event of the view. Lists are written; of events only what is asked for.
    pub fn other(&mut self, block: &Block<'_>, content: &Content<'_>) -> Result<()> {
        if let Some(writer) = &mut self.writer
            && !matches!(content, Content::Event(_))
        {
            writer.block(block, content)?;
        }
        Ok(())
    }

    /// A new file begins.
    pub fn start(&mut self) {
        self.range = None;
        self.past = false;
        self.previous_ts = None;
    }

    /// The filter.
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// Whether standard output is a terminal.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether the time between enter and exit must be known, for times shown so.
    pub fn needs_latency(&self) -> bool {
        self.text.time == TimeMode::Latency || self.format.fields().any(|f| f.starts_with("evt.latency"))
    }

    /// Whether as many events were shown as were asked for.
    pub fn has_all(&self) -> bool {
        self.left == 0
    }

    /// Whether nothing more is wanted, of this file or at all.
    pub fn done(&self) -> bool {
        self.left == 0 || self.past
    }

    /// Shows an event, or writes it: the one of `block`, if that is as the view has it.
    pub fn step(&mut self, step: &Step<'_>, block: Option<&Block<'_>>) -> Result<()> {
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
    pub fn finish(&mut self) -> Result<()> {
        if let Some(writer) = self.writer.take() {
            let (chunks, _) = writer.finish()?;
            chunks.finish(Trailer::None)?;
        }
        self.flush()
    }

    /// Writes out what was collected.
    pub fn flush(&mut self) -> Result<()> {
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
