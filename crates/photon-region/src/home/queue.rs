//! Which of the tasks that wait for an agent is next.
//!
//! The most urgent ones first. Among those as urgent in one queue, tasks of several fairness keys
//! take turns by self-clocked fair queueing (Golestani, INFOCOM 1994): each key's next task has a
//! finish tag, the inverse of its weight after that of the one before, or after the tag of what was
//! given last if none was; the least is next. Within a key the eldest is first of those that want
//! the same of the agent: what a key was given counts whatever it wanted. Of several queues that
//! are as urgent the one is next that was given nothing for longest. A task that has waited for a
//! while counts as one step more urgent, so that none waits for ever.
//! Must not know what a task is, who could do it, or the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use photon_state::PlacementId;

use super::timers::Timers;
use crate::matching::Wants;
use crate::task::{Target, TaskId};
use crate::terms::{Priority, Terms, Weight, ms};

/// What decides who can take up a task, but for what else its client wants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Queued {
    pub(super) target: Target,
    pub(super) placement: PlacementId,
}

/// What a client wants of the agent, beside that.
pub(super) type Wanted = Option<Arc<Wants>>;

/// Whose share of the agents' time a task takes.
type FairnessKey = Option<Arc<str>>;

/// The tasks that wait for an agent.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: BTreeMap<Queued, Queue>,
    places: BTreeMap<TaskId, Stand>,
    /// When each counts as more urgent.
    ageing: Timers,
    /// How many tasks were given away.
    given: u64,
}

const LANES: usize = Priority::LAST.get() as usize;

/// Tasks that the same agents can do.
#[derive(Debug, Default)]
struct Queue {
    lanes: [Lane; LANES],
    /// Which task was the last that was given away of it, counted over all queues.
    given: u64,
}

/// Where a task stands.
#[derive(Debug)]
struct Stand {
    queue: Queued,
    level: Priority,
    key: FairnessKey,
    weight: Weight,
    wanted: Wanted,
}

/// Tasks that are equally urgent.
#[derive(Debug, Default)]
struct Lane {
    shares: BTreeMap<FairnessKey, Share>,
    /// For all that want the same: the first of each key, by tag; of those that are equal, whoever
    /// was given nothing yet is first, and then the eldest.
    orders: BTreeMap<Wanted, BTreeSet<Place>>,
    /// The greatest tag of what was given away: the virtual time.
    now: u64,
}

/// What a key has waiting and has had, whatever its tasks want.
#[derive(Debug)]
struct Share {
    /// Where the one that was given last ended.
    since: u64,
    /// Whether any was given away since the key came to wait.
    was_given: bool,
    lines: BTreeMap<Wanted, Line>,
}

/// The tasks of one key that want the same.
#[derive(Debug, Default)]
struct Line {
    ids: BTreeSet<TaskId>,
    /// How its first stands in the order, with where that one ends.
    placed: Option<Place>,
}

/// The place of the first of a line in the order: by tag, who was given something, and age.
type Place = (u64, bool, TaskId);

/// What is compared of tasks that wait: the least is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    level: Priority,
    given: u64,
    tag: u64,
    was_given: bool,
    pub(super) id: TaskId,
}

impl Stand {
    /// By how much what is given to it moves the tag of its key.
    fn cost(&self) -> u64 {
        /// That of weight 1.
        const COST: u64 = 1 << 20;
        COST * 1_000 / u64::from(self.weight.thousandths())
    }
}

impl Queues {
    /// Lets a task wait that has waited since `since_ms`; each `step` makes it more urgent.
    pub(super) fn push(
        &mut self,
        id: TaskId,
        queue: Queued,
        terms: &Terms,
        (since_ms, now_ms, step): (u64, u64, Duration),
    ) {
        self.remove(id);
        let (key, weight) = (terms.fairness_key.clone(), terms.fairness_weight);
        let wanted = terms.wants.clone();
        let step_ms = ms(step).max(1);
        let steps = now_ms.saturating_sub(since_ms) / step_ms;
        let mut level = terms.priority;
        for _ in 0..steps.min(LANES as u64) {
            level = level.sooner().unwrap_or(level);
        }
        if level != Priority::FIRST {
            let next_ms = steps.saturating_add(1).saturating_mul(step_ms);
            self.ageing.set(id, since_ms.saturating_add(next_ms));
        }
        self.line_up(id, Stand { queue, level, key, weight, wanted });
    }

    fn line_up(&mut self, id: TaskId, place: Stand) {
        let queue = self.queues.entry(place.queue.clone()).or_insert_with(|| Queue {
            given: self.given, // It does not go before those that have waited.
            ..Queue::default()
        });
        let lane = &mut queue.lanes[lane_of(place.level)];
        let since = lane.now;
        let fresh = || Share { since, was_given: false, lines: BTreeMap::new() };
        let share = lane.shares.entry(place.key.clone()).or_insert_with(fresh);
        share.lines.entry(place.wanted.clone()).or_default().ids.insert(id);
        let (queue, level) = (place.queue.clone(), place.level);
        let (key, wanted) = (place.key.clone(), place.wanted.clone());
        self.places.insert(id, place);
        self.order((&queue, level), &key, &wanted);
    }

