//! Leases in time: whose worker is silent for too long loses its task.
//! Must not decide what a worker may do while its lease is in force.

use std::collections::BTreeSet;
use std::time::Duration;

use photon_state::PlacementId;

use super::Lease;
use crate::contract::Disk;
use crate::region::Region;
use crate::task::{Requeue, Shard, TaskId};
use crate::tasks::Task;

impl Region {
    /// Whether a lease may be taken away, if its time has come.
    pub(crate) fn may_lapse(&self) -> bool {
        self.disk == Disk::Ready && self.is_holding()
    }

    /// Returns how long the worker of a task may be silent.
    pub(crate) fn heartbeat_of(&self, task: &Task) -> Duration {
        let own = task.terms.as_ref().and_then(|it| it.heartbeat);
        own.unwrap_or(self.config.limits.lease_ttl)
    }

    /// Gives every worker of this home its time again.
    pub(crate) fn renew_leases(&mut self) {
        let all: Vec<(TaskId, Lease)> =
            self.home.leases.iter().map(|(id, it)| (*id, *it)).collect();
        for (id, lease) in all {
            let task = self.tasks.get(id).expect("only tasks in memory are leased");
            let until = self.now.mono + self.heartbeat_of(task);
            self.home.lease(id, Lease { until: until.max(lease.until), ..lease });
        }
    }

    /// Lets go of tasks of which this region is the home no more.
    pub(crate) fn let_go(&mut self, lost: &BTreeSet<(PlacementId, Shard)>) {
        let held: Vec<TaskId> = self.home.held().collect();
        for id in held {
            let placement = self.charter.placement_of(id);
            if placement.is_none_or(|it| lost.contains(&(it, id.shard()))) {
                self.home.take(id);
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
            let is_taken_up = self.home.begun_ms(id).is_some();
            self.counters.lapsed += 1;
            let why = if is_taken_up { Requeue::Lapsed } else { Requeue::Declined };
            self.requeue(id, why, None);
        }
    }
}
