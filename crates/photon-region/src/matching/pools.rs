//! The index by which agents are matched: for each skill who offers it, and in which order those
//! that have room are preferred.
//! Must not know names, loads or time: agents are numbers here, and what speaks for them is points.

use std::collections::BTreeSet;

use photon_state::{PlacementId, RegionId};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::pool::{Pool, Rank};
use super::score::Points;
use crate::task::Skill;

/// A region, as agents in it are ranked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    pub(crate) region: RegionId,
    /// What speaks for all agents in it.
    pub(crate) points: Points,
}

/// Who offers what.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    /// By skill, and then by the placement of the agents, in the order of placements.
    pools: FxHashMap<Skill, Vec<(PlacementId, Pool)>>,
}

/// Who is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search<'a> {
    /// All regions, in the order of ranks.
    pub(crate) sites: &'a [Site],
    /// Who is only taken if there is no other.
    pub(crate) avoid: Option<u32>,
}

impl Pools {
    /// Puts an agent among those that offer a skill.
    pub(crate) fn join(&mut self, skill: &Skill, placement: PlacementId, number: u32) {
        let pools = self.pools.entry(skill.clone()).or_default();
        let at = pools.binary_search_by_key(&placement, |it| it.0).unwrap_or_else(|at| {
            pools.reserve_exact(1); // Hardly a skill is offered under several.
            pools.insert(at, (placement, Pool::default()));
            at
        });
        pools[at].1.join(number);
    }

    /// Takes an agent out of them, which is not [offered](Self::offer).
    pub(crate) fn leave(&mut self, skill: &Skill, placement: PlacementId, number: u32) {
        let pool = self.pool_mut(skill, placement);
        pool.leave(number);
        if !pool.is_empty() {
            return;
        }
        let pools = self.pools.get_mut(skill).expect("it was there a moment ago");
        pools.retain(|(_, pool)| !pool.is_empty());
        if pools.is_empty() {
            self.pools.remove(skill);
        }
    }

    fn pool(&self, skill: &Skill, placement: PlacementId) -> Option<&Pool> {
        let mut pools = self.pools.get(skill)?.iter();
        pools.find(|(its, _)| *its == placement).map(|(_, pool)| pool)
    }

    fn pool_mut(&mut self, skill: &Skill, placement: PlacementId) -> &mut Pool {
        let pools = self.pools.get_mut(skill).into_iter().flatten();
        let mut its = pools.filter(|(its, _)| *its == placement);
        &mut its.next().expect("an agent is in the pool of each skill, and of its placement").1
    }

    /// Lets a member be found.
    pub(crate) fn offer(
        &mut self,
        (skill, placement): (&Skill, PlacementId),
        (near, points, number): (u16, Points, u32),
    ) {
        let rank = Rank { near, missing: points.missing(), number };
        self.pool_mut(skill, placement).offer(rank);
    }

    /// Lets a member be found no longer that was [offered](Self::offer) so.
    pub(crate) fn withdraw(
        &mut self,
        (skill, placement): (&Skill, PlacementId),
        (near, points, number): (u16, Points, u32),
    ) {
        let rank = Rank { near, missing: points.missing(), number };
        self.pool_mut(skill, placement).withdraw(rank);
    }

    /// Returns all that offer a skill, in any order.
    pub(crate) fn members(&self, skill: &Skill) -> impl Iterator<Item = u32> {
        let pools = self.pools.get(skill).into_iter().flatten();
        pools.flat_map(|(_, pool)| pool.numbers())
    }

    /// Returns how many they are.
    pub(crate) fn count(&self, skill: &Skill) -> usize {
        let pools = self.pools.get(skill).into_iter().flatten();
        pools.map(|(_, pool)| pool.len()).sum()
    }

    /// Returns the placements of those that offer a skill.
    pub(crate) fn placements(&self, skill: &Skill) -> impl Iterator<Item = PlacementId> {
        let pools = self.pools.get(skill).into_iter().flatten();
        pools.map(|(placement, _)| *placement)
    }

    /// Whether anybody offers a skill.
    pub(crate) fn has(&self, skill: &Skill) -> bool {
        self.pools.contains_key(skill)
    }

    /// Whether anybody of a placement offers a skill and all the others.
    pub(crate) fn share(
        &self,
        skill: &Skill,
        others: &BTreeSet<Skill>,
        placement: PlacementId,
    ) -> bool {
        let pools = std::iter::once(skill).chain(others).map(|it| self.pool(it, placement));
        let Some(pools) = pools.collect::<Option<SmallVec<[&Pool; 4]>>>() else { return false };
        if let Some(few) = pools.iter().find(|it| it.set().is_none()) {
            return few.numbers().any(|number| pools.iter().all(|it| it.contains(number)));
        }
        let mut sets = pools.iter().filter_map(|it| it.set());
        match (sets.next(), sets.next(), sets.next()) {
            (Some(first), Some(second), Some(third)) => {
                let mut all = first & second;
                std::iter::once(third).chain(sets).for_each(|it| all &= it);
                !all.is_empty()
            }
            (Some(first), Some(second), None) => !first.is_disjoint(second),
            (first, _, _) => first.is_some(),
        }
    }

