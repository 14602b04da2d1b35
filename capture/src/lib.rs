//! Recorders: what turns a running machine or sandbox into events, and events into captures.
//!
//! ```text
//! probe's rings | module's rings ─> Source ─> events in time order ─> Engine (state) ─> Recording ─> file
//! /proc, sock_diag, passwd ─> state::Snapshot ─> lists ─┘
//! ```
//!
//! * [`source`]: what every recorder gives, and its counters.
//! * [`record`]: from events to captures: files, rotation, filters, the flight recorder.
//! * [`simulated`]: a source that plays a capture.
//! * [`privileges`]: the capabilities that recording needs, and giving up the others.

mod error;
pub mod privileges;
pub mod record;
pub mod simulated;
pub mod source;

pub use error::{Error, Result};
pub use source::{Counters, Source};
