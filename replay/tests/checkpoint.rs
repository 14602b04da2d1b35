//! A capture cut in two at any event, the second half behind the exported state, answers as the whole does:
//! every field of every later event, and the state at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

mod draws;
mod world;

use draws::{capture, draws};
use proptest::prelude::*;
use scapkit_format::{BlockType, Capture, Item, Limits};
use scapkit_replay::engine::{EngineCounters, EngineLimits};
use scapkit_replay::fields::Takes;
use scapkit_replay::{Dialect, Format, Played, Player, ReplayOptions, TextOptions, View, Visibility, fields};
use std::path::{Path, PathBuf};

/// Fields that tell of the events before: numbers, and times since other events.
fn looks_back(name: &str) -> bool {
    matches!(name, "evt.num" | "evt.count" | "util.cnt") || name.contains("reltime") || name.contains("deltatime")
}

fn format() -> Format {
    let text: Vec<String> = fields::all()
        .filter(|f| !looks_back(f.name))
        .map(|f| match f.takes {
            Takes::Nothing => format!("%{}", f.name),
            Takes::Index => format!("%{0} %{0}[2]", f.name),
            Takes::Argument => format!("%{0}.fd %{0}.name %{0}.res %{0}[0] %{0}[1]", f.name),
            Takes::ArgumentName => format!("%{0}.fd %{0}.name %{0}.res", f.name),
            Takes::Time => format!("%{}[1700000000000000000]", f.name),
            Takes::Key => format!("%{}[a]", f.name),
            Takes::IndexOrKey => format!("%{0}[0] %{0}[1]", f.name),
            Takes::IndexOrName => format!("%{0} %{0}[0] %{0}[a]", f.name),
            Takes::Word => format!("%{}[a]", f.name),
            Takes::Side => format!("%{0} %{0}.src %{0}.dst", f.name),
            Takes::EventType => format!("%{}.open", f.name),
        })
        // Some are for filters only.
        .filter(|text| Format::compile(text).is_ok())
        .collect();
    assert!(text.len() > 100, "{}", text.len());
    Format::compile(&text.join(" ")).unwrap()
}

/// What came of a block: the event's fields and who should see it.
type Seen = Option<(Vec<u8>, Visibility)>;

struct Replayed {
    seen: Vec<Seen>,
    /// Where each block or damaged stretch ends.
    ends: Vec<usize>,
    player: Player,
}

fn options(view: View) -> ReplayOptions {
    ReplayOptions { view, latency: true, ..ReplayOptions::default() }
}

/// Plays the first `most` blocks of a capture.
fn replay(bytes: &[u8], options: ReplayOptions, most: usize, format: Option<&Format>) -> Replayed {
    let text = TextOptions::new(Dialect::Libs);
    let mut capture = Capture::from_bytes(bytes.to_vec(), "test", Limits::default());
    let mut all = Replayed { seen: Vec::new(), ends: Vec::new(), player: Player::new(options) };
    let mut end = 0;
    while all.seen.len() < most
        && let Some(item) = capture.next().unwrap()
    {
        let (bytes, content) = match item {
            Item::Block(block, content) => (block.bytes(), Some(content)),
            Item::Skipped { bytes, .. } => (bytes, None),
        };
        end += bytes.len();
        all.ends.push(end);
        let seen = match content.map(|content| all.player.play(&content)) {
            Some(Played::Event(step)) => {
                let mut out = Vec::new();
                if let Some(format) = format {
                    format.json(&step.context(step.event.ts, &text), &mut out);
                }
                Some((out, step.visibility))
            }
            _ => None,
        };
        all.seen.push(seen);
    }
    all
}

/// Counters without that of what was read.
fn state(player: &Player) -> EngineCounters {
    player.engine().counters()
}

/// Cuts before block `cut` and compares with `whole`.
fn check(name: &str, bytes: &[u8], whole: &Replayed, options: &ReplayOptions, cut: usize, format: &Format) {
    let before = replay(bytes, options.clone(), cut, None);
    let export = before.player.export().unwrap();

    let again = replay(&export, options.clone(), usize::MAX, None);
    assert_eq!(again.player.checkpoint_notes().first, None, "{name} at {cut}");
    assert_eq!(state(&again.player), state(&before.player), "{name} at {cut}: counters");
    let second = again.player.export().unwrap();
    assert!(second == export, "{name} at {cut}: another export of the same state");

    // Event numbers too, for who goes on in the same capture.
    let resumed = Player::resume(options.clone(), &before.player.checkpoint()).unwrap();
    assert_eq!(resumed.checkpoint(), before.player.checkpoint(), "{name} at {cut}");

    let rest = bytes.get(cut.checked_sub(1).map_or(0, |last| whole.ends[last])..).unwrap();
    let joined = replay(&[&export, rest].concat(), options.clone(), usize::MAX, Some(format));
    assert_eq!(joined.player.checkpoint_notes().first, None, "{name} at {cut}");
    let (start, after) = joined.seen.split_at(again.seen.len());
    assert!(start.iter().flatten().all(|(_, visibility)| *visibility == Visibility::Hidden), "{name} at {cut}");
    assert_eq!(after.len(), whole.seen.len() - cut, "{name} at {cut}: blocks");
    for (i, (ours, wanted)) in after.iter().zip(&whole.seen[cut..]).enumerate() {
        if ours != wanted {
            panic!("{name}, cut at {cut}, block {}:\n  {}\n  {}", cut + i, shown(ours), shown(wanted));
        }
    }
    assert_eq!(state(&joined.player), state(&whole.player), "{name} at {cut}: counters at the end");
    assert!(joined.player.export().unwrap() == whole.player.export().unwrap(), "{name} at {cut}: state at the end");
}

