//! Writes that are acknowledged only once they are durable in several regions: a consistency level
//! is a condition over what the regions of the placement have seen.
//! Must not know what was written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::{PlacementId, Position, StreamId};

use super::refusal::DataRefusal;
use super::{DataReply, WriteLevel, Written};
use crate::contract::{Reply, Ticket};
use crate::desk::Held;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::task::TaskId;
use crate::tasks::task_record;
use crate::verdict::Verdict;
use crate::webhooks::Mark;

/// Writes that wait for their level.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The last op of each stream that was written.
    pub(super) marks: Vec<(StreamId, u64)>,
    /// The last append of the writes.
    pub(super) append: u64,
    pub(super) level: WriteLevel,
    pub(super) written: Written,
    /// What is answered instead of what was written.
    pub(super) reply: Option<Promised>,
    pub(super) until: Duration,
}

/// What is answered once a majority has something.
#[derive(Debug)]
pub(super) struct Promised {
    reply: Reply,
    /// The message of a topic that it is about: of that this region still has to be the home.
    post: Option<(TaskId, Mark)>,
}

/// All writes that wait.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// By the first mark that has not reached the level.
    waiting: BTreeMap<(StreamId, u64, Ticket), Pending>,
    keys: BTreeMap<Ticket, (StreamId, u64)>,
    deadlines: BTreeSet<(Duration, Ticket)>,
}

impl Levels {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(until, _)| *until)
    }

    fn wait(&mut self, ticket: Ticket, (stream, seq): (StreamId, u64), pending: Pending) {
        self.deadlines.insert((pending.until, ticket));
        self.keys.insert(ticket, (stream, seq));
        self.waiting.insert((stream, seq, ticket), pending);
    }

    pub(super) fn forget(&mut self, ticket: Ticket) -> Option<Pending> {
        let (stream, seq) = self.keys.remove(&ticket)?;
        let pending = self.waiting.remove(&(stream, seq, ticket))?;
        self.deadlines.remove(&(pending.until, ticket));
        Some(pending)
    }
}

impl Region {
    /// Lets a reply about a task wait until all that is known of the task here is durable in a
    /// majority of its placement.
    pub(crate) fn at_quorum(
        &self,
        (task, placement): (TaskId, PlacementId),
        reply: Reply,
        until: Duration,
    ) -> Verdict {
        let record = task_record(placement, task);
        let runs = self.store.log(&record).map_or(&[][..], photon_state::Log::runs);
        // What came in a peer's state is known before it counts as seen.
        let mut seen = self.covers.beyond(&Position::Log(record.clone()));
        seen.join(self.store.seen());
        let marks = runs.iter().map(|run| (run.stream, seen.of(&run.stream))).collect();
        self.at_majority(marks, (placement, None), reply, until)
    }

    /// Lets a reply wait until streams are durable up to some numbers in a majority of a placement.
    pub(crate) fn at_majority(
        &self,
        marks: Vec<(StreamId, u64)>,
        (placement, post): (PlacementId, Option<(TaskId, Mark)>),
        reply: Reply,
        until: Duration,
    ) -> Verdict {
        let members = self.config.placements.get(&placement).map_or(1, BTreeSet::len);
        let region = self.config.region;
        let (records, session) = (Vec::new(), photon_state::Seen::default());
        let written = Written { records, region, durable_in: 1, members, session };
        let (append, level) = (self.appended(), WriteLevel::Quorum);
        let reply = Some(Promised { reply, post });
        Verdict::Level(Box::new(Pending { marks, append, level, written, reply, until }))
    }

    /// Lets writes wait until they have reached their level; they may have already.
    pub(crate) fn await_level(&mut self, ticket: Ticket, pending: Pending) {
        let unmet = pending.marks.iter().copied().find(|(stream, seq)| {
            let members = self.config.placements[&stream.placement].len();
            self.durable_in(*stream, *seq) < pending.level.needs(members)
        });
        if let Some(mark) = unmet {
            self.data.levels.wait(ticket, mark, pending);
            return;
        }
        // An heir may have begun without it, before it was durable in so many.
        let post = pending.reply.as_ref().and_then(|it| it.post);
        if post.is_some_and(|(topic, mark)| !self.still_numbers(topic, mark)) {
            let region = self.config.region;
            return self.say(0, Held::Reply(ticket, Err(Refusal::HomeUnreachable { region })));
        }
        let durable_in = self.reached(&pending);
        let written = Written { durable_in, ..pending.written };
        let written = || Reply::Data(Box::new(DataReply::Written(written)));
        let reply = pending.reply.map_or_else(written, |it| it.reply);
        self.say(0, Held::Reply(ticket, Ok(reply)));
    }

    /// Returns in how many regions of the placement all of the writes are known to be durable.
    fn reached(&self, pending: &Pending) -> usize {
        let all = pending.marks.iter().map(|(stream, seq)| self.durable_in(*stream, *seq));
        all.min().unwrap_or(0)
    }

    /// Returns in how many regions of its placement an op of this region is known to be durable.
    fn durable_in(&self, stream: StreamId, seq: u64) -> usize {
        let here = self.streams.get(&stream).is_some_and(|it| seq <= it.durable);
        let there = self.peers.iter().filter(|(region, peer)| {
            let has = peer.theirs.as_ref().is_some_and(|seen| seq <= seen.of(&stream));
            has && self.may_hold(**region, stream.placement)
        });
        let count = usize::from(here) + there.count();
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(crate::PlantedBug::CountTwice) {
            return count + usize::from(here);
        }
        count
    }

    /// Looks at the writes that wait for a stream: more of it is durable somewhere.
    pub(crate) fn settle(&mut self, stream: StreamId) {
        if self.data.levels.waiting.is_empty() {
            return;
        }
        // A placement may have been taken out of the configuration, while a peer still names it.
        let Some(members) = self.config.placements.get(&stream.placement) else { return };
        // Whoever waits for a later op waits on if the first region that could count lacks it.
        let members = members.len();
        let least = WriteLevel::Quorum.needs(members);
        let range = (stream, 0, 0)..=(stream, u64::MAX, Ticket::MAX);
        let tickets: Vec<Ticket> = self
            .data
            .levels
            .waiting
            .range(range)
            .take_while(|((_, seq, _), _)| least <= self.durable_in(stream, *seq))
            .map(|((.., ticket), _)| *ticket)
            .collect();
        for ticket in tickets {
            let pending = self.data.levels.forget(ticket).expect("it was just found");
            self.await_level(ticket, pending);
        }
    }

    /// Looks at all writes that wait: a peer has said what it has.
    pub(crate) fn settle_all(&mut self) {
        let waiting = self.data.levels.waiting.keys();
        let mut streams: Vec<StreamId> = waiting.map(|(stream, ..)| *stream).collect();
        streams.dedup();
        streams.into_iter().for_each(|stream| self.settle(stream));
    }

    /// Refuses the writes whose level was not reached in time, and says what was.
    pub(crate) fn give_up_levels(&mut self) {
        while let Some((until, ticket)) = self.data.levels.deadlines.first().copied() {
            if self.now.mono < until {
                return;
            }
            let pending = self.data.levels.forget(ticket).expect("it has a deadline");
            let (level, members) = (pending.level, pending.written.members);
            let durable_in = self.reached(&pending);
            let refusal = DataRefusal::LevelNotReached { level, durable_in, members }.into();
            self.counters.refused += 1;
            // "The write stays" is said once it is durable here.
            self.say(pending.append, Held::Reply(ticket, Err(refusal)));
        }
    }
}
