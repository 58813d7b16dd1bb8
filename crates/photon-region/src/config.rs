//! What a region must be told before it begins.
//! Must not read it from anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use crate::data::{DatasetSpec, Outside};
use crate::matching::Weights;
use crate::routes::Topology;

/// A point on the Earth, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// North is positive.
    pub latitude: f64,
    /// East is positive.
    pub longitude: f64,
}

impl Place {
    /// Returns the great-circle distance in kilometres (haversine, mean radius 6,371.0 km).
    #[must_use]
    pub fn distance_km(self, other: Self) -> f64 {
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_lat = (to - from) / 2.0;
        let half_lon = (other.longitude - self.longitude).to_radians() / 2.0;
        let chord = half_lat.sin().powi(2) + from.cos() * to.cos() * half_lon.sin().powi(2);
        2.0 * 6_371.0 * chord.sqrt().min(1.0).asin()
    }
}

/// What a region must be told. The same in every region but for `region`, `incarnation` and `seed`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which region this is.
    pub region: RegionId,
    /// Tells this log from one that the region lost earlier; drawn when the log is made.
    pub incarnation: u64,
    /// All regions of the planet, this one too, with their places.
    pub regions: BTreeMap<RegionId, Place>,
    /// The regions of each placement; `global` is always all of them.
    pub placements: BTreeMap<PlacementId, BTreeSet<RegionId>>,
    /// The datasets that the configuration declares; they cannot be changed otherwise.
    pub datasets: Vec<DatasetSpec>,
    /// The regions that vote when the planet is founded; if there is none, those that fit best.
    /// Meant to be the same in every region.
    pub voters: BTreeSet<RegionId>,
    /// The shape in which regions pass ops on; meant to be the same in every region.
    pub topology: Topology,
    /// What counts how much when an agent is chosen for a task.
    pub weights: Weights,
    /// The bounds of what this region takes on.
    pub limits: Limits,
    /// Where its randomness begins: another one in each life of the process.
    pub seed: u64,
}

impl Config {
    /// How many regions vote on a planet that has as many.
    const VOTERS_MAX: usize = 5;
    /// Regions that are nearer to each other may be lost together.
    const APART_KM: u64 = 250;

    /// Returns the regions that vote on what all agree on, when the planet is founded: an odd
    /// number, near to each other, but not so near that one mishap takes two of them.
    pub(crate) fn voters(&self) -> BTreeSet<RegionId> {
        if !self.voters.is_empty() {
            return self.voters.clone();
        }
        let count = match self.regions.len() {
            few @ 0..3 => few,
            3 | 4 => 3,
            _ => Self::VOTERS_MAX,
        };
        let km = |from: &RegionId, to: &RegionId| {
            self.regions[from].distance_km(self.regions[to]).round() as u64
        };
        let all = || self.regions.keys();
        let far = |it: &RegionId| all().map(|other| km(it, other)).sum::<u64>();
        let Some(center) = all().min_by_key(|it| (far(it), **it)) else { return BTreeSet::new() };
        let mut near: Vec<&RegionId> = all().collect();
        near.sort_by_key(|it| (km(center, it), **it));
        let mut voters: Vec<&RegionId> = Vec::new();
        for is_strict in [true, false] {
            for region in &near {
                let is_apart = |it: &&RegionId| Self::APART_KM <= km(it, region) || !is_strict;
                let is_new = !voters.contains(region) && voters.iter().all(is_apart);
                if is_new && voters.len() < count {
                    voters.push(region);
                }
            }
        }
        voters.into_iter().copied().collect()
    }
}

