//! Which events are recorded, and which the kernel must be asked for.

use super::block::{self, Head};
use crate::Origin;
use scapkit_format::schema::{self, EventInfo, id};
use scapkit_format::{Content, Event, STATE_ONLY};
use scapkit_replay::filter::TypeSet;
use scapkit_replay::{Filter, Interest, Played, Player, ReplayOptions, TextOptions};
use std::sync::LazyLock;

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Recorded.
    Take,
    /// Recorded for the state only: readers do not show it.
    StateOnly,
    /// Not recorded.
    Leave,
}

/// Types that are recorded although a filter does not want them, and how.
static UNASKED: LazyLock<Vec<Verdict>> = LazyLock::new(|| schema::EVENTS.iter().map(unasked).collect());

fn unasked(info: &EventInfo) -> Verdict {
    if info.category.is_internal() || info.category.is_meta() {
        // Drops, containers, users: about the capture itself.
        Verdict::Take
    } else if changes_state(info) {
        Verdict::StateOnly
    } else {
        Verdict::Leave
    }
}

/// Whether later events are understood by what events of this type say.
fn changes_state(info: &EventInfo) -> bool {
    info.flags.modifies_state() || matches!(info.id, id::PROCEXIT_1_E)
}

/// Types whose events no driver writes any more, or that are none.
fn is_obsolete(info: &EventInfo) -> bool {
    info.flags.is_unused() || info.flags.is_old_version()
}

/// The event types that a recorder must ask the kernel for, in ascending order, when only what one of these
/// filters matches is wanted: those that can match, and those that change the state of threads and fds or
/// tell of the capture itself. `None`: all.
pub fn needed_types(filters: &[&Filter]) -> Option<Vec<u16>> {
    if filters.is_empty() || filters.iter().any(|f| f.types().is_all()) {
        return None;
    }
    let wanted = |info: &EventInfo| filters.iter().any(|f| f.types().contains(info.id));
    let needed = schema::EVENTS.iter().filter(|info| !is_obsolete(info));
    Some(needed.filter(|info| unasked(info) != Verdict::Leave || wanted(info)).map(|info| info.id).collect())
}

/// The state, and what is asked of each event.
pub(super) struct Tracker {
    player: Player,
    filter: Option<Filter>,
    trigger: Option<Filter>,
    text: TextOptions,
}

/// What was found of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub verdict: Verdict,
    /// The trigger matched.
    pub triggered: bool,
}

impl Tracker {
    /// Knows nothing yet.
    pub fn new(filter: Option<Filter>, trigger: Option<Filter>) -> Tracker {
        let options =
            ReplayOptions { interest: interest(filter.as_ref(), trigger.as_ref()), ..ReplayOptions::default() };
        Tracker { player: Player::new(options), filter, trigger, text: TextOptions::default() }
    }

    pub fn player(&self) -> &Player {
        &self.player
    }

    /// Takes in the start of the recording.
    pub fn start(&mut self, lists: &[u8]) {
        play_blocks(&mut self.player, lists);
    }

    /// Takes in an event; `None` when it is none.
    #[inline]
    pub fn event(&mut self, origin: Origin, head: Head, bytes: &[u8]) -> Option<Seen> {
        let event = Event::parse_v2(bytes, origin.cpu, origin.flags).ok()?;
        let (mut matched, mut triggered) = (self.filter.is_none(), false);
        if let Played::Event(step) = self.player.play(&Content::Event(event))
            && (self.filter.is_some() || self.trigger.is_some())
        {
            let context = step.context(step.event.ts, &self.text);
            if let Some(filter) = &mut self.filter {
                matched = filter.matches(&context);
            }
            if let Some(trigger) = &mut self.trigger {
                triggered = trigger.matches(&context);
            }
        }
        let unasked = || UNASKED.get(usize::from(head.event_type)).copied().unwrap_or(Verdict::Leave);
        // What triggers is what is looked for.
        let verdict = match (origin.flags & STATE_ONLY != 0, matched || triggered) {
            (true, _) => Verdict::StateOnly,
            (false, true) => Verdict::Take,
            (false, false) => unasked(),
        };
        Some(Seen { verdict, triggered })
    }
}

/// Plays blocks that this program made.
pub(super) fn play_blocks(player: &mut Player, blocks: &[u8]) {
    let limits = scapkit_format::Limits { max_block: u32::MAX, ..scapkit_format::Limits::default() };
    for block in super::piece::each_block(blocks) {
        player.play(&Content::of(&block, &limits));
    }
}

/// The events that at least one of the two may match.
fn interest(filter: Option<&Filter>, trigger: Option<&Filter>) -> Interest {
    match (filter, trigger) {
        (None, None) => Interest::default().types([]),
        (Some(one), None) | (None, Some(one)) => one.interest(),
        (Some(a), Some(b)) if a.types().is_all() || b.types().is_all() => Interest::default(),
        (Some(a), Some(b)) => {
            let either = |t: &u16| a.types().contains(*t) || b.types().contains(*t);
            Interest::default().types((0..TypeSet::CAPACITY).filter(either))
        }
    }
}

/// As [`block::head`]; counts what is no event.
#[inline]
pub(super) fn head_or_count(bytes: &[u8], broken: &mut u64) -> Option<Head> {
    let head = block::head(bytes);
    *broken += u64::from(head.is_none());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(text: &str) -> Option<Vec<u16>> {
        needed_types(&[&Filter::compile(text).unwrap()])
    }

    #[test]
    fn the_kernel_is_asked_for_what_matches_and_for_what_changes_the_state() {
        let asked = types("evt.type=read").unwrap();
        for wanted in [
            id::SYSCALL_READ_X,
            id::SYSCALL_CLONE_20_X,
            id::SYSCALL_CLONE3_X,
            id::SYSCALL_FORK_20_X,
            id::SYSCALL_VFORK_20_X,
            id::SYSCALL_EXECVE_19_X,
            id::SYSCALL_EXECVEAT_X,
            id::PROCEXIT_1_E,
            id::SYSCALL_OPENAT_2_X,
            id::SYSCALL_CLOSE_X,
            id::SYSCALL_CHDIR_X,
            id::SOCKET_CONNECT_X,
        ] {
            assert!(asked.contains(&wanted), "{wanted}");
        }
        assert!(!asked.contains(&id::SYSCALL_FUTEX_X) && !asked.contains(&id::SYSCALL_WRITE_X));
        assert!(asked.is_sorted());
    }

    #[test]
    fn everything_is_asked_for_when_any_type_may_match() {
        assert_eq!(types("proc.name=cat"), None);
        assert_eq!(needed_types(&[]), None);
        let (a, b) = (Filter::compile("evt.type=futex").unwrap(), Filter::compile("evt.type=write").unwrap());
        let both = needed_types(&[&a, &b]).unwrap();
        assert!(both.contains(&id::SYSCALL_FUTEX_X) && both.contains(&id::SYSCALL_WRITE_X));
        assert_eq!(needed_types(&[&a, &Filter::compile("fd.num=3").unwrap()]), None);
    }
}
