//! Questions to the homes of tasks that are decided elsewhere.
//! Must not decide for them.

use std::collections::BTreeMap;
use std::time::Duration;

use photon_state::RegionId;

use crate::contract::{AtHome, Message, Output, Reply, Ticket};
use crate::desk::Held;
use crate::refusal::Refusal;
use crate::region::{Region, Verdict};
use crate::task::{TaskId, TaskState, region_tag};

/// The questions that are open. Their number counts as in flight.
#[derive(Debug)]
pub(crate) struct Asks {
    /// The last number used. The first is random: answers to an earlier life fit no question.
    last: u64,
    open: BTreeMap<u64, Ask>,
}

#[derive(Clone, Copy, Debug)]
struct Ask {
    to: RegionId,
    /// Who waits for the answer, if anybody.
    ticket: Option<Ticket>,
    until: Duration,
}

impl Asks {
    /// How long a home may take; the client may ask again.
    const ANSWER_WITHIN: Duration = Duration::from_secs(5);

    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        Self { last: rng.u64(..) >> 1, open: BTreeMap::new() }
    }

    /// Returns how many questions are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns when the oldest question is given up: all have the same patience.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.open.first_key_value().map(|(_, ask)| ask.until)
    }
}

impl Region {
    /// Decides about a task, or asks its home.
    pub(crate) fn decide_or_ask(&mut self, ticket: Ticket, ask: &AtHome) -> Verdict {
        self.hear_worker(ask);
        let home = match self.home_of(ask.task()) {
            Ok(home) => home,
            Err(refusal) => return refusal.into(),
        };
        if home == self.config.region {
            let (append, answer) = self.decide_at_home(ask);
            return Verdict::Reply(append, answer.map(standing));
        }
        if !self.is_reachable(home) {
            return Refusal::HomeUnreachable { region: home }.into();
        }
        self.ask(home, Some(ticket), ask.clone());
        Verdict::Asked
    }

    /// Returns the home of a task: as its log says, or as its name says if it is not known here.
    fn home_of(&self, id: TaskId) -> Result<RegionId, Refusal> {
        if let Some(task) = self.tasks.get(id) {
            return Ok(task.home());
        }
        match self.birthplace(id) {
            Some(region) if region != self.config.region => Ok(region),
            Some(_) | None => Err(Refusal::NoSuchTask(id)),
        }
    }

    /// Returns the region in which a task was born, by its name.
    pub(crate) fn birthplace(&self, id: TaskId) -> Option<RegionId> {
        self.config.regions.keys().find(|it| region_tag(**it) == id.birth_tag()).copied()
    }

    pub(crate) fn ask(&mut self, to: RegionId, ticket: Option<Ticket>, ask: AtHome) {
        self.asks.last += 1;
        let until = self.now.mono + Asks::ANSWER_WITHIN;
        self.asks.open.insert(self.asks.last, Ask { to, ticket, until });
        self.output(Output::Send(to, Message::Ask(self.asks.last, ask)));
    }

    pub(crate) fn on_answer(
        &mut self,
        from: RegionId,
        number: u64,
        answer: Result<(TaskState, u64), Refusal>,
    ) {
        if self.asks.open.get(&number).is_some_and(|ask| ask.to == from) {
            self.close_ask(number, answer.map(standing));
        }
    }

    fn close_ask(&mut self, number: u64, reply: Result<Reply, Refusal>) {
        let Some(ask) = self.asks.open.remove(&number) else { return };
        if let Some(ticket) = ask.ticket {
            self.counters.refused += u64::from(reply.is_err());
            self.say(0, Held::Reply(ticket, reply));
        }
    }

    /// Gives up the questions to a region: whether they were heard is not known.
    pub(crate) fn fail_asks_to(&mut self, region: RegionId) {
        let open = self.asks.open.iter().filter(|(_, ask)| ask.to == region);
        let numbers: Vec<u64> = open.map(|(number, _)| *number).collect();
        for number in numbers {
            self.close_ask(number, Err(Refusal::HomeUnreachable { region }));
        }
    }

    pub(crate) fn give_up_asks(&mut self) {
        while let Some((number, ask)) = self.asks.open.first_key_value() {
            if self.now.mono < ask.until {
                return;
            }
            let (number, region) = (*number, ask.to);
            self.close_ask(number, Err(Refusal::HomeUnreachable { region }));
        }
    }
}

fn standing((state, generation): (TaskState, u64)) -> Reply {
    Reply::Standing { state, generation }
}
