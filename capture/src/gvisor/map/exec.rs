//! Programs: execve and execveat, and what is told of the image.

use super::Turn;
use super::process::{base_name, cgroups, comm, joined, kept, nanoseconds, numbers};
use super::sandbox::{Image, Loaded, NOBODY, Thread};
use crate::gvisor::params::Params;
use bytes::Bytes;
use scapkit_format::schema::id;
use scapkit_proto::{sentry, syscall};
use std::sync::Arc;

/// A program that is being run, as far as the messages tell.
pub(super) struct Program<'a> {
    pub event: u16,
    pub res: i64,
    pub exe: &'a [u8],
    pub args: Args<'a>,
    pub env: Args<'a>,
    pub comm: &'a [u8],
    pub cwd: &'a [u8],
    pub path: &'a [u8],
    pub filename: Option<&'a [u8]>,
    pub loaded: Option<&'a Loaded>,
}

/// Texts of a program: as a message has them, or as they were kept.
pub(super) enum Args<'a> {
    List(&'a [Bytes]),
    Kept(&'a [u8]),
}

impl Turn<'_> {
    /// `sentry/execve`: kept until the call ends.
    pub(super) fn loaded(&mut self, m: &sentry::ExecveInfo) {
        let thread = self.context.thread_id;
        let (uid, gid) = self.credentials().map_or((NOBODY, NOBODY), |c| (c.effective_uid, c.effective_gid));
        let mode = m.binary_mode;
        let may_write = uid == 0
            || (uid != NOBODY && uid == m.binary_uid)
            || (gid == m.binary_gid && mode & 0o020 != 0)
            || mode & 0o002 != 0;
        let bits = [
            (mode != 0 && may_write, 1),
            (m.binary_overlayfs_upper, 2),
            (m.binary_in_memfd, 4),
            (m.binary_overlayfs_lower, 8),
        ];
        let ctime = m.binary_ctime.unwrap_or_default();
        let loaded = Loaded {
            ts: self.ts,
            path: kept(&m.binary_path).into(),
            exe: kept(m.argv.first().map_or(&[][..], |exe| exe)).into(),
            args: joined(m.argv.get(1..).unwrap_or_default()),
            env: joined(&m.env),
            ino: m.binary_ino,
            ctime: nanoseconds(ctime.sec.saturating_mul(1_000_000_000).saturating_add(ctime.nsec)),
            flags: bits.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum(),
        };
        if let Some(state) = self.sandbox.threads.get_mut(&thread) {
            state.loaded = Some(Box::new(loaded));
            self.sandbox.account(thread, self.room);
        }
    }

    /// The end of execve or execveat, with all that is known of it.
    pub(super) fn exec(&mut self, m: &syscall::Execve, res: i64) {
        let thread = self.context.thread_id;
        let at = m.sysno == numbers(self.sandbox.arch()).execveat;
        // Drivers tell of both in one way when they succeed.
        let event = if at && res < 0 { id::SYSCALL_EXECVEAT_X } else { id::SYSCALL_EXECVE_19_X };
        let state = self.sandbox.threads.get_mut(&thread);
        let loaded = state.and_then(|t| t.loaded.take()).filter(|_| res >= 0);
        let state = self.state_of(thread);
        let found = loaded.as_deref().map_or(&[][..], |l| &l.path);
        let path = if found.is_empty() { self.resolved(m, &state) } else { found.to_vec() };
        // gVisor names a thread by the path that was asked for, after execveat by the file that was found.
        let named = if at || m.pathname.is_empty() { &path } else { &m.pathname[..] };
        let name = if res < 0 { state.comm.clone() } else { comm(base_name(named)) };
        let exe = m.argv.first().map_or(&[][..], |exe| exe);
        let rest = m.argv.get(1..).unwrap_or_default();
        let cwd: Box<[u8]> =
            if self.context.cwd.is_empty() { state.cwd.clone() } else { kept(self.context.cwd).into() };
        let program = Program {
            event,
            res,
            exe,
            args: Args::List(rest),
            env: Args::List(&m.envv),
            comm: &name,
            cwd: &cwd,
            path: if res < 0 { &[] } else { &path },
            filename: Some(&m.pathname),
            loaded: loaded.as_deref(),
        };
        let image = Image { exe: kept(exe).into(), args: joined(rest) };
        self.run(thread, state, &program, image);
    }

    /// An exec of which only `sentry/execve` came.
    pub(super) fn exec_alone(&mut self, thread: i32) {
        let Some(loaded) = self.sandbox.threads.get_mut(&thread).and_then(|t| t.loaded.take()) else { return };
        let now = std::mem::replace(&mut self.ts, loaded.ts);
        self.exec_loaded(thread, Some(&loaded));
        self.ts = now;
    }

    /// The end of a raw execve or execveat, of which no other message came: what `sentry/execve` told, or only that
    /// another program runs now.
    pub(super) fn exec_raw(&mut self, thread: i32) {
        let loaded = self.sandbox.threads.get_mut(&thread).and_then(|t| t.loaded.take());
        self.exec_loaded(thread, loaded.as_deref());
    }

    pub(super) fn exec_loaded(&mut self, thread: i32, loaded: Option<&Loaded>) {
        let state = self.state_of(thread);
        let nothing = Loaded::default();
        let known = loaded.unwrap_or(&nothing);
        let name = comm(base_name(&known.path));
        let cwd = state.cwd.clone();
        let program = Program {
            event: id::SYSCALL_EXECVE_19_X,
            res: 0,
            exe: &known.exe,
            args: Args::Kept(&known.args),
            env: Args::Kept(&known.env),
            comm: &name,
            cwd: &cwd,
            path: &known.path,
            filename: None,
            loaded,
        };
        let image = Image { exe: known.exe.clone(), args: known.args.clone() };
        self.run(thread, state, &program, image);
    }

    pub(super) fn state_of(&self, thread: i32) -> Thread {
        self.sandbox.threads.get(&thread).cloned().unwrap_or_else(|| Thread::unknown(self.group()))
    }

    /// The path of a program that was asked for, as far as it can be told without looking at links.
    pub(super) fn resolved(&self, m: &syscall::Execve, state: &Thread) -> Vec<u8> {
        let from = match (m.fd, self.context.cwd) {
            (-100 | 0, []) => &state.cwd[..],
            (-100 | 0, cwd) => cwd,
            _ => &m.fd_path[..],
        };
        if m.pathname.starts_with(b"/") {
            m.pathname.to_vec()
        } else if m.pathname.is_empty() {
            m.fd_path.to_vec()
        } else if from.starts_with(b"/") {
            let slash: &[u8] = if from.ends_with(b"/") { b"" } else { b"/" };
            [from, slash, &m.pathname].concat()
        } else {
            Vec::new()
        }
    }

    /// Tells of a program, and, if the call succeeded, makes it that of the thread.
    pub(super) fn run(&mut self, thread: i32, mut state: Thread, program: &Program<'_>, image: Image) {
        state.loaded = None;
        let group = state.group;
        if program.res < 0 {
            self.put_program(thread, &state, program);
            self.out.add(self.ts, self.sandbox.tid(thread), program.event, self.params);
            return;
        }
        // The thread takes the place of its process's leader; all others of the process have ended.
        let leader = self.sandbox.leader(thread).cloned().unwrap_or_else(|| state.clone());
        state.pgid = leader.pgid;
        state.sid = leader.sid;
        state.fdlimit = leader.fdlimit;
        state.parent = leader.parent;
        state.call = u64::MAX;
        state.created.clear();
        if let Some(c) = self.credentials() {
            (state.uid, state.gid) = (c.effective_uid, c.effective_gid);
        }
        self.put_program(group, &state, program);
        self.out.add(self.ts, self.sandbox.tid(group), program.event, self.params);
        state.comm = program.comm.into();
        state.cwd = program.cwd.into();
        state.image = Arc::new(image);
        if thread != 0 {
            let others: Vec<i32> = self.sandbox.members(group).collect();
            state.replaced = thread != group && others.contains(&group);
            for other in others {
                self.sandbox.forget(other, self.room);
            }
            self.sandbox.keep(group, state, self.room);
        }
    }

    /// Parameters of the exit of execve and execveat.
    pub(super) fn put_program(&mut self, thread: i32, state: &Thread, program: &Program<'_>) {
        let sandbox = &*self.sandbox;
        let parent = sandbox.id_or_none(sandbox.parent_of(state));
        let group = sandbox.id_or_none(state.pgid);
        let texts = |params: &mut Params, texts: &Args<'_>| match texts {
            Args::List(list) => _ = params.texts(list),
            Args::Kept(bytes) => _ = params.bytes(bytes),
        };
        let params = self.params.clear();
        params.i64(program.res).text(program.exe);
        texts(params, &program.args);
        params.i64(sandbox.tid(thread)).i64(sandbox.tid(state.group)).i64(parent);
        params.text(program.cwd).u64(state.fdlimit.cast_unsigned());
        params.empty().empty().empty().empty().empty();
        params.text(program.comm);
        cgroups(params, &state.container);
        texts(params, &program.env);
        params.u32(0).i64(i64::from(state.pgid)).u32(NOBODY);
        params.u32(program.loaded.map_or(0, |l| l.flags));
        // Capabilities are not told.
        params.empty().empty().empty();
        match program.loaded.filter(|l| l.ino != 0) {
            Some(l) => params.u64(l.ino).u64(l.ctime).u64(0),
            None => params.empty().empty().empty(),
        };
        params.u32(state.uid);
        if program.path.is_empty() {
            params.empty()
        } else {
            params.text(program.path)
        };
        params.i64(group).u32(state.gid);
        if program.event == id::SYSCALL_EXECVE_19_X {
            match program.filename {
                Some(name) if !name.is_empty() => params.text(name),
                _ => params.empty(),
            };
        }
    }
}
