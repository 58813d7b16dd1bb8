//! What the home of a task decides: accept it, give it to an agent, hear the worker, end it.
//! Must not look at tasks of other homes, nor know how a decision reaches anybody.

mod leases;
mod pauses;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{PlacementId, RegionId, Run};

use crate::contract::{AtHome, Disk, TokenPair};
use crate::refusal::{Large, Refusal};
use crate::region::Region;
use crate::task::{
    AgentName, Checkpoint, Claim, Event, Json, Note, Outcome, Requeue, Target, TaskId, TaskState,
    Token,
};
use crate::tasks::{Task, task_record};

/// The open tasks of this home: each either waits or is leased.
#[derive(Debug, Default)]
pub(crate) struct Home {
    /// The tasks that wait, the oldest first, by what they have in common.
    waiting: BTreeMap<Queued, BTreeSet<TaskId>>,
    waiting_count: usize,
    leases: BTreeMap<TaskId, Lease>,
    lapses: BTreeSet<(Duration, TaskId)>,
    /// The tasks that wait for their clients, with the time since when.
    paused: BTreeMap<TaskId, u64>,
    /// The same by that time.
    pauses: BTreeSet<(u64, TaskId)>,
    /// Those of them whose answers are here, and could not be taken up yet.
    answered: BTreeSet<TaskId>,
}

/// What decides who can take up a task.
type Queued = (Target, PlacementId);

/// How long the worker may be silent, and whether it ever was heard.
#[derive(Clone, Copy, Debug)]
struct Lease {
    until: Duration,
    is_taken_up: bool,
}

impl Home {
    fn wait(&mut self, queued: Queued, id: TaskId) {
        let added = self.waiting.entry(queued).or_default().insert(id);
        self.waiting_count += usize::from(added);
    }

    fn lease(&mut self, id: TaskId, lease: Lease) {
        if let Some(old) = self.leases.insert(id, lease) {
            self.lapses.remove(&(old.until, id));
        }
        self.lapses.insert((lease.until, id));
    }

    fn pause(&mut self, id: TaskId, since_ms: u64) {
        self.resume(id);
        self.paused.insert(id, since_ms);
        self.pauses.insert((since_ms, id));
    }

    /// Ends the wait for a client, if there is one.
    fn resume(&mut self, id: TaskId) {
        if let Some(since_ms) = self.paused.remove(&id) {
            self.pauses.remove(&(since_ms, id));
        }
    }

    /// Takes a task out of its queue, its pause, or its lease away.
    fn take(&mut self, queued: &Queued, id: TaskId) -> Option<Lease> {
        if let Some(queue) = self.waiting.get_mut(queued) {
            self.waiting_count -= usize::from(queue.remove(&id));
            if queue.is_empty() {
                self.waiting.remove(queued);
            }
        }
        self.resume(id);
        let lease = self.leases.remove(&id)?;
        self.lapses.remove(&(lease.until, id));
        Some(lease)
    }

    /// Forgets a task, whatever has become of it.
    pub(crate) fn forget(&mut self, id: TaskId) {
        self.resume(id);
        if let Some(lease) = self.leases.remove(&id) {
            self.lapses.remove(&(lease.until, id));
        } else {
            let queues = self.waiting.values_mut().map(|queue| usize::from(queue.remove(&id)));
            self.waiting_count -= queues.sum::<usize>();
            self.waiting.retain(|_, queue| !queue.is_empty());
        }
    }

    /// Whether a task waits here or is leased.
    pub(crate) fn holds(&self, id: TaskId) -> bool {
        self.leases.contains_key(&id)
            || self.paused.contains_key(&id)
            || self.waiting.values().any(|it| it.contains(&id))
    }

    pub(crate) fn next_lapse(&self) -> Option<Duration> {
        self.lapses.first().map(|(until, _)| *until)
    }

