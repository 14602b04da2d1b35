//! Threads: how they come, what is known of them, how they end.

use super::sandbox::{Container, Image, MAX_TEXT, NOBODY, Thread};
use super::{Turn, calls};
use crate::gvisor::flags;
use crate::gvisor::params::Params;
use crate::gvisor::raw::Arch;
use bytes::Bytes;
use scapkit_format::schema::id;
use scapkit_proto::common::Credentials;
use scapkit_proto::{Message, Who, sentry};
use std::sync::Arc;

/// CLONE_VFORK, CLONE_PARENT and CLONE_THREAD, as Linux has them.
const VFORK: u64 = 0x4000;
const PARENT: u64 = 0x8000;
const THREAD: u64 = 0x1_0000;
/// Longest name of a thread.
pub(super) const MAX_COMM: usize = 15;

/// Numbers of calls that make threads and run programs.
pub(super) struct Numbers {
    pub clone: u64,
    pub fork: Option<u64>,
    pub vfork: Option<u64>,
    pub clone3: u64,
    pub execve: u64,
    pub execveat: u64,
}

/// Those of an architecture.
pub(super) fn numbers(arch: Arch) -> Numbers {
    match arch {
        Arch::X86_64 => Numbers { clone: 56, fork: Some(57), vfork: Some(58), clone3: 435, execve: 59, execveat: 322 },
        Arch::Aarch64 => Numbers { clone: 220, fork: None, vfork: None, clone3: 435, execve: 221, execveat: 281 },
    }
}

/// Whether after `sentry/execve` the message may still be of the same call.
pub(super) fn may_end_exec(message: &Message, arch: Arch) -> bool {
    match message {
        Message::Execve(_) | Message::MmapInfo(_) | Message::ExecveInfo(_) => true,
        Message::Syscall(m) => {
            let numbers = numbers(arch);
            m.sysno == numbers.execve || m.sysno == numbers.execveat
        }
        _ => false,
    }
}

pub(super) fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
}

/// As much of a text as is kept.
pub(super) fn kept(text: &[u8]) -> &[u8] {
    text.get(..MAX_TEXT).unwrap_or(text)
}

/// Arguments, each with its NUL, as far as they are kept.
pub(super) fn joined(args: &[Bytes]) -> Box<[u8]> {
    let mut out = Vec::new();
    for arg in args {
        // One byte is that of its end.
        let room = MAX_TEXT.saturating_sub(out.len()).saturating_sub(1);
        out.extend_from_slice(arg.get(..room).unwrap_or(arg));
        out.push(0);
        if arg.len() >= room {
            break;
        }
    }
    out.into()
}

pub(super) fn comm(name: &[u8]) -> Box<[u8]> {
    name.get(..MAX_COMM).unwrap_or(name).into()
}

pub(super) fn nanoseconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

