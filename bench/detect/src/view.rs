//! What each node thinks of each other node, for detectors that know nothing of regions.
//! Must not know how they came to think so.

use std::collections::BTreeMap;

use crate::measure::Detection;

/// Verdicts on the same one count as one if there is less than this between them, in ms.
const APART_MS: u64 = 60_000;

/// Who is down, in whose eyes.
pub(crate) struct View {
    /// Since when, by who thinks so and of whom.
    down: Vec<Vec<Option<u64>>>,
    /// Nodes of each region.
    nodes: usize,
    downs: Vec<(u64, usize)>,
    region_downs: Vec<(u64, usize)>,
}

impl View {
    pub(crate) fn new(count: usize, regions: usize) -> Self {
        let (downs, region_downs) = (Vec::new(), Vec::new());
        Self { down: vec![vec![None; count]; count], nodes: count / regions, downs, region_downs }
    }

    fn region(&self, region: usize) -> std::ops::Range<usize> {
        region * self.nodes..(region + 1) * self.nodes
    }

    /// Takes in what `by` thinks of `of`.
    pub(crate) fn set(&mut self, now: u64, by: usize, of: usize, is_down: bool) {
        let was = self.down[by][of];
        self.down[by][of] = is_down.then(|| was.unwrap_or(now));
        if !is_down || was.is_some() {
            return;
        }
        self.downs.push((now, of));
        let region = of / self.nodes;
        if by / self.nodes != region
            && self.down[by][self.region(region)].iter().all(Option::is_some)
        {
            self.region_downs.push((now, region));
        }
    }

    /// Takes out which nodes were called down, and when.
    pub(crate) fn take_downs(&mut self) -> Vec<(u64, usize)> {
        std::mem::take(&mut self.downs)
    }

    /// Takes out in whose eyes all nodes of which regions were down, and since when.
    pub(crate) fn take_region_downs(&mut self) -> Vec<(u64, usize)> {
        std::mem::take(&mut self.region_downs)
    }

    /// Returns whether this is more than the last verdict said once more.
    pub(crate) fn is_new(last: &mut BTreeMap<usize, u64>, of: usize, at: u64) -> bool {
        last.insert(of, at).is_none_or(|last| last + APART_MS < at)
    }

    /// Says how soon each node knew that all nodes of a region are down that was lost at a time.
    pub(crate) fn detection(&self, lost: usize, at: u64) -> Detection {
        let mut detection = Detection::default();
        for region in (0..self.down.len() / self.nodes).filter(|it| *it != lost) {
            let times = self.region(region).map(|by| {
                let all: Option<Vec<_>> =
                    self.down[by][self.region(lost)].iter().copied().collect();
                all.and_then(|it| it.into_iter().max()).map(|it| it.saturating_sub(at))
            });
            detection.add_region(times.collect());
        }
        detection.end_failure();
        detection
    }
}
