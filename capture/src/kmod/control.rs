//! What can be said to the module, in which order, and which versions of it are understood.
//!
//! Source: falcosecurity/libs of 2026-07-22, `driver/ppm_events_public.h` (numbers of commands), `driver/ppm_tp.h`
//! (numbers of tracepoints), `driver/ppm_api_version.h` (layout of versions).

use super::KmodOptions;
use crate::{Error, Result};
use scapkit_format::schema::{self, id};
use std::collections::BTreeSet;
use std::fmt;
use std::io;

/// Gives commands to a device: the module's, or what stands in for it in a test. Returns what a command asks for.
pub type Control = Box<dyn FnMut(Command) -> io::Result<u64> + Send>;

/// A command. All but the first two are about everything that the opener of the devices records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Which version of these commands and of the rings it has.
    ApiVersion,
    /// Which version of the events it has.
    SchemaVersion,
    /// Record all, not a sample of it.
    NoSampling,
    /// Bytes of I/O data per event.
    Snaplen(u16),
    /// Leave out calls that fail, or do not.
    DropFailed(bool),
    /// Record a call, by the machine's number, or do not.
    Call(u16, bool),
    /// Attach to one of the kernel's tracepoints, or detach.
    Tracepoint(Tracepoint, bool),
}

/// The kernel's tracepoints that the module knows, by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tracepoint {
    /// `sys_enter`
    Enter = 0,
    /// `sys_exit`
    Exit = 1,
    /// `sched_process_exit`
    ProcessExit = 2,
    /// `sched_switch`
    Switch = 3,
    /// `page_fault_user`
    FaultUser = 4,
    /// `page_fault_kernel`
    FaultKernel = 5,
    /// `signal_deliver`
    Signal = 6,
    /// `sched_process_fork`
    Fork = 7,
    /// `sched_process_exec`
    Exec = 8,
}

impl Command {
    /// Number of the command for `ioctl`: `_IO('s', n)`.
    pub fn number(self) -> libc::c_ulong {
        let n = match self {
            Command::NoSampling => 2,
            Command::Snaplen(_) => 4,
            Command::ApiVersion => 24,
            Command::SchemaVersion => 25,
            Command::Call(_, true) => 29,
            Command::Call(_, false) => 30,
            Command::Tracepoint(_, true) => 31,
            Command::Tracepoint(_, false) => 32,
            Command::DropFailed(true) => 33,
            Command::DropFailed(false) => 34,
        };
        (libc::c_ulong::from(b's') << 8) | n
    }

    /// What is given with it.
    pub fn value(self) -> u32 {
        match self {
            Command::Snaplen(n) | Command::Call(n, _) => u32::from(n),
            Command::Tracepoint(tracepoint, _) => tracepoint as u32,
            Command::ApiVersion | Command::SchemaVersion | Command::NoSampling | Command::DropFailed(_) => 0,
        }
    }

    /// Whether it asks for a number of 64 bits.
    pub fn asks(self) -> bool {
        matches!(self, Command::ApiVersion | Command::SchemaVersion)
    }
}

/// A version as the module gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Changes with what cannot be understood by older readers.
    pub major: u32,
    /// Changes with additions.
    pub minor: u32,
    /// Changes with corrections.
    pub patch: u32,
}

impl Version {
    /// From its 64 bits: 19 of `major` at bit 44, 20 of `minor` at bit 24, 24 of `patch`.
    pub fn from_bits(bits: u64) -> Version {
        let part = |shift: u32, len: u32| u32::try_from((bits >> shift) & ((1 << len) - 1)).unwrap_or(0);
        Version { major: part(44, 19), minor: part(24, 20), patch: part(0, 24) }
    }

