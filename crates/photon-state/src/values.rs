//! The values of one shelf by key: small ones packed in blocks, large ones whole.
//! Must not know of ops, placements or datasets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::block::Block;
use crate::codec::Writer;
use crate::crdt::Value;
use crate::pack::{Sources, pack, unpack};

/// Values by key.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Each by a key that is not above those in it, and above those of the blocks before. The
    /// first one has none.
    blocks: BTreeMap<Box<[u8]>, Block>,
    /// Values that are too large to be packed. Their keys are in the blocks.
    whole: BTreeMap<Box<[u8]>, Value>,
    weight: usize,
}

/// One value as it is kept.
#[derive(Clone, Copy)]
pub(crate) struct Held<'a> {
    key: &'a [u8],
    packed: &'a [u8],
    whole: &'a BTreeMap<Box<[u8]>, Value>,
}

impl<'a> Held<'a> {
    /// Returns its key.
    pub(crate) fn key(self) -> &'a [u8] {
        self.key
    }

    /// Returns the value.
    pub(crate) fn value(self, sources: &Sources) -> Cow<'a, Value> {
        match unpack(self.packed, sources) {
            Some(value) => Cow::Owned(value),
            None => Cow::Borrowed(self.whole.get(self.key).expect("it is said to be whole")),
        }
    }
}

impl Values {
    /// What an entry costs beside its bytes: its share of a block that is not full, and of the
    /// tree of blocks.
    const ENTRY_WEIGHT: usize = 24;

    /// Room for what is packed, short of a value that is larger than most.
    const PACKED_BYTES: usize = 224;

