//! Programs that nobody wants to see (state engine section 9).

use crate::engine::checkpoint::{CheckpointError, In, Out};
use scapkit_format::lists::threads::Threads;
use scapkit_format::schema::id;
use scapkit_format::{Event, value};
use std::collections::{BTreeMap, BTreeSet};

/// Most threads that are followed; those beyond are shown.
const MAX_THREADS: usize = 1 << 20;

/// Tells the events of suppressed programs, and of all that they start, from others.
#[derive(Debug)]
pub(crate) struct Suppression {
    names: BTreeSet<Vec<u8>>,
    tids: BTreeSet<i64>,
    /// Thread and parent, of lists whose section has had no event yet.
    listed: Vec<(i64, i64)>,
    /// Events that were held back.
    pub events: u64,
}

impl Suppression {
    /// For these names of programs, as `proc.name` has them; `None` when there are none.
    pub fn new(names: &[String]) -> Option<Box<Suppression>> {
        if names.is_empty() {
            return None;
        }
        let names = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        Some(Box::new(Suppression { names, tids: BTreeSet::new(), listed: Vec::new(), events: 0 }))
    }

    /// A new section has threads of its own.
    pub fn clear(&mut self) {
        self.tids.clear();
        self.listed.clear();
    }

    /// Takes in a list of threads.
    pub fn list(&mut self, list: Threads<'_>) {
        for thread in list.map_while(Result::ok) {
            self.list_one(thread.comm, thread.tid, thread.ptid);
        }
    }

    /// As [`Suppression::list`].
    pub fn list_one(&mut self, comm: &[u8], tid: i64, ptid: i64) {
        if self.names.contains(comm) {
            self.add(tid);
        } else if self.listed.len() < MAX_THREADS {
            self.listed.push((tid, ptid));
        }
    }

    /// Appends names and threads.
    pub fn encode(&self, out: &mut Out) {
        let Suppression { names, tids, listed, events: _ } = self;
        out.usize(names.len());
        for name in names {
            out.slice(name);
        }
        out.usize(tids.len());
        let mut last = None;
        for tid in tids {
            out.key(*tid, last);
            last = Some(*tid);
        }
        out.usize(listed.len());
        for (tid, ptid) in listed {
            out.i64(*tid);
            out.i64(*ptid);
        }
    }

    /// Reads what [`Suppression::encode`] wrote.
    pub fn decode(input: &mut In<'_>) -> Result<Suppression, CheckpointError> {
        let mut read = Suppression { names: BTreeSet::new(), tids: BTreeSet::new(), listed: Vec::new(), events: 0 };
        for _ in 0..input.usize()? {
            read.names.insert(input.slice()?.to_vec());
        }
        let (tids, mut last) = (input.usize()?, None);
        if tids > MAX_THREADS {
            return Err(CheckpointError::Memory);
        }
        for _ in 0..tids {
            let tid = input.key(last)?;
            last = Some(tid);
            read.tids.insert(tid);
        }
        let listed = input.usize()?;
        if listed > MAX_THREADS {
            return Err(CheckpointError::Memory);
        }
        for _ in 0..listed {
            read.listed.push((input.i64()?, input.i64()?));
        }
        Ok(read)
    }

    /// Takes over the threads of another, if it follows the same programs.
    pub fn take_threads(&mut self, other: Suppression) -> bool {
        let same = self.names == other.names;
        if same {
            self.tids = other.tids;
            self.listed = other.listed;
        }
        same
    }

    fn add(&mut self, tid: i64) {
        if self.tids.len() < MAX_THREADS {
            self.tids.insert(tid);
        }
    }

    /// All that suppressed threads of the list have started.
    fn add_descendants(&mut self) {
        let mut children: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (tid, ptid) in self.listed.drain(..) {
            children.entry(ptid).or_default().push(tid);
        }
        let mut parents: Vec<i64> = self.tids.iter().copied().collect();
        while let Some(parent) = parents.pop() {
            // Taken out, so that loops end.
            for child in children.remove(&parent).unwrap_or_default() {
                self.add(child);
                parents.push(child);
            }
        }
    }

    /// Whether nobody is to see an event, of the current schema or one that became none. Follows
    /// threads that start and end.
    pub fn hides(&mut self, event: &Event<'_>) -> bool {
        if !self.listed.is_empty() {
            self.add_descendants();
        }
        let hidden = match event.event_type {
            id::SYSCALL_CLONE_20_X
            | id::SYSCALL_FORK_20_X
            | id::SYSCALL_VFORK_20_X
            | id::SYSCALL_CLONE3_X
            | id::SYSCALL_EXECVE_19_X
            | id::SYSCALL_EXECVEAT_X => {
                let parent = event.param(5).filter(|b| b.len() == 8).map(value::signed);
                let name = event.param(13).and_then(|name| name.split(|b| *b == 0).next());
                let starts = parent.is_some_and(|ptid| self.has(ptid)) || name.is_some_and(|n| self.names.contains(n));
                if starts {
                    self.add(event.tid);
                }
                starts
            }
            // An exit is shown, as upstream has it.
            id::PROCEXIT_1_E => {
                self.tids.remove(&event.tid);
                false
            }
            _ => self.has(event.tid),
        };
        self.events = self.events.saturating_add(u64::from(hidden));
        hidden
    }

    /// Thread 0 is the idle one of each processor.
    fn has(&self, tid: i64) -> bool {
        tid != 0 && self.tids.contains(&tid)
    }
}
