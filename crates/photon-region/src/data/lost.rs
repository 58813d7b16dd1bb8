//! Ops that sessions have seen and that can never come: their region lost its disk before any
//! other region had them. Must not give up what any region of the placement may still have.

use std::collections::BTreeSet;
use std::time::Duration;

use photon_state::{PlacementId, RegionId, Seen, StreamId};

use super::refusal::DataRefusal;
use crate::refusal::Refusal;
use crate::region::Region;

impl Region {
    /// How long all regions of a placement must have been linked before what none of them has
    /// counts as lost: by then each has said several times what it has.
    const LOST_AFTER: Duration = Duration::from_secs(5);

    /// How long what a peer has said holds: it speaks each beat.
    const SPOKE_WITHIN: Duration = Duration::from_secs(2);

    /// Whether an op can never come: its origin writes another log by now, and no region of the
    /// placement has it.
    fn is_lost(&self, stream: &StreamId, seq: u64) -> bool {
        if seq <= self.store.seen().of(stream) {
            return false;
        }
        let Some(members) = self.config.placements.get(&stream.placement) else { return false };
        self.is_former(stream) && members.iter().all(|it| self.surely_lacks(*it, stream, seq))
    }

    /// Whether a stream is of a former log of its origin.
    fn is_former(&self, stream: &StreamId) -> bool {
        if stream.origin == self.config.region {
            return stream.incarnation != self.config.incarnation;
        }
        let origin = self.peers.get(&stream.origin);
        origin.is_some_and(|it| it.theirs.is_some() && it.incarnation != stream.incarnation)
    }

    fn surely_lacks(&self, region: RegionId, stream: &StreamId, seq: u64) -> bool {
        let Some(peer) = self.peers.get(&region) else { return region == self.config.region };
        let is_settled = peer.spoke.is_some_and(|it| it + Self::LOST_AFTER <= self.now.mono);
        // A peer that has gone silent may be another one by now, with a log of its own.
        let silent = peer.spoke_last.map(|it| self.now.mono.saturating_sub(it));
        let speaks = silent.is_some_and(|it| it <= Self::SPOKE_WITHIN);
        is_settled && speaks && peer.theirs.as_ref().is_some_and(|seen| seen.of(stream) < seq)
    }

    /// Refuses a session that has waited for what can never come.
    pub(super) fn check_lost(
        &self,
        session: &Seen,
        placements: &BTreeSet<PlacementId>,
    ) -> Result<(), Refusal> {
        let mut wanted = session.iter().filter(|(it, _)| placements.contains(&it.placement));
        match wanted.find(|(stream, seq)| self.is_lost(stream, *seq)) {
            Some((StreamId { origin, placement, .. }, _)) => {
                let (origin, placement) = (*origin, *placement);
                Err(DataRefusal::SessionLost { origin, placement }.into())
            }
            None => Ok(()),
        }
    }

    /// Forgets that writes depend on what can never come: sessions that never used its region
    /// would learn of it from them, and wait.
    pub(super) fn forget_lost(&mut self) {
        let horizon = self.data.horizon.iter();
        let all = horizon.flat_map(|(at, on)| on.iter().map(|(stream, seq)| (*at, *stream, seq)));
        let lost = all.filter(|(_, stream, seq)| self.is_lost(stream, *seq));
        let lost: Vec<(PlacementId, StreamId)> = lost.map(|(at, it, _)| (at, it)).collect();
        for (at, stream) in lost {
            let here = self.store.seen().of(&stream);
            let Some(horizon) = self.data.horizon.get_mut(&at) else { continue };
            let others = horizon.iter().filter(|(it, _)| **it != stream);
            let kept = others.map(|(it, seq)| (*it, seq)).chain([(stream, here)]);
            *horizon = kept.filter(|(_, seq)| 0 < *seq).collect();
        }
    }
}
