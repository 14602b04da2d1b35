//! The state engine: threads, fd tables, users, interfaces, kept up to date event by event.
//!
//! Input is a capture's lists and its events of the current schema (see [`crate::upgrade`]). Source:
//! the state engine specification; section numbers in comments are its. Nothing here depends on a
//! filter, a clock or the host, and iteration is in a fixed order everywhere.
//!
//! Where it differs from upstream on purpose:
//!
//! * Upstream keeps all kinds of socket addresses in the same bytes. A socket that changes its kind (an IPv6
//!   one that talks to a mapped address, a bound IPv6 one that gets a datagram) then shows bytes of one kind
//!   as another, or `<unknown>`. Here addresses and transport are converted.
//! * A thread that is replaced by another of the same id no longer counts as alive in its process.
//! * A number of the wrong size reads as missing or 0; upstream ends.
//! * Users and groups of containers are kept as the events say; upstream looks for files of the container.
//!   Threads in containers that no event speaks of have the machine's users.
//! * Fds with negative numbers, which no lookup finds, are not stored.

mod bind;
mod cgroups;
pub(crate) mod checkpoint;
mod clone;
mod container_json;
mod containers;
mod exec;
mod export;
mod family;
mod fd;
mod fdtable;
mod files;
mod lists;
pub(crate) mod names;
pub mod paths;
mod pool;
mod process;
mod sockets;
mod table;
mod thread;
mod tuples;
mod users;

pub use bind::Bound;
pub use cgroups::{Layout, container_of};
pub use checkpoint::CheckpointError;
pub use container_json::{Container, Labels, Mount};
pub use fd::{Fd, FdKind, Socket};
pub use names::{write_ipv4, write_ipv6};
pub use thread::{Text, Thread};
pub use users::{Group, InterfaceAddress, User};

use bind::Plan;
use containers::Containers;
use scapkit_format::{Content, Event, MachineInfo};
use std::collections::BTreeMap;
use table::Table;
use users::{Interfaces, Users};

/// Bounds on the state, for hostile captures. What does not fit is not stored and counted
/// ([`Engine::counters`]).
///
/// Time is bounded too: an event costs at most about as much as a table of `max_fds_per_thread` fds (a fork's
/// table is copied when one side changes it, an exec looks at all of it), and finding parents for orphans 64
/// steps per event beside a million that are free. Longer searches leave orphans without a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineLimits {
    /// Most threads (upstream: 262,144).
    pub max_threads: usize,
    /// Most fds per table (upstream: 4096).
    pub max_fds_per_thread: usize,
    /// Most bytes of all state together, roughly.
    pub max_state_bytes: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        EngineLimits { max_threads: 262_144, max_fds_per_thread: 4096, max_state_bytes: 128 << 20 }
    }
}

/// What the engine has seen and what it could not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineCounters {
    /// Events applied, over all sections.
    pub events: u64,
    /// Threads not stored: table full or budget spent.
    pub threads_refused: u64,
    /// Fds not stored: table full or budget spent.
    pub fds_refused: u64,
    /// Requests for memory refused for the budget, of all kinds.
    pub memory_refused: u64,
    /// Events about containers whose text was no JSON, was too long, or named no container.
    pub containers_unreadable: u64,
    /// Steps not made to find parents for orphans, and orphans that got none for it: only trees made for the
    /// purpose need so many.
    pub family_refused: u64,
    /// Bytes of state now, roughly.
    pub state_bytes: u64,
}

/// Everything that is known at an event.
#[derive(Debug)]
pub struct Engine {
    plans: &'static [Plan],
    limits: EngineLimits,
    table: Table,
    users: Users,
    containers: Containers,
    interfaces: Interfaces,
    machine: Option<MachineInfo>,
    events: u64,
    /// How many events there were when the last one of the initial state came, if nothing else has come since
    /// the start of the section.
    initial_state: Option<u64>,
    /// Lists have been read since threads were linked last.
    lists_open: bool,
    listed: lists::Listed,
    /// The thread whose exit was the previous event, removed before the next one.
    dying: Option<i64>,
    /// Thread and fd of the previous event, a close: removed before the next one.
    closing: Option<(i64, i64)>,
    /// Removed by [`Engine::observe`]: parent and tid, to be dated by the next event.
    undated_exit: Option<(i64, i64)>,
    recent_exits: family::RecentExits,
    /// Time of the last event of the scheduler, by processor.
    switches: BTreeMap<u16, u64>,
    family_work: family::FamilyWork,
    /// For paths and names being made.
    scratch: Vec<u8>,
    scratch2: Vec<u8>,
}

