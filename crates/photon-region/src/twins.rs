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

    /// What a task that nobody has claimed does beside this one, of the same key. Of two that
    /// nobody has claimed the elder stays, so that not both give way, whoever hears of whom first.
    /// A claim may yet be overruled with the home that gave it: so it is waited for, and its end
    /// counts.
    fn beside(&self, (own, id): (TaskId, TaskId)) -> Beside {
        if self.is_twin() {
            return Beside::GoesOn;
        }
        match self.token {
            _ if self.state.is_terminal() => Beside::GivesWay(own),
            Some(_) => Beside::Waits,
            None if own < id => Beside::GivesWay(own),
            None => Beside::GoesOn,
        }
    }
}

/// What becomes of a task that has twins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Beside {
    /// It is done.
    GoesOn,
    /// It waits for what becomes of another one.
    Waits,
    /// Another one stands for it.
    GivesWay(TaskId),
}

impl Tasks {
    /// Returns what becomes of a task beside one of its twins.
    fn beside(&self, id: TaskId, twin: TaskId) -> Beside {
        let both = self.get(id).zip(self.get(twin));
        let fit = both.filter(|(task, twin)| {
            task.token.is_none() && !task.state.is_terminal() && task.placement == twin.placement
        });
        fit.map_or(Beside::GoesOn, |(_, other)| other.beside((twin, id)))
    }
}

impl Region {
    /// Whether a task is not to be given to anybody because another one stands for it: the client
    /// asked for it once. Ends it, or lets it rest until more is known of the other one.
    pub(crate) fn gives_way(&mut self, id: TaskId) -> bool {
        if !self.tasks.has_twins() || self.disk == Disk::Full {
            return false;
        }
        let Some(key) = self.tasks.get(id).and_then(|task| task.key.clone()) else { return false };
        let digest = |id| self.spec(id).idempotency.map(|it| it.digest);
        // A client that used a key for different things means each of them.
        let twins = self.tasks.twins(&key).filter(|it| *it != id && digest(*it) == digest(id));
        let beside = twins.map(|it| self.tasks.beside(id, it)).max();
        let placement = self.charter.placement_of(id);
        if !placement.is_some_and(|it| self.may_decide(id, it)) {
            return false;
        }
        match beside {
            None | Some(Beside::GoesOn) => return false,
            Some(Beside::Waits) => self.let_go_of(id),
            Some(Beside::GivesWay(other)) => {
                self.counters.gave_way += 1;
                self.end(id, None, Outcome::Rejected, Some(stands_for(other, id)));
            }
        }
        true
    }

    /// Lets tasks that wait here give way to one that has come, or that somebody has claimed.
    pub(crate) fn meet_twins(&mut self, id: TaskId) {
        if !self.tasks.has_twins() {
            return;
        }
        let Some(key) = self.tasks.get(id).and_then(|task| task.key.clone()) else { return };
        let twins: Vec<TaskId> = self.tasks.twins(&key).filter(|it| *it != id).collect();
        for twin in twins {
            if self.tasks.get(twin).is_some_and(|it| it.state == TaskState::Submitted) {
                self.resume_task(twin); // It may have been let rest.
            }
            self.dispatch_if_waiting(twin);
        }
    }
}

/// Returns what a client is told of a task that gave way: an A2A `Message`.
fn stands_for(other: TaskId, id: TaskId) -> Json {
    let text = format!(
        "{{\"messageId\":\"{id}\",\"role\":\"ROLE_AGENT\",\"referenceTaskIds\":[\"{other}\"],\
         \"parts\":[{{\"text\":\"task {other} was accepted for the same idempotency key, and \
         stands for this one\"}}]}}"
    );
    Json(text.into())
}
