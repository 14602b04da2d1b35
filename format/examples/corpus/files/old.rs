//! `old-2016.scap`: what sysdig wrote in 2016. Format 1.0: process list V5, lists without declared
//! lengths, events without a parameter count, an enter event before each exit.

use super::proc::{ALL_CAPS, FORK, Proc, joined};
use super::recorder::{End, tuple};
use super::world::{ATTACKER, SERVER, interfaces, users};
use scapkit_format::lists::fds::{Fd, FdInfo, FdType};
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{BlockType, EventHead};

/// 2016-05-09 11:20:31 UTC.
const START: u64 = 1_462_792_831_000_000_000;

struct Old {
    synth: Synth,
    ts: u64,
}

impl Old {
    fn put(&mut self, tid: i64, event_type: u16, params: &Params) {
        self.ts += 1_700 + (self.ts / 7) % 9_000;
        let head = EventHead { ts: self.ts, tid, cpu: (tid % 2) as u16, event_type, flags: 0 };
        self.synth.event_v1(head, false, params);
    }

    /// Enter and exit; the exit's number is the next one.
    fn call(&mut self, tid: i64, enter: u16, with: &Params, result: &Params) {
        self.put(tid, enter, with);
        self.put(tid, enter + 1, result);
    }

    fn open(&mut self, tid: i64, fd: i64, name: &str, flags: u32, mode: u32) {
        let result = Params::new().i64(fd).str(name).u32(flags).u32(mode);
        self.call(tid, id::SYSCALL_OPEN_E, &Params::new(), &result);
    }

    fn close(&mut self, tid: i64, fd: i64) {
        self.call(tid, id::SYSCALL_CLOSE_E, &Params::new().i64(fd), &Params::new().i64(0));
    }

    fn read(&mut self, tid: i64, fd: i64, data: &[u8]) {
        let result = Params::new().i64(data.len() as i64).bytes(&data[..data.len().min(80)]);
        self.call(tid, id::SYSCALL_READ_E, &Params::new().i64(fd).u32(32_768), &result);
    }

    fn write(&mut self, tid: i64, fd: i64, data: &[u8]) {
        let result = Params::new().i64(data.len() as i64).bytes(&data[..data.len().min(80)]);
        self.call(tid, id::SYSCALL_WRITE_E, &Params::new().i64(fd).u32(data.len() as u32), &result);
    }

    fn switch(&mut self, tid: i64, next: i64) {
        let params = Params::new().i64(next).u64(0).u64(310).u32(8_100).u32(2_400).u32(0);
        self.put(tid, id::SCHEDSWITCH_6_E, &params);
    }
}

fn task(p: &Proc, res: i64) -> Params {
    Params::new()
        .i64(res)
        .str(p.exe)
        .bytes(&joined(&p.args))
        .i64(p.tid)
        .i64(p.tid)
        .i64(p.ptid)
        .str(p.cwd)
        .i64(1024)
        .u64(0)
        .u64(p.faults)
        .u32(p.vm.0)
        .u32(p.vm.1)
        .u32(0)
        .str(p.comm)
        .bytes(b"cpuset=/\0cpu=/user.slice\0cpuacct=/user.slice\0blkio=/user.slice\0memory=/user.slice\0")
}

fn cloned(of: &Proc, res: i64) -> Params {
    task(of, res).u32(FORK).u32(of.uid).u32(of.gid).i64(of.tid).i64(of.tid)
}

