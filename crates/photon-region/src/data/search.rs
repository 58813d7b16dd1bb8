//! Reads that do not say where their record lives: it is looked for here, and then in the nearest
//! region of each other placement.
//! Must not keep anything of what other regions answer.

use std::sync::Arc;

use photon_state::{Now, PlacementId, RegionId};

use super::declare::reply;
use super::look::{Look, Looked};
use super::place::youngest_first;
use super::refusal::DataRefusal;
use super::{
    DataCommand, DataReply, DatasetSpec, Found, ReadHow, ReadLevel, Shown, Spot, is_guest,
};
use crate::ask::Asker;
use crate::contract::Ticket;
use crate::desk::Held;
use crate::question::Answer;
use crate::refusal::Refusal;
use crate::region::Region;

/// A read that waits for the answers of other placements.
#[derive(Debug)]
pub(super) struct Search {
    command: DataCommand,
    round: u8,
    /// How many regions may still answer.
    open: usize,
    found: Vec<Found>,
    failed: Option<Refusal>,
}

impl Region {
    /// How often is looked before it is said that there is no such record: one that moves is always
    /// somewhere, but whoever looks in one place after the other may miss it once.
    const LOOKS: u8 = 2;

    /// Looks for a record whose place is not said.
    pub(super) fn look_in_all_places(
        &self,
        look: Look,
        spec: &Arc<DatasetSpec>,
        key: &[u8],
        how: &ReadHow,
    ) -> Result<Looked, Refusal> {
        let level = how.level.unwrap_or(spec.read_level);
        match level {
            // What its home has decided, or a majority has, depends on where the record lives.
            ReadLevel::Quorum | ReadLevel::Linearizable => return Err(spec.unplaced(None)),
            ReadLevel::Eventual | ReadLevel::Session | ReadLevel::Causal => {}
        }
        let held = self.placements_held(spec);
        if let Some(verdict) = self.await_freshness(look, spec, level, how, &held)? {
            return Ok(Looked::Here(verdict));
        }
        let others: Vec<PlacementId> =
            self.placements_of(spec).into_iter().filter(|it| !held.contains(it)).collect();
        let live = self.lives_here(look.now, spec, key);
        if !live.is_empty() || others.is_empty() {
            let (append, found) = self.found_here(look.now, spec, key, how);
            return Ok(Looked::Here(reply(append, DataReply::Found(found))));
        }
        if let Some(refusal) = self.outside_of(spec, &others) {
            return Err(refusal);
        }
        if is_guest(look.ticket) {
            return Err(spec.unplaced(None)); // Who asks for another has found out where.
        }
        Ok(Looked::Nowhere(spec.clone()))
    }

    /// Shows a record wherever it lives here, with the append that must be durable first.
    fn found_here(&self, now: Now, spec: &DatasetSpec, key: &[u8], how: &ReadHow) -> (u64, Found) {
        let held = self.placements_held(spec);
        let level = how.level.unwrap_or(spec.read_level);
        let append = self.append_of_all(spec, key);
        let (append, session) = self.session_of(level, how, &held, append);
        let records = held.iter().map(|it| Self::record_of(spec, *it, key));
        let live = self.lives_here(now, spec, key).into_iter().next();
        let blank = || records.clone().find_map(|it| self.show_record(now, spec, &it));
        let staleness = held.iter().map(|it| self.staleness(now, *it));
        let found = Found {
            record: live.or_else(blank),
            region: self.config.region,
            asked: 1,
            staleness: staleness.max_by_key(|it| it.unwrap_or(std::time::Duration::MAX)).flatten(),
            session,
        };
        (append, found)
    }

