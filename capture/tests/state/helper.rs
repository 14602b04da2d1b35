//! Processes of known state: this test program, started again in a role.

use scapkit_capture::state::{Process, ScanOptions, Snapshot, scan};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::process::{Child, Command, Stdio};

/// Says loudly that a test is skipped.
pub fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // Not by `eprintln!`, which the test runner hides.
    let _ = std::io::stderr().write_fmt(format_args!("SKIPPED {test}: {why}\n"));
}

/// Whether we are root. Otherwise the test is skipped, or fails where all must be there.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var_os("SCAPKIT_CI").is_none(), "not root");
    if !root {
        skip("needs root");
    }
    root
}

/// A process that is ended with the test.
pub struct Running(pub Child);

impl Running {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that sleeps, from the system.
pub fn sleep() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Starts a command and waits until its program runs.
pub fn start(command: &mut Command) -> Running {
    loop {
        // The standard library returns when exec is done.
        match command.spawn() {
            Ok(child) => return Running(child),
            // A program that was just written is open for writing in children of other tests until they exec.
            Err(e) if e.kind() == std::io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            Err(e) => panic!("{command:?}: {e}"),
        }
    }
}

/// Starts this program in a role, and gives the line that it prints when it is ready.
pub fn role(role: &str, configure: impl FnOnce(&mut Command)) -> (Running, String) {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.args(["helper::as_told", "--exact", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env("STATE_ROLE", role).stdin(Stdio::null()).stdout(Stdio::piped());
    configure(&mut command);
    let mut running = start(&mut command);
    let out = BufReader::new(running.0.stdout.take().expect("a pipe"));
    let ready = out.lines().map_while(Result::ok).find_map(|l| l.split_once("READY ").map(|(_, w)| w.to_owned()));
    (running, ready.expect("the helper got ready"))
}

/// What the program does in its role.
#[test]
#[ignore = "started by other tests"]
fn as_told() {
    let sleep = || std::thread::sleep(std::time::Duration::from_secs(1000));
    let ready = |words: &str| {
        let mut out = std::io::stdout();
        writeln!(out, "READY {words}").and_then(|()| out.flush()).expect("the parent listens");
    };
    match std::env::var("STATE_ROLE").as_deref() {
        // The main thread ends, another lives on.
        Ok("outlived") => {
            // The test runner keeps its main thread for itself; a child has only the thread that forked.
            // SAFETY: the other threads wait for this one and hold no lock that the child would need.
            if unsafe { libc::fork() } != 0 {
                sleep();
            }
            let end_with_parent = || {
                rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).expect("prctl");
            };
            end_with_parent();
            let file = std::fs::File::open("/dev/null").expect("a file");
            std::thread::spawn(move || {
                end_with_parent();
                rustix::thread::set_name(c"survivor").expect("a name");
                ready(&format!("{} {}", std::process::id(), file.as_raw_fd()));
                sleep();
            });
            // SAFETY: ends this thread only; nothing of it is used by the other.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
        Ok("threads") => {
            for n in 0..3 {
                std::thread::spawn(move || {
                    rustix::thread::set_name(&std::ffi::CString::new(format!("worker ) {n}")).expect("a name"))
                        .expect("a name");
                    sleep();
                });
            }
            // Names are given by the threads themselves.
            while std::fs::read_dir("/proc/self/task")
                .expect("tasks")
                .flatten()
                .filter(|t| std::fs::read(t.path().join("comm")).is_ok_and(|c| c.starts_with(b"worker")))
                .count()
                < 3
            {
                std::thread::yield_now();
            }
            ready("");
            sleep();
        }
        Ok("listens") => {
            let tcp = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a port");
            let port = tcp.local_addr().expect("an address").port();
            let (one, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
            ready(&format!("{} {port} {}", tcp.as_raw_fd(), one.as_raw_fd()));
            sleep();
        }
        Ok("jailed") => {
            rustix::process::chroot(std::env::var("STATE_ROOT").expect("a root").as_str()).expect("chroot");
            std::env::set_current_dir("/").expect("a directory");
            ready("");
            sleep();
        }
        _ => {}
    }
}

/// A scan of some processes.
pub fn snapshot(pids: &[u32]) -> Snapshot {
    scan(&ScanOptions { only_pids: Some(pids.to_vec()), ..ScanOptions::default() }).expect("a scan")
}

/// A scan of one process.
pub fn process(pid: u32) -> Process {
    let mut processes = snapshot(&[pid]).processes;
    assert_eq!(processes.len(), 1, "process {pid} was not found");
    processes.remove(0)
}
