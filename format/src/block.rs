//! Raw level: block framing. Lossless; a block is a borrow of its bytes.
//!
//! ```text
//! u32 type | u32 total | body ... | padding 0..3 | u32 total again
//! ```
//! Source: scap-format sections 1.2 and 2.

use crate::lists::interfaces::RealLength;
use crate::raw::{BlockHeader, MIN_BLOCK};
use crate::{DamageKind, Limits, lists};
use zerocopy::FromBytes;

/// Number of a block type. Ids ending in `ABCD` were written before 2014-02 and have the layout of
/// the official number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockType(pub u32);

/// What a block holds, whatever its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockClass {
    /// Section header.
    Section,
    /// Machine information.
    Machine,
    /// Process list, layout version 1 to 9.
    Threads {
        /// Layout version.
        version: u8,
    },
    /// Fds of one thread.
    Fds {
        /// Layout version, 1 or 2.
        version: u8,
    },
    /// Interface addresses.
    Interfaces {
        /// Layout version, 1 or 2.
        version: u8,
    },
    /// Users and groups.
    Users {
        /// Layout version, 1 or 2.
        version: u8,
    },
    /// An event.
    Event {
        /// Whether the parameter count is stored (V2).
        v2: bool,
        /// Whether dump flags precede the event.
        flagged: bool,
        /// Whether the block type is for events over 64 KiB.
        large: bool,
    },
    /// The state of a replay at the start of the section: scapkit's own block, which other readers skip.
    Checkpoint,
    /// Anything else.
    Unknown,
}

macro_rules! block_types {
    ($($name:ident = $id:literal, $short:literal, $class:expr;)*) => {
        impl BlockType {
            $(#[doc = concat!("`", $short, "`")] pub const $name: BlockType = BlockType($id);)*

            /// What the block holds.
            #[inline]
            pub fn class(self) -> BlockClass {
                match self.0 { $($id => $class,)* _ => BlockClass::Unknown }
            }

            /// The type's short name.
            pub fn name(self) -> &'static str {
                match self.0 { $($id => $short,)* _ => "unknown" }
            }

            /// Every type that any version of the format defined, and our own.
            pub const ALL: &'static [BlockType] = &[$(BlockType($id),)*];
        }
    };
}

use BlockClass as C;
block_types! {
    // The hot ones first: the compiler keeps the order of small matches.
    EV_V2 = 0x216, "EV_V2", C::Event { v2: true, flagged: false, large: false };
    EVF_V2 = 0x217, "EVF_V2", C::Event { v2: true, flagged: true, large: false };
    EV_V2_LARGE = 0x221, "EV_V2_LARGE", C::Event { v2: true, flagged: false, large: true };
    EVF_V2_LARGE = 0x222, "EVF_V2_LARGE", C::Event { v2: true, flagged: true, large: true };
    EV = 0x204, "EV", C::Event { v2: false, flagged: false, large: false };
    EVF = 0x208, "EVF", C::Event { v2: false, flagged: true, large: false };
    EV_PRE = 0x8010_ABCD, "EV_PRE", C::Event { v2: false, flagged: false, large: false };
    SHB = 0x0A0D_0D0A, "SHB", C::Section;
    MI = 0x201, "MI", C::Machine;
    MI_PRE = 0x8002_ABCD, "MI_PRE", C::Machine;
    PL_V1 = 0x202, "PL_V1", C::Threads { version: 1 };
    PL_V1_PRE = 0x8000_ABCD, "PL_V1_PRE", C::Threads { version: 1 };
    PL_V2 = 0x207, "PL_V2", C::Threads { version: 2 };
    PL_V2_PRE = 0x8013_ABCD, "PL_V2_PRE", C::Threads { version: 2 };
    PL_V3 = 0x209, "PL_V3", C::Threads { version: 3 };
    PL_V3_PRE = 0x8014_ABCD, "PL_V3_PRE", C::Threads { version: 3 };
    PL_V4 = 0x210, "PL_V4", C::Threads { version: 4 };
    PL_V5 = 0x211, "PL_V5", C::Threads { version: 5 };
    PL_V6 = 0x212, "PL_V6", C::Threads { version: 6 };
    PL_V7 = 0x213, "PL_V7", C::Threads { version: 7 };
    PL_V8 = 0x214, "PL_V8", C::Threads { version: 8 };
    PL_V9 = 0x215, "PL_V9", C::Threads { version: 9 };
    FDL = 0x203, "FDL", C::Fds { version: 1 };
    FDL_PRE = 0x8001_ABCD, "FDL_PRE", C::Fds { version: 1 };
    FDL_V2 = 0x218, "FDL_V2", C::Fds { version: 2 };
    IL = 0x205, "IL", C::Interfaces { version: 1 };
    IL_PRE = 0x8011_ABCD, "IL_PRE", C::Interfaces { version: 1 };
    IL_V2 = 0x219, "IL_V2", C::Interfaces { version: 2 };
    UL = 0x206, "UL", C::Users { version: 1 };
    UL_PRE = 0x8012_ABCD, "UL_PRE", C::Users { version: 1 };
    UL_V2 = 0x220, "UL_V2", C::Users { version: 2 };
    // pcapng leaves types with the highest bit set to anyone's own use. The second byte is one that
    // `resync` looks for.
    CHECKPOINT = 0x8C50_AB01, "CHECKPOINT", C::Checkpoint;
}

