//! README.md and the page about gVisor stay true: every command in their `console` and `sh` blocks is run, and what
//! they show as output is what comes out.
//!
//! In a `console` block a line `$ COMMAND` is followed by its output; a line `...` stands for any
//! number of lines. An `sh` block has commands only; each must succeed. Commands run in a scratch
//! folder that shows the repository's files, with the program under test first in the path.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

struct Example {
    line: usize,
    command: String,
    output: Option<Vec<String>>,
}

fn examples(text: &str) -> Vec<Example> {
    let mut list: Vec<Example> = Vec::new();
    let mut block = None;
    for (i, line) in text.lines().enumerate() {
        match (block, line) {
            (None, "```console") => block = Some("console"),
            (None, "```sh") => block = Some("sh"),
            (Some(_), "```") => block = None,
            (Some("console"), line) => {
                if let Some(command) = line.strip_prefix("$ ") {
                    list.push(Example { line: i + 1, command: command.to_owned(), output: Some(Vec::new()) });
                } else {
                    let output = list.last_mut().and_then(|e| e.output.as_mut());
                    output.expect("a console block begins with a command").push(line.to_owned());
                }
            }
            (Some(_), line) if !line.is_empty() => {
                // A comment after a command says what it does.
                let command = line.split("  #").next().unwrap().trim_end().to_owned();
                list.push(Example { line: i + 1, command, output: None });
            }
            _ => {}
        }
    }
    list
}

/// Whether `found` is `wanted`, in which a line `...` stands for any lines.
fn matches(wanted: &[String], found: &[&str]) -> bool {
    match wanted.split_first() {
        None => found.is_empty(),
        Some((first, rest)) if first == "..." => (0..=found.len()).any(|skip| matches(rest, &found[skip..])),
        Some((first, rest)) => {
            found.split_first().is_some_and(|(line, others)| line.trim_end() == first && matches(rest, others))
        }
    }
}

fn can_record() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    id == b"0\n" && Path::new("/sys/kernel/btf/vmlinux").exists()
}

#[test]
fn every_command_of_the_readme() {
    let run = run_all("README.md");
    assert!(run >= 10, "only {run} commands found in README.md");
}

#[test]
fn every_command_of_the_page_about_gvisor() {
    const PAGE: &str = "capture/GVISOR.md";
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let has = |program: &str| {
        Command::new("sh").arg("-c").arg(format!("command -v {program}")).output().unwrap().status.success()
    };
    if !(is_root && has("runsc") && has("busybox")) {
        assert!(std::env::var_os("SCAPKIT_CI").is_none(), "{PAGE}: this needs root, runsc and busybox");
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: {PAGE}: this needs root, runsc and busybox\n"),
        )
        .unwrap();
        return;
    }
    let run = run_all(PAGE);
    assert!(run >= 8, "only {run} commands found in {PAGE}");
}

/// Runs the commands of a page, and says how many there were.
fn run_all(page: &str) -> u32 {
    let root = root();
    let text = std::fs::read_to_string(root.join(page)).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(&root).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), scratch.path().join(entry.file_name())).unwrap();
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_scapkit"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut run = 0;
    for example in examples(&text) {
        let at = format!("{page}:{}: {}", example.line, example.command);
        // This very test is part of that command.
        if example.command == "bash .ci/check" {
            continue;
        }
        let missing = ["sysdig", "tshark", "zstd", "jq", "wireshark"].into_iter().find(|program| {
            example.command.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == *program)
                && !Command::new("sh").arg("-c").arg(format!("command -v {program}")).output().unwrap().status.success()
        });
        if let Some(program) = missing {
            assert!(std::env::var_os("SCAPKIT_CI").is_none(), "{at}: {program} is not installed");
            std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("SKIPPED: {at}: {program} is not installed\n"),
            )
            .unwrap();
            continue;
        }
        // Commands that ask for root run as such, or not at all.
        let (is_for_root, command) = match example.command.strip_prefix("sudo ") {
            Some(command) => (true, command.to_owned()),
            None => (false, example.command.clone()),
        };
        if is_for_root && !can_record() {
            assert!(std::env::var_os("SCAPKIT_CI").is_none(), "{at}: this needs root and a kernel with BTF");
            std::io::Write::write_fmt(
                &mut std::io::stderr(),
                format_args!("SKIPPED: {at}: this needs root and a kernel with BTF\n"),
            )
            .unwrap();
            continue;
        }
        let folder = if example.command.starts_with("cargo ") { root.as_path() } else { scratch.path() };
        let out = Command::new("bash")
            .args(["-o", "pipefail", "-c", &command])
            .current_dir(folder)
            .env("PATH", &path)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        match example.output {
            // Shown output may be that of a command that says no.
            Some(wanted) if !wanted.is_empty() => {
                let both = format!("{stdout}{stderr}");
                let found: Vec<&str> = both.lines().collect();
                assert!(matches(&wanted, &found), "{at}\nwanted:\n{}\nfound:\n{both}", wanted.join("\n"));
            }
            _ => assert!(out.status.success(), "{at}: {}\n{stderr}", out.status),
        }
        run += 1;
    }
    run
}
