//! The socket for sandboxes, with clients that behave and clients that do not.

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, chmod};
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{bind, connect, listen, recv, send, socket_with};
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use scapkit_capture::gvisor::sink::{Sink, SinkOptions};
use scapkit_capture::gvisor::stream::{Sent, What};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A connected client that has not said anything.
fn dial(path: &Path) -> rustix::io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// The reply to a handshake; nothing if the connection was closed.
fn greet(socket: &OwnedFd, handshake: &[u8]) -> Vec<u8> {
    send(socket, handshake, SendFlags::NOSIGNAL).unwrap();
    let mut reply = vec![0; 64];
    let n = recv(socket, &mut reply[..], RecvFlags::empty()).map_or(0, |(_, n)| n);
    reply.truncate(n);
    reply
}

fn client(path: &Path) -> OwnedFd {
    let socket = dial(path).unwrap();
    assert_eq!(greet(&socket, &[8, 1]), [8, 1]);
    socket
}

fn say(socket: &OwnedFd, packet: &[u8]) {
    assert_eq!(send(socket, packet, SendFlags::NOSIGNAL).unwrap(), packet.len());
}

fn varint(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    to.push(u8::try_from(value).unwrap());
}

/// A packet of kind 7 of the time `time`, 0 for none, that ends with a number.
fn packet(time: u64, number: u32) -> Vec<u8> {
    let mut context = vec![8];
    varint(time, &mut context);
    let mut packet = vec![8, 0, 7, 0, 0, 0, 0, 0];
    if time > 0 {
        packet.extend([10, u8::try_from(context.len()).unwrap()]);
        packet.extend(context);
    }
    // Field 15, of four bytes.
    packet.push(0x7d);
    packet.extend(number.to_le_bytes());
    packet
}

fn number(packet: &[u8]) -> u32 {
    u32::from_le_bytes(*packet.last_chunk().unwrap())
}

/// A sink in a folder of its own, and all it gave.
struct Test {
    folder: tempfile::TempDir,
    sink: Sink,
    sents: Vec<Sent>,
}

impl Test {
    fn with(change: impl FnOnce(&mut SinkOptions)) -> Test {
        let folder = tempfile::tempdir().unwrap();
        let mut options = SinkOptions::new(folder.path().join("sink.sock"));
        change(&mut options);
        Test { sink: Sink::listen(options).unwrap(), folder, sents: Vec::new() }
    }

    fn new() -> Test {
        Test::with(|_| ())
    }

    fn path(&self) -> PathBuf {
        self.sink.path().to_owned()
    }

    fn poll(&mut self) -> u64 {
        let sents = &mut self.sents;
        self.sink
            .poll(&mut |sent| {
                sents.push(sent);
                ControlFlow::Continue(())
            })
            .unwrap()
    }