/// Bounds and times. What happens at each bound is said beside it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a worker may be silent before its task is offered again.
    pub lease_ttl: Duration,
    /// How long a claimed task may wait for its worker's first sign before it is offered again.
    pub pickup_ttl: Duration,
    /// For how long a region goes on as the home of its tasks when the others fall silent. Its
    /// heirs wait that long.
    pub tenure: Duration,
    /// How long an agent may be silent before it counts as offline.
    pub agent_silent_after: Duration,
    /// Attempts at a task; it fails after the last.
    pub attempts_max: u32,
    /// How long a task waits for an agent until it counts as one step more urgent.
    pub ageing: Duration,
    /// How long a task waits for its client to answer a worker; then it fails.
    pub pause_ttl: Duration,
    /// For how long a webhook is tried that does not take what it is told; then that is given up.
    pub webhook_retry_for: Duration,
    /// How long whoever tells a webhook may take; then it is told by whoever asks next.
    pub webhook_told_within: Duration,
    /// The longest pause between two tries to tell a webhook.
    pub webhook_pause_max: Duration,
    /// Commands that await a reply; more are refused.
    pub in_flight_max: usize,
    /// Tasks of this home that have not ended; more are refused.
    pub open_tasks_max: usize,
    /// Bytes of tasks in memory that have not ended, of every home; while there are more,
    /// submissions are refused.
    pub open_bytes_max: usize,
    /// Agents on the planet; more are refused.
    pub agents_max: usize,
    /// Bytes of all agents' cards and skills; more are refused.
    pub agent_bytes_max: usize,
    /// Bytes of one message; larger ones are refused.
    pub message_bytes_max: usize,
    /// Bytes of the notes of one attempt; what would exceed it is refused.
    pub task_bytes_max: usize,
    /// What this region does that is asked for a task that may not live in it, and that is asked by
    /// a region in which a task may not live.
    pub tasks_outside: Outside,
    /// How long an ended task is kept in memory at the most.
    pub retention: Duration,
    /// Bytes of ended tasks that are kept in memory; the oldest go first.
    pub kept_bytes_max: usize,
    /// Bytes of the messages of all topics; beyond it those that have the most forget the oldest.
    pub topic_bytes_max: usize,
    /// Bytes of ops of each stream that are kept in memory for peers; older ones are read back.
    pub recent_bytes_max: usize,
    /// Bytes of the log after which the state is written into it, so that older ops can go: this
    /// many at the least, and twice as many as the state.
    pub compact_after_bytes: usize,
    /// Bytes of one part of a state, short of one record that is larger.
    pub part_bytes_max: usize,
    /// How long ops are kept for regions that lack them, once none of these gets further, or the
    /// log has grown by what makes a state due; later they are sent the state.
    pub log_retention: Duration,
    /// How often what is held here is compared with what the next peer holds, to find damage.
    pub repair_every: Duration,
    /// Bytes of all records of datasets; while there are more, writes that add are refused.
    pub data_bytes_max: usize,
    /// Bytes of them in memory; what is more lies on pages, see [`Region::lay_away_to`].
    ///
    /// [`Region::lay_away_to`]: crate::Region::lay_away_to
    pub data_memory_max: usize,
    /// Bytes by which they may be above that, and an eighth of it, for a while, as a hand has to
    /// come round; beyond it writes that add are refused.
    pub data_memory_slack: usize,
    /// Bytes that are written to a record at once; more are refused.
    pub value_bytes_max: usize,
    /// Fields of one record; more are refused.
    pub fields_max: usize,
    /// Datasets of the planet; more are refused.
    pub datasets_max: usize,
    /// Conflicts of a dataset in a second, above which there is an alarm.
    pub conflict_alarm_per_second: u64,
}

impl Limits {
    /// Returns beyond how many bytes of records in memory writes that add are refused.
    #[must_use]
    pub fn data_memory_end(&self) -> usize {
        let slack = (self.data_memory_max / 8).saturating_add(self.data_memory_slack);
        self.data_memory_max.saturating_add(slack)
    }

    /// Whether `data_memory_max` is too little for as many records as there may be: something of
    /// each page stays in memory, about a fortieth of small records and more of larger ones.
    #[must_use]
    pub fn is_memory_scarce(&self) -> bool {
        self.data_memory_max < self.data_bytes_max / 32
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lease_ttl: Duration::from_secs(15),
            pickup_ttl: Duration::from_secs(5),
            tenure: Duration::from_secs(1),
            agent_silent_after: Duration::from_secs(15),
            attempts_max: 20,
            ageing: Duration::from_secs(60),
            pause_ttl: Duration::from_secs(7 * 24 * 3_600),
            webhook_retry_for: Duration::from_secs(24 * 3_600),
            webhook_told_within: Duration::from_secs(120),
            webhook_pause_max: Duration::from_secs(300),
            in_flight_max: 16_384,
            open_tasks_max: 100_000,
            open_bytes_max: 1 << 30,
            agents_max: 100_000,
            agent_bytes_max: 512 << 20,
            message_bytes_max: 1 << 20,
            task_bytes_max: 4 << 20,
            tasks_outside: Outside::Forward,
            retention: Duration::from_secs(24 * 3600),
            kept_bytes_max: 128 << 20,
            topic_bytes_max: 256 << 20,
            recent_bytes_max: 4 << 20,
            compact_after_bytes: 256 << 20,
            part_bytes_max: 128 << 10,
            log_retention: Duration::from_secs(3_600),
            repair_every: Duration::from_secs(30),
            data_bytes_max: 16 << 30,
            data_memory_max: 1 << 30,
            data_memory_slack: 1 << 20,
            value_bytes_max: 1 << 20,
            fields_max: 10_000,
            datasets_max: 1_000,
            conflict_alarm_per_second: 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_what_is_known_of_pages_would_fill_is_scarce() {
        assert!(!Limits::default().is_memory_scarce());
        let limits = Limits { data_bytes_max: 64 << 30, ..Limits::default() };
        assert!(limits.is_memory_scarce());
    }
}
