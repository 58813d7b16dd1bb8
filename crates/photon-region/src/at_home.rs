//! What only the home of a task, or of a topic, can decide.
//! Must not decide it.

use std::sync::Arc;

use crate::task::{Claim, Json, Note, Outcome, Pause, Spec, TaskId};
use crate::topics::{TopicAsk, TopicName};
use crate::webhooks::Secret;

/// What only the home of a task, or of a topic, can decide. All of it may safely be said twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AtHome {
    /// The worker lives: extend its lease.
    Heartbeat(Claim),
    /// The worker tells something.
    Note {
        /// Its right to.
        claim: Claim,
        /// The number of the first note: the worker counts 1, 2, 3 .. within an attempt.
        first: u64,
        /// The notes; those told before are passed over.
        notes: Vec<Note>,
    },
    /// The worker has finished.
    Finish {
        /// Its right to.
        claim: Claim,
        /// How many notes it has told in this attempt, if it counts them: with some of them
        /// missing, this is refused.
        notes: Option<u64>,
        /// How it ended.
        outcome: Outcome,
        /// What there is to say: an A2A `Message`.
        message: Option<Json>,
    },
    /// The worker has failed, and another attempt may do better: the task is tried again if its
    /// terms say so, and fails otherwise.
    Fail {
        /// Its right to.
        claim: Claim,
        /// How many notes it has told in this attempt, if it counts them: with some of them
        /// missing, this is refused.
        notes: Option<u64>,
        /// What there is to say: an A2A `Message`.
        message: Option<Json>,
    },
    /// The worker has a question to the client, and works no more until that has answered.
    Pause {
        /// Its right to.
        claim: Claim,
        /// How many notes it has told in this attempt, if it counts them: with some of them
        /// missing, this is refused.
        notes: Option<u64>,
        /// What it waits for.
        why: Pause,
        /// The question: an A2A `Message`.
        message: Option<Json>,
    },
    /// The client answers the question of a worker.
    Answer {
        /// The task.
        task: TaskId,
        /// The name of the answer: to say it again changes nothing.
        name: Arc<str>,
        /// The answer: an A2A `Message`.
        message: Json,
        /// Under which generation it was asked; what was asked since is not answered then.
        asked: Option<u64>,
    },
    /// Nobody took the task up in the agent's region: offer it elsewhere.
    Decline(Claim),
    /// Accept a task under this name.
    Submit {
        /// Its name, of a shard of which the asked region is the home.
        task: TaskId,
        /// What is asked.
        spec: Box<Spec>,
    },
    /// Add a webhook, or give one another target.
    SetWebhook {
        /// The task.
        task: TaskId,
        /// The name of the webhook.
        id: Arc<str>,
        /// Its address, as whoever sends understands it.
        target: Secret,
        /// What is shown to it, and to nobody else.
        credentials: Secret,
        /// Events after this generation are sent to it; those from now on if there is none.
        since: Option<u64>,
    },
    /// Remove a webhook.
    RemoveWebhook {
        /// The task.
        task: TaskId,
        /// The name of the webhook.
        id: Arc<str>,
    },
    /// Something of a topic.
    Topic {
        /// The topic.
        topic: TaskId,
        /// Its name, from which that follows.
        name: TopicName,
        /// What is asked.
        ask: Box<TopicAsk>,
    },
    /// Call the task off.
    Cancel {
        /// The task.
        task: TaskId,
        /// What there is to say: an A2A `Message`.
        message: Option<Json>,
    },
}

impl AtHome {
    /// Returns the task that it is about, or the topic: what has the home.
    #[must_use]
    pub fn task(&self) -> TaskId {
        match self {
            Self::Heartbeat(claim) | Self::Decline(claim) => claim.task,
            Self::Note { claim, .. }
            | Self::Finish { claim, .. }
            | Self::Fail { claim, .. }
            | Self::Pause { claim, .. } => claim.task,
            Self::Submit { task, .. }
            | Self::Cancel { task, .. }
            | Self::Answer { task, .. }
            | Self::SetWebhook { task, .. }
            | Self::RemoveWebhook { task, .. } => *task,
            Self::Topic { topic, .. } => *topic,
        }
    }
}
