//! Operands: fields and transformers, looked up, with their types (filter-language section 6).

use super::ast::{self, Function, OperandKind};
use super::error::FilterError;
use super::stack::{Datum, Stack, c_string};
use crate::Context;
use crate::fields::{self, Arg, Field, Kind, Refused, Traits, Value};
use crate::text::{Sink, Style, escape, numbers};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use scapkit_format::schema::{EVENTS, ParamType};
use scapkit_format::value;
use std::ops::Range;

/// Something that has a value at an event.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub source: Source,
    pub kind: Kind,
    pub list: bool,
    /// Traits of the field that it is; none for what is made of fields.
    pub traits: Traits,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Field(&'static Field, Arg),
    /// The event's I/O data, as it is.
    Data,
    /// An argument of the event, as it is.
    RawArgument(&'static str),
    Literal(Box<[u8]>),
    List(Vec<Source>),
    Each(Change, Box<Source>),
    Len(Box<Source>, bool),
    Join(Box<Source>, Box<Source>),
    Concat(Vec<Source>),
    GetOpt {
        list: Box<Source>,
        options: Box<Source>,
        selector: Option<u8>,
    },
}

/// What a transformer does to a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Lower,
    Upper,
    Decode,
    Basename,
}

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

// ---- looking up ----

/// Looks up an operand's fields and checks its types.
pub(crate) fn compile(text: &[u8], operand: &ast::Operand) -> Result<Operand, FilterError> {
    match &operand.kind {
        OperandKind::Field { name, arg } => field(text, operand, name, arg.as_deref()),
        OperandKind::Call { function, args, selector } => call(text, operand, *function, args, selector.as_deref()),
        OperandKind::Literal(bytes) => Ok(made(Source::Literal(bytes.clone().into()), Kind::Text, false)),
        OperandKind::List(items) => {
            let items = items.iter().map(|i| compile(text, i)).collect::<Result<Vec<_>, _>>()?;
            Ok(made(Source::List(items.into_iter().map(|i| i.source).collect()), Kind::Text, true))
        }
    }
}

fn made(source: Source, kind: Kind, list: bool) -> Operand {
    Operand { source, kind, list, traits: Traits::NONE }
}

fn field(text: &[u8], at: &ast::Operand, name: &str, arg: Option<&[u8]>) -> Result<Operand, FilterError> {
    let fail = |message: String| FilterError::new(text, at.span.clone(), message);
    let whole = match arg {
        Some(arg) => match std::str::from_utf8(arg) {
            Ok(arg) => format!("{name}[{arg}]"),
            Err(_) => return Err(fail(format!("the argument of field {name} is not UTF-8"))),
        },
        None => name.to_owned(),
    };
    let named = match fields::parse_prefix(&whole) {
        Ok(named) if named.len == whole.len() => named,
        Err(Refused::Argument(field, wanted)) if name.starts_with(field) => {
            return Err(fail(format!("after field {field}, {wanted} was expected")));
        }
        _ => {
            let nearest = fields::nearest(name).filter(|n| *n != name);
            return Err(fail(format!("filter_check called with nonexistent field {whole}")).near(nearest));
        }
    };
    if named.field.traits.has(Traits::PRINT_ONLY) {
        return Err(fail(format!("field {name} can be shown, but not compared")));
    }
    let (source, kind) = match (named.field.name, &named.arg) {
        ("evt.buffer", _) => (Source::Data, Kind::Bytes),
        ("evt.rawarg", Arg::Name(param)) => (Source::RawArgument(param), argument_kind(param)),
        (_, arg) => (Source::Field(named.field, arg.clone()), named.field.kind),
    };
    // An element of a list is a list of one.
    let list = named.field.traits.has(Traits::LIST);
    Ok(Operand { source, kind, list, traits: named.field.traits })
}

