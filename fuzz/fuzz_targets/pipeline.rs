//! The whole way of a capture: upgrade, state, all fields as text and as JSON, in both views, and the digest.
//! The first bytes choose limits, a filter, a format and how things are shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scapkit_format::{Capture, Limits};
use scapkit_replay::engine::EngineLimits;
use scapkit_replay::{
    BufferMode, DEFAULT_LINE, Dialect, Digest, Filter, Format, Played, Replay, ReplayOptions, TextOptions, TimeMode,
    View, fields,
};
use std::sync::LazyLock;

/// Every field that needs no argument, and some with one.
static ALL: LazyLock<Format> = LazyLock::new(|| {
    let mut text = "*".to_owned();
    for field in fields::all() {
        let shown = format!("%{} ", field.name);
        if Format::compile(&shown).is_ok() {
            text.push_str(&shown);
        }
    }
    text.push_str(
        "%evt.arg[0] %evt.arg[1] %evt.arg.flags %evt.rawarg.res %evt.rawarg.fd %proc.aname[1] %proc.aname[9]",
    );
    text.push_str(" %proc.env[PATH] %thread.cgroup[cpu] %3proc.name %200fd.name %container.mount.source[0]");
    Format::compile(&text).or_else(|_| Format::compile(DEFAULT_LINE)).expect("a format of known fields")
});

/// One of each kind of operator and of value.
const FILTERS: [&str; 16] = [
    "evt.type in (open, openat, read, close) and fd.name contains /e",
    "evt.type != close and not fd.num exists",
    "fd.ip = 10.0.0.0/8 or fd.net in (192.0.2.0/24, ::/8) or fd.port > 80",
    "proc.aname in (sshd, init, sh) or proc.apid[1] >= 1",
    "evt.rawres < 0 and evt.arg.res contains E",
    "fd.name glob /*/*a* or fd.name endswith .sh or fd.name startswith /etc",
    "proc.name regex '[a-z]+' and proc.cmdline icontains S",
    "evt.buffer bcontains 726f or evt.buffer bstartswith 00",
    "tolower(proc.name) = toupper(proc.exe) or len(fd.name) > 3",
    "fd.name pmatch (/etc, /var/log, /tmp)",
    "evt.args intersects (a, b) or proc.args contains -",
    "proc.name = val(proc.pname)",
    "basename(proc.exepath) in (sh, bash) or b64(evt.buffer) exists",
    "thread.cap_effective exists and user.name != root and group.gid = 0",
    "evt.cpu = 0 and thread.tid < 5000 and evt.rawtime > 0",
    "container.id != host and container.image contains a or container.privileged = true",
];

const FORMATS: [&str; 4] = [
    DEFAULT_LINE,
    "%evt.num %evt.type",
    "*%40proc.cmdline %evt.arg.name %evt.arg[2] %fd.name",
    "*%evt.datetime %evt.reltime %evt.latency.human %proc.aname[2] %evt.buffer",
];

const LIMITS: Limits = Limits {
    max_block: 1 << 20,
    max_list_entries: 4096,
    max_string: u16::MAX,
    max_frame_plain: 1 << 20,
    max_expansion: 50,
    expansion_grace: 64 << 10,
    max_zstd_window_log: 20,
};

fn replay(data: &[u8], view: View, limits: EngineLimits, choice: u8, filter: u8) {
    let capture = Capture::from_bytes(data.to_vec(), "fuzz", LIMITS);
    let suppress = if choice & 64 != 0 { vec!["sh".to_owned()] } else { Vec::new() };
    let mut replay = Replay::new(
        capture,
        ReplayOptions { view, limits, latency: choice & 1 != 0, suppress, ..ReplayOptions::default() },
    );
    let mut options = TextOptions::new(if choice & 2 != 0 { Dialect::Sysdig } else { Dialect::Libs });
    options.time = [TimeMode::Clock, TimeMode::Absolute, TimeMode::Relative, TimeMode::Latency, TimeMode::Delta]
        [usize::from(choice >> 2) % 5];
    options.buffers = [BufferMode::Normal, BufferMode::Ascii, BufferMode::HexAscii][usize::from(choice >> 4) % 3];
    let line = Format::compile(DEFAULT_LINE).expect("the default");
    let source = FILTERS[usize::from(filter) % FILTERS.len()];
    let mut filter = Filter::compile(source).ok();
    let mut others = Filter::compile(&format!("not ({source})")).ok();
    let format = Format::compile(FORMATS[usize::from(choice >> 3) % FORMATS.len()]).expect("known fields");
    let mut out = Vec::new();
    let mut previous = 0;
    while let Ok(Some(played)) = replay.next() {
        let Played::Event(step) = played else { continue };
        let context = step.context(previous, &options);
        previous = step.event.ts;
        out.clear();
        assert!(line.line(&context, &mut out), "a format with * prints every line");
        if options.buffers == BufferMode::Normal {
            let text = std::str::from_utf8(&out).expect("lines are UTF-8");
            assert!(!text.chars().any(|c| c.is_control()), "{text:?}");
        }
        if let (Some(filter), Some(others)) = (&mut filter, &mut others) {
            let matches = filter.matches(&context);
            assert_ne!(others.matches(&context), matches, "{source}");
            if matches {
                out.clear();
                format.line(&context, &mut out);
                format.json(&context, &mut out);
            }
        }
        out.clear();
        ALL.line(&context, &mut out);
        out.clear();
        ALL.json(&context, &mut out);
        assert!(std::str::from_utf8(&out).is_ok(), "JSON is UTF-8");
    }
    let counters = replay.engine().counters();
    assert!(counters.state_bytes <= limits.max_state_bytes as u64);
    assert!(replay.engine().threads().count() <= limits.max_threads);
}

fuzz_target!(|data: &[u8]| {
    let Some(([choice, small, filter], data)) = data.split_first_chunk() else { return };
    let limits = match small % 4 {
        0 => EngineLimits { max_threads: 3, max_fds_per_thread: 2, max_state_bytes: 16 << 10 },
        1 => EngineLimits { max_threads: 50, max_fds_per_thread: 5, max_state_bytes: 100 << 10 },
        _ => EngineLimits::default(),
    };
    for view in [View::Recorded, View::Current] {
        replay(data, view, limits, *choice, *filter);
    }
    let _ = Digest::of(Capture::from_bytes(data.to_vec(), "fuzz", LIMITS)).map(|d| d.to_string());
});
