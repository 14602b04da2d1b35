//! Fields: what can be asked of an event and its state (the field reference).
//!
//! A field is one row of a table and one function. Fields of the reference that have no value in any
//! capture are rows too, whose function gives none.

mod about;
mod container;
mod ends;
mod environment;
pub(crate) mod event;
pub(crate) mod fd;
mod kind;
mod legacy;
pub(crate) mod lineage;
mod paths;
mod polled;
mod process;
mod rare;
mod sides;
mod syslog;
mod user;

pub use about::{CLASSES, Class, Entry};
pub use kind::{Kind, Traits};

use crate::Context;
use crate::text::time::{TimeStyle, time};
use crate::text::{Sink, Style, escape, numbers, sockets};

/// A field that is computed.
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// Type of its value: what it can be compared with.
    pub kind: Kind,
    /// What may be done with it.
    pub traits: Traits,
    /// What may stand after the name.
    pub takes: Takes,
    /// Colour on a terminal: parameters of the SGR sequence, or empty.
    pub colour: &'static str,
    get: Get,
}

/// Computes a field: gives a value, or appends text and says so. `None`: the event has no such
/// value; what was appended is taken back by the caller.
type Get = for<'v, 'o> fn(&Context<'v>, &Arg, &mut Sink<'o>) -> Option<Value<'v>>;

/// What may stand after a field's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// `.NAME` or `[N]`, required: an argument of an event.
    Argument,
    /// `.NAME`, required: an argument of an event.
    ArgumentName,
    /// `[N]`, optional.
    Index,
    /// `[T]`, required: ns since the epoch.
    Time,
    /// `[KEY]` or `.KEY`, required.
    Key,
    /// `[N]` or `[PATTERN]`, required.
    IndexOrKey,
    /// `[N]` or `[NAME]`, optional.
    IndexOrName,
    /// `.WORD` of letters and `_`, or `[WORD]`, required.
    Word,
    /// `.src` or `.dst`, optional: which of an event's two paths.
    Side,
    /// `.NAME` of an event or `.N`, required: types of events.
    EventType,
}

/// What stood after a field's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// Nothing.
    None,
    /// A number.
    Index(usize),
    /// Name of an event's argument.
    Name(&'static str),
    /// A name or pattern of the user's.
    Key(Box<str>),
    /// The first and the last of a range of event types.
    Types(u32, u32),
}

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'v> {
    /// Text was appended. It still needs the style's treatment.
    Written,
    /// Text was appended in the style asked for.
    Styled,
    /// A string that a program wrote, or a name.
    Text(&'v [u8]),
    /// True or false.
    Bool(bool),
    /// A number.
    Signed(i64),
    /// A number.
    Unsigned(u64),
    /// A number with nine digits: ns within a second.
    Padded(u64),
    /// A number shown in upper-case hexadecimal.
    Hex(u64),
    /// A time in ns since the epoch.
    Time(u64, TimeStyle),
    /// A time whose text was appended.
    TimeWritten(u64),
    /// A floating point number.
    Double(f64),
    /// The names of a table whose bits are set.
    Names(&'static [&'static str], u32),
    /// An address.
    Ipv4([u8; 4]),
    /// An address.
    Ipv6([u8; 16]),
}

/// All fields that are computed.
pub fn all() -> impl Iterator<Item = &'static Field> {
    let tables: [&'static [Field]; _] = [
        event::FIELDS,
        rare::FIELDS,
        process::FIELDS,
        environment::FIELDS,
        lineage::FIELDS,
        user::FIELDS,
        fd::FIELDS,
        ends::FIELDS,
        sides::FIELDS,
        paths::FIELDS,
        polled::FIELDS,
        container::FIELDS,
        syslog::FIELDS,
        legacy::FIELDS,
    ];
    tables.into_iter().flatten()
}

const fn field(name: &'static str, kind: Kind, get: Get) -> Field {
    Field { name, kind, traits: Traits::NONE, takes: Takes::Nothing, colour: "", get }
}

impl Field {
    const fn takes(mut self, takes: Takes) -> Self {
        self.takes = takes;
        self
    }

