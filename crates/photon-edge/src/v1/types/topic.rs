//! Topics in JSON.
//! Must not know how messages are numbered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::options::given_whole;
use super::{Raw, TaskAck, given};

/// The least bytes that a topic may be told to keep.
pub const TOPIC_BYTES_MIN: u64 = 1 << 20;
/// The most bytes that a topic may be told to keep.
pub const TOPIC_BYTES_MAX: u64 = 1 << 30;
/// The shortest time for which a topic may be told to keep messages, in milliseconds.
pub const TOPIC_MS_MIN: u64 = 1_000;
/// The longest time for which a topic may be told to keep messages, in milliseconds.
pub const TOPIC_MS_MAX: u64 = 365 * 24 * 3_600_000;

/// A topic: messages in one order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Where it and its messages may live.
    pub placement: String,
    /// The region that numbers its messages.
    pub home: String,
    /// How long messages are kept, in milliseconds, as far as `retention_bytes` allow.
    pub retention_ms: u64,
    /// Bytes of messages that are kept.
    pub retention_bytes: u64,
    /// The position of the first message that is kept; one more than `last` if there is none.
    pub first: u64,
    /// The position of the last message; 0 before there is one.
    pub last: u64,
    /// Bytes that its messages take in each region.
    pub bytes: u64,
}

/// Topics, by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Topics {
    /// The topics that may be known in this region.
    pub topics: Vec<Topic>,
}

/// For how long messages are kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"retention_ms": 3_600_000, "retention_bytes": 16_777_216}))]
pub struct TopicPut {
    /// How long, in milliseconds; a day when absent.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1_000, maximum = 31_536_000_000_i64)]
    pub retention_ms: Option<u64>,
    /// Bytes of all messages; 16 MiB when absent.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1_048_576, maximum = 1_073_741_824_i64)]
    pub retention_bytes: Option<u64>,
}

/// A message to be published.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"id": "order-7-done", "key": "order-7", "data": {"state": "done"}}))]
pub struct PostMessage {
    /// Its name within the topic: to publish it again, with the same content, changes nothing.
    /// Made up when absent.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[!-~]{1,128}$")]
    pub id: Option<String>,
    /// What it is about; who reads may want one key alone.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[!-~]{1,128}$")]
    pub key: Option<String>,
    /// What it says: any JSON of at most 64 KiB.
    #[schema(value_type = Object)]
    pub data: Raw<serde_json::Value>,
    /// Where it must be durable before it is acknowledged.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, inline, default = "region")]
    pub ack: Option<TaskAck>,
}

/// A message that was published.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Published {
    /// Its name.
    pub id: String,
    /// Its place in the topic: 1, 2, 3 .. without gaps.
    pub position: u64,
    /// Its place, to read on from it.
    #[schema(example = "1-42")]
    pub cursor: String,
    /// Whether it was there before.
    pub repeated: bool,
}

/// A message of a topic.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopicMessage {
    /// Its place in the topic: 1, 2, 3 .. without gaps.
    pub position: u64,
    /// Its place, to read on after it.
    #[schema(example = "1-42")]
    pub cursor: String,
    /// Its name.
    pub id: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub key: Option<String>,
    /// When its home took it (RFC 3339).
    #[schema(format = DateTime)]
    pub at: String,
    /// What it says.
    #[schema(value_type = Object)]
    pub data: Raw<serde_json::Value>,
}

/// Messages of a topic, in order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TopicMessages {
    /// The messages; none if the wait was over.
    pub messages: Vec<TopicMessage>,
    /// From where to read on: `after` of the next request.
    #[schema(example = "1-42")]
    pub next: String,
    /// The position of the first message that is kept.
    pub first: u64,
    /// The position of the last message that is known in this region.
    pub last: u64,
    /// Whether messages after the one that was asked for are kept no more.
    pub gap: bool,
}
