use super::super::flags::tests::{MAPS, drivers};
use super::*;
use scapkit_format::schema::{SYSCALLS_AARCH64, SYSCALLS_X86_64};
use scapkit_format::value::{Value, decode_param};
use scapkit_format::{Event, schema::EventInfo};
use scapkit_proto::{Header, Message};
use std::collections::BTreeSet;

const BOTH: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];
/// As the C library leaves it in a register.
const AT_FDCWD: u64 = 0xffff_ff9c;
const ENOENT: i64 = -2;

fn native(arch: Arch) -> &'static [NativeSyscall] {
    match arch {
        Arch::X86_64 => &SYSCALLS_X86_64,
        Arch::Aarch64 => &SYSCALLS_AARCH64,
    }
}

/// The event of a call; arguments that are left out are 0.
fn made(arch: Arch, number: u64, args: &[u64], res: i64) -> (u16, Vec<u8>) {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    // What is left of another event must not show.
    let mut params = Params::default();
    params.u64(1).text(b"left over");
    let event_type = call(arch, number, &all, res, &mut params).unwrap();
    let mut event = Vec::new();
    params.event(1, 2, event_type, &mut event);
    (event_type, event)
}

/// Reads an event as consumers do; every parameter must fit the schema.
fn check(event: &[u8]) -> (&'static EventInfo, usize) {
    let event = Event::parse_v2(event, 0, 0).unwrap();
    let info = schema::event_info(event.event_type).unwrap();
    assert!(!info.is_enter(), "{info}");
    assert_eq!(event.params().count(), info.params.len(), "{info}");
    let mut known = 0;
    for (bytes, param) in event.params().zip(info.params) {
        let value = decode_param(param, bytes);
        assert!(!matches!(value, Value::Malformed { .. }), "{info} {}: {value:?}", param.name);
        if let Some(width) = param.kind.fixed_size() {
            assert!(bytes.is_empty() || bytes.len() == width, "{info} {}: {bytes:?}", param.name);
        }
        if let Value::Dyn(sub, bytes) = value {
            assert!(sub.kind.fixed_size().is_none_or(|width| width == bytes.len()), "{info} {}", param.name);
        }
        known += usize::from(!bytes.is_empty());
    }
    (info, known)
}

#[track_caller]
fn gives(arch: Arch, number: u64, args: &[u64], res: i64, wanted: u16, fill: impl Fn(&mut Params)) {
    let (event_type, event) = made(arch, number, args, res);
    check(&event);
    let mut params = Params::default();
    fill(&mut params);
    let mut expected = Vec::new();
    params.event(1, 2, wanted, &mut expected);
    let name = |event_type| schema::event_info(event_type).map(|i| i.constant);
    assert_eq!((name(event_type), event), (name(wanted), expected));
}

/// The same call of both processors, by number.
#[track_caller]
fn twins(numbers: (u64, u64), args: &[u64], res: i64, wanted: u16, fill: impl Fn(&mut Params)) {
    gives(Arch::X86_64, numbers.0, args, res, wanted, &fill);
    gives(Arch::Aarch64, numbers.1, args, res, wanted, &fill);
}

#[test]
fn every_event_of_a_call_has_a_row() {
    let mut reached = BTreeSet::new();
    for arch in BOTH {
        for call in native(arch) {
            let own = rows::of(call.exit);
            assert_eq!(own.is_some(), call.exit > id::GENERIC_X, "{arch:?} {}", call.number);
            let Some(row) = own else { continue };
            let info = schema::event_info(call.exit).unwrap();
            assert_eq!(row.len(), info.params.len(), "{info}");
            for (source, param) in row.iter().zip(info.params) {
                let number = !matches!(source, Source::Empty | Source::Other(_));
                assert!(!number || param.kind.fixed_size().is_some(), "{info} {}", param.name);
            }
            reached.insert(call.exit);
        }
    }
    let rows: Vec<u16> = rows::ROWS.iter().map(|(id, _)| *id).collect();
    // In order, none twice, none that no call has.
    assert_eq!(rows, reached.into_iter().collect::<Vec<_>>());
}

/// Values of arguments that are special to some call or other, and of results.
const ARGS: [u64; 12] = [0, 1, 2, 7, 16, 24, 37, AT_FDCWD, 0x80_0007 << 8, 0x4200, 1 << 63, u64::MAX];
const RESULTS: [i64; 7] = [0, 1, 3, -2, -115, i64::MIN, i64::MAX];

