//! A source that plays a capture as if it were live: recorders are tested with it where no kernel can be asked.
//!
//! What the capture has before its first event that is no part of the initial state is the start of the
//! recording ([`Simulated::lists`]); the events are upgraded to the current schema, as a probe gives them. Of a
//! capture of several sections the first is played.

use crate::source::{Counters, Origin, Source};
use crate::{Error, Result};
use scapkit_format::schema::id;
use scapkit_format::{Capture, Content, Event, Item, Limits, encode};
use scapkit_replay::upgrade::{Upgraded, Upgrader};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Bytes in front of each event kept: processor and length.
const HEAD: usize = 6;

/// How a capture is played.
#[derive(Debug, Clone, PartialEq)]
pub struct Pace {
    /// Seconds of the capture per second; `None` gives all events at once.
    pub speed: Option<f64>,
    /// How often it is played. Later rounds have later times.
    pub rounds: u32,
    /// Go on after the last event, giving nothing, until stopped.
    pub hold: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { speed: None, rounds: 1, hold: false }
    }
}

/// A capture and how it is to be played, as the command line names them.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    /// The capture.
    pub file: PathBuf,
    /// How.
    pub pace: Pace,
}

impl Script {
    /// Parses `FILE` or `[speed=1,rounds=3,hold]FILE`.
    ///
    /// # Errors
    /// [`Error::Option`].
    pub fn parse(text: &str) -> Result<Script> {
        let (options, file) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, file)) => (options, file),
            None => ("", text),
        };
        let mut pace = Pace::default();
        let wrong = |option: &str| Error::Option(format!("simulated: {option:?}: wanted speed=X, rounds=N or hold"));
        for option in options.split(',').filter(|o| !o.is_empty()) {
            match option.split_once('=') {
                None if option == "hold" => pace.hold = true,
                Some(("speed", x)) => {
                    let speed: f64 = x.parse().map_err(|_| wrong(option))?;
                    if !(speed.is_finite() && speed > 0.0) {
                        return Err(wrong(option));
                    }
                    pace.speed = Some(speed);
                }
                Some(("rounds", n)) => pace.rounds = n.parse().map_err(|_| wrong(option))?,
                _ => return Err(wrong(option)),
            }
        }
        Ok(Script { file: file.into(), pace })
    }
}

/// See the module. All of the capture is kept in memory.
pub struct Simulated {
    lists: Vec<u8>,
    /// By event type, whether events are given; all, if nothing is said.
    only: Option<Vec<bool>>,
    /// Processor, length and bytes of each event.
    events: Vec<u8>,
    pace: Pace,
    first_ts: u64,
    last_ts: u64,
    /// Where the next event stands.
    at: usize,
    round: u32,
    started: Option<Instant>,
    stopped: bool,
    given: u64,
    scratch: Vec<u8>,
}