/// Type of the first parameter with that name.
fn argument_kind(name: &str) -> Kind {
    use ParamType as P;
    let Some(param) = EVENTS.iter().flat_map(|e| e.params).find(|p| p.name == name) else {
        return Kind::Opaque("PT_NONE");
    };
    match param.kind {
        P::Int8 => Kind::Int8,
        P::Int16 => Kind::Int16,
        P::Int32 | P::Fd32 | P::Pid32 => Kind::Int32,
        P::Int64 | P::Errno | P::Fd | P::Pid => Kind::Int64,
        P::Uint8 | P::SigType | P::L4Proto | P::SockFamily | P::Flags8 | P::EnumFlags8 => Kind::Uint8,
        P::Uint16 | P::SyscallId | P::Flags16 | P::EnumFlags16 => Kind::Uint16,
        P::Uint32 | P::Flags32 | P::EnumFlags32 | P::Mode | P::SigSet => Kind::Uint32,
        P::Uint64 => Kind::Uint64,
        P::Port => Kind::Port,
        P::Bool => Kind::Bool,
        P::RelTime => Kind::RelTime,
        P::AbsTime => Kind::AbsTime,
        P::Double => Kind::Double,
        P::CharBuf | P::FsPath | P::FsRelPath => Kind::Text,
        P::ByteBuf => Kind::Bytes,
        P::Ipv4Addr | P::Ipv6Addr => Kind::Ip,
        P::Uid => Kind::Opaque("PT_UID"),
        P::Gid => Kind::Opaque("PT_GID"),
        P::SockAddr => Kind::Opaque("PT_SOCKADDR"),
        P::SockTuple => Kind::Opaque("PT_SOCKTUPLE"),
        P::FdList => Kind::Opaque("PT_FDLIST"),
        P::Dyn => Kind::Opaque("PT_DYN"),
        P::CharBufArray => Kind::Opaque("PT_CHARBUFARRAY"),
        P::CharBufPairArray => Kind::Opaque("PT_CHARBUF_PAIR_ARRAY"),
    }
}

fn call(
    text: &[u8],
    at: &ast::Operand,
    function: Function,
    args: &[ast::Operand],
    selector: Option<&[u8]>,
) -> Result<Operand, FilterError> {
    let name = function.name();
    let fail = |message: String| FilterError::new(text, at.span.clone(), message);
    let mut compiled = args.iter().map(|a| compile(text, a)).collect::<Result<Vec<_>, _>>()?;
    if selector.is_some() && function != Function::GetOpt {
        return Err(fail(format!("transformer {name} takes no selector")));
    }
    for (arg, operand) in args.iter().zip(&compiled) {
        if function != Function::Val && operand.traits.has(Traits::NO_TRANSFORMER) {
            let field = String::from_utf8_lossy(text.get(arg.span.clone()).unwrap_or_default());
            return Err(FilterError::new(
                text,
                arg.span.clone(),
                format!("field '{field}' does not support transformers"),
            ));
        }
    }
    let refuse = |operand: &Operand, arg: &ast::Operand| {
        let shown = String::from_utf8_lossy(text.get(arg.span.clone()).unwrap_or_default());
        let list = if operand.list { "list " } else { "" };
        FilterError::new(
            text,
            arg.span.clone(),
            format!(
                "can't add field transformer: type '{}' is not supported by '{name}' transformer applied on {list}field \
                 '{shown}'",
                operand.kind.upstream_name()
            ),
        )
    };
    match (function, args, compiled.as_mut_slice()) {
        (Function::Join, _, [separator, list]) => {
            if separator.list || separator.kind != Kind::Text {
                return Err(fail("the first argument of transformer join must be a string".into()));
            }
            if !list.list {
                return Err(fail("the second argument of transformer join must be a list".into()));
            }
            let source = Source::Join(Box::new(separator.source.clone()), Box::new(list.source.clone()));
            Ok(made(source, Kind::Text, false))
        }
        (Function::Join, ..) => Err(fail(format!("transformer join takes 2 arguments, found {}", args.len()))),
        (Function::Concat, ..) => {
            if args.len() < 2 {
                return Err(fail(format!("transformer concat takes at least 2 arguments, found {}", args.len())));
            }
            if let Some((bad, arg)) = compiled.iter().zip(args).find(|(o, _)| o.list || o.kind != Kind::Text) {
                return Err(refuse(bad, arg));
            }
            Ok(made(Source::Concat(compiled.into_iter().map(|o| o.source).collect()), Kind::Text, false))
        }
        (Function::GetOpt, _, [list, options]) => {
            if !list.list || list.kind != Kind::Text {
                return Err(fail("the first argument of transformer getopt must be a list of strings".into()));
            }
            if options.list || options.kind != Kind::Text {
                return Err(fail("the second argument of transformer getopt must be a string".into()));
            }
            let selector = match selector {
                None => None,
                Some([letter]) => Some(*letter),
                Some(_) => return Err(fail("the selector of transformer getopt must be one character".into())),
            };
            let source = Source::GetOpt {
                list: Box::new(list.source.clone()),
                options: Box::new(options.source.clone()),
                selector,
            };
            Ok(made(source, Kind::Text, selector.is_none()))
        }
        (Function::GetOpt, ..) => Err(fail(format!("transformer getopt takes 2 arguments, found {}", args.len()))),
        (_, [arg], [operand]) => {
            let boxed = Box::new(operand.source.clone());
            let (fits, source, kind) = match function {
                Function::Val => return Ok(operand.clone()),
                Function::Len => {
                    let fits = operand.list || matches!(operand.kind, Kind::Text | Kind::Bytes);
                    return if fits {
                        let bytes = operand.kind == Kind::Bytes;
                        Ok(made(Source::Len(boxed, bytes), Kind::Uint64, false))
                    } else {
                        Err(refuse(operand, arg))
                    };
                }
                Function::ToUpper => (operand.kind == Kind::Text, Source::Each(Change::Upper, boxed), operand.kind),
                Function::ToLower => (operand.kind == Kind::Text, Source::Each(Change::Lower, boxed), operand.kind),
                Function::Basename => (operand.kind == Kind::Text, Source::Each(Change::Basename, boxed), operand.kind),
                _ => {
                    let fits = matches!(operand.kind, Kind::Text | Kind::Bytes);
                    (fits, Source::Each(Change::Decode, boxed), operand.kind)
                }
            };
            if fits { Ok(made(source, kind, operand.list)) } else { Err(refuse(operand, arg)) }
        }
        _ => Err(fail(format!("transformer {name} takes 1 argument, found {}", args.len()))),
    }
}

