//! Events as the modern driver writes them: exits only, every parameter of schema 4.5 filled.

use super::proc::{Proc, joined};
use scapkit_format::EventHead;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};

/// Bytes of I/O data that the driver keeps unless told otherwise.
const SNAPLEN: usize = 80;
/// `AT_FDCWD`.
pub const CWD: i64 = -100;
/// Device number of the root file system: 8:1, encoded.
pub const DISK: u32 = 0x801;

/// Open flags in the format's numbering.
pub mod open {
    pub const READ: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const RDWR: u32 = 3;
    pub const CREAT: u32 = 1 << 2;
    pub const APPEND: u32 = 1 << 3;
    pub const TRUNC: u32 = 1 << 8;
    pub const CLOEXEC: u32 = 1 << 12;
    pub const CREATED: u32 = 1 << 14;
}

/// One end of a TCP connection.
pub type End = ([u8; 4], u16);

/// `SOCKADDR` of an IPv4 end.
pub fn address(end: End) -> Vec<u8> {
    [&[2][..], &end.0, &end.1.to_le_bytes()].concat()
}

/// `SOCKTUPLE` of an IPv4 connection.
pub fn tuple(source: End, destination: End) -> Vec<u8> {
    [address(source), address(destination)[1..].to_vec()].concat()
}

/// A capture in the making: events with rising times on four processors.
pub struct Recorder {
    pub synth: Synth,
    pub ts: u64,
    seed: u32,
}

impl Recorder {
    pub fn new(synth: Synth, ts: u64) -> Recorder {
        Recorder { synth, ts, seed: 20_260_314 }
    }

    /// Time passes.
    pub fn wait_ms(&mut self, ms: u64) {
        self.ts += ms * 1_000_000;
    }

    /// An event some microseconds after the last.
    pub fn put(&mut self, p: &Proc, event_type: u16, params: &Params) {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.ts += 2_000 + u64::from(self.seed >> 16) * 2;
        let head = EventHead { ts: self.ts, tid: p.tid, cpu: (p.tid % 4) as u16, event_type, flags: 0 };
        self.synth.event_of(head, params);
    }

    /// The first 15 parameters of the clone and execve families.
    fn task(p: &Proc, res: i64) -> Params {
        Params::new()
            .i64(res)
            .str(p.exe)
            .bytes(&joined(&p.args))
            .i64(p.tid)
            .i64(p.tid)
            .i64(p.ptid)
            .empty() // cwd: the driver leaves it out
            .i64(1024)
            .u64(0)
            .u64(p.faults)
            .u32(p.vm.0)
            .u32(p.vm.1)
            .u32(0)
            .str(p.comm)
            .bytes(&p.cgroups())
    }

    /// `clone` with `flags`: the exits in the parent and in the child.
    pub fn clone(&mut self, p: &Proc, tid: i64, flags: u32) -> Proc {
        let child = p.child(tid);
        let tail =
            |s: Params, of: &Proc, pidns: u64| s.u32(flags).u32(of.uid).u32(of.gid).i64(of.tid).i64(of.tid).u64(pidns);
        self.put(p, id::SYSCALL_CLONE_20_X, &tail(Self::task(p, tid), p, 0));
        self.put(&child, id::SYSCALL_CLONE_20_X, &tail(Self::task(&child, 0), &child, child.pidns_start));
        child
    }

    /// A successful `execve`; `p` is the new image already.
    pub fn execve(&mut self, p: &Proc, filename: &str) {
        let flags = u32::from(p.uid == 0);
        let params = Self::task(p, 0)
            .bytes(&joined(&p.env))
            .u32(p.tty)
            .i64(p.pgid)
            .u32(p.loginuid)
            .u32(flags)
            .u64(0)
            .u64(p.caps)
            .u64(p.caps)
            .u64(p.exe_ino)
            .u64(p.exe_mtime)
            .u64(p.exe_mtime)
            .u32(p.uid)
            .str(p.exepath)
            .i64(p.pgid)
            .u32(p.gid)
            .str(filename);
        self.put(p, id::SYSCALL_EXECVE_19_X, &params);
    }

    /// `exit` and what the parent sees of it: SIGCHLD and the end of its `wait4`.
    pub fn exit(&mut self, p: &Proc, parent: Option<&Proc>, code: i64) {
        self.put(p, id::PROCEXIT_1_E, &Params::new().i64(code << 8).i64(code).u8(0).u8(0).i64(0));
        if let Some(parent) = parent {
            self.put(parent, id::SIGNALDELIVER_E, &Params::new().i64(p.tid).i64(parent.tid).u8(17));
            // wait4: 69 in the format's numbering, 61 natively.
            self.put(parent, id::GENERIC_X, &Params::new().u16(69).u16(61));
        }
    }

    pub fn open(&mut self, p: &Proc, fd: i64, name: &str, flags: u32, mode: u32, ino: u64) {
        self.open_bytes(p, fd, name.as_bytes(), flags, mode, ino);
    }

    /// `openat` relative to the working directory; the name may be any bytes.
    pub fn open_bytes(&mut self, p: &Proc, fd: i64, name: &[u8], flags: u32, mode: u32, ino: u64) {
        let (dev, ino) = if fd > 0 { (DISK, ino) } else { (0, 0) };
        let name = [name, &[0]].concat();
        let params = Params::new().i64(fd).i64(CWD).bytes(&name).u32(flags).u32(mode).u32(dev).u64(ino);
        self.put(p, id::SYSCALL_OPENAT_2_X, &params);
    }

