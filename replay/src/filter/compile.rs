//! Expression to conditions that are ready to be asked (filter-language sections 3 and 5).

use super::ast::{self, Constant, Expr, Modifier, Op, OperandKind, Right};
use super::compare::{self, BytesTest, IpTest, NumberTest, Several, TextTest};
use super::error::FilterError;
use super::operand::{self, Operand, Source};
use super::several::{self, Values};
use super::types::{self, Named};
use crate::fields::{Arg, Kind, Traits};

/// A condition.
#[derive(Debug, Clone)]
pub(super) enum Node {
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
    Check(Box<Check>),
    /// What no event fulfils.
    Never,
}

/// A comparison.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub left: Left,
    pub test: Test,
    cost: u32,
}

/// What is compared.
#[derive(Debug, Clone)]
pub(super) enum Left {
    One(Operand),
    /// Several values of the event, of which one must pass, or all.
    Several(Values, bool),
}

/// How it is compared.
#[derive(Debug, Clone)]
pub(super) enum Test {
    Exists,
    Text(Several<TextTest>),
    Bytes(Several<BytesTest>),
    Number(Several<NumberTest>),
    Truth([bool; 2]),
    Ip(Several<IpTest>),
    /// The items of a list: all, or one, in a set.
    Items(TextTest, bool),
    /// Another value of the event.
    Value(Op, Operand),
    /// The event's type.
    Type {
        names: Named,
        text: TextTest,
    },
    /// `evt.dir`: whether the constant is `>`.
    Direction(Op, bool),
    /// `evt.around`: ns from and to.
    Around(i128, i128),
}

type Compiled<T> = Result<T, FilterError>;

/// Compiles an expression of this text.
pub(super) fn compile(text: &[u8], expr: &Expr) -> Compiled<Node> {
    Ok(match expr {
        Expr::And(all) => chain(text, all, Node::And)?,
        Expr::Or(all) => chain(text, all, Node::Or)?,
        Expr::Not(inner) => Node::Not(Box::new(compile(text, inner)?)),
        Expr::Check(check) => one(text, check)?,
        Expr::Macro(name, span) => {
            let nearest = crate::fields::nearest(name);
            return Err(FilterError::new(text, span.clone(), format!("filter error: unexpected identifier '{name}'"))
                .near(nearest));
        }
    })
}

/// Cheap conditions first: they have no effects, so their order cannot be told.
fn chain(text: &[u8], all: &[Expr], make: fn(Vec<Node>) -> Node) -> Compiled<Node> {
    let mut nodes = all.iter().map(|e| compile(text, e)).collect::<Compiled<Vec<_>>>()?;
    nodes.sort_by_cached_key(Node::cost);
    Ok(make(nodes))
}

impl Node {
    fn cost(&self) -> u32 {
        match self {
            Node::And(all) | Node::Or(all) => all.iter().fold(1, |sum, n| sum.saturating_add(n.cost())),
            Node::Not(inner) => inner.cost(),
            Node::Check(check) => check.cost,
            Node::Never => 0,
        }
    }
}

/// What an operator says of a value's type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Numeric,
    Truth,
    Address,
    String,
    Buffer,
    List,
    None,
}

fn class(operand: &Operand) -> Class {
    match operand.kind {
        _ if operand.list => Class::List,
        Kind::Bool => Class::Truth,
        Kind::Ip | Kind::Net => Class::Address,
        Kind::Text => Class::String,
        Kind::Bytes => Class::Buffer,
        Kind::Opaque(_) | Kind::Argument => Class::None,
        _ => Class::Numeric,
    }
}

fn allowed(class: Class, op: Op) -> bool {
    use Op as O;
    let set = matches!(op, O::In | O::Intersects);
    let equal = matches!(op, O::Eq | O::Ne) || set;
    let ordered = matches!(op, O::Lt | O::Le | O::Gt | O::Ge);
    match class {
        _ if op == O::Exists => true,
        Class::Numeric => equal || ordered,
        Class::Truth | Class::Address => equal,
        Class::String => equal || ordered || !matches!(op, O::BContains | O::BStartsWith),
        Class::Buffer => {
            equal || matches!(op, O::Contains | O::StartsWith | O::EndsWith | O::BContains | O::BStartsWith)
        }
        Class::List => set,
        Class::None => false,
    }
}

