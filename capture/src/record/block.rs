//! Event blocks from the bytes that sources give, without taking the events apart.

use scapkit_format::encode::event_block_type;
use scapkit_format::schema;

/// Bytes of an event's fixed part.
const MIN_EVENT: usize = 26;

/// What is needed of every event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub ts: u64,
    pub event_type: u16,
}

/// Time and type of an event in V2 form; `None` when its length is not that of the bytes.
#[inline]
pub(crate) fn head(bytes: &[u8]) -> Option<Head> {
    let fixed = bytes.first_chunk::<MIN_EVENT>()?;
    let [t0, t1, t2, t3, t4, t5, t6, t7, ..] = *fixed;
    let [.., l0, l1, l2, l3, e0, e1, _, _, _, _] = *fixed;
    if u32::from_le_bytes([l0, l1, l2, l3]) as usize != bytes.len() {
        return None;
    }
    Some(Head { ts: u64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]), event_type: u16::from_le_bytes([e0, e1]) })
}

/// Appends the block of an event in V2 form. An event over 4 GiB, which no source gives, is left out.
#[inline]
pub(crate) fn put(out: &mut Vec<u8>, cpu: u16, flags: u32, event_type: u16, bytes: &[u8]) {
    let body = 2 + if flags == 0 { 0 } else { 4 } + bytes.len();
    let padded = body.next_multiple_of(4);
    let Ok(total) = u32::try_from(padded + 12) else { return };
    let large = schema::event_info(event_type).is_some_and(|info| info.flags.is_large());
    out.reserve(padded + 12);
    out.extend_from_slice(&event_block_type(flags, large).0.to_le_bytes());
    out.extend_from_slice(&total.to_le_bytes());
    out.extend_from_slice(&cpu.to_le_bytes());
    if flags != 0 {
        out.extend_from_slice(&flags.to_le_bytes());
    }
    out.extend_from_slice(bytes);
    out.extend_from_slice([0; 3].get(..padded - body).unwrap_or_default());
    out.extend_from_slice(&total.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use scapkit_format::schema::id;
    use scapkit_format::synth::Params;
    use scapkit_format::{EventHead, STATE_ONLY, encode};

    #[test]
    fn blocks_are_those_of_the_encoder() {
        for (event_type, params) in [
            (id::SYSCALL_CLOSE_X, Params::new().i64(0).i64(3)),
            (id::SYSCALL_CHDIR_X, Params::new().i64(0).str("/srv")),
            (id::ASYNCEVENT_E, Params::new().u32(0).str("container").str("{}")),
        ] {
            for flags in [0, STATE_ONLY] {
                let mut wanted = Vec::new();
                let head = EventHead { ts: 0x1122_3344_5566_7788, tid: 5, cpu: 3, event_type, flags };
                encode::event(&mut wanted, head, &params.slices()).unwrap();
                let from = if flags == 0 { 10 } else { 14 };
                let len = u32::from_le_bytes(*wanted[from + 16..].first_chunk().unwrap()) as usize;
                let bytes = &wanted[from..from + len];
                let mut made = Vec::new();
                put(&mut made, 3, flags, event_type, bytes);
                assert_eq!(made, wanted);
                assert_eq!(super::head(bytes), Some(Head { ts: head.ts, event_type }));
            }
        }
        assert_eq!(super::head(&[0; 25]), None);
        assert_eq!(super::head(&[0; 26]), None);
    }
}
