//! The binary form of ops, for logs and region links, version [`VERSION`].
//! Must not know what a value means. Integers are LEB128, bytes carry their length.
//!
//! Every reader is total: any bytes give a value or a [`DecodeError`], never a panic, and never
//! an allocation larger than the input.

use bytes::Bytes;

mod value;

use crate::{Change, Dataset, EntryPlace, Hlc, Key, Op, PlacementId, RegionId, Seen, StreamId};

/// The version of this form. A log or a peer of another version is refused, not guessed at.
pub const VERSION: u16 = 1;

/// The longest body of an update of which pieces are copied: of a longer one they are shared.
const SHARED_BYTES_MIN: usize = 512;

/// Bytes that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what} at byte {at}")]
pub struct DecodeError {
    /// What was expected.
    pub what: &'static str,
    /// Where, counted from the start of the input.
    pub at: usize,
}

/// Writes values one after the other.
#[derive(Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// Makes room for this many bytes at once: what is kept for long holds no more than it needs.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Forgets what was written, and keeps the room.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns what was written so far.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        &self.0
    }

    /// Returns what was written.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0.into()
    }

    /// Writes one byte, such as the tag of an enum.
    pub fn tag(&mut self, tag: u8) {
        self.0.push(tag);
    }

    /// Writes an integer: 1 byte below 128, at most 10.
    pub fn uint(&mut self, mut value: u64) {
        while 0x80 <= value {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Writes bytes with their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.uint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Writes bytes of a length that the reader knows.
    pub fn fixed<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.0.extend_from_slice(bytes);
    }

    /// Writes text with its length.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Writes an optional value: a tag, then the value if there is one.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.tag(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// Writes a reading of a clock.
    pub fn hlc(&mut self, at: Hlc) {
        self.uint(at.wall_ms);
        self.uint(at.count.into());
    }

    /// Writes the name of a stream.
    pub fn stream(&mut self, stream: &StreamId) {
        self.text(stream.origin.as_str());
        self.text(stream.placement.as_str());
        self.uint(stream.incarnation);
    }

    /// Writes a version vector.
    pub fn seen(&mut self, seen: &Seen) {
        self.uint(seen.iter().count() as u64);
        for (stream, seq) in seen.iter() {
            self.stream(stream);
            self.uint(seq);
        }
    }

    /// Writes where an entry stands in its log.
    pub fn entry_place(&mut self, place: EntryPlace) {
        self.uint(place.epoch.into());
        self.uint(place.index);
        self.uint(place.prev.into());
    }

    /// Writes an op.
    pub fn op(&mut self, op: &Op) {
        self.stream(&op.stream);
        self.uint(op.seq);
        self.hlc(op.at);
        self.tag(op.dataset.0);
        self.bytes(op.key.as_bytes());
        match &op.change {
            Change::Put(value) => {
                self.tag(1);
                self.bytes(value);
            }
            Change::Delete => self.tag(2),
            Change::Append { place: EntryPlace { epoch: 1, index, prev: 1 }, entry } => {
                self.tag(3);
                self.uint(*index);
                self.bytes(entry);
            }
            Change::Append { place, entry } => {
                self.tag(7);
                let mut body = Self::default();
                body.entry_place(*place);
                body.bytes(entry);
                self.bytes(body.written());
            }
            Change::Update(update) => {
                self.tag(4);
                let mut body = Self::default();
                body.update(op.stream.source(), update);
                self.bytes(body.written());
            }
            Change::State(body) => {
                self.tag(5);
                self.bytes(body);
            }
            Change::Unknown { tag, body } => {
                self.tag(*tag);
                self.bytes(body);
            }
        }
    }
}

/// Reads values in the order in which they were written.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    shared: Option<&'a Bytes>,
}

