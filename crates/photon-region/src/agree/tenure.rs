//! How a region knows that it is still the home of what it believes to be the home of.
//!
//! It decides about tasks only while a majority of those who vote has granted a beat of it that is
//! no older than [`Limits::tenure`](crate::Limits). Whoever votes grants no beat of a region once
//! its own log holds an entry that might take a home from it, and whoever becomes a home waits
//! until the tenure of the one before has surely lapsed. So no verdict about silence, true or
//! false, ever makes two homes of one task. That asks only that clocks run alike to within a
//! twentieth.
//!
//! When it has lapsed is known sooner if those who vote say when they granted the last beat of
//! anybody who has lost a home since, and did not know: of any two majorities one is in both.
//! Must not know whether a region is down.

use std::collections::BTreeMap;
use std::time::Duration;

use photon_state::RegionId;

use super::group::{Group, GroupChange, is_group_change};
use super::{Agree, Backed, Beat};
use crate::charter::{Charter, Decree};
use crate::contract::Message;
use crate::desk::Bell;
use crate::region::Region;
use crate::task::TaskId;
use photon_state::PlacementId;

impl Region {
    /// Tells every peer that this region lives, and what it grants.
    pub(super) fn send_beats(&mut self, health: &crate::detect::Heartbeat) {
        let sent = u64::try_from(self.now.mono.as_micros()).unwrap_or(u64::MAX);
        let linked = self.peers.iter().filter(|(_, peer)| peer.is_linked);
        let peers: Vec<RegionId> = linked.map(|(region, _)| *region).collect();
        let is_holding = self.holds_tenure();
        let backed = self.backed_by_mistake();
        for to in peers {
            let beat = Beat {
                sent,
                incarnation: self.config.incarnation,
                id: self.agree.group.as_ref().map(Group::id),
                applied: self.charter.index,
                is_settled: self.agree.takeovers.is_empty(),
                is_holding,
                is_stranger: self.is_admitted() && self.charter.member(to).is_none(),
                bound: self.bound_to(to),
                granted: self.agree.allies.get(&to).and_then(|it| it.grant),
                backed,
                health: health.clone(),
            };
            self.output(crate::contract::Output::Send(to, Message::Beat(Box::new(beat))));
        }
    }

    /// Takes note that a session with a peer begins or ends: what was granted to the process at its
    /// other end is not granted to the next one, whose clock may begin at the same moment.
    pub(crate) fn forget_grant(&mut self, peer: RegionId) {
        if let Some(ally) = self.agree.allies.get_mut(&peer) {
            ally.grant = None;
        }
    }

    /// Takes in that a peer lives.
    pub(crate) fn on_beat(&mut self, from: RegionId, beat: &Beat) {
        let now = self.now.mono;
        self.agree.detector.heard(now, from, &beat.health);
        let seen = Backed { at: now, id: beat.id, applied: beat.applied };
        let may_grant = self.may_grant(from, &seen);
        let tenure = self.config.limits.tenure;
        let ally = self.agree.allies.entry(from).or_default();
        if ally.incarnation != beat.incarnation {
            // What an earlier life had may be lost.
            self.agree.takeovers.values_mut().for_each(|it| it.forget(from));
        }
        ally.hear(now, beat);
        ally.grant = may_grant.then_some(beat.sent);
        if may_grant {
            ally.backed = Some(seen);
        }
        let ago = beat.backed.map(Duration::from_micros);
        ally.lapses = ago.map(|ago| (beat.applied, now + outlasts(tenure, ago)));
        self.enrol_with(from, beat);
        self.look_at_tenure();
        self.look_at_lapses();
    }

    /// Whether nothing is known here that might take a home from a region which has come as far as
    /// its beat says.
    fn may_grant(&self, to: RegionId, beat: &Backed) -> bool {
        let Some(member) = self.charter.member(to) else { return false };
        let is_that_life = beat.id == Some(member.id);
        let has_all = member.bereft <= beat.applied && self.charter.group_changed <= beat.applied;
        is_that_life && has_all && self.agree.holds_nothing_against(to, beat.applied)
    }

