//! The texts of `/proc/PID`, as plain functions on bytes (os-state section 1.3).
//!
//! None of them fails: a line that is missing or is not what it should be leaves its default, because kernels
//! differ in which lines they have, and kernel threads and zombies lack some.

/// The decimal number that `text` starts with; `None` without a digit, or when it does not fit.
pub fn number(text: &[u8]) -> Option<u64> {
    digits(text, 10)
}

/// The number that `text` starts with, written in that base (2 to 16).
pub fn digits(text: &[u8], base: u32) -> Option<u64> {
    let mut value = None;
    for digit in text.iter().map_while(|b| char::from(*b).to_digit(base)) {
        value = Some(value.unwrap_or(0u64).checked_mul(u64::from(base))?.checked_add(u64::from(digit))?);
    }
    value
}

/// A decimal number that may be negative.
pub fn signed(text: &[u8]) -> Option<i64> {
    match text.split_first() {
        Some((b'-', rest)) => number(rest).and_then(|n| i64::try_from(n).ok()).map(|n| -n),
        _ => number(text).and_then(|n| i64::try_from(n).ok()),
    }
}

/// The words of a line.
pub fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| matches!(b, b' ' | b'\t')).filter(|w| !w.is_empty())
}

/// The lines of a text, without a last empty one.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|b| *b == b'\n').filter(|l| !l.is_empty())
}

/// What `stat` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Not escaped; up to 15 bytes, more for some kernel threads.
    pub comm: &'a [u8],
    /// `R`, `S`, `Z` and so on.
    pub state: u8,
    /// Parent process.
    pub ptid: i64,
    /// Process group.
    pub pgid: i64,
    /// Session.
    pub sid: i64,
    /// Terminal, as an encoded device number.
    pub tty: u32,
    /// Whether it is a kernel thread (`PF_KTHREAD`).
    pub kthread: bool,
    /// Page faults that needed no disk.
    pub pfminor: u64,
    /// Page faults that did.
    pub pfmajor: u64,
    /// Threads of the process.
    pub threads: u64,
    /// Start, in clock ticks since boot.
    pub start_ticks: u64,
}

const PF_KTHREAD: u64 = 0x0020_0000;

/// Parses `stat`. `None` when it is not complete up to the start time, which names the process.
pub fn stat(text: &[u8]) -> Option<Stat<'_>> {
    // A program chooses its name, so only the last parenthesis ends it.
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let comm = text.get(open.checked_add(1)?..close)?;
    let mut s = Stat { comm, ..Stat::default() };
    // Fields are numbered as in proc(5); the one after the name is 3.
    let mut complete = false;
    for (field, word) in (3u32..).zip(words(text.get(close.checked_add(1)?..)?)) {
        match field {
            3 => s.state = *word.first()?,
            4 => s.ptid = signed(word)?,
            5 => s.pgid = signed(word)?,
            6 => s.sid = signed(word)?,
            // A device number in 32 bits, printed as a signed one.
            7 => s.tty = u32::from_ne_bytes(i32::try_from(signed(word)?).ok()?.to_ne_bytes()),
            9 => s.kthread = number(word)? & PF_KTHREAD != 0,
            10 => s.pfminor = number(word)?,
            12 => s.pfmajor = number(word)?,
            20 => s.threads = number(word)?,
            22 => {
                s.start_ticks = number(word)?;
                complete = true;
                break;
            }
            _ => {}
        }
    }
    complete.then_some(s)
}

/// What `status` says. Ids of namespaces are those of the innermost one (the last column), where upstream takes
/// the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the format's own names
pub struct Status<'a> {
    /// -1 where the line is missing, as for the other ids.
    pub tgid: i64,
    pub tid: i64,
    pub ptid: i64,
    /// Effective.
    pub uid: u32,
    /// Effective.
    pub gid: u32,
    /// For access to files.
    pub fsuid: u32,
    /// For access to files.
    pub fsgid: u32,
    /// Supplementary groups, as text.
    pub groups: &'a [u8],
    pub vpid: i64,
    pub vtid: i64,
    /// -1 where the kernel does not say.
    pub pgid: i64,
    pub vpgid: i64,
    /// How many pid namespaces the thread is in, seen from the reader's; 1 for a process of the machine.
    pub depth: u32,
    pub vmsize_kb: u32,
    pub vmrss_kb: u32,
    pub vmswap_kb: u32,
    pub cap_inheritable: u64,
    pub cap_permitted: u64,
    pub cap_effective: u64,
}

