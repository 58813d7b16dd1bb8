//! Why a region turns a command down. Each says what can be done about it.
//! Must not know of status codes: the edge has the one table for that.

use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use crate::contract::TokenPair;
use crate::data::DataRefusal;
use crate::govern::GovernRefusal;
use crate::task::{AgentName, Skill, TaskId, TaskState};

/// Why a command was turned down. Nothing of it was done, unless it says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too much is in flight or waiting.
    #[error("{what} is full at {max}; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// The queue that is full.
        what: Queue,
        /// Its bound.
        max: u64,
        /// When to try again.
        retry_after: Duration,
    },
    /// The disk has no room; reads go on.
    #[error("the disk of `{region}` is full: writes are refused until there is room")]
    DiskFull {
        /// Whose disk.
        region: RegionId,
    },
    /// No such agent is known here.
    #[error("no agent is named `{0}`")]
    NoSuchAgent(AgentName),
    /// No agent offers the skill, not even one that is offline.
    #[error("no agent offers the skill `{0}`")]
    NoSuchSkill(Skill),
    /// No such task is known here.
    #[error("no task `{0}` is known here")]
    NoSuchTask(TaskId),
    /// No such placement is configured.
    #[error("no placement is named `{0}`")]
    NoSuchPlacement(PlacementId),
    /// Who could do it may be known in some of the placement's regions only, and the task would
    /// name the agent in all of them; or it is wanted in regions where the task may not be.
    #[error(
        "nobody that this asks for may be named in all of `{placement}`: ask under a placement \
         that is no wider than the agent's own, and for regions that are in it"
    )]
    Confined {
        /// Where the task may live.
        placement: PlacementId,
    },
    /// The data may not live in this region.
    #[error("`{region}` is outside the placement `{placement}`; ask one of: {}", names(.members))]
    OutsidePlacement {
        /// This region.
        region: RegionId,
        /// Where the data may live.
        placement: PlacementId,
        /// The regions of the placement.
        members: Vec<RegionId>,
    },
    /// The agent is attached to another region.
    #[error("agent `{agent}` is attached to `{region}`; poll there, or register it here")]
    AttachedElsewhere {
        /// The agent.
        agent: AgentName,
        /// Where it is attached.
        region: RegionId,
    },
    /// The worker does not hold the lease.
    #[error("the lease of task `{task}` is not yours: token {} is not in force", .tokens.shown.0)]
    StaleToken {
        /// The task.
        task: TaskId,
        /// What was shown, and what is in force.
        tokens: TokenPair,
    },
    /// The task has ended.
    #[error("task `{task}` has ended: {}", .state.as_str())]
    Ended {
        /// The task.
        task: TaskId,
        /// How.
        state: TaskState,
    },
    /// Nobody asked the client anything.
    #[error("task `{task}` takes no message now: it is {}", .state.as_str())]
    NotAsked {
        /// The task.
        task: TaskId,
        /// Where it stands.
        state: TaskState,
    },
    /// The idempotency key was used for something else.
    #[error("the idempotency key was used for task `{task}` with another body")]
    KeyReused {
        /// The task that has the key.
        task: TaskId,
    },
    /// The worker's notes do not follow on those known.
    #[error("note {first} does not follow: the next is {expected}")]
    NoteGap {
        /// The number that was shown.
        first: u64,
        /// The number that would follow.
        expected: u64,
    },
    /// More than one task may hold.
    #[error("{what} of {bytes} bytes; at most {max} are allowed")]
    TooLarge {
        /// What is too large.
        what: Large,
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        max: u64,
    },
    /// The task's home cannot be reached. Whether it did what was asked is not known; asking again
    /// is safe.
    #[error("region `{region}`, the home of the task, cannot be reached; ask again")]
    HomeUnreachable {
        /// The home.
        region: RegionId,
    },
    /// It is about what all regions agree on.
    #[error(transparent)]
    Govern(#[from] GovernRefusal),
    /// The regions that agree do not know this region.
    #[error(
        "the regions that agree on who decides about tasks do not know `{region}` yet; submit in \
         another region, and make it a member: `photon region add {region}`. A planet that starts \
         for the first time admits it once most regions are linked: `photon region list`"
    )]
    NotAdmitted {
        /// This region.
        region: RegionId,
    },
    /// Other regions would not hear of it until their clocks have come as far as this one's.
    #[error(
        "the clock of `{region}`, or what it stamped with it, is {} s ahead of those of most other \
         regions: they would take in what it writes that much later; submit in another region, and \
         mend the clock of this one",
        ahead_ms / 1_000
    )]
    ClockAhead {
        /// This region.
        region: RegionId,
        /// How far it is ahead.
        ahead_ms: u64,
    },
    /// The name of a message was used for another one.
    #[error("the message {position} of the topic has this id and says something else")]
    PostReused {
        /// The position of the one that has it.
        position: u64,
    },
    /// It is about datasets and their records.
    #[error(transparent)]
    Data(#[from] DataRefusal),
}

