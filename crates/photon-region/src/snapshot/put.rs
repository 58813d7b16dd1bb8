//! Takes parts of states in: one's own in place of what is there, a peer's merged with it.
//! Must not ask where a part comes from.

use std::borrow::Cow;
use std::collections::BTreeSet;

use photon_state::crdt::{Fields, Shape, Value};
use photon_state::{Dot, Key, Log, PlacementId, Position, Record, Register, Seen, Shelf, Source};

use super::cover::Cover;
use super::part::{Item, Part, Range, Step};
use crate::codec::decode_event;
use crate::data::{DATA, DATASETS, DatasetName, MOVES, split_key};
use crate::lag::millis;
use crate::region::Region;
use crate::registry::{AGENTS, PRESENCE, agent_of};
use crate::tasks::{TASKS, task_of};
use crate::topics::{MESSAGES, TOPICS, fits_segment, segment_of};
use crate::webhooks::{TOLD, WEBHOOKS};

impl Region {
    /// Takes a part in. Append 0 means that it is read back from the log.
    pub(crate) fn take_part(&mut self, part: Part, append: u64) {
        let is_own = part.from.is_none();
        match part.step {
            Step::Head { seen, covers } if is_own => {
                self.jump(&seen, 0);
                self.covers.replace(covers);
            }
            Step::Head { .. } => {}
            Step::Range(range) if is_own => self.put_range(range),
            Step::Range(range) => self.merge_range(range, append),
            Step::Whole(held) => self.data.rejoin.replay(held),
            Step::Agreed(bytes) => self.holds_unknown |= !self.agree.replay(&bytes),
            Step::Sums { incarnation, items } => {
                let Some(origin) = part.from else { return };
                let source = Source { origin, incarnation };
                items.iter().for_each(|it| self.correct_sum(it, source, append));
            }
            Step::End { seen, horizon } => {
                for (placement, deps) in &horizon {
                    self.data.depend(*placement, deps);
                }
                if !is_own {
                    self.jump(&seen, append);
                    self.covers.prune(self.store.seen(), self.appended);
                }
            }
        }
    }

    /// Counts as seen what a state stands for.
    fn jump(&mut self, seen: &Seen, append: u64) {
        let wall_ms = i64::try_from(self.clock.wall_ms).unwrap_or(i64::MAX);
        let at_ms = if append == 0 { wall_ms } else { millis(self.now.mono) };
        for (stream, seq) in seen.iter() {
            let is_own = append != 0 && *stream == self.own_stream(stream.placement);
            if is_own || seq <= self.store.seen().of(stream) {
                continue;
            }
            self.store.jump(*stream, seq);
            self.streams.jumped(*stream, seq, append, at_ms);
            self.skip_changes(*stream, seq);
            for waiter in self.desk.ring_seen(*stream, seq) {
                self.look_again(waiter);
            }
        }
    }

    /// Puts a range in place of what is there.
    fn put_range(&mut self, range: Range) {
        let held = self.store.after(range.after.as_ref(), |_| true).map(|(position, _)| position);
        let held: Vec<Position> = held.take_while(|it| range.holds(it)).collect();
        let mut touched = Touched::default();
        for position in held {
            match position {
                Position::Register(record) => {
                    self.store.set_register(&record, None);
                    touched.add(&record);
                }
                Position::Log(record) => {
                    self.store.forget(&record);
                    self.forget_segment(&record);
                    let put_down = task_of(&record.key).and_then(|id| self.tasks.remove(id));
                    if let Some(agent) = put_down {
                        self.registry.let_go(&agent);
                    }
                }
                Position::Value(shelf, key) => self.store.set_value(shelf, &key, None),
            }
        }
        for item in range.items {
            self.put_item(item, (0, None), &mut touched);
        }
        self.index_touched(&touched);
    }

    /// Merges a range of a peer's state with what is here.
    fn merge_range(&mut self, range: Range, append: u64) {
        let mut touched = Touched::default();
        let named: BTreeSet<Position> = range.items.iter().map(Item::position).collect();
        let is_meant = |it: &PlacementId| range.placements.contains(it);
        let held = self.store.after(range.after.as_ref(), is_meant).map(|(position, _)| position);
        let others: Vec<Position> = held
            .take_while(|it| range.holds(it))
            .filter(|it| is_meant(&it.placement()) && !named.contains(it))
            .collect();
        let is_log = |it: &Item| matches!(it, Item::Log(..));
        let (logs, rest): (Vec<Item>, Vec<Item>) = range.items.into_iter().partition(is_log);
        for item in rest {
            self.put_item(item, (append, Some(&range.seen)), &mut touched);
        }
        // What the peer has seen and does not hold was removed.
        for position in others {
            match position {
                Position::Value(shelf @ (_, _, Shape::Fields), key) => {
                    let gone = Value::Fields(Fields::default());
                    self.merge_value((shelf, &key), &gone, (append, &range.seen));
                }
                Position::Log(record) => self.forget_as_peer(&record, &range.seen),
                Position::Value(..) | Position::Register(_) => {}
            }
        }
        self.covers.add(Cover {
            after: range.after,
            upto: range.upto,
            placements: range.placements,
            seen: range.seen,
        });
        // Who waits for a task is answered at once, by what is known of it.
        for item in logs {
            self.put_item(item, (append, None), &mut touched);
        }
        self.index_touched(&touched);
    }

