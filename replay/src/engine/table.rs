//! The thread table: slots, groups, family links, fd tables.

use super::pool::Pool;
use super::{EngineLimits, Fd, Text, Thread};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Fds by number.
pub(super) type FdTable = BTreeMap<i64, Fd>;

/// Rough bytes of an entry beside its strings.
pub(super) const THREAD_COST: usize = size_of::<Slot>() + 400;
pub(super) const FD_COST: usize = size_of::<Fd>() + 32;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

pub(super) mod cl {
    //! Thread flags (`PPM_CL_*`).
    pub const FILES: u32 = 1;
    pub const NEWPID: u32 = 1 << 6;
    pub const PARENT: u32 = 1 << 8;
    pub const THREAD: u32 = 1 << 13;
    pub const INVERTED: u32 = 1 << 16;
    pub const NAME_CHANGED: u32 = 1 << 17;
    pub const CLOSED: u32 = 1 << 18;
    pub const ACTIVE: u32 = 1 << 19;
    pub const NEWUSER: u32 = 1 << 20;
    pub const PIPE_SRC: u32 = 1 << 21;
    pub const PIPE_DST: u32 = 1 << 22;
    pub const VFORK: u32 = 1 << 27;
    pub const IN_PIDNS: u32 = 1 << 29;
    pub const MAIN_THREAD: u32 = 1 << 30;
}

/// Enter event kept for its exit.
#[derive(Debug, Clone)]
pub(super) struct Enter {
    pub event_type: u16,
    pub lens: Vec<u8>,
    pub data: Vec<u8>,
}

/// A thread with what only the engine needs to know.
#[derive(Debug)]
pub(super) struct Slot {
    pub thread: Thread,
    pub fds: Arc<FdTable>,
    /// Position in its group; meaningless when not `grouped`.
    pub seq: i64,
    /// Key of its group; meaningless when not `grouped`.
    pub group: i64,
    pub grouped: bool,
    pub parent: u32,
    pub child: u32,
    pub next: u32,
    pub prev: u32,
    pub children: u32,
    /// The fd of the thread's last event, -1 none.
    pub last_fd: i64,
    pub last_enter: u16,
    pub enter: Option<Box<Enter>>,
    pub reaper: i64,
}

impl Slot {
    fn new(thread: Thread) -> Self {
        Slot {
            thread,
            fds: Arc::default(),
            seq: 0,
            group: 0,
            grouped: false,
            parent: NONE,
            child: NONE,
            next: NONE,
            prev: NONE,
            children: 0,
            last_fd: 0,
            last_enter: u16::MAX,
            enter: None,
            reaper: -1,
        }
    }
}

/// Threads of one process.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub alive: u32,
    pub reaper: bool,
    /// Main thread first, else in order of arrival.
    pub members: BTreeMap<i64, i64>,
}

impl Thread {
    /// Whether it leads its process.
    pub fn is_main(&self) -> bool {
        self.tid == self.pid || self.flags & cl::MAIN_THREAD != 0
    }

    /// Whether it is only known from events that mentioned it: its process is unknown.
    pub fn is_invalid(&self) -> bool {
        self.tid < 0 || self.pid < 0 || self.ptid < 0
    }

    /// Whether it has exited (and is kept for the rest of its process).
    pub fn is_dead(&self) -> bool {
        self.flags & cl::CLOSED != 0
    }

    /// Whether its ids differ inside its container.
    pub fn in_pid_namespace(&self) -> bool {
        self.flags & cl::IN_PIDNS != 0 || (self.vtid >= 0 && self.tid != self.vtid)
    }

    /// A thread of which nothing is known.
    pub(super) fn unknown(tid: i64) -> Thread {
        Thread {
            tid,
            pid: -1,
            ptid: -1,
            sid: -1,
            vpgid: -1,
            pgid: -1,
            vtid: -1,
            vpid: -1,
            comm: Text::default(),
            exe: Text::default(),
            exepath: Text::default(),
            args: Text::default(),
            env: Text::default(),
            cgroups: Text::default(),
            container_id: Text::default(),
            root: Text::default(),
            cwd: Text::default(),
            flags: cl::NAME_CHANGED,
            fdlimit: -1,
            uid: u32::MAX,
            gid: u32::MAX,
            loginuid: u32::MAX,
            tty: 0,
            vmsize_kb: 0,
            vmrss_kb: 0,
            vmswap_kb: 0,
            pfmajor: 0,
            pfminor: 0,
            cap_inheritable: 0,
            cap_permitted: 0,
            cap_effective: 0,
            exe_writable: false,
            exe_upper_layer: false,
            exe_lower_layer: false,
            exe_from_memfd: false,
            exe_ino: 0,
            exe_ino_ctime: 0,
            exe_ino_mtime: 0,
            ctime_to_clone_ns: 0,
            pidns_to_ctime_ns: 0,
            pidns_init_start_ts: 0,
            clone_ts: 0,
            lastexec_ts: 0,
            exec_ns: 0,
            cpu_user: 0,
            cpu_system: 0,
        }
    }

