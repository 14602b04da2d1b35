//! What is said of an event, and whether it holds.

use crate::events::capture;
use crate::rows::Row;
use scapkit_format::{Capture, Content, Item, Limits};
use scapkit_replay::{Context, Dialect, Filter, Format, Played, Player, ReplayOptions, TextOptions, View};
use std::fmt;

/// One thing that is said.
pub enum Check {
    /// A field has this text.
    Field(String, String),
    /// A field has no value.
    Absent(String),
    /// A filter matches, or does not.
    Filter(String, bool),
    /// A filter does not compile.
    Refused(String),
}

/// Whether it holds.
pub enum Outcome {
    Holds,
    Fails(String),
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Check::Field(name, _) => f.write_str(name),
            Check::Absent(name) => write!(f, "no {name}"),
            Check::Filter(filter, true) => write!(f, "match {filter}"),
            Check::Filter(filter, false) => write!(f, "nomatch {filter}"),
            Check::Refused(filter) => write!(f, "compile_error {filter}"),
        }
    }
}

impl Row {
    /// Replays the events; whether the check holds at the last one.
    pub fn run(&self, check: &Check) -> Outcome {
        let wanted = match check {
            // The row's words for what the event before it showed.
            Check::Field(name, value) if value == "unchanged" => {
                let before = &self.steps[..self.steps.len() - 1];
                Some(at_last(self, before, |cx| text(cx, name)).unwrap())
            }
            Check::Field(_, value) => Some(value.clone()),
            _ => None,
        };
        at_last(self, &self.steps, |cx| match check {
            Check::Field(name, _) | Check::Absent(name) => {
                let found = text(cx, name);
                if found == wanted { Outcome::Holds } else { Outcome::Fails(format!("{found:?}, not {wanted:?}")) }
            }
            Check::Filter(filter, wanted) => match Filter::compile(filter) {
                Err(error) => Outcome::Fails(error.shown(filter)),
                Ok(mut filter) => {
                    if filter.matches(cx) == *wanted {
                        Outcome::Holds
                    } else {
                        Outcome::Fails(format!("it does {}match", if *wanted { "not " } else { "" }))
                    }
                }
            },
            Check::Refused(filter) => match Filter::compile(filter) {
                Err(_) => Outcome::Holds,
                Ok(_) => Outcome::Fails("was taken".to_owned()),
            },
        })
    }
}

/// What a field shows; `None` when it has no value.
fn text(cx: &Context<'_>, name: &str) -> Option<String> {
    let mut out = Vec::new();
    let has = Format::compile(&format!("%{name}")).unwrap().line(cx, &mut out);
    has.then(|| String::from_utf8(out).unwrap())
}

/// Replays events and asks at the last one.
fn at_last<T>(row: &Row, steps: &[crate::events::Step], ask: impl FnOnce(&Context<'_>) -> T) -> T {
    let mut capture = Capture::from_bytes(capture(&row.machine, steps), "facts", Limits::default());
    let mut player = Player::new(ReplayOptions { view: View::Current, ..ReplayOptions::default() });
    let options = TextOptions::new(Dialect::Libs);
    let mut left = steps.len();
    while let Some(item) = capture.next().unwrap() {
        let Item::Block(_, content) = item else { panic!("{}: {:?}", row.id, capture.damages()) };
        left -= usize::from(matches!(content, Content::Event(_)));
        if let Played::Event(step) = player.play(&content)
            && left == 0
        {
            return ask(&step.context(step.event.ts, &options));
        }
    }
    panic!("{}: the last event is not in the view", row.id);
}
