//! Webhooks: where events of tasks are sent, and how far each of them has been told.
//! Must not send anything, nor know what a target says.
//!
//! A webhook is a register of the dataset [`WEBHOOKS`], and how far it was told is one of [`TOLD`].
//! The home of the task alone writes both. They are two, because a home that was lost may have
//! removed a webhook while its heir went on telling it: the removal must win.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_state::{Dataset, Hlc, Key, Log, PlacementId, Record, Store};

use crate::codec::{decode_told, decode_webhook};
use crate::task::TaskId;

/// Records of webhooks: a register by task and name.
pub(crate) const WEBHOOKS: Dataset = Dataset(7);
/// How far they were told: a register by task and name.
pub(crate) const TOLD: Dataset = Dataset(8);

/// Bytes that are shown to nobody who looks at the machine, its log of notices or its traces.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub Bytes);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secret bytes", self.0.len())
    }
}

/// A place in the log of a task, or in a topic: those of which an earlier home was lost may go on
/// otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Under which epoch the event there was written.
    pub epoch: u32,
    /// Its generation.
    pub generation: u64,
}

impl Mark {
    /// Returns the mark of a generation.
    pub(crate) fn at(log: &Log, generation: u64) -> Self {
        Self { epoch: log.epoch_at(generation).unwrap_or(0), generation }
    }

    /// Returns how far the events up to it are those of a log.
    pub(crate) fn reaches(self, log: &Log) -> u64 {
        log.shared_with(self.epoch, self.generation)
    }
}

/// Where the events of a task are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its name within the task.
    pub id: Arc<str>,
    /// Its address, as whoever sends understands it.
    pub target: Secret,
    /// What is shown to it, and to nobody else: not even to regions that show it to their clients.
    pub credentials: Secret,
    /// Events after this one are sent.
    pub since: Mark,
}

impl Webhook {
    /// The longest name, in bytes.
    pub const ID_BYTES_MAX: usize = 64;

    /// Returns about how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        128 + self.id.len() + self.target.0.len() + self.credentials.0.len()
    }
}

/// A webhook that is to be told something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The task.
    pub task: TaskId,
    /// The webhook.
    pub webhook: Arc<Webhook>,
    /// When it was set: what is reported of it is of no use once it is set anew.
    pub set: Hlc,
    /// The last generation of which it was told.
    pub after: u64,
    /// The conversation that the task belongs to.
    pub context: Arc<str>,
    /// Whether a worker has asked something of the client.
    pub has_turns: bool,
}

/// How it went to tell a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// It took all that it was told.
    Well,
    /// It could not be reached, or did not take the next event: it is tried again later.
    Badly,
    /// Others are told at the same place, and it has to wait a little.
    Later,
}

/// A webhook, or the name of one that was removed.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) webhook: Option<Arc<Webhook>>,
    /// When it was set or removed.
    pub(crate) set: Hlc,
    pub(crate) placement: PlacementId,
    /// Up to where it was told.
    pub(crate) told: Option<Mark>,
    /// Tries that failed since the last one that did not.
    pub(crate) tries: u32,
    /// Since when it fails.
    pub(crate) failing_since: Option<Duration>,
    /// How often in a row it had to wait for others.
    pub(crate) waits: u32,
    /// When it is to be told next; nothing if there is nothing to tell, or if that is not for this
    /// region to do.
    due: Option<When>,
    /// Whether somebody is telling it who has found it failing.
    is_out: bool,
}

/// When a webhook is to be told, and whether it is among those that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct When {
    at: Duration,
    is_failing: bool,
}

impl Slot {
    /// Returns about how many bytes it takes; one that was removed leaves something, too.
    fn weight(&self) -> usize {
        256 + self.webhook.as_ref().map_or(0, |it| it.weight())
    }

    /// Returns the last generation of a log that it need not be told.
    pub(crate) fn after(&self, log: &Log) -> u64 {
        let since = self.webhook.as_ref().map(|it| it.since);
        let marks = self.told.into_iter().chain(since);
        marks.map(|it| it.reaches(log)).max().unwrap_or(0)
    }
}

