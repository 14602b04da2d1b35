//! The probe against calls with known arguments: every parameter of every event that it records must be what was passed.
//!
//! This program runs itself as the workload (`workload/rows`), records it, and compares (`workload/judge.rs`). It has
//! no harness of the usual kind: the workload must be a process of one thread that does nothing else.
//!
//! Needs root and BPF; without, it says that it skips, or fails where `SCAPKIT_CI` is 1. Arguments: parts of the names
//! of the tests to run; `--list`.

// Numbers are passed to the kernel as it takes them, sign and width and all.
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
#![allow(clippy::cast_lossless, clippy::borrow_as_ptr, clippy::ptr_as_ptr, clippy::ref_as_ptr)]
// Address by address: the workload's rows name what the kernel's structures have.
#![allow(clippy::many_single_char_names, clippy::type_complexity, clippy::unreadable_literal)]
#![allow(missing_docs)]

#[path = "workload/mod.rs"]
mod workload;

fn main() {
    workload::rows::target();
    if let Some(mode) = std::env::var_os("SCAPKIT_WORKLOAD") {
        return workload::child::run(&mode.into_string().unwrap_or_default());
    }
    workload::harness::main();
}
