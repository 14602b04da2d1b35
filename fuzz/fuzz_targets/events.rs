//! Events: headers and every typed parameter, in all block forms; what parses encodes to itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_format::value::{Value, decode, decode_param};
use scapkit_format::{Block, BlockType, Event, encode};

fn look(event: &Event<'_>) {
    let _ = (event.is_enter(), event.is_state_only(), event.recorded_info());
    let stored: usize = event.params().map(<[u8]>::len).sum();
    if event.info().is_some() {
        assert_eq!(event.params().count(), event.nparams as usize);
        assert_eq!(event.raw_data().len(), stored);
    }
    for info in [event.info(), event.recorded_info()].into_iter().flatten() {
        let _ = info.to_string();
        for (at, (param, bytes)) in info.params.iter().zip(event.params()).enumerate() {
            assert_eq!(event.param(at), Some(bytes));
            match decode_param(param, bytes) {
                Value::Fds(fds) => assert_eq!(fds.iter().count(), fds.len()),
                Value::Dyn(sub, rest) => drop(decode(sub.kind, rest)),
                value => assert_eq!(value == Value::Absent, bytes.is_empty()),
            }
        }
    }
}

/// Written as version 2 and parsed again, nothing changes.
fn again(event: &Event<'_>) {
    if event.info().is_none() {
        return;
    }
    let mut out = Vec::new();
    encode::event_of(&mut out, event).expect("an event that was read fits a block");
    let second = Event::parse(&Block::new(&out, 0, 0)).expect("what was written parses");
    assert_eq!((second.ts, second.tid, second.cpu), (event.ts, event.tid, event.cpu));
    assert_eq!((second.event_type, second.nparams), (event.event_type, event.nparams));
    assert_eq!(second.flags, event.flags & !4);
    assert!(second.params().eq(event.params()));
}

fuzz_target!(|data: &[u8]| {
    let mut found = Vec::new();
    found.extend(Event::parse(&Block::new(data, 0, 0)));
    let event = data.get(8..).unwrap_or_default();
    found.extend(Event::parse_v2(event.get(2..).unwrap_or_default(), 0, 0));
    found.extend(Event::parse_v1(event.get(2..).unwrap_or_default(), 0, 0));
    // The same body under every type of event block.
    for block_type in BlockType::ALL.iter().filter(|t| t.is_event()) {
        let mut block = Vec::new();
        if encode::block(&mut block, *block_type, event).is_ok()
            && let Ok(e) = Event::parse(&Block::new(&block, 0, 0))
        {
            look(&e);
            again(&e);
        }
    }
    for e in &found {
        look(e);
        again(e);
    }
    // Lengths and data that a converter got wrong.
    if let (Some(e), Some((lens, rest))) = (found.first(), data.split_at_checked(data.len() / 3)) {
        for wide in [false, true] {
            let made = Event::from_parts(e.head(), wide, lens, rest);
            let _ = (made.params().count(), made.raw_data().len());
        }
    }
});
