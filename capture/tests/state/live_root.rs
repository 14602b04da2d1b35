//! What only root can set up: other users, overlays, other roots, executables without a file.

use super::helper::{Running, is_root, process, role, sleep, snapshot, start};
use scapkit_capture::state::{Process, ScanOptions};
use scapkit_format::{Capture, Content, Item, Limits, encode, schema::id};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn sleep_program() -> PathBuf {
    ["/usr/bin/sleep", "/bin/sleep"].iter().map(PathBuf::from).find(|p| p.exists()).expect("sleep")
}

fn copy(to: &Path, mode: u32) {
    std::fs::copy(sleep_program(), to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn program(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.arg("1000").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn another_user() {
    if !is_root() {
        return;
    }
    let child = start(sleep().uid(65_533).gid(65_532));
    let p = process(child.pid());
    let t = &p.threads[0];
    assert_eq!((t.uid, t.gid, t.cap_effective, t.cap_permitted), (65_533, 65_532, 0, 0));
    assert!(!p.exe_file.writable);
    let own = process(start(&mut sleep()).pid());
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let caps = status.lines().find_map(|l| l.strip_prefix("CapEff:")).unwrap().trim();
    assert_eq!(own.threads[0].cap_effective, u64::from_str_radix(caps, 16).unwrap());
    assert!(own.exe_file.writable);

    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (mode, gid, writable) in [(0o757, 65_532, true), (0o775, 65_532, false), (0o775, 0, true), (0o755, 0, false)] {
        let path = dir.path().join(format!("sleep-{mode:o}-{gid}"));
        copy(&path, mode);
        let child = start(program(&path).uid(65_533).gid(gid));
        assert_eq!(process(child.pid()).exe_file.writable, writable, "{mode:o} {gid}");
    }
}

#[test]
fn executables_without_a_file() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gone");
    copy(&path, 0o755);
    let ino = std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let child = start(&mut program(&path));
    std::fs::remove_file(&path).unwrap();
    let p = process(child.pid());
    assert_eq!(p.exepath(), format!("{} (deleted)", path.display()).as_bytes());
    assert_eq!((p.exe_file.ino, p.exe_file.from_memfd), (ino, false));

    let memory = rustix::fs::memfd_create("payload", rustix::fs::MemfdFlags::empty()).unwrap();
    rustix::io::write(&memory, &std::fs::read(sleep_program()).unwrap()).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&memory);
    let child = start(&mut program(Path::new(&format!("/proc/self/fd/{number}"))));
    let p = process(child.pid());
    assert_eq!(p.exepath(), b"/memfd:payload (deleted)");
    assert!(p.exe_file.from_memfd && p.exe_file.ino != 0);
}

#[test]
fn layers_of_an_overlay() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    copy(&dir.path().join("lower/below"), 0o755);
    copy(&dir.path().join("upper/above"), 0o755);
    let run = |name: &str| -> Option<(Process, Running)> {
        let script = "mount -t overlay overlay -o lowerdir=lower,upperdir=$PWD/upper,workdir=work merged && \
                      echo mounted && exec merged/$0 1000";
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, name]).current_dir(dir.path());
        let mut child = start(command.stdin(Stdio::null()).stdout(Stdio::piped()));
        let mut line = String::new();
        let out = child.0.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(out), &mut line).unwrap();
        if line.trim() != "mounted" {
            super::helper::skip("no overlay can be mounted");
            return None;
        }
        let mut p = process(child.pid());
        while !p.exepath().ends_with(name.as_bytes()) {
            p = process(child.pid());
        }
        Some((p, child))
    };
    let Some((p, _above)) = run("above") else {
        return;
    };
    assert_eq!((p.exe_file.upper_layer, p.exe_file.lower_layer), (true, false));
    let (p, _below) = run("below").unwrap();
    assert_eq!((p.exe_file.upper_layer, p.exe_file.lower_layer), (false, true));
    let p = process(std::process::id());
    if !std::fs::read_to_string("/proc/self/mountinfo").unwrap().contains(" - overlay ") {
        assert_eq!((p.exe_file.upper_layer, p.exe_file.lower_layer), (false, false));
    }
}

