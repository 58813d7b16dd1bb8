//! How much of the records is in memory, and what goes to pages when that is too much.
//! Must not know what a page is written to.
//!
//! What goes is chosen by the clock algorithm (Corbató, 1969): a hand goes over all blocks and
//! large values in their order, again and again; what was used since it last came by stays for one
//! more round, and what was not goes.

use std::ops::Bound;

use crate::pages::Paging;
use crate::values::Stop;
use crate::{PageCounts, Pages, Shelf, Store};

/// Where the clock stands.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    shelf: Option<Shelf>,
    stop: Option<Stop>,
}

impl Store {
    /// What is looked at for each change at the most; so much is brought in by few changes.
    const LOOKS_MAX: usize = 256;

    /// Lets at most about `memory_max` bytes of values be in memory, and the others on pages.
    pub fn lay_away_to(&mut self, pages: Box<dyn Pages>, memory_max: usize) {
        self.space.paging = Some(Paging::new(pages, memory_max));
        self.relieve();
    }

    /// Returns about how many bytes all values take, with their keys, if they are in memory.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.value_bytes
    }

    /// Returns about how many bytes the values take in memory, with their keys.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.value_bytes - self.away_bytes
    }

    /// Returns what was done with pages.
    #[must_use]
    pub fn pages(&self) -> PageCounts {
        self.space.paging.as_ref().map(Paging::counts).unwrap_or_default()
    }

    /// Lays on pages what is too much for memory.
    pub(crate) fn relieve(&mut self) {
        let Some(paging) = &self.space.paging else { return };
        let mut above = self.memory_bytes().saturating_sub(paging.memory_max);
        let mut looks = if above == 0 { 0 } else { Self::LOOKS_MAX };
        while 0 < looks {
            let from = self.hand.shelf.map_or(Bound::Unbounded, Bound::Included);
            let next = self.values.range_mut::<Shelf, _>((from, Bound::Unbounded)).next();
            let Some((shelf, values)) = next else {
                looks -= 1; // However little there is, the hand gives up in the end.
                self.hand = Hand::default();
                continue;
            };
            let before = values.away();
            let from = self.hand.stop.take();
            let stop = values.lay_away(from, &mut self.space, above, &mut looks);
            let freed = values.away() - before;
            self.away_bytes += freed;
            above = above.saturating_sub(freed);
            self.hand = match stop {
                Some(stop) => Hand { shelf: Some(*shelf), stop: Some(stop) },
                None => {
                    let after = (Bound::Excluded(*shelf), Bound::Unbounded);
                    let shelf = self.values.range(after).next().map(|(shelf, _)| *shelf);
                    Hand { shelf, stop: None }
                }
            };
            if above == 0 {
                return;
            }
        }
    }
}
