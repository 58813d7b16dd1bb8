//! A log with one writer at a time. Whoever writes under a greater epoch goes on from what it
//! knows, and what an earlier writer had written beyond that does not count.
//! Must not know what an entry says, nor who may write.
//!
//! A log is a set of entries, each named by its epoch and its index. Each says on which entry it
//! was written, by that one's epoch, as entries of Raft do (Ongaro and Ousterhout, 2014, their
//! `prevLogTerm`). An entry with all that it was written on is whole; of those, the one of the
//! greatest epoch and index counts, with all that it was written on. So the order in which entries
//! arrive does not matter, and nobody ever reads a log that nobody has written.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{Hlc, StreamId};

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it was written.
    pub at: Hlc,
    /// What it says.
    pub bytes: Bytes,
}

/// Where an entry stands in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryPlace {
    /// The epoch under which it was written.
    pub epoch: u32,
    /// Its number, from 1.
    pub index: u64,
    /// The epoch of the entry before it; of the first entry, its own. 0 if it was written before
    /// entries said it.
    pub prev: u32,
}

/// What one writer wrote, under one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The epoch; greater ones overrule it.
    pub epoch: u32,
    /// The stream of its writer.
    pub stream: StreamId,
    /// The first of its entries that counts; 0 if none does.
    first: u64,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is the last entry that counts.
    Next,
    /// It changed which entries count, otherwise than as the next.
    Rewritten,
    /// It does not count: it was overruled, or earlier ones are missing.
    Beside,
    /// It was there, or the epoch belongs to another writer.
    Refused,
}

/// A log: entry `n` stands at index `n - 1`, none is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Those that count.
    entries: Vec<Entry>,
    /// All that wrote, by epoch.
    runs: Vec<Run>,
    /// Those that do not count, by epoch and index, with the epoch of the one before. Most logs
    /// have none.
    beside: BTreeMap<(u32, u64), (u32, Entry)>,
}

impl Log {
    /// Returns the entries that count after the first `after`, in order.
    #[must_use]
    pub fn after(&self, after: u64) -> &[Entry] {
        let after = usize::try_from(after).unwrap_or(usize::MAX).min(self.entries.len());
        &self.entries[after..]
    }

    /// Returns how many entries count.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Whether no entry counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns who wrote, under which epochs, whether it counts or not.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Returns where the next entry stands that is written under an epoch.
    #[must_use]
    pub fn next(&self, epoch: u32) -> EntryPlace {
        let index = self.len() + 1;
        EntryPlace { epoch, index, prev: self.epoch_at(self.len()).unwrap_or(epoch) }
    }

    /// Returns the epoch of an entry that counts.
    /// Returns under which epoch an entry that counts was written.
    #[must_use]
    pub fn epoch_at(&self, index: u64) -> Option<u32> {
        let has = |run: &&Run| (1..=index).contains(&run.first);
        self.runs.iter().rev().find(has).filter(|_| index <= self.len()).map(|run| run.epoch)
    }

    /// Returns how many entries, from the first on, are for sure those of a log in which the entry
    /// at `index` counted and was written under `epoch`.
    #[must_use]
    pub fn shared_with(&self, epoch: u32, index: u64) -> u64 {
        let mut counting = self.runs.iter().filter(|run| 0 < run.first);
        if !counting.any(|run| run.epoch == epoch) {
            return 0;
        }
        let next = counting.next().map_or(self.len() + 1, |run| run.first);
        index.min(next - 1)
    }

    /// Iterates over the entries that do not count.
    pub fn beside(&self) -> impl Iterator<Item = (EntryPlace, &Entry)> {
        self.beside.iter().map(|((epoch, index), (prev, entry))| {
            (EntryPlace { epoch: *epoch, index: *index, prev: *prev }, entry)
        })
    }

    /// Iterates over all entries, with where they stand; those that count come first, in order.
    pub fn all(&self) -> impl Iterator<Item = (EntryPlace, &Entry)> {
        let mut prev = None;
        let counting = (1..).zip(&self.entries).map(move |(index, entry)| {
            let epoch = self.epoch_at(index).expect("an entry that counts is of a run");
            let prev = prev.replace(epoch).unwrap_or(epoch);
            (EntryPlace { epoch, index, prev }, entry)
        });
        counting.chain(self.beside())
    }

