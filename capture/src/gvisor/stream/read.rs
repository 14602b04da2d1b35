//! Reads files of packets.

use super::{
    CLOSED, CONTROL, DROPPED, HANDSHAKE, LENGTH, MAX_HANDSHAKE, PACKET, PROCFS, REPLY, SIGNATURE, SWITCH, Sent,
    StreamKind, StreamNote, What, sniff,
};
use crate::{Error, Result};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};

/// Bytes read at once, and shared by the packets in them.
const CHUNK: usize = 1 << 20;
/// Notes kept.
const MAX_NOTES: usize = 64;
/// Largest text of settings in gVisor's own files; theirs has 13 bytes.
const MAX_SETTINGS: u64 = 64 << 10;

/// Upper bounds of what a file may ask of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// Largest packet, bytes. What a sandbox can send is bounded by its socket, usually to 208 KiB.
    pub max_packet: u32,
    /// Largest control record, bytes: what `runsc trace procfs` says of a sandbox.
    pub max_control: u32,
    /// Most connections that are open at the same time.
    pub max_connections: u32,
}

impl Default for StreamLimits {
    fn default() -> Self {
        StreamLimits { max_packet: 1 << 20, max_control: 64 << 20, max_connections: 65536 }
    }
}

/// Reads a file of packets of either form, from anything that can be read.
///
/// A file that ends inside a record, or that is damaged, ends there with a note: all connections are then closed, and
/// what was read is good.
pub struct Reader {
    input: Box<dyn Read + Send>,
    limits: StreamLimits,
    kind: StreamKind,
    /// What was read and not given yet, and room behind it.
    chunk: BytesMut,
    /// Bytes of `chunk` that were read.
    have: usize,
    /// Where `chunk` begins in the file.
    offset: u64,
    /// Nothing more comes from the input.
    ended: bool,
    /// No more records: what is left is to close connections.
    over: bool,
    current: u32,
    open: BTreeSet<u32>,
    /// The number of the last connection that was opened: all up to it are open or were closed.
    last: Option<u32>,
    /// To be given next.
    held: Option<Sent>,
    notes: Vec<StreamNote>,
    left_out: u64,
}

impl Reader {
    /// Begins to read `input`, whose form is seen from how it begins. A file of no bytes is one of no connections.
    ///
    /// # Errors
    /// When it cannot be read, is no file of packets, or is of a version that is not known.
    pub fn new(input: impl Read + Send + 'static, limits: StreamLimits) -> Result<Reader> {
        let mut reader = Reader {
            input: Box::new(input),
            limits,
            kind: StreamKind::Gvstream,
            chunk: BytesMut::new(),
            have: 0,
            offset: 0,
            ended: false,
            over: false,
            current: 0,
            open: BTreeSet::new(),
            last: None,
            held: None,
            notes: Vec::new(),
            left_out: 0,
        };
        reader.fill(SIGNATURE.len())?;
        let start = reader.chunk.get(..reader.have.min(SIGNATURE.len())).unwrap_or(&[]);
        let Some(kind) = sniff(start) else {
            if start.is_empty() {
                reader.over = true;
                return Ok(reader);
            }
            let found = start.escape_ascii();
            return Err(Error::Option(format!(
                "no file of packets: wanted a handshake or `tracereplay file`, found \"{found}\""
            )));
        };
        reader.kind = kind;
        if kind == StreamKind::Tracereplay {
            reader.settings()?;
            reader.held = reader.open_current();
        }
        Ok(reader)
    }

    /// The form of the file.
    pub fn kind(&self) -> StreamKind {
        self.kind
    }

    /// How far the file was read, in bytes: where the next record begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is wrong with the file, as far as it was read; not more than 65, see [`Reader::notes_left_out`].
    pub fn notes(&self) -> &[StreamNote] {
        &self.notes
    }

    /// How many notes were not kept.
    pub fn notes_left_out(&self) -> u64 {
        self.left_out
    }

    /// The next thing sent; `None` at the end, when all connections were closed.
    ///
    /// # Errors
    /// When the input cannot be read. A later call goes on where this one failed.
    #[allow(clippy::should_implement_trait)] // an iterator would have the error inside
    pub fn next(&mut self) -> Result<Option<Sent>> {
        loop {
            if let Some(held) = self.held.take() {
                return Ok(Some(held));
            }
            if self.over {
                return Ok(self.open.pop_first().map(|connection| Sent { connection, what: What::Closed }));
            }
            let sent = match self.kind {
                StreamKind::Gvstream => self.record()?,
                StreamKind::Tracereplay => self.saved()?,
            };
            if sent.is_some() {
                return Ok(sent);
            }
        }
    }

