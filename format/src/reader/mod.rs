//! Sequential reading: [`Blocks`] gives raw blocks and what lies between them, [`Capture`] gives
//! blocks with their contents.
//!
//! Both keep a list of damages and go on; only an input that is no capture at all, or that cannot
//! be read, is an error. Memory is one buffer, as large as the largest block met.

mod blocks;
mod capture;
mod describe;

pub use blocks::Blocks;
pub use capture::{Capture, CommonEvent, Item};

use crate::{Block, Damage};

/// Damages kept in full; further ones are only counted.
const MAX_DAMAGES: usize = 10_000;

/// A piece of a capture, in the order of the file. The pieces together are all its bytes.
#[derive(Debug, Clone, Copy)]
pub enum Piece<'a> {
    /// A block.
    Block(Block<'a>),
    /// Bytes of a damaged stretch, possibly one of several pieces of it.
    Skipped {
        /// Plain offset.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
}

/// Findings so far.
#[derive(Debug, Default, Clone)]
pub struct Damages {
    /// The first 10,000.
    pub list: Vec<Damage>,
    /// How many there were.
    pub count: u64,
}

impl Damages {
    fn push(&mut self, damage: Damage) {
        self.count = self.count.saturating_add(1);
        if self.list.len() < MAX_DAMAGES {
            self.list.push(damage);
        }
    }
}
