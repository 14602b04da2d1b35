//! The fd tables of threads. Tables are shared after a fork and copied when one side changes its.

use super::pool::Pool;
use super::table::{FD_COST, FdTable, Table, cl};
use super::{Fd, FdKind, Text};
use std::sync::Arc;

impl Table {
    /// The slot whose fd table a thread uses.
    #[inline]
    pub fn fd_owner(&self, slot: u32) -> Option<u32> {
        if self.get(slot)?.thread.flags & cl::FILES == 0 {
            return Some(slot);
        }
        self.main_of(slot)
    }

    #[inline]
    pub fn fd(&self, slot: u32, fd: i64) -> Option<&Fd> {
        if fd < 0 {
            return None;
        }
        self.get(self.fd_owner(slot)?)?.fds.get(&fd)
    }

    pub fn fds(&self, slot: u32) -> Option<&FdTable> {
        Some(&*self.get(self.fd_owner(slot)?)?.fds)
    }

    /// The table that a thread uses, to be changed.
    pub fn fds_mut(&mut self, slot: u32) -> Option<(&mut FdTable, &mut Pool)> {
        let owner = self.fd_owner(slot)?;
        self.own_fds_mut(owner)
    }

    /// A thread's own table, to be changed; a table shared since a fork is copied first, if the budget
    /// allows.
    fn own_fds_mut(&mut self, slot: u32) -> Option<(&mut FdTable, &mut Pool)> {
        let (s, pool) = self.with_pool(slot)?;
        if Arc::get_mut(&mut s.fds).is_none() && !pool.take(s.fds.len().saturating_mul(FD_COST)) {
            return None;
        }
        Some((Arc::make_mut(&mut s.fds), pool))
    }

    /// Applies a change to an fd that exists.
    pub fn change_fd(&mut self, slot: u32, fd: i64, change: impl FnOnce(&mut Fd, &mut Pool)) {
        if self.fd(slot, fd).is_none() {
            return;
        }
        if let Some((fds, pool)) = self.fds_mut(slot)
            && let Some(entry) = fds.get_mut(&fd)
        {
            change(entry, pool);
        }
    }

    /// Adds or replaces an fd and makes it the last one of the thread.
    pub fn add_fd(&mut self, slot: u32, number: i64, fd: Fd) {
        if self.fd_owner(slot).is_none() {
            self.pool.release_fd(fd);
            return;
        }
        if let Some(s) = self.get_mut(slot) {
            s.last_fd = number;
        }
        if number < 0 {
            // No lookup finds it.
            self.pool.release_fd(fd);
            return;
        }
        let max = self.max_fds;
        if let Some((fds, pool)) = self.fds_mut(slot) {
            if let Some(entry) = fds.get_mut(&number) {
                let old = std::mem::replace(entry, fd);
                pool.release_fd(old);
                return;
            }
            if fds.len() < max && pool.take(FD_COST) {
                fds.insert(number, fd);
                return;
            }
        }
        self.pool.release_fd(fd);
        self.fds_refused = self.fds_refused.saturating_add(1);
    }

    /// Adds an fd to a thread's own table, whichever it uses.
    pub fn add_own_fd(&mut self, slot: u32, number: i64, fd: Fd) {
        if number < 0 {
            // No lookup finds it.
            self.pool.release_fd(fd);
            return;
        }
        let max = self.max_fds;
        if let Some((fds, pool)) = self.own_fds_mut(slot) {
            if let Some(entry) = fds.get_mut(&number) {
                let old = std::mem::replace(entry, fd);
                pool.release_fd(old);
                return;
            }
            if fds.len() < max && pool.take(FD_COST) {
                fds.insert(number, fd);
                return;
            }
        }
        self.pool.release_fd(fd);
        self.fds_refused = self.fds_refused.saturating_add(1);
    }

    /// Applies a change to the fds of a kind in a thread's own table.
    pub fn change_own_fds(&mut self, slot: u32, kind: FdKind, mut change: impl FnMut(&mut Fd, &mut Pool)) {
        let any = self.get(slot).is_some_and(|s| s.fds.values().any(|fd| fd.kind == kind));
        if any && let Some((fds, pool)) = self.own_fds_mut(slot) {
            for fd in fds.values_mut().filter(|fd| fd.kind == kind) {
                change(fd, pool);
            }
        }
    }

    /// Keeps the fds that a thread uses and that `keep` says.
    pub fn retain_fds(&mut self, slot: u32, keep: impl Fn(i64, &Fd) -> bool) {
        // A shared table is not copied for nothing.
        if self.fds(slot).is_none_or(|fds| fds.iter().all(|(n, fd)| keep(*n, fd))) {
            return;
        }
        if let Some((fds, pool)) = self.fds_mut(slot) {
            fds.retain(|n, fd| {
                let kept = keep(*n, fd);
                if !kept {
                    pool.give_back(FD_COST);
                    pool.put(&mut fd.name, Text::default());
                    pool.put(&mut fd.name_raw, Text::default());
                }
                kept
            });
        }
    }

    /// Applies a change to the fds that a thread uses.
    pub fn change_fds(&mut self, slot: u32, change: impl Fn(i64, &mut Fd)) {
        if let Some((fds, _)) = self.fds_mut(slot) {
            for (n, fd) in fds {
                change(*n, fd);
            }
        }
    }

    pub fn remove_fd(&mut self, slot: u32, number: i64) {
        if self.fd(slot, number).is_none() {
            return;
        }
        if let Some((fds, pool)) = self.fds_mut(slot)
            && let Some(old) = fds.remove(&number)
        {
            pool.give_back(FD_COST);
            pool.release_fd(old);
        }
    }

    /// The fds that a thread uses, to be shared with a new one.
    pub fn share_fds(&self, slot: u32) -> Option<Arc<FdTable>> {
        Some(self.get(self.fd_owner(slot)?)?.fds.clone())
    }

    /// Replaces a thread's own table.
    pub fn set_fds(&mut self, slot: u32, fds: Arc<FdTable>) {
        if let Some(s) = self.get_mut(slot) {
            let old = std::mem::replace(&mut s.fds, fds);
            self.drop_fds(old);
        }
    }
}
