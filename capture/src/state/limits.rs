//! The one question about another process that is asked by its number rather than through its directory.

/// The soft limit of open files of a process of our own pid namespace; -1 for none. `None` when it may not be asked.
///
/// Ten times as fast as `/proc/PID/limits`. The caller sees to it that the number still is that process's
/// afterwards.
pub(super) fn open_files(pid: u32) -> Option<i64> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: no new limit is given (null is allowed), and `limit` is a valid place for the old one, which outlives
    // the call.
    let failed = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limit) };
    (failed == 0)
        .then(|| if limit.rlim_cur == libc::RLIM_INFINITY { -1 } else { i64::try_from(limit.rlim_cur).unwrap_or(-1) })
}
