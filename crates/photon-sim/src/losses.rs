//! Disks that were lost, with what was on them: which promises do not hold for it, and which do.
//! Must not lose a disk: `mishaps` and `scheduled` do.

use photon_region::TaskId;
use photon_state::StreamId;

use crate::disk::Disk;
use crate::faults::Disks;
use crate::promises::{Broken, Ledger, Promise};
use crate::site::{Atlas, Site};

impl Ledger {
    /// Takes note that a disk was lost, with all that was on it.
    pub(crate) fn lost_disk(&mut self, site: usize, disk: Disk) {
        self.disks = Disks::MayBeLost;
        self.lost.push((site, disk));
    }

    /// Whether any site has lost something that was durable.
    pub(crate) fn has_lost_any(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether a site has lost something that was durable.
    pub(crate) fn has_lost(&self, site: usize) -> bool {
        self.lost.iter().any(|(it, _)| *it == site)
    }

    /// Returns how many regions have lost disks that were homes of a task, or have become one:
    /// until such a one has caught up, it may answer from what it has.
    pub(crate) fn lost_homes(&self, sites: &[Site], task: TaskId) -> u32 {
        let disks = || sites.iter().map(|it| &it.disk).chain(self.lost.iter().map(|(_, it)| it));
        let machines = || sites.iter().filter_map(|it| it.machine.as_ref());
        let is_home = |(site, _): &&(usize, Disk)| {
            let region = sites[*site].config.region;
            let homes = machines().filter_map(|it| it.home_and_epoch(task));
            disks().any(|it| it.has_written(task, region))
                || homes.into_iter().any(|(home, _)| home == region)
        };
        u32::try_from(self.lost.iter().filter(is_home).count()).expect("a few disks")
    }

    /// Checks that all know the tasks that no lost disk may have taken along: those that were
    /// acknowledged at quorum in several regions, or by a region that has lost nothing.
    pub(crate) fn audit_after_loss(&self, atlas: &Atlas, sites: &[Site]) -> Result<(), Broken> {
        for (task, known) in self.tasks() {
            let is_shared = 1 < known.members.count_ones();
            let is_kept = known.acked_by.is_some_and(|it| !self.has_lost(it));
            if !(is_kept || is_shared && self.at_quorum.contains(&task)) {
                continue;
            }
            let mut members = (0..sites.len()).filter(|it| known.members >> it & 1 == 1);
            let knows = |it: &Site| it.machine.as_ref().is_some_and(|it| it.knows_task(task));
            let lacking = members.find(|it| !knows(&sites[*it]));
            Promise::Acknowledged.holds(lacking.is_none(), || {
                let name = lacking.map(|it| atlas.ids[it]);
                format!("{name:?} does not know task {task}, which no lost disk took along")
            })?;
        }
        Ok(())
    }

    /// Whether an op was durable on a disk of a site that was lost since.
    pub(crate) fn had_synced(&self, site: usize, stream: &StreamId, seq: u64) -> bool {
        self.lost.iter().any(|(it, disk)| *it == site && disk.has_synced(stream, seq))
    }
}
