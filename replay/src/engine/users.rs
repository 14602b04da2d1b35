//! Users, groups and interface addresses (state engine 7.4 and 8.3).

use super::Text;
use super::pool::Pool;
use scapkit_format::lists::{interfaces, users};
use std::collections::BTreeMap;

/// Longest name that is kept, in bytes; upstream's.
const MAX_NAME: usize = 255;
/// Rough bytes of an entry beside its strings.
pub(super) const COST: usize = 160;
/// Most interface addresses.
pub(super) const MAX_INTERFACES: usize = 4096;

/// A user of the machine or of a container.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    pub name: Text,
    pub home: Text,
    pub shell: Text,
    /// Comes from the list of the machine's users.
    pub(super) listed: bool,
}

/// A group of the machine or of a container.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Group {
    pub gid: u32,
    pub name: Text,
    /// Comes from the list of the machine's groups.
    pub(super) listed: bool,
}

/// By container id (empty for the machine) and number.
type Key = (Text, u32);

#[derive(Debug)]
pub(super) struct Users {
    pub people: BTreeMap<Key, User>,
    pub groups: BTreeMap<Key, Group>,
    pub machine: Text,
    /// Who 0 is as long as nobody says.
    pub root: User,
    pub root_group: Group,
}

impl Default for Users {
    fn default() -> Self {
        let text = |s: &[u8]| Text::from(s);
        Users {
            people: BTreeMap::new(),
            groups: BTreeMap::new(),
            machine: Text::default(),
            root: User {
                uid: 0,
                gid: 0,
                name: text(b"root"),
                home: text(b"/root"),
                shell: text(b"<NA>"),
                listed: false,
            },
            root_group: Group { gid: 0, name: text(b"root"), listed: false },
        }
    }
}

/// Lines of password files that refer to a directory service are no users.
fn is_service_line(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'+' | b'-'))
}

pub(super) fn cut(name: &[u8]) -> &[u8] {
    name.get(..MAX_NAME).unwrap_or(name)
}

/// The key of an entry to be made; `None` when there is no memory for the container's id.
fn key(container: &[u8], number: u32, pool: &mut Pool) -> Option<Key> {
    let text = pool.text(container);
    (text.len() == container.len()).then_some((text, number))
}

impl Users {
    pub fn load(&mut self, list: users::Users<'_>, pool: &mut Pool) {
        for entry in list.map_while(Result::ok) {
            match entry {
                users::Account::User { uid, gid, name, home, shell, .. } => {
                    self.add_user(b"", uid, gid, [name, home, shell], pool);
                    if let Some(user) = self.people.get_mut(&(self.machine.clone(), uid)) {
                        user.listed = true;
                    }
                }
                users::Account::Group { gid, name, .. } => {
                    self.add_group(b"", gid, name, pool);
                    if let Some(group) = self.groups.get_mut(&(self.machine.clone(), gid)) {
                        group.listed = true;
                    }
                }
            }
        }
    }

    pub fn add_user(&mut self, container: &[u8], uid: u32, gid: u32, texts: [&[u8]; 3], pool: &mut Pool) {
        let [name, home, shell] = texts;
        if is_service_line(name) {
            return;
        }
        let Some(key) = key(container, uid, pool) else {
            return;
        };
        if let Some(user) = self.people.get_mut(&key) {
            // Upstream leaves the group of a user that it knows already.
            pool.set(&mut user.name, cut(name));
            pool.set(&mut user.home, home);
            pool.set(&mut user.shell, shell);
        } else if pool.take(COST) {
            let [name, home, shell] = [pool.text(cut(name)), pool.text(home), pool.text(shell)];
            let user = User { uid, gid, name, home, shell, listed: false };
            self.people.insert(key, user);
        }
    }

    pub fn add_group(&mut self, container: &[u8], gid: u32, name: &[u8], pool: &mut Pool) {
        if is_service_line(name) {
            return;
        }
        let Some(key) = key(container, gid, pool) else {
            return;
        };
        if let Some(group) = self.groups.get_mut(&key) {
            pool.set(&mut group.name, cut(name));
        } else if pool.take(COST) {
            self.groups.insert(key, Group { gid, name: pool.text(cut(name)), listed: false });
        }
    }

    pub fn remove_user(&mut self, container: &[u8], uid: u32, pool: &mut Pool) {
        if let Some(((container, _), user)) = self.people.remove_entry(&(Text::from(container), uid)) {
            for text in [container, user.name, user.home, user.shell] {
                pool.release(text);
            }
            pool.give_back(COST);
        }
    }

    pub fn remove_group(&mut self, container: &[u8], gid: u32, pool: &mut Pool) {
        if let Some(((container, _), group)) = self.groups.remove_entry(&(Text::from(container), gid)) {
            pool.release(container);
            pool.release(group.name);
            pool.give_back(COST);
        }
    }

    /// All users, by container and number.
    pub fn people(&self) -> impl Iterator<Item = (&[u8], &User)> {
        self.people.iter().map(|((container, _), user)| (&**container, user))
    }

