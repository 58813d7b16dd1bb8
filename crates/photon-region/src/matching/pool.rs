//! The agents of one placement that offer one skill, and in which order those that have room are
//! preferred.
//! Must not know what the order means, nor which skill and placement these are.

use std::collections::BTreeSet;

use roaring::RoaringBitmap;

/// The place of an agent in the order of a pool: by region, the near ones first, and then by what
/// speaks for it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) near: u16,
    pub(super) missing: u16,
    pub(super) number: u32,
}

/// Agents of one placement that offer one skill. Most skills are offered by a few agents, for whom
/// a list takes a fraction of what sets take; once they are many they stay in sets.
#[derive(Debug)]
pub(super) enum Pool {
    Few(Few),
    Many(Box<Many>),
}

/// Those that have room, in their order, and then the others in any: of these the number counts.
#[derive(Debug, Default)]
pub(super) struct Few {
    all: Vec<Rank>,
    free_count: usize,
}

#[derive(Debug, Default)]
pub(super) struct Many {
    members: RoaringBitmap,
    /// Those that have room.
    free: BTreeSet<Rank>,
    /// The first of these in each region, so that a search need not look for them in the set.
    firsts: Vec<Rank>,
}

impl Default for Pool {
    fn default() -> Self {
        Self::Few(Few::default())
    }
}

impl Pool {
    /// More are kept in sets.
    const FEW_MAX: usize = 32;

    /// Adds an agent, which has no room yet.
    pub(super) fn join(&mut self, number: u32) {
        match self {
            Self::Few(few) if few.all.len() == Self::FEW_MAX => {
                let mut many = Many::default();
                many.members.extend(few.all.iter().map(|it| it.number));
                few.free().iter().for_each(|it| many.offer(*it));
                many.members.insert(number);
                *self = Self::Many(Box::new(many));
            }
            Self::Few(few) => few.join(number),
            Self::Many(many) => {
                many.members.insert(number);
            }
        }
    }

    /// Takes out an agent that is not offered.
    pub(super) fn leave(&mut self, number: u32) {
        match self {
            Self::Few(few) => {
                let at = few.position(number);
                few.all.swap_remove(at);
            }
            Self::Many(many) => {
                many.members.remove(number);
            }
        }
    }

    /// Lets a member be found.
    pub(super) fn offer(&mut self, rank: Rank) {
        match self {
            Self::Few(few) => few.offer(rank),
            Self::Many(many) => many.offer(rank),
        }
    }

    /// Lets a member be found no longer that was offered so.
    pub(super) fn withdraw(&mut self, rank: Rank) {
        match self {
            Self::Few(few) => few.withdraw(rank),
            Self::Many(many) => many.withdraw(rank),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.all.len(),
            Self::Many(many) => usize::try_from(many.members.len()).unwrap_or(usize::MAX),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        match self {
            Self::Few(few) => few.all.iter().any(|it| it.number == number),
            Self::Many(many) => many.members.contains(number),
        }
    }

    /// Returns all members as a set, if they are kept in one.
    pub(super) fn set(&self) -> Option<&RoaringBitmap> {
        match self {
            Self::Few(_) => None,
            Self::Many(many) => Some(&many.members),
        }
    }

    /// Returns all members, in any order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        let (few, many) = match self {
            Self::Few(few) => (&few.all[..], None),
            Self::Many(many) => (&[][..], Some(&many.members)),
        };
        few.iter().map(|it| it.number).chain(many.into_iter().flatten())
    }

    /// Returns the first that has room of a region, and where to look for that of the next region;
    /// the regions come in their order, and one begins to look at 0.
    pub(super) fn first_at(&self, at: usize) -> Option<(Rank, usize)> {
        match self {
            Self::Few(few) => {
                let rest = few.free().get(at..)?;
                let first = *rest.first()?;
                let others = rest.iter().take_while(|it| it.near == first.near);
                Some((first, at + others.count()))
            }
            Self::Many(many) => many.firsts.get(at).map(|it| (*it, at + 1)),
        }
    }

    /// Returns those that have room from one of them on, to the end of its region.
    pub(super) fn here(&self, first: Rank) -> impl Iterator<Item = Rank> {
        let (few, many) = match self {
            Self::Few(few) => (few.from(first), None),
            Self::Many(many) => (&[][..], Some(many.free.range(first..))),
        };
        let all = few.iter().chain(many.into_iter().flatten()).copied();
        all.take_while(move |it| it.near == first.near)
    }
}

