//! Recorders of sandboxes that tests start, and what they leave behind.

use super::{SCAPKIT, convert, run, scapkit, sound};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Ends of calls, and what is no call.
pub const ENDS: &str = "(evt.dir=< or evt.type=procexit) and not evt.type=container";

/// For anything that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: not in {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a child; kills it when that takes too long.
#[track_caller]
pub fn end(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("a program did not end in {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[track_caller]
pub fn signal(pid: u32, name: &str) {
    run(Command::new("kill").arg(format!("-{name}")).arg(pid.to_string())).expect(0);
}

/// Whether somebody listens at a socket.
pub fn listens(socket: &Path) -> bool {
    let path = socket.to_str().unwrap();
    // Number of references, protocol, flags (of which one says that it listens), type, state, inode, path.
    let is = |line: &str| line.ends_with(path) && line.split_whitespace().nth(3) == Some("00010000");
    std::fs::read_to_string("/proc/net/unix").unwrap().lines().any(is)
}

/// A recorder that runs. Killed at the end if it still does.
pub struct Recorder {
    pub child: Child,
    pub folder: PathBuf,
    pub name: String,
}

impl Recorder {
    pub fn command(folder: &Path, name: &str, more: &[&str]) -> Command {
        let mut command = Command::new(SCAPKIT);
        command.args(["record", "--engine", "gvisor", "--compress", "none", "--socket"]).arg(folder.join("s"));
        command.arg("--raw").arg(folder.join(format!("{name}.gvstream")));
        command.arg("-o").arg(folder.join(format!("{name}.scap"))).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(folder.join(format!("{name}.err"))).unwrap());
        command
    }

    /// Records into NAME.scap and NAME.gvstream of `folder`, whose socket is `s`.
    #[track_caller]
    pub fn start(folder: &Path, name: &str, more: &[&str]) -> Recorder {
        let child = Recorder::command(folder, name, more).spawn().unwrap();
        let mut recorder = Recorder { child, folder: folder.to_owned(), name: name.to_owned() };
        wait_until("the recorder's socket", || {
            if let Some(status) = recorder.child.try_wait().unwrap() {
                panic!("the recorder ended: {status}: {}", recorder.said());
            }
            listens(&folder.join("s"))
        });
        recorder
    }

    pub fn said(&self) -> String {
        let said = std::fs::read(self.folder.join(format!("{}.err", self.name))).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }

    pub fn raw(&self) -> PathBuf {
        self.folder.join(format!("{}.gvstream", self.name))
    }

    pub fn out(&self) -> PathBuf {
        self.folder.join(format!("{}.scap", self.name))
    }

    /// Tells it to end.
    #[track_caller]
    pub fn end(mut self) -> Recording {
        signal(self.child.id(), "TERM");
        let status = end(&mut self.child);
        assert!(status.success(), "{status}: {}", self.said());
        Recording { out: self.out(), raw: self.raw(), said: self.said() }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = (self.child.kill(), self.child.wait());
    }
}

/// What a recorder has left behind.
pub struct Recording {
    pub out: PathBuf,
    pub raw: PathBuf,
    pub said: String,
}

impl Recording {
    /// Fails unless it is a sound capture that is also what the packets convert to.
    #[track_caller]
    pub fn check(&self) {
        sound(&self.out);
        self.is_what_converts(&[]);
    }

    #[track_caller]
    pub fn is_what_converts(&self, more: &[&str]) {
        let converted = self.raw.with_extension("converted");
        convert(&self.raw, &converted, &[&["--compress", "none"], more].concat());
        same_bytes(&converted, &self.out);
    }

    /// A line for each event.
    #[track_caller]
    pub fn lines(&self, format: &str, filter: &str) -> Vec<String> {
        lines(&self.out, format, filter)
    }

    /// Events by name, ends of calls and what is no call.
    #[track_caller]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.lines("%evt.type", ENDS).into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
        counts
    }
}

#[track_caller]
pub fn lines(file: &Path, format: &str, filter: &str) -> Vec<String> {
    let format = format!("*{format}");
    let mut args = vec![OsStr::new("read"), file.as_os_str(), OsStr::new("-p"), OsStr::new(&format)];
    // What is hidden unless it is asked for, such as losses, is wanted too.
    args.push(OsStr::new("--all"));
    args.extend((!filter.is_empty()).then_some(OsStr::new(filter)));
    scapkit(args).expect(0).out().lines().map(ToOwned::to_owned).collect()
}

#[track_caller]
pub fn same_bytes(left: &Path, right: &Path) {
    let [a, b] = [left, right].map(|file| std::fs::read(file).unwrap());
    if a == b {
        return;
    }
    // What is different is said in events.
    let format = "%evt.rawtime %evt.type %thread.tid %proc.name %evt.args";
    let [of_left, of_right] = [left, right].map(|file| lines(file, format, ""));
    let at = of_left.iter().zip(&of_right).position(|(a, b)| a != b);
    let at = at.unwrap_or(of_left.len().min(of_right.len()));
    panic!(
        "{} has {} bytes, {} events, {} has {}, {}; from event {at} on: {:?} and {:?}",
        left.display(),
        a.len(),
        of_left.len(),
        right.display(),
        b.len(),
        of_right.len(),
        &of_left[at..of_left.len().min(at + 3)],
        &of_right[at..of_right.len().min(at + 3)]
    );
}