impl BlockType {
    /// Whether the block is an event.
    #[inline]
    pub fn is_event(self) -> bool {
        matches!(self.class(), BlockClass::Event { .. })
    }

    /// Whether any version of the format, or this program, defined the type.
    pub fn is_known(self) -> bool {
        self.class() != BlockClass::Unknown
    }
}

/// A whole block as it stands in the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// Plain offset of its first byte.
    pub offset: u64,
    /// Its number, counted from 1 over the whole input.
    pub number: u64,
    /// Its type.
    pub block_type: BlockType,
    bytes: &'a [u8],
}

impl<'a> Block<'a> {
    /// A block over `bytes`, which [`scan`] found to be one.
    #[inline]
    pub fn new(bytes: &'a [u8], offset: u64, number: u64) -> Self {
        let block_type =
            BlockHeader::ref_from_prefix(bytes).map_or(BlockType(0), |(h, _)| BlockType(h.block_type.get()));
        Block { offset, number, block_type, bytes }
    }

    /// Every byte of the block: header, body, padding, trailer.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The body with its padding.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        let end = self.bytes.len().saturating_sub(4);
        self.bytes.get(8..end).unwrap_or_default()
    }
}

/// What stands at the start of a stretch of bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Scan {
    /// A block of this many bytes.
    Block(usize),
    /// A block whose contents are whole although its trailer or lengths are not: bytes to take, and
    /// the damage to report.
    Damaged(usize, DamageKind),
    /// At least this many bytes are needed to tell.
    Need(usize),
    /// No block.
    Bad(DamageKind),
}

/// Looks for a block at the start of `bytes`; `eof` says that no more bytes will follow.
///
/// Checks the length and the trailer. A wrong trailer of an event block is let pass when another
/// block or the end follows it, as upstream does (section 1.2); a wrong length of an interface list
/// is mended (section 2.4).
#[inline]
pub fn scan(bytes: &[u8], limits: &Limits, eof: bool) -> Scan {
    let Ok((header, _)) = BlockHeader::ref_from_prefix(bytes) else {
        return Scan::Need(8);
    };
    let (kind, total) = (header.block_type.get(), header.block_total_length.get());
    if total < MIN_BLOCK || !total.is_multiple_of(4) || total > limits.max_block {
        return bad_length(kind, total, limits);
    }
    let len = total as usize;
    let Some(trailer) = bytes.get(len.saturating_sub(4)..len).and_then(|t| t.first_chunk()) else {
        return Scan::Need(len);
    };
    if u32::from_le_bytes(*trailer) == total {
        return Scan::Block(len);
    }
    wrong_trailer(bytes, kind, total, u32::from_le_bytes(*trailer), limits, eof)
}

