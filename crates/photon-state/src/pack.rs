//! The form in which small values lie in memory: a few bytes each, in place of a tree of pieces.
//! Must not leave the process: a source is told by its place in a table of this store.

use std::collections::BTreeMap;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::codec::{DecodeError, Reader, Writer};
use crate::crdt::{Counter, Escrow, Fields, Row, Value, Version, Written};
use crate::{Dot, Source};

/// What heads a packed value that is kept in one piece, elsewhere.
const WHOLE: u8 = 0;
/// A register with one write: the field has no name, and its content does not expire.
const REGISTER: u8 = 1;
const FIELDS: u8 = 2;
const COUNTER: u8 = 3;
const ESCROW: u8 = 4;

/// The longest packed value; larger ones are kept whole, as packing them takes its time.
pub(crate) const PACKED_BYTES_MAX: usize = 2 << 10;

/// The sources that packed values name. There is one for each life of each region's log, so that
/// none is ever forgotten.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    all: Vec<Source>,
    places: FxHashMap<Source, u64>,
}

impl Sources {
    fn place(&mut self, source: Source) -> u64 {
        let next = self.all.len() as u64;
        *self.places.entry(source).or_insert_with(|| {
            self.all.push(source);
            next
        })
    }

    fn at(&self, place: u64) -> Option<Source> {
        self.all.get(usize::try_from(place).ok()?).copied()
    }
}

/// Writes a packed value in place of what `to` held; says whether it is small enough. If not, what
/// is written says that it is kept whole.
pub(crate) fn pack(value: &Value, sources: &mut Sources, to: &mut Writer) -> bool {
    let is_small = value.weight() <= PACKED_BYTES_MAX
        && pack_any(value, sources, to)
        && to.written().len() <= PACKED_BYTES_MAX;
    if !is_small {
        to.clear();
        to.tag(WHOLE);
    }
    is_small
}

/// Writes a packed value of any size in place of what `to` held; says whether it can be packed.
pub(crate) fn pack_any(value: &Value, sources: &mut Sources, to: &mut Writer) -> bool {
    to.clear();
    let mut packer = Packer { sources, to };
    match value {
        Value::Fields(fields) => packer.fields(fields),
        Value::Counter(counter) => packer.counter(counter),
        Value::Escrow(escrow) => packer.escrow(escrow),
    }
}

/// Returns the value that was packed; none if it is kept whole.
pub(crate) fn unpack(bytes: &[u8], sources: &Sources) -> Option<Value> {
    let unpacked = Unpacker { sources, from: Reader::new(bytes) }.value();
    unpacked.expect("this store has packed it")
}

/// Whether what is packed says that the value is kept whole.
pub(crate) fn is_whole(packed: &[u8]) -> bool {
    packed == [WHOLE]
}

struct Packer<'a> {
    sources: &'a mut Sources,
    to: &'a mut Writer,
}

impl Packer<'_> {
    fn dot(&mut self, dot: Dot) {
        let place = self.sources.place(dot.source);
        self.to.uint(place);
        self.to.uint(dot.seq);
    }

    fn wide(&mut self, value: u128) {
        self.to.fixed(&value.to_le_bytes());
    }

    fn fields(&mut self, fields: &Fields) -> bool {
        if fields.gone().next().is_some() {
            return false; // Seldom and soon over.
        }
        let mut versions = fields.versions();
        if versions.len() == 1
            && let Some((field, Version { dot, at, written })) = versions.next()
            && field.is_empty()
            && written.expires_ms.is_none()
        {
            self.to.tag(REGISTER);
            self.dot(*dot);
            self.to.hlc(*at);
            self.to.bytes(&written.bytes);
            return true;
        }
        self.to.tag(FIELDS);
        self.to.uint(fields.versions().len() as u64);
        for (field, Version { dot, at, written }) in fields.versions() {
            self.to.bytes(field);
            self.dot(*dot);
            self.to.hlc(*at);
            self.to.option(written.expires_ms, Writer::uint);
            self.to.bytes(&written.bytes);
        }
        true
    }

    fn counter(&mut self, counter: &Counter) -> bool {
        self.to.tag(COUNTER);
        self.to.uint(counter.parts().len() as u64);
        for (dot, sum) in counter.parts() {
            self.dot(dot);
            self.wide(sum as u128);
        }
        true
    }

    fn escrow(&mut self, escrow: &Escrow) -> bool {
        self.to.tag(ESCROW);
        self.to.uint(escrow.rows().len() as u64);
        for (source, row) in escrow.rows() {
            self.dot(Dot { source: *source, seq: row.seq });
            self.wide(row.granted);
            self.wide(row.spent);
            self.to.uint(row.given.len() as u64);
            for (to, rights) in &row.given {
                let place = self.sources.place(*to);
                self.to.uint(place);
                self.wide(*rights);
            }
        }
        true
    }
}

struct Unpacker<'a> {
    sources: &'a Sources,
    from: Reader<'a>,
}

impl Unpacker<'_> {
    fn value(mut self) -> Result<Option<Value>, DecodeError> {
        let value = match self.from.tag()? {
            WHOLE => return Ok(None),
            REGISTER => {
                let (dot, at) = (self.dot()?, self.from.hlc()?);
                let written = Written { bytes: self.from.owned()?, expires_ms: None };
                self.fields(vec![(Bytes::new(), Version { dot, at, written })])?
            }
            FIELDS => {
                let count = self.from.count()?;
                let mut versions = Vec::with_capacity(count);
                for _ in 0..count {
                    let (field, dot) = (self.from.owned()?, self.dot()?);
                    let at = self.from.hlc()?;
                    let expires_ms = self.from.option(Reader::uint)?;
                    let written = Written { bytes: self.from.owned()?, expires_ms };
                    versions.push((field, Version { dot, at, written }));
                }
                self.fields(versions)?
            }
            COUNTER => {
                let count = self.from.count()?;
                let parts = (0..count).map(|_| Ok((self.dot()?, self.wide()? as i128)));
                Value::Counter(Counter::from_parts(parts.collect::<Result<Vec<_>, _>>()?))
            }
            ESCROW => {
                let count = self.from.count()?;
                let rows = (0..count).map(|_| self.row()).collect::<Result<Vec<_>, _>>()?;
                Value::Escrow(Escrow::from_rows(rows))
            }
            _ => return Err(self.from.malformed("packed value")),
        };
        self.from.end().map(|()| Some(value))
    }

    fn fields(&self, versions: Vec<(Bytes, Version)>) -> Result<Value, DecodeError> {
        let fields = Fields::from_parts(versions, std::collections::BTreeSet::new());
        fields.map(Value::Fields).ok_or(self.from.malformed("order of fields"))
    }

    fn source(&mut self) -> Result<Source, DecodeError> {
        self.sources.at(self.from.uint()?).ok_or(self.from.malformed("source"))
    }

    fn dot(&mut self) -> Result<Dot, DecodeError> {
        Ok(Dot { source: self.source()?, seq: self.from.uint()? })
    }

    fn wide(&mut self) -> Result<u128, DecodeError> {
        self.from.fixed().map(u128::from_le_bytes)
    }

    fn row(&mut self) -> Result<(Source, Row), DecodeError> {
        let Dot { source, seq } = self.dot()?;
        let (granted, spent) = (self.wide()?, self.wide()?);
        let mut given = BTreeMap::new();
        for _ in 0..self.from.count()? {
            given.insert(self.source()?, self.wide()?);
        }
        Ok((source, Row { seq, granted, spent, given }))
    }
}
