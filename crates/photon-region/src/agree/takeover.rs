//! How a region becomes the home of tasks that another one was the home of.
//!
//! First it waits until the tenure of the one before has surely lapsed. Then it asks the other
//! regions of each placement what they have, and takes in all of it that enough of them had: what
//! was acknowledged at `quorum` is among that. Then it goes on with the tasks where their logs end.
//! Must not decide who becomes a home.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{Log, PlacementId, RegionId, Seen};

use super::Agree;
use super::store::Addition;
use crate::ask::Asker;
use crate::charter::{Charter, Home};
use crate::codec::decode_event;
use crate::contract::{Answer, Question};
use crate::desk::Bell;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::task::{Event, Shard, TaskId};
use crate::tasks::task_record;

/// Shards that this region is to take over.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// The last decree that made it a home.
    upto: u64,
    /// When the tenure of those before has lapsed.
    lapsed_at: Duration,
    /// Of which placements, and what each of their regions had after that.
    claims: BTreeMap<PlacementId, BTreeMap<RegionId, Seen>>,
    /// When others are asked.
    ask_at: Duration,
    /// Until when regions are waited for that are not needed.
    patient_until: Duration,
}

impl Takeover {
    /// How often others are asked until they answer.
    const ASK_EVERY: Duration = Duration::from_millis(400);
    /// How long regions are waited for that are not needed, so that as little as possible of what
    /// was seen of a task is taken back.
    const PATIENCE: Duration = Duration::from_millis(500);

    pub(super) fn next_deadline(&self) -> Duration {
        self.ask_at
    }
}

/// Returns how many others have to be heard, so that one of them had what a majority had.
fn needed(members: usize) -> usize {
    members - (members / 2 + 1)
}

impl Region {
    /// Follows the homes as they have become: lets go of what this region is the home of no more,
    /// and begins to take over what it has become the home of.
    pub(super) fn homes_changed(&mut self, before: &Charter) {
        let here = self.config.region;
        let is_lost = |(placement, shard): &(PlacementId, Shard)| {
            let is_here = |it: &Home| it.region == here;
            let was = before.home(*placement, *shard);
            let is = self.charter.home(*placement, *shard);
            was.filter(is_here).is_some() && was != is
        };
        let all = self.charter.homes().map(|(placement, _)| placement);
        let all = all.flat_map(|it| (0..Shard::COUNT).map(move |shard| (it, Shard(shard))));
        let lost: BTreeSet<(PlacementId, Shard)> = all.filter(is_lost).collect();
        if !lost.is_empty() {
            self.let_go(&lost);
        }
        self.begin_to_take_over();
        // A life before this one may have taken them over already.
        let (charter, active) = (self.charter.clone(), self.agree.active);
        self.resume_tasks(|(placement, shard)| {
            let is = charter.home(placement, shard).filter(|it| it.region == here);
            let is_taken = is.is_some_and(|it| it.since <= active);
            is_taken && is != before.home(placement, shard)
        });
    }

    /// Begins to take over what this region is the home of and has not taken over yet.
    pub(crate) fn begin_to_take_over(&mut self) {
        self.look_at_own_shards();
        let (here, now, limits) = (self.config.region, self.now.mono, &self.config.limits);
        let upto = self.agree.takeover.as_ref().map_or(self.agree.active, |it| it.upto);
        let mut gained: BTreeMap<PlacementId, u64> = BTreeMap::new();
        for (placement, homes) in self.charter.homes() {
            let since = homes.at(here).map(|it| homes.of(it).since).max().unwrap_or(0);
            if upto < since {
                gained.insert(placement, since);
            }
        }
        let Some(upto) = gained.values().max().copied() else { return };
        let lapsed_at = now + limits.tenure + limits.tenure / 10;
        #[cfg(feature = "planted-bugs")]
        let is_hasty = self.planted == Some(crate::PlantedBug::TakeOverEarly);
        #[cfg(feature = "planted-bugs")]
        let lapsed_at = if is_hasty { now } else { lapsed_at };
        let patient_until = lapsed_at + Takeover::PATIENCE;
        let former = self.agree.takeover.take();
        let mut claims = former.map(|it| it.claims).unwrap_or_default();
        gained.into_keys().for_each(|it| drop(claims.insert(it, BTreeMap::new())));
        let takeover = Takeover { upto, lapsed_at, claims, ask_at: lapsed_at, patient_until };
        self.agree.takeover = Some(takeover);
    }

    fn look_at_own_shards(&mut self) {
        let (here, active) = (self.config.region, self.agree.active);
        let own = self.charter.homes().map(|(placement, homes)| {
            let all: Vec<Shard> = homes.at(here).collect();
            let is_taken = |it: &Shard| homes.of(*it).since <= active;
            let taken: Vec<Shard> = all.iter().copied().filter(is_taken).collect();
            (placement, if taken.is_empty() { all } else { taken })
        });
        self.agree.own = own.filter(|(_, it)| !it.is_empty()).collect();
    }

    /// Returns how many shards it is the home of and has taken over: it decides about those.
    pub(crate) fn shards_taken(&self) -> usize {
        let (here, active) = (self.config.region, self.agree.active);
        let taken = self
            .charter
            .homes()
            .map(|(_, homes)| homes.at(here).filter(|it| homes.of(*it).since <= active).count());
        taken.sum()
    }

