//! A replay that starts at a checkpoint is the rest of the whole one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects, clippy::needless_for_each, clippy::needless_pass_by_value)]

mod world;

use proptest::prelude::*;
use scapkit_format::synth::Synth;
use scapkit_format::{BlockType, Capture, Content, Item, Limits};
use scapkit_replay::engine::{Bound, CheckpointError, EngineLimits};
use scapkit_replay::{
    Checkpoint, Dialect, Format, Played, Player, Replay, ReplayOptions, TextOptions, View, Visibility, fields,
};
use std::path::PathBuf;
use world::draws::{Draw, draws, each};
use world::init;

/// What depends on where a replay starts.
const OF_THE_START: [&str; 8] = [
    "util.cnt",
    "evt.num",
    "evt.reltime",
    "evt.reltime.s",
    "evt.reltime.ns",
    "evt.deltatime",
    "evt.deltatime.s",
    "evt.deltatime.ns",
];

/// Every field, those with an argument with some.
fn all_fields() -> Format {
    let mut names: Vec<String> = Vec::new();
    for field in fields::all().filter(|f| !OF_THE_START.contains(&f.name)) {
        let mut any = false;
        for argument in ["", "[0]", "[1]", "[2]", "[3]", "[cpu]", "[PATH]", ".res", ".fd", ".name", ".flags"] {
            let name = format!("%{}{argument}", field.name);
            // Without the argument the dotted ones are a field and text.
            let whole = Format::compile(&name).is_ok_and(|f| f.fields().eq([&name[1..]]));
            if whole {
                any = true;
                names.push(name);
            }
        }
        assert!(any || Format::compile(&format!("%{}", field.name)).is_err(), "{} is not tested", field.name);
    }
    Format::compile(&names.join(" ")).unwrap()
}

fn options(view: View) -> ReplayOptions {
    ReplayOptions { view, latency: true, ..ReplayOptions::default() }
}

/// What a block came to: nothing, or an event with all that can be asked of it.
type Row = Option<(Visibility, Option<u64>, Bound, String)>;

struct Asking {
    format: Format,
    options: TextOptions,
}

impl Asking {
    fn new(view: View) -> Self {
        let dialect = if view == View::Current { Dialect::Libs } else { Dialect::Sysdig };
        Asking { format: all_fields(), options: TextOptions::new(dialect) }
    }

    /// Plays a block; its row, and the number that its event has.
    fn play(&self, player: &mut Player, content: &Content<'_>) -> (Row, u64) {
        let Played::Event(step) = player.play(content) else { return (None, 0) };
        let mut out = Vec::new();
        self.format.json(&step.context(step.event.ts, &self.options), &mut out);
        (Some((step.visibility, step.enter_ts, step.bound, String::from_utf8(out).unwrap())), step.number)
    }
}

/// Calls `f` for each block.
fn blocks(bytes: &[u8], mut f: impl FnMut(usize, &[u8], &Content<'_>)) {
    let mut capture = Capture::from_bytes(bytes.to_vec(), "capture", Limits::default());
    let mut n = 0;
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(block, content) = item {
            f(n, block.bytes(), &content);
            n += 1;
        }
    }
}

fn count(bytes: &[u8]) -> usize {
    let mut n = 0;
    if !bytes.is_empty() {
        blocks(bytes, |_, _, _| n += 1);
    }
    n
}

