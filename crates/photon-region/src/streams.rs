//! The streams as replication sees them: how far each is durable here, and its latest ops.
//! Must not know to whom they go.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use photon_state::{Now, Op, PlacementId, RegionId, Seen, StreamId};

use crate::lag::{Ages, millis};

/// The streams of a region.
#[derive(Debug)]
pub(crate) struct Streams {
    /// The region, whose own streams it is asked how far peers lag behind.
    here: RegionId,
    /// Bytes of ops of each stream that are kept in memory for peers.
    recent_bytes_max: usize,
    streams: BTreeMap<StreamId, Stream>,
    /// Appends that are not yet durable: their number, and what becomes durable with them.
    unsynced: VecDeque<(u64, StreamId, u64)>,
}

/// One stream.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// The last op that is durable here.
    pub(crate) durable: u64,
    /// The latest ops, without gaps.
    recent: VecDeque<Arc<Op>>,
    recent_bytes: usize,
    /// Who has sent some of it that they have not been told is durable here: their last op.
    senders: BTreeMap<RegionId, u64>,
    /// When its ops were made; only of a stream of this region.
    pub(crate) ages: Ages,
}

/// What [`Stream::after`] found.
pub(crate) enum Tail<'a> {
    /// The ops that follow, possibly none.
    Here(Box<dyn Iterator<Item = &'a Arc<Op>> + 'a>),
    /// They have left memory: the log has them.
    InLog,
}

impl Stream {
    /// Keeps an op, and lets go of the oldest beyond some bytes: they are read back from the log.
    fn push(&mut self, op: Arc<Op>, bytes_max: usize) {
        self.recent_bytes += op.weight();
        self.recent.push_back(op);
        while bytes_max < self.recent_bytes {
            let oldest = self.recent.pop_front().expect("its bytes were counted");
            self.recent_bytes -= oldest.weight();
        }
    }

    /// Returns the durable ops after `seq`.
    pub(crate) fn after(&self, seq: u64) -> Tail<'_> {
        if self.durable <= seq {
            return Tail::Here(Box::new(std::iter::empty()));
        }
        match self.recent.front() {
            Some(first) if first.seq <= seq + 1 => {
                let skip = usize::try_from(seq + 1 - first.seq).expect("within the window");
                let durable = self.durable;
                let tail = self.recent.iter().skip(skip);
                Tail::Here(Box::new(tail.take_while(move |op| op.seq <= durable)))
            }
            Some(_) | None => Tail::InLog,
        }
    }
}

impl Streams {
    pub(crate) fn new(here: RegionId, recent_bytes_max: usize) -> Self {
        let (streams, unsynced) = (BTreeMap::new(), VecDeque::new());
        Self { here, recent_bytes_max, streams, unsynced }
    }

    /// Begins to live: what was replayed has the age that it had in the log.
    pub(crate) fn begin(&mut self, now: Now) {
        self.streams.values_mut().for_each(|it| it.ages.begin(now));
    }

    /// Takes in an op that was appended under a number.
    pub(crate) fn appended(&mut self, number: u64, op: Arc<Op>, now: Now) {
        self.unsynced.push_back((number, op.stream, op.seq));
        let stream = self.streams.entry(op.stream).or_default();
        if op.stream.origin == self.here {
            stream.ages.note(op.seq, millis(now.mono));
        }
        stream.push(op, self.recent_bytes_max);
    }

    /// Takes note of who sent ops that have just been appended.
    pub(crate) fn came_from(&mut self, stream: StreamId, from: RegionId, last: u64) {
        let stream = self.streams.entry(stream).or_default();
        stream.senders.insert(from, last);
    }

    /// Returns who has sent ops that are to be acknowledged, and forgets those of whom all is
    /// durable.
    pub(crate) fn senders(&mut self, stream: &StreamId) -> BTreeSet<RegionId> {
        let Some(stream) = self.streams.get_mut(stream) else { return BTreeSet::new() };
        let all = stream.senders.keys().copied().collect();
        stream.senders.retain(|_, last| stream.durable < *last);
        all
    }

    /// Takes in an op that the log gave back.
    pub(crate) fn replayed(&mut self, op: Arc<Op>) {
        let stream = self.streams.entry(op.stream).or_default();
        stream.durable = op.seq;
        if op.stream.origin == self.here {
            stream.ages.note(op.seq, i64::try_from(op.at.wall_ms).unwrap_or(i64::MAX));
        }
        stream.push(op, self.recent_bytes_max);
    }

    /// Goes on behind an op of a stream: what comes before it is not known here, but its effect.
    /// That counts as durable with an append; 0 means that it is, and was read from the log.
    pub(crate) fn jumped(&mut self, id: StreamId, seq: u64, append: u64, at_ms: i64) {
        let stream = self.streams.entry(id).or_default();
        if id.origin == self.here {
            stream.ages.note(stream.durable + 1, at_ms); // Its ops are that old at least.
        }
        (stream.recent, stream.recent_bytes) = (VecDeque::new(), 0);
        if append == 0 {
            stream.durable = seq;
        } else {
            self.unsynced.push_back((append, id, seq));
        }
    }

    /// Lets go of ops that the log has let go of: everything that was seen by then.
    pub(crate) fn forget_before(&mut self, seen: &Seen) {
        for (id, stream) in &mut self.streams {
            while let Some(op) = stream.recent.pop_front_if(|it| it.seq <= seen.of(id)) {
                stream.recent_bytes -= op.weight();
            }
        }
    }

    /// Takes note that every append up to a number is durable; returns the streams that gained.
    pub(crate) fn synced(&mut self, number: u64) -> Vec<StreamId> {
        let mut gained = Vec::new();
        while let Some((_, stream, seq)) = self.unsynced.pop_front_if(|(it, ..)| *it <= number) {
            self.streams.entry(stream).or_default().durable = seq;
            if !gained.contains(&stream) {
                gained.push(stream);
            }
        }
        gained
    }

    /// Returns a stream, if there is one.
    pub(crate) fn get(&self, stream: &StreamId) -> Option<&Stream> {
        self.streams.get(stream)
    }

    /// Iterates over the streams, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&StreamId, &Stream)> {
        self.streams.iter()
    }

    /// Iterates over the streams that a region wrote under a placement, in all its lives.
    pub(crate) fn of(
        &self,
        origin: RegionId,
        placement: PlacementId,
    ) -> impl Iterator<Item = (&StreamId, &Stream)> {
        let at = |incarnation| StreamId { origin, placement, incarnation };
        self.streams.range(at(0)..=at(u64::MAX))
    }

    /// Iterates over the streams, in order, to change them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&StreamId, &mut Stream)> {
        self.streams.iter_mut()
    }
}
