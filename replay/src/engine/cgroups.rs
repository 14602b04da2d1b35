//! From the cgroups of a thread to the container that it is in (state engine 8.4).
//!
//! The rules are those of the container plugin of libs, in its order, with their false hits: who asks
//! for `container.id` gets the answer that Falco gives.

/// Most characters of an id that is cut.
const SHORT: usize = 12;
/// Characters of a full id of the runtimes that make their own.
const FULL: usize = 64;

/// Whose layout the path of a container's cgroup has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the runtimes' own names
pub enum Layout {
    Podman,
    Docker,
    Cri,
    Containerd,
    Lxc,
    LibvirtLxc,
    Bpm,
    /// A sandbox of gVisor, recorded by its own stream: not by a path, but by an entry of its own.
    Gvisor,
}

/// What stands before and after an id.
type Around = (&'static [u8], &'static [u8]);

const PODMAN: [Around; 6] = [
    (b"/libpod-", b".scope"),
    (b"/libpod-", b".scope/container"),
    (b"/libpod-", b""),
    (b"/libpod-payload-", b".scope"),
    (b"/libpod-payload-", b".scope/container"),
    (b"/libpod-payload-", b""),
];
const DOCKER: [Around; 2] = [(b"/", b""), (b"/docker-", b".scope")];
const CRI: [Around; 7] = [
    (b"/", b""),
    (b"/crio-", b""),
    (b"/cri-containerd-", b".scope"),
    (b"/crio-", b".scope"),
    (b":cri-containerd:", b""),
    (b"/docker-", b".scope"),
    (b"/nerdctl-", b".scope"),
];
/// The entry that stands for the cgroups of threads of gVisor (gvisor spec section 8).
const GVISOR: &[u8] = b"gvisor_container_id";
const LXC: [&[u8]; 3] = [b"/lxc/", b"/lxc.payload/", b"/lxc.payload."];

/// The first container among the paths of a list `subsystem=path`, NUL separated: whose it looks to be, and the
/// id that [`Thread::container_id`](super::Thread::container_id) is then.
pub fn container_of(cgroups: &[u8]) -> Option<(Layout, &[u8])> {
    let paths = cgroups.split(|b| *b == 0).filter_map(|entry| {
        let at = entry.iter().position(|b| *b == b'=')?;
        Some((entry.get(..at)?, entry.get(at.saturating_add(1)..)?))
    });
    let mut last: &[u8] = b"";
    for (subsystem, path) in paths {
        if subsystem == GVISOR {
            return gvisor(path).map(|id| (Layout::Gvisor, id));
        }
        // Most entries of a list have the same path.
        if path != last
            && let Some((layout, id)) = resolve(path)
            && !id.is_empty()
        {
            return Some((layout, id));
        }
        last = path;
    }
    None
}

/// The id of a gVisor container: any name is legal there, and only those of full ids are cut.
fn gvisor(path: &[u8]) -> Option<&[u8]> {
    let id = path.strip_prefix(b"/").filter(|id| !id.is_empty())?;
    let full = id.len() == FULL && id.iter().all(u8::is_ascii_hexdigit);
    if full { id.get(..SHORT) } else { Some(id) }
}

/// The container of one path. The first rule that holds decides, even if its id is empty.
fn resolve(path: &[u8]) -> Option<(Layout, &[u8])> {
    if path.len() < 2 {
        return None;
    }
    let wrapped = |layouts: &[Around]| layouts.iter().find_map(|around| between(path, around.0, around.1, false));
    wrapped(&PODMAN)
        .map(|id| (Layout::Podman, id))
        .or_else(|| wrapped(&DOCKER).map(|id| (Layout::Docker, id)))
        .or_else(|| wrapped(&CRI).map(|id| (Layout::Cri, id)))
        .or_else(|| between(path, namespace(path)?, b"", true).map(|id| (Layout::Containerd, id)))
        .or_else(|| LXC.iter().find_map(|dir| below(path, dir)).map(|id| (Layout::Lxc, id)))
        .or_else(|| libvirt(path).map(|id| (Layout::LibvirtLxc, id)))
        .or_else(|| bpm(path).map(|id| (Layout::Bpm, id)))
}

/// The id between the last `before` and the last `after`. Where `any` id will do it may be shorter
/// than a full one, but not the name of a unit of systemd.
fn between<'a>(path: &'a [u8], before: &[u8], after: &[u8], any: bool) -> Option<&'a [u8]> {
    let start = rfind(path, before)?.saturating_add(before.len());
    let end = rfind(path, after)?;
    let length = end.checked_sub(start).filter(|n| (1..=FULL).contains(n))?;
    let rest = path.get(start..)?;
    // The place of a wrong digit is counted from the start of the path, as upstream has it.
    let wrong = rest.iter().position(|b| !b.is_ascii_hexdigit()).map(|at| at.saturating_add(start));
    let unit = [&b".service"[..], b".slice", b".scope"].iter().any(|end| path.ends_with(end));
    if (length == FULL && wrong.is_none_or(|at| at >= FULL)) || (any && !unit) {
        return rest.get(..length.min(SHORT));
    }
    None
}

/// The first `/name/` of a path: runs of letters and digits joined by single `.`, `_` or `-`.
fn namespace(path: &[u8]) -> Option<&[u8]> {
    let mut start = path.iter().position(|b| *b == b'/')?;
    loop {
        let rest = path.get(start.saturating_add(1)..)?;
        let length = rest.iter().position(|b| *b == b'/')?;
        let end = start.saturating_add(1).saturating_add(length);
        let name = rest.get(..length)?;
        let runs = name.split(|b| matches!(b, b'.' | b'_' | b'-'));
        if runs.clone().all(|run| !run.is_empty() && run.iter().all(u8::is_ascii_alphanumeric)) {
            return path.get(start..=end);
        }
        start = end;
    }
}

/// The component after the first `dir`.
fn below<'a>(path: &'a [u8], dir: &[u8]) -> Option<&'a [u8]> {
    let rest = path.get(find(path, dir)?.saturating_add(dir.len())..)?;
    rest.split(|b| *b == b'/').next()
}

fn libvirt(path: &[u8]) -> Option<&[u8]> {
    const ENDING: &[u8] = b".libvirt-lxc";
    const MACHINE: &[u8] = b"-lxc\\x2";
    const OLD: &[u8] = b"/libvirt/lxc/";
    if let Some(at) = find(path, ENDING).filter(|at| at.saturating_add(ENDING.len()) == path.len())
        && let Some(slash) = rfind(path, b"/")
    {
        return path.get(slash.saturating_add(1)..at);
    }
    if let Some(at) = find(path, MACHINE) {
        let ending: &[u8] = if find(path, b".scope/libvirt").is_some() { b".scope/libvirt" } else { b".scope" };
        if let Some(end) = find(path, ending).filter(|end| end.saturating_add(ending.len()) == path.len()) {
            // One more character, the `d` of an escaped dash.
            let start = at.saturating_add(MACHINE.len()).saturating_add(1);
            return path.get(start..end);
        }
    }
    path.get(find(path, OLD)?.saturating_add(OLD.len())..)
}

fn bpm(path: &[u8]) -> Option<&[u8]> {
    let rest = path.get(find(path, b"bpm-")?.saturating_add(4)..)?;
    let id = find(rest, b".scope").map_or(Some(rest), |end| rest.get(..end))?;
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (!id.is_empty() && id.iter().all(allowed)).then_some(id)
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|w| w == part)
}

fn rfind(text: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(text.len());
    }
    text.windows(part.len()).rposition(|w| w == part)
}

#[cfg(test)]
mod tests;
