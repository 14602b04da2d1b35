//! A file of packets of gVisor: reading ends, connections are opened and closed properly, little memory is used, and
//! what was read is written and read again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_capture::gvisor::stream::{Reader, Sent, StreamLimits, What, Writer, sniff};
use std::collections::BTreeSet;
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

const LIMITS: StreamLimits = StreamLimits { max_packet: 1 << 12, max_control: 1 << 13, max_connections: 16 };

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is in a file, checked; the number of notes with it.
fn read(bytes: Vec<u8>) -> Option<(Vec<Sent>, usize)> {
    let length = bytes.len();
    let mut reader = Reader::new(Cursor::new(bytes), LIMITS).ok()?;
    let (mut sents, mut open, mut all) = (Vec::new(), BTreeSet::new(), 0usize);
    while let Some(sent) = reader.next().expect("memory can be read") {
        let fine = match &sent.what {
            What::Opened => open.insert(sent.connection),
            What::Closed => open.remove(&sent.connection),
            What::Packet(packet) => {
                all += packet.len();
                assert!(!packet.is_empty() && packet.len() <= LIMITS.max_packet as usize);
                open.contains(&sent.connection)
            }
            What::Procfs(text) => {
                all += text.len();
                open.contains(&sent.connection)
            }
            What::Dropped(_) => open.contains(&sent.connection),
        };
        assert!(fine && open.len() <= LIMITS.max_connections as usize, "{sent:?}");
        sents.push(sent);
    }
    assert!(open.is_empty() && all <= length && reader.offset() <= length as u64);
    assert!(reader.notes().len() <= 65);
    for note in reader.notes() {
        assert!(note.offset <= length as u64 && note.to_string().len() < 1000);
    }
    Some((sents, reader.notes().len()))
}

fuzz_target!(|data: &[u8]| {
    // Most inputs begin like none of the files: these are what follows a handshake.
    let begins = if data.is_empty() || sniff(data).is_some() { &[][..] } else { &[2, 0, 0, 0x80, 8, 1] };
    // Only gVisor's own form has settings that can be wrong.
    let Some((sents, _)) = read([begins, data].concat()) else {
        assert!(data.starts_with(b"tracereplay file"));
        return;
    };
    let memory = Memory::default();
    let mut writer = Writer::new(memory.clone());
    for sent in &sents {
        writer.sent(sent).expect("memory can be written");
    }
    writer.flush().expect("memory can be written");
    let written = memory.0.lock().unwrap().clone();
    assert_eq!(read(written), Some((sents, 0)));
});
