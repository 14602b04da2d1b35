//! Where values are made while a filter looks at an event: memory that is used again for the next.

use std::ops::Range;

/// Text and lists being made. Nothing is allocated once it has grown to what a capture needs.
#[derive(Debug, Default, Clone)]
pub(crate) struct Stack {
    /// Text.
    pub text: Vec<u8>,
    /// Items of lists: where they stand in the text.
    pub items: Vec<Range<usize>>,
    /// For decoding.
    pub spare: Vec<u8>,
}

impl Stack {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.text.clear();
        self.items.clear();
    }

    /// Text that was made.
    pub fn get(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }
}

/// A value at an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Datum<'v> {
    /// Text of the event or of the state.
    Text(&'v [u8]),
    /// Text on the stack.
    Made(Range<usize>),
    /// Any number.
    Number(i128),
    /// A floating point number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// An address.
    Ipv4([u8; 4]),
    /// An address.
    Ipv6([u8; 16]),
    /// Items on the stack.
    List(Range<usize>),
}

impl<'v> Datum<'v> {
    /// The text, if it is one.
    pub fn text<'s>(&self, stack: &'s Stack) -> Option<&'s [u8]>
    where
        'v: 's,
    {
        match self {
            Datum::Text(text) => Some(text),
            Datum::Made(range) => Some(stack.get(range)),
            _ => None,
        }
    }
}

/// The string that C would see: up to the first NUL.
#[inline]
pub(crate) fn c_string(bytes: &[u8]) -> &[u8] {
    match memchr::memchr(0, bytes) {
        Some(nul) => bytes.get(..nul).unwrap_or(bytes),
        None => bytes,
    }
}
