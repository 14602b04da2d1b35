//! Compares what was recorded with what the workload says that it did.

use super::check::{Addresses, Check, show};
use super::record::{Recorded, Recording};
use super::report::{Case, Expected, Line, Place, mark_offset};
use scapkit_format::schema::{self, EventInfo, id};
use std::collections::{BTreeMap, BTreeSet};

/// What came of it.
#[derive(Debug, Default)]
pub struct Verdict {
    /// What is wrong.
    pub faults: Vec<String>,
    /// Types of the events that were as they had to be.
    pub confirmed: BTreeSet<u16>,
    /// Cases that were.
    pub cases: usize,
    /// Parameters that were compared.
    pub params: usize,
    /// Cases of 32-bit calls whose enter event came, and that had none.
    pub enters32: (usize, usize),
    /// What the workload could not do.
    pub skipped: Vec<String>,
}

/// Judges a recording by the workload's report.
///
/// `too_large`: how many events must have been lost for their size.
pub fn judge(report: &str, recording: &Recording, too_large: u64) -> Verdict {
    let mut verdict = Verdict::default();
    let threads = recording.threads();
    let mut addresses = Addresses::default();
    let mut ended = false;
    for line in report.lines() {
        match serde_json::from_str(line) {
            Ok(Line::Case(case)) => {
                let before = verdict.faults.len();
                judge_case(&case, &threads, &mut addresses, &mut verdict);
                if verdict.faults.len() == before {
                    verdict.cases += 1;
                    verdict.confirmed.extend(case.events.iter().map(|e| e.id));
                }
            }
            Ok(Line::Skipped(what)) => verdict.skipped.push(what),
            Ok(Line::End) => ended = true,
            Err(e) => verdict.faults.push(format!("the report has a line that is none: {e}")),
        }
    }
    match verdict.enters32 {
        (_, 0) => {}
        (0, n) => verdict
            .skipped
            .push(format!("the enter events of 32-bit calls: this kernel's functions cannot be hooked ({n} cases)")),
        (a, b) => verdict.faults.push(format!("{b} enter events of 32-bit calls are missing, {a} are there")),
    }
    if !ended {
        verdict.faults.push(format!("the workload did not come to its end ({})", recording.status));
    }
    for (name, lost) in [
        ("buffer", recording.counters.drops_buffer),
        ("size", recording.counters.drops_size),
        ("other", recording.counters.drops_other),
    ] {
        let expected = if name == "size" { too_large } else { 0 };
        if lost != expected {
            verdict.faults.push(format!("{lost} events were lost ({name}) instead of {expected}"));
        }
    }
    verdict
}

fn judge_case(case: &Case, threads: &BTreeMap<i64, Vec<&Recorded>>, addresses: &mut Addresses, verdict: &mut Verdict) {
    let tid = if case.place == Place::ChildsLast {
        let Some(tid) = first_child(case.tid, threads) else {
            return verdict.faults.push(format!("{}: no child of {}", case.name, case.tid));
        };
        tid
    } else {
        case.tid
    };
    let none = Vec::new();
    let all = threads.get(&tid).unwrap_or(&none);
    let wanted: BTreeSet<u16> = case.events.iter().map(|e| e.id).collect();
    let by_chance = |id: u16| matches!(id, id::SCHEDSWITCH_6_E | id::PAGE_FAULT_E) && !wanted.contains(&id);
    let found: Result<Vec<&Recorded>, String> = match case.place {
        Place::Marked(n) => between(all, n, true),
        Place::After(n) => between(all, n, false).map(|v| v.into_iter().take(case.events.len()).collect()),
        Place::All => Ok(all.clone()),
        Place::Last | Place::ChildsLast => {
            let kept: Vec<&Recorded> = all.iter().filter(|e| !by_chance(e.id)).copied().collect();
            Ok(kept.get(kept.len().saturating_sub(case.events.len())..).unwrap_or(&[]).to_vec())
        }
        Place::Among(n) => between(all, n, false).map(|v| pick(&v, &case.events, addresses)),
    };
    let found = match found {
        Ok(found) => found,
        Err(e) => return verdict.faults.push(format!("{} (thread {tid}): {e}", case.name)),
    };
    let mut events = case.events.clone();
    let is_enter = |id: u16| schema::event_info(id).is_some_and(EventInfo::is_enter);
    if case.name.starts_with("32-bit: ") && events.first().is_some_and(|e| is_enter(e.id)) {
        // Entry of 32-bit calls has no tracepoint: where the kernel lets nobody hook its functions there is no event.
        if found.iter().any(|e| is_enter(e.id)) {
            verdict.enters32.0 += 1;
        } else {
            verdict.enters32.1 += 1;
            events.remove(0);
        }
    }
    let case = &Case { events, ..case.clone() };
    if found.len() != case.events.len() || found.iter().zip(&case.events).any(|(f, e)| f.id != e.id) {
        let got: Vec<String> = found.iter().map(|e| name(e.id)).collect();
        let want: Vec<String> = case.events.iter().map(|e| name(e.id)).collect();
        return verdict.faults.push(format!("{} (thread {tid}): {got:?} instead of {want:?}", case.name));
    }
    for (got, want) in found.iter().zip(&case.events) {
        verdict.params += want.params.len();
        for fault in compare(got, want, addresses) {
            verdict.faults.push(format!("{}: {}: {fault}", case.name, name(want.id)));
        }
    }
}

