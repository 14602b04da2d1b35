//! Mounts of a mount namespace: which device a mount id is of, and what an overlay lies over (os-state 1.6, 2.2).

use super::parse::{lines, number, words};
use std::collections::HashMap;

/// A line of `mountinfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MountLine<'a> {
    /// Mount id.
    pub id: u64,
    /// Device of the file system, encoded as captures have it.
    pub dev: u32,
    /// Directory of the file system that is mounted; escaped.
    pub root: &'a [u8],
    /// Where; escaped.
    pub point: &'a [u8],
    /// Type of the file system.
    pub kind: &'a [u8],
    /// Options of the file system; escaped.
    pub options: &'a [u8],
}

/// A device number as captures have it: the kernel's own encoding in 32 bits.
pub fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// Parses a line of `mountinfo`. The fields before ` - ` vary in number.
pub fn mount_line(line: &[u8]) -> Option<MountLine<'_>> {
    let mut fields = words(line);
    let id = number(fields.next()?)?;
    let dev = fields.nth(1)?;
    let colon = dev.iter().position(|b| *b == b':')?;
    let part = |text: Option<&[u8]>| text.and_then(number).and_then(|n| u32::try_from(n).ok());
    let dev = device(part(dev.get(..colon))?, part(dev.get(colon.checked_add(1)?..))?);
    let (root, point) = (fields.next()?, fields.next()?);
    let mut rest = fields.skip_while(|w| *w != b"-").skip(1);
    let kind = rest.next()?;
    let options = rest.nth(1).unwrap_or_default();
    Some(MountLine { id, dev, root, point, kind, options })
}

/// A text in which blanks and backslashes stand as three octal digits after a backslash.
pub fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.first_chunk::<3>().filter(|d| *first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        if let Some(value) = octal.and_then(|d| super::parse::digits(d, 8)).and_then(|v| u8::try_from(v).ok()) {
            out.push(value);
            rest = after.get(3..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

/// What is known of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Device of the file system.
    pub dev: u32,
    /// Whether the file system itself cannot be written.
    pub read_only: bool,
    /// For an overlay: where it is mounted, and its upper directory if it has one.
    pub overlay: Option<Overlay>,
}

/// An overlay mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Directory of the overlay that is mounted, `/` usually.
    pub root: Vec<u8>,
    /// Where it is mounted.
    pub point: Vec<u8>,
    /// Upper directory as given to mount; empty when it has none (read-only overlays).
    pub upper: Vec<u8>,
}

/// The mounts of a namespace by mount id.
#[derive(Debug, Default)]
pub struct Mounts(HashMap<u64, Mount>);

impl Mounts {
    /// Parses `mountinfo`.
    pub fn new(text: &[u8]) -> Self {
        let mut mounts = HashMap::new();
        for m in lines(text).filter_map(mount_line) {
            let mut options = m.options.split(|b| *b == b',');
            let read_only = options.clone().any(|o| o == b"ro");
            let overlay = (m.kind == b"overlay").then(|| Overlay {
                root: unescape(m.root),
                point: unescape(m.point),
                upper: options.find_map(|o| o.strip_prefix(b"upperdir=")).map(unescape).unwrap_or_default(),
            });
            mounts.insert(m.id, Mount { dev: m.dev, read_only, overlay });
        }
        Mounts(mounts)
    }

    /// A mount, if it is one of the namespace: detached ones and those of the kernel are not.
    pub fn get(&self, id: u64) -> Option<&Mount> {
        self.0.get(&id)
    }
}
