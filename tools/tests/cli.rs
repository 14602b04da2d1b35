//! The contract of the command line: help, output, exit statuses, files written.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Ran, SCAPKIT, convert, have, heavy, root, run, run_with, scapkit, sh, sound};
use scapkit_format::lists::fds::{Fd, FdInfo, FdType};
use scapkit_format::lists::threads::Thread;
use scapkit_format::lists::users::Account;
use scapkit_format::schema::id;
use scapkit_format::synth::{Params, Synth};
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const COMMANDS: [&str; 13] = [
    "info",
    "read",
    "replay",
    "convert",
    "verify",
    "record",
    "live",
    "open",
    "gvisor",
    "fields",
    "events",
    "completions",
    "man",
];

/// 2026-11-23T10:00:00Z.
const START: u64 = 1_795_428_000_000_000_000;

/// A capture as sysdig of 2022 writes them.
fn good() -> Synth {
    let mut s = Synth::new();
    s.section().machine("web-1", 4, START - 3_600_000_000_000);
    let user = Account::User { uid: 0, gid: 0, name: b"root", home: b"/root", shell: b"/bin/sh", extra: &[] };
    s.users(2, &[user, Account::Group { kind: 1, gid: 0, name: b"wheel", extra: &[] }]);
    let tail = scapkit_format::lists::threads::Tail::OLD;
    let shell = Thread { tid: 7, pid: 7, comm: b"sh", exe: b"sh", cwd: b"/", tail, ..Thread::default() };
    s.threads(9, &[shell.clone(), Thread { tid: 8, pid: 7, ..shell }]);
    s.fds(2, 7, &[Fd { fd: 3, ino: 9, kind: FdType::FILE, info: FdInfo::Name(b"/etc/passwd"), extra: &[] }]);
    for i in 0..5 {
        let ts = START + i * 250_000_000;
        s.event(ts, 7, id::SYSCALL_READ_E, &Params::new().i64(3).u32(100));
        s.event(ts + 1_000, 7, id::SYSCALL_READ_X, &Params::new().i64(2).bytes(b"hi"));
    }
    s.event(START + 2_000_000_000, 8, id::SYSCALL_CLOSE_E, &Params::new().i64(3));
    s.event(START + 2_000_000_500, 8, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
    s
}

/// One with a parameter of the wrong size, garbage in the middle, and a cut end.
fn damaged() -> Vec<u8> {
    let mut s = good();
    s.event(START + 3, 7, id::SYSCALL_CLOSE_X, &Params::new().u16(0));
    s.raw(b"sixteen bytes...");
    s.event(START + 4, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
    s.event(START + 5, 7, id::SYSCALL_CLOSE_X, &Params::new().i64(0));
    let mut bytes = s.finish();
    bytes.truncate(bytes.len() - 10);
    bytes
}

/// A folder, and the program run in it so that no path of the machine is in the output.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        folder.write("good.scap", &good().finish());
        folder.write("bad.scap", &damaged());
        folder.write("text.scap", b"hello\n");
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(SCAPKIT);
        command.current_dir(self.0.path()).args(args);
        command
    }

    fn run(&self, line: &str) -> Ran {
        run(&mut self.command(line.split(' ')))
    }

    /// A shell line in the folder; `$0` is the program.
    fn sh(&self, script: &str) -> Ran {
        run(Command::new("sh").current_dir(self.0.path()).args(["-c", script, SCAPKIT]))
    }
}

/// Everything that a run said.
fn all(ran: &Ran) -> String {
    format!("status {}\n-- stdout\n{}-- stderr\n{}", ran.code(), ran.out(), ran.err())
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn help() {
    let ran = scapkit(["--help"]).expect(0);
    assert_eq!(ran.err(), "");
    snapshot("help", &ran.out());
    for command in COMMANDS {
        let ran = scapkit([command, "--help"]).expect(0);
        assert!(ran.out().contains("Example"), "{command} has no example");
        snapshot(&format!("help-{command}"), &ran.out());
    }
    // The list above is complete.
    let listed = scapkit(["--help"]).out();
    let listed = listed.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    // Long descriptions go on below themselves.
    for line in listed.lines().filter(|l| l.starts_with("  ") && !l.starts_with("   ")) {
        let name = line.split_whitespace().next().unwrap();
        assert!(COMMANDS.contains(&name) || ["help", "read"].contains(&name), "no snapshot for {name}");
    }
}

#[test]
fn info() {
    let folder = Folder::new();
    snapshot("info-good", &all(&folder.run("info good.scap").expect(0)));
    snapshot("info-bad", &all(&folder.run("info bad.scap").expect(0)));
    let ran = folder.run("info --json good.scap bad.scap").expect(0);
    for (name, line) in ["info-good-json", "info-bad-json"].iter().zip(ran.out().lines()) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        snapshot(name, &serde_json::to_string_pretty(&object).unwrap());
    }
    assert_eq!(ran.out().lines().count(), 2);
}

