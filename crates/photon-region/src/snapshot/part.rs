//! One part of a state, and its binary form.
//! Must not decide where it goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use photon_state::codec::{DecodeError, Reader, Writer};
use photon_state::crdt::Value;
use photon_state::{
    Change, Entry, EntryPlace, Key, Log, Op, PlacementId, Position, Record, RegionId, Register,
    Seen, Shelf,
};

use super::cover::Cover;
use crate::data::Held;

/// A part of a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Whose state it is; `None` for that of the region whose log it is in.
    pub(crate) from: Option<RegionId>,
    pub(crate) step: Step,
}

/// An op of a log, read as far as that needs no region: what reads the log can do so while the
/// region takes earlier ops back.
#[derive(Clone, Debug)]
pub struct Logged {
    pub(crate) op: Arc<Op>,
    /// What a part of a state says; none if it makes no sense, or is none.
    pub(crate) part: Option<Box<Part>>,
}

impl From<Arc<Op>> for Logged {
    fn from(op: Arc<Op>) -> Self {
        let part = match &op.change {
            Change::State(body) => Part::decode(body).ok().map(Box::new),
            Change::Put(_)
            | Change::Delete
            | Change::Append { .. }
            | Change::Update(_)
            | Change::Unknown { .. } => None,
        };
        Self { op, part }
    }
}

/// What a part says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A state begins: it stands for all that was seen by then.
    Head { seen: Seen, covers: Vec<Cover> },
    /// All that is held between two positions.
    Range(Range),
    /// The state is whole.
    End { seen: Seen, horizon: BTreeMap<PlacementId, Seen> },
    /// The placements of which the region has all that it must have to agree to anything.
    Whole(Held),
    /// Something of the group that agrees. Of no state.
    Agreed(Bytes),
    /// Sums that were damaged here, as a peer that writes this log holds them. Of no state.
    Sums { incarnation: u64, items: Vec<Item> },
}

/// All that is held after one position, up to another one and with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    /// After what; `None` from the start on.
    pub(crate) after: Option<Position>,
    /// Up to what; `None` to the end.
    pub(crate) upto: Option<Position>,
    /// Of which placements; all, if there is none.
    pub(crate) placements: BTreeSet<PlacementId>,
    /// What had been seen of them.
    pub(crate) seen: Seen,
    pub(crate) items: Vec<Item>,
}

/// What is held at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Register(Record, Register),
    Log(Record, Log),
    Value(Shelf, Key, Value),
}

impl Item {
    pub(crate) fn position(&self) -> Position {
        match self {
            Self::Register(record, _) => Position::Register(record.clone()),
            Self::Log(record, _) => Position::Log(record.clone()),
            Self::Value(shelf, key, _) => Position::Value(*shelf, key.clone()),
        }
    }

    pub(crate) fn weight(&self) -> usize {
        64 + match self {
            Self::Register(_, register) => register.value.as_ref().map_or(0, Bytes::len),
            Self::Log(_, log) => log.all().map(|(_, it)| 16 + it.bytes.len()).sum(),
            Self::Value(_, _, value) => value.weight(),
        }
    }
}

impl Range {
    /// Whether a position lies within.
    pub(crate) fn holds(&self, position: &Position) -> bool {
        let is_after = self.after.as_ref().is_none_or(|it| it < position);
        is_after && self.upto.as_ref().is_none_or(|it| position <= it)
    }
}

/// Tells what a part of a peer's state is about: its placements, and what all parts together stand
/// for, if it says so. For those who check what a region sends.
#[must_use]
pub fn inspect_part(bytes: &Bytes) -> Option<(BTreeSet<PlacementId>, Seen)> {
    match Part::decode(bytes).ok()?.step {
        Step::Range(range) => {
            let held = range.items.iter().map(|it| it.position().placement());
            let seen = range.seen.iter().map(|(it, _)| it.placement);
            let all = range.placements.iter().copied().chain(held).chain(seen).collect();
            Some((all, Seen::default()))
        }
        Step::Head { seen, .. } | Step::End { seen, .. } => {
            Some((seen.iter().map(|(it, _)| it.placement).collect(), seen))
        }
        Step::Sums { .. } | Step::Whole(_) | Step::Agreed(_) => None, // They stay in the log.
    }
}

