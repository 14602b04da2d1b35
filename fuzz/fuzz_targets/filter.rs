//! Any text as a filter and as a format: it compiles or there is an error that points into the text; what
//! compiles is asked about events, and its negation says the opposite.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_format::{Capture, Limits};
use scapkit_replay::{Dialect, Filter, Format, Played, Replay, ReplayOptions, TextOptions, View};

const EVENTS: &[u8] = include_bytes!("../../corpus/break-in.scap");

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(error) = Format::compile(text) {
        assert!(error.column >= 1 && error.column <= text.chars().count() + 1);
        let _ = error.to_string();
    }
    let mut filter = match Filter::compile(text) {
        Ok(filter) => filter,
        Err(error) => {
            let _ = (error.to_string(), error.shown(text));
            return;
        }
    };
    let mut opposite = Filter::compile(&format!("not ({text})")).ok();
    let view = if data.len() % 2 == 0 { View::Recorded } else { View::Current };
    let options = TextOptions::new(if view == View::Current { Dialect::Libs } else { Dialect::Sysdig });
    let capture = Capture::from_bytes(EVENTS.to_vec(), "fuzz", Limits::default());
    let mut replay = Replay::new(capture, ReplayOptions { view, ..ReplayOptions::default() });
    let mut number = 0;
    while let Ok(Some(played)) = replay.next() {
        let Played::Event(step) = played else { continue };
        number += 1;
        // Some of each kind are enough.
        if number % 5 != 0 {
            continue;
        }
        let context = step.context(step.event.ts, &options);
        let matches = filter.matches(&context);
        assert_eq!(filter.matches(&context), matches, "asked twice");
        if let Some(opposite) = &mut opposite {
            assert_ne!(opposite.matches(&context), matches, "event {}", step.number);
        }
    }
});
