//! Linux's flags as events have them (`PPM_*`; driver-events section 3).
//!
//! Plain functions from what a call was given to what its event holds, the same as our probe's (`values.h`). Bits and
//! numbers that events have no value for are lost. An [`Arch`] is asked for only where processors differ.
//!
//! The open flags of `/proc` (`state::parse::open_flags`) are another matter: there a value of several bits
//! counts when all of them are set, here when any is, as consumers know it of drivers.

use super::raw::Arch;

/// Bits of Linux, and the bits that events have when any of them is set.
type Bits = [(u32, u32)];

fn mapped(table: &Bits, linux: u32) -> u32 {
    table.iter().filter(|(from, _)| linux & from != 0).fold(0, |all, (_, to)| all | to)
}

const O_CREAT: u32 = 0o100;
const O_NONBLOCK: u32 = 0o4000;
const O_CLOEXEC: u32 = 0o2_000_000;

/// Open flags that are the same everywhere. `O_DSYNC` is a bit of `O_SYNC`.
const OPEN: [(u32, u32); 8] = [
    (O_CREAT, 4),
    (0o2000, 8),
    (0o10_000, 16),
    (0o200, 32),
    (O_NONBLOCK, 64),
    (0o4_010_000, 128),
    (0o1000, 256),
    (O_CLOEXEC, 4096),
];

/// Open flags whose bits processors have chosen.
struct OpenBits {
    direct: u32,
    largefile: u32,
    directory: u32,
    /// Holds the bit of `directory`.
    tmpfile: u32,
}

const OPEN_X86_64: OpenBits =
    OpenBits { direct: 0o40_000, largefile: 0o100_000, directory: 0o200_000, tmpfile: 0o20_200_000 };
const OPEN_AARCH64: OpenBits =
    OpenBits { direct: 0o200_000, largefile: 0o400_000, directory: 0o40_000, tmpfile: 0o20_040_000 };

impl OpenBits {
    fn of(arch: Arch) -> &'static OpenBits {
        match arch {
            Arch::X86_64 => &OPEN_X86_64,
            Arch::Aarch64 => &OPEN_AARCH64,
        }
    }
}

/// Open flags (`PPM_O_*`). `O_DIRECTORY` alone gives that of `O_TMPFILE` too.
pub(super) fn open_flags(arch: Arch, linux: u32) -> u32 {
    let access = match linux & 3 {
        1 => 2,
        2 => 3,
        _ => 1,
    };
    let own = OpenBits::of(arch);
    let own = [(own.direct, 512), (own.directory, 1024), (own.largefile, 2048), (own.tmpfile, 8192)];
    access | mapped(&OPEN, linux) | mapped(&own, linux)
}

/// The mode given to an open: 0 unless its flags may create a file.
pub(super) fn open_mode(arch: Arch, flags: u32, mode: u32) -> u32 {
    if flags & (O_CREAT | OpenBits::of(arch).tmpfile) == 0 { 0 } else { permissions(mode) }
}

/// The bits of a mode that are permissions, all of which events keep.
pub(super) fn permissions(mode: u32) -> u32 {
    mode & 0o7777
}

/// A mode with the kind of file, for `mknod`: a regular file when none is given; nothing for kinds that it cannot
/// make.
pub(super) fn mknod_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0 => 0o100_000,
        kind @ (0o140_000 | 0o100_000 | 0o060_000 | 0o020_000 | 0o010_000) => kind,
        _ => 0,
    };
    permissions(mode) | kind
}

