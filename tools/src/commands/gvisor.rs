//! `scapkit gvisor`: session configurations, and sessions of sandboxes that run.

use crate::cli::gvisor::{Action, Attach, Config, Detach, Gvisor, List, Points, Program, Root, SessionArgs, Which};
use crate::{Outcome, note, printable, say};
use anyhow::{Context, Result, bail};
use scapkit_capture::gvisor::config::{self, Metadata, PointSet, Sink};
use scapkit_capture::gvisor::runsc::{Container, Done, ROOTS, Runsc, Session};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most bytes of a file of metadata: 2022's has 160,000.
const MAX_METADATA: u64 = 16 << 20;

pub fn run(args: &Gvisor) -> Result<Outcome> {
    match &args.action {
        Action::Config(args) => configure(args),
        Action::List(args) => list(args),
        Action::Attach(args) => attach(args),
        Action::Detach(args) => detach(args),
    }
}

fn configure(args: &Config) -> Result<Outcome> {
    let session = session(&args.session, args.fail_closed)?;
    let config = if args.alone { session } else { config::pod_init(&session) };
    let text = format!("{config:#}\n");
    match &args.output {
        Some(path) => std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?,
        None => std::io::stdout().lock().write_all(text.as_bytes())?,
    }
    Ok(Outcome::Yes)
}

/// The session that is asked for. What can be hidden from it is said.
fn session(args: &SessionArgs, fail_closed: bool) -> Result<Value> {
    let metadata = match &args.metadata {
        Some(path) => read(path).with_context(|| path.display().to_string())?,
        None => program(&args.program, None).metadata()?,
    };
    let set = match args.points {
        Points::Minimal => PointSet::Minimal,
        Points::Recommended => PointSet::Recommended,
        Points::All => PointSet::All,
    };
    let arch = metadata.arch();
    let points = config::points(&metadata, set, arch);
    for warning in config::warnings(&points, arch) {
        note(&format!("warning: {warning}"));
    }
    let SessionArgs { socket, retries, backoff, backoff_max, .. } = args;
    let (retries, backoff, backoff_max) = (*retries, *backoff, *backoff_max);
    Ok(config::session(&points, &Sink { socket: socket.clone(), retries, backoff, backoff_max, fail_closed })?)
}

fn read(path: &Path) -> Result<Metadata> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(MAX_METADATA + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_METADATA {
        bail!("wanted what runsc trace metadata prints, found more than {MAX_METADATA} bytes");
    }
    Metadata::parse(&String::from_utf8_lossy(&text)).map_err(anyhow::Error::msg)
}

fn program(program: &Program, root: Option<PathBuf>) -> Runsc {
    Runsc { program: program.runsc.clone(), root, timeout: Duration::from_secs(program.timeout) }
}

/// A container, and how runsc is asked about it.
pub struct Found {
    pub runsc: Runsc,
    pub container: Container,
}

/// The containers of the folder that `runsc` has, or of all that are usual and there. Which, is said.
pub fn containers(runsc: &Runsc) -> Result<Vec<Found>> {
    let mut roots = vec![runsc.root.clone()];
    if runsc.root.is_none() {
        let usual: Vec<PathBuf> = ROOTS.iter().map(PathBuf::from).filter(|root| root.is_dir()).collect();
        for root in &usual {
            note(&format!("runsc's folder: {}", root.display()));
        }
        if usual.is_empty() {
            note(&format!("none of {} is there; runsc looks in its own folder", ROOTS.join(", ")));
        } else {
            roots = usual.into_iter().map(Some).collect();
        }
    }
    let mut found = Vec::new();
    for root in roots {
        let runsc = Runsc { root, ..runsc.clone() };
        found.extend(runsc.list()?.into_iter().map(|container| Found { runsc: runsc.clone(), container }));
    }
    Ok(found)
}

