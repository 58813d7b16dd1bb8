//! The values of one shelf by key: small ones packed in blocks, large ones whole; those that were
//! not used for long lie on pages, if there are any. Must not know of ops, placements or datasets.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use crate::Key;
use crate::block::Block;
use crate::codec::Writer;
use crate::crdt::Value;
use crate::pack::{PACKED_BYTES_MAX, is_whole, pack, unpack};
use crate::pages::Space;
use crate::short::Short;
use crate::slot::{Found, Laid, Large, Slot};

// A block is split only if what is left of it is not empty.
const _: () = assert!(4 + Key::BYTES_MAX + PACKED_BYTES_MAX <= Block::BYTES_MAX);

/// Values by key.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Each by a key that is not above those in it, and above those of the blocks before. The
    /// first one has none.
    blocks: BTreeMap<Short, Slot>,
    /// Values that are too large to be packed. Their keys are in the blocks.
    whole: BTreeMap<Box<[u8]>, Large>,
    weight: usize,
    /// How much of the weight is not in memory.
    away: usize,
}

/// One value as it is kept.
#[derive(Clone, Debug)]
pub struct Held<'a> {
    block: Found<'a>,
    place: usize,
    whole: &'a BTreeMap<Box<[u8]>, Large>,
    space: &'a Space,
}

impl<'a> Held<'a> {
    /// Returns its key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.block.entry(self.place).0
    }

    /// Returns the value.
    #[must_use]
    pub fn value(&self) -> Cow<'a, Value> {
        let (key, packed) = self.block.entry(self.place);
        match unpack(packed, &self.space.sources) {
            Some(value) => Cow::Owned(value),
            None => self.whole.get(key).expect(WHOLE).look(self.space),
        }
    }
}

const WHOLE: &str = "it is said to be whole";

/// How far the search for what was not used has come in a shelf.
#[derive(Debug)]
pub(crate) enum Stop {
    Block(Short),
    Whole(Box<[u8]>),
}

impl Values {
    /// What an entry costs beside its bytes: its share of a block that is not full, and of the
    /// tree of blocks.
    const ENTRY_WEIGHT: usize = 24;

    /// What a field costs beside its weight: room for more fields, and small pieces of memory.
    const PIECE_WEIGHT: usize = 112;
    /// What a block costs that is on a page.
    const SLOT_WEIGHT: usize = 96;
    /// Room for what is packed, short of a value that is larger than most.
    const PACKED_BYTES: usize = 224;

    /// Returns about how many bytes all of them take, with their keys, if they are in memory.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// Returns about how many of those bytes are not in memory.
    pub(crate) fn away(&self) -> usize {
        self.away
    }

    /// Returns the value of a key.
    pub(crate) fn get<'a>(&'a self, key: &[u8], space: &'a Space) -> Option<Held<'a>> {
        let upto = (Bound::Unbounded, Bound::Included(key));
        let block = self.blocks.range::<[u8], _>(upto).next_back()?.1.look(space);
        let place = block.find(key).ok()?;
        Some(Held { block, place, whole: &self.whole, space })
    }

