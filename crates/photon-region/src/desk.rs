//! The front desk: replies that wait for the disk, and commands that wait for something to happen.
//! Must not know what a command means.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{RegionId, StreamId};
use rustc_hash::FxHashMap;

use crate::contract::{Command, Message, Reply, Ticket};
use crate::data::{DatasetName, MoveId};
use crate::question::Answer;
use crate::refusal::Refusal;
use crate::task::{AgentName, TaskId};

/// Something that is said only once an append is durable.
#[derive(Debug)]
pub(crate) enum Held {
    /// To a client.
    Reply(Ticket, Result<Reply, Refusal>),
    /// To a region that asked.
    Answer(RegionId, u64, Result<Answer, Refusal>),
    /// To a region.
    Send(RegionId, Message),
}

/// What a command waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bell {
    /// An event of the task.
    Task(TaskId),
    /// Work for the agent.
    Agent(AgentName),
    /// An op of a stream.
    Seen(StreamId, u64),
    /// A change of a dataset.
    Dataset(DatasetName),
    /// News of what a peer has.
    Peers,
    /// The end of a move.
    Move(MoveId),
    /// This region may decide about tasks again, or about more of them; or another one may.
    Home,
    /// What all regions agree on may have changed.
    Charter,
    /// A webhook that is to be told something.
    Webhooks,
    /// A message of a topic.
    Topic(TaskId),
}

/// A command that waits.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) command: Command,
    pub(crate) until: Duration,
    bell: Bell,
}

/// What is held back, and who waits.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    held: BTreeMap<u64, Vec<Held>>,
    held_count: usize,
    parked: FxHashMap<Ticket, Parked>,
    deadlines: BTreeSet<(Duration, Ticket)>,
    /// Who waits for each bell; the lower ticket came first.
    waiting: BTreeMap<Bell, BTreeSet<Ticket>>,
}

impl Desk {
    /// Commands that may wait for something to happen; more are refused.
    pub(crate) const PARKED_MAX: usize = 65_536;

    /// Holds something back until an append is durable.
    pub(crate) fn hold(&mut self, append: u64, held: Held) {
        self.held.entry(append).or_default().push(held);
        self.held_count += 1;
    }

    /// Releases what waited for appends up to a number.
    pub(crate) fn release(&mut self, durable: u64) -> Vec<Held> {
        let later = self.held.split_off(&(durable + 1));
        let released: Vec<Held> =
            std::mem::replace(&mut self.held, later).into_values().flatten().collect();
        self.held_count -= released.len();
        released
    }

    /// Returns how many replies are held back.
    pub(crate) fn held(&self) -> usize {
        self.held_count
    }

    /// Lets a command wait for a bell, until a time.
    pub(crate) fn park(&mut self, ticket: Ticket, command: Command, bell: Bell, until: Duration) {
        self.deadlines.insert((until, ticket));
        self.waiting.entry(bell.clone()).or_default().insert(ticket);
        self.parked.insert(ticket, Parked { command, until, bell });
    }

    /// Takes a command back that waits.
    pub(crate) fn unpark(&mut self, ticket: Ticket) -> Option<Parked> {
        let parked = self.parked.remove(&ticket)?;
        self.deadlines.remove(&(parked.until, ticket));
        let queue = self.waiting.get_mut(&parked.bell).expect("a parked command is in its queue");
        queue.remove(&ticket);
        if queue.is_empty() {
            self.waiting.remove(&parked.bell);
        }
        Some(parked)
    }

    /// Takes the command that has waited longest for a bell.
    pub(crate) fn ring_one(&mut self, bell: &Bell) -> Option<(Ticket, Parked)> {
        let ticket = *self.waiting.get(bell)?.first()?;
        Some((ticket, self.unpark(ticket)?))
    }

    /// Takes all commands that wait for a bell.
    pub(crate) fn ring_all(&mut self, bell: &Bell) -> Vec<(Ticket, Parked)> {
        let tickets = self.waiting.remove(bell).unwrap_or_default();
        let take = |ticket| {
            let parked = self.parked.remove(&ticket)?;
            self.deadlines.remove(&(parked.until, ticket));
            Some((ticket, parked))
        };
        tickets.into_iter().filter_map(take).collect()
    }

    /// Takes all commands that wait for an op of a stream up to a number.
    pub(crate) fn ring_seen(&mut self, stream: StreamId, seq: u64) -> Vec<(Ticket, Parked)> {
        let due = self.waiting.range(Bell::Seen(stream, 0)..=Bell::Seen(stream, seq));
        let bells: Vec<Bell> = due.map(|(bell, _)| bell.clone()).collect();
        bells.iter().flat_map(|bell| self.ring_all(bell)).collect()
    }

    /// Takes a command whose wait is over.
    pub(crate) fn overdue(&mut self, now: Duration) -> Option<(Ticket, Parked)> {
        let (until, ticket) = *self.deadlines.first()?;
        if now < until {
            return None;
        }
        Some((ticket, self.unpark(ticket)?))
    }

    /// Whether anybody waits for a bell.
    pub(crate) fn waits(&self, bell: &Bell) -> bool {
        self.waiting.contains_key(bell)
    }

    /// Returns when the next wait is over.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    /// Returns how many commands wait.
    pub(crate) fn parked(&self) -> usize {
        self.parked.len()
    }
}
