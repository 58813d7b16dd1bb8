//! The store: every record of one region, and how far it has seen each stream.
//! Must not know where ops come from or who reads the records.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;

use crate::crdt::{Arrival, Met, Shape, Value};
use crate::log::{Entry, Log, Placed};
use crate::pack::PACKED_BYTES_MAX;
use crate::pages::Space;
use crate::relief::Hand;
use crate::values::{Held, Values};
use crate::{
    Change, Dataset, Dot, Hlc, Key, Op, PlacementId, Position, Record, RegionId, Seat, Seen,
    StreamId, Tally, Update,
};

/// A last-writer-wins register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// When it was written.
    pub at: Hlc,
    /// Who wrote it.
    pub origin: RegionId,
    /// What it holds; `None` once deleted.
    pub value: Option<Bytes>,
}

/// What became of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It changed its record.
    Changed,
    /// It changed its record, beside a write that its author had not seen.
    Beside {
        /// The other write; one of them, if there are several.
        other: Dot,
        /// When the other was made.
        at: Hlc,
    },
    /// It changed which entries of its log count, otherwise than by being the next one.
    Rewritten,
    /// It counts as seen, but a later write had already won, or has to wait for earlier ones.
    Superseded,
    /// It counts as seen; its effect was there already, as part of a state.
    Covered,
    /// It was applied before; nothing changed.
    Repeated,
    /// An earlier op of its stream is missing; nothing changed.
    Early,
    /// It counts as seen, but its entry does not continue the log: its origin broke the rules.
    Misplaced,
}

impl Applied {
    /// Whether the op counts as seen only now, so that it has to be kept.
    #[must_use]
    pub fn is_new(self) -> bool {
        match self {
            Self::Changed
            | Self::Beside { .. }
            | Self::Rewritten
            | Self::Superseded
            | Self::Covered
            | Self::Misplaced => true,
            Self::Repeated | Self::Early => false,
        }
    }
}

/// All records of a region.
#[derive(Debug, Default)]
pub struct Store {
    registers: BTreeMap<Record, Register>,
    logs: BTreeMap<Record, Log>,
    pub(crate) values: BTreeMap<Shelf, Values>,
    pub(crate) space: Space,
    pub(crate) hand: Hand,
    /// What the values of each shelf amount to.
    tallies: BTreeMap<Shelf, Tally>,
    /// Bytes of the values, and of those that are not in memory.
    pub(crate) value_bytes: usize,
    pub(crate) away_bytes: usize,
    seen: Seen,
}

/// Where values lie that are read together. Those of different shapes never meet.
pub type Shelf = (PlacementId, Dataset, Shape);

