//! The open tasks of a home in memory: what each waits for.
//! Must not decide.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::fans::Gathered;
use super::queue::{Queued, Queues};
use super::timers::Timers;
use crate::task::{Spec, TaskId};

/// The open tasks of this home. Each waits for an agent, for its time, or for its client, or is
/// leased.
#[derive(Debug, Default)]
pub(crate) struct Home {
    /// The tasks that wait for an agent.
    pub(super) queues: Queues,
    /// Those that would, and whose time has not come yet.
    pub(super) delayed: Timers,
    /// Those among the waiting that wait for one agent although others could do them.
    pub(super) bound: BTreeSet<TaskId>,
    /// The tasks that were given away, whose conversations are to follow.
    pub(super) to_bind: Vec<TaskId>,
    /// Whether they do just now.
    pub(super) is_binding: bool,
    pub(super) leases: BTreeMap<TaskId, Lease>,
    pub(super) lapses: BTreeSet<(Duration, TaskId)>,
    /// The tasks that wait for their clients, with the time since when.
    pub(super) paused: Timers,
    /// Those of them whose answers are here, and could not be taken up yet.
    pub(super) answered: BTreeSet<TaskId>,
    /// The tasks that are asked of many.
    pub(super) fans: BTreeSet<TaskId>,
    /// Those with which to go on; those among them that have ended may have left others open.
    pub(super) fans_due: BTreeSet<TaskId>,
    /// Those with which it did not go on: they are looked at again now and then.
    pub(super) fans_stuck: BTreeSet<TaskId>,
    /// When to go on, if there was more to do than is done at once.
    pub(super) fans_at: Option<Duration>,
    /// How many may still be asked at once.
    pub(super) fans_left: usize,
    /// Whether that is done just now.
    pub(super) is_spreading: bool,
    /// What their logs say, of those that are worked on.
    pub(super) gathered: BTreeMap<TaskId, Gathered>,
    /// When something has taken too long, of tasks whose terms say so.
    pub(super) timeouts: Timers,
}

/// How long the worker may be silent, and since when it is heard, by the wall clock, if it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) until: Duration,
    pub(super) begun_ms: Option<u64>,
}

impl Home {
    /// How many different things those may want that wait for the same skill or agent; tasks that
    /// want something else yet are refused. Each is looked at whenever an agent has room.
    pub(crate) const WANTED_MAX: usize = 64;

    /// Whether a task may wait, by what it wants.
    pub(crate) fn has_place_for(&self, spec: &Spec) -> bool {
        let queue = Queued { target: spec.target.clone(), placement: spec.placement };
        let wanted = self.queues.wanted(&queue);
        let wants = spec.terms.as_ref().and_then(|it| it.wants.clone());
        wanted.len() < Self::WANTED_MAX || wanted.contains(&wants)
    }

    pub(super) fn lease(&mut self, id: TaskId, lease: Lease) {
        if let Some(old) = self.leases.insert(id, lease) {
            self.lapses.remove(&(old.until, id));
        }
        self.lapses.insert((lease.until, id));
    }

    /// Takes a task out of its queue, its pause, or its lease away.
    pub(super) fn take(&mut self, id: TaskId) {
        self.queues.remove(id);
        self.bound.remove(&id);
        self.delayed.clear(id);
        self.paused.clear(id);
        self.timeouts.clear(id);
        self.fans.remove(&id);
        self.gathered.remove(&id);
        if let Some(lease) = self.leases.remove(&id) {
            self.lapses.remove(&(lease.until, id));
        }
    }

    /// Returns since when the worker of a task is heard.
    pub(super) fn begun_ms(&self, id: TaskId) -> Option<u64> {
        self.leases.get(&id)?.begun_ms
    }

    /// Iterates over all tasks that are held.
    pub(super) fn held(&self) -> impl Iterator<Item = TaskId> + '_ {
        let waiting = self.queues.ids().chain(self.delayed.ids());
        let working = self.leases.keys().chain(&self.fans).copied();
        waiting.chain(working).chain(self.paused.ids())
    }

    /// Whether a task waits here or is leased.
    pub(crate) fn holds(&self, id: TaskId) -> bool {
        let waits = self.queues.queue_of(id).is_some() || self.delayed.contains(id);
        let works = self.leases.contains_key(&id) || self.fans.contains(&id);
        waits || works || self.paused.contains(id)
    }

    pub(crate) fn next_lapse(&self) -> Option<Duration> {
        self.lapses.first().map(|(until, _)| *until)
    }

    /// Returns when to go on with tasks that are asked of many.
    pub(crate) fn fans_at(&self) -> Option<Duration> {
        self.fans_at
    }

    /// Returns when a task that waits may go on, or becomes more urgent, by the wall clock.
    pub(super) fn next_waiting_due_ms(&self) -> Option<u64> {
        let delayed = self.delayed.first().map(|(at_ms, _)| at_ms);
        delayed.into_iter().chain(self.queues.next_ageing()).min()
    }

    /// Returns when something will have taken too long, by the wall clock.
    pub(super) fn next_timeout_ms(&self) -> Option<u64> {
        self.timeouts.first().map(|(at_ms, _)| at_ms)
    }

    /// Returns how many tasks wait for an agent.
    pub(crate) fn waiting(&self) -> usize {
        self.queues.len()
    }

    /// Returns how many tasks wait for their time.
    pub(crate) fn delayed(&self) -> usize {
        self.delayed.len()
    }

    /// Returns how many tasks wait for an agent or are with one.
    pub(crate) fn busy(&self) -> usize {
        self.queues.len() + self.leases.len() + self.fans.len()
    }

    /// Returns how many tasks have not ended.
    pub(crate) fn open(&self) -> usize {
        self.busy() + self.delayed.len() + self.paused.len()
    }
}