#[test]
fn every_call_gives_an_event_that_can_be_read() {
    for arch in BOTH {
        for number in 0..600 {
            for first in ARGS {
                for rest in ARGS {
                    for res in RESULTS {
                        let (event_type, event) = made(arch, number, &[first, rest, rest, rest, rest, rest], res);
                        check(&event);
                        let native = arch.native(number);
                        let wanted = native.map(|n| n.exit).filter(|exit| *exit != 0).unwrap_or(id::GENERIC_X);
                        assert_eq!(event_type, wanted, "{arch:?} {number}");
                    }
                }
            }
        }
    }
}

#[test]
fn whatever_comes_is_an_event_or_none() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut params = Params::default();
    for round in 0..50_000 {
        let number = next() >> (next() % 64);
        let args = std::array::from_fn(|_| next() >> (next() % 64));
        let res = next().cast_signed() >> (next() % 64);
        let arch = BOTH[round % 2];
        match call(arch, number, &args, res, &mut params) {
            Some(event_type) => {
                let mut event = Vec::new();
                params.event(1, 2, event_type, &mut event);
                check(&event);
            }
            None => assert!(number > u64::from(u16::MAX) && params.len() == 0),
        }
    }
}

#[test]
fn calls_without_an_event_are_generic() {
    let code = |name| (0..600).find(|code| schema::syscall_name(*code) == Some(name)).unwrap();
    gives(Arch::X86_64, 231, &[1], 0, id::GENERIC_X, |p| {
        p.u16(code("exit_group")).u16(231);
    });
    gives(Arch::Aarch64, 94, &[1], 0, id::GENERIC_X, |p| {
        p.u16(code("exit_group")).u16(94);
    });
    gives(Arch::X86_64, 60, &[1], 0, id::GENERIC_X, |p| {
        p.u16(code("exit")).u16(60);
    });
    // Numbers that no table has.
    twins((9999, 9999), &[1], -38, id::GENERIC_X, |p| {
        p.u16(0).u16(9999);
    });
    for arch in BOTH {
        assert_eq!(call(arch, 65_536, &[0; 6], 0, &mut Params::default()), None);
        assert_eq!(call(arch, u64::MAX, &[0; 6], 0, &mut Params::default()), None);
    }
}

#[test]
fn files_and_directories() {
    gives(Arch::X86_64, 87, &[0x1000], ENOENT, id::SYSCALL_UNLINK_2_X, |p| {
        p.i64(-2).empty();
    });
    // AT_REMOVEDIR and a bit without a name.
    twins((263, 35), &[AT_FDCWD, 0x1000, 0x201], 0, id::SYSCALL_UNLINKAT_2_X, |p| {
        p.i64(0).i64(-100).empty().u32(0x200);
    });
    // The register sign-extended is the same.
    twins((263, 35), &[(-100_i64).cast_unsigned(), 1, 0], 0, id::SYSCALL_UNLINKAT_2_X, |p| {
        p.i64(0).i64(-100).empty().u32(0);
    });
    twins((316, 276), &[AT_FDCWD, 0x1000, 5, 0x2000, 3], -22, id::SYSCALL_RENAMEAT2_X, |p| {
        p.i64(-22).i64(-100).empty().i64(5).empty().u32(3);
    });
    gives(Arch::X86_64, 82, &[0x1000, 0x2000], 0, id::SYSCALL_RENAME_X, |p| {
        p.i64(0).empty().empty();
    });
    twins((258, 34), &[3, 0x1000, 0o40_755], 0, id::SYSCALL_MKDIRAT_X, |p| {
        p.i64(0).i64(3).empty().u32(0o40_755);
    });
    gives(Arch::X86_64, 90, &[0x1000, 0o104_755], 0, id::SYSCALL_CHMOD_X, |p| {
        p.i64(0).empty().u32(0o4755);
    });
    twins((268, 53), &[AT_FDCWD, 0x1000, 0o777], -1, id::SYSCALL_FCHMODAT_X, |p| {
        p.i64(-1).i64(-100).empty().u32(0o777);
    });
    twins((260, 54), &[AT_FDCWD, 0x1000, 0, u64::MAX, 0x1100], 0, id::SYSCALL_FCHOWNAT_X, |p| {
        p.i64(0).i64(-100).empty().u32(0).u32(u32::MAX).u32(0x1000);
    });
    twins((8, 62), &[4, (-3_i64).cast_unsigned(), 2], 7, id::SYSCALL_LSEEK_X, |p| {
        p.i64(7).i64(4).u64((-3_i64).cast_unsigned()).u8(2);
    });
    twins((16, 29), &[u64::from(u32::MAX), 0x5401, 1 << 40], -9, id::SYSCALL_IOCTL_3_X, |p| {
        p.i64(-9).i64(-1).u64(0x5401).u64(1 << 40);
    });
    twins((165, 40), &[1, 2, 3, 0xc0ed_0401], 0, id::SYSCALL_MOUNT_X, |p| {
        p.i64(0).empty().empty().empty().u32(0x401);
    });
    twins((166, 39), &[1, 0x1a], 0, id::SYSCALL_UMOUNT2_X, |p| {
        p.i64(0).empty().u32(10);
    });
    gives(Arch::X86_64, 133, &[1, 0o020_666, 0x103], 0, id::SYSCALL_MKNOD_X, |p| {
        p.i64(0).empty().u32(0o020_666).u32(0x10_0003);
    });
}

