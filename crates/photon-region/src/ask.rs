//! Questions to other regions: to the homes of tasks, and about records that are decided elsewhere.
//! Must not decide for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use crate::contract::{AtHome, Command, Message, Output, Reply, Ticket};
use crate::data::{DataRefusal, is_guest};
use crate::desk::{Bell, Held};
use crate::elsewhere::Look;
use crate::govern::Govern;
use crate::question::{Answer, Question, Wanted};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::task::{Spec, TaskId, TaskState};
use crate::verdict::{Patience, Verdict};

/// The questions that are open. Their number counts as in flight.
#[derive(Debug)]
pub(crate) struct Asks {
    /// The last number used. The first is random: answers to an earlier life fit no question.
    last: u64,
    open: BTreeMap<u64, Ask>,
    /// How many of them are looks at tasks.
    looks: usize,
    deadlines: BTreeSet<(Duration, u64)>,
    /// Tasks that other regions were asked to accept, and that have not arrived here.
    pub(crate) arriving: BTreeMap<Ticket, TaskId>,
    /// What other regions were asked to accept without a key, and may be asked once more.
    pub(crate) named: BTreeMap<Ticket, TaskId>,
    /// Commands that a home was asked and did not answer, and that are asked again.
    unsure: BTreeMap<Ticket, RegionId>,
    /// Tasks that other regions were asked to accept, by their keys, until they arrive; with
    /// digests of what was asked.
    pub(crate) sent_on: BTreeMap<(PlacementId, Arc<str>), (TaskId, [u8; 16])>,
}

#[derive(Clone, Debug)]
struct Ask {
    to: RegionId,
    asker: Asker,
    until: Duration,
    wanted: Wanted,
}

/// Who waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Nobody.
    Nobody,
    /// A command.
    Command(Ticket),
    /// A command about a task, by what it asks of which home, and until when it may wait.
    AtHome(Ticket, RegionId, Box<AtHome>, Duration),
    /// A look at a task, until when it may wait, and when it was asked.
    Look(Ticket, Look, Duration, Duration),
    /// A region for which the home of a task is asked, by the number of its question.
    Region(RegionId, u64),
    /// A read that gathers the states of several regions, by its ticket.
    Gather(Ticket),
    /// A submission that another region is to accept, and until when it may wait.
    Submit(Ticket, Box<Spec>, Duration),
    /// A command that the leader is to bring about, and until when it may wait.
    Govern(Ticket, Box<Govern>, Duration),
    /// This region, which takes over tasks.
    Takeover {
        /// Of which placement.
        placement: PlacementId,
        /// Up to which decree.
        upto: u64,
        /// Whether it asks for the word of an earlier home.
        is_word: bool,
    },
    /// A read that looks for a record in several placements, by its ticket.
    Search(Ticket),
}

impl Asks {
    /// Keys of submissions that are on their way; beyond it they are forgotten.
    pub(crate) const SENT_ON_MAX: usize = 10_000;
    /// How long a command waits until this region may decide about its tasks.
    pub(crate) const HOME_WITHIN: Duration = Duration::from_secs(5);
    /// The same of a peer's command: its region asks again.
    const GUEST_WITHIN: Duration = Duration::from_secs(3);
    /// How long a home may take; the client may ask again.
    pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(5);

    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        Self {
            last: rng.u64(..) >> 1,
            open: BTreeMap::new(),
            looks: 0,
            deadlines: BTreeSet::new(),
            arriving: BTreeMap::new(),
            named: BTreeMap::new(),
            unsure: BTreeMap::new(),
            sent_on: BTreeMap::new(),
        }
    }

    /// Returns how many questions are open that take work: who looks waits, as followers do.
    pub(crate) fn len(&self) -> usize {
        self.open.len() - self.looks
    }

    /// Returns how many clients wait for what another region sees of a task.
    pub(crate) fn looks(&self) -> usize {
        self.looks
    }

    /// Returns when the next question is given up.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Takes note that a question that changes something may have been heard.
    fn doubt(&mut self, number: u64, home: RegionId) {
        if let Some(Asker::AtHome(ticket, ..) | Asker::Submit(ticket, ..)) =
            self.open.get(&number).map(|it| &it.asker)
        {
            self.unsure.insert(*ticket, home);
        }
    }

    /// Lets go of what is known of a command.
    pub(crate) fn forget(&mut self, ticket: Ticket) {
        self.named.remove(&ticket);
        self.unsure.remove(&ticket);
    }

    /// Returns what a command is answered at last. Whether it was done is not known if a home was
    /// asked before that did not answer, though another one has no room for it now.
    pub(crate) fn conclude(
        &mut self,
        ticket: Ticket,
        reply: Result<Reply, Refusal>,
    ) -> Result<Reply, Refusal> {
        match (self.unsure.remove(&ticket), reply) {
            (Some(region), Err(Refusal::Overloaded { .. } | Refusal::DiskFull { .. })) => {
                Err(Refusal::HomeUnreachable { region })
            }
            (_, reply) => reply,
        }
    }

    fn close(&mut self, number: u64) -> Option<Ask> {
        let ask = self.open.remove(&number)?;
        self.looks -= usize::from(matches!(ask.asker, Asker::Look(..)));
        self.deadlines.remove(&(ask.until, number));
        Some(ask)
    }
}

