//! How fast captures are written and read, container by container, from and to memory.
//!
//! `cargo bench -p scapkit-format --bench write [CAPTURE]`; without an argument the project's shared
//! benchmark capture is used where it is present, else a synthetic one. Runs are interleaved, so that
//! what else the machine does hits all of them; medians are printed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

mod common;

use common::{capture, median};
use scapkit_format::profile::{Profile, ProfileWriter};
use scapkit_format::write::{ChunkWriter, Trailer, WriteOptions};
use scapkit_format::{Capture, Compression, Content, Item, Limits, input::Input};
use std::hint::black_box;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

const RUNS: usize = 5;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn open(bytes: &Arc<[u8]>) -> Capture {
    let limits = Limits::default();
    Capture::new(Input::from_bytes(bytes.clone(), "memory", &limits), limits)
}

fn write(plain: &Arc<[u8]>, options: &WriteOptions) -> Vec<u8> {
    let memory = Memory::default();
    let writer = ChunkWriter::from_writer(Box::new(memory.clone()), "memory", options).unwrap();
    let mut writer = ProfileWriter::new(writer, Profile::AsIs);
    let mut capture = open(plain);
    while let Some(item) = capture.next().unwrap() {
        match item {
            Item::Block(block, content) => writer.block(&block, &content).unwrap(),
            Item::Skipped { bytes, .. } => writer.skipped(bytes).unwrap(),
        }
    }
    writer.finish().unwrap().0.finish(Trailer::None).unwrap();
    let mut bytes = memory.0.lock().unwrap();
    std::mem::take(&mut *bytes)
}

fn read(stored: &Arc<[u8]>) -> u64 {
    let mut capture = open(stored);
    let mut sum = 0u64;
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(_, Content::Event(e)) = item {
            sum = sum.wrapping_add(e.ts ^ u64::from(e.event_type));
        }
    }
    sum
}

fn main() {
    let (name, bytes) = capture();
    let plain: Arc<[u8]> = bytes.into();
    let cores = WriteOptions::default().threads;
    println!(
        "{name}: {} bytes plain, {cores} compression threads; medians of {RUNS} runs, MB/s of plain bytes",
        plain.len()
    );
    let cases: Vec<(&str, WriteOptions)> = [
        ("none", Compression::None, None, cores),
        ("zstd-3", Compression::Zstd, Some(3), cores),
        ("gzip-6", Compression::Gzip, Some(6), cores),
        ("zstd-3, 1 thread", Compression::Zstd, Some(3), 0),
        ("gzip-6, 1 thread", Compression::Gzip, Some(6), 0),
    ]
    .into_iter()
    .map(|(name, compression, level, threads)| {
        (name, WriteOptions { compression, level, threads, ..WriteOptions::default() })
    })
    .collect();
    let stored: Vec<Arc<[u8]>> = cases.iter().map(|(_, options)| write(&plain, options).into()).collect();
    let mut times = vec![(Vec::new(), Vec::new()); cases.len()];
    for _ in 0..RUNS {
        for (at, (_, options)) in cases.iter().enumerate() {
            let start = Instant::now();
            black_box(write(black_box(&plain), options));
            times[at].0.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            black_box(read(black_box(&stored[at])));
            times[at].1.push(start.elapsed().as_secs_f64());
        }
    }
    let rate = |runs: &Vec<f64>| plain.len() as f64 / median(runs.clone()) / 1e6;
    println!("{:<18} {:>8} {:>8} {:>7}", "", "write", "read", "ratio");
    for ((name, _), ((written, read), stored)) in cases.iter().zip(times.iter().zip(&stored)) {
        let ratio = plain.len() as f64 / stored.len() as f64;
        println!("{name:<18} {:>8.0} {:>8.0} {ratio:>7.2}", rate(written), rate(read));
    }
}
