//! Raw level: framing, damage and resynchronisation over a plain byte stream.

use super::describe::describe;
use super::{Damages, Piece};
use crate::block::{self, Resync, Scan};
use crate::input::Input;
use crate::raw::{BYTE_ORDER_MAGIC, SectionHeader};
use crate::{Block, BlockClass, BlockType, Compression, Damage, DamageKind, Error, Limits, Result};
use zerocopy::FromBytes;

/// Bytes read at once: what the second level of a processor's cache holds.
const READ_SIZE: usize = 256 << 10;

/// Raw level reader: framing, damage and resynchronisation over a plain byte stream.
pub struct Blocks {
    input: Input,
    limits: Limits,
    strict: bool,
    follow: bool,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Plain offset of `buffer[start]`.
    offset: u64,
    number: u64,
    /// The input has nothing more and nothing is waited for.
    eof: bool,
    /// A damaged stretch that has not ended yet.
    open_damage: Option<Damage>,
    events_in_section: u64,
    ended: bool,
    damages: Damages,
}

impl Blocks {
    /// Reads from an input.
    pub fn new(input: Input, limits: Limits) -> Self {
        Blocks {
            input,
            limits,
            strict: false,
            follow: false,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            offset: 0,
            number: 0,
            eof: false,
            open_damage: None,
            events_in_section: 0,
            ended: false,
            damages: Damages::default(),
        }
    }

    /// Turns the first damage into [`Error::Strict`].
    pub fn set_strict(&mut self, strict: bool) {
        self.strict = strict;
    }

    /// Whether the end of the input is only the end for now: [`Blocks::next`] then gives `None`
    /// and goes on when called again after the file has grown. Turned off, the next call treats
    /// what is there as all there is.
    pub fn set_follow(&mut self, follow: bool) {
        self.follow = follow;
    }

    /// What was found wrong so far.
    pub fn damages(&self) -> &Damages {
        &self.damages
    }

    /// The input's name.
    pub fn name(&self) -> &str {
        self.input.name()
    }

    /// How the input is compressed; known once the first block was read, or after
    /// [`Blocks::detect`].
    pub fn compression(&self) -> Compression {
        self.input.compression()
    }

    /// Reads the first bytes, unless that was done, and says how the input is compressed.
    ///
    /// # Errors
    /// [`Error::Input`] when the system cannot read, [`Error::Strict`].
    pub fn detect(&mut self) -> Result<Compression> {
        if self.number == 0 && self.start == self.end && !self.eof {
            self.fill(8)?;
        }
        Ok(self.compression())
    }

