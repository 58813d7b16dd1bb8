//! What the leader proposes for an operator, and what it knows of the others when it does.
//! Must not decide what is proposed.

use std::collections::BTreeSet;
use std::time::Duration;

use photon_state::RegionId;
use raft::eraftpb::ConfState;

use super::Agree;
use super::enrol::region_of;
use super::group::{Group, GroupChange};
use crate::charter::{Charter, Handover};
use crate::config::Config;
use crate::govern::{Names, Step};
use crate::region::Region;

impl Region {
    /// Returns who leads the group, as far as this region knows.
    pub(crate) fn leader(&self) -> Option<RegionId> {
        let leader = self.agree.group.as_ref().and_then(Group::leader)?;
        region_of(&self.config, leader)
    }

    /// Proposes a step, if it needs one.
    pub(crate) fn propose_step(&mut self, step: &Step) {
        let now = self.agree.voters(&self.charter);
        let id = |it: &RegionId| self.charter.member(*it).map(|member| member.id);
        let change = |learns: Vec<u64>, leaves: Vec<u64>, decree: &crate::charter::Decree| {
            GroupChange { learns, leaves, decree: decree.encode(), ..GroupChange::default() }
        };
        let change = match step {
            Step::Done | Step::Wait => return,
            Step::Decree(decree) => {
                let bytes = decree.encode().to_vec();
                self.agree.group.as_mut().map(|it| it.propose(bytes));
                return self.drive_group();
            }
            Step::Vote(voters) => GroupChange {
                votes: voters.difference(&now).filter_map(id).collect(),
                learns: now.difference(voters).filter_map(id).collect(),
                ..GroupChange::default()
            },
            Step::Admit(id, decree) => change(vec![*id], vec![], decree),
            // A leader need not vote. Once it was removed it would be heard for ever, and could
            // propose nothing.
            Step::Dismiss(own, _) if self.agree.is_named(*own) => {
                let now = self.now.mono;
                let heard = |it: &RegionId| self.agree.hears(*it, now);
                let heir = self.agree.voters(&self.charter).into_iter().find(heard);
                let heir = heir.as_ref().and_then(id);
                if let Some((group, heir)) = self.agree.group.as_mut().zip(heir) {
                    group.hand_over(heir);
                }
                return self.drive_group();
            }
            Step::Dismiss(id, decree) => change(vec![], vec![*id], decree),
        };
        self.agree.group.as_mut().map(|it| it.propose_group(&change));
        self.drive_group();
    }

    /// Goes on with what this region has of the group as its only voter, under a charter that no
    /// member of the former group can have followed. What only others had is lost.
    pub(crate) fn found_anew(&mut self) {
        let Some(group) = self.agree.group.as_ref() else { return };
        let own = group.id();
        let before = self.charter.clone();
        let index = group.last_index() + Group::FOUNDED_ANEW;
        self.charter.group_changes(index);
        let others = self.charter.members().map(|(_, it)| it.id).filter(|it| *it != own);
        let conf =
            ConfState { voters: vec![own], learners: others.collect(), ..ConfState::default() };
        let kept = group.kept().founded_anew(index, conf, self.charter.encode());
        self.agree.group = Some(Group::new(own, kept, self.now.mono));
        self.keep_whole();
        self.charter_changed(&before, Handover::ByTenure);
        if let Some(group) = self.agree.group.as_mut() {
            group.campaign();
        }
        self.drive_group();
    }
}

impl Agree {
    /// How long a region is silent until others are turned to where that costs nothing: four beats.
    const QUIET: Duration = Duration::from_millis(400);

    /// Whether this region leads the group.
    pub(crate) fn is_leading(&self) -> bool {
        self.group.as_ref().is_some_and(Group::is_leader)
    }

    /// Whether this region has that name in the group.
    fn is_named(&self, id: u64) -> bool {
        self.group.as_ref().is_some_and(|it| it.id() == id)
    }

    /// Whether something is under way that the charter has not followed.
    pub(crate) fn is_behind(&self, index: u64) -> bool {
        self.group.as_ref().is_none_or(|it| index < it.last_index())
    }

    /// Returns the members that vote.
    pub(crate) fn voters(&self, charter: &Charter) -> BTreeSet<RegionId> {
        let votes = |id: u64| self.group.as_ref().is_some_and(|it| it.conf().voters.contains(&id));
        charter.members().filter(|(_, it)| votes(it.id)).map(|(region, _)| region).collect()
    }

    /// Returns the regions that are configured, with the names of the lives that are heard.
    pub(crate) fn names(&self, config: &Config) -> Names {
        let own = self.group.as_ref().map(Group::id);
        let name = |region: &RegionId| match *region == config.region {
            true => own,
            false => self.allies.get(region).and_then(|it| it.id),
        };
        config.regions.keys().map(|it| (*it, name(it))).collect()
    }

    /// Whether a region is down, and that is not only because most others are silent.
    pub(crate) fn is_lost(&self, region: RegionId) -> bool {
        self.detector.verdict(region).is_down && self.detector.is_missed(region)
    }

    /// Whether a region is heard, and not lost to others.
    pub(crate) fn hears(&self, region: RegionId, now: Duration) -> bool {
        self.has_heard(region, now) && !self.is_lost(region)
    }

    /// Whether a region is heard, whatever is thought of it.
    pub(crate) fn has_heard(&self, region: RegionId, now: Duration) -> bool {
        self.allies.get(&region).is_some_and(|it| it.is_heard(now))
    }

    /// Whether a region was heard just now: who was not is none to wait for, if there are others.
    pub(crate) fn hears_now(&self, region: RegionId, now: Duration) -> bool {
        self.allies.get(&region).is_some_and(|it| it.is_heard_within(Self::QUIET, now))
    }

    /// Whether a region says that it decides about what it is the home of since a decree, and knows
    /// of no decree that a charter lacks.
    pub(crate) fn says_it_decides(&self, region: RegionId, since: u64, charter: &Charter) -> bool {
        let ally = self.allies.get(&region);
        let decides = ally.is_some_and(|it| it.is_holding && it.applied <= charter.index);
        decides && self.has_settled(region, since)
    }

    /// Whether a region says that it has taken over all of what decrees up to one gave it.
    pub(crate) fn has_settled(&self, region: RegionId, since: u64) -> bool {
        let settled = self.allies.get(&region).and_then(|it| it.settled);
        settled.is_some_and(|upto| since <= upto)
    }
}
