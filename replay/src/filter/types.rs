//! Which event types a filter can match: looked at before anything else (filter-language section 9).

use super::ast::Op;
use super::compile::{Left, Node, Test};
use super::operand::Source;
use crate::Interest;
use scapkit_format::schema::{EVENTS, EVENTS_2022, EventInfo, id};

/// A set of event types, over both event tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeSet([u64; TypeSet::WORDS]);

impl TypeSet {
    const WORDS: usize = 8;
    /// Types that a set can hold; the tables have fewer.
    pub const CAPACITY: u16 = 512;

    /// None.
    pub const fn none() -> Self {
        TypeSet([0; Self::WORDS])
    }

    /// All.
    pub const fn all() -> Self {
        TypeSet([u64::MAX; Self::WORDS])
    }

    /// Puts a type in.
    pub fn insert(&mut self, event_type: u16) {
        if let Some(word) = self.0.get_mut(usize::from(event_type >> 6)) {
            *word |= 1 << (event_type & 63);
        }
    }

    /// Whether the type is in it. Types beyond the capacity are in no set.
    #[inline]
    pub fn contains(&self, event_type: u16) -> bool {
        self.0.get(usize::from(event_type >> 6)).is_some_and(|word| word >> (event_type & 63) & 1 == 1)
    }

    /// Whether every type is in it.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    fn both(mut self, other: &TypeSet) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a &= b);
        self
    }

    fn either(mut self, other: &TypeSet) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
        self
    }

    fn others(mut self) -> Self {
        self.0.iter_mut().for_each(|word| *word = !*word);
        self
    }
}

/// Types by name.
#[derive(Debug, Clone)]
pub(super) struct Named {
    /// Events of these types have one of the names, in each table that knows the type.
    pub surely: TypeSet,
    /// Events of these types may have: the call of a generic event, the name of an asynchronous one,
    /// and types that the tables call differently.
    pub perhaps: TypeSet,
}

/// Types whose events are named by what is in them.
pub(super) fn names_itself(event_type: u16) -> bool {
    matches!(event_type, id::GENERIC_E | id::GENERIC_X | id::ASYNCEVENT_E)
}

fn tables() -> impl Iterator<Item = &'static EventInfo> {
    EVENTS.iter().chain(&EVENTS_2022)
}

/// Whether an event type or a system call has that name, or some asynchronous event may.
pub(super) fn is_known(name: &[u8]) -> bool {
    const ASYNCHRONOUS: [&[u8]; 2] = [b"container", b"container_removed"];
    tables().any(|e| e.name.as_bytes() == name)
        || (0..=u16::MAX >> 4)
            .any(|code| scapkit_format::schema::syscall_name(code).is_some_and(|n| n.as_bytes() == name))
        || ASYNCHRONOUS.contains(&name)
}

/// The types whose events have one of these names.
pub(super) fn named(names: &[&[u8]]) -> Named {
    let (mut surely, mut perhaps) = (TypeSet::none(), TypeSet::none());
    for info in tables() {
        if names.contains(&info.name.as_bytes()) {
            surely.insert(info.id);
        }
        if names_itself(info.id) {
            perhaps.insert(info.id);
        }
    }
    for info in tables() {
        if surely.contains(info.id) && !names.contains(&info.name.as_bytes()) {
            perhaps.insert(info.id);
        }
    }
    Named { surely: surely.both(&perhaps.clone().others()), perhaps }
}

/// What an event's header must say for a condition to hold, as far as that can be told.
pub(super) fn interest(node: &Node, types: &TypeSet) -> Interest {
    let mut interest = Interest::default();
    if !types.is_all() {
        interest = interest.types((0..TypeSet::CAPACITY).filter(|t| types.contains(*t)));
    }
    let terms = match node {
        Node::And(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    for term in terms {
        let Node::Check(check) = term else { continue };
        let (Left::One(operand), Test::Number(tests)) = (&check.left, &check.test) else { continue };
        let Source::Field(field, _) = &operand.source else { continue };
        match field.name {
            "thread.tid" => {
                if let Some(tids) = tests.numbers() {
                    interest = interest.threads(tids.into_iter().filter_map(|n| i64::try_from(n).ok()));
                }
            }
            "evt.cpu" => {
                if let Some(cpus) = tests.numbers() {
                    let cpus = cpus.into_iter().filter_map(|n| i16::try_from(n).ok());
                    interest = interest.processors(cpus.map(i16::cast_unsigned));
                }
            }
            "evt.rawtime" => {
                let (first, last) = tests.range();
                let within = |n: i128| u64::try_from(n.clamp(0, i128::from(u64::MAX))).unwrap_or(0);
                interest = interest.between(within(first), within(last));
            }
            _ => {}
        }
    }
    interest
}

/// The types that a condition (or its opposite) can match.
pub(super) fn of(node: &Node, negated: bool) -> TypeSet {
    match node {
        Node::And(all) if !negated => all.iter().fold(TypeSet::all(), |set, n| set.both(&of(n, false))),
        Node::Or(all) if negated => all.iter().fold(TypeSet::all(), |set, n| set.both(&of(n, true))),
        Node::And(all) | Node::Or(all) => all.iter().fold(TypeSet::none(), |set, n| set.either(&of(n, negated))),
        Node::Not(inner) => of(inner, !negated),
        Node::Check(check) => match &check.test {
            Test::Type { names, .. } if negated => names.surely.clone().others(),
            Test::Type { names, .. } => names.surely.clone().either(&names.perhaps),
            Test::Direction(op, enter) => {
                let mut set = TypeSet::none();
                let wanted = (*op == Op::Ne) == negated;
                (0..TypeSet::CAPACITY).filter(|t| (t % 2 == 0) == (*enter == wanted)).for_each(|t| set.insert(t));
                set
            }
            _ => TypeSet::all(),
        },
        Node::Never if negated => TypeSet::all(),
        Node::Never => TypeSet::none(),
    }
}