fn shown(seen: &Seen) -> String {
    seen.as_ref().map_or("nothing".to_owned(), |(json, v)| format!("{v:?} {}", String::from_utf8_lossy(json)))
}

fn captures() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus");
    let shared = std::env::var_os("SCAPKIT_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"), PathBuf::from);
    let mut files = Vec::new();
    for folder in [corpus, shared.join("captures")] {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            let skipped = format_args!("SKIPPED: {} is absent (set SCAPKIT_SHARED)\n", folder.display());
            std::io::Write::write_fmt(&mut std::io::stderr(), skipped).unwrap();
            continue;
        };
        files.extend(entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "scap")));
    }
    files.sort();
    files
}

#[test]
fn captures_cut_anywhere() {
    let format = format();
    let mut random = 7u64;
    let mut cuts = 0;
    for file in captures() {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let compressed = std::fs::read(&file).unwrap();
        let mut capture = Capture::from_bytes(compressed, "plain", Limits::default());
        let mut bytes = Vec::new();
        while let Some(item) = capture.next().unwrap() {
            match item {
                Item::Block(block, _) => bytes.extend_from_slice(block.bytes()),
                Item::Skipped { bytes: b, .. } => bytes.extend_from_slice(b),
            }
        }
        for view in [View::Recorded, View::Current] {
            let whole = replay(&bytes, options(view), usize::MAX, Some(&format));
            let blocks = whole.seen.len();
            let more = if bytes.len() < 30_000 { 8 } else { 2 };
            let first_event = whole.seen.iter().position(Option::is_some).unwrap_or(0);
            for i in 0..more + 3 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let cut = match i {
                    0 => 1,
                    1 => first_event + 1,
                    2 => blocks,
                    _ => usize::try_from(random >> 33).unwrap() % blocks,
                };
                check(&name, &bytes, &whole, &options(view), cut, &format);
                cuts += 1;
            }
        }
    }
    assert!(cuts > 50, "{cuts}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Events that no machine has.
    #[test]
    fn any_events_cut_anywhere(draws in draws(), at in 0usize..130, current: bool) {
        let bytes = capture(&draws);
        let format = format();
        let options = options(if current { View::Current } else { View::Recorded });
        let whole = replay(&bytes, options.clone(), usize::MAX, Some(&format));
        check("drawn", &bytes, &whole, &options, at.min(whole.seen.len()), &format);
    }

    /// Where memory is short it is so in the same places.
    #[test]
    fn small_budgets(draws in draws(), at in 0usize..130, threads in 1usize..5, fds in 0usize..3, budget in 0usize..30_000) {
        let bytes = capture(&draws);
        let format = format();
        let limits = EngineLimits { max_threads: threads, max_fds_per_thread: fds, max_state_bytes: budget };
        let options = ReplayOptions { limits, ..options(View::Current) };
        let whole = replay(&bytes, options.clone(), usize::MAX, Some(&format));
        check("drawn", &bytes, &whole, &options, at.min(whole.seen.len()), &format);
    }

    /// Suppressed programs stay so.
    #[test]
    fn suppressed_programs(draws in draws(), at in 0usize..130) {
        let bytes = capture(&draws);
        let format = format();
        let options = ReplayOptions { suppress: vec!["init".to_owned(), "/q".to_owned()], ..options(View::Current) };
        let whole = replay(&bytes, options.clone(), usize::MAX, Some(&format));
        check("drawn", &bytes, &whole, &options, at.min(whole.seen.len()), &format);
    }
}

/// Start of the checkpoint block of an exported state, and its length.
fn checkpoint_at(export: &[u8]) -> (usize, usize) {
    let mut at = 0;
    loop {
        let word = |from: usize| u32::from_le_bytes(export[from..from + 4].try_into().unwrap());
        let len = word(at + 4) as usize;
        if word(at) == BlockType::CHECKPOINT.0 {
            return (at, len);
        }
        at += len;
    }
}

const HEAD: usize = 8 + 56;

