//! What gzip and zstd decoding have in common: limits on expansion, and the account of damage.

use std::collections::VecDeque;

use super::source::Stored;
use crate::error::{ContainerDamage, Damage, DamageKind};
use crate::limits::Limits;

/// Damage records kept; what comes after is added to the last one. A hostile file can hold a wrong
/// checksum every 20 bytes, and its damage must not outgrow the memory that its data may use.
const MAX_DAMAGE: usize = 4096;
/// Stored bytes that may be searched or decoded a second time: this many, and [`RESCAN_FACTOR`]
/// times the bytes read so far. Keeps the work linear for files made of nothing but false headers.
const RESCAN_GRACE: u64 = 16 << 20;
const RESCAN_FACTOR: u64 = 4;

/// Whether decoding may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    Go,
    /// Nothing more is there now (or a limit ended the work).
    Wait,
    /// Stored bytes turned out to be unusable: plain bytes from before and from after this point
    /// are not given by one and the same read.
    Gap,
}

/// A stretch of unusable stored bytes whose end is not known yet.
struct Gap {
    offset: u64,
    /// What the decompressor said; `None`: bytes after a whole unit that start no other.
    detail: Option<String>,
}

/// Account of the units (gzip members, zstd frames) of one input.
pub(super) struct Track {
    container: &'static str,
    unit: &'static str,
    limits: Limits,
    /// Stored offset of the current unit's first byte.
    pub(super) unit_start: u64,
    /// Plain bytes that the current unit gave.
    pub(super) unit_plain: u64,
    total_plain: u64,
    gone_back: u64,
    gap: Option<Gap>,
    damage: VecDeque<Damage>,
}

impl Track {
    pub(super) fn new(container: &'static str, unit: &'static str, limits: &Limits) -> Track {
        Track {
            container,
            unit,
            limits: *limits,
            unit_start: 0,
            unit_plain: 0,
            total_plain: 0,
            gone_back: 0,
            gap: None,
            damage: VecDeque::new(),
        }
    }

    pub(super) fn take_damage(&mut self) -> Option<Damage> {
        self.damage.pop_front()
    }

    /// Whether the current unit is only a candidate, found by search and not yet believed.
    pub(super) fn in_gap(&self) -> bool {
        self.gap.is_some()
    }

    /// A unit starts at stored offset `at`.
    pub(super) fn begin(&mut self, at: u64) {
        self.unit_start = at;
        self.unit_plain = 0;
    }

    /// Counts `made` plain bytes of the current unit. Gives how many of them may be delivered, and
    /// whether decoding may go on after them.
    ///
    /// The ratio is tested for the unit and for the input as a whole: many small units, each under
    /// the grace, would pass the first test.
    pub(super) fn deliver(&mut self, made: usize, stored: &Stored) -> (usize, bool) {
        let allowed = self.limits.max_frame_plain.saturating_sub(self.unit_plain);
        let keep = made.min(usize::try_from(allowed).unwrap_or(usize::MAX));
        self.unit_plain = self.unit_plain.saturating_add(keep as u64);
        self.total_plain = self.total_plain.saturating_add(keep as u64);

        let grace = self.limits.expansion_grace;
        let over =
            |plain: u64, used: u64| plain > grace && plain > used.max(1).saturating_mul(self.limits.max_expansion);
        let at = stored.position();
        let (unit, what, limit) = if keep < made {
            (self.unit, "plain bytes (max-frame-plain)", self.limits.max_frame_plain)
        } else if over(self.unit_plain, at.saturating_sub(self.unit_start)) {
            (self.unit, "times its size (max-expansion)", self.limits.max_expansion)
        } else if over(self.total_plain, at) {
            ("stream", "times its size (max-expansion)", self.limits.max_expansion)
        } else {
            return (keep, true);
        };
        let skipped = stored.len().unwrap_or(stored.end_offset()).saturating_sub(at);
        let kind = ContainerDamage::Expansion { container: self.container, unit, what, limit };
        let offset = if unit == self.unit { self.unit_start } else { at };
        self.push(kind, offset, skipped, None);
        (keep, false)
    }

    /// The bytes at `offset` cannot be used (`detail`: why; `None`: they start no unit). The
    /// search for a usable one begins at `from`, or later where `from` is no longer held.
    ///
    /// A candidate that fails only makes the gap longer.
    pub(super) fn fail(&mut self, offset: u64, detail: Option<String>, from: u64, stored: &mut Stored) {
        self.gap.get_or_insert(Gap { offset, detail });
        let back = stored.position().saturating_sub(from);
        let allowed = stored.end_offset().saturating_mul(RESCAN_FACTOR).saturating_add(RESCAN_GRACE);
        if self.gone_back.saturating_add(back) <= allowed {
            let before = stored.position();
            stored.rewind_to(from);
            self.gone_back = self.gone_back.saturating_add(before.saturating_sub(stored.position()));
        }
    }

    /// The current unit is a real one: a gap before it ends where it starts.
    pub(super) fn believe(&mut self) {
        let Some(gap) = self.gap.take() else { return };
        let detail = gap.detail.unwrap_or_else(|| format!("bytes that start no {}", self.unit));
        let kind = ContainerDamage::Corrupt { container: self.container, unit: self.unit, detail };
        // A search that began before the failure may find a unit there: then nothing is skipped.
        let offset = gap.offset.min(self.unit_start);
        self.push(kind, offset, self.unit_start.saturating_sub(offset), Some(self.unit_start));
    }

    /// A checksum that does not match, in a unit that was otherwise well: reading goes on.
    pub(super) fn checksum(&mut self, what: &'static str, wanted: u32, found: u32, at: u64, next: u64) {
        let (container, unit) = (self.container, self.unit);
        let (wanted, found) = (wanted.into(), found.into());
        self.push(ContainerDamage::Checksum { container, unit, what, wanted, found }, at, 0, Some(next));
    }

    /// Corruption that costs no bytes.
    pub(super) fn corrupt(&mut self, detail: String, at: u64, next: u64) {
        let kind = ContainerDamage::Corrupt { container: self.container, unit: self.unit, detail };
        self.push(kind, at, 0, Some(next));
    }

    /// No more bytes will come. `half`: the current unit began and did not end; `rest`: bytes that
    /// start no unit and were held back.
    pub(super) fn finish(&mut self, half: bool, rest: bool, stored: &Stored) {
        let (container, unit) = (self.container, self.unit);
        let end = stored.end_offset();
        if rest {
            self.gap.get_or_insert(Gap { offset: stored.position(), detail: None });
        }
        if let Some(gap) = self.gap.take() {
            let skipped = end.saturating_sub(gap.offset);
            let kind = match gap.detail {
                Some(detail) => ContainerDamage::Corrupt { container, unit, detail },
                None => ContainerDamage::Trailing { container, unit, found: skipped },
            };
            self.push(kind, gap.offset, skipped, None);
        } else if half {
            let kind = ContainerDamage::Truncated { container, unit, plain: self.unit_plain };
            self.push(kind, self.unit_start, 0, None);
        }
    }

    fn push(&mut self, kind: ContainerDamage, offset: u64, skipped: u64, resumed: Option<u64>) {
        if self.damage.len() >= MAX_DAMAGE
            && let Some(last) = self.damage.back_mut()
        {
            last.skipped = last.skipped.saturating_add(skipped);
            last.resumed = resumed;
            return;
        }
        self.damage.push_back(Damage { offset, block: 0, kind: DamageKind::Container(kind), skipped, resumed });
    }
}
