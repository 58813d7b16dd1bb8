//! What the home of a topic does: number messages, publish those once more that a lost home had
//! numbered, and let go of what is old.
//! Must not number anything that has a place already.

use std::collections::BTreeMap;
use std::time::Duration;

use photon_state::{Change, EntryPlace, PlacementId, Position, StreamId};
use rustc_hash::FxHashMap;

use super::{
    Begun, Entry, MESSAGES, Post, SegmentId, TOPICS, Topic, TopicAsk, TopicName, Topics, hash,
    is_topic_name, retention_record, segment_record, topic_id,
};
use crate::codec::{decode_entry, encode_entry, encode_retention};
use crate::contract::{AtHome, Disk, Reply};
use crate::home::check_size;
use crate::refusal::{Large, Queue, Refusal};
use crate::region::Region;
use crate::task::{Ack, TaskId};
use crate::terms::ms;
use crate::topics::Retention;
use crate::verdict::Verdict;
use crate::webhooks::Mark;

impl Region {
    /// Bytes after which a segment is followed by another one: an eighth of what is kept, between
    /// these.
    const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (16 << 10)..=(1 << 20);
    /// How long a majority may take to have a message; the client may ask again.
    const POSTED_WITHIN: Duration = Duration::from_secs(4);
    /// Messages that are published once more in one go; the others with the next beat.
    const AGAIN_MAX: usize = 1_000;

    /// Checks that a topic has the name that it says, in a placement of this region.
    pub(crate) fn check_topic(&self, ask: &AtHome) -> Result<(), Refusal> {
        let AtHome::Topic { topic, name, .. } = ask else { return Ok(()) };
        let mut placements = self.config.placements.keys();
        let placement = placements.find(|it| topic_id(**it, name) == *topic);
        match placement.filter(|_| is_topic_name(name)) {
            Some(placement) => self.check_placement(*placement),
            None => Err(Refusal::NoSuchTask(*topic)),
        }
    }

    /// Decides about a topic of this home.
    pub(crate) fn decide_topic(
        &mut self,
        id: TaskId,
        name: &TopicName,
        ask: &TopicAsk,
    ) -> Result<Verdict, Refusal> {
        let here = self.config.region;
        let placement = self.charter.placement_of(id);
        let placement = placement.ok_or(Refusal::HomeUnreachable { region: here })?;
        if !is_topic_name(name) || topic_id(placement, name) != id {
            return Err(Refusal::NoSuchTask(id));
        }
        if !self.may_decide(id, placement) || !self.is_sole_writer(id, placement) {
            return Err(Refusal::HomeUnreachable { region: here });
        }
        match ask {
            TopicAsk::Publish { post, ack } => {
                // What was acknowledged before comes before.
                if self.topics.get(id).is_some_and(|it| it.has_lost) {
                    self.check_disk()?;
                    self.publish_again((id, placement, name));
                }
                if self.topics.get(id).is_some_and(|it| it.has_lost) {
                    return Err(Refusal::HomeUnreachable { region: here });
                }
                let (position, is_new) = self.publish((id, placement, name), post)?;
                Ok(self.posted(id, position, (is_new, *ack)))
            }
            TopicAsk::Purge { upto } => {
                let topic = self.topics.get(id);
                let upto = topic.map_or(0, |it| (*upto).min(it.end()));
                if topic.is_some_and(|it| it.start() < upto) {
                    self.check_disk()?;
                    self.begin_segment((id, placement, name), upto);
                }
                Ok(self.posted(id, upto, (true, Ack::Region)))
            }
        }
    }

    /// Whether nobody but this life of this region has written under the epoch that it has.
    fn is_sole_writer(&self, id: TaskId, placement: PlacementId) -> bool {
        let (epoch, stream) = (self.epoch_of(id, placement), self.own_stream(placement));
        let segments = self.topics.get(id).map(|it| &it.segments);
        let of_epoch = SegmentId { epoch, number: 0 }..;
        segments.is_none_or(|it| it.range(of_epoch).all(|(_, segment)| segment.stream == stream))
    }