    /// Returns how many tasks wait for an agent.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_count
    }

    /// Returns how many tasks wait for an agent or are with one.
    pub(crate) fn busy(&self) -> usize {
        self.waiting_count + self.leases.len()
    }

    /// Returns how many tasks have not ended.
    pub(crate) fn open(&self) -> usize {
        self.busy() + self.paused.len()
    }
}

impl Region {
    /// Bytes of one op: what is larger would fit no frame of a link.
    pub(crate) const OP_BYTES_MAX: usize = 4 << 20;
    /// What a note takes as an op beside its texts.
    const NOTE_OVERHEAD: usize = 160;

    /// Returns the home of a task; whoever is no member yet knows none, and shows itself.
    pub(crate) fn home_of_task(&self, id: TaskId, placement: PlacementId) -> RegionId {
        self.charter.home(placement, id.shard()).map_or(self.config.region, |it| it.region)
    }

    pub(crate) fn epoch_of(&self, id: TaskId, placement: PlacementId) -> u32 {
        let home = self.charter.home(placement, id.shard());
        home.expect("every placement with a task has homes").epoch
    }

    pub(crate) fn is_home(&self, id: TaskId, placement: PlacementId) -> bool {
        let home = self.charter.home(placement, id.shard());
        let log = self.store.log(&task_record(placement, id));
        // What an earlier life of this region has written under this epoch cannot be gone on with.
        home.is_some_and(|home| {
            let run = log.and_then(|log| log.runs().last());
            let is_own =
                |run: &Run| run.epoch < home.epoch || run.stream == self.own_stream(placement);
            home.region == self.config.region && run.is_none_or(is_own)
        })
    }

    /// Takes up the tasks of this home where the log left them.
    pub(crate) fn resume_home(&mut self) {
        self.resume_tasks(|_| true);
        self.dispatch_all();
    }

    /// Takes up a task where its log left it, if this is its home.
    pub(crate) fn resume_task(&mut self, id: TaskId) {
        let until = self.now.mono + self.config.limits.lease_ttl;
        let Some(task) = self.tasks.get(id) else { return };
        if !self.is_home(id, task.placement) || !self.is_active(id, task.placement) {
            return;
        }
        match task.state {
            TaskState::Submitted => self.home.wait(task.queued(), id),
            TaskState::Working => {
                let is_taken_up = 0 < task.notes;
                self.home.lease(id, Lease { until, is_taken_up });
            }
            TaskState::InputRequired | TaskState::AuthRequired => {
                self.home.pause(id, task.changed.wall_ms);
            }
            TaskState::Completed
            | TaskState::Failed
            | TaskState::Canceled
            | TaskState::Rejected => return,
        }
        if !self.adopt_end(id) {
            self.adopt_answer(id);
        }
    }

    /// Writes the next event of a task of this home.
    fn tell(&mut self, id: TaskId, event: Event) -> u64 {
        let task = self.tasks.get(id).expect("events are told of tasks in memory");
        assert!(!task.state.is_terminal(), "nothing follows the end of `{id}`");
        self.write_event(task.placement, id, event)
    }

    /// Gives a waiting task to the best agent that has room, if there is one; says whether.
    pub(crate) fn dispatch(&mut self, id: TaskId) -> bool {
        let placement = self.tasks.get(id).expect("a waiting task is in memory").placement;
        if self.disk == Disk::Full || !self.may_decide(id, placement) {
            return false;
        }
        if self.adopt_end(id) || self.gives_way(id) {
            return true;
        }
        let task = self.tasks.get(id).expect("it is there: looked up above");
        let last = task.worker.as_ref().map(|(agent, _)| agent);
        // Who asked the client goes on with the answer, if it lives and has room.
        let same = last.filter(|_| task.is_answered && self.fits_still(task));
        let same = same.map(|it| Target::Agent(it.clone()));
        let found = same.and_then(|it| self.pick(&it, task.placement, None));
        let avoid = last.filter(|_| !task.is_answered);
        let found = found.or_else(|| self.pick(&task.target, task.placement, avoid));
        let Some((agent, region)) = found else { return false };
        self.claim(id, agent, region);
        true
    }

