//! gVisor's monitoring messages: packets as a sandbox sends them to its monitor.
//!
//! A packet is an 8-byte header and one message in protobuf ([`Header::parse`], [`Message::decode`]). Everything comes
//! from a sandbox, that is from a stranger: nothing here trusts a length or an encoding. Source: gvisor spec sections
//! 1, 4, 5.
//!
//! # Versions
//!
//! Version 1 of the protocol ([`VERSION`]), which gVisor speaks since 2022-05. The messages are those of gVisor from
//! 2022-12 to 2026-08, compiled from `proto/*.proto`, where what came in 2026 is marked:
//!
//! * Releases of mid 2022 send the same without kind 34 (Write).
//! * 2022-12 has the kinds 1 to 34. Recordings of it are what the tests read, against another decoder.
//! * 2026-08 adds the kinds 35 to 38 and fields; the tests of these are made by hand, by the specification.
//! * Later ones: kinds and fields that are not known are skipped. A known field of another wire type is an error.
//! * What came before 2022-05 (no handshake, no kind in the header) is not read.
//!
//! # Memory
//!
//! Names and arguments are slices of the packet, so a message that is kept keeps its packet: copy what is to stay.
//! An element of a list takes 32 bytes, and no less than 2 on the wire: a list of empty strings takes 16 to 32 times
//! its packet, whose length the receiver bounds. Groups, which gVisor never sends, are skipped to a depth of 100 and
//! an error beyond.

use bytes::Bytes;
use prost::Message as _;

/// What messages have in common.
#[allow(missing_docs, clippy::pedantic)] // generated; the fields are gVisor's, described in `proto/common.proto`
pub mod common {
    include!(concat!(env!("OUT_DIR"), "/gvisor.common.rs"));
}
/// About containers.
#[allow(missing_docs, clippy::pedantic)] // generated, see `proto/container.proto`
pub mod container {
    include!(concat!(env!("OUT_DIR"), "/gvisor.container.rs"));
}
/// What is no system call.
#[allow(missing_docs, clippy::pedantic)] // generated, see `proto/sentry.proto`
pub mod sentry {
    include!(concat!(env!("OUT_DIR"), "/gvisor.sentry.rs"));
}
/// System calls.
#[allow(missing_docs, clippy::pedantic)] // generated, see `proto/syscall.proto`
pub mod syscall {
    include!(concat!(env!("OUT_DIR"), "/gvisor.syscall.rs"));
}

mod call;

pub use call::{Call, Who};
pub use prost::DecodeError;

/// Bytes of a header today. A larger one is allowed, what follows is not known.
pub const HEADER: usize = 8;
/// The version of the protocol that both sides speak since 2022-05.
pub const VERSION: u32 = 1;

/// The header of a packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Header {
    /// Where the message begins.
    pub size: u16,
    /// Kind of the message, see [`Message::KINDS`].
    pub kind: u16,
    /// Messages that the sandbox could not send before this one, since the session began, modulo 2^32.
    pub dropped: u32,
}

impl Header {
    /// Reads the header of `packet`; `None` when the packet is shorter than its header, or that is none.
    pub fn parse(packet: &[u8]) -> Option<Header> {
        let &[s0, s1, k0, k1, d0, d1, d2, d3] = packet.first_chunk::<HEADER>()?;
        let size = u16::from_le_bytes([s0, s1]);
        let fits = usize::from(size) >= HEADER && usize::from(size) <= packet.len();
        let (kind, dropped) = (u16::from_le_bytes([k0, k1]), u32::from_le_bytes([d0, d1, d2, d3]));
        fits.then_some(Header { size, kind, dropped })
    }

    /// The bytes of this header, for a packet that is made.
    pub fn to_bytes(self) -> [u8; HEADER] {
        let ([s0, s1], [k0, k1]) = (self.size.to_le_bytes(), self.kind.to_le_bytes());
        let [d0, d1, d2, d3] = self.dropped.to_le_bytes();
        [s0, s1, k0, k1, d0, d1, d2, d3]
    }
}

