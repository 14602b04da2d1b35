//! Containers: which thread is in which, and what events say of them (state engine 8.2 and 8.3).

use super::bind::{Cx, Handler, text};
use super::cgroups::{self, Layout};
use super::container_json::{self, Container};
use super::pool::Pool;
use super::users::{Group, User};
use super::{Engine, Text, Thread};
use scapkit_format::Event;
use scapkit_format::schema::id;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) const HANDLERS: &[(u16, Handler)] =
    &[(id::CONTAINER_JSON_2_E, container_event), (id::ASYNCEVENT_E, asynchronous_event)];

/// What is known of containers, and which cgroups are whose.
#[derive(Debug)]
pub(super) struct Containers {
    pub by_id: BTreeMap<Box<[u8]>, Arc<Container>>,
    pub host: Container,
    /// What the last event about a container said.
    pub told: Option<Arc<Container>>,
    /// Cgroups that were looked at last, and the id found: most new threads have those of the one before.
    pub resolved: (Text, Text),
    /// Events whose text could not be read.
    pub unreadable: u64,
}

impl Default for Containers {
    fn default() -> Self {
        Containers {
            by_id: BTreeMap::new(),
            host: Container::host(),
            told: None,
            resolved: (Text::default(), Text::default()),
            unreadable: 0,
        }
    }
}

impl Containers {
    /// Forgets everything but the counter.
    pub fn clear(&mut self) {
        *self = Containers { unreadable: self.unreadable, ..Containers::default() };
    }

    /// The id of the container that cgroups are of; empty when of none.
    pub fn resolve(&mut self, cgroups: &Text, pool: &mut Pool) -> Text {
        let (known, id) = &self.resolved;
        if Arc::ptr_eq(known, cgroups) || **known == **cgroups {
            return id.clone();
        }
        let found = cgroups::container_of(cgroups);
        let id = pool.text(found.map(|(_, id)| id).unwrap_or_default());
        if let Some((layout, _)) = found {
            self.add_bare(layout, &id, pool);
        }
        pool.put(&mut self.resolved.0, cgroups.clone());
        pool.put(&mut self.resolved.1, id.clone());
        id
    }

    /// Containers whose runtime cannot be asked are known as soon as a thread is in one. What an
    /// event has said of them stays.
    fn add_bare(&mut self, layout: Layout, id: &[u8], pool: &mut Pool) {
        let kind = match layout {
            Layout::Lxc => container_json::LXC,
            Layout::LibvirtLxc => container_json::LIBVIRT_LXC,
            Layout::Bpm => container_json::BPM,
            Layout::Podman | Layout::Docker | Layout::Cri | Layout::Containerd | Layout::Gvisor => return,
        };
        if !id.is_empty() && !self.by_id.contains_key(id) {
            let id = String::from_utf8_lossy(id).into_owned();
            self.add(Arc::new(Container { id, kind: Some(kind), ..Container::default() }), pool);
        }
    }

    fn add(&mut self, container: Arc<Container>, pool: &mut Pool) {
        if pool.take(container.cost())
            && let Some(old) = self.by_id.insert(container.id.as_bytes().into(), container)
        {
            pool.give_back(old.cost());
        }
    }

    fn remove(&mut self, id: &[u8], pool: &mut Pool) {
        if let Some(old) = self.by_id.remove(id) {
            pool.give_back(old.cost());
        }
    }

    /// Takes an event's word on a container.
    fn tell(&mut self, text: &[u8], exists: bool, pool: &mut Pool) {
        self.told = container_json::parse(text).map(Arc::new);
        match &self.told {
            Some(container) if exists => self.add(container.clone(), pool),
            Some(container) => self.remove(container.id.clone().as_bytes(), pool),
            None => self.unreadable = self.unreadable.saturating_add(1),
        }
    }
}

fn container_event(engine: &mut Engine, event: &Event<'_>, _: &mut Cx) {
    engine.is_initial_state();
    engine.containers.tell(event.param(0).unwrap_or_default(), true, &mut engine.table.pool);
}

fn asynchronous_event(engine: &mut Engine, event: &Event<'_>, _: &mut Cx) {
    engine.is_initial_state();
    let exists = match text(event, 1) {
        b"container" => true,
        b"container_removed" => false,
        _ => {
            engine.containers.told = None;
            return;
        }
    };
    engine.containers.tell(event.param(2).unwrap_or_default(), exists, &mut engine.table.pool);
}

impl Engine {
    /// The container of that id, if an event told of it; the empty id is that of the machine itself.
    pub fn container(&self, id: &[u8]) -> Option<&Container> {
        if id.is_empty() { Some(&self.containers.host) } else { self.containers.by_id.get(id).map(|c| &**c) }
    }

    /// All containers that are known, by id.
    pub fn containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.by_id.values().map(|c| &**c)
    }

    /// What the event said that was applied last, if it was about a container.
    pub fn told_container(&self) -> Option<&Container> {
        self.containers.told.as_deref()
    }

    /// The user that a thread's number is: one of its container, or of the machine. See
    /// [`Engine::group_of`].
    pub fn user_of(&self, thread: &Thread, uid: u32) -> Option<&User> {
        let inside = &thread.container_id;
        if inside.is_empty() {
            return self.users.user(uid);
        }
        let strict = || self.container(inside).is_some() || self.users.knows(inside);
        self.users
            .user_inside(inside, uid)
            .or_else(|| if strict() { self.users.root(uid) } else { self.users.user(uid) })
    }

    /// The group that a thread's number is: one of its container, or of the machine. Numbers that a
    /// container does not know are not looked up in those of the machine, unless nothing at all is known
    /// of the container: its id may be a wrong guess.
    pub fn group_of(&self, thread: &Thread, gid: u32) -> Option<&Group> {
        let inside = &thread.container_id;
        if inside.is_empty() {
            return self.users.group(gid);
        }
        let strict = || self.container(inside).is_some() || self.users.knows(inside);
        let outside = || if strict() { self.users.root_group(gid) } else { self.users.group(gid) };
        self.users.group_inside(inside, gid).or_else(outside)
    }
}