/// Length of the block at the start of `bytes` when it is all there, rightly framed, and an event of one of
/// the two types that nearly all blocks have; and whether that type has flags. `None` says nothing:
/// [`scan`] then tells.
#[inline]
pub(crate) fn common_event(bytes: &[u8], limits: &Limits) -> Option<(usize, bool)> {
    let (header, _) = BlockHeader::ref_from_prefix(bytes).ok()?;
    let (kind, total) = (BlockType(header.block_type.get()), header.block_total_length.get());
    let flagged = kind == BlockType::EVF_V2;
    if !flagged && kind != BlockType::EV_V2 {
        return None;
    }
    let len = total as usize;
    let trailer = bytes.get(len.checked_sub(4)?..len)?.first_chunk()?;
    let well = total >= MIN_BLOCK
        && total.is_multiple_of(4)
        && total <= limits.max_block
        && u32::from_le_bytes(*trailer) == total;
    well.then_some((len, flagged))
}

#[cold]
fn bad_length(block_type: u32, found: u32, limits: &Limits) -> Scan {
    if found < MIN_BLOCK || !found.is_multiple_of(4) {
        Scan::Bad(DamageKind::BlockLength { block_type, found })
    } else {
        Scan::Bad(DamageKind::BlockLimit { block_type, found, limit: limits.max_block })
    }
}

#[cold]
fn wrong_trailer(bytes: &[u8], block_type: u32, total: u32, found: u32, limits: &Limits, eof: bool) -> Scan {
    let damage = DamageKind::Trailer { block_type, wanted: total, found };
    let len = total as usize;
    match BlockType(block_type).class() {
        BlockClass::Interfaces { version: 2 } => match lists::interfaces::real_length(bytes, total) {
            RealLength::Is(real) => Scan::Damaged(real, damage),
            RealLength::Need(real) if !eof => Scan::Need(real),
            RealLength::Need(_) | RealLength::Unknown => Scan::Bad(damage),
        },
        BlockClass::Event { .. } => match bytes.get(len..len.saturating_add(8)) {
            Some(next) if plausible_header(next, limits) => Scan::Damaged(len, damage),
            Some(_) => Scan::Bad(damage),
            None if eof && bytes.len() == len => Scan::Damaged(len, damage),
            None if eof => Scan::Bad(damage),
            None => Scan::Need(len.saturating_add(8)),
        },
        _ => Scan::Bad(damage),
    }
}

/// Whether 8 bytes look like the header of a block of a known type and sane length.
pub fn plausible_header(bytes: &[u8], limits: &Limits) -> bool {
    let Ok((header, _)) = BlockHeader::ref_from_prefix(bytes) else {
        return false;
    };
    let total = header.block_total_length.get();
    BlockType(header.block_type.get()).is_known()
        && total >= MIN_BLOCK
        && total.is_multiple_of(4)
        && total <= limits.max_block
}

/// Where reading may go on after a bad block.
#[derive(Debug, PartialEq, Eq)]
pub enum Resync {
    /// A plausible block starts here.
    At(usize),
    /// None in the bytes before this position; more bytes are needed to judge what follows.
    NotBefore(usize),
}

