//! The published cases of `/proc` texts: one line or file in, values out.

use scapkit_capture::state::cgroup;
use scapkit_capture::state::fds::{self, Link};
use scapkit_capture::state::mounts;
use scapkit_capture::state::parse;
use scapkit_capture::state::tables::{self, SocketInfo, l4};
use scapkit_format::lists::fds::FdType;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::PathBuf;

#[derive(Deserialize)]
struct Cases {
    proc_cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    source: String,
    input: String,
    want: Map<String, Value>,
}

fn cases() -> Option<Vec<Case>> {
    let shared = std::env::var_os("SCAPKIT_SHARED").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let Ok(text) = std::fs::read_to_string(shared.join("spec/os-state-cases.yaml")) else {
        super::helper::skip("no os-state-cases.yaml; set SCAPKIT_SHARED to the folder that holds `spec`");
        return None;
    };
    Some(serde_saphyr::from_str::<Cases>(&text).expect("the cases can be read").proc_cases)
}

fn text(bytes: &[u8]) -> Value {
    Value::from(String::from_utf8_lossy(bytes).into_owned())
}

fn stat(input: &[u8]) -> Value {
    let s = parse::stat(input).expect("a whole line");
    json!({
        "comm": text(s.comm), "state": text(&[s.state]), "ptid": s.ptid, "pgid": s.pgid, "sid": s.sid, "tty": s.tty,
        "pfminor": s.pfminor, "pfmajor": s.pfmajor, "start_ticks": s.start_ticks, "kthread": s.kthread,
    })
}

fn status(input: &[u8]) -> Value {
    let s = parse::status(input);
    json!({
        "pid": s.tgid, "tid": s.tid, "ptid": s.ptid, "uid": s.uid, "gid": s.gid, "vpid": s.vpid, "vtid": s.vtid,
        "pgid": s.pgid, "vpgid": s.vpgid, "vmsize_kb": s.vmsize_kb, "vmrss_kb": s.vmrss_kb,
        "vmswap_kb": s.vmswap_kb, "cap_inheritable": s.cap_inheritable, "cap_permitted": s.cap_permitted,
        "cap_effective": s.cap_effective,
    })
}

/// The groups, on a machine whose unified hierarchy is as the case's note says.
fn cgroups(name: &str, input: &[u8], own: &HashMap<u64, Vec<u8>>) -> Value {
    let mut controllers = |group: &[u8]| match (name, group) {
        ("cgroup v2", b"/") => Some(b"cpuset cpu hugetlb\n".to_vec()),
        ("cgroup v2", _) => Some(b"cpuset cpu\n".to_vec()),
        // Mounted, but without controllers.
        _ => Some(Vec::new()),
    };
    let real = |hierarchy: u64, path: &[u8]| {
        own.get(&hierarchy).map_or_else(|| path.to_vec(), |own| cgroup::absolute(own, path))
    };
    let groups = cgroup::parse(input, &mut controllers, &real);
    json!({ "cgroups": text(&groups.list), "path": text(&groups.unified) })
}

fn socket(found: Option<(u64, SocketInfo)>, state: Option<u8>) -> Value {
    let (ino, socket) = found.expect("a socket");
    let kind = match fds::by_socket(&socket) {
        FdType::IPV4_SOCK => "IPV4_SOCK",
        FdType::IPV4_SERVSOCK => "IPV4_SERVSOCK",
        FdType::IPV6_SOCK => "IPV6_SOCK",
        FdType::IPV6_SERVSOCK => "IPV6_SERVSOCK",
        FdType::UNIX_SOCK => "UNIX_SOCK",
        FdType::NETLINK => "NETLINK",
        other => panic!("{other:?}"),
    };
    let ends = |sip: String, sport, dip: String, dport, l4| {
        let l4 = if l4 == l4::UDP { "udp" } else { "tcp" };
        json!({ "sip": sip, "ip": sip, "sport": sport, "port": sport, "dip": dip, "dport": dport, "l4": l4 })
    };
    let mut all = match socket {
        SocketInfo::V4 { sip, sport, dip, dport, l4 } => ends(sip.to_string(), sport, dip.to_string(), dport, l4),
        SocketInfo::V6 { sip, sport, dip, dport, l4 } => ends(sip.to_string(), sport, dip.to_string(), dport, l4),
        SocketInfo::Unix { name, listening, .. } => json!({ "path": text(&name), "listening": listening }),
        SocketInfo::Netlink { protocol, port } => json!({ "protocol": protocol, "portid": port }),
    };
    all["kind"] = kind.into();
    all["ino"] = ino.into();
    all["state"] = state.into();
    all
}

fn inet(input: &[u8], v6: bool, l4: u8) -> Value {
    let found = tables::inet_line(input, v6, l4);
    let state = found.as_ref().map(|(_, _, state)| *state);
    socket(found.map(|(ino, socket, _)| (ino, socket)), state)
}

