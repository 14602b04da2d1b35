//! A process as events and lists show it.

use scapkit_format::lists::threads::Thread;

/// `argv[1..]` or the environment as events store them: each string with its NUL.
pub fn joined<S: AsRef<str>>(strings: &[S]) -> Vec<u8> {
    strings.iter().flat_map(|s| [s.as_ref().as_bytes(), &[0]].concat()).collect()
}

/// All capabilities that Linux has.
pub const ALL_CAPS: u64 = 0x1FF_FFFF_FFFF;
/// `CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID`, as the format numbers them: what `fork` of glibc passes.
pub const FORK: u32 = 1 << 23 | 1 << 24;

/// A process of one thread in the initial namespaces.
#[derive(Clone, Debug)]
pub struct Proc {
    pub tid: i64,
    pub ptid: i64,
    pub pgid: i64,
    pub sid: i64,
    pub comm: &'static str,
    pub exe: &'static str,
    pub exepath: &'static str,
    pub args: Vec<&'static str>,
    pub env: Vec<&'static str>,
    pub cwd: &'static str,
    pub unit: &'static str,
    pub uid: u32,
    pub gid: u32,
    pub loginuid: u32,
    /// Encoded device number of the terminal.
    pub tty: u32,
    pub caps: u64,
    pub exe_ino: u64,
    pub exe_mtime: u64,
    /// KiB.
    pub vm: (u32, u32),
    pub faults: u64,
    /// ns since boot.
    pub pidns_start: u64,
}

impl Proc {
    /// A daemon of root: a session of its own, no terminal.
    pub fn daemon(tid: i64, comm: &'static str, exepath: &'static str, args: &[&'static str]) -> Proc {
        Proc {
            tid,
            ptid: 1,
            pgid: tid,
            sid: tid,
            comm,
            exe: exepath,
            exepath,
            args: args.to_vec(),
            env: vec!["LANG=C.UTF-8", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            cwd: "/",
            unit: "/system.slice",
            uid: 0,
            gid: 0,
            loginuid: u32::MAX,
            tty: 0,
            caps: ALL_CAPS,
            exe_ino: 131_072 + tid.unsigned_abs() * 3,
            exe_mtime: 1_767_225_600_000_000_000,
            vm: (15_420, 8_932),
            faults: 1_300,
            pidns_start: 24_000_000,
        }
    }

    /// The child that `fork` makes.
    pub fn child(&self, tid: i64) -> Proc {
        Proc { tid, ptid: self.tid, faults: 0, ..self.clone() }
    }

    /// `subsystem=path` with NULs.
    pub fn cgroups(&self) -> Vec<u8> {
        ["cpuset", "cpu", "cpuacct", "io", "memory"].map(|s| format!("{s}={}\0", self.unit)).concat().into_bytes()
    }

    /// Gives the process's entry of a process list to `f`, which encodes it.
    pub fn thread<R>(&self, f: impl FnOnce(Thread<'_>) -> R) -> R {
        let (args, env, cgroups) = (joined(&self.args), joined(&self.env), self.cgroups());
        f(Thread {
            tid: self.tid,
            pid: self.tid,
            ptid: self.ptid,
            sid: self.sid,
            vpgid: self.pgid,
            comm: self.comm.as_bytes(),
            exe: self.exe.as_bytes(),
            exepath: self.exepath.as_bytes(),
            args: &args,
            cwd: self.cwd.as_bytes(),
            fdlimit: 1024,
            flags: 0,
            uid: self.uid,
            gid: self.gid,
            vmsize_kb: self.vm.0,
            vmrss_kb: self.vm.1,
            vmswap_kb: 0,
            pfmajor: 2,
            pfminor: self.faults,
            env: &env,
            vtid: self.tid,
            vpid: self.tid,
            cgroups: &cgroups,
            root: b"/",
            pidns_init_start_ts: self.pidns_start,
            tty: self.tty,
            loginuid: self.loginuid,
            exe_writable: u8::from(self.uid == 0 && !self.exe.is_empty()),
            cap_permitted: self.caps,
            cap_effective: self.caps,
            exe_ino: self.exe_ino,
            exe_ino_ctime: self.exe_mtime,
            exe_ino_mtime: self.exe_mtime,
            pgid: self.pgid,
            ..Thread::default()
        })
    }
}
