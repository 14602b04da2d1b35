use scapkit_capture::{Counters, Result, Source};
use std::ops::ControlFlow;
use std::time::Duration;
#[derive(Debug, Clone, Default)]
pub struct ProbeOptions { pub ring_bytes: u32, pub snaplen: u16, pub types: Option<Vec<u16>>, pub switches: bool, pub faults: bool, pub signals: bool, pub tree_of: Option<i32>, pub exclude_tgids: Vec<i32> }
pub struct Ebpf(bool);
impl Ebpf { pub fn load(_: &ProbeOptions) -> Result<Self> { Ok(Ebpf(false)) } }
impl Source for Ebpf {
    fn drain(&mut self, _: &mut dyn FnMut(u16, &[u8]) -> ControlFlow<()>) -> Result<u64> { Ok(0) }
    fn pause(&self) -> Duration { Duration::ZERO }
    fn start(&mut self) -> Result<()> { Ok(()) }
    fn stop(&mut self) -> Result<()> { self.0 = true; Ok(()) }
    fn is_over(&self) -> bool { self.0 }
    fn counters(&self) -> Result<Counters> { Ok(Counters::default()) }
}
