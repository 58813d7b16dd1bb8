//! The values of one shelf by key: small ones packed in blocks, large ones whole.
//! Must not know of ops, placements or datasets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::Key;
use crate::block::Block;
use crate::codec::Writer;
use crate::crdt::Value;
use crate::pack::{PACKED_BYTES_MAX, Sources, is_whole, pack, unpack};
use crate::short::Short;

// A block is split only if what is left of it is not empty.
const _: () = assert!(4 + Key::BYTES_MAX + PACKED_BYTES_MAX <= Block::BYTES_MAX);

/// Values by key.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Each by a key that is not above those in it, and above those of the blocks before. The
    /// first one has none.
    blocks: BTreeMap<Short, Block>,
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

    /// What a field costs beside its weight: room for more fields, and small pieces of memory.
    const PIECE_WEIGHT: usize = 112;
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
                self.blocks.range::<[u8], _>(upto).next_back().map(|(first, _)| first.as_bytes())
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

    /// Lets the value of a key be changed: what there was, if anything, for what there is to be.
    pub(crate) fn change<R>(
        &mut self,
        key: &[u8],
        sources: &mut Sources,
        change: impl FnOnce(Option<Value>) -> (Option<Value>, R),
    ) -> R {
        if self.blocks.is_empty() {
            self.blocks.insert(Short::new(b""), Block::default());
        }
        let (first, block) = block_mut(&mut self.blocks, key);
        let place = block.find(key);
        let held = place.ok().map(|at| block.entry(at).1);
        let whole = held.filter(|it| is_whole(it)).and_then(|_| self.whole.remove(key));
        self.weight -= held.map_or(0, |it| Self::entry_weight(key, it));
        self.weight -= whole.as_ref().map_or(0, |it| Self::whole_weight(key, it));
        let (value, result) = change(whole.or_else(|| unpack(held?, sources)));
        let Some(value) = value else {
            if let Ok(at) = place {
                block.remove(at);
                if block.bytes() < Block::BYTES_MAX / 4 && !first.as_bytes().is_empty() {
                    let first = Short::new(first.as_bytes());
                    self.join(first);
                }
            }
            return result;
        };
        let mut packed = Writer::with_capacity(Self::PACKED_BYTES);
        let is_packed = pack(&value, sources, &mut packed);
        let packed = packed.written();
        self.weight += Self::entry_weight(key, packed);
        let before = held.map_or(0, |it| Block::bytes_of(key, it));
        let after = block.bytes() - before + Block::bytes_of(key, packed);
        if after <= Block::BYTES_MAX || block.len() == 0 {
            block.put(place, key, packed);
        } else {
            let (first, next) = split(block, place, (key, packed));
            self.blocks.insert(first, next);
        }
        if !is_packed {
            self.weight += Self::whole_weight(key, &value);
            self.whole.insert(key.into(), value);
        }
        result
    }

    /// Puts a value in place of what is held, or nothing.
    #[cfg(test)]
    fn set(&mut self, key: &[u8], value: Option<Value>, sources: &mut Sources) {
        self.change(key, sources, |_| (value, ()));
    }

    /// Joins a block with the one before, if that has room.
    fn join(&mut self, first: Short) {
        let block = self.blocks.remove(first.as_bytes()).expect("it was just found");
        let (_, before) = block_mut(&mut self.blocks, first.as_bytes());
        if before.bytes() + block.bytes() <= Block::BYTES_MAX / 4 * 3 {
            before.append(&block);
        } else {
            self.blocks.insert(first, block);
        }
    }

    fn entry_weight(key: &[u8], packed: &[u8]) -> usize {
        Block::bytes_of(key, packed) + Self::ENTRY_WEIGHT
    }

    /// Returns about how many bytes a value takes that is kept whole: it has many pieces.
    fn whole_weight(key: &[u8], value: &Value) -> usize {
        let pieces = match value {
            Value::Fields(fields) => fields.count(),
            Value::Counter(_) | Value::Escrow(_) => 0,
        };
        key.len() + value.weight() + Self::PIECE_WEIGHT * pieces
    }
}

/// Returns the block that a key belongs to, with what it is found by.
fn block_mut<'a>(blocks: &'a mut BTreeMap<Short, Block>, key: &[u8]) -> (&'a Short, &'a mut Block) {
    let upto = (Bound::Unbounded, Bound::Included(key));
    let found = blocks.range_mut::<[u8], _>(upto).next_back();
    found.expect("the first block takes every key")
}

/// Puts an entry into a block that has no room for it; returns the block that follows, with what
/// it is found by.
fn split(
    block: &mut Block,
    place: Result<usize, usize>,
    (key, packed): (&[u8], &[u8]),
) -> (Short, Block) {
    if let Ok(at) = place {
        block.remove(at);
    }
    let (Ok(at) | Err(at)) = place;
    let mut next = Block::default();
    if at == block.len() {
        // Keys often come in their order: what is behind is left full.
        next.put(Err(0), key, packed);
    } else {
        let middle = block.middle().min(block.len() - 1);
        next = block.split_off(middle);
        match at.checked_sub(middle).filter(|at| 0 < *at) {
            Some(at) => next.put(Err(at), key, packed),
            None => block.put(Err(at), key, packed),
        }
    }
    let last = block.len().checked_sub(1).expect("an entry by itself has room");
    (Short::between(block.entry(last).0, next.entry(0).0), next)
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
                values.set(key.as_bytes(), None, &mut sources);
                model.remove(&key);
            } else {
                let change = |before: Option<Value>| {
                    assert_eq!(before.as_ref(), model.get(&key));
                    (Some(value.clone()), ())
                };
                values.change(key.as_bytes(), &mut sources, change);
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
        model.iter().for_each(|(key, it)| copy.set(key.as_bytes(), Some(it.clone()), &mut sources));
        assert_eq!(values.weight(), copy.weight());
        let used: usize = values.blocks.values().map(Block::bytes).sum();
        assert!(values.blocks.len() <= 2 + used / 512, "{} blocks", values.blocks.len());
        model.keys().for_each(|key| values.set(key.as_bytes(), None, &mut sources));
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
            values.set(&seq.to_be_bytes(), Some(register(seq.into(), 100)), &mut sources);
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
