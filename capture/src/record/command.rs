//! A command whose process tree is recorded: it is started only when the recorder is ready.
//!
//! ```text
//! recorder:  Command::start ──────> attach to its pid ──> release ────────> wait
//! child:     fork, says its pid, waits ............................> exec   ...
//! ```
//! The only unsafe code of the recorder that is not about the kernel's rings.

use crate::{Error, Result};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus};
use std::thread::JoinHandle;

/// A process that waits to become the command.
#[derive(Debug)]
pub struct Waiting {
    pid: u32,
    gate: OwnedFd,
    starting: JoinHandle<io::Result<Child>>,
}

/// The command.
#[derive(Debug)]
pub struct Running {
    child: Child,
    status: Option<ExitStatus>,
}

impl Waiting {
    /// Forks the process. `words`: the program and its arguments. It keeps the rights that this program has
    /// now, so start it before they are given up.
    ///
    /// # Errors
    /// When there is no word, or no process to be had.
    pub fn start(words: &[OsString]) -> Result<Waiting> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(Error::Option("no command is given".into()));
        };
        let failed = |e: io::Error| Error::system("start the command", e);
        let (gate_out, gate) = io::pipe().map_err(failed)?;
        let (mut told, tell) = io::pipe().map_err(failed)?;
        let (gate, gate_out, tell) = (OwnedFd::from(gate), OwnedFd::from(gate_out), OwnedFd::from(tell));
        let gate_number = gate.as_raw_fd();
        let mut command = std::process::Command::new(program);
        command.args(arguments);
        let wait = move || {
            // The child's own copy would keep the gate from ever closing.
            // SAFETY: this runs in the child, where nothing else uses that copy of the fd, and which has no
            // other way to end than exec or exit.
            unsafe { rustix::io::close(gate_number) };
            let pid = rustix::process::getpid().as_raw_nonzero().get();
            rustix::io::write(&tell, &pid.to_le_bytes())?;
            let mut one = [0];
            loop {
                match rustix::io::read(&gate_out, &mut one) {
                    Ok(1) => return Ok(()),
                    Err(rustix::io::Errno::INTR) => {}
                    // The recorder ended without opening the gate.
                    _ => return Err(io::ErrorKind::Interrupted.into()),
                }
            }
        };
        // SAFETY: between fork and exec the closure makes system calls only (close, getpid, write, read): it
        // takes no lock and no memory, and the fds that it uses are its own.
        unsafe { command.pre_exec(wait) };
        // Starting a command ends with its exec, so another thread waits for that.
        let starting = std::thread::Builder::new().name("command".into()).spawn(move || command.spawn());
        let starting = starting.map_err(failed)?;
        let mut pid = [0; 4];
        match told.read_exact(&mut pid) {
            Ok(()) => Ok(Waiting { pid: u32::from_le_bytes(pid), gate, starting }),
            // There was no fork.
            Err(e) => Err(failed(starting.join().ok().and_then(io::Result::err).unwrap_or(e))),
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it become the command.
    ///
    /// # Errors
    /// When the program cannot be run; the error is that of exec.
    pub fn release(self) -> io::Result<Running> {
        rustix::io::write(self.gate.as_fd(), &[1])?;
        drop(self.gate);
        let child = self.starting.join().unwrap_or_else(|_| Err(io::Error::other("the command was not started")))?;
        Ok(Running { child, status: None })
    }
}

impl Running {
    /// Its exit status, if it has ended. Never waits.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait().map_err(|e| Error::system("wait for the command", e))?;
        }
        Ok(self.status)
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&mut self, signal: i32) {
        if let Ok(None) = self.ended()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw)
            && let Some(signal) = rustix::process::Signal::from_named_raw(signal)
        {
            // It may just have ended: then there is nobody to tell.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// Makes processes whose parents end children of this program, so that [`tree_ended`] knows of them.
///
/// # Errors
/// When the kernel refuses.
pub fn adopt_orphans() -> Result<()> {
    let me = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(me)).map_err(|e| Error::system("prctl PR_SET_CHILD_SUBREAPER", e.into()))
}

/// Whether no process is left of those that this program started or adopted. Only to be asked once the command
/// itself has ended: this takes the exit status of every child.
pub fn tree_ended() -> bool {
    loop {
        match rustix::process::wait(rustix::process::WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// The exit status that shells give: the command's own, or 128 and the signal that ended it.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code & 0xFF).unwrap_or(u8::MAX)
}

/// The exit status that shells give when a program cannot be run.
pub fn failure_code(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn words(text: &[&str]) -> Vec<OsString> {
        text.iter().map(Into::into).collect()
    }

    fn end(mut running: Running) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = running.ended().unwrap() {
                return status;
            }
            assert!(started.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn it_runs_when_it_is_released_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        let script = format!("echo $$ > {}; exit 7", mark.display());
        let waiting = Waiting::start(&words(&["sh", "-c", &script])).unwrap();
        let pid = waiting.pid();
        std::thread::sleep(Duration::from_millis(50));
        assert!(!mark.exists());
        assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
        assert_eq!(exit_code(end(waiting.release().unwrap())), 7);
        // The same process.
        assert_eq!(std::fs::read_to_string(&mark).unwrap().trim(), pid.to_string());
    }

    #[test]
    fn a_signal_is_128_more() {
        let mut running = Waiting::start(&words(&["sleep", "60"])).unwrap().release().unwrap();
        running.signal(15);
        assert_eq!(exit_code(end(running)), 143);
    }

    #[test]
    fn a_program_that_is_not_there_is_said_at_release() {
        let waiting = Waiting::start(&words(&["/nonexistent/program"])).unwrap();
        let error = waiting.release().unwrap_err();
        assert_eq!((error.kind(), failure_code(&error)), (io::ErrorKind::NotFound, 127));
        assert!(Waiting::start(&[]).is_err());
    }

    #[test]
    fn the_process_ends_with_a_recorder_that_does_not_release_it() {
        let waiting = Waiting::start(&words(&["sleep", "60"])).unwrap();
        let Waiting { gate, starting, .. } = waiting;
        drop(gate);
        assert!(starting.join().unwrap().is_err());
    }
}