    const fn traits(mut self, traits: Traits) -> Self {
        self.traits = traits;
        self
    }

    const fn colour(mut self, colour: &'static str) -> Self {
        self.colour = colour;
        self
    }

    /// Its value, or `None` when the event has none. Text may be appended to the sink: see [`Value`].
    #[inline]
    pub(crate) fn value<'v>(&self, cx: &Context<'v>, arg: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
        (self.get)(cx, arg, sink)
    }

    /// Appends the value as text. False, with nothing appended, when the event has none.
    #[inline]
    pub fn text(&self, cx: &Context<'_>, arg: &Arg, sink: &mut Sink<'_>) -> bool {
        let start = sink.out.len();
        let Some(value) = (self.get)(cx, arg, sink) else {
            sink.out.truncate(start);
            return false;
        };
        match value {
            Value::Written => sink.finish(start),
            Value::Styled | Value::TimeWritten(_) => {}
            Value::Text(text) => sink.string(text),
            Value::Bool(b) => sink.plain(if b { "true" } else { "false" }),
            Value::Signed(n) => numbers::signed(sink.out, n),
            Value::Unsigned(n) => numbers::unsigned(sink.out, n),
            Value::Padded(n) => numbers::padded(sink.out, n, 9),
            Value::Hex(n) => numbers::hex(sink.out, n, true),
            Value::Time(ns, style) => time(sink.out, ns, style, cx.options.zone.as_ref()),
            Value::Double(d) => crate::text::double(sink.out, d),
            Value::Names(table, set) => names(sink.out, table, set, [b"(", b",", b")"]),
            Value::Ipv4(ip) => sockets::ipv4(sink.out, ip),
            Value::Ipv6(ip) => sockets::ipv6(sink.out, ip),
        }
        true
    }

    /// Appends the value as JSON: numbers and times (ns) as numbers, `null` when the event has none.
    pub fn json(&self, cx: &Context<'_>, arg: &Arg, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(b'"');
        let value = (self.get)(cx, arg, &mut Sink { out, style: Style::Raw });
        if let Some(Value::Written | Value::Styled) = value {
            escape::json(out, start.saturating_add(1));
            out.push(b'"');
            return;
        }
        out.truncate(start);
        match value {
            None | Some(Value::Written | Value::Styled) => out.extend_from_slice(b"null"),
            Some(Value::Text(text)) => {
                out.push(b'"');
                out.extend_from_slice(text);
                escape::json(out, start.saturating_add(1));
                out.push(b'"');
            }
            Some(Value::Bool(b)) => out.extend_from_slice(if b { b"true" } else { b"false" }),
            Some(Value::Signed(n)) => numbers::signed(out, n),
            Some(Value::Unsigned(n) | Value::Padded(n) | Value::Time(n, _) | Value::TimeWritten(n)) => {
                numbers::unsigned(out, n);
            }
            Some(Value::Double(d)) => {
                use std::io::Write;
                // Writing to a vector cannot fail. There is no way to write NaN.
                let _ = if d.is_finite() { write!(out, "{d:?}") } else { write!(out, "null") };
            }
            Some(Value::Names(table, set)) => {
                out.push(b'[');
                names(out, table, set, [b"\"", b"\",\"", b"\""]);
                out.push(b']');
            }
            Some(Value::Hex(_) | Value::Ipv4(_) | Value::Ipv6(_)) => {
                out.push(b'"');
                self.text(cx, arg, &mut Sink { out, style: Style::Raw });
                out.push(b'"');
            }
        }
    }
}

/// Appends the names whose bits are set, with what stands before, between and after them.
fn names(out: &mut Vec<u8>, table: &[&str], set: u32, around: [&[u8]; 3]) {
    let [mut before, between, after] = around;
    for (bit, name) in table.iter().enumerate() {
        if set >> bit & 1 == 1 {
            out.extend_from_slice(before);
            out.extend_from_slice(name.as_bytes());
            before = between;
        }
    }
    out.extend_from_slice(after);
}

