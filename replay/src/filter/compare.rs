//! Comparisons of one value with constants (filter-language sections 3 to 5).

use super::ast::{Constant, Modifier, Op};
use super::glob;
use super::prefixes::Prefixes;
use super::stack::c_string;
use crate::fields::Kind;
use crate::text::services;
use aho_corasick::AhoCorasick;
use memchr::memmem;
use regex::bytes::Regex;
use std::collections::HashSet;
use std::ops::Range;

/// Why constants do not fit: where, and what is wrong.
pub(super) type Refused = (Range<usize>, String);

/// A comparison with one constant or several.
#[derive(Debug, Clone)]
pub(super) enum Several<T> {
    One(T),
    Any(Vec<T>),
    All(Vec<T>),
    /// Exactly one.
    Only(Vec<T>),
}

impl<T> Several<T> {
    fn new(modifier: Option<Modifier>, mut tests: Vec<T>) -> Self {
        match modifier {
            None | Some(Modifier::AnyOf) if tests.len() == 1 => Several::One(tests.swap_remove(0)),
            None | Some(Modifier::AnyOf) => Several::Any(tests),
            // All of none would be true; upstream says false.
            Some(Modifier::AllOf) if tests.is_empty() => Several::Any(tests),
            Some(Modifier::AllOf) => Several::All(tests),
            Some(Modifier::OneOf) => Several::Only(tests),
        }
    }

    #[inline]
    pub fn holds(&self, test: impl Fn(&T) -> bool) -> bool {
        match self {
            Several::One(t) => test(t),
            Several::Any(all) => all.iter().any(test),
            Several::All(all) => all.iter().all(test),
            Several::Only(all) => all.iter().filter(|t| test(t)).take(2).count() == 1,
        }
    }
}

// ---- strings ----

/// A comparison of a string.
#[derive(Debug, Clone)]
pub(super) struct TextTest {
    /// `!=`.
    negated: bool,
    how: TextHow,
}

#[derive(Debug, Clone)]
enum TextHow {
    Eq(Box<[u8]>),
    Order(Op, Box<[u8]>),
    Contains(Box<memmem::Finder<'static>>),
    /// One of several, or without regard to case.
    ContainsAny(Box<AhoCorasick>),
    StartsWith(Box<[u8]>),
    EndsWith(Box<[u8]>),
    Pattern(Regex),
    /// After replacing what is not UTF-8.
    Regex(Regex),
    Few(Vec<Box<[u8]>>),
    Many(HashSet<Box<[u8]>>),
    Below(Prefixes),
}

/// Up to this many strings are compared one by one.
const FEW: usize = 6;

impl TextTest {
    #[inline]
    pub fn holds(&self, value: &[u8]) -> bool {
        let found = match &self.how {
            TextHow::Few(set) => set.iter().any(|s| **s == *value),
            TextHow::Many(set) => set.contains(value),
            TextHow::Eq(with) => c_string(value) == &**with,
            TextHow::Order(op, with) => {
                let value = c_string(value);
                match op {
                    Op::Lt => value < &**with,
                    Op::Le => value <= &**with,
                    Op::Gt => value > &**with,
                    _ => value >= &**with,
                }
            }
            TextHow::Contains(part) => part.find(c_string(value)).is_some(),
            TextHow::ContainsAny(parts) => parts.is_match(c_string(value)),
            TextHow::StartsWith(start) => c_string(value).starts_with(start),
            TextHow::EndsWith(end) => c_string(value).ends_with(end),
            TextHow::Pattern(pattern) => pattern.is_match(c_string(value)),
            TextHow::Regex(pattern) => {
                let value = c_string(value);
                match std::str::from_utf8(value) {
                    Ok(_) => pattern.is_match(value),
                    // Rare enough to allocate for.
                    Err(_) => pattern.is_match(String::from_utf8_lossy(value).as_bytes()),
                }
            }
            TextHow::Below(paths) => paths.matches(c_string(value)),
        };
        found != self.negated
    }