    /// Returns about how many bytes all of them take in memory, with their keys.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    fn block(&self, key: &[u8]) -> Option<&Block> {
        Some(self.blocks.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?.1)
    }

    /// Returns the value of a key.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Held<'_>> {
        let block = self.block(key)?;
        let (key, packed) = block.entry(block.find(key).ok()?);
        Some(Held { key, packed, whole: &self.whole })
    }

    /// Iterates over the values from a key on, in order.
    pub(crate) fn range(&self, from: Bound<&[u8]>) -> impl Iterator<Item = Held<'_>> {
        let first = match from {
            Bound::Included(key) | Bound::Excluded(key) => {
                let upto = (Bound::Unbounded, Bound::Included(key));
                self.blocks.range::<[u8], _>(upto).next_back().map(|(first, _)| &first[..])
            }
            Bound::Unbounded => None,
        };
        let skip = |block: &Block| match from {
            Bound::Included(key) => block.find(key).unwrap_or_else(|at| at),
            Bound::Excluded(key) => block.find(key).map_or_else(|at| at, |at| at + 1),
            Bound::Unbounded => 0,
        };
        let first = first.map_or(Bound::Unbounded, Bound::Included);
        let mut blocks = self.blocks.range::<[u8], _>((first, Bound::Unbounded));
        let head = blocks.next().map(|(_, block)| (block, skip(block)));
        let all = head.into_iter().chain(blocks.map(|(_, block)| (block, 0)));
        let whole = &self.whole;
        all.flat_map(move |(block, first)| {
            (first..block.len()).map(move |place| {
                let (key, packed) = block.entry(place);
                Held { key, packed, whole }
            })
        })
    }

    /// Returns the value of a key for whoever will [`set`](Self::set) it at once.
    pub(crate) fn take(&mut self, key: &[u8], sources: &Sources) -> Option<Value> {
        let packed = self.get(key)?.packed;
        unpack(packed, sources).or_else(|| self.take_whole(key))
    }

    fn take_whole(&mut self, key: &[u8]) -> Option<Value> {
        let value = self.whole.remove(key)?;
        self.weight -= Self::whole_weight(key, &value);
        Some(value)
    }

    /// Puts a value in place of what is held.
    pub(crate) fn set(&mut self, key: &[u8], value: Value, sources: &mut Sources) {
        let mut packed = Writer::with_capacity(Self::PACKED_BYTES);
        let is_packed = pack(&value, sources, &mut packed);
        let packed = packed.written();
        if self.blocks.is_empty() {
            self.blocks.insert(Box::default(), Block::default());
        }
        let (first, block) = block_mut(&mut self.blocks, key);
        let place = block.find(key);
        let held = place.map_or(0, |at| {
            let (_, held) = block.entry(at);
            Block::bytes_of(key, held)
        });
        let needed = Block::bytes_of(key, packed);
        self.weight += needed;
        self.weight -= held;
        self.weight += if place.is_err() { Self::ENTRY_WEIGHT } else { 0 };
        if block.bytes() - held + needed <= Block::BYTES_MAX || block.len() == 0 {
            block.put(place, key, packed);
        } else {
            let first: Box<[u8]> = first.into();
            self.split(&first, place, (key, packed));
        }
        self.take_whole(key);
        if !is_packed {
            self.weight += Self::whole_weight(key, &value);
            self.whole.insert(key.into(), value);
        }
    }

    /// Keeps the value of a key no more.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        if self.blocks.is_empty() {
            return;
        }
        let (first, block) = block_mut(&mut self.blocks, key);
        let Ok(at) = block.find(key) else { return };
        self.weight -= Block::bytes_of(key, block.entry(at).1) + Self::ENTRY_WEIGHT;
        block.remove(at);
        let is_small = block.bytes() < Block::BYTES_MAX / 4;
        if is_small && !first.is_empty() {
            let first: Box<[u8]> = first.into();
            self.join(&first);
        }
        self.take_whole(key);
    }

    /// Puts an entry into a block that has no room for it.
    fn split(&mut self, first: &[u8], place: Result<usize, usize>, (key, packed): (&[u8], &[u8])) {
        let left = self.blocks.get_mut(first).expect("it was just found");
        if let Ok(at) = place {
            left.remove(at);
        }
        let (Ok(at) | Err(at)) = place;
        let mut right = Block::default();
        if at == left.len() {
            // Keys often come in their order: what is behind is left full.
            right.put(Err(0), key, packed);
        } else {
            let middle = left.middle().min(left.len() - 1);
            right = left.split_off(middle);
            match at.checked_sub(middle).filter(|at| 0 < *at) {
                Some(at) => right.put(Err(at), key, packed),
                None => left.put(Err(at), key, packed),
            }
        }
        let first = right.entry(0).0.into();
        self.blocks.insert(first, right);
    }

    /// Joins a block with the one before, if that has room.
    fn join(&mut self, first: &[u8]) {
        let block = self.blocks.remove(first).expect("it was just found");
        let (_, before) = block_mut(&mut self.blocks, first);
        if before.bytes() + block.bytes() <= Block::BYTES_MAX / 4 * 3 {
            before.append(&block);
        } else {
            self.blocks.insert(first.into(), block);
        }
    }

    /// Returns about how many bytes a value takes that is kept whole: it has many pieces.
    fn whole_weight(key: &[u8], value: &Value) -> usize {
        64 + key.len() + value.weight() * 5 / 4
    }
}

