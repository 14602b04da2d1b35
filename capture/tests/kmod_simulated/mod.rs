//! A simulated device of the kernel module: two memory files mapped like a device's info and buffer, and a producer
//! that keeps to the order in which the module writes.
// Positions must be written whole while another thread reads them, which no file call promises.
#![allow(unsafe_code, clippy::cast_ptr_alignment)]

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use scapkit_capture::kmod::{Command, Control, Device, Version};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

pub const HEADER: usize = 26;

/// A mapped memory file.
struct Memory {
    file: File,
    at: *mut u8,
    len: usize,
}

// SAFETY: the mapping belongs to this value alone.
unsafe impl Send for Memory {}

impl Memory {
    fn new(len: usize) -> Memory {
        let file = File::from(memfd_create("device", MemfdFlags::CLOEXEC).unwrap());
        file.set_len(len as u64).unwrap();
        // SAFETY: a new mapping at an address of the kernel's choice.
        let at = unsafe {
            mmap(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, file.as_fd(), 0).unwrap()
        };
        Memory { file, at: at.cast(), len }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.len);
        // SAFETY: within the mapping, which overlaps no Rust object.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.add(offset), bytes.len()) };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length.
        let _ = unsafe { munmap(self.at.cast(), self.len) };
    }
}

/// What the module's side of a device does.
pub struct Producer {
    info: Memory,
    buffer: Memory,
    size: usize,
    head: usize,
}

impl Producer {
    pub fn new(size: usize) -> Producer {
        Producer { info: Memory::new(rustix::param::page_size()), buffer: Memory::new(2 * size), size, head: 0 }
    }

    /// A device of processor `cpu` that reads this.
    pub fn device(&self, cpu: u16, control: Control) -> scapkit_capture::Result<Device> {
        let name = format!("simulated device {cpu}");
        Device::new(&name, cpu, &self.info.file, &self.buffer.file, self.size, control)
    }

    /// A position: 0 the head, 4 the tail.
    pub fn word(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: an aligned word of the mapped page.
        unsafe { &*self.info.at.add(offset).cast::<AtomicU32>() }
    }

    /// A counter: 0 all events, 1 full, 2 to 11 full by class, 12 page faults, 13 preemptions.
    pub fn count(&self, index: usize) -> &AtomicU64 {
        // SAFETY: an aligned word of the mapped page.
        unsafe { &*self.info.at.add(8 + 8 * index).cast::<AtomicU64>() }
    }

    pub fn head(&self) -> usize {
        self.head
    }

    /// Writes to the buffer at `offset` from its start, so that both copies have it.
    pub fn put(&self, offset: usize, bytes: &[u8]) {
        for (index, byte) in bytes.iter().enumerate() {
            let at = (offset + index) % self.size;
            self.buffer.write(at, &[*byte]);
            self.buffer.write(at + self.size, &[*byte]);
        }
    }

    /// Writes an event as the module does, if it fits; counts it as lost, of `class`, if it does not.
    pub fn push(&mut self, event: &[u8], class: usize) -> bool {
        self.count(0).fetch_add(1, Ordering::Relaxed);
        let tail = self.word(4).load(Ordering::Acquire) as usize;
        assert!(tail < self.size, "the reader left its ring: {tail}");
        let free = if tail > self.head { tail - self.head - 1 } else { self.size + tail - self.head - 1 };
        if event.len() > free {
            // What does not fit was begun all the same.
            self.put(self.head, &vec![0xff; free.min(HEADER)]);
            self.count(1).fetch_add(1, Ordering::Relaxed);
            if class > 0 {
                self.count(1 + class).fetch_add(1, Ordering::Relaxed);
            }
            return false;
        }
        self.put(self.head, event);
        self.head = (self.head + event.len()) % self.size;
        self.word(0).store(u32::try_from(self.head).unwrap(), Ordering::Release);
        true
    }
}

/// An event of time `ts` and number `number`, of `extra` bytes after its header that tell of its number.
pub fn event(ts: u64, number: u64, extra: usize) -> Vec<u8> {
    let mut event = Vec::with_capacity(HEADER + extra);
    event.extend(ts.to_ne_bytes());
    event.extend(number.to_ne_bytes());
    event.extend(u32::try_from(HEADER + extra).unwrap().to_ne_bytes());
    event.extend(307_u16.to_ne_bytes());
    event.extend(0_u32.to_ne_bytes());
    event.extend((0..extra).map(|i| fill(number, i)));
    event
}

/// Byte `index` after the header of event `number`.
pub fn fill(number: u64, index: usize) -> u8 {
    number.wrapping_mul(31).wrapping_add(index as u64).to_le_bytes()[0]
}

/// Whether `event` is just as [`event`] made it; its number.
pub fn check(event: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_ne_bytes(event[at..at + 8].try_into().unwrap());
    let number = word(8);
    assert_eq!(u32::from_ne_bytes(event[16..20].try_into().unwrap()) as usize, event.len());
    for (index, byte) in event[HEADER..].iter().enumerate() {
        assert_eq!(*byte, fill(number, index), "byte {index} of event {number}");
    }
    (word(0), number)
}

/// Takes all commands and notes them; has these versions.
pub fn recorder(api: Version, schema: Version) -> (Control, Arc<Mutex<Vec<Command>>>) {
    let commands = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&commands);
    let control = move |command| {
        noted.lock().unwrap().push(command);
        Ok(match command {
            Command::ApiVersion => api.bits(),
            Command::SchemaVersion => schema.bits(),
            _ => 0,
        })
    };
    (Box::new(control), commands)
}

pub const API: Version = Version { major: 10, minor: 1, patch: 0 };
pub const SCHEMA: Version = Version { major: 4, minor: 5, patch: 1 };

/// The control of a module as of 2026.
pub fn control() -> Control {
    recorder(API, SCHEMA).0
}

/// A control that refuses `refused` with `errno`.
pub fn refusing(refused: Command, errno: i32) -> Control {
    let mut inner = control();
    Box::new(move |command| if command == refused { Err(io::Error::from_raw_os_error(errno)) } else { inner(command) })
}
