//! The one call that gives orders to the module.
#![allow(unsafe_code)]

use super::control::Command;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Gives `command` to the module behind `file`. Returns what the command asks for, or 0.
///
/// # Errors
/// When the module refuses it.
pub fn send(file: &File, command: Command) -> io::Result<u64> {
    let mut answer: u64 = 0;
    let result = if command.asks() {
        // SAFETY: the module writes 64 bits to the address that it is given, which are ours to be written.
        unsafe { libc::ioctl(file.as_raw_fd(), command.number(), &raw mut answer) }
    } else {
        // SAFETY: these commands take a number and touch no memory of this program.
        unsafe { libc::ioctl(file.as_raw_fd(), command.number(), libc::c_ulong::from(command.value())) }
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}
