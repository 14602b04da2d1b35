//! `GET` over a socket of the machine: as much of HTTP/1.1 (RFC 9112) as engines answer with.
//!
//! One request per connection. What comes back is bounded in bytes and in time, however it is sent.

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Most bytes of a status line and headers, and of everything about chunks that is not their data.
const MAX_HEAD: u64 = 64 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Nobody listens there, or not to us.
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("{0}")]
    Io(io::Error),
    #[error("no whole answer in time")]
    Late,
    #[error("the answer is too large")]
    TooLarge,
    #[error("no HTTP: {0}")]
    Malformed(&'static str),
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::Late,
            io::ErrorKind::UnexpectedEof => Error::Malformed("it ends early"),
            _ => Error::Io(e),
        }
    }
}

/// Limits of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the attempt to connect to the last byte.
    pub time: Duration,
    /// Bytes of the answer's body.
    pub bytes: u64,
}

/// Status and body of the answer to `GET target`. `target` must be fit for a request line: see [`is_target`].
pub(super) fn get(path: &Path, target: &str, limits: Limits) -> Result<(u16, Vec<u8>), Error> {
    if !is_target(target) {
        return Err(Error::Malformed("a target with other characters"));
    }
    let end = Instant::now() + limits.time;
    let mut stream = connect_to(path, limits.time).map_err(Error::Connect)?;
    stream.set_write_timeout(Some(left(end)?))?;
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: scapkit\r\n\
         Accept: application/json\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    response(&mut BufReader::new(Timed { stream, end }), limits.bytes)
}

/// Whether a text is a path that engines are asked for: no spaces, line ends, queries or way up.
pub(super) fn is_target(text: &str) -> bool {
    let fit = |b: u8| b.is_ascii_alphanumeric() || b"/._-:@".contains(&b);
    text.starts_with('/') && text.bytes().all(fit) && !text.split('/').any(|part| part == "..")
}

/// Connects, waiting no longer than `time` where the listener's queue is full.
fn connect_to(path: &Path, time: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(time))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

fn left(end: Instant) -> io::Result<Duration> {
    // A time of zero would mean to wait for ever.
    Some(end.saturating_duration_since(Instant::now()))
        .filter(|left| !left.is_zero())
        .ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// A stream that is read until a point in time.
struct Timed {
    stream: UnixStream,
    end: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.end)?))?;
        self.stream.read(buffer)
    }
}

/// Reads an answer: its status, and a body of at most `max` bytes.
pub(super) fn response(from: &mut impl BufRead, max: u64) -> Result<(u16, Vec<u8>), Error> {
    let mut room = MAX_HEAD;
    let status = status(&line(from, &mut room)?)?;
    let mut length = None;
    let mut chunked = false;
    loop {
        let header = line(from, &mut room)?;
        if header.is_empty() {
            break;
        }
        let at = header.iter().position(|b| *b == b':').ok_or(Error::Malformed("a header without a colon"))?;
        let (name, value) = (&header[..at], header[at + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let n = number(value, 10).ok_or(Error::Malformed("its length is no number"))?;
            if length.is_some_and(|other| other != n) {
                return Err(Error::Malformed("two lengths"));
            }
            length = Some(n);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Error::Malformed("an encoding that is not known"));
            }
            chunked = true;
        }
    }
    let mut body = Vec::new();
    match length {
        _ if chunked => chunks(from, max, &mut room, &mut body)?,
        Some(n) => take(from, n, max, &mut body)?,
        // As long as the connection.
        None => {
            from.take(max.saturating_add(1)).read_to_end(&mut body)?;
            if body.len() as u64 > max {
                return Err(Error::TooLarge);
            }
        }
    }
    Ok((status, body))
}

/// `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Result<u16, Error> {
    let rest = line.strip_prefix(b"HTTP/1.").and_then(|l| l.get(1..)).unwrap_or_default();
    let digits = rest.strip_prefix(b" ").and_then(|r| r.get(..3)).unwrap_or_default();
    number(digits, 10)
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| (200..600).contains(n))
        .ok_or(Error::Malformed("no status line"))
}

fn chunks(from: &mut impl BufRead, max: u64, room: &mut u64, body: &mut Vec<u8>) -> Result<(), Error> {
    loop {
        let head = line(from, room)?;
        let digits = head.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        let size = number(digits, 16).ok_or(Error::Malformed("a chunk without a size"))?;
        if size == 0 {
            // What may follow the last chunk is of no use, and the connection is not used again.
            return Ok(());
        }
        take(from, size, max.saturating_sub(body.len() as u64), body)?;
        if !line(from, room)?.is_empty() {
            return Err(Error::Malformed("a chunk of another size than it says"));
        }
    }
}

/// Appends exactly `n` bytes, if they are no more than `max`.
fn take(from: &mut impl BufRead, n: u64, max: u64, body: &mut Vec<u8>) -> Result<(), Error> {
    if n > max {
        return Err(Error::TooLarge);
    }
    // Memory is taken as bytes come, not as they are promised.
    if from.take(n).read_to_end(body)? as u64 != n {
        return Err(Error::Malformed("it ends early"));
    }
    Ok(())
}

/// One line without its end; its bytes are taken from `room`.
fn line(from: &mut impl BufRead, room: &mut u64) -> Result<Vec<u8>, Error> {
    let mut line = Vec::new();
    let n = from.take(*room).read_until(b'\n', &mut line)? as u64;
    *room = room.saturating_sub(n);
    if line.pop() != Some(b'\n') {
        return Err(if *room == 0 { Error::TooLarge } else { Error::Malformed("it ends early") });
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

/// Digits only: no sign, no space.
fn number(digits: &[u8], base: u32) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u64::from_str_radix(text, base).ok())?
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
