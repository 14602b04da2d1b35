use super::*;

const BOTH: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];

#[test]
fn open_flags_differ_by_processor() {
    let on = |x86_64: u32, aarch64: u32| (open_flags(Arch::X86_64, x86_64), open_flags(Arch::Aarch64, aarch64));
    assert_eq!(on(0, 0), (1, 1));
    assert_eq!(on(1, 1), (2, 2));
    assert_eq!(on(2, 2), (3, 3));
    assert_eq!(on(3, 3), (1, 1), "neither");
    // creat: O_WRONLY|O_CREAT|O_TRUNC.
    assert_eq!(on(0x241, 0x241), (2 | 4 | 256, 2 | 4 | 256));
    // O_DIRECTORY|O_CLOEXEC, where the directory's bit is one of O_TMPFILE.
    assert_eq!(on(0x9_0000, 0x8_4000), (1 | 1024 | 4096 | 8192, 1 | 1024 | 4096 | 8192));
    assert_eq!(on(0x8000, 0x2_0000), (1 | 2048, 1 | 2048), "large file");
    assert_eq!(on(0x4000, 0x1_0000), (1 | 512, 1 | 512), "direct");
    // O_NOFOLLOW and O_PATH have no value.
    assert_eq!(on(0x2_0000 | 0x20_0000, 0x8000 | 0x20_0000), (1, 1));
    // O_APPEND|O_DSYNC, which is a bit of O_SYNC; O_EXCL|O_NONBLOCK.
    assert_eq!(on(0o12_000, 0o4200), (1 | 8 | 16 | 128, 1 | 32 | 64));
}

#[test]
fn a_mode_counts_only_where_a_file_may_be_made() {
    for arch in BOTH {
        assert_eq!(open_mode(arch, 0o100, 0o104_755), 0o4755);
        assert_eq!(open_mode(arch, 0o1002, 0o644), 0);
    }
    assert_eq!(open_mode(Arch::X86_64, 0o200_000, 0o644), 0o644);
    assert_eq!(open_mode(Arch::Aarch64, 0o200_000, 0o644), 0);
    assert_eq!(open_mode(Arch::Aarch64, 0o40_000, 0o644), 0o644);
}

#[test]
fn negative_flags_count_as_none() {
    let minus_one = u32::MAX;
    assert_eq!(descriptor_flags(0o2_004_000), 64 | 4096);
    assert_eq!((descriptor_flags(minus_one), timerfd_flags(minus_one)), (0, 0));
    assert_eq!(timerfd_flags(0o2_004_000), 64);
    for arch in BOTH {
        assert_eq!(pipe2_flags(arch, minus_one), 0);
        assert_eq!(pipe2_flags(arch, 0o2_000_000), 4096);
    }
    assert_eq!(pipe2_flags(Arch::X86_64, 0o40_000), 512);
    assert_eq!(pipe2_flags(Arch::Aarch64, 0o40_000), 0);
    // Those of sockets do not.
    assert_eq!(socket_flags(minus_one), 64 | 4096);
}

#[test]
fn clone_flags_are_ours() {
    // A thread of the C library, with the signal in the low byte.
    assert_eq!(clone_flags(0x3d_0f11), 32768 | 2 | 1 | 2048 | 8192 | 4096 | 33_554_432 | 512 | 8_388_608);
    assert_eq!(clone_flags(0x4100), 134_217_728 | 32768);
    assert_eq!(clone_flags(0x2000_0000), 64);
    assert_eq!(clone_flags(0x8000_0000), 4);
    assert_eq!(clone_flags(0x0040_10ff), 0, "those without a value");
}

#[test]
fn kinds_of_files_that_can_be_made() {
    assert_eq!(mknod_mode(0o600), 0o100_600);
    assert_eq!(mknod_mode(0o020_666), 0o020_666);
    assert_eq!(mknod_mode(0o040_755), 0o755);
    assert_eq!(mknod_mode(0o120_777), 0o777);
    // As drivers' tests have it.
    assert_eq!(device(61440), 251_658_240);
    assert_eq!(device(0x103), 0x10_0003);
}

#[test]
fn numbers_without_a_name() {
    assert_eq!((fcntl_command(1030), fcntl_command(36), fcntl_command(17)), (26, 30, 0));
    assert_eq!((resource_limit(7), resource_limit(16)), (7, 255));
    assert_eq!((seek_whence(2), seek_whence(3)), (2, 0));
    assert_eq!((shutdown_how(1), shutdown_how(3)), (1, 255));
    assert_eq!((socket_family(10), socket_family(27), socket_family(0x102)), (10, 0, 2));
    assert_eq!((socket_option(1, 57), socket_option(6, 1), socket_option(1, 51)), (53, 0, 0));
    assert_eq!((futex_operation(0x89), futex_operation(0x18d)), (0x89, 0x180));
    assert_eq!((mount_flags(0xc0ed_0001), mount_flags(0x1000)), (1, 0x1000));
    assert_eq!((ptrace_request(Arch::X86_64, 12), ptrace_request(Arch::Aarch64, 12)), (26, 0));
    assert_eq!((quota_command(0x80_0002 << 8 | 1), quota_type(0x80_0002 << 8 | 1)), (1, 2));
    assert_eq!((quota_command(0x80_0009 << 8), quota_format(3)), (0, 1));
}