#[test]
fn opens() {
    // O_RDWR|O_CREAT|O_CLOEXEC: what was opened is known of a failure only.
    twins((257, 56), &[AT_FDCWD, 1, 0x8_0042, 0o600], 5, id::SYSCALL_OPENAT_2_X, |p| {
        p.i64(5).i64(-100).empty().u32(3 | 4 | 4096).u32(0o600).empty().empty();
    });
    twins((257, 56), &[AT_FDCWD, 1, 2, 0o600], -13, id::SYSCALL_OPENAT_2_X, |p| {
        p.i64(-13).i64(-100).empty().u32(3).u32(0).u32(0).u64(0);
    });
    // O_DIRECTORY is another bit on each.
    gives(Arch::X86_64, 257, &[3, 1, 0o200_000], 5, id::SYSCALL_OPENAT_2_X, |p| {
        p.i64(5).i64(3).empty().u32(1 | 1024 | 8192).u32(0).empty().empty();
    });
    gives(Arch::Aarch64, 56, &[3, 1, 0o200_000], 5, id::SYSCALL_OPENAT_2_X, |p| {
        p.i64(5).i64(3).empty().u32(1 | 512).u32(0).empty().empty();
    });
    gives(Arch::X86_64, 85, &[1, 0o644], -2, id::SYSCALL_CREAT_X, |p| {
        p.i64(-2).empty().u32(0o644).u32(0).u64(0).u16(0);
    });
    // What openat2 is asked for is in memory.
    twins((437, 437), &[AT_FDCWD, 1, 0x1000, 24], -38, id::SYSCALL_OPENAT2_X, |p| {
        p.i64(-38).i64(-100).empty().empty().empty().empty().u32(0).u64(0);
    });
    twins((437, 437), &[AT_FDCWD, 1, 0, 24], -14, id::SYSCALL_OPENAT2_X, |p| {
        p.i64(-14).i64(-100).empty().u32(1).u32(0).u32(0).u32(0).u64(0);
    });
    twins((319, 279), &[1, 0xf], 6, id::SYSCALL_MEMFD_CREATE_X, |p| {
        p.i64(6).empty().u32(7);
    });
}

#[test]
fn descriptors() {
    // Both ends are in memory.
    twins((293, 59), &[0x1000, 0o2_000_000], 0, id::SYSCALL_PIPE2_X, |p| {
        p.i64(0).empty().empty().empty().u32(4096);
    });
    twins((293, 59), &[0, 0o2_000_000], -14, id::SYSCALL_PIPE2_X, |p| {
        p.i64(-14).i64(-1).i64(-1).u64(0).u32(4096);
    });
    twins((291, 20), &[0o2_000_000], 3, id::SYSCALL_EPOLL_CREATE1_X, |p| {
        p.i64(3).u32(1);
    });
    twins((290, 19), &[1 << 32 | 7, 0o2_004_000], 3, id::SYSCALL_EVENTFD2_X, |p| {
        p.i64(3).u16(64 | 4096).u64(7);
    });
    twins((290, 19), &[7, u64::MAX], -22, id::SYSCALL_EVENTFD2_X, |p| {
        p.i64(-22).u16(0).u64(7);
    });
    twins((292, 24), &[3, 9, 0o2_000_000], 9, id::SYSCALL_DUP3_X, |p| {
        p.i64(9).i64(3).i64(9).u32(4096);
    });
    twins((72, 25), &[3, 1030, 10], 10, id::SYSCALL_FCNTL_X, |p| {
        p.i64(10).i64(3).u8(26).u64(10);
    });
    twins((19, 65), &[3, 0x1000, 2], 20, id::SYSCALL_READV_X, |p| {
        p.i64(20).u32(20).empty().i64(3);
    });
    twins((20, 66), &[3, 0x1000, 2], 20, id::SYSCALL_WRITEV_X, |p| {
        p.i64(20).empty().i64(3).empty();
    });
    twins((20, 66), &[3, 0x1000, 0], 0, id::SYSCALL_WRITEV_X, |p| {
        p.i64(0).empty().i64(3).u32(0);
    });
    gives(Arch::X86_64, 7, &[0, 0, u64::MAX], 0, id::SYSCALL_POLL_X, |p| {
        p.i64(0).u16(0).i64(4_294_967_295);
    });
    twins((271, 73), &[0x1000, 1, 0, 0], -4, id::SYSCALL_PPOLL_X, |p| {
        p.i64(-4).empty().u64(0).u32(0);
    });
    twins((425, 425), &[8, 0x1000], 3, id::SYSCALL_IO_URING_SETUP_X, |p| {
        p.i64(3).u32(8).empty().empty().empty().empty().empty().empty();
    });
    twins((425, 425), &[8], -14, id::SYSCALL_IO_URING_SETUP_X, |p| {
        p.i64(-14).u32(8).u32(0).u32(0).u32(0).u32(0).u32(0).u32(0);
    });
    twins((434, 434), &[12, 0o4000], 4, id::SYSCALL_PIDFD_OPEN_X, |p| {
        p.i64(4).i64(12).u32(1);
    });
}

