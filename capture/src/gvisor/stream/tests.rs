//! What is written is read again, and what is wrong is said.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// A file in memory that can still be seen after it was written.
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

/// Gives a few bytes at a time.
struct Slow(std::io::Cursor<Vec<u8>>, usize);

impl Read for Slow {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let n = to.len().min(self.1);
        self.0.read(&mut to[..n])
    }
}

fn write(sents: &[Sent]) -> Vec<u8> {
    let memory = Memory::default();
    let mut writer = Writer::new(memory.clone());
    for sent in sents {
        writer.sent(sent).unwrap();
    }
    writer.flush().unwrap();
    let bytes = memory.0.lock().unwrap().clone();
    assert_eq!(writer.written(), bytes.len() as u64);
    bytes
}

fn read(bytes: &[u8], at_once: usize) -> (Vec<Sent>, Vec<StreamNote>) {
    let slow = Slow(std::io::Cursor::new(bytes.to_vec()), at_once);
    let mut reader = Reader::new(slow, StreamLimits::default()).unwrap();
    let mut sents = Vec::new();
    while let Some(sent) = reader.next().unwrap() {
        sents.push(sent);
    }
    assert_eq!(reader.next().unwrap(), None);
    (sents, reader.notes().to_vec())
}

fn sent(connection: u32, what: What) -> Sent {
    Sent { connection, what }
}

fn packet(bytes: &'static [u8]) -> What {
    What::Packet(Bytes::from_static(bytes))
}

fn record(flags: u32, bytes: &[u8]) -> Vec<u8> {
    let word = flags << 28 | u32::try_from(bytes.len()).unwrap();
    [&word.to_le_bytes()[..], bytes].concat()
}

/// Turns any numbers into something that sandboxes could have sent.
fn valid(choices: Vec<(u8, u8, Vec<u8>)>) -> Vec<Sent> {
    let (mut all, mut open, mut next) = (Vec::new(), BTreeSet::new(), 0u32);
    for (choice, which, bytes) in choices {
        let nth = usize::from(which) % open.len().max(1);
        let of = open.iter().nth(nth).copied();
        match (choice, of) {
            (0, _) | (_, None) => {
                next += u32::from(which % 3 == 0);
                open.insert(next);
                all.push(sent(next, What::Opened));
                next += 1;
            }
            (1, Some(n)) => {
                open.remove(&n);
                all.push(sent(n, What::Closed));
            }
            (2, Some(n)) => all.push(sent(n, What::Procfs(bytes.into()))),
            (3, Some(n)) => all.push(sent(n, What::Dropped(u32::from(which) << 20))),
            (_, Some(_)) if bytes.is_empty() => {}
            (_, Some(n)) => all.push(sent(n, What::Packet(bytes.into()))),
        }
    }
    all.extend(open.iter().map(|n| sent(*n, What::Closed)));
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_again(
        choices in prop::collection::vec((0u8..8, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)), 0..60),
        at_once in 1usize..100,
    ) {
        let sents = valid(choices);
        let (again, notes) = read(&write(&sents), at_once);
        prop_assert_eq!(again, sents);
        prop_assert_eq!(notes, vec![]);
    }

    #[test]
    fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..300), at_once in 1usize..50) {
        let (mut bytes, mut open) = ([record(HANDSHAKE, &VERSION_1), bytes].concat(), BTreeSet::new());
        for _ in 0..2 {
            for sent in read(&bytes, at_once).0 {
                let ok = match sent.what {
                    What::Opened => open.insert(sent.connection),
                    What::Closed => open.remove(&sent.connection),
                    _ => open.contains(&sent.connection),
                };
                prop_assert!(ok, "{:?}", sent);
            }
            prop_assert!(open.is_empty());
            // The same again with lengths that are possible.
            bytes.iter_mut().skip(7).step_by(4).for_each(|b| *b &= 0xe0);
        }
    }
}

#[test]
fn large_records() {
    let big = What::Procfs(vec![7; 5 << 20].into());
    let sents = [
        sent(0, What::Opened),
        sent(0, big),
        sent(0, What::Packet(vec![1; 1 << 20].into())),
        sent(0, packet(b"last")),
        sent(0, What::Closed),
    ];
    assert_eq!(read(&write(&sents), usize::MAX).0, sents);
}

#[test]
fn one_connection_is_the_plain_form() {
    let sents = [sent(0, What::Opened), sent(0, packet(b"12345678")), sent(0, What::Closed)];
    let plain = [&[2, 0, 0, 0x80, 8, 1, 2, 0, 0, 0xc0, 8, 1, 8, 0, 0, 0][..], b"12345678"].concat();
    assert_eq!(write(&sents), plain);
}

