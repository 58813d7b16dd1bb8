//! The events of a task as the updates of A2A, in order, until the task ends.
//! Must not know which binding carries them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ::a2a::{
    Artifact, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState, TaskStatusUpdateEvent,
};
use photon_region::{Chunk, Event, Json, Note, Requeue, Stamped, TaskId, Token};
use photon_state::Hlc;
use serde_json::{Value, json};

use super::fault::Fault;
use super::task::{ended, event_metadata, parts, said, status};
use crate::follow::Follower;

/// One update, with the generation that it brings the task to.
#[derive(Clone, Debug)]
pub(super) struct Update {
    /// The generation.
    pub(super) generation: u64,
    /// What happened.
    pub(super) response: StreamResponse,
}

/// The updates of one task.
#[derive(Debug)]
pub(super) struct Updates {
    ready: VecDeque<Update>,
    follower: Option<Follower>,
    telling: Telling,
    retries: u32,
}

impl Updates {
    /// Tries at a region that is busy, one after the other; then the client is told.
    const RETRIES_MAX: u32 = 5;
    /// The longest pause between two tries.
    const PAUSE_MAX: Duration = Duration::from_secs(5);

    /// Begins with a snapshot of the task at `generation`; what follows comes from the follower.
    pub(super) fn after_snapshot(task: Task, generation: u64, follower: Option<Follower>) -> Self {
        let begun = task.artifacts.iter().flatten().map(|it| it.artifact_id.clone()).collect();
        let telling = Telling {
            task: task.id.clone(),
            context: task.context_id.clone(),
            begun: Begun::Known(begun),
        };
        let snapshot = Update { generation, response: StreamResponse::Task(task) };
        Self { ready: VecDeque::from([snapshot]), follower, telling, retries: 0 }
    }

    /// Goes on where a client lost its stream.
    pub(super) fn resumed(task: TaskId, context: &Arc<str>, follower: Follower) -> Self {
        let (task, context) = (task.to_string(), context.to_string());
        let telling = Telling { task, context, begun: Begun::Unknown };
        Self { ready: VecDeque::new(), follower: Some(follower), telling, retries: 0 }
    }

    /// Returns the next update; `None` after the last one, and when the front door closes.
    pub(super) async fn next(&mut self) -> Result<Option<Update>, Fault> {
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Ok(Some(update));
            }
            let Some(follower) = &mut self.follower else { return Ok(None) };
            match follower.next().await {
                Ok(Some(heard)) => {
                    self.retries = 0;
                    let telling = &mut self.telling;
                    self.ready.extend(heard.events.into_iter().map(|it| telling.update(it)));
                }
                Ok(None) => return Ok(None),
                Err(failure) => self.pause(failure.into()).await?,
            }
        }
    }

    /// Waits before another try, or gives up.
    async fn pause(&mut self, fault: Fault) -> Result<(), Fault> {
        let Some(after) = fault.retry_after() else { return Err(fault) };
        if Self::RETRIES_MAX <= self.retries {
            return Err(fault);
        }
        self.retries += 1;
        tokio::time::sleep(after.min(Self::PAUSE_MAX)).await;
        Ok(())
    }
}

/// What the client has of the artifacts of the attempt that is under way.
#[derive(Debug)]
enum Begun {
    /// These.
    Known(BTreeSet<String>),
    /// It knows better than we do: it had the stream before.
    Unknown,
}

/// Turns events into updates, one for one.
#[derive(Debug)]
struct Telling {
    task: String,
    context: String,
    begun: Begun,
}

impl Telling {
    fn update(&mut self, stamped: Stamped) -> Update {
        let generation = stamped.generation;
        let response = self.response(stamped);
        Update { generation, response }
    }

    fn response(&mut self, stamped: Stamped) -> StreamResponse {
        let Stamped { generation, at, event } = stamped;
        let stage = |state, message, token| Stage { generation, at, state, message, token };
        match event {
            Event::Submitted(_) => self.status(&stage(TaskState::Submitted, None, None), &[]),
            Event::Claimed { token, agent, region } => {
                // Each attempt begins its artifacts anew.
                self.begun = Begun::Known(BTreeSet::new());
                let more = [("agent", json!(&*agent)), ("region", json!(region.as_str()))];
                self.status(&stage(TaskState::Working, None, Some(token)), &more)
            }
            Event::Noted { token, note: Note::Status(message), .. } => {
                self.status(&stage(TaskState::Working, Some(message), Some(token)), &[])
            }
            Event::Noted { token, note: Note::Artifact(chunk), .. } => {
                self.artifact(generation, token, &chunk)
            }
            Event::Requeued { token, why } => {
                let why = match why {
                    Requeue::Lapsed => "lapsed",
                    Requeue::Declined => "declined",
                };
                let more = [("requeued", json!(why))];
                self.status(&stage(TaskState::Submitted, None, Some(token)), &more)
            }
            Event::Ended { token, outcome, message } => {
                self.status(&stage(ended(outcome), message, token), &[])
            }
        }
    }

    fn status(&self, stage: &Stage, more: &[(&str, Value)]) -> StreamResponse {
        let message = stage.message.as_ref().map(|it| said(it, &self.task, &self.context));
        StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
            task_id: self.task.clone(),
            context_id: self.context.clone(),
            status: status(stage.state.clone(), message, stage.at),
            metadata: Some(event_metadata(stage.generation, stage.token, more)),
        })
    }

    fn artifact(&mut self, generation: u64, token: Token, chunk: &Chunk) -> StreamResponse {
        let goes_on = match &mut self.begun {
            Begun::Known(begun) => !begun.insert(chunk.artifact.to_string()),
            Begun::Unknown => true,
        };
        StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
            task_id: self.task.clone(),
            context_id: self.context.clone(),
            artifact: Artifact {
                artifact_id: chunk.artifact.to_string(),
                name: chunk.name.as_deref().map(str::to_owned),
                description: None,
                parts: parts(&chunk.parts),
                metadata: None,
                extensions: None,
            },
            append: Some(chunk.append && goes_on),
            last_chunk: Some(chunk.last),
            metadata: Some(event_metadata(generation, Some(token), &[])),
        })
    }
}

/// Where an event leaves the task.
struct Stage {
    generation: u64,
    at: Hlc,
    state: TaskState,
    message: Option<Json>,
    token: Option<Token>,
}
