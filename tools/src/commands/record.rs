//! `scapkit record -o OUT`: events into files, or the last minutes of them when something happens.

use super::session::{Signals, deadline, duration, is_past, report_losses};
use super::source::{self, Opened, Wanted};
use crate::cli::{Common, Record, RecordProfile};
use crate::time::grouped;
use crate::{Outcome, note, open, output, selection};
use anyhow::{Context, Result, bail};
use scapkit_capture::privileges::{Stage, reduce};
use scapkit_capture::record::command::{self, Running, Waiting};
use scapkit_capture::record::control::{Control, request};
use scapkit_capture::record::{
    Dumped, Finished, Flight, FlightOptions, Form, Limit, Options, Recording, Rotation, Turn, needed_types, pump,
};
use scapkit_format::Compression;
use scapkit_format::profile::Profile;
use signal_hook::consts::SIGINT;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Memory of a ring that is limited in time only.
const RING_BYTES: u64 = 256 << 20;

const GZIP_LEVEL: i32 = 2;

pub fn run(args: &Record, common: &Common) -> Result<Outcome> {
    if let Some(socket) = &args.dump {
        let name = request(socket, None)?;
        writeln!(std::io::stdout(), "{}", name.display()).context("standard output")?;
        return Ok(Outcome::Yes);
    }
    let Some(output) = &args.output else { bail!("-o OUT is missing") };
    let sink = sink(args, output, common)?;
    let signals = Signals::catch()?;
    if args.wait_tree {
        command::adopt_orphans()?;
    }
    // It keeps the rights that are given up here.
    let waiting = if args.command.is_empty() { None } else { Some(Waiting::start(&args.command)?) };
    reduce(Stage::Start, true)?;
    let wanted = Wanted { engine: &args.engine, types: sink.types(), tree_of: waiting.as_ref().map(Waiting::pid) };
    let opened = source::open(&wanted)?;
    match sink {
        Sink::Files(options) => files(*options, opened, waiting, &signals, args),
        Sink::Ring(options) => ring(*options, opened, waiting, &signals, args),
    }
}

/// What becomes of the events.
enum Sink {
    Files(Box<Options>),
    Ring(Box<FlightOptions>),
}

impl Sink {
    /// The event types that the engine must give.
    fn types(&self) -> Option<Vec<u16>> {
        let (filter, trigger) = match self {
            Sink::Files(options) => (&options.filter, &None),
            Sink::Ring(options) => (&options.filter, &options.trigger),
        };
        // Without a filter all are kept, whatever triggers.
        let filter = filter.as_ref()?;
        needed_types(&[Some(filter), trigger.as_ref()].into_iter().flatten().collect::<Vec<_>>())
    }
}

fn sink(args: &Record, output: &Path, common: &Common) -> Result<Sink> {
    let form = form(args, output, common);
    let filter = selection::filter(&args.filter)?;
    let output = output.to_owned();
    if let Some(ring) = &args.ring {
        let trigger = args.trigger.as_ref().map(|text| selection::filter(std::slice::from_ref(text))).transpose();
        return Ok(Sink::Ring(Box::new(FlightOptions {
            output,
            form,
            limit: limit(ring)?,
            after: duration("--after", &args.after)?,
            filter,
            trigger: trigger.context("--trigger")?.flatten(),
        })));
    }
    let rotation = Rotation {
        bytes: args.rotate_size.as_deref().map(|text| size("--rotate-size", text)).transpose()?,
        every: args.rotate_every.as_deref().map(|text| nanoseconds("--rotate-every", text)).transpose()?,
        events: args.rotate_events,
        keep: args.keep.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
    };
    if rotation.keep.is_some() && !rotation.is_on() {
        bail!("--keep: there is only one file without --rotate-size, --rotate-every or --rotate-events");
    }
    Ok(Sink::Files(Box::new(Options { output, form, rotation, filter, number: args.number })))
}

fn form(args: &Record, output: &Path, common: &Common) -> Form {
    let compression = output::compression(output, args.compress, Compression::Gzip);
    // A recorder must keep up: a quarter larger than at gzip's own default, in a third of the time.
    let usual = (compression == Compression::Gzip).then_some(GZIP_LEVEL);
    let mut form = Form {
        compression,
        level: args.level.or(usual),
        profile: match args.profile {
            RecordProfile::Modern => Profile::Modern,
            RecordProfile::Universal => Profile::Universal,
        },
        ..Form::default()
    };
    if let Some(threads) = common.threads {
        form.threads = threads;
    }
    form
}

