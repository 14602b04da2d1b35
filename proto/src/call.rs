//! Messages of calls, read in place.
//!
//! Most messages are about calls of which a few numbers and a text or two are of use, and half of all tell only that a
//! call begins. Those are read here from the bytes as they are, without taking the message apart. What is not as
//! expected is left to [`crate::Message::decode`].

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

/// First and last field whose numbers are kept.
const FIRST: u64 = 4;
const LAST: u64 = 9;

/// A call: what all messages of calls have, and their other fields by number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Call<'a> {
    /// Who makes it.
    pub who: Who<'a>,
    /// Its number.
    pub sysno: u64,
    /// Result and error, once it has ended.
    pub exit: Option<(i64, i64)>,
    numbers: [u64; 6],
    /// Field 6, where that is a text.
    pub text6: &'a [u8],
}

impl<'a> Call<'a> {
    /// Reads the message of a call; `None` when it is not as expected. For all kinds of calls but
    /// [`crate::Message::Syscall`].
    pub fn read(mut payload: &'a [u8]) -> Option<Call<'a>> {
        let mut call = Call::default();
        while !payload.is_empty() {
            match field(&mut payload)? {
                (1, Field::Bytes(context)) => who(context, &mut call.who)?,
                (2, Field::Bytes(bytes)) => {
                    let (result, error) = call.exit.unwrap_or_default();
                    call.exit = Some(exit(bytes, result, error)?);
                }
                (3, Field::Number(sysno)) => call.sysno = sysno,
                (1..=3, _) => return None,
                (n @ FIRST..=LAST, Field::Number(value)) => {
                    let slot = usize::try_from(n - FIRST).ok().and_then(|at| call.numbers.get_mut(at))?;
                    *slot = value;
                }
                (6, Field::Bytes(text)) => call.text6 = text,
                _ => {}
            }
        }
        Some(call)
    }

    /// The number in field `n`, 4 to 9; 0 when it is not there.
    pub fn number(&self, n: usize) -> u64 {
        n.checked_sub(4).and_then(|at| self.numbers.get(at)).copied().unwrap_or_default()
    }
}

fn exit(mut bytes: &[u8], mut result: i64, mut error: i64) -> Option<(i64, i64)> {
    while !bytes.is_empty() {
        match field(&mut bytes)? {
            (1, Field::Number(n)) => result = n.cast_signed(),
            (2, Field::Number(n)) => error = n.cast_signed(),
            (1 | 2, _) => return None,
            _ => {}
        }
    }
    Some((result, error))
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
#[inline(always)]
#[allow(clippy::inline_always)] // measured: a tenth of the time of converting
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

/// Most numbers have one byte; times have nine.
#[inline]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    let (first, after) = rest.split_first()?;
    if *first < 0x80 {
        *rest = after;
        return Some(u64::from(*first));
    }
    let mut value = 0;
    for (n, byte) in rest.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * n);
        if *byte < 0x80 {
            *rest = rest.get(n + 1..)?;
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
        fn calls_are_read_as_messages_are(
            context in context(),
            numbers: [u32; 4],
            fd: i64,
            ended: bool,
            name in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let [sysno, flags, mode, result] = numbers;
            let exit = ended.then(|| syscall::Exit { result: -i64::from(result), errorno: i64::from(mode) });
            let open = syscall::Open {
                context_data: Some(context.clone()),
                exit,
                sysno: u64::from(sysno),
                fd,
                fd_path: name.clone().into(),
                pathname: name.clone().into(),
                flags,
                mode,
            };
            let bytes = Message::Open(open).encode();
            let call = Call::read(&bytes).unwrap();
            prop_assert_eq!(call.who, Who::from(&context));
            prop_assert_eq!((call.sysno, call.exit), (u64::from(sysno), exit.map(|e| (e.result, e.errorno))));
            prop_assert_eq!(call.text6, &name[..]);
            let found = [4, 7, 8].map(|n| call.number(n));
            prop_assert_eq!(found, [fd.cast_unsigned(), u64::from(flags), u64::from(mode)]);
            prop_assert_eq!([3, 5, 6, 9, 10].map(|n| call.number(n)), [0; 5]);
            // Cut anywhere, it never reads beyond.
            for end in 0..bytes.len() {
                let _ = Call::read(&bytes[..end]);
            }
        }

        #[test]
        fn anything_at_all(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // What is read here is a message by the general way too, and says the same.
            if let Some(call) = Call::read(&bytes)
                && let Some(Ok(Message::Close(m))) = Message::decode(8, bytes.clone().into())
            {
                prop_assert_eq!(m.exit.map(|e| (e.result, e.errorno)), call.exit);
                prop_assert_eq!((m.sysno, m.fd.cast_unsigned()), (call.sysno, call.number(4)));
                let nobody = ContextData::default();
                prop_assert_eq!(Who::from(m.context_data.as_ref().unwrap_or(&nobody)), call.who);
            }
        }
    }
}
