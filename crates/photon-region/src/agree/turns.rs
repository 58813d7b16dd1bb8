//! How a leader that is lost is replaced: those who vote try it in turns, so that no two of them
//! split the votes (Ongaro, 2014, section 3.4, has them wait for a random time instead).
//! Must not judge who is lost, nor count votes.

use std::time::Duration;

use photon_state::RegionId;

use super::enrol::region_of;
use crate::region::Region;

/// What this region waits for to lead, while nobody does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// In which term: in the next one, all wait anew.
    term: u64,
    since: Duration,
    /// How many turns it lets pass, beside those of others that come before it.
    passes: u32,
    /// Who asked for votes last, and when; itself, too.
    asked: Option<(RegionId, Duration)>,
}

impl Turn {
    /// How long a turn is: two round trips over the longest path on Earth. Votes that are split
    /// cost more.
    const LASTS: Duration = Duration::from_millis(400);
    /// How long somebody who asks has the votes before those who come later in turn: longer than
    /// two that ask at the same time do not hear of each other.
    const PRECEDES: Duration = Duration::from_millis(200);

    /// Returns when it is the turn of whoever has `rank` others before it.
    fn comes(&self, rank: u32) -> Duration {
        let own = self.since + Self::LASTS * (rank + self.passes);
        own.max(self.asked.map_or(own, |(_, at)| at + Self::LASTS))
    }

    /// Lets somebody else who could win ask for votes; says whether it is heard out.
    pub(super) fn hears_out(&mut self, who: RegionId, now: Duration) -> bool {
        let is_before = |(it, at): (RegionId, Duration)| it < who && now < at + Self::PRECEDES;
        let is_heard = !self.asked.is_some_and(is_before);
        if is_heard {
            self.asked = Some((who, now));
        }
        is_heard
    }
}

impl Region {
    /// Tries to lead if nobody does who is heard, and it is this region's turn.
    pub(super) fn replace_leader(&mut self) {
        let (here, now) = (self.config.region, self.now.mono);
        let leader = self.agree.group.as_ref().and_then(|it| it.leader());
        let is_lost = self.has_lost_leader();
        if let Some(group) = self.agree.group.as_mut().filter(|_| is_lost) {
            group.doubt_leader();
        }
        let group = self.agree.group.as_ref().filter(|_| is_lost || leader.is_none());
        let Some(group) = group else {
            self.agree.turn = None;
            return;
        };
        let term = group.term();
        let former = leader.and_then(|id| region_of(&self.config, id));
        let voters = group.conf().voters.iter().filter_map(|id| region_of(&self.config, *id));
        let may_lead = |it: &RegionId| *it == here || self.agree.hears(*it, now);
        let before = voters.clone().filter(|it| *it < here && Some(*it) != former && may_lead(it));
        let rank = u32::try_from(before.count()).unwrap_or(u32::MAX);
        let is_first = voters.min() == Some(here);
        // Somebody may have got the votes and not be heard yet; not when all begins.
        let passes = u32::from(leader.is_none() && !(term == 0 && is_first));
        let begun = Turn { term, since: now, passes, asked: None };
        let turn = self.agree.turn.filter(|it| it.term == term).unwrap_or(begun);
        let is_due = turn.comes(rank) <= now;
        let tried = Turn { passes: 2, asked: Some((here, now)), ..begun };
        self.agree.turn = Some(if is_due { tried } else { turn });
        if let Some(group) = self.agree.group.as_mut().filter(|_| is_due) {
            group.campaign();
        }
    }

    /// Whether there is a leader that cannot be reached, or does not lead.
    fn has_lost_leader(&self) -> bool {
        let Some(group) = self.agree.group.as_ref().filter(|it| !it.is_leader()) else {
            return false;
        };
        let leader = group.leader().and_then(|id| region_of(&self.config, id));
        leader.is_some_and(|it| {
            let verdict = self.agree.detector.verdict(it);
            it != self.config.region && (!verdict.is_reachable() || group.is_left_alone())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn begun(passes: u32) -> Turn {
        Turn { term: 1, since: 100 * MS, passes, asked: None }
    }

    fn named(name: &str) -> RegionId {
        RegionId::try_from(name).expect("a name of a region")
    }

    #[test]
    fn those_who_are_heard_have_their_turns_one_after_the_other() {
        let times = [0, 1, 2].map(|rank| begun(0).comes(rank));
        assert_eq!(times, [100 * MS, 500 * MS, 900 * MS]);
        assert_eq!(begun(1).comes(0), 500 * MS, "somebody may have been elected");
    }

    #[test]
    fn who_hears_somebody_ask_waits_for_one_turn() {
        let mut turn = begun(0);
        assert!(turn.hears_out(named("b"), 450 * MS));
        assert_eq!([1, 2].map(|rank| turn.comes(rank)), [850 * MS, 900 * MS]);
    }

    #[test]
    fn of_two_who_ask_at_once_the_first_by_name_gets_the_votes() {
        let mut turn = begun(0);
        assert!(turn.hears_out(named("b"), 450 * MS));
        assert!(!turn.hears_out(named("c"), 500 * MS), "b asked just now");
        assert!(turn.hears_out(named("a"), 500 * MS), "it comes before b");
        assert!(!turn.hears_out(named("b"), 600 * MS));
        assert!(turn.hears_out(named("b"), 700 * MS), "a did not make it");
    }
}
