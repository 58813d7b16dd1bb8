//! What only looks at topics, and the index of them.
//! Must not number anything.

use std::time::Duration;

use bytes::Bytes;
use photon_state::{Change, Op, PlacementId, Record};

use super::chain::Segment;
use super::{
    Begun, Entry, Posted, Posts, Retention, SegmentId, Start, TOPICS, Topic, TopicCommand,
    TopicName, TopicView, retention_record, segment_of, segment_record, topic_id,
};
use crate::codec::{decode_entry, decode_retention};
use crate::contract::{Command, Reply};
use crate::desk::Bell;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::task::TaskId;
use crate::verdict::{Patience, Verdict};
use crate::webhooks::Mark;

/// What somebody wants to read.
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) placement: PlacementId,
    pub(crate) name: &'a TopicName,
    pub(crate) start: Start,
    pub(crate) key: Option<&'a str>,
    pub(crate) limit: usize,
    pub(crate) wait: Duration,
}

impl Wanted<'_> {
    /// Returns the command that wants the same from elsewhere on.
    fn from(&self, start: Start) -> Command {
        let (placement, name, key) = (self.placement, self.name.clone(), self.key.map(Into::into));
        let (limit, wait) = (self.limit, self.wait);
        Command::Topic(TopicCommand::Read { placement, name, start, key, limit, wait })
    }
}

impl Region {
    pub(crate) fn decide_about_topics(
        &mut self,
        command: &TopicCommand,
        patience: Patience,
    ) -> Verdict {
        let decided = match command {
            TopicCommand::Read { placement, name, start, key, limit, wait } => {
                let (placement, start, limit, wait) = (*placement, *start, *limit, *wait);
                let key = key.as_deref();
                self.read_topic(&Wanted { placement, name, start, key, limit, wait }, patience)
            }
            TopicCommand::Show(of) => self.show_topics(of.as_ref().map(|(it, name)| (*it, name))),
            TopicCommand::Keep { placement, name, retention } => {
                self.keep_topic(*placement, name, *retention)
            }
        };
        decided.unwrap_or_else(Verdict::from)
    }

    /// Messages that are looked at for one reply.
    const POSTS_LOOKED_MAX: usize = 4_096;
    /// Bytes of messages in one reply, short of one message that is larger.
    const POSTS_BYTES_MAX: usize = 1 << 20;

    /// Reads messages, or waits for one.
    pub(crate) fn read_topic(
        &self,
        wanted: &Wanted<'_>,
        patience: Patience,
    ) -> Result<Verdict, Refusal> {
        self.check_placement(wanted.placement)?;
        let id = topic_id(wanted.placement, wanted.name);
        let until = patience.until(self.now, wanted.wait);
        let waits = self.now.mono < until && wanted.limit != 0;
        let Some(topic) = self.topics.get(id) else {
            let (next, posts) = (Mark::default(), Vec::new());
            let next = if let Start::After(mark) = wanted.start { mark } else { next };
            // Whoever wants what comes from now on wants the first, too.
            return Ok(match (waits, wanted.start) {
                (true, Start::Last) => {
                    let command = Box::new(wanted.from(Start::First));
                    Verdict::WaitAs(command, Bell::Topic(id), until)
                }
                (true, _) => Verdict::Wait(Bell::Topic(id), until),
                (false, _) => {
                    let posts = Posts { posts, next, first: 1, last: 0, is_cut: false };
                    Verdict::Reply(0, Ok(Reply::Posts(Box::new(posts))))
                }
            });
        };
        let asked = match wanted.start {
            Start::First => topic.start(),
            Start::Last => topic.end(),
            Start::After(mark) => topic.read_upto(mark),
            Start::At(wall_ms) => self.position_at(id, topic, wall_ms),
        };
        let is_cut = asked < topic.start() && !matches!(wanted.start, Start::First);
        let (mut posts, upto) = self.posts_after(id, topic, asked.max(topic.start()), wanted);
        if let Start::At(wall_ms) = wanted.start {
            posts.retain(|it| wall_ms <= it.at.wall_ms);
        }
        let next = match wanted.start {
            // Whoever has read as much, or more than is here yet, reads on there.
            Start::After(it) if upto <= it.generation && !is_cut => it,
            Start::First | Start::Last | Start::After(_) | Start::At(_) => topic.mark(upto),
        };
        if posts.is_empty() && waits && !is_cut && topic.end() <= upto {
            // What was looked at is not looked at again.
            let start = match wanted.start {
                Start::At(wall_ms) => Start::At(wall_ms),
                Start::First | Start::Last | Start::After(_) => Start::After(next),
            };
            return Ok(Verdict::WaitAs(Box::new(wanted.from(start)), Bell::Topic(id), until));
        }
        let (first, last) = (topic.start() + 1, topic.end());
        let posts = Posts { posts, next, first, last, is_cut };
        Ok(Verdict::Reply(topic.append, Ok(Reply::Posts(Box::new(posts)))))
    }