fn nanoseconds(flag: &str, text: &str) -> Result<u64> {
    let ns = u64::try_from(duration(flag, text)?.as_nanos()).unwrap_or(u64::MAX);
    if ns == 0 {
        bail!("{flag} {text}: wanted more than no time");
    }
    Ok(ns)
}

fn size(flag: &str, text: &str) -> Result<u64> {
    let bytes = text.trim_end_matches('B').trim_end_matches('i');
    match open::number(bytes) {
        Some(n) if n > 0 => Ok(n),
        _ => bail!("{flag} {text:?}: wanted a size: 64M, 2G or bytes"),
    }
}

/// `5m`, `256M` or `5m,256M`: small letters are units of time, capital ones of size.
fn limit(text: &str) -> Result<Limit> {
    let (mut age, mut bytes) = (None, None);
    for part in text.split(',') {
        let slot = if part.ends_with(|c: char| c.is_ascii_lowercase()) {
            let ns = nanoseconds("--ring", part)?;
            age.replace(ns)
        } else {
            bytes.replace(size("--ring", part)?)
        };
        if slot.is_some() {
            bail!("--ring {text}: wanted a duration, a size, or one of each: 5m,256M");
        }
    }
    let bytes = usize::try_from(bytes.unwrap_or(RING_BYTES)).unwrap_or(usize::MAX);
    if bytes < 1 << 20 {
        bail!("--ring {text}: wanted 1M or more");
    }
    Ok(Limit { age, bytes })
}

/// When a recording ends.
struct Ends<'a> {
    signals: &'a Signals,
    deadline: Option<Instant>,
    command: Option<Running>,
    wait_tree: bool,
    /// Why the command could not be run.
    unstarted: Option<std::io::Error>,
    ending: bool,
    /// A second signal came: the command is waited for no longer.
    hurry: Option<i32>,
}

