//! The machine of the story: a web server with its processes, fds, users and addresses.

use super::proc::Proc;
use super::recorder::{DISK, End, open};
use scapkit_format::lists::fds::{Fd, FdInfo, FdType};
use scapkit_format::lists::interfaces::{Address, Interface};
use scapkit_format::lists::users::Account;
use scapkit_format::synth::Synth;

/// 2026-03-14 02:17:05 UTC.
pub const START: u64 = 1_773_454_625_000_000_000;
/// The web server's own address.
pub const SERVER: [u8; 4] = [192, 0, 2, 10];
/// A customer.
pub const CUSTOMER: End = ([198, 51, 100, 7], 40_112);
/// Where the attacker comes from.
pub const ATTACKER: [u8; 4] = [203, 0, 113, 66];

/// The processes that are there at the start.
pub struct Machine {
    pub systemd: Proc,
    pub journald: Proc,
    pub cron: Proc,
    pub sshd: Proc,
    pub nginx: Proc,
    pub worker: Proc,
    /// A shell of the machine's owner, left open.
    pub owner: Proc,
}

impl Machine {
    pub fn new() -> Machine {
        let unit = |unit, p: Proc| Proc { unit, ..p };
        let systemd = Proc {
            ptid: 0,
            exe: "/sbin/init",
            unit: "/init.scope",
            ..Proc::daemon(1, "systemd", "/usr/lib/systemd/systemd", &[])
        };
        let nginx = Proc {
            exe: "nginx: master process /usr/sbin/nginx",
            unit: "/system.slice/nginx.service",
            ..Proc::daemon(640, "nginx", "/usr/sbin/nginx", &[])
        };
        let worker = Proc { exe: "nginx: worker process", uid: 33, gid: 33, caps: 0, ..nginx.child(641) };
        let journald = Proc::daemon(301, "systemd-journal", "/usr/lib/systemd/systemd-journald", &[]);
        let owner = Proc {
            ptid: 1,
            exe: "-bash",
            cwd: "/home/deploy",
            uid: 1000,
            gid: 1000,
            loginuid: 1000,
            tty: 136 << 8,
            caps: 0,
            env: vec!["HOME=/home/deploy", "USER=deploy", "SHELL=/bin/bash", "TERM=xterm-256color"],
            ..Proc::daemon(2210, "bash", "/usr/bin/bash", &[])
        };
        Machine {
            systemd,
            journald: unit("/system.slice/systemd-journald.service", journald),
            cron: unit("/system.slice/cron.service", Proc::daemon(588, "cron", "/usr/sbin/cron", &["-f"])),
            sshd: unit("/system.slice/ssh.service", Proc::daemon(612, "sshd", "/usr/sbin/sshd", &["-D"])),
            nginx,
            worker,
            owner: unit("/user.slice/user-1000.slice/session-3.scope", owner),
        }
    }

    fn all(&self) -> [&Proc; 7] {
        [&self.systemd, &self.journald, &self.cron, &self.sshd, &self.nginx, &self.worker, &self.owner]
    }
}

fn file(fd: i64, ino: u64, name: &str, open_flags: u32) -> Fd<'_> {
    let info = FdInfo::File { open_flags, name: name.as_bytes(), dev: Some(DISK) };
    Fd { fd, ino, kind: FdType::FILE_V2, info, extra: &[] }
}

fn server(fd: i64, ino: u64, port: u16) -> Fd<'static> {
    let info = FdInfo::Ipv4Server { ip: [0; 4], port, l4: 2 };
    Fd { fd, ino, kind: FdType::IPV4_SERVSOCK, info, extra: &[] }
}

fn named(fd: i64, ino: u64, kind: FdType, name: &str) -> Fd<'_> {
    Fd { fd, ino, kind, info: FdInfo::Name(name.as_bytes()), extra: &[] }
}

fn user<'a>(uid: u32, name: &'a str, home: &'a str, shell: &'a str) -> Account<'a> {
    let (name, home, shell) = (name.as_bytes(), home.as_bytes(), shell.as_bytes());
    Account::User { uid, gid: uid, name, home, shell, extra: &[] }
}

