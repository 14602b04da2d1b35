//! I/O data as text (output-format section 4).
//!
//! No mode emits a control byte other than `\n` and `\t`.

/// How I/O data is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BufferMode {
    /// One line: what is not printable ASCII becomes `.`.
    #[default]
    Normal,
    /// `-A`: printable characters and line ends only, starting on a new line.
    Ascii,
    /// As [`BufferMode::Ascii`] without the leading line end (chisels).
    AsciiCompact,
    /// `-x`: hexadecimal dump.
    Hex,
    /// `-X`: hexadecimal dump with characters.
    HexAscii,
    /// `-b`: base64.
    Base64,
}

/// Bytes shown in normal mode unless everything is asked for.
pub const CUT: usize = 80;

fn printable(b: u8) -> bool {
    (0x20..0x7F).contains(&b)
}

/// Appends data. `cut` limits normal mode: longer data ends in `...`.
pub fn buffer(out: &mut Vec<u8>, data: &[u8], mode: BufferMode, cut: Option<usize>) {
    match mode {
        BufferMode::Normal => normal(out, data, cut),
        BufferMode::Ascii => {
            out.push(b'\n');
            ascii(out, data);
        }
        BufferMode::AsciiCompact => ascii(out, data),
        BufferMode::Hex => dump(out, data, false),
        BufferMode::HexAscii => dump(out, data, true),
        BufferMode::Base64 => base64(out, data),
    }
}

fn normal(out: &mut Vec<u8>, data: &[u8], cut: Option<usize>) {
    let shown = match cut {
        Some(limit) if data.len() > limit => data.get(..limit.saturating_sub(3)).unwrap_or(data),
        _ => data,
    };
    let start = out.len();
    out.extend_from_slice(shown);
    // In place: this way the compiler does many bytes at once.
    for b in out.get_mut(start..).unwrap_or_default() {
        if !printable(*b) {
            *b = b'.';
        }
    }
    if shown.len() < data.len() {
        out.extend_from_slice(b"...");
    }
}

fn ascii(out: &mut Vec<u8>, data: &[u8]) {
    let mut before = None;
    for b in data {
        match *b {
            b'\r' => out.push(b'\n'),
            b'\n' if before.is_some_and(|p| p != b'\r') => out.push(b'\n'),
            b if printable(b) => out.push(b),
            _ => {}
        }
        before = Some(*b);
    }
}

fn nibble(out: &mut Vec<u8>, n: u8) {
    out.push(match n & 15 {
        d @ 0..=9 => b'0' | d,
        d => b'a'.wrapping_add(d.wrapping_sub(10)),
    });
}

fn byte(out: &mut Vec<u8>, b: u8) {
    nibble(out, b >> 4);
    nibble(out, b);
}

fn dump(out: &mut Vec<u8>, data: &[u8], characters: bool) {
    for (row, bytes) in data.chunks(16).enumerate() {
        let offset = row.saturating_mul(16);
        out.extend_from_slice(b"\n\t0x");
        for shift in [28u32, 24, 20, 16, 12, 8, 4, 0] {
            // At least four digits.
            let rest = offset.checked_shr(shift).unwrap_or(0);
            if shift < 16 || rest > 0 {
                nibble(out, rest.to_le_bytes()[0]);
            }
        }
        out.push(b':');
        let start = out.len();
        for pair in bytes.chunks(2) {
            out.push(b' ');
            for b in pair {
                byte(out, *b);
            }
        }
        if characters {
            let width = start.saturating_add(40);
            while out.len() < width {
                out.push(b' ');
            }
            out.extend_from_slice(b"  ");
            normal(out, bytes, None);
        }
    }
    out.push(b'\n');
}

fn base64(out: &mut Vec<u8>, data: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in data.chunks(3) {
        let mut bits = 0u32;
        for i in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0));
        }
        for (i, shift) in [18u32, 12, 6, 0].into_iter().enumerate() {
            let at = bits.checked_shr(shift).unwrap_or(0) & 63;
            out.push(if i <= chunk.len() { ALPHABET.get(at as usize).copied().unwrap_or(b'=') } else { b'=' });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(data: &[u8], mode: BufferMode) -> String {
        let mut out = Vec::new();
        buffer(&mut out, data, mode, Some(CUT));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn normal_mode() {
        assert_eq!(text(b"\x7fELF \xff\n", BufferMode::Normal), ".ELF ..");
        assert_eq!(text(&[b'a'; 80], BufferMode::Normal), "a".repeat(80));
        assert_eq!(text(&[b'a'; 81], BufferMode::Normal), format!("{}...", "a".repeat(77)));
    }

    #[test]
    fn ascii_mode() {
        assert_eq!(text(b"a\r\nb\n\x1bc\rd", BufferMode::Ascii), "\na\nb\nc\nd");
        assert_eq!(text(b"\na", BufferMode::Ascii), "\na");
        assert_eq!(text(b"\na\n", BufferMode::AsciiCompact), "a\n");
    }

    #[test]
    fn dumps() {
        let data: Vec<u8> = (0x40..0x53).collect();
        insta::assert_snapshot!(text(&data, BufferMode::Hex).replace('\t', "<TAB>"), @r"

        <TAB>0x0000: 4041 4243 4445 4647 4849 4a4b 4c4d 4e4f
        <TAB>0x0010: 5051 52
        ");
        insta::assert_snapshot!(text(&data, BufferMode::HexAscii).replace('\t', "<TAB>"), @r"

        <TAB>0x0000: 4041 4243 4445 4647 4849 4a4b 4c4d 4e4f  @ABCDEFGHIJKLMNO
        <TAB>0x0010: 5051 52                                  PQR
        ");
    }

    #[test]
    fn base64_mode() {
        for (data, wanted) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foobar", "Zm9vYmFy")] {
            assert_eq!(text(data.as_bytes(), BufferMode::Base64), wanted);
        }
    }
}
