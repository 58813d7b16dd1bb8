//! The JSON of `/v1`: what servers and clients write and read.
//! Must not know what is behind it. Requests refuse unknown fields; replies pass over them.

mod agent;
mod lease;
mod message;
mod problem;
mod raw;
mod region;
mod task;

pub use agent::{Agent, AgentCard, AgentInterface, AgentPut, AgentSkill, AgentStatus, Agents};
pub use agent::{AgentCapabilities, AgentExtension, AgentProvider};
pub use lease::{
    ArtifactNote, CompletePost, FailPost, HeartbeatPost, Lease, LeasePost, Leases, NotePost,
    NotesPost, Standing, StatusNote, TokenText,
};
pub use message::{Message, Part, Role};
pub use problem::Problem;
pub use raw::Raw;
pub use region::{Region, RegionCounts, RegionHealth, Regions};
pub use task::{
    Artifact, ArtifactChunk, CancelPost, EventKind, RequeueReason, Task, TaskEvent, TaskEvents,
    TaskPost, TaskState, Tasks, Worker,
};

/// The most skills that an agent may have.
pub const SKILLS_MAX: usize = 64;

/// The most tasks that an agent may work on at once.
pub const CAPACITY_MAX: u32 = 1024;

/// The most items of a list in one reply.
pub const LIMIT_MAX: usize = 1000;

/// The longest that a long poll may wait, in milliseconds.
pub const WAIT_MS_MAX: u64 = 30_000;

/// Reads a field that may be absent but not null: where exactly one of several must be given,
/// null would count as given.
fn given<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}
