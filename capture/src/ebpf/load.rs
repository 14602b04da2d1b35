//! Loading the probe: settings, programs, rings, and what the kernel must have for it.

use super::options::ProbeOptions;
use super::ring::Ring;
use crate::{Error, Result, clock};
use aya::maps::{Array, HashMap, MapData, ProgramArray};
use aya::programs::fentry::FEntryLink;
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::trace_point::TracePointLink;
use aya::programs::{FEntry, Program, ProgramError, TracePoint};
use aya::{Btf, Ebpf as Object, EbpfLoader, Pod};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Resource, Rlimit, setrlimit};
use scapkit_bpf::{Counts, ENTRIES, MAX_CALLS, MAX_COMMS, MAX_EXCLUDED, MAX_TYPES, OBJECT, PROGRAMS};
use scapkit_format::schema::{self, id};
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::Path;

/// The probe in the kernel, not attached yet.
pub struct Loaded {
    object: Object,
    /// Programs to attach, in this order.
    pub attach: Vec<String>,
    /// What holds programs where they are attached, by being there.
    links: Vec<Link>,
    /// The process that is followed, if only one is.
    tree_of: Option<i32>,
    /// What added to boot time gives the time of events.
    pub offset: u64,
    /// What this kernel cannot do, and what that costs.
    pub notes: Vec<String>,
}

/// An attached program. Dropping it detaches the program.
#[expect(dead_code, reason = "held, not read")]
enum Link {
    Tracepoint(BtfTracePointLink),
    Entry(FEntryLink),
    CallTracepoint(TracePointLink),
}

/// [`Counts`] as a map has it.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Shared(Counts);

/// The module's only unsafe line.
#[allow(unsafe_code)]
mod shared {
    // SAFETY: numbers of 64 bits without padding, for which every bit pattern is valid.
    unsafe impl aya::Pod for super::Shared {}
}

/// A call of this machine that is recorded.
struct Call {
    nr: u32,
    /// Type of its event.
    event: u16,
}

/// Loads the probe as `options` want it.
///
/// # Errors
/// [`Error::Kernel`] when the kernel lacks something, [`Error::Privilege`] when it may not be done.
pub fn load(options: &ProbeOptions) -> Result<Loaded> {
    options.check()?;
    check_kernel()?;
    let btf = Btf::from_sys_fs()
        .map_err(|e| Error::Kernel(format!("it does not describe its types (BTF) in {KERNEL_BTF}: {}", deepest(&e))))?;
    if crate::kernel_version() < (5, 11) {
        // Maps were counted as locked memory then. If it may not be raised the limit may still do.
        let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
    }
    let processors = processors("possible")?.last().copied().unwrap_or(0) + 1;
    let offset = clock::offset();
    let settings = Settings::new(options);
    let mut object = EbpfLoader::new()
        .btf(Some(&btf))
        .override_global("wanted", &settings.wanted[..], true)
        .override_global("call_code", &settings.call_code[..], true)
        .override_global("call_of_ia32", &settings.call_of_ia32[..], true)
        .override_global("snaplens", &settings.snaplens[..], true)
        .override_global("clock_offset", &offset, true)
        .override_global("drop_failed", &u8::from(options.drop_failed), true)
        .override_global("excluded", &settings.excluded[..], true)
        .override_global("only_tree", &u8::from(options.tree_of.is_some()), true)
        .override_global("only_groups", &u8::from(!options.cgroups.is_empty()), true)
        .override_global("comm_count", &settings.comm_count, true)
        .override_global("comms", &settings.comms[..], true)
        .map_max_entries("rings", u32::from(processors))
        .map_max_entries("scratches", u32::from(processors))
        .map_max_entries("counts", u32::from(processors))
        .load(OBJECT)
        .map_err(|e| refused("loading the probe", &e))?;

    let mut attach = Vec::new();
    let mut notes = Vec::new();
    load_programs(&mut object, options, &settings, &btf, &mut attach, &mut notes)?;
    fill_filters(&mut object, options)?;
    Ok(Loaded { object, attach, links: Vec::new(), tree_of: options.tree_of, offset, notes })
}