    /// Stored (compressed) bytes consumed, and how many there are where known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.input.stored_position(), self.input.stored_len())
    }

    /// Plain offset of the next piece.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Input`] when the system cannot read, [`Error::Empty`], [`Error::NotACapture`],
    /// [`Error::ByteSwapped`] and [`Error::Version`] for what is no capture, [`Error::Strict`].
    #[allow(clippy::should_implement_trait)] // pieces borrow the reader's buffer
    pub fn next(&mut self) -> Result<Option<Piece<'_>>> {
        loop {
            let window = self.buffer.get(self.start..self.end).unwrap_or_default();
            if self.open_damage.is_some() {
                match block::resync(window, 0, &self.limits, self.eof) {
                    Resync::At(0) => {
                        self.close_damage(Some(self.offset))?;
                        continue;
                    }
                    Resync::At(n) => return Ok(Some(self.skip(n))),
                    Resync::NotBefore(n) if n > 0 => return Ok(Some(self.skip(n))),
                    Resync::NotBefore(_) if self.eof => {
                        self.close_damage(None)?;
                        continue;
                    }
                    Resync::NotBefore(_) => {
                        let want = window.len().saturating_add(1);
                        if !self.fill(want)? && self.follow {
                            return Ok(None);
                        }
                        continue;
                    }
                }
            }
            match block::scan(window, &self.limits, self.eof) {
                Scan::Block(len) => {
                    if self.number == 0 || is_section_header(window) {
                        self.check_section(len)?;
                    }
                    return Ok(Some(self.take(len)));
                }
                Scan::Damaged(len, kind) => {
                    self.report(kind)?;
                    return Ok(Some(self.take(len)));
                }
                Scan::Need(wanted) if !self.eof => {
                    if !self.fill(wanted)? && self.follow {
                        return Ok(None);
                    }
                }
                Scan::Need(_) if window.is_empty() => return self.end(),
                Scan::Need(wanted) => {
                    let found = window.len();
                    let cut = is_cut_event(window);
                    self.first_block_must_be_a_section()?;
                    self.open(DamageKind::Truncated { wanted: wanted as u64, found: found as u64 });
                    if cut {
                        // The tail of a recorder that was killed. What is left of its parameters
                        // may look like blocks and must not be searched.
                        return Ok(Some(self.skip(found)));
                    }
                }
                Scan::Bad(kind) => {
                    self.first_block_must_be_a_section()?;
                    self.open(kind);
                    return Ok(Some(self.skip(4.min(self.end.saturating_sub(self.start)))));
                }
            }
        }
    }

    fn end(&mut self) -> Result<Option<Piece<'_>>> {
        if self.number == 0 {
            return Err(Error::Empty { name: self.name().to_owned() });
        }
        if self.events_in_section == 0 && !self.ended {
            self.report(DamageKind::NoEvents)?;
        }
        self.ended = true;
        Ok(None)
    }

    fn take(&mut self, len: usize) -> Piece<'_> {
        let (at, offset) = (self.start, self.offset);
        self.start = self.start.saturating_add(len);
        self.offset = self.offset.saturating_add(len as u64);
        self.number = self.number.saturating_add(1);
        let bytes = self.buffer.get(at..self.start).unwrap_or_default();
        let block = Block::new(bytes, offset, self.number);
        match block.block_type.class() {
            BlockClass::Event { .. } => self.events_in_section = self.events_in_section.saturating_add(1),
            BlockClass::Section => self.events_in_section = 0,
            _ => {}
        }
        Piece::Block(block)
    }

    /// What is next, when that is an event as nearly all blocks are, and nothing is wrong: its length and
    /// whether it has flags. To be taken with [`Blocks::take_event`].
    #[inline]
    pub(super) fn event_ahead(&self) -> Option<(usize, bool)> {
        if self.number == 0 || self.open_damage.is_some() {
            return None;
        }
        block::common_event(self.buffer.get(self.start..self.end)?, &self.limits)
    }

    /// The block of `len` bytes that is next.
    #[inline]
    pub(super) fn ahead(&self, len: usize) -> Block<'_> {
        let bytes = self.buffer.get(self.start..self.start.saturating_add(len)).unwrap_or_default();
        Block::new(bytes, self.offset, self.number.saturating_add(1))
    }

    /// Takes the event that is next, of `len` bytes.
    #[inline]
    pub(super) fn take_event(&mut self, len: usize) {
        self.start = self.start.saturating_add(len);
        self.offset = self.offset.saturating_add(len as u64);
        self.number = self.number.saturating_add(1);
        self.events_in_section = self.events_in_section.saturating_add(1);
    }

    /// The block of `len` bytes that was taken last.
    #[inline]
    pub(super) fn taken(&self, len: usize) -> Block<'_> {
        let at = self.start.saturating_sub(len);
        let bytes = self.buffer.get(at..self.start).unwrap_or_default();
        Block::new(bytes, self.offset.saturating_sub(len as u64), self.number)
    }

    fn skip(&mut self, len: usize) -> Piece<'_> {
        let (at, offset) = (self.start, self.offset);
        self.start = self.start.saturating_add(len);
        self.offset = self.offset.saturating_add(len as u64);
        if let Some(d) = &mut self.open_damage {
            d.skipped = d.skipped.saturating_add(len as u64);
        }
        Piece::Skipped { offset, bytes: self.buffer.get(at..self.start).unwrap_or_default() }
    }

    fn open(&mut self, kind: DamageKind) {
        self.open_damage =
            Some(Damage { offset: self.offset, block: self.number.saturating_add(1), kind, skipped: 0, resumed: None });
    }

    fn close_damage(&mut self, resumed: Option<u64>) -> Result<()> {
        match self.open_damage.take() {
            Some(damage) => self.record(Damage { resumed, ..damage }),
            None => Ok(()),
        }
    }

    /// Reports a damage of the block at hand that loses no bytes.
    fn report(&mut self, kind: DamageKind) -> Result<()> {
        let block = self.number.saturating_add(1);
        self.record(Damage { offset: self.offset, block, kind, skipped: 0, resumed: None })
    }

    fn record(&mut self, damage: Damage) -> Result<()> {
        if self.strict {
            return Err(Error::Strict { name: self.name().to_owned(), damage: Box::new(damage) });
        }
        self.damages.push(damage);
        Ok(())
    }

    /// Makes at least `wanted` bytes available unless the input has no more; says whether it
    /// brought any.
    fn fill(&mut self, wanted: usize) -> Result<bool> {
        let have = self.end.saturating_sub(self.start);
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.start = 0;
            self.end = have;
        }
        // Grown step by step: a declared length is only believed as far as bytes really come.
        let room = wanted.max(READ_SIZE).min(have.saturating_mul(2).max(READ_SIZE));
        if self.buffer.len() < room || self.buffer.len() > room.saturating_mul(4) {
            self.buffer.resize(room.max(self.end), 0);
            self.buffer.shrink_to(room);
        }
        let got = self.input.read(self.buffer.get_mut(self.end..).unwrap_or_default())?;
        self.end = self.end.saturating_add(got);
        if got == 0 && !self.follow && !self.eof {
            self.eof = true;
            self.input.finish();
            // One to three bytes that could have begun compressed data are given only now.
            let last = self.input.read(self.buffer.get_mut(self.end..).unwrap_or_default())?;
            self.end = self.end.saturating_add(last);
        }
        while let Some(damage) = self.input.take_damage() {
            self.record(damage)?;
        }
        Ok(got > 0)
    }

    fn first_block_must_be_a_section(&mut self) -> Result<()> {
        if self.number > 0 {
            return Ok(());
        }
        let window = self.buffer.get(self.start..self.end).unwrap_or_default();
        if window.is_empty() {
            return Err(Error::Empty { name: self.name().to_owned() });
        }
        Err(Error::NotACapture { name: self.name().to_owned(), found: describe(window) })
    }

    /// The first section header decides whether the input is a capture; a later one that is wrong
    /// is damage.
    fn check_section(&mut self, len: usize) -> Result<()> {
        let window = self.buffer.get(self.start..self.end).unwrap_or_default();
        if !is_section_header(window) {
            return self.first_block_must_be_a_section();
        }
        let body = window.get(8..len.saturating_sub(4)).unwrap_or_default();
        let Ok((header, _)) = SectionHeader::ref_from_prefix(body) else {
            return match self.number {
                0 => Err(self.not_a_capture(format!("a section header of {len} bytes"))),
                _ => self.report(section_damage("size", 28, len as u64)),
            };
        };
        let (magic, major, minor) = (header.byte_order_magic.get(), header.major.get(), header.minor.get());
        let packets = is_packet_capture(window.get(len..).unwrap_or_default());
        if self.number > 0 {
            if self.events_in_section == 0 {
                self.report(DamageKind::NoEvents)?;
            }
            if magic != BYTE_ORDER_MAGIC {
                return self.report(section_damage("byte-order magic", u64::from(BYTE_ORDER_MAGIC), u64::from(magic)));
            }
            if major > 1 {
                return self.report(section_damage("major version", 1, u64::from(major)));
            }
            return Ok(());
        }
        if magic == BYTE_ORDER_MAGIC.swap_bytes() {
            return Err(Error::ByteSwapped { name: self.name().to_owned(), offset: self.offset, found: magic });
        }
        if magic != BYTE_ORDER_MAGIC {
            return Err(self.not_a_capture(format!("a section header whose byte-order magic is {magic:#010x}")));
        }
        if packets {
            return Err(self.not_a_capture("a pcapng file of network packets".to_owned()));
        }
        if major > 1 {
            return Err(Error::Version { name: self.name().to_owned(), offset: self.offset, major, minor });
        }
        Ok(())
    }

    fn not_a_capture(&self, found: String) -> Error {
        Error::NotACapture { name: self.name().to_owned(), found }
    }
}