/// The events after the opening mark, up to the closing one or the next case's.
fn between<'a>(all: &[&'a Recorded], n: u64, closed: bool) -> Result<Vec<&'a Recorded>, String> {
    // Numbers are used again by children that a fork made: of a thread they are its own.
    let Some(open) = all.iter().position(|e| is_mark(e) == Some(mark_offset(n, false))) else {
        return Err(format!("the opening mark {n} is not recorded, among {} events", all.len()));
    };
    let rest = &all[open + 1..];
    match rest.iter().position(|e| is_mark(e).is_some()) {
        Some(end) if is_mark(rest[end]) == Some(mark_offset(n, true)) || !closed => Ok(rest[..end].to_vec()),
        None if !closed => Ok(rest.to_vec()),
        _ => Err(format!("the closing mark {n} is not recorded")),
    }
}

/// The offset, if it is a mark.
fn is_mark(e: &Recorded) -> Option<u64> {
    let number = |i: usize| Some(u64::from_le_bytes(e.params.get(i)?.as_slice().try_into().ok()?));
    let offset = number(2)?;
    (e.id == id::SYSCALL_LSEEK_X && number(1)? == u64::MAX && offset >> 48 == 0x5CA9).then_some(offset)
}

/// The first events that fit, in order; where one fits none, the last of its type (for the message).
fn pick<'a>(all: &[&'a Recorded], wanted: &[Expected], addresses: &Addresses) -> Vec<&'a Recorded> {
    let mut at = 0;
    let mut out = Vec::new();
    for want in wanted {
        let fits = |e: &&Recorded| e.id == want.id && compare(e, want, &mut addresses.clone()).is_empty();
        let rest = &all[at..];
        let found = rest.iter().position(fits).or_else(|| rest.iter().rposition(|e| e.id == want.id));
        if let Some(n) = found {
            out.push(rest[n]);
            at += n + 1;
        }
    }
    out
}

fn compare(got: &Recorded, want: &Expected, addresses: &mut Addresses) -> Vec<String> {
    let Some(info) = schema::event_info(want.id) else { return vec!["no such type".into()] };
    if want.params.len() != info.params.len() {
        return vec![format!("the test has {} parameters, the table {}", want.params.len(), info.params.len())];
    }
    if got.params.len() != info.params.len() {
        return vec![format!("{} parameters instead of {}", got.params.len(), info.params.len())];
    }
    let mut faults = Vec::new();
    addresses.next_event();
    for ((param, bytes), check) in info.params.iter().zip(&got.params).zip(&want.params) {
        if let Err(e) = check.compare(param.kind, bytes, addresses) {
            faults.push(format!("{}: {e}", param.name));
        }
    }
    faults
}

/// The first process that a process forked: the thread whose first event is the child's side.
fn first_child(parent: i64, threads: &BTreeMap<i64, Vec<&Recorded>>) -> Option<i64> {
    let born = |events: &Vec<&Recorded>| {
        let e = events.first()?;
        let number = |i: usize| Some(i64::from_le_bytes(e.params.get(i)?.as_slice().try_into().ok()?));
        (e.id == id::SYSCALL_FORK_20_X && number(0)? == 0 && number(5)? == parent).then_some((e.ts, e.tid))
    };
    threads.values().filter_map(born).min().map(|(_, tid)| tid)
}

