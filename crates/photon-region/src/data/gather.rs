//! Reads at `quorum`: the states of a majority of the placement, merged.
//! Must not store what other regions answer: the ops will come.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use photon_state::crdt::Value;
use photon_state::{Dot, PlacementId, Position, Record, RegionId, Seen};

use super::declare::reply;
use super::refusal::{DataRefusal, ReadGap};
use super::{DataReply, DatasetName, DatasetSpec, Found, ReadHow, ReadLevel, split_key};
use crate::ask::Asker;
use crate::contract::{Answer, Question, Ticket};
use crate::desk::Held;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::Verdict;

/// A read that waits for the answers of other regions.
#[derive(Debug)]
pub(super) struct Gather {
    dataset: DatasetName,
    record: Record,
    session: Seen,
    /// How many answers are needed, that of this region included.
    needed: usize,
    /// How many regions may still answer.
    open: usize,
    got: Vec<(RegionId, Option<Value>, Seen)>,
}

impl Region {
    /// Asks all regions of the placement that can be reached for a record.
    pub(super) fn gather(
        &mut self,
        ticket: Ticket,
        spec: &DatasetSpec,
        record: &Record,
        how: &ReadHow,
    ) -> Verdict {
        let members = &self.config.placements[&record.placement];
        let needed = members.len() / 2 + 1;
        let others = members.iter().filter(|it| **it != self.config.region);
        let others: Vec<RegionId> = others.filter(|it| self.is_reachable(**it)).copied().collect();
        let gather = Gather {
            dataset: spec.name.clone(),
            record: record.clone(),
            session: how.session.clone(),
            needed,
            open: others.len(),
            got: Vec::new(),
        };
        let reachable = self.own_votes(record.placement) + others.len();
        if needed == 1 {
            return self.merge_gathered(&gather);
        }
        if reachable < needed {
            let why = ReadGap::Answers { got: reachable, needed };
            return Refusal::from(DataRefusal::ReadNotReached { level: ReadLevel::Quorum, why })
                .into();
        }
        self.data.gathers.insert(ticket, gather);
        let (_, key) = split_key(&record.key).expect("it was made from a key");
        let (dataset, key) = (spec.name.clone(), Bytes::copy_from_slice(key));
        let patience = how.wait.max(Duration::from_millis(1));
        for to in others {
            let (dataset, key) = (dataset.clone(), key.clone());
            let question = Question::State { dataset, placement: record.placement, key };
            self.ask(to, Asker::Gather(ticket), question, patience);
        }
        Verdict::Asked
    }

    /// Returns how many votes this region has.
    fn own_votes(&self, placement: PlacementId) -> usize {
        usize::from(!self.may_have_lost(placement))
    }

    /// Tells a peer what a record is here, if it may know.
    pub(crate) fn tell_state(
        &self,
        from: RegionId,
        (dataset, placement): (&DatasetName, PlacementId),
        key: &[u8],
    ) -> (u64, Result<Answer, Refusal>) {
        let state = || {
            let spec = self.dataset(dataset)?;
            super::write::check_key(key)?;
            self.check_placement(placement)?;
            self.check_whole(placement)?;
            let is_known = self.placements_of(&spec).contains(&placement);
            if !self.may_hold(from, placement) || !is_known {
                return Err(DataRefusal::NoSuchDataset(dataset.clone()).into());
            }
            let record = Self::record_of(&spec, placement, key);
            let value = self.store.state(&record, spec.kind.shape()).map(Cow::into_owned);
            let shelf = (placement, record.dataset, spec.kind.shape());
            let mut known = self.covers.beyond(&Position::Value(shelf, record.key));
            known.join(self.store.seen());
            let seen = known.iter().filter(|(it, _)| it.placement == placement);
            Ok(Answer::State(value, seen.map(|(it, seq)| (*it, seq)).collect()))
        };
        (self.appended(), state())
    }

    /// Takes in what a region answered, or that it did not.
    pub(crate) fn gathered(
        &mut self,
        ticket: Ticket,
        from: RegionId,
        answer: Result<Answer, Refusal>,
    ) {
        let Some(gather) = self.data.gathers.get_mut(&ticket) else { return };
        gather.open -= 1;
        if let Ok(Answer::State(value, seen)) = answer {
            gather.got.push((from, value, seen));
        }
        let placement = gather.record.placement;
        let got = gather.got.len() + usize::from(!self.data.rejoin.is_open(placement));
        let (needed, is_over) = (gather.needed, gather.needed <= got);
        if !is_over && needed <= got + gather.open {
            return;
        }
        let gather = self.data.gathers.remove(&ticket).expect("it was just there");
        let verdict = if is_over {
            self.merge_gathered(&gather)
        } else {
            let why = ReadGap::Answers { got, needed };
            Refusal::from(DataRefusal::ReadNotReached { level: ReadLevel::Quorum, why }).into()
        };
        if let Verdict::Reply(append, reply) = verdict {
            self.counters.refused += u64::from(reply.is_err());
            self.say(append, Held::Reply(ticket, reply));
        }
    }

    fn merge_gathered(&mut self, gather: &Gather) -> Verdict {
        let spec = match self.dataset(&gather.dataset) {
            Ok(spec) => spec,
            Err(refusal) => return refusal.into(),
        };
        let (shape, placement) = (spec.kind.shape(), gather.record.placement);
        let held = self.store.state(&gather.record, shape);
        let mut value = held.map_or(Value::empty(shape), Cow::into_owned);
        let all = self.store.seen().iter().filter(|(it, _)| it.placement == placement);
        let mut seen: Seen = all.map(|(it, seq)| (*it, seq)).collect();
        let mut damaged = Vec::new();
        for (from, other, theirs) in &gather.got {
            let other = other.clone().unwrap_or(Value::empty(shape));
            if *theirs == seen && other != value && self.covers.is_empty() {
                damaged.push(*from); // The same ops made different states.
            }
            let has = |seen: &Seen, dot: Dot| dot.is_in(seen, placement);
            value.merge(&|dot| has(&seen, dot), &other, &|dot| has(theirs, dot));
            seen.join(theirs);
        }
        self.counters.mismatched += damaged.len() as u64;
        let shelf = (placement, gather.record.dataset, shape);
        for peer in damaged {
            self.outline(peer, shelf, vec![gather.record.key.clone()], true);
        }
        let mut session = gather.session.clone();
        session.join(&seen);
        let found = Found {
            record: self.show_value(self.now, &spec, placement, &value),
            region: self.config.region,
            asked: 1 + gather.got.len(),
            staleness: None,
            session,
        };
        reply(self.appended(), DataReply::Found(found))
    }
}
