//! Names of the files of one recording.
//!
//! ```text
//! incident.scap.zst         -> incident.0001.scap.zst, incident.0002.scap.zst, ...
//! incident-%Y%m%d-%H%M.scap -> incident-20261123-1000.scap, incident-20261123-1000.0001.scap, ...
//! ```
//! A file that is there already is never taken: the number goes on after it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};

/// What stands behind a name until its file is complete.
pub(super) const UNFINISHED: &str = ".part";

/// Gives the names.
#[derive(Debug)]
pub(super) struct Names {
    /// Folder and everything before the number.
    stem: String,
    /// `.scap`, `.scap.gz` and the like.
    suffix: String,
    number: u32,
}

impl Names {
    /// Names like `path`.
    ///
    /// # Errors
    /// When the name is not UTF-8, which numbers are put into.
    pub fn new(path: &Path) -> io::Result<Names> {
        let text = path
            .to_str()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name of a series is not UTF-8"))?;
        let name = text.rfind('/').map_or(0, |at| at + 1);
        let bare = text.strip_suffix(".gz").or_else(|| text.strip_suffix(".zst")).unwrap_or(text);
        // A name that is nothing but a suffix has none.
        let at = bare.rfind('.').filter(|at| *at > name).unwrap_or(bare.len());
        let (stem, suffix) = text.split_at(at);
        Ok(Names { stem: stem.to_owned(), suffix: suffix.to_owned(), number: 0 })
    }

    /// The next name, for a file that begins at `ts`, ns since the epoch.
    pub fn next(&mut self, ts: u64) -> PathBuf {
        let timed = self.stem.contains('%');
        let stem = if timed { strftime(&self.stem, ts) } else { self.stem.clone() };
        if timed {
            let plain = PathBuf::from(format!("{stem}{}", self.suffix));
            if !is_taken(&plain) {
                return plain;
            }
        }
        loop {
            self.number = self.number.saturating_add(1);
            let path = PathBuf::from(format!("{stem}.{:04}{}", self.number, self.suffix));
            if !is_taken(&path) || self.number == u32::MAX {
                return path;
            }
        }
    }
}

fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok() || unfinished(path).symlink_metadata().is_ok()
}

/// The name under which a file is written that is not complete yet.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(UNFINISHED);
    name.into()
}

/// `%Y %m %d %H %M %S` in UTC, `%s` seconds since 1970, `%%`; anything else stays as it is.
fn strftime(pattern: &str, ts: u64) -> String {
    let seconds = ts / 1_000_000_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars();
    // Writing to a string cannot fail.
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('Y') => _ = write!(out, "{year:04}"),
            Some('m') => _ = write!(out, "{month:02}"),
            Some('d') => _ = write!(out, "{day:02}"),
            Some('H') => _ = write!(out, "{:02}", of_day / 3600),
            Some('M') => _ = write!(out, "{:02}", of_day / 60 % 60),
            Some('S') => _ = write!(out, "{:02}", of_day % 60),
            Some('s') => out += &seconds.to_string(),
            Some('%') | None => out.push('%'),
            Some(other) => out.extend(['%', other]),
        }
    }
    out
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years that begin in March put the leap day at the end: eras of 400 years, then years, then months.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
}

/// Files that are complete, of which only the newest are kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    files: VecDeque<PathBuf>,
}

impl Kept {
    /// Adds the newest and deletes the oldest beyond `keep`.
    ///
    /// # Errors
    /// When one cannot be deleted; one that is gone already is no error.
    pub fn add(&mut self, path: PathBuf, keep: Option<usize>) -> io::Result<()> {
        let Some(keep) = keep else { return Ok(()) };
        self.files.push_back(path);
        while self.files.len() > keep.max(1)
            && let Some(oldest) = self.files.pop_front()
        {
            match std::fs::remove_file(&oldest) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TS: u64 = 1_795_428_000_000_000_000; // 2026-11-23T10:00:00Z

    #[test]
    fn numbers_stand_before_the_suffixes() {
        for (pattern, wanted) in [
            ("a/b.c/x.scap.zst", "a/b.c/x.0001.scap.zst"),
            ("x.scap", "x.0001.scap"),
            ("x", "x.0001"),
            ("d.e/x.gz", "d.e/x.0001.gz"),
            ("d/.scap", "d/.scap.0001"),
            ("x-%Y-%m-%dT%H:%M:%S.scap", "x-2026-11-23T10:00:00.scap"),
            ("%s%%%q", "1795428000%%q"),
        ] {
            assert_eq!(Names::new(Path::new(pattern)).unwrap().next(TS), PathBuf::from(wanted), "{pattern}");
        }
    }

    #[test]
    fn days() {
        for (days, wanted) in [(0, (1970, 1, 1)), (59, (1970, 3, 1)), (11_016, (2000, 2, 29)), (20_780, (2026, 11, 23))]
        {
            assert_eq!(civil(days), wanted);
        }
    }

    #[test]
    fn files_that_are_there_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("x.0001.scap"), "").unwrap();
        std::fs::write(at("x.0002.scap.part"), "").unwrap();
        let mut names = Names::new(&at("x.scap")).unwrap();
        assert_eq!(names.next(TS), at("x.0003.scap"));
        let mut timed = Names::new(&at("%Y.scap")).unwrap();
        std::fs::write(at("2026.scap"), "").unwrap();
        assert_eq!(timed.next(TS), at("2026.0001.scap"));
    }

    #[test]
    fn the_oldest_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = Kept::default();
        for name in ["1", "2", "3"] {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            kept.add(path, Some(2)).unwrap();
        }
        let left: Vec<bool> = ["1", "2", "3"].iter().map(|n| folder.path().join(n).exists()).collect();
        assert_eq!(left, [false, true, true]);
    }
}