    /// Polls until `done`, 20 seconds at most.
    fn until(&mut self, done: impl Fn(&Test) -> bool) {
        let started = Instant::now();
        while !done(self) {
            assert!(started.elapsed() < Duration::from_secs(20), "{:?} {:?}", self.sink.counters(), self.sink.notes());
            if self.poll() == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Waits without polling.
    fn wait(&self, done: impl Fn(&Sink) -> bool) {
        let started = Instant::now();
        while !done(&self.sink) {
            assert!(started.elapsed() < Duration::from_secs(20), "{:?} {:?}", self.sink.counters(), self.sink.notes());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn stop(&mut self) {
        self.sink.stop();
        self.until(|t| t.sink.is_over());
    }

    fn count(&self, what: &What) -> usize {
        self.sents.iter().filter(|sent| sent.what == *what).count()
    }

    /// The numbers of the packets of a connection, which must have been opened before and, if ended, closed after.
    fn numbers(&self, connection: u32) -> Vec<u32> {
        let of: Vec<&What> = self.sents.iter().filter(|s| s.connection == connection).map(|s| &s.what).collect();
        assert_eq!(of.first(), Some(&&What::Opened));
        let packets = of.iter().filter_map(|what| match what {
            What::Packet(packet) => Some(number(packet)),
            _ => None,
        });
        let packets: Vec<u32> = packets.collect();
        let closed = of.iter().filter(|what| ***what == What::Closed).count();
        assert!(closed == 0 || closed == 1 && of.last() == Some(&&What::Closed));
        let dropped = of.iter().filter(|what| matches!(what, What::Dropped(_))).count();
        assert_eq!(of.len(), 1 + packets.len() + dropped + closed);
        packets
    }
}

#[test]
fn handshakes() {
    let mut test = Test::new();
    // What is said, and whether that is a handshake.
    let more = [8, 1, 0x12, 3, b'n', b'e', b'w'];
    let large = [&[0x12, 0x88, 0x4e][..], &[0; 10248]].concat();
    let cases: [(&[u8], bool); 8] = [
        (&[8, 1], true),
        (&[8, 7], true),
        (&more, true),
        (&[8, 0], false),
        (&[0x12, 0], false),
        (&[0xff; 9], false),
        (b"GET / HTTP/1.1\r\n\r\n", false),
        (&large, false),
    ];
    let mut sockets = Vec::new();
    for (said, fine) in cases {
        let socket = dial(&test.path()).unwrap();
        assert_eq!(greet(&socket, said), if fine { &[8, 1][..] } else { &[] }, "{said:?}");
        sockets.push(socket);
    }
    test.until(|t| t.count(&What::Opened) == 3);
    let counters = test.sink.counters();
    assert_eq!((counters.refused_handshake, counters.connections, counters.connections_ever), (5, 3, 3));
    let notes = test.sink.notes();
    assert_eq!(notes.len(), 5, "{notes:?}");
    assert!(notes[0].contains("wanted version 1 or later, found 0"), "{notes:?}");
    assert!(notes[4].contains("wanted 10240 bytes at most"), "{notes:?}");
    assert_eq!(test.sink.peer_pid(0), Some(std::process::id()));
    assert_eq!(test.sink.peer_pid(3), None);
    drop(sockets);
    test.until(|t| t.count(&What::Closed) == 3);
    assert!(test.sink.peers().iter().all(|peer| !peer.open && peer.pid == Some(std::process::id())));
    assert_eq!(test.sink.counters().connections, 0);
}

/// One that connects and says nothing is no one else's problem, and does not stay.
#[test]
fn silent_clients() {
    let mut test = Test::new();
    let silent = dial(&test.path()).unwrap();
    let gone = dial(&test.path()).unwrap();
    drop(gone);
    let other = client(&test.path());
    say(&other, &packet(1, 5));
    test.until(|t| t.sents.len() == 2);
    let started = Instant::now();
    assert_eq!(recv(&silent, &mut [0; 8], RecvFlags::empty()).unwrap().1, 0);
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(test.sink.counters().refused_handshake, 1);
    assert!(test.sink.notes()[0].contains("no handshake within 5 s"));
    assert_eq!(test.numbers(0), [5]);
}

#[test]
fn two_sandboxes_are_merged_by_time() {
    let mut test = Test::new();
    let sockets = [client(&test.path()), client(&test.path())];
    // What arrives together is in the order of its time.
    let now = clock_gettime(ClockId::Realtime);
    let base = u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap();
    for n in 1..=500u32 {
        say(&sockets[(n % 2) as usize], &packet(base + u64::from(n), n));
    }
    test.wait(|sink| sink.counters().packets == 500);
    std::thread::sleep(Duration::from_millis(10));
    test.poll();
    let times: Vec<u32> =
        test.sents.iter().filter_map(|s| if let What::Packet(p) = &s.what { Some(number(p)) } else { None }).collect();
    assert_eq!(times, (1..=500).collect::<Vec<_>>());
    assert_eq!(test.numbers(0), (1..=500).filter(|n| n % 2 == 0).collect::<Vec<_>>());

    // One that is quiet holds the other up for no longer than the window.
    let sent = Instant::now();
    say(&sockets[0], &packet(base + 1000, 7));
    test.until(|t| t.numbers(0).len() == 251);
    assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());

    // The end of one is not that of the other, and stopping ends it.
    drop(sockets.into_iter().next());
    test.until(|t| t.count(&What::Closed) > 0);
    test.stop();
    assert_eq!(test.count(&What::Closed), 2);
    assert!(test.numbers(1).len() == 250);
    assert_eq!(test.sents[0], Sent { connection: 0, what: What::Opened });
}

#[test]
fn break_takes_what_was_given() {
    let mut test = Test::new();
    let socket = client(&test.path());
    for n in 0..10 {
        say(&socket, &packet(0, n));
    }
    test.wait(|sink| sink.counters().packets == 10);
    let mut taken = Vec::new();
    while taken.len() < 11 {
        let given = test.sink.poll(&mut |sent| {
            taken.push(sent);
            ControlFlow::Break(())
        });
        assert!(given.unwrap() <= 1);
    }
    test.sents = taken;
    assert_eq!(test.numbers(0), (0..10).collect::<Vec<_>>());
    assert_eq!(test.sink.counters().given, 10);
    assert_eq!(test.sink.waiting(), 0);
}

#[test]
fn packets_that_are_none() {
    let mut test = Test::with(|o| (o.max_packet, o.max_malformed) = (1000, 4));
    let (bad, good) = (client(&test.path()), client(&test.path()));
    say(&bad, &packet(1, 1));
    say(&bad, &vec![8; 1001]);
    say(&bad, &[8, 0, 7, 0]);
    say(&bad, &[200, 0, 7, 0, 0, 0, 0, 0, 1]);
    say(&bad, &[7, 0, 7, 0, 0, 0, 0, 0, 1]);
    say(&bad, &packet(1, 2));
    let largest = [&[8, 0, 7, 0, 0, 0, 0, 0][..], &[9; 992]].concat();
    say(&bad, &largest);
    say(&bad, &[1]);
    test.until(|t| t.count(&What::Closed) == 1);
    // What it says now is not heard.
    assert!(send(&bad, &packet(1, 3), SendFlags::NOSIGNAL).is_err());
    say(&good, &packet(2, 4));
    test.until(|t| t.numbers(1) == [4]);
    assert_eq!(test.numbers(0), [1, 2, 0x0909_0909]);
    let counters = test.sink.counters();
    assert_eq!((counters.packets, counters.malformed, counters.oversized, counters.dropped_here), (4, 4, 1, 0));
    assert_eq!((test.sink.peers()[0].malformed, test.sink.peers()[0].oversized), (4, 1));
    assert!(test.sink.notes()[0].contains("(connection 0): sent 4 packets without a proper header"));
}

/// A large packet, as large as a sandbox can send where its host allows more than usual.
#[test]
fn large_packets() {
    let mut test = Test::new();
    let socket = client(&test.path());
    set_socket_send_buffer_size(&socket, 4 << 20).unwrap();
    let large = [&packet(1, 0)[..], &vec![0x7d; 130_000]].concat();
    say(&socket, &large);
    test.until(|t| t.sents.len() == 2);
    assert!(test.sents[1].what == What::Packet(large.into()));
}

/// The client is gone and had not read the reply: the system reports a reset before what was sent.
#[test]
fn a_client_that_was_killed() {
    let mut test = Test::new();
    let other = client(&test.path());
    for round in 1..=20 {
        let socket = dial(&test.path()).unwrap();
        say(&socket, &[8, 1]);
        test.wait(|sink| sink.counters().connections_ever == round + 1);
        for n in 0..100 {
            say(&socket, &packet(u64::from(n), n));
        }
        drop(socket);
    }
    test.until(|t| t.count(&What::Closed) == 20);
    for connection in 1..=20 {
        assert_eq!(test.numbers(connection), (0..100).collect::<Vec<_>>());
    }
    say(&other, &packet(1, 1));
    test.until(|t| t.numbers(0) == [1]);
}

#[test]
fn too_many_connections() {
    let test = Test::with(|o| o.max_connections = 2);
    let held = [client(&test.path()), client(&test.path())];
    let third = dial(&test.path()).unwrap();
    assert_eq!(recv(&third, &mut [0; 8], RecvFlags::empty()).unwrap().1, 0);
    assert_eq!(test.sink.counters().refused_full, 1);
    drop(held);
    test.wait(|sink| sink.counters().connections == 0);
    client(&test.path());
}

#[test]
fn where_the_socket_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/for it/sink.sock");
    let listen_at = |path: &Path| Sink::listen(SinkOptions::new(path));
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;

    let sink = listen_at(&path).unwrap();
    assert!(std::fs::metadata(&path).unwrap().file_type().is_socket());
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o700, 0o700));
    // Somebody listens.
    let error = listen_at(&path).err().unwrap().to_string();
    assert!(error.contains("another process listens there already") && error.contains("sink.sock"), "{error}");
    client(&path);
    drop(sink);
    assert!(!path.exists());