#[test]
fn lists() {
    let shown = |args: &[&str]| scapkit(args).expect(0).out();
    snapshot("fields-proc-a", &shown(&["fields", "proc.a*"]));
    snapshot("fields-json", &shown(&["fields", "--json", "FD.IP"]));
    snapshot("events-connect", &shown(&["events", "connect"]));
    snapshot("events-read-json", &shown(&["events", "--json", "read"]));
    assert_eq!(shown(&["fields", "--json"]).lines().count(), 359);
    assert_eq!(shown(&["events", "--all", "--json"]).lines().count(), 454);
    assert!(shown(&["events", "--all", "openat2"]).contains("> file       openat2(FD dirfd, "));
    for args in [["fields", "fd.nam?x"], ["events", "opn"]] {
        let ran = scapkit(args).expect(1);
        assert_eq!((ran.out().as_str(), ran.err().contains("has a name like")), ("", true), "{}", ran.err());
    }
    // A reader that wants no more is no failure.
    sh("$0 fields | head -1; $0 events | head -1", [""; 0]).expect(0);
}

#[test]
fn verify() {
    let folder = Folder::new();
    snapshot("verify-good", &all(&folder.run("verify good.scap").expect(0)));
    snapshot("verify-bad", &all(&folder.run("verify bad.scap").expect(1)));
    let ran = folder.run("verify --json good.scap bad.scap").expect(1);
    for (name, line) in ["verify-good-json", "verify-bad-json"].iter().zip(ran.out().lines()) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        snapshot(name, &serde_json::to_string_pretty(&object).unwrap());
    }
}

#[test]
fn convert_messages() {
    let folder = Folder::new();
    let mut text = String::new();
    for line in [
        "convert good.scap a.scap",
        "convert bad.scap b.scap",
        "convert bad.scap c.scap --profile modern",
        "convert bad.scap d.scap --profile universal",
        "convert text.scap e.scap",
        "convert good.scap f.scap.gz --level 99",
        "convert good.scap missing/g.scap",
        "convert missing.scap h.scap",
    ] {
        let said = all(&folder.run(line));
        let _ = writeln!(text, "$ scapkit {line}\n{said}");
    }
    snapshot("convert", &text);
    for name in ["e.scap", "f.scap.gz", "h.scap"] {
        assert!(!folder.path(name).exists(), "{name}");
    }
}

#[test]
fn usage_errors_are_status_2_and_say_what_is_wrong() {
    let folder = Folder::new();
    for (line, wanted) in [
        ("", "Usage"),
        ("nonsense", "unrecognized subcommand"),
        ("info", "required"),
        ("info good.scap --nonsense", "unexpected argument"),
        ("verify good.scap --limit max-block", "wanted NAME=N"),
        ("verify good.scap --limit max-block=many", "not a number"),
        ("verify good.scap --limit max-nonsense=1", "no such limit"),
        ("convert good.scap", "required"),
        ("convert good.scap x.scap --profile odd", "possible values"),
        ("completions tcsh", "possible values"),
        ("man nonsense", "no command"),
    ] {
        let ran = run(&mut folder.command(line.split_whitespace())).expect(2);
        assert!(ran.err().contains(wanted), "{line}: {}", ran.err());
        assert_eq!(ran.out(), "", "{line}");
    }
    scapkit(["--version"]).expect(0);
    for command in COMMANDS {
        assert!(scapkit([command, "--version"]).expect(0).out().contains(env!("CARGO_PKG_VERSION")));
    }
}

