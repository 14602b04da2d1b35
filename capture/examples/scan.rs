//! How long a scan of the system's state takes: starts 10,000 processes that sleep, scans five times, ends them.
//!
//! `cargo run --release -p scapkit-capture --example scan [PROCESSES] [READERS]`

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use scapkit_capture::state::{ScanOptions, scan};
use std::time::Instant;

/// Starts a process that sleeps until it is killed, or until this program ends.
fn sleeper() -> Option<Pid> {
    // SAFETY: this program has one thread at this point, so the child may call what it likes; it calls nothing
    // but prctl, close_range and pause, and never returns.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: none of the calls touches memory.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            libc::close_range(3, libc::c_uint::MAX, 0);
            loop {
                libc::pause();
            }
        }
    }
    Pid::from_raw(pid).filter(|_| pid > 0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<usize>());
    let wanted = arguments.next().transpose()?.unwrap_or(10_000);
    let readers = arguments.next().transpose()?.unwrap_or(0);
    let started: Vec<Pid> = (0..wanted).map_while(|_| sleeper()).collect();
    if started.len() < wanted {
        println!("only {} of {wanted} processes could be started", started.len());
    }
    let options = ScanOptions { threads: readers, ..ScanOptions::default() };
    let cpu = || {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        std::time::Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), u32::try_from(t.tv_nsec).unwrap_or(0))
    };
    let (mut times, mut last) = (Vec::new(), None);
    let cpu_before = cpu();
    let result = (0..5).try_for_each(|_| {
        let began = Instant::now();
        let snapshot = scan(&options)?;
        times.push(began.elapsed().as_secs_f64());
        last = Some(snapshot);
        Ok::<(), scapkit_capture::Error>(())
    });
    let cpu_of_one = cpu().saturating_sub(cpu_before).as_secs_f64() / 5.0;
    let mut lists = Vec::new();
    let began = Instant::now();
    let encoded = last.as_ref().map_or(Ok(()), |s| s.lists(&mut lists));
    let encoding = began.elapsed().as_secs_f64();
    for pid in &started {
        let _ = kill_process(*pid, Signal::KILL);
    }
    for pid in &started {
        let _ = waitpid(Some(*pid), WaitOptions::empty());
    }
    result?;
    encoded?;
    let first = times.first().copied().unwrap_or_default();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    if let Some(s) = last {
        let threads: usize = s.processes.iter().map(|p| p.threads.len()).sum();
        let fds: usize = s.processes.iter().map(|p| p.fds.len()).sum();
        println!("processes {} threads {threads} fds {fds}", s.processes.len());
        println!(
            "first scan {first:.3} s; all in order of time {times:.3?} s, median {median:.3} s, {:.0} threads/s",
            threads as f64 / median
        );
        println!("processor time of a scan {cpu_of_one:.3} s");
        println!("lists: {} bytes in {encoding:.3} s", lists.len());
        println!("notes: {:?}", s.notes);
    }
    Ok(())
}
