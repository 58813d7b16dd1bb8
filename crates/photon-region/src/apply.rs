//! The way of an op into a region: applied, appended, indexed. Nothing else changes a record.
//! Must not ask whether an op is wise: it is a fact.

use std::sync::Arc;

use photon_state::{Applied, Change, Dataset, Hlc, Key, Op, PlacementId};

use crate::codec::decode_event;
use crate::contract::Output;
use crate::desk::Bell;
use crate::region::Region;
use crate::registry::{AGENTS, PRESENCE, Taken, agent_of};
use crate::tasks::{Effects, Origin, TASKS, task_of};

impl Region {
    /// Makes an op of this region, applies and appends it; returns the number of the append.
    pub(crate) fn write(
        &mut self,
        placement: PlacementId,
        dataset: Dataset,
        key: Key,
        change: Change,
    ) -> u64 {
        let stream = self.own_stream(placement);
        self.clock = self.clock.tick(self.now);
        let seq = self.store.seen().of(&stream) + 1;
        let op = Op { stream, seq, at: self.clock, dataset, key, change };
        let applied = self.accept(&Arc::new(op));
        assert!(applied, "an op of one's own is the next of its stream");
        self.appended
    }

    /// Takes in an op if it is the next of its stream; says whether it did.
    pub(crate) fn accept(&mut self, op: &Arc<Op>) -> bool {
        let applied = self.store.apply(op);
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
        self.streams.appended(self.appended, op.clone());
        self.index(op, applied, self.appended);
        true
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
    pub(crate) fn index(&mut self, op: &Op, applied: Applied, append: u64) {
        match (applied, op.dataset) {
            (Applied::Changed, AGENTS | PRESENCE) => self.index_agent(op),
            (Applied::Changed, TASKS) => self.index_task(op, append),
            (Applied::Superseded, _) => {}
            _ => self.counters.misplaced += 1,
        }
    }

    fn index_agent(&mut self, op: &Op) {
        let Some(name) = agent_of(&op.record()) else {
            self.counters.misplaced += 1;
            return;
        };
        self.registry.refresh(&name, &self.store, self.config.placements.keys());
        self.dispatch_to(&name);
    }

    fn index_task(&mut self, op: &Op, append: u64) {
        let (Some(id), Change::Append { entry, .. }) = (task_of(&op.key), &op.change) else {
            self.counters.misplaced += 1;
            return;
        };
        let bytes = op.weight();
        let from = Origin { stream: op.stream, at: op.at, append, bytes };
        let effects = decode_event(entry).ok().and_then(|event| self.tasks.apply(id, event, from));
        let Some(Effects { taken, put_down, ended }) = effects else {
            self.counters.misplaced += 1;
            return;
        };
        if let Some((agent, region)) = taken {
            self.registry.adjust(&agent, Taken::Up);
            if region == self.config.region && append != 0 {
                self.deliver(id, &agent);
            }
        }
        if let Some(agent) = put_down {
            self.registry.adjust(&agent, Taken::Down);
            self.dispatch_to(&agent);
        }
        if append != 0 {
            for waiter in self.desk.ring_all(&Bell::Task(id)) {
                self.look_again(waiter);
            }
            if ended {
                self.forget_ended(self.now.wall_ms);
            }
        }
    }

    /// Drops ended tasks whose retention is over, or that are too many.
    pub(crate) fn forget_ended(&mut self, wall_ms: u64) {
        let limits = &self.config.limits;
        let retention = u64::try_from(limits.retention.as_millis()).unwrap_or(u64::MAX);
        let before = wall_ms.saturating_sub(retention);
        while let Some(record) = self.tasks.forget_next(before, limits.kept_bytes_max) {
            self.store.forget(&record);
        }
    }
}
