//! How an event that ends in today's form is told in the layout of 2022: derived from the
//! conversion table, read backwards.

use crate::schema::{self, Action, CONVERSIONS, EVENTS, EVENTS_2022, EventInfo, Instruction, ParamInfo, id};

/// Where a parameter of a written event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    /// Parameter of the event at hand.
    Param(u8),
    /// Nowhere: the default of the parameter's type.
    Default,
}

/// The 2022 pair that stands for a current exit event.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub enter: &'static EventInfo,
    pub exit: &'static EventInfo,
    /// One per parameter of `enter`, taken from the current exit.
    pub enter_from: Vec<From>,
    /// One per parameter of `exit`, taken from the current exit.
    pub exit_from: Vec<From>,
}

/// For every current exit event type its 2022 pair; `None` where 2022 had none.
pub(super) fn pairs() -> Vec<Option<Pair>> {
    EVENTS.iter().map(pair).collect()
}

fn pair(event: &'static EventInfo) -> Option<Pair> {
    if event.is_enter() || !event.category.is_syscall() {
        return None;
    }
    let (exit, exit_from, mut enter_from) = match schema::event_info_2022(event.id) {
        Some(exit) => {
            let same = (0u8..).take(exit.params.len()).map(From::Param).collect();
            (exit, same, merged_enter_params(event.id, exit.params.len()))
        }
        None => replaced(event.id).or_else(|| ancestor(event))?,
    };
    let enter = EVENTS_2022.get(usize::from(exit.id).checked_sub(1)?)?;
    enter_from.resize(enter.params.len(), From::Default);
    for (param, from) in enter.params.iter().zip(&mut enter_from) {
        // What no rule copied may still be there under its own name: open's flags, mode, ...
        if *from == From::Default
            && let Some(at) = event.param_index(param.name)
            && let Ok(at) = u8::try_from(at)
        {
            *from = From::Param(at);
        }
    }
    Some(Pair { enter, exit, enter_from, exit_from })
}

/// Which parameter of the exit event holds which parameter of its enter event: the rules that
/// appended `ENTER` parameters, from `nparams` on.
fn merged_enter_params(event: u16, mut nparams: usize) -> Vec<From> {
    let mut from = Vec::new();
    while let Some(rule) = schema::conversion(event, nparams) {
        if rule.action != Action::Add {
            break;
        }
        for (k, instruction) in rule.instructions.iter().enumerate() {
            if let Instruction::Enter { param, .. } = instruction {
                set(&mut from, *param, nparams.saturating_add(k));
            }
        }
        nparams = nparams.saturating_add(rule.instructions.len());
    }
    from
}

/// The event type that `event` replaced, if 2022 had it: its parameters in terms of `event`'s.
fn replaced(event: u16) -> Option<(&'static EventInfo, Vec<From>, Vec<From>)> {
    let rule = CONVERSIONS
        .iter()
        .filter(|c| c.action == Action::Become(event))
        .rfind(|c| schema::event_info_2022(c.event).is_some_and(|e| e.params.len() == usize::from(c.nparams)))?;
    let old = schema::event_info_2022(rule.event)?;
    let (mut exit, mut enter) = (Vec::new(), Vec::new());
    for (k, instruction) in rule.instructions.iter().enumerate() {
        match instruction {
            Instruction::Old(param) => set(&mut exit, *param, k),
            Instruction::Enter { param, .. } => set(&mut enter, *param, k),
            _ => {}
        }
    }
    exit.resize(old.params.len(), From::Default);
    Some((old, exit, enter))
}

/// Calls that got an event of their own after 2022, and the exit event that drivers of 2022 told them with.
const ANCESTORS: [(u16, u16); 7] = [
    (id::SYSCALL_DUP_1_X, id::SYSCALL_DUP_X),
    (id::SYSCALL_DUP2_X, id::SYSCALL_DUP_X),
    (id::SYSCALL_DUP3_X, id::SYSCALL_DUP_X),
    (id::SYSCALL_PIPE2_X, id::SYSCALL_PIPE_X),
    (id::SYSCALL_EVENTFD2_X, id::SYSCALL_EVENTFD_X),
    (id::SYSCALL_SIGNALFD4_X, id::SYSCALL_SIGNALFD_X),
    (id::SYSCALL_INOTIFY_INIT1_X, id::SYSCALL_INOTIFY_INIT_X),
];

