//! What the home of a task decides: accept it, give it to an agent, hear the worker, end it.
//! Must not look at tasks of other homes, nor know how a decision reaches anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use crate::codec::decode_event;
use crate::contract::{AtHome, Disk, Reply, TokenPair};
use crate::refusal::{Large, Queue, Refusal};
use crate::region::Region;
use crate::task::{
    AgentName, Claim, Event, Idempotency, Json, Note, Outcome, Requeue, Spec, Target, TaskId,
    TaskState, Token,
};
use crate::tasks::{Task, task_record};
use crate::verdict::Verdict;

/// The epoch of every home, as long as homes do not move.
const EPOCH: u32 = 1;

/// The open tasks of this home: each either waits or is leased.
#[derive(Debug, Default)]
pub(crate) struct Home {
    /// The tasks that wait, the oldest first, by what they have in common.
    waiting: BTreeMap<Queued, BTreeSet<TaskId>>,
    waiting_count: usize,
    leases: BTreeMap<TaskId, Lease>,
    lapses: BTreeSet<(Duration, TaskId)>,
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

    /// Takes a task out of its queue, or its lease away.
    fn take(&mut self, queued: &Queued, id: TaskId) -> Option<Lease> {
        if let Some(queue) = self.waiting.get_mut(queued) {
            self.waiting_count -= usize::from(queue.remove(&id));
            if queue.is_empty() {
                self.waiting.remove(queued);
            }
        }
        let lease = self.leases.remove(&id)?;
        self.lapses.remove(&(lease.until, id));
        Some(lease)
    }

    pub(crate) fn next_lapse(&self) -> Option<Duration> {
        self.lapses.first().map(|(until, _)| *until)
    }

    /// Returns how many tasks wait for an agent.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting_count
    }

    /// Returns how many tasks have not ended.
    fn open(&self) -> usize {
        self.waiting_count + self.leases.len()
    }
}

impl Region {
    /// Bytes of one op: what is larger would fit no frame of a link.
    const OP_BYTES_MAX: usize = 4 << 20;

    /// Takes up the tasks of this home where the log left them.
    pub(crate) fn resume_home(&mut self) {
        let until = self.now.mono + self.config.limits.lease_ttl;
        for (id, task) in self.tasks.iter() {
            if task.stream != self.own_stream(task.placement()) {
                continue;
            }
            match task.state {
                TaskState::Submitted => self.home.wait(task.queued(), id),
                TaskState::Working => {
                    let is_taken_up = 0 < task.notes;
                    self.home.lease(id, Lease { until, is_taken_up });
                }
                TaskState::Completed
                | TaskState::Failed
                | TaskState::Canceled
                | TaskState::Rejected => {}
            }
        }
        self.dispatch_all();
    }

    pub(crate) fn submit(&mut self, spec: &Spec) -> Verdict {
        match self.check_submission(spec) {
            Ok(Some(id)) => self.submitted(id, None),
            Ok(None) => {
                let id = self.new_task_id();
                self.write_event(spec.placement, id, 1, Event::Submitted(spec.clone()));
                self.counters.submitted += 1;
                self.home.wait((spec.target.clone(), spec.placement), id);
                self.dispatch(id);
                self.submitted(id, Some(spec))
            }
            Err(refusal @ Refusal::KeyReused { task }) => {
                let append = self.tasks.get(task).map_or(0, |task| task.append);
                Verdict::Reply(append, Err(refusal))
            }
            Err(refusal) => refusal.into(),
        }
    }

    /// Returns the task that was made for the same idempotency key, if there is one.
    fn check_submission(&self, spec: &Spec) -> Result<Option<TaskId>, Refusal> {
        self.check_placement(spec.placement)?;
        if let Some(key) = &spec.idempotency
            && let Some(id) = self.tasks.by_key(&key.key)
        {
            return if self.has_digest(id, key) {
                Ok(Some(id))
            } else {
                Err(Refusal::KeyReused { task: id })
            };
        }
        let limits = &self.config.limits;
        let max = limits.message_bytes_max.min(Self::OP_BYTES_MAX);
        check_size(Large::Message, spec.message.0.len(), max)?;
        if !self.registry.knows(&spec.target) {
            return Err(match &spec.target {
                Target::Skill(skill) => Refusal::NoSuchSkill(skill.clone()),
                Target::Agent(name) => Refusal::NoSuchAgent(name.clone()),
            });
        }
        if !self.registry.knows_within(&spec.target, spec.placement) {
            return Err(Refusal::Confined { placement: spec.placement });
        }
        self.check_disk()?;
        let retry_after = Duration::from_secs(1);
        if limits.open_tasks_max <= self.home.open() {
            let max = limits.open_tasks_max as u64;
            return Err(Refusal::Overloaded { what: Queue::OpenTasks, max, retry_after });
        }
        if limits.open_bytes_max <= self.tasks.open_bytes() {
            let max = limits.open_bytes_max as u64;
            return Err(Refusal::Overloaded { what: Queue::OpenBytes, max, retry_after });
        }
        Ok(None)
    }

    fn has_digest(&self, id: TaskId, ours: &Idempotency) -> bool {
        let theirs = self.spec(id).idempotency;
        theirs.is_some_and(|it| it.digest == ours.digest)
    }

    fn new_task_id(&mut self) -> TaskId {
        loop {
            let id = TaskId::new(self.now.wall_ms, self.config.region, self.rng.u64(..));
            if self.tasks.get(id).is_none() {
                return id;
            }
        }
    }

