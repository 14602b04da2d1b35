//! The sink: where whole chunks go, and what is known to be safe there.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::{Error, Result};

/// What the bytes are written to.
enum Target {
    /// A file opened by path. `regular` files can be cut back after a failed write.
    File { file: File, regular: bool },
    /// Anything else: standard output, a socket, a test double.
    Writer(Box<dyn Write + Send>),
}

/// What is kept of the first error: [`io::Error`] cannot be cloned.
struct Failure {
    what: &'static str,
    os_code: Option<i32>,
    kind: io::ErrorKind,
    text: String,
}

/// An output that takes whole chunks, counts what is safe, and stays failed once it failed.
pub(super) struct Sink {
    target: Target,
    name: String,
    /// Bytes of whole chunks that reached the output.
    safe_bytes: u64,
    /// Events in those chunks.
    safe_events: u64,
    failure: Option<Failure>,
}

impl Sink {
    /// Opens `path` for writing: a new file gets mode 0600 (a capture holds what processes read
    /// and wrote), an existing one is emptied and keeps its mode.
    pub(super) fn create(path: &Path) -> Result<Sink> {
        let name = path.display().to_string();
        match open(path) {
            Ok((file, regular)) => Ok(Sink::new(Target::File { file, regular }, name)),
            Err(source) => Err(Error::Output { name, what: "create", safe_bytes: 0, safe_events: 0, source }),
        }
    }

    /// Wraps a writer. It is flushed after each chunk.
    pub(super) fn from_writer(writer: Box<dyn Write + Send>, name: &str) -> Sink {
        Sink::new(Target::Writer(writer), name.to_owned())
    }

    fn new(target: Target, name: String) -> Sink {
        Sink { target, name, safe_bytes: 0, safe_events: 0, failure: None }
    }

    /// Bytes of whole chunks that reached the output.
    pub(super) fn safe_bytes(&self) -> u64 {
        self.safe_bytes
    }

    /// Events in the chunks that reached the output.
    pub(super) fn safe_events(&self) -> u64 {
        self.safe_events
    }

    /// The first error once more, if there was one.
    pub(super) fn check(&self) -> Result<()> {
        let Some(failure) = &self.failure else {
            return Ok(());
        };
        let source = match failure.os_code {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(failure.kind, failure.text.clone()),
        };
        Err(self.error(failure.what, source))
    }

    /// Writes one chunk of `events` events. It counts as safe once all of it is written.
    pub(super) fn chunk(&mut self, stored: &[u8], events: u64) -> Result<()> {
        self.write(stored)?;
        self.safe_bytes = self.safe_bytes.saturating_add(stored.len() as u64);
        self.safe_events = self.safe_events.saturating_add(events);
        Ok(())
    }

    /// Writes what follows the last chunk. A failure cuts a regular file back to its chunks.
    pub(super) fn tail(&mut self, stored: &[u8]) -> Result<()> {
        if stored.is_empty() {
            return self.check();
        }
        self.write(stored)
    }

    /// Records an error; every later call fails with the same one.
    pub(super) fn fail(&mut self, what: &'static str, source: io::Error) -> Error {
        self.failure =
            Some(Failure { what, os_code: source.raw_os_error(), kind: source.kind(), text: source.to_string() });
        self.error(what, source)
    }

    fn write(&mut self, stored: &[u8]) -> Result<()> {
        self.check()?;
        // `write_all` goes on after short writes and EINTR.
        let done = match &mut self.target {
            Target::File { file, .. } => file.write_all(stored).map_err(|e| ("write", e)),
            // Standard output keeps what follows the last byte 0x0a: what is not flushed is not
            // safe.
            Target::Writer(writer) => match writer.write_all(stored) {
                Ok(()) => flush(&mut **writer).map_err(|e| ("flush", e)),
                Err(e) => Err(("write", e)),
            },
        };
        let Err((what, source)) = done else {
            return Ok(());
        };
        if let Target::File { file, regular: true } = &self.target {
            // Part of a chunk may be there. Without it the file is a valid capture; if this fails
            // too, the error still says how much is.
            let _ = file.set_len(self.safe_bytes);
        }
        Err(self.fail(what, source))
    }

    fn error(&self, what: &'static str, source: io::Error) -> Error {
        Error::Output {
            name: self.name.clone(),
            what,
            safe_bytes: self.safe_bytes,
            safe_events: self.safe_events,
            source,
        }
    }
}

fn open(path: &Path) -> io::Result<(File, bool)> {
    // Emptied after a look at what it is, not by O_TRUNC.
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        file.set_len(0)?;
    } else if !(kind.is_char_device() || kind.is_block_device() || kind.is_fifo()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a regular file nor a device nor a pipe"));
    }
    Ok((file, kind.is_file()))
}

/// [`Write::flush`] that goes on after EINTR.
fn flush(writer: &mut dyn Write) -> io::Result<()> {
    loop {
        match writer.flush() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
