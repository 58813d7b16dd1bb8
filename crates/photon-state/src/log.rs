//! A log with one writer at a time. Whoever writes under a greater epoch goes on from what it
//! knows, and what an earlier writer had written beyond that does not count.
//! Must not know what an entry says, nor who may write.
//!
//! A log is a set of entries, each named by its epoch and its index. Entry `n` counts if it is of
//! the greatest epoch that began at `n` or before, and all entries before it are there. So the
//! order in which entries arrive does not matter.

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

/// What one writer wrote, under one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The epoch; greater ones overrule it.
    pub epoch: u32,
    /// Its first index.
    pub first: u64,
    /// The stream of its writer.
    pub stream: StreamId,
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
    /// By epoch.
    runs: Vec<Run>,
    /// Those that do not count, by epoch and index. Most logs have none.
    beside: BTreeMap<(u32, u64), Entry>,
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

    /// Returns who wrote, under which epochs.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Returns the epoch under which an entry has to be written to count.
    #[must_use]
    pub fn epoch_at(&self, index: u64) -> Option<u32> {
        self.runs.iter().rev().find(|run| run.first <= index).map(|run| run.epoch)
    }

    /// Iterates over the entries that do not count, by epoch and index.
    pub fn beside(&self) -> impl Iterator<Item = ((u32, u64), &Entry)> {
        self.beside.iter().map(|(place, entry)| (*place, entry))
    }

    /// Iterates over all entries, with epoch and index.
    pub fn all(&self) -> impl Iterator<Item = ((u32, u64), &Entry)> {
        let counting = (1..).zip(&self.entries).map(|(index, entry)| {
            let epoch = self.epoch_at(index).expect("an entry that counts is of a run");
            ((epoch, index), entry)
        });
        counting.chain(self.beside())
    }

    /// Takes in an entry that a stream wrote under an epoch.
    pub fn insert(&mut self, stream: StreamId, (epoch, index): (u32, u64), entry: Entry) -> Placed {
        let run = self.runs.iter().find(|run| run.epoch == epoch);
        if index == 0 || run.is_some_and(|run| run.stream != stream) {
            return Placed::Refused;
        }
        let is_known = index <= self.len() && self.epoch_at(index) == Some(epoch);
        if is_known || self.beside.contains_key(&(epoch, index)) {
            return Placed::Refused;
        }
        let is_due = index == self.len() + 1 && self.epoch_at(index) == Some(epoch);
        if run.is_some_and(|run| run.first <= index) && !is_due {
            self.beside.insert((epoch, index), entry);
            return Placed::Beside;
        }
        let goes_on = run.is_some_and(|run| run.first < index);
        let is_last = self.runs.last().is_none_or(|run| run.epoch == epoch);
        let is_awaited = self.beside.contains_key(&(epoch, index + 1));
        let is_next = index == self.len() + 1 && (goes_on || self.runs.is_empty());
        if !is_next || !is_last || is_awaited {
            return self.insert_anywhere(stream, (epoch, index), entry);
        }
        if self.runs.is_empty() {
            // Many logs wait for long with one entry.
            self.runs.reserve_exact(1);
            self.entries.reserve_exact(1);
            self.runs.push(Run { epoch, first: index, stream });
        }
        self.entries.push(entry);
        Placed::Next
    }

    fn insert_anywhere(&mut self, stream: StreamId, place: (u32, u64), entry: Entry) -> Placed {
        let mut all: BTreeMap<(u32, u64), Entry> =
            self.all().map(|(place, entry)| (place, entry.clone())).collect();
        if all.contains_key(&place) {
            return Placed::Refused;
        }
        let epochs = |log: &Self| (1..=log.len()).map(|it| log.epoch_at(it)).collect::<Vec<_>>();
        let before = epochs(self);
        all.insert(place, entry);
        let (epoch, index) = place;
        match self.runs.binary_search_by_key(&epoch, |run| run.epoch) {
            Ok(at) => self.runs[at].first = self.runs[at].first.min(index),
            Err(at) => self.runs.insert(at, Run { epoch, first: index, stream }),
        }
        self.entries.clear();
        while let Some(epoch) = self.epoch_at(self.len() + 1)
            && let Some(entry) = all.remove(&(epoch, self.len() + 1))
        {
            self.entries.push(entry);
        }
        self.beside = all;
        let after = epochs(self);
        match after.strip_prefix(&before[..]) {
            Some([]) => Placed::Beside,
            Some([_]) => Placed::Next,
            Some(_) | None => Placed::Rewritten,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{PlacementId, RegionId};

    fn stream(epoch: u32) -> StreamId {
        let origin = ["a", "b", "c", "d"][epoch as usize];
        let origin = RegionId::try_from(origin).unwrap();
        StreamId { origin, placement: PlacementId::global(), incarnation: 1 }
    }

    fn entry((epoch, index): (u32, u64)) -> Entry {
        let at = Hlc { wall_ms: index, count: epoch };
        Entry { at, bytes: Bytes::from(vec![epoch as u8, index as u8]) }
    }

    fn put(log: &mut Log, place: (u32, u64)) -> Placed {
        log.insert(stream(place.0), place, entry(place))
    }

    fn shown(log: &Log) -> Vec<(u32, u64)> {
        log.after(0).iter().map(|it| (it.at.count, it.at.wall_ms)).collect()
    }

    #[test]
    fn one_writer_appends_without_gap_and_repeat() {
        let mut log = Log::default();
        assert_eq!(put(&mut log, (1, 1)), Placed::Next);
        assert_eq!(put(&mut log, (1, 1)), Placed::Refused);
        assert_eq!(put(&mut log, (1, 2)), Placed::Next);
        assert_eq!(put(&mut log, (1, 0)), Placed::Refused);
        assert_eq!(log.insert(stream(2), (1, 3), entry((1, 3))), Placed::Refused);
        assert_eq!((log.len(), log.after(1).len(), log.after(9).len()), (2, 1, 0));
        assert_eq!(log.beside().count(), 0);
    }

    #[test]
    fn a_later_writer_overrules_what_it_did_not_know() {
        let mut log = Log::default();
        for place in [(1, 1), (1, 2), (1, 3)] {
            put(&mut log, place);
        }
        assert_eq!(put(&mut log, (2, 3)), Placed::Rewritten);
        assert_eq!(shown(&log), [(1, 1), (1, 2), (2, 3)]);
        assert_eq!(put(&mut log, (1, 4)), Placed::Beside);
        assert_eq!(put(&mut log, (2, 4)), Placed::Next);
        let orphans: Vec<_> = log.beside().map(|(place, _)| place).collect();
        assert_eq!(orphans, [(1, 3), (1, 4)]);
        assert_eq!(log.epoch_at(5), Some(2));
    }

    #[test]
    fn what_comes_early_waits() {
        let mut log = Log::default();
        assert_eq!(put(&mut log, (2, 3)), Placed::Beside);
        assert_eq!(put(&mut log, (1, 1)), Placed::Next);
        assert!(log.after(1).is_empty());
        assert_eq!(put(&mut log, (1, 2)), Placed::Rewritten);
        assert_eq!(shown(&log), [(1, 1), (1, 2), (2, 3)]);
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            runs in proptest::collection::vec((1..6_u64, 1..5_u64), 1..4),
            keys in proptest::collection::vec(any::<u32>(), 32),
        ) {
            let all: Vec<(u32, u64)> = (1_u32..)
                .zip(&runs)
                .flat_map(|(epoch, (first, count))| {
                    (*first..first + count).map(move |it| (epoch, it))
                })
                .collect();
            let mut straight = Log::default();
            for place in &all {
                put(&mut straight, *place);
            }
            let mut mixed: Vec<_> = all.iter().zip(&keys).collect();
            mixed.sort_by_key(|(_, key)| **key);
            let mut log = Log::default();
            for (place, _) in mixed {
                put(&mut log, *place);
                prop_assert_eq!(put(&mut log, *place), Placed::Refused);
            }
            prop_assert_eq!(&log, &straight);
            prop_assert_eq!(log.all().count(), all.len());
            let counting = shown(&log);
            for (at, (epoch, index)) in (1..).zip(&counting) {
                prop_assert_eq!((at, log.epoch_at(at)), (*index, Some(*epoch)));
            }
        }
    }
}
