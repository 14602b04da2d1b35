//! The command line: flags and help. Nothing is opened here.

pub mod gvisor;

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Record, read, convert and check .scap captures.
#[derive(Debug, Parser)]
#[command(
    name = "scapkit",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "Exit status: 0 done; 1 done but the answer is no (damage found); 2 could not do it.\n\
                  FILE may be - for standard input. Compression of input is detected by content."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub common: Common,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Worker threads for compression [default: all cores]
    #[arg(long, global = true, value_name = "N")]
    pub threads: Option<usize>,
    /// Stop at the first damage, with status 1
    #[arg(long, global = true)]
    pub strict: bool,
    /// Change a limit on what a file may declare: max-block, max-list-entries, max-string,
    /// max-frame-plain, max-expansion, max-zstd-window-log (suffixes K, M, G)
    #[arg(long = "limit", global = true, value_name = "NAME=N")]
    pub limits: Vec<String>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Info(Info),
    Read(Read),
    Replay(Replay),
    Convert(Convert),
    Verify(Verify),
    Record(Record),
    Live(Live),
    Open(Open),
    Gvisor(gvisor::Gvisor),
    Fields(Fields),
    Events(Events),
    Completions(Completions),
    Man(Man),
}

/// Show what a capture is: format, machine, time span, events, damage
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scapkit info incident.scap\n  \
    scapkit info --json *.scap | jq .events.count\n  \
    zstd -dc big.scap.zst | scapkit info -")]
pub struct Info {
    /// Captures
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// One JSON object per file and line
    #[arg(long)]
    pub json: bool,
    /// Add what needs the state engine: processes, threads and open files at the end
    #[arg(long)]
    pub full: bool,
}

/// Print events, one per line
#[derive(Debug, Args)]
#[command(override_usage = "scapkit read [OPTIONS] FILE... [FILTER]")]
#[command(after_help = "T is an event time: 2026-11-23T10:00:00.5Z, 10:00:00.5 (in the capture's first day),\n\
    +1.5s from the start, or nanoseconds.\n\n\
    FILTER is a condition on fields, as sysdig and Falco take it: FIELD OP VALUE with and, or, not and\n\
    brackets. `scapkit fields` lists the fields. Operators: = != < <= > >= contains icontains bcontains\n\
    startswith bstartswith endswith glob iglob regex pmatch in intersects exists, with oneof, anyof, allof\n\
    before a list. Values: quoted or bare, val(FIELD), or tolower, toupper, b64, basename, len, join,\n\
    concat, getopt of fields.\n\n\
    Examples:\n  \
    scapkit read incident.scap | less\n  \
    scapkit read incident.scap --from +1s --to +1.5s\n  \
    scapkit read incident.scap 'evt.type=execve and proc.aname in (sshd, login)'\n  \
    scapkit read incident.scap fd.name startswith /etc/ and evt.is_open_write=true\n  \
    scapkit read incident.scap 'proc.name=nc' -w nc.scap.zst\n  \
    scapkit read incident.scap -n 20 -p '%evt.time %proc.cmdline'\n  \
    scapkit read --json incident.scap | jq 'select(.[\"evt.type\"]==\"execve\")'\n  \
    scapkit read growing.scap --follow")]