impl Simulated {
    /// Reads the capture that a script names.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(script: &Script) -> Result<Simulated> {
        Simulated::new(Capture::open(&script.file, Limits::default())?, script.pace.clone())
    }

    /// Reads `capture` from where it stands to the end of its first section.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(mut capture: Capture, pace: Pace) -> Result<Simulated> {
        let (mut lists, mut events, mut block) = (Vec::new(), Vec::new(), Vec::new());
        let mut upgrader = Upgrader::default();
        let (mut first_ts, mut last_ts, mut sections) = (None, 0, 0);
        while let Some(item) = capture.next()? {
            let Item::Block(raw, content) = item else { continue };
            match content {
                Content::Section(_) => {
                    sections += 1;
                    if sections > 1 {
                        break;
                    }
                    lists.extend_from_slice(raw.bytes());
                }
                Content::Event(event) => {
                    let Upgraded::Event(event) = upgrader.apply(&event) else { continue };
                    block.clear();
                    encode::event_of(&mut block, &event)?;
                    if events.is_empty() && is_initial_state(event.event_type) {
                        lists.extend_from_slice(&block);
                        continue;
                    }
                    first_ts.get_or_insert(event.ts);
                    last_ts = last_ts.max(event.ts);
                    put(&mut events, &event, &block);
                }
                Content::Unknown | Content::Broken(_) => {}
                _ if events.is_empty() => lists.extend_from_slice(raw.bytes()),
                _ => {}
            }
        }
        let first_ts = first_ts.unwrap_or(0);
        Ok(Simulated {
            lists,
            only: None,
            events,
            first_ts,
            last_ts,
            at: 0,
            round: 0,
            started: None,
            stopped: pace.rounds == 0,
            given: 0,
            scratch: Vec::new(),
            pace,
        })
    }

    /// What a recording of it starts with: section header, lists, events about the initial state.
    pub fn lists(&self) -> &[u8] {
        &self.lists
    }

    /// Gives only events of these types from now on, as a kernel does that is asked for no others.
    pub fn only(&mut self, types: Option<&[u16]>) {
        self.only = types.map(|types| {
            let mut only = vec![false; scapkit_format::schema::EVENTS.len()];
            for event_type in types {
                if let Some(wanted) = only.get_mut(usize::from(*event_type)) {
                    *wanted = true;
                }
            }
            only
        });
    }

    /// Whether an event is of a type that is given.
    fn is_given(&self, bytes: &[u8]) -> bool {
        let of_type = |only: &Vec<bool>| {
            let event_type = bytes.get(20..22).and_then(|t| t.first_chunk()).map(|t| u16::from_le_bytes(*t));
            event_type.and_then(|t| only.get(usize::from(t))).copied().unwrap_or(true)
        };
        self.only.as_ref().is_none_or(of_type)
    }

    /// The latest time that is due, of the capture's first round.
    fn due(&self) -> u64 {
        let Some((speed, started)) = self.pace.speed.zip(self.started) else { return u64::MAX };
        let passed = started.elapsed().mul_f64(speed);
        self.first_ts.saturating_add(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// By how much a round's times are later than the capture's.
    fn shift(&self) -> u64 {
        let span = self.last_ts.saturating_sub(self.first_ts).saturating_add(1_000_000);
        span.saturating_mul(u64::from(self.round))
    }

    fn all_given(&self) -> bool {
        self.events.is_empty() || self.round >= self.pace.rounds
    }
}

/// Events that tell what was there before.
fn is_initial_state(event_type: u16) -> bool {
    matches!(event_type, id::CONTAINER_JSON_2_E | id::USER_ADDED_E | id::GROUP_ADDED_E | id::ASYNCEVENT_E)
}

/// Keeps the event that `block` holds.
fn put(events: &mut Vec<u8>, event: &Event<'_>, block: &[u8]) {
    // Block header, processor, flags where there are any.
    let skip = if event.flags & !4 == 0 { 10 } else { 14 };
    let Some(len) = block.get(skip + 16..skip + 20).and_then(|l| l.first_chunk()).map(|l| u32::from_le_bytes(*l))
    else {
        return;
    };
    let Some(bytes) = block.get(skip..).and_then(|rest| rest.get(..len as usize)) else { return };
    events.extend_from_slice(&event.cpu.to_le_bytes());
    events.extend_from_slice(&len.to_le_bytes());
    events.extend_from_slice(bytes);
}

impl Source for Simulated {
    fn drain(&mut self, each: &mut dyn FnMut(Origin, &[u8]) -> ControlFlow<()>) -> Result<u64> {
        if self.started.is_none() || self.stopped {
            return Ok(0);
        }
        let (due, mut count) = (self.due(), 0u64);
        while !self.all_given() {
            let rest = self.events.get(self.at..).unwrap_or_default();
            let Some((head, rest)) = rest.split_first_chunk::<HEAD>() else {
                self.at = 0;
                self.round += 1;
                continue;
            };
            let [c0, c1, len @ ..] = *head;
            let len = u32::from_le_bytes(len) as usize;
            let Some(bytes) = rest.get(..len) else { break };
            let shift = self.shift();
            let ts = bytes.first_chunk().map_or(0, |ts| u64::from_le_bytes(*ts)).saturating_add(shift);
            if ts > due {
                break;
            }
            self.at += HEAD + len;
            if !self.is_given(bytes) {
                continue;
            }
            count += 1;
            let cpu = u16::from_le_bytes([c0, c1]);
            let flow = if shift == 0 {
                each(cpu.into(), bytes)
            } else {
                self.scratch.clear();
                self.scratch.extend_from_slice(&ts.to_le_bytes());
                self.scratch.extend_from_slice(bytes.get(8..).unwrap_or_default());
                each(cpu.into(), &self.scratch)
            };
            if flow.is_break() {
                break;
            }
        }
        self.given += count;
        Ok(count)
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(5)
    }

    fn start(&mut self) -> Result<()> {
        self.started.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        // What is not due yet has not happened.
        self.stopped = true;
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stopped || (self.all_given() && !self.pace.hold)
    }

    fn counters(&self) -> Result<Counters> {
        Ok(Counters { seen: self.given, given: self.given, ..Counters::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scapkit_format::synth::{Params, Synth};

    fn capture() -> Capture {
        let mut s = Synth::new();
        s.section().machine("m", 2, 5);
        let call = |fd| Params::new().i64(0).i64(fd);
        s.event(1_000, 7, id::SYSCALL_CLOSE_X, &call(3));
        s.event(1_000_001_000, 7, id::SYSCALL_CLOSE_X, &call(4));
        Capture::from_bytes(s.finish(), "made", Limits::default())
    }

    fn times(source: &mut Simulated) -> Vec<u64> {
        let mut out = Vec::new();
        source
            .drain(&mut |origin, bytes| {
                out.push(Event::parse_v2(bytes, origin.cpu, origin.flags).unwrap().ts);
                ControlFlow::Continue(())
            })
            .unwrap();
        out
    }

    #[test]
    fn gives_nothing_before_the_start_and_all_after_it() {
        let mut source = Simulated::new(capture(), Pace::default()).unwrap();
        assert_eq!(times(&mut source), [0u64; 0]);
        assert!(!source.is_over());
        source.start().unwrap();
        assert_eq!(times(&mut source), [1_000, 1_000_001_000]);
        assert!(source.is_over());
        assert_eq!(source.counters().unwrap().given, 2);
    }

    #[test]
    fn rounds_go_on_in_time_and_hold_waits_to_be_stopped() {
        let pace = Pace { rounds: 2, hold: true, ..Pace::default() };
        let mut source = Simulated::new(capture(), pace).unwrap();
        source.start().unwrap();
        assert_eq!(times(&mut source), [1_000, 1_000_001_000, 1_001_001_000, 2_001_001_000]);
        assert!(!source.is_over());
        source.stop().unwrap();
        assert!(source.is_over());
    }

    #[test]
    fn pace_holds_back_what_is_not_due() {
        let mut source = Simulated::new(capture(), Pace { speed: Some(0.001), ..Pace::default() }).unwrap();
        source.start().unwrap();
        assert_eq!(times(&mut source), [1_000]);
        assert!(!source.is_over());
    }

    #[test]
    fn scripts() {
        let pace = Pace { speed: Some(2.5), rounds: 3, hold: true };
        assert_eq!(Script::parse("[speed=2.5,rounds=3,hold]a,b").unwrap(), Script { file: "a,b".into(), pace });
        assert_eq!(Script::parse("x").unwrap(), Script { file: "x".into(), pace: Pace::default() });
        for wrong in ["[speed=0]x", "[fast]x", "[rounds=-1]x"] {
            assert!(Script::parse(wrong).is_err(), "{wrong}");
        }
    }
}
