//! Messages and headers made by hand: bounds, what is not known, and every field of every kind.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use bytes::Bytes;
use proptest::prelude::*;
use scapkit_proto::{HEADER, Header, Message, VERSION, common, handshake, packet};
use wire::{full, number, shapes, text, varint};

mod wire;

/// Last field of every kind from 1 on, by the specification; CloneInfo has no field 2, Syscall no field 3.
const LAST_FIELD: [u64; 38] = [
    6, 6, 22, 2, 2, 10, 8, 5, 9, 6, 9, 6, 6, 4, 6, 7, 6, 7, 7, 7, 4, 5, 7, 6, 7, 5, 8, 6, 3, 4, 7, 6, 8, 9, 10, 10, 9,
    5,
];

/// A negative number, which always takes ten bytes.
fn negative(field: u64, value: i64) -> Vec<u8> {
    number(field, value.cast_unsigned())
}

fn try_decode(kind: u16, payload: &[u8]) -> Option<Message> {
    Message::decode(kind, Bytes::copy_from_slice(payload)).expect("a known kind").ok()
}

fn decode(kind: u16, payload: &[u8]) -> Message {
    try_decode(kind, payload).expect("a message")
}

macro_rules! decode_as {
    ($kind:ident, $payload:expr) => {{
        let number = Message::KINDS.iter().find(|k| k.1 == stringify!($kind)).unwrap().0;
        match decode(number, &$payload) {
            Message::$kind(m) => m,
            other => panic!("{other:?}"),
        }
    }};
}

#[test]
fn a_header_is_eight_bytes_or_more() {
    let made = packet(&decode(29, &number(3, 57)), 0xffff_fffe);
    assert_eq!(made[..HEADER], [8, 0, 29, 0, 0xfe, 0xff, 0xff, 0xff]);
    assert_eq!(Header::parse(&made), Some(Header { size: 8, kind: 29, dropped: 0xffff_fffe }));
    for len in 0..HEADER {
        assert_eq!(Header::parse(&made[..len]), None, "{len} bytes");
    }
    // No message at all is one with all fields unset.
    assert_eq!(Header::parse(&made[..HEADER]).unwrap().size, 8);
    for size in 0..=u16::MAX {
        let header = Header { size, kind: 29, dropped: 3 };
        let sent = [&header.to_bytes()[..], &made[HEADER..]].concat();
        let fits = (8..=sent.len()).contains(&usize::from(size));
        assert_eq!(Header::parse(&sent), fits.then_some(header), "size {size} of {}", sent.len());
    }
}

#[test]
fn a_longer_header_moves_the_message() {
    let message = decode(29, &number(3, 57));
    let header = Header { size: 13, kind: 29, dropped: 0 };
    let sent = [&header.to_bytes()[..], &[0xff; 5], &message.encode()].concat();
    let size = usize::from(Header::parse(&sent).unwrap().size);
    assert_eq!(decode(29, &sent[size..]), message);
}

#[test]
fn kinds_that_are_not_known_are_none() {
    let numbers: Vec<u16> = Message::KINDS.iter().map(|k| k.0).collect();
    assert_eq!(numbers, (1..=38).collect::<Vec<_>>());
    for kind in (0..=u16::MAX).filter(|k| !numbers.contains(k)) {
        assert!(Message::decode(kind, Bytes::from_static(b"\xff")).is_none(), "{kind}");
        assert_eq!(Message::name_of(kind), None);
    }
    assert_eq!(Message::name_of(16), Some("Prlimit"));
}