    pub(super) fn go_on_taking_over(&mut self) {
        let now = self.now.mono;
        let Some(takeover) = self.agree.takeover.as_mut().filter(|it| it.ask_at <= now) else {
            return;
        };
        takeover.ask_at = now + Takeover::ASK_EVERY;
        let upto = takeover.upto;
        let mut questions = Vec::new();
        for (placement, claims) in &takeover.claims {
            let members = self.config.placements.get(placement).into_iter().flatten();
            let others = members.filter(|it| **it != self.config.region);
            let silent = others.filter(|it| !claims.contains_key(it));
            questions.extend(silent.map(|it| (*it, *placement)));
        }
        for (to, placement) in questions {
            if self.is_linked(to) {
                let (asker, question) =
                    (Asker::Takeover(placement, upto), Question::Had(placement));
                self.ask(to, asker, question, Takeover::ASK_EVERY);
            }
        }
        self.finish_takeover();
    }

    /// Takes in what a region had of a placement.
    pub(crate) fn told_of_takeover(
        &mut self,
        (placement, upto): (PlacementId, u64),
        from: RegionId,
        answer: Result<Answer, Refusal>,
    ) {
        let Ok(Answer::State(_, seen)) = answer else { return };
        // What it had before a later home lost its tenure says too little.
        let takeover = self.agree.takeover.as_mut().filter(|it| it.upto == upto);
        let Some(claims) = takeover.and_then(|it| it.claims.get_mut(&placement)) else { return };
        claims.entry(from).or_insert(seen);
        self.finish_takeover();
    }

    /// Goes on with what it has become the home of, once it has what others had.
    pub(crate) fn finish_takeover(&mut self) {
        let now = self.now.mono;
        let Some(takeover) = self.agree.takeover.as_ref().filter(|it| it.lapsed_at <= now) else {
            return;
        };
        let is_ready = |(placement, claims): (&PlacementId, &BTreeMap<RegionId, Seen>)| {
            let Some(members) = self.config.placements.get(placement) else { return true };
            let have = |seen: &&Seen| self.store.seen().covers(seen);
            let count = claims.values().filter(have).count();
            let others = members.iter().filter(|it| **it != self.config.region);
            let awaited = others.filter(|it| self.is_linked(**it) && self.charter.is_up(**it));
            let is_patient = now < takeover.patient_until;
            let has_all = awaited.into_iter().all(|it| claims.get(it).as_ref().is_some_and(have));
            let is_whole = !self.may_have_lost(*placement);
            is_whole && needed(members.len()) <= count && (has_all || !is_patient)
        };
        if !takeover.claims.iter().all(is_ready) || self.check_disk().is_err() {
            return;
        }
        let upto = takeover.upto;
        let placements: BTreeSet<PlacementId> = takeover.claims.keys().copied().collect();
        let former = std::mem::replace(&mut self.agree.active, upto);
        self.agree.takeover = None;
        self.agree.keep_active(upto);
        self.look_at_own_shards();
        self.keep(&Addition { active: Some(upto), ..Addition::default() });
        let charter = self.charter.clone();
        self.resume_tasks(|(placement, shard)| {
            let home = charter.home(placement, shard);
            placements.contains(&placement) && home.is_some_and(|it| former < it.since)
        });
        self.dispatch_all();
        self.ring(&Bell::Home);
    }

    /// Takes up the tasks of some shards, as far as this is their home.
    pub(crate) fn resume_tasks(&mut self, of: impl Fn((PlacementId, Shard)) -> bool) {
        let open = self.tasks.iter().filter(|(_, task)| !task.state.is_terminal());
        let fit = open.filter(|(id, task)| of((task.placement, id.shard())));
        let fit: Vec<TaskId> = fit.map(|(id, _)| id).collect();
        fit.into_iter().for_each(|id| self.resume_task(id));
    }

    /// Ends a task as its last worker has ended it at an earlier home, if nobody has claimed it
    /// since: what came too late to count is still true. Says whether it did.
    pub(crate) fn adopt_end(&mut self, id: TaskId) -> bool {
        let task = self.tasks.get(id).filter(|it| !it.state.is_terminal());
        let Some(task) = task else { return false };
        let (placement, last) = (task.placement, task.token);
        let log = self.store.log(&task_record(placement, id));
        let fits = |token| token == last;
        #[cfg(feature = "planted-bugs")]
        let is_planted = self.planted == Some(crate::PlantedBug::IgnoreEpoch);
        #[cfg(feature = "planted-bugs")]
        let fits = |token| fits(token) || is_planted;
        let beside = log.into_iter().flat_map(Log::beside);
        let end = beside.filter_map(|(_, entry)| match decode_event(&entry.bytes) {
            Ok(Event::Ended { token, outcome, message }) if token.is_some() && fits(token) => {
                Some((token, outcome, message))
            }
            Ok(_) | Err(_) => None,
        });
        let Some((token, outcome, message)) = end.last() else { return false };
        let may_end = self.may_decide(id, placement) && self.check_disk().is_ok();
        if may_end {
            self.end(id, token, outcome, message);
        }
        may_end
    }

    /// Tells a region that takes over what is durable here of a placement.
    pub(crate) fn tell_what_it_had(&self, placement: PlacementId) -> Seen {
        let streams = self.streams.iter().filter(|(stream, _)| stream.placement == placement);
        streams.map(|(stream, it)| (*stream, it.durable)).collect()
    }
}

impl Agree {
    fn keep_active(&mut self, active: u64) {
        match self.group.as_mut() {
            Some(group) => group.activate(active),
            None => self.kept.active = active,
        }
    }
}