    /// Iterates over the values from a key on, in order.
    pub(crate) fn range<'a>(
        &'a self,
        from: Bound<&'a [u8]>,
        space: &'a Space,
    ) -> impl Iterator<Item = Held<'a>> {
        let first = match from {
            Bound::Included(key) | Bound::Excluded(key) => {
                let upto = (Bound::Unbounded, Bound::Included(key));
                self.blocks.range::<[u8], _>(upto).next_back().map(|(first, _)| first.as_bytes())
            }
            Bound::Unbounded => None,
        };
        let skip = move |block: &Block| match from {
            Bound::Included(key) => block.find(key).unwrap_or_else(|at| at),
            Bound::Excluded(key) => block.find(key).map_or_else(|at| at, |at| at + 1),
            Bound::Unbounded => 0,
        };
        let first = first.map_or(Bound::Unbounded, Bound::Included);
        let blocks = self.blocks.range::<[u8], _>((first, Bound::Unbounded));
        let all = blocks.enumerate().map(move |(number, (_, slot))| {
            let block = slot.look(space);
            let first = if number == 0 { skip(&block) } else { 0 };
            (block, first)
        });
        let whole = &self.whole;
        all.flat_map(move |(block, first)| {
            let places = first..block.len();
            places.map(move |place| Held { block: block.clone(), place, whole, space })
        })
    }

    /// Lets the value of a key be changed: what there was, if anything, for what there is to be.
    pub(crate) fn change<R>(
        &mut self,
        key: &[u8],
        space: &mut Space,
        change: impl FnOnce(Option<Value>) -> (Option<Value>, R),
    ) -> R {
        if self.blocks.is_empty() {
            self.blocks.insert(Short::new(b""), Slot::Here(Block::default()));
        }
        let (first, slot) = slot_mut(&mut self.blocks, key);
        self.away -= Self::away_weight(slot);
        let block = slot.bring(space);
        let place = block.find(key);
        let held = place.ok().map(|at| block.entry(at).1);
        let whole = held.filter(|it| is_whole(it)).and_then(|_| self.whole.remove(key));
        self.away -= whole.as_ref().map_or(0, |it| it.away(key));
        let whole = whole.map(|it| it.bring(space));
        self.weight -= held.map_or(0, |it| Self::entry_weight(key, it));
        self.weight -= whole.as_ref().map_or(0, |it| Self::whole_weight(key, it));
        let (value, result) = change(whole.or_else(|| unpack(held?, &space.sources)));
        let Some(value) = value else {
            if let Ok(at) = place {
                block.remove(at);
                if Self::is_sparse(block) {
                    let first = Short::new(first.as_bytes());
                    self.join(first, space);
                }
            }
            return result;
        };
        let mut packed = Writer::with_capacity(Self::PACKED_BYTES);
        let is_packed = pack(&value, &mut space.sources, &mut packed);
        let packed = packed.written();
        self.weight += Self::entry_weight(key, packed);
        let before = held.map_or(0, |it| Block::bytes_of(key, it));
        let after = block.bytes() - before + Block::bytes_of(key, packed);
        if after <= Block::BYTES_MAX || block.len() == 0 {
            let is_less = after < block.bytes();
            block.put(place, key, packed);
            if is_less && Self::is_sparse(block) {
                let first = Short::new(first.as_bytes());
                self.join(first, space);
            }
        } else {
            let next = split(block, place, (key, packed));
            self.blocks.extend(next.into_iter().map(|(first, it)| (first, Slot::Here(it))));
        }
        if !is_packed {
            self.weight += Self::whole_weight(key, &value);
            self.whole.insert(key.into(), Large::new(value));
        }
        result
    }

    fn is_sparse(block: &Block) -> bool {
        block.bytes() < Block::BYTES_MAX / 4
    }

    /// Joins a block with the one before, if there is one and it has room.
    fn join(&mut self, first: Short, space: &mut Space) {
        if first.as_bytes().is_empty() {
            return;
        }
        let mut slot = self.blocks.remove(first.as_bytes()).expect("it was just found");
        let (_, before) = slot_mut(&mut self.blocks, first.as_bytes());
        let block = slot.bring(space);
        if block.len() == 0 {
            return;
        }
        if before.bytes() + block.bytes() <= Block::BYTES_MAX / 4 * 3 {
            self.away -= Self::away_weight(before);
            before.bring(space).append(block);
        } else {
            self.blocks.insert(first, slot);
        }
    }

    /// Lays what was not used on pages, from where it stopped the last time, until what is in
    /// memory is less by `bytes`, `looks` are used up, or the end is reached: then it returns
    /// nothing.
    pub(crate) fn lay_away(
        &mut self,
        from: Option<Stop>,
        space: &mut Space,
        bytes: usize,
        looks: &mut usize,
    ) -> Option<Stop> {
        let Space { sources, paging: Some(paging) } = space else { return None };
        let before = self.away;
        let (first, key) = match from {
            Some(Stop::Whole(key)) => (None, Some(key)),
            Some(Stop::Block(first)) => (Some(first), None),
            None => (None, None),
        };
        if key.is_none() {
            let from = first.as_ref().map_or(Bound::Unbounded, |it| Bound::Excluded(it.as_bytes()));
            for (first, slot) in self.blocks.range_mut::<[u8], _>((from, Bound::Unbounded)) {
                *looks = looks.saturating_sub(1);
                match slot.lay_away(paging) {
                    Laid::Away => self.away += Self::away_weight(slot),
                    Laid::Not => {}
                    Laid::Full => *looks = 0,
                }
                if *looks == 0 || before + bytes <= self.away {
                    return Some(Stop::Block(Short::new(first.as_bytes())));
                }
            }
        }
        let from = key.as_ref().map_or(Bound::Unbounded, |it| Bound::Excluded(&**it));
        for (key, large) in self.whole.range_mut::<[u8], _>((from, Bound::Unbounded)) {
            *looks = looks.saturating_sub(1);
            match large.lay_away(sources, paging, |it| Self::whole_weight(key, it)) {
                Laid::Away => self.away += large.away(key),
                Laid::Not => {}
                Laid::Full => *looks = 0,
            }
            if *looks == 0 || before + bytes <= self.away {
                return Some(Stop::Whole(key.clone()));
            }
        }
        None
    }

    /// Returns how much less memory a block takes than if it were here.
    fn away_weight(slot: &Slot) -> usize {
        slot.away().map_or(0, |(bytes, count)| {
            (bytes + Self::ENTRY_WEIGHT * count).saturating_sub(Self::SLOT_WEIGHT)
        })
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

/// Returns the slot that a key belongs to, with what it is found by.
fn slot_mut<'a>(blocks: &'a mut BTreeMap<Short, Slot>, key: &[u8]) -> (&'a Short, &'a mut Slot) {
    let upto = (Bound::Unbounded, Bound::Included(key));
    let found = blocks.range_mut::<[u8], _>(upto).next_back();
    found.expect("the first block takes every key")
}

