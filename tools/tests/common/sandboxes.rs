//! Sandboxes that tests start. They need root, runsc and a static busybox.

use super::{Ran, SCAPKIT, have, root, run, skipped};
use scapkit_capture::gvisor::runsc::{self, Runsc};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// A container that is to run.
#[derive(Debug, Clone, Default)]
pub struct Container<'a> {
    pub id: &'a str,
    pub args: &'a [&'a str],
    pub annotations: Value,
    /// What runsc is to do from the start (`scapkit gvisor config`).
    pub config: Option<&'a Path>,
    pub detached: bool,
}

/// A folder with containers, which are gone after the test however it ends.
pub struct Sandboxes {
    folder: TempDir,
    ids: Vec<String>,
    /// What runs in the background: waited for by nobody else.
    running: Vec<Child>,
}

impl Sandboxes {
    /// `None`, said aloud, where there can be none.
    #[track_caller]
    pub fn new() -> Option<Sandboxes> {
        if !(have("runsc") && have("busybox") && root()) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("rootfs/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir(folder.path().join("rootfs/tmp")).unwrap();
        let busybox = run(Command::new("sh").args(["-c", "command -v busybox"])).out();
        std::fs::copy(busybox.trim(), bin.join("busybox")).unwrap();
        let is_dynamic = std::fs::read(bin.join("busybox")).unwrap().windows(9).any(|w| w == b"/ld-linux");
        if is_dynamic {
            skipped("busybox is not a static one");
            return None;
        }
        for applet in ["sh", "true", "mkdir", "cat", "sleep", "ls"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        Some(Sandboxes { folder, ids: Vec::new(), running: Vec::new() })
    }

    /// The same with our workload as `/bin/workload`.
    #[track_caller]
    pub fn with_workload() -> Option<Sandboxes> {
        let sandboxes = Sandboxes::new()?;
        std::fs::copy(workload()?, sandboxes.path("rootfs/bin/workload")).unwrap();
        Some(sandboxes)
    }

    /// An id that begins so. runsc's sockets have names for the whole machine: others may test at the same time.
    pub fn id(&self, name: &str) -> String {
        let folder = self.folder.path().file_name().unwrap().to_string_lossy();
        format!("{name}-{}", folder.trim_start_matches(".tmp"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn runsc(&self) -> Command {
        // What is in the way of the tests' time is ended.
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "60", "runsc", "--root"]).arg(self.path("root"));
        command.args(["--platform=ptrace", "--ignore-cgroups", "--network=none", "--overlay2=all:memory"]);
        command.stdin(Stdio::null());
        command
    }

    /// Writes the bundle of a container.
    fn bundle(&self, id: &str, args: &[&str], annotations: &Value) -> PathBuf {
        let bundle = self.path(id);
        std::fs::create_dir(&bundle).unwrap();
        let namespaces: Vec<Value> =
            ["pid", "network", "ipc", "uts", "mount"].iter().map(|kind| json!({ "type": kind })).collect();
        let spec = json!({
            "ociVersion": "1.0.0", "root": {"path": self.path("rootfs")}, "annotations": annotations,
            "process": {"user": {"uid": 0, "gid": 0}, "args": args, "env": ["PATH=/bin"], "cwd": "/"},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}],
            "linux": {"namespaces": namespaces},
        });
        std::fs::write(bundle.join("config.json"), spec.to_string()).unwrap();
        bundle
    }

    /// A command that runs a container to its end, or until it runs in the background. What it says goes to a file: a
    /// sandbox would keep a pipe.
    pub fn command(&mut self, of: &Container<'_>) -> Command {
        let bundle = self.bundle(of.id, of.args, &of.annotations);
        let said = std::fs::File::create(self.path(&format!("{}.log", of.id))).unwrap();
        self.ids.push(of.id.to_owned());
        let mut command = self.runsc();
        command.args(of.config.map(|file| format!("--pod-init-config={}", file.display())));
        command.arg("run").args(of.detached.then_some("--detach")).arg(of.id);
        command.current_dir(bundle).stdout(said.try_clone().unwrap()).stderr(said);
        command
    }

    /// What a container and its runsc have said.
    pub fn said(&self, id: &str) -> String {
        let said = std::fs::read(self.path(&format!("{id}.log"))).unwrap();
        String::from_utf8_lossy(&said).into_owned()
    }

    /// Runs a container to its end, or until it runs in the background.
    #[track_caller]
    pub fn start(&mut self, of: &Container<'_>) {
        let status = self.command(of).status().unwrap();
        assert!(status.success(), "{status}: {}", self.said(of.id));
    }

    /// Begins to run a container, and goes on.
    pub fn spawn(&mut self, of: &Container<'_>) {
        let child = self.command(of).spawn().unwrap();
        self.running.push(child);
    }

    /// Waits for what was spawned.
    #[track_caller]
    pub fn wait(&mut self) {
        for mut child in self.running.drain(..) {
            let status = child.wait().unwrap();
            assert!(status.success(), "{status}");
        }
    }

    /// A container, as runsc tells of it.
    #[track_caller]
    pub fn find(&self, id: &str) -> runsc::Container {
        let runsc = Runsc { root: Some(self.path("root")), ..Runsc::default() };
        runsc.list().unwrap().into_iter().find(|c| c.id == id).unwrap_or_else(|| panic!("there is no {id}"))
    }

    /// `scapkit gvisor` with arguments, one of the words of `line` each.
    pub fn gvisor(&self, line: &str) -> Ran {
        let words = line.split(' ');
        run(Command::new("timeout").args(["120", SCAPKIT, "gvisor"]).args(words).arg("--root").arg(self.path("root")))
    }
}

impl Drop for Sandboxes {
    fn drop(&mut self) {
        for id in self.ids.iter().rev() {
            let _ = self.runsc().args(["delete", "--force", id]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
        for child in &mut self.running {
            let _ = (child.kill(), child.wait());
        }
    }
}

/// Our workload, compiled once for all tests of a program. `None`, said aloud, where it cannot be.
#[track_caller]
fn workload() -> Option<&'static Path> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        if !have("cc") {
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/workload_gvisor.c");
        // Another run of the tests may be using the old one.
        let new = folder.join(format!("workload_gvisor.{}", std::process::id()));
        run(Command::new("cc").args(["-static", "-O1", "-pthread", "-o"]).arg(&new).arg(source)).expect(0);
        let made = folder.join("workload_gvisor");
        std::fs::rename(new, &made).unwrap();
        Some(made)
    });
    made.as_deref()
}
