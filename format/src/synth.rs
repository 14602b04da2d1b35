//! Makes captures block by block, of any version and deliberately wrong ones: for tests, fuzzing,
//! benchmarks and the project's corpus.
//!
//! ```
//! use scapkit_format::synth::{Params, Synth};
//! use scapkit_format::{Capture, Limits, schema::id};
//! let mut s = Synth::new();
//! s.section().event(1_000, 42, id::SYSCALL_CLOSE_X, &Params::new().i64(0).i64(3));
//! let mut capture = Capture::from_bytes(s.finish(), "close.scap", Limits::default());
//! let mut items = 0;
//! while capture.next()?.is_some() {
//!     items += 1;
//! }
//! assert_eq!(items, 2);
//! # Ok::<(), scapkit_format::Error>(())
//! ```

use crate::lists::fds::Fd;
use crate::lists::interfaces::Interface;
use crate::lists::threads::Thread;
use crate::lists::users::Account;
use crate::raw::MachineInfo;
use crate::{BlockType, EventHead, encode};
use zerocopy::little_endian::{U32, U64};

/// A capture under construction. What does not fit the format (a string over 64 KiB) is left out:
/// this is test equipment.
#[derive(Debug, Clone, Default)]
pub struct Synth {
    bytes: Vec<u8>,
}

impl Synth {
    /// Nothing yet, not even a section header.
    pub fn new() -> Self {
        Self::default()
    }

