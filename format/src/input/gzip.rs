//! Many gzip members as one stream of plain bytes (RFC 1952; `spec/scap-format.md` 1.1).
//!
//! Headers and trailers are read here and only the deflate data is left to the library, so that
//! decoding can stop after any byte and go on when the file has grown, and so that a damaged
//! member costs itself and not the rest of the file.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::source::Stored;
use super::track::{Flow, Track};
use crate::error::Result;

const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
const FHCRC: u8 = 2;
const FEXTRA: u8 = 4;
const FNAME: u8 = 8;
const FCOMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;
/// Longest file name or comment in a header: such a field has no length, only an end.
const MAX_NAME: u32 = u16::MAX as u32;
/// Most plain bytes inflated at once, so that they are still in the cache when summed.
const PIECE: usize = 128 << 10;
/// A candidate found by search whose data fails before it gave this many bytes in one go is taken
/// for what it most likely is: three bytes of other data that look like a header.
const PROOF: usize = 512;

const INVALID: &str = "invalid deflate data";

#[derive(Clone, Copy)]
enum State {
    Header,
    Body,
    /// Bytes of the trailer so far, and their number.
    Trailer([u8; 8], usize),
    Search,
    Stopped,
}

/// Decoder of gzip members.
pub(super) struct Gzip {
    state: State,
    header: Header,
    inflate: Decompress,
    crc: Crc,
    /// Where to search from if no member follows one whose checksum was wrong.
    suspect: Option<u64>,
}

impl Gzip {
    pub(super) fn new() -> Gzip {
        Gzip {
            state: State::Header,
            header: Header::default(),
            inflate: Decompress::new(false),
            crc: Crc::new(),
            suspect: None,
        }
    }

    /// Fills `out` as far as the stored bytes allow. See [`super::Input::read`].
    pub(super) fn read(&mut self, stored: &mut Stored, track: &mut Track, out: &mut [u8]) -> Result<usize> {
        let mut done: usize = 0;
        loop {
            let some = done > 0;
            let flow = match self.state {
                State::Stopped => Flow::Wait,
                State::Header => self.read_header(stored, track, some)?,
                State::Trailer(bytes, len) => self.read_trailer(stored, track, some, bytes, len)?,
                State::Search => self.search(stored, some)?,
                State::Body => {
                    let rest = out.get_mut(done..).unwrap_or_default();
                    if rest.is_empty() {
                        return Ok(done);
                    }
                    let (made, flow) = self.read_body(stored, track, rest, some)?;
                    done = done.saturating_add(made);
                    flow
                }
            };
            if flow == Flow::Wait || (flow == Flow::Gap && done > 0) {
                return Ok(done);
            }
        }
    }

    /// No more bytes will come.
    pub(super) fn finish(&mut self, stored: &Stored, track: &mut Track) {
        let half = match self.state {
            State::Stopped => return,
            State::Header => self.header.len > 0,
            State::Body | State::Trailer(..) => true,
            State::Search => false,
        };
        track.finish(half, false, stored);
        self.state = State::Stopped;
    }

    fn read_header(&mut self, stored: &mut Stored, track: &mut Track, some: bool) -> Result<Flow> {
        if stored.unread().is_empty() && !stored.more(some)? {
            return Ok(Flow::Wait);
        }
        if self.header.len == 0 {
            track.begin(stored.position());
        }
        let (used, step) = self.header.feed(stored.unread());
        stored.consume(used);
        match step {
            Step::More => Ok(Flow::Go),
            Step::Done => {
                if let Some((wanted, found)) = self.header.wrong_sum() {
                    if track.in_gap() {
                        return Ok(self.fail(stored, track, Some("header checksum")));
                    }
                    let at = stored.position();
                    track.checksum("header checksum", wanted.into(), found.into(), at.saturating_sub(2), at);
                }
                self.suspect = None;
                self.inflate.reset(false);
                self.crc.reset();
                self.state = State::Body;
                Ok(Flow::Go)
            }
            Step::Bad(detail) => Ok(self.fail(stored, track, Some(detail))),
            Step::NoMember => Ok(self.fail(stored, track, None)),
        }
    }

