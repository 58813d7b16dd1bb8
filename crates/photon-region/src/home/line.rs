//! Tasks in line for an agent: which queue each waits in, and who is given which.
//!
//! A task waits in the queue of whoever can do it. Of a conversation that an agent holds, it waits
//! for that agent as long as it lives.
//! Must not know how a queue is ordered.

use std::collections::BTreeSet;
use std::sync::Arc;

use photon_state::{PlacementId, RegionId};

use super::Lease;
use super::queue::{Queued, Rank, Wanted};
use crate::contract::Disk;
use crate::matching::{Asked, Wants};
use crate::region::Region;
use crate::task::{AgentName, Event, Skill, Target, TaskId, TaskState, Token};
use crate::tasks::Task;
use crate::terms::Terms;

impl Region {
    /// How many tasks of a conversation are looked at, the youngest first.
    const CONTEXT_LOOKS_MAX: usize = 1_000;

    /// Lets a task wait for an agent, or until it may.
    pub(super) fn line_up(&mut self, id: TaskId) {
        let task = self.tasks.get(id).expect("a waiting task is in memory");
        if task.state != TaskState::Submitted || self.home.leases.contains_key(&id) {
            return; // Somebody has it by now.
        }
        let (now_ms, not_before) = (self.now.wall_ms, task.not_before_ms);
        let is_early = now_ms < not_before;
        #[cfg(feature = "planted-bugs")]
        let is_early = is_early && self.planted != Some(crate::PlantedBug::StartEarly);
        if is_early {
            self.home.queues.remove(id);
            self.home.bound.remove(&id);
            self.home.fans.remove(&id);
            self.home.delayed.set(id, not_before);
            return;
        }
        if task.fan().is_some() {
            self.home.fans.insert(id);
            self.home.fans_due.insert(id);
            return;
        }
        let queue = self.queue_for(id, task);
        let is_bound = queue.target != task.target;
        let usual = Terms::default();
        let terms = task.terms.as_deref().unwrap_or(&usual);
        let times = (task.waits_since_ms, now_ms, self.config.limits.ageing);
        self.home.queues.push(id, queue, terms, times);
        if is_bound {
            self.home.bound.insert(id);
        } else {
            self.home.bound.remove(&id);
        }
    }

    /// Whether a task in line may not be given to anybody yet, because the clock went back.
    fn waits_longer(&mut self, id: TaskId) -> bool {
        let task = self.tasks.get(id).expect("a waiting task is in memory");
        let is_early = self.now.wall_ms < task.not_before_ms;
        #[cfg(feature = "planted-bugs")]
        let is_early = is_early && self.planted != Some(crate::PlantedBug::StartEarly);
        if is_early {
            self.home.take(id);
            self.watch_time(id);
            self.line_up(id);
        }
        is_early
    }

    fn queue_for(&self, id: TaskId, task: &Task) -> Queued {
        let holder = self.holder(id, task).map(Target::Agent);
        let target = holder.unwrap_or_else(|| task.target.clone());
        Queued { target, placement: task.placement }
    }

    /// Returns the agent that holds the conversation of a task that nobody has had yet.
    fn holder(&self, id: TaskId, task: &Task) -> Option<AgentName> {
        let Target::Skill(skill) = &task.target else { return None };
        if task.token.is_some() || task.part_of().is_some() {
            return None;
        }
        let agent = self.tasks.holder(&task.context, id)?;
        let is_wanted = self.registry.accepts(agent, task.wants());
        (is_wanted && self.can_do(agent, skill, task.placement)).then(|| agent.clone())
    }

    /// Whether an agent lives, in a region that is well, that can do what is asked, however busy
    /// it is.
    fn can_do(&self, agent: &AgentName, skill: &Skill, placement: PlacementId) -> bool {
        self.registry.get(agent).is_some_and(|it| {
            let may_know = self.registry.may_know_of(it.spec.placement, placement);
            let is_fit = it.is_online && it.spec.skills.contains(skill) && may_know;
            let may = self.may_hold(it.region, placement) && self.may_work(it.region, placement);
            is_fit && may && !self.is_degraded(it.region)
        })
    }