pub struct Read {
    /// Captures, read one after another, and a filter: what follows the last word that is a file
    #[arg(required = true, value_name = "FILE... FILTER", allow_negative_numbers = true)]
    pub words: Vec<OsString>,
    /// Output format, as sysdig's -p: text with `%FIELD`, `%FIELD[ARG]`, `%20FIELD`; a leading * prints
    /// lines in which a field is missing too
    #[arg(short = 'p', long = "print", value_name = "FORMAT")]
    pub print: Option<String>,
    /// One JSON object per event and line
    #[arg(short = 'j', long)]
    pub json: bool,
    /// Stop after N events
    #[arg(short = 'n', long, value_name = "N")]
    pub number: Option<u64>,
    /// First time to show (inclusive)
    #[arg(long, value_name = "T")]
    pub from: Option<String>,
    /// Last time to show (inclusive); reading ends at an event 10 s later
    #[arg(long, value_name = "T")]
    pub to: Option<String>,
    /// Events as the file has them, or upgraded to today's schema
    #[arg(long, value_enum, default_value_t = View::Recorded)]
    pub view: View,
    /// Time shown: h time of day, a seconds since the epoch, r since the first event, d between
    /// enter and exit, D since the previous event
    #[arg(short = 't', long = "time", value_enum, default_value_t = Time::H, value_name = "MODE", hide_possible_values = true)]
    pub time: Time,
    /// Print buffers as text only
    #[arg(short = 'A', long, conflicts_with = "hex")]
    pub ascii: bool,
    /// Print buffers as hex and ASCII
    #[arg(short = 'X', long)]
    pub hex: bool,
    /// Show internal events too: drop, scapevent, procinfo, infrastructure, container
    #[arg(long)]
    pub all: bool,
    /// Write the events to a capture instead of printing them: as the file has them, or with --view
    /// current as the upgrade makes them. Its suffix decides the compression (.gz, .zst), else the
    /// input's does
    #[arg(short = 'w', long, value_name = "OUT", conflicts_with_all = ["print", "json", "follow"])]
    pub write: Option<PathBuf>,
    /// Leave out programs of that name and all that they start (may be given again)
    #[arg(short = 'U', long, value_name = "COMM")]
    pub suppress: Vec<String>,
    /// Wait for more when the end is reached
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Time zone for times of day
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub tz: String,
}

/// How events are shown and numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// As the file has them, enter and exit, numbered as sysdig does
    Recorded,
    /// Upgraded to today's schema, numbered as libs does
    Current,
}

/// Time modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Time {
    #[value(name = "h")]
    H,
    #[value(name = "a")]
    A,
    #[value(name = "r")]
    R,
    #[value(name = "d")]
    D,
    #[value(name = "D")]
    Delta,
}

/// Print or compare the digest of captures: events per type, hash of their fields, final state
#[derive(Debug, Args)]
#[command(
    after_help = "A digest is a small text that changes when what scapkit says of a capture changes. It is kept \
    as FILE.digest\nbeside the capture, or where --check says.\n\n\
    Examples:\n  \
    scapkit replay incident.scap\n  \
    scapkit replay --update corpus/*.scap\n  \
    scapkit replay --check corpus/*.scap\n  \
    scapkit replay --check=digests/ incident.scap"
)]
pub struct Replay {
    /// Captures
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Compare with the digests kept, with status 1 and the differences when one differs. EXPECTED: another
    /// folder that holds them, or the file for a single FILE
    #[arg(long, value_name = "EXPECTED", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option)] // clap's form of an option whose value may be left out
    pub check: Option<Option<PathBuf>>,
    /// Write the digests instead of comparing them
    #[arg(long)]
    pub update: bool,
    /// Fields to hash instead of the usual ones, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub fields: Vec<String>,
}

/// Rewrite a capture: other compression, other profile
#[derive(Debug, Args)]
#[command(after_help = "The suffix of OUT decides the compression (.gz, .zst); else it is the input's.\n\
    New files are created with mode 0600.\n\n\
    Profiles:\n  \
    asis       blocks byte for byte\n  \
    modern     what libs writes today, events upgraded\n  \
    universal  what sysdig 0.29.3, libs and Wireshark 4.0 all read\n\n\
    Examples:\n  \
    scapkit convert trace.scap trace.scap.zst\n  \
    scapkit convert trace.scap.zst - --compress none | sysdig -r /dev/stdin\n  \
    scapkit convert today.scap for-sysdig.scap --profile universal")]
pub struct Convert {
    /// Capture to read
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// File to write, - for standard output
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// Compression of the output
    #[arg(long, value_enum)]
    pub compress: Option<Compress>,
    /// Compression level: gzip 0 to 9, zstd up to 22
    #[arg(long, value_name = "N")]
    pub level: Option<i32>,
    /// Form of the blocks written
    #[arg(long, value_enum, default_value_t = ProfileName::Asis)]
    pub profile: ProfileName,
    /// With a stream of gVisor: what `runsc trace procfs` said of the sandbox before
    #[arg(long, value_name = "FILE")]
    pub procfs: Option<PathBuf>,
}

/// Compression names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compress {
    /// Plain
    None,
    /// Many members, which every gzip reader takes
    Gzip,
    /// Seekable frames
    Zstd,
}

