//! System calls.
//!
//! What a message says in numbers goes through the table of raw calls ([`raw::call`]), as if it had come in
//! registers; here stands what needs more: names, addresses, the fds of pairs, and the beginnings of calls.

use super::Turn;
use super::address::{Address, put_tuple};
use super::process::numbers;
use super::sandbox::{Held, Twin};
use crate::gvisor::flags;
use crate::gvisor::params::Params;
use crate::gvisor::raw;
use scapkit_format::schema::id;
use scapkit_proto::{Call, Message, syscall};

/// EFAULT.
const BAD_ADDRESS: i64 = -14;
/// EINPROGRESS: a connection that is being made.
const IN_PROGRESS: i64 = -115;

macro_rules! each_call {
    ($message:expr, $m:ident => $value:expr, $($name:ident)*) => {
        match $message {
            $(Message::$name($m) => Some($value),)*
            _ => None,
        }
    };
    ($message:expr, $m:ident => $value:expr) => {
        each_call!($message, $m => $value,
            Syscall Open Close Read Connect Execve Socket Chdir Setid Setresid Prlimit Pipe Fcntl Dup Signalfd Chroot
            Eventfd Clone Bind Accept TimerfdCreate TimerfdSetTime TimerfdGetTime Fork InotifyInit InotifyAddWatch
            InotifyRmWatch SocketPair Write Mmap Listen Ptrace)
    };
}

/// Number of the call that a message is of.
pub(super) fn number(message: &Message) -> Option<u64> {
    each_call!(message, m => m.sysno)
}

/// How the call of a message ended; `None` at its beginning, and for messages that are of no call.
pub(super) fn exit(message: &Message) -> Option<&syscall::Exit> {
    each_call!(message, m => m.exit.as_ref()).flatten()
}

/// Kinds of messages.
const OPEN: u16 = 7;
const CLOSE: u16 = 8;
const READ: u16 = 9;
const CONNECT: u16 = 10;
const EXECVE: u16 = 11;
const WRITE: u16 = 34;
const MMAP_INFO: u16 = 35;
const PTRACE: u16 = 38;

/// For kinds of calls that [`Call`] can read: whether their messages say at the end all that they say at the
/// beginning, and no event tells of that.
pub(super) fn is_plain(kind: u16) -> Option<bool> {
    match kind {
        MMAP_INFO => None,
        OPEN | CONNECT | EXECVE => Some(false),
        OPEN..=PTRACE => Some(true),
        _ => None,
    }
}

/// Kinds that most messages are of.
pub(super) fn is_common(kind: u16) -> bool {
    matches!(kind, OPEN | CLOSE | READ | WRITE)
}

/// The result as events have it: negative if the call failed.
pub(super) fn result(result: i64, error: i64) -> i64 {
    if error == 0 { result } else { error.saturating_neg() }
}

/// A register that holds a 32-bit number with a sign.
fn signed(value: i32) -> u64 {
    i64::from(value).cast_unsigned()
}

fn fd32(fd: i64) -> i32 {
    i32::try_from(fd).unwrap_or(-1)
}