#[test]
fn sockets() {
    twins((44, 206), &[3, 0x1000, 5, 0, 0x2000, 16], 5, id::SOCKET_SENDTO_X, |p| {
        p.i64(5).empty().i64(3).u32(5).empty();
    });
    twins((46, 211), &[3, 0x1000, 0], -32, id::SOCKET_SENDMSG_X, |p| {
        p.i64(-32).empty().i64(3).empty().empty();
    });
    twins((47, 212), &[3, 0x1000, 0], 12, id::SOCKET_RECVMSG_X, |p| {
        p.i64(12).u32(12).empty().empty().empty().i64(3);
    });
    twins((47, 212), &[3, 0x1000, 0], -11, id::SOCKET_RECVMSG_X, |p| {
        p.i64(-11).u32(0).empty().empty().empty().i64(3);
    });
    twins((307, 269), &[3, 0x1000, 2], 2, id::SOCKET_SENDMMSG_X, |p| {
        p.i64(2).i64(3).empty().empty().empty();
    });
    twins((48, 210), &[3, 2], 0, id::SOCKET_SHUTDOWN_X, |p| {
        p.i64(0).i64(3).u8(2);
    });
    twins((50, 201), &[3, 128], 0, id::SOCKET_LISTEN_X, |p| {
        p.i64(0).i64(3).u32(128);
    });
    twins((41, 198), &[10, 0x8_0801, 6], 3, id::SOCKET_SOCKET_X, |p| {
        p.i64(3).u32(10).u32(0x8_0801).u32(6).u32(64 | 4096);
    });
    twins((53, 199), &[1, 1, 0, 0x1000], 0, id::SOCKET_SOCKETPAIR_X, |p| {
        p.i64(0).empty().empty().empty().empty().u32(1).u32(1).u32(0);
    });
    twins((53, 199), &[2, 1, 0, 0x1000], -95, id::SOCKET_SOCKETPAIR_X, |p| {
        p.i64(-95).i64(-1).i64(-1).u64(0).u64(0).u32(2).u32(1).u32(0);
    });
    twins((288, 242), &[3, 0, 0, 0o2_000_000], 4, id::SOCKET_ACCEPT4_6_X, |p| {
        p.i64(4).empty().empty().empty().empty().u32(4096);
    });
    twins((54, 208), &[3, 1, 2, 0x1000, 4], 0, id::SOCKET_SETSOCKOPT_X, |p| {
        p.i64(0).i64(3).u8(1).u8(2).empty().u32(4);
    });
    twins((54, 208), &[3, 1, 2, 0, 4], -14, id::SOCKET_SETSOCKOPT_X, |p| {
        p.i64(-14).i64(3).u8(1).u8(2).bytes(&[2, 0, 0, 0, 0]).u32(4);
    });
    twins((51, 204), &[3, 1, 2], 0, id::SOCKET_GETSOCKNAME_X, |_| ());
}

