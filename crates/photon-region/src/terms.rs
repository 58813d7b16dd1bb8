//! The terms of a task: how urgent it is, whose share of the agents' time it takes, how long it may
//! take, and what becomes of it when an attempt fails. Names and meanings are those of Temporal.
//! Must not know the time.

use std::sync::Arc;
use std::time::Duration;

use crate::matching::Wants;
use crate::task::{Outcome, Skill, TaskId};

/// How urgent a task is: 1 is the most urgent, 5 the least, 3 what is meant when nothing is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// The most urgent.
    pub const FIRST: Self = Self(1);
    /// The least urgent.
    pub const LAST: Self = Self(5);

    /// Returns the priority of a number from 1 to 5.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (Self::FIRST.0..=Self::LAST.0).contains(&number).then_some(Self(number))
    }

    /// Returns its number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Returns the next more urgent one.
    #[must_use]
    pub fn sooner(self) -> Option<Self> {
        Self::new(self.0 - 1)
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self(3)
    }
}

/// How large a share of the agents' time a fairness key has beside others, in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weight(u32);

impl Weight {
    /// The greatest, in thousandths.
    pub const MAX: u32 = 1_000_000;

    /// Returns the weight of 1 to [`MAX`](Self::MAX) thousandths.
    #[must_use]
    pub fn of_thousandths(thousandths: u32) -> Option<Self> {
        (1..=Self::MAX).contains(&thousandths).then_some(Self(thousandths))
    }

    /// Returns it in thousandths.
    #[must_use]
    pub fn thousandths(self) -> u32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1_000)
    }
}

/// When and how often a task is tried again whose attempt has failed, has taken too long, or whose
/// worker fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How long after the first failure.
    pub initial_interval: Duration,
    /// By how much each pause is longer than the one before, in thousandths.
    pub backoff_thousandths: u32,
    /// The longest pause.
    pub maximum_interval: Duration,
    /// How many attempts there are at the most, the first among them; fewer if the home allows
    /// fewer ([`Limits::attempts_max`](crate::Limits)).
    pub maximum_attempts: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            initial_interval: Duration::from_secs(1),
            backoff_thousandths: 2_000,
            maximum_interval: Duration::from_secs(100),
            maximum_attempts: 10,
        }
    }
}

impl Retry {
    /// Returns how long after so many failures the next attempt is, in milliseconds.
    #[must_use]
    pub fn pause_ms(&self, failures: u32) -> u64 {
        let max = u128::from(ms(self.maximum_interval));
        let mut pause = u128::from(ms(self.initial_interval)).min(max);
        for _ in 1..failures {
            let next = pause.saturating_mul(self.backoff_thousandths.into()) / 1_000;
            if next == pause || max <= pause {
                break;
            }
            pause = next.min(max);
        }
        u64::try_from(pause).unwrap_or(u64::MAX)
    }
}

/// What a client wants of how its task is queued, timed and tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How urgent it is.
    pub priority: Priority,
    /// Whose share of the agents' time it takes: tasks of several keys take turns.
    pub fairness_key: Option<Arc<str>>,
    /// How large that share is.
    pub fairness_weight: Weight,
    /// How long after its submission it may be given to an agent.
    pub start_delay: Duration,
    /// How long it may wait for an agent, each time that it does; then it fails.
    pub schedule_to_start: Option<Duration>,
    /// How long one attempt may take; then that has failed.
    pub start_to_close: Option<Duration>,
    /// How long all of it may take; then it fails.
    pub schedule_to_close: Option<Duration>,
    /// How long its worker may be silent, instead of [`Limits::lease_ttl`](crate::Limits).
    pub heartbeat: Option<Duration>,
    /// What becomes of it when an attempt fails. Without it a failure that the worker reports is
    /// the end, and a worker that falls silent is followed by another one at once.
    pub retry: Option<Retry>,
    /// What is wanted of the agent that is given it.
    pub wants: Option<Arc<Wants>>,
    /// Of whom it is asked, if of many.
    pub fan: Option<Fan>,
    /// The task that it was made for, if that is asked of many.
    pub part_of: Option<TaskId>,
    /// The skill that is meant, of an agent that is asked by name as one of many.
    pub skill: Option<Skill>,
}

/// Of whom a task is asked that is asked of many, and what it needs of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fan {
    /// Of whom it is asked.
    pub over: Over,
    /// What it needs of them.
    pub need: Need,
}

/// Of whom a task is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Of every agent that has the skill.
    Agents,
    /// Once in every region in which an agent has the skill.
    Regions,
}

/// When a task has come to something that is asked of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// When all have ended; then it is done if all are.
    All,
    /// Once more than a half are done.
    Quorum,
    /// Once so many are done.
    First(u32),
}

impl Need {
    /// Returns how a task ends of which so many have completed and ended, of all that were asked.
    pub(crate) fn outcome(self, completed: usize, ended: usize, asked: usize) -> Option<Outcome> {
        let enough = match self {
            Self::All => {
                let is_good = completed == asked;
                let outcome = if is_good { Outcome::Completed } else { Outcome::Failed };
                return (ended == asked).then_some(outcome);
            }
            Self::Quorum => asked / 2 + 1,
            Self::First(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        if enough <= completed {
            return Some(Outcome::Completed);
        }
        (completed + (asked - ended) < enough).then_some(Outcome::Failed)
    }
}

/// What takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timeout {
    ScheduleToClose,
    ScheduleToStart,
    StartToClose,
}

impl Timeout {
    /// Returns its name, as Temporal has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ScheduleToClose => "schedule_to_close",
            Self::ScheduleToStart => "schedule_to_start",
            Self::StartToClose => "start_to_close",
        }
    }
}

/// Returns a time in milliseconds, at the most as many as there are.
pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let retry = Retry { maximum_interval: Duration::from_secs(10), ..Retry::default() };
        let pauses: Vec<u64> = (1..=6).map(|it| retry.pause_ms(it)).collect();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
        let steady = Retry { backoff_thousandths: 1_000, ..retry };
        assert_eq!(steady.pause_ms(u32::MAX), 1_000);
    }

    #[test]
    fn a_fan_ends_as_soon_as_it_is_known_how() {
        let check = |need: Need, counts: (usize, usize, usize), expected: Option<Outcome>| {
            assert_eq!(need.outcome(counts.0, counts.1, counts.2), expected, "{need:?} {counts:?}");
        };
        check(Need::All, (2, 2, 3), None);
        check(Need::All, (0, 1, 3), None);
        check(Need::All, (3, 3, 3), Some(Outcome::Completed));
        check(Need::All, (2, 3, 3), Some(Outcome::Failed));
        check(Need::Quorum, (1, 1, 3), None);
        check(Need::Quorum, (2, 2, 3), Some(Outcome::Completed));
        check(Need::Quorum, (0, 1, 3), None);
        check(Need::Quorum, (0, 2, 3), Some(Outcome::Failed));
        check(Need::Quorum, (2, 2, 4), None);
        check(Need::First(1), (0, 2, 3), None);
        check(Need::First(1), (1, 2, 3), Some(Outcome::Completed));
        check(Need::First(4), (0, 0, 3), Some(Outcome::Failed));
    }

    proptest! {
        #[test]
        fn no_policy_hangs_or_overflows(
            initial: u64, coefficient: u32, longest: u64, failures: u32,
        ) {
            let retry = Retry {
                initial_interval: Duration::from_millis(initial),
                backoff_thousandths: coefficient,
                maximum_interval: Duration::from_millis(longest),
                maximum_attempts: 1,
            };
            prop_assert!(retry.pause_ms(failures) <= longest);
        }
    }
}