#[test]
fn every_kind_has_the_fields_of_the_specification() {
    for (&(kind, name), last) in Message::KINDS.iter().zip(LAST_FIELD) {
        let known: Vec<u64> = shapes(kind).into_iter().map(|(field, _)| field).collect();
        let missing = match name {
            "CloneInfo" => 2,
            "Syscall" => 3,
            _ => 0,
        };
        assert_eq!(known, (1..=last).filter(|n| *n != missing).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn a_packet_of_every_kind_is_read_as_it_was_made() {
    for &(kind, name) in Message::KINDS {
        for payload in [Bytes::new(), full(kind)] {
            let message = decode(kind, &payload);
            assert_eq!(message.kind(), kind);
            assert_eq!(Message::name_of(message.kind()), Some(name));
            assert_eq!(message.context().is_some(), !payload.is_empty(), "{name}");
            assert_eq!(message.encode(), payload, "{name}");
            let sent = Bytes::from(packet(&message, 7));
            let header = Header::parse(&sent).unwrap();
            assert_eq!(header, Header { size: 8, kind, dropped: 7 });
            let read = Message::decode(header.kind, sent.slice(usize::from(header.size)..)).unwrap().unwrap();
            assert_eq!(read, message, "{name}");
        }
    }
}

#[test]
fn fields_that_are_not_known_are_skipped() {
    let fixed32 = [varint(100 << 3 | 5), vec![1; 4]].concat();
    let fixed64 = [varint(101 << 3 | 1), vec![1; 8]].concat();
    let group = [varint(102 << 3 | 3), number(1, 5), varint(102 << 3 | 4)].concat();
    let others = [number(50, u64::MAX), text(0x1fff_ffff, b"\xff\xff"), fixed32, fixed64, group].concat();
    for &(kind, name) in Message::KINDS {
        let payload = full(kind);
        let message = decode(kind, &payload);
        assert_eq!(decode(kind, &[&others[..], &payload, &others].concat()), message, "{name}");
        // And inside the first field, the context.
        let context = message.context().unwrap();
        let inner = [number(1, context.time_ns.cast_unsigned()), others.clone()].concat();
        assert_eq!(decode(kind, &[&payload[..], &text(1, &inner)].concat()), message, "{name}");
    }
}

#[test]
fn what_is_no_message_is_an_error() {
    let broken: [(&str, Vec<u8>); 8] = [
        ("longer than what is there", text(2, b"abc")[..4].to_vec()),
        ("longer than memory", [varint(2 << 3 | 2), varint(u64::MAX)].concat()),
        ("a number of eleven bytes", [varint(3 << 3), vec![0xff; 10], vec![1]].concat()),
        ("a number without an end", [varint(3 << 3), vec![0x80]].concat()),
        ("field 0", number(0, 1)),
        ("no such wire type", varint(90 << 3 | 7)),
        ("a group that ends without beginning", varint(90 << 3 | 4)),
        ("groups without end", varint(90 << 3 | 3).repeat(100_000)),
    ];
    for &(kind, name) in Message::KINDS {
        for (what, payload) in &broken {
            assert_eq!(try_decode(kind, payload), None, "{name}: {what}");
        }
        // Cut anywhere, it is an error or a shorter message.
        let payload = full(kind);
        let short = (0..payload.len()).filter_map(|len| try_decode(kind, &payload[..len]));
        assert_eq!(short.filter(|m| m.encode() == payload).count(), 0, "{name}");
    }
}

#[test]
fn negative_numbers() {
    let exit = text(2, &[number(1, 0), number(2, 2)].concat());
    let open = decode_as!(Open, [exit, number(3, 257), negative(4, -100)].concat());
    assert_eq!((open.fd, open.exit.unwrap().errorno), (-100, 2));
    let open = decode_as!(Open, text(2, &negative(1, i64::MIN)));
    assert_eq!(open.exit.unwrap().result, i64::MIN);
    let signalfd = decode_as!(Signalfd, [negative(4, -1), number(6, u64::MAX)].concat());
    assert_eq!((signalfd.fd, signalfd.sigset), (-1, u64::MAX));
    let read = decode_as!(Read, [number(7, 1), negative(8, -1)].concat());
    assert_eq!((read.has_offset, read.offset), (true, -1));
    let setresid = decode_as!(Setresid, [number(4, 0xffff_ffff), number(6, 0xffff_ffff)].concat());
    assert_eq!((setresid.rid, setresid.eid, setresid.sid), (u32::MAX, 0, u32::MAX));
    let fcntl = decode_as!(Fcntl, [negative(4, i64::from(i32::MIN)), negative(7, -1)].concat());
    assert_eq!((fcntl.fd, fcntl.args), (i32::MIN, -1));
    assert_eq!(Message::Signalfd(signalfd).encode().len(), 11 + 11);
}

#[test]
fn texts_are_bytes() {
    let strange = [b"\xff\xfe/caf\xe9\n".as_slice(), b"", b"\xc3"];
    let context = text(1, &[text(6, strange[0]), text(8, strange[2]), text(9, strange[0])].concat());
    let args: Vec<u8> = strange.iter().flat_map(|s| text(7, s)).collect();
    let execve = decode_as!(Execve, [context, text(6, strange[0]), args].concat());
    assert_eq!(execve.pathname, strange[0]);
    assert_eq!(execve.argv, strange);
    let context = execve.context_data.unwrap();
    assert_eq!((&context.container_id[..], &context.cwd[..]), (strange[0], strange[2]));
    assert_eq!(context.process_name, strange[0]);
}

#[test]
fn texts_are_slices_of_the_packet() {
    let payload = Bytes::from([text(6, b"/etc/passwd"), text(1, &text(9, b"cat"))].concat());
    let inside = payload.as_ptr_range();
    let Message::Open(open) = Message::decode(7, payload.clone()).unwrap().unwrap() else { panic!() };
    assert!(inside.contains(&open.pathname.as_ptr()));
    assert!(inside.contains(&open.context_data.unwrap().process_name.as_ptr()));
}

/// Every message has the room of the largest kind, and is moved.
#[test]
fn no_kind_is_much_larger_than_the_others() {
    assert!(size_of::<Message>() <= 512, "{}", size_of::<Message>());
}

#[test]
fn handshakes() {
    assert_eq!(handshake(&[8, 1]), Ok(VERSION));
    assert_eq!(handshake(&[]), Ok(0));
    assert_eq!(handshake(&[&number(9, 9)[..], &number(1, 7), &text(2, b"\xff")].concat()), Ok(7));
    assert!(handshake(&[8]).is_err());
    assert!(handshake(&text(1, b"1")).is_err());
}

#[test]
fn exits_and_credentials_may_be_empty_and_there() {
    let close = decode_as!(Close, number(3, 3));
    assert_eq!((close.exit, close.context_data), (None, None));
    let close = decode_as!(Close, [text(1, &text(7, b"")), text(2, b"")].concat());
    assert_eq!((close.exit.map(|e| (e.result, e.errorno)), close.sysno, close.fd), (Some((0, 0)), 0, 0));
    assert_eq!(close.context_data.unwrap().credentials, Some(common::Credentials::default()));
}

#[test]
fn fields_since_2026() {
    let time = [number(1, 1_795_000_000), number(2, 999)].concat();
    let ip = |last: u8| [number(1, 2), text(2, &[127, 0, 0, last]), number(3, 443)].concat();
    let socket = [number(1, 2), text(2, &ip(1)), text(3, &ip(2))].concat();
    let fd = |path: &[u8]| [number(1, 0o140_777), number(2, 77), text(3, path), text(4, &socket)].concat();
    let writer = text(1, &[number(2, 5), number(10, 4), number(11, 1)].concat());
    let info = decode_as!(
        ExecveInfo,
        [
            [writer.clone(), text(8, &[2; 32]), number(9, 1), number(10, u64::MAX), text(11, &time)].concat(),
            [text(12, &fd(b"in")), text(13, &fd(b"out")), text(14, &fd(b"err")), number(15, 1)].concat(),
            [text(16, &[1; 20]), text(17, b"./x"), number(18, 1 << 40), number(19, 2), number(20, 1)].concat(),
            [text(21, &writer), text(22, b"")].concat(),
        ]
        .concat()
    );
    let who = info.context_data.unwrap();
    assert_eq!((who.thread_id, who.parent_thread_group_id, who.is_exec_session), (5, 4, true));
    assert_eq!((&info.binary_sha256[..], &info.binary_sha1[..]), (&[2; 32][..], &[1; 20][..]));
    assert_eq!((info.binary_overlayfs_upper, info.binary_overlayfs_lower, info.binary_in_memfd), (true, true, true));
    assert_eq!((info.binary_ino, info.binary_size, info.binary_nlink), (u64::MAX, 1 << 40, 2));
    assert_eq!(info.binary_ctime.map(|t| (t.sec, t.nsec)), Some((1_795_000_000, 999)));
    assert_eq!(info.execfn, "./x");
    for (fd, path) in [(info.stdin, "in"), (info.stdout, "out"), (info.stderr, "err")] {
        let fd = fd.unwrap();
        assert_eq!((fd.mode, fd.ino, &fd.path[..]), (0o140_777, 77, path.as_bytes()));
        let socket = fd.socket.unwrap();
        let end = |ip: &Option<common::SocketIp>| ip.as_ref().map(|i| (i.family, i.ip.to_vec(), i.port));
        assert_eq!(socket.family, 2);
        assert_eq!(end(&socket.local), Some((2, vec![127, 0, 0, 1], 443)));
        assert_eq!(end(&socket.remote), Some((2, vec![127, 0, 0, 2], 443)));
    }
    assert_eq!(info.pipe_input_proc.unwrap().context_data, Some(who));
    assert_eq!(info.pipe_output_proc.unwrap().context_data, None);

    let map = [text(2, b"/lib/x.so"), number(3, 9), number(4, 0o100_755), number(5, 1000), number(6, 100)].concat();
    let info = decode_as!(MmapInfo, [map, number(7, 1), text(8, &time), number(9, 1), number(10, 1)].concat());
    assert_eq!((&info.mapped_path[..], info.mapped_ino, info.mapped_mode), (&b"/lib/x.so"[..], 9, 0o100_755));
    assert_eq!((info.mapped_uid, info.mapped_gid), (1000, 100));
    assert_eq!((info.is_initial_mmap, info.overlayfs_upper, info.overlayfs_lower), (true, true, true));
    assert_eq!(info.mapped_ctime.map(|t| t.nsec), Some(999));

    let args = [negative(4, -1), text(5, b"/x"), number(6, 1 << 47), number(7, 4096), number(8, 5), number(9, 0x22)];
    let mmap = decode_as!(Mmap, [args.concat(), negative(10, -4096)].concat());
    assert_eq!((mmap.fd, &mmap.fd_path[..], mmap.addr, mmap.length), (-1, &b"/x"[..], 1 << 47, 4096));
    assert_eq!((mmap.prot, mmap.flags, mmap.offset), (5, 0x22, -4096));

    let args = [number(4, 3), text(5, b"socket:[1]"), negative(6, -1), text(7, &[2, 0]), number(8, 2), number(9, 1)];
    let listen = decode_as!(Listen, args.concat());
    assert_eq!((listen.fd, &listen.fd_path[..], listen.backlog), (3, &b"socket:[1]"[..], -1));
    assert_eq!((&listen.address[..], listen.socket_family, listen.socket_type), (&[2, 0][..], 2, 1));

    let ptrace = decode_as!(Ptrace, [number(3, 101), number(4, 0x4206), negative(5, -1)].concat());
    assert_eq!((ptrace.sysno, ptrace.request, ptrace.pid), (101, 0x4206, -1));
}

proptest! {
    /// Whatever the values and the order of known fields: a message, which is read as it is written.
    #[test]
    fn any_fields_in_any_order(
        kind in 1u16..=38,
        chosen in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), any::<Vec<u8>>()), 0..12),
    ) {
        let shapes = shapes(kind);
        let payload: Vec<u8> = chosen.iter().flat_map(|(at, value, bytes)| {
            let (field, shape) = shapes[at.index(shapes.len())];
            shape.field(field, *value, bytes)
        }).collect();
        let message = decode(kind, &payload);
        let written = message.encode();
        prop_assert_eq!(&decode(kind, &written), &message);
        prop_assert_eq!(decode(kind, &written).encode(), written);
    }

    /// Nothing that comes from a sandbox makes it panic.
    #[test]
    fn any_bytes(kind in any::<u16>(), payload in any::<Vec<u8>>()) {
        let _ = (handshake(&payload), Header::parse(&payload));
        for kind in Message::KINDS.iter().map(|k| k.0).chain([kind]) {
            if let Some(Ok(message)) = Message::decode(kind, Bytes::copy_from_slice(&payload)) {
                prop_assert_eq!(decode(kind, &message.encode()), message);
            }
        }
    }
}