/// Where a capture is cut: near its start, its end, and `more` places between.
fn cuts(blocks: usize, first_event: usize, more: usize) -> Vec<usize> {
    let mut random = 0x2545_F491_4F6C_DD1Du64;
    let mut cuts = vec![first_event, first_event + 1, first_event + 2, blocks - 2, blocks - 1];
    for _ in 0..more {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        cuts.push(first_event + usize::try_from(random % (blocks - first_event) as u64).unwrap());
    }
    cuts.retain(|cut| *cut < blocks);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// Replays a capture whole and from cuts.
fn check(name: &str, bytes: &[u8], view: View, more: usize) {
    let asking = Asking::new(view);
    let (mut all, mut first_event) = (0, None);
    blocks(bytes, |n, _, content| {
        all = n + 1;
        if let Content::Event(_) = content {
            first_event.get_or_insert(n);
        }
    });
    let cuts = cuts(all, first_event.unwrap(), more);
    let mut player = Player::new(options(view));
    let (mut whole, mut raw, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    blocks(bytes, |n, block, content| {
        whole.push(asking.play(&mut player, content));
        raw.push(block.to_vec());
        if cuts.contains(&n) {
            starts.push((n, player.export().unwrap(), player.checkpoint()));
        }
    });
    let end = (player.export().unwrap(), player.engine().counters());

    for (cut, export, checkpoint) in starts {
        let told = count(&export);
        let mut again = Player::new(options(view));
        blocks(&export, |_, _, content| _ = again.play(content));
        assert_eq!(again.checkpoint_notes().first, None, "{name} at {cut}");
        assert!(again.export().unwrap() == export, "{name} at {cut}: exported again it is another");

        let rest = raw[cut + 1..].concat();
        let mut player = Player::new(options(view));
        blocks(&[&export[..], &rest].concat(), |n, _, content| {
            let (row, _) = asking.play(&mut player, content);
            match n.checked_sub(told) {
                None => assert!(row.is_none_or(|(seen, ..)| seen == Visibility::Hidden), "{name} at {cut}"),
                Some(n) => assert_eq!(row, whole[cut + 1 + n].0, "{name} at {cut}, block {n} after it"),
            }
        });
        assert!(player.export().unwrap() == end.0, "{name} at {cut}: the state at the end is another");
        assert_eq!(player.engine().counters(), end.1, "{name} at {cut}");

        let mut player = Player::resume(options(view), &checkpoint).unwrap();
        assert!(player.checkpoint() == checkpoint, "{name} at {cut}");
        // After a cut there is no section header in front of the rest: played without the file around it.
        let mut headed = Synth::new().section().finish();
        headed.extend_from_slice(&rest);
        blocks(&headed, |n, _, content| {
            if let Some(n) = n.checked_sub(1) {
                assert_eq!(
                    asking.play(&mut player, content),
                    whole[cut + 1 + n],
                    "{name} at {cut}, block {n} after it"
                );
            }
        });
        assert!(player.export().unwrap() == end.0, "{name} at {cut}: the state at the end is another");
    }
}

fn both(name: &str, bytes: &[u8], more: usize) {
    check(name, bytes, View::Current, more);
    check(name, bytes, View::Recorded, more);
}

fn plain(path: &std::path::Path) -> Vec<u8> {
    let mut capture = Capture::open(path, Limits::default()).unwrap();
    let mut out = Vec::new();
    while let Some(item) = capture.next().unwrap() {
        if let Item::Block(block, _) = item {
            out.extend_from_slice(block.bytes());
        }
    }
    out
}

#[test]
fn captures_of_the_project() {
    let corpus = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus"));
    for name in ["break-in", "damaged", "old-2016", "sections", "strange-names"] {
        both(name, &plain(&corpus.join(format!("{name}.scap"))), 8);
    }
}

#[test]
fn real_captures() {
    let shared = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let Ok(folder) = std::fs::read_dir(shared.join("captures")) else {
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: the shared captures are not here ({})\n", shared.display()),
        )
        .unwrap();
        return;
    };
    let mut files: Vec<PathBuf> = folder.map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "scap")) {
        both(&file.file_name().unwrap().to_string_lossy(), &plain(file), 4);
    }
}

/// Plays drawn events; what they were bound to.
fn play(player: &mut Player, draws: &[Draw]) -> Vec<Option<(u64, Bound)>> {
    let mut out = Vec::new();
    each(draws, |event, _| {
        out.push(match player.play(&Content::Event(*event)) {
            Played::Event(step) => Some((step.number, step.bound)),
            Played::Nothing => None,
        });
    });
    out
}

