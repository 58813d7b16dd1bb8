//! How long to wait before the next attempt to dial.
//! Must not wait itself.

use std::time::Duration;

/// Doubles with each failure; the pause is drawn from its upper half, so that dialers spread.
#[derive(Debug)]
pub(super) struct Backoff {
    ceiling: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { ceiling: Self::MIN }
    }
}

impl Backoff {
    /// The longest first pause.
    const MIN: Duration = Duration::from_millis(50);
    /// The longest pause: so much later than the way is open again a link comes back.
    pub(super) const MAX: Duration = Duration::from_secs(1);

    /// Returns the pause before the next attempt; `chance` lies in 0..1.
    pub(super) fn pause(&mut self, chance: f64) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (2 * ceiling).min(Self::MAX);
        ceiling.mul_f64(0.5 + chance / 2.0)
    }

    /// Takes note of a link that lived for a while: a short life counts as a failure.
    pub(super) fn lived(&mut self, life: Duration) {
        if Self::MAX < life {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_to_its_bound_and_begins_anew_after_a_link_that_lived() {
        let mut backoff = Backoff::default();
        let mut next = || backoff.pause(1.0).as_millis();
        assert_eq!([next(), next(), next(), next()], [50, 100, 200, 400]);
        assert_eq!([next(), next(), next(), next()], [800, 1_000, 1_000, 1_000]);
        backoff.lived(Backoff::MAX);
        assert_eq!(backoff.pause(0.0).as_millis(), 500);
        backoff.lived(2 * Backoff::MAX);
        assert_eq!(backoff.pause(0.0).as_millis(), 25);
    }
}