impl<'a> Reader<'a> {
    /// Begins at the start of `input`.
    #[must_use]
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, at: 0, shared: None }
    }

    /// Begins at the start of `input`; what is read by [`owned`](Self::owned) shares its memory,
    /// and so keeps all of it alive.
    #[must_use]
    pub fn sharing(input: &'a Bytes) -> Self {
        Self { input, at: 0, shared: Some(input) }
    }

    /// Returns the error that says `what` was expected here.
    #[must_use]
    pub fn malformed(&self, what: &'static str) -> DecodeError {
        DecodeError { what, at: self.at }
    }

    /// Checks that nothing is left.
    pub fn end(self) -> Result<(), DecodeError> {
        if self.at < self.input.len() { Err(self.malformed("end")) } else { Ok(()) }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.input.len() <= self.at
    }

    fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        let rest = &self.input[self.at..];
        let taken = rest.get(..len).ok_or(self.malformed(what))?;
        self.at += len;
        Ok(taken)
    }

    /// Reads one byte.
    pub fn tag(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1, "tag")?[0])
    }

    /// Reads an integer; a form longer than needed is refused, so that each value has one form.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.tag()?;
            let bits = u64::from(byte & 0x7f);
            let is_last = byte < 0x80;
            let overflows = (bits << shift) >> shift != bits;
            let is_padded = is_last && bits == 0 && 0 < shift;
            if overflows || is_padded {
                return Err(self.malformed("integer"));
            }
            value |= bits << shift;
            if is_last {
                return Ok(value);
            }
        }
        Err(self.malformed("integer"))
    }

    /// Reads an integer that fits 32 bits.
    pub fn uint32(&mut self) -> Result<u32, DecodeError> {
        self.uint()?.try_into().map_err(|_| self.malformed("integer of 32 bits"))
    }

    /// Reads how many items follow, each of which takes a byte or more.
    pub fn count(&mut self) -> Result<usize, DecodeError> {
        let count = usize::try_from(self.uint()?).map_err(|_| self.malformed("count"))?;
        if self.input.len() - self.at < count {
            return Err(self.malformed("count"));
        }
        Ok(count)
    }

    /// Reads bytes with their length.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.count()?;
        self.take(len, "bytes")
    }

    /// Reads bytes of a known length.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.take(N, "bytes")?.try_into().expect("take gives N bytes"))
    }

    /// Reads bytes with their length: a copy of them, or a share of the input if it is shared.
    pub fn owned(&mut self) -> Result<Bytes, DecodeError> {
        let bytes = self.bytes()?;
        Ok(self.shared.map_or_else(|| Bytes::copy_from_slice(bytes), |all| all.slice_ref(bytes)))
    }

    /// Reads text.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let at = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| DecodeError { what: "text", at })
    }

    /// Reads an optional value.
    pub fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.tag()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(self.malformed("option")),
        }
    }

    /// Reads a region's name.
    pub fn region(&mut self) -> Result<RegionId, DecodeError> {
        RegionId::try_from(self.text()?).map_err(|_| self.malformed("region"))
    }

    /// Reads a placement's name.
    pub fn placement(&mut self) -> Result<PlacementId, DecodeError> {
        PlacementId::try_from(self.text()?).map_err(|_| self.malformed("placement"))
    }

    /// Reads a reading of a clock.
    pub fn hlc(&mut self) -> Result<Hlc, DecodeError> {
        Ok(Hlc { wall_ms: self.uint()?, count: self.uint32()? })
    }

    /// Reads the name of a stream.
    pub fn stream(&mut self) -> Result<StreamId, DecodeError> {
        let (origin, placement) = (self.region()?, self.placement()?);
        Ok(StreamId { origin, placement, incarnation: self.uint()? })
    }

    /// Reads a version vector.
    pub fn seen(&mut self) -> Result<Seen, DecodeError> {
        (0..self.count()?).map(|_| Ok((self.stream()?, self.uint()?))).collect()
    }

    /// Reads where an entry stands in its log.
    pub fn entry_place(&mut self) -> Result<EntryPlace, DecodeError> {
        Ok(EntryPlace { epoch: self.uint32()?, index: self.uint()?, prev: self.uint32()? })
    }

    /// Reads where an entry stands, as it was written before entries said what they were on.
    pub fn old_entry_place(&mut self) -> Result<EntryPlace, DecodeError> {
        Ok(EntryPlace { epoch: self.uint32()?, index: self.uint()?, prev: 0 })
    }

    /// Reads an op.
    pub fn op(&mut self) -> Result<Op, DecodeError> {
        let stream = self.stream()?;
        let (seq, at, dataset) = (self.uint()?, self.hlc()?, Dataset(self.tag()?));
        let key = self.bytes()?;
        if Key::BYTES_MAX < key.len() {
            return Err(self.malformed("key"));
        }
        let change = match self.tag()? {
            1 => Change::Put(self.owned()?),
            2 => Change::Delete,
            // Most tasks never change their home.
            3 => {
                let place = EntryPlace { epoch: 1, index: self.uint()?, prev: 1 };
                Change::Append { place, entry: self.owned()? }
            }
            // From here on every kind has a body with its length, so that the kinds of later
            // versions can be kept and passed on.
            4 => {
                let (at, body) = (self.at, self.bytes()?);
                let source = stream.source();
                let update = if body.len() <= SHARED_BYTES_MIN {
                    Reader::new(body).whole_update(source)
                } else {
                    Reader::sharing(&Bytes::copy_from_slice(body)).whole_update(source)
                };
                Change::Update(Box::new(update.map_err(|it| DecodeError { at: at + it.at, ..it })?))
            }
            5 => Change::State(self.owned()?),
            tag @ (6 | 7) => {
                let body = self.owned()?;
                let mut reader = Reader::sharing(&body);
                let place =
                    if tag == 6 { reader.old_entry_place()? } else { reader.entry_place()? };
                let entry = reader.owned()?;
                reader.end()?;
                Change::Append { place, entry }
            }
            0 => return Err(self.malformed("change")),
            tag => Change::Unknown { tag, body: self.owned()? },
        };
        Ok(Op { stream, seq, at, dataset, key: Key::new(key), change })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(change: Change) -> Op {
        let stream = StreamId {
            origin: RegionId::try_from("eu-west-1").unwrap(),
            placement: PlacementId::global(),
            incarnation: u64::MAX,
        };
        let at = Hlc { wall_ms: 1_800_000_000_000, count: 3 };
        Op { stream, seq: 300, at, dataset: Dataset(2), key: Key::new(b"key"), change }
    }

    fn encode(op: &Op) -> Bytes {
        let mut writer = Writer::default();
        writer.op(op);
        writer.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Result<Op, DecodeError> {
        let mut reader = Reader::new(bytes);
        let op = reader.op()?;
        reader.end().map(|()| op)
    }

    #[test]
    fn an_op_comes_back_and_every_truncation_is_refused() {
        let entry = Bytes::from_static(b"entry");
        let place = |epoch| EntryPlace { epoch, index: 200, prev: epoch / 2 + 1 };
        let changes = [
            Change::Put(entry.clone()),
            Change::Delete,
            Change::Append { place: place(1), entry: entry.clone() },
            Change::Append { place: place(7), entry: entry.clone() },
            Change::State(entry.clone()),
            Change::Unknown { tag: 77, body: entry },
        ];
        for op in changes.map(sample) {
            let bytes = encode(&op);
            assert_eq!(decode(&bytes), Ok(op));
            for len in 0..bytes.len() {
                assert!(decode(&bytes[..len]).is_err(), "cut to {len} bytes");
            }
            assert!(decode(&[&bytes[..], b"x"].concat()).is_err());
        }
    }

    #[test]
    fn an_integer_has_one_form() {
        let read = |bytes: &[u8]| Reader::new(bytes).uint();
        assert_eq!(read(&[0]), Ok(0));
        assert!(read(&[0x80, 0]).is_err());
        assert!(read(&[0xff; 11]).is_err());
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        assert_eq!(read(&max), Ok(u64::MAX));
    }

    proptest! {
        #[test]
        fn any_integer_comes_back(value: u64) {
            let mut writer = Writer::default();
            writer.uint(value);
            prop_assert_eq!(Reader::new(&writer.into_bytes()).uint(), Ok(value));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            if let Ok(op) = decode(&bytes) {
                prop_assert_eq!(&encode(&op)[..], &bytes[..]);
            }
            let _ = Reader::new(&bytes).seen(); // Either is fine; it must return.
        }
    }
}
