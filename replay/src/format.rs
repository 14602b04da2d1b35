//! Output formats: `*%evt.num %proc.name (%thread.tid) %evt.info` (output-format sections 1 and 2).

use crate::Context;
use crate::fields::{self, Arg, Field, Refused, Traits};
use crate::filter::operand::{self, Operand};
use crate::filter::{FilterError, ast, parse};
use crate::text::{Sink, Style, escape};
use std::fmt;

/// The line that sysdig prints by default.
pub const DEFAULT_LINE: &str =
    "*%evt.num %evt.outputtime %evt.cpu %proc.name (%thread.tid) %evt.dir %evt.type %evt.info";

/// What JSON objects hold by default: the fields of [`DEFAULT_LINE`].
pub const DEFAULT_JSON: &str = DEFAULT_LINE;

/// Widest field.
const MAX_WIDTH: usize = 4096;

/// A compiled format.
///
/// ```
/// use scapkit_replay::Format;
/// let format = Format::compile("*%evt.num %20proc.name %evt.arg.name")?;
/// assert_eq!(format.fields().collect::<Vec<_>>(), ["evt.num", "proc.name", "evt.arg.name"]);
/// let error = Format::compile("%evt.num %proc.nam").unwrap_err();
/// assert_eq!(error.column, 11);
/// assert_eq!(error.nearest, Some("proc.name"));
/// # Ok::<(), scapkit_replay::FormatError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Format {
    /// Lines are printed even if fields are missing.
    complete: bool,
    coloured: bool,
    segments: Vec<Segment>,
    /// JSON keys, escaped and followed by a colon, sorted by name; and the value of each.
    keys: Vec<(String, Shows)>,
}

#[derive(Debug, Clone)]
enum Segment {
    Literal(Box<str>),
    Shown(Shown),
}

#[derive(Debug, Clone)]
struct Shown {
    value: Shows,
    /// As it stands in the format.
    text: Box<str>,
    /// Exact width: filled up with spaces or cut.
    width: Option<usize>,
}

/// What a segment shows.
#[derive(Debug, Clone)]
enum Shows {
    Field(&'static Field, Arg),
    Made(Box<Operand>),
}

impl Shows {
    /// Appends the value as text; false when there is none.
    fn text(&self, cx: &Context<'_>, sink: &mut Sink<'_>) -> bool {
        match self {
            Shows::Field(field, arg) => field.text(cx, arg, sink),
            Shows::Made(operand) => operand.text(cx, sink),
        }
    }

    fn json(&self, cx: &Context<'_>, out: &mut Vec<u8>) {
        match self {
            Shows::Field(field, arg) => field.json(cx, arg, out),
            Shows::Made(operand) => operand.json(cx, out),
        }
    }

    fn colour(&self) -> &'static str {
        match self {
            Shows::Field(field, _) => field.colour,
            Shows::Made(_) => "",
        }
    }
}

/// What is wrong with a format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    /// Where, in characters from 1.
    pub column: usize,
    /// What.
    pub kind: FormatErrorKind,
    /// The known field whose name is nearest to what stands there.
    pub nearest: Option<&'static str>,
}

/// Kinds of [`FormatError`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatErrorKind {
    /// Nothing to print.
    Empty,
    /// The format ends where a field was expected: after `%` or after a width.
    EndsEarly,
    /// A width of more than 4096.
    Width,
    /// No field of that name.
    UnknownField(String),
    /// A field that can only be compared.
    FilterOnly(&'static str),
    /// A field whose argument is missing or wrong, and what was expected.
    Argument(&'static str, &'static str),
    /// A transformer that does not fit; what is wrong with it.
    Transformer(String),
}

impl FormatError {
    /// A name for programs that does not change.
    pub fn code(&self) -> &'static str {
        match self.kind {
            FormatErrorKind::Empty => "format-empty",
            FormatErrorKind::EndsEarly => "format-ends-early",
            FormatErrorKind::Width => "format-width",
            FormatErrorKind::UnknownField(_) => "format-unknown-field",
            FormatErrorKind::FilterOnly(_) => "format-filter-only-field",
            FormatErrorKind::Argument(..) => "format-argument",
            FormatErrorKind::Transformer(_) => "format-transformer",
        }
    }
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output format, column {}: ", self.column)?;
        match &self.kind {
            FormatErrorKind::Empty => f.write_str("the format is empty; fields were expected, such as %evt.num"),
            FormatErrorKind::EndsEarly => f.write_str("the format ends here; the name of a field was expected"),
            FormatErrorKind::Width => write!(f, "a field can be at most {MAX_WIDTH} wide"),
            FormatErrorKind::UnknownField(text) if text.is_empty() => {
                f.write_str("the name of a field was expected after '%'")
            }
            FormatErrorKind::UnknownField(text) => write!(f, "'{text}' is not the name of a field"),
            FormatErrorKind::FilterOnly(name) => write!(f, "field {name} can be used in filters only"),
            FormatErrorKind::Argument(name, wanted) => write!(f, "after field {name}, {wanted} was expected"),
            FormatErrorKind::Transformer(message) => f.write_str(message),
        }?;
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FormatError {}

