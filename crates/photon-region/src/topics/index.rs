//! The index of topics: what their segments and retentions amount to, as ops tell of them.
//! Must not decide anything: an op is a fact.

use bytes::Bytes;
use photon_state::{Change, Op, Record};

use super::chain::Segment;
use super::{
    Entry, Retention, TOPICS, Topic, retention_record, segment_of, segment_record, topic_of,
};
use crate::codec::{decode_entry, decode_retention};
use crate::desk::Bell;
use crate::region::Region;
use crate::task::TaskId;
use crate::tasks::entry_weight;

impl Region {
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
            bytes: said.iter().map(|it| entry_weight(&record.key, it)).sum(),
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
        let Some(name) = topic_of(record) else { return };
        let held = self.store.value(&retention_record(record.placement, &name));
        debug_assert_eq!(record.dataset, TOPICS);
        let said: Option<Retention> = held.and_then(|it| decode_retention(it).ok());
        match said {
            Some(it) => self.topics.retentions.insert((record.placement, name), it),
            None => self.topics.retentions.remove(&(record.placement, name)),
        };
    }
}

/// Whether an entry may begin or go on with a segment: each has a beginning, and one alone.
pub(crate) fn fits_segment(index: u64, entry: &Bytes) -> bool {
    match decode_entry(entry) {
        Ok(Entry::Begun(_)) => index == 1,
        Ok(Entry::Said(_)) => 1 < index,
        Err(_) => false,
    }
}