    /// The bytes made so far.
    pub fn finish(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// Bytes made so far: the plain offset of what comes next.
    pub fn offset(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// A section header of version 1.2.
    pub fn section(&mut self) -> &mut Self {
        encode::section_header(&mut self.bytes);
        self
    }

    /// A section header of any version, with options.
    pub fn section_of(&mut self, magic: u32, major: u16, minor: u16, options: &[u8]) -> &mut Self {
        let mut body = magic.to_le_bytes().to_vec();
        body.extend_from_slice(&major.to_le_bytes());
        body.extend_from_slice(&minor.to_le_bytes());
        body.extend_from_slice(&[0xFF; 8]);
        body.extend_from_slice(options);
        self.block(BlockType::SHB, &body)
    }

    /// Any block, framed as it should be.
    pub fn block(&mut self, block_type: BlockType, body: &[u8]) -> &mut Self {
        let _ = encode::block(&mut self.bytes, block_type, body);
        self
    }

    /// A block with these lengths, whatever its body's size.
    pub fn wrong_block(&mut self, block_type: BlockType, length: u32, body: &[u8], trailer: u32) -> &mut Self {
        self.raw(&block_type.0.to_le_bytes()).raw(&length.to_le_bytes()).raw(body).raw(&trailer.to_le_bytes())
    }

    /// Machine information.
    pub fn machine(&mut self, host: &str, cpus: u32, boot_ts: u64) -> &mut Self {
        let mut hostname = [0; 128];
        for (to, from) in hostname.iter_mut().take(127).zip(host.bytes()) {
            *to = from;
        }
        let machine = MachineInfo {
            num_cpus: U32::new(cpus),
            memory_size_bytes: U64::new(8 << 30),
            max_pid: U64::new(4_194_304),
            hostname,
            boot_ts_epoch: U64::new(boot_ts),
            flags: U64::new(0),
            reserved3: U64::new(0),
            reserved4: U64::new(0),
        };
        machine.encode(&mut self.bytes);
        self
    }

    /// A process list in the layout of a version from 1 to 9.
    pub fn threads(&mut self, version: u8, threads: &[Thread<'_>]) -> &mut Self {
        let types = [
            BlockType::PL_V1,
            BlockType::PL_V2,
            BlockType::PL_V3,
            BlockType::PL_V4,
            BlockType::PL_V5,
            BlockType::PL_V6,
            BlockType::PL_V7,
            BlockType::PL_V8,
        ];
        let block_type =
            usize::from(version).checked_sub(1).and_then(|v| types.get(v)).copied().unwrap_or(BlockType::PL_V9);
        let _ = encode::block_with(&mut self.bytes, block_type, |out| {
            threads.iter().try_for_each(|t| t.encode(version, out))
        });
        self
    }

    /// The fds of one thread, version 1 or 2.
    pub fn fds(&mut self, version: u8, tid: i64, fds: &[Fd<'_>]) -> &mut Self {
        let block_type = if version < 2 { BlockType::FDL } else { BlockType::FDL_V2 };
        let _ = encode::block_with(&mut self.bytes, block_type, |out| {
            out.extend_from_slice(&tid.to_le_bytes());
            fds.iter().try_for_each(|f| f.encode(version, out))
        });
        self
    }

    /// Interface addresses, version 1 or 2.
    pub fn interfaces(&mut self, version: u8, interfaces: &[Interface<'_>]) -> &mut Self {
        let block_type = if version < 2 { BlockType::IL } else { BlockType::IL_V2 };
        let _ = encode::block_with(&mut self.bytes, block_type, |out| {
            interfaces.iter().try_for_each(|i| i.encode(version, out))
        });
        self
    }

    /// Users and groups, version 1 or 2.
    pub fn users(&mut self, version: u8, accounts: &[Account<'_>]) -> &mut Self {
        let block_type = if version < 2 { BlockType::UL } else { BlockType::UL_V2 };
        let _ = encode::block_with(&mut self.bytes, block_type, |out| {
            accounts.iter().try_for_each(|a| a.encode(version, out))
        });
        self
    }

    /// An event on cpu 0, in the block type that its event type asks for.
    pub fn event(&mut self, ts: u64, tid: i64, event_type: u16, params: &Params) -> &mut Self {
        self.event_of(EventHead { ts, tid, event_type, ..EventHead::default() }, params)
    }

    /// An event with cpu and dump flags.
    pub fn event_of(&mut self, head: EventHead, params: &Params) -> &mut Self {
        let _ = encode::event(&mut self.bytes, head, &params.slices());
        self
    }

    /// An event without a parameter count, as written before 2018; `flagged` for `EVF`.
    pub fn event_v1(&mut self, head: EventHead, flagged: bool, params: &Params) -> &mut Self {
        let block_type = if flagged { BlockType::EVF } else { BlockType::EV };
        let mut body = head.cpu.to_le_bytes().to_vec();
        if flagged {
            body.extend_from_slice(&head.flags.to_le_bytes());
        }
        let data: usize = params.0.iter().map(|p| p.len().saturating_add(2)).sum();
        let len = u32::try_from(data.saturating_add(22)).unwrap_or(u32::MAX);
        body.extend_from_slice(&head.ts.to_le_bytes());
        body.extend_from_slice(&head.tid.to_le_bytes());
        body.extend_from_slice(&len.to_le_bytes());
        body.extend_from_slice(&head.event_type.to_le_bytes());
        for p in &params.0 {
            body.extend_from_slice(&u16::try_from(p.len()).unwrap_or(u16::MAX).to_le_bytes());
        }
        for p in &params.0 {
            body.extend_from_slice(p);
        }
        self.block(block_type, &body)
    }
}

/// The parameters of an event under construction.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<Vec<u8>>);

impl Params {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes as they are; empty means "not available".
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.push(bytes.to_vec());
        self
    }

    /// A string with its NUL.
    #[must_use]
    pub fn str(self, text: &str) -> Self {
        self.bytes(&[text.as_bytes(), &[0]].concat())
    }

    /// Not available.
    #[must_use]
    pub fn empty(self) -> Self {
        self.bytes(&[])
    }

    /// 64 bits, signed.
    #[must_use]
    pub fn i64(self, value: i64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// 64 bits.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// 32 bits.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// 16 bits.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// 8 bits.
    #[must_use]
    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    /// The parameters as slices.
    pub fn slices(&self) -> Vec<&[u8]> {
        self.0.iter().map(Vec::as_slice).collect()
    }
}
