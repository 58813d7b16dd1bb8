//! Programs that nobody talks to: those that rest until the next task, and those that wait for
//! what the client of a paused task says.
//! Must not talk to them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use photon_edge::v1::types::Lease;
use tokio::time::Instant;

use super::host::Host;
use super::turn::Turn;

/// How long a program waits for what a client says; later its task begins anew in a new session.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// The programs of a worker that nobody talks to.
#[derive(Debug)]
pub(super) struct Hosts {
    /// How many may rest, and how many may wait; at it one is ended.
    each_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    resting: Vec<Host>,
    waiting: Vec<Waiting>,
}

/// A program in the middle of a turn, whose task is paused.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The task.
    pub(super) task: String,
    /// The name of the message that asked the client.
    pub(super) question: String,
    /// Since when.
    pub(super) since: Instant,
    /// The program.
    pub(super) host: Host,
    /// The turn.
    pub(super) turn: Turn,
}

impl Hosts {
    pub(super) fn new(each_max: usize) -> Self {
        Self { each_max, state: Mutex::default() }
    }

    /// Takes a program for a conversation: the one that knows it, or else the one that rested last.
    pub(super) fn take(&self, context: &str) -> Option<Host> {
        let mut state = self.lock();
        state.resting.retain_mut(|it| !it.pipe.has_ended());
        let last = state.resting.len().checked_sub(1);
        let at = state.resting.iter().rposition(|it| it.knows(context)).or(last)?;
        Some(state.resting.remove(at))
    }

    /// Lets a program rest; returns it if it is to be ended instead.
    pub(super) fn put(&self, host: Host) -> Option<Host> {
        let mut state = self.lock();
        if self.each_max <= state.resting.len() || host.is_worn() {
            return Some(host);
        }
        state.resting.push(host);
        None
    }

    /// Lets a program wait; returns the one that is to be ended for it, the eldest.
    pub(super) fn wait(&self, waiting: Waiting) -> Option<Waiting> {
        let mut state = self.lock();
        let is_full = self.each_max <= state.waiting.len();
        let eldest = is_full.then(|| state.waiting.remove(0));
        state.waiting.push(waiting);
        eldest
    }

    /// Takes the program that waits for what is answered in a lease, if it still lives.
    pub(super) fn answered(&self, lease: &Lease) -> Option<Waiting> {
        let mut waiting = self.called_off(&lease.task)?;
        let question = lease.turns.iter().rev().nth(1)?.parse().ok()?;
        let is_that = question.message_id == waiting.question && !waiting.host.pipe.has_ended();
        is_that.then_some(waiting)
    }

    /// Takes the program that waits for a task.
    pub(super) fn called_off(&self, task: &str) -> Option<Waiting> {
        let mut state = self.lock();
        let at = state.waiting.iter().position(|it| it.task == task)?;
        Some(state.waiting.remove(at))
    }

    /// Takes one that has waited for too long.
    pub(super) fn late(&self) -> Option<Waiting> {
        let mut state = self.lock();
        let at = state.waiting.iter().position(|it| WAIT_MAX <= it.since.elapsed())?;
        Some(state.waiting.remove(at))
    }

    /// Returns the tasks for which programs wait.
    pub(super) fn tasks(&self) -> Vec<String> {
        self.lock().waiting.iter().map(|it| it.task.clone()).collect()
    }

    /// Takes all programs.
    pub(super) fn take_all(&self) -> Vec<Host> {
        let State { resting, waiting } = std::mem::take(&mut *self.lock());
        resting.into_iter().chain(waiting.into_iter().map(|it| it.host)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
