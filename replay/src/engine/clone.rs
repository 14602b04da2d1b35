//! New threads: exits of clone, fork and vfork in the caller and in the child (state engine 6.2, 6.3).

use super::bind::{Cx, list, signed, text, u32_of, unsigned};
use super::table::cl;
use super::{Engine, Thread};
use scapkit_format::Event;
use scapkit_format::schema::id;

/// A thread that was made longer ago than this is not the one of a child's clone exit, ns.
const STALE_NS: u64 = 2_000_000_000;

/// Exit of clone, clone3, fork or vfork.
pub(super) fn clone(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    match cx.res {
        Some(0) => engine.cloned_child(event, cx),
        Some(child) if child > 0 => engine.cloned_caller(event, cx, child),
        _ => {}
    }
}

/// What a child has from its creator, whatever it becomes.
fn inherit(child: &mut Thread, from: &Thread) {
    child.exepath = from.exepath.clone();
    if child.cgroups.is_empty() {
        // Old events do not have them.
        child.container_id = from.container_id.clone();
    }
    child.exe_writable = from.exe_writable;
    child.exe_upper_layer = from.exe_upper_layer;
    child.exe_lower_layer = from.exe_lower_layer;
    child.exe_from_memfd = from.exe_from_memfd;
    child.root = from.root.clone();
    child.sid = from.sid;
    child.vpgid = from.vpgid;
    child.pgid = from.pgid;
    child.tty = from.tty;
    child.loginuid = from.loginuid;
    child.cap_inheritable = from.cap_inheritable;
    child.cap_permitted = from.cap_permitted;
    child.cap_effective = from.cap_effective;
    child.exe_ino = from.exe_ino;
    child.exe_ino_ctime = from.exe_ino_ctime;
    child.exe_ino_mtime = from.exe_ino_mtime;
    child.ctime_to_clone_ns = from.ctime_to_clone_ns;
}

/// Page faults and memory sizes, which are stored all or not at all.
pub(super) fn memory(event: &Event<'_>, thread: &mut Thread) {
    if let Some(swap) = u32_of(event, 12) {
        thread.pfmajor = unsigned(event, 8, 8).unwrap_or(0);
        thread.pfminor = unsigned(event, 9, 8).unwrap_or(0);
        thread.vmsize_kb = u32_of(event, 10).unwrap_or(0);
        thread.vmrss_kb = u32_of(event, 11).unwrap_or(0);
        thread.vmswap_kb = swap;
    }
}

/// A pid that the event may lack: the ids inside the pid namespace, outside one the thread's own.
fn namespace_ids(event: &Event<'_>, thread: &mut Thread) {
    if let Some(vpid) = signed(event, 19, 8) {
        thread.vtid = signed(event, 18, 8).unwrap_or(-1);
        thread.vpid = vpid;
    } else {
        thread.vtid = thread.tid;
        thread.vpid = -1;
    }
}

impl Engine {
    fn boot_ts(&self) -> u64 {
        self.machine.as_ref().map_or(0, |m| m.boot_ts_epoch.get())
    }

    /// What the event itself says of the new thread.
    fn describe(&mut self, event: &Event<'_>, child: &mut Thread) {
        let pool = &mut self.table.pool;
        child.exe = pool.text(text(event, 1));
        child.args = pool.text(list(event, 2));
        child.comm = match event.param(13) {
            None | Some([]) => child.exe.clone(),
            Some(_) => pool.text(text(event, 13)),
        };
        child.fdlimit = signed(event, 7, 8).unwrap_or(0);
        memory(event, child);
        child.uid = u32_of(event, 16).unwrap_or(0);
        child.gid = u32_of(event, 17).unwrap_or(0);
        child.clone_ts = event.ts;
        self.set_cgroups(child, event, 14);
    }

    /// The creator was only mentioned before; now its strings are known.
    fn copy_names(&mut self, to: u32, from: &Thread) {
        if let Some((s, pool)) = self.table.with_pool(to) {
            pool.put(&mut s.thread.exe, from.exe.clone());
            pool.put(&mut s.thread.comm, from.comm.clone());
            pool.put(&mut s.thread.args, from.args.clone());
        }
    }

