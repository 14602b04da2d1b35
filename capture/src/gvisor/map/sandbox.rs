//! What is known of a sandbox: its threads, containers and bound sockets.
//!
//! All of it comes from the sandbox, so everything is bounded: what does not fit in the [`Room`] that all sandboxes
//! share is not kept, and events about it say less.

use super::address::Address;
use crate::gvisor::raw::Arch;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Most bytes of state kept for all sandboxes.
const ROOM: usize = 256 << 20;
/// Most bytes of a text that is kept: names of files and arguments, as drivers keep them.
pub(super) const MAX_TEXT: usize = 4096;
/// Rough bytes that a thread, a container or an address takes beside its texts.
const BASE: usize = 384;
/// Nobody: what an id of a user or group is when it is not known.
pub(super) const NOBODY: u32 = u32::MAX;
/// Most children that a thread made and that its call has not told of yet.
const MAX_CREATED: usize = 16;

/// Bytes of state that may still be kept.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Room(ROOM)
    }
}

impl Room {
    fn take(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.0;
        if fits {
            self.0 -= bytes;
        }
        fits
    }

    fn give(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(bytes);
    }
}

/// What a process runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// First argument.
    pub exe: Box<[u8]>,
    /// The others, each with its NUL.
    pub args: Box<[u8]>,
}

/// A container of the sandbox.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    /// As runsc was told.
    pub id: Box<[u8]>,
    /// Its first thread; 0 when it was there before the session.
    pub init: i32,
    /// When that was started, ns since the epoch.
    pub start: u64,
}

/// What `sentry/execve` told of a new image, until the call ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Loaded {
    pub ts: u64,
    pub path: Box<[u8]>,
    pub exe: Box<[u8]>,
    pub args: Box<[u8]>,
    pub env: Box<[u8]>,
    pub ino: u64,
    pub ctime: u64,
    /// Flags of the event (`execve_flags`).
    pub flags: u32,
}

/// The end of a raw call whose other message, with strings, may still come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub ts: u64,
    pub number: u64,
    pub args: [u64; 6],
    pub res: i64,
}

/// A thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Thread {
    /// Id of its process.
    pub group: i32,
    /// Who made its process; 0 when not known, or nobody of the sandbox.
    pub parent: i32,
    pub container: Arc<Container>,
    pub comm: Box<[u8]>,
    pub image: Arc<Image>,
    /// Effective ids; -1 when not known.
    pub uid: u32,
    pub gid: u32,
    /// Process group and session; 0 when not known.
    pub pgid: i32,
    pub sid: i32,
    /// Most open files; -1 when not known.
    pub fdlimit: i64,
    /// Last working directory that was told; empty when not known.
    pub cwd: Box<[u8]>,
    /// Number of the call that it is in; `u64::MAX` when not known.
    pub call: u64,
    /// Threads that it made in this call.
    pub created: Vec<i32>,
    pub loaded: Option<Box<Loaded>>,
    pub held: Option<Held>,
    /// Its next end is that of the leader which another thread has replaced by an exec.
    pub replaced: bool,
    /// Bytes taken from the room.
    pub cost: usize,
}

impl Thread {
    /// Of which only the process is known.
    pub fn unknown(group: i32) -> Thread {
        Thread { group, uid: NOBODY, gid: NOBODY, fdlimit: -1, call: u64::MAX, ..Thread::default() }
    }

    fn wanted(&self) -> usize {
        let loaded = self.loaded.as_ref().map_or(0, |l| l.path.len() + l.exe.len() + l.args.len() + l.env.len());
        BASE + self.comm.len() + self.image.exe.len() + self.image.args.len() + self.cwd.len() + loaded
    }

    /// Keeps the id of a thread that it made.
    pub fn made(&mut self, child: i32) {
        if self.created.len() < MAX_CREATED {
            self.created.push(child);
        }
    }
}

/// Whether calls of a number come in two messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Twin {
    /// A message with strings follows the raw one.
    Follows,
    /// It does not.
    Alone,
}

/// A sandbox.
#[derive(Debug)]
pub(super) struct Sandbox {
    /// What makes its ids unique, above 32 bits.
    pub serial: u32,
    /// Open connections.
    pub connections: u32,
    /// Time of its last message, ns since the epoch.
    pub last: u64,
    pub arch: Option<Arch>,
    pub threads: BTreeMap<i32, Thread>,
    /// Process and id of every thread.
    members: BTreeSet<(i32, i32)>,
    pub containers: BTreeMap<Box<[u8]>, Arc<Container>>,
    /// A container of which no event has told, as there was no time yet.
    pub untold: Option<Box<[u8]>>,
    /// Addresses that sockets were bound to, by process and fd.
    addresses: BTreeMap<(i32, i32), Address>,
    pub twins: BTreeMap<u64, Twin>,
    /// Raw calls that are held, oldest first; those that were given meanwhile too.
    pub holding: VecDeque<(u64, i32)>,
}

impl Sandbox {
    pub fn new(serial: u32) -> Sandbox {
        Sandbox {
            serial,
            connections: 0,
            last: 0,
            arch: None,
            threads: BTreeMap::new(),
            members: BTreeSet::new(),
            containers: BTreeMap::new(),
            untold: None,
            addresses: BTreeMap::new(),
            twins: BTreeMap::new(),
            holding: VecDeque::new(),
        }
    }

