//! The event, flag, system call and conversion tables, made at build time from `format/schema/`.
//!
//! Everything that is decided per event type is looked up here; no other module knows an event by
//! its layout. Source: scap-format sections 4 and 5, appendix A.
#![allow(clippy::unreadable_literal)] // the generated tables

use std::fmt;

/// Width, encoding and meaning of a parameter (`PT_*`); scap-format section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the format's own
pub enum ParamType {
    Int8,
    Int16,
    Int32,
    Int64,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    CharBuf,
    ByteBuf,
    Errno,
    SockAddr,
    SockTuple,
    Fd,
    Pid,
    FdList,
    FsPath,
    SyscallId,
    SigType,
    RelTime,
    AbsTime,
    Port,
    L4Proto,
    SockFamily,
    Bool,
    Ipv4Addr,
    Dyn,
    Flags8,
    Flags16,
    Flags32,
    Uid,
    Gid,
    Double,
    SigSet,
    CharBufArray,
    CharBufPairArray,
    Ipv6Addr,
    Mode,
    FsRelPath,
    EnumFlags8,
    EnumFlags16,
    EnumFlags32,
    Fd32,
    Pid32,
}

impl ParamType {
    /// Its name in lists of events, as sysdig prints them.
    pub fn name(self) -> &'static str {
        use ParamType as P;
        match self {
            P::Int8 => "INT8",
            P::Int16 => "INT16",
            P::Int32 => "INT32",
            P::Int64 => "INT64",
            P::Uint8 => "UINT8",
            P::Uint16 => "UINT16",
            P::Uint32 => "UINT32",
            P::Uint64 => "UINT64",
            P::CharBuf => "CHARBUF",
            P::ByteBuf => "BYTEBUF",
            P::Errno => "ERRNO",
            P::SockAddr => "SOCKADDR",
            P::SockTuple => "SOCKTUPLE",
            P::Fd => "FD",
            P::Pid => "PID",
            P::FdList => "FDLIST",
            P::FsPath => "FSPATH",
            P::SyscallId => "SYSCALLID",
            P::SigType => "SIGTYPE",
            P::RelTime => "RELTIME",
            P::AbsTime => "ABSTIME",
            P::Port => "PORT",
            P::L4Proto => "L4PROTO",
            P::SockFamily => "SOCKFAMILY",
            P::Bool => "BOOL",
            P::Ipv4Addr => "IPV4ADDR",
            P::Dyn => "DYNAMIC",
            P::Flags8 => "FLAGS8",
            P::Flags16 => "FLAGS16",
            P::Flags32 => "FLAGS32",
            P::Uid => "UID",
            P::Gid => "GID",
            P::Double => "DOUBLE",
            P::SigSet => "SIGSET",
            P::CharBufArray => "CHARBUFARRAY",
            P::CharBufPairArray => "CHARBUF_PAIR_ARRAY",
            P::Ipv6Addr => "IPV6ADDR",
            P::Mode => "MODE",
            P::FsRelPath => "FSRELPATH",
            P::EnumFlags8 => "ENUMFLAGS8",
            P::EnumFlags16 => "ENUMFLAGS16",
            P::EnumFlags32 => "ENUMFLAGS32",
            P::Fd32 => "FD32",
            P::Pid32 => "PID32",
        }
    }

    /// Bytes of a value that is present; `None` for types of variable length.
    pub fn fixed_size(self) -> Option<usize> {
        use ParamType as P;
        match self {
            P::Int8 | P::Uint8 | P::SigType | P::L4Proto | P::SockFamily | P::Flags8 | P::EnumFlags8 => Some(1),
            P::Int16 | P::Uint16 | P::SyscallId | P::Port | P::Flags16 | P::EnumFlags16 => Some(2),
            P::Int32
            | P::Uint32
            | P::Bool
            | P::Ipv4Addr
            | P::Flags32
            | P::Uid
            | P::Gid
            | P::SigSet
            | P::Mode
            | P::EnumFlags32
            | P::Fd32
            | P::Pid32 => Some(4),
            P::Int64 | P::Uint64 | P::Errno | P::Fd | P::Pid | P::RelTime | P::AbsTime | P::Double => Some(8),
            P::Ipv6Addr => Some(16),
            P::CharBuf
            | P::ByteBuf
            | P::SockAddr
            | P::SockTuple
            | P::FdList
            | P::FsPath
            | P::Dyn
            | P::CharBufArray
            | P::CharBufPairArray
            | P::FsRelPath => None,
        }
    }
}

