//! The contract of the machine: what may happen to a region, and what it may do to the world.
//! Must not decide anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_state::{Hlc, Op, PlacementId, RegionId, Seen, StreamId};

pub use crate::agent::{Agent, AgentChange, AgentSpec};
use crate::agree::Beat;
pub use crate::at_home::AtHome;
use crate::data::{DataCommand, DataReply};
use crate::govern::{Govern, PlanetView};
use crate::matching::{Route, Wants};
use crate::notice::Notice;
use crate::question::{Answer, Question};
use crate::refusal::Refusal;
use crate::routes::TopologyView;
use crate::task::{
    AgentName, Artifact, Checkpoint, Claim, Event, Json, Skill, Spec, Target, TaskId, TaskState,
    Token,
};
use crate::topics::{Posts, TopicCommand, TopicView};
use crate::webhooks::{Due, Mark, Webhook, Went};

/// Names a command that awaits its reply. Chosen by the shell, never used twice.
pub type Ticket = u64;

/// What may happen to a region. The shell numbers its appends 1, 2, 3 .. from its start.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client wants something.
    Command(Ticket, Command),
    /// The client has gone: its reply is of no use to anybody.
    Abandon(Ticket),
    /// A link to a peer is up: both sides begin their session anew.
    Linked(RegionId),
    /// The link to a peer is down.
    Unlinked(RegionId),
    /// A peer spoke.
    Message(RegionId, Message),
    /// Every append up to this number is on disk.
    Durable(u64),
    /// The disk ran out of room, or has room again.
    Disk(Disk),
    /// The log gave what was asked for with [`Output::Fetch`]: ops from `from` on, in order.
    Fetched {
        /// The stream.
        stream: StreamId,
        /// The number asked for.
        from: u64,
        /// As many ops as the log had, within the bound that was asked for.
        ops: Vec<Arc<Op>>,
    },
    /// The log was let go of as [`Output::Truncate`] said: nothing that is older is left.
    Truncated,
    /// Time passed.
    Tick,
}

/// Whether the log can take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    /// It can.
    Ready,
    /// It cannot; what was appended before will still become durable.
    Full,
}

/// What a region does to the world. The shell carries it out, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write to the log, then say [`Input::Durable`]. May not be lost, short of a crash.
    Append(Arc<Op>),
    /// Send to a peer. May be lost.
    Send(RegionId, Message),
    /// Answer a client. What it promises is durable.
    Reply(Ticket, Result<Reply, Refusal>),
    /// Read ops back from the log, then say [`Input::Fetched`].
    Fetch {
        /// The stream.
        stream: StreamId,
        /// The first number wanted.
        from: u64,
        /// About how many bytes are wanted at most.
        bytes_max: usize,
    },
    /// Let go of the log before an op of it, then say [`Input::Truncated`]: what follows stands for
    /// all that was before.
    Truncate {
        /// The stream of the op.
        stream: StreamId,
        /// Its number.
        seq: u64,
    },
    /// Tell the people who operate the region. May be lost.
    Notice(Notice),
    /// Stop for good: what is written here is lost to the other regions. Nothing follows.
    Halt(WentBack),
}

/// A log that has lost what was durable: a backup was restored, or the disk forgot what it had
/// synced. Its numbers would be given a second time, and peers pass over what they have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log began this life with {here} ops of `{}` for placement `{}`, but `{peer}` has {there}",
    .stream.origin, .stream.placement
)]
pub struct WentBack {
    /// The stream, which is written here alone.
    pub stream: StreamId,
    /// The last number that was here before any of this life was sent; the last one afterwards.
    pub here: u64,
    /// Who has more.
    pub peer: RegionId,
    /// The last number there.
    pub there: u64,
}