/// A player that knows one process, under limits.
fn player(limits: EngineLimits, suppress: bool) -> Player {
    let suppress = if suppress { vec!["init".to_owned(), "q".to_owned()] } else { Vec::new() };
    let mut player = Player::new(ReplayOptions { limits, suppress, ..options(View::Current) });
    let lists = Synth::new().section().threads(9, &[init()]).finish();
    blocks(&lists, |_, _, content| _ = player.play(content));
    player
}

/// Reads an export into a player of the same options.
fn reopened(options: ReplayOptions, export: &[u8]) -> Player {
    let mut player = Player::new(options);
    blocks(export, |_, _, content| _ = player.play(content));
    player
}

fn limits() -> impl Strategy<Value = EngineLimits> {
    let small = (1usize..5, 1usize..4, 2_000usize..12_000).prop_map(|(max_threads, max_fds_per_thread, bytes)| {
        EngineLimits { max_threads, max_fds_per_thread, max_state_bytes: bytes }
    });
    prop_oneof![2 => Just(EngineLimits::default()), 1 => small]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever the events, also when the budget is spent.
    #[test]
    fn any_events(before in draws(), after in draws(), limits in limits(), suppress: bool) {
        let mut whole = player(limits, suppress);
        play(&mut whole, &before);
        let (checkpoint, export) = (whole.checkpoint(), whole.export().unwrap());
        let names = if suppress { vec!["q".to_owned(), "init".to_owned()] } else { Vec::new() };
        let options = ReplayOptions { limits, suppress: names, ..options(View::Current) };
        let mut resumed = Player::resume(options.clone(), &checkpoint).unwrap();
        let mut read = reopened(options, &export);
        prop_assert_eq!(&read.checkpoint_notes().first, &None);
        prop_assert_eq!(resumed.engine().counters(), whole.engine().counters());
        prop_assert_eq!(read.engine().counters(), whole.engine().counters());
        prop_assert!(read.export().unwrap() == export);
        let rows = play(&mut whole, &after);
        prop_assert_eq!(&play(&mut resumed, &after), &rows);
        let bound = |rows: &[Option<(u64, Bound)>]| rows.iter().map(|r| r.map(|r| r.1)).collect::<Vec<_>>();
        prop_assert_eq!(bound(&play(&mut read, &after)), bound(&rows));
        prop_assert_eq!(resumed.engine().counters(), whole.engine().counters());
        prop_assert_eq!(read.engine().counters(), whole.engine().counters());
        prop_assert!(resumed.checkpoint() == whole.checkpoint());
        prop_assert!(read.export().unwrap() == whole.export().unwrap());
    }

    /// Bytes that are not what was written are refused, or are a state like any other.
    #[test]
    fn false_states(before in draws(), after in draws(), changes in prop::collection::vec(change(), 1..6)) {
        let mut whole = player(EngineLimits::default(), false);
        play(&mut whole, &before);
        let mut checkpoint = whole.checkpoint();
        changes.iter().for_each(|change| change.apply(&mut checkpoint.state));
        try_state(checkpoint, &after);
    }

    #[test]
    fn junk(state: Vec<u8>) {
        try_state(Checkpoint { number: 1, first_ts: 1, state }, &[]);
    }
}

fn try_state(checkpoint: Checkpoint, after: &[Draw]) -> bool {
    let Ok(mut player) = Player::resume(options(View::Current), &checkpoint) else { return false };
    play(&mut player, after);
    let written = player.checkpoint();
    let again = Player::resume(options(View::Current), &written).expect("a state that was written is read");
    assert!(again.checkpoint() == written);
    let read = reopened(options(View::Current), &player.export().unwrap());
    assert_eq!(read.checkpoint_notes().first, None);
    true
}