    /// Lets tasks that wait for an agent wait for others, too, if that is gone.
    pub(crate) fn unbind(&mut self, agent: &AgentName) {
        if self.home.bound.is_empty() {
            return;
        }
        let placements = self.config.placements.keys();
        let target = Target::Agent(agent.clone());
        let queues = placements.map(|it| Queued { target: target.clone(), placement: *it });
        let all = queues.flat_map(|it| self.home.queues.ids_in(&it).collect::<Vec<TaskId>>());
        let bound: Vec<TaskId> = all.filter(|it| self.home.bound.contains(it)).collect();
        self.rebind(bound);
        self.bind();
    }

    /// Lets the tasks of conversations wait for the agents that were given one of them just now.
    /// Whoever gets one of those may bind others: they follow here, one after the other.
    fn bind(&mut self) {
        if std::mem::replace(&mut self.home.is_binding, true) {
            return;
        }
        while let Some(id) = self.home.to_bind.pop() {
            let Some(task) = self.tasks.get(id) else { continue };
            let all = self.tasks.older(None, Some(&task.context)).take(Self::CONTEXT_LOOKS_MAX);
            let waiting = all.filter(|(_, it)| it.state == TaskState::Submitted);
            let waiting: Vec<TaskId> = waiting.map(|(id, _)| id).collect();
            self.rebind(waiting);
        }
        self.home.is_binding = false;
    }

    /// Lets tasks wait where they should, and gives them to whoever has room there.
    fn rebind(&mut self, ids: impl IntoIterator<Item = TaskId>) {
        let mut changed = BTreeSet::new();
        for id in ids {
            let Some(waits) = self.home.queues.queue_of(id) else { continue };
            let task = self.tasks.get(id).expect("a waiting task is in memory");
            let queue = self.queue_for(id, task);
            if *waits != queue {
                self.line_up(id);
                changed.insert(queue);
            }
        }
        self.dispatch_from(changed);
    }

    /// Gives a waiting task to the best agent that has room, if there is one; says whether.
    pub(super) fn dispatch(&mut self, id: TaskId) -> bool {
        let placement = self.tasks.get(id).expect("a waiting task is in memory").placement;
        if self.disk == Disk::Full || !self.may_decide(id, placement) {
            return false;
        }
        if self.adopt_end(id) || self.waits_longer(id) || self.gives_way(id) {
            return true;
        }
        let task = self.tasks.get(id).expect("it is there: looked up above");
        let Some(Queued { target, .. }) = self.home.queues.queue_of(id) else { return false };
        let last = task.worker.as_ref().map(|(agent, _)| agent);
        // Who asked the client goes on with the answer, if it lives and has room.
        let same = last.filter(|_| task.is_answered && self.fits_still(task));
        let same = same.map(|it| Target::Agent(it.clone()));
        let asked = Asked { target, placement: task.placement, wants: task.wants() };
        let found = same.and_then(|it| self.pick(Asked { target: &it, ..asked }, None));
        let avoid = last.filter(|_| !task.is_answered);
        let found = found.or_else(|| self.pick(asked, avoid));
        let Some((agent, region)) = found else { return false };
        self.claim(id, &agent, region);
        true
    }

    /// Gives a task to an agent if it waits here for one.
    pub(crate) fn dispatch_if_waiting(&mut self, id: TaskId) {
        if self.home.queues.queue_of(id).is_some() {
            self.dispatch(id);
            self.bind();
        } else if self.home.fans_due.contains(&id) {
            self.look_at_fan(id);
        }
    }

    fn pick(&self, asked: Asked<'_>, avoid: Option<&AgentName>) -> Option<(AgentName, RegionId)> {
        let placement = asked.placement;
        let is_wanted = |region| asked.wants.is_none_or(|it| it.accepts_region(region));
        let may = |region| {
            is_wanted(region)
                && self.may_hold(region, placement)
                && self.may_work(region, placement)
        };
        // Whoever is not well, or not to be reached directly, is spared while others have room.
        let is_well =
            |region| self.is_reachable(region) && may(region) && !self.is_degraded(region);
        let well = self.registry.pick(asked, avoid, is_well);
        well.or_else(|| self.registry.pick(asked, avoid, may))
    }

