//! What a region does for the group as time passes: beat, judge, replace a lost leader; and as the
//! leader, propose what has become necessary.
//! Must not take a home from anybody by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use super::Agree;
use super::group::{Group, GroupChange};
use crate::charter::{Charter, Decree, Handover, Heirs, Standing};
use crate::contract::Disk;
use crate::desk::Bell;
use crate::detect::{Condition, Load};
use crate::reach::Whose;
use crate::region::Region;
use crate::view::PeerVerdict;

impl Region {
    /// How many regions share what a lost one was the home of, the nearest to it.
    const HEIRS_MAX: usize = 3;
    /// How long a region that was down must be heard without a gap before it counts as back.
    const BACK_AFTER: Duration = Duration::from_secs(2);

    /// Does what is due.
    pub(crate) fn agree_on_time(&mut self) {
        let now = self.now.mono;
        if now < self.agree.next_deadline() {
            return;
        }
        if self.agree.group.is_none() {
            self.enrol();
        }
        self.look_at_group();
        self.agree.detector.tell(self.load(), 1);
        #[cfg(feature = "planted-bugs")]
        let is_alone = self.planted == Some(crate::PlantedBug::JudgeAlone);
        #[cfg(feature = "planted-bugs")]
        self.agree.detector.judge_alone(is_alone);
        // What changed is read where it is needed.
        let changes = self.agree.detector.tick(now);
        self.agree.judged.extend(changes.iter().map(|it| (it.region, now)));
        let is_changed = !changes.is_empty();
        if changes.iter().any(|it| it.was.is_path_bad != it.is.is_path_bad) {
            self.links_changed(Whose::Own);
        }
        let may_write = self.disk == Disk::Ready;
        match self.agree.group.as_mut() {
            Some(group) if may_write => group.tick(now),
            Some(group) => group.pass(now + Group::TICK),
            None => {}
        }
        if may_write {
            self.replace_leader();
        }
        self.drive_group();
        if let Some(health) = self.agree.detector.beat(now) {
            self.send_beats(&health);
            self.propose_what_is_due();
            self.ring(&Bell::Charter);
        }
        self.go_on_taking_over();
        self.look_at_tenure();
        if is_changed {
            self.dispatch_all();
            self.ring(&Bell::Home);
        }
    }

    /// Returns how this region is doing.
    fn load(&self) -> Load {
        let limits = &self.config.limits;
        let share = |used: usize, max: usize| used.saturating_mul(1_000) / max.max(1);
        let commands = share(self.in_flight(), limits.in_flight_max);
        // Tasks that wait for their clients are no work, but take the place of others.
        let taken = share(self.home.open(), limits.open_tasks_max).max(commands);
        let used = share(self.home.busy(), limits.open_tasks_max).max(commands).min(1_000);
        let own = self.charter.member(self.config.region);
        let condition = Condition {
            is_disk_slow: self.disk == Disk::Full || self.syncing.is_slow(self.now.mono),
            is_overloaded: 900 <= taken,
            is_clock_off: self.agree.clocks.off_ms.is_some(),
            is_draining: own.is_some_and(|it| it.is_draining),
        };
        Load { condition, used_permille: u16::try_from(used).unwrap_or(1_000) }
    }

    /// As the leader, proposes what has become necessary: one thing at a time.
    fn propose_what_is_due(&mut self) {
        let may_write = self.disk == Disk::Ready;
        let group = self.agree.group.as_ref().filter(|it| it.is_leader() && may_write);
        let Some(group) = group else { return };
        if self.charter.index < group.last_index() {
            return; // Something is under way.
        }
        if let Some(change) = self.life_is_due() {
            self.agree.group.as_mut().map(|it| it.propose_group(&change));
        } else if let Some(decree) = self.decree_is_due() {
            self.agree.group.as_mut().map(|it| it.propose(decree.encode().to_vec()));
        } else {
            return;
        }
        self.drive_group();
    }

    /// A region that lives with a new log takes the place of its earlier life.
    fn life_is_due(&self) -> Option<GroupChange> {
        let conf = self.agree.group.as_ref().map(Group::conf)?;
        let (region, id) = self.agree.allies.iter().find_map(|(region, ally)| {
            let member = self.charter.member(*region)?;
            Some((*region, ally.id.filter(|id| member.may_become(*id))?))
        })?;
        let former = self.charter.member(region)?.id;
        let decree = Decree::Life { region, id }.encode();
        let votes = conf.voters.contains(&former);
        let (votes, learns) = if votes { (vec![id], vec![]) } else { (vec![], vec![id]) };
        Some(GroupChange { votes, learns, leaves: vec![former], decree })
    }

