//! How a region comes to its name in the group, so that a life that has forgotten its votes never
//! votes under the name of the one that cast them.
//! Must not know what the group agrees on.
//!
//! Each region remembers for good in which incarnation it heard first of every other one. A region
//! with a new log asks those who vote: if enough of them heard of it first in this life, this is
//! its first life, whose name all knew from the start. If any of them knows an earlier life, it
//! takes a name of its own, and the leader puts it in the place of the earlier one.
//!
//! A region that comes to a planet which was founded without it is told so. It takes a name of its
//! own, and waits until the group has made it a member.
//!
//! Enough is so many that they share a member with whomever an earlier life had asked, and with
//! every majority. As with records, that holds for one lost disk at a time.

use std::collections::{BTreeMap, BTreeSet};

use photon_state::RegionId;
use raft::eraftpb::{ConfState, Snapshot};

use super::Beat;
use super::store::{Addition, Kept};
use crate::charter::Handover;
use crate::config::Config;
use crate::contract::Disk;
use crate::region::Region;
use crate::task::region_tag;

/// Names the first life of a region in the group.
pub(super) fn first_life(region: RegionId) -> u64 {
    u64::from(region_tag(region)) << 48 | 1
}

/// Names a later life of a region.
fn later_life(region: RegionId, incarnation: u64) -> u64 {
    u64::from(region_tag(region)) << 48 | (incarnation & 0xffff_ffff_ffff).max(2)
}

/// Returns the region that has a name in the group.
pub(super) fn region_of(config: &Config, id: u64) -> Option<RegionId> {
    config.regions.keys().copied().find(|it| u64::from(region_tag(*it)) == id >> 48)
}

/// Returns what the group begins with: some regions vote, all others learn.
pub(super) fn founding(config: &Config) -> Kept {
    let voters = config.voters();
    let ids = |votes: bool| {
        let all = config.regions.keys().filter(|it| voters.contains(it) == votes);
        all.map(|it| first_life(*it)).collect::<Vec<u64>>()
    };
    let mut conf = ConfState::default();
    (conf.voters, conf.learners) = (ids(true), ids(false));
    let mut kept = Kept::default();
    kept.snapshot.mut_metadata().set_conf_state(conf);
    kept
}

/// Returns how many others among `voters` have to know a region in its present life.
fn needed(voters: usize, votes: bool) -> usize {
    let majority = voters / 2 + 1;
    if votes {
        (majority - 1).max(voters - majority + 1).min(voters - 1)
    } else {
        // An earlier life may have asked any majority; so does this one.
        majority
    }
}

impl Region {
    /// Takes in what a peer knows of this region, and this region of it.
    pub(super) fn enrol_with(&mut self, from: RegionId, beat: &Beat) {
        let known = self.agree.kept().bound.get(&from).copied();
        if self.disk == Disk::Full {
            return;
        }
        if known.is_none() {
            let bound = BTreeMap::from([(from, beat.incarnation)]);
            let addition = Addition { bound, ..Addition::default() };
            self.keep(&addition);
            let append = self.agree.append;
            self.agree.bound_by.insert(from, append);
            match self.agree.group.as_mut() {
                Some(group) => group.bind(from, beat.incarnation),
                None => self.agree.kept.add(addition),
            }
        }
        self.enrol();
    }

    /// Returns in which incarnation a peer was heard of first, if that is durable.
    pub(super) fn bound_to(&self, peer: RegionId) -> Option<u64> {
        let by = self.agree.bound_by.get(&peer).copied().unwrap_or(0);
        let bound = self.agree.kept().bound.get(&peer).copied();
        // Who came later may have heard only of a later life, but knows of an earlier one if it is.
        let lives = self.agree.allies.get(&peer).map(|it| it.incarnation);
        let has_joined = self.agree.kept().has_joined;
        bound
            .filter(|it| by <= self.durable() && (!has_joined || lives.is_some_and(|is| is != *it)))
    }

    /// Takes a name once it is clear which.
    pub(super) fn enrol(&mut self) {
        let (here, incarnation) = (self.config.region, self.config.incarnation);
        if self.disk == Disk::Full {
            return;
        }
        if self.agree.group.is_some() || self.agree.kept.id.is_some() {
            return self.join_group();
        }
        let voters = self.config.voters();
        let needed = needed(voters.len(), voters.contains(&here));
        let others = || voters.iter().filter(|it| **it != here);
        if self.is_a_stranger_to(&others().copied().collect()) {
            return self.join();
        }
        let allies = others().filter_map(|it| self.agree.allies.get(it));
        let bound = allies.filter(|it| !it.is_stranger).filter_map(|it| it.bound);
        let (mut same, mut other) = (0, 0);
        bound.for_each(|it| *(if it == incarnation { &mut same } else { &mut other }) += 1);
        let id = match (same, other) {
            (_, 1..) => later_life(here, incarnation),
            (same, 0) if needed <= same => first_life(here),
            (_, 0) => return,
        };
        // What the group begins with stays what it is, however regions are configured later.
        let mut founding = self.agree.kept.snapshot.clone();
        founding.data = self.charter.encode();
        let addition = Addition { id: Some(id), snapshot: Some(founding), ..Addition::default() };
        self.keep(&addition);
        self.agree.kept.add(addition);
        self.join_group();
    }

    /// Whether the planet was founded without this region: one says so that has followed a decree,
    /// or most of those do who would vote. One alone may be configured otherwise by mistake.
    fn is_a_stranger_to(&self, voters: &BTreeSet<RegionId>) -> bool {
        let allies = || self.agree.allies.iter().filter(|(_, it)| it.is_stranger);
        let say = allies().filter(|(region, _)| voters.contains(region)).count();
        voters.len() / 2 < say || allies().any(|(_, it)| 0 < it.applied)
    }

    /// Takes a name on a planet that was founded without this region. It votes for nothing and
    /// knows no members until it has become one.
    fn join(&mut self) {
        let id = later_life(self.config.region, self.config.incarnation);
        let before = std::mem::take(&mut self.charter);
        self.agree.kept.snapshot = Snapshot { data: self.charter.encode(), ..Snapshot::default() };
        let snapshot = Some(self.agree.kept.snapshot.clone());
        let addition = Addition { id: Some(id), has_joined: true, snapshot, ..Addition::default() };
        self.keep(&addition);
        self.agree.kept.add(addition);
        self.charter_changed(&before, Handover::ByTenure);
        self.join_group();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lives_of_a_region_never_both_have_its_first_name() {
        for voters in 1..=7_usize {
            let majority = voters / 2 + 1;
            // Of the others, `needed` have bound the first life, and as many are asked later.
            let (others, needed) = (voters - 1, needed(voters, true));
            assert!(others == 0 || others < 2 * needed, "of {voters}");
            assert!(majority <= needed + 1);
            assert!(voters < 2 * super::needed(voters, false));
        }
    }
}
