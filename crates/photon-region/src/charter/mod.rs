//! The charter: what all regions agree on. Which regions there are, and which of them is the home
//! of which tasks, since when.
//! Must not know how they come to agree.

mod codec;
mod decree;
mod homes;

pub(crate) use decree::{Decree, Handover, Heirs};
pub(crate) use homes::{Home, Homes};

use std::collections::{BTreeMap, BTreeSet};

use photon_state::{PlacementId, RegionId};

use crate::task::{Shard, TaskId, placement_tag};

/// The regions of each placement.
pub(crate) type Placements = BTreeMap<PlacementId, BTreeSet<RegionId>>;

/// What all regions agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charter {
    /// Up to which decree it has come.
    pub(crate) index: u64,
    /// At which decree the group itself changed last.
    pub(crate) group_changed: u64,
    members: BTreeMap<RegionId, Member>,
    /// The homes of the shards of each placement.
    homes: BTreeMap<PlacementId, Homes>,
    /// The regions of each placement but `global`, which is all members. Regions that were removed
    /// since may be among them.
    placements: BTreeMap<PlacementId, BTreeSet<RegionId>>,
}

/// A region of the planet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// The name of its life in the group.
    pub(crate) id: u64,
    /// The names of the lives before it, the latest last; beyond a bound the oldest are forgotten.
    pub(crate) former: Vec<u64>,
    pub(crate) standing: Standing,
    /// Whether its operator wants it to be the home of nothing.
    pub(crate) is_draining: bool,
    /// At which decree it was last told that it is home of less, or the same under another epoch.
    pub(crate) bereft: u64,
}

impl Member {
    fn new(id: u64) -> Self {
        let (former, standing) = (Vec::new(), Standing::Up);
        Self { id, former, standing, is_draining: false, bereft: 0 }
    }

    /// How many earlier lives are remembered: words of those are only late.
    const FORMER_MAX: usize = 16;

    /// Whether a life of this name is new.
    pub(crate) fn may_become(&self, id: u64) -> bool {
        self.id != id && !self.former.contains(&id)
    }
}

/// Whether a region lives, as far as all agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does.
    Up,
    /// A majority has heard nothing of it for too long.
    Down,
}

impl Charter {
    /// Returns the charter of a planet that has agreed on nothing yet: the regions of each
    /// placement share its tasks evenly.
    pub(crate) fn founded(
        ids: impl Iterator<Item = (RegionId, u64)>,
        placements: &BTreeMap<PlacementId, BTreeSet<RegionId>>,
    ) -> Self {
        let all = placements.iter().filter(|(_, members)| !members.is_empty());
        Self {
            index: 0,
            group_changed: 0,
            members: ids.map(|(region, id)| (region, Member::new(id))).collect(),
            homes: all.map(|(id, members)| (*id, Homes::even(members))).collect(),
            placements: BTreeMap::new(),
        }
    }

    /// Takes over the homes of placements that it does not know: they were configured later.
    /// Whoever is no member yet is to be told of all of them.
    pub(crate) fn add_placements(&mut self, other: &Self) {
        if self.members.is_empty() {
            return;
        }
        for (placement, homes) in &other.homes {
            self.homes.entry(*placement).or_insert_with(|| homes.clone());
        }
    }

    /// Whether a placement is as a region has it configured: it decides about its tasks only then.
    pub(crate) fn agrees_on(&self, id: PlacementId, configured: &BTreeSet<RegionId>) -> bool {
        let is_member = |it: &&RegionId| self.members.contains_key(*it);
        let agreed = self.placements.get(&id);
        let is_same = |it: &BTreeSet<RegionId>| {
            it.iter().filter(is_member).eq(configured.iter().filter(is_member))
        };
        id == PlacementId::global() || agreed.is_some_and(is_same)
    }

    /// Whether the homes of a placement are agreed: until then each region has what it was
    /// configured with, nobody decides, and no decree changes them.
    fn is_placed(&self, id: PlacementId) -> bool {
        id == PlacementId::global() || self.placements.contains_key(&id)
    }

    /// Returns the regions of a placement that is agreed on; of `global`, all members.
    pub(crate) fn placed(&self, id: PlacementId) -> Option<BTreeSet<RegionId>> {
        if id == PlacementId::global() {
            return Some(self.members.keys().copied().collect());
        }
        self.placements.get(&id).cloned()
    }

    /// Returns the placements of a configuration of which nothing is agreed yet, as far as all of
    /// their regions are members.
    pub(crate) fn unknown_of(&self, configured: &Placements) -> Placements {
        let is_member = |it: &RegionId| self.members.contains_key(it);
        let new = configured.iter().filter(|(id, members)| {
            let is_known = **id == PlacementId::global() || self.placements.contains_key(id);
            !is_known && !members.is_empty() && members.iter().all(is_member)
        });
        new.map(|(id, members)| (*id, members.clone())).collect()
    }

