//! The workload's side: makes calls between marks and writes down what they must give.

use super::check::Check;
use super::report::{Case, Expected, Line, Place, mark_offset};
use super::sys;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Makes calls and reports them.
pub struct Ctx {
    /// A folder of the test's own, the workload's current one.
    pub dir: PathBuf,
    /// How many bytes of a buffer the probe keeps.
    pub snaplen: usize,
    report_fd: i64,
    next: u64,
    pending: Option<Case>,
    tid: i64,
    /// The place of the cases of [`Ctx::call`]: `Marked`, or `Among` where unforeseeable events are recorded too.
    among: bool,
}

impl Ctx {
    /// A workload that reports to `report`.
    pub fn new(dir: &Path, report: &Path, snaplen: usize, among: bool) -> Self {
        let path = CString::new(report.as_os_str().as_bytes()).unwrap();
        // A high number, so that the rows' own descriptors are the low ones.
        let fd = sys::call(
            libc::SYS_open,
            &[path.as_ptr() as i64, i64::from(libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND), 0o644],
        );
        let report_fd = sys::call(libc::SYS_fcntl, &[fd, i64::from(libc::F_DUPFD), 900]);
        sys::call(libc::SYS_close, &[fd]);
        assert!(report_fd >= 900, "no report: {report_fd}");
        Ctx {
            dir: dir.to_owned(),
            snaplen,
            report_fd,
            next: 0,
            pending: None,
            tid: sys::call(libc::SYS_gettid, &[]),
            among,
        }
    }

    /// A path in the test's folder.
    pub fn path(&self, name: impl AsRef<[u8]>) -> CString {
        let mut path = self.dir.as_os_str().as_bytes().to_vec();
        path.push(b'/');
        path.extend_from_slice(name.as_ref());
        CString::new(path).unwrap()
    }

    /// The thread's number.
    pub fn tid(&self) -> i64 {
        self.tid
    }

    /// Makes a call between two marks. The events that it must give are added by [`Ctx::event`].
    pub fn call(&mut self, name: &str, nr: i64, args: &[i64]) -> i64 {
        self.bracket(name, || sys::call(nr, args))
    }

    /// Does something between two marks: nothing in it but the calls that are meant.
    pub fn bracket(&mut self, name: &str, act: impl FnOnce() -> i64) -> i64 {
        let n = self.open(name, if self.among { Place::Among } else { Place::Marked });
        let ret = act();
        mark(n, true);
        ret
    }

    /// Opens a case whose thread may not come back to close it, and gives the number of its mark.
    pub fn open(&mut self, name: &str, place: fn(u64) -> Place) -> u64 {
        self.flush();
        self.next += 1;
        let n = self.next;
        let name = name.to_owned();
        self.pending = Some(Case { name, tid: self.tid, place: place(n), events: Vec::with_capacity(40) });
        mark(n, false);
        n
    }

    /// The number that the next mark will have.
    pub fn next_mark(&self) -> u64 {
        self.next + 1
    }

    /// The descriptor of the report, for a program that is executed.
    pub fn report_fd(&self) -> i64 {
        self.report_fd
    }

    /// In a program that was executed: goes on with the report that was begun before.
    pub fn attached(report_fd: i64) -> Self {
        Ctx { dir: PathBuf::new(), snaplen: 80, report_fd, next: 0, pending: None, tid: 0, among: false }
    }

    /// Changes one parameter of the last event.
    pub fn replace(&mut self, param: usize, check: Check) {
        let case = self.pending.as_mut().expect("a call first");
        case.events.last_mut().expect("an event first").params[param] = check;
    }

    /// Adds an event that the last call must give.
    pub fn event(&mut self, id: u16, params: Vec<Check>) {
        self.pending.as_mut().expect("a call first").events.push(Expected { id, params });
    }

    /// Begins a case of events of another thread, or of others than those of a call.
    pub fn elsewhere(&mut self, name: &str, tid: i64, place: Place) {
        self.flush();
        self.pending = Some(Case { name: name.to_owned(), tid, place, events: Vec::new() });
    }

    /// Forgets the last call: nothing is claimed about it.
    pub fn forget(&mut self) {
        self.pending = None;
    }

    /// Says that something cannot be tested here.
    pub fn skip(&mut self, what: &str) {
        self.flush();
        self.write(&Line::Skipped(what.to_owned()));
    }

    /// In the child of a fork: forgets the parent's case and learns its own number.
    pub fn become_child(&mut self) {
        self.pending = None;
        self.tid = sys::call(libc::SYS_gettid, &[]);
    }

    /// In a child whose own number is one of its pid namespace: the initial namespace's number, from outside.
    pub fn set_tid(&mut self, tid: i64) {
        self.tid = tid;
    }

    /// Writes what is pending.
    pub fn flush(&mut self) {
        if let Some(case) = self.pending.take() {
            self.write(&Line::Case(case));
        }
    }

    /// The end.
    pub fn finish(&mut self) {
        self.flush();
        self.write(&Line::End);
    }

    fn write(&self, line: &Line) {
        let mut text = serde_json::to_vec(line).expect("a line");
        text.push(b'\n');
        let n = sys::call(libc::SYS_write, &[self.report_fd, text.as_ptr() as i64, text.len() as i64]);
        assert_eq!(n, text.len() as i64, "the report cannot be written");
    }

    /// Forks; the child does `act` and exits with its result. Waits for it. Gives the child's number.
    pub fn in_child(&mut self, act: impl FnOnce(&mut Ctx) -> i32) -> i64 {
        self.flush();
        let child = sys::call(libc::SYS_fork, &[]);
        if child == 0 {
            self.become_child();
            let code = act(self);
            self.flush();
            sys::call(libc::SYS_exit_group, &[i64::from(code)]);
            unreachable!();
        }
        assert!(child > 0, "fork: {child}");
        // Marks of the child must not be used again by the parent: they differ by thread, so they may.
        wait(child);
        child
    }
}

/// Waits for a child, and gives its status.
pub fn wait(child: i64) -> i32 {
    let mut status = 0_i32;
    loop {
        let r = sys::call(libc::SYS_wait4, &[child, (&raw mut status) as i64, i64::from(libc::__WALL), 0]);
        if r != -4 {
            assert_eq!(r, child, "wait4");
            return status;
        }
    }
}

fn mark(n: u64, closing: bool) {
    sys::call(libc::SYS_lseek, &[-1, mark_offset(n, closing) as i64, 0]);
}
