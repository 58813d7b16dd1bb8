//! The store: every record of one region, and how far it has seen each stream.
//! Must not know where ops come from or who reads the records.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::crdt::{Arrival, Met, Shape, Value};
use crate::{
    Change, Dataset, Dot, Hlc, Key, Op, PlacementId, Record, RegionId, Seen, Source, Update,
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

/// One entry of a single-writer log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was written.
    pub at: Hlc,
    /// What it says.
    pub bytes: Bytes,
}

/// A single-writer log: entry `n` stands at index `n - 1`, none is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    entries: Vec<Entry>,
}

impl Log {
    /// Returns the entries after the first `after`, in order.
    #[must_use]
    pub fn after(&self, after: u64) -> &[Entry] {
        let after = usize::try_from(after).unwrap_or(usize::MAX).min(self.entries.len());
        &self.entries[after..]
    }

    /// Returns how many entries there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
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
    /// It counts as seen, but a later write had already won.
    Superseded,
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
            Self::Changed | Self::Beside { .. } | Self::Superseded | Self::Misplaced => true,
            Self::Repeated | Self::Early => false,
        }
    }
}

/// All records of a region.
#[derive(Debug, Default)]
pub struct Store {
    registers: FxHashMap<Record, Register>,
    logs: FxHashMap<Record, Log>,
    values: BTreeMap<Shelf, BTreeMap<Key, Value>>,
    /// Bytes of the values.
    value_bytes: usize,
    seen: Seen,
}

/// Where values lie that are read together. Those of different shapes never meet.
type Shelf = (PlacementId, Dataset, Shape);

/// What a record holds, for those who compare regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// A register.
    Register(&'a Register),
    /// A log.
    Log(&'a Log),
    /// A value that many regions may change.
    Value(&'a Value),
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
        self.change(op)
    }

    /// Counts an op as seen if it is the next of its stream, but leaves its record alone: its
    /// origin broke the rules.
    pub fn pass_over(&mut self, op: &Op) -> Applied {
        let seen = self.seen.of(&op.stream);
        if op.seq <= seen {
            return Applied::Repeated;
        }
        if op.seq - 1 != seen {
            return Applied::Early;
        }
        self.seen.raise(op.stream, op.seq);
        Applied::Misplaced
    }

    fn change(&mut self, op: &Op) -> Applied {
        match &op.change {
            Change::Put(value) => self.write(op, Some(value.clone())),
            Change::Delete => self.write(op, None),
            Change::Append { index, entry } => {
                let log = self.logs.entry(op.record()).or_default();
                if *index != log.len() + 1 {
                    return Applied::Misplaced;
                }
                if log.is_empty() {
                    log.entries.reserve_exact(1); // Many logs wait for long with one entry.
                }
                log.entries.push(Entry { at: op.at, bytes: entry.clone() });
                Applied::Changed
            }
            Change::Update(update) => self.update(op, update),
            Change::Unknown { .. } => Applied::Misplaced,
        }
    }

    fn update(&mut self, op: &Op, update: &Update) -> Applied {
        let shape = update.delta.shape();
        let shelf = self.values.entry((op.stream.placement, op.dataset, shape)).or_default();
        let value = shelf.entry(op.key.clone()).or_insert_with(|| Value::empty(shape));
        let arrival = Arrival { stream: op.stream, seq: op.seq, at: op.at, seen: &self.seen };
        let before = value.weight();
        let met = value.apply(arrival, &update.delta).expect("a shelf holds values of one shape");
        self.value_bytes = self.value_bytes + value.weight() - before;
        if value.is_empty() {
            shelf.remove(&op.key);
        }
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
    pub fn state(&self, record: &Record, shape: Shape) -> Option<&Value> {
        self.values.get(&(record.placement, record.dataset, shape))?.get(&record.key)
    }

    /// Returns about how many bytes the values take in memory, their contents above all.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Iterates over the values of a kind from a key on, by key.
    pub fn states(
        &self,
        (placement, dataset, shape): (PlacementId, Dataset, Shape),
        from: Bound<&Key>,
    ) -> impl Iterator<Item = (&Key, &Value)> {
        let shelf = self.values.get(&(placement, dataset, shape));
        shelf.into_iter().flat_map(move |it| it.range((from, Bound::Unbounded)))
    }

    /// Whether an op of a placement was seen.
    #[must_use]
    pub fn has_seen(&self, source: Source, seq: u64, placement: PlacementId) -> bool {
        Dot { source, seq }.is_in(&self.seen, placement)
    }

    /// Returns every record with what it holds, in order: equal for regions that saw the same.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the order is made good by sorting")]
    pub fn contents(&self) -> Vec<(Record, Content<'_>)> {
        let registers =
            self.registers.iter().map(|(record, it)| (record.clone(), Content::Register(it)));
        let logs = self.logs.iter().map(|(record, it)| (record.clone(), Content::Log(it)));
        let values = self.values.iter().flat_map(|((placement, dataset, _), shelf)| {
            let record =
                |key: &Key| Record { placement: *placement, dataset: *dataset, key: key.clone() };
            shelf.iter().map(move |(key, it)| (record(key), Content::Value(it)))
        });
        let mut all: Vec<_> = registers.chain(logs).chain(values).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::StreamId;

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
        op("a", seq, seq, Change::Append { index, entry: Bytes::from_static(b"e") })
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
    fn a_log_has_no_gap_and_no_repeat() {
        let mut store = Store::default();
        assert_eq!(store.apply(&append(1, 1)), Applied::Changed);
        assert_eq!(store.apply(&append(2, 3)), Applied::Misplaced);
        assert_eq!(store.apply(&append(3, 1)), Applied::Misplaced);
        assert_eq!(store.apply(&append(4, 2)), Applied::Changed);
        let log = store.log(&append(1, 1).record()).unwrap();
        assert_eq!((log.len(), log.after(1).len(), log.after(9).len()), (2, 1, 0));
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
