//! What can be known of a process's executable without becoming that process (os-state section 1.6).

use super::file;
use super::mounts::{Mount, Overlay};
use super::parse::{self, Status};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

const CAP_DAC_OVERRIDE: u64 = 1 << 1;
const CAP_FOWNER: u64 = 1 << 3;

/// What is behind a link of `/proc/PID`, without a word with a file server that may be gone.
pub fn stat(at: impl AsFd, link: impl rustix::path::Arg) -> rustix::io::Result<Statx> {
    let what = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    rustix::fs::statx(at, link, AtFlags::STATX_DONT_SYNC, what)
}

/// ns since the epoch; 0 for times before it.
pub fn nanoseconds(t: rustix::fs::StatxTimestamp) -> u64 {
    let seconds = u64::try_from(t.tv_sec).unwrap_or(0).saturating_mul(1_000_000_000);
    seconds.saturating_add(t.tv_nsec.into())
}

/// What the rule about writing looks at.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Whether nobody can write it: its file system is read-only, or it is immutable.
    pub frozen: bool,
}

/// Whether the process could write its executable, by the driver's rule. `mapped` tells whether the process's
/// user namespace has the file's owner, and its group. Access lists are not looked at, nor is whether the owner
/// is unknown to the file system: user space sees that as an ordinary id.
pub fn writable(file: &File, s: &Status<'_>, mapped: impl FnOnce() -> (bool, bool)) -> bool {
    if file.frozen {
        return false;
    }
    if file.uid == s.fsuid {
        return true;
    }
    let in_group = file.gid == s.fsgid || parse::words(s.groups).any(|g| parse::number(g) == Some(file.gid.into()));
    let bit = if in_group { 0o020 } else { 0o002 };
    if file.mode & bit != 0 {
        return true;
    }
    if s.cap_effective & (CAP_DAC_OVERRIDE | CAP_FOWNER) == 0 {
        return false;
    }
    let (uid, gid) = mapped();
    (s.cap_effective & CAP_DAC_OVERRIDE != 0 && uid && gid) || (s.cap_effective & CAP_FOWNER != 0 && uid)
}

/// The rule for a process: its files are below `dir`.
pub fn is_writable(stat: &Statx, mount: Option<&Mount>, s: &Status<'_>, dir: &OwnedFd, own_users: bool) -> bool {
    let frozen = stat.stx_attributes.contains(StatxAttributes::IMMUTABLE) || mount.is_some_and(|m| m.read_only);
    let file = File { mode: stat.stx_mode.into(), uid: stat.stx_uid, gid: stat.stx_gid, frozen };
    writable(&file, s, || {
        if own_users {
            return (true, true);
        }
        let has = |map: &str, id| {
            let mut buffer = [0; 4096];
            let text = file::read_at(dir, map, &mut buffer).unwrap_or_default();
            parse::inner_id(&parse::id_map(text), id).is_some()
        };
        (has("uid_map", file.uid), has("gid_map", file.gid))
    })
}

/// Whether the executable is in the upper layer of an overlay, and whether in a lower one. Neither when that
/// cannot be told: the upper directory may be out of our sight.
pub fn layers(overlay: &Overlay, exepath: &[u8], host: &Path) -> (bool, bool) {
    let (path, is_deleted) = parse::deleted(exepath);
    let below = match overlay.point.as_slice() {
        b"/" => Some(path),
        point => path.strip_prefix(point),
    };
    let Some(below) = below.filter(|b| b.starts_with(b"/")) else {
        return (false, false);
    };
    if overlay.upper.is_empty() {
        return (false, true);
    }
    if is_deleted || !overlay.upper.starts_with(b"/") {
        return (false, false);
    }
    let mut upper = host.as_os_str().as_bytes().to_vec();
    upper.extend_from_slice(&overlay.upper);
    let open = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let upper = PathBuf::from(std::ffi::OsStr::from_bytes(&upper));
    let Ok(upper) = rustix::fs::openat(rustix::fs::CWD, &upper, open, Mode::empty()) else {
        return (false, false);
    };
    let mut inside = overlay.root.strip_suffix(b"/").unwrap_or(&overlay.root).to_vec();
    inside.extend_from_slice(below);
    let inside = inside.strip_prefix(b"/").unwrap_or(&inside);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // What is in the layer was put there by the container.
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&upper, inside, flags, Mode::empty(), resolve) {
        Ok(_) => (true, false),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => (false, true),
        Err(_) => (false, false),
    }
}