    /// A record of a `.gvstream`; `None` when nothing is to be given for it.
    fn record(&mut self) -> Result<Option<Sent>> {
        let at = self.offset;
        let Some(&word) = self.head::<4>()? else { return Ok(None) };
        let word = u32::from_le_bytes(word);
        let (flags, length) = (word >> 28, word & LENGTH);
        let (name, limit) = match flags {
            PACKET => ("a packet", self.limits.max_packet),
            CONTROL => ("a control record", self.limits.max_control),
            HANDSHAKE | REPLY => ("a handshake", MAX_HANDSHAKE),
            _ => {
                self.end(at, format!("no record: wanted bits 31..28 of {PACKET:04b}, {CONTROL:04b}, {HANDSHAKE:04b} or {REPLY:04b}, found {flags:04b}"));
                return Ok(None);
            }
        };
        let Some(body) = self.body(4, u64::from(length), name, limit)? else { return Ok(None) };
        match flags {
            PACKET => return Ok(self.of_current(at, What::Packet(body))),
            HANDSHAKE => return Ok(self.handshake(at, &body)),
            REPLY => return Ok(None),
            _ => {}
        }
        match body.split_first() {
            Some((&SWITCH, number)) => match number.first_chunk() {
                Some(number) => self.current = u32::from_le_bytes(*number),
                // Whose the following packets are cannot be known.
                None => self.end(at, format!("a switch of connections: wanted 5 bytes, found {}", body.len())),
            },
            Some((&CLOSED, _)) if self.open.remove(&self.current) => {
                return Ok(Some(Sent { connection: self.current, what: What::Closed }));
            }
            Some((&CLOSED, _)) => self.note(at, format!("connection {} is closed, but not open", self.current)),
            Some((&PROCFS, _)) => return Ok(self.of_current(at, What::Procfs(body.slice(1..)))),
            Some((&DROPPED, count)) => match count.first_chunk() {
                Some(count) => return Ok(self.of_current(at, What::Dropped(u32::from_le_bytes(*count)))),
                None => self.note(at, format!("packets that were not kept: wanted 5 bytes, found {}", body.len())),
            },
            Some((kind, _)) => self.note(at, format!("control record of kind {kind}, which is not known: skipped")),
            None => self.note(at, "a control record of no bytes: skipped".into()),
        }
        Ok(None)
    }

    /// The handshake of the current connection.
    fn handshake(&mut self, at: u64, packet: &[u8]) -> Option<Sent> {
        match scapkit_proto::handshake(packet) {
            Ok(0) => {
                self.note(at, format!("handshake of connection {}: wanted version 1 or later, found 0", self.current));
            }
            Ok(_) => {}
            Err(e) => self.note(at, format!("handshake of connection {}: {e}", self.current)),
        }
        let opened = self.open_current();
        if opened.is_none() {
            self.note(
                at,
                format!("a second handshake of connection {}, or too many connections: skipped", self.current),
            );
        }
        opened
    }

    /// Opens the current connection; `None` if it was opened before, or there are too many.
    fn open_current(&mut self) -> Option<Sent> {
        let new = self.last.is_none_or(|last| self.current > last);
        if !new || self.open.len() >= self.limits.max_connections as usize {
            return None;
        }
        self.last = Some(self.current);
        self.open.insert(self.current);
        Some(Sent { connection: self.current, what: What::Opened })
    }

    /// Something of the current connection, which is opened before if the handshake is missing.
    fn of_current(&mut self, at: u64, what: What) -> Option<Sent> {
        let connection = self.current;
        let sent = Sent { connection, what };
        if self.open.contains(&connection) {
            return Some(sent);
        }
        let opened = self.open_current();
        if opened.is_some() {
            self.note(at, format!("connection {connection} has no handshake"));
            self.held = Some(sent);
        } else {
            self.note(at, format!("connection {connection} is not open: skipped"));
        }
        opened
    }

