//! Control groups of a thread (os-state section 1.5).

use super::file;
use super::mounts::unescape;
use super::parse::{lines, number, words};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of a list of groups.
const MAX_LIST: usize = 4096;

/// The groups of a thread. Threads of the same groups share one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cgroups {
    /// `controller=path`, each followed by NUL, up to 4096 bytes: what a process list stores.
    pub list: Box<[u8]>,
    /// Path in the unified hierarchy as the kernel gives it; empty without one. Lists have it only through
    /// controllers.
    pub unified: Box<[u8]>,
    /// Path in the hierarchy `name=systemd`; empty without one.
    pub systemd: Box<[u8]>,
}

/// A line of `cgroup`: number of the hierarchy, controllers, path. Paths may hold colons.
pub fn line(text: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let mut parts = text.splitn(3, |b| *b == b':');
    Some((number(parts.next()?)?, parts.next()?, parts.next()?))
}

/// A path that is relative to `own`, the group at the root of the reader's cgroup namespace: each leading `/..`
/// takes one component off it.
pub fn absolute(own: &[u8], path: &[u8]) -> Vec<u8> {
    let (mut base, mut rest) = (own.strip_suffix(b"/").unwrap_or(own), path);
    while let Some(after) = rest.strip_prefix(b"/..").filter(|a| a.is_empty() || a.starts_with(b"/")) {
        base = base.get(..base.iter().rposition(|b| *b == b'/').unwrap_or(0)).unwrap_or_default();
        rest = after;
    }
    let rest = if rest == b"/" && !base.is_empty() { &[][..] } else { rest };
    let mut out = [base, rest].concat();
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// Which group of the unified hierarchy each controller is of, for a thread in `path`: the innermost one above it
/// that has the controller. `controllers_of` gives the controllers of a group, or `None` when the group cannot be
/// read; then every controller of the root is given with the plain path.
pub fn expand(path: &[u8], controllers_of: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some(known) = controllers_of(b"/") else {
        return Vec::new();
    };
    let known: Vec<&[u8]> = words(known.trim_ascii_end()).collect();
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut level = path;
    while found.len() < known.len() {
        let at_root = level.is_empty() || level == b"/";
        let group = if at_root { b"/" } else { level };
        let Some(controllers) = controllers_of(group) else {
            // A removed group, for instance, whose path ends with ` (deleted)`.
            return known.iter().map(|c| (c.to_vec(), path.to_vec())).collect();
        };
        for controller in words(controllers.trim_ascii_end()) {
            if !found.iter().any(|(have, _)| have == controller) {
                found.push((controller.to_vec(), group.to_vec()));
            }
        }
        if at_root {
            break;
        }
        level = level.get(..level.iter().rposition(|b| *b == b'/').unwrap_or(0)).unwrap_or_default();
    }
    found
}

/// Parses `cgroup`. `real` makes a path absolute, given the number of its hierarchy.
pub fn parse(
    text: &[u8],
    controllers_of: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
    real: &dyn Fn(u64, &[u8]) -> Vec<u8>,
) -> Cgroups {
    let mut groups = Cgroups::default();
    let mut list = Vec::new();
    let mut put = |controller: &[u8], path: &[u8]| {
        let len = controller.len().saturating_add(path.len()).saturating_add(2);
        if list.len().saturating_add(len) <= MAX_LIST {
            list.extend_from_slice(controller);
            list.push(b'=');
            list.extend_from_slice(path);
            list.push(0);
        }
    };
    for (hierarchy, controllers, path) in lines(text).filter_map(line) {
        let path = real(hierarchy, path);
        if controllers.is_empty() {
            if hierarchy == 0 {
                for (controller, path) in expand(&path, controllers_of) {
                    put(&controller, &path);
                }
                groups.unified = path.into();
            }
            continue;
        }
        for controller in controllers.split(|b| *b == b',') {
            put(controller, &path);
        }
        if controllers == b"name=systemd" {
            groups.systemd = path.into();
        }
    }
    groups.list = list.into();
    groups
}

/// Where the unified hierarchy is mounted, in text of a `mounts` file.
pub fn unified_mounts(text: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    lines(text).filter_map(|line| {
        let mut fields = words(line).skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        (kind == b"cgroup2").then(|| unescape(point))
    })
}

/// The machine's hierarchies, with what was read of them. Threads of a scan share one.
#[derive(Debug, Default)]
pub struct Hierarchies {
    /// Directory of the unified hierarchy, if it has controllers.
    unified: Option<PathBuf>,
    /// Controllers of its groups.
    controllers: Mutex<HashMap<Vec<u8>, Option<Vec<u8>>>>,
    /// What was parsed, by the text of `cgroup`.
    parsed: Mutex<HashMap<Box<[u8]>, Arc<Cgroups>>>,
    /// By number of the hierarchy, the group that paths are relative to; empty where they are absolute.
    own: HashMap<u64, Vec<u8>>,
}

impl Hierarchies {
    /// Those of the machine whose `/proc` is there. `notes` is told what could not be found out.
    pub fn new(proc: &Path, notes: &mut Vec<String>) -> Self {
        let mounts = std::fs::read(proc.join("1/mounts")).or_else(|_| std::fs::read("/proc/self/mounts"));
        let inside = proc.join("1/root");
        let unified = unified_mounts(&mounts.unwrap_or_default()).find_map(|point| {
            use std::os::unix::ffi::OsStrExt as _;
            let point = PathBuf::from(std::ffi::OsStr::from_bytes(&point));
            let below = point.strip_prefix("/").map_or_else(|_| inside.clone(), |p| inside.join(p));
            let has = |dir: &PathBuf| controllers(dir).is_some_and(|c| !c.trim_ascii().is_empty());
            [below, point].into_iter().find(has)
        });
        Hierarchies { unified, own: own_groups(proc, notes), ..Hierarchies::default() }
    }

    /// The groups that the text of `cgroup` names.
    pub fn groups(&self, text: &[u8]) -> Arc<Cgroups> {
        let parsed = || self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(groups) = parsed().get(text) {
            return Arc::clone(groups);
        }
        let groups = Arc::new(parse(text, &mut |group| self.controllers_of(group), &|hierarchy, path| {
            self.own.get(&hierarchy).map_or_else(|| path.to_vec(), |own| absolute(own, path))
        }));
        parsed().insert(text.into(), Arc::clone(&groups));
        groups
    }

    fn controllers_of(&self, group: &[u8]) -> Option<Vec<u8>> {
        use std::os::unix::ffi::OsStrExt as _;
        let unified = self.unified.as_ref()?;
        let cache = || self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = cache().get(group) {
            return known.clone();
        }
        let below = group.strip_prefix(b"/").unwrap_or(group);
        let found = controllers(&unified.join(std::ffi::OsStr::from_bytes(below)));
        cache().insert(group.to_vec(), found.clone());
        found
    }
}

fn controllers(group: &Path) -> Option<Vec<u8>> {
    let mut buffer = [0; 4096];
    let text = file::read_at(rustix::fs::CWD, group.join("cgroup.controllers"), &mut buffer).ok()?;
    Some(text.trim_ascii_end().to_vec())
}

/// When we are in a cgroup namespace of our own, paths in `/proc` are relative to its root. A thread that goes
/// into that of the machine's first process sees our real group; with our group inside the namespace this gives
/// the root's.
fn own_groups(proc: &Path, notes: &mut Vec<String>) -> HashMap<u64, Vec<u8>> {
    let own = std::fs::read_link("/proc/self/ns/cgroup");
    let first = std::fs::read_link(proc.join("1/ns/cgroup"));
    let foreign = matches!((&own, &first), (Ok(own), Ok(first)) if own != first);
    if !foreign {
        return HashMap::new();
    }
    let inside = std::fs::read("/proc/self/cgroup").unwrap_or_default();
    let outside = std::thread::scope(|scope| {
        let seen = scope.spawn(|| {
            let namespace = std::fs::File::open(proc.join("1/ns/cgroup"))?;
            let kind = rustix::thread::LinkNameSpaceType::ControlGroup;
            rustix::thread::move_into_link_name_space(rustix::fd::AsFd::as_fd(&namespace), Some(kind))?;
            std::fs::read("/proc/thread-self/cgroup")
        });
        seen.join().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()))
    });
    let outside = match outside {
        Ok(outside) => outside,
        Err(e) => {
            notes.push(format!("control groups are relative to the recorder's own: {e}"));
            return HashMap::new();
        }
    };
    namespace_roots(&inside, &outside)
}

/// The group at the root of a namespace by hierarchy, from a thread's groups as seen inside and outside of it.
pub fn namespace_roots(inside: &[u8], outside: &[u8]) -> HashMap<u64, Vec<u8>> {
    let inside: HashMap<u64, &[u8]> = lines(inside).filter_map(line).map(|(h, _, path)| (h, path)).collect();
    let root = |(hierarchy, _, real): (u64, _, &[u8])| {
        let below = inside.get(&hierarchy)?;
        let below = if *below == b"/" { &[][..] } else { below };
        Some((hierarchy, real.strip_suffix(below)?.to_vec()))
    };
    lines(outside).filter_map(line).filter_map(root).collect()
}
