//! Tasks that one client asked for once: two regions accepted them under the same idempotency key,
//! before either heard of the other, or while one of them was lost. One of them goes on.
//! Must not touch a task that anybody has worked on.

use crate::contract::Disk;
use crate::region::Region;
use crate::task::{Json, Outcome, TaskId, TaskState};
use crate::tasks::{Task, Tasks};

impl Task {
    /// Whether it ended because another one stands for it: only a home rejects what nobody claimed.
    pub(crate) fn is_twin(&self) -> bool {
        self.state == TaskState::Rejected && self.token.is_none()
    }

    /// Whether a task that nobody has claimed gives way to this one, of the same key. Of two that
    /// nobody has claimed the elder stays, so that not both give way, whoever hears of whom first.
    fn stands_for(&self, (own, id): (TaskId, TaskId)) -> bool {
        let is_ahead = self.token.is_some() || self.state.is_terminal() || own < id;
        is_ahead && !self.is_twin()
    }
}

impl Tasks {
    /// Returns the task that another one gives way to.
    fn stands_for(&self, id: TaskId) -> Option<TaskId> {
        let task = self.get(id).filter(|it| it.token.is_none() && !it.state.is_terminal())?;
        let twins = self.twins(task.key.as_ref()?).filter(|it| *it != id);
        let mut fit = twins.filter(|it| {
            let twin = self.get(*it);
            twin.is_some_and(|twin| twin.placement == task.placement && twin.stands_for((*it, id)))
        });
        fit.next()
    }
}

impl Region {
    /// Ends a task that nobody has claimed if another one stands for it: the client asked for it
    /// once. Says whether it did.
    pub(crate) fn give_way(&mut self, id: TaskId) -> bool {
        if !self.tasks.has_twins() || self.disk == Disk::Full {
            return false;
        }
        let Some(other) = self.tasks.stands_for(id) else { return false };
        let placement = self.charter.placement_of(id);
        if !placement.is_some_and(|it| self.may_decide(id, it)) {
            return false;
        }
        let digest = |id| self.spec(id).idempotency.map(|it| it.digest);
        if digest(id) != digest(other) {
            return false; // The client has used a key twice, for different things.
        }
        self.counters.gave_way += 1;
        let text = format!(
            "{{\"messageId\":\"{id}\",\"role\":\"ROLE_AGENT\",\"referenceTaskIds\":[\"{other}\"],\
             \"parts\":[{{\"text\":\"task {other} was accepted for the same idempotency key, and \
             stands for this one\"}}]}}"
        );
        self.end(id, None, Outcome::Rejected, Some(Json(text.into())));
        true
    }

    /// Lets tasks that wait here give way to one that has come, or that somebody has claimed.
    pub(crate) fn meet_twins(&mut self, id: TaskId) {
        if !self.tasks.has_twins() {
            return;
        }
        let Some(key) = self.tasks.get(id).and_then(|task| task.key.clone()) else { return };
        let twins: Vec<TaskId> = self.tasks.twins(&key).collect();
        for twin in twins {
            self.dispatch_if_waiting(twin);
        }
    }
}