    fn decree_is_due(&self) -> Option<Decree> {
        let placements = self.charter.unknown_of(&self.config.placements);
        if !placements.is_empty() {
            return Some(Decree::Place { placements });
        }
        let now = self.now.mono;
        let is_down = |region| self.agree.detector.verdict(region).is_down;
        let of = |standing| self.charter.standings().filter(move |(_, it)| *it == standing);
        // First of all: homes wait for it.
        if let Some((region, _)) = of(Standing::Up).find(|(it, _)| self.agree.is_lost(*it)) {
            return Some(Decree::Fail { region, heirs: self.heirs_of(region) });
        }
        of(Standing::Down).find_map(|(region, _)| {
            let steady = self.agree.allies.get(&region).map(|it| it.steady_for(now));
            let is_steady = steady.is_some_and(|it| Self::BACK_AFTER <= it);
            if !is_down(region) && (region == self.config.region || is_steady) {
                return Some(Decree::Back { region });
            }
            // When it was lost, some of its placements may have had nobody left.
            let heirs = self.heirs_of(region);
            let has_any = heirs.values().any(|it| !it.is_empty());
            has_any.then_some(Decree::Fail { region, heirs })
        })
    }

    /// Returns who shall get what a region is the home of: the nearest that may and that live, by
    /// how much room they have.
    pub(crate) fn heirs_of(&self, region: RegionId) -> BTreeMap<PlacementId, Heirs> {
        let mut all = BTreeMap::new();
        for (placement, homes) in self.charter.homes() {
            let Some(members) = self.charter.placed(placement) else { continue };
            if homes.at(region).next().is_none() {
                continue;
            }
            let lives = |it: &RegionId| {
                *it != region && self.charter.is_up(*it) && !self.agree.is_lost(*it)
            };
            let mut living: Vec<RegionId> = members.into_iter().filter(lives).collect();
            let metres = |it: &RegionId| {
                let from = self.config.regions.get(&region);
                let to = self.config.regions.get(it);
                from.zip(to).map_or(u64::MAX, |(a, b)| (a.distance_km(*b) * 1e3) as u64)
            };
            living.sort_by_key(|it| (metres(it), *it));
            let nearest = living.into_iter().take(Self::HEIRS_MAX);
            all.insert(placement, nearest.map(|it| (it, self.room_at(it))).collect());
        }
        all
    }

    /// Returns how much room a region has, in thousandths; at least one.
    fn room_at(&self, region: RegionId) -> u64 {
        let load = match region == self.config.region {
            true => Some(self.load()),
            false => self.agree.detector.load(region),
        };
        let load = load.unwrap_or_default();
        let room = 1_000_u64.saturating_sub(load.used_permille.into());
        if load.condition.is_degraded() { 1 } else { room.max(1) }
    }

    /// Returns what is thought of a region, this one too.
    #[must_use]
    pub fn verdict_on(&self, region: RegionId) -> PeerVerdict {
        let verdict = self.agree.detector.verdict(region);
        let member = self.charter.member(region);
        let standing = member.map(|it| it.standing);
        if verdict.is_down && member.is_some() || standing == Some(Standing::Down) {
            PeerVerdict::Down
        } else if !verdict.is_reachable() || member.is_none() && !self.is_linked(region) {
            PeerVerdict::PathBad
        } else if verdict.condition.is_degraded() || member.is_some_and(|it| it.is_draining) {
            PeerVerdict::Degraded
        } else {
            PeerVerdict::Up
        }
    }

    /// Returns the regions that are not agreed to be out: their votes count. Beside each stands the
    /// last decree by which it was out, or home of less.
    pub fn members(&self) -> impl Iterator<Item = (RegionId, u64)> {
        let up = self.charter.members().filter(|(_, it)| it.standing != Standing::Down);
        up.map(|(region, it)| (region, it.bereft))
    }

    /// Whether this region leads the group that agrees.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.agree.is_leading()
    }

    /// Returns the last decree by which any region was out, or home of less.
    #[must_use]
    pub fn last_loss(&self) -> u64 {
        self.charter.members().map(|(_, it)| it.bereft).max().unwrap_or(0)
    }

    /// Returns how many shards a region is the home of.
    pub(crate) fn shards_at(&self, region: RegionId) -> usize {
        self.charter.homes().map(|(_, homes)| homes.at(region).count()).sum()
    }

    /// Tells the detector whose votes count: not those of regions that are agreed to be out, or
    /// that are no members. There may be links to them all the same.
    pub(super) fn tell_the_detector(&mut self) {
        let members = self.members().map(|(region, _)| region);
        let members: BTreeSet<RegionId> = members.chain([self.config.region]).collect();
        let all = self.config.regions.keys().copied();
        let others = all.filter(|it| !members.contains(it)).collect();
        self.agree.detector.observers(self.now.mono, &members, &others);
    }

    /// Follows a change of the charter.
    pub(super) fn charter_changed(&mut self, before: &Charter, handover: Handover) {
        if !self.charter.standings().eq(before.standings()) {
            self.tell_the_detector();
        }
        self.homes_changed(before, handover);
    }
}

impl Agree {
    /// Returns for how long a region has been judged as it is.
    pub(crate) fn judged_for(&self, region: RegionId, now: Duration) -> Option<Duration> {
        self.judged.get(&region).map(|at| now.saturating_sub(*at))
    }

    /// Whether work may be sent to a region: it is not known to be down, nor the way to it bad.
    pub(crate) fn is_usable(&self, region: RegionId) -> bool {
        self.detector.verdict(region).is_reachable()
    }
}
