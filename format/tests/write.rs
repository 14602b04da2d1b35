//! The chunk writer: what it writes can be read by others, is the same whatever the threads, and
//! what it says is safe is safe.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use scapkit_format::Compression;
use scapkit_format::write::{
    BlockMeta, Chunk, ChunkWriter, Trailer, WriteOptions, Written, level_range, trailer_stored_len,
};

#[path = "write/errors.rs"]
mod errors;

const ALL: [Compression; 3] = [Compression::None, Compression::Gzip, Compression::Zstd];

fn options(compression: Compression, chunk_size: usize, threads: usize) -> WriteOptions {
    WriteOptions { compression, chunk_size, threads, ..WriteOptions::default() }
}

/// `count` blocks of 12 to 200 bytes that compress to about half; the same ones every time.
fn blocks(count: usize) -> Vec<Vec<u8>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count)
        .map(|_| {
            let len = 12 + 4 * (next() % 48) as usize;
            (0..len).map(|_| (next() % 16) as u8).collect()
        })
        .collect()
}

/// Every fourth block is no event; event `n` (from 1) has time `1000 + n`, with pairs swapped.
fn meta(index: usize) -> BlockMeta {
    if index % 4 == 3 {
        return BlockMeta::Other;
    }
    let number = (index - index / 4 + 1) as u64;
    BlockMeta::Event { number, ts: 1000 + (number ^ 1) }
}

/// A writer into memory that misbehaves as told.
#[derive(Clone, Default)]
struct Double {
    data: Arc<Mutex<Vec<u8>>>,
    /// Bytes taken before every call fails with `kind`.
    limit: Option<usize>,
    kind: Option<io::ErrorKind>,
    /// Most bytes taken per call.
    short: Option<usize>,
    /// Every other call is interrupted.
    interrupt: bool,
    calls: usize,
}

impl Double {
    fn bytes(&self) -> Vec<u8> {
        self.data.lock().unwrap().clone()
    }

    fn interrupted(&mut self) -> io::Result<()> {
        self.calls += 1;
        if self.interrupt && self.calls % 2 == 1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        Ok(())
    }
}

impl Write for Double {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.interrupted()?;
        let mut data = self.data.lock().unwrap();
        let room = self.limit.map_or(usize::MAX, |limit| limit - data.len());
        if room == 0 {
            return Err(self.kind.unwrap_or(io::ErrorKind::StorageFull).into());
        }
        let len = bytes.len().min(room).min(self.short.unwrap_or(usize::MAX));
        data.extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.interrupted()
    }
}

fn into_double(double: &Double, options: &WriteOptions) -> ChunkWriter {
    ChunkWriter::from_writer(Box::new(double.clone()), "test", options).unwrap()
}

/// Writes `blocks` into memory.
fn write(blocks: &[Vec<u8>], options: &WriteOptions, trailer: Trailer) -> (Vec<u8>, Written) {
    let double = Double::default();
    let mut writer = into_double(&double, options);
    for (index, block) in blocks.iter().enumerate() {
        writer.block(block, meta(index)).unwrap();
    }
    let written = writer.finish(trailer).unwrap();
    (double.bytes(), written)
}

fn plain(compression: Compression, stored: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match compression {
        // The decoders want at least one member or frame.
        _ if stored.is_empty() => {}
        Compression::None => out.extend_from_slice(stored),
        Compression::Gzip => {
            let mut members = flate2::read::MultiGzDecoder::new(stored);
            members.read_to_end(&mut out).unwrap();
        }
        Compression::Zstd => out = zstd::decode_all(stored).unwrap(),
    }
    out
}

