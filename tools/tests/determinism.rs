//! The same capture gives the same bytes wherever and by whomever it is read.

#![allow(clippy::unwrap_used)]

mod common;

use common::{SCAPKIT, captures, have, root, run, skipped};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is asked of every capture; FILE is put in place of `@`.
const QUESTIONS: [&str; 4] = [
    "read @",
    "read --json --view current --all @",
    "read -p '*%evt.datetime %user.name %group.name %proc.cmdline %fd.name %evt.info' @",
    "replay @",
];

fn inputs() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").canonicalize().unwrap();
    let mut files: Vec<PathBuf> = std::fs::read_dir(corpus).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "scap" || e == "gz" || e == "zst" || e == "gvstream"));
    assert!(files.len() >= 7, "{files:?}");
    // Large ones say nothing more here.
    files.extend(captures().into_iter().filter(|f| std::fs::metadata(f).unwrap().len() < 8 << 20));
    files.sort();
    files
}

/// A shell line that asks everything about the captures in the folder `.`.
fn script(program: &str, files: &[PathBuf]) -> String {
    let ask = |f: &PathBuf| {
        let name = f.file_name().unwrap().to_str().unwrap();
        QUESTIONS.map(|q| format!("{program} {} 2>&1 || exit\n", q.replace('@', name))).concat()
    };
    files.iter().map(ask).collect()
}

/// The captures in one folder, so that names in messages are the same everywhere.
fn gathered(files: &[PathBuf]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        let to = dir.path().join(file.file_name().unwrap());
        std::fs::copy(file, &to).unwrap();
        // For the test that is somebody else.
        std::fs::set_permissions(&to, PermissionsExt::from_mode(0o644)).unwrap();
    }
    dir
}

/// A command that hashes what it says, so that a hundred megabytes need not be kept.
fn hashed(command: &mut Command) -> String {
    use std::io::Read;
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let (mut hash, mut size) = (blake3::Hasher::new(), 0);
    let mut pipe = child.stdout.take().unwrap();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = pipe.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        size += n;
        hash.update(&buffer[..n]);
    }
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    assert!(size > 10_000, "{command:?}: {size} bytes");
    format!("{size} bytes {}", hash.finalize().to_hex())
}

#[test]
fn ten_runs_in_ten_surroundings() {
    let files = inputs();
    let folder = gathered(&files);
    let script = script(&format!("'{SCAPKIT}'"), &files);
    let mut found = BTreeSet::new();
    for n in 0..10u32 {
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(folder.path()).env_clear();
        let zone = ["UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia", "nonsense"];
        let language = ["C", "C.UTF-8", "de_DE.UTF-8", "tr_TR.ISO-8859-9", "ja_JP.EUC-JP"];
        let at = |list: [&'static str; 5]| list[n as usize % 5];
        if n > 0 {
            command.env("TZ", at(zone)).env("LC_ALL", at(language)).env("LANG", at(language));
            command.env("HOME", ["/", "/nonexistent"][n as usize % 2]).env("USER", format!("user{n}"));
            command.env("LOGNAME", format!("user{n}")).env("HOSTNAME", format!("host{n}"));
            command.env("COLUMNS", (10 * n).to_string()).env("TERM", "xterm").env("NO_COLOR", "");
            command.env("RUST_BACKTRACE", "1").env("RAYON_NUM_THREADS", n.to_string());
        }
        found.insert(hashed(&mut command));
    }
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn another_host_name_and_user() {
    if !root() || !have("unshare") {
        return;
    }
    if run(Command::new("unshare").args(["-u", "true"])).code() != 0 {
        skipped("there is no permission for another host name (unshare -u)");
        return;
    }
    let files = inputs();
    let folder = gathered(&files);
    let ask = script(&format!("'{SCAPKIT}'"), &files);
    let here = hashed(Command::new("sh").args(["-c", &ask]).current_dir(folder.path()));
    let renamed =
        format!("hostname elsewhere 2>/dev/null || echo elsewhere > /proc/sys/kernel/hostname || exit\n{ask}");
    let there = hashed(Command::new("unshare").args(["-u", "sh", "-c", &renamed]).current_dir(folder.path()));
    assert_eq!(here, there);
}

/// The libraries that a program loads, its loader included.
fn libraries(program: &str) -> Vec<PathBuf> {
    let listed = run(Command::new("ldd").arg(program)).out();
    let words = listed.split_whitespace().filter(|w| w.starts_with('/'));
    words.map(PathBuf::from).collect()
}

/// Nothing but the program, the libraries it loads and the captures: no /proc, no /dev, no /etc/passwd, no zone
/// data, no network, and another user.
#[test]
fn in_an_empty_root() {
    if !root() || !have("unshare") || !have("ldd") {
        return;
    }
    let files = inputs();
    let folder = gathered(&files);
    let ask = script(&format!("'{SCAPKIT}'"), &files);
    let here = hashed(Command::new("sh").args(["-c", &ask]).current_dir(folder.path()));
    let put = |from: &Path, to: &Path| {
        let to = folder.path().join(to.strip_prefix("/").unwrap_or(to));
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(from, to).unwrap();
    };
    // A shell of its own runs the script.
    let shell = Path::new("/bin/sh").canonicalize().unwrap();
    for (program, to) in [(Path::new(SCAPKIT), "/scapkit"), (&shell, "/sh")] {
        put(program, Path::new(to));
        for library in libraries(program.to_str().unwrap()) {
            put(&library, &library);
        }
    }
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let enter = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .arg("-n")
            .arg("-u")
            .arg("-R")
            .arg(folder.path())
            .args(["-S", "65534", "-G", "65534", "/sh", "-c", script]);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
    };
    let tried = run(&mut enter("/scapkit --version"));
    if tried.code() != 0 {
        skipped(&format!("no program runs in an empty root: {}", tried.err().trim()));
        return;
    }
    assert_ne!(run(&mut enter("test -e /proc/self || test -e /etc/passwd")).code(), 0);
    let there = hashed(&mut enter(&script("/scapkit", &files)));
    assert_eq!(here, there);
}