    /// Iterates over the placements that are agreed on.
    pub(crate) fn placements(&self) -> impl Iterator<Item = (PlacementId, &BTreeSet<RegionId>)> {
        self.placements.iter().map(|(id, members)| (*id, members))
    }

    /// Returns the placement that a task lives in, by its name.
    pub(crate) fn placement_of(&self, id: TaskId) -> Option<PlacementId> {
        self.homes.keys().find(|it| placement_tag(**it) == id.placement_tag()).copied()
    }

    /// Returns the home of a shard.
    pub(crate) fn home(&self, placement: PlacementId, shard: Shard) -> Option<Home> {
        self.homes.get(&placement).map(|it| it.of(shard))
    }

    /// Returns the shards of a placement of which a region is the home.
    pub(crate) fn shards_of(
        &self,
        placement: PlacementId,
        region: RegionId,
    ) -> impl Iterator<Item = Shard> {
        self.homes.get(&placement).into_iter().flat_map(move |it| it.at(region))
    }

    /// Iterates over the placements that have tasks, with the homes of their shards.
    pub(crate) fn homes(&self) -> impl Iterator<Item = (PlacementId, &Homes)> {
        self.homes.iter().map(|(id, homes)| (*id, homes))
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (RegionId, &Member)> {
        self.members.iter().map(|(region, member)| (*region, member))
    }

    pub(crate) fn standings(&self) -> impl Iterator<Item = (RegionId, Standing)> {
        self.members.iter().map(|(region, member)| (*region, member.standing))
    }

    pub(crate) fn member(&self, region: RegionId) -> Option<&Member> {
        self.members.get(&region)
    }

    /// Whether a region may be given tasks.
    pub(crate) fn is_up(&self, region: RegionId) -> bool {
        let is_up = |it: &Member| it.standing == Standing::Up && !it.is_draining;
        self.member(region).is_some_and(is_up)
    }

    /// Takes in what was agreed.
    pub(crate) fn follow(&mut self, index: u64, decree: &Decree) {
        self.index = index;
        match decree {
            Decree::Fail { region, heirs } => {
                if self.stand(*region, Standing::Down) {
                    self.inherit(index, *region, heirs);
                }
            }
            Decree::Drain { region, heirs, .. } => {
                if let Some(member) = self.members.get_mut(region) {
                    member.is_draining = true;
                    self.inherit(index, *region, heirs);
                }
            }
            Decree::Undrain { region } => {
                if let Some(member) = self.members.get_mut(region) {
                    member.is_draining = false;
                }
            }
            Decree::Back { region } => drop(self.stand(*region, Standing::Up)),
            Decree::Life { region, id } => {
                if let Some(member) = self.members.get_mut(region).filter(|it| it.may_become(*id)) {
                    if Member::FORMER_MAX <= member.former.len() {
                        member.former.remove(0);
                    }
                    member.former.push(member.id);
                    (member.id, member.bereft) = (*id, index);
                    self.renew(index, *region);
                }
            }
            Decree::Move { placement, shards, to, .. } => {
                self.give(index, (*placement, shards), *to);
            }
            Decree::Add { region, id, placements } => {
                if !self.members.contains_key(region) {
                    // Removed by force without an heir, it may have lost what it had written.
                    self.renew(index, *region);
                }
                let member = self.members.entry(*region).or_insert_with(|| Member::new(*id));
                member.bereft = index;
                placements.iter().for_each(|(id, members)| self.place(index, *id, members));
            }
            Decree::Place { placements } => {
                placements.iter().for_each(|(id, members)| self.place(index, *id, members));
            }
            Decree::Remove { region, heirs } => {
                self.inherit(index, *region, heirs);
                self.members.remove(region);
            }
        }
    }

    /// Lets a region go on with what it is the home of under a new epoch.
    fn renew(&mut self, index: u64, region: RegionId) {
        let placed: Vec<PlacementId> =
            self.homes.keys().copied().filter(|it| self.is_placed(*it)).collect();
        let homes = self.homes.iter_mut().filter(|(it, _)| placed.contains(it));
        homes.for_each(|(_, it)| it.renew(index, region));
    }

    fn give(&mut self, index: u64, (id, shards): (PlacementId, &[Shard]), to: RegionId) {
        let is_up = self.is_up(to);
        let is_fit = is_up && self.is_placed(id);
        let Some(homes) = self.homes.get_mut(&id).filter(|_| is_fit) else { return };
        for shard in shards {
            let former = homes.give(index, *shard, to);
            if let Some(member) = self.members.get_mut(&former) {
                member.bereft = index;
            }
        }
    }

    /// Takes in where tasks of a placement may live. Regions that are none of its members are not
    /// the home of its tasks.
    fn place(&mut self, index: u64, id: PlacementId, members: &BTreeSet<RegionId>) {
        if id == PlacementId::global() || members.is_empty() {
            return;
        }
        let is_up = |it: &RegionId| self.is_up(*it);
        let up: BTreeSet<RegionId> = members.iter().copied().filter(is_up).collect();
        let even = Homes::even(if up.is_empty() { members } else { &up });
        let homes = self.homes.entry(id).or_insert_with(|| even.clone());
        if self.placements.insert(id, members.clone()).is_none() {
            // Nobody has decided anything: by then each region had what it was configured with.
            homes.begin_as(index, &even);
        }
        let strangers: BTreeSet<RegionId> =
            homes.all().map(|it| it.region).filter(|it| !members.contains(it)).collect();
        let heirs: Heirs = members.iter().map(|it| (*it, 1)).collect();
        for region in strangers {
            self.inherit(index, region, &BTreeMap::from([(id, heirs.clone())]));
        }
    }

    /// Takes in that the group itself has changed.
    pub(crate) fn group_changes(&mut self, index: u64) {
        (self.index, self.group_changed) = (index, index);
    }

    fn stand(&mut self, region: RegionId, standing: Standing) -> bool {
        let Some(member) = self.members.get_mut(&region) else { return false };
        member.standing = standing;
        true
    }

    /// Gives what a region is the home of to others, in the shares that were decreed.
    fn inherit(&mut self, index: u64, region: RegionId, heirs: &BTreeMap<PlacementId, Heirs>) {
        for (placement, heirs) in heirs {
            let heirs = heirs.iter().filter(|(it, share)| self.is_up(**it) && 0 < **share);
            let heirs: Heirs = heirs.map(|(it, share)| (*it, *share)).collect();
            let is_placed = self.is_placed(*placement);
            if let Some(homes) = self.homes.get_mut(placement).filter(|_| is_placed) {
                homes.inherit(index, region, &heirs);
            }
        }
        if let Some(member) = self.members.get_mut(&region) {
            member.bereft = index;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> RegionId {
        RegionId::try_from(name).unwrap()
    }

    fn charter() -> Charter {
        let regions = ["a", "b", "c"].map(region);
        let placements = BTreeMap::from([(PlacementId::global(), BTreeSet::from(regions))]);
        Charter::founded(regions.into_iter().zip(1..), &placements)
    }

    fn counts(charter: &Charter) -> Vec<usize> {
        let count = |it| charter.shards_of(PlacementId::global(), region(it)).count();
        ["a", "b", "c"].map(count).to_vec()
    }

    #[test]
    fn what_a_lost_region_was_home_of_goes_to_its_heirs_by_their_shares() {
        let mut charter = charter();
        assert_eq!(counts(&charter), [342, 341, 341]);
        let shares = Heirs::from([(region("b"), 3), (region("c"), 1)]);
        let heirs = BTreeMap::from([(PlacementId::global(), shares)]);
        let lost: Vec<Shard> = charter.shards_of(PlacementId::global(), region("a")).collect();
        charter.follow(7, &Decree::Fail { region: region("a"), heirs: heirs.clone() });
        let found = counts(&charter);
        assert_eq!(found[0], 0);
        assert_eq!(found.iter().sum::<usize>(), 1_024);
        assert!((595..=600).contains(&found[1]), "{found:?}");
        for shard in lost {
            assert_eq!(charter.home(PlacementId::global(), shard).unwrap().epoch, 2);
        }
        assert_eq!(charter.member(region("a")).unwrap().bereft, 7);
        // Those that are down themselves inherit nothing; without any heir it stays as it is.
        charter.follow(8, &Decree::Fail { region: region("b"), heirs: heirs.clone() });
        assert_eq!(counts(&charter), [0, 0, 1_024]);
        charter.follow(9, &Decree::Fail { region: region("c"), heirs });
        assert_eq!(counts(&charter), [0, 0, 1_024]);
        assert_eq!(charter.index, 9);
    }

    #[test]
    fn a_life_that_lost_its_log_begins_a_new_epoch() {
        let mut charter = charter();
        let shard = charter.shards_of(PlacementId::global(), region("b")).next().unwrap();
        charter.follow(3, &Decree::Life { region: region("b"), id: 77 });
        let home = charter.home(PlacementId::global(), shard).unwrap();
        assert_eq!((home.region, home.epoch), (region("b"), 2));
        assert_eq!(charter.member(region("b")).unwrap().id, 77);
    }
    #[test]
    fn a_region_that_was_removed_without_an_heir_and_added_begins_a_new_epoch() {
        let mut charter = charter();
        let shard = charter.shards_of(PlacementId::global(), region("b")).next().unwrap();
        charter.follow(3, &Decree::Remove { region: region("b"), heirs: BTreeMap::new() });
        let placements = BTreeMap::new();
        let add = Decree::Add { region: region("b"), id: 77, placements };
        charter.follow(4, &add);
        let home = charter.home(PlacementId::global(), shard).unwrap();
        assert_eq!((home.region, home.epoch, home.since), (region("b"), 2, 4));
        // Said again it changes nothing: the region may have decided since.
        charter.follow(5, &add);
        assert_eq!(charter.home(PlacementId::global(), shard).unwrap(), home);
    }
}
