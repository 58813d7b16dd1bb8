//! Tasks and their events in JSON.
//! Must not know how a task comes by its state.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::object::{given_object, given_objects};
use super::{Message, Part, Raw, TaskOptions, given};

/// What a client asks for. Exactly one of `skill` and `agent` says of whom, exactly one of
/// `text`, `parts` and `message` says what.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"skill": "text.upper", "text": "hello"}))]
pub struct TaskPost {
    /// Any agent that has this skill.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")]
    pub skill: Option<String>,
    /// This agent.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[a-z0-9][a-z0-9._-]{0,62}$")]
    pub agent: Option<String>,
    /// A message of one part of text.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// A message of these parts.
    #[serde(default, deserialize_with = "given_objects", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1)]
    pub parts: Option<Vec<Part>>,
    /// A message as A2A has it. Its `taskId` is dropped: the task is new.
    #[serde(default, deserialize_with = "given_object", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<Message>,
    /// Where the task and all that belongs to it may live; `global` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z][a-z0-9-]{0,22}$")]
    pub placement: Option<String>,
    /// The conversation that it belongs to. When absent that of the message, or a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[!-~]{1,128}$")]
    pub context_id: Option<String>,
    /// Where it has to be durable before it is acknowledged: `region` when absent.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub ack: Option<TaskAck>,
    /// How it is queued, timed and tried again.
    #[serde(default, deserialize_with = "given_object", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub options: Option<TaskOptions>,
}

/// Where a task has to be durable before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskAck {
    /// In the region that accepts it.
    Region,
    /// In a majority of the regions of its placement: the loss of one of them loses nothing.
    Quorum,
}

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Task {
    /// Its name.
    #[schema(example = "06bm0d7t5g7r8tq8b1k3s0w9ze")]
    pub id: String,
    /// Where it stands.
    pub state: TaskState,
    /// The skill that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub skill: Option<String>,
    /// The agent that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub agent: Option<String>,
    /// Where the task and all that belongs to it may live.
    pub placement: String,
    /// The conversation that it belongs to.
    pub context_id: String,
    /// The region that decides about it.
    pub home: String,
    /// How many events it has.
    pub generation: u64,
    /// The attempt that is under way, or the last one; 0 before the first.
    pub attempt: u32,
    /// Who works on it, or did last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub worker: Option<Worker>,
    /// When it was accepted (RFC 3339).
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When its last event was written (RFC 3339).
    #[schema(format = DateTime)]
    pub changed_at: String,
    /// How it is queued, timed and tried again; absent if nothing was said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub options: Option<TaskOptions>,
    /// The task that it is a part of, if that is asked of many (`options.fan_out`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub part_of: Option<String>,
    /// What was asked.
    #[schema(value_type = Message)]
    pub message: Raw<Message>,
    /// What workers asked of the client and what it answered since, in order; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Message>>, nullable = false)]
    pub turns: Option<Vec<Raw<Message>>>,
    /// What was said last; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Message>, nullable = false)]
    pub last_message: Option<Raw<Message>>,
    /// The artifacts of the last attempt, in the order of their beginning; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub artifacts: Option<Vec<Artifact>>,
    /// How old this may be: no event is missing that was written earlier. 0 from the task's home;
    /// absent if it is not known, as while homes change. Not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub staleness_ms: Option<u64>,
}

/// Where a task stands. The last four are terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for an agent.
    Submitted,
    /// An agent holds the lease.
    Working,
    /// Waits for a message of the client.
    InputRequired,
    /// Waits for the client to let the agent in somewhere, and to say so by a message.
    AuthRequired,
    /// Done.
    Completed,
    /// Given up.
    Failed,
    /// Called off.
    Canceled,
    /// Refused by the agent.
    Rejected,
}

impl TaskState {
    /// Whether the task has ended, for ever.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        photon_region::TaskState::from(self).is_terminal()
    }
}

impl From<photon_region::TaskState> for TaskState {
    fn from(state: photon_region::TaskState) -> Self {
        match state {
            photon_region::TaskState::Submitted => Self::Submitted,
            photon_region::TaskState::Working => Self::Working,
            photon_region::TaskState::InputRequired => Self::InputRequired,
            photon_region::TaskState::AuthRequired => Self::AuthRequired,
            photon_region::TaskState::Completed => Self::Completed,
            photon_region::TaskState::Failed => Self::Failed,
            photon_region::TaskState::Canceled => Self::Canceled,
            photon_region::TaskState::Rejected => Self::Rejected,
        }
    }
}

