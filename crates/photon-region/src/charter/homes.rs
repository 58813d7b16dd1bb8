//! The homes of the shards of one placement.
//! Must not know why a home moves.

use std::collections::BTreeSet;

use photon_state::RegionId;

use super::Heirs;
use crate::task::Shard;

/// Who decides about the tasks of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) region: RegionId,
    /// Grows whenever the home changes.
    pub(crate) epoch: u32,
    /// By which decree it is the home under this epoch.
    pub(crate) since: u64,
}

/// The homes of the shards of one placement, by shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Homes(pub(super) Vec<Home>);

impl Homes {
    /// Spreads the shards evenly over regions, of which there must be one at least.
    pub(crate) fn even(members: &BTreeSet<RegionId>) -> Self {
        let members: Vec<&RegionId> = members.iter().collect();
        let of =
            |shard: u16| members[usize::from(shard) * members.len() / usize::from(Shard::COUNT)];
        Self((0..Shard::COUNT).map(|it| Home { region: *of(it), epoch: 1, since: 0 }).collect())
    }

    pub(crate) fn of(&self, shard: Shard) -> Home {
        self.0[usize::from(shard.0)]
    }

    /// Iterates over the shards of which a region is the home.
    pub(crate) fn at(&self, region: RegionId) -> impl Iterator<Item = Shard> {
        let all = (0..Shard::COUNT).map(Shard).zip(&self.0);
        all.filter(move |(_, home)| home.region == region).map(|(shard, _)| shard)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Home> {
        self.0.iter()
    }

    /// Begins as was agreed, wherever no decree has said otherwise: under a new epoch, because
    /// others may have taken themselves for the home until then, and accepted tasks.
    pub(crate) fn begin_as(&mut self, since: u64, agreed: &Self) {
        for (own, agreed) in self.0.iter_mut().zip(&agreed.0).filter(|(own, _)| own.since == 0) {
            *own = Home { region: agreed.region, epoch: agreed.epoch + 1, since };
        }
    }

    /// Gives a shard to a region; returns its home until then.
    pub(crate) fn give(&mut self, since: u64, shard: Shard, to: RegionId) -> RegionId {
        let home = &mut self.0[usize::from(shard.0)];
        let former = home.region;
        *home = Home { region: to, epoch: home.epoch + 1, since };
        former
    }

    /// Begins a new epoch wherever a region is the home.
    pub(crate) fn renew(&mut self, since: u64, region: RegionId) {
        for home in self.0.iter_mut().filter(|it| it.region == region) {
            (home.epoch, home.since) = (home.epoch + 1, since);
        }
    }

    /// Spreads what a region is the home of over its heirs, in proportion to their shares.
    pub(crate) fn inherit(&mut self, since: u64, region: RegionId, heirs: &Heirs) {
        let total: u64 = heirs.iter().filter(|(it, _)| **it != region).map(|(_, it)| *it).sum();
        let mut given = vec![0_u64; heirs.len()];
        let orphaned: Vec<Shard> = self.at(region).filter(|_| 0 < total).collect();
        for (shard, count) in orphaned.into_iter().zip(1_u64..) {
            // Whoever is farthest behind its share is next.
            let behind = |(at, (_, share)): (usize, (&RegionId, &u64))| {
                (i128::from(count) * i128::from(*share) - i128::from(given[at] * total), at)
            };
            let others = heirs.iter().enumerate().filter(|(_, (it, _))| **it != region);
            let next = others.map(behind).max().expect("the total of their shares is not zero").1;
            given[next] += 1;
            let to = *heirs.keys().nth(next).expect("it was counted above");
            self.give(since, shard, to);
        }
    }
}
