//! Identity, limits and memory of threads; users and groups that come and go (state engine 7.2, 8).

use super::Engine;
use super::Thread;
use super::bind::{Cx, Handler, NA, list, signed, text, u32_of, unsigned};
use super::table::cl;
use super::{clone, exec, family};
use scapkit_format::Event;
use scapkit_format::schema::id;

const PR_SET_CHILD_SUBREAPER: u32 = 36;
const PR_GET_CHILD_SUBREAPER: u32 = 37;
const RLIMIT_NOFILE: u64 = 7;
/// All capabilities that upstream knows.
const ALL_CAPS: u64 = (1 << 41) - 1;

pub(super) const HANDLERS: &[(u16, Handler)] = &[
    (id::SYSCALL_CLONE_20_X, clone::clone),
    (id::SYSCALL_FORK_20_X, clone::clone),
    (id::SYSCALL_VFORK_20_X, clone::clone),
    (id::SYSCALL_CLONE3_X, clone::clone),
    (id::SYSCALL_EXECVE_19_X, exec::exec),
    (id::SYSCALL_EXECVEAT_X, exec::exec),
    (id::PROCEXIT_1_E, family::exit),
    (id::SYSCALL_SETRESUID_X, set_uid),
    (id::SYSCALL_SETREUID_X, set_uid),
    (id::SYSCALL_SETUID_X, set_uid),
    (id::SYSCALL_SETRESGID_X, set_gid),
    (id::SYSCALL_SETREGID_X, set_gid),
    (id::SYSCALL_SETGID_X, set_gid),
    (id::SYSCALL_SETSID_X, setsid),
    (id::SYSCALL_PRCTL_X, prctl),
    (id::SYSCALL_CAPSET_X, capset),
    (id::SYSCALL_UNSHARE_X, new_namespace),
    (id::SYSCALL_SETNS_X, new_namespace),
    (id::SYSCALL_GETRLIMIT_X, rlimit),
    (id::SYSCALL_SETRLIMIT_X, rlimit),
    (id::SYSCALL_PRLIMIT_X, prlimit),
    (id::SYSCALL_BRK_4_X, memory),
    (id::SYSCALL_MMAP_X, memory),
    (id::SYSCALL_MMAP2_X, memory),
    (id::SYSCALL_MUNMAP_X, memory),
    (id::SCHEDSWITCH_6_E, switch),
    (id::PROCINFO_E, processor_time),
    (id::USER_ADDED_E, user_event),
    (id::USER_DELETED_E, user_event),
    (id::GROUP_ADDED_E, group_event),
    (id::GROUP_DELETED_E, group_event),
];

/// The parameter that holds the effective id.
fn effective(event: &Event<'_>) -> usize {
    match event.event_type {
        id::SYSCALL_SETUID_X | id::SYSCALL_SETGID_X => 1,
        _ => 2,
    }
}

fn set_uid(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if let Some((slot, 0)) = cx.ok()
        && let Some(uid) = u32_of(event, effective(event))
        && let Some(s) = engine.table.get_mut(slot)
    {
        s.thread.uid = uid;
    }
}

fn set_gid(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if let Some((slot, 0)) = cx.ok()
        && let Some(gid) = u32_of(event, effective(event))
        && let Some(s) = engine.table.get_mut(slot)
    {
        s.thread.gid = gid;
    }
}

fn setsid(engine: &mut Engine, _: &Event<'_>, cx: &mut Cx) {
    if let Some((slot, sid)) = cx.ok()
        && let Some(s) = engine.table.get_mut(slot)
    {
        s.thread.sid = sid;
    }
}

/// Asking whether orphans are adopted counts as setting it, as upstream has it.
fn prctl(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some((slot, _)) = cx.ok() else {
        return;
    };
    if !matches!(u32_of(event, 1), Some(PR_SET_CHILD_SUBREAPER | PR_GET_CHILD_SUBREAPER)) {
        return;
    }
    let reaper = signed(event, 3, 8).unwrap_or(0) != 0;
    if let Some(s) = engine.table.get(slot).filter(|s| s.grouped && !s.thread.is_invalid())
        && let Some(group) = engine.table.groups.get_mut(&s.group.clone())
    {
        group.reaper = reaper;
    }
}

