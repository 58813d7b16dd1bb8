//! One region as a node hears it: its nodes, and since when they are silent.
//! Must not know what others say of it.

use std::collections::BTreeMap;
use std::time::Duration;

use photon_state::RegionId;

use super::{Condition, Detector, Heartbeat, Load, Verdict};

/// The most nodes of one region that are told apart; further ones are not heard.
const NODES_MAX: usize = 64;
/// How long a silent node still counts as a sender: longer than any pause of a process that lives
/// (2 s), so that a pause does not change the timeout of the others.
const SENDER_FOR: Duration = Duration::from_secs(5);
/// When a silent node is forgotten, so that names of nodes may change.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// Nodes whose last signs lie within this fell silent together: two beats, and some jitter. What
/// takes a region away takes all its nodes; pauses of its nodes have nothing to do with each other.
const TOGETHER: Duration = Duration::from_millis(250);

/// How long a region may take to be heard at first: it may begin at the same time, and a link over
/// the longest path on Earth takes four round trips of 350 ms to be made.
const FIRST_WITHIN: Duration = Duration::from_secs(2);

/// Returns how long all of so many senders must be silent. With three, that all lose a beat and
/// its repetition by chance takes a fault of the path; one alone is silent for 300 ms whenever a
/// packet is lost twice or its process pauses.
fn timeout(senders: usize) -> Duration {
    match senders {
        0 | 1 => Duration::from_millis(900),
        2 => Duration::from_millis(600),
        3.. => Duration::from_millis(300),
    }
}

/// What a node said last, and when.
#[derive(Debug)]
pub(super) struct Node {
    /// When it was heard last, or its connection closed.
    at: Duration,
    is_closed: bool,
    is_judging: bool,
    load: Load,
    bad: Vec<RegionId>,
}

impl Node {
    /// Returns whether its word counts.
    fn is_fresh(&self, now: Duration) -> bool {
        !self.is_closed && now <= self.at + Detector::FRESH
    }
}

/// A region and what is thought of it.
#[derive(Debug)]
pub(super) struct Peer {
    /// Since when it is to be heard.
    since: Duration,
    /// How many nodes send, by its own word.
    senders: usize,
    nodes: BTreeMap<u16, Node>,
    /// Whether its votes count.
    pub(super) is_member: bool,
    pub(super) verdict: Verdict,
    /// Since when its path is good, while the verdict still says that it is bad.
    pub(super) healing: Option<Duration>,
    /// Since when too few say that it is down, while the verdict still says so.
    pub(super) rising: Option<Duration>,
}

impl Peer {
    pub(super) fn new(since: Duration) -> Self {
        Self {
            since,
            senders: 1,
            nodes: BTreeMap::new(),
            is_member: true,
            verdict: Verdict::default(),
            healing: None,
            rising: None,
        }
    }

    /// Begins to count its votes. It is not held to what was thought of it before.
    pub(super) fn enlist(&mut self) {
        if !self.is_member {
            (self.verdict.is_down, self.rising) = (false, None);
        }
        self.is_member = true;
    }

    /// Takes in a heartbeat with those of its votes that are about regions that are known, and
    /// returns whether a verdict may depend on it.
    pub(super) fn heard(&mut self, now: Duration, beat: &Heartbeat, bad: Vec<RegionId>) -> bool {
        if !self.nodes.contains_key(&beat.node) && NODES_MAX <= self.nodes.len() {
            return false;
        }
        self.senders = usize::from(beat.senders).max(1);
        let Heartbeat { is_judging, load, .. } = *beat;
        let node = Node { at: now, is_closed: false, is_judging, load, bad };
        let was = self.nodes.get(&beat.node);
        let is_news = was.is_none_or(|was| {
            was.is_closed
                || was.is_judging != is_judging
                || was.load.condition != load.condition
                || was.bad != node.bad
        });
        self.nodes.insert(beat.node, node);
        is_news || (self.verdict.is_path_bad && self.healing.is_none())
    }

    pub(super) fn closed(&mut self, now: Duration, node: Option<u16>) {
        let is_meant = |id: u16| node.is_none_or(|it| it == id);
        let open = self.nodes.iter_mut().filter(|(id, it)| is_meant(**id) && !it.is_closed);
        for (_, it) in open {
            it.at = now;
            it.is_closed = true;
        }
    }

    /// Lets go of nodes that are gone for good.
    pub(super) fn forget(&mut self, now: Duration) {
        self.nodes.retain(|_, node| now < node.at + FORGET_AFTER);
    }

    /// Returns when the path to it counts as bad if nothing more is heard.
    pub(super) fn silent_at(&self) -> Duration {
        self.timed_out(SENDER_FOR)
    }

    /// Returns when this node votes against it if nothing more is heard: only those of its nodes
    /// that fell silent together make the timeout shorter.
    pub(super) fn vote_at(&self) -> Duration {
        self.timed_out(TOGETHER)
    }

    /// Returns when its nodes have been silent for long enough, given that those count as senders
    /// that were heard at most `within` before the last.
    fn timed_out(&self, within: Duration) -> Duration {
        let Some(latest) = self.nodes.values().map(|it| it.at).max() else {
            return self.since + FIRST_WITHIN;
        };
        let open = self.nodes.values().filter(|it| !it.is_closed);
        let Some(last) = open.map(|it| it.at).max() else { return latest };
        let senders = self.nodes.values().filter(|it| last <= it.at + within).count();
        last + timeout(senders.min(self.senders))
    }

    /// Returns the times after `then` at which a verdict about it may change by itself.
    pub(super) fn deadlines(&self, then: Duration) -> impl Iterator<Item = Duration> {
        let silent = [self.silent_at(), self.vote_at()].into_iter().filter(move |at| then < *at);
        let healed = self.healing.map(|at| at + Detector::RETURN_AFTER);
        silent.chain(healed).chain(self.rising())
    }

    /// Returns when it counts as up again.
    pub(super) fn rising(&self) -> Option<Duration> {
        self.rising.map(|at| at + Detector::RETURN_AFTER)
    }

    /// Counts its nodes whose word counts: those that say that they do not hear `region`, and all.
    pub(super) fn say_bad(&self, now: Duration, region: RegionId) -> (usize, usize) {
        let judging = self.nodes.values().filter(|it| it.is_fresh(now) && it.is_judging);
        judging
            .fold((0, 0), |(bad, all), it| (bad + usize::from(it.bad.contains(&region)), all + 1))
    }

    /// Counts the votes of all its nodes.
    pub(super) fn votes(&self, now: Duration) -> usize {
        self.nodes.values().filter(|it| it.is_fresh(now)).map(|it| it.bad.len()).sum()
    }

    /// Returns what its nodes say of themselves: what most of them say, and their mean load.
    pub(super) fn load(&self, now: Duration) -> Option<Load> {
        let fresh: Vec<_> = self.nodes.values().filter(|it| it.is_fresh(now)).collect();
        if fresh.is_empty() {
            return None;
        }
        let most = |is: fn(Condition) -> bool| {
            fresh.len() < 2 * fresh.iter().filter(|it| is(it.load.condition)).count()
        };
        let used: usize = fresh.iter().map(|it| usize::from(it.load.used_permille)).sum();
        let mean = u16::try_from(used / fresh.len()).unwrap_or(u16::MAX);
        let condition = Condition {
            is_disk_slow: most(|it| it.is_disk_slow),
            is_overloaded: most(|it| it.is_overloaded),
            is_clock_off: most(|it| it.is_clock_off),
            is_draining: most(|it| it.is_draining),
        };
        Some(Load { condition, used_permille: mean })
    }
}