impl std::fmt::Debug for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// A field as the start of a text names it.
#[derive(Debug, Clone)]
pub struct Named {
    /// The field.
    pub field: &'static Field,
    /// Its argument.
    pub arg: Arg,
    /// Bytes of the text that name it.
    pub len: usize,
}

/// Why a text does not start with a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// No field has such a name.
    Unknown,
    /// The field's argument is missing or wrong; what was expected.
    Argument(&'static str, &'static str),
}

/// The field that a text starts with: the one with the longest name. More text may follow.
///
/// # Errors
/// [`Refused`] when there is none.
pub fn parse_prefix(text: &str) -> Result<Named, Refused> {
    let field = all().filter(|f| text.starts_with(f.name)).max_by_key(|f| f.name.len()).ok_or(Refused::Unknown)?;
    let rest = text.get(field.name.len()..).unwrap_or_default();
    let (arg, used) = field.argument(rest)?;
    Ok(Named { field, arg, len: field.name.len().saturating_add(used) })
}

impl Field {
    fn argument(&self, rest: &str) -> Result<(Arg, usize), Refused> {
        match self.takes {
            Takes::Nothing => Ok((Arg::None, 0)),
            Takes::Index => match index(rest) {
                Some((n, used)) => Ok((Arg::Index(n), used)),
                None if rest.starts_with('[') => Err(Refused::Argument(self.name, "a number in brackets")),
                None => Ok((Arg::None, 0)),
            },
            Takes::Time => match index(rest) {
                Some((n, used)) => Ok((Arg::Index(n), used)),
                None => Err(Refused::Argument(self.name, "a time in brackets, ns since the epoch")),
            },
            Takes::Key => match bracketed(rest).or_else(|| dotted(rest)) {
                Some((key, used)) => Ok((Arg::Key(key.into()), used)),
                None => Err(Refused::Argument(self.name, "a name in brackets or behind '.'")),
            },
            Takes::IndexOrKey => match (index(rest), bracketed(rest)) {
                (Some((n, used)), _) => Ok((Arg::Index(n), used)),
                (None, Some((key, used))) => Ok((Arg::Key(key.into()), used)),
                (None, None) => Err(Refused::Argument(self.name, "a number or a pattern in brackets")),
            },
            Takes::IndexOrName => match (index(rest), bracketed(rest)) {
                (Some((n, used)), _) => Ok((Arg::Index(n), used)),
                (None, Some((key, used))) => Ok((Arg::Key(key.into()), used)),
                (None, None) if rest.starts_with('[') => {
                    Err(Refused::Argument(self.name, "a number or a name in brackets"))
                }
                (None, None) => Ok((Arg::None, 0)),
            },
            Takes::Word => match bracketed(rest).or_else(|| word(rest)) {
                Some((key, used)) => Ok((Arg::Key(key.into()), used)),
                None => Err(Refused::Argument(self.name, "'.' and a name of letters")),
            },
            Takes::Side => match [".src", ".dst"].into_iter().position(|side| rest.starts_with(side)) {
                Some(side) => Ok((Arg::Index(side), 4)),
                None => Ok((Arg::None, 0)),
            },
            Takes::EventType => match rest.strip_prefix('.').and_then(event_types) {
                Some((first, last, used)) => Ok((Arg::Types(first, last), used.saturating_add(1))),
                None => Err(Refused::Argument(self.name, "'.' and the name or number of an event")),
            },
            Takes::Argument | Takes::ArgumentName => {
                if let Some((n, used)) = index(rest)
                    && self.takes == Takes::Argument
                {
                    return Ok((Arg::Index(n), used));
                }
                let name = rest.strip_prefix('.').and_then(argument_name);
                let wanted = if self.takes == Takes::Argument {
                    "'.' and the name of an event's argument, or '[' and its number"
                } else {
                    "'.' and the name of an event's argument"
                };
                let name = name.ok_or(Refused::Argument(self.name, wanted))?;
                Ok((Arg::Name(name), name.len().saturating_add(1)))
            }
        }
    }
}