#[test]
fn new_files_are_private_and_existing_ones_keep_their_mode() {
    let folder = Folder::new();
    let mode = |name: &str| std::fs::metadata(folder.path(name)).unwrap().permissions().mode() & 0o7777;
    folder.sh("umask 0; \"$0\" convert good.scap new.scap; \"$0\" convert good.scap new.scap.zst").expect(0);
    assert_eq!((mode("new.scap"), mode("new.scap.zst")), (0o600, 0o600));
    folder.write("there.scap", b"something longer than nothing");
    std::fs::set_permissions(folder.path("there.scap"), PermissionsExt::from_mode(0o644)).unwrap();
    folder.run("convert good.scap there.scap").expect(0);
    assert_eq!(mode("there.scap"), 0o644);
    assert_eq!(std::fs::read(folder.path("there.scap")).unwrap(), good().finish());
}

#[test]
fn converting_a_file_to_itself_is_refused() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("good.scap", folder.path("link.scap")).unwrap();
    std::fs::hard_link(folder.path("good.scap"), folder.path("hard.scap")).unwrap();
    for to in ["good.scap", "./good.scap", "link.scap", "hard.scap"] {
        let ran = folder.run(&format!("convert good.scap {to}")).expect(2);
        assert!(ran.err().contains("input and output are the same file"), "{}", ran.err());
        assert_eq!(std::fs::read(folder.path("good.scap")).unwrap(), good().finish(), "{to}");
    }
}

#[test]
fn dash_is_standard_input_and_output() {
    let folder = Folder::new();
    let bytes = good().finish();
    let ran = run_with(&mut folder.command(["convert", "-", "-", "--compress", "zstd"]), &bytes).expect(0);
    assert!(ran.stdout.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]));
    assert_eq!(ran.err(), "");
    let back = run_with(&mut folder.command(["convert", "-", "-", "--compress", "none"]), &ran.stdout).expect(0);
    assert_eq!(back.stdout, bytes);
    let info = run_with(&mut folder.command(["info", "--json", "-"]), &ran.stdout).expect(0);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!((&info["events"]["count"], &info["compression"]), (&12.into(), &"zstd".into()));
    let nothing = run(&mut folder.command(["verify", "-"])).expect(2);
    assert!(nothing.err().contains("standard input: empty input"), "{}", nothing.err());
}

#[test]
fn the_suffix_decides_the_compression() {
    let folder = Folder::new();
    let head = |name: &str| std::fs::read(folder.path(name)).unwrap()[..2].to_vec();
    for (line, wanted) in [
        ("convert good.scap o.scap", [0x0A, 0x0D]),
        ("convert good.scap o.scap.gz", [0x1F, 0x8B]),
        ("convert good.scap o.scap.zst", [0x28, 0xB5]),
        ("convert o.scap.gz p.scap", [0x1F, 0x8B]), // as the input
        ("convert o.scap.gz q.scap --compress none", [0x0A, 0x0D]),
        ("convert good.scap r.gz --compress zstd", [0x28, 0xB5]),
    ] {
        folder.run(line).expect(0);
        assert_eq!(head(line.split(' ').nth(2).unwrap()), wanted, "{line}");
    }
}

#[test]
fn the_other_files_are_done_when_one_cannot_be_read() {
    let folder = Folder::new();
    for command in ["info", "verify"] {
        let ran = folder.run(&format!("{command} --json missing.scap good.scap text.scap good.scap")).expect(2);
        assert_eq!(ran.out().lines().count(), 2, "{command}: {}", ran.out());
        for name in ["missing.scap", "text.scap"] {
            assert!(ran.err().contains(name), "{command}: {name} is not named: {}", ran.err());
        }
    }
    // One that cannot be read weighs more than one that is damaged.
    folder.run("verify bad.scap missing.scap").expect(2);
    folder.run("verify bad.scap good.scap").expect(1);
}

