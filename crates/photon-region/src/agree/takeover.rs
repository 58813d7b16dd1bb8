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
use crate::charter::{Charter, Handover, Home};
use crate::codec::decode_event;
use crate::desk::Bell;
use crate::question::{Answer, Question};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::task::{Event, Shard, TaskId};
use crate::tasks::task_record;

/// Shards of a placement that this region is to take over.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// The last decree that made it a home.
    upto: u64,
    /// When the tenure of those before has lapsed.
    lapsed_at: Duration,
    /// What the regions of the placement had after that.
    told: BTreeMap<RegionId, Seen>,
    /// What those before had when they let go, if their word is enough that they have.
    words: Option<BTreeMap<RegionId, Option<Seen>>>,
    /// When others are asked.
    ask_at: Duration,
    /// Until when regions are waited for that are not needed.
    patient_until: Duration,
}

impl Takeover {
    /// How often others are asked until they answer.
    const ASK_EVERY: Duration = Duration::from_millis(400);
    /// The same of those before: they follow a decree at about the same time.
    const ASK_WORD_EVERY: Duration = Duration::from_millis(50);
    /// How long an answer may take.
    const ANSWER_WITHIN: Duration = Duration::from_secs(1);
    /// How long regions are waited for that are not needed, so that as little as possible of what
    /// was seen of a task is taken back.
    const PATIENCE: Duration = Duration::from_millis(500);
    /// How long, after that, for what they have said to arrive.
    const ARRIVES_WITHIN: Duration = Duration::from_secs(1);

    pub(super) fn next_deadline(&self) -> Duration {
        self.ask_at
    }

    /// Returns whom to ask now for what, if anybody is to be asked.
    fn asks(&mut self, now: Duration, others: &BTreeSet<RegionId>) -> (Vec<RegionId>, Option<u64>) {
        if now < self.lapsed_at
            && let Some(words) = &self.words
        {
            self.ask_at = self.lapsed_at.min(now + Self::ASK_WORD_EVERY);
            let silent = words.iter().filter(|(_, word)| word.is_none()).map(|(it, _)| *it);
            return (silent.collect(), Some(self.upto));
        }
        self.ask_at = now + Self::ASK_EVERY;
        let silent = others.iter().filter(|it| !self.told.contains_key(it));
        (silent.copied().collect(), None)
    }

    /// Forgets what a region has said.
    pub(super) fn forget(&mut self, region: RegionId) {
        self.told.remove(&region);
    }

    /// Whether all who were home before have let go, and all that they had is here.
    fn is_handed_over(&self, here: &Seen) -> bool {
        let has = |word: &Option<Seen>| word.as_ref().is_some_and(|it| here.covers(it));
        self.words.as_ref().is_some_and(|words| words.values().all(has))
    }
}

/// Returns how many others have to be heard, so that one of them had what a majority had.
fn needed(members: usize) -> usize {
    members - (members / 2 + 1)
}

impl Region {
    /// Follows the homes as they have become: lets go of what this region is the home of no more,
    /// and begins to take over what it has become the home of.
    pub(super) fn homes_changed(&mut self, before: &Charter, handover: Handover) {
        let here = self.config.region;
        let agrees = |placement: &PlacementId| self.agrees_on(&self.charter, *placement);
        let is_lost = |(placement, shard): &(PlacementId, Shard)| {
            let is_here = |it: &Home| it.region == here;
            let was = before.home(*placement, *shard);
            let is = self.charter.home(*placement, *shard);
            was.filter(is_here).is_some() && (was != is || !agrees(placement))
        };
        let all = self.charter.homes().map(|(placement, _)| placement);
        let all = all.flat_map(|it| (0..Shard::COUNT).map(move |shard| (it, Shard(shard))));
        let lost: BTreeSet<(PlacementId, Shard)> = all.filter(is_lost).collect();
        if !lost.is_empty() {
            self.let_go(&lost);
        }
        self.begin_to_take_over(Some(before).filter(|_| handover == Handover::ByWord));
        // A life before this one may have taken them over already.
        let (charter, active) = (self.charter.clone(), self.agree.kept().active.clone());
        let newly: BTreeSet<PlacementId> = self
            .config
            .placements
            .keys()
            .copied()
            .filter(|it| self.agrees_on(&charter, *it) && !self.agrees_on(before, *it))
            .collect();
        self.resume_tasks(|(placement, shard)| {
            let is = charter.home(placement, shard).filter(|it| it.region == here);
            let upto = active.get(&placement).copied().unwrap_or(0);
            let is_taken = is.is_some_and(|it| it.since <= upto);
            is_taken && (is != before.home(placement, shard) || newly.contains(&placement))
        });
        self.dispatch_all();
        self.ring(&Bell::Home);
    }

