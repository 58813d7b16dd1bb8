//! The way of an op into a region: applied, appended, indexed. Nothing else changes a record.
//! Must not ask whether an op is wise: it is a fact.

use std::sync::Arc;

use photon_state::{Applied, Change, Dataset, Entry, Hlc, Key, Log, Op, PlacementId, Record};

use crate::codec::{
    decode_agent, decode_dataset, decode_event, decode_retention, decode_told, decode_webhook,
    encode_event,
};
use crate::contract::Output;
use crate::data::{DATA, DATASETS, DatasetName, MOVES, dataset_of, move_of, split_key};
use crate::desk::Bell;
use crate::matching::Stint;
use crate::region::Region;
use crate::registry::{AGENTS, PRESENCE, agent_of};
use crate::task::{AgentName, Event, Spec, TaskId};
use crate::tasks::{Effects, Origin, PutDown, TASKS, entry_weight, task_key, task_of, task_record};
use crate::topics::{MESSAGES, TOPICS, fits_segment, segment_of, topic_of};
use crate::webhooks::{TOLD, WEBHOOKS, webhook_of};

/// What an op says, checked.
enum Meaning {
    /// Something about an agent.
    Agent(AgentName),
    /// The next event of a task.
    Task(TaskId, Event),
    /// Something about a dataset.
    Dataset(DatasetName),
    /// A change of a record of a dataset.
    Record(DatasetName),
    /// Something about a move of a record.
    Move(Record),
    /// Something about a webhook.
    Webhook,
    /// Something of a segment of a topic.
    Segment,
    /// For how long messages of a topic are kept.
    Topic,
}

impl Region {
    /// Makes an op of this region, applies and appends it; returns the number of the append.
    pub(crate) fn write(
        &mut self,
        placement: PlacementId,
        dataset: Dataset,
        key: Key,
        change: Change,
    ) -> u64 {
        let op = self.make_op(placement, dataset, key, change);
        let meaning = self.meaning(&op);
        self.take_own(&op, meaning)
    }

    /// Makes an op of this region that restores what was written at an earlier time.
    pub(crate) fn write_as_of(
        &mut self,
        at: Hlc,
        placement: PlacementId,
        dataset: Dataset,
        key: Key,
        change: Change,
    ) -> u64 {
        let mut op = self.make_op(placement, dataset, key, change);
        std::sync::Arc::make_mut(&mut op).at = at;
        let meaning = self.meaning(&op);
        self.take_own(&op, meaning)
    }

    /// Makes an op of this region that holds the next event of a task, applies and appends it;
    /// returns the number of the append. Like [`write`](Self::write), but nothing is decoded.
    pub(crate) fn write_event(&mut self, placement: PlacementId, id: TaskId, event: Event) -> u64 {
        let entry = encode_event(&event);
        debug_assert_eq!(decode_event(&entry).as_ref(), Ok(&event));
        let epoch = self.epoch_of(id, placement);
        let log = self.store.log(&task_record(placement, id));
        let place = log.map_or_else(|| Log::default().next(epoch), |log| log.next(epoch));
        assert!(place.prev <= epoch, "whoever is the home writes under the greatest epoch");
        let change = Change::Append { place, entry };
        let op = self.make_op(placement, TASKS, task_key(id), change);
        let is_allowed = self.tasks.allows(id, &event);
        assert!(is_allowed, "`{id}` does not allow {event:?}: {}", self.explain(id));
        self.take_own(&op, Some(Meaning::Task(id, event)))
    }

    /// Makes the next op of this region under a placement.
    fn make_op(
        &mut self,
        placement: PlacementId,
        dataset: Dataset,
        key: Key,
        change: Change,
    ) -> Arc<Op> {
        let stream = self.own_stream(placement);
        self.clock = self.clock.tick(self.now);
        let seq = self.store.seen().of(&stream) + 1;
        Arc::new(Op { stream, seq, at: self.clock, dataset, key, change })
    }

    fn take_own(&mut self, op: &Arc<Op>, meaning: Option<Meaning>) -> u64 {
        let applied = self.take_in(op, meaning);
        assert!(applied, "an op of one's own is the next of its stream");
        self.appended
    }

