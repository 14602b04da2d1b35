//! From a thread's cgroups to the container that engines can be asked about (os-state 6.3 and 6.4).
//!
//! Which container it is, and its short id, is what replay says of the same cgroups: a record of another id would
//! never be found. This adds what replay does not need: the id in full, the runtime where the path is more exact
//! than the layout, whose session it runs in.

use scapkit_replay::engine::{Layout, container_of};

/// Characters of an id that engines make.
const FULL: usize = 64;

/// What runs a container. The numbers are those of containers' JSON (os-state 6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs)] // their own names
pub enum Runtime {
    Docker = 0,
    Lxc = 1,
    LibvirtLxc = 2,
    /// systemd-nspawn has no number of its own; this is `custom`, and a label names it.
    Nspawn = 5,
    /// By way of the CRI; which engine is behind it the path does not say.
    Cri = 6,
    Containerd = 7,
    CriO = 8,
    Bpm = 9,
    Podman = 11,
}

/// A container as a path names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerId {
    /// As the path has it; an engine may know better.
    pub runtime: Runtime,
    /// The short one, as replay's threads have it.
    pub id: String,
    /// In full, if the path has it in full; else the short one.
    pub full_id: String,
    /// Whose session it runs in: of engines without root.
    pub owner: Option<u32>,
}

impl ContainerId {
    /// The container of a thread's cgroups: `subsystem=path`, NUL separated, as threads of the engine have them.
    /// `None` for the machine itself, and for paths that only look like those of a container.
    pub fn of_cgroups(cgroups: &[u8]) -> Option<ContainerId> {
        let entries = || cgroups.split(|b| *b == 0);
        // The first that replay finds decides, as at replay, even if it is nothing in the end.
        if let Some((entry, layout, id)) = entries().find_map(|e| container_of(e).map(|(l, id)| (e, l, id))) {
            return of_path(&path(entry)?, layout, std::str::from_utf8(id).ok()?);
        }
        let (runtime, name) = entries().find_map(|entry| machine(&path(entry)?))?;
        Some(ContainerId { runtime, id: name.clone(), full_id: name, owner: None })
    }

    /// Whether an engine knows more than the path: those without one have no name but the id.
    pub(super) fn is_engineless(&self) -> bool {
        matches!(self.runtime, Runtime::Lxc | Runtime::LibvirtLxc | Runtime::Nspawn | Runtime::Bpm)
    }
}

fn path(entry: &[u8]) -> Option<String> {
    let at = entry.iter().position(|b| *b == b'=')?;
    String::from_utf8(entry.get(at + 1..)?.to_vec()).ok()
}

fn of_path(path: &str, layout: Layout, id: &str) -> Option<ContainerId> {
    // What stands directly before the id says more than the layout.
    let begins = |at: usize| path[..at].ends_with(['/', '-', ':']);
    let place = path.match_indices(id).map(|(at, _)| at).filter(|at| begins(*at)).last();
    let (before, rest) = place.map_or(("", id), |at| path.split_at(at));
    let hex = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
    let full_id = (hex == FULL).then(|| rest[..FULL].to_owned());
    let is_after = |prefix| before.ends_with(prefix);
    let by_containerd = is_after("nerdctl-") || is_after("cri-containerd-") || is_after(":cri-containerd:");
    let (runtime, full_id) = match layout {
        Layout::Podman => (Runtime::Podman, full_id?),
        // Names of namespaces that are seen nowhere else.
        Layout::Docker if before == "/default/" || before == "/k8s.io/" => (Runtime::Containerd, full_id?),
        Layout::Docker | Layout::Cri if is_after("crio-") => (Runtime::CriO, full_id?),
        Layout::Docker | Layout::Cri if by_containerd => (Runtime::Containerd, full_id?),
        Layout::Docker | Layout::Cri if is_after("/") && path.contains("kubepods") => (Runtime::Cri, full_id?),
        // Podman without root, until 2023: `podman-PID.scope/ID`.
        Layout::Docker if before.ends_with(".scope/") && path.contains("/podman-") => (Runtime::Podman, full_id?),
        Layout::Docker => (Runtime::Docker, full_id?),
        Layout::Cri => (Runtime::Cri, full_id?),
        Layout::Lxc => (Runtime::Lxc, id.to_owned()),
        Layout::LibvirtLxc => machine(path).or_else(|| arbitrary(path)).unwrap_or((Runtime::LibvirtLxc, id.to_owned())),
        Layout::Bpm => (Runtime::Bpm, id.to_owned()),
        // Its own stream tells of it.
        Layout::Gvisor => return None,
        Layout::Containerd => machine(path).or_else(|| arbitrary(path))?,
    };
    Some(ContainerId { runtime, id: id.to_owned(), full_id, owner: owner(path) })
}

