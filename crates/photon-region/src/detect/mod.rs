//! Notices that a region has fallen silent: whether my path to it is bad, and whether it is down.
//! Must not know how heartbeats travel, nor what is done about a verdict.
//!
//! Two verdicts are kept apart, because they cost differently. *My path is bad* is cheap to say
//! and to take back, so each node says it alone and early: no new work goes that way. *Down* moves
//! homes, so it takes more than half of the members, and each asks for more before it votes.
//! *Degraded* is told by the region itself, never concluded from silence. `docs/detection.md` has
//! the figures.

mod peer;
#[cfg(test)]
mod tests;
mod votes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::RegionId;

use peer::Peer;

/// What a node tells every node of the other regions, and the other nodes of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which node of its region tells it.
    pub node: u16,
    /// How many nodes of its region send heartbeats, itself too.
    pub senders: u16,
    /// How it is doing.
    pub load: Load,
    /// Whether its votes count: not while it may itself have been what was silent.
    pub is_judging: bool,
    /// Its votes: the regions that it does not hear.
    pub bad: Vec<RegionId>,
}

/// How a node is doing, by its own word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// What is wrong with it, though it runs.
    pub condition: Condition,
    /// How much of what it can do is in use, in thousandths.
    pub used_permille: u16,
}

/// What is wrong with a node, or with most nodes of a region, that still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Its disk takes long to sync.
    pub is_disk_slow: bool,
    /// It is asked for more than it can do.
    pub is_overloaded: bool,
    /// Its clock is further from those of others than is allowed.
    pub is_clock_off: bool,
    /// It is being emptied, and wants no new work.
    pub is_draining: bool,
}

impl Condition {
    /// Returns whether anything is wrong: new work is better sent elsewhere.
    #[must_use]
    pub fn is_degraded(self) -> bool {
        self.is_disk_slow || self.is_overloaded || self.is_clock_off || self.is_draining
    }
}

/// What a node thinks of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// It does not hear the region, or is not heard there: no new work goes that way.
    pub is_path_bad: bool,
    /// More than half of the members say so: the region leaves maps, and its shards get new homes.
    pub is_down: bool,
    /// What most of the region's nodes say of themselves.
    pub condition: Condition,
}

impl Verdict {
    /// Returns whether work may be sent there directly.
    #[must_use]
    pub fn is_reachable(self) -> bool {
        !self.is_path_bad && !self.is_down
    }
}

/// A verdict that is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The region that it is about.
    pub region: RegionId,
    /// What was thought of it.
    pub was: Verdict,
    /// What is thought of it.
    pub is: Verdict,
}

/// Judges, for one node, all regions of the planet by their heartbeats.
///
/// Whoever runs it calls `tick` at `next_deadline`, then `beat`, and sends what that returns to all
/// nodes. What waits in the queues is best given to `heard` before `tick`.
#[derive(Debug)]
pub struct Detector {
    region: RegionId,
    node: u16,
    senders: u16,
    load: Load,
    /// All members, and those without a vote; the entry of this region holds its other nodes.
    peers: BTreeMap<RegionId, Peer>,
    /// More than half of the members.
    majority: usize,
    /// The votes of this node.
    silent: BTreeSet<RegionId>,
    /// When `tick` or anything else was called last.
    now: Duration,
    /// When it was to be called next, by its last word.
    due: Option<Duration>,
    /// When a verdict may change by itself; what is heard quietly makes that later only.
    judged_at: Option<Duration>,
    /// From when this node may judge again, if it may not.
    judges_at: Option<Duration>,
    /// Whether something was heard that a verdict may depend on.
    is_stirred: bool,
    /// When the next regular heartbeat is due.
    beat_at: Duration,
    /// When a heartbeat was due last.
    beaten: Option<Duration>,
    /// What the last heartbeat told: votes, and whether they count.
    told: (BTreeSet<RegionId>, bool),
    /// Whether it mistakes its own view for that of the majority.
    #[cfg(feature = "planted-bugs")]
    is_alone: bool,
}

