//! The tasks in memory: where each stands, folded from its log.
//! Must not decide: what an event may be is `home`'s to say, what it means is said here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use photon_state::{Dataset, Entry, Hlc, Key, PlacementId, Record, RegionId};
use rustc_hash::FxHashMap;

use crate::contract::TaskSummary;
use crate::matching::{Stint, Wants};
use crate::task::{AgentName, Event, Note, Requeue, Skill, Spec, Target, TaskId, TaskState, Token};
use crate::task_id::redriven;
use crate::terms::{Fan, Terms, ms};

/// Records of tasks: a log by id.
pub(crate) const TASKS: Dataset = Dataset(3);

/// Where a task stands.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) placement: PlacementId,
    pub(crate) target: Target,
    pub(crate) context: Arc<str>,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) state: TaskState,
    pub(crate) generation: u64,
    /// The last token given; in force while the state is `working`.
    pub(crate) token: Option<Token>,
    pub(crate) worker: Option<(AgentName, RegionId)>,
    /// How many notes of the current attempt are known.
    pub(crate) notes: u64,
    /// The generation under which the client was asked something last.
    pub(crate) paused_at: u64,
    /// Whether it waits for an agent to go on after an answer of the client.
    pub(crate) is_answered: bool,
    /// Attempts that somebody worked on and that came to nothing, since the last pause.
    pub(crate) failures: u32,
    /// The attempt of which its worker said that it failed, if another one followed.
    pub(crate) failed: Option<Token>,
    /// When it may be given to an agent, by the wall clock, if it has to wait for that.
    pub(crate) not_before_ms: u64,
    /// Since when it waits for an agent, by the wall clock: it does until somebody has begun.
    pub(crate) waits_since_ms: u64,
    /// When the last attempt began.
    pub(crate) claimed_ms: u64,
    /// What was asked of how it is queued and timed; most say nothing of it.
    pub(crate) terms: Option<Arc<Terms>>,
    pub(crate) created: Hlc,
    pub(crate) changed: Hlc,
    /// The append that holds its last event.
    pub(crate) append: u64,
    /// Bytes of its log.
    pub(crate) bytes: usize,
    /// Bytes of the notes of the current attempt, with those of the turns before it.
    pub(crate) attempt_bytes: usize,
    /// Bytes of what was told up to the last pause, of the answers, and of checkpoints: of all
    /// that stays if an attempt comes to nothing.
    pub(crate) turn_bytes: usize,
    /// Whether a worker has left checkpoints.
    pub(crate) has_checkpoints: bool,
}

impl Task {
    /// Returns what may be said of it: `spec` is what its log begins with.
    pub(crate) fn summary(&self, id: TaskId, spec: Spec, home: RegionId) -> TaskSummary {
        TaskSummary {
            id,
            state: self.state,
            generation: self.generation,
            home,
            spec,
            attempt: self.token.map_or(0, Token::attempt),
            worker: self.worker.clone().filter(|_| self.fan().is_none()),
            created: self.created,
            changed: self.changed,
        }
    }

    /// Takes in an event but the first; returns the agent that took the task up.
    fn fold(&mut self, event: Event, from: Origin) -> Option<(AgentName, RegionId)> {
        match event {
            Event::Submitted(_) => unreachable!("it is born, not changed"),
            Event::Claimed { token, agent, region } => {
                self.state = TaskState::Working;
                self.token = Some(token);
                self.notes = 0;
                self.attempt_bytes = self.turn_bytes;
                self.is_answered = false;
                self.claimed_ms = from.at.wall_ms;
                self.worker = Some((agent.clone(), region));
                return Some((agent, region)).filter(|_| self.fan().is_none());
            }
            Event::Noted { number, note, .. } => {
                self.notes = number;
                self.attempt_bytes += from.bytes;
                if matches!(note, Note::Checkpoint(_)) {
                    self.turn_bytes += from.bytes;
                    self.has_checkpoints = true;
                }
            }
            Event::Requeued { token, why, message } => {
                self.failures = self.failures.saturating_add(u32::from(why.is_failure()));
                if why.is_failure() {
                    let retry = self.terms.as_ref().and_then(|it| it.retry);
                    let pause_ms = retry.map_or(0, |it| it.pause_ms(self.failures));
                    self.wait(from.at.wall_ms, pause_ms);
                }
                if why == Requeue::Failed {
                    self.failed = Some(token);
                }
                if message.is_some() {
                    self.turn_bytes += from.bytes;
                }
                self.state = TaskState::Submitted;
            }
            Event::Paused { why, .. } => {
                self.turn_bytes = self.attempt_bytes + from.bytes;
                self.failures = 0; // The turn came to something.
                self.paused_at = self.generation + 1;
                self.state = why.state();
            }
            Event::Answered { .. } => {
                self.turn_bytes += from.bytes;
                self.is_answered = true;
                self.wait(from.at.wall_ms, 0);
                self.state = TaskState::Submitted;
            }
            Event::Ended { outcome, .. } => self.state = outcome.state(),
        }
        None
    }