#[test]
fn a_connection_after_another() {
    let sents = [
        sent(0, What::Opened),
        sent(1, What::Opened),
        sent(1, What::Closed),
        sent(0, What::Closed),
        sent(7, What::Opened),
        sent(7, What::Procfs(Bytes::from_static(b"PROCFS DUMP\n"))),
        sent(7, What::Closed),
    ];
    let hello = [record(HANDSHAKE, &VERSION_1), record(REPLY, &VERSION_1)].concat();
    let wanted = [
        &hello[..],
        &record(CONTROL, &[SWITCH, 1, 0, 0, 0]),
        &hello,
        &record(CONTROL, &[CLOSED]),
        &record(CONTROL, &[SWITCH, 0, 0, 0, 0]),
        &record(CONTROL, &[CLOSED]),
        &record(CONTROL, &[SWITCH, 7, 0, 0, 0]),
        &hello,
        &record(CONTROL, b"\x03PROCFS DUMP\n"),
    ]
    .concat();
    assert_eq!(write(&sents), wanted);
    assert_eq!(read(&wanted, 5).0, sents);
}

#[test]
fn what_files_begin_with() {
    let cases: [(&[u8], Option<StreamKind>); 10] = [
        (&[2, 0, 0, 0x80, 8, 1], Some(StreamKind::Gvstream)),
        (&[2, 0, 0, 0x80], Some(StreamKind::Gvstream)),
        (&[2, 0, 0, 0x80, 9], None),
        (&[2, 0, 0, 0xc0, 8, 1], None),
        (&[0, 0, 0, 0x80], None),
        (&[1, 0x28, 0, 0x80, 8], None),
        (&[5, 0, 0, 0x20, 1, 3], Some(StreamKind::Gvstream)),
        (b"tracereplay file", Some(StreamKind::Tracereplay)),
        (b"tracereplay fil", None),
        (b"", None),
    ];
    for (start, kind) in cases {
        assert_eq!(sniff(start), kind, "{start:?}");
    }
    assert!(Reader::new(&b"\x0a\x0d\x0d\x0a"[..], StreamLimits::default()).is_err());
    assert_eq!(read(b"", 1), (vec![], vec![]));
}

/// What is wrong in a file of one connection with one good packet before it.
#[test]
fn what_is_wrong_is_said() {
    let good = [record(HANDSHAKE, &VERSION_1), record(REPLY, &VERSION_1), record(PACKET, b"12345678")].concat();
    let next = record(PACKET, b"next");
    // Bytes, what the note says, whether reading goes on.
    let cases: [(Vec<u8>, &str, bool); 12] = [
        (vec![9, 9], "truncated tail: wanted 4 bytes of a record, found 2", false),
        (record(PACKET, b"longer")[..7].to_vec(), "truncated tail: a packet needs 10 bytes, 7 are there", false),
        ([record(PACKET, b""), next.clone()].concat(), "found a length of 0", false),
        (vec![1, 0, 0x10, 0], "wanted 1 to 1048576 bytes, found a length of 1048577", false),
        (record(HANDSHAKE, &[8; 10241]), "a handshake: wanted 1 to 10240 bytes", false),
        ([record(1, b"x"), next.clone()].concat(), "found 0001", false),
        ([record(0b0100, b"x"), next.clone()].concat(), "found 0100", false),
        ([record(CONTROL, &[SWITCH, 1]), next.clone()].concat(), "wanted 5 bytes, found 2", false),
        ([record(CONTROL, &[99, 1]), next.clone()].concat(), "kind 99", true),
        ([record(HANDSHAKE, &VERSION_1), next.clone()].concat(), "a second handshake of connection 0", true),
        ([record(CONTROL, &[SWITCH, 4, 0, 0, 0]), next.clone()].concat(), "connection 4 has no handshake", true),
        ([record(CONTROL, &[CLOSED]), next.clone()].concat(), "connection 0 is not open", false),
    ];
    for (bytes, wanted, goes_on) in cases {
        let (sents, notes) = read(&[good.clone(), bytes].concat(), 3);
        assert!(notes.len() == 1 && notes[0].text.contains(wanted), "{wanted}: {notes:?}");
        assert!(notes[0].offset >= good.len() as u64);
        let given = sents.iter().any(|sent| sent.what == packet(b"next"));
        assert_eq!(given, goes_on, "{wanted}: {sents:?}");
        assert_eq!(sents[..2], [sent(0, What::Opened), sent(0, packet(b"12345678"))]);
        let opened = sents.iter().filter(|s| s.what == What::Opened).count();
        assert_eq!(sents.iter().filter(|s| s.what == What::Closed).count(), opened);
    }
}

