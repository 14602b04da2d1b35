//! What can go wrong: [`Error`] ends the work, [`Damage`] is a finding that reading goes on after.

use std::fmt;
use std::io;

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why reading or writing cannot go on.
///
/// The message says what was being read or written and where, and what was wanted and found.
/// [`Error::code`] is stable and meant for programs.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused an operation on an input.
    #[error("{name}: cannot {what}{}: {source}", at_byte(*offset))]
    Input {
        /// The input's name as the user gave it.
        name: String,
        /// `open`, `read`, `map`, ...
        what: &'static str,
        /// Offset in the file as stored (compressed bytes).
        offset: u64,
        /// The system's error.
        source: io::Error,
    },
    /// The input holds no byte at all.
    #[error("{name}: empty input, wanted a capture (a section header block of at least 28 bytes)")]
    Empty {
        /// The input's name.
        name: String,
    },
    /// The first bytes are not those of a capture.
    #[error("{name}: not a capture: {found}; wanted a section header block (0a 0d 0d 0a) at byte 0")]
    NotACapture {
        /// The input's name.
        name: String,
        /// What the first bytes look like, in words.
        found: String,
    },
    /// The capture was written on a big-endian machine. No libs version ever wrote or read one.
    #[error(
        "{name}: byte-swapped section header at byte {offset}: magic {found:#010x}, wanted 0x1a2b3c4d; \
         captures are little-endian only"
    )]
    ByteSwapped {
        /// The input's name.
        name: String,
        /// Plain offset of the section header.
        offset: u64,
        /// The byte-order magic found.
        found: u32,
    },
    /// A major version that this reader does not know.
    #[error("{name}: section header at byte {offset}: format version {major}.{minor}, wanted major version 1 or lower")]
    Version {
        /// The input's name.
        name: String,
        /// Plain offset of the section header.
        offset: u64,
        /// Major version found.
        major: u16,
        /// Minor version found.
        minor: u16,
    },
    /// First damage met while the reader was told to be strict.
    #[error("{name}: {damage}")]
    Strict {
        /// The input's name.
        name: String,
        /// The damage.
        damage: Box<Damage>,
    },
    /// Writing failed. The first `safe_bytes` bytes of the file are a valid capture.
    #[error(
        "{name}: cannot {what}: {source}{}", safe(*safe_bytes, *safe_events)
    )]
    Output {
        /// The output's name.
        name: String,
        /// `create`, `write`, `flush`, ...
        what: &'static str,
        /// Bytes of whole chunks that reached the file.
        safe_bytes: u64,
        /// Events in those chunks.
        safe_events: u64,
        /// The system's error.
        source: io::Error,
    },
    /// Something given to a writer or builder does not fit the format.
    #[error("cannot write {what}: {found} is more than the format's {wanted}")]
    TooLarge {
        /// What was being written.
        what: &'static str,
        /// The format's bound.
        wanted: u64,
        /// The size asked for.
        found: u64,
    },
}

impl Error {
    /// A short stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Input { .. } => "input",
            Error::Empty { .. } => "empty",
            Error::NotACapture { .. } => "not-a-capture",
            Error::ByteSwapped { .. } => "byte-swapped",
            Error::Version { .. } => "version",
            Error::Strict { .. } => "strict",
            Error::Output { .. } => "output",
            Error::TooLarge { .. } => "too-large",
        }
    }
}

/// Where an input could not be read; that it is at the very start says nothing.
fn at_byte(offset: u64) -> String {
    if offset == 0 { String::new() } else { format!(" at byte {offset}") }
}

/// What of an output can be relied on, to be said after an error.
fn safe(bytes: u64, events: u64) -> String {
    match bytes {
        0 => String::new(),
        _ => format!("; its first {bytes} bytes ({events} events) are safe and form a valid capture"),
    }
}

/// A stretch of input that does not say what it should, and how reading went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where it is: an offset in the plain capture, or in the stored file for
    /// [`DamageKind::Container`] kinds (see [`Damage::in_stored_bytes`]).
    pub offset: u64,
    /// Number of the block, counted from 1 over the whole input; 0 where no block is concerned.
    pub block: u64,
    /// What is wrong.
    pub kind: DamageKind,
    /// Bytes that could not be used, counted as `offset` is.
    pub skipped: u64,
    /// Offset where reading resumed; `None` when nothing usable followed.
    pub resumed: Option<u64>,
}

impl Damage {
    /// Whether `offset`, `skipped` and `resumed` count bytes of the compressed file.
    pub fn in_stored_bytes(&self) -> bool {
        matches!(self.kind, DamageKind::Container(_))
    }

    /// A short stable name for programs.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stored = if self.in_stored_bytes() { "stored byte" } else { "byte" };
        write!(f, "{stored} {}", self.offset)?;
        if self.block != 0 {
            write!(f, " (block {})", self.block)?;
        }
        write!(f, ": {}", self.kind)?;
        if self.skipped != 0 {
            write!(f, "; {} bytes skipped", self.skipped)?;
        }
        if let (Some(at), true) = (self.resumed, self.skipped != 0) {
            write!(f, ", resumed at {stored} {at}")?;
        }
        Ok(())
    }
}