/// How a number is printed (`PF_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrintFormat {
    /// Not a number, or decimal.
    None,
    /// Decimal.
    Decimal,
    /// Upper-case hexadecimal without prefix.
    Hexadecimal,
    /// Octal with a leading 0.
    Octal,
}

/// A flag or enumeration table. The order of the entries is the order of rendering.
#[derive(Debug, PartialEq, Eq)]
pub struct FlagTable {
    /// The table's name.
    pub name: &'static str,
    /// Name and value.
    pub entries: &'static [(&'static str, u64)],
}

/// A sub type of a [`ParamType::Dyn`] parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynType {
    /// The value of the parameter's first byte.
    pub index: u8,
    /// Type of the bytes that follow.
    pub kind: ParamType,
    /// How it is printed.
    pub format: PrintFormat,
}

/// A parameter of an event type.
#[derive(Debug, PartialEq, Eq)]
pub struct ParamInfo {
    /// The parameter's name.
    pub name: &'static str,
    /// Its type.
    pub kind: ParamType,
    /// How it is printed.
    pub format: PrintFormat,
    /// Names of its values, for flags, enumerations and modes.
    pub flags: Option<&'static FlagTable>,
    /// Sub types, for [`ParamType::Dyn`].
    pub dynamic: &'static [DynType],
    /// For [`ParamType::FsRelPath`]: number of the parameter that holds the directory's fd.
    pub dirfd: Option<u8>,
}

/// Category bits of an event type: a low part and one source bit (scap-format section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Category(pub u16);

impl Category {
    const SOURCES: u16 = 512 | 1024 | 2048 | 4096 | 8192;

    /// The category without its source bit.
    pub fn low(self) -> u16 {
        self.0 & !Self::SOURCES
    }

    /// Whether the event is a system call.
    pub fn is_syscall(self) -> bool {
        self.0 & 512 != 0
    }

    /// Whether the event is about the capture itself (containers, users, asynchronous events).
    pub fn is_meta(self) -> bool {
        self.0 & 4096 != 0
    }

    /// Whether sysdig hides events of this type unless asked.
    pub fn is_internal(self) -> bool {
        self.0 & 256 != 0
    }

    /// The category's name as the field `evt.category` gives it where it does not depend on the fd.
    pub fn name(self) -> &'static str {
        match self.low() {
            1 => "other",
            2 => "file",
            3 => "net",
            4 => "IPC",
            5 => "memory",
            6 => "process",
            7 => "sleep",
            8 => "system",
            9 => "signal",
            10 => "user",
            11 => "time",
            12 => "processing",
            32 => "I/O read",
            33 => "I/O write",
            34 => "I/O other",
            64 => "wait",
            128 => "scheduler",
            256 => "internal",
            _ => "unknown",
        }
    }
}

/// Property bits of an event type (`EF_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventFlags(pub u16);

