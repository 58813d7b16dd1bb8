//! Looks at tasks that are not here: a region that has them is asked, and nothing of its answer is
//! kept. Must not decide about a task.

use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use crate::ask::{Asker, Asks};
use crate::contract::{AtHome, Command, Reply, Ticket};
use crate::data::{Outside, is_guest};
use crate::desk::{Bell, Desk, Held};
use crate::question::{Answer, Question};
use crate::refusal::{Queue, Refusal};
use crate::region::Region;
use crate::task::TaskId;
use crate::verdict::{Patience, Verdict};

/// A look at one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// At the task.
    Show(TaskId),
    /// At its webhooks.
    Webhooks(TaskId),
    /// At its events after a generation, for as long as `wait` if there is none.
    Follow { task: TaskId, after: u64, wait: Duration },
}

impl Look {
    fn task(self) -> TaskId {
        match self {
            Self::Show(task) | Self::Webhooks(task) | Self::Follow { task, .. } => task,
        }
    }

    fn wait(self) -> Duration {
        match self {
            Self::Show(_) | Self::Webhooks(_) => Duration::ZERO,
            Self::Follow { wait, .. } => wait,
        }
    }

    fn command(self) -> Command {
        match self {
            Self::Show(task) => Command::Task(task),
            Self::Webhooks(task) => Command::Webhooks(task),
            Self::Follow { task, after, wait } => Command::Events { task, after, wait },
        }
    }
}

impl Region {
    /// How long a task that was born elsewhere may take to arrive here before its home is asked.
    pub(crate) const ARRIVES_WITHIN: Duration = Duration::from_secs(2);

    /// Returns how old what is known here of a task may be: no event that its home wrote earlier is
    /// missing. Nothing if that is not known, as while homes change.
    pub(crate) fn staleness_of_task(&self, id: TaskId, placement: PlacementId) -> Option<Duration> {
        let (home, _) = self.home_and_epoch(id)?;
        if home == self.config.region {
            let is_sure = self.is_active(id, placement) && self.holds_tenure();
            return is_sure.then_some(Duration::ZERO);
        }
        let since = self.charter.home(placement, id.shard())?.since;
        let is_sure = self.agree.says_it_decides(home, since, &self.charter);
        self.data.staleness_of((home, placement), self.now.mono).filter(|_| is_sure)
    }

    /// Refuses a peer that may not be shown a task.
    pub(crate) fn check_looker(&self, ticket: Ticket, id: TaskId) -> Result<(), Refusal> {
        let Some(from) = self.guest_of(ticket) else { return Ok(()) };
        let placement = self.charter.placement_of(id).ok_or(Refusal::NoSuchTask(id))?;
        if self.may_hold(from, placement) || self.is_open_to_others() {
            return Ok(());
        }
        Err(self.outside(from, placement))
    }

    /// Whether regions that may not hold a task hand on what clients ask about it.
    pub(crate) fn is_open_to_others(&self) -> bool {
        self.config.limits.tasks_outside == Outside::Forward
    }