#[test]
fn strict_stops_at_the_first_damage() {
    let folder = Folder::new();
    for line in ["info --strict bad.scap", "verify --strict bad.scap", "convert --strict bad.scap x.scap"] {
        let ran = folder.run(line).expect(1);
        assert_eq!(ran.err().lines().count(), 1, "{line}: {}", ran.err());
        assert!(ran.err().starts_with("scapkit: bad.scap: byte "), "{line}: {}", ran.err());
    }
    folder.run("verify --strict good.scap").expect(0);
    // Every file is judged, and damage does not become worse by another file.
    let ran = folder.run("verify --strict bad.scap good.scap").expect(1);
    assert!(ran.out().contains("good.scap: ok"), "{}", ran.out());
}

#[test]
fn limits_are_named_when_met() {
    let folder = Folder::new();
    let ran = folder.run("verify good.scap --limit max-block=64").expect(1);
    assert!(ran.out().contains("(max-block)"), "{}", ran.out());
    let ran = folder.run("verify good.scap --limit max-list-entries=1").expect(1);
    assert!(ran.out().contains("(max-list-entries)"), "{}", ran.out());
    folder.run("verify good.scap --limit max-block=2M --limit max-list-entries=1K").expect(0);
}

/// A reader of our output that goes away wanted no more.
#[test]
fn a_closed_pipe_is_silent_success() {
    let folder = Folder::new();
    let many = "good.scap ".repeat(2000);
    for line in [
        format!("info --json {}", many.trim()),
        format!("info {many}"),
        format!("verify {many}"),
        "convert good.scap -".to_owned(),
        "convert good.scap - --compress gzip".to_owned(),
        "--help".to_owned(),
        "completions bash".to_owned(),
        "man".to_owned(),
    ] {
        let ran = folder.sh(&format!("{{ \"$0\" {line}; echo $? > status; }} | true; cat status"));
        let short: String = line.chars().take(30).collect();
        assert_eq!((ran.out().trim(), ran.err().as_str()), ("0", ""), "{short}");
    }
}

/// A capture of some megabytes.
fn long() -> Vec<u8> {
    let mut s = good();
    let data = b"x".repeat(1000);
    for i in 0..12_000 {
        s.event(START + i, 7, id::SYSCALL_READ_X, &Params::new().i64(1000).bytes(&data));
    }
    s.finish()
}

#[test]
fn a_full_disk_is_status_2_and_says_what_is_safe() {
    let folder = Folder::new();
    folder.write("long.scap", &long());
    let ran = folder.run("convert good.scap /dev/full").expect(2);
    assert!(ran.err().starts_with("scapkit: /dev/full: cannot write: No space left on device"), "{}", ran.err());
    for line in ["convert good.scap - > /dev/full", "info good.scap > /dev/full", "verify good.scap > /dev/full"] {
        let ran = folder.sh(&format!("\"$0\" {line}")).expect(2);
        assert!(ran.err().contains("No space left on device"), "{line}: {}", ran.err());
    }
    // A limit on file size is the same, not the end by a signal.
    for (blocks, name) in [(9000, "out.scap"), (16, "out2.scap")] {
        let ran = folder.sh(&format!("ulimit -f {blocks}; \"$0\" convert long.scap {name}"));
        let ran = ran.expect(2);
        assert!(ran.err().contains(&format!("{name}: cannot write: File too large")), "{}", ran.err());
        safe(&folder, name, &ran);
    }
    if !root() {
        return;
    }
    let small = folder.path("small");
    std::fs::create_dir(&small).unwrap();
    let mount = Mount::new(&small, "9m");
    let Some(_mount) = mount else { return };
    let ran = folder.run("convert long.scap small/out.scap").expect(2);
    assert!(ran.err().contains("small/out.scap: cannot write: No space left on device"), "{}", ran.err());
    safe(&folder, "small/out.scap", &ran);
    assert!(ran.err().contains(" are safe and form a valid capture"), "{}", ran.err());
}

/// The file holds what the message says is safe, and that is a capture without damage.
#[track_caller]
fn safe(folder: &Folder, name: &str, ran: &Ran) {
    let size = std::fs::metadata(folder.path(name)).unwrap().len();
    let err = ran.err();
    if size == 0 {
        assert!(!err.contains("safe"), "{err}");
        return;
    }
    let events = sound(&folder.path(name));
    let wanted = format!("its first {size} bytes ({events} events) are safe");
    assert!(err.contains(&wanted), "wanted {wanted:?}: {err}");
}

