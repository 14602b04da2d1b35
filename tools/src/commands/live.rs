//! `scapkit live [FILTER]`: events as they happen.

use super::session::{Signals, deadline, is_past, report_losses};
use super::source::{self, Wanted};
use crate::cli::{Common, Live, View as CliView};
use crate::printer::{Printer, Style};
use crate::{Outcome, open, selection};
use anyhow::Result;
use scapkit_capture::privileges::{Stage, reduce};
use scapkit_capture::record::{Turn, needed_types, pump};
use scapkit_capture::{Error, Origin, Source};
use scapkit_format::{Capture, Content, Event, Item, Limits};
use scapkit_replay::{Played, Player, ReplayOptions, View};
use std::ops::ControlFlow;

pub fn run(args: &Live, common: &Common) -> Result<Outcome> {
    let filter = selection::filter(&args.filter)?;
    let mut printer = Printer::new(&style(args), filter, common)?;
    let signals = Signals::catch()?;
    reduce(Stage::Start, false)?;
    let wanted = Wanted {
        engine: &args.engine,
        types: needed_types(&printer.filter().into_iter().collect::<Vec<_>>()),
        tree_of: None,
    };
    let mut opened = source::open(&wanted)?;
    let mut options = ReplayOptions {
        view: match args.view {
            CliView::Recorded => View::Recorded,
            CliView::Current => View::Current,
        },
        latency: printer.needs_latency(),
        suppress: args.suppress.clone(),
        ..ReplayOptions::default()
    };
    if let Some(filter) = printer.filter() {
        options.interest = filter.interest();
    }
    let mut player = Player::new(options);
    let mut start = Capture::from_bytes(opened.lists, "start", Limits { max_block: u32::MAX, ..Limits::default() });
    while let Some(item) = start.next()? {
        if let Item::Block(_, content) = item {
            player.play(&content);
        }
    }
    drop(start);
    opened.source.start()?;
    reduce(Stage::Attached, false)?;
    let deadline = deadline(args.duration.as_deref())?;
    let mut ending = false;
    // Errors of the printer keep their kind: a closed pipe is success.
    let mut failed = None;
    for event in &opened.buffered {
        show(&mut player, &mut printer, event.cpu.into(), &event.bytes)?;
    }
    let source: &mut dyn Source = &mut *opened.source;
    pump(source, &mut |turn| {
        let done = match turn {
            Turn::Event(origin, bytes) => show(&mut player, &mut printer, origin, bytes).map(|()| printer.has_all()),
            Turn::Pause(_) => printer.flush().map(|()| {
                let end = signals.end().is_some() || (!ending && is_past(deadline));
                ending |= end;
                end
            }),
        };
        match done {
            Ok(false) => Ok(ControlFlow::Continue(())),
            Ok(true) => Ok(ControlFlow::Break(())),
            Err(e) => {
                failed = Some(e);
                Err(Error::Option("output".into()))
            }
        }
    })
    .or_else(|e| failed.take().map_or_else(|| Err(e.into()), Err))?;
    printer.finish()?;
    report_losses(source)?;
    open::report_state("live", &player.engine().counters());
    Ok(Outcome::Yes)
}

/// Shows an event if it is wanted. What is no event is passed over.
fn show(player: &mut Player, printer: &mut Printer, origin: Origin, bytes: &[u8]) -> Result<()> {
    let Ok(event) = Event::parse_v2(bytes, origin.cpu, origin.flags) else { return Ok(()) };
    match player.play(&Content::Event(event)) {
        Played::Event(step) => printer.step(&step, None),
        Played::Nothing => Ok(()),
    }
}

fn style(args: &Live) -> Style<'_> {
    Style {
        print: args.print.as_deref(),
        json: args.json,
        number: args.number,
        from: None,
        to: None,
        view: args.view,
        time: args.time,
        ascii: args.ascii,
        hex: args.hex,
        all: args.all,
        tz: &args.tz,
    }
}
