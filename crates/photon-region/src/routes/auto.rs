//! The topology `auto`: for each origin a tree that crosses oceans seldom and loses little time.
//! Must not choose otherwise than every other region that knows the same.
//!
//! The fastest tree alone would be a mesh: a direct link is nearly always the fastest, so that a
//! far origin would send the same bytes over the ocean for every region there. So each region is
//! fed by the **nearest** region from which ops come little later than over the fastest way.

use super::layout::{Edges, fastest};
use super::{Map, Sends};

/// How much later than over the fastest way ops may come: this share of it,
const LATER_SHARE: u64 = 4;
/// and this many microseconds.
const LATER_MICROS: u64 = 10_000;
/// To how many regions one sends the ops of one origin; a region that has no other link is sent
/// them all the same.
const FEEDS_MAX: usize = 6;

/// Returns who sends to whom the ops of a root.
pub(super) fn tree(map: &Map, group: &[usize], up: &Edges, root: usize) -> Sends {
    // Whoever comes later on the fastest way has a link to somebody who came before.
    let (_, order) = fastest(map, group, up, root);
    // Who has the ops, when, and how many each feeds.
    let mut arrived: Vec<(usize, u64, usize)> = vec![(root, 0, 0)];
    let mut sends = Vec::new();
    for (soonest, to) in order.into_iter().skip(1) {
        let latest = soonest + soonest / LATER_SHARE + LATER_MICROS;
        let linked = arrived.iter().enumerate().filter(|(_, (from, ..))| up.has(*from, to));
        let choice = linked.map(|(index, (from, at, feeds))| {
            let (at, is_full) = (at + map.hop(*from, to), FEEDS_MAX <= *feeds);
            // The nearest of those in time; else the soonest that has room; else the soonest.
            let far = if at <= latest && !is_full { map.round_trip(*from, to) } else { at };
            ((is_full, latest < at, far), at, *from, index)
        });
        let (_, at, from, index) = choice.min().expect("somebody who came before has a link");
        arrived.push((to, at, 0));
        arrived[index].2 += 1;
        sends.push((from, to));
    }
    sends.sort_unstable();
    sends
}
