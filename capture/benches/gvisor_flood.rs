//! What the sink of sandboxes' messages can take: `cargo bench -p scapkit-capture --bench gvisor_flood -- [SECONDS
//! [RUNS [SENDERS]]]`, 5 seconds, five times and one sender unless told.
//!
//! Each sender floods over a blocking socket with messages as large as those of real sandboxes, some 160 bytes. The
//! sink is polled as a recorder does: all that is due, then a pause of a millisecond. Besides the rate it says how much
//! processor time the sink takes of each packet, receiver and poller together, which a busy machine changes less.

#![allow(clippy::unwrap_used, missing_docs)]

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use rustix::net::{connect, recv, send, socket_with};
use rustix::time::{ClockId, clock_gettime};
use scapkit_capture::gvisor::sink::{Sink, SinkOptions};
use scapkit_capture::gvisor::stream::What;
use scapkit_proto::{Message, common, packet, syscall};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn dial(path: &Path) -> OwnedFd {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
    send(&socket, &[8, 1], SendFlags::NOSIGNAL).unwrap();
    assert_eq!(recv(&socket, &mut [0; 64], RecvFlags::empty()).unwrap().1, 2);
    socket
}

fn cpu(clock: ClockId) -> Duration {
    let t = clock_gettime(clock);
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// Messages of one system call and another, as sandboxes send them.
fn messages() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for n in 0..64 {
        let context = common::ContextData {
            time_ns: 1_790_000_000_000_000_000 + n,
            thread_id: 1000,
            thread_group_id: 1000,
            container_id: "c7875fd738561f2b4e9d0a6b35c8e7f1c7875fd738561f2b4e9d0a6b35c8e7f1".into(),
            credentials: Some(common::Credentials::default()),
            process_name: "busybox".into(),
            ..common::ContextData::default()
        };
        let context_data = Some(context);
        let exit = (n % 2 == 1).then_some(syscall::Exit { result: 512, errorno: 0 });
        let message = if n % 4 < 2 {
            Message::Read(syscall::Read { context_data, exit, fd: 3, count: 65536, ..syscall::Read::default() })
        } else {
            let pathname =
                "/usr/lib/x86_64-linux-gnu/libc.so.6 and a rather long name to go with it, as some are by far".into();
            Message::Open(syscall::Open { context_data, exit, sysno: 257, pathname, ..syscall::Open::default() })
        };
        all.push(packet(&message, 0));
    }
    all
}

/// Packets per second, and packets dropped.
fn run(seconds: f64, senders: usize) -> (f64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut sink = Sink::listen(SinkOptions::new(folder.path().join("sink.sock"))).unwrap();
    let path = sink.path().to_owned();
    let stop = AtomicBool::new(false);
    let messages = messages();
    let (mut given, mut bytes, mut most) = (0u64, 0usize, 0usize);
    let started = Instant::now();
    let mut wall = Duration::ZERO;
    let before = cpu(ClockId::ProcessCPUTime);
    let (sent, sending) = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..senders)
            .map(|_| {
                scope.spawn(|| {
                    let (socket, mut n) = (dial(&path), 0u64);
                    for message in messages.iter().cycle() {
                        send(&socket, message, SendFlags::NOSIGNAL).unwrap();
                        n += 1;
                        if n.is_multiple_of(64) && stop.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    (n, cpu(ClockId::ThreadCPUTime))
                })
            })
            .collect();
        let (mut closed, mut opened) = (0, 0);
        while closed < senders {
            if wall.is_zero() && started.elapsed().as_secs_f64() >= seconds {
                stop.store(true, Ordering::Relaxed);
                wall = started.elapsed();
            }
            most = most.max(sink.waiting());
            let got = sink
                .poll(&mut |sent| {
                    match sent.what {
                        What::Packet(packet) => (given, bytes) = (given + 1, bytes + packet.len()),
                        What::Closed => closed += 1,
                        What::Opened => opened += 1,
                        What::Procfs(_) | What::Dropped(_) => {}
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
            if got == 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert_eq!(opened, senders);
        let ended = threads.into_iter().map(|t| t.join().unwrap());
        ended.fold((0, Duration::ZERO), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    let sinks = cpu(ClockId::ProcessCPUTime).saturating_sub(before + sending);
    let each = |time: Duration| time.as_nanos() as f64 / sent as f64;
    let counters = sink.counters();
    assert_eq!(sent, counters.packets);
    assert_eq!(sent, given + counters.dropped_here);
    let rate = sent as f64 / wall.as_secs_f64();
    println!(
        "{senders} senders: {sent} packets of {} bytes: {:.0} a second, {} dropped, at most {} KiB waiting; \
         {:.0} ns of the sink each, {:.0} of the sender",
        bytes as u64 / given.max(1),
        rate,
        counters.dropped_here,
        most >> 10,
        each(sinks),
        each(sending),
    );
    (rate, counters.dropped_here)
}

fn main() {
    let numbers: Vec<f64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let number = |index: usize, default: f64| numbers.get(index).copied().unwrap_or(default);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // small numbers of the command line
    let (seconds, runs, senders) = (number(0, 5.0), number(1, 5.0) as usize, number(2, 1.0) as usize);
    let mut rates: Vec<(f64, u64)> = (0..runs.max(1)).map(|_| run(seconds, senders.max(1))).collect();
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((rate, _)) = rates.get(rates.len() / 2) {
        let dropped: u64 = rates.iter().map(|(_, dropped)| dropped).sum();
        println!("median: {rate:.0} packets a second; {dropped} dropped in all");
    }
}