/// What `program` makes of `stored`; `None`, said loudly, if it is not installed.
fn through(program: &[&str], stored: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new(program[0]).args(&program[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) => {
            std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED: no {}: {e}\n", program[0]))
                .unwrap();
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    let bytes = stored.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "{program:?}: {}", output.status);
    Some(output.stdout)
}

const PYTHON: [&str; 3] =
    ["python3", "-c", "import gzip, sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))"];

fn check_programs(compression: Compression, stored: &[u8], want: &[u8]) {
    let programs: &[&[&str]] = match compression {
        Compression::None => &[],
        Compression::Gzip => &[&["gzip", "-dc"], &PYTHON],
        Compression::Zstd => &[&["zstd", "-dcq"]],
    };
    for program in programs {
        if let Some(got) = through(program, stored) {
            assert!(got == want, "{program:?} gives other bytes");
        }
    }
}

#[test]
fn is_send() {
    fn send<T: Send>() {}
    send::<ChunkWriter>();
}

#[test]
fn round_trip_and_the_same_bytes_for_any_number_of_threads() {
    let blocks = blocks(20_000);
    let want = blocks.concat();
    for compression in ALL {
        let trailer = Trailer::Index(vec![7; 1000]);
        let (first, table) = write(&blocks, &options(compression, 1 << 16, 0), trailer.clone());
        assert!(table.chunks.len() > 20);
        assert!(plain(compression, &first) == want);
        check_programs(compression, &first, &want);
        for threads in [1, 4] {
            let options = options(compression, 1 << 16, threads);
            let (stored, written) = write(&blocks, &options, trailer.clone());
            assert!(first == stored, "{compression:?} with {threads} threads");
            assert_eq!(written, table);
        }
    }
}

#[test]
fn levels() {
    let blocks = blocks(500);
    let with_level = |compression, level| WriteOptions { level: Some(level), ..options(compression, 20_000, 0) };
    for compression in [Compression::Gzip, Compression::Zstd] {
        let range = level_range(compression);
        for level in [*range.start(), 1, 9, *range.end()] {
            let options = with_level(compression, level);
            let (stored, _) = write(&blocks, &options, Trailer::None);
            assert_eq!(plain(compression, &stored), blocks.concat());
            check_programs(compression, &stored, &blocks.concat());
        }
        for level in [range.end() + 1, range.start() - 1] {
            let options = with_level(compression, level);
            let error = ChunkWriter::from_writer(Box::new(io::sink()), "x", &options).err().unwrap();
            assert_eq!(error.code(), "output", "{compression:?} {level}");
            let wanted = format!(" level {level}, wanted {} to {}", range.start(), range.end());
            assert!(error.to_string().starts_with("x: cannot compress: "), "{error}");
            assert!(error.to_string().ends_with(&wanted), "{error}");
        }
    }
    let too_large = options(Compression::Zstd, (1 << 30) + 1, 0);
    let result = ChunkWriter::from_writer(Box::new(io::sink()), "x", &too_large);
    assert_eq!(result.err().unwrap().code(), "too-large");
}

#[test]
fn wrong_options_do_not_empty_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.scap.gz");
    fs::write(&path, "precious").unwrap();
    let options = WriteOptions { level: Some(10), ..options(Compression::Gzip, 1, 0) };
    assert!(ChunkWriter::create(&path, &options).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[test]
fn the_chunk_table_lets_each_chunk_be_read_alone() {
    let blocks = blocks(3000);
    let all = blocks.concat();
    for compression in ALL {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let double = Double::default();
        let mut writer = into_double(&double, &options(compression, 5000, 2));
        let sink = Arc::clone(&seen);
        writer.on_chunk(Box::new(move |chunk: &Chunk| {
            sink.lock().unwrap().push(chunk.clone());
        }));
        assert_eq!(writer.last_chunk(), None);
        // The chunk of each block as the writer tells it, to hold against the table.
        let mut at = Vec::new();
        for (index, block) in blocks.iter().enumerate() {
            writer.block(block, meta(index)).unwrap();
            at.push(writer.last_chunk().unwrap());
        }
        let written = writer.finish(Trailer::None).unwrap();
        let stored = double.bytes();
        assert_eq!(*seen.lock().unwrap(), written.chunks);
        assert_eq!(written.plain_bytes, all.len() as u64);
        assert_eq!(written.stored_bytes, stored.len() as u64);
        assert_eq!(written.events, 2250);
        let (mut offset, mut plain_offset, mut events, mut index) = (0, 0, 0, 0);
        for (number, chunk) in written.chunks.iter().enumerate() {
            assert_eq!((chunk.offset, chunk.plain_offset), (offset, plain_offset));
            assert!(chunk.plain_len <= 5000);
            let alone = &stored[offset as usize..(offset + chunk.len) as usize];
            let want = &all[plain_offset as usize..(plain_offset + chunk.plain_len) as usize];
            assert_eq!(plain(compression, alone), want);
            // The same facts, from the blocks.
            let (mut len, mut numbers, mut times) = (0, Vec::new(), Vec::new());
            while len < chunk.plain_len {
                assert_eq!(at[index], number as u64);
                len += blocks[index].len() as u64;
                if let BlockMeta::Event { number, ts } = meta(index) {
                    numbers.push(number);
                    times.push(ts);
                }
                index += 1;
            }
            assert_eq!(len, chunk.plain_len, "a block was split");
            assert_eq!(chunk.events, numbers.len() as u64);
            assert_eq!(chunk.first_event, numbers.first().copied());
            assert_eq!(chunk.first_ts, times.iter().min().copied());
            assert_eq!(chunk.last_ts, times.iter().max().copied());
            offset += chunk.len;
            plain_offset += chunk.plain_len;
            events += chunk.events;
        }
        assert_eq!((plain_offset, events), (all.len() as u64, 2250));
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn zstd_ends_with_the_index_and_a_seek_table() {
    let blocks = blocks(1000);
    let index: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    for count in [0, 1, 1000] {
        let options = options(Compression::Zstd, 4096, 1);
        let (stored, written) = write(&blocks[..count], &options, Trailer::Index(index.clone()));
        check_programs(Compression::Zstd, &stored, &blocks[..count].concat());
        let end = stored.len();
        assert_eq!(u32_at(&stored, end - 4), 0x8F92_EAB1);
        assert_eq!(stored[end - 5], 0);
        let frames = u32_at(&stored, end - 9) as usize;
        assert_eq!(frames, written.chunks.len());
        let table = end - 17 - 8 * frames;
        assert_eq!(u32_at(&stored, table), 0x184D_2A5E);
        assert_eq!(u32_at(&stored, table + 4) as usize, 8 * frames + 9);
        for (number, chunk) in written.chunks.iter().enumerate() {
            let entry = table + 8 + 8 * number;
            assert_eq!(u64::from(u32_at(&stored, entry)), chunk.len);
            assert_eq!(u64::from(u32_at(&stored, entry + 4)), chunk.plain_len);
            let frame = &stored[chunk.offset as usize..(chunk.offset + chunk.len) as usize];
            let size = zstd::zstd_safe::get_frame_content_size(frame).unwrap();
            assert_eq!(size, Some(chunk.plain_len));
            // The checksum flag in the frame header's descriptor byte.
            assert_eq!(frame[4] & 4, 4);
        }
        let len = trailer_stored_len(Compression::Zstd, index.len() as u64).unwrap() as usize;
        let frame = &stored[table - len..table];
        assert_eq!(u32_at(frame, 0), 0x184D_2A50);
        assert_eq!(&frame[8..], index);
        let chunks: u64 = written.chunks.iter().map(|chunk| chunk.len).sum();
        assert_eq!(chunks as usize, table - len);
    }
}

#[test]
fn gzip_ends_with_the_index_in_empty_members() {
    let blocks = blocks(300);
    for len in [0_u32, 1, 65_531, 65_532, 200_000] {
        let index: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
        let options = options(Compression::Gzip, 4096, 1);
        let (stored, written) = write(&blocks, &options, Trailer::Index(index.clone()));
        assert_eq!(plain(Compression::Gzip, &stored), blocks.concat());
        check_programs(Compression::Gzip, &stored, &blocks.concat());
        let stored_len = trailer_stored_len(Compression::Gzip, u64::from(len)).unwrap() as usize;
        let chunks: u64 = written.chunks.iter().map(|chunk| chunk.len).sum();
        assert_eq!(chunks as usize, stored.len() - stored_len);
        let mut rest = &stored[stored.len() - stored_len..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let mut member = flate2::bufread::GzDecoder::new(rest);
            assert_eq!(member.read(&mut [0]).unwrap(), 0);
            let extra = member.header().unwrap().extra().unwrap();
            assert_eq!(&extra[..2], b"SK");
            let part = u16::from_le_bytes([extra[2], extra[3]]);
            assert_eq!(usize::from(part), extra.len() - 4);
            found.extend_from_slice(&extra[4..]);
            rest = &rest[26 + usize::from(part)..];
        }
        assert_eq!(found, index);
    }
}

#[test]
fn a_plain_file_gives_the_index_back() {
    let options = options(Compression::None, 4096, 1);
    let (stored, written) = write(&blocks(3), &options, Trailer::Index(vec![1, 2, 3]));
    assert_eq!(stored, blocks(3).concat());
    assert_eq!(written.unstored, Some(vec![1, 2, 3]));
    assert_eq!(trailer_stored_len(Compression::None, 3), None);
}

#[test]
fn gzip_headers_hold_no_time_and_no_system() {
    let options = options(Compression::Gzip, 4096, 0);
    let (stored, _) = write(&blocks(3), &options, Trailer::None);
    assert_eq!(stored[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
}

#[test]
fn a_block_larger_than_a_chunk_stays_whole() {
    let big = vec![vec![1; 12], blocks(2000).concat(), vec![2; 12], vec![3; 12]];
    for compression in ALL {
        for threads in [0, 2] {
            let options = options(compression, 1000, threads);
            let (stored, written) = write(&big, &options, Trailer::None);
            assert_eq!(plain(compression, &stored), big.concat());
            let lengths: Vec<u64> = written.chunks.iter().map(|chunk| chunk.plain_len).collect();
            assert_eq!(lengths, [12, big[1].len() as u64, 24]);
        }
    }
}

/// Data that grows when compressed, in chunks beyond the compressors' windows.
#[test]
fn incompressible_data() {
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..3_000_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    for compression in ALL {
        let options = options(compression, 1 << 20, 2);
        let (stored, _) = write(std::slice::from_ref(&noise), &options, Trailer::None);
        assert!(plain(compression, &stored) == noise);
        check_programs(compression, &stored, &noise);
    }
}

#[test]
fn raw_bytes_are_kept_and_split() {
    let raw = blocks(100).concat();
    for compression in ALL {
        let double = Double::default();
        let mut writer = into_double(&double, &options(compression, 1000, 1));
        writer.block(&[1; 600], meta(0)).unwrap();
        writer.raw(&raw).unwrap();
        writer.raw(&[]).unwrap();
        writer.block(&[2; 600], meta(1)).unwrap();
        let written = writer.finish(Trailer::None).unwrap();
        let want = [&[1; 600][..], &raw, &[2; 600]].concat();
        assert_eq!(plain(compression, &double.bytes()), want);
        assert!(written.chunks.iter().all(|chunk| chunk.plain_len <= 1000));
        assert_eq!(written.events, 2);
    }
}

#[test]
fn an_interval_of_zero_closes_every_chunk() {
    for compression in ALL {
        for threads in [0, 2] {
            let options =
                WriteOptions { flush_interval: Some(Duration::ZERO), ..options(compression, 1 << 20, threads) };
            let (stored, written) = write(&blocks(50), &options, Trailer::None);
            assert_eq!(written.chunks.len(), 50);
            assert_eq!(plain(compression, &stored), blocks(50).concat());
        }
    }
}

#[test]
fn an_old_chunk_is_closed_by_the_next_block() {
    let double = Double::default();
    let options =
        WriteOptions { flush_interval: Some(Duration::from_millis(20)), ..options(Compression::Zstd, 1 << 20, 0) };
    let mut writer = into_double(&double, &options);
    writer.block(&[1; 12], meta(0)).unwrap();
    std::thread::sleep(Duration::from_millis(30));
    writer.block(&[1; 12], meta(1)).unwrap();
    assert_eq!(plain(Compression::Zstd, &double.bytes()), [1; 24]);
}

#[test]
fn after_flush_the_file_is_valid_and_writing_goes_on() {
    let blocks = blocks(1000);
    for compression in ALL {
        for threads in [0, 3] {
            let double = Double::default();
            let mut writer = into_double(&double, &options(compression, 4096, threads));
            for (index, block) in blocks.iter().enumerate() {
                writer.block(block, meta(index)).unwrap();
                if index % 99 == 0 {
                    writer.flush().unwrap();
                    let want = blocks[..=index].concat();
                    assert_eq!(plain(compression, &double.bytes()), want);
                    assert_eq!(writer.stored_bytes(), double.bytes().len() as u64);
                    let events: u64 = writer.chunks().iter().map(|chunk| chunk.events).sum();
                    assert_eq!(events, (index + 1 - (index + 1) / 4) as u64);
                }
            }
            // As if killed: nothing is finished, the file has whole chunks.
            writer.flush().unwrap();
            std::mem::forget(writer);
            assert_eq!(plain(compression, &double.bytes()), blocks.concat());
        }
    }
}

#[test]
fn new_files_are_private_and_old_ones_keep_their_mode() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.scap");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let options = options(Compression::None, 4096, 0);
    let writer = ChunkWriter::create(&path, &options).unwrap();
    writer.finish(Trailer::None).unwrap();
    assert_eq!(mode(), 0o600);

    fs::write(&path, vec![9; 10_000]).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let mut writer = ChunkWriter::create(&path, &options).unwrap();
    writer.block(&[1; 12], meta(0)).unwrap();
    writer.finish(Trailer::None).unwrap();
    assert_eq!(mode(), 0o640);
    assert_eq!(fs::read(&path).unwrap(), [1; 12]);
}

#[test]
fn a_finished_file_on_disk_is_what_was_returned() {
    let dir = tempfile::tempdir().unwrap();
    for compression in ALL {
        let path = dir.path().join("a.scap");
        let mut writer = ChunkWriter::create(&path, &options(compression, 4096, 2)).unwrap();
        for (index, block) in blocks(500).iter().enumerate() {
            writer.block(block, meta(index)).unwrap();
        }
        let written = writer.finish(Trailer::Index(vec![1; 70_000])).unwrap();
        let mut stored = Vec::new();
        File::open(&path).unwrap().read_to_end(&mut stored).unwrap();
        assert_eq!(stored.len() as u64, written.stored_bytes);
        assert_eq!(plain(compression, &stored), blocks(500).concat());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn any_blocks_come_back(
        blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..60),
        which in 0_usize..3,
        chunk_size in 0_usize..1500,
        threads in 0_usize..4,
        flush_at in prop::option::of(0_usize..60),
    ) {
        let double = Double::default();
        let mut writer = into_double(&double, &options(ALL[which], chunk_size, threads));
        for (index, block) in blocks.iter().enumerate() {
            if index % 5 == 4 {
                writer.raw(block).unwrap();
            } else {
                writer.block(block, BlockMeta::Other).unwrap();
            }
            if flush_at == Some(index) {
                writer.flush().unwrap();
            }
        }
        let written = writer.finish(Trailer::None).unwrap();
        let stored = double.bytes();
        prop_assert_eq!(plain(ALL[which], &stored), blocks.concat());
        prop_assert_eq!(written.stored_bytes, stored.len() as u64);
        prop_assert!(written.chunks.iter().all(|chunk| chunk.plain_len > 0));
    }
}
