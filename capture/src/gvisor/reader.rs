//! A file of packets, read as the capture that a recorder would have written of them.

use super::map::{Counts, Events, Mapper};
use super::start_of;
use super::stream::{Reader, Sent, What};
use crate::record::{block, each_block};
use bytes::Bytes;
use scapkit_format::schema::id;
use scapkit_format::{EventHead, encode};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of the capture that are made at once.
const AT_ONCE: usize = 256 << 10;
/// Sentences about a stream that are kept.
const MAX_NOTES: usize = 100;

/// What was found in a stream so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages, and what could not be made into events.
    pub counts: Counts,
    /// What is wrong with the file, with the places.
    pub notes: Vec<String>,
}

impl Report {
    /// What is wrong with the stream.
    pub fn damages(&self) -> Vec<String> {
        let mut all = self.notes.clone();
        if self.counts.malformed > 0 {
            all.push(format!("{} packets hold no message", self.counts.malformed));
        }
        all
    }

    /// The same, and what could not be made into events.
    pub fn sentences(&self) -> Vec<String> {
        self.notes.iter().cloned().chain(self.counts.sentences()).collect()
    }
}

/// The report of a stream that something else reads.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Report>>);

impl Shared {
    /// The report as of now.
    pub fn get(&self) -> Report {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, report: Report) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}

/// Bytes of a plain capture.
pub struct AsCapture {
    stream: Reader,
    mapper: Mapper,
    events: Events,
    /// Made and not yet read.
    made: Vec<u8>,
    /// Where each block of it ends, and the time of its event.
    marks: Vec<(usize, Option<u64>)>,
    at: usize,
    begun: bool,
    has_events: bool,
    ended: bool,
    report: Shared,
    /// What is to be said of the first connection before its packets.
    procfs: Option<Bytes>,
}

impl AsCapture {
    /// Reads the packets of `stream`. `procfs`: what `runsc trace procfs` said of the (first) sandbox before.
    pub fn new(stream: Reader, procfs: Option<Vec<u8>>) -> AsCapture {
        AsCapture {
            stream,
            mapper: Mapper::default(),
            events: Events::default(),
            made: Vec::new(),
            marks: Vec::new(),
            at: 0,
            begun: false,
            has_events: false,
            ended: false,
            report: Shared::default(),
            procfs: procfs.map(Bytes::from),
        }
    }

    /// What is found in the stream, also after this has become somebody else's.
    pub fn report(&self) -> Shared {
        self.report.clone()
    }

    fn make(&mut self) -> crate::Result<()> {
        self.made.clear();
        self.marks.clear();
        self.at = 0;
        while !self.ended && self.made.len() < AT_ONCE {
            let Some(sent) = self.stream.next()? else {
                self.ended = true;
                break;
            };
            // Connections and lists of processes first, as in a recording: a capture has its lists before its events.
            if !matches!(sent.what, What::Opened | What::Procfs(_)) {
                if let Some(dump) = self.procfs.take() {
                    self.mapper.take(&Sent { connection: sent.connection, what: What::Procfs(dump) }, &mut self.events);
                }
                self.begin()?;
            }
            self.mapper.take(&sent, &mut self.events);
            if self.begun {
                self.put();
            }
        }
        if self.ended {
            self.begin()?;
            self.put();
            if !self.has_events {
                self.nothing()?;
            }
        }
        let notes = self.stream.notes().iter().take(MAX_NOTES).map(ToString::to_string).collect();
        self.report.set(Report { counts: self.mapper.counts().clone(), notes });
        Ok(())
    }

    /// Gives the next blocks of the capture, each with the time of its event if it is one: what [`Read`] gives, to
    /// those who want blocks and not bytes. `false`: there are no more.
    ///
    /// # Errors
    /// When the stream cannot be read, and those of `each`.
    pub fn blocks<E: From<crate::Error>>(
        &mut self,
        mut each: impl FnMut(&[u8], Option<u64>) -> Result<(), E>,
    ) -> Result<bool, E> {
        if self.ended {
            return Ok(false);
        }
        self.make()?;
        let mut start = 0;
        for (end, ts) in &self.marks {
            each(self.made.get(start..*end).unwrap_or_default(), *ts)?;
            start = *end;
        }
        self.at = self.made.len();
        Ok(true)
    }

    /// Appends the events that were made.
    fn put(&mut self) {
        for (origin, event) in self.events.iter() {
            if let Some(head) = block::head(event) {
                block::put(&mut self.made, origin.cpu, origin.flags, head.event_type, event);
                self.marks.push((self.made.len(), Some(head.ts)));
                self.has_events = true;
            }
        }
        self.events.clear();
    }

    /// Readers need an event, also of a sandbox that sent nothing; recorders write the same one.
    fn nothing(&mut self) -> crate::Result<()> {
        let head = EventHead { tid: -1, event_type: id::SCAPEVENT_E, ..EventHead::default() };
        encode::event(&mut self.made, head, &[&0u32.to_le_bytes(), &0u64.to_le_bytes()])?;
        self.marks.push((self.made.len(), Some(0)));
        Ok(())
    }

    /// What stands before the first event.
    fn begin(&mut self) -> crate::Result<()> {
        if !self.begun {
            self.begun = true;
            let mut end = self.made.len();
            start_of(&mut self.mapper, &mut self.made)?;
            let marks = &mut self.marks;
            for block in each_block(self.made.get(end..).unwrap_or_default()) {
                end += block.bytes().len();
                marks.push((end, None));
            }
        }
        Ok(())
    }
}

impl Read for AsCapture {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.made.len() && !self.ended {
            self.make().map_err(|e| match e {
                crate::Error::System { source, .. } => source,
                e => io::Error::new(io::ErrorKind::InvalidData, e.to_string()),
            })?;
        }
        let rest = self.made.get(self.at..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        self.at += n;
        Ok(n)
    }
}
