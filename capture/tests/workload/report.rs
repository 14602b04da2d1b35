//! What the workload says of its calls: a line of JSON for each, in a file that the test reads.

use super::check::Check;
use serde::{Deserialize, Serialize};

/// Where the events of a case stand among those of its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// Between the two marks of that number: these events and no others.
    Marked(u64),
    /// They are the first ones after the opening mark of that number (which never gets a closing one: an exec).
    After(u64),
    /// They are the last ones of the thread: it ends by this.
    Last,
    /// They are all of the thread's events.
    All,
    /// They are the last ones of this thread's first child (whose number the workload does not know).
    ChildsLast,
    /// After the opening mark and up to the closing one, if there is any; in this order, with any others between
    /// them: events that come by chance (switches, page faults).
    Among(u64),
}

/// An event that must come.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Expected {
    /// Its type.
    pub id: u16,
    /// Its parameters, all of them.
    pub params: Vec<Check>,
}

/// A call and the events that it must give.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    /// What is called, with what.
    pub name: String,
    /// The thread whose events these are, in the initial pid namespace.
    pub tid: i64,
    /// Where they stand.
    pub place: Place,
    /// The events, in order.
    pub events: Vec<Expected>,
}

/// A line of the report.
#[derive(Debug, Serialize, Deserialize)]
pub enum Line {
    /// A call.
    Case(Case),
    /// A case that could not be made here, and why.
    Skipped(String),
    /// The workload came to its end.
    End,
}

/// `offset` of the lseek(-1) that opens or closes case `n` (bit 0: closes). Nothing else seeks there.
pub fn mark_offset(n: u64, closing: bool) -> u64 {
    0x5CA9_0000_0000_0000 | n << 1 | u64::from(closing)
}
