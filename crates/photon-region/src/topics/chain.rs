//! Which segments of a topic count: those up to the one of the greatest epoch that is whole.
//! Must not look at messages, nor ask who may write.
//!
//! As in Raft (Ongaro and Ousterhout, 2014), who writes later overrules what it had not known of;
//! here by whole segments, of which each has one writer and names the one that it goes on from.

use std::collections::BTreeMap;

use photon_state::{PlacementId, StreamId};
use rustc_hash::FxHashMap;

use super::{Begun, TopicName};
use crate::webhooks::Mark;

/// Names a segment of a topic; later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentId {
    /// The epoch of its home.
    pub(crate) epoch: u32,
    /// Its number under that epoch.
    pub(crate) number: u32,
}

/// A segment as far as it is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The stream of its writer.
    pub(crate) stream: StreamId,
    pub(crate) base: u64,
    pub(crate) after: Option<SegmentId>,
    pub(crate) floor: u64,
    /// How many messages it has.
    pub(crate) count: u64,
    pub(crate) bytes: usize,
    /// When it began, and when its last message was written, by the wall clock.
    pub(crate) begun_ms: u64,
    pub(crate) last_ms: u64,
}

impl Segment {
    /// Returns the position of its last message.
    pub(crate) fn end(&self) -> u64 {
        self.base.saturating_add(self.count)
    }
}

/// A segment that counts: its messages after `base` up to `upto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) segment: SegmentId,
    pub(crate) base: u64,
    pub(crate) upto: u64,
}

/// A topic as far as it is known here.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: TopicName,
    pub(crate) placement: PlacementId,
    pub(crate) segments: BTreeMap<SegmentId, Segment>,
    /// Those that count, the first first.
    chain: Vec<Link>,
    /// Up to which position anything was ever said to be kept no more.
    forgotten: u64,
    /// The append that changed it last.
    pub(crate) append: u64,
    /// Positions of messages by the hashes of their names, at the home.
    pub(super) ids: Option<FxHashMap<u64, u64>>,
    /// Whether messages do not count that nobody has looked at yet.
    pub(super) has_lost: bool,
}

impl Topic {
    pub(crate) fn new(name: TopicName, placement: PlacementId) -> Self {
        Self {
            name,
            placement,
            segments: BTreeMap::new(),
            chain: Vec::new(),
            forgotten: 0,
            append: 0,
            ids: None,
            has_lost: false,
        }
    }

    pub(crate) fn chain(&self) -> &[Link] {
        &self.chain
    }

    /// Returns the last segment that counts.
    pub(crate) fn head(&self) -> Option<(SegmentId, &Segment)> {
        let last = self.chain.last()?;
        Some((last.segment, &self.segments[&last.segment]))
    }

    /// Returns the position of the last message.
    pub(crate) fn end(&self) -> u64 {
        self.chain.last().map_or(0, |it| it.upto)
    }

    /// Returns the position before the first message that is kept.
    pub(crate) fn start(&self) -> u64 {
        let floor = self.head().map_or(0, |(_, head)| head.floor);
        self.chain.first().map_or(0, |it| it.base.max(floor)).min(self.end())
    }

    /// Takes in the beginning of a segment.
    pub(crate) fn begin(&mut self, id: SegmentId, begun: &Begun, (stream, at_ms): (StreamId, u64)) {
        let Begun { base, after, floor, .. } = *begun;
        let (count, bytes) = (0, 0);
        let segment =
            Segment { stream, base, after, floor, count, bytes, begun_ms: at_ms, last_ms: at_ms };
        self.segments.insert(id, segment);
        let follows =
            self.chain.last().is_some_and(|it| Some(it.segment) == after && it.upto == base);
        // What is later may have waited for it.
        if !follows || self.segments.range(id..).nth(1).is_some() {
            return self.settle();
        }
        // Mostly a segment follows on the last.
        self.forgotten = self.forgotten.max(floor);
        self.chain.push(Link { segment: id, base, upto: base });
        let over =
            self.chain[..self.chain.len() - 1].partition_point(|it| it.upto <= self.forgotten);
        self.chain.drain(..over);
        let (start, count) = (self.start(), self.end() - self.start());
        if let Some(ids) = self.ids.as_mut().filter(|it| 2 * count + 1_024 < it.len() as u64) {
            ids.retain(|_, position| start < *position);
        }
    }