    /// Returns what is wanted of the agent that is given it.
    pub(crate) fn wants(&self) -> Option<&Arc<Wants>> {
        self.terms.as_ref()?.wants.as_ref()
    }

    /// Returns of whom it is asked, if of many.
    pub(crate) fn fan(&self) -> Option<Fan> {
        self.terms.as_ref()?.fan
    }

    /// Returns the task that it was made for, if that is asked of many.
    pub(crate) fn part_of(&self) -> Option<TaskId> {
        self.terms.as_ref()?.part_of
    }

    fn skill(&self) -> Option<Skill> {
        match &self.target {
            Target::Skill(skill) => Some(skill.clone()),
            Target::Agent(_) => self.terms.as_ref()?.skill.clone(),
        }
    }

    /// Returns the token in force: that of the attempt under way.
    pub(crate) fn current(&self) -> Option<Token> {
        self.token.filter(|_| self.state == TaskState::Working)
    }
}

/// What an event changed beyond its task.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// The agent that took the task up.
    pub(crate) taken: Option<(AgentName, RegionId)>,
    /// Who put it down.
    pub(crate) put_down: Option<PutDown>,
}

/// An agent that works on a task no longer.
#[derive(Debug)]
pub(crate) struct PutDown {
    pub(crate) agent: AgentName,
    /// The skill that the task asked for, if it did not ask for the agent.
    pub(crate) at: Option<Skill>,
    /// What its time at it came to.
    pub(crate) stint: Stint,
}

/// Where an event comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) placement: PlacementId,
    pub(crate) at: Hlc,
    /// The number of the append that holds it; 0 when it was replayed.
    pub(crate) append: u64,
    pub(crate) bytes: usize,
}

/// The tasks that this region may hold and has not forgotten.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    /// Boxed: nodes of the map are half empty, because tasks are born in the order of their names.
    tasks: BTreeMap<TaskId, Box<Task>>,
    by_context: BTreeSet<(Arc<str>, TaskId)>,
    /// Of those the ones that an agent works on, or has done.
    held: BTreeSet<(Arc<str>, TaskId)>,
    keys: FxHashMap<Arc<str>, TaskId>,
    /// All tasks of a key that has several.
    twins: BTreeMap<Arc<str>, BTreeSet<TaskId>>,
    /// The tasks that failed and were not asked for again.
    dead: BTreeSet<TaskId>,
    /// The tasks that failed, by the name of the one that would be asked for again.
    redriven_as: BTreeMap<TaskId, TaskId>,
    /// Ended tasks in the order of their ends.
    ended: BTreeSet<(u64, TaskId)>,
    kept_bytes: usize,
    /// Bytes of tasks that have not ended.
    open_bytes: usize,
    counts: BTreeMap<TaskState, usize>,
}

impl Tasks {
    /// Whether the state of a task allows an event.
    pub(crate) fn allows(&self, id: TaskId, event: &Event) -> bool {
        let Some(task) = self.tasks.get(&id) else { return matches!(event, Event::Submitted(_)) };
        let is_current = |token| task.current() == Some(token);
        match event {
            Event::Submitted(_) => false,
            Event::Claimed { token, .. } => {
                task.state == TaskState::Submitted && task.token < Some(*token)
            }
            Event::Noted { token, number, .. } => {
                is_current(*token) && *number == task.notes.saturating_add(1)
            }
            Event::Requeued { token, .. } | Event::Paused { token, .. } => is_current(*token),
            Event::Answered { token, .. } => task.state.is_paused() && task.token == Some(*token),
            Event::Ended { .. } => !task.state.is_terminal(),
        }
    }