    /// How dear it is, for putting cheap comparisons first.
    pub fn cost(&self) -> u32 {
        match self.how {
            TextHow::Eq(_) | TextHow::Few(_) | TextHow::StartsWith(_) | TextHow::EndsWith(_) | TextHow::Order(..) => 0,
            TextHow::Many(_) | TextHow::Contains(_) => 1,
            TextHow::ContainsAny(_) | TextHow::Below(_) => 3,
            TextHow::Pattern(_) | TextHow::Regex(_) => 6,
        }
    }
}

/// Strings as a set.
pub(super) fn set(constants: &[Constant]) -> TextTest {
    let strings = constants.iter().map(|c| c.bytes.clone().into_boxed_slice());
    let how = if constants.len() <= FEW { TextHow::Few(strings.collect()) } else { TextHow::Many(strings.collect()) };
    TextTest { negated: false, how }
}

/// Comparison of a string with constants by an operator that fits.
pub(super) fn text(op: Op, modifier: Option<Modifier>, constants: &[Constant]) -> Result<Several<TextTest>, Refused> {
    let one = |test| Ok(Several::One(test));
    let strings = || constants.iter().map(|c| &*c.bytes);
    match (op, modifier) {
        (Op::In | Op::Intersects, _) | (Op::Eq, Some(Modifier::AnyOf)) => return one(set(constants)),
        (Op::Ne, Some(Modifier::AllOf)) if !constants.is_empty() => {
            return one(TextTest { negated: true, ..set(constants) });
        }
        (Op::PMatch, _) => {
            let paths = Prefixes::new(strings()).map_err(|(n, message)| (place(constants, n), message))?;
            return one(TextTest { negated: false, how: TextHow::Below(paths) });
        }
        (Op::Contains | Op::IContains, Some(Modifier::AnyOf)) if constants.len() > 1 => {
            let parts = AhoCorasick::builder().ascii_case_insensitive(op == Op::IContains).build(strings());
            let parts = parts.map_err(|e| (place(constants, 0), format!("these strings are too many: {e}")))?;
            return one(TextTest { negated: false, how: TextHow::ContainsAny(Box::new(parts)) });
        }
        _ => {}
    }
    let tests = constants.iter().map(|c| one_text(op, c)).collect::<Result<Vec<_>, _>>()?;
    Ok(Several::new(modifier, tests))
}

fn place(constants: &[Constant], n: usize) -> Range<usize> {
    constants.get(n).map_or(0..0, |c| c.span.clone())
}

fn one_text(op: Op, constant: &Constant) -> Result<TextTest, Refused> {
    let bytes = || constant.bytes.clone().into_boxed_slice();
    let at = |message| (constant.span.clone(), message);
    let how = match op {
        Op::Eq | Op::Ne => TextHow::Eq(bytes()),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => TextHow::Order(op, bytes()),
        Op::Contains => TextHow::Contains(Box::new(memmem::Finder::new(&constant.bytes).into_owned())),
        Op::IContains => {
            let part = AhoCorasick::builder().ascii_case_insensitive(true).build([&constant.bytes]);
            TextHow::ContainsAny(Box::new(part.map_err(|e| at(format!("this string is too long: {e}")))?))
        }
        Op::StartsWith => TextHow::StartsWith(bytes()),
        Op::EndsWith => TextHow::EndsWith(bytes()),
        Op::Glob | Op::IGlob => TextHow::Pattern(glob::glob(&constant.bytes, op == Op::IGlob).map_err(at)?),
        _ => TextHow::Regex(glob::regex(&constant.bytes).map_err(at)?),
    };
    Ok(TextTest { negated: op == Op::Ne, how })
}

// ---- bytes ----

/// A comparison of bytes.
#[derive(Debug, Clone)]
pub(super) struct BytesTest {
    op: Op,
    with: Box<[u8]>,
    find: memmem::Finder<'static>,
}

impl BytesTest {
    pub fn holds(&self, value: &[u8]) -> bool {
        match self.op {
            Op::Ne => *value != *self.with,
            Op::Contains | Op::BContains => self.find.find(value).is_some(),
            Op::StartsWith | Op::BStartsWith => value.starts_with(&self.with),
            Op::EndsWith => value.ends_with(&self.with),
            _ => *value == *self.with,
        }
    }
}

/// Comparison of bytes with constants; `bcontains` and `bstartswith` take them in hexadecimal.
pub(super) fn bytes(op: Op, modifier: Option<Modifier>, constants: &[Constant]) -> Result<Several<BytesTest>, Refused> {
    let one = |constant: &Constant| {
        let with = match op {
            Op::BContains | Op::BStartsWith => hexadecimal(&constant.bytes).ok_or_else(|| {
                (constant.span.clone(), "bcontains and bstartswith operator support hex strings only".to_owned())
            })?,
            _ => constant.bytes.clone(),
        };
        Ok(BytesTest { op, find: memmem::Finder::new(&with).into_owned(), with: with.into() })
    };
    Ok(Several::new(modifier, constants.iter().map(one).collect::<Result<Vec<_>, Refused>>()?))
}

fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pairs = text.chunks(2);
    pairs.map(|pair| if let [high, low] = *pair { Some((digit(high)? << 4) | digit(low)?) } else { None }).collect()
}

