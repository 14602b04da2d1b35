//! `fs.path.*` and `evt.abspath`: the paths that an event is about.

use super::fd::{AT_FDCWD, joined_with, stored_fd, stored_text};
use super::{Arg, Field, Kind, Takes, Value, field};
use crate::Context;
use crate::engine::FdKind;
use crate::engine::paths::UNKNOWN;
use crate::text::{self, Sink};
use scapkit_format::schema::id;

pub(super) const FIELDS: &[Field] = &[
    field("evt.abspath", Kind::Text, absolute).takes(Takes::Side),
    field("fs.path.name", Kind::Text, |cx, _, sink| resolved(cx, Path::Name, sink)),
    field("fs.path.nameraw", Kind::Text, |cx, _, sink| raw(cx, Path::Name, sink)),
    field("fs.path.source", Kind::Text, |cx, _, sink| resolved(cx, Path::Source, sink)),
    field("fs.path.sourceraw", Kind::Text, |cx, _, sink| raw(cx, Path::Source, sink)),
    field("fs.path.target", Kind::Text, |cx, _, sink| resolved(cx, Path::Target, sink)),
    field("fs.path.targetraw", Kind::Text, |cx, _, sink| raw(cx, Path::Target, sink)),
];

/// Which of an event's paths.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Path {
    /// The only one.
    Name,
    Source,
    Target,
}

/// Where an event has a path: an argument's name, or the name of its fd.
enum Stored {
    Argument(&'static str),
    Fd,
}

fn stored(event_type: u16, path: Path) -> Option<Stored> {
    Some(Stored::Argument(match (event_type, path) {
        (
            id::SYSCALL_MKDIR_2_X
            | id::SYSCALL_MKDIRAT_X
            | id::SYSCALL_RMDIR_2_X
            | id::SYSCALL_UNLINK_2_X
            | id::SYSCALL_CHOWN_X
            | id::SYSCALL_LCHOWN_X,
            Path::Name,
        ) => "path",
        (
            id::SYSCALL_UNLINKAT_2_X
            | id::SYSCALL_OPEN_X
            | id::SYSCALL_OPENAT_2_X
            | id::SYSCALL_OPENAT2_X
            | id::SYSCALL_UMOUNT_1_X
            | id::SYSCALL_UMOUNT2_X,
            Path::Name,
        ) => "name",
        (id::SYSCALL_CHMOD_X | id::SYSCALL_FCHMODAT_X, Path::Name) => "filename",
        (id::SYSCALL_FCHMOD_X | id::SYSCALL_FCHOWN_X, Path::Name) => return Some(Stored::Fd),
        (id::SYSCALL_FCHOWNAT_X, Path::Name) => "pathname",
        (id::SYSCALL_QUOTACTL_X, Path::Name) => "special",
        // A link's source is what is made, as upstream has it.
        (id::SYSCALL_RENAME_X | id::SYSCALL_RENAMEAT_X | id::SYSCALL_RENAMEAT2_X, Path::Source)
        | (id::SYSCALL_LINK_2_X | id::SYSCALL_LINKAT_2_X, Path::Target) => "oldpath",
        (id::SYSCALL_RENAME_X | id::SYSCALL_RENAMEAT_X | id::SYSCALL_RENAMEAT2_X, Path::Target)
        | (id::SYSCALL_LINK_2_X | id::SYSCALL_LINKAT_2_X, Path::Source) => "newpath",
        (id::SYSCALL_SYMLINK_X | id::SYSCALL_SYMLINKAT_X, Path::Source) => "linkpath",
        (id::SYSCALL_SYMLINK_X | id::SYSCALL_SYMLINKAT_X, Path::Target) => "target",
        (id::SYSCALL_MOUNT_X, Path::Source) => "dev",
        (id::SYSCALL_MOUNT_X, Path::Target) => "dir",
        _ => return None,
    }))
}

/// Whether the call did what it says, by upstream's test: an open that failed with another error than
/// EPERM counts as one that did.
fn succeeded(cx: &Context<'_>) -> bool {
    match cx.event.event_type {
        id::SYSCALL_OPEN_X | id::SYSCALL_OPENAT_2_X | id::SYSCALL_OPENAT2_X => {
            stored_fd(cx, "fd").is_some_and(|fd| fd != -1)
        }
        _ => cx.bound.res == Some(0),
    }
}

/// The path as the program gave it.
fn given<'v>(cx: &Context<'v>, path: Path) -> Option<&'v [u8]> {
    if !succeeded(cx) {
        return None;
    }
    match stored(cx.event.event_type, path)? {
        Stored::Argument(name) => stored_text(cx, name),
        Stored::Fd => {
            cx.bound.fd?;
            Some(cx.fd().map_or(b"", |fd| &fd.name))
        }
    }
}