    /// Gives a task to an agent if it waits here for one.
    pub(crate) fn dispatch_if_waiting(&mut self, id: TaskId) {
        let queued = self.tasks.get(id).map(Task::queued);
        let queue = queued.and_then(|it| self.home.waiting.get(&it));
        if queue.is_some_and(|it| it.contains(&id)) {
            self.dispatch(id);
        }
    }

    fn pick(
        &self,
        target: &Target,
        placement: PlacementId,
        avoid: Option<&AgentName>,
    ) -> Option<(AgentName, RegionId)> {
        let may = |region| self.may_hold(region, placement) && self.may_work(region, placement);
        // Whoever is not well, or not to be reached directly, is spared while others have room.
        let is_well =
            |region| self.is_reachable(region) && may(region) && !self.is_degraded(region);
        let well = self.registry.pick((target, placement), avoid, is_well);
        well.or_else(|| self.registry.pick((target, placement), avoid, may))
    }

    /// Picks the agent that a task would be given to at its submission, and changes nothing:
    /// for benchmarks, which measure the decision by itself.
    #[doc(hidden)]
    #[must_use]
    pub fn route(&self, target: &Target, placement: PlacementId) -> Option<(AgentName, RegionId)> {
        self.pick(target, placement, None)
    }

    /// Gives an agent that may have room the oldest tasks that it can do.
    pub(crate) fn dispatch_to(&mut self, agent: &AgentName) {
        while self.disk == Disk::Ready && self.needs_tenure() && self.registry.has_room(agent) {
            let Some(found) = self.registry.get(agent) else { return };
            let region = found.region;
            let its = found.spec.placement;
            let is_fit = |it: &PlacementId| {
                let may_know = self.registry.may_know_of(its, *it);
                may_know && self.may_hold(region, *it) && self.may_work(region, *it)
            };
            let fit: Vec<_> = self.config.placements.keys().copied().filter(is_fit).collect();
            let skills = found.spec.skills.iter().cloned().map(Target::Skill);
            let targets = skills.chain([Target::Agent(agent.clone())]);
            let queues = targets.flat_map(|it| fit.iter().map(move |fit| (it.clone(), *fit)));
            let first = |queued| self.home.waiting.get(&queued)?.first().copied();
            let Some(oldest) = queues.filter_map(first).min() else { return };
            if !self.gives_way(oldest) {
                self.claim(oldest, agent.clone(), region);
            }
        }
    }

    /// Gives every waiting task to an agent, as far as there is room.
    pub(crate) fn dispatch_all(&mut self) {
        let queues: Vec<Queued> = self.home.waiting.keys().cloned().collect();
        for queued in queues {
            while let Some(first) = self.home.waiting.get(&queued).and_then(|it| it.first()) {
                if !self.dispatch(*first) {
                    break;
                }
            }
        }
    }

    fn claim(&mut self, id: TaskId, agent: AgentName, region: RegionId) {
        let task = self.tasks.get(id).expect("a waiting task is in memory");
        let epoch = self.epoch_of(id, task.placement);
        let token = Token::new(epoch, task.token.map_or(0, Token::attempt) + 1);
        let until = self.now.mono + self.config.limits.pickup_ttl;
        self.home.take(&task.queued(), id);
        self.home.lease(id, Lease { until, is_taken_up: false });
        self.counters.claimed += 1;
        self.tell(id, Event::Claimed { token, agent, region });
    }