/// What a client may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Announce an agent that is attached here, or change it.
    Register(AgentSpec),
    /// Forget an agent.
    Deregister(AgentName),
    /// Show an agent.
    Agent(AgentName),
    /// List agents by name.
    Agents {
        /// Only those with this skill.
        skill: Option<Skill>,
        /// Only those attached to this region.
        region: Option<RegionId>,
        /// Only names after this one.
        after: Option<AgentName>,
        /// How many at most.
        limit: usize,
    },
    /// Tell which agents have changed, come or gone since a change that the client knows.
    AgentChanges {
        /// The last change that it knows; 0 for none.
        after: u64,
        /// How many at most.
        limit: usize,
    },
    /// Tell who would be given a task that this region is home of, and why.
    Route {
        /// What the task asks for.
        target: Target,
        /// Where it may be.
        placement: PlacementId,
        /// What else it wants of the agent.
        wants: Option<Arc<Wants>>,
        /// How many candidates to tell at most.
        limit: usize,
    },
    /// Accept a task, with this region as its home.
    Submit(Spec),
    /// Show a task with its artifacts.
    Task(TaskId),
    /// List tasks, the youngest first.
    Tasks {
        /// Only those that match.
        filter: TaskFilter,
        /// Only those older than this one.
        before: Option<TaskId>,
        /// How many at most.
        limit: usize,
    },
    /// Show the events of a task after a generation; waits for one if there is none yet.
    Events {
        /// The task.
        task: TaskId,
        /// The last generation that the client knows; 0 for none.
        after: u64,
        /// How long to wait at most.
        wait: Duration,
    },
    /// Wait for work for an agent that is attached here.
    Acquire {
        /// The agent.
        agent: AgentName,
        /// How many tasks at most.
        limit: usize,
        /// How long to wait at most.
        wait: Duration,
    },
    /// Show the webhooks of a task, as its home has them.
    Webhooks(TaskId),
    /// Wait for webhooks of tasks of this home that are to be told something. Whoever gets one
    /// tells it and says how that went, within 2 minutes; then it is given to others.
    TakeDue {
        /// How many at most.
        limit: usize,
        /// How long to wait at most.
        wait: Duration,
    },
    /// Say how it went to tell a webhook.
    Told {
        /// The task.
        task: TaskId,
        /// The name of the webhook.
        id: Arc<str>,
        /// When it was set, as whoever tells it heard.
        set: Hlc,
        /// The last generation that it took.
        upto: u64,
        /// Whether there was nothing that it did not take.
        went: Went,
    },
    /// Do something that only the task's home can decide; forwarded to it when it is elsewhere.
    AtHome(AtHome),
    /// Look at topics, or say how long messages are kept.
    Topic(TopicCommand),
    /// Ask something of the data.
    Data(DataCommand),
    /// Show who sends whose ops to whom.
    Topology,
    /// Show or change what all regions agree on.
    Govern(Govern),
}

impl Command {
    /// Whether its reply may have to wait for something to happen.
    pub(crate) fn may_wait(&self) -> bool {
        match self {
            Self::Events { .. }
            | Self::Acquire { .. }
            | Self::Task(_)
            | Self::Webhooks(_)
            | Self::TakeDue { .. }
            | Self::Submit(_)
            | Self::AtHome(_)
            | Self::Topic(_)
            | Self::Govern(_)
            | Self::Data(_) => true,
            Self::Register(_)
            | Self::Deregister(_)
            | Self::Agent(_)
            | Self::Agents { .. }
            | Self::AgentChanges { .. }
            | Self::Route { .. }
            | Self::Tasks { .. }
            | Self::Told { .. }
            | Self::Topology => false,
        }
    }
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done, durably, in this region.
    Done,
    /// To `Register` and `Agent`.
    Agent(Arc<Agent>),
    /// To `Agents`; `more` when the limit cut the list.
    Agents {
        /// The agents, by name.
        agents: Vec<Arc<Agent>>,
        /// Whether there are more.
        more: bool,
    },
    /// To `AgentChanges`.
    AgentChanges {
        /// The agents, the one that changed first first.
        changes: Vec<AgentChange>,
        /// The last change that the client knows then.
        upto: u64,
        /// Whether all agents are told again from the first on: what is not told is gone.
        is_anew: bool,
    },
    /// To `Route`.
    Route(Box<Route>),
    /// To `Submit`: the task is durable here.
    Submitted {
        /// The task.
        task: TaskSummary,
        /// Whether an earlier submission with the same idempotency key had made it.
        repeated: bool,
    },
    /// To `Task`.
    Task(Box<TaskDetail>),
    /// To `Tasks`.
    Tasks {
        /// The tasks, the youngest first.
        tasks: Vec<TaskSummary>,
        /// Whether there are more.
        more: bool,
    },
    /// To `Events`.
    Events {
        /// The events with their generations, in order; none if the wait was over.
        events: Vec<Stamped>,
        /// Where the task stands after them.
        state: TaskState,
        /// How old this may be: nothing is missing that the home wrote earlier, if that is known.
        staleness: Option<Duration>,
    },
    /// To `Acquire`: none if the wait was over.
    Leases(Vec<Lease>),
    /// To `Webhooks`: by name.
    Webhooks(Vec<Webhook>),
    /// To `TakeDue`: none if the wait was over.
    Due(Vec<Due>),
    /// To `AtHome`: where the task stands at its home.
    Standing {
        /// Its state.
        state: TaskState,
        /// Its generation.
        generation: u64,
    },
    /// To what is published, or forgotten, by way of `AtHome`.
    Posted {
        /// Where the message is.
        mark: Mark,
        /// Whether it was there before.
        repeated: bool,
    },
    /// To `TopicCommand::Read`.
    Posts(Box<Posts>),
    /// To `TopicCommand::Show`, by name.
    Topics(Vec<TopicView>),
    /// To `Data`.
    Data(Box<DataReply>),
    /// To `Topology`.
    Topology(Box<TopologyView>),
    /// To `Govern`: the planet as it has become.
    Planet(PlanetView),
}

