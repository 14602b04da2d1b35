//! What a parameter must hold, and the comparison.

use scapkit_format::schema::ParamType;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};

/// What one parameter must hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Check {
    /// A number, in the parameter's width.
    Int(i64),
    /// A number in a closed range, where the exact one cannot be known from outside the kernel.
    Range(u64, u64),
    /// Exactly these bytes.
    Bytes(Vec<u8>),
    /// Bytes and kernel addresses, one after another.
    Parts(Vec<Part>),
}

/// A piece of a parameter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Part {
    /// Exactly these bytes.
    Raw(Vec<u8>),
    /// A kernel address: not 0, and the same wherever the label is the same, different where it is not
    /// and both are in one event.
    Address(String),
}

/// Kernel addresses by label. They are used again for what is made later, so different labels need not differ, but in
/// one event.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    known: BTreeMap<String, u64>,
    /// Those of the event at hand.
    now: Vec<(String, u64)>,
}

impl Addresses {
    /// Begins with another event.
    pub fn next_event(&mut self) {
        self.now.clear();
    }
}

impl Check {
    /// Compares. `Err` says what is wrong.
    pub fn compare(&self, kind: ParamType, got: &[u8], addresses: &mut Addresses) -> Result<(), String> {
        match self {
            Check::Int(want) => {
                let n = number(kind, got)?;
                let width = got.len() * 8;
                let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
                let want = *want as u64 & mask;
                if n == want { Ok(()) } else { Err(format!("{n} ({n:#x}) instead of {want} ({want:#x})")) }
            }
            Check::Range(low, high) => {
                let n = number(kind, got)?;
                if (*low..=*high).contains(&n) { Ok(()) } else { Err(format!("{n} is not in {low}..={high}")) }
            }
            Check::Bytes(want) => same(got, want),
            Check::Parts(parts) => {
                let mut rest = got;
                for part in parts {
                    let length = if let Part::Raw(raw) = part { raw.len() } else { 8 };
                    let Some((piece, after)) = rest.split_at_checked(length) else {
                        return Err(format!("{} ends before {part:?}", show(got)));
                    };
                    rest = after;
                    match part {
                        Part::Raw(raw) => same(piece, raw)?,
                        Part::Address(label) => address(label, piece, addresses)?,
                    }
                }
                if rest.is_empty() { Ok(()) } else { Err(format!("{} follow {parts:?}", show(rest))) }
            }
        }
    }
}

fn same(got: &[u8], want: &[u8]) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("{} instead of {}", show(got), show(want))) }
}

fn address(label: &str, piece: &[u8], addresses: &mut Addresses) -> Result<(), String> {
    let n = piece.iter().rev().fold(0_u64, |n, b| n << 8 | u64::from(*b));
    if n == 0 {
        return Err(format!("the address of {label} is 0"));
    }
    if let Some((other, _)) = addresses.now.iter().find(|(l, a)| *a == n && l != label) {
        return Err(format!("{label} has the address {n:#x} of {other}"));
    }
    addresses.now.push((label.to_owned(), n));
    match addresses.known.insert(label.to_owned(), n) {
        Some(before) if before != n => Err(format!("{label} is at {n:#x}, and was at {before:#x}")),
        _ => Ok(()),
    }
}

fn number(kind: ParamType, got: &[u8]) -> Result<u64, String> {
    if kind.fixed_size() != Some(got.len()) {
        return Err(format!("{} bytes for a {}", got.len(), kind.name()));
    }
    Ok(got.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// Bytes for a message: text with escapes, shortened.
pub fn show(bytes: &[u8]) -> String {
    let head = bytes.get(..120).unwrap_or(bytes);
    let more = if head.len() < bytes.len() { "..." } else { "" };
    format!("[{}] \"{}{more}\"", bytes.len(), head.escape_ascii())
}

macro_rules! numbers {
    ($($t:ty)*) => { $(impl From<$t> for Check { fn from(n: $t) -> Self { Check::Int(n as i64) } })* };
}
numbers!(i64 i32 u32 u64 usize u16 u8);

/// A string parameter: with its NUL.
impl From<&CString> for Check {
    fn from(text: &CString) -> Self {
        Check::Bytes(text.as_bytes_with_nul().to_vec())
    }
}

impl From<&CStr> for Check {
    fn from(text: &CStr) -> Self {
        Check::Bytes(text.to_bytes_with_nul().to_vec())
    }
}

impl From<&[u8]> for Check {
    fn from(bytes: &[u8]) -> Self {
        Check::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Check {
    fn from(bytes: Vec<u8>) -> Self {
        Check::Bytes(bytes)
    }
}

impl From<std::ops::RangeInclusive<u64>> for Check {
    fn from(range: std::ops::RangeInclusive<u64>) -> Self {
        Check::Range(*range.start(), *range.end())
    }
}

/// The empty parameter.
pub const EMPTY: &[u8] = &[];
