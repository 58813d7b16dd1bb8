//! How a leader that is lost is replaced: those who vote try it in turns, so that no two of them
//! split the votes (Ongaro, 2014, section 3.4, has them wait for a random time instead).
//! Must not judge who is lost, nor count votes.

use std::cmp::Ordering;
use std::time::Duration;

use photon_state::RegionId;

use super::Agree;
use super::enrol::region_of;
use super::group::{Group, LogEnd};
use crate::region::Region;

/// What this region waits for to lead, while nobody does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// In which term: in the next one, all wait anew.
    term: u64,
    since: Duration,
    /// How long it waits beside the turns of others that come before it.
    waits: Duration,
    /// How many others came before it when that was looked at last.
    rank: u32,
    /// How many terms went by in which nobody has led.
    in_vain: u32,
    /// How often it has asked for votes in this one.
    tries: u32,
}

/// The last that was asked, of this region or by it.
#[derive(Debug, Default)]
pub(super) struct Asked(Option<Ask>);

/// A region asks for votes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) who: RegionId,
    pub(super) log: LogEnd,
    pub(super) at: Duration,
    pub(super) whose: Whose,
}

/// Who asks: this region, or another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Own,
    Others,
}

impl Ask {
    /// How long whoever asks has the votes before those who come after it: the way of the answer
    /// and of what follows it, or about as long.
    const HOLDS: Duration = Duration::from_millis(300);

    /// Whether it comes before one that is heard now. The newer log does, or nobody might win; of
    /// those alike the one that was heard first. Of two that ask before they have heard of each
    /// other the first by name goes on and the second has it go on: one of them gets three of four.
    fn precedes(&self, other: &Self) -> bool {
        let is_before = match (self.log.cmp(&other.log), self.whose) {
            (Ordering::Greater, _) => true,
            (Ordering::Less, _) => false,
            (Ordering::Equal, Whose::Own) => self.who < other.who,
            (Ordering::Equal, Whose::Others) => self.who != other.who,
        };
        is_before && other.at < self.at + Self::HOLDS
    }
}

impl Asked {
    /// How far those who heard the same one ask are apart.
    const APART: Duration = Duration::from_millis(200);

    /// Lets somebody else who could win ask for votes; says whether it is heard out.
    pub(super) fn hears_out(&mut self, ask: Ask) -> bool {
        let is_heard = !self.0.is_some_and(|it| it.precedes(&ask));
        if is_heard {
            self.0 = Some(ask);
        }
        is_heard
    }

    /// Returns until when whoever has `rank` others before it leaves the votes to who asked.
    fn until(&self, rank: u32) -> Duration {
        self.0.map_or(Duration::ZERO, |it| it.at + Turn::LASTS + Self::APART * rank)
    }
}

impl Turn {
    /// How long a turn is: a round trip over the longest path on Earth.
    const LASTS: Duration = Duration::from_millis(400);
    /// How long until somebody who got the votes must have been heard: they wait for disks, too.
    const LEADS_WITHIN: Duration = Duration::from_millis(800);
    /// How long who has asked lets others try it: not until the turn of one of them.
    const ASKS_AGAIN: Duration = Duration::from_millis(1_000);

    fn begun(term: u64, now: Duration, waits: Duration) -> Self {
        Self { term, since: now, waits, rank: 0, in_vain: 0, tries: 0 }
    }

    /// If somebody is gone that came before this region, it did before others, too: they all wait
    /// anew, or their turns would come at once.
    fn after(&self, rank: u32, now: Duration) -> Self {
        let since = if rank < self.rank { now } else { self.since };
        Self { since, rank, ..*self }
    }

    /// If a term was too short to get its votes, the next one is twice as long.
    fn of_next_term(&self, term: u64, now: Duration) -> Self {
        let begun = Self::begun(term, now, Self::LEADS_WITHIN * growth(self.in_vain));
        Self { in_vain: self.in_vain + 1, ..begun }
    }

    /// Whoever has asked lets others try it.
    fn tried(&self, now: Duration) -> Self {
        let waits = Self::ASKS_AGAIN * growth(self.tries);
        Self { since: now, waits, tries: self.tries + 1, ..*self }
    }

    /// Returns when it is its turn.
    fn comes(&self) -> Duration {
        self.since + Self::LASTS * self.rank + self.waits
    }
}

/// Whatever was too short once is twice as long the next time, and the time after that.
fn growth(times: u32) -> u32 {
    1 << times.min(2)
}

impl Region {
    /// Tries to lead if nobody does who is heard, and it is this region's turn.
    pub(super) fn replace_leader(&mut self) {
        let now = self.now.mono;
        let Some(group) = self.agree.group.as_ref() else { return };
        let leader = group.leader();
        let is_lost = self.has_lost_leader(group);
        if leader.is_some() && !is_lost {
            self.agree.turn = None;
            return;
        }
        let term = group.term();
        let first = group.conf().voters.iter().filter_map(|id| region_of(&self.config, *id)).min();
        // A leader may not have been heard yet, but when all begins there is none.
        let is_first = term == 0 && first == Some(self.config.region);
        let waits = if is_lost || is_first { Duration::ZERO } else { Turn::LASTS };
        let begun = Turn::begun(term, now, waits);
        let turn = match self.agree.turn {
            Some(turn) if turn.term == term => turn,
            Some(turn) => turn.of_next_term(term, now),
            None => begun,
        };
        let rank = self.rank(group);
        let turn = turn.after(rank, now);
        let is_due = turn.comes().max(self.agree.asked.until(rank)) <= now;
        self.agree.turn = Some(turn);
        let Some(group) = self.agree.group.as_mut() else { return };
        if is_lost {
            group.doubt_leader();
        }
        if is_due {
            let own =
                Ask { who: self.config.region, log: group.log_end(), at: now, whose: Whose::Own };
            if group.campaign() {
                self.agree.asked = Asked(Some(own));
            }
            self.agree.turn = Some(turn.tried(now));
        }
    }

