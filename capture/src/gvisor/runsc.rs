//! gVisor's own program, `runsc`: what it says of containers, and its commands for trace sessions (gvisor spec
//! section 3).
//!
//! It is run without a shell, for at most [`Runsc::timeout`], and what it prints is read while it runs and up to
//! [`MAX_OUTPUT`] bytes.

use super::config::{Metadata, SESSION};
use crate::{Error, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Deserialize;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Most bytes that the program may print.
pub const MAX_OUTPUT: usize = 64 << 20;
/// Folders of the state of containers: Docker's, containerd's under Kubernetes, and the program's own for root.
pub const ROOTS: [&str; 3] = ["/var/run/docker/runtime-runc/moby", "/run/containerd/runsc/k8s.io", "/var/run/runsc"];
/// How much of what it says went wrong is told.
const MAX_WHY: usize = 2048;
/// What it says of a container that is in another one's sandbox.
const NOT_A_SANDBOX: &str = "doesn't belong to a sandbox";
/// What it says when there is no session to delete, and when there is one already.
const NO_SESSION: &str = "not found";
const EXISTS: &str = "already exists";

/// The program, and which containers it is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runsc {
    /// Its path, or a name that is looked for in `PATH`.
    pub program: PathBuf,
    /// Folder of the state of containers; `None` for the program's own.
    pub root: Option<PathBuf>,
    /// How long one command may take.
    pub timeout: Duration,
}

impl Default for Runsc {
    fn default() -> Self {
        Runsc { program: "runsc".into(), root: None, timeout: Duration::from_secs(30) }
    }
}

/// A container. Those of a pod share one sandbox, and with it the process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Its id, any name.
    pub id: String,
    /// Process of the sandbox on the host; 0 when it does not run.
    pub pid: i64,
    /// `running`, `stopped` and so on.
    pub status: String,
    /// Folder of its configuration.
    pub bundle: PathBuf,
}

/// A trace session of a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// Its name.
    pub name: String,
    /// Where its messages go.
    pub sinks: Vec<SessionSink>,
}

/// A sink of a trace session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionSink {
    /// Its kind: `remote`, `null`.
    pub name: String,
    /// Messages that it could not send since the session began, modulo 2^32.
    pub dropped: u64,
}

/// What became of a command about the session of a sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It was done.
    Yes,
    /// There was nothing to do: a session exists already, or none exists.
    Nothing,
    /// The container is in another one's sandbox, which alone can have a session.
    NotASandbox,
}

/// How a command ended that ended by itself.
struct Ended {
    is_success: bool,
    status: String,
    stdout: Vec<u8>,
    /// The end of what it said on standard error, on one line.
    why: String,
}

impl Runsc {
    fn command(&self, args: &[OsString]) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.root {
            command.arg("--root").arg(root);
        }
        command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// The command as a user would type it.
    fn shown(&self, args: &[OsString]) -> String {
        let root = self.root.iter().flat_map(|root| ["--root".into(), root.display().to_string()]);
        let args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
        [self.program.display().to_string()].into_iter().chain(root).chain(args).collect::<Vec<_>>().join(" ")
    }

    fn ended(&self, args: &[OsString]) -> Result<Ended> {
        let mut child = self.command(args).spawn().map_err(|e| Error::system(self.shown(args), e))?;
        let read = both(&mut child, Instant::now() + self.timeout);
        if read.is_err() {
            // It is ours and not yet waited for, so the id is still its own.
            let _ = child.kill();
            let _ = child.wait();
        }
        let (stdout, stderr, status) = read.map_err(|e| {
            let e = if e.kind() == io::ErrorKind::TimedOut {
                io::Error::new(e.kind(), format!("no answer in {:?}", self.timeout))
            } else {
                e
            };
            Error::system(self.shown(args), e)
        })?;
        let said = String::from_utf8_lossy(&stderr);
        let said = said.trim();
        let from = said.char_indices().rev().map(|(at, _)| at).take_while(|at| said.len() - at <= MAX_WHY).last();
        let why = said.get(from.unwrap_or(0)..).unwrap_or_default().replace('\n', "; ");
        Ok(Ended { is_success: status.success(), status: status.to_string(), stdout, why })
    }