    pub fn close(&mut self, p: &Proc, fd: i64) {
        self.put(p, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(fd));
    }

    /// `read` that filled `data`.
    pub fn read(&mut self, p: &Proc, fd: i64, data: &[u8], size: u32) {
        let kept = &data[..data.len().min(SNAPLEN)];
        self.put(p, id::SYSCALL_READ_X, &Params::new().i64(data.len() as i64).bytes(kept).i64(fd).u32(size));
    }

    pub fn write(&mut self, p: &Proc, fd: i64, data: &[u8]) {
        let kept = &data[..data.len().min(SNAPLEN)];
        let params = Params::new().i64(data.len() as i64).bytes(kept).i64(fd).u32(data.len() as u32);
        self.put(p, id::SYSCALL_WRITE_X, &params);
    }

    pub fn dup2(&mut self, p: &Proc, from: i64, to: i64) {
        self.put(p, id::SYSCALL_DUP2_X, &Params::new().i64(to).i64(from).i64(to));
    }

    /// A shell's redirection: opened, moved to `to`, the first fd closed.
    pub fn redirect(&mut self, p: &Proc, to: i64, name: &str, flags: u32, ino: u64) {
        let mode = if flags & open::CREAT == 0 { 0 } else { 0o666 };
        self.open(p, 3, name, flags, mode, ino);
        self.dup2(p, 3, to);
        self.close(p, 3);
    }

    /// `socket`, family and type in the kernel's numbering.
    pub fn socket(&mut self, p: &Proc, fd: i64, family: u32, kind: u32, proto: u32) {
        let flags = if kind & 0x8_0000 == 0 { 0 } else { open::CLOEXEC };
        self.put(p, id::SOCKET_SOCKET_X, &Params::new().i64(fd).u32(family).u32(kind).u32(proto).u32(flags));
    }

    /// `connect` over TCP.
    pub fn connect(&mut self, p: &Proc, fd: i64, local: End, remote: End, res: i64) {
        let pair = tuple(local, remote);
        self.put(p, id::SOCKET_CONNECT_X, &Params::new().i64(res).bytes(&pair).i64(fd).bytes(&address(remote)));
    }

    pub fn send(&mut self, p: &Proc, fd: i64, data: &[u8], pair: &[u8]) {
        let kept = &data[..data.len().min(SNAPLEN)];
        let params = Params::new().i64(data.len() as i64).bytes(kept).i64(fd).u32(data.len() as u32).bytes(pair);
        self.put(p, id::SOCKET_SENDTO_X, &params);
    }

    /// `recvfrom`; empty data are the end of the stream.
    pub fn receive(&mut self, p: &Proc, fd: i64, data: &[u8], size: u32, pair: &[u8]) {
        let kept = &data[..data.len().min(SNAPLEN)];
        let params = Params::new().i64(data.len() as i64).bytes(kept).bytes(pair).i64(fd).u32(size);
        self.put(p, id::SOCKET_RECVFROM_X, &params);
    }

    /// `poll` of one fd that became ready: the network takes its time.
    pub fn poll(&mut self, p: &Proc, fd: i64, events: u16, timeout: i64) {
        self.wait_ms(23);
        let list = [&1u16.to_le_bytes()[..], &fd.to_le_bytes(), &events.to_le_bytes()].concat();
        self.put(p, id::SYSCALL_POLL_X, &Params::new().i64(1).bytes(&list).i64(timeout));
    }

    /// What the dynamic loader does before `main`.
    pub fn load(&mut self, p: &Proc) {
        const BASE: u64 = 0x7F3A_1C20_0000;
        let vm = |s: Params| s.u32(p.vm.0).u32(p.vm.1).u32(0);
        let map = |res: u64, len: u64, prot: u32, flags: u32, fd: i64| {
            vm(Params::new().u64(res)).u64(0).u64(len).u32(prot).u32(flags).i64(fd).u64(0)
        };
        let brk = 0x55D0_4E11_2000u64;
        self.put(p, id::SYSCALL_BRK_4_X, &vm(Params::new().u64(brk)).u64(0));
        self.put(p, id::SYSCALL_MMAP_X, &map(BASE, 8192, 3, 2 | 8, -1));
        self.put(p, id::SYSCALL_ACCESS_X, &Params::new().i64(-2).str("/etc/ld.so.preload").u32(4));
        self.open(p, 3, "/etc/ld.so.cache", open::READ | open::CLOEXEC, 0, 262_410);
        self.put(p, id::SYSCALL_FSTAT_X, &Params::new().i64(0).i64(3));
        self.put(p, id::SYSCALL_MMAP_X, &map(BASE + 0x2000, 21_355, 1, 2, 3));
        self.close(p, 3);
        self.open(p, 3, "/lib/x86_64-linux-gnu/libc.so.6", open::READ | open::CLOEXEC, 0, 139_268);
        let mut elf = vec![0; 832];
        elf[..18].copy_from_slice(b"\x7FELF\x02\x01\x01\x03\0\0\0\0\0\0\0\0\x03\0");
        self.read(p, 3, &elf, 832);
        self.put(p, id::SYSCALL_MMAP_X, &map(BASE + 0x1_0000, 1_970_000, 1, 2, 3));
        self.close(p, 3);
        let protect = Params::new().i64(0).u64(BASE + 0x1E_0000).u64(16_384).u32(1);
        self.put(p, id::SYSCALL_MPROTECT_X, &protect);
        self.put(p, id::SYSCALL_MUNMAP_X, &vm(Params::new().i64(0)).u64(BASE + 0x2000).u64(21_355));
    }
}
