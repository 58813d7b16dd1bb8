//! One region in its imagined surroundings, and the map that all of them share.
//! Must not know of the net or of clients.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_region::data::DatasetSpec;
use photon_region::{Config, Limits, Place, Region, Topology};
use photon_state::{PlacementId, RegionId};

use crate::clock::{Clock, Micros};
use crate::disk::Disk;
use crate::faults::{Fault, Weather};
use crate::leaves::Leaves;
use crate::movers::placed_datasets;
use crate::records::draw_datasets;

/// A region with its disk and its clocks; dead while it has no machine.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) config: Config,
    pub(crate) machine: Option<Region>,
    /// Counts the lives: what was meant for an earlier one does not reach this one.
    pub(crate) life: u32,
    pub(crate) disk: Disk,
    /// What the present life has laid on pages.
    pub(crate) pages: Leaves,
    pub(crate) clock: Clock,
    /// When the machine wants to be woken.
    pub(crate) wanted: Micros,
    /// The earliest wake-up that is in the queue.
    pub(crate) queued: Micros,
    /// After how many more outputs it crashes.
    pub(crate) doomed: Option<u32>,
    /// Until when its process stands still, if it does.
    pub(crate) still_until: Option<Micros>,
    /// Until when the schedule keeps it from living.
    pub(crate) down_until: Micros,
    /// How many faults of the schedule leave its disk no room.
    pub(crate) fillings: u32,
}

impl Site {
    /// Makes a region that is yet to begin its first life.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            machine: None,
            life: 0,
            disk: Disk::default(),
            pages: Leaves::default(),
            clock: Clock::default(),
            wanted: Micros::MAX,
            queued: Micros::MAX,
            doomed: None,
            still_until: None,
            down_until: 0,
            fillings: 0,
        }
    }
}

/// The names and places of all regions; a site is an index into them.
#[derive(Debug)]
pub(crate) struct Atlas {
    pub(crate) ids: Vec<RegionId>,
    pub(crate) places: Vec<Place>,
    /// Each placement with its members, one bit for each site.
    pub(crate) placements: Vec<(PlacementId, u32)>,
    /// The datasets that every region is told of.
    pub(crate) datasets: Vec<DatasetSpec>,
    pub(crate) limits: Limits,
    /// The topology that each region is told: the same, but under some seeds.
    pub(crate) topologies: Vec<Topology>,
}

impl Atlas {
    /// How many regions there can be; a profile that asks for more gets as many.
    pub(crate) const SITES_MAX: usize = 20;
    /// Names whose tags differ, in the order of their text.
    const NAMES: [&'static str; Self::SITES_MAX] = [
        "amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty",
        "knoll", "larch", "marsh", "north", "ocean", "poplar", "quarry", "ridge", "shore",
        "tundra",
    ];

    /// Returns so many names of regions.
    pub(crate) fn names(count: usize) -> Vec<RegionId> {
        let name = |text: &&str| RegionId::try_from(*text).expect("a constant that parses");
        Self::NAMES[..count].iter().map(name).collect()
    }

    /// Draws a planet of regions, which are in the order of their names.
    pub(crate) fn draw(ids: Vec<RegionId>, weather: &Weather, rng: &mut fastrand::Rng) -> Self {
        let count = ids.len();
        let places = ids.iter().map(|_| Place {
            latitude: -55.0 + 125.0 * rng.f64(),
            longitude: -180.0 + 360.0 * rng.f64(),
        });
        let places = places.collect();
        let everywhere = (1_u32 << count) - 1;
        let mut placements = vec![(PlacementId::global(), everywhere)];
        for name in ["inner", "outer"].into_iter().take(rng.usize(0..=2)) {
            let members = rng.u32(..) & rng.u32(..) | 1 << rng.usize(0..count);
            let members = (members | 1 << rng.usize(0..count)) & everywhere;
            placements.push((name.try_into().expect("a constant that parses"), members));
        }
        let limits = draw_limits(weather, rng);
        let mut datasets = draw_datasets(&ids, &placements, rng);
        datasets.extend(placed_datasets(&placements));
        let topologies = draw_topologies(&ids, rng);
        Self { ids, places, placements, datasets, limits, topologies }
    }

    /// Returns the site of a region.
    pub(crate) fn site(&self, id: RegionId) -> usize {
        self.ids.binary_search(&id).expect("only regions of this planet are named")
    }

    /// Returns the members of a placement, one bit for each site.
    pub(crate) fn members(&self, id: PlacementId) -> u32 {
        self.placements.iter().find(|(it, _)| *it == id).map_or(0, |(_, members)| *members)
    }

    /// Whether data of a placement may live at a site.
    pub(crate) fn may_hold(&self, id: PlacementId, site: usize) -> bool {
        self.members(id) >> site & 1 == 1
    }