    /// Puts the first of a line into the order, by its tag.
    fn order(&mut self, (queue, level): (&Queued, Priority), key: &FairnessKey, wanted: &Wanted) {
        let queue = self.queues.get_mut(queue).expect("a place is in a queue");
        let lane = &mut queue.lanes[lane_of(level)];
        let share = lane.shares.get_mut(key).expect("and in the share of its key");
        let line = share.lines.get_mut(wanted).expect("and in the line of what it wants");
        let order = lane.orders.entry(wanted.clone()).or_default();
        if let Some(before) = line.placed.take() {
            order.remove(&before);
        }
        let first = *line.ids.first().expect("a line is not empty");
        let tag = share.since.saturating_add(self.places[&first].cost());
        line.placed = Some((tag, share.was_given, first));
        order.insert((tag, share.was_given, first));
    }

    /// Takes a task out; says whether it waited.
    pub(super) fn remove(&mut self, id: TaskId) -> bool {
        self.ageing.clear(id);
        self.step_out(id).is_some()
    }

    fn step_out(&mut self, id: TaskId) -> Option<Stand> {
        let place = self.places.remove(&id)?;
        let queue = self.queues.get_mut(&place.queue).expect("a place is in a queue");
        let lane = &mut queue.lanes[lane_of(place.level)];
        let share = lane.shares.get_mut(&place.key).expect("and in the share of its key");
        let line = share.lines.get_mut(&place.wanted).expect("and in the line of what it wants");
        let is_first = line.ids.first() == Some(&id);
        line.ids.remove(&id);
        if !line.ids.is_empty() {
            if is_first {
                self.order((&place.queue, place.level), &place.key, &place.wanted);
            }
            return Some(place);
        }
        let order = lane.orders.get_mut(&place.wanted).expect("a line is in an order");
        order.remove(&line.placed.expect("its first is in it"));
        if order.is_empty() {
            lane.orders.remove(&place.wanted);
        }
        share.lines.remove(&place.wanted);
        if share.lines.is_empty() {
            lane.shares.remove(&place.key);
        }
        if queue.lanes.iter().all(|it| it.shares.is_empty()) {
            self.queues.remove(&place.queue);
        }
        Some(place)
    }

    /// Takes a task out that is given to an agent: its key has had as much more.
    pub(super) fn give(&mut self, id: TaskId) {
        let Some(place) = self.places.get(&id) else { return };
        let (of, level, key) = (place.queue.clone(), place.level, place.key.clone());
        let cost = place.cost();
        self.given += 1;
        let queue = self.queues.get_mut(&of).expect("a place is in a queue");
        queue.given = self.given;
        let lane = &mut queue.lanes[lane_of(level)];
        let share = lane.shares.get_mut(&key).expect("and in the share of its key");
        // Who could be given nothing for a while, as nobody was there who was wanted, does not
        // make up for it.
        share.since = share.since.saturating_add(cost).max(lane.now);
        share.was_given = true;
        lane.now = share.since;
        let all: Vec<Wanted> = share.lines.keys().cloned().collect();
        all.iter().for_each(|wanted| self.order((&of, level), &key, wanted));
        self.remove(id);
    }

    /// Returns the task of a queue that is next, of those that want what is `had`.
    pub(super) fn first(&self, of: &Queued, had: impl Fn(&Wanted) -> bool) -> Option<Rank> {
        let Queue { lanes, given } = self.queues.get(of)?;
        lanes.iter().zip(1..).find_map(|(lane, level)| {
            let orders = lane.orders.iter().filter(|(wanted, _)| had(wanted));
            let (tag, was_given, id) = *orders.filter_map(|(_, order)| order.first()).min()?;
            Some(Rank { level: Priority::new(level)?, given: *given, tag, was_given, id })
        })
    }

    /// Returns what those want who wait in a queue, each once.
    pub(super) fn wanted(&self, of: &Queued) -> BTreeSet<&Wanted> {
        let lanes = self.queues.get(of).into_iter().flat_map(|it| &it.lanes);
        lanes.flat_map(|it| it.orders.keys()).collect()
    }

    /// Lets tasks count as more urgent that have waited for as long as that takes: so many at once.
    pub(super) fn age(&mut self, now_ms: u64, step: Duration, most: usize) {
        for _ in 0..most {
            let Some(id) = self.ageing.due(now_ms) else { return };
            let (was_ms, _) = self.ageing.first().expect("one is due");
            self.ageing.clear(id);
            let place = self.step_out(id).expect("only who waits grows older");
            let level = place.level.sooner().unwrap_or(Priority::FIRST);
            if level != Priority::FIRST {
                self.ageing.set(id, was_ms.saturating_add(ms(step).max(1)));
            }
            self.line_up(id, Stand { level, ..place });
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
    pub(super) fn ids_in(&self, queue: &Queued) -> impl Iterator<Item = TaskId> + '_ {
        let lanes = self.queues.get(queue).into_iter().flat_map(|it| &it.lanes);
        let lines = lanes.flat_map(|it| it.shares.values()).flat_map(|it| it.lines.values());
        lines.flat_map(|line| line.ids.iter().copied())
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
