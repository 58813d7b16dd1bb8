//! What clients may ask of datasets and their records, and what they hear.
//! Must not decide anything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_state::crdt::Version;
use photon_state::{Dot, Hlc, PlacementId, RegionId, Seen};

use super::moves::{Adopt, MoveId, Receipt};
use super::spec::{DatasetName, DatasetSpec, Policy, ReadLevel, Spot, WriteLevel};

/// What a client may ask of the data. All of it may be handed on to another region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataCommand {
    /// Declare a dataset, or change how it is read and written.
    Declare(Arc<DatasetSpec>),
    /// Forget a dataset that has no records here.
    Drop(DatasetName),
    /// Show one dataset.
    Dataset(DatasetName),
    /// List all datasets by name.
    Datasets,
    /// Make another region the only one that writes a dataset.
    MoveMaster {
        /// The dataset.
        dataset: DatasetName,
        /// The region that shall write it.
        to: RegionId,
        /// How long to wait at most until that region has everything.
        wait: Duration,
    },
    /// Move a record to another placement.
    Move {
        /// The dataset.
        dataset: DatasetName,
        /// The record.
        key: Bytes,
        /// Where it shall live.
        to: Spot,
        /// Where it lives; else it is looked for in the region that is asked.
        from: Option<Spot>,
        /// The region that was asked first, if it has handed the command on.
        asked_in: Option<RegionId>,
        /// How long to wait at most until it is over.
        wait: Duration,
    },
    /// Take in a copy of a record that moves: one region asks another.
    Adopt {
        /// The copy.
        adopt: Box<Adopt>,
        /// How long to wait at most until every region of the placement has it.
        wait: Duration,
    },
    /// Show the receipts of moves that are known here, the youngest first.
    Receipts {
        /// The dataset.
        dataset: DatasetName,
        /// Only this one.
        id: Option<MoveId>,
        /// Only those older than this one.
        before: Option<MoveId>,
        /// How many at most.
        limit: usize,
    },
    /// Write the state into the log soon, so that older bytes can go.
    Compact,
    /// Show the last conflicts of a dataset that were seen here.
    Conflicts(DatasetName),
    /// Show what all records of a range amount to here, for those who compare regions.
    Digest {
        /// The dataset.
        dataset: DatasetName,
        /// Of which placement.
        placement: PlacementId,
        /// Only keys after this one.
        after: Option<Bytes>,
        /// Only keys up to this one.
        upto: Option<Bytes>,
        /// How many records at most.
        limit: usize,
    },
    /// Change records of one dataset, each by itself, in order.
    Write {
        /// The dataset.
        dataset: DatasetName,
        /// What is written; at least one.
        writes: Vec<Write>,
        /// When to acknowledge; else as the dataset says.
        level: Option<WriteLevel>,
        /// What the session has seen: the writes depend on it.
        session: Seen,
        /// How long to wait at most for the level.
        wait: Duration,
    },
    /// Show a record.
    Read {
        /// The dataset.
        dataset: DatasetName,
        /// The record.
        key: Bytes,
        /// How to read.
        how: ReadHow,
    },
    /// Show records by key.
    Scan {
        /// The dataset.
        dataset: DatasetName,
        /// Only keys that begin with it.
        prefix: Bytes,
        /// Only keys after this one.
        after: Option<Bytes>,
        /// How many at most.
        limit: usize,
        /// How to read; not at `quorum`.
        how: ReadHow,
    },
    /// Show what changed after a position; waits for a change if there is none yet.
    Watch {
        /// The dataset.
        dataset: DatasetName,
        /// Only keys that begin with it.
        prefix: Bytes,
        /// Only records that live there; else those that live in the region that is asked.
        spot: Option<Spot>,
        /// After what; `None` means from now on.
        position: Option<Seen>,
        /// How long to wait at most.
        wait: Duration,
    },
}

impl DataCommand {
    /// Returns how long it may wait.
    #[must_use]
    pub fn wait(&self) -> Duration {
        match self {
            Self::MoveMaster { wait, .. }
            | Self::Move { wait, .. }
            | Self::Adopt { wait, .. }
            | Self::Write { wait, .. }
            | Self::Watch { wait, .. } => *wait,
            Self::Read { how, .. } | Self::Scan { how, .. } => how.wait,
            Self::Declare(_)
            | Self::Drop(_)
            | Self::Dataset(_)
            | Self::Datasets
            | Self::Receipts { .. }
            | Self::Compact
            | Self::Conflicts(_)
            | Self::Digest { .. } => Duration::ZERO,
        }
    }

