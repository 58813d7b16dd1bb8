//! Programs that nobody talks to: those that rest until the next task, and those that wait for
//! what the client of a paused task says.
//! Must not talk to them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::host::{Host, Place, Purpose};
use super::turn::Turn;

/// How long a program waits for what a client says; later its task begins anew in a new session.
const WAIT_MAX: Duration = Duration::from_secs(60 * 60);
/// How many programs wait for each task that is worked on at once; at it no client is asked more.
const WAITING_PER_PLACE: usize = 8;
/// How often a task is seen with somebody else until its turn here is called off: who has just been
/// given it needs a moment.
const SEEN_ELSEWHERE_MAX: u8 = 2;

/// The programs of a worker that nobody talks to.
#[derive(Debug)]
pub(super) struct Hosts {
    /// How many tasks are worked on at once: as many programs may rest, at it one is ended.
    places: usize,
    state: Mutex<State>,
    /// Held by each program, wherever it is.
    programs: Place,
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
    /// The lease under which its client was asked.
    pub(super) token: String,
    /// The name of the message that asked the client.
    pub(super) question: String,
    /// Since when.
    pub(super) since: Instant,
    /// Whether the task is known to be paused.
    pub(super) pause: Pause,
    /// How often the task was seen with somebody else.
    pub(super) elsewhere: u8,
    /// The program.
    pub(super) host: Host,
    /// The turn.
    pub(super) turn: Turn,
}

/// Whether the region has paused a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// It was asked to.
    Asked,
    /// It has.
    Taken,
}

/// What was seen of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It waits for the answer to the question, or to be worked on with it.
    Waiting,
    /// Somebody has it.
    Elsewhere,
    /// It has ended.
    Over,
}

impl Hosts {
    pub(super) fn new(places: usize) -> Self {
        Self { places, state: Mutex::default(), programs: Place::default() }
    }

    /// Returns a place for a program that is to be started.
    pub(super) fn place(&self) -> Place {
        Arc::clone(&self.programs)
    }

    /// Takes a program: the one that was asked last in the conversation, or else one that knows
    /// none. If there is place for another program nothing is returned, and otherwise that which
    /// knows the fewest conversations.
    pub(super) fn take(&self, purpose: &Purpose) -> Option<Host> {
        let mut state = self.lock();
        state.reap();
        let resting = &state.resting;
        let known = (0..resting.len()).filter_map(|at| Some((resting[at].used(purpose)?, at)));
        let known = known.max().map(|it| it.1);
        let fewest = (0..resting.len()).min_by_key(|at| resting[*at].conversations());
        let running = Arc::strong_count(&self.programs) - 1 - state.waiting.len();
        let is_full = self.places <= running;
        let fewest = fewest.filter(|at| is_full || resting[*at].conversations() == 0);
        let at = known.or(fewest)?;
        Some(state.resting.remove(at))
    }

    /// Lets a program rest; returns the one that is to be ended instead, if any.
    pub(super) fn put(&self, host: Host) -> Option<Host> {
        if host.is_worn() {
            return Some(host);
        }
        let mut state = self.lock();
        state.resting.push(host);
        if state.resting.len() <= self.places {
            return None;
        }
        let fewest = (0..state.resting.len()).min_by_key(|at| state.resting[*at].conversations());
        fewest.map(|at| state.resting.remove(at))
    }

    /// Forgets the session that was asked to do a task, whose answer nobody has taken.
    pub(super) fn forget(&self, task: &str) {
        for host in &mut self.lock().resting {
            host.forget_work(task);
        }
    }

    /// Lets a program wait; returns it if too many do.
    pub(super) fn wait(&self, waiting: Waiting) -> Option<Waiting> {
        let mut state = self.lock();
        if self.places * WAITING_PER_PLACE <= state.waiting.len() {
            return Some(waiting);
        }
        state.waiting.push(waiting);
        None
    }

    /// Takes note that a task is paused.
    pub(super) fn confirm(&self, token: &str) {
        for waiting in self.lock().waiting.iter_mut().filter(|it| it.token == token) {
            waiting.pause = Pause::Taken;
        }
    }

    /// Takes the programs that wait for a task.
    pub(super) fn of_task(&self, task: &str) -> Vec<Waiting> {
        self.take_waiting(|it| it.task == task)
    }

    /// Takes the program that has asked under a lease.
    pub(super) fn of_lease(&self, token: &str) -> Vec<Waiting> {
        self.take_waiting(|it| it.token == token)
    }

    /// Takes those that have waited for too long, or have ended.
    pub(super) fn late(&self) -> Vec<Waiting> {
        self.lock().reap();
        self.take_waiting(|it| WAIT_MAX <= it.since.elapsed() || it.host.pipe.has_ended())
    }

    /// Takes note of what was seen of a task whose client was asked something; takes the program
    /// if the answer is not for it any more.
    pub(super) fn see(&self, question: &str, seen: Seen) -> Vec<Waiting> {
        self.take_waiting(|it| {
            if it.question != question {
                return false;
            }
            it.elsewhere = match seen {
                Seen::Over => return true,
                Seen::Waiting => 0,
                Seen::Elsewhere => it.elsewhere + 1,
            };
            SEEN_ELSEWHERE_MAX <= it.elsewhere
        })
    }

    /// Returns the tasks that are paused, and the names of their questions.
    pub(super) fn questions(&self) -> Vec<(String, String)> {
        let state = self.lock();
        let paused = state.waiting.iter().filter(|it| it.pause == Pause::Taken);
        paused.map(|it| (it.task.clone(), it.question.clone())).collect()
    }

    #[cfg(test)]
    pub(super) fn resting(&self) -> usize {
        self.lock().resting.len()
    }

    /// Takes all programs.
    pub(super) fn take_all(&self) -> Vec<Host> {
        let State { resting, waiting } = std::mem::take(&mut *self.lock());
        resting.into_iter().chain(waiting.into_iter().map(|it| it.host)).collect()
    }

    fn take_waiting(&self, is_it: impl FnMut(&mut Waiting) -> bool) -> Vec<Waiting> {
        self.lock().waiting.extract_if(.., is_it).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets programs that have ended while they rested.
    fn reap(&mut self) {
        self.resting.retain_mut(|it| !it.pipe.has_ended());
    }
}
