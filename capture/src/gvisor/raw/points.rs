//! Which system calls have a message of their own (gvisor spec sections 2, 4).

use super::Arch;

/// Kind of message, and the call's numbers on both processors. gVisor of 2022-12, and what came later.
const POINTS: [(u16, Option<u16>, Option<u16>); 54] = [
    (7, Some(2), None),         // open
    (7, Some(257), Some(56)),   // openat
    (7, Some(85), None),        // creat
    (8, Some(3), Some(57)),     // close
    (9, Some(0), Some(63)),     // read
    (9, Some(17), Some(67)),    // pread64
    (9, Some(19), Some(65)),    // readv
    (9, Some(295), Some(69)),   // preadv
    (9, Some(327), Some(286)),  // preadv2
    (10, Some(42), Some(203)),  // connect
    (11, Some(59), Some(221)),  // execve
    (11, Some(322), Some(281)), // execveat
    (12, Some(41), Some(198)),  // socket
    (13, Some(80), Some(49)),   // chdir
    (13, Some(81), Some(50)),   // fchdir
    (14, Some(105), Some(146)), // setuid
    (14, Some(106), Some(144)), // setgid
    (14, Some(112), Some(157)), // setsid
    (15, Some(117), Some(147)), // setresuid
    (15, Some(119), Some(149)), // setresgid
    (16, Some(302), Some(261)), // prlimit64
    (17, Some(22), None),       // pipe
    (17, Some(293), Some(59)),  // pipe2
    (18, Some(72), Some(25)),   // fcntl
    (19, Some(32), Some(23)),   // dup
    (19, Some(33), None),       // dup2
    (19, Some(292), Some(24)),  // dup3
    (20, Some(282), None),      // signalfd
    (20, Some(289), Some(74)),  // signalfd4
    (21, Some(161), Some(51)),  // chroot
    (22, Some(284), None),      // eventfd
    (22, Some(290), Some(19)),  // eventfd2
    (23, Some(56), Some(220)),  // clone
    (24, Some(49), Some(200)),  // bind
    (25, Some(43), Some(202)),  // accept
    (25, Some(288), Some(242)), // accept4
    (26, Some(283), Some(85)),  // timerfd_create
    (27, Some(286), Some(86)),  // timerfd_settime
    (28, Some(287), Some(87)),  // timerfd_gettime
    (29, Some(57), None),       // fork
    (29, Some(58), None),       // vfork
    (30, Some(253), None),      // inotify_init
    (30, Some(294), Some(26)),  // inotify_init1
    (31, Some(254), Some(27)),  // inotify_add_watch
    (32, Some(255), Some(28)),  // inotify_rm_watch
    (33, Some(53), Some(199)),  // socketpair
    (34, Some(1), Some(64)),    // write
    (34, Some(18), Some(68)),   // pwrite64
    (34, Some(20), Some(66)),   // writev
    (34, Some(296), Some(70)),  // pwritev
    (34, Some(328), Some(287)), // pwritev2
    (36, Some(9), Some(222)),   // mmap, 2026
    (37, Some(50), Some(201)),  // listen, 2026
    (38, Some(101), Some(117)), // ptrace, 2026
];

fn number_on(arch: Arch, x86_64: Option<u16>, aarch64: Option<u16>) -> Option<u64> {
    match arch {
        Arch::X86_64 => x86_64,
        Arch::Aarch64 => aarch64,
    }
    .map(u64::from)
}

/// The kind of message that gVisor has for call `number`; `None` when it tells of the call only raw. The newest gVisor
/// is meant: the kinds from 36 on are of 2026.
pub fn schematized(arch: Arch, number: u64) -> Option<u16> {
    POINTS.iter().find(|(_, x, a)| number_on(arch, *x, *a) == Some(number)).map(|(kind, ..)| *kind)
}

/// The processor that a message comes from, by its kind and the call's number. `None` when the pair is none of a
/// schematized call; no pair is one on both.
pub fn arch_of(kind: u16, sysno: u64) -> Option<Arch> {
    match (schematized(Arch::X86_64, sysno) == Some(kind), schematized(Arch::Aarch64, sysno) == Some(kind)) {
        (true, false) => Some(Arch::X86_64),
        (false, true) => Some(Arch::Aarch64),
        _ => None,
    }
}
