//! Numbers as text. Hand-written, because a line has ten or more of them.

use scapkit_format::schema::PrintFormat;

const DIGITS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";

/// The longest number: 22 octal digits of 64 bits.
const LONGEST: usize = 24;

/// Digits are produced from the right.
struct Digits {
    buffer: [u8; LONGEST],
    at: usize,
}

impl Digits {
    fn new() -> Self {
        Digits { buffer: [0; LONGEST], at: LONGEST }
    }

    #[inline]
    fn put(&mut self, digit: u8) {
        self.at = self.at.saturating_sub(1);
        if let Some(to) = self.buffer.get_mut(self.at) {
            *to = digit;
        }
    }

    #[inline]
    fn flush(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.buffer.get(self.at..).unwrap_or_default());
    }

    #[inline]
    fn decimal(&mut self, mut value: u64) {
        while value >= 100 {
            let pair = usize::try_from(value % 100).unwrap_or(0).wrapping_mul(2);
            value /= 100;
            self.pair(pair);
        }
        if value >= 10 {
            self.pair(usize::try_from(value).unwrap_or(0).wrapping_mul(2));
        } else {
            self.put(digit(value));
        }
    }

    #[inline]
    fn pair(&mut self, at: usize) {
        let tens = DIGITS.get(at).copied().unwrap_or(b'0');
        let ones = DIGITS.get(at.wrapping_add(1)).copied().unwrap_or(b'0');
        self.put(ones);
        self.put(tens);
    }
}

#[inline]
fn digit(value: u64) -> u8 {
    (value.to_le_bytes()[0] & 15).wrapping_add(b'0')
}

/// The two digits of a number below 100.
#[inline]
pub fn pair(value: u64) -> [u8; 2] {
    let at = usize::try_from(value % 100).unwrap_or(0).wrapping_mul(2);
    let digit = |at: usize| DIGITS.get(at).copied().unwrap_or(b'0');
    [digit(at), digit(at.wrapping_add(1))]
}

/// Decimal.
pub fn unsigned(out: &mut Vec<u8>, value: u64) {
    // Most numbers are small.
    match value {
        0..10 => out.push(digit(value)),
        10..100 => out.extend_from_slice(&pair(value)),
        100..10_000 => {
            let ([a, b], [c, d]) = (pair(value / 100), pair(value));
            let all = [a, b, c, d];
            let skip = usize::from(value < 1000);
            out.extend_from_slice(all.get(skip..).unwrap_or_default());
        }
        10_000..100_000_000 => {
            unsigned(out, value / 10_000);
            four(out, value);
        }
        _ => {
            unsigned(out, value / 100_000_000);
            four(out, value / 10_000);
            four(out, value);
        }
    }
}

/// The last four digits.
#[inline]
fn four(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice([pair(value / 100), pair(value)].as_flattened());
}

/// Decimal, with a sign when negative.
#[inline]
pub fn signed(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    unsigned(out, value.unsigned_abs());
}

/// Nine digits: ns within a second.
#[inline]
pub fn nine(out: &mut Vec<u8>, value: u64) {
    out.push(digit(value / 100_000_000 % 10));
    let pairs = [pair(value / 1_000_000), pair(value / 10_000), pair(value / 100), pair(value)];
    out.extend_from_slice(pairs.as_flattened());
}

/// Decimal, filled up with zeros on the left to `width` digits.
#[inline]
pub fn padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut d = Digits::new();
    d.decimal(value);
    while LONGEST.saturating_sub(d.at) < width.min(LONGEST) {
        d.put(b'0');
    }
    d.flush(out);
}

/// Hexadecimal without prefix.
pub fn hex(out: &mut Vec<u8>, mut value: u64, upper: bool) {
    let digits: &[u8; 16] = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    let mut d = Digits::new();
    loop {
        let nibble = usize::try_from(value & 15).unwrap_or(0);
        d.put(digits.get(nibble).copied().unwrap_or(b'0'));
        value >>= 4;
        if value == 0 {
            break;
        }
    }
    d.flush(out);
}

/// Octal with a leading 0, as C's `%#o`: zero is one 0.
pub fn octal(out: &mut Vec<u8>, mut value: u64) {
    let mut d = Digits::new();
    loop {
        d.put(digit(value & 7));
        if value == 0 {
            break;
        }
        value >>= 3;
        if value == 0 {
            d.put(b'0');
            break;
        }
    }
    d.flush(out);
}

/// A number of `width` bytes whose bits are `value`, sign extended.
///
/// Numbers are printed as C's signed conversions print them, whatever their type: 32-bit and
/// 64-bit ones with the highest bit set are negative in decimal (upstream behaviour).
pub fn formatted(out: &mut Vec<u8>, value: i64, width: usize, format: PrintFormat) {
    let bits = value.cast_unsigned();
    let cut = if width >= 8 { bits } else { bits & 0xFFFF_FFFF };
    match format {
        PrintFormat::None | PrintFormat::Decimal => signed(out, value),
        PrintFormat::Hexadecimal => hex(out, cut, true),
        PrintFormat::Octal => octal(out, cut),
    }
}