    /// Folds the next event of its log into a task; nothing if its state does not
    /// [allow](Self::allows) it. Then its writer broke the rules, and every region passes over it.
    pub(crate) fn apply(&mut self, id: TaskId, event: Event, from: Origin) -> Option<Effects> {
        if !self.allows(id, &event) {
            let task = self.tasks.get_mut(&id)?;
            task.generation += 1;
            return None;
        }
        let mut effects = Effects::default();
        if let Event::Submitted(spec) = event {
            self.open_bytes += from.bytes;
            self.born(id, spec, from);
            return Some(effects);
        }
        let task = self.tasks.get_mut(&id).expect("its state allows the event");
        let before = task.state;
        let at_ms = from.at.wall_ms;
        let is_over_time = task.closes_ms().is_some_and(|it| it <= at_ms);
        let stint = Stint::of(&event, at_ms.saturating_sub(task.claimed_ms), is_over_time);
        effects.taken = task.fold(event, from);
        let left_work = before == TaskState::Working && task.state != TaskState::Working;
        if left_work && task.fan().is_none() {
            let agent = task.worker.as_ref().map(|(agent, _)| agent.clone());
            effects.put_down = agent.map(|agent| PutDown { agent, at: task.skill(), stint });
        }
        task.generation += 1;
        task.changed = from.at;
        task.append = from.append;
        task.bytes += from.bytes;
        let (after, bytes, is_part) = (task.state, task.bytes, task.part_of().is_some());
        if task.fan().is_none() && !is_part && holds(before) != holds(after) {
            let listed = (task.context.clone(), id);
            _ = if holds(after) { self.held.insert(listed) } else { self.held.remove(&listed) };
        }
        self.count(before, after);
        self.open_bytes += from.bytes;
        if after.is_terminal() {
            self.open_bytes -= bytes;
            self.kept_bytes += bytes;
            self.ended.insert((from.at.wall_ms, id));
            if after == TaskState::Failed {
                let again = redriven(id, from.at);
                self.redriven_as.insert(again, id);
                if !self.tasks.contains_key(&again) && !is_part {
                    self.dead.insert(id);
                }
            }
        }
        Some(effects)
    }

    fn born(&mut self, id: TaskId, spec: Spec, from: Origin) {
        let key = spec.idempotency.map(|it| it.key);
        if let Some(key) = &key {
            // Two regions may have taken a key before they heard of each other.
            let holder = *self.keys.entry(key.clone()).or_insert(id);
            if holder != id {
                self.twins.entry(key.clone()).or_default().extend([holder, id]);
            }
        }
        self.by_context.insert((spec.context.clone(), id));
        *self.counts.entry(TaskState::Submitted).or_default() += 1;
        let mut task = Task {
            placement: from.placement,
            target: spec.target,
            context: spec.context,
            key,
            state: TaskState::Submitted,
            generation: 1,
            token: None,
            worker: None,
            notes: 0,
            paused_at: 0,
            is_answered: false,
            failures: 0,
            failed: None,
            not_before_ms: 0,
            waits_since_ms: 0,
            claimed_ms: 0,
            terms: spec.terms,
            created: from.at,
            changed: from.at,
            append: from.append,
            bytes: from.bytes,
            attempt_bytes: 0,
            turn_bytes: 0,
            has_checkpoints: false,
        };
        let delay = task.terms.as_ref().map(|it| it.start_delay).unwrap_or_default();
        task.wait(from.at.wall_ms, ms(delay));
        self.tasks.insert(id, Box::new(task));
        if let Some(of) = self.redriven_as.get(&id) {
            self.dead.remove(of);
        }
    }

    fn count(&mut self, before: TaskState, after: TaskState) {
        *self.counts.entry(before).or_default() -= 1;
        *self.counts.entry(after).or_default() += 1;
    }

    /// Takes the ended task that is to be forgotten next: too old, or one too many.
    pub(crate) fn forget_next(&mut self, ended_before_ms: u64, bytes_max: usize) -> Option<Record> {
        let (ended_ms, id) = *self.ended.first()?;
        if ended_before_ms <= ended_ms && self.kept_bytes <= bytes_max {
            return None;
        }
        self.ended.pop_first();
        let task = self.tasks.remove(&id).expect("an ended task is kept until it is forgotten");
        self.kept_bytes -= task.bytes;
        self.unlist(id, &task);
        Some(task_record(task.placement, id))
    }

    fn unlist(&mut self, id: TaskId, task: &Task) {
        self.by_context.remove(&(task.context.clone(), id));
        self.held.remove(&(task.context.clone(), id));
        if task.state == TaskState::Failed {
            self.dead.remove(&id);
            self.redriven_as.remove(&redriven(id, task.changed));
        }
        *self.counts.entry(task.state).or_default() -= 1;
        let Some(key) = &task.key else { return };
        if let Some(twins) = self.twins.get_mut(key) {
            twins.remove(&id);
            let (first, count) = (twins.first().copied(), twins.len());
            if let Some(first) = first {
                self.keys.insert(key.clone(), first);
            }
            if count < 2 {
                self.twins.remove(key);
            }
        } else if self.keys.get(key) == Some(&id) {
            self.keys.remove(key);
        }
    }

    /// Takes a task out, because what its log holds is read anew; returns the agent that worked
    /// on it.
    pub(crate) fn remove(&mut self, id: TaskId) -> Option<AgentName> {
        let task = self.tasks.remove(&id)?;
        if task.state.is_terminal() {
            self.kept_bytes -= task.bytes;
            self.ended.remove(&(task.changed.wall_ms, id));
        } else {
            self.open_bytes -= task.bytes;
        }
        self.unlist(id, &task);
        task.current()?;
        task.worker.map(|(agent, _)| agent)
    }

