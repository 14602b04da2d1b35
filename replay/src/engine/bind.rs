//! What an event is about: its thread and fd, and whether it belongs to an enter event (section 4).

use super::table::{Enter, cl};
use super::{Engine, Fd, FdKind, Thread, containers, files, process, sockets};
use scapkit_format::Event;
use scapkit_format::schema::{self, EventFlags, id};
use scapkit_format::value;
use std::sync::LazyLock;

/// What an event is about, after it was applied. Look up thread and fd in the engine by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// The event's thread id.
    pub tid: i64,
    /// Whether the thread of that id is in the table.
    pub thread: bool,
    /// The fd of an event that makes, uses or closes one; -1 when it is not known. There may be no
    /// entry of that number.
    pub fd: Option<i64>,
    /// Return value of a system call's exit.
    pub res: Option<i64>,
    /// Whether the fd got another name by this event. A new fd had none before; a copy has its source's.
    pub renamed: bool,
    /// ns since the event of the scheduler before on the same processor, at such an event; else 0.
    pub since_switch: u64,
    /// [`Thread::cpu_user`] and [`Thread::cpu_system`] before an event that told them.
    pub cpu_before: (u64, u64),
}

/// Which thread an event is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    /// None.
    No,
    /// The one in the table.
    Existing,
    /// The one in the table, else a placeholder.
    Create,
}

/// A handler: what an event does to the state.
pub(super) type Handler = fn(&mut Engine, &Event<'_>, &mut Cx);

/// All that is decided by the type of an event.
#[allow(clippy::struct_excessive_bools)] // a row of a table
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    binding: Binding,
    /// Only then the last fd, the pairing and the stored enter event of the thread change.
    resets: bool,
    /// The event shows that the thread lives.
    marks_active: bool,
    is_exit: bool,
    uses_fd: bool,
    /// Makes, uses or closes an fd: the fd fields apply.
    shows_fd: bool,
    has_res: bool,
    /// Number of the fd's parameter.
    fd_param: u8,
    keeps_enter: bool,
    /// Data was read or written, and no parameter says between whom: [`sockets::UNADDRESSED_DATA`].
    moves_data: bool,
    handler: Option<Handler>,
}

/// The event at hand, for handlers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cx {
    /// Slot of the bound thread.
    pub slot: Option<u32>,
    /// Number of the bound fd, which exists.
    pub fd: Option<i64>,
    pub res: Option<i64>,
    /// The exit belongs to the last enter event of the thread.
    pub paired: bool,
    /// See [`Bound`].
    pub since_switch: u64,
    /// See [`Bound`].
    pub cpu_before: (u64, u64),
    /// The fd is a socket that has not been seen connected.
    pub unconnected: bool,
}

impl Cx {
    /// Slot of the bound thread, if the call succeeded.
    pub fn ok(&self) -> Option<(u32, i64)> {
        self.slot.zip(self.res.filter(|r| *r >= 0))
    }
}

const NO_FD: u8 = u8::MAX;

