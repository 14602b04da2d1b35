//! The process (thread) list, versions 1 to 9 (scap-format section 2.2).
//!
//! One table says which field came with which version; decoding and encoding both walk it.

use super::{Entries, put_declared, put_string};
use crate::cursor::Cursor;
use crate::{DamageKind, Limits, Result};

/// A thread as a process list has it. Fields that the list's version lacks hold the format's
/// default: -1 for ids, all ones for the login uid, empty, 0.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // the format's own names
pub struct Thread<'a> {
    pub tid: i64,
    pub pid: i64,
    /// Parent's tid.
    pub ptid: i64,
    pub sid: i64,
    pub vpgid: i64,
    pub comm: &'a [u8],
    /// argv\[0\].
    pub exe: &'a [u8],
    pub exepath: &'a [u8],
    /// argv\[1..\], each followed by NUL (the last one sometimes not, in old files).
    pub args: &'a [u8],
    pub cwd: &'a [u8],
    /// -1 unknown.
    pub fdlimit: i64,
    /// `PPM_CL_*`.
    pub flags: u32,
    pub uid: u32,
    pub gid: u32,
    pub vmsize_kb: u32,
    pub vmrss_kb: u32,
    pub vmswap_kb: u32,
    pub pfmajor: u64,
    pub pfminor: u64,
    /// `KEY=VALUE`, each followed by NUL.
    pub env: &'a [u8],
    pub vtid: i64,
    pub vpid: i64,
    /// `subsystem=path`, each followed by NUL.
    pub cgroups: &'a [u8],
    pub root: &'a [u8],
    /// ns.
    pub pidns_init_start_ts: u64,
    pub tty: u32,
    pub loginuid: u32,
    pub exe_writable: u8,
    pub cap_inheritable: u64,
    pub cap_permitted: u64,
    pub cap_effective: u64,
    pub exe_upper_layer: u8,
    pub exe_ino: u64,
    /// ns.
    pub exe_ino_ctime: u64,
    /// ns.
    pub exe_ino_mtime: u64,
    pub exe_from_memfd: u8,
    pub exe_lower_layer: u8,
    pub pgid: i64,
    /// Which of the fields after `root` are stored.
    pub tail: Tail,
    /// Bytes after the last field that this program knows, up to the entry's declared length.
    pub extra: &'a [u8],
}

/// Size of what follows `root` in an entry of version 9. The two layouts share field names but not
/// their order: up to 29 bytes there is no `pidns_init_start_ts` and no `tty` in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// libs before 0.10: 0, 4, 5, 13, 21 or 29 bytes, `loginuid` first.
    Old(u8),
    /// libs 0.10 and later: over 29 bytes, `pidns_init_start_ts` first.
    New(u8),
}

impl Tail {
    /// All fields of the old layout: what every reader understands.
    pub const OLD: Tail = Tail::Old(29);
    /// All fields of the new layout: what libs writes today.
    pub const NEW: Tail = Tail::New(76);
    /// The largest tail of the old layout.
    const OLD_MAX: usize = 29;
}

impl Default for Thread<'_> {
    fn default() -> Self {
        Thread {
            tid: 0,
            pid: 0,
            ptid: 0,
            sid: -1,
            vpgid: -1,
            comm: &[],
            exe: &[],
            exepath: &[],
            args: &[],
            cwd: &[],
            fdlimit: -1,
            flags: 0,
            uid: 0,
            gid: 0,
            vmsize_kb: 0,
            vmrss_kb: 0,
            vmswap_kb: 0,
            pfmajor: 0,
            pfminor: 0,
            env: &[],
            vtid: -1,
            vpid: -1,
            cgroups: &[],
            root: &[],
            pidns_init_start_ts: 0,
            tty: 0,
            loginuid: u32::MAX,
            exe_writable: 0,
            cap_inheritable: 0,
            cap_permitted: 0,
            cap_effective: 0,
            exe_upper_layer: 0,
            exe_ino: 0,
            exe_ino_ctime: 0,
            exe_ino_mtime: 0,
            exe_from_memfd: 0,
            exe_lower_layer: 0,
            pgid: -1,
            tail: Tail::NEW,
            extra: &[],
        }
    }
}