impl Turn<'_> {
    pub(super) fn credentials(&self) -> Option<Credentials> {
        self.context.credentials
    }

    /// Before an event of a thread: one that is not known yet is made known, since it was there before the session
    /// or came by `runsc exec`.
    pub(super) fn meet(&mut self) {
        let thread = self.context.thread_id;
        if thread == 0 {
            return;
        }
        let group = self.group();
        match self.sandbox.threads.get(&thread) {
            None => {
                if group != thread && !self.sandbox.threads.contains_key(&group) {
                    self.introduce(group, group);
                }
                self.introduce(thread, group);
            }
            Some(known) => {
                if known.container.id.is_empty() && !self.context.container_id.is_empty() {
                    self.place(thread);
                }
            }
        }
    }

    /// Makes a thread known by what the message says of it.
    pub(super) fn introduce(&mut self, thread: i32, group: i32) {
        let context = self.context;
        let container = self.container(context.container_id);
        let name = comm(context.process_name);
        // Of its own process: nobody of the sandbox has made it, as far as is known.
        let parent = context.parent_thread_group_id;
        let (uid, gid) = self.credentials().map_or((NOBODY, NOBODY), |c| (c.effective_uid, c.effective_gid));
        let leads = parent == 0 && context.is_exec_session;
        let state = Thread {
            parent,
            container,
            image: Arc::new(Image { exe: name.clone(), args: Box::default() }),
            comm: name,
            uid,
            gid,
            pgid: if leads { group } else { 0 },
            sid: if leads { group } else { 0 },
            cwd: kept(context.cwd).into(),
            ..Thread::unknown(group)
        };
        self.tell_thread(thread, &state);
        self.sandbox.keep(thread, state, self.room);
    }

    /// Makes a thread known to readers, with what no event of its own has told: that it is there, and where.
    pub(super) fn tell_thread(&mut self, thread: i32, state: &Thread) {
        let tid = self.sandbox.tid(thread);
        let flags = if thread == state.group { 0 } else { clone_flags(THREAD) };
        self.put_thread(0, thread, state, flags);
        self.out.add_state(self.ts, tid, id::SYSCALL_CLONE_20_X, self.params);
        if thread == state.group && !state.cwd.is_empty() {
            self.params.clear().i64(0).text(&state.cwd);
            self.out.add_state(self.ts, tid, id::SYSCALL_CHDIR_X, self.params);
        }
    }

    /// `sentry/clone`: the event in the child.
    pub(super) fn cloned(&mut self, m: &sentry::CloneInfo) {
        let (child, caller) = (m.created_thread_id, self.context.thread_id);
        if child == 0 || caller == 0 {
            self.counts.nameless += 1;
            return;
        }
        let Some(parent) = self.sandbox.threads.get(&caller).cloned() else { return };
        let group = if m.created_thread_group_id == 0 { child } else { m.created_thread_group_id };
        let is_thread = group != child;
        let creator = if is_thread || m.flags & PARENT != 0 { self.sandbox.parent_of(&parent) } else { caller };
        let leader = self.sandbox.leader(caller).unwrap_or(&parent).clone();
        let context = self.context;
        let (uid, gid) = self.credentials().map_or((parent.uid, parent.gid), |c| (c.effective_uid, c.effective_gid));
        let name = if context.process_name.is_empty() { parent.comm.clone() } else { comm(context.process_name) };
        let event = self.clone_type(parent.call, m.flags);
        let state = Thread {
            parent: creator,
            container: Arc::clone(&parent.container),
            comm: name,
            image: Arc::clone(&parent.image),
            uid,
            gid,
            pgid: leader.pgid,
            sid: leader.sid,
            fdlimit: leader.fdlimit,
            cwd: if context.cwd.is_empty() { leader.cwd.clone() } else { kept(context.cwd).into() },
            ..Thread::unknown(group)
        };
        self.put_thread(0, child, &state, clone_flags(m.flags));
        self.out.add(self.ts, self.sandbox.tid(child), event, self.params);
        self.sandbox.keep(child, state, self.room);
        if let Some(parent) = self.sandbox.threads.get_mut(&caller) {
            parent.made(child);
        }
    }

    /// The type of the event that tells of a new thread: by the call that the caller is in, else by its flags.
    fn clone_type(&self, call: u64, linux: u64) -> u16 {
        let numbers = numbers(self.sandbox.arch());
        if call == numbers.clone3 {
            id::SYSCALL_CLONE3_X
        } else if Some(call) == numbers.fork {
            id::SYSCALL_FORK_20_X
        } else if Some(call) == numbers.vfork || (call == u64::MAX && linux & VFORK != 0) {
            id::SYSCALL_VFORK_20_X
        } else {
            id::SYSCALL_CLONE_20_X
        }
    }

    /// The end of clone, clone3, fork or vfork in the caller. The result is the thread that was made, by the id that
    /// it has everywhere else here; the one that the caller sees is of its own namespace.
    pub(super) fn clone_returned(&mut self, thread: i32, event: u16, linux: u64, res: i64) {
        let Some(state) = self.sandbox.threads.get_mut(&thread) else {
            self.put_thread(res, thread, &Thread::unknown(thread), clone_flags(linux));
            return self.out.add(self.ts, self.sandbox.tid(thread), event, self.params);
        };
        state.call = u64::MAX;
        let created = std::mem::take(&mut state.created);
        let state = state.clone();
        let res = match created.last() {
            Some(child) if res > 0 => self.sandbox.tid(*child),
            _ => res,
        };
        self.put_thread(res, thread, &state, clone_flags(linux));
        self.out.add(self.ts, self.sandbox.tid(thread), event, self.params);
    }

    /// Parameters of the exit of a call that makes threads.
    pub(super) fn put_thread(&mut self, res: i64, thread: i32, state: &Thread, flags: u32) {
        let sandbox = &*self.sandbox;
        let parent = sandbox.id_or_none(sandbox.parent_of(state));
        let params = self.params.clear();
        params.i64(res).text(&state.image.exe).bytes(&state.image.args);
        params.i64(sandbox.tid(thread)).i64(sandbox.tid(state.group)).i64(parent);
        params.text(&state.cwd).i64(state.fdlimit);
        // Page faults and memory are not told.
        params.empty().empty().empty().empty().empty();
        params.text(&state.comm);
        cgroups(params, &state.container);
        params.u32(flags).u32(state.uid).u32(state.gid);
        params.i64(i64::from(thread)).i64(i64::from(state.group)).u64(state.container.start);
    }

    /// `sentry/task_exit`.
    pub(super) fn task_exit(&mut self, status: i32) {
        let thread = self.context.thread_id;
        if thread == 0 {
            self.counts.nameless += 1;
            return;
        }
        if let Some(state) = self.sandbox.threads.get_mut(&thread)
            && state.replaced
        {
            state.replaced = false;
            return;
        }
        self.exit(thread, status);
    }

    fn exit(&mut self, thread: i32, status: i32) {
        let gone = self.sandbox.forget(thread, self.room);
        let mut reaper = 0;
        if let Some(gone) = gone
            && !self.sandbox.has_process(gone.group)
        {
            self.sandbox.forget_process(gone.group, self.room);
            let init = gone.container.init;
            if init != gone.group && self.sandbox.threads.contains_key(&init) {
                reaper = self.sandbox.tid(init);
            }
        }
        let (code, signal) = (status >> 8 & 0xff, status & 0x7f);
        let status = i64::from(status);
        self.params.clear().i64(status).i64(i64::from(code));
        self.params.u8(u8::try_from(signal).unwrap_or_default()).u8(u8::from(status & 0x80 != 0)).i64(reaper);
        self.out.add(self.ts, self.sandbox.tid(thread), id::PROCEXIT_1_E, self.params);
    }

    /// `sentry/exit_notify_parent`: the process has ended. Normally all its threads have told so; what they did not
    /// tell was lost.
    pub(super) fn process_exit(&mut self, status: i32) {
        let group = self.group();
        if group != 0 && self.sandbox.has_process(group) {
            self.exit_all(Some(group), status);
        }
    }

    /// The sandbox has ended: all its threads.
    pub(super) fn end(&mut self) {
        let held: Vec<i32> = self.sandbox.threads.iter().filter(|(_, t)| t.held.is_some()).map(|(id, _)| *id).collect();
        for thread in held {
            self.give_held(thread);
        }
        self.exit_all(None, 0);
    }

    fn exit_all(&mut self, of: Option<i32>, status: i32) {
        let mut threads: Vec<(bool, i32)> = match of {
            Some(group) => self.sandbox.members(group).map(|id| (id == group, id)).collect(),
            None => self.sandbox.threads.iter().map(|(id, t)| (*id == t.group, *id)).collect(),
        };
        // The leader of a process ends last.
        threads.sort_unstable();
        for (_, thread) in threads {
            if self.sandbox.threads.get(&thread).is_some_and(|t| t.loaded.is_some()) {
                self.exec_alone(thread);
            }
            self.exit(thread, status);
        }
    }

    /// After an event: what the message says of its thread.
    pub(super) fn follow(&mut self, message: &Message) {
        let ids_told = matches!(message, Message::Setid(_) | Message::Setresid(_));
        // At the end of an exec the name is still the old one.
        let named = !matches!(message, Message::Execve(_) | Message::Syscall(_) | Message::ExecveInfo(_));
        self.follow_context(ids_told, named);
        let Who { thread_id, cwd, .. } = self.context;
        if !cwd.is_empty() && matches!(message, Message::Chdir(_)) && calls::exit(message).is_some() {
            if let Some(leader) = self.sandbox.leader_mut(thread_id) {
                leader.cwd = kept(cwd).into();
            }
            self.params.clear().i64(0).text(cwd);
            self.out.add_state(self.ts, self.sandbox.tid(thread_id), id::SYSCALL_CHDIR_X, self.params);
        }
    }

    /// What comes with every message. `ids_told`: its event tells of user and group; `named`: the name is the
    /// thread's own of now.
    pub(super) fn follow_context(&mut self, ids_told: bool, named: bool) {
        let Who { thread_id, credentials, process_name, .. } = self.context;
        let Some(state) = self.sandbox.threads.get_mut(&thread_id) else { return };
        if named && !process_name.is_empty() {
            let name = process_name.get(..MAX_COMM).unwrap_or(process_name);
            if *state.comm != *name {
                state.comm = name.into();
            }
        }
        if let Some(c) = credentials {
            let (before, now) = ((state.uid, state.gid), (c.effective_uid, c.effective_gid));
            (state.uid, state.gid) = now;
            if before != now && !ids_told {
                self.set_ids(thread_id, &c);
            }
        }
    }

    /// Ids that changed without a call that was told.
    fn set_ids(&mut self, thread: i32, c: &Credentials) {
        let tid = self.sandbox.tid(thread);
        self.params.clear().i64(0).u32(c.real_uid).u32(c.effective_uid).u32(c.saved_uid);
        self.out.add_state(self.ts, tid, id::SYSCALL_SETRESUID_X, self.params);
        self.params.clear().i64(0).u32(c.real_gid).u32(c.effective_gid).u32(c.saved_gid);
        self.out.add_state(self.ts, tid, id::SYSCALL_SETRESGID_X, self.params);
    }
}

/// Flags of clone as events have them. The lowest byte is a signal.
pub(super) fn clone_flags(linux: u64) -> u32 {
    flags::clone_flags(u32::try_from(linux & 0xFFFF_FF00).unwrap_or_default())
}

/// Cgroups of a thread: what says which container it is in.
pub(super) fn cgroups(params: &mut Params, container: &Container) {
    if container.id.is_empty() {
        params.empty();
    } else {
        params.bytes(&cgroups_of(&container.id));
    }
}

/// The cgroups of a container's threads, from which readers know its id.
pub(super) fn cgroups_of(id: &[u8]) -> Vec<u8> {
    [b"gvisor_container_id=/", id, b"\0"].concat()
}
