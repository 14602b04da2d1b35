//! Whatever sandboxes send.

use super::*;
use proptest::prelude::*;

/// Values that a field may have, with their tags left out: numbers, and bytes with their length.
fn values() -> Vec<(u8, Vec<u8>)> {
    let number = |mut n: u64| {
        let mut out = Vec::new();
        while n > 127 {
            out.push((n & 127) as u8 | 128);
            n >>= 7;
        }
        out.push(n as u8);
        (0, out)
    };
    let bytes = |b: &[u8]| (2, [&[b.len() as u8][..], b].concat());
    let mut all: Vec<(u8, Vec<u8>)> =
        [0, 1, 2, 3, 56, 57, 59, 257, 322, 435, 0x4100, 0xffff_ff9c, 1 << 31, 1 << 40, u64::MAX].map(number).into();
    let addresses = [inet([1, 2, 3, 4], 80), inet6(1, 80), unix(b"/run/s"), Bytes::from_static(&[2, 0, 1])];
    all.extend(addresses.iter().map(|a| bytes(a)));
    all.extend([&b""[..], b"/bin/sh", b"a\0b", b"\xff\xfe", &[b'x'; 100]].map(bytes));
    // As messages inside: a number in field 1, and one in field 2.
    all.push(bytes(&[8, 5, 16, 7]));
    all.push(bytes(&[16, 13]));
    all
}

/// A packet of a kind, with fields that it has: those that it does not take are left out.
fn message(kind: u16, context: &ContextData, fields: &[(u8, usize)], dropped: u32) -> Vec<u8> {
    let values = values();
    let mut payload = Vec::new();
    let inside = Message::CloneInfo(scapkit_proto::sentry::CloneInfo {
        context_data: Some(context.clone()),
        ..Default::default()
    });
    payload.extend(inside.encode());
    for (field, value) in fields {
        let (wire, bytes) = &values[value % values.len()];
        let before = payload.len();
        let tag = u32::from(*field) << 3 | u32::from(*wire);
        if tag > 127 {
            payload.push((tag & 127) as u8 | 128);
        }
        payload.push(if tag > 127 { (tag >> 7) as u8 } else { tag as u8 });
        payload.extend(bytes);
        if !matches!(Message::decode(kind, Bytes::from(payload.clone())), Some(Ok(_)) | None) {
            payload.truncate(before);
        }
    }
    [&Header { size: 8, kind, dropped }.to_bytes()[..], &payload].concat()
}

fn context() -> impl Strategy<Value = ContextData> {
    let thread = prop_oneof![8 => 1..6i32, 1 => Just(0), 1 => any::<i32>()];
    let name = prop_oneof![Just(""), Just("a"), Just("b"), Just("/bin/a-rather-long-name"), Just(CONTAINER)];
    let time = prop_oneof![8 => START..START + 400 * MS, 1 => any::<i64>()];
    (thread, prop_oneof![4 => Just(0), 4 => 1..6i32], time, name.clone(), name, proptest::option::of(0..3u32)).prop_map(
        |(thread_id, thread_group_id, time_ns, container, process, uid)| ContextData {
            time_ns,
            thread_id,
            thread_group_id,
            container_id: text(container),
            process_name: text(process),
            cwd: text(process),
            credentials: uid.and_then(|uid| ids(uid, uid)),
            is_exec_session: thread_id == 5,
            parent_thread_group_id: thread_id / 2,
            ..ContextData::default()
        },
    )
}

fn packets() -> impl Strategy<Value = What> {
    let fields = proptest::collection::vec((2..23u8, any::<usize>()), 0..12);
    let drops = prop_oneof![9 => Just(0u32), 1 => any::<u32>()];
    let known = (1..40u16, context(), fields, drops).prop_map(|(kind, context, fields, dropped)| {
        What::Packet(Bytes::from(message(kind, &context, &fields, dropped)))
    });
    let noise = proptest::collection::vec(any::<u8>(), 0..60).prop_map(|b| What::Packet(Bytes::from(b)));
    let listed = (1..6i32, 0..6i32).prop_map(|(pid, ppid)| {
        What::Procfs(Bytes::from(format!("CONTAINER a\n{}", dump(&[listed(pid, ppid, "p", &["p", "x"])]))))
    });
    // Most are messages of open connections.
    prop_oneof![40 => known, 2 => noise, 1 => listed, 1 => Just(What::Opened), 1 => Just(What::Closed)]
}

/// All events of a run, and what was counted.
fn run(sent: &[(u32, What)]) -> (Vec<u8>, usize) {
    let (mut mapper, mut events) = (Mapper::default(), Events::default());
    let mut out = Vec::new();
    let (mut made, mut begun) = (0, false);
    for (connection, what) in sent {
        mapper.take(&Sent { connection: *connection, what: what.clone() }, &mut events);
        if !begun && matches!(what, What::Packet(_)) {
            begun = true;
            mapper.lists(&mut out).unwrap();
        }
        for (_, event) in events.iter() {
            assert_eq!(wrong(event), None, "{event:?}");
            out.extend_from_slice(event);
            made += 1;
        }
        events.clear();
    }
    (out, made)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sent_gives_sound_events_and_always_the_same(
        sent in proptest::collection::vec((0..3u32, packets()), 1..120)
    ) {
        let (first, made) = run(&sent);
        let (second, again) = run(&sent);
        prop_assert_eq!(made, again);
        prop_assert!(first == second);
    }

    /// Any order of losses: a call whose end came in one message or two is one event.
    #[test]
    fn calls_are_told_once_in_their_order(
        steps in proptest::collection::vec((1..4i32, 0..8u8, 0..4i64), 1..60)
    ) {
        let mut feed = Feed::started();
        feed.fork(1, 2);
        feed.fork(1, 3);
        // Both kinds of points are on, which is known from the first call.
        let all = Points { raw_enter: true, enter: true, raw_exit: true, exit: true };
        close_call(&mut feed, 1, all, -1);
        let mut wanted = 1;
        for (n, (thread, lost, pause)) in steps.iter().enumerate() {
            // One of three messages is lost, or two. The raw end comes before the other.
            let points = Points { enter: lost & 1 == 0, exit: lost & 2 == 0, raw_exit: lost & 4 == 0 || lost & 2 == 0, ..all };
            close_call(&mut feed, *thread, points, n as i64);
            wanted += usize::from(points.exit || points.raw_exit);
            wait(*pause * 30);
        }
        feed.close(0);
        let closes: Vec<i64> = feed.all.iter().filter(|e| e.name() == "close").map(|e| e.num("fd")).collect();
        prop_assert_eq!(closes.len(), wanted);
        let different: std::collections::BTreeSet<i64> = closes.into_iter().collect();
        prop_assert_eq!(different.len(), wanted);
    }
}