/// A device number as events of `mknod` have it. The number that was given is taken for one of the kernel's inside,
/// as drivers do.
pub(super) fn device(dev: u32) -> u32 {
    let (major, minor) = (dev >> 20, dev & 0xf_ffff);
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// `O_NONBLOCK` and `O_CLOEXEC` of sockets.
pub(super) fn socket_flags(linux: u32) -> u32 {
    mapped(&[(O_NONBLOCK, 64), (O_CLOEXEC, 4096)], linux)
}

/// The same of eventfd2, signalfd4 and inotify_init1, where a negative number counts as none.
pub(super) fn descriptor_flags(linux: u32) -> u16 {
    if negative(linux) { 0 } else { u16::try_from(socket_flags(linux)).unwrap_or_default() }
}

/// The same of timerfd_create, whose 8 bits have no room for `O_CLOEXEC`.
pub(super) fn timerfd_flags(linux: u32) -> u8 {
    descriptor_flags(linux).to_le_bytes()[0]
}

/// Flags of pipe2.
pub(super) fn pipe2_flags(arch: Arch, linux: u32) -> u32 {
    if negative(linux) { 0 } else { socket_flags(linux) | mapped(&[(OpenBits::of(arch).direct, 512)], linux) }
}

/// Flags of dup3.
pub(super) fn dup3_flags(linux: u32) -> u32 {
    mapped(&[(O_CLOEXEC, 4096)], linux)
}

/// Flags of epoll_create1.
pub(super) fn epoll_create1_flags(linux: u32) -> u32 {
    mapped(&[(O_CLOEXEC, 1)], linux)
}

/// Flags of pidfd_open.
pub(super) fn pidfd_open_flags(linux: u32) -> u32 {
    mapped(&[(O_NONBLOCK, 1)], linux)
}

/// Flags of delete_module.
pub(super) fn delete_module_flags(linux: u32) -> u32 {
    mapped(&[(O_NONBLOCK, 2), (0o1000, 1)], linux)
}

fn negative(linux: u32) -> bool {
    linux.cast_signed() < 0
}

/// Flags of clone, unshare and setns (`PPM_CL_*`).
pub(super) fn clone_flags(linux: u32) -> u32 {
    const CLONE: [(u32, u32); 22] = [
        (1 << 8, 1 << 15),  // VM
        (1 << 9, 1 << 1),   // FS
        (1 << 10, 1),       // FILES
        (1 << 11, 1 << 11), // SIGHAND
        (1 << 13, 1 << 10), // PTRACE
        (1 << 14, 1 << 27), // VFORK
        (1 << 15, 1 << 8),  // PARENT
        (1 << 16, 1 << 13), // THREAD
        (1 << 17, 1 << 5),  // NEWNS
        (1 << 18, 1 << 12), // SYSVSEM
        (1 << 19, 1 << 25), // SETTLS
        (1 << 20, 1 << 9),  // PARENT_SETTID
        (1 << 21, 1 << 23), // CHILD_CLEARTID
        (1 << 23, 1 << 14), // UNTRACED
        (1 << 24, 1 << 24), // CHILD_SETTID
        (1 << 25, 1 << 28), // NEWCGROUP
        (1 << 26, 1 << 7),  // NEWUTS
        (1 << 27, 1 << 3),  // NEWIPC
        (1 << 28, 1 << 20), // NEWUSER
        (1 << 29, 1 << 6),  // NEWPID
        (1 << 30, 1 << 4),  // NEWNET
        (1 << 31, 1 << 2),  // IO
    ];
    mapped(&CLONE, linux)
}

/// A socket's family; only its low 8 bits count, and families without a name are 0.
pub(super) fn socket_family(linux: u32) -> u32 {
    match linux & 0xff {
        family @ (0..=26 | 29..=39) => family,
        _ => 0,
    }
}

/// The level of a socket option.
pub(super) fn socket_level(linux: u32) -> u8 {
    match linux {
        1 => 1,
        6 => 2,
        _ => 0,
    }
}

/// A socket option; only those of `SOL_SOCKET` have names.
pub(super) fn socket_option(level: u32, option: u32) -> u8 {
    match (level, option) {
        (1, 1..=50) => option.to_le_bytes()[0],
        (1, 59) => 51,
        (1, 55) => 52,
        (1, 57) => 53,
        (1, 66) => 20,
        (1, 67) => 21,
        _ => 0,
    }
}

/// What a shutdown shuts; 255 when it is neither side nor both.
pub(super) fn shutdown_how(linux: u32) -> u8 {
    match linux {
        0..=2 => linux.to_le_bytes()[0],
        _ => 255,
    }
}

/// Protection of memory.
pub(super) fn memory_protection(linux: u32) -> u32 {
    (linux & 15) | mapped(&[(1 << 24, 16), (1 << 25, 32), (16, 64)], linux)
}

/// Flags of mmap.
pub(super) fn mmap_flags(linux: u32) -> u32 {
    const MMAP: [(u32, u32); 11] = [
        (0x10, 4),       // FIXED
        (0x20, 8),       // ANONYMOUS
        (0x40, 16),      // 32BIT
        (0x4000, 64),    // NORESERVE
        (0x8000, 128),   // POPULATE
        (0x10000, 256),  // NONBLOCK
        (0x100, 512),    // GROWSDOWN
        (0x800, 1024),   // DENYWRITE
        (0x1000, 2048),  // EXECUTABLE
        (0x80, 4096),    // INHERIT
        (0x2000, 16384), // LOCKED
    ];
    (linux & 3) | mapped(&MMAP, linux)
}

/// The command of a fcntl; 0 for those without a name.
pub(super) fn fcntl_command(linux: u32) -> u8 {
    let value = match linux {
        0..=5 => linux + 1,
        6..=8 => linux + 2,
        9 | 10 => linux + 3,
        11 => 15,
        12..=14 => linux + 5,
        15 | 16 => linux + 6,
        36..=38 => linux - 6,
        1024 | 1025 => linux - 1001,
        1026 => 27,
        1029 => 25,
        1030 => 26,
        1031 | 1032 => linux - 1003,
        _ => 0,
    };
    value.to_le_bytes()[0]
}

/// The operation of a futex; one without a name counts as 0, its flags are kept.
pub(super) fn futex_operation(linux: u32) -> u16 {
    let base = match linux & 127 {
        base @ 0..=12 => base,
        _ => 0,
    };
    low16(base | (linux & 0x180))
}

/// A limit's resource; 255 for those without a name.
pub(super) fn resource_limit(linux: u32) -> u8 {
    match linux {
        0..=15 => linux.to_le_bytes()[0],
        _ => 255,
    }
}

/// From where a seek counts; `SEEK_DATA` and `SEEK_HOLE` have no value of their own.
pub(super) fn seek_whence(linux: u32) -> u8 {
    match linux {
        0..=2 => linux.to_le_bytes()[0],
        _ => 0,
    }
}

/// Flags of semget; the permissions are lost.
pub(super) fn semget_flags(linux: u32) -> u32 {
    mapped(&[(0o1000, 1 << 13), (0o2000, 1 << 14)], linux)
}

/// The command of a semctl, of which 16 bits count.
pub(super) fn semctl_command(linux: u32) -> u16 {
    match linux & 0xffff {
        2 => 1,
        1 => 2,
        0 => 4,
        3 => 8,
        19 => 16,
        18 => 32,
        13 => 64,
        14 => 128,
        11 => 256,
        12 => 512,
        15 => 1024,
        17 => 2048,
        16 => 4096,
        _ => 0,
    }
}

/// The request of a ptrace; 0 for those without a name. From registers and thread areas to single blocks the numbers
/// are x86's own.
pub(super) fn ptrace_request(arch: Arch, linux: u32) -> u16 {
    let value = match (linux, arch) {
        (0..=9, _) => linux + 1,
        (16 | 17, _) => linux - 5,
        (24, _) => 13,
        (0x4200..=0x420b, _) => linux - 0x4200 + 14,
        (12..=15, Arch::X86_64) => linux + 14,
        (18 | 19, Arch::X86_64) => linux + 12,
        (21, Arch::X86_64) => 32,
        (25 | 26, Arch::X86_64) => linux + 8,
        (30..=33, Arch::X86_64) => linux + 5,
        _ => 0,
    };
    low16(value)
}

/// What a quotactl's command does; 0 for those without a name.
pub(super) fn quota_command(linux: u32) -> u16 {
    match linux >> 8 {
        0x80_0001 => 128,
        op @ 0x80_0002..=0x80_0008 => 1 << (op - 0x80_0002),
        op @ 0x5801..=0x5807 => 256 << (op - 0x5801),
        _ => 0,
    }
}

/// Whose quota the command of a quotactl is about: 1 users, 2 groups.
pub(super) fn quota_type(linux: u32) -> u8 {
    match linux & 0xff {
        0 => 1,
        1 => 2,
        _ => 0,
    }
}

/// The format of quotas; 1 where there is none.
pub(super) fn quota_format(linux: u32) -> u8 {
    match linux {
        1 => 2,
        2 => 4,
        4 => 8,
        _ => 1,
    }
}

/// Flags of mount, without the magic number that old programs put in the upper half.
pub(super) fn mount_flags(linux: u32) -> u32 {
    if linux >> 16 == 0xc0ed { linux & 0xffff } else { linux }
}

fn low16(value: u32) -> u16 {
    u16::try_from(value & 0xffff).unwrap_or_default()
}

macro_rules! kept {
    ($($(#[$doc:meta])* $name:ident $bits:literal;)*) => { $(
        $(#[$doc])*
        pub(super) fn $name(linux: u32) -> u32 {
            linux & $bits
        }
    )* };
}

// Flags that have Linux's values, as far as they have names.
kept! {
    /// Mode of an access.
    access_mode 7;
    /// Flags of close_range.
    close_range_flags 6;
    /// Flags of finit_module.
    finit_module_flags 7;
    /// Operation of a flock.
    flock_operation 15;
    /// Flags of io_uring_enter.
    io_uring_enter_flags 15;
    /// Flags of linkat, and of fchownat, whose own `AT_SYMLINK_NOFOLLOW` is lost.
    linkat_flags 0x1400;
    /// Flags of memfd_create.
    memfd_create_flags 7;
    /// Flags of mlock2.
    mlock2_flags 1;
    /// Flags of mlockall.
    mlockall_flags 7;
    /// Flags of newfstatat.
    newfstatat_flags 0x1900;
    /// Flags of splice.
    splice_flags 15;
    /// Flags of umount2.
    umount_flags 15;
    /// Flags of unlinkat.
    unlinkat_flags 0x200;
}

#[cfg(test)]
pub(super) mod tests;