macro_rules! event_flags {
    ($($(#[$doc:meta])* $name:ident, $is:ident, $bit:literal;)*) => {
        impl EventFlags {
            $($(#[$doc])* pub const $name: u16 = 1 << $bit;
              $(#[$doc])* pub fn $is(self) -> bool { self.0 & Self::$name != 0 })*
        }
    };
}

event_flags! {
    /// The call gives a new fd.
    CREATES_FD, creates_fd, 0;
    /// The call closes an fd.
    DESTROYS_FD, destroys_fd, 1;
    /// The call works on an fd.
    USES_FD, uses_fd, 2;
    /// The call reads from an fd.
    READS_FROM_FD, reads_from_fd, 3;
    /// The call writes to an fd.
    WRITES_TO_FD, writes_to_fd, 4;
    /// The event changes the state of threads, fds or users.
    MODIFIES_STATE, modifies_state, 5;
    /// The id is a placeholder.
    UNUSED, is_unused, 6;
    /// The call may wait.
    WAITS, waits, 7;
    /// The event is not bound to a thread.
    SKIP_PARSER_RESET, skips_parser_reset, 8;
    /// No driver writes it any more.
    OLD_VERSION, is_old_version, 9;
    /// Parameter lengths are 32 bits wide.
    LARGE_PAYLOAD, is_large, 11;
    /// The conversion table says how it becomes a current event.
    CONVERTER_MANAGED, is_converter_managed, 12;
}

/// An event type.
#[derive(Debug, PartialEq, Eq)]
pub struct EventInfo {
    /// The type number.
    pub id: u16,
    /// Name of the format's constant, without `PPME_`.
    pub constant: &'static str,
    /// The name shown to users: the system call's.
    pub name: &'static str,
    /// Category.
    pub category: Category,
    /// Properties.
    pub flags: EventFlags,
    /// Codes of the system calls that give this event; empty for the generic ones.
    pub syscalls: &'static [u16],
    /// Parameters in order.
    pub params: &'static [ParamInfo],
}

impl EventInfo {
    /// Whether this is the enter half: an even type number.
    pub fn is_enter(&self) -> bool {
        self.id & 1 == 0
    }

    /// `>` or `<`.
    pub fn direction(&self) -> char {
        if self.is_enter() { '>' } else { '<' }
    }

    /// Number of the parameter of that name.
    pub fn param_index(&self, name: &str) -> Option<usize> {
        self.params.iter().position(|p| p.name == name)
    }
}

/// A native system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NativeSyscall {
    /// The architecture's number.
    pub number: u16,
    /// The code that captures store.
    pub code: u16,
    /// Event type at enter.
    pub enter: u16,
    /// Event type at exit.
    pub exit: u16,
    /// Whether it has event types of its own (else it is recorded as a generic event).
    pub used: bool,
}

/// What is done with an event of an old schema (appendix A.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Keep a copy for the exit event of the thread, deliver nothing.
    Store,
    /// Keep a copy and deliver it.
    StoreAndPass,
    /// Deliver as it is.
    Pass,
    /// Keep type and parameters, append one parameter per instruction.
    Add,
    /// Becomes another type whose parameters come from the instructions only.
    Become(u16),
}

/// Where a parameter of the new event comes from (appendix A.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instruction {
    /// Parameter of the event being converted.
    Old(u8),
    /// Parameter of the stored enter event of the thread.
    Enter {
        /// Its number.
        param: u8,
        /// Without a stored event: empty (else the type's default).
        or_empty: bool,
    },
    /// Zeros of the type's size, all ones for user and group ids, empty for variable types.
    Default,
    /// Length 0: value not available.
    Empty,
    /// JSON made of the four parameters of the old container event.
    ContainerJson,
}

/// A conversion rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    /// Event type it applies to.
    pub event: u16,
    /// Number of stored parameters it applies to.
    pub nparams: u8,
    /// What is done.
    pub action: Action,
    /// New parameters.
    pub instructions: &'static [Instruction],
}

include!(concat!(env!("OUT_DIR"), "/schema_gen.rs"));

/// The current table's entry for an event type; `None` for types of a newer schema.
pub fn event_info(event_type: u16) -> Option<&'static EventInfo> {
    EVENTS.get(usize::from(event_type))
}

/// The 2022 table's entry for an event type.
pub fn event_info_2022(event_type: u16) -> Option<&'static EventInfo> {
    EVENTS_2022.get(usize::from(event_type))
}

/// The conversion rule for an event type stored with that many parameters.
pub fn conversion(event_type: u16, nparams: usize) -> Option<&'static Conversion> {
    let nparams = u8::try_from(nparams).ok()?;
    let at = CONVERSIONS.binary_search_by_key(&(event_type, nparams), |c| (c.event, c.nparams)).ok()?;
    CONVERSIONS.get(at)
}