    /// Decides about a task of this home. Returns the append to wait for, and the answer.
    pub(crate) fn decide_at_home(
        &mut self,
        ask: &AtHome,
    ) -> (u64, Result<(TaskState, u64), Refusal>) {
        let id = ask.task();
        let result = match ask {
            AtHome::Submit { spec, .. } => self.submit_as(id, spec),
            AtHome::Heartbeat(_)
            | AtHome::Note { .. }
            | AtHome::Finish { .. }
            | AtHome::Pause { .. }
            | AtHome::Answer { .. }
            | AtHome::Decline(_)
            | AtHome::SetWebhook { .. }
            | AtHome::RemoveWebhook { .. }
            | AtHome::Cancel { .. } => self.decide_open(id, ask),
        };
        if matches!(result, Err(Refusal::StaleToken { .. })) {
            self.counters.stale += 1;
        }
        let task = self.tasks.get(id);
        let append = match ask {
            // These are not in the task's log.
            AtHome::SetWebhook { .. } | AtHome::RemoveWebhook { .. } => self.appended(),
            AtHome::Submit { .. }
            | AtHome::Heartbeat(_)
            | AtHome::Note { .. }
            | AtHome::Finish { .. }
            | AtHome::Pause { .. }
            | AtHome::Answer { .. }
            | AtHome::Decline(_)
            | AtHome::Cancel { .. } => task.map_or(0, |task| task.append),
        };
        let standing = |task: &Task| (task.state, task.generation);
        let answer = result.map(|()| task.map(standing).expect("it was decided about"));
        (append, answer)
    }

    fn decide_open(&mut self, id: TaskId, ask: &AtHome) -> Result<(), Refusal> {
        // Only a home that may decide knows that there is no such task.
        let placement = self.charter.placement_of(id).ok_or(Refusal::NoSuchTask(id))?;
        if !self.may_decide(id, placement) {
            let region = self.home_of_task(id, placement);
            return Err(Refusal::HomeUnreachable { region });
        }
        let task = self.tasks.get(id).ok_or(Refusal::NoSuchTask(id))?;
        match ask {
            AtHome::Heartbeat(claim) => {
                self.check_claim(task, *claim)?;
                self.extend(id);
                Ok(())
            }
            AtHome::Note { claim, first, notes } => self.note(*claim, *first, notes),
            AtHome::Finish { claim, outcome, message } => {
                self.finish(*claim, *outcome, message.clone())
            }
            AtHome::Pause { claim, why, message } => self.pause(*claim, *why, message.clone()),
            AtHome::Answer { name, message, asked, .. } => {
                self.answer_worker(id, (name, message), *asked)
            }
            AtHome::Decline(claim) => {
                self.check_claim(task, *claim)?;
                self.check_disk()?;
                self.let_rest(id);
                self.requeue(id, Requeue::Declined);
                Ok(())
            }
            AtHome::SetWebhook { id: name, target, credentials, since, .. } => {
                self.set_webhook(id, name, (target, credentials), *since)
            }
            AtHome::RemoveWebhook { id: name, .. } => self.remove_webhook(id, name),
            AtHome::Submit { .. } => Ok(()),
            AtHome::Cancel { message, .. } => {
                if task.state == TaskState::Canceled {
                    return Ok(());
                }
                if task.state.is_terminal() {
                    return Err(Refusal::Ended { task: id, state: task.state });
                }
                self.check_disk()?;
                let token = task.current();
                self.end(id, token, Outcome::Canceled, message.clone());
                Ok(())
            }
        }
    }

