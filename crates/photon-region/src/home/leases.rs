//! Leases in time: whose worker is silent for too long loses its task.
//! Must not decide what a worker may do while its lease is in force.

use std::collections::BTreeSet;

use photon_state::PlacementId;

use super::Lease;
use crate::contract::Disk;
use crate::region::Region;
use crate::task::{Requeue, Shard, TaskId};

impl Region {
    /// Whether a lease may be taken away, if its time has come.
    pub(crate) fn may_lapse(&self) -> bool {
        self.disk == Disk::Ready && self.is_holding()
    }

    /// Gives every worker of this home its time again.
    pub(crate) fn renew_leases(&mut self) {
        let until = self.now.mono + self.config.limits.lease_ttl;
        let all: Vec<(TaskId, Lease)> =
            self.home.leases.iter().map(|(id, it)| (*id, *it)).collect();
        for (id, lease) in all {
            self.home.lease(id, Lease { until: until.max(lease.until), ..lease });
        }
    }

    /// Lets go of tasks of which this region is the home no more.
    pub(crate) fn let_go(&mut self, lost: &BTreeSet<(PlacementId, Shard)>) {
        let waiting = self.home.waiting.values().flatten();
        let held: Vec<TaskId> = waiting
            .chain(self.home.leases.keys().chain(self.home.paused.keys()))
            .copied()
            .collect();
        for id in held {
            let placement = self.charter.placement_of(id);
            if placement.is_none_or(|it| lost.contains(&(it, id.shard()))) {
                self.home.forget(id);
            }
        }
    }

    /// Whether this region may decide about a task now, if it is its home.
    pub(crate) fn is_ready(&mut self, id: TaskId) -> bool {
        let placement = self.charter.placement_of(id);
        placement.is_none_or(|it| self.is_active(id, it) && self.needs_tenure())
    }

    /// Offers the tasks again whose workers have been silent for too long.
    pub(crate) fn lapse_leases(&mut self) {
        while let Some((until, id)) = self.home.lapses.first().copied() {
            if self.now.mono < until || self.disk == Disk::Full {
                return;
            }
            if !self.needs_tenure() {
                return; // The worker may be heard elsewhere.
            }
            let is_taken_up = self.home.leases.get(&id).is_some_and(|lease| lease.is_taken_up);
            self.counters.lapsed += 1;
            self.requeue(id, if is_taken_up { Requeue::Lapsed } else { Requeue::Declined });
        }
    }
}