#[test]
fn processes_and_memory() {
    twins((62, 129), &[u64::MAX, 9], 0, id::SYSCALL_KILL_X, |p| {
        p.i64(0).i64(-1).u8(9);
    });
    twins((234, 131), &[7, 8, 15], -3, id::SYSCALL_TGKILL_X, |p| {
        p.i64(-3).i64(7).i64(8).u8(15);
    });
    // A private anonymous page, readable and writable.
    twins((9, 222), &[0, 4096, 3, 0x22, u64::MAX, 0], 0x7f00_0000_0000, id::SYSCALL_MMAP_X, |p| {
        p.i64(0x7f00_0000_0000).empty().empty().empty();
        p.u64(0).u64(4096).u32(3).u32(2 | 8).i64(-1).u64(0);
    });
    twins((11, 215), &[0x1000, 4096], 0, id::SYSCALL_MUNMAP_X, |p| {
        p.i64(0).empty().empty().empty().u64(0x1000).u64(4096);
    });
    twins((10, 226), &[0x1000, 4096, 5], 0, id::SYSCALL_MPROTECT_X, |p| {
        p.i64(0).u64(0x1000).u64(4096).u32(5);
    });
    twins((308, 268), &[3, 0x4000_0000], 0, id::SYSCALL_SETNS_X, |p| {
        p.i64(0).i64(3).u32(16);
    });
    twins((272, 97), &[0x1002_0000], -1, id::SYSCALL_UNSHARE_X, |p| {
        p.i64(-1).u32(1_048_576 | 32);
    });
    twins((113, 145), &[u64::MAX, 1000], 0, id::SYSCALL_SETREUID_X, |p| {
        p.i64(0).u32(u32::MAX).u32(1000);
    });
    twins((102, 174), &[], 1000, id::SYSCALL_GETUID_X, |p| {
        p.u32(1000);
    });
    // Without pointers: nothing set, and of a failure nothing got.
    twins((302, 261), &[0, 7], -22, id::SYSCALL_PRLIMIT_X, |p| {
        p.i64(-22).i64(0).i64(0).i64(-1).i64(-1).i64(0).u8(7);
    });
    twins((302, 261), &[5, 99, 0, 0x1000], 0, id::SYSCALL_PRLIMIT_X, |p| {
        p.i64(0).i64(0).i64(0).empty().empty().i64(5).u8(255);
    });
    twins((321, 280), &[u64::MAX, 1, 2], -22, id::SYSCALL_BPF_2_X, |p| {
        p.i64(-22).u32(u32::MAX);
    });
    twins((157, 167), &[15, 0x1000], 0, id::SYSCALL_PRCTL_X, |p| {
        p.i64(0).u32(15).empty().i64(0);
    });
    twins((157, 167), &[1, 9], 0, id::SYSCALL_PRCTL_X, |p| {
        p.i64(0).u32(1).empty().i64(9);
    });
    twins((65, 193), &[1, 0x1000, 1], 0, id::SYSCALL_SEMOP_X, |p| {
        p.i64(0).u32(1).empty().empty().empty().u16(0).u16(0).u16(0).u32(1);
    });
    // Q_SYNC for groups.
    twins((179, 60), &[0x8000_0101], 0, id::SYSCALL_QUOTACTL_X, |p| {
        p.i64(0).empty().empty();
        p.u64(0).u64(0).u64(0).u64(0).u64(0).u64(0).u64(0).u64(0).u64(0);
        p.u8(0).u8(1).u16(128).u8(2).u32(0).u8(1);
    });
    // KEYCTL_SETPERM, two numbers; a restriction, whose texts are in memory.
    twins((250, 219), &[5, 0x10, 0x3f, 1, 2], 0, id::SYSCALL_KEYCTL_X, |p| {
        p.i64(0).u32(5).bytes(&[0, 0x10, 0, 0, 0, 0, 0, 0, 0]).bytes(&[0, 0x3f, 0, 0, 0, 0, 0, 0, 0]);
        p.bytes(&[0; 9]).bytes(&[0; 9]);
    });
    twins((250, 219), &[29, 0x10, 0x1000, 0], 0, id::SYSCALL_KEYCTL_X, |p| {
        p.i64(0).u32(29).bytes(&[0, 0x10, 0, 0, 0, 0, 0, 0, 0]).empty().bytes(&[1]).bytes(&[0; 9]);
    });
}