/// Fd parameter of exit events that use an fd.
fn exit_fd_param(event_type: u16) -> u8 {
    match event_type {
        id::SYSCALL_SETNS_X
        | id::SOCKET_LISTEN_X
        | id::SOCKET_SHUTDOWN_X
        | id::SYSCALL_FCHDIR_X
        | id::SYSCALL_LSEEK_X
        | id::SYSCALL_LLSEEK_X
        | id::SYSCALL_IOCTL_3_X
        | id::SYSCALL_FSTAT_X
        | id::SYSCALL_CLOSE_X
        | id::SYSCALL_GETDENTS_X
        | id::SYSCALL_GETDENTS64_X
        | id::SYSCALL_FLOCK_X
        | id::SYSCALL_COPY_FILE_RANGE_X
        | id::SYSCALL_FCNTL_X
        | id::SYSCALL_DUP_1_X
        | id::SYSCALL_DUP2_X
        | id::SYSCALL_DUP3_X
        | id::SYSCALL_NEWFSTATAT_X
        | id::SYSCALL_FCHOWNAT_X
        | id::SYSCALL_FCHMODAT_X
        | id::SYSCALL_MKDIRAT_X
        | id::SYSCALL_UNLINKAT_2_X
        | id::SYSCALL_MKNODAT_X
        | id::SOCKET_SENDMMSG_X
        | id::SOCKET_RECVMMSG_X
        | id::SYSCALL_IO_URING_REGISTER_X
        | id::SYSCALL_IO_URING_ENTER_X
        | id::SOCKET_SETSOCKOPT_X
        | id::SOCKET_GETSOCKOPT_X
        | id::SYSCALL_FSCONFIG_X
        | id::SYSCALL_FINIT_MODULE_X
        | id::SYSCALL_FCHMOD_X
        | id::SYSCALL_FCHOWN_X => 1,
        id::SYSCALL_READ_X
        | id::SYSCALL_PREAD_X
        | id::SOCKET_BIND_X
        | id::SYSCALL_WRITE_X
        | id::SYSCALL_PWRITE_X
        | id::SOCKET_RECV_X
        | id::SOCKET_SEND_X
        | id::SOCKET_SENDTO_X
        | id::SOCKET_SENDMSG_X
        | id::SYSCALL_SENDFILE_X
        | id::SYSCALL_SPLICE_X
        | id::SYSCALL_WRITEV_X
        | id::SYSCALL_PWRITEV_X
        | id::SOCKET_CONNECT_X
        | id::SYSCALL_SYMLINKAT_X => 2,
        id::SOCKET_RECVFROM_X | id::SYSCALL_READV_X | id::SYSCALL_PREADV_X => 3,
        id::SOCKET_RECVMSG_X => 5,
        id::SYSCALL_MMAP_X | id::SYSCALL_MMAP2_X => 8,
        _ => NO_FD,
    }
}

fn enter_fd_param(event_type: u16) -> u8 {
    match event_type {
        id::SYSCALL_MMAP_E | id::SYSCALL_MMAP2_E => 4,
        id::SYSCALL_SPLICE_E => 1,
        _ => 0,
    }
}

fn binding(event_type: u16, flags: EventFlags) -> Binding {
    if flags.skips_parser_reset() {
        return if event_type == id::PROCINFO_E { Binding::Existing } else { Binding::No };
    }
    match event_type {
        id::CONTAINER_JSON_2_E
        | id::USER_ADDED_E
        | id::USER_DELETED_E
        | id::GROUP_ADDED_E
        | id::GROUP_DELETED_E
        | id::PLUGINEVENT_E
        | id::ASYNCEVENT_E => Binding::No,
        id::SCHEDSWITCH_6_E
        | id::PROCEXIT_1_E
        | id::SYSCALL_CLONE_20_X
        | id::SYSCALL_FORK_20_X
        | id::SYSCALL_VFORK_20_X
        | id::SYSCALL_CLONE3_X => Binding::Existing,
        _ => Binding::Create,
    }
}

/// One plan per event type, made once.
pub(super) fn plans() -> &'static [Plan] {
    static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| {
        let mut plans: Vec<Plan> = schema::EVENTS
            .iter()
            .map(|info| {
                let (flags, is_exit) = (info.flags, !info.is_enter());
                let binding = binding(info.id, flags);
                Plan {
                    binding,
                    resets: !flags.skips_parser_reset() && info.id != id::SCHEDSWITCH_6_E,
                    marks_active: binding == Binding::Create,
                    is_exit,
                    uses_fd: flags.uses_fd(),
                    shows_fd: flags.uses_fd() || flags.creates_fd() || flags.destroys_fd(),
                    has_res: is_exit
                        && info.category.is_syscall()
                        && info.id != id::GENERIC_X
                        && !info.params.is_empty(),
                    fd_param: if is_exit { exit_fd_param(info.id) } else { enter_fd_param(info.id) },
                    keeps_enter: matches!(
                        info.id,
                        id::SOCKET_CONNECT_E
                            | id::SYSCALL_EXECVEAT_E
                            | id::SYSCALL_EXECVE_19_E
                            | id::SYSCALL_OPEN_E
                            | id::SYSCALL_CREAT_E
                            | id::SYSCALL_OPENAT_2_E
                            | id::SYSCALL_OPENAT2_E
                    ),
                    moves_data: sockets::UNADDRESSED_DATA.contains(&info.id),
                    handler: None,
                }
            })
            .collect();
        for handlers in [files::HANDLERS, sockets::HANDLERS, process::HANDLERS, containers::HANDLERS] {
            for (event_type, handler) in handlers {
                if let Some(plan) = plans.get_mut(usize::from(*event_type)) {
                    plan.handler = Some(*handler);
                }
            }
        }
        plans
    });
    &PLANS
}