// ---- numbers ----

/// A comparison of a number.
#[derive(Debug, Clone)]
pub(super) struct NumberTest {
    op: Op,
    with: i128,
}

impl NumberTest {
    #[inline]
    pub fn holds(&self, value: i128) -> bool {
        ordered(self.op, value.cmp(&self.with))
    }

    pub fn holds_double(&self, value: f64) -> bool {
        value.partial_cmp(&(self.with as f64)).map_or(self.op == Op::Ne, |order| ordered(self.op, order))
    }
}

impl Several<NumberTest> {
    /// The numbers that pass, where they are a few.
    pub fn numbers(&self) -> Option<Vec<i128>> {
        let equal = |test: &NumberTest| matches!(test.op, Op::Eq | Op::In | Op::Intersects).then_some(test.with);
        match self {
            Several::One(test) => equal(test).map(|n| vec![n]),
            Several::Any(all) => all.iter().map(equal).collect(),
            Several::All(_) | Several::Only(_) => None,
        }
    }

    /// The least and the greatest number that may pass.
    pub fn range(&self) -> (i128, i128) {
        let Several::One(NumberTest { op, with }) = self else { return (i128::MIN, i128::MAX) };
        match op {
            Op::Eq | Op::In | Op::Intersects => (*with, *with),
            Op::Ge | Op::Gt => (*with, i128::MAX),
            Op::Le | Op::Lt => (i128::MIN, *with),
            _ => (i128::MIN, i128::MAX),
        }
    }
}

/// Whether an order is what the operator asks for.
pub(super) fn ordered(op: Op, order: std::cmp::Ordering) -> bool {
    match op {
        Op::Ne => order.is_ne(),
        Op::Lt => order.is_lt(),
        Op::Le => order.is_le(),
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
        _ => order.is_eq(),
    }
}

/// Comparison of a number with constants of its type.
pub(super) fn number(
    kind: Kind,
    op: Op,
    modifier: Option<Modifier>,
    constants: &[Constant],
) -> Result<Several<NumberTest>, Refused> {
    let one = |constant: &Constant| {
        let with = parse_number(kind, &constant.bytes).map_err(|message| (constant.span.clone(), message))?;
        Ok(NumberTest { op, with })
    };
    Ok(Several::new(modifier, constants.iter().map(one).collect::<Result<Vec<_>, Refused>>()?))
}

/// A number as C reads it: blanks, a sign, digits, and nothing after. Small types cut it silently.
fn parse_number(kind: Kind, text: &[u8]) -> Result<i128, String> {
    let shown = || String::from_utf8_lossy(text).into_owned();
    if kind == Kind::Port {
        if text.is_empty() {
            return Ok(0);
        }
        if !text.iter().all(u8::is_ascii_digit) {
            let name = std::str::from_utf8(text).ok();
            return match name.and_then(services::port) {
                Some(port) => Ok(i128::from(port)),
                None => Err(format!("unrecognized protocol {}", shown())),
            };
        }
    }
    let not_a_number = || format!("{} is not a valid number", shown());
    let trimmed = std::str::from_utf8(text).map_err(|_| not_a_number())?.trim_start();
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(not_a_number());
    }
    let n: i128 = trimmed.parse().map_err(|_| not_a_number())?;
    let wide = || u64::try_from(n & i128::from(u64::MAX)).unwrap_or(0);
    let low = |bits: u32| wide() & (u64::MAX >> 64u32.saturating_sub(bits).min(63));
    Ok(match kind {
        Kind::Int8 => i128::from(low(8).to_le_bytes().first_chunk().map_or(0, |b| i8::from_le_bytes(*b))),
        Kind::Int16 => i128::from(low(16).to_le_bytes().first_chunk().map_or(0, |b| i16::from_le_bytes(*b))),
        Kind::Int32 => i128::from(low(32).to_le_bytes().first_chunk().map_or(0, |b| i32::from_le_bytes(*b))),
        Kind::Int64 | Kind::Double => i128::from(wide().cast_signed()),
        Kind::Uint8 => i128::from(low(8)),
        Kind::Uint16 | Kind::Port => i128::from(low(16)),
        Kind::Uint32 => i128::from(low(32)),
        _ => i128::from(wide()),
    })
}

