//! Requests that another region must decide: handed on, or taken in from a peer.
//! Must not keep anything of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{PlacementId, RegionId, Seen};

use super::refusal::DataRefusal;
use super::{DataCommand, DataReply, DatasetSpec, Outside};
use crate::ask::Asker;
use crate::contract::{Command, Reply, Ticket};
use crate::question::{Answer, Question};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::{Patience, Verdict};

/// Tickets from here on are those of peers; the shell's are lower.
const GUESTS_FROM: Ticket = 1 << 63;

/// Commands that peers have handed on, and that wait here.
#[derive(Debug, Default)]
pub(super) struct Guests {
    last: Ticket,
    waiting: BTreeMap<Ticket, (RegionId, u64)>,
    /// The last questions of each peer in this session, and the number up to which older ones are
    /// passed over: a message may come twice, and not everything may be done twice.
    heard: BTreeMap<RegionId, (u64, BTreeSet<u64>)>,
}

impl Guests {
    /// Questions of a peer that are remembered. One that comes later than so many others that were
    /// asked after it is passed over: its region gives it up.
    const HEARD_MAX: usize = 4_096;

    /// Whether a question of a peer comes for the first time.
    fn hears(&mut self, from: RegionId, number: u64) -> bool {
        let (floor, heard) = self.heard.entry(from).or_default();
        if number <= *floor || !heard.insert(number) {
            return false;
        }
        if Self::HEARD_MAX < heard.len() {
            *floor = heard.pop_first().expect("it is not empty");
        }
        true
    }
}

/// Whether a command was handed on by a peer: it is not handed on a second time.
pub(crate) fn is_guest(ticket: Ticket) -> bool {
    GUESTS_FROM <= ticket
}

/// Turns what a guest hears into what its region is answered.
pub(crate) fn into_answer(reply: Reply) -> Answer {
    match reply {
        Reply::Data(reply) => Answer::Data(reply),
        Reply::Planet(view) => Answer::Planet(view),
        Reply::Standing { state, generation } => Answer::Standing(state, generation),
        Reply::Task(detail) => Answer::Task(detail),
        Reply::Events { events, state, staleness } => Answer::Events { events, state, staleness },
        Reply::Webhooks(webhooks) => Answer::Webhooks(webhooks),
        Reply::Posted { mark, repeated } => Answer::Posted(mark, repeated),
        Reply::Done
        | Reply::Due(_)
        | Reply::Agent(_)
        | Reply::Agents { .. }
        | Reply::AgentChanges { .. }
        | Reply::Route(_)
        | Reply::Submitted { .. }
        | Reply::Tasks { .. }
        | Reply::Leases(_)
        | Reply::Posts(_)
        | Reply::Topics(_)
        | Reply::Topology(_) => unreachable!("guests do not ask for it"),
    }
}

impl super::Data {
    /// Puts back into a session what the region that answered was not told of.
    pub(crate) fn give_back_session(&mut self, ticket: Ticket, reply: Option<&mut DataReply>) {
        let Some(withheld) = self.withheld.remove(&ticket) else { return };
        if let Some(session) = reply.and_then(DataReply::session) {
            session.join(&withheld);
        }
    }

    /// Returns where the answer to a guest goes.
    pub(crate) fn leaves(&mut self, ticket: Ticket) -> Option<(RegionId, u64)> {
        self.guests.waiting.remove(&ticket)
    }
}

impl Region {
    /// How much longer than the client another region is waited for: its own deadline comes first.
    const GRACE: Duration = Duration::from_secs(2);

    /// Takes in a command that a peer hands on.
    pub(crate) fn welcome(&mut self, from: RegionId, number: u64, command: Command) {
        let guests = &mut self.data.guests;
        if !guests.hears(from, number) {
            return;
        }
        guests.last += 1;
        let ticket = GUESTS_FROM | guests.last;
        guests.waiting.insert(ticket, (from, number));
        self.on_command(ticket, command, Patience::Fresh);
    }

    /// Forgets the commands of a peer: their answers would not arrive.
    pub(crate) fn dismiss_guests_of(&mut self, peer: RegionId) {
        let all = self.data.guests.waiting.iter().filter(|(_, (from, _))| *from == peer);
        let tickets: Vec<Ticket> = all.map(|(ticket, _)| *ticket).collect();
        self.data.guests.heard.remove(&peer);
        for ticket in tickets {
            self.data.guests.waiting.remove(&ticket);
            self.forget_asker(ticket);
        }
    }

