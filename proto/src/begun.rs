//! Beginnings of calls, read in place.
//!
//! Half of all messages tell that a call begins, and of most of them only who makes which call is of use. That is read
//! here from the bytes as they are, without taking the message apart. A beginning is a message without `exit`, field 2.

use crate::common::{ContextData, Credentials};
use prost::Message as _;

/// Who did it: [`ContextData`] with its texts where they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[allow(missing_docs)] // gVisor's own names, described in `proto/common.proto`
pub struct Who<'a> {
    pub time_ns: i64,
    pub thread_id: i32,
    pub thread_group_id: i32,
    pub thread_group_start_time_ns: i64,
    pub container_id: &'a [u8],
    pub credentials: Option<Credentials>,
    pub cwd: &'a [u8],
    pub process_name: &'a [u8],
    pub parent_thread_group_id: i32,
    pub is_exec_session: bool,
}

impl<'a> From<&'a ContextData> for Who<'a> {
    fn from(context: &'a ContextData) -> Self {
        Who {
            time_ns: context.time_ns,
            thread_id: context.thread_id,
            thread_group_id: context.thread_group_id,
            thread_group_start_time_ns: context.thread_group_start_time_ns,
            container_id: &context.container_id,
            credentials: context.credentials,
            cwd: &context.cwd,
            process_name: &context.process_name,
            parent_thread_group_id: context.parent_thread_group_id,
            is_exec_session: context.is_exec_session,
        }
    }
}

/// The beginning of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Begun<'a> {
    /// Who makes it.
    pub who: Who<'a>,
    /// Its number.
    pub sysno: u64,
}

impl<'a> Begun<'a> {
    /// Reads the message of a call if it tells of its beginning; `None` otherwise, and when it is not as expected,
    /// which [`crate::Message::decode`] then judges. For all kinds of calls but [`crate::Message::Syscall`].
    pub fn read(mut payload: &'a [u8]) -> Option<Begun<'a>> {
        let mut begun = Begun::default();
        while !payload.is_empty() {
            match field(&mut payload)? {
                (1, Field::Bytes(context)) => who(context, &mut begun.who)?,
                (3, Field::Number(sysno)) => begun.sysno = sysno,
                // An end, or not as expected.
                (1..=3, _) => return None,
                _ => {}
            }
        }
        Some(begun)
    }
}

fn who<'a>(mut context: &'a [u8], who: &mut Who<'a>) -> Option<()> {
    while !context.is_empty() {
        match field(&mut context)? {
            (1, Field::Number(n)) => who.time_ns = n.cast_signed(),
            (2, Field::Number(n)) => who.thread_id = int(n),
            (4, Field::Number(n)) => who.thread_group_id = int(n),
            (5, Field::Number(n)) => who.thread_group_start_time_ns = n.cast_signed(),
            (6, Field::Bytes(id)) => who.container_id = id,
            (7, Field::Bytes(credentials)) => {
                // Said twice, the second adds to the first.
                let mut all = who.credentials.unwrap_or_default();
                all.merge(credentials).ok()?;
                who.credentials = Some(all);
            }
            (8, Field::Bytes(cwd)) => who.cwd = cwd,
            (9, Field::Bytes(name)) => who.process_name = name,
            (10, Field::Number(n)) => who.parent_thread_group_id = int(n),
            (11, Field::Number(n)) => who.is_exec_session = n != 0,
            // The start of the thread is of no use; and others are of later versions.
            (3, Field::Number(_)) | (0 | 12.., _) => {}
            _ => return None,
        }
    }
    Some(())
}

/// An `int32` is sent as 64 bits with its sign.
fn int(value: u64) -> i32 {
    (value & u64::from(u32::MAX)).try_into().map_or(0, u32::cast_signed)
}

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Takes a field from the front: its number, and what it holds. `None` when there is none.
#[inline]
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Field::Number(varint(rest)?),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            let (bytes, after) = rest.split_at_checked(length)?;
            *rest = after;
            Field::Bytes(bytes)
        }
        // gVisor has no other types; whatever comes is skipped.
        kind @ (1 | 5) => {
            *rest = rest.get(if kind == 1 { 8 } else { 4 }..)?;
            Field::Other
        }
        _ => return None,
    };
    Some((tag >> 3, value))
}

#[inline]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Message, syscall};
    use proptest::prelude::*;

    fn context() -> impl Strategy<Value = ContextData> {
        let texts = prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..9));
        let numbers = (any::<[i64; 3]>(), any::<[i32; 3]>(), any::<bool>());
        let ids = prop::option::of(any::<[u32; 6]>());
        (texts, numbers, ids).prop_map(|([id, cwd, name], ([a, b, c], [d, e, f], exec), ids)| ContextData {
            time_ns: a,
            thread_id: d,
            thread_start_time_ns: b,
            thread_group_id: e,
            thread_group_start_time_ns: c,
            container_id: id.into(),
            credentials: ids.map(|[a, b, c, d, e, f]| Credentials {
                real_uid: a,
                effective_uid: b,
                saved_uid: c,
                real_gid: d,
                effective_gid: e,
                saved_gid: f,
            }),
            cwd: cwd.into(),
            process_name: name.into(),
            parent_thread_group_id: f,
            is_exec_session: exec,
        })
    }

    proptest! {
        /// The same as by the general way.
        #[test]
        fn beginnings_are_read_as_messages_are(context in context(), sysno: u64, count: u64, ended: bool) {
            let exit = ended.then(syscall::Exit::default);
            let context_data = Some(context.clone());
            let read = syscall::Read { context_data, exit, sysno, count, ..syscall::Read::default() };
            let bytes = Message::Read(read).encode();
            let wanted = (!ended).then(|| Begun { who: Who::from(&context), sysno });
            prop_assert_eq!(Begun::read(&bytes), wanted);
            // Cut anywhere, it never reads beyond.
            for end in 0..bytes.len() {
                let _ = Begun::read(&bytes[..end]);
            }
        }

        #[test]
        fn anything_at_all(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // What is read here is a message by the general way too, and says the same.
            if let Some(begun) = Begun::read(&bytes)
                && let Some(Ok(Message::Close(m))) = Message::decode(8, bytes.clone().into())
            {
                prop_assert!(m.exit.is_none());
                prop_assert_eq!(m.sysno, begun.sysno);
                let nobody = ContextData::default();
                prop_assert_eq!(Who::from(m.context_data.as_ref().unwrap_or(&nobody)), begun.who);
            }
        }
    }
}
