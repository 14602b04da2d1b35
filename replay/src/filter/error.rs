//! What is wrong with a filter, shown in place.

use std::fmt;

/// Why a text is no filter. `Display` gives one line; [`FilterError::shown`] also the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    /// What is wrong and what was expected.
    pub message: String,
    /// Where: bytes from the start.
    pub offset: usize,
    /// Bytes that are wrong there; 0 where something is missing.
    pub len: usize,
    /// Line, from 1. Carriage return and line feed each end one, as upstream counts.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// The known name that is nearest to what stands there.
    pub nearest: Option<&'static str>,
}

impl FilterError {
    pub(super) fn new(text: &[u8], span: std::ops::Range<usize>, message: impl Into<String>) -> Self {
        let before = text.get(..span.start).unwrap_or(text);
        let is_end = |b: &&u8| matches!(b, b'\n' | b'\r');
        let line = before.iter().filter(is_end).count().saturating_add(1);
        let column = before.iter().rev().take_while(|b| !is_end(b)).count().saturating_add(1);
        let len = span.end.saturating_sub(span.start);
        FilterError { message: message.into(), offset: span.start, len, line, column, nearest: None }
    }

    pub(super) fn near(mut self, name: Option<&'static str>) -> Self {
        self.nearest = name;
        self
    }

    /// The message, the line of the filter that it is about, and a caret under the place. Long lines
    /// are cut around it.
    pub fn shown(&self, filter: &str) -> String {
        const AROUND: usize = 60;
        let start = filter.get(..self.offset).and_then(|b| b.rfind(['\n', '\r'])).map_or(0, |at| at.saturating_add(1));
        let rest = filter.get(start..).unwrap_or_default();
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        let at = line.get(..self.offset.saturating_sub(start)).unwrap_or(line).chars().count();
        let first = at.saturating_sub(AROUND);
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        let part: String = line.chars().skip(first).take(2 * AROUND).map(visible).collect();
        let (cut, more) = (if first > 0 { "..." } else { "" }, line.chars().count() > first.saturating_add(2 * AROUND));
        let indent = at.saturating_sub(first).saturating_add(cut.len());
        let carets = self.len.clamp(1, AROUND);
        let more = if more { "..." } else { "" };
        format!("{self}\n  {cut}{part}{more}\n  {:indent$}{}", "", "^".repeat(carets))
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filter error at index {}, line {}, column {}: ", self.offset, self.line, self.column)?;
        f.write_str(&self.message)?;
        match self.nearest {
            Some(name) => write!(f, "; did you mean {name}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FilterError {}
