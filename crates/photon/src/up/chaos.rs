//! Faults at random for `photon up --chaos`: the same seed has the same faults at the same times.
//! Must not carry them out, nor begin one that does not end by itself.

use std::fmt;
use std::time::Duration;

use photon_sim::{Harm, Paths, Way};
use photon_state::RegionId;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::Happening;

/// How long it is quiet before the next fault begins.
const PAUSE_MS: std::ops::Range<u64> = 2_000..8_000;
/// How long a fault lasts.
const LASTS_MS: std::ops::Range<u64> = 500..6_000;
/// By how much links are slowed.
const SLOWED_MS: std::ops::Range<u64> = 50..1_000;
/// How far clocks jump.
const JUMP_MS: std::ops::Range<i64> = -5_000..5_000;

/// A source of faults. One is over before the next begins.
#[derive(Debug)]
pub(super) struct Chaos {
    seed: u64,
    random: fastrand::Rng,
    regions: Vec<RegionId>,
    happenings: mpsc::Sender<Happening>,
}

impl Chaos {
    pub(super) fn new(
        seed: u64,
        regions: &[RegionId],
        happenings: mpsc::Sender<Happening>,
    ) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { seed, random, regions: regions.to_vec(), happenings }
    }

    /// Makes faults until nobody listens.
    pub(super) async fn rage(mut self) {
        loop {
            sleep(Duration::from_millis(self.random.u64(PAUSE_MS))).await;
            let (harm, lasts) = self.next();
            if self.happenings.send(Happening::Chaos { harm, lasts }).await.is_err() {
                return;
            }
            sleep(lasts).await;
        }
    }

    fn next(&mut self) -> (Harm, Duration) {
        let Self { random, regions, .. } = self;
        let at = random.usize(0..regions.len());
        let region = regions[at];
        let peer = regions[(at + random.usize(1..regions.len().max(2))) % regions.len()];
        let way = if random.bool() { Way::Both } else { Way::OneWay };
        // A planet of one region has no paths.
        let paths = if random.bool() || peer == region {
            Paths::Of(region)
        } else {
            Paths::Between(vec![(region, peer)])
        };
        let by = Duration::from_millis(random.u64(SLOWED_MS));
        let jump_ms = random.i64(JUMP_MS) | 1;
        let harm = match random.u8(0..6) {
            0 => Harm::KillRegion(region),
            1 => Harm::StallRegion(region),
            2 => Harm::Partition(paths, way),
            3 => Harm::SlowLink(paths, way, by),
            4 => Harm::ClockJump(region, jump_ms),
            _ => Harm::DiskFull(region),
        };
        (harm, Duration::from_millis(random.u64(LASTS_MS)))
    }
}

impl fmt::Display for Chaos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chaos of seed {}: faults at random, one at a time, until Ctrl-C", self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_its_faults_and_in_time_every_kind_of_them() {
        let regions = ["a", "b", "c"].map(|it| RegionId::try_from(it).unwrap());
        let faults = |seed| {
            let mut chaos = Chaos::new(seed, &regions, mpsc::channel(1).0);
            (0..100).map(|_| chaos.next()).collect::<Vec<_>>()
        };
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
        let kinds: std::collections::BTreeSet<_> =
            faults(7).iter().map(|(harm, _)| harm.kind()).collect();
        assert_eq!(kinds.len(), 6, "{kinds:?}");
        let names = regions.into();
        assert!(faults(7).iter().all(|(harm, _)| harm.check(&names).is_ok()));
    }
}