    fn read_body(
        &mut self,
        stored: &mut Stored,
        track: &mut Track,
        out: &mut [u8],
        some: bool,
    ) -> Result<(usize, Flow)> {
        let piece = out.len().min(PIECE);
        let out = out.get_mut(..piece).unwrap_or_default();
        let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
        // Also with no input: the library may still owe the rest of a long match.
        let result = self.inflate.decompress(stored.unread(), out, FlushDecompress::None);
        let used = usize::try_from(self.inflate.total_in().saturating_sub(in_before)).unwrap_or(0);
        let made = usize::try_from(self.inflate.total_out().saturating_sub(out_before)).unwrap_or(0);
        let starved = used == stored.unread().len();
        stored.consume(used);

        if result.is_err() && track.in_gap() && made < PROOF {
            return Ok((0, self.fail(stored, track, Some(INVALID))));
        }
        if made > 0 {
            track.believe();
        }
        let (keep, on) = track.deliver(made, stored);
        self.crc.update(out.get(..keep).unwrap_or_default());
        if !on {
            self.state = State::Stopped;
            return Ok((keep, Flow::Wait));
        }
        match result {
            Ok(Status::StreamEnd) => {
                self.state = State::Trailer([0; 8], 0);
                Ok((keep, Flow::Go))
            }
            Ok(_) if made > 0 => Ok((keep, Flow::Go)),
            // Nothing came out: more input is wanted. Input that is neither used nor refused would
            // be a fault of the library; call it damage rather than turn in a circle.
            Ok(_) if starved => Ok((0, if stored.more(some)? { Flow::Go } else { Flow::Wait })),
            Ok(_) if used > 0 => Ok((0, Flow::Go)),
            Ok(_) => Ok((0, self.fail(stored, track, Some("no progress")))),
            Err(e) => {
                // The library's fast path replaces what it found wrong by a message of no use.
                let said = e.message().filter(|m| !m.contains("bad state"));
                let detail = said.unwrap_or(INVALID);
                Ok((keep, self.fail(stored, track, Some(detail))))
            }
        }
    }

    fn read_trailer(
        &mut self,
        stored: &mut Stored,
        track: &mut Track,
        some: bool,
        mut bytes: [u8; 8],
        mut len: usize,
    ) -> Result<Flow> {
        if stored.unread().is_empty() && !stored.more(some)? {
            return Ok(Flow::Wait);
        }
        let mut used: usize = 0;
        for (to, from) in bytes.iter_mut().skip(len).zip(stored.unread()) {
            *to = *from;
            used = used.saturating_add(1);
        }
        stored.consume(used);
        len = len.saturating_add(used);
        self.state = State::Trailer(bytes, len);
        if len < bytes.len() {
            return Ok(Flow::Go);
        }
        let [c0, c1, c2, c3, l0, l1, l2, l3] = bytes;
        let (want_crc, want_len) = (u32::from_le_bytes([c0, c1, c2, c3]), u32::from_le_bytes([l0, l1, l2, l3]));
        // The length is stored modulo 2^32.
        let plain = u32::try_from(track.unit_plain & u64::from(u32::MAX)).unwrap_or(0);
        let crc = self.crc.sum();
        if (crc, plain) != (want_crc, want_len) {
            if track.in_gap() {
                return Ok(self.fail(stored, track, Some("checksum")));
            }
            let next = stored.position();
            let at = next.saturating_sub(8);
            if crc == want_crc {
                track.checksum("length", want_len, plain, at.saturating_add(4), next);
            } else {
                track.checksum("checksum", want_crc, crc, at, next);
            }
            self.suspect = Some(track.unit_start.saturating_add(1));
        }
        track.believe();
        self.header = Header::default();
        self.state = State::Header;
        Ok(Flow::Go)
    }

    /// The current member, or the place where one should start, is unusable; `detail` says why,
    /// `None` that the bytes start no member.
    ///
    /// Corrupt deflate data is often noticed only after the decoder has run on into members that
    /// follow, and a header whose flags were hit may have swallowed some as its extra field. So
    /// the search begins just after the bad member's first byte, as far as the bytes are still in
    /// the buffer ([`super::source::HISTORY`]); a stream can do no more. A start tried once is
    /// never tried again: the starts tried only go up, so the search ends.
    fn fail(&mut self, stored: &mut Stored, track: &mut Track, detail: Option<&str>) -> Flow {
        let from = track.unit_start.saturating_add(1);
        let (offset, from) = match self.state {
            State::Header => (track.unit_start, self.suspect.take().unwrap_or(from)),
            _ => (stored.position(), from),
        };
        track.fail(offset, detail.map(str::to_owned), from, stored);
        self.state = State::Search;
        Flow::Gap
    }

    /// Looks for the next three bytes and flags that can start a member.
    fn search(&mut self, stored: &mut Stored, some: bool) -> Result<Flow> {
        let unread = stored.unread();
        let found =
            unread.windows(4).position(|w| w.starts_with(&MAGIC) && w.last().is_some_and(|f| f & RESERVED == 0));
        if let Some(at) = found {
            stored.consume(at);
            self.header = Header::default();
            self.state = State::Header;
            return Ok(Flow::Go);
        }
        // The last three bytes may be the start of a header.
        stored.consume(unread.len().saturating_sub(3));
        Ok(if stored.more(some)? { Flow::Go } else { Flow::Wait })
    }
}

