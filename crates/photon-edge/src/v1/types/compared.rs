//! What tells whether regions agree, in JSON: conflicts that were met, digests of ranges.
//! Must not know any record.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ConflictPolicy;

/// Writes that met another one that their author had not seen.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DataConflicts {
    /// How many there were in this region since it was started.
    pub count: u64,
    /// The last of them, the youngest first.
    pub last: Vec<DataConflict>,
}

/// What the records of a range amount to in one region.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DataDigest {
    /// How many records there are.
    pub records: u64,
    /// Equal where all of them are equal, removed and expired contents included.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    pub digest: String,
    /// The last key, if the limit cut the range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cut_at: Option<String>,
    /// What was seen of the placement: regions where it is equal must have equal digests.
    #[schema(pattern = "^[0-9a-f]{16}$")]
    pub seen: String,
}

/// Two writes of one record that did not know of each other.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DataConflict {
    /// The record.
    pub key: String,
    /// Where it lives.
    pub placement: String,
    /// What decides which is shown.
    pub policy: ConflictPolicy,
    /// The write that arrived last.
    pub arrived: ConflictWrite,
    /// The write that was there.
    pub held: ConflictWrite,
}

/// One of two writes that did not know of each other.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConflictWrite {
    /// The region that wrote.
    pub region: String,
    /// Its number among the writes of that region to the placement.
    pub seq: u64,
    /// When it was written (RFC 3339).
    #[schema(format = DateTime)]
    pub at: String,
}