    /// Its 64 bits.
    pub fn bits(self) -> u64 {
        (u64::from(self.major) << 44) | (u64::from(self.minor) << 24) | u64::from(self.patch)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The version of rings and commands that this module was written for.
const API: Version = Version { major: 10, minor: 0, patch: 0 };
/// The oldest version of events whose calls are told of by one event, at their end.
const SCHEMA: Version = Version { major: 4, minor: 3, patch: 0 };

/// Asks device `name` for its versions, commands' first.
///
/// # Errors
/// [`Error::Kernel`] when it has others than this program understands.
pub fn versions(name: &str, control: &mut Control) -> Result<(Version, Version)> {
    let mut ask = |command, what: &str, wanted: Version| {
        let bits = control(command).map_err(|e| {
            Error::system(
                format!("{name}: asking for its {what} version; is it a device of falcosecurity's module?"),
                e,
            )
        })?;
        let found = Version::from_bits(bits);
        if found.major != wanted.major || found < wanted {
            return Err(Error::Kernel(format!(
                "{name} has {what} version {found}; wanted is {}.{}.{} or a later {}",
                wanted.major, wanted.minor, wanted.patch, wanted.major
            )));
        }
        Ok(found)
    };
    Ok((ask(Command::ApiVersion, "API", API)?, ask(Command::SchemaVersion, "schema", SCHEMA)?))
}

/// Calls that the module has numbers for.
const CALLS: u16 = 512;
/// Calls that start processes or make them another program, which every reader of a capture needs (x86_64): clone,
/// fork, vfork, execve, execveat, clone3.
const ALWAYS: [u16; 6] = [56, 57, 58, 59, 322, 435];

/// Commands that begin to record, in order. No call is recorded before the tracepoints are attached.
///
/// # Errors
/// [`Error::Option`] when event types are chosen on a machine whose calls are not known here.
pub fn begin(options: &KmodOptions) -> Result<Vec<Command>> {
    let mut commands =
        vec![Command::NoSampling, Command::Snaplen(options.snaplen), Command::DropFailed(options.drop_failed)];
    let wanted = calls(options)?;
    commands.extend((0..CALLS).map(|nr| Command::Call(nr, wanted.contains(&nr))));
    let chosen = [
        (Tracepoint::Enter, true),
        (Tracepoint::Exit, true),
        (Tracepoint::Fork, true),
        (Tracepoint::Exec, true),
        (Tracepoint::ProcessExit, true),
        (Tracepoint::Switch, options.switches),
        (Tracepoint::FaultUser, options.faults),
        (Tracepoint::FaultKernel, options.faults),
        (Tracepoint::Signal, options.signals),
    ];
    commands.extend(chosen.map(|(tracepoint, on)| Command::Tracepoint(tracepoint, on)));
    Ok(commands)
}

/// Commands that end it.
pub fn end() -> Vec<Command> {
    let tracepoints = [
        Tracepoint::Enter,
        Tracepoint::Exit,
        Tracepoint::Fork,
        Tracepoint::Exec,
        Tracepoint::ProcessExit,
        Tracepoint::Switch,
        Tracepoint::FaultUser,
        Tracepoint::FaultKernel,
        Tracepoint::Signal,
    ];
    let calls = (0..CALLS).map(|nr| Command::Call(nr, false));
    calls.chain(tracepoints.map(|tracepoint| Command::Tracepoint(tracepoint, false))).collect()
}

/// The machine's numbers of the calls to record.
fn calls(options: &KmodOptions) -> Result<BTreeSet<u16>> {
    let known = cfg!(target_arch = "x86_64");
    let Some(types) = &options.types else {
        return Ok((0..CALLS).filter(|nr| !known || schema::native_x86_64(*nr).is_some()).collect());
    };
    if !known {
        return Err(Error::Option(format!(
            "event types cannot be chosen with the kernel module on {}",
            std::env::consts::ARCH
        )));
    }
    let wants = |nr: &u16| {
        schema::native_x86_64(*nr).is_some_and(|call| {
            // Calls without an event of their own have type 0 in the table.
            types.contains(&if call.exit == 0 { id::GENERIC_X } else { call.exit })
        })
    };
    Ok((0..CALLS).filter(wants).chain(ALWAYS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_interface() {
        // 's' is 0x73.
        let numbers: Vec<_> = [
            Command::NoSampling,
            Command::Snaplen(80),
            Command::ApiVersion,
            Command::SchemaVersion,
            Command::Call(59, true),
            Command::Call(59, false),
            Command::Tracepoint(Tracepoint::Exec, true),
            Command::Tracepoint(Tracepoint::Exec, false),
            Command::DropFailed(true),
            Command::DropFailed(false),
        ]
        .map(|c| (c.number(), c.value()))
        .into();
        let wanted = [
            (0x7302, 0),
            (0x7304, 80),
            (0x7318, 0),
            (0x7319, 0),
            (0x731d, 59),
            (0x731e, 59),
            (0x731f, 8),
            (0x7320, 8),
            (0x7321, 0),
            (0x7322, 0),
        ];
        assert_eq!(numbers, wanted);
    }

    #[test]
    fn versions_are_packed() {
        let version = Version { major: 10, minor: 1, patch: 7 };
        assert_eq!(version.bits(), 0x0000_a000_0100_0007);
        assert_eq!(Version::from_bits(version.bits()), version);
        assert_eq!(Version::from_bits(u64::MAX), Version { major: 0x7_ffff, minor: 0xf_ffff, patch: 0xff_ffff });
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn chosen_types_are_the_calls_recorded() {
        let options = KmodOptions { types: Some(vec![id::SYSCALL_OPENAT_2_X]), ..KmodOptions::default() };
        let on: Vec<u16> = begin(&options)
            .unwrap()
            .into_iter()
            .filter_map(|c| if let Command::Call(nr, true) = c { Some(nr) } else { None })
            .collect();
        assert_eq!(on, [56, 57, 58, 59, 257, 322, 435]);
    }
}