fn capset(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if let Some((slot, _)) = cx.ok()
        && let Some(s) = engine.table.get_mut(slot)
    {
        s.thread.cap_inheritable = unsigned(event, 1, 8).unwrap_or(0);
        s.thread.cap_permitted = unsigned(event, 2, 8).unwrap_or(0);
        s.thread.cap_effective = unsigned(event, 3, 8).unwrap_or(0);
    }
}

/// unshare and setns: in a new user namespace a thread may do anything.
fn new_namespace(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let param = if event.event_type == id::SYSCALL_UNSHARE_X { 1 } else { 2 };
    if let Some((slot, _)) = cx.ok()
        && u32_of(event, param).unwrap_or(0) & cl::NEWUSER != 0
        && let Some(s) = engine.table.get_mut(slot)
    {
        s.thread.cap_inheritable = ALL_CAPS;
        s.thread.cap_permitted = ALL_CAPS;
        s.thread.cap_effective = ALL_CAPS;
    }
}

fn rlimit(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if let Some((slot, _)) = cx.ok()
        && unsigned(event, 3, 1) == Some(RLIMIT_NOFILE)
    {
        engine.set_fdlimit(slot, signed(event, 1, 8));
    }
}

fn prlimit(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if cx.res != Some(0) || unsigned(event, 6, 1) != Some(RLIMIT_NOFILE) {
        return;
    }
    let new = signed(event, 1, 8);
    if new == Some(-1) {
        return;
    }
    let tid = match signed(event, 5, 8) {
        Some(0) => event.tid,
        Some(tid) => tid,
        None => return,
    };
    if let Some(slot) = engine.get_or_create(tid)
        && engine.is_valid(slot)
    {
        engine.set_fdlimit(slot, new);
    }
}

fn memory(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    let Some(s) = cx.slot.and_then(|slot| engine.table.get_mut(slot)) else {
        return;
    };
    s.thread.vmsize_kb = u32_of(event, 1).unwrap_or(s.thread.vmsize_kb);
    if let Some(swap) = u32_of(event, 3) {
        s.thread.vmrss_kb = u32_of(event, 2).unwrap_or(0);
        s.thread.vmswap_kb = swap;
    }
}

/// What a thread has taken of the processors' time.
fn processor_time(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if let Some(s) = cx.slot.and_then(|slot| engine.table.get_mut(slot)) {
        cx.cpu_before = (s.thread.cpu_user, s.thread.cpu_system);
        s.thread.cpu_user = unsigned(event, 0, 8).unwrap_or(0);
        s.thread.cpu_system = unsigned(event, 1, 8).unwrap_or(0);
    }
}

/// Context switch: time of the processor, page faults of the thread, sizes of its process.
fn switch(engine: &mut Engine, event: &Event<'_>, cx: &mut Cx) {
    if engine.machine.as_ref().is_some_and(|m| m.num_cpus.get() != 0) {
        cx.since_switch = match engine.switches.insert(event.cpu, event.ts) {
            None | Some(0) => 0,
            Some(before) => event.ts.wrapping_sub(before),
        };
        if let Some(s) = cx.slot.and_then(|slot| engine.table.get_mut(slot)) {
            s.thread.exec_ns = s.thread.exec_ns.wrapping_add(cx.since_switch);
        }
    }
    let (Some(slot), Some(swap)) = (cx.slot, u32_of(event, 5)) else {
        return;
    };
    if let Some(s) = engine.table.get_mut(slot) {
        s.thread.pfmajor = unsigned(event, 1, 8).unwrap_or(0);
        s.thread.pfminor = unsigned(event, 2, 8).unwrap_or(0);
    }
    if let Some(main) = engine.table.main_of(slot)
        && let Some(s) = engine.table.get_mut(main)
    {
        s.thread.vmsize_kb = u32_of(event, 3).unwrap_or(0);
        s.thread.vmrss_kb = u32_of(event, 4).unwrap_or(0);
        s.thread.vmswap_kb = swap;
    }
}

/// A string that names something; missing ones are empty, not `<NA>`.
fn name<'a>(event: &Event<'a>, param: usize) -> &'a [u8] {
    match text(event, param) {
        NA => b"",
        text => text,
    }
}

