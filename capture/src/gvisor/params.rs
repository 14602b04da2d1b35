//! Parameters of an event that is being made, and the event in V2 form.

use scapkit_format::schema;

/// Parameters in the order of the event's table. Used again for each event.
#[derive(Debug, Default)]
pub struct Params {
    lengths: Vec<u32>,
    data: Vec<u8>,
}

macro_rules! numbers {
    ($($name:ident)*) => { $(
        /// A number.
        pub fn $name(&mut self, value: $name) -> &mut Self {
            self.bytes(&value.to_le_bytes())
        }
    )* };
}

impl Params {
    /// Forgets all.
    pub fn clear(&mut self) -> &mut Self {
        self.lengths.clear();
        self.data.clear();
        self
    }

    numbers!(u8 u16 u32 u64 i64);

    /// A parameter of which nothing is known.
    pub fn empty(&mut self) -> &mut Self {
        self.bytes(&[])
    }

    /// Bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.data.extend_from_slice(bytes);
        self.ended(bytes.len())
    }

    /// A text; its end is a NUL, as in every event. What has a NUL inside ends there.
    pub fn text(&mut self, text: &[u8]) -> &mut Self {
        let text = text.split(|b| *b == 0).next().unwrap_or_default();
        self.data.extend_from_slice(text);
        self.data.push(0);
        self.ended(text.len() + 1)
    }

    /// Texts, each with its NUL.
    pub fn texts<T: AsRef<[u8]>>(&mut self, texts: &[T]) -> &mut Self {
        let before = self.data.len();
        for text in texts {
            self.data.extend_from_slice(text.as_ref());
            self.data.push(0);
        }
        let length = self.data.len() - before;
        self.ended(length)
    }

    fn ended(&mut self, length: usize) -> &mut Self {
        self.lengths.push(u32::try_from(length).unwrap_or(u32::MAX));
        self
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Appends the event with these parameters. Of a parameter that is longer than its length can say, the
    /// beginning is kept.
    pub fn event(&self, ts: u64, tid: i64, event_type: u16, out: &mut Vec<u8>) {
        let large = schema::event_info(event_type).is_some_and(|info| info.flags.is_large());
        let most = if large { u32::MAX } else { u32::from(u16::MAX) };
        let kept = |length: u32| length.min(most);
        let start = out.len();
        out.extend_from_slice(&ts.to_le_bytes());
        out.extend_from_slice(&tid.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&event_type.to_le_bytes());
        out.extend_from_slice(&u32::try_from(self.lengths.len()).unwrap_or_default().to_le_bytes());
        for length in &self.lengths {
            let bytes = kept(*length).to_le_bytes();
            out.extend_from_slice(bytes.get(..if large { 4 } else { 2 }).unwrap_or_default());
        }
        let mut rest = &self.data[..];
        for length in &self.lengths {
            let (param, after) = rest.split_at((*length as usize).min(rest.len()));
            out.extend_from_slice(param.get(..kept(*length) as usize).unwrap_or(param));
            rest = after;
        }
        let total = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
        if let Some(slot) = out.get_mut(start + 16..).and_then(|o| o.first_chunk_mut()) {
            *slot = total.to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scapkit_format::Event;
    use scapkit_format::schema::id;

    #[test]
    fn an_event_is_read_as_it_was_made() {
        let mut params = Params::default();
        params.i64(-2).text(b"a\0b").u32(5);
        let mut out = vec![9; 3];
        params.event(7, 1 << 33, id::SYSCALL_UNLINK_2_X, &mut out);
        let event = Event::parse_v2(&out[3..], 0, 0).unwrap();
        assert_eq!((event.ts, event.tid, event.event_type), (7, 1 << 33, id::SYSCALL_UNLINK_2_X));
        let found: Vec<&[u8]> = event.params().collect();
        assert_eq!(found, [&(-2i64).to_le_bytes()[..], b"a\0", &5u32.to_le_bytes()]);
    }

    #[test]
    fn what_no_length_can_say_is_cut() {
        let mut params = Params::default();
        params.bytes(&vec![1; 70_000]).u8(3);
        let mut out = Vec::new();
        params.event(1, 1, id::SYSCALL_UNLINK_2_X, &mut out);
        let event = Event::parse_v2(&out, 0, 0).unwrap();
        assert_eq!(event.param(0).map(<[u8]>::len), Some(65_535));
        assert_eq!(event.param(1), Some(&[3][..]));
    }
}
