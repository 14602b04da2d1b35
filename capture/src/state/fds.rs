//! The fds of a process (os-state section 2).

use super::exe;
use super::file;
use super::mounts::{Mounts, device};
use super::parse::{self, FdInfo, number_of};
use super::snapshot::{Fd, Span};
use super::tables::{SocketInfo, Table};
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, Statx};
use scapkit_format::lists::fds::FdType;
use std::io::Write as _;
use std::sync::Arc;

/// Longest name of an fd that readers take.
const MAX_NAME: usize = 1023;

/// What a link of `fd` says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// A pipe without a name, with its inode.
    Pipe(u64),
    /// A socket, with its inode.
    Socket(u64),
    /// Something that has no path.
    Anonymous(FdType),
    /// A memfd, most likely: a file of that name could be in the root directory.
    Memfd,
    /// What has a path or is a namespace: its mode says what it is.
    Path,
}

/// Classes of `anon_inode:` and what lists call them.
const ANONYMOUS: &[(&[u8], FdType)] = &[
    (b"[eventfd]", FdType::EVENT),
    (b"[eventpoll]", FdType::EVENTPOLL),
    (b"inotify", FdType::INOTIFY),
    (b"[signalfd]", FdType::SIGNALFD),
    (b"[timerfd]", FdType::TIMERFD),
    (b"[io_uring]", FdType::IOURING),
    (b"[userfaultfd]", FdType::USERFAULTFD),
    (b"[pidfd]", FdType::PIDFD),
    (b"bpf-map", FdType::BPF),
    (b"bpf-prog", FdType::BPF),
    (b"bpf-link", FdType::BPF),
    (b"bpf_iter", FdType::BPF),
];

/// Parses a link of `fd`. What is in a file system begins with `/`, so no file can pass for another thing. The
/// link decides before the mode does: newer kernels give some of these the mode of a regular file.
pub fn link(text: &[u8]) -> Link {
    if let Some(ino) = number_of(text, b"pipe") {
        Link::Pipe(ino)
    } else if let Some(ino) = number_of(text, b"socket") {
        Link::Socket(ino)
    } else if let Some(class) = text.strip_prefix(b"anon_inode:") {
        let known = ANONYMOUS.iter().find(|(name, _)| *name == class);
        // Eventfds had a number for a while: `[eventfd-12]`.
        let eventfd = class.starts_with(b"[eventfd-");
        Link::Anonymous(known.map_or(if eventfd { FdType::EVENT } else { FdType::UNSUPPORTED }, |(_, kind)| *kind))
    } else if parse::is_memfd(text) {
        Link::Memfd
    } else {
        Link::Path
    }
}

/// The type of what has a path, by its mode.
pub fn by_mode(mode: u32) -> FdType {
    match FileType::from_raw_mode(mode) {
        FileType::Fifo => FdType::FIFO,
        FileType::Directory => FdType::DIRECTORY,
        FileType::RegularFile | FileType::BlockDevice | FileType::CharacterDevice | FileType::Symlink => {
            FdType::FILE_V2
        }
        _ => FdType::UNSUPPORTED,
    }
}

/// The type by which lists know a socket.
pub fn by_socket(socket: &SocketInfo) -> FdType {
    match socket {
        SocketInfo::V4 { .. } if socket.is_server() => FdType::IPV4_SERVSOCK,
        SocketInfo::V4 { .. } => FdType::IPV4_SOCK,
        SocketInfo::V6 { .. } if socket.is_server() => FdType::IPV6_SERVSOCK,
        SocketInfo::V6 { .. } => FdType::IPV6_SOCK,
        SocketInfo::Unix { .. } => FdType::UNIX_SOCK,
        SocketInfo::Netlink { .. } => FdType::NETLINK,
    }
}

/// What fds are read with.
pub struct Around<'a> {
    /// A process or a live thread of it.
    pub dir: &'a OwnedFd,
    /// Mounts of its namespace.
    pub mounts: &'a Mounts,
    /// Gives the sockets of its namespace.
    pub sockets: &'a dyn Fn() -> Option<Arc<Table>>,
    /// For links and `fdinfo`.
    pub buffer: &'a mut [u8],
    /// For numbers.
    pub numbers: &'a mut Vec<u32>,
}

