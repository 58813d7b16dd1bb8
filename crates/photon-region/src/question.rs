//! What regions ask each other, and answer.
//! Must not decide anything.

use std::time::Duration;

use bytes::Bytes;
use photon_state::crdt::Value;
use photon_state::{PlacementId, Seen};

use crate::contract::{AtHome, Stamped, TaskDetail};
use crate::data::{DataCommand, DataReply, DatasetName, ReplyKind};
use crate::govern::{Govern, PlanetView};
use crate::refusal::Refusal;
use crate::task::{TaskId, TaskState};
use crate::webhooks::{Mark, Webhook};

/// What one region may ask of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Of the home of a task, as the asker knows it up to a decree.
    Task(AtHome, u64),
    /// To ask the same of the home of a task, because the path to it is bad from where it comes.
    Pass(AtHome, u64),
    /// To show a task to a client of the asker, which does not have it.
    Show(TaskId),
    /// To show the webhooks of a task.
    Webhooks(TaskId),
    /// To show its events after a generation, and to wait that long for one.
    Follow {
        /// The task.
        task: TaskId,
        /// The last generation that the client knows.
        after: u64,
        /// How long to wait at most.
        wait: Duration,
    },
    /// What a client wants that has turned to the wrong region.
    Data(Box<DataCommand>),
    /// The state of a record, to be merged with that of others.
    State {
        /// The dataset.
        dataset: DatasetName,
        /// Where the record lives.
        placement: PlacementId,
        /// The record.
        key: Bytes,
    },
    /// Rights of a bounded counter, which come as an op of the region that gives them.
    Rights {
        /// The dataset.
        dataset: DatasetName,
        /// Where the counter lives.
        placement: PlacementId,
        /// The counter.
        key: Bytes,
        /// How many at most.
        rights: u64,
    },
    /// Of the leader: what an operator wants.
    Govern(Govern),
    /// What of a placement is durable there, to become the home of its tasks.
    Had {
        /// The placement.
        placement: PlacementId,
        /// Only once it has let go of what this decree takes from it, and then all of it.
        let_go: Option<u64>,
    },
}

/// What a region answers to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Where a task stands: its state and its generation.
    Standing(TaskState, u64),
    /// The task.
    Task(Box<TaskDetail>),
    /// The webhooks of a task.
    Webhooks(Vec<Webhook>),
    /// Events of a task.
    Events {
        /// The events with their generations, in order.
        events: Vec<Stamped>,
        /// Where the task stands.
        state: TaskState,
        /// How old this may be, if that is known.
        staleness: Option<Duration>,
    },
    /// What the client shall hear.
    Data(Box<DataReply>),
    /// What a record is there, if it is, and what was seen of its placement; to `Had` the latter.
    State(Option<Value>, Seen),
    /// How many rights it gives.
    Rights(u64),
    /// The planet as an operator wanted it.
    Planet(PlanetView),
    /// Where a message is in its topic, and whether it was before.
    Posted(Mark, bool),
}

impl Answer {
    /// Returns about how many bytes it takes on a link.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Standing(..) | Self::State(None, _) | Self::Rights(_) | Self::Planet(_) => 0,
            Self::Posted(..) => 0,
            Self::Task(detail) => detail.weight(),
            Self::Webhooks(webhooks) => webhooks.iter().map(Webhook::weight).sum(),
            Self::Events { events, .. } => events.iter().map(Stamped::weight).sum(),
            Self::Data(reply) => reply.weight(),
            Self::State(Some(value), _) => value.weight(),
        }
    }
}

/// What kind of answer fits a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Standing,
    Posted,
    Task,
    Events,
    Webhooks,
    Data(ReplyKind),
    State,
    Rights,
    Planet,
}

impl Wanted {
    pub(crate) fn by(question: &Question) -> Self {
        match question {
            Question::Task(AtHome::Topic { .. }, _) | Question::Pass(AtHome::Topic { .. }, _) => {
                Self::Posted
            }
            Question::Task(..) | Question::Pass(..) => Self::Standing,
            Question::Show(_) => Self::Task,
            Question::Follow { .. } => Self::Events,
            Question::Webhooks(_) => Self::Webhooks,
            Question::Data(command) => Self::Data(command.reply_kind()),
            Question::State { .. } | Question::Had { .. } => Self::State,
            Question::Rights { .. } => Self::Rights,
            Question::Govern(_) => Self::Planet,
        }
    }

    /// Whether an answer fits. A refusal fits every question.
    pub(crate) fn fits(self, answer: &Result<Answer, Refusal>) -> bool {
        match answer {
            Ok(Answer::Standing(..)) => self == Self::Standing,
            Ok(Answer::Posted(..)) => self == Self::Posted,
            Ok(Answer::Task(_)) => self == Self::Task,
            Ok(Answer::Events { .. }) => self == Self::Events,
            Ok(Answer::Webhooks(_)) => self == Self::Webhooks,
            Ok(Answer::Data(reply)) => match self {
                Self::Data(kind) => reply.is(kind),
                Self::Standing
                | Self::Posted
                | Self::Task
                | Self::Events
                | Self::Webhooks
                | Self::State
                | Self::Rights
                | Self::Planet => false,
            },
            Ok(Answer::State(..)) => self == Self::State,
            Ok(Answer::Rights(_)) => self == Self::Rights,
            Ok(Answer::Planet(_)) => self == Self::Planet,
            Err(_) => true,
        }
    }
}