    // An old socket is replaced.
    let old = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    bind(&old, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&old, 1).unwrap();
    drop(old);
    assert!(path.exists());
    let sink = listen_at(&path).unwrap();
    client(&path);
    // It is not ours any more: it stays.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "mine").unwrap();
    drop(sink);
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");

    // Another file, a link to nothing, a socket of another type, a name that is too long.
    let error = listen_at(&path).err().unwrap().to_string();
    assert!(error.contains("found another file"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(folder.path().join("nothing"), &link).unwrap();
    assert!(listen_at(&link).err().unwrap().to_string().contains("found another file"));
    let stream = folder.path().join("stream");
    let _listener = std::os::unix::net::UnixListener::bind(&stream).unwrap();
    assert!(listen_at(&stream).err().unwrap().to_string().contains("another process listens"));
    assert!(listen_at(&folder.path().join("x".repeat(120))).is_err());
}

#[test]
fn a_sink_after_another() {
    let mut test = Test::new();
    let (path, socket) = (test.path(), client(&test.path()));
    say(&socket, &packet(1, 1));
    test.stop();
    assert_eq!(test.poll(), 0);
    assert_eq!(test.numbers(0), [1]);
    assert_eq!(test.count(&What::Closed), 1);
    assert!(!path.exists());
    assert!(send(&socket, &packet(1, 2), SendFlags::NOSIGNAL).is_err());
    let again = Sink::listen(SinkOptions::new(&path)).unwrap();
    client(&path);
    // The first does not remove what is not its own.
    drop(test.sink);
    client(&path);
    drop(again);
    drop(test.folder);
}

fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var_os("SCAPKIT_CI").is_none(), "{test} needs root");
    if !root {
        let text = format_args!("SKIPPED: {test} needs root, to act as another user\n");
        std::io::Write::write_fmt(&mut std::io::stderr(), text).unwrap();
    }
    root
}

