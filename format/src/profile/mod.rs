//! Writer profiles: in which form the blocks of a capture are written.
//!
//! | profile | blocks |
//! |---|---|
//! | `asis` | byte for byte as they were read, damaged stretches included |
//! | `modern` | what libs writes today: V9 and V2 lists, V2 events |
//! | `universal` | what sysdig 0.29.3, libs and Wireshark 4.0 all read |
//!
//! Source: scap-format section 7, compatibility matrix.

mod lists;
mod tables;
mod universal;

use crate::lists::threads::Tail;
use crate::schema::EventInfo;
use crate::write::{BlockMeta, ChunkWriter};
use crate::{Block, BlockType, Content, Event, Result, encode};
use std::collections::{BTreeMap, HashSet};
use universal::Universal;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// Blocks unchanged.
    #[default]
    AsIs,
    /// What libs writes today.
    Modern,
    /// What all known readers read.
    Universal,
}

/// What was changed or left out on the way. Nothing is left out without a count here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Events read.
    pub events_read: u64,
    /// Events written.
    pub events_written: u64,
    /// Enter events made from what their exits carry.
    pub enters: u64,
    /// Calls written as generic events, by event name.
    pub generic: BTreeMap<&'static str, u64>,
    /// Calls recorded as generic events whose code the profile's readers do not know: written without
    /// it.
    pub unnamed_calls: u64,
    /// Events left out because the profile has no form for them, by event name.
    pub left_out: BTreeMap<&'static str, u64>,
    /// Events of types newer than this program's table, left out.
    pub unknown_types: u64,
    /// Events whose contents are broken, left out.
    pub broken: u64,
    /// Blocks with the state of a replay left out. The lists say the same in less detail.
    pub checkpoints: u64,
    /// Blocks of unknown types left out.
    pub unknown_blocks: u64,
    /// Lists after the first event of a section, left out: readers refuse them there.
    pub late_lists: u64,
    /// Fd lists of threads that are in no process list, left out.
    pub orphan_fd_lists: u64,
    /// Strings cut to what readers take.
    pub cut_strings: u64,
    /// Fds whose type was written as "unsupported".
    pub mapped_fds: u64,
    /// Bytes of damaged stretches left out.
    pub damaged_bytes: u64,
}

fn count(map: &mut BTreeMap<&'static str, u64>, info: &'static EventInfo) {
    let n = map.entry(info.name).or_default();
    *n = n.saturating_add(1);
}

impl Report {
    fn left_out(&mut self, info: &'static EventInfo) {
        count(&mut self.left_out, info);
    }

    fn generic(&mut self, info: &'static EventInfo) {
        count(&mut self.generic, info);
    }

    /// Sentences for what a user should know, most important first.
    pub fn sentences(&self) -> Vec<String> {
        let sum = |m: &BTreeMap<&str, u64>| m.values().fold(0u64, |a, b| a.saturating_add(*b));
        let names = |m: &BTreeMap<&str, u64>| {
            let list: Vec<String> = m.iter().map(|(name, n)| format!("{name} {n}")).collect();
            list.join(", ")
        };
        let mut out = Vec::new();
        let mut say = |n: u64, text: String| {
            if n > 0 {
                out.push(text);
            }
        };
        let left = sum(&self.left_out);
        say(left, format!("{left} events left out, the profile has no form for them: {}", names(&self.left_out)));
        say(self.unknown_types, format!("{} events of types unknown to this program left out", self.unknown_types));
        say(self.broken, format!("{} events with broken contents left out", self.broken));
        say(self.damaged_bytes, format!("{} bytes of damaged stretches left out", self.damaged_bytes));
        say(self.checkpoints, format!("{} checkpoint blocks left out", self.checkpoints));
        say(self.unknown_blocks, format!("{} blocks of unknown types left out", self.unknown_blocks));
        say(self.late_lists, format!("{} lists after the first event left out", self.late_lists));
        say(self.orphan_fd_lists, format!("{} fd lists of unknown threads left out", self.orphan_fd_lists));
        say(self.cut_strings, format!("{} strings cut to the readers' limits", self.cut_strings));
        say(self.mapped_fds, format!("{} fds written as type \"unsupported\"", self.mapped_fds));
        say(self.enters, format!("{} enter events made from their exits", self.enters));
        let generic = sum(&self.generic);
        say(generic, format!("{generic} calls written as generic events: {}", names(&self.generic)));
        say(
            self.unnamed_calls,
            format!("{} generic events of calls newer than 2022 lost their name", self.unnamed_calls),
        );
        out
    }
}

/// Writes a capture in a profile. Feed it blocks and events in the order of the file.
pub struct ProfileWriter {
    writer: ChunkWriter,
    profile: Profile,
    universal: Universal,
    tids: HashSet<i64>,
    events_in_section: u64,
    scratch: Vec<u8>,
    report: Report,
}

impl ProfileWriter {
    /// Writes to `writer` in `profile`.
    pub fn new(writer: ChunkWriter, profile: Profile) -> Self {
        ProfileWriter {
            writer,
            profile,
            universal: Universal::new(),
            tids: HashSet::new(),
            events_in_section: 0,
            scratch: Vec::new(),
            report: Report::default(),
        }
    }

    /// The layer below, for flushing.
    pub fn writer(&mut self) -> &mut ChunkWriter {
        &mut self.writer
    }