fn user_event(engine: &mut Engine, event: &Event<'_>, _: &mut Cx) {
    let initial = engine.is_initial_state();
    let (Some(uid), container) = (u32_of(event, 0), name(event, 5)) else {
        return;
    };
    // Upstream reads the list after these events.
    if initial && container.is_empty() && engine.users.user(uid).is_some_and(|user| user.listed) {
        return;
    }
    let pool = &mut engine.table.pool;
    if event.event_type == id::USER_ADDED_E {
        let gid = u32_of(event, 1).unwrap_or(0);
        let [name, home, shell] = [text(event, 2), text(event, 3), text(event, 4)];
        engine.users.add_user(container, uid, gid, [name, home, shell], pool);
    } else {
        engine.users.remove_user(container, uid, pool);
    }
}

fn group_event(engine: &mut Engine, event: &Event<'_>, _: &mut Cx) {
    let initial = engine.is_initial_state();
    let (Some(gid), container) = (u32_of(event, 0), name(event, 2)) else {
        return;
    };
    if initial && container.is_empty() && engine.users.group(gid).is_some_and(|group| group.listed) {
        return;
    }
    let pool = &mut engine.table.pool;
    if event.event_type == id::GROUP_ADDED_E {
        engine.users.add_group(container, gid, text(event, 1), pool);
    } else {
        engine.users.remove_group(container, gid, pool);
    }
}

/// Replaces `out` by a cgroup list with today's names of the subsystems; `false` when the list is not one.
pub(super) fn modern_cgroups(out: &mut Vec<u8>, list: &[u8]) -> bool {
    out.clear();
    if list.is_empty() {
        return true;
    }
    for (i, entry) in list.split(|b| *b == 0).enumerate() {
        let Some((subsystem, path)) = entry.iter().position(|b| *b == b'=').and_then(|at| entry.split_at_checked(at))
        else {
            return false;
        };
        if i > 0 {
            out.push(0);
        }
        const OLD: &[u8] = b"_cgroup";
        let start = out.len();
        match subsystem.windows(OLD.len()).position(|w| w == OLD) {
            Some(at) => {
                out.extend_from_slice(subsystem.get(..at).unwrap_or_default());
                out.extend_from_slice(subsystem.get(at.saturating_add(OLD.len())..).unwrap_or_default());
            }
            None => out.extend_from_slice(subsystem),
        }
        let renamed: Option<&[u8]> = match out.get(start..) {
            Some(b"perf") => Some(b"perf_event"),
            Some(b"mem") => Some(b"memory"),
            Some(b"io") => Some(b"blkio"),
            _ => None,
        };
        if let Some(renamed) = renamed {
            out.truncate(start);
            out.extend_from_slice(renamed);
        }
        out.extend_from_slice(path);
    }
    true
}

impl Engine {
    fn set_fdlimit(&mut self, slot: u32, limit: Option<i64>) {
        let (Some(main), Some(limit)) = (self.table.main_of(slot), limit.filter(|l| *l != -1)) else {
            return;
        };
        if let Some(s) = self.table.get_mut(main) {
            s.thread.fdlimit = limit;
        }
    }

    /// Takes over the cgroups of an event, if it has any and they are well formed.
    pub(super) fn set_cgroups(&mut self, thread: &mut Thread, event: &Event<'_>, param: usize) {
        let cgroups = list(event, param);
        if !cgroups.is_empty() && modern_cgroups(&mut self.scratch, cgroups) {
            let pool = &mut self.table.pool;
            pool.set(&mut thread.cgroups, &self.scratch);
            let container = self.containers.resolve(&thread.cgroups, pool);
            pool.put(&mut thread.container_id, container);
        }
    }

    /// As [`Engine::set_cgroups`], for a thread in the table.
    pub(super) fn set_cgroups_of(&mut self, slot: u32, event: &Event<'_>, param: usize) {
        let cgroups = list(event, param);
        if !cgroups.is_empty()
            && modern_cgroups(&mut self.scratch, cgroups)
            && let Some((s, pool)) = self.table.with_pool(slot)
            && *s.thread.cgroups != *self.scratch
        {
            pool.set(&mut s.thread.cgroups, &self.scratch);
            let container = self.containers.resolve(&s.thread.cgroups, pool);
            pool.put(&mut s.thread.container_id, container);
        }
    }
}
