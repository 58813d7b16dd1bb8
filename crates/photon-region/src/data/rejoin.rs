//! A region with a new log: it may have lost one that held what it acknowledged. Until it has all
//! that enough others had when they were first heard of, it has no vote in reads at `quorum`, and
//! decides nothing as a home or a master. Must not hold back what asks for no agreement.
//!
//! What was acknowledged at `quorum` is in a majority of the placement: without this region, in one
//! member less. Among any `members - majority + 1` of the others there is one of those.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{Now, PlacementId, RegionId, Seen};

use super::refusal::DataRefusal;
use crate::config::Config;
use crate::desk::Bell;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::snapshot::{Part, Step};
use crate::verdict::Verdict;

/// The placements of which this region may have lost something.
#[derive(Debug, Default)]
pub(crate) struct Rejoin {
    /// By placement: what each member had when it was first heard of in this life.
    open: BTreeMap<PlacementId, BTreeMap<RegionId, Seen>>,
    /// The placements of which it has all that it must have, by its log.
    whole: BTreeSet<PlacementId>,
}

impl Rejoin {
    /// Whether something of a placement may have been lost.
    pub(crate) fn is_open(&self, placement: PlacementId) -> bool {
        self.open.contains_key(&placement)
    }

    /// Takes from the log which placements are whole.
    pub(crate) fn replay(&mut self, whole: BTreeSet<PlacementId>) {
        self.whole = whole;
    }

    /// Begins to wait for what may be missing.
    pub(crate) fn start(&mut self, config: &Config) {
        let held = config.placements.iter().filter(|(_, it)| it.contains(&config.region));
        let shared = held.filter(|(_, members)| 1 < members.len()).map(|(it, _)| *it);
        let open = shared.filter(|it| !self.whole.contains(it));
        self.open = open.map(|it| (it, BTreeMap::new())).collect();
    }
}

/// Returns from how many others a region must have all.
fn needed(members: usize) -> usize {
    let majority = members / 2 + 1;
    (members + 1 - majority).min(members - 1)
}

impl Region {
    /// Takes in what a peer has durably.
    pub(crate) fn rejoin_with(&mut self, peer: RegionId, seen: &Seen) {
        if self.data.rejoin.open.is_empty() {
            return;
        }
        let placements = &self.config.placements;
        for (placement, claims) in &mut self.data.rejoin.open {
            if placements.get(placement).is_some_and(|it| it.contains(&peer)) {
                let own = seen.iter().filter(|(it, _)| it.placement == *placement);
                claims.entry(peer).or_insert_with(|| own.map(|(it, seq)| (*it, seq)).collect());
            }
        }
        self.rejoin();
    }

    /// Counts again in the placements of which enough has arrived.
    pub(crate) fn rejoin(&mut self) {
        let (seen, placements) = (self.store.seen(), &self.config.placements);
        let is_whole = |(placement, claims): (&PlacementId, &BTreeMap<RegionId, Seen>)| {
            let members = placements.get(placement).map_or(0, BTreeSet::len);
            let have = claims.values().filter(|it| seen.covers(it)).count();
            (needed(members) <= have).then_some(*placement)
        };
        let whole: Vec<_> = self.data.rejoin.open.iter().filter_map(is_whole).collect();
        if whole.is_empty() || self.check_disk().is_err() {
            return;
        }
        for placement in whole {
            self.data.rejoin.open.remove(&placement);
            self.data.rejoin.whole.insert(placement);
        }
        self.write_whole();
        self.ring(&Bell::Peers);
    }

    /// Writes down which placements are whole, so that a start from this log need not ask again.
    pub(crate) fn write_whole(&mut self) {
        if !self.data.rejoin.whole.is_empty() {
            let step = Step::Whole { placements: self.data.rejoin.whole.clone() };
            self.write_local(&Part { from: None, step });
        }
    }

    /// Whether this region may have lost something of a placement that it has acknowledged.
    pub(crate) fn may_have_lost(&self, placement: PlacementId) -> bool {
        self.data.rejoin.is_open(placement)
    }

    /// Says that this region cannot agree to anything about a placement yet.
    pub(super) fn check_whole(&self, placement: PlacementId) -> Result<(), Refusal> {
        let Some(claims) = self.data.rejoin.open.get(&placement) else { return Ok(()) };
        let members = self.config.placements.get(&placement).map_or(0, BTreeSet::len);
        let region = self.config.region;
        let heard = claims.len();
        Err(DataRefusal::CatchingUp { region, heard, needed: needed(members) }.into())
    }

    /// Waits until this region may agree to something about placements, or says that it cannot.
    pub(super) fn await_whole(
        &self,
        placements: impl IntoIterator<Item = PlacementId>,
        now: Now,
        until: Duration,
    ) -> Result<Option<Verdict>, Refusal> {
        for placement in placements {
            if let Err(refusal) = self.check_whole(placement) {
                let may_wait = now.mono < until;
                let verdict = Verdict::Wait(Bell::Peers, until);
                return if may_wait { Ok(Some(verdict)) } else { Err(refusal) };
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn whoever_is_asked_one_of_them_has_what_a_majority_had() {
        for members in 2..20 {
            let others = members - 1;
            let holders = members / 2; // A majority, but for the region that lost its log.
            assert!(others < needed(members) + holders, "of {members}");
            assert!(needed(members) <= others);
        }
    }
}
