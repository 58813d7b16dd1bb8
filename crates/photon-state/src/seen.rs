//! How far somebody has seen each stream: a version vector.
//! Must not know why a stream matters.

use std::collections::BTreeMap;

use crate::StreamId;

/// The highest op number seen of each stream; a stream that is absent counts as 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<StreamId, u64>);

impl Seen {
    /// Returns the number of the last op seen of a stream.
    #[must_use]
    pub fn of(&self, stream: &StreamId) -> u64 {
        self.0.get(stream).copied().unwrap_or(0)
    }

    /// Raises a stream to `seq`; a lower number changes nothing.
    pub fn raise(&mut self, stream: StreamId, seq: u64) {
        let seen = self.0.entry(stream).or_default();
        *seen = seq.max(*seen);
    }

    /// Returns how many streams it tells of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Raises every stream to where `other` is.
    pub fn join(&mut self, other: &Self) {
        other.iter().for_each(|(stream, seq)| self.raise(*stream, seq));
    }

    /// Whether everything that `other` has seen is seen here too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(stream, seq)| seq <= self.of(stream))
    }

    /// Iterates over the streams, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&StreamId, u64)> {
        self.0.iter().map(|(stream, seq)| (stream, *seq))
    }
}

impl FromIterator<(StreamId, u64)> for Seen {
    fn from_iter<T: IntoIterator<Item = (StreamId, u64)>>(pairs: T) -> Self {
        let mut seen = Self::default();
        for (stream, seq) in pairs {
            seen.raise(stream, seq);
        }
        seen
    }
}
