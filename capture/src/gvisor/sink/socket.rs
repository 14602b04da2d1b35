//! The socket in the file system: made so that nobody else can ever connect to it, and removed only if it is ours.

use crate::{Error, Result};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
use std::fs::{DirBuilder, Metadata, symlink_metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// A socket that was bound.
pub(super) struct Socket {
    path: PathBuf,
    /// Device and number of the file; `None` when it was removed.
    id: Option<(u64, u64)>,
}

impl Socket {
    /// Makes the socket at `path` and listens.
    pub fn listen(path: &Path) -> Result<(Socket, OwnedFd)> {
        let failed = |what: &str, e: Errno| Error::system(format!("{what} {}", path.display()), e.into());
        let address = SocketAddrUnix::new(path).map_err(|e| failed("listen at", e))?;
        make_folder(path)?;
        make_room(path, &address)?;
        let listener = new_socket().map_err(|e| failed("make a socket for", e))?;
        // The file gets the mode of the socket, less what the process's mask takes away: there is no moment when others
        // could connect. Nor could they before `listen`.
        let mode = Mode::RWXU;
        fchmod(&listener, mode).map_err(|e| failed("set the mode of", e))?;
        bind(&listener, &address).map_err(|e| failed("bind", e))?;
        let made = symlink_metadata(path).map_err(|e| Error::system(format!("look at {}", path.display()), e))?;
        let socket = Socket { path: path.to_owned(), id: Some(id(&made)) };
        if made.mode() & 0o7777 != mode.as_raw_mode() {
            rustix::fs::chmod(path, mode).map_err(|e| failed("set the mode of", e))?;
        }
        listen(&listener, BACKLOG).map_err(|e| failed("listen at", e))?;
        Ok((socket, listener))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, if it is still ours.
    pub fn remove(&mut self) {
        let Some(ours) = self.id.take() else { return };
        if symlink_metadata(&self.path).is_ok_and(|there| id(&there) == ours) {
            // Nothing is lost if it stays: who listens next replaces it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.remove();
    }
}

fn id(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// Makes the folder of `path` if it is missing.
fn make_folder(path: &Path) -> Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.exists() => DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|e| Error::system(format!("make the folder {}", folder.display()), e)),
        _ => Ok(()),
    }
}

/// Removes a socket at `path` that nobody listens to. Anything else there is an error.
fn make_room(path: &Path, address: &SocketAddrUnix) -> Result<()> {
    let at = path.display();
    let there = match symlink_metadata(path) {
        Ok(there) => there,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::system(format!("look at {at}"), e)),
    };
    if !there.file_type().is_socket() {
        return Err(Error::Option(format!(
            "listen at {at}: wanted nothing or an old socket there, found another file"
        )));
    }
    let probe = new_socket().map_err(|e| Error::system(format!("make a socket for {at}"), e.into()))?;
    match connect(&probe, address) {
        Err(Errno::CONNREFUSED) => {}
        // A full queue of connections, or a socket of another type, are listeners too.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => {
            return Err(Error::Option(format!("listen at {at}: another process listens there already")));
        }
        Err(e) => return Err(Error::system(format!("find out whether anybody listens at {at}"), e.into())),
    }
    // Somebody may have come just now.
    match symlink_metadata(path) {
        Ok(now) if id(&now) == id(&there) => {
            std::fs::remove_file(path).map_err(|e| Error::system(format!("remove the old socket {at}"), e))
        }
        _ => Ok(()),
    }
}

/// Process and user of the other side, at the time it connected. The process is `None` if it is not in our PID
/// namespace.
pub(super) fn peer_of(connection: BorrowedFd<'_>) -> std::io::Result<(Option<u32>, u32)> {
    // Not rustix: its type cannot hold the 0 that stands for a process of another namespace.
    let mut who = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut size = libc::socklen_t::try_from(size_of_val(&who)).unwrap_or(0);
    // SAFETY: both pointers are to live variables of the size and type that this option asks for.
    let result = unsafe {
        let to = (&raw mut who).cast();
        libc::getsockopt(connection.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, to, &raw mut size)
    };
    if result != 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok((u32::try_from(who.pid).ok().filter(|pid| *pid != 0), who.uid))
}