/// Profile names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProfileName {
    /// Blocks byte for byte
    Asis,
    /// What libs writes today
    Modern,
    /// What all readers read
    Universal,
}

/// Check every byte of captures; status 1 when damage is found
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scapkit verify *.scap\n  \
    scapkit verify --json broken.scap | jq -r '.damages[].text'")]
pub struct Verify {
    /// Captures
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// One JSON object per file and line
    #[arg(long)]
    pub json: bool,
}

/// Record this machine, or the process tree of a command
#[derive(Debug, Args)]
#[command(override_usage = "scapkit record -o OUT [OPTIONS] [FILTER] [-- COMMAND...]\n       \
    scapkit record --dump SOCKET")]
#[command(
    after_help = "Recording ends at SIGINT, SIGTERM or SIGHUP, after --duration or -n, or with COMMAND. A second\n\
    signal ends it at once. The file is valid in every case; killed, it is valid up to the last\n\
    second.\n\n\
    D is a duration: 90s, 5m, 1h; without a unit seconds. B is a size: 64M, 2G; K, M, G are powers\n\
    of 1024.\n\n\
    The suffix of OUT decides the compression (.zst; else gzip). New files are created with mode\n\
    0600. With rotation and --ring OUT stands for many names: a number is put before the suffix, and\n\
    %Y %m %d %H %M %S (UTC) and %s (seconds since 1970) are replaced. No file that is there is\n\
    overwritten then; OUT.part is one that is not complete. Each file stands alone.\n\n\
    FILTER is that of `scapkit read`. Events that it does not want but that change the state of\n\
    processes and files are recorded for the state only: readers know of them and do not show them.\n\n\
    Needs CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, and gives up what it does\n\
    not need. With --engine gvisor it needs none of them: sandboxes connect to its socket.\n\n\
    Examples:\n  \
    sudo scapkit record -o incident.scap\n  \
    sudo scapkit record --engine gvisor -o sandboxes.scap --raw sandboxes.gvstream\n  \
    sudo scapkit record -o nginx.scap.zst --duration 10m proc.name=nginx\n  \
    sudo scapkit record -o build.scap.zst -- make -j8\n  \
    sudo scapkit record -o day-%H%M.scap --rotate-every 1h --keep 24\n  \
    sudo scapkit record -o flight.scap --ring 5m,512M --trigger 'evt.type=execve and proc.name=nc'\n  \
    sudo scapkit record -o flight.scap --ring 5m --control /run/scapkit.sock\n  \
    sudo scapkit record --dump /run/scapkit.sock"
)]
pub struct Record {
    /// Only these events
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Record this command's process tree only, and end with the command's exit status
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
    /// File to write, - for standard output
    #[arg(short = 'o', long, value_name = "OUT", required_unless_present = "dump")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub engine: Engine,
    /// End after D
    #[arg(long, value_name = "D")]
    pub duration: Option<String>,
    /// End after N events
    #[arg(short = 'n', long, value_name = "N")]
    pub number: Option<u64>,
    /// With COMMAND: end when all that it started has ended too
    #[arg(long, requires = "command")]
    pub wait_tree: bool,
    /// Begin another file when one has B bytes
    #[arg(long, value_name = "B")]
    pub rotate_size: Option<String>,
    /// Begin another file when one has D of events
    #[arg(long, value_name = "D")]
    pub rotate_every: Option<String>,
    /// Begin another file when one has N events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rotate_events: Option<u64>,
    /// Delete the oldest files beyond N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub keep: Option<u64>,
    /// Flight recorder: keep the last D, or B bytes, in memory, and write them with what follows at a
    /// trigger, SIGUSR1 or --dump. D alone: at most 256M
    #[arg(long, value_name = "D|B|D,B", conflicts_with_all = ["rotate_size", "rotate_every", "rotate_events", "keep", "number"])]
    pub ring: Option<String>,
    /// Write what is kept when an event matches
    #[arg(long, value_name = "FILTER", requires = "ring")]
    pub trigger: Option<String>,
    /// How much of what follows a trigger is written; more when it comes again meanwhile
    #[arg(long, value_name = "D", default_value = "10s")]
    pub after: String,
    /// Listen at this socket for --dump
    #[arg(long, value_name = "SOCKET", requires = "ring")]
    pub control: Option<PathBuf>,
    /// Have the flight recorder that listens at this socket write what it keeps; prints the file's name
    #[arg(long, value_name = "SOCKET", exclusive = true)]
    pub dump: Option<PathBuf>,
    /// Compression of the output
    #[arg(long, value_enum)]
    pub compress: Option<Compress>,
    /// Compression level: gzip 0 to 9 (2 if not told), zstd up to 22 (3 if not told)
    #[arg(long, value_name = "N")]
    pub level: Option<i32>,
    /// Form of the blocks written
    #[arg(long, value_enum, default_value_t = RecordProfile::Modern)]
    pub profile: RecordProfile,
}

