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

pub mod config;
mod flags;
mod params;
pub mod procfs;
mod raw;
pub mod runsc;
pub mod sink;
pub mod stream;
