//! The operations of A2A on the tasks of a region.
//! Must not know which binding asks.

use std::time::Duration;

use ::a2a::{
    CancelTaskRequest, GetTaskRequest, Message, SendMessageResponse, SubscribeToTaskRequest, Task,
};
use photon_region::{
    AtHome, Command, Event, Refusal, Reply, Target, TaskDetail, TaskId, TaskSummary,
};
use serde_json::Value;

use super::card;
use super::extensions;
use super::fault::{Fault, Kind};
use super::incoming::{Call, Door, params};
use super::message::{Answer, Beginning, Sending, What, kept};
use super::push::Wanted;
use super::task::{self, HistoryLength};
use super::updates::{Turns, Updates};
use crate::follow::{Follower, Heard};
use crate::front::{Failure, FollowerSlot};
use crate::ids::answer_name;

/// How long `SendMessage` waits for the end of a task; then it answers with the task as it stands.
const SEND_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long `GetTask` waits for a generation that the client does not know.
const POLL_WAIT_MAX: Duration = Duration::from_secs(20);

/// The generation of a new task, which the answer to its message shows.
const BORN: u64 = 1;

/// How long news from a task's home are waited for; then the client is answered without them.
const NEWS_WAIT_MAX: Duration = Duration::from_secs(5);

impl Call {
    /// `SendMessage`: makes a task, or answers its agent, and, unless the client is in a hurry,
    /// waits until the task has ended or its agent asks something.
    pub(super) async fn send(&self, params: Value) -> Result<SendMessageResponse, Fault> {
        self.keyed(&params)?.send_keyed(params).await
    }

    async fn send_keyed(&self, params: Value) -> Result<SendMessageResponse, Fault> {
        let Sending { what, answer, history, push } = Sending::from_params(self, params).await?;
        let (task, state, generation) = match what {
            What::Task(task) => {
                let (summary, repeated) = self.submit(*task).await?;
                self.push_to(summary.id, push, repeated).await?;
                (summary.id, summary.state, summary.generation)
            }
            What::Answer { task, context, message, at } => {
                self.push_before(&task, push).await?;
                self.answer(&task, context, *message, at).await?
            }
        };
        match answer {
            Answer::AtTheEnd if !state.is_terminal() && !state.is_paused() => {
                self.settle(task, generation, SEND_WAIT_MAX).await;
            }
            Answer::AtTheEnd | Answer::AtOnce => {}
        }
        let detail = self.detail_as(task, state, generation).await?;
        Ok(match task::direct(&detail).filter(|_| answer == Answer::AtTheEnd) {
            Some(message) => SendMessageResponse::Message(message),
            None => SendMessageResponse::Task(task::whole(&detail, history)),
        })
    }

    /// `SendStreamingMessage`: makes a task, or answers its agent, and follows it.
    pub(super) async fn stream(&self, params: Value) -> Result<Updates, Fault> {
        self.keyed(&params)?.stream_keyed(params).await
    }

    async fn stream_keyed(&self, params: Value) -> Result<Updates, Fault> {
        let Sending { what, answer: _, history, push } = Sending::from_params(self, params).await?;
        // Whoever cannot follow is told so before the task is there, not after.
        let slot = self.front.follower_slot()?;
        let task = match what {
            What::Task(task) => task,
            What::Answer { task, context, message, at } => {
                self.push_before(&task, push).await?;
                let (task, state, generation) = self.answer(&task, context, *message, at).await?;
                let detail = self.detail_as(task, state, generation).await?;
                let updates = self.updates(slot, &detail, history, AtPause::Ends);
                return Ok(updates.answered(generation));
            }
        };
        let (summary, repeated) = self.submit(*task).await?;
        self.push_to(summary.id, push, repeated).await?;
        if repeated == Repeated::No {
            let (id, generation) = (summary.id, summary.generation);
            let follower = self.follower(slot, id, generation);
            let snapshot = task::outline(&summary, history);
            return Ok(Updates::after_snapshot(snapshot, generation, Turns::None, Some(follower)));
        }
        let detail = self.detail(summary.id).await?;
        Ok(match self.resumes_after(&detail.summary) {
            Some(after) => self.resumed(slot, &detail, after),
            None => self.updates(slot, &detail, history, AtPause::Ends),
        })
    }

