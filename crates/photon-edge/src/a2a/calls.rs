//! The operations of A2A on the tasks of a region.
//! Must not know which binding asks.

use std::time::Duration;

use ::a2a::{CancelTaskRequest, GetTaskRequest, SendMessageResponse, SubscribeToTaskRequest, Task};
use photon_region::{AtHome, Command, Reply, Target, TaskDetail, TaskId, TaskSummary};
use serde_json::Value;

use super::fault::{Fault, Kind};
use super::incoming::{Call, Door};
use super::message::{Answer, Sending};
use super::task::{self, HistoryLength};
use super::updates::Updates;
use crate::follow::Follower;
use crate::front::FollowerSlot;

/// How long `SendMessage` waits for the end of a task; then it answers with the task as it stands.
const SEND_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long `CancelTask` waits for the news from the task's home; then it answers without them.
const CANCEL_WAIT_MAX: Duration = Duration::from_secs(5);

impl Call {
    /// `SendMessage`: makes a task and, unless the client is in a hurry, waits for its end.
    pub(super) async fn send(&self, params: Value) -> Result<SendMessageResponse, Fault> {
        let sending = self.understood(params).await?;
        let (answer, history) = (sending.answer, sending.history);
        let (summary, _) = self.submit(sending).await?;
        if answer == Answer::AtTheEnd && !summary.state.is_terminal() {
            self.settle(summary.id, summary.generation, SEND_WAIT_MAX).await;
        }
        let detail = self.detail(summary.id).await?;
        Ok(match task::direct(&detail).filter(|_| answer == Answer::AtTheEnd) {
            Some(message) => SendMessageResponse::Message(message),
            None => SendMessageResponse::Task(task::whole(&detail, history)),
        })
    }

    /// `SendStreamingMessage`: makes a task and follows it.
    pub(super) async fn stream(&self, params: Value) -> Result<Updates, Fault> {
        let sending = self.understood(params).await?;
        let history = sending.history;
        // Whoever cannot follow is told so before the task is there, not after.
        let slot = self.front.follower_slot()?;
        let (summary, repeated) = self.submit(sending).await?;
        if repeated == Repeated::No {
            let follower = self.follower(slot, summary.id, summary.generation);
            let snapshot = task::outline(&summary, history);
            return Ok(Updates::after_snapshot(snapshot, summary.generation, Some(follower)));
        }
        match self.resumes_after(&summary) {
            Some(after) => Ok(self.resumed(slot, &summary, after)),
            None => Ok(self.updates(slot, &self.detail(summary.id).await?, history)),
        }
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
            return Ok(self.resumed(self.front.follower_slot()?, summary, after));
        }
        if summary.state.is_terminal() {
            let message = format!(
                "task `{}` has ended: {}; get it instead of subscribing to it",
                summary.id,
                summary.state.as_str()
            );
            return Err(Fault::new(Kind::Unsupported, message));
        }
        Ok(self.updates(self.front.follower_slot()?, &detail, HistoryLength::ALL))
    }

    /// `GetTask`.
    pub(super) async fn task(&self, request: GetTaskRequest) -> Result<Task, Fault> {
        let history = HistoryLength::new(request.history_length, "historyLength")?;
        let detail = self.detail(task_id(&request.id)?).await?;
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
        // The task's home may be far away: wait until this region has heard of it, too.
        let mut detail = self.detail(task).await?;
        if detail.summary.generation < generation {
            self.settle(task, generation - 1, CANCEL_WAIT_MAX).await;
            detail = self.detail(task).await?;
        }
        let mut canceled = task::whole(&detail, HistoryLength::ALL);
        canceled.status.state = task::state(state);
        Ok(canceled)
    }

    /// Understands a message, and refuses to continue a task: those of Photon take no more input.
    async fn understood(&self, params: Value) -> Result<Sending, Fault> {
        let sending = Sending::from_params(self, params)?;
        let Some(id) = &sending.continues else { return Ok(sending) };
        self.detail(task_id(id)?).await?;
        let message = format!(
            "task `{id}` takes no further messages; leave `message.taskId` out, keep \
             `message.contextId`, and name the task in `message.referenceTaskIds`"
        );
        Err(Fault::new(Kind::Unsupported, message))
    }

    async fn submit(&self, sending: Sending) -> Result<(TaskSummary, Repeated), Fault> {
        let command = Command::Submit(sending.spec);
        let Reply::Submitted { task, repeated } = self.front.submit(command).await? else {
            unreachable!("the region answers `Submit` with the task")
        };
        Ok((task, if repeated { Repeated::Yes } else { Repeated::No }))
    }

    /// Waits until a task has ended, or for as long as is sensible.
    async fn settle(&self, task: TaskId, after: u64, wait_max: Duration) {
        // Without a slot, or when the region is busy, the client gets the task as it stands.
        let Ok(slot) = self.front.follower_slot() else { return };
        let mut follower = self.follower(slot, task, after);
        let follow = async { while let Ok(Some(_)) = follower.next().await {} };
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

    fn resumed(&self, slot: FollowerSlot, summary: &TaskSummary, after: u64) -> Updates {
        let follower = self.follower(slot, summary.id, after);
        Updates::resumed(summary.id, &summary.spec.context, follower)
    }

    fn updates(&self, slot: FollowerSlot, detail: &TaskDetail, history: HistoryLength) -> Updates {
        let TaskSummary { id, generation, state, .. } = detail.summary;
        let follower = (!state.is_terminal()).then(|| self.follower(slot, id, generation));
        Updates::after_snapshot(task::whole(detail, history), generation, follower)
    }
}

/// Whether a message had been sent before, with the same idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeated {
    No,
    Yes,
}

/// Reads the name of a task; what is none cannot be one that is known.
fn task_id(text: &str) -> Result<TaskId, Fault> {
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