#[test]
fn ptrace() {
    let number = |n: u8| [0, n, 0, 0, 0, 0, 0, 0, 0];
    // PTRACE_ATTACH.
    twins((101, 117), &[16, 12, 0, 0], 0, id::SYSCALL_PTRACE_X, |p| {
        p.i64(0).bytes(&number(0)).bytes(&number(0)).u16(11).i64(12);
    });
    // A failure.
    twins((101, 117), &[16, 12, 5, 6], -1, id::SYSCALL_PTRACE_X, |p| {
        p.i64(-1).bytes(&number(0)).bytes(&number(0)).u16(11).i64(12);
    });
    // PTRACE_CONT with a signal.
    twins((101, 117), &[7, 12, 1, 11], 0, id::SYSCALL_PTRACE_X, |p| {
        p.i64(0).bytes(&number(1)).bytes(&[1, 11]).u16(8).i64(12);
    });
    // PTRACE_PEEKDATA: what was read is in memory.
    twins((101, 117), &[2, 12, 9, 0x1000], 0, id::SYSCALL_PTRACE_X, |p| {
        p.i64(0).bytes(&number(9)).empty().u16(3).i64(12);
    });
    // PTRACE_GETREGS is x86's.
    gives(Arch::Aarch64, 117, &[12, 12, 0, 7], 0, id::SYSCALL_PTRACE_X, |p| {
        p.i64(0).bytes(&number(0)).bytes(&number(7)).u16(0).i64(12);
    });
}

#[test]
fn making_processes() {
    let clone = |p: &mut Params, res: i64, flags: Option<u32>| {
        p.i64(res);
        for _ in 1..15 {
            p.empty();
        }
        match flags {
            Some(flags) => p.u32(flags),
            None => p.empty(),
        };
        p.empty().empty().empty().empty().u64(0);
    };
    twins((56, 220), &[0x4111], 28, id::SYSCALL_CLONE_20_X, |p| clone(p, 28, Some(134_217_728 | 32768)));
    gives(Arch::X86_64, 57, &[], 28, id::SYSCALL_FORK_20_X, |p| clone(p, 28, Some(0)));
    gives(Arch::X86_64, 58, &[], -11, id::SYSCALL_VFORK_20_X, |p| clone(p, -11, Some(0)));
    twins((435, 435), &[0x1000, 88], 28, id::SYSCALL_CLONE3_X, |p| clone(p, 28, None));
    twins((435, 435), &[0, 88], -14, id::SYSCALL_CLONE3_X, |p| clone(p, -14, Some(0)));
    let exec = |p: &mut Params, res: i64, exe: &[u8], count: usize| {
        p.i64(res).bytes(exe);
        for _ in 2..count {
            p.empty();
        }
    };
    twins((59, 221), &[0x1000, 0x2000, 0x3000], 0, id::SYSCALL_EXECVE_19_X, |p| exec(p, 0, b"", 31));
    twins((59, 221), &[0x1000, 0, 0], -2, id::SYSCALL_EXECVE_19_X, |p| exec(p, -2, b"\0", 31));
    twins((322, 281), &[3, 0x1000, 0, 0], -2, id::SYSCALL_EXECVEAT_X, |p| exec(p, -2, b"\0", 30));
}

/// The value of a parameter by the code that the description of drivers has for it: no bytes for what is in memory,
/// `None` for codes that are not about one register.
fn by_code(code: &str, arch: Arch, args: &[u64; 6], res: i64) -> Option<Vec<u8>> {
    let number = |text: &str| text.parse::<usize>().ok().filter(|n| *n < 6);
    let int = |n: usize| i64::from(low(args[n]).cast_signed());
    let bytes = |value: i64| Some(value.to_le_bytes().to_vec());
    match code {
        "R" | "Ru" => return bytes(res),
        "Rw" => return bytes(low(res.cast_unsigned()).cast_signed().into()),
        "=0" => return bytes(0),
        "-" => return Some(Vec::new()),
        _ => {}
    }
    if let Some(n) = code.strip_prefix("OPENFLAGS(").and_then(|c| number(c.strip_suffix(')')?)) {
        return bytes(super::super::flags::open_flags(arch, low(args[n])).into());
    }
    if let Some((map, arg)) = code.strip_prefix("M:").and_then(|c| c.strip_suffix(')')?.split_once('(')) {
        let n = number(arg.trim_start_matches('n'))?;
        // Of one map only the part after the operation is in the table of maps.
        let (_, map) = MAPS.iter().find(|(name, _)| *name == map && map != "quota_cmd")?;
        return bytes(map(arch, low(args[n])).into());
    }
    let code = code.strip_prefix('n').unwrap_or(code);
    let with = |prefix: &str| code.strip_prefix(prefix).and_then(|n| number(n.split('/').next()?));
    if let Some(n) = with("fd").or(with("at")).or(with("i")) {
        return bytes(int(n));
    }
    if let Some(n) = with("x") {
        return bytes(args[n].cast_signed());
    }
    with("p").or(with("s")).map(|_| Vec::new())
}

