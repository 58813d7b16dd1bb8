//! Dots: the name of an op among all ops of one placement, by which CRDTs tell writes apart.
//! Must not know what was written.

use std::fmt;

use crate::{Op, PlacementId, RegionId, Seen, StreamId};

/// Who makes ops: a region in one life of its log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// The region.
    pub origin: RegionId,
    /// Which of its logs.
    pub incarnation: u64,
}

impl Source {
    /// Returns the stream that the source writes under a placement.
    #[must_use]
    pub fn stream(self, placement: PlacementId) -> StreamId {
        StreamId { origin: self.origin, placement, incarnation: self.incarnation }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:x}", self.origin, self.incarnation)
    }
}

impl StreamId {
    /// The incarnation of the stream that a region writes for itself alone.
    const LOCAL: u64 = 0;

    /// Returns the stream of a region that never leaves its log.
    #[must_use]
    pub fn local(origin: RegionId) -> Self {
        Self { origin, placement: PlacementId::global(), incarnation: Self::LOCAL }
    }

    /// Whether the stream never leaves the log of its origin.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.incarnation == Self::LOCAL
    }

    /// Returns who writes the stream.
    #[must_use]
    pub fn source(&self) -> Source {
        Source { origin: self.origin, incarnation: self.incarnation }
    }
}

/// Names an op within its placement. Dots come from the numbers of the streams: no two ops of a
/// placement share one, and `seen` says of each whether it was applied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who made the op.
    pub source: Source,
    /// Its number in the stream.
    pub seq: u64,
}

impl Dot {
    /// Whether the op is among those seen of a placement.
    #[must_use]
    pub fn is_in(self, seen: &Seen, placement: PlacementId) -> bool {
        self.seq <= seen.of(&self.source.stream(placement))
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}", self.source, self.seq)
    }
}

impl Op {
    /// Returns the op's name within its placement.
    #[must_use]
    pub fn dot(&self) -> Dot {
        Dot { source: self.stream.source(), seq: self.seq }
    }
}
