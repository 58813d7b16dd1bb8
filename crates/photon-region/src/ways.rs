//! Ways to other regions: directly, or through a third one while the path between two is bad.
//! Must not send anything, nor lead through a region that may not hold what goes there.

use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use crate::ask::{Asker, Asks};
use crate::contract::AtHome;
use crate::desk::Held;
use crate::question::Question;
use crate::refusal::Refusal;
use crate::region::Region;

impl Region {
    /// What a link counts whose round trip is not known.
    const UNKNOWN_TRIP: Duration = Duration::from_secs(1);

    /// Returns whom to turn to with what a region is to decide about a placement: the region itself
    /// while the path to it is good, or else the third region that makes the shortest way of two
    /// paths; nobody if there is none, or if the region is down.
    pub(crate) fn way_to(&self, region: RegionId, placement: PlacementId) -> Option<RegionId> {
        if !self.may_hold(region, placement) {
            return None;
        }
        if self.is_reachable(region) {
            return Some(region);
        }
        if self.agree.detector.verdict(region).is_down {
            return None;
        }
        let here = self.config.region;
        let trip = |it: Option<Duration>| it.unwrap_or(Self::UNKNOWN_TRIP);
        let ways = self.peers.iter().filter_map(|(third, peer)| {
            let second_trip = peer.linked.get(&region)?;
            let is_fit = *third != here
                && self.may_hold(*third, placement)
                && self.is_reachable(*third)
                && !self.agree.detector.verdict(*third).condition.is_clock_off;
            is_fit.then_some((trip(peer.round_trip) + trip(*second_trip), *third))
        });
        ways.min().map(|(_, third)| third)
    }

    /// Whether there is a way to the home of a task.
    pub(crate) fn has_way(&self, home: RegionId, ask: &AtHome) -> bool {
        let placement = self.charter.placement_of(ask.task());
        placement.is_some_and(|it| self.way_to(home, it).is_some())
    }

    /// Asks the home of a task, or has it asked by the region that the way leads through.
    pub(crate) fn ask_home(&mut self, home: RegionId, asker: Asker, ask: AtHome) {
        let placement = self.charter.placement_of(ask.task());
        let way = placement.and_then(|it| self.way_to(home, it)).unwrap_or(home);
        let decree = self.charter.index;
        let question = if way == home {
            Question::Task(ask, decree)
        } else {
            self.counters.detoured += 1;
            Question::Pass(ask, decree)
        };
        self.ask(way, asker, question, Asks::ANSWER_WITHIN);
    }

    /// Asks the home of a task for a region to which the path is bad from there. Nobody passes on
    /// what was passed on: a third region that cannot reach the home says so.
    pub(crate) fn pass_on(&mut self, (from, number): (RegionId, u64), ask: AtHome, decree: u64) {
        let Ok(home) = self.home_of(ask.task()) else {
            let refusal = Refusal::NoSuchTask(ask.task());
            return self.say(0, Held::Answer(from, number, Err(refusal)));
        };
        if home == self.config.region || self.charter.index < decree {
            return self.on_task_asked((from, number), ask, decree);
        }
        if let Err(refusal) = self.may_pass_on(from, home, &ask) {
            return self.say(0, Held::Answer(from, number, Err(refusal)));
        }
        self.counters.passed_on += 1;
        let decree = self.charter.index;
        let asker = Asker::Region(from, number);
        self.ask(home, asker, Question::Task(ask, decree), Asks::ANSWER_WITHIN);
    }

    fn may_pass_on(&self, from: RegionId, home: RegionId, ask: &AtHome) -> Result<(), Refusal> {
        let task = ask.task();
        let placement = self.charter.placement_of(task).ok_or(Refusal::NoSuchTask(task))?;
        if !self.may_ask(from, ask) || !self.may_hold(self.config.region, placement) {
            return Err(Refusal::NoSuchTask(task));
        }
        if !self.is_reachable(home) {
            return Err(Refusal::HomeUnreachable { region: home });
        }
        // It may have been asked before, over the path that is bad now: nobody says it was not.
        if self.config.limits.in_flight_max <= self.in_flight() {
            return Err(Refusal::HomeUnreachable { region: home });
        }
        Ok(())
    }
}
