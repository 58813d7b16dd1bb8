//! A counter: the sum of what every source has added.
//! Must not know a bound.

use std::collections::BTreeMap;

use crate::{Dot, Source, StableHash};

/// A PN-counter. Streams are applied once and in order, so that one sum for each source suffices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counter(BTreeMap<Source, Part>);

/// What one source has added, up to one of its ops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Part {
    seq: u64,
    sum: i128,
}

impl Counter {
    /// Returns the sum.
    #[must_use]
    pub fn sum(&self) -> i128 {
        self.0.values().map(|part| part.sum).sum()
    }

    /// Adds what an op adds; an op that is known already changes nothing.
    pub(super) fn add(&mut self, dot: Dot, by: i64) {
        let part = self.0.entry(dot.source).or_default();
        if part.seq < dot.seq {
            *part = Part { seq: dot.seq, sum: part.sum + i128::from(by) };
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (source, theirs) in &other.0 {
            let ours = self.0.entry(*source).or_default();
            if ours.seq < theirs.seq {
                *ours = *theirs;
            }
        }
    }

    /// Takes over what another region holds of ops that are known here, and all that it holds of
    /// itself, about which it cannot be wrong.
    pub(super) fn correct(&mut self, other: &Self, itself: Source, known: &dyn Fn(Dot) -> bool) {
        let known = |source, seq| known(Dot { source, seq });
        for (source, theirs) in other.0.iter().filter(|(it, part)| known(**it, part.seq)) {
            let ours = self.0.entry(*source).or_default();
            if ours.seq < theirs.seq || (ours.seq == theirs.seq && *source == itself) {
                *ours = *theirs;
            }
        }
    }

    /// Iterates over the last op of each source, with what tells its sum from others.
    pub(crate) fn checks(&self) -> impl Iterator<Item = (Dot, u64)> {
        let check = |sum: i128| {
            StableHash::default().number(sum as u64).number((sum >> 64) as u64).finish()
        };
        self.parts().map(move |(dot, sum)| (dot, check(sum)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn dots(&self) -> impl Iterator<Item = Dot> {
        self.0.iter().map(|(source, part)| Dot { source: *source, seq: part.seq })
    }

    /// Iterates over the last op and the sum of each source.
    pub(crate) fn parts(&self) -> impl ExactSizeIterator<Item = (Dot, i128)> {
        self.0.iter().map(|(source, part)| (Dot { source: *source, seq: part.seq }, part.sum))
    }

    pub(crate) fn from_parts(parts: impl IntoIterator<Item = (Dot, i128)>) -> Self {
        let part = |(dot, sum): (Dot, i128)| (dot.source, Part { seq: dot.seq, sum });
        Self(parts.into_iter().map(part).collect())
    }
}