    /// `SubscribeToTask`: follows a task that goes on. A client that says which event it had last
    /// gets what it missed, even when the task has ended since.
    pub(super) async fn subscribe(
        &self,
        request: SubscribeToTaskRequest,
    ) -> Result<Updates, Fault> {
        let detail = self.detail(task_id(&request.id)?).await?;
        let summary = &detail.summary;
        if let Some(after) = self.resumes_after(summary) {
            return Ok(self.resumed(self.front.follower_slot()?, &detail, after));
        }
        if summary.state.is_terminal() {
            let message = format!(
                "task `{}` has ended: {}; get it instead of subscribing to it",
                summary.id,
                summary.state.as_str()
            );
            return Err(Fault::new(Kind::Unsupported, message));
        }
        let slot = self.front.follower_slot()?;
        Ok(self.updates(slot, &detail, HistoryLength::ALL, AtPause::Waits))
    }

    /// `GetTask`; one who knows a generation waits a while for a later one.
    pub(super) async fn task(
        &self,
        request: GetTaskRequest,
        after: Option<u64>,
    ) -> Result<Task, Fault> {
        let history = HistoryLength::new(request.history_length, "historyLength")?;
        let task = task_id(&request.id)?;
        let mut detail = self.detail(task).await?;
        let summary = &detail.summary;
        let is_known = |after: &u64| summary.generation <= *after && !summary.state.is_terminal();
        if let Some(after) = after.filter(is_known) {
            // Without a slot the client gets the task as it stands.
            if let Ok(slot) = self.front.follower_slot() {
                let mut follower = self.follower(slot, task, after);
                let _ = tokio::time::timeout(POLL_WAIT_MAX, follower.next()).await;
            }
            detail = self.detail(task).await?;
        }
        Ok(task::whole(&detail, history))
    }

    /// `CancelTask`.
    pub(super) async fn cancel(&self, request: CancelTaskRequest) -> Result<Task, Fault> {
        let task = task_id(&request.id)?;
        self.detail(task).await?;
        let command = Command::AtHome(AtHome::Cancel { task, message: None });
        let Reply::Standing { state, generation } = self.front.submit(command).await? else {
            unreachable!("the region answers `Cancel` with the standing")
        };
        let detail = self.detail_at(task, generation).await?;
        let mut canceled = task::whole(&detail, HistoryLength::ALL);
        canceled.status.state = task::state(state);
        Ok(canceled)
    }

    /// `GetExtendedAgentCard`.
    pub(super) async fn extended_card(&self) -> Result<Value, Fault> {
        card::extended(&self.front, &self.door, self.host.as_ref()).await
    }

    /// Gives a task the webhook that came with its message. If that fails the client hears so, and
    /// sends its message again: the task is called off, unless it would be the same one then.
    async fn push_to(
        &self,
        task: TaskId,
        push: Option<Wanted>,
        repeated: Repeated,
    ) -> Result<(), Fault> {
        let Some(wanted) = push else { return Ok(()) };
        let set = self.set_push(task, wanted, Some(BORN)).await;
        if set.is_err() && repeated == Repeated::No && self.idempotency_key.is_none() {
            let cancel = Command::AtHome(AtHome::Cancel { task, message: None });
            if let Err(err) = self.front.submit(cancel).await {
                tracing::debug!(%task, %err, "a task goes on whose webhook was refused");
            }
        }
        set
    }