fn list(args: &List) -> Result<Outcome> {
    let found = containers(&program(&args.program, args.root.root.clone()))?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if !args.json {
        writeln!(out, "{:<24} {:>8} {:<10} {:<10} SINKS", "CONTAINER", "PID", "STATUS", "SESSION")?;
    }
    let mut outcome = Outcome::Yes;
    for Found { runsc, container } in &found {
        // One that ends meanwhile, or is stopped, has none; the others are listed all the same.
        let sessions = if container.status == "running" {
            runsc.sessions(&container.id).unwrap_or_else(|e| {
                say(&e.into());
                outcome = Outcome::Status(2);
                None
            })
        } else {
            None
        };
        if args.json {
            writeln!(out, "{}", object(runsc, container, sessions.as_deref()))?;
        } else {
            line(&mut out, container, sessions.as_deref())?;
        }
    }
    out.flush()?;
    if found.is_empty() {
        note("runsc knows of no container");
    }
    Ok(outcome)
}

fn line(out: &mut impl Write, container: &Container, sessions: Option<&[Session]>) -> std::io::Result<()> {
    let Container { id, pid, status, .. } = container;
    write!(out, "{:<24} {pid:>8} {:<10} ", printable(id), printable(status))?;
    match sessions {
        None => writeln!(out, "-"),
        Some([]) => writeln!(out, "none"),
        Some(sessions) => {
            let sinks = sessions.iter().flat_map(|s| &s.sinks);
            let sinks: Vec<String> = sinks.map(|s| printable(&format!("{}: {} lost", s.name, s.dropped))).collect();
            let names: Vec<&str> = sessions.iter().map(|s| s.name.as_str()).collect();
            writeln!(out, "{:<10} {}", printable(&names.join(",")), sinks.join(", "))
        }
    }
}

fn object(runsc: &Runsc, container: &Container, sessions: Option<&[Session]>) -> Value {
    let sinks = |s: &Session| -> Vec<Value> {
        s.sinks.iter().map(|sink| json!({"name": sink.name, "dropped": sink.dropped})).collect()
    };
    let sessions = sessions.map(|s| s.iter().map(|s| json!({"name": s.name, "sinks": sinks(s)})).collect::<Vec<_>>());
    json!({
        "id": container.id, "pid": container.pid, "status": container.status,
        "root": runsc.root.as_ref().map(|root| root.to_string_lossy()), "sessions": sessions,
    })
}

fn attach(args: &Attach) -> Result<Outcome> {
    // A session without a monitor would be of no use: that is an error, and the sandbox runs on as before.
    let config = session(&args.session, true)?;
    each(
        &args.which,
        &args.root,
        &args.session.program,
        "attached",
        "it has a session already (see --force)",
        |found| found.runsc.create(&found.container.id, &config, args.force),
    )
}

fn detach(args: &Detach) -> Result<Outcome> {
    each(&args.which, &args.root, &args.program, "detached", "it has no session", |found| {
        found.runsc.delete(&found.container.id)
    })
}

/// Does something with each sandbox. One that fails does not keep the others from it.
fn each(
    which: &Which,
    root: &Root,
    args: &Program,
    done: &str,
    nothing: &str,
    act: impl Fn(&Found) -> scapkit_capture::Result<Done>,
) -> Result<Outcome> {
    let found = containers(&program(args, root.root.clone()))?;
    let (mut refused, mut failed, mut count) = (false, false, 0u32);
    for id in &which.ids {
        if !found.iter().any(|f| f.container.id == *id) {
            note(&format!("{id}: there is no such container"));
            failed = true;
        }
    }
    for f in &found {
        let Container { id, status, .. } = &f.container;
        let is_named = which.ids.contains(id);
        if !(is_named || which.all && status == "running") {
            continue;
        }
        match act(f) {
            Ok(Done::Yes) => {
                writeln!(std::io::stdout(), "{}: {done}", printable(id))?;
                count += 1;
            }
            Ok(Done::Nothing) => {
                note(&format!("{id}: {nothing}"));
                refused = true;
            }
            Ok(Done::NotASandbox) => {
                note(&format!("{id}: skipped, it is in the sandbox of another container, which stands for all in it"));
                refused |= is_named;
            }
            Err(e) => {
                say(&anyhow::Error::from(e).context(id.clone()));
                failed = true;
            }
        }
    }
    if which.all && count == 0 && !refused && !failed {
        note("there is no sandbox that runs");
    }
    Ok(match (failed, refused) {
        (true, _) => Outcome::Status(2),
        (false, true) => Outcome::No,
        (false, false) => Outcome::Yes,
    })
}