/// Whether a part is the beginning of the state of the region whose log it is in.
pub(crate) fn is_head(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    reader.option(Reader::region) == Ok(None) && reader.tag() == Ok(1)
}

/// Tells up to what everything is seen once an op of a log counts: for those who keep logs.
pub(crate) fn jump_of(bytes: &Bytes) -> Option<Seen> {
    match Part::decode(bytes).ok()? {
        Part { from: None, step: Step::Head { seen, .. } }
        | Part { from: Some(_), step: Step::End { seen, .. } } => Some(seen),
        Part {
            step:
                Step::Head { .. }
                | Step::Range(_)
                | Step::End { .. }
                | Step::Sums { .. }
                | Step::Agreed(_)
                | Step::Whole(_),
            ..
        } => None,
    }
}

impl Part {
    pub(crate) fn encode(&self) -> Bytes {
        let mut writer = Writer::default();
        writer.option(self.from, |writer, it| writer.text(it.as_str()));
        match &self.step {
            Step::Head { seen, covers } => {
                writer.tag(1);
                writer.seen(seen);
                writer.uint(covers.len() as u64);
                for Cover { after, upto, placements, seen } in covers {
                    write_bounds(&mut writer, after.as_ref(), upto.as_ref(), placements);
                    writer.seen(seen);
                }
            }
            Step::Range(Range { after, upto, placements, seen, items }) => {
                writer.tag(8);
                write_bounds(&mut writer, after.as_ref(), upto.as_ref(), placements);
                writer.seen(seen);
                writer.uint(items.len() as u64);
                items.iter().for_each(|it| write_item(&mut writer, it));
            }
            Step::End { seen, horizon } => {
                writer.tag(3);
                writer.seen(seen);
                writer.uint(horizon.len() as u64);
                for (placement, seen) in horizon {
                    writer.text(placement.as_str());
                    writer.seen(seen);
                }
            }
            Step::Agreed(bytes) => {
                writer.tag(7);
                writer.bytes(bytes);
            }
            Step::Whole(Held { whole, complete }) => {
                writer.tag(5);
                for placements in [whole, complete] {
                    writer.uint(placements.len() as u64);
                    placements.iter().for_each(|it| writer.text(it.as_str()));
                }
            }
            Step::Sums { incarnation, items } => {
                writer.tag(4);
                writer.uint(*incarnation);
                writer.uint(items.len() as u64);
                items.iter().for_each(|it| write_item(&mut writer, it));
            }
        }
        writer.into_bytes()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::sharing(bytes);
        let from = reader.option(Reader::region)?;
        let step = match reader.tag()? {
            1 => {
                let seen = reader.seen()?;
                let mut covers = Vec::new();
                for _ in 0..reader.count()? {
                    let (after, upto, placements) = read_bounds(&mut reader)?;
                    covers.push(Cover { after, upto, placements, seen: reader.seen()? });
                }
                Step::Head { seen, covers }
            }
            // Ranges of before logs could have several writers, and before entries said on what
            // they were written.
            tag @ (2 | 6 | 8) => {
                let (after, upto, placements) = read_bounds(&mut reader)?;
                let seen = reader.seen()?;
                let mut items = Vec::new();
                let read_log = match tag {
                    2 => read_log_of_one,
                    6 => read_old_log,
                    _ => read_log,
                };
                for _ in 0..reader.count()? {
                    items.push(read_item(&mut reader, read_log)?);
                }
                Step::Range(Range { after, upto, placements, seen, items })
            }
            3 => {
                let seen = reader.seen()?;
                let mut horizon = BTreeMap::new();
                for _ in 0..reader.count()? {
                    horizon.insert(reader.placement()?, reader.seen()?);
                }
                Step::End { seen, horizon }
            }
            4 => {
                let incarnation = reader.uint()?;
                let mut items = Vec::new();
                for _ in 0..reader.count()? {
                    items.push(read_item(&mut reader, read_log)?);
                }
                Step::Sums { incarnation, items }
            }
            5 => {
                let mut placements = || {
                    let all = (0..reader.count()?).map(|_| reader.placement());
                    all.collect::<Result<_, _>>()
                };
                Step::Whole(Held { whole: placements()?, complete: placements()? })
            }
            7 => Step::Agreed(reader.owned()?),
            _ => return Err(reader.malformed("part of a state")),
        };
        reader.end()?;
        Ok(Self { from, step })
    }
}

