//! Moves of records in JSON: what is asked, and the receipt.
//! Must not hold any content.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which record shall live where.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "users/7", "to": "us"}))]
pub struct MovePost {
    /// The record, in 448 bytes at most.
    #[schema(min_length = 1)]
    pub key: String,
    /// Where it shall live: a value of the dataset's `residencies`, or `others`.
    #[schema(pattern = "^[!-~]{1,64}$")]
    pub to: String,
    /// Where it lives; else it is looked for in the region that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[!-~]{1,64}$")]
    pub from: Option<String>,
}

/// The receipt of a move: what was moved, where it was copied, removed, and purged.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MoveReceipt {
    /// The name of the move.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    pub id: String,
    /// The dataset.
    pub dataset: String,
    /// The record; absent once the move is over if the names of keys are sensitive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub key: Option<String>,
    /// SHA-256 of the move's 16 bytes, a byte with the length of the dataset's name, that, and the
    /// key.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub key_sha256: String,
    /// SHA-256 of the move's name and the content as it was first copied; absent if the names of
    /// keys are sensitive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[0-9a-f]{64}$")]
    pub content_sha256: Option<String>,
    /// The placement in which it lived.
    pub from: String,
    /// The placement in which it lives.
    pub to: String,
    /// The region that was asked.
    pub asked_in: String,
    /// The region that decided: the record's home in the old placement.
    pub decided_in: String,
    /// `copying`, `removing`, or `done`.
    pub state: String,
    /// When it began (RFC 3339).
    #[schema(format = DateTime)]
    pub begun_at: String,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub done_at: Option<String>,
    /// The copies: one, and one more for each time that something late was found.
    pub copies: Vec<MoveCopy>,
    /// The ops that removed what was copied from the old placement.
    pub removals: Vec<MoveOp>,
    /// The regions that may not hold the record any more.
    pub must_forget: Vec<String>,
    /// Those of them whose logs are free of it, and since when.
    pub purged: BTreeMap<String, String>,
    /// Whether nothing is left of it anywhere outside the new placement.
    pub is_purged: bool,
}

/// A copy that is durable in every region of the new placement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MoveCopy {
    /// The last op of the copy.
    pub op: MoveOp,
    /// The regions.
    pub regions: Vec<String>,
}

/// An op of one region under one placement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MoveOp {
    /// The region that made it.
    pub region: String,
    /// Its number.
    pub seq: u64,
}

/// Receipts of moves, the youngest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MoveReceipts {
    /// The receipts that this region knows: those of moves out of its placements.
    pub moves: Vec<MoveReceipt>,
    /// Give it back as `before` for those that follow; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_before: Option<String>,
}