/// When to tell which webhook.
pub(crate) type Entry = (Duration, TaskId, Arc<str>);

/// The webhooks as far as they are known here: an index over the store.
#[derive(Debug, Default)]
pub(crate) struct Webhooks {
    tasks: BTreeMap<TaskId, BTreeMap<Arc<str>, Slot>>,
    due: BTreeSet<Entry>,
    /// Those that failed, apart: they may be many, and hide the others.
    failing: BTreeSet<Entry>,
    /// How many of these are being told.
    out: usize,
    bytes: usize,
    /// Tasks that have webhooks and are not known here, with the time when that was seen first:
    /// they may be on their way, or forgotten.
    orphans: BTreeMap<TaskId, Option<Duration>>,
    /// Up to which decree it is known who tells them.
    pub(crate) decree: Option<u64>,
}

impl Webhooks {
    /// Makes the slot of a webhook anew from what the store holds.
    pub(crate) fn refresh(
        &mut self,
        (placement, task, id): (PlacementId, TaskId, &Arc<str>),
        store: &Store,
    ) {
        let records = [webhook_record(placement, task, id), told_record(placement, task, id)];
        let [found, told] = records.map(|it| store.register(&it));
        let set = found.map(|it| it.at).unwrap_or_default();
        let webhook = found.and_then(|it| decode_webhook(id, it.value.as_ref()?).ok());
        // What was told before it was set so is of another one, which may have begun later.
        let told = told.filter(|it| set <= it.at);
        let told = told.and_then(|it| decode_told(it.value.as_ref()?).ok());
        if self.get(task, id).is_some_and(|it| it.set != set) {
            self.set_due(task, id, None); // It is another one now.
        }
        let slots = self.tasks.entry(task).or_default();
        let before = slots.remove(id);
        self.bytes -= before.as_ref().map_or(0, Slot::weight);
        let same = before.filter(|it| it.set == set);
        let slot = Slot {
            webhook: webhook.map(Arc::new),
            set,
            placement,
            told,
            tries: same.as_ref().map_or(0, |it| it.tries),
            failing_since: same.as_ref().and_then(|it| it.failing_since),
            waits: same.as_ref().map_or(0, |it| it.waits),
            due: same.as_ref().and_then(|it| it.due),
            is_out: same.as_ref().is_some_and(|it| it.is_out),
        };
        self.bytes += slot.weight();
        slots.insert(id.clone(), slot);
    }

    /// Returns the webhooks of a task by name, with those that were removed.
    pub(crate) fn slots(&self, task: TaskId) -> impl Iterator<Item = (&Arc<str>, &Slot)> {
        self.tasks.get(&task).into_iter().flatten()
    }

    /// Returns the webhooks of a task, by name.
    pub(crate) fn of(&self, task: TaskId) -> impl Iterator<Item = &Arc<Webhook>> {
        self.slots(task).filter_map(|(_, slot)| slot.webhook.as_ref())
    }

    pub(crate) fn get(&self, task: TaskId, id: &str) -> Option<&Slot> {
        self.tasks.get(&task)?.get(id)
    }

    pub(crate) fn get_mut(&mut self, task: TaskId, id: &str) -> Option<&mut Slot> {
        self.tasks.get_mut(&task)?.get_mut(id)
    }

    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.tasks.keys().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Returns how many bytes all of them take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Says when a webhook is to be told next.
    pub(crate) fn set_due(&mut self, task: TaskId, id: &Arc<str>, due: Option<Duration>) {
        let slot = self.tasks.get_mut(&task).and_then(|it| it.get_mut(id));
        let Some(slot) = slot else { return };
        if let Some(When { at, is_failing }) = slot.due {
            let of = if is_failing { &mut self.failing } else { &mut self.due };
            of.remove(&(at, task, id.clone()));
        }
        let is_failing = 0 < slot.tries;
        slot.due = due.map(|at| When { at, is_failing });
        let of = if is_failing { &mut self.failing } else { &mut self.due };
        of.extend(due.map(|at| (at, task, id.clone())));
        if due.is_none() {
            self.hand_in(task, id); // It is for others to tell, or has been told.
        }
    }