    /// Iterates over what it says that a session or a watcher has seen.
    pub(super) fn sessions(&mut self) -> impl Iterator<Item = &mut Seen> {
        let session = match self {
            Self::Write { session, .. } => Some(session),
            Self::Read { how, .. } | Self::Scan { how, .. } => Some(&mut how.session),
            Self::Watch { position, .. } => position.as_mut(),
            Self::Adopt { adopt, .. } => Some(&mut adopt.needs),
            Self::Declare(_)
            | Self::Drop(_)
            | Self::Dataset(_)
            | Self::Datasets
            | Self::MoveMaster { .. }
            | Self::Move { .. }
            | Self::Receipts { .. }
            | Self::Compact
            | Self::Conflicts(_)
            | Self::Digest { .. } => None,
        };
        session.into_iter()
    }

    /// Returns about how many bytes it takes on a link.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Write { writes, .. } => {
                writes.iter().map(|it| 32 + it.key.len() + it.edit.weight()).sum()
            }
            Self::Adopt { adopt, .. } => 128 + adopt.weight(),
            Self::Declare(_)
            | Self::Drop(_)
            | Self::Dataset(_)
            | Self::Datasets
            | Self::MoveMaster { .. }
            | Self::Move { .. }
            | Self::Receipts { .. }
            | Self::Compact
            | Self::Conflicts(_)
            | Self::Digest { .. }
            | Self::Read { .. }
            | Self::Scan { .. }
            | Self::Watch { .. } => 128,
        }
    }
}

/// How to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadHow {
    /// What may be missed; else as the dataset says.
    pub level: Option<ReadLevel>,
    /// What the session has seen.
    pub session: Seen,
    /// How long ago a change elsewhere may have been made that is missed.
    pub staleness_max: Option<Duration>,
    /// How long to wait at most until that is so.
    pub wait: Duration,
    /// Where the record lives; else it is looked for.
    pub spot: Option<Spot>,
}

/// A change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The record.
    pub key: Bytes,
    /// What to do.
    pub edit: Edit,
    /// Only if; decided by the record's home.
    pub expect: Option<Expect>,
    /// How long it lasts; else as the dataset says.
    pub ttl: Option<Duration>,
    /// Where the record lives; else where it lives already.
    pub spot: Option<Spot>,
}

/// What to do to a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// Write a register.
    Put(Bytes),
    /// Add to a counter, or take from it.
    Add(i64),
    /// Change fields of a map or a document, or elements of a set (fields without content).
    Fields(Vec<FieldEdit>),
    /// Replace all fields: those that are not named are removed.
    Replace(Vec<(Bytes, Bytes)>),
    /// Remove everything that is known here. What is written elsewhere meanwhile stays.
    Delete,
}

/// What to do to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldEdit {
    /// Write it.
    Set(Bytes, Bytes),
    /// Remove it.
    Remove(Bytes),
    /// Remove every field whose name begins so.
    RemoveUnder(Bytes),
}

/// What a conditional write expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The record as it was when it had one of these fingerprints.
    Fingerprint(Vec<u64>),
    /// That there is a record.
    Present,
    /// That there is none.
    Absent,
}

/// What a client hears of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataReply {
    /// To `Declare`, `Dataset` and `MoveMaster`.
    Dataset(Arc<DatasetSpec>),
    /// To `Datasets`.
    Datasets(Vec<Arc<DatasetSpec>>),
    /// To `Drop`.
    Dropped,
    /// To `Move`: how far it is.
    Moved(Box<Receipt>),
    /// To `Receipts`; `more` when the limit cut the list.
    Receipts {
        /// The receipts, the youngest first.
        receipts: Vec<Receipt>,
        /// Whether there are more.
        more: bool,
    },
    /// To `Compact`.
    Compacting,
    /// To `Conflicts`.
    Conflicts(Conflicts),
    /// To `Digest`.
    Digest(RangeDigest),
    /// To `Write`.
    Written(Written),
    /// To `Read`.
    Found(Found),
    /// To `Scan`; `more` when the limit cut it.
    Page {
        /// The records, by key.
        records: Vec<(Bytes, Shown)>,
        /// Whether there are more.
        more: bool,
        /// The placements that were looked at: records of others are not in the list.
        placements: Vec<PlacementId>,
        /// What the session has seen with this.
        session: Seen,
    },
    /// To `Watch`: the changes in the order in which they came here, possibly none.
    Changes {
        /// The changes.
        changes: Vec<Change>,
        /// After what to go on.
        position: Seen,
    },
}

impl DataReply {
    /// Returns what it says that a session or a watcher has seen.
    pub(super) fn session(&mut self) -> Option<&mut Seen> {
        match self {
            Self::Written(written) => Some(&mut written.session),
            Self::Found(found) => Some(&mut found.session),
            Self::Page { session, .. } | Self::Changes { position: session, .. } => Some(session),
            Self::Dataset(_)
            | Self::Datasets(_)
            | Self::Dropped
            | Self::Moved(_)
            | Self::Receipts { .. }
            | Self::Compacting
            | Self::Conflicts(_)
            | Self::Digest(_) => None,
        }
    }