fn fdinfo(input: &[u8]) -> Value {
    let info = parse::fdinfo(input);
    let names = [
        (2, "O_WRONLY"),
        (4, "O_CREAT"),
        (8, "O_APPEND"),
        (1 << 4, "O_DSYNC"),
        (1 << 5, "O_EXCL"),
        (1 << 6, "O_NONBLOCK"),
        (1 << 7, "O_SYNC"),
        (1 << 8, "O_TRUNC"),
        (1 << 9, "O_DIRECT"),
        (1 << 10, "O_DIRECTORY"),
        (1 << 11, "O_LARGEFILE"),
        (1 << 12, "O_CLOEXEC"),
        (1 << 13, "O_TMPFILE"),
    ];
    let flags = parse::open_flags(info.flags);
    let mut all = match flags & 3 {
        3 => vec!["O_RDWR"],
        1 => vec!["O_RDONLY"],
        _ => vec![],
    };
    all.extend(names.iter().filter(|(bit, _)| flags & bit != 0 && (*bit != 2 || flags & 3 == 2)).map(|(_, n)| *n));
    json!({ "open_flags_ppm": all, "mount_id": info.mount_id, "ino": info.ino })
}

fn fd_link(input: &[u8]) -> Value {
    let kind = match fds::link(input) {
        Link::Socket(_) => return json!({ "type": "by inode" }),
        Link::Pipe(_) => FdType::FIFO,
        Link::Anonymous(kind) => kind,
        Link::Memfd => FdType::MEMFD,
        // The mode that namespaces have.
        Link::Path => fds::by_mode(0o100_444),
    };
    let names = [
        (FdType::FIFO, "FIFO"),
        (FdType::EVENTPOLL, "EVENTPOLL"),
        (FdType::EVENT, "EVENT"),
        (FdType::SIGNALFD, "SIGNALFD"),
        (FdType::TIMERFD, "TIMERFD"),
        (FdType::INOTIFY, "INOTIFY"),
        (FdType::PIDFD, "PIDFD"),
        (FdType::IOURING, "IOURING"),
        (FdType::USERFAULTFD, "USERFAULTFD"),
        (FdType::BPF, "BPF"),
        (FdType::UNSUPPORTED, "UNSUPPORTED"),
        (FdType::MEMFD, "MEMFD"),
        (FdType::FILE_V2, "FILE_V2"),
    ];
    json!({ "type": names.iter().find(|(k, _)| *k == kind).map(|(_, name)| name) })
}

fn answer(case: &Case) -> Value {
    let input = case.input.as_bytes();
    match case.source.as_str() {
        "/proc/PID/stat" => stat(input),
        "/proc/PID/status" => status(input),
        "/proc/PID/cmdline" => {
            let (exe, args) = parse::cmdline(input);
            json!({ "exe": text(exe), "args": text(args) })
        }
        "/proc/PID/loginuid" => json!({ "loginuid": parse::loginuid(input) }),
        "readlink /proc/PID/exe" => {
            json!({ "exepath": text(parse::deleted(input).0), "exe_from_memfd": parse::is_memfd(input) })
        }
        "/proc/PID/cgroup" => cgroups(&case.name, input, &HashMap::new()),
        "/proc/PID/cgroup with recorder in /a/b/c" => {
            cgroups(&case.name, input, &cgroup::namespace_roots(b"0::/\n", b"0::/a/b/c\n"))
        }
        "/proc/PID/fdinfo/N" => fdinfo(input),
        "/proc/PID/mountinfo" => {
            let m = mounts::mount_line(input.trim_ascii_end()).expect("a line");
            json!({ "mount_id": m.id, "dev": m.dev, "mount_point": text(&mounts::unescape(m.point)) })
        }
        "/proc/PID/net/tcp" => inet(input, false, l4::TCP),
        "/proc/PID/net/udp" => inet(input, false, l4::UDP),
        "/proc/PID/net/tcp6" => inet(input, true, l4::TCP),
        "/proc/PID/net/unix" => socket(tables::unix_line(input.strip_suffix(b"\n").unwrap_or(input)), None),
        "/proc/PID/net/netlink" => socket(tables::netlink_line(input), None),
        "readlink /proc/PID/fd/N" => fd_link(input),
        "/proc/stat" => json!({ "boot_ts_epoch": parse::btime(input) }),
        "/proc/PID/uid_map" => json!({ "root_uid": parse::outer_id(&parse::id_map(input), 0) }),
        other => panic!("no parser for {other}"),
    }
}

#[test]
fn published_cases() {
    let Some(cases) = cases() else {
        return;
    };
    assert_eq!(cases.len(), 47);
    let mut wrong = Vec::new();
    for case in &cases {
        let got = answer(case);
        assert!(!case.want.is_empty(), "{}", case.name);
        for (key, want) in &case.want {
            if &got[key] != want {
                wrong.push(format!("{}: {key} is {}, not {want}", case.name, got[key]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
