//! Threads, programs and containers.

use super::sandbox::{Container, Image, Loaded, MAX_TEXT, Thread};
use super::{Turn, calls};
use crate::containers::Known;
use crate::gvisor::flags;
use crate::gvisor::procfs::Process;
use crate::gvisor::raw::Arch;
use bytes::Bytes;
use scapkit_format::schema::id;
use scapkit_proto::common::Credentials;
use scapkit_proto::{Message, Who, container, sentry, syscall};
use serde_json::json;
use std::sync::Arc;

/// CLONE_VFORK, CLONE_PARENT and CLONE_THREAD, as Linux has them.
const VFORK: u64 = 0x4000;
const PARENT: u64 = 0x8000;
const THREAD: u64 = 0x1_0000;
/// Nobody: what an id is when it is not known.
const NOBODY: u32 = u32::MAX;
/// Longest name of a thread.
const MAX_COMM: usize = 15;
/// Type of containers that no engine is asked about.
const CUSTOM: u16 = 5;
/// Most bytes of JSON about a container.
const MAX_JSON: usize = 64 << 10;

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

/// The first 12 characters of an id that has all 64, which is what programs and people use; else all of it.
fn short_id(id: &[u8]) -> &[u8] {
    let full = id.len() == 64 && id.iter().all(u8::is_ascii_hexdigit);
    if full { id.get(..12).unwrap_or(id) } else { id }
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or_default()
}

/// As much of a text as is kept.
fn kept(text: &[u8]) -> &[u8] {
    text.get(..MAX_TEXT).unwrap_or(text)
}

/// Arguments, each with its NUL, as far as they are kept.
fn joined(args: &[Bytes]) -> Box<[u8]> {
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

fn comm(name: &[u8]) -> Box<[u8]> {
    name.get(..MAX_COMM).unwrap_or(name).into()
}

fn nanoseconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0)
}

/// A program that is being run, as far as the messages tell.
struct Program<'a> {
    event: u16,
    res: i64,
    exe: &'a [u8],
    args: Args<'a>,
    env: Args<'a>,
    comm: &'a [u8],
    cwd: &'a [u8],
    path: &'a [u8],
    filename: Option<&'a [u8]>,
    loaded: Option<&'a Loaded>,
}

