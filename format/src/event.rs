//! Events: a view over the bytes of an event block. Nothing is copied.
//!
//! Source: scap-format section 3.

use crate::cursor::Cursor;
use crate::raw::{EventHeader, EventHeaderV1};
use crate::schema::{self, BRIEF, EventInfo};
use crate::{Block, BlockClass, DamageKind};
use zerocopy::FromBytes;

/// Most parameters that any event type has.
pub const MAX_PARAMS: usize = 32;

/// Bit 0 of an event's dump flags: the event was filtered out of the capture and is kept because it
/// changes state. It is applied, not shown.
pub const STATE_ONLY: u32 = 1;

/// An event as the capture stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<'a> {
    /// ns since the epoch.
    pub ts: u64,
    /// Thread; -1 for synthetic events. Up to 2^53 in gVisor captures.
    pub tid: i64,
    /// Processor or ring buffer; 0xFFFF when unknown.
    pub cpu: u16,
    /// Type number, see [`schema::id`].
    pub event_type: u16,
    /// Dump flags, see [`STATE_ONLY`].
    pub flags: u32,
    /// Parameters stored. May be more or fewer than the table of any schema version has.
    pub nparams: u32,
    wide: bool,
    lens: &'a [u8],
    data: &'a [u8],
}

impl<'a> Event<'a> {
    /// The event of an event block. Checks the header and every parameter's length against the
    /// block; types beyond the table pass with no parameters accessible ([`Event::info`] is then
    /// `None`), as their length width is unknown.
    ///
    /// # Errors
    /// [`DamageKind::Event`] when something does not fit.
    #[inline]
    pub fn parse(block: &Block<'a>) -> Result<Self, DamageKind> {
        let BlockClass::Event { v2, flagged, .. } = block.block_type.class() else {
            return Err(misfit(0, "block type of an event", 0x216, u64::from(block.block_type.0)));
        };
        Self::parse_body(block.body(), v2, flagged)
    }

    /// The event of an event block's body.
    #[inline]
    pub(crate) fn parse_body(body: &'a [u8], v2: bool, flagged: bool) -> Result<Self, DamageKind> {
        let mut body = Cursor::new(body);
        let short = |c: &Cursor<'_>| misfit(0, "bytes of the event header", 28, c.remaining() as u64);
        let cpu = body.u16().ok_or_else(|| short(&body))?;
        let flags = if flagged { body.u32().ok_or_else(|| short(&body))? } else { 0 };
        if v2 { Self::parse_v2(body.rest(), cpu, flags) } else { Self::parse_v1(body.rest(), cpu, flags) }
    }

    /// An event from its own bytes in V2 form, starting at `ts`.
    ///
    /// # Errors
    /// [`DamageKind::Event`] when something does not fit.
    #[inline]
    pub fn parse_v2(bytes: &'a [u8], cpu: u16, flags: u32) -> Result<Self, DamageKind> {
        let Ok((header, _)) = EventHeader::ref_from_prefix(bytes) else {
            return Err(misfit(0, "bytes of the event header", 26, bytes.len() as u64));
        };
        let event_type = header.event_type.get();
        let (len, nparams) = (header.len.get(), header.nparams.get());
        let mut event = Event {
            ts: header.ts.get(),
            tid: header.tid.get(),
            cpu,
            event_type,
            flags,
            nparams,
            wide: false,
            lens: &[],
            data: &[],
        };
        let Some(brief) = BRIEF.get(usize::from(event_type)) else {
            return Ok(event);
        };
        event.wide = brief & 0x80 != 0;
        let Some(rest) = bytes.get(26..len as usize) else {
            return Err(misfit(
                event_type,
                "event length (26 up to what the block holds)",
                bytes.len() as u64,
                u64::from(len),
            ));
        };
        let width: u64 = if event.wide { 4 } else { 2 };
        let lens_bytes = u64::from(nparams).saturating_mul(width);
        let Some((lens, data)) = usize::try_from(lens_bytes).ok().and_then(|n| rest.split_at_checked(n)) else {
            return Err(misfit(event_type, "bytes for the parameter lengths", lens_bytes, rest.len() as u64));
        };
        event.lens = lens;
        event.data = data;
        let sum = event.lengths_sum();
        if sum > data.len() as u64 {
            return Err(misfit(event_type, "bytes of the parameters", sum, data.len() as u64));
        }
        Ok(event)
    }

    /// An event from its own bytes in V1 form: the number of parameters is inferred by the rule of
    /// section 3.2.
    ///
    /// # Errors
    /// [`DamageKind::Event`] when nothing fits.
    pub fn parse_v1(bytes: &'a [u8], cpu: u16, flags: u32) -> Result<Self, DamageKind> {
        let Ok((header, _)) = EventHeaderV1::ref_from_prefix(bytes) else {
            return Err(misfit(0, "bytes of the event header", 22, bytes.len() as u64));
        };
        let event_type = header.event_type.get();
        let mut event = Event {
            ts: header.ts.get(),
            tid: header.tid.get(),
            cpu,
            event_type,
            flags,
            nparams: 0,
            wide: false,
            lens: &[],
            data: &[],
        };
        let Some(info) = schema::event_info(event_type) else {
            return Ok(event);
        };
        let mut len = header.len.get();
        if matches!(event_type, schema::id::NOTIFICATION_E | schema::id::INFRASTRUCTURE_EVENT_E) {
            // Old writers counted three bytes too many here.
            len = len.saturating_sub(3);
        }
        let Some(rest) = bytes.get(22..len as usize) else {
            return Err(misfit(
                event_type,
                "event length (22 up to what the block holds)",
                bytes.len() as u64,
                u64::from(len),
            ));
        };
        for n in (0..=info.params.len()).rev() {
            let Some((lens, data)) = rest.split_at_checked(n.saturating_mul(2)) else {
                continue;
            };
            event.lens = lens;
            let sum = event.lengths_sum();
            if sum < data.len() as u64 {
                break;
            }
            if sum == data.len() as u64 {
                event.nparams = u32::try_from(n).unwrap_or(0);
                event.data = data;
                return Ok(event);
            }
        }
        Err(misfit(event_type, "a parameter count that explains the length", u64::from(len), rest.len() as u64))
    }