    fn failed(&self, args: &[OsString], ended: &Ended) -> Error {
        let why = if ended.why.is_empty() { "it did not say why" } else { &ended.why };
        Error::Command { command: self.shown(args), why: format!("{}: {why}", ended.status) }
    }

    /// What it prints, if it succeeds.
    fn output(&self, args: &[OsString]) -> Result<Vec<u8>> {
        let ended = self.ended(args)?;
        if ended.is_success { Ok(ended.stdout) } else { Err(self.failed(args, &ended)) }
    }

    fn unreadable(&self, args: &[OsString], why: impl std::fmt::Display) -> Error {
        Error::Command { command: self.shown(args), why: format!("its answer cannot be read: {why}") }
    }

    /// What it can trace.
    ///
    /// # Errors
    /// As every function here: when the program cannot be run, does not end in time, fails or prints something else.
    pub fn metadata(&self) -> Result<Metadata> {
        let args = words(&["trace", "metadata"]);
        let text = self.output(&args)?;
        Metadata::parse(&String::from_utf8_lossy(&text)).map_err(|e| self.unreadable(&args, e))
    }

    /// The containers, in the order of their ids. None if the folder does not exist.
    pub fn list(&self) -> Result<Vec<Container>> {
        let args = words(&["list", "--format", "json"]);
        let found: Option<Vec<Container>> =
            serde_json::from_slice(&self.output(&args)?).map_err(|e| self.unreadable(&args, e))?;
        let mut found = found.unwrap_or_default();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found)
    }

    /// Begins the session of a sandbox; with `force` in place of one that it has. `config` is as
    /// [`super::config::session`] makes it. [`Done::Nothing`] when it has one.
    pub fn create(&self, id: &str, config: &Value, force: bool) -> Result<Done> {
        let file = Config::write(config)?;
        let mut args = words(&["trace", "create"]);
        if force {
            args.push("--force".into());
        }
        args.extend(["--config".into(), file.0.clone().into(), operand(id)?]);
        self.about_session(&args, EXISTS)
    }

    /// Ends the session of a sandbox. [`Done::Nothing`] when it has none.
    pub fn delete(&self, id: &str) -> Result<Done> {
        let mut args = words(&["trace", "delete", "--name", SESSION]);
        args.push(operand(id)?);
        self.about_session(&args, NO_SESSION)
    }

    fn about_session(&self, args: &[OsString], nothing: &str) -> Result<Done> {
        let ended = self.ended(args)?;
        match &ended.why {
            _ if ended.is_success => Ok(Done::Yes),
            why if why.contains(NOT_A_SANDBOX) => Ok(Done::NotASandbox),
            why if why.contains(SESSION) && why.contains(nothing) => Ok(Done::Nothing),
            _ => Err(self.failed(args, &ended)),
        }
    }

    /// The sessions of a sandbox; `None` for a container in another one's sandbox.
    pub fn sessions(&self, id: &str) -> Result<Option<Vec<Session>>> {
        let mut args = words(&["trace", "list"]);
        args.push(operand(id)?);
        let ended = self.ended(&args)?;
        if !ended.is_success {
            return if ended.why.contains(NOT_A_SANDBOX) { Ok(None) } else { Err(self.failed(&args, &ended)) };
        }
        sessions(&String::from_utf8_lossy(&ended.stdout)).map(Some).map_err(|e| self.unreadable(&args, e))
    }

    /// What a sandbox says of its processes, for [`super::procfs::parse`].
    pub fn procfs(&self, id: &str) -> Result<Vec<u8>> {
        let mut args = words(&["trace", "procfs"]);
        args.push(operand(id)?);
        self.output(&args)
    }
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(Into::into).collect()
}

/// An id as an argument. One that looks like an option would be taken for one.
fn operand(id: &str) -> Result<OsString> {
    if id.is_empty() || id.starts_with('-') || id.contains('\0') {
        return Err(Error::Option(format!("{id:?} is no id of a container")));
    }
    Ok(id.into())
}

