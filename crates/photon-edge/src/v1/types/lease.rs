//! Leases in JSON: how workers come by tasks and tell of them.
//! Must not know when a lease lapses.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::object::{given_object, given_objects, object, objects};
use super::options::given_whole;
use super::{Message, Part, Raw, TaskState, given, whole};

/// Asks for work.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"agent": "shout", "limit": 1, "wait_ms": 0}))]
pub struct LeasePost {
    /// The agent that works; it is attached to the region that is asked.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$")]
    pub agent: String,
    /// How many tasks at most.
    #[serde(default = "one", deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 1000, default = 1)]
    pub limit: u32,
    /// How long to wait for the first, in milliseconds.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 0, maximum = 30_000, default = 0)]
    pub wait_ms: u32,
}

fn one() -> u32 {
    1
}

/// Leases that were granted; none if the wait was over.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Leases {
    /// The leases.
    pub leases: Vec<Lease>,
}

/// The right to work on a task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// The task.
    pub task: String,
    /// Shown with all that the worker tells; a later one ends it. It is text, because numbers of
    /// 64 bits are not safe in every language.
    #[schema(example = "4294967297")]
    pub token: String,
    /// Which attempt this is: 1 for the first.
    pub attempt: u32,
    /// The region that decides about the task.
    pub home: String,
    /// The skill that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub skill: Option<String>,
    /// The agent that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub agent: Option<String>,
    /// What is asked.
    #[schema(value_type = Message)]
    pub message: Raw<Message>,
    /// What workers asked of the client and what it answered since, in order; the last is an
    /// answer. Absent when there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Message>)]
    pub turns: Vec<Raw<Message>>,
    /// What workers before have done, in order: of each key what was said of it first. Absent when
    /// there is nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<Checkpoint>,
    /// The conversation that it belongs to.
    pub context_id: String,
    /// Where the task and all that belongs to it may live.
    pub placement: String,
    /// How long the worker may be silent.
    pub ttl_ms: u64,
    /// When this attempt has to be over (RFC 3339), if it has to: later it counts as failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    pub closes_at: Option<String>,
}

/// The worker lives.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "4294967297"}))]
pub struct HeartbeatPost {
    /// The lease's token.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub token: String,
}

/// The worker tells something.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "token": "4294967297", "first": 1,
    "notes": [{"artifact": {"id": "out", "text": "HELLO", "append": true, "last": false}}]
}))]
pub struct NotesPost {
    /// The lease's token.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub token: String,
    /// The number of the first note: the worker counts 1, 2, 3 .. within an attempt. Notes that
    /// were told before are passed over, so that repeating a request is safe.
    #[serde(deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    pub first: u64,
    /// The notes.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 1000)]
    pub notes: Vec<NotePost>,
}

/// One note: exactly one of `status`, `artifact` and `checkpoint`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NotePost {
    /// A remark.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<StatusNote>,
    /// A result, or a piece of one.
    #[serde(default, deserialize_with = "given_object", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub artifact: Option<ArtifactNote>,
    /// What need not be done again if this attempt comes to nothing.
    #[serde(default, deserialize_with = "given_object", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub checkpoint: Option<CheckpointNote>,
}

/// What a worker has done, for whoever goes on with the task if it cannot. Of several with one key
/// the first counts.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "outline", "value": {"chapters": 7}}))]
pub struct CheckpointNote {
    /// Names what was done: 1 to 128 visible ASCII characters.
    #[schema(pattern = "^[!-~]{1,128}$")]
    pub key: String,
    /// What came of it: any JSON of at most 64 KiB.
    pub value: serde_json::Value,
}

/// What a worker has done.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    /// Names what was done.
    pub key: String,
    /// What came of it.
    #[schema(value_type = serde_json::Value)]
    pub value: Raw<serde_json::Value>,
}

/// A remark: text, or a message as A2A has it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a text, or a message with `messageId`, `role` and `parts`")]
pub enum StatusNote {
    /// A message of one part of text.
    Text(String),
    /// A message.
    #[serde(deserialize_with = "object")]
    Message(Message),
}

/// A result, or a piece of one. Exactly one of `text` and `parts` says what it holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArtifactNote {
    /// Which artifact.
    #[schema(pattern = "^[!-~]{1,128}$")]
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// One part of text.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// Parts.
    #[serde(default, deserialize_with = "given_objects", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1)]
    pub parts: Option<Vec<Part>>,
    /// Whether it continues what the artifact holds; it begins anew otherwise.
    #[serde(default)]
    pub append: bool,
    /// Whether the artifact is whole with it.
    #[serde(default)]
    pub last: bool,
}

/// The worker has finished. At most one of `message` and `text` says something.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "4294967297"}))]
pub struct CompletePost {
    /// The lease's token.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub token: String,
    /// How many notes the worker has told in this attempt. With some of them missing, as after the
    /// loss of the task's home, the answer is 409 `note-gap`.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub notes: Option<u64>,
    /// A message as A2A has it.
    #[serde(default, deserialize_with = "given_object", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<Message>,
    /// A message of one part of text.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
}

/// The worker asks something of the client, and works no more until that has answered.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "4294967297", "for": "input", "text": "which colour?"}))]
pub struct PausePost {
    /// The lease's token.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub token: String,
    /// How many notes the worker has told in this attempt. With some of them missing, as after the
    /// loss of the task's home, the answer is 409 `note-gap`.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub notes: Option<u64>,
    /// What it waits for; `input` when absent.
    #[serde(default, rename = "for")]
    pub what_for: PauseFor,
    /// A message as A2A has it.
    #[serde(default, deserialize_with = "given_object", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<Message>,
    /// A message of one part of text.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
}

/// What a worker waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PauseFor {
    /// A message of the client.
    #[default]
    Input,
    /// To be let in somewhere; the client says so by a message.
    Auth,
}

/// The worker gives up.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"token": "4294967297", "reason": "exit status 1"}))]
pub struct FailPost {
    /// The lease's token.
    #[schema(pattern = "^(0|[1-9][0-9]{0,18})$")]
    pub token: String,
    /// How many notes the worker has told in this attempt. With some of them missing, as after the
    /// loss of the task's home, the answer is 409 `note-gap`.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    pub notes: Option<u64>,
    /// In words.
    pub reason: String,
    /// Whether the agent refuses the task, rather than failing at it.
    #[serde(default)]
    pub rejected: bool,
    /// Whether another attempt would not do better: the task fails, whatever its `retry_policy`.
    #[serde(default)]
    pub non_retryable: bool,
}

/// Where a task stands at its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// Its state.
    pub state: TaskState,
    /// Its generation.
    pub generation: u64,
}
