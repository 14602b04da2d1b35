//! The same capture compressed, in chunks that are far smaller than usual: many members, many frames.

use scapkit_format::write::{BlockMeta, ChunkWriter, Trailer, WriteOptions};
use scapkit_format::{Block, Compression, Content, Limits, block};
use std::io::Write;
use std::sync::{Arc, Mutex};

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

pub fn stored(plain: &[u8], compression: Compression) -> Vec<u8> {
    let limits = Limits::default();
    let options = WriteOptions { compression, chunk_size: 8 << 10, threads: 0, ..WriteOptions::default() };
    let memory = Memory::default();
    let mut writer = ChunkWriter::from_writer(Box::new(memory.clone()), "memory", &options).unwrap();
    let (mut rest, mut number) = (plain, 0);
    while let block::Scan::Block(len) = block::scan(rest, &limits, true) {
        let (one, tail) = rest.split_at(len);
        let meta = match Content::of(&Block::new(one, 0, 0), &limits) {
            Content::Event(e) => {
                number += 1;
                BlockMeta::Event { number, ts: e.ts }
            }
            _ => BlockMeta::Other,
        };
        writer.block(one, meta).unwrap();
        rest = tail;
    }
    assert_eq!(rest.len() % plain.len(), 0, "a capture of whole blocks");
    writer.finish(Trailer::None).unwrap();
    let bytes = memory.0.lock().unwrap();
    bytes.clone()
}
