//! Dumps over netlink: the messages of an answer, and the attributes of a message.

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use std::io;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const HEADER: usize = 16;
/// Larger than any message of a dump: the kernel takes up to 32 KiB for one.
const BUFFER: usize = 64 << 10;

/// The socket by which to ask about sockets.
pub fn diag() -> io::Result<OwnedFd> {
    open(netlink::SOCK_DIAG)
}

/// The socket by which to ask about interfaces. `NETLINK_ROUTE` is 0, which rustix writes as no protocol.
pub fn route() -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?)
}

fn open(protocol: Protocol) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?)
}

/// Asks for a dump and gives the body of every message of `kind` to `each`.
///
/// # Errors
/// What the kernel answers: `ENOENT` when it lacks the module that would answer. `Interrupted` is not an error of
/// a dump: the table changed meanwhile, and what was read of it stands.
pub fn dump(socket: &OwnedFd, kind: u16, request: &[u8], mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
    let len = u32::try_from(HEADER.saturating_add(request.len())).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(len as usize);
    message.extend_from_slice(&len.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&(NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message.extend_from_slice(&[0; 8]);
    message.extend_from_slice(request);
    rustix::net::send(socket, &message, SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let (got, real) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::TRUNC)?;
        if real > got {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        let mut rest = buffer.get(..got).unwrap_or_default();
        if rest.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some((kind, body, after)) = first_message(rest) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let code = body.first_chunk().map_or(0, |b| i32::from_ne_bytes(*b));
                    return Err(io::Error::from_raw_os_error(code.saturating_neg()));
                }
                _ => each(kind, body),
            }
            rest = after;
        }
    }
}

/// Type and body of the message at the front, and what follows it.
fn first_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let body = bytes.get(HEADER..len)?;
    Some((kind, body, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// Type and value of the attributes from `at` on.
pub fn attributes(body: &[u8], at: usize) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = body.get(at..).unwrap_or_default();
    std::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        // Two upper bits are flags.
        Some((kind & 0x3fff, value))
    })
}

/// A number of the machine's own order in a message.
pub fn word(body: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*body.get(at..)?.first_chunk()?))
}
