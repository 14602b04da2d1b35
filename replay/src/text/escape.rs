//! The one place that keeps what a program wrote into its names from reaching a terminal.
//!
//! Names, paths and arguments are bytes that the recorded programs chose. Printed as they are they
//! could move the cursor, set the window's title, or forge further lines. The rule, for every
//! string in line output:
//!
//! * valid UTF-8 is kept, including the backslash (nothing is doubled: the text is for reading;
//!   JSON output is the lossless form);
//! * control characters (below 0x20, 0x7f, U+0080 to U+009F) and characters that reorder or break
//!   lines (U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069) become `\n`, `\t`, `\r`,
//!   `\x1b` or `\u{202e}`;
//! * bytes that are no UTF-8 become `\xff`.
//!
//! Upstream prints strings raw (libs HEAD) or drops what is not printable (2022). I/O buffers have
//! their own rule, see [`super::buffers`]; they never contain control bytes but `\n` and `\t`.

use std::cell::Cell;

/// Bytes kept for the next text that has to be rewritten.
const KEEP: usize = 64 << 10;

/// Makes what was appended to `out` from `start` on harmless. Costs one scan when it already is.
#[inline]
pub fn sanitise(out: &mut Vec<u8>, start: usize) {
    let tail = out.get(start..).unwrap_or_default();
    if !all(tail, |b| (0x20..0x7F).contains(&b)) {
        sanitise_slow(out, start);
    }
}

/// Whether all bytes are of a kind. Looks at all of them, which the compiler can do many at once.
#[inline]
fn all(bytes: &[u8], is: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |all, b| all & is(*b))
}

#[cold]
fn sanitise_slow(out: &mut Vec<u8>, start: usize) {
    rewrite(out, start, escaped);
}

thread_local! {
    /// Text that is being rewritten; used again.
    static TAIL: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Replaces what was appended to `out` from `start` on.
fn rewrite(out: &mut Vec<u8>, start: usize, with: fn(&mut Vec<u8>, &[u8])) {
    let mut tail = TAIL.take();
    tail.clear();
    tail.extend_from_slice(out.get(start..).unwrap_or_default());
    out.truncate(start);
    with(out, &tail);
    tail.shrink_to(KEEP);
    TAIL.set(tail);
}

/// Appends a string by the module's rule.
pub fn escaped(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\0'..='\x1f' | '\x7f' => byte(out, c as u8),
                c if unprintable(c) => {
                    out.extend_from_slice(b"\\u{");
                    super::numbers::hex(out, u64::from(u32::from(c)), false);
                    out.push(b'}');
                }
                _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for b in chunk.invalid() {
            byte(out, *b);
        }
    }
}

/// Characters beyond ASCII that control a terminal, reorder text or break lines.
fn unprintable(c: char) -> bool {
    matches!(
        c,
        '\u{80}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

fn byte(out: &mut Vec<u8>, b: u8) {
    out.extend_from_slice(b"\\x");
    if b < 16 {
        out.push(b'0');
    }
    super::numbers::hex(out, u64::from(b), false);
}

/// Makes a JSON string's inside of what was appended to `out` from `start` on. What the module's rule
/// names becomes `\u001b`; bytes that are no UTF-8 become lone surrogates `\udc80` to `\udcff`, so that
/// nothing is lost (Python's `surrogateescape` gives the same).
#[inline]
#[allow(clippy::needless_bitwise_bool)] // no branch per byte
pub fn json(out: &mut Vec<u8>, start: usize) {
    let tail = out.get(start..).unwrap_or_default();
    if !all(tail, |b| (0x20..0x7F).contains(&b) & (b != b'"') & (b != b'\\')) {
        rewrite(out, start, json_escaped);
    }
}

/// Appends the inside of a JSON string.
pub fn json_escaped(out: &mut Vec<u8>, text: &[u8]) {
    if all(text, |b| (0x20..0x7F).contains(&b)) {
        // Quotes in text that is otherwise plain: what is between them is copied at once.
        for piece in text.split_inclusive(|b| matches!(b, b'"' | b'\\')) {
            match piece.split_last() {
                Some((b @ (b'"' | b'\\'), before)) => {
                    out.extend_from_slice(before);
                    out.extend_from_slice(&[b'\\', *b]);
                }
                _ => out.extend_from_slice(piece),
            }
        }
        return;
    }
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\0'..='\x1f' | '\x7f' => unit(out, u16::from(c as u8)),
                c if unprintable(c) => unit(out, u16::try_from(u32::from(c)).unwrap_or(0)),
                _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for b in chunk.invalid() {
            unit(out, 0xDC00 | u16::from(*b));
        }
    }
}

fn unit(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        super::numbers::hex(out, u64::from((value >> shift) & 15), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(s: &[u8]) -> String {
        let mut out = b"\x1b:".to_vec();
        out.extend_from_slice(s);
        sanitise(&mut out, 2);
        String::from_utf8(out.split_off(2)).unwrap()
    }

    fn inside(s: &[u8]) -> String {
        let mut out = s.to_vec();
        json(&mut out, 0);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings() {
        assert_eq!(text(b"/etc/passwd \\ \"x\""), "/etc/passwd \\ \"x\"");
        assert_eq!(text(b"a\x1b[2J\nb\t\r\x00\x7f"), "a\\x1b[2J\\nb\\t\\r\\x00\\x7f");
        assert_eq!(text("\u{9b}2J é 😀 \u{202e}".as_bytes()), "\\u{9b}2J é 😀 \\u{202e}");
        assert_eq!(text(b"a\xff\xfe\x9b"), "a\\xff\\xfe\\x9b");
    }

    #[test]
    fn json_strings() {
        assert_eq!(inside(b"a\"b\\c\n\x1b\x7f"), r#"a\"b\\c\u000a\u001b\u007f"#);
        assert_eq!(inside("\u{9b}\u{202e}é".as_bytes()), "\\u009b\\u202eé");
        assert_eq!(inside(b"\xff\x80\xc3\xa9"), "\\udcff\\udc80é");
    }

    proptest! {
        #[test]
        fn nothing_but_printable_text(s in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(text(&s).chars().all(|c| !c.is_control()));
            prop_assert!(inside(&s).chars().all(|c| !c.is_control()));
        }
    }
}
