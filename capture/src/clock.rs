//! The clock of events: the kernel's boot clock, made into time since the epoch once.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Now, in ns since the machine was booted, suspended time included.
pub fn boot_now() -> u64 {
    ns(clock_gettime(ClockId::Boottime))
}

/// Now, in ns since the epoch. The clock that this reads may be set, forwards and backwards.
pub fn real_now() -> u64 {
    ns(clock_gettime(ClockId::Realtime))
}

/// What added to the boot clock gives ns since the epoch. Both clocks are read in turn several times, and the pair
/// that was read closest together counts.
pub fn offset() -> u64 {
    let mut best = (u64::MAX, 0);
    for _ in 0..32 {
        let before = boot_now();
        let real = real_now();
        let after = boot_now();
        let spread = after.saturating_sub(before);
        if spread < best.0 {
            best = (spread, real.saturating_sub(before.saturating_add(spread / 2)));
        }
    }
    best.1
}

fn ns(t: Timespec) -> u64 {
    let (sec, nsec) = (u64::try_from(t.tv_sec).unwrap_or(0), u64::try_from(t.tv_nsec).unwrap_or(0));
    sec.saturating_mul(1_000_000_000).saturating_add(nsec)
}