/// Makes the hash of a changed checkpoint right.
fn rehash(export: &mut [u8], at: usize) {
    let len = u64::from_le_bytes(export[at + 24..at + 32].try_into().unwrap());
    let hash = blake3::hash(&export[at + HEAD..at + HEAD + usize::try_from(len).unwrap()]);
    export[at + 32..at + 64].copy_from_slice(hash.as_bytes());
}

fn break_in() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/break-in.scap")).unwrap()
}

/// Whatever byte is wrong: no panic; a checkpoint that is refused leaves the state of the lists, and one that
/// is taken with a right hash leads to a state that can be written and read.
#[test]
fn every_byte_changed() {
    let bytes = break_in();
    let half = replay(&bytes, options(View::Current), 150, None);
    let ends = half.ends;
    let export = half.player.export().unwrap();
    let (at, len) = checkpoint_at(&export);
    let without = [&export[..at], &export[at + len..]].concat();
    let lists = replay(&without, options(View::Current), usize::MAX, None).player;
    let rest = &bytes[*ends.last().unwrap()..];
    let (mut refused, mut taken) = (0, 0);
    // Values of strings and numbers are as good as any others: not each of their bytes is tried in full.
    for i in at + 8..at + len - 4 {
        for flip in [1u8, 0x80, 0xFF] {
            let mut changed = export.clone();
            changed[i] ^= flip;
            let player = replay(&changed, options(View::Current), usize::MAX, None).player;
            let padding = i
                >= at
                    + HEAD
                    + usize::try_from(u64::from_le_bytes(export[at + 24..at + 32].try_into().unwrap())).unwrap();
            if !padding {
                assert_eq!(player.checkpoint_notes().refused, 1, "byte {i} ^ {flip:#x}");
                assert_eq!(player.checkpoint(), lists.checkpoint(), "byte {i} ^ {flip:#x}");
            }
            if flip == 0x80 || padding || i < at + HEAD {
                continue;
            }
            rehash(&mut changed, at);
            let player = replay(&changed, options(View::Current), usize::MAX, None).player;
            if player.checkpoint_notes().refused > 0 {
                assert_eq!(player.checkpoint(), lists.checkpoint(), "byte {i} ^ {flip:#x}");
                refused += 1;
                continue;
            }
            taken += 1;
            let export = player.export().unwrap();
            let again = replay(&export, options(View::Current), usize::MAX, None).player;
            assert_eq!(again.checkpoint_notes().refused, 0, "byte {i} ^ {flip:#x}: {:?}", again.checkpoint_notes());
            assert!(again.export().unwrap() == export, "byte {i} ^ {flip:#x}");
            if i % 16 == 0 {
                replay(&[&changed, rest].concat(), options(View::Current), usize::MAX, None);
            }
        }
    }
    assert!(refused > 1000 && taken > 1000, "{refused} refused, {taken} taken");
}

#[test]
fn what_is_refused() {
    let bytes = break_in();
    let half = replay(&bytes, options(View::Current), 150, None);
    let export = half.player.export().unwrap();
    let (at, len) = checkpoint_at(&export);
    let block = &export[at..at + len];
    let note = |bytes: &[u8], options: ReplayOptions| {
        let player = replay(bytes, options, usize::MAX, None).player;
        player.checkpoint_notes().first.as_ref().map(ToString::to_string)
    };
    let event = &bytes[half.ends[148]..half.ends[149]];
    let late = [&export[..at], event, block].concat();
    assert_eq!(note(&late, options(View::Current)).unwrap(), "it is not before the first event");
    // Its own limits are the reader's.
    let limits = |threads, fds, bytes| ReplayOptions {
        limits: EngineLimits { max_threads: threads, max_fds_per_thread: fds, max_state_bytes: bytes },
        ..options(View::Current)
    };
    for limits in [limits(3, 4096, 1 << 20), limits(1000, 2, 1 << 20), limits(1000, 4096, 10_000)] {
        assert_eq!(note(&export, limits).unwrap(), "it does not fit the limits of the state");
    }
    assert_eq!(note(&export, limits(1000, 4096, 1 << 20)), None);
    let mut other = export.clone();
    other[at + 15] = 2;
    assert_eq!(note(&other, options(View::Current)).unwrap(), "it is of another version");
    // A part that never comes.
    let mut first = block.to_vec();
    first[24..32].copy_from_slice(&(9u64 << 20).to_le_bytes());
    first.splice(len - 4..len - 4, vec![0; 9 << 20]);
    let total = u32::try_from(first.len()).unwrap().to_le_bytes();
    first[4..8].copy_from_slice(&total);
    let end = first.len();
    first[end - 4..].copy_from_slice(&total);
    let missing = [&export[..at], &first, event].concat();
    assert_eq!(note(&missing, options(View::Current)).unwrap(), "its parts do not fit together");
    // Two of them: the second counts.
    let twice = [&export[..at], block, block, &export[at + len..]].concat();
    let player = replay(&twice, options(View::Current), usize::MAX, None).player;
    assert!(player.checkpoint_notes().first.is_none() && player.export().unwrap() == export);
}