/// A number of exactly `size` bytes; `None` when absent or of another size.
#[inline]
pub(super) fn signed(event: &Event<'_>, param: usize, size: usize) -> Option<i64> {
    if size == 8 {
        return event.param(param)?.try_into().ok().map(i64::from_le_bytes);
    }
    let bytes = event.param(param).filter(|b| b.len() == size)?;
    Some(value::signed(bytes))
}

/// As [`signed`], without sign.
pub(super) fn unsigned(event: &Event<'_>, param: usize, size: usize) -> Option<u64> {
    let bytes = event.param(param).filter(|b| b.len() == size)?;
    Some(value::unsigned(bytes))
}

/// A number of 32 bits.
pub(super) fn u32_of(event: &Event<'_>, param: usize) -> Option<u32> {
    let bytes = event.param(param).filter(|b| b.len() == 4)?;
    bytes.first_chunk().map(|b| u32::from_le_bytes(*b))
}

/// What a missing string reads as.
pub(super) const NA: &[u8] = b"<NA>";

/// A string up to its NUL; `<NA>` when absent or the null pointer.
pub(super) fn text<'a>(event: &Event<'a>, param: usize) -> &'a [u8] {
    match event.param(param) {
        None | Some(b"" | b"(NULL)\0") => NA,
        Some(bytes) => bytes.split(|b| *b == 0).next().unwrap_or_default(),
    }
}

/// A list of strings without the NUL that ends it.
pub(super) fn list<'a>(event: &Event<'a>, param: usize) -> &'a [u8] {
    let bytes = event.param(param).unwrap_or_default();
    bytes.strip_suffix(&[0]).unwrap_or(bytes)
}

impl Engine {
    /// The thread of that id; a placeholder is made when there is none (section 5.2).
    #[inline]
    pub(super) fn get_or_create(&mut self, tid: i64) -> Option<u32> {
        match self.table.find_near(tid) {
            Some(slot) => Some(slot),
            None => self.create(tid),
        }
    }

    #[cold]
    fn create(&mut self, tid: i64) -> Option<u32> {
        let mut thread = Thread::unknown(tid);
        thread.comm = self.table.pool.text(NA);
        thread.exe = thread.comm.clone();
        self.table.insert(thread)
    }

    /// Binds, remembers what the next event needs, and changes the state.
    pub(super) fn bind_and_parse(&mut self, event: &Event<'_>) -> Bound {
        let mut bound = Bound { tid: event.tid, ..Bound::default() };
        let Some(plan) = self.plans.get(usize::from(event.event_type)) else {
            return bound;
        };
        let mut cx = Cx::default();
        if plan.has_res {
            cx.res = event.param(0).map(|b| match b.len() {
                4 | 8 => value::signed(b),
                _ => 0,
            });
            bound.res = cx.res;
        }
        match plan.binding {
            Binding::No => {}
            Binding::Existing => cx.slot = self.table.find_near(event.tid),
            Binding::Create => cx.slot = self.get_or_create(event.tid),
        }
        if plan.resets {
            self.reset(event, plan, &mut cx);
        }
        // Most data says nothing new.
        let silent = plan.moves_data && !cx.unconnected;
        if let Some(handler) = plan.handler.filter(|_| !silent) {
            if plan.shows_fd {
                let before = cx.slot.zip(cx.fd).and_then(|(slot, fd)| self.table.fd(slot, fd));
                let before = before.map(|fd| fd.name.clone()).unwrap_or_default();
                handler(self, event, &mut cx);
                let copied = event.event_type == id::SYSCALL_PIDFD_GETFD_X;
                bound.renamed = !copied && self.last_name(&cx).is_some_and(|name| **name != *before);
                self.table.pool.release(before);
            } else {
                handler(self, event, &mut cx);
                bound.since_switch = cx.since_switch;
                bound.cpu_before = cx.cpu_before;
            }
        }
        // An event that is bound to no thread still shows the one of its tid.
        let Some(slot) = cx.slot.or_else(|| self.table.find_near(event.tid)) else {
            return bound;
        };
        if let Some(s) = self.table.get(slot) {
            bound.thread = true;
            bound.fd = plan.shows_fd.then_some(s.last_fd);
            if s.enter.is_some() && plan.is_exit && cx.slot.is_some() {
                self.table.free_enter(slot);
            }
        }
        bound
    }

