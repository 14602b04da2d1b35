//! Engines of this machine: Podman and Docker, with runc and a busybox that is linked statically.

use super::replayed::{known_of, lines};
use scapkit_capture::containers::{Options, Worker};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Says that something could not be tested; a failure where everything must be there.
fn skipped(why: &str) {
    let is_ci = std::env::var_os("SCAPKIT_CI").is_some_and(|v| !v.is_empty() && v != "0");
    assert!(!is_ci, "SCAPKIT_CI is set, but {why}");
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED: {why}\n")).unwrap();
}

/// Whether all of that is here.
fn all_here(programs: &[&str]) -> bool {
    if !rustix::process::geteuid().is_root() {
        skipped("containers are run by root only");
        return false;
    }
    let is_here =
        |p: &&&str| Command::new("sh").args(["-c", "command -v $0 >/dev/null", p]).status().unwrap().success();
    if let Some(missing) = programs.iter().find(|p| !is_here(p)) {
        skipped(&format!("{missing} is not installed"));
        return false;
    }
    true
}

/// The standard output of a program that succeeds.
#[track_caller]
fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output().unwrap();
    assert!(out.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// A root for containers, as a folder. Whether its program runs there.
fn root_fs(dir: &Path) -> bool {
    for part in ["bin", "dev", "etc", "proc", "run", "sys", "tmp"] {
        std::fs::create_dir_all(dir.join(part)).unwrap();
    }
    std::os::unix::fs::symlink("busybox", dir.join("bin/sleep")).unwrap();
    let runs = std::fs::copy("/bin/busybox", dir.join("bin/busybox")).is_ok()
        && Command::new("chroot").arg(dir).args(["/bin/sleep", "0"]).output().unwrap().status.success();
    if !runs {
        skipped("/bin/busybox is not that of busybox-static");
    }
    runs
}

/// Ended when dropped, politely, so that it can end what it started.
struct Server(Child);

impl Server {
    fn start(command: &mut Command, socket: &Path) -> Server {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Server(child);
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(socket).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{command:?} does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

/// What is done when a test ends, however it does.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The cgroups of a process, as in lists of threads.
fn cgroups_of(pid: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let entry = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        format!("{}={}", parts.next().unwrap(), parts.next().unwrap())
    };
    text.lines().map(entry).collect::<Vec<_>>().join("\0")
}

const FIELDS: &str = "%container.type %container.name %container.image %container.full_id %container.label.role";

fn check(root: &Path, pid: &str, expected: &str) {
    let cgroups = cgroups_of(pid);
    let mut worker = Worker::start(Options { host_root: root.into(), ..Options::default() }).unwrap();
    let (_, known) = known_of(&mut worker, &cgroups);
    assert_eq!(known.len(), 2, "{known:?}, {:?}", worker.counters());
    assert_eq!(lines(FIELDS, &cgroups, &known)[1], expected);
    assert!(!known[1].json.contains("SECRET"), "{}", known[1].json);
}

#[test]
fn podman() {
    if !all_here(&["podman", "runc"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let fs = dir.path().join("fs");
    if !root_fs(&fs) {
        return;
    }
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (store, state) = (at("store"), at("state"));
    // Storage of its own. `cgroupfs`, since systemd may not run; limits as they are, since raising them may not be
    // allowed.
    let common = [
        "--root",
        &store,
        "--runroot",
        &state,
        "--storage-driver",
        "vfs",
        "--runtime",
        "runc",
        "--cgroup-manager",
        "cgroupfs",
    ];
    let podman = |args: &[&str]| run("podman", &[&common[..], args].concat());
    std::fs::create_dir_all(at("run/podman")).unwrap();
    let socket = dir.path().join("run/podman/podman.sock");
    let url = format!("unix://{}", socket.display());
    let mut service = Command::new("podman");
    let _server = Server::start(service.args(common).args(["system", "service", "--time", "0", &url]), &socket);

    let name = format!("scapkit-test-{}", std::process::id());
    let _removed = Finally(|| {
        let _ = Command::new("podman").args(common).args(["rm", "--force", "--time", "0", "--all"]).output();
    });
    let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network", "none"];
    let labels = ["--label", "role=test", "--env", "SECRET=1"];
    let start = ["run", "--detach", "--name", &name];
    let id = podman(&[&start[..], &limits, &labels, &["--rootfs", fs.to_str().unwrap(), "/bin/sleep", "300"]].concat());
    let pid = podman(&["inspect", "--format", "{{.State.Pid}}", &name]);
    check(dir.path(), &pid, &format!("podman {name}  {id} test"));

    let archive = at("box.tar");
    run("tar", &["-C", fs.to_str().unwrap(), "-cf", &archive, "."]);
    podman(&["import", "--quiet", &archive, "registry.example/team/box:1.0"]);
    let other = format!("{name}-image");
    let start = ["run", "--detach", "--name", &other];
    let what = ["registry.example/team/box:1.0", "/bin/sleep", "300"];
    let id = podman(&[&start[..], &limits, &labels, &what].concat());
    let pid = podman(&["inspect", "--format", "{{.State.Pid}}", &other]);
    check(dir.path(), &pid, &format!("podman {other} registry.example/team/box:1.0 {id} test"));
}

#[test]
fn docker() {
    if !all_here(&["dockerd", "docker", "runc"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let fs = dir.path().join("fs");
    if !root_fs(&fs) {
        return;
    }
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir_all(at("run")).unwrap();
    let socket = dir.path().join("run/docker.sock");
    let url = format!("unix://{}", socket.display());
    let mut daemon = Command::new("dockerd");
    daemon.args(["--data-root", &at("data"), "--exec-root", &at("exec"), "--pidfile", &at("pid"), "--host", &url]);
    daemon.args(["--storage-driver", "vfs", "--bridge", "none", "--iptables=false", "--ip6tables=false"]);
    // Left mounted by the daemon.
    let namespace = at("exec/netns/default");
    let _unmounted = Finally(|| {
        let _ = rustix::mount::unmount(&*namespace, rustix::mount::UnmountFlags::DETACH);
    });
    let _server = Server::start(&mut daemon, &socket);
    let docker = |args: &[&str]| run("docker", &[&["--host", &url], args].concat());

    let archive = at("box.tar");
    run("tar", &["-C", fs.to_str().unwrap(), "-cf", &archive, "."]);
    docker(&["import", &archive, "registry.example/team/box:1.0"]);
    let start = ["run", "--detach", "--name", "web", "--network", "host", "--label", "role=test", "--env", "SECRET=1"];
    let id = docker(&[&start[..], &["registry.example/team/box:1.0", "/bin/sleep", "300"]].concat());
    let _removed = Finally(|| {
        let _ = Command::new("docker").args(["--host", &url, "rm", "--force", "web"]).output();
    });
    let pid = docker(&["inspect", "--format", "{{.State.Pid}}", "web"]);
    check(dir.path(), &pid, &format!("docker web registry.example/team/box:1.0 {id} test"));
}