/// The bits of an unsigned value as [`formatted`] takes them.
pub fn as_signed(value: u64, width: usize) -> i64 {
    match width {
        4 => u32::try_from(value).map_or(value.cast_signed(), |v| i64::from(v.cast_signed())),
        _ => value.cast_signed(),
    }
}

/// ns as seconds the way C's `%g` prints them: six significant digits, no trailing zeros, an
/// exponent below 0.0001 and from 1000000 on.
pub fn seconds_general(out: &mut Vec<u8>, ns: u64) {
    if ns == 0 {
        out.push(b'0');
        return;
    }
    // Six significant digits, rounded half to even on the decimal value, which is what printf does
    // up to the error of the division in binary.
    let length = ns.ilog10().saturating_add(1);
    let drop = length.saturating_sub(6);
    let unit = 10u64.saturating_pow(drop);
    let mut mantissa = ns.checked_div(unit).unwrap_or(0);
    let rest = ns.checked_rem(unit).unwrap_or(0);
    let half = unit / 2;
    if drop > 0 && (rest > half || (rest == half && mantissa & 1 == 1)) {
        mantissa = mantissa.saturating_add(1);
    }
    let mut scale = drop;
    while mantissa.is_multiple_of(10) {
        mantissa /= 10;
        scale = scale.saturating_add(1);
    }
    let mut d = Vec::with_capacity(8);
    unsigned(&mut d, mantissa);
    // value = mantissa * 10^(scale-9); exponent of its first digit:
    let exponent = i64::from(scale).saturating_add(i64::try_from(d.len()).unwrap_or(0)).saturating_sub(10);
    if !(-4..6).contains(&exponent) {
        point(out, &d, 1);
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        padded(out, exponent.unsigned_abs(), 2);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        for _ in 1..exponent.unsigned_abs() {
            out.push(b'0');
        }
        out.extend_from_slice(&d);
    } else {
        let whole = usize::try_from(exponent).unwrap_or(0).saturating_add(1);
        while d.len() < whole {
            d.push(b'0');
        }
        point(out, &d, whole);
    }
}

fn point(out: &mut Vec<u8>, digits: &[u8], whole: usize) {
    let (front, back) = digits.split_at_checked(whole).unwrap_or((digits, &[]));
    out.extend_from_slice(front);
    if !back.is_empty() {
        out.push(b'.');
        out.extend_from_slice(back);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn conversions_are_signed() {
        use PrintFormat as F;
        let f = |v, w, p| text(|o| formatted(o, v, w, p));
        assert_eq!(f(as_signed(u64::MAX, 8), 8, F::Decimal), "-1");
        assert_eq!(f(as_signed(0xFFFF_FFFF, 4), 4, F::Decimal), "-1");
        assert_eq!(f(as_signed(200, 1), 1, F::Decimal), "200");
        assert_eq!(f(-1, 4, F::Hexadecimal), "FFFFFFFF");
        assert_eq!(f(0xFE00, 4, F::Hexadecimal), "FE00");
        assert_eq!(f(0o644, 4, F::Octal), "0644");
        assert_eq!(f(0, 4, F::Octal), "0");
    }

    #[test]
    fn general_seconds() {
        let f = |v| text(|o| seconds_general(o, v));
        for (ns, wanted) in [
            (0, "0"),
            (1, "1e-09"),
            (1_000, "1e-06"),
            (100_000, "0.0001"),
            (500_000_000, "0.5"),
            (1_000_000_000, "1"),
            (1_234_567_890, "1.23457"),
            (12_000_000_000, "12"),
            (999_999_999_999_999, "1e+06"),
            (123_456_789_000_000_000, "1.23457e+08"),
        ] {
            assert_eq!(f(ns), wanted, "{ns}");
        }
    }

    proptest! {
        #[test]
        fn as_std_prints(v: i64, w in 0usize..12) {
            let bits = v.cast_unsigned();
            prop_assert_eq!(text(|o| signed(o, v)), v.to_string());
            prop_assert_eq!(text(|o| unsigned(o, bits)), bits.to_string());
            for small in [60, 57, 53, 50, 47, 43, 40, 37, 30, 20, 10].map(|n| bits >> n) {
                prop_assert_eq!(text(|o| unsigned(o, small)), small.to_string());
            }
            prop_assert_eq!(text(|o| nine(o, bits % 1_000_000_000)), format!("{:09}", bits % 1_000_000_000));
            prop_assert_eq!(text(|o| padded(o, bits >> 40, w)), format!("{:01$}", bits >> 40, w));
            prop_assert_eq!(text(|o| hex(o, bits, true)), format!("{bits:X}"));
            prop_assert_eq!(text(|o| hex(o, bits, false)), format!("{bits:x}"));
            if v != 0 {
                prop_assert_eq!(text(|o| octal(o, bits)), format!("0{bits:o}"));
            }
        }
    }
}
