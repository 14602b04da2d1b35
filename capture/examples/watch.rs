//! Records with the probe for some seconds and prints what came by type: `watch [SECONDS]`.

use scapkit_capture::Source;
use scapkit_capture::ebpf::{Ebpf, ProbeOptions};
use scapkit_format::{Event, schema};
use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(3), |s| s.parse())?;
    let own = i32::try_from(std::process::id())?;
    let begun = Instant::now();
    let mut probe = Ebpf::load(&ProbeOptions { exclude_tgids: vec![own], ..ProbeOptions::default() })?;
    println!("loaded in {:?}: {}", begun.elapsed(), probe.programs().join(" "));
    for note in probe.notes() {
        println!("note: {note}");
    }
    probe.start()?;
    let mut types: BTreeMap<u16, u64> = BTreeMap::new();
    let mut wrong = 0u64;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut running = true;
    while !probe.is_over() {
        std::thread::sleep(probe.pause());
        probe.drain(&mut |origin, bytes| {
            let event = Event::parse_v2(bytes, origin.cpu, origin.flags);
            match event.ok().and_then(|e| Some((e, e.info()?))) {
                Some((e, info)) if info.params.len() == e.nparams as usize => {
                    *types.entry(e.event_type).or_default() += 1;
                }
                _ => wrong += 1,
            }
            ControlFlow::Continue(())
        })?;
        if running && Instant::now() > end {
            probe.stop()?;
            running = false;
        }
    }
    for (event_type, n) in types {
        println!("{n:9} {}", schema::event_info(event_type).map_or_else(String::new, ToString::to_string));
    }
    println!("{wrong} that are no events; {:?}", probe.counters()?);
    Ok(())
}