    /// Takes in an op if it is the next of its stream; says whether it did.
    pub(crate) fn accept(&mut self, op: &Arc<Op>) -> bool {
        let meaning = if self.covers.hold(op) { None } else { self.meaning(op) };
        self.take_in(op, meaning)
    }

    fn take_in(&mut self, op: &Arc<Op>, meaning: Option<Meaning>) -> bool {
        let applied = self.apply(op, meaning.as_ref());
        #[cfg(feature = "planted-bugs")]
        let applied = match (self.planted, applied) {
            (Some(crate::PlantedBug::ApplyTwice), Applied::Repeated) => Applied::Changed,
            _ => applied,
        };
        if !applied.is_new() {
            return false;
        }
        self.appended += 1;
        self.counters.appended += 1;
        self.outputs.push_back(Output::Append(op.clone()));
        self.syncing.appended(self.appended, self.now.mono);
        self.compaction.logged(op);
        self.streams.appended(self.appended, op.clone(), self.now);
        self.index(op, meaning, applied, self.appended);
        for waiter in self.desk.ring_seen(op.stream, op.seq) {
            self.look_again(waiter);
        }
        if self.repair.holds_sums() {
            self.sums_are_due(op.stream, op.seq);
        }
        true
    }

    /// Takes back an op of its own log; says whether it fitted.
    pub(crate) fn accept_again(&mut self, op: Arc<Op>) -> bool {
        let meaning = if self.covers.hold(&op) { None } else { self.meaning(&op) };
        let applied = self.apply(&op, meaning.as_ref());
        if applied.is_new() {
            self.index(&op, meaning, applied, 0);
            self.streams.replayed(op);
        }
        applied.is_new()
    }

