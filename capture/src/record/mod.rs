//! Recording: from the events of a [`crate::Source`] to captures.
//!
//! ```text
//! lists, buffered events -> reconcile -> start of the recording
//! Source -> pump -> Recording (files, rotation, filter)      -> .scap
//!                -> Flight (the last minutes, dumps)         -> .scap when something happens
//! ```
//!
//! Nothing here asks the kernel for anything: both take a start and events as bytes, so both are tested with
//! captures ([`crate::simulated`]). The state engine runs only where something needs it: a filter, another file
//! to begin with the state as it is then, a ring whose events must be understood later. A recording into one
//! file copies bytes.

pub(crate) mod block;
mod clock;
pub mod command;
pub mod control;
mod flight;
mod names;
mod piece;
mod pump;
pub mod reconcile;
mod recording;
mod ring;
mod select;

pub use flight::{Dumped, Flight, FlightOptions, FlightSummary};
pub(crate) use piece::each_block;
pub use piece::{Finished, Form};
pub use pump::{Turn, pump};
pub use reconcile::{Buffered, Reconciled, Scan, reconcile};
pub use recording::{Options, Recording, Rotation, Summary};
pub use ring::Limit;
pub use select::needed_types;