fn load_programs(
    object: &mut Object,
    options: &ProbeOptions,
    settings: &Settings,
    btf: &Btf,
    attach: &mut Vec<String>,
    notes: &mut Vec<String>,
) -> Result<()> {
    // The ends of calls.
    let by_type: BTreeMap<u16, String> = object
        .programs()
        .filter_map(|(name, _)| Some((name.rsplit_once('_')?.1.parse().ok()?, name.to_owned())))
        .collect();
    let mut loaded = BTreeSet::new();
    let mut table = Vec::new();
    for call in &settings.calls {
        let event = if by_type.contains_key(&call.event) { call.event } else { id::GENERIC_X };
        let Some(name) = by_type.get(&event) else { continue };
        if loaded.insert(event) {
            load_tracepoint(object, name, "sys_exit", btf)?;
        }
        table.push((call.nr, name));
    }
    if !table.is_empty() {
        let mut programs = BTreeMap::new();
        for (nr, name) in table {
            let Some(program) = object.program(name) else { continue };
            let fd = program.fd().map_err(|e| refused(name, &e))?;
            let fd = fd.try_clone().map_err(|e| Error::system(format!("program {name}"), e))?;
            programs.insert(nr, fd);
        }
        let map = object.map_mut("calls").ok_or_else(|| missing("calls"))?;
        let mut calls = ProgramArray::try_from(map).map_err(|e| refused("calls", &e))?;
        for (nr, fd) in &programs {
            calls.set(*nr, fd, 0).map_err(|e| refused("calls", &e))?;
        }
    }
    // The others. Those that tell of processes come first, so that no process is missed.
    for (name, tracepoint) in PROGRAMS {
        let wanted = match *name {
            "fork" => options.tree_of.is_some(),
            "sys_exit" => !settings.calls.is_empty(),
            "signal" => options.signals,
            "sched_switch" => options.switches,
            "page_fault_user" | "page_fault_kernel" => options.faults,
            _ => true,
        };
        if wanted {
            load_tracepoint(object, name, tracepoint, btf)?;
            attach.push((*name).to_owned());
        }
    }
    attach.sort_by_key(|name| name == "sys_exit");
    let mut unread32 = Vec::new();
    for (call, event) in ENTRIES {
        if !options.entries || !settings.wants(*event) {
            continue;
        }
        // A kernel without these functions, or that cannot hook them, has the call's tracepoint.
        if load_entry(object, &format!("{call}_entry"), &[&format!("__x64_sys_{call}")], btf) {
            attach.push(format!("{call}_entry"));
        } else if has_tracefs() {
            load_fallback(object, call)?;
            attach.push(format!("{call}_tracepoint"));
        } else {
            notes.push(format!("{call} is read at its end only: the kernel can hook neither its function nor, without tracefs, its tracepoint"));
        }
        let functions = [&*format!("__ia32_compat_sys_{call}"), &*format!("__ia32_sys_{call}")];
        if load_entry(object, &format!("{call}_entry32"), &functions, btf) {
            attach.push(format!("{call}_entry32"));
        } else {
            unread32.push(*call);
        }
    }
    if !unread32.is_empty() {
        notes.push(format!(
            "calls of 32-bit programs are read at their end only: {} (the kernel cannot hook their functions)",
            unread32.join(", ")
        ));
    }
    Ok(())
}

fn load_tracepoint(object: &mut Object, name: &str, tracepoint: &str, btf: &Btf) -> Result<()> {
    match object.program_mut(name) {
        Some(Program::BtfTracePoint(program)) => {
            program.load(tracepoint, btf).map_err(|e| refused(&format!("program {name}"), &e))
        }
        _ => Err(missing(name)),
    }
}

/// Loads a program for the entry of the first of `functions` that the kernel has and can hook.
fn load_entry(object: &mut Object, name: &str, functions: &[&str], btf: &Btf) -> bool {
    let Some(Program::FEntry(program)) = object.program_mut(name) else { return false };
    let program: &mut FEntry = program;
    functions.iter().any(|function| program.load(function, btf).is_ok())
}

