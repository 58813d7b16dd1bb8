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
use super::task::{ended, event_metadata, parts, said, state, status};
use crate::follow::{Follower, Heard};

/// One update.
#[derive(Clone, Debug)]
pub(super) struct Update {
    /// The generation that the client has reached once it has this.
    pub(super) generation: Option<u64>,
    /// When it happened, if it is an event; no two events of a task share it.
    pub(super) at: Option<Hlc>,
    /// Whether it says no more than that the agent has come to some point.
    pub(super) is_checkpoint: bool,
    /// What happened.
    pub(super) response: StreamResponse,
}

/// Whether a worker has asked something of the client before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turns {
    None,
    Some,
}

/// The updates of one task.
#[derive(Debug)]
pub(super) struct Updates {
    ready: VecDeque<Update>,
    follower: Option<Follower>,
    telling: Telling,
    retries: u32,
    /// The generation that the client has brought about: what was asked before it is over.
    answered: u64,
}

impl Updates {
    /// Tries at a region that is busy, one after the other; then the client is told.
    const RETRIES_MAX: u32 = 5;
    /// The longest pause between two tries.
    const PAUSE_MAX: Duration = Duration::from_secs(5);

    /// Begins with a snapshot of the task at `generation`; what follows comes from the follower.
    pub(super) fn after_snapshot(
        task: Task,
        generation: u64,
        turns: Turns,
        follower: Option<Follower>,
    ) -> Self {
        let begun = task.artifacts.iter().flatten().map(|it| it.artifact_id.clone()).collect();
        let (id, context) = (task.id.clone(), task.context_id.clone());
        let begun = if turns == Turns::Some { Begun::Unread } else { Begun::Known(begun) };
        let telling = Telling { task: id, context, begun, turns };
        let response = StreamResponse::Task(task);
        let generation = Some(generation);
        let snapshot = Update { generation, at: None, is_checkpoint: false, response };
        Self { ready: VecDeque::from([snapshot]), follower, telling, retries: 0, answered: 0 }
    }

    /// Goes on where a client lost its stream.
    pub(super) fn resumed(
        task: TaskId,
        context: &Arc<str>,
        turns: Turns,
        follower: Follower,
    ) -> Self {
        let (task, context) = (task.to_string(), context.to_string());
        let begun = if turns == Turns::Some { Begun::Unread } else { Begun::Unknown };
        let telling = Telling { task, context, begun, turns };
        Self { ready: VecDeque::new(), follower: Some(follower), telling, retries: 0, answered: 0 }
    }

    /// Passes over pauses before a generation.
    pub(super) fn answered(self, generation: u64) -> Self {
        Self { answered: generation, ..self }
    }