    /// An op without a meaning counts as seen, so that its stream goes on, and changes nothing.
    fn apply(&mut self, op: &Op, meaning: Option<&Meaning>) -> Applied {
        if self.covers.hold(op) {
            if let Change::Update(update) = &op.change {
                self.data.depend(op.stream.placement, &update.needs);
            }
            return self.store.pass_over(op, Applied::Covered);
        }
        let is_known = matches!(
            op.dataset,
            AGENTS
                | PRESENCE
                | TASKS
                | DATASETS
                | DATA
                | MOVES
                | WEBHOOKS
                | TOLD
                | MESSAGES
                | TOPICS
        );
        self.holds_unknown |= !is_known || matches!(op.change, Change::Unknown { .. });
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::ForgetRemovals)
            && let Change::Update(update) = &op.change
            && let photon_state::crdt::Delta::Fields(changes) = &update.delta
        {
            let (placement, seen) = (op.stream.placement, self.store.seen());
            let mut update = update.clone();
            let mut changes = changes.clone();
            changes.iter_mut().for_each(|it| it.replaces.retain(|dot| dot.is_in(seen, placement)));
            update.delta = photon_state::crdt::Delta::Fields(changes);
            return self.store.apply(&Op { change: Change::Update(update), ..op.clone() });
        }
        match meaning {
            Some(_) if self.covers.is_empty() => self.store.apply(op),
            Some(_) => {
                let position = op.position();
                let beyond = position.map(|it| self.covers.beyond(&it)).unwrap_or_default();
                self.store.apply_knowing(op, &beyond)
            }
            None => self.store.pass_over(op, Applied::Misplaced),
        }
    }

    /// Returns what an op says, unless it says what cannot be. What other regions and the disk
    /// give us is checked here, and relied upon everywhere else.
    fn meaning(&self, op: &Op) -> Option<Meaning> {
        match (op.dataset, &op.change) {
            (TASKS, Change::Append { entry, .. }) => {
                let (id, event) = (task_of(&op.key)?, decode_event(entry).ok()?);
                Some(Meaning::Task(id, event))
            }
            (AGENTS, Change::Put(value)) => {
                let (name, (spec, _)) = (agent_of(&op.record())?, decode_agent(value).ok()?);
                let fits = spec.name == name && spec.placement == op.stream.placement;
                fits.then_some(Meaning::Agent(name))
            }
            (AGENTS, Change::Delete) | (PRESENCE, Change::Put(_) | Change::Delete) => {
                agent_of(&op.record()).map(Meaning::Agent)
            }
            (DATASETS, Change::Put(value)) => {
                let (name, spec) = (dataset_of(op)?, decode_dataset(value).ok()?);
                (spec.name == name).then_some(Meaning::Dataset(name))
            }
            (DATASETS, Change::Delete) => dataset_of(op).map(Meaning::Dataset),
            (MOVES, Change::Put(_) | Change::Delete) => move_of(op).map(Meaning::Move),
            (WEBHOOKS, Change::Put(value)) => {
                let (_, id) = webhook_of(&op.record())?;
                decode_webhook(&id, value).ok().map(|_| Meaning::Webhook)
            }
            (TOLD, Change::Put(value)) => {
                webhook_of(&op.record())?;
                decode_told(value).ok().map(|_| Meaning::Webhook)
            }
            (WEBHOOKS | TOLD, Change::Delete) => webhook_of(&op.record()).map(|_| Meaning::Webhook),
            (MESSAGES, Change::Append { place, entry }) => {
                let (_, segment) = segment_of(&op.key)?;
                let fits = segment.epoch == place.epoch && fits_segment(place.index, entry);
                fits.then_some(Meaning::Segment)
            }
            (TOPICS, Change::Put(value)) => {
                topic_of(&op.record())?;
                decode_retention(value).ok().map(|_| Meaning::Topic)
            }
            (TOPICS, Change::Delete) => topic_of(&op.record()).map(|_| Meaning::Topic),
            (DATA, Change::Update(_)) => split_key(&op.key).map(|(name, _)| Meaning::Record(name)),
            (
                _,
                Change::Put(_)
                | Change::Delete
                | Change::Append { .. }
                | Change::Update(_)
                | Change::State(_)
                | Change::Unknown { .. },
            ) => None,
        }
    }

    /// Takes in a peer's clock, or refuses one that runs ahead.
    pub(crate) fn observe(&mut self, at: Hlc) -> bool {
        match self.clock.observe(at, self.now) {
            Ok(clock) => {
                self.clock = clock;
                true
            }
            Err(_) => false,
        }
    }

    /// Lets the indexes follow an op. Append 0 means that it was replayed.
    fn index(&mut self, op: &Op, meaning: Option<Meaning>, applied: Applied, append: u64) {
        match (applied, meaning) {
            (Applied::Changed, Some(Meaning::Agent(name))) => self.index_agent(&name),
            (Applied::Changed, Some(Meaning::Task(id, event))) => {
                let (placement, bytes) = (op.stream.placement, op.weight());
                self.index_task(id, event, Origin { placement, at: op.at, append, bytes });
                if append != 0 && op.stream != self.own_stream(placement) {
                    // Its log may end otherwise than this region believed as its home.
                    self.let_go_of(id);
                    self.resume_task(id);
                    self.dispatch_if_waiting(id);
                }
                if append != 0 {
                    self.meet_twins(id);
                }
            }
            (Applied::Superseded, Some(Meaning::Task(id, Event::Ended { .. }))) => {
                if append != 0 {
                    self.adopt_end(id);
                }
            }
            (
                Applied::Superseded | Applied::Beside { .. },
                Some(Meaning::Task(id, Event::Answered { .. })),
            ) => {
                if append != 0 {
                    self.adopt_answer(id);
                }
            }
            (Applied::Rewritten, Some(Meaning::Task(id, _))) => {
                self.read_again(id, op.stream.placement, append);
            }
            (Applied::Changed, Some(Meaning::Dataset(name))) => self.index_dataset(&name),
            (Applied::Changed, Some(Meaning::Move(record))) => self.index_move(&record),
            (Applied::Changed, Some(Meaning::Webhook)) => {
                self.index_webhook(&op.record(), append);
            }
            (Applied::Changed | Applied::Beside { .. }, Some(Meaning::Record(name))) => {
                self.index_record(op, &name, applied, append);
            }
            (Applied::Changed, Some(Meaning::Segment)) => self.index_segment(op, append),
            (Applied::Rewritten | Applied::Superseded, Some(Meaning::Segment)) => {
                self.read_segment(&op.record(), append);
            }
            (Applied::Changed, Some(Meaning::Topic)) => self.index_topic(&op.record()),
            (Applied::Covered, _) => self.index_covered(op, append),
            (Applied::Rewritten, _) => unreachable!("only logs are rewritten"),
            (Applied::Superseded, Some(_))
            | (
                Applied::Beside { .. },
                Some(
                    Meaning::Agent(_)
                    | Meaning::Task(..)
                    | Meaning::Dataset(_)
                    | Meaning::Move(_)
                    | Meaning::Segment
                    | Meaning::Topic
                    | Meaning::Webhook,
                ),
            ) => {}
            (Applied::Changed | Applied::Beside { .. } | Applied::Superseded, None)
            | (Applied::Misplaced | Applied::Repeated | Applied::Early, _) => {
                self.counters.misplaced += 1;
            }
        }
    }

    pub(crate) fn index_agent(&mut self, name: &AgentName) {
        self.registry.refresh(name, &self.store, self.config.placements.keys());
        self.unbind(name);
        self.turn_down_of_gone(name);
        self.dispatch_to(name);
    }

    pub(crate) fn index_task(&mut self, id: TaskId, event: Event, from: Origin) {
        let append = from.append;
        if let Event::Submitted(Spec { idempotency: Some(it), placement, .. }) = &event
            && !self.asks.sent_on.is_empty()
        {
            self.asks.sent_on.remove(&(*placement, it.key.clone()));
        }
        let Some(Effects { taken, put_down }) = self.tasks.apply(id, event, from) else {
            self.counters.misplaced += 1;
            return;
        };
        if let Some((agent, region)) = taken {
            self.registry.take_up(&agent);
            if region == self.config.region && append != 0 {
                self.deliver(id, &agent);
            }
        }
        if let Some(PutDown { agent, at, stint }) = put_down {
            // What the log tells again at a start is old.
            let stint = if append == 0 { Stint::Void } else { stint };
            self.registry.put_down(&agent, (at.as_ref(), stint), self.now.mono);
            self.dispatch_to(&agent);
        }
        if append != 0 {
            self.ring(&Bell::Task(id));
            self.plan_webhooks(id);
            self.follow_fan(id);
        }
    }

    /// Makes a task anew from its log, which was changed otherwise than by one more entry.
    pub(crate) fn read_again(&mut self, id: TaskId, placement: PlacementId, append: u64) {
        self.let_go_of(id);
        let before = self.tasks.get(id).and_then(|task| task.current());
        let former = self.tasks.remove(id);
        if let Some(agent) = &former {
            self.registry.let_go(agent);
        }
        let record = task_record(placement, id);
        let log = self.store.log(&record);
        let entries: Vec<Entry> = log.map_or(&[][..], |log| log.after(0)).to_vec();
        let mut effects = Effects::default();
        for entry in &entries {
            let event = decode_event(&entry.bytes).expect("it was decoded when it was taken in");
            let bytes = entry_weight(&record.key, entry);
            let from = Origin { placement, at: entry.at, append, bytes };
            match self.tasks.apply(id, event, from) {
                Some(it) if it.taken.is_some() || it.put_down.is_some() => effects = it,
                Some(_) | None => {}
            }
        }
        if let Some((agent, region)) = effects.taken {
            self.registry.take_up(&agent);
            let is_new = self.tasks.get(id).and_then(|task| task.current()) != before;
            if region == self.config.region && append != 0 && is_new {
                self.deliver(id, &agent);
            }
        }
        if append != 0 {
            self.resume_task(id);
            self.dispatch_if_waiting(id);
            former.iter().for_each(|agent| self.dispatch_to(agent));
            self.ring(&Bell::Task(id));
            self.plan_webhooks(id);
            self.meet_twins(id);
            self.follow_fan(id);
        }
    }

    /// Drops ended tasks whose retention is over, or that are too many.
    pub(crate) fn forget_ended(&mut self, wall_ms: u64) {
        let limits = &self.config.limits;
        let retention = u64::try_from(limits.retention.as_millis()).unwrap_or(u64::MAX);
        let (before, kept_max) = (wall_ms.saturating_sub(retention), limits.kept_bytes_max);
        while let Some(record) = self.tasks.forget_next(before, kept_max) {
            self.store.forget(&record);
            if let Some(id) = task_of(&record.key) {
                self.forget_webhooks(id);
            }
        }
    }
}