    /// The settings at the beginning of gVisor's own files.
    fn settings(&mut self) -> Result<()> {
        let wrong = |found: String| {
            Error::Option(format!("gVisor's saved trace: wanted settings {{\"version\":1}}, found {found}"))
        };
        self.skip(SIGNATURE.len());
        self.fill(8)?;
        let Some(length) = self.start().first_chunk().map(|l| u64::from_le_bytes(*l)) else {
            return Err(wrong("the end of the file".into()));
        };
        if length > MAX_SETTINGS {
            return Err(wrong(format!("{length} bytes of them")));
        }
        self.skip(8);
        #[allow(clippy::cast_possible_truncation)] // it is at most the limit
        let length = length as usize;
        if !self.fill(length)? {
            return Err(wrong("the end of the file".into()));
        }
        let text = self.take(length);
        let json: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
        match json.as_ref().and_then(|json| json.get("version")) {
            Some(version) if version.as_u64() == Some(1) => Ok(()),
            Some(version) => Err(wrong(format!("version {}", short(&version.to_string())))),
            None => Err(wrong(format!("\"{}\"", short(&text.escape_ascii().to_string())))),
        }
    }

    /// A packet of gVisor's own files.
    fn saved(&mut self) -> Result<Option<Sent>> {
        let at = self.offset;
        let Some(&length) = self.head::<8>()? else { return Ok(None) };
        let body = self.body(8, u64::from_le_bytes(length), "a packet", self.limits.max_packet)?;
        Ok(body.and_then(|body| self.of_current(at, What::Packet(body))))
    }

    /// The first bytes of a record, which stay where they are; `None` at the end of the file.
    fn head<const N: usize>(&mut self) -> Result<Option<&[u8; N]>> {
        if !self.fill(N)? {
            self.over = true;
            if self.have > 0 {
                let found = self.have;
                self.end(self.offset, format!("truncated tail: wanted {N} bytes of a record, found {found}"));
            }
        }
        // Not simply the first: room behind the last byte is no record.
        Ok(if self.over { None } else { self.start().first_chunk() })
    }

    /// The bytes of a record after the `head` bytes of its length; `None` when there are not as many, or too many.
    fn body(&mut self, head: usize, length: u64, name: &str, limit: u32) -> Result<Option<Bytes>> {
        if length == 0 || length > u64::from(limit) {
            self.end(self.offset, format!("{name}: wanted 1 to {limit} bytes, found a length of {length}"));
            return Ok(None);
        }
        #[allow(clippy::cast_possible_truncation)] // it is at most the limit
        let length = length as usize;
        if !self.fill(head + length)? {
            let (wanted, found) = (head + length, self.have);
            self.end(self.offset, format!("truncated tail: {name} needs {wanted} bytes, {found} are there"));
            return Ok(None);
        }
        self.skip(head);
        Ok(Some(self.take(length)))
    }

    /// What was read and not taken.
    fn start(&self) -> &[u8] {
        self.chunk.get(..self.have).unwrap_or(&[])
    }

    /// Reads until there are `wanted` bytes; false when the input ends before.
    fn fill(&mut self, wanted: usize) -> Result<bool> {
        while self.have < wanted && !self.ended {
            if self.have == self.chunk.len() {
                // As much as was there at most: a length is a claim, the bytes must come before the memory.
                let mut chunk = BytesMut::zeroed(CHUNK.max(self.have.saturating_mul(2)));
                if let Some(start) = chunk.get_mut(..self.have) {
                    start.copy_from_slice(self.start());
                }
                self.chunk = chunk;
            }
            let room = self.chunk.get_mut(self.have..).unwrap_or_default();
            match self.input.read(room) {
                Ok(0) => self.ended = true,
                // No reader may say more than there was room for, but it may be anybody's.
                Ok(n) => self.have = (self.have + n).min(self.chunk.len()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::system(format!("read packets after byte {}", self.offset), e)),
            }
        }
        Ok(self.have >= wanted)
    }

    /// The next `length` bytes, which [`Reader::fill`] got.
    fn take(&mut self, length: usize) -> Bytes {
        let length = length.min(self.have);
        self.have -= length;
        self.offset += length as u64;
        self.chunk.split_to(length).freeze()
    }

    /// Goes past the next `length` bytes, which are not wanted.
    fn skip(&mut self, length: usize) {
        let length = length.min(self.have);
        self.have -= length;
        self.offset += length as u64;
        self.chunk.advance(length);
    }

    fn note(&mut self, offset: u64, text: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(StreamNote { offset, text });
        } else {
            self.left_out += 1;
        }
    }

    /// The last record was read. Why is always said.
    fn end(&mut self, offset: u64, text: String) {
        self.over = true;
        self.notes.push(StreamNote { offset, text });
    }
}

/// A text of strangers, for an error.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
