//! Rights of bounded counters: handed over to regions that had to ask, and brought together for a
//! take that no region has enough for. Must not let anybody take without the right to.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use photon_state::crdt::{Delta, Escrow, EscrowDelta, Shape, Value};
use photon_state::{Change, PlacementId, Record, RegionId, Seen, Source, Update};

use super::refusal::DataRefusal;
use super::write::check_key;
use super::{DATA, DatasetName, DatasetSpec, Edit, Kind, Write, split_key};
use crate::ask::Asker;
use crate::contract::Ticket;
use crate::desk::Bell;
use crate::question::{Answer, Question};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::{Patience, Verdict};

/// What was taken of each record for the clients of each region.
type Taken = BTreeMap<(Record, RegionId), u64>;

/// What is known of how bounded counters are used, and which rights are on their way.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    taken: Taken,
    /// The same of the span before.
    before: Taken,
    since: Duration,
    /// Records whose rights were asked for, and until when that counts.
    asked: BTreeMap<Record, Duration>,
}

impl Quotas {
    /// What was taken counts for one such span at least, and two at most.
    const SPAN: Duration = Duration::from_secs(30);
    /// Pairs of a record and a region that are counted in a span; of others only the last take is
    /// known, so that fewer rights are handed over.
    const TAKEN_MAX: usize = 4_096;
    /// Rights that are on their way may take so long until they are asked for once more.
    const ASKED_FOR: Duration = Duration::from_secs(1);

    fn turn(&mut self, now: Duration) {
        if now < self.since + Self::SPAN {
            return;
        }
        let is_old = self.since + 2 * Self::SPAN <= now;
        let taken = std::mem::take(&mut self.taken);
        self.before = if is_old { Taken::new() } else { taken };
        self.since = now;
    }

    fn note(&mut self, record: &Record, region: RegionId, rights: u64) {
        let key = (record.clone(), region);
        if self.taken.len() < Self::TAKEN_MAX || self.taken.contains_key(&key) {
            let taken = self.taken.entry(key).or_default();
            *taken = taken.saturating_add(rights);
        }
    }

    fn recent(&self, record: &Record, region: RegionId) -> u64 {
        let key = (record.clone(), region);
        let both = [&self.taken, &self.before].map(|it| it.get(&key).copied().unwrap_or(0));
        both[0].saturating_add(both[1])
    }

    fn awaits(&self, record: &Record, now: Duration) -> bool {
        self.asked.get(record).is_some_and(|until| now < *until)
    }
}

/// A take for which rights are lacking here.
#[derive(Debug)]
pub(super) struct Short {
    record: Record,
    asked: u64,
    /// What is left of the counter, whoever has the rights.
    left: u64,
    own: u64,
    /// The others that hold rights and can be reached, the richest first.
    others: Vec<(Source, u64)>,
}

impl Short {
    /// Returns another region that has enough.
    pub(super) fn decider(&self) -> Option<RegionId> {
        let (source, rights) = self.others.first()?;
        (self.asked <= *rights).then_some(source.origin)
    }
}

impl Region {
    /// How many times what a region took lately it is given at the most: who asks again has used
    /// what it was given, and is given so much more.
    const RIGHTS_AHEAD: u64 = 4;

