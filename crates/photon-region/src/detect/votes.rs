//! What follows from what is heard, and from what others say of it.
//! Must not be told that a region is down: every node counts the votes for itself.

use std::time::Duration;

use photon_state::RegionId;

use super::peer::Peer;
use super::{Change, Detector, Verdict};

impl Detector {
    /// Casts the votes of this node. A node that may have been stalled casts none.
    pub(super) fn vote(&mut self, now: Duration) {
        let is_judging = self.judges_at.is_none();
        let others = self.peers.iter().filter(|(region, _)| **region != self.region);
        let silent = others.filter(|(_, peer)| is_judging && peer.vote_at() <= now);
        self.silent = silent.map(|(region, _)| *region).collect();
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (RegionId, &Peer)> {
        let members = self.peers.iter().filter(|(_, peer)| peer.is_member);
        members.map(|(region, peer)| (*region, peer))
    }

    /// Counts the regions that vote against anyone; mostly few do.
    pub(super) fn voters(&self, now: Duration) -> usize {
        self.members().filter(|(it, _)| 0 < self.votes(now, *it)).count()
    }

    /// Counts the votes of all nodes of a region that are heard.
    fn votes(&self, now: Duration, region: RegionId) -> usize {
        let own = if region == self.region { self.silent.len() } else { 0 };
        self.peers.get(&region).map_or(own, |it| own + it.votes(now))
    }

    /// Judges one region, and returns what is thought differently of it.
    pub(super) fn judge(
        &mut self,
        now: Duration,
        region: RegionId,
        voters: usize,
    ) -> Option<Change> {
        let peer = self.peers.get(&region)?;
        let was = peer.verdict;
        let is_path_bad = region != self.region && self.is_cut(now, region);
        let is_down = self.is_outvoted(now, region, voters);
        #[cfg(feature = "planted-bugs")]
        let is_down = is_down || self.is_alone && is_path_bad;
        let is_up = !is_down && was.is_down && self.is_back(now, region);
        let condition = peer.load(now).map_or(was.condition, |it| it.condition);

        let peer = self.peers.get_mut(&region)?;
        let healed = !is_path_bad && was.is_path_bad;
        peer.healing = healed.then(|| peer.healing.unwrap_or(now));
        peer.rising = is_up.then(|| peer.rising.unwrap_or(now));
        let is_over =
            |since: Option<Duration>| since.is_some_and(|since| since + Self::RETURN_AFTER <= now);
        let is = Verdict {
            is_path_bad: is_path_bad || (was.is_path_bad && !is_over(peer.healing)),
            is_down: is_down || (was.is_down && !is_over(peer.rising)),
            condition,
        };
        peer.verdict = is;
        peer.healing = peer.healing.filter(|_| is.is_path_bad);
        peer.rising = peer.rising.filter(|_| is.is_down);
        (is != was).then_some(Change { region, was, is })
    }

    /// Returns whether this node does not hear the region, or is not heard there. While it may
    /// have been stalled it goes by what the other nodes of its region say: that it heard nobody,
    /// or that nobody heard it, may have been its own doing.
    fn is_cut(&self, now: Duration, region: RegionId) -> bool {
        let peer = &self.peers[&region];
        let is_told = |from, of| self.says_bad(now, from, of) == Some(true);
        let is_silent = peer.silent_at() <= now;
        if self.judges_at.is_none() {
            return is_silent || is_told(region, self.region);
        }
        (peer.verdict.is_path_bad && is_silent) || is_told(self.region, region)
    }

    /// Returns whether more than half of the members are cut off from the region.
    ///
    /// The region itself counts as a member that does not vote against itself: in a planet that is
    /// cut into halves, neither outvotes the other. That this node hears the region is one vote,
    /// not a veto: a region that only some reach is down for all or for none, whoever is asked. The
    /// minority that still reaches it sees that as well, from the votes that it hears.
    fn is_outvoted(&self, now: Duration, region: RegionId, voters: usize) -> bool {
        // Cheap to say, and mostly enough: each cut takes a vote of either side.
        let cut_max = voters + self.votes(now, region);
        self.majority <= cut_max && self.majority <= self.count(now, region, true)
    }

    /// Returns whether most of the other members that are heard are cut off from the region. Where
    /// most members are silent, those that live would else outvote each other.
    pub(crate) fn is_missed(&self, region: RegionId) -> bool {
        let others = self.members().filter(|(it, _)| *it != region).map(|(it, _)| it);
        let speaks = |it: &RegionId| self.says_bad(self.now, *it, region).is_some();
        let speaking: Vec<RegionId> = others.filter(speaks).collect();
        let is_cut = |it: &&RegionId| self.are_cut(self.now, **it, region) == Some(true);
        speaking.len() < 2 * speaking.iter().filter(is_cut).count()
    }

    /// Returns whether there is a sign of life, not just nobody left who votes.
    fn is_back(&self, now: Duration, region: RegionId) -> bool {
        let is_heard = region != self.region && now < self.peers[&region].silent_at();
        is_heard || self.count(now, region, false) >= self.majority
    }

    /// Counts the members of which it is known that they are, or are not, cut off from the region.
    fn count(&self, now: Duration, region: RegionId, is_cut: bool) -> usize {
        let others = self.members().filter(|(it, _)| *it != region);
        // Whoever has no vote cannot say of those that are silent that the two are cut off.
        let has_vote = self.peers.get(&region).is_some_and(|it| it.is_member);
        let speaks = |it| has_vote || self.says_bad(now, it, region).is_some();
        let speaking = others.filter(|(it, _)| speaks(*it));
        speaking.filter(|(it, _)| self.are_cut(now, *it, region) == Some(is_cut)).count()
    }

    /// Returns whether one of two regions says that it does not hear the other: who is not heard
    /// cannot be sent work, even if its own heartbeats come through. `None` if neither is known.
    fn are_cut(&self, now: Duration, one: RegionId, other: RegionId) -> Option<bool> {
        match (self.says_bad(now, one, other), self.says_bad(now, other, one)) {
            (None, None) => None,
            (there, back) => Some(there == Some(true) || back == Some(true)),
        }
    }

    /// Returns whether most nodes of region `from` whose word counts do not hear `of`; `None` if
    /// there is no such node.
    fn says_bad(&self, now: Duration, from: RegionId, of: RegionId) -> Option<bool> {
        let (mut bad, mut all) = self.peers.get(&from)?.say_bad(now, of);
        if from == self.region && self.judges_at.is_none() {
            bad += usize::from(self.silent.contains(&of));
            all += 1;
        }
        (0 < all).then_some(all < 2 * bad)
    }
}
