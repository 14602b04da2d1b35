//! What tuples say of sockets (state engine 7.3 and 7.4).

use super::sockets::{L4_UDP, L4_UNKNOWN};
use super::users::Interfaces;
use super::{Fd, FdKind, Socket, names};
use scapkit_format::value::SockTuple;

/// Both ends, source first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ends<A> {
    pub sip: A,
    pub sport: u16,
    pub dip: A,
    pub dport: u16,
}

impl<A: Copy + PartialEq> Ends<A> {
    fn swapped(self) -> Self {
        Ends { sip: self.dip, sport: self.dport, dip: self.sip, dport: self.sport }
    }

    /// Takes over a tuple; `None` when it says nothing new.
    fn updated(self, new: Self) -> Option<Self> {
        if new == self || new.swapped() == self {
            return None;
        }
        Some(new)
    }
}

/// The ends of a socket of that family, none when it is of another or only bound.
pub(super) fn ends_v4(socket: &Socket) -> Ends<[u8; 4]> {
    match *socket {
        Socket::Ipv4 { sip, sport, dip, dport, .. } => Ends { sip, sport, dip, dport },
        _ => Ends { sip: [0; 4], sport: 0, dip: [0; 4], dport: 0 },
    }
}

pub(super) fn ends_v6(socket: &Socket) -> Ends<[u8; 16]> {
    match *socket {
        Socket::Ipv6 { sip, sport, dip, dport, .. } => Ends { sip, sport, dip, dport },
        _ => Ends { sip: [0; 16], sport: 0, dip: [0; 16], dport: 0 },
    }
}

/// Sets an fd's ends; `false` when they were known. The transport stays.
pub(super) fn set_v4(fd: &mut Fd, new: Ends<[u8; 4]>) -> bool {
    let (old, l4) = (ends_v4(&fd.socket), fd.socket.l4());
    fd.kind = FdKind::Ipv4;
    let ends = old.updated(new);
    let Ends { sip, sport, dip, dport } = ends.unwrap_or(old);
    fd.socket = Socket::Ipv4 { sip, sport, dip, dport, l4 };
    ends.is_some()
}

fn set_v6(fd: &mut Fd, new: Ends<[u8; 16]>) -> bool {
    let (old, l4) = (ends_v6(&fd.socket), fd.socket.l4());
    fd.kind = FdKind::Ipv6;
    let ends = old.updated(new);
    let Ends { sip, sport, dip, dport } = ends.unwrap_or(old);
    fd.socket = Socket::Ipv6 { sip, sport, dip, dport, l4 };
    ends.is_some()
}

/// As [`set_v6`]; a pair of mapped addresses is one of IPv4.
pub(super) fn set_v6_or_mapped(fd: &mut Fd, new: Ends<[u8; 16]>) -> bool {
    match (names::mapped(&new.sip), names::mapped(&new.dip)) {
        (Some(sip), Some(dip)) => set_v4(fd, Ends { sip, sport: new.sport, dip, dport: new.dport }),
        _ => set_v6(fd, new),
    }
}

pub(super) fn swap(fd: &mut Fd) {
    let l4 = fd.socket.l4();
    match fd.socket {
        Socket::Ipv4 { .. } => {
            let Ends { sip, sport, dip, dport } = ends_v4(&fd.socket).swapped();
            fd.socket = Socket::Ipv4 { sip, sport, dip, dport, l4 };
        }
        Socket::Ipv6 { .. } => {
            let Ends { sip, sport, dip, dport } = ends_v6(&fd.socket).swapped();
            fd.socket = Socket::Ipv6 { sip, sport, dip, dport, l4 };
        }
        _ => {}
    }
}

/// Fills in an address that the kernel did not say: the machine's own (section 7.4).
fn complete(fd: &mut Fd, interfaces: &Interfaces) {
    match &mut fd.socket {
        Socket::Ipv4 { sip, sport, dip, dport, .. } => {
            if *sip != [0; 4] && *dip != [0; 4] {
                return;
            }
            let (known, missing) = if *sip == [0; 4] { (dip, sip) } else { (sip, dip) };
            let own = interfaces.infer_v4(*known);
            if own != *known || sport != dport {
                *missing = own;
            }
        }
        Socket::Ipv6 { sip, sport, dip, dport, .. } => {
            if *sip != [0; 16] && *dip != [0; 16] {
                return;
            }
            let (known, missing) = if *sip == [0; 16] { (dip, sip) } else { (sip, dip) };
            let own = interfaces.infer_v6(*known);
            if own != *known || sport != dport {
                *missing = own;
            }
        }
        _ => {}
    }
}

/// Takes over the tuple of data sent or received; `false` when it says nothing new.
pub(super) fn take_tuple(fd: &mut Fd, tuple: &SockTuple<'_>, interfaces: &Interfaces) -> bool {
    let changed = match *tuple {
        SockTuple::Ipv4 { sip, sport, dip, dport } => set_v4(fd, Ends { sip, sport, dip, dport }),
        SockTuple::Ipv6 { sip, sport, dip, dport } => set_v6_or_mapped(fd, Ends { sip, sport, dip, dport }),
        SockTuple::Unix { source, destination, .. } => {
            fd.kind = FdKind::Unix;
            fd.socket = Socket::Unix { source, destination };
            return true;
        }
        SockTuple::Other { .. } => true,
    };
    if !changed {
        return false;
    }
    if let Socket::Ipv4 { l4, .. } | Socket::Ipv6 { l4, .. } = &mut fd.socket
        && *l4 == L4_UNKNOWN
    {
        *l4 = L4_UDP;
    }
    complete(fd, interfaces);
    true
}

/// Whether a tuple says of an fd what is known: most data is of such ones.
pub(super) fn is_known(fd: &Fd, tuple: &SockTuple<'_>) -> bool {
    match (*tuple, &fd.socket) {
        (SockTuple::Ipv4 { sip, sport, dip, dport }, Socket::Ipv4 { .. }) => {
            let (new, old) = (Ends { sip, sport, dip, dport }, ends_v4(&fd.socket));
            old.updated(new).is_none()
        }
        (SockTuple::Ipv6 { sip, sport, dip, dport }, Socket::Ipv6 { .. }) => {
            if names::mapped(&sip).is_some() && names::mapped(&dip).is_some() {
                return false;
            }
            let (new, old) = (Ends { sip, sport, dip, dport }, ends_v6(&fd.socket));
            old.updated(new).is_none()
        }
        _ => false,
    }
}
