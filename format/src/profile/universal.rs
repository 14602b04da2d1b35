//! The universal profile's events: the layout of 2022, an enter and an exit for every call, so that
//! sysdig 0.29.3, libs and Wireshark all read them (scap-format section 7.1).
//!
//! Captures of the 2022 schema or older hold both halves already: one event in, one out. Captures
//! of today's drivers hold exits only; each becomes a synthesised enter, whose parameters the exit
//! carries, and the exit. Which of the two a section is shows at its first events: until that is
//! decided they are held back.

use super::Report;
use super::tables::{From, Pair, default_bytes, pairs};
use crate::schema::{self, EventInfo, ParamInfo, ParamType, SYSCALLS_X86_64, id};
use crate::value::{SockAddr, SockTuple, Value, decode_param};
use crate::{Error, Event, EventHead, Result, encode};
use std::collections::HashMap;

/// Events held back at most while it is not known whether enters were recorded.
const MAX_HELD: usize = 4096;
/// And their bytes: an event of a large type may be as large as a block can be.
const MAX_HELD_BYTES: usize = 16 << 20;
/// Threads whose pending enter is remembered at most.
const MAX_PENDING: usize = 1 << 18;
/// The last system call code that sysdig 0.29.3 knows; it reads past its table, and mostly crashes,
/// on a higher one (measured: codes 0 to 328 print, 330 and above end it).
const LAST_CODE_2022: u16 = 328;
/// Largest block, without its first 8 bytes, that sysdig and libs read (section 1.6).
const MAX_EVENT_BLOCK: usize = 65544;

/// Whether the enters of calls were recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Undecided,
    Paired,
    ExitOnly,
}

/// Rewrites events; one per capture.
#[derive(Debug)]
pub(super) struct Universal {
    pairs: Vec<Option<Pair>>,
    layout: Layout,
    /// Blocks of the events held back, and whether one of them shows today's layout.
    held: Vec<Vec<u8>>,
    held_bytes: usize,
    exits_carry_enters: bool,
    /// Type of the enter that a thread has open.
    pending: HashMap<i64, u16>,
}

impl Universal {
    pub(super) fn new() -> Self {
        Universal {
            pairs: pairs(),
            layout: Layout::Undecided,
            held: Vec::new(),
            held_bytes: 0,
            exits_carry_enters: false,
            pending: HashMap::new(),
        }
    }

    /// A new section begins. What was held back must have been taken by [`Universal::end`].
    pub(super) fn section(&mut self) {
        self.layout = Layout::Undecided;
        self.exits_carry_enters = false;
        self.pending.clear();
    }