    /// Returns the first take for which rights are lacking here.
    pub(super) fn overdrawn(
        &self,
        spec: &DatasetSpec,
        targets: &[(Record, &Write)],
    ) -> Option<Short> {
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::SpendWithoutRights) {
            return None;
        }
        targets.iter().find_map(|(record, write)| {
            let asked = taken(spec, write)?;
            let record = record.clone();
            let Some(escrow) = self.escrow(&record) else {
                return Some(Short { record, asked, left: 0, own: 0, others: Vec::new() });
            };
            let own = whole(escrow.rights(self.source()));
            if asked <= own {
                return None;
            }
            let others = escrow.holders().filter(|(source, rights)| {
                let peer = self.peers.get(&source.origin);
                let is_alive = peer.is_some_and(|it| it.incarnation == source.incarnation);
                0 < *rights && is_alive && self.is_reachable(source.origin)
            });
            let mut others: Vec<_> =
                others.map(|(source, rights)| (source, whole(rights))).collect();
            others.sort_by_key(|(source, rights)| std::cmp::Reverse((*rights, source.origin)));
            let left = u64::try_from(escrow.value().max(0)).unwrap_or(u64::MAX);
            Some(Short { record, asked, left, own, others })
        })
    }

    fn escrow(&self, record: &Record) -> Option<Escrow> {
        match self.store.state(record, Shape::Escrow)?.into_owned() {
            Value::Escrow(escrow) => Some(escrow),
            Value::Counter(_) | Value::Fields(_) => None,
        }
    }

    /// Asks other regions for the rights that a take lacks, and lets it wait for them; refuses it
    /// if all together have not enough.
    pub(super) fn bring_rights(
        &mut self,
        short: &Short,
        patience: Patience,
        wait: Duration,
    ) -> Result<Verdict, Refusal> {
        let (now, until) = (self.now.mono, patience.until(self.now, wait));
        let mut lacking = short.asked - short.own;
        let there = short.others.iter().fold(0, |sum: u64, (_, it)| sum.saturating_add(*it));
        let Some((richest, _)) = short.others.first().filter(|_| lacking <= there && now < until)
        else {
            let Short { asked, left: value, .. } = *short;
            return Err(DataRefusal::Overdrawn { asked, value }.into());
        };
        if patience == Patience::Fresh || !self.data.quotas.awaits(&short.record, now) {
            let (dataset, key) = split_key(&short.record.key).expect("it was made from a key");
            let key = Bytes::copy_from_slice(key);
            self.data.quotas.asked.insert(short.record.clone(), now + Quotas::ASKED_FOR);
            for (source, rights) in &short.others {
                let rights = lacking.min(*rights);
                if 0 < rights {
                    let (dataset, key) = (dataset.clone(), key.clone());
                    let placement = short.record.placement;
                    let question = Question::Rights { dataset, placement, key, rights };
                    self.ask(source.origin, Asker::Nobody, question, wait);
                }
                lacking -= rights;
            }
        }
        // The rights come as an op, and whatever else the region does comes before or after it.
        let stream = richest.stream(short.record.placement);
        let next = self.store.seen().of(&stream) + 1;
        Ok(Verdict::Wait(Bell::Seen(stream, next), until))
    }

    /// Gives rights to a region that asks for them, as far as there are some.
    pub(crate) fn give_rights(
        &mut self,
        from: RegionId,
        (dataset, placement, key): (&DatasetName, PlacementId, &[u8]),
        rights: u64,
    ) -> Result<Answer, Refusal> {
        let spec = self.dataset(dataset)?;
        check_key(key)?;
        self.check_placement(placement)?;
        let is_known = self.placements_of(&spec).contains(&placement);
        if !is_known || !self.may_hold(from, placement) || spec.kind != Kind::BoundedCounter {
            return Err(DataRefusal::NoSuchDataset(dataset.clone()).into());
        }
        self.check_disk()?;
        let record = Self::record_of(&spec, placement, key);
        let own = self.escrow(&record).map_or(0, |it| whole(it.rights(self.source())));
        // Of two that ask each other the lesser wins; otherwise they would only change places.
        let is_first = self.config.region < from && self.data.quotas.awaits(&record, self.now.mono);
        let rights = if is_first { 0 } else { rights.min(own) };
        Ok(Answer::Rights(self.write_rights(&record, from, rights)))
    }

    /// Takes note of takes that were done here, and hands rights over to the region that had to
    /// ask for them, so that it need not ask for the next ones. It gets no more than half of what
    /// this region does not use itself, so that rights do not go to and fro.
    pub(super) fn share_rights(
        &mut self,
        ticket: Ticket,
        spec: &DatasetSpec,
        targets: &[(Record, &Write)],
    ) {
        if spec.kind != Kind::BoundedCounter {
            return;
        }
        let here = self.config.region;
        let asker = self.guest_of(ticket).unwrap_or(here);
        self.data.quotas.turn(self.now.mono);
        for (record, write) in targets {
            let Some(asked) = taken(spec, write) else { continue };
            let quotas = &mut self.data.quotas;
            quotas.asked.remove(record);
            quotas.note(record, asker, asked);
            if asker == here || !self.may_hold(asker, record.placement) {
                continue;
            }
            let quotas = &self.data.quotas;
            let wanted = quotas.recent(record, asker).max(asked).saturating_mul(Self::RIGHTS_AHEAD);
            let own = self.escrow(record).map_or(0, |it| whole(it.rights(self.source())));
            let spare = own.saturating_sub(quotas.recent(record, here)) / 2;
            // Fewer would not do for the next take: they are of more use in one place.
            if asked <= spare {
                let given = self.write_rights(record, asker, wanted.min(spare));
                self.data.quotas.note(record, asker, given);
            }
        }
    }

    /// Gives rights away; returns how many.
    fn write_rights(&mut self, record: &Record, to: RegionId, rights: u64) -> u64 {
        let Some(peer) = self.peers.get(&to).filter(|it| it.theirs.is_some()) else { return 0 };
        if rights == 0 {
            return 0;
        }
        let to = Source { origin: to, incarnation: peer.incarnation };
        let delta = Delta::Escrow(EscrowDelta::Give { to, rights });
        let change = Change::Update(Box::new(Update { delta, needs: Seen::default() }));
        self.write(record.placement, DATA, record.key.clone(), change);
        self.counters.rights_given += 1;
        rights
    }

    /// Forgets which rights were asked for a while ago.
    pub(crate) fn forget_asked_rights(&mut self) {
        let now = self.now.mono;
        self.data.quotas.asked.retain(|_, until| now < *until);
    }
}

/// Returns how much a write takes from a bounded counter.
fn taken(spec: &DatasetSpec, write: &Write) -> Option<u64> {
    let Edit::Add(by @ ..0) = write.edit else { return None };
    (spec.kind == Kind::BoundedCounter).then(|| by.unsigned_abs())
}

fn whole(rights: u128) -> u64 {
    u64::try_from(rights).unwrap_or(u64::MAX)
}