    /// Returns messages after a position, and up to which position they are all that is wanted.
    fn posts_after(
        &self,
        id: TaskId,
        topic: &Topic,
        after: u64,
        wanted: &Wanted<'_>,
    ) -> (Vec<Posted>, u64) {
        let (mut posts, mut upto, mut bytes, mut looked) = (Vec::new(), after, 0, 0);
        for link in topic.chain().iter().filter(|it| after < it.upto) {
            let epoch = link.segment.epoch;
            for (position, at, post) in self.posts_in(id, topic, link.segment, after) {
                let is_full = posts.len() == wanted.limit || Self::POSTS_LOOKED_MAX <= looked;
                if link.upto < position {
                    break;
                }
                if is_full || Self::POSTS_BYTES_MAX < bytes {
                    return (posts, upto);
                }
                (upto, looked) = (position, looked + 1);
                if wanted.key.is_none_or(|it| post.key.as_deref() == Some(it)) {
                    bytes += post.weight();
                    let mark = Mark { epoch, generation: position };
                    posts.push(Posted { mark, at, post });
                }
            }
        }
        (posts, upto)
    }

    /// Returns the position before the first message that was taken at a time or later.
    fn position_at(&self, id: TaskId, topic: &Topic, wall_ms: u64) -> u64 {
        let is_later = |segment: &SegmentId| wall_ms <= topic.segments[segment].last_ms;
        let Some(link) = topic.chain().iter().find(|it| is_later(&it.segment)) else {
            return topic.end();
        };
        let mut all = self.posts_in(id, topic, link.segment, link.base);
        let first = all.find(|(_, at, _)| wall_ms <= at.wall_ms);
        first.map_or(link.upto, |(position, ..)| (position - 1).min(link.upto))
    }

    /// Shows topics by placement and name: one, or all that are known here.
    pub(crate) fn show_topics(
        &self,
        of: Option<(PlacementId, &TopicName)>,
    ) -> Result<Verdict, Refusal> {
        if let Some((placement, _)) = of {
            self.check_placement(placement)?;
        }
        let is_wanted = |topic: &&Topic| {
            of.is_none_or(|(placement, name)| (topic.placement, &topic.name) == (placement, name))
        };
        let known = self.topics.all.values().filter(is_wanted);
        let mut all: Vec<TopicView> = known.map(|it| self.show_topic(it)).collect();
        // Something may be said of one before anything is published.
        let is_empty = |(placement, name): &(PlacementId, TopicName)| {
            self.topics.get(topic_id(*placement, name)).is_none()
                && of.is_none_or(|it| it == (*placement, name))
        };
        let said = self.topics.retentions.keys().filter(|it| is_empty(it));
        all.extend(
            said.map(|(placement, name)| self.show_topic(&Topic::new(name.clone(), *placement))),
        );
        all.sort_by(|a, b| (&a.name, a.placement).cmp(&(&b.name, b.placement)));
        Ok(Verdict::Reply(self.appended(), Ok(Reply::Topics(all))))
    }

    fn show_topic(&self, topic: &Topic) -> TopicView {
        let (placement, name) = (topic.placement, topic.name.clone());
        let home = self.home_of_task(topic_id(placement, &name), placement);
        let retention = self.topics.retention(topic);
        let (first, last, bytes) = (topic.start() + 1, topic.end(), topic.bytes() as u64);
        TopicView { name, placement, home, retention, first, last, bytes }
    }

