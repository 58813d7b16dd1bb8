//! The binary form of values that many regions may change, and of their changes.
//! Must not know what a field means.
//!
//! Sources are told once, in a table at the front, and then by their place in it.

use std::collections::{BTreeMap, BTreeSet};

use super::{DecodeError, Reader, Writer};
use crate::crdt::{
    Counter, Delta, Escrow, EscrowDelta, FieldChange, Fields, Row, Shape, Value, Version, Written,
};
use crate::{Dataset, Dot, Key, Position, Record, Shelf, Source, Update};

/// The sources that a value names, in the order of their first appearance.
#[derive(Default)]
struct Sources(Vec<Source>);

impl Sources {
    fn of(named: impl Iterator<Item = Source>) -> Self {
        let mut all = Self::default();
        for source in named {
            if !all.0.contains(&source) {
                all.0.push(source);
            }
        }
        all
    }

    fn place(&self, source: Source) -> u64 {
        let found = self.0.iter().position(|it| *it == source);
        found.expect("the table holds every source of the value") as u64
    }

    fn at(&self, place: u64) -> Option<Source> {
        self.0.get(usize::try_from(place).ok()?).copied()
    }
}

impl Writer {
    fn source(&mut self, source: Source) {
        self.text(source.origin.as_str());
        self.uint(source.incarnation);
    }

    /// Writes the table but for its first `known` entries, which the reader has already.
    fn sources(&mut self, sources: &Sources, known: usize) {
        self.uint((sources.0.len() - known) as u64);
        sources.0[known..].iter().for_each(|source| self.source(*source));
    }

    fn dot(&mut self, sources: &Sources, dot: Dot) {
        self.uint(sources.place(dot.source));
        self.uint(dot.seq);
    }

    /// Writes an integer of either sign; small ones are short.
    pub fn signed(&mut self, value: i64) {
        self.uint((value << 1 ^ value >> 63) as u64); // Zigzag.
    }

    fn wide(&mut self, value: u128) {
        self.fixed(&value.to_le_bytes());
    }

    fn written_field(&mut self, written: &Written) {
        self.bytes(&written.bytes);
        self.option(written.expires_ms, Self::uint);
    }

    /// Writes a change of a value by an op of `author`.
    pub(super) fn update(&mut self, author: Source, update: &Update) {
        self.seen(&update.needs);
        match &update.delta {
            Delta::Fields(changes) => self.changes(author, changes),
            Delta::Add(by) => {
                self.tag(2);
                self.signed(*by);
            }
            Delta::Escrow(EscrowDelta::Grant(by)) => {
                self.tag(3);
                self.uint(*by);
            }
            Delta::Escrow(EscrowDelta::Spend(by)) => {
                self.tag(4);
                self.uint(*by);
            }
            Delta::Escrow(EscrowDelta::Give { to, rights }) => {
                self.tag(5);
                self.source(*to);
                self.uint(*rights);
            }
        }
    }

    fn changes(&mut self, author: Source, changes: &[FieldChange]) {
        self.tag(1);
        let named = changes.iter().flat_map(|it| it.replaces.iter().map(|it| it.source));
        let sources = Sources::of(std::iter::once(author).chain(named));
        self.sources(&sources, 1);
        self.uint(changes.len() as u64);
        for FieldChange { field, replaces, written } in changes {
            self.bytes(field);
            self.uint(replaces.len() as u64);
            replaces.iter().for_each(|it| self.dot(&sources, *it));
            self.option(written.as_ref(), Self::written_field);
        }
    }

    /// Writes a dot by itself.
    pub fn whole_dot(&mut self, dot: Dot) {
        self.source(dot.source);
        self.uint(dot.seq);
    }

    /// Writes a version by itself.
    pub fn version(&mut self, version: &Version) {
        self.whole_dot(version.dot);
        self.hlc(version.at);
        self.written_field(&version.written);
    }

