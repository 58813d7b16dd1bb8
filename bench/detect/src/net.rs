//! The imagined net: distances, jitter, bursts of loss, paths that are cut, processes that pause.
//! Must not know what is sent.

use std::ops::Range;

use serde::Serialize;

use crate::matrix::Matrix;
use crate::spells::{Length, Spells};

/// How bad the net and the machines are. All of it at once, all the time.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Noise {
    /// The mean of what is added to each delay (exponential), in parts of the delay.
    pub(crate) jitter: f64,
    /// One in so many packets is late by 50 to 250 ms.
    pub(crate) spike_one_in: f64,
    /// The mean time between bursts of loss from one region to another, in ms: 2 % of the time.
    pub(crate) burst_gap_ms: f64,
    /// The mean length of a burst, which all nodes of both regions suffer together, in ms.
    pub(crate) burst_ms: f64,
    /// The share of packets lost in a burst: 1 % of all.
    pub(crate) burst_loss: f64,
    /// Cuts between two regions, of 1 to 30 s (log-uniform), on the planet per hour.
    pub(crate) outages_per_hour: f64,
    /// The share of cuts that are one-way.
    pub(crate) one_way: f64,
    /// Pauses of each process (a collector of garbage, the hypervisor) per hour.
    pub(crate) stalls_per_hour: f64,
    /// The longest pause, in ms; the shortest is 50 ms, and they are log-uniform.
    pub(crate) stall_max_ms: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            jitter: 0.03,
            spike_one_in: 2_000.0,
            burst_gap_ms: 7_350.0,
            burst_ms: 150.0,
            burst_loss: 0.5,
            outages_per_hour: 6.0,
            one_way: 0.25,
            stalls_per_hour: 60.0,
            stall_max_ms: 2_000.0,
        }
    }
}

/// One imagined net. Times are in milliseconds.
pub(crate) struct Net {
    noise: Noise,
    regions: usize,
    /// Nodes of each region; node `n` lies in region `n / nodes`.
    nodes: usize,
    trips: Matrix,
    bursts: Vec<Spells>,
    outages: Vec<Spells>,
    stalls: Vec<Spells>,
    /// When the last message of each stream arrives.
    arrived: Vec<u64>,
    rng: fastrand::Rng,
    /// The region that is lost, and when.
    pub(crate) lost: Option<(usize, Range<u64>)>,
}

impl Net {
    /// When simulations begin: by then noise is as it always is.
    pub(crate) const START: u64 = 600_000;

    pub(crate) fn new(trips: &Matrix, nodes: usize, noise: Noise, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let regions = trips.len();
        let hour = 3_600_000.0;
        let pairs = (regions * (regions - 1) / 2) as f64;
        let mut spells = |count: usize, gap: f64, length: Length| {
            (0..count).map(|_| Spells::new(rng.u64(..), gap, length)).collect::<Vec<_>>()
        };
        let burst = Length::Exponential(noise.burst_ms);
        let bursts = spells(regions * regions, noise.burst_gap_ms, burst);
        let outage_gap = pairs * hour / noise.outages_per_hour;
        let outage = Length::LogUniform(1_000.0, 30_000.0);
        let outages = spells(regions * regions, outage_gap, outage);
        let stall_gap = hour / noise.stalls_per_hour;
        let stalls =
            spells(regions * nodes, stall_gap, Length::LogUniform(50.0, noise.stall_max_ms));
        let arrived = vec![0; (regions * nodes).pow(2)];
        let trips = trips.clone();
        Self { noise, regions, nodes, trips, bursts, outages, stalls, arrived, rng, lost: None }
    }

    pub(crate) fn count(&self) -> usize {
        self.regions * self.nodes
    }

    pub(crate) fn region(&self, node: usize) -> usize {
        node / self.nodes
    }

    pub(crate) fn is_lost(&self, node: usize, at: u64) -> bool {
        let region = self.region(node);
        self.lost.as_ref().is_some_and(|(lost, time)| *lost == region && time.contains(&at))
    }

    /// Returns until when a node stands still, if it does.
    pub(crate) fn stalled(&mut self, node: usize, at: u64) -> Option<u64> {
        self.stalls[node].at(at).map(|it| it.end)
    }

