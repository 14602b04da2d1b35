//! The lists of a section in the form that a profile writes.

use crate::lists::fds::{Fd, FdInfo, FdType, Fds};
use crate::lists::interfaces::Interfaces;
use crate::lists::threads::{Tail, Threads};
use crate::lists::users::{Account, Users};
use crate::{BlockType, Result, encode};

/// Longest strings that every reader takes (scap-format section 1.6).
const SHORT: usize = 1024;
const LONG: usize = 4096;
const FD_NAME: usize = 1023;
const ACCOUNT: usize = 255;

/// The first `max` bytes. `cut` counts what was cut.
fn clip<'a>(text: &'a [u8], max: usize, cut: &mut u64) -> &'a [u8] {
    match text.get(..max) {
        Some(head) if text.len() > max => {
            *cut = cut.saturating_add(1);
            head
        }
        _ => text,
    }
}

/// Appends a PL_V9 block; `tids` takes the threads in it. Broken entries end the list.
pub(super) fn threads(
    list: &Threads<'_>,
    tail: Tail,
    cut: &mut u64,
    mut seen: impl FnMut(i64),
    out: &mut Vec<u8>,
) -> Result<()> {
    encode::block_with(out, BlockType::PL_V9, |out| {
        for mut t in list.clone().map_while(Result::ok) {
            t.comm = clip(t.comm, SHORT, cut);
            t.exe = clip(t.exe, SHORT, cut);
            t.exepath = clip(t.exepath, SHORT, cut);
            t.cwd = clip(t.cwd, SHORT, cut);
            t.root = clip(t.root, SHORT, cut);
            t.args = clip(t.args, LONG, cut);
            t.env = clip(t.env, LONG, cut);
            t.cgroups = clip(t.cgroups, LONG, cut);
            t.tail = tail;
            t.extra = &[];
            seen(t.tid);
            t.encode(9, out)?;
        }
        Ok(())
    })
}

/// Appends an FDL_V2 block. `universal`: types that sysdig 0.29.3 refuses are written as
/// UNSUPPORTED with their name; `mapped` counts them.
pub(super) fn fds(list: &Fds<'_>, universal: bool, cut: &mut u64, mapped: &mut u64, out: &mut Vec<u8>) -> Result<()> {
    encode::block_with(out, BlockType::FDL_V2, |out| {
        out.extend_from_slice(&list.tid.to_le_bytes());
        for mut fd in list.clone().map_while(Result::ok) {
            fd.extra = &[];
            if let FdInfo::Name(name) | FdInfo::File { name, .. } | FdInfo::Unix { name, .. } = &mut fd.info {
                *name = clip(name, FD_NAME, cut);
            }
            if let FdInfo::File { dev, .. } = &mut fd.info {
                dev.get_or_insert(0);
            }
            if universal && fd.kind > FdType::FILE_V2 {
                *mapped = mapped.saturating_add(1);
                let name = if let FdInfo::Name(name) = fd.info { name } else { &[] };
                fd = Fd { kind: FdType::UNSUPPORTED, info: FdInfo::Name(name), ..fd };
            }
            // Type 0 is never written (section 2.3).
            if fd.kind != FdType::UNKNOWN {
                fd.encode(2, out)?;
            }
        }
        Ok(())
    })
}

/// Appends an IL_V2 block.
pub(super) fn interfaces(list: &Interfaces<'_>, cut: &mut u64, out: &mut Vec<u8>) -> Result<()> {
    encode::block_with(out, BlockType::IL_V2, |out| {
        for mut i in list.clone().map_while(Result::ok) {
            i.linkspeed.get_or_insert(0);
            i.name = clip(i.name, FD_NAME, cut);
            i.extra = &[];
            i.encode(2, out)?;
        }
        Ok(())
    })
}

/// Appends a UL_V2 block.
pub(super) fn users(list: &Users<'_>, cut: &mut u64, out: &mut Vec<u8>) -> Result<()> {
    encode::block_with(out, BlockType::UL_V2, |out| {
        for mut account in list.clone().map_while(Result::ok) {
            match &mut account {
                Account::User { name, home, shell, extra, .. } => {
                    *name = clip(name, ACCOUNT, cut);
                    *home = clip(home, ACCOUNT, cut);
                    *shell = clip(shell, ACCOUNT, cut);
                    *extra = &[];
                }
                Account::Group { name, extra, .. } => {
                    *name = clip(name, ACCOUNT, cut);
                    *extra = &[];
                }
            }
            account.encode(2, out)?;
        }
        Ok(())
    })
}