    /// Writes the state of a value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Fields(fields) => self.fields(fields),
            Value::Counter(counter) => {
                self.tag(2);
                self.uint(counter.parts().len() as u64);
                for (dot, sum) in counter.parts() {
                    self.source(dot.source);
                    self.uint(dot.seq);
                    self.fixed(&sum.to_le_bytes());
                }
            }
            Value::Escrow(escrow) => {
                self.tag(3);
                self.uint(escrow.rows().len() as u64);
                for (source, row) in escrow.rows() {
                    self.source(*source);
                    self.uint(row.seq);
                    self.wide(row.granted);
                    self.wide(row.spent);
                    self.uint(row.given.len() as u64);
                    for (to, rights) in &row.given {
                        self.source(*to);
                        self.wide(*rights);
                    }
                }
            }
        }
    }

    fn fields(&mut self, fields: &Fields) {
        self.tag(1);
        let held = fields.versions().map(|(_, it)| it.dot.source);
        let sources = Sources::of(held.chain(fields.gone().map(|(it, _)| it.source)));
        self.sources(&sources, 0);
        self.uint(fields.versions().len() as u64);
        for (field, version) in fields.versions() {
            self.bytes(field);
            self.dot(&sources, version.dot);
            self.hlc(version.at);
            self.written_field(&version.written);
        }
        self.uint(fields.gone().count() as u64);
        for (dot, field) in fields.gone() {
            self.dot(&sources, *dot);
            self.bytes(field);
        }
    }
}

impl Reader<'_> {
    fn source(&mut self) -> Result<Source, DecodeError> {
        Ok(Source { origin: self.region()?, incarnation: self.uint()? })
    }

    fn sources(&mut self, known: Option<Source>) -> Result<Sources, DecodeError> {
        let mut sources = Sources(known.into_iter().collect());
        for _ in 0..self.count()? {
            let source = self.source()?;
            if sources.0.contains(&source) {
                return Err(self.malformed("table of sources"));
            }
            sources.0.push(source);
        }
        Ok(sources)
    }

    fn dot(&mut self, sources: &Sources) -> Result<Dot, DecodeError> {
        let source = sources.at(self.uint()?).ok_or(self.malformed("source"))?;
        Ok(Dot { source, seq: self.uint()? })
    }

    /// Reads an integer of either sign.
    pub fn signed(&mut self) -> Result<i64, DecodeError> {
        let bits = self.uint()?;
        Ok((bits >> 1) as i64 ^ -((bits & 1) as i64))
    }

    fn wide(&mut self) -> Result<u128, DecodeError> {
        self.fixed().map(u128::from_le_bytes)
    }

    fn written_field(&mut self) -> Result<Written, DecodeError> {
        Ok(Written { bytes: self.owned()?, expires_ms: self.option(Self::uint)? })
    }

    /// Reads a change of a value by an op of `author`, and nothing after it.
    pub(super) fn whole_update(mut self, author: Source) -> Result<Update, DecodeError> {
        let needs = self.seen()?;
        let delta = match self.tag()? {
            1 => Delta::Fields(self.changes(author)?),
            2 => Delta::Add(self.signed()?),
            3 => Delta::Escrow(EscrowDelta::Grant(self.uint()?)),
            4 => Delta::Escrow(EscrowDelta::Spend(self.uint()?)),
            5 => Delta::Escrow(EscrowDelta::Give { to: self.source()?, rights: self.uint()? }),
            _ => return Err(self.malformed("delta")),
        };
        self.end()?;
        Ok(Update { delta, needs })
    }

    fn changes(&mut self, author: Source) -> Result<Vec<FieldChange>, DecodeError> {
        let sources = self.sources(Some(author))?;
        let mut changes = Vec::new();
        for _ in 0..self.count()? {
            let field = self.owned()?;
            let replaces =
                (0..self.count()?).map(|_| self.dot(&sources)).collect::<Result<_, _>>()?;
            let written = self.option(Self::written_field)?;
            changes.push(FieldChange { field, replaces, written });
        }
        Ok(changes)
    }

    /// Reads a dot by itself.
    pub fn whole_dot(&mut self) -> Result<Dot, DecodeError> {
        Ok(Dot { source: self.source()?, seq: self.uint()? })
    }

    /// Reads a version by itself.
    pub fn version(&mut self) -> Result<Version, DecodeError> {
        let (dot, at) = (self.whole_dot()?, self.hlc()?);
        Ok(Version { dot, at, written: self.written_field()? })
    }

    /// Reads the state of a value.
    pub fn value(&mut self) -> Result<Value, DecodeError> {
        Ok(match self.tag()? {
            1 => Value::Fields(self.fields()?),
            2 => {
                let parts =
                    (0..self.count()?).map(|_| self.part()).collect::<Result<Vec<_>, _>>()?;
                Value::Counter(Counter::from_parts(parts))
            }
            3 => {
                let rows = (0..self.count()?).map(|_| self.row()).collect::<Result<Vec<_>, _>>()?;
                Value::Escrow(Escrow::from_rows(rows))
            }
            _ => return Err(self.malformed("value")),
        })
    }

    fn fields(&mut self) -> Result<Fields, DecodeError> {
        let sources = self.sources(None)?;
        let mut versions = Vec::new();
        for _ in 0..self.count()? {
            let (field, dot, at) = (self.owned()?, self.dot(&sources)?, self.hlc()?);
            versions.push((field, Version { dot, at, written: self.written_field()? }));
        }
        let gone = (0..self.count()?)
            .map(|_| Ok((self.dot(&sources)?, self.owned()?)))
            .collect::<Result<BTreeSet<_>, DecodeError>>()?;
        Fields::from_parts(versions, gone).ok_or(self.malformed("order of fields"))
    }

    fn part(&mut self) -> Result<(Dot, i128), DecodeError> {
        let (source, seq) = (self.source()?, self.uint()?);
        Ok((Dot { source, seq }, i128::from_le_bytes(self.fixed()?)))
    }

    fn row(&mut self) -> Result<(Source, Row), DecodeError> {
        let source = self.source()?;
        let (seq, granted, spent) = (self.uint()?, self.wide()?, self.wide()?);
        let given = (0..self.count()?)
            .map(|_| Ok((self.source()?, self.wide()?)))
            .collect::<Result<BTreeMap<_, _>, DecodeError>>()?;
        Ok((source, Row { seq, granted, spent, given }))
    }
}