    fn into_texts(self) -> [Text; 9] {
        let inside = self.container_id;
        [self.comm, self.exe, self.exepath, self.args, self.env, self.cgroups, inside, self.root, self.cwd]
    }
}

/// All threads. A slot number stays the same as long as its thread is in the table.
#[derive(Debug)]
pub(super) struct Table {
    pub index: BTreeMap<i64, u32>,
    pub slots: Vec<Option<Box<Slot>>>,
    pub free: Vec<u32>,
    /// Where threads were found before, by the low bits of the tid; checked before use. Empty until
    /// the first was found.
    pub near: Vec<u32>,
    pub groups: BTreeMap<i64, Group>,
    pub next_seq: i64,
    pub pool: Pool,
    pub max_threads: usize,
    pub(super) max_fds: usize,
    /// Threads not stored because the table was full.
    pub threads_refused: u64,
    /// Fds not stored because a table was full.
    pub fds_refused: u64,
}

const NEAR: usize = 1024;

fn near_of(tid: i64) -> usize {
    usize::from(u16::try_from(tid & 0x3FF).unwrap_or(0))
}

impl Table {
    pub fn new(limits: &EngineLimits) -> Self {
        Table {
            index: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            near: Vec::new(),
            groups: BTreeMap::new(),
            next_seq: 1,
            pool: Pool::new(limits.max_state_bytes),
            max_threads: limits.max_threads,
            max_fds: limits.max_fds_per_thread,
            threads_refused: 0,
            fds_refused: 0,
        }
    }

    #[inline]
    pub fn get(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(slot as usize)?.as_deref()
    }

    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Slot> {
        self.slots.get_mut(slot as usize)?.as_deref_mut()
    }

    /// A slot and the pool that its strings come from.
    pub fn with_pool(&mut self, slot: u32) -> Option<(&mut Slot, &mut Pool)> {
        let at = self.slots.get_mut(slot as usize)?.as_deref_mut()?;
        Some((at, &mut self.pool))
    }

    /// The slot of a thread.
    #[inline]
    pub fn find(&self, tid: i64) -> Option<u32> {
        if let Some(slot) = self.near.get(near_of(tid))
            && let Some(s) = self.get(*slot)
            && s.thread.tid == tid
        {
            return Some(*slot);
        }
        self.index.get(&tid).copied()
    }

    /// As [`Table::find`], and remembers where it was.
    #[inline]
    pub fn find_near(&mut self, tid: i64) -> Option<u32> {
        match self.near.get(near_of(tid)) {
            Some(slot) if self.get(*slot).is_some_and(|s| s.thread.tid == tid) => Some(*slot),
            _ => self.find_far(tid),
        }
    }

    fn find_far(&mut self, tid: i64) -> Option<u32> {
        let slot = self.index.get(&tid).copied()?;
        if self.near.is_empty() {
            self.near.resize(NEAR, NONE);
        }
        if let Some(near) = self.near.get_mut(near_of(tid)) {
            *near = slot;
        }
        Some(slot)
    }

    pub fn thread(&self, tid: i64) -> Option<&Thread> {
        self.find(tid).and_then(|s| self.get(s)).map(|s| &s.thread)
    }