/// Reads `trace list`: `SESSIONS (1)`, then the name of each session in quotes, and below it its sinks.
fn sessions(text: &str) -> Result<Vec<Session>, String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let count = first.strip_prefix("SESSIONS (").and_then(|rest| rest.strip_suffix(')')?.parse::<usize>().ok());
    let count = count.ok_or_else(|| format!("wanted SESSIONS (N), found {first:?}"))?;
    let mut found: Vec<Session> = Vec::new();
    for line in lines {
        let sink = line.strip_prefix("Sink: ").and_then(|rest| rest.split_once(", dropped: "));
        match (sink, found.last_mut()) {
            (Some((name, dropped)), Some(session)) => {
                let dropped = dropped.parse().map_err(|_| format!("wanted a number of messages, found {dropped:?}"))?;
                session.sinks.push(SessionSink { name: name.trim_matches('"').to_owned(), dropped });
            }
            _ if line.starts_with('"') => {
                found.push(Session { name: line.trim_matches('"').to_owned(), sinks: Vec::new() });
            }
            // A sink may tell more of itself.
            _ => {}
        }
    }
    if found.len() == count { Ok(found) } else { Err(format!("wanted {count} sessions, found {}", found.len())) }
}

/// Reads both outputs of a child until both are closed, and waits for its end.
fn both(child: &mut Child, until: Instant) -> io::Result<(Vec<u8>, Vec<u8>, std::process::ExitStatus)> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut pipes = (child.stdout.take(), child.stderr.take());
    let mut buffer = vec![0; 1 << 16];
    while pipes.0.is_some() || pipes.1.is_some() {
        let (out, err) = ready(pipes.0.as_ref().map(AsFd::as_fd), pipes.1.as_ref().map(AsFd::as_fd), until)?;
        if out {
            take(&mut pipes.0, &mut stdout, &mut buffer)?;
        }
        if err {
            take(&mut pipes.1, &mut stderr, &mut buffer)?;
        }
    }
    // It may have closed its outputs long before it ends.
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((stdout, stderr, status));
        }
        if Instant::now() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Waits until one of the pipes has something to read, or its end.
fn ready(out: Option<BorrowedFd<'_>>, err: Option<BorrowedFd<'_>>, until: Instant) -> io::Result<(bool, bool)> {
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut fds: Vec<PollFd<'_>> =
        [out, err].into_iter().flatten().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
    match poll(&mut fds, Some(&left)) {
        Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
        // The caller waits again.
        Err(rustix::io::Errno::INTR) => return Ok((false, false)),
        found => found?,
    };
    let mut fds = fds.iter().map(|fd| !fd.revents().is_empty());
    let is_out = out.is_some() && fds.next() == Some(true);
    Ok((is_out, err.is_some() && fds.next() == Some(true)))
}

/// Reads once from a pipe; at its end it is gone.
fn take<R: Read>(pipe: &mut Option<R>, into: &mut Vec<u8>, buffer: &mut [u8]) -> io::Result<()> {
    let Some(from) = pipe else { return Ok(()) };
    let length = match from.read(buffer) {
        Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
        length => length?,
    };
    if length == 0 {
        *pipe = None;
    }
    if into.len() + length > MAX_OUTPUT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it prints more than {MAX_OUTPUT} bytes")));
    }
    into.extend_from_slice(buffer.get(..length).unwrap_or_default());
    Ok(())
}

/// A file with the configuration of a session, which nobody else can read, until it is dropped.
struct Config(PathBuf);

impl Config {
    fn write(config: &Value) -> Result<Config> {
        Self::write_in(&std::env::temp_dir(), config)
    }

    fn write_in(folder: &Path, config: &Value) -> Result<Config> {
        let mut number = 0u32;
        loop {
            let path = folder.join(format!("scapkit-session-{}-{number}.json", std::process::id()));
            // What is there already, a link too, is not followed.
            match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(mut file) => {
                    let config_file = Config(path);
                    let written = file.write_all(config.to_string().as_bytes());
                    written.map_err(|e| Error::system(format!("writing {}", config_file.0.display()), e))?;
                    return Ok(config_file);
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && number < 1000 => number += 1,
                Err(e) => return Err(Error::system(format!("creating {}", path.display()), e)),
            }
        }
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests;