/// Where the kernel lists its tracepoints: mounted here if it is not yet, which most systems do when they start.
fn has_tracefs() -> bool {
    const TRACEFS: &str = "/sys/kernel/tracing";
    let there = |dir: &str| Path::new(dir).join("events/syscalls").exists();
    if there(TRACEFS) || there("/sys/kernel/debug/tracing") {
        return true;
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("tracefs", TRACEFS, "tracefs", flags, None).is_ok() && there(TRACEFS)
}

fn load_fallback(object: &mut Object, call: &str) -> Result<()> {
    let name = format!("{call}_tracepoint");
    match object.program_mut(&name) {
        Some(Program::TracePoint(program)) => {
            let program: &mut TracePoint = program;
            program.load().map_err(|e| refused(&format!("program {name}"), &e))
        }
        _ => Err(missing(&name)),
    }
}

fn fill_filters(object: &mut Object, options: &ProbeOptions) -> Result<()> {
    if let Some(root) = options.tree_of {
        insert(object, "tree", root)?;
    }
    for group in &options.cgroups {
        insert(object, "groups", *group)?;
    }
    Ok(())
}

fn insert<K: Pod>(object: &mut Object, name: &str, key: K) -> Result<()> {
    let map = object.map_mut(name).ok_or_else(|| missing(name))?;
    let mut map: HashMap<_, K, u8> = HashMap::try_from(map).map_err(|e| refused(name, &e))?;
    map.insert(key, 1, 0).map_err(|e| refused(name, &e))
}

impl Loaded {
    /// Makes a ring of `bytes` for processor `cpu` and gives it to the programs.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn add_ring(&mut self, cpu: u16, bytes: usize) -> Result<Ring> {
        let size = u32::try_from(bytes).map_err(|_| Error::Option(format!("a ring of {bytes} bytes")))?;
        let definition = aya_obj::Map::new_from_params(BPF_MAP_TYPE_RINGBUF as u32, 0, 0, size, 0);
        let data = MapData::create(definition, "ring", None).map_err(|e| refused("a ring buffer", &e))?;
        let map = self.object.map_mut("rings").ok_or_else(|| missing("rings"))?;
        let mut rings: aya::maps::ArrayOfMaps<_, MapData> =
            aya::maps::ArrayOfMaps::try_from(map).map_err(|e| refused("rings", &e))?;
        rings.set(u32::from(cpu), &data, 0).map_err(|e| refused("rings", &e))?;
        Ring::new(data.fd().as_fd(), bytes)
    }

    /// Attaches the programs: from now on events come.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn attach(&mut self) -> Result<()> {
        for name in &self.attach {
            let what = format!("attaching program {name}");
            let failed = |e: ProgramError| refused(&what, &e);
            self.links.push(match self.object.program_mut(name) {
                Some(Program::BtfTracePoint(program)) => {
                    let id = program.attach().map_err(failed)?;
                    Link::Tracepoint(program.take_link(id).map_err(failed)?)
                }
                Some(Program::FEntry(program)) => {
                    let id = program.attach().map_err(failed)?;
                    Link::Entry(program.take_link(id).map_err(failed)?)
                }
                Some(Program::TracePoint(program)) => {
                    let call = name.trim_end_matches("_tracepoint");
                    let id = program.attach("syscalls", &format!("sys_enter_{call}")).map_err(failed)?;
                    Link::CallTracepoint(program.take_link(id).map_err(failed)?)
                }
                _ => return Err(missing(name)),
            });
        }
        Ok(())
    }

    /// Has what the followed process had started before followed too. What it starts from now on is.
    ///
    /// # Errors
    /// When `/proc` or the map cannot be used.
    pub fn follow(&mut self) -> Result<()> {
        let Some(root) = self.tree_of else { return Ok(()) };
        // Twice: children that were started meanwhile by one that was not followed yet are found then.
        for _ in 0..2 {
            for pid in descendants(root)? {
                insert(&mut self.object, "tree", pid)?;
            }
        }
        Ok(())
    }

    /// Detaches the programs. They stay loaded, and the counters too.
    pub fn detach(&mut self) {
        // The beginnings of calls first, so that none is told of without its end.
        while self.links.pop().is_some() {}
    }

    /// What the processors could not tell, added up.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn counts(&self) -> Result<Counts> {
        let map = self.object.map("counts").ok_or_else(|| missing("counts"))?;
        let map: Array<_, Shared> = Array::try_from(map).map_err(|e| refused("counts", &e))?;
        let mut sum = Counts::default();
        for counts in map.iter() {
            let Shared(counts) = counts.map_err(|e| refused("counts", &e))?;
            for (total, n) in sum.full.iter_mut().zip(counts.full) {
                *total = total.saturating_add(n);
            }
            sum.large = sum.large.saturating_add(counts.large);
            sum.no_ring = sum.no_ring.saturating_add(counts.no_ring);
            sum.suppressed = sum.suppressed.saturating_add(counts.suppressed);
        }
        Ok(sum)
    }
}

