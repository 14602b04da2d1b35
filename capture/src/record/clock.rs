//! Time as far as events tell of it.

/// The longest that nothing may have happened, ns. More at once is a clock that was set.
const LONGEST: u64 = 60_000_000_000;
/// Events may be that much older than the one before them, ns. More is a clock that was set back.
const SLACK: u64 = 10_000_000_000;

/// How much time passed, by the times of events, though the machine's clock may be set meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Age {
    last: u64,
    age: u64,
}

impl Age {
    /// Takes in the time of an event, ns since the epoch; gives the time passed since the first one, ns. It
    /// never goes back, and it goes on by at most a minute at once.
    #[inline]
    pub fn at(&mut self, ts: u64) -> u64 {
        if self.last == 0 || ts.saturating_add(SLACK) < self.last {
            self.last = ts;
        } else if ts > self.last {
            self.age = self.age.saturating_add((ts - self.last).min(LONGEST));
            self.last = ts;
        }
        self.age
    }

    /// The time passed at the last event.
    pub fn now(&self) -> u64 {
        self.age
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_makes_no_time_pass() {
        const S: u64 = 1_000_000_000;
        let mut age = Age::default();
        let start = 1_000_000 * S;
        assert_eq!(age.at(start), 0);
        assert_eq!(age.at(start + S), S);
        // Out of order.
        assert_eq!((age.at(start), age.at(start + 2 * S)), (S, 2 * S));
        // Set back by an hour, then on as usual.
        assert_eq!((age.at(start - 3600 * S), age.at(start - 3599 * S)), (2 * S, 3 * S));
        // Set forward by a year.
        assert_eq!(age.at(start + 31_536_000 * S), 63 * S);
        assert_eq!(age.now(), 63 * S);
    }
}