impl From<TaskState> for photon_region::TaskState {
    fn from(state: TaskState) -> Self {
        match state {
            TaskState::Submitted => Self::Submitted,
            TaskState::Working => Self::Working,
            TaskState::InputRequired => Self::InputRequired,
            TaskState::AuthRequired => Self::AuthRequired,
            TaskState::Completed => Self::Completed,
            TaskState::Failed => Self::Failed,
            TaskState::Canceled => Self::Canceled,
            TaskState::Rejected => Self::Rejected,
        }
    }
}

/// Who works on a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    /// The agent.
    pub agent: String,
    /// Where it is attached.
    pub region: String,
}

/// A result.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Artifact {
    /// Its name within the task.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// What it holds: A2A `Part`s.
    #[schema(value_type = Vec<Part>)]
    pub parts: Raw<Vec<Part>>,
    /// Whether it is whole.
    pub is_whole: bool,
}

/// Tasks, the youngest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tasks {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Give it back as `cursor` for those that follow; absent when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// Answers what a worker asked. Exactly one of `text`, `parts` and `message` says what.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "the blue one"}))]
pub struct AnswerPost {
    /// A message of one part of text.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub text: Option<String>,
    /// A message of these parts.
    #[serde(default, deserialize_with = "given_objects", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 1)]
    pub parts: Option<Vec<Part>>,
    /// A message as A2A has it.
    #[serde(default, deserialize_with = "given_object", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<Message>,
    /// The generation under which the question was asked, as its event has it: the answer is
    /// refused once something else is asked. When absent it answers whatever is asked.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub generation: Option<u64>,
}

/// Why a task is called off.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "not needed any more"}))]
pub struct CancelPost {
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One event of a task.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskEvent {
    /// Its number: 1, 2, 3 .. without gaps.
    pub generation: u64,
    /// When it was written (RFC 3339).
    #[schema(format = DateTime)]
    pub at: String,
    /// What happened.
    pub kind: EventKind,
    /// Where the task stands after it.
    pub state: TaskState,
    /// Which attempt it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub attempt: Option<u32>,
    /// With `claimed`: who works on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub worker: Option<Worker>,
    /// With `requeued`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<RequeueReason>,
    /// With `submitted`, `status`, `requeued`, `paused`, `answered` and `ended`: what is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Message>, nullable = false)]
    pub message: Option<Raw<Message>>,
    /// With `artifact`: a result, or a piece of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub artifact: Option<ArtifactChunk>,
    /// With `checkpoint`: its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub checkpoint: Option<String>,
}

/// What happened to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// It was accepted by its home.
    Submitted,
    /// An agent got the lease.
    Claimed,
    /// The worker made a remark.
    Status,
    /// The worker gave a result, or a piece of one.
    Artifact,
    /// The worker said what need not be done again.
    Checkpoint,
    /// The attempt came to nothing; the task waits again.
    Requeued,
    /// The worker asked something of the client, and works no more until that has answered.
    Paused,
    /// The client answered; the task waits for an agent to go on.
    Answered,
    /// It ended. Always the last.
    Ended,
}

impl EventKind {
    /// Returns the kind's name: `submitted`, `claimed` ..
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Claimed => "claimed",
            Self::Status => "status",
            Self::Artifact => "artifact",
            Self::Checkpoint => "checkpoint",
            Self::Requeued => "requeued",
            Self::Paused => "paused",
            Self::Answered => "answered",
            Self::Ended => "ended",
        }
    }
}

/// Why a task went back to its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequeueReason {
    /// The worker fell silent.
    Lapsed,
    /// No worker of the agent took it up.
    Declined,
    /// The worker said that it failed.
    Failed,
    /// The attempt took too long.
    TimedOut,
}

/// A piece of an artifact.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ArtifactChunk {
    /// Which artifact.
    pub id: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// What it holds: A2A `Part`s.
    #[schema(value_type = Vec<Part>)]
    pub parts: Raw<Vec<Part>>,
    /// Whether it continues what the artifact holds; it begins anew otherwise.
    pub append: bool,
    /// Whether the artifact is whole with it.
    pub last: bool,
}

/// Some events of a task, in order.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TaskEvents {
    /// The events; none if the wait was over.
    pub events: Vec<TaskEvent>,
    /// Where the task stands.
    pub state: TaskState,
    /// Give it back as `after` for those that follow.
    pub next_after: u64,
    /// How old this may be: no event is missing that was written earlier. 0 from the task's home;
    /// absent if it is not known, as while homes change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub staleness_ms: Option<u64>,
}
