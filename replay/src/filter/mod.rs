//! Filters: `evt.type=execve and proc.aname in (sshd, login)` (the filter language).
//!
//! ```text
//! text -> parse -> ast::Expr -> compile -> Node -> Filter::matches(&Context)
//! ```
//!
//! A filter is compiled once: names are looked up, constants parsed by the type of their field, sets
//! hashed, strings made ready to be searched for, cheap conditions put first, and the event types that
//! can match at all gathered. Asking it about an event allocates nothing.

pub mod ast;
mod compare;
mod compile;
mod error;
mod glob;
pub(crate) mod operand;
pub mod parse;
mod prefixes;
mod several;
pub(crate) mod stack;
mod types;

pub use error::FilterError;
pub use types::TypeSet;

use crate::Context;
use crate::TextOptions;
use crate::text::Dialect;
use compare::Ip;
use compile::{Check, Left, Node, Test};
use stack::{Datum, Stack};
use std::sync::Arc;

/// A compiled filter.
///
/// ```
/// use scapkit_replay::Filter;
/// let filter = Filter::compile("evt.type in (open, openat) and fd.name startswith /etc/")?;
/// assert!(!filter.types().is_all());
///
/// let text = "proc.nmae = cat";
/// let error = Filter::compile(text).unwrap_err();
/// assert_eq!(error.nearest, Some("proc.name"));
/// println!("{}", error.shown(text));
/// # Ok::<(), scapkit_replay::FilterError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Filter {
    root: Node,
    types: TypeSet,
    /// How text is made that is compared, by dialect: as by default, however it is printed.
    options: Arc<[TextOptions; 2]>,
    stack: Stack,
}

impl Filter {
    /// Compiles a filter.
    ///
    /// # Errors
    /// [`FilterError`], with the place and what was expected there.
    pub fn compile(text: &str) -> Result<Filter, FilterError> {
        Filter::of(text, &parse::parse(text, parse::MAX_DEPTH)?)
    }

    /// Compiles an expression that was parsed from `text`.
    ///
    /// # Errors
    /// [`FilterError`]: a field, operator or constant that does not fit, or a macro's name.
    pub fn of(text: &str, expr: &ast::Expr) -> Result<Filter, FilterError> {
        let root = compile::compile(text.as_bytes(), expr)?;
        let types = types::of(&root, false);
        let options = Arc::new([TextOptions::new(Dialect::Sysdig), TextOptions::new(Dialect::Libs)]);
        Ok(Filter { root, types, options, stack: Stack::default() })
    }

    /// The event types that can match.
    pub fn types(&self) -> &TypeSet {
        &self.types
    }

    /// What an event's header must say for it to match: a replay that is told of it plays the others in
    /// less time ([`crate::ReplayOptions::interest`]).
    pub fn interest(&self) -> crate::Interest {
        types::interest(&self.root, &self.types)
    }

    /// Whether the event matches.
    #[inline]
    pub fn matches(&mut self, cx: &Context<'_>) -> bool {
        if !self.types.contains(cx.info.id) {
            return false;
        }
        let [sysdig, libs] = &*self.options;
        let options = if cx.options.dialect == Dialect::Sysdig { sysdig } else { libs };
        let TextOptions { dialect: _, time, buffers, cut, zone } = cx.options;
        if *time == options.time && *buffers == options.buffers && *cut == options.cut && zone.is_none() {
            // The usual case, without a copy.
            return holds(&self.root, cx, &mut self.stack);
        }
        let cx = Context { options, ..*cx };
        holds(&self.root, &cx, &mut self.stack)
    }
}

fn holds(node: &Node, cx: &Context<'_>, stack: &mut Stack) -> bool {
    match node {
        Node::And(all) => all.iter().all(|n| holds(n, cx, stack)),
        Node::Or(all) => all.iter().any(|n| holds(n, cx, stack)),
        Node::Not(inner) => !holds(inner, cx, stack),
        Node::Check(check) => passes(check, cx, stack),
        Node::Never => false,
    }
}

