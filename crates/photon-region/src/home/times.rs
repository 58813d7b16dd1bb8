//! What is due of tasks by the wall clock: those whose time has come wait for an agent, those that
//! wait for long become more urgent, and what takes longer than its terms allow is ended.
//! Must not decide what follows an attempt.

use std::time::Duration;

use super::TaskId;
use crate::contract::Disk;
use crate::region::Region;
use crate::task::{Json, Outcome, Requeue, TaskState};
use crate::terms::Timeout;

impl Region {
    /// How many tasks are looked at in one go; the others right after.
    const DUE_MAX: usize = 1_000;

    /// Takes note of when a task will have taken too long, as it stands now.
    pub(super) fn watch_time(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(id) else { return };
        if task.terms.is_none() {
            return; // Most have none.
        }
        match task.times_out(self.home.begun_ms(id)) {
            Some((at_ms, _)) => self.home.timeouts.set(id, at_ms),
            None => self.home.timeouts.clear(id),
        }
    }

    /// Returns when something is due, by [`Now::mono`](crate::Now).
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let waits = self.home.next_waiting_due_ms();
        let timeout = self.home.next_timeout_ms().filter(|_| self.may_lapse());
        let at_ms = waits.into_iter().chain(timeout).min()?;
        let in_ms = at_ms.saturating_sub(self.now.wall_ms);
        Some(self.now.mono + Duration::from_millis(in_ms))
    }

    /// Does what is due.
    pub(crate) fn look_at_times(&mut self) {
        let now_ms = self.now.wall_ms;
        self.home.queues.age(now_ms, self.config.limits.ageing, Self::DUE_MAX);
        for _ in 0..Self::DUE_MAX {
            let Some(id) = self.home.delayed.due(now_ms) else { break };
            self.home.delayed.clear(id);
            self.line_up(id);
            self.dispatch_if_waiting(id);
        }
        for _ in 0..Self::DUE_MAX {
            let Some(id) = self.home.timeouts.due(now_ms) else { break };
            if self.disk == Disk::Full || !self.needs_tenure() {
                break;
            }
            self.home.timeouts.clear(id);
            self.time_out(id);
        }
    }

    /// Whether a task that waits has taken too long.
    pub(super) fn is_overdue(&self, id: TaskId) -> bool {
        let waits = self.tasks.get(id).filter(|it| it.state == TaskState::Submitted);
        let times_out = waits.and_then(|it| it.times_out(None));
        times_out.is_some_and(|(at_ms, _)| at_ms <= self.now.wall_ms)
    }

    pub(super) fn time_out(&mut self, id: TaskId) {
        let task = self.tasks.get(id).expect("only tasks in memory are timed");
        let Some((_, what)) = task.times_out(self.home.begun_ms(id)) else { return };
        let name = what.as_str();
        let message = said(id, name, &format!("took longer than its {name} timeout allows"));
        self.counters.timed_out += 1;
        match what {
            Timeout::StartToClose => self.requeue(id, Requeue::TimedOut, Some(message)),
            Timeout::ScheduleToStart | Timeout::ScheduleToClose => {
                self.end(id, None, Outcome::Failed, Some(message));
            }
        }
    }
}

/// Returns what a client is told of a task that its home gave up, or of an attempt: an A2A
/// `Message`. `reason` is for programs.
pub(super) fn said(id: TaskId, reason: &str, text: &str) -> Json {
    let message = format!(
        "{{\"messageId\":\"{id}-{reason}\",\"role\":\"ROLE_AGENT\",\"parts\":[{{\"text\":\
         \"{text}\"}}],\"metadata\":{{\"photon/reason\":\"{reason}\"}}}}"
    );
    Json(message.into())
}
