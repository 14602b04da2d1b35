//! Which events somebody wants to see, as far as their headers tell.

use scapkit_format::{Event, schema};

/// Words of 64 bits that hold a bit for each event type.
const WORDS: usize = schema::EVENTS.len().div_ceil(64);

/// Events of interest: those that may match a filter, by type, time, thread and processor. All, if nothing
/// is said. The others change the state and take numbers, but are not shown; that costs much less.
///
/// Types, times and so on are those of the view: as recorded, or after the upgrade to the current schema.
///
/// ```
/// use scapkit_format::schema::id;
/// use scapkit_replay::Interest;
/// let interest = Interest::default().types([id::SYSCALL_OPENAT_2_X]).threads([4035]);
/// assert!(!interest.is_all());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Interest {
    types: Option<[u64; WORDS]>,
    /// First and last, ns since the epoch.
    time: Option<(u64, u64)>,
    threads: Option<Vec<i64>>,
    processors: Option<Vec<u16>>,
}

impl Interest {
    /// Only events of these types. Numbers beyond the table are none.
    #[must_use]
    pub fn types(mut self, types: impl IntoIterator<Item = u16>) -> Self {
        let mut bits = [0u64; WORDS];
        for n in types {
            if let Some(word) = bits.get_mut(usize::from(n / 64)) {
                *word |= 1 << (n % 64);
            }
        }
        self.types = Some(bits);
        self
    }

    /// Only events from `first` to `last`, both included, ns since the epoch.
    #[must_use]
    pub fn between(mut self, first: u64, last: u64) -> Self {
        self.time = Some((first, last));
        self
    }

    /// Only events of these threads.
    #[must_use]
    pub fn threads(mut self, tids: impl IntoIterator<Item = i64>) -> Self {
        let mut tids: Vec<i64> = tids.into_iter().collect();
        tids.sort_unstable();
        self.threads = Some(tids);
        self
    }

    /// Only events of these processors.
    #[must_use]
    pub fn processors(mut self, cpus: impl IntoIterator<Item = u16>) -> Self {
        let mut cpus: Vec<u16> = cpus.into_iter().collect();
        cpus.sort_unstable();
        self.processors = Some(cpus);
        self
    }

    /// Whether every event is of interest.
    pub fn is_all(&self) -> bool {
        *self == Interest::default()
    }

    /// Whether an event of the view is of interest.
    #[inline]
    pub fn has(&self, event: &Event<'_>) -> bool {
        let n = event.event_type;
        let of_type = |bits: &[u64; WORDS]| bits.get(usize::from(n / 64)).is_some_and(|w| w >> (n % 64) & 1 == 1);
        self.types.as_ref().is_none_or(of_type)
            && self.time.is_none_or(|(first, last)| (first..=last).contains(&event.ts))
            && self.threads.as_ref().is_none_or(|tids| tids.binary_search(&event.tid).is_ok())
            && self.processors.as_ref().is_none_or(|cpus| cpus.binary_search(&event.cpu).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scapkit_format::EventHead;
    use scapkit_format::schema::id;

    fn event(ts: u64, tid: i64, cpu: u16, event_type: u16) -> Event<'static> {
        Event::from_parts(EventHead { ts, tid, cpu, event_type, flags: 0 }, false, &[], &[])
    }

    #[test]
    fn every_condition_counts() {
        let one = event(10, 7, 3, id::SYSCALL_READ_X);
        assert!(Interest::default().is_all());
        assert!(Interest::default().has(&event(0, -1, 0xFFFF, u16::MAX)));
        assert!(Interest::default().types([id::SYSCALL_READ_X, 453]).has(&one));
        assert!(!Interest::default().types([id::SYSCALL_READ_E, u16::MAX]).has(&one));
        assert!(!Interest::default().types([]).has(&one));
        assert!(!Interest::default().types([u16::MAX]).has(&event(0, 0, 0, u16::MAX)));
        for (first, last, wanted) in [(0, 9, false), (0, 10, true), (10, 10, true), (11, u64::MAX, false)] {
            assert_eq!(Interest::default().between(first, last).has(&one), wanted, "{first} {last}");
        }
        assert!(Interest::default().threads([9, 7]).has(&one));
        assert!(!Interest::default().threads([8]).has(&one));
        assert!(Interest::default().processors([3, 1]).has(&one));
        assert!(!Interest::default().threads([7]).processors([1, 2]).has(&one));
    }
}