/// Parses `status`, whose lines come in any order.
pub fn status(text: &[u8]) -> Status<'_> {
    let mut s = Status {
        tgid: -1,
        tid: -1,
        ptid: -1,
        uid: 0,
        gid: 0,
        fsuid: 0,
        fsgid: 0,
        groups: &[],
        vpid: -1,
        vtid: -1,
        pgid: -1,
        vpgid: -1,
        depth: 0,
        vmsize_kb: 0,
        vmrss_kb: 0,
        vmswap_kb: 0,
        cap_inheritable: 0,
        cap_permitted: 0,
        cap_effective: 0,
    };
    for line in lines(text) {
        let Some(colon) = line.iter().position(|b| *b == b':') else {
            continue;
        };
        let (key, rest) = line.split_at(colon);
        let value = rest.get(1..).unwrap_or_default().trim_ascii();
        let id = || signed(value).unwrap_or(-1);
        let last = || words(value).last().and_then(signed).unwrap_or(-1);
        let small = || number(value).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
        let hex = || digits(value, 16).unwrap_or(0);
        match key {
            b"Tgid" => s.tgid = id(),
            b"Pid" => s.tid = id(),
            b"PPid" => s.ptid = id(),
            b"Uid" => (s.uid, s.fsuid) = effective_and_fs(value),
            b"Gid" => (s.gid, s.fsgid) = effective_and_fs(value),
            b"Groups" => s.groups = value,
            b"NStgid" => s.vpid = last(),
            b"NSpid" => {
                s.vtid = last();
                s.depth = u32::try_from(words(value).count()).unwrap_or(u32::MAX);
            }
            b"NSpgid" => (s.pgid, s.vpgid) = (id(), last()),
            b"VmSize" => s.vmsize_kb = small(),
            b"VmRSS" => s.vmrss_kb = small(),
            b"VmSwap" => s.vmswap_kb = small(),
            b"CapInh" => s.cap_inheritable = hex(),
            b"CapPrm" => s.cap_permitted = hex(),
            b"CapEff" => {
                s.cap_effective = hex();
                // Nothing of interest comes after the capabilities on kernels that have the lines about
                // namespaces, which stand before them.
                if s.depth > 0 && s.tgid >= 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    // Before Linux 4.1 there were no lines about namespaces.
    if s.vpid < 0 {
        s.vpid = s.tgid;
    }
    if s.vtid < 0 {
        s.vtid = s.tid;
    }
    s
}

/// Columns 2 and 4 of real, effective, saved and file system id.
fn effective_and_fs(value: &[u8]) -> (u32, u32) {
    let mut ids = words(value).map(|w| number(w).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX));
    let effective = ids.nth(1).unwrap_or(u32::MAX);
    (effective, ids.nth(1).unwrap_or(effective))
}

/// `argv[0]` and the rest of `cmdline`. Processes that write over their arguments may leave no NUL at all;
/// nothing is lost then, where upstream loses the last byte.
pub fn cmdline(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|b| *b == 0) {
        Some(nul) => (text.get(..nul).unwrap_or_default(), text.get(nul.saturating_add(1)..).unwrap_or_default()),
        None => (text, &[]),
    }
}

/// `loginuid`; all ones when it is unset or not readable.
pub fn loginuid(text: &[u8]) -> u32 {
    number(text).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX)
}

/// The soft limit of open files in `limits`; -1 when there is none.
pub fn fdlimit(text: &[u8]) -> i64 {
    let line = lines(text).find_map(|l| l.strip_prefix(b"Max open files"));
    line.and_then(|l| words(l).next()).and_then(signed).unwrap_or(-1)
}

/// What follows ` (deleted)` off a path, and whether that was there.
pub fn deleted(link: &[u8]) -> (&[u8], bool) {
    match link.strip_suffix(b" (deleted)") {
        Some(path) => (path, true),
        None => (link, false),
    }
}

/// Whether a link is of a memfd.
pub fn is_memfd(link: &[u8]) -> bool {
    link.starts_with(b"/memfd:")
}

/// A memfd's name as it was given to `memfd_create`, so that it is the same as in events.
pub fn memfd_name(link: &[u8]) -> &[u8] {
    let (path, _) = deleted(link);
    path.strip_prefix(b"/memfd:").unwrap_or(path)
}