#[allow(clippy::unnecessary_wraps)] // a field's function
fn raw<'v>(cx: &Context<'v>, path: Path, _: &mut Sink<'_>) -> Option<Value<'v>> {
    given(cx, path).map(Value::Text)
}

/// The whole path. What it is seen from depends on the call; where that is not known, `<UNKNOWN>` stands.
fn resolved<'v>(cx: &Context<'v>, path: Path, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    let given = given(cx, path)?;
    cx.thread()?;
    let fd = cx.fd();
    if given.starts_with(b"/") {
        text::joined(sink.out, b"", false, given);
        return Some(Value::Written);
    }
    match (cx.event.event_type, path) {
        // The new fd has the whole name.
        (id::SYSCALL_OPENAT_2_X | id::SYSCALL_OPENAT2_X, _) => {
            text::joined(sink.out, b"", false, fd.map_or(UNKNOWN, |fd| &fd.name));
        }
        (
            id::SYSCALL_FCHOWNAT_X | id::SYSCALL_FCHMODAT_X | id::SYSCALL_MKDIRAT_X | id::SYSCALL_UNLINKAT_2_X,
            Path::Name,
        )
        | (id::SYSCALL_SYMLINKAT_X, Path::Source) => match fd.filter(|fd| fd.kind == FdKind::Directory) {
            Some(fd) => text::joined(sink.out, &fd.name, true, given),
            None => text::joined(sink.out, UNKNOWN, false, given),
        },
        (id::SYSCALL_SYMLINKAT_X, _) => text::joined(sink.out, UNKNOWN, false, given),
        (id::SYSCALL_RENAMEAT2_X, Path::Source) => joined_with(sink.out, cx, stored_fd(cx, "olddirfd")?, given),
        (id::SYSCALL_RENAMEAT2_X, Path::Target) => joined_with(sink.out, cx, stored_fd(cx, "newdirfd")?, given),
        _ => text::joined(sink.out, cx.engine.cwd(cx.bound.tid).unwrap_or_default(), false, given),
    }
    Some(Value::Written)
}

/// `evt.abspath`: a path of the calls that have a directory's fd. `.dst` is the second of two paths.
fn absolute<'v>(cx: &Context<'v>, arg: &Arg, sink: &mut Sink<'_>) -> Option<Value<'v>> {
    cx.thread()?;
    let second = *arg == Arg::Index(1);
    let (dirfd, path) = match cx.event.event_type {
        id::SYSCALL_RENAMEAT_X | id::SYSCALL_RENAMEAT2_X if second => ("newdirfd", "newpath"),
        id::SYSCALL_RENAMEAT_X | id::SYSCALL_RENAMEAT2_X => ("olddirfd", "oldpath"),
        id::SYSCALL_LINKAT_2_X if second => ("newdir", "newpath"),
        id::SYSCALL_LINKAT_2_X => ("olddir", "oldpath"),
        id::SYSCALL_SYMLINKAT_X => ("linkdirfd", "linkpath"),
        id::SYSCALL_OPENAT_2_X | id::SYSCALL_OPENAT2_X | id::SYSCALL_UNLINKAT_2_X => ("dirfd", "name"),
        id::SYSCALL_MKDIRAT_X => ("dirfd", "path"),
        id::SYSCALL_FCHMODAT_X => ("dirfd", "filename"),
        id::SYSCALL_FCHOWNAT_X => ("dirfd", "pathname"),
        id::SYSCALL_OPEN_BY_HANDLE_AT_X if cx.bound.res.is_some_and(|fd| fd > 0) => {
            text::joined(sink.out, b"", false, stored_text(cx, "path")?);
            return Some(Value::Written);
        }
        _ => return None,
    };
    let dirfd = stored_fd(cx, dirfd)?;
    cx.event.param(cx.info.param_index(path)?).filter(|p| !p.is_empty())?;
    let path = stored_text(cx, path)?;
    if dirfd == AT_FDCWD || path.starts_with(b"/") {
        text::joined(sink.out, cx.engine.cwd(cx.bound.tid).unwrap_or_default(), false, path);
    } else {
        let mut base = cx.engine.fd(cx.bound.tid, dirfd).map_or(UNKNOWN, |fd| &*fd.name).to_vec();
        // One more slash after a name that ends with one, as upstream has it.
        base.push(b'/');
        text::joined(sink.out, &base, false, path);
    }
    Some(Value::Written)
}
