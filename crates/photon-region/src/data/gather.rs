//! Reads at `quorum`: the states of a majority of the placement, merged.
//! Must not store what other regions answer: the ops will come.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use photon_state::crdt::{Shape, Side, Value, together};
use photon_state::{PlacementId, Position, Record, RegionId, Seen, Source};

use super::declare::reply;
use super::refusal::{DataRefusal, ReadGap};
use super::{DataReply, DatasetName, DatasetSpec, Found, ReadLevel, split_key};
use crate::ask::Asker;
use crate::contract::Ticket;
use crate::desk::Held;
use crate::question::{Answer, Question};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::Verdict;

/// A read that waits for the answers of other regions.
#[derive(Debug)]
pub(super) struct Gather {
    dataset: DatasetName,
    record: Record,
    shape: Shape,
    session: Seen,
    /// How many answers are needed, that of this region included.
    needed: usize,
    /// How many regions may still answer.
    open: usize,
    got: Vec<(RegionId, Side)>,
}

impl Region {
    /// Asks all regions of the placement that can be reached for a record.
    pub(super) fn gather(
        &mut self,
        ticket: Ticket,
        spec: &DatasetSpec,
        record: &Record,
        (session, wait): (&Seen, Duration),
    ) -> Verdict {
        let members = &self.config.placements[&record.placement];
        let needed = members.len() / 2 + 1;
        let others = members.iter().filter(|it| **it != self.config.region);
        let others: Vec<RegionId> = others.filter(|it| self.is_reachable(**it)).copied().collect();
        let gather = Gather {
            dataset: spec.name.clone(),
            record: record.clone(),
            shape: spec.kind.shape(),
            session: session.clone(),
            needed,
            open: others.len(),
            got: Vec::new(),
        };
        let reachable = self.own_votes(record.placement) + others.len();
        if reachable < needed {
            let why = ReadGap::Answers { got: reachable, needed };
            return Refusal::from(DataRefusal::ReadNotReached { level: ReadLevel::Quorum, why })
                .into();
        }
        if needed == 1 {
            return self.merge_gathered(&gather);
        }
        self.data.gathers.insert(ticket, gather);
        let (_, key) = split_key(&record.key).expect("it was made from a key");
        let (dataset, key) = (spec.name.clone(), Bytes::copy_from_slice(key));
        let patience = wait.max(Duration::from_millis(1));
        for to in others {
            let (dataset, key) = (dataset.clone(), key.clone());
            let question = Question::State { dataset, placement: record.placement, key };
            self.ask(to, Asker::Gather(ticket), question, patience);
        }
        Verdict::Asked
    }

    /// Returns how many votes this region has: none where it may lack what it counts as seen.
    fn own_votes(&self, placement: PlacementId) -> usize {
        usize::from(!self.may_have_lost(placement) && !self.holds_unknown)
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
            if self.holds_unknown {
                let why = ReadGap::Answers { got: 0, needed: 1 };
                return Err(DataRefusal::ReadNotReached { level: ReadLevel::Quorum, why }.into());
            }
            let is_known = self.placements_of(&spec).contains(&placement);
            if !self.may_hold(from, placement) || !is_known {
                return Err(DataRefusal::NoSuchDataset(dataset.clone()).into());
            }
            let record = Self::record_of(&spec, placement, key);
            let Side { value, seen } = self.side_of(&record, spec.kind.shape());
            let value = Some(value).filter(|it| !it.is_empty());
            Ok(Answer::State(value, seen))
        };
        (self.appended(), state())
    }

    /// Returns what a record is here, and by what has been seen of its placement.
    fn side_of(&self, record: &Record, shape: Shape) -> Side {
        let value = self.store.state(record, shape).map(Cow::into_owned);
        let shelf = (record.placement, record.dataset, shape);
        let mut known = self.covers.beyond(&Position::Value(shelf, record.key.clone()));
        known.join(self.store.seen());
        let seen = known.iter().filter(|(it, _)| it.placement == record.placement);
        let seen = seen.map(|(it, seq)| (*it, seq)).collect();
        Side { value: value.unwrap_or(Value::empty(shape)), seen }
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
            let value = value.unwrap_or(Value::empty(gather.shape));
            gather.got.push((from, Side { value, seen }));
        }
        let placement = gather.record.placement;
        let (answers, open, needed) = (gather.got.len(), gather.open, gather.needed);
        let got = answers + self.own_votes(placement);
        let is_over = needed <= got;
        if !is_over && needed <= got + open {
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
        let shelf = (placement, gather.record.dataset, shape);
        // What is missing here of what counts as seen would look as if it were removed.
        let own = (!self.holds_unknown).then(|| self.side_of(&gather.record, shape));
        let contradicts = |(_, other): &&(RegionId, Side)| {
            own.as_ref().is_some_and(|own| own.contradicts(other, placement))
        };
        let damaged = gather.got.iter().filter(contradicts).map(|(from, _)| *from);
        let damaged: Vec<RegionId> = damaged.collect();
        self.counters.mismatched += damaged.len() as u64;
        let may_compare = self.may_compare();
        for peer in damaged.into_iter().filter(|_| may_compare) {
            self.outline(peer, shelf, vec![gather.record.key.clone()], true);
        }
        let source = |(region, side): &(RegionId, Side)| {
            let incarnation = self.peers.get(region).map_or(0, |it| it.incarnation);
            (Source { origin: *region, incarnation }, side.clone())
        };
        let others = gather.got.iter().map(source);
        let own = own.map(|it| (self.source(), it)).into_iter();
        let sides: Vec<(Source, Side)> = own.chain(others).collect();
        let value = together(shape, placement, &sides);
        let mut session = gather.session.clone();
        sides.iter().for_each(|(_, side)| session.join(&side.seen));
        let found = Found {
            record: self.show_value(self.now, &spec, placement, &value),
            region: self.config.region,
            asked: sides.len(),
            staleness: None,
            session,
        };
        reply(self.appended(), DataReply::Found(found))
    }
}