// ---- values ----

impl Operand {
    /// The value at an event; `None` when it has none.
    #[inline]
    pub fn eval<'v>(&self, cx: &Context<'v>, stack: &mut Stack) -> Option<Datum<'v>> {
        match &self.source {
            Source::Field(field, arg) => {
                let start = stack.text.len();
                let value = field.value(cx, arg, &mut Sink { out: &mut stack.text, style: Style::Raw });
                let Some(value) = value else {
                    stack.text.truncate(start);
                    return None;
                };
                datum(value, self.kind, field, cx, arg, stack, start)
            }
            Source::Data => {
                let index = cx.info.param_index("data")?;
                Some(Datum::Text(cx.event.param(index).filter(|d| !d.is_empty())?))
            }
            Source::RawArgument(name) => raw(name, cx),
            Source::Len(..) => self.source.number(cx, stack).map(Datum::Number),
            source if self.list => source.items(cx, stack).map(Datum::List),
            source => {
                let start = stack.text.len();
                source.append(cx, stack)?;
                Some(Datum::Made(start..stack.text.len()))
            }
        }
    }
}

impl Operand {
    /// Appends the value as text. False, with nothing appended, when there is none.
    pub fn text(&self, cx: &Context<'_>, sink: &mut Sink<'_>) -> bool {
        if let Source::Field(field, arg) = &self.source {
            return field.text(cx, arg, sink);
        }
        // Formats with transformers are few, and printing dwarfs it.
        let mut stack = Stack::default();
        let start = sink.out.len();
        match self.eval(cx, &mut stack) {
            None => return false,
            Some(Datum::Number(n)) => numbers::unsigned(sink.out, u64::try_from(n).unwrap_or(0)),
            Some(Datum::List(range)) => {
                sink.out.push(b'(');
                for (n, item) in stack.items.get(range).unwrap_or_default().iter().enumerate() {
                    if n > 0 {
                        sink.out.push(b',');
                    }
                    sink.out.extend_from_slice(stack.get(item));
                }
                sink.out.push(b')');
            }
            Some(datum) => sink.out.extend_from_slice(c_string(datum.text(&stack).unwrap_or_default())),
        }
        sink.finish(start);
        true
    }

