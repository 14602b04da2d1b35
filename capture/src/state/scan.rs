//! The scan: which processes, by how many threads, and what can only be told when all were read.

use super::cgroup::Hierarchies;
use super::exe;
use super::fds::by_socket;
use super::file;
use super::mounts::{Mounts, Overlay};
use super::process::{Gone, Reader, root_id};
use super::snapshot::{Notes, Process, RootId, Snapshot};
use super::sockets::Sockets;
use super::users::{self, Accounts};
use super::{ScanOptions, host, parse};
use crate::{Error, Result};
use rustix::fd::OwnedFd;
use scapkit_format::lists::fds::FdType;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Inode of the first pid namespace, the same on every kernel.
const FIRST_PID_NAMESPACE: u64 = 0xEFFF_FFFC;
/// Processes that a thread takes at a time.
const CHUNK: usize = 16;

/// What the threads of a scan have in common.
pub(super) struct Shared<'a> {
    pub proc: OwnedFd,
    pub boot: u64,
    pub kernel_threads: bool,
    pub sockets: Sockets,
    pub cgroups: Hierarchies,
    pub accounts: Mutex<BTreeMap<RootId, Accounts>>,
    /// Inodes of the machine's mount namespace and of our user namespace; 0 unknown.
    pub host_mounts: u64,
    pub own_users: u64,
    /// Inode of the pid namespace whose numbers `/proc` has; 0 unknown.
    pub host_pids: u64,
    /// Whether that is our own.
    pub own_pids: bool,
    pub host_root: Option<RootId>,
    ticks: u64,
    host: &'a std::path::Path,
    mounts: Mutex<HashMap<u64, Arc<Mounts>>>,
    layers: Mutex<HashMap<(u64, u64), (bool, bool)>>,
    unresolved: Mutex<Vec<(i64, u64)>>,
}

impl Shared<'_> {
    /// ns since the epoch of a number of ticks since boot.
    pub fn start(&self, ticks: u64) -> u64 {
        let ns = u128::from(ticks).saturating_mul(1_000_000_000) / u128::from(self.ticks);
        self.boot.saturating_add(u64::try_from(ns).unwrap_or(u64::MAX))
    }

    /// The mounts of a namespace, read by way of a process in it.
    pub fn mounts(&self, namespace: u64, dir: &OwnedFd) -> Arc<Mounts> {
        let known = || self.mounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mounts) = known().get(&namespace) {
            return Arc::clone(mounts);
        }
        let mut text = Vec::new();
        let read = file::open(dir, "mountinfo").and_then(|fd| file::read_all(fd, 64 << 20, &mut text));
        let mounts = Arc::new(Mounts::new(&text));
        if namespace != 0 && read.is_ok() {
            known().insert(namespace, Arc::clone(&mounts));
        }
        mounts
    }

    /// Layers of an executable, named by mount and inode.
    pub fn layers(&self, file: (u64, u64), overlay: &Overlay, exepath: &[u8]) -> (bool, bool) {
        let known = || self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layers) = known().get(&file) {
            return *layers;
        }
        let layers = exe::layers(overlay, exepath, self.host);
        known().insert(file, layers);
        layers
    }

    /// Remembers a process with sockets that were in no table: they may have come after it was read.
    pub fn unresolved(&self, tgid: i64, namespace: u64) {
        self.unresolved.lock().unwrap_or_else(PoisonError::into_inner).push((tgid, namespace));
    }
}

fn namespace(proc: &OwnedFd, path: &str, kind: &[u8]) -> u64 {
    let mut link = Vec::new();
    let _ = file::link_at(proc, path, &mut link);
    parse::number_of(&link, kind).unwrap_or(0)
}

