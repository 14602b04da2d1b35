//! What to record, as far as the kernel decides it.

use crate::{Error, Result};
use scapkit_bpf::{MAX_COMMS, MAX_EXCLUDED};

/// What the probe records. The kernel decides all of it, so what is not asked for costs little.
#[derive(Debug, Clone)]
pub struct ProbeOptions {
    /// Bytes of the ring of each processor: a power of two, at least a page.
    pub ring_bytes: usize,
    /// Bytes of I/O data kept per event, up to 65,000.
    pub snaplen: u16,
    /// The same for some event types.
    pub snaplen_of: Vec<(u16, u16)>,
    /// Event types wanted; all but those that the next three switch on if `None`. Processes that start, become
    /// another program and end are always told of.
    pub types: Option<Vec<u16>>,
    /// Tell of every switch between threads.
    pub switches: bool,
    /// Tell of every page fault.
    pub faults: bool,
    /// Tell of signals that are delivered.
    pub signals: bool,
    /// Tell of the paths and addresses of open, creat, openat, openat2 and connect at their beginning too, so that
    /// they can be compared with those at the end, which another thread may have changed meanwhile.
    pub entries: bool,
    /// Leave out calls that fail.
    pub drop_failed: bool,
    /// Only this process and what it starts.
    pub tree_of: Option<i32>,
    /// Never these processes: the recorder itself.
    pub exclude_tgids: Vec<i32>,
    /// Only threads of these names, cut to 15 bytes as the kernel has them; all if empty.
    pub comms: Vec<Vec<u8>>,
    /// Only these control groups of the unified hierarchy, by their inode number; all if empty.
    pub cgroups: Vec<u64>,
}

impl Default for ProbeOptions {
    fn default() -> Self {
        ProbeOptions {
            ring_bytes: 8 << 20,
            snaplen: 80,
            snaplen_of: Vec::new(),
            types: None,
            switches: false,
            faults: false,
            signals: true,
            entries: true,
            drop_failed: false,
            tree_of: None,
            exclude_tgids: Vec::new(),
            comms: Vec::new(),
            cgroups: Vec::new(),
        }
    }
}

/// Most bytes of I/O data per event: an event may not be larger than 64 KiB.
pub const MAX_SNAPLEN: u16 = 65_000;

impl ProbeOptions {
    /// Checks what the kernel would refuse with less to say.
    ///
    /// # Errors
    /// [`Error::Option`] with what is wrong.
    pub fn check(&self) -> Result<()> {
        let page = rustix::param::page_size();
        if !self.ring_bytes.is_power_of_two() || self.ring_bytes < page || self.ring_bytes > 1 << 30 {
            return Err(Error::Option(format!(
                "a ring of {} bytes: wanted is a power of two from {page} to {}",
                self.ring_bytes,
                1 << 30
            )));
        }
        let largest = self.snaplen_of.iter().map(|(_, len)| *len).max().unwrap_or(0).max(self.snaplen);
        if largest > MAX_SNAPLEN {
            return Err(Error::Option(format!("a snaplen of {largest}: the largest is {MAX_SNAPLEN}")));
        }
        for (what, found, most) in [
            ("program names", self.comms.len(), MAX_COMMS),
            ("processes to leave out", self.exclude_tgids.len(), MAX_EXCLUDED),
        ] {
            if found > most {
                return Err(Error::Option(format!("{found} {what}: the kernel's filter takes {most}")));
            }
        }
        Ok(())
    }
}
