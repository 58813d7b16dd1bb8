//! What is to be agreed next, so that the planet becomes as an operator wants.
//! Must not propose it: it only says what.

use std::collections::{BTreeMap, BTreeSet};

use photon_state::{PlacementId, RegionId};

use super::{Govern, GovernRefusal};
use crate::charter::{Charter, Decree, Handover, Heirs, Placements};
use crate::task::Shard;

/// How many regions may vote.
const VOTERS_MAX: usize = 7;

/// What the leader knows when it is asked.
pub(crate) struct Knowledge<'a> {
    pub(crate) charter: &'a Charter,
    pub(crate) placements: &'a BTreeMap<PlacementId, BTreeSet<RegionId>>,
    /// Those that the configuration names, with the names of their lives in the group, if heard.
    pub(crate) configured: BTreeMap<RegionId, Option<u64>>,
    /// The members that vote.
    pub(crate) voters: BTreeSet<RegionId>,
    /// Those that are heard, and not thought to be down.
    pub(crate) heard: BTreeSet<RegionId>,
    /// Those that have taken over all that they are the home of.
    pub(crate) settled: BTreeSet<RegionId>,
    /// Who would get what a region is the home of.
    pub(crate) heirs: &'a dyn Fn(RegionId) -> BTreeMap<PlacementId, Heirs>,
}

/// What is to be agreed next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: it is as it shall be.
    Done,
    /// Nothing yet: a home takes over what it was given before.
    Wait,
    /// A decree.
    Decree(Decree),
    /// Who votes.
    Vote(BTreeSet<RegionId>),
    /// A decree with which a region begins to learn.
    Admit(u64, Decree),
    /// A decree with which a region leaves the group.
    Dismiss(u64, Decree),
}

/// Returns what is to be agreed next.
pub(crate) fn plan(known: &Knowledge<'_>, wanted: &Govern) -> Result<Step, GovernRefusal> {
    match wanted {
        Govern::Show => Ok(Step::Done),
        Govern::Add { region } => known.add(*region),
        Govern::Drain { region, is_forced } => known.drain(*region, *is_forced),
        Govern::Undrain { region } => {
            let is_draining = known.member(*region)?;
            Ok(if is_draining {
                Step::Decree(Decree::Undrain { region: *region })
            } else {
                Step::Done
            })
        }
        Govern::Remove { region, is_forced } => known.remove(*region, *is_forced),
        Govern::Adopt => known.adopt(),
        Govern::Rebalance => Ok(known.rebalance()),
        Govern::Voters { voters, is_forced } => known.vote(voters, *is_forced),
    }
}

