//! The socket by which a running flight recorder is told to write a file.
//!
//! A Unix stream socket with mode 0600. A client writes `dump` and a line feed; the answer, when the file is
//! complete, is one line: `ok NAME`, or `error TEXT`.

use crate::{Error, Result};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Clients that may be connected at the same time.
const MAX_CLIENTS: usize = 16;
/// The only request there is.
const REQUEST: &[u8] = b"dump\n";

/// The recorder's end. The socket's file goes with it.
#[derive(Debug)]
pub struct Control {
    listener: UnixListener,
    path: PathBuf,
    /// Clients, and what each has written so far.
    asking: Vec<(UnixStream, Vec<u8>)>,
    /// Clients that wait for an answer, and for which file.
    waiting: Vec<(UnixStream, PathBuf)>,
}

impl Control {
    /// Listens at `path`. A socket there that nobody listens at is removed; anything else stays.
    ///
    /// # Errors
    /// When the path is taken or cannot be made.
    pub fn listen(path: &Path) -> Result<Control> {
        let name = path.display();
        if let Ok(there) = path.symlink_metadata() {
            if !there.file_type().is_socket() {
                return Err(Error::Option(format!("{name}: is there and is no socket")));
            }
            match UnixStream::connect(path) {
                Ok(_) => return Err(Error::Option(format!("{name}: another recorder listens there"))),
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(|e| Error::system(format!("remove {name}"), e))?;
                }
                Err(e) => return Err(Error::system(format!("connect to {name}"), e)),
            }
        }
        let listener = private_socket(path).map_err(|e| Error::system(format!("listen at {name}"), e))?;
        Ok(Control { listener, path: path.to_owned(), asking: Vec::new(), waiting: Vec::new() })
    }

    /// Asks `dump` for a file's name for each request that came since. Never waits.
    pub fn poll(&mut self, dump: &mut dyn FnMut() -> Result<PathBuf>) {
        while self.asking.len() + self.waiting.len() < MAX_CLIENTS
            && let Ok((client, _)) = self.listener.accept()
        {
            if client.set_nonblocking(true).is_ok() {
                self.asking.push((client, Vec::new()));
            }
        }
        for (mut client, mut text) in std::mem::take(&mut self.asking) {
            let mut buffer = [0; 16];
            match client.read(&mut buffer) {
                Ok(n) if n > 0 => {
                    text.extend_from_slice(buffer.get(..n).unwrap_or_default());
                    if text == REQUEST {
                        match dump() {
                            Ok(path) => self.waiting.push((client, path)),
                            Err(e) => answer(client, &format!("error {e}")),
                        }
                    } else if REQUEST.starts_with(&text) {
                        self.asking.push((client, text));
                    } else {
                        answer(client, "error no such request");
                    }
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    self.asking.push((client, text));
                }
                // Gone.
                _ => {}
            }
        }
    }

    /// Tells those who wait for the file `path` what became of it: nothing, or why it is not there.
    pub fn done(&mut self, path: &Path, failure: Option<&str>) {
        let waiting = std::mem::take(&mut self.waiting);
        for (client, of) in waiting {
            if of == path {
                let name = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                let text = failure.map_or_else(|| format!("ok {}", name.display()), |why| format!("error {why}"));
                answer(client, &text);
            } else {
                self.waiting.push((client, of));
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A socket that nobody else may connect to: it gets its mode before anyone can.
fn private_socket(path: &Path) -> std::io::Result<UnixListener> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    listen(&socket, 16)?;
    Ok(UnixListener::from(socket))
}

/// One line; a client that does not read it loses it.
fn answer(mut client: UnixStream, text: &str) {
    let line: String = text.chars().map(|c| if c == '\n' { ' ' } else { c }).chain(['\n']).collect();
    let _ = client.write_all(line.as_bytes());
}

/// Asks the recorder that listens at `path` for a file, waits for it, and gives its name.
///
/// # Errors
/// When nobody listens, or the recorder says why there is no file.
pub fn request(path: &Path, patience: Option<Duration>) -> Result<PathBuf> {
    let at = |what: &str| format!("{what} {}", path.display());
    let mut stream = UnixStream::connect(path).map_err(|e| Error::system(at("connect to"), e))?;
    stream.set_read_timeout(patience).map_err(|e| Error::system(at("wait for"), e))?;
    stream.write_all(REQUEST).map_err(|e| Error::system(at("ask"), e))?;
    let mut text = Vec::new();
    stream.take(1 << 16).read_to_end(&mut text).map_err(|e| Error::system(at("wait for"), e))?;
    let text = String::from_utf8_lossy(&text);
    match text.trim_end().split_once(' ') {
        Some(("ok", name)) => Ok(PathBuf::from(name)),
        Some(("error", why)) => Err(Error::Option(why.to_owned())),
        _ => Err(Error::Option(format!("{}: the recorder ended without an answer", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_request_is_answered_when_the_file_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control");
        let mut control = Control::listen(&socket).unwrap();
        assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let asked = std::thread::spawn({
            let socket = socket.clone();
            move || request(&socket, Some(Duration::from_secs(20)))
        });
        let mut requests = 0;
        while requests == 0 {
            control.poll(&mut || {
                requests += 1;
                Ok("x.scap".into())
            });
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(!asked.is_finished());
        control.done(Path::new("other.scap"), None);
        assert!(!asked.is_finished());
        control.done(Path::new("x.scap"), None);
        assert!(asked.join().unwrap().unwrap().ends_with("x.scap"));
        assert_eq!(requests, 1);
    }

    #[test]
    fn failures_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control");
        assert!(request(&socket, None).is_err());
        let mut control = Control::listen(&socket).unwrap();
        let asked = std::thread::spawn({
            let socket = socket.clone();
            move || request(&socket, Some(Duration::from_secs(20)))
        });
        while !asked.is_finished() {
            control.poll(&mut || Err(Error::Option("the disk is full".into())));
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(asked.join().unwrap().unwrap_err().to_string(), "the disk is full");
        let mut stranger = UnixStream::connect(&socket).unwrap();
        stranger.write_all(b"GET / HTTP/1.0\n").unwrap();
        let mut text = String::new();
        for _ in 0..3 {
            control.poll(&mut || panic!("not asked for"));
        }
        stranger.read_to_string(&mut text).unwrap();
        assert_eq!(text, "error no such request\n");
    }

    #[test]
    fn only_a_socket_that_nobody_listens_at_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control");
        std::fs::write(&socket, "precious").unwrap();
        assert!(Control::listen(&socket).unwrap_err().to_string().contains("is no socket"));
        assert_eq!(std::fs::read_to_string(&socket).unwrap(), "precious");
        std::fs::remove_file(&socket).unwrap();
        // As a recorder leaves it that is killed.
        drop(UnixListener::bind(&socket).unwrap());
        let control = Control::listen(&socket).unwrap();
        assert!(Control::listen(&socket).unwrap_err().to_string().contains("another recorder"));
        drop(control);
        assert!(!socket.exists());
    }
}