/// A small file system, taken away again whatever happens.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, size: &str) -> Option<Mount> {
        let option = format!("size={size}");
        let ran = run(Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs"]).arg(at));
        if ran.code() != 0 {
            common::skipped(&format!("no tmpfs can be mounted: {}", ran.err().trim()));
            return None;
        }
        Some(Mount(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_limit_on_the_number_of_files_or_a_directory_as_output_is_an_error() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("dir")).unwrap();
    let ran = folder.run("convert good.scap dir").expect(2);
    assert!(ran.err().contains("dir: cannot create"), "{}", ran.err());
}

#[test]
fn completions_are_scripts() {
    for (shell, wanted) in [("bash", "complete -F"), ("zsh", "#compdef scapkit"), ("fish", "complete -c scapkit")] {
        let ran = scapkit(["completions", shell]).expect(0);
        assert!(ran.out().contains(wanted), "{shell}");
        for command in COMMANDS {
            assert!(ran.out().contains(command), "{shell}: {command}");
        }
        if have(shell_program(shell)) {
            let dir = tempfile::tempdir().unwrap();
            let script = dir.path().join("script");
            std::fs::write(&script, &ran.stdout).unwrap();
            run(Command::new(shell_program(shell)).arg("-n").arg(&script)).expect(0);
        }
    }
}

/// The program that can check a script; where only bash is to be expected, the others' syntax is not
/// checked.
fn shell_program(shell: &str) -> &str {
    let there = |name: &str| ["/bin", "/usr/bin"].iter().any(|d| Path::new(d).join(name).is_file());
    if shell != "bash" && !there(shell) { "true" } else { shell }
}

#[test]
fn manual_pages_are_troff() {
    for args in [vec!["man"], vec!["man", "info"], vec!["man", "convert"], vec!["man", "verify"]] {
        let page = scapkit(&args).expect(0).out();
        assert!(page.starts_with(".ie") || page.starts_with(".TH"), "{args:?}: {page}");
        assert!(page.lines().any(|l| l.starts_with(".TH scapkit")), "{args:?}: {page}");
        assert!(page.contains(".SH NAME\n") && page.contains(".SH OPTIONS\n"), "{args:?}: {page}");
    }
}

/// A recorder or converter that is killed leaves whole blocks and at most one that is cut.
#[test]
fn kill_leaves_whole_blocks() {
    let Some(file) = heavy() else { return };
    for (name, compress) in [("k.scap", "none"), ("k.scap.gz", "gzip"), ("k.scap.zst", "zstd")] {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join(name);
        let mut child = Command::new(SCAPKIT)
            .arg("convert")
            .args([&file, &to])
            .args(["--compress", compress])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        let size = || std::fs::metadata(&to).map_or(0, |m| m.len());
        while size() < 3 << 20 && started.elapsed() < Duration::from_mins(1) {
            std::thread::sleep(Duration::from_micros(200));
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(!status.success(), "{name}: it was done before it was killed");
        let ran = scapkit([OsStr::new("verify"), OsStr::new("--json"), to.as_os_str()]);
        let verdict: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
        let events = verdict["events"].as_u64().unwrap();
        assert!(events > 10_000, "{name}: {verdict}");
        let codes: Vec<_> = verdict["damages"].as_array().unwrap().iter().map(|d| d["code"].clone()).collect();
        assert!(codes.iter().all(|c| c == "truncated" || c == "container-truncated"), "{name}: {verdict}");
        // And `convert` saves them, with a note.
        let saved = dir.path().join("saved.scap");
        convert(&to, &saved, &["--profile", "modern", "--compress", "none"]);
        sound(&saved);
        println!("{name}: {} bytes, {events} events, {codes:?}", size());
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = Folder::new();
    folder.write("long.scap", &long());
    for suffix in ["gz", "zst"] {
        let one = format!("one.{suffix}");
        folder.run(&format!("convert long.scap {one} --threads 1")).expect(0);
        for threads in [0, 2, 7] {
            let many = format!("many.{suffix}");
            folder.run(&format!("convert long.scap {many} --threads {threads}")).expect(0);
            assert!(std::fs::read(folder.path(&one)).unwrap() == std::fs::read(folder.path(&many)).unwrap());
        }
    }
    let _ = sh("true", [""]);
}
