//! Opens what gives events, by the name of the engine.

use anyhow::{Result, bail};
use scapkit_capture::record::Buffered;
use scapkit_capture::simulated::{Script, Simulated};
use scapkit_capture::{Source, privileges};

/// What is wanted of an engine.
pub struct Wanted<'a> {
    /// `ebpf`, `gvisor`, `kmod`; `simulated:SCRIPT` plays a capture (for tests, see [`Script::parse`]).
    pub engine: &'a str,
    /// Only events of these types; `None`: all.
    pub types: Option<Vec<u16>>,
    /// Bytes of each I/O buffer.
    #[expect(dead_code, reason = "only engines of the kernel can do it")]
    pub snaplen: u32,
    /// Only this process and all that it starts.
    #[expect(dead_code, reason = "only engines of the kernel can do it")]
    pub tree_of: Option<u32>,
}

/// An engine that is ready.
pub struct Opened {
    /// To be started; one that had to be started before its machine could be looked at takes that well.
    pub source: Box<dyn Source>,
    /// What the recording starts with: section header, lists, events about the initial state, as blocks.
    pub lists: Vec<u8>,
    /// Events that came after that and before those that the source gives from now on.
    pub buffered: Vec<Buffered>,
}

/// Opens an engine. Its own events are not among those that it gives.
pub fn open(wanted: &Wanted<'_>) -> Result<Opened> {
    let engine = wanted.engine;
    if let Some(script) = engine.strip_prefix("simulated:") {
        let mut source = Simulated::open(&Script::parse(script)?)?;
        source.only(wanted.types.as_deref());
        let lists = source.lists().to_vec();
        return Ok(Opened { source: Box::new(source), lists, buffered: Vec::new() });
    }
    match engine {
        "ebpf" => {
            privileges::check()?;
            bail!("engine ebpf: this build has no probe");
        }
        "gvisor" | "kmod" => bail!("engine {engine}: this build cannot record with it"),
        _ => bail!("--engine {engine}: there are ebpf, gvisor and kmod"),
    }
}
