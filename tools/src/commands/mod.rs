//! One file per command.

pub mod completions;
pub mod convert;
pub mod events;
pub mod fields;
pub mod info;
pub mod man;
pub mod read;
pub mod replay;
pub mod verify;
