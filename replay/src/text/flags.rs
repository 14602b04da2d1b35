//! Flags, enumerations, modes and signal sets as names (output-format section 4).

use super::errno::signal_name;
use scapkit_format::schema::FlagTable;

/// Appends names separated by one byte.
struct Names<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    separator: u8,
}

impl<'o> Names<'o> {
    fn new(out: &'o mut Vec<u8>, separator: u8) -> Self {
        let start = out.len();
        Names { out, start, separator }
    }

    fn push(&mut self, name: &str) {
        if self.out.len() > self.start {
            self.out.push(self.separator);
        }
        self.out.extend_from_slice(name.as_bytes());
    }
}

/// Names of the bits set, in the order of the table. Bits of a name that matched do not match
/// again; the search ends at an entry that equals the whole value.
pub fn bits(out: &mut Vec<u8>, table: &FlagTable, value: u64) {
    let mut names = Names::new(out, b'|');
    let mut left = value;
    for (name, bits) in table.entries {
        let hit = if *bits == 0 { value == 0 } else { left & bits == *bits };
        if hit {
            names.push(name);
            left &= !bits;
        }
        if *bits == value {
            break;
        }
    }
}

/// Names of a file mode: as [`bits`], but an entry that equals the whole value is always named.
pub fn mode(out: &mut Vec<u8>, table: &FlagTable, value: u64) {
    let mut names = Names::new(out, b'|');
    let mut left = value;
    for (name, bits) in table.entries {
        if *bits == value {
            names.push(name);
            break;
        }
        if *bits != 0 && left & bits == *bits {
            names.push(name);
            left &= !bits;
        }
    }
}

/// Every name of an enumeration's value.
pub fn enumeration(out: &mut Vec<u8>, table: &FlagTable, value: u64) {
    let mut names = Names::new(out, b'|');
    for (name, number) in table.entries {
        if *number == value {
            names.push(name);
        }
    }
}

/// Names of a signal set: bit k is signal k+1.
pub fn signals(out: &mut Vec<u8>, set: u64) {
    let mut names = Names::new(out, b' ');
    for k in 0..32u64 {
        if set >> k & 1 == 1
            && let Some(name) = signal_name(k.saturating_add(1))
        {
            names.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: FlagTable =
        FlagTable { name: "test", entries: &[("RDWR", 3), ("WR", 2), ("RD", 1), ("X", 8), ("ALL", 11), ("NONE", 0)] };

    fn text(f: fn(&mut Vec<u8>, &FlagTable, u64), value: u64) -> String {
        let mut out = b"(".to_vec();
        f(&mut out, &TABLE, value);
        String::from_utf8(out.split_off(1)).unwrap()
    }

    #[test]
    fn names() {
        assert_eq!(text(bits, 3), "RDWR");
        assert_eq!(text(bits, 9), "RD|X");
        assert_eq!(text(bits, 0), "NONE");
        assert_eq!(text(bits, 64), "");
        assert_eq!(text(bits, 65), "RD");
        assert_eq!(text(bits, 11), "RDWR|X");
        assert_eq!(text(mode, 11), "RDWR|X|ALL");
        assert_eq!(text(mode, 0), "NONE");
        assert_eq!(text(enumeration, 3), "RDWR");
        assert_eq!(text(enumeration, 9), "");
        let mut out = Vec::new();
        signals(&mut out, 0b101);
        assert_eq!(out, b"SIGHUP SIGQUIT");
    }
}
