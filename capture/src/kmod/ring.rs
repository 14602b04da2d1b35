//! The memory of one of the module's rings.
//!
//! ```text
//! info      u32 head: where the module writes next      u32 tail: where we read next, ours to write
//!           13 numbers of 64 bits: counters
//! buffer    events one after the other, unaligned, mapped twice in a row, so that no event is ever split
//! ```
//! Both positions are offsets into the buffer, below its size. The ring is empty when they are equal; the module
//! never fills the last byte. Source: falcosecurity/libs, `driver/ppm_ringbuffer.h` and `driver/main.c`.
//!
//! Besides [`super::ioctl`] the only place of this module that touches memory the kernel writes.
// The info begins at a page, which is aligned for the words that are read from it.
#![allow(unsafe_code, clippy::cast_ptr_alignment)]

use crate::{Error, Result, merge};
use rustix::fs::{FileType, fstat};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Bytes of an event's header: time, thread, length, type, number of parameters.
const HEADER: usize = 26;
/// Where the header has the event's length.
const LENGTH_AT: usize = 16;
/// Where the info has the first counter.
const COUNTS_AT: usize = 8;
/// Classes of events whose losses the module counts apart.
const CLASSES: usize = 10;

/// What the module counted for one ring since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events the module tried to write.
    pub events: u64,
    /// Lost because the ring was full.
    pub full: u64,
    /// Of these, by class, in the order of `scapkit_bpf::DROP_CLASSES` without the first.
    pub full_of: [u64; CLASSES],
    /// Lost because memory of the program could not be read.
    pub faults: u64,
    /// Lost because another event of the same processor was being written. Not among `events`.
    pub preempted: u64,
}

/// A ring that is read.
pub struct Ring {
    name: String,
    info: *mut u8,
    buffer: *mut u8,
    page: usize,
    size: usize,
    /// Where reading goes on, below `size`.
    position: usize,
    /// What the module knows of that.
    released: usize,
    /// Bytes from `position` to where the module was when last asked, below `size`.
    waiting: usize,
    /// What is wrong with the ring. It is not read any more then.
    damage: Option<String>,
}

// SAFETY: the mappings belong to this value alone, and nothing in them is tied to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring of `size` bytes, a power of two, of device `name`. The module gives its info or its buffer for
    /// the same file, by the length that is asked for.
    ///
    /// # Errors
    /// When it cannot be mapped, or begins outside of its buffer.
    pub fn new(name: &str, info: BorrowedFd<'_>, buffer: BorrowedFd<'_>, size: usize) -> Result<Ring> {
        let page = rustix::param::page_size();
        let whole = size.saturating_mul(2);
        check_length(name, info, page)?;
        check_length(name, buffer, whole)?;
        let failed = |what: &str, e: rustix::io::Errno| Error::system(format!("{name}: mapping its {what}"), e.into());
        // SAFETY: a new mapping at an address of the kernel's choice; nothing else has it. The module allows reading.
        let buffer = unsafe { mmap(ptr::null_mut(), whole, ProtFlags::READ, MapFlags::SHARED, buffer, 0) }
            .map_err(|e| failed("ring", e))?;
        // SAFETY: as above.
        let info =
            unsafe { mmap(ptr::null_mut(), page, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, info, 0) };
        let info = match info {
            Ok(address) => address,
            Err(e) => {
                // SAFETY: mapped above, and not used any more.
                let _ = unsafe { munmap(buffer, whole) };
                return Err(failed("ring's positions", e));
            }
        };
        let mut ring = Ring {
            name: name.to_owned(),
            info: info.cast(),
            buffer: buffer.cast(),
            page,
            size,
            position: 0,
            released: 0,
            waiting: 0,
            damage: None,
        };
        let tail = ring.word(4).load(Ordering::Acquire) as usize;
        if tail >= size {
            return Err(damaged(name, format!("reading begins at {tail}, and its ring has {size} bytes")));
        }
        ring.position = tail;
        ring.released = tail;
        Ok(ring)
    }

    /// What is wrong with the ring, if something is.
    pub fn damage(&self) -> Option<Error> {
        self.damage.as_ref().map(|text| damaged(&self.name, text.clone()))
    }

    /// What the module counted.
    pub fn counts(&self) -> Counts {
        let count = |index: usize| {
            // SAFETY: an aligned word within the first 128 bytes of the page.
            let word = unsafe { &*self.info.add(COUNTS_AT + index * 8).cast::<AtomicU64>() };
            word.load(Ordering::Relaxed)
        };
        Counts {
            events: count(0),
            full: count(1),
            full_of: std::array::from_fn(|class| count(2 + class)),
            faults: count(2 + CLASSES),
            preempted: count(3 + CLASSES),
        }
    }

    /// The word of 32 bits at `offset` of the info.
    fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: an aligned word within the first eight bytes of a mapped page, which both sides write whole.
        unsafe { &*self.info.add(offset).cast::<AtomicU32>() }
    }

    /// Stops reading for good.
    #[cold]
    fn broken(&mut self, text: String) {
        self.damage = Some(text);
        self.waiting = 0;
    }
}

