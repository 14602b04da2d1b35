//! Exits of execve and execveat (state engine 6.5).

use super::bind::{Cx, NA, list, signed, text, u32_of, unsigned};
use super::clone::memory;
use super::table::cl;
use super::{Engine, Thread, paths};
use scapkit_format::Event;
use scapkit_format::schema::id;

const AT_EMPTY_PATH: u32 = 1;

/// The path of an executable without the mark of the kernel that it is gone.
pub(super) fn without_deleted(path: &[u8]) -> &[u8] {
    match path.strip_suffix(b" (deleted)") {
        Some(rest) if !rest.is_empty() => rest,
        _ => path,
    }
}

/// Exit of execve or execveat.
pub(super) fn exec(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some((slot, _)) = cx.ok() else {
        return;
    };
    if engine.table.get(slot).is_some_and(|s| s.thread.is_dead()) {
        engine.resurrect(slot);
    }
    if let Some((s, pool)) = engine.table.with_pool(slot) {
        let t = &mut s.thread;
        pool.set(&mut t.exe, text(event, 1));
        t.lastexec_ts = event.ts;
        match event.param(13) {
            None | Some([]) => pool.put(&mut t.comm, t.exe.clone()),
            Some(_) => pool.set(&mut t.comm, text(event, 13)),
        }
        pool.set(&mut t.args, list(event, 2));
        t.pid = signed(event, 4, 8).unwrap_or(0);
        if t.is_invalid() {
            t.ptid = signed(event, 5, 8).unwrap_or(0);
            if t.flags & cl::IN_PIDNS == 0 {
                t.vtid = t.tid;
                t.vpid = t.pid;
            }
        }
    }
    // Does nothing to a thread that is linked already.
    engine.link(slot);
    engine.set_exepath(event, cx, slot);
    if let Some((s, pool)) = engine.table.with_pool(slot) {
        if event.param(15).is_some_and(|env| !env.is_empty()) {
            pool.set(&mut s.thread.env, list(event, 15));
        }
        numbers(event, &mut s.thread);
    }
    engine.set_cgroups_of(slot, event, 14);
    engine.table.retain_fds(slot, |_, fd| !fd.closes_on_exec());
    if let Some(s) = engine.table.get_mut(slot) {
        let kept = s.thread.flags & (cl::PIPE_SRC | cl::PIPE_DST | cl::MAIN_THREAD | cl::INVERTED);
        s.thread.flags = cl::ACTIVE | cl::NAME_CHANGED | kept;
    }
    engine.end_siblings(slot);
}

/// What is stored with the event as plain numbers.
fn numbers(event: &Event<'_>, t: &mut Thread) {
    t.fdlimit = signed(event, 7, 8).unwrap_or(0);
    memory(event, t);
    t.tty = u32_of(event, 16).unwrap_or(t.tty);
    t.vpgid = signed(event, 17, 8).unwrap_or(t.vpgid);
    t.loginuid = u32_of(event, 18).unwrap_or(t.loginuid);
    if let Some(flags) = u32_of(event, 19) {
        t.exe_writable = flags & 1 != 0;
        t.exe_upper_layer = flags & 2 != 0;
        t.exe_from_memfd = flags & 4 != 0;
        t.exe_lower_layer = flags & 8 != 0;
    }
    if let Some(effective) = unsigned(event, 22, 8) {
        t.cap_inheritable = unsigned(event, 20, 8).unwrap_or(0);
        t.cap_permitted = unsigned(event, 21, 8).unwrap_or(0);
        t.cap_effective = effective;
    }
    if let Some(mtime) = unsigned(event, 25, 8) {
        t.exe_ino = unsigned(event, 23, 8).unwrap_or(0);
        t.exe_ino_ctime = unsigned(event, 24, 8).unwrap_or(0);
        t.exe_ino_mtime = mtime;
        if t.clone_ts != 0 {
            t.ctime_to_clone_ns = t.clone_ts.wrapping_sub(t.exe_ino_ctime);
        }
        if t.pidns_init_start_ts != 0 && t.exe_ino_ctime > t.pidns_init_start_ts {
            t.pidns_to_ctime_ns = t.exe_ino_ctime.wrapping_sub(t.pidns_init_start_ts);
        }
    }
    t.uid = u32_of(event, 26).unwrap_or(t.uid);
    t.pgid = signed(event, 28, 8).unwrap_or(-1);
    t.gid = u32_of(event, 29).unwrap_or(t.gid);
}

impl Engine {
    /// The kernel's word on the executable, else what the enter event asked for.
    fn set_exepath(&mut self, event: &Event<'_>, cx: &Cx, slot: u32) {
        if event.param(27).is_some_and(|p| !p.is_empty()) {
            if let Some((s, pool)) = self.table.with_pool(slot) {
                pool.set(&mut s.thread.exepath, without_deleted(text(event, 27)));
            }
            return;
        }
        let Some(enter) = self.take_enter(event, cx) else {
            return;
        };
        let enter = enter.view();
        let mut path = std::mem::take(&mut self.scratch);
        let mut dir = std::mem::take(&mut self.scratch2);
        path.clear();
        if enter.event_type == id::SYSCALL_EXECVEAT_E {
            let (name, flags) = (text(&enter, 1), u32_of(&enter, 2).unwrap_or(0));
            self.dir_of(&mut dir, slot, signed(&enter, 0, 8).unwrap_or(0), name);
            if dir == paths::UNKNOWN || (flags & AT_EMPTY_PATH == 0 && name == NA) {
                path.extend_from_slice(NA);
            } else if flags & AT_EMPTY_PATH != 0 {
                paths::join(&mut path, b"", &dir);
            } else {
                paths::join(&mut path, &dir, name);
            }
        } else {
            let name = text(&enter, 0);
            if name == NA {
                path.extend_from_slice(NA);
            } else {
                paths::join(&mut path, &self.cwd_text(slot), name);
            }
        }
        if let Some((s, pool)) = self.table.with_pool(slot) {
            pool.set(&mut s.thread.exepath, without_deleted(&path));
        }
        self.scratch = path;
        self.scratch2 = dir;
    }

    /// The other threads of the process are over; its leader stays, under whose id it goes on.
    fn end_siblings(&mut self, slot: u32) {
        let Some(s) = self.table.get(slot).filter(|s| s.grouped) else {
            return;
        };
        let own = s.thread.tid;
        let Some(group) = self.table.groups.get(&s.group).filter(|g| g.alive > 1) else {
            return;
        };
        let is_main = |tid: i64| self.table.thread(tid).is_none_or(Thread::is_main);
        let over: Vec<i64> = group.members.values().copied().filter(|t| *t != own && !is_main(*t)).collect();
        for tid in over {
            self.remove_thread(tid);
        }
    }
}
