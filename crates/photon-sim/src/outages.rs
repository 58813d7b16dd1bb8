//! How soon others have taken over what a region was the home of that a schedule kills or stalls.
//! Must not promise anything: schedules may leave nobody who could.

use std::collections::BTreeMap;
use std::time::Duration;

use photon_region::{Region, Shard};
use photon_state::PlacementId;

use crate::clock::Micros;
use crate::planet::Planet;

/// A region that is away, and what others have not taken over yet.
#[derive(Debug)]
pub(crate) struct Outage {
    here: usize,
    since: Micros,
    until: Micros,
    /// With the epoch under which it had them.
    homes: BTreeMap<(PlacementId, Shard), u32>,
}

fn taken(machine: &Region) -> impl Iterator<Item = ((PlacementId, Shard), u32)> + '_ {
    machine.taken_over().map(|(placement, shard, epoch)| ((placement, shard), epoch))
}

impl Planet<'_, '_> {
    /// Takes note that a region is about to be away.
    pub(crate) fn begin_outage(&mut self, here: usize, until: Micros) {
        let may_move = |placement: &PlacementId| {
            let mut all = self.atlas.placements.iter();
            all.any(|(it, members)| it == placement && 1 < members.count_ones())
        };
        let machine = self.sites[here].machine.iter();
        let leads = self.sites[here].machine.as_ref().is_some_and(Region::leads);
        let taken = machine.flat_map(taken);
        let homes: BTreeMap<_, _> = taken.filter(|((it, _), _)| may_move(it)).collect();
        self.report.leaders_away += u64::from(leads);
        if !homes.is_empty() {
            self.outages.push(Outage { here, since: self.now, until, homes });
        }
    }

    /// Looks at what has been taken over since.
    pub(crate) fn look_at_outages(&mut self) {
        let mut outages = std::mem::take(&mut self.outages);
        outages.retain_mut(|outage| !self.is_over(outage));
        self.outages = outages;
    }

    fn is_over(&mut self, outage: &mut Outage) -> bool {
        let others = (0..self.sites.len()).filter(|it| *it != outage.here && !self.is_still(*it));
        for machine in others.filter_map(|it| self.sites[it].machine.as_ref()) {
            for (home, epoch) in taken(machine) {
                if outage.homes.get(&home).is_some_and(|it| *it < epoch) {
                    outage.homes.remove(&home);
                }
            }
        }
        let (report, is_moved) = (&mut self.report, outage.homes.is_empty());
        if is_moved {
            let took = Duration::from_micros(self.now - outage.since);
            report.outages_ended += 1;
            report.outage_max = report.outage_max.max(took);
        } else if outage.until <= self.now {
            report.outages_outlasted += 1;
        }
        is_moved || outage.until <= self.now
    }
}
