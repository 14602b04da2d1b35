//! `scapkit read FILE...`: events, one per line.

use crate::cli::{self, Common, Read};
use crate::printer::{Printer, Style};
use crate::progress::Progress;
use crate::{Outcome, open, output, selection};
use anyhow::{Result, bail};
use scapkit_format::{Capture, Item};
use scapkit_replay::{Played, Player, Replay, ReplayOptions, View};
use std::path::Path;
use std::time::Duration;

/// How often a file that may grow is looked at again.
const FOLLOW_PAUSE: Duration = Duration::from_millis(200);
pub fn run(args: &Read, common: &Common) -> Result<Outcome> {
    let selection = selection::split(&args.words)?;
    if let Some(out) = &args.write
        && let Some(same) = selection.files.iter().find(|file| output::same_file(file, out))
    {
        bail!("{}: input and output are the same file", same.display());
    }
    let mut printer = Printer::new(&style(args), selection.filter, common)?;
    let mut failed = None;
    for file in &selection.files {
        if printer.has_all() {
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

/// How events are printed.
fn style(args: &Read) -> Style<'_> {
    Style {
        print: args.print.as_deref(),
        json: args.json,
        number: args.number,
        from: args.from.as_deref(),
        to: args.to.as_deref(),
        view: args.view,
        time: args.time,
        ascii: args.ascii,
        hex: args.hex,
        all: args.all,
        tz: &args.tz,
    }
}

fn one(file: &Path, args: &Read, common: &Common, printer: &mut Printer) -> Result<()> {
    let view = match args.view {
        cli::View::Recorded => View::Recorded,
        cli::View::Current => View::Current,
    };
    let latency = printer.needs_latency();
    let mut options = ReplayOptions { view, latency, suppress: args.suppress.clone(), ..ReplayOptions::default() };
    let (mut capture, stream) = open::capture(file, common)?;
    capture.set_follow(args.follow);
    printer.start();
    if let Some(out) = &args.write {
        printer.open(out, capture.detect()?, view, common)?;
        let mut player = Player::new(options);
        let mut progress = Progress::new(printer.is_terminal());
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
        stream.say(capture.name());
        return Ok(());
    }
    // The end of the range is found by an event after it, whatever it is.
    if let Some(filter) = printer.filter()
        && args.to.is_none()
    {
        options.interest = filter.interest();
    }
    let mut replay = Replay::new(capture, options);
    let mut progress = Progress::new(printer.is_terminal() || args.follow);
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
    stream.say(replay.capture().name());
    Ok(())
}

/// Says on standard error what was not as it should be.
fn report(capture: &Capture, player: &Player) {
    open::report_damage(capture);
    open::report_checkpoints(capture.name(), player.checkpoint_notes());
    open::report_upgrade(capture.name(), player.upgrade_notes());
    open::report_state(capture.name(), &player.engine().counters());
}
