//! `scapkit gvisor`: flags and help.

use clap::{Args, Subcommand, ValueEnum};
use scapkit_capture::gvisor::config::SOCKET;
use std::path::PathBuf;

/// Have gVisor tell of what its sandboxes do: session configurations, and runsc's trace commands
#[derive(Debug, Args)]
#[command(
    after_help = "A sandbox sends its events to a socket, on which scapkit listens. `config` prints what runsc must\n\
    be told for that, so that every sandbox sends from its start; `attach` makes those that already\n\
    run send.\n\n\
    Examples:\n  \
    scapkit gvisor config -o /etc/scapkit-pod-init.json  # for runsc --pod-init-config\n  \
    sudo scapkit gvisor list\n  \
    sudo scapkit gvisor attach --all\n  \
    sudo scapkit gvisor detach --all"
)]
pub struct Gvisor {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    Config(Config),
    List(List),
    Attach(Attach),
    Detach(Detach),
}

/// Print the configuration of a session, for runsc --pod-init-config
#[derive(Debug, Args)]
#[command(after_help = SETS)]
pub struct Config {
    #[command(flatten)]
    pub session: SessionArgs,
    /// Containers do not start without a monitor. Otherwise they start, and nobody sees what they do
    #[arg(long)]
    pub fail_closed: bool,
    /// Print the session alone, as runsc trace create takes it
    #[arg(long = "session")]
    pub alone: bool,
    /// Write to this file instead
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

const SETS: &str = "Sets of points:\n  \
    recommended  All calls that have messages of their own, and useful ones by number. gVisor throws a\n               \
    message away, and counts it nowhere, when a text in it is not UTF-8: a path, an\n               \
    argument, the name of a process, its directory. So each call with such a text is\n               \
    traced twice, the second time with numbers only: no program can hide a call\n  \
    minimal      Processes, programs, opened files, connections, credentials; ends of calls only. No\n               \
    name or directory of a process can hide its calls. Calls whose own path or arguments\n               \
    are not UTF-8 are lost, and seen by nobody\n  \
    all          All points with all fields: much, and any program can hide all that it does\n\n\
    What a program can hide is said on standard error. Whoever can connect to the socket is believed\n\
    to be a sandbox: keep it to root.\n\n\
    Examples:\n  \
    scapkit gvisor config > pod-init.json\n  \
    scapkit gvisor config --points minimal --fail-closed -o /etc/scapkit-pod-init.json\n  \
    scapkit gvisor config --session > s.json; runsc trace create --config s.json web";

/// What a session has and where it sends.
#[derive(Debug, Args)]
pub struct SessionArgs {
    /// Which points
    #[arg(long, alias = "point-set", value_enum, default_value_t = Points::Recommended)]
    pub points: Points,
    /// Socket on which scapkit listens
    #[arg(long, value_name = "PATH", default_value = SOCKET)]
    pub socket: PathBuf,
    /// How often a sandbox tries again to send when scapkit is slow; the program in it waits meanwhile
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(..=1000))]
    pub retries: u32,
    /// First pause between tries: a number with ns, us, ms or s
    #[arg(long, value_name = "T", default_value = "25us", value_parser = pause)]
    pub backoff: std::time::Duration,
    /// Longest pause; each is twice the one before
    #[arg(long, value_name = "T", default_value = "10ms", value_parser = pause)]
    pub backoff_max: std::time::Duration,
    /// Read from this file what runsc can trace (runsc trace metadata), instead of running it
    #[arg(long, value_name = "FILE")]
    pub metadata: Option<PathBuf>,
    #[command(flatten)]
    pub program: Program,
}

/// gVisor's own program.
#[derive(Debug, Args)]
pub struct Program {
    /// gVisor's program
    #[arg(long, value_name = "PATH", default_value = "runsc")]
    pub runsc: PathBuf,
    /// How long it may take for one answer, in seconds
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: u64,
}

/// Where runsc keeps what it knows of containers.
#[derive(Debug, Args)]
pub struct Root {
    /// Folder of runsc's state (its --root) [default: those of Docker, containerd and runsc itself, as far as they
    /// are there]
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

/// Which sandboxes.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// Sandboxes, by the ids of their first containers
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// All sandboxes that run
    #[arg(long)]
    pub all: bool,
}

/// List containers with their sessions, and how many messages were lost
#[derive(Debug, Args)]
#[command(after_help = "Containers of a pod share the sandbox of the first, which alone has a session.\n\n\
    Examples:\n  \
    sudo scapkit gvisor list\n  \
    sudo scapkit gvisor list --json | jq -r 'select(.sessions == []).id'")]
pub struct List {
    #[command(flatten)]
    pub root: Root,
    #[command(flatten)]
    pub program: Program,
    /// One JSON object per container and line
    #[arg(long)]
    pub json: bool,
}

/// Make sandboxes that run send their events; status 1 when one has a session already
#[derive(Debug, Args)]
#[command(
    after_help = "scapkit must listen at the socket already. What the sets of points are says `config --help`.\n\n\
    Examples:\n  \
    sudo scapkit gvisor attach --all\n  \
    sudo scapkit gvisor attach --force --points minimal web db"
)]
pub struct Attach {
    #[command(flatten)]
    pub which: Which,
    /// In place of a session that there is
    #[arg(long)]
    pub force: bool,
    #[command(flatten)]
    pub root: Root,
    #[command(flatten)]
    pub session: SessionArgs,
}

/// End the sessions of sandboxes; status 1 when one has none
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  sudo scapkit gvisor detach --all\n  sudo scapkit gvisor detach web")]
pub struct Detach {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub root: Root,
    #[command(flatten)]
    pub program: Program,
}

/// Names of sets of points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Points {
    /// Processes, files, connections; ends only
    Minimal,
    /// What nothing can hide a call from
    Recommended,
    /// Everything
    All,
}

/// `25us`.
fn pause(text: &str) -> Result<std::time::Duration, String> {
    const UNITS: [(&str, u64); 4] = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ns)| *ns);
    let ns = unit.zip(number.parse::<u64>().ok()).and_then(|(unit, n)| n.checked_mul(unit));
    ns.map(std::time::Duration::from_nanos).ok_or_else(|| "wanted a number with ns, us, ms or s".to_owned())
}