/// Puts an entry into a block that has no room for it; returns the blocks that follow, each with
/// what it is found by.
fn split(
    block: &mut Block,
    place: Result<usize, usize>,
    (key, packed): (&[u8], &[u8]),
) -> Vec<(Short, Block)> {
    if let Ok(at) = place {
        block.remove(at);
    }
    let (Ok(at) | Err(at)) = place;
    if at == block.len() {
        // Keys often come in their order: what is behind is left full.
        let mut next = Block::default();
        next.put(Err(0), key, packed);
        return vec![follow(block, next)];
    }
    block.put(Err(at), key, packed);
    let mut next = Vec::with_capacity(2);
    let middle = block.middle().clamp(1, block.len() - 1);
    let half = block.split_off(middle);
    next.push(follow(block, half));
    // Two large entries may have no room in one block.
    if Block::BYTES_MAX < block.bytes() {
        let half = block.split_off(block.len() - 1);
        next.push(follow(block, half));
    }
    if let Some((_, half)) = next.first_mut().filter(|(_, it)| Block::BYTES_MAX < it.bytes()) {
        let last = half.split_off(half.len() - 1);
        let last = follow(half, last);
        next.push(last);
    }
    next
}

/// Returns a block with what it is found by, behind another one.
fn follow(before: &Block, block: Block) -> (Short, Block) {
    let last = before.len().checked_sub(1).expect("an entry by itself has room");
    (Short::between(before.entry(last).0, block.entry(0).0), block)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::crdt::{Counter, Fields, Shape, Version, Written};
    use crate::pages::{PAGE_BYTES, Pages, Paging};
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

    /// Pages in memory, of which the first few may be in use; one that is free is all zeros.
    #[derive(Debug, Default)]
    struct Shelfful {
        pages: Vec<[u8; PAGE_BYTES]>,
        max: u32,
    }

    impl Pages for Shelfful {
        fn write(&mut self, page: u32, bytes: &[u8; PAGE_BYTES]) -> bool {
            let (has_room, at) = (page < self.max, page as usize);
            if has_room {
                self.pages.resize(self.pages.len().max(at + 1), [0; PAGE_BYTES]);
                assert_eq!(self.pages[at], [0; PAGE_BYTES], "page {page} is in use");
                self.pages[at] = *bytes;
            }
            has_room
        }

        fn read(&self, page: u32, into: &mut [u8; PAGE_BYTES]) {
            *into = self.pages[page as usize];
        }

        fn erase(&mut self, page: u32) {
            self.pages[page as usize] = [0; PAGE_BYTES];
        }
    }

    fn space(pages_max: u32) -> Space {
        let pages = Shelfful { max: pages_max, ..Shelfful::default() };
        Space { paging: Some(Paging::new(Box::new(pages), 0)), ..Space::default() }
    }

    impl Values {
        /// Puts a value in place of what is held, or nothing.
        fn set(&mut self, key: &[u8], value: Option<Value>, space: &mut Space) {
            self.change(key, space, |_| (value, ()));
        }

        /// Returns the bytes of the blocks that are in memory, and how many there are.
        fn blocks_here(&self) -> (usize, usize) {
            let here = self.blocks.values().filter_map(|it| match it {
                Slot::Here(block) => Some(block.bytes()),
                Slot::There { .. } => None,
            });
            (here.clone().sum(), here.count())
        }
    }

    /// Compares with a plain map after each change, and its weight with that of a fresh copy.
    /// What is in memory is laid on pages now and then, as long as there are some.
    fn check(steps: &[(u16, u8, u16)], pages_max: u32) {
        let (mut values, mut space) = (Values::default(), space(pages_max));
        let (mut model, mut stop) = (BTreeMap::new(), None);
        for (seq, (key, kind, len)) in (1..).zip(steps) {
            let key = format!("{:0>width$}", key % 700, width = 1 + usize::from(key % 7) * 20);
            let value = value(seq, *kind, usize::from(*len));
            if value.is_empty() {
                values.set(key.as_bytes(), None, &mut space);
                model.remove(&key);
            } else {
                let change = |before: Option<Value>| {
                    assert_eq!(before.as_ref(), model.get(&key));
                    (Some(value.clone()), ())
                };
                values.change(key.as_bytes(), &mut space, change);
                model.insert(key, value);
            }
            if seq % 3 == 0 && 0 < pages_max {
                stop = values.lay_away(stop, &mut space, 1 << 14, &mut 20);
            }
        }
        let held = values.range(Bound::Unbounded, &space);
        let held = held.map(|it| (it.key().to_vec(), it.value().into_owned()));
        let expected = model.iter().map(|(key, value)| (key.clone().into_bytes(), value.clone()));
        assert!(held.eq(expected));
        for key in model.keys() {
            let from = key.as_bytes();
            let counts = [Bound::Included(from), Bound::Excluded(from)]
                .map(|it| values.range(it, &space).count());
            let rest = model.range(key.clone()..).count();
            assert_eq!(counts, [rest, rest - 1]);
            let other = [from, b"x"].concat();
            assert_eq!(*values.get(from, &space).unwrap().value(), model[key]);
            assert!(values.get(&other, &space).is_none());
        }
        let mut copy = Values::default();
        model.iter().for_each(|(key, it)| copy.set(key.as_bytes(), Some(it.clone()), &mut space));
        assert_eq!(values.weight(), copy.weight());
        let is_large = |it: &Slot| Block::BYTES_MAX < it.bytes();
        assert!(!values.blocks.values().any(is_large));
        let (used, blocks) = values.blocks_here();
        assert!(0 < pages_max || blocks <= 2 + used / 512, "{blocks} blocks of {used} bytes");
        model.keys().for_each(|key| values.set(key.as_bytes(), None, &mut space));
        assert_eq!((values.weight(), values.away()), (0, 0));
        assert_eq!((values.blocks.len(), values.whole.len()), (1, 0));
        assert_eq!(space.paging.unwrap().counts().used, 0);
    }

    #[test]
    fn what_is_too_large_is_kept_whole_and_may_become_small_again() {
        for pages_max in [0, 100] {
            let steps = [(1, 2, 5_000), (2, 2, 60_000), (1, 2, 10), (3, 2, 1_900), (2, 0, 0)];
            check(&steps, pages_max);
        }
    }

    #[test]
    fn keys_in_their_order_fill_their_blocks() {
        let (mut values, mut space) = (Values::default(), Space::default());
        for seq in 0..10_000_u32 {
            values.set(&seq.to_be_bytes(), Some(register(seq.into(), 100)), &mut space);
        }
        let (used, _) = values.blocks_here();
        assert!(used * 100 / (values.blocks.len() * Block::BYTES_MAX) > 90);
        assert!(used / 10_000 < 130, "{used} bytes of 10,000 records of 100");
    }

    #[test]
    fn what_becomes_small_gives_its_memory_back() {
        let (mut values, mut space) = (Values::default(), Space::default());
        let key = |seq: u64| seq.to_be_bytes();
        for len in [1_900, 1] {
            (0..1_000).for_each(|it| values.set(&key(it), Some(register(it, len)), &mut space));
        }
        let room = |it: &Slot| match it {
            Slot::Here(block) => block.room(),
            Slot::There { .. } => 0,
        };
        let room: usize = values.blocks.values().map(room).sum();
        assert!(room < 2 * values.weight(), "{room} bytes for {}", values.weight());
    }

    proptest! {
        #[test]
        fn blocks_hold_what_a_plain_map_holds(
            steps in proptest::collection::vec(
                (any::<u16>(), prop_oneof![2 => Just(0_u8), 1 => Just(1_u8), 6 => Just(2_u8)],
                 prop_oneof![6 => 0..300_u16, 1 => 1_000..9_000_u16]), 1..600),
            pages_max in prop_oneof![Just(0_u32), 1..10_u32, Just(1_000)],
        ) {
            check(&steps, pages_max);
        }
    }
}
