//! Typed level: blocks with their contents.

use super::{Blocks, Damages, Piece};
use crate::input::Input;
use crate::{Block, Compression, Content, Damage, DamageKind, Error, Limits, Result};
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

    /// The next item; `None` at the end.
    ///
    /// # Errors
    /// As [`Blocks::next`].
    #[allow(clippy::should_implement_trait)] // items borrow the reader's buffer
    #[inline]
    pub fn next(&mut self) -> Result<Option<Item<'_>>> {
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
            let damage = Damage { offset: block.offset, block: block.number, kind, skipped: 0, resumed: None };
            if self.strict {
                return Err(Error::Strict { name: self.name.clone(), damage: Box::new(damage) });
            }
            self.contents.push(damage);
        }
        Ok(Some(Item::Block(block, content)))
    }
}
