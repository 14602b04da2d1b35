//! An fd as the engine knows it.

use super::Text;

pub(super) mod o {
    //! Open flags (`PPM_O_*`).
    pub const DIRECTORY: u32 = 1 << 10;
    pub const CLOEXEC: u32 = 1 << 12;
    /// `EPOLL_CLOEXEC` and `MFD_CLOEXEC`: another flag for other fds, but dup clears it for all.
    pub const CLOEXEC_OF_KIND: u32 = 1;
    /// The driver adds this bit and higher ones.
    pub const CREATED: u32 = 1 << 14;
    pub const UPPER_LAYER: u32 = 1 << 15;
    pub const LOWER_LAYER: u32 = 1 << 16;
}

/// An entry of an fd table.
#[derive(Debug, Clone)]
pub struct Fd {
    /// What it is.
    pub kind: FdKind,
    /// The name shown to users: path, tuple, or empty.
    pub name: Text,
    /// The path as the program gave it.
    pub name_raw: Text,
    /// Open flags (`PPM_O_*`).
    pub open_flags: u32,
    /// Device number.
    pub dev: u32,
    /// Inode.
    pub ino: u64,
    /// Addresses, for sockets.
    pub socket: Socket,
    /// What else is known: [`Fd::FROM_LIST`] and so on.
    pub flags: u16,
    /// The process of a pidfd.
    pub pid: i64,
}

#[allow(missing_docs)]
impl Fd {
    pub const FROM_LIST: u16 = 1;
    pub const ROLE_CLIENT: u16 = 2;
    pub const ROLE_SERVER: u16 = 4;
    pub const CONNECTED: u16 = 8;
    pub const UPPER_LAYER: u16 = 16;
    pub const LOWER_LAYER: u16 = 32;

    /// An fd of a kind, with nothing else known.
    pub fn new(kind: FdKind) -> Self {
        Fd {
            kind,
            name: Text::default(),
            name_raw: Text::default(),
            open_flags: 0,
            dev: 0,
            ino: 0,
            socket: Socket::None,
            flags: 0,
            pid: 0,
        }
    }

    /// Whether an exec closes it.
    pub fn closes_on_exec(&self) -> bool {
        let one = matches!(self.kind, FdKind::EventPoll | FdKind::MemFd);
        self.open_flags & o::CLOEXEC != 0 || (one && self.open_flags & o::CLOEXEC_OF_KIND != 0)
    }

    /// A copy of it, as dup makes: open across an exec unless told.
    pub(super) fn duplicate(&self, cloexec: bool) -> Fd {
        let mut copy = self.clone();
        copy.set_cloexec(cloexec);
        copy
    }

    pub(super) fn set_cloexec(&mut self, cloexec: bool) {
        self.open_flags &= !(o::CLOEXEC | o::CLOEXEC_OF_KIND);
        if cloexec {
            self.open_flags |= o::CLOEXEC;
        }
    }

    /// Whether it is an IPv4 socket of that transport. Upstream does not ask IPv6 ones.
    pub(super) fn is_ipv4_of(&self, l4: u8) -> bool {
        self.kind == FdKind::Ipv4 && self.socket.l4() == l4
    }

    /// Transport protocol of an IP socket, numbered as in [`Socket`]; 0 for anything else. As
    /// upstream has it, a socket that is neither a client's nor a server's yet has none, unless it
    /// is raw.
    pub fn protocol(&self) -> u8 {
        let server = matches!(self.kind, FdKind::Ipv4Server | FdKind::Ipv6Server);
        match self.socket.l4() {
            _ if !server && !matches!(self.kind, FdKind::Ipv4 | FdKind::Ipv6) => 0,
            5 => 5,
            _ if !server && self.has_no_role() => 0,
            l4 => l4,
        }
    }

    /// Whether the socket's role (client or server) is not known.
    pub fn has_no_role(&self) -> bool {
        self.flags & (Fd::ROLE_CLIENT | Fd::ROLE_SERVER) == 0
    }
}

/// Type of an fd (state engine 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // the names of the field `fd.type`
pub enum FdKind {
    Unknown,
    File,
    FileV2,
    Directory,
    Ipv4,
    Ipv6,
    Ipv4Server,
    Ipv6Server,
    Fifo,
    Unix,
    Event,
    Unsupported,
    SignalFd,
    EventPoll,
    Inotify,
    TimerFd,
    Netlink,
    Bpf,
    UserFaultFd,
    IoUring,
    MemFd,
    PidFd,
}

impl FdKind {
    /// The letter between `<` and `>` in argument text.
    pub fn type_char(self) -> char {
        match self {
            FdKind::File | FdKind::FileV2 => 'f',
            FdKind::Directory => 'd',
            FdKind::Ipv4 | FdKind::Ipv4Server => '4',
            FdKind::Ipv6 | FdKind::Ipv6Server => '6',
            FdKind::Unix | FdKind::UserFaultFd => 'u',
            FdKind::Fifo => 'p',
            FdKind::Event => 'e',
            FdKind::SignalFd => 's',
            FdKind::EventPoll => 'l',
            FdKind::Inotify => 'i',
            FdKind::TimerFd => 't',
            FdKind::Netlink => 'n',
            FdKind::Bpf => 'b',
            FdKind::IoUring => 'r',
            FdKind::MemFd => 'm',
            FdKind::PidFd => 'P',
            FdKind::Unknown => 'o',
            FdKind::Unsupported => 'X',
        }
    }
}

/// What is known of a socket. Addresses in network order, ports in host order; `l4`: 0 unknown,
/// 1 not applicable, 2 TCP, 3 UDP, 4 ICMP, 5 RAW.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs)]
pub enum Socket {
    #[default]
    None,
    Ipv4 {
        sip: [u8; 4],
        sport: u16,
        dip: [u8; 4],
        dport: u16,
        l4: u8,
    },
    Ipv6 {
        sip: [u8; 16],
        sport: u16,
        dip: [u8; 16],
        dport: u16,
        l4: u8,
    },
    Ipv4Server {
        ip: [u8; 4],
        port: u16,
        l4: u8,
    },
    Ipv6Server {
        ip: [u8; 16],
        port: u16,
        l4: u8,
    },
    Unix {
        source: u64,
        destination: u64,
    },
}

impl Socket {
    /// Transport protocol number as above.
    pub fn l4(&self) -> u8 {
        match *self {
            Socket::Ipv4 { l4, .. }
            | Socket::Ipv6 { l4, .. }
            | Socket::Ipv4Server { l4, .. }
            | Socket::Ipv6Server { l4, .. } => l4,
            Socket::None | Socket::Unix { .. } => 0,
        }
    }
}