/// Kinds of damage; numbers are wanted and found, in bytes unless the text says otherwise.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DamageKind {
    /// The input ends inside a block: the usual end of a recorder that was killed.
    #[error("truncated tail: the block needs {wanted} bytes, {found} are there")]
    Truncated {
        /// Length the block declares (8 if even its header is cut).
        wanted: u64,
        /// Bytes left.
        found: u64,
    },
    /// `block_total_length` under 12 or no multiple of 4.
    #[error("block type {block_type:#x}: length {found} is not a multiple of 4 of at least 12")]
    BlockLength {
        /// The block's type.
        block_type: u32,
        /// Length found.
        found: u32,
    },
    /// `block_total_length` over [`crate::Limits::max_block`].
    #[error("block type {block_type:#x}: length {found} is over the limit of {limit} (max-block)")]
    BlockLimit {
        /// The block's type.
        block_type: u32,
        /// Length found.
        found: u32,
        /// The limit.
        limit: u32,
    },
    /// The length after the block is not the one before it.
    #[error("block type {block_type:#x}: trailer says {found}, header says {wanted}")]
    Trailer {
        /// The block's type.
        block_type: u32,
        /// Length in the header.
        wanted: u32,
        /// Length in the trailer.
        found: u32,
    },
    /// A block type that no version of the format knows, after the first event of a section.
    #[error("unknown block type {block_type:#x} between events")]
    UnknownBlock {
        /// The type.
        block_type: u32,
    },
    /// An event whose header or parameter lengths do not fit its block.
    #[error("event type {event_type}: {what}: {wanted} wanted, {found} found")]
    Event {
        /// The event's type number.
        event_type: u16,
        /// What does not fit.
        what: &'static str,
        /// Number wanted.
        wanted: u64,
        /// Number found.
        found: u64,
    },
    /// A parameter whose size does not fit its type.
    #[error("event {event} ({event_type}): parameter {param}: {wanted} bytes wanted, {found} found")]
    Param {
        /// The event's type number.
        event_type: u16,
        /// Its name.
        event: &'static str,
        /// The parameter's name.
        param: &'static str,
        /// Bytes wanted.
        wanted: u64,
        /// Bytes found.
        found: u64,
    },
    /// An entry of a list block that does not fit.
    #[error("{list}: {what} of entry {entry}: {wanted} wanted, {found} found")]
    List {
        /// The list.
        list: &'static str,
        /// The field.
        what: &'static str,
        /// Entry number, from 0.
        entry: u64,
        /// Number wanted.
        wanted: u64,
        /// Number found.
        found: u64,
    },
    /// A section without one event.
    #[error("section without events")]
    NoEvents,
    /// The compressed container is damaged; offsets count stored bytes.
    #[error(transparent)]
    Container(#[from] ContainerDamage),
}

impl DamageKind {
    /// A short stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            DamageKind::Truncated { .. } => "truncated",
            DamageKind::BlockLength { .. } => "block-length",
            DamageKind::BlockLimit { .. } => "block-limit",
            DamageKind::Trailer { .. } => "trailer",
            DamageKind::UnknownBlock { .. } => "unknown-block",
            DamageKind::Event { .. } => "event",
            DamageKind::Param { .. } => "parameter",
            DamageKind::List { .. } => "list",
            DamageKind::NoEvents => "no-events",
            DamageKind::Container(c) => c.code(),
        }
    }
}

/// Damage of a gzip or zstd container. Offsets of its [`Damage`] count stored bytes.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContainerDamage {
    /// The stored bytes end inside a member or frame.
    #[error("truncated {container} stream: the last {unit} is incomplete after {plain} plain bytes")]
    Truncated {
        /// `gzip` or `zstd`.
        container: &'static str,
        /// `member` or `frame`.
        unit: &'static str,
        /// Plain bytes that the incomplete member or frame gave.
        plain: u64,
    },
    /// The compressed data contradicts itself.
    #[error("corrupt {container} {unit}: {detail}")]
    Corrupt {
        /// `gzip` or `zstd`.
        container: &'static str,
        /// `member` or `frame`.
        unit: &'static str,
        /// What exactly, from the decompressor.
        detail: String,
    },
    /// Checksum or length after the data do not match what was decompressed.
    #[error("{container} {unit}: {what} is {found:#x}, wanted {wanted:#x}")]
    Checksum {
        /// `gzip` or `zstd`.
        container: &'static str,
        /// `member` or `frame`.
        unit: &'static str,
        /// `checksum` or `length`.
        what: &'static str,
        /// Value stored.
        wanted: u64,
        /// Value computed.
        found: u64,
    },
    /// Bytes after the last member or frame that start no other. zlib ignores them too.
    #[error("{found} bytes after the last {container} {unit}")]
    Trailing {
        /// `gzip` or `zstd`.
        container: &'static str,
        /// `member` or `frame`.
        unit: &'static str,
        /// How many.
        found: u64,
    },
    /// A limit on decompression was reached; the rest of the member or frame was not read.
    #[error("{container} {unit} gives more than {limit} {what}: decompression bomb?")]
    Expansion {
        /// `gzip` or `zstd`.
        container: &'static str,
        /// `member` or `frame`.
        unit: &'static str,
        /// Which limit: `plain bytes (max-frame-plain)` or `times its size (max-expansion)`.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

impl ContainerDamage {
    /// A short stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            ContainerDamage::Truncated { .. } => "container-truncated",
            ContainerDamage::Corrupt { .. } => "container-corrupt",
            ContainerDamage::Checksum { .. } => "container-checksum",
            ContainerDamage::Trailing { .. } => "container-trailing",
            ContainerDamage::Expansion { .. } => "container-expansion",
        }
    }
}
