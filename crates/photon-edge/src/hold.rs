//! How many bytes all of one kind hold at a time: the bodies of requests, what watchers were told.
//! Must not know what they are for, nor wait: who does not get a share is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that all of one kind hold together. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    held: Arc<AtomicUsize>,
    max: usize,
}

/// What one of them holds; dropping it makes room for others.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    bytes: usize,
}

/// All together would hold too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("they hold {max} bytes at most, and there is no room; try again")]
pub(crate) struct BudgetFull {
    /// The bound.
    pub(crate) max: usize,
}

impl Budget {
    /// Makes a count that is refused beyond `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self { held: Arc::default(), max }
    }

    /// Returns a share of nothing, which can grow.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: 0 }
    }

    /// Returns how many bytes are held.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Share {
    /// Sees to it that the share is of `bytes` at least, or leaves it as it is.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), BudgetFull> {
        let (more, max) = (bytes.saturating_sub(self.bytes), self.budget.max);
        let grown = |held: usize| held.checked_add(more).filter(|it| *it <= max);
        // The count guards no other memory, so that it needs no order.
        let taken = self.budget.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        taken.map_err(|_| BudgetFull { max })?;
        self.bytes += more;
        Ok(())
    }

    /// Gives back what the share has beyond `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        let before = self.budget.held.fetch_sub(less, Ordering::Relaxed);
        assert!(less <= before, "{before} bytes are held, and {less} given back");
        self.bytes -= less;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_up_to_the_bound_together_and_are_given_back() {
        let budget = Budget::new(10);
        let (mut one, mut other) = (budget.share(), budget.share());
        assert_eq!(one.grow_to(6), Ok(()));
        assert_eq!(one.grow_to(3), Ok(()), "it has as much already");
        assert_eq!(other.grow_to(5), Err(BudgetFull { max: 10 }));
        assert_eq!(other.grow_to(4), Ok(()));
        assert_eq!(one.grow_to(usize::MAX), Err(BudgetFull { max: 10 }));
        drop(one);
        assert_eq!(other.grow_to(10), Ok(()));
        other.shrink_to(3);
        other.shrink_to(7);
        assert_eq!(budget.held(), 3, "it does not grow by that");
        drop(other);
        assert_eq!(budget.held(), 0);
    }
}