#[test]
fn users() {
    if !is_root("users") {
        return;
    }
    const NOBODY: u32 = 65534;
    let as_nobody = |test: &Test| {
        // The mode alone would keep it out.
        chmod(test.folder.path(), Mode::from_raw_mode(0o755)).unwrap();
        let path = test.path();
        // The calls below change this one thread only, which ends then.
        let connecting = move || {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(NOBODY)).unwrap();
            assert_eq!(dial(&path).err(), Some(rustix::io::Errno::ACCESS));
        };
        std::thread::spawn(connecting).join().unwrap();
        chmod(test.path(), Mode::from_raw_mode(0o777)).unwrap();
        let path = test.path();
        let connecting = move || {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(NOBODY)).unwrap();
            dial(&path).map(|socket| greet_or_not(&socket)).unwrap()
        };
        std::thread::spawn(connecting).join().unwrap()
    };
    let test = Test::new();
    assert!(as_nobody(&test).is_empty());
    assert_eq!(test.sink.counters().refused_uid, 1);
    assert!(test.sink.notes()[0].contains("of user 65534: only users [0"), "{:?}", test.sink.notes());

    let test = Test::with(|o| o.uids = vec![NOBODY]);
    assert_eq!(as_nobody(&test), [8, 1]);
    assert_eq!(test.sink.peers()[0].uid, NOBODY);
    let root = dial(&test.path()).unwrap();
    assert!(greet_or_not(&root).is_empty());
}

/// The reply; nothing if the connection was closed, even before the handshake was sent.
fn greet_or_not(socket: &OwnedFd) -> Vec<u8> {
    if send(socket, &[8, 1], SendFlags::NOSIGNAL).is_err() {
        return Vec::new();
    }
    let mut reply = [0; 8];
    let n = recv(socket, &mut reply[..], RecvFlags::empty()).map_or(0, |(_, n)| n);
    reply[..n].to_vec()
}