/// See [`super::scan`].
pub(super) fn scan(options: &ScanOptions) -> Result<Snapshot> {
    let began = Instant::now();
    let mut notes = Notes::default();
    let host = options.host_root.as_path();
    let proc_path = if host.as_os_str().is_empty() { PathBuf::from("/proc") } else { host.join("proc") };
    let error = |e: rustix::io::Errno| Error::system(proc_path.display().to_string(), e.into());
    let proc = file::directory(rustix::fs::CWD, &proc_path).map_err(error)?;
    let boot = options.boot_offset.unwrap_or_else(host::boot_offset);
    check_boot(&proc_path, boot, &mut notes.other);
    let from = boot.saturating_add(host::since_boot());

    let own_proc = file::directory(rustix::fs::CWD, "/proc").map_err(error)?;
    // Where the first process may not be looked at, there still is the directory that we were told, or our own root.
    let host_root = root_id(&proc, "1/root").or_else(|| {
        if host.as_os_str().is_empty() { root_id(&own_proc, "self/root") } else { root_id(rustix::fs::CWD, host) }
    });
    // Seen in one namespace only, we are in that whose numbers this `/proc` has.
    let mut text = [0; 8192];
    let own_pids = file::read_at(&proc, "self/status", &mut text).is_ok_and(|text| parse::status(text).depth == 1);
    let host_pids = if own_pids { namespace(&own_proc, "self/ns/pid", b"pid") } else { 0 };
    let host_mounts = match namespace(&proc, "1/ns/mnt", b"mnt") {
        0 if host.as_os_str().is_empty() => namespace(&own_proc, "self/ns/mnt", b"mnt"),
        known => known,
    };
    let shared = Shared {
        boot,
        kernel_threads: options.kernel_threads,
        sockets: Sockets::new(),
        cgroups: Hierarchies::new(&proc_path, &mut notes.other),
        accounts: Mutex::default(),
        host_mounts,
        own_users: namespace(&own_proc, "self/ns/user", b"user"),
        host_pids,
        own_pids,
        host_root,
        ticks: host::ticks_per_second(),
        host,
        mounts: Mutex::default(),
        layers: Mutex::default(),
        unresolved: Mutex::default(),
        proc,
    };

    let mut pids = Vec::new();
    match &options.only_pids {
        Some(only) => pids.extend(only),
        None => file::numbers(&shared.proc, &mut pids).map_err(error)?,
    }
    pids.retain(|pid| !options.exclude.contains(pid));
    pids.sort_unstable();
    pids.dedup();
    // The directory was read to its end.
    let mut processes = read_all(&shared, &pids, options, began, &mut notes);
    processes.sort_unstable_by_key(|p| p.tgid);

    let unresolved = std::mem::take(&mut *shared.unresolved.lock().unwrap_or_else(PoisonError::into_inner));
    resolve(&shared, unresolved, &mut processes);
    namespace_starts(&shared, &mut processes);
    let accounts =
        users::of_host(&if host.as_os_str().is_empty() { PathBuf::from("/") } else { host.into() }, &mut notes.other);
    let interfaces = host::interfaces(&mut notes.other);
    let container_accounts = shared.accounts.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Snapshot {
        machine: host::machine(&proc_path, boot),
        interfaces,
        accounts,
        container_accounts,
        processes,
        notes,
        from,
        to: boot.saturating_add(host::since_boot()),
    })
}

/// `/proc/stat` knows the second of boot. Another clock's difference would put all times of the capture elsewhere.
fn check_boot(proc: &std::path::Path, boot: u64, notes: &mut Vec<String>) {
    if let Some(btime) = host::btime(proc).filter(|b| b.abs_diff(boot) > 5_000_000_000) {
        notes.push(format!("boot time {boot} ns is not that of /proc/stat, {btime} ns"));
    }
}

