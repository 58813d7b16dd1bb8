//! What the home of a task decides: accept it, give it to an agent, hear the worker, end it.
//! Must not look at tasks of other homes, nor know how a decision reaches anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{Change, Key, PlacementId, RegionId};

use crate::codec::{decode_event, encode_event};
use crate::contract::{AtHome, Disk, Reply, TokenPair};
use crate::refusal::{Large, Queue, Refusal};
use crate::region::{Region, Verdict};
use crate::task::{
    AgentName, Claim, Event, Idempotency, Json, Note, Outcome, Requeue, Spec, Target, TaskId,
    TaskState, Token,
};
use crate::tasks::{TASKS, Task, task_record};

/// The epoch of every home, as long as homes do not move.
const EPOCH: u32 = 1;

/// The open tasks of this home: each either waits or is leased.
#[derive(Debug, Default)]
pub(crate) struct Home {
    waiting: BTreeMap<Target, BTreeSet<TaskId>>,
    waiting_count: usize,
    leases: BTreeMap<TaskId, Lease>,
    lapses: BTreeSet<(Duration, TaskId)>,
}

/// How long the worker may be silent, and whether it ever was heard.
#[derive(Clone, Copy, Debug)]
struct Lease {
    until: Duration,
    is_taken_up: bool,
}

impl Home {
    fn wait(&mut self, target: &Target, id: TaskId) {
        let added = self.waiting.entry(target.clone()).or_default().insert(id);
        self.waiting_count += usize::from(added);
    }

    fn lease(&mut self, id: TaskId, lease: Lease) {
        if let Some(old) = self.leases.insert(id, lease) {
            self.lapses.remove(&(old.until, id));
        }
        self.lapses.insert((lease.until, id));
    }