    /// An id of the sandbox made unique; that of no thread when it is 0.
    pub fn tid(&self, id: i32) -> i64 {
        i64::from(self.serial) << 32 | i64::from(id.cast_unsigned())
    }

    /// The same for a parent or group; 0 when there is none.
    pub fn id_or_none(&self, id: i32) -> i64 {
        if id == 0 { 0 } else { self.tid(id) }
    }

    /// The architecture that numbers of calls are of.
    pub fn arch(&self) -> Arch {
        self.arch.unwrap_or_default()
    }

    /// Adds or replaces a thread, if there is room.
    pub fn keep(&mut self, id: i32, mut thread: Thread, room: &mut Room) -> bool {
        self.forget(id, room);
        thread.cost = thread.wanted();
        let kept = room.take(thread.cost);
        if kept {
            self.members.insert((thread.group, id));
            self.threads.insert(id, thread);
        }
        kept
    }

    /// To be called when texts of a thread have changed: accounts for them. Without room they are dropped.
    pub fn account(&mut self, id: i32, room: &mut Room) {
        let Some(thread) = self.threads.get_mut(&id) else { return };
        room.give(thread.cost);
        if !room.take(thread.wanted()) {
            thread.image = Arc::default();
            thread.loaded = None;
            thread.cwd = Box::default();
            // It is smaller than what was given back, as texts only come in between.
            room.take(thread.wanted());
        }
        thread.cost = thread.wanted();
    }

    /// Removes a thread.
    pub fn forget(&mut self, id: i32, room: &mut Room) -> Option<Thread> {
        let thread = self.threads.remove(&id)?;
        room.give(thread.cost);
        self.members.remove(&(thread.group, id));
        Some(thread)
    }

    /// Removes what belongs to a process that has no thread left.
    pub fn forget_process(&mut self, group: i32, room: &mut Room) {
        while let Some((key, _)) = self.addresses.range((group, i32::MIN)..=(group, i32::MAX)).next() {
            let key = *key;
            self.addresses.remove(&key);
            room.give(BASE);
        }
    }

    /// Gives back all that the sandbox has taken.
    pub fn end(&mut self, room: &mut Room) {
        room.give(self.threads.values().map(|t| t.cost).sum());
        room.give(self.addresses.len() * BASE);
        room.give(self.containers.keys().map(|id| BASE + id.len()).sum());
        self.threads.clear();
        self.members.clear();
        self.addresses.clear();
        self.containers.clear();
    }

    /// The leader of a thread's process, where it is known; else the thread.
    pub fn leader(&self, id: i32) -> Option<&Thread> {
        let thread = self.threads.get(&id)?;
        self.threads.get(&thread.group).or(Some(thread))
    }

    /// The same, to change it.
    pub fn leader_mut(&mut self, id: i32) -> Option<&mut Thread> {
        let group = self.threads.get(&id)?.group;
        let key = if self.threads.contains_key(&group) { group } else { id };
        self.threads.get_mut(&key)
    }

    /// The parent of a thread's process as of now: the one that made it, or, if that has ended, the first thread
    /// of the container. 0 when it is not known.
    pub fn parent_of(&self, thread: &Thread) -> i32 {
        let init = thread.container.init;
        if thread.parent == 0 || self.threads.contains_key(&thread.parent) {
            thread.parent
        } else if init != thread.group && self.threads.contains_key(&init) {
            init
        } else {
            0
        }
    }

    /// A container by its id; added when it is new and there is room.
    pub fn container(&mut self, id: &[u8], room: &mut Room) -> (Arc<Container>, bool) {
        let id = id.get(..MAX_TEXT).unwrap_or(id);
        if let Some(known) = self.containers.get(id) {
            return (Arc::clone(known), false);
        }
        let id: Box<[u8]> = id.into();
        let container = Arc::new(Container { id: id.clone(), ..Container::default() });
        let kept = room.take(BASE + id.len());
        if kept {
            self.containers.insert(id, Arc::clone(&container));
        }
        (container, kept)
    }

    /// Remembers what a socket is bound to.
    pub fn bind(&mut self, group: i32, fd: i32, address: Address, room: &mut Room) {
        if self.addresses.contains_key(&(group, fd)) || room.take(BASE) {
            self.addresses.insert((group, fd), address);
        }
    }

    /// What a socket is bound to, by this process or the one that it has the socket from.
    pub fn bound(&self, group: i32, fd: i32) -> Option<&Address> {
        const GENERATIONS: usize = 8;
        let mut group = group;
        for _ in 0..GENERATIONS {
            if let Some(address) = self.addresses.get(&(group, fd)) {
                return Some(address);
            }
            group = self.threads.get(&group)?.parent;
        }
        None
    }

    /// Forgets what a socket was bound to.
    pub fn closed(&mut self, group: i32, fd: i32, room: &mut Room) {
        if self.addresses.remove(&(group, fd)).is_some() {
            room.give(BASE);
        }
    }

    /// Threads of a process, in ascending order.
    pub fn members(&self, group: i32) -> impl Iterator<Item = i32> {
        self.members.range((group, i32::MIN)..=(group, i32::MAX)).map(|(_, id)| *id)
    }

    /// Whether a process has a thread.
    pub fn has_process(&self, group: i32) -> bool {
        self.members(group).next().is_some()
    }
}
