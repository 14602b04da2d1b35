//! Opens what gives events, by the name of the engine.

use super::sandboxes;
use crate::cli::{Engine, Kernel};
use crate::{note, open as opening};
use anyhow::{Context, Result, bail};
use scapkit_capture::ebpf::ProbeOptions;
use scapkit_capture::kmod::KmodOptions;
use scapkit_capture::machine::Started;
use scapkit_capture::record::Buffered;
use scapkit_capture::simulated::{Script, Simulated};
use scapkit_capture::state::ScanOptions;
use scapkit_capture::{Source, containers, machine, privileges};
use scapkit_format::schema::{self, id};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What is wanted of an engine.
pub struct Wanted<'a> {
    /// Its name (`ebpf`, `gvisor`, `kmod`; `simulated:SCRIPT` plays a capture, for tests, see [`Script::parse`]) and
    /// what the kernel is to decide.
    pub engine: &'a Engine,
    /// Only events of these types; `None`: all.
    pub types: Option<Vec<u16>>,
    /// Only this process and all that it starts.
    pub tree_of: Option<u32>,
}

/// An engine that is ready.
pub struct Opened {
    /// To be started; one that had to be started before its machine could be looked at takes that well.
    pub source: Box<dyn Source>,
    /// What the recording starts with: section header, lists, events about the initial state, as blocks.
    pub lists: Vec<u8>,
    /// Events that came after that and before those that the source gives from now on.
    pub buffered: Vec<Buffered>,
}

/// Opens an engine. Its own events are not among those that it gives.
pub fn open(wanted: &Wanted<'_>) -> Result<Opened> {
    let engine = wanted.engine.name.as_str();
    if let Some(script) = engine.strip_prefix("simulated:") {
        let mut source = Simulated::open(&Script::parse(script)?)?;
        source.only(wanted.types.as_deref());
        let lists = source.lists().to_vec();
        return Ok(Opened { source: Box::new(source), lists, buffered: Vec::new() });
    }
    match engine {
        "ebpf" => {
            privileges::check()?;
            Ok(opened(machine::start(&probe_options(wanted)?, &scan_options(), &container_options(wanted))?))
        }
        "kmod" => {
            let kernel = &wanted.engine.kernel;
            if wanted.tree_of.or(kernel.pid).is_some() || !kernel.comm.is_empty() || !kernel.cgroup.is_empty() {
                bail!("engine kmod: the module cannot leave out processes: no COMMAND, --pid, --comm and --cgroup");
            }
            let probe = probe_options(wanted)?;
            let options = KmodOptions {
                devices: None,
                ring_bytes: probe.ring_bytes,
                snaplen: probe.snaplen,
                types: probe.types,
                switches: probe.switches,
                faults: probe.faults,
                signals: probe.signals,
                drop_failed: probe.drop_failed,
            };
            let started = machine::start_module(&options, &scan_options(), &container_options(wanted));
            Ok(opened(started.context("engine kmod")?))
        }
        "gvisor" => sandboxes::open(wanted.engine),
        _ => bail!("--engine {engine}: there are ebpf, gvisor and kmod"),
    }
}

fn opened(started: Started) -> Opened {
    for text in &started.notes {
        note(&format!("note: {text}"));
    }
    Opened { source: started.source, lists: started.lists, buffered: started.buffered }
}

/// Where the machine's file systems are, for a recorder that runs in a container.
fn host_root() -> PathBuf {
    std::env::var_os("HOST_ROOT").map(PathBuf::from).unwrap_or_default()
}

fn container_options(wanted: &Wanted<'_>) -> containers::Options {
    let engines = !wanted.engine.no_container_engines;
    containers::Options { engines, host_root: host_root(), ..containers::Options::default() }
}

fn scan_options() -> ScanOptions {
    ScanOptions { host_root: host_root(), exclude: vec![std::process::id()], ..ScanOptions::default() }
}

fn probe_options(wanted: &Wanted<'_>) -> Result<ProbeOptions> {
    let kernel: &Kernel = &wanted.engine.kernel;
    let pid = |pid: u32| i32::try_from(pid).with_context(|| format!("process {pid}"));
    let has_signals = wanted.types.as_ref().is_none_or(|types| types.contains(&id::SIGNALDELIVER_E));
    let groups = kernel.cgroup.iter().map(|path| {
        let metadata = std::fs::metadata(path).with_context(|| format!("--cgroup {}", path.display()))?;
        Ok(metadata.ino())
    });
    Ok(ProbeOptions {
        ring_bytes: opening::number(&kernel.buffer)
            .and_then(|n| usize::try_from(n).ok())
            .with_context(|| format!("--buffer {:?}: wanted a size: 8M or bytes", kernel.buffer))?,
        snaplen: kernel.snaplen,
        snaplen_of: kernel.snaplen_of.iter().map(|text| snaplen_of(text)).collect::<Result<Vec<_>>>()?.concat(),
        types: wanted.types.clone(),
        switches: kernel.switches,
        faults: kernel.faults,
        signals: has_signals,
        entries: !kernel.exits_only,
        drop_failed: kernel.drop_failed,
        tree_of: wanted.tree_of.or(kernel.pid).map(pid).transpose()?,
        exclude_tgids: vec![pid(std::process::id())?],
        comms: kernel.comm.iter().map(|comm| comm.clone().into_bytes()).collect(),
        cgroups: groups.collect::<Result<_>>()?,
    })
}

/// `read=4096`: the event types of that name, with the length.
fn snaplen_of(text: &str) -> Result<Vec<(u16, u16)>> {
    let parsed = text.split_once('=').and_then(|(name, n)| Some((name, n.parse::<u16>().ok()?)));
    let Some((name, len)) = parsed else { bail!("--snaplen-of {text:?}: wanted EVENT=N: read=4096") };
    let types: Vec<(u16, u16)> = (0u16..)
        .zip(&schema::EVENTS)
        .filter(|(_, info)| info.name == name && !info.is_enter())
        .map(|(event, _)| event)
        .map(|event| (event, len))
        .collect();
    if types.is_empty() {
        bail!("--snaplen-of {text:?}: there is no event {name}");
    }
    Ok(types)
}
