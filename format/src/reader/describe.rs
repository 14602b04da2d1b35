//! Names what was given instead of a capture.

/// What an input that is no capture looks like, in words.
pub(super) fn describe(bytes: &[u8]) -> String {
    const MAGICS: &[(&[u8], &str)] = &[
        (&[0xD4, 0xC3, 0xB2, 0xA1], "a pcap file of network packets"),
        (&[0xA1, 0xB2, 0xC3, 0xD4], "a pcap file of network packets"),
        (&[0x4D, 0x3C, 0xB2, 0xA1], "a pcap file of network packets"),
        (b"\x7fELF", "an ELF object"),
        (b"PK\x03\x04", "a zip archive"),
        (b"BZh", "bzip2-compressed data"),
        (&[0xFD, b'7', b'z', b'X', b'Z'], "xz-compressed data"),
        (b"PERFILE2", "a perf.data file"),
    ];
    if let Some((_, what)) = MAGICS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        return (*what).to_owned();
    }
    let head = bytes.get(..bytes.len().min(64)).unwrap_or_default();
    let printable = |b: &u8| b.is_ascii_graphic() || b.is_ascii_whitespace();
    if head.iter().all(printable) {
        let line = head.split(|b| *b == b'\n').next().unwrap_or_default();
        let line = line.get(..line.len().min(32)).unwrap_or_default();
        return format!("text ({:?})", String::from_utf8_lossy(line));
    }
    let hex: Vec<String> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("bytes {}", hex.join(" "))
}