fn one(text: &[u8], check: &ast::Check) -> Compiled<Node> {
    let fail = |span: std::ops::Range<usize>, message: String| FilterError::new(text, span, message);
    let operand = operand::compile(text, &check.left)?;
    let class = class(&operand);
    let (op, modifier) = (check.op, check.modifier);
    if !allowed(class, op) {
        let name = op.name();
        let message = match class {
            Class::Numeric | Class::Truth => format!("'{name}' operator not supported for numeric filters"),
            Class::Address => format!("'{name}' operator not supported for ip address and network filters"),
            Class::String => format!("'{name}' operator not supported for string filters"),
            Class::Buffer => format!("'{name}' operator not supported for buffer filters"),
            Class::List => format!("'{name}' operator not supported list filters"),
            Class::None => {
                format!("'{name}' operator not supported for type '{}'", operand.kind.upstream_name())
            }
        };
        return Err(fail(check.span.clone(), message));
    }
    let constants: &[Constant] = match &check.right {
        Right::Nothing => return Ok(made(left(operand, op), Test::Exists, 0)),
        Right::Operand(right) => return other(text, check, operand, right),
        Right::Value(value) => std::slice::from_ref(value),
        Right::List(values) => values,
    };
    if operand.kind != Kind::Bytes
        && let Some(bad) = constants.iter().find(|c| c.bytes.contains(&0))
    {
        return Err(fail(bad.span.clone(), "a constant cannot contain the byte 0".into()));
    }
    let field = if let Source::Field(field, arg) = &operand.source { Some((field.name, arg.clone())) } else { None };
    match &field {
        Some(("evt.type", _)) => {
            if let Some(bad) = constants.iter().find(|c| exact(op) && !types::is_known(&c.bytes)) {
                let name = String::from_utf8_lossy(&bad.bytes);
                return Err(fail(bad.span.clone(), format!("unknown event type {name}")).near(nearest_type(&name)));
            }
            let opposite = match (op, modifier) {
                (Op::Eq, None | Some(Modifier::AnyOf)) | (Op::In | Op::Intersects, _) => Some(false),
                (Op::Ne, None | Some(Modifier::AllOf)) if !constants.is_empty() => Some(true),
                _ => None,
            };
            if let Some(opposite) = opposite {
                let names: Vec<&[u8]> = constants.iter().map(|c| &*c.bytes).collect();
                let test = Test::Type { names: types::named(&names), text: compare::set(constants) };
                let node = made(Left::One(operand), test, 0);
                return Ok(if opposite { Node::Not(Box::new(node)) } else { node });
            }
        }
        Some(("evt.dir", _)) if matches!(op, Op::Eq | Op::Ne) && modifier.is_none() => {
            if let [b">" | b"<"] = constants.iter().map(|c| &*c.bytes).collect::<Vec<_>>().as_slice() {
                let enter = constants.first().is_some_and(|c| c.bytes == b">");
                return Ok(made(Left::One(operand), Test::Direction(op, enter), 0));
            }
        }
        Some(("evt.around", Arg::Index(time))) => {
            let milliseconds = match constants {
                [one] if op == Op::Eq && modifier.is_none() => refused(text, compare::whole(one))?,
                _ => return Err(fail(check.span.clone(), "evt.around takes '=' and one number of ms only".into())),
            };
            let (time, span) = (i128::try_from(*time).unwrap_or(i128::MAX), milliseconds.saturating_mul(1_000_000));
            let test = Test::Around(time.saturating_sub(span), time.saturating_add(span));
            return Ok(made(Left::One(operand), test, 0));
        }
        _ => {}
    }
    let kind = operand.kind;
    let (test, cost) = match class {
        Class::List => {
            // Every item of no list is in every set.
            (Test::Items(compare::set(constants), op == Op::In), 4)
        }
        Class::String => {
            let tests = refused(text, compare::text(op, modifier, constants))?;
            let cost = match &tests {
                Several::One(test) => test.cost(),
                Several::Any(all) | Several::All(all) | Several::Only(all) => {
                    all.iter().fold(0, |sum, test| test.cost().saturating_add(sum).saturating_add(1))
                }
            };
            (Test::Text(tests), cost)
        }
        Class::Buffer => (Test::Bytes(refused(text, compare::bytes(op, modifier, constants))?), 2),
        Class::Numeric => (Test::Number(refused(text, compare::number(kind, op, modifier, constants))?), 0),
        Class::Truth => (Test::Truth(refused(text, compare::truth(op, modifier, constants))?), 0),
        Class::Address => (Test::Ip(refused(text, compare::ip(kind, op, modifier, constants))?), 0),
        Class::None => return Ok(Node::Never),
    };
    Ok(made(left(operand, op), test, cost))
}

