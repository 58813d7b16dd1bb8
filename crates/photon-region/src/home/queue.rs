//! Which of the tasks that wait for an agent is next.
//!
//! The most urgent ones first. Among those as urgent in one queue, tasks of several fairness keys
//! take turns by self-clocked fair queueing (Golestani, INFOCOM 1994): each key's next task has a
//! finish tag, the inverse of its weight after that of the one before, or after the tag of what was
//! given last if none was; the least is next. Within a key the eldest is first. Of several queues
//! that are as urgent the one is next that was given nothing for longest. A task that has waited
//! for a while counts as one step more urgent, so that none waits for ever.
//! Must not know what a task is, who could do it, or the time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use photon_state::PlacementId;

use super::timers::Timers;
use crate::matching::Wants;
use crate::task::{Target, TaskId};
use crate::terms::{Priority, Terms, Weight, ms};

/// What decides who can take up a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Queued {
    pub(super) target: Target,
    pub(super) placement: PlacementId,
    pub(super) wants: Option<Arc<Wants>>,
}

/// Whose share of the agents' time a task takes.
type FairnessKey = Option<Arc<str>>;

/// The tasks that wait for an agent.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: BTreeMap<Queued, Queue>,
    places: BTreeMap<TaskId, Place>,
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
    /// The first of each key, by tag; of those that are equal, whoever was given nothing yet is
    /// first, and then the eldest.
    order: BTreeSet<(u64, bool, TaskId)>,
    /// The greatest tag of what was given away: the virtual time.
    now: u64,
}

/// The tasks of one key.
#[derive(Debug, Default)]
struct Line {
    /// Where the one before ended.
    since: u64,
    /// Where the first ends.
    tag: u64,
    /// Whether any was given away since the key came to wait.
    was_given: bool,
    ids: BTreeSet<TaskId>,
}

/// What is compared of tasks that wait: the least is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    level: Priority,
    given: u64,
    pub(super) id: TaskId,
}

impl Place {
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
        self.line_up(id, Place { queue, level, key, weight });
    }

    fn line_up(&mut self, id: TaskId, place: Place) {
        let queue = self.queues.entry(place.queue.clone()).or_insert_with(|| Queue {
            given: self.given, // It does not go before those that have waited.
            ..Queue::default()
        });
        let lane = &mut queue.lanes[lane_of(place.level)];
        let line = lane.lines.entry(place.key.clone()).or_default();
        match line.ids.first() {
            Some(first) => _ = lane.order.remove(&(line.tag, line.was_given, *first)),
            None => line.since = lane.now,
        }
        line.ids.insert(id);
        self.places.insert(id, place);
        self.order(id);
    }

    /// Gives the first of the line that a task is in its tag.
    fn order(&mut self, id: TaskId) {
        let place = &self.places[&id];
        let queue = self.queues.get_mut(&place.queue).expect("a place is in a queue");
        let lane = &mut queue.lanes[lane_of(place.level)];
        let line = lane.lines.get_mut(&place.key).expect("and in the line of its key");
        let first = *line.ids.first().expect("a line is not empty");
        line.tag = line.since.saturating_add(self.places[&first].cost());
        lane.order.insert((line.tag, line.was_given, first));
    }

    /// Takes a task out; says whether it waited.
    pub(super) fn remove(&mut self, id: TaskId) -> bool {
        self.ageing.clear(id);
        self.step_out(id).is_some()
    }

    fn step_out(&mut self, id: TaskId) -> Option<Place> {
        let place = self.places.remove(&id)?;
        let queue = self.queues.get_mut(&place.queue).expect("a place is in a queue");
        let lane = &mut queue.lanes[lane_of(place.level)];
        let line = lane.lines.get_mut(&place.key).expect("and in the line of its key");
        let is_first = line.ids.first() == Some(&id);
        line.ids.remove(&id);
        if is_first {
            lane.order.remove(&(line.tag, line.was_given, id));
        }
        match line.ids.first().copied() {
            Some(next) if is_first => self.order(next),
            Some(_) => {}
            None => {
                lane.lines.remove(&place.key);
                if queue.lanes.iter().all(|it| it.lines.is_empty()) {
                    self.queues.remove(&place.queue);
                }
            }
        }
        Some(place)
    }

    /// Takes a task out that is given to an agent: its key has had as much more.
    pub(super) fn give(&mut self, id: TaskId) {
        let Some(place) = self.places.get(&id) else { return };
        self.given += 1;
        let queue = self.queues.get_mut(&place.queue).expect("a place is in a queue");
        queue.given = self.given;
        let lane = &mut queue.lanes[lane_of(place.level)];
        let line = lane.lines.get_mut(&place.key).expect("and in the line of its key");
        let first = *line.ids.first().expect("a line is not empty");
        lane.order.remove(&(line.tag, line.was_given, first));
        line.since = line.since.saturating_add(place.cost());
        line.was_given = true;
        lane.now = lane.now.max(line.since);
        lane.order.insert((line.tag, true, first));
        self.remove(id);
    }

    /// Returns the task of a queue that is next.
    pub(super) fn first(&self, queue: &Queued) -> Option<Rank> {
        let Queue { lanes, given } = self.queues.get(queue)?;
        let mut fronts = lanes.iter().zip(1..).filter_map(|(it, level)| it.front(level));
        let (level, id) = fronts.next()?;
        Some(Rank { level, given: *given, id })
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

    /// Iterates over the queues of those who want something of whoever does the same.
    pub(super) fn of(
        &self,
        target: &Target,
        placement: PlacementId,
    ) -> impl Iterator<Item = &Queued> {
        let first = Queued { target: target.clone(), placement, wants: None };
        let all = self.queues.range(&first..).map(|(queue, _)| queue);
        all.take_while(move |it| it.target == first.target && it.placement == placement)
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
        lanes.flat_map(|lane| lane.lines.values()).flat_map(|line| line.ids.iter().copied())
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

impl Lane {
    /// Returns the first task of all, with the priority of the lane.
    fn front(&self, level: u8) -> Option<(Priority, TaskId)> {
        let (_, _, id) = self.order.first()?;
        Some((Priority::new(level)?, *id))
    }
}

fn lane_of(level: Priority) -> usize {
    usize::from(level.get() - 1)
}

#[cfg(test)]
mod tests;