    /// Answers with a task that was submitted: just now, with this `spec`, or before.
    fn submitted(&self, id: TaskId, spec: Option<&Spec>) -> Verdict {
        let task = self.tasks.get(id).expect("it was submitted");
        let repeated = spec.is_none();
        let spec = spec.cloned().unwrap_or_else(|| self.spec(id));
        let reply = Reply::Submitted { task: task.summary(id, spec), repeated };
        Verdict::Reply(task.append, Ok(reply))
    }

    /// Returns what was asked, as the first entry of the task's log has it.
    pub(crate) fn spec(&self, id: TaskId) -> Spec {
        let task = self.tasks.get(id).expect("only tasks in memory are asked for");
        let log = self.store.log(&task_record(task.placement(), id));
        let first = log.and_then(|log| log.after(0).first()).expect("a task has a first entry");
        match decode_event(&first.bytes) {
            Ok(Event::Submitted(spec)) => spec,
            other => unreachable!("a task's log begins with its submission, not {other:?}"),
        }
    }

    /// Writes the next event of a task of this home.
    fn tell(&mut self, id: TaskId, event: Event) -> u64 {
        let task = self.tasks.get(id).expect("events are told of tasks in memory");
        assert!(!task.state.is_terminal(), "nothing follows the end of `{id}`");
        self.write_event(task.placement(), id, task.generation + 1, event)
    }

    /// Gives a waiting task to the best agent that has room, if there is one; says whether.
    pub(crate) fn dispatch(&mut self, id: TaskId) -> bool {
        if self.disk == Disk::Full {
            return false;
        }
        let task = self.tasks.get(id).expect("a waiting task is in memory");
        let avoid = task.worker.as_ref().map(|(agent, _)| agent);
        let Some((agent, region)) = self.pick(&task.target, task.placement(), avoid) else {
            return false;
        };
        self.claim(id, agent, region);
        true
    }

    fn pick(
        &self,
        target: &Target,
        placement: PlacementId,
        avoid: Option<&AgentName>,
    ) -> Option<(AgentName, RegionId)> {
        let may = |region| self.is_reachable(region) && self.may_hold(region, placement);
        self.registry.pick((target, placement), avoid, may)
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
        while self.disk == Disk::Ready && self.registry.has_room(agent) {
            let Some(found) = self.registry.get(agent) else { return };
            let region = found.region;
            if !self.is_reachable(region) {
                return;
            }
            let its = found.spec.placement;
            let fits = |it: &_| self.may_hold(region, *it) && self.registry.may_know_of(its, *it);
            let fit: Vec<PlacementId> =
                self.config.placements.keys().copied().filter(fits).collect();
            let skills = found.spec.skills.iter().cloned().map(Target::Skill);
            let targets = skills.chain([Target::Agent(agent.clone())]);
            let queues = targets.flat_map(|it| fit.iter().map(move |fit| (it.clone(), *fit)));
            let first = |queued| self.home.waiting.get(&queued)?.first().copied();
            let Some(oldest) = queues.filter_map(first).min() else { return };
            self.claim(oldest, agent.clone(), region);
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
        let token = Token::new(EPOCH, task.token.map_or(0, Token::attempt) + 1);
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
        let result = self.decide_open(id, ask);
        if matches!(result, Err(Refusal::StaleToken { .. })) {
            self.counters.stale += 1;
        }
        let task = self.tasks.get(id);
        let append = task.map_or(0, |task| task.append);
        let standing = |task: &Task| (task.state, task.generation);
        let answer = result.map(|()| task.map(standing).expect("it was decided about"));
        (append, answer)
    }

    fn decide_open(&mut self, id: TaskId, ask: &AtHome) -> Result<(), Refusal> {
        let task = self.tasks.get(id).ok_or(Refusal::NoSuchTask(id))?;
        if task.stream != self.own_stream(task.placement()) {
            return Err(Refusal::HomeUnreachable { region: task.home() });
        }
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
            AtHome::Decline(claim) => {
                self.check_claim(task, *claim)?;
                self.check_disk()?;
                self.requeue(id, Requeue::Declined);
                Ok(())
            }
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
        let mut bytes = task.attempt_bytes;
        for note in fresh {
            let weight = weight(note);
            check_size(Large::Note, weight, Self::OP_BYTES_MAX)?;
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

    fn end(&mut self, id: TaskId, token: Option<Token>, outcome: Outcome, message: Option<Json>) {
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

    /// Offers the tasks again whose workers have been silent for too long.
    pub(crate) fn lapse_leases(&mut self) {
        while self.disk == Disk::Ready {
            let Some((until, id)) = self.home.lapses.first().copied() else { return };
            if self.now.mono < until {
                return;
            }
            let is_taken_up = self.home.leases.get(&id).is_some_and(|lease| lease.is_taken_up);
            self.counters.lapsed += 1;
            self.requeue(id, if is_taken_up { Requeue::Lapsed } else { Requeue::Declined });
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

/// Returns about how many bytes a note takes as an op.
fn weight(note: &Note) -> usize {
    const OVERHEAD: usize = 160;
    OVERHEAD
        + match note {
            Note::Status(message) => message.0.len(),
            Note::Artifact(chunk) => {
                let name = chunk.name.as_ref().map_or(0, |it| it.len());
                chunk.parts.0.len() + chunk.artifact.len() + name
            }
        }
}