impl Turn<'_> {
    /// A call that comes with names and structures.
    pub(super) fn call(&mut self, message: &Message) {
        let Some(number) = number(message) else { return };
        let thread = self.context.thread_id;
        let Some(exit) = exit(message) else {
            if let Some(state) = self.sandbox.threads.get_mut(&thread) {
                state.call = number;
            }
            return self.begin(message);
        };
        let res = result(exit.result, exit.errorno);
        match message {
            Message::Execve(m) => return self.exec(m, res),
            Message::Clone(m) => return self.clone_returned(thread, id::SYSCALL_CLONE_20_X, m.flags, res),
            Message::Fork(m) => {
                let vfork = Some(m.sysno) == numbers(self.sandbox.arch()).vfork;
                let (event, linux) = if vfork { (id::SYSCALL_VFORK_20_X, 0x4100) } else { (id::SYSCALL_FORK_20_X, 0) };
                return self.clone_returned(thread, event, linux, res);
            }
            _ => {}
        }
        if let Some(event) = self.ended(message, number, res) {
            self.out.add(self.ts, self.sandbox.tid(thread), event, self.params);
        }
    }

    /// The beginning of a call, where drivers tell of that: paths and addresses may be read again, and changed,
    /// before the end.
    fn begin(&mut self, message: &Message) {
        let arch = self.sandbox.arch();
        let params = self.params.clear();
        let event = match message {
            Message::Open(m) => {
                let opened = Opened { fd: m.fd, name: &m.pathname, flags: m.flags, mode: m.mode };
                return self.begin_open(m.sysno, opened);
            }
            Message::Connect(m) => {
                params.i64(m.fd).bytes(&encoded(&m.address));
                id::SOCKET_CONNECT_E
            }
            Message::Execve(m) if m.sysno == numbers(arch).execveat => {
                params.i64(m.fd).text(&m.pathname).u32(execveat_flags(m.flags));
                id::SYSCALL_EXECVEAT_E
            }
            Message::Execve(m) => {
                params.text(&m.pathname);
                id::SYSCALL_EXECVE_19_E
            }
            _ => return,
        };
        self.out.add(self.ts, self.sandbox.tid(self.context.thread_id), event, self.params);
    }

    /// Parameters of a call's end, and the type of the event.
    fn ended(&mut self, message: &Message, number: u64, res: i64) -> Option<u16> {
        let arch = self.sandbox.arch();
        let group = self.group();
        let done = res >= 0;
        // What a failed call left in the structures is none of it.
        let if_done = |value: i32| if done { i64::from(value) } else { -1 };
        match message {
            Message::Open(m) => {
                let opened = Opened { fd: m.fd, name: &m.pathname, flags: m.flags, mode: m.mode };
                Some(self.open(number, opened, res))
            }
            Message::Close(m) => self.close(number, m.fd, res),
            Message::Read(m) => self.transfer(number, m.fd, m.count, m.offset, m.flags, res),
            Message::Write(m) => self.transfer(number, m.fd, m.count, m.offset, m.flags, res),
            Message::Connect(m) => {
                let server = Address::parse(&m.address);
                let client = self.sandbox.bound(group, fd32(m.fd));
                let mut tuple = Vec::new();
                if done || res == IN_PROGRESS {
                    put_tuple(client, server.as_ref(), &mut tuple);
                }
                self.params.clear().i64(res).bytes(&tuple).i64(m.fd).bytes(&encoded(&m.address));
                Some(id::SOCKET_CONNECT_X)
            }
            Message::Bind(m) => {
                if let Some(address) = Address::parse(&m.address).filter(|_| done) {
                    self.sandbox.bind(group, m.fd, address, self.room);
                }
                self.params.clear().i64(res).bytes(&encoded(&m.address)).i64(i64::from(m.fd));
                Some(id::SOCKET_BIND_X)
            }
            Message::Listen(m) => {
                if let Some(address) = Address::parse(&m.address).filter(|_| done) {
                    self.sandbox.bind(group, m.fd, address, self.room);
                }
                self.registers(number, [signed(m.fd), signed(m.backlog), 0, 0, 0, 0], res)
            }
            Message::Accept(m) => {
                let mut tuple = Vec::new();
                if done {
                    let client = Address::parse(&m.address);
                    put_tuple(client.as_ref(), self.sandbox.bound(group, m.fd), &mut tuple);
                }
                let params = self.params.clear();
                // The queue is not told.
                params.i64(res).bytes(&tuple).u8(0).u32(0).u32(0);
                if event_of(arch, number) == id::SOCKET_ACCEPT4_6_X {
                    params.u32(flags::socket_flags(m.flags.cast_unsigned()));
                    Some(id::SOCKET_ACCEPT4_6_X)
                } else {
                    Some(id::SOCKET_ACCEPT_5_X)
                }
            }
            Message::SocketPair(m) => {
                let params = self.params.clear().i64(res).i64(if_done(m.socket1)).i64(if_done(m.socket2));
                params.u64(0).u64(0).u32(flags::socket_family(m.domain.cast_unsigned())).u32(m.r#type.cast_unsigned());
                params.u32(m.protocol.cast_unsigned());
                Some(id::SOCKET_SOCKETPAIR_X)
            }
            Message::Socket(m) => {
                self.registers(number, [signed(m.domain), signed(m.r#type), signed(m.protocol), 0, 0, 0], res)
            }
            Message::Pipe(m) => {
                let params = self.params.clear().i64(res).i64(if_done(m.reader)).i64(if_done(m.writer)).u64(0);
                if event_of(arch, number) == id::SYSCALL_PIPE2_X {
                    params.u32(flags::pipe2_flags(arch, m.flags));
                    Some(id::SYSCALL_PIPE2_X)
                } else {
                    Some(id::SYSCALL_PIPE_X)
                }
            }
            Message::Chdir(m) => {
                if event_of(arch, number) == id::SYSCALL_FCHDIR_X {
                    return self.registers(number, [m.fd.cast_unsigned(), 0, 0, 0, 0, 0], res);
                }
                self.params.clear().i64(res).text(&m.pathname);
                Some(id::SYSCALL_CHDIR_X)
            }
            Message::Chroot(m) => {
                self.params.clear().i64(res).text(&m.pathname);
                Some(id::SYSCALL_CHROOT_X)
            }
            Message::Setid(m) => {
                let event = self.registers(number, [u64::from(m.id), 0, 0, 0, 0, 0], res);
                if event == Some(id::SYSCALL_SETSID_X) && done {
                    self.new_session();
                    // The sandbox gives 0, or the id in the caller's namespace; it is that of the process.
                    self.params.clear().i64(self.sandbox.tid(group));
                }
                event
            }
            Message::Setresid(m) => {
                self.registers(number, [u64::from(m.rid), u64::from(m.eid), u64::from(m.sid), 0, 0, 0], res)
            }
            Message::Prlimit(m) => Some(self.prlimit(m, res)),
            Message::Fcntl(m) => {
                self.registers(number, [signed(m.fd), signed(m.cmd), m.args.cast_unsigned(), 0, 0, 0], res)
            }
            Message::Dup(m) => {
                if done && let Some(address) = self.sandbox.bound(group, m.old_fd).cloned() {
                    self.sandbox.bind(group, fd32(res), address, self.room);
                }
                self.registers(number, [signed(m.old_fd), signed(m.new_fd), u64::from(m.flags), 0, 0, 0], res)
            }
            Message::Signalfd(m) => {
                let (fd, mask) = (i64::from(m.fd), low32(m.sigset));
                // Of one that is changed, Linux returns the number, gVisor 0: that would be another file.
                let res = if done && m.fd >= 0 { fd } else { res };
                let params = self.params.clear().i64(res);
                if event_of(arch, number) == id::SYSCALL_SIGNALFD4_X {
                    params.u16(flags::descriptor_flags(m.flags.cast_unsigned())).i64(fd).u32(mask);
                    Some(id::SYSCALL_SIGNALFD4_X)
                } else {
                    params.i64(fd).u32(mask).u8(0);
                    Some(id::SYSCALL_SIGNALFD_X)
                }
            }
            Message::Eventfd(m) => {
                self.registers(number, [u64::from(m.val.cast_unsigned()), u64::from(m.flags), 0, 0, 0, 0], res)
            }
            Message::TimerfdCreate(m) => self.registers(number, [signed(m.clock_id), signed(m.flags), 0, 0, 0, 0], res),
            Message::InotifyInit(m) => self.registers(number, [signed(m.flags), 0, 0, 0, 0, 0], res),
            Message::Mmap(m) => self.registers(
                number,
                [
                    m.addr,
                    m.length,
                    u64::from(m.prot),
                    u64::from(m.flags),
                    m.fd.cast_unsigned(),
                    m.offset.cast_unsigned(),
                ],
                res,
            ),
            Message::Ptrace(m) => self.registers(number, [m.request.cast_unsigned(), signed(m.pid), 0, 0, 0, 0], res),
            // No event type has more of these than their number.
            Message::TimerfdSetTime(_)
            | Message::TimerfdGetTime(_)
            | Message::InotifyAddWatch(_)
            | Message::InotifyRmWatch(_) => self.registers(number, [0; 6], res),
            _ => None,
        }
    }

    /// The beginning of a call that was read in place: one that opens a file.
    pub(super) fn common_begun(&mut self, call: &Call<'_>) {
        self.begin_open(call.sysno, Opened::of(call));
    }

    /// The end of a call of a common kind that was read in place.
    pub(super) fn common_ended(&mut self, kind: u16, call: &Call<'_>, res: i64) {
        let fd = call.number(4).cast_signed();
        let event = match kind {
            OPEN => Some(self.open(call.sysno, Opened::of(call), res)),
            CLOSE => self.close(call.sysno, fd, res),
            _ => {
                self.transfer(call.sysno, fd, call.number(6), call.number(8).cast_signed(), low32(call.number(9)), res)
            }
        };
        if let Some(event) = event {
            self.out.add(self.ts, self.sandbox.tid(self.context.thread_id), event, self.params);
        }
    }

    fn begin_open(&mut self, number: u64, o: Opened<'_>) {
        let arch = self.sandbox.arch();
        let (flags, mode) = (flags::open_flags(arch, o.flags), flags::open_mode(arch, o.flags, o.mode));
        let params = self.params.clear();
        let event = match open_kind(number, arch) {
            OpenKind::Open => {
                params.text(o.name).u32(flags).u32(mode);
                id::SYSCALL_OPEN_E
            }
            OpenKind::Creat => {
                params.text(o.name).u32(mode);
                id::SYSCALL_CREAT_E
            }
            OpenKind::Openat => {
                params.i64(o.fd).text(o.name).u32(flags).u32(mode);
                id::SYSCALL_OPENAT_2_E
            }
        };
        self.out.add(self.ts, self.sandbox.tid(self.context.thread_id), event, self.params);
    }

    /// Parameters of the end of a call that opens a file.
    fn open(&mut self, number: u64, o: Opened<'_>, res: i64) -> u16 {
        let arch = self.sandbox.arch();
        let (flags, mode) = (flags::open_flags(arch, o.flags), flags::open_mode(arch, o.flags, o.mode));
        let params = self.params.clear().i64(res);
        // A name that could not be read is none, one without a character is one.
        let name = |params: &mut Params| {
            _ = if o.name.is_empty() && res == BAD_ADDRESS { params.empty() } else { params.text(o.name) };
        };
        // Neither device nor inode are told.
        match open_kind(number, arch) {
            OpenKind::Open => {
                name(params);
                params.u32(flags).u32(mode).u32(0).u64(0);
                id::SYSCALL_OPEN_X
            }
            OpenKind::Creat => {
                name(params);
                params.u32(mode).u32(0).u64(0).u16(0);
                id::SYSCALL_CREAT_X
            }
            OpenKind::Openat => {
                name(params.i64(o.fd));
                params.u32(flags).u32(mode).u32(0).u64(0);
                id::SYSCALL_OPENAT_2_X
            }
        }
    }

    fn close(&mut self, number: u64, fd: i64, res: i64) -> Option<u16> {
        if res >= 0 {
            let group = self.group();
            self.sandbox.closed(group, fd32(fd), self.room);
        }
        self.registers(number, [fd.cast_unsigned(), 0, 0, 0, 0, 0], res)
    }

    /// A call all of which came in registers.
    fn registers(&mut self, number: u64, args: [u64; 6], res: i64) -> Option<u16> {
        raw::call(self.sandbox.arch(), number, &args, res, self.params)
    }

    /// read, write and their relatives. The sizes of vectors are told, which registers do not hold.
    fn transfer(&mut self, number: u64, fd: i64, count: u64, offset: i64, flags: u32, res: i64) -> Option<u16> {
        // The offset of vectors comes in two registers, of which 64-bit processors use the first.
        let args = [fd.cast_unsigned(), 0, count, offset.cast_unsigned(), 0, u64::from(flags)];
        let event = self.registers(number, args, res)?;
        let size = u32::try_from(count).unwrap_or(u32::MAX);
        match event {
            id::SYSCALL_READV_X => _ = self.params.clear().i64(res).u32(size).empty().i64(fd),
            id::SYSCALL_PREADV_X => {
                _ = self.params.clear().i64(res).u32(size).empty().i64(fd).u64(offset.cast_unsigned());
            }
            id::SYSCALL_WRITEV_X => _ = self.params.clear().i64(res).empty().i64(fd).u32(size),
            id::SYSCALL_PWRITEV_X => {
                _ = self.params.clear().i64(res).empty().i64(fd).u32(size).u64(offset.cast_unsigned());
            }
            _ => {}
        }
        Some(event)
    }

    fn prlimit(&mut self, m: &syscall::Prlimit, res: i64) -> u16 {
        const NOFILE: i64 = 7;
        let value = |n: u64| n.cast_signed();
        let new = m.new_limit.as_ref().map_or((-1, -1), |l| (value(l.cur), value(l.max)));
        // What a failed call leaves there was there before.
        let old = m.old_limit.as_ref().filter(|_| res >= 0).map_or((-1, -1), |l| (value(l.cur), value(l.max)));
        if res >= 0 && m.resource == NOFILE && m.pid == 0 {
            let now = if m.new_limit.is_some() { Some(new.0) } else { m.old_limit.as_ref().map(|_| old.0) };
            if let (Some(now), Some(leader)) = (now, self.sandbox.leader_mut(self.context.thread_id)) {
                leader.fdlimit = now;
            }
        }
        self.params.clear().i64(res).i64(new.0).i64(new.1).i64(old.0).i64(old.1).i64(i64::from(m.pid));
        self.params.u8(flags::resource_limit(u32::try_from(m.resource).unwrap_or(u32::MAX)));
        id::SYSCALL_PRLIMIT_X
    }

    fn new_session(&mut self) {
        let group = self.group();
        if let Some(leader) = self.sandbox.leader_mut(self.context.thread_id) {
            leader.pgid = group;
            leader.sid = group;
        }
    }

    /// The process of the message's thread.
    pub(super) fn group(&self) -> i32 {
        if self.context.thread_group_id == 0 { self.context.thread_id } else { self.context.thread_group_id }
    }

    /// A raw message. Its end is held where one with strings may follow.
    pub(super) fn raw_call(&mut self, m: &syscall::Syscall) {
        let thread = self.context.thread_id;
        let arch = self.sandbox.arch();
        let args = [m.arg1, m.arg2, m.arg3, m.arg4, m.arg5, m.arg6];
        let Some(exit) = &m.exit else {
            if let Some(state) = self.sandbox.threads.get_mut(&thread) {
                state.call = m.sysno;
            }
            return;
        };
        let held = Held { ts: self.ts, number: m.sysno, args, res: result(exit.result, exit.errorno) };
        let may_follow =
            raw::schematized(arch, m.sysno).is_some() && self.sandbox.twins.get(&m.sysno) != Some(&Twin::Alone);
        if may_follow && let Some(state) = self.sandbox.threads.get_mut(&thread) {
            state.held = Some(held);
            self.sandbox.holding.push_back((self.ts, thread));
        } else {
            self.raw_event(thread, &held);
        }
    }

    /// The event of a raw call.
    pub(super) fn raw_event(&mut self, thread: i32, held: &Held) {
        let arch = self.sandbox.arch();
        let numbers = numbers(arch);
        let number = held.number;
        let clone = match number {
            n if n == numbers.clone => Some((id::SYSCALL_CLONE_20_X, held.args[0])),
            // Its flags are in memory.
            n if n == numbers.clone3 => Some((id::SYSCALL_CLONE3_X, 0)),
            n if Some(n) == numbers.fork => Some((id::SYSCALL_FORK_20_X, 0)),
            n if Some(n) == numbers.vfork => Some((id::SYSCALL_VFORK_20_X, 0x4100)),
            _ => None,
        };
        if let Some((event, linux)) = clone {
            return self.clone_returned(thread, event, linux, held.res);
        }
        if held.res >= 0 && (number == numbers.execve || number == numbers.execveat) {
            return self.exec_raw(thread);
        }
        if let Some(mut event) = raw::call(arch, number, &held.args, held.res, self.params) {
            if event == id::SYSCALL_GETCWD_X && held.res > 0 {
                event = self.directory(thread, held);
            }
            self.out.add(self.ts, self.sandbox.tid(thread), event, self.params);
        }
    }

    /// The end of getcwd. Its path is in memory: it is the one that is known, if that is as long. Without one, only the
    /// call is told, since readers take the path for where the process is.
    fn directory(&mut self, thread: i32, held: &Held) -> u16 {
        let known = self.sandbox.leader(thread).map_or(&[][..], |leader| &leader.cwd);
        if !known.is_empty() && i64::try_from(known.len() + 1) == Ok(held.res) {
            self.params.clear().i64(held.res).text(known);
            return id::SYSCALL_GETCWD_X;
        }
        let code = self.sandbox.arch().native(held.number).map_or(0, |native| native.code);
        self.params.clear().u16(code).u16(u16::try_from(held.number).unwrap_or_default());
        id::GENERIC_X
    }
}

/// A socket address as events have it; nothing where it is none that they know.
fn encoded(address: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(address) = Address::parse(address) {
        address.put(&mut out);
    }
    out
}

fn low32(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default()
}

/// AT_EMPTY_PATH and AT_SYMLINK_NOFOLLOW as events have them.
fn execveat_flags(linux: u32) -> u32 {
    u32::from(linux & 0x1000 != 0) | u32::from(linux & 0x100 != 0) << 1
}

/// The type of the event at the end of a call; 0 when it has none of its own.
fn event_of(arch: raw::Arch, number: u64) -> u16 {
    arch.native(number).map_or(0, |native| native.exit)
}

/// What a call that opens a file was called with.
#[derive(Clone, Copy)]
struct Opened<'a> {
    fd: i64,
    name: &'a [u8],
    flags: u32,
    mode: u32,
}

impl<'a> Opened<'a> {
    fn of(call: &Call<'a>) -> Opened<'a> {
        Opened {
            fd: call.number(4).cast_signed(),
            name: call.text6,
            flags: low32(call.number(7)),
            mode: low32(call.number(8)),
        }
    }
}

/// The calls that open files.
enum OpenKind {
    Open,
    Openat,
    Creat,
}

fn open_kind(number: u64, arch: raw::Arch) -> OpenKind {
    match event_of(arch, number) {
        id::SYSCALL_OPEN_X => OpenKind::Open,
        id::SYSCALL_CREAT_X => OpenKind::Creat,
        _ => OpenKind::Openat,
    }
}
