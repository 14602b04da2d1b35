//! Every check there is on the bytes of a capture: what `scapkit verify` runs.
//!
//! Beyond what reading checks (framing, trailers, list entries, event headers, parameter lengths,
//! compressed containers) each parameter's size is compared with its type. Bytes are judged, not
//! schema history: an old event is not damage.

use crate::schema::EventInfo;
use crate::value::{Value, decode_param};
use crate::{Capture, Content, Damage, DamageKind, Event, Item, Result};

/// What was looked at, and what was found wrong.
#[derive(Debug, Clone, Default)]
pub struct Verified {
    /// Blocks.
    pub blocks: u64,
    /// Events.
    pub events: u64,
    /// Events of types newer than this program's table: only their framing could be checked.
    pub unknown_types: u64,
    /// Plain bytes.
    pub plain_bytes: u64,
    /// Damages in the order of the file; the first 10,000.
    pub damages: Vec<Damage>,
    /// How many damages there are.
    pub damage_count: u64,
}

/// Reads a capture to its end and checks everything.
///
/// # Errors
/// As [`Capture::next`].
pub fn verify(capture: &mut Capture, mut progress: impl FnMut(&Capture)) -> Result<Verified> {
    let mut v = Verified::default();
    loop {
        if v.blocks % 4096 == 0 {
            progress(capture);
        }
        let Some(item) = capture.next()? else { break };
        let Item::Block(block, content) = item else { continue };
        v.blocks = v.blocks.saturating_add(1);
        let Content::Event(event) = content else { continue };
        v.events = v.events.saturating_add(1);
        let Some(info) = event.info() else {
            v.unknown_types = v.unknown_types.saturating_add(1);
            continue;
        };
        if let Some(kind) = wrong_parameter(&event, info) {
            v.damage_count = v.damage_count.saturating_add(1);
            if v.damages.len() < 10_000 {
                v.damages.push(Damage { offset: block.offset, block: block.number, kind, skipped: 0, resumed: None });
            }
        }
    }
    let read = capture.damages();
    v.damage_count = v.damage_count.saturating_add(read.count);
    v.damages.extend(read.list);
    v.damages.sort_by_key(|d| (!d.in_stored_bytes(), d.offset));
    v.plain_bytes = capture.offset();
    Ok(v)
}

/// The first parameter whose size does not fit its type.
fn wrong_parameter(event: &Event<'_>, info: &'static EventInfo) -> Option<DamageKind> {
    for (param, bytes) in info.params.iter().zip(event.params()) {
        if let Value::Malformed { wanted, found } = decode_param(param, bytes) {
            return Some(DamageKind::Param {
                event_type: event.event_type,
                event: info.name,
                param: param.name,
                wanted: wanted as u64,
                found: found as u64,
            });
        }
    }
    None
}