#[inline]
fn passes(check: &Check, cx: &Context<'_>, stack: &mut Stack) -> bool {
    match &check.test {
        Test::Type { names, text } => {
            if names.surely.contains(cx.info.id) {
                return true;
            }
            names.perhaps.contains(cx.info.id) && text.holds(crate::fields::event::type_name(cx))
        }
        Test::Direction(op, enter) => (cx.info.is_enter() == *enter) == (*op != ast::Op::Ne),
        Test::Around(from, to) => (*from..=*to).contains(&i128::from(cx.event.ts)),
        test => {
            stack.clear();
            match &check.left {
                Left::Several(values, _) if matches!(test, Test::Exists) => values.exist(cx),
                Left::Several(values, all) => {
                    values.pass(cx, stack, *all, &|datum, stack| constant(test, datum, stack))
                }
                Left::One(operand) => {
                    let Some(datum) = operand.eval(cx, stack) else { return false };
                    match test {
                        Test::Exists => true,
                        Test::Value(op, right) => {
                            right.eval(cx, stack).is_some_and(|right| values(*op, &datum, &right, stack))
                        }
                        test => constant(test, &datum, stack),
                    }
                }
            }
        }
    }
}

/// Compares with constants. A value of another type than the test is for passes none.
#[inline]
fn constant(test: &Test, datum: &Datum<'_>, stack: &Stack) -> bool {
    match (test, datum) {
        (Test::Text(tests), datum) => datum.text(stack).is_some_and(|text| tests.holds(|t| t.holds(text))),
        (Test::Bytes(tests), datum) => datum.text(stack).is_some_and(|bytes| tests.holds(|t| t.holds(bytes))),
        (Test::Number(tests), Datum::Number(n)) => tests.holds(|t| t.holds(*n)),
        (Test::Number(tests), Datum::Double(d)) => tests.holds(|t| t.holds_double(*d)),
        (Test::Truth(passing), Datum::Bool(b)) => {
            let [on_false, on_true] = *passing;
            if *b { on_true } else { on_false }
        }
        (Test::Ip(tests), Datum::Ipv4(ip)) => tests.holds(|t| t.holds(Ip::V4(*ip))),
        (Test::Ip(tests), Datum::Ipv6(ip)) => tests.holds(|t| t.holds(Ip::V6(*ip))),
        (Test::Items(set, all), Datum::List(range)) => {
            let mut items = stack.items.get(range.clone()).unwrap_or_default().iter();
            let in_set = |item: &std::ops::Range<usize>| set.holds(stack.get(item));
            if *all { items.all(in_set) } else { items.any(in_set) }
        }
        _ => false,
    }
}

/// Compares two values of the event.
fn values(op: ast::Op, left: &Datum<'_>, right: &Datum<'_>, stack: &Stack) -> bool {
    use ast::Op as O;
    if let (Datum::List(left), Datum::List(right)) = (left, right) {
        let items = |range: &std::ops::Range<usize>| stack.items.get(range.clone()).unwrap_or_default().iter();
        let known = |item: &std::ops::Range<usize>| items(right).any(|other| stack.get(other) == stack.get(item));
        return if op == O::In { items(left).all(known) } else { items(left).any(known) };
    }
    match (left, right) {
        (Datum::Number(a), Datum::Number(b)) => return compare::ordered(op, a.cmp(b)),
        (Datum::Double(a), Datum::Double(b)) => {
            return a.partial_cmp(b).map_or(op == O::Ne, |order| compare::ordered(op, order));
        }
        (Datum::Bool(a), Datum::Bool(b)) => return (a == b) == (op != O::Ne),
        (Datum::Ipv4(_) | Datum::Ipv6(_), Datum::Ipv4(_) | Datum::Ipv6(_)) => return (left == right) == (op != O::Ne),
        _ => {}
    }
    let Some((left, right)) = left.text(stack).zip(right.text(stack)) else { return false };
    match op {
        O::In | O::Intersects => left == right,
        O::Contains | O::BContains => compare::contains(left, right),
        O::IContains => compare::contains(&left.to_ascii_lowercase(), &right.to_ascii_lowercase()),
        O::StartsWith | O::BStartsWith => left.starts_with(right),
        O::EndsWith => left.ends_with(right),
        // The pattern is another for each event.
        O::Glob | O::IGlob => glob::glob(right, op == O::IGlob).is_ok_and(|pattern| pattern.is_match(left)),
        _ => compare::ordered(op, left.cmp(right)),
    }
}

#[cfg(test)]
mod tests;
