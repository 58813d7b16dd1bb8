//! The JSON of `/v1`: what servers and clients write and read.
//! Must not know what is behind it. Requests refuse unknown fields; replies pass over them.

use std::any::type_name;
use std::fmt;

mod agent;
mod compared;
mod dataset;
mod lease;
mod message;
mod moved;
mod object;
mod options;
mod placing;
mod planet;
mod problem;
mod raw;
mod record;
mod region;
mod replication;
mod route;
mod task;
mod topic;
mod topology;

pub use agent::{Agent, AgentCard, AgentInterface, AgentPut, AgentSkill, AgentStatus, Agents};
pub use agent::{AgentCapabilities, AgentExtension, AgentProvider};
pub use compared::{ConflictWrite, DataConflict, DataConflicts, DataDigest};
pub(crate) use dataset::policy;
pub use dataset::{
    ConflictPolicy, Dataset, DatasetFault, DatasetMode, DatasetType, Datasets, Elsewhere,
    MasterPut, ReadConsistency, TTL_MS_MAX, WriteConsistency,
};
pub use lease::{
    ArtifactNote, Checkpoint, CheckpointNote, CompletePost, FailPost, HeartbeatPost, Lease,
    LeasePost, Leases, NotePost, NotesPost, PauseFor, PausePost, Standing, StatusNote,
};
pub use message::{Message, Part, Role};
pub use moved::{MoveCopy, MoveOp, MovePost, MoveReceipt, MoveReceipts};
pub(crate) use object::Object;
pub use options::{FanOut, FanOutTo, FanOutUntil, RetryPolicy, TASK_MS_MAX, TaskOptions};
pub(crate) use placing::{RESIDENCY_BYTES_MAX, is_residency};
pub use planet::{MemberPost, Planet, PlanetMember, PlanetPlacement, VotersPut};
pub use problem::Problem;
pub use raw::Raw;
pub use record::{
    BatchPost, BatchRecord, BatchWrite, BatchWritten, DataChange, DataChanges, Etag, Record,
    Records, Removed,
};
pub use region::{Region, RegionCounts, RegionHealth, RegionVerdict, Regions};
pub use replication::{
    DatasetConflicts, Replication, ReplicationLag, ReplicationPeer, Warning, WarningCode,
};
pub use route::{Route, RouteCandidate, RoutePoints, RouteStanding, RouteWeights};
pub use task::{
    AnswerPost, Artifact, ArtifactChunk, CancelPost, EventKind, RequeueReason, Task, TaskAck,
    TaskEvent, TaskEvents, TaskPost, TaskState, Tasks, Worker,
};

pub use topic::{
    PostMessage, Published, TOPIC_BYTES_MAX, TOPIC_BYTES_MIN, TOPIC_MS_MAX, TOPIC_MS_MIN, Topic,
    TopicMessage, TopicMessages, TopicPut, Topics,
};
pub use topology::{Topology, TopologyFlow, TopologyLink, TopologySend};

/// The most skills that an agent may have.
pub const SKILLS_MAX: usize = 64;

/// The most tasks that an agent may work on at once.
pub const CAPACITY_MAX: u32 = 1024;
/// The most that an agent may ask for a task.
pub const COST_MAX: f64 = 1_000_000.0;

/// The most items of a list in one reply.
pub const LIMIT_MAX: usize = 1000;

/// The longest that a long poll may wait, in milliseconds.
pub const WAIT_MS_MAX: u64 = 30_000;

/// The longest that a read or write of data may wait for its consistency, in milliseconds.
pub const DATA_WAIT_MS_MAX: u64 = 60_000;

/// Reads a whole number in any form that JSON Schema takes for one: `3`, and `3.0` too.
fn whole<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: TryFrom<u64>,
{
    deserializer.deserialize_any(Whole)?.try_into().map_err(|_| {
        serde::de::Error::custom(format!("the number is larger than a {}", type_name::<T>()))
    })
}

/// Visits a whole number.
struct Whole;

impl serde::de::Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not negative")
    }

    fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<u64, E> {
        // Above this, numbers with a point are no longer exact.
        const EXACT_MAX: f64 = 9_007_199_254_740_991.0;
        if value.fract() == 0.0 && (0.0..=EXACT_MAX).contains(&value) {
            return Ok(value as u64);
        }
        Err(E::invalid_value(serde::de::Unexpected::Float(value), &self))
    }
}

/// Reads a field that may be absent but not null: where exactly one of several must be given,
/// null would count as given.
pub(crate) fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