/// The kinds of messages: number, name, type.
macro_rules! messages {
    ($($number:literal $name:ident $module:ident;)*) => {
        /// A message of one packet.
        #[derive(Debug, Clone, PartialEq)]
        #[allow(missing_docs)] // gVisor's own names, described in `proto/*.proto`
        // Most of what comes is of the large kinds, and one message is looked at at a time.
        #[allow(clippy::large_enum_variant)]
        pub enum Message { $($name($module::$name)),* }

        impl Message {
            /// Number and name of every kind (section 4).
            pub const KINDS: &'static [(u16, &'static str)] = &[$(($number, stringify!($name))),*];

            /// Decodes the message of a kind; `None` for kinds that are not known, which the protocol wants skipped.
            ///
            /// No bytes at all are a message, without any field. Texts are slices of `payload`.
            ///
            /// # Errors
            /// When the bytes are no message: cut short, or a known field is of another wire type.
            pub fn decode(kind: u16, payload: Bytes) -> Option<Result<Message, DecodeError>> {
                // Filled in where it stays: moving a message costs as much as decoding some of its fields.
                let mut message = match kind {
                    $($number => Message::$name($module::$name::default()),)*
                    _ => return None,
                };
                let merged = match &mut message { $(Message::$name(m) => m.merge(payload)),* };
                Some(merged.map(|()| message))
            }

            /// Number of the kind.
            pub fn kind(&self) -> u16 {
                match self { $(Message::$name(_) => $number),* }
            }

            /// Encodes the message, without a header.
            pub fn encode(&self) -> Vec<u8> {
                match self { $(Message::$name(m) => m.encode_to_vec()),* }
            }

            /// Who did it; `None` if the session asked for no such fields.
            pub fn context(&self) -> Option<&common::ContextData> {
                match self { $(Message::$name(m) => m.context_data.as_ref()),* }
            }
        }
    };
}

messages! {
    1 Start container;
    2 CloneInfo sentry;
    3 ExecveInfo sentry;
    4 ExitNotifyParentInfo sentry;
    5 TaskExit sentry;
    6 Syscall syscall;
    7 Open syscall;
    8 Close syscall;
    9 Read syscall;
    10 Connect syscall;
    11 Execve syscall;
    12 Socket syscall;
    13 Chdir syscall;
    14 Setid syscall;
    15 Setresid syscall;
    16 Prlimit syscall;
    17 Pipe syscall;
    18 Fcntl syscall;
    19 Dup syscall;
    20 Signalfd syscall;
    21 Chroot syscall;
    22 Eventfd syscall;
    23 Clone syscall;
    24 Bind syscall;
    25 Accept syscall;
    26 TimerfdCreate syscall;
    27 TimerfdSetTime syscall;
    28 TimerfdGetTime syscall;
    29 Fork syscall;
    30 InotifyInit syscall;
    31 InotifyAddWatch syscall;
    32 InotifyRmWatch syscall;
    33 SocketPair syscall;
    34 Write syscall;
    35 MmapInfo sentry;
    36 Mmap syscall;
    37 Listen syscall;
    38 Ptrace syscall;
}

impl Message {
    /// Name of a kind; `None` for those that are not known.
    pub fn name_of(kind: u16) -> Option<&'static str> {
        Message::KINDS.iter().find(|(number, _)| *number == kind).map(|(_, name)| *name)
    }
}

/// The version that a handshake packet names; 0 when it names none.
///
/// # Errors
/// When the packet is no handshake.
pub fn handshake(packet: &[u8]) -> Result<u32, DecodeError> {
    common::Handshake::decode(packet).map(|h| h.version)
}

/// A packet of a message, as a sandbox sends it.
pub fn packet(message: &Message, dropped: u32) -> Vec<u8> {
    let header = Header { size: 8, kind: message.kind(), dropped };
    [&header.to_bytes()[..], &message.encode()].concat()
}
