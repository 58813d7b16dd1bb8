//! What is to be done with a command, and how long it may wait.
//! Must not decide which.

use std::time::Duration;

use photon_state::Now;

use crate::contract::{Command, Reply};
use crate::data::Pending;
use crate::desk::Bell;
use crate::refusal::Refusal;

/// What is to be done with a command.
pub(crate) enum Verdict {
    /// Answer it once an append is durable.
    Reply(u64, Result<Reply, Refusal>),
    /// Let it wait for a bell until a time, then look again.
    Wait(Bell, Duration),
    /// The same, but look again at this command instead.
    WaitAs(Box<Command>, Bell, Duration),
    /// Another region decides; its answer is the reply.
    Asked,
    /// Answer it once the writes have reached their level.
    Level(Box<Pending>),
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        Self::Reply(0, Err(refusal))
    }
}

/// Whether a command may still wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Its wait begins.
    Fresh,
    /// It has waited, and may go on until then.
    Until(Duration),
    /// Its time is over.
    Spent,
}

impl Patience {
    /// Returns until when a command that asked for `wait` may wait.
    pub(crate) fn until(self, now: Now, wait: Duration) -> Duration {
        match self {
            Self::Fresh => now.mono.saturating_add(wait),
            Self::Until(until) => until,
            Self::Spent => now.mono,
        }
    }
}
