use super::*;
use std::os::unix::net::UnixListener;

const MAX: u64 = 8 << 20;

fn read(bytes: &[u8]) -> Result<(u16, Vec<u8>), Error> {
    response(&mut &bytes[..], MAX)
}

#[test]
fn bodies() {
    for (answer, status, body) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef"[..], 200, &b"abc"[..]),
        (b"HTTP/1.1 404 Not Found\r\ncontent-LENGTH:  0  \r\n\r\n", 404, b""),
        (b"HTTP/1.0 200 OK\nX: y\n\nto the end", 200, b"to the end"),
        (
            b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
            200,
            b"abc0123456789",
        ),
        // Chunks count more than a length (RFC 9112, 6.3).
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 200, b"ab"),
    ] {
        assert_eq!(read(answer).unwrap(), (status, body.to_vec()), "{}", answer.escape_ascii());
    }
}

#[test]
fn what_is_no_answer() {
    for answer in [
        &b""[..],
        b"\r\n\r\n",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 +20 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1ffffffffffffffff\r\nab",
    ] {
        let found = read(answer);
        assert!(matches!(found, Err(Error::Malformed(_))), "{}: {found:?}", answer.escape_ascii());
    }
}

/// Something that never ends.
struct Endless<'a>(&'a [u8], usize);

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for b in buffer.iter_mut() {
            *b = self.0[self.1 % self.0.len()];
            self.1 += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn without_end() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (start, again) in [
        (&b""[..], &b"H"[..]),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 8388609\r\n\r\n", b"x"),
        (chunked, b"0"),
        (chunked, b"1;name=value\r\nx\r\n"),
        (chunked, b"fffffffffffffff\r\nxx"),
        (chunked, b"2000\r\n"),
    ] {
        let mut from = BufReader::new(start.chain(Endless(again, 0)));
        let found = response(&mut from, MAX);
        let name = start.escape_ascii();
        assert!(matches!(found, Err(Error::TooLarge | Error::Malformed(_))), "{name}: {found:?}");
    }
}

#[test]
fn exactly_the_limit() {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n800000\r\n".to_vec();
    answer.resize(answer.len() + (8 << 20), b'x');
    let start = answer.len();
    answer.extend_from_slice(b"\r\n0\r\n\r\n");
    assert_eq!(read(&answer).unwrap().1.len(), 8 << 20);
    answer.truncate(start);
    answer.extend_from_slice(b"\r\n1\r\nx\r\n0\r\n\r\n");
    assert!(matches!(read(&answer), Err(Error::TooLarge)));
}

#[test]
fn targets() {
    assert!(is_target("/containers/0123abcd/json"));
    assert!(is_target("/images/sha256:0123/json"));
    for text in ["", "x", "/a b", "/a\r\nX: y", "/a?b", "/a/../b", "/..", "/a%2e", "/\u{e9}"] {
        assert!(!is_target(text), "{text:?}");
    }
}

/// Runs `serve` for one connection and asks with a limit of 300 ms.
fn ask(serve: impl FnOnce(UnixStream) + Send + 'static) -> (Result<(u16, Vec<u8>), Error>, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = std::thread::spawn(move || serve(listener.accept().unwrap().0));
    let begun = Instant::now();
    let found = get(&path, "/x", Limits { time: Duration::from_millis(300), bytes: MAX });
    let took = begun.elapsed();
    server.join().unwrap();
    (found, took)
}

#[test]
fn slow_servers() {
    // Says nothing, until we give up.
    let (found, took) = ask(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    assert!(matches!(found, Err(Error::Late)), "{found:?}");
    assert!((250..1500).contains(&took.as_millis()), "{took:?}");
    // A byte at a time, each in time, without end.
    let (found, took) = ask(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    assert!(matches!(found, Err(Error::Late)), "{found:?}");
    assert!((250..1500).contains(&took.as_millis()), "{took:?}");
}

#[test]
fn a_full_queue_of_connections() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&listener, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let limits = Limits { time: Duration::from_millis(300), bytes: MAX };
    let _first = UnixStream::connect(&path).unwrap();
    let begun = Instant::now();
    let found = get(&path, "/x", limits);
    assert!(matches!(found, Err(Error::Connect(_))), "{found:?}");
    assert!((250..1500).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[test]
fn the_request() {
    let (found, _) = ask(|mut stream| {
        let mut request = [0; 18];
        stream.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"GET /x HTTP/1.1\r\nH");
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
        // The rest of the request is left unread; the connection may be reset after the answer.
        let _ = stream.read(&mut [0; 4096]);
    });
    assert_eq!(found.unwrap(), (200, b"ok".to_vec()));
    let missing = Path::new("/nonexistent/socket");
    let found = get(missing, "/x", Limits { time: Duration::from_secs(1), bytes: MAX });
    assert!(matches!(found, Err(Error::Connect(_))));
}
