//! Tells when the log of this region is free of a record that has moved away.
//! Must not say so while anything may bring its bytes back: a peer's state that is on its way.

use bytes::Bytes;
use photon_state::{Change, Seen};

use super::run::of_placement;
use super::{MOVES, Move, MoveState, Tells, move_key};
use crate::contract::Disk;
use crate::region::Region;

impl Region {
    /// Takes note that the state is begun to be written: what was seen by now is in it.
    pub(crate) fn state_begins(&mut self, seen: &Seen) {
        // Parts of a peer's state that are on their way may be older than what it says it has.
        self.data.moves.clean_from = (!self.may_take_parts()).then(|| seen.clone());
    }

    /// Takes note that the log is being cut where that state begins.
    pub(crate) fn log_is_being_cut(&mut self, seen: &Seen) {
        let clean_from = self.data.moves.clean_from.take();
        self.data.moves.cutting = clean_from.filter(|it| it == seen);
        self.streams.forget_before(seen);
    }

    /// Notes of which records that have moved away the log is free, now that it is cut.
    pub(crate) fn log_is_cut(&mut self) {
        let Some(seen) = self.data.moves.cutting.take() else { return };
        if self.disk == Disk::Full {
            return; // It is said the next time.
        }
        let all = self.data.moves.all.values().filter(|it| self.must_purge(it));
        let is_free = |it: &&Move| of_placement(&seen, it.receipt.from).covers(&it.end);
        #[cfg(feature = "planted-bugs")]
        let is_free =
            |it: &&Move| self.planted == Some(crate::PlantedBug::PurgeTooEarly) || is_free(it);
        let free = all.filter(is_free);
        let free: Vec<_> = free
            .map(|Move { receipt, .. }| (receipt.from, receipt.dataset.clone(), receipt.id))
            .collect();
        for (from, dataset, id) in free {
            let key = move_key(&dataset, id, Tells::Purged(self.config.region));
            self.write(from, MOVES, key, Change::Put(Bytes::new()));
        }
    }

    /// Takes note at the start of which notes nobody looks for any more.
    pub(super) fn find_stray_notes(&mut self) {
        let moves = &mut self.data.moves;
        let stray = moves.noted.keys().filter(|it| !moves.all.contains_key(it));
        moves.stray = stray.cloned().collect();
    }

    /// Deletes notes of this region whose receipts are gone.
    pub(crate) fn delete_stray_notes(&mut self) {
        if self.data.moves.stray.is_empty() || self.disk == Disk::Full {
            return;
        }
        for it in std::mem::take(&mut self.data.moves.stray) {
            let is_gone = !self.data.moves.all.contains_key(&it);
            if let Some(record) = self.data.moves.noted.get(&it).cloned().filter(|_| is_gone) {
                self.write(record.placement, MOVES, record.key, Change::Delete);
            }
        }
    }

    /// Whether the log of this region may hold a record that it may not hold any more.
    fn must_purge(&self, it: &Move) -> bool {
        let (here, receipt) = (self.config.region, &it.receipt);
        let purged = self.data.moves.purged.get(&receipt.id);
        receipt.state == MoveState::Done
            && receipt.must_forget.contains(&here)
            && purged.is_none_or(|it| !it.contains_key(&here))
    }

    /// Whether the log should be bounded although it is short: it holds what must go.
    pub(crate) fn purge_is_due(&self) -> bool {
        let retention = u64::try_from(self.config.limits.log_retention.as_millis());
        let retention = retention.unwrap_or(u64::MAX);
        let is_due = |it: &Move| {
            let until = it.receipt.done_ms.map(|at| at.saturating_add(retention));
            until.is_some_and(|until| until <= self.now.wall_ms)
        };
        self.data.moves.all.values().any(|it| is_due(it) && self.must_purge(it))
    }
}