    /// Appends the value as JSON.
    pub fn json(&self, cx: &Context<'_>, out: &mut Vec<u8>) {
        if let Source::Field(field, arg) = &self.source {
            return field.json(cx, arg, out);
        }
        let mut stack = Stack::default();
        let string = |out: &mut Vec<u8>, text: &[u8]| {
            out.push(b'"');
            let start = out.len();
            out.extend_from_slice(text);
            escape::json(out, start);
            out.push(b'"');
        };
        match self.eval(cx, &mut stack) {
            None => out.extend_from_slice(b"null"),
            Some(Datum::Number(n)) => numbers::unsigned(out, u64::try_from(n).unwrap_or(0)),
            Some(Datum::List(range)) => {
                out.push(b'[');
                for (n, item) in stack.items.get(range).unwrap_or_default().iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    string(out, stack.get(item));
                }
                out.push(b']');
            }
            Some(datum) => string(out, c_string(datum.text(&stack).unwrap_or_default())),
        }
    }
}

/// A field's value as one to compare.
#[inline]
fn datum<'v>(
    value: Value<'v>,
    kind: Kind,
    field: &Field,
    cx: &Context<'v>,
    arg: &Arg,
    stack: &mut Stack,
    start: usize,
) -> Option<Datum<'v>> {
    Some(match (value, kind) {
        (Value::Text(text), Kind::Text | Kind::Bytes) => Datum::Text(text),
        (Value::Written | Value::Styled | Value::TimeWritten(_), Kind::Text | Kind::Bytes) => {
            Datum::Made(start..stack.text.len())
        }
        (Value::Names(table, set), _) => {
            let from = stack.items.len();
            for (bit, name) in table.iter().enumerate() {
                if set >> bit & 1 == 1 {
                    let at = stack.text.len();
                    stack.text.extend_from_slice(name.as_bytes());
                    stack.items.push(at..stack.text.len());
                }
            }
            Datum::List(from..stack.items.len())
        }
        (_, Kind::Text | Kind::Bytes) => {
            field.text(cx, arg, &mut Sink { out: &mut stack.text, style: Style::Raw });
            Datum::Made(start..stack.text.len())
        }
        (Value::Bool(b), Kind::Bool) => Datum::Bool(b),
        (Value::Bool(b), _) => Datum::Number(i128::from(b)),
        (Value::Signed(n), Kind::Bool) => Datum::Bool(n != 0),
        (Value::Unsigned(n), Kind::Bool) => Datum::Bool(n != 0),
        (Value::Signed(n), Kind::Double) => Datum::Double(n as f64),
        (Value::Unsigned(n), Kind::Double) => Datum::Double(n as f64),
        (Value::Double(d), _) => Datum::Double(d),
        // A number of 64 bits that the state keeps as signed, compared as the field's type says.
        (Value::Signed(n), Kind::Uint64) => Datum::Number(i128::from(n.cast_unsigned())),
        (Value::Signed(n), _) => Datum::Number(i128::from(n)),
        (
            Value::Unsigned(n) | Value::Padded(n) | Value::Hex(n) | Value::Time(n, _) | Value::TimeWritten(n),
            Kind::Int64,
        ) => Datum::Number(i128::from(n.cast_signed())),
        (Value::Unsigned(n) | Value::Padded(n) | Value::Hex(n) | Value::Time(n, _) | Value::TimeWritten(n), _) => {
            Datum::Number(i128::from(n))
        }
        (Value::Ipv4(ip), _) => Datum::Ipv4(ip),
        (Value::Ipv6(ip), _) => Datum::Ipv6(ip),
        (Value::Text(_) | Value::Written | Value::Styled, _) => return None,
    })
}

/// An argument as it is stored.
fn raw<'v>(name: &str, cx: &Context<'v>) -> Option<Datum<'v>> {
    use scapkit_format::Value as V;
    let index = cx.info.param_index(name)?;
    let (info, bytes) = cx.info.params.get(index).zip(cx.event.param(index))?;
    if bytes.is_empty() {
        return None;
    }
    Some(match value::decode_param(info, bytes) {
        V::Unsigned(n) if info.kind == ParamType::Bool => Datum::Bool(n != 0),
        V::Signed(n) => Datum::Number(i128::from(n)),
        V::Unsigned(n) => Datum::Number(i128::from(n)),
        V::Double(d) => Datum::Double(d),
        V::Text(text) => Datum::Text(text.unwrap_or(b"<NA>")),
        V::Bytes(bytes) => Datum::Text(bytes),
        V::Ipv4(ip) => Datum::Ipv4(ip),
        V::Ipv6(ip) => Datum::Ipv6(ip),
        V::Absent | V::Malformed { .. } | V::Address(_) | V::Tuple(_) | V::Fds(_) | V::Dyn(..) => return None,
    })
}

