//! The tasks in memory: where each stands, folded from its log.
//! Must not decide: what an event may be is `home`'s to say, what it means is said here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use photon_state::{Dataset, Entry, Hlc, Key, PlacementId, Record, RegionId};
use rustc_hash::FxHashMap;

use crate::contract::TaskSummary;
use crate::task::{AgentName, Event, Note, Requeue, Spec, Target, TaskId, TaskState, Token};

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
    /// Attempts that a worker took up and then fell silent.
    pub(crate) lapses: u32,
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
    /// Returns the queue that it waits in.
    pub(crate) fn queued(&self) -> (Target, PlacementId) {
        (self.target.clone(), self.placement)
    }

    /// Returns what may be said of it: `spec` is what its log begins with.
    pub(crate) fn summary(&self, id: TaskId, spec: Spec, home: RegionId) -> TaskSummary {
        TaskSummary {
            id,
            state: self.state,
            generation: self.generation,
            home,
            spec,
            attempt: self.token.map_or(0, Token::attempt),
            worker: self.worker.clone(),
            created: self.created,
            changed: self.changed,
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
    /// The agent that put it down.
    pub(crate) put_down: Option<AgentName>,
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
    keys: FxHashMap<Arc<str>, TaskId>,
    /// All tasks of a key that has several.
    twins: BTreeMap<Arc<str>, BTreeSet<TaskId>>,
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
        match event {
            Event::Submitted(_) => unreachable!("returned above"),
            Event::Claimed { token, agent, region } => {
                task.state = TaskState::Working;
                task.token = Some(token);
                task.notes = 0;
                task.attempt_bytes = task.turn_bytes;
                task.is_answered = false;
                task.worker = Some((agent.clone(), region));
                effects.taken = Some((agent, region));
            }
            Event::Noted { number, note, .. } => {
                task.notes = number;
                task.attempt_bytes += from.bytes;
                if matches!(note, Note::Checkpoint(_)) {
                    task.turn_bytes += from.bytes;
                    task.has_checkpoints = true;
                }
            }
            Event::Requeued { why, .. } => {
                task.lapses += u32::from(why == Requeue::Lapsed);
                task.state = TaskState::Submitted;
            }
            Event::Paused { why, .. } => {
                task.turn_bytes = task.attempt_bytes + from.bytes;
                task.lapses = 0; // The turn came to something.
                task.paused_at = task.generation + 1;
                task.state = why.state();
            }
            Event::Answered { .. } => {
                task.turn_bytes += from.bytes;
                task.is_answered = true;
                task.state = TaskState::Submitted;
            }
            Event::Ended { outcome, .. } => task.state = outcome.state(),
        }
        let left_work = before == TaskState::Working && task.state != TaskState::Working;
        if left_work {
            effects.put_down = task.worker.as_ref().map(|(agent, _)| agent.clone());
        }
        task.generation += 1;
        task.changed = from.at;
        task.append = from.append;
        task.bytes += from.bytes;
        let (after, bytes) = (task.state, task.bytes);
        self.count(before, after);
        self.open_bytes += from.bytes;
        if after.is_terminal() {
            self.open_bytes -= bytes;
            self.kept_bytes += bytes;
            self.ended.insert((from.at.wall_ms, id));
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
        let task = Task {
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
            lapses: 0,
            created: from.at,
            changed: from.at,
            append: from.append,
            bytes: from.bytes,
            attempt_bytes: 0,
            turn_bytes: 0,
            has_checkpoints: false,
        };
        self.tasks.insert(id, Box::new(task));
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

/// Returns about how many bytes an entry of a log takes as an op.
pub(crate) fn entry_weight(entry: &Entry) -> usize {
    128 + 16 + entry.bytes.len()
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
