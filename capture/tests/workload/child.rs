//! The workload as a process: waits until it is recorded, makes its calls, ends.

use super::ctx::Ctx;
use super::{rows, sys};
use std::path::PathBuf;

/// Runs one of the workloads. The environment says where: `SCAPKIT_WORKLOAD_DIR`, and how much of a buffer is kept:
/// `SCAPKIT_WORKLOAD_SNAPLEN`. Standard input says when: it ends.
pub fn run(mode: &str) {
    let dir = PathBuf::from(std::env::var_os("SCAPKIT_WORKLOAD_DIR").expect("a folder"));
    let snaplen: usize = std::env::var("SCAPKIT_WORKLOAD_SNAPLEN").expect("a snaplen").parse().expect("a number");
    // New programs are executed by this one's children; they are none of them the workload.
    let mut byte = [0_u8; 1];
    while sys::call(libc::SYS_read, &[0, byte.as_mut_ptr() as i64, 1]) == 1 {}
    if mode == "storm" {
        return super::storm::child(&dir);
    }
    let report = dir.join("report");
    std::fs::create_dir_all(dir.join("files")).expect("a folder");
    std::env::set_current_dir(dir.join("files")).expect("a folder");
    let mut c = Ctx::new(&dir.join("files"), &report, snaplen, mode == "traced");
    match mode {
        "all" => rows::all(&mut c),
        "plain" => rows::plain(&mut c),
        "wide" => rows::wide(&mut c),
        "too large" => rows::too_large(&mut c),
        "traced" => rows::traced(&mut c),
        other => panic!("no workload {other}"),
    }
}
