//! An allocator that counts what each thread asks of it.
#![allow(dead_code)] // each test takes what it needs
#![allow(unsafe_code)] // an allocator is unsafe by its signature; this one only counts

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    // Per thread, since tests run side by side.
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // An allocation while the thread ends has no counter any more.
    let _ = COUNT.try_with(|c| c.set(c.get() + 1));
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations that `work` makes.
pub fn allocations(work: impl FnOnce()) -> u64 {
    let before = so_far();
    work();
    so_far().saturating_sub(before)
}

/// Allocations of this thread so far.
pub fn so_far() -> u64 {
    COUNT.get()
}