/// The programs' constants, as `options` want them.
struct Settings {
    calls: Vec<Call>,
    types: Option<BTreeSet<u16>>,
    wanted: [u8; MAX_CALLS],
    call_code: [u16; MAX_CALLS],
    call_of_ia32: [u16; MAX_CALLS],
    snaplens: [u16; MAX_TYPES],
    excluded: [i32; MAX_EXCLUDED],
    comm_count: u32,
    comms: [u8; MAX_COMMS * 16],
}

impl Settings {
    fn new(options: &ProbeOptions) -> Settings {
        let mut s = Settings {
            calls: Vec::new(),
            types: options.types.as_ref().map(|types| types.iter().copied().collect()),
            wanted: [0; MAX_CALLS],
            call_code: [0; MAX_CALLS],
            call_of_ia32: [u16::MAX; MAX_CALLS],
            snaplens: [options.snaplen; MAX_TYPES],
            excluded: [0; MAX_EXCLUDED],
            comm_count: u32::try_from(options.comms.len()).unwrap_or(0),
            comms: [0; MAX_COMMS * 16],
        };
        let slots = s.wanted.iter_mut().zip(&mut s.call_code).zip(&mut s.call_of_ia32);
        for (nr, ((wanted, code), of_ia32)) in (0u16..).zip(slots) {
            *of_ia32 = schema::x86_64_of_ia32(nr).unwrap_or(u16::MAX);
            let Some(call) = schema::native_x86_64(nr) else { continue };
            // Calls without an event of their own have type 0 in the table.
            let event = if call.exit == 0 { id::GENERIC_X } else { call.exit };
            *code = call.code;
            if s.types.as_ref().is_none_or(|types| types.contains(&event)) {
                *wanted = 1;
                s.calls.push(Call { nr: u32::from(nr), event });
            }
        }
        for (event, len) in &options.snaplen_of {
            if let Some(slot) = s.snaplens.get_mut(usize::from(*event)) {
                *slot = *len;
            }
        }
        for (slot, tgid) in s.excluded.iter_mut().zip(&options.exclude_tgids) {
            *slot = *tgid;
        }
        for (slot, comm) in s.comms.chunks_exact_mut(16).zip(&options.comms) {
            for (to, from) in slot.iter_mut().take(15).zip(comm) {
                *to = *from;
            }
        }
        s
    }

    /// Whether the event at the beginning of a call is wanted: with that at its end.
    fn wants(&self, enter: u16) -> bool {
        self.types.as_ref().is_none_or(|types| types.contains(&enter) || types.contains(&(enter | 1)))
    }
}

const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
/// The first kernel with ring buffers.
const OLDEST: (u32, u32) = (5, 8);

fn check_kernel() -> Result<()> {
    let version = crate::kernel_version();
    if version < OLDEST {
        return Err(Error::Kernel(format!(
            "it is Linux {}.{}, and ring buffers for BPF came with {}.{}",
            version.0, version.1, OLDEST.0, OLDEST.1
        )));
    }
    if !cfg!(target_arch = "x86_64") {
        return Err(Error::Kernel(format!("the probe is built for x86_64, this is {}", std::env::consts::ARCH)));
    }
    if !Path::new(KERNEL_BTF).exists() {
        return Err(Error::Kernel(format!(
            "it does not describe its types: {KERNEL_BTF} is missing (CONFIG_DEBUG_INFO_BTF)"
        )));
    }
    Ok(())
}

