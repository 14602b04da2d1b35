//! Strings of the state, and how much memory all of the state takes.

use super::{Fd, Text};

/// Recently made strings, by a hash of their bytes: equal ones share memory.
const RECENT: usize = 4096;

/// Makes and accounts for everything that the state allocates.
///
/// The account is rough: the bytes of each string once, as long as all of its users let go of it
/// through here, and a fixed size per entry of a table.
#[derive(Debug)]
pub(super) struct Pool {
    /// Empty until the first string, so that a section without lists costs nothing.
    recent: Vec<Option<Text>>,
    used: usize,
    limit: usize,
    /// What was not stored because the limit was reached.
    pub refused: u64,
}

impl Pool {
    pub fn new(limit: usize) -> Self {
        Pool { recent: Vec::new(), used: 0, limit, refused: 0 }
    }

    pub fn used(&self) -> usize {
        self.used
    }

    /// Takes `bytes` of the budget; `false` when there is not so much left.
    pub fn take(&mut self, bytes: usize) -> bool {
        let used = self.used.saturating_add(bytes);
        if used > self.limit {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        self.used = used;
        true
    }

    pub fn give_back(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// The string of these bytes; empty when the budget is spent.
    pub fn text(&mut self, bytes: &[u8]) -> Text {
        if bytes.is_empty() {
            return Text::default();
        }
        let at = slot_of(bytes);
        if self.recent.is_empty() {
            self.recent.resize(RECENT, None);
        }
        if let Some(Some(text)) = self.recent.get(at)
            && **text == *bytes
        {
            return text.clone();
        }
        if !self.take(cost(bytes)) {
            return Text::default();
        }
        let text = Text::from(bytes);
        if let Some(old) = self.recent.get_mut(at).and_then(|slot| slot.replace(text.clone())) {
            self.release(old);
        }
        text
    }

    /// A string of these bytes that is no other's; `None` when the budget is spent.
    pub fn own(&mut self, bytes: &[u8]) -> Option<Text> {
        self.take(cost(bytes)).then(|| Text::from(bytes))
    }

    /// The recently made strings, which are kept.
    pub fn recent(&self) -> impl Iterator<Item = &Text> {
        self.recent.iter().flatten()
    }

    /// Makes a string a recent one; `false` when its place is taken.
    pub fn remember(&mut self, text: Text) -> bool {
        if self.recent.is_empty() {
            self.recent.resize(RECENT, None);
        }
        match self.recent.get_mut(slot_of(&text)) {
            Some(slot @ None) if !text.is_empty() => *slot = Some(text),
            _ => return false,
        }
        true
    }

    /// Replaces a string of the state.
    pub fn set(&mut self, slot: &mut Text, bytes: &[u8]) {
        if **slot != *bytes {
            let new = self.text(bytes);
            self.put(slot, new);
        }
    }

    /// Replaces a string of the state by another one of it.
    pub fn put(&mut self, slot: &mut Text, new: Text) {
        let old = std::mem::replace(slot, new);
        self.release(old);
    }

    /// Lets go of a string. The last one who does gives its memory back; who drops a string otherwise must
    /// know that it is not the last.
    pub fn release(&mut self, text: Text) {
        if !text.is_empty() && std::sync::Arc::strong_count(&text) == 1 {
            self.give_back(cost(&text));
        }
        drop(text);
    }

    /// Lets go of an fd's strings, which are often one and the same.
    pub fn release_fd(&mut self, fd: Fd) {
        self.release(fd.name);
        self.release(fd.name_raw);
    }
}

fn cost(bytes: &[u8]) -> usize {
    bytes.len().saturating_add(32)
}

fn slot_of(bytes: &[u8]) -> usize {
    // The length and at most 64 bytes of either end, a word at a time. Collisions cost sharing, not time.
    let (head, tail) = bytes.split_at(bytes.len().min(64));
    let tail = tail.get(tail.len().saturating_sub(64)..).unwrap_or(tail);
    let mix = |h: u64, word: u64| {
        let h = (h ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        h ^ (h >> 32)
    };
    let mut hash = bytes.len() as u64;
    for part in [head, tail] {
        let (words, rest) = part.as_chunks::<8>();
        hash = words.iter().fold(hash, |h, w| mix(h, u64::from_le_bytes(*w)));
        hash = mix(hash, rest.iter().fold(0, |word, b| word << 8 | u64::from(*b)));
    }
    usize::try_from(hash & 0xFFFF_FFFF).unwrap_or(0).checked_rem(RECENT).unwrap_or(0)
}
