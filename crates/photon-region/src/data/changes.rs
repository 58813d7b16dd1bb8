//! The latest changes of each dataset, for watchers: which op, of which record, when.
//! Must not hold what was changed: a watcher is shown the record as it is.

use std::collections::{BTreeMap, VecDeque};

use photon_state::{Hlc, Key, Op, StreamId};

use super::DatasetName;

/// A change, as a watcher hears of it.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    /// Tells which of all changes came first.
    arrived: u64,
    pub(super) seq: u64,
    pub(super) at: Hlc,
    pub(super) key: Key,
}

/// Whose changes: those of a dataset by a stream.
type Of = (DatasetName, StreamId);

/// The latest changes of all datasets.
#[derive(Debug)]
pub(super) struct Changes {
    of: BTreeMap<Of, Latest>,
    /// By when the first change came that is kept of each.
    oldest: BTreeMap<u64, Of>,
    /// How many have come.
    arrived: u64,
    /// Bytes that all changes take together, and how many they may take.
    bytes: usize,
    bytes_max: usize,
    /// Of how many nothing but the floor is kept.
    bare: usize,
    /// Of each stream, the op up to which changes are known by their effect alone.
    skipped: BTreeMap<StreamId, u64>,
}

#[derive(Debug, Default)]
struct Latest {
    changes: VecDeque<Changed>,
    /// The last change that was let go of.
    floor: u64,
}

impl Changed {
    fn weight(&self) -> usize {
        const COUNTS: usize = 16; // What an `Arc` keeps beside the bytes of the key.
        size_of::<Self>() + COUNTS + self.key.as_bytes().len()
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            oldest: BTreeMap::new(),
            arrived: 0,
            bytes: 0,
            bytes_max: Self::BYTES_MAX,
            bare: 0,
            skipped: BTreeMap::new(),
        }
    }
}

impl Changes {
    /// Changes of one dataset by one stream that are kept; a watcher further behind begins anew.
    const KEPT_MAX: usize = 8_192;
    /// Bytes of all changes; beyond them the oldest are let go of, whosever they are.
    const BYTES_MAX: usize = 64 << 20;
    /// Datasets and streams of which nothing but the floor is kept; beyond that the floors become
    /// those of the whole streams, and whoever is behind them begins anew.
    const BARE_MAX: usize = 10_000;

    /// Takes in the next op of a stream, which changes a record of a dataset.
    pub(super) fn note(&mut self, dataset: &DatasetName, op: &Op) {
        let of = (dataset.clone(), op.stream);
        if self.of.get(&of).is_some_and(|it| Self::KEPT_MAX <= it.changes.len()) {
            self.forget_first(&of);
        }
        self.arrived += 1;
        let (arrived, key) = (self.arrived, op.key.clone());
        let changed = Changed { arrived, seq: op.seq, at: op.at, key };
        self.bytes += changed.weight();
        let latest = self.of.entry(of.clone()).or_default();
        if latest.changes.is_empty() {
            self.bare -= usize::from(latest.floor != 0);
            self.oldest.insert(arrived, of);
        }
        latest.changes.push_back(changed);
        while self.bytes_max < self.bytes
            && let Some((_, of)) = self.oldest.first_key_value()
        {
            let of = of.clone();
            self.forget_first(&of);
        }
    }

    /// Lets go of the first change that is kept.
    fn forget_first(&mut self, of: &Of) {
        let Some(latest) = self.of.get_mut(of) else { return };
        let Some(gone) = latest.changes.pop_front() else { return };
        self.bytes -= gone.weight();
        latest.floor = gone.seq;
        self.oldest.remove(&gone.arrived);
        match latest.changes.front() {
            Some(first) => drop(self.oldest.insert(first.arrived, of.clone())),
            None => self.bare += 1,
        }
        // What was let go of for others shall not keep its room.
        let len = latest.changes.len();
        if 4 * len + 64 < latest.changes.capacity() {
            latest.changes.shrink_to(2 * len);
        }
        self.fold_floors();
    }

    /// Lets go of all changes of a dataset that is forgotten.
    pub(super) fn forget(&mut self, dataset: &DatasetName) {
        for (_, latest) in self.of.iter_mut().filter(|((it, _), _)| it == dataset) {
            let changes = std::mem::take(&mut latest.changes);
            let (Some(first), Some(last)) = (changes.front(), changes.back()) else { continue };
            self.oldest.remove(&first.arrived);
            self.bytes -= changes.iter().map(Changed::weight).sum::<usize>();
            latest.floor = last.seq;
            self.bare += 1;
        }
        self.fold_floors();
    }

    /// Makes floors of which there are too many those of whole streams.
    fn fold_floors(&mut self) {
        if self.bare <= Self::BARE_MAX {
            return;
        }
        for ((_, stream), latest) in self.of.extract_if(.., |_, it| it.changes.is_empty()) {
            let skipped = self.skipped.entry(stream).or_default();
            *skipped = latest.floor.max(*skipped);
        }
        self.bare = 0;
    }

    /// Returns how many bytes all changes take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes note that changes up to a number are known by their effect alone.
    pub(super) fn skip(&mut self, stream: StreamId, seq: u64) {
        let skipped = self.skipped.entry(stream).or_default();
        *skipped = seq.max(*skipped);
    }

    /// Returns the number up to which changes by a stream are known by their effect alone.
    pub(super) fn skipped(&self, stream: &StreamId) -> u64 {
        self.skipped.get(stream).copied().unwrap_or(0)
    }