/// An event's name for messages.
pub fn name(id: u16) -> String {
    schema::event_info(id).map_or_else(|| id.to_string(), |i| format!("{} {}", i.direction(), i.constant))
}

/// An event for messages.
pub fn describe(e: &Recorded) -> String {
    let params: Vec<String> = e.params.iter().map(|p| show(p)).collect();
    format!("{} {}", name(e.id), params.join(" "))
}

/// Whether the judge finds what it has to: a made-up recording of one case, right, and wrong in every way.
pub fn finds_differences() -> Result<(), String> {
    let mark = |n: u64, closing| Recorded {
        ts: 0,
        tid: 5,
        id: id::SYSCALL_LSEEK_X,
        params: vec![
            (-9_i64).to_le_bytes().to_vec(),
            (-1_i64).to_le_bytes().to_vec(),
            mark_offset(n, closing).to_le_bytes().to_vec(),
            vec![0],
        ],
        bytes: Vec::new(),
    };
    let label = |l: &str| super::check::Part::Address(l.to_owned());
    let raw = |b: &[u8]| super::check::Part::Raw(b.to_vec());
    let case = Case {
        name: "made up".into(),
        tid: 5,
        place: Place::Marked(1),
        events: vec![
            Expected {
                id: id::SYSCALL_READ_X,
                params: vec![3.into(), b"abc".to_vec().into(), (-1).into(), (5..=7).into()],
            },
            Expected { id: id::SYSCALL_SPLICE_X, params: vec![0.into(), 1.into(), 2.into(), 3.into(), 4.into()] },
            Expected {
                id: id::SOCKET_CONNECT_X,
                params: vec![
                    0.into(),
                    Check::Parts(vec![raw(&[1]), label("a"), label("b"), raw(b"\0")]),
                    9.into(),
                    b"".to_vec().into(),
                ],
            },
        ],
    };
    let le = |n: i64| n.to_le_bytes().to_vec();
    let tuple = [&[1_u8][..], &le(77), &le(78), &[0]].concat();
    let right = [
        (id::SYSCALL_READ_X, vec![le(3), b"abc".to_vec(), le(-1), vec![6, 0, 0, 0]]),
        (id::SYSCALL_SPLICE_X, vec![le(0), le(1), le(2), le(3), vec![4, 0, 0, 0]]),
        (id::SOCKET_CONNECT_X, vec![le(0), tuple, le(9), vec![]]),
    ];
    let events: Vec<Recorded> = std::iter::once(mark(1, false))
        .chain(right.into_iter().map(|(id, params)| Recorded { ts: 0, tid: 5, id, params, bytes: Vec::new() }))
        .chain([mark(1, true)])
        .collect();
    let faults = |events: &[Recorded]| {
        let all: Vec<&Recorded> = events.iter().collect();
        let mut verdict = Verdict::default();
        judge_case(&case, &BTreeMap::from([(5, all)]), &mut Addresses::default(), &mut verdict);
        verdict.faults.len()
    };
    if faults(&events) != 0 {
        return Err("it finds faults where there are none".into());
    }
    for e in 0..events.len() {
        let mut less = events.clone();
        less.remove(e);
        let mut more = events.clone();
        more.insert(e, events[1].clone());
        if faults(&less) == 0 || (e > 0 && faults(&more) == 0) {
            return Err(format!("event {e} may be missing, or come twice"));
        }
        if e == 0 || e == events.len() - 1 {
            continue;
        }
        for p in 0..events[e].params.len() {
            for change in [
                |b: &mut Vec<u8>| b.push(1),
                |b: &mut Vec<u8>| {
                    b.pop();
                },
                |b: &mut Vec<u8>| {
                    if let Some(l) = b.last_mut() {
                        *l ^= 0x80;
                    }
                },
            ] {
                let mut wrong = events.clone();
                change(&mut wrong[e].params[p]);
                if wrong != events && faults(&wrong) == 0 {
                    return Err(format!("parameter {p} of event {e} may be anything"));
                }
            }
        }
    }
    // The two ends of a connection are not the same.
    let mut wrong = events.clone();
    wrong[3].params[1] = [&[1_u8][..], &le(77), &le(77), &[0]].concat();
    if faults(&wrong) == 0 {
        return Err("two addresses may be the same".into());
    }
    Ok(())
}
