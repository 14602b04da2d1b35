//! The memory of one of the kernel's ring buffers.
//!
//! ```text
//! page 0        position of the consumer: ours to write
//! page 1        position of the producer: the kernel's
//! pages 2..     the data, mapped twice in a row, so that no record is ever split
//! ```
//! A record: `u32` length with two flags, `u32` of the kernel's, the bytes, padding to 8.
//! Source: the kernel's `kernel/bpf/ringbuf.c`, whose layout is an interface.
//!
//! The one place where this crate touches memory that the kernel writes.
// Pages and records are aligned for the words that are read from them.
#![allow(unsafe_code, clippy::cast_ptr_alignment)]

use crate::{Error, Result, merge};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

const BUSY: u32 = 1 << 31;
const DISCARDED: u32 = 1 << 30;
const HEADER: usize = 8;

/// A ring that is read.
pub struct Ring {
    consumer: *mut u8,
    producer: *mut u8,
    page: usize,
    size: usize,
    /// Where reading goes on.
    position: usize,
    /// What the kernel knows of that.
    released: usize,
    /// How far the kernel had written when it was last asked.
    end: usize,
}

// SAFETY: the mappings belong to this value alone, and nothing in them is tied to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring of `size` bytes behind `fd`.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn new(fd: BorrowedFd<'_>, size: usize) -> Result<Ring> {
        let page = rustix::param::page_size();
        let whole = page.saturating_add(size.saturating_mul(2));
        let failed = |e: rustix::io::Errno| Error::system("mapping a ring buffer", e.into());
        // SAFETY: a new mapping at an address of the kernel's choice; nothing else has it.
        let consumer = unsafe {
            mmap(ptr::null_mut(), page, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0).map_err(failed)?
        };
        // SAFETY: as above; the kernel allows reading only.
        let producer = unsafe { mmap(ptr::null_mut(), whole, ProtFlags::READ, MapFlags::SHARED, fd, page as u64) };
        let producer = match producer {
            Ok(address) => address,
            Err(e) => {
                // SAFETY: mapped above, and not used any more.
                let _ = unsafe { munmap(consumer, page) };
                return Err(failed(e));
            }
        };
        Ok(Ring { consumer: consumer.cast(), producer: producer.cast(), page, size, position: 0, released: 0, end: 0 })
    }
}

impl merge::Ring for Ring {
    fn look(&mut self) {
        // SAFETY: the position is an aligned word at the start of a mapped page, which only the kernel writes.
        let position = unsafe { &*self.producer.cast::<AtomicUsize>() };
        self.end = position.load(Ordering::Acquire);
    }

    fn waiting(&self) -> usize {
        self.end.wrapping_sub(self.position)
    }

    #[inline]
    fn head(&mut self) -> Option<&[u8]> {
        loop {
            if self.end.wrapping_sub(self.position) < HEADER {
                return None;
            }
            let offset = self.position & (self.size - 1);
            // SAFETY: `offset` is within the data, records are aligned to 8, and the data is mapped twice, so that
            // a header and its record are never past the end.
            let (length, at) = unsafe {
                let at = self.producer.add(self.page + offset);
                ((*at.cast::<AtomicU32>()).load(Ordering::Acquire), at)
            };
            if length & BUSY != 0 {
                return None;
            }
            let bytes = (length & !DISCARDED) as usize;
            if length & DISCARDED != 0 {
                self.position = self.position.wrapping_add(padded(bytes));
                continue;
            }
            if bytes > self.size {
                return None;
            }
            // SAFETY: a record that is not busy is complete and stays as it is until it is released, which takes
            // `&mut self`; the second mapping keeps what passes the end in place.
            return Some(unsafe { std::slice::from_raw_parts(at.add(HEADER), bytes) });
        }
    }

    #[inline]
    fn pass(&mut self, bytes: usize) {
        self.position = self.position.wrapping_add(padded(bytes));
        // Telling the kernel costs a cache line that both sides want: only now and then.
        if self.position.wrapping_sub(self.released) > self.size / 16 {
            self.release();
        }
    }

    fn release(&mut self) {
        if self.released != self.position {
            // SAFETY: an aligned word at the start of our own page, which the kernel only reads.
            let position = unsafe { &*self.consumer.cast::<AtomicUsize>() };
            position.store(self.position, Ordering::Release);
            self.released = self.position;
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: both were mapped by `new` with these sizes, and no borrow of them outlives `self`.
        let _ = unsafe { munmap(self.consumer.cast(), self.page) };
        // SAFETY: as above.
        let _ = unsafe { munmap(self.producer.cast(), self.page + 2 * self.size) };
    }
}

/// Bytes that a record of `bytes` takes in the ring.
#[inline]
fn padded(bytes: usize) -> usize {
    (bytes + HEADER).next_multiple_of(8)
}