impl Region {
    /// Decides about a task, or asks its home.
    pub(crate) fn decide_or_ask(
        &mut self,
        ticket: Ticket,
        ask: &AtHome,
        patience: Patience,
    ) -> Verdict {
        if is_guest(ticket) {
            return self.decide_for_guest(ticket, ask, patience);
        }
        if let Err(refusal) = self.check_outside(self.config.region, ask) {
            return refusal.into();
        }
        if let Err(refusal) = self.check_topic(ask) {
            return refusal.into();
        }
        self.hear_worker(ask);
        let home = match self.home_of(ask.task()) {
            Ok(home) => home,
            // Topics are there wherever their placement is: who does not know a home will.
            Err(_) if matches!(ask, AtHome::Topic { .. }) => self.config.region,
            Err(refusal) => return refusal.into(),
        };
        let until = patience.until(self.now, Asks::HOME_WITHIN);
        let is_here = home == self.config.region;
        let is_ready = if is_here { self.is_ready(ask.task()) } else { self.has_way(home, ask) };
        // Another region may soon be the home.
        if !is_ready && self.now.mono < until {
            return Verdict::Wait(Bell::Home, until);
        }
        if is_here {
            return self.decide_here(ask);
        }
        if !is_ready || patience == Patience::Spent {
            return Refusal::HomeUnreachable { region: home }.into();
        }
        let asker = Asker::AtHome(ticket, home, Box::new(ask.clone()), until);
        self.ask_home(home, asker, ask.clone());
        Verdict::Asked
    }

    /// Takes in what a peer asks of the home of a task, which knows the charter up to a decree.
    pub(crate) fn on_task_asked(
        &mut self,
        (from, number): (RegionId, u64),
        ask: AtHome,
        decree: u64,
    ) {
        let is_here = self.home_of(ask.task()).is_ok_and(|it| it == self.config.region);
        let is_soon =
            if is_here { !self.is_ready(ask.task()) } else { self.charter.index < decree };
        // What is to be durable elsewhere is waited for here.
        let waits = is_soon || is_here && matches!(ask, AtHome::Topic { .. });
        if waits && self.may_ask(from, &ask) {
            return self.welcome(from, number, Command::AtHome(ask));
        }
        let (append, answer) = self.answer(from, &ask);
        self.say(append, Held::Answer(from, number, answer));
    }

    /// Decides for a peer, once this region may, or says that it may not.
    fn decide_for_guest(&mut self, ticket: Ticket, ask: &AtHome, patience: Patience) -> Verdict {
        let until = patience.until(self.now, Asks::GUEST_WITHIN);
        let is_here = self.home_of(ask.task()).is_ok_and(|it| it == self.config.region);
        let may_come =
            if is_here { !self.is_ready(ask.task()) } else { patience == Patience::Fresh };
        if may_come && self.now.mono < until {
            return Verdict::Wait(Bell::Home, until);
        }
        let may_ask = self.guest_of(ticket).is_some_and(|from| self.may_ask(from, ask));
        if !may_ask {
            return self.not_to_be_asked(self.guest_of(ticket), ask).into();
        }
        self.decide_here(ask)
    }

    fn decide_here(&mut self, ask: &AtHome) -> Verdict {
        if let AtHome::Topic { topic, name, ask } = ask {
            return self.decide_topic(*topic, name, ask).unwrap_or_else(Verdict::from);
        }
        let (append, answer) = self.decide_at_home(ask);
        Verdict::Reply(append, answer.map(standing))
    }