    /// Takes in an entry that a stream wrote.
    pub fn insert(&mut self, stream: StreamId, place: EntryPlace, entry: Entry) -> Placed {
        let prev = self.resolve(place);
        let EntryPlace { epoch, index, .. } = place;
        let at = self.runs.binary_search_by_key(&epoch, |run| run.epoch);
        let is_of_another = at.is_ok_and(|at| self.runs[at].stream != stream);
        let is_odd = index == 0 || index == u64::MAX || epoch < prev;
        if is_odd || (index == 1 && epoch != prev) || is_of_another {
            return Placed::Refused;
        }
        if self.epoch_at(index) == Some(epoch) || self.beside.contains_key(&(epoch, index)) {
            return Placed::Refused;
        }
        if let Err(at) = at {
            if self.runs.is_empty() {
                self.runs.reserve_exact(1); // Many logs wait for long with one entry.
            }
            self.runs.insert(at, Run { epoch, stream, first: 0 });
        }
        let is_next = index == self.len() + 1 && prev == self.next(prev).prev;
        if is_next && !self.is_awaited(epoch, index) {
            self.push(epoch, entry);
            return Placed::Next;
        }
        let may_count = is_next || self.may_count(epoch, index, prev);
        self.beside.insert((epoch, index), (prev, entry));
        if !may_count {
            return Placed::Beside;
        }
        let before = self.epochs();
        self.settle();
        match self.epochs().strip_prefix(&before[..]) {
            Some([]) => Placed::Beside,
            Some([_]) => Placed::Next,
            Some(_) | None => Placed::Rewritten,
        }
    }

    /// Returns on which epoch an entry was written; 0 if that is not clear yet.
    fn resolve(&self, place: EntryPlace) -> u32 {
        let EntryPlace { epoch, index, prev } = place;
        let before = (epoch, index.saturating_sub(1));
        let goes_on = self.beside.contains_key(&before) || self.epoch_at(before.1) == Some(epoch);
        match prev {
            0 if goes_on || index == 1 => epoch,
            0 => self.epoch_at(before.1).filter(|it| *it < epoch).unwrap_or(0),
            said => said,
        }
    }

    /// Whether an entry that does not count was written on one.
    fn is_awaited(&self, epoch: u32, index: u64) -> bool {
        let after = self.runs.iter().filter_map(|run| self.beside.get(&(run.epoch, index + 1)));
        after.into_iter().any(|(prev, _)| *prev == epoch || *prev == 0)
    }

    /// Whether an entry that is not the next one may change which entries count: if it is whole,
    /// and the last, or if the last may have waited for it.
    fn may_count(&self, epoch: u32, index: u64, prev: u32) -> bool {
        let end = (self.epoch_at(self.len()).unwrap_or(0), self.len());
        let before = (prev, index - 1);
        let is_beyond = |it: &(u32, u64)| end < *it;
        // Whatever is whole is not beyond the end.
        let may_be_whole = index == 1
            || self.epoch_at(before.1) == Some(prev)
            || self.beside.contains_key(&before) && !is_beyond(&before);
        let waits = self.beside.last_key_value().is_some_and(|(last, _)| is_beyond(last));
        may_be_whole && (is_beyond(&(epoch, index)) || waits)
    }

    fn push(&mut self, epoch: u32, entry: Entry) {
        if self.entries.is_empty() {
            self.entries.reserve_exact(1);
        }
        self.entries.push(entry);
        let (at, index) = (self.runs.partition_point(|run| run.epoch < epoch), self.len());
        if self.runs[at].first == 0 {
            self.runs[at].first = index;
        }
    }

    /// Returns the epochs of the entries that count.
    fn epochs(&self) -> Vec<u32> {
        (1..=self.len()).filter_map(|index| self.epoch_at(index)).collect()
    }

