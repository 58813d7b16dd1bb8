//! When something is due of a task, by its log and its terms.
//! Must not know the time.

use crate::task::TaskState;
use crate::tasks::Task;
use crate::terms::{Timeout, ms};

impl Task {
    /// Lets it wait for an agent from now on, or from later.
    pub(crate) fn wait(&mut self, from_ms: u64, delay_ms: u64) {
        let begins_ms = from_ms.saturating_add(delay_ms);
        self.not_before_ms = if delay_ms == 0 { 0 } else { begins_ms };
        self.waits_since_ms = begins_ms;
    }

    /// Returns when all of it has to be over, by the wall clock.
    pub(crate) fn closes_ms(&self) -> Option<u64> {
        let all = self.terms.as_ref()?.schedule_to_close?;
        Some(self.created.wall_ms.saturating_add(ms(all)))
    }

    /// Returns when an attempt has to be over that began at a time, by the wall clock.
    pub(crate) fn attempt_closes_ms(&self, begun_ms: u64) -> Option<u64> {
        let attempt = self.terms.as_ref()?.start_to_close?;
        Some(begun_ms.saturating_add(ms(attempt)))
    }

    /// Returns what will have taken too long first as it stands now, and when, by the wall clock;
    /// of an attempt, once a worker has begun it.
    pub(crate) fn times_out(&self, begun_ms: Option<u64>) -> Option<(u64, Timeout)> {
        let starts = || {
            let wait = self.terms.as_ref()?.schedule_to_start?;
            Some((self.waits_since_ms.saturating_add(ms(wait)), Timeout::ScheduleToStart))
        };
        let own = match self.state {
            // Its home works on it; others are timed each for itself.
            TaskState::Working if self.fan().is_some() => None,
            TaskState::Submitted => starts(),
            TaskState::Working => {
                let closes_ms = begun_ms.and_then(|it| self.attempt_closes_ms(it));
                closes_ms.map(|it| (it, Timeout::StartToClose))
            }
            TaskState::InputRequired | TaskState::AuthRequired => None,
            TaskState::Completed
            | TaskState::Failed
            | TaskState::Canceled
            | TaskState::Rejected => return None,
        };
        let all = self.closes_ms().map(|it| (it, Timeout::ScheduleToClose));
        own.into_iter().chain(all).min()
    }
}
