//! Opens sandboxes of gVisor as what gives events.

use super::gvisor::{Found, containers};
use super::source::Opened;
use crate::cli::{Engine, Sandboxes};
use crate::note;
use anyhow::{Context, Result, bail};
use scapkit_capture::gvisor::config::{self, PointSet};
use scapkit_capture::gvisor::runsc::{Done, Runsc};
use scapkit_capture::gvisor::sink::{Sink, SinkOptions};
use scapkit_capture::gvisor::source::Gvisor;
use scapkit_capture::gvisor::stream::Writer;

/// Listens for sandboxes, and takes in those that run already if that is wanted.
pub fn open(engine: &Engine) -> Result<Opened> {
    let options = &engine.sandboxes;
    if engine.kernel.pid.is_some() || !engine.kernel.comm.is_empty() || !engine.kernel.cgroup.is_empty() {
        bail!("engine gvisor: a sandbox cannot leave out processes: no --pid, --comm and --cgroup");
    }
    let dump = options.procfs.as_ref().map(|path| std::fs::read(path).with_context(|| path.display().to_string()));
    let raw = options.raw.as_deref().map(Writer::create).transpose()?;
    let mut sink = SinkOptions::new(&options.socket);
    sink.uids.extend(&options.uid);
    let mut source = Gvisor::new(Sink::listen(sink)?, raw, dump.transpose()?);
    if !options.attach.is_empty() {
        attach(&mut source, options)?;
    }
    let lists = source.lists()?;
    Ok(Opened { source: Box::new(source), lists, buffered: Vec::new() })
}

/// Takes in sandboxes that run.
fn attach(source: &mut Gvisor, options: &Sandboxes) -> Result<()> {
    let runsc = Runsc { program: options.runsc.clone(), root: options.root.clone(), ..Runsc::default() };
    let metadata = runsc.metadata()?;
    let points = config::points(&metadata, PointSet::Recommended, metadata.arch());
    // Without a monitor the session is of no use, and this is the monitor.
    let to =
        config::Sink { socket: std::path::absolute(&options.socket)?, fail_closed: true, ..config::Sink::default() };
    let session = config::session(&points, &to)?;
    let all = options.attach.iter().any(|id| id == "all");
    let found = containers(&runsc)?;
    if let Some(id) = options.attach.iter().find(|id| *id != "all" && !found.iter().any(|f| f.container.id == **id)) {
        bail!("--attach {id}: there is no such container");
    }
    for Found { runsc, container } in found {
        let id = container.id;
        if !(options.attach.contains(&id) || all && container.status == "running") {
            continue;
        }
        match source.attach(&runsc, &id, &session).with_context(|| format!("--attach {id}"))? {
            Done::Yes | Done::Nothing => {}
            // It is recorded with the sandbox that it is in.
            Done::NotASandbox if all => {}
            Done::NotASandbox => note(&format!("--attach {id}: it is in the sandbox of another container")),
        }
    }
    Ok(())
}
