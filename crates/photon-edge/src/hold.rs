//! How many bytes the bodies of all requests hold at a time.
//! Must not know what a body is for, nor wait: who does not get a share is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The bytes that all bodies hold together. Clones share the count.
#[derive(Clone, Debug)]
pub(crate) struct Bodies {
    held: Arc<AtomicUsize>,
    max: usize,
}

/// What one body holds; dropping it makes room for others.
#[derive(Debug)]
pub(crate) struct Share {
    bodies: Bodies,
    bytes: usize,
}

/// All bodies together would hold too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bodies of all requests hold {max} bytes at most, and there is no room; try again")]
pub(crate) struct BodiesFull {
    /// The bound.
    pub(crate) max: usize,
}

impl Bodies {
    /// Makes a count that is refused beyond `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self { held: Arc::default(), max }
    }

    /// Returns a share of nothing, which can grow.
    pub(crate) fn share(&self) -> Share {
        Share { bodies: self.clone(), bytes: 0 }
    }
}

impl Share {
    /// Sees to it that the share is of `bytes` at least, or leaves it as it is.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), BodiesFull> {
        let (more, max) = (bytes.saturating_sub(self.bytes), self.bodies.max);
        let grown = |held: usize| held.checked_add(more).filter(|it| *it <= max);
        // The count guards no other memory, so that it needs no order.
        let taken = self.bodies.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown);
        taken.map_err(|_| BodiesFull { max })?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let before = self.bodies.held.fetch_sub(self.bytes, Ordering::Relaxed);
        assert!(self.bytes <= before, "{before} bytes are held, and {} given back", self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_grow_up_to_the_bound_together_and_are_given_back() {
        let bodies = Bodies::new(10);
        let (mut one, mut other) = (bodies.share(), bodies.share());
        assert_eq!(one.grow_to(6), Ok(()));
        assert_eq!(one.grow_to(3), Ok(()), "it has as much already");
        assert_eq!(other.grow_to(5), Err(BodiesFull { max: 10 }));
        assert_eq!(other.grow_to(4), Ok(()));
        assert_eq!(one.grow_to(usize::MAX), Err(BodiesFull { max: 10 }));
        drop(one);
        assert_eq!(other.grow_to(10), Ok(()));
        drop(other);
        assert_eq!(bodies.held.load(Ordering::Relaxed), 0);
    }
}
