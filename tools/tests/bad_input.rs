//! Input that is no capture, or a damaged or hostile one: the status is that of the contract, the
//! message says where and what, nothing panics, memory and time are bounded.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ran, SCAPKIT, captures, run, run_with};
use scapkit_format::lists::fds::{Fd, FdInfo, FdType};
use scapkit_format::lists::threads::Thread;
use scapkit_format::lists::users::Account;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use scapkit_format::value::decode_param;
use scapkit_format::write::{BlockMeta, ChunkWriter, Trailer, WriteOptions};
use scapkit_format::{BlockType, Capture, Compression, Content, EventHead, Item, Limits, verify};
use scapkit_replay::{DEFAULT_LINE, Dialect, Format, Played, Replay, ReplayOptions, TextOptions, View};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A folder with one file in it.
struct Case {
    dir: tempfile::TempDir,
    file: PathBuf,
}

fn case(name: &str, bytes: &[u8]) -> Case {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, bytes).unwrap();
    Case { dir, file }
}

impl Case {
    fn verify(&self) -> Ran {
        run(Command::new(SCAPKIT).arg("verify").arg(&self.file))
    }

    fn info(&self) -> Ran {
        run(Command::new(SCAPKIT).arg("info").arg(&self.file))
    }

    fn convert(&self, profile: &str) -> Ran {
        let to = self.dir.path().join("out.scap");
        run(Command::new(SCAPKIT).arg("convert").arg(&self.file).arg(to).args(["--profile", profile]))
    }

    /// Every command, with the status that each must have. Nothing that could steer a terminal.
    #[track_caller]
    fn all(&self, verify: i32, others: i32) -> String {
        let mut said = String::new();
        let runs = [
            (self.verify(), verify),
            (self.info(), others),
            (self.convert("asis"), others),
            (self.convert("modern"), others),
            (self.convert("universal"), others),
        ];
        for (ran, wanted) in runs {
            let ran = ran.expect(wanted);
            harmless(&ran);
            said.push_str(&ran.out());
            said.push_str(&ran.err());
        }
        said
    }
}

/// Output is text without control characters but line feeds and tabs.
#[track_caller]
fn harmless(ran: &Ran) {
    for bytes in [&ran.stdout, &ran.stderr] {
        let text = std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("not UTF-8: {}", ran.err()));
        let bad = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(bad, None, "{text:?}");
    }
    assert!(!ran.err().contains("panicked"), "{}", ran.err());
}

/// A capture with every kind of block, and where each starts.
fn sample() -> Synth {
    let mut s = Synth::new();
    s.section().machine("host", 2, 5);
    s.threads(9, &[Thread { tid: 7, pid: 7, comm: b"sh", exe: b"sh", cwd: b"/", ..Thread::default() }]);
    let file = Fd { fd: 3, ino: 9, kind: FdType::FILE, info: FdInfo::Name(b"/etc/passwd"), extra: &[] };
    s.fds(2, 7, &[file]);
    let user = Account::User { uid: 0, gid: 0, name: b"root", home: b"/root", shell: b"/bin/sh", extra: &[] };
    s.users(2, &[user, Account::Group { kind: 1, gid: 0, name: b"wheel", extra: &[] }]);
    for i in 0..6 {
        s.event(1000 + i, 7, id::SYSCALL_READ_E, &Params::new().i64(3).u32(100));
        s.event(1100 + i, 7, id::SYSCALL_READ_X, &Params::new().i64(2).bytes(b"hi"));
        s.event(1200 + i, 7, id::SYSCALL_OPEN_X, &Params::new().i64(3).str("/etc/passwd").u32(1).u32(0).u32(0).u64(1));
    }
    s
}

