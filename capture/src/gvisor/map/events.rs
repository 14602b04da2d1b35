//! Events that were made and not yet given away.

use crate::Origin;
use crate::gvisor::params::Params;
use scapkit_format::STATE_ONLY;

/// Events in V2 form, one after the other, in the order in which they are to be given.
#[derive(Debug, Default)]
pub struct Events {
    bytes: Vec<u8>,
    /// Where each ends, and the flags of its block.
    ends: Vec<(usize, u32)>,
}

impl Events {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The events in order.
    pub fn iter(&self) -> impl Iterator<Item = (Origin, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(end, flags)| {
            let event = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            (Origin { cpu: 0, flags: *flags }, event)
        })
    }

    /// Adds an event.
    pub(super) fn add(&mut self, ts: u64, tid: i64, event_type: u16, params: &Params) {
        params.event(ts, tid, event_type, &mut self.bytes);
        self.ends.push((self.bytes.len(), 0));
    }

    /// Adds an event that is no event of its own: it sets what later ones are understood by.
    pub(super) fn add_state(&mut self, ts: u64, tid: i64, event_type: u16, params: &Params) {
        params.event(ts, tid, event_type, &mut self.bytes);
        self.ends.push((self.bytes.len(), STATE_ONLY));
    }

    /// Adds an event that has its bytes already.
    pub(super) fn add_bytes(&mut self, event: &[u8]) {
        self.bytes.extend_from_slice(event);
        self.ends.push((self.bytes.len(), 0));
    }
}