/// Searches `bytes` from `from` on for the next plausible block: known type, sane length, trailer
/// equal (conventions, 7). Blocks need not be aligned: a lost piece of a compressed file shifts
/// all that follows.
pub fn resync(bytes: &[u8], from: usize, limits: &Limits, eof: bool) -> Resync {
    // The second byte of every known type is one of these, so that runs of zeros cost little.
    let mut at = from;
    while let Some(found) = bytes.get(at.saturating_add(1)..).and_then(|rest| memchr::memchr3(0x02, 0xAB, 0x0D, rest)) {
        let candidate = at.saturating_add(found);
        let rest = bytes.get(candidate..).unwrap_or_default();
        if rest.len() < 8 {
            return Resync::NotBefore(if eof { bytes.len() } else { candidate });
        }
        if plausible_header(rest, limits) {
            // Only the trailer counts here: what `scan` mends, and the look that takes, is for blocks
            // that stand where one must.
            let total = rest.get(4..8).and_then(|t| t.first_chunk()).map_or(0, |t| u32::from_le_bytes(*t));
            let len = total as usize;
            match rest.get(len.saturating_sub(4)..len).and_then(|t| t.first_chunk()) {
                Some(trailer) if u32::from_le_bytes(*trailer) == total => return Resync::At(candidate),
                // Wait for its trailer, but never for longer than an ordinary block: a false
                // header must not make us swallow the input.
                None if !eof && len <= RESYNC_WINDOW => return Resync::NotBefore(candidate),
                _ => {}
            }
        }
        at = candidate.saturating_add(1);
    }
    Resync::NotBefore(if eof { bytes.len() } else { bytes.len().saturating_sub(1).max(from) })
}

/// Longest block that resynchronisation waits for: the largest event that is not LARGE.
pub const RESYNC_WINDOW: usize = 65544;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let total = 12 + body.len() as u32;
        [&kind.to_le_bytes()[..], &total.to_le_bytes(), body, &total.to_le_bytes()].concat()
    }

    #[test]
    fn second_bytes_are_those_that_resync_looks_for() {
        for t in BlockType::ALL {
            assert!([0x02, 0xAB, 0x0D].contains(&t.0.to_le_bytes()[1]), "{t:?}");
        }
        assert_eq!(BlockType::ALL.len(), 32);
    }

    #[test]
    fn framing() {
        let l = Limits::default();
        let good = block(0x216, &[1, 2, 3, 4]);
        assert_eq!(scan(&good, &l, false), Scan::Block(16));
        assert_eq!(scan(&good[..15], &l, false), Scan::Need(16));
        assert_eq!(scan(&good[..7], &l, false), Scan::Need(8));
        for (len, code) in [
            (0u32, "block-length"),
            (8, "block-length"),
            (13, "block-length"),
            (u32::MAX, "block-length"),
            (u32::MAX - 3, "block-limit"),
        ] {
            let mut bad = good.clone();
            bad[4..8].copy_from_slice(&len.to_le_bytes());
            let Scan::Bad(kind) = scan(&bad, &l, false) else { panic!("length {len}") };
            assert_eq!(kind.code(), code, "{len}");
        }
    }

    #[test]
    fn a_wrong_event_trailer_is_let_pass_when_a_block_follows() {
        let l = Limits::default();
        let mut two = block(0x216, &[0; 8]);
        let n = two.len();
        two[n - 1] = 9;
        assert_eq!(scan(&two, &l, false), Scan::Need(n + 8));
        assert!(matches!(scan(&two, &l, true), Scan::Damaged(20, DamageKind::Trailer { .. })));
        two.extend(block(0x216, &[]));
        assert!(matches!(scan(&two, &l, false), Scan::Damaged(20, _)));
        two[n] = 0x77;
        assert!(matches!(scan(&two, &l, false), Scan::Bad(DamageKind::Trailer { .. })));
        let mut list = block(0x220, &[0; 8]);
        list[19] = 9;
        list.extend(block(0x216, &[]));
        assert!(matches!(scan(&list, &l, false), Scan::Bad(_)));
    }

    #[test]
    fn resync_finds_the_next_block_at_any_alignment() {
        let l = Limits::default();
        for shift in 0..5 {
            let mut bytes = vec![0x02; 3];
            bytes.extend(vec![0; shift]);
            let at = bytes.len();
            bytes.extend(block(0x216, &[7; 4]));
            assert_eq!(resync(&bytes, 0, &l, true), Resync::At(at), "shift {shift}");
        }
        assert_eq!(resync(&[0; 100], 0, &l, true), Resync::NotBefore(100));
        assert_eq!(resync(&[0; 100], 0, &l, false), Resync::NotBefore(99));
    }
}