    /// Takes in a segment with all that is here of it.
    pub(crate) fn put(&mut self, id: SegmentId, segment: Segment) -> Option<Segment> {
        let before = self.segments.insert(id, segment);
        self.settle();
        before
    }

    /// Takes in the next message of a segment; says whether that is known.
    pub(crate) fn extend(&mut self, id: SegmentId, bytes: usize, at_ms: u64) -> bool {
        let Some(segment) = self.segments.get_mut(&id) else { return false };
        segment.count += 1;
        segment.bytes += bytes;
        segment.last_ms = at_ms;
        let end = segment.end();
        // Nobody waits for it if nothing is later.
        let is_last = self.segments.range(id..).nth(1).is_none();
        match self.chain.last_mut().filter(|it| it.segment == id && is_last) {
            Some(last) => last.upto = end,
            None => self.settle(),
        }
        true
    }

    /// Looks anew at which segments count.
    pub(crate) fn settle(&mut self) {
        let floors = self.segments.values().map(|it| it.floor);
        self.forgotten = floors.fold(self.forgotten, u64::max);
        let mut heads = self.segments.keys().rev();
        self.chain = heads.find_map(|it| self.chain_to(*it)).unwrap_or_default();
        self.ids = None;
        let has_lost = self.lost().next().is_some();
        self.has_lost = has_lost;
    }

    /// Returns what counts if a segment is the last one that does; nothing if something is missing.
    fn chain_to(&self, head: SegmentId) -> Option<Vec<Link>> {
        let (mut id, mut upto) = (head, self.segments.get(&head)?.end());
        let mut chain = Vec::new();
        loop {
            let segment = self.segments.get(&id).filter(|it| upto <= it.end())?;
            chain.push(Link { segment: id, base: segment.base, upto });
            match segment.after {
                // What is older is kept no more.
                _ if segment.base <= self.forgotten => break,
                Some(before) if before < id => (id, upto) = (before, segment.base),
                Some(_) | None => return None,
            }
        }
        chain.reverse();
        Some(chain)
    }

    /// Iterates over the segments with messages that do not count, and after which position.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (SegmentId, u64)> + '_ {
        let counting = |id: SegmentId| self.chain.iter().find(|it| it.segment == id);
        self.segments.iter().filter_map(move |(id, segment)| {
            let after = counting(*id).map_or(segment.base, |it| it.upto);
            (after < segment.end()).then_some((*id, after))
        })
    }

    /// Takes out the segments that nobody needs any more: what counts begins after them, and they
    /// began before what is kept. Nothing of it depends on what of them is here yet.
    pub(crate) fn take_forgotten(&mut self) -> Vec<(SegmentId, Segment)> {
        let Some(first) = self.chain.first().map(|it| it.segment) else { return Vec::new() };
        let older = self.segments.range(..first);
        let gone: Vec<SegmentId> =
            older.filter(|(_, it)| it.base < self.forgotten).map(|(id, _)| *id).collect();
        gone.into_iter().filter_map(|id| self.segments.remove(&id).map(|it| (id, it))).collect()
    }

    /// Returns the part that has a position.
    pub(crate) fn link_at(&self, position: u64) -> Option<&Link> {
        let at = self.chain.partition_point(|it| it.upto < position);
        self.chain.get(at).filter(|it| it.base < position)
    }

    /// Returns the mark of a position.
    pub(crate) fn mark(&self, position: u64) -> Mark {
        let before = || {
            let first = self.chain.first().filter(|it| it.base == position)?;
            self.segments[&first.segment].after
        };
        let segment = self.link_at(position).map(|it| it.segment).or_else(before);
        Mark { epoch: segment.map_or(0, |it| it.epoch), generation: position }
    }

    /// Returns up to which position somebody has read what counts here, who has read up to a mark.
    pub(crate) fn read_upto(&self, mark: Mark) -> u64 {
        let Mark { epoch, generation: mut upto } = mark;
        let Some(head) = self.chain.last().map(|it| it.segment) else { return upto };
        // Who has read more than is here yet waits for it.
        if epoch == 0 || head.epoch < epoch || upto <= self.forgotten {
            return upto;
        }
        let of_epoch = SegmentId { epoch, number: 0 }..=SegmentId { epoch, number: u32::MAX };
        let mut had = self.segments.range(of_epoch).rev();
        let mut next = had.find(|(_, it)| it.base < upto).map(|(id, _)| *id);
        while let Some(id) = next {
            if let Some(link) = self.chain.iter().find(|it| it.segment == id) {
                return if id == head { upto } else { upto.min(link.upto) };
            }
            let Some(segment) = self.segments.get(&id) else { break };
            upto = upto.min(segment.base);
            next = segment.after.filter(|it| *it < id);
            if upto <= self.forgotten {
                return upto;
            }
        }
        self.start() // Nobody knows what it has read.
    }
}

