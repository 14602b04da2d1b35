//! `fd.l*`, `fd.r*`, `fd.*proto` and `fd.*.name`: the local and the remote end of a connection, and ports as
//! text.

use super::fd::{End, ends, ip, port, with_role};
use super::{Field, Kind, Traits, Value, field};
use crate::Context;
use crate::engine::{Fd, FdKind, InterfaceAddress, Socket};
use crate::text::{Sink, numbers};

/// Names of addresses are known to a name server only, which is not asked.
const fn resolved(name: &'static str) -> Field {
    field(name, Kind::Text, |_, _, _| None).traits(Traits::NO_RHS.and(Traits::NO_TRANSFORMER))
}

pub(super) const FIELDS: &[Field] = &[
    field("fd.lip", Kind::Ip, |cx, _, _| sides(cx).map(|(local, _)| ip(local))),
    field("fd.rip", Kind::Ip, |cx, _, _| sides(cx).map(|(_, remote)| ip(remote))),
    field("fd.lport", Kind::Port, |cx, _, _| sides(cx).map(|(local, _)| port(local))),
    field("fd.rport", Kind::Port, |cx, _, _| sides(cx).map(|(_, remote)| port(remote))),
    field("fd.cproto", Kind::Text, |cx, _, sink| {
        // Anything else that has a role (a socket that listens) has the empty text.
        match ends(with_role(cx)?) {
            Some((source, _)) => Some(protocol(source, sink)),
            None => Some(Value::Text(b"")),
        }
    }),
    field("fd.sproto", Kind::Text, |cx, _, sink| match cx.fd()? {
        fd if matches!(fd.kind, FdKind::Ipv4Server | FdKind::Ipv6Server) => Some(Value::Text(b"")),
        fd if fd.has_no_role() => None,
        fd => ends(fd).map(|(_, destination)| protocol(destination, sink)),
    }),
    field("fd.lproto", Kind::Text, |cx, _, sink| sides(cx).map(|(local, _)| protocol(local, sink))),
    field("fd.rproto", Kind::Text, |cx, _, sink| sides(cx).map(|(_, remote)| protocol(remote, sink))),
    field("fd.is_server", Kind::Bool, |cx, _, _| {
        let fd = cx.fd()?;
        Some(Value::Bool(match fd.kind {
            FdKind::Ipv4Server | FdKind::Ipv6Server => true,
            _ => ends(fd).is_some_and(|(_, destination)| is_local(cx, destination)),
        }))
    }),
    resolved("fd.cip.name"),
    resolved("fd.sip.name"),
    resolved("fd.lip.name"),
    resolved("fd.rip.name"),
];

/// A port as text.
fn protocol<'v>(end: End, sink: &mut Sink<'_>) -> Value<'v> {
    let (End::V4(_, port) | End::V6(_, port)) = end;
    numbers::unsigned(sink.out, u64::from(port));
    Value::Written
}

/// The local and the remote end of the event's connection.
fn sides(cx: &Context<'_>) -> Option<(End, End)> {
    local_first(cx, with_role(cx)?)
}

/// The local and the remote end of a connection: the source is local when its address is one of the
/// machine, else the destination is.
pub(crate) fn local_first(cx: &Context<'_>, fd: &Fd) -> Option<(End, End)> {
    let (source, destination) = ends(fd)?;
    Some(if is_local(cx, source) { (source, destination) } else { (destination, source) })
}

/// Whether an address is one of where the event's thread is: of the machine or of its container. Upstream
/// knows no IPv6 addresses of containers.
fn is_local(cx: &Context<'_>, end: End) -> bool {
    let inside = cx.thread().map(|t| &*t.container_id).filter(|id| !id.is_empty());
    match end {
        End::V4(ip, _) => {
            let own = inside.map(|id| cx.engine.container(id).map_or("", |c| &c.ip));
            let is = |text: &str| text.parse() == Ok(std::net::Ipv4Addr::from(ip));
            match own {
                Some("") => cx.engine.containers().any(|c| is(&c.ip)),
                own => {
                    let listed =
                        |i: &InterfaceAddress| matches!(i, InterfaceAddress::V4 { address, .. } if *address == ip);
                    own.is_some_and(is) || cx.engine.interfaces().iter().any(listed)
                }
            }
        }
        End::V6(ip, _) => {
            let near =
                |i: &InterfaceAddress| matches!(i, InterfaceAddress::V6 { address } if address.get(..8) == ip.get(..8));
            inside.is_none() && cx.engine.interfaces().iter().any(near)
        }
    }
}

/// Address of the socket that a server listens on, in the table of a polled fd.
pub(super) fn listens_on(fd: &Fd) -> Option<End> {
    match fd.socket {
        Socket::Ipv4Server { ip, port, .. } if fd.kind == FdKind::Ipv4Server => Some(End::V4(ip, port)),
        Socket::Ipv6Server { ip, port, .. } if fd.kind == FdKind::Ipv6Server => Some(End::V6(ip, port)),
        _ => None,
    }
}
