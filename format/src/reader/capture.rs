//! Typed level: blocks with their contents.

use super::{Blocks, Damages, Piece};
use crate::input::Input;
use crate::{Block, Compression, Content, Damage, DamageKind, Error, Event, Limits, Result};
use std::io::Read;
use std::path::Path;

/// A block with its contents, or bytes that belong to none.
#[derive(Debug, Clone)]
pub enum Item<'a> {
    /// A block. Its contents may be broken; the damage is then on the list.
    Block(Block<'a>, Content<'a>),
    /// Bytes of a damaged stretch.
    Skipped {
        /// Plain offset.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
}

/// Typed level reader: blocks with their contents.
///
/// ```no_run
/// use scapkit_format::{Capture, Content, Item, Limits};
/// let mut capture = Capture::open("incident.scap".as_ref(), Limits::default())?;
/// while let Some(item) = capture.next()? {
///     if let Item::Block(_, Content::Event(event)) = item {
///         println!("{} {}", event.ts, event.info().map_or("?", |i| i.name));
///     }
/// }
/// for damage in &capture.damages().list {
///     eprintln!("{damage}");
/// }
/// # Ok::<(), scapkit_format::Error>(())
/// ```
pub struct Capture {
    blocks: Blocks,
    name: String,
    limits: Limits,
    strict: bool,
    events_in_section: u64,
    contents: Damages,
}

impl Capture {
    /// Opens a file, pipe or device.
    ///
    /// # Errors
    /// [`Error::Input`] when it cannot be opened.
    pub fn open(path: &Path, limits: Limits) -> Result<Self> {
        Ok(Self::new(Input::open(path, &limits)?, limits))
    }

    /// Reads from a stream such as stdin.
    ///
    /// # Errors
    /// [`Error::Input`] when it cannot be read.
    pub fn from_reader(reader: Box<dyn Read + Send>, name: &str, limits: Limits) -> Result<Self> {
        Ok(Self::new(Input::from_reader(reader, name, &limits)?, limits))
    }

    /// Reads from memory.
    pub fn from_bytes(bytes: Vec<u8>, name: &str, limits: Limits) -> Self {
        Self::new(Input::from_bytes(bytes, name, &limits), limits)
    }

    /// Reads from an input.
    pub fn new(input: Input, limits: Limits) -> Self {
        let name = input.name().to_owned();
        let blocks = Blocks::new(input, limits);
        Capture { blocks, name, limits, strict: false, events_in_section: 0, contents: Damages::default() }
    }

    /// Turns the first damage into [`Error::Strict`].
    pub fn set_strict(&mut self, strict: bool) {
        self.strict = strict;
        self.blocks.set_strict(strict);
    }

    /// See [`Blocks::set_follow`].
    pub fn set_follow(&mut self, follow: bool) {
        self.blocks.set_follow(follow);
    }

    /// What was found wrong so far, in the order of the file.
    pub fn damages(&self) -> Damages {
        let mut all = self.blocks.damages().clone();
        all.list.extend(self.contents.list.iter().cloned());
        all.list.sort_by_key(|d| (!d.in_stored_bytes(), d.offset));
        all.count = all.count.saturating_add(self.contents.count);
        all
    }

    /// How many damages were found so far.
    pub fn damage_count(&self) -> u64 {
        self.blocks.damages().count.saturating_add(self.contents.count)
    }

    /// The input's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the input is compressed; known once the first item was read, or after
    /// [`Capture::detect`].
    pub fn compression(&self) -> Compression {
        self.blocks.compression()
    }

    /// See [`Blocks::detect`].
    ///
    /// # Errors
    /// As [`Blocks::detect`].
    pub fn detect(&mut self) -> Result<Compression> {
        self.blocks.detect()
    }

