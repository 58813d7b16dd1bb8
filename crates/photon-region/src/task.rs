//! A task as a value: what is asked, by whom it is done, what came of it.
//! Must not know of queues, leases in time, or replication.

use std::sync::Arc;

use bytes::Bytes;
use photon_state::{PlacementId, RegionId};

pub use crate::task_id::{Shard, TaskId, TaskIdError, placement_tag, region_tag};
use crate::terms::Terms;

/// JSON text, checked by whoever made it. The machine carries it and never looks inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json(pub Bytes);

/// Names an agent on the planet.
pub type AgentName = Arc<str>;

/// Names something that an agent can do, such as `text.upper`.
pub type Skill = Arc<str>;

/// Guards the work on a task: epoch of the home, then the attempt. The greater token wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl Token {
    /// Makes the token of an attempt.
    #[must_use]
    pub fn new(epoch: u32, attempt: u32) -> Self {
        Self(u64::from(epoch) << 32 | u64::from(attempt))
    }

    /// Returns the epoch of the home that gave it.
    #[must_use]
    pub fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns which attempt at the task this is: 1 for the first.
    #[must_use]
    pub fn attempt(self) -> u32 {
        self.0 as u32
    }
}

/// The right to work on a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The task.
    pub task: TaskId,
    /// Which right it is; a later one ends it.
    pub token: Token,
}

/// Who can do a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Any agent that has the skill.
    Skill(Skill),
    /// One agent.
    Agent(AgentName),
}

/// The key of a client that may ask twice and means it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Chosen by the client.
    pub key: Arc<str>,
    /// A digest of what was asked.
    pub digest: [u8; 16],
}

/// Where a task has to be durable before its submission is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// In the region that accepts it.
    #[default]
    Region,
    /// In a majority of the regions of its placement: the loss of one of them loses nothing.
    Quorum,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Who can do it.
    pub target: Target,
    /// Where the task and all that belongs to it may live.
    pub placement: PlacementId,
    /// The message to the agent: an A2A `Message`.
    pub message: Json,
    /// The conversation that it belongs to.
    pub context: Arc<str>,
    /// Makes a repeated submission harmless.
    pub idempotency: Option<Idempotency>,
    /// When it is acknowledged.
    pub ack: Ack,
    /// How it is queued, timed and tried again, if anything is said of it.
    pub terms: Option<Arc<Terms>>,
}

/// Where a task stands. The last four are terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
        match self {
            Self::Submitted | Self::Working | Self::InputRequired | Self::AuthRequired => false,
            Self::Completed | Self::Failed | Self::Canceled | Self::Rejected => true,
        }
    }

    /// Whether the task waits for a message of the client.
    #[must_use]
    pub fn is_paused(self) -> bool {
        match self {
            Self::InputRequired | Self::AuthRequired => true,
            Self::Submitted
            | Self::Working
            | Self::Completed
            | Self::Failed
            | Self::Canceled
            | Self::Rejected => false,
        }
    }

    /// Returns the state's name: `submitted`, `working` ..
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Working => "working",
            Self::InputRequired => "input_required",
            Self::AuthRequired => "auth_required",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
        }
    }
}

/// How a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Completed,
    /// Given up.
    Failed,
    /// Called off.
    Canceled,
    /// Refused by the agent.
    Rejected,
}

impl Outcome {
    /// Returns the state that a task is left in.
    #[must_use]
    pub fn state(self) -> TaskState {
        match self {
            Self::Completed => TaskState::Completed,
            Self::Failed => TaskState::Failed,
            Self::Canceled => TaskState::Canceled,
            Self::Rejected => TaskState::Rejected,
        }
    }
}

/// What an agent waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A message of the client.
    Input,
    /// To be let in somewhere; the client says so by a message.
    Auth,
}

impl Pause {
    /// Returns the state that a task is left in.
    #[must_use]
    pub fn state(self) -> TaskState {
        match self {
            Self::Input => TaskState::InputRequired,
            Self::Auth => TaskState::AuthRequired,
        }
    }
}

/// Why a task went back to its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requeue {
    /// The worker fell silent.
    Lapsed,
    /// No worker of the agent took it up.
    Declined,
    /// The worker said that it failed.
    Failed,
    /// The attempt took too long.
    TimedOut,
}

impl Requeue {
    /// Whether the attempt counts: somebody worked on the task.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self {
            Self::Lapsed | Self::Failed | Self::TimedOut => true,
            Self::Declined => false,
        }
    }

    /// Returns what is said of it to people.
    #[must_use]
    pub fn as_text(self) -> &'static str {
        match self {
            Self::Lapsed => "the worker fell silent",
            Self::Declined => "nobody took it up",
            Self::Failed => "the worker failed",
            Self::TimedOut => "the attempt took too long",
        }
    }
}

