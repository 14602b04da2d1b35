//! Fields that are compared with several values of an event: both ends of a connection, all
//! ancestors of a process (field reference sections 3 and 5).

use super::operand::{Operand, Source};
use super::stack::{Datum, Stack};
use crate::Context;
use crate::engine::Thread;
use crate::fields::fd::{End, ends, server};
use crate::fields::lineage::{Ancestors, command_line, spaced};
use crate::fields::{self, Arg, Kind};

/// Which values.
#[derive(Debug, Clone, Copy)]
pub(super) enum Values {
    /// The addresses of an IP socket.
    Addresses,
    /// The ports of an IP socket.
    Ports,
    /// The pids of all ancestors.
    Pids,
    /// Something of all ancestors.
    Texts(fn(&Thread, &mut Vec<u8>)),
}

/// The values that an operand stands for, if there are several.
pub(super) fn of(operand: &Operand) -> Option<Values> {
    let Source::Field(field, arg) = &operand.source else { return None };
    if *arg != Arg::None {
        return None;
    }
    Some(match field.name {
        "fd.ip" | "fd.net" => Values::Addresses,
        "fd.port" | "fd.proto" => Values::Ports,
        "proc.apid" => Values::Pids,
        "proc.aname" => Values::Texts(|t, out| out.extend_from_slice(&t.comm)),
        "proc.aexe" => Values::Texts(|t, out| out.extend_from_slice(&t.exe)),
        "proc.aexepath" => Values::Texts(|t, out| out.extend_from_slice(&t.exepath)),
        "proc.acmdline" => Values::Texts(command_line),
        "proc.aenv" => Values::Texts(|t, out| spaced(&t.env, out)),
        _ => return None,
    })
}

/// `fd.cnet` and the like compare the address of `fd.cip` with networks.
pub(super) fn network_of(operand: Operand) -> Operand {
    let Source::Field(field, _) = &operand.source else { return operand };
    let address = match field.name {
        "fd.cnet" => "fd.cip",
        "fd.snet" => "fd.sip",
        "fd.lnet" => "fd.lip",
        "fd.rnet" => "fd.rip",
        _ => return operand,
    };
    match fields::parse_prefix(address) {
        Ok(named) => Operand { source: Source::Field(named.field, named.arg), kind: Kind::Net, ..operand },
        Err(_) => operand,
    }
}

impl Values {
    /// Whether "not equal" means: to none of them.
    pub fn differ_by_all(self) -> bool {
        matches!(self, Values::Addresses | Values::Ports)
    }

    /// Whether `exists` holds: for sockets, as soon as there is an fd at all.
    pub fn exist(self, cx: &Context<'_>) -> bool {
        match self {
            Values::Addresses | Values::Ports => cx.fd().is_some(),
            Values::Pids => cx.thread().is_some(),
            Values::Texts(_) => ancestors(cx).is_some_and(|mut all| all.next().is_some()),
        }
    }

    /// Whether one of the values passes, or all of them; none is no pass.
    pub fn pass(
        self,
        cx: &Context<'_>,
        stack: &mut Stack,
        all: bool,
        test: &dyn Fn(&Datum<'_>, &Stack) -> bool,
    ) -> bool {
        match self {
            Values::Addresses | Values::Ports => {
                let Some(fd) = cx.fd() else { return false };
                let datum = |end: End| match (self, end) {
                    (Values::Ports, End::V4(_, port) | End::V6(_, port)) => Datum::Number(i128::from(port)),
                    (_, End::V4(ip, _)) => Datum::Ipv4(ip),
                    (_, End::V6(ip, _)) => Datum::Ipv6(ip),
                };
                match ends(fd) {
                    Some((source, destination)) => {
                        let [a, b] = [source, destination].map(|end| test(&datum(end), stack));
                        if all { a && b } else { a || b }
                    }
                    None => server(fd).is_some_and(|end| test(&datum(end), stack)),
                }
            }
            Values::Pids => {
                ancestors(cx).is_some_and(|mut all| all.any(|t| test(&Datum::Number(i128::from(t.pid)), stack)))
            }
            Values::Texts(write) => ancestors(cx).is_some_and(|mut all| {
                all.any(|t| {
                    let start = stack.text.len();
                    write(t, &mut stack.text);
                    let passes = test(&Datum::Made(start..stack.text.len()), stack);
                    stack.text.truncate(start);
                    passes
                })
            }),
        }
    }
}

/// The processes above that of the event, from its parent on.
fn ancestors<'v>(cx: &Context<'v>) -> Option<Ancestors<'v>> {
    let main = cx.engine.main_thread(cx.thread()?.tid)?;
    Some(Ancestors::of(cx.engine, main))
}
