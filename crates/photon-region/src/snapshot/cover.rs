//! What parts of peers' states stand for, beyond what counts as seen: their ops may still come,
//! and must not be applied a second time.
//! Must not hold any state itself.

use std::collections::BTreeSet;

use photon_state::{Op, PlacementId, Position, Seen, StreamId};

/// A range of records that holds the effect of more ops than count as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cover {
    pub(crate) after: Option<Position>,
    pub(crate) upto: Option<Position>,
    pub(crate) placements: BTreeSet<PlacementId>,
    pub(crate) seen: Seen,
}

impl Cover {
    /// Whether it reaches at least as far as another one.
    fn spans(&self, other: &Self) -> bool {
        let begins = self.after.is_none() || (other.after.is_some() && self.after <= other.after);
        let ends = self.upto.is_none() || (other.upto.is_some() && other.upto <= self.upto);
        begins && ends && other.placements.is_subset(&self.placements)
    }

    fn holds(&self, position: &Position) -> bool {
        let is_after = self.after.as_ref().is_none_or(|it| it < position);
        let is_before = self.upto.as_ref().is_none_or(|it| position <= it);
        is_after && is_before && self.placements.contains(&position.placement())
    }
}

/// The covers that still stand for more than is seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Covers {
    all: Vec<Cover>,
    /// The last append when one of them was forgotten.
    pruned_at: u64,
}

impl Covers {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn all(&self) -> &[Cover] {
        &self.all
    }

    pub(crate) fn replace(&mut self, covers: Vec<Cover>) {
        self.all = covers;
    }

    pub(crate) fn add(&mut self, cover: Cover) {
        // What an earlier state stood for, this one does as well.
        self.all.retain(|old| !(cover.spans(old) && cover.seen.covers(&old.seen)));
        self.all.push(cover);
    }

    /// Whether the effect of an op is there already.
    pub(crate) fn hold(&self, op: &Op) -> bool {
        if self.all.is_empty() {
            return false;
        }
        let Some(position) = op.position() else { return false };
        let has = |cover: &Cover| op.seq <= cover.seen.of(&op.stream) && cover.holds(&position);
        self.all.iter().any(has)
    }

    /// Returns what is known at a position beyond what is seen.
    pub(crate) fn beyond(&self, position: &Position) -> Seen {
        let mut seen = Seen::default();
        self.all.iter().filter(|it| it.holds(position)).for_each(|it| seen.join(&it.seen));
        seen
    }

    /// Returns the first position after another one at which what covers hold changes.
    pub(crate) fn bound(&self, after: Option<&Position>) -> Option<&Position> {
        let bounds = self.all.iter().flat_map(|it| [it.after.as_ref(), it.upto.as_ref()]);
        bounds.flatten().filter(|it| after.is_none_or(|after| after < *it)).min()
    }

    /// Returns what is known of all between two positions beyond what is seen. None of the
    /// [bounds](Self::bound) may lie between them.
    pub(crate) fn beyond_range(&self, after: Option<&Position>, upto: Option<&Position>) -> Seen {
        let mut seen = Seen::default();
        let holds = |it: &&Cover| {
            let begins = it.after.as_ref().is_none_or(|from| after.is_some_and(|it| from <= it));
            begins && it.upto.as_ref().is_none_or(|to| upto.is_some_and(|it| it <= to))
        };
        self.all.iter().filter(holds).for_each(|it| seen.join(&it.seen));
        seen
    }

    /// Whether no record holds more than what is seen by appends up to `durable`.
    pub(crate) fn are_over(&self, durable: u64) -> bool {
        self.all.is_empty() && self.pruned_at <= durable
    }

    /// Returns an op that covers stand for and that is not seen.
    pub(crate) fn beyond_seen(&self, seen: &Seen) -> Option<(StreamId, u64)> {
        let all = self.all.iter().flat_map(|it| it.seen.iter());
        let mut unseen = all.filter(|(stream, seq)| seen.of(stream) < *seq);
        unseen.next().map(|(stream, seq)| (*stream, seq))
    }

    /// Forgets the covers of which all is seen.
    pub(crate) fn prune(&mut self, seen: &Seen, appended: u64) {
        let before = self.all.len();
        self.all.retain(|cover| !seen.covers(&cover.seen));
        if self.all.len() < before {
            self.pruned_at = appended;
        }
    }
}