/// Texts of a program: as a message has them, or as they were kept.
enum Args<'a> {
    List(&'a [Bytes]),
    Kept(&'a [u8]),
}

impl Turn<'_> {
    fn credentials(&self) -> Option<Credentials> {
        self.context.credentials
    }

    /// Before an event of a thread: one that is not known yet is made known, since it was there before the session
    /// or came by `runsc exec`.
    pub(super) fn meet(&mut self) {
        let thread = self.context.thread_id;
        if thread == 0 {
            return;
        }
        let group = if self.context.thread_group_id == 0 { thread } else { self.context.thread_group_id };
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
    fn introduce(&mut self, thread: i32, group: i32) {
        let context = self.context;
        let container = self.container(context.container_id);
        let name = comm(context.process_name);
        // Of its own process: nobody of the sandbox has made it, as far as is known.
        let parent = context.parent_thread_group_id;
        let (uid, gid) = self.credentials().map_or((NOBODY, NOBODY), |c| (c.effective_uid, c.effective_gid));
        let leads = parent == 0 && context.is_exec_session;
        let state = Thread {
            group,
            parent,
            container,
            image: Arc::new(Image { exe: name.clone(), args: Box::default() }),
            comm: name,
            uid,
            gid,
            pgid: if leads { group } else { 0 },
            sid: if leads { group } else { 0 },
            fdlimit: -1,
            cwd: kept(context.cwd).into(),
            call: u64::MAX,
            ..Thread::default()
        };
        let flags = if thread == group { 0 } else { clone_flags(THREAD) };
        self.put_thread(0, thread, &state, flags);
        self.out.add_state(self.ts, self.sandbox.tid(thread), id::SYSCALL_CLONE_20_X, self.params);
        if thread == group && !state.cwd.is_empty() {
            self.params.clear().i64(0).text(&state.cwd);
            self.out.add_state(self.ts, self.sandbox.tid(thread), id::SYSCALL_CHDIR_X, self.params);
        }
        self.sandbox.keep(thread, state, self.room);
    }

    /// The container of a process that was listed is told now.
    fn place(&mut self, thread: i32) {
        let container = self.container(self.context.container_id);
        let Some(group) = self.sandbox.threads.get(&thread).map(|t| t.group) else { return };
        let members: Vec<i32> = self.sandbox.members(group).collect();
        for member in members {
            if let Some(state) = self.sandbox.threads.get_mut(&member) {
                state.container = Arc::clone(&container);
            }
        }
        let Some(state) = self.sandbox.threads.get(&group).cloned() else { return };
        self.put_program(
            group,
            &state,
            &Program {
                event: id::SYSCALL_EXECVE_19_X,
                res: 0,
                exe: &state.image.exe,
                args: Args::Kept(&state.image.args),
                env: Args::Kept(&[]),
                comm: &state.comm,
                cwd: &state.cwd,
                path: &[],
                filename: None,
                loaded: None,
            },
        );
        self.out.add_state(self.ts, self.sandbox.tid(group), id::SYSCALL_EXECVE_19_X, self.params);
    }

    /// A container by its id. The first time an event tells of it.
    fn container(&mut self, id: &[u8]) -> Arc<Container> {
        if id.is_empty() {
            return Arc::default();
        }
        let (container, new) = self.sandbox.container(id, self.room);
        if new {
            self.tell_container(id, None);
        }
        container
    }

    /// Tells of the container that a list of processes has named.
    pub(super) fn tell_untold(&mut self) {
        if let Some(id) = self.sandbox.untold.take() {
            self.tell_container(&id, None);
        }
    }

    fn tell_container(&mut self, full_id: &[u8], start: Option<&container::Start>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let texts = |list: &[Bytes]| -> Vec<String> {
            let mut left = MAX_JSON;
            let fits = |item: &&Bytes| {
                left = left.saturating_sub(item.len().max(1));
                left > 0
            };
            list.iter().take_while(fits).map(|item| text(item)).collect()
        };
        let full_id = kept(full_id);
        let short = text(short_id(full_id));
        let mut record = serde_json::Map::new();
        record.insert("type".into(), json!(CUSTOM));
        record.insert("id".into(), json!(short));
        record.insert("full_id".into(), json!(text(full_id)));
        record.insert("name".into(), json!(text(full_id)));
        record.insert("labels".into(), json!({"runtime": "gvisor"}));
        if let Some(start) = start {
            record.insert("args".into(), json!(texts(&start.args)));
            record.insert("env".into(), json!(texts(&start.env)));
            record.insert("cwd".into(), json!(text(kept(&start.cwd))));
        }
        let known = Known { id: short, exists: true, json: json!({ "container": record }).to_string() };
        self.out.add_bytes(&known.event(self.ts));
    }

    /// `container/start`: the container, its first thread, and the program that it runs.
    pub(super) fn container_start(&mut self, start: &container::Start) {
        let context = self.context;
        let full_id = if start.id.is_empty() { context.container_id } else { &start.id[..] };
        let thread = context.thread_id;
        let mut container = Arc::<Container>::default();
        if !full_id.is_empty() {
            self.sandbox.container(full_id, self.room);
            self.tell_container(full_id, Some(start));
            let birth = nanoseconds(context.thread_group_start_time_ns);
            container = Arc::new(Container { id: kept(full_id).into(), init: thread, start: birth });
            if let Some(known) = self.sandbox.containers.get_mut(kept(full_id)) {
                *known = Arc::clone(&container);
            }
        }
        if thread == 0 {
            self.counts.nameless += 1;
            return;
        }
        let (uid, gid) = self.credentials().map_or((NOBODY, NOBODY), |c| (c.effective_uid, c.effective_gid));
        let first = start.args.first().map_or(context.process_name, |exe| &exe[..]);
        let name = if context.process_name.is_empty() { base_name(first) } else { context.process_name };
        let cwd = if context.cwd.is_empty() { &start.cwd[..] } else { context.cwd };
        let rest = start.args.get(1..).unwrap_or_default();
        let state = Thread {
            group: thread,
            container,
            comm: comm(name),
            image: Arc::new(Image { exe: kept(first).into(), args: joined(rest) }),
            uid,
            gid,
            pgid: thread,
            sid: thread,
            fdlimit: -1,
            cwd: kept(cwd).into(),
            call: u64::MAX,
            ..Thread::default()
        };
        let tid = self.sandbox.tid(thread);
        self.put_thread(0, thread, &state, 0);
        self.out.add_state(self.ts, tid, id::SYSCALL_CLONE_20_X, self.params);
        if !state.cwd.is_empty() {
            self.params.clear().i64(0).text(&state.cwd);
            self.out.add_state(self.ts, tid, id::SYSCALL_CHDIR_X, self.params);
        }
        // What is run is not resolved: only a whole path says where it is.
        let path: &[u8] = if first.starts_with(b"/") { first } else { &[] };
        let program = Program {
            event: id::SYSCALL_EXECVE_19_X,
            res: 0,
            exe: first,
            args: Args::List(rest),
            env: Args::List(&start.env),
            comm: &state.comm,
            cwd: &state.cwd,
            path,
            filename: Some(first),
            loaded: None,
        };
        self.put_program(thread, &state, &program);
        self.out.add(self.ts, tid, id::SYSCALL_EXECVE_19_X, self.params);
        self.sandbox.keep(thread, state, self.room);
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
            group,
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
            call: u64::MAX,
            ..Thread::default()
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
            let mut nobody = Thread { group: thread, uid: NOBODY, gid: NOBODY, fdlimit: -1, ..Thread::default() };
            nobody.pgid = 0;
            self.put_thread(res, thread, &nobody, clone_flags(linux));
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
    fn put_thread(&mut self, res: i64, thread: i32, state: &Thread, flags: u32) {
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

    fn exec_loaded(&mut self, thread: i32, loaded: Option<&Loaded>) {
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

    fn state_of(&self, thread: i32) -> Thread {
        let group = if self.context.thread_group_id == 0 { thread } else { self.context.thread_group_id };
        let unknown = || Thread { group, uid: NOBODY, gid: NOBODY, fdlimit: -1, ..Thread::default() };
        self.sandbox.threads.get(&thread).cloned().unwrap_or_else(unknown)
    }

    /// The path of a program that was asked for, as far as it can be told without looking at links.
    fn resolved(&self, m: &syscall::Execve, state: &Thread) -> Vec<u8> {
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
    fn run(&mut self, thread: i32, mut state: Thread, program: &Program<'_>, image: Image) {
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
    fn put_program(&mut self, thread: i32, state: &Thread, program: &Program<'_>) {
        let sandbox = &*self.sandbox;
        let parent = sandbox.id_or_none(sandbox.parent_of(state));
        let group = sandbox.id_or_none(state.pgid);
        let texts = |params: &mut crate::gvisor::params::Params, texts: &Args<'_>| match texts {
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
        let thread = self.context.thread_id;
        let group = if self.context.thread_group_id == 0 { thread } else { self.context.thread_group_id };
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

    /// Makes the processes of a running sandbox known, as `runsc trace procfs` lists them: of the first process and
    /// its descendants the container is that of the session. `tell`: by events too.
    pub(super) fn listed(&mut self, processes: &[Process], tell: bool) {
        let container = self.context.container_id;
        let first = if container.is_empty() {
            Arc::default()
        } else {
            let start = processes.iter().find(|p| p.pid == 1).map_or(0, |p| nanoseconds(p.clone_ts));
            let first = Arc::new(Container { id: kept(container).into(), init: 1, start });
            self.sandbox.container(container, self.room);
            if let Some(known) = self.sandbox.containers.get_mut(kept(container)) {
                *known = Arc::clone(&first);
            }
            self.sandbox.untold = Some(kept(container).into());
            first
        };
        for process in processes {
            let parent = self.sandbox.threads.get(&process.ppid);
            let container = match parent {
                Some(parent) => Arc::clone(&parent.container),
                None if process.pid == 1 => Arc::clone(&first),
                None => Arc::default(),
            };
            let (exe, rest) = process.args.split_first().map_or((&process.exe, &[][..]), |(exe, rest)| (exe, rest));
            let args: Vec<Bytes> = rest.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())).collect();
            let state = Thread {
                group: process.pid,
                parent: process.ppid,
                container,
                comm: comm(process.comm.as_bytes()),
                image: Arc::new(Image { exe: kept(exe.as_bytes()).into(), args: joined(&args) }),
                uid: process.uid.effective,
                gid: process.gid.effective,
                pgid: process.pgid,
                sid: process.sid,
                fdlimit: process.fdlimit.map_or(-1, u64::cast_signed),
                cwd: kept(process.cwd.as_bytes()).into(),
                call: u64::MAX,
                ..Thread::default()
            };
            if tell {
                let tid = self.sandbox.tid(process.pid);
                self.put_thread(0, process.pid, &state, 0);
                self.out.add_state(self.ts, tid, id::SYSCALL_CLONE_20_X, self.params);
                let env: Vec<Bytes> = process.env.iter().map(|e| Bytes::copy_from_slice(e.as_bytes())).collect();
                let program = Program {
                    event: id::SYSCALL_EXECVE_19_X,
                    res: 0,
                    exe: exe.as_bytes(),
                    args: Args::List(&args),
                    env: Args::List(&env),
                    comm: &state.comm,
                    cwd: &state.cwd,
                    path: process.exe.as_bytes(),
                    filename: None,
                    loaded: None,
                };
                self.put_program(process.pid, &state, &program);
                self.out.add_state(self.ts, tid, id::SYSCALL_EXECVE_19_X, self.params);
                self.params.clear().i64(0).text(&state.cwd);
                self.out.add_state(self.ts, tid, id::SYSCALL_CHDIR_X, self.params);
            }
            self.sandbox.keep(process.pid, state, self.room);
        }
    }
}

/// Flags of clone as events have them. The lowest byte is a signal.
fn clone_flags(linux: u64) -> u32 {
    flags::clone_flags(u32::try_from(linux & 0xFFFF_FF00).unwrap_or_default())
}

/// Cgroups of a thread: what says which container it is in.
fn cgroups(params: &mut crate::gvisor::params::Params, container: &Container) {
    if container.id.is_empty() {
        params.empty();
    } else {
        params.bytes(&[b"gvisor_container_id=/", &container.id[..], b"\0"].concat());
    }
}
