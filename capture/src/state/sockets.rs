//! The tables of sockets, each network namespace's read once, when the first socket of it is met.

use super::tables::{FILES, Table, add};
use super::{diag, file, parse};
use rustix::fd::OwnedFd;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

type Slot = Arc<Mutex<Option<Arc<Table>>>>;

/// The tables by inode of the namespace.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Our own namespace, which can be asked by netlink.
    own: u64,
    read: Mutex<HashMap<u64, Slot>>,
}

impl Sockets {
    /// No table yet.
    pub fn new() -> Self {
        let mut link = Vec::new();
        let _ = file::link_at(rustix::fs::CWD, "/proc/thread-self/ns/net", &mut link);
        Sockets { own: parse::number_of(&link, b"net").unwrap_or(0), ..Sockets::default() }
    }

    /// The table of a namespace. `dir` is a process in it, through which the table is read where it must be.
    pub fn table(&self, namespace: u64, dir: &OwnedFd) -> Arc<Table> {
        let slot = {
            let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(read.entry(namespace).or_default())
        };
        let mut table = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = &*table {
            return Arc::clone(table);
        }
        let (read, whole) = self.read(namespace, dir);
        let read = Arc::new(read);
        if whole {
            *table = Some(Arc::clone(&read));
        }
        read
    }

    /// Reads a table, and whether it is whole: the process may end while it is read.
    pub fn read(&self, namespace: u64, dir: &OwnedFd) -> (Table, bool) {
        let mut table = Table::new();
        let (mut text, mut texts) = (Vec::new(), false);
        for name in FILES {
            if namespace == self.own && namespace != 0 && diag::add(&mut table, name) {
                continue;
            }
            texts = true;
            let path = format!("net/{name}");
            if file::open(dir, path.as_str()).and_then(|fd| file::read_all(fd, 1 << 30, &mut text)).is_ok() {
                add(&mut table, name, &text);
            }
        }
        let whole = !texts || file::read_at(dir, "stat", &mut [0; 64]).is_ok();
        (table, whole)
    }
}
