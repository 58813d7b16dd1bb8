//! What is known of the links of a planet: which are up, and how long each round trip takes.
//! Must not know which topology is asked for, nor what a stream is.

use std::collections::BTreeMap;
use std::time::Duration;

use photon_state::RegionId;

use crate::config::Place;

/// All pairs of regions, by their places in the order of the names. A pair has no direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    regions: Vec<RegionId>,
    pairs: Vec<Pair>,
}

/// What is known of two regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    /// The round trip by distance, in microseconds: every region finds the same.
    estimate: u64,
    /// The round trip that one of the two has told.
    told: Option<u64>,
    is_up: bool,
}

impl Map {
    /// What a message costs a relay beside the way, in microseconds: it syncs before it sends.
    const HOP_MICROS: u64 = 5_000;
    /// Told round trips that are longer count as this, so that no sum of them overflows: a peer may
    /// tell what it likes.
    const ROUND_TRIP_MICROS_MAX: u64 = 3_600_000_000;

    /// Draws a map by the places of the regions, without a link.
    pub(crate) fn new(places: &BTreeMap<RegionId, Place>) -> Self {
        let pair = |from: &Place, to: &Place| Pair {
            estimate: estimate(*from, *to),
            told: None,
            is_up: false,
        };
        let all = places.values().flat_map(|from| places.values().map(move |to| pair(from, to)));
        Self { regions: places.keys().copied().collect(), pairs: all.collect() }
    }

    /// Returns the place of a region, if the planet has it.
    pub(crate) fn index(&self, region: RegionId) -> Option<usize> {
        self.regions.binary_search(&region).ok()
    }

    /// Returns the region at a place.
    pub(crate) fn region(&self, index: usize) -> RegionId {
        self.regions[index]
    }

    /// Returns how many regions there are.
    pub(crate) fn len(&self) -> usize {
        self.regions.len()
    }

    fn both(&mut self, a: usize, b: usize, change: impl Fn(&mut Pair)) {
        let count = self.regions.len();
        change(&mut self.pairs[a * count + b]);
        change(&mut self.pairs[b * count + a]);
    }

    fn pair(&self, a: usize, b: usize) -> &Pair {
        &self.pairs[a * self.regions.len() + b]
    }

    /// Draws a link, with its round trip if that was told.
    pub(crate) fn link(&mut self, a: usize, b: usize, round_trip: Option<Duration>) {
        let max = u128::from(Self::ROUND_TRIP_MICROS_MAX);
        let micros = |it: Duration| u64::try_from(it.as_micros().min(max)).expect("it is bounded");
        let told = round_trip.map(micros);
        self.both(a, b, |pair| (pair.is_up, pair.told) = (true, told));
    }

    /// Takes a link away; what was told of it stays.
    #[cfg(test)]
    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.both(a, b, |pair| pair.is_up = false);
    }

    /// Whether two regions are linked.
    pub(crate) fn is_up(&self, a: usize, b: usize) -> bool {
        a != b && self.pair(a, b).is_up
    }

    /// Whether the round trip was measured.
    pub(crate) fn is_measured(&self, a: usize, b: usize) -> bool {
        self.pair(a, b).told.is_some()
    }

    /// Returns the round trip by distance, in microseconds.
    pub(crate) fn estimate(&self, a: usize, b: usize) -> u64 {
        if a == b { 0 } else { self.pair(a, b).estimate }
    }

    /// Returns the round trip as told, or else by distance, in microseconds.
    pub(crate) fn round_trip(&self, a: usize, b: usize) -> u64 {
        let Pair { estimate, told, .. } = self.pair(a, b);
        if a == b { 0 } else { told.unwrap_or(*estimate) }
    }

    /// Returns how much later an op is visible at `b` than at `a` if `a` sends it there.
    pub(crate) fn hop(&self, a: usize, b: usize) -> u64 {
        self.round_trip(a, b) / 2 + Self::HOP_MICROS
    }

    /// Returns those of `members` that a region can reach through them, itself too, in order.
    pub(crate) fn reached(&self, members: &[usize], from: usize) -> Vec<usize> {
        let mut left: Vec<usize> = members.iter().copied().filter(|it| *it != from).collect();
        let mut found = vec![from];
        let mut next = 0;
        while let Some(here) = found.get(next).copied() {
            next += 1;
            found.extend(left.extract_if(.., |it| self.is_up(here, *it)));
        }
        found.sort_unstable();
        found
    }

    /// Returns the region of a group that lies nearest to all others of it, by distance.
    pub(crate) fn centre(&self, group: &[usize]) -> usize {
        let far = |at: usize| group.iter().map(|to| self.estimate(at, *to)).sum::<u64>();
        let centre = group.iter().copied().min_by_key(|it| (far(*it), *it));
        centre.expect("a group has at least one region")
    }
}

/// A round trip of 26.4 ms and 0.01421 ms/km, as `photon up` has it, in whole milliseconds: so
/// that no rounding of one machine's arithmetic makes its map differ from that of another.
pub(crate) fn estimate(from: Place, to: Place) -> u64 {
    let ms = (26.4 + 0.014_21 * from.distance_km(to)).round();
    ms as u64 * 1_000
}