    /// Takes an event; appends the blocks that can be written to `out`.
    pub(super) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>, report: &mut Report) -> Result<()> {
        if self.layout != Layout::Undecided {
            return self.write(event, out, report);
        }
        let Some(info) = event.info() else {
            return self.write(event, out, report);
        };
        if info.category.is_syscall() {
            if info.is_enter() && info.flags.is_old_version() {
                self.layout = Layout::Paired;
            } else if !info.is_enter() {
                let then = schema::event_info_2022(event.event_type).map(|i| i.params.len());
                self.exits_carry_enters |= then.is_none_or(|n| event.nparams as usize > n);
            }
        }
        if event.raw_data().len() >= MAX_HELD_BYTES {
            // It fills what may be held back by itself: written from where it stands, not from a copy.
            self.end(out, report)?;
            return self.write(event, out, report);
        }
        let mut block = Vec::new();
        encode::event_of(&mut block, event)?;
        self.held_bytes = self.held_bytes.saturating_add(block.len());
        self.held.push(block);
        let full = self.held.len() >= MAX_HELD || self.held_bytes >= MAX_HELD_BYTES;
        if self.layout == Layout::Paired || full {
            self.end(out, report)?;
        }
        Ok(())
    }

    /// Decides and writes what was held back.
    pub(super) fn end(&mut self, out: &mut Vec<u8>, report: &mut Report) -> Result<()> {
        if self.layout == Layout::Undecided {
            self.layout = if self.exits_carry_enters { Layout::ExitOnly } else { Layout::Paired };
        }
        self.held_bytes = 0;
        for bytes in std::mem::take(&mut self.held) {
            let block = crate::Block::new(&bytes, 0, 0);
            if let Ok(event) = Event::parse(&block) {
                self.write(&event, out, report)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, event: &Event<'_>, out: &mut Vec<u8>, report: &mut Report) -> Result<()> {
        let Some(info) = event.info() else {
            report.unknown_types = report.unknown_types.saturating_add(1);
            return Ok(());
        };
        let old = schema::event_info_2022(event.event_type);
        if !info.category.is_syscall() {
            if let Some(old) = old {
                return put(event, old, &[], out, report);
            }
            report.left_out(info);
            return Ok(());
        }
        if info.is_enter() {
            return self.write_enter(event, info, old, out, report);
        }
        let enter_seen = self.pending.remove(&event.tid).is_some_and(|t| t == event.event_type.wrapping_sub(1));
        let synthesise = self.layout == Layout::ExitOnly && !enter_seen && !starts_thread(event);
        let pair = self.pairs.get(usize::from(event.event_type)).and_then(Option::as_ref).cloned();
        match pair {
            Some(pair) => {
                if synthesise {
                    report.enters = report.enters.saturating_add(1);
                    put(event, pair.enter, &pair.enter_from, out, report)?;
                }
                put(event, pair.exit, &pair.exit_from, out, report)
            }
            None => put_generic(event, info, synthesise, true, out, report),
        }
    }

    fn write_enter(
        &mut self,
        event: &Event<'_>,
        info: &'static EventInfo,
        old: Option<&'static EventInfo>,
        out: &mut Vec<u8>,
        report: &mut Report,
    ) -> Result<()> {
        if self.pending.len() < MAX_PENDING || self.pending.contains_key(&event.tid) {
            self.pending.insert(event.tid, event.event_type);
        }
        if let Some(old) = old {
            return put(event, old, &[], out, report);
        }
        let exit = usize::from(event.event_type).saturating_add(1);
        match self.pairs.get(exit).and_then(Option::as_ref).map(|p| p.enter) {
            Some(enter) => {
                let from: Vec<From> = enter
                    .params
                    .iter()
                    .map(|p| {
                        let at = info.param_index(p.name).and_then(|n| u8::try_from(n).ok());
                        at.map_or(From::Default, From::Param)
                    })
                    .collect();
                put(event, enter, &from, out, report)
            }
            None => put_generic(event, info, true, false, out, report),
        }
    }
}

/// Whether this is the return of a new thread from the call of its parent. It has no enter: sysdig
/// 0.29.3 would take one for a sign of a thread that it missed, and would not give it its parent's
/// name and fds.
fn starts_thread(event: &Event<'_>) -> bool {
    const CALLS: [u16; 4] =
        [id::SYSCALL_CLONE_20_X, id::SYSCALL_FORK_20_X, id::SYSCALL_VFORK_20_X, id::SYSCALL_CLONE3_X];
    CALLS.contains(&event.event_type) && event.param(0).is_some_and(|res| res == [0; 8])
}

/// Writes `event` as `layout` has it: each parameter from where `from` says (in order if it
/// says nothing), none missing and none too many, because sysdig 0.29.3 does not check.
fn put(
    event: &Event<'_>,
    layout: &'static EventInfo,
    from: &[From],
    out: &mut Vec<u8>,
    report: &mut Report,
) -> Result<()> {
    let stored: Vec<&[u8]> = event.params().collect();
    let now = event.info();
    let mut dynamic = Vec::new();
    let mut unnamed = false;
    let mut params: Vec<&[u8]> = Vec::with_capacity(layout.params.len());
    for (at, param) in layout.params.iter().enumerate() {
        let source = match from.get(at) {
            Some(From::Param(n)) => Some(usize::from(*n)),
            Some(From::Default) => None,
            None => Some(at),
        };
        let bytes = source.and_then(|n| stored.get(n)).copied().unwrap_or_default();
        let kind = source.and_then(|n| now?.params.get(n)).map(|p| p.kind);
        if param.kind == ParamType::Dyn && kind.is_some_and(|k| k != param.kind) && !bytes.is_empty() {
            // The type became fixed since: put the sub type's number back in front.
            // An error instead of an fd has a number of its own: sysdig 0.29.3 ends on a negative fd.
            let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
            let wanted = if negative && kind == Some(ParamType::Fd) { Some(ParamType::Errno) } else { kind };
            let sub = param.dynamic.iter().find(|d| Some(d.kind) == wanted).map_or(0, |d| d.index);
            dynamic.push(sub);
            dynamic.extend_from_slice(bytes);
            params.push(&[]);
            continue;
        }
        let mut bytes = if fits(param, bytes) { bytes } else { default_bytes(param) };
        if param.kind == ParamType::SyscallId && known_code(bytes).is_none() {
            // A generic event as recorded; the enter's native number is kept.
            unnamed = true;
            bytes = &[0, 0];
        }
        params.push(bytes);
    }
    if !dynamic.is_empty()
        && let Some(at) = layout.params.iter().position(|p| p.kind == ParamType::Dyn)
        && let Some(slot) = params.get_mut(at)
    {
        *slot = &dynamic;
    }
    if unnamed && !layout.is_enter() {
        report.unnamed_calls = report.unnamed_calls.saturating_add(1);
    }
    let head = EventHead { event_type: layout.id, flags: event.flags & crate::STATE_ONLY, ..event.head() };
    let before = out.len();
    match encode::event(out, head, &params) {
        Ok(()) if event.is_wide() || out.len().saturating_sub(before) <= MAX_EVENT_BLOCK => {}
        // A parameter of 65,535 bytes that got a byte more, or an event that no reader has room for.
        Ok(()) | Err(Error::TooLarge { .. }) => {
            out.truncate(before);
            report.left_out(layout);
        }
        Err(e) => return Err(e),
    }
    Ok(())
}

/// Whether a reader that believes the type and the counts in it stays within the bytes, and shows
/// something of its own.
fn fits(param: &ParamInfo, bytes: &[u8]) -> bool {
    match decode_param(param, bytes) {
        Value::Malformed { .. }
        | Value::Address(SockAddr::Other { family: 1 | 2 | 10, .. })
        | Value::Tuple(SockTuple::Other { family: 1 | 2 | 10, .. }) => false,
        Value::Absent => default_bytes(param).is_empty(),
        _ => true,
    }
}

/// The code of a system call that sysdig 0.29.3 knows.
fn known_code(bytes: &[u8]) -> Option<u16> {
    let code = u16::from_le_bytes(*bytes.first_chunk()?);
    (code <= LAST_CODE_2022).then_some(code)
}

/// Writes a call that 2022 had no event for as the generic event, by its system call code.
fn put_generic(
    event: &Event<'_>,
    info: &'static EventInfo,
    enter: bool,
    exit: bool,
    out: &mut Vec<u8>,
    report: &mut Report,
) -> Result<()> {
    let Some(code) = info.syscalls.first().copied() else {
        report.left_out(info);
        return Ok(());
    };
    report.generic(info);
    let native = SYSCALLS_X86_64.iter().find(|s| s.code == code).map_or(0, |s| s.number).to_le_bytes();
    let known = if code <= LAST_CODE_2022 { code } else { 0 }.to_le_bytes();
    let head = EventHead { flags: event.flags & crate::STATE_ONLY, ..event.head() };
    if enter {
        report.enters = report.enters.saturating_add(u64::from(exit));
        encode::event(out, EventHead { event_type: id::GENERIC_E, ..head }, &[&known, &native])?;
    }
    if exit {
        encode::event(out, EventHead { event_type: id::GENERIC_X, ..head }, &[&known])?;
    }
    Ok(())
}