impl Few {
    fn free(&self) -> &[Rank] {
        &self.all[..self.free_count]
    }

    fn from(&self, first: Rank) -> &[Rank] {
        let at = self.free().partition_point(|it| *it < first);
        &self.free()[at..]
    }

    /// Returns where an agent is that is not offered.
    fn position(&self, number: u32) -> usize {
        let mut others = self.all[self.free_count..].iter();
        let at = others.position(|it| it.number == number);
        self.free_count + at.expect("it is a member, and is not offered")
    }

    fn join(&mut self, number: u32) {
        if self.all.len() == self.all.capacity() {
            self.all.reserve_exact(self.all.len() / 4 + 1); // Twice as much would be too much.
        }
        self.all.push(Rank { near: 0, missing: 0, number });
    }

    fn offer(&mut self, rank: Rank) {
        let (from, end) = (self.position(rank.number), self.free_count);
        self.all.swap(from, end);
        self.all[end] = rank;
        let to = self.free().partition_point(|it| *it < rank);
        self.all[to..=end].rotate_right(1);
        self.free_count += 1;
    }

    fn withdraw(&mut self, rank: Rank) {
        let at = self.free().binary_search(&rank);
        let at = at.expect("what speaks for an agent changes only while it is not offered");
        self.all[at..self.free_count].rotate_left(1);
        self.free_count -= 1;
    }
}

impl Many {
    fn offer(&mut self, rank: Rank) {
        let is_new = self.free.insert(rank);
        assert!(is_new, "an agent is offered once");
        match self.firsts.binary_search_by_key(&rank.near, |it| it.near) {
            Ok(at) => self.firsts[at] = self.firsts[at].min(rank),
            Err(at) => self.firsts.insert(at, rank),
        }
    }

    fn withdraw(&mut self, rank: Rank) {
        let was_there = self.free.remove(&rank);
        assert!(was_there, "what speaks for an agent changes only while it is not offered");
        let at = self.firsts.binary_search_by_key(&rank.near, |it| it.near);
        let at = at.expect("who is offered has a first in its region");
        if self.firsts[at] != rank {
            return;
        }
        match self.free.range(rank..).next().filter(|it| it.near == rank.near) {
            Some(next) => self.firsts[at] = *next,
            None => {
                self.firsts.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_and_many_are_found_in_order(
            steps in prop::collection::vec((0_u32..50, 0_u16..4, 0_u16..4), 0..300),
        ) {
            let mut pool = Pool::default();
            let mut model: BTreeMap<u32, Option<Rank>> = BTreeMap::new();
            for (number, near, missing) in steps {
                let rank = Rank { near, missing, number };
                match model.get(&number).copied() {
                    None => {
                        pool.join(number);
                        model.insert(number, None);
                    }
                    Some(None) if missing == 0 => {
                        pool.leave(number);
                        model.remove(&number);
                    }
                    Some(None) => {
                        pool.offer(rank);
                        model.insert(number, Some(rank));
                    }
                    Some(Some(rank)) => {
                        pool.withdraw(rank);
                        model.insert(number, None);
                    }
                }
                let mut numbers: Vec<u32> = pool.numbers().collect();
                numbers.sort_unstable();
                prop_assert!(numbers.iter().eq(model.keys()));
                prop_assert_eq!(pool.len(), model.len());
                prop_assert!((0..50).all(|it| pool.contains(it) == model.contains_key(&it)));
                let free: BTreeSet<Rank> = model.values().flatten().copied().collect();
                let (mut at, mut found) = (0, vec![]);
                while let Some((first, next)) = pool.first_at(at) {
                    at = next;
                    found.extend(pool.here(first));
                }
                prop_assert!(found.iter().eq(&free));
                if let Some(some) = free.iter().nth(free.len() / 2).copied() {
                    let rest = free.range(some..).take_while(|it| it.near == some.near);
                    prop_assert!(pool.here(some).eq(rest.copied()));
                }
            }
        }
    }
}