/// How a field is read from and written to a [`Thread`].
struct Field {
    name: &'static str,
    /// Version of the list that brought it.
    since: u8,
    get: for<'a> fn(&mut Thread<'a>, &mut Cursor<'a>) -> Option<()>,
    put: fn(&Thread<'_>, &mut Vec<u8>) -> Result<()>,
}

macro_rules! field {
    ($name:ident, $since:literal, str) => {
        Field {
            name: stringify!($name),
            since: $since,
            get: |t, c| c.string().map(|v| t.$name = v),
            put: |t, out| put_string(out, stringify!($name), t.$name),
        }
    };
    ($name:ident, $since:literal, $get:ident) => {
        Field {
            name: stringify!($name),
            since: $since,
            get: |t, c| c.$get().map(|v| t.$name = v),
            put: |t, out| {
                out.extend_from_slice(&t.$name.to_le_bytes());
                Ok(())
            },
        }
    };
}

const FIELDS: &[Field] = &[
    field!(tid, 1, i64),
    field!(pid, 1, i64),
    field!(ptid, 1, i64),
    field!(sid, 6, i64),
    field!(vpgid, 8, i64),
    field!(comm, 1, str),
    field!(exe, 1, str),
    field!(exepath, 7, str),
    field!(args, 1, str),
    field!(cwd, 1, str),
    field!(fdlimit, 1, i64),
    field!(flags, 1, u32),
    field!(uid, 1, u32),
    field!(gid, 1, u32),
    field!(vmsize_kb, 2, u32),
    field!(vmrss_kb, 2, u32),
    field!(vmswap_kb, 2, u32),
    field!(pfmajor, 2, u64),
    field!(pfminor, 2, u64),
    field!(env, 3, str),
    field!(vtid, 4, i64),
    field!(vpid, 4, i64),
    field!(cgroups, 4, str),
    field!(root, 5, str),
];

const OLD_TAIL: &[Field] = &[
    field!(loginuid, 9, u32),
    field!(exe_writable, 9, u8),
    field!(cap_inheritable, 9, u64),
    field!(cap_permitted, 9, u64),
    field!(cap_effective, 9, u64),
];

const NEW_TAIL: &[Field] = &[
    field!(pidns_init_start_ts, 9, u64),
    field!(tty, 9, u32),
    field!(loginuid, 9, u32),
    field!(exe_writable, 9, u8),
    field!(cap_inheritable, 9, u64),
    field!(cap_permitted, 9, u64),
    field!(cap_effective, 9, u64),
    field!(exe_upper_layer, 9, u8),
    field!(exe_ino, 9, u64),
    field!(exe_ino_ctime, 9, u64),
    field!(exe_ino_mtime, 9, u64),
    field!(exe_from_memfd, 9, u8),
    field!(exe_lower_layer, 9, u8),
    field!(pgid, 9, i64),
];

/// The threads of a process list block.
#[derive(Debug, Clone)]
pub struct Threads<'a> {
    entries: Entries<'a>,
    version: u8,
    max_string: u16,
}

impl<'a> Threads<'a> {
    /// The list in `body` (padding included), laid out as `version` says.
    pub fn new(body: &'a [u8], version: u8, limits: &Limits) -> Self {
        Threads { entries: Entries::new("process list", body, limits), version, max_string: limits.max_string }
    }

    /// Layout version, 1 to 9.
    pub fn version(&self) -> u8 {
        self.version
    }

    fn entry(&mut self) -> Result<Thread<'a>, DamageKind> {
        let declares = self.version >= 9;
        let mut cursor = if declares { self.entries.declared(true)? } else { self.entries.body };
        let mut thread = Thread::default();
        for f in FIELDS.iter().filter(|f| f.since <= self.version) {
            if (f.get)(&mut thread, &mut cursor).is_none() {
                return Err(self.entries.bad(f.name, 1, cursor.remaining() as u64));
            }
        }
        for (what, bytes) in
            [("comm", thread.comm), ("args", thread.args), ("env", thread.env), ("cgroups", thread.cgroups)]
        {
            if bytes.len() > usize::from(self.max_string) {
                return Err(self.entries.bad(what, u64::from(self.max_string), bytes.len() as u64));
            }
        }
        if !declares {
            thread.tail = Tail::Old(0);
            self.entries.body = cursor;
            return Ok(thread);
        }
        let (fields, new) = if cursor.remaining() > Tail::OLD_MAX { (NEW_TAIL, true) } else { (OLD_TAIL, false) };
        let before = cursor.remaining();
        for f in fields {
            if (f.get)(&mut thread, &mut cursor).is_none() {
                break;
            }
        }
        let size = u8::try_from(before.saturating_sub(cursor.remaining())).unwrap_or(u8::MAX);
        thread.tail = if new { Tail::New(size) } else { Tail::Old(size) };
        thread.extra = cursor.rest();
        Ok(thread)
    }
}

impl<'a> Iterator for Threads<'a> {
    type Item = Result<Thread<'a>, DamageKind>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.entries.more()?.and_then(|()| self.entry());
        self.entries.entry = self.entries.entry.saturating_add(1);
        Some(entry)
    }
}

impl Thread<'_> {
    /// Appends the entry as a list of `version` stores it.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] when a string is longer than 65,535 bytes.
    pub fn encode(&self, version: u8, out: &mut Vec<u8>) -> Result<()> {
        if version < 9 {
            return self.encode_fields(FIELDS.iter().filter(|f| f.since <= version), out);
        }
        put_declared(out, true, |out| {
            self.encode_fields(FIELDS.iter(), out)?;
            let (fields, size) = match self.tail {
                Tail::Old(size) => (OLD_TAIL, usize::from(size)),
                Tail::New(size) => (NEW_TAIL, usize::from(size)),
            };
            let start = out.len();
            for f in fields {
                let before = out.len();
                (f.put)(self, out)?;
                if out.len().saturating_sub(start) > size {
                    out.truncate(before);
                    break;
                }
            }
            out.extend_from_slice(self.extra);
            Ok(())
        })
    }

    fn encode_fields<'f>(&self, fields: impl Iterator<Item = &'f Field>, out: &mut Vec<u8>) -> Result<()> {
        for f in fields {
            (f.put)(self, out)?;
        }
        Ok(())
    }
}
