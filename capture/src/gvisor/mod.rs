//! gVisor: from the packets of sandboxes to events.
//!
//! ```text
//! sandboxes ─> sink::Sink ─┐                        ┌─> source::Gvisor ─> recorder, live
//!                          ├─> Sent ─> map::Mapper ─┤
//! files ─> stream::Reader ─┘     │                  └─> reader::AsCapture ─> everything that reads captures
//!                                └─> stream::Writer (the raw stream beside the capture)
//! ```
//!
//! Both ways lead through the same mapper, and it knows no clock: a capture recorded live is, byte for byte, the one
//! that the raw stream beside it converts to.
//!
//! * [`stream`]: files of packets: our own `.gvstream`, and the ones that gVisor saves.
//! * [`sink`]: the socket that sandboxes connect to.
//! * [`procfs`]: what a sandbox that already runs says of its processes.
//! * [`runsc`], [`config`]: gVisor's own program, and what it must be told.

// Everything here comes from sandboxes: no input may bring the recorder down.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod config;
mod flags;
pub mod map;
mod params;
pub mod procfs;
mod raw;
pub mod reader;
pub mod runsc;
pub mod sink;
pub mod source;
pub mod stream;

use crate::Result;
use scapkit_format::MachineInfo;
use scapkit_format::encode;

/// What a capture of sandboxes begins with, as blocks: nothing of the machine that they run on, and the processes
/// that were listed.
fn start_of(mapper: &mut map::Mapper, out: &mut Vec<u8>) -> Result<()> {
    encode::section_header(out);
    let mut hostname = [0; 128];
    for (to, from) in hostname.iter_mut().zip(b"gvisor") {
        *to = *from;
    }
    let machine = MachineInfo {
        num_cpus: 1.into(),
        memory_size_bytes: 0.into(),
        max_pid: 0.into(),
        hostname,
        boot_ts_epoch: 0.into(),
        flags: 0.into(),
        reserved3: 0.into(),
        reserved4: 0.into(),
    };
    machine.encode(out);
    mapper.lists(out)
}