    /// Begins to take over what this region is the home of and has not taken over yet; from homes
    /// whose word is enough, if it is told the charter `by_word` of until then.
    pub(crate) fn begin_to_take_over(&mut self, by_word: Option<&Charter>) {
        self.look_at_own_shards();
        let (here, now) = (self.config.region, self.now.mono);
        let mut gained: BTreeMap<PlacementId, (u64, BTreeSet<RegionId>)> = BTreeMap::new();
        for (placement, homes) in self.charter.homes() {
            let under_way = self.agree.takeovers.get(&placement).map(|it| it.upto);
            let upto = under_way.unwrap_or_else(|| self.agree.active(placement));
            let new: Vec<Shard> = homes.at(here).filter(|it| upto < homes.of(*it).since).collect();
            let Some(since) = new.iter().map(|it| homes.of(*it).since).max() else { continue };
            let former = |it: &Shard| by_word?.home(placement, *it).map(|home| home.region);
            let former = new.iter().filter_map(former).collect();
            gained.insert(placement, (since, former));
        }
        let tenure = self.config.limits.tenure;
        let lapsed_at = now + tenure + tenure / 10;
        #[cfg(feature = "planted-bugs")]
        let is_hasty = self.planted == Some(crate::PlantedBug::TakeOverEarly);
        #[cfg(feature = "planted-bugs")]
        let lapsed_at = if is_hasty { now } else { lapsed_at };
        for (placement, (upto, former)) in gained {
            // What is under way already waits for others.
            let is_first = !self.agree.takeovers.contains_key(&placement);
            let words = (is_first && by_word.is_some() && !former.contains(&here))
                .then(|| former.into_iter().map(|it| (it, None)).collect());
            let ask_at = if words.is_some() { now } else { lapsed_at };
            let patient_until = lapsed_at + Takeover::PATIENCE;
            let told = BTreeMap::new();
            let takeover = Takeover { upto, lapsed_at, told, words, ask_at, patient_until };
            self.agree.takeovers.insert(placement, takeover);
        }
    }

    /// Waits no longer than those who vote say that one has to.
    pub(super) fn look_at_lapses(&mut self) {
        if self.agree.takeovers.is_empty() {
            return;
        }
        let now = self.now.mono;
        let uptos: BTreeSet<u64> = self.agree.takeovers.values().map(|it| it.upto).collect();
        let lapses: BTreeMap<u64, Duration> = uptos
            .into_iter()
            .filter_map(|upto| Some((upto, self.lapsed_as_of(upto)?.max(now))))
            .collect();
        // Whoever gives a home up says all that it had, and that is worth waiting for.
        let takeovers = self.agree.takeovers.values_mut().filter(|it| it.words.is_none());
        for takeover in takeovers {
            if let Some(at) = lapses.get(&takeover.upto).filter(|at| **at < takeover.lapsed_at) {
                takeover.lapsed_at = *at;
                takeover.ask_at = takeover.ask_at.min(*at);
                takeover.patient_until = *at + Takeover::PATIENCE;
            }
        }
        self.go_on_taking_over();
    }

    fn look_at_own_shards(&mut self) {
        let here = self.config.region;
        let own = self.charter.homes().map(|(placement, homes)| {
            let all: Vec<Shard> = homes.at(here).collect();
            let active = self.agree.active(placement);
            let is_taken = |it: &Shard| homes.of(*it).since <= active;
            let taken: Vec<Shard> = all.iter().copied().filter(is_taken).collect();
            (placement, if taken.is_empty() { all } else { taken })
        });
        self.agree.own = own.filter(|(_, it)| !it.is_empty()).collect();
    }

