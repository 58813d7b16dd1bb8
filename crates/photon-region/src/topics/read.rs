//! What only looks at topics.
//! Must not change anything but how long messages are kept.

use photon_state::PlacementId;

use super::{
    Posted, Posts, SegmentId, Start, Topic, TopicCommand, TopicName, TopicRead, TopicView, topic_id,
};
use crate::contract::Reply;
use crate::desk::Bell;
use crate::refusal::Refusal;
use crate::region::Region;
use crate::task::TaskId;
use crate::verdict::{Patience, Verdict};
use crate::webhooks::Mark;

impl Region {
    pub(crate) fn decide_about_topics(
        &mut self,
        command: &TopicCommand,
        patience: Patience,
    ) -> Verdict {
        let decided = match command {
            TopicCommand::Read(wanted) => self.read_topic(wanted, patience),
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
        wanted: &TopicRead,
        patience: Patience,
    ) -> Result<Verdict, Refusal> {
        self.check_placement(wanted.placement)?;
        let id = topic_id(wanted.placement, &wanted.name);
        let until = patience.until(self.now, wanted.wait);
        let waits = self.now.mono < until && wanted.limit != 0;
        let Some(topic) = self.topics.get(id) else {
            let (next, posts) = (Mark::default(), Vec::new());
            let next = if let Start::After(mark) = wanted.start { mark } else { next };
            // Whoever wants what comes from now on wants the first, too.
            return Ok(match (waits, wanted.start) {
                (true, Start::Last) => {
                    let command = wanted.from(Start::First);
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
            return Ok(Verdict::WaitAs(wanted.from(start), Bell::Topic(id), until));
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
        wanted: &TopicRead,
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
                if wanted.key.is_none() || wanted.key == post.key {
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
}
