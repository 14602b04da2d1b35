//! What the parameters of each exit event are made of, when all that is known of the call is its registers.
//!
//! One row for each event type that a call of x86_64 or aarch64 has; the parameters in the order of the schema, which
//! also says how wide they are.

use super::super::flags::{self as f};
use super::{Arch, Call, Params};
use scapkit_format::schema::id;

/// Where a parameter comes from. Arguments are counted from 0; what is wider than the parameter is cut.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// The result.
    Res,
    /// The result's low half, with its sign.
    ResInt,
    /// How much was read: the result, 0 of a failed call.
    Passed,
    /// An argument.
    Arg(usize),
    /// An argument's low half, with its sign: a descriptor, a process. `AT_FDCWD` is -100 on both sides.
    Int(usize),
    /// An argument's low half, without a sign.
    Low(usize),
    /// Always that.
    Is(i64),
    /// In memory, where an argument points: not known, but that when it points nowhere.
    At(usize, i64),
    /// Known only of a failed call, where it is that.
    Failed(i64),
    /// An argument's low half as events have it.
    Flags8(fn(u32) -> u8, usize),
    /// An argument's low half as events have it.
    Flags16(fn(u32) -> u16, usize),
    /// An argument's low half as events have it.
    Flags32(fn(u32) -> u32, usize),
    /// An argument's low half as events have it, depending on the processor.
    FlagsOf(fn(Arch, u32) -> u32, usize),
    /// A number that depends on more than one thing; `None` when it is not known.
    Number(fn(&Call<'_>) -> Option<i64>),
    /// What is no number. Adds one parameter.
    Other(fn(&Call<'_>, &mut Params)),
    /// Not known: in memory, or in the kernel.
    Empty,
}

use Source::{
    Arg, At, Empty, Failed, Flags8, Flags16, Flags32, FlagsOf, Int, Is, Low, Number, Other, Passed, Res, ResInt,
};

type Row = (u16, &'static [Source]);

/// The sources of an event type's parameters.
pub(super) fn of(event_type: u16) -> Option<&'static [Source]> {
    let at = ROWS.binary_search_by_key(&event_type, |(id, _)| *id).ok()?;
    ROWS.get(at).map(|(_, sources)| *sources)
}

const RES: &[Source] = &[Res];
const RES_PATH: &[Source] = &[Res, Empty];
const RES_PATHS: &[Source] = &[Res, Empty, Empty];
const RES_FD: &[Source] = &[Res, Int(0)];
const RES_PATH_IDS: &[Source] = &[Res, Empty, Arg(1), Arg(2)];
const RES_RANGE: &[Source] = &[Res, Arg(0), Arg(1)];
const SET_ID: &[Source] = &[Res, Arg(0)];
const SET_IDS: &[Source] = &[Res, Arg(0), Arg(1), Arg(2)];
const GET_IDS: &[Source] = &[Res, At(0, 0), At(1, 0), At(2, 0)];
const READ: &[Source] = &[Res, Empty, Int(0), Arg(2)];
const READ_AT: &[Source] = &[Res, Empty, Int(0), Arg(2), Arg(3)];
/// Drivers take the process from the whole register, so that it loses its sign.
const OTHER_MEMORY: &[Source] = &[Res, Int(0), Empty];

/// How many bytes the vector of a `writev` has.
const VECTOR_SIZE: Source = Number(|c| (c.null(1) || c.null(2)).then_some(0));
/// The flags of an open are argument 1, its mode is 2; of openat one more.
const OPEN_MODE: Source = Number(|c| Some(f::open_mode(c.arch, c.low(1), c.low(2)).into()));
const OPENAT_MODE: Source = Number(|c| Some(f::open_mode(c.arch, c.low(2), c.low(3)).into()));
/// Device, inode and layer of what was opened, numbers of an accept's queue.
const OF_NEW_FD: Source = Failed(0);
const OLD_LIMIT: Source = Number(|c| if c.failed() { Some(-1) } else { c.null(3).then_some(0) });
const GOT_LIMIT: Source = Number(|c| if c.failed() { Some(-1) } else { c.null(1).then_some(0) });
/// How many bytes several messages have.
const MESSAGES_SIZE: Source = Number(|c| (c.res <= 0).then_some(0));
const QUOTA_BLOCK: Source = Number(|c| quota_part(c, 0x80_0007, 0x80_0008));
const QUOTA_INFO: Source = Number(|c| quota_part(c, 0x80_0005, 0x80_0006));

/// A call that makes a process, of which nothing but the result and the flags stands in registers. What describes the
/// caller is for those to fill who know it.
const fn clone_row(flags: Source) -> [Source; 21] {
    let mut row = [Empty; 21];
    row[0] = Res;
    row[15] = flags;
    // Start of the namespace: only of a child.
    row[20] = Is(0);
    row
}

/// An exec, by what gives the program's name; the rest is in memory or describes the caller.
const fn exec_row<const N: usize>(exe: Source) -> [Source; N] {
    let mut row = [Empty; N];
    row[0] = Res;
    row[1] = exe;
    row
}

const CLONE: [Source; 21] = clone_row(Flags32(f::clone_flags, 0));
const FORK: [Source; 21] = clone_row(Is(0));
const CLONE3: [Source; 21] = clone_row(At(0, 0));
const EXECVE: [Source; 31] = exec_row(Other(|c, params| without_arguments(c, 1, params)));
const EXECVEAT: [Source; 30] = exec_row(Other(|c, params| without_arguments(c, 2, params)));

/// By event type, in order.
pub(super) const ROWS: &[Row] = &[
    (id::SYSCALL_OPEN_X, &[Res, Empty, FlagsOf(f::open_flags, 1), OPEN_MODE, OF_NEW_FD, OF_NEW_FD]),
    (id::SYSCALL_CLOSE_X, RES_FD),
    (id::SYSCALL_READ_X, READ),
    (id::SYSCALL_WRITE_X, READ),
    (id::SOCKET_SOCKET_X, &[Res, Flags32(f::socket_family, 0), Arg(1), Arg(2), Flags32(f::socket_flags, 1)]),
    (id::SOCKET_BIND_X, &[Res, Empty, Int(0)]),
    (id::SOCKET_CONNECT_X, &[Res, Empty, Int(0), Empty]),
    (id::SOCKET_LISTEN_X, &[Res, Int(0), Arg(1)]),
    (id::SOCKET_SENDTO_X, &[Res, Empty, Int(0), Arg(2), Empty]),
    (id::SOCKET_RECVFROM_X, &[Res, Empty, Empty, Int(0), Arg(2)]),
    (id::SOCKET_SHUTDOWN_X, &[Res, Int(0), Flags8(f::shutdown_how, 1)]),
    (id::SOCKET_GETSOCKNAME_X, &[]),
    (id::SOCKET_GETPEERNAME_X, &[]),
    (
        id::SOCKET_SOCKETPAIR_X,
        &[Res, Failed(-1), Failed(-1), Failed(0), Failed(0), Flags32(f::socket_family, 0), Arg(1), Arg(2)],
    ),
    (id::SOCKET_SETSOCKOPT_X, &[Res, Int(0), Flags8(f::socket_level, 1), SOCKET_OPTION, Other(option_set), Arg(4)]),
    (id::SOCKET_GETSOCKOPT_X, &[Res, Int(0), Flags8(f::socket_level, 1), SOCKET_OPTION, Other(option_got), At(4, 0)]),
    (id::SOCKET_SENDMSG_X, &[Res, Empty, Int(0), Empty, Empty]),
    // Drivers make an event of each message, with its bytes as the result. Here it is one, with the number of messages.
    (id::SOCKET_SENDMMSG_X, &[Res, Int(0), MESSAGES_SIZE, Empty, Empty]),
    (id::SOCKET_RECVMSG_X, &[Res, Passed, Empty, Empty, Empty, Int(0)]),
    (id::SOCKET_RECVMMSG_X, &[Res, Int(0), MESSAGES_SIZE, Empty, Empty, Empty]),
    (id::SYSCALL_CREAT_X, &[Res, Empty, Flags32(f::permissions, 1), OF_NEW_FD, OF_NEW_FD, OF_NEW_FD]),
    (id::SYSCALL_PIPE_X, &[Res, At(0, -1), At(0, -1), OF_NEW_FD]),
    (id::SYSCALL_EVENTFD_X, &[Res, Arg(0), Is(0)]),
    (id::SYSCALL_FUTEX_X, &[Res, Arg(0), Flags16(f::futex_operation, 1), Arg(2)]),
    (id::SYSCALL_STAT_X, RES_PATH),
    (id::SYSCALL_LSTAT_X, RES_PATH),
    (id::SYSCALL_FSTAT_X, RES_FD),
    (id::SYSCALL_EPOLLWAIT_X, &[Res, Int(2)]),
    (id::SYSCALL_POLL_X, &[Res, Other(polled), Low(2)]),
    (id::SYSCALL_SELECT_X, RES),
    (id::SYSCALL_LSEEK_X, &[Res, Int(0), Arg(1), Flags8(f::seek_whence, 2)]),
    (id::SYSCALL_GETCWD_X, RES_PATH),
    (id::SYSCALL_CHDIR_X, RES_PATH),
    (id::SYSCALL_FCHDIR_X, RES_FD),
    (id::SYSCALL_PREAD_X, READ_AT),
    (id::SYSCALL_PWRITE_X, READ_AT),
    (id::SYSCALL_READV_X, &[Res, Passed, Empty, Int(0)]),
    (id::SYSCALL_WRITEV_X, &[Res, Empty, Int(0), VECTOR_SIZE]),
    (id::SYSCALL_PREADV_X, &[Res, Passed, Empty, Int(0), Arg(3)]),
    (id::SYSCALL_PWRITEV_X, &[Res, Empty, Int(0), VECTOR_SIZE, Arg(3)]),
    (id::SYSCALL_SIGNALFD_X, &[Res, Int(0), Is(0), Is(0)]),
    (id::SYSCALL_KILL_X, &[Res, Int(0), Arg(1)]),
    (id::SYSCALL_TKILL_X, &[Res, Int(0), Arg(1)]),
    (id::SYSCALL_TGKILL_X, &[Res, Int(0), Int(1), Arg(2)]),
    (id::SYSCALL_NANOSLEEP_X, &[Res, At(0, 0)]),
    (id::SYSCALL_TIMERFD_CREATE_X, &[Res, Arg(0), Flags8(f::timerfd_flags, 1)]),
    (id::SYSCALL_INOTIFY_INIT_X, &[Res, Is(0)]),
    (id::SYSCALL_GETRLIMIT_X, &[Res, GOT_LIMIT, GOT_LIMIT, Flags8(f::resource_limit, 0)]),
    (id::SYSCALL_SETRLIMIT_X, &[Res, At(1, 0), At(1, 0), Flags8(f::resource_limit, 0)]),
    (id::SYSCALL_PRLIMIT_X, &[Res, At(2, 0), At(2, 0), OLD_LIMIT, OLD_LIMIT, Int(0), Flags8(f::resource_limit, 1)]),
    (id::SYSCALL_FCNTL_X, &[Res, Int(0), Flags8(f::fcntl_command, 1), Arg(2)]),
    (id::SYSCALL_BRK_4_X, &[Res, Empty, Empty, Empty, Arg(0)]),
    (
        id::SYSCALL_MMAP_X,
        &[
            Res,
            Empty,
            Empty,
            Empty,
            Arg(0),
            Arg(1),
            Flags32(f::memory_protection, 2),
            Flags32(f::mmap_flags, 3),
            Int(4),
            Arg(5),
        ],
    ),
    (id::SYSCALL_MUNMAP_X, &[Res, Empty, Empty, Empty, Arg(0), Arg(1)]),
    (id::SYSCALL_SPLICE_X, &[Res, Int(0), Int(2), Arg(4), Flags32(f::splice_flags, 5)]),
    (
        id::SYSCALL_PTRACE_X,
        &[Res, Other(ptrace_addr), Other(ptrace_data), Number(|c| Some(ptrace_request(c).into())), Int(1)],
    ),
    (id::SYSCALL_IOCTL_3_X, &[Res, Int(0), Arg(1), Arg(2)]),
    (id::SYSCALL_RENAME_X, RES_PATHS),
    (id::SYSCALL_RENAMEAT_X, &[Res, Int(0), Empty, Int(2), Empty]),
    (id::SYSCALL_SYMLINK_X, RES_PATHS),
    (id::SYSCALL_SYMLINKAT_X, &[Res, Empty, Int(1), Empty]),
    (id::SYSCALL_SENDFILE_X, &[Res, At(2, 0), Int(0), Int(1), Arg(3)]),
    (
        id::SYSCALL_QUOTACTL_X,
        &[
            Res,
            Empty,
            Empty,
            QUOTA_BLOCK,
            QUOTA_BLOCK,
            QUOTA_BLOCK,
            QUOTA_BLOCK,
            QUOTA_BLOCK,
            QUOTA_BLOCK,
            QUOTA_BLOCK,
            QUOTA_INFO,
            QUOTA_INFO,
            QUOTA_INFO,
            Number(quota_format_got),
            Flags16(f::quota_command, 0),
            Flags8(f::quota_type, 0),
            Number(|c| Some(quota_id(c).into())),
            Number(|c| Some(quota_format_set(c).into())),
        ],
    ),
    (id::SYSCALL_SETRESUID_X, SET_IDS),
    (id::SYSCALL_SETRESGID_X, SET_IDS),
    (id::SYSCALL_SETUID_X, SET_ID),
    (id::SYSCALL_SETGID_X, SET_ID),
    (id::SYSCALL_GETUID_X, RES),
    (id::SYSCALL_GETEUID_X, RES),
    (id::SYSCALL_GETGID_X, RES),
    (id::SYSCALL_GETEGID_X, RES),
    (id::SYSCALL_GETRESUID_X, GET_IDS),
    (id::SYSCALL_GETRESGID_X, GET_IDS),
    (id::SYSCALL_CLONE_20_X, &CLONE),
    (id::SYSCALL_FORK_20_X, &FORK),
    (id::SYSCALL_VFORK_20_X, &FORK),
    (id::SYSCALL_GETDENTS_X, RES_FD),
    (id::SYSCALL_GETDENTS64_X, RES_FD),
    (id::SYSCALL_SETNS_X, &[Res, Int(0), Flags32(f::clone_flags, 1)]),
    (id::SYSCALL_FLOCK_X, &[Res, Int(0), Flags32(f::flock_operation, 1)]),
    (id::SOCKET_ACCEPT_5_X, &[Res, Empty, OF_NEW_FD, OF_NEW_FD, OF_NEW_FD]),
    (
        id::SYSCALL_SEMOP_X,
        &[Res, Arg(2), SEMAPHORE, SEMAPHORE, SEMAPHORE, SECOND_SEMAPHORE, SECOND_SEMAPHORE, SECOND_SEMAPHORE, Arg(0)],
    ),
    (id::SYSCALL_SEMCTL_X, &[Res, Arg(0), Arg(1), Flags16(f::semctl_command, 2), Number(|c| Some(semaphore_value(c)))]),
    (id::SYSCALL_PPOLL_X, &[Res, Other(polled), At(2, 0), At(3, 0)]),
    (id::SYSCALL_MOUNT_X, &[Res, Empty, Empty, Empty, Flags32(f::mount_flags, 3)]),
    (id::SYSCALL_SEMGET_X, &[Res, Arg(0), Arg(1), Flags32(f::semget_flags, 2)]),
    (id::SYSCALL_ACCESS_X, &[Res, Empty, Flags32(f::access_mode, 1)]),
    (id::SYSCALL_CHROOT_X, RES_PATH),
    (id::SYSCALL_SETSID_X, RES),
    (id::SYSCALL_MKDIR_2_X, &[Res, Empty, Arg(1)]),
    (id::SYSCALL_RMDIR_2_X, RES_PATH),
    (id::SYSCALL_UNSHARE_X, &[Res, Flags32(f::clone_flags, 0)]),
    (id::SYSCALL_EXECVE_19_X, &EXECVE),
    (id::SYSCALL_SETPGID_X, &[Res, Int(0), Int(1)]),
    (id::SYSCALL_SECCOMP_X, &[Res, Arg(0), Low(1)]),
    (id::SYSCALL_UNLINK_2_X, RES_PATH),
    (id::SYSCALL_UNLINKAT_2_X, &[Res, Int(0), Empty, Flags32(f::unlinkat_flags, 2)]),
    (id::SYSCALL_MKDIRAT_X, &[Res, Int(0), Empty, Arg(2)]),
    (id::SYSCALL_OPENAT_2_X, &[Res, Int(0), Empty, FlagsOf(f::open_flags, 2), OPENAT_MODE, OF_NEW_FD, OF_NEW_FD]),
    (id::SYSCALL_LINK_2_X, RES_PATHS),
    (id::SYSCALL_LINKAT_2_X, &[Res, Int(0), Empty, Int(2), Empty, Flags32(f::linkat_flags, 4)]),
    (id::SYSCALL_FCHMODAT_X, &[Res, Int(0), Empty, Flags32(f::permissions, 2)]),
    (id::SYSCALL_CHMOD_X, &[Res, Empty, Flags32(f::permissions, 1)]),
    (id::SYSCALL_FCHMOD_X, &[Res, Int(0), Flags32(f::permissions, 1)]),
    (id::SYSCALL_RENAMEAT2_X, &[Res, Int(0), Empty, Int(2), Empty, Arg(4)]),
    (id::SYSCALL_USERFAULTFD_X, SET_ID),
    // What openat2 is asked for is a structure; without one it counts as zeros, which are the flags of a read.
    (id::SYSCALL_OPENAT2_X, &[Res, Int(0), Empty, At(2, 1), At(2, 0), At(2, 0), OF_NEW_FD, OF_NEW_FD]),
    (id::SYSCALL_MPROTECT_X, &[Res, Arg(0), Arg(1), Flags32(f::memory_protection, 2)]),
    (id::SYSCALL_EXECVEAT_X, &EXECVEAT),
    // Drivers give the pointers to the offsets.
    (id::SYSCALL_COPY_FILE_RANGE_X, &[Res, Int(2), Arg(3), Int(0), Arg(1), Arg(4)]),
    (id::SYSCALL_CLONE3_X, &CLONE3),
    (id::SYSCALL_OPEN_BY_HANDLE_AT_X, &[Res, Int(0), FlagsOf(f::open_flags, 2), Empty, OF_NEW_FD, OF_NEW_FD]),
    (id::SYSCALL_IO_URING_SETUP_X, &[Res, Arg(0), At(1, 0), At(1, 0), At(1, 0), At(1, 0), At(1, 0), At(1, 0)]),
    (id::SYSCALL_IO_URING_ENTER_X, &[Res, Int(0), Arg(1), Arg(2), Flags32(f::io_uring_enter_flags, 3), Arg(4)]),
    (id::SYSCALL_IO_URING_REGISTER_X, &[Res, Int(0), Arg(1), Arg(2), Arg(3)]),
    (id::SYSCALL_MLOCK_X, RES_RANGE),
    (id::SYSCALL_MUNLOCK_X, RES_RANGE),
    (id::SYSCALL_MLOCKALL_X, &[Res, Flags32(f::mlockall_flags, 0)]),
    (id::SYSCALL_MUNLOCKALL_X, RES),
    (id::SYSCALL_CAPSET_X, &[Res, Empty, Empty, Empty]),
    (id::SYSCALL_DUP2_X, &[ResInt, Int(0), Int(1)]),
    (id::SYSCALL_DUP3_X, &[ResInt, Int(0), Int(1), Flags32(f::dup3_flags, 2)]),
    (id::SYSCALL_DUP_1_X, &[ResInt, Int(0)]),
    (id::SYSCALL_BPF_2_X, SET_ID),
    (id::SYSCALL_MLOCK2_X, &[Res, Arg(0), Arg(1), Flags32(f::mlock2_flags, 2)]),
    (id::SYSCALL_FSCONFIG_X, &[Res, Int(0), Arg(1), Empty, Empty, Empty, Arg(4)]),
    (id::SYSCALL_EPOLL_CREATE_X, SET_ID),
    (id::SYSCALL_EPOLL_CREATE1_X, &[Res, Flags32(f::epoll_create1_flags, 0)]),
    (id::SYSCALL_CHOWN_X, RES_PATH_IDS),
    (id::SYSCALL_LCHOWN_X, RES_PATH_IDS),
    (id::SYSCALL_FCHOWN_X, &[Res, Int(0), Arg(1), Arg(2)]),
    (id::SYSCALL_FCHOWNAT_X, &[Res, Int(0), Empty, Arg(2), Arg(3), Flags32(f::linkat_flags, 4)]),
    (id::SOCKET_ACCEPT4_6_X, &[Res, Empty, OF_NEW_FD, OF_NEW_FD, OF_NEW_FD, Flags32(f::socket_flags, 3)]),
    (id::SYSCALL_UMOUNT2_X, &[Res, Empty, Flags32(f::umount_flags, 1)]),
    (id::SYSCALL_PIPE2_X, &[Res, At(0, -1), At(0, -1), OF_NEW_FD, FlagsOf(f::pipe2_flags, 1)]),
    (id::SYSCALL_INOTIFY_INIT1_X, &[Res, Flags16(f::descriptor_flags, 0)]),
    (id::SYSCALL_EVENTFD2_X, &[Res, Flags16(f::descriptor_flags, 1), Low(0)]),
    (id::SYSCALL_SIGNALFD4_X, &[ResInt, Flags16(f::descriptor_flags, 3), Int(0), Is(0)]),
    (id::SYSCALL_PRCTL_X, &[Res, Arg(0), Empty, Number(prctl_number)]),
    (id::SYSCALL_MEMFD_CREATE_X, &[Res, Empty, Flags32(f::memfd_create_flags, 1)]),
    (id::SYSCALL_PIDFD_GETFD_X, &[Res, Int(0), Int(1), Arg(2)]),
    (id::SYSCALL_PIDFD_OPEN_X, &[Res, Int(0), Flags32(f::pidfd_open_flags, 1)]),
    (id::SYSCALL_INIT_MODULE_X, &[Res, Empty, Arg(1), Empty]),
    (id::SYSCALL_FINIT_MODULE_X, &[Res, Int(0), Empty, Flags32(f::finit_module_flags, 2)]),
    (id::SYSCALL_MKNOD_X, &[Res, Empty, Flags32(f::mknod_mode, 1), Flags32(f::device, 2)]),
    (id::SYSCALL_MKNODAT_X, &[Res, Int(0), Empty, Flags32(f::mknod_mode, 2), Flags32(f::device, 3)]),
    (id::SYSCALL_NEWFSTATAT_X, &[Res, Int(0), Empty, Flags32(f::newfstatat_flags, 3)]),
    (id::SYSCALL_PROCESS_VM_READV_X, OTHER_MEMORY),
    (id::SYSCALL_PROCESS_VM_WRITEV_X, OTHER_MEMORY),
    (id::SYSCALL_DELETE_MODULE_X, &[Res, Empty, Flags32(f::delete_module_flags, 1)]),
    (id::SYSCALL_SETREUID_X, RES_RANGE),
    (id::SYSCALL_SETREGID_X, RES_RANGE),
    (id::SYSCALL_CLOSE_RANGE_X, &[Res, Arg(0), Arg(1), Flags32(f::close_range_flags, 2)]),
    (
        id::SYSCALL_KEYCTL_X,
        &[
            Res,
            Arg(0),
            Other(|c, p| key_argument(c, 1, p)),
            Other(|c, p| key_argument(c, 2, p)),
            Other(|c, p| key_argument(c, 3, p)),
            Other(|c, p| key_argument(c, 4, p)),
        ],
    ),
];

/// Sub types of parameters whose first byte says what follows (scap-format appendix, `PT_DYN`).
const DYN_NUMBER: u8 = 0;
const DYN_TEXT_OR_SIGNAL: u8 = 1;

/// A parameter with a first byte that says what follows.
fn dynamic(index: u8, value: &[u8], params: &mut Params) {
    params.bytes(&[&[index], value].concat());
}

fn dynamic_number(value: u64, params: &mut Params) {
    dynamic(DYN_NUMBER, &value.to_le_bytes(), params);
}

/// The program's name of an exec: a failed one without arguments has an empty text.
fn without_arguments(c: &Call<'_>, argv: usize, params: &mut Params) {
    if c.failed() && c.null(argv) {
        params.text(b"");
    } else {
        params.empty();
    }
}

/// A list of descriptors: with none it says so.
fn polled(c: &Call<'_>, params: &mut Params) {
    if c.null(0) || c.low(1) == 0 {
        params.u16(0);
    } else {
        params.empty();
    }
}

const SOCKET_OPTION: Source = Number(|c| Some(f::socket_option(c.low(1), c.low(2)).into()));

/// Of the length, 16 bits count.
fn option_set(c: &Call<'_>, params: &mut Params) {
    option_value(c, c.low(4).trailing_zeros() >= 16, params);
}

fn option_got(c: &Call<'_>, params: &mut Params) {
    option_value(c, c.null(4), params);
}

/// The value of a socket option, which is known only when there is none: zero, or no bytes.
fn option_value(c: &Call<'_>, none: bool, params: &mut Params) {
    let (index, zeros): (u8, &[u8]) = match (c.low(1), c.low(2)) {
        (1, 4) => (1, &[0; 8]),
        (1, 20 | 21 | 66 | 67) => (4, &[0; 8]),
        (1, 57) => (3, &[0; 8]),
        (1, 1..=3 | 5..=12 | 14..=16 | 18 | 19 | 22..=25 | 27 | 29..=49) => (2, &[0; 4]),
        _ => (0, &[]),
    };
    if c.null(3) || (none && index == 0) {
        dynamic(index, zeros, params);
    } else {
        params.empty();
    }
}

fn ptrace_request(c: &Call<'_>) -> u16 {
    f::ptrace_request(c.arch, c.low(0))
}

fn ptrace_addr(c: &Call<'_>, params: &mut Params) {
    dynamic_number(if c.failed() { 0 } else { c.arg(2) }, params);
}

/// By the request: what was read is in memory; those that let a process go on have a signal.
fn ptrace_data(c: &Call<'_>, params: &mut Params) {
    match ptrace_request(c) {
        _ if c.failed() => dynamic_number(0, params),
        2..=4 if !c.null(3) => {
            params.empty();
        }
        8 | 10 | 12 | 13 => {
            let [signal, ..] = c.arg(3).to_le_bytes();
            dynamic(DYN_TEXT_OR_SIGNAL, &[signal], params);
        }
        _ => dynamic_number(c.arg(3), params),
    }
}

const PR_SET_NAME: u32 = 15;
const PR_GET_NAME: u32 = 16;
const PR_GET_CHILD_SUBREAPER: u32 = 37;

fn prctl_number(c: &Call<'_>) -> Option<i64> {
    match c.low(0) {
        PR_SET_NAME | PR_GET_NAME => Some(0),
        PR_GET_CHILD_SUBREAPER => c.null(1).then_some(0),
        _ => Some(c.arg(1).cast_signed()),
    }
}

const SEMAPHORE: Source = Number(|c| semaphore_operation(c, 1));
const SECOND_SEMAPHORE: Source = Number(|c| semaphore_operation(c, 2));

/// Of the `nth` operation on semaphores: what was done is in memory; what was not is 0.
fn semaphore_operation(c: &Call<'_>, nth: u32) -> Option<i64> {
    (c.failed() || c.null(1) || c.low(2) < nth).then_some(0)
}

/// Only `SETVAL` is given a number; other commands are given a pointer or nothing.
fn semaphore_value(c: &Call<'_>) -> i64 {
    if c.low(2) & 0xffff == 16 { c.int(3) } else { 0 }
}

const Q_QUOTAON: u32 = 0x80_0002;
const Q_GETFMT: u32 = 0x80_0004;

fn quota_operation(c: &Call<'_>) -> u32 {
    c.low(0) >> 8
}

/// A number of a structure that two operations have.
fn quota_part(c: &Call<'_>, get: u32, set: u32) -> Option<i64> {
    let operation = quota_operation(c);
    (c.null(3) || (operation != get && operation != set)).then_some(0)
}

fn quota_format_got(c: &Call<'_>) -> Option<i64> {
    (c.null(3) || quota_operation(c) != Q_GETFMT).then(|| f::quota_format(0).into())
}

/// Operations that name a user or group.
fn quota_id(c: &Call<'_>) -> u32 {
    let named = matches!(quota_operation(c), 0x80_0007 | 0x80_0008 | 0x5803 | 0x5804);
    if named { c.low(2) } else { 0 }
}

fn quota_format_set(c: &Call<'_>) -> u8 {
    f::quota_format(if quota_operation(c) == Q_QUOTAON { c.low(2) } else { 0 })
}

/// How many arguments an operation of keyctl has (driver-events section 2.6.8).
fn key_arguments(operation: u32) -> usize {
    match operation {
        1 | 3 | 7 | 14 | 16 | 21 => 1,
        0 | 5 | 8 | 9 | 15 | 22 | 31 => 2,
        2 | 4 | 6 | 11 | 13 | 17 | 24 | 29 | 32 => 3,
        10 | 12 | 19 | 20 | 23 | 25..=28 | 30 => 4,
        _ => 0,
    }
}

/// Argument `n` of a keyctl: texts are in memory, numbers are known, those that an operation has not are 0.
fn key_argument(c: &Call<'_>, n: usize, params: &mut Params) {
    let operation = c.low(0);
    let text = matches!((n, operation), (1, 1) | (2, 10 | 25..=29) | (3, 10 | 24 | 29));
    if n > key_arguments(operation) {
        dynamic_number(0, params);
    } else if !text {
        dynamic_number(c.arg(n), params);
    } else if c.null(n) {
        dynamic(DYN_TEXT_OR_SIGNAL, &[], params);
    } else {
        params.empty();
    }
}
