//! The same input gives the same bytes: in other zones, languages and homes, under another host name, and
//! where there is nothing to ask: no `/proc`, no `/etc/passwd`, no network.

#![allow(clippy::unwrap_used)]

mod common;

use common::{SCAPKIT, shared};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const COMMANDS: [&[&str]; 5] = [
    &["read"],
    &["read", "--all", "--json", "--view", "current"],
    &[
        "read",
        "--json",
        "-p",
        "%evt.num %evt.time %evt.datetime %evt.args %user.name %group.name %user.homedir %proc.cmdline %fd.name \
         %fd.types %container.name %thread.cgroups",
    ],
    &["replay"],
    &["replay", "--view", "recorded"],
];

fn skipped(what: &str) {
    writeln!(std::io::stderr(), "SKIPPED: {what}").unwrap();
}

fn captures() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")];
    match shared() {
        Some(shared) => folders.push(shared.join("captures")),
        None => skipped("determinism of the shared captures: they are not here"),
    }
    for folder in folders {
        let entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
        // The large one is for benchmarks.
        files.extend(entries.filter(|p| p.to_string_lossy().contains(".scap") && p.metadata().unwrap().len() < 1 << 20));
    }
    files.sort();
    assert!(files.len() >= 7);
    files
}

/// A way to run the program: what comes before it, and the variables.
struct Way {
    name: &'static str,
    before: Vec<OsString>,
    program: PathBuf,
    variables: Vec<(&'static str, &'static str)>,
    more: &'static [&'static str],
    folder: PathBuf,
}

impl Way {
    fn run(&self, args: &[&str], capture: &str) -> Output {
        let mut command = match self.before.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(self.variables.iter().copied());
        command.args(args).args(self.more).arg(capture).current_dir(&self.folder).output().unwrap()
    }
}

fn works(command: &[&str]) -> bool {
    Command::new(command[0]).args(&command[1..]).output().is_ok_and(|o| o.status.success())
}

/// A folder with the program, its libraries and the captures, and nothing else.
fn empty_root(captures: &[PathBuf]) -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let libraries = Command::new("ldd").arg(SCAPKIT).output().ok()?;
    let text = String::from_utf8(libraries.stdout).unwrap();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    for from in paths.map(Path::new).chain([Path::new(SCAPKIT)]) {
        let name = if from == Path::new(SCAPKIT) { Path::new("/scapkit") } else { from };
        let to = folder.path().join(name.strip_prefix("/").unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    }
    for capture in captures {
        std::fs::copy(capture, folder.path().join(capture.file_name().unwrap())).unwrap();
    }
    Some(folder)
}

#[test]
fn ten_runs_are_the_same() {
    let captures = captures();
    let here = tempfile::tempdir().unwrap();
    for capture in &captures {
        std::fs::copy(capture, here.path().join(capture.file_name().unwrap())).unwrap();
    }
    let way = |name, variables: &[(&'static str, &'static str)], more| Way {
        name,
        before: Vec::new(),
        program: SCAPKIT.into(),
        variables: variables.to_vec(),
        more,
        folder: here.path().to_owned(),
    };
    let mut ways = vec![
        way("bare", &[], &[]),
        way("again", &[], &[]),
        way("one thread", &[("TZ", "UTC")], &["--threads", "1"]),
        way("three threads", &[("TZ", "Asia/Kolkata"), ("LC_ALL", "C")], &["--threads", "3"]),
        way("America", &[("TZ", "America/St_Johns"), ("LC_ALL", "de_DE.UTF-8"), ("LANG", "de_DE.UTF-8")], &[]),
        way("Turkey", &[("TZ", "Europe/Istanbul"), ("LC_ALL", "tr_TR.UTF-8"), ("LANGUAGE", "tr")], &[]),
        way("zone as a rule", &[("TZ", "XYZ-13:45"), ("TZDIR", "/nonexistent")], &[]),
        way("nobody", &[("HOME", "/nonexistent"), ("USER", "nobody"), ("LOGNAME", "nobody"), ("HOSTNAME", "x")], &[]),
    ];
    if works(&["unshare", "-u", "hostname", "elsewhere"]) {
        let mut other = way("another host", &[("TZ", "Pacific/Apia")], &[]);
        other.before = ["unshare", "-u", "sh", "-c", "hostname elsewhere; exec \"$0\" \"$@\""].map(OsString::from).into();
        ways.push(other);
    } else {
        skipped("determinism under another host name: unshare -u does not work here");
    }
    let empty = empty_root(&captures);
    let chroot = |folder: &Path| {
        ["unshare".into(), "-n".into(), "-m".into(), "chroot".into(), folder.as_os_str().to_owned()]
    };
    match &empty {
        Some(folder) if Command::new("unshare").args(&chroot(folder.path())[1..]).args(["/scapkit", "--version"]).output().is_ok_and(|o| o.status.success()) => {
            let mut nowhere = way("an empty root", &[("TZ", "Asia/Tokyo")], &[]);
            nowhere.before = chroot(folder.path()).into();
            nowhere.program = "/scapkit".into();
            ways.push(nowhere);
        }
        _ => skipped("determinism without /proc, /etc/passwd and network: unshare and chroot do not work here"),
    }
    let (first, others) = ways.split_first().unwrap();
    for capture in &captures {
        let name = capture.file_name().unwrap().to_str().unwrap();
        for command in COMMANDS {
            let wanted = first.run(command, name);
            assert!(!wanted.stdout.is_empty(), "{name} {command:?}: {}", String::from_utf8_lossy(&wanted.stderr));
            for way in others {
                let found = way.run(command, name);
                assert_eq!(found.status, wanted.status, "{name} {command:?}, {}", way.name);
                assert!(found.stdout == wanted.stdout, "{name} {command:?}, {}: other output", way.name);
                assert_eq!(
                    String::from_utf8_lossy(&found.stderr),
                    String::from_utf8_lossy(&wanted.stderr),
                    "{name} {command:?}, {}",
                    way.name
                );
            }
        }
    }
    writeln!(std::io::stderr(), "{} captures, {} ways", captures.len(), ways.len()).unwrap();
}
