//! Which of the tasks that wait for an agent is next.
//!
//! The most urgent ones first. Among those as urgent, tasks of several fairness keys take turns by
//! start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): what a key was given moves the
//! start tag of its next task ahead by the inverse of its weight, and the least tag is next. Within
//! a key the eldest is first. A task that has waited for a while counts as one step more urgent, so
//! that none waits for ever.
//! Must not know what a task is, who could do it, or the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use photon_state::PlacementId;

use super::timers::Timers;
use crate::task::{Target, TaskId};
use crate::terms::{Priority, Terms, Weight, ms};

/// What decides who can take up a task.
pub(crate) type Queued = (Target, PlacementId);

/// Whose share of the agents' time a task takes.
type FairnessKey = Option<Arc<str>>;

/// The tasks that wait for an agent.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: BTreeMap<Queued, [Lane; LANES]>,
    places: BTreeMap<TaskId, Place>,
    /// When each counts as more urgent.
    ageing: Timers,
    /// Where the next task of a key begins, of those that were given something lately.
    finish: BTreeMap<FairnessKey, u64>,
    /// The start tag of the last task that was given to anybody: the virtual time.
    now: u64,
}

const LANES: usize = Priority::LAST.get() as usize;

/// Where a task stands.
#[derive(Debug)]
struct Place {
    queue: Queued,
    level: Priority,
    key: FairnessKey,
    weight: Weight,
}

/// Tasks that are equally urgent.
#[derive(Debug, Default)]
struct Lane {
    lines: BTreeMap<FairnessKey, Line>,
    /// The keys by tag. A tag may be older than what the key was given elsewhere since.
    order: BTreeSet<(u64, FairnessKey)>,
}

/// The tasks of one key.
#[derive(Debug, Default)]
struct Line {
    tag: u64,
    ids: BTreeSet<TaskId>,
}

/// What is compared of tasks that wait: the least is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    level: Priority,
    tag: u64,
    pub(super) id: TaskId,
}

impl Queues {
    /// What one task of weight 1 moves a tag by.
    const COST: u64 = 1 << 20;
    /// How many keys are remembered that were given more than their share just now.
    const KEYS_MAX: usize = 65_536;

    /// Lets a task wait that came to wait at `since_ms`; each `step` makes it more urgent.
    pub(super) fn push(
        &mut self,
        id: TaskId,
        queue: Queued,
        terms: &Terms,
        (since_ms, step): (u64, std::time::Duration),
    ) {
        self.remove(id);
        let (key, weight) = (terms.fairness_key.clone(), terms.fairness_weight);
        let place = Place { queue, level: terms.priority, key, weight };
        if place.level != Priority::FIRST {
            self.ageing.set(id, since_ms.saturating_add(ms(step)));
        }
        self.line_up(id, place);
    }

    fn line_up(&mut self, id: TaskId, place: Place) {
        let begins = self.now.max(self.finish.get(&place.key).copied().unwrap_or(0));
        let lanes = self.queues.entry(place.queue.clone()).or_default();
        let lane = &mut lanes[lane_of(place.level)];
        let line = lane.lines.entry(place.key.clone()).or_default();
        if line.ids.is_empty() {
            line.tag = begins;
            lane.order.insert((begins, place.key.clone()));
        }
        line.ids.insert(id);
        self.places.insert(id, place);
    }

    /// Takes a task out; says whether it waited.
    pub(super) fn remove(&mut self, id: TaskId) -> bool {
        self.ageing.clear(id);
        self.step_out(id).is_some()
    }

    fn step_out(&mut self, id: TaskId) -> Option<Place> {
        let place = self.places.remove(&id)?;
        let lanes = self.queues.get_mut(&place.queue).expect("a place is in a queue");
        let lane = &mut lanes[lane_of(place.level)];
        let line = lane.lines.get_mut(&place.key).expect("and in the line of its key");
        line.ids.remove(&id);
        if line.ids.is_empty() {
            lane.order.remove(&(line.tag, place.key.clone()));
            lane.lines.remove(&place.key);
            if lanes.iter().all(|it| it.lines.is_empty()) {
                self.queues.remove(&place.queue);
            }
        }
        Some(place)
    }

    /// Takes a task out that is given to an agent: its key has had as much more.
    pub(super) fn give(&mut self, id: TaskId) {
        self.ageing.clear(id);
        let Some(place) = self.step_out(id) else { return };
        let had = self.finish.get(&place.key).copied().unwrap_or(0);
        // Whoever had nothing for long does not make up for it.
        self.now = self.now.max(had);
        let cost = Self::COST * 1_000 / u64::from(place.weight.thousandths());
        self.finish.insert(place.key, self.now.saturating_add(cost));
        if Self::KEYS_MAX < self.finish.len() {
            let now = self.now;
            self.finish.retain(|_, finish| now < *finish);
            if Self::KEYS_MAX < self.finish.len() {
                self.finish.clear(); // All begin anew.
            }
        }
    }

    /// Returns the task of a queue that is next.
    pub(super) fn first(&mut self, queue: &Queued) -> Option<Rank> {
        let lanes = self.queues.get_mut(queue)?;
        let (at, lane) = lanes.iter_mut().enumerate().find(|(_, it)| !it.lines.is_empty())?;
        let level = Priority::new(at as u8 + 1).expect("there are as many lanes as priorities");
        loop {
            let (tag, key) = lane.order.first()?.clone();
            let line = lane.lines.get_mut(&key).expect("what is in order has a line");
            let had = self.finish.get(&key).copied().unwrap_or(0);
            if had <= tag {
                let id = *line.ids.first().expect("a line is not empty");
                return Some(Rank { level, tag, id });
            }
            line.tag = had;
            lane.order.pop_first();
            lane.order.insert((had, key));
        }
    }

    /// Lets tasks count as more urgent that have waited for as long as that takes.
    pub(super) fn age(&mut self, now_ms: u64, step: std::time::Duration) {
        while let Some(id) = self.ageing.due(now_ms) {
            let (was_ms, _) = self.ageing.first().expect("one is due");
            self.ageing.clear(id);
            let place = self.step_out(id).expect("only who waits grows older");
            let level = place.level.sooner().unwrap_or(Priority::FIRST);
            if level != Priority::FIRST {
                self.ageing.set(id, was_ms.saturating_add(ms(step).max(1)));
            }
            self.line_up(id, Place { level, ..place });
        }
    }

    pub(super) fn next_ageing(&self) -> Option<u64> {
        self.ageing.first().map(|(at_ms, _)| at_ms)
    }

    /// Returns the queue that a task waits in, if it waits.
    pub(super) fn queue_of(&self, id: TaskId) -> Option<&Queued> {
        self.places.get(&id).map(|it| &it.queue)
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = &Queued> {
        self.queues.keys()
    }

    /// Iterates over the tasks that wait.
    pub(super) fn ids(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.places.keys().copied()
    }

    /// Iterates over the tasks that wait in one queue.
    #[cfg(test)]
    fn ids_in(&self, queue: &Queued) -> impl Iterator<Item = TaskId> + '_ {
        let lanes = self.queues.get(queue).into_iter().flatten();
        lanes.flat_map(|lane| lane.lines.values()).flat_map(|line| line.ids.iter().copied())
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

fn lane_of(level: Priority) -> usize {
    usize::from(level.get() - 1)
}

#[cfg(test)]
mod tests;
