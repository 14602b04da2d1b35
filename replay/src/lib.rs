//! Replays captures: schema upgrade, process and file state, fields, filters, text.
//!
//! Input is events only: no clock, no `/proc`, no host file, no locale. The same capture gives the
//! same answers on every machine.
//!
//! ```text
//! format::Capture -> items -> upgrade (current schema) -> Engine (state) -> Context -> filter -> fields, text
//! ```
//!
//! # Example
//!
//! Who went into `/srv`? (The capture here is made on the spot; a file is opened with
//! `Capture::open(path, Limits::default())`.)
//!
//! ```
//! use scapkit_format::{Capture, Limits, schema::id, synth::{Params, Synth}};
//! use scapkit_replay::{Filter, Format, Played, Replay, ReplayOptions, TextOptions, View, Visibility};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut filter = Filter::compile("evt.type=chdir and evt.arg.path startswith /srv")?;
//! let format = Format::compile("%evt.num %evt.type %evt.arg.path")?;
//! let options = TextOptions::default();
//!
//! let call = |path| Params::new().i64(0).str(path);
//! let bytes = Synth::new()
//!     .section()
//!     .event(1_000, 42, id::SYSCALL_CHDIR_X, &call("/srv/www"))
//!     .event(2_000, 42, id::SYSCALL_CHDIR_X, &call("/home"))
//!     .finish();
//! let capture = Capture::from_bytes(bytes, "example", Limits::default());
//! let mut replay = Replay::new(capture, ReplayOptions { view: View::Current, ..ReplayOptions::default() });
//! let mut out = Vec::new();
//! while let Some(played) = replay.next()? {
//!     let Played::Event(step) = played else { continue };
//!     let context = step.context(step.event.ts, &options);
//!     if step.visibility == Visibility::Shown && filter.matches(&context) && format.line(&context, &mut out) {
//!         out.push(b'\n');
//!     }
//! }
//! assert_eq!(out, b"1 chdir /srv/www\n");
//! # Ok(())
//! # }
//! ```

mod context;
pub mod digest;
pub mod engine;
pub mod fields;
pub mod filter;
pub mod format;
mod interest;
pub mod replay;
mod suppress;
pub mod text;
pub mod upgrade;

pub use context::{Context, TextOptions, TimeMode};
pub use digest::{Digest, Digester};
pub use engine::{Engine, Fd, Thread};
pub use filter::{Filter, FilterError};
pub use format::{DEFAULT_JSON, DEFAULT_LINE, Format, FormatError};
pub use interest::Interest;
pub use replay::{Checkpoint, Played, Player, Replay, ReplayOptions, Step, View, Visibility};
pub use text::{BufferMode, Dialect};
pub use upgrade::{Upgraded, Upgrader};
