//! What to do about it: one region as a deterministic machine without io, clock, thread or async.
//! Must not know who runs it: the node on real sockets and disks, or the simulator.

mod admit;
mod agent;
mod agent_changes;
mod agents;
mod agree;
mod apply;
mod artifacts;
mod ask;
mod at_home;
mod charter;
mod clocks;
mod codec;
mod config;
mod contract;
pub mod data;
mod desk;
pub mod detect;
mod due;
mod elsewhere;
mod govern;
mod home;
mod lag;
mod links;
mod matching;
mod notice;
mod question;
mod reach;
mod read;
mod refusal;
mod region;
mod registry;
mod repair;
mod replicate;
mod routes;
mod snapshot;
mod streams;
mod submit;
mod syncing;
mod task;
mod task_id;
mod tasks;
mod terms;
mod topics;
mod twins;
mod verdict;
mod view;
mod ways;
mod webhooks;

pub use agree::Beat;
pub use artifacts::Artifacts;
pub use codec::{decode_message, encode_message};
pub use config::{Config, Limits, Place};
pub use contract::{
    Agent, AgentChange, AgentSpec, AtHome, Command, Disk, Input, Lease, Message, Output, Reply,
    Stamped, TaskDetail, TaskFilter, TaskSummary, Ticket, TokenPair, WentBack,
};
pub use govern::{Govern, GovernRefusal, MemberView, PlacementView, PlanetView};
#[doc(hidden)]
pub use matching::matching_index;
pub use matching::{Asked, Candidate, Grade, Grades, Points, Route, Standing, Wants, Weights};
pub use notice::{ConflictRate, ConflictSample, Notice};
pub use question::{Answer, Question};
pub use refusal::{Large, Queue, Refusal};
pub use region::Region;
pub use repair::inspect_comparison;
pub use routes::{FlowView, LinkView, Topology, TopologyView};
pub use snapshot::{Logged, begins_state, inspect_part, seen_after};
pub use task::{
    Ack, AgentName, Artifact, Checkpoint, Chunk, Claim, Event, Idempotency, Json, Note, Outcome,
    Pause, Requeue, Shard, Skill, Spec, Target, TaskId, TaskIdError, TaskState, Token,
    placement_tag, region_tag,
};
pub use task_id::{made_by, redriven};
pub use terms::{Fan, Need, Over, Priority, Retry, Terms, Weight};
pub use topics::{
    Post, Posted, Posts, Retention, Start, TOPIC_NAME_BYTES_MAX, TopicAsk, TopicCommand, TopicName,
    TopicRead, TopicView, is_topic_name, topic_id,
};
pub use view::{ConflictView, Counters, PeerVerdict, PeerView, PlacementLag, RoomView, View};
pub use webhooks::{Due, Mark, Secret, Webhook, Went};

/// A mistake that the simulator must find; see [`Region::plant`].
#[cfg(feature = "planted-bugs")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// Answers a client before the disk has what the answer promises.
    ReplyBeforeDurable,
    /// Takes an op in again that was applied before.
    ApplyTwice,
    /// Lets a worker write that has lost its lease.
    AcceptStaleToken,
    /// Counts this region twice among those in which a write is durable.
    CountTwice,
    /// Forgets a removal that came before the write that it removes.
    ForgetRemovals,
    /// Takes from a quota without the right to.
    SpendWithoutRights,
    /// Reads and writes whatever the session has seen.
    IgnoreSession,
    /// Does not say what a write depends on.
    ForgetCauses,
    /// Judges what a peer holds before all that the peer had seen is seen here.
    JudgeEarly,
    /// Passes the ops of other regions on to whoever is linked, member of their placement or not.
    RelayOutside,
    /// Removes a record from where it lived before the copy is durable where it shall live.
    EraseBeforeCopy,
    /// Says that the log is free of a record wherever it was cut.
    PurgeTooEarly,
    /// Answers whoever only looks before the disk has what is shown.
    AnswerBeforeDurable,
    /// Tells watchers what records are before the disk has it.
    WatchBeforeDurable,
    /// Does not write down for whom it has voted.
    ForgetVotes,
    /// Decides as a home whether or not a majority stands by it.
    IgnoreTenure,
    /// Becomes a home before the tenure of the one before has lapsed.
    TakeOverEarly,
    /// Says that it has granted nothing for long to those that have lost a home since.
    DenyMistakes,
    /// Takes its own view of a path for the verdict of the majority.
    JudgeAlone,
    /// Lets what was written under an older epoch end a task that others have claimed since.
    IgnoreEpoch,
    /// Does conditional writes whatever is there.
    CompareNothing,
    /// Answers reads at `linearizable` in whatever region they are asked.
    ReadAnywhere,
    /// Gives tasks to agents before their time.
    StartEarly,
    /// A home gives a task to an agent that is not one that its client wants.
    IgnoreWants,
    /// Takes whoever has ended for one that is done, of those of whom a task is asked.
    CountFailures,
    /// Numbers a message again that has a position.
    PublishTwice,
}
