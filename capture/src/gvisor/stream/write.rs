//! Writes files of packets.

use super::{CLOSED, CONTROL, DROPPED, HANDSHAKE, LENGTH, PACKET, PROCFS, REPLY, SWITCH, Sent, VERSION_1, What};
use crate::{Error, Result};
use rustix::fs::{Mode, fchmod};
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Bytes gathered before they are written.
const BUFFER: usize = 256 << 10;

/// Writes what sandboxes send as a `.gvstream`, the form that the module describes.
pub struct Writer {
    output: BufWriter<Box<dyn Write + Send>>,
    current: u32,
    /// Connections whose end was not written yet, lowest first: the end of the file may say the same.
    closed: Vec<u32>,
    written: u64,
}

impl Writer {
    /// Writes to the file `path`, which only its owner may read: it says what programs were given.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(path: &Path) -> Result<Writer> {
        let failed = |e| Error::system(format!("create {}", path.display()), e);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
        // One that was there before had a mode of its own. Pipes and devices keep theirs.
        if file.metadata().map_err(failed)?.is_file() {
            fchmod(&file, Mode::RUSR | Mode::WUSR).map_err(|e| failed(e.into()))?;
        }
        Ok(Writer::new(file))
    }

    /// Writes to `output`.
    pub fn new(output: impl Write + Send + 'static) -> Writer {
        let output: Box<dyn Write + Send> = Box::new(output);
        Writer { output: BufWriter::with_capacity(BUFFER, output), current: 0, closed: Vec::new(), written: 0 }
    }

    /// Bytes written so far, with those that still wait for [`Writer::flush`].
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Writes what was sent. Connections must be opened in the order of their numbers.
    ///
    /// # Errors
    /// When it cannot be written, or is a packet of no bytes or of 256 MiB and more.
    pub fn sent(&mut self, sent: &Sent) -> Result<()> {
        if sent.what == What::Closed {
            // The end of the file closes the lowest first: only in that order can it stand for these.
            if self.closed.last().is_some_and(|last| *last > sent.connection) {
                self.ends()?;
            }
            self.closed.push(sent.connection);
            return Ok(());
        }
        self.ends()?;
        self.switch(sent.connection)?;
        match &sent.what {
            What::Opened => {
                self.record(HANDSHAKE, &[], &VERSION_1)?;
                self.record(REPLY, &[], &VERSION_1)
            }
            What::Packet(packet) => self.record(PACKET, &[], packet),
            What::Procfs(text) => self.record(CONTROL, &[PROCFS], text),
            What::Dropped(count) => self.record(CONTROL, &[DROPPED], &count.to_le_bytes()),
            What::Closed => Ok(()),
        }
    }

    /// Hands everything to the system. Ends of connections after which nothing came are not written: the end of the
    /// file says them.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.output.flush().map_err(failed)
    }

    /// Writes the ends that had waited.
    fn ends(&mut self) -> Result<()> {
        for connection in std::mem::take(&mut self.closed) {
            self.switch(connection)?;
            self.record(CONTROL, &[CLOSED], &[])?;
        }
        Ok(())
    }

    fn switch(&mut self, connection: u32) -> Result<()> {
        if self.current == connection {
            return Ok(());
        }
        self.current = connection;
        self.record(CONTROL, &[SWITCH], &connection.to_le_bytes())
    }

    fn record(&mut self, flags: u32, first: &[u8], then: &[u8]) -> Result<()> {
        let length = first.len() + then.len();
        let fits = u32::try_from(length).ok().filter(|length| (1..=LENGTH).contains(length));
        let Some(length) = fits else {
            return Err(Error::Option(format!(
                "write packets: wanted a record of 1 to {LENGTH} bytes, found {length}"
            )));
        };
        self.output.write_all(&(flags << 28 | length).to_le_bytes()).map_err(failed)?;
        self.output.write_all(first).map_err(failed)?;
        self.output.write_all(then).map_err(failed)?;
        self.written += 4 + u64::from(length);
        Ok(())
    }
}

fn failed(e: std::io::Error) -> Error {
    Error::system("write packets", e)
}
