//! Replays captures: schema upgrade, process and file state, fields, text.
//!
//! Input is events only: no clock, no `/proc`, no host file, no locale. The same capture gives the
//! same answers on every machine.
//!
//! ```text
//! format::Capture -> items -> upgrade (current schema) -> Engine (state) -> Context -> fields, text
//! ```

mod context;
pub mod digest;
pub mod engine;
pub mod fields;
pub mod format;
pub mod replay;
mod suppress;
pub mod text;
pub mod upgrade;

pub use context::{Context, TextOptions, TimeMode};
pub use engine::{Engine, Fd, Thread};
pub use format::{DEFAULT_JSON, DEFAULT_LINE, Format, FormatError};
pub use replay::{Checkpoint, Played, Player, Replay, ReplayOptions, Step, View, Visibility};
pub use text::{BufferMode, Dialect};
pub use upgrade::{Upgraded, Upgrader};