    /// A region outside a task's placement does not even hear whether there is such a task, unless
    /// it may hand on what clients ask. They do not work on it, nor submit it.
    pub(crate) fn may_ask(&self, from: RegionId, ask: &AtHome) -> bool {
        let placement = self.charter.placement_of(ask.task());
        let is_open = match ask {
            AtHome::Cancel { .. }
            | AtHome::Answer { .. }
            | AtHome::SetWebhook { .. }
            | AtHome::RemoveWebhook { .. } => self.is_open_to_others(),
            AtHome::Submit { spec, .. } => {
                return Some(spec.placement) == placement && self.may_hold(from, spec.placement);
            }
            AtHome::Heartbeat(_)
            | AtHome::Note { .. }
            | AtHome::Finish { .. }
            | AtHome::Fail { .. }
            | AtHome::Pause { .. }
            | AtHome::Topic { .. }
            | AtHome::Decline(_) => false,
        };
        placement.is_some_and(|it| is_open || self.may_hold(from, it))
    }

    fn answer(&mut self, from: RegionId, ask: &AtHome) -> (u64, Result<Answer, Refusal>) {
        if !self.may_ask(from, ask) {
            return (0, Err(self.not_to_be_asked(Some(from), ask)));
        }
        let (append, answer) = self.decide_at_home(ask);
        (append, answer.map(|(state, generation)| Answer::Standing(state, generation)))
    }

    /// Returns the home of a task, by its name; it need not be known here.
    pub(crate) fn home_of(&self, id: TaskId) -> Result<RegionId, Refusal> {
        let placement = self.charter.placement_of(id);
        let home = placement.and_then(|it| self.charter.home(it, id.shard()));
        home.map(|it| it.region).ok_or(Refusal::NoSuchTask(id))
    }

    /// Asks a region, and gives up after a while.
    pub(crate) fn ask(
        &mut self,
        to: RegionId,
        asker: Asker,
        question: Question,
        patience: Duration,
    ) {
        self.asks.last += 1;
        let (number, until) = (self.asks.last, self.now.mono.saturating_add(patience));
        let wanted = Wanted::by(&question);
        self.asks.looks += usize::from(matches!(asker, Asker::Look(..)));
        self.asks.open.insert(number, Ask { to, asker, until, wanted });
        self.asks.deadlines.insert((until, number));
        self.output(Output::Send(to, Message::Ask(number, question)));
    }

    /// Takes in what a peer answers. What cannot be an answer to what it was asked is as good as
    /// none: whoever waits is refused, and shown nothing of it.
    pub(crate) fn on_answer(
        &mut self,
        from: RegionId,
        number: u64,
        answer: Result<Answer, Refusal>,
    ) {
        let Some(ask) = self.asks.open.get(&number).filter(|ask| ask.to == from) else { return };
        if ask.wanted.fits(&answer) {
            self.close_ask(number, answer);
        } else {
            self.counters.misplaced += 1;
            self.fail_ask(number);
        }
    }

    fn close_ask(&mut self, number: u64, answer: Result<Answer, Refusal>) {
        let Some(ask) = self.asks.close(number) else { return };
        match ask.asker {
            Asker::Nobody => {}
            Asker::AtHome(ticket, home, asked, until) => {
                self.home_answered((ticket, asked, until), home, answer);
            }
            Asker::Look(ticket, look, until, asked) => {
                self.looked((ticket, look, until, asked), ask.to, answer);
            }
            Asker::Region(from, number) => self.say(0, Held::Answer(from, number, answer)),
            Asker::Command(ticket) => {
                let mut answer = answer;
                let data = match &mut answer {
                    Ok(Answer::Data(reply)) => Some(&mut **reply),
                    Ok(_) | Err(_) => None,
                };
                self.data.give_back_session(ticket, data);
                let reply = answer.map(|answer| {
                    let Answer::Data(reply) = answer else {
                        unreachable!("no other command asks for it, and answers are checked")
                    };
                    Reply::Data(reply)
                });
                self.counters.refused += u64::from(reply.is_err());
                self.say(0, Held::Reply(ticket, reply));
            }
            Asker::Gather(ticket) => self.gathered(ticket, ask.to, answer),
            Asker::Search(ticket) => self.searched(ticket, answer),
            Asker::Submit(ticket, spec, until) => {
                self.submitted_elsewhere((ticket, spec, until), answer);
            }
            Asker::Govern(ticket, wanted, until) => {
                self.governed((ticket, wanted, until), answer);
            }
            Asker::Takeover { placement, upto, is_word } => {
                self.told_of_takeover((placement, upto, is_word), ask.to, answer);
            }
        }
    }

