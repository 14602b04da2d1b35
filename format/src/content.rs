//! What a block holds, decoded.

use crate::lists::fds::Fds;
use crate::lists::interfaces::Interfaces;
use crate::lists::machine;
use crate::lists::threads::Threads;
use crate::lists::users::Users;
use crate::raw::{MachineInfo, SectionHeader};
use crate::{Block, BlockClass, DamageKind, Event, Limits};
use zerocopy::FromBytes;

/// The typed contents of a block.
#[derive(Debug, Clone)]
pub enum Content<'a> {
    /// A new section: all state starts anew, event numbers go on.
    Section(SectionHeader),
    /// The machine.
    Machine(&'a MachineInfo),
    /// Threads.
    Threads(Threads<'a>),
    /// Fds of a thread.
    Fds(Fds<'a>),
    /// Interface addresses.
    Interfaces(Interfaces<'a>),
    /// Users and groups.
    Users(Users<'a>),
    /// An event; types beyond the table included.
    Event(Event<'a>),
    /// The body, padding included, of a block with the state of a replay (see the replay crate).
    Checkpoint(&'a [u8]),
    /// A block type that this program does not know.
    Unknown,
    /// The framing is right, the contents are not.
    Broken(DamageKind),
}

impl<'a> Content<'a> {
    /// Decodes a block.
    #[inline]
    pub fn of(block: &Block<'a>, limits: &Limits) -> Self {
        let body = block.body();
        let decoded = match block.block_type.class() {
            BlockClass::Event { .. } => Event::parse(block).map(Content::Event),
            BlockClass::Section => match SectionHeader::read_from_prefix(body) {
                Ok((header, _)) => Ok(Content::Section(header)),
                Err(_) => Err(DamageKind::List {
                    list: "section header",
                    what: "size",
                    entry: 0,
                    wanted: 16,
                    found: body.len() as u64,
                }),
            },
            BlockClass::Machine => machine::parse(body).map(Content::Machine),
            BlockClass::Threads { version } => Ok(Content::Threads(Threads::new(body, version, limits))),
            BlockClass::Fds { version } => Fds::new(body, version, limits).map(Content::Fds),
            BlockClass::Interfaces { version } => Ok(Content::Interfaces(Interfaces::new(body, version, limits))),
            BlockClass::Users { version } => Ok(Content::Users(Users::new(body, version, limits))),
            BlockClass::Checkpoint => Ok(Content::Checkpoint(body)),
            BlockClass::Unknown => Ok(Content::Unknown),
        };
        decoded.unwrap_or_else(Content::Broken)
    }

    /// The first thing wrong with a list.
    pub fn list_damage(&self) -> Option<DamageKind> {
        match self {
            Content::Threads(l) => l.clone().find_map(Result::err),
            Content::Fds(l) => l.clone().find_map(Result::err),
            Content::Interfaces(l) => l.clone().find_map(Result::err),
            Content::Users(l) => l.clone().find_map(Result::err),
            _ => None,
        }
    }
}