fn group(gid: u32, name: &str) -> Account<'_> {
    Account::Group { kind: 1, gid, name: name.as_bytes(), extra: &[] }
}

/// The addresses of `lo` and `eth0`.
pub fn interfaces(linkspeed: Option<u64>) -> Vec<Interface<'static>> {
    let one = |name, address| Interface { address, linkspeed, name, extra: &[] };
    let v4 = |address, netmask, broadcast| Address::V4 { address, netmask, broadcast };
    let mut link_local = [0; 16];
    link_local[..2].copy_from_slice(&[0xFE, 0x80]);
    link_local[8..].copy_from_slice(&[0, 0x53, 0, 0xFF, 0xFE, 0, 0, 0x10]);
    let mut prefix = [0; 16];
    prefix[..8].fill(0xFF);
    vec![
        one(b"lo", v4([127, 0, 0, 1], [255, 0, 0, 0], [0; 4])),
        one(b"eth0", v4(SERVER, [255, 255, 255, 0], [192, 0, 2, 255])),
        one(b"eth0", Address::V6 { address: link_local, netmask: prefix, broadcast: [0; 16] }),
    ]
}

/// Users and groups.
pub fn users() -> Vec<Account<'static>> {
    vec![
        user(0, "root", "/root", "/bin/bash"),
        user(1, "daemon", "/usr/sbin", "/usr/sbin/nologin"),
        user(33, "www-data", "/var/www", "/usr/sbin/nologin"),
        user(1000, "deploy", "/home/deploy", "/bin/bash"),
        group(0, "root"),
        group(1, "daemon"),
        group(33, "www-data"),
        group(42, "shadow"),
        group(1000, "deploy"),
    ]
}

/// The blocks before the first event, as the current writer makes them.
pub fn start(m: &Machine) -> Synth {
    let mut s = Synth::new();
    s.section().machine("shop1", 4, START - 864_000_000_000_000);
    s.interfaces(2, &interfaces(Some(0))).users(2, &users());
    let mut list = Vec::new();
    for p in m.all() {
        p.thread(|t| t.encode(9, &mut list)).unwrap();
    }
    s.block(scapkit_format::BlockType::PL_V9, &list);
    let null = |fd| file(fd, 5, "/dev/null", open::RDWR);
    let log = |fd| file(fd, 394_012, "/var/log/nginx/access.log", open::WRITE | open::CREAT | open::APPEND);
    s.fds(2, 1, &[null(0), null(1), null(2), named(4, 1041, FdType::EVENTPOLL, "[eventpoll]")]);
    let journal = named(7, 1042, FdType::SIGNALFD, "[signalfd]");
    let socket = FdInfo::Unix { source: 0xFFFF_9A41_0210_4400, destination: 0, name: b"/run/systemd/journal/dev-log" };
    let dev_log = Fd { fd: 5, ino: 12_031, kind: FdType::UNIX_SOCK, info: socket, extra: &[] };
    s.fds(2, m.journald.tid, &[null(0), null(1), null(2), dev_log, journal]);
    s.fds(2, m.cron.tid, &[null(0), file(3, 262_500, "/run/crond.pid", open::RDWR | open::CREAT)]);
    let v6 = FdInfo::Ipv6Server { ip: [0; 16], port: 22, l4: 2 };
    let v6 = Fd { fd: 4, ino: 20_412, kind: FdType::IPV6_SERVSOCK, info: v6, extra: &[] };
    s.fds(2, m.sshd.tid, &[null(0), null(1), null(2), server(3, 20_411, 22), v6]);
    s.fds(2, m.nginx.tid, &[null(0), null(1), log(5), server(6, 21_002, 80)]);
    let epoll = named(8, 1043, FdType::EVENTPOLL, "[eventpoll]");
    s.fds(2, m.worker.tid, &[null(0), null(1), log(5), server(6, 21_002, 80), epoll]);
    let terminal = |fd| file(fd, 3, "/dev/pts/0", open::RDWR);
    s.fds(2, m.owner.tid, &[terminal(0), terminal(1), terminal(2)]);
    s
}