/// The tags of the shapes, by their place.
const SHAPES: [Shape; 3] = [Shape::Fields, Shape::Counter, Shape::Escrow];

impl Writer {
    /// Writes a position in a store.
    pub fn position(&mut self, position: &Position) {
        match position {
            Position::Register(record) => {
                self.tag(1);
                self.record(record);
            }
            Position::Log(record) => {
                self.tag(2);
                self.record(record);
            }
            Position::Value(shelf, key) => {
                self.tag(3);
                self.shelf(shelf);
                self.bytes(key.as_bytes());
            }
        }
    }

    /// Writes which values lie together.
    pub fn shelf(&mut self, (placement, dataset, shape): &Shelf) {
        self.text(placement.as_str());
        self.tag(dataset.0);
        let place = SHAPES.iter().position(|it| it == shape);
        self.tag(u8::try_from(place.expect("every shape is in the table")).expect("few"));
    }

    fn record(&mut self, record: &Record) {
        self.text(record.placement.as_str());
        self.tag(record.dataset.0);
        self.bytes(record.key.as_bytes());
    }
}

impl Reader<'_> {
    /// Reads a position in a store.
    pub fn position(&mut self) -> Result<Position, DecodeError> {
        Ok(match self.tag()? {
            1 => Position::Register(self.record()?),
            2 => Position::Log(self.record()?),
            3 => Position::Value(self.shelf()?, self.key()?),
            _ => return Err(self.malformed("position")),
        })
    }

    /// Reads which values lie together.
    pub fn shelf(&mut self) -> Result<Shelf, DecodeError> {
        let (placement, dataset) = (self.placement()?, Dataset(self.tag()?));
        let shape = SHAPES.get(usize::from(self.tag()?)).copied();
        Ok((placement, dataset, shape.ok_or(self.malformed("shape"))?))
    }

    fn record(&mut self) -> Result<Record, DecodeError> {
        let (placement, dataset) = (self.placement()?, Dataset(self.tag()?));
        Ok(Record { placement, dataset, key: self.key()? })
    }

    /// Reads a key.
    pub fn key(&mut self) -> Result<Key, DecodeError> {
        let key = self.bytes()?;
        if Key::BYTES_MAX < key.len() {
            return Err(self.malformed("key"));
        }
        Ok(Key::new(key))
    }
}