impl Format {
    /// Compiles a format. A leading `*` prints lines that lack fields, with `<NA>` for these. `%`
    /// starts a field, optionally after a width; what follows a field's longest name is text.
    ///
    /// # Errors
    /// [`FormatError`], with the place and what was expected there.
    pub fn compile(format: &str) -> Result<Format, FormatError> {
        let at = |rest: &str| {
            let before = format.len().saturating_sub(rest.len());
            format.get(..before).unwrap_or_default().chars().count().saturating_add(1)
        };
        let fail = |rest: &str, kind, nearest| Err(FormatError { column: at(rest), kind, nearest });
        let (complete, mut rest) = match format.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, format),
        };
        if rest.is_empty() {
            return fail(rest, FormatErrorKind::Empty, None);
        }
        let mut segments = Vec::new();
        let mut parts: Vec<Shown> = Vec::new();
        while let Some((literal, after)) = rest.split_once('%') {
            if !literal.is_empty() {
                segments.push(Segment::Literal(literal.into()));
            }
            let start = after.trim_start_matches(|c: char| c.is_ascii_digit());
            let digits = after.get(..after.len().saturating_sub(start.len())).unwrap_or_default();
            if start.is_empty() {
                return fail(start, FormatErrorKind::EndsEarly, None);
            }
            let width = match digits.parse::<usize>() {
                _ if digits.is_empty() => None,
                Ok(width) if width <= MAX_WIDTH => Some(width),
                _ => return fail(after, FormatErrorKind::Width, None),
            };
            match transformed(start) {
                Some(Ok((operand, fields, len))) => {
                    let (text, after) = start.split_at_checked(len).unwrap_or((start, ""));
                    segments.push(Segment::Shown(Shown {
                        value: Shows::Made(operand.into()),
                        text: text.into(),
                        width,
                    }));
                    parts.extend(fields);
                    rest = after;
                    continue;
                }
                Some(Err((offset, message))) => {
                    return fail(start.get(offset..).unwrap_or_default(), FormatErrorKind::Transformer(message), None);
                }
                None => {}
            }
            match fields::parse_prefix(start) {
                Ok(named) if named.field.traits.has(Traits::FILTER_ONLY) => {
                    return fail(start, FormatErrorKind::FilterOnly(named.field.name), None);
                }
                Ok(named) => {
                    let (text, after) = start.split_at_checked(named.len).unwrap_or((start, ""));
                    let value = Shows::Field(named.field, named.arg);
                    let shown = Shown { value, text: text.into(), width };
                    segments.push(Segment::Shown(shown));
                    rest = after;
                }
                Err(refused) => {
                    let (kind, nearest) = explain(&refused, start);
                    // An argument is missing behind the name.
                    let name = if let FormatErrorKind::Argument(name, _) = kind { name.len() } else { 0 };
                    return fail(start.get(name..).unwrap_or_default(), kind, nearest);
                }
            }
        }
        if !rest.is_empty() {
            segments.push(Segment::Literal(rest.into()));
        }
        let keys = keys(&segments, parts);
        Ok(Format { complete, coloured: false, segments, keys })
    }

    /// The same with colours in lines (names, types, times), for terminals. JSON has none.
    #[must_use]
    pub fn coloured(mut self) -> Format {
        self.coloured = true;
        self
    }

    /// The fields' texts in the order of the format.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|s| match s {
            Segment::Shown(shown) => Some(&*shown.text),
            Segment::Literal(_) => None,
        })
    }

    /// Appends the event's line, without an end of line. False, with nothing appended, when a field
    /// is missing and the format does not start with `*`: the line is not printed.
    ///
    /// Strings that programs wrote contain no control characters afterwards.
    pub fn line(&self, cx: &Context<'_>, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Segment::Shown(shown) => {
                    if !self.shown(shown, cx, out) {
                        out.truncate(start);
                        return false;
                    }
                }
            }
        }
        true
    }

    #[inline]
    fn shown(&self, shown: &Shown, cx: &Context<'_>, out: &mut Vec<u8>) -> bool {
        let colour = shown.value.colour();
        let coloured = self.coloured && !colour.is_empty();
        if coloured {
            out.extend_from_slice(b"\x1b[");
            out.extend_from_slice(colour.as_bytes());
            out.push(b'm');
        }
        let start = out.len();
        if !shown.value.text(cx, &mut Sink { out, style: Style::Line }) {
            if !self.complete {
                return false;
            }
            out.extend_from_slice(b"<NA>");
        }
        if let Some(width) = shown.width {
            fit(out, start, width);
        }
        if coloured {
            out.extend_from_slice(b"\x1b[00m");
        }
        true
    }

    /// Appends the event as a JSON object, without an end of line: a key for every field of the
    /// format and for the fields in its transformers, sorted; `null` for what the event does not have. Numbers are numbers, times are ns.
    pub fn json(&self, cx: &Context<'_>, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        for (key, value) in &self.keys {
            if !first {
                out.push(b',');
            }
            first = false;
            out.extend_from_slice(key.as_bytes());
            value.json(cx, out);
        }
        out.push(b'}');
    }
}