    /// Name of the fd that the event made or worked on.
    fn last_name(&self, cx: &Cx) -> Option<&super::Text> {
        let slot = cx.slot?;
        let last = self.table.get(slot)?.last_fd;
        self.table.fd(slot, last).map(|fd| &fd.name)
    }

    /// Section 4: last fd, pairing, stored enter event.
    fn reset(&mut self, event: &Event<'_>, plan: &Plan, cx: &mut Cx) {
        let Some(slot) = cx.slot else {
            return;
        };
        let Some(s) = self.table.get_mut(slot) else {
            cx.slot = None;
            return;
        };
        if plan.marks_active {
            s.thread.flags |= cl::ACTIVE;
        }
        if plan.is_exit {
            cx.paired = s.last_enter.checked_add(1) == Some(event.event_type)
                || (event.event_type == id::SYSCALL_EXECVE_19_X && s.last_enter == id::SYSCALL_EXECVEAT_E);
            if !cx.paired {
                s.last_fd = -1;
            }
        } else {
            s.last_fd = -1;
            s.last_enter = event.event_type;
        }
        if plan.uses_fd {
            if s.last_fd == -1
                && plan.fd_param != NO_FD
                && let Some(fd) = signed(event, usize::from(plan.fd_param), 8)
            {
                s.last_fd = fd;
            }
            let fd = s.last_fd;
            if let Some(entry) = self.table.fd(slot, fd) {
                cx.fd = Some(fd);
                cx.unconnected = matches!(entry.kind, FdKind::Ipv4 | FdKind::Ipv6) && entry.flags & Fd::CONNECTED == 0;
            }
        }
        if plan.keeps_enter {
            self.keep_enter(event, slot);
        }
    }

    fn keep_enter(&mut self, event: &Event<'_>, slot: u32) {
        self.table.free_enter(slot);
        let (lens, data) = (event.raw_lengths(), event.raw_data());
        let size = lens.len().saturating_add(data.len());
        let named = event.param(0).is_some_and(|p| !p.is_empty())
            || matches!(event.event_type, id::SOCKET_CONNECT_E | id::SYSCALL_EXECVEAT_E);
        if !named || size > 4096 - 26 || !self.table.pool.take(size) {
            return;
        }
        if let Some(s) = self.table.get_mut(slot) {
            s.enter = Some(Box::new(Enter { event_type: event.event_type, lens: lens.to_vec(), data: data.to_vec() }));
        }
    }

    /// Takes the enter event that belongs to this exit.
    pub(super) fn take_enter(&mut self, event: &Event<'_>, cx: &Cx) -> Option<Box<Enter>> {
        let s = self.table.get_mut(cx.slot?)?;
        if !cx.paired || s.enter.is_none() {
            return None;
        }
        let enter = s.enter.take()?;
        let size = enter.lens.len().saturating_add(enter.data.len());
        self.table.pool.give_back(size);
        let matches = enter.event_type.checked_add(1) == Some(event.event_type)
            || (enter.event_type == id::SYSCALL_EXECVEAT_E && event.event_type == id::SYSCALL_EXECVE_19_X);
        matches.then_some(enter)
    }

    /// Binds an event for showing it only.
    pub(super) fn bind_recorded(&mut self, event: &Event<'_>) -> Bound {
        let mut bound = Bound { tid: event.tid, ..Bound::default() };
        let known = self.table.find_near(event.tid).is_some();
        let Some(plan) = self.plans.get(usize::from(event.event_type)).filter(|_| known) else {
            return bound;
        };
        let mut fd = -1;
        if plan.uses_fd
            && plan.fd_param != NO_FD
            && let Some(n) = signed(event, usize::from(plan.fd_param), 8)
        {
            fd = n;
        }
        bound.thread = true;
        bound.fd = plan.shows_fd.then_some(fd);
        bound
    }
}

impl Enter {
    /// The stored event, to read its parameters.
    pub fn view(&self) -> Event<'_> {
        let head = scapkit_format::EventHead { event_type: self.event_type, ..Default::default() };
        Event::from_parts(head, false, &self.lens, &self.data)
    }
}
