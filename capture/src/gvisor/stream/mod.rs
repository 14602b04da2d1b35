//! Files of packets.
//!
//! Two forms are read, told apart by how they begin ([`sniff`]):
//!
//! **`.gvstream`**, which is also what [`Writer`] writes: records until the end of the file, each a `u32` little-endian
//! word and then as many bytes as its low 28 bits say.
//!
//! | bits 31..28 | record                                                                                    |
//! |-------------|-------------------------------------------------------------------------------------------|
//! | `0000`      | a packet as it was sent: header and message                                               |
//! | `1000`      | the handshake of the sandbox; it opens the current connection                             |
//! | `1100`      | the reply to it                                                                           |
//! | `0010`      | control: a byte that says what, and what belongs to it (see below)                        |
//! | others      | reserved: reading ends there                                                              |
//!
//! The control records make one file of several connections:
//!
//! | first byte | then                 | meaning                                                                    |
//! |------------|----------------------|----------------------------------------------------------------------------|
//! | 1          | `u32` little endian  | what follows is of the connection of that number; at the beginning it is 0 |
//! | 2          |                      | the current connection ended                                               |
//! | 3          | text                 | what `runsc trace procfs` says of the sandbox of the current connection    |
//! | 4          | `u32` little endian  | so many packets of the current connection were received here and not kept  |
//! | others     | anything             | not known: skipped, with a note                                            |
//!
//! Connections are opened in the order of their numbers, and none twice. The end of the file ends all that are still
//! open, lowest number first. So a file of one connection needs no control record, and is what other tools read too.
//!
//! **What gVisor's own `tracereplay save` writes**: the text `tracereplay file`, then a `u64` little-endian length and
//! as much JSON, `{"version":1}`, then the same with a packet each. There is no handshake and only one connection.

mod read;
#[cfg(test)]
mod tests;
mod write;

use bytes::Bytes;
use std::fmt;

pub use read::{Reader, StreamLimits};
pub use write::Writer;

/// Something of the connection of a sandbox, in the order in which it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Number of the connection, from 0.
    pub connection: u32,
    /// What it was.
    pub what: What,
}

/// What came.
///
/// The bytes are parts of a large buffer that they share: who keeps some of them for long should copy them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The connection was opened: the handshake is done.
    Opened,
    /// A packet: header and message.
    Packet(Bytes),
    /// What `runsc trace procfs` says of the sandbox.
    Procfs(Bytes),
    /// So many packets were received here and could not be kept.
    Dropped(u32),
    /// The connection has ended.
    Closed,
}

/// The form of a file of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// Words and packets, of one connection or several.
    Gvstream,
    /// gVisor's own, of one connection.
    Tracereplay,
}

/// Something wrong with a file, none of which keeps what was read before from being used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamNote {
    /// Where the record begins, in bytes from the beginning of the file.
    pub offset: u64,
    /// What is wrong: wanted and found.
    pub text: String,
}

impl fmt::Display for StreamNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.text)
    }
}

/// Bits of the length in a word.
const LENGTH: u32 = 0x0fff_ffff;
/// Bits 31..28 of a word.
const PACKET: u32 = 0;
const CONTROL: u32 = 0b0010;
const HANDSHAKE: u32 = 0b1000;
const REPLY: u32 = 0b1100;
/// First byte of a control record.
const SWITCH: u8 = 1;
const CLOSED: u8 = 2;
const PROCFS: u8 = 3;
const DROPPED: u8 = 4;
/// What both sides say today: version 1.
const VERSION_1: [u8; 2] = [8, 1];
/// Largest handshake: what `runsc` reads of the reply (gvisor spec section 1).
pub(super) const MAX_HANDSHAKE: u32 = 10240;
/// How gVisor's own files begin.
const SIGNATURE: &[u8] = b"tracereplay file";

/// The form of the file that begins with `start`; `None` when it is none of these. 16 bytes are enough.
pub fn sniff(start: &[u8]) -> Option<StreamKind> {
    if start.starts_with(SIGNATURE) {
        return Some(StreamKind::Tracereplay);
    }
    let word = start.first_chunk().map(|w| u32::from_le_bytes(*w))?;
    let (length, first) = (word & LENGTH, start.get(4));
    let begins = match word >> 28 {
        // Only the version may be expected of a handshake, and it is the first field.
        HANDSHAKE => (1..=MAX_HANDSHAKE).contains(&length) && first.is_none_or(|tag| *tag == 8),
        // A file whose first connection is not number 0.
        CONTROL => length == 5 && first == Some(&SWITCH),
        _ => false,
    };
    begins.then_some(StreamKind::Gvstream)
}
