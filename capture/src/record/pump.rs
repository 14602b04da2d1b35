//! The loop between a source and what takes its events.

use crate::Result;
use crate::source::{Origin, Source};
use std::ops::ControlFlow;

/// Events after which the taker gets its turn although more are due.
const AT_ONCE: u32 = 1 << 16;

/// What the taker is called for.
pub enum Turn<'a> {
    /// An event: its origin, and its bytes in V2 form.
    Event(Origin, &'a [u8]),
    /// Its turn, often enough to look at signals and clocks: nothing is due, or much was given. With the
    /// source, for its counters.
    Pause(&'a dyn Source),
}

/// Gives the events of a source that was started to `each` until the source is over.
///
/// `Break` at an event: no more are wanted, and nothing more is given. `Break` at a pause: the source is
/// stopped; what was recorded before is still given, until a second `Break` at a pause.
///
/// # Errors
/// Those of the source and of `each`.
pub fn pump(source: &mut dyn Source, each: &mut dyn FnMut(Turn<'_>) -> Result<ControlFlow<()>>) -> Result<()> {
    let mut stopped = false;
    loop {
        let (mut result, mut given) = (Ok(ControlFlow::Continue(())), 0u32);
        let drained = source.drain(&mut |origin, bytes| {
            result = each(Turn::Event(origin, bytes));
            given += 1;
            let go_on = matches!(result, Ok(ControlFlow::Continue(()))) && given < AT_ONCE;
            if go_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        // What went wrong with the event comes first: the source was only told to stop.
        if result?.is_break() {
            return source.stop();
        }
        drained?;
        let over = given == 0 && source.is_over();
        if each(Turn::Pause(source))?.is_break() {
            if stopped {
                return Ok(());
            }
            stopped = true;
            source.stop()?;
        } else if over {
            return if stopped { Ok(()) } else { source.stop() };
        } else if given == 0 {
            std::thread::sleep(source.pause());
        }
    }
}
