//! A tally: what the records of a shelf amount to, by buckets of their keys' hashes. It follows
//! each change, so that two regions find out at little cost which of their records differ: a
//! hash tree over the leaves (Merkle, 1987), of which only the leaves are kept.
//! Must not know what a record holds.

use crate::Dot;
use crate::crdt::Value;

/// Fingerprints of records in 65,536 leaves, in pages that are made when they are needed.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Sums of the prints of the records of each leaf: empty, or one entry for each page.
    pages: Vec<Option<Box<Page>>>,
    records: usize,
}

type Page = [u64; Tally::PAGE];

/// Where a record is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    hash: u64,
}

impl Seat {
    /// Returns the seat of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self { hash: Mix::default().bytes(key).finish() }
    }

    /// Returns the leaf in which the key is counted.
    #[must_use]
    pub fn leaf(self) -> u16 {
        (self.hash >> 48) as u16
    }

    /// Returns the fingerprint of a record that holds a value: equal where the same writes are in
    /// force, 0 if none is.
    #[must_use]
    pub fn print(self, value: &Value) -> u64 {
        let begun = Mix(self.hash);
        let (mix, is_any) = match value {
            Value::Fields(fields) => {
                let each = |mix: Mix, (field, it): (&[u8], Dot)| mix.bytes(field).dot(it);
                let all = fields.versions().map(|(field, it)| (&field[..], it.dot));
                (all.fold(begun, each), !fields.is_blank())
            }
            Value::Counter(counter) => {
                let each = |mix: Mix, (dot, check): (Dot, u64)| mix.dot(dot).word(check);
                (counter.checks().fold(begun, each), counter.parts().len() != 0)
            }
            Value::Escrow(escrow) => {
                let each = |mix: Mix, (dot, check): (Dot, u64)| mix.dot(dot).word(check);
                (escrow.checks().fold(begun, each), escrow.rows().len() != 0)
            }
        };
        if is_any { mix.finish().max(1) } else { 0 }
    }
}

impl Tally {
    /// How many children a bucket has.
    pub const FANOUT: usize = 16;
    /// How far below the root the leaves are.
    pub const DEPTH: u32 = 4;
    const PAGE: usize = 256;

    /// Follows a change of a record: 0 stands for a record that is not there.
    pub(crate) fn change(&mut self, seat: Seat, before: u64, after: u64) {
        if before == after {
            return;
        }
        self.records = self.records + usize::from(after != 0) - usize::from(before != 0);
        if self.pages.is_empty() {
            self.pages = vec![None; Self::PAGE];
        }
        let (page, slot) = (usize::from(seat.leaf()) / Self::PAGE, usize::from(seat.leaf()));
        let page = self.pages[page].get_or_insert_with(|| Box::new([0; Self::PAGE]));
        let sum = &mut page[slot % Self::PAGE];
        *sum = sum.wrapping_sub(before).wrapping_add(after);
    }

    /// Returns how many records are counted.
    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    /// Returns what all records amount to.
    #[must_use]
    pub fn root(&self) -> u64 {
        self.sum(0, 1 << 16)
    }

    /// Returns the sums of the children of a bucket: of the `bucket`th of those that are `depth`
    /// below the root.
    #[must_use]
    pub fn children(&self, depth: u32, bucket: u16) -> [u64; Self::FANOUT] {
        let shift = 4 * (Self::DEPTH - 1).saturating_sub(depth);
        let first = usize::from(bucket) << (shift + 4);
        std::array::from_fn(|child| self.sum(first + (child << shift), 1 << shift))
    }

    fn sum(&self, first: usize, leaves: usize) -> u64 {
        let (mut sum, mut at, end) = (0_u64, first, (first + leaves).min(1 << 16));
        while at < end {
            let upto = end.min((at / Self::PAGE + 1) * Self::PAGE);
            if let Some(Some(page)) = self.pages.get(at / Self::PAGE) {
                let within = &page[at % Self::PAGE..at % Self::PAGE + (upto - at)];
                sum = within.iter().fold(sum, |sum, it| sum.wrapping_add(*it));
            }
            at = upto;
        }
        sum
    }
}

/// A hash that takes a word at a time, alike in every version of Photon. Not against enemies.
#[derive(Clone, Copy, Debug)]
struct Mix(u64);

impl Default for Mix {
    fn default() -> Self {
        Self(0x243f_6a88_85a3_08d3) // Anything but zero: the fraction of pi.
    }
}

impl Mix {
    fn word(self, word: u64) -> Self {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self(mixed ^ mixed >> 29)
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut words = bytes.chunks_exact(8);
        let whole = words.by_ref().fold(self.word(bytes.len() as u64), |it, word| {
            it.word(u64::from_le_bytes(word.try_into().expect("a chunk of 8")))
        });
        let rest = words.remainder().iter().rev().fold(0, |it, byte| it << 8 | u64::from(*byte));
        whole.word(rest)
    }

    fn dot(self, dot: Dot) -> Self {
        let origin = dot.source.origin;
        self.bytes(origin.as_str().as_bytes()).word(dot.source.incarnation).word(dot.seq)
    }

    fn finish(self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        mixed ^ mixed >> 32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn seats_stay_where_they_are_for_ever() {
        let seat = |key: &[u8]| Seat::of(key).hash;
        assert_eq!(seat(b""), 12_637_062_353_396_134_499);
        assert_eq!(seat(b"photon/12345"), 16_726_421_844_175_936_874);
    }

    proptest! {
        #[test]
        fn a_tally_depends_on_what_is_there_and_not_on_how_it_came(
            changes in prop::collection::vec((0_u8..40, 0_u64..4), 0..200),
        ) {
            let seat = |key: u8| Seat::of(&[key]);
            let (mut tally, mut held) = (Tally::default(), BTreeMap::new());
            for (key, print) in changes {
                let before = held.insert(key, print).unwrap_or(0);
                tally.change(seat(key), before, print);
            }
            let mut again = Tally::default();
            held.iter().for_each(|(key, print)| again.change(seat(*key), 0, *print));
            prop_assert_eq!(tally.root(), again.root());
            prop_assert_eq!(tally.records(), held.values().filter(|it| **it != 0).count());
            // The children of a bucket are all of it, down to the leaves.
            let mut bucket = 0;
            for depth in 0..Tally::DEPTH {
                let children = tally.children(depth, bucket);
                prop_assert_eq!(children, again.children(depth, bucket));
                let sum = children.iter().fold(0_u64, |sum, it| sum.wrapping_add(*it));
                let own = if depth == 0 {
                    tally.root()
                } else {
                    tally.children(depth - 1, bucket / 16)[usize::from(bucket % 16)]
                };
                prop_assert_eq!(sum, own);
                let fullest = children.iter().position(|it| *it != 0).unwrap_or(0);
                bucket = bucket * 16 + fullest as u16;
            }
        }
    }
}