    /// Looks at all entries anew for those that count.
    fn settle(&mut self) {
        let all = self.all().map(|(it, entry)| ((it.epoch, it.index), (it.prev, entry.clone())));
        let mut all: BTreeMap<(u32, u64), (u32, Entry)> = all.collect();
        let mut by_index: Vec<(u64, u32, u32)> =
            all.iter().map(|((epoch, index), (prev, _))| (*index, *epoch, *prev)).collect();
        by_index.sort_unstable();
        // With the one that each was written on.
        let mut whole: BTreeMap<(u32, u64), (u32, u64)> = BTreeMap::new();
        for (index, epoch, prev) in by_index {
            let has = |prev: &u32| whole.contains_key(&(*prev, index - 1));
            // It may not have said on what it was written.
            let prev = if prev == 0 { (1..=epoch).rev().find(has).unwrap_or(0) } else { prev };
            if index == 1 || has(&prev) {
                whole.insert((epoch, index), (prev, index - 1));
            }
        }
        let mut chain: Vec<(u32, u64)> =
            std::iter::successors(whole.last_key_value().map(|(last, _)| *last), |it| {
                whole.get(it).copied().filter(|(_, index)| 0 < *index)
            })
            .collect();
        chain.reverse();
        self.entries.clear();
        self.runs.iter_mut().for_each(|run| run.first = 0);
        for place in chain {
            let (_, entry) = all.remove(&place).expect("a whole entry is there");
            self.push(place.0, entry);
        }
        self.beside = all;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{PlacementId, RegionId};

    /// Epoch, index, and epoch of the one before.
    type Spot = (u32, u64, u32);

    fn stream(epoch: u32) -> StreamId {
        let origin = RegionId::try_from(format!("r{epoch}").as_str()).unwrap();
        StreamId { origin, placement: PlacementId::global(), incarnation: 1 }
    }

    fn entry((epoch, index, _): Spot) -> Entry {
        let at = Hlc { wall_ms: index, count: epoch };
        Entry { at, bytes: Bytes::from(vec![epoch as u8, index as u8]) }
    }

    fn put(log: &mut Log, spot: Spot) -> Placed {
        let (epoch, index, prev) = spot;
        log.insert(stream(epoch), EntryPlace { epoch, index, prev }, entry(spot))
    }

    fn shown(log: &Log) -> Vec<(u32, u64)> {
        log.after(0).iter().map(|it| (it.at.count, it.at.wall_ms)).collect()
    }

    fn beside(log: &Log) -> Vec<(u32, u64)> {
        log.beside().map(|(it, _)| (it.epoch, it.index)).collect()
    }

    #[test]
    fn a_log_shares_what_was_written_before_another_writer_took_over() {
        let mut log = Log::default();
        for spot in [(1, 1, 1), (1, 2, 1), (3, 3, 1), (3, 4, 3)] {
            assert_eq!(put(&mut log, spot), Placed::Next);
        }
        for (epoch, index, shared) in
            [(1, 1, 1), (1, 2, 2), (1, 9, 2), (3, 4, 4), (3, 9, 4), (2, 3, 0), (4, 1, 0)]
        {
            assert_eq!(log.shared_with(epoch, index), shared, "{epoch} {index}");
        }
        assert_eq!(Log::default().shared_with(1, 1), 0);
    }

    #[test]
    fn one_writer_appends_without_gap_and_repeat() {
        let mut log = Log::default();
        assert_eq!(log.next(1), EntryPlace { epoch: 1, index: 1, prev: 1 });
        assert_eq!(put(&mut log, (1, 1, 1)), Placed::Next);
        assert_eq!(put(&mut log, (1, 1, 1)), Placed::Refused);
        assert_eq!(put(&mut log, (1, 2, 1)), Placed::Next);
        assert_eq!(put(&mut log, (1, 0, 1)), Placed::Refused);
        assert_eq!(put(&mut log, (1, 3, 2)), Placed::Refused, "written on what came later");
        let place = EntryPlace { epoch: 1, index: 3, prev: 1 };
        assert_eq!(log.insert(stream(2), place, entry((1, 3, 1))), Placed::Refused);
        assert_eq!((log.len(), log.after(1).len(), log.after(9).len()), (2, 1, 0));
        assert_eq!(log.beside().count(), 0);
    }

    #[test]
    fn a_later_writer_overrules_what_it_did_not_know() {
        let mut log = Log::default();
        for index in 1..=3 {
            put(&mut log, (1, index, 1));
        }
        assert_eq!(put(&mut log, (2, 3, 1)), Placed::Rewritten);
        assert_eq!(shown(&log), [(1, 1), (1, 2), (2, 3)]);
        assert_eq!(put(&mut log, (1, 4, 1)), Placed::Beside);
        assert_eq!(put(&mut log, (2, 4, 2)), Placed::Next);
        assert_eq!(beside(&log), [(1, 3), (1, 4)]);
        assert_eq!(log.next(5), EntryPlace { epoch: 5, index: 5, prev: 2 });
    }

    #[test]
    fn what_comes_early_waits() {
        let mut log = Log::default();
        assert_eq!(put(&mut log, (2, 3, 1)), Placed::Beside);
        assert_eq!(put(&mut log, (1, 1, 1)), Placed::Next);
        assert!(log.after(1).is_empty());
        assert_eq!(put(&mut log, (1, 2, 1)), Placed::Rewritten);
        assert_eq!(shown(&log), [(1, 1), (1, 2), (2, 3)]);
    }

    #[test]
    fn what_was_written_on_a_missing_entry_waits_for_that_one() {
        let mut log = Log::default();
        for spot in [(1, 1, 1), (1, 2, 1)] {
            put(&mut log, spot);
        }
        assert_eq!(put(&mut log, (4, 3, 3)), Placed::Beside, "entry 2 of epoch 3 is missing");
        assert_eq!(shown(&log), [(1, 1), (1, 2)]);
        assert_eq!(put(&mut log, (3, 2, 1)), Placed::Rewritten);
        assert_eq!(shown(&log), [(1, 1), (3, 2), (4, 3)]);
    }

    #[test]
    fn what_a_later_writer_knew_counts_and_not_what_came_between() {
        let mut log = Log::default();
        for spot in [(1, 1, 1), (1, 2, 1), (2, 2, 1)] {
            put(&mut log, spot);
        }
        assert_eq!(shown(&log), [(1, 1), (2, 2)]);
        // The writer of epoch 3 had not heard of epoch 2.
        assert_eq!(put(&mut log, (3, 3, 1)), Placed::Rewritten);
        assert_eq!(shown(&log), [(1, 1), (1, 2), (3, 3)]);
        assert_eq!(beside(&log), [(2, 2)]);
        assert_eq!(put(&mut log, (2, 3, 2)), Placed::Beside);
        assert_eq!(put(&mut log, (3, 4, 3)), Placed::Next);
    }

    #[test]
    fn entries_of_before_they_said_on_what_they_were_written_are_placed_as_they_came() {
        let mut log = Log::default();
        // The last one of the first epoch comes late.
        for (epoch, index) in [(1, 1), (4, 4), (4, 5), (2, 2), (2, 3), (1, 3), (1, 2)] {
            assert_ne!(put(&mut log, (epoch, index, 0)), Placed::Refused);
        }
        assert_eq!(shown(&log), [(1, 1), (2, 2), (2, 3), (4, 4), (4, 5)]);
        assert_eq!(beside(&log), [(1, 2), (1, 3)]);
    }

    proptest! {
        /// Each writer goes on from what one of those before it had written, and no further.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            runs in proptest::collection::vec((any::<u8>(), 0..6_usize, 1..5_u64), 1..6),
            keys in proptest::collection::vec(any::<u32>(), 32),
        ) {
            let mut logs: Vec<Vec<Spot>> = Vec::new();
            for (epoch, (from, kept, count)) in (1_u32..).zip(&runs) {
                let from = usize::from(*from).checked_rem(logs.len());
                let mut log = from.map_or(vec![], |it| logs[it].clone());
                log.truncate(*kept);
                for _ in 0..*count {
                    let prev = log.last().map_or(epoch, |it| it.0);
                    log.push((epoch, log.len() as u64 + 1, prev));
                }
                logs.push(log);
            }
            let mut all: Vec<Spot> = logs.concat();
            all.sort_unstable();
            all.dedup();
            let mut mixed: Vec<_> = all.iter().zip(&keys).collect();
            mixed.sort_by_key(|(_, key)| **key);
            let (mut log, mut came) = (Log::default(), Vec::new());
            for (spot, _) in mixed {
                put(&mut log, *spot);
                came.push(*spot);
                prop_assert_eq!(put(&mut log, *spot), Placed::Refused);
                // It shows what its last writer had written, as far as that has come.
                let parts = logs.iter().flat_map(|it| (0..=it.len()).map(|n| &it[..n]));
                let whole = parts.filter(|it| it.iter().all(|it| came.contains(it)));
                let due = whole.max_by_key(|it| it.last().map(|it| (it.0, it.1))).unwrap();
                let due: Vec<_> = due.iter().map(|it| (it.0, it.1)).collect();
                prop_assert_eq!(shown(&log), due);
                let places = log.all().map(|(it, _)| (it.epoch, it.index, it.prev));
                let mut places: Vec<Spot> = places.collect();
                places.sort_unstable();
                came.sort_unstable();
                prop_assert_eq!(&places, &came);
            }
        }
    }
}
