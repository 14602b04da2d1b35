//! Which engines there are, where they listen, and how one is asked about a container (os-state 6.6).

use super::http::{self, Limits};
use super::ids::{ContainerId, Runtime};
use super::record::Known;
use super::{Options, docker};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Limits of each request, whatever it is about.
const LIMITS: Limits = Limits { time: Duration::from_secs(1), bytes: 8 << 20 };

/// What came of asking.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An engine knows it.
    Told(Known),
    /// Engines answered, and none knows it: it may be about to be made.
    Unknown,
    /// No engine could be asked, or what answered was of no use. Asking again at once would not help.
    Failed,
}

/// For how long a user's engine that did not answer in time is not asked again: else any user could keep all others
/// waiting.
const SHUNNED: Duration = Duration::from_secs(10);

/// Users' engines that did not answer in time, and when.
pub(super) type Hung = BTreeMap<PathBuf, Instant>;

/// Asks about a container: the engine that its path names first, then the others.
pub(super) fn ask(wanted: &ContainerId, options: &Options, hung: &mut Hung) -> Outcome {
    let mut outcome = Outcome::Failed;
    if !wanted.full_id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return outcome;
    }
    hung.retain(|_, when| when.elapsed() < SHUNNED);
    for Socket { runtime, path, is_users } in sockets(wanted, options) {
        if hung.contains_key(&path) {
            continue;
        }
        let asked = Instant::now();
        let answer = ask_one(wanted, runtime, &path, options);
        if is_users && asked.elapsed() >= LIMITS.time {
            hung.insert(path, Instant::now());
        }
        match answer {
            Ok(Some(known)) => return Outcome::Told(known),
            Ok(None) => outcome = Outcome::Unknown,
            Err(_) => {}
        }
    }
    outcome
}

/// Where an engine listens.
struct Socket {
    runtime: Runtime,
    path: PathBuf,
    /// Run by a user, not by the machine.
    is_users: bool,
}

/// Where to ask, in order. An engine that a user runs is believed about that user's containers only.
fn sockets(wanted: &ContainerId, options: &Options) -> Vec<Socket> {
    let order = match wanted.runtime {
        Runtime::Docker | Runtime::Cri => [Runtime::Docker, Runtime::Podman],
        Runtime::Podman => [Runtime::Podman, Runtime::Docker],
        _ => return Vec::new(),
    };
    let root = options.host_root.as_os_str();
    let below = |path: String| {
        let mut whole = root.to_owned();
        whole.push(path);
        PathBuf::from(whole)
    };
    let mut found = Vec::new();
    for runtime in order {
        let (user, system, old) = if runtime == Runtime::Docker {
            ("docker.sock", "/run/docker.sock", "/var/run/docker.sock")
        } else {
            ("podman/podman.sock", "/run/podman/podman.sock", "/var/run/podman/podman.sock")
        };
        if let Some(uid) = wanted.owner {
            found.push(Socket { runtime, path: below(format!("/run/user/{uid}/{user}")), is_users: true });
        }
        // The same place twice on most machines. With a root of another machine, a link from /var/run would lead
        // into this one.
        let system = below(system.to_owned());
        let is_old = options.host_root.as_os_str().is_empty() && !system.exists();
        found.push(Socket { runtime, path: if is_old { below(old.to_owned()) } else { system }, is_users: false });
    }
    found
}

/// `None` when that engine does not know it.
fn ask_one(
    wanted: &ContainerId,
    runtime: Runtime,
    socket: &Path,
    options: &Options,
) -> Result<Option<Known>, http::Error> {
    let get = |target: &str| -> Result<Option<Value>, http::Error> {
        let (status, body) = http::get(socket, target, LIMITS)?;
        match status {
            200 => serde_json::from_slice(&body).map(Some).map_err(|_| http::Error::Malformed("no JSON")),
            404 => Ok(None),
            _ => Err(http::Error::Malformed("an error of the engine")),
        }
    };
    let Some(container) = get(&format!("/containers/{}/json", wanted.full_id))? else { return Ok(None) };
    // What is missing from here on makes the record poorer, not wrong.
    let also = |target: String| get(&target).ok().flatten().unwrap_or_default();
    let image = docker::image_of(&container).map(|image| also(format!("/images/{image}/json"))).unwrap_or_default();
    let neighbour = docker::network_of(&container).map(|id| also(format!("/containers/{id}/json")));
    let ip = neighbour.as_ref().map(docker::address);
    // Podman can stand in for Docker at Docker's socket; the path knows.
    let runtime = if wanted.runtime == Runtime::Podman { Runtime::Podman } else { runtime };
    let record = docker::record(wanted, runtime, &container, &image, ip, options);
    let record = record.ok_or(http::Error::Malformed("about another container"))?;
    Ok(Known::told(&wanted.id, record))
}
