//! How long to wait before the next try: longer each time, and never in step with others.
//! Must not wait itself.

use std::time::Duration;

/// Counts failed tries, and says how long to pause after each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST_MS: u64 = 50;
    /// The longest pause; a region that returns is found again within it.
    const PAUSE_MS_MAX: u64 = 2_000;

    /// Returns the next pause: between a half and the whole of a bound that doubles.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let doubled = Self::FIRST_MS << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let bound_ms = doubled.min(Self::PAUSE_MS_MAX);
        Duration::from_millis(fastrand::u64(bound_ms / 2..=bound_ms))
    }

    /// Returns how many tries failed since the last success.
    #[must_use]
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Begins anew, after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::default();
        for bound_ms in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000] {
            let pause = backoff.next_pause().as_millis();
            assert!((bound_ms / 2..=bound_ms).contains(&pause), "{pause} of {bound_ms}");
        }
        assert_eq!(backoff.failures(), 8);
        backoff.reset();
        assert!(backoff.next_pause() <= Duration::from_millis(50));
    }
}