    /// Returns what a region is told before it begins.
    pub(crate) fn config(&self, site: usize, incarnation: u64, seed: u64) -> Config {
        let ids = |members: u32| {
            let all = self.ids.iter().enumerate();
            all.filter(|(it, _)| members >> it & 1 == 1).map(|(_, id)| *id).collect()
        };
        let placements: BTreeMap<PlacementId, BTreeSet<RegionId>> =
            self.placements.iter().map(|(id, members)| (*id, ids(*members))).collect();
        Config {
            region: self.ids[site],
            incarnation,
            regions: self.ids.iter().copied().zip(self.places.iter().copied()).collect(),
            placements,
            datasets: self.datasets.clone(),
            voters: std::collections::BTreeSet::new(),
            topology: self.topologies[site].clone(),
            weights: photon_region::Weights::default(),
            limits: self.limits.clone(),
            seed,
        }
    }
}

/// Times are shorter than in life, so that a run sees many leases lapse.
fn draw_limits(weather: &Weather, rng: &mut fastrand::Rng) -> Limits {
    let mut limits = Limits {
        lease_ttl: Duration::from_millis(rng.u64(1_500..4_000)),
        // A claim may take a second to the last region of a tree, and the answer to it.
        pickup_ttl: Duration::from_millis(rng.u64(1_500..3_000)),
        agent_silent_after: Duration::from_millis(rng.u64(2_500..6_000)),
        attempts_max: rng.u32(3..12),
        pause_ttl: Duration::from_millis(rng.u64(4_000..20_000)),
        webhook_told_within: Duration::from_millis(rng.u64(1_000..6_000)),
        webhook_pause_max: Duration::from_millis(rng.u64(1_000..8_000)),
        repair_every: Duration::from_millis(rng.u64(1_000..6_000)),
        ..Limits::default()
    };
    if 0.0 < weather.strength(Fault::Tight) {
        limits.in_flight_max = rng.usize(24..200);
        limits.open_tasks_max = rng.usize(4..40);
        limits.message_bytes_max = 4_000;
        limits.task_bytes_max = 16_000;
    }
    if rng.bool() {
        limits.compact_after_bytes = rng.usize(4_000..200_000);
        limits.log_retention = Duration::from_millis(rng.u64(500..8_000));
    }
    if rng.bool() {
        limits.part_bytes_max = rng.usize(0..30_000);
    }
    if rng.bool() {
        limits.recent_bytes_max = rng.usize(0..40_000);
    }
    if rng.bool() {
        // Most planets have few records: with much memory, none of them lies on pages.
        let max = [200, 20_000][rng.usize(0..2)];
        limits.data_memory_max = rng.usize(0..max);
        if rng.u32(0..4) == 0 {
            limits.data_memory_slack = rng.usize(0..40_000);
        }
    }
    limits
}

/// Under one seed in eight, each region is told what it likes.
fn draw_topologies(ids: &[RegionId], rng: &mut fastrand::Rng) -> Vec<Topology> {
    let common = draw_topology(ids, rng);
    let is_alike = rng.u32(0..8) != 0;
    let one = |_: &RegionId| if is_alike { common.clone() } else { draw_topology(ids, rng) };
    ids.iter().map(one).collect()
}

fn draw_topology(ids: &[RegionId], rng: &mut fastrand::Rng) -> Topology {
    let some = |rng: &mut fastrand::Rng| ids[rng.usize(0..ids.len())];
    match rng.u32(0..8) {
        0 | 1 => Topology::Mesh,
        2 => Topology::Star { hub: rng.bool().then(|| some(rng)) },
        3 => Topology::Ring,
        4 => {
            let told = ids.iter().filter(|_| rng.bool()).collect::<Vec<_>>();
            Topology::Tree { parents: told.into_iter().map(|it| (*it, some(rng))).collect() }
        }
        5 => {
            let group = |rng: &mut fastrand::Rng| (0..3).map(|_| some(rng)).collect();
            Topology::Hybrid { groups: (0..rng.u32(0..3)).map(|_| group(rng)).collect() }
        }
        _ => Topology::Auto,
    }
}

/// Picks one of the sites in a set, if there is any.
pub(crate) fn pick(set: u32, rng: &mut fastrand::Rng) -> Option<usize> {
    if set == 0 {
        return None;
    }
    let skipped = rng.u32(0..set.count_ones());
    let rest = (0..skipped).fold(set, |rest, _| rest & (rest - 1));
    Some(rest.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use photon_region::region_tag;

    use super::*;

    #[test]
    fn names_are_in_order_and_their_tags_differ() {
        let ids = Atlas::NAMES.map(|it| RegionId::try_from(it).unwrap());
        assert!(ids.is_sorted());
        assert_eq!(ids.map(region_tag).into_iter().collect::<BTreeSet<_>>().len(), ids.len());
    }

    #[test]
    fn every_member_of_a_set_is_picked_at_times() {
        let mut rng = fastrand::Rng::with_seed(1);
        let picked: BTreeSet<_> = (0..100).map(|_| pick(0b1011, &mut rng)).collect();
        assert_eq!(picked, BTreeSet::from([Some(0), Some(1), Some(3)]));
        assert_eq!(pick(0, &mut rng), None);
    }
}
