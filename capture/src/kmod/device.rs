//! A device of the module: one processor's ring, and the way to give orders.

use super::control::{self, Control, Version};
use super::ioctl;
use super::ring::Ring;
use crate::{Error, Result};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// An open device.
pub struct Device {
    pub(super) cpu: u16,
    pub(super) name: String,
    pub(super) ring: Ring,
    pub(super) control: Control,
    pub(super) versions: (Version, Version),
}

impl Device {
    /// Opens the device at `path`, of processor `cpu`, whose ring has `ring_bytes` bytes; `None` when the processor
    /// is offline.
    ///
    /// The module takes the thread that opens devices for the one that records, so one thread must open all of them.
    ///
    /// # Errors
    /// When it is not there, is taken, may not be opened, or is of a version that is not understood.
    pub fn open(path: &str, cpu: u16, ring_bytes: usize) -> Result<Option<Device>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => file,
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => return Ok(None),
            Err(e) => return Err(not_opened(path, e)),
        };
        let orders = file.try_clone().map_err(|e| Error::system(path, e))?;
        let control: Control = Box::new(move |command| ioctl::send(&orders, command));
        Device::new(path, cpu, &file, &file, ring_bytes, control).map(Some)
    }

    /// A device of these parts: what [`Device::open`] does once the file is open, and what a simulated device is made
    /// of. `info` and `buffer` are mapped, one page and twice `ring_bytes`; they are the same file for the module's
    /// devices. A file in place of the buffer has the ring twice, one after the other. Whoever writes to such files
    /// keeps to the order that [`super`] tells of, and does not shorten them.
    ///
    /// # Errors
    /// When its version is not understood, or its memory cannot be mapped.
    pub fn new(
        name: &str,
        cpu: u16,
        info: &File,
        buffer: &File,
        ring_bytes: usize,
        mut control: Control,
    ) -> Result<Device> {
        check_ring_bytes(ring_bytes)?;
        let versions = control::versions(name, &mut control)?;
        let ring = Ring::new(name, info.as_fd(), buffer.as_fd(), ring_bytes)?;
        Ok(Device { cpu, name: name.to_owned(), ring, control, versions })
    }
}

/// Checks what the module wants of a ring's size.
///
/// # Errors
/// [`Error::Option`] with what is wrong.
pub fn check_ring_bytes(bytes: usize) -> Result<()> {
    let least = 4 * rustix::param::page_size();
    if !bytes.is_power_of_two() || bytes < least || bytes > 1 << 30 {
        return Err(Error::Option(format!(
            "a ring of {bytes} bytes: wanted is a power of two from {least} to {}",
            1 << 30
        )));
    }
    Ok(())
}

/// Where devices of processors are, without the processor's number: the first of `candidates` that has one for `cpu`.
///
/// # Errors
/// [`Error::Kernel`] when there is none.
pub fn find<'a>(candidates: &[&'a str], cpu: u16) -> Result<&'a str> {
    let found = candidates.iter().find(|prefix| Path::new(&format!("{prefix}{cpu}")).exists());
    found.copied().ok_or_else(|| {
        let names: Vec<String> = candidates.iter().map(|prefix| format!("{prefix}{cpu}")).collect();
        Error::Kernel(format!(
            "there is no {}: falcosecurity's kernel module is not loaded (`lsmod | grep -E '^(scap|falco)'` lists it, \
             `modprobe scap` loads it where it is installed)",
            names.join(" or ")
        ))
    })
}

/// Tells the module, whose directory of parameters is `parameters`, how large rings are to be. It counts for devices
/// that are opened later. Older modules have no such parameter; their rings then fail to be mapped if they differ.
///
/// # Errors
/// When the parameter cannot be read or written.
pub fn set_ring_bytes(parameters: &Path, bytes: usize) -> Result<()> {
    let path = parameters.join("g_buffer_bytes_dim");
    let failed = |what: &str, e| Error::system(format!("{what} {}, the size of the module's rings", path.display()), e);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(failed("reading", e)),
    };
    if text.trim().parse() == Ok(bytes) {
        return Ok(());
    }
    // Not created: it is there.
    let mut file = OpenOptions::new().write(true).truncate(true).open(&path).map_err(|e| failed("writing", e))?;
    io::Write::write_all(&mut file, bytes.to_string().as_bytes()).map_err(|e| failed("writing", e))
}

/// Why a device could not be opened, in words that help.
fn not_opened(path: &str, error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            Error::Privilege { what: format!("opening {path}"), capability: "CAP_DAC_OVERRIDE" }
        }
        Some(libc::EBUSY) => Error::system(
            format!(
                "{path} is taken: this program has it open already, or as many programs record as the module's \
                 parameter max_consumers allows"
            ),
            error,
        ),
        Some(libc::ENOENT | libc::ENXIO) => {
            Error::Kernel(format!("there is no device {path} of falcosecurity's kernel module: {error}"))
        }
        _ => Error::system(format!("opening {path}"), error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_device_cannot_be_opened() {
        let text = |errno| not_opened("/dev/scap3", io::Error::from_raw_os_error(errno)).to_string();
        assert!(text(libc::EBUSY).starts_with("/dev/scap3 is taken"), "{}", text(libc::EBUSY));
        assert!(text(libc::EACCES).contains("CAP_DAC_OVERRIDE"), "{}", text(libc::EACCES));
        assert!(text(libc::ENOENT).contains("no device /dev/scap3"), "{}", text(libc::ENOENT));
        assert!(text(libc::EIO).starts_with("opening /dev/scap3"), "{}", text(libc::EIO));
    }

    #[test]
    fn the_ring_size_is_written_where_it_differs() {
        let directory = tempfile::tempdir().unwrap();
        // An older module has no such parameter.
        set_ring_bytes(directory.path(), 1 << 20).unwrap();
        let file = directory.path().join("g_buffer_bytes_dim");
        assert!(!file.exists());
        std::fs::write(&file, "8388608\n").unwrap();
        set_ring_bytes(directory.path(), 8 << 20).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "8388608\n");
        set_ring_bytes(directory.path(), 1 << 20).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "1048576");
    }

    #[test]
    fn sizes_of_rings() {
        let page = rustix::param::page_size();
        for wrong in [0, 1, page, 2 * page, 3 * page, (8 << 20) + page, 2 << 30] {
            assert!(check_ring_bytes(wrong).is_err(), "{wrong}");
        }
        for right in [4 * page, 8 << 20, 1 << 30] {
            check_ring_bytes(right).unwrap();
        }
    }
}