impl Detector {
    /// How often a node tells that it lives: a third of the shortest timeout, so that two may be
    /// lost; with headers that is some 1 KB/s to each other node.
    pub const BEAT_EVERY: Duration = Duration::from_millis(100);
    /// The least time between two heartbeats, when votes change between the regular ones: they
    /// are gathered, because many regions may fall silent at once.
    pub const BEAT_GAP: Duration = Duration::from_millis(20);
    /// How late a tick may be before this node counts as stalled: with 100 ms of silence that are
    /// usual and 100 ms until the next tick, it still lies within the shortest timeout.
    pub const LATE: Duration = Duration::from_millis(100);
    /// How long a node that was stalled does not judge: a round trip over the longest path on Earth
    /// (350 ms), after which the others have heard it again and have said so.
    pub const GRACE: Duration = Duration::from_millis(400);
    /// How long a region must be heard without a gap before it counts as reachable again: work
    /// that goes back and forth costs more than half a second elsewhere.
    pub const RETURN_AFTER: Duration = Duration::from_millis(500);
    /// How long the word of a node counts: four beats missed, or one repeated by TCP over the
    /// longest path on Earth (350 ms).
    pub const FRESH: Duration = Duration::from_millis(500);

    /// Makes the detector of one node of `region`, of which `senders` send heartbeats.
    #[must_use]
    pub fn new(region: RegionId, node: u16, senders: u16) -> Self {
        Self {
            region,
            node,
            senders: senders.max(1),
            load: Load::default(),
            peers: BTreeMap::from([(region, Peer::new(Duration::ZERO))]),
            majority: 1,
            silent: BTreeSet::new(),
            now: Duration::ZERO,
            due: None,
            judged_at: None,
            judges_at: None,
            is_stirred: false,
            beat_at: Duration::ZERO,
            beaten: None,
            told: (BTreeSet::new(), true),
            #[cfg(feature = "planted-bugs")]
            is_alone: false,
        }
    }

    /// Says which regions are members: they are judged, and they judge. `others`, those that are
    /// agreed to be out or no members yet, are judged by the members; what this node alone thinks
    /// of a region never takes away its vote, or two halves of a planet could each outvote the
    /// other.
    pub fn observers(
        &mut self,
        now: Duration,
        members: &BTreeSet<RegionId>,
        others: &BTreeSet<RegionId>,
    ) {
        let now = self.pass(now);
        let own = BTreeSet::from([self.region]);
        let all = || members.iter().chain(others).chain(&own);
        self.peers.retain(|region, _| all().any(|it| it == region));
        for region in all() {
            let peer = self.peers.entry(*region).or_insert_with(|| Peer::new(now));
            let is_member = members.contains(region) || *region == self.region;
            match is_member {
                true => peer.enlist(),
                false => peer.is_member = false,
            }
        }
        self.silent.retain(|region| self.peers.contains_key(region));
        self.majority = self.members().count() / 2 + 1;
        self.is_stirred = true;
    }

    /// Plants the bug of a detector that mistakes its own view for that of the majority.
    #[cfg(feature = "planted-bugs")]
    pub(crate) fn judge_alone(&mut self, is_alone: bool) {
        self.is_alone = is_alone;
    }

    /// Says how this node is doing, and how many nodes of its region send.
    pub fn tell(&mut self, load: Load, senders: u16) {
        self.load = load;
        self.senders = senders.max(1);
    }

    /// Takes in a heartbeat. One of a region that is not known, or of this node, says nothing.
    pub fn heard(&mut self, now: Duration, from: RegionId, beat: &Heartbeat) {
        let now = self.pass(now);
        if from == self.region && beat.node == self.node {
            return;
        }
        let is_known = |it: &RegionId| self.peers.contains_key(it);
        let bad: Vec<_> =
            beat.bad.iter().copied().filter(is_known).take(self.peers.len()).collect();
        if let Some(peer) = self.peers.get_mut(&from) {
            self.is_stirred |= peer.heard(now, beat, bad);
        }
    }