fn write_bounds(
    writer: &mut Writer,
    after: Option<&Position>,
    upto: Option<&Position>,
    placements: &BTreeSet<PlacementId>,
) {
    writer.option(after, Writer::position);
    writer.option(upto, Writer::position);
    writer.uint(placements.len() as u64);
    placements.iter().for_each(|it| writer.text(it.as_str()));
}

type Bounds = (Option<Position>, Option<Position>, BTreeSet<PlacementId>);

fn read_bounds(reader: &mut Reader<'_>) -> Result<Bounds, DecodeError> {
    let after = reader.option(Reader::position)?;
    let upto = reader.option(Reader::position)?;
    let placements = (0..reader.count()?).map(|_| reader.placement()).collect::<Result<_, _>>()?;
    Ok((after, upto, placements))
}

fn write_item(writer: &mut Writer, item: &Item) {
    writer.position(&item.position());
    match item {
        Item::Register(_, register) => {
            writer.hlc(register.at);
            writer.text(register.origin.as_str());
            writer.option(register.value.as_ref(), |writer, it| writer.bytes(it));
        }
        Item::Log(_, log) => {
            writer.uint(log.runs().len() as u64);
            for run in log.runs() {
                writer.uint(run.epoch.into());
                writer.stream(&run.stream);
            }
            writer.uint(log.all().count() as u64);
            for (place, entry) in log.all() {
                writer.entry_place(place);
                writer.hlc(entry.at);
                writer.bytes(&entry.bytes);
            }
        }
        Item::Value(_, _, value) => writer.value(value),
    }
}

type ReadLog = fn(&mut Reader<'_>) -> Result<Log, DecodeError>;

/// Reads a log as it was written when each had one writer.
fn read_log_of_one(reader: &mut Reader<'_>) -> Result<Log, DecodeError> {
    let (stream, mut log) = (reader.stream()?, Log::default());
    for index in (1..).take(reader.count()?) {
        let entry = Entry { at: reader.hlc()?, bytes: reader.owned()? };
        log.insert(stream, EntryPlace { epoch: 1, index, prev: 1 }, entry);
    }
    Ok(log)
}

fn read_old_log(reader: &mut Reader<'_>) -> Result<Log, DecodeError> {
    read_log_with(reader, |it| it.old_entry_place())
}

fn read_log(reader: &mut Reader<'_>) -> Result<Log, DecodeError> {
    read_log_with(reader, |it| it.entry_place())
}

fn read_log_with(
    reader: &mut Reader<'_>,
    read_place: fn(&mut Reader<'_>) -> Result<EntryPlace, DecodeError>,
) -> Result<Log, DecodeError> {
    let (mut writers, mut log) = (BTreeMap::new(), Log::default());
    for _ in 0..reader.count()? {
        writers.insert(reader.uint32()?, reader.stream()?);
    }
    for _ in 0..reader.count()? {
        let place = read_place(reader)?;
        let Some(stream) = writers.get(&place.epoch) else {
            return Err(reader.malformed("epoch"));
        };
        log.insert(*stream, place, Entry { at: reader.hlc()?, bytes: reader.owned()? });
    }
    Ok(log)
}

fn read_item(reader: &mut Reader<'_>, read_log: ReadLog) -> Result<Item, DecodeError> {
    Ok(match reader.position()? {
        Position::Register(record) => {
            let (at, origin) = (reader.hlc()?, reader.region()?);
            let value = reader.option(Reader::owned)?;
            Item::Register(record, Register { at, origin, value })
        }
        Position::Log(record) => Item::Log(record, read_log(reader)?),
        Position::Value(shelf, key) => {
            let value = reader.value()?;
            if value.shape() != shelf.2 {
                return Err(reader.malformed("shape of a value"));
            }
            Item::Value(shelf, key, value)
        }
    })
}