/// Operators whose constants must be whole names of event types.
fn exact(op: Op) -> bool {
    matches!(op, Op::Eq | Op::Ne | Op::In | Op::Intersects)
}

fn nearest_type(name: &str) -> Option<&'static str> {
    use scapkit_format::schema::{EVENTS, EVENTS_2022};
    crate::fields::nearest_of(name, EVENTS.iter().chain(&EVENTS_2022).map(|e| e.name))
}

/// A comparison with another value of the event.
fn other(text: &[u8], check: &ast::Check, left: Operand, right_ast: &ast::Operand) -> Compiled<Node> {
    let fail = |message: String| FilterError::new(text, right_ast.span.clone(), message);
    let right = operand::compile(text, right_ast)?;
    if matches!(check.op, Op::PMatch | Op::Regex) {
        return Err(fail(format!("'{}' operator does not take a field on its right side", check.op.name())));
    }
    let inner = match &right_ast.kind {
        OperandKind::Call { args, .. } => args.first(),
        _ => None,
    };
    if right.traits.has(Traits::NO_RHS) || left.kind == Kind::Net {
        let shown = inner.map_or(&right_ast.span, |arg| &arg.span);
        let name = String::from_utf8_lossy(text.get(shown.clone()).unwrap_or_default());
        return Err(fail(format!("field '{name}' cannot be compared with here")));
    }
    if left.kind.upstream_name() != right.kind.upstream_name() || left.list != right.list {
        let shown = |o: &Operand| format!("{}'{}'", if o.list { "list of " } else { "" }, o.kind.upstream_name());
        return Err(fail(format!("a value of type {} cannot be compared with one of {}", shown(&left), shown(&right))));
    }
    let cost = source_cost(&right.source);
    Ok(made(self::left(left, check.op), Test::Value(check.op, right), cost))
}

fn refused<T>(text: &[u8], result: Result<T, compare::Refused>) -> Compiled<T> {
    result.map_err(|(span, message)| FilterError::new(text, span, message))
}

fn left(operand: Operand, op: Op) -> Left {
    match several::of(&operand) {
        // No address is it: neither of both.
        Some(values) => {
            let all = op == Op::Ne && values.differ_by_all();
            Left::Several(values, all)
        }
        None => Left::One(several::network_of(operand)),
    }
}

fn made(left: Left, test: Test, cost: u32) -> Node {
    let left_cost = match &left {
        Left::One(operand) => source_cost(&operand.source),
        Left::Several(..) => 8,
    };
    Node::Check(Box::new(Check { left, test, cost: cost.saturating_add(left_cost) }))
}

fn source_cost(source: &Source) -> u32 {
    match source {
        Source::Field(field, _) => match field.name {
            "evt.type" | "evt.dir" | "evt.cpu" | "evt.num" | "evt.rawtime" | "thread.tid" | "evt.rawres" => 0,
            "evt.arg" | "evt.args" | "evt.info" | "evt.res" => 6,
            name if field.kind != Kind::Text || name.starts_with("fd.") || name.starts_with("proc.") => 1,
            _ => 2,
        },
        Source::Data | Source::RawArgument(_) | Source::Literal(_) => 1,
        Source::Each(_, inner) | Source::Len(inner, _) => source_cost(inner).saturating_add(3),
        Source::Join(..) | Source::Concat(_) | Source::List(_) | Source::GetOpt { .. } => 10,
    }
}