/// `[N]` at the start of a text, and its length.
fn index(text: &str) -> Option<(usize, usize)> {
    let (digits, _) = text.strip_prefix('[')?.split_once(']')?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, digits.len().saturating_add(2)))
}

/// `[KEY]` or `["KEY"]` at the start of a text, and its length.
fn bracketed(text: &str) -> Option<(&str, usize)> {
    let inside = text.strip_prefix('[')?;
    for (open, close) in [("\"", "\"]"), ("'", "']")] {
        if let Some((key, _)) = inside.strip_prefix(open).and_then(|rest| rest.split_once(close)) {
            return Some((key, key.len().saturating_add(4)));
        }
    }
    let (key, _) = inside.split_once(']')?;
    (!key.is_empty()).then_some((key, key.len().saturating_add(2)))
}

/// `.KEY` at the start of a text, and its length. Keys of labels may have `.`, `-`, `_` and `/` in them,
/// but do not end with one.
fn dotted(text: &str) -> Option<(&str, usize)> {
    let rest = text.strip_prefix('.')?;
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/')));
    let key = rest.get(..end.unwrap_or(rest.len()))?.trim_end_matches(['.', '-', '_', '/']);
    (!key.is_empty()).then_some((key, key.len().saturating_add(1)))
}

/// `.WORD` at the start of a text, and its length.
fn word(text: &str) -> Option<(&str, usize)> {
    let rest = text.strip_prefix('.')?;
    let end = rest.find(|c: char| !c.is_ascii_alphabetic() && c != '_').unwrap_or(rest.len());
    Some((rest.get(..end)?, end.saturating_add(1)))
}

/// The event types that a number or the longest name at the start of a text means, and its length. A name
/// means the first event that has it and the one after, which is its exit, as upstream has it.
fn event_types(text: &str) -> Option<(u32, u32, usize)> {
    use scapkit_format::schema::EVENTS;
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if let Some(number) = text.get(..digits).and_then(|t| t.parse().ok()) {
        return Some((number, number, digits));
    }
    let longest = EVENTS.iter().map(|e| e.name).filter(|n| text.starts_with(n)).max_by_key(|n| n.len())?;
    let first = u32::from(EVENTS.iter().find(|e| e.name == longest)?.id);
    Some((first, first.saturating_add(1), longest.len()))
}

/// The longest name of any event's argument that a text starts with.
fn argument_name(text: &str) -> Option<&'static str> {
    use scapkit_format::schema::{EVENTS, EVENTS_2022};
    let names = EVENTS.iter().chain(&EVENTS_2022).flat_map(|e| e.params).map(|p| p.name);
    names.filter(|n| text.starts_with(n)).max_by_key(|n| n.len())
}

/// The known name that is nearest to a text, if it is near at all.
pub fn nearest(text: &str) -> Option<&'static str> {
    nearest_of(text, all().map(|f| f.name))
}

/// The name that is nearest to a text, if one is near at all.
pub(crate) fn nearest_of<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    // Whoever writes more than any name has is not looking for one.
    if text.len() > 64 {
        return None;
    }
    let (distance, name) = names.map(|n| (distance(text, n), n)).min()?;
    (distance <= text.len().max(3) / 3).then_some(name)
}

/// How many letters have to be replaced, added, left out, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut older: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i.saturating_add(1)];
        let cell = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX);
        for (j, y) in b.iter().enumerate() {
            let replaced = cell(&last, j).saturating_add(usize::from(x != y));
            let removed = cell(&last, j.saturating_add(1)).saturating_add(1);
            let added = cell(&row, j).saturating_add(1);
            let before = |text: &[u8], at: usize| at.checked_sub(1).and_then(|at| text.get(at).copied());
            let swaps = before(a, i) == Some(*y) && before(b, j) == Some(*x);
            let swapped = j.checked_sub(1).filter(|_| swaps).map(|j| cell(&older, j).saturating_add(1));
            row.push(replaced.min(removed).min(added).min(swapped.unwrap_or(usize::MAX)));
        }
        older = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod state_tests;
#[cfg(test)]
mod tests;