/// An event with its place in the task's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// Its index: 1, 2, 3 .. without gaps.
    pub generation: u64,
    /// When it was written.
    pub at: Hlc,
    /// What happened.
    pub event: Event,
}

impl Stamped {
    /// Returns about how many bytes it takes on a link.
    #[must_use]
    pub fn weight(&self) -> usize {
        64 + self.event.weight()
    }
}

/// The right to work on a task, handed to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The right.
    pub claim: Claim,
    /// The region that decides about the task.
    pub home: RegionId,
    /// What to do.
    pub spec: Spec,
    /// What workers asked of the client and what it answered since, in order: A2A `Message`s.
    pub turns: Vec<Json>,
    /// What workers before have done, in order: of each key the first.
    pub checkpoints: Vec<Checkpoint>,
    /// How long the worker may be silent.
    pub ttl: Duration,
    /// When the attempt has to be over, by the wall clock in milliseconds, if it has to.
    pub closes_ms: Option<u64>,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// In this state.
    pub state: Option<TaskState>,
    /// Of this conversation.
    pub context: Option<Arc<str>>,
    /// Asked of, or done by, this agent.
    pub agent: Option<AgentName>,
    /// Asked of whoever has this skill.
    pub skill: Option<Skill>,
    /// Only those that failed and were not asked for again: dead letters.
    pub is_dead: bool,
}

/// A task in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskSummary {
    /// Its name.
    pub id: TaskId,
    /// Where it stands.
    pub state: TaskState,
    /// How many events it has.
    pub generation: u64,
    /// The region that decides about it.
    pub home: RegionId,
    /// What was asked.
    pub spec: Spec,
    /// The attempt that is under way, or the last one; 0 before the first.
    pub attempt: u32,
    /// Who works on it, or did last, and where.
    pub worker: Option<(AgentName, RegionId)>,
    /// When it was accepted.
    pub created: Hlc,
    /// When its last event was written.
    pub changed: Hlc,
}

/// A task with all that came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDetail {
    /// The task.
    pub summary: TaskSummary,
    /// The artifacts of the last attempt, in the order of their beginning.
    pub artifacts: Vec<Artifact>,
    /// What was said last: an A2A `Message`.
    pub message: Option<Json>,
    /// What workers asked of the client and what it answered, in order: A2A `Message`s.
    pub turns: Vec<Json>,
    /// How old this may be: nothing is missing that the home wrote earlier, if that is known.
    pub staleness: Option<Duration>,
}

impl TaskDetail {
    /// Returns about how many bytes it takes on a link.
    #[must_use]
    pub fn weight(&self) -> usize {
        let parts = self.artifacts.iter().flat_map(|it| &it.parts).map(|it| 64 + it.0.len());
        let said = self.message.iter().chain(&self.turns).map(|it| it.0.len()).sum::<usize>();
        256 + self.summary.spec.message.0.len() + said + parts.sum::<usize>()
    }
}

/// What regions tell each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// What I have durably of the streams that you may have too. Said first, and each second.
    Seen {
        /// Which of its logs the sender writes now.
        incarnation: u64,
        /// The streams.
        seen: Seen,
        /// The regions to which there is a link, with the round trip; `None` until it is known.
        linked: BTreeMap<RegionId, Option<Duration>>,
        /// Tells the sender's topology from others; `None` if it did not say.
        topology: Option<u64>,
    },
    /// Ops of one stream, in order, durable where they come from.
    Ops(Vec<Arc<Op>>),
    /// Everything of this stream up to this number is durable here.
    Ack(StreamId, u64),
    /// Decide this, please.
    Ask(u64, Question),
    /// What was decided.
    Answer(u64, Result<Answer, Refusal>),
    /// Part `index` of the sender's state: it has no log any more of what the receiver lacks.
    State {
        /// Tells this state from others that were sent before.
        number: u64,
        /// The number of the part: 0, 1, 2 ..
        index: u64,
        /// The part.
        part: Bytes,
    },
    /// The part is durable here.
    Took {
        /// Of which state.
        number: u64,
        /// Which part; the greatest number if nothing is known of the beginning of the state.
        index: u64,
    },
    /// A step of a comparison of what both hold, to find damage.
    Compare(Bytes),
    /// I live.
    Beat(Box<Beat>),
    /// What members of the group that agrees say to each other.
    Agree(Bytes),
    /// Send this back, to measure the round trip (the sender's clock, in microseconds).
    Ping(u64),
    /// What was sent, and what the wall clock shows here (milliseconds since 1970).
    Pong {
        /// What was sent.
        sent: u64,
        /// What the clock shows.
        wall_ms: u64,
    },
}

/// A worker's token beside the one that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPair {
    /// What the worker showed.
    pub shown: Token,
    /// What is in force; `None` when nobody holds the lease.
    pub current: Option<Token>,
}