    /// Refuses a region that may not hold a task what it would have to hand on.
    pub(crate) fn check_outside(&self, from: RegionId, ask: &AtHome) -> Result<(), Refusal> {
        match self.charter.placement_of(ask.task()) {
            Some(placement) if !self.may_hold(from, placement) && !self.may_ask(from, ask) => {
                Err(self.outside(from, placement))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Returns what a region is told that may not ask this of a home.
    pub(crate) fn not_to_be_asked(&self, from: Option<RegionId>, ask: &AtHome) -> Refusal {
        let is_of_client = match ask {
            AtHome::Cancel { .. }
            | AtHome::Answer { .. }
            | AtHome::Topic { .. }
            | AtHome::SetWebhook { .. }
            | AtHome::RemoveWebhook { .. } => true,
            AtHome::Heartbeat(_)
            | AtHome::Note { .. }
            | AtHome::Finish { .. }
            | AtHome::Fail { .. }
            | AtHome::Pause { .. }
            | AtHome::Decline(_)
            | AtHome::Submit { .. } => false,
        };
        let refused = from.filter(|_| is_of_client);
        let refused = refused.map(|it| self.check_outside(it, ask));
        refused.and_then(Result::err).unwrap_or(Refusal::NoSuchTask(ask.task()))
    }

    fn outside(&self, region: RegionId, placement: PlacementId) -> Refusal {
        let members = self.config.placements.get(&placement);
        let members = members.map(|it| it.iter().copied().collect()).unwrap_or_default();
        Refusal::OutsidePlacement { region, placement, members }
    }

    /// Looks at a task that is not known here.
    pub(crate) fn look_elsewhere(
        &mut self,
        ticket: Ticket,
        look: Look,
        patience: Patience,
    ) -> Verdict {
        let (id, here) = (look.task(), self.config.region);
        let known = self.charter.placement_of(id).zip(self.home_of(id).ok());
        let Some((placement, home)) = known else { return Refusal::NoSuchTask(id).into() };
        if self.may_hold(here, placement) {
            if home == here {
                // Only a home that may decide knows that there is none.
                let until = patience.until(self.now, Asks::HOME_WITHIN);
                return match self.is_ready(id) {
                    true => Refusal::NoSuchTask(id).into(),
                    false if self.now.mono < until => Verdict::Wait(Bell::Home, until),
                    false => Refusal::HomeUnreachable { region: here }.into(),
                };
            }
            // It may be on its way; what its home alone knows is asked of that at once.
            let is_for_home = matches!(look, Look::Webhooks(_));
            if is_for_home && !is_guest(ticket) && self.is_reachable(home) {
                let until = patience.until(self.now, Asks::HOME_WITHIN);
                return self.have_looked((ticket, look, until), home);
            }
            let until = patience.until(self.now, Self::ARRIVES_WITHIN);
            if self.now.mono < until {
                return Verdict::Wait(Bell::Task(id), until);
            }
            if is_guest(ticket) || !self.is_reachable(home) {
                return Refusal::HomeUnreachable { region: home }.into();
            }
            return self.have_looked((ticket, look, until), home);
        }
        if is_guest(ticket) || !self.is_open_to_others() {
            return self.outside(here, placement).into();
        }
        let until = patience.until(self.now, look.wait().max(Asks::HOME_WITHIN));
        match self.who_has(home, placement) {
            Some(to) if patience != Patience::Spent => self.have_looked((ticket, look, until), to),
            None if self.now.mono < until => Verdict::Wait(Bell::Home, until),
            Some(_) | None => Refusal::HomeUnreachable { region: home }.into(),
        }
    }

    /// Returns the region to ask for a task: its home, or else the nearest that may have it.
    fn who_has(&self, home: RegionId, placement: PlacementId) -> Option<RegionId> {
        let mut all = std::iter::once(&home).chain(self.registry.near());
        all.find(|it| self.may_hold(**it, placement) && self.is_reachable(**it)).copied()
    }

    fn have_looked(
        &mut self,
        (ticket, look, until): (Ticket, Look, Duration),
        to: RegionId,
    ) -> Verdict {
        if Desk::PARKED_MAX <= self.asks.looks() {
            let (max, retry_after) = (Desk::PARKED_MAX as u64, Duration::from_secs(1));
            return Refusal::Overloaded { what: Queue::InFlight, max, retry_after }.into();
        }
        let wait = look.wait().min(until.saturating_sub(self.now.mono));
        let question = match look {
            Look::Show(id) => Question::Show(id),
            Look::Webhooks(id) => Question::Webhooks(id),
            Look::Follow { task, after, .. } => Question::Follow { task, after, wait },
        };
        self.counters.looked_elsewhere += 1;
        let asker = Asker::Look(ticket, look, until, self.now.mono);
        self.ask(to, asker, question, wait.saturating_add(Asks::ANSWER_WITHIN));
        Verdict::Asked
    }

    /// Tells what another region has seen of a task; looks again if it was lost on the way.
    pub(crate) fn looked(
        &mut self,
        (ticket, look, until, asked): (Ticket, Look, Duration, Duration),
        from: RegionId,
        answer: Result<Answer, Refusal>,
    ) {
        // What was so when it was answered may be as old as the question.
        let took = self.now.mono.saturating_sub(asked);
        let reply = match answer {
            Ok(Answer::Task(mut detail)) => {
                detail.staleness = detail.staleness.map(|it| it + took);
                Ok(Reply::Task(detail))
            }
            Ok(Answer::Events { events, state, staleness }) => {
                let staleness = staleness.map(|it| it + took);
                Ok(Reply::Events { events, state, staleness })
            }
            Ok(Answer::Webhooks(webhooks)) => Ok(Reply::Webhooks(webhooks)),
            Ok(_) => unreachable!("nobody looks at a task for it, and answers are checked"),
            Err(Refusal::HomeUnreachable { .. }) if self.now.mono < until => {
                let id = look.task();
                let known = self.charter.placement_of(id).zip(self.home_of(id).ok());
                let next = known.and_then(|(placement, home)| self.who_has(home, placement));
                if next.is_some_and(|it| it != from) {
                    return self.on_command(ticket, look.command(), Patience::Until(until));
                }
                return self.desk.park(ticket, look.command(), Bell::Home, until);
            }
            Err(refusal) => Err(refusal),
        };
        self.counters.refused += u64::from(reply.is_err());
        self.say(0, Held::Reply(ticket, reply));
    }
}