    /// Whether there is a leader that cannot be reached, or does not lead. Whether others reach it
    /// is for them to say: it leads whoever votes, not all members.
    fn has_lost_leader(&self, group: &Group) -> bool {
        let leader = group.leader().filter(|it| *it != group.id());
        leader.and_then(|id| region_of(&self.config, id)).is_some_and(|it| {
            let is_cut = self.agree.detector.verdict(it).is_path_bad && group.is_quiet();
            it != self.config.region && (is_cut || group.is_left_alone())
        })
    }

    /// Returns how many that vote come before this region, of those that are heard.
    fn rank(&self, group: &Group) -> u32 {
        let voters = group.conf().voters.iter().filter(|id| Some(**id) != group.leader());
        let heard = voters.filter(|id| self.agree.hears_member(**id, self.now.mono));
        let regions = heard.filter_map(|id| region_of(&self.config, *id));
        let before = regions.filter(|it| *it < self.config.region).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }
}

impl Agree {
    /// Whether a member of the group is heard, under that name.
    fn hears_member(&self, id: u64, now: Duration) -> bool {
        self.allies.values().any(|it| it.id == Some(id) && it.is_heard(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn begun() -> Turn {
        Turn::begun(1, 100 * MS, Duration::ZERO)
    }

    fn ask(name: &str, index: u64, at: u32) -> Ask {
        let who = RegionId::try_from(name).expect("a name of a region");
        Ask { who, log: LogEnd { term: 1, index }, at: at * MS, whose: Whose::Others }
    }

    #[test]
    fn those_who_are_heard_have_their_turns_one_after_the_other() {
        let turn = |rank| begun().after(rank, 100 * MS);
        let times = [0, 1, 2].map(|rank| turn(rank).comes());
        assert_eq!(times, [100 * MS, 500 * MS, 900 * MS]);
        let anew = [1, 2, 3].map(|rank| turn(rank).after(rank - 1, 350 * MS).comes());
        assert_eq!(anew, [350 * MS, 750 * MS, 1_150 * MS], "the first is gone");
    }

    #[test]
    fn those_who_hear_somebody_ask_wait_until_it_leads() {
        let mut asked = Asked::default();
        assert!(asked.hears_out(ask("b", 1, 450)));
        let times = [850, 1_050, 1_250, 1_450].map(|it| it * MS);
        assert_eq!([0, 1, 2, 3].map(|rank| asked.until(rank)), times);
    }

    #[test]
    fn who_is_heard_first_has_the_votes_for_a_while() {
        let mut asked = Asked::default();
        assert!(asked.hears_out(ask("b", 1, 450)));
        assert!(!asked.hears_out(ask("a", 1, 460)), "b asked just now");
        assert!(!asked.hears_out(ask("c", 1, 470)), "b asked just now");
        assert!(asked.hears_out(ask("a", 1, 750)), "b did not make it");
    }

    #[test]
    fn of_two_who_ask_at_once_the_first_by_name_goes_on() {
        let own = Ask { whose: Whose::Own, ..ask("b", 1, 450) };
        assert!(Asked(Some(own)).hears_out(ask("a", 1, 460)));
        assert!(!Asked(Some(own)).hears_out(ask("c", 1, 460)));
    }

    #[test]
    fn whose_log_is_newer_is_heard_out_before_all_others() {
        let mut asked = Asked::default();
        assert!(asked.hears_out(ask("a", 1, 450)));
        assert!(asked.hears_out(ask("c", 2, 460)));
        assert!(!asked.hears_out(ask("b", 1, 470)), "it lacks what c has");
    }

    #[test]
    fn what_comes_to_nothing_is_given_ever_more_time() {
        let mut turn = begun();
        let terms = [2, 3, 4, 5].map(|term| {
            turn = turn.of_next_term(term, Duration::ZERO);
            turn.comes()
        });
        assert_eq!(terms, [800, 1_600, 3_200, 3_200].map(|it| it * MS));
        let again = begun().tried(Duration::ZERO);
        assert_eq!(
            [again, again.tried(Duration::ZERO)].map(|it| it.comes()),
            [1_000, 2_000].map(|it| it * MS)
        );
    }

    #[test]
    fn no_two_that_lost_a_leader_at_once_ask_at_the_same_time() {
        let mut times: Vec<Duration> = Vec::new();
        for rank in 0..4 {
            let mut turn = begun().after(rank, 100 * MS);
            for _ in 0..3 {
                let comes = turn.comes();
                times.push(comes);
                turn = turn.tried(comes);
            }
        }
        times.sort_unstable();
        let gaps = times.windows(2).map(|it| it[1] - it[0]);
        assert!(gaps.min() >= Some(200 * MS), "{times:?}");
    }
}