    /// Returns whether a node stood still within the last `late` ms.
    pub(crate) fn was_stalled(&mut self, node: usize, at: u64, late: u64) -> bool {
        self.stalls[node].after(at, late).is_some()
    }

    /// Returns whether all nodes of a region stood still at once within the last `late` ms.
    pub(crate) fn was_paused(&mut self, region: usize, at: u64, late: u64) -> bool {
        let nodes = region * self.nodes..(region + 1) * self.nodes;
        (at.saturating_sub(late)..=at)
            .step_by(5)
            .any(|at| nodes.clone().all(|node| self.stalls[node].at(at).is_some()))
    }

    /// Returns, if the path between two regions is cut in any direction, or was within the last
    /// `late` ms, whether that is the direction from the first to the second.
    pub(crate) fn is_cut(&mut self, from: usize, to: usize, at: u64, late: u64) -> Option<bool> {
        let spells = &mut self.outages[from.min(to) * self.regions + from.max(to)];
        let spell = spells.after(at, late)?;
        let share = spell.lot / self.noise.one_way;
        let is_this_way = 1.0 <= share || (share < 0.5) == (from < to);
        Some(is_this_way)
    }

    fn delay(&mut self, from: usize, to: usize) -> f64 {
        let way = self.trips[from][to] / 2.0;
        let jitter = -self.noise.jitter * (1.0 - self.rng.f64()).ln();
        let is_late = from != to && self.rng.f64() * self.noise.spike_one_in < 1.0;
        let spike = if is_late { 50.0 + 200.0 * self.rng.f64() } else { 0.0 };
        way * (1.0 + jitter) + spike
    }

    fn is_dropped(&mut self, from: usize, to: usize, at: u64) -> bool {
        let is_burst = from != to && self.bursts[from * self.regions + to].at(at).is_some();
        is_burst && self.rng.f64() < self.noise.burst_loss
    }

    /// Returns when a datagram arrives, if it does.
    pub(crate) fn datagram(&mut self, now: u64, from: usize, to: usize) -> Option<u64> {
        let (from, to) = (self.region(from), self.region(to));
        let is_cut = from != to && self.is_cut(from, to, now, 0) == Some(true);
        if is_cut || self.is_dropped(from, to, now) {
            return None;
        }
        Some(now + self.delay(from, to).ceil() as u64)
    }

    /// Returns when a message on a TCP connection arrives: what is lost is sent again, and holds up
    /// what comes after it. What is sent while the path is cut is lost with the connection; the
    /// link is dialed again half a second after the end (it is tried each second), which takes one
    /// and a half round trips more.
    pub(crate) fn stream(&mut self, now: u64, from: usize, to: usize) -> Option<u64> {
        let stream = from * self.count() + to;
        let (from, to) = (self.region(from), self.region(to));
        let mut sent = now as f64;
        if from != to {
            let trip = self.trips[from][to];
            let settle = (500.0 + 1.5 * trip) as u64;
            if self.is_cut(from, to, now, settle) == Some(true) {
                return None;
            }
            // The next heartbeat tells that one is missing (SACK); if that is lost too, a timer.
            let mut patience = trip + 200.0;
            let mut wait = (1.25 * trip + 100.0).min(patience);
            while self.is_dropped(from, to, sent as u64) {
                sent += wait;
                patience = (2.0 * patience).min(2_000.0);
                wait = patience;
            }
        }
        let arrives = (sent + self.delay(from, to)).ceil() as u64;
        self.arrived[stream] = self.arrived[stream].max(arrives);
        Some(self.arrived[stream])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_one_datagram_in_a_hundred_is_lost_and_streams_stay_in_order() {
        let trips = vec![vec![0.5, 100.0], vec![100.0, 0.5]];
        let mut net = Net::new(&trips, 3, Noise { outages_per_hour: 0.0, ..Noise::default() }, 1);
        let times = || (Net::START..Net::START + 20_000_000).step_by(10);
        let lost = times().filter(|at| net.datagram(*at, 0, 3).is_none()).count();
        assert!((18_000..22_000).contains(&lost), "{lost} of 2,000,000");
        let arrived: Vec<_> = times().filter_map(|at| net.stream(at, 1, 4)).collect();
        assert!(arrived.is_sorted() && arrived.len() == 2_000_000, "{}", arrived.len());
    }
}
