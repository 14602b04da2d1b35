//! Small files and links below a directory handle, read into buffers that are used again.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags, RawDir};
use rustix::io::{Errno, Result};
use std::mem::MaybeUninit;

const READ: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// A directory below another.
pub fn directory(at: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd> {
    rustix::fs::openat(at, path, READ | OFlags::DIRECTORY, Mode::empty())
}

/// A file to read.
pub fn open(at: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd> {
    rustix::fs::openat(at, path, READ, Mode::empty())
}

/// The file's start, up to the buffer's size. One that is made for each read, as most of `/proc/PID` are, comes
/// whole with the first: then a second read would only say that this is the end.
pub fn read_once(fd: impl AsFd, buffer: &mut [u8]) -> Result<&[u8]> {
    loop {
        match rustix::io::read(&fd, &mut *buffer) {
            Ok(n) => return Ok(buffer.get(..n).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
}

/// As [`read_once`], of a file below a directory.
pub fn read_at(at: impl AsFd, path: impl rustix::path::Arg, buffer: &mut [u8]) -> Result<&[u8]> {
    read_once(open(at, path)?, buffer)
}

/// The whole file, up to `max` bytes.
pub fn read_all(fd: impl AsFd, max: usize, out: &mut Vec<u8>) -> Result<()> {
    out.clear();
    while out.len() < max {
        let len = out.len();
        let room = max.saturating_sub(len).min(64 << 10);
        out.resize(len.saturating_add(room), 0);
        let read = rustix::io::read(&fd, out.get_mut(len..).unwrap_or_default());
        out.truncate(len.saturating_add(*read.as_ref().unwrap_or(&0)));
        match read {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Appends a link's text; nothing when it cannot be read.
pub fn link_at(at: impl AsFd, path: impl rustix::path::Arg, out: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
    let (text, _) = rustix::fs::readlinkat_raw(at, path, &mut buffer)?;
    out.extend_from_slice(text);
    Ok(())
}

/// The names in a directory that are numbers, in ascending order.
pub fn numbers(dir: impl AsFd, out: &mut Vec<u32>) -> Result<()> {
    out.clear();
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name.iter().all(u8::is_ascii_digit) {
            out.extend(super::parse::number(name).and_then(|n| u32::try_from(n).ok()));
        }
    }
    out.sort_unstable();
    out.dedup();
    Ok(())
}