/// A whole number that is not negative.
pub(super) fn whole(constant: &Constant) -> Result<i128, Refused> {
    parse_number(Kind::Uint64, &constant.bytes).map_err(|message| (constant.span.clone(), message))
}

// ---- truth ----

/// Comparison of a truth value: which of the two pass, `[false, true]`.
pub(super) fn truth(op: Op, modifier: Option<Modifier>, constants: &[Constant]) -> Result<[bool; 2], Refused> {
    let mut wanted = Vec::new();
    for constant in constants {
        wanted.push(match &*constant.bytes {
            b"true" => true,
            b"false" => false,
            other => {
                let shown = String::from_utf8_lossy(other);
                return Err((
                    constant.span.clone(),
                    format!("'{shown}' is no truth value: true or false was expected"),
                ));
            }
        });
    }
    let several = Several::new(modifier, wanted);
    let passes = |value: bool| several.holds(|w| (value == *w) == (op != Op::Ne));
    Ok([passes(false), passes(true)])
}

// ---- addresses ----

/// An IP address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ip {
    V4([u8; 4]),
    V6([u8; 16]),
}

/// A comparison of an address: with addresses, or with networks.
#[derive(Debug, Clone)]
pub(super) struct IpTest {
    op: Op,
    with: Ip,
    /// Bits that count.
    bits: u32,
}

impl IpTest {
    pub fn holds(&self, value: Ip) -> bool {
        let same = match (self.with, value) {
            (Ip::V4(a), Ip::V4(b)) => {
                let differ = u32::from_be_bytes(a) ^ u32::from_be_bytes(b);
                differ.checked_shr(32u32.saturating_sub(self.bits)).unwrap_or(0) == 0
            }
            (Ip::V6(a), Ip::V6(b)) => {
                let differ = u128::from_be_bytes(a) ^ u128::from_be_bytes(b);
                differ.checked_shr(128u32.saturating_sub(self.bits)).unwrap_or(0) == 0
            }
            _ => false,
        };
        same == (self.op != Op::Ne)
    }
}

/// Comparison of an address with constants: addresses, or networks for [`Kind::Net`].
pub(super) fn ip(
    kind: Kind,
    op: Op,
    modifier: Option<Modifier>,
    constants: &[Constant],
) -> Result<Several<IpTest>, Refused> {
    let one = |constant: &Constant| {
        let shown = || String::from_utf8_lossy(&constant.bytes).into_owned();
        let at = |message| (constant.span.clone(), message);
        let text = std::str::from_utf8(&constant.bytes).unwrap_or_default();
        if kind == Kind::Ip {
            return match parse_ip(text) {
                Some((with, bits)) => Ok(IpTest { op, with, bits }),
                None if text.contains('.') => Err(at(format!("unrecognized IPv4 address {}", shown()))),
                None => Err(at(format!("unrecognized IPv6 address {}", shown()))),
            };
        }
        let network = || {
            let (address, length) = text.split_once('/')?;
            let (with, most) = parse_ip(address)?;
            let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
            let bits: u32 = length.parse().ok().filter(|bits| digits && *bits <= most)?;
            Some(IpTest { op, with, bits })
        };
        network().ok_or_else(|| at(format!("unrecognized IP network {}", shown())))
    };
    Ok(Several::new(modifier, constants.iter().map(one).collect::<Result<Vec<_>, Refused>>()?))
}

fn parse_ip(text: &str) -> Option<(Ip, u32)> {
    if text.contains('.') && !text.contains(':') {
        return text.parse().ok().map(|ip: std::net::Ipv4Addr| (Ip::V4(ip.octets()), 32));
    }
    text.parse().ok().map(|ip: std::net::Ipv6Addr| (Ip::V6(ip.octets()), 128))
}

/// Whether bytes occur in others.
pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    memmem::find(text, part).is_some()
}
