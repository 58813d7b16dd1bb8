//! What can go wrong, and how much of it does under a seed: a random subset, at a random strength.
//! Must not carry a fault out.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use photon_region::{Limits, Region};

use crate::net::Conditions;
use crate::scheduled::Planned;

/// Something that can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Messages take longer than the distance asks for.
    Jitter,
    /// Messages are lost.
    Loss,
    /// Messages overtake each other.
    Reorder,
    /// Messages arrive twice.
    Duplicate,
    /// Links break and come back, or paths carry nothing and then something, again and again.
    Flap,
    /// One direction between two regions is cut, or all directions to or from one.
    OneWayCut,
    /// A group of regions is cut off from the others: one, one half of the Earth, or any.
    Partition,
    /// A region crashes and restarts.
    Crash,
    /// A region crashes with some of its outputs carried out and others not.
    CrashMidway,
    /// A crash leaves some of what was not synced.
    TornWrite,
    /// The disk takes seconds to sync.
    SlowSync,
    /// The disk is full for a while.
    DiskFull,
    /// Wall clocks differ.
    Skew,
    /// Wall clocks jump, even farther than a peer believes.
    ClockJump,
    /// Clocks run too fast or too slow.
    Drift,
    /// Workers fall silent and come back with an old token.
    WorkerHang,
    /// Workers forget all that they do.
    WorkerDie,
    /// Workers take their time.
    WorkerSlow,
    /// Workers finish twice, each time otherwise.
    WorkerTwice,
    /// Agents move to other regions and disappear.
    AgentMove,
    /// Clients go away before they have their reply.
    Abandon,
    /// The bounds of a region are small.
    Tight,
    /// Messages are so large that what a peer lacks has left a region's memory.
    Bulk,
    /// A process stands still for a while.
    Stall,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 24] = [
        Self::Jitter,
        Self::Loss,
        Self::Reorder,
        Self::Duplicate,
        Self::Flap,
        Self::OneWayCut,
        Self::Partition,
        Self::Crash,
        Self::CrashMidway,
        Self::TornWrite,
        Self::SlowSync,
        Self::DiskFull,
        Self::Skew,
        Self::ClockJump,
        Self::Drift,
        Self::WorkerHang,
        Self::WorkerDie,
        Self::WorkerSlow,
        Self::WorkerTwice,
        Self::AgentMove,
        Self::Abandon,
        Self::Tight,
        Self::Bulk,
        Self::Stall,
    ];
}

/// Whether crashes may take a disk with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disks {
    /// What was synced survives.
    Survive,
    /// Some crashes lose the log; the region returns under a new incarnation. What only the lost
    /// disk held is lost, so that the promises about acknowledged writes are not checked.
    MayBeLost,
}

/// Shapes the world that a seed makes.
#[derive(Clone, Debug)]
pub struct Profile {
    /// How many regions there may be, from 2 to 20; few are likelier than many.
    pub regions: RangeInclusive<usize>,
    /// How long faults go on, in virtual time.
    pub chaos: RangeInclusive<Duration>,
    /// How many tasks clients submit.
    pub tasks: RangeInclusive<u32>,
    /// Whether crashes may take a disk with them.
    pub disks: Disks,
    /// For how long a home decides after a majority has stood by it; in life it is a second.
    pub tenure: Duration,
    /// What goes wrong when, instead of what a seed draws; it says how many regions there are and
    /// how long faults go on.
    pub planned: Option<Planned>,
    /// Done to each region whenever it begins to live: lets a test plant a bug.
    pub prepare: fn(&mut Region),
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            regions: 3..=20,
            chaos: Duration::from_secs(6)..=Duration::from_secs(24),
            tasks: 20..=160,
            disks: Disks::Survive,
            tenure: Limits::default().tenure,
            planned: None,
            prepare: |_| {},
        }
    }
}

impl Profile {
    /// The profile in which disks are lost.
    #[must_use]
    pub fn lost_disks() -> Self {
        Self { disks: Disks::MayBeLost, ..Self::default() }
    }

    /// The profile in which homes that are cut off go on deciding for long: whoever does not wait
    /// for that is soon seen.
    #[must_use]
    pub fn long_tenures() -> Self {
        Self { tenure: Duration::from_secs(4), ..Self::default() }
    }

    /// The profile in which a schedule says what goes wrong.
    #[must_use]
    pub fn of(planned: Planned) -> Self {
        Self { planned: Some(planned), ..Self::default() }
    }
}

/// The faults of one seed, each with its strength between 0 and 1; 0 is absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    strengths: [f64; Fault::ALL.len()],
}

impl Weather {
    /// Draws a subset of all faults: uniform noise finds less than some faults without others.
    pub(crate) fn draw(rng: &mut fastrand::Rng) -> Self {
        let share = rng.f64();
        let mut strengths = [0.0; Fault::ALL.len()];
        for strength in &mut strengths {
            if rng.f64() < share {
                *strength = 0.05 + 0.95 * rng.f64().powi(2);
            }
        }
        // Large messages cost so much that most seeds do without.
        let is_tight = 0.0 < strengths[Fault::Tight as usize];
        let is_bulky = rng.u32(0..10) == 0 && !is_tight;
        strengths[Fault::Bulk as usize] = if is_bulky { 0.5 + rng.f64() / 2.0 } else { 0.0 };
        Self { strengths }
    }

    /// The weather without any fault.
    pub(crate) fn calm() -> Self {
        Self { strengths: [0.0; Fault::ALL.len()] }
    }

    /// Returns how strong a fault is; 0 if it is absent.
    pub(crate) fn strength(&self, fault: Fault) -> f64 {
        self.strengths[fault as usize]
    }

    /// Whether a fault strikes this time, if it does so with this probability at full strength.
    pub(crate) fn strikes(&self, fault: Fault, most: f64, rng: &mut fastrand::Rng) -> bool {
        let strength = self.strength(fault);
        0.0 < strength && rng.f64() < most * strength
    }

    /// Returns how the net behaves in this weather.
    pub(crate) fn conditions(&self) -> Conditions {
        Conditions {
            jitter: (self.strength(Fault::Jitter) * 120_000.0) as u64,
            loss: self.strength(Fault::Loss) * 0.25,
            reorder: self.strength(Fault::Reorder) * 0.3,
            duplicate: self.strength(Fault::Duplicate) * 0.3,
        }
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut is_calm = true;
        for fault in Fault::ALL.into_iter().filter(|it| 0.0 < self.strength(*it)) {
            let gap = if is_calm { "" } else { " " };
            write!(f, "{gap}{fault:?} {:.2}", self.strength(fault))?;
            is_calm = false;
        }
        if is_calm { f.write_str("no faults") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_its_place_and_is_absent_under_some_seeds() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
            let strength =
                |seed| Weather::draw(&mut fastrand::Rng::with_seed(seed)).strength(fault);
            assert!((0..200).any(|seed| strength(seed) == 0.0), "{fault:?}");
            assert!((0..200).any(|seed| 0.3 < strength(seed)), "{fault:?}");
        }
    }
}