/// What to tell about a field that could not be had.
fn explain(refused: &Refused, text: &str) -> (FormatErrorKind, Option<&'static str>) {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
    let rest = text.trim_start_matches(name);
    let word = text.get(..text.len().saturating_sub(rest.len())).unwrap_or_default();
    match *refused {
        Refused::Unknown => {
            // A sentence's last point is no part of a name.
            let word = word.trim_end_matches('.');
            (FormatErrorKind::UnknownField(word.into()), fields::nearest(word))
        }
        Refused::Argument(name, wanted) => (FormatErrorKind::Argument(name, wanted), None),
    }
}

/// The transformer that a text starts with, if it is one, the fields in it, and its length; or where
/// it is wrong, and why.
#[allow(clippy::type_complexity)] // one caller
fn transformed(text: &str) -> Option<Result<(Operand, Vec<Shown>, usize), (usize, String)>> {
    let word = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let name = text.get(..text.len().saturating_sub(word.len())).unwrap_or_default();
    if name.is_empty() || !word.starts_with('(') {
        return None;
    }
    let compiled = parse::operand(text).and_then(|(parsed, len)| {
        let operand = operand::compile(text.as_bytes(), &parsed)?;
        let mut fields = Vec::new();
        gather(text, &parsed, &mut fields)?;
        Ok((operand, fields, len))
    });
    Some(compiled.map_err(|error| (error.offset, error.message)))
}

/// The fields that an operand is made of.
fn gather(text: &str, operand: &ast::Operand, out: &mut Vec<Shown>) -> Result<(), FilterError> {
    match &operand.kind {
        ast::OperandKind::Field { .. } => {
            let compiled = operand::compile(text.as_bytes(), operand)?;
            let name = text.get(operand.span.clone()).unwrap_or_default();
            out.push(Shown { value: Shows::Made(compiled.into()), text: name.into(), width: None });
        }
        ast::OperandKind::Call { args, .. } => args.iter().try_for_each(|arg| gather(text, arg, out))?,
        ast::OperandKind::List(items) => items.iter().try_for_each(|item| gather(text, item, out))?,
        ast::OperandKind::Literal(_) => {}
    }
    Ok(())
}

fn keys(segments: &[Segment], parts: Vec<Shown>) -> Vec<(String, Shows)> {
    let shown = |segment: &Segment| match segment {
        Segment::Shown(shown) => Some((shown.text.to_string(), shown.value.clone())),
        Segment::Literal(_) => None,
    };
    let parts = parts.into_iter().map(|part| (part.text.to_string(), part.value));
    let mut keys: Vec<(String, Shows)> = segments.iter().filter_map(shown).chain(parts).collect();
    keys.sort_by(|a, b| a.0.cmp(&b.0));
    keys.dedup_by(|a, b| a.0 == b.0);
    for (key, _) in &mut keys {
        let mut escaped = Vec::new();
        escape::json_escaped(&mut escaped, key.as_bytes());
        *key = format!("\"{}\":", String::from_utf8_lossy(&escaped));
    }
    keys
}

/// Makes what was appended from `start` on exactly `width` bytes long, but does not cut a character
/// in two.
fn fit(out: &mut Vec<u8>, start: usize, width: usize) {
    let end = start.saturating_add(width);
    if out.len() > end {
        let mut cut = end;
        while cut > start && out.get(cut).is_some_and(|b| b & 0xC0 == 0x80) {
            cut = cut.saturating_sub(1);
        }
        out.truncate(cut);
    }
    out.resize(end, b' ');
}

/// Resolves the escapes that sysdig knows in the text of its option `-p`: `\n`, `\t`, `\e`, `\\`.
/// Other backslashes stay.
pub fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('e') => out.push('\x1b'),
            Some('\\') => out.push('\\'),
            other => {
                out.push('\\');
                out.extend(other);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