/// Nobody polls: the sandbox does not notice, and what is lost is counted.
#[test]
fn nobody_polls() {
    const LIMIT: usize = 2 << 20;
    const SENT: u32 = 100_000;
    let mut test = Test::with(|o| o.max_waiting = LIMIT);
    let sockets = [client(&test.path()), client(&test.path())];
    let filler = [0x7d; 150];
    let mut longest = Duration::ZERO;
    for n in 0..SENT {
        let bytes = [&packet(0, n)[..8], &filler, &packet(0, n)[8..]].concat();
        let started = Instant::now();
        say(&sockets[usize::from(n % 4 == 0)], &bytes);
        longest = longest.max(started.elapsed());
    }
    // Others may have the processor for a while, but nobody ever polled.
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    test.wait(|sink| sink.counters().packets == u64::from(SENT));
    let waiting = test.sink.waiting();
    assert!(waiting <= LIMIT && waiting > LIMIT / 2, "{waiting}");
    test.until(|t| t.sink.waiting() == 0);
    let counters = test.sink.counters();
    assert!(counters.dropped_here > 0);
    assert_eq!(counters.given + counters.dropped_here, u64::from(SENT));
    let all: BTreeMap<u32, Vec<u32>> = [0, 1].map(|c| (c, test.numbers(c))).into();
    // The newest are those that were dropped.
    let wanted = |c: u32, n: usize| (0..SENT).filter(|n| (n % 4 == 0) == (c == 1)).take(n).collect::<Vec<_>>();
    for (connection, numbers) in &all {
        assert_eq!(*numbers, wanted(*connection, numbers.len()));
        let peer = test.sink.peers()[*connection as usize];
        assert_eq!(peer.packets, numbers.len() as u64 + peer.dropped_here);
    }
    // There is room again.
    say(&sockets[0], &packet(0, 77));
    test.until(|t| t.numbers(0).last() == Some(&77));
    // What was dropped before it is told in its place.
    let dropped = u32::try_from(test.sink.peers()[0].dropped_here).unwrap();
    let mut last = test.sents.iter().filter(|s| s.connection == 0).rev().map(|s| s.what.clone());
    assert!(matches!(last.next(), Some(What::Packet(_))));
    assert_eq!(last.next(), Some(What::Dropped(dropped)));
}

/// One that floods does not keep another from being heard.
#[test]
fn a_flood_beside_a_trickle() {
    let mut test = Test::with(|o| o.max_waiting = 4 << 20);
    let (flood, trickle) = (client(&test.path()), client(&test.path()));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                say(&flood, &packet(u64::MAX >> 1, 1));
            }
        });
        for n in 0..20 {
            let sent = Instant::now();
            say(&trickle, &packet(5, n));
            test.until(|t| {
                t.sents.iter().any(|s| s.connection == 1 && matches!(&s.what, What::Packet(p) if number(p) == n))
            });
            assert!(sent.elapsed() < Duration::from_secs(2), "{:?}", sent.elapsed());
            test.sents.retain(|s| s.connection == 1);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(test.sink.peers()[1].packets, 20);
}

/// Runs in a process of its own, see below: it has no files left.
#[test]
#[ignore = "run by no_files_left"]
fn no_files_left_alone() {
    let mut test = Test::new();
    let first = client(&test.path());
    let address = SocketAddrUnix::new(test.path()).unwrap();
    let socket = |_| socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let clients: Vec<OwnedFd> = (0..5).map(socket).collect();
    let limit = getrlimit(Resource::Nofile);
    let mut less = limit;
    // Two of the five can be accepted.
    less.current = clients.iter().map(|fd| u64::try_from(fd.as_raw_fd()).unwrap() + 3).max();
    setrlimit(Resource::Nofile, less).unwrap();
    for socket in &clients {
        connect(socket, &address).unwrap();
    }
    let cpu = || clock_gettime(ClockId::ProcessCPUTime);
    let before = cpu();
    std::thread::sleep(Duration::from_millis(700));
    let spent = cpu() - before;
    assert!(spent.tv_sec == 0 && spent.tv_nsec < 200_000_000, "it spins: {spent:?}");
    assert!(test.sink.notes().iter().any(|note| note.contains("trying again")), "{:?}", test.sink.notes());
    // Those that are there are still heard.
    say(&first, &packet(1, 3));
    test.until(|t| t.sents.contains(&Sent { connection: 0, what: What::Packet(packet(1, 3).into()) }));
    setrlimit(Resource::Nofile, limit).unwrap();
    for socket in &clients {
        assert_eq!(greet_or_not(socket), [8, 1]);
    }
}

#[test]
fn no_files_left() {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--ignored", "--exact", "no_files_left_alone"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