    /// The event over parts that a converter made: lengths are little-endian, `wide` says whether
    /// they take 32 bits. Parameters that run past `data` read as absent.
    pub fn from_parts(head: EventHead, wide: bool, lens: &'a [u8], data: &'a [u8]) -> Self {
        let width = if wide { 4 } else { 2 };
        Event {
            ts: head.ts,
            tid: head.tid,
            cpu: head.cpu,
            event_type: head.event_type,
            flags: head.flags,
            nparams: u32::try_from(lens.len().checked_div(width).unwrap_or(0)).unwrap_or(u32::MAX),
            wide,
            lens,
            data,
        }
    }

    /// Time, thread, cpu, type and flags.
    pub fn head(&self) -> EventHead {
        EventHead { ts: self.ts, tid: self.tid, cpu: self.cpu, event_type: self.event_type, flags: self.flags }
    }

    /// The current table's entry of this type; `None` for types of a newer schema.
    #[inline]
    pub fn info(&self) -> Option<&'static EventInfo> {
        schema::event_info(self.event_type)
    }

    /// The table entry whose names and labels the event was recorded with: the 2022 table's when
    /// the type and the number of parameters existed then, else the current one's.
    ///
    /// The schema version is not stored in files; it can only be told per event (section 5.1).
    pub fn recorded_info(&self) -> Option<&'static EventInfo> {
        match schema::event_info_2022(self.event_type) {
            Some(old) if self.nparams as usize <= old.params.len() => Some(old),
            _ => self.info(),
        }
    }

    /// Whether this is the enter half of a pair.
    #[inline]
    pub fn is_enter(&self) -> bool {
        self.event_type & 1 == 0
    }

    /// Whether the event is only there for the state.
    #[inline]
    pub fn is_state_only(&self) -> bool {
        self.flags & STATE_ONLY != 0
    }

    /// Whether parameter lengths take 32 bits.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// The parameters' bytes in order, as many as are stored.
    #[inline]
    pub fn params(&self) -> Params<'a> {
        Params { wide: self.wide, lens: self.lens, data: self.data }
    }

    /// Bytes of parameter `index`: `None` when not stored, empty when stored without a value.
    #[inline]
    pub fn param(&self, index: usize) -> Option<&'a [u8]> {
        if self.wide {
            return self.params().nth(index);
        }
        // One addition per parameter before it: most questions about events come here.
        let (lens, _) = self.lens.as_chunks::<2>();
        let len = usize::from(u16::from_le_bytes(*lens.get(index)?));
        let before = lens.get(..index)?;
        let start = before.iter().fold(0usize, |sum, w| sum.saturating_add(usize::from(u16::from_le_bytes(*w))));
        self.data.get(start..)?.get(..len)
    }

    /// The stored lengths, as they stand in the file.
    pub fn raw_lengths(&self) -> &'a [u8] {
        self.lens
    }

    /// The bytes of all parameters, without slack that may follow them.
    pub fn raw_data(&self) -> &'a [u8] {
        let used = usize::try_from(self.lengths_sum()).unwrap_or(usize::MAX);
        self.data.get(..used).unwrap_or(self.data)
    }

    #[inline]
    fn lengths_sum(&self) -> u64 {
        if self.wide {
            let (words, _) = self.lens.as_chunks::<4>();
            words.iter().fold(0, |sum, w| sum.saturating_add(u64::from(u32::from_le_bytes(*w))))
        } else {
            let (words, _) = self.lens.as_chunks::<2>();
            // A block holds under 2^31 lengths of under 2^16: no overflow.
            words.iter().fold(0u64, |sum, w| sum.wrapping_add(u64::from(u16::from_le_bytes(*w))))
        }
    }
}

#[cold]
fn misfit(event_type: u16, what: &'static str, wanted: u64, found: u64) -> DamageKind {
    DamageKind::Event { event_type, what, wanted, found }
}

/// The fixed part of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventHead {
    /// ns since the epoch.
    pub ts: u64,
    /// Thread.
    pub tid: i64,
    /// Processor.
    pub cpu: u16,
    /// Type number.
    pub event_type: u16,
    /// Dump flags.
    pub flags: u32,
}

/// Iterator over the parameters of an [`Event`].
#[derive(Debug, Clone)]
pub struct Params<'a> {
    wide: bool,
    lens: &'a [u8],
    data: &'a [u8],
}

impl<'a> Iterator for Params<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let len = if self.wide {
            let (len, rest) = self.lens.split_first_chunk()?;
            self.lens = rest;
            u32::from_le_bytes(*len) as usize
        } else {
            let (len, rest) = self.lens.split_first_chunk()?;
            self.lens = rest;
            usize::from(u16::from_le_bytes(*len))
        };
        let (param, rest) = self.data.split_at_checked(len)?;
        self.data = rest;
        Some(param)
    }
}
