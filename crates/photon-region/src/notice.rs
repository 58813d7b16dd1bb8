//! What the people who operate a region are told, by its log.
//! Must not name a record.

use photon_state::{Dot, Hlc, PlacementId, RegionId};

use crate::data::{DatasetName, Policy};

/// What the people who operate a region are told, by its log. It names no key of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Two writes were in conflict: a sample of those that were.
    Conflict(Box<ConflictSample>),
    /// Writes of a dataset are in conflict more often than they should be.
    ManyConflicts(ConflictRate),
    /// They no longer are.
    FewConflicts(ConflictRate),
    /// The clock of a peer is so far from this region's that one does not take the other's ops.
    ClockApart {
        /// The peer.
        region: RegionId,
        /// How far its clock is ahead; negative is behind.
        ahead_ms: i64,
    },
    /// It is near again.
    ClockAgrees {
        /// The peer.
        region: RegionId,
    },
    /// The clock of this region is the one that is off, or what it stamps.
    OwnClockOff {
        /// How far it is ahead; negative is behind.
        ahead_ms: i64,
    },
    /// It no longer is.
    OwnClockAgrees,
    /// Ops of a region wait until the clock here has come as far as that of their author had. Told
    /// once a minute.
    OpsWait {
        /// Whose ops.
        origin: RegionId,
        /// How far the first of them is ahead.
        ahead_ms: u64,
    },
}

/// Two writes of one record that did not know of each other, as the log tells of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictSample {
    /// The dataset.
    pub dataset: DatasetName,
    /// A hash of the key: the same for the same record in this life of the region's log. `None` if
    /// the names of keys are sensitive.
    pub key_hash: Option<u64>,
    /// Where the record lives.
    pub placement: PlacementId,
    /// What decides which is shown.
    pub policy: Policy,
    /// The write that arrived last, and when it was made.
    pub arrived: (Dot, Hlc),
    /// The write that was there, and when it was made.
    pub held: (Dot, Hlc),
    /// How many conflicts of the dataset were not told of since the one before.
    pub left_out: u64,
}

/// How often writes of a dataset are in conflict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictRate {
    /// The dataset.
    pub dataset: DatasetName,
    /// Conflicts in a second: the mean of the last ten.
    pub per_second: u64,
    /// How many there may be.
    pub per_second_max: u64,
}