    /// Returns the best that `is_wanted` and has room in a placement that is `fit`, in a region
    /// that `may` be; of those that are equally good the nearest, and then the one with the least
    /// number.
    pub(crate) fn best(
        &self,
        skill: &Skill,
        search: Search<'_>,
        fit: impl Fn(PlacementId) -> bool,
        may: impl Fn(RegionId) -> bool,
        is_wanted: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let pools = self.pools.get(skill)?.iter().filter(|(placement, _)| fit(*placement));
        let mut best: Option<(u16, Rank)> = None;
        let mut avoided: Option<u32> = None;
        for (_, pool) in pools {
            let mut at = 0;
            while let Some((first, next)) = pool.first_at(at) {
                at = next;
                let site = &search.sites[usize::from(first.near)];
                let score = |rank: Rank| site.points.plus(Points::short_of(rank.missing)).missing();
                let beats = |rank: Rank| best.is_none_or(|best| (score(rank), rank) < best);
                if !beats(first) || !may(site.region) {
                    continue;
                }
                let mut wanted = pool.here(first).filter(|it| is_wanted(it.number));
                let found = wanted.find(|it| {
                    let is_avoided = search.avoid == Some(it.number);
                    avoided = if is_avoided { search.avoid } else { avoided };
                    !is_avoided
                });
                if let Some(rank) = found.filter(|it| beats(*it)) {
                    best = Some((score(rank), rank));
                }
            }
        }
        best.map(|(_, rank)| rank.number).or(avoided)
    }
}

/// Makes an index of so many agents that offer so many of the skills each, all of them with room,
/// in five regions: for those who measure what it takes in memory.
#[doc(hidden)]
#[must_use]
pub fn matching_index(agents: u32, skills: u32, per_agent: u32) -> Box<dyn std::any::Any> {
    let names: Vec<Skill> = (0..skills).map(|it| format!("skill.{it}").into()).collect();
    let mut pools = Pools::default();
    let global = PlacementId::global();
    for number in 0..agents {
        for nth in 0..per_agent {
            // Neighbours in number share no skills, as agents come in no order of theirs.
            let at = u64::from(number) * 7_919 + u64::from(nth) * 104_729;
            let skill = &names[(at % u64::from(skills)) as usize];
            pools.join(skill, global, number);
            let points = Points::short_of((number % 97) as u16 * 50);
            pools.offer((skill, global), ((number % 5) as u16, points, number));
        }
    }
    Box::new(pools)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An agent: its region, what speaks for it, its skills by bits, its placement, and whether it
    /// has room.
    type Drawn = (u16, u16, u8, bool, bool);

    fn skill(number: u8) -> Skill {
        format!("s{number}").into()
    }

    fn placement(is_wide: bool) -> PlacementId {
        if is_wide { PlacementId::global() } else { PlacementId::try_from("eu").unwrap() }
    }

    fn skills_of(bits: u8) -> impl Iterator<Item = Skill> {
        (0..3).filter(move |it| bits >> it & 1 == 1).map(skill)
    }

    fn pools_of(agents: &[Drawn]) -> Pools {
        let mut pools = Pools::default();
        for (number, (near, missing, bits, is_wide, is_free)) in (0..).zip(agents) {
            for skill in skills_of(*bits) {
                let of = (&skill, placement(*is_wide));
                pools.join(of.0, of.1, number);
                if *is_free {
                    pools.offer(of, (*near, Points::short_of(*missing), number));
                }
            }
        }
        pools
    }

    proptest! {
        #[test]
        fn the_best_is_the_least_of_all_that_fit(
            agents in prop::collection::vec(
                (0_u16..3, 9_000_u16..9_010, 0_u8..8, any::<bool>(), any::<bool>()), 0..150),
            points in prop::array::uniform3(0_u16..12),
            may in prop::array::uniform3(any::<bool>()),
            avoid in prop::option::of(0_u32..150),
            is_wide in any::<bool>(),
            unwanted in 0_u32..4,
        ) {
            let pools = pools_of(&agents);
            let names = ["a", "b", "c"].map(|it| RegionId::try_from(it).unwrap());
            let site = |at: usize| Site {
                region: names[at],
                points: Points::short_of(10_000 - points[at]),
            };
            let sites = [0, 1, 2].map(site);
            let search = Search { sites: &sites, avoid };
            let fit = |its| is_wide || its == placement(false);
            let index = |region| names.iter().position(|it| *it == region).unwrap();
            let is_wanted = |number: u32| number % 4 != unwanted;
            let found =
                pools.best(&skill(0), search, fit, |region| may[index(region)], is_wanted);
            let all = (0_u32..).zip(&agents);
            let able = all.filter(|(number, (near, _, bits, wide, is_free))| {
                let may = may[usize::from(*near)] && is_wanted(*number);
                bits & 1 == 1 && *is_free && may && (is_wide || !wide)
            });
            let key = |(number, (near, missing, ..)): &(u32, &Drawn)| {
                let missed = 10_000 - (10_000 - missing + points[usize::from(*near)]);
                (Some(*number) == avoid, missed, *near, *missing, *number)
            };
            let best = able.min_by_key(key).map(|(number, _)| number);
            prop_assert_eq!(found, best);
        }

        #[test]
        fn skills_are_shared_if_one_has_them_all(
            agents in prop::collection::vec(
                (0_u16..3, 0_u16..10, 0_u8..8, any::<bool>(), any::<bool>()), 0..100),
            bits in 0_u8..8,
        ) {
            let pools = pools_of(&agents);
            let others: BTreeSet<Skill> = skills_of(bits).collect();
            let has_all = |(_, _, its, is_wide, _): &Drawn| {
                !is_wide && its & 1 == 1 && its & bits == bits
            };
            let shared = pools.share(&skill(0), &others, placement(false));
            prop_assert_eq!(shared, agents.iter().any(has_all));
        }
    }

    #[test]
    fn nothing_is_left_of_agents_that_are_gone() {
        let mut pools = pools_of(&[(0, 5, 7, true, true), (1, 6, 1, false, false)]);
        for skill in skills_of(7) {
            pools.withdraw((&skill, placement(true)), (0, Points::short_of(5), 0));
            pools.leave(&skill, placement(true), 0);
        }
        pools.leave(&skill(0), placement(false), 1);
        assert!(pools.pools.is_empty());
    }
}
