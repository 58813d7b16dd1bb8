//! What is measured: how soon a loss is known, and what is believed wrongly.
//! Must not know which detector it is about.

use serde::Serialize;

/// How soon the loss of a region was known, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Detection {
    /// For each loss and healthy region: until most of its nodes knew.
    pub(crate) regions: Vec<f64>,
    /// For each loss: until the last healthy node knew.
    pub(crate) nodes: Vec<f64>,
    /// Healthy regions in which most nodes did not know at the end.
    pub(crate) missed: usize,
    last: f64,
}

impl Detection {
    /// Takes in when each node of a healthy region knew, if it did.
    pub(crate) fn add_region(&mut self, mut times: Vec<Option<u64>>) {
        times.sort_by_key(|it| it.unwrap_or(u64::MAX));
        match times[times.len() / 2] {
            Some(time) => self.regions.push(time as f64),
            None => self.missed += 1,
        }
        let last = times[times.len() - 1].map_or(f64::INFINITY, |it| it as f64);
        self.last = self.last.max(last);
    }

    pub(crate) fn end_failure(&mut self) {
        self.nodes.push(self.last);
        self.last = 0.0;
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.regions.extend(other.regions);
        self.nodes.extend(other.nodes);
        self.missed += other.missed;
    }

    pub(crate) fn summary(&self) -> Summary {
        let (regions, nodes) = (Quantiles::of(&self.regions), Quantiles::of(&self.nodes));
        Summary { losses: self.nodes.len(), regions, nodes, missed: self.missed }
    }
}

/// What is told of a `Detection`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) losses: usize,
    /// Until most nodes of a healthy region know, in ms.
    pub(crate) regions: Quantiles,
    /// Until the last healthy node knows, in ms; `null` if one did not in the time watched.
    pub(crate) nodes: Quantiles,
    pub(crate) missed: usize,
}

/// Quantiles in milliseconds; `None` where some never knew.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) max: Option<f64>,
}

impl Quantiles {
    fn of(times: &[f64]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.saturating_sub(1)).copied().filter(|it| it.is_finite())
        };
        Self { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

/// Why a node may have thought that a path is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spent {
    /// It was: the path was cut.
    Cut,
    /// All nodes of the region stood still.
    Paused,
    /// The node itself stood still.
    Observer,
    /// Neither: packets were lost or late.
    Loss,
}

/// Spells of one kind.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Spells {
    pub(crate) count: u64,
    pub(crate) mean_ms: f64,
}

impl Spells {
    fn add(&mut self, count: u64, ms: f64) {
        if 0 < count {
            let sum = self.mean_ms * self.count as f64 + ms * count as f64;
            self.count += count;
            self.mean_ms = sum / self.count as f64;
        }
    }
}

/// What was thought in hours in which no region was lost.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Quiet {
    pub(crate) hours: f64,
    /// Regions called down although one of their nodes ran all the time.
    pub(crate) false_downs: u64,
    /// Regions called down while all their nodes stood still.
    pub(crate) paused_downs: u64,
    /// Nodes called down (detectors that know nothing of regions).
    pub(crate) node_downs: u64,
    /// By node and region: paths called bad that were cut.
    pub(crate) cut: Spells,
    /// Paths called bad to regions whose nodes all stood still.
    pub(crate) paused: Spells,
    /// Paths called bad by a node that had stood still.
    pub(crate) observer: Spells,
    /// Paths called bad for lost or late packets.
    pub(crate) loss: Spells,
    /// Messages that were heard.
    pub(crate) heard: u64,
}

impl Quiet {
    pub(crate) fn add_bad(&mut self, spent: Spent, ms: u64) {
        let spells = match spent {
            Spent::Cut => &mut self.cut,
            Spent::Paused => &mut self.paused,
            Spent::Observer => &mut self.observer,
            Spent::Loss => &mut self.loss,
        };
        spells.add(1, ms as f64);
    }

    pub(crate) fn add_down(&mut self, is_paused: bool) {
        self.paused_downs += u64::from(is_paused);
        self.false_downs += u64::from(!is_paused);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.hours += other.hours;
        self.false_downs += other.false_downs;
        self.paused_downs += other.paused_downs;
        self.node_downs += other.node_downs;
        self.heard += other.heard;
        let pairs = [
            (&mut self.cut, other.cut),
            (&mut self.paused, other.paused),
            (&mut self.observer, other.observer),
            (&mut self.loss, other.loss),
        ];
        for (own, other) in pairs {
            own.add(other.count, other.mean_ms);
        }
    }
}
