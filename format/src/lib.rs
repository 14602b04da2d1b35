//! Captures as bytes, blocks and events.

mod error;
pub mod input;
mod limits;

pub use error::{ContainerDamage, Damage, DamageKind, Error, Result};
pub use limits::Limits;

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
