//! Where the ops of each stream lie: one mark for each stretch of a segment.
//! Must not hold ops, nor read a file.

use std::collections::HashMap;

use photon_state::StreamId;

use super::format::SEGMENT_HEADER_BYTES;

/// The place of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// The first group of its segment.
    pub segment: u64,
    /// Where it begins.
    pub offset: u64,
}

/// Where ops of a stream begin: all until the next mark lie in groups that begin within
/// [`Index::STRETCH_BYTES`] of it, in the same segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The number of the first op.
    pub seq: u64,
    /// The group that holds it.
    pub at: Place,
}

/// The marks of all streams, and the end of what is durable.
#[derive(Debug, Default)]
pub(super) struct Index {
    streams: HashMap<StreamId, Vec<Mark>>,
    end: Place,
}

impl Index {
    /// The stretch of a segment that one mark of a stream stands for.
    pub(super) const STRETCH_BYTES: u64 = 64 << 10;

    /// Notes that a group holds an op. Groups come in the order of the log.
    pub(super) fn note(&mut self, stream: StreamId, seq: u64, at: Place) {
        let marks = self.streams.entry(stream).or_default();
        let is_covered = marks.last().is_some_and(|last| {
            last.at.segment == at.segment && at.offset - last.at.offset < Self::STRETCH_BYTES
        });
        if !is_covered {
            marks.push(Mark { seq, at });
        }
    }

    /// Returns the segment that holds an op.
    pub(super) fn segment_of(&self, stream: &StreamId, seq: u64) -> Option<u64> {
        let mark = self.mark(stream, self.find(stream, seq))?;
        (mark.seq <= seq).then_some(mark.at.segment)
    }

    /// Whether an op is the first of its segment: nothing that is older is left before it.
    pub(super) fn begins_segment(&self, stream: &StreamId, seq: u64) -> bool {
        let mark = self.mark(stream, self.find(stream, seq));
        let first = SEGMENT_HEADER_BYTES as u64;
        mark.is_some_and(|it| it.seq == seq && it.at.offset == first)
    }

    /// Forgets what lies before a segment.
    pub(super) fn forget_before(&mut self, segment: u64) {
        for marks in self.streams.values_mut() {
            marks.retain(|mark| segment <= mark.at.segment);
        }
    }

    /// Moves the end of what is durable.
    pub(super) fn advance(&mut self, end: Place) {
        self.end = end;
    }

    /// Returns the end of what is durable.
    pub(super) fn end(&self) -> Place {
        self.end
    }

    /// Returns which mark of the stream to begin at to find op `seq`.
    pub(super) fn find(&self, stream: &StreamId, seq: u64) -> usize {
        let marks = self.streams.get(stream).map_or(&[][..], Vec::as_slice);
        marks.partition_point(|mark| mark.seq <= seq).saturating_sub(1)
    }

    /// Returns a mark of the stream.
    pub(super) fn mark(&self, stream: &StreamId, place: usize) -> Option<Mark> {
        self.streams.get(stream)?.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use photon_state::{PlacementId, RegionId};

    use super::*;

    #[test]
    fn a_stretch_has_one_mark_and_a_segment_begins_a_new_one() {
        let origin = RegionId::try_from("a").unwrap();
        let stream = StreamId { origin, placement: PlacementId::global(), incarnation: 1 };
        let mut index = Index::default();
        let places = [(1, 64), (1, 9_000), (1, 64 + Index::STRETCH_BYTES), (7, 64)];
        for (seq, (segment, offset)) in (1..).zip(places) {
            index.note(stream, seq, Place { segment, offset });
        }
        let seqs: Vec<u64> =
            (0..).map_while(|at| index.mark(&stream, at)).map(|it| it.seq).collect();
        assert_eq!(seqs, [1, 3, 4]);
        assert_eq!([0, 1, 2, 3, 4, 99].map(|seq| index.find(&stream, seq)), [0, 0, 0, 1, 2, 2]);
    }
}
