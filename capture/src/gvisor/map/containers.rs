//! Containers, and the processes that were there before a session.

use super::Turn;
use super::exec::{Args, Program};
use super::process::{base_name, cgroups_of, comm, joined, kept, nanoseconds};
use super::sandbox::{Container, Image, NOBODY, Thread};
use crate::containers::Known;
use crate::gvisor::procfs::Process;
use bytes::Bytes;
use scapkit_format::schema::id;
use scapkit_proto::container;
use scapkit_replay::engine::container_of;
use serde_json::json;
use std::sync::Arc;

/// Type of containers that no engine is asked about.
const CUSTOM: u16 = 5;
/// Most bytes of JSON about a container.
const MAX_JSON: usize = 64 << 10;

impl Turn<'_> {
    /// The container of a process that was listed is told now.
    pub(super) fn place(&mut self, thread: i32) {
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
    pub(super) fn container(&mut self, id: &[u8]) -> Arc<Container> {
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

    pub(super) fn tell_container(&mut self, full_id: &[u8], start: Option<&container::Start>) {
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
        // As readers know it by the cgroups of its threads.
        let cgroups = cgroups_of(full_id);
        let short = text(container_of(&cgroups).map_or(full_id, |(_, id)| id));
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
            container,
            comm: comm(name),
            image: Arc::new(Image { exe: kept(first).into(), args: joined(rest) }),
            uid,
            gid,
            pgid: thread,
            sid: thread,
            cwd: kept(cwd).into(),
            ..Thread::unknown(thread)
        };
        let tid = self.sandbox.tid(thread);
        self.tell_thread(thread, &state);
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
                ..Thread::unknown(process.pid)
            };
            if tell {
                let tid = self.sandbox.tid(process.pid);
                self.tell_thread(process.pid, &state);
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
            }
            self.sandbox.keep(process.pid, state, self.room);
        }
    }
}