    /// Says where a message is, once it is durable where it should be.
    fn posted(&self, id: TaskId, position: u64, (is_new, ack): (bool, Ack)) -> Verdict {
        let topic = self.topics.get(id);
        let mark = topic.map(|it| it.mark(position)).unwrap_or_default();
        let reply = Reply::Posted { mark, repeated: !is_new };
        let topic = topic.filter(|_| ack == Ack::Quorum);
        let Some((topic, link)) = topic.and_then(|it| Some((it, *it.link_at(position)?))) else {
            return Verdict::Reply(self.appended(), Ok(reply));
        };
        // It counts only with all that it follows on.
        let chain = topic.chain().iter().take_while(|it| it.segment <= link.segment);
        let mut marks: BTreeMap<StreamId, u64> = BTreeMap::new();
        for it in chain {
            let record = segment_record(topic.placement, id, it.segment);
            let mut seen = self.covers.beyond(&Position::Log(record));
            seen.join(self.store.seen());
            let stream = topic.segments[&it.segment].stream;
            marks.insert(stream, seen.of(&stream));
        }
        let marks = marks.into_iter().collect();
        let of = (topic.placement, Some((id, mark)));
        self.at_majority(marks, of, reply, self.now.mono + Self::POSTED_WITHIN)
    }

    /// Whether a message is still where it was, and this region decides that.
    pub(crate) fn still_numbers(&mut self, id: TaskId, mark: Mark) -> bool {
        let topic = self.topics.get(id).filter(|it| it.mark(mark.generation) == mark);
        let placement = topic.map(|it| it.placement);
        placement.is_some_and(|it| self.may_decide(id, it))
    }

    /// Numbers a message, if that is not done yet; says where it is, and whether it is new.
    fn publish(
        &mut self,
        of: (TaskId, PlacementId, &TopicName),
        post: &Post,
    ) -> Result<(u64, bool), Refusal> {
        let id = of.0;
        check_size(Large::Post, post.data.0.len(), Post::DATA_BYTES_MAX)?;
        let longest = post.key.as_ref().map_or(0, |it| it.len()).max(post.id.len());
        check_size(Large::Key, longest, Post::ID_BYTES_MAX)?;
        let found = self.find_post(id, &post.id);
        #[cfg(feature = "planted-bugs")]
        let found = found.filter(|_| self.planted != Some(crate::PlantedBug::PublishTwice));
        if let Some((position, held)) = found {
            return if held == *post {
                Ok((position, false))
            } else {
                Err(Refusal::PostReused { position })
            };
        }
        self.check_disk()?;
        self.check_clock(of.1)?;
        if self.topics.get(id).is_none() && Topics::MAX <= self.topics.all.len() {
            let (max, retry_after) = (Topics::MAX as u64, Duration::from_secs(60));
            return Err(Refusal::Overloaded { what: Queue::Topics, max, retry_after });
        }
        let max = self.config.limits.topic_bytes_max;
        if max + max / 8 <= self.topics.bytes() {
            let (max, retry_after) = (max as u64, Duration::from_secs(1));
            return Err(Refusal::Overloaded { what: Queue::TopicBytes, max, retry_after });
        }
        Ok((self.write_post(of, post), true))
    }

    /// Writes a message down, whatever is there.
    fn write_post(&mut self, of: (TaskId, PlacementId, &TopicName), post: &Post) -> u64 {
        let (id, placement, _) = of;
        if self.is_segment_due(id, placement) {
            let floor = self.floor_due(id);
            self.begin_segment(of, floor);
        }
        let (segment, count) = {
            let head = self.topics.get(id).and_then(Topic::head).expect("it has begun");
            (head.0, head.1.count)
        };
        self.write_entry((id, placement, segment), count + 2, &Entry::Said(post.clone()));
        self.counters.posted += 1;
        let topic = self.topics.all.get_mut(&id).expect("it has a message");
        let position = topic.end();
        if let Some(ids) = &mut topic.ids {
            ids.insert(hash(&post.id), position);
        }
        position
    }

    /// Whether the next message is to begin a segment.
    fn is_segment_due(&self, id: TaskId, placement: PlacementId) -> bool {
        let Some(topic) = self.topics.get(id) else { return true };
        let Some((segment, head)) = topic.head() else { return true };
        let Retention { time, bytes } = self.topics.retention(topic);
        let bytes_max = (bytes / 8).clamp(*Self::SEGMENT_BYTES.start(), *Self::SEGMENT_BYTES.end());
        let is_old = head.begun_ms.saturating_add(ms(time) / 8) <= self.now.wall_ms;
        let is_large = bytes_max <= head.bytes as u64;
        segment.epoch != self.epoch_of(id, placement) || head.count != 0 && (is_old || is_large)
    }