pub fn capture() -> Vec<u8> {
    let init = Proc { exe: "/sbin/init", ptid: 0, ..Proc::daemon(1, "systemd", "/lib/systemd/systemd", &[]) };
    let shell =
        Proc { exe: "bash", cwd: "/home/deploy/", uid: 1000, gid: 1000, ..Proc::daemon(901, "bash", "/bin/bash", &[]) };
    let mut s = Synth::new();
    s.section_of(0x1A2B_3C4D, 1, 0, &[]).machine("build2", 2, 0);
    s.interfaces(1, &interfaces(Some(0))).users(1, &users());
    let mut list = Vec::new();
    for p in [&init, &shell] {
        p.thread(|t| t.encode(5, &mut list)).unwrap();
    }
    s.block(BlockType::PL_V5, &list);
    let tty = |fd| Fd { fd, ino: 3, kind: FdType::FILE, info: FdInfo::Name(b"/dev/pts/0"), extra: &[] };
    let null = Fd { info: FdInfo::Name(b"/dev/null"), ..tty(0) };
    s.fds(1, 1, &[null]).fds(1, shell.tid, &[tty(0), tty(1), tty(2)]);

    let mut o = Old { synth: s, ts: START };
    o.read(shell.tid, 0, b"wget -q http://203.0.113.66/list; cat list\n");
    let mut wget = shell.child(1_204);
    o.put(shell.tid, id::SYSCALL_CLONE_20_E, &Params::new());
    o.put(shell.tid, id::SYSCALL_CLONE_20_X, &cloned(&shell, wget.tid));
    o.put(wget.tid, id::SYSCALL_CLONE_20_X, &cloned(&wget, 0));
    o.switch(shell.tid, wget.tid);
    (wget.comm, wget.exe, wget.args) = ("wget", "wget", vec!["-q", "http://203.0.113.66/list"]);
    start(&mut o, &wget);
    fetch(&mut o, wget.tid);
    o.put(wget.tid, id::PROCEXIT_1_E, &Params::new().i64(0));
    o.switch(wget.tid, shell.tid);

    let mut cat = shell.child(1_205);
    o.put(shell.tid, id::SYSCALL_CLONE_20_E, &Params::new());
    o.put(shell.tid, id::SYSCALL_CLONE_20_X, &cloned(&shell, cat.tid));
    o.put(cat.tid, id::SYSCALL_CLONE_20_X, &cloned(&cat, 0));
    (cat.comm, cat.exe, cat.args) = ("cat", "cat", vec!["list"]);
    start(&mut o, &cat);
    o.open(cat.tid, 3, "list", 1, 0);
    o.call(cat.tid, id::SYSCALL_FSTAT_E, &Params::new().i64(3), &Params::new().i64(0));
    o.read(cat.tid, 3, b"alpha\nbeta\n");
    o.write(cat.tid, 1, b"alpha\nbeta\n");
    o.read(cat.tid, 3, b"");
    o.close(cat.tid, 3);
    o.put(cat.tid, id::PROCEXIT_1_E, &Params::new().i64(0));
    // wait4 of the shell ends; its enter is not in the capture.
    o.put(shell.tid, id::GENERIC_X, &Params::new().u16(69));
    o.put(shell.tid, id::PROCINFO_E, &Params::new().u64(12).u64(3));
    o.synth.finish()
}

/// execve and the loader.
fn start(o: &mut Old, p: &Proc) {
    debug_assert_eq!(p.caps, ALL_CAPS);
    o.put(p.tid, id::SYSCALL_EXECVE_16_E, &Params::new());
    o.put(p.tid, id::SYSCALL_EXECVE_16_X, &task(p, 0).bytes(&joined(&p.env)));
    let brk = Params::new().u64(0x0175_3000).u32(p.vm.0).u32(p.vm.1).u32(0);
    o.call(p.tid, id::SYSCALL_BRK_4_E, &Params::new().u64(0), &brk);
    let missing = Params::new().i64(-2).str("/etc/ld.so.preload");
    o.call(p.tid, id::SYSCALL_ACCESS_E, &Params::new().u32(4), &missing);
    o.open(p.tid, 3, "/etc/ld.so.cache", 1 | 1 << 12, 0);
    let map = Params::new().u64(0).u64(90_112).u32(1).u32(2).i64(3).u64(0);
    let mapped = Params::new().u64(0x7F0D_3344_0000).u32(p.vm.0).u32(p.vm.1).u32(0);
    o.call(p.tid, id::SYSCALL_MMAP_E, &map, &mapped);
    o.close(p.tid, 3);
}

fn fetch(o: &mut Old, tid: i64) {
    let (local, remote): (End, End) = ((SERVER, 38_004), (ATTACKER, 80));
    o.call(tid, id::SOCKET_SOCKET_E, &Params::new().u32(2).u32(1).u32(0), &Params::new().i64(4));
    let connected = Params::new().i64(0).bytes(&tuple(local, remote));
    o.call(tid, id::SOCKET_CONNECT_E, &Params::new().i64(4), &connected);
    o.write(tid, 4, b"GET /list HTTP/1.1\r\nUser-Agent: Wget/1.17.1\r\nHost: 203.0.113.66\r\n\r\n");
    o.read(tid, 4, b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nalpha\nbeta\n");
    o.open(tid, 5, "list", 2 | 1 << 2 | 1 << 8, 0o666);
    o.write(tid, 5, b"alpha\nbeta\n");
    o.close(tid, 5);
    o.close(tid, 4);
}
