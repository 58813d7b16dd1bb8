//! Records of datasets in JSON.
//! Must not know how a content is kept.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::{DatasetType, Raw};

/// The tag of a record: changes with every change, the same in all regions that saw the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Etag(pub u64);

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Serialize for Etag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Etag {
    /// Reads a tag; none if the text cannot be one.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let is_tag = text.len() == 16 && text.bytes().all(|it| it.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| is_tag).map(Self)
    }
}

/// A record. Which of `value`, `values`, `value_base64`, `elements`, `fields` and `document` it
/// has follows from its type.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "key": "users/7", "type": "register", "etag": "9c1185a5c5e9fc54", "placement": "global",
    "value": {"name": "Ada"}, "region": "eu-west-1", "session": "AQ.."
}))]
pub struct Record {
    /// Its key.
    pub key: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub kind: DatasetType,
    /// Changes with every change; goes into `If-Match` and `If-None-Match`.
    #[schema(value_type = String, pattern = "^[0-9a-f]{16}$")]
    pub etag: Etag,
    /// Where it lives.
    pub placement: String,
    /// Where another record with this key lives: they were made apart, or it moves. The youngest is
    /// shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub also_in: Option<Vec<String>>,
    /// Of a register: its JSON value. Of a counter: its sum.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    pub value: Option<Raw<Value>>,
    /// Of a register that keeps all writes, when there are several: their values, the oldest
    /// first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Value>>, nullable = false)]
    pub values: Option<Vec<Raw<Value>>>,
    /// Of a register that holds bytes: those, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, content_encoding = "base64")]
    pub value_base64: Option<String>,
    /// Of a register that holds bytes: what they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub media_type: Option<String>,
    /// Of a bounded counter: how much of it the region that answers may take without asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<u64>)]
    pub rights_here: Option<u128>,
    /// Of a set: its elements.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Value>>, nullable = false)]
    pub elements: Option<Vec<Raw<Value>>>,
    /// Of a map: its fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, Value>>, nullable = false)]
    pub fields: Option<BTreeMap<String, Raw<Value>>>,
    /// Of a document: that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, Value>>, nullable = false)]
    pub document: Option<Raw<Value>>,
    /// Whether regions wrote it without knowing of each other, and all writes are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub conflict: Option<bool>,
    /// Of a map or a document that keeps all writes: the values of each field (of a document: its
    /// JSON pointer) that has several, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, Vec<Value>>>, nullable = false)]
    pub conflicts: Option<BTreeMap<String, Vec<Raw<Value>>>>,
    /// The region that answered; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub region: Option<String>,
    /// How long ago a change elsewhere may have been made that is not shown, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub staleness_ms: Option<u64>,
    /// After a write: in how many regions of the placement it is known to be durable.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub durable_in: Option<u64>,
    /// After a write: how many regions the placement has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub of: Option<u64>,
    /// What the session has seen with this; the header `Photon-Session` has it, too. Not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub session: Option<String>,
}

/// What became of a removal.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Removed {
    /// The record.
    pub key: String,
    /// The region that removed it.
    pub region: String,
    /// In how many regions of the placement that is known to be durable.
    pub durable_in: u64,
    /// How many regions the placement has.
    pub of: u64,
    /// What the session has seen with this.
    pub session: String,
}

/// Records, by key.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Records {
    /// The records.
    pub records: Vec<Record>,
    /// Give it back as `after` for those that follow; absent when there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_after: Option<String>,
    /// The placements that were looked at: records of others are not in the list.
    pub placements: Vec<String>,
    /// What the session has seen with this.
    pub session: String,
}

/// Several writes, each by itself, in order. All are decided by one region.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"writes": [{"key": "a", "put": 1}, {"key": "b", "delete": true}]}))]
pub struct BatchPost {
    /// The writes; a key may be named once.
    #[schema(min_items = 1, max_items = 1000)]
    pub writes: Vec<BatchWrite>,
}

/// One write: exactly one of `put`, `add`, `patch` and `delete`.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchWrite {
    /// The record.
    #[schema(min_length = 1, max_length = 448)]
    pub key: String,
    /// The new value: what the body of `PUT` would be.
    #[schema(required = false)]
    pub put: Value,
    /// Of counters: what to add; what is negative is taken.
    #[schema(nullable = false)]
    pub add: Option<i64>,
    /// What the body of `PATCH` would be.
    #[schema(nullable = false)]
    pub patch: Option<BTreeMap<String, Value>>,
    /// Remove the record; `true`.
    #[schema(nullable = false)]
    pub delete: Option<bool>,
    /// Only if the record has this tag, or, as `*`, if there is one.
    #[schema(nullable = false, pattern = "^(\\*|[0-9a-f]{16})$")]
    pub if_match: Option<String>,
    /// As `*`: only if there is no record.
    #[schema(nullable = false, pattern = "^\\*$")]
    pub if_none_match: Option<String>,
    /// How long it lasts.
    #[schema(nullable = false, minimum = 1, maximum = 3_153_600_000_000_i64)]
    pub ttl_ms: Option<u64>,
    /// Where the record lives, in a dataset with `residencies`; else where it lives already, or as
    /// the attribute in what is written says.
    #[schema(nullable = false, pattern = "^[!-~]{1,64}$")]
    pub residency: Option<String>,
}

/// What became of several writes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BatchWritten {
    /// The records, in the order of the writes.
    #[schema(value_type = Vec<BatchRecord>)]
    pub records: Vec<BatchRecord>,
    /// The region that wrote.
    pub region: String,
    /// In how many regions of the placement all of them are known to be durable.
    pub durable_in: u64,
    /// How many regions the placement has.
    pub of: u64,
    /// What the session has seen with this.
    pub session: String,
}

/// A record that was written: its tag, or with `return=representation` the whole.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum BatchRecord {
    /// The whole.
    Whole(Box<Record>),
    /// Its tag.
    Tag {
        /// Its key.
        key: String,
        /// Its tag.
        #[schema(value_type = String)]
        etag: Etag,
    },
}

/// A change that a watcher hears of.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DataChange {
    /// The record.
    pub key: String,
    /// The tag of the record as it is shown; absent if it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    pub etag: Option<Etag>,
    /// What the record is now; later changes may be in it already. `null` if it is gone.
    #[schema(required = true)]
    pub record: Option<Record>,
    /// When the change was made (RFC 3339).
    #[schema(format = DateTime)]
    pub at: String,
    /// The region that made it.
    pub by: String,
}

/// Some changes of a dataset.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DataChanges {
    /// The changes, in the order in which they came to the region; none if the wait was over.
    pub changes: Vec<DataChange>,
    /// Give it back as `position` for those that follow.
    pub position: String,
}