    /// Begins a segment, and says up to which position messages are kept no more.
    fn begin_segment(
        &mut self,
        (id, placement, name): (TaskId, PlacementId, &TopicName),
        floor: u64,
    ) {
        let epoch = self.epoch_of(id, placement);
        let topic = self.topics.get(id);
        let after = topic.and_then(Topic::head).map(|(it, _)| it);
        // What was overruled may have been of this epoch, too.
        let of_epoch = SegmentId { epoch, number: 0 }..;
        let last = topic.and_then(|it| it.segments.range(of_epoch).next_back());
        let number = last.map_or(0, |(it, _)| it.number + 1);
        let base = topic.map_or(0, Topic::end);
        let begun = Begun { name: name.clone(), base, after, floor };
        self.write_entry((id, placement, SegmentId { epoch, number }), 1, &Entry::Begun(begun));
    }

    fn write_entry(
        &mut self,
        (id, placement, segment): (TaskId, PlacementId, SegmentId),
        index: u64,
        entry: &Entry,
    ) {
        let SegmentId { epoch, .. } = segment;
        let place = EntryPlace { epoch, index, prev: epoch };
        let change = Change::Append { place, entry: encode_entry(entry) };
        self.write(placement, MESSAGES, segment_record(placement, id, segment).key, change);
    }

    /// Returns the position and the message of a name, if it is among those that count.
    fn find_post(&mut self, id: TaskId, name: &str) -> Option<(u64, Post)> {
        let topic = self.topics.get(id)?;
        if topic.ids.is_none() {
            let mut ids = FxHashMap::default();
            for link in topic.chain() {
                let all = self.posts_in(id, topic, link.segment, link.base);
                let all = all.take_while(|(position, ..)| *position <= link.upto);
                ids.extend(all.map(|(position, _, post)| (hash(&post.id), position)));
            }
            self.topics.all.get_mut(&id)?.ids = Some(ids);
        }
        let topic = self.topics.get(id)?;
        let position = *topic.ids.as_ref()?.get(&hash(name))?;
        let link = topic.link_at(position)?;
        let (_, _, post) = self.posts_in(id, topic, link.segment, position - 1).next()?;
        (*post.id == *name).then_some((position, post))
    }

    /// Goes on with the topics of this home: what a lost home had numbered is published once more,
    /// and what is old is let go of.
    pub(crate) fn tend_topics(&mut self) {
        if self.disk == Disk::Full || self.topics.all.is_empty() {
            return;
        }
        let all: Vec<TaskId> = self.topics.all.keys().copied().collect();
        for id in all {
            let topic = &self.topics.all[&id];
            let (has_lost, floor) = (topic.has_lost, self.floor_due(id));
            let is_due = topic.start() < floor;
            if (has_lost || is_due) && self.may_number(id) {
                let (placement, name) = self.topics.all[&id].names();
                if is_due {
                    self.begin_segment((id, placement, &name), floor);
                }
                if has_lost {
                    self.publish_again((id, placement, &name));
                }
            }
        }
        self.bound_topics();
    }

    /// Whether this region decides about a topic.
    fn may_number(&mut self, id: TaskId) -> bool {
        let placement = self.topics.get(id).map(|it| it.placement);
        placement.is_some_and(|it| self.may_decide(id, it) && self.is_sole_writer(id, it))
    }

    /// Lets the topics of this home that have the most forget their oldest, while all together have
    /// too much.
    fn bound_topics(&mut self) {
        let max = self.config.limits.topic_bytes_max;
        if self.topics.bytes() <= max {
            return;
        }
        let ids: Vec<TaskId> = self.topics.all.keys().copied().collect();
        let own: Vec<TaskId> = ids.into_iter().filter(|it| self.may_number(*it)).collect();
        while max < self.topics.bytes() {
            let (topics, all_bytes) = (&self.topics.all, self.topics.bytes());
            let bytes = |it: &TaskId| topics[it].bytes();
            let count = topics.values().filter(|it| 0 < it.bytes()).count();
            // Those that have less than others are not made to pay for them.
            let has_much = |it: &TaskId| all_bytes <= bytes(it).saturating_mul(count);
            let largest = own.iter().copied().filter(has_much).max_by_key(bytes);
            let Some(id) = largest else { return };
            let topic = &self.topics.all[&id];
            let (placement, name) = topic.names();
            let floor = topic.chain().iter().map(|it| it.upto).find(|it| topic.start() < *it);
            self.begin_segment((id, placement, &name), floor.unwrap_or(topic.end()));
        }
    }

