//! On-disk structures as alignment-1, little-endian types that are cast from the bytes.
//!
//! Field names are the format's own. Nothing in a capture is aligned except whole blocks
//! (scap-format section 1.2). Sizes are checked at compile time.

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What precedes every block's body; the total is repeated after it.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct BlockHeader {
    /// Type number.
    pub block_type: U32,
    /// Bytes of the whole block: this header, body, padding and the trailer of 4.
    pub block_total_length: U32,
}

/// Body of a section header block up to its options (scap-format section 1.3).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SectionHeader {
    /// [`BYTE_ORDER_MAGIC`].
    pub byte_order_magic: U32,
    /// 1.
    pub major: U16,
    /// 0 to 2; says nothing about the event table.
    pub minor: U16,
    /// All ones; never used.
    pub section_length: U64,
}

/// Machine information: the whole body (scap-format section 2.1).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct MachineInfo {
    /// Processors.
    pub num_cpus: U32,
    /// Memory in bytes.
    pub memory_size_bytes: U64,
    /// Largest pid the kernel gives.
    pub max_pid: U64,
    /// Host name, padded with NUL.
    pub hostname: [u8; 128],
    /// Boot time, ns since the epoch; 0 in old files.
    pub boot_ts_epoch: U64,
    /// 0 today.
    pub flags: U64,
    /// Not used.
    pub reserved3: U64,
    /// Not used.
    pub reserved4: U64,
}

/// Event header of the V2 block types (scap-format section 3).
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EventHeader {
    /// ns since the epoch.
    pub ts: U64,
    /// Thread; -1 for synthetic events.
    pub tid: I64,
    /// Bytes from `ts` to the end of the last parameter.
    pub len: U32,
    /// Event type.
    pub event_type: U16,
    /// Parameters that follow.
    pub nparams: U32,
}

/// Event header of the V1 block types: the number of parameters is not stored.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EventHeaderV1 {
    /// ns since the epoch.
    pub ts: U64,
    /// Thread; -1 for synthetic events.
    pub tid: I64,
    /// Bytes from `ts` to the end of the last parameter.
    pub len: U32,
    /// Event type.
    pub event_type: U16,
}

/// The value of [`SectionHeader::byte_order_magic`] in a file that can be read.
pub const BYTE_ORDER_MAGIC: u32 = 0x1A2B_3C4D;

/// Bytes of a block without a body.
pub const MIN_BLOCK: u32 = 12;

const _: () = assert!(size_of::<BlockHeader>() == 8);
const _: () = assert!(size_of::<SectionHeader>() == 16);
const _: () = assert!(size_of::<MachineInfo>() == 180);
const _: () = assert!(size_of::<EventHeader>() == 26);
const _: () = assert!(size_of::<EventHeaderV1>() == 22);