    /// Takes note that somebody tells a webhook, until a time at the latest.
    pub(crate) fn hand_out(&mut self, task: TaskId, id: &Arc<str>, until: Duration) {
        self.set_due(task, id, Some(until));
        let Some(slot) = self.get_mut(task, id) else { return };
        let is_more = 0 < slot.tries && !slot.is_out;
        slot.is_out |= is_more;
        self.out += usize::from(is_more);
    }

    /// Takes note that nobody does any more.
    pub(crate) fn hand_in(&mut self, task: TaskId, id: &Arc<str>) {
        let Some(slot) = self.get_mut(task, id) else { return };
        let was_out = std::mem::take(&mut slot.is_out);
        self.out -= usize::from(was_out);
    }

    pub(crate) fn is_due(&self, task: TaskId, id: &str) -> bool {
        self.get(task, id).is_some_and(|it| it.due.is_some())
    }

    /// Iterates over those to be told that did not fail, the first first.
    pub(crate) fn due(&self) -> impl Iterator<Item = &Entry> {
        self.due.iter()
    }

    /// Iterates over those to be told that failed before, the first first.
    pub(crate) fn failing(&self) -> impl Iterator<Item = &Entry> {
        self.failing.iter()
    }

    /// Returns when the next one after a time is to be told.
    pub(crate) fn next_after(&self, now: Duration) -> Option<Duration> {
        let next = |all: &BTreeSet<Entry>| all.iter().map(|it| it.0).find(|it| now < *it);
        next(&self.due).into_iter().chain(next(&self.failing)).min()
    }

    /// Returns how many of these are being told.
    pub(crate) fn failing_out(&self) -> usize {
        self.out
    }

    /// Returns how many are to be told something.
    pub(crate) fn due_count(&self) -> usize {
        self.due.len() + self.failing.len()
    }

    pub(crate) fn add_orphan(&mut self, task: TaskId) {
        self.orphans.entry(task).or_insert(None);
    }

    /// Takes out the tasks that have not come to be known here for a while.
    pub(crate) fn lost_orphans(
        &mut self,
        is_known: impl Fn(TaskId) -> bool,
        (now, patience): (Duration, Duration),
    ) -> Vec<TaskId> {
        let mut lost = Vec::new();
        self.orphans.retain(|task, since| {
            let is_over = now.saturating_sub(*since.get_or_insert(now)) >= patience;
            let is_kept = !is_known(*task) && !is_over;
            if !is_known(*task) && is_over {
                lost.push(*task);
            }
            is_kept
        });
        lost
    }

    /// Forgets the webhooks of a task; returns their records.
    pub(crate) fn forget(&mut self, task: TaskId) -> Vec<Record> {
        let Some(slots) = self.tasks.get(&task) else { return Vec::new() };
        let ids: Vec<Arc<str>> = slots.keys().cloned().collect();
        ids.iter().for_each(|id| self.set_due(task, id, None));
        self.orphans.remove(&task);
        let slots = self.tasks.remove(&task).unwrap_or_default();
        let mut records = Vec::new();
        for (id, slot) in slots {
            self.bytes -= slot.weight();
            records.push(webhook_record(slot.placement, task, &id));
            records.push(told_record(slot.placement, task, &id));
        }
        records
    }
}

pub(crate) fn webhook_record(placement: PlacementId, task: TaskId, id: &str) -> Record {
    Record { placement, dataset: WEBHOOKS, key: key(task, id) }
}

pub(crate) fn told_record(placement: PlacementId, task: TaskId, id: &str) -> Record {
    Record { placement, dataset: TOLD, key: key(task, id) }
}

fn key(task: TaskId, id: &str) -> Key {
    Key::new(&[&task.to_bytes(), id.as_bytes()].concat())
}

/// Returns the webhook that a record is about.
pub(crate) fn webhook_of(record: &Record) -> Option<(TaskId, Arc<str>)> {
    let (task, id) = record.key.as_bytes().split_at_checked(16)?;
    let id = std::str::from_utf8(id).ok().filter(|it| it.len() <= Webhook::ID_BYTES_MAX)?;
    Some((TaskId::from_bytes(task.try_into().ok()?), id.into()))
}
