//! The capabilities that recording needs, and giving up the others.
//!
//! | capability | for | given up |
//! |---|---|---|
//! | CAP_BPF, CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8) | loading and attaching the probe | after attaching; CAP_BPF never before Linux 5.19 |
//! | CAP_SYS_RESOURCE | locking the probe's memory, before Linux 5.11 | after attaching |
//! | CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH | reading other people's `/proc` | after attaching |
//! | CAP_DAC_OVERRIDE | creating files later in folders of others (`sudo` in a user's home) | never, when files are still to be created |
//!
//! All others go at the start. They are a thread's own: call this before threads are started, and start
//! commands that are to keep their rights before it.

use crate::{Error, Result};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

/// What recording needs, and what for.
const NEEDED: [(CapabilitySet, &str, &str); 4] = [
    (CapabilitySet::BPF, "CAP_BPF", "loading the probe"),
    (CapabilitySet::PERFMON, "CAP_PERFMON", "attaching the probe"),
    (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE", "reading the state of all processes"),
    (CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "reading the files of all processes"),
];

/// The capabilities that are missing, by name, with what each is needed for.
///
/// # Errors
/// When the kernel does not say which are held.
pub fn missing() -> Result<Vec<(&'static str, &'static str)>> {
    Ok(missing_of(held()?))
}

fn held() -> Result<CapabilitySet> {
    let sets = capabilities(None).map_err(|e| Error::system("capget", e.into()))?;
    Ok(sets.effective)
}

fn missing_of(held: CapabilitySet) -> Vec<(&'static str, &'static str)> {
    // Before Linux 5.8 this one stood for the first two, and it still does; and who may override permissions
    // may read all the more.
    let stands_for = |one: CapabilitySet| match one {
        one if one == CapabilitySet::BPF || one == CapabilitySet::PERFMON => CapabilitySet::SYS_ADMIN,
        one if one == CapabilitySet::DAC_READ_SEARCH => CapabilitySet::DAC_OVERRIDE,
        one => one,
    };
    let is_missing = |one: CapabilitySet| !held.intersects(one | stands_for(one));
    NEEDED.iter().filter(|(one, ..)| is_missing(*one)).map(|(_, name, what)| (*name, *what)).collect()
}

/// Fails with the first capability that is missing.
///
/// # Errors
/// [`Error::Privilege`], which names it.
pub fn check() -> Result<()> {
    match missing()?.first() {
        Some((capability, what)) => Err(Error::Privilege { what: (*what).to_owned(), capability }),
        None => Ok(()),
    }
}

/// What may still be needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The probe and the search of `/proc` are to come.
    Start,
    /// Only events are to come.
    Attached,
}

/// Gives up what recording does not need at this stage, for this thread and those it starts, and for good: no
/// program started later can get anything back. `files`: files are still to be created, maybe in folders of
/// others.
///
/// Where the bounding set cannot be changed (that needs CAP_SETPCAP) that step is left out: with the permitted
/// set and no new privileges there is no way back anyhow.
///
/// # Errors
/// When the kernel refuses.
pub fn reduce(stage: Stage, files: bool) -> Result<()> {
    let failed = |what: &'static str| move |e: rustix::io::Errno| Error::system(what, e.into());
    let now = capabilities(None).map_err(failed("capget"))?;
    let keep = kept(stage, files) & now.permitted;
    set_no_new_privs(true).map_err(failed("prctl PR_SET_NO_NEW_PRIVS"))?;
    // Kernels before 4.3 have no such set.
    let _ = clear_ambient_capability_set();
    for one in CapabilitySet::all().iter().filter(|one| !keep.contains(*one)) {
        let _ = remove_capability_from_bounding_set(one);
    }
    let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(failed("capset"))
}

fn kept(stage: Stage, files: bool) -> CapabilitySet {
    let mut keep = CapabilitySet::empty();
    if stage == Stage::Start {
        keep = NEEDED.iter().fold(keep, |all, (one, ..)| all | *one);
        keep |= CapabilitySet::SYS_RESOURCE;
        if !has_bpf() {
            keep |= CapabilitySet::SYS_ADMIN;
        }
    }
    // Up to Linux 5.18 even reading the probe's counters needs it.
    if stage == Stage::Attached && crate::kernel_version() < (5, 19) {
        keep |= CapabilitySet::BPF;
    }
    if files {
        keep |= CapabilitySet::DAC_OVERRIDE;
    }
    keep
}

/// Whether this kernel knows CAP_BPF and CAP_PERFMON.
fn has_bpf() -> bool {
    rustix::thread::capability_is_in_bounding_set(CapabilitySet::BPF).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_one_is_named() {
        let all = NEEDED.iter().fold(CapabilitySet::empty(), |all, (one, ..)| all | *one);
        assert_eq!(missing_of(all), []);
        for (one, name, what) in NEEDED {
            assert_eq!(missing_of(all - one), [(name, what)]);
        }
        assert_eq!(missing_of(CapabilitySet::empty()).len(), 4);
        let old = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_OVERRIDE;
        assert_eq!(missing_of(old), []);
        let error = Error::Privilege { what: "loading the probe".into(), capability: "CAP_BPF" };
        assert!(error.to_string().starts_with("loading the probe needs CAP_BPF;"), "{error}");
    }

    /// What the kernel says this thread has.
    fn status(name: &str) -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap()
    }

    /// Capabilities are a thread's own, so a thread of ours can give them up.
    #[test]
    fn what_is_given_up_is_gone() {
        let before = status("CapEff");
        let work = move || {
            reduce(Stage::Start, true).unwrap();
            let start = status("CapEff");
            assert_eq!(start & !(kept(Stage::Start, true).bits()), 0);
            assert_eq!((status("CapPrm"), status("CapInh"), status("NoNewPrivs")), (start, 0, 1));
            reduce(Stage::Attached, false).unwrap();
            assert_eq!((status("CapEff"), status("CapPrm")), (0, 0));
            if before & CapabilitySet::SETPCAP.bits() != 0 {
                assert_eq!(status("CapBnd") & CapabilitySet::SYS_MODULE.bits(), 0);
            } else {
                let text = "SKIPPED: the bounding set needs CAP_SETPCAP\n";
                std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).unwrap();
            }
            // Nothing of it is missed by mistake.
            assert!(check().is_err());
        };
        std::thread::spawn(work).join().unwrap();
        assert_eq!(status("CapEff"), before);
    }
}
