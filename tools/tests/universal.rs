//! What the universal profile must do for sysdig 0.29.3, on captures made here. That sysdig then
//! really reads them is tested in `real_readers`.

#![allow(clippy::unwrap_used)]

mod common;

use common::convert;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::{Capture, Content, Item, Limits};

/// Type, thread and parameters.
type Written = (u16, i64, Vec<Vec<u8>>);

/// Converts and gives type, thread and parameters of every event written, and the notes.
fn universal(capture: &Synth) -> (Vec<Written>, String) {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("in.scap"), dir.path().join("out.scap"));
    std::fs::write(&from, capture.finish()).unwrap();
    let said = convert(&from, &to, &["--profile", "universal"]).err();
    let mut capture = Capture::open(&to, Limits::default()).unwrap();
    let mut events = Vec::new();
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(_, Content::Event(e)) = item {
            events.push((e.event_type, e.tid, e.params().map(<[u8]>::to_vec).collect()));
        }
    }
    (events, said)
}

/// An exit of today's schema, so that the capture counts as one of exits only.
fn close(s: &mut Synth) {
    s.event(1, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
}

#[test]
fn a_new_thread_returns_from_a_call_that_it_did_not_enter() {
    let mut s = Synth::new();
    close(s.section());
    let returns = |res: i64| {
        let mut p = Params::new().i64(res).str("sh").empty().i64(9).i64(9).i64(7);
        for _ in 6..21 {
            p = p.empty();
        }
        p
    };
    s.event(2, 9, id::SYSCALL_VFORK_20_X, &returns(0)).event(3, 7, id::SYSCALL_VFORK_20_X, &returns(9));
    let (events, _) = universal(&s);
    let seen: Vec<(u16, i64)> = events.iter().map(|e| (e.0, e.1)).collect();
    assert_eq!(
        seen,
        [
            (id::SYSCALL_CLOSE_E, 7),
            (id::SYSCALL_CLOSE_X, 7),
            (id::SYSCALL_VFORK_20_X, 9),
            (id::SYSCALL_VFORK_20_E, 7),
            (id::SYSCALL_VFORK_20_X, 7)
        ]
    );
}

#[test]
fn a_call_newer_than_2022_keeps_its_number_and_says_that_it_lost_its_name() {
    let mut s = Synth::new();
    close(s.section());
    for code in [328u16, 329, 380] {
        s.event(2, 7, id::GENERIC_X, &Params::new().u16(code).u16(334));
    }
    let (events, said) = universal(&s);
    let generic: Vec<_> = events.iter().skip(2).map(|e| (e.0, e.2.clone())).collect();
    let number = 334u16.to_le_bytes().to_vec();
    let wanted: Vec<_> = [328u16, 0, 0]
        .iter()
        .flat_map(|code| {
            let code = code.to_le_bytes().to_vec();
            [(id::GENERIC_E, vec![code.clone(), number.clone()]), (id::GENERIC_X, vec![code])]
        })
        .collect();
    assert_eq!(generic, wanted);
    assert!(said.contains("2 generic events of calls newer than 2022 lost their name"), "{said}");
}

#[test]
fn an_error_of_bpf_is_no_fd() {
    let mut s = Synth::new();
    close(s.section());
    for res in [-22i64, 5] {
        s.event(2, 7, id::SYSCALL_BPF_2_X, &Params::new().i64(res).u32(0));
    }
    let (events, _) = universal(&s);
    let exits: Vec<_> = events.iter().filter(|e| e.0 == id::SYSCALL_BPF_X).map(|e| e.2[0].clone()).collect();
    let tagged = |tag: u8, n: i64| [&[tag][..], &n.to_le_bytes()].concat();
    assert_eq!(exits, [tagged(1, -22), tagged(0, 5)]);
}

/// sysdig 0.29.3 shows for an empty string whatever string it showed before.
#[test]
fn a_string_that_is_not_there_is_null_in_words() {
    let mut s = Synth::new();
    s.section().event(1, 7, id::SYSCALL_OPEN_E, &Params::new());
    s.event(2, 7, id::SYSCALL_OPEN_X, &Params::new().i64(3).str("/etc/passwd").u32(1).u32(0));
    s.event(3, 7, id::SYSCALL_CLOSE_E, &Params::new().i64(3));
    s.event(4, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
    let (events, _) = universal(&s);
    assert_eq!(events[0].2[0], b"(NULL)\0");
    assert_eq!(events[1].2[1], b"/etc/passwd\0");
    assert_eq!(events.len(), 4);
}
