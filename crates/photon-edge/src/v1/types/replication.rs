//! How far regions are behind each other, and what is not as it should be, in JSON.
//! Must not know how that is found out.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How replication goes, as seen from the region that answers.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Replication {
    /// The region that answers.
    pub here: String,
    /// The other regions.
    pub peers: Vec<ReplicationPeer>,
    /// The datasets whose writes were in conflict since the region was started, by name.
    pub conflicts: Vec<DatasetConflicts>,
    /// Conflicts of a dataset in a second, above which there is an alarm.
    pub conflict_alarm_per_second: u64,
    /// What is not as it should be.
    pub warnings: Vec<Warning>,
}

/// How far another region and the one that answers are behind each other.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReplicationPeer {
    /// The other region.
    pub region: String,
    /// Whether there is a link to it.
    pub linked: bool,
    /// The last round trip measured to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub round_trip_ms: Option<f64>,
    /// How many ops of the region that answers are not yet durable there, as far as is known.
    pub lag_ops: u64,
    /// How long ago the first of them was made; absent until the other region has spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lag_ms: Option<u64>,
    /// How long ago the other region may have made an op that is missing here; absent until it has
    /// said what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub staleness_ms: Option<u64>,
    /// The same of each placement that both regions are in.
    pub placements: Vec<ReplicationLag>,
}

/// How far two regions are behind each other with the ops of one placement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReplicationLag {
    /// The placement.
    pub placement: String,
    /// How many ops of the region that answers are not yet durable at the other.
    pub lag_ops: u64,
    /// How long ago the first of them was made; absent until the other region has spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lag_ms: Option<u64>,
    /// How long ago the other region may have made an op that is missing here; absent until it has
    /// said what it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub staleness_ms: Option<u64>,
}

/// How often writes of a dataset were in conflict.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DatasetConflicts {
    /// The dataset.
    pub dataset: String,
    /// How many conflicts there were in this region since it was started.
    pub count: u64,
    /// How many in a second: the mean of the last ten.
    pub per_second: f64,
    /// Whether that is, or was a moment ago, more than there should be.
    pub alarm: bool,
}

/// Something that is not as it should be, although the region serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// What kind of thing.
    pub code: WarningCode,
    /// In words.
    pub text: String,
}

/// What is not as it should be, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WarningCode {
    /// The disk refuses writes.
    DiskFull,
    /// The disk takes long to sync.
    DiskSlow,
    /// Records take nearly all the room that they may.
    DataNearlyFull,
    /// Records take more memory than they may: pages find no room on the disk, or what stays in
    /// memory of records on pages is too much.
    DataMemoryFull,
    /// A placement is configured otherwise than all have agreed on.
    PlacementDiffers,
    /// The regions that agree do not know this one yet, or were founded without it.
    NotAdmitted,
    /// The clock of this region, or what was stamped with it, is too far from those of most others.
    ClockOff,
    /// There is no link to another region.
    LinkDown,
    /// Another region lacks changes of this one for too long.
    Lag,
    /// Changes of another region may be missing here for too long.
    Stale,
    /// A peer sends its state, because this region was away for too long.
    CatchingUp,
    /// Writes of a dataset are in conflict more often than they should be.
    Conflicts,
}