#[test]
fn what_is_no_capture_is_named() {
    let mut packets = 0x0A0D_0D0Au32.to_le_bytes().to_vec();
    for n in [28u32, 0x1A2B_3C4D, 0x0000_0001, 0xFFFF_FFFF, 0xFFFF_FFFF, 28, 1, 20, 1, 0xFFFF, 20] {
        packets.extend_from_slice(&n.to_le_bytes());
    }
    let elf = [&b"\x7fELF\x02\x01\x01\0"[..], &[0; 56]].concat();
    let cases: [(&str, &[u8], &str); 9] = [
        ("empty.scap", b"", "empty input, wanted a capture"),
        ("text.scap", b"hello, world\nmore\n", "not a capture: text (\"hello, world\")"),
        ("packets.scap", &packets, "a pcapng file of network packets"),
        (
            "old.pcap",
            &[0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0],
            "a pcap file",
        ),
        ("program", &elf, "an ELF object"),
        ("one byte", b"\n", "not a capture"),
        ("zeros", &[0; 4096], "bytes 00 00 00 00"),
        ("escapes", b"\x1b]0;owned\x07\x1b[2J and more text", "bytes 1b 5d 30"),
        ("empty.gz", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0], "empty input"),
    ];
    for (name, bytes, wanted) in cases {
        let c = case(name, bytes);
        let said = c.all(2, 2);
        assert!(said.contains(wanted), "{name}: {said}");
        assert!(said.lines().all(|l| l.contains(name)), "{name}: the file is not named: {said}");
        assert!(!c.dir.path().join("out.scap").exists(), "{name}: convert made a file");
    }
    let c = case("dir", b"");
    run(Command::new(SCAPKIT).args(["verify", "/"])).expect(2);
    let missing = run(Command::new(SCAPKIT).arg("verify").arg(c.dir.path().join("missing"))).expect(2);
    assert!(missing.err().contains("missing: cannot open"), "{}", missing.err());
    for name in ["name\x1b[31m.scap", "name\u{9b}31m.scap"] {
        harmless(&case(name, b"").verify().expect(2));
    }
}

