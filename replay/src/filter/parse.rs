//! Text to expression (filter-language sections 1 and 2).
//!
//! The text is bytes, without a grammar of its own for Unicode. Tokens are matched at the cursor, so
//! what a word is depends on where it stands.

use super::ast::{Check, Constant, Expr, Function, Modifier, Op, Operand, OperandKind, Right};
use super::error::FilterError;
use std::ops::Range;

/// Deepest nesting of a filter that a user writes.
pub const MAX_DEPTH: usize = 100;

/// Longest filter, so that one that goes wrong is refused at once.
pub const MAX_LENGTH: usize = 16 << 20;

type Parsed<T> = Result<T, FilterError>;

/// Parses a filter, nested at most `max_depth` deep.
///
/// # Errors
/// [`FilterError`], with the place and what was expected there.
pub fn parse(text: &str, max_depth: usize) -> Parsed<Expr> {
    let text = text.as_bytes();
    let mut p = Parser { text, at: 0, depth: 0, max_depth };
    if text.len() > MAX_LENGTH {
        return Err(p.fail_at(MAX_LENGTH..text.len(), format!("a filter can be at most {MAX_LENGTH} bytes long")));
    }
    p.blank();
    if p.rest().is_empty() {
        return Err(p.fail("filter input string is empty"));
    }
    let expr = p.or()?;
    p.blank();
    if !p.rest().is_empty() {
        let before = p.last_word();
        return Err(p.fail(format!("unexpected token after '{before}', expecting 'or', 'and'")));
    }
    Ok(expr)
}

/// Parses an operand at the start of a text, as formats have it (`toupper(proc.name)`), and says how
/// many bytes it takes. Constants stand in calls only.
///
/// # Errors
/// [`FilterError`], with the place and what was expected there.
pub fn operand(text: &str) -> Parsed<(Operand, usize)> {
    let mut p = Parser { text: text.as_bytes(), at: 0, depth: 0, max_depth: MAX_DEPTH };
    match p.call()? {
        Some(operand) => Ok((operand, p.at)),
        None => Err(p.fail("expected the name of a transformer")),
    }
}

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    depth: usize,
    max_depth: usize,
}

/// Operators that end where their letters end.
const SYMBOLS: [(&str, Op); 3] = [("==", Op::Eq), ("=", Op::Eq), ("!=", Op::Ne)];

/// Operators that a blank must follow.
const WORDS: [(&str, Op); 9] = [
    ("glob", Op::Glob),
    ("iglob", Op::IGlob),
    ("contains", Op::Contains),
    ("icontains", Op::IContains),
    ("bcontains", Op::BContains),
    ("startswith", Op::StartsWith),
    ("bstartswith", Op::BStartsWith),
    ("endswith", Op::EndsWith),
    ("regex", Op::Regex),
];

const NUMERIC: [(&str, Op); 4] = [("<=", Op::Le), ("<", Op::Lt), (">=", Op::Ge), (">", Op::Gt)];

const LISTS: [(&str, Op); 3] = [("intersects", Op::Intersects), ("in", Op::In), ("pmatch", Op::PMatch)];

const MODIFIERS: [(&str, Modifier); 3] =
    [("oneof", Modifier::OneOf), ("anyof", Modifier::AnyOf), ("allof", Modifier::AllOf)];

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | 8 | b'\r' | b'\n')
}

fn is_bare(b: u8) -> bool {
    !is_blank(b) && !matches!(b, b'(' | b')' | b'"' | b'\'' | b'=' | b',')
}

fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn step(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.text.len());
    }

    fn fail(&self, message: impl Into<String>) -> FilterError {
        self.fail_at(self.at..self.at, message)
    }

    fn fail_at(&self, span: Range<usize>, message: impl Into<String>) -> FilterError {
        FilterError::new(self.text, span, message)
    }

    /// The word before the cursor, for a message.
    fn last_word(&self) -> String {
        let before = self.text.get(..self.at).unwrap_or_default().trim_ascii_end();
        let len = before.iter().rev().take_while(|b| !is_blank(**b)).take(64).count();
        let word = before.get(before.len().saturating_sub(len)..).unwrap_or_default();
        String::from_utf8_lossy(word).into_owned()
    }

    /// Skips blanks, and says whether there were any.
    fn blank(&mut self) -> bool {
        let n = self.rest().iter().take_while(|b| is_blank(**b)).count();
        self.step(n);
        n > 0
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token.as_bytes());
        if found {
            self.step(token.len());
        }
        found
    }

    /// Takes the longest run of such bytes.
    fn run(&mut self, of: fn(u8) -> bool) -> &'t [u8] {
        let rest = self.rest();
        let run = rest.get(..rest.iter().take_while(|b| of(**b)).count()).unwrap_or_default();
        self.step(run.len());
        run
    }

    fn deeper<T>(&mut self, parse: fn(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > self.max_depth {
            return Err(self.fail(format!("exceeded max depth limit of {}", self.max_depth)));
        }
        let parsed = parse(self)?;
        self.depth = self.depth.saturating_sub(1);
        Ok(parsed)
    }

    // ---- expressions ----

    fn or(&mut self) -> Parsed<Expr> {
        self.chain("or", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Parsed<Expr> {
        self.chain("and", Self::not, Expr::And)
    }

    fn chain(&mut self, word: &str, next: fn(&mut Self) -> Parsed<Expr>, make: fn(Vec<Expr>) -> Expr) -> Parsed<Expr> {
        self.blank();
        let first = next(self)?;
        let mut all = vec![first];
        self.blank();
        while self.take(word) {
            let child = if self.blank() {
                next(self)?
            } else if self.take("(") {
                self.bracket()?
            } else {
                return Err(self.fail(format!("expected blank or '(' after '{word}'")));
            };
            all.push(child);
            self.blank();
        }
        Ok(if all.len() == 1 { all.swap_remove(0) } else { make(all) })
    }

    /// What follows an opening bracket, and the closing one.
    fn bracket(&mut self) -> Parsed<Expr> {
        let inside = self.deeper(Self::or)?;
        self.blank();
        if !self.take(")") {
            return Err(self.fail("expected a ')' token"));
        }
        Ok(inside)
    }

    fn not(&mut self) -> Parsed<Expr> {
        let mut negated = false;
        let expr = loop {
            self.blank();
            let after = self.rest().strip_prefix(b"not").and_then(|r| r.first()).copied();
            match after {
                Some(b'(') => {
                    self.step(4);
                    negated = !negated;
                    break self.bracket()?;
                }
                Some(b) if is_blank(b) => {
                    self.step(3);
                    negated = !negated;
                }
                _ => break self.check()?,
            }
        };
        Ok(if negated { Expr::Not(Box::new(expr)) } else { expr })
    }

    fn check(&mut self) -> Parsed<Expr> {
        if self.take("(") {
            return self.bracket();
        }
        let start = self.at;
        let left = match self.call()? {
            Some(call) => call,
            None => match self.field()? {
                Some(field) => field,
                None => return self.macro_name(),
            },
        };
        self.blank();
        let (op, modifier, right) = self.condition()?;
        Ok(Expr::Check(Check { left, op, modifier, right, span: start..self.at }))
    }

    fn macro_name(&mut self) -> Parsed<Expr> {
        let start = self.at;
        match self.identifier() {
            Some(name) => Ok(Expr::Macro(name, start..self.at)),
            None => Err(self.fail("expected a '(' token, a field check, or an identifier")),
        }
    }

    // ---- left sides ----

    fn identifier(&mut self) -> Option<String> {
        self.peek().filter(u8::is_ascii_alphabetic)?;
        Some(String::from_utf8_lossy(self.run(is_word)).into_owned())
    }

    /// Length of a field's name at the cursor: parts that start with a letter, with points between.
    fn field_name(&self) -> Option<usize> {
        let rest = self.rest();
        let part = |from: usize| {
            let text = rest.get(from..)?;
            text.first().filter(|b| b.is_ascii_alphabetic())?;
            Some(from.saturating_add(text.iter().take_while(|b| is_word(**b)).count()))
        };
        let mut end = part(0)?;
        let mut parts = 1;
        while rest.get(end) == Some(&b'.') {
            let Some(next) = part(end.saturating_add(1)) else { break };
            (end, parts) = (next, 2);
        }
        (parts == 2).then_some(end)
    }

    fn field(&mut self) -> Parsed<Option<Operand>> {
        let start = self.at;
        let Some(len) = self.field_name() else { return Ok(None) };
        let name = String::from_utf8_lossy(self.rest().get(..len).unwrap_or_default()).into_owned();
        self.step(len);
        let arg = self.selector()?;
        Ok(Some(Operand { kind: OperandKind::Field { name, arg }, span: start..self.at }))
    }

    /// `[argument]`, where there is one.
    fn selector(&mut self) -> Parsed<Option<Vec<u8>>> {
        if !self.take("[") {
            return Ok(None);
        }
        let arg = if let Some(text) = self.quoted()? {
            text
        } else {
            let bare = self.run(|b| !is_blank(b) && !matches!(b, b'[' | b']' | b'"' | b'\''));
            if bare.is_empty() {
                return Err(self.fail("expected a valid field argument: a quoted string or a bare string"));
            }
            bare.to_vec()
        };
        if !self.take("]") {
            return Err(self.fail("expected a ']' token"));
        }
        Ok(Some(arg))
    }

    fn call(&mut self) -> Parsed<Option<Operand>> {
        let start = self.at;
        let starts = |f: &&Function| {
            self.rest().strip_prefix(f.name().as_bytes()).is_some_and(|after| after.first() == Some(&b'('))
        };
        let Some(function) = Function::ALL.iter().find(starts).copied() else { return Ok(None) };
        self.step(function.name().len().saturating_add(1));
        let args = self.deeper(Self::arguments)?;
        let selector = self.selector()?;
        Ok(Some(Operand { kind: OperandKind::Call { function, args, selector }, span: start..self.at }))
    }

    /// Arguments of a call up to its closing bracket.
    fn arguments(&mut self) -> Parsed<Vec<Operand>> {
        self.blank();
        let mut args = Vec::new();
        if self.take(")") {
            return Ok(args);
        }
        loop {
            self.blank();
            args.push(self.argument()?);
            self.blank();
            if self.take(")") {
                return Ok(args);
            }
            if !self.take(",") {
                return Err(self.fail("expected a ')' token closing the transformer"));
            }
        }
    }

    fn argument(&mut self) -> Parsed<Operand> {
        let start = self.at;
        if self.take("(") {
            let items = self.deeper(Self::list_items)?;
            return Ok(Operand { kind: OperandKind::List(items), span: start..self.at });
        }
        self.scalar()
    }

    /// Items of a list in a call up to its closing bracket; no lists in lists.
    fn list_items(&mut self) -> Parsed<Vec<Operand>> {
        let mut items = Vec::new();
        self.blank();
        if self.take(")") {
            return Ok(items);
        }
        loop {
            self.blank();
            items.push(self.scalar()?);
            self.blank();
            if self.take(")") {
                return Ok(items);
            }
            if !self.take(",") {
                return Err(self.fail("expected a ')' token closing the list"));
            }
        }
    }

    fn scalar(&mut self) -> Parsed<Operand> {
        let start = self.at;
        if let Some(number) = self.number() {
            return Ok(Operand { kind: OperandKind::Literal(number), span: start..self.at });
        }
        if let Some(text) = self.quoted()? {
            return Ok(Operand { kind: OperandKind::Literal(text), span: start..self.at });
        }
        if let Some(call) = self.call()? {
            return Ok(call);
        }
        match self.field()? {
            Some(field) => Ok(field),
            None => Err(self
                .fail("expected a field with a valid transformer, a field, a quoted string, or a number as argument")),
        }
    }

    // ---- operators and right sides ----

    fn condition(&mut self) -> Parsed<(Op, Option<Modifier>, Right)> {
        if self.take("exists") {
            return Ok((Op::Exists, None, Right::Nothing));
        }
        if let Some(op) = self.one_of(&NUMERIC) {
            self.blank();
            return Ok((op, None, self.numeric_right()?));
        }
        if let Some(op) = self.one_of(&SYMBOLS) {
            let blank = self.blank();
            let (modifier, right) = self.string_right(blank)?;
            return Ok((op, modifier, right));
        }
        for (word, op) in WORDS {
            let follows = self.rest().strip_prefix(word.as_bytes()).and_then(|r| r.first());
            if follows.is_some_and(|b| is_blank(*b)) {
                self.step(word.len());
                self.blank();
                let (modifier, right) = self.string_right(true)?;
                return Ok((op, modifier, right));
            }
        }
        if let Some(op) = self.one_of(&LISTS) {
            self.blank();
            return Ok((op, None, self.list_right()?));
        }
        let rest = self.rest();
        let word = rest.iter().take_while(|b| !is_blank(**b)).take(32).count();
        Err(self.fail_at(
            self.at..self.at.saturating_add(word),
            "expected a valid check operator: one of 'exists', '<=', '<', '>=', '>', '==', '=', '!=', 'glob', 'iglob', \
             'contains', 'icontains', 'bcontains', 'startswith', 'bstartswith', 'endswith', 'regex', 'intersects', \
             'in', 'pmatch'",
        ))
    }

    fn one_of<T: Copy>(&mut self, tokens: &[(&str, T)]) -> Option<T> {
        tokens.iter().find(|(token, _)| self.take(token)).map(|(_, value)| *value)
    }

    /// `val(field)` or a transformer.
    fn right_operand(&mut self) -> Parsed<Option<Operand>> {
        let start = self.at;
        if !self.take("val(") {
            return self.call();
        }
        self.blank();
        let Some(field) = self.field()? else {
            return Err(self.fail("expected a field within 'val()'"));
        };
        self.blank();
        if !self.take(")") {
            return Err(self.fail("expected a ')' token closing 'val('"));
        }
        let kind = OperandKind::Call { function: Function::Val, args: vec![field], selector: None };
        Ok(Some(Operand { kind, span: start..self.at }))
    }

    fn numeric_right(&mut self) -> Parsed<Right> {
        let start = self.at;
        if let Some(operand) = self.right_operand()? {
            return Ok(Right::Operand(operand));
        }
        match self.number() {
            Some(bytes) => Ok(Right::Value(Constant { bytes, span: start..self.at })),
            None => Err(self.fail(
                "expected a number value or a field with a valid transformer: 'val', 'tolower', 'toupper', 'b64', \
                 'basename', 'len', 'join', 'concat', 'getopt'",
            )),
        }
    }

    /// A decimal or hexadecimal number as it is written.
    fn number(&mut self) -> Option<Vec<u8>> {
        let rest = self.rest();
        let digits = |from: usize, of: fn(&u8) -> bool| {
            rest.get(from..).unwrap_or_default().iter().take_while(|b| of(b)).count()
        };
        let mut len = 0;
        if rest.starts_with(b"0x") || rest.starts_with(b"0X") {
            let n = digits(2, u8::is_ascii_hexdigit);
            len = if n > 0 { n.saturating_add(2) } else { 0 };
        }
        if len == 0 {
            let sign = usize::from(matches!(rest.first(), Some(b'+' | b'-')));
            let whole = digits(sign, u8::is_ascii_digit);
            if whole == 0 {
                return None;
            }
            len = sign.saturating_add(whole);
            if rest.get(len) == Some(&b'.') {
                len = len.saturating_add(1);
                len = len.saturating_add(digits(len, u8::is_ascii_digit));
            }
            let exponent = matches!(rest.get(len), Some(b'e' | b'E'))
                && matches!(rest.get(len.saturating_add(1)), Some(b'+' | b'-'));
            let power = digits(len.saturating_add(2), u8::is_ascii_digit);
            if exponent && power > 0 {
                len = len.saturating_add(2).saturating_add(power);
            }
        }
        let number = rest.get(..len)?.to_vec();
        self.step(len);
        Some(number)
    }

    fn string_right(&mut self, blank: bool) -> Parsed<(Option<Modifier>, Right)> {
        if blank && let Some((modifier, list)) = self.modified()? {
            return Ok((Some(modifier), list));
        }
        if let Some(operand) = self.right_operand()? {
            return Ok((None, Right::Operand(operand)));
        }
        match self.value()? {
            Some(value) => Ok((None, Right::Value(value))),
            None => Err(self.fail(
                "expected a string value or a field with a valid transformer: 'val', 'tolower', 'toupper', 'b64', \
                 'basename', 'len', 'join', 'concat', 'getopt'",
            )),
        }
    }

    /// `oneof (..)` or `oneof list`. A modifier's word that neither follows is an ordinary value.
    fn modified(&mut self) -> Parsed<Option<(Modifier, Right)>> {
        let start = self.at;
        let Some(modifier) = self.one_of(&MODIFIERS) else { return Ok(None) };
        if self.blank() {
            if self.peek() == Some(b'(') {
                return Ok(Some((modifier, self.list()?)));
            }
            let from = self.at;
            let is_list = |name: &str| !matches!(name, "and" | "or" | "not");
            if let Some(name) = self.identifier().filter(|n| is_list(n)) {
                let value = Constant { bytes: name.into_bytes(), span: from..self.at };
                return Ok(Some((modifier, Right::List(vec![value]))));
            }
        }
        self.at = start;
        Ok(None)
    }

    fn list_right(&mut self) -> Parsed<Right> {
        if self.peek() == Some(b'(') {
            return self.list();
        }
        if let Some(operand) = self.right_operand()? {
            return Ok(Right::Operand(operand));
        }
        let start = self.at;
        match self.identifier() {
            Some(name) => Ok(Right::List(vec![Constant { bytes: name.into_bytes(), span: start..self.at }])),
            None => Err(self.fail(
                "expected a list, an identifier, or a field with a valid transformer: 'val', 'tolower', 'toupper', \
                 'b64', 'basename', 'len', 'join', 'concat', 'getopt'",
            )),
        }
    }

    fn list(&mut self) -> Parsed<Right> {
        self.step(1);
        let mut values = Vec::new();
        self.blank();
        if self.take(")") {
            return Ok(Right::List(values));
        }
        loop {
            self.blank();
            match self.value()? {
                Some(value) => values.push(value),
                None => return Err(self.fail("expected a string value in the list")),
            }
            self.blank();
            if self.take(")") {
                return Ok(Right::List(values));
            }
            if !self.take(",") {
                return Err(self.fail("expected a ')' token"));
            }
        }
    }

    fn value(&mut self) -> Parsed<Option<Constant>> {
        let start = self.at;
        let bytes = match self.quoted()? {
            Some(text) => text,
            None => self.run(is_bare).to_vec(),
        };
        if start == self.at {
            return Ok(None);
        }
        Ok(Some(Constant { bytes, span: start..self.at }))
    }

    /// A string in quotes, without quotes and escapes. It ends at the first such quote that no
    /// backslash precedes, even if that backslash is itself escaped.
    fn quoted(&mut self) -> Parsed<Option<Vec<u8>>> {
        let Some(quote) = self.peek().filter(|b| matches!(b, b'"' | b'\'')) else { return Ok(None) };
        let start = self.at;
        let body = self.text.get(start.saturating_add(1)..).unwrap_or_default();
        let mut previous = quote;
        let mut end = None;
        for (at, b) in body.iter().enumerate() {
            if *b == quote && previous != b'\\' {
                end = Some(at);
                break;
            }
            previous = *b;
        }
        let Some(end) = end else {
            return Err(self.fail_at(start..self.text.len(), "this string has no closing quote"));
        };
        let from = start.saturating_add(1);
        let text = unescape(body.get(..end).unwrap_or_default(), quote)
            .map_err(|(at, message)| self.fail_at(from.saturating_add(at)..from.saturating_add(end), message))?;
        self.at = from.saturating_add(end).saturating_add(1);
        Ok(Some(text))
    }
}

/// Resolves the escapes of a quoted string; where one is wrong, and why.
fn unescape(text: &[u8], quote: u8) -> Result<Vec<u8>, (usize, String)> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().enumerate();
    while let Some((at, b)) = bytes.next() {
        if *b != b'\\' {
            out.push(*b);
            continue;
        }
        let Some((_, escape)) = bytes.next() else {
            return Err((at, "a string cannot end in a backslash".into()));
        };
        out.push(match *escape {
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'/' => b'/',
            // Upstream drops the blank.
            b'\\' | b' ' => b'\\',
            b if b == quote => b,
            b'"' => return Err((at, "invalid \\\" escape in '-quoted string".into())),
            b'\'' => return Err((at, "invalid \\' escape in \"-quoted string".into())),
            b'x' => {
                let (Some((_, high)), Some((_, low))) = (bytes.next(), bytes.next()) else {
                    return Err((at, "truncated hex char escape sequence".into()));
                };
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                let Some((high, low)) = digit(*high).zip(digit(*low)) else {
                    let shown = String::from_utf8_lossy(&[*high, *low]).into_owned();
                    return Err((at, format!("invalid hex char escape sequence: {shown}")));
                };
                (high << 4) | low
            }
            other => {
                let shown = other.escape_ascii();
                return Err((at, format!("unsupported string escape sequence: \\{shown}")));
            }
        });
    }
    Ok(out)
}