    /// Stored (compressed) bytes consumed, and how many there are where known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        self.blocks.progress()
    }

    /// Plain bytes read.
    pub fn offset(&self) -> u64 {
        self.blocks.offset()
    }

    /// The event that comes next and its length, if that can be told without reading on; `None` says
    /// nothing. It is not taken: [`Capture::pass_event`] does that, and [`Capture::next`] gives it again.
    #[inline]
    pub fn event_ahead(&self) -> Option<(Event<'_>, usize)> {
        let (len, flagged) = self.blocks.event_ahead()?;
        let event = Event::parse_body(self.blocks.ahead(len).body(), true, flagged).ok()?;
        Some((event, len))
    }

    /// Goes past the event that [`Capture::event_ahead`] gave.
    #[inline]
    pub fn pass_event(&mut self, len: usize) {
        self.blocks.take_event(len);
        self.events_in_section = self.events_in_section.saturating_add(1);
    }

    /// The event that comes next, as [`Capture::next`] gives it, without its block: the short way for most
    /// blocks. `None` when it is no event of the common kind, or broken: [`Capture::next`] then tells.
    ///
    /// The first of two steps: [`Capture::common_event`] gives the event.
    #[inline]
    pub fn common_event_ahead(&self) -> Option<CommonEvent> {
        self.blocks.event_ahead().map(|(len, flagged)| CommonEvent { len, flagged })
    }

    /// Takes the event that [`Capture::common_event_ahead`] found; `None` when its contents are broken, which
    /// is then on the list of damages.
    ///
    /// # Errors
    /// [`Error::Strict`].
    #[inline]
    pub fn common_event(&mut self, found: &CommonEvent) -> Result<Option<Event<'_>>> {
        self.blocks.take_event(found.len);
        let block = self.blocks.taken(found.len);
        match Event::parse_body(block.body(), true, found.flagged) {
            Ok(event) => {
                self.events_in_section = self.events_in_section.saturating_add(1);
                Ok(Some(event))
            }
            Err(kind) => note(&mut self.contents, &self.name, self.strict, &block, kind).map(|()| None),
        }
    }

    #[inline]
    fn take(&mut self, found: &CommonEvent) -> Result<(Block<'_>, Content<'_>)> {
        self.blocks.take_event(found.len);
        let block = self.blocks.taken(found.len);
        let content = match Event::parse_body(block.body(), true, found.flagged) {
            Ok(event) => {
                self.events_in_section = self.events_in_section.saturating_add(1);
                Content::Event(event)
            }
            Err(kind) => {
                note(&mut self.contents, &self.name, self.strict, &block, kind.clone())?;
                Content::Broken(kind)
            }
        };
        Ok((block, content))
    }

    /// The next item; `None` at the end.
    ///
    /// # Errors
    /// As [`Blocks::next`].
    #[allow(clippy::should_implement_trait)] // items borrow the reader's buffer
    pub fn next(&mut self) -> Result<Option<Item<'_>>> {
        match self.common_event_ahead() {
            Some(found) => self.take(&found).map(|(block, content)| Some(Item::Block(block, content))),
            None => self.next_of_any_kind(),
        }
    }

    fn next_of_any_kind(&mut self) -> Result<Option<Item<'_>>> {
        let block = match self.blocks.next()? {
            None => return Ok(None),
            Some(Piece::Skipped { offset, bytes }) => {
                return Ok(Some(Item::Skipped { offset, bytes }));
            }
            Some(Piece::Block(block)) => block,
        };
        let content = Content::of(&block, &self.limits);
        let damage = match &content {
            Content::Event(_) => {
                self.events_in_section = self.events_in_section.saturating_add(1);
                None
            }
            Content::Broken(kind) => Some(kind.clone()),
            Content::Section(_) => {
                self.events_in_section = 0;
                None
            }
            Content::Unknown | Content::Checkpoint(_) if self.events_in_section > 0 => {
                Some(DamageKind::UnknownBlock { block_type: block.block_type.0 })
            }
            other => other.list_damage(),
        };
        if let Some(kind) = damage {
            note(&mut self.contents, &self.name, self.strict, &block, kind)?;
        }
        Ok(Some(Item::Block(block, content)))
    }
}

/// An event that was found ahead.
#[derive(Debug, Clone, Copy)]
pub struct CommonEvent {
    len: usize,
    flagged: bool,
}

/// Puts a damage of a block on the list, or fails with it.
#[cold]
fn note(damages: &mut Damages, name: &str, strict: bool, block: &Block<'_>, kind: DamageKind) -> Result<()> {
    let damage = Damage { offset: block.offset, block: block.number, kind, skipped: 0, resumed: None };
    if strict {
        return Err(Error::Strict { name: name.to_owned(), damage: Box::new(damage) });
    }
    damages.push(damage);
    Ok(())
}