    /// Returns the next update; `None` after the last one, and when the front door closes.
    pub(super) async fn next(&mut self) -> Result<Option<Update>, Fault> {
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Ok(Some(update));
            }
            let Some(follower) = &mut self.follower else { return Ok(None) };
            let heard = match follower.next_or_nothing().await {
                Ok(Some(heard)) => heard,
                Ok(None) => return Ok(None),
                Err(failure) => {
                    self.pause(failure.into()).await?;
                    continue;
                }
            };
            self.retries = 0;
            let is_paused = self.ends_with(&heard);
            self.tell(heard.events).await?;
            self.follower.take_if(|_| is_paused);
        }
    }

    /// Returns the next update that there is already, pauses or not; `None` if there is none.
    pub(super) async fn next_ready(&mut self) -> Result<Option<Update>, Fault> {
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Ok(Some(update));
            }
            let Some(follower) = &mut self.follower else { return Ok(None) };
            let Some(heard) = follower.ask(Duration::ZERO).await? else { return Ok(None) };
            if heard.events.is_empty() {
                return Ok(None);
            }
            self.tell(heard.events).await?;
        }
    }

    /// Whether the task has come to wait for the client: then the stream ends.
    fn ends_with(&self, heard: &Heard) -> bool {
        let is_new = match heard.events.last() {
            Some(last) => {
                matches!(last.event, Event::Paused { .. }) && self.answered < last.generation
            }
            // A home that was lost took the answer with it, and the task waits still.
            None => 0 < self.answered,
        };
        heard.state.is_paused() && is_new
    }

    async fn tell(&mut self, events: Vec<Stamped>) -> Result<(), Fault> {
        for stamped in events {
            let follower = self.follower.as_ref().expect("it has told of the event");
            if matches!(self.telling.begun, Begun::Unread) {
                let artifacts = follower.artifacts_at(stamped.generation - 1).await?;
                // What an attempt told that came to nothing is no more once another one begins.
                let is_new = matches!(stamped.event, Event::Claimed { .. });
                let begun = if is_new { artifacts.settled() } else { artifacts.all() };
                self.telling.begun = Begun::Known(names(begun));
            }
            if matches!(stamped.event, Event::Requeued { .. }) && self.telling.turns == Turns::Some
            {
                let artifacts = follower.artifacts_at(stamped.generation).await?;
                let settled = artifacts.settled().iter();
                self.ready.extend(settled.map(|it| self.telling.restored(it, &stamped)));
                self.telling.begun = Begun::Known(names(artifacts.settled()));
            }
            self.ready.push_back(self.telling.update(stamped));
        }
        Ok(())
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

fn names(artifacts: &[photon_region::Artifact]) -> BTreeSet<String> {
    artifacts.iter().map(|it| it.id.to_string()).collect()
}

/// Of which artifacts the client has the beginning, in the attempt that is under way or from
/// before the last question.
#[derive(Clone, Debug)]
enum Begun {
    /// Of these.
    Known(BTreeSet<String>),
    /// It knows better than we do: it had the stream before.
    Unknown,
    /// The events before the next one tell.
    Unread,
}

/// Turns events into updates, one for one.
#[derive(Debug)]
struct Telling {
    task: String,
    context: String,
    begun: Begun,
    turns: Turns,
}

impl Telling {
    fn update(&mut self, stamped: Stamped) -> Update {
        let (generation, at) = (Some(stamped.generation), Some(stamped.at));
        let is_checkpoint = matches!(stamped.event, Event::Noted { note: Note::Checkpoint(_), .. });
        let response = self.response(stamped);
        Update { generation, at, is_checkpoint, response }
    }

    /// Tells anew what is left of an artifact once an attempt has come to nothing.
    fn restored(&self, artifact: &photon_region::Artifact, before: &Stamped) -> Update {
        let generation = before.generation;
        let said = Artifact {
            artifact_id: artifact.id.to_string(),
            name: artifact.name.as_deref().map(str::to_owned),
            description: None,
            parts: artifact.parts.iter().flat_map(parts).collect(),
            metadata: None,
            extensions: None,
        };
        let response = StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
            task_id: self.task.clone(),
            context_id: self.context.clone(),
            artifact: said,
            append: Some(false),
            last_chunk: Some(artifact.is_whole),
            // A client that breaks off here gets it again, with the event that it comes before.
            metadata: Some(event_metadata(generation - 1, None, &[])),
        });
        Update { generation: None, at: Some(before.at), is_checkpoint: false, response }
    }

    fn response(&mut self, stamped: Stamped) -> StreamResponse {
        let Stamped { generation, at, event } = stamped;
        let stage = |state, message, token| Stage { generation, at, state, message, token };
        match event {
            Event::Submitted(_) => self.status(&stage(TaskState::Submitted, None, None), &[]),
            Event::Claimed { token, agent, region } => {
                // Each attempt begins its artifacts anew. Where the client was asked something, one
                // goes on with those from before, which were told anew if another came to nothing.
                if self.turns == Turns::None {
                    self.begun = Begun::Known(BTreeSet::new());
                }
                let more = [("agent", json!(&*agent)), ("region", json!(region.as_str()))];
                self.status(&stage(TaskState::Working, None, Some(token)), &more)
            }
            Event::Noted { token, note: Note::Status(message), .. } => {
                self.status(&stage(TaskState::Working, Some(message), Some(token)), &[])
            }
            Event::Noted { token, note: Note::Checkpoint(it), .. } => {
                let more = [("checkpoint", json!(&*it.key))];
                self.status(&stage(TaskState::Working, None, Some(token)), &more)
            }
            Event::Noted { token, note: Note::Artifact(chunk), .. } => {
                self.artifact(generation, token, &chunk)
            }
            Event::Requeued { token, why, message } => {
                let why = match why {
                    Requeue::Lapsed => "lapsed",
                    Requeue::Declined => "declined",
                    Requeue::Failed => "failed",
                    Requeue::TimedOut => "timed_out",
                };
                let more = [("requeued", json!(why))];
                self.status(&stage(TaskState::Submitted, message, Some(token)), &more)
            }
            Event::Paused { token, why, message } => {
                self.turns = Turns::Some;
                self.status(&stage(state(why.state()), message, Some(token)), &[])
            }
            Event::Answered { .. } => self.status(&stage(TaskState::Submitted, None, None), &[]),
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
            Begun::Unknown | Begun::Unread => true,
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