    /// Returns how long ago this region granted a beat of another one which, as is known now, may
    /// have lost a home before it said so, in microseconds. It will not grant any more of those.
    fn backed_by_mistake(&self) -> Option<u64> {
        if self.durable() < self.agree.append {
            return None;
        }
        let ago = self.now.mono.saturating_sub(self.last_mistake());
        #[cfg(feature = "planted-bugs")]
        let ago = match self.planted {
            Some(crate::PlantedBug::DenyMistakes) => Duration::MAX,
            Some(_) | None => ago,
        };
        Some(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX))
    }

    /// The last granted beat of each region is enough to look at: under the same name it has
    /// followed at least as much as in those before, and another name needs a change of the group.
    fn last_mistake(&self) -> Duration {
        let backed = self.agree.allies.iter().filter_map(|(it, ally)| Some((*it, ally.backed?)));
        let mistakes = backed.filter(|(region, beat)| !self.may_grant(*region, beat));
        mistakes.map(|(_, beat)| beat.at).max().unwrap_or_default().max(self.agree.began)
    }

    /// Takes note of when those who vote became others.
    pub(super) fn look_at_group(&mut self) {
        if self.agree.group_known.0 != self.charter.group_changed {
            self.agree.group_known = (self.charter.group_changed, self.now.mono);
        }
    }

    /// Returns when the tenure of all who lost a home by a decree, or by one before it, has lapsed,
    /// as far as those who vote say so.
    pub(super) fn lapsed_as_of(&self, upto: u64) -> Option<Duration> {
        let group = self.agree.group.as_ref()?;
        let tenure = self.config.limits.tenure;
        let (of, since) = self.agree.group_known;
        // Who votes in an earlier group may have granted what nobody says who votes in this one.
        let is_old =
            since.max(self.agree.began) + outlasts(tenure, Duration::ZERO) <= self.now.mono;
        if of != self.charter.group_changed || !is_old {
            return None;
        }
        let own = self.backed_by_mistake()?; // What a majority had to keep, it keeps as well.
        let own = self.now.mono + outlasts(tenure, Duration::from_micros(own));
        let said = self.agree.allies.values().filter_map(|ally| {
            let (_, lapses) = ally.lapses.filter(|(applied, _)| upto <= *applied)?;
            Some((ally.id?, lapses))
        });
        let all: BTreeMap<u64, Duration> = said.chain([(group.id(), own)]).collect();
        let mut times: Vec<Duration> = all.values().copied().collect();
        times.sort_unstable();
        let has = |at: &Duration| group.is_majority(|id| all.get(&id).is_some_and(|it| it <= at));
        times.into_iter().find(has)
    }

    /// Whether a majority stands by what this region is the home of.
    pub(crate) fn holds_tenure(&self) -> bool {
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::IgnoreTenure) {
            return true;
        }
        let Some(group) = &self.agree.group else { return false };
        let here = self.config.region;
        let own = group.id();
        let is_own = self.charter.member(here).is_some_and(|it| it.id == own)
            && self.agree.holds_nothing_against(here, self.charter.index);
        let tenure = self.config.limits.tenure;
        let is_fresh = |at: Duration| self.now.mono < at + tenure;
        let grants = |id: u64| {
            let mut allies = self.agree.allies.values().filter(|it| it.id == Some(id));
            id == own || allies.any(|it| it.granted.is_some_and(is_fresh))
        };
        is_own && group.is_majority(grants)
    }

    /// Returns the home of a task with its epoch, as far as it is known here.
    #[must_use]
    pub fn home_and_epoch(&self, id: TaskId) -> Option<(RegionId, u32)> {
        let placement = self.charter.placement_of(id)?;
        let home = self.charter.home(placement, id.shard())?;
        Some((home.region, home.epoch))
    }

    /// Iterates over the tasks that are known here, with the generation of the last event of each.
    pub fn generations(&self) -> impl Iterator<Item = (TaskId, u64)> + '_ {
        self.tasks.iter().map(|(id, task)| (id, task.generation))
    }

    /// Whether a task is known here.
    #[must_use]
    pub fn knows_task(&self, id: TaskId) -> bool {
        self.tasks.get(id).is_some()
    }

    /// Returns a task that has not ended.
    #[must_use]
    pub fn open_task(&self) -> Option<TaskId> {
        self.tasks.iter().find(|(_, task)| !task.state.is_terminal()).map(|(id, _)| id)
    }

    /// Says how a task stands here: for those who wonder why it does not end.
    #[must_use]
    pub fn explain(&self, id: TaskId) -> String {
        let task = self.tasks.get(id).map(|it| (it.state, it.generation));
        let active = self.charter.placement_of(id).is_some_and(|it| self.is_active(id, it));
        let (home, tenure, is_held) =
            (self.home_and_epoch(id), self.holds_tenure(), self.home.holds(id));
        let (decree, takeover) = (self.charter.index, &self.agree.takeovers);
        format!(
            "{task:?}, home {home:?}, active {active}, tenure {tenure}, decree {decree}, \
             held {is_held}, {takeover:?}"
        )
    }

    /// Whether this region may decide about a task now. If not, it will look again once it may.
    pub(crate) fn may_decide(&mut self, id: TaskId, placement: PlacementId) -> bool {
        self.is_home(id, placement) && self.is_active(id, placement) && self.needs_tenure()
    }

    /// Whether a majority stands by this region. If not, what asks is done once one does.
    pub(crate) fn needs_tenure(&mut self) -> bool {
        let holds = self.holds_tenure();
        self.agree.is_holding &= holds;
        holds
    }

    /// Whether this region has taken over the shard of a task, and has its placement configured as
    /// all have agreed.
    pub(crate) fn is_active(&self, id: TaskId, placement: PlacementId) -> bool {
        let home = self.charter.home(placement, id.shard());
        let is_taken = home.is_some_and(|home| home.since <= self.agree.active(placement));
        let may_be_here = self.may_hold(self.config.region, placement);
        is_taken && may_be_here && self.agrees_on(&self.charter, placement)
    }

    /// Whether a placement is configured here as a charter has it.
    pub(crate) fn agrees_on(&self, charter: &Charter, placement: PlacementId) -> bool {
        let configured = self.config.placements.get(&placement);
        configured.is_some_and(|it| charter.agrees_on(placement, it))
    }

    /// Returns the placements of which all have agreed on other regions than are configured here.
    pub(crate) fn placed_otherwise(&self) -> impl Iterator<Item = PlacementId> + '_ {
        let agreed = self.charter.placements().map(|(placement, _)| placement);
        let is_here = |it: &PlacementId| self.config.placements.contains_key(it);
        agreed.filter(is_here).filter(|it| !self.agrees_on(&self.charter, *it))
    }

    /// Looks whether the tenure has come or gone; goes on with what waited for it.
    pub(crate) fn look_at_tenure(&mut self) {
        let is_holding = self.holds_tenure();
        let was = std::mem::replace(&mut self.agree.is_holding, is_holding);
        if !was && self.agree.is_holding {
            // Workers could not be heard meanwhile.
            self.renew_leases();
            self.dispatch_all();
            self.ring(&Bell::Home);
        }
    }

    /// Whether it held its tenure when that was looked at last.
    pub(crate) fn is_holding(&self) -> bool {
        self.agree.is_holding
    }
}

