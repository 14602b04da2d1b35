//! Times as text. The zone is a function given by the caller; nothing is asked of the system.

use super::numbers::{nine, padded, pair, unsigned};

const NS: u64 = 1_000_000_000;

/// Offset of local time from UTC in seconds at a time in ns since the epoch.
pub type Zone = Box<dyn Fn(u64) -> i32 + Send + Sync>;

/// What is shown of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeStyle {
    /// `HH:MM:SS.nnnnnnnnn`
    Clock,
    /// `HH:MM:SS`
    ClockSeconds,
    /// `YYYY-MM-DD HH:MM:SS.nnnnnnnnn`
    Date,
    /// `YYYY-MM-DD HH:MM:SS`
    DateSeconds,
    /// `YYYY-MM-DDTHH:MM:SS.nnnnnnnnn+0000`, always UTC
    Iso8601,
}

/// Appends a time.
pub fn time(out: &mut Vec<u8>, ns: u64, style: TimeStyle, zone: Option<&Zone>) {
    let offset = match zone {
        Some(zone) if style != TimeStyle::Iso8601 => i64::from(zone(ns)),
        _ => 0,
    };
    let seconds = (ns / NS).cast_signed().saturating_add(offset);
    if !matches!(style, TimeStyle::Clock | TimeStyle::ClockSeconds) {
        date(out, seconds.div_euclid(86_400));
        out.push(if style == TimeStyle::Iso8601 { b'T' } else { b' ' });
    }
    let of_day = seconds.rem_euclid(86_400).unsigned_abs();
    let (hour, minute, second) = (pair(of_day / 3600), pair(of_day / 60 % 60), pair(of_day % 60));
    out.extend_from_slice(&[hour[0], hour[1], b':', minute[0], minute[1], b':', second[0], second[1]]);
    if !matches!(style, TimeStyle::ClockSeconds | TimeStyle::DateSeconds) {
        out.push(b'.');
        nine(out, ns % NS);
    }
    if style == TimeStyle::Iso8601 {
        out.extend_from_slice(b"+0000");
    }
}

/// Day number since 1970-01-01 as `YYYY-MM-DD` (proleptic Gregorian).
fn date(out: &mut Vec<u8>, days: i64) {
    // Howard Hinnant's civil_from_days: years start in March, eras have 400 years.
    let z = days.saturating_add(719_468);
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097).unsigned_abs();
    let yoe = doe.saturating_sub(doe / 1460).saturating_add(doe / 36_524).saturating_sub(doe / 146_096) / 365;
    let before = yoe.saturating_mul(365).saturating_add(yoe / 4).saturating_sub(yoe / 100);
    let doy = doe.saturating_sub(before);
    let mp = doy.saturating_mul(5).saturating_add(2) / 153;
    let day = doy.saturating_sub(mp.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let month = if mp < 10 { mp.saturating_add(3) } else { mp.saturating_sub(9) };
    let year = era.saturating_mul(400).saturating_add(yoe.cast_signed()).saturating_add(i64::from(month <= 2));
    padded(out, year.unsigned_abs(), 4);
    out.push(b'-');
    padded(out, month, 2);
    out.push(b'-');
    padded(out, day, 2);
}

/// `seconds.nnnnnnnnn`.
pub fn interval(out: &mut Vec<u8>, ns: u64) {
    unsigned(out, ns / NS);
    out.push(b'.');
    nine(out, ns % NS);
}

/// A span of time in the unit that suits it, with about three digits (the field `evt.latency.human`).
pub fn rounded(out: &mut Vec<u8>, ns: u64) {
    const US: u64 = 1000;
    const MS: u64 = 1_000_000;
    let two = |out: &mut Vec<u8>, n: u64| padded(out, n, 2);
    let whole = |out: &mut Vec<u8>, count: u64, name: &[u8]| {
        unsigned(out, count);
        out.extend_from_slice(name);
    };
    // A hundredth of the unit, and its name.
    let fraction = |out: &mut Vec<u8>, hundredths: u64, name: &[u8]| {
        unsigned(out, hundredths / 100);
        out.push(b'.');
        two(out, hundredths % 100);
        out.extend_from_slice(name);
    };
    let seconds = ns / NS;
    match ns {
        _ if seconds >= 3600 => {
            two(out, seconds / 3600);
            out.push(b':');
            two(out, seconds / 60 % 60);
            out.push(b':');
            two(out, seconds % 60);
        }
        _ if seconds >= 60 => {
            // Without a leading zero, as upstream has it.
            unsigned(out, seconds / 60);
            out.push(b':');
            unsigned(out, seconds % 60);
        }
        NS.. => fraction(out, ns / (NS / 100), b"s"),
        10_000_000.. => whole(out, ns / MS, b"ms"),
        MS.. => fraction(out, ns / (MS / 100), b"ms"),
        10_000.. => whole(out, ns / US, b"us"),
        US.. => fraction(out, ns / (US / 100), b"us"),
        _ => whole(out, ns, b"ns"),
    }
}

/// `seconds.ns`, the ns without leading zeros (upstream's `-t a`).
pub fn interval_unpadded(out: &mut Vec<u8>, ns: u64) {
    unsigned(out, ns / NS);
    out.push(b'.');
    unsigned(out, ns % NS);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(ns: u64, style: TimeStyle, zone: Option<&Zone>) -> String {
        let mut out = Vec::new();
        time(&mut out, ns, style, zone);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn styles() {
        let t = 1_690_557_262_753_887_343;
        assert_eq!(text(t, TimeStyle::Clock, None), "15:14:22.753887343");
        assert_eq!(text(t, TimeStyle::ClockSeconds, None), "15:14:22");
        assert_eq!(text(t, TimeStyle::Date, None), "2023-07-28 15:14:22.753887343");
        assert_eq!(text(0, TimeStyle::DateSeconds, None), "1970-01-01 00:00:00");
        assert_eq!(text(951_782_400_000_000_001, TimeStyle::Iso8601, None), "2000-02-29T00:00:00.000000001+0000");
        let zone: Zone = Box::new(|_| -3600);
        assert_eq!(text(0, TimeStyle::DateSeconds, Some(&zone)), "1969-12-31 23:00:00");
        assert_eq!(text(0, TimeStyle::Iso8601, Some(&zone)), "1970-01-01T00:00:00.000000000+0000");
        // The largest time: nothing overflows.
        assert_eq!(text(u64::MAX, TimeStyle::DateSeconds, None), "2554-07-21 23:34:33");
    }

    #[test]
    fn intervals() {
        let mut out = Vec::new();
        interval(&mut out, 1_000_000_005);
        out.push(b' ');
        interval_unpadded(&mut out, 1_000_000_005);
        assert_eq!(out, b"1.000000005 1.5");
    }
}