    fn cloned_caller(&mut self, event: &Event<'_>, cx: &mut Cx, child_tid: i64) {
        let Some(mut caller) = self.get_or_create(event.tid) else {
            cx.slot = None;
            return;
        };
        cx.slot = Some(caller);
        let trusted = self.is_valid(caller);
        if !trusted {
            if let Some(s) = self.table.get_mut(caller) {
                s.thread.pid = signed(event, 4, 8).unwrap_or(0);
                s.thread.ptid = signed(event, 5, 8).unwrap_or(0);
                namespace_ids(event, &mut s.thread);
            }
            self.link(caller);
        }
        let flags = u32_of(event, 15).unwrap_or(0);
        // Ids in the event may be those of a namespace, or the parent is another one, or the child
        // runs first: its own exit makes it.
        if flags & (cl::IN_PIDNS | cl::NEWPID | cl::PARENT | cl::VFORK) != 0
            || event.event_type == id::SYSCALL_VFORK_20_X
            || self.table.get(caller).is_none_or(|s| s.thread.tid != s.thread.vtid)
            || self.recent_exits.contains(event.tid, child_tid, event.ts)
        {
            return;
        }
        if let Some(existing) = self.table.thread(child_tid) {
            if existing.flags & cl::INVERTED != 0 {
                return;
            }
            self.remove_thread(child_tid);
            // It may have taken the caller along.
            let Some(again) = self.table.find(event.tid) else {
                cx.slot = None;
                return;
            };
            caller = again;
            cx.slot = Some(caller);
        }
        let Some(from) = self.table.get(caller).map(|s| s.thread.clone()) else {
            return;
        };
        let mut child = Thread::unknown(child_tid);
        child.flags = flags;
        let leader = flags & cl::THREAD == 0;
        let mut fds = None;
        if leader {
            child.pid = child_tid;
            child.ptid = event.tid;
            if trusted {
                fds = self.table.share_fds(caller);
                child.cwd = self.cwd_text(caller);
                child.env = from.env.clone();
            }
        } else {
            child.pid = from.pid;
            child.ptid = from.ptid;
            child.flags |= cl::FILES;
            child.lastexec_ts = from.lastexec_ts;
        }
        child.vtid = child_tid;
        child.vpid = child.pid;
        child.pidns_init_start_ts = self.boot_ts();
        self.describe(event, &mut child);
        if trusted {
            inherit(&mut child, &from);
        }
        // Not held while the originals are replaced: the account of memory goes by who is last.
        drop(from);
        if !trusted {
            self.copy_names(caller, &child);
        }
        self.enrol(child, fds);
    }

    fn cloned_child(&mut self, event: &Event<'_>, cx: &mut Cx) {
        if let Some(known) = self.table.thread(event.tid).filter(|t| t.clone_ts != 0) {
            if event.ts.wrapping_sub(known.clone_ts) < STALE_NS {
                return;
            }
            self.remove_thread(event.tid);
        }
        cx.slot = None;
        let mut child = Thread::unknown(event.tid);
        child.pid = signed(event, 4, 8).unwrap_or(0);
        child.ptid = signed(event, 5, 8).unwrap_or(0);
        namespace_ids(event, &mut child);
        child.flags = u32_of(event, 15).unwrap_or(0) | cl::INVERTED;
        let leader = child.flags & cl::THREAD == 0;
        if !leader {
            child.flags |= cl::FILES;
        }
        let from = if leader { child.ptid } else { child.pid };
        if from == 0 {
            // Nobody that was told of: what a sandbox of gVisor starts with. Upstream would make a thread 0 of it.
            self.describe(event, &mut child);
            self.set_namespace_start(event, &mut child);
            cx.slot = self.enrol(child, None);
            return;
        }
        let Some(creator) = self.get_or_create(from) else {
            return;
        };
        let trusted = self.is_valid(creator);
        self.describe(event, &mut child);
        let mut fds = None;
        if trusted {
            if leader {
                fds = self.table.share_fds(creator);
                child.cwd = self.cwd_text(creator);
            }
            if let Some(from) = self.table.get(creator).map(|s| &s.thread) {
                inherit(&mut child, from);
                if leader {
                    child.env = from.env.clone();
                } else {
                    child.lastexec_ts = from.lastexec_ts;
                }
            }
        } else if !leader {
            if let Some(s) = self.table.get_mut(creator) {
                s.thread.pid = child.pid;
                s.thread.ptid = child.ptid;
                s.thread.vpid = child.vpid;
                s.thread.vtid = child.vpid;
            }
            self.link(creator);
            self.copy_names(creator, &child);
        }
        self.set_namespace_start(event, &mut child);
        cx.slot = self.enrol(child, fds);
    }

    /// When the pid namespace of a new thread was made.
    fn set_namespace_start(&self, event: &Event<'_>, child: &mut Thread) {
        child.pidns_init_start_ts = if child.flags & (cl::IN_PIDNS | cl::NEWPID) != 0 || child.tid != child.vtid {
            unsigned(event, 20, 8).map_or(0, |since_boot| since_boot.wrapping_add(self.boot_ts()))
        } else {
            self.boot_ts()
        };
    }

    /// Puts a new thread into the table and its family.
    fn enrol(&mut self, child: Thread, fds: Option<std::sync::Arc<super::table::FdTable>>) -> Option<u32> {
        let slot = self.table.insert(child)?;
        if let Some(fds) = fds {
            self.table.set_fds(slot, fds);
        }
        self.link(slot);
        Some(slot)
    }
}