#[cfg(test)]
mod tests {
    use photon_state::RegionId;
    use proptest::prelude::*;

    use super::*;

    fn stream(epoch: u32) -> StreamId {
        let origin = RegionId::try_from(format!("r{epoch}").as_str()).unwrap();
        StreamId { origin, placement: PlacementId::global(), incarnation: 1 }
    }

    fn id(epoch: u32, number: u32) -> SegmentId {
        SegmentId { epoch, number }
    }

    fn topic() -> Topic {
        Topic::new("t".into(), PlacementId::global())
    }

    impl Topic {
        fn open(&mut self, it: SegmentId, (base, after): (u64, Option<SegmentId>), floor: u64) {
            let begun = Begun { name: "t".into(), base, after, floor };
            self.begin(it, &begun, (stream(it.epoch), 0));
        }

        fn fill(&mut self, it: SegmentId, count: u64) {
            (0..count).for_each(|_| assert!(self.extend(it, 1, 0)));
        }

        fn shown(&self) -> Vec<(u32, u32, u64, u64)> {
            let all = self.chain.iter();
            all.map(|it| (it.segment.epoch, it.segment.number, it.base, it.upto)).collect()
        }
    }

    #[test]
    fn an_heir_overrules_what_it_did_not_know_and_waits_for_what_it_did() {
        let mut topic = topic();
        topic.open(id(1, 0), (0, None), 0);
        topic.fill(id(1, 0), 5);
        topic.open(id(2, 0), (3, Some(id(1, 0))), 0);
        topic.fill(id(2, 0), 2);
        assert_eq!(topic.shown(), [(1, 0, 0, 3), (2, 0, 3, 5)]);
        assert_eq!(topic.lost().collect::<Vec<_>>(), [(id(1, 0), 3)]);
        topic.open(id(3, 0), (7, Some(id(2, 0))), 0);
        assert_eq!(topic.end(), 5, "two of the second are missing");
        topic.fill(id(2, 0), 2);
        assert_eq!(topic.shown(), [(1, 0, 0, 3), (2, 0, 3, 7), (3, 0, 7, 7)]);
        topic.fill(id(1, 0), 1);
        assert_eq!(topic.end(), 7);
    }

