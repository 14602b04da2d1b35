//! `user.*` and `group.*`.

use super::{Field, Kind, Value, field};
use crate::Context;

pub(super) const FIELDS: &[Field] = &[
    field("user.uid", Kind::Uint32, |cx, _, _| cx.thread().map(|t| Value::Unsigned(u64::from(t.uid)))),
    field("user.name", Kind::Text, |cx, _, _| match told_user(cx) {
        Some(user) => Some(Value::Text(user)),
        None => cx.thread().map(|t| user(cx, t.uid)),
    }),
    field("user.homedir", Kind::Text, |cx, _, _| {
        cx.thread().map(|t| Value::Text(cx.user(t.uid).map_or(b"<NA>", |user| &user.home)))
    }),
    field("user.shell", Kind::Text, |cx, _, _| {
        cx.thread().map(|t| Value::Text(cx.user(t.uid).map_or(b"<NA>", |user| &user.shell)))
    }),
    field("user.loginuid", Kind::Int64, |cx, _, _| {
        cx.thread()
            .map(|t| if t.loginuid == u32::MAX { Value::Signed(-1) } else { Value::Signed(i64::from(t.loginuid)) })
    }),
    field("user.loginname", Kind::Text, |cx, _, _| cx.thread().map(|t| user(cx, t.loginuid))),
    field("group.gid", Kind::Uint32, |cx, _, _| cx.thread().map(|t| Value::Unsigned(u64::from(t.gid)))),
    field("group.name", Kind::Text, |cx, _, _| {
        cx.thread().map(|t| Value::Text(cx.group(t.gid).map_or(b"<NA>", |group| &group.name)))
    }),
];

fn user<'v>(cx: &Context<'v>, uid: u32) -> Value<'v> {
    Value::Text(cx.user(uid).map_or(b"<NA>", |user| &user.name))
}

/// Whose processes run in the container that an event tells of.
fn told_user<'v>(cx: &Context<'v>) -> Option<&'v [u8]> {
    let told = cx.container().filter(|_| cx.tells_of_container())?;
    (!told.user.is_empty()).then_some(told.user.as_bytes())
}