/// The processes that `root` has started, and those that these have.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn descendants(root: i32) -> Result<Vec<i32>> {
    let failed = |e| Error::system("/proc", e);
    let mut parents = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        // Gone meanwhile: no descendant of anyone.
        let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else { continue };
        let stat = String::from_utf8_lossy(&stat);
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        if let Some(parent) = rest.split_whitespace().nth(1).and_then(|p| p.parse::<i32>().ok()) {
            parents.insert(pid, parent);
        }
    }
    let mut found = BTreeSet::from([root]);
    // Ids do not tell who was first: until nothing is added.
    loop {
        let more: Vec<i32> = parents
            .iter()
            .filter(|(pid, parent)| found.contains(parent) && !found.contains(pid))
            .map(|(p, _)| *p)
            .collect();
        if more.is_empty() {
            break;
        }
        found.extend(more);
    }
    found.remove(&root);
    Ok(found.into_iter().collect())
}

/// The processors that are `possible` or `online`.
///
/// # Errors
/// When the kernel does not say.
pub fn processors(which: &str) -> Result<Vec<u16>> {
    let path = format!("/sys/devices/system/cpu/{which}");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::system(&path, e))?;
    let cpus = parse_processors(&text);
    if cpus.is_empty() {
        return Err(Error::Kernel(format!("{path} says {:?}", text.trim())));
    }
    Ok(cpus)
}

/// A list like `0-3,8`.
fn parse_processors(text: &str) -> Vec<u16> {
    let mut cpus = Vec::new();
    for range in text.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) {
            cpus.extend(first..=last);
        }
    }
    cpus
}

fn missing(name: &str) -> Error {
    Error::Probe(format!("the object has no {name}"))
}

/// What the kernel said when it refused something, in as few words as it takes.
fn refused(what: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if let Some(io) = e.downcast_ref::<std::io::Error>()
            && io.raw_os_error() == Some(libc::EPERM)
        {
            return Error::Privilege { what: what.to_owned(), capability: "CAP_BPF and CAP_PERFMON" };
        }
        cause = e.source();
    }
    // The verifier's log goes over many lines; its end says what it did not like.
    let text = chain(error).replace("\\n", "\n");
    let end = text.len().saturating_sub(2000);
    let end = (end..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    Error::Probe(format!("{what}: {}", text.get(end..).unwrap_or(&text)))
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    text
}

fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut last = error;
    while let Some(e) = last.source() {
        last = e;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!(parse_processors("0-3,8\n"), [0, 1, 2, 3, 8]);
        assert_eq!(parse_processors("0\n"), [0]);
        assert_eq!(parse_processors("\n"), Vec::<u16>::new());
    }

    #[test]
    fn settings_hold_what_was_asked_for() {
        let options = ProbeOptions {
            types: Some(vec![id::SYSCALL_OPENAT_2_X]),
            snaplen_of: vec![(id::SYSCALL_READ_X, 4096)],
            comms: vec![b"a-name-that-is-too-long".to_vec()],
            ..ProbeOptions::default()
        };
        let s = Settings::new(&options);
        assert_eq!(s.calls.len(), 1);
        assert_eq!((s.calls[0].nr, s.calls[0].event), (257, id::SYSCALL_OPENAT_2_X));
        assert_eq!((s.wanted[257], s.wanted[0]), (1, 0));
        assert!(s.wants(id::SYSCALL_OPENAT_2_E) && !s.wants(id::SYSCALL_OPEN_E));
        assert_eq!((s.snaplens[7], s.snaplens[9]), (4096, 80));
        assert_eq!(&s.comms[..17], b"a-name-that-is-\0\0");
        // ia32 write is 4, x86_64's is 1; 17 does not exist.
        assert_eq!((s.call_of_ia32[4], s.call_of_ia32[17]), (1, u16::MAX));
    }
}