fn read_all(
    shared: &Shared<'_>,
    pids: &[u32],
    options: &ScanOptions,
    began: Instant,
    notes: &mut Notes,
) -> Vec<Process> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut reader = Reader::new(shared);
        let mut found = Vec::new();
        loop {
            let at = next.fetch_add(CHUNK, Ordering::Relaxed);
            let chunk = pids.get(at..).map(|rest| rest.get(..CHUNK).unwrap_or(rest)).unwrap_or_default();
            if chunk.is_empty() {
                break;
            }
            if options.time_limit.is_some_and(|limit| began.elapsed() > limit) {
                reader.notes.partial = true;
                break;
            }
            for pid in chunk {
                match reader.read(*pid) {
                    Ok(process) => found.extend(process),
                    Err(Gone) => reader.notes.vanished = reader.notes.vanished.saturating_add(1),
                }
            }
        }
        (found, reader.notes)
    };
    let threads = match options.threads {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        n => n,
    };
    // No more than there is work for.
    let threads = threads.min(pids.len().div_ceil(CHUNK)).max(1);
    let mut all = Vec::new();
    let mut add = |(found, theirs): (Vec<Process>, Notes)| {
        all.extend(found);
        notes.vanished = notes.vanished.saturating_add(theirs.vanished);
        notes.partial |= theirs.partial;
        for (what, count) in theirs.unreadable {
            let sum = notes.unreadable.entry(what).or_default();
            *sum = sum.saturating_add(count);
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| std::thread::Builder::new().spawn_scoped(scope, work)).collect();
        add(work());
        // A thread that could not be started leaves its share to the others.
        others.into_iter().flatten().filter_map(|t| t.join().ok()).for_each(&mut add);
    });
    all
}

/// Looks once more for sockets that were in no table: it may have been read before they were.
fn resolve(shared: &Shared<'_>, unresolved: Vec<(i64, u64)>, processes: &mut [Process]) {
    let mut tables = HashMap::new();
    for (tgid, net) in unresolved {
        let Some(p) = processes.binary_search_by_key(&tgid, |p| p.tgid).ok().and_then(|at| processes.get_mut(at))
        else {
            continue;
        };
        if !p.fds.iter().any(|fd| fd.kind == FdType::UNSUPPORTED && p.piece(fd.name).starts_with(b"socket:[")) {
            continue;
        }
        let table = tables.entry(net).or_insert_with(|| {
            let dir = file::directory(&shared.proc, tgid.to_string().as_str()).ok()?;
            // The number may be another's by now.
            (namespace(&dir, "ns/net", b"net") == net).then(|| shared.sockets.read(net, &dir).0)
        });
        let mut fds = std::mem::take(&mut p.fds);
        for fd in fds.iter_mut().filter(|fd| fd.kind == FdType::UNSUPPORTED) {
            let is_socket = p.piece(fd.name).starts_with(b"socket:[");
            if let Some(socket) = table.as_ref().filter(|_| is_socket).and_then(|t| t.get(&fd.ino)) {
                fd.kind = by_socket(socket);
                fd.socket = Some(socket.clone());
            }
        }
        p.fds = fds;
    }
}

/// Start of each process's pid namespace: of its first process, or boot.
fn namespace_starts(shared: &Shared<'_>, processes: &mut [Process]) {
    let mut starts = HashMap::from([(FIRST_PID_NAMESPACE, shared.boot)]);
    for p in processes.iter() {
        if let Some(t) = p.threads.first().filter(|t| t.vpid == 1 && p.namespaces.pid != 0) {
            starts.entry(p.namespaces.pid).or_insert(t.start);
        }
    }
    for p in processes {
        let vpid = p.threads.first().map_or(-1, |t| t.vpid);
        p.pidns_init_start_ts = if let Some(start) = starts.get(&p.namespaces.pid) {
            *start
        } else if p.namespaces.pid == 0 {
            // It may not be asked, or has ended: one whose id is the same inside is the machine's.
            if vpid == p.tgid { shared.boot } else { 0 }
        } else {
            let start = first_of(shared, p).unwrap_or(0);
            starts.insert(p.namespaces.pid, start);
            start
        };
    }
}

/// Start of the first process of a namespace that was not scanned, from the `/proc` that a process of it sees.
fn first_of(shared: &Shared<'_>, p: &Process) -> Option<u64> {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC;
    let root = format!("{}/root", p.tgid);
    let root = rustix::fs::openat(&shared.proc, root.as_str(), flags, rustix::fs::Mode::empty()).ok()?;
    let stat = users::below(&root, "proc/1/stat").ok()?;
    // A container may have anything there.
    let is_proc = rustix::fs::fstatfs(&stat).is_ok_and(|fs| fs.f_type == rustix::fs::PROC_SUPER_MAGIC);
    let mut buffer = [0; 1024];
    let stat = file::read_once(&stat, &mut buffer).ok().filter(|_| is_proc).and_then(parse::stat)?;
    Some(shared.start(stat.start_ticks))
}