    /// Forgets a task that a peer has forgotten: it ended in ops that will not come any more.
    fn forget_as_peer(&mut self, record: &Record, theirs: &Seen) {
        let Some(id) = task_of(&record.key) else { return };
        let Some(task) = self.tasks.get(id) else { return };
        let is_own = self.is_home(id, task.placement);
        // What is here may be younger than what counts as seen.
        let mut ours = self.covers.beyond(&Position::Log(record.clone()));
        ours.join(self.store.seen());
        let runs = self.store.log(record).map_or(&[][..], Log::runs);
        if is_own || runs.iter().any(|run| theirs.of(&run.stream) < ours.of(&run.stream)) {
            return;
        }
        self.store.forget(record);
        self.forget_webhooks(id);
        if let Some(agent) = self.tasks.remove(id) {
            self.registry.let_go(&agent);
        }
    }

    fn put_item(
        &mut self,
        item: Item,
        (append, theirs): (u64, Option<&Seen>),
        touched: &mut Touched,
    ) {
        match item {
            Item::Register(record, register) => self.put_register(&record, register, touched),
            Item::Log(record, log) => self.put_log(&record, &log, append),
            Item::Value(shelf, key, value) => match theirs {
                Some(theirs) => self.merge_value((shelf, &key), &value, (append, theirs)),
                None => self.put_value((shelf, &key), value, 0),
            },
        }
    }

    fn put_register(&mut self, record: &Record, register: Register, touched: &mut Touched) {
        let held = self.store.register(record);
        if held.is_none_or(|it| (it.at, it.origin) < (register.at, register.origin)) {
            self.store.set_register(record, Some(register));
            touched.add(record);
        }
    }

    fn put_log(&mut self, record: &Record, log: &Log, append: u64) {
        if record.dataset == MESSAGES {
            return self.put_segment(record, log, append);
        }
        let id = task_of(&record.key).filter(|_| record.dataset == TASKS);
        let Some(id) = id else { return };
        let is_sound = log.all().all(|(_, entry)| decode_event(&entry.bytes).is_ok());
        if !is_sound {
            self.counters.misplaced += 1;
        } else if self.store.merge_log(record, log) {
            self.read_again(id, record.placement, append);
        }
    }

    fn put_segment(&mut self, record: &Record, log: &Log, append: u64) {
        let mut all = log.all();
        let is_sound = segment_of(&record.key).is_some()
            && all.all(|(place, entry)| fits_segment(place.index, &entry.bytes));
        if !is_sound {
            self.counters.misplaced += 1;
        } else if self.store.merge_log(record, log) {
            self.read_segment(record, append);
        }
    }

    fn merge_value(
        &mut self,
        (shelf, key): (Shelf, &Key),
        other: &Value,
        (append, theirs): (u64, &Seen),
    ) {
        let (placement, dataset, shape) = shelf;
        let record = Record { placement, dataset, key: key.clone() };
        let held = self.store.state(&record, shape);
        let mut value = held.map_or(Value::empty(shape), Cow::into_owned);
        let mut ours = self.covers.beyond(&Position::Value(shelf, key.clone()));
        ours.join(self.store.seen());
        let has = |seen: &Seen, dot: Dot| dot.is_in(seen, placement);
        value.merge(&|dot| has(&ours, dot), other, &|dot| has(theirs, dot));
        self.put_value((shelf, key), value, append);
    }

    /// Puts a sum right by what a region holds that is right about itself.
    fn correct_sum(&mut self, item: &Item, source: Source, append: u64) {
        let Item::Value(shelf @ (placement, dataset, shape), key, other) = item else { return };
        let record = Record { placement: *placement, dataset: *dataset, key: key.clone() };
        let held = self.store.state(&record, *shape);
        let mut value = held.map_or_else(|| Value::empty(*shape), Cow::into_owned);
        value.correct(other, source, &|dot| dot.is_in(self.store.seen(), *placement));
        self.put_value((*shelf, key), value, append);
    }

    fn put_value(&mut self, (shelf, key): (Shelf, &Key), value: Value, append: u64) {
        let (placement, dataset, _) = shelf;
        let has_end = match &value {
            Value::Fields(fields) => {
                fields.versions().any(|(_, it)| it.written.expires_ms.is_some())
            }
            Value::Counter(_) | Value::Escrow(_) => false,
        };
        self.store.set_value(shelf, key, Some(value));
        // Most have no end, and millions are read back at a start.
        let is_followed = append != 0 || has_end || self.data.follows_ends();
        if is_followed && dataset == DATA && split_key(key).is_some() {
            let record = Record { placement, dataset, key: key.clone() };
            self.follow_record(&record, has_end, append);
        }
    }

    fn index_touched(&mut self, touched: &Touched) {
        touched.agents.iter().for_each(|name| self.index_agent(name));
        touched.datasets.iter().for_each(|name| self.index_dataset(name));
        touched.moves.iter().for_each(|record| self.index_move(record));
        touched.topics.iter().for_each(|record| self.index_topic(record));
        touched.webhooks.iter().for_each(|record| self.index_webhook(record, 0));
        self.webhooks.decree = None; // Who tells them is looked up with the next beat.
    }
}

/// What registers are about that have changed.
#[derive(Default)]
struct Touched {
    agents: BTreeSet<crate::task::AgentName>,
    datasets: BTreeSet<DatasetName>,
    moves: BTreeSet<Record>,
    webhooks: BTreeSet<Record>,
    topics: BTreeSet<Record>,
}

impl Touched {
    fn add(&mut self, record: &Record) {
        match record.dataset {
            AGENTS | PRESENCE => self.agents.extend(agent_of(record)),
            DATASETS => {
                let name = std::str::from_utf8(record.key.as_bytes()).ok();
                self.datasets.extend(name.and_then(|it| DatasetName::try_from(it).ok()));
            }
            MOVES => drop(self.moves.insert(record.clone())),
            WEBHOOKS | TOLD => drop(self.webhooks.insert(record.clone())),
            TOPICS => drop(self.topics.insert(record.clone())),
            _ => {}
        }
    }
}