impl merge::Ring for Ring {
    fn look(&mut self) {
        if self.damage.is_some() {
            return;
        }
        // Pairs with the module's barrier: what is before the head was written before the head.
        let head = self.word(0).load(Ordering::Acquire) as usize;
        if head >= self.size {
            self.broken(format!("its module writes at {head}, and its ring has {} bytes", self.size));
            return;
        }
        let waiting = head.wrapping_sub(self.position) & (self.size - 1);
        if waiting < self.waiting {
            self.broken(format!("its module went back to {head}, behind events that were not read yet"));
            return;
        }
        self.waiting = waiting;
    }

    fn waiting(&self) -> usize {
        self.waiting
    }

    #[inline]
    fn head(&mut self) -> Option<&[u8]> {
        if self.waiting < HEADER {
            if self.waiting > 0 {
                self.broken(format!("{} bytes at {} are too few for an event", self.waiting, self.position));
            }
            return None;
        }
        // SAFETY: `position` and `waiting` are both below the size, and the mapping has it twice.
        let at = unsafe { self.buffer.add(self.position) };
        // SAFETY: within the header, which is there; bytes have no alignment.
        let length = u32::from_ne_bytes(unsafe { at.add(LENGTH_AT).cast::<[u8; 4]>().read() }) as usize;
        if length < HEADER || length > self.waiting {
            let (waiting, position) = (self.waiting, self.position);
            self.broken(format!("an event of {length} bytes at {position}, where {waiting} are waiting"));
            return None;
        }
        // SAFETY: `length` bytes from there are before the head, so that they are complete and stay as they are until
        // the tail goes past them, which takes `&mut self`.
        Some(unsafe { std::slice::from_raw_parts(at, length) })
    }

    #[inline]
    fn pass(&mut self, bytes: usize) {
        let bytes = bytes.min(self.waiting);
        self.position = (self.position + bytes) & (self.size - 1);
        self.waiting -= bytes;
        // Telling the module costs a cache line that both sides want: only now and then.
        if self.position.wrapping_sub(self.released) & (self.size - 1) > self.size / 16 {
            self.release();
        }
    }

    fn release(&mut self) {
        if self.released != self.position {
            // What was read was read before the module may write there again. Positions fit: the size is checked.
            self.word(4).store(u32::try_from(self.position).unwrap_or(0), Ordering::Release);
            self.released = self.position;
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: both were mapped by `new` with these sizes, and no borrow of them outlives `self`.
        let _ = unsafe { munmap(self.info.cast(), self.page) };
        // SAFETY: as above.
        let _ = unsafe { munmap(self.buffer.cast(), 2 * self.size) };
    }
}

/// A file in place of a device must be as long as what is mapped: touching what is past its end kills the process.
fn check_length(name: &str, file: BorrowedFd<'_>, wanted: usize) -> Result<()> {
    let stat = fstat(file).map_err(|e| Error::system(name, e.into()))?;
    let length = usize::try_from(stat.st_size).unwrap_or(0);
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && length < wanted {
        return Err(damaged(name, format!("it has {length} bytes, and {wanted} are to be mapped")));
    }
    Ok(())
}

fn damaged(name: &str, text: String) -> Error {
    Error::system(name, io::Error::new(io::ErrorKind::InvalidData, text))
}