#[test]
fn swapped_and_newer_captures_are_named() {
    for (magic, major, wanted) in
        [(0x4D3C_2B1A, 1, "byte-swapped"), (0x1A2B_3C4D, 2, "format version 2.2"), (7, 1, "magic is 0x00000007")]
    {
        let mut s = Synth::new();
        s.section_of(magic, major, 2, &[]).event(1, 1, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
        let said = case("x.scap", &s.finish()).all(2, 2);
        assert!(said.contains(wanted), "{said}");
    }
    // Minor versions and options are let pass.
    for (minor, options) in [(0, &[][..]), (1, &[]), (9, &[]), (2, &[1, 0, 4, 0, b'n', b'o', b't', b'e', 0, 0, 0, 0])] {
        let mut s = Synth::new();
        s.section_of(0x1A2B_3C4D, 1, minor, options).event(1, 1, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
        case("x.scap", &s.finish()).all(0, 0);
    }
}

/// Reads a capture to its end through every decoder there is: what a command could do with it.
fn read_all(bytes: Vec<u8>) -> Result<u64, scapkit_format::Error> {
    let total = bytes.len() as u64;
    let mut capture = Capture::from_bytes(bytes.clone(), "cut", Limits::default());
    let mut seen = 0;
    while let Some(item) = capture.next()? {
        match item {
            Item::Skipped { bytes, .. } => seen += bytes.len() as u64,
            Item::Block(block, content) => {
                seen += block.bytes().len() as u64;
                match content {
                    Content::Threads(list) => _ = list.clone().count(),
                    Content::Fds(list) => _ = list.clone().count(),
                    Content::Interfaces(list) => _ = list.clone().count(),
                    Content::Users(list) => _ = list.clone().count(),
                    Content::Event(event) => {
                        for info in [event.info(), event.recorded_info()].into_iter().flatten() {
                            for (param, bytes) in info.params.iter().zip(event.params()) {
                                let _ = format!("{:?}", decode_param(param, bytes));
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
    }
    if capture.compression() == Compression::None {
        assert_eq!(seen, total, "the pieces are all of the input");
    }
    print_all(&bytes)?;
    let mut again = Capture::from_bytes(bytes, "cut", Limits::default());
    Ok(verify::verify(&mut again, |_| {})?.damage_count)
}

/// Replays a capture in both views and prints every event.
fn print_all(bytes: &[u8]) -> Result<(), scapkit_format::Error> {
    let format = Format::compile(DEFAULT_LINE).unwrap();
    for (view, dialect) in [(View::Recorded, Dialect::Sysdig), (View::Current, Dialect::Libs)] {
        let capture = Capture::from_bytes(bytes.to_vec(), "cut", Limits::default());
        let mut replay = Replay::new(capture, ReplayOptions { view, ..ReplayOptions::default() });
        let (options, mut out) = (TextOptions::new(dialect), Vec::new());
        while let Some(played) = replay.next()? {
            let Played::Event(step) = played else { continue };
            out.clear();
            let context = step.context(step.event.ts, &options);
            assert!(format.line(&context, &mut out));
            let text = std::str::from_utf8(&out).unwrap();
            assert!(!text.chars().any(char::is_control), "{text:?}");
            format.json(&context, &mut out);
        }
    }
    Ok(())
}

#[test]
fn cut_at_every_byte() {
    let whole = sample().finish();
    assert_eq!(read_all(whole.clone()).unwrap(), 0);
    let ends: Vec<usize> = ends(&whole);
    for cut in 0..whole.len() {
        match read_all(whole[..cut].to_vec()) {
            Err(e) => assert!(cut < 28, "{cut}: {e}"),
            Ok(damages) => {
                let clean = ends.contains(&cut) && cut >= ends[5];
                assert_eq!(damages == 0, clean, "cut at {cut}");
            }
        }
    }
    for cut in (0..whole.len()).step_by(97) {
        let c = case("cut.scap", &whole[..cut]);
        if cut < 28 {
            c.all(2, 2);
            continue;
        }
        let clean = ends.contains(&cut) && cut >= ends[5];
        let said = c.all(i32::from(!clean), 0);
        let known = said.contains("truncated tail: the block needs ") || said.contains("without events");
        assert!(clean || known, "{said}");
    }
    // Shared captures: the first 40 KB as stored (mostly gzip), cut at every 487th byte.
    for file in captures() {
        let stored = std::fs::read(&file).unwrap();
        for cut in (0..stored.len().min(40_000)).step_by(487) {
            let _ = read_all(stored[..cut].to_vec());
        }
    }
}

/// Where blocks end.
fn ends(bytes: &[u8]) -> Vec<usize> {
    let mut at = 0;
    let mut list = Vec::new();
    while at < bytes.len() {
        at += u32::from_le_bytes(bytes[at + 4..at + 8].try_into().unwrap()) as usize;
        list.push(at);
    }
    list
}

#[test]
fn every_field_of_two_and_four_bytes_set_to_an_extreme() {
    let whole = sample().finish();
    for at in 28..whole.len() - 4 {
        for (size, value) in [(2, 0u32), (2, 1), (2, 0xFFFF), (4, 0), (4, 1), (4, 0xFFFF_FFFF), (4, 0x7FFF_FFFC)] {
            let mut bytes = whole.clone();
            bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
            if (1..=6).contains(&u32::from_le_bytes(bytes[28..32].try_into().unwrap())) {
                continue; // the second block is one of network packets
            }
            read_all(bytes).unwrap_or_else(|e| panic!("{at}: {value:#x}: {e}"));
        }
    }
}

/// The lengths of a block and of an event, by the command: status 1, the place, both numbers.
#[test]
fn wrong_lengths_are_reported_with_place_and_numbers() {
    let whole = sample().finish();
    let ends = ends(&whole);
    let event = ends[8]; // the last event of the second round starts here
    let len = ends[9] - event;
    let number = 10;
    // name, offset in the block, size
    let fields = [
        ("total", 4, 4),
        ("trailer", len - 4, 4),
        ("event length", 8 + 18, 4),
        ("nparams", 8 + 24, 4),
        ("lens", 8 + 28, 2),
    ];
    for (name, at, size) in fields {
        for value in [0u32, 1, 65_535, 0xFFFF_FFFF] {
            let mut bytes = whole.clone();
            bytes[event + at..event + at + size].copy_from_slice(&value.to_le_bytes()[..size]);
            if bytes == whole {
                continue;
            }
            let c = case("x.scap", &bytes);
            let ran = c.verify();
            harmless(&ran);
            // Fewer parameters, or a shorter first one, is only known by the type's table.
            let lawful = (name == "nparams" || name == "lens") && value <= 1;
            if lawful && ran.code() == 0 {
                continue;
            }
            let ran = ran.expect(1);
            let first = ran.out().lines().next().unwrap().to_owned();
            let place = format!("x.scap: byte {event} (block {number}): ");
            assert!(first.contains(&place), "{name} {value:#x}: {first}");
            assert!(first.matches(|c: char| c.is_ascii_digit()).count() > 2, "{first}");
            c.all(1, 0);
        }
    }
    // Entries of lists, and the strings in them.
    for (block, name, list) in
        [(2, "entry length", "process list"), (3, "entry length", "fd list"), (4, "entry length", "user list")]
    {
        let start = ends[block - 1];
        let at = start + if list == "fd list" { 16 } else { 8 };
        for value in [0u32, 1, 0xFFFF_FFFF] {
            let mut bytes = whole.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let c = case("x.scap", &bytes);
            let said = c.all(1, 0);
            let wanted = format!("byte {start} (block {}): {list}: ", block + 1);
            assert!(said.contains(&wanted), "{name} {value:#x}: wanted {wanted:?}: {said}");
            assert!(said.contains(" wanted, ") && said.contains(" found"), "{said}");
        }
    }
    // comm's length in the process list: tid, pid, ptid, sid, vpgid before it.
    let at = ends[1] + 8 + 4 + 40;
    assert_eq!(&whole[at..at + 4], b"\x02\0sh");
    for value in [0u16, 1, 0xFFFF] {
        let mut bytes = whole.clone();
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
        let ran = case("x.scap", &bytes).verify();
        harmless(&ran);
        assert!(ran.code() <= 1, "{value:#x}: {:?}", ran.status);
        if value == 0xFFFF {
            assert!(ran.expect(1).out().contains("process list: "));
        }
    }
}

#[test]
fn counts_and_types_beyond_the_table() {
    let mut s = sample();
    s.event_of(EventHead { ts: 1, tid: 7, event_type: 60_000, ..EventHead::default() }, &Params::new().u64(1));
    s.event(2, 7, id::SYSCALL_CLOSE_X, &Params::new());
    let many = (0..65_535 / 8).fold(Params::new(), |p, _| p.empty());
    s.event(3, 7, id::SYSCALL_CLOSE_X, &many);
    let c = case("x.scap", &s.finish());
    let said = c.all(0, 0);
    assert!(said.contains("1 of types newer than this program"), "{said}");
    // 65535 lengths do not fit a block that all readers take; the raw reader takes them.
    let mut s = sample();
    let all = (0..65_535).fold(Params::new(), |p, _| p.empty());
    s.event(3, 7, id::SYSCALL_CLOSE_X, &all);
    case("x.scap", &s.finish()).all(0, 0);
}

#[test]
fn fds_of_a_thread_that_is_in_no_list() {
    let mut s = Synth::new();
    s.section().fds(2, 99, &[Fd { fd: 3, ino: 9, kind: FdType::FILE, info: FdInfo::Name(b"/x"), extra: &[] }]);
    s.event(1, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
    let said = case("x.scap", &s.finish()).all(0, 0);
    assert!(said.contains("1 fd lists of unknown threads left out"), "{said}");
}

#[test]
fn blocks_where_they_do_not_belong() {
    let mut s = sample();
    let at = s.offset();
    s.block(BlockType(0xBEEF), b"what").threads(9, &[]).event(1, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
    let said = case("x.scap", &s.finish()).all(1, 0);
    assert!(said.contains(&format!("byte {at} (block 24): unknown block type 0xbeef between events")), "{said}");
    let mut s = Synth::new();
    s.section().section();
    let said = case("x.scap", &s.finish()).all(1, 0);
    assert!(said.contains("section without events"), "{said}");
}

#[test]
fn names_never_reach_the_terminal_raw() {
    let evil = b"\x1b]0;owned\x07\x1b[2J\xff\xfe\xc2\x9b31m\r\x08";
    let mut s = Synth::new();
    s.section().machine("ho\u{1b}[31mst\u{9b}2J", 1, 0);
    let thread =
        Thread { tid: 7, pid: 7, comm: evil, exe: evil, args: evil, cwd: evil, env: evil, ..Thread::default() };
    s.threads(9, &[thread]);
    s.fds(2, 7, &[Fd { fd: 3, ino: 9, kind: FdType::FILE, info: FdInfo::Name(evil), extra: &[] }]);
    s.users(2, &[Account::User { uid: 0, gid: 0, name: evil, home: evil, shell: evil, extra: &[] }]);
    s.event(1, 7, id::SYSCALL_OPEN_X, &Params::new().i64(3).bytes(evil).u32(0).u32(0));
    s.event(2, 7, id::SYSCALL_READ_X, &Params::new().bytes(b"short"));
    let c = case("x.scap", &s.finish());
    c.all(1, 0);
    for command in ["info", "verify"] {
        let ran = run(Command::new(SCAPKIT).args([command, "--json"]).arg(&c.file));
        harmless(&ran);
        let object: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        assert!(object.is_object());
    }
}

/// The limits under which hostile inputs of up to 10 MB are read.
const MEMORY_KB: u64 = 256 << 10;
const SECONDS: u64 = 10;

/// Runs a command on a file with its peak memory watched, and fails above the limits. A limit on the
/// address space, where stacks and code count that take no memory, stops one that would exhaust the
/// machine.
#[track_caller]
fn bounded(args: &str, file: &Path) -> Ran {
    let script = format!("ulimit -v 1048576; exec \"$0\" {args}");
    let started = Instant::now();
    let mut child = Command::new("sh")
        .args(["-c", &script, SCAPKIT])
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let pipes = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let readers = [reader(pipes.0), reader(pipes.1)];
    let mut peak = 0;
    let ended = loop {
        // The peak so far, file pages such as the program itself included.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        peak = line.map_or(peak, |l| l.trim().trim_end_matches(" kB").parse().unwrap());
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        if started.elapsed() > Duration::from_secs(6 * SECONDS) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = started.elapsed();
    let [stdout, stderr] = readers.map(|r| r.join().unwrap());
    let ran = Ran { status: ended, stdout, stderr, took };
    println!("{args}: {} MB, {took:?}, status {}", peak >> 10, ran.code());
    let err: String = ran.err().chars().take(2000).collect();
    assert!((0..=2).contains(&ran.code()), "{args}: {:?}: {err}", ran.status);
    assert!(peak <= MEMORY_KB, "{args}: {peak} KB: {err}");
    assert!(took <= Duration::from_secs(SECONDS), "{args}: {took:?}: {err}");
    harmless(&ran);
    ran
}

fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

const COMMANDS: [&str; 10] = [
    "verify \"$1\"",
    "info \"$1\"",
    "info --full \"$1\"",
    "replay \"$1\"",
    "read --all \"$1\" >/dev/null",
    "read --view current --json \"$1\" >/dev/null",
    "info --json \"$1\"",
    "convert --profile asis --compress none \"$1\" /dev/null",
    "convert --profile universal --compress gzip \"$1\" /dev/null",
    "convert --profile modern --compress zstd \"$1\" /dev/null",
];

fn compressed(compression: Compression, pieces: impl Iterator<Item = Vec<u8>>, chunk: usize) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("bomb");
    let options = WriteOptions { compression, level: Some(9), chunk_size: chunk, ..WriteOptions::default() };
    let mut writer = ChunkWriter::create(&to, &options).unwrap();
    for piece in pieces {
        writer.block(&piece, BlockMeta::Other).unwrap();
    }
    writer.finish(Trailer::None).unwrap();
    std::fs::read(&to).unwrap()
}

#[test]
fn bombs() {
    for (compression, name) in [(Compression::Gzip, "bomb.scap.gz"), (Compression::Zstd, "bomb.scap.zst")] {
        // 600 MB of zeros after a good capture, in one member or frame.
        let zeros = (0..600).map(|_| vec![0; 1 << 20]);
        let bytes = compressed(compression, std::iter::once(sample().finish()).chain(zeros), 1 << 30);
        assert!(bytes.len() < 700_000, "{}", bytes.len());
        let c = case(name, &bytes);
        for command in COMMANDS {
            let ran = bounded(command, &c.file);
            let wanted = i32::from(command.starts_with("verify"));
            assert_eq!(ran.code(), wanted, "{}", ran.err());
            let said = ran.out() + &ran.err();
            assert!(said.contains("max-expansion): decompression bomb?"), "{command}: {said}");
        }
        // Events that are all alike expand as well as zeros do.
        let one = sample().finish();
        let events = (0..200).map(|_| one.repeat((1 << 20) / one.len()));
        let c = case(name, &compressed(compression, events, 1 << 30));
        for command in COMMANDS {
            bounded(command, &c.file);
        }
    }
}

/// The largest block that is allowed, as a list and as an event of either kind: at most one copy of it is
/// made, whatever is written.
#[test]
fn huge_blocks() {
    // Compresses to a sixtieth: too little for a bomb.
    let mut seed = 1u32;
    let data: Vec<u8> = (0..99 << 20)
        .map(|i| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i % 4096 < 32 { seed.to_be_bytes()[0] } else { 0 }
        })
        .collect();
    for (name, block) in
        [("unknown", BlockType(0x5555)), ("list", BlockType::UL_V2), ("event", BlockType::EVF_V2_LARGE)]
    {
        let mut s = sample();
        if block == BlockType::EVF_V2_LARGE {
            let params = Params::new().bytes(&data[..data.len() - 4096]);
            s.event(1, 1, id::PLUGINEVENT_E, &Params::new().u32(1).bytes(params.slices()[0]));
            s.event(1, 1, id::ASYNCEVENT_E, &Params::new().u32(1).str("x").bytes(params.slices()[0]));
        } else {
            s.block(block, &data);
        }
        s.event(2, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
        let bytes = compressed(Compression::Gzip, std::iter::once(s.finish()), 1 << 30);
        assert!(bytes.len() < 10_000_000, "{}", bytes.len());
        println!("{name}: {}", bytes.len());
        let c = case("huge.scap.gz", &bytes);
        for command in COMMANDS {
            bounded(command, &c.file);
        }
        if name == "event" {
            let shown = bounded("read --all --view current -p '%evt.type %evt.args' \"$1\"", &c.file).out();
            let long: Vec<usize> = shown.lines().map(str::len).filter(|n| *n > 1000).collect();
            assert!(long.len() == 2 && long.iter().all(|n| *n < 1_100_000), "{long:?}");
            assert!(shown.contains("......\n"), "what is cut says so");
        }
        for profile in ["asis", "modern", "universal"] {
            for compression in ["none", "gzip", "zstd"] {
                let command = format!("convert --profile {profile} --compress {compression} \"$1\" /dev/null");
                bounded(&command, &c.file);
            }
        }
    }
}

/// A huge event that old readers know, before anything tells whether enters were recorded: `universal`
/// holds events back until then, but not this one.
#[test]
fn huge_event_before_the_layout_is_known() {
    // Runs of 4 KiB with a little noise, as in `huge_blocks`: too little for a bomb.
    let mut seed = 1u32;
    let data: Vec<u8> = (0..(99 << 20) - 4096)
        .map(|i| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if i % 4096 < 32 { seed.to_be_bytes()[0] } else { 0 }
        })
        .collect();
    let mut s = Synth::new();
    s.section().event(1, 1, id::PLUGINEVENT_E, &Params::new().u32(1).bytes(&data));
    s.event(2, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
    let bytes = compressed(Compression::Gzip, std::iter::once(s.finish()), 1 << 30);
    assert!(bytes.len() < 10_000_000, "{}", bytes.len());
    let c = case("huge.scap.gz", &bytes);
    for profile in ["asis", "modern", "universal"] {
        for compression in ["none", "gzip", "zstd"] {
            let command = format!("convert --profile {profile} --compress {compression} --threads 2 \"$1\" /dev/null");
            assert_eq!(bounded(&command, &c.file).code(), 0);
        }
    }
}

/// A member for each MiB: none is over the limit by itself.
#[test]
fn many_small_bombs() {
    let whole = compressed(Compression::Gzip, (0..600).map(|_| vec![0; 1 << 20]), 1 << 20);
    let mut bytes = compressed(Compression::Gzip, std::iter::once(sample().finish()), 1 << 20);
    bytes.extend(whole);
    let c = case("small.gz", &bytes);
    for command in COMMANDS {
        let ran = bounded(command, &c.file);
        let said = ran.out() + &ran.err();
        assert!(said.contains("max-expansion): decompression bomb?"), "{command}: {said}");
    }
}

#[test]
fn lists_of_a_million_entries() {
    let group = Account::Group { kind: 1, gid: 0, name: b"", extra: &[] };
    let mut entry = Vec::new();
    group.encode(1, &mut entry).unwrap();
    for block_type in [BlockType::UL, BlockType::UL_V2] {
        let mut one = Vec::new();
        group.encode(if block_type == BlockType::UL { 1 } else { 2 }, &mut one).unwrap();
        let mut s = Synth::new();
        s.section().block(block_type, &one.repeat(10_000_000 / one.len()));
        s.event(1, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
        let c = case("million.scap", &s.finish());
        for command in COMMANDS {
            assert_eq!(bounded(command, &c.file).code(), 0);
        }
        let limited = run(Command::new(SCAPKIT).args(["verify", "--limit", "max-list-entries=1000"]).arg(&c.file));
        let limited = limited.expect(1);
        assert!(
            limited.out().contains("(max-list-entries) of entry 1000: 1000 wanted, 1001 found"),
            "{}",
            limited.out()
        );
    }
    // Threads, each with fds: what the profiles remember of them is bounded by the input's size.
    let mut s = Synth::new();
    s.section();
    let threads: Vec<Thread<'_>> = (0..50_000).map(|tid| Thread { tid, pid: tid, ..Thread::default() }).collect();
    s.threads(9, &threads);
    for tid in 0..50_000 {
        s.fds(2, tid, &[]);
    }
    s.event(1, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
    let c = case("threads.scap", &s.finish());
    for command in COMMANDS {
        assert_eq!(bounded(command, &c.file).code(), 0);
    }
}

/// Ten megabytes of small blocks that are all wrong, of headers only, and of random bytes.
#[test]
fn ten_megabytes_of_trouble() {
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let noise: Vec<u8> = (0..1_250_000).flat_map(|_| random().to_le_bytes()).collect();
    let header = [&0x216u32.to_le_bytes()[..], &65_544u32.to_le_bytes()].concat();
    let large = [&0x221u32.to_le_bytes()[..], &(90u32 << 20).to_le_bytes()].concat();
    let broken = {
        let mut s = Synth::new();
        s.wrong_block(BlockType::EV_V2, 16, &[1, 2, 3, 4], 16);
        s.finish()
    };
    let empty_events = {
        let mut s = Synth::new();
        s.event(1, 7, id::SYSCALL_CLOSE_X, &Params::new());
        s.finish()
    };
    for (name, bytes) in [
        ("noise", noise),
        ("headers", header.repeat(10_000_000 / header.len())),
        ("large", large.repeat(10_000_000 / large.len())),
        ("broken", broken.repeat(10_000_000 / broken.len())),
        ("empty", empty_events.repeat(10_000_000 / empty_events.len())),
        ("sections", Synth::new().section().finish().repeat(10_000_000 / 28)),
        ("02", vec![2; 10_000_000]),
    ] {
        let mut s = sample();
        s.raw(&bytes);
        let c = case(name, &s.finish());
        println!("{name}");
        for command in COMMANDS {
            bounded(command, &c.file);
        }
    }
}

#[test]
fn damage_in_a_pipe_is_the_same_as_in_a_file() {
    let mut bytes = sample().finish();
    bytes.truncate(bytes.len() - 3);
    let c = case("x.scap", &bytes);
    let from_file = c.verify().expect(1).out();
    let from_pipe = run_with(Command::new(SCAPKIT).args(["verify", "-"]), &bytes).expect(1).out();
    let name = format!("{}: ", c.file.display());
    assert_eq!(from_file.replace(&name, ""), from_pipe.replace("-: ", ""));
}