impl Knowledge<'_> {
    /// Whether a member is to be the home of nothing.
    fn member(&self, region: RegionId) -> Result<bool, GovernRefusal> {
        let member = self.charter.member(region);
        member.map(|it| it.is_draining).ok_or(GovernRefusal::NotMember(region))
    }

    fn add(&self, region: RegionId) -> Result<Step, GovernRefusal> {
        if self.charter.member(region).is_some() {
            return Ok(Step::Done);
        }
        let id = self.configured.get(&region).ok_or(GovernRefusal::NotConfigured(region))?;
        let id = id.ok_or(GovernRefusal::NotHeard(region))?;
        let its = self.placements.iter().filter(|(placement, members)| {
            let fit = |it: &RegionId| *it == region || self.charter.member(*it).is_some();
            **placement != PlacementId::global()
                && members.contains(&region)
                && members.iter().all(fit)
        });
        let placements = its.map(|(placement, members)| (*placement, members.clone())).collect();
        Ok(Step::Admit(id, Decree::Add { region, id, placements }))
    }

    fn drain(&self, region: RegionId, is_forced: bool) -> Result<Step, GovernRefusal> {
        let is_draining = self.member(region)?;
        let heirs = (self.heirs)(region);
        let orphaned = heirs.iter().find(|(_, heirs)| heirs.is_empty());
        if let Some((placement, _)) = orphaned.filter(|_| !is_forced && !is_draining) {
            return Err(GovernRefusal::NobodyElse { region, placement: *placement });
        }
        if is_draining && heirs.values().all(Heirs::is_empty) {
            return Ok(Step::Done);
        }
        Ok(match self.handover([region]) {
            Some(handover) => Step::Decree(Decree::Drain { region, heirs, handover }),
            None => Step::Wait,
        })
    }

    /// Agrees on the placements as the leader has them configured.
    fn adopt(&self) -> Result<Step, GovernRefusal> {
        let configured = self.placements.iter();
        let new = configured.filter(|(id, it)| !self.charter.agrees_on(**id, it) && !it.is_empty());
        let placements: Placements = new.map(|(id, members)| (*id, members.clone())).collect();
        let mut regions = placements.values().flatten();
        if let Some(stranger) = regions.find(|it| self.charter.member(**it).is_none()) {
            return Err(GovernRefusal::NotMember(*stranger));
        }
        for (placement, members) in &placements {
            let homes = self.charter.homes().find(|(it, _)| it == placement).map(|(_, it)| it);
            let agreed = self.charter.placed(*placement);
            for region in agreed.into_iter().flatten().filter(|it| !members.contains(it)) {
                let shards = homes.map_or(0, |it| it.at(region).count());
                if 0 < shards {
                    return Err(GovernRefusal::HasShards { region, shards });
                }
            }
        }
        Ok(if placements.is_empty() {
            Step::Done
        } else {
            Step::Decree(Decree::Place { placements })
        })
    }

    /// Returns how homes hand over; nothing as long as one that lives has to take over itself.
    fn handover(&self, from: impl IntoIterator<Item = RegionId>) -> Option<Handover> {
        let mut handover = Handover::ByWord;
        for region in from {
            if !self.heard.contains(&region) {
                handover = Handover::ByTenure;
            } else if !self.settled.contains(&region) {
                return None;
            }
        }
        Some(handover)
    }

    fn remove(&self, region: RegionId, is_forced: bool) -> Result<Step, GovernRefusal> {
        let Some(member) = self.charter.member(region) else { return Ok(Step::Done) };
        if self.voters.contains(&region) {
            return Err(GovernRefusal::Votes(region));
        }
        let shards = self.charter.homes().map(|(_, homes)| homes.at(region).count()).sum();
        if 0 < shards && !is_forced {
            return Err(GovernRefusal::HasShards { region, shards });
        }
        let heirs = (self.heirs)(region);
        let orphaned = heirs.iter().find(|(_, heirs)| heirs.is_empty());
        if let Some((placement, _)) = orphaned.filter(|_| !is_forced) {
            return Err(GovernRefusal::NobodyElse { region, placement: *placement });
        }
        Ok(Step::Dismiss(member.id, Decree::Remove { region, heirs }))
    }

    fn vote(&self, voters: &BTreeSet<RegionId>, is_forced: bool) -> Result<Step, GovernRefusal> {
        if let Some(stranger) = voters.iter().find(|it| self.charter.member(**it).is_none()) {
            return Err(GovernRefusal::NotMember(*stranger));
        }
        if voters.is_empty() {
            return Err(GovernRefusal::NoVoter);
        }
        if VOTERS_MAX < voters.len() {
            return Err(GovernRefusal::TooManyVoters(VOTERS_MAX));
        }
        if *voters == self.voters {
            return Ok(Step::Done);
        }
        let (needed, heard) = (voters.len() / 2 + 1, voters.intersection(&self.heard).count());
        if heard < needed && !is_forced {
            let voters = voters.len();
            return Err(GovernRefusal::WouldLoseQuorum { voters, needed, heard });
        }
        Ok(Step::Vote(voters.clone()))
    }

    /// Gives the region that is farthest below its share of a placement what others have too much
    /// of.
    fn rebalance(&self) -> Step {
        let mut step = Step::Done;
        for (placement, homes) in self.charter.homes() {
            let Some(members) = self.charter.placed(placement) else { continue };
            let fit =
                members.into_iter().filter(|it| self.charter.is_up(*it) && self.heard.contains(it));
            let mut counts: BTreeMap<RegionId, usize> = fit.map(|it| (it, 0)).collect();
            let mut at: BTreeMap<RegionId, Vec<Shard>> = BTreeMap::new();
            for shard in (0..Shard::COUNT).map(Shard) {
                let region = homes.of(shard).region;
                at.entry(region).or_default().push(shard);
                counts.entry(region).and_modify(|it| *it += 1);
            }
            let Some((to, has)) = counts.iter().min_by_key(|(_, it)| **it) else { continue };
            let share = usize::from(Shard::COUNT) / counts.len();
            let Some(wanted) = share.checked_sub(*has).filter(|it| 0 < *it) else { continue };
            let spare = |(region, shards): (&RegionId, &Vec<Shard>)| {
                let spared = if counts.contains_key(region) { share } else { 0 };
                shards.iter().skip(spared).map(|it| (*it, *region)).collect::<Vec<_>>()
            };
            let given = at.iter().flat_map(spare).take(wanted);
            let given: Vec<(Shard, RegionId)> = given.collect();
            let from: BTreeSet<RegionId> = given.iter().map(|(_, it)| *it).collect();
            // Whoever takes over something already would have to wait out a tenure for this.
            let handover = self.handover(from).filter(|_| self.settled.contains(to));
            let Some(handover) = handover else {
                step = Step::Wait;
                continue;
            };
            let shards = given.into_iter().map(|(shard, _)| shard).collect();
            return Step::Decree(Decree::Move { placement, shards, to: *to, handover });
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> RegionId {
        RegionId::try_from(name).unwrap()
    }

    fn regions(names: &[&str]) -> BTreeSet<RegionId> {
        names.iter().map(|it| region(it)).collect()
    }

    /// A planet of which all members live; what is wanted is followed until nothing is missing.
    struct Planet {
        charter: Charter,
        placements: BTreeMap<PlacementId, BTreeSet<RegionId>>,
        voters: BTreeSet<RegionId>,
        heard: BTreeSet<RegionId>,
        settled: BTreeSet<RegionId>,
    }

    impl Planet {
        fn of(names: &[&str]) -> Self {
            let all = regions(names);
            let placements = BTreeMap::from([
                (PlacementId::global(), all.clone()),
                (PlacementId::try_from("solo").unwrap(), regions(&names[..1])),
            ]);
            let mut charter = Charter::founded(all.iter().copied().zip(1..), &placements);
            charter.follow(1, &Decree::Place { placements: charter.unknown_of(&placements) });
            let (voters, settled) = (all.clone(), all.clone());
            Self { charter, placements, voters, heard: all, settled }
        }

        fn plan(&self, wanted: &Govern) -> Result<Step, GovernRefusal> {
            let heirs = |region| {
                let homes = self.charter.homes().filter(|(_, it)| it.at(region).next().is_some());
                let heirs = |placement: PlacementId| {
                    let others = self.placements[&placement].iter().copied();
                    let fit = others.filter(|it| *it != region && self.charter.is_up(*it));
                    (placement, fit.map(|it| (it, 1)).collect())
                };
                homes.map(|(placement, _)| heirs(placement)).collect()
            };
            plan(
                &Knowledge {
                    charter: &self.charter,
                    placements: &self.placements,
                    configured: (self.heard.iter().copied().zip(1..))
                        .map(|(it, id)| (it, Some(id)))
                        .collect(),
                    voters: self.voters.clone(),
                    heard: self.heard.clone(),
                    settled: self.settled.clone(),
                    heirs: &heirs,
                },
                wanted,
            )
        }

        /// Follows what is planned until it is done; returns how many decrees it took.
        fn reach(&mut self, wanted: &Govern) -> Result<u64, GovernRefusal> {
            for count in 0..100 {
                let decree = match self.plan(wanted)? {
                    Step::Done => return Ok(count),
                    Step::Decree(decree) | Step::Admit(_, decree) | Step::Dismiss(_, decree) => {
                        decree
                    }
                    Step::Vote(voters) => {
                        self.voters = voters;
                        continue;
                    }
                    Step::Wait => panic!("all are settled"),
                };
                let index = self.charter.index + 1;
                self.charter.follow(index, &decree);
            }
            panic!("{wanted:?} is never reached");
        }

        fn shards(&self, name: &str) -> usize {
            self.charter.shards_of(PlacementId::global(), region(name)).count()
        }
    }

    #[test]
    fn a_drained_region_has_no_shards_and_gets_them_back_by_a_rebalance() {
        let mut planet = Planet::of(&["a", "b", "c"]);
        let drain = Govern::Drain { region: region("b"), is_forced: false };
        assert_eq!(planet.reach(&drain), Ok(1));
        assert_eq!((planet.shards("b"), planet.shards("a") + planet.shards("c")), (0, 1_024));
        assert_eq!(planet.reach(&drain), Ok(0));
        assert_eq!(planet.reach(&Govern::Rebalance), Ok(0));
        assert_eq!(planet.reach(&Govern::Undrain { region: region("b") }), Ok(1));
        planet.reach(&Govern::Rebalance).unwrap();
        for name in ["a", "b", "c"] {
            assert!((341..=342).contains(&planet.shards(name)), "{name}: {}", planet.shards(name));
        }
        assert_eq!(planet.reach(&Govern::Rebalance), Ok(0));
    }

    #[test]
    fn what_would_leave_tasks_without_a_home_is_refused_unless_forced() {
        let mut planet = Planet::of(&["a", "b"]);
        let solo = PlacementId::try_from("solo").unwrap();
        let drain = |is_forced| Govern::Drain { region: region("a"), is_forced };
        let refusal = GovernRefusal::NobodyElse { region: region("a"), placement: solo };
        assert_eq!(planet.reach(&drain(false)), Err(refusal));
        assert_eq!(planet.reach(&drain(true)), Ok(1));
        assert_eq!(planet.shards("a"), 0);
    }

    #[test]
    fn a_region_is_removed_once_it_neither_votes_nor_is_home_of_anything() {
        let mut planet = Planet::of(&["a", "b", "c"]);
        let remove = |is_forced| Govern::Remove { region: region("c"), is_forced };
        assert_eq!(planet.reach(&remove(true)), Err(GovernRefusal::Votes(region("c"))));
        let voters = regions(&["a", "b"]);
        assert_eq!(planet.reach(&Govern::Voters { voters, is_forced: false }), Ok(1));
        let refusal = GovernRefusal::HasShards { region: region("c"), shards: 341 };
        assert_eq!(planet.reach(&remove(false)), Err(refusal));
        assert_eq!(planet.reach(&remove(true)), Ok(1));
        assert_eq!(planet.shards("a") + planet.shards("b"), 1_024);
        assert_eq!(planet.reach(&remove(false)), Ok(0));
        planet.heard.insert(region("c"));
        assert_eq!(planet.reach(&Govern::Add { region: region("c") }), Ok(1));
        planet.reach(&Govern::Rebalance).unwrap();
        assert!(341 <= planet.shards("c"));
    }

    #[test]
    fn voters_that_could_not_agree_are_refused() {
        let mut planet = Planet::of(&["a", "b", "c"]);
        let vote = |names: &[&str], is_forced| Govern::Voters { voters: regions(names), is_forced };
        assert_eq!(planet.plan(&vote(&[], true)), Err(GovernRefusal::NoVoter));
        assert_eq!(planet.plan(&vote(&["x"], true)), Err(GovernRefusal::NotMember(region("x"))));
        planet.heard.remove(&region("b"));
        let refusal = GovernRefusal::WouldLoseQuorum { voters: 2, needed: 2, heard: 1 };
        assert_eq!(planet.plan(&vote(&["a", "b"], false)), Err(refusal));
        let step = planet.plan(&vote(&["a", "b"], true));
        assert_eq!(step, Ok(Step::Vote(regions(&["a", "b"]))));
        assert_eq!(planet.plan(&vote(&["a", "b", "c"], false)), Ok(Step::Done));
    }

    #[test]
    fn homes_that_take_over_are_waited_for_and_lost_ones_are_not() {
        let mut planet = Planet::of(&["a", "b", "c"]);
        let drain = Govern::Drain { region: region("b"), is_forced: false };
        planet.settled.remove(&region("b"));
        assert_eq!(planet.plan(&drain), Ok(Step::Wait));
        planet.heard.remove(&region("b"));
        let step = planet.plan(&drain).unwrap();
        let Step::Decree(decree) = step else { panic!("{step:?}") };
        assert_eq!(decree.handover(), Handover::ByTenure);
    }
}
