//! Orders that must hold whatever comes.

use super::*;
use proptest::prelude::*;

/// What a batch is made of: connection, kind, time (0: none).
fn batch(arrival: u64, parts: &[(u32, Kind, u64)]) -> Batch {
    let (mut bytes, mut items) = (Vec::new(), Vec::new());
    for (connection, kind, time) in parts {
        let start = u32::try_from(bytes.len()).unwrap();
        if *kind == Kind::Packet {
            bytes.extend([8, 0, 7, 0, 0, 0, 0, 0]);
            if *time > 0 {
                let mut context = vec![TIME_TAG];
                let mut rest = *time;
                while rest >= 0x80 {
                    context.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
                    rest >>= 7;
                }
                context.push(u8::try_from(rest).unwrap());
                bytes.extend([10, u8::try_from(context.len()).unwrap()]);
                bytes.extend(context);
            }
        }
        let length = u32::try_from(bytes.len()).unwrap() - start;
        items.push(Item { connection: *connection, kind: *kind, start, length });
    }
    let cost = bytes.len() + items.len() * ITEM + BATCH;
    Batch { arrival, clock: arrival, bytes: bytes.into(), items: items.into(), cost }
}

const TIME_TAG: u8 = 8;

fn give(merge: &mut Merge, horizon: u64) -> Vec<(u32, Option<u64>)> {
    let mut all = Vec::new();
    let (given, _) = merge.give(horizon, &mut |sent| {
        let time = if let What::Packet(packet) = &sent.what { Some(time_of(packet).unwrap_or(0)) } else { None };
        all.push((sent.connection, time));
        ControlFlow::Continue(())
    });
    assert_eq!(given, all.len() as u64);
    all
}

#[test]
fn times_of_packets() {
    let time = |payload: &[u8]| time_of(&[&[8, 0, 1, 0, 0, 0, 0, 0][..], payload].concat());
    assert_eq!(time(&[10, 2, 8, 5]), Some(5));
    assert_eq!(time(&[10, 3, 8, 0x85, 1, 99]), Some(133));
    // Longer headers, no context, another field first, negative, cut off, endless.
    assert_eq!(time_of(&[10, 0, 1, 0, 0, 0, 0, 0, 99, 99, 10, 2, 8, 5]), Some(5));
    assert_eq!(time(&[]), None);
    assert_eq!(time(&[18, 2, 8, 5]), None);
    assert_eq!(time(&[10, 2, 16, 5]), None);
    assert_eq!(time(&[10, 0, 8, 5]), None);
    assert_eq!(time(&[10, 11, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]), None);
    assert_eq!(time(&[10, 9, 8, 255]), None);
    assert_eq!(time(&[10, 20, 8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]), None);
    assert_eq!(time_of(&[200, 0, 1, 0, 0, 0, 0, 0]), None);
    assert_eq!(time_of(&[8]), None);
}

#[test]
fn only_what_is_due_and_what_is_older() {
    let mut merge = Merge::default();
    let packet = |connection, time| (connection, Kind::Packet, time);
    merge.add(batch(10, &[(0, Kind::Opened, 0), (1, Kind::Opened, 0)]));
    merge.add(batch(20, &[packet(0, 500), packet(0, 700)]));
    merge.add(batch(30, &[packet(1, 400), packet(1, 600), packet(1, 800)]));
    assert_eq!(give(&mut merge, 9), []);
    // Nothing of the third batch is due, but some of it is older than what is.
    let wanted = [(0, None), (1, None), (1, Some(400)), (0, Some(500)), (1, Some(600)), (0, Some(700))];
    assert_eq!(give(&mut merge, 20), wanted);
    assert_eq!(give(&mut merge, 29), []);
    assert_eq!(give(&mut merge, 30), [(1, Some(800))]);
    assert!(merge.is_empty());
    // Times from the far future hold nobody up.
    merge.add(batch(40, &[packet(0, u64::MAX >> 1)]));
    merge.add(batch(50, &[packet(1, 900)]));
    assert_eq!(give(&mut merge, 40), [(1, Some(900)), (0, Some(u64::MAX >> 1))]);
    // Without a time the order is that of arrival.
    merge.add(batch(60, &[packet(1, 0), packet(0, 0)]));
    merge.add(batch(61, &[packet(0, 0), (1, Kind::Closed, 0)]));
    assert_eq!(give(&mut merge, 61), [(0, Some(0)), (1, Some(0)), (0, Some(0)), (1, None)]);
    assert_eq!(merge.lanes(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_connections_stay_in_order(
        parts in prop::collection::vec((0u32..5, 0u64..40, any::<bool>(), any::<bool>(), 0usize..9), 0..120),
    ) {
        let (mut merge, mut arrival, mut next) = (Merge::default(), 0, 0);
        let (mut put, mut got) = (Vec::new(), Vec::new());
        let (mut cost, mut freed, mut parts_of) = (0, 0, Vec::new());
        for (connection, time, ends, polls, breaks) in parts {
            while next <= connection {
                parts_of.push((next, Kind::Opened, 0));
                next += 1;
            }
            parts_of.push((connection, Kind::Packet, time));
            if ends {
                arrival += 10;
                let batch = batch(arrival, &std::mem::take(&mut parts_of));
                cost += batch.cost;
                put.extend(batch.items.iter().map(|i| (i.connection, part(&batch.bytes, i).to_vec())));
                merge.add(batch);
            }
            if polls {
                let mut left = breaks;
                freed += merge.give(arrival.saturating_sub(20), &mut |sent| {
                    let bytes = if let What::Packet(packet) = sent.what { packet.to_vec() } else { vec![] };
                    got.push((sent.connection, bytes));
                    left = left.saturating_sub(1);
                    if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                }).1;
            }
        }
        freed += merge.give(u64::MAX, &mut |sent| {
            let bytes = if let What::Packet(packet) = sent.what { packet.to_vec() } else { vec![] };
            got.push((sent.connection, bytes));
            ControlFlow::Continue(())
        }).1;
        prop_assert!(merge.is_empty());
        prop_assert_eq!(freed, cost);
        prop_assert_eq!(got.len(), put.len());
        for connection in 0..5 {
            let of = |all: &[(u32, Vec<u8>)]| all.iter().filter(|(c, _)| *c == connection).cloned().collect::<Vec<_>>();
            prop_assert_eq!(of(&got), of(&put));
        }
        let opened: Vec<u32> = got.iter().filter(|(_, bytes)| bytes.is_empty()).map(|(c, _)| *c).collect();
        prop_assert!(opened.is_sorted());
    }
}
