//! What several regions hold of one record, taken together: for those who ask some of them and
//! keep nothing of the answers. Must not lose to the damage of one region what another one holds.
//!
//! As in a merge, what one region has seen and does not hold was removed there. But a region that
//! has seen all that the other one has, and still holds it, shows that no op has removed it: then
//! it was lost there, and counts as held.

use super::{Fields, Shape, Value};
use crate::{Dot, PlacementId, Seen, Source};

/// What one region holds of a record, and what it had seen of the record's placement by then.
#[derive(Clone, Debug)]
pub struct Side {
    /// What it holds.
    pub value: Value,
    /// What it had seen.
    pub seen: Seen,
}

impl Side {
    fn has_seen(&self, dot: Dot, placement: PlacementId) -> bool {
        dot.is_in(&self.seen, placement)
    }

    fn fields(&self) -> Option<&Fields> {
        match &self.value {
            Value::Fields(fields) => Some(fields),
            Value::Counter(_) | Value::Escrow(_) => None,
        }
    }

    /// Whether no op explains how it differs from another one.
    #[must_use]
    pub fn contradicts(&self, other: &Self, placement: PlacementId) -> bool {
        if self.seen == other.seen {
            return self.value != other.value;
        }
        self.shows_loss(other, placement) || other.shows_loss(self, placement)
    }

    /// Whether the other side lacks something that, by what is known here, it must hold.
    fn shows_loss(&self, other: &Self, placement: PlacementId) -> bool {
        let (Some(here), Some(there)) = (self.fields(), other.fields()) else { return false };
        let is_lost =
            |dot, field: &[u8]| other.has_seen(dot, placement) && !there.holds(field, dot);
        self.seen.covers(&other.seen) && here.versions().any(|(field, it)| is_lost(it.dot, field))
    }
}

/// Returns what several regions hold together. Each is named as the source that it is now.
#[must_use]
pub fn together(shape: Shape, placement: PlacementId, sides: &[(Source, Side)]) -> Value {
    if shape == Shape::Fields {
        return Value::Fields(fields_together(placement, sides));
    }
    let mut value = Value::empty(shape);
    let all = |_: Dot| true;
    sides.iter().for_each(|(_, side)| value.merge(&all, &side.value, &all));
    // A region is right about what it has added itself.
    sides.iter().for_each(|(source, side)| value.correct(&side.value, *source, &all));
    value
}

fn fields_together(placement: PlacementId, sides: &[(Source, Side)]) -> Fields {
    let sides: Vec<(&Fields, &Side)> =
        sides.iter().filter_map(|(_, it)| Some((it.fields()?, it))).collect();
    let covers = |a: &Side, b: &Side| a.seen.covers(&b.seen);
    let covered: Vec<Vec<bool>> =
        sides.iter().map(|(_, a)| sides.iter().map(|(_, b)| covers(a, b)).collect()).collect();
    let mut whole = Fields::default();
    for (field, version) in sides.iter().flat_map(|(fields, _)| fields.versions()) {
        let (dot, holds) = (version.dot, |it: &Fields| it.holds(field, version.dot));
        let is_explained = |lacking: usize| {
            let mut shown = (0..sides.len()).filter(|it| holds(sides[*it].0));
            !shown.any(|holder| covered[holder][lacking])
        };
        let is_dead = (0..sides.len()).any(|it| {
            let (fields, side) = sides[it];
            let is_lacking = !holds(fields) && side.has_seen(dot, placement);
            fields.was_removed(field, dot) || is_lacking && is_explained(it)
        });
        if !is_dead {
            whole.insert(field.clone(), version.clone());
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{Counter, Field, Version, Written};
    use super::*;
    use crate::{Hlc, RegionId};

    fn dot(name: &str, seq: u64) -> Dot {
        let origin = RegionId::try_from(name).unwrap();
        Dot { source: Source { origin, incarnation: 1 }, seq }
    }

    fn seen(all: &[(&str, u64)]) -> Seen {
        let global = PlacementId::global();
        all.iter().map(|(name, seq)| (dot(name, 1).source.stream(global), *seq)).collect()
    }

    fn register(all: &[(&str, u64)]) -> Value {
        let written = Written { bytes: Bytes::new(), expires_ms: None };
        let version = |name, seq| Version {
            dot: dot(name, seq),
            at: Hlc::default(),
            written: written.clone(),
        };
        let all = all.iter().map(|(name, seq)| (Field::new(), version(*name, *seq))).collect();
        Value::Fields(Fields::from_parts(all, std::collections::BTreeSet::new()).unwrap())
    }

    fn check(sides: &[(Value, Seen); 3], shape: Shape, expected: &Value) {
        let global = PlacementId::global();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let side = |at: usize| {
                let (value, seen) = sides[at].clone();
                (dot(["a", "b", "c"][at], 1).source, Side { value, seen })
            };
            assert_eq!(together(shape, global, &order.map(side)), *expected, "{order:?}");
        }
    }

    #[test]
    fn what_one_region_has_lost_counts_as_held_in_whatever_order() {
        let all = seen(&[("a", 1), ("b", 1)]);
        let (held, lost) = (register(&[("a", 1)]), register(&[]));
        let sides = [(held.clone(), all.clone()), (lost.clone(), all), (lost, seen(&[]))];
        check(&sides, Shape::Fields, &held);
        // The holder has seen more than the damaged region.
        let sides = [
            (held.clone(), seen(&[("a", 2), ("b", 1)])),
            (register(&[]), seen(&[("a", 1), ("b", 1)])),
            (register(&[]), seen(&[("b", 1)])),
        ];
        check(&sides, Shape::Fields, &held);
    }

    #[test]
    fn what_an_op_has_removed_does_not_come_back() {
        let sides = [
            (register(&[("a", 1)]), seen(&[("a", 1), ("c", 5)])),
            (register(&[("b", 1)]), seen(&[("a", 1), ("b", 1)])),
            (register(&[("a", 1)]), seen(&[("a", 1), ("c", 7)])),
        ];
        check(&sides, Shape::Fields, &register(&[("b", 1)]));
    }

    #[test]
    fn a_sum_is_believed_where_it_was_added() {
        let sum = |sum| Value::Counter(Counter::from_parts([(dot("a", 3), sum)]));
        let all = || seen(&[("a", 3)]);
        let sides = [(sum(6), all()), (sum(4), all()), (sum(5), all())];
        check(&sides, Shape::Counter, &sum(6));
    }

    #[test]
    fn two_sides_contradict_each_other_only_if_no_op_explains_it() {
        let global = PlacementId::global();
        let side = |value: &Value, seen: Seen| Side { value: value.clone(), seen };
        let (held, lost) = (register(&[("a", 1)]), register(&[]));
        let check = |here: (&Value, Seen), there: (&Value, Seen), expected| {
            let (here, there) = (side(here.0, here.1), side(there.0, there.1));
            assert_eq!(here.contradicts(&there, global), expected);
            assert_eq!(there.contradicts(&here, global), expected);
        };
        check((&held, seen(&[("a", 1)])), (&lost, seen(&[("a", 1)])), true);
        check((&held, seen(&[("a", 2)])), (&lost, seen(&[("a", 1)])), true);
        check((&held, seen(&[("a", 2)])), (&lost, seen(&[])), false);
        check((&held, seen(&[("a", 1)])), (&lost, seen(&[("a", 2)])), false);
    }
}
