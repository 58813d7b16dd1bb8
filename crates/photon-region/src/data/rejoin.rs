//! A region with a new log: it may have lost one that held what it acknowledged. Until it has all
//! that enough others had when they were first heard of, it has no vote in reads at `quorum`, and
//! decides nothing as a home or a master. Must not hold back what asks for no agreement.
//!
//! Moves of records need more: what one region alone may have heard of, so that all others must be
//! heard of. They wait for all regions of a placement in any case.
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
    open: BTreeMap<PlacementId, BTreeMap<RegionId, Claim>>,
    /// The same for the placements of which any of the others may have more.
    lacking: BTreeMap<PlacementId, BTreeMap<RegionId, Claim>>,
    /// What it has of placements, by its log.
    held: Held,
}

/// The placements of which a region has what it may have lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Those of which it has all that it must have to agree to anything.
    pub(crate) whole: BTreeSet<PlacementId>,
    /// Those of which it has all that any other region had.
    pub(crate) complete: BTreeSet<PlacementId>,
}

/// What a member had, and in which life.
#[derive(Debug)]
struct Claim {
    incarnation: u64,
    seen: Seen,
}

impl Rejoin {
    /// Whether something of a placement may have been lost.
    pub(crate) fn is_open(&self, placement: PlacementId) -> bool {
        self.open.contains_key(&placement)
    }

    /// Takes from the log which placements are whole.
    pub(crate) fn replay(&mut self, held: Held) {
        self.held = held;
    }

    /// Begins to wait for what may be missing.
    pub(crate) fn start(&mut self, config: &Config) {
        let held = config.placements.iter().filter(|(_, it)| it.contains(&config.region));
        let shared = held.filter(|(_, members)| 1 < members.len()).map(|(it, _)| *it);
        let without = |known: &BTreeSet<PlacementId>| {
            let open = shared.clone().filter(|it| !known.contains(it));
            open.map(|it| (it, BTreeMap::new())).collect()
        };
        self.open = without(&self.held.whole);
        self.lacking = without(&self.held.complete);
    }
}

fn others(members: usize) -> usize {
    members.saturating_sub(1)
}

/// Returns from how many others a region must have all.
fn needed(members: usize) -> usize {
    let majority = members / 2 + 1;
    (members + 1 - majority).min(members - 1)
}

impl Region {
    /// Takes in what a peer has durably.
    pub(crate) fn rejoin_with(&mut self, peer: RegionId, incarnation: u64, seen: &Seen) {
        let rejoin = &mut self.data.rejoin;
        if rejoin.open.is_empty() && rejoin.lacking.is_empty() {
            return;
        }
        let placements = &self.config.placements;
        for (placement, claims) in rejoin.open.iter_mut().chain(&mut rejoin.lacking) {
            if placements.get(placement).is_some_and(|it| it.contains(&peer)) {
                // What it had and lost with its disk may never come.
                if claims.get(&peer).is_none_or(|it| it.incarnation != incarnation) {
                    let own = seen.iter().filter(|(it, _)| it.placement == *placement);
                    let seen = own.map(|(it, seq)| (*it, seq)).collect();
                    claims.insert(peer, Claim { incarnation, seen });
                }
            }
        }
        self.rejoin();
    }

    /// Counts again in the placements of which enough has arrived.
    pub(crate) fn rejoin(&mut self) {
        let have_of = |of: &BTreeMap<PlacementId, _>, needed: fn(usize) -> usize| {
            let all = of.iter().filter(|(placement, claims)| {
                let have = self.have_all_of(claims);
                needed(self.members_of(**placement)) <= have
            });
            all.map(|(placement, _)| *placement).collect::<Vec<_>>()
        };
        let whole = have_of(&self.data.rejoin.open, needed);
        let complete = have_of(&self.data.rejoin.lacking, others);
        if whole.is_empty() && complete.is_empty() || self.check_disk().is_err() {
            return;
        }
        let rejoin = &mut self.data.rejoin;
        for placement in whole {
            rejoin.open.remove(&placement);
            rejoin.held.whole.insert(placement);
        }
        let is_complete = !complete.is_empty();
        for placement in complete {
            rejoin.lacking.remove(&placement);
            rejoin.held.complete.insert(placement);
        }
        self.write_whole();
        if is_complete {
            self.redo_lost_removals();
        }
        self.ring(&Bell::Peers);
    }

    /// Returns of how many regions all is here that they had.
    fn have_all_of(&self, claims: &BTreeMap<RegionId, Claim>) -> usize {
        claims.values().filter(|it| self.store.seen().covers(&it.seen)).count()
    }

    fn members_of(&self, placement: PlacementId) -> usize {
        self.config.placements.get(&placement).map_or(0, BTreeSet::len)
    }

    /// Writes down which placements are whole, so that a start from this log need not ask again.
    pub(crate) fn write_whole(&mut self) {
        let held = &self.data.rejoin.held;
        if !held.whole.is_empty() {
            let step = Step::Whole(held.clone());
            self.write_local(&Part { from: None, step });
        }
    }

    /// Whether any region of a placement may have had more of it than is here.
    pub(super) fn may_lack(&self, placement: PlacementId) -> bool {
        self.data.rejoin.lacking.contains_key(&placement)
    }

    /// Waits until all that any region of a placement had is here, or says that it is not.
    pub(super) fn await_complete(
        &self,
        placement: PlacementId,
        until: Duration,
    ) -> Result<Option<Verdict>, Refusal> {
        let Some(claims) = self.data.rejoin.lacking.get(&placement) else { return Ok(None) };
        if self.now.mono < until {
            return Ok(Some(Verdict::Wait(Bell::Peers, until)));
        }
        let (region, heard) = (self.config.region, claims.len());
        let needed = others(self.members_of(placement));
        Err(DataRefusal::CatchingUp { region, heard, needed }.into())
    }

    /// Whether this region may have lost something of a placement that it has acknowledged.
    pub(crate) fn may_have_lost(&self, placement: PlacementId) -> bool {
        self.data.rejoin.is_open(placement)
    }

    /// Says that this region cannot agree to anything about a placement yet.
    pub(super) fn check_whole(&self, placement: PlacementId) -> Result<(), Refusal> {
        let Some(claims) = self.data.rejoin.open.get(&placement) else { return Ok(()) };
        let (region, heard) = (self.config.region, claims.len());
        let needed = needed(self.members_of(placement));
        Err(DataRefusal::CatchingUp { region, heard, needed }.into())
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