/// A root of its own, in which links lead out and a pipe waits for readers.
#[test]
fn users_below_another_root() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let etc = dir.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(etc.join("real"), "app:x:1234:99:An App:/app:/bin/no\nbad:x:12x:0::/:\n+::::::\n").unwrap();
    // Absolute links are the container's own: they start at its root.
    std::os::unix::fs::symlink("/etc/real", etc.join("passwd")).unwrap();
    std::fs::write(etc.join("group"), "apps:x:99:app\n").unwrap();
    let (child, _) = role("jailed", |c| {
        c.env("STATE_ROOT", dir.path());
    });
    let s = snapshot(&[child.pid()]);
    let root = s.processes[0].root_id.expect("another root");
    let accounts = &s.container_accounts[&root];
    assert_eq!(accounts.users.len(), 1);
    assert_eq!((accounts.users[0].uid, accounts.users[0].gid, &*accounts.users[0].home), (1234, 99, &b"/app"[..]));
    assert_eq!((accounts.groups.len(), accounts.groups[0].gid), (1, 99));
    drop(child);

    // As events.
    let mut bytes = Vec::new();
    encode::section_header(&mut bytes);
    let count = s.user_events(42, &mut |_| Some(b"0123456789ab".to_vec()), &mut bytes).unwrap();
    assert_eq!(count, 2);
    assert_eq!(s.user_events(42, &mut |_| None, &mut Vec::new()).unwrap(), 0);
    let mut engine = scapkit_replay::Engine::new(&scapkit_replay::engine::EngineLimits::default());
    let mut capture = Capture::from_bytes(bytes, "users", Limits::default());
    let mut kinds = Vec::new();
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(_, content) = item {
            if let Content::Event(event) = content {
                kinds.push((event.event_type, event.ts, event.tid));
                engine.apply(&event);
            } else {
                engine.content(&content);
            }
        }
    }
    assert_eq!(kinds, [(id::USER_ADDED_E, 42, -1), (id::GROUP_ADDED_E, 42, -1)]);
    assert_eq!(&*engine.user_in(b"0123456789ab", 1234).expect("the user").name, b"app");

    std::fs::remove_file(etc.join("passwd")).unwrap();
    std::fs::remove_file(etc.join("group")).unwrap();
    let fifo = etc.join("passwd");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    std::os::unix::fs::symlink("/../../../../../../../etc/group", etc.join("group")).unwrap();
    let (child, _) = role("jailed", |c| {
        c.env("STATE_ROOT", dir.path());
    });
    let s = snapshot(&[child.pid()]);
    let accounts = &s.container_accounts[&s.processes[0].root_id.unwrap()];
    assert_eq!((accounts.users.len(), accounts.groups.len()), (0, 0));
}

/// The machine's files below another directory: here they are the same ones.
#[test]
fn host_root() {
    if !is_root() {
        return;
    }
    let child = start(&mut sleep());
    let scan = |host: &str| {
        let only_pids = Some(vec![child.pid()]);
        let options = ScanOptions { host_root: host.into(), only_pids, ..ScanOptions::default() };
        scapkit_capture::state::scan(&options).unwrap()
    };
    let (here, there) = (scan(""), scan("/proc/self/root"));
    assert_eq!(here.accounts, there.accounts);
    assert_eq!(there.notes.other, Vec::<String>::new());
    let (one, other) = (&here.processes[0], &there.processes[0]);
    assert_eq!((one.exepath(), one.start_ticks, one.root_id), (other.exepath(), other.start_ticks, other.root_id));
    assert_eq!(one.threads[0].cgroups, other.threads[0].cgroups);
}

/// Ids inside a pid namespace are the innermost ones, and its start is that of its first process.
#[test]
fn another_pid_namespace() {
    if !is_root() {
        return;
    }
    let outer = start(
        Command::new("unshare").args(["--pid", "--fork", "sleep", "1000"]).stdin(Stdio::null()).stdout(Stdio::null()),
    );
    let child = loop {
        let path = format!("/proc/{0}/task/{0}/children", outer.pid());
        let children = std::fs::read_to_string(path).unwrap_or_default();
        let child = children.split_whitespace().next().and_then(|c| c.parse::<u32>().ok());
        if let Some(child) = child.filter(|child| process(*child).exe() == b"sleep") {
            break child;
        }
    };
    let p = process(child);
    let t = &p.threads[0];
    assert_eq!((t.tid, t.vtid, t.vpid), (i64::from(child), 1, 1));
    assert_eq!(p.pidns_init_start_ts, t.start);
    assert_ne!(p.namespaces.pid, process(outer.pid()).namespaces.pid);
    let child = rustix::process::Pid::from_raw(i32::try_from(child).unwrap()).unwrap();
    let _ = rustix::process::kill_process(child, rustix::process::Signal::KILL);
}
