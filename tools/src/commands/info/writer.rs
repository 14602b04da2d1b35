//! A guess at the program that wrote a capture, from what only some versions wrote.
//!
//! The schema version is not stored (scap-format 5.1); block layouts and event layouts tell.

use scapkit_format::lists::threads::Tail;
use scapkit_format::schema;
use scapkit_format::{Block, BlockClass, Content};

/// Traits seen so far.
#[derive(Debug, Default)]
pub struct Traits {
    thread_list: u8,
    new_tail: bool,
    old_tail: u8,
    v1_events: bool,
    old_enters: u64,
    exits: u64,
    highest_type: u16,
    merged_exits: bool,
    /// Events of threads whose ids are above 32 bits.
    sandboxes: bool,
}

impl Traits {
    pub fn block(&mut self, block: &Block<'_>, content: &Content<'_>) {
        match content {
            Content::Threads(list) => {
                self.thread_list = self.thread_list.max(list.version());
                match list.clone().flatten().next().map(|t| t.tail) {
                    Some(Tail::New(_)) => self.new_tail = true,
                    Some(Tail::Old(n)) => self.old_tail = self.old_tail.max(n),
                    None => {}
                }
            }
            Content::Event(event) => {
                self.v1_events |= matches!(block.block_type.class(), BlockClass::Event { v2: false, .. });
                let Some(info) = event.info() else { return };
                self.sandboxes |= event.tid >= 1 << 32;
                self.highest_type = self.highest_type.max(event.event_type);
                if !info.category.is_syscall() {
                    return;
                }
                if info.is_enter() {
                    self.old_enters += u64::from(info.flags.is_old_version());
                } else {
                    self.exits += 1;
                    let then = schema::event_info_2022(event.event_type).map_or(0, |i| i.params.len());
                    self.merged_exits |= event.nparams as usize > then && info.flags.is_converter_managed();
                }
            }
            _ => {}
        }
    }

    /// The guess, in words.
    pub fn guess(&self) -> String {
        if self.sandboxes {
            // Upstream's own recorder did so too, with other ids.
            return "a recorder of gVisor's sandboxes".to_owned();
        }
        let program = match (self.thread_list, self.new_tail) {
            (0, _) => "no process list",
            (1..=3, _) => "sysdig of 2014",
            (4, _) => "sysdig of 2014 to 2015",
            (5, _) => "sysdig of 2016",
            (6..=8, _) => "sysdig of 2016 to 2018",
            (_, false) if self.old_tail >= 29 => "libs before 0.10, or a universal profile",
            (_, false) if self.old_tail >= 4 => "sysdig or libs of 2020 to 2022",
            (_, false) => "sysdig of 2018 to 2020",
            (_, true) => "libs 0.10 or later (2022-12)",
        };
        let events = match (self.old_enters, self.merged_exits) {
            _ if self.exits == 0 => "",
            (0, true) => "; events of schema 4 (exits only, 2025-10 or later)",
            (_, true) => "; events of schema 2 or 3 (enter and exit)",
            (_, false) if self.v1_events => "; events of before 2018-08 (enter and exit, no counts)",
            (_, false) => "; events of the 2022 schema or older (enter and exit)",
        };
        format!("{program}{events}")
    }
}
