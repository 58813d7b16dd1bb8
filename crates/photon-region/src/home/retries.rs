//! What becomes of a task when an attempt comes to nothing.
//! Must not know when a worker has been silent for too long.

use crate::refusal::{Large, Refusal};
use crate::region::Region;
use crate::task::{Event, Json, Outcome, Requeue, TaskId, TaskState};
use crate::tasks::Task;

use super::times::said;
use super::{Last, check_size};

impl Region {
    /// The worker has failed, and another attempt may do better.
    pub(super) fn fail(&mut self, last: Last, message: Option<Json>) -> Result<(), Refusal> {
        let (claim, _) = last;
        let id = claim.task;
        let task = self.tasks.get(id).ok_or(Refusal::NoSuchTask(id))?;
        let has_ended = task.state == TaskState::Failed && task.token == Some(claim.token);
        if has_ended || task.failed == Some(claim.token) {
            return Ok(()); // It was said before.
        }
        self.check_last(task, last)?;
        let bytes = message.as_ref().map_or(0, |it| it.0.len());
        check_size(Large::Message, bytes, self.config.limits.message_bytes_max)?;
        self.check_disk()?;
        self.requeue(id, Requeue::Failed, message);
        Ok(())
    }

    /// Offers a task again, to another agent if there is one, or gives it up.
    pub(super) fn requeue(&mut self, id: TaskId, why: Requeue, message: Option<Json>) {
        let task = self.tasks.get(id).expect("only tasks in memory are leased");
        let token = task.current().expect("only a leased task is offered again");
        if self.is_last_attempt(task, why) {
            if why == Requeue::Failed {
                return self.end(id, Some(token), Outcome::Failed, message);
            }
            let attempts = task.failures.saturating_add(1);
            let text = format!("given up after {attempts} attempts: {}", why.as_text());
            return self.end(id, None, Outcome::Failed, Some(said(id, "exhausted", &text)));
        }
        let bytes = message.as_ref().map_or(0, |it| Self::NOTE_OVERHEAD + it.0.len());
        // Later attempts need room for what they tell.
        let has_room = task.turn_bytes + bytes <= self.config.limits.task_bytes_max / 2;
        let message = message.filter(|_| has_room);
        self.counters.retried += u64::from(why.is_failure());
        self.home.take(id);
        self.tell(id, Event::Requeued { token, why, message });
        if self.is_overdue(id) {
            return self.time_out(id); // Nobody has begun for too long.
        }
        self.line_up(id);
        self.dispatch_if_waiting(id);
    }

    /// Whether nothing follows an attempt that came to nothing.
    fn is_last_attempt(&self, task: &Task, why: Requeue) -> bool {
        if !why.is_failure() {
            return false;
        }
        let allowed = self.config.limits.attempts_max;
        let failures = task.failures.saturating_add(1);
        let Some(retry) = task.terms.as_ref().and_then(|it| it.retry) else {
            // What the worker says is the end, unless it was asked to be tried again.
            return why == Requeue::Failed || allowed <= failures;
        };
        let next_ms = self.now.wall_ms.saturating_add(retry.pause_ms(failures));
        let is_late = task.closes_ms().is_some_and(|at_ms| at_ms <= next_ms);
        retry.maximum_attempts.min(allowed) <= failures || is_late
    }
}