/// Each parameter that is one register, or in memory, against the description of drivers.
#[test]
fn rows_are_those_of_drivers() {
    let Some(all) = drivers() else { return };
    let mut seed = 1_u64;
    let mut checked = BTreeSet::new();
    for round in 0..40_u32 {
        let args = std::array::from_fn(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Small numbers, bits and large ones.
            let word = seed >> 20;
            if round % 2 == 0 { word % 41 } else { word.rotate_left(round * 3) }
        });
        let res = [0, 5, -2, -22][round as usize % 4];
        for arch in BOTH {
            for native in native(arch).iter().filter(|n| n.exit > id::GENERIC_X) {
                let event = all["events"].as_array().unwrap().iter().find(|e| e["id"] == native.exit).unwrap();
                let (_, bytes) = made(arch, native.number.into(), &args, res);
                let (info, _) = check(&bytes);
                let found = Event::parse_v2(&bytes, 0, 0).unwrap();
                for (n, (param, found)) in info.params.iter().zip(found.params()).enumerate() {
                    let code = event["params"][n]["code"].as_str().unwrap();
                    // A process of another memory has a sign here, see `OTHER_MEMORY`.
                    if info.name.starts_with("process_vm") && param.name == "pid" {
                        continue;
                    }
                    let Some(wanted) = by_code(code, arch, &args, res) else { continue };
                    let wanted = &wanted[..param.kind.fixed_size().unwrap_or(8).min(wanted.len())];
                    assert_eq!(found, wanted, "{arch:?} {info} {}: {code} of {args:x?}", param.name);
                    checked.insert((info.id, n));
                }
            }
        }
    }
    assert!(checked.len() > 400, "{}", checked.len());
}

/// gVisor's own names (gvisor spec section 2), by kind.
const NAMES: [(u16, &[&str]); 31] = [
    (7, &["open", "openat", "creat"]),
    (8, &["close"]),
    (9, &["read", "pread64", "readv", "preadv", "preadv2"]),
    (10, &["connect"]),
    (11, &["execve", "execveat"]),
    (12, &["socket"]),
    (13, &["chdir", "fchdir"]),
    (14, &["setuid", "setgid", "setsid"]),
    (15, &["setresuid", "setresgid"]),
    (16, &["prlimit64"]),
    (17, &["pipe", "pipe2"]),
    (18, &["fcntl"]),
    (19, &["dup", "dup2", "dup3"]),
    (20, &["signalfd", "signalfd4"]),
    (21, &["chroot"]),
    (22, &["eventfd", "eventfd2"]),
    (23, &["clone"]),
    (24, &["bind"]),
    (25, &["accept", "accept4"]),
    (26, &["timerfd_create"]),
    (27, &["timerfd_settime"]),
    (28, &["timerfd_gettime"]),
    (29, &["fork", "vfork"]),
    (30, &["inotify_init", "inotify_init1"]),
    (31, &["inotify_add_watch"]),
    (32, &["inotify_rm_watch"]),
    (33, &["socketpair"]),
    (34, &["write", "pwrite64", "writev", "pwritev", "pwritev2"]),
    (36, &["mmap"]),
    (37, &["listen"]),
    (38, &["ptrace"]),
];

#[test]
fn points_are_those_of_the_names() {
    for arch in BOTH {
        let mut missing = Vec::new();
        let mut found = 0;
        for (kind, names) in NAMES {
            for name in names {
                let named = |call: &&NativeSyscall| schema::syscall_name(call.code) == Some(name);
                match native(arch).iter().find(named) {
                    Some(call) => {
                        assert_eq!(schematized(arch, call.number.into()), Some(kind), "{arch:?} {name}");
                        found += 1;
                    }
                    None => missing.push(*name),
                }
            }
        }
        // And no others.
        assert_eq!((0..70_000).filter(|n| schematized(arch, *n).is_some()).count(), found, "{arch:?}");
        let legacy: &[&str] =
            &["open", "creat", "pipe", "dup2", "signalfd", "eventfd", "fork", "vfork", "inotify_init"];
        let wanted = if arch == Arch::X86_64 { &[] } else { legacy };
        assert_eq!(missing, wanted, "{arch:?}");
    }
}