    /// Iterates over the shards that this region is the home of and has taken over, with the epoch
    /// under which it is.
    pub fn taken_over(&self) -> impl Iterator<Item = (PlacementId, Shard, u32)> + '_ {
        self.charter.homes().flat_map(|(placement, homes)| {
            let active = self.agree.active(placement);
            let own = homes.at(self.config.region).map(move |shard| (shard, homes.of(shard)));
            let taken = own.filter(move |(_, home)| home.since <= active);
            taken.map(move |(shard, home)| (placement, shard, home.epoch))
        })
    }

    /// Returns how many of those it decides about: their placements are configured as agreed.
    pub(crate) fn shards_taken(&self) -> usize {
        let taken = self.taken_over();
        taken.filter(|(placement, ..)| self.agrees_on(&self.charter, *placement)).count()
    }

    pub(super) fn go_on_taking_over(&mut self) {
        let (here, now) = (self.config.region, self.now.mono);
        let mut questions = Vec::new();
        for (placement, takeover) in &mut self.agree.takeovers {
            if now < takeover.ask_at {
                continue;
            }
            let members = self.config.placements.get(placement).into_iter().flatten();
            let others = members.copied().filter(|it| *it != here).collect();
            let (whom, let_go) = takeover.asks(now, &others);
            let upto = takeover.upto;
            questions.extend(whom.into_iter().map(|to| (to, *placement, upto, let_go)));
        }
        if questions.is_empty() && self.agree.takeovers.is_empty() {
            return;
        }
        for (to, placement, upto, let_go) in questions {
            if self.is_linked(to) {
                let asker = Asker::Takeover { placement, upto, is_word: let_go.is_some() };
                let question = Question::Had { placement, let_go };
                self.ask(to, asker, question, Takeover::ANSWER_WITHIN);
            }
        }
        self.finish_takeovers();
    }

    /// Takes in what a region had of a placement.
    pub(crate) fn told_of_takeover(
        &mut self,
        (placement, upto, is_word): (PlacementId, u64, bool),
        from: RegionId,
        answer: Result<Answer, Refusal>,
    ) {
        let Ok(Answer::State(_, seen)) = answer else { return };
        // What it had before a later home lost its tenure says too little.
        let takeover = self.agree.takeovers.get_mut(&placement).filter(|it| it.upto == upto);
        let Some(takeover) = takeover else { return };
        if !is_word {
            takeover.told.entry(from).or_insert(seen);
        } else if let Some(word) = takeover.words.as_mut().and_then(|it| it.get_mut(&from)) {
            word.get_or_insert(seen);
        }
        self.finish_takeovers();
    }

    /// Goes on with what it has become the home of, once it has what others had.
    pub(crate) fn finish_takeovers(&mut self) {
        let all: Vec<PlacementId> = self.agree.takeovers.keys().copied().collect();
        let ready: Vec<PlacementId> =
            all.into_iter().filter(|it| self.has_what_it_needs(*it)).collect();
        if !ready.is_empty() && self.check_disk().is_ok() {
            ready.into_iter().for_each(|it| self.take_over(it));
            self.dispatch_all();
            self.ring(&Bell::Home);
        }
    }

    fn has_what_it_needs(&self, placement: PlacementId) -> bool {
        let now = self.now.mono;
        let Some(takeover) = self.agree.takeovers.get(&placement) else { return false };
        let Some(members) = self.config.placements.get(&placement) else { return true };
        if self.may_have_lost(placement) {
            return false;
        }
        if takeover.is_handed_over(self.store.seen()) {
            return true;
        }
        let have = |seen: &&Seen| self.store.seen().covers(seen);
        let count = takeover.told.values().filter(have).count();
        let others = members.iter().filter(|it| **it != self.config.region);
        // Whoever is heard may have told clients what nobody else knows, whatever is thought of it.
        let mut awaited =
            others.filter(|it| self.is_linked(**it) && self.agree.has_heard(**it, now));
        let has_all = awaited.all(|it| match takeover.told.get(it) {
            Some(told) => have(&told) || takeover.patient_until + Takeover::ARRIVES_WITHIN <= now,
            None => takeover.patient_until <= now,
        });
        takeover.lapsed_at <= now && has_all && needed(members.len()) <= count
    }

    fn take_over(&mut self, placement: PlacementId) {
        let Some(takeover) = self.agree.takeovers.remove(&placement) else { return };
        let (former, upto) = (self.agree.active(placement), takeover.upto);
        self.agree.activate(placement, upto);
        self.look_at_own_shards();
        let active = BTreeMap::from([(placement, upto)]);
        self.keep(&Addition { active, ..Addition::default() });
        let charter = self.charter.clone();
        self.resume_tasks(|(of, shard)| {
            let home = charter.home(of, shard);
            of == placement && home.is_some_and(|it| former < it.since)
        });
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
        // A home that works on a task that is asked of many goes on by what it knows itself.
        let is_many = task.fan().is_some();
        let fits = |token| token == last && !is_many;
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

    /// Tells a region that takes over what is durable here of a placement; or, if it asks for this
    /// region's word that it has let go as of a decree, all that will be durable with an append.
    pub(crate) fn tell_what_it_had(
        &self,
        placement: PlacementId,
        let_go: Option<u64>,
    ) -> (u64, Result<Answer, Refusal>) {
        let Some(upto) = let_go else {
            let streams = self.streams.iter().filter(|(stream, _)| stream.placement == placement);
            let durable = streams.map(|(stream, it)| (*stream, it.durable)).collect();
            return (0, Ok(Answer::State(None, durable)));
        };
        // A life that lost its disk may have forgotten what its word is about.
        if self.charter.index < upto || self.may_have_lost(placement) {
            return (0, Err(Refusal::HomeUnreachable { region: self.config.region }));
        }
        let seen = self.store.seen().iter().filter(|(stream, _)| stream.placement == placement);
        let seen = seen.map(|(stream, seq)| (*stream, seq)).collect();
        (self.appended(), Ok(Answer::State(None, seen)))
    }
}

impl Agree {
    /// Returns up to which decree this region has taken over what it became the home of.
    pub(crate) fn active(&self, placement: PlacementId) -> u64 {
        self.kept().active.get(&placement).copied().unwrap_or(0)
    }

    fn activate(&mut self, placement: PlacementId, upto: u64) {
        match self.group.as_mut() {
            Some(group) => group.activate(placement, upto),
            None => drop(self.kept.active.insert(placement, upto)),
        }
    }
}
