//! Recorders: what turns a running machine or sandbox into events, and events into captures.
//!
//! ```text
//! probe's rings | module's rings ─> Source ─> events in time order ─> Engine (state) ─> Recording ─> file
//! /proc, sock_diag, passwd ─> state::Snapshot ─> lists ─┘
//! ```
//!
//! * [`source`]: what every recorder gives, and its counters.
//! * [`ebpf`]: Linux, by the probe of `scapkit-bpf`.
//! * [`kmod`]: Linux, by falcosecurity's kernel module, where that is loaded.
//! * [`clock`]: the clock of events.

pub mod clock;
pub mod ebpf;
mod error;
pub mod kmod;
mod merge;
pub mod source;

pub use error::{Error, Result};
pub use source::{Counters, Source};
