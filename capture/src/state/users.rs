//! Users and groups from `passwd` and `group`, the machine's and those of containers (os-state section 3).

use super::parse::number;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::path::Path;

/// More of a file is not read: containers write them as they like.
const MAX_FILE: usize = 1 << 20;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub name: Box<[u8]>,
    pub home: Box<[u8]>,
    pub shell: Box<[u8]>,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Group {
    pub gid: u32,
    pub name: Box<[u8]>,
}

/// Users and groups of one root directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Accounts {
    pub users: Vec<User>,
    pub groups: Vec<Group>,
}

/// An id that is nothing but digits.
fn id(text: &[u8]) -> Option<u32> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    number(text).filter(|_| all).and_then(|n| u32::try_from(n).ok())
}

/// A name; `+` and `-` mark entries that stand for a directory service.
fn name(text: &[u8]) -> Option<&[u8]> {
    (!text.is_empty() && !text.starts_with(b"+") && !text.starts_with(b"-")).then_some(text)
}

/// Parses a line of `passwd`.
pub fn passwd_line(line: &[u8]) -> Option<User> {
    let mut fields = line.splitn(7, |b| *b == b':');
    let name = name(fields.next()?)?.into();
    let (uid, gid) = (id(fields.nth(1)?)?, id(fields.next()?)?);
    let (home, shell) = (fields.nth(1)?.into(), fields.next()?.into());
    Some(User { uid, gid, name, home, shell })
}

/// Parses a line of `group`.
pub fn group_line(line: &[u8]) -> Option<Group> {
    let mut fields = line.split(|b| *b == b':');
    let name = name(fields.next()?)?.into();
    Some(Group { gid: id(fields.nth(1)?)?, name })
}

/// The accounts that two files tell.
pub fn accounts(passwd: &[u8], group: &[u8]) -> Accounts {
    use super::parse::lines;
    Accounts {
        users: lines(passwd).filter_map(passwd_line).collect(),
        groups: lines(group).filter_map(group_line).collect(),
    }
}

/// The accounts of the machine itself, below `host`.
pub fn of_host(host: &Path, notes: &mut Vec<String>) -> Accounts {
    let mut read = |file: &str| {
        let path = host.join(file);
        let mut text = Vec::new();
        if let Err(e) = super::file::open(rustix::fs::CWD, &path)
            .and_then(|fd| super::file::read_all(fd, usize::MAX >> 1, &mut text))
        {
            notes.push(format!("{}: {e}", path.display()));
        }
        text
    };
    let (passwd, group) = (read("etc/passwd"), read("etc/group"));
    accounts(&passwd, &group)
}

/// The accounts of a container, below its root directory. That tree is the container's: links stay below the root,
/// only regular files are read, and no more than 1 MiB of each.
pub fn of_root(root: impl AsFd) -> Accounts {
    let read = |path: &str| {
        let mut text = Vec::new();
        let read = below(&root, path).and_then(|fd| super::file::read_all(fd, MAX_FILE, &mut text));
        if read.is_err() {
            text.clear();
        }
        if text.len() >= MAX_FILE {
            // The last line may be cut.
            text.truncate(text.iter().rposition(|b| *b == b'\n').unwrap_or(0));
        }
        text
    };
    accounts(&read("etc/passwd"), &read("etc/group"))
}

/// A regular file below a directory that is not trusted.
pub fn below(root: impl AsFd, path: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let fd = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)?;
    match rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) {
        rustix::fs::FileType::RegularFile => Ok(fd),
        _ => Err(rustix::io::Errno::INVAL),
    }
}
