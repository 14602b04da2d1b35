//! What the engine knows, written. Every structure is taken apart in full: a new field does not
//! compile until something is done about it here.
#![allow(clippy::needless_for_each)] // a line per row of the table reads best

use super::super::container_json::Container;
use super::super::containers::Containers;
use super::super::export::fd_type;
use super::super::family::{FamilyWork, RecentExits};
use super::super::lists::Listed as InLists;
use super::super::table::{Enter, FdTable, Group as ThreadGroup, NONE, Slot, Table};
use super::super::users::{Group, Interfaces, Listed, User, Users};
use super::super::{Engine, Fd, Socket, Text, Thread};
use super::code::Out;
use scapkit_format::lists::interfaces::Address;
use std::collections::HashMap;
use std::sync::Arc;
use zerocopy::IntoBytes;

impl Engine {
    /// Appends everything but the limits.
    pub(crate) fn encode(&self, out: &mut Out) {
        let Engine {
            plans: _,
            limits: _,
            table,
            users,
            containers,
            interfaces,
            machine,
            events,
            initial_state,
            lists_open,
            listed,
            dying,
            closing,
            undated_exit,
            recent_exits,
            switches,
            family_work,
            scratch: _,
            scratch2: _,
        } = self;
        out.u64(*events);
        option(out, *initial_state, Out::u64);
        out.bool(*lists_open);
        option(out, *dying, Out::i64);
        option(out, *closing, pair);
        option(out, *undated_exit, pair);
        option(out, machine.as_ref(), |out, m| out.bytes.extend_from_slice(m.as_bytes()));
        put_interfaces(out, interfaces);
        exits(out, recent_exits);
        put_listed(out, listed);
        out.usize(switches.len());
        for (cpu, ts) in switches {
            out.u16(*cpu);
            out.u64(*ts);
        }
        let FamilyWork { done, refused } = family_work;
        out.u64(*done);
        out.u64(*refused);
        put_table(out, table);
        put_users(out, users);
        put_containers(out, containers);
        // Last: most of these strings are known by now.
        out.u64(table.pool.refused);
        out.usize(table.pool.recent().count());
        table.pool.recent().for_each(|text| out.text(text));
    }

    /// What can be seen of the state, hashed: threads with their fds, users, groups, containers,
    /// interfaces, the machine. How the engine keeps it does not matter.
    pub fn hash(&self) -> [u8; 32] {
        let mut out = Out::by_value();
        option(&mut out, self.machine.as_ref(), |out, m| out.bytes.extend_from_slice(m.as_bytes()));
        put_interfaces(&mut out, &self.interfaces);
        put_users(&mut out, &self.users);
        for container in self.containers() {
            put_container(&mut out, container);
        }
        let mut hasher = blake3::Hasher::new();
        let mut tables = HashMap::new();
        for (tid, slot) in self.table.slots_by_tid() {
            let Some(s) = self.table.get(slot) else { continue };
            out.i64(tid);
            put_thread(&mut out, &s.thread);
            out.u32(self.alive_threads(s.thread.pid));
            // A table may be that of many threads.
            let fds = tables.entry(Arc::as_ptr(&s.fds).addr()).or_insert_with(|| {
                let mut out = Out::by_value();
                put_fds(&mut out, &s.fds);
                blake3::hash(&out.bytes)
            });
            out.bytes.extend_from_slice(fds.as_bytes());
            // Not all of it in memory at once.
            hasher.update(&out.bytes);
            out.bytes.clear();
        }
        hasher.update(&out.bytes);
        *hasher.finalize().as_bytes()
    }
}

pub(crate) fn option<T>(out: &mut Out, value: Option<T>, put: impl FnOnce(&mut Out, T)) {
    out.bool(value.is_some());
    if let Some(value) = value {
        put(out, value);
    }
}

fn pair(out: &mut Out, (a, b): (i64, i64)) {
    out.i64(a);
    out.i64(b);
}

fn put_interfaces(out: &mut Out, interfaces: &Interfaces) {
    // Addresses for lookups are made of the listed ones.
    let Interfaces { all: _, listed } = interfaces;
    out.usize(listed.len());
    for Listed { address, linkspeed, name } in listed {
        match address {
            Address::V4 { address, netmask, broadcast } => {
                out.bytes.push(4);
                [address, netmask, broadcast].iter().for_each(|a| out.bytes.extend_from_slice(*a));
            }
            Address::V6 { address, netmask, broadcast } => {
                out.bytes.push(6);
                [address, netmask, broadcast].iter().for_each(|a| out.bytes.extend_from_slice(*a));
            }
        }
        option(out, *linkspeed, Out::u64);
        out.slice(name);
    }
}

