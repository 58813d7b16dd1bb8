//! The values that many regions may change at once: what they hold, and how changes meet.
//! Must not know of records, datasets or who reads.
//!
//! Three structures carry all value types. [`Fields`] (registers, sets, maps and documents) follows
//! the optimized OR-set of Bieniusa et al. (2012): each write has a dot, a removal names the dots
//! that it has seen, and what was seen is known from the streams, so that nothing is left behind by
//! a removal once the removed write has arrived. [`Counter`] keeps the sum of each source (Shapiro
//! et al., 2011, PN-counter). [`Escrow`] is the bounded counter of Balegas et al. (2015).

mod counter;
mod escrow;
mod fields;
mod mend;
#[cfg(test)]
mod tests;
mod together;

pub use counter::Counter;
pub(crate) use escrow::Row;
pub use escrow::{Escrow, EscrowDelta};
pub use fields::{Field, FieldChange, Fields, Version, Written};
pub use mend::{Mending, Outline};
pub use together::{Side, together};

use crate::{Dot, Hlc, Seen, StableHash, StreamId};

/// What a record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Named fields, each with the writes that no other write has replaced.
    Fields(Fields),
    /// A sum.
    Counter(Counter),
    /// A sum that never goes below zero.
    Escrow(Escrow),
}

/// What an op does to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// Changes fields.
    Fields(Vec<FieldChange>),
    /// Adds to a counter.
    Add(i64),
    /// Changes a bounded counter.
    Escrow(EscrowDelta),
}

/// Which structure a value is. Ops of different shapes never meet in one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// See [`Fields`].
    Fields,
    /// See [`Counter`].
    Counter,
    /// See [`Escrow`].
    Escrow,
}

impl Delta {
    /// Returns which structure it changes.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self {
            Self::Fields(_) => Shape::Fields,
            Self::Add(_) => Shape::Counter,
            Self::Escrow(_) => Shape::Escrow,
        }
    }

    /// Returns about how many bytes it takes.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Fields(changes) => changes.iter().map(FieldChange::weight).sum(),
            Self::Add(_) => 8,
            Self::Escrow(_) => 48,
        }
    }
}

/// What the op that carries a delta is called, and what was seen where it is applied.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The stream of the op.
    pub stream: StreamId,
    /// Its number.
    pub seq: u64,
    /// When it was made.
    pub at: Hlc,
    /// What was seen here, this op included.
    pub seen: &'a Seen,
}

impl Arrival<'_> {
    /// Returns the name of the op.
    #[must_use]
    pub fn dot(&self) -> Dot {
        Dot { source: self.stream.source(), seq: self.seq }
    }

    fn has_seen(&self, dot: Dot) -> bool {
        dot.is_in(self.seen, self.stream.placement)
    }
}

impl Value {
    /// Makes the value that nothing has changed yet.
    #[must_use]
    pub fn empty(shape: Shape) -> Self {
        match shape {
            Shape::Fields => Self::Fields(Fields::default()),
            Shape::Counter => Self::Counter(Counter::default()),
            Shape::Escrow => Self::Escrow(Escrow::default()),
        }
    }

    /// Returns which structure it is.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self {
            Self::Fields(_) => Shape::Fields,
            Self::Counter(_) => Shape::Counter,
            Self::Escrow(_) => Shape::Escrow,
        }
    }

    /// Takes in a delta of the next op of a stream. Returns how it met other writes, or `None`
    /// when it is of another shape, and nothing was done.
    pub fn apply(&mut self, arrival: Arrival<'_>, delta: &Delta) -> Option<Met> {
        match (self, delta) {
            (Self::Fields(fields), Delta::Fields(changes)) => Some(fields.apply(arrival, changes)),
            (Self::Counter(counter), Delta::Add(by)) => {
                counter.add(arrival.dot(), *by);
                Some(Met::Nothing)
            }
            (Self::Escrow(escrow), Delta::Escrow(delta)) => {
                escrow.apply(arrival.dot(), *delta);
                Some(Met::Nothing)
            }
            (Self::Fields(_) | Self::Counter(_) | Self::Escrow(_), _) => None,
        }
    }

    /// Takes in the state of the same record in another region. `ours` and `theirs` tell what was
    /// seen of the record's placement on each side. Does nothing when the shapes differ.
    pub fn merge(
        &mut self,
        ours: &dyn Fn(Dot) -> bool,
        other: &Self,
        theirs: &dyn Fn(Dot) -> bool,
    ) {
        match (self, other) {
            (Self::Fields(here), Self::Fields(there)) => here.merge(ours, there, theirs),
            (Self::Counter(here), Self::Counter(there)) => here.merge(there),
            (Self::Escrow(here), Self::Escrow(there)) => here.merge(there),
            (Self::Fields(_) | Self::Counter(_) | Self::Escrow(_), _) => {}
        }
    }

    /// Whether nothing needs to be kept: the record may be dropped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Fields(fields) => fields.is_empty(),
            Self::Counter(counter) => counter.is_empty(),
            Self::Escrow(escrow) => escrow.is_empty(),
        }
    }

    /// Returns a number that changes with every change, and is the same wherever the same ops were
    /// applied: what an ETag is made from.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let add = |hash: StableHash, dot: Dot| {
            let hash = hash.bytes(dot.source.origin.as_str().as_bytes());
            hash.number(dot.source.incarnation).number(dot.seq)
        };
        let hash = StableHash::default();
        match self {
            Self::Fields(fields) => fields.versions().fold(hash, |hash, (_, it)| add(hash, it.dot)),
            Self::Counter(counter) => counter.dots().fold(hash, add),
            Self::Escrow(escrow) => escrow.dots().fold(hash, add),
        }
        .finish()
    }

    /// Copies all contents, so that they keep nothing else in memory.
    pub(crate) fn detach(&mut self) {
        match self {
            Self::Fields(fields) => fields.detach(),
            Self::Counter(_) | Self::Escrow(_) => {}
        }
    }

    /// Returns about how many bytes it takes in memory by itself.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self {
            Self::Fields(fields) => 96 + fields.bytes(),
            Self::Counter(counter) => 64 + 80 * counter.parts().len(),
            Self::Escrow(escrow) => 64 + 128 * escrow.rows().len(),
        }
    }
}

/// How a change met the writes that were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    /// It had seen all of them.
    Nothing,
    /// It was made without knowledge of another write: both stand side by side.
    Concurrent {
        /// The other write; one of them, if there are several.
        other: Dot,
        /// When the other was made.
        at: Hlc,
    },
}