/// Paths in which replay sees any id of containerd: those of LXC are among them, and much of the machine itself.
fn arbitrary(path: &str) -> Option<(Runtime, String)> {
    /// First components that are a manager's, and no namespace of containerd.
    const MANAGERS: [&str; 9] =
        ["docker", "podman", "libpod_parent", "kubepods", "kubelet", "lxc", "lxc.payload", "lxc.monitor", "machine"];
    let rest = path.strip_prefix('/')?;
    if let Some(name) = rest.strip_prefix("lxc/").and_then(|r| r.split('/').next()).filter(|n| !n.is_empty()) {
        return Some((Runtime::Lxc, name.to_owned()));
    }
    let libvirt = rest.strip_prefix("libvirt/lxc/").or_else(|| rest.strip_suffix(".libvirt-lxc")?.rsplit('/').next());
    if let Some(name) = libvirt {
        return Some((Runtime::LibvirtLxc, name.to_owned()));
    }
    let (namespace, id) = rest.split_once('/')?;
    let is_unit = |name: &str| [".service", ".slice", ".scope"].iter().any(|end| name.ends_with(end));
    let fits = !id.contains('/') && !is_unit(id) && !is_unit(namespace) && !MANAGERS.contains(&namespace);
    fits.then(|| (Runtime::Containerd, id.to_owned()))
}

/// Containers that systemd calls machines: `machine-NAME.scope`, NAME being `lxc-[PID-]NAME` of those of libvirt, and
/// `systemd-nspawn@NAME.service`. Replay knows few of them.
fn machine(path: &str) -> Option<(Runtime, String)> {
    let unit = path.strip_prefix("/machine.slice/")?.split('/').next()?;
    let name = match unit.strip_prefix("machine-") {
        Some(rest) => rest.strip_suffix(".scope")?,
        None => unit.strip_prefix("systemd-nspawn@")?.strip_suffix(".service")?,
    };
    let name = unescape(name)?;
    let (runtime, name) = match name.strip_prefix("lxc-") {
        Some(rest) => {
            let numbered = rest.split_once('-').filter(|(pid, _)| pid.bytes().all(|b| b.is_ascii_digit()));
            (Runtime::LibvirtLxc, numbered.map_or(rest, |(_, name)| name).to_owned())
        }
        None => (Runtime::Nspawn, name),
    };
    (!name.is_empty() && !name.starts_with("qemu-")).then_some((runtime, name))
}

/// A name of systemd: `\x2d` is a dash.
fn unescape(name: &str) -> Option<String> {
    let mut out = Vec::new();
    let mut rest = name;
    while let Some((before, after)) = rest.split_once("\\x") {
        out.extend_from_slice(before.as_bytes());
        out.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = after.get(2..)?;
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).ok()
}

/// The user in `/user.slice/user-UID.slice/`.
fn owner(path: &str) -> Option<u32> {
    let (_, rest) = path.split_once("/user.slice/user-")?;
    rest.split_once(".slice/")?.0.parse().ok()
}

#[cfg(test)]
#[path = "ids_tests.rs"]
mod tests;