    /// All groups, by container and number.
    pub fn groups(&self) -> impl Iterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|((container, _), group)| (&**container, group))
    }

    /// A user of the machine.
    pub fn user(&self, uid: u32) -> Option<&User> {
        self.people.get(&(self.machine.clone(), uid)).or_else(|| self.root(uid))
    }

    /// A group of the machine.
    pub fn group(&self, gid: u32) -> Option<&Group> {
        self.groups.get(&(self.machine.clone(), gid)).or_else(|| self.root_group(gid))
    }

    /// Who 0 is if nobody says.
    pub fn root(&self, uid: u32) -> Option<&User> {
        (uid == 0).then_some(&self.root)
    }

    /// As [`Users::root`].
    pub fn root_group(&self, gid: u32) -> Option<&Group> {
        (gid == 0).then_some(&self.root_group)
    }

    /// A user of a container.
    pub fn user_inside(&self, container: &Text, uid: u32) -> Option<&User> {
        self.people.get(&(container.clone(), uid))
    }

    /// A group of a container.
    pub fn group_inside(&self, container: &Text, gid: u32) -> Option<&Group> {
        self.groups.get(&(container.clone(), gid))
    }

    /// Whether any user or group of a container is known.
    pub fn knows(&self, container: &Text) -> bool {
        let first = (container.clone(), 0);
        let of = |key: Option<&Key>| key.is_some_and(|(id, _)| id == container);
        of(self.people.range(&first..).next().map(|(k, _)| k)) || of(self.groups.range(&first..).next().map(|(k, _)| k))
    }

    /// A user of a container.
    pub fn user_in(&self, container: &[u8], uid: u32) -> Option<&User> {
        self.people.get(&(Text::from(container), uid))
    }
}

/// Address and netmask of a network interface, in network order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum InterfaceAddress {
    V4 { address: [u8; 4], netmask: [u8; 4] },
    V6 { address: [u8; 16] },
}

/// An interface address as it was listed.
#[derive(Debug)]
pub(super) struct Listed {
    pub address: interfaces::Address,
    pub linkspeed: Option<u64>,
    pub name: Box<[u8]>,
}

#[derive(Debug, Default)]
pub(super) struct Interfaces {
    pub all: Vec<InterfaceAddress>,
    /// The same with what is kept for writing it again.
    pub listed: Vec<Listed>,
}

impl Interfaces {
    pub fn load(&mut self, list: interfaces::Interfaces<'_>) {
        let known = list.map_while(Result::ok).take(MAX_INTERFACES);
        let listed = known.map(|i| Listed { address: i.address, linkspeed: i.linkspeed, name: cut(i.name).into() });
        *self = Interfaces::of(listed.collect());
    }

    pub fn of(listed: Vec<Listed>) -> Self {
        let address = |listed: &Listed| match listed.address {
            interfaces::Address::V4 { address, netmask, .. } => InterfaceAddress::V4 { address, netmask },
            interfaces::Address::V6 { address, .. } => InterfaceAddress::V6 { address },
        };
        Interfaces { all: listed.iter().map(address).collect(), listed }
    }

    pub fn all(&self) -> &[InterfaceAddress] {
        &self.all
    }

    /// The machine's address that talks to `other`: that address itself, else one of its network, else the
    /// first that is not the loopback; zero when there is none.
    pub fn infer_v4(&self, other: [u8; 4]) -> [u8; 4] {
        let all = self.all.iter().filter_map(|i| match *i {
            InterfaceAddress::V4 { address, netmask } => Some((address, u32::from_be_bytes(netmask))),
            InterfaceAddress::V6 { .. } => None,
        });
        let masked = |a: [u8; 4], mask: u32| u32::from_be_bytes(a) & mask;
        let mut tests = all.clone().filter(|(a, _)| *a == other);
        let mut network = all.clone().filter(|(a, mask)| masked(*a, *mask) == masked(other, *mask));
        let mut outside = all.filter(|(a, _)| *a != [127, 0, 0, 1]);
        tests.next().or_else(|| network.next()).or_else(|| outside.next()).map_or([0; 4], |(a, _)| a)
    }

    /// As [`Interfaces::infer_v4`]; networks are 64 bits wide.
    pub fn infer_v6(&self, other: [u8; 16]) -> [u8; 16] {
        let loopback = std::net::Ipv6Addr::LOCALHOST.octets();
        let all = self.all.iter().filter_map(|i| match *i {
            InterfaceAddress::V6 { address } => Some(address),
            InterfaceAddress::V4 { .. } => None,
        });
        let mut exact = all.clone().filter(|a| *a == other);
        let mut network = all.clone().filter(|a| a.get(..8) == other.get(..8));
        let mut outside = all.filter(|a| *a != loopback);
        exact.next().or_else(|| network.next()).or_else(|| outside.next()).unwrap_or([0; 16])
    }
}
