//! Recorders: what turns a running machine or sandbox into events, and events into captures.
//!
//! ```text
//! probe's rings | module's rings ─> Source ─> events in time order ─> Engine (state) ─> Recording ─> file
//! /proc, sock_diag, passwd ─> state::Snapshot ─> lists ─┘
//! ```
//!
//! * [`source`]: what every recorder gives, and its counters.
//! * [`ebpf`]: Linux, by the probe of `scapkit-bpf`.
//! * [`clock`]: the clock of events.
//! * [`state`]: the state of the running system with which a capture begins.
//! * [`machine`]: starts the recording of a running machine: probe, state, and what came in between.
//! * [`record`]: from events to captures: files, rotation, filters, the flight recorder.
//! * [`simulated`]: a source that plays a capture.
//! * [`privileges`]: the capabilities that recording needs, and giving up the others.

pub mod clock;
pub mod ebpf;
mod error;
pub mod machine;
pub mod privileges;
pub mod record;
pub mod simulated;
pub mod source;
pub mod state;

pub use error::{Error, Result};
pub use source::{Counters, Source};