    /// Returns about how many bytes it takes on a link.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Written(written) => written.records.iter().map(Shown::weight).sum(),
            Self::Found(found) => found.record.as_ref().map_or(0, Shown::weight),
            Self::Page { records, .. } => {
                records.iter().map(|(key, it)| key.len() + it.weight()).sum()
            }
            Self::Changes { changes, .. } => changes.iter().map(Change::weight).sum(),
            Self::Dataset(_)
            | Self::Datasets(_)
            | Self::Dropped
            | Self::Moved(_)
            | Self::Compacting
            | Self::Conflicts(_)
            | Self::Digest(_) => 256,
            Self::Receipts { receipts, .. } => 512 * receipts.len(),
        }
    }
}

/// What became of writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// What each record is now, in the order of the writes.
    pub records: Vec<Shown>,
    /// The region that wrote.
    pub region: RegionId,
    /// In how many regions of the placement they are known to be durable.
    pub durable_in: usize,
    /// How many regions the placement has.
    pub members: usize,
    /// What the session has seen with this.
    pub session: Seen,
}

/// A record that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is; `None` if there is none.
    pub record: Option<Shown>,
    /// The region that answered.
    pub region: RegionId,
    /// How many regions were asked.
    pub asked: usize,
    /// How long ago a change elsewhere may have been made that is not shown, as far as is known.
    pub staleness: Option<Duration>,
    /// What the session has seen with this.
    pub session: Seen,
}

/// A record as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it holds.
    pub content: Content,
    /// Changes with every change; the same in all regions that have seen the same.
    pub fingerprint: u64,
    /// Where it lives.
    pub placement: PlacementId,
    /// Where else a record with this key lives, made apart; the youngest is shown.
    pub also_in: Vec<PlacementId>,
}

impl Shown {
    /// Returns when the last of what is shown was written; counters do not know.
    #[must_use]
    pub fn at(&self) -> Option<Hlc> {
        let Content::Fields(fields) = &self.content else { return None };
        fields.iter().flat_map(|(_, all)| all).map(|it| it.at).max()
    }

    /// Whether there is more to it than a counter at zero, of which all may have moved elsewhere.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match &self.content {
            Content::Fields(_) => true,
            Content::Number(sum) => *sum != 0,
            Content::Quota { value, .. } => *value != 0,
        }
    }

    /// Returns about how many bytes it takes in a reply.
    pub(super) fn weight(&self) -> usize {
        let fields = match &self.content {
            Content::Fields(fields) => fields.as_slice(),
            Content::Number(_) | Content::Quota { .. } => &[],
        };
        let versions =
            |all: &[Version]| -> usize { all.iter().map(|it| 64 + it.written.bytes.len()).sum() };
        64 + fields.iter().map(|(field, all)| field.len() + versions(all)).sum::<usize>()
    }
}

/// What a record holds, with conflicts resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Fields by name, each with the writes that are shown: one, or all if all are kept. A
    /// register is one field without a name; the elements of a set are fields without content.
    Fields(Vec<(Bytes, Vec<Version>)>),
    /// A counter.
    Number(i128),
    /// A bounded counter.
    Quota {
        /// What is left.
        value: i128,
        /// How much of it this region may take without asking.
        rights: u128,
    },
}

/// A change that a watcher hears of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The record.
    pub key: Bytes,
    /// The op that changed it.
    pub dot: Dot,
    /// When it was made.
    pub at: Hlc,
    /// What the record is now; later changes may be in it already. `None` if it is gone.
    pub record: Option<Shown>,
    /// The position after this change.
    pub position: Seen,
}

/// Conflicts of one dataset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// How many writes met another one that their author had not seen, since the start.
    pub count: u64,
    /// The last of them, the youngest first.
    pub last: Vec<Conflict>,
}

/// What the records of a range amount to in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeDigest {
    /// How many records there are.
    pub records: usize,
    /// Equal where all of them are equal, removed and expired contents included.
    pub digest: u64,
    /// The last key, if the limit cut the range.
    pub cut_at: Option<Bytes>,
    /// Tells what was seen of the placement: only regions where it is equal must be equal.
    pub seen: u64,
}

/// Two writes of one record that did not know of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The record.
    pub key: Bytes,
    /// Where it lives.
    pub placement: PlacementId,
    /// What decides which is shown.
    pub policy: Policy,
    /// The write that arrived last, and when it was made.
    pub arrived: (Dot, Hlc),
    /// The write that was there, and when it was made.
    pub held: (Dot, Hlc),
}