    pub fn slots_by_tid(&self) -> impl Iterator<Item = (i64, u32)> + '_ {
        self.index.iter().map(|(tid, slot)| (*tid, *slot))
    }

    /// Puts a thread into the table, in place of one of the same tid (which should have been
    /// removed before). `None` when the table is full or the budget is spent.
    pub fn insert(&mut self, thread: Thread) -> Option<u32> {
        if let Some(old) = self.index.get(&thread.tid) {
            let old = *old;
            self.erase(old);
        }
        if self.index.len() >= self.max_threads || !self.pool.take(THREAD_COST) {
            self.threads_refused = self.threads_refused.saturating_add(1);
            for text in thread.into_texts() {
                self.pool.release(text);
            }
            return None;
        }
        let tid = thread.tid;
        let entry = Some(Box::new(Slot::new(thread)));
        let slot = if let Some(slot) = self.free.pop() {
            if let Some(at) = self.slots.get_mut(slot as usize) {
                *at = entry;
            }
            slot
        } else {
            let slot = u32::try_from(self.slots.len()).ok()?;
            self.slots.push(entry);
            slot
        };
        self.index.insert(tid, slot);
        Some(slot)
    }

    /// Takes a thread out: of the table, its group, its family. Its children keep its tid as their
    /// parent's, though there is none.
    pub fn erase(&mut self, slot: u32) {
        self.leave_parent(slot);
        while let Some(child) = self.get(slot).map(|s| s.child).filter(|c| *c != NONE) {
            self.leave_parent(child);
        }
        self.free_enter(slot);
        let Some(gone) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return;
        };
        if gone.grouped
            && let Some(group) = self.groups.get_mut(&gone.group)
        {
            group.members.remove(&gone.seq);
            if !gone.thread.is_dead() {
                group.alive = group.alive.saturating_sub(1);
            }
            if group.members.is_empty() {
                self.groups.remove(&gone.group);
            }
        }
        self.index.remove(&gone.thread.tid);
        self.free.push(slot);
        self.pool.give_back(THREAD_COST);
        let Slot { thread, fds, .. } = *gone;
        for text in thread.into_texts() {
            self.pool.release(text);
        }
        self.drop_fds(fds);
    }

    pub(super) fn drop_fds(&mut self, fds: Arc<FdTable>) {
        if let Some(fds) = Arc::into_inner(fds) {
            for fd in fds.into_values() {
                self.pool.give_back(FD_COST);
                self.pool.release_fd(fd);
            }
        }
    }

    pub fn free_enter(&mut self, slot: u32) {
        if let Some((s, pool)) = self.with_pool(slot)
            && let Some(enter) = s.enter.take()
        {
            pool.give_back(enter.lens.len().saturating_add(enter.data.len()));
        }
    }

    // ---- groups and families ----

    /// Puts a thread into the group of its pid.
    pub fn join_group(&mut self, slot: u32) {
        let seq = self.next_seq;
        self.next_seq = seq.saturating_add(1);
        let Some(s) = self.slots.get_mut(slot as usize).and_then(Option::as_deref_mut) else {
            return;
        };
        s.group = s.thread.pid;
        let group = self.groups.entry(s.group).or_default();
        s.seq = if s.thread.is_main() { seq.saturating_neg() } else { seq };
        s.grouped = true;
        group.members.insert(s.seq, s.thread.tid);
        group.alive = group.alive.saturating_add(1);
        if s.thread.pid == 1 || s.thread.vpid == 1 {
            group.reaper = true;
        }
    }

    /// Makes a thread the first child of another.
    pub fn adopt(&mut self, child: u32, parent: u32) {
        self.leave_parent(child);
        let Some(p) = self.get_mut(parent) else {
            return;
        };
        let (first, tid) = (p.child, p.thread.tid);
        p.child = child;
        p.children = p.children.saturating_add(1);
        if let Some(f) = self.get_mut(first) {
            f.prev = child;
        }
        if let Some(c) = self.get_mut(child) {
            (c.parent, c.prev, c.next) = (parent, NONE, first);
            c.thread.ptid = tid;
        }
    }

    pub fn leave_parent(&mut self, child: u32) {
        let Some(c) = self.get_mut(child) else {
            return;
        };
        let (parent, prev, next) = (c.parent, c.prev, c.next);
        (c.parent, c.prev, c.next) = (NONE, NONE, NONE);
        if parent == NONE {
            return;
        }
        if let Some(n) = self.get_mut(next) {
            n.prev = prev;
        }
        if let Some(p) = self.get_mut(prev) {
            p.next = next;
        }
        if let Some(p) = self.get_mut(parent) {
            if p.child == child {
                p.child = next;
            }
            p.children = p.children.saturating_sub(1);
        }
    }

    pub fn first_child(&self, slot: u32) -> Option<u32> {
        self.get(slot).map(|s| s.child).filter(|c| *c != NONE)
    }

    /// The thread that leads the process of a thread.
    #[inline]
    pub fn main_of(&self, slot: u32) -> Option<u32> {
        let s = self.get(slot)?;
        if s.thread.is_main() {
            return Some(slot);
        }
        if !s.grouped {
            return None;
        }
        let (_, first) = self.groups.get(&s.group)?.members.first_key_value()?;
        let main = self.find(*first)?;
        self.get(main)?.thread.is_main().then_some(main)
    }
}