    /// Follows an op that adds to a segment, or changes it otherwise.
    pub(crate) fn index_segment(&mut self, op: &Op, append: u64) {
        let Some((id, segment)) = segment_of(&op.key) else { return };
        let Change::Append { entry, .. } = &op.change else { return };
        let (placement, at_ms) = (op.stream.placement, op.at.wall_ms);
        match decode_entry(entry) {
            Ok(Entry::Begun(begun)) => {
                let new = || Topic::new(begun.name.clone(), placement);
                let topic = self.topics.all.entry(id).or_insert_with(new);
                topic.begin(segment, &begun, (op.stream, at_ms));
            }
            Ok(Entry::Said(_)) => {
                let is_own = op.stream == self.own_stream(placement);
                let topic = self.topics.all.get_mut(&id);
                // What this region publishes itself it takes note of itself.
                let follow = |it: &mut Topic| {
                    it.ids = it.ids.take().filter(|_| is_own);
                    it.extend(segment, op.weight(), at_ms)
                };
                if !topic.is_some_and(follow) {
                    // Its beginning was forgotten.
                    return self.store.forget(&segment_record(placement, id, segment));
                }
                self.topics.bytes += op.weight();
            }
            Err(_) => unreachable!("it was decoded when it was taken in"),
        }
        self.topic_changed(id, append);
    }

    /// Makes a segment anew from its log.
    pub(crate) fn read_segment(&mut self, record: &Record, append: u64) {
        let Some((id, segment)) = segment_of(&record.key) else { return };
        let Some(log) = self.store.log(record) else { return };
        let first = log.after(0).first().and_then(|it| decode_entry(&it.bytes).ok());
        let (Some(Entry::Begun(begun)), Some(run)) = (first, log.runs().first()) else {
            let is_known = self.topics.get(id).is_some_and(|it| it.segments.contains_key(&segment));
            if !is_known {
                self.store.forget(record); // Its beginning was forgotten, and never comes again.
            }
            return;
        };
        let begun_ms = log.after(0).first().map_or(0, |it| it.at.wall_ms);
        let said = log.after(1);
        let found = Segment {
            stream: run.stream,
            base: begun.base,
            after: begun.after,
            floor: begun.floor,
            count: said.len() as u64,
            bytes: said.iter().map(entry_weight).sum(),
            begun_ms,
            last_ms: said.last().map_or(begun_ms, |it| it.at.wall_ms),
        };
        let bytes = found.bytes;
        let new = || Topic::new(begun.name.clone(), record.placement);
        let topic = self.topics.all.entry(id).or_insert_with(new);
        let before = topic.put(segment, found).map_or(0, |it| it.bytes);
        self.topics.bytes = self.topics.bytes - before + bytes;
        self.topic_changed(id, append);
    }

    /// Lets go of a segment whose record is gone.
    pub(crate) fn forget_segment(&mut self, record: &Record) {
        let Some((id, segment)) = segment_of(&record.key) else { return };
        let Some(topic) = self.topics.all.get_mut(&id) else { return };
        if let Some(gone) = topic.segments.remove(&segment) {
            self.topics.bytes -= gone.bytes;
            topic.settle();
        }
    }

    fn topic_changed(&mut self, id: TaskId, append: u64) {
        let Some(topic) = self.topics.all.get_mut(&id) else { return };
        let placement = topic.placement;
        for (segment, gone) in topic.take_forgotten() {
            self.topics.bytes -= gone.bytes;
            self.store.forget(&segment_record(placement, id, segment));
        }
        if append != 0 {
            topic.append = append;
            self.ring(&Bell::Topic(id));
        }
    }

    /// Follows an op that says for how long messages are kept.
    pub(crate) fn index_topic(&mut self, record: &Record) {
        let Some(name) = super::topic_of(record) else { return };
        let held = self.store.value(&retention_record(record.placement, &name));
        debug_assert_eq!(record.dataset, TOPICS);
        let said: Option<Retention> = held.and_then(|it| decode_retention(it).ok());
        match said {
            Some(it) => self.topics.retentions.insert((record.placement, name), it),
            None => self.topics.retentions.remove(&(record.placement, name)),
        };
    }
}

/// Returns about how many bytes an entry of a segment takes as an op.
fn entry_weight(entry: &photon_state::Entry) -> usize {
    128 + 24 + entry.bytes.len()
}

/// Whether an entry may begin or go on with a segment: each has a beginning, and one alone.
pub(crate) fn fits_segment(index: u64, entry: &Bytes) -> bool {
    match decode_entry(entry) {
        Ok(Entry::Begun(Begun { .. })) => index == 1,
        Ok(Entry::Said(_)) => 1 < index,
        Err(_) => false,
    }
}
