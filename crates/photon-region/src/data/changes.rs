//! The latest changes of each dataset, for watchers: which op, of which record, when.
//! Must not hold what was changed: a watcher is shown the record as it is.

use std::collections::{BTreeMap, VecDeque};

use photon_state::{Hlc, Key, Op, StreamId};

use super::DatasetName;

/// A change, as a watcher hears of it.
#[derive(Clone, Debug)]
pub(super) struct Changed {
    pub(super) seq: u64,
    pub(super) at: Hlc,
    pub(super) key: Key,
}

/// The latest changes of all datasets.
#[derive(Debug, Default)]
pub(super) struct Changes {
    of: BTreeMap<(DatasetName, StreamId), Latest>,
    /// Of each stream, the op up to which changes are known by their effect alone.
    skipped: BTreeMap<StreamId, u64>,
}

#[derive(Debug, Default)]
struct Latest {
    changes: VecDeque<Changed>,
    /// The last change that was let go of.
    floor: u64,
}

impl Changes {
    /// Changes of one dataset by one stream that are kept; a watcher further behind begins anew.
    const KEPT_MAX: usize = 8_192;

    /// Takes in the next op of a stream, which changes a record of a dataset.
    pub(super) fn note(&mut self, dataset: &DatasetName, op: &Op) {
        let latest = self.of.entry((dataset.clone(), op.stream)).or_default();
        latest.changes.push_back(Changed { seq: op.seq, at: op.at, key: op.key.clone() });
        if Self::KEPT_MAX < latest.changes.len() {
            let gone = latest.changes.pop_front().expect("it holds more than the bound");
            latest.floor = gone.seq;
        }
    }

    /// Takes note that changes up to a number are known by their effect alone.
    pub(super) fn skip(&mut self, stream: StreamId, seq: u64) {
        let skipped = self.skipped.entry(stream).or_default();
        *skipped = seq.max(*skipped);
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
        let skipped = self.skipped.get(&stream).copied().unwrap_or(0);
        if seq < floor.max(skipped) {
            return None;
        }
        let changes = latest.into_iter().flat_map(move |it| {
            let from = it.changes.partition_point(|it| it.seq <= seq);
            it.changes.range(from..)
        });
        Some(changes.take_while(move |it| it.seq <= last))
    }
}
