//! Groups, parents and the end of threads (state engine 6.1 and 6.4).

use super::Engine;
use super::bind::{Cx, signed};
use super::table::cl;
use scapkit_format::Event;
use std::collections::BTreeSet;

/// How far up the tree a new parent is looked for. Real trees are a few dozen deep.
const MAX_ANCESTORS: usize = 4096;
/// Work on families that is done in any case: children that get a new parent, ancestors and threads of a
/// process that are looked at for one.
const FREE_WORK: u64 = 1 << 20;
/// Work per event beyond that. Real captures need about one; a tree made for it would need as many as there are
/// threads.
const WORK_PER_EVENT: u64 = 64;
/// Exits that are remembered.
pub(super) const RING: usize = 8192;
/// How long an exit keeps the clone event of its parent from making the thread anew, ns.
const RECENT_NS: u64 = 2_000_000_000;

/// The last exits: the clone event of a caller may come after its child has gone.
#[derive(Debug, Default)]
pub(super) struct RecentExits {
    pub ring: Vec<(u64, u64)>,
    pub next: usize,
    pub by_key: BTreeSet<(u64, u64, usize)>,
}

fn exit_key(ptid: i64, tid: i64) -> u64 {
    (ptid.cast_unsigned() << 32) | (tid.cast_unsigned() & 0xFFFF_FFFF)
}

impl RecentExits {
    fn push(&mut self, ptid: i64, tid: i64, ts: u64) {
        self.push_key(exit_key(ptid, tid), ts);
    }

    /// As [`RecentExits::push`], for what an exit was remembered as.
    pub fn push_key(&mut self, key: u64, ts: u64) {
        let at = self.next;
        match self.ring.get_mut(at) {
            Some(old) => {
                self.by_key.remove(&(old.0, old.1, at));
                *old = (key, ts);
            }
            None => self.ring.push((key, ts)),
        }
        self.by_key.insert((key, ts, at));
        self.next = at.wrapping_add(1).checked_rem(RING).unwrap_or(0);
    }

    /// Whether child `tid` of `ptid` has exited less than two seconds before `ts`.
    pub fn contains(&self, ptid: i64, tid: i64, ts: u64) -> bool {
        let key = exit_key(ptid, tid);
        let oldest = ts.saturating_sub(RECENT_NS.saturating_sub(1));
        self.by_key.range((key, oldest, 0)..=(key, ts, usize::MAX)).next().is_some()
    }
}

/// Thread exit: the thread stays until the next event, so that this one can show it.
pub(super) fn exit(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some(slot) = cx.slot else {
        return;
    };
    engine.mark_dead(slot);
    engine.dying = Some(event.tid);
    if engine.table.first_child(slot).is_none() {
        return;
    }
    if let Some(s) = engine.table.get_mut(slot) {
        if let Some(reaper) = signed(event, 4, 8) {
            s.reaper = reaper;
        } else if event.nparams <= 4 {
            s.reaper = -1;
        }
    }
}

impl Engine {
    /// Puts a thread of a known process into its group and under its parent.
    pub(super) fn link(&mut self, slot: u32) {
        let Some(s) = self.table.get(slot) else {
            return;
        };
        if s.grouped || s.thread.is_invalid() {
            return;
        }
        let (pid, ptid) = (s.thread.pid, s.thread.ptid);
        self.table.join_group(slot);
        if pid == 1 {
            return;
        }
        match self.table.find(ptid).filter(|p| *p != slot && self.is_valid(*p)) {
            Some(parent) => self.table.adopt(slot, parent),
            None => self.set_ptid(slot, 0),
        }
    }

    /// Links all threads of the lists that came since, in the order of their ids.
    pub(super) fn link_listed(&mut self, tids: &[i64]) {
        for tid in tids {
            if let Some(slot) = self.table.find(*tid) {
                self.link(slot);
            }
        }
    }

    pub(super) fn is_valid(&self, slot: u32) -> bool {
        self.table.get(slot).is_some_and(|s| !s.thread.is_invalid())
    }

    fn set_ptid(&mut self, slot: u32, ptid: i64) {
        if let Some(s) = self.table.get_mut(slot) {
            s.thread.ptid = ptid;
        }
    }

    fn mark_dead(&mut self, slot: u32) {
        let Some(s) = self.table.get_mut(slot) else {
            return;
        };
        let counted = s.grouped && !s.thread.is_dead();
        s.thread.flags |= cl::CLOSED;
        let group = s.group;
        if counted && let Some(group) = self.table.groups.get_mut(&group) {
            group.alive = group.alive.saturating_sub(1);
        }
    }

    /// A thread that was thought dead does something.
    pub(super) fn resurrect(&mut self, slot: u32) {
        let Some(s) = self.table.get_mut(slot) else {
            return;
        };
        s.thread.flags &= !cl::CLOSED;
        let (grouped, group) = (s.grouped, s.group);
        if grouped && let Some(group) = self.table.groups.get_mut(&group) {
            group.alive = group.alive.saturating_add(1);
        }
    }