impl Source {
    /// Whether its value is a list.
    fn is_list(&self) -> bool {
        match self {
            Source::Field(field, _) => field.traits.has(Traits::LIST),
            Source::List(_) => true,
            Source::Each(_, inner) => inner.is_list(),
            Source::GetOpt { selector, .. } => selector.is_none(),
            _ => false,
        }
    }

    /// Appends the value as text.
    fn append(&self, cx: &Context<'_>, stack: &mut Stack) -> Option<()> {
        match self {
            Source::Field(field, arg) => {
                field.text(cx, arg, &mut Sink { out: &mut stack.text, style: Style::Raw }).then_some(())
            }
            Source::Data => {
                let index = cx.info.param_index("data")?;
                stack.text.extend_from_slice(cx.event.param(index).filter(|d| !d.is_empty())?);
                Some(())
            }
            Source::Literal(text) => {
                stack.text.extend_from_slice(text);
                Some(())
            }
            Source::Each(change, inner) => {
                let start = stack.text.len();
                inner.append(cx, stack)?;
                let range = start..stack.text.len();
                let after = change.apply(stack, range)?;
                let (len, end) = (after.len(), after.end);
                stack.text.truncate(end);
                stack.text.copy_within(after, start);
                stack.text.truncate(start.saturating_add(len));
                Some(())
            }
            Source::Len(..) => {
                let n = self.number(cx, stack)?;
                numbers::unsigned(&mut stack.text, u64::try_from(n).unwrap_or(0));
                Some(())
            }
            Source::Join(separator, list) => {
                let start = stack.text.len();
                separator.append(cx, stack)?;
                let separator = start..stack.text.len();
                let items = list.items(cx, stack)?;
                let joined = stack.text.len();
                for (n, at) in items.clone().enumerate() {
                    let item = stack.items.get(at).cloned()?;
                    if n > 0 {
                        stack.text.extend_from_within(separator.clone());
                    }
                    stack.text.extend_from_within(item);
                }
                stack.items.truncate(items.start);
                stack.text.drain(start..joined);
                Some(())
            }
            Source::Concat(parts) => parts.iter().try_for_each(|part| part.append(cx, stack)),
            Source::GetOpt { list, options, selector } => {
                let start = stack.text.len();
                let wanted = (*selector)?;
                let mut found = None;
                let from = stack.items.len();
                options_of(list, options, cx, stack, &mut |letter, value, _| {
                    if letter == wanted {
                        found = Some(value);
                    }
                })?;
                stack.items.truncate(from);
                let end = stack.text.len();
                match found? {
                    Given::Flag => stack.text.push(wanted),
                    Given::Value(range) => stack.text.extend_from_within(range),
                }
                stack.text.drain(start..end);
                Some(())
            }
            // Refused by the compiler.
            Source::List(_) | Source::RawArgument(_) => None,
        }
    }

    /// Puts the items of a list on the stack, and says which they are.
    fn items(&self, cx: &Context<'_>, stack: &mut Stack) -> Option<Range<usize>> {
        let from = stack.items.len();
        match self {
            Source::Field(field, arg) => {
                let value = field.value(cx, arg, &mut Sink { out: &mut stack.text, style: Style::Raw })?;
                match datum(value, Kind::Text, field, cx, arg, stack, 0)? {
                    Datum::List(range) => return Some(range),
                    _ => return None,
                }
            }
            Source::List(sources) => {
                // Lists in lists are refused by the parser, so one list stays in one piece.
                for source in sources {
                    let start = stack.text.len();
                    source.append(cx, stack)?;
                    stack.items.push(start..stack.text.len());
                }
            }
            Source::Each(change, inner) => {
                let range = inner.items(cx, stack)?;
                for at in range.clone() {
                    let item = stack.items.get(at).cloned()?;
                    let after = change.apply(stack, item)?;
                    *stack.items.get_mut(at)? = after;
                }
                return Some(range);
            }
            Source::GetOpt { list, options, .. } => {
                let made = stack.items.len();
                let mut out: Vec<Range<usize>> = Vec::new();
                options_of(list, options, cx, stack, &mut |letter, value, text| {
                    let at = text.len();
                    text.push(letter);
                    out.push(at..text.len());
                    if let Given::Value(range) = value {
                        out.push(range);
                    }
                })?;
                stack.items.truncate(made);
                stack.items.extend(out);
            }
            _ => return None,
        }
        Some(from..stack.items.len())
    }