    /// Takes a task out of its queue, or its lease away.
    fn take(&mut self, target: &Target, id: TaskId) -> Option<Lease> {
        if let Some(queue) = self.waiting.get_mut(target) {
            self.waiting_count -= usize::from(queue.remove(&id));
            if queue.is_empty() {
                self.waiting.remove(target);
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
    /// How many waiting tasks of one queue are looked at for an agent that has room.
    const SCAN_MAX: usize = 64;

    /// Takes up the tasks of this home where the log left them.
    pub(crate) fn resume_home(&mut self) {
        let until = self.now.mono + self.config.limits.lease_ttl;
        for (id, task) in self.tasks.iter() {
            if task.stream != self.own_stream(task.placement()) {
                continue;
            }
            match task.state {
                TaskState::Submitted => self.home.wait(&task.target, id),
                TaskState::Working => self.home.lease(id, Lease { until, is_taken_up: false }),
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
            Ok(Some(id)) => self.submitted(id, Repeated::Yes),
            Ok(None) => {
                let id = self.new_task_id();
                self.append_event(id, spec.placement, 1, &Event::Submitted(spec.clone()));
                self.counters.submitted += 1;
                self.home.wait(&spec.target, id);
                self.dispatch(id);
                self.submitted(id, Repeated::No)
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
        let (bytes, max) = (spec.message.0.len(), limits.message_bytes_max);
        if max < bytes {
            let (bytes, max) = (bytes as u64, max as u64);
            return Err(Refusal::TooLarge { what: Large::Message, bytes, max });
        }
        if !self.registry.knows(&spec.target) {
            return Err(match &spec.target {
                Target::Skill(skill) => Refusal::NoSuchSkill(skill.clone()),
                Target::Agent(name) => Refusal::NoSuchAgent(name.clone()),
            });
        }
        self.check_disk()?;
        let max = limits.open_tasks_max;
        if max <= self.home.open() {
            let (max, retry_after) = (max as u64, Duration::from_secs(1));
            return Err(Refusal::Overloaded { what: Queue::OpenTasks, max, retry_after });
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

    fn submitted(&self, id: TaskId, repeated: Repeated) -> Verdict {
        let task = self.tasks.get(id).expect("it was submitted");
        let repeated = repeated == Repeated::Yes;
        let reply = Reply::Submitted { task: self.summary(id, task), repeated };
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

    fn append_event(&mut self, id: TaskId, at: PlacementId, index: u64, event: &Event) -> u64 {
        let entry = encode_event(event);
        self.write(at, TASKS, Key::new(&id.to_bytes()), Change::Append { index, entry })
    }

    /// Writes the next event of a task of this home.
    fn tell(&mut self, id: TaskId, event: &Event) -> u64 {
        let task = self.tasks.get(id).expect("events are told of tasks in memory");
        assert!(!task.state.is_terminal(), "nothing follows the end of `{id}`");
        self.append_event(id, task.placement(), task.generation + 1, event)
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
        self.registry.pick(target, avoid, may)
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
            let skills = found.spec.skills.iter().cloned().map(Target::Skill);
            let targets = skills.chain([Target::Agent(agent.clone())]);
            let fits = |id: &&TaskId| {
                let task = self.tasks.get(**id).expect("a waiting task is in memory");
                self.may_hold(region, task.placement())
            };
            let first = |target| {
                self.home.waiting.get(&target)?.iter().take(Self::SCAN_MAX).find(fits).copied()
            };
            let Some(oldest) = targets.filter_map(first).min() else { return };
            self.claim(oldest, agent.clone(), region);
        }
    }

    /// Gives every waiting task to an agent, as far as there is room.
    pub(crate) fn dispatch_all(&mut self) {
        let targets: Vec<Target> = self.home.waiting.keys().cloned().collect();
        for target in targets {
            let queue = self.home.waiting.get(&target).into_iter().flatten();
            let ids: Vec<TaskId> = queue.copied().collect();
            let mut full = BTreeSet::new();
            for id in ids {
                let task = self.tasks.get(id).expect("a waiting task is in memory");
                let placement = task.placement();
                if !full.contains(&placement) && !self.dispatch(id) {
                    full.insert(placement);
                }
            }
        }
    }

    fn claim(&mut self, id: TaskId, agent: AgentName, region: RegionId) {
        let task = self.tasks.get(id).expect("a waiting task is in memory");
        let token = Token::new(EPOCH, task.token.map_or(0, Token::attempt) + 1);
        let until = self.now.mono + self.config.limits.pickup_ttl;
        self.home.take(&task.target, id);
        self.home.lease(id, Lease { until, is_taken_up: false });
        self.counters.claimed += 1;
        self.tell(id, &Event::Claimed { token, agent, region });
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
        let weight = |note: &Note| match note {
            Note::Status(message) => message.0.len(),
            Note::Artifact(chunk) => chunk.parts.0.len(),
        };
        let bytes = task.bytes + fresh.iter().map(weight).sum::<usize>();
        let max = self.config.limits.task_bytes_max;
        if max < bytes {
            let (bytes, max) = (bytes as u64, max as u64);
            return Err(Refusal::TooLarge { what: Large::Task, bytes, max });
        }
        if !fresh.is_empty() {
            self.check_disk()?;
        }
        self.extend(id);
        for (number, note) in (expected..).zip(fresh) {
            self.tell(id, &Event::Noted { token: claim.token, number, note: note.clone() });
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
        let bytes = task.bytes + message.as_ref().map_or(0, |it| it.0.len());
        let max = self.config.limits.task_bytes_max + self.config.limits.message_bytes_max;
        if max < bytes {
            let (bytes, max) = (bytes as u64, max as u64);
            return Err(Refusal::TooLarge { what: Large::Task, bytes, max });
        }
        self.check_disk()?;
        self.end(id, Some(claim.token), outcome, message);
        Ok(())
    }

    fn end(&mut self, id: TaskId, token: Option<Token>, outcome: Outcome, message: Option<Json>) {
        let task = self.tasks.get(id).expect("only tasks in memory end");
        self.home.take(&task.target, id);
        self.counters.ended += 1;
        self.tell(id, &Event::Ended { token, outcome, message });
    }

    /// Offers a task again, to another agent if there is one.
    fn requeue(&mut self, id: TaskId, why: Requeue) {
        let task = self.tasks.get(id).expect("only tasks in memory are leased");
        let token = task.current().expect("only a leased task is offered again");
        let target = task.target.clone();
        self.home.take(&target, id);
        self.tell(id, &Event::Requeued { token, why });
        let lapses = self.tasks.get(id).expect("it has not ended").lapses;
        if self.config.limits.attempts_max <= lapses {
            // Without token and message: the home gave up, after as many attempts as are allowed.
            self.end(id, None, Outcome::Failed, None);
            return;
        }
        self.home.wait(&target, id);
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

/// Whether a submission had been made before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeated {
    Yes,
    No,
}
