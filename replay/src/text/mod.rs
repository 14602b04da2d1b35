//! Events as text (output-format section 4), in two dialects.
//!
//! All functions append to a buffer of the caller, so that a line costs no allocation.

mod argument;
pub mod buffers;
pub mod errno;
pub mod escape;
pub mod flags;
pub mod numbers;
pub mod services;
pub mod sockets;
pub mod time;

#[cfg(test)]
mod tests;

pub use argument::{argument, info, resolved_argument};
pub(crate) use argument::{double, joined, shown, type_char};
pub use buffers::{BufferMode, CUT};
pub use time::Zone;

/// Whose text is written. The table that an event is printed by ([`crate::Context::info`]) makes
/// most of the difference; this is the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Debian's sysdig 0.29.3, for events as recorded.
    #[default]
    Sysdig,
    /// libs HEAD, for events of the current schema.
    Libs,
}

/// What strings become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Safe to print, by the rule of [`escape`].
    Line,
    /// As they are: for comparison, and for output that has its own escapes.
    Raw,
}

/// Where text goes.
#[derive(Debug)]
pub struct Sink<'o> {
    /// Text is appended here.
    pub out: &'o mut Vec<u8>,
    /// What strings become.
    pub style: Style,
}

impl Sink<'_> {
    /// Appends a string that a program wrote.
    #[inline]
    pub fn string(&mut self, text: &[u8]) {
        let start = self.out.len();
        self.out.extend_from_slice(text);
        self.finish(start);
    }

    /// Appends text of ours.
    #[inline]
    pub fn plain(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// Applies the style to what was appended from `start` on.
    #[inline]
    pub fn finish(&mut self, start: usize) {
        if self.style == Style::Line {
            escape::sanitise(self.out, start);
        }
    }
}