/// The number in `pipe:[82533]`, `pid:[4026531836]` and the like, if `link` is such a text.
pub fn number_of(link: &[u8], kind: &[u8]) -> Option<u64> {
    let inner = link.strip_prefix(kind)?.strip_prefix(b":[")?.strip_suffix(b"]")?;
    number(inner).filter(|_| inner.iter().all(u8::is_ascii_digit))
}

/// What `fdinfo` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FdInfo {
    /// Open flags of the kernel.
    pub flags: u64,
    /// Mount.
    pub mount_id: u64,
    /// Inode (Linux 5.14).
    pub ino: Option<u64>,
    /// The process of a pidfd, as seen from the reader's namespace: -1 exited, 0 not visible.
    pub pid: Option<i64>,
}

/// Parses `fdinfo/N`.
pub fn fdinfo(text: &[u8]) -> FdInfo {
    let mut info = FdInfo::default();
    for line in lines(text) {
        if let Some(v) = line.strip_prefix(b"flags:") {
            info.flags = digits(v.trim_ascii(), 8).unwrap_or(0);
        } else if let Some(v) = line.strip_prefix(b"mnt_id:") {
            info.mount_id = number(v.trim_ascii()).unwrap_or(0);
        } else if let Some(v) = line.strip_prefix(b"ino:") {
            info.ino = number(v.trim_ascii());
        } else if let Some(v) = line.strip_prefix(b"Pid:") {
            info.pid = signed(v.trim_ascii());
            break;
        }
    }
    info
}

/// Open flags by the kernel's value. A value of several bits counts when all of them are set; upstream tests for
/// any.
const OPEN_FLAGS: [(i32, u32); 11] = [
    (libc::O_CREAT, 1 << 2),
    (libc::O_APPEND, 1 << 3),
    (libc::O_DSYNC, 1 << 4),
    (libc::O_EXCL, 1 << 5),
    (libc::O_NONBLOCK, 1 << 6),
    (libc::O_SYNC, 1 << 7),
    (libc::O_TRUNC, 1 << 8),
    (libc::O_DIRECT, 1 << 9),
    (libc::O_DIRECTORY, 1 << 10),
    (libc::O_CLOEXEC, 1 << 12),
    (libc::O_TMPFILE, 1 << 13),
];

/// Open flags as captures have them (`PPM_O_*`). `O_LARGEFILE` is left out as upstream's scan does: 64-bit kernels
/// set it on every open, whoever asked.
pub fn open_flags(flags: u64) -> u32 {
    let access = match flags & 3 {
        0 => 1,
        1 => 2,
        _ => 3,
    };
    let has = |bits: i32| u64::try_from(bits).is_ok_and(|bits| flags & bits == bits);
    OPEN_FLAGS.iter().filter(|(bits, _)| has(*bits)).fold(access, |all, (_, ppm)| all | ppm)
}

/// A range of ids of a user namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdRange {
    /// First id inside.
    pub inner: u32,
    /// First id as the reader sees it.
    pub outer: u32,
    /// Number of ids.
    pub count: u32,
}

/// Parses `uid_map` or `gid_map`.
pub fn id_map(text: &[u8]) -> Vec<IdRange> {
    let range = |line| {
        let mut n = words(line).map(|w| number(w).and_then(|n| u32::try_from(n).ok()));
        Some(IdRange { inner: n.next()??, outer: n.next()??, count: n.next()?? })
    };
    lines(text).filter_map(range).collect()
}

/// What an id inside a user namespace is outside.
pub fn outer_id(map: &[IdRange], inner: u32) -> Option<u32> {
    map.iter().find_map(|r| {
        let at = inner.checked_sub(r.inner).filter(|at| *at < r.count)?;
        r.outer.checked_add(at)
    })
}

/// What an id outside of a user namespace is inside.
pub fn inner_id(map: &[IdRange], outer: u32) -> Option<u32> {
    map.iter().find_map(|r| {
        let at = outer.checked_sub(r.outer).filter(|at| *at < r.count)?;
        r.inner.checked_add(at)
    })
}

/// Boot time of `/proc/stat`, ns since the epoch: whole seconds only. `None` without such a line.
pub fn btime(text: &[u8]) -> Option<u64> {
    lines(text)
        .find_map(|l| l.strip_prefix(b"btime "))?
        .trim_ascii()
        .split(|b| *b == b' ')
        .next()
        .and_then(number)?
        .checked_mul(1_000_000_000)
}