/// From the oldest to the newest.
fn exits(out: &mut Out, exits: &RecentExits) {
    let RecentExits { ring, next, by_key: _ } = exits;
    let (newer, older) = ring.split_at_checked(*next).unwrap_or((ring, &[]));
    out.usize(ring.len());
    let mut last = 0u64;
    for (key, ts) in older.iter().chain(newer) {
        out.u64(*key);
        out.i64(ts.wrapping_sub(last).cast_signed());
        last = *ts;
    }
}

fn put_listed(out: &mut Out, listed: &InLists) {
    let InLists { tids, ports } = listed;
    out.usize(tids.len());
    tids.iter().for_each(|tid| out.i64(*tid));
    out.usize(ports.len());
    ports.iter().for_each(|port| out.u16(*port));
}

fn put_table(out: &mut Out, table: &Table) {
    let Table {
        index,
        slots,
        free: _,
        near: _,
        groups,
        next_seq,
        pool: _,
        max_threads: _,
        max_fds: _,
        threads_refused,
        fds_refused,
    } = table;
    out.u64(*threads_refused);
    out.u64(*fds_refused);
    out.i64(*next_seq);
    out.usize(groups.len());
    let mut last = None;
    for (pid, group) in groups {
        // Members are those threads that say so.
        let ThreadGroup { alive, reaper, members: _ } = group;
        out.key(*pid, last);
        last = Some(*pid);
        out.u32(*alive);
        out.bool(*reaper);
    }
    let mut positions = vec![0u32; slots.len()];
    out.usize(index.len());
    let mut last = None;
    for (position, (tid, slot)) in (0u32..).zip(index) {
        if let Some(p) = positions.get_mut(*slot as usize) {
            *p = position;
        }
        out.key(*tid, last);
        last = Some(*tid);
        if let Some(s) = table.get(*slot) {
            put_slot(out, s);
        }
    }
    let mut children = Vec::new();
    for slot in index.values() {
        children.clear();
        let mut child = table.get(*slot).map_or(NONE, |s| s.child);
        while let Some(c) = table.get(child) {
            children.push(positions.get(child as usize).copied().unwrap_or(0));
            child = c.next;
        }
        out.usize(children.len());
        children.iter().for_each(|c| out.u32(*c));
    }
}

fn put_slot(out: &mut Out, slot: &Slot) {
    let Slot {
        thread,
        fds,
        seq,
        group,
        grouped,
        // The family is written after all threads.
        parent: _,
        child: _,
        next: _,
        prev: _,
        children: _,
        last_fd,
        last_enter,
        enter,
        reaper,
    } = slot;
    put_thread(out, thread);
    option(out, grouped.then_some((*group, *seq)), pair);
    out.i64(*last_fd);
    out.u16(*last_enter);
    out.i64(*reaper);
    option(out, enter.as_ref(), |out, enter| {
        let Enter { event_type, lens, data } = &**enter;
        out.u16(*event_type);
        out.slice(lens);
        out.slice(data);
    });
    if out.table(fds) {
        put_fds(out, fds);
    }
}

/// All but the tid.
fn put_thread(out: &mut Out, thread: &Thread) {
    let Thread {
        tid: _,
        pid,
        ptid,
        sid,
        vpgid,
        pgid,
        vtid,
        vpid,
        comm,
        exe,
        exepath,
        args,
        env,
        cgroups,
        container_id,
        root,
        cwd,
        flags,
        fdlimit,
        uid,
        gid,
        loginuid,
        tty,
        vmsize_kb,
        vmrss_kb,
        vmswap_kb,
        pfmajor,
        pfminor,
        cap_inheritable,
        cap_permitted,
        cap_effective,
        exe_writable,
        exe_upper_layer,
        exe_lower_layer,
        exe_from_memfd,
        exe_ino,
        exe_ino_ctime,
        exe_ino_mtime,
        ctime_to_clone_ns,
        pidns_to_ctime_ns,
        pidns_init_start_ts,
        clone_ts,
        lastexec_ts,
        exec_ns,
        cpu_user,
        cpu_system,
    } = thread;
    [pid, ptid, sid, vpgid, pgid, vtid, vpid, fdlimit].iter().for_each(|n| out.i64(**n));
    [comm, exe, exepath, args, env, cgroups, container_id, root, cwd].iter().for_each(|t| out.text(t));
    [flags, tty, vmsize_kb, vmrss_kb, vmswap_kb].iter().for_each(|n| out.u32(**n));
    [uid, gid, loginuid].iter().for_each(|n| out.id32(**n));
    [pfmajor, pfminor, cap_inheritable, cap_permitted, cap_effective].iter().for_each(|n| out.u64(**n));
    [exe_ino, exe_ino_ctime, exe_ino_mtime].iter().for_each(|n| out.u64(**n));
    [ctime_to_clone_ns, pidns_to_ctime_ns, pidns_init_start_ts].iter().for_each(|n| out.u64(**n));
    [clone_ts, lastexec_ts, exec_ns, cpu_user, cpu_system].iter().for_each(|n| out.u64(**n));
    [exe_writable, exe_upper_layer, exe_lower_layer, exe_from_memfd].iter().for_each(|b| out.bool(**b));
}