    /// Answers a command about a task as its home did; or asks again if the home has moved, or may.
    fn home_answered(
        &mut self,
        (ticket, asked, until): (Ticket, Box<AtHome>, Duration),
        from: RegionId,
        answer: Result<Answer, Refusal>,
    ) {
        let reply = match answer {
            Ok(Answer::Standing(state, generation)) => Ok(standing((state, generation))),
            Ok(Answer::Posted(mark, repeated)) => Ok(Reply::Posted { mark, repeated }),
            Ok(_) => unreachable!("nobody asks a home for it, and answers are checked"),
            // It has become its home and has not heard of it yet.
            Err(Refusal::NoSuchTask(id))
                if self.tasks.get(id).is_some() || matches!(*asked, AtHome::Topic { .. }) =>
            {
                Err(Refusal::HomeUnreachable { region: from })
            }
            Err(refusal) => Err(refusal),
        };
        if matches!(reply, Err(Refusal::HomeUnreachable { .. })) && self.now.mono < until {
            let has_moved = self.home_of(asked.task()).is_ok_and(|it| it != from);
            let command = Command::AtHome(*asked);
            if has_moved {
                return self.on_command(ticket, command, Patience::Until(until));
            }
            return self.desk.park(ticket, command, Bell::Home, until);
        }
        let reply = self.asks.conclude(ticket, reply);
        self.counters.refused += u64::from(reply.is_err());
        self.say(0, Held::Reply(ticket, reply));
    }

    /// Gives up a question: whether it was heard is not known.
    fn fail_ask(&mut self, number: u64) {
        let Some(ask) = self.asks.open.get(&number) else { return };
        let region = match &ask.asker {
            Asker::AtHome(_, home, ..) => *home,
            Asker::Submit(ticket, ..) => {
                let task = self.asks.arriving.get(ticket);
                task.and_then(|it| self.home_of(*it).ok()).unwrap_or(ask.to)
            }
            Asker::Nobody
            | Asker::Region(..)
            | Asker::Look(..)
            | Asker::Command(_)
            | Asker::Gather(_)
            | Asker::Govern(..)
            | Asker::Takeover { .. }
            | Asker::Search(_) => ask.to,
        };
        let refusal = match ask.wanted {
            Wanted::Standing
            | Wanted::Posted
            | Wanted::Task
            | Wanted::Events
            | Wanted::Webhooks
            | Wanted::Planet => {
                self.asks.doubt(number, region);
                Refusal::HomeUnreachable { region }
            }
            Wanted::Data(_) | Wanted::State | Wanted::Rights => {
                DataRefusal::DeciderUnreachable { region, was_sent: true }.into()
            }
        };
        self.close_ask(number, Err(refusal));
    }

    /// Gives up the questions to a region.
    pub(crate) fn fail_asks_to(&mut self, region: RegionId) {
        let open = self.asks.open.iter().filter(|(_, ask)| ask.to == region);
        let numbers: Vec<u64> = open.map(|(number, _)| *number).collect();
        numbers.into_iter().for_each(|number| self.fail_ask(number));
    }

    pub(crate) fn give_up_asks(&mut self) {
        while let Some((until, number)) = self.asks.deadlines.first().copied() {
            if self.now.mono < until {
                return;
            }
            self.fail_ask(number);
        }
    }
}

fn standing((state, generation): (TaskState, u64)) -> Reply {
    Reply::Standing { state, generation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Queue;

    #[test]
    fn what_may_have_been_done_is_not_refused_as_what_was_not() {
        let home = RegionId::try_from("eu").expect("a name of a region");
        let busy = Refusal::Overloaded {
            what: Queue::InFlight,
            max: 1,
            retry_after: Duration::from_secs(1),
        };
        let mut asks = Asks::new(&mut fastrand::Rng::with_seed(0));
        assert_eq!(asks.conclude(1, Err(busy.clone())), Err(busy.clone()));
        asks.unsure.insert(1, home);
        let unknown = Refusal::HomeUnreachable { region: home };
        assert_eq!(asks.conclude(1, Err(busy.clone())), Err(unknown));
        assert_eq!(asks.conclude(1, Err(busy.clone())), Err(busy), "it is answered once");
    }
}