/// The event that told of this call in 2022: parameters go by their names. Without it what follows would be told
/// with the wrong files: redirections of a shell are dup2 and pipe2.
fn ancestor(event: &'static EventInfo) -> Option<(&'static EventInfo, Vec<From>, Vec<From>)> {
    let (_, old) = ANCESTORS.iter().find(|(now, _)| *now == event.id)?;
    let exit = schema::event_info_2022(*old)?;
    let enter = EVENTS_2022.get(usize::from(*old).checked_sub(1)?)?;
    let from = |param: &ParamInfo, is_enter: bool| {
        // The descriptor that a copy is made of was in the enter event, as `fd`.
        let name =
            if is_enter && param.name == "fd" && event.param_index("oldfd").is_some() { "oldfd" } else { param.name };
        let at = event.param_index(name).and_then(|at| u8::try_from(at).ok());
        at.map_or(From::Default, From::Param)
    };
    let exit_from = exit.params.iter().map(|p| from(p, false)).collect();
    Some((exit, exit_from, enter.params.iter().map(|p| from(p, true)).collect()))
}

fn set(list: &mut Vec<From>, param: u8, source: usize) {
    let at = usize::from(param);
    if list.len() <= at {
        list.resize(at.saturating_add(1), From::Default);
    }
    if let (Some(slot), Ok(source)) = (list.get_mut(at), u8::try_from(source)) {
        *slot = From::Param(source);
    }
}

/// The bytes of a parameter that has none: zeros, but all ones for ids and for fds and pids, so
/// that nothing unknown is taken for root, stdin or pid 0. For strings the text that old drivers
/// wrote for a null pointer (section 4): of an empty one sysdig 0.29.3 shows what it showed last.
/// Empty for other types of variable length, but a list of no fds is its count.
pub(super) fn default_bytes(param: &ParamInfo) -> &'static [u8] {
    use schema::ParamType as P;
    match param.kind {
        P::CharBuf | P::FsPath | P::FsRelPath => return b"(NULL)\0",
        P::FdList => return &[0; 2],
        _ => {}
    }
    let ones = matches!(param.kind, P::Uid | P::Gid | P::Fd | P::Pid | P::Fd32 | P::Pid32);
    let all: &'static [u8; 16] = if ones { &[0xFF; 16] } else { &[0; 16] };
    param.kind.fixed_size().and_then(|n| all.get(..n)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::id;

    fn named(id: u16) -> (String, String) {
        let pair = pair(&EVENTS[usize::from(id)]).unwrap();
        let show = |info: &EventInfo, from: &[From]| {
            let names = info.params.iter().zip(from).map(|(p, f)| match f {
                From::Param(n) => format!("{}<-{}", p.name, EVENTS[usize::from(id)].params[usize::from(*n)].name),
                From::Default => format!("{}<-default", p.name),
            });
            format!("{} {}", info.constant, names.collect::<Vec<_>>().join(" "))
        };
        (show(pair.enter, &pair.enter_from), show(pair.exit, &pair.exit_from))
    }

    #[test]
    fn enter_parameters_are_found_in_the_exit() {
        let (enter, exit) = named(id::SYSCALL_READ_X);
        assert_eq!(enter, "SYSCALL_READ_E fd<-fd size<-size");
        assert_eq!(exit, "SYSCALL_READ_X res<-res data<-data");
        assert_eq!(
            named(id::SYSCALL_OPENAT_2_X).0,
            "SYSCALL_OPENAT_2_E dirfd<-dirfd name<-name flags<-flags mode<-mode"
        );
        assert_eq!(named(id::SYSCALL_EXECVE_19_X).0, "SYSCALL_EXECVE_19_E filename<-filename");
        assert_eq!(named(id::SOCKET_CONNECT_X).0, "SOCKET_CONNECT_E fd<-fd addr<-addr");
        assert_eq!(named(id::GENERIC_X).0, "GENERIC_E ID<-ID nativeID<-nativeID");
    }

    #[test]
    fn replaced_types_are_told_as_the_ones_they_replaced() {
        let (enter, exit) = named(id::SOCKET_ACCEPT4_6_X);
        assert_eq!(enter, "SOCKET_ACCEPT4_5_E flags<-flags");
        assert!(exit.starts_with("SOCKET_ACCEPT4_5_X fd<-fd tuple<-tuple"), "{exit}");
        assert_eq!(named(id::SYSCALL_DUP_1_X).0, "SYSCALL_DUP_E fd<-oldfd");
        assert!(pair(&EVENTS[usize::from(id::SYSCALL_MEMFD_CREATE_X)]).is_none());
    }

    #[test]
    fn every_pair_has_a_source_for_every_parameter() {
        for pair in pairs().into_iter().flatten() {
            assert_eq!(pair.enter_from.len(), pair.enter.params.len(), "{}", pair.enter);
            assert_eq!(pair.exit_from.len(), pair.exit.params.len(), "{}", pair.exit);
            assert_eq!(pair.enter.id + 1, pair.exit.id);
        }
    }
}
