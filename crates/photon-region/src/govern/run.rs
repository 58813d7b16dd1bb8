//! How what an operator wants is brought about: the leader proposes step after step, all others
//! hand the command on to it.
//! Must not decide what a step is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use super::{Govern, GovernRefusal, Knowledge, MemberView, PlacementView, PlanetView, Step, plan};
use crate::ask::Asker;
use crate::charter::Standing;
use crate::contract::{Command, Reply, Ticket};
use crate::data::is_guest;
use crate::desk::{Bell, Held};
use crate::question::{Answer, Question};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::{Patience, Verdict};

impl Region {
    /// How long a command may take until all of it is agreed.
    const AGREED_WITHIN: Duration = Duration::from_secs(10);
    /// How long the leader may take; it is asked again.
    const LEADER_WITHIN: Duration = Duration::from_secs(3);

    /// Brings about what an operator wants, or lets the leader do so.
    pub(crate) fn govern(
        &mut self,
        ticket: Ticket,
        wanted: &Govern,
        patience: Patience,
    ) -> Verdict {
        if *wanted == Govern::Show {
            return Verdict::Reply(0, Ok(Reply::Planet(self.show_planet())));
        }
        if let Govern::Add { region } = wanted
            && patience == Patience::Fresh
            && self.charter.member(*region).is_some()
        {
            return Refusal::from(GovernRefusal::AlreadyMember(*region)).into();
        }
        let wait = if is_guest(ticket) { Self::LEADER_WITHIN } else { Self::AGREED_WITHIN };
        let until = patience.until(self.now, wait);
        if self.agree.is_leading() {
            match self.step_towards(wanted) {
                Ok(Step::Done) => return Verdict::Reply(0, Ok(Reply::Planet(self.show_planet()))),
                Ok(_) => {}
                Err(refusal) => return Refusal::from(refusal).into(),
            }
        } else if let Some(leader) = self.leader().filter(|it| self.is_reachable(*it))
            && !is_guest(ticket)
            && self.now.mono < until
        {
            let asker = Asker::Govern(ticket, Box::new(wanted.clone()), until);
            self.ask(leader, asker, Question::Govern(wanted.clone()), Self::LEADER_WITHIN);
            return Verdict::Asked;
        } else if let Govern::Voters { is_forced: true, .. } = wanted
            && patience == Patience::Spent
            && !is_guest(ticket)
        {
            return self.seize(wanted);
        }
        if self.now.mono < until {
            return Verdict::Wait(Bell::Charter, until);
        }
        Refusal::from(GovernRefusal::NotAgreed).into()
    }

    /// Takes in what the leader says of a command.
    pub(crate) fn governed(
        &mut self,
        (ticket, wanted, until): (Ticket, Box<Govern>, Duration),
        answer: Result<Answer, Refusal>,
    ) {
        let may_ask_again = match &answer {
            Err(Refusal::Govern(GovernRefusal::NotAgreed) | Refusal::HomeUnreachable { .. }) => {
                self.now.mono < until
            }
            Ok(_) | Err(_) => false,
        };
        if may_ask_again {
            return self.desk.park(ticket, Command::Govern(*wanted), Bell::Charter, until);
        }
        let reply = match answer {
            Ok(Answer::Planet(view)) => Ok(Reply::Planet(view)),
            Ok(_) => unreachable!("answers are checked"),
            Err(Refusal::HomeUnreachable { .. }) => Err(GovernRefusal::NotAgreed.into()),
            Err(refusal) => Err(refusal),
        };
        self.say(0, Held::Reply(ticket, reply));
    }

    /// As the leader, proposes what comes next; returns what is still missing.
    fn step_towards(&mut self, wanted: &Govern) -> Result<Step, GovernRefusal> {
        if self.agree.is_behind(self.charter.index) {
            return Ok(Step::Wait);
        }
        let heirs = |region| self.heirs_of(region);
        let known = Knowledge {
            charter: &self.charter,
            placements: &self.config.placements,
            configured: self.agree.names(&self.config),
            voters: self.agree.voters(&self.charter),
            heard: self.heard_regions(),
            settled: self.settled_regions(),
            heirs: &heirs,
        };
        let step = plan(&known, wanted)?;
        self.propose_step(&step);
        Ok(step)
    }

    /// Makes this region the only one that votes, if it is to vote at all: no majority is left that
    /// could decide so.
    fn seize(&mut self, wanted: &Govern) -> Verdict {
        let Govern::Voters { voters, .. } = wanted else {
            return Refusal::from(GovernRefusal::NotAgreed).into();
        };
        let here = self.config.region;
        // Who else is to vote is said afterwards: they might not be heard.
        if voters.len() != 1 || !voters.contains(&here) || self.check_disk().is_err() {
            return Refusal::from(GovernRefusal::NotAgreed).into();
        }
        self.found_anew();
        let until = self.now.mono + Self::AGREED_WITHIN;
        Verdict::Wait(Bell::Charter, until)
    }

    /// Returns the members that live, as far as this region knows, with itself.
    fn heard_regions(&self) -> BTreeSet<RegionId> {
        let here = self.config.region;
        let all = self.charter.members().map(|(region, _)| region);
        all.filter(|it| *it == here || self.agree.hears(*it, self.now.mono)).collect()
    }

    /// Returns the members that have taken over all that they are the home of.
    fn settled_regions(&self) -> BTreeSet<RegionId> {
        let here = self.config.region;
        let since = |region| {
            let homes = self.charter.homes();
            let of = homes.flat_map(|(_, it)| it.at(region).map(|shard| it.of(shard).since));
            of.max().unwrap_or(0)
        };
        let is_settled = |it: &RegionId| match *it == here {
            true => self.agree.takeovers.is_empty(),
            false => self.agree.has_settled(*it, since(*it)),
        };
        self.charter.members().map(|(region, _)| region).filter(is_settled).collect()
    }

    /// Shows what all regions agree on, as it is known here.
    pub(crate) fn show_planet(&self) -> PlanetView {
        let (voters, settled) = (self.agree.voters(&self.charter), self.settled_regions());
        let member = |(region, member): (RegionId, &crate::charter::Member)| MemberView {
            region,
            is_voter: voters.contains(&region),
            is_down: member.standing == Standing::Down,
            is_draining: member.is_draining,
            is_settled: settled.contains(&region),
            shards: self.shards_at(region),
        };
        let placement = |(placement, regions): (PlacementId, &BTreeSet<RegionId>)| PlacementView {
            placement,
            regions: regions.iter().copied().collect(),
            is_configured: self.agrees_on(&self.charter, placement),
        };
        PlanetView {
            decree: self.charter.index,
            leader: self.leader(),
            members: self.charter.members().map(member).collect(),
            placements: self.charter.placements().map(placement).collect(),
        }
    }
}

/// Names the lives of regions.
pub(crate) type Names = BTreeMap<RegionId, Option<u64>>;