    /// Picks the agent that a task would be given to at its submission, and changes nothing.
    #[must_use]
    pub fn route(&self, asked: Asked<'_>) -> Option<(AgentName, RegionId)> {
        self.pick(asked, None)
    }

    fn is_wanted(&self, agent: &AgentName, wants: Option<&Arc<Wants>>) -> bool {
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::IgnoreWants) {
            return true;
        }
        self.registry.accepts(agent, wants)
    }

    /// Gives an agent that may have room the next of the tasks that it can do.
    pub(crate) fn dispatch_to(&mut self, agent: &AgentName) {
        while self.disk == Disk::Ready && self.needs_tenure() && self.registry.has_room(agent) {
            let Some(found) = self.registry.get(agent) else { break };
            let region = found.region;
            let its = found.spec.placement;
            let is_fit = |it: &PlacementId| {
                let may_know = self.registry.may_know_of(its, *it);
                may_know && self.may_hold(region, *it) && self.may_work(region, *it)
            };
            let fit: Vec<_> = self.config.placements.keys().copied().filter(is_fit).collect();
            let skills = found.spec.skills.iter().cloned().map(Target::Skill);
            let targets = skills.chain([Target::Agent(agent.clone())]);
            let queue = |target: &Target, fit: &PlacementId| Queued {
                target: target.clone(),
                placement: *fit,
            };
            let queues = targets.flat_map(|it| fit.iter().map(move |fit| queue(&it, fit)));
            let ranks = queues.filter_map(|it| {
                self.home.queues.first(&it, |wanted| self.is_wanted(agent, wanted.as_ref()))
            });
            let Some(Rank { id: next, .. }) = ranks.min() else { break };
            if !self.waits_longer(next) && !self.gives_way(next) {
                self.claim(next, agent, region);
            }
        }
        self.bind();
    }

    /// Gives every waiting task to an agent, as far as there is room.
    pub(crate) fn dispatch_all(&mut self) {
        let bound: Vec<TaskId> = self.home.bound.iter().copied().collect();
        self.rebind(bound);
        let queues: Vec<Queued> = self.home.queues.queues().cloned().collect();
        self.dispatch_from(queues);
        self.bind();
    }

    /// Gives the tasks of queues to agents, as far as there is room: of those that want the same
    /// one after the other.
    fn dispatch_from(&mut self, queues: impl IntoIterator<Item = Queued>) {
        let mut lines: Vec<(Queued, Wanted)> = Vec::new();
        for queue in queues {
            let wanted = self.home.queues.wanted(&queue);
            lines.extend(wanted.into_iter().map(|it| (queue.clone(), it.clone())));
        }
        let first = |region: &Self, at: usize| {
            let (queue, wanted): &(Queued, Wanted) = &lines[at];
            region.home.queues.first(queue, |it| it == wanted).map(|rank| (rank, at))
        };
        let mut heads: BTreeSet<(Rank, usize)> =
            (0..lines.len()).filter_map(|at| first(self, at)).collect();
        while let Some((rank, at)) = heads.pop_first() {
            // What was given away before may have moved others, or how they rank.
            let is_current = first(self, at) == Some((rank, at));
            if !is_current || self.dispatch(rank.id) {
                heads.extend(first(self, at));
            }
        }
    }

    fn claim(&mut self, id: TaskId, agent: &AgentName, region: RegionId) {
        let task = self.tasks.get(id).expect("a waiting task is in memory");
        let epoch = self.epoch_of(id, task.placement);
        let token = Token::new(epoch, task.token.map_or(0, Token::attempt) + 1);
        let until = self.now.mono + self.config.limits.pickup_ttl;
        self.home.queues.give(id);
        self.home.take(id);
        self.home.lease(id, Lease { until, begun_ms: None });
        self.counters.claimed += 1;
        // Who is asked as one of many does not hold the conversation by that.
        let is_one = task.part_of().is_none();
        let is_new = is_one && self.tasks.holder(&task.context, id) != Some(agent);
        self.tell(id, Event::Claimed { token, agent: agent.clone(), region });
        if is_new {
            self.home.to_bind.push(id);
        }
    }
}