    pub(crate) fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id).map(Box::as_ref)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        self.tasks.iter().map(|(id, task)| (*id, &**task))
    }

    /// Iterates over the tasks older than one, the youngest first; of one conversation if asked.
    pub(crate) fn older<'a>(
        &'a self,
        before: Option<TaskId>,
        context: Option<&Arc<str>>,
    ) -> Box<dyn Iterator<Item = (TaskId, &'a Task)> + 'a> {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let Some(context) = context else {
            let range = (Unbounded, before.map_or(Unbounded, Excluded));
            return Box::new(self.tasks.range(range).rev().map(|(id, task)| (*id, &**task)));
        };
        let first = Included((context.clone(), TaskId::from_bytes([0; 16])));
        let last = match before {
            Some(before) => Excluded((context.clone(), before)),
            None => Included((context.clone(), TaskId::from_bytes([0xff; 16]))),
        };
        let ids = self.by_context.range((first, last)).rev();
        Box::new(ids.map(|(_, id)| (*id, &*self.tasks[id])))
    }

    /// Returns the agent that holds a conversation, as far as tasks other than this one tell: that
    /// of the youngest that is worked on or done.
    pub(crate) fn holder(&self, context: &Arc<str>, id: TaskId) -> Option<&AgentName> {
        let (least, greatest) = (TaskId::from_bytes([0; 16]), TaskId::from_bytes([0xff; 16]));
        let all = self.held.range((context.clone(), least)..=(context.clone(), greatest));
        let (_, held) = all.rev().find(|(_, it)| *it != id)?;
        self.get(*held)?.worker.as_ref().map(|(agent, _)| agent)
    }

    /// Iterates over the tasks older than one that failed and were not asked for again, the
    /// youngest first; of one conversation if asked.
    pub(crate) fn dead<'a>(
        &'a self,
        before: Option<TaskId>,
        context: Option<&'a Arc<str>>,
    ) -> Box<dyn Iterator<Item = (TaskId, &'a Task)> + 'a> {
        let all = match before {
            Some(before) => self.dead.range(..before),
            None => self.dead.range(..),
        };
        let all = all.rev().map(|id| (*id, &*self.tasks[id]));
        Box::new(all.filter(move |(_, task)| context.is_none_or(|it| task.context == *it)))
    }

    /// Returns the task that holds an idempotency key: of several, one that did not give way. None
    /// if all did, as after the loss of a home: then it is as if the key was never used.
    pub(crate) fn by_key(&self, key: &str) -> Option<TaskId> {
        let holder = self.keys.get(key).copied()?;
        let Some(twins) = self.twins.get(key) else { return Some(holder) };
        let stays = |it: &&TaskId| self.get(**it).is_some_and(|task| !task.is_twin());
        let claimed = |it: &TaskId| self.get(*it).is_some_and(|task| task.token.is_some());
        let best = twins.iter().filter(stays).min_by_key(|it| (!claimed(it), **it));
        best.copied()
    }

    /// Whether any key has several tasks; mostly none has.
    pub(crate) fn has_twins(&self) -> bool {
        !self.twins.is_empty()
    }

    /// Iterates over the tasks of a key that has several.
    pub(crate) fn twins(&self, key: &str) -> impl Iterator<Item = TaskId> + '_ {
        self.twins.get(key).into_iter().flatten().copied()
    }

    pub(crate) fn counts(&self) -> impl Iterator<Item = (TaskState, usize)> {
        self.counts.iter().map(|(state, count)| (*state, *count))
    }

    pub(crate) fn open_bytes(&self) -> usize {
        self.open_bytes
    }

    pub(crate) fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }
}

/// Whether the agent of a task in this state holds its conversation: not who failed at it, or did
/// not want it.
fn holds(state: TaskState) -> bool {
    match state {
        TaskState::Working
        | TaskState::InputRequired
        | TaskState::AuthRequired
        | TaskState::Completed => true,
        TaskState::Submitted | TaskState::Failed | TaskState::Canceled | TaskState::Rejected => {
            false
        }
    }
}

/// Returns about how many bytes an entry of a log takes as an op.
pub(crate) fn entry_weight(key: &Key, entry: &Entry) -> usize {
    128 + key.as_bytes().len() + entry.bytes.len()
}

pub(crate) fn task_record(placement: PlacementId, id: TaskId) -> Record {
    Record { placement, dataset: TASKS, key: task_key(id) }
}

pub(crate) fn task_key(id: TaskId) -> Key {
    Key::new(&id.to_bytes())
}

pub(crate) fn task_of(key: &Key) -> Option<TaskId> {
    key.as_bytes().try_into().ok().map(TaskId::from_bytes)
}