impl Default for Engine {
    fn default() -> Self {
        Engine::new(&EngineLimits::default())
    }
}

impl Engine {
    /// An engine that knows nothing.
    pub fn new(limits: &EngineLimits) -> Engine {
        Engine {
            plans: bind::plans(),
            limits: *limits,
            table: Table::new(limits),
            users: Users::default(),
            containers: Containers::default(),
            interfaces: Interfaces::default(),
            machine: None,
            events: 0,
            initial_state: Some(0),
            lists_open: false,
            listed: lists::Listed::default(),
            dying: None,
            closing: None,
            undated_exit: None,
            recent_exits: family::RecentExits::default(),
            switches: BTreeMap::new(),
            family_work: family::FamilyWork::default(),
            scratch: Vec::new(),
            scratch2: Vec::new(),
        }
    }

    /// Takes in a block that is not an event: a list, the machine, or a section, which clears
    /// everything but the counters. Entries before a damaged one are used. Events are ignored.
    pub fn content(&mut self, content: &Content<'_>) {
        match content {
            Content::Section(_) => self.clear(),
            Content::Machine(machine) => self.machine = Some(**machine),
            Content::Threads(list) => self.load_threads(list.clone()),
            Content::Fds(list) => self.load_fds(list.clone()),
            Content::Interfaces(list) => self.interfaces.load(list.clone()),
            Content::Users(list) => self.users.load(list.clone(), &mut self.table.pool),
            Content::Event(_) | Content::Checkpoint(_) | Content::Unknown | Content::Broken(_) => {}
        }
    }

    fn clear(&mut self) {
        let (threads, fds) = (self.table.threads_refused, self.table.fds_refused);
        let refused = self.table.pool.refused;
        self.table = Table::new(&self.limits);
        self.table.threads_refused = threads;
        self.table.fds_refused = fds;
        self.table.pool.refused = refused;
        self.users = Users::default();
        self.containers.clear();
        self.interfaces = Interfaces::default();
        self.machine = None;
        self.initial_state = Some(self.events);
        self.lists_open = false;
        self.listed = lists::Listed::default();
        self.dying = None;
        self.closing = None;
        self.undated_exit = None;
        self.recent_exits = family::RecentExits::default();
        self.switches.clear();
    }

    /// Ends the lists of a section: links threads to their processes and parents and tells servers
    /// from clients (section 3). The first event does it too.
    pub fn finish_lists(&mut self) {
        if std::mem::take(&mut self.lists_open) {
            let tids = self.listed.take();
            self.link_listed(&tids);
            self.fix_sockets(&tids);
        }
    }

    /// Brings the state to after `event`, which is of the current schema, and says what it is about.
    #[inline]
    pub fn apply(&mut self, event: &Event<'_>) -> Bound {
        if self.lists_open {
            self.finish_lists();
        }
        self.events = self.events.saturating_add(1);
        if self.dying.is_some() || self.closing.is_some() || self.undated_exit.is_some() {
            self.remove_deferred(Some(event.ts));
        }
        self.bind_and_parse(event)
    }

    /// Says what a recorded event is about that the upgrade swallowed, for showing it. Nothing that
    /// later events depend on changes; what waits for the next event (exited threads, closed fds)
    /// is removed.
    pub fn observe(&mut self, event: &Event<'_>) -> Bound {
        if self.lists_open {
            self.finish_lists();
        }
        self.initial_state = None;
        self.remove_deferred(None);
        self.bind_recorded(event)
    }

    /// Whether the event at hand, which is of a kind that states what was there before, comes before all
    /// of other kinds (section 3).
    fn is_initial_state(&mut self) -> bool {
        let first = self.initial_state.is_some_and(|n| n.saturating_add(1) == self.events);
        if first {
            self.initial_state = Some(self.events);
        }
        first
    }