/// A map of the description of drivers: its name, and ours.
pub(in super::super) type Map = (&'static str, fn(Arch, u32) -> u32);

pub(in super::super) const MAPS: [Map; 42] = [
    ("open_flags", |a, v| open_flags(a, v)),
    ("timerfd_flags", |_, v| timerfd_flags(v).into()),
    ("io_uring_enter_flags", |_, v| io_uring_enter_flags(v)),
    ("nb_ce16", |_, v| descriptor_flags(v).into()),
    ("clone_flags", |_, v| clone_flags(v)),
    ("sock_flags", |_, v| socket_flags(v)),
    ("sock_family", |_, v| socket_family(v)),
    ("prot", |_, v| memory_protection(v)),
    ("mmap_flags", |_, v| mmap_flags(v)),
    ("fcntl_cmd", |_, v| fcntl_command(v).into()),
    ("sockopt_level", |_, v| socket_level(v).into()),
    ("sockopt_optname", |_, v| socket_option(1, v).into()),
    ("futex_op", |_, v| futex_operation(v).into()),
    ("access", |_, v| access_mode(v)),
    ("rlimit", |_, v| resource_limit(v).into()),
    ("shutdown_how", |_, v| shutdown_how(v).into()),
    ("lseek_whence", |_, v| seek_whence(v).into()),
    ("flock", |_, v| flock_operation(v)),
    ("quota_type", |_, v| quota_type(v).into()),
    ("quota_cmd", |_, v| quota_command(v << 8).into()),
    ("quota_fmt", |_, v| quota_format(v).into()),
    ("semget_flags", |_, v| semget_flags(v)),
    ("semctl_cmd", |_, v| semctl_command(v).into()),
    ("ptrace_req", |a, v| ptrace_request(a, v).into()),
    ("mlockall_flags", |_, v| mlockall_flags(v)),
    ("mlock2_flags", |_, v| mlock2_flags(v)),
    ("memfd_create_flags", |_, v| memfd_create_flags(v)),
    ("unlinkat_flags", |_, v| unlinkat_flags(v)),
    ("linkat_flags", |_, v| linkat_flags(v)),
    ("newfstatat_flags", |_, v| newfstatat_flags(v)),
    ("chmod_mode", |_, v| permissions(v)),
    ("umount2_flags", |_, v| umount_flags(v)),
    ("dup3_flags", |_, v| dup3_flags(v)),
    ("pipe2_flags", |a, v| pipe2_flags(a, v)),
    ("epoll_create1_flags", |_, v| epoll_create1_flags(v)),
    ("splice_flags", |_, v| splice_flags(v)),
    ("finit_module_flags", |_, v| finit_module_flags(v)),
    ("delete_module_flags", |_, v| delete_module_flags(v)),
    ("pidfd_open_flags", |_, v| pidfd_open_flags(v)),
    ("close_range_flags", |_, v| close_range_flags(v)),
    ("fchownat_flags", |_, v| linkat_flags(v)),
    ("mknod_mode", |_, v| mknod_mode(v)),
];

/// The description of drivers; `None`, loudly, when it is absent.
pub(in super::super) fn drivers() -> Option<serde_json::Value> {
    let root = std::env::var_os("SCAPKIT_SHARED").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        std::path::PathBuf::from,
    );
    let Ok(text) = std::fs::read_to_string(root.join("spec/driver-events.json")) else {
        let skipped = format_args!("SKIPPED: the description of drivers is absent (set SCAPKIT_SHARED)\n");
        std::io::Write::write_fmt(&mut std::io::stderr(), skipped).unwrap();
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// Every row of the description of drivers, bit by bit and value by value.
#[test]
fn maps_are_those_of_drivers() {
    let Some(all) = drivers() else { return };
    for (name, ours) in MAPS {
        let map = &all["maps"][name];
        assert!(map.is_object(), "{name}");
        for arch in BOTH {
            let rows = |key: &str| {
                let own = &map[format!("{key}_aarch64")];
                let own = if arch == Arch::Aarch64 && own.is_array() { own } else { &map[key] };
                let pair = |row: &serde_json::Value| {
                    (
                        u32::try_from(row["linux"].as_u64().unwrap()).unwrap(),
                        u32::try_from(row["scap"].as_u64().unwrap()).unwrap(),
                    )
                };
                own.as_array().map(|rows| rows.iter().map(pair).collect::<Vec<_>>()).unwrap_or_default()
            };
            let (bits, values) = (rows("bits"), rows("values"));
            let narrow = if map["result"] == "u8" { 0xff } else { u32::MAX };
            let base = ours(arch, 0);
            for bit in 0..32 {
                // Negative numbers have a test of their own; values below are not bits.
                let value = 1 << bit;
                if values.iter().any(|(from, _)| *from == value) || (bits.is_empty() || bit == 31) {
                    continue;
                }
                let wanted = bits.iter().filter(|(from, _)| from & value != 0).fold(0, |all, (_, to)| all | to);
                assert_eq!(ours(arch, value), base | (wanted & narrow), "{name} {arch:?} {value:#x}");
            }
            for (from, to) in &values {
                assert_eq!(ours(arch, *from), *to, "{name} {arch:?} {from:#x}");
            }
        }
    }
}