#[derive(Debug, Clone)]
enum Change {
    Set(usize, u8),
    Cut(usize, usize),
    Insert(usize, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let byte = prop_oneof![any::<u8>(), 0u8..4, Just(0xFF)];
    prop_oneof![
        4 => (any::<usize>(), byte).prop_map(|(at, b)| Change::Set(at, b)),
        1 => (any::<usize>(), 1usize..5).prop_map(|(at, n)| Change::Cut(at, n)),
        1 => (any::<usize>(), prop::collection::vec(any::<u8>(), 1..4)).prop_map(|(at, b)| Change::Insert(at, b)),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len().max(1);
        match self {
            Change::Set(at, b) => {
                if let Some(to) = bytes.get_mut(at % len) {
                    *to = *b;
                }
            }
            Change::Cut(at, n) => {
                let at = (at % len).min(bytes.len());
                bytes.drain(at..(at + n).min(bytes.len()));
            }
            Change::Insert(at, new) => {
                let at = (at % len).min(bytes.len());
                bytes.splice(at..at, new.iter().copied());
            }
        }
    }
}

/// Blocks of an export: those before the checkpoint, the checkpoint's body, those after it.
fn parts(export: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let (mut before, mut body, mut after) = (Vec::new(), None, Vec::new());
    blocks(export, |_, bytes, content| match content {
        Content::Checkpoint(b) => body = Some(b.to_vec()),
        _ if body.is_none() => before.extend_from_slice(bytes),
        _ => after.extend_from_slice(bytes),
    });
    (before, body.unwrap(), after)
}

/// A capture that was cut, of some files and a container.
fn exported() -> Vec<u8> {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus/break-in.scap");
    let mut replay = Replay::new(Capture::open(corpus.as_ref(), Limits::default()).unwrap(), options(View::Current));
    while replay.next().unwrap().is_some() {}
    replay.export().unwrap()
}

fn refused(bytes: &[u8]) -> (u64, Option<CheckpointError>, usize) {
    let player = reopened(options(View::Current), bytes);
    let notes = player.checkpoint_notes();
    (notes.refused, notes.first.clone(), player.engine().threads().count())
}

#[test]
fn what_is_refused() {
    let export = exported();
    let (before, body, after) = parts(&export);
    let with = |bodies: &[&[u8]]| {
        let mut s = Synth::new();
        s.raw(&before);
        for body in bodies {
            s.block(BlockType::CHECKPOINT, body);
        }
        s.raw(&after).finish()
    };
    let (refusals, _, threads) = refused(&with(&[&body]));
    assert_eq!(refusals, 0);
    assert!(threads > 1);
    let changed = |at: usize, to: u8| {
        let mut body = body.clone();
        body[at] ^= to;
        body
    };
    for (body, error) in [
        (changed(body.len() - 9, 1), CheckpointError::Hash),
        (changed(7, 3), CheckpointError::Version),
        (changed(8, 1), CheckpointError::Parts),
        (changed(18, 16), CheckpointError::Truncated),
        (changed(22, 64), CheckpointError::Truncated),
        (body[..40].to_vec(), CheckpointError::Truncated),
    ] {
        let (refusals, first, listed) = refused(&with(&[&body]));
        assert_eq!((refusals, first), (1, Some(error.clone())), "{error}");
        assert!(listed > 1, "the lists are used");
    }
    // After an event it is not what the section starts with.
    let mut late = Synth::new();
    late.raw(&export);
    late.event(1, 1, scapkit_format::schema::id::SYSCALL_CLOSE_E, &scapkit_format::synth::Params::new().i64(1));
    late.block(BlockType::CHECKPOINT, &body);
    assert_eq!(refused(&late.finish()).1, Some(CheckpointError::Late));
}

/// A state that needs several blocks, with texts that are longer than lists can hold.
#[test]
fn several_blocks() {
    let args: Vec<Vec<u8>> = (0..200u8).map(|n| vec![n + 1; 60_000]).collect();
    let threads: Vec<_> = (100..)
        .zip(&args)
        .map(|(tid, args)| scapkit_format::lists::threads::Thread { tid, pid: tid, args, ..init() })
        .collect();
    let player = reopened(options(View::Current), &Synth::new().section().threads(9, &threads).finish());
    let export = player.export().unwrap();
    let (mut others, mut bodies) = (Vec::new(), Vec::new());
    blocks(&export, |_, bytes, content| match content {
        Content::Checkpoint(body) => bodies.push(body.to_vec()),
        _ => others.extend_from_slice(bytes),
    });
    assert!(bodies.len() > 1);
    let with = |order: &[usize]| {
        let mut s = Synth::new();
        s.raw(&others);
        for n in order {
            s.block(BlockType::CHECKPOINT, &bodies[*n]);
        }
        let nothing = scapkit_format::synth::Params::new().i64(-1).empty();
        s.event(1, 1, scapkit_format::schema::id::SYSCALL_GETCWD_X, &nothing);
        reopened(options(View::Current), &s.finish())
    };
    let whole = with(&[0, 1]);
    assert_eq!(whole.checkpoint_notes().refused, 0);
    assert_eq!(whole.engine().thread(101).unwrap().args.len(), 60_000);
    for order in [&[0][..], &[1], &[1, 0], &[0, 0, 1]] {
        let player = with(order);
        assert!(player.checkpoint_notes().refused > 0, "{order:?}");
        assert_eq!(player.checkpoint_notes().first, Some(CheckpointError::Parts), "{order:?}");
        assert_eq!(player.engine().thread(101).unwrap().args.len(), 4095, "{order:?}: the lists are used");
    }
}

/// Lines that a program prints of a capture; `None` when the program is not here.
fn lines(program: &str, arguments: &[&str], capture: &[u8]) -> Option<Vec<String>> {
    let file = std::env::temp_dir().join(format!("scapkit-checkpoint-{}.scap", std::process::id()));
    std::fs::write(&file, capture).unwrap();
    let ran = std::process::Command::new(program).arg("-r").arg(&file).args(arguments).output();
    std::fs::remove_file(&file).unwrap();
    let ran = match ran {
        Ok(ran) => ran,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED: {program} is not here\n"))
                .unwrap();
            return None;
        }
        Err(e) => panic!("{program}: {e}"),
    };
    let complaints = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{program}: {complaints}");
    assert!(!complaints.contains("cut short"), "{program}: {complaints}");
    Some(String::from_utf8_lossy(&ran.stdout).lines().map(str::to_owned).collect())
}

