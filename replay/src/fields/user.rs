//! `user.*` and `group.*`.

use super::{Field, Kind, Value, field};
use crate::Context;

pub(super) const FIELDS: &[Field] = &[
    field("user.uid", Kind::Uint32, |cx, _, _| cx.thread().map(|t| Value::Unsigned(u64::from(t.uid)))),
    field("user.name", Kind::Text, |cx, _, _| cx.thread().map(|t| user(cx, t.uid))),
    field("user.loginuid", Kind::Int64, |cx, _, _| {
        cx.thread()
            .map(|t| if t.loginuid == u32::MAX { Value::Signed(-1) } else { Value::Signed(i64::from(t.loginuid)) })
    }),
    field("user.loginname", Kind::Text, |cx, _, _| cx.thread().map(|t| user(cx, t.loginuid))),
    field("group.gid", Kind::Uint32, |cx, _, _| cx.thread().map(|t| Value::Unsigned(u64::from(t.gid)))),
    field("group.name", Kind::Text, |cx, _, _| {
        cx.thread().map(|t| Value::Text(cx.engine.group_name(t.gid).unwrap_or(b"<NA>")))
    }),
];

fn user<'v>(cx: &Context<'v>, uid: u32) -> Value<'v> {
    Value::Text(cx.engine.user_name(uid).unwrap_or(b"<NA>"))
}