    /// The value of `len`.
    fn number(&self, cx: &Context<'_>, stack: &mut Stack) -> Option<i128> {
        let Source::Len(inner, bytes) = self else { return None };
        if inner.is_list() {
            let items = inner.items(cx, stack)?;
            stack.items.truncate(items.start);
            return i128::try_from(items.len()).ok();
        }
        let start = stack.text.len();
        inner.append(cx, stack)?;
        let text = stack.text.get(start..).unwrap_or_default();
        let len = if *bytes { text.len() } else { c_string(text).len() };
        stack.text.truncate(start);
        i128::try_from(len).ok()
    }
}

impl Change {
    /// Changes text on the stack in place, and says where the result is; `None` when there is none.
    fn apply(self, stack: &mut Stack, range: Range<usize>) -> Option<Range<usize>> {
        let text = stack.text.get_mut(range.clone())?;
        match self {
            Change::Lower => text.make_ascii_lowercase(),
            Change::Upper => text.make_ascii_uppercase(),
            Change::Basename => {
                let slash = text.iter().rposition(|b| *b == b'/').map_or(0, |at| at.saturating_add(1));
                return Some(range.start.saturating_add(slash)..range.end);
            }
            Change::Decode => {
                let end = text.iter().rposition(|b| *b != 0).map_or(0, |at| at.saturating_add(1));
                let coded = text.get(..end).unwrap_or_default();
                stack.spare.resize(coded.len(), 0);
                let len = BASE64.decode_slice(coded, &mut stack.spare).ok()?;
                text.get_mut(..len)?.copy_from_slice(stack.spare.get(..len)?);
                return Some(range.start..range.start.saturating_add(len));
            }
        }
        Some(range)
    }
}

/// What an option of a command line came with.
#[derive(Debug, Clone)]
enum Given {
    /// It takes no value.
    Flag,
    /// Its value; empty when it is missing.
    Value(Range<usize>),
}

/// Takes a list apart as getopt does: short options alone or in clusters, up to `--` or the first
/// word that is none. Words that start with `--` are passed over.
fn options_of(
    list: &Source,
    options: &Source,
    cx: &Context<'_>,
    stack: &mut Stack,
    each: &mut dyn FnMut(u8, Given, &mut Vec<u8>),
) -> Option<()> {
    let start = stack.text.len();
    options.append(cx, stack)?;
    let known: Vec<u8> = stack.text.get(start..).unwrap_or_default().to_vec();
    let known = known.strip_prefix(b":").unwrap_or(&known);
    let takes = |letter: u8| {
        let at = known.iter().position(|b| *b == letter && letter != b':')?;
        Some(known.get(at.saturating_add(1)) == Some(&b':'))
    };
    let items = list.items(cx, stack)?;
    let mut next = items.start;
    while next < items.end {
        let word = stack.items.get(next).cloned()?;
        next = next.saturating_add(1);
        let text = stack.get(&word);
        if text == b"--" || text == b"-" || text.first() != Some(&b'-') {
            break;
        }
        if text.starts_with(b"--") {
            continue;
        }
        let mut at = word.start.saturating_add(1);
        while at < word.end {
            let letter = *stack.text.get(at)?;
            at = at.saturating_add(1);
            match takes(letter) {
                None => each(b'?', Given::Flag, &mut stack.text),
                Some(false) => each(letter, Given::Flag, &mut stack.text),
                Some(true) => {
                    let value = if at < word.end {
                        at..word.end
                    } else if next < items.end {
                        let value = stack.items.get(next).cloned()?;
                        next = next.saturating_add(1);
                        value
                    } else {
                        0..0
                    };
                    each(letter, Given::Value(value), &mut stack.text);
                    break;
                }
            }
        }
    }
    Some(())
}