/// A piece of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which artifact.
    pub artifact: Arc<str>,
    /// What people call it.
    pub name: Option<Arc<str>>,
    /// Whether it continues what the artifact holds; it begins anew otherwise.
    pub append: bool,
    /// Whether the artifact is now whole.
    pub last: bool,
    /// A JSON array of A2A `Part`s.
    pub parts: Json,
}

/// A result, put together from its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Its name within the task.
    pub id: Arc<str>,
    /// What people call it.
    pub name: Option<Arc<str>>,
    /// JSON arrays of A2A `Part`s, one after the other.
    pub parts: Vec<Json>,
    /// Whether it is whole.
    pub is_whole: bool,
}

impl Artifact {
    /// Takes in a chunk: continues the artifact, begins it anew, or begins it.
    pub fn fold(artifacts: &mut Vec<Self>, chunk: &Chunk) {
        let at = artifacts.iter().position(|it| it.id == chunk.artifact).unwrap_or_else(|| {
            let id = chunk.artifact.clone();
            artifacts.push(Self { id, name: None, parts: Vec::new(), is_whole: false });
            artifacts.len() - 1
        });
        let artifact = &mut artifacts[at];
        if !chunk.append {
            artifact.parts.clear();
        }
        artifact.parts.push(chunk.parts.clone());
        artifact.is_whole = chunk.last;
        if chunk.name.is_some() {
            artifact.name.clone_from(&chunk.name);
        }
    }
}

/// What a worker tells while it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A remark: an A2A `Message`.
    Status(Json),
    /// A result, or a piece of one.
    Artifact(Chunk),
    /// What need not be done again if the attempt comes to nothing.
    Checkpoint(Checkpoint),
}

/// What a worker has done, for whoever goes on with the task. Of several with one key the first
/// counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Names what was done.
    pub key: Arc<str>,
    /// What came of it.
    pub value: Json,
}

/// One entry of a task's log. Its index is the task's generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The task was accepted by its home. Always the first, and only the first.
    Submitted(Spec),
    /// An agent got the lease.
    Claimed {
        /// Guards the attempt.
        token: Token,
        /// Who works on it.
        agent: AgentName,
        /// Where that agent is attached.
        region: RegionId,
    },
    /// The worker told something.
    Noted {
        /// Whose attempt.
        token: Token,
        /// The worker's own count of its notes: 1, 2, 3 .. within an attempt.
        number: u64,
        /// What it told.
        note: Note,
    },
    /// The attempt came to nothing; the task waits again.
    Requeued {
        /// Whose attempt.
        token: Token,
        /// Why.
        why: Requeue,
        /// What there is to say of it: an A2A `Message`.
        message: Option<Json>,
    },
    /// The attempt ended with a question to the client: the task waits for a message.
    Paused {
        /// Whose attempt.
        token: Token,
        /// What for.
        why: Pause,
        /// The question: an A2A `Message`.
        message: Option<Json>,
    },
    /// The client answered: the task waits for an agent, and what was told before stays.
    Answered {
        /// Whose question.
        token: Token,
        /// The name of the answer.
        name: Arc<str>,
        /// The answer: an A2A `Message`.
        message: Json,
    },
    /// The task ended. Always the last.
    Ended {
        /// Whose attempt it was; `None` when it ended without one.
        token: Option<Token>,
        /// How.
        outcome: Outcome,
        /// What there is to say: an A2A `Message`.
        message: Option<Json>,
    },
}

impl Checkpoint {
    /// Bytes of the value of one.
    pub const VALUE_BYTES_MAX: usize = 64 << 10;
}

impl Note {
    /// Returns how many bytes its texts take.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Status(message) => message.0.len(),
            Self::Artifact(chunk) => {
                let name = chunk.name.as_ref().map_or(0, |it| it.len());
                chunk.parts.0.len() + chunk.artifact.len() + name
            }
            Self::Checkpoint(checkpoint) => checkpoint.key.len() + checkpoint.value.0.len(),
        }
    }
}

impl Event {
    /// Returns about how many bytes its messages take.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Submitted(spec) => spec.message.0.len() + spec.context.len(),
            Self::Noted { note, .. } => note.weight(),
            Self::Ended { message, .. }
            | Self::Paused { message, .. }
            | Self::Requeued { message, .. } => message.as_ref().map_or(0, |it| it.0.len()),
            Self::Answered { name, message, .. } => name.len() + message.0.len(),
            Self::Claimed { .. } => 0,
        }
    }
}
