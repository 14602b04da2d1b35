//! From values to block bytes: framing and events. The lists encode their own entries.

use crate::raw::{BYTE_ORDER_MAGIC, MIN_BLOCK};
use crate::{BlockType, Error, Event, EventHead, Result, schema};

/// Appends a block around `body`, padded with zeros to a multiple of 4 (scap-format section 1.2).
///
/// # Errors
/// [`Error::TooLarge`] when the block would not fit its 32-bit length.
pub fn block(out: &mut Vec<u8>, block_type: BlockType, body: &[u8]) -> Result<()> {
    block_with(out, block_type, |out| {
        out.extend_from_slice(body);
        Ok(())
    })
}

/// Appends a block whose body `fill` appends.
///
/// # Errors
/// What `fill` returns, and [`Error::TooLarge`]; `out` is then as before.
pub fn block_with(
    out: &mut Vec<u8>,
    block_type: BlockType,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let at = out.len();
    out.extend_from_slice(&block_type.0.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    let filled = fill(out);
    let body = out.len().saturating_sub(at).saturating_sub(8);
    out.resize(out.len().saturating_add(body.next_multiple_of(4).saturating_sub(body)), 0);
    let found = out.len().saturating_sub(at).saturating_add(4);
    let total = u32::try_from(found);
    match (filled, total) {
        (Ok(()), Ok(total)) if total >= MIN_BLOCK => {
            let from = at.saturating_add(4);
            if let Some(slot) = out.get_mut(from..).and_then(|o| o.first_chunk_mut()) {
                *slot = total.to_le_bytes();
            }
            out.extend_from_slice(&total.to_le_bytes());
            Ok(())
        }
        (Err(e), _) => {
            out.truncate(at);
            Err(e)
        }
        _ => {
            out.truncate(at);
            Err(Error::TooLarge { what: "block", wanted: u64::from(u32::MAX), found: found as u64 })
        }
    }
}

/// Appends a section header of version 1.2 without options (section 1.3).
pub fn section_header(out: &mut Vec<u8>) {
    let mut body = [0; 16];
    let (magic, rest) = body.split_at_mut(4);
    magic.copy_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
    let (version, length) = rest.split_at_mut(4);
    version.copy_from_slice(&[1, 0, 2, 0]);
    length.copy_from_slice(&[0xFF; 8]);
    // 28 bytes always fit.
    let _ = block(out, BlockType::SHB, &body);
}

/// The block type that an event is written in: `EVF` forms only when flags are set, `LARGE` forms
/// for types with 32-bit lengths (section 3).
pub fn event_block_type(flags: u32, large: bool) -> BlockType {
    match (flags != 0, large) {
        (false, false) => BlockType::EV_V2,
        (true, false) => BlockType::EVF_V2,
        (false, true) => BlockType::EV_V2_LARGE,
        (true, true) => BlockType::EVF_V2_LARGE,
    }
}

/// Appends an event block, version 2, of the given parameters.
///
/// # Errors
/// [`Error::TooLarge`] when a parameter is over what its length field can say.
pub fn event(out: &mut Vec<u8>, head: EventHead, params: &[&[u8]]) -> Result<()> {
    let large = schema::event_info(head.event_type).is_some_and(|e| e.flags.is_large());
    block_with(out, event_block_type(head.flags, large), |out| {
        put_event_start(out, head);
        event_v2(out, head, params.len(), |out| {
            for p in params {
                put_length(out, large, p.len())?;
            }
            for p in params {
                out.extend_from_slice(p);
            }
            Ok(())
        })
    })
}

/// Appends an event block, version 2, of an event that was read: the same parameters, whatever
/// block type it came in. Slack after the last parameter is dropped.
///
/// # Errors
/// [`Error::TooLarge`] when it does not fit a block.
pub fn event_of(out: &mut Vec<u8>, event: &Event<'_>) -> Result<()> {
    // Bit 2 (LARGE) is not for files: the block type says it.
    let head = EventHead { flags: event.flags & !4, ..event.head() };
    // Version 1 has 16-bit lengths for every type, version 2 those of the type.
    let large = event.info().map_or(event.is_wide(), |i| i.flags.is_large());
    block_with(out, event_block_type(head.flags, large), |out| {
        put_event_start(out, head);
        event_v2(out, head, event.nparams as usize, |out| {
            if large == event.is_wide() {
                out.extend_from_slice(event.raw_lengths());
            } else {
                event.params().try_for_each(|p| put_length(out, large, p.len()))?;
            }
            out.extend_from_slice(event.raw_data());
            Ok(())
        })
    })
}

fn put_event_start(out: &mut Vec<u8>, head: EventHead) {
    out.extend_from_slice(&head.cpu.to_le_bytes());
    if head.flags != 0 {
        out.extend_from_slice(&head.flags.to_le_bytes());
    }
}

fn put_length(out: &mut Vec<u8>, large: bool, len: usize) -> Result<()> {
    let too_large = |wanted| Error::TooLarge { what: "event parameter", wanted, found: len as u64 };
    if large {
        let len = u32::try_from(len).map_err(|_| too_large(u64::from(u32::MAX)))?;
        out.extend_from_slice(&len.to_le_bytes());
    } else {
        let len = u16::try_from(len).map_err(|_| too_large(u64::from(u16::MAX)))?;
        out.extend_from_slice(&len.to_le_bytes());
    }
    Ok(())
}

/// The event from `ts` on; `fill` appends lengths and data.
fn event_v2(
    out: &mut Vec<u8>,
    head: EventHead,
    nparams: usize,
    fill: impl FnOnce(&mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    let at = out.len();
    out.extend_from_slice(&head.ts.to_le_bytes());
    out.extend_from_slice(&head.tid.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&head.event_type.to_le_bytes());
    out.extend_from_slice(&u32::try_from(nparams).unwrap_or(u32::MAX).to_le_bytes());
    fill(out)?;
    let found = out.len().saturating_sub(at);
    let len = u32::try_from(found).map_err(|_| Error::TooLarge {
        what: "event",
        wanted: u64::from(u32::MAX),
        found: found as u64,
    })?;
    let from = at.saturating_add(16);
    if let Some(slot) = out.get_mut(from..).and_then(|o| o.first_chunk_mut()) {
        *slot = len.to_le_bytes();
    }
    Ok(())
}