fn put_fds(out: &mut Out, fds: &Arc<FdTable>) {
    out.usize(fds.len());
    let mut last = None;
    for (number, fd) in &**fds {
        out.key(*number, last);
        last = Some(*number);
        put_fd(out, fd);
    }
}

fn put_fd(out: &mut Out, fd: &Fd) {
    let Fd { kind, name, name_raw, open_flags, dev, ino, socket, flags, pid } = fd;
    out.bytes.push(fd_type(*kind).0);
    out.text(name);
    out.text(name_raw);
    out.u32(*open_flags);
    out.u32(*dev);
    out.u64(*ino);
    out.u16(*flags);
    out.i64(*pid);
    match socket {
        Socket::None => out.bytes.push(0),
        Socket::Ipv4 { sip, sport, dip, dport, l4 } => ends(out, 1, [sip, dip], [*sport, *dport], *l4),
        Socket::Ipv6 { sip, sport, dip, dport, l4 } => ends(out, 2, [sip, dip], [*sport, *dport], *l4),
        Socket::Ipv4Server { ip, port, l4 } => ends(out, 3, [ip], [*port], *l4),
        Socket::Ipv6Server { ip, port, l4 } => ends(out, 4, [ip], [*port], *l4),
        Socket::Unix { source, destination } => {
            out.bytes.push(5);
            out.u64(*source);
            out.u64(*destination);
        }
    }
}

fn ends<const N: usize, const M: usize>(out: &mut Out, tag: u8, ips: [&[u8; N]; M], ports: [u16; M], l4: u8) {
    out.bytes.push(tag);
    ips.iter().for_each(|ip| out.bytes.extend_from_slice(*ip));
    ports.iter().for_each(|port| out.u16(*port));
    out.bytes.push(l4);
}

fn put_users(out: &mut Out, users: &Users) {
    let Users { people, groups, machine: _, root: _, root_group: _ } = users;
    out.usize(people.len());
    for ((container, number), user) in people {
        let User { uid, gid, name, home, shell, listed } = user;
        out.text(container);
        out.u32(*number);
        out.u32(*uid);
        out.u32(*gid);
        [name, home, shell].iter().for_each(|t: &&Text| out.text(t));
        out.bool(*listed);
    }
    out.usize(groups.len());
    for ((container, number), group) in groups {
        let Group { gid, name, listed } = group;
        out.text(container);
        out.u32(*number);
        out.u32(*gid);
        out.text(name);
        out.bool(*listed);
    }
}

fn put_containers(out: &mut Out, containers: &Containers) {
    let Containers { by_id, host: _, told, resolved, unreadable } = containers;
    out.u64(*unreadable);
    out.text(&resolved.0);
    out.text(&resolved.1);
    out.usize(by_id.len());
    by_id.values().for_each(|container| put_container(out, container));
    option(out, told.as_ref(), |out, container| put_container(out, container));
}

/// A container that an event told of is its text; of others there is only an id and a kind.
fn put_container(out: &mut Out, container: &Container) {
    let Container {
        id,
        kind,
        json,
        full_id: _,
        name: _,
        image: _,
        image_id: _,
        image_repository: _,
        image_tag: _,
        image_digest: _,
        user: _,
        ip: _,
        cni_json: _,
        privileged: _,
        host_pid: _,
        host_network: _,
        host_ipc: _,
        mounts: _,
        labels: _,
        pod_sandbox_id: _,
        pod_sandbox_labels: _,
    } = container;
    out.slice(json);
    if json.is_empty() {
        out.slice(id.as_bytes());
        option(out, *kind, Out::u16);
    }
}