    /// Takes in that the connection to a node, or to all nodes of a region, was closed. That node
    /// counts as silent at once, until it is heard again.
    pub fn closed(&mut self, now: Duration, from: RegionId, node: Option<u16>) {
        let now = self.pass(now);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.closed(now, node);
            self.is_stirred = true;
        }
    }

    /// Judges all regions, and returns what is thought differently of them.
    pub fn tick(&mut self, now: Duration) -> Vec<Change> {
        let now = self.pass(now);
        if self.due.is_some_and(|due| due + Self::LATE < now) {
            self.judges_at = Some(now + Self::GRACE);
        }
        self.judges_at = self.judges_at.filter(|at| now < *at);
        for peer in self.peers.values_mut() {
            peer.forget(now);
        }
        self.vote(now);
        let regions: Vec<_> = self.peers.keys().copied().collect();
        let voters = self.voters(now);
        let changes = regions.into_iter().filter_map(|it| self.judge(now, it, voters)).collect();
        self.is_stirred = false;
        self.judged_at = self.next_verdict(now);
        self.due = Some(self.next_deadline().max(now));
        changes
    }

    /// Returns what is thought of a region; of one that is not known, nothing bad.
    #[must_use]
    pub fn verdict(&self, region: RegionId) -> Verdict {
        self.peers.get(&region).map(|it| it.verdict).unwrap_or_default()
    }

    /// Returns what the nodes of a region that are heard say of their load, taken together.
    #[must_use]
    pub fn load(&self, region: RegionId) -> Option<Load> {
        self.peers.get(&region)?.load(self.now)
    }

    /// Returns when `tick` and `beat` are to be called next: at the latest 100 ms from the last
    /// heartbeat, and at once if it is past. What is heard may bring it forward.
    #[must_use]
    pub fn next_deadline(&self) -> Duration {
        if self.is_stirred {
            return self.now;
        }
        let times = self.judged_at.into_iter().chain(self.early_beat());
        times.fold(self.beat_at, Duration::min)
    }

    /// Returns the heartbeat that is due, if one is: each 100 ms, and once votes have changed.
    pub fn beat(&mut self, now: Duration) -> Option<Heartbeat> {
        let now = self.pass(now);
        let is_early = self.early_beat().is_some_and(|at| at <= now);
        if now < self.beat_at && !is_early {
            return None;
        }
        if self.beat_at <= now {
            let missed = (now - self.beat_at).as_nanos() / Self::BEAT_EVERY.as_nanos();
            let steps = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
            self.beat_at = match self.beaten {
                Some(_) => self.beat_at + Self::BEAT_EVERY * steps,
                None => now + Self::BEAT_EVERY,
            };
        }
        self.beaten = Some(now);
        self.told = (self.silent.clone(), self.judges_at.is_none());
        self.due = self.due.map(|_| self.next_deadline().max(now));
        Some(Heartbeat {
            node: self.node,
            senders: self.senders,
            load: self.load,
            is_judging: self.told.1,
            bad: self.told.0.iter().copied().collect(),
        })
    }

    /// Returns when a verdict changes after `now` if nothing more is heard.
    fn next_verdict(&self, now: Duration) -> Option<Duration> {
        let others = self.peers.iter().filter(|(region, _)| **region != self.region);
        let judged = others.flat_map(|(_, peer)| peer.deadlines(now));
        judged.chain(self.peers[&self.region].rising()).chain(self.judges_at).min()
    }

    /// Returns when a heartbeat is due that tells what has changed since the last one.
    fn early_beat(&self) -> Option<Duration> {
        let is_news = self.told.0 != self.silent || self.told.1 != self.judges_at.is_none();
        is_news.then(|| self.beaten.map_or(self.now, |at| at + Self::BEAT_GAP))
    }

    /// Takes the time in; it never goes back, whatever it is told.
    fn pass(&mut self, now: Duration) -> Duration {
        self.now = self.now.max(now);
        self.now
    }
}