    /// The same of a message to a task that is there already: the webhook hears what the message
    /// brings about.
    async fn push_before(&self, task: &str, push: Option<Wanted>) -> Result<(), Fault> {
        let Some(wanted) = push else { return Ok(()) };
        let task = task_id(task)?;
        self.detail(task).await?;
        self.set_push(task, wanted, None).await
    }

    /// Answers the agent of a task, which must still stand `at` a generation if the client says;
    /// returns where it stands then.
    async fn answer(
        &self,
        task: &str,
        context: Option<String>,
        mut message: Message,
        at: Option<u64>,
    ) -> Result<(TaskId, photon_region::TaskState, u64), Fault> {
        let task = task_id(task)?;
        let summary = self.detail(task).await?.summary;
        if context.is_some_and(|it| *it != *summary.spec.context) {
            let help = "the task is of another conversation; leave the field out, or name that one";
            return Err(Fault::field("message.contextId", help));
        }
        message.context_id = Some(summary.spec.context.to_string());
        let message = kept(&message);
        let name = answer_name(self.idempotency_key.as_deref(), &message);
        // While a task waits for its client nothing else happens to it.
        let answer = AtHome::Answer { task, name, message, asked: at };
        match self.front.submit(Command::AtHome(answer)).await {
            Ok(Reply::Standing { state, generation }) => Ok((task, state, generation)),
            Ok(other) => unreachable!("the region answers `Answer` with {other:?}"),
            Err(Failure::Refused(
                Refusal::Ended { state, .. } | Refusal::NotAsked { state, .. },
            )) => {
                if let Some(at) = at {
                    self.check_generation(task, state, at).await?;
                }
                let message = format!(
                    "task `{task}` is {}, and nobody waits for a message; leave `message.taskId` \
                     out, keep `message.contextId`, and name it in `message.referenceTaskIds`",
                    state.as_str()
                );
                Err(Fault::new(Kind::Unsupported, message))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// Tells a client whose message was refused if that is because the task has moved on.
    async fn check_generation(
        &self,
        task: TaskId,
        state: photon_region::TaskState,
        at: u64,
    ) -> Result<(), Fault> {
        let summary = self.detail(task).await?.summary;
        if summary.generation == at && summary.state == state {
            return Ok(());
        }
        let current = Some(summary.generation).filter(|it| *it != at);
        Err(Fault::generation(&task.to_string(), at, current))
    }

    async fn submit(&self, task: Beginning) -> Result<(TaskSummary, Repeated), Fault> {
        let Beginning { spec, hindrance } = task;
        match (self.front.submit(Command::Submit(spec)).await, hindrance) {
            (Ok(Reply::Submitted { task, repeated }), _) => {
                Ok((task, if repeated { Repeated::Yes } else { Repeated::No }))
            }
            (Ok(other), _) => unreachable!("the region answers `Submit` with {other:?}"),
            (Err(Failure::Refused(Refusal::NoSuchSkill(_))), Some(hindrance)) => Err(hindrance),
            (Err(failure), _) => Err(failure.into()),
        }
    }

    /// Returns a task once this region has heard of what its home, which may be far away, has said
    /// of it; or as it is here, if that takes too long.
    async fn detail_at(&self, task: TaskId, generation: u64) -> Result<TaskDetail, Fault> {
        let detail = self.detail(task).await?;
        if generation <= detail.summary.generation {
            return Ok(detail);
        }
        if let Ok(slot) = self.front.follower_slot() {
            let mut follower = self.follower(slot, task, generation - 1);
            let _ = tokio::time::timeout(NEWS_WAIT_MAX, follower.next()).await;
        }
        self.detail(task).await
    }

    /// The same for what is answered with: a region that is behind may show a question that was
    /// answered, and then what the home said counts.
    async fn detail_as(
        &self,
        task: TaskId,
        state: photon_region::TaskState,
        generation: u64,
    ) -> Result<TaskDetail, Fault> {
        let mut detail = self.detail_at(task, generation).await?;
        if detail.summary.generation < generation {
            if state.is_terminal() {
                let message = format!("what came of task `{task}` has not arrived here yet");
                return Err(Fault::unavailable(message));
            }
            detail.summary.state = state;
            detail.message = None;
        }
        Ok(detail)
    }

    /// Waits until a task has ended or waits for the client, or for as long as is sensible.
    async fn settle(&self, task: TaskId, after: u64, wait_max: Duration) {
        // Without a slot, or when the region is busy, the client gets the task as it stands.
        let Ok(slot) = self.front.follower_slot() else { return };
        let mut follower = self.follower(slot, task, after);
        let is_paused = |it: &Heard| {
            it.state.is_paused() && matches!(it.events.last(), Some(it) if is_pause(&it.event))
        };
        let follow = async {
            while let Ok(Some(heard)) = follower.next().await
                && !is_paused(&heard)
            {}
        };
        let _ = tokio::time::timeout(wait_max, follow).await;
    }

    /// Returns a task, if it belongs to this address.
    pub(super) async fn detail(&self, task: TaskId) -> Result<TaskDetail, Fault> {
        let Reply::Task(detail) = self.front.submit(Command::Task(task)).await? else {
            unreachable!("the region answers `Task` with the task")
        };
        match &self.door {
            Door::Agent(agent) if !is_of(&detail.summary, agent) => {
                Err(Fault::no_task(&task.to_string()))
            }
            Door::Agent(_) | Door::Router => Ok(*detail),
        }
    }

    fn follower(&self, slot: FollowerSlot, task: TaskId, after: u64) -> Follower {
        Follower::new(self.front.clone(), slot, task, after)
    }

    /// Returns where the client lost its stream, if it says where and there is more to come.
    fn resumes_after(&self, summary: &TaskSummary) -> Option<u64> {
        self.resume_after.filter(|after| *after < summary.generation)
    }

    fn resumed(&self, slot: FollowerSlot, detail: &TaskDetail, after: u64) -> Updates {
        let TaskSummary { id, spec, .. } = &detail.summary;
        Updates::resumed(*id, &spec.context, turns(detail), self.follower(slot, *id, after))
    }

    fn updates(
        &self,
        slot: FollowerSlot,
        detail: &TaskDetail,
        history: HistoryLength,
        at_pause: AtPause,
    ) -> Updates {
        let TaskSummary { id, generation, state, .. } = detail.summary;
        let is_over = state.is_terminal() || state.is_paused() && at_pause == AtPause::Ends;
        let follower = (!is_over).then(|| self.follower(slot, id, generation));
        Updates::after_snapshot(task::whole(detail, history), generation, turns(detail), follower)
    }
}

/// Whether a message had been sent before, with the same idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeated {
    No,
    Yes,
}

/// What becomes of a stream that begins while the task waits for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtPause {
    Ends,
    Waits,
}

fn turns(detail: &TaskDetail) -> Turns {
    if detail.turns.is_empty() { Turns::None } else { Turns::Some }
}

fn is_pause(event: &Event) -> bool {
    matches!(event, Event::Paused { .. })
}

/// Reads the parameters of `GetTask`, and the generation that the client knows.
pub(super) fn long_poll(given: Value) -> Result<(GetTaskRequest, Option<u64>), Fault> {
    let after = extensions::generation(given.as_object(), "", "currentGeneration")?;
    Ok((params(given)?, after))
}

/// Reads the name of a task; what is none cannot be one that is known.
pub(super) fn task_id(text: &str) -> Result<TaskId, Fault> {
    if text.is_empty() {
        return Err(Fault::field("id", "name the task"));
    }
    text.parse().map_err(|_| Fault::no_task(text))
}

/// Whether a task was asked of an agent, or done by it.
fn is_of(summary: &TaskSummary, agent: &str) -> bool {
    let is_asked = matches!(&summary.spec.target, Target::Agent(name) if **name == *agent);
    is_asked || summary.worker.as_ref().is_some_and(|(name, _)| **name == *agent)
}
