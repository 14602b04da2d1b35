//! Event times on the command line, and how times and sizes are shown.

use anyhow::{Context, Result, bail};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

const SECOND: u64 = 1_000_000_000;

/// A point in a capture as the user gave it. `10:00:00` and `+1.5s` need the capture's first event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// ns since the epoch.
    Absolute(u64),
    /// ns after the first event.
    AfterStart(u64),
    /// Time of day in the zone of the first event's day.
    OfDay(civil::Time),
}

impl Point {
    /// Parses T of the help text.
    pub fn parse(text: &str) -> Result<Point> {
        if let Some(rest) = text.strip_prefix('+') {
            return Ok(Point::AfterStart(duration(rest)?));
        }
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Point::Absolute(text.parse().with_context(|| format!("time {text:?}"))?));
        }
        if let Ok(t) = text.parse::<Timestamp>() {
            let ns = u64::try_from(t.as_nanosecond()).with_context(|| format!("time {text:?} is before 1970"))?;
            return Ok(Point::Absolute(ns));
        }
        if let Ok(t) = text.parse::<civil::Time>() {
            return Ok(Point::OfDay(t));
        }
        bail!("time {text:?}: wanted 2026-11-23T10:00:00.5Z, 10:00:00.5, +1.5s or nanoseconds since 1970")
    }

    /// ns since the epoch, in a capture whose first event is at `start`.
    pub fn resolve(&self, start: u64, zone: &TimeZone) -> Result<u64> {
        match self {
            Point::Absolute(ns) => Ok(*ns),
            Point::AfterStart(ns) => Ok(start.saturating_add(*ns)),
            Point::OfDay(time) => {
                let day = timestamp(start)?.to_zoned(zone.clone()).date();
                let at = day.to_datetime(*time).to_zoned(zone.clone())?.timestamp();
                Ok(u64::try_from(at.as_nanosecond()).unwrap_or(0))
            }
        }
    }
}

/// `1.5s`, `200ms`, `10us`, `5ns`, `2m`, `1h`; without a unit seconds. Gives ns.
pub fn duration(text: &str) -> Result<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, unit) = text.split_at(at);
    let unit = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" | "" => SECOND,
        "m" => 60 * SECOND,
        "h" => 3600 * SECOND,
        _ => bail!("duration {text:?}: unit {unit:?}, wanted ns, us, ms, s, m or h"),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: u64 = if whole.is_empty() && !fraction.is_empty() {
        0
    } else {
        whole.parse().with_context(|| format!("duration {text:?}"))?
    };
    let mut ns = whole.checked_mul(unit).with_context(|| format!("duration {text:?} is too long"))?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        let digit = digit.to_digit(10).with_context(|| format!("duration {text:?}"))?;
        ns = ns.saturating_add(place.saturating_mul(u64::from(digit)));
    }
    Ok(ns)
}

/// The zone that `--tz` names. The data base is this program's own, not the machine's.
pub fn zone(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).with_context(|| format!("--tz {name:?}: no such time zone"))
}

fn timestamp(ns: u64) -> Result<Timestamp> {
    Timestamp::from_nanosecond(i128::from(ns)).with_context(|| format!("time {ns} ns is beyond the calendar"))
}

/// `2026-11-23T10:00:00.000000005Z`.
pub fn iso(ns: u64) -> String {
    timestamp(ns).map_or_else(|_| format!("{ns} ns"), |t| format!("{t:.9}"))
}

/// A span in words: `1h 2m 3.4s`.
pub fn span(ns: u64) -> String {
    let seconds = ns / SECOND;
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = ns % SECOND / 1_000_000;
    match (h, m) {
        (0, 0) => format!("{s}.{fraction:03}s"),
        (0, m) => format!("{m}m {s}.{fraction:03}s"),
        (h, m) => format!("{h}h {m}m {s}.{fraction:03}s"),
    }
}

/// `1234567` as `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_help_text() {
        let start = Point::parse("2026-11-23T09:59:59Z").unwrap().resolve(0, &TimeZone::UTC).unwrap();
        let at = |t: &str| Point::parse(t).unwrap().resolve(start, &TimeZone::UTC).unwrap();
        assert_eq!(at("2026-11-23T10:00:00.5Z"), start + 1_500_000_000);
        assert_eq!(at("10:00:00.5"), start + 1_500_000_000);
        assert_eq!(at("+1.5s"), start + 1_500_000_000);
        assert_eq!(at("+10us"), start + 10_000);
        assert_eq!(at("12345"), 12345);
        let berlin = zone("Europe/Berlin").unwrap();
        assert_eq!(Point::parse("11:00:00").unwrap().resolve(start, &berlin).unwrap(), start + 1_000_000_000);
        for wrong in ["", "noon", "+", "+1.5 parsecs", "25:00:00", "2026-13-01T00:00:00Z", "+99999999999999999999s"] {
            assert!(Point::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn shown() {
        assert_eq!(iso(1_500_000_000), "1970-01-01T00:00:01.500000000Z");
        assert_eq!(span(3_723_004_000_000), "1h 2m 3.004s");
        assert_eq!((grouped(0), grouped(999), grouped(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
    }
}
