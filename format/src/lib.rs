//! Reads and writes `.scap` captures: bytes, blocks, events. No state, no policy.
//!
//! Two levels, both lossless:
//!
//! * **raw**: [`Blocks`] gives [`Block`]s, borrows of the bytes between two length fields; what was
//!   read can be written again byte for byte ([`mod@write`]).
//! * **typed**: [`Capture`] gives the same blocks with their [`Content`]: lists ([`lists`]), machine
//!   information and [`Event`]s, whose parameters are decoded on demand ([`value`]) by the tables of
//!   [`schema`].
//!
//! Input is untrusted. Damage is data ([`Damage`]): reading goes on after it. What a file declares
//! is compared with [`Limits`] first. The crate denies every construct that could panic.

pub mod block;
mod content;
pub mod cursor;
pub mod encode;
mod error;
pub mod event;
pub mod input;
mod limits;
pub mod lists;
pub mod map;
pub mod profile;
pub mod raw;
pub mod reader;
pub mod schema;
pub mod synth;
pub mod value;
pub mod verify;
pub mod write;

pub use block::{Block, BlockClass, BlockType};
pub use content::Content;
pub use error::{ContainerDamage, Damage, DamageKind, Error, Result};
pub use event::{Event, EventHead, STATE_ONLY};
pub use limits::Limits;
pub use raw::MachineInfo;
pub use reader::{Blocks, Capture, CommonEvent, Damages, Item, Piece};
pub use value::Value;

/// How the bytes of a capture file are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// As they are.
    None,
    /// One or more gzip members.
    Gzip,
    /// One or more zstd frames, possibly with skippable ones.
    Zstd,
}