    /// Takes in that nobody waits for a reply any more. What was written stays.
    pub(crate) fn forget_asker(&mut self, ticket: Ticket) {
        drop(self.desk.unpark(ticket));
        self.asks.arriving.remove(&ticket);
        self.asks.forget(ticket);
        self.data.levels.forget(ticket);
        self.data.gathers.remove(&ticket);
        self.data.searches.remove(&ticket);
        self.data.withheld.remove(&ticket);
    }

    /// Returns the region whose command a ticket names, if a peer has handed it on.
    pub(crate) fn guest_of(&self, ticket: Ticket) -> Option<RegionId> {
        self.data.guests.waiting.get(&ticket).map(|(region, _)| *region)
    }

    /// Whether a question of a peer comes for the first time.
    pub(crate) fn hears_first(&mut self, from: RegionId, number: u64) -> bool {
        self.data.guests.hears(from, number)
    }

    /// Refuses a peer that asks for what it may not hold, if the dataset says so.
    pub(super) fn check_guest(
        &self,
        ticket: Ticket,
        spec: &DatasetSpec,
        placement: PlacementId,
    ) -> Result<(), Refusal> {
        let Some((region, _)) = self.data.guests.waiting.get(&ticket).copied() else {
            return Ok(());
        };
        if spec.outside == Outside::Forward || self.may_hold(region, placement) {
            return Ok(());
        }
        let members = self.config.placements.get(&placement);
        let members = members.map(|it| it.iter().copied().collect()).unwrap_or_default();
        Err(Refusal::OutsidePlacement { region, placement, members })
    }

    /// Refuses to tell the names of keys that are sensitive to a region outside their placement:
    /// this one, for a client, or the peer that asks.
    pub(super) fn check_told(
        &self,
        ticket: Ticket,
        spec: &DatasetSpec,
        placements: &[PlacementId],
    ) -> Result<(), Refusal> {
        let region = self.guest_of(ticket).unwrap_or(self.config.region);
        let outside = placements.iter().find(|it| !self.may_hold(region, **it));
        let Some(placement) = outside.copied().filter(|_| spec.sensitive_keys) else {
            return Ok(());
        };
        let members = self.config.placements.get(&placement);
        let members = members.map(|it| it.iter().copied().collect()).unwrap_or_default();
        Err(Refusal::OutsidePlacement { region, placement, members })
    }

    /// Hands a command on to the region that decides it.
    pub(super) fn hand_on(
        &mut self,
        ticket: Ticket,
        to: RegionId,
        command: &DataCommand,
        wait: Duration,
    ) -> Result<Verdict, Refusal> {
        if is_guest(ticket) || !self.is_reachable(to) {
            return Err(DataRefusal::DeciderUnreachable { region: to, was_sent: false }.into());
        }
        let mut command = command.clone();
        let told = command.sessions().next().cloned().unwrap_or_default();
        let withheld = told.iter().filter(|(it, _)| !self.may_hold(to, it.placement));
        let withheld: Seen = withheld.map(|(it, seq)| (*it, seq)).collect();
        if !withheld.is_empty() {
            self.data.withheld.insert(ticket, withheld);
        }
        self.ask_about_data(to, Asker::Command(ticket), command, wait);
        Ok(Verdict::Asked)
    }

    /// Asks another region what a client wants to know or to have done.
    pub(super) fn ask_about_data(
        &mut self,
        to: RegionId,
        asker: Asker,
        mut command: DataCommand,
        wait: Duration,
    ) {
        self.counters.forwarded += 1;
        // Nobody is told of streams that it may not know.
        for seen in command.sessions() {
            let known = seen.iter().filter(|(it, _)| self.may_hold(to, it.placement));
            *seen = known.map(|(it, seq)| (*it, seq)).collect();
        }
        let question = Question::Data(Box::new(command));
        self.ask(to, asker, question, wait.saturating_add(Self::GRACE));
    }

    /// Returns the region that answers for a placement: this one, or the nearest that is linked.
    pub(super) fn answers_for(
        &self,
        spec: &DatasetSpec,
        placement: PlacementId,
    ) -> Result<RegionId, Refusal> {
        let here = self.config.region;
        if self.may_hold(here, placement) {
            return Ok(here);
        }
        if spec.outside == Outside::Refuse {
            self.check_placement(placement)?;
        }
        let members = self.registry.near().filter(|it| self.may_hold(**it, placement));
        let mut members = members.copied();
        let nearest = members.clone().next();
        let linked = members.find(|it| self.is_reachable(*it));
        linked.or(nearest).ok_or(Refusal::NoSuchPlacement(placement))
    }
}
