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
//! * [`containers`]: which container a thread is in, and what its engine says of it.

pub mod clock;
pub mod containers;
pub mod ebpf;
mod error;
pub mod source;

pub use error::{Error, Result};
pub use source::{Counters, Source};