/// Profiles of recordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RecordProfile {
    /// What libs writes today
    Modern,
    /// What sysdig 0.29.3, libs and Wireshark 4.0 all read
    Universal,
}

/// Where events come from.
#[derive(Debug, Args)]
pub struct Engine {
    /// What gives the events: ebpf, gvisor or kmod
    #[arg(long = "engine", value_name = "ENGINE", default_value = "ebpf")]
    pub name: String,
    /// Do not ask Docker and Podman for names and images of containers: their sockets are as good as root
    #[arg(long)]
    pub no_container_engines: bool,
    #[command(flatten)]
    pub kernel: Kernel,
    #[command(flatten)]
    pub sandboxes: Sandboxes,
}

/// How sandboxes of gVisor are recorded.
#[derive(Debug, Args)]
#[command(next_help_heading = "With --engine gvisor")]
pub struct Sandboxes {
    /// Socket that sandboxes connect to, as `scapkit gvisor config` tells them
    #[arg(long, value_name = "PATH", default_value = "/run/scapkit/gvisor.sock")]
    pub socket: PathBuf,
    /// Keep the packets as they come too: FILE converts to the same capture
    #[arg(long, value_name = "FILE")]
    pub raw: Option<PathBuf>,
    /// Take in a sandbox that runs already, by its first container (may be given again; `all`: all)
    #[arg(long, value_name = "ID")]
    pub attach: Vec<String>,
    /// What `runsc trace procfs` said of the sandbox that connects first
    #[arg(long, value_name = "FILE", conflicts_with = "attach")]
    pub procfs: Option<PathBuf>,
    /// Users whose sandboxes may connect, beside root and one's own (may be given again)
    #[arg(long, value_name = "UID")]
    pub uid: Vec<u32>,
    /// runsc, for --attach
    #[arg(long, value_name = "PROGRAM", default_value = "runsc")]
    pub runsc: PathBuf,
    /// Folder of runsc's state, for --attach [default: as of `scapkit gvisor list`]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

/// What the kernel decides before anything is recorded.
#[derive(Debug, Args)]
#[command(next_help_heading = "Decided in the kernel")]
pub struct Kernel {
    /// Bytes of each I/O buffer that are recorded
    #[arg(short = 's', long, value_name = "N", default_value_t = 80, value_parser = clap::value_parser!(u16).range(..=65_000))]
    pub snaplen: u16,
    /// The same for one event: read=4096 (may be given again)
    #[arg(long, value_name = "EVENT=N")]
    pub snaplen_of: Vec<String>,
    /// Only this process and what it has started and starts
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Only threads of this name (may be given again, up to 16 times)
    #[arg(long, value_name = "COMM")]
    pub comm: Vec<String>,
    /// Only processes in this control group of the unified hierarchy (may be given again)
    #[arg(long, value_name = "PATH")]
    pub cgroup: Vec<PathBuf>,
    /// Tell of every switch between threads
    #[arg(long)]
    pub switches: bool,
    /// Tell of every page fault
    #[arg(long)]
    pub faults: bool,
    /// Leave out calls that fail
    #[arg(long)]
    pub drop_failed: bool,
    /// Do not read paths at the beginning of calls too
    #[arg(long)]
    pub exits_only: bool,
    /// Bytes of the buffer of each processor: a power of two
    #[arg(long, value_name = "B", default_value = "8M")]
    pub buffer: String,
}

/// Print events as they happen
#[derive(Debug, Args)]
#[command(override_usage = "scapkit live [OPTIONS] [FILTER]")]
#[command(after_help = "FILTER and FORMAT are those of `scapkit read`. Ends at SIGINT, SIGTERM or SIGHUP.\n\n\
    Examples:\n  \
    sudo scapkit live evt.type=execve\n  \
    sudo scapkit live --engine gvisor evt.type=execve\n  \
    sudo scapkit live -p '%evt.time %proc.cmdline %fd.name' 'evt.is_open_write=true and fd.name startswith /etc/'\n  \
    sudo scapkit live --json -n 100 proc.name=nginx | jq .")]
pub struct Live {
    /// Only these events
    #[arg(value_name = "FILTER")]
    pub filter: Vec<String>,
    #[command(flatten)]
    pub engine: Engine,
    /// Output format, as of `scapkit read`
    #[arg(short = 'p', long = "print", value_name = "FORMAT")]
    pub print: Option<String>,
    /// One JSON object per event and line
    #[arg(short = 'j', long)]
    pub json: bool,
    /// Stop after N events
    #[arg(short = 'n', long, value_name = "N")]
    pub number: Option<u64>,
    /// End after D
    #[arg(long, value_name = "D")]
    pub duration: Option<String>,
    /// Events as they come, or as libs shows them
    #[arg(long, value_enum, default_value_t = View::Recorded)]
    pub view: View,
    /// Time shown: h time of day, a seconds since the epoch, r since the first event, d between
    /// enter and exit, D since the previous event
    #[arg(short = 't', long = "time", value_enum, default_value_t = Time::H, value_name = "MODE", hide_possible_values = true)]
    pub time: Time,
    /// Print buffers as text only
    #[arg(short = 'A', long, conflicts_with = "hex")]
    pub ascii: bool,
    /// Print buffers as hex and ASCII
    #[arg(short = 'X', long)]
    pub hex: bool,
    /// Show internal events too: drop, scapevent, procinfo, infrastructure, container
    #[arg(long)]
    pub all: bool,
    /// Leave out programs of that name and all that they start (may be given again)
    #[arg(short = 'U', long, value_name = "COMM")]
    pub suppress: Vec<String>,
    /// Time zone for times of day
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub tz: String,
}

/// Check that recording works: counters every second, and by event type at the end
#[derive(Debug, Args)]
#[command(after_help = "Ends at SIGINT, SIGTERM or SIGHUP, or after --duration.\n\n\
    Examples:\n  \
    sudo scapkit open\n  \
    sudo scapkit open --duration 10s --json | jq -s '.[-1].by_type'")]
pub struct Open {
    #[command(flatten)]
    pub engine: Engine,
    /// End after D
    #[arg(long, value_name = "D")]
    pub duration: Option<String>,
    /// One JSON object per second and line
    #[arg(long)]
    pub json: bool,
}

/// List the fields that formats and filters know
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    scapkit fields\n  \
    scapkit fields user\n  \
    scapkit fields 'proc.a*'\n  \
    scapkit fields --json | jq -r 'select(.list).name'")]
pub struct Fields {
    /// Part of the names wanted; with * or ?, a pattern for all of a name
    #[arg(value_name = "PATTERN")]
    pub pattern: Option<String>,
    /// One JSON object per field and line
    #[arg(long)]
    pub json: bool,
}

/// List the types of events and their parameters
#[derive(Debug, Args)]
#[command(after_help = "Events that tell of the capture itself, and those that only old captures hold, are left out\n\
    unless --all is given.\n\n\
    Examples:\n  \
    scapkit events\n  \
    scapkit events 'open*'\n  \
    scapkit events --all --json | jq -r 'select(.old).name' | sort -u")]
pub struct Events {
    /// Part of the names wanted; with * or ?, a pattern for all of a name
    #[arg(value_name = "PATTERN")]
    pub pattern: Option<String>,
    /// One JSON object per event type and line
    #[arg(long)]
    pub json: bool,
    /// Internal events too, and those of old captures
    #[arg(long)]
    pub all: bool,
}

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  scapkit completions bash > /etc/bash_completion.d/scapkit")]
pub struct Completions {
    /// Shell
    pub shell: clap_complete::Shell,
}

/// Print the manual page (troff)
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  scapkit man | man -l -\n  scapkit man read > scapkit-read.1")]
pub struct Man {
    /// Page of this command instead of the main one
    pub command: Option<String>,
}