    #[test]
    fn whoever_has_read_what_does_not_count_reads_on_where_that_begins() {
        let mut topic = topic();
        topic.open(id(1, 0), (0, None), 0);
        topic.fill(id(1, 0), 5);
        let mark = |epoch, generation| Mark { epoch, generation };
        assert_eq!(topic.mark(4), mark(1, 4));
        assert_eq!(topic.read_upto(mark(1, 9)), 9, "it has read more than is here yet");
        topic.open(id(2, 0), (3, Some(id(1, 0))), 0);
        topic.fill(id(2, 0), 4);
        for (read, upto) in
            [(mark(1, 2), 2), (mark(1, 5), 3), (mark(2, 5), 5), (mark(2, 9), 9), (mark(3, 9), 9)]
        {
            assert_eq!(topic.read_upto(read), upto, "{read:?}");
        }
        assert_eq!((topic.mark(3), topic.mark(4)), (mark(1, 3), mark(2, 4)));
        // The third heir knew nothing of the second.
        topic.open(id(3, 0), (5, Some(id(1, 0))), 0);
        topic.fill(id(3, 0), 1);
        assert_eq!(topic.shown(), [(1, 0, 0, 5), (3, 0, 5, 6)]);
        assert_eq!(topic.read_upto(mark(2, 6)), 3);
    }

    #[test]
    fn what_is_kept_no_more_is_taken_out_whole() {
        let mut topic = topic();
        topic.open(id(1, 0), (0, None), 0);
        topic.fill(id(1, 0), 5);
        topic.open(id(1, 1), (5, Some(id(1, 0))), 0);
        topic.fill(id(1, 1), 2);
        topic.open(id(1, 2), (7, Some(id(1, 1))), 5);
        let gone: Vec<SegmentId> = topic.take_forgotten().into_iter().map(|(it, _)| it).collect();
        assert_eq!((gone, topic.start(), topic.end()), (vec![id(1, 0)], 5, 7));
        topic.open(id(1, 3), (7, Some(id(1, 2))), 7);
        assert_eq!(
            topic.take_forgotten().len(),
            1,
            "an empty one stays until more is kept no more"
        );
        assert_eq!((topic.start(), topic.end()), (7, 7));
        assert!(!topic.extend(id(1, 0), 1, 0), "it is gone for ever");
        topic.settle();
        assert_eq!(topic.shown(), [(1, 3, 7, 7)]);
    }

    proptest! {
        /// Writers that each go on from what they know: whatever the order in which their entries
        /// arrive, what counts is what the last one knew, and what it wrote.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            script in proptest::collection::vec((0..4_usize, 0..6_u64, 1..3_u32, 0..4_u64), 1..6),
            keys in proptest::collection::vec(any::<u32>(), 64),
        ) {
            // Each writer begins segments after a prefix of what one before it had shown.
            type Step = (SegmentId, Option<(u64, Option<SegmentId>)>);
            let mut streams: Vec<Vec<Step>> = Vec::new();
            let mut views: Vec<Vec<Link>> = Vec::new();
            for (epoch, (from, cut, count, each)) in (1..).zip(script) {
                let from = from.checked_rem(views.len());
                let mut view = from.map_or(vec![], |it| views[it].clone());
                let end = view.last().map_or(0, |it| it.upto).saturating_sub(cut);
                view.retain(|it| it.base <= end);
                view.iter_mut().for_each(|it| it.upto = it.upto.min(end));
                let mut steps = Vec::new();
                for number in 0..count {
                    let (base, after) = (view.last().map_or(0, |it| it.upto), view.last());
                    let after = after.map(|it| it.segment);
                    steps.push((id(epoch, number), Some((base, after))));
                    steps.extend((0..each).map(|_| (id(epoch, number), None)));
                    view.push(Link { segment: id(epoch, number), base, upto: base + each });
                }
                streams.push(steps);
                views.push(view);
            }
            let mut whole = views.last().unwrap().clone();
            whole.retain(|it| it.base < it.upto);
            let mut topic = topic();
            for key in keys.iter().cycle().take(2_000) {
                let all = 0..streams.len();
                let open: Vec<usize> = all.filter(|it| !streams[*it].is_empty()).collect();
                let Some(at) = open.get(*key as usize % open.len().max(1)) else { break };
                match streams[*at].remove(0) {
                    (it, Some(begins)) => topic.open(it, begins, 0),
                    (it, None) => topic.fill(it, 1),
                }
            }
            prop_assert!(streams.iter().all(Vec::is_empty));
            let mut shown = topic.chain().to_vec();
            shown.retain(|it| it.base < it.upto);
            prop_assert_eq!(shown, whole);
        }
    }
}
