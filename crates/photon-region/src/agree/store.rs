//! The log of the group in memory, and the words in which it is written to the region's own log.
//! Must not know what an entry says.

use std::collections::BTreeMap;

use bytes::Bytes;
use photon_state::{PlacementId, RegionId};
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, Result, Storage, StorageError};

/// What a member of the group must not forget.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Kept {
    /// The name of this life in the group, once it is known; see [`super::enrol`].
    pub(crate) id: Option<u64>,
    /// Whether this region came to a planet that had been founded without it.
    pub(crate) has_joined: bool,
    /// In which incarnation each region was first heard of.
    pub(crate) bound: BTreeMap<RegionId, u64>,
    /// Up to which decree this region has taken over what it became the home of.
    pub(crate) active: BTreeMap<PlacementId, u64>,
    pub(crate) hard: HardState,
    /// What stands for all entries that are gone.
    pub(crate) snapshot: Snapshot,
    pub(crate) entries: Vec<Entry>,
}

/// What is added to it by one write.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Addition {
    pub(crate) id: Option<u64>,
    pub(crate) has_joined: bool,
    pub(crate) bound: BTreeMap<RegionId, u64>,
    pub(crate) active: BTreeMap<PlacementId, u64>,
    pub(crate) hard: Option<HardState>,
    /// It ends all entries before it.
    pub(crate) snapshot: Option<Snapshot>,
    /// They replace those from the first of them on.
    pub(crate) entries: Vec<Entry>,
}

impl Kept {
    /// Takes in what was, or is being, written.
    pub(crate) fn add(&mut self, addition: Addition) {
        self.id = addition.id.or(self.id);
        self.has_joined |= addition.has_joined;
        self.bound.extend(addition.bound);
        self.active.extend(addition.active);
        if let Some(hard) = addition.hard {
            self.hard = hard;
        }
        if let Some(snapshot) = addition.snapshot {
            let index = snapshot.get_metadata().index;
            self.entries.retain(|it| index < it.index);
            if self.entries.first().is_some_and(|it| it.index != index + 1) {
                self.entries.clear();
            }
            self.hard.commit = self.hard.commit.max(index);
            self.snapshot = snapshot;
        }
        if let Some(first) = addition.entries.first() {
            let index = first.index;
            self.entries.retain(|it| it.index < index);
            assert!(self.last() + 1 == index, "the entries of a group have no gap");
            self.entries.extend(addition.entries);
        }
    }

    /// Whether entries leave no gap.
    pub(crate) fn goes_on_with(&self, entries: &[Entry]) -> bool {
        entries.first().is_none_or(|it| self.base() < it.index && it.index <= self.last() + 1)
    }

    /// Returns all of it, to be written at once.
    pub(crate) fn whole(&self) -> Addition {
        Addition {
            id: self.id,
            has_joined: self.has_joined,
            bound: self.bound.clone(),
            active: self.active.clone(),
            hard: Some(self.hard.clone()),
            snapshot: Some(self.snapshot.clone()),
            entries: self.entries.clone(),
        }
    }

    /// Returns what a group begins with that goes on from here, in a term of its own.
    pub(crate) fn founded_anew(&self, index: u64, conf: ConfState, charter: Bytes) -> Self {
        let mut kept = Self { entries: Vec::new(), ..self.clone() };
        (kept.hard.term, kept.hard.vote, kept.hard.commit) = (self.hard.term + 1, 0, index);
        kept.snapshot = Snapshot { data: charter, ..Snapshot::default() };
        let metadata = kept.snapshot.mut_metadata();
        (metadata.index, metadata.term) = (index, kept.hard.term);
        metadata.set_conf_state(conf);
        kept
    }

    fn base(&self) -> u64 {
        self.snapshot.get_metadata().index
    }

    fn last(&self) -> u64 {
        self.entries.last().map_or(self.base(), |it| it.index)
    }

    /// Iterates over the entries after an index.
    pub(crate) fn after(&self, index: u64) -> impl Iterator<Item = &Entry> {
        let skipped = usize::try_from(index.saturating_sub(self.base())).unwrap_or(usize::MAX);
        self.entries.iter().skip(skipped)
    }

    /// Lets the snapshot stand for all entries up to an index.
    pub(crate) fn compact(&mut self, index: u64, conf: ConfState, charter: Bytes) {
        let Ok(term) = self.term(index) else { return };
        let mut snapshot = Snapshot { data: charter, ..Snapshot::default() };
        let metadata = snapshot.mut_metadata();
        (metadata.index, metadata.term) = (index, term);
        metadata.set_conf_state(conf);
        self.add(Addition { snapshot: Some(snapshot), ..Addition::default() });
    }
}

impl Storage for Kept {
    fn initial_state(&self) -> Result<RaftState> {
        let conf_state = self.snapshot.get_metadata().get_conf_state().clone();
        Ok(RaftState { hard_state: self.hard.clone(), conf_state })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _: GetEntriesContext,
    ) -> Result<Vec<Entry>> {
        if low <= self.base() {
            return Err(Error::Store(StorageError::Compacted));
        }
        assert!(high <= self.last() + 1, "only entries that are there are asked for");
        let found = self.entries.iter().filter(|it| low <= it.index && it.index < high);
        let mut found: Vec<Entry> = found.cloned().collect();
        raft::util::limit_size(&mut found, max_size.into());
        Ok(found)
    }

    fn term(&self, index: u64) -> Result<u64> {
        if index == self.base() {
            return Ok(self.snapshot.get_metadata().term);
        }
        if index < self.base() {
            return Err(Error::Store(StorageError::Compacted));
        }
        let at = usize::try_from(index - self.base() - 1).unwrap_or(usize::MAX);
        let entry = self.entries.get(at).ok_or(Error::Store(StorageError::Unavailable))?;
        Ok(entry.term)
    }

    fn first_index(&self) -> Result<u64> {
        Ok(self.base() + 1)
    }

    fn last_index(&self) -> Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _: u64) -> Result<Snapshot> {
        if self.base() < request_index {
            return Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        Ok(self.snapshot.clone())
    }
}