/// Programs that are not ours skip the block and read the rest.
#[test]
fn other_readers() {
    const FIELDS: &str = "*%evt.type %evt.dir %thread.tid %proc.name %proc.pname %fd.name";
    let corpus = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../corpus"));
    for name in ["break-in", "old-2016", "strange-names"] {
        let bytes = plain(&corpus.join(format!("{name}.scap")));
        let (cut, mut raw) = (count(&bytes) / 2, Vec::new());
        let mut player = Player::new(options(View::Recorded));
        blocks(&bytes, |n, block, content| {
            if n <= cut {
                let _ = player.play(content);
            } else {
                raw.push(block.to_vec());
            }
        });
        let (before, body, after) = parts(&player.export().unwrap());
        let rest = raw.concat();
        let with = Synth::new().raw(&before).block(BlockType::CHECKPOINT, &body).raw(&after).raw(&rest).finish();
        let without = Synth::new().raw(&before).raw(&after).raw(&rest).finish();
        let events = count(&with) - count(&before) - 1;
        if let Some(frames) = lines("tshark", &["-T", "fields", "-e", "frame.number"], &with) {
            assert_eq!(frames.len(), events, "{name}");
        }
        let sysdig = |capture: &[u8]| lines("sysdig", &["-D", "-p", FIELDS], capture);
        if let (Some(with), Some(without)) = (sysdig(&with), sysdig(&without)) {
            assert_eq!(with, without, "{name}");
            assert!(!with.is_empty());
        }
    }
}
