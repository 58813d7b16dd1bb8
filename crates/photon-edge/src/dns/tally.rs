//! What was answered since the start, counted by all threads.
//! Must not know a query.

use std::sync::atomic::{AtomicU64, Ordering};

use photon_traffic::dns::Counts;

/// Counts that only grow.
#[derive(Debug, Default)]
pub struct Tally {
    no_error: AtomicU64,
    no_domain: AtomicU64,
    refused: AtomicU64,
    bad: AtomicU64,
    truncated: AtomicU64,
    dropped: AtomicU64,
}

impl Tally {
    /// Adds what one thread has counted.
    pub(super) fn add(&self, counts: Counts) {
        let Counts { no_error, no_domain, refused, bad, truncated, dropped } = counts;
        for (sum, count) in [
            (&self.no_error, no_error),
            (&self.no_domain, no_domain),
            (&self.refused, refused),
            (&self.bad, bad),
            (&self.truncated, truncated),
            (&self.dropped, dropped),
        ] {
            if count != 0 {
                sum.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// Returns the sums.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |it: &AtomicU64| it.load(Ordering::Relaxed);
        Counts {
            no_error: read(&self.no_error),
            no_domain: read(&self.no_domain),
            refused: read(&self.refused),
            bad: read(&self.bad),
            truncated: read(&self.truncated),
            dropped: read(&self.dropped),
        }
    }
}