#[test]
fn a_message_names_its_processor() {
    let mut pairs = 0;
    for kind in 0..=40 {
        for number in 0..600 {
            let wanted: Vec<Arch> = BOTH.into_iter().filter(|arch| schematized(*arch, number) == Some(kind)).collect();
            // None of the pairs is one of both.
            assert!(wanted.len() <= 1, "{kind} {number}");
            assert_eq!(arch_of(kind, number), wanted.first().copied(), "{kind} {number}");
            pairs += wanted.len();
        }
    }
    assert_eq!(pairs, 54 + 45);
    assert_eq!(arch_of(7, 257), Some(Arch::X86_64));
    assert_eq!(arch_of(7, 56), Some(Arch::Aarch64));
    assert_eq!((arch_of(8, 3), arch_of(8, 57)), (Some(Arch::X86_64), Some(Arch::Aarch64)));
    // A raw message says nothing, and what is no number of the kind neither.
    assert_eq!((arch_of(6, 257), arch_of(7, 3), arch_of(7, 1 << 40)), (None, None, None));
}

/// The packets of a file of packets: those that the sandbox sent after the handshake.
fn packets(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while let Some((word, rest)) = file.split_first_chunk() {
        let word = u32::from_le_bytes(*word);
        let (packet, rest) = rest.split_at((word & 0x0fff_ffff) as usize);
        if word >> 28 == 0 {
            packets.push(packet.to_vec());
        }
        file = rest;
    }
    packets
}

/// The messages of all recorded streams; `None`, loudly, when they are absent.
fn recorded() -> Option<Vec<Message>> {
    let root = std::env::var_os("SCAPKIT_SHARED").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        std::path::PathBuf::from,
    );
    let Ok(files) = std::fs::read_dir(root.join("gvisor")) else {
        let skipped = format_args!("SKIPPED: the streams of gVisor are absent (set SCAPKIT_SHARED)\n");
        std::io::Write::write_fmt(&mut std::io::stderr(), skipped).unwrap();
        return None;
    };
    let mut messages = Vec::new();
    for file in files.map(|f| f.unwrap().path()).filter(|f| f.extension().is_some_and(|e| e == "gvstream")) {
        for packet in packets(&std::fs::read(&file).unwrap()) {
            let header = Header::parse(&packet).unwrap();
            let payload = bytes::Bytes::copy_from_slice(&packet[usize::from(header.size)..]);
            messages.push(Message::decode(header.kind, payload).unwrap().unwrap());
        }
    }
    Some(messages)
}

#[test]
fn recorded_calls_give_events() {
    let Some(messages) = recorded() else { return };
    let (mut raw, mut generic, mut types) = (0, 0, BTreeSet::new());
    for message in &messages {
        let Message::Syscall(m) = message else { continue };
        let Some(exit) = m.exit else { continue };
        let res = if exit.errorno == 0 { exit.result } else { -exit.errorno };
        let args = [m.arg1, m.arg2, m.arg3, m.arg4, m.arg5, m.arg6];
        let (event_type, event) = made(Arch::X86_64, m.sysno, &args, res);
        let (info, known) = check(&event);
        assert!(known > 0 || info.params.is_empty(), "{info}");
        if info.params.first().is_some_and(|p| p.name == "res" || (p.name == "fd" && info.flags.creates_fd())) {
            let event = Event::parse_v2(&event, 0, 0).unwrap();
            assert_eq!(event.param(0), Some(&res.to_le_bytes()[..]), "{info}");
        }
        raw += 1;
        generic += u32::from(event_type == id::GENERIC_X);
        types.insert(event_type);
    }
    // As many as the recordings are said to have.
    assert_eq!(raw, 1607);
    assert!(generic < raw / 2 && types.len() > 90, "{generic} {}", types.len());
}

/// The call's number of a message of one call.
macro_rules! sysno_of {
    ($message:expr, $($kind:ident)*) => {
        match $message {
            $(Message::$kind(m) => Some(m.sysno),)*
            _ => None,
        }
    };
}

#[test]
fn recorded_messages_name_their_processor() {
    let Some(messages) = recorded() else { return };
    let mut seen = BTreeSet::new();
    for message in &messages {
        let sysno = sysno_of!(
            message, Open Close Read Connect Execve Socket Chdir Setid Setresid Prlimit Pipe Fcntl Dup Signalfd
            Chroot Eventfd Clone Bind Accept TimerfdCreate TimerfdSetTime TimerfdGetTime Fork InotifyInit
            InotifyAddWatch InotifyRmWatch SocketPair Write
        );
        if let Some(sysno) = sysno {
            assert_eq!(arch_of(message.kind(), sysno), Some(Arch::X86_64), "{message:?}");
            seen.insert(message.kind());
        }
    }
    assert_eq!(seen, (7..=34).collect());
}