/// Name of a stored system call code; `None` for unknown or withdrawn codes.
pub fn syscall_name(code: u16) -> Option<&'static str> {
    SYSCALL_NAMES.get(usize::from(code)).copied().filter(|n| !n.is_empty())
}

/// The x86_64 call of that number.
pub fn native_x86_64(number: u16) -> Option<&'static NativeSyscall> {
    native(&SYSCALLS_X86_64, number)
}

/// The aarch64 call of that number.
pub fn native_aarch64(number: u16) -> Option<&'static NativeSyscall> {
    native(&SYSCALLS_AARCH64, number)
}

/// The tables are in the order of their numbers.
fn native(calls: &'static [NativeSyscall], number: u16) -> Option<&'static NativeSyscall> {
    calls.get(calls.binary_search_by_key(&number, |s| s.number).ok()?)
}

/// The x86_64 number of an ia32 call; `None` where there is none.
pub fn x86_64_of_ia32(number: u16) -> Option<u16> {
    let at = IA32_TO_X86_64.binary_search_by_key(&number, |(ia32, _)| *ia32).ok()?;
    IA32_TO_X86_64.get(at)?.1
}

impl fmt::Display for EventInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.direction(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hang_together() {
        assert_eq!(EVENTS.len(), 454);
        assert_eq!(EVENTS_2022.len(), 336);
        assert_eq!(CONVERSIONS.len(), 253);
        for e in &EVENTS {
            assert!(e.params.len() <= 32, "{e}");
            for p in e.params {
                if let Some(d) = p.dirfd {
                    assert!(usize::from(d) < e.params.len(), "{e}: {}", p.name);
                }
                assert_eq!(p.dynamic.is_empty(), p.kind != ParamType::Dyn, "{e}: {}", p.name);
            }
        }
        let large: Vec<u16> = EVENTS.iter().filter(|e| e.flags.is_large()).map(|e| e.id).collect();
        assert_eq!(large, [id::PLUGINEVENT_E, id::CONTAINER_JSON_2_E, id::ASYNCEVENT_E]);
    }

    #[test]
    fn calls_are_found_by_number() {
        for (table, of) in [
            (&SYSCALLS_X86_64[..], native_x86_64 as fn(u16) -> Option<&'static NativeSyscall>),
            (&SYSCALLS_AARCH64[..], native_aarch64),
        ] {
            for number in 0..=u16::MAX {
                assert_eq!(of(number), table.iter().find(|s| s.number == number), "{number}");
            }
        }
        let name = |call: Option<&NativeSyscall>| call.and_then(|c| syscall_name(c.code));
        assert_eq!((name(native_x86_64(257)), name(native_aarch64(56))), (Some("openat"), Some("openat")));
    }

    /// Between table versions names may change, sizes and order never (scap-format section 4).
    #[test]
    fn old_parameters_are_a_prefix_of_new_ones() {
        for (old, new) in EVENTS_2022.iter().zip(&EVENTS) {
            assert!(old.params.len() <= new.params.len(), "{old}");
            for (a, b) in old.params.iter().zip(new.params) {
                assert_eq!(a.kind.fixed_size(), b.kind.fixed_size(), "{old}: {}", a.name);
            }
        }
    }

    #[test]
    fn every_rule_ends_with_the_parameters_it_promises() {
        for c in &CONVERSIONS {
            let params = |id: u16| event_info(id).map_or(0, |e| e.params.len());
            match c.action {
                Action::Become(to) => assert!(c.instructions.len() <= params(to), "{c:?}"),
                Action::Add => {
                    assert!(usize::from(c.nparams) + c.instructions.len() <= params(c.event), "{c:?}");
                    assert!(!c.instructions.is_empty(), "{c:?}");
                }
                _ => assert!(c.instructions.is_empty(), "{c:?}"),
            }
        }
        assert_eq!(conversion(282, 0).map(|c| c.instructions.len()), Some(1));
        assert!(conversion(282, 1).is_none());
    }
}