    /// Asks the nearest region of each other placement for a record.
    pub(super) fn begin_search(
        &mut self,
        ticket: Ticket,
        spec: &DatasetSpec,
        command: &DataCommand,
        round: u8,
    ) -> Result<(), Refusal> {
        let here = self.config.region;
        let others = self.placements_of(spec).into_iter().filter(|it| !self.may_hold(here, *it));
        let asked = others.map(|it| Ok((it, self.answers_for(spec, it)?)));
        let asked = asked.collect::<Result<Vec<(PlacementId, RegionId)>, Refusal>>()?;
        let gone = asked.iter().find(|(_, to)| !self.is_reachable(*to));
        let failed = gone.map(|(_, to)| {
            Refusal::from(DataRefusal::DeciderUnreachable { region: *to, was_sent: false })
        });
        let asked: Vec<_> = asked.into_iter().filter(|(_, to)| self.is_reachable(*to)).collect();
        if let (Some(refusal), true) = (&failed, asked.is_empty()) {
            return Err(refusal.clone());
        }
        let search =
            Search { command: command.clone(), round, open: asked.len(), found: vec![], failed };
        self.data.searches.insert(ticket, search);
        for (placement, to) in asked {
            let mut command = command.clone();
            if let DataCommand::Read { how, .. } = &mut command {
                how.spot = Some(Spot::Placement(placement));
            }
            let wait = command.wait();
            self.ask_about_data(to, Asker::Search(ticket), command, wait);
        }
        Ok(())
    }

    /// Takes in what a region of another placement answered, or that it did not.
    pub(crate) fn searched(&mut self, ticket: Ticket, answer: Result<Answer, Refusal>) {
        let Some(search) = self.data.searches.get_mut(&ticket) else { return };
        search.open -= 1;
        match answer {
            Ok(Answer::Data(reply)) => {
                if let DataReply::Found(found) = *reply {
                    search.found.push(found);
                }
            }
            // Nobody asked for these.
            Ok(_) => {}
            Err(refusal) => search.failed = Some(refusal),
        }
        if 0 < search.open {
            return;
        }
        let search = self.data.searches.remove(&ticket).expect("it was just there");
        let (append, reply) = match self.end_search(ticket, search) {
            Ok(Some(done)) => (done.0, Ok(done.1)),
            Ok(None) => return, // It is looked for once more.
            Err(refusal) => (0, Err(refusal)),
        };
        self.counters.refused += u64::from(reply.is_err());
        let reply = reply.map(|it| crate::contract::Reply::Data(Box::new(it)));
        self.say(append, Held::Reply(ticket, reply));
    }

    /// Whether a session has seen something of a placement of the dataset of which nothing was
    /// found: while a record moves, it may have written it there.
    fn may_miss_session(&self, spec: &DatasetSpec, how: &ReadHow, found: &[Found]) -> bool {
        let level = how.level.unwrap_or(spec.read_level);
        let has = |placement: PlacementId| {
            let mut records = found.iter().filter_map(|it| it.record.as_ref());
            self.may_hold(self.config.region, placement)
                || records.any(|it| it.placement == placement)
        };
        let placements = self.placements_of(spec);
        let mut seen = how.session.iter().map(|(stream, _)| stream.placement);
        ReadLevel::Session <= level && seen.any(|it| placements.contains(&it) && !has(it))
    }

    /// Makes one answer of all, or looks once more.
    fn end_search(
        &mut self,
        ticket: Ticket,
        search: Search,
    ) -> Result<Option<(u64, DataReply)>, Refusal> {
        let Search { command, round, found, failed, .. } = search;
        let DataCommand::Read { dataset, key, how } = &command else {
            unreachable!("only reads search")
        };
        let spec = self.dataset(dataset)?;
        // It may have come here meanwhile.
        let (append, here) = self.found_here(self.now, &spec, key, how);
        let all: Vec<Found> = found.into_iter().chain([here]).collect();
        let is_live = all.iter().any(|it| it.record.as_ref().is_some_and(Shown::is_live));
        if let Some(refusal) = failed
            && (!is_live || self.may_miss_session(&spec, how, &all))
        {
            return Err(refusal);
        }
        if !is_live && round < Self::LOOKS {
            self.begin_search(ticket, &spec, &command, round + 1)?;
            return Ok(None);
        }
        let mut session = how.session.clone();
        all.iter().for_each(|it| session.join(&it.session));
        let live = all.iter().filter_map(|it| it.record.clone()).filter(Shown::is_live);
        let live = youngest_first(live.collect()).into_iter().next();
        let record = live.or_else(|| all.iter().find_map(|it| it.record.clone()));
        let from = record.as_ref().map(|it| it.placement);
        let answered = all
            .iter()
            .find(|it| it.record.as_ref().map(|it| it.placement) == from && from.is_some());
        let answered = answered.or(all.last()).expect("this region has answered");
        let (region, staleness) = (answered.region, answered.staleness);
        let found = Found { record, region, asked: all.len(), staleness, session };
        Ok(Some((append, DataReply::Found(found))))
    }
}