    /// Removes what the previous event left for this one: its exited thread, its closed fd.
    /// `ts` is the time of this event, `None` when it is one that upstream does not see.
    pub(super) fn remove_deferred(&mut self, ts: Option<u64>) {
        if let Some(ts) = ts
            && let Some((ptid, tid)) = self.undated_exit.take()
        {
            self.recent_exits.push(ptid, tid, ts);
        }
        if let Some(tid) = self.dying.take() {
            let ptid = self.table.thread(tid).map_or(-1, |t| t.ptid);
            self.remove_thread(tid);
            match ts {
                Some(ts) => self.recent_exits.push(ptid, tid, ts),
                None => self.undated_exit = Some((ptid, tid)),
            }
        }
        if let Some((tid, fd)) = self.closing.take()
            && let Some(slot) = self.table.find(tid)
        {
            self.table.remove_fd(slot, fd);
        }
    }

    /// Takes a thread out of the table; a leader stays, as dead, as long as its process has other
    /// threads.
    pub(super) fn remove_thread(&mut self, tid: i64) {
        let Some(slot) = self.table.find(tid) else {
            return;
        };
        let Some(s) = self.table.get(slot) else {
            return;
        };
        if s.thread.is_invalid() || !s.grouped {
            self.table.erase(slot);
            return;
        }
        let (pid, group, main) = (s.thread.pid, s.group, s.thread.is_main());
        self.mark_dead(slot);
        if self.table.first_child(slot).is_some() {
            self.give_children_away(slot);
        }
        let over = self.table.groups.get(&group).is_none_or(|g| g.alive == 0);
        if over
            && let Some(leader) = self.table.find(pid)
            && leader != slot
        {
            self.table.erase(leader);
        }
        if over || !main {
            self.table.erase(slot);
        }
    }

    fn give_children_away(&mut self, slot: u32) {
        let Some(s) = self.table.get(slot) else {
            return;
        };
        let (pid, told) = (s.thread.pid, s.reaper);
        let mut reaper = None;
        if told > 0 {
            reaper = self.get_or_create(told).filter(|r| *r != slot && self.is_valid(*r));
        }
        let reaper = match reaper {
            Some(reaper) => Some(reaper),
            None => self.find_reaper(slot),
        };
        if let Some(r) = reaper.and_then(|r| self.table.get(r)) {
            let (tid, other, grouped, group) = (r.thread.tid, r.thread.pid != pid, r.grouped, r.group);
            if other
                && grouped
                && let Some(group) = self.table.groups.get_mut(&group)
            {
                group.reaper = true;
            }
            if let Some(s) = self.table.get_mut(slot) {
                s.reaper = tid;
            }
        }
        while let Some(child) = self.table.first_child(slot) {
            // Without a parent they are never moved again, so this is work done once for each.
            if let Some(reaper) = reaper.filter(|r| *r != child && self.may_work()) {
                self.table.adopt(child, reaper);
            } else {
                self.table.leave_parent(child);
                self.set_ptid(child, 0);
            }
        }
    }

    /// The thread that gets the children, as the kernel would choose: another one of the process,
    /// else one of the nearest ancestor process that takes orphans.
    fn find_reaper(&mut self, slot: u32) -> Option<u32> {
        if let Some(other) = self.first_alive(self.table.get(slot)?.group, slot) {
            return Some(other);
        }
        let dying = self.table.get(slot)?;
        let namespaced = dying.thread.in_pid_namespace();
        let mut seen = BTreeSet::from([dying.thread.tid]);
        let mut ptid = dying.thread.ptid;
        for _ in 0..MAX_ANCESTORS {
            if !self.may_work() {
                return None;
            }
            let s = self.table.get(self.table.find(ptid)?)?;
            if !seen.insert(s.thread.tid) || s.thread.in_pid_namespace() != namespaced {
                return None;
            }
            let reaps = s.grouped && self.table.groups.get(&s.group).is_some_and(|g| g.reaper && g.alive > 0);
            let (group, next) = (s.group, s.thread.ptid);
            if reaps && let Some(alive) = self.first_alive(group, slot) {
                return Some(alive);
            }
            ptid = next;
        }
        None
    }

    fn first_alive(&mut self, group: i64, except: u32) -> Option<u32> {
        let group = self.table.groups.get(&group)?;
        if group.alive == 0 {
            return None;
        }
        for tid in group.members.values() {
            if !self.family_work.take(self.events) {
                return None;
            }
            let slot = self.table.find(*tid).filter(|slot| *slot != except);
            if slot.and_then(|slot| self.table.get(slot)).is_some_and(|s| !s.thread.is_dead()) {
                return slot;
            }
        }
        None
    }

    fn may_work(&mut self) -> bool {
        self.family_work.take(self.events)
    }
}

/// Work on families, counted, so that no capture makes it more than linear in its events.
#[derive(Debug, Default)]
pub(super) struct FamilyWork {
    pub done: u64,
    /// Steps that were not made.
    pub refused: u64,
}

impl FamilyWork {
    /// Asks for one step after so many events.
    fn take(&mut self, events: u64) -> bool {
        let left = self.done < FREE_WORK.saturating_add(events.saturating_mul(WORK_PER_EVENT));
        let count = if left { &mut self.done } else { &mut self.refused };
        *count = count.saturating_add(1);
        left
    }
}