fn section_damage(what: &'static str, wanted: u64, found: u64) -> DamageKind {
    DamageKind::List { list: "section header", what, entry: 0, wanted, found }
}

fn is_section_header(bytes: &[u8]) -> bool {
    bytes.first_chunk() == Some(&BlockType::SHB.0.to_le_bytes())
}

/// Whether the block at the start is an ordinary event whose own length agrees with the block's: cut
/// off, not corrupt.
fn is_cut_event(bytes: &[u8]) -> bool {
    let mut c = crate::cursor::Cursor::new(bytes);
    let (Some(block_type), Some(total)) = (c.u32(), c.u32()) else {
        return true;
    };
    let BlockClass::Event { flagged, large: false, .. } = BlockType(block_type).class() else {
        return false;
    };
    let before = if flagged { 6 } else { 2 };
    let Some(len) = c.take(before).and_then(|_| c.take(16)).and_then(|_| c.u32()) else {
        return total as usize <= block::RESYNC_WINDOW;
    };
    let body = u64::from(len).saturating_add(before as u64);
    body.next_multiple_of(4).saturating_add(12) == u64::from(total)
}

/// Whether a block that only files of network packets have stands here: pcapng block types 1 to 6.
fn is_packet_capture(bytes: &[u8]) -> bool {
    bytes.first_chunk().is_some_and(|t| (1..=6).contains(&u32::from_le_bytes(*t)))
}