    /// The thread of that id, if it is known.
    #[inline]
    pub fn thread(&self, tid: i64) -> Option<&Thread> {
        self.table.thread(tid)
    }

    /// The fd of that number in the table that thread `tid` uses (its own, or its leader's when it
    /// shares it).
    #[inline]
    pub fn fd(&self, tid: i64, fd: i64) -> Option<&Fd> {
        self.table.fd(self.table.find(tid)?, fd)
    }

    /// All threads in the order of their ids; those too that have exited but lead a process that
    /// lives on.
    pub fn threads(&self) -> impl Iterator<Item = &Thread> {
        self.table.slots_by_tid().filter_map(|(_, slot)| self.table.get(slot).map(|s| &s.thread))
    }

    /// The fds that a thread uses, by number.
    pub fn fds(&self, tid: i64) -> impl Iterator<Item = (i64, &Fd)> {
        let fds = self.table.find(tid).and_then(|s| self.table.fds(s));
        fds.into_iter().flatten().map(|(n, fd)| (*n, fd))
    }

    /// How many fds the thread's own table has, whichever it uses.
    pub fn own_fd_count(&self, tid: i64) -> usize {
        self.table.find(tid).and_then(|s| self.table.get(s)).map_or(0, |s| s.fds.len())
    }

    /// How many fds a thread uses.
    pub fn fd_count(&self, tid: i64) -> usize {
        self.table.find(tid).and_then(|s| self.table.fds(s)).map_or(0, table::FdTable::len)
    }

    /// The leader of a thread's process: itself, or `None` when it is not known.
    #[inline]
    pub fn main_thread(&self, tid: i64) -> Option<&Thread> {
        let main = self.table.main_of(self.table.find(tid)?)?;
        self.table.get(main).map(|s| &s.thread)
    }

    /// Working directory of a thread's process: `./` when its leader is not known (section 5.1).
    pub fn cwd(&self, tid: i64) -> Option<&[u8]> {
        self.thread(tid)?;
        Some(self.main_thread(tid).map_or(b"./", |t| &t.cwd))
    }

    /// Living threads of a process.
    pub fn alive_threads(&self, pid: i64) -> u32 {
        self.table.groups.get(&pid).map_or(0, |g| g.alive)
    }

    /// Name of a user of the machine; 0 is `root` when no list says otherwise.
    pub fn user_name(&self, uid: u32) -> Option<&[u8]> {
        self.users.user(uid).map(|user| &*user.name)
    }

    /// Name of a group of the machine; 0 is `root` when no list says otherwise.
    pub fn group_name(&self, gid: u32) -> Option<&[u8]> {
        self.users.group(gid).map(|group| &*group.name)
    }

    /// What is known of a user of the machine.
    pub fn user(&self, uid: u32) -> Option<&User> {
        self.users.user(uid)
    }

    /// What is known of a group of the machine.
    pub fn group(&self, gid: u32) -> Option<&Group> {
        self.users.group(gid)
    }

    /// What is known of a user of a container, by the id that events have.
    pub fn user_in(&self, container: &[u8], uid: u32) -> Option<&User> {
        self.users.user_in(container, uid)
    }

    /// Users of the machine and of containers, by the container's id (empty for the machine) and number.
    pub fn users(&self) -> impl Iterator<Item = (&[u8], &User)> {
        self.users.people()
    }

    /// As [`Engine::users`], of groups.
    pub fn groups(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.users.groups()
    }

    /// The capture's machine.
    pub fn machine(&self) -> Option<&MachineInfo> {
        self.machine.as_ref()
    }

    /// The machine's interface addresses, in the order of the list.
    pub fn interfaces(&self) -> &[InterfaceAddress] {
        self.interfaces.all()
    }

    /// What was seen and what was not kept.
    pub fn counters(&self) -> EngineCounters {
        EngineCounters {
            events: self.events,
            threads_refused: self.table.threads_refused,
            fds_refused: self.table.fds_refused,
            memory_refused: self.table.pool.refused,
            containers_unreadable: self.containers.unreadable,
            family_refused: self.family_work.refused,
            state_bytes: self.table.pool.used() as u64,
        }
    }
}