    fn check_claim(&self, task: &Task, claim: Claim) -> Result<(), Refusal> {
        if task.current() == Some(claim.token) {
            return Ok(());
        }
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::AcceptStaleToken)
            && task.state == TaskState::Working
        {
            return Ok(());
        }
        if task.state.is_terminal() && task.token == Some(claim.token) {
            return Err(Refusal::Ended { task: claim.task, state: task.state });
        }
        let tokens = TokenPair { shown: claim.token, current: task.current() };
        Err(Refusal::StaleToken { task: claim.task, tokens })
    }

    /// The worker was heard: its lease goes on.
    fn extend(&mut self, id: TaskId) {
        let until = self.now.mono + self.config.limits.lease_ttl;
        self.home.lease(id, Lease { until, is_taken_up: true });
    }

    fn note(&mut self, claim: Claim, first: u64, notes: &[Note]) -> Result<(), Refusal> {
        let id = claim.task;
        let task = self.tasks.get(id).ok_or(Refusal::NoSuchTask(id))?;
        self.check_claim(task, claim)?;
        let expected = task.notes + 1;
        if first == 0 || expected < first {
            return Err(Refusal::NoteGap { first, expected });
        }
        let known = usize::try_from(expected - first).unwrap_or(usize::MAX).min(notes.len());
        let fresh = &notes[known..];
        let (mut bytes, mut stays) = (task.attempt_bytes, task.turn_bytes);
        for note in fresh {
            let weight = Self::NOTE_OVERHEAD + note.weight();
            check_size(Large::Note, weight, Self::OP_BYTES_MAX)?;
            if let Note::Checkpoint(it) = note {
                check_size(Large::Checkpoint, it.value.0.len(), Checkpoint::VALUE_BYTES_MAX)?;
                stays += weight; // Later attempts need room for what they tell.
                check_size(Large::Task, stays, self.config.limits.task_bytes_max / 2)?;
            }
            bytes += weight;
        }
        check_size(Large::Task, bytes, self.config.limits.task_bytes_max)?;
        if !fresh.is_empty() {
            self.check_disk()?;
        }
        self.extend(id);
        for (number, note) in (expected..).zip(fresh) {
            self.tell(id, Event::Noted { token: claim.token, number, note: note.clone() });
        }
        Ok(())
    }

    fn finish(
        &mut self,
        claim: Claim,
        outcome: Outcome,
        message: Option<Json>,
    ) -> Result<(), Refusal> {
        let id = claim.task;
        let task = self.tasks.get(id).ok_or(Refusal::NoSuchTask(id))?;
        let is_repeated = task.token == Some(claim.token) && task.state == outcome.state();
        if is_repeated {
            return Ok(());
        }
        self.check_claim(task, claim)?;
        let bytes = message.as_ref().map_or(0, |it| it.0.len());
        check_size(Large::Message, bytes, self.config.limits.message_bytes_max)?;
        self.check_disk()?;
        self.end(id, Some(claim.token), outcome, message);
        Ok(())
    }

    pub(crate) fn end(
        &mut self,
        id: TaskId,
        token: Option<Token>,
        outcome: Outcome,
        message: Option<Json>,
    ) {
        let task = self.tasks.get(id).expect("only tasks in memory end");
        self.home.take(&task.queued(), id);
        self.counters.ended += 1;
        self.tell(id, Event::Ended { token, outcome, message });
    }

    /// Offers a task again, to another agent if there is one.
    fn requeue(&mut self, id: TaskId, why: Requeue) {
        let task = self.tasks.get(id).expect("only tasks in memory are leased");
        let token = task.current().expect("only a leased task is offered again");
        let queued = task.queued();
        self.home.take(&queued, id);
        self.tell(id, Event::Requeued { token, why });
        let lapses = self.tasks.get(id).expect("it has not ended").lapses;
        if self.config.limits.attempts_max <= lapses {
            // Without token and message: the home gave up, after as many attempts as are allowed.
            self.end(id, None, Outcome::Failed, None);
            return;
        }
        self.home.wait(queued, id);
        self.dispatch(id);
    }

    /// Lets go of a task, whether it waits or is leased.
    pub(crate) fn let_go_of(&mut self, id: TaskId) {
        if let Some(queued) = self.tasks.get(id).map(Task::queued) {
            self.home.take(&queued, id);
        }
    }
}

/// Checks a size against its bound.
pub(crate) fn check_size(what: Large, bytes: usize, max: usize) -> Result<(), Refusal> {
    if bytes <= max {
        return Ok(());
    }
    let (bytes, max) = (bytes as u64, max as u64);
    Err(Refusal::TooLarge { what, bytes, max })
}