impl<'a> Ends<'a> {
    /// Lets the command run.
    fn new(waiting: Option<Waiting>, signals: &'a Signals, args: &Record) -> Result<Ends<'a>> {
        let deadline = deadline(args.duration.as_deref())?;
        let (mut command, mut unstarted) = (None, None);
        match waiting.map(Waiting::release) {
            Some(Ok(running)) => command = Some(running),
            Some(Err(e)) => unstarted = Some(e),
            None => {}
        }
        let wait_tree = args.wait_tree;
        Ok(Ends { signals, deadline, command, wait_tree, unstarted, ending: false, hurry: None })
    }

    /// Whether there is a reason to end that there was not before.
    fn now(&mut self) -> Result<bool, scapkit_capture::Error> {
        if let Some(signal) = self.signals.end() {
            let first = !self.ending && self.hurry.replace(signal).is_none();
            if let Some(running) = &mut self.command
                && first
                && running.ended()?.is_none()
            {
                // It is the command that ends first. The terminal has sent it SIGINT too.
                if signal != SIGINT {
                    running.signal(signal);
                }
                return Ok(false);
            }
            self.hurry = Some(signal);
            self.ending = true;
            return Ok(true);
        }
        if self.ending {
            return Ok(false);
        }
        self.ending = self.unstarted.is_some() || is_past(self.deadline) || self.has_ended()?;
        Ok(self.ending)
    }

    fn has_ended(&mut self) -> Result<bool, scapkit_capture::Error> {
        let Some(running) = &mut self.command else { return Ok(false) };
        Ok(running.ended()?.is_some() && (!self.wait_tree || command::tree_ended()))
    }

    /// The exit status of the program: the command's, once it has ended.
    fn outcome(mut self) -> Result<Outcome> {
        if let Some(error) = self.unstarted {
            note(&format!("the command cannot be run: {error}"));
            return Ok(Outcome::Status(command::failure_code(&error)));
        }
        let Some(mut running) = self.command.take() else { return Ok(Outcome::Yes) };
        loop {
            if let Some(status) = running.ended()? {
                return Ok(Outcome::Status(command::exit_code(status)));
            }
            if let Some(signal) = self.signals.end().or(self.hurry) {
                return Ok(Outcome::Status(u8::try_from(128 + signal).unwrap_or(u8::MAX)));
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

fn files(
    options: Options,
    mut opened: Opened,
    waiting: Option<Waiting>,
    signals: &Signals,
    args: &Record,
) -> Result<Outcome> {
    let later_files = options.rotation.is_on();
    let mut recording = Recording::new(options, &opened.lists)?;
    opened.lists = Vec::new();
    opened.source.start()?;
    reduce(Stage::Attached, later_files)?;
    let mut ends = Ends::new(waiting, signals, args)?;
    let mut enough = false;
    for event in std::mem::take(&mut opened.buffered) {
        enough = enough || recording.event(event.cpu.into(), &event.bytes)?.is_break();
    }
    if !enough {
        pump(&mut *opened.source, &mut |turn| match turn {
            Turn::Event(origin, bytes) => recording.event(origin, bytes),
            Turn::Pause(_) => {
                recording.idle()?;
                Ok(if ends.now()? { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            }
        })?;
    }
    let summary = recording.finish()?;
    if let [file] = &summary.files[..] {
        let state = match summary.state_only {
            0 => String::new(),
            n => format!(", {} for the state only", grouped(n)),
        };
        note(&format!("{}: {} events{state}, {}", name(&file.path), grouped(summary.events), bytes(file)));
    } else {
        let total: u64 = summary.files.iter().map(|f| f.bytes).sum();
        let files = summary.files.len();
        note(&format!("{} events in {files} files, {} bytes", grouped(summary.events), grouped(total)));
    }
    summary.files.iter().for_each(report_profile);
    report_broken(summary.broken);
    report_losses(&*opened.source)?;
    ends.outcome()
}

fn ring(
    options: FlightOptions,
    mut opened: Opened,
    waiting: Option<Waiting>,
    signals: &Signals,
    args: &Record,
) -> Result<Outcome> {
    let mut flight = Flight::new(options, &opened.lists)?;
    opened.lists = Vec::new();
    let mut control = args.control.as_deref().map(Control::listen).transpose()?;
    opened.source.start()?;
    reduce(Stage::Attached, true)?;
    let mut ends = Ends::new(waiting, signals, args)?;
    for event in std::mem::take(&mut opened.buffered) {
        flight.event(event.cpu.into(), &event.bytes);
    }
    pump(&mut *opened.source, &mut |turn| {
        match turn {
            Turn::Event(origin, bytes) => flight.event(origin, bytes),
            Turn::Pause(_) => {
                if signals.dump()
                    && let Err(e) = flight.dump(now())
                {
                    // The recorder goes on: the next one may work.
                    crate::say(&e.into());
                }
                if let Some(control) = &mut control {
                    control.poll(&mut || flight.dump(now()));
                }
                report_dumps(flight.tick(), control.as_mut());
                if ends.now()? {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let (summary, done) = flight.finish();
    let failed = done.iter().any(|dumped| dumped.result.is_err());
    report_dumps(done, control.as_mut());
    note(&format!("{} events seen, {} times asked for", grouped(summary.events + summary.left), summary.triggers));
    report_broken(summary.broken);
    report_losses(&*opened.source)?;
    if failed {
        bail!("a file could not be written");
    }
    ends.outcome()
}

fn report_dumps(done: Vec<Dumped>, mut control: Option<&mut Control>) {
    for Dumped { path, result } in done {
        let failure = result.as_ref().err().map(ToString::to_string);
        if let Some(control) = control.as_mut() {
            control.done(&path, failure.as_deref());
        }
        match result {
            Ok(file) => {
                note(&format!("{}: {} events, {}", name(&file.path), grouped(file.events), bytes(&file)));
                report_profile(&file);
            }
            Err(e) => crate::say(&e.into()),
        }
    }
}

fn report_profile(file: &Finished) {
    for sentence in file.report.sentences() {
        note(&format!("{}: note: {sentence}", name(&file.path)));
    }
}

fn report_broken(broken: u64) {
    if broken > 0 {
        note(&format!("note: {} times the engine gave what is no event", grouped(broken)));
    }
}

fn name(path: &Path) -> String {
    if path == Path::new("-") { "standard output".to_owned() } else { path.display().to_string() }
}

fn bytes(file: &Finished) -> String {
    format!("{} bytes", grouped(file.bytes))
}

/// The time of now, for names.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}