#[test]
fn notes_and_connections_are_bounded() {
    let mut bytes = record(HANDSHAKE, &VERSION_1);
    bytes.extend(record(CONTROL, &[77]).repeat(1000));
    bytes.push(0);
    let mut reader = Reader::new(std::io::Cursor::new(bytes), StreamLimits::default()).unwrap();
    while reader.next().unwrap().is_some() {}
    assert_eq!((reader.notes().len(), reader.notes_left_out()), (65, 936));
    assert!(reader.notes()[64].text.contains("truncated"), "the last is always said");

    let mut bytes = Vec::new();
    for n in 0..10u8 {
        bytes.extend([record(CONTROL, &[SWITCH, n, 0, 0, 0]), record(HANDSHAKE, &VERSION_1)].concat());
    }
    let limits = StreamLimits { max_connections: 3, ..StreamLimits::default() };
    let mut reader = Reader::new(std::io::Cursor::new(bytes), limits).unwrap();
    let mut opened = 0;
    while let Some(sent) = reader.next().unwrap() {
        opened += usize::from(sent.what == What::Opened);
    }
    assert_eq!((opened, reader.notes().len()), (3, 7));
}

fn saved(settings: &[u8], packets: &[&[u8]]) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    for part in [settings].iter().chain(packets) {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(*part);
    }
    bytes
}

#[test]
fn what_gvisor_saves() {
    let whole = saved(br#"{"version":1}"#, &[b"12345678", b"123456789"]);
    let wanted =
        [sent(0, What::Opened), sent(0, packet(b"12345678")), sent(0, packet(b"123456789")), sent(0, What::Closed)];
    assert_eq!(read(&whole, 3), (wanted.to_vec(), vec![]));
    let (sents, notes) = read(&whole[..whole.len() - 1], 3);
    assert_eq!(sents, [wanted[0].clone(), wanted[1].clone(), wanted[3].clone()]);
    let text = "truncated tail: a packet needs 17 bytes, 16 are there".to_owned();
    assert_eq!(notes, [StreamNote { offset: 53, text }]);
    let huge = [&whole[..], &u64::MAX.to_le_bytes()].concat();
    assert!(read(&huge, 3).1[0].text.contains("found a length of 18446744073709551615"));

    let cases = [
        (saved(br#"{"version":2}"#, &[]), "found version 2"),
        (saved(b"{}", &[]), r#"found "{}""#),
        (saved(b"nonsense", &[]), r#"found "nonsense""#),
        (saved(&vec![b'x'; 70000], &[]), "found 70000 bytes"),
        (whole[..20].to_vec(), "found the end of the file"),
        (whole[..30].to_vec(), "found the end of the file"),
    ];
    for (bytes, wanted) in cases {
        let error = Reader::new(std::io::Cursor::new(bytes), StreamLimits::default()).err().unwrap().to_string();
        assert!(error.contains("version\":1") && error.contains(wanted), "{error}");
    }
}

#[test]
fn files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raw.gvstream");
    std::fs::write(&path, "old").unwrap();
    let mut writer = Writer::create(&path).unwrap();
    writer.sent(&sent(0, What::Opened)).unwrap();
    drop(writer);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 12);
    assert!(Writer::create(&dir.path().join("no/such")).is_err());
    assert!(Writer::new(std::io::sink()).sent(&sent(0, packet(b""))).is_err());
}

/// Fails at every second call after some, and for a reason that goes away at every third.
struct Failing(Slow, u32);

impl Read for Failing {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        self.1 += 1;
        match self.1 {
            n if n.is_multiple_of(3) => Err(std::io::ErrorKind::Interrupted.into()),
            n if n > 12 && n.is_multiple_of(2) => Err(std::io::Error::other("the disk is gone")),
            _ => self.0.read(to),
        }
    }
}

#[test]
fn reading_goes_on_after_an_error() {
    let sents = [sent(0, What::Opened), sent(0, packet(b"12345678")), sent(0, packet(b"9")), sent(0, What::Closed)];
    let slow = Slow(std::io::Cursor::new(write(&sents)), 2);
    let mut reader = Reader::new(Failing(slow, 0), StreamLimits::default()).unwrap();
    let (mut again, mut errors) = (Vec::new(), 0);
    loop {
        match reader.next() {
            Ok(Some(sent)) => again.push(sent),
            Ok(None) => break,
            Err(e) => {
                assert!(e.to_string().contains("read packets after byte") && e.to_string().contains("disk"), "{e}");
                errors += 1;
            }
        }
    }
    assert_eq!(again, sents);
    assert!(errors > 2 && reader.notes().is_empty());
}

/// Streams of real sandboxes: read and written again they are the same bytes.
#[test]
fn real_streams_come_back() {
    let root = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let Ok(files) = std::fs::read_dir(root.join("gvisor")) else {
        let text = format_args!("SKIPPED: the shared streams are not here ({})\n", root.display());
        std::io::stderr().write_fmt(text).unwrap();
        return;
    };
    let mut count = 0;
    for path in files.map(|f| f.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "gvstream")) {
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(sniff(&bytes), Some(StreamKind::Gvstream));
        let (sents, notes) = read(&bytes, usize::MAX);
        assert_eq!(notes, [], "{}", path.display());
        assert!(write(&sents) == bytes, "{}", path.display());
        count += 1;
    }
    assert!(count > 0, "no streams in {}", root.display());
}
