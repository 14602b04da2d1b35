//! The kernel probe: C sources in `src/c`, the object made of them, and nothing else.
//!
//! `bpf/build.sh` makes the object with clang 19; it is committed, so that building scapkit needs no
//! clang. The programs in it are under GPL-2.0-only or MIT, since the kernel lends its helpers only to
//! programs under a licence that it accepts; the rest of scapkit is not linked with them.
//!
//! Programs for the ends of calls are named after the call and the type of their event: `openat_307`.
//! The others are listed in [`PROGRAMS`].

/// Bytes that start at an address which is a multiple of 32, as readers of ELF files want it.
#[repr(C, align(32))]
struct Aligned<T: ?Sized>(T);

static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!("probe.o"));

/// The object: an ELF file with BTF, relocated to the running kernel when it is loaded.
pub static OBJECT: &[u8] = &ALIGNED.0;

/// Programs that are not for the end of a call, and the kernel's tracepoints that they are for.
pub const PROGRAMS: &[(&str, &str)] = &[
    ("sys_exit", "sys_exit"),
    ("exec", "sched_process_exec"),
    ("fork", "sched_process_fork"),
    ("process_exit", "sched_process_exit"),
    ("signal", "signal_deliver"),
    ("sched_switch", "sched_switch"),
    ("page_fault_user", "page_fault_user"),
    ("page_fault_kernel", "page_fault_kernel"),
];

/// Calls that have an event at their beginning too, and the type of that event. For each there are three
/// programs: `NAME_entry` and `NAME_entry32` for the entry of the kernel's function, 64-bit and 32-bit,
/// and `NAME_tracepoint`.
pub const ENTRIES: &[(&str, u16)] = &[("open", 2), ("connect", 22), ("creat", 58), ("openat", 306), ("openat2", 326)];

/// Calls that the programs know by number.
pub const MAX_CALLS: usize = 512;
/// Event types that the programs have settings for.
pub const MAX_TYPES: usize = 512;
/// Names of threads that can be asked for at once.
pub const MAX_COMMS: usize = 16;
/// Processes that can be left out at once.
pub const MAX_EXCLUDED: usize = 4;

/// What a processor could not tell, as the probe counts it (`struct counts`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lost because the ring was full, by class: see [`DROP_CLASSES`].
    pub full: [u64; 11],
    /// Lost because the event was larger than 64 KiB.
    pub large: u64,
    /// Lost because the processor had no ring yet.
    pub no_ring: u64,
    /// Held back by a filter of threads.
    pub suppressed: u64,
}

/// Names of the classes of [`Counts::full`], as upstream exports them.
pub const DROP_CLASSES: [&str; 11] = [
    "other",
    "clone_fork_exit",
    "execve_exit",
    "connect_enter",
    "connect_exit",
    "open_enter",
    "open_exit",
    "dir_file_exit",
    "other_interest_exit",
    "close_exit",
    "proc_exit",
];