    /// Takes a block with its contents; an event in it is written as it is.
    ///
    /// # Errors
    /// [`crate::Error::Output`].
    pub fn block(&mut self, block: &Block<'_>, content: &Content<'_>) -> Result<()> {
        if let Content::Event(event) = content {
            return self.event(event, Some(block));
        }
        if self.profile == Profile::AsIs {
            return self.writer.block(block.bytes(), BlockMeta::Other);
        }
        let universal = self.profile == Profile::Universal;
        if let Content::Section(_) = content {
            self.end_section()?;
            self.universal.section();
            self.tids.clear();
            self.events_in_section = 0;
        } else if self.events_in_section > 0 && !matches!(content, Content::Unknown | Content::Broken(_)) {
            self.report.late_lists = self.report.late_lists.saturating_add(1);
            return Ok(());
        }
        let (out, report) = (&mut self.scratch, &mut self.report);
        out.clear();
        match content {
            Content::Section(_) => encode::section_header(out),
            Content::Machine(machine) => machine.encode(out),
            Content::Threads(list) => {
                let tail = if universal { Tail::OLD } else { Tail::NEW };
                let tids = &mut self.tids;
                lists::threads(list, tail, &mut report.cut_strings, |tid| _ = tids.insert(tid), out)?;
            }
            Content::Fds(list) if universal && !self.tids.contains(&list.tid) => {
                report.orphan_fd_lists = report.orphan_fd_lists.saturating_add(1);
            }
            Content::Fds(list) => {
                lists::fds(list, universal, &mut report.cut_strings, &mut report.mapped_fds, out)?;
            }
            Content::Interfaces(list) => lists::interfaces(list, &mut report.cut_strings, out)?,
            Content::Users(list) => lists::users(list, &mut report.cut_strings, out)?,
            Content::Broken(_) if block.block_type.is_event() => report.broken = report.broken.saturating_add(1),
            Content::Unknown | Content::Broken(_) => report.unknown_blocks = report.unknown_blocks.saturating_add(1),
            Content::Checkpoint(body) if !universal => encode::block(out, block.block_type, body)?,
            Content::Checkpoint(_) => report.checkpoints = report.checkpoints.saturating_add(1),
            Content::Event(_) => {}
        }
        if out.is_empty() { Ok(()) } else { self.writer.block(out, BlockMeta::Other) }
    }

    /// Takes an event: the one of `block`, or, without a block, one that a converter made.
    ///
    /// # Errors
    /// [`crate::Error::Output`].
    pub fn event(&mut self, event: &Event<'_>, block: Option<&Block<'_>>) -> Result<()> {
        self.events_in_section = self.events_in_section.saturating_add(1);
        self.report.events_read = self.report.events_read.saturating_add(1);
        if let (Profile::AsIs, Some(block)) = (self.profile, block) {
            return self.put_event(block.bytes(), event.ts);
        }
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let result = match (self.profile, event.info()) {
            (Profile::Universal, _) => self.universal.event(event, &mut out, &mut self.report),
            (_, Some(_)) => encode::event_of(&mut out, event),
            // The lengths of an unknown type cannot be told from its data: keep its block's body. The
            // block's own trailer may be wrong.
            (_, None) => {
                let unknown = &mut self.report.unknown_types;
                *unknown = unknown.saturating_add(u64::from(block.is_none()));
                block.map_or(Ok(()), |b| encode::block(&mut out, b.block_type, b.body()))
            }
        };
        let result = result.and_then(|()| self.put_events(&out));
        self.scratch = out;
        result
    }

    /// Takes bytes of a damaged stretch. Only `asis` keeps them.
    ///
    /// # Errors
    /// [`crate::Error::Output`].
    pub fn skipped(&mut self, bytes: &[u8]) -> Result<()> {
        if self.profile == Profile::AsIs {
            return self.writer.raw(bytes);
        }
        self.report.damaged_bytes = self.report.damaged_bytes.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// Writes what is held back and gives the layer below, to be finished, and the report.
    ///
    /// # Errors
    /// [`crate::Error::Output`].
    pub fn finish(mut self) -> Result<(ChunkWriter, Report)> {
        self.end_section()?;
        Ok((self.writer, self.report))
    }

    fn end_section(&mut self) -> Result<()> {
        if self.profile != Profile::Universal {
            return Ok(());
        }
        let mut out = std::mem::take(&mut self.scratch);
        out.clear();
        let result = self.universal.end(&mut out, &mut self.report).and_then(|()| self.put_events(&out));
        self.scratch = out;
        result
    }

    /// Hands the event blocks in `bytes` on, one by one.
    fn put_events(&mut self, mut bytes: &[u8]) -> Result<()> {
        while let Some(len) = bytes.get(4..8).and_then(|l| l.first_chunk()).map(|l| u32::from_le_bytes(*l) as usize) {
            let Some((one, rest)) = bytes.split_at_checked(len) else {
                break;
            };
            let block = Block::new(one, 0, 0);
            let ts = Event::parse(&block).map_or(0, |e| e.ts);
            self.put_event(one, ts)?;
            bytes = rest;
        }
        Ok(())
    }

    fn put_event(&mut self, bytes: &[u8], ts: u64) -> Result<()> {
        self.report.events_written = self.report.events_written.saturating_add(1);
        self.writer.block(bytes, BlockMeta::Event { number: self.report.events_written, ts })
    }
}

impl BlockType {
    /// Whether readers refuse a block of this type after the first event of a section.
    pub fn must_precede_events(self) -> bool {
        !self.is_event() && self != BlockType::SHB
    }
}