/// A queue that can be full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Commands that await their reply.
    InFlight,
    /// Tasks that have not ended.
    OpenTasks,
    /// Bytes of tasks that have not ended.
    OpenBytes,
    /// Agents.
    Agents,
    /// Bytes of the cards of agents.
    AgentBytes,
    /// Bytes of the records of datasets.
    DataBytes,
    /// Datasets.
    Datasets,
    /// Bytes of webhooks.
    Webhooks,
    /// Bytes of the records of datasets in memory.
    DataMemory,
    /// What those want who wait for the same skill or agent.
    Wanted,
    /// Topics.
    Topics,
    /// Bytes of the messages of topics.
    TopicBytes,
}

impl std::fmt::Display for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::InFlight => "the queue of commands",
            Self::OpenTasks => "the queue of open tasks",
            Self::OpenBytes => "the room for open tasks, in bytes,",
            Self::Agents => "the registry of agents",
            Self::AgentBytes => "the room for cards of agents, in bytes,",
            Self::DataBytes => "the room for records, in bytes,",
            Self::Datasets => "the list of datasets",
            Self::Webhooks => "the room for webhooks, in bytes,",
            Self::Topics => "the list of topics",
            Self::TopicBytes => "the room for messages of topics, in bytes,",
            Self::Wanted => {
                "the list of what is wanted of agents (`required_skills`, `regions`, `max_cost`), \
                 of tasks that wait for the same,"
            }
            Self::DataMemory => {
                "the room for records in memory (`data.memory_max`: raise it, or see that the disk \
                 has room for pages), in bytes,"
            }
        })
    }
}

/// A thing that can be too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Large {
    /// A task's message.
    Message,
    /// An agent's card with its skills.
    Card,
    /// One note of a worker.
    Note,
    /// The value of a checkpoint.
    Checkpoint,
    /// The notes of one attempt together.
    Task,
    /// A record's key.
    Key,
    /// What is written to a record at once.
    Content,
    /// How many fields a record has.
    Fields,
    /// How many writes or records a request has.
    Batch,
    /// A webhook's address with its credentials.
    Webhook,
    /// How many webhooks a task has, with those that were removed.
    Webhooks,
    /// What is published.
    Post,
}

impl std::fmt::Display for Large {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Message => "a message",
            Self::Card => "a card",
            Self::Note => "a note",
            Self::Checkpoint => "a checkpoint",
            Self::Task => "an attempt with all its notes",
            Self::Key => "a key",
            Self::Content => "a record's content",
            Self::Fields => "a record with all its fields, in fields,",
            Self::Batch => "a batch",
            Self::Webhook => "a webhook",
            Self::Webhooks => "a task with all its webhooks, in webhooks,",
            Self::Post => "what is published",
        })
    }
}

fn names(regions: &[RegionId]) -> String {
    regions.iter().map(RegionId::as_str).collect::<Vec<_>>().join(", ")
}