/// Returns the block that a key belongs to, with the key that it is found by.
fn block_mut<'a>(
    blocks: &'a mut BTreeMap<Box<[u8]>, Block>,
    key: &[u8],
) -> (&'a [u8], &'a mut Block) {
    let upto = (Bound::Unbounded, Bound::Included(key));
    let found = blocks.range_mut::<[u8], _>(upto).next_back();
    let (first, block) = found.expect("the first block takes every key");
    (first, block)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::crdt::{Counter, Fields, Shape, Version, Written};
    use crate::{Dot, Hlc, RegionId, Source};

    fn source(name: &str) -> Source {
        Source { origin: RegionId::try_from(name).unwrap(), incarnation: u64::MAX }
    }

    fn register(seq: u64, len: usize) -> Value {
        let dot = Dot { source: source("eu-west-1"), seq };
        let at = Hlc { wall_ms: 1_800_000_000_000, count: 7 };
        let written = Written { bytes: vec![seq as u8; len].into(), expires_ms: None };
        let versions = vec![(Bytes::new(), Version { dot, at, written })];
        Value::Fields(Fields::from_parts(versions, Default::default()).unwrap())
    }

    fn value(seq: u64, kind: u8, len: usize) -> Value {
        match kind {
            0 => Value::empty(Shape::Counter),
            1 => {
                let dots = ["a", "b"].map(|it| Dot { source: source(it), seq });
                Value::Counter(Counter::from_parts(dots.map(|it| (it, i128::MIN + 1))))
            }
            _ => register(seq, len),
        }
    }

    /// Compares with a plain map after each change, and its weight with that of a fresh copy.
    fn check(steps: &[(u16, u8, u16)]) {
        let (mut values, mut sources) = (Values::default(), Sources::default());
        let mut model = BTreeMap::new();
        for (seq, (key, kind, len)) in (1..).zip(steps) {
            let key = format!("{:0>width$}", key % 700, width = 1 + usize::from(key % 7) * 20);
            let value = value(seq, *kind, usize::from(*len));
            if value.is_empty() {
                values.remove(key.as_bytes());
                model.remove(&key);
            } else {
                let before = values.take(key.as_bytes(), &sources);
                assert_eq!(before.as_ref(), model.get(&key));
                values.set(key.as_bytes(), value.clone(), &mut sources);
                model.insert(key, value);
            }
        }
        let held = values.range(Bound::Unbounded);
        let held = held.map(|it| (it.key().to_vec(), it.value(&sources).into_owned()));
        let expected = model.iter().map(|(key, value)| (key.clone().into_bytes(), value.clone()));
        assert!(held.eq(expected));
        for key in model.keys() {
            let from = key.as_bytes();
            let counts =
                [Bound::Included(from), Bound::Excluded(from)].map(|it| values.range(it).count());
            let rest = model.range(key.clone()..).count();
            assert_eq!(counts, [rest, rest - 1]);
            assert!(values.get(from).is_some() && values.get(&[from, b"x"].concat()).is_none());
        }
        let mut copy = Values::default();
        model.iter().for_each(|(key, it)| copy.set(key.as_bytes(), it.clone(), &mut sources));
        assert_eq!(values.weight(), copy.weight());
        let used: usize = values.blocks.values().map(Block::bytes).sum();
        assert!(values.blocks.len() <= 2 + used / 512, "{} blocks", values.blocks.len());
        model.keys().for_each(|key| values.remove(key.as_bytes()));
        assert_eq!((values.weight(), values.blocks.len(), values.whole.len()), (0, 1, 0));
    }

    #[test]
    fn what_is_too_large_is_kept_whole_and_may_become_small_again() {
        check(&[(1, 2, 5_000), (2, 2, 60_000), (1, 2, 10), (3, 2, 1_900), (2, 0, 0)]);
    }

    #[test]
    fn keys_in_their_order_fill_their_blocks() {
        let (mut values, mut sources) = (Values::default(), Sources::default());
        for seq in 0..10_000_u32 {
            values.set(&seq.to_be_bytes(), register(seq.into(), 100), &mut sources);
        }
        let used: usize = values.blocks.values().map(Block::bytes).sum();
        assert!(used * 100 / (values.blocks.len() * Block::BYTES_MAX) > 90);
        assert!(used / 10_000 < 130, "{used} bytes of 10,000 records of 100");
    }

    proptest! {
        #[test]
        fn blocks_hold_what_a_plain_map_holds(
            steps in proptest::collection::vec(
                (any::<u16>(), prop_oneof![2 => Just(0_u8), 1 => Just(1_u8), 6 => Just(2_u8)],
                 prop_oneof![6 => 0..300_u16, 1 => 1_000..3_000_u16]), 1..600),
        ) {
            check(&steps);
        }
    }
}