/// What a member header came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// More bytes are wanted.
    More,
    /// The header is whole.
    Done,
    /// It starts as one and is none.
    Bad(&'static str),
    /// The first two bytes are not those of a member.
    NoMember,
}

#[derive(Clone, Copy)]
enum Field {
    Fixed,
    ExtraLen,
    Extra(u16),
    Name,
    Comment,
    Sum,
}

/// A member header, read byte by byte as the bytes come.
struct Header {
    field: Field,
    /// Bytes so far, in the whole header and in the current field.
    len: u64,
    field_len: u32,
    flags: u8,
    /// The last two bytes, for fields of 16 bits.
    last: [u8; 2],
    crc: Crc,
    sums: (u16, u16),
}

impl Default for Header {
    fn default() -> Header {
        Header { field: Field::Fixed, len: 0, field_len: 0, flags: 0, last: [0; 2], crc: Crc::new(), sums: (0, 0) }
    }
}

impl Header {
    /// Takes bytes from `input` until the header is whole, bad, or `input` is used up.
    fn feed(&mut self, input: &[u8]) -> (usize, Step) {
        let mut used: usize = 0;
        for &byte in input {
            used = used.saturating_add(1);
            let step = self.push(byte);
            if step != Step::More {
                return (used, step);
            }
        }
        (used, Step::More)
    }

    /// Header checksum stored and computed (the low 16 bits of the CRC-32), if they differ.
    fn wrong_sum(&self) -> Option<(u16, u16)> {
        (self.sums.0 != self.sums.1).then_some(self.sums)
    }

    fn push(&mut self, byte: u8) -> Step {
        self.len = self.len.saturating_add(1);
        self.field_len = self.field_len.saturating_add(1);
        self.last = [self.last[1], byte];
        // Only where it will be compared: a file of false headers has many bytes of header.
        if self.flags & FHCRC != 0 && !matches!(self.field, Field::Sum) {
            self.crc.update(&[byte]);
        }
        match self.field {
            Field::Fixed => match (self.field_len, byte) {
                (1, b) if b != MAGIC[0] => return Step::NoMember,
                (2, b) if b != MAGIC[1] => return Step::NoMember,
                (3, b) if b != MAGIC[2] => return Step::Bad("compression method is not deflate"),
                (4, b) if b & RESERVED != 0 => return Step::Bad("reserved header flags are set"),
                (4, b) => {
                    self.flags = b;
                    self.crc.update(&MAGIC);
                    self.crc.update(&[b]);
                }
                (10, _) => return self.next(Field::Fixed),
                _ => {}
            },
            Field::ExtraLen if self.field_len == 2 => match u16::from_le_bytes(self.last) {
                0 => return self.next(Field::Extra(0)),
                n => self.enter(Field::Extra(n)),
            },
            Field::Extra(n) if self.field_len == u32::from(n) => return self.next(self.field),
            Field::Name | Field::Comment if byte == 0 => return self.next(self.field),
            Field::Name | Field::Comment if self.field_len > MAX_NAME => {
                return Step::Bad("header name or comment without an end");
            }
            Field::Sum if self.field_len == 2 => {
                // RFC 1952: the two least significant bytes of the CRC-32.
                let [low, high, ..] = self.crc.sum().to_le_bytes();
                self.sums = (u16::from_le_bytes(self.last), u16::from_le_bytes([low, high]));
                return Step::Done;
            }
            Field::ExtraLen | Field::Extra(_) | Field::Name | Field::Comment | Field::Sum => {}
        }
        Step::More
    }

    /// Goes to the first field after `done` that the flags announce.
    fn next(&mut self, done: Field) -> Step {
        let rank = match done {
            Field::Fixed => 0,
            Field::ExtraLen | Field::Extra(_) => 1,
            Field::Name => 2,
            Field::Comment => 3,
            Field::Sum => 4,
        };
        let fields = [(FEXTRA, Field::ExtraLen), (FNAME, Field::Name), (FCOMMENT, Field::Comment), (FHCRC, Field::Sum)];
        match fields.into_iter().skip(rank).find(|(flag, _)| self.flags & flag != 0) {
            Some((_, field)) => {
                self.enter(field);
                Step::More
            }
            None => Step::Done,
        }
    }

    fn enter(&mut self, field: Field) {
        self.field = field;
        self.field_len = 0;
    }
}