/// What a record holds, for those who compare regions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A register.
    Register(&'a Register),
    /// A log.
    Log(&'a Log),
    /// A value that many regions may change.
    Value(Cow<'a, Value>),
}

/// Where what a record holds is, before it is looked at: a value may lie on pages.
#[derive(Clone, Debug)]
pub struct Place<'a>(Within<'a>);

#[derive(Clone, Debug)]
enum Within<'a> {
    Register(&'a Register),
    Log(&'a Log),
    Value(Held<'a>),
}

impl<'a> Place<'a> {
    /// Looks at it.
    #[must_use]
    pub fn content(&self) -> Content<'a> {
        match &self.0 {
            Within::Register(it) => Content::Register(it),
            Within::Log(it) => Content::Log(it),
            Within::Value(it) => Content::Value(it.value()),
        }
    }
}

impl Store {
    /// Applies an op if it is the next of its stream, and says what became of it.
    pub fn apply(&mut self, op: &Op) -> Applied {
        let seen = self.seen.of(&op.stream);
        if op.seq <= seen {
            return Applied::Repeated;
        }
        if op.seq != seen + 1 {
            return Applied::Early;
        }
        self.seen.raise(op.stream, op.seq);
        self.change(op, None)
    }

    /// Applies an op like [`apply`](Self::apply), where more is known of its record than was seen:
    /// what is `beyond`.
    pub fn apply_knowing(&mut self, op: &Op, beyond: &Seen) -> Applied {
        let seen = self.seen.of(&op.stream);
        if op.seq <= seen {
            return Applied::Repeated;
        }
        if op.seq != seen + 1 {
            return Applied::Early;
        }
        self.seen.raise(op.stream, op.seq);
        let mut known = self.seen.clone();
        known.join(beyond);
        self.change(op, Some(&known))
    }

    /// Counts an op as seen if it is the next of its stream, but leaves its record alone.
    pub fn pass_over(&mut self, op: &Op, why: Applied) -> Applied {
        let seen = self.seen.of(&op.stream);
        if op.seq <= seen {
            return Applied::Repeated;
        }
        if op.seq - 1 != seen {
            return Applied::Early;
        }
        self.seen.raise(op.stream, op.seq);
        // A removal may have come before it, and would wait for ever.
        let shelf = (op.stream.placement, op.dataset, Shape::Fields);
        if why == Applied::Misplaced
            && let Some(Value::Fields(fields)) = self.state(&op.record(), Shape::Fields).as_deref()
            && fields.gone().next().is_some()
        {
            let mut fields = fields.clone();
            fields.await_no_more(op.dot());
            self.set_value(shelf, &op.key, Some(Value::Fields(fields)));
        }
        why
    }

    fn change(&mut self, op: &Op, known: Option<&Seen>) -> Applied {
        match &op.change {
            Change::Put(value) => self.write(op, Some(value.clone())),
            Change::Delete => self.write(op, None),
            Change::Append { place, entry } => {
                let entry = Entry { at: op.at, bytes: entry.clone() };
                let log = self.logs.entry(op.record()).or_default();
                match log.insert(op.stream, *place, entry) {
                    Placed::Next => Applied::Changed,
                    Placed::Rewritten => Applied::Rewritten,
                    Placed::Beside => Applied::Superseded,
                    Placed::Refused => Applied::Misplaced,
                }
            }
            Change::Update(update) => self.update(op, update, known),
            Change::State(_) | Change::Unknown { .. } => Applied::Misplaced,
        }
    }

    fn update(&mut self, op: &Op, update: &Update, known: Option<&Seen>) -> Applied {
        let shape = update.delta.shape();
        let id = (op.stream.placement, op.dataset, shape);
        let shelf = self.values.entry(id).or_default();
        let before = (shelf.weight(), shelf.away());
        let arrival = Arrival {
            stream: op.stream,
            seq: op.seq,
            at: op.at,
            seen: known.unwrap_or(&self.seen),
        };
        let seat = Seat::of(op.key.as_bytes());
        let (met, old, new) = shelf.change(op.key.as_bytes(), &mut self.space, |held| {
            let old = held.as_ref().map_or(0, |it| seat.print(it));
            let mut value = held.unwrap_or(Value::empty(shape));
            let met = value.apply(arrival, &update.delta);
            let new = seat.print(&value);
            (Some(value).filter(|it| !it.is_empty()), (met, old, new))
        });
        self.value_bytes = self.value_bytes - before.0 + shelf.weight();
        self.away_bytes = self.away_bytes - before.1 + shelf.away();
        self.relieve();
        self.tallies.entry(id).or_default().change(seat, old, new);
        let met = met.expect("a shelf holds values of one shape");
        match met {
            Met::Nothing => Applied::Changed,
            Met::Concurrent { other, at } => Applied::Beside { other, at },
        }
    }

    fn write(&mut self, op: &Op, value: Option<Bytes>) -> Applied {
        let ours = Register { at: op.at, origin: op.stream.origin, value };
        match self.registers.get(&op.record()) {
            Some(held) if (ours.at, ours.origin) <= (held.at, held.origin) => Applied::Superseded,
            Some(_) | None => {
                self.registers.insert(op.record(), ours);
                Applied::Changed
            }
        }
    }

    /// Returns how far each stream has been seen.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Returns the live value of a register.
    #[must_use]
    pub fn value(&self, record: &Record) -> Option<&Bytes> {
        self.registers.get(record)?.value.as_ref()
    }

    /// Returns the live value of a register with the time of its writing.
    #[must_use]
    pub fn dated(&self, record: &Record) -> Option<(Hlc, &Bytes)> {
        let register = self.registers.get(record)?;
        Some((register.at, register.value.as_ref()?))
    }

    /// Returns a log.
    #[must_use]
    pub fn log(&self, record: &Record) -> Option<&Log> {
        self.logs.get(record)
    }

    /// Drops a log from memory: its retention is over.
    pub fn forget(&mut self, record: &Record) {
        self.logs.remove(record);
    }

    /// Returns a value that many regions may change.
    #[must_use]
    pub fn state(&self, record: &Record, shape: Shape) -> Option<Cow<'_, Value>> {
        let shelf = self.values.get(&(record.placement, record.dataset, shape))?;
        Some(shelf.get(record.key.as_bytes(), &self.space)?.value())
    }

    /// Iterates over the values of a kind from a key on, by key.
    pub fn states<'a>(
        &'a self,
        shelf: Shelf,
        from: Bound<&'a Key>,
    ) -> impl Iterator<Item = Held<'a>> {
        let shelf = self.values.get(&shelf);
        shelf.into_iter().flat_map(move |it| it.range(from.map(Key::as_bytes), &self.space))
    }

    /// Returns what the values of a shelf amount to; nothing if there has been none.
    #[must_use]
    pub fn tally(&self, shelf: &Shelf) -> Option<&Tally> {
        self.tallies.get(shelf)
    }

    /// Iterates over the shelves on which something has been.
    pub fn shelves(&self) -> impl Iterator<Item = &Shelf> {
        self.tallies.keys()
    }

    /// Counts everything up to a number of a stream as seen: a state that stands for it was taken
    /// in.
    pub fn jump(&mut self, stream: StreamId, seq: u64) {
        self.seen.raise(stream, seq);
    }

    /// Iterates over all that is held after a position, in order, short of the values of placements
    /// that are not wanted: those are not looked at, however many they are.
    pub fn after<'a>(
        &'a self,
        position: Option<&'a Position>,
        is_wanted: impl Fn(&PlacementId) -> bool + 'a,
    ) -> impl Iterator<Item = (Position, Place<'a>)> {
        use Bound::{Excluded, Unbounded};
        let (registers, logs, values) = match position {
            None => (Some(Unbounded), Some(Unbounded), None),
            Some(Position::Register(record)) => (Some(Excluded(record)), Some(Unbounded), None),
            Some(Position::Log(record)) => (None, Some(Excluded(record)), None),
            Some(Position::Value(shelf, key)) => (None, None, Some((shelf, key))),
        };
        let registers = registers.into_iter().flat_map(|from| {
            let held = self.registers.range::<Record, _>((from, Unbounded));
            held.map(|(record, it)| {
                (Position::Register(record.clone()), Place(Within::Register(it)))
            })
        });
        let logs = logs.into_iter().flat_map(|from| {
            let held = self.logs.range::<Record, _>((from, Unbounded));
            held.map(|(record, it)| (Position::Log(record.clone()), Place(Within::Log(it))))
        });
        let from = values.map_or(Unbounded, |(shelf, _)| Bound::Included(shelf));
        let shelves = self.values.range::<Shelf, _>((from, Unbounded));
        let shelves = shelves.filter(move |((placement, ..), _)| is_wanted(placement));
        let values = shelves.flat_map(move |(shelf, held)| {
            let from = match values {
                Some((first, key)) if first == shelf => Excluded(key.as_bytes()),
                Some(_) | None => Unbounded,
            };
            let position = |it: &Held<'_>| Position::Value(*shelf, Key::new(it.key()));
            held.range(from, &self.space).map(move |it| (position(&it), Place(Within::Value(it))))
        });
        registers.chain(logs).chain(values)
    }

    /// Puts a register in place of what is held, or nothing.
    pub fn set_register(&mut self, record: &Record, register: Option<Register>) {
        match register {
            Some(register) => drop(self.registers.insert(record.clone(), register)),
            None => drop(self.registers.remove(record)),
        }
    }

    /// Returns a register, deleted or not.
    #[must_use]
    pub fn register(&self, record: &Record) -> Option<&Register> {
        self.registers.get(record)
    }

    /// Takes in the entries of a log that another region holds; says whether any was missing here.
    pub fn merge_log(&mut self, record: &Record, other: &Log) -> bool {
        let log = self.logs.entry(record.clone()).or_default();
        let mut is_changed = false;
        for (place, entry) in other.all() {
            let run = other.runs().iter().find(|run| run.epoch == place.epoch);
            let stream = run.expect("every entry is of a run").stream;
            is_changed |= log.insert(stream, place, entry.clone()) != Placed::Refused;
        }
        is_changed
    }

    /// Puts a value in place of what is held, or nothing.
    pub fn set_value(&mut self, shelf: Shelf, key: &Key, value: Option<Value>) {
        let held = self.values.entry(shelf).or_default();
        let before = (held.weight(), held.away());
        let mut value = value.filter(|it| !it.is_empty());
        if let Some(value) = value.as_mut().filter(|it| PACKED_BYTES_MAX < it.weight()) {
            value.detach();
        }
        let seat = Seat::of(key.as_bytes());
        let new = value.as_ref().map_or(0, |it| seat.print(it));
        let old = held.change(key.as_bytes(), &mut self.space, |old| {
            (value, old.map_or(0, |it| seat.print(&it)))
        });
        self.tallies.entry(shelf).or_default().change(seat, old, new);
        self.value_bytes = self.value_bytes - before.0 + held.weight();
        self.away_bytes = self.away_bytes - before.1 + held.away();
        self.relieve();
    }

    /// Returns every record with what it holds, in order: equal for regions that saw the same.
    #[must_use]
    pub fn contents(&self) -> Vec<(Record, Content<'_>)> {
        let all = self.after(None, |_| true);
        all.map(|(position, it)| (position.into_record(), it.content())).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::EntryPlace;

    fn stream(origin: &str) -> StreamId {
        let origin = RegionId::try_from(origin).unwrap();
        StreamId { origin, placement: PlacementId::global(), incarnation: 1 }
    }

    fn op(origin: &str, seq: u64, wall_ms: u64, change: Change) -> Op {
        let at = Hlc { wall_ms, count: 0 };
        Op { stream: stream(origin), seq, at, dataset: Dataset(1), key: Key::new(b"k"), change }
    }

    fn put(origin: &str, seq: u64, wall_ms: u64, value: &'static str) -> Op {
        op(origin, seq, wall_ms, Change::Put(Bytes::from_static(value.as_bytes())))
    }

    fn append(seq: u64, index: u64) -> Op {
        let (place, entry) = (EntryPlace { epoch: 1, index, prev: 1 }, Bytes::from_static(b"e"));
        op("a", seq, seq, Change::Append { place, entry })
    }

    #[test]
    fn an_op_is_applied_once_and_in_order() {
        let mut store = Store::default();
        assert_eq!(store.apply(&put("a", 2, 2, "two")), Applied::Early);
        assert_eq!(store.apply(&put("a", 1, 1, "one")), Applied::Changed);
        assert_eq!(store.apply(&put("a", 1, 1, "one")), Applied::Repeated);
        assert_eq!(store.apply(&put("a", 2, 2, "two")), Applied::Changed);
        assert_eq!(store.seen().of(&stream("a")), 2);
    }

    #[test]
    fn a_log_shows_no_gap_and_no_repeat() {
        let mut store = Store::default();
        assert_eq!(store.apply(&append(1, 1)), Applied::Changed);
        assert_eq!(store.apply(&append(2, 3)), Applied::Superseded);
        assert_eq!(store.apply(&append(3, 1)), Applied::Misplaced);
        assert_eq!(store.apply(&append(4, 2)), Applied::Rewritten);
        let log = store.log(&append(1, 1).record()).unwrap();
        assert_eq!((log.len(), log.after(1).len(), log.after(9).len()), (3, 2, 0));
    }

    proptest! {
        #[test]
        fn the_order_of_streams_does_not_matter(
            writes in proptest::collection::vec((0..3_usize, 0..4_u64, any::<bool>()), 1..40),
            picks in proptest::collection::vec(0..3_usize, 200),
        ) {
            let origins = ["a", "b", "c"];
            let mut queues: [Vec<Op>; 3] = Default::default();
            for (who, wall_ms, dies) in writes {
                let seq = queues[who].len() as u64 + 1;
                let value = Bytes::from(vec![seq as u8]);
                let change = if dies { Change::Delete } else { Change::Put(value) };
                queues[who].push(op(origins[who], seq, wall_ms + seq, change));
            }
            let mut straight = Store::default();
            queues.iter().flatten().for_each(|op| assert!(straight.apply(op).is_new()));
            let mut mixed = Store::default();
            let mut next = [0; 3];
            for who in picks.into_iter().chain([0, 1, 2].repeat(40)) {
                if let Some(op) = queues[who].get(next[who]) {
                    next[who] += 1;
                    mixed.apply(op);
                    mixed.apply(op);
                }
            }
            prop_assert_eq!(straight.contents(), mixed.contents());
            prop_assert_eq!(straight.seen(), mixed.seen());
        }
    }
}
