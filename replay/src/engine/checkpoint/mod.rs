//! Checkpoints: everything that is known at an event, as bytes.
//!
//! The lists that start a capture cannot hold all of it: they have no clone time, no role of a
//! socket, no call that has begun, 4096 bytes of arguments. So a capture that is cut out of another
//! carries blocks of our own before its first event ([`BlockType::CHECKPOINT`]), which other readers
//! skip. A block's body:
//!
//! ```text
//! "scapkit" | u8 version | u32 part, from 0 | u32 0 | u64 length of all parts | blake3 of all parts | bytes
//! ```
//!
//! Each part but the last has [`PART`] bytes. The parts together are: what the player knows
//! ([`crate::replay`]), then what the engine knows ([`encode`]). The version changes whenever the
//! layout does; there is no other way to read an older one than to know its layout.
//!
//! What is read is not trusted: every number is checked, memory is taken from the same budget as
//! always, and nothing is taken over before all was found right. Whoever makes a false checkpoint
//! can make the state say anything, as with false lists, but not make it inconsistent.

pub(crate) mod code;
mod decode;
mod encode;

pub(crate) use code::{In, Out};
pub(crate) use decode::option as read_option;
pub(crate) use encode::option;
use scapkit_format::{BlockType, Result, encode as blocks};

const MAGIC: &[u8; 8] = b"scapkit\x01";
/// Bytes of a checkpoint per block.
pub(crate) const PART: usize = 8 << 20;
/// Bytes of a block's body before the part.
const HEAD: usize = 56;

/// Why a checkpoint was not used. The state is then that of the lists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not of this version of the program.
    #[error("it is of another version")]
    Version,
    /// Parts are missing, doubled or out of order.
    #[error("its parts do not fit together")]
    Parts,
    /// The bytes are not what was written.
    #[error("its hash is wrong")]
    Hash,
    /// It ends too early.
    #[error("it ends too early")]
    Truncated,
    /// A value that cannot be.
    #[error("wrong {0}")]
    Invalid(&'static str),
    /// More than the limits of the state allow.
    #[error("it does not fit the limits of the state")]
    Memory,
    /// It stands after the first event of its section.
    #[error("it is not before the first event")]
    Late,
}

/// Appends the blocks of a checkpoint.
pub(crate) fn put_blocks(out: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    let hash = blake3::hash(bytes);
    for (part, chunk) in (0u32..).zip(bytes.chunks(PART)) {
        blocks::block_with(out, BlockType::CHECKPOINT, |out| {
            out.extend_from_slice(MAGIC);
            out.extend_from_slice(&part.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(hash.as_bytes());
            out.extend_from_slice(chunk);
            Ok(())
        })?;
    }
    Ok(())
}

/// The blocks of a checkpoint as they come.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    bytes: Vec<u8>,
    next: u32,
    /// Length and hash of all parts.
    whole: (u64, [u8; 32]),
}

/// A block's part, and what its head says.
struct Part<'a> {
    number: u32,
    whole: (u64, [u8; 32]),
    bytes: &'a [u8],
}

impl<'a> Part<'a> {
    fn parse(body: &'a [u8]) -> std::result::Result<Self, CheckpointError> {
        let (head, rest) = body.split_at_checked(HEAD).ok_or(CheckpointError::Truncated)?;
        let mut head = In::new(head);
        if head.take(8)? != MAGIC {
            return Err(CheckpointError::Version);
        }
        let number = u32::from_le_bytes(head.array()?);
        if head.array()? != [0; 4] {
            return Err(CheckpointError::Version);
        }
        let whole = (u64::from_le_bytes(head.array()?), head.array()?);
        // Parts but the last are full; padding follows.
        let before = u64::from(number).saturating_mul(PART as u64);
        let len = whole.0.checked_sub(before).filter(|n| *n > 0).ok_or(CheckpointError::Parts)?.min(PART as u64);
        let bytes = usize::try_from(len).ok().and_then(|n| rest.get(..n)).ok_or(CheckpointError::Truncated)?;
        Ok(Part { number, whole, bytes })
    }
}

impl Parts {
    /// Takes the next block's body. Once all parts are there, `whole` gets the bytes.
    pub fn add<T>(
        &mut self,
        body: &[u8],
        max: u64,
        whole: impl FnOnce(&[u8]) -> std::result::Result<T, CheckpointError>,
    ) -> std::result::Result<Option<T>, CheckpointError> {
        let parts = std::mem::take(self);
        let part = Part::parse(body)?;
        if part.whole.0 > max {
            return Err(CheckpointError::Memory);
        }
        if part.number != parts.next || (part.number > 0 && part.whole != parts.whole) {
            return Err(CheckpointError::Parts);
        }
        let mut bytes = parts.bytes;
        let all = if part.bytes.len() as u64 == part.whole.0 {
            part.bytes
        } else {
            // Memory that is not written to is not used, whatever the length says.
            if part.number == 0 {
                bytes.reserve_exact(usize::try_from(part.whole.0).unwrap_or(0));
            }
            bytes.extend_from_slice(part.bytes);
            if (bytes.len() as u64) < part.whole.0 {
                *self = Parts { bytes, next: parts.next.saturating_add(1), whole: part.whole };
                return Ok(None);
            }
            &bytes
        };
        if *blake3::hash(all).as_bytes() != part.whole.1 {
            return Err(CheckpointError::Hash);
        }
        whole(all).map(Some)
    }

    /// Whether parts are missing.
    pub fn waits(&self) -> bool {
        self.next > 0
    }
}
