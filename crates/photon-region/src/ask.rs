//! Questions to other regions: to the homes of tasks, and about records that are decided elsewhere.
//! Must not decide for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use crate::contract::{Answer, AtHome, Message, Output, Question, Reply, Ticket};
use crate::data::{DataRefusal, ReplyKind};
use crate::desk::{Bell, Held};
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
    deadlines: BTreeSet<(Duration, u64)>,
    /// Tasks that other regions were asked to accept, and that have not arrived here.
    pub(crate) arriving: BTreeMap<Ticket, TaskId>,
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

/// What kind of answer fits a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Standing,
    Data(ReplyKind),
    State,
    Rights,
}

impl Wanted {
    fn by(question: &Question) -> Self {
        match question {
            Question::Task(_) => Self::Standing,
            Question::Data(command) => Self::Data(command.reply_kind()),
            Question::State { .. } | Question::Had(_) => Self::State,
            Question::Rights { .. } => Self::Rights,
        }
    }

    /// Whether an answer fits. A refusal fits every question.
    fn fits(self, answer: &Result<Answer, Refusal>) -> bool {
        match answer {
            Ok(Answer::Standing(..)) => self == Self::Standing,
            Ok(Answer::Data(reply)) => match self {
                Self::Data(kind) => reply.is(kind),
                Self::Standing | Self::State | Self::Rights => false,
            },
            Ok(Answer::State(..)) => self == Self::State,
            Ok(Answer::Rights(_)) => self == Self::Rights,
            Err(_) => true,
        }
    }
}

/// Who waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// Nobody.
    Nobody,
    /// A command.
    Command(Ticket),
    /// A read that gathers the states of several regions, by its ticket.
    Gather(Ticket),
    /// A submission that another region is to accept.
    Submit(Ticket, Box<Spec>),
    /// This region, which takes over tasks of a placement, up to a decree.
    Takeover(PlacementId, u64),
    /// A read that looks for a record in several placements, by its ticket.
    Search(Ticket),
}

impl Asks {
    /// Keys of submissions that are on their way; beyond it they are forgotten.
    pub(crate) const SENT_ON_MAX: usize = 10_000;
    /// How long a command waits until this region may decide about its tasks.
    const HOME_WITHIN: Duration = Duration::from_secs(5);
    /// How long a home may take; the client may ask again.
    const ANSWER_WITHIN: Duration = Duration::from_secs(5);

    pub(crate) fn new(rng: &mut fastrand::Rng) -> Self {
        Self {
            last: rng.u64(..) >> 1,
            open: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            arriving: BTreeMap::new(),
            sent_on: BTreeMap::new(),
        }
    }

    /// Returns how many questions are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns when the next question is given up.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    fn close(&mut self, number: u64) -> Option<Ask> {
        let ask = self.open.remove(&number)?;
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
        self.hear_worker(ask);
        let home = match self.home_of(ask.task()) {
            Ok(home) => home,
            Err(refusal) => return refusal.into(),
        };
        let until = patience.until(self.now, Asks::HOME_WITHIN);
        let is_ready = home != self.config.region || self.is_ready(ask.task());
        if !is_ready && self.now.mono < until {
            return Verdict::Wait(Bell::Home, until);
        }
        if home == self.config.region {
            let (append, answer) = self.decide_at_home(ask);
            return Verdict::Reply(append, answer.map(standing));
        }
        if !self.is_reachable(home) {
            return Refusal::HomeUnreachable { region: home }.into();
        }
        self.ask_home(home, Asker::Command(ticket), ask.clone());
        Verdict::Asked
    }

    /// Returns the home of a task, by its name; it need not be known here.
    pub(crate) fn home_of(&self, id: TaskId) -> Result<RegionId, Refusal> {
        let placement = self.charter.placement_of(id);
        let home = placement.and_then(|it| self.charter.home(it, id.shard()));
        home.map(|it| it.region).ok_or(Refusal::NoSuchTask(id))
    }

    /// Asks the home of a task.
    pub(crate) fn ask_home(&mut self, to: RegionId, asker: Asker, ask: AtHome) {
        self.ask(to, asker, Question::Task(ask), Asks::ANSWER_WITHIN);
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
            Asker::Command(ticket) => {
                let mut answer = answer;
                let data = match &mut answer {
                    Ok(Answer::Data(reply)) => Some(&mut **reply),
                    Ok(Answer::Standing(..) | Answer::State(..) | Answer::Rights(_)) | Err(_) => {
                        None
                    }
                };
                self.data.give_back_session(ticket, data);
                let reply = match answer {
                    Ok(Answer::Standing(state, generation)) => Ok(standing((state, generation))),
                    Ok(Answer::Data(reply)) => Ok(Reply::Data(reply)),
                    Ok(Answer::State(..) | Answer::Rights(_)) => {
                        unreachable!("no command asks for it, and answers are checked")
                    }
                    // It has become its home and has not heard of it yet.
                    Err(Refusal::NoSuchTask(id)) if self.tasks.get(id).is_some() => {
                        Err(Refusal::HomeUnreachable { region: ask.to })
                    }
                    Err(refusal) => Err(refusal),
                };
                self.counters.refused += u64::from(reply.is_err());
                self.say(0, Held::Reply(ticket, reply));
            }
            Asker::Gather(ticket) => self.gathered(ticket, ask.to, answer),
            Asker::Search(ticket) => self.searched(ticket, answer),
            Asker::Submit(ticket, spec) => self.submitted_elsewhere((ticket, spec), answer),
            Asker::Takeover(placement, upto) => {
                self.told_of_takeover((placement, upto), ask.to, answer);
            }
        }
    }

    /// Gives up a question: whether it was heard is not known.
    fn fail_ask(&mut self, number: u64) {
        let Some(ask) = self.asks.open.get(&number) else { return };
        let region = ask.to;
        let refusal = match ask.wanted {
            Wanted::Standing => Refusal::HomeUnreachable { region },
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