    /// Iterates over the changes of a dataset by a stream after a number, up to another one;
    /// `None` if some of them are not known.
    pub(super) fn after(
        &self,
        dataset: &DatasetName,
        stream: StreamId,
        (seq, last): (u64, u64),
    ) -> Option<impl Iterator<Item = &Changed>> {
        let latest = self.of.get(&(dataset.clone(), stream));
        let floor = latest.map_or(0, |it| it.floor);
        if seq < floor.max(self.skipped(&stream)) {
            return None;
        }
        let changes = latest.into_iter().flat_map(move |it| {
            let from = it.changes.partition_point(|it| it.seq <= seq);
            it.changes.range(from..)
        });
        Some(changes.take_while(move |it| it.seq <= last))
    }
}

#[cfg(test)]
mod tests {
    use photon_state::{Change, Dataset, PlacementId, RegionId};

    use super::*;

    fn name(text: &str) -> DatasetName {
        DatasetName::try_from(text).unwrap()
    }

    fn stream(origin: &str) -> StreamId {
        let origin = RegionId::try_from(origin).unwrap();
        StreamId { origin, placement: PlacementId::global(), incarnation: 1 }
    }

    fn op(origin: &str, seq: u64) -> Op {
        let (stream, at, key) = (stream(origin), Hlc::default(), Key::new(b"key"));
        Op { stream, seq, at, dataset: Dataset(5), key, change: Change::Delete }
    }

    /// Returns the numbers of the changes after a number, if they are known.
    fn after(changes: &Changes, dataset: &str, origin: &str, seq: u64) -> Option<Vec<u64>> {
        let dataset = name(dataset);
        let all = changes.after(&dataset, stream(origin), (seq, u64::MAX));
        all.map(|it| it.map(|it| it.seq).collect())
    }

    fn weight() -> usize {
        let (arrived, seq, at, key) = (1, 1, Hlc::default(), Key::new(b"key"));
        Changed { arrived, seq, at, key }.weight()
    }

    #[test]
    fn the_oldest_changes_of_all_make_room_and_whoever_is_behind_them_hears_of_it() {
        let mut changes = Changes { bytes_max: 4 * weight(), ..Changes::default() };
        changes.note(&name("quiet"), &op("a", 1));
        changes.note(&name("loud"), &op("a", 2));
        changes.note(&name("loud"), &op("b", 1));
        changes.note(&name("loud"), &op("a", 3));
        assert_eq!(after(&changes, "quiet", "a", 0), Some(vec![1]));
        changes.note(&name("loud"), &op("a", 4));
        assert_eq!(changes.bytes(), 4 * weight());
        assert_eq!(after(&changes, "quiet", "a", 0), None, "its change has made room");
        assert_eq!(after(&changes, "quiet", "a", 1), Some(vec![]));
        assert_eq!(after(&changes, "loud", "a", 0), Some(vec![2, 3, 4]));
        changes.note(&name("quiet"), &op("a", 5));
        assert_eq!(after(&changes, "loud", "a", 1), None);
        assert_eq!(after(&changes, "loud", "a", 2), Some(vec![3, 4]));
        assert_eq!(after(&changes, "loud", "b", 0), Some(vec![1]));
        assert_eq!(after(&changes, "quiet", "a", 1), Some(vec![5]));
        (2..100).for_each(|seq| changes.note(&name("loud"), &op("b", seq)));
        assert_eq!(changes.bytes(), 4 * weight());
        assert_eq!(after(&changes, "loud", "b", 95), Some(vec![96, 97, 98, 99]));
        assert_eq!(after(&changes, "loud", "a", 3), None);
    }

    #[test]
    fn so_many_changes_of_one_dataset_by_one_stream_are_kept() {
        let mut changes = Changes::default();
        (1..=10_000).for_each(|seq| changes.note(&name("d"), &op("a", seq)));
        assert_eq!(after(&changes, "d", "a", 1_807), None);
        assert_eq!(after(&changes, "d", "a", 1_808).map(|it| it.len()), Some(8_192));
        assert_eq!((changes.bytes(), changes.oldest.len()), (8_192 * weight(), 1));
    }

    #[test]
    fn a_dataset_that_is_forgotten_keeps_nothing_but_its_floors() {
        let mut changes = Changes::default();
        (1..=9).for_each(|seq| changes.note(&name("d"), &op("a", seq)));
        changes.note(&name("other"), &op("a", 10));
        changes.forget(&name("d"));
        changes.forget(&name("d"));
        assert_eq!((changes.bytes(), changes.oldest.len(), changes.bare), (weight(), 1, 1));
        assert_eq!(after(&changes, "d", "a", 8), None, "what it was told of is not known any more");
        assert_eq!(after(&changes, "other", "a", 0), Some(vec![10]));
        changes.note(&name("d"), &op("a", 11));
        assert_eq!((after(&changes, "d", "a", 9), changes.bare), (Some(vec![11]), 0));
    }

    #[test]
    fn floors_of_datasets_that_come_and_go_are_bounded() {
        let mut changes = Changes::default();
        for seq in 1..=Changes::BARE_MAX as u64 + 1 {
            let dataset = name(&format!("tmp-{seq}"));
            changes.note(&dataset, &op("a", seq));
            changes.forget(&dataset);
        }
        assert_eq!((changes.of.len(), changes.bytes(), changes.bare), (0, 0, 0));
        assert_eq!(changes.skipped(&stream("a")), Changes::BARE_MAX as u64 + 1);
        assert_eq!(after(&changes, "tmp-1", "a", 0), None);
    }
}