impl Agree {
    /// Whether the log holds nothing, agreed or not, after an index that might take a home from a
    /// region.
    fn holds_nothing_against(&self, region: RegionId, applied: u64) -> bool {
        self.kept().after(applied).all(|entry| {
            let may_bereave =
                |bytes: &[u8]| Decree::decode(bytes).is_ok_and(|it| it.may_bereave(region));
            // A majority of another group need not know of this one.
            let changes_group = is_group_change(entry)
                && GroupChange::decode(&entry.context)
                    .is_none_or(|it| it != GroupChange::default());
            !changes_group && !may_bereave(&entry.data)
        })
    }
}

/// Returns for how long a tenure may last by another clock that began so long ago by this one, or
/// by a third.
fn outlasts(tenure: Duration, ago: Duration) -> Duration {
    (tenure + tenure / 10).saturating_sub(ago - ago / 10)
}

impl super::Ally {
    /// How long a region may be silent until it counts as heard anew.
    const GAP: Duration = Duration::from_millis(900);

    fn hear(&mut self, now: Duration, beat: &Beat) {
        (self.incarnation, self.id, self.bound) = (beat.incarnation, beat.id, beat.bound);
        self.settled = beat.is_settled.then_some(beat.applied);
        self.applied = beat.applied;
        self.is_holding = beat.is_holding;
        self.is_stranger = beat.is_stranger;
        let granted = beat.granted.map(Duration::from_micros);
        // Whoever echoes what was not sent yet is in error.
        self.granted = granted.filter(|at| *at <= now).max(self.granted);
        let since = match self.heard {
            Some((last, since)) if now < last + Self::GAP => since,
            Some(_) | None => now,
        };
        self.heard = Some((now, since));
    }

    /// Whether it was heard just now.
    pub(super) fn is_heard(&self, now: Duration) -> bool {
        self.is_heard_within(Self::GAP, now)
    }

    /// Whether it was heard within a time that has just passed.
    pub(super) fn is_heard_within(&self, gap: Duration, now: Duration) -> bool {
        self.heard.is_some_and(|(last, _)| now < last + gap)
    }

    /// Returns for how long it has been heard without a gap.
    pub(super) fn steady_for(&self, now: Duration) -> Duration {
        match self.heard {
            Some((last, since)) if now < last + Self::GAP => now.saturating_sub(since),
            Some(_) | None => Duration::ZERO,
        }
    }
}
