//! The rows `events`, `fspath`, `fdkinds`, `fd_sequences`, `net` and `name_modifiers` of golden-tests.yaml: a machine
//! with one process, a few events, and what the fields say of the last one.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)]

#[path = "golden_facts/checks.rs"]
mod checks;
#[path = "golden_facts/events.rs"]
mod events;
#[path = "golden_facts/rows.rs"]
mod rows;
mod shared;

use checks::Outcome;
use rows::Facts;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Checks that cannot hold, and why: row, check, reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Rows that wait for fields which are not computed yet.
const PENDING: &[&str] = &[
    "user_root_default",
    "user_root_entry_without_metadata",
    "user_unknown_uid_1000",
    "invalid_utf8_name",
    "fspath 0 PPME_SYSCALL_MKDIR_2_X",
    "fspath 0 PPME_SYSCALL_MKDIR_2_X failed",
    "fspath 1 PPME_SYSCALL_MKDIRAT_X",
    "fspath 1 PPME_SYSCALL_MKDIRAT_X failed",
    "fspath 2 PPME_SYSCALL_UNLINKAT_2_X",
    "fspath 2 PPME_SYSCALL_UNLINKAT_2_X failed",
    "fspath 3 PPME_SYSCALL_OPEN_X",
    "fspath 3 PPME_SYSCALL_OPEN_X failed",
    "fspath 4 PPME_SYSCALL_OPENAT2_X",
    "fspath 4 PPME_SYSCALL_OPENAT2_X failed",
    "fspath 5 PPME_SYSCALL_FCHMODAT_X",
    "fspath 5 PPME_SYSCALL_FCHMODAT_X failed",
    "fspath 6 PPME_SYSCALL_FCHMODAT_X",
    "fspath 6 PPME_SYSCALL_FCHMODAT_X failed",
    "fspath 7 PPME_SYSCALL_FCHMODAT_X",
    "fspath 7 PPME_SYSCALL_FCHMODAT_X failed",
    "fspath 8 PPME_SYSCALL_CHMOD_X",
    "fspath 8 PPME_SYSCALL_CHMOD_X failed",
    "fspath 9 PPME_SYSCALL_FCHMOD_X",
    "fspath 9 PPME_SYSCALL_FCHMOD_X failed",
    "fspath 10 PPME_SYSCALL_RENAME_X",
    "fspath 10 PPME_SYSCALL_RENAME_X failed",
    "fspath 11 PPME_SYSCALL_RENAMEAT2_X",
    "fspath 11 PPME_SYSCALL_RENAMEAT2_X failed",
    "fspath 12 PPME_SYSCALL_LINK_2_X",
    "fspath 12 PPME_SYSCALL_LINK_2_X failed",
    "fspath 13 PPME_SYSCALL_LINK_2_X",
    "fspath 13 PPME_SYSCALL_LINK_2_X failed",
    "fspath 14 PPME_SYSCALL_SYMLINK_X",
    "fspath 14 PPME_SYSCALL_SYMLINK_X failed",
    "fspath 15 PPME_SYSCALL_SYMLINKAT_X",
    "fspath 15 PPME_SYSCALL_SYMLINKAT_X failed",
    "fspath 16 PPME_SYSCALL_MOUNT_X",
    "fspath 16 PPME_SYSCALL_MOUNT_X failed",
    "fspath 17 PPME_SYSCALL_UMOUNT2_X",
    "fspath 17 PPME_SYSCALL_UMOUNT2_X failed",
    "PPME_SYSCALL_SIGNALFD_X",
    "PPME_SYSCALL_TIMERFD_CREATE_X",
    "PPME_SYSCALL_INOTIFY_INIT_X",
    "PPME_SYSCALL_BPF_2_X",
    "PPME_SYSCALL_USERFAULTFD_X",
    "PPME_SYSCALL_IO_URING_SETUP_X",
    "PPME_SYSCALL_EPOLL_CREATE_X",
    "PPME_SYSCALL_EPOLL_CREATE1_X",
    "PPME_SYSCALL_PIPE_X",
    "PPME_SYSCALL_PIPE2_X",
    "PPME_SYSCALL_EVENTFD_X",
    "PPME_SYSCALL_EVENTFD2_X",
    "PPME_SYSCALL_MEMFD_CREATE_X",
    "PPME_SYSCALL_PIDFD_OPEN_X",
    "open_by_handle_at",
    "socket_only",
    "connect_v4",
    "connect_v6",
    "bind_listen",
];

fn say(text: &str) {
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{text}\n")).unwrap();
}

#[test]
fn facts() {
    let Some(shared) = shared::folder() else { return };
    let yaml = std::fs::read_to_string(shared.join("spec/golden-tests.yaml")).unwrap();
    let facts: Facts = serde_saphyr::from_str(&yaml).unwrap();
    let (mut wrong, mut unused) = (String::new(), EXCEPTIONS.to_vec());
    let mut tally: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    for row in facts.rows() {
        let (mut failed, mut waiting) = (false, false);
        for check in &row.checks {
            let outcome = row.run(check);
            let excepted = unused.iter().position(|(id, what, _)| *id == row.id && *what == check.to_string());
            match (outcome, excepted) {
                (Outcome::Holds, None) => {}
                (Outcome::Holds, Some(at)) => {
                    let (id, what, _) = unused.remove(at);
                    writeln!(wrong, "{id}: {what}: holds now: take it off the list of exceptions").unwrap();
                }
                (Outcome::Pending, _) => waiting = true,
                (Outcome::Fails(_), Some(at)) => {
                    unused.remove(at);
                    failed = true;
                }
                (Outcome::Fails(how), None) => {
                    writeln!(wrong, "{}: {check}: {how}", row.id).unwrap();
                    failed = true;
                }
            }
        }
        match (waiting, PENDING.contains(&row.id.as_str())) {
            (true, false) => writeln!(wrong, "{}: waits for fields that are not computed", row.id).unwrap(),
            (false, true) => writeln!(wrong, "{}: now passes: take it off the list", row.id).unwrap(),
            _ => {}
        }
        let [passed, pending, excepted] = tally.entry(row.section).or_default();
        *(if failed {
            excepted
        } else if waiting {
            pending
        } else {
            passed
        }) += 1;
    }
    for (section, [passed, pending, excepted]) in tally {
        say(&format!("{section}: {passed} rows pass, {pending} wait for fields, {excepted} do not"));
    }
    for (id, what, _) in unused {
        writeln!(wrong, "{id}: {what}: no such check").unwrap();
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