    /// Publishes what a lost home had numbered and what counts no more: it was acknowledged.
    fn publish_again(&mut self, of: (TaskId, PlacementId, &TopicName)) {
        let id = of.0;
        let topic = &self.topics.all[&id];
        let mut lost: Vec<Post> = Vec::new();
        for (segment, after) in topic.lost() {
            lost.extend(self.posts_in(id, topic, segment, after).map(|(_, _, post)| post));
        }
        let mut count = 0;
        for post in lost {
            if self.find_post(id, &post.id).is_some() {
                continue;
            }
            if count == Self::AGAIN_MAX {
                return;
            }
            count += 1;
            self.counters.posted_again += 1;
            self.write_post(of, &post);
        }
        if let Some(topic) = self.topics.all.get_mut(&id) {
            topic.has_lost = false;
        }
    }

    /// Returns up to which position the messages of a topic are old enough, or too many.
    fn floor_due(&self, id: TaskId) -> u64 {
        let Some(topic) = self.topics.get(id) else { return 0 };
        let Retention { time, bytes } = self.topics.retention(topic);
        let mut excess = (topic.bytes() as u64).saturating_sub(bytes);
        let mut floor = topic.start();
        for link in topic.chain() {
            let segment = &topic.segments[&link.segment];
            let is_old = segment.last_ms.saturating_add(ms(time)) <= self.now.wall_ms;
            let is_much = 0 < excess && link.upto < topic.end();
            if !is_old && !is_much {
                break;
            }
            excess = excess.saturating_sub(segment.bytes as u64);
            floor = floor.max(link.upto);
        }
        floor
    }

    /// Says for how long messages of a topic are kept.
    pub(crate) fn keep_topic(
        &mut self,
        placement: PlacementId,
        name: &TopicName,
        retention: Retention,
    ) -> Result<Verdict, Refusal> {
        self.check_placement(placement)?;
        self.check_disk()?;
        let is_known = self.topics.retentions.contains_key(&(placement, name.clone()));
        if !is_known && Topics::MAX <= self.topics.retentions.len() {
            let (max, retry_after) = (Topics::MAX as u64, Duration::from_secs(60));
            return Err(Refusal::Overloaded { what: Queue::Topics, max, retry_after });
        }
        let key = retention_record(placement, name).key;
        let append = self.write(placement, TOPICS, key, Change::Put(encode_retention(retention)));
        Ok(Verdict::Reply(append, Ok(Reply::Done)))
    }

    /// Reads messages of a segment after a position, with their positions.
    pub(super) fn posts_in<'a>(
        &'a self,
        id: TaskId,
        topic: &'a Topic,
        segment: SegmentId,
        after: u64,
    ) -> impl Iterator<Item = (u64, photon_state::Hlc, Post)> + 'a {
        let base = topic.segments.get(&segment).map_or(0, |it| it.base);
        let log = self.store.log(&segment_record(topic.placement, id, segment));
        let from = after.max(base);
        // The first entry is the beginning.
        let entries = log.map_or(&[][..], |it| it.after(from - base + 1));
        (from + 1..).zip(entries).filter_map(|(position, entry)| match decode_entry(&entry.bytes) {
            Ok(Entry::Said(post)) => Some((position, entry.at, post)),
            Ok(Entry::Begun(_)) | Err(_) => None,
        })
    }
}

impl Topic {
    fn names(&self) -> (PlacementId, TopicName) {
        (self.placement, self.name.clone())
    }

    /// Returns how many bytes its messages take.
    pub(crate) fn bytes(&self) -> usize {
        self.chain().iter().map(|it| self.segments[&it.segment].bytes).sum()
    }
}
