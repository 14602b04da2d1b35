//! One file per command.

pub mod completions;
pub mod convert;
pub mod events;
pub mod fields;
pub mod gvisor;
pub mod info;
pub mod live;
pub mod man;
pub mod open;
pub mod read;
pub mod record;
pub mod replay;
pub mod sandboxes;
pub mod session;
pub mod source;
pub mod verify;
