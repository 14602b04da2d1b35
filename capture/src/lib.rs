//! Recorders: what turns a running machine or sandbox into events, and events into captures.
//!
//! ```text
//! probe's rings | module's rings ─> Source ─> events in time order ─> Engine (state) ─> Recording ─> file
//! /proc, sock_diag, passwd ─> state::Snapshot ─> lists ─┘
//! ```
//!
//! * [`source`]: what every recorder gives, and its counters.
//! * [`ebpf`]: Linux, by the probe of `scapkit-bpf`.
//! * [`gvisor`]: sandboxes of gVisor, live or from files.
//! * [`kmod`]: Linux, by falcosecurity's kernel module, where that is loaded.
//! * [`clock`]: the clock of events.
//! * [`state`]: the state of the running system with which a capture begins.
//! * [`machine`]: starts the recording of a running machine: probe, state, and what came in between.
//! * [`record`]: from events to captures: files, rotation, filters, the flight recorder.
//! * [`simulated`]: a source that plays a capture.
//! * [`privileges`]: the capabilities that recording needs, and giving up the others.
//! * [`containers`]: which container a thread is in, and what its engine says of it.

pub mod clock;
pub mod containers;
pub mod ebpf;
mod error;
pub mod gvisor;
pub mod kmod;
pub mod machine;
mod merge;
pub mod privileges;
pub mod record;
pub mod simulated;
pub mod source;
pub mod state;

pub use error::{Error, Result};
pub use source::{Counters, Origin, Source};

/// Major and minor version of the running kernel.
fn kernel_version() -> (u32, u32) {
    version_of(&rustix::system::uname().release().to_string_lossy())
}

fn version_of(release: &str) -> (u32, u32) {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map_while(|p| p.parse().ok());
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

#[test]
fn versions_of_kernels() {
    assert_eq!(version_of("6.18.44-fc"), (6, 18));
    assert_eq!(version_of("5.8"), (5, 8));
    assert_eq!(version_of("6.1.0-56-amd64"), (6, 1));
    assert_eq!(version_of("next"), (0, 0));
}