/// Appends a text to a process's, cut to what lists hold.
pub(super) fn put(text: &mut Vec<u8>, bytes: &[u8], max: usize) -> Span {
    let bytes = bytes.get(..max).unwrap_or(bytes);
    let from = u32::try_from(text.len()).unwrap_or(u32::MAX);
    text.extend_from_slice(bytes);
    Span { from, len: u32::try_from(bytes.len()).unwrap_or(0) }
}

/// Reads the fds of a process; names go to `text`. One that is closed meanwhile is left out. `false`: the table
/// could not be read.
pub fn read(around: &mut Around<'_>, text: &mut Vec<u8>, out: &mut Vec<Fd>) -> bool {
    let listed = file::directory(around.dir, "fd").and_then(|dir| {
        file::numbers(&dir, around.numbers)?;
        Ok(dir)
    });
    let Ok(links) = listed else {
        return false;
    };
    if around.numbers.is_empty() {
        return true;
    }
    let (mut name, mut path) = (Vec::new(), Vec::new());
    const INFO: &[u8] = b"fdinfo/";
    let mut table: Option<Option<Arc<Table>>> = None;
    out.reserve_exact(around.numbers.len());
    for number in around.numbers.iter() {
        path.clear();
        name.clear();
        path.extend_from_slice(INFO);
        // Writing to a vector cannot fail.
        let _ = write!(path, "{number}");
        let digits = path.get(INFO.len()..).unwrap_or_default();
        if file::link_at(&links, digits, &mut name).is_err() {
            continue;
        }
        let info = file::read_at(around.dir, path.as_slice(), around.buffer).map(parse::fdinfo).unwrap_or_default();
        let mut fd = Fd {
            fd: *number,
            kind: FdType::UNSUPPORTED,
            ino: info.ino.unwrap_or(0),
            dev: 0,
            mount_id: info.mount_id,
            flags: info.flags,
            socket: None,
            name: Span::default(),
        };
        match link(&name) {
            Link::Pipe(ino) => {
                fd.kind = FdType::FIFO;
                fd.ino = ino;
                fd.name = put(text, &name, MAX_NAME);
            }
            Link::Socket(ino) => {
                fd.ino = ino;
                let table = table.get_or_insert_with(|| (around.sockets)());
                fd.socket = table.as_ref().and_then(|t| t.get(&ino).cloned());
                match &fd.socket {
                    Some(socket) => fd.kind = by_socket(socket),
                    None => fd.name = put(text, &name, MAX_NAME),
                }
            }
            Link::Anonymous(kind) => {
                fd.kind = kind;
                if info.ino.is_none() {
                    fd.ino = exe::stat(&links, digits).map_or(0, |s| s.stx_ino);
                }
                // Named as events name it.
                if let (FdType::PIDFD, Some(pid @ 1..)) = (kind, info.pid) {
                    name.clear();
                    let _ = write!(name, "/proc/{pid}");
                    fd.name = put(text, &name, MAX_NAME);
                }
            }
            what @ (Link::Memfd | Link::Path) => {
                let Ok(stat) = exe::stat(&links, digits) else {
                    continue;
                };
                with_path(&mut fd, what, &stat, &info, around.mounts, &name, text);
            }
        }
        out.push(fd);
    }
    true
}

fn with_path(fd: &mut Fd, what: Link, stat: &Statx, info: &FdInfo, mounts: &Mounts, name: &[u8], text: &mut Vec<u8>) {
    fd.ino = stat.stx_ino;
    let mount = mounts.get(info.mount_id);
    // The kernel's own mount, where memfds are, is in no namespace.
    if what == Link::Memfd && mount.is_none() {
        fd.kind = FdType::MEMFD;
        fd.name = put(text, parse::memfd_name(name), MAX_NAME);
        return;
    }
    fd.kind = by_mode(stat.stx_mode.into());
    fd.name = put(text, name, MAX_NAME);
    if fd.kind == FdType::FILE_V2 {
        // The mount's device is the file system's, as events have it; a file's own can be another (btrfs).
        fd.dev = mount.map_or_else(|| device(stat.stx_dev_major, stat.stx_dev_minor), |m| m.dev);
    }
}
